udphp_serverNetworking();
// What is left are the game's own packets, from players of the list.
var _ip = ds_map_find_value(async_load, "ip");
var _port = ds_map_find_value(async_load, "port");
if (ds_map_find_value(async_load, "type") == network_type_data
	&& ds_list_find_index(players, string(_ip) + ":" + string(_port)) >= 0) {
	var _packet = ds_map_find_value(async_load, "buffer");
	if (buffer_peek(_packet, 0, buffer_u8) < 128) { // ids of GMnet PUNCH are above
		var _text = buffer_read(_packet, buffer_string);
		buffer_seek(buffer, buffer_seek_start, 0);
		buffer_write(buffer, buffer_string, _text + " to " + string(ds_list_size(players)));
		network_send_udp(server, _ip, _port, buffer, buffer_tell(buffer));
	}
}
