draw_text(10, 300, status + ", " + string(ds_list_size(players)) + " players");
