/// A host on a socket of the library: sends each text that comes back, with the number of its peers.
host = gmpunch_host_open({ master: demo_master(), data1: "gmpunch demo", data2: obj_menu.name });
status = host > 0 ? "host at port " + string(gmpunch_local_port(host)) : "no host: " + gmpunch_error_text(host);
buffer = buffer_create(256, buffer_grow, 1);
