if (!udphp_clientPunch(client)) status = "failed";
if (udphp_clientIsConnected(client) && alarm_steps-- <= 0) {
	status = "connected";
	buffer_seek(buffer, buffer_seek_start, 0);
	buffer_write(buffer, buffer_string, "hello " + string(count++));
	network_send_udp(socket, udphp_clientGetServerIP(client), udphp_clientGetServerPort(client), buffer, buffer_tell(buffer));
	udphp_clientReadData(client);
	alarm_steps = 30;
}
