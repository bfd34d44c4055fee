/// @function udphp_error_message_handler(_message)
/// @description What udphp tells of errors. A game puts its own script in this place, to show them to the player.
/// @param {String} _message
function udphp_error_message_handler(_message) {
	show_debug_message("udphp: " + _message);
}
