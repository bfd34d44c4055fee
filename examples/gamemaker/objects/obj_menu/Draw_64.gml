draw_text(10, 10, "M master in this game   L list of hosts   H host   U host by the scripts of GMnet PUNCH");
draw_text(10, 30, status);
for (var _i = 0; _i < array_length(hosts); _i++)
	draw_text(10, 60 + 20 * _i, string(_i + 1) + "  " + hosts[_i].name + "  " + hosts[_i].ip);
