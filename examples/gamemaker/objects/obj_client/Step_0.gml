while (gmpunch_poll(client) > 0) {
	switch (gmpunch_event_type(client)) {
		case GMPUNCH_EVENT_RESOLVE: gmpunch_resolve(client); break;
		case GMPUNCH_EVENT_CONNECTED: status = "connected: " + gmpunch_how_name(gmpunch_event_how(client)); break;
		case GMPUNCH_EVENT_HOST_DATA: status = "connected with " + gmpunch_event_string(client, 2); break;
		case GMPUNCH_EVENT_FAILED:
		case GMPUNCH_EVENT_LOST: status = gmpunch_reason_text(gmpunch_event_reason(client)); break;
		case GMPUNCH_EVENT_DATA:
			gmpunch_event_data(client, buffer);
			answer = buffer_read(buffer, buffer_string);
			break;
	}
}
// Any datagram may get lost: it says something again and again.
if (gmpunch_stage(client) == GMPUNCH_STAGE_CONNECTED && alarm_steps-- <= 0) {
	buffer_seek(buffer, buffer_seek_start, 0);
	buffer_write(buffer, buffer_string, "hello " + string(count++));
	gmpunch_send(client, buffer);
	alarm_steps = 30;
}
