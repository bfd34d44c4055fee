draw_text(10, 280, status);
