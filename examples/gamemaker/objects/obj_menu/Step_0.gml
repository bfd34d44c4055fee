if (keyboard_check_pressed(ord("M")) && local_master <= 0) {
	local_master = gmpunch_master_open({ port: master_port });
	status = local_master > 0 ? "this game runs a master" : "no master: " + gmpunch_error_text(local_master);
}
if (keyboard_check_pressed(ord("L")) && lobby <= 0) {
	lobby = gmpunch_lobby_open({ master: demo_master(), filter1: "gmpunch demo", descending: true, limit: 9 });
	status = lobby > 0 ? "asks for the list" : "no list: " + gmpunch_error_text(lobby);
	entries = [];
}
if (keyboard_check_pressed(ord("H")) && !instance_exists(obj_host)) instance_create_depth(0, 0, 0, obj_host);
if (keyboard_check_pressed(ord("U")) && !instance_exists(obj_udphp_host)) instance_create_depth(0, 0, 0, obj_udphp_host);

// A number joins that host of the list; with Shift by the scripts of GMnet PUNCH, on a socket of the game.
for (var _i = 0; _i < array_length(hosts); _i++) {
	if (keyboard_check_pressed(ord(string(_i + 1))) && !instance_exists(obj_client) && !instance_exists(obj_udphp_client)) {
		chosen = hosts[_i].ip;
		instance_create_depth(0, 0, 0, keyboard_check(vk_shift) ? obj_udphp_client : obj_client);
	}
}

for (var _event = gmpunch_next_event(lobby); _event != undefined; _event = gmpunch_next_event(lobby)) {
	switch (_event.type) {
		case GMPUNCH_EVENT_RESOLVE: gmpunch_resolve(lobby); break;
		case GMPUNCH_EVENT_LOBBY_ENTRY: array_push(entries, { ip: _event.ip, name: _event.strings[1] }); break;
		case GMPUNCH_EVENT_LOBBY_DONE:
		case GMPUNCH_EVENT_FAILED: // one of the two is the last event
			if (_event.type == GMPUNCH_EVENT_LOBBY_DONE) hosts = entries;
			status = _event.type == GMPUNCH_EVENT_LOBBY_DONE ? string(_event.count) + " hosts" : _event.reason_text;
			gmpunch_close(lobby);
			lobby = -1;
			break;
	}
}
while (gmpunch_poll(local_master) > 0) status = "master: " + gmpunch_event_name(gmpunch_event_type(local_master));
