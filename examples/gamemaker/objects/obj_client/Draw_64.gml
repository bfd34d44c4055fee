draw_text(10, 320, status);
draw_text(10, 340, answer);
