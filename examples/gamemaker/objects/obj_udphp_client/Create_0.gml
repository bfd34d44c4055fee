/// A client as games of GMnet PUNCH have it. obj_menu.chosen is the host to join.
udphp_config(obj_menu.master_ip, obj_menu.master_port, 300, 600, false, false, false, false);
buffer = buffer_create(256, buffer_grow, 1);
socket = network_create_socket(network_socket_udp);
client = udphp_createClient(socket, obj_menu.chosen, buffer, false, 0);
status = "asks the master";
answer = "";
count = 0;
alarm_steps = 0;
