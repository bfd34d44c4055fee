/// The lobby. Starts a host, or a client that joins a host of the list.
// The address of a master. Without one on the internet, key M starts one in this game, for tries on one computer: run the game
// twice, M and H in one, L and a number in the other.
master_ip = "127.0.0.1";
master_port = GMPUNCH_DEFAULT_PORT;
name = "host of " + string(irandom(9999));
status = gmpunch_is_available() == 1 ? "gmpunch " + gmpunch_version() : "the library of the extension gmpunch is missing";
lobby = -1;
local_master = -1;
hosts = [];
chosen = "";  // the IP of the host to join
entries = []; // of the list that is being downloaded
