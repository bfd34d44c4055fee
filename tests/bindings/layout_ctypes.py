"""Prints what examples/python/gmpunch.py declares, as layout.py wants it."""
import ctypes
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"))
import gmpunch  # noqa: E402

STRUCTS = {"gmpunch_allocator": gmpunch._Allocator, "gmpunch_address": gmpunch._Address, "gmpunch_event": gmpunch._Event,
           "gmpunch_client_config": gmpunch.ClientConfig, "gmpunch_host_config": gmpunch.HostConfig,
           "gmpunch_lobby_config": gmpunch.LobbyConfig, "gmpunch_master_config": gmpunch.MasterConfig,
           "gmpunch_client_stats": gmpunch.ClientStats, "gmpunch_host_stats": gmpunch.HostStats,
           "gmpunch_lobby_stats": gmpunch.LobbyStats, "gmpunch_master_stats": gmpunch.MasterStats,
           "gmpunch_peer_info": gmpunch._PeerInfo, "gmpunch_wait": gmpunch._Wait}
ENUMS = {"ERR": gmpunch.Result, "EVENT": gmpunch.EventType, "REASON": gmpunch.Reason, "STAGE": gmpunch.Stage,
         "HOW": gmpunch.How, "SOCKET": gmpunch.SocketMode, "LOG": gmpunch.LogLevel, "LOG_ITEM": gmpunch.LogItem,
         "WAIT": gmpunch.Wait}


def kind(native):
    if native is None:
        return "void"
    if native in (ctypes.c_void_p, ctypes.c_char_p) or issubclass(native, ctypes._CFuncPtr):
        return "pointer"
    if issubclass(native, (ctypes.Structure, ctypes.Array)):
        return str(ctypes.sizeof(native))
    return ("i" if native(-1).value < 0 else "u") + str(ctypes.sizeof(native))


for name, struct in STRUCTS.items():
    print("struct", name, ctypes.sizeof(struct))
    for field, native in struct._fields_:
        print("field", name + "." + field, getattr(struct, field).offset, kind(native))
for prefix, enum in ENUMS.items():
    for member in enum:
        if member is gmpunch.Stage.NONE:
            continue  # Python's own: C has a bare 0
        print("constant", "GMPUNCH_OK" if member is gmpunch.Result.OK else f"GMPUNCH_{prefix}_{member.name}", int(member))
for name, value in vars(gmpunch).items():
    if name.isupper() and isinstance(value, int):
        print("constant", "GMPUNCH_" + name, value)
for name, (result, *parameters) in gmpunch._SIGNATURES.items():
    print("function", "gmpunch_" + name, kind(result), *map(kind, parameters))
