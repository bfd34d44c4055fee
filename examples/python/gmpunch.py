"""gmpunch for Python: UDP hole punching with the shared library of gmpunch.h. Python 3.9 or later, nothing else.

    import gmpunch

    with gmpunch.Client(gmpunch.ClientConfig(master="203.0.113.9", server="198.51.100.7")) as client:
        while True:                                     # once per frame
            for event in client.events():               # never blocks
                if event.type == gmpunch.EventType.CONNECTED:
                    client.send(b"hello")
                elif event.type == gmpunch.EventType.DATA:
                    handle(event.data)
                elif event.type == gmpunch.EventType.FAILED:
                    print(event.reason.text)

Host, Master and Lobby are the same. What gmpunch.h says of a function or field holds for the one of that name here; this is
what differs:

  * Objects are context managers; close() may be called twice, and every other call on a closed object raises Error.
  * A negative result is raised as Error, with .result, .os_error and a text.
  * Durations are milliseconds, as in C. Texts are str; what is no UTF-8 on the wire has U+FFFD in its place.
  * Events are copies and stay valid.
  * One object is used by one thread at a time (waiting lets other threads run).

The library is loaded when it is first needed: from load(path), else $GMPUNCH_LIBRARY, else where the system has it.
"""
from __future__ import annotations

import ctypes
import ctypes.util
import enum
import os
from dataclasses import dataclass
from typing import Annotated, Any, Callable, ClassVar, Iterator, NamedTuple, Optional, Sequence, TypeVar, get_type_hints

DEFAULT_PORT = 6510
NEVER = 0xFFFFFFFF  # a duration without end
MAX_PACKET = 65000  # upper limit of max_packet
MASTER_MAX_BINDS = 8
DATA_STRINGS = 8
SORT_DATE = 0
LIMIT_NONE = 0xFFFFFFFF
KNOCK_LOW_PORTS = 1  # bits of knock_rules
KNOCK_LOCAL = 2
KNOCK_NOT_PRIVATE = 4
ADDRESS_TEXT_SIZE = 80


# ---- enumerations


class _Enum(enum.IntEnum):
    @classmethod
    def _missing_(cls, value: object) -> Any:
        """A newer library may know more than this file."""
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_, member._value_ = "UNKNOWN", value
        return member


class Result(_Enum):
    OK = 0
    ARGUMENT = -100
    CONFIG = -101
    ADDRESS = -102
    RESERVED = -103
    STATE = -200
    NOT_CONNECTED = -201
    PEER = -202
    CONNECTION = -203
    WOULD_BLOCK = -204
    MEMORY = -300
    FULL = -301
    TOO_LONG = -302
    END = -303
    SOCKET = -400
    ADDRESS_IN_USE = -401
    ADDRESS_NOT_HERE = -402
    ACCESS = -403
    DESCRIPTORS = -404
    MALFORMED = -500


class EventType(_Enum):
    NONE = 0
    DATA = 1
    RESOLVE = 2
    FOUND = 10
    FALLBACK = 11
    CONNECTED = 12
    FAILED = 13
    LOST = 14
    HOST_DATA = 15
    REGISTERED = 20
    UNREGISTERED = 21
    INTRODUCED = 22
    INTRODUCTION_EXPIRED = 23
    JOINED = 24
    LEFT = 25
    HOST_ADDED = 30
    HOST_REMOVED = 31
    INTRODUCTION = 32
    NOT_FOUND = 33
    LOBBY_ENTRY = 40
    LOBBY_DONE = 41


class Reason(_Enum):
    NONE = 0
    RESOLVE_FAILED = 1
    MASTER_UNREACHABLE = 2
    MASTER_SILENT = 3
    MASTER_CLOSED = 4
    MASTER_MALFORMED = 5
    HOST_NOT_FOUND = 6
    HOST_SILENT = 7
    HOST_ONE_WAY = 8
    TIMEOUT = 9
    KICKED = 10
    CLOSED = 11
    REPLACED = 12
    SOCKET = 13
    LIMIT = 14
    VERSION = 15

    @property
    def text(self) -> str:
        """A sentence that tells a player what to do."""
        return _decode(_c("reason_text")(self))


class Stage(_Enum):
    NONE = 0  # of an event that is not a client's
    MASTER = 1
    PUNCH = 2
    DIRECT = 3
    CONNECTED = 4
    FAILED = 5
    LOST = 6


class How(_Enum):
    NONE = 0
    PUNCHED = 1
    DIRECT = 2


class SocketMode(_Enum):
    OWN = 0
    ADOPTED = 1
    SEND_ONLY = 2  # not with this binding: it has no _input_udp


class LogLevel(_Enum):
    ERROR = 1
    WARNING = 2
    INFO = 3
    DEBUG = 4


class LogItem(_Enum):
    STAGE = 1
    MASTER = 2
    INTRODUCTION = 3
    PEER = 4
    REFUSED = 5
    MALFORMED = 6
    SOCKET = 7


class Wait(_Enum):
    READ = 1
    WRITE = 2


class Error(Exception):
    """A call failed."""

    def __init__(self, result: int, os_error: int = 0) -> None:
        self.result = Result(result)
        self.os_error = os_error  # the system's number, 0 if it had no part in it
        text = _decode(_c("strerror")(result))
        super().__init__(f"{text} ({os.strerror(os_error)})" if os_error else text)


# ---- structs: one annotation for each field, the type for Python and the type for C

_i32, _u32, _u64, _pointer, _text = ctypes.c_int32, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_char_p
_LogFunction = ctypes.CFUNCTYPE(None, _pointer, _i32, _i32, _text)

U8 = Annotated[int, ctypes.c_uint8]
U16 = Annotated[int, ctypes.c_uint16]
U32 = Annotated[int, _u32]
U64 = Annotated[int, _u64]
I32 = Annotated[int, _i32]
Size = Annotated[int, ctypes.c_size_t]
Flag = Annotated[bool, _i32]
Pointer = Annotated[Optional[int], _pointer]
Text = Annotated[Optional[str], _text]
Texts = Annotated[Sequence[Optional[str]], _text * DATA_STRINGS]
Log = Annotated[Optional[Callable[[LogLevel, LogItem, str], None]], _LogFunction]

_S = TypeVar("_S", bound=type)


def _struct(cls: _S) -> _S:
    """Makes the annotations of a ctypes.Structure its fields."""
    hints = get_type_hints(cls, include_extras=True)
    cls._fields_ = [(name, getattr(hints[name], "__metadata__", [hints[name]])[0]) for name in cls.__annotations__]
    return cls


def _encode(text: Optional[str]) -> Optional[bytes]:
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"not a str: {text!r}")
    if "\0" in text:
        raise ValueError("a text for C can't have a NUL character")
    return text.encode()


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _log_function(log: Callable[[LogLevel, LogItem, str], None]) -> Any:
    return _LogFunction(lambda _user, level, item, text: log(LogLevel(level), LogItem(item), _decode(text)))


class _Sized(ctypes.Structure):
    """A struct that begins with its size. Takes fields by name; what is left out is zero: the documented default."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **fields)

    def __setattr__(self, name: str, value: Any) -> None:
        # ctypes keeps what is no field, cuts numbers that are too large, and takes a number for the address of a text.
        types: dict[str, Any] = {field[0]: field[1] for field in self._fields_}
        native = types.get(name)
        if native is None:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")
        if native is _LogFunction:
            value = _log_function(value) if value else _LogFunction()
            vars(self)["_log"] = value  # for who opens with it
        elif native is _text:
            value = _encode(value)
        elif isinstance(value, (list, tuple)):
            value = native(*map(_encode, value))
        super().__setattr__(name, value)
        if isinstance(value, int) and (getattr(self, name) or 0) != value:
            raise OverflowError(f"{name} is out of range: {value}")


@_struct
class _Allocator(ctypes.Structure):
    alloc: Pointer
    free: Pointer
    user: Pointer


@_struct
class ClientConfig(_Sized):
    struct_size: U32
    raw: Flag
    escape: Flag
    direct_only: Flag
    master: Text
    server: Text
    bind_address: Text
    bind_port: U16
    direct_port: U16
    socket_mode: U32
    udp_socket: Size
    timeout_ms: U32
    master_timeout_ms: U32
    announce_interval_ms: U32
    knock_interval_ms: U32
    keepalive_interval_ms: U32
    peer_timeout_ms: U32
    max_packet: U32
    max_sockets: U32
    ask_data: Flag
    reserved: U32
    seed: U64
    memory: Pointer
    memory_size: Size
    allocator: _Allocator
    log: Log
    log_user: Pointer
    os_error: Pointer
    knock_rules: U32
    max_addresses: U32


@_struct
class HostConfig(_Sized):
    struct_size: U32
    raw: Flag
    escape: Flag
    require_mediation: Flag
    master: Text
    bind_address: Text
    bind_port: U16
    reserved: U16
    socket_mode: U32
    udp_socket: Size
    data: Texts
    data_capacity: U32
    register_interval_ms: U32
    reconnect_min_ms: U32
    reconnect_max_ms: U32
    keepalive_interval_ms: U32
    ping_interval_ms: U32
    knock_interval_ms: U32
    introduction_timeout_ms: U32
    peer_timeout_ms: U32
    idle_timeout_ms: U32
    kick_ms: U32
    max_peers: U32
    max_introductions: U32
    max_packet: U32
    seed: U64
    memory: Pointer
    memory_size: Size
    allocator: _Allocator
    log: Log
    log_user: Pointer
    os_error: Pointer
    knock_rules: U32
    max_introductions_per_ip: U32
    max_knocks_per_second: U32
    max_direct_peers: U32
    max_direct_peers_per_ip: U32
    unconfirmed_ms: U32


@_struct
class LobbyConfig(_Sized):
    struct_size: U32
    sort_by: U32
    descending: Flag
    limit: U32
    master: Text
    bind_address: Text
    filter: Texts
    timeout_ms: U32
    max_entry: U32
    max_entries: U32
    reserved: U32
    memory: Pointer
    memory_size: Size
    allocator: _Allocator
    log: Log
    log_user: Pointer
    os_error: Pointer
    max_bytes: U32
    total_timeout_ms: U32


@_struct
class MasterConfig(_Sized):
    struct_size: U32
    any_port: Flag
    bind_address: Text
    port: U16
    reserved: U16
    no_lobby: Flag
    testing: Flag
    name: Text
    hold_ms: U32
    client_port_ms: U32
    host_port_ms: U32
    command_timeout_ms: U32
    idle_timeout_ms: U32
    host_timeout_ms: U32
    write_timeout_ms: U32
    introduction_gap_ms: U32
    max_connections: U32
    max_connections_per_ip: U32
    max_ports: U32
    max_ports_per_ip: U32
    max_requests: U32
    max_requests_per_connection: U32
    max_messages: U32
    max_messages_per_connection: U32
    max_line: U32
    max_data: U32
    max_lobby: U32
    max_lobby_memory: U32
    seed: U64
    allocator: _Allocator
    log: Log
    log_user: Pointer
    os_error: Pointer
    max_connections_per_subnet: U32
    max_waiting_connections: U32
    max_commands_per_second: U32
    max_lobby_memory_per_ip: U32


@_struct
class ClientStats(_Sized):
    struct_size: U32
    announces_sent: U32
    master_attempts: U32
    master_answers: U32
    knocks_sent: U32
    knocks_heard: U32
    welcomes_heard: U32
    keepalives_sent: U32
    sockets_used: U32
    strangers: U32
    malformed: U32
    oversized: U32
    events_dropped: U32
    sends_failed: U32
    refused_addresses: U32


@_struct
class HostStats(_Sized):
    struct_size: U32
    peers: U32
    introductions: U32
    registered: U32
    registrations: U32
    master_attempts: U32
    introduced: U32
    joined: U32
    left: U32
    knocks_sent: U32
    knocks_heard: U32
    welcomes_sent: U32
    data_sent: U32
    keepalives_sent: U32
    refused_full: U32
    refused_unmediated: U32
    refused_kicked: U32
    refused_introductions: U32
    strangers: U32
    malformed: U32
    oversized: U32
    events_dropped: U32
    sends_failed: U32
    refused_direct: U32
    refused_direct_ip: U32
    displaced: U32
    knocks_held: U32
    data_held: U32


@_struct
class LobbyStats(_Sized):
    struct_size: U32
    master_attempts: U32
    entries: U32
    oversized: U32
    malformed: U32
    reserved: U32
    bytes: U64


@_struct
class MasterStats(_Sized):
    struct_size: U32
    connections: U32
    hosts: U32
    requests: U32
    ports: U32
    reserved: U32
    memory: U64
    accepted: U64
    registrations: U64
    requested: U64
    introductions: U64
    portless: U64
    not_found: U64
    udp_received: U64
    udp_ignored: U64
    lines_ignored: U64
    refused_connections: U64
    refused_connections_ip: U64
    refused_ports: U64
    refused_requests: U64
    refused_messages: U64
    refused_memory: U64
    closed_line: U64
    closed_command: U64
    closed_idle: U64
    closed_host: U64
    closed_write: U64
    closed_version: U64
    closed_full: U64
    events_dropped: U64
    listed: U64
    data_bytes: U64
    lobby_bytes: U64
    lobby_requests: U64
    lobby_built: U64
    lobby_truncated: U64
    refused_data: U64
    refused_lobby: U64
    tcp_bytes_in: U64
    tcp_bytes_out: U64
    udp_bytes_in: U64
    refused_connections_subnet: U64
    refused_connections_waiting: U64
    refused_commands: U64


@_struct
class _Address(ctypes.Structure):
    family: U8
    reserved: U8
    port: U16
    scope_id: U32
    ip: Annotated[Sequence[int], ctypes.c_uint8 * 16]


@_struct
class _PeerInfo(_Sized):
    struct_size: U32
    peer: U32
    address: _Address
    how: I32
    flags: U32
    answers: I32
    socket_index: U32
    connected_ms: U32
    silent_ms: U32
    confirmed: I32


@_struct
class _Event(ctypes.Structure):
    type: I32
    reason: I32
    cause: I32
    stage: I32
    how: I32
    peer: U32
    address: _Address
    other: _Address
    elapsed_ms: U32
    announces_sent: U32
    knocks_sent: U32
    knocks_heard: U32
    ignored: U32
    os_error: I32
    socket_index: U32
    len: U32
    data: Pointer
    created: U64
    count: U32
    reserved: Annotated[Sequence[int], _u32 * 1]


@_struct
class _Wait(ctypes.Structure):
    socket: Size
    events: U32
    reserved: U32


# ---- functions

# name without the prefix: the type of the result, the types of the parameters
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "strerror": (_text, _i32),
    "error_name": (_text, _i32),
    "version": (_u32,),
    "version_string": (_text,),
    "event_name": (_text, _i32),
    "reason_name": (_text, _i32),
    "stage_name": (_text, _i32),
    "how_name": (_text, _i32),
    "reason_text": (_text, _i32),
    "event_string": (_text, _pointer, _u32),
    "address_parse": (_i32, _text, ctypes.c_uint16, _pointer),
    "address_format": (_i32, _pointer, _pointer, ctypes.c_size_t),
    "now": (_u64,),
    "client_send": (_i32, _pointer, _text, ctypes.c_size_t),
    "client_request_data": (_i32, _pointer, _u64),
    "client_stage": (_i32, _pointer),
    "client_server": (_i32, _pointer, _pointer, _pointer),
    "host_send": (_i32, _pointer, _u32, _text, ctypes.c_size_t),
    "host_send_all": (_i32, _pointer, _text, ctypes.c_size_t),
    "host_find_peer": (_u32, _pointer, _pointer),
    "host_peer_info": (_i32, _pointer, _u32, _pointer),
    "host_peers": (_i32, _pointer, _pointer, _u32),
    "host_kick": (_i32, _pointer, _u64, _u32),
    "host_set_data": (_i32, _pointer, _u32, _text),
    "host_commit_data": (_i32, _pointer, _u64),
    "master_local_address": (_i32, _pointer, _u32, _pointer),
    **{f"{kind}_{name}": signature for kind in ("client", "host", "lobby", "master") for name, signature in {
        "open": (_i32, _pointer, _pointer),
        "close": (None, _pointer),
        "poll": (_i32, _pointer, _pointer, _u32),
        "waits": (_i32, _pointer, _pointer, _u32),
        "next_deadline": (_u64, _pointer),
        "get_stats": (_i32, _pointer, _pointer),
        "os_error": (_i32, _pointer),
    }.items()},
    **{f"{kind}_resolve": (_i32, _pointer) for kind in ("client", "host", "lobby")},
    **{f"{kind}_local_address": (_i32, _pointer, _pointer) for kind in ("client", "host")},
    **{f"{kind}_socket": (ctypes.c_size_t, _pointer) for kind in ("client", "host")},
}

_library: Optional[ctypes.CDLL] = None


def load(path: Optional[str] = None) -> None:
    """Loads the shared library: from this path, else $GMPUNCH_LIBRARY, else where the system has it."""
    global _library
    path = path or os.environ.get("GMPUNCH_LIBRARY") or ctypes.util.find_library("gmpunch")
    if not path:
        raise OSError("there is no shared library gmpunch: install it, set GMPUNCH_LIBRARY or call gmpunch.load(path)")
    library = ctypes.CDLL(path)
    for name, (result, *parameters) in _SIGNATURES.items():
        function = getattr(library, f"gmpunch_{name}")
        function.restype, function.argtypes = result, parameters
    _library = library


def _c(name: str) -> Any:
    """The function of C with this name, without the prefix."""
    if _library is None:
        load()
    return getattr(_library, f"gmpunch_{name}")


def version() -> str:
    """Of the library."""
    return _decode(_c("version_string")())


# ---- addresses and events


class Address(NamedTuple):
    """Begins as the addresses of the module socket do."""

    ip: str
    port: int

    def __str__(self) -> str:
        ip = f"[{self.ip}]" if ":" in self.ip and self.port else self.ip
        return f"{ip}:{self.port}" if self.port else ip

    @staticmethod
    def parse(text: str, default_port: int = 0) -> Address:
        """Reads "1.2.3.4", "1.2.3.4:5", "2001:db8::1" or "[2001:db8::1]:5"; raises Error for what is none."""
        address = _address(_native_address(text, default_port))
        assert address
        return address


def _native_address(text: str, default_port: int = 0) -> _Address:
    native = _Address()
    _check(_c("address_parse")(_encode(text), default_port, ctypes.byref(native)))
    return native


def _address(native: _Address) -> Optional[Address]:
    if not native.family:
        return None
    bare = _Address.from_buffer_copy(native)
    bare.port = 0  # then only the IP is written
    text = ctypes.create_string_buffer(ADDRESS_TEXT_SIZE)
    _check(_c("address_format")(ctypes.byref(bare), text, len(text)))
    return Address(text.value.decode(), native.port)


def _check(result: int) -> int:
    if result < 0:
        raise Error(result)
    return result


@dataclass(frozen=True)
class Event:
    """What happened. Fields that an event does not name are 0, None or empty."""

    type: EventType
    reason: Reason
    cause: Reason
    stage: Stage
    how: How
    peer: int
    address: Optional[Address]
    other: Optional[Address]
    elapsed_ms: int
    announces_sent: int
    knocks_sent: int
    knocks_heard: int
    ignored: int
    os_error: int
    socket_index: int
    data: bytes
    created: int
    count: int
    strings: tuple[str, ...]  # the eight of a HOST_DATA or LOBBY_ENTRY


_WITH_STRINGS = (EventType.HOST_DATA, EventType.LOBBY_ENTRY)


def _event(native: _Event) -> Event:
    numbers = range(1, DATA_STRINGS + 1) if native.type in _WITH_STRINGS else ()
    return Event(
        type=EventType(native.type), reason=Reason(native.reason), cause=Reason(native.cause), stage=Stage(native.stage),
        how=How(native.how), peer=native.peer, address=_address(native.address), other=_address(native.other),
        elapsed_ms=native.elapsed_ms, announces_sent=native.announces_sent, knocks_sent=native.knocks_sent,
        knocks_heard=native.knocks_heard, ignored=native.ignored, os_error=native.os_error,
        socket_index=native.socket_index, data=ctypes.string_at(native.data, native.len) if native.data else b"",
        created=native.created, count=native.count,
        strings=tuple(_decode(_c("event_string")(ctypes.byref(native), number)) for number in numbers))


# ---- client, host, lobby, master


class _Object:
    _kind: ClassVar[str]
    _handle: Optional[int] = None

    def __init__(self, config: _Sized) -> None:
        handle, os_error = _pointer(), _i32()
        given = type(config).from_buffer_copy(config)
        given.os_error = ctypes.addressof(os_error)
        self._log = vars(config).get("_log")  # must live as long as we, whatever becomes of the config
        self._native = _Event()
        result = _c(f"{self._kind}_open")(ctypes.byref(given), ctypes.byref(handle))
        if result < 0:
            raise Error(result, os_error.value)
        self._handle = handle.value
        self._close = _c(f"{self._kind}_close")  # may still be needed when this module is gone

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle:
            self._close(handle)

    def __enter__(self: _O) -> _O:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _call(self, name: str, *arguments: Any) -> int:
        """Calls this kind's function and raises a negative result."""
        result = _c(f"{self._kind}_{name}")(self._handle, *arguments)
        if result < 0:
            raise Error(result, self.os_error)
        return int(result)

    def poll(self, timeout_ms: int = 0) -> Optional[Event]:
        """Does all that is due. Returns an event, after waiting for one for at most timeout_ms, or None."""
        while True:
            # Python sees Ctrl-C only between calls, so a long wait is many short ones.
            wait = min(timeout_ms, 100)
            if self._call("poll", ctypes.byref(self._native), wait):
                return _event(self._native)
            if timeout_ms != NEVER:
                timeout_ms -= wait
                if timeout_ms <= 0:
                    return None

    def events(self, timeout_ms: int = 0) -> Iterator[Event]:
        """All events that are there, after waiting for the first for at most timeout_ms."""
        while self._handle and (event := self.poll(timeout_ms)):
            yield event
            timeout_ms = 0

    def waits(self) -> list[tuple[int, int]]:
        """Descriptors and Wait flags for select and its like; they may change with each poll. Wait no longer than
        next_deadline_ms(), then poll."""
        count = self._call("waits", None, 0)
        native = (_Wait * count)()
        self._call("waits", native, count)
        return [(wait.socket, wait.events) for wait in native]

    def next_deadline_ms(self) -> int:
        """In how many milliseconds poll is due at the latest, up to NEVER."""
        deadline, now = _c(f"{self._kind}_next_deadline")(self._handle), _c("now")()
        return int(min(max(deadline - now, 0), NEVER))

    @property
    def os_error(self) -> int:
        """The last error of the system on this object, 0 if there was none."""
        return int(_c(f"{self._kind}_os_error")(self._handle)) if self._handle else 0

    def _stats(self, stats: _T) -> _T:
        self._call("get_stats", ctypes.byref(stats))  # type: ignore[arg-type]
        return stats

    def _local_address(self, *index: int) -> Address:
        native = _Address()
        self._call("local_address", *index, ctypes.byref(native))
        address = _address(native)
        assert address
        return address


_O = TypeVar("_O", bound=_Object)
_T = TypeVar("_T", bound=_Sized)


class Client(_Object):
    """Joins a host."""

    _kind = "client"

    def __init__(self, config: ClientConfig) -> None:
        super().__init__(config)

    def send(self, data: bytes) -> None:
        self._call("send", data, len(data))

    def resolve(self) -> None:
        """For EventType.RESOLVE; may block."""
        self._call("resolve")

    def request_data(self) -> None:
        """Asks for the host's data strings: EventType.HOST_DATA."""
        self._call("request_data", _c("now")())

    @property
    def stage(self) -> Stage:
        return Stage(self._call("stage"))

    @property
    def server(self) -> Address:
        """The connected host's address."""
        native = _Address()
        self._call("server", ctypes.byref(native), None)
        address = _address(native)
        assert address
        return address

    @property
    def local_address(self) -> Address:
        return self._local_address()

    def fileno(self) -> int:
        """The UDP socket in use."""
        return int(_c("client_socket")(self._handle))

    def stats(self) -> ClientStats:
        return self._stats(ClientStats())


class Peer(NamedTuple):
    id: int
    address: Optional[Address]
    how: How
    answers: bool  # has been seen to answer keep-alives: no classic peer
    connected_ms: int
    silent_ms: int
    confirmed: bool  # has sent more than its first knocks


class Host(_Object):
    """Lets clients join."""

    _kind = "host"

    def __init__(self, config: HostConfig) -> None:
        super().__init__(config)

    def send(self, peer: int, data: bytes) -> None:
        self._call("send", peer, data, len(data))

    def send_all(self, data: bytes) -> int:
        """Sends to each connected peer; returns to how many it went."""
        return self._call("send_all", data, len(data))

    def resolve(self) -> None:
        """For EventType.RESOLVE; may block."""
        self._call("resolve")

    def peers(self) -> list[int]:
        """The ids of the connected peers."""
        count = self._call("peers", None, 0)
        ids = (_u32 * count)()
        self._call("peers", ids, count)
        return list(ids)

    def peer(self, peer: int) -> Peer:
        info = _PeerInfo()
        self._call("peer_info", peer, ctypes.byref(info))
        return Peer(info.peer, _address(info.address), How(info.how), bool(info.answers), info.connected_ms, info.silent_ms,
                    bool(info.confirmed))

    def find_peer(self, address: Address) -> int:
        """The id of the peer with this address, 0 if there is none."""
        return int(_c("host_find_peer")(self._handle, ctypes.byref(_native_address(str(address)))))

    def kick(self, peer: int) -> None:
        self._call("kick", _c("now")(), peer)

    def set_data(self, number: int, text: Optional[str]) -> None:
        """Changes data string 1 to 8; the master gets it with commit_data."""
        self._call("set_data", number, _encode(text))

    def commit_data(self) -> None:
        self._call("commit_data", _c("now")())

    @property
    def local_address(self) -> Address:
        return self._local_address()

    def fileno(self) -> int:
        """The UDP socket in use."""
        return int(_c("host_socket")(self._handle))

    def stats(self) -> HostStats:
        return self._stats(HostStats())


class Lobby(_Object):
    """Lists the hosts that a master knows: LOBBY_ENTRY for each, and at last LOBBY_DONE or FAILED."""

    _kind = "lobby"

    def __init__(self, config: LobbyConfig) -> None:
        super().__init__(config)

    def resolve(self) -> None:
        """For EventType.RESOLVE; may block."""
        self._call("resolve")

    def stats(self) -> LobbyStats:
        return self._stats(LobbyStats())


class Master(_Object):
    """Introduces clients to hosts."""

    _kind = "master"

    def __init__(self, config: MasterConfig) -> None:
        super().__init__(config)

    def local_address(self, index: int = 0) -> Address:
        """Of bind number `index`."""
        return self._local_address(index)

    def stats(self) -> MasterStats:
        return self._stats(MasterStats())
