udphp_serverPunch();
