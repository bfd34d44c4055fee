/// A client on a socket of the library. obj_menu.chosen is the host to join.
client = gmpunch_client_open({ master: demo_master(), server: obj_menu.chosen, ask_data: true });
status = client > 0 ? "asks the master" : "no client: " + gmpunch_error_text(client);
buffer = buffer_create(256, buffer_grow, 1);
answer = "";
count = 0;
alarm_steps = 0;
