while (gmpunch_poll(host) > 0) {
	switch (gmpunch_event_type(host)) {
		case GMPUNCH_EVENT_RESOLVE: gmpunch_resolve(host); break;
		case GMPUNCH_EVENT_REGISTERED: status = "registered with the master"; break;
		case GMPUNCH_EVENT_UNREGISTERED: status = gmpunch_reason_text(gmpunch_event_reason(host)); break;
		case GMPUNCH_EVENT_JOINED:
		case GMPUNCH_EVENT_LEFT:
			status = gmpunch_event_ip(host) + " " + gmpunch_event_name(gmpunch_event_type(host));
			gmpunch_set_data(host, 3, string(gmpunch_peer_count(host)) + " players"); // for who looks at the list
			gmpunch_commit_data(host);
			break;
		case GMPUNCH_EVENT_DATA:
			gmpunch_event_data(host, buffer);
			var _text = buffer_read(buffer, buffer_string);
			buffer_seek(buffer, buffer_seek_start, 0);
			buffer_write(buffer, buffer_string, _text + " to " + string(gmpunch_peer_count(host)));
			gmpunch_host_send(host, gmpunch_event_peer(host), buffer);
			break;
	}
}
