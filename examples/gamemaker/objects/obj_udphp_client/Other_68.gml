udphp_clientNetworking(client);
// What is left are the game's own packets.
if (ds_map_find_value(async_load, "type") == network_type_data && udphp_clientIsConnected(client)
	&& ds_map_find_value(async_load, "ip") == udphp_clientGetServerIP(client)) {
	var _packet = ds_map_find_value(async_load, "buffer");
	if (buffer_peek(_packet, 0, buffer_u8) < 128) answer = buffer_read(_packet, buffer_string); // ids of GMnet PUNCH are above
}
