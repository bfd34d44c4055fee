gmpunch_close(host);
buffer_delete(buffer);
