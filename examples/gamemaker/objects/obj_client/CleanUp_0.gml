gmpunch_close(client);
buffer_delete(buffer);
