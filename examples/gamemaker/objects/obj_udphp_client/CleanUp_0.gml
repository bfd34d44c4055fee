udphp_stopClient(client);
network_destroy(socket);
buffer_delete(buffer);
