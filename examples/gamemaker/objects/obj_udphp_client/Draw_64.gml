draw_text(10, 320, status + " " + global.udphp_tmp_data2);
draw_text(10, 340, answer);
