gmpunch_close(lobby);
gmpunch_close(local_master);
