/// A host as games of GMnet PUNCH have it: its own socket, the scripts of GMnet PUNCH.
udphp_config(obj_menu.master_ip, obj_menu.master_port, 300, 600, false, false, false, false);
players = ds_list_create();
buffer = buffer_create(256, buffer_grow, 1);
port = 6511;
server = network_create_server(network_socket_udp, port, 32);
while (server < 0 && port < 6520) server = network_create_server(network_socket_udp, ++port, 32);
udphp_serverSetData(1, "gmpunch demo");
udphp_serverSetData(2, obj_menu.name);
status = udphp_createServer(server, buffer, players, port) ? "server at port " + string(port) : "no server";
