udphp_stopServer();
ds_list_destroy(players);
buffer_delete(buffer);
