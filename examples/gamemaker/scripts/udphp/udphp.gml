// The scripts of GMnet PUNCH on gmpunch, for games that call them: same names, same arguments, the game's own sockets. Remove the
// scripts of GMnet PUNCH from the project and add the extension gmpunch and the scripts gmpunch_api, gmpunch_io and this.
//
// What differs: UPnP is not done (its arguments are ignored). The TCP connection to the master does not stop the game while it is
// made. A client that stays silent for some minutes leaves the player list.

global.udphp_master = "";
global.udphp_reconnect = 1000;
global.udphp_timeout = 15000;
global.udphp_debug = false;
global.udphp_silent = false;
global.udphp_delta_time = false;

/// @type {Struct.GmpunchIo|Undefined}
global.udphp_server = undefined;
global.udphp_server_udp = -1;
global.udphp_server_players = -1;
global.udphp_server_names = {}; // of the players: "ip:port" by peer
global.udphp_clients = {};      // a GmpunchIo by the id of the client
/// @type {Struct.GmpunchIo|Undefined}
global.udphp_download = undefined;
global.udphp_download_timer = undefined;
global.udphp_download_entries = [];

// What games read.
global.udphp_downloadlist = -1;
global.udphp_downloadlist_refreshing = false;
for (var _i = 1; _i <= 8; _i++) {
	variable_global_set("udphp_server_data" + string(_i), "");
	variable_global_set("udphp_tmp_data" + string(_i), "");
}

/// @function udphp_log(_message)
/// @param {String} _message
function udphp_log(_message) {
	if (global.udphp_debug) show_debug_message("udphp: " + _message);
}

/// @function udphp_error(_message)
/// @param {String} _message
function udphp_error(_message) {
	udphp_log(_message);
	if (!global.udphp_silent) udphp_error_message_handler(_message);
}

/// @function udphp_ms(_time)
/// @description Milliseconds of a time in the unit that the game chose: steps, or seconds if it counts in delta time.
/// @param {Real} _time
/// @returns {Real}
function udphp_ms(_time) {
	var _ms = global.udphp_delta_time ? _time * 1000 : _time * 1000 / game_get_speed(gamespeed_fps);
	return max(1, round(_ms));
}

/// @function udphp_config(_master_ip, _master_port, _reconnect_intv, _timeouts, _debug, _silent, _delta_time, _upnp)
/// @description To be called once, before all others.
/// @param {String} _master_ip
/// @param {Real} _master_port
/// @param {Real} _reconnect_intv time between two tries to reach the master
/// @param {Real} _timeouts time after which an attempt to connect has failed
/// @param {Bool} _debug tells what happens in the debug console
/// @param {Bool} _silent tells no errors
/// @param {Bool} _delta_time times are in seconds, not in steps
/// @param {Bool} _upnp ignored
function udphp_config(_master_ip, _master_port, _reconnect_intv, _timeouts, _debug, _silent, _delta_time, _upnp) {
	var _ipv6 = string_pos(":", _master_ip) > 0;
	global.udphp_master = (_ipv6 ? "[" + _master_ip + "]" : _master_ip) + ":" + string(_master_port);
	global.udphp_delta_time = _delta_time;
	global.udphp_reconnect = udphp_ms(_reconnect_intv);
	global.udphp_timeout = udphp_ms(_timeouts);
	global.udphp_debug = _debug;
	global.udphp_silent = _silent;
	if (global.udphp_downloadlist == -1) global.udphp_downloadlist = ds_list_create();
	if (gmpunch_is_available() != 1) udphp_error("the library of the extension gmpunch is missing");
}

// ---- the server

/// @function udphp_createServer(_udp_server, _buffer, _player_list, _upnp_port)
/// @param {Id.Socket|Real} _udp_server of network_create_server
/// @param {Id.Buffer} _buffer the game's, not used here
/// @param {Id.DsList} _player_list becomes a list of "ip:port"
/// @param {Real} _upnp_port ignored
/// @returns {Bool}
function udphp_createServer(_udp_server, _buffer, _player_list, _upnp_port) {
	if (global.udphp_server != undefined) {
		udphp_error("there is a server already");
		return false;
	}
	var _settings = {
		master: global.udphp_master,
		reconnect_min_ms: global.udphp_reconnect,
		reconnect_max_ms: global.udphp_reconnect,
		introduction_timeout_ms: global.udphp_timeout
	};
	for (var _i = 1; _i <= 8; _i++)
		variable_struct_set(_settings, "data" + string(_i), variable_global_get("udphp_server_data" + string(_i)));
	var _io = gmpunch_io_create(GMPUNCH_KIND_HOST, _settings, _udp_server);
	if (_io.object <= 0) {
		udphp_error("no server: " + gmpunch_error_text(_io.object));
		gmpunch_io_close(_io);
		return false;
	}
	global.udphp_server = _io;
	global.udphp_server_udp = _udp_server;
	global.udphp_server_players = _player_list;
	global.udphp_server_names = {};
	return true;
}

/// @function udphp_serverPunch()
/// @description To be called in each step of a server.
function udphp_serverPunch() {
	if (global.udphp_server != undefined) {
		gmpunch_io_step(global.udphp_server);
		udphp_server_events();
	}
}

/// @function udphp_serverNetworking()
/// @description To be called in the networking event of a server.
function udphp_serverNetworking() {
	if (global.udphp_server != undefined) {
		gmpunch_io_networking(global.udphp_server);
		udphp_server_events(); // now, so that a player is listed before its first packet comes
	}
}

/// @function udphp_server_events()
function udphp_server_events() {
	for (var _event = gmpunch_next_event(global.udphp_server.object); _event != undefined;
		_event = gmpunch_next_event(global.udphp_server.object)) {
		var _name = _event.ip + ":" + string(_event.port);
		var _peer = string(_event.peer);
		udphp_log("server: " + _event.name + " " + _name);
		switch (_event.type) {
			case GMPUNCH_EVENT_JOINED:
				if (ds_list_find_index(global.udphp_server_players, _name) < 0) ds_list_add(global.udphp_server_players, _name);
				variable_struct_set(global.udphp_server_names, _peer, _name);
				break;
			case GMPUNCH_EVENT_LEFT:
				var _index = ds_list_find_index(global.udphp_server_players, variable_struct_get(global.udphp_server_names, _peer));
				if (_index >= 0) ds_list_delete(global.udphp_server_players, _index); // the game may have done so itself
				variable_struct_remove(global.udphp_server_names, _peer);
				break;
			case GMPUNCH_EVENT_RESOLVE: gmpunch_io_resolve(global.udphp_server); break;
			case GMPUNCH_EVENT_UNREGISTERED: udphp_error(_event.reason_text); break;
		}
	}
}

/// @function udphp_stopServer()
/// @description Ends the server and closes its socket. List and buffer stay.
function udphp_stopServer() {
	if (global.udphp_server != undefined) {
		gmpunch_io_close(global.udphp_server);
		network_destroy(global.udphp_server_udp);
		global.udphp_server = undefined;
		global.udphp_server_udp = -1;
	}
}

/// @function udphp_serverSetData(_n, _string)
/// @param {Real} _n 1 to 8
/// @param {String} _string without line feed
function udphp_serverSetData(_n, _string) {
	variable_global_set("udphp_server_data" + string(_n), _string);
	if (global.udphp_server != undefined) {
		var _result = gmpunch_set_data(global.udphp_server.object, _n, _string);
		if (_result <= 0) udphp_error("data string " + string(_n) + ": " + gmpunch_error_text(_result));
	}
}

/// @function udphp_serverCommitData()
/// @description Sends changed data strings to the master.
function udphp_serverCommitData() {
	if (global.udphp_server != undefined) {
		gmpunch_commit_data(global.udphp_server.object);
		gmpunch_io_transmit(global.udphp_server);
	}
}

/// @function udphp_playerListIP(_entry)
/// @param {String} _entry "ip:port"
/// @returns {String}
function udphp_playerListIP(_entry) {
	return string_copy(_entry, 1, string_last_pos(":", _entry) - 1);
}

/// @function udphp_playerListPort(_entry)
/// @param {String} _entry "ip:port"
/// @returns {Real}
function udphp_playerListPort(_entry) {
	return real(string_delete(_entry, 1, string_last_pos(":", _entry)));
}

// ---- clients

/// @function udphp_find_client(_client)
/// @param {Real} _client
/// @returns {Struct.GmpunchIo|Undefined}
function udphp_find_client(_client) {
	return variable_struct_get(global.udphp_clients, string(_client));
}

/// @function udphp_createClient(_udp_socket, _server_ip, _buffer, _directconnect, _directconnect_port)
/// @param {Id.Socket|Real} _udp_socket of network_create_socket
/// @param {String} _server_ip
/// @param {Id.Buffer} _buffer the game's, not used here
/// @param {Bool} _directconnect without the master
/// @param {Real} _directconnect_port for that, and if the master can't help
/// @returns {Real} the client, negative if there is none
function udphp_createClient(_udp_socket, _server_ip, _buffer, _directconnect, _directconnect_port) {
	var _io = gmpunch_io_create(GMPUNCH_KIND_CLIENT, {
		master: global.udphp_master,
		server: _server_ip,
		direct_only: _directconnect,
		direct_port: _directconnect_port,
		timeout_ms: global.udphp_timeout
	}, _udp_socket);
	var _client = _io.object;
	if (_client <= 0) {
		udphp_error("no client: " + gmpunch_error_text(_client));
		gmpunch_io_close(_io);
		return _client < 0 ? _client : -1;
	}
	variable_struct_set(global.udphp_clients, string(_client), _io);
	return _client;
}

/// @function udphp_clientPunch(_client)
/// @description To be called in each step of a client.
/// @param {Real} _client
/// @returns {Bool} false: it failed, or there is no such client
function udphp_clientPunch(_client) {
	var _io = udphp_find_client(_client);
	if (_io == undefined) return false;
	gmpunch_io_step(_io);
	udphp_client_events(_io);
	return gmpunch_stage(_client) <= GMPUNCH_STAGE_CONNECTED;
}

/// @function udphp_clientNetworking(_client)
/// @description To be called in the networking event of a client.
/// @param {Real} _client
function udphp_clientNetworking(_client) {
	var _io = udphp_find_client(_client);
	if (_io != undefined) {
		gmpunch_io_networking(_io);
		udphp_client_events(_io);
	}
}

/// @function udphp_client_events(_io)
/// @param {Struct.GmpunchIo} _io
function udphp_client_events(_io) {
	for (var _event = gmpunch_next_event(_io.object); _event != undefined; _event = gmpunch_next_event(_io.object)) {
		udphp_log("client: " + _event.name + " " + _event.ip + ":" + string(_event.port));
		switch (_event.type) {
			case GMPUNCH_EVENT_HOST_DATA:
				for (var _i = 1; _i <= 8; _i++) variable_global_set("udphp_tmp_data" + string(_i), _event.strings[_i - 1]);
				break;
			case GMPUNCH_EVENT_RESOLVE: gmpunch_io_resolve(_io); break;
			case GMPUNCH_EVENT_FALLBACK:
			case GMPUNCH_EVENT_FAILED:
			case GMPUNCH_EVENT_LOST: udphp_error(_event.reason_text); break;
		}
	}
}

/// @function udphp_stopClient(_client)
/// @description Ends a client. Its socket stays open.
/// @param {Real} _client
function udphp_stopClient(_client) {
	var _io = udphp_find_client(_client);
	if (_io != undefined) {
		gmpunch_io_close(_io);
		variable_struct_remove(global.udphp_clients, string(_client));
	}
}

/// @function udphp_clientIsConnected(_client)
/// @param {Real} _client
/// @returns {Bool}
function udphp_clientIsConnected(_client) {
	return udphp_find_client(_client) != undefined && gmpunch_stage(_client) == GMPUNCH_STAGE_CONNECTED;
}

/// @function udphp_clientGetServerIP(_client)
/// @param {Real} _client
/// @returns {String|Real} -1 if there is no such client
function udphp_clientGetServerIP(_client) {
	return udphp_find_client(_client) != undefined ? gmpunch_server_ip(_client) : -1;
}

/// @function udphp_clientGetServerPort(_client)
/// @param {Real} _client
/// @returns {Real} -1 if there is no such client, or it is not connected
function udphp_clientGetServerPort(_client) {
	return udphp_find_client(_client) != undefined ? max(-1, gmpunch_server_port(_client)) : -1;
}

/// @function udphp_clientReadData(_client)
/// @description Asks the server for its data strings: they come as global.udphp_tmp_data1 to 8.
/// @param {Real} _client
function udphp_clientReadData(_client) {
	var _io = udphp_find_client(_client);
	if (_io != undefined) {
		gmpunch_request_data(_client);
		gmpunch_io_transmit(_io);
	}
}

// ---- the lobby

/// @function udphp_downloadServerList([_limit], [_sortby], [_dir], [_filter1], ..., [_filter8])
/// @description Asks the master for its servers. global.udphp_downloadlist_refreshing is true until global.udphp_downloadlist has them.
/// @param {Real|String} [_limit] at most so many; "" all
/// @param {String} [_sortby] "date" or "data1" to "data8"
/// @param {String} [_dir] as the master takes it: "ASC" gives the newest or greatest first, all else the oldest or least
/// @param {String} [_filter1] only servers with this data string; "" any
/// @param {String} [_filter2]
/// @param {String} [_filter3]
/// @param {String} [_filter4]
/// @param {String} [_filter5]
/// @param {String} [_filter6]
/// @param {String} [_filter7]
/// @param {String} [_filter8]
function udphp_downloadServerList(_limit = "", _sortby = "date", _dir = "", _filter1 = "", _filter2 = "", _filter3 = "",
	_filter4 = "", _filter5 = "", _filter6 = "", _filter7 = "", _filter8 = "") {
	udphp_download_end();
	var _most = string(_limit) == "" ? 0 : real(_limit);
	global.udphp_download_entries = [];
	global.udphp_download = gmpunch_io_create(GMPUNCH_KIND_LOBBY, {
		master: global.udphp_master,
		sort_by: string_copy(_sortby, 1, 4) == "data" ? real(string_delete(_sortby, 1, 4)) : GMPUNCH_SORT_DATE,
		descending: _dir == "ASC",
		limit: string(_limit) != "" && _most <= 0 ? GMPUNCH_LIMIT_NONE : _most,
		filter1: _filter1,
		filter2: _filter2,
		filter3: _filter3,
		filter4: _filter4,
		filter5: _filter5,
		filter6: _filter6,
		filter7: _filter7,
		filter8: _filter8
	}, -1);
	if (global.udphp_download.object > 0) {
		global.udphp_downloadlist_refreshing = true;
		// Games call nothing for it in their step event, but it has a timeout.
		global.udphp_download_timer = time_source_create(time_source_game, 1, time_source_units_frames, udphp_download_step, [], -1);
		time_source_start(global.udphp_download_timer);
	} else {
		udphp_error("no list of servers: " + gmpunch_error_text(global.udphp_download.object));
		udphp_download_end();
	}
}

/// @function udphp_downloadNetworking()
/// @description To be called in the networking event of a lobby.
function udphp_downloadNetworking() {
	if (global.udphp_download != undefined) {
		gmpunch_io_networking(global.udphp_download);
		udphp_download_events();
	}
}

/// @function udphp_download_step()
function udphp_download_step() {
	gmpunch_io_step(global.udphp_download);
	udphp_download_events();
}

/// @function udphp_download_events()
function udphp_download_events() {
	var _type = gmpunch_poll(global.udphp_download.object);
	while (_type == GMPUNCH_EVENT_LOBBY_ENTRY || _type == GMPUNCH_EVENT_RESOLVE) {
		if (_type == GMPUNCH_EVENT_LOBBY_ENTRY) udphp_download_entry(global.udphp_download.object);
		else gmpunch_io_resolve(global.udphp_download);
		_type = gmpunch_poll(global.udphp_download.object);
	}
	if (_type == GMPUNCH_EVENT_LOBBY_DONE) udphp_download_fill();
	else if (_type == GMPUNCH_EVENT_FAILED) udphp_error(gmpunch_reason_text(gmpunch_event_reason(global.udphp_download.object)));
	if (_type != 0) udphp_download_end();
}

/// @function udphp_download_entry(_lobby)
/// @param {Real} _lobby
function udphp_download_entry(_lobby) {
	var _entry = ds_map_create();
	ds_map_add(_entry, "ip", gmpunch_event_ip(_lobby));
	ds_map_add(_entry, "createdTime", gmpunch_event_created(_lobby));
	for (var _i = 1; _i <= 8; _i++) ds_map_add(_entry, "data" + string(_i), gmpunch_event_string(_lobby, _i));
	array_push(global.udphp_download_entries, _entry);
}

/// @function udphp_download_fill()
/// @description The new entries take the place of the old ones.
function udphp_download_fill() {
	var _list = global.udphp_downloadlist;
	for (var _i = 0; _i < ds_list_size(_list); _i++) ds_map_destroy(ds_list_find_value(_list, _i));
	ds_list_clear(_list);
	for (var _i = 0; _i < array_length(global.udphp_download_entries); _i++)
		ds_list_add(_list, global.udphp_download_entries[_i]);
	global.udphp_download_entries = [];
}

/// @function udphp_download_end()
function udphp_download_end() {
	for (var _i = 0; _i < array_length(global.udphp_download_entries); _i++)
		ds_map_destroy(global.udphp_download_entries[_i]);
	global.udphp_download_entries = [];
	if (global.udphp_download != undefined) gmpunch_io_close(global.udphp_download);
	if (global.udphp_download_timer != undefined) time_source_destroy(global.udphp_download_timer);
	global.udphp_download = undefined;
	global.udphp_download_timer = undefined;
	global.udphp_downloadlist_refreshing = false;
}
