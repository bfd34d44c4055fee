/// @function demo_master()
/// @description The master as gmpunch takes it.
/// @returns {String}
function demo_master() {
	return obj_menu.master_ip + ":" + string(obj_menu.master_port);
}
