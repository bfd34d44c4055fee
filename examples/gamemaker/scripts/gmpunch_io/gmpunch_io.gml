// gmpunch on GameMaker's own sockets: the game keeps its UDP socket, made by network_create_socket or network_create_server and
// used with network_send_udp, and gmpunch shares it.
//
//     Create     io = gmpunch_io_create(GMPUNCH_KIND_CLIENT, { master: "203.0.113.9", server: "198.51.100.7" }, socket);
//                if (io.object <= 0) show_message(gmpunch_error_text(io.object));
//     Step       gmpunch_io_step(io);
//                while (gmpunch_poll(io.object) > 0) { ... as with gmpunch_client_open, but without GMPUNCH_EVENT_DATA ... }
//     Networking if (gmpunch_io_networking(io) == GMPUNCH_INPUT_GAME) { ... a packet of the game, in async_load ... }
//     Clean Up   gmpunch_io_close(io);
//
// The game sends with gmpunch_io_send, gmpunch_io_host_send and gmpunch_io_host_send_all, or with network_send_udp to the address
// of the event. The extension's comments on the 12-byte header are in gmpunch_gm.c.

/// @function GmpunchIo(_kind, _settings, _socket)
/// @description What gmpunch_io_create returns. `object` is the id, or an error.
/// @param {Real} _kind
/// @param {Struct} _settings
/// @param {Id.Socket|Real} _socket
function GmpunchIo(_kind, _settings, _socket) constructor {
	self.object = gmpunch_start(_kind, _settings, true);
	self.master = variable_struct_get(_settings, "master");
	self.sockets = [_socket]; // 0 is the game's, others are made if gmpunch asks for another source port
	self.tcp = -1;
	self.connection = 0;
	self.blocked = false; // the connection did not take everything
	self.scratch = buffer_create(1024, buffer_grow, 1);
}

/// @function gmpunch_io_create(_kind, _settings, _socket)
/// @description Makes a client, host or lobby that uses GameMaker's sockets.
/// @param {Real} _kind GMPUNCH_KIND_CLIENT, _HOST or _LOBBY
/// @param {Struct} _settings as for gmpunch_config
/// @param {Id.Socket|Real} _socket the game's UDP socket; -1 for a lobby, which needs none
/// @returns {Struct.GmpunchIo} its object is the id, or an error
function gmpunch_io_create(_kind, _settings, _socket) {
	var _server = variable_struct_get(_settings, "server");
	if (is_string(_server) && gmpunch_is_address(_server) < 0) variable_struct_set(_settings, "server", network_resolve(_server));
	var _io = new GmpunchIo(_kind, _settings, _socket);
	if (_io.object > 0) {
		if (is_string(_io.master) && gmpunch_is_address(_io.master) < 0) gmpunch_io_resolve(_io);
		gmpunch_io_transmit(_io);
	}
	return _io;
}

/// @function gmpunch_io_close(_io)
/// @description Ends it. The game's socket stays open.
/// @param {Struct.GmpunchIo} _io
function gmpunch_io_close(_io) {
	if (_io.object > 0) gmpunch_close(_io.object);
	_io.object = GMPUNCH_ERR_STATE;
	gmpunch_io_drop(_io);
	for (var _i = 1; _i < array_length(_io.sockets); _i++) network_destroy(_io.sockets[_i]);
	_io.sockets = [];
	if (_io.scratch != -1) buffer_delete(_io.scratch);
	_io.scratch = -1;
}

/// @function gmpunch_io_resolve(_io)
/// @description Looks the master's name up; may wait. For GMPUNCH_EVENT_RESOLVE.
/// @param {Struct.GmpunchIo} _io
function gmpunch_io_resolve(_io) {
	var _colon = string_pos(":", _io.master);
	var _ip = network_resolve(_colon > 0 ? string_copy(_io.master, 1, _colon - 1) : _io.master); // gmpunch knows the port
	if (gmpunch_is_address(_ip) < 0) _ip = "";
	gmpunch_set_master(_io.object, _ip);
	gmpunch_io_transmit(_io);
}

/// @function gmpunch_io_step(_io)
/// @description To be called in each step, before gmpunch_poll.
/// @param {Struct.GmpunchIo} _io
function gmpunch_io_step(_io) {
	gmpunch_tick(_io.object);
	if (_io.blocked) {
		_io.blocked = false;
		gmpunch_tcp_writable(_io.object, _io.connection);
	}
	gmpunch_io_transmit(_io);
}

/// @function gmpunch_io_networking(_io)
/// @description To be called in the networking event.
/// @param {Struct.GmpunchIo} _io
/// @returns {Real} GMPUNCH_INPUT_PROTOCOL: done. GMPUNCH_INPUT_GAME: a packet of the game, from gmpunch_input_offset on in the
/// event's buffer; at a host gmpunch_input_peer says from whom. GMPUNCH_INPUT_OTHER: on its socket, but from a stranger. 0: of
/// other sockets. Negative: an error.
function gmpunch_io_networking(_io) {
	var _type = ds_map_find_value(async_load, "type");
	var _socket = ds_map_find_value(async_load, "id");
	var _server = ds_map_find_value(async_load, "server"); // of network_create_server
	var _result = 0;
	if (_io.tcp >= 0 && _socket == _io.tcp) {
		_result = GMPUNCH_INPUT_PROTOCOL;
		if (_type == network_type_data) {
			gmpunch_tcp_memory(_io.object, buffer_get_address(ds_map_find_value(async_load, "buffer")),
				ds_map_find_value(async_load, "size"));
		} else if (_type == network_type_non_blocking_connect && ds_map_find_value(async_load, "succeeded")) {
			gmpunch_tcp_opened(_io.object, _io.connection);
		} else {
			gmpunch_io_drop(_io);
			gmpunch_tcp_closed(_io.object, _io.connection, 0);
		}
	} else if (_type == network_type_data) {
		for (var _i = 0; _i < array_length(_io.sockets); _i++) {
			if (_socket != _io.sockets[_i] && _server != _io.sockets[_i]) continue;
			gmpunch_input_socket(_io.object, _i);
			_result = gmpunch_input_from(_io.object, ds_map_find_value(async_load, "ip"), ds_map_find_value(async_load, "port"));
			if (_result > 0) {
				_result = gmpunch_input_memory(_io.object, buffer_get_address(ds_map_find_value(async_load, "buffer")),
					ds_map_find_value(async_load, "size"));
			}
		}
	}
	if (_result != 0) gmpunch_io_transmit(_io);
	return _result;
}

/// @function gmpunch_io_send(_io, _buffer, [_size])
/// @description Sends a game packet to the client's host.
/// @param {Struct.GmpunchIo} _io
/// @param {Id.Buffer} _buffer
/// @param {Real} [_size] as in gmpunch_send
/// @returns {Real} 1, or an error
function gmpunch_io_send(_io, _buffer, _size = buffer_tell(_buffer)) {
	var _result = gmpunch_send(_io.object, _buffer, _size);
	gmpunch_io_transmit(_io);
	return _result;
}

/// @function gmpunch_io_host_send(_io, _peer, _buffer, [_size])
/// @description Sends a game packet to a peer.
/// @param {Struct.GmpunchIo} _io
/// @param {Real} _peer
/// @param {Id.Buffer} _buffer
/// @param {Real} [_size] as in gmpunch_send
/// @returns {Real} 1, or an error
function gmpunch_io_host_send(_io, _peer, _buffer, _size = buffer_tell(_buffer)) {
	var _result = gmpunch_host_send(_io.object, _peer, _buffer, _size);
	gmpunch_io_transmit(_io);
	return _result;
}

/// @function gmpunch_io_host_send_all(_io, _buffer, [_size])
/// @description Sends a game packet to all peers.
/// @param {Struct.GmpunchIo} _io
/// @param {Id.Buffer} _buffer
/// @param {Real} [_size] as in gmpunch_send
/// @returns {Real} how many peers, or an error
function gmpunch_io_host_send_all(_io, _buffer, _size = buffer_tell(_buffer)) {
	var _result = gmpunch_host_send_all(_io.object, _buffer, _size);
	gmpunch_io_transmit(_io);
	return _result;
}

/// @function gmpunch_io_transmit(_io)
/// @description Does what the object asks for. The other functions call it.
/// @param {Struct.GmpunchIo} _io
function gmpunch_io_transmit(_io) {
	for (var _kind = gmpunch_transmit(_io.object); _kind > 0; _kind = gmpunch_transmit(_io.object)) {
		switch (_kind) {
			case GMPUNCH_TRANSMIT_UDP: gmpunch_io_transmit_udp(_io); break;
			case GMPUNCH_TRANSMIT_TCP_OPEN: gmpunch_io_transmit_open(_io); break;
			case GMPUNCH_TRANSMIT_TCP_SEND: gmpunch_io_transmit_tcp(_io); break;
			case GMPUNCH_TRANSMIT_TCP_CLOSE: gmpunch_io_drop(_io); break;
		}
	}
}

/// @function gmpunch_io_load(_io)
/// @description Copies what is to be sent to the scratch buffer.
/// @param {Struct.GmpunchIo} _io
/// @returns {Real} bytes
function gmpunch_io_load(_io) {
	var _size = gmpunch_transmit_size(_io.object);
	gmpunch_fit(_io.scratch, _size);
	gmpunch_transmit_memory(_io.object, buffer_get_address(_io.scratch), buffer_get_size(_io.scratch));
	return _size;
}

/// @function gmpunch_io_transmit_udp(_io)
/// @param {Struct.GmpunchIo} _io
function gmpunch_io_transmit_udp(_io) {
	var _index = gmpunch_transmit_socket(_io.object);
	while (array_length(_io.sockets) <= _index) array_push(_io.sockets, network_create_socket(network_socket_udp));
	var _size = gmpunch_io_load(_io);
	var _ip = gmpunch_transmit_ip(_io.object);
	var _port = gmpunch_transmit_port(_io.object);
	if (gmpunch_transmit_header(_io.object) == 1) network_send_udp(_io.sockets[_index], _ip, _port, _io.scratch, _size);
	else network_send_udp_raw(_io.sockets[_index], _ip, _port, _io.scratch, _size);
}

/// @function gmpunch_io_transmit_open(_io)
/// @param {Struct.GmpunchIo} _io
function gmpunch_io_transmit_open(_io) {
	gmpunch_io_drop(_io);
	_io.connection = gmpunch_transmit_connection(_io.object);
	_io.tcp = network_create_socket(network_socket_tcp);
	if (_io.tcp < 0 || network_connect_raw_async(_io.tcp, gmpunch_transmit_ip(_io.object), gmpunch_transmit_port(_io.object)) < 0) {
		gmpunch_io_drop(_io);
		gmpunch_tcp_closed(_io.object, _io.connection, 1);
	}
}

/// @function gmpunch_io_transmit_tcp(_io)
/// @param {Struct.GmpunchIo} _io
function gmpunch_io_transmit_tcp(_io) {
	var _size = gmpunch_io_load(_io);
	var _sent = network_send_raw(_io.tcp, _io.scratch, _size);
	if (_sent < 0) { // also how a game learns that the master went away: GameMaker has no event for it
		gmpunch_io_drop(_io);
		gmpunch_tcp_closed(_io.object, _io.connection, _sent);
	} else if (_sent < _size) {
		_io.blocked = true;
		gmpunch_tcp_sent(_io.object, _io.connection, _sent);
	}
}

/// @function gmpunch_io_drop(_io)
/// @description Closes the TCP connection.
/// @param {Struct.GmpunchIo} _io
function gmpunch_io_drop(_io) {
	if (_io.tcp >= 0) network_destroy(_io.tcp);
	_io.tcp = -1;
	_io.blocked = false;
}
