// gmpunch in GML: the functions of the extension that take structs and buffers. All others are called as they are.
//
// Results: what does something returns 1 or more, or a negative GMPUNCH_ERR_ (gmpunch_error_text says what it means). 0 is what
// GameMaker returns if the library could not be loaded, so check for > 0.
//
// A client, complete:
//     Create   client = gmpunch_client_open({ master: "203.0.113.9", server: "198.51.100.7" });
//     Step     while (gmpunch_poll(client) > 0) {
//                  switch (gmpunch_event_type(client)) {
//                      case GMPUNCH_EVENT_CONNECTED: gmpunch_send(client, buffer); break;
//                      case GMPUNCH_EVENT_DATA: gmpunch_event_data(client, buffer); ... buffer_read(buffer, ...) ... break;
//                      case GMPUNCH_EVENT_FAILED: show_message(gmpunch_reason_text(gmpunch_event_reason(client))); break;
//                  }
//              }
//     Clean Up gmpunch_close(client);

/// @function gmpunch_config(_kind, _settings)
/// @description Makes a config from a struct. Its members are named as the fields of gmpunch_client_config and so on in gmpunch.h.
/// @param {Real} _kind GMPUNCH_KIND_
/// @param {Struct} _settings such as { master: "203.0.113.9", bind_port: 4000, raw: false }
/// @returns {Real} the config, or an error
function gmpunch_config(_kind, _settings) {
	var _config = gmpunch_config_create(_kind);
	var _names = variable_struct_get_names(_settings);
	for (var _i = 0; _config > 0 && _i < array_length(_names); _i++) {
		var _value = variable_struct_get(_settings, _names[_i]);
		var _result = is_string(_value) ? gmpunch_config_set_text(_config, _names[_i], _value)
			: gmpunch_config_set(_config, _names[_i], _value);
		if (_result <= 0) {
			gmpunch_close(_config);
			return _result;
		}
	}
	return _config;
}

/// @function gmpunch_start(_kind, _settings, _own)
/// @description Opens an object (_own false) or makes one that leaves its sockets to the game (_own true).
/// @param {Real} _kind GMPUNCH_KIND_
/// @param {Struct} _settings as for gmpunch_config
/// @param {Bool} _own
/// @returns {Real} the object, or an error
function gmpunch_start(_kind, _settings, _own) {
	var _config = gmpunch_config(_kind, _settings);
	if (_config <= 0) return _config;
	var _object = _own ? gmpunch_create(_config) : gmpunch_open(_config);
	gmpunch_close(_config);
	return _object;
}

/// @function gmpunch_client_open(_settings)
/// @description Joins a host. Then call gmpunch_poll in each step.
/// @param {Struct} _settings at least master and server
/// @returns {Real} the client, or an error
function gmpunch_client_open(_settings) {
	return gmpunch_start(GMPUNCH_KIND_CLIENT, _settings, false);
}

/// @function gmpunch_host_open(_settings)
/// @description Lets clients join. Then call gmpunch_poll in each step.
/// @param {Struct} _settings usually master and data1 to data8
/// @returns {Real} the host, or an error
function gmpunch_host_open(_settings) {
	return gmpunch_start(GMPUNCH_KIND_HOST, _settings, false);
}

/// @function gmpunch_lobby_open(_settings)
/// @description Downloads the list of hosts from a master: GMPUNCH_EVENT_LOBBY_ENTRY for each, at last GMPUNCH_EVENT_LOBBY_DONE or
/// GMPUNCH_EVENT_FAILED. Call gmpunch_poll in each step.
/// @param {Struct} _settings at least master
/// @returns {Real} the lobby, or an error
function gmpunch_lobby_open(_settings) {
	return gmpunch_start(GMPUNCH_KIND_LOBBY, _settings, false);
}

/// @function gmpunch_master_open(_settings)
/// @description Runs a master. Then call gmpunch_poll in each step.
/// @param {Struct} _settings {} for port 6510
/// @returns {Real} the master, or an error
function gmpunch_master_open(_settings) {
	return gmpunch_start(GMPUNCH_KIND_MASTER, _settings, false);
}

/// @function gmpunch_send(_client, _buffer, [_size])
/// @description Sends a game packet to the host.
/// @param {Real} _client
/// @param {Id.Buffer} _buffer
/// @param {Real} [_size] bytes from the start of the buffer; without it up to its seek position
/// @returns {Real} 1, or an error
function gmpunch_send(_client, _buffer, _size = buffer_tell(_buffer)) {
	return gmpunch_send_memory(_client, buffer_get_address(_buffer), _size);
}

/// @function gmpunch_host_send(_host, _peer, _buffer, [_size])
/// @description Sends a game packet to a peer.
/// @param {Real} _host
/// @param {Real} _peer of an event, or of gmpunch_peers
/// @param {Id.Buffer} _buffer
/// @param {Real} [_size] as in gmpunch_send
/// @returns {Real} 1, or an error
function gmpunch_host_send(_host, _peer, _buffer, _size = buffer_tell(_buffer)) {
	var _result = gmpunch_send_to(_host, _peer);
	return _result > 0 ? gmpunch_send_memory(_host, buffer_get_address(_buffer), _size) : _result;
}

/// @function gmpunch_host_send_all(_host, _buffer, [_size])
/// @description Sends a game packet to all peers.
/// @param {Real} _host
/// @param {Id.Buffer} _buffer
/// @param {Real} [_size] as in gmpunch_send
/// @returns {Real} how many peers, or an error
function gmpunch_host_send_all(_host, _buffer, _size = buffer_tell(_buffer)) {
	return gmpunch_send_all_memory(_host, buffer_get_address(_buffer), _size);
}

/// @function gmpunch_fit(_buffer, _size)
/// @description Gives a buffer at least this size, and its seek position the start.
/// @param {Id.Buffer} _buffer
/// @param {Real} _size
function gmpunch_fit(_buffer, _size) {
	if (buffer_get_size(_buffer) < _size) buffer_resize(_buffer, _size);
	buffer_seek(_buffer, buffer_seek_start, 0);
}

/// @function gmpunch_event_data(_object, _buffer)
/// @description Copies the game packet of GMPUNCH_EVENT_DATA to the start of a buffer, ready for buffer_read.
/// @param {Real} _object
/// @param {Id.Buffer} _buffer made larger if it is too small
/// @returns {Real} bytes of the packet, or an error
function gmpunch_event_data(_object, _buffer) {
	var _size = gmpunch_event_size(_object);
	if (_size <= 0) return _size;
	gmpunch_fit(_buffer, _size);
	var _result = gmpunch_event_memory(_object, buffer_get_address(_buffer), buffer_get_size(_buffer));
	return _result > 0 ? _size : _result;
}

/// @function GmpunchEvent(_object)
/// @description The current event of an object as a struct.
/// @param {Real} _object
function GmpunchEvent(_object) constructor {
	self.type = gmpunch_event_type(_object);
	self.name = gmpunch_event_name(self.type);
	self.reason = gmpunch_event_reason(_object);
	self.reason_text = gmpunch_reason_text(self.reason);
	self.peer = gmpunch_event_peer(_object);
	self.ip = gmpunch_event_ip(_object);
	self.port = gmpunch_event_port(_object);
	self.how = gmpunch_event_how(_object);
	self.elapsed = gmpunch_event_elapsed(_object);
	self.size = gmpunch_event_size(_object);
	self.created = gmpunch_event_created(_object);
	self.count = gmpunch_event_count(_object);
	self.strings = []; // of GMPUNCH_EVENT_HOST_DATA and GMPUNCH_EVENT_LOBBY_ENTRY; data1 is strings[0]
	if (self.type == GMPUNCH_EVENT_HOST_DATA || self.type == GMPUNCH_EVENT_LOBBY_ENTRY) {
		for (var _i = 1; _i <= 8; _i++) array_push(self.strings, gmpunch_event_string(_object, _i));
	}
}

/// @function gmpunch_next_event(_object)
/// @description Does what is due, as gmpunch_poll, and returns the next event as a struct; undefined if there is none.
/// @param {Real} _object
/// @returns {Struct.GmpunchEvent|Undefined}
function gmpunch_next_event(_object) {
	return gmpunch_poll(_object) > 0 ? new GmpunchEvent(_object) : undefined;
}

/// @function gmpunch_peers(_host)
/// @description The ids of the connected peers.
/// @param {Real} _host
/// @returns {Array<Real>}
function gmpunch_peers(_host) {
	var _peers = [];
	var _count = gmpunch_peer_count(_host);
	for (var _i = 0; _i < _count; _i++) array_push(_peers, gmpunch_peer(_host, _i));
	return _peers;
}
