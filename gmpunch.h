/* gmpunch.h - UDP hole punching for games, in one header (protocol of GMnet PUNCH / GATE.PUNCH)

MIT licence, see the end of this file. Version: GMPUNCH_VERSION_STRING below.

Two programs behind home routers want to talk over UDP. A MASTER with a public address knows the HOST (the game that is
joined; the protocol calls it "server") and is asked by the CLIENT (the game that joins). It tells each the public address
of the other, both knock there, the routers open, the host welcomes the client, and the game's own packets flow over the
very same socket. This header is all three: state machines without I/O, and the sockets to run them.

In ONE C or C++ file:

    #define GMPUNCH_IMPLEMENTATION
    #include "gmpunch.h"

in all others only the #include. On Windows link with ws2_32. A client, complete:

    gmpunch_client_config config = {0};
    config.master = "203.0.113.9";                        // port 6510 unless given: "203.0.113.9:7000", "[2001:db8::1]:7000"
    config.server = "198.51.100.7";                       // the host to join
    gmpunch_client *client;
    if (gmpunch_client_open(&config, &client) != GMPUNCH_OK) return 1;
    for (;;) {                                            // once per frame
        gmpunch_event event;
        while (gmpunch_client_poll(client, &event, 0) > 0) {        // 0: never blocks
            if (event.type == GMPUNCH_EVENT_CONNECTED) gmpunch_client_send(client, "hello", 5);
            if (event.type == GMPUNCH_EVENT_DATA) handle(event.data, event.len);
            if (event.type == GMPUNCH_EVENT_FAILED) puts(gmpunch_reason_text(event.reason));
        }
    }

The host is the same with peers (gmpunch_host_open, _poll, _send, _send_all, _kick); the master is gmpunch_master_open and
gmpunch_master_poll in a loop; a list of the hosts that a master knows is gmpunch_lobby_open and gmpunch_lobby_poll.

CONTENTS (search for the words behind >>)
    >>concepts      roles, time, memory, threads, limits, errors
    >>wire-format   every byte on the wire
    >>after         what is still taken as protocol once connected, and how a game escapes it
    >>switches      compile-time switches
    declarations:   >>config >>results >>events >>buffer-api >>address-api >>datagram-api >>client-api >>host-api
                    >>lobby-api >>master-api >>socket-api
    implementation: >>platform >>memory >>bytes >>buffer >>address >>wire >>uplink >>client >>host >>lobby >>master
                    >>sockets >>drive; each uses only what stands above it


>>concepts ==========================================================================================================

STATE MACHINES. gmpunch_client, gmpunch_host, gmpunch_lobby and gmpunch_master do no I/O of their own: bytes, connection events and the
time go in, what is to be sent comes out. There are two ways to use each:

  * with sockets: _open, then _poll. The library owns sockets and clock. A UDP socket that the application already has
    can be handed in (socket_mode).
  * without ("sans-I/O"): _create, then the functions marked [sans-I/O]; works in any event loop, engine or simulator:

        gmpunch_client_input_udp(client, now, &from, 0, data, len);    // a datagram arrived
        gmpunch_client_tcp_opened / _tcp_data / _tcp_closed            // news of a connection it asked for
        gmpunch_client_tick(client, now);                              // when gmpunch_client_next_deadline is reached
        while (gmpunch_client_next_transmit(client, &transmit) > 0)    // after _create and each of the above: do what it asks
        while (gmpunch_client_next_event(client, &event) > 0)          // and hear what happened

    A client, host or lobby has at most one TCP connection at a time. Where both have news, read TCP before UDP: an introduction
    before the knock that it announces. transmit.ttl and .not_before are 0 so far.

TIME is milliseconds in a uint64_t that never runs backwards (a step back is taken as standing still). The start is free.
Durations are fields ending in _ms; 0 means the documented default, GMPUNCH_NEVER means never.

MEMORY. A client, a host or a lobby makes one allocation when created (or uses memory of the caller) and none afterwards. A master
grows by doubling up to its configured limits. The allocator is a config field; without one malloc and free are used.

THREADS. None, and no globals: one object is used by one thread at a time, different objects are independent.

LIMITS. Every table, line, string, queue and wait is bounded by a config field. A full table refuses the newcomer, counts it
(see the _stats functions) and logs it; it never evicts a live peer.

ATTACKERS. The protocol has no encryption and no authentication. Whoever can send from a forged address can knock, and once it
knows both addresses of a connection send game packets into it or make a client take a wrong port of the host for it; whoever
sits on the path can read and change all; whoever controls the master controls who is introduced to whom. So a game must not
trust a packet for its address alone. What gmpunch does is bound the harm: see knock_rules, max_knocks_per_second,
max_direct_peers and unconfirmed_ms of the configs, and `confirmed` of gmpunch_peer_info.

ERRORS. Functions return int32_t: 0 or a positive count is success, negative is one of the results below. Bad input from
the network is never an error of a call: it is counted and ignored.


>>wire-format =======================================================================================================

GameMaker values are little-endian, without padding; strings are UTF-8 and end in a NUL byte. Below LF is byte 0A, NUL is
byte 00; message ids are signed bytes: FF is -1.

UDP. GameMaker puts 12 bytes in front of each datagram: DE C0 AD DE, then 0C 00 00 00 (the size of this header), then the
length of what follows as u32. gmpunch sends it unless told to be raw, accepts datagrams with and without, and answers a
peer in the form that the peer last used. To a master it is always sent. TCP carries bare bytes.

    from -> to        over  bytes                                          meaning
    host -> master    UDP   "reg" LF NUL                                   this source port is the host's UDP port
    host -> master    TCP   "reg" LF NUL                                   introductions go to this connection
    host -> master    TCP   "reg2" LF NUL version LF NUL                   the same (since 1.2), with a version and eight
                              data1 LF NUL ... data8 LF NUL                strings for the lobby
    host -> master    TCP   "ping" LF NUL                                  keep-alive, never answered
    client -> master  UDP   "connect" LF NUL                               this source port is the client's UDP port
    client -> master  TCP   "connect" LF ip LF NUL                         asks for the host at that ip
    master -> client  TCP   FF ip NUL port NUL                             found: the host's public address
    master -> host    TCP   FF ip NUL port NUL                             introduction: the client's public address
    master -> client  TCP   FE                                             not found
    client <-> host   UDP   FD                                             knock
    host -> client    UDP   FC                                             welcome
    client -> host    UDP   FB                                             asks for the data strings
    host -> client    UDP   FA data1 NUL ... data8 NUL                     the data strings
    any -> master     TCP   "lobby2" LF NUL filter1 LF NUL ...             lists hosts: an empty filter matches all;
                              filter8 LF NUL sortby LF NUL                 sortby is "date" or "data1" to "data8";
                              direction LF NUL limit LF NUL                "ASC" sorts descending, all else ascending;
                                                                           limit is a whole number, all else is no limit
    master -> any     TCP   F9 JSON-array LF                               the list: [{"ip":"1.2.3.4","data1":"",...,
                                                                           "data8":"","createdTime":unix-seconds},...]
    any -> master     TCP   "istesting" LF                                 answer: F8, 01 or 00, LF (the deployed master
                                                                           leaves the LF out)
    any -> master     TCP   "testinginfos" LF                              answer: F7 name LF version LF minimum LF,
                                                                           or F7 00 when testing is off
    any -> master     TCP   "version" LF                                   answer: F6 version LF

ip is a numeric address, port is decimal text from 1 to 65535. The deployed Java master leaves out the last NUL of an
introduction, so a port also ends at the first byte that is no digit, or when nothing follows for a moment.

The master reads TCP as a stream of lines that end in LF, CR LF or CR. Control characters (the NUL that GameMaker leaves
behind each LF among them) are dropped, unknown lines are ignored. Over UDP the first line counts; where it is no command,
the bytes from offset 12 are tried, as the deployed master skips 12 bytes unseen. The master never answers over UDP.

Each answer leaves in one send, because a GameMaker game takes one TCP read for one message, and introductions to one host
leave with a gap between; a host that sends "reg" and then "reg2" on one connection says by it that it reads a stream.

In a list < > & = ' are written as \u003c \u003e \u0026 \u003d \u0027, control characters as \u00xx, what is no UTF-8 as
U+FFFD. Hosts with equal sort strings are in the order of their registration; where it sorts descending, the last is first.

A published description of the protocol is the page "Protocol" of the GMnet PUNCH manual.


>>after =============================================================================================================

Message ids and game packets share one socket, so a few packets of a connected peer are protocol, and only these (the
payload is what follows the 12-byte header, if there is one):

    to a host     a payload of exactly one byte, FD (knock) or FB (asks for data)
    to a client   from its host: a payload of exactly one byte, FC or FD; and, while an answer to FB is awaited, a payload
                  that is FA and eight strings
    to both       sent without header, a packet that begins with the 8 bytes of one: it is taken for the header

Everything else is the game's. A payload which the other side would take for protocol is refused by the send functions with
GMPUNCH_ERR_RESERVED, so none is lost unnoticed. A game that must send such payloads sets `escape` in the configs of BOTH
sides: then such a payload, and any that begins with one of F5, FA, FB, FC or FD, is sent with a byte F5 in front, which the receiver takes
off. Games of the original GMnet PUNCH take any payload that begins with such an id for protocol, whatever its length: do
not begin packets to them with these bytes.

A quiet connection is kept open by a knock each way every keepalive_interval_ms: original peers ignore the knock of a
peer they know. A gmpunch peer answers it, so it can be missed: silence is loss only for a peer that has been seen to
answer (a classic peer, which never does, has a longer limit at the host and none at the client).


>>switches ==========================================================================================================

    GMPUNCH_IMPLEMENTATION  define in one file: this header becomes the library
    GMPUNCH_STATIC          all functions are static: the whole library private to one file
    GMPUNCH_DLL             dllimport / dllexport (with GMPUNCH_IMPLEMENTATION) for a shared library; config.struct_size is
                            then required
    GMPUNCH_API             what stands before each declaration, if none of the above fits
    GMPUNCH_NO_SOCKETS      state machines only: no _open, _poll, _send, no socket header
    GMPUNCH_NO_MASTER       without the master
    GMPUNCH_NO_STDLIB       without malloc and free: each config needs an allocator (or memory, for client and host)
    GMPUNCH_NO_STDIO        without gmpunch_log_stderr
    GMPUNCH_POLL_ONLY       the master uses poll, not epoll (Linux) or kqueue (macOS, BSDs)
    GMPUNCH_ASSERT(x)       for internal checks, default assert(x)
*/
#ifndef GMPUNCH_INCLUDED
#define GMPUNCH_INCLUDED

/* Under -std=c99 and the like some C libraries hide the names of sockets and clocks. They are asked for here, which works
   if this header is included first; >>platform has a clear message if it came too late. */
#if defined(GMPUNCH_IMPLEMENTATION) && !defined(GMPUNCH_NO_SOCKETS) && defined(__STRICT_ANSI__) && !defined(__cplusplus) && \
    !defined(_WIN32) && !defined(_DEFAULT_SOURCE) && !defined(_GNU_SOURCE) && !defined(_POSIX_C_SOURCE) && \
    !defined(_XOPEN_SOURCE) && (defined(__linux__) || defined(__CYGWIN__))
#define _DEFAULT_SOURCE
#endif

#include <stddef.h>
#include <stdint.h>

/* comments of declarations are aligned by hand */
/* clang-format off */

#define GMPUNCH_VERSION_MAJOR 0
#define GMPUNCH_VERSION_MINOR 1
#define GMPUNCH_VERSION_PATCH 0
#define GMPUNCH_VERSION_STRING "0.1.0"
/* For #if: 1.2.3 is 1002003. The patch level never changes an interface. */
#define GMPUNCH_VERSION (GMPUNCH_VERSION_MAJOR * 1000000 + GMPUNCH_VERSION_MINOR * 1000 + GMPUNCH_VERSION_PATCH)

/* The version of GMnet PUNCH that a host names in "reg2", the version of GATE.PUNCH that a master names, and the lowest
   version that a master accepts in "reg2". */
#define GMPUNCH_HOST_PROTOCOL_VERSION "1.2.4"
#define GMPUNCH_MASTER_PROTOCOL_VERSION "1.2.5"
#define GMPUNCH_MINIMUM_PROTOCOL_VERSION "1.2.0"

#define GMPUNCH_DEFAULT_PORT 6510      /* of a master, TCP and UDP */
#define GMPUNCH_NEVER 0xffffffffu      /* a duration without end */
#define GMPUNCH_DATAGRAM_HEADER_SIZE 12
#define GMPUNCH_DATA_STRINGS 8
#define GMPUNCH_MAX_PACKET 65000       /* upper limit of max_packet, bytes of payload */

#if !defined(GMPUNCH_API)
#if defined(GMPUNCH_STATIC)
#if defined(__GNUC__)
#define GMPUNCH_API static __attribute__((unused))
#else
#define GMPUNCH_API static
#endif
#elif defined(GMPUNCH_DLL) && defined(_WIN32)
#if defined(GMPUNCH_IMPLEMENTATION)
#define GMPUNCH_API __declspec(dllexport)
#else
#define GMPUNCH_API __declspec(dllimport)
#endif
#elif defined(GMPUNCH_DLL) && defined(__GNUC__)
#define GMPUNCH_API __attribute__((visibility("default")))
#else
#define GMPUNCH_API extern
#endif
#endif

#if defined(__cplusplus)
extern "C" {
#endif

/* >>results ============================================================================================================ */

/* 0 and positive values are success. Each band of a hundred is one class. */
enum {
    GMPUNCH_OK = 0,
    /* the call was wrong */
    GMPUNCH_ERR_ARGUMENT = -100,         /* a pointer is NULL, a value out of range, a text not understood */
    GMPUNCH_ERR_CONFIG = -101,           /* a config field is out of range, or struct_size is not one of this library */
    GMPUNCH_ERR_ADDRESS = -102,          /* no numeric address, or no port from 1 to 65535 */
    GMPUNCH_ERR_RESERVED = -103,         /* the payload would be taken for protocol: see >>after */
    /* not now */
    GMPUNCH_ERR_STATE = -200,            /* not in this state, or not on an object made by _create (or _open) */
    GMPUNCH_ERR_NOT_CONNECTED = -201,    /* no connection to send over */
    GMPUNCH_ERR_PEER = -202,             /* no peer with this id (any more) */
    GMPUNCH_ERR_CONNECTION = -203,       /* no TCP connection with this id (any more) */
    GMPUNCH_ERR_WOULD_BLOCK = -204,      /* the system took nothing now; a packet was not sent */
    /* no room */
    GMPUNCH_ERR_MEMORY = -300,           /* the allocator gave nothing, or the memory handed in is too small */
    GMPUNCH_ERR_FULL = -301,             /* a table or buffer is at its limit */
    GMPUNCH_ERR_TOO_LONG = -302,         /* longer than a limit allows */
    GMPUNCH_ERR_END = -303,              /* a read past the end of a buffer */
    /* the system said no; the OS error is readable */
    GMPUNCH_ERR_SOCKET = -400,           /* any other socket error */
    GMPUNCH_ERR_ADDRESS_IN_USE = -401,   /* the port is taken */
    GMPUNCH_ERR_ADDRESS_NOT_HERE = -402, /* the bind address is none of this machine */
    GMPUNCH_ERR_ACCESS = -403,           /* not permitted */
    GMPUNCH_ERR_DESCRIPTORS = -404,      /* no socket descriptors left */
    /* the bytes are not what the protocol says */
    GMPUNCH_ERR_MALFORMED = -500
};

/* The text for a result, and its name without the prefix ("ARGUMENT"). Never NULL. */
GMPUNCH_API const char *gmpunch_strerror(int32_t result);
GMPUNCH_API const char *gmpunch_error_name(int32_t result);

/* The version of the compiled library, to compare with GMPUNCH_VERSION of the header. */
GMPUNCH_API uint32_t gmpunch_version(void);
GMPUNCH_API const char *gmpunch_version_string(void);

/* >>config ============================================================================================================= */

/* Where memory comes from. Both functions or neither; free gets the size that was asked for. alloc returns memory aligned
   for any type, or NULL. */
typedef struct gmpunch_allocator {
    void *(*alloc)(size_t size, void *user);
    void (*free)(void *memory, size_t size, void *user);
    void *user;
} gmpunch_allocator;

enum {
    GMPUNCH_LOG_ERROR = 1,   /* something failed and is not retried */
    GMPUNCH_LOG_WARNING = 2, /* refused, dropped or retried */
    GMPUNCH_LOG_INFO = 3,    /* what an operator wants to see */
    GMPUNCH_LOG_DEBUG = 4    /* every step */
};

/* What is logged. The item is stable and can be counted or filtered; the text is for people. */
enum {
    GMPUNCH_LOG_ITEM_STAGE = 1,          /* the object entered another stage */
    GMPUNCH_LOG_ITEM_MASTER = 2,         /* the connection to the master */
    GMPUNCH_LOG_ITEM_INTRODUCTION = 3,
    GMPUNCH_LOG_ITEM_PEER = 4,           /* joined, left */
    GMPUNCH_LOG_ITEM_REFUSED = 5,        /* a limit or a rule refused something */
    GMPUNCH_LOG_ITEM_MALFORMED = 6,      /* bytes that are not the protocol */
    GMPUNCH_LOG_ITEM_SOCKET = 7          /* a system call failed */
};

/* Called during a call of the object that logs; must not call that object. The text is borrowed. */
typedef void (*gmpunch_log_function)(void *user, int32_t level, int32_t item, const char *text);

#if !defined(GMPUNCH_NO_STDIO)
/* A log function that writes to stderr, for tries. user is ignored. */
GMPUNCH_API void gmpunch_log_stderr(void *user, int32_t level, int32_t item, const char *text);
#endif

/* An IPv4 or IPv6 address with port. An IPv4-mapped IPv6 address (::ffff:1.2.3.4) is always turned into IPv4. */
typedef struct gmpunch_address {
    uint8_t family;    /* 0 none, 4 or 6 */
    uint8_t reserved;  /* 0 */
    uint16_t port;     /* as a number, not in network order; 0 none */
    uint32_t scope_id; /* IPv6 link-local only, otherwise 0 */
    uint8_t ip[16];    /* network order; IPv4 in the first four, the rest 0 */
} gmpunch_address;

/* Whose UDP socket it is (only with _open). */
enum {
    GMPUNCH_SOCKET_OWN = 0,      /* the library makes one, and closes it */
    GMPUNCH_SOCKET_ADOPTED = 1,  /* udp_socket of the application: the library sends and receives on it, never closes it.
                                    It is made non-blocking */
    GMPUNCH_SOCKET_SEND_ONLY = 2 /* udp_socket of the application, which receives itself and offers each datagram to
                                    _input_udp (with gmpunch_now() as the time), then polls */
};

/* At which of the addresses that a master names is knocked. A hostile master must not make a player's computer a scanner or a
   flooder, or have it knock inside its own house: by default a named address is unicast, has a port from 1024 on (a NAT gives
   lower ones only to programs that have one themselves), and is no loopback or link-local address unless the master's own
   address reaches no further. Private networks are allowed. These bits change that. */
enum {
    GMPUNCH_KNOCK_LOW_PORTS = 1,  /* also at ports below 1024 */
    GMPUNCH_KNOCK_LOCAL = 2,      /* also at loopback and link-local addresses, wherever the master is */
    GMPUNCH_KNOCK_NOT_PRIVATE = 4 /* not in private networks */
};

/* How a client joins. A zeroed struct with `server` set is valid. Texts are copied. */
typedef struct gmpunch_client_config {
    uint32_t struct_size; /* sizeof(gmpunch_client_config); 0 where header and library are of one build */
    int32_t raw;          /* 1: send without GameMaker's 12-byte header until the host is seen to use it. Default 0 */
    int32_t escape;       /* 1: escape game packets that look like protocol, see >>after. Default 0 */
    int32_t direct_only;  /* 1: no master, only knock at server:direct_port. Default 0 */
    const char *master;   /* "address", "address:port", "[ipv6]:port" or "name:port"; port 6510 unless given. A name is
                             resolved by _open (the one call that may block); after _create by gmpunch_client_set_master.
                             NULL only with direct_only */
    const char *server;   /* the host's public IP, numeric; _open also takes a name. Required */
    const char *bind_address; /* numeric local address for UDP and TCP; NULL: any */
    uint16_t bind_port;       /* local UDP port; 0: chosen by the system */
    uint16_t direct_port;     /* the host's UDP port if the master can't help; 0: unknown, then there is no fall-back */
    uint32_t socket_mode;     /* GMPUNCH_SOCKET_. Default GMPUNCH_SOCKET_OWN */
    uintptr_t udp_socket;     /* the application's socket (a descriptor, or a SOCKET on Windows) */
    uint32_t timeout_ms;           /* from open to CONNECTED, or else FAILED. Default 15000 */
    uint32_t master_timeout_ms;    /* of it, for the master's answer. Default 5000 */
    uint32_t announce_interval_ms; /* between UDP "connect"s until the master answers. Default 250 */
    uint32_t knock_interval_ms;    /* between knocks. Default 50 */
    uint32_t keepalive_interval_ms; /* between knocks once connected, if nothing else was sent. Default 15000 */
    uint32_t peer_timeout_ms;       /* silence of a host that answers knocks after which it is LOST. Default 45000 */
    uint32_t max_packet;  /* largest payload received, bytes. Default 2048; with _open it is part of the allocation */
    uint32_t max_sockets; /* 1 to 4: how many UDP sockets it may use one after the other. A classic host that took the
                             client for known stays mute for that port: a new source port helps. Default 3 with _open
                             and GMPUNCH_SOCKET_OWN, otherwise 1 */
    int32_t ask_data;     /* 1: asks for the host's data strings once connected, as gmpunch_client_request_data does.
                             Default 0 */
    uint32_t reserved;    /* 0 */
    uint64_t seed;        /* for the jitter of pauses. 0: _open takes one from clock and address; _create takes 1 */
    void *memory;         /* memory of the caller instead of an allocation, aligned for any type; at least
                             gmpunch_client_memory_size(config) bytes, kept until _close. NULL: allocate */
    size_t memory_size;
    gmpunch_allocator allocator; /* zero: malloc and free */
    gmpunch_log_function log;    /* NULL: silent */
    void *log_user;
    int32_t *os_error;    /* if _open fails, the system's error number goes here. NULL: not wanted */
    uint32_t knock_rules;   /* GMPUNCH_KNOCK_ bits for what the master names; server:direct_port needs none. Default 0 */
    uint32_t max_addresses; /* how many addresses the master may name, one after the other. Default 8 */
} gmpunch_client_config;

/* How a host lets others join. A zeroed struct is valid: then it has no master and only answers. Texts are copied. */
typedef struct gmpunch_host_config {
    uint32_t struct_size;       /* sizeof(gmpunch_host_config); 0 where header and library are of one build */
    int32_t raw;                /* 1: knock without GameMaker's 12-byte header until the peer is seen to use it. Default 0 */
    int32_t escape;             /* 1: escape game packets that look like protocol, see >>after. Default 0 */
    int32_t require_mediation;  /* 1: only clients that the master introduced are let in. The IP counts, not the port: a
                                   symmetric NAT uses another port towards each destination. Default 0 */
    const char *master;         /* as in gmpunch_client_config; NULL: none, clients come directly */
    const char *bind_address;   /* numeric local address for UDP and TCP; NULL: any */
    uint16_t bind_port;         /* local UDP port; 0: chosen by the system */
    uint16_t reserved;          /* 0 */
    uint32_t socket_mode;       /* GMPUNCH_SOCKET_. Default GMPUNCH_SOCKET_OWN */
    uintptr_t udp_socket;       /* the application's socket */
    const char *data[GMPUNCH_DATA_STRINGS]; /* strings for the lobby and for clients; NULL: empty. No control characters */
    uint32_t data_capacity;     /* bytes for all eight strings together, each with a NUL. Default 1024, at most 32768. A master
                                   has a limit for a line (max_line of ours: 1024), and closes where it is exceeded */
    uint32_t register_interval_ms;  /* between registrations; on a new connection they begin a quarter second apart and
                                       their distance grows to this (GMPUNCH_NEVER: on and on). Default 180000 */
    uint32_t reconnect_min_ms;      /* first pause when the master's connection ended; doubles with each failure, with
                                       jitter. Default 1000 */
    uint32_t reconnect_max_ms;      /* longest pause. Default 60000 */
    uint32_t keepalive_interval_ms; /* UDP to the master and, if nothing else was sent, to each peer. Default 15000 */
    uint32_t ping_interval_ms;      /* TCP "ping" to the master. Default 60000 */
    uint32_t knock_interval_ms;     /* between knocks at an introduced client. Default 50 */
    uint32_t introduction_timeout_ms; /* how long it is knocked at and counts as introduced. Default 15000 */
    uint32_t peer_timeout_ms;       /* silence of a peer that answers knocks after which it LEFT. Default 45000 */
    uint32_t idle_timeout_ms;       /* silence of any other peer after which it LEFT. Default 300000 */
    uint32_t kick_ms;               /* how long a kicked address stays refused. Default 60000 */
    uint32_t max_peers;             /* default 64, at most 65535. Kicked addresses take the free places */
    uint32_t max_introductions;     /* at once. Default 64, at most 65535 */
    uint32_t max_packet;            /* largest payload received, bytes. Default 2048; with _open part of the allocation */
    uint64_t seed;                  /* as in gmpunch_client_config */
    void *memory;                   /* as in gmpunch_client_config, gmpunch_host_memory_size(config) bytes */
    size_t memory_size;
    gmpunch_allocator allocator;
    gmpunch_log_function log;
    void *log_user;
    int32_t *os_error;
    /* Against forged knocks and a hostile master. DIRECT is a peer that no introduction was for; an introduction is for one
       peer of its IP. UNCONFIRMED is a peer that has sent nothing but knocks, and none later than 5 s after it joined: maybe
       its address was forged. It gets one welcome for each of its knocks, and, if direct, nothing else of the library. */
    uint32_t knock_rules;               /* GMPUNCH_KNOCK_ bits for introduced addresses. Default 0 */
    uint32_t max_introductions_per_ip;  /* at once; more would scan its ports. Default 32 */
    uint32_t max_knocks_per_second;     /* at all introduced clients together, in the long run; four times as many at once.
                                           Default 200 */
    uint32_t max_direct_peers;          /* of max_peers; the rest of the places is for introduced ones. Default max_peers, at
                                           most 65535 */
    uint32_t max_direct_peers_per_ip;   /* default 16, at most 65535 */
    uint32_t unconfirmed_ms;            /* where all places are taken, the oldest unconfirmed peer makes room (it LEFT with
                                           GMPUNCH_REASON_LIMIT): for an introduced newcomer if it is direct or joined so long
                                           ago, for a direct one if it is both. Default 10000; GMPUNCH_NEVER: it stays */
} gmpunch_host_config;

/* How a lobby is sorted, and limited. */
#define GMPUNCH_SORT_DATE 0u           /* by the time of registration; 1 to 8: by that data string */
#define GMPUNCH_LIMIT_NONE 0xffffffffu /* a limit of 0: an empty list, from a master that answers */

/* A request for the list of hosts. A zeroed struct with `master` set is valid: all hosts, the oldest first. Texts are
   copied. */
typedef struct gmpunch_lobby_config {
    uint32_t struct_size;       /* sizeof(gmpunch_lobby_config); 0 where header and library are of one build */
    uint32_t sort_by;           /* GMPUNCH_SORT_DATE, or 1 to 8 */
    int32_t descending;         /* 1: the newest, or the greatest string, first. Default 0 */
    uint32_t limit;             /* most hosts; 0: all, GMPUNCH_LIMIT_NONE: none */
    const char *master;         /* as in gmpunch_client_config. Required */
    const char *bind_address;   /* numeric local address; NULL: any */
    const char *filter[GMPUNCH_DATA_STRINGS]; /* only hosts with exactly this data string; NULL or "": any. No control
                                   characters, each at most 65536 bytes */
    uint32_t timeout_ms;        /* longest silence of the master, also while connecting. Default 10000 */
    uint32_t max_entry;         /* bytes of one host's JSON; a longer one is passed over and counted. Default 65536, 1024 to
                                   16777216; it is part of the allocation */
    uint32_t max_entries;       /* of the list, those passed over included; a longer one ends as _FAILED with
                                   GMPUNCH_REASON_LIMIT. Default 1000000 */
    uint32_t reserved;          /* 0 */
    void *memory;               /* as in gmpunch_client_config, gmpunch_lobby_memory_size(config) bytes */
    size_t memory_size;
    gmpunch_allocator allocator;
    gmpunch_log_function log;
    void *log_user;
    int32_t *os_error;
    uint32_t max_bytes;         /* of the answer; a longer one ends as _FAILED with GMPUNCH_REASON_LIMIT. Default 268435456 */
    uint32_t total_timeout_ms;  /* for all of it, from _open (or _create) on, also while the master is heard. Default 600000 */
} gmpunch_lobby_config;

/* A master. A zeroed struct is valid. */
typedef struct gmpunch_master_config {
    uint32_t struct_size;       /* sizeof(gmpunch_master_config); 0 where header and library are of one build */
    int32_t any_port;           /* 1: `port` is ignored and the system chooses one (readable afterwards). Default 0 */
    const char *bind_address;   /* numeric local address, or several with commas between ("192.0.2.1,[2001:db8::1]"), at most
                                   GMPUNCH_MASTER_MAX_BINDS; NULL: any, IPv4 and IPv6 where the system has both */
    uint16_t port;              /* TCP and UDP. Default 6510 */
    uint16_t reserved;          /* 0 */
    int32_t no_lobby;           /* 1: "lobby2" is not answered (unless testing), no strings are kept. Default 0 */
    int32_t testing;            /* 1: says so to "istesting", tells its name, and has a lobby in any case. Default 0 */
    const char *name;           /* for "testinginfos": text without control characters, at most 255 bytes. NULL: "gmpunch" */
    uint32_t hold_ms;           /* how long a request waits for UDP ports that did not come yet. Default 1000 */
    uint32_t client_port_ms;    /* how long a client's UDP port is kept for its request. Default 10000 */
    uint32_t host_port_ms;      /* how long a host's UDP port is kept without a TCP registration. Default 60000 */
    uint32_t command_timeout_ms; /* from the first byte of a command to its last, then closed. Default 5000 */
    uint32_t idle_timeout_ms;   /* a connection without command or registration is closed. Default 60000 */
    uint32_t host_timeout_ms;   /* a host from which nothing came, TCP or UDP, is closed. Default 1800000 */
    uint32_t write_timeout_ms;  /* a peer that in this time takes neither all of an answer nor 64 KiB of it (of a longer one
                                   than 1.25 MiB: a twentieth) is closed. Default 15000 */
    uint32_t introduction_gap_ms; /* between two introductions to one host: a GameMaker game takes one TCP read for one
                                   message. Not for hosts that sent "reg" and then "reg2" on one connection, which read a
                                   stream. Default 50; GMPUNCH_NEVER: no gap */
    uint32_t max_connections;   /* TCP connections, hosts included. Default 65536, at most 4194304 */
    uint32_t max_connections_per_ip; /* default 256 */
    uint32_t max_ports;         /* remembered UDP ports. Default 131072, at most 4194304 */
    uint32_t max_ports_per_ip;  /* of hosts, and as many of clients. Default 64 */
    uint32_t max_requests;      /* requests on hold. Default 65536, at most 4194304 */
    uint32_t max_requests_per_connection; /* on hold. Default 8 */
    uint32_t max_messages;      /* messages that wait to be sent. Default 131072, at most 4194304 */
    uint32_t max_messages_per_connection; /* default 64 */
    uint32_t max_line;          /* bytes of a line; a longer one closes the connection. Default 1024, 64 to 65536 */
    uint32_t max_data;          /* bytes of all hosts' data strings together; a host beyond is registered, but not listed.
                                   Default 67108864 */
    uint32_t max_lobby;         /* bytes of one lobby list; a longer one ends with the last host that fits. Default 33554432,
                                   4096 to 1073741824 */
    uint32_t max_lobby_memory;  /* bytes of all lobby lists and requests that wait to be sent; a request beyond closes its
                                   connection. Default 134217728, at least 4096 */
    uint64_t seed;              /* key of the hash tables: keep it secret. 0: _open takes one from the system, _create
                                   takes 1 */
    gmpunch_allocator allocator;
    gmpunch_log_function log;
    void *log_user;
    int32_t *os_error;          /* if _open fails, the system's error number goes here. NULL: not wanted */
    uint32_t max_connections_per_subnet; /* of an IPv4 /24 or IPv6 /48. Counted by hashes, so that very rarely a subnet is
                                   charged with what others have. Default 4096 */
    uint32_t max_waiting_connections; /* connections that are no hosts: the rest of max_connections is kept for hosts. From
                                   half of it on, one that says nothing is closed after command_timeout_ms. Default: three
                                   quarters of max_connections */
    uint32_t max_commands_per_second; /* of one IP over TCP, "ping" not counted, a list that must be made as ten; two
                                   seconds' worth may come at once. Who sends more is closed, a host's command is
                                   ignored. Default 200, at most 1000000; GMPUNCH_NEVER: no limit */
    uint32_t max_lobby_memory_per_ip; /* bytes of lists that wait to be sent to one IP, shared or not; one list may always
                                   wait, a request beyond closes its connection. Default 33554432 */
} gmpunch_master_config;

#define GMPUNCH_MASTER_MAX_BINDS 8

/* >>events ============================================================================================================= */

enum {
    GMPUNCH_EVENT_NONE = 0,
    /* client and host */
    GMPUNCH_EVENT_DATA = 1,         /* a game packet: data, len (borrowed until the next _poll, _next_event or _input_udp
                                       of this object; sending it on is fine), address, peer at a host */
    GMPUNCH_EVENT_RESOLVE = 2,      /* the master's name should be looked up (again): gmpunch_client_resolve or
                                       gmpunch_host_resolve when a pause is welcome, or _set_master from elsewhere. Until
                                       then the known addresses are tried again */
    /* client */
    GMPUNCH_EVENT_FOUND = 10,       /* the master knows the host: address. Again after each new source port */
    GMPUNCH_EVENT_FALLBACK = 11,    /* the master can't help (reason): knocks at server:direct_port now, address */
    GMPUNCH_EVENT_CONNECTED = 12,   /* welcome: address that really answered, how */
    GMPUNCH_EVENT_FAILED = 13,      /* final: reason; cause, stage and the counters say more */
    GMPUNCH_EVENT_LOST = 14,        /* final: the connected host is silent: reason */
    GMPUNCH_EVENT_HOST_DATA = 15,   /* the host's data strings: gmpunch_event_string */
    /* host */
    GMPUNCH_EVENT_REGISTERED = 20,  /* registration handed to the master's connection: address of the master. The protocol
                                       has no confirmation */
    GMPUNCH_EVENT_UNREGISTERED = 21, /* the master's connection ended or could not be made: reason; it is tried again */
    GMPUNCH_EVENT_INTRODUCED = 22,  /* the master named a client: address. It is knocked at */
    GMPUNCH_EVENT_INTRODUCTION_EXPIRED = 23, /* that client was never heard: address */
    GMPUNCH_EVENT_JOINED = 24,      /* a new peer: peer, address, how */
    GMPUNCH_EVENT_LEFT = 25,        /* a peer is gone, its id no longer valid: peer, address, reason */
    /* master, for observers */
    GMPUNCH_EVENT_HOST_ADDED = 30,   /* address: of its TCP connection */
    GMPUNCH_EVENT_HOST_REMOVED = 31, /* address, reason */
    GMPUNCH_EVENT_INTRODUCTION = 32, /* address: the client; other: the host */
    GMPUNCH_EVENT_NOT_FOUND = 33,    /* address: the client; other: the asked for IP */
    /* lobby; _FAILED as well */
    GMPUNCH_EVENT_LOBBY_ENTRY = 40,  /* a host: address without port, created, gmpunch_event_string; count: its place in the
                                       list, from 1 */
    GMPUNCH_EVENT_LOBBY_DONE = 41    /* final: that was the list; count: of its entries, ignored: of those passed over */
};

/* Why. gmpunch_reason_text has advice for each. */
enum {
    GMPUNCH_REASON_NONE = 0,
    GMPUNCH_REASON_RESOLVE_FAILED = 1,     /* the master's name has no address */
    GMPUNCH_REASON_MASTER_UNREACHABLE = 2, /* no TCP connection to the master */
    GMPUNCH_REASON_MASTER_SILENT = 3,      /* connected, but no answer in time */
    GMPUNCH_REASON_MASTER_CLOSED = 4,      /* connection ended without an answer */
    GMPUNCH_REASON_MASTER_MALFORMED = 5,   /* the answer is not of this protocol */
    GMPUNCH_REASON_HOST_NOT_FOUND = 6,     /* the master knows no such host */
    GMPUNCH_REASON_HOST_SILENT = 7,        /* knocked, nothing heard */
    GMPUNCH_REASON_HOST_ONE_WAY = 8,       /* the host's knocks are heard, but it does not welcome */
    GMPUNCH_REASON_TIMEOUT = 9,            /* a connected peer fell silent */
    GMPUNCH_REASON_KICKED = 10,            /* by gmpunch_host_kick */
    GMPUNCH_REASON_CLOSED = 11,            /* the other side closed */
    GMPUNCH_REASON_REPLACED = 12,          /* a newer registration of the same host took its place */
    GMPUNCH_REASON_SOCKET = 13,            /* the system failed a socket: os_error */
    GMPUNCH_REASON_LIMIT = 14,             /* a limit of the master: line length, waiting messages; of a lobby's config; or of
                                              a host: all places were taken, and the peer was unconfirmed */
    GMPUNCH_REASON_VERSION = 15            /* "reg2" with a version below GMPUNCH_MINIMUM_PROTOCOL_VERSION */
};

/* Where a client stands. */
enum {
    GMPUNCH_STAGE_MASTER = 1,    /* asks the master */
    GMPUNCH_STAGE_PUNCH = 2,     /* knocks at the address that the master gave */
    GMPUNCH_STAGE_DIRECT = 3,    /* knocks at server:direct_port */
    GMPUNCH_STAGE_CONNECTED = 4,
    GMPUNCH_STAGE_FAILED = 5,
    GMPUNCH_STAGE_LOST = 6
};

enum {
    GMPUNCH_HOW_NONE = 0,
    GMPUNCH_HOW_PUNCHED = 1, /* introduced by the master */
    GMPUNCH_HOW_DIRECT = 2   /* without it */
};

/* One event. The size never changes: new fields take the place of `reserved`. Fields that an event does not name are 0. */
typedef struct gmpunch_event {
    int32_t type;            /* GMPUNCH_EVENT_ */
    int32_t reason;          /* GMPUNCH_REASON_ */
    int32_t cause;           /* client: why the master could not help, if that came before */
    int32_t stage;           /* client: GMPUNCH_STAGE_ in which it happened */
    int32_t how;             /* GMPUNCH_HOW_ */
    uint32_t peer;           /* host: id of the peer; never 0, exact in a double, not used again soon */
    gmpunch_address address;
    gmpunch_address other;
    uint32_t elapsed_ms;     /* client: since it was opened */
    uint32_t announces_sent; /* client: UDP "connect"s to the master */
    uint32_t knocks_sent;    /* client */
    uint32_t knocks_heard;   /* client: knocks of the host that arrived */
    uint32_t ignored;        /* client: datagrams that looked like protocol but came from elsewhere or were malformed */
    int32_t os_error;        /* last error of the system on this object, 0 none */
    uint32_t socket_index;   /* the UDP socket it came on */
    uint32_t len;            /* of data, bytes */
    const uint8_t *data;
    uint64_t created;        /* lobby: when the host registered, Unix time in seconds */
    uint32_t count;          /* lobby */
    uint32_t reserved[1];
} gmpunch_event;

/* What a state machine wants done [sans-I/O]. The size never changes. */
enum {
    GMPUNCH_TRANSMIT_UDP = 1,       /* send data from the UDP socket socket_index to `to` */
    GMPUNCH_TRANSMIT_TCP_OPEN = 2,  /* open a TCP connection to `to`, called `connection` from now on */
    GMPUNCH_TRANSMIT_TCP_SEND = 3,  /* send data on it; if not all was taken, say so with _tcp_sent */
    GMPUNCH_TRANSMIT_TCP_CLOSE = 4  /* close it; nothing more is to be said about it */
};
typedef struct gmpunch_transmit {
    int32_t kind;          /* GMPUNCH_TRANSMIT_ */
    uint32_t connection;   /* TCP: id */
    uint32_t socket_index; /* UDP: 0 is the first socket. A new index asks for a new socket on another port */
    uint32_t ttl;          /* UDP: hop limit for this datagram, 0 the system's default */
    uint64_t not_before;   /* earliest time to send, 0 now */
    gmpunch_address to;
    uint32_t len;
    uint32_t reserved;
    const uint8_t *data;   /* borrowed until the next call */
} gmpunch_transmit;

/* Names for people and logs, lower case with underscores ("host_silent"); never NULL. */
GMPUNCH_API const char *gmpunch_event_name(int32_t type);
GMPUNCH_API const char *gmpunch_reason_name(int32_t reason);
GMPUNCH_API const char *gmpunch_stage_name(int32_t stage);
GMPUNCH_API const char *gmpunch_how_name(int32_t how);
/* A sentence that tells a player what to do; never NULL. */
GMPUNCH_API const char *gmpunch_reason_text(int32_t reason);
/* String 1 to 8 of a GMPUNCH_EVENT_HOST_DATA or _LOBBY_ENTRY, borrowed as event->data is; "" for any other event or number. */
GMPUNCH_API const char *gmpunch_event_string(const gmpunch_event *event, uint32_t number);

/* >>buffer-api ========================================================================================================= */

/* A GameMaker buffer: values at a position that moves on. Values are little-endian. Before every read or write the position
   is rounded up to a multiple of the alignment, as GameMaker does; only the start is aligned, strings too. Padding bytes
   keep what they held (0 in a buffer that grew).

   An error sticks: after the first failure nothing is read or written any more, reads give 0 or "", writes return the error,
   and the position stays where it failed. So a whole message can be read or written and checked once at the end. */
typedef struct gmpunch_buffer {
    uint8_t *data;      /* owned only by a growing buffer */
    size_t size;        /* bytes that data has room for */
    size_t used;        /* bytes that hold something: the highest position written, or the size given to read */
    size_t position;    /* bytes from the start */
    size_t limit;       /* a growing buffer's largest size; 0 for the others */
    uint32_t alignment; /* a power of two from 1 to 1024 */
    int32_t error;      /* the first error, GMPUNCH_OK before: ..._TOO_LONG (no room), ..._END, ..._MEMORY, ..._STATE (read
                           only, or freed), ..._ARGUMENT (NULL to be written) */
    int32_t read_only;
    int32_t reserved;
    gmpunch_allocator allocator;
} gmpunch_buffer;

/* Over memory of the caller, to write and read back. alignment: 1 to 1024, rounded up to a power of two; 0 is 1. */
GMPUNCH_API int32_t gmpunch_buffer_init(gmpunch_buffer *buffer, void *memory, size_t size, uint32_t alignment);
/* Over bytes of the caller, to read; all of them are used. Received packets have alignment 1. */
GMPUNCH_API int32_t gmpunch_buffer_init_read(gmpunch_buffer *buffer, const void *data, size_t size, uint32_t alignment);
/* Grows by doubling up to limit bytes. allocator NULL: malloc and free. End with gmpunch_buffer_free. */
GMPUNCH_API int32_t gmpunch_buffer_init_grow(gmpunch_buffer *buffer, const gmpunch_allocator *allocator, size_t limit,
                                             uint32_t alignment);
/* Frees what a growing buffer owns; the buffer is then empty, its error GMPUNCH_ERR_STATE. NULL is allowed. */
GMPUNCH_API void gmpunch_buffer_free(gmpunch_buffer *buffer);
/* Moves to a position from 0 to `used`. Does not clear an error. */
GMPUNCH_API int32_t gmpunch_buffer_seek(gmpunch_buffer *buffer, size_t position);

/* Each returns GMPUNCH_OK or the buffer's error; a value is written whole or not at all. */
GMPUNCH_API int32_t gmpunch_buffer_write_u8(gmpunch_buffer *buffer, uint8_t value);
GMPUNCH_API int32_t gmpunch_buffer_write_s8(gmpunch_buffer *buffer, int8_t value);
GMPUNCH_API int32_t gmpunch_buffer_write_u16(gmpunch_buffer *buffer, uint16_t value);
GMPUNCH_API int32_t gmpunch_buffer_write_s16(gmpunch_buffer *buffer, int16_t value);
GMPUNCH_API int32_t gmpunch_buffer_write_u32(gmpunch_buffer *buffer, uint32_t value);
GMPUNCH_API int32_t gmpunch_buffer_write_s32(gmpunch_buffer *buffer, int32_t value);
GMPUNCH_API int32_t gmpunch_buffer_write_u64(gmpunch_buffer *buffer, uint64_t value);
/* GameMaker's buffer_u64 is read as signed: this is how it holds an int64. */
GMPUNCH_API int32_t gmpunch_buffer_write_s64(gmpunch_buffer *buffer, int64_t value);
/* Half precision, rounded to nearest, ties to even; too large becomes infinity. */
GMPUNCH_API int32_t gmpunch_buffer_write_f16(gmpunch_buffer *buffer, double value);
GMPUNCH_API int32_t gmpunch_buffer_write_f32(gmpunch_buffer *buffer, float value);
GMPUNCH_API int32_t gmpunch_buffer_write_f64(gmpunch_buffer *buffer, double value);
/* 0 is written as 00, anything else as 01. */
GMPUNCH_API int32_t gmpunch_buffer_write_bool(gmpunch_buffer *buffer, int32_t value);
/* buffer_string: the bytes up to the NUL, and a NUL. */
GMPUNCH_API int32_t gmpunch_buffer_write_string(gmpunch_buffer *buffer, const char *text);
/* buffer_text: the bytes up to the NUL, without it. */
GMPUNCH_API int32_t gmpunch_buffer_write_text(gmpunch_buffer *buffer, const char *text);
GMPUNCH_API int32_t gmpunch_buffer_write_bytes(gmpunch_buffer *buffer, const void *data, size_t len);

/* Each returns the value, or 0 once the buffer has an error. */
GMPUNCH_API uint8_t gmpunch_buffer_read_u8(gmpunch_buffer *buffer);
GMPUNCH_API int8_t gmpunch_buffer_read_s8(gmpunch_buffer *buffer);
GMPUNCH_API uint16_t gmpunch_buffer_read_u16(gmpunch_buffer *buffer);
GMPUNCH_API int16_t gmpunch_buffer_read_s16(gmpunch_buffer *buffer);
GMPUNCH_API uint32_t gmpunch_buffer_read_u32(gmpunch_buffer *buffer);
GMPUNCH_API int32_t gmpunch_buffer_read_s32(gmpunch_buffer *buffer);
GMPUNCH_API uint64_t gmpunch_buffer_read_u64(gmpunch_buffer *buffer);
GMPUNCH_API int64_t gmpunch_buffer_read_s64(gmpunch_buffer *buffer);
GMPUNCH_API float gmpunch_buffer_read_f16(gmpunch_buffer *buffer);
GMPUNCH_API float gmpunch_buffer_read_f32(gmpunch_buffer *buffer);
GMPUNCH_API double gmpunch_buffer_read_f64(gmpunch_buffer *buffer);
/* 1 for any byte but 00. */
GMPUNCH_API int32_t gmpunch_buffer_read_bool(gmpunch_buffer *buffer);
/* A buffer_string or buffer_text: ends at a NUL or at the end of the used bytes, where a NUL may be missing, as in GameMaker.
   Returns the bytes inside the buffer and their count without the NUL. Only if *terminated comes back 1 does a NUL follow.
   len must not be NULL, terminated may be. */
GMPUNCH_API const char *gmpunch_buffer_read_string(gmpunch_buffer *buffer, size_t *len, int32_t *terminated);
/* The next len bytes inside the buffer, NULL if there are fewer. */
GMPUNCH_API const uint8_t *gmpunch_buffer_read_bytes(gmpunch_buffer *buffer, size_t len);

/* >>address-api ======================================================================================================== */

#define GMPUNCH_ADDRESS_TEXT_SIZE 80 /* enough for any address with port and scope, NUL included */

/* Reads "1.2.3.4", "1.2.3.4:5", "2001:db8::1", "[2001:db8::1]:5"; a scope only as a number ("fe80::1%2"). default_port is
   used if the text has none and may be 0. GMPUNCH_ERR_ADDRESS if it is no numeric address or the port is not 1 to 65535. */
GMPUNCH_API int32_t gmpunch_address_parse(const char *text, uint16_t default_port, gmpunch_address *address);
/* Writes "1.2.3.4:5" or "[2001:db8::1]:5" (RFC 5952), without the port (and brackets) if it is 0. Returns the length without
   the NUL, or GMPUNCH_ERR_TOO_LONG (then text is "" if size is not 0). */
GMPUNCH_API int32_t gmpunch_address_format(const gmpunch_address *address, char *text, size_t size);
/* 1 if both are the same IP (and port), otherwise 0; also 0 if one is NULL or none. */
GMPUNCH_API int32_t gmpunch_address_equal(const gmpunch_address *a, const gmpunch_address *b);
GMPUNCH_API int32_t gmpunch_address_same_ip(const gmpunch_address *a, const gmpunch_address *b);

/* >>datagram-api ======================================================================================================= */

/* For applications with a socket of their own. The flags of a peer are in gmpunch_peer_info and gmpunch_client_server. */
enum {
    GMPUNCH_DATAGRAM_RAW = 1,    /* without GameMaker's header */
    GMPUNCH_DATAGRAM_ESCAPE = 2  /* `escape` of the config is on */
};
/* Puts GameMaker's header (and an escape byte) in front of a game packet. Returns the datagram's length, or an error:
   GMPUNCH_ERR_RESERVED (see >>after; only without escape), GMPUNCH_ERR_TOO_LONG (size is too small, or len is over
   GMPUNCH_MAX_PACKET). */
GMPUNCH_API int32_t gmpunch_datagram_encode(uint8_t *datagram, size_t size, const void *payload, size_t len, uint32_t flags);
/* Finds the game packet in a datagram, which stays where it is. Returns GMPUNCH_OK, or GMPUNCH_ERR_MALFORMED if the header's
   length field contradicts len. *raw (may be NULL) is 1 if there was no header. Of flags only ESCAPE counts. */
GMPUNCH_API int32_t gmpunch_datagram_decode(const uint8_t *datagram, size_t len, uint32_t flags, const uint8_t **payload,
                                            size_t *payload_len, int32_t *raw);

/* >>client-api ========================================================================================================= */

typedef struct gmpunch_client gmpunch_client;

/* Results of _input_udp. */
enum {
    GMPUNCH_NOT_MINE = 0, /* no protocol: the application's own packet */
    GMPUNCH_CONSUMED = 1  /* protocol: handled, or counted and ignored */
};

typedef struct gmpunch_client_stats {
    uint32_t struct_size;     /* set before the call: sizeof(gmpunch_client_stats); 0 where header and library are of one
                                 build */
    uint32_t announces_sent;  /* UDP "connect" */
    uint32_t master_attempts; /* TCP connections asked for */
    uint32_t master_answers;
    uint32_t knocks_sent;
    uint32_t knocks_heard;    /* of the host */
    uint32_t welcomes_heard;
    uint32_t keepalives_sent;
    uint32_t sockets_used;    /* source ports tried */
    uint32_t strangers;       /* knocks and welcomes from other addresses, ignored */
    uint32_t malformed;       /* datagrams whose length field is wrong, answers of the master that are no protocol */
    uint32_t oversized;       /* datagrams over max_packet, dropped */
    uint32_t events_dropped;  /* never CONNECTED, FAILED or LOST */
    uint32_t sends_failed;    /* datagrams that the system did not take */
    uint32_t refused_addresses; /* named by the master: because of knock_rules, max_addresses, or nobody can be there */
} gmpunch_client_stats;

/* Bytes that _create, or _open if sockets is 1, needs for this config. 0 if a field is out of range. */
GMPUNCH_API size_t gmpunch_client_memory_size(const gmpunch_client_config *config, int32_t sockets);
/* [sans-I/O] A client that starts at `now`. */
GMPUNCH_API int32_t gmpunch_client_create(const gmpunch_client_config *config, uint64_t now, gmpunch_client **client);
/* Closes sockets, frees all. NULL is allowed. */
GMPUNCH_API void gmpunch_client_close(gmpunch_client *client);

/* Names: the master's addresses (at most 4 are kept; those of the server's family are tried first), after creation with a
   name or a GMPUNCH_EVENT_RESOLVE. count 0: the name has none. A port of 0 becomes the configured one. */
GMPUNCH_API int32_t gmpunch_client_set_master(gmpunch_client *client, uint64_t now, const gmpunch_address *addresses,
                                              uint32_t count);
/* [sans-I/O] A datagram that came on UDP socket socket_index. Returns GMPUNCH_NOT_MINE or GMPUNCH_CONSUMED (or an error).
   Also for GMPUNCH_SOCKET_SEND_ONLY. */
GMPUNCH_API int32_t gmpunch_client_input_udp(gmpunch_client *client, uint64_t now, const gmpunch_address *from,
                                             uint32_t socket_index, const uint8_t *data, size_t len);
/* [sans-I/O] News of a connection that GMPUNCH_TRANSMIT_TCP_OPEN asked for. News of one that was closed since is ignored
   and gives GMPUNCH_ERR_CONNECTION. _tcp_closed also says that opening failed; os_error 0 if the other side closed. */
GMPUNCH_API int32_t gmpunch_client_tcp_opened(gmpunch_client *client, uint64_t now, uint32_t connection);
GMPUNCH_API int32_t gmpunch_client_tcp_data(gmpunch_client *client, uint64_t now, uint32_t connection, const uint8_t *data,
                                            size_t len);
GMPUNCH_API int32_t gmpunch_client_tcp_closed(gmpunch_client *client, uint64_t now, uint32_t connection, int32_t os_error);
/* [sans-I/O] Of the last GMPUNCH_TRANSMIT_TCP_SEND only `taken` bytes went out: call at once. The rest is offered again
   after _tcp_writable. Without this call all counts as taken. */
GMPUNCH_API int32_t gmpunch_client_tcp_sent(gmpunch_client *client, uint32_t connection, size_t taken);
GMPUNCH_API int32_t gmpunch_client_tcp_writable(gmpunch_client *client, uint64_t now, uint32_t connection);
/* [sans-I/O] To be called when next_deadline is reached; earlier or later does no harm. */
GMPUNCH_API int32_t gmpunch_client_tick(gmpunch_client *client, uint64_t now);
/* [sans-I/O] The time of the next tick, UINT64_MAX if none is needed. */
GMPUNCH_API uint64_t gmpunch_client_next_deadline(const gmpunch_client *client);
/* [sans-I/O] 1 and the next thing to do, or 0. */
GMPUNCH_API int32_t gmpunch_client_next_transmit(gmpunch_client *client, gmpunch_transmit *transmit);
/* [sans-I/O] 1 and the next event, or 0. */
GMPUNCH_API int32_t gmpunch_client_next_event(gmpunch_client *client, gmpunch_event *event);

/* Asks the connected host for its data strings; repeated until GMPUNCH_EVENT_HOST_DATA, at most ten times in five seconds. */
GMPUNCH_API int32_t gmpunch_client_request_data(gmpunch_client *client, uint64_t now);
/* Now GMPUNCH_STAGE_. */
GMPUNCH_API int32_t gmpunch_client_stage(const gmpunch_client *client);
/* The connected host's address and how to encode datagrams to it (flags may be NULL); GMPUNCH_ERR_NOT_CONNECTED before. */
GMPUNCH_API int32_t gmpunch_client_server(const gmpunch_client *client, gmpunch_address *address, uint32_t *flags);
GMPUNCH_API int32_t gmpunch_client_get_stats(const gmpunch_client *client, gmpunch_client_stats *stats);

/* >>host-api =========================================================================================================== */

typedef struct gmpunch_host gmpunch_host;

typedef struct gmpunch_peer_info {
    uint32_t struct_size;    /* set before the call, as in gmpunch_client_stats */
    uint32_t peer;           /* id */
    gmpunch_address address;
    int32_t how;             /* GMPUNCH_HOW_PUNCHED if it was introduced */
    uint32_t flags;          /* GMPUNCH_DATAGRAM_ for gmpunch_datagram_encode */
    int32_t answers;         /* 1: has been seen to answer keep-alives: no classic peer */
    uint32_t socket_index;   /* the UDP socket that it talks to */
    uint32_t connected_ms;   /* since it joined */
    uint32_t silent_ms;      /* since it was heard */
    int32_t confirmed;       /* 1: has sent more than its first knocks. A game that sends much should wait for it: a forged
                                knock makes its victim a peer */
} gmpunch_peer_info;

typedef struct gmpunch_host_stats {
    uint32_t struct_size;    /* set before the call, as in gmpunch_client_stats */
    uint32_t peers;          /* now */
    uint32_t introductions;  /* now */
    uint32_t registered;     /* 1: the registration was handed to the master's connection, which still stands */
    uint32_t registrations;  /* so far */
    uint32_t master_attempts;
    uint32_t introduced;     /* clients named by the master */
    uint32_t joined;
    uint32_t left;
    uint32_t knocks_sent;
    uint32_t knocks_heard;
    uint32_t welcomes_sent;
    uint32_t data_sent;      /* answers with the data strings */
    uint32_t keepalives_sent;
    uint32_t refused_full;   /* knocks refused because no place was free: max_peers */
    uint32_t refused_unmediated; /* ... because of require_mediation */
    uint32_t refused_kicked;
    uint32_t refused_introductions; /* because of max_introductions, max_introductions_per_ip or knock_rules, or the address
                                       is kicked or can be no client's */
    uint32_t strangers;      /* game packets and data requests from addresses that are no peers */
    uint32_t malformed;      /* as in gmpunch_client_stats */
    uint32_t oversized;
    uint32_t events_dropped; /* never JOINED or LEFT */
    uint32_t sends_failed;
    uint32_t refused_direct;    /* knocks refused because of max_direct_peers */
    uint32_t refused_direct_ip; /* ... of max_direct_peers_per_ip */
    uint32_t displaced;      /* unconfirmed peers that made room */
    uint32_t knocks_held;    /* knocks at introduced clients put off because of max_knocks_per_second */
    uint32_t data_held;      /* data requests of direct peers not answered: at most 20 a second are, the answer being longer */
} gmpunch_host_stats;

/* These are as those of the client, see there. */
GMPUNCH_API size_t gmpunch_host_memory_size(const gmpunch_host_config *config, int32_t sockets);
GMPUNCH_API int32_t gmpunch_host_create(const gmpunch_host_config *config, uint64_t now, gmpunch_host **host);
GMPUNCH_API void gmpunch_host_close(gmpunch_host *host);
GMPUNCH_API int32_t gmpunch_host_set_master(gmpunch_host *host, uint64_t now, const gmpunch_address *addresses,
                                            uint32_t count);
/* A datagram of the game from a peer counts as a sign of life of that peer. */
GMPUNCH_API int32_t gmpunch_host_input_udp(gmpunch_host *host, uint64_t now, const gmpunch_address *from,
                                           uint32_t socket_index, const uint8_t *data, size_t len);
GMPUNCH_API int32_t gmpunch_host_tcp_opened(gmpunch_host *host, uint64_t now, uint32_t connection);
GMPUNCH_API int32_t gmpunch_host_tcp_data(gmpunch_host *host, uint64_t now, uint32_t connection, const uint8_t *data,
                                          size_t len);
GMPUNCH_API int32_t gmpunch_host_tcp_closed(gmpunch_host *host, uint64_t now, uint32_t connection, int32_t os_error);
GMPUNCH_API int32_t gmpunch_host_tcp_sent(gmpunch_host *host, uint32_t connection, size_t taken);
GMPUNCH_API int32_t gmpunch_host_tcp_writable(gmpunch_host *host, uint64_t now, uint32_t connection);
GMPUNCH_API int32_t gmpunch_host_tick(gmpunch_host *host, uint64_t now);
GMPUNCH_API uint64_t gmpunch_host_next_deadline(const gmpunch_host *host);
GMPUNCH_API int32_t gmpunch_host_next_transmit(gmpunch_host *host, gmpunch_transmit *transmit);
GMPUNCH_API int32_t gmpunch_host_next_event(gmpunch_host *host, gmpunch_event *event);

/* The id of the peer with this address, 0 if there is none. */
GMPUNCH_API uint32_t gmpunch_host_find_peer(const gmpunch_host *host, const gmpunch_address *address);
GMPUNCH_API int32_t gmpunch_host_peer_info(const gmpunch_host *host, uint32_t peer, gmpunch_peer_info *info);
/* Writes up to `capacity` ids of connected peers (peers may be NULL if it is 0) and returns how many there are. */
GMPUNCH_API int32_t gmpunch_host_peers(const gmpunch_host *host, uint32_t *peers, uint32_t capacity);
/* Removes a peer (GMPUNCH_EVENT_LEFT follows) and refuses its knocks for kick_ms. The protocol cannot tell the peer. */
GMPUNCH_API int32_t gmpunch_host_kick(gmpunch_host *host, uint64_t now, uint32_t peer);
/* Changes data string 1 to 8; text without control characters, NULL is empty. GMPUNCH_ERR_TOO_LONG if the eight no longer
   fit in data_capacity. Peers get it when they ask next, the master after gmpunch_host_commit_data. */
GMPUNCH_API int32_t gmpunch_host_set_data(gmpunch_host *host, uint32_t number, const char *text);
/* Registers the data strings with the master again, now or once it is connected. */
GMPUNCH_API int32_t gmpunch_host_commit_data(gmpunch_host *host, uint64_t now);
GMPUNCH_API int32_t gmpunch_host_get_stats(const gmpunch_host *host, gmpunch_host_stats *stats);

/* >>lobby-api ========================================================================================================== */

/* Downloads the list of hosts from any master: one request, then GMPUNCH_EVENT_LOBBY_ENTRY for each host, and at last
   GMPUNCH_EVENT_LOBBY_DONE or GMPUNCH_EVENT_FAILED. Entries are yielded as they arrive, so that a list of any length needs the
   same memory. A master without a lobby does not answer: then it ends with GMPUNCH_REASON_MASTER_SILENT. */
typedef struct gmpunch_lobby gmpunch_lobby;

typedef struct gmpunch_lobby_stats {
    uint32_t struct_size;     /* set before the call, as in gmpunch_client_stats */
    uint32_t master_attempts; /* TCP connections asked for */
    uint32_t entries;         /* yielded */
    uint32_t oversized;       /* entries over max_entry, passed over */
    uint32_t malformed;       /* entries that are no hosts in JSON, passed over */
    uint32_t reserved;
    uint64_t bytes;           /* of the answer so far */
} gmpunch_lobby_stats;

/* These are as those of the client, see there. */
GMPUNCH_API size_t gmpunch_lobby_memory_size(const gmpunch_lobby_config *config, int32_t sockets);
GMPUNCH_API int32_t gmpunch_lobby_create(const gmpunch_lobby_config *config, uint64_t now, gmpunch_lobby **lobby);
GMPUNCH_API void gmpunch_lobby_close(gmpunch_lobby *lobby);
GMPUNCH_API int32_t gmpunch_lobby_set_master(gmpunch_lobby *lobby, uint64_t now, const gmpunch_address *addresses,
                                             uint32_t count);
GMPUNCH_API int32_t gmpunch_lobby_tcp_opened(gmpunch_lobby *lobby, uint64_t now, uint32_t connection);
/* [sans-I/O] Returns how many bytes were taken, or an error. If not all, an entry is ready: call _next_event until it gives 0,
   then offer the rest. */
GMPUNCH_API int32_t gmpunch_lobby_tcp_data(gmpunch_lobby *lobby, uint64_t now, uint32_t connection, const uint8_t *data,
                                           size_t len);
GMPUNCH_API int32_t gmpunch_lobby_tcp_closed(gmpunch_lobby *lobby, uint64_t now, uint32_t connection, int32_t os_error);
GMPUNCH_API int32_t gmpunch_lobby_tcp_sent(gmpunch_lobby *lobby, uint32_t connection, size_t taken);
GMPUNCH_API int32_t gmpunch_lobby_tcp_writable(gmpunch_lobby *lobby, uint64_t now, uint32_t connection);
GMPUNCH_API int32_t gmpunch_lobby_tick(gmpunch_lobby *lobby, uint64_t now);
GMPUNCH_API uint64_t gmpunch_lobby_next_deadline(const gmpunch_lobby *lobby);
GMPUNCH_API int32_t gmpunch_lobby_next_transmit(gmpunch_lobby *lobby, gmpunch_transmit *transmit);
GMPUNCH_API int32_t gmpunch_lobby_next_event(gmpunch_lobby *lobby, gmpunch_event *event);
GMPUNCH_API int32_t gmpunch_lobby_get_stats(const gmpunch_lobby *lobby, gmpunch_lobby_stats *stats);

/* >>master-api ========================================================================================================= */

#if !defined(GMPUNCH_NO_MASTER)
typedef struct gmpunch_master gmpunch_master;

typedef struct gmpunch_master_stats {
    uint32_t struct_size;    /* set before the call, as in gmpunch_client_stats */
    uint32_t connections;    /* now */
    uint32_t hosts;          /* now: registered over TCP */
    uint32_t requests;       /* now: on hold */
    uint32_t ports;          /* now: remembered UDP ports */
    uint32_t reserved;
    uint64_t memory;         /* now: bytes from the allocator */
    uint64_t accepted;       /* connections */
    uint64_t registrations;  /* TCP "reg" and "reg2" */
    uint64_t requested;      /* "connect" */
    uint64_t introductions;  /* answered as found, host told */
    uint64_t portless;       /* answered as found, but the client's UDP port never came: host not told */
    uint64_t not_found;
    uint64_t udp_received;   /* datagrams */
    uint64_t udp_ignored;    /* of them no command */
    uint64_t lines_ignored;  /* unknown or malformed lines over TCP */
    uint64_t refused_connections;    /* max_connections */
    uint64_t refused_connections_ip; /* max_connections_per_ip */
    uint64_t refused_ports;          /* max_ports, max_ports_per_ip */
    uint64_t refused_requests;       /* max_requests, max_requests_per_connection: answered as not found */
    uint64_t refused_messages;       /* max_messages, max_messages_per_connection: introduction not sent */
    uint64_t refused_memory;         /* the allocator gave nothing */
    uint64_t closed_line;            /* connections closed: max_line */
    uint64_t closed_command;         /* ... command_timeout_ms */
    uint64_t closed_idle;            /* ... idle_timeout_ms */
    uint64_t closed_host;            /* ... host_timeout_ms */
    uint64_t closed_write;           /* ... write_timeout_ms */
    uint64_t closed_version;         /* ... "reg2" with a version that is too low */
    uint64_t closed_full;            /* ... no room for an answer (max_messages, max_messages_per_connection), or no memory for
                                        half a command */
    uint64_t events_dropped;
    uint64_t listed;                 /* now: hosts in the lobby */
    uint64_t data_bytes;             /* now: of data strings */
    uint64_t lobby_bytes;            /* now: of lists and requests that wait to be sent, or are kept for the next */
    uint64_t lobby_requests;         /* "lobby2", answered or not */
    uint64_t lobby_built;            /* lists made; the other requests got one that was there */
    uint64_t lobby_truncated;        /* lists cut at max_lobby */
    uint64_t refused_data;           /* max_data: host not listed */
    uint64_t refused_lobby;          /* max_lobby_memory, max_lobby_memory_per_ip: connection closed */
    uint64_t tcp_bytes_in;
    uint64_t tcp_bytes_out;
    uint64_t udp_bytes_in;
    uint64_t refused_connections_subnet;  /* max_connections_per_subnet */
    uint64_t refused_connections_waiting; /* max_waiting_connections */
    uint64_t refused_commands;            /* max_commands_per_second: connection closed, or a host's command ignored */
} gmpunch_master_stats;

/* [sans-I/O] As those of the client, where not said otherwise. */
GMPUNCH_API int32_t gmpunch_master_create(const gmpunch_master_config *config, uint64_t now, gmpunch_master **master);
GMPUNCH_API void gmpunch_master_close(gmpunch_master *master);
/* Always GMPUNCH_CONSUMED (or an error). */
GMPUNCH_API int32_t gmpunch_master_input_udp(gmpunch_master *master, uint64_t now, const gmpunch_address *from,
                                             uint32_t socket_index, const uint8_t *data, size_t len);
/* A connection was accepted: *connection becomes its id. GMPUNCH_ERR_FULL or GMPUNCH_ERR_MEMORY: close it, it is refused. */
GMPUNCH_API int32_t gmpunch_master_tcp_accepted(gmpunch_master *master, uint64_t now, const gmpunch_address *from,
                                                uint32_t *connection);
GMPUNCH_API int32_t gmpunch_master_tcp_data(gmpunch_master *master, uint64_t now, uint32_t connection, const uint8_t *data,
                                            size_t len);
/* A GMPUNCH_TRANSMIT_TCP_CLOSE of it that was not given out yet is then not any more. */
GMPUNCH_API int32_t gmpunch_master_tcp_closed(gmpunch_master *master, uint64_t now, uint32_t connection, int32_t os_error);
GMPUNCH_API int32_t gmpunch_master_tcp_sent(gmpunch_master *master, uint32_t connection, size_t taken);
GMPUNCH_API int32_t gmpunch_master_tcp_writable(gmpunch_master *master, uint64_t now, uint32_t connection);
/* [sans-I/O] `now` is this Unix time, for the hosts that register from now on. Without it their `createdTime` is 0. With
   _open the system's clock is used. */
GMPUNCH_API int32_t gmpunch_master_set_unix_time(gmpunch_master *master, uint64_t now, uint64_t unix_seconds);
GMPUNCH_API int32_t gmpunch_master_tick(gmpunch_master *master, uint64_t now);
GMPUNCH_API uint64_t gmpunch_master_next_deadline(const gmpunch_master *master);
GMPUNCH_API int32_t gmpunch_master_next_transmit(gmpunch_master *master, gmpunch_transmit *transmit);
GMPUNCH_API int32_t gmpunch_master_next_event(gmpunch_master *master, gmpunch_event *event);
GMPUNCH_API int32_t gmpunch_master_get_stats(const gmpunch_master *master, gmpunch_master_stats *stats);
#endif /* GMPUNCH_NO_MASTER */

/* >>socket-api ========================================================================================================= */

#if !defined(GMPUNCH_NO_SOCKETS)
/* The clock of _open and _poll: milliseconds (microseconds) that never run backwards, from an unknown start. */
GMPUNCH_API uint64_t gmpunch_now(void);
GMPUNCH_API uint64_t gmpunch_now_us(void);

/* A socket to wait on, for select, poll and the like. */
enum { GMPUNCH_WAIT_READ = 1, GMPUNCH_WAIT_WRITE = 2 };
typedef struct gmpunch_wait {
    uintptr_t socket; /* descriptor, or SOCKET on Windows */
    uint32_t events;  /* GMPUNCH_WAIT_ */
    uint32_t reserved;
} gmpunch_wait;

/* Opens the sockets and starts. The one call that may block, and only if master or server is a name. A server's name without
   an address is GMPUNCH_ERR_ADDRESS; a master's is no error here: it comes as an event. */
GMPUNCH_API int32_t gmpunch_client_open(const gmpunch_client_config *config, gmpunch_client **client);
/* Does all that is due, then returns 1 and an event, or 0 if there is none. Waits at most timeout_ms for one; 0 never
   blocks, GMPUNCH_NEVER waits until there is one. Call it until it returns 0. */
GMPUNCH_API int32_t gmpunch_client_poll(gmpunch_client *client, gmpunch_event *event, uint32_t timeout_ms);
/* Sends a game packet to the host, now. Like any datagram it may get lost. GMPUNCH_ERR_NOT_CONNECTED, _RESERVED (>>after),
   _TOO_LONG, _WOULD_BLOCK, _SOCKET. */
GMPUNCH_API int32_t gmpunch_client_send(gmpunch_client *client, const void *data, size_t len);
/* Looks the master's name up and tells the client; may block. For GMPUNCH_EVENT_RESOLVE. */
GMPUNCH_API int32_t gmpunch_client_resolve(gmpunch_client *client);
/* Writes up to `capacity` sockets to wait on and returns how many there are; they may change with each call of _poll. Wait no
   longer than gmpunch_client_next_deadline - gmpunch_now(), then poll. A SEND_ONLY socket is not among them. */
GMPUNCH_API int32_t gmpunch_client_waits(const gmpunch_client *client, gmpunch_wait *waits, uint32_t capacity);
/* The local address of the UDP socket in use, and that socket. */
GMPUNCH_API int32_t gmpunch_client_local_address(const gmpunch_client *client, gmpunch_address *address);
GMPUNCH_API uintptr_t gmpunch_client_socket(const gmpunch_client *client);
/* The last error of the system on this object (errno, or WSAGetLastError), 0 if there was none. */
GMPUNCH_API int32_t gmpunch_client_os_error(const gmpunch_client *client);

/* As those of the client. */
GMPUNCH_API int32_t gmpunch_host_open(const gmpunch_host_config *config, gmpunch_host **host);
GMPUNCH_API int32_t gmpunch_host_poll(gmpunch_host *host, gmpunch_event *event, uint32_t timeout_ms);
GMPUNCH_API int32_t gmpunch_host_send(gmpunch_host *host, uint32_t peer, const void *data, size_t len);
/* Sends to each connected peer; returns to how many it went, or an error if the packet is not allowed. */
GMPUNCH_API int32_t gmpunch_host_send_all(gmpunch_host *host, const void *data, size_t len);
GMPUNCH_API int32_t gmpunch_host_resolve(gmpunch_host *host);
GMPUNCH_API int32_t gmpunch_host_waits(const gmpunch_host *host, gmpunch_wait *waits, uint32_t capacity);
GMPUNCH_API int32_t gmpunch_host_local_address(const gmpunch_host *host, gmpunch_address *address);
GMPUNCH_API uintptr_t gmpunch_host_socket(const gmpunch_host *host);
GMPUNCH_API int32_t gmpunch_host_os_error(const gmpunch_host *host);

/* As those of the client. */
GMPUNCH_API int32_t gmpunch_lobby_open(const gmpunch_lobby_config *config, gmpunch_lobby **lobby);
GMPUNCH_API int32_t gmpunch_lobby_poll(gmpunch_lobby *lobby, gmpunch_event *event, uint32_t timeout_ms);
GMPUNCH_API int32_t gmpunch_lobby_resolve(gmpunch_lobby *lobby);
GMPUNCH_API int32_t gmpunch_lobby_waits(const gmpunch_lobby *lobby, gmpunch_wait *waits, uint32_t capacity);
GMPUNCH_API int32_t gmpunch_lobby_os_error(const gmpunch_lobby *lobby);

#if !defined(GMPUNCH_NO_MASTER)
/* Binds TCP and UDP on the same port. Never blocks. */
GMPUNCH_API int32_t gmpunch_master_open(const gmpunch_master_config *config, gmpunch_master **master);
/* As gmpunch_client_poll. event NULL: serves without events until timeout_ms have passed, then returns 0. */
GMPUNCH_API int32_t gmpunch_master_poll(gmpunch_master *master, gmpunch_event *event, uint32_t timeout_ms);
/* As gmpunch_client_waits. With epoll or kqueue one descriptor stands for all. */
GMPUNCH_API int32_t gmpunch_master_waits(const gmpunch_master *master, gmpunch_wait *waits, uint32_t capacity);
/* The address of bind number `index` (from 0); GMPUNCH_ERR_ARGUMENT if there are fewer. */
GMPUNCH_API int32_t gmpunch_master_local_address(const gmpunch_master *master, uint32_t index, gmpunch_address *address);
GMPUNCH_API int32_t gmpunch_master_os_error(const gmpunch_master *master);
#endif /* GMPUNCH_NO_MASTER */
#endif /* GMPUNCH_NO_SOCKETS */

#if defined(__cplusplus)
}
#endif
#endif /* GMPUNCH_INCLUDED */
/* clang-format on */

/* ======================================================================================================================
   IMPLEMENTATION
   ====================================================================================================================== */
#if defined(GMPUNCH_IMPLEMENTATION) && !defined(GMPUNCH_IMPLEMENTATION_DONE)
#define GMPUNCH_IMPLEMENTATION_DONE

/* >>platform =========================================================================================================== */

#include <string.h>
#if !defined(GMPUNCH_NO_STDLIB)
#include <stdlib.h>
#endif
#if !defined(GMPUNCH_NO_STDIO)
#include <stdio.h>
#endif
#if !defined(GMPUNCH_ASSERT)
#include <assert.h>
#define GMPUNCH_ASSERT(x) assert(x)
#endif

#if !defined(GMPUNCH_NO_SOCKETS)
/* What the system has best to watch the many sockets of a master; without any of these it is poll. */
#if !defined(GMPUNCH_POLL_ONLY) && !defined(GMPUNCH_NO_MASTER)
#if defined(__linux__)
#define GMPUNCHI_EPOLL
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || defined(__DragonFly__)
#define GMPUNCHI_KQUEUE
#endif
#endif
#if defined(_WIN32)
#if !defined(WIN32_LEAN_AND_MEAN)
#define WIN32_LEAN_AND_MEAN
#endif
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>
#else
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#if defined(GMPUNCHI_EPOLL)
#include <sys/epoll.h>
#elif defined(GMPUNCHI_KQUEUE)
#include <sys/event.h>
#endif
#if !defined(CLOCK_MONOTONIC) || !defined(AI_ADDRCONFIG)
#error "gmpunch: the C library hides sockets and clocks here. Include gmpunch.h first, or compile with -D_DEFAULT_SOURCE."
#endif
#endif
#endif

/* Some private functions serve only one role or one switch. */
#if defined(__GNUC__)
#define GMPUNCHI_FN static __attribute__((unused))
#else
#define GMPUNCHI_FN static
#endif

#if defined(__cplusplus)
extern "C" {
#endif

#define GMPUNCHI_STATIC_ASSERT(condition, name) typedef char gmpunchi_assert_##name[(condition) ? 1 : -1]
GMPUNCHI_STATIC_ASSERT(sizeof(gmpunch_address) == 24, address_size);
GMPUNCHI_STATIC_ASSERT(sizeof(void *) != 8 || sizeof(gmpunch_event) == 128, event_size);
GMPUNCHI_STATIC_ASSERT(sizeof(void *) != 8 || sizeof(gmpunch_transmit) == 64, transmit_size);

#define GMPUNCHI_NONE 0xffffffffu /* no index */
#define GMPUNCHI_TIME_NEVER UINT64_MAX
#define GMPUNCHI_COUNT(array) (sizeof(array) / sizeof((array)[0]))

uint32_t gmpunch_version(void) { return GMPUNCH_VERSION; }

const char *gmpunch_version_string(void) { return GMPUNCH_VERSION_STRING; }

typedef struct gmpunchi_name {
    int32_t value;
    const char *name;
    const char *text;
} gmpunchi_name;

GMPUNCHI_FN const gmpunchi_name *gmpunchi_name_find(const gmpunchi_name *names, size_t count, int32_t value) {
    size_t i;
    for (i = 0; i < count; i++)
        if (names[i].value == value) return &names[i];
    return NULL;
}

static const gmpunchi_name gmpunchi_results[] = {
    {GMPUNCH_OK, "OK", "success"},
    {GMPUNCH_ERR_ARGUMENT, "ARGUMENT", "an argument is missing or out of range"},
    {GMPUNCH_ERR_CONFIG, "CONFIG", "a config field is out of range, or the config is of another version"},
    {GMPUNCH_ERR_ADDRESS, "ADDRESS", "not a numeric address with a port from 1 to 65535"},
    {GMPUNCH_ERR_RESERVED, "RESERVED", "the packet would be taken for a protocol message"},
    {GMPUNCH_ERR_STATE, "STATE", "not possible in this state"},
    {GMPUNCH_ERR_NOT_CONNECTED, "NOT_CONNECTED", "not connected"},
    {GMPUNCH_ERR_PEER, "PEER", "no such peer"},
    {GMPUNCH_ERR_CONNECTION, "CONNECTION", "no such connection"},
    {GMPUNCH_ERR_WOULD_BLOCK, "WOULD_BLOCK", "the system can take nothing more now"},
    {GMPUNCH_ERR_MEMORY, "MEMORY", "out of memory"},
    {GMPUNCH_ERR_FULL, "FULL", "a limit is reached"},
    {GMPUNCH_ERR_TOO_LONG, "TOO_LONG", "too long"},
    {GMPUNCH_ERR_END, "END", "read past the end"},
    {GMPUNCH_ERR_SOCKET, "SOCKET", "a socket call failed"},
    {GMPUNCH_ERR_ADDRESS_IN_USE, "ADDRESS_IN_USE", "the port is already in use"},
    {GMPUNCH_ERR_ADDRESS_NOT_HERE, "ADDRESS_NOT_HERE", "the address is not one of this machine"},
    {GMPUNCH_ERR_ACCESS, "ACCESS", "permission denied"},
    {GMPUNCH_ERR_DESCRIPTORS, "DESCRIPTORS", "no socket descriptors left"},
    {GMPUNCH_ERR_MALFORMED, "MALFORMED", "not a message of this protocol"},
};

const char *gmpunch_strerror(int32_t result) {
    const gmpunchi_name *found =
        gmpunchi_name_find(gmpunchi_results, GMPUNCHI_COUNT(gmpunchi_results), result > 0 ? GMPUNCH_OK : result);
    return found ? found->text : "unknown error";
}

const char *gmpunch_error_name(int32_t result) {
    const gmpunchi_name *found =
        gmpunchi_name_find(gmpunchi_results, GMPUNCHI_COUNT(gmpunchi_results), result > 0 ? GMPUNCH_OK : result);
    return found ? found->name : "UNKNOWN";
}

static const gmpunchi_name gmpunchi_events[] = {
    {GMPUNCH_EVENT_NONE, "none", ""},
    {GMPUNCH_EVENT_DATA, "data", ""},
    {GMPUNCH_EVENT_RESOLVE, "resolve", ""},
    {GMPUNCH_EVENT_FOUND, "found", ""},
    {GMPUNCH_EVENT_FALLBACK, "fallback", ""},
    {GMPUNCH_EVENT_CONNECTED, "connected", ""},
    {GMPUNCH_EVENT_FAILED, "failed", ""},
    {GMPUNCH_EVENT_LOST, "lost", ""},
    {GMPUNCH_EVENT_HOST_DATA, "host_data", ""},
    {GMPUNCH_EVENT_REGISTERED, "registered", ""},
    {GMPUNCH_EVENT_UNREGISTERED, "unregistered", ""},
    {GMPUNCH_EVENT_INTRODUCED, "introduced", ""},
    {GMPUNCH_EVENT_INTRODUCTION_EXPIRED, "introduction_expired", ""},
    {GMPUNCH_EVENT_JOINED, "joined", ""},
    {GMPUNCH_EVENT_LEFT, "left", ""},
    {GMPUNCH_EVENT_HOST_ADDED, "host_added", ""},
    {GMPUNCH_EVENT_HOST_REMOVED, "host_removed", ""},
    {GMPUNCH_EVENT_INTRODUCTION, "introduction", ""},
    {GMPUNCH_EVENT_NOT_FOUND, "not_found", ""},
    {GMPUNCH_EVENT_LOBBY_ENTRY, "lobby_entry", ""},
    {GMPUNCH_EVENT_LOBBY_DONE, "lobby_done", ""},
};

const char *gmpunch_event_name(int32_t type) {
    const gmpunchi_name *found = gmpunchi_name_find(gmpunchi_events, GMPUNCHI_COUNT(gmpunchi_events), type);
    return found ? found->name : "unknown";
}

static const gmpunchi_name gmpunchi_stages[] = {
    {GMPUNCH_STAGE_MASTER, "master", ""},       {GMPUNCH_STAGE_PUNCH, "punch", ""},   {GMPUNCH_STAGE_DIRECT, "direct", ""},
    {GMPUNCH_STAGE_CONNECTED, "connected", ""}, {GMPUNCH_STAGE_FAILED, "failed", ""}, {GMPUNCH_STAGE_LOST, "lost", ""},
};

const char *gmpunch_stage_name(int32_t stage) {
    const gmpunchi_name *found = gmpunchi_name_find(gmpunchi_stages, GMPUNCHI_COUNT(gmpunchi_stages), stage);
    return found ? found->name : "unknown";
}

static const gmpunchi_name gmpunchi_hows[] = {
    {GMPUNCH_HOW_NONE, "none", ""},
    {GMPUNCH_HOW_PUNCHED, "punched", ""},
    {GMPUNCH_HOW_DIRECT, "direct", ""},
};

const char *gmpunch_how_name(int32_t how) {
    const gmpunchi_name *found = gmpunchi_name_find(gmpunchi_hows, GMPUNCHI_COUNT(gmpunchi_hows), how);
    return found ? found->name : "unknown";
}

static const gmpunchi_name gmpunchi_reasons[] = {
    {GMPUNCH_REASON_NONE, "none", "No reason was given."},
    {GMPUNCH_REASON_RESOLVE_FAILED, "resolve_failed",
     "The master server's name could not be looked up. Check its spelling and this computer's internet connection."},
    {GMPUNCH_REASON_MASTER_UNREACHABLE, "master_unreachable",
     "The master server can't be reached. Check the internet connection and the address; it may be down or blocked."},
    {GMPUNCH_REASON_MASTER_SILENT, "master_silent",
     "The master server took the connection but did not answer in time. Try again; it may be overloaded."},
    {GMPUNCH_REASON_MASTER_CLOSED, "master_closed", "The master server ended the connection without an answer. Try again."},
    {GMPUNCH_REASON_MASTER_MALFORMED, "master_malformed",
     "What answered is not a GMnet PUNCH master server. Check its address and port."},
    {GMPUNCH_REASON_HOST_NOT_FOUND, "host_not_found",
     "The master server knows no such game. It may have ended, or the address is wrong."},
    {GMPUNCH_REASON_HOST_SILENT, "host_silent",
     "Nothing came back from the game's host. It may be gone, or one of the two routers or firewalls does not let the "
     "connection through; a forwarded UDP port at the host helps."},
    {GMPUNCH_REASON_HOST_ONE_WAY, "host_one_way",
     "The host's packets arrive here, but it does not answer ours. Its router or firewall keeps them out; a forwarded UDP "
     "port at the host helps."},
    {GMPUNCH_REASON_TIMEOUT, "timeout", "The connection fell silent. The other side may have lost its internet connection."},
    {GMPUNCH_REASON_KICKED, "kicked", "The peer was removed by the host."},
    {GMPUNCH_REASON_CLOSED, "closed", "The other side closed the connection."},
    {GMPUNCH_REASON_REPLACED, "replaced", "A newer registration of the same host took its place."},
    {GMPUNCH_REASON_SOCKET, "socket",
     "The system refused a network operation. Check the firewall and the network connection."},
    {GMPUNCH_REASON_LIMIT, "limit", "A limit of the server, or for what it may send, was reached."},
    {GMPUNCH_REASON_VERSION, "version", "The game's version of the protocol is too old for this server."},
};

const char *gmpunch_reason_name(int32_t reason) {
    const gmpunchi_name *found = gmpunchi_name_find(gmpunchi_reasons, GMPUNCHI_COUNT(gmpunchi_reasons), reason);
    return found ? found->name : "unknown";
}

const char *gmpunch_reason_text(int32_t reason) {
    const gmpunchi_name *found = gmpunchi_name_find(gmpunchi_reasons, GMPUNCHI_COUNT(gmpunchi_reasons), reason);
    return found ? found->text : "Unknown reason.";
}

/* >>memory ============================================================================================================= */

#if !defined(GMPUNCH_NO_STDLIB)
GMPUNCHI_FN void *gmpunchi_malloc(size_t size, void *user) {
    (void)user;
    return malloc(size);
}

GMPUNCHI_FN void gmpunchi_free(void *memory, size_t size, void *user) {
    (void)size;
    (void)user;
    free(memory);
}
#endif

/* The allocator to use for a config's: 0 if it is incomplete, or none is given where there is no malloc. */
GMPUNCHI_FN int32_t gmpunchi_allocator_resolve(const gmpunch_allocator *given, gmpunch_allocator *out) {
    if (given && (given->alloc || given->free)) {
        *out = *given;
        return given->alloc && given->free;
    }
    memset(out, 0, sizeof *out);
#if defined(GMPUNCH_NO_STDLIB)
    return 0;
#else
    out->alloc = gmpunchi_malloc;
    out->free = gmpunchi_free;
    return 1;
#endif
}

/* Copies a caller's struct of maybe an older, shorter version over a zeroed one of ours: missing fields are 0, the default. */
GMPUNCHI_FN int32_t gmpunchi_struct_in(void *ours, const void *theirs, size_t size) {
    uint32_t their_size;
    memset(ours, 0, size);
    if (!theirs) return GMPUNCH_ERR_ARGUMENT;
    memcpy(&their_size, theirs, sizeof their_size);
#if defined(GMPUNCH_DLL)
    if (their_size == 0) return GMPUNCH_ERR_CONFIG;
#else
    if (their_size == 0) their_size = (uint32_t)size;
#endif
    if (their_size > size || their_size < sizeof their_size) return GMPUNCH_ERR_CONFIG;
    memcpy(ours, theirs, their_size);
    return GMPUNCH_OK;
}

/* The way back: fills as much of the caller's struct as it has. */
GMPUNCHI_FN int32_t gmpunchi_struct_out(void *theirs, const void *ours, size_t size) {
    uint32_t their_size, copy_size;
    if (!theirs) return GMPUNCH_ERR_ARGUMENT;
    memcpy(&their_size, theirs, sizeof their_size);
    copy_size = their_size;
#if defined(GMPUNCH_DLL)
    if (their_size == 0) return GMPUNCH_ERR_CONFIG;
#else
    if (their_size == 0) copy_size = (uint32_t)size;
#endif
    if (copy_size > size || copy_size < sizeof copy_size) return GMPUNCH_ERR_CONFIG;
    memcpy(theirs, ours, copy_size);
    memcpy(theirs, &their_size, sizeof their_size);
    return GMPUNCH_OK;
}

/* Lays out one block: with base NULL it only counts. */
typedef struct gmpunchi_arena {
    uint8_t *base;
    size_t used;
} gmpunchi_arena;

GMPUNCHI_FN void *gmpunchi_arena_take(gmpunchi_arena *arena, size_t size) {
    void *place = arena->base ? arena->base + arena->used : NULL;
    arena->used += (size + 15u) & ~(size_t)15u;
    return place;
}

/* What all objects have in common. */
typedef struct gmpunchi_object {
    gmpunch_allocator allocator;
    size_t block_size; /* 0: memory of the caller */
    gmpunch_log_function log;
    void *log_user;
    uint64_t now; /* the latest time seen */
    uint64_t random;
    int32_t os_error;
    void *drive; /* of >>drive; NULL: sans-I/O */
} gmpunchi_object;

/* Takes the caller's memory if it is enough, or else allocates; zeroed. */
GMPUNCHI_FN int32_t gmpunchi_block_get(size_t size, void *memory, size_t memory_size, const gmpunch_allocator *allocator,
                                       void **block) {
    *block = NULL;
    if (memory) {
        if (memory_size < size || ((uintptr_t)memory & (sizeof(void *) - 1u)) != 0) return GMPUNCH_ERR_MEMORY;
        *block = memory;
    } else {
        *block = allocator->alloc(size, allocator->user);
        if (!*block) return GMPUNCH_ERR_MEMORY;
    }
    memset(*block, 0, size);
    return GMPUNCH_OK;
}

GMPUNCHI_FN void gmpunchi_object_free(gmpunchi_object *object) {
    gmpunch_allocator allocator = object->allocator;
    if (object->block_size) allocator.free(object, object->block_size, allocator.user);
}

/* Time stands still where a caller's clock steps back, and never reaches the "never" of deadlines. */
GMPUNCHI_FN uint64_t gmpunchi_advance(gmpunchi_object *object, uint64_t now) {
    if (now == GMPUNCHI_TIME_NEVER) now--;
    if (now > object->now) object->now = now;
    return object->now;
}

/* splitmix64: spreads pauses, nothing that must be unpredictable. */
GMPUNCHI_FN uint64_t gmpunchi_random(gmpunchi_object *object) {
    uint64_t z = (object->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* From half of ms up to ms. */
GMPUNCHI_FN uint32_t gmpunchi_jitter(gmpunchi_object *object, uint32_t ms) {
    return ms - (uint32_t)(gmpunchi_random(object) % (ms / 2u + 1u));
}

GMPUNCHI_FN uint64_t gmpunchi_after(uint64_t now, uint32_t ms) {
    return ms == GMPUNCH_NEVER || now > GMPUNCHI_TIME_NEVER - ms ? GMPUNCHI_TIME_NEVER : now + ms;
}

GMPUNCHI_FN uint64_t gmpunchi_earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

GMPUNCHI_FN uint32_t gmpunchi_or_default(uint32_t value, uint32_t fallback) { return value ? value : fallback; }

/* A limit of so many a second in the long run, with some at once. */
typedef struct gmpunchi_rate {
    uint64_t at;   /* when `used` was right */
    uint64_t used; /* thousandths of what is allowed at once; 0 is all free */
} gmpunchi_rate;

GMPUNCHI_FN int32_t gmpunchi_rate_take(gmpunchi_rate *rate, uint64_t now, uint32_t per_second, uint64_t at_once) {
    uint64_t passed = now - rate->at;
    rate->used = passed > rate->used / per_second ? 0 : rate->used - passed * per_second;
    rate->at = now;
    if (rate->used + 1000 > at_once * 1000) return 0;
    rate->used += 1000;
    return 1;
}

/* Chained hash table over slot numbers: the items live elsewhere, with the same numbers. */
typedef struct gmpunchi_map {
    uint32_t *bucket; /* mask + 1 heads */
    uint32_t *next;   /* one per slot */
    uint32_t mask;
} gmpunchi_map;

GMPUNCHI_FN uint32_t gmpunchi_map_buckets(uint32_t slots) {
    uint32_t buckets = 4;
    while (buckets < slots) buckets *= 2;
    return buckets;
}

GMPUNCHI_FN void gmpunchi_map_clear(gmpunchi_map *map) {
    memset(map->bucket, 0xff, ((size_t)map->mask + 1) * sizeof *map->bucket);
}

GMPUNCHI_FN void gmpunchi_map_insert(gmpunchi_map *map, uint64_t hash, uint32_t slot) {
    uint32_t *head = &map->bucket[hash & map->mask];
    map->next[slot] = *head;
    *head = slot;
}

GMPUNCHI_FN void gmpunchi_map_remove(gmpunchi_map *map, uint64_t hash, uint32_t slot) {
    uint32_t *link = &map->bucket[hash & map->mask];
    while (*link != slot) {
        GMPUNCH_ASSERT(*link != GMPUNCHI_NONE);
        link = &map->next[*link];
    }
    *link = map->next[slot];
}

GMPUNCHI_FN uint32_t gmpunchi_map_first(const gmpunchi_map *map, uint64_t hash) { return map->bucket[hash & map->mask]; }

/* Items of one size, called by number, at addresses that never change: chunks of doubling size. */
#define GMPUNCHI_POOL_CHUNKS 20
#define GMPUNCHI_POOL_FIRST 64u    /* items of the first chunk; the others double what is there */
#define GMPUNCHI_POOL_FIRST_BIT 5u /* of GMPUNCHI_POOL_FIRST - 1 */
typedef struct gmpunchi_pool {
    uint8_t *chunk[GMPUNCHI_POOL_CHUNKS];
    uint32_t item_size;
    uint32_t chunks;
    uint32_t touched; /* items that were used at least once */
    uint32_t limit;
    uint32_t free_head; /* list through the first bytes of the free items */
    uint32_t count;
} gmpunchi_pool;

GMPUNCHI_FN uint32_t gmpunchi_pool_chunk_items(uint32_t chunk) {
    return chunk == 0 ? GMPUNCHI_POOL_FIRST : GMPUNCHI_POOL_FIRST << (chunk - 1);
}

GMPUNCHI_FN uint32_t gmpunchi_pool_capacity(const gmpunchi_pool *pool) {
    return pool->chunks == 0 ? 0 : GMPUNCHI_POOL_FIRST << (pool->chunks - 1);
}

GMPUNCHI_FN void gmpunchi_pool_init(gmpunchi_pool *pool, size_t item_size, uint32_t limit) {
    memset(pool, 0, sizeof *pool);
    pool->item_size = (uint32_t)item_size;
    pool->limit = limit;
    pool->free_head = GMPUNCHI_NONE;
}

/* The number of the highest bit of a number that is not 0. */
GMPUNCHI_FN uint32_t gmpunchi_log2(uint32_t number) {
#if defined(__GNUC__)
    return 31u - (uint32_t)__builtin_clz(number);
#else
    uint32_t bit = 0;
    while (number >>= 1) bit++;
    return bit;
#endif
}

GMPUNCHI_FN void *gmpunchi_pool_at(const gmpunchi_pool *pool, uint32_t index) {
    /* each chunk but the first begins at a power of two */
    uint32_t bit = gmpunchi_log2(index | GMPUNCHI_POOL_FIRST / 2);
    uint32_t first = (uint32_t)1 << bit & ~(GMPUNCHI_POOL_FIRST - 1);
    return pool->chunk[bit - GMPUNCHI_POOL_FIRST_BIT] + (size_t)(index - first) * pool->item_size;
}

/* Growth is the caller's: it may have to grow a map with it. */
GMPUNCHI_FN int32_t gmpunchi_pool_is_full(const gmpunchi_pool *pool) { return pool->count == gmpunchi_pool_capacity(pool); }

GMPUNCHI_FN uint32_t gmpunchi_pool_take(gmpunchi_pool *pool) {
    uint32_t index = pool->free_head;
    if (index != GMPUNCHI_NONE) {
        memcpy(&pool->free_head, gmpunchi_pool_at(pool, index), sizeof pool->free_head);
    } else {
        index = pool->touched++;
    }
    pool->count++;
    memset(gmpunchi_pool_at(pool, index), 0, pool->item_size);
    return index;
}

GMPUNCHI_FN void gmpunchi_pool_give(gmpunchi_pool *pool, uint32_t index) {
    memcpy(gmpunchi_pool_at(pool, index), &pool->free_head, sizeof pool->free_head);
    pool->free_head = index;
    pool->count--;
}

/* A doubly linked list through a gmpunchi_link at `offset` of pool items. */
typedef struct gmpunchi_link {
    uint32_t prev, next;
} gmpunchi_link;

typedef struct gmpunchi_list {
    uint32_t head, tail;
} gmpunchi_list;

GMPUNCHI_FN gmpunchi_link *gmpunchi_link_at(const gmpunchi_pool *pool, size_t offset, uint32_t index) {
    return (gmpunchi_link *)(void *)((uint8_t *)gmpunchi_pool_at(pool, index) + offset);
}

GMPUNCHI_FN void gmpunchi_list_init(gmpunchi_list *list) { list->head = list->tail = GMPUNCHI_NONE; }

GMPUNCHI_FN void gmpunchi_list_append(gmpunchi_list *list, const gmpunchi_pool *pool, size_t offset, uint32_t index) {
    gmpunchi_link *link = gmpunchi_link_at(pool, offset, index);
    link->prev = list->tail;
    link->next = GMPUNCHI_NONE;
    if (list->tail == GMPUNCHI_NONE) list->head = index;
    else gmpunchi_link_at(pool, offset, list->tail)->next = index;
    list->tail = index;
}

GMPUNCHI_FN void gmpunchi_list_remove(gmpunchi_list *list, const gmpunchi_pool *pool, size_t offset, uint32_t index) {
    gmpunchi_link *link = gmpunchi_link_at(pool, offset, index);
    if (link->prev == GMPUNCHI_NONE) list->head = link->next;
    else gmpunchi_link_at(pool, offset, link->prev)->next = link->next;
    if (link->next == GMPUNCHI_NONE) list->tail = link->prev;
    else gmpunchi_link_at(pool, offset, link->next)->prev = link->prev;
}

/* >>bytes ============================================================================================================== */

/* data + len for two names; C knows no arithmetic on NULL, not even by 0. */
#define GMPUNCHI_BEHIND(data, len) ((len) ? (data) + (len) : (data))

GMPUNCHI_FN void gmpunchi_store(uint8_t *out, uint64_t value, uint32_t bytes) {
    uint32_t i;
    for (i = 0; i < bytes; i++) out[i] = (uint8_t)(value >> (8 * i));
}

GMPUNCHI_FN uint64_t gmpunchi_load(const uint8_t *data, uint32_t bytes) {
    uint64_t value = 0;
    uint32_t i;
    for (i = 0; i < bytes; i++) value |= (uint64_t)data[i] << (8 * i);
    return value;
}

/* gmpunchi_load of 8 bytes, in the shape that compilers know as one instruction. */
GMPUNCHI_FN uint64_t gmpunchi_load_word(const uint8_t *data) {
    return (uint64_t)data[0] | (uint64_t)data[1] << 8 | (uint64_t)data[2] << 16 | (uint64_t)data[3] << 24 |
           (uint64_t)data[4] << 32 | (uint64_t)data[5] << 40 | (uint64_t)data[6] << 48 | (uint64_t)data[7] << 56;
}

/* Double to half precision (IEEE 754), to nearest, ties to even. */
GMPUNCHI_FN uint16_t gmpunchi_half_from_double(double value) {
    uint64_t bits, mantissa, rest, tie, result;
    uint32_t sign, exponent, shift;
    memcpy(&bits, &value, sizeof bits);
    sign = (uint32_t)(bits >> 63) << 15;
    exponent = (uint32_t)(bits >> 52) & 0x7ffu;
    mantissa = bits & UINT64_C(0xfffffffffffff);
    if (exponent == 0x7ffu) return (uint16_t)(sign | 0x7c00u | (mantissa ? 0x200u | (uint32_t)(mantissa >> 42) : 0u));
    if (exponent >= 1023u + 16u) return (uint16_t)(sign | 0x7c00u);
    if (exponent >= 1023u - 14u) {
        result = ((uint64_t)(exponent - 1023u + 15u) << 10) | (mantissa >> 42);
        shift = 42;
    } else { /* subnormal: the implicit bit is shifted out of its place */
        shift = 42 + (1023u - 14u - exponent);
        if (shift > 53) return (uint16_t)sign;
        mantissa |= UINT64_C(1) << 52;
        result = mantissa >> shift;
    }
    rest = mantissa & ((UINT64_C(1) << shift) - 1);
    tie = UINT64_C(1) << (shift - 1);
    if (rest > tie || (rest == tie && (result & 1))) result++; /* a carry into the exponent is right */
    return (uint16_t)(sign | (uint32_t)result);
}

GMPUNCHI_FN float gmpunchi_half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 31u, mantissa = half & 0x3ffu, bits;
    float value;
    if (exponent == 31) bits = sign | 0x7f800000u | (mantissa << 13);
    else if (exponent) bits = sign | ((exponent + 112u) << 23) | (mantissa << 13);
    else if (!mantissa) bits = sign;
    else { /* subnormal halves are normal floats */ exponent = 113;
        while (!(mantissa & 0x400u)) {
            mantissa <<= 1;
            exponent--;
        }
        bits = sign | (exponent << 23) | ((mantissa & 0x3ffu) << 13);
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

GMPUNCHI_FN uint64_t gmpunchi_rotate(uint64_t x, uint32_t bits) { return (x << bits) | (x >> (64 - bits)); }

/* SipHash-2-4 (Aumasson, Bernstein 2012): without the key nobody can choose addresses that collide. */
GMPUNCHI_FN uint64_t gmpunchi_siphash(const uint64_t key[2], const uint8_t *data, size_t len) {
    uint64_t v0 = key[0] ^ UINT64_C(0x736f6d6570736575), v1 = key[1] ^ UINT64_C(0x646f72616e646f6d);
    uint64_t v2 = key[0] ^ UINT64_C(0x6c7967656e657261), v3 = key[1] ^ UINT64_C(0x7465646279746573);
    size_t at;
    uint32_t round;
    for (at = 0;; at += 8) {
        int32_t last = len - at < 8;
        const uint8_t *from = GMPUNCHI_BEHIND(data, at);
        uint64_t word =
            last ? gmpunchi_load(from, (uint32_t)(len - at)) | ((uint64_t)(len & 255) << 56) : gmpunchi_load_word(from);
        v3 ^= word;
        for (round = 0; round < (last ? 6u : 2u); round++) {
            if (round == 2) { /* the last word is in: four rounds to finish */
                v0 ^= word;
                v2 ^= 255;
            }
            v0 += v1;
            v1 = gmpunchi_rotate(v1, 13) ^ v0;
            v0 = gmpunchi_rotate(v0, 32);
            v2 += v3;
            v3 = gmpunchi_rotate(v3, 16) ^ v2;
            v0 += v3;
            v3 = gmpunchi_rotate(v3, 21) ^ v0;
            v2 += v1;
            v1 = gmpunchi_rotate(v1, 17) ^ v2;
            v2 = gmpunchi_rotate(v2, 32);
        }
        if (last) break;
        v0 ^= word;
    }
    return v0 ^ v1 ^ v2 ^ v3;
}

GMPUNCHI_FN int32_t gmpunchi_is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* Decimal text of value; returns its length, at most 20. Not terminated. */
GMPUNCHI_FN size_t gmpunchi_decimal(uint64_t value, char *out) {
    char reversed[20];
    size_t len = 0, i;
    do {
        reversed[len++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    for (i = 0; i < len; i++) out[i] = reversed[len - 1 - i];
    return len;
}

/* >>buffer ============================================================================================================= */

GMPUNCHI_FN uint32_t gmpunchi_alignment(uint32_t alignment) {
    uint32_t power = 1;
    while (power < alignment) power *= 2;
    return power;
}

GMPUNCHI_FN int32_t gmpunchi_buffer_fail(gmpunch_buffer *buffer, int32_t error) {
    if (!buffer->error) buffer->error = error;
    return buffer->error;
}

GMPUNCHI_FN int32_t gmpunchi_buffer_setup(gmpunch_buffer *buffer, uint8_t *data, size_t size, uint32_t alignment) {
    if (!buffer) return GMPUNCH_ERR_ARGUMENT;
    memset(buffer, 0, sizeof *buffer);
    buffer->alignment = 1;
    if (alignment > 1024 || (!data && size)) return gmpunchi_buffer_fail(buffer, GMPUNCH_ERR_ARGUMENT);
    buffer->data = data;
    buffer->size = size;
    buffer->alignment = gmpunchi_alignment(alignment);
    return GMPUNCH_OK;
}

int32_t gmpunch_buffer_init(gmpunch_buffer *buffer, void *memory, size_t size, uint32_t alignment) {
    return gmpunchi_buffer_setup(buffer, (uint8_t *)memory, size, alignment);
}

int32_t gmpunch_buffer_init_read(gmpunch_buffer *buffer, const void *data, size_t size, uint32_t alignment) {
    /* Only `read_only` keeps the bytes from being written: C has no struct that is const or not. */
    int32_t result = gmpunchi_buffer_setup(buffer, (uint8_t *)(uintptr_t)data, size, alignment);
    if (result) return result;
    buffer->used = size;
    buffer->read_only = 1;
    return GMPUNCH_OK;
}

int32_t gmpunch_buffer_init_grow(gmpunch_buffer *buffer, const gmpunch_allocator *allocator, size_t limit,
                                 uint32_t alignment) {
    int32_t result = gmpunchi_buffer_setup(buffer, NULL, 0, alignment);
    if (result) return result;
    if (!limit || !gmpunchi_allocator_resolve(allocator, &buffer->allocator))
        return gmpunchi_buffer_fail(buffer, GMPUNCH_ERR_ARGUMENT);
    buffer->limit = limit;
    return GMPUNCH_OK;
}

void gmpunch_buffer_free(gmpunch_buffer *buffer) {
    if (!buffer) return;
    if (buffer->limit && buffer->data) buffer->allocator.free(buffer->data, buffer->size, buffer->allocator.user);
    memset(buffer, 0, sizeof *buffer);
    buffer->alignment = 1;
    buffer->error = GMPUNCH_ERR_STATE;
}

int32_t gmpunch_buffer_seek(gmpunch_buffer *buffer, size_t position) {
    if (!buffer) return GMPUNCH_ERR_ARGUMENT;
    if (position > buffer->used) return GMPUNCH_ERR_END;
    buffer->position = position;
    return GMPUNCH_OK;
}

/* Where the next value starts, SIZE_MAX if there is no such place. */
GMPUNCHI_FN size_t gmpunchi_buffer_start(const gmpunch_buffer *buffer) {
    size_t mask = buffer->alignment - 1u;
    return buffer->position > SIZE_MAX - mask ? SIZE_MAX : (buffer->position + mask) & ~mask;
}

GMPUNCHI_FN int32_t gmpunchi_buffer_grow(gmpunch_buffer *buffer, size_t needed) {
    size_t size = buffer->size ? buffer->size : 64;
    uint8_t *data;
    if (needed > buffer->limit) return GMPUNCH_ERR_TOO_LONG;
    while (size < needed && size <= buffer->limit / 2) size *= 2;
    if (size < needed || size > buffer->limit) size = buffer->limit;
    data = (uint8_t *)buffer->allocator.alloc(size, buffer->allocator.user);
    if (!data) return GMPUNCH_ERR_MEMORY;
    if (buffer->used) memcpy(data, buffer->data, buffer->used);
    memset(data + buffer->used, 0, size - buffer->used);
    if (buffer->data) buffer->allocator.free(buffer->data, buffer->size, buffer->allocator.user);
    buffer->data = data;
    buffer->size = size;
    return GMPUNCH_OK;
}

/* Makes room for len bytes at the aligned position and moves past them; NULL on failure. */
GMPUNCHI_FN uint8_t *gmpunchi_buffer_room(gmpunch_buffer *buffer, size_t len) {
    size_t start;
    if (buffer->error) return NULL;
    if (buffer->read_only) {
        gmpunchi_buffer_fail(buffer, GMPUNCH_ERR_STATE);
        return NULL;
    }
    start = gmpunchi_buffer_start(buffer);
    if (start > buffer->size || len > buffer->size - start) {
        int32_t result = GMPUNCH_ERR_TOO_LONG;
        if (buffer->limit && len <= SIZE_MAX - start) result = gmpunchi_buffer_grow(buffer, start + len);
        if (result) {
            gmpunchi_buffer_fail(buffer, result);
            return NULL;
        }
    }
    buffer->position = start + len;
    if (buffer->used < buffer->position) buffer->used = buffer->position;
    return GMPUNCHI_BEHIND(buffer->data, start);
}

/* The next len used bytes at the aligned position; NULL on failure. */
GMPUNCHI_FN const uint8_t *gmpunchi_buffer_take(gmpunch_buffer *buffer, size_t len) {
    size_t start;
    if (!buffer || buffer->error) return NULL;
    start = gmpunchi_buffer_start(buffer);
    if (start > buffer->used || len > buffer->used - start) {
        gmpunchi_buffer_fail(buffer, GMPUNCH_ERR_END);
        return NULL;
    }
    buffer->position = start + len;
    return GMPUNCHI_BEHIND(buffer->data, start);
}

GMPUNCHI_FN int32_t gmpunchi_buffer_write(gmpunch_buffer *buffer, uint64_t value, uint32_t bytes) {
    uint8_t *out;
    if (!buffer) return GMPUNCH_ERR_ARGUMENT;
    out = gmpunchi_buffer_room(buffer, bytes);
    if (!out) return buffer->error;
    gmpunchi_store(out, value, bytes);
    return GMPUNCH_OK;
}

GMPUNCHI_FN uint64_t gmpunchi_buffer_read(gmpunch_buffer *buffer, uint32_t bytes) {
    const uint8_t *data = gmpunchi_buffer_take(buffer, bytes);
    return data ? gmpunchi_load(data, bytes) : 0;
}

int32_t gmpunch_buffer_write_u8(gmpunch_buffer *buffer, uint8_t value) { return gmpunchi_buffer_write(buffer, value, 1); }

int32_t gmpunch_buffer_write_s8(gmpunch_buffer *buffer, int8_t value) {
    return gmpunchi_buffer_write(buffer, (uint64_t)value, 1);
}

int32_t gmpunch_buffer_write_u16(gmpunch_buffer *buffer, uint16_t value) { return gmpunchi_buffer_write(buffer, value, 2); }

int32_t gmpunch_buffer_write_s16(gmpunch_buffer *buffer, int16_t value) {
    return gmpunchi_buffer_write(buffer, (uint64_t)value, 2);
}

int32_t gmpunch_buffer_write_u32(gmpunch_buffer *buffer, uint32_t value) { return gmpunchi_buffer_write(buffer, value, 4); }

int32_t gmpunch_buffer_write_s32(gmpunch_buffer *buffer, int32_t value) {
    return gmpunchi_buffer_write(buffer, (uint64_t)value, 4);
}

int32_t gmpunch_buffer_write_u64(gmpunch_buffer *buffer, uint64_t value) { return gmpunchi_buffer_write(buffer, value, 8); }

int32_t gmpunch_buffer_write_s64(gmpunch_buffer *buffer, int64_t value) {
    return gmpunchi_buffer_write(buffer, (uint64_t)value, 8);
}

int32_t gmpunch_buffer_write_f16(gmpunch_buffer *buffer, double value) {
    return gmpunchi_buffer_write(buffer, gmpunchi_half_from_double(value), 2);
}

int32_t gmpunch_buffer_write_f32(gmpunch_buffer *buffer, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return gmpunchi_buffer_write(buffer, bits, 4);
}

int32_t gmpunch_buffer_write_f64(gmpunch_buffer *buffer, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return gmpunchi_buffer_write(buffer, bits, 8);
}

int32_t gmpunch_buffer_write_bool(gmpunch_buffer *buffer, int32_t value) {
    return gmpunchi_buffer_write(buffer, value != 0, 1);
}

int32_t gmpunch_buffer_write_bytes(gmpunch_buffer *buffer, const void *data, size_t len) {
    uint8_t *out;
    if (!buffer) return GMPUNCH_ERR_ARGUMENT;
    if (!data && len) return gmpunchi_buffer_fail(buffer, GMPUNCH_ERR_ARGUMENT);
    out = gmpunchi_buffer_room(buffer, len);
    if (buffer->error) return buffer->error;
    if (len) memcpy(out, data, len);
    return GMPUNCH_OK;
}

int32_t gmpunch_buffer_write_string(gmpunch_buffer *buffer, const char *text) {
    return gmpunch_buffer_write_bytes(buffer, text, text ? strlen(text) + 1 : 1);
}

int32_t gmpunch_buffer_write_text(gmpunch_buffer *buffer, const char *text) {
    return gmpunch_buffer_write_bytes(buffer, text, text ? strlen(text) : 1);
}

uint8_t gmpunch_buffer_read_u8(gmpunch_buffer *buffer) { return (uint8_t)gmpunchi_buffer_read(buffer, 1); }

int8_t gmpunch_buffer_read_s8(gmpunch_buffer *buffer) { return (int8_t)gmpunchi_buffer_read(buffer, 1); }

uint16_t gmpunch_buffer_read_u16(gmpunch_buffer *buffer) { return (uint16_t)gmpunchi_buffer_read(buffer, 2); }

int16_t gmpunch_buffer_read_s16(gmpunch_buffer *buffer) { return (int16_t)gmpunchi_buffer_read(buffer, 2); }

uint32_t gmpunch_buffer_read_u32(gmpunch_buffer *buffer) { return (uint32_t)gmpunchi_buffer_read(buffer, 4); }

int32_t gmpunch_buffer_read_s32(gmpunch_buffer *buffer) { return (int32_t)gmpunchi_buffer_read(buffer, 4); }

uint64_t gmpunch_buffer_read_u64(gmpunch_buffer *buffer) { return gmpunchi_buffer_read(buffer, 8); }

int64_t gmpunch_buffer_read_s64(gmpunch_buffer *buffer) { return (int64_t)gmpunchi_buffer_read(buffer, 8); }

float gmpunch_buffer_read_f16(gmpunch_buffer *buffer) {
    return gmpunchi_half_to_float((uint16_t)gmpunchi_buffer_read(buffer, 2));
}

float gmpunch_buffer_read_f32(gmpunch_buffer *buffer) {
    uint32_t bits = (uint32_t)gmpunchi_buffer_read(buffer, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double gmpunch_buffer_read_f64(gmpunch_buffer *buffer) {
    uint64_t bits = gmpunchi_buffer_read(buffer, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int32_t gmpunch_buffer_read_bool(gmpunch_buffer *buffer) { return gmpunchi_buffer_read(buffer, 1) != 0; }

const char *gmpunch_buffer_read_string(gmpunch_buffer *buffer, size_t *len, int32_t *terminated) {
    const uint8_t *text = len ? gmpunchi_buffer_take(buffer, 0) : NULL;
    const uint8_t *end;
    size_t rest;
    if (terminated) *terminated = 0;
    if (len) *len = 0;
    if (!text) { /* over no memory at all, a string is empty */
        if (terminated) *terminated = 1;
        return "";
    }
    rest = buffer->used - buffer->position;
    end = rest ? (const uint8_t *)memchr(text, 0, rest) : NULL;
    *len = end ? (size_t)(end - text) : rest;
    if (terminated) *terminated = end != NULL;
    buffer->position += *len + (end != NULL);
    return (const char *)text;
}

const uint8_t *gmpunch_buffer_read_bytes(gmpunch_buffer *buffer, size_t len) { return gmpunchi_buffer_take(buffer, len); }

/* >>address ============================================================================================================ */

GMPUNCHI_FN uint32_t gmpunchi_ip_bytes(const gmpunch_address *address) { return address->family == 6 ? 16u : 4u; }

/* One form for one address, wherever it came from: an IPv4-mapped IPv6 address is the IPv4 address. */
GMPUNCHI_FN void gmpunchi_address_normalize(gmpunch_address *address) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (address->family == 6 && memcmp(address->ip, mapped, sizeof mapped) == 0) {
        address->family = 4;
        memmove(address->ip, address->ip + 12, 4);
        memset(address->ip + 4, 0, 12);
    }
    /* only a link-local address needs its scope; elsewhere it would tell equal addresses apart */
    if (address->family != 6 || address->ip[0] != 0xfe || (address->ip[1] & 0xc0) != 0x80) address->scope_id = 0;
}

/* Reads decimal digits up to a limit, at least one, no leading zero before others; returns what follows, NULL if none. */
GMPUNCHI_FN const char *gmpunchi_parse_number(const char *text, uint32_t limit, uint32_t *value) {
    uint64_t sum = 0;
    const char *at = text;
    for (; gmpunchi_is_digit((uint8_t)*at); at++) {
        sum = sum * 10 + (uint64_t)(*at - '0');
        if (sum > limit) return NULL;
    }
    if (at == text || (text[0] == '0' && at - text > 1)) return NULL;
    *value = (uint32_t)sum;
    return at;
}

GMPUNCHI_FN const char *gmpunchi_parse_ipv4(const char *text, uint8_t *ip) {
    uint32_t i, part;
    for (i = 0; i < 4; i++) {
        if (i && *text++ != '.') return NULL;
        text = gmpunchi_parse_number(text, 255, &part);
        if (!text) return NULL;
        ip[i] = (uint8_t)part;
    }
    return text;
}

GMPUNCHI_FN int32_t gmpunchi_hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* RFC 4291 2.2: groups of hex, one "::", maybe IPv4 at the end. Returns what follows, NULL if it is no address. */
GMPUNCHI_FN const char *gmpunchi_parse_ipv6(const char *text, uint8_t *ip) {
    uint8_t bytes[16];
    uint32_t used = 0, gap = GMPUNCHI_NONE;
    if (text[0] == ':' && text[1] == ':') {
        gap = 0;
        text += 2;
    }
    while (used < 16 && gmpunchi_hex_digit(*text) >= 0) {
        const char *start = text;
        uint32_t group = 0;
        for (; text - start < 4 && gmpunchi_hex_digit(*text) >= 0; text++)
            group = group * 16 + (uint32_t)gmpunchi_hex_digit(*text);
        if (*text == '.') {
            text = used > 12 ? NULL : gmpunchi_parse_ipv4(start, bytes + used);
            used += 4;
            break;
        }
        bytes[used++] = (uint8_t)(group >> 8);
        bytes[used++] = (uint8_t)group;
        if (*text != ':') break;
        text++;
        if (*text == ':') {
            if (gap != GMPUNCHI_NONE) return NULL;
            gap = used;
            text++;
        } else if (gmpunchi_hex_digit(*text) < 0) {
            return NULL;
        }
    }
    if (!text || (gap == GMPUNCHI_NONE ? used != 16 : used > 14)) return NULL;
    memset(ip, 0, 16);
    if (gap == GMPUNCHI_NONE) gap = used;
    memcpy(ip, bytes, gap);
    memcpy(ip + 16 - (used - gap), bytes + gap, used - gap);
    return text;
}

int32_t gmpunch_address_parse(const char *text, uint16_t default_port, gmpunch_address *address) {
    gmpunch_address parsed;
    uint32_t number;
    int32_t bracket;
    const char *rest;
    if (!text || !address) return GMPUNCH_ERR_ARGUMENT;
    memset(address, 0, sizeof *address);
    memset(&parsed, 0, sizeof parsed);
    parsed.port = default_port;
    parsed.family = 4;
    rest = gmpunchi_parse_ipv4(text, parsed.ip);
    if (!rest || (*rest && *rest != ':')) {
        bracket = text[0] == '[';
        memset(parsed.ip, 0, sizeof parsed.ip);
        parsed.family = 6;
        rest = gmpunchi_parse_ipv6(text + bracket, parsed.ip);
        if (rest && *rest == '%') rest = gmpunchi_parse_number(rest + 1, UINT32_MAX, &parsed.scope_id);
        if (!rest || (bracket ? *rest++ != ']' : *rest != 0)) return GMPUNCH_ERR_ADDRESS;
    }
    if (*rest == ':') {
        rest = gmpunchi_parse_number(rest + 1, 65535, &number);
        if (!rest || number == 0) return GMPUNCH_ERR_ADDRESS;
        parsed.port = (uint16_t)number;
    }
    if (*rest) return GMPUNCH_ERR_ADDRESS;
    gmpunchi_address_normalize(&parsed);
    *address = parsed;
    return GMPUNCH_OK;
}

/* Text of the IP alone into at least 64 bytes; returns its length. IPv6 as RFC 5952 says. */
GMPUNCHI_FN size_t gmpunchi_format_ip(const gmpunch_address *address, char *out) {
    static const char hex[] = "0123456789abcdef";
    const uint8_t *ip = address->ip;
    uint32_t group[8], i, run, best = 8, best_len = 1;
    size_t len = 0;
    if (address->family == 4) {
        for (i = 0; i < 4; i++) {
            if (i) out[len++] = '.';
            len += gmpunchi_decimal(ip[i], out + len);
        }
        return len;
    }
    for (i = 0; i < 8; i++, ip += 2) group[i] = (uint32_t)ip[0] << 8 | ip[1];
    for (i = 0; i < 8; i += run + 1) { /* the longest run of zeros, at least two, becomes "::" */
        for (run = 0; i + run < 8 && group[i + run] == 0; run++) {}
        if (run > best_len) {
            best = i;
            best_len = run;
        }
    }
    for (i = 0; i < 8; i++) {
        uint32_t shift = 12;
        if (i == best) {
            out[len++] = ':';
            out[len++] = ':';
            i += best_len - 1;
            continue;
        }
        if (i && i != best + best_len) out[len++] = ':';
        while (shift && !(group[i] >> shift)) shift -= 4;
        for (;; shift -= 4) {
            out[len++] = hex[(group[i] >> shift) & 15];
            if (!shift) break;
        }
    }
    if (address->scope_id) {
        out[len++] = '%';
        len += gmpunchi_decimal(address->scope_id, out + len);
    }
    return len;
}

int32_t gmpunch_address_format(const gmpunch_address *address, char *text, size_t size) {
    char out[GMPUNCH_ADDRESS_TEXT_SIZE];
    size_t len = 0;
    if (!address || (!text && size)) return GMPUNCH_ERR_ARGUMENT;
    if (size) text[0] = 0;
    if (address->family != 4 && address->family != 6) return GMPUNCH_ERR_ADDRESS;
    if (address->family == 6 && address->port) out[len++] = '[';
    len += gmpunchi_format_ip(address, out + len);
    if (address->family == 6 && address->port) out[len++] = ']';
    if (address->port) {
        out[len++] = ':';
        len += gmpunchi_decimal(address->port, out + len);
    }
    if (len >= size) return GMPUNCH_ERR_TOO_LONG;
    memcpy(text, out, len);
    text[len] = 0;
    return (int32_t)len;
}

int32_t gmpunch_address_same_ip(const gmpunch_address *a, const gmpunch_address *b) {
    return a && b && a->family && a->family == b->family && a->scope_id == b->scope_id &&
           memcmp(a->ip, b->ip, gmpunchi_ip_bytes(a)) == 0;
}

int32_t gmpunch_address_equal(const gmpunch_address *a, const gmpunch_address *b) {
    return gmpunch_address_same_ip(a, b) && a->port == b->port;
}

/* Few bytes: the time to hash them is a good part of an introduction's. IPv4 and IPv6 differ in length. */
GMPUNCHI_FN uint64_t gmpunchi_hash(const uint64_t key[2], const gmpunch_address *address, int32_t with_port) {
    uint8_t bytes[22];
    size_t len = gmpunchi_ip_bytes(address);
    memcpy(bytes, address->ip, 16);
    if (len == 16) {
        gmpunchi_store(bytes + len, address->scope_id, 4);
        len += 4;
    }
    if (with_port) {
        gmpunchi_store(bytes + len, address->port, 2);
        len += 2;
    }
    return gmpunchi_siphash(key, bytes, len);
}

GMPUNCHI_FN uint64_t gmpunchi_hash_ip(const uint64_t key[2], const gmpunch_address *address) {
    return gmpunchi_hash(key, address, 0);
}

GMPUNCHI_FN uint64_t gmpunchi_hash_address(const uint64_t key[2], const gmpunch_address *address) {
    return gmpunchi_hash(key, address, 1);
}

/* Whether one program can be there: not "this network", multicast, broadcast, reserved or unspecified, and with a port. */
GMPUNCHI_FN int32_t gmpunchi_address_is_unicast(const gmpunch_address *address) {
    static const uint8_t zero[16] = {0};
    if (!address->port) return 0;
    if (address->family == 4) return address->ip[0] != 0 && address->ip[0] < 224;
    return address->family == 6 && address->ip[0] != 0xff && memcmp(address->ip, zero, 16) != 0;
}

/* How far an address reaches. */
enum { GMPUNCHI_REACH_LOOPBACK, GMPUNCHI_REACH_LINK, GMPUNCHI_REACH_PRIVATE, GMPUNCHI_REACH_PUBLIC };

GMPUNCHI_FN int32_t gmpunchi_address_reach(const gmpunch_address *address) {
    static const uint8_t loopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    uint32_t first = (uint32_t)address->ip[0] << 8 | address->ip[1];
    if (address->family == 6) {
        if (memcmp(address->ip, loopback, sizeof loopback) == 0) return GMPUNCHI_REACH_LOOPBACK;
        if ((first & 0xffc0) == 0xfe80) return GMPUNCHI_REACH_LINK;
        return (first & 0xfe00) == 0xfc00 || (first & 0xffc0) == 0xfec0 ? GMPUNCHI_REACH_PRIVATE : GMPUNCHI_REACH_PUBLIC;
    }
    if (address->ip[0] == 127) return GMPUNCHI_REACH_LOOPBACK;
    if (first == 0xa9fe) return GMPUNCHI_REACH_LINK;  /* 169.254.0.0/16 */
    return address->ip[0] == 10 || first == 0xc0a8 || /* 192.168.0.0/16 */
                   (first & 0xfff0) == 0xac10 ||      /* 172.16.0.0/12 */
                   (first & 0xffc0) == 0x6440         /* 100.64.0.0/10, of carriers */
               ? GMPUNCHI_REACH_PRIVATE
               : GMPUNCHI_REACH_PUBLIC;
}

/* Whether this address, which that master named, is knocked at: see GMPUNCH_KNOCK_. */
GMPUNCHI_FN int32_t gmpunchi_may_knock(const gmpunch_address *address, const gmpunch_address *master, uint32_t rules) {
    int32_t reach = gmpunchi_address_reach(address);
    if (!gmpunchi_address_is_unicast(address)) return 0;
    if (address->port < 1024 && !(rules & GMPUNCH_KNOCK_LOW_PORTS)) return 0;
    if (reach < GMPUNCHI_REACH_PRIVATE) return (rules & GMPUNCH_KNOCK_LOCAL) || reach >= gmpunchi_address_reach(master);
    return reach == GMPUNCHI_REACH_PUBLIC || !(rules & GMPUNCH_KNOCK_NOT_PRIVATE);
}
#define GMPUNCHI_KNOCK_RULES 7u /* all bits */

/* Logs text, then the address if there is one. */
GMPUNCHI_FN void gmpunchi_log(const gmpunchi_object *object, int32_t level, int32_t item, const char *text,
                              const gmpunch_address *address) {
    char line[192];
    size_t len;
    if (!object->log) return;
    len = strlen(text);
    GMPUNCH_ASSERT(len < sizeof line - GMPUNCH_ADDRESS_TEXT_SIZE - 1);
    memcpy(line, text, len + 1);
    if (address && address->family) {
        line[len++] = ' ';
        gmpunch_address_format(address, line + len, sizeof line - len);
    }
    object->log(object->log_user, level, item, line);
}

#if !defined(GMPUNCH_NO_STDIO)
void gmpunch_log_stderr(void *user, int32_t level, int32_t item, const char *text) {
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    (void)user;
    fprintf(stderr, "gmpunch %s (%d): %s\n", levels[level < 1 || level > 4 ? 0 : level - 1], (int)item, text);
}
#endif

/* >>wire =============================================================================================================== */

/* Ids as unsigned bytes. */
enum {
    GMPUNCHI_ID_FOUND = 0xff,
    GMPUNCHI_ID_NOT_FOUND = 0xfe,
    GMPUNCHI_ID_KNOCK = 0xfd,
    GMPUNCHI_ID_WELCOME = 0xfc,
    GMPUNCHI_ID_DATA_REQUEST = 0xfb,
    GMPUNCHI_ID_DATA = 0xfa,
    GMPUNCHI_ID_LOBBY = 0xf9,
    GMPUNCHI_ID_TESTING = 0xf8,
    GMPUNCHI_ID_TESTING_INFOS = 0xf7,
    GMPUNCHI_ID_VERSION = 0xf6,
    GMPUNCHI_ID_ESCAPE = 0xf5 /* gmpunch only: the rest is a game packet */
};

/* ---- the datagram header ---- */

GMPUNCHI_FN void gmpunchi_encode_datagram_header(uint8_t out[GMPUNCH_DATAGRAM_HEADER_SIZE], size_t payload_len) {
    gmpunchi_store(out, 0xdeadc0deu, 4);
    gmpunchi_store(out + 4, GMPUNCH_DATAGRAM_HEADER_SIZE, 4);
    gmpunchi_store(out + 8, payload_len, 4);
}

/* Finds the payload; GMPUNCH_ERR_MALFORMED if there is a header whose length is not that of the datagram. */
GMPUNCHI_FN int32_t gmpunchi_decode_datagram(const uint8_t *data, size_t len, const uint8_t **payload, size_t *payload_len,
                                             int32_t *raw) {
    *payload = data;
    *payload_len = len;
    *raw = 1;
    if (len < GMPUNCH_DATAGRAM_HEADER_SIZE || gmpunchi_load(data, 4) != 0xdeadc0deu ||
        gmpunchi_load(data + 4, 4) != GMPUNCH_DATAGRAM_HEADER_SIZE)
        return GMPUNCH_OK;
    *raw = 0;
    *payload = data + GMPUNCH_DATAGRAM_HEADER_SIZE;
    *payload_len = len - GMPUNCH_DATAGRAM_HEADER_SIZE;
    return gmpunchi_load(data + 8, 4) == *payload_len ? GMPUNCH_OK : GMPUNCH_ERR_MALFORMED;
}

/* ---- messages between client and host: the payload of a datagram ---- */

GMPUNCHI_FN int32_t gmpunchi_encode_id(gmpunch_buffer *out, uint8_t id) { return gmpunch_buffer_write_u8(out, id); }

/* The id of a payload that is one of the messages of one byte, otherwise 0. */
GMPUNCHI_FN uint8_t gmpunchi_decode_id(const uint8_t *payload, size_t len) {
    if (len != 1) return 0;
    return payload[0] == GMPUNCHI_ID_KNOCK || payload[0] == GMPUNCHI_ID_WELCOME || payload[0] == GMPUNCHI_ID_DATA_REQUEST
               ? payload[0]
               : 0;
}

GMPUNCHI_FN int32_t gmpunchi_encode_data(gmpunch_buffer *out, const char *const data[GMPUNCH_DATA_STRINGS]) {
    uint32_t i;
    gmpunch_buffer_write_u8(out, GMPUNCHI_ID_DATA);
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) gmpunch_buffer_write_string(out, data[i] ? data[i] : "");
    return out->error;
}

/* Exactly eight strings, each with its NUL. They stay where they are. */
GMPUNCHI_FN int32_t gmpunchi_decode_data(const uint8_t *payload, size_t len, const char *data[GMPUNCH_DATA_STRINGS]) {
    gmpunch_buffer in;
    size_t text_len;
    int32_t terminated = 1;
    uint32_t i;
    gmpunch_buffer_init_read(&in, payload, len, 1);
    if (gmpunch_buffer_read_u8(&in) != GMPUNCHI_ID_DATA) return GMPUNCH_ERR_MALFORMED;
    for (i = 0; i < GMPUNCH_DATA_STRINGS && terminated; i++)
        data[i] = gmpunch_buffer_read_string(&in, &text_len, &terminated);
    return !terminated || in.error || in.position != len ? GMPUNCH_ERR_MALFORMED : GMPUNCH_OK;
}

/* Whether a peer would take the payload for protocol, or with escape for an escaped one. */
GMPUNCHI_FN int32_t gmpunchi_is_reserved(const uint8_t *payload, size_t len, int32_t escape, int32_t raw) {
    const char *data[GMPUNCH_DATA_STRINGS];
    const uint8_t *behind;
    size_t behind_len;
    int32_t no_header;
    if (len == 0) return 0;
    gmpunchi_decode_datagram(payload, len, &behind, &behind_len, &no_header);
    if (raw && !no_header) return 1; /* its first bytes would be taken for the header that is not sent */
    if (escape)
        return payload[0] == GMPUNCHI_ID_ESCAPE || (payload[0] >= GMPUNCHI_ID_DATA && payload[0] <= GMPUNCHI_ID_KNOCK);
    return gmpunchi_decode_id(payload, len) != 0 || gmpunchi_decode_data(payload, len, data) == GMPUNCH_OK;
}

int32_t gmpunch_datagram_encode(uint8_t *datagram, size_t size, const void *payload, size_t len, uint32_t flags) {
    size_t at = 0;
    int32_t escape, reserved, raw;
    if (!datagram || (!payload && len)) return GMPUNCH_ERR_ARGUMENT;
    if (len > GMPUNCH_MAX_PACKET) return GMPUNCH_ERR_TOO_LONG;
    escape = (flags & GMPUNCH_DATAGRAM_ESCAPE) != 0;
    raw = (flags & GMPUNCH_DATAGRAM_RAW) != 0;
    reserved = gmpunchi_is_reserved((const uint8_t *)payload, len, escape, raw);
    if (reserved && !escape) return GMPUNCH_ERR_RESERVED;
    at = (raw ? 0u : GMPUNCH_DATAGRAM_HEADER_SIZE) + (reserved ? 1u : 0u);
    if (size < at + len) return GMPUNCH_ERR_TOO_LONG;
    if (len) memmove(datagram + at, payload, len);
    if (!raw) gmpunchi_encode_datagram_header(datagram, len + (reserved ? 1u : 0u));
    if (reserved) datagram[at - 1] = GMPUNCHI_ID_ESCAPE;
    return (int32_t)(at + len);
}

int32_t gmpunch_datagram_decode(const uint8_t *datagram, size_t len, uint32_t flags, const uint8_t **payload,
                                size_t *payload_len, int32_t *raw) {
    int32_t result, is_raw;
    if ((!datagram && len) || !payload || !payload_len) return GMPUNCH_ERR_ARGUMENT;
    result = gmpunchi_decode_datagram(datagram, len, payload, payload_len, &is_raw);
    if (raw) *raw = is_raw;
    if (!result && (flags & GMPUNCH_DATAGRAM_ESCAPE) && *payload_len > 1 && **payload == GMPUNCHI_ID_ESCAPE) {
        ++*payload;
        --*payload_len;
    }
    return result;
}

/* ---- commands to the master ---- */

/* A line as GameMaker writes it: the text, LF, and the NUL of its buffer_string. */
GMPUNCHI_FN int32_t gmpunchi_encode_line(gmpunch_buffer *out, const char *text) {
    gmpunch_buffer_write_text(out, text);
    return gmpunch_buffer_write_string(out, "\n");
}

GMPUNCHI_FN int32_t gmpunchi_encode_reg(gmpunch_buffer *out) { return gmpunchi_encode_line(out, "reg"); }

GMPUNCHI_FN int32_t gmpunchi_encode_reg2(gmpunch_buffer *out, const char *version,
                                         const char *const data[GMPUNCH_DATA_STRINGS]) {
    uint32_t i;
    gmpunchi_encode_line(out, "reg2");
    gmpunchi_encode_line(out, version);
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) gmpunchi_encode_line(out, data[i] ? data[i] : "");
    return out->error;
}

GMPUNCHI_FN int32_t gmpunchi_encode_ping(gmpunch_buffer *out) { return gmpunchi_encode_line(out, "ping"); }

/* Over UDP: "save my port". */
GMPUNCHI_FN int32_t gmpunchi_encode_announce(gmpunch_buffer *out) { return gmpunchi_encode_line(out, "connect"); }

/* Over TCP: "who is at this ip?", one buffer_string, so no NUL in the middle. */
GMPUNCHI_FN int32_t gmpunchi_encode_connect(gmpunch_buffer *out, const gmpunch_address *server) {
    char ip[64];
    ip[gmpunchi_format_ip(server, ip)] = 0;
    gmpunch_buffer_write_text(out, "connect\n");
    return gmpunchi_encode_line(out, ip);
}

/* Whether a text has characters that a line can't carry. */
GMPUNCHI_FN int32_t gmpunchi_has_control(const char *text) {
    for (; *text; text++)
        if ((uint8_t)*text < 0x20 || *text == 0x7f) return 1;
    return 0;
}

/* A lobby request. The wire has the two directions swapped: "ASC" is what the deployed master sorts descending. */
typedef struct gmpunchi_lobby_request {
    const char *filter[GMPUNCH_DATA_STRINGS]; /* NULL or "": any */
    uint32_t sort_by;                         /* 0: by date, 1 to 8: by that data string */
    int32_t descending;
    uint64_t limit; /* UINT64_MAX: all */
} gmpunchi_lobby_request;

GMPUNCHI_FN int32_t gmpunchi_encode_lobby_request(gmpunch_buffer *out, const gmpunchi_lobby_request *request) {
    char text[24];
    uint32_t i;
    gmpunchi_encode_line(out, "lobby2");
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) gmpunchi_encode_line(out, request->filter[i] ? request->filter[i] : "");
    memcpy(text, "date", 5);
    if (request->sort_by) {
        memcpy(text, "data", 4);
        text[4] = (char)('0' + request->sort_by);
        text[5] = 0;
    }
    gmpunchi_encode_line(out, text);
    gmpunchi_encode_line(out, request->descending ? "ASC" : "DESC");
    text[request->limit == UINT64_MAX ? 0 : gmpunchi_decimal(request->limit, text)] = 0;
    return gmpunchi_encode_line(out, text);
}

/* The master's view: a command is a first line and a fixed number of argument lines. */
enum {
    GMPUNCHI_COMMAND_NONE = 0,
    GMPUNCHI_COMMAND_REG,
    GMPUNCHI_COMMAND_REG2,
    GMPUNCHI_COMMAND_CONNECT,
    GMPUNCHI_COMMAND_PING,
    GMPUNCHI_COMMAND_LOBBY,
    GMPUNCHI_COMMAND_IS_TESTING,
    GMPUNCHI_COMMAND_TESTING_INFOS,
    GMPUNCHI_COMMAND_VERSION
};

#define GMPUNCHI_COMMAND_LINE_MAX 12 /* of the first lines */
typedef struct gmpunchi_command {
    char line[GMPUNCHI_COMMAND_LINE_MAX + 1];
    uint8_t len; /* of line */
    uint8_t command;
    uint8_t arguments;
} gmpunchi_command;

static const gmpunchi_command gmpunchi_commands[] = {
    {"reg", 3, GMPUNCHI_COMMAND_REG, 0},
    {"reg2", 4, GMPUNCHI_COMMAND_REG2, 1 + GMPUNCH_DATA_STRINGS},
    {"connect", 7, GMPUNCHI_COMMAND_CONNECT, 1},
    {"ping", 4, GMPUNCHI_COMMAND_PING, 0},
    {"lobby2", 6, GMPUNCHI_COMMAND_LOBBY, GMPUNCH_DATA_STRINGS + 3},
    {"istesting", 9, GMPUNCHI_COMMAND_IS_TESTING, 0},
    {"testinginfos", 12, GMPUNCHI_COMMAND_TESTING_INFOS, 0},
    {"version", 7, GMPUNCHI_COMMAND_VERSION, 0},
};

GMPUNCHI_FN const gmpunchi_command *gmpunchi_decode_command(const char *line, size_t len) {
    size_t i;
    for (i = 0; i < GMPUNCHI_COUNT(gmpunchi_commands); i++)
        if (gmpunchi_commands[i].len == len && memcmp(gmpunchi_commands[i].line, line, len) == 0)
            return &gmpunchi_commands[i];
    return NULL;
}

/* What a byte of a line stream is. *after_cr is the state: an LF right after a CR ends nothing. */
enum { GMPUNCHI_LINE_BYTE, GMPUNCHI_LINE_END, GMPUNCHI_LINE_SKIP };

GMPUNCHI_FN int32_t gmpunchi_decode_line_byte(uint8_t *after_cr, uint8_t byte) {
    uint8_t was_cr = *after_cr;
    *after_cr = byte == '\r';
    if (byte == '\r') return GMPUNCHI_LINE_END;
    if (byte == '\n') return was_cr ? GMPUNCHI_LINE_SKIP : GMPUNCHI_LINE_END;
    return byte < 0x20 || byte == 0x7f ? GMPUNCHI_LINE_SKIP : GMPUNCHI_LINE_BYTE;
}

/* The command in the first line of a datagram to the master: GMPUNCHI_COMMAND_REG or _CONNECT, otherwise _NONE. The line
   may end with the datagram. */
GMPUNCHI_FN uint8_t gmpunchi_decode_first_line(const uint8_t *data, size_t len) {
    char line[GMPUNCHI_COMMAND_LINE_MAX];
    size_t used = 0, i;
    uint8_t after_cr = 0;
    const gmpunchi_command *found;
    for (i = 0; i < len; i++) {
        int32_t kind = gmpunchi_decode_line_byte(&after_cr, data[i]);
        if (kind == GMPUNCHI_LINE_END) break;
        if (kind == GMPUNCHI_LINE_SKIP) continue;
        if (used == sizeof line || data[i] >= 0x80) return GMPUNCHI_COMMAND_NONE; /* in no command; first in the header */
        line[used++] = (char)data[i];
    }
    found = gmpunchi_decode_command(line, used);
    if (!found || (found->command != GMPUNCHI_COMMAND_REG && found->command != GMPUNCHI_COMMAND_CONNECT))
        return GMPUNCHI_COMMAND_NONE;
    return found->command;
}

/* The deployed master skips 12 bytes unseen, so senders may put any 12 bytes in front; GameMaker's header is one such. */
GMPUNCHI_FN uint8_t gmpunchi_decode_master_datagram(const uint8_t *data, size_t len) {
    uint8_t command = gmpunchi_decode_first_line(data, len);
    if (command == GMPUNCHI_COMMAND_NONE && len > GMPUNCH_DATAGRAM_HEADER_SIZE)
        command = gmpunchi_decode_first_line(data + GMPUNCH_DATAGRAM_HEADER_SIZE, len - GMPUNCH_DATAGRAM_HEADER_SIZE);
    return command;
}

/* Argument lines as NUL-terminated strings, one behind the other: the next one, or "" past the end. */
GMPUNCHI_FN const char *gmpunchi_next_argument(const char **at, const char *end) {
    const char *text = *at;
    if (text >= end) return "";
    *at = text + strlen(text) + 1;
    return text;
}

/* The argument of "connect": a numeric address without port. */
GMPUNCHI_FN int32_t gmpunchi_decode_connect(const char *argument, gmpunch_address *server) {
    int32_t result = gmpunch_address_parse(argument, 0, server);
    if (!result && server->port) result = GMPUNCH_ERR_ADDRESS;
    return result;
}

/* Three numbers with dots between, "1.2.4" and "1.2.4.1"; missing parts count as less than 0, so that "1.2" < "1.2.0". */
GMPUNCHI_FN int32_t gmpunchi_decode_version(const char *text, int64_t part[3]) {
    uint32_t i, value;
    for (i = 0; i < 3; i++) part[i] = -1;
    for (i = 0;; i++) {
        text = gmpunchi_parse_number(text, 1000000, &value);
        if (!text) return GMPUNCH_ERR_MALFORMED;
        if (i < 3) part[i] = value;
        if (*text == 0) return GMPUNCH_OK;
        if (*text++ != '.') return GMPUNCH_ERR_MALFORMED;
    }
}

GMPUNCHI_FN int32_t gmpunchi_version_is_below(const int64_t a[3], const int64_t b[3]) {
    uint32_t i;
    for (i = 0; i < 3; i++)
        if (a[i] != b[i]) return a[i] < b[i];
    return 0;
}

/* "reg2": the version and eight strings. */
typedef struct gmpunchi_registration {
    int64_t version[3];
    const char *data[GMPUNCH_DATA_STRINGS];
} gmpunchi_registration;

GMPUNCHI_FN int32_t gmpunchi_decode_reg2(const char *arguments, size_t len, gmpunchi_registration *out) {
    const char *at = arguments, *end = GMPUNCHI_BEHIND(arguments, len);
    int32_t result = gmpunchi_decode_version(gmpunchi_next_argument(&at, end), out->version);
    uint32_t i;
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) out->data[i] = gmpunchi_next_argument(&at, end);
    return result;
}

GMPUNCHI_FN void gmpunchi_decode_lobby_request(const char *arguments, size_t len, gmpunchi_lobby_request *out) {
    const char *at = arguments, *end = GMPUNCHI_BEHIND(arguments, len), *text;
    uint32_t i;
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) out->filter[i] = gmpunchi_next_argument(&at, end);
    text = gmpunchi_next_argument(&at, end);
    out->sort_by = 0;
    if (strlen(text) == 5 && memcmp(text, "data", 4) == 0 && text[4] >= '1' && text[4] <= '8')
        out->sort_by = (uint32_t)(text[4] - '0');
    out->descending = strcmp(gmpunchi_next_argument(&at, end), "ASC") == 0;
    text = gmpunchi_next_argument(&at, end);
    out->limit = 0;
    for (i = 0; gmpunchi_is_digit((uint8_t)text[i]) && out->limit < UINT64_MAX / 20; i++)
        out->limit = out->limit * 10 + (uint64_t)(text[i] - '0');
    if (i == 0 || text[i]) out->limit = UINT64_MAX;
}

/* ---- answers of the master ---- */

/* Found, and introduction: the same bytes. */
GMPUNCHI_FN int32_t gmpunchi_encode_found(gmpunch_buffer *out, const gmpunch_address *address) {
    char text[1 + 64 + 6];
    size_t len = 1;
    text[0] = (char)GMPUNCHI_ID_FOUND;
    len += gmpunchi_format_ip(address, text + len);
    text[len++] = 0;
    len += gmpunchi_decimal(address->port, text + len);
    text[len++] = 0;
    return gmpunch_buffer_write_bytes(out, text, len);
}
#define GMPUNCHI_FOUND_MAX (1 + 51 + 6) /* bytes of it: id, ip with scope, port */

GMPUNCHI_FN int32_t gmpunchi_encode_not_found(gmpunch_buffer *out) { return gmpunchi_encode_id(out, GMPUNCHI_ID_NOT_FOUND); }

/* The flag is followed by LF: a tester that reads a line need not wait for its time-out. */
GMPUNCHI_FN int32_t gmpunchi_encode_testing(gmpunch_buffer *out, int32_t testing) {
    gmpunchi_encode_id(out, GMPUNCHI_ID_TESTING);
    gmpunch_buffer_write_bool(out, testing);
    return gmpunch_buffer_write_text(out, "\n");
}

/* name NULL: testing is off. */
GMPUNCHI_FN int32_t gmpunchi_encode_testing_infos(gmpunch_buffer *out, const char *name) {
    gmpunchi_encode_id(out, GMPUNCHI_ID_TESTING_INFOS);
    if (!name) return gmpunch_buffer_write_u8(out, 0);
    gmpunch_buffer_write_text(out, name);
    return gmpunch_buffer_write_text(out, "\n" GMPUNCH_MASTER_PROTOCOL_VERSION "\n" GMPUNCH_MINIMUM_PROTOCOL_VERSION "\n");
}

GMPUNCHI_FN int32_t gmpunchi_encode_version(gmpunch_buffer *out) {
    gmpunchi_encode_id(out, GMPUNCHI_ID_VERSION);
    return gmpunch_buffer_write_text(out, GMPUNCH_MASTER_PROTOCOL_VERSION "\n");
}

/* The answers that are a few short lines: version, testing flag and testing infos, whole as they were read. Lines are cut out
   of data, at most three; *count of them. The flag is *flag. GMPUNCH_ERR_END: more bytes are needed. */
typedef struct gmpunchi_text_answer {
    uint8_t id;
    int32_t flag; /* testing on */
    uint32_t lines;
    const uint8_t *line[3];
    size_t line_len[3];
    size_t used; /* bytes of data */
} gmpunchi_text_answer;

GMPUNCHI_FN int32_t gmpunchi_decode_text_answer(const uint8_t *data, size_t len, gmpunchi_text_answer *out) {
    uint32_t wanted;
    memset(out, 0, sizeof *out);
    if (len < 2) return GMPUNCH_ERR_END;
    out->id = data[0];
    out->used = 1;
    if (out->id == GMPUNCHI_ID_TESTING || (out->id == GMPUNCHI_ID_TESTING_INFOS && data[1] == 0)) {
        if (data[1] > 1) return GMPUNCH_ERR_MALFORMED;
        out->flag = data[1];
        out->used = 2;
        if (out->id == GMPUNCHI_ID_TESTING && len > 2 && data[2] == '\n') out->used = 3;
        return GMPUNCH_OK;
    }
    if (out->id != GMPUNCHI_ID_TESTING_INFOS && out->id != GMPUNCHI_ID_VERSION) return GMPUNCH_ERR_MALFORMED;
    out->flag = 1;
    for (wanted = out->id == GMPUNCHI_ID_VERSION ? 1 : 3; out->lines < wanted; out->lines++) {
        const uint8_t *end = (const uint8_t *)memchr(data + out->used, '\n', len - out->used);
        if (!end) return GMPUNCH_ERR_END;
        out->line[out->lines] = data + out->used;
        out->line_len[out->lines] = (size_t)(end - out->line[out->lines]);
        out->used += out->line_len[out->lines] + 1;
    }
    return GMPUNCH_OK;
}

/* Reads "found", "introduction" and "not found" from a stream, byte by byte. */
enum {
    GMPUNCHI_ANSWER_NONE,
    GMPUNCHI_ANSWER_FOUND,
    GMPUNCHI_ANSWER_NOT_FOUND,
    GMPUNCHI_ANSWER_PORTLESS, /* port 0: the deployed master knew only the ip; malformed, but the ip is told */
    GMPUNCHI_ANSWER_MALFORMED
};

typedef struct gmpunchi_answer {
    uint8_t state; /* 0 between messages, 1 in the ip, 2 in the port */
    uint8_t ip_len;
    uint8_t port_digits;
    uint8_t reserved;
    uint32_t port;
    char ip[52];
    gmpunch_address address; /* of the last GMPUNCHI_ANSWER_FOUND */
} gmpunchi_answer;

/* Ends a port: with the NUL, or where the deployed master left it out, with what follows or by silence. */
GMPUNCHI_FN int32_t gmpunchi_decode_answer_end(gmpunchi_answer *answer) {
    int32_t bad = answer->state != 2 || answer->port_digits == 0 || answer->port > 65535;
    answer->state = 0;
    if (bad || gmpunch_address_parse(answer->ip, 0, &answer->address) || answer->address.port)
        return GMPUNCHI_ANSWER_MALFORMED;
    answer->address.port = (uint16_t)answer->port;
    return answer->port ? GMPUNCHI_ANSWER_FOUND : GMPUNCHI_ANSWER_PORTLESS;
}

/* Takes a byte. *again is set if the byte ended one message and must be given again to begin the next. */
GMPUNCHI_FN int32_t gmpunchi_decode_answer(gmpunchi_answer *answer, uint8_t byte, int32_t *again) {
    *again = 0;
    if (answer->state == 0) {
        if (byte == GMPUNCHI_ID_NOT_FOUND) return GMPUNCHI_ANSWER_NOT_FOUND;
        if (byte != GMPUNCHI_ID_FOUND) return byte == 0 ? GMPUNCHI_ANSWER_NONE : GMPUNCHI_ANSWER_MALFORMED;
        memset(answer, 0, sizeof *answer);
        answer->state = 1;
        return GMPUNCHI_ANSWER_NONE;
    }
    if (answer->state == 1) {
        answer->ip[answer->ip_len] = (char)byte;
        if (byte == 0) answer->state = 2;
        else if (byte < 0x20 || byte > 0x7e || ++answer->ip_len == sizeof answer->ip) {
            answer->state = 0;
            *again = byte > 0x7e;
            return GMPUNCHI_ANSWER_MALFORMED;
        }
        return GMPUNCHI_ANSWER_NONE;
    }
    if (gmpunchi_is_digit(byte) && answer->port_digits < 5) {
        answer->port = answer->port * 10 + (uint32_t)(byte - '0');
        answer->port_digits++;
        return GMPUNCHI_ANSWER_NONE;
    }
    if (gmpunchi_is_digit(byte)) answer->port_digits = 0; /* six digits are no port */
    else *again = byte != 0;
    return gmpunchi_decode_answer_end(answer);
}

/* ---- the lobby list: F9, a JSON array, LF ---- */

typedef struct gmpunchi_lobby_entry {
    gmpunch_address ip;
    const char *data[GMPUNCH_DATA_STRINGS];
    uint64_t created; /* unix seconds */
} gmpunchi_lobby_entry;

/* The length of the UTF-8 sequence at text (RFC 3629: no surrogates, nothing overlong, up to U+10FFFF), 0 if it is none. */
GMPUNCHI_FN size_t gmpunchi_utf8_len(const uint8_t *text, size_t len, uint32_t *code) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t need, i;
    uint32_t c;
    if (len == 0) return 0;
    c = text[0];
    if (c < 0x80) {
        *code = c;
        return 1;
    }
    need = c >= 0xf0 && c < 0xf8 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc0 && c < 0xe0 ? 2 : 0;
    if (!need || need > len) return 0;
    c &= 0xffu >> (need + 1);
    for (i = 1; i < need; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (text[i] & 0x3fu);
    }
    if (c < least[need] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
    *code = c;
    return need;
}

/* Whether a byte stands for itself in the master's JSON. */
GMPUNCHI_FN int32_t gmpunchi_json_plain(uint8_t c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' && c != '=' && c != '\'';
}

/* Writes a JSON string as the deployed master does (< > & = ' as \u00xx, the rest of Unicode as it is but for its two line
   ends) and replaces what is no UTF-8 by U+FFFD. */
GMPUNCHI_FN int32_t gmpunchi_encode_json_string(gmpunch_buffer *out, const char *text) {
    static const char hex[] = "0123456789abcdef";
    const uint8_t *at = (const uint8_t *)text;
    size_t len = strlen(text), step;
    gmpunch_buffer_write_u8(out, '"');
    for (; len; at += step, len -= step) {
        uint32_t code = 0, shift = 16;
        for (step = 0; step < len && gmpunchi_json_plain(at[step]); step++) {}
        if (step) {
            gmpunch_buffer_write_bytes(out, at, step);
            continue;
        }
        step = gmpunchi_utf8_len(at, len, &code);
        if (step == 0) {
            gmpunch_buffer_write_text(out, "\xef\xbf\xbd");
            step = 1;
        } else if (code == '"' || code == '\\') {
            gmpunch_buffer_write_u8(out, '\\');
            gmpunch_buffer_write_u8(out, at[0]);
        } else if (code < 0x80 || code == 0x2028 || code == 0x2029) {
            gmpunch_buffer_write_text(out, "\\u");
            while (shift) {
                shift -= 4;
                gmpunch_buffer_write_u8(out, (uint8_t)hex[(code >> shift) & 15]);
            }
        } else {
            gmpunch_buffer_write_bytes(out, at, step);
        }
    }
    return gmpunch_buffer_write_u8(out, '"');
}

GMPUNCHI_FN int32_t gmpunchi_encode_lobby_begin(gmpunch_buffer *out) {
    gmpunchi_encode_id(out, GMPUNCHI_ID_LOBBY);
    return gmpunch_buffer_write_text(out, "[");
}

GMPUNCHI_FN int32_t gmpunchi_encode_lobby_entry(gmpunch_buffer *out, const gmpunchi_lobby_entry *entry, int32_t first) {
    char text[64];
    uint32_t i;
    gmpunch_buffer_write_text(out, first ? "{\"ip\":" : ",{\"ip\":");
    text[gmpunchi_format_ip(&entry->ip, text)] = 0;
    gmpunchi_encode_json_string(out, text);
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) {
        gmpunch_buffer_write_text(out, ",\"data");
        gmpunch_buffer_write_u8(out, (uint8_t)('1' + i));
        gmpunch_buffer_write_text(out, "\":");
        gmpunchi_encode_json_string(out, entry->data[i] ? entry->data[i] : "");
    }
    gmpunch_buffer_write_text(out, ",\"createdTime\":");
    text[gmpunchi_decimal(entry->created, text)] = 0;
    gmpunch_buffer_write_text(out, text);
    return gmpunch_buffer_write_text(out, "}");
}

GMPUNCHI_FN int32_t gmpunchi_encode_lobby_end(gmpunch_buffer *out) { return gmpunch_buffer_write_text(out, "]\n"); }

/* A cursor over JSON. Running out of bytes is GMPUNCH_ERR_END: the caller reads more and tries again. */
typedef struct gmpunchi_json {
    const uint8_t *at, *end;
    char *text; /* where decoded strings go */
    size_t text_room;
    int32_t error;
} gmpunchi_json;

GMPUNCHI_FN int32_t gmpunchi_json_peek(gmpunchi_json *json) {
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r'))
        json->at++;
    if (json->at == json->end && !json->error) json->error = GMPUNCH_ERR_END;
    return json->error ? -1 : *json->at;
}

GMPUNCHI_FN int32_t gmpunchi_json_expect(gmpunchi_json *json, int32_t c) {
    int32_t found = gmpunchi_json_peek(json);
    if (found >= 0 && found != c) json->error = GMPUNCH_ERR_MALFORMED;
    if (found >= 0) json->at++;
    return json->error;
}

/* Four hex digits behind "\u". */
GMPUNCHI_FN uint32_t gmpunchi_json_hex(gmpunchi_json *json) {
    uint32_t code = 0, i;
    for (i = 0; i < 4 && !json->error; i++, json->at++) {
        if (json->at == json->end) json->error = GMPUNCH_ERR_END;
        else if (gmpunchi_hex_digit((char)*json->at) < 0) json->error = GMPUNCH_ERR_MALFORMED;
        else code = code << 4 | (uint32_t)gmpunchi_hex_digit((char)*json->at);
    }
    return code;
}

/* The code point of one character or escape, not 0: strings are NUL-terminated. */
GMPUNCHI_FN uint32_t gmpunchi_json_character(gmpunchi_json *json) {
    static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    uint32_t code = 0, low, i;
    size_t step;
    if (*json->at != '\\') {
        step = gmpunchi_utf8_len(json->at, (size_t)(json->end - json->at), &code);
        /* a sequence that the end of the data cuts off may go on */
        if (!step && json->end - json->at < 4 && *json->at >= 0xc0) json->error = GMPUNCH_ERR_END;
        else if (!step || code < 0x20) json->error = GMPUNCH_ERR_MALFORMED;
        json->at += step;
        return code;
    }
    if (json->end - json->at < 2) {
        json->error = GMPUNCH_ERR_END;
        return 0;
    }
    json->at += 2;
    if (json->at[-1] != 'u') {
        for (i = 0; escapes[i]; i += 2)
            if (escapes[i] == (char)json->at[-1]) return (uint8_t)escapes[i + 1];
        json->error = GMPUNCH_ERR_MALFORMED;
        return 0;
    }
    code = gmpunchi_json_hex(json);
    if (code >= 0xd800 && code < 0xdc00) { /* the first half of a pair */
        for (i = 0; i < 2 && !json->error; i++, json->at++) {
            if (json->at == json->end) json->error = GMPUNCH_ERR_END;
            else if (*json->at != (i ? 'u' : '\\')) json->error = GMPUNCH_ERR_MALFORMED;
        }
        low = json->error ? 0 : gmpunchi_json_hex(json);
        if (!json->error && (low < 0xdc00 || low > 0xdfff)) json->error = GMPUNCH_ERR_MALFORMED;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        json->error = GMPUNCH_ERR_MALFORMED;
    }
    if (!json->error && code == 0) json->error = GMPUNCH_ERR_MALFORMED;
    return code;
}

GMPUNCHI_FN size_t gmpunchi_utf8_encode(uint32_t code, char out[4]) {
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4, i;
    if (len == 1) {
        out[0] = (char)code;
        return 1;
    }
    for (i = len; i-- > 1; code >>= 6) out[i] = (char)(0x80u | (code & 0x3fu));
    out[0] = (char)((0xf00u >> len & 0xf0u) | code);
    return len;
}

/* A JSON string into the text room; GMPUNCH_ERR_TOO_LONG if it does not fit. */
GMPUNCHI_FN const char *gmpunchi_json_string(gmpunchi_json *json) {
    char *start = json->text;
    if (gmpunchi_json_expect(json, '"')) return "";
    while (!json->error) {
        char bytes[4];
        size_t len;
        if (json->at == json->end) {
            json->error = GMPUNCH_ERR_END;
            break;
        }
        if (*json->at == '"') {
            json->at++;
            if (json->text_room < 1) json->error = GMPUNCH_ERR_TOO_LONG;
            else {
                *json->text++ = 0;
                json->text_room--;
            }
            break;
        }
        len = gmpunchi_utf8_encode(gmpunchi_json_character(json), bytes);
        if (json->error) break;
        if (json->text_room < len) {
            json->error = GMPUNCH_ERR_TOO_LONG;
            break;
        }
        memcpy(json->text, bytes, len);
        json->text += len;
        json->text_room -= len;
    }
    return json->error ? "" : start;
}

/* A whole number; a fraction of zeros is accepted, as GameMaker writes reals. */
GMPUNCHI_FN uint64_t gmpunchi_json_number(gmpunchi_json *json) {
    uint64_t value = 0;
    const uint8_t *start;
    if (gmpunchi_json_peek(json) < 0) return 0;
    for (start = json->at; json->at < json->end && gmpunchi_is_digit(*json->at); json->at++) {
        if (value > UINT64_MAX / 20) json->error = GMPUNCH_ERR_MALFORMED;
        value = value * 10 + (uint64_t)(*json->at - '0');
    }
    if (json->at == start) json->error = GMPUNCH_ERR_MALFORMED;
    if (!json->error && json->at < json->end && *json->at == '.') {
        for (start = ++json->at; json->at < json->end && *json->at == '0'; json->at++) {}
        if (json->at == start) json->error = json->at == json->end ? GMPUNCH_ERR_END : GMPUNCH_ERR_MALFORMED;
    }
    if (!json->error && json->at == json->end) json->error = GMPUNCH_ERR_END; /* more digits may come */
    return value;
}

/* A word of letters: true, false, null. */
GMPUNCHI_FN void gmpunchi_json_word(gmpunchi_json *json, const char *word) {
    for (; *word && !json->error; word++) {
        if (json->at == json->end) json->error = GMPUNCH_ERR_END;
        else if (*json->at++ != (uint8_t)*word) json->error = GMPUNCH_ERR_MALFORMED;
    }
}

GMPUNCHI_FN void gmpunchi_json_digits(gmpunchi_json *json) {
    const uint8_t *start = json->at;
    while (json->at < json->end && gmpunchi_is_digit(*json->at)) json->at++;
    if (json->at == json->end) json->error = GMPUNCH_ERR_END; /* more may come */
    else if (json->at == start) json->error = GMPUNCH_ERR_MALFORMED;
}

#define GMPUNCHI_JSON_DEPTH 8 /* of arrays and objects in a value that is passed over */

/* Passes over a value of any type. NOLINTNEXTLINE(misc-no-recursion): as deep as GMPUNCHI_JSON_DEPTH */
GMPUNCHI_FN void gmpunchi_json_skip(gmpunchi_json *json, int32_t depth) {
    char *mark = json->text;
    size_t room = json->text_room;
    int32_t c = gmpunchi_json_peek(json), close = c == '{' ? '}' : ']', first = 1;
    if (c == '"') {
        gmpunchi_json_string(json);
        json->text = mark;
        json->text_room = room;
    } else if (c == '{' || c == '[') {
        if (depth == GMPUNCHI_JSON_DEPTH) json->error = GMPUNCH_ERR_TOO_LONG;
        for (json->at++; !json->error; first = 0) {
            if (gmpunchi_json_peek(json) == close) break;
            if (!first) gmpunchi_json_expect(json, ',');
            if (c == '{') {
                if (gmpunchi_json_peek(json) != '"' && !json->error) json->error = GMPUNCH_ERR_MALFORMED;
                gmpunchi_json_skip(json, depth + 1);
                gmpunchi_json_expect(json, ':');
            }
            gmpunchi_json_skip(json, depth + 1);
        }
        gmpunchi_json_expect(json, close);
    } else if (c == 't' || c == 'f' || c == 'n') {
        gmpunchi_json_word(json, c == 't' ? "true" : c == 'f' ? "false" : "null");
    } else if (!json->error) {
        json->at += c == '-';
        gmpunchi_json_digits(json);
        if (!json->error && *json->at == '.') {
            json->at++;
            gmpunchi_json_digits(json);
        }
        if (!json->error && (*json->at == 'e' || *json->at == 'E')) {
            json->at++;
            if (json->at < json->end && (*json->at == '+' || *json->at == '-')) json->at++;
            gmpunchi_json_digits(json);
        }
    }
}

/* Where the reader of a lobby list stands. */
enum { GMPUNCHI_LOBBY_BEGIN, GMPUNCHI_LOBBY_MORE, GMPUNCHI_LOBBY_DONE };

/* One step through a lobby answer: 1 with an entry, 0 at the end of the list (then *state is GMPUNCHI_LOBBY_DONE), or an
   error: GMPUNCH_ERR_END if more bytes are needed (nothing was used), _TOO_LONG if the strings do not fit in text, or
   _MALFORMED. *used is how many bytes of data are done with. Unknown keys are passed over. text may be data: what is decoded
   never overtakes what is read. */
GMPUNCHI_FN int32_t gmpunchi_decode_lobby(int32_t *state, const uint8_t *data, size_t len, size_t *used, char *text,
                                          size_t text_size, gmpunchi_lobby_entry *entry) {
    gmpunchi_json json;
    int32_t c;
    uint32_t i;
    *used = 0;
    json.at = data;
    json.end = GMPUNCHI_BEHIND(data, len);
    json.text = text;
    json.text_room = text_size;
    json.error = 0;
    if (*state == GMPUNCHI_LOBBY_BEGIN) {
        if (len && data[0] != GMPUNCHI_ID_LOBBY) return GMPUNCH_ERR_MALFORMED;
        if (len) json.at++;
        if (gmpunchi_json_expect(&json, '[')) return json.error;
    }
    c = gmpunchi_json_peek(&json);
    if (c < 0) return json.error;
    if (c == ']') {
        *used = (size_t)(json.at - data) + 1;
        *state = GMPUNCHI_LOBBY_DONE;
        return 0;
    }
    if (*state == GMPUNCHI_LOBBY_MORE) gmpunchi_json_expect(&json, ',');
    memset(entry, 0, sizeof *entry);
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) entry->data[i] = "";
    gmpunchi_json_expect(&json, '{');
    while (!json.error) {
        char *mark = json.text;
        size_t room = json.text_room;
        const char *key = gmpunchi_json_string(&json);
        int32_t is_data = strncmp(key, "data", 4) == 0 && key[4] >= '1' && key[4] <= '8' && !key[5];
        uint32_t number = is_data ? (uint32_t)(key[4] - '1') : 0;
        int32_t is_ip = strcmp(key, "ip") == 0, is_created = strcmp(key, "createdTime") == 0;
        const char *value = "";
        uint64_t count = 0;
        json.text = mark; /* the key is done with */
        json.text_room = room;
        gmpunchi_json_expect(&json, ':');
        c = gmpunchi_json_peek(&json);
        if ((is_data || is_ip) && c == '"') value = gmpunchi_json_string(&json);
        else if (is_created) count = gmpunchi_json_number(&json);
        else if (!json.error && (is_data || is_ip)) json.error = GMPUNCH_ERR_MALFORMED;
        else gmpunchi_json_skip(&json, 0);
        if (json.error) break;
        if (is_data) entry->data[number] = value;
        else if (is_created) entry->created = count;
        else if (is_ip && gmpunchi_decode_connect(value, &entry->ip)) json.error = GMPUNCH_ERR_MALFORMED;
        if (!is_data && !json.error) { /* only data strings are kept */
            json.text = mark;
            json.text_room = room;
        }
        c = gmpunchi_json_peek(&json);
        if (c == '}') break;
        gmpunchi_json_expect(&json, ',');
    }
    gmpunchi_json_expect(&json, '}');
    if (!json.error && !entry->ip.family) json.error = GMPUNCH_ERR_MALFORMED;
    if (json.error) return json.error;
    *used = (size_t)(json.at - data);
    *state = GMPUNCHI_LOBBY_MORE;
    return 1;
}

/* >>uplink ============================================================================================================= */

/* The TCP connection of a client or a host to its master: which address, what waits to be sent, what was answered. */
#define GMPUNCHI_MASTER_ADDRESSES 4
#define GMPUNCHI_NAME_MAX 256
/* After so long a port without an end counts as whole. The deployed master leaves the end out towards hosts only; towards a
   client what is missing is still on its way. */
#define GMPUNCHI_HOST_MOMENT_MS 200u
#define GMPUNCHI_CLIENT_MOMENT_MS 2000u
#define GMPUNCHI_PORT_OPEN_MAX 6553u /* no digit can follow a greater port */

enum { GMPUNCHI_UPLINK_CLOSED, GMPUNCHI_UPLINK_OPENING, GMPUNCHI_UPLINK_OPEN };

typedef struct gmpunchi_uplink {
    gmpunch_address address[GMPUNCHI_MASTER_ADDRESSES];
    uint32_t count;
    uint32_t current;
    gmpunch_address to;     /* the one in use: address[current] when it was opened last */
    uint32_t connection;    /* id; counts up with each opening */
    uint32_t pending_close; /* id to close, 0 none */
    uint8_t state;
    uint8_t pending_open;
    uint8_t blocked; /* the system took less than all: wait for _tcp_writable */
    uint8_t reserved;
    uint16_t port; /* of the config, for addresses without */
    uint8_t *out;
    uint32_t out_size, out_len, out_sent, out_last; /* out_last: where the last transmit began */
    gmpunchi_answer answer;
    uint32_t moment_ms;           /* GMPUNCHI_HOST_MOMENT_MS or _CLIENT_ */
    uint64_t answer_at;           /* when an unended port is taken as it is */
    char name[GMPUNCHI_NAME_MAX]; /* "" if the master was given as an address */
} gmpunchi_uplink;

/* "address", "address:port", "name" or "name:port". For a name, address->family stays 0 and name is filled. */
GMPUNCHI_FN int32_t gmpunchi_parse_endpoint(const char *text, uint16_t default_port, gmpunch_address *address,
                                            char name[GMPUNCHI_NAME_MAX]) {
    size_t len = 0;
    uint32_t port = default_port;
    const char *rest;
    name[0] = 0;
    if (!text) return GMPUNCH_ERR_CONFIG;
    if (gmpunch_address_parse(text, default_port, address) == GMPUNCH_OK) return GMPUNCH_OK;
    address->port = default_port;
    for (; text[len] && text[len] != ':'; len++) {
        uint8_t c = (uint8_t)text[len];
        int32_t letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
        if (len + 1 >= GMPUNCHI_NAME_MAX || !(letter || gmpunchi_is_digit(c) || c == '-' || c == '.' || c == '_'))
            return GMPUNCH_ERR_CONFIG;
        name[len] = text[len];
    }
    name[len] = 0;
    if (text[len] == ':') {
        rest = gmpunchi_parse_number(text + len + 1, 65535, &port);
        if (!rest || *rest || port == 0) return GMPUNCH_ERR_CONFIG;
        address->port = (uint16_t)port;
    }
    /* what ends in a number is a mistyped address, not a name (RFC 1123 2.1) */
    if (len == 0 || gmpunchi_is_digit((uint8_t)name[len - 1])) {
        const char *label = name + len;
        while (label > name && gmpunchi_is_digit((uint8_t)label[-1])) label--;
        if (label == name || label[-1] == '.') return GMPUNCH_ERR_CONFIG;
    }
    return GMPUNCH_OK;
}

GMPUNCHI_FN int32_t gmpunchi_uplink_init(gmpunchi_uplink *uplink, const char *master, uint8_t *out, uint32_t out_size) {
    int32_t result;
    uplink->out = out;
    uplink->out_size = out_size;
    uplink->answer_at = GMPUNCHI_TIME_NEVER;
    if (!master) return GMPUNCH_OK;
    result = gmpunchi_parse_endpoint(master, GMPUNCH_DEFAULT_PORT, &uplink->address[0], uplink->name);
    uplink->port = uplink->address[0].port;
    uplink->count = !result && uplink->address[0].family ? 1 : 0;
    return result;
}

/* Replaces the addresses; those of the preferred family (4, 6 or 0) come first. */
GMPUNCHI_FN void gmpunchi_uplink_set(gmpunchi_uplink *uplink, const gmpunch_address *addresses, uint32_t count,
                                     uint8_t preferred) {
    uint32_t pass, i;
    uplink->count = uplink->current = 0;
    for (pass = 0; pass < 2; pass++) {
        for (i = 0; i < count && uplink->count < GMPUNCHI_MASTER_ADDRESSES; i++) {
            gmpunch_address address = addresses[i];
            if ((address.family == preferred) == (pass == 1)) continue;
            gmpunchi_address_normalize(&address);
            if (!address.port) address.port = uplink->port;
            if (gmpunchi_address_is_unicast(&address)) uplink->address[uplink->count++] = address;
        }
    }
}

GMPUNCHI_FN void gmpunchi_uplink_close(gmpunchi_uplink *uplink) {
    if (uplink->state != GMPUNCHI_UPLINK_CLOSED && !uplink->pending_open) uplink->pending_close = uplink->connection;
    uplink->state = GMPUNCHI_UPLINK_CLOSED;
    uplink->pending_open = 0;
    uplink->out_len = uplink->out_sent = 0;
    uplink->answer_at = GMPUNCHI_TIME_NEVER;
}

GMPUNCHI_FN void gmpunchi_uplink_open(gmpunchi_uplink *uplink) {
    gmpunchi_uplink_close(uplink);
    if (++uplink->connection == 0) uplink->connection = 1;
    uplink->to = uplink->address[uplink->current];
    uplink->state = GMPUNCHI_UPLINK_OPENING;
    uplink->pending_open = 1;
    uplink->blocked = 0;
    uplink->answer.state = 0;
}

GMPUNCHI_FN int32_t gmpunchi_uplink_is(const gmpunchi_uplink *uplink, uint32_t connection) {
    return uplink->state != GMPUNCHI_UPLINK_CLOSED && !uplink->pending_open && connection == uplink->connection;
}

/* A buffer that continues what waits to be sent; gmpunchi_uplink_queued takes over what was written, whole or not at all. */
GMPUNCHI_FN void gmpunchi_uplink_begin(gmpunchi_uplink *uplink, gmpunch_buffer *out) {
    if (uplink->out_sent == uplink->out_len) uplink->out_sent = uplink->out_len = 0;
    gmpunch_buffer_init(out, uplink->out + uplink->out_len, uplink->out_size - uplink->out_len, 1);
}

GMPUNCHI_FN int32_t gmpunchi_uplink_queued(gmpunchi_uplink *uplink, const gmpunch_buffer *out) {
    if (!out->error) uplink->out_len += (uint32_t)out->used;
    return out->error;
}

GMPUNCHI_FN int32_t gmpunchi_uplink_transmit(gmpunchi_uplink *uplink, gmpunch_transmit *transmit) {
    if (uplink->pending_close) {
        transmit->kind = GMPUNCH_TRANSMIT_TCP_CLOSE;
        transmit->connection = uplink->pending_close;
        uplink->pending_close = 0;
        return 1;
    }
    transmit->connection = uplink->connection;
    if (uplink->pending_open) {
        transmit->kind = GMPUNCH_TRANSMIT_TCP_OPEN;
        transmit->to = uplink->to;
        uplink->pending_open = 0;
        return 1;
    }
    if (uplink->state == GMPUNCHI_UPLINK_OPEN && !uplink->blocked && uplink->out_sent < uplink->out_len) {
        transmit->kind = GMPUNCH_TRANSMIT_TCP_SEND;
        transmit->data = uplink->out + uplink->out_sent;
        transmit->len = uplink->out_len - uplink->out_sent;
        uplink->out_last = uplink->out_sent;
        uplink->out_sent = uplink->out_len; /* taken, unless gmpunchi_uplink_sent says less */
        return 1;
    }
    return 0;
}

GMPUNCHI_FN int32_t gmpunchi_uplink_sent(gmpunchi_uplink *uplink, uint32_t connection, size_t taken) {
    if (!gmpunchi_uplink_is(uplink, connection)) return GMPUNCH_ERR_CONNECTION;
    if (uplink->out_sent != uplink->out_len || taken > uplink->out_len - uplink->out_last) return GMPUNCH_ERR_ARGUMENT;
    uplink->out_sent = uplink->out_last + (uint32_t)taken;
    uplink->blocked = uplink->out_sent < uplink->out_len;
    return GMPUNCH_OK;
}

/* There is room to send again. */
GMPUNCHI_FN int32_t gmpunchi_uplink_writable(gmpunchi_uplink *uplink, uint32_t connection) {
    if (!gmpunchi_uplink_is(uplink, connection)) return GMPUNCH_ERR_CONNECTION;
    uplink->blocked = 0;
    return GMPUNCH_OK;
}

/* Takes bytes until one message is whole; *used of them. GMPUNCHI_ANSWER_NONE if none became whole. */
GMPUNCHI_FN int32_t gmpunchi_uplink_read(gmpunchi_uplink *uplink, uint64_t now, const uint8_t *data, size_t len,
                                         size_t *used) {
    gmpunchi_answer *answer = &uplink->answer;
    uplink->answer_at = GMPUNCHI_TIME_NEVER;
    for (*used = 0; *used < len;) {
        int32_t again, found = gmpunchi_decode_answer(answer, data[*used], &again);
        *used += !again;
        if (found != GMPUNCHI_ANSWER_NONE) return found;
    }
    if (answer->state == 2 && answer->port_digits) uplink->answer_at = gmpunchi_after(now, uplink->moment_ms);
    return GMPUNCHI_ANSWER_NONE;
}

/* Ends a port that waits for its end: because the moment has passed, or nothing can come any more. */
GMPUNCHI_FN int32_t gmpunchi_uplink_read_end(gmpunchi_uplink *uplink) {
    uplink->answer_at = GMPUNCHI_TIME_NEVER;
    if (uplink->answer.state != 2 || !uplink->answer.port_digits) return GMPUNCHI_ANSWER_NONE;
    return gmpunchi_decode_answer_end(&uplink->answer);
}

#define GMPUNCHI_MAX_PACKET_DEFAULT 2048

/* Fills a UDP transmit: header unless raw, then the payload that is already behind it in scratch. */
GMPUNCHI_FN void gmpunchi_transmit_udp(gmpunch_transmit *transmit, uint8_t *scratch, size_t payload_len, int32_t raw,
                                       const gmpunch_address *to, uint32_t socket_index) {
    gmpunchi_encode_datagram_header(scratch, payload_len);
    transmit->kind = GMPUNCH_TRANSMIT_UDP;
    transmit->to = *to;
    transmit->socket_index = socket_index;
    transmit->data = raw ? scratch + GMPUNCH_DATAGRAM_HEADER_SIZE : scratch;
    transmit->len = (uint32_t)payload_len + (raw ? 0u : GMPUNCH_DATAGRAM_HEADER_SIZE);
}

GMPUNCHI_FN void gmpunchi_transmit_id(gmpunch_transmit *transmit, uint8_t *scratch, uint8_t id, int32_t raw,
                                      const gmpunch_address *to, uint32_t socket_index) {
    gmpunch_buffer out;
    gmpunch_buffer_init(&out, scratch + GMPUNCH_DATAGRAM_HEADER_SIZE, 1, 1);
    gmpunchi_encode_id(&out, id);
    gmpunchi_transmit_udp(transmit, scratch, 1, raw, to, socket_index);
}

/* A line to the master. Always with the header: the deployed master skips 12 bytes unseen, and fewer would end its UDP. */
GMPUNCHI_FN void gmpunchi_transmit_line(gmpunch_transmit *transmit, uint8_t *scratch, const char *line,
                                        const gmpunch_address *to, uint32_t socket_index) {
    gmpunch_buffer out;
    gmpunch_buffer_init(&out, scratch + GMPUNCH_DATAGRAM_HEADER_SIZE, GMPUNCHI_COMMAND_LINE_MAX + 2, 1);
    gmpunchi_encode_line(&out, line);
    gmpunchi_transmit_udp(transmit, scratch, out.used, 0, to, socket_index);
}
#define GMPUNCHI_SCRATCH (GMPUNCH_DATAGRAM_HEADER_SIZE + GMPUNCHI_COMMAND_LINE_MAX + 2)

/* Whether a peer answers keep-alives, and when the next is due: the same for both sides of a connection. */
#define GMPUNCHI_FIRST_PROBE_MS 5000 /* after the burst of welcomes that a classic host sends a new client */
#define GMPUNCHI_PROBE_PAUSE_MS 1000 /* between unanswered probes */
#define GMPUNCHI_FIRST_PROBES 3
#define GMPUNCHI_ANSWERS_MAX 3 /* knocks between two probes that are answers */

typedef struct gmpunchi_liveness {
    uint64_t since, sent_at, heard_at, probe_at; /* connected, last sent, last heard, last probe */
    uint8_t first_probes;                        /* left */
    uint8_t answers;
    uint8_t knocks;        /* at a host: heard since the last probe */
    uint8_t later;         /* the first probe counts from probe_at, not from since */
    uint32_t data_wait_ms; /* at a host: data requests are ignored until `since` + this */
} gmpunchi_liveness;

GMPUNCHI_FN void gmpunchi_liveness_start(gmpunchi_liveness *live, uint64_t now) {
    memset(live, 0, sizeof *live);
    live->since = live->sent_at = live->heard_at = live->probe_at = now;
    live->first_probes = GMPUNCHI_FIRST_PROBES;
}

/* Only now it may be probed: once its knocks are over, which are no answers. */
GMPUNCHI_FN void gmpunchi_liveness_restart(gmpunchi_liveness *live, uint64_t now) {
    live->probe_at = now;
    live->knocks = UINT8_MAX;
    live->later = 1;
}

/* When a knock is due: to learn whether the peer answers, to keep the mapping, or because the peer is overdue. */
GMPUNCHI_FN uint64_t gmpunchi_liveness_due(const gmpunchi_liveness *live, uint32_t interval) {
    uint64_t due = gmpunchi_after(live->sent_at, interval), probe;
    if (live->first_probes && !live->answers) { /* one after the other, also where nothing ran for a while */
        probe = live->first_probes < GMPUNCHI_FIRST_PROBES
                    ? live->probe_at + GMPUNCHI_PROBE_PAUSE_MS
                    : (live->later ? live->probe_at : live->since) + GMPUNCHI_FIRST_PROBE_MS;
        due = gmpunchi_earlier(due, probe);
    }
    if (live->answers) {
        probe = gmpunchi_after(live->heard_at, interval);
        if (probe < live->probe_at + GMPUNCHI_PROBE_PAUSE_MS) probe = live->probe_at + GMPUNCHI_PROBE_PAUSE_MS;
        due = gmpunchi_earlier(due, probe);
    }
    return due;
}

/* A knock leaves. Before it, a host judges what the one before brought: a client of ours answers it, and may knock by itself
   for the same reason; a classic client does not answer, but may still be knocking in its port stages, many times a second. */
GMPUNCHI_FN void gmpunchi_liveness_probed(gmpunchi_liveness *live, uint64_t now) {
    if (live->probe_at > live->since && live->knocks && live->knocks <= GMPUNCHI_ANSWERS_MAX) live->answers = 1;
    live->knocks = 0;
    live->sent_at = live->probe_at = now;
    if (live->first_probes && now >= live->since + GMPUNCHI_FIRST_PROBE_MS) live->first_probes--;
}

/* >>client ============================================================================================================= */

#define GMPUNCHI_CLIENT_EVENTS 16u
#define GMPUNCHI_CLIENT_EVENTS_FINAL 3u /* places kept for CONNECTED, FAILED and LOST */
#define GMPUNCHI_CLIENT_TARGETS 4u
#define GMPUNCHI_CLIENT_OUT 128u
#define GMPUNCHI_RETRY_PAUSE_MS 250u /* first pause before the master is tried again; doubles, up to ... */
#define GMPUNCHI_RETRY_PAUSE_MAX_MS 60000u
#define GMPUNCHI_ASK_AGAIN_MS 3000u /* knocking so long without hearing anything: the host may not have been told */
#define GMPUNCHI_UNWELCOME_MS 2000u /* hearing knocks for so long without a welcome: another source port */
#define GMPUNCHI_DATA_TRIES 10u
#define GMPUNCHI_DATA_PAUSE_MS 500u
#define GMPUNCHI_ANSWER_PAUSE_MS 1000u /* at least this between answers to the host's knocks */

/* An address that is knocked at. */
typedef struct gmpunchi_target {
    gmpunch_address address;
    int32_t how;
    int32_t due; /* a knock is to be sent */
} gmpunchi_target;

typedef struct gmpunchi_client_event {
    int32_t type, reason, cause, stage, how;
    uint32_t socket_index, elapsed_ms;
    gmpunch_address address;
} gmpunchi_client_event;

struct gmpunch_client {
    gmpunchi_object object;
    gmpunch_client_config config; /* with defaults filled in; its texts are not kept */
    gmpunchi_uplink uplink;
    gmpunch_client_stats stats;
    gmpunch_address server;
    int32_t stage;
    int32_t cause;       /* why the master could not help */
    int32_t last_reason; /* of the last attempt at the master */
    uint64_t opened_at;
    uint64_t give_up_at;
    uint64_t master_at;  /* the master's answer is awaited until then */
    uint64_t attempt_at; /* ... and a connection to this address of it */
    uint64_t retry_at;   /* the master is tried again */
    uint64_t announce_at;
    uint64_t knock_at;
    uint64_t second_at;    /* server:direct_port is knocked at as well */
    uint64_t restart_at;   /* a new source port is taken */
    uint64_t ask_again_at; /* the master is asked once more, while knocking */
    uint32_t retry_pause;
    uint32_t socket_index;
    int32_t announce_due;
    int32_t closed_once; /* the master closed without an answer, and was tried again */
    int32_t heard;       /* knocks of the host, on any socket */
    gmpunchi_target target[GMPUNCHI_CLIENT_TARGETS];
    uint32_t targets;
    gmpunch_address named; /* by the master, last */
    uint32_t names;        /* how often it named another than before */
    /* once connected */
    gmpunch_address peer;
    int32_t peer_raw;
    int32_t knock_due;
    gmpunchi_liveness live;
    int32_t data_open;   /* an answer with the data strings is awaited */
    uint32_t data_tries; /* left */
    int32_t data_due;
    uint64_t data_at;
    uint8_t *data; /* of the last HOST_DATA, max_packet bytes */
    uint32_t data_len;
    gmpunchi_client_event event[GMPUNCHI_CLIENT_EVENTS];
    uint32_t event_first, events;
    uint8_t scratch[GMPUNCHI_SCRATCH];
};

GMPUNCHI_FN void gmpunchi_client_push(gmpunch_client *client, int32_t type, int32_t reason, const gmpunch_address *address) {
    gmpunchi_client_event *event;
    int32_t final = type == GMPUNCH_EVENT_CONNECTED || type == GMPUNCH_EVENT_FAILED || type == GMPUNCH_EVENT_LOST;
    if (client->events >= GMPUNCHI_CLIENT_EVENTS - (final ? 0 : GMPUNCHI_CLIENT_EVENTS_FINAL)) {
        client->stats.events_dropped++;
        return;
    }
    event = &client->event[(client->event_first + client->events++) % GMPUNCHI_CLIENT_EVENTS];
    memset(event, 0, sizeof *event);
    event->type = type;
    event->reason = reason;
    event->cause = client->cause;
    event->stage = client->stage;
    event->socket_index = client->socket_index;
    event->elapsed_ms = (uint32_t)(client->object.now - client->opened_at);
    if (address) event->address = *address;
}

GMPUNCHI_FN void gmpunchi_client_enter(gmpunch_client *client, int32_t stage, const char *text) {
    client->stage = stage;
    gmpunchi_log(&client->object, GMPUNCH_LOG_DEBUG, GMPUNCH_LOG_ITEM_STAGE, text, NULL);
}

/* Nothing more is asked or sent, until stage and times are set anew. */
GMPUNCHI_FN void gmpunchi_client_quiet(gmpunch_client *client) {
    uint32_t i;
    gmpunchi_uplink_close(&client->uplink);
    client->master_at = client->attempt_at = client->retry_at = client->announce_at = GMPUNCHI_TIME_NEVER;
    client->knock_at = client->second_at = client->restart_at = client->ask_again_at = GMPUNCHI_TIME_NEVER;
    client->data_at = GMPUNCHI_TIME_NEVER;
    client->announce_due = client->knock_due = client->data_due = 0;
    for (i = 0; i < client->targets; i++) client->target[i].due = 0;
}

GMPUNCHI_FN void gmpunchi_client_fail(gmpunch_client *client, int32_t reason) {
    gmpunchi_client_quiet(client);
    gmpunchi_client_push(client, GMPUNCH_EVENT_FAILED, reason, &client->server);
    gmpunchi_client_enter(client, GMPUNCH_STAGE_FAILED, gmpunch_reason_name(reason));
    client->give_up_at = GMPUNCHI_TIME_NEVER;
}

/* Adds an address to knock at, now; the last place is reused. */
GMPUNCHI_FN void gmpunchi_client_aim(gmpunch_client *client, const gmpunch_address *address, int32_t how) {
    gmpunchi_target *target;
    uint32_t i;
    for (i = 0; i < client->targets; i++)
        if (gmpunch_address_equal(&client->target[i].address, address)) return;
    if (client->targets < GMPUNCHI_CLIENT_TARGETS) client->targets++;
    target = &client->target[client->targets - 1];
    target->address = *address;
    target->how = how;
    target->due = 1;
}

GMPUNCHI_FN gmpunch_address gmpunchi_client_direct_address(const gmpunch_client *client) {
    gmpunch_address address = client->server;
    address.port = client->config.direct_port;
    return address;
}

/* Half way through the time that is left, and not now; 5 s where it is endless. */
GMPUNCHI_FN uint64_t gmpunchi_client_half_way(const gmpunch_client *client) {
    if (client->give_up_at == GMPUNCHI_TIME_NEVER) return client->object.now + 5000;
    return client->object.now + (client->give_up_at - client->object.now + 1) / 2;
}

GMPUNCHI_FN int32_t gmpunchi_client_may_restart(const gmpunch_client *client) {
    return client->socket_index + 1 < client->config.max_sockets;
}

GMPUNCHI_FN void gmpunchi_client_knock(gmpunch_client *client, int32_t stage, const gmpunch_address *address, int32_t how,
                                       const char *text) {
    gmpunchi_client_quiet(client);
    client->targets = 0;
    gmpunchi_client_enter(client, stage, text);
    gmpunchi_client_aim(client, address, how);
    client->knock_at = gmpunchi_after(client->object.now, client->config.knock_interval_ms);
}

GMPUNCHI_FN void gmpunchi_client_direct(gmpunch_client *client, int32_t cause) {
    gmpunch_address address = gmpunchi_client_direct_address(client);
    int32_t is_new = cause != client->cause; /* not the same again from another source port */
    client->cause = cause;
    gmpunchi_client_knock(client, GMPUNCH_STAGE_DIRECT, &address, GMPUNCH_HOW_DIRECT, "knocks directly");
    /* a classic host whose first welcomes were lost answers only another source port */
    if (gmpunchi_client_may_restart(client)) client->restart_at = gmpunchi_client_half_way(client);
    if (is_new) gmpunchi_client_push(client, GMPUNCH_EVENT_FALLBACK, cause, &address);
}

GMPUNCHI_FN void gmpunchi_client_attempt(gmpunch_client *client) {
    uint64_t now = client->object.now;
    uint32_t left = client->uplink.count - client->uplink.current;
    client->stats.master_attempts++;
    client->retry_at = GMPUNCHI_TIME_NEVER;
    client->announce_due = 1;
    client->announce_at = gmpunchi_after(now, client->config.announce_interval_ms);
    client->attempt_at = client->master_at == GMPUNCHI_TIME_NEVER ? gmpunchi_after(now, 5000)
                         : client->master_at > now                ? now + (client->master_at - now + left - 1) / left
                                                                  : now;
    gmpunchi_uplink_open(&client->uplink);
}

/* Asks the master from the current socket, from the beginning. */
GMPUNCHI_FN void gmpunchi_client_ask(gmpunch_client *client) {
    gmpunchi_client_quiet(client);
    gmpunchi_client_enter(client, GMPUNCH_STAGE_MASTER, "asks the master");
    client->master_at = gmpunchi_earlier(gmpunchi_after(client->object.now, client->config.master_timeout_ms),
                                         client->config.direct_port ? gmpunchi_client_half_way(client) : client->give_up_at);
    client->retry_pause = GMPUNCHI_RETRY_PAUSE_MS;
    client->uplink.current = 0;
    client->last_reason = GMPUNCH_REASON_RESOLVE_FAILED;
    if (client->uplink.count) gmpunchi_client_attempt(client);
    else gmpunchi_client_push(client, GMPUNCH_EVENT_RESOLVE, GMPUNCH_REASON_NONE, NULL);
}

/* No help from the master, finally. */
GMPUNCHI_FN void gmpunchi_client_unhelped(gmpunch_client *client, int32_t reason) {
    if (client->config.direct_port) gmpunchi_client_direct(client, reason);
    else gmpunchi_client_fail(client, reason);
}

/* This attempt at the master failed: the next address, another try, or another way. */
GMPUNCHI_FN void gmpunchi_client_attempt_failed(gmpunch_client *client, int32_t reason) {
    gmpunchi_log(&client->object, GMPUNCH_LOG_WARNING, GMPUNCH_LOG_ITEM_MASTER, gmpunch_reason_name(reason),
                 &client->uplink.to);
    gmpunchi_uplink_close(&client->uplink);
    client->attempt_at = GMPUNCHI_TIME_NEVER;
    client->last_reason = reason;
    if (reason == GMPUNCH_REASON_MASTER_CLOSED && !client->closed_once) {
        client->closed_once = 1;
        gmpunchi_client_attempt(client);
    } else if (client->uplink.current + 1 < client->uplink.count && reason != GMPUNCH_REASON_MASTER_SILENT) {
        client->uplink.current++;
        gmpunchi_client_attempt(client);
    } else if (client->config.direct_port || reason == GMPUNCH_REASON_MASTER_SILENT) {
        gmpunchi_client_unhelped(client, reason);
    } else {
        client->uplink.current = 0;
        client->retry_at = gmpunchi_after(client->object.now, client->retry_pause);
        if (client->retry_pause <= GMPUNCHI_RETRY_PAUSE_MAX_MS / 2) client->retry_pause *= 2;
        else client->retry_pause = GMPUNCHI_RETRY_PAUSE_MAX_MS;
    }
}

/* Starts again from a new source port. */
GMPUNCHI_FN void gmpunchi_client_restart(gmpunch_client *client) {
    client->socket_index++;
    client->stats.sockets_used++;
    gmpunchi_log(&client->object, GMPUNCH_LOG_INFO, GMPUNCH_LOG_ITEM_STAGE, "tries another source port", NULL);
    if (client->stage == GMPUNCH_STAGE_DIRECT) gmpunchi_client_direct(client, client->cause);
    else gmpunchi_client_ask(client);
}

GMPUNCHI_FN void gmpunchi_client_found(gmpunch_client *client, const gmpunch_address *address) {
    client->stats.master_answers++;
    gmpunchi_client_knock(client, GMPUNCH_STAGE_PUNCH, address, GMPUNCH_HOW_PUNCHED, "knocks at the introduced address");
    client->ask_again_at = gmpunchi_after(client->object.now, GMPUNCHI_ASK_AGAIN_MS);
    if (client->config.direct_port) client->second_at = gmpunchi_client_half_way(client);
    gmpunchi_client_push(client, GMPUNCH_EVENT_FOUND, GMPUNCH_REASON_NONE, address);
}

/* Asks the master once more while knocking: an introduction may have got lost, or the UDP port may have come too late. */
GMPUNCHI_FN void gmpunchi_client_ask_again(gmpunch_client *client) {
    uint64_t now = client->object.now;
    client->ask_again_at = gmpunchi_after(now, GMPUNCHI_ASK_AGAIN_MS);
    client->announce_due = 1;
    client->announce_at = gmpunchi_after(now, client->config.announce_interval_ms);
    client->stats.master_attempts++;
    gmpunchi_uplink_open(&client->uplink);
}

/* Whether the address that the master names is knocked at. */
GMPUNCHI_FN int32_t gmpunchi_client_may_knock(gmpunch_client *client, const gmpunch_address *address) {
    int32_t is_new = !gmpunch_address_equal(address, &client->named);
    if (!gmpunchi_may_knock(address, &client->uplink.to, client->config.knock_rules) ||
        (is_new && client->names >= client->config.max_addresses)) {
        client->stats.refused_addresses++;
        gmpunchi_log(&client->object, GMPUNCH_LOG_WARNING, GMPUNCH_LOG_ITEM_REFUSED, "the master named", address);
        return 0;
    }
    client->named = *address;
    client->names += is_new ? 1u : 0u;
    return 1;
}

/* The answer to that, whatever it is, ends the question; knocking goes on. */
GMPUNCHI_FN void gmpunchi_client_answered_again(gmpunch_client *client, int32_t answer) {
    if (answer == GMPUNCHI_ANSWER_NONE) return;
    if (answer == GMPUNCHI_ANSWER_FOUND && gmpunchi_client_may_knock(client, &client->uplink.answer.address)) {
        client->stats.master_answers++;
        gmpunchi_client_aim(client, &client->uplink.answer.address, GMPUNCH_HOW_PUNCHED);
    }
    client->announce_at = GMPUNCHI_TIME_NEVER;
    gmpunchi_uplink_close(&client->uplink);
}

GMPUNCHI_FN void gmpunchi_client_answered(gmpunch_client *client, int32_t answer) {
    if (client->stage == GMPUNCH_STAGE_PUNCH) gmpunchi_client_answered_again(client, answer);
    if (client->stage != GMPUNCH_STAGE_MASTER) return;
    if (answer == GMPUNCHI_ANSWER_FOUND && gmpunchi_client_may_knock(client, &client->uplink.answer.address)) {
        gmpunch_address address = client->uplink.answer.address;
        gmpunchi_client_found(client, &address);
    } else if (answer == GMPUNCHI_ANSWER_NOT_FOUND) {
        client->stats.master_answers++;
        gmpunchi_client_unhelped(client, GMPUNCH_REASON_HOST_NOT_FOUND);
    } else if (answer != GMPUNCHI_ANSWER_NONE) {
        client->stats.malformed++;
        gmpunchi_client_unhelped(client, GMPUNCH_REASON_MASTER_MALFORMED);
    }
}

GMPUNCHI_FN void gmpunchi_client_connected(gmpunch_client *client, const gmpunch_address *from, uint32_t socket_index,
                                           int32_t raw) {
    int32_t how = client->stage == GMPUNCH_STAGE_DIRECT ? GMPUNCH_HOW_DIRECT : GMPUNCH_HOW_PUNCHED;
    uint32_t i;
    for (i = 0; i < client->targets; i++)
        if (gmpunch_address_equal(&client->target[i].address, from)) how = client->target[i].how;
    gmpunchi_client_quiet(client);
    client->give_up_at = GMPUNCHI_TIME_NEVER;
    client->peer = *from;
    client->peer_raw = raw;
    client->socket_index = socket_index;
    gmpunchi_liveness_start(&client->live, client->object.now);
    if (client->config.ask_data) {
        client->data_tries = GMPUNCHI_DATA_TRIES;
        client->data_at = client->object.now;
    }
    gmpunchi_client_push(client, GMPUNCH_EVENT_CONNECTED, GMPUNCH_REASON_NONE, from);
    client->event[(client->event_first + client->events - 1) % GMPUNCHI_CLIENT_EVENTS].how = how;
    gmpunchi_client_enter(client, GMPUNCH_STAGE_CONNECTED, "connected");
}

/* ---- creation ---- */

/* Copies the config, fills in defaults, checks ranges. */
GMPUNCHI_FN int32_t gmpunchi_client_configure(const gmpunch_client_config *given, gmpunch_client_config *config) {
    int32_t result = gmpunchi_struct_in(config, given, sizeof *config);
    if (result) return result;
    config->struct_size = (uint32_t)sizeof *config;
    config->timeout_ms = gmpunchi_or_default(config->timeout_ms, 15000);
    config->master_timeout_ms = gmpunchi_or_default(config->master_timeout_ms, 5000);
    config->announce_interval_ms = gmpunchi_or_default(config->announce_interval_ms, 250);
    config->knock_interval_ms = gmpunchi_or_default(config->knock_interval_ms, 50);
    config->keepalive_interval_ms = gmpunchi_or_default(config->keepalive_interval_ms, 15000);
    config->peer_timeout_ms = gmpunchi_or_default(config->peer_timeout_ms, 45000);
    config->max_packet = gmpunchi_or_default(config->max_packet, GMPUNCHI_MAX_PACKET_DEFAULT);
    config->max_addresses = gmpunchi_or_default(config->max_addresses, 8);
    if (!config->seed) config->seed = 1;
    if (config->max_packet > GMPUNCH_MAX_PACKET || config->max_sockets > 4 || config->knock_rules > GMPUNCHI_KNOCK_RULES ||
        config->socket_mode > GMPUNCH_SOCKET_SEND_ONLY || (config->direct_only && !config->direct_port))
        return GMPUNCH_ERR_CONFIG;
    return GMPUNCH_OK;
}

/* Lays out a client and `extra` bytes behind it. */
GMPUNCHI_FN gmpunch_client *gmpunchi_client_layout(gmpunchi_arena *arena, const gmpunch_client_config *config, size_t extra,
                                                   void **extra_memory) {
    gmpunch_client *client = (gmpunch_client *)gmpunchi_arena_take(arena, sizeof(gmpunch_client));
    uint8_t *out = (uint8_t *)gmpunchi_arena_take(arena, GMPUNCHI_CLIENT_OUT);
    uint8_t *data = (uint8_t *)gmpunchi_arena_take(arena, config->max_packet);
    *extra_memory = gmpunchi_arena_take(arena, extra);
    if (client) {
        client->uplink.out = out;
        client->data = data;
    }
    return client;
}

/* What was looked up before creation: server is used instead of config->server if it has a family, master (of count) instead
   of config->master if resolved is 1. */
typedef struct gmpunchi_resolved {
    gmpunch_address server;
    gmpunch_address master[GMPUNCHI_MASTER_ADDRESSES];
    uint32_t count;
    int32_t resolved;
} gmpunchi_resolved;

GMPUNCHI_FN int32_t gmpunchi_client_make(const gmpunch_client_config *given, uint64_t now, const gmpunchi_resolved *resolved,
                                         size_t extra, void **extra_memory, gmpunch_client **out) {
    gmpunch_client_config config;
    gmpunch_allocator allocator;
    gmpunchi_arena arena = {NULL, 0};
    gmpunch_client *client;
    void *block;
    int32_t result;
    if (!out) return GMPUNCH_ERR_ARGUMENT;
    *out = NULL;
    result = gmpunchi_client_configure(given, &config);
    if (result) return result;
    if (!gmpunchi_allocator_resolve(&config.allocator, &allocator) && !config.memory) return GMPUNCH_ERR_CONFIG;
    config.max_sockets = gmpunchi_or_default(config.max_sockets, extra && config.socket_mode == GMPUNCH_SOCKET_OWN ? 3 : 1);
    gmpunchi_client_layout(&arena, &config, extra, extra_memory);
    result = gmpunchi_block_get(arena.used, config.memory, config.memory_size, &allocator, &block);
    if (result) return result;
    arena.base = (uint8_t *)block;
    arena.used = 0;
    client = gmpunchi_client_layout(&arena, &config, extra, extra_memory);
    client->object.allocator = allocator;
    client->object.block_size = config.memory ? 0 : arena.used;
    client->object.log = config.log;
    client->object.log_user = config.log_user;
    client->object.random = config.seed;
    client->object.now = client->opened_at = now;
    client->config = config;
    client->config.master = client->config.server = client->config.bind_address = NULL;
    client->stats.sockets_used = 1;
    client->uplink.moment_ms = GMPUNCHI_CLIENT_MOMENT_MS;
    if (resolved && resolved->server.family) client->server = resolved->server;
    else result = gmpunch_address_parse(config.server, 0, &client->server) ? GMPUNCH_ERR_CONFIG : GMPUNCH_OK;
    if (client->server.port) result = GMPUNCH_ERR_CONFIG; /* the port is direct_port, or the master's to tell */
    if (!result && !config.direct_only && !config.master) result = GMPUNCH_ERR_CONFIG;
    if (!result)
        result = gmpunchi_uplink_init(&client->uplink, config.direct_only ? NULL : config.master, client->uplink.out,
                                      GMPUNCHI_CLIENT_OUT);
    if (result) {
        gmpunchi_object_free(&client->object);
        return result;
    }
    client->give_up_at = gmpunchi_after(now, config.timeout_ms);
    gmpunchi_client_quiet(client);
    if (config.direct_only) {
        gmpunchi_client_direct(client, GMPUNCH_REASON_NONE);
    } else if (resolved && resolved->resolved) {
        gmpunchi_uplink_set(&client->uplink, resolved->master, resolved->count, client->server.family);
        if (client->uplink.count) {
            gmpunchi_client_ask(client);
        } else {
            client->stage = GMPUNCH_STAGE_MASTER;
            gmpunchi_client_unhelped(client, GMPUNCH_REASON_RESOLVE_FAILED);
        }
    } else {
        gmpunchi_client_ask(client);
    }
    *out = client;
    return GMPUNCH_OK;
}

int32_t gmpunch_client_create(const gmpunch_client_config *config, uint64_t now, gmpunch_client **client) {
    void *none;
    return gmpunchi_client_make(config, now, NULL, 0, &none, client);
}

/* ---- input ---- */

int32_t gmpunch_client_set_master(gmpunch_client *client, uint64_t now, const gmpunch_address *addresses, uint32_t count) {
    if (!client || (!addresses && count)) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&client->object, now);
    if (client->stage != GMPUNCH_STAGE_MASTER) return GMPUNCH_ERR_STATE;
    gmpunchi_uplink_close(&client->uplink);
    gmpunchi_uplink_set(&client->uplink, addresses, count, client->server.family);
    if (client->uplink.count) gmpunchi_client_attempt(client);
    else gmpunchi_client_unhelped(client, GMPUNCH_REASON_RESOLVE_FAILED);
    return GMPUNCH_OK;
}

GMPUNCHI_FN int32_t gmpunchi_client_knows(const gmpunch_client *client, const gmpunch_address *from) {
    uint32_t i;
    for (i = 0; i < client->targets; i++)
        if (gmpunch_address_same_ip(&client->target[i].address, from)) return 1;
    return gmpunch_address_same_ip(&client->server, from);
}

/* A datagram of the latched host, once connected. */
GMPUNCHI_FN int32_t gmpunchi_client_input_peer(gmpunch_client *client, uint8_t id, int32_t raw, const uint8_t *payload,
                                               size_t len) {
    uint64_t now = client->object.now;
    const char *strings[GMPUNCH_DATA_STRINGS];
    client->live.heard_at = now;
    client->peer_raw = raw;
    if (id == GMPUNCHI_ID_WELCOME) {
        client->stats.welcomes_heard++;
        if (client->live.probe_at >= client->live.since + GMPUNCHI_FIRST_PROBE_MS) client->live.answers = 1;
        return GMPUNCH_CONSUMED;
    }
    if (id == GMPUNCHI_ID_KNOCK) { /* the host wants to know whether we live, or its knocks are still on the way */
        client->stats.knocks_heard++;
        if (now >= client->live.since + GMPUNCHI_FIRST_PROBE_MS && now >= client->live.sent_at + GMPUNCHI_ANSWER_PAUSE_MS)
            client->knock_due = 1;
        return GMPUNCH_CONSUMED;
    }
    if (client->data_open && gmpunchi_decode_data(payload, len, strings) == GMPUNCH_OK) {
        if (len > client->config.max_packet) {
            client->stats.oversized++;
            return GMPUNCH_CONSUMED;
        }
        client->data_open = client->data_due = 0;
        client->data_at = GMPUNCHI_TIME_NEVER;
        memcpy(client->data, payload, len);
        client->data_len = (uint32_t)len;
        gmpunchi_client_push(client, GMPUNCH_EVENT_HOST_DATA, GMPUNCH_REASON_NONE, &client->peer);
        return GMPUNCH_CONSUMED;
    }
    return GMPUNCH_NOT_MINE;
}

int32_t gmpunch_client_input_udp(gmpunch_client *client, uint64_t now, const gmpunch_address *from, uint32_t socket_index,
                                 const uint8_t *data, size_t len) {
    gmpunch_address sender;
    const uint8_t *payload;
    size_t payload_len;
    int32_t raw;
    uint8_t id;
    if (!client || !from || (!data && len)) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&client->object, now);
    sender = *from;
    gmpunchi_address_normalize(&sender);
    if (gmpunchi_decode_datagram(data, len, &payload, &payload_len, &raw)) {
        client->stats.malformed++;
        return GMPUNCH_CONSUMED;
    }
    id = gmpunchi_decode_id(payload, payload_len);
    if (client->stage == GMPUNCH_STAGE_CONNECTED && gmpunch_address_equal(&sender, &client->peer))
        return gmpunchi_client_input_peer(client, id, raw, payload, payload_len);
    if (id != GMPUNCHI_ID_KNOCK && id != GMPUNCHI_ID_WELCOME) return GMPUNCH_NOT_MINE;
    if (!gmpunchi_address_is_unicast(&sender) || !gmpunchi_client_knows(client, &sender)) {
        if (client->stage >= GMPUNCH_STAGE_CONNECTED) return GMPUNCH_NOT_MINE;
        client->stats.strangers++;
        return GMPUNCH_CONSUMED;
    }
    if (client->stage >= GMPUNCH_STAGE_CONNECTED) { /* late, or from another port of the host */
        client->stats.strangers++;
        return GMPUNCH_CONSUMED;
    }
    if (id == GMPUNCHI_ID_WELCOME) {
        if (client->stats.knocks_sent == 0) { /* answers nothing */
            client->stats.strangers++;
            return GMPUNCH_CONSUMED;
        }
        client->stats.welcomes_heard++;
        gmpunchi_client_connected(client, &sender, socket_index, raw);
        return GMPUNCH_CONSUMED;
    }
    client->stats.knocks_heard++;
    client->heard = 1;
    if (client->stage != GMPUNCH_STAGE_MASTER) {
        /* behind a symmetric NAT the host comes from another port than the one introduced: there it must be answered */
        gmpunchi_client_aim(client, &sender,
                            client->stage == GMPUNCH_STAGE_DIRECT ? GMPUNCH_HOW_DIRECT : GMPUNCH_HOW_PUNCHED);
        if (gmpunchi_client_may_restart(client))
            client->restart_at =
                gmpunchi_earlier(client->restart_at, gmpunchi_after(client->object.now, GMPUNCHI_UNWELCOME_MS));
    }
    return GMPUNCH_CONSUMED;
}

int32_t gmpunch_client_tcp_opened(gmpunch_client *client, uint64_t now, uint32_t connection) {
    gmpunch_buffer out;
    if (!client) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&client->object, now);
    if (!gmpunchi_uplink_is(&client->uplink, connection)) return GMPUNCH_ERR_CONNECTION;
    if (client->uplink.state == GMPUNCHI_UPLINK_OPEN) return GMPUNCH_ERR_STATE;
    client->uplink.state = GMPUNCHI_UPLINK_OPEN;
    client->attempt_at = GMPUNCHI_TIME_NEVER;
    gmpunchi_uplink_begin(&client->uplink, &out);
    gmpunchi_encode_connect(&out, &client->server);
    return gmpunchi_uplink_queued(&client->uplink, &out);
}

int32_t gmpunch_client_tcp_data(gmpunch_client *client, uint64_t now, uint32_t connection, const uint8_t *data, size_t len) {
    size_t used;
    if (!client || (!data && len)) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&client->object, now);
    if (!gmpunchi_uplink_is(&client->uplink, connection)) return GMPUNCH_ERR_CONNECTION;
    /* the first answer settles it and ends the connection: what follows it is not read */
    gmpunchi_client_answered(client, gmpunchi_uplink_read(&client->uplink, client->object.now, data, len, &used));
    return GMPUNCH_OK;
}

int32_t gmpunch_client_tcp_closed(gmpunch_client *client, uint64_t now, uint32_t connection, int32_t os_error) {
    int32_t was_open;
    if (!client) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&client->object, now);
    if (!gmpunchi_uplink_is(&client->uplink, connection)) return GMPUNCH_ERR_CONNECTION;
    if (os_error) client->object.os_error = os_error;
    was_open = client->uplink.state == GMPUNCHI_UPLINK_OPEN;
    client->uplink.state = GMPUNCHI_UPLINK_CLOSED; /* it is closed already: nothing to transmit */
    gmpunchi_client_answered(client, gmpunchi_uplink_read_end(&client->uplink));
    if (client->stage == GMPUNCH_STAGE_MASTER)
        gmpunchi_client_attempt_failed(client, was_open ? GMPUNCH_REASON_MASTER_CLOSED : GMPUNCH_REASON_MASTER_UNREACHABLE);
    return GMPUNCH_OK;
}

int32_t gmpunch_client_tcp_sent(gmpunch_client *client, uint32_t connection, size_t taken) {
    return client ? gmpunchi_uplink_sent(&client->uplink, connection, taken) : GMPUNCH_ERR_ARGUMENT;
}

int32_t gmpunch_client_tcp_writable(gmpunch_client *client, uint64_t now, uint32_t connection) {
    if (!client) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&client->object, now);
    return gmpunchi_uplink_writable(&client->uplink, connection);
}

/* ---- time ---- */

GMPUNCHI_FN void gmpunchi_client_tick_master(gmpunch_client *client, uint64_t now) {
    if (now >= client->uplink.answer_at) {
        gmpunchi_client_answered(client, gmpunchi_uplink_read_end(&client->uplink));
    } else if (now >= client->master_at) {
        int32_t reason = client->uplink.state == GMPUNCHI_UPLINK_OPEN      ? GMPUNCH_REASON_MASTER_SILENT
                         : client->uplink.state == GMPUNCHI_UPLINK_OPENING ? GMPUNCH_REASON_MASTER_UNREACHABLE
                                                                           : client->last_reason;
        gmpunchi_client_unhelped(client, reason);
    } else if (now >= client->attempt_at) {
        gmpunchi_client_attempt_failed(client, GMPUNCH_REASON_MASTER_UNREACHABLE);
    } else if (now >= client->retry_at) {
        gmpunchi_client_attempt(client);
    }
}

GMPUNCHI_FN void gmpunchi_client_tick_knock(gmpunch_client *client, uint64_t now) {
    uint32_t i;
    if (now >= client->restart_at) {
        gmpunchi_client_restart(client);
        return;
    }
    if (now >= client->uplink.answer_at) gmpunchi_client_answered(client, gmpunchi_uplink_read_end(&client->uplink));
    if (now >= client->ask_again_at && !client->heard) gmpunchi_client_ask_again(client);
    if (now >= client->ask_again_at) client->ask_again_at = GMPUNCHI_TIME_NEVER; /* the host knows of this client */
    if (now >= client->second_at) {
        gmpunch_address direct = gmpunchi_client_direct_address(client);
        client->second_at = GMPUNCHI_TIME_NEVER;
        gmpunchi_client_aim(client, &direct, GMPUNCH_HOW_DIRECT);
    }
    if (now >= client->knock_at) {
        for (i = 0; i < client->targets; i++) client->target[i].due = 1;
        client->knock_at = gmpunchi_after(now, client->config.knock_interval_ms);
    }
}

GMPUNCHI_FN uint64_t gmpunchi_client_lost_at(const gmpunch_client *client) {
    return client->live.answers ? gmpunchi_after(client->live.heard_at, client->config.peer_timeout_ms)
                                : GMPUNCHI_TIME_NEVER;
}

GMPUNCHI_FN void gmpunchi_client_tick_connected(gmpunch_client *client, uint64_t now) {
    if (now >= gmpunchi_client_lost_at(client)) {
        gmpunchi_client_quiet(client);
        gmpunchi_client_push(client, GMPUNCH_EVENT_LOST, GMPUNCH_REASON_TIMEOUT, &client->peer);
        gmpunchi_client_enter(client, GMPUNCH_STAGE_LOST, "the host is silent");
        return;
    }
    if (now >= gmpunchi_liveness_due(&client->live, client->config.keepalive_interval_ms)) {
        gmpunchi_liveness_probed(&client->live, now);
        client->stats.keepalives_sent++;
        client->knock_due = 1;
    }
    if (now >= client->data_at) {
        client->data_open = client->data_due = client->data_tries > 0;
        client->data_at = client->data_open ? gmpunchi_after(now, GMPUNCHI_DATA_PAUSE_MS) : GMPUNCHI_TIME_NEVER;
        if (client->data_tries) client->data_tries--;
    }
}

int32_t gmpunch_client_tick(gmpunch_client *client, uint64_t now) {
    if (!client) return GMPUNCH_ERR_ARGUMENT;
    now = gmpunchi_advance(&client->object, now);
    if (client->stage == GMPUNCH_STAGE_MASTER) gmpunchi_client_tick_master(client, now);
    if (now >= client->give_up_at)
        gmpunchi_client_fail(client, client->stage == GMPUNCH_STAGE_MASTER ? client->last_reason
                                     : client->heard                       ? GMPUNCH_REASON_HOST_ONE_WAY
                                                                           : GMPUNCH_REASON_HOST_SILENT);
    if (client->stage == GMPUNCH_STAGE_PUNCH || client->stage == GMPUNCH_STAGE_DIRECT)
        gmpunchi_client_tick_knock(client, now);
    if (now >= client->announce_at) {
        client->announce_due = 1;
        client->announce_at = gmpunchi_after(now, client->config.announce_interval_ms);
    }
    if (client->stage == GMPUNCH_STAGE_CONNECTED) gmpunchi_client_tick_connected(client, now);
    return GMPUNCH_OK;
}

uint64_t gmpunch_client_next_deadline(const gmpunch_client *client) {
    uint64_t due;
    if (!client) return GMPUNCHI_TIME_NEVER;
    due = client->give_up_at;
    switch (client->stage) {
    case GMPUNCH_STAGE_MASTER:
        due = gmpunchi_earlier(due, client->uplink.answer_at);
        due = gmpunchi_earlier(due, gmpunchi_earlier(client->master_at, client->attempt_at));
        return gmpunchi_earlier(due, gmpunchi_earlier(client->retry_at, client->announce_at));
    case GMPUNCH_STAGE_PUNCH:
    case GMPUNCH_STAGE_DIRECT:
        due = gmpunchi_earlier(due, gmpunchi_earlier(client->restart_at, client->second_at));
        due = gmpunchi_earlier(due, gmpunchi_earlier(client->ask_again_at, client->announce_at));
        return gmpunchi_earlier(due, gmpunchi_earlier(client->knock_at, client->uplink.answer_at));
    case GMPUNCH_STAGE_CONNECTED:
        due = gmpunchi_earlier(client->data_at, gmpunchi_client_lost_at(client));
        return gmpunchi_earlier(due, gmpunchi_liveness_due(&client->live, client->config.keepalive_interval_ms));
    default: return GMPUNCHI_TIME_NEVER;
    }
}

/* ---- output ---- */

int32_t gmpunch_client_next_transmit(gmpunch_client *client, gmpunch_transmit *transmit) {
    uint32_t i;
    if (!client || !transmit) return GMPUNCH_ERR_ARGUMENT;
    memset(transmit, 0, sizeof *transmit);
    /* UDP goes first, so that the master knows the port before it is asked */
    if (client->announce_due) {
        client->announce_due = 0;
        client->stats.announces_sent++;
        gmpunchi_transmit_line(transmit, client->scratch, "connect", &client->uplink.to, client->socket_index);
        return 1;
    }
    for (i = 0; i < client->targets; i++) {
        if (!client->target[i].due) continue;
        client->target[i].due = 0;
        client->stats.knocks_sent++;
        gmpunchi_transmit_id(transmit, client->scratch, GMPUNCHI_ID_KNOCK, client->config.raw, &client->target[i].address,
                             client->socket_index);
        return 1;
    }
    if (client->knock_due || client->data_due) {
        uint8_t id = client->knock_due ? GMPUNCHI_ID_KNOCK : GMPUNCHI_ID_DATA_REQUEST;
        if (client->knock_due) client->knock_due = 0;
        else client->data_due = 0;
        client->live.sent_at = client->object.now;
        gmpunchi_transmit_id(transmit, client->scratch, id, client->peer_raw, &client->peer, client->socket_index);
        return 1;
    }
    return gmpunchi_uplink_transmit(&client->uplink, transmit);
}

int32_t gmpunch_client_next_event(gmpunch_client *client, gmpunch_event *event) {
    const gmpunchi_client_event *entry;
    if (!client || !event) return GMPUNCH_ERR_ARGUMENT;
    memset(event, 0, sizeof *event);
    if (!client->events) return 0;
    entry = &client->event[client->event_first];
    client->event_first = (client->event_first + 1) % GMPUNCHI_CLIENT_EVENTS;
    client->events--;
    event->type = entry->type;
    event->reason = entry->reason;
    event->cause = entry->cause;
    event->stage = entry->stage;
    event->how = entry->how;
    event->address = entry->address;
    event->elapsed_ms = entry->elapsed_ms;
    event->socket_index = entry->socket_index;
    event->announces_sent = client->stats.announces_sent;
    event->knocks_sent = client->stats.knocks_sent;
    event->knocks_heard = client->stats.knocks_heard;
    event->ignored = client->stats.strangers + client->stats.malformed;
    event->os_error = client->object.os_error;
    if (entry->type == GMPUNCH_EVENT_HOST_DATA) {
        event->data = client->data;
        event->len = client->data_len;
    }
    return 1;
}

const char *gmpunch_event_string(const gmpunch_event *event, uint32_t number) {
    const char *data[GMPUNCH_DATA_STRINGS];
    if (!event || (event->type != GMPUNCH_EVENT_HOST_DATA && event->type != GMPUNCH_EVENT_LOBBY_ENTRY) || number < 1 ||
        number > GMPUNCH_DATA_STRINGS || gmpunchi_decode_data(event->data, event->len, data))
        return "";
    return data[number - 1];
}

int32_t gmpunch_client_request_data(gmpunch_client *client, uint64_t now) {
    if (!client) return GMPUNCH_ERR_ARGUMENT;
    now = gmpunchi_advance(&client->object, now);
    if (client->stage != GMPUNCH_STAGE_CONNECTED) return GMPUNCH_ERR_NOT_CONNECTED;
    client->data_tries = GMPUNCHI_DATA_TRIES;
    client->data_at = now;
    return gmpunch_client_tick(client, now);
}

int32_t gmpunch_client_stage(const gmpunch_client *client) { return client ? client->stage : GMPUNCH_ERR_ARGUMENT; }

int32_t gmpunch_client_server(const gmpunch_client *client, gmpunch_address *address, uint32_t *flags) {
    if (!client || !address) return GMPUNCH_ERR_ARGUMENT;
    memset(address, 0, sizeof *address);
    if (client->stage != GMPUNCH_STAGE_CONNECTED) return GMPUNCH_ERR_NOT_CONNECTED;
    *address = client->peer;
    if (flags)
        *flags = (client->peer_raw ? (uint32_t)GMPUNCH_DATAGRAM_RAW : 0u) |
                 (client->config.escape ? (uint32_t)GMPUNCH_DATAGRAM_ESCAPE : 0u);
    return GMPUNCH_OK;
}

int32_t gmpunch_client_get_stats(const gmpunch_client *client, gmpunch_client_stats *stats) {
    return client ? gmpunchi_struct_out(stats, &client->stats, sizeof *stats) : GMPUNCH_ERR_ARGUMENT;
}

/* >>host =============================================================================================================== */

#define GMPUNCHI_HOST_EVENTS 16u        /* places for events of no peer and no introduction */
#define GMPUNCHI_OPEN_TIMEOUT_MS 10000u /* for a TCP connection to the master */
#define GMPUNCHI_STABLE_MS 10000u       /* a connection that lived so long starts the pauses anew */
/* From a new connection to the next registration, which includes a UDP "reg"; the pauses grow by this factor, up to
   register_interval_ms. Nothing confirms a datagram, and the deployed master, once it notices that an older connection of
   this IP has ended, removes the newer registration with it. */
#define GMPUNCHI_REGISTER_PAUSE_MS 250u
#define GMPUNCHI_REGISTER_GROWTH 4u
/* A UDP "reg" that the deployed master handles late hides the host from its lobby: "reg2" goes again when it can be trusted
   to have arrived. */
#define GMPUNCHI_REG2_DELAY_MS 1000u
/* The deployed master waits so long for the next line of a registration; then it hears nothing more on this connection, but
   does not close it. */
#define GMPUNCHI_STALL_MS 1000u
#define GMPUNCHI_DATA_ANSWER_PAUSE_MS 200u  /* at least this between answers to one peer's data requests */
#define GMPUNCHI_DATA_DIRECT_PER_SECOND 20u /* answers to all direct peers, whose addresses may be forged */
#define GMPUNCHI_DATA_DIRECT_AT_ONCE 64u
#define GMPUNCHI_KNOCKS_AT_ONCE 4u     /* times max_knocks_per_second */
#define GMPUNCHI_REGISTRATION_ROOM 96u /* bytes around the data strings of a registration, and for pings */

enum { GMPUNCHI_PEER_FREE, GMPUNCHI_PEER_CONNECTED, GMPUNCHI_PEER_LEAVING, GMPUNCHI_PEER_KICKED };
enum { GMPUNCHI_DUE_WELCOME = 1, GMPUNCHI_DUE_KNOCK = 2, GMPUNCHI_DUE_DATA = 4 };

typedef struct gmpunchi_peer {
    gmpunch_address address;
    gmpunchi_liveness live; /* of a kicked one, since is when it ends */
    uint16_t generation;
    uint8_t state;
    uint8_t due; /* GMPUNCHI_DUE_; not 0 while it is in the ready ring */
    uint8_t how;
    uint8_t raw;
    uint8_t socket_index;
    uint8_t left_pending; /* GMPUNCH_EVENT_LEFT was not read yet */
    uint8_t direct;       /* no introduction was for it: it is in direct_map */
    uint8_t unconfirmed;  /* it is in unconfirmed[direct] */
    uint16_t prev, next;  /* slot + 1 in the list of the unconfirmed, 0: none; next also in that of the free */
    uint16_t reserved;
} gmpunchi_peer;

typedef struct gmpunchi_introduction {
    gmpunch_address address;
    uint64_t expires;
    uint8_t used;
    uint8_t knocking;
    uint8_t due;        /* in the ready ring */
    uint8_t pending;    /* events not read yet: the slot is kept for them */
    uint8_t admits;     /* peers of this IP that it is still for */
    uint8_t promised;   /* a place that becomes free is kept for its peer */
    uint16_t next_free; /* slot + 1, 0: none */
} gmpunchi_introduction;

typedef struct gmpunchi_host_event {
    uint8_t type, reason;
    uint16_t slot;
} gmpunchi_host_event;

/* A ring of slot numbers that wait for a turn. */
typedef struct gmpunchi_ring {
    uint16_t *slot;
    uint32_t first, count, size;
} gmpunchi_ring;

GMPUNCHI_FN void gmpunchi_ring_put(gmpunchi_ring *ring, uint32_t slot) {
    GMPUNCH_ASSERT(ring->count < ring->size);
    ring->slot[(ring->first + ring->count++) % ring->size] = (uint16_t)slot;
}

GMPUNCHI_FN uint32_t gmpunchi_ring_get(gmpunchi_ring *ring) {
    uint32_t slot = ring->slot[ring->first];
    ring->first = (ring->first + 1) % ring->size;
    ring->count--;
    return slot;
}

struct gmpunch_host {
    gmpunchi_object object;
    gmpunch_host_config config; /* with defaults filled in; its texts are not kept */
    gmpunchi_uplink uplink;
    gmpunch_host_stats stats;
    uint64_t key[2];
    gmpunch_address self; /* its own UDP address, as far as it is known */
    /* registration */
    uint64_t register_at; /* the next one, or the next attempt */
    uint64_t reg2_at;     /* the TCP part again */
    uint64_t open_at;     /* opening the connection is given up */
    uint64_t opened_at;
    uint64_t full_at;        /* the system took less than all that was sent on the connection */
    uint64_t ping_at;        /* TCP */
    uint64_t keepalive_at;   /* UDP to the master */
    uint32_t register_pause; /* to the registration after the next */
    uint32_t reconnect_pause;
    int32_t reg_due;
    int32_t keepalive_due;
    /* peers and introductions */
    gmpunchi_peer *peer;
    gmpunchi_map peer_map;   /* by address: connected and kicked */
    gmpunchi_map direct_map; /* by ip: direct ones that are connected */
    gmpunchi_ring peer_ready;
    gmpunchi_list unconfirmed[2]; /* connected, the oldest first: introduced ones, direct ones */
    uint32_t peer_free;
    uint32_t free;     /* how many places are free, */
    uint32_t leaving;  /* how many will be when their LEFT has been read, */
    uint32_t promised; /* and how many of these are kept for peers of introductions */
    uint32_t direct;
    uint32_t kicked;
    gmpunchi_introduction *introduction;
    gmpunchi_map introduction_map; /* by ip */
    gmpunchi_ring introduction_ready;
    uint32_t introduction_free;
    uint32_t knocking;
    gmpunchi_rate knock_rate, data_rate;
    uint64_t knock_at;
    uint64_t sweep_at; /* no peer and no introduction needs anything before */
    /* the data strings, as the datagram that carries them: header, id, and the strings one behind the other */
    uint8_t *data_packet;
    char *data; /* the strings in it */
    uint32_t data_used;
    /* events */
    gmpunchi_host_event *event;
    uint32_t event_first, events, event_places;
    uint8_t scratch[GMPUNCHI_SCRATCH];
};

#define GMPUNCHI_DATA_OFFSET (GMPUNCH_DATAGRAM_HEADER_SIZE + 1u) /* of the strings in the datagram */

GMPUNCHI_FN void gmpunchi_host_push(gmpunch_host *host, int32_t type, int32_t reason, uint32_t slot) {
    gmpunchi_host_event *event;
    /* events of peers and introductions always have a place: see gmpunchi_host_layout */
    if (slot == GMPUNCHI_NONE && host->events >= GMPUNCHI_HOST_EVENTS) {
        host->stats.events_dropped++;
        return;
    }
    GMPUNCH_ASSERT(host->events < host->event_places);
    event = &host->event[(host->event_first + host->events++) % host->event_places];
    event->type = (uint8_t)type;
    event->reason = (uint8_t)reason;
    event->slot = (uint16_t)slot;
}

GMPUNCHI_FN void gmpunchi_host_sweep_by(gmpunch_host *host, uint64_t at) {
    host->sweep_at = gmpunchi_earlier(host->sweep_at, at);
}

/* ---- data strings ---- */

GMPUNCHI_FN void gmpunchi_host_data(const gmpunch_host *host, const char *data[GMPUNCH_DATA_STRINGS]) {
    const char *at = host->data;
    uint32_t i;
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) data[i] = gmpunchi_next_argument(&at, host->data + host->data_used);
}

int32_t gmpunch_host_set_data(gmpunch_host *host, uint32_t number, const char *text) {
    const char *data[GMPUNCH_DATA_STRINGS];
    size_t len, old_len, start;
    if (!host || number < 1 || number > GMPUNCH_DATA_STRINGS) return GMPUNCH_ERR_ARGUMENT;
    if (!text) text = "";
    len = strlen(text);
    if (gmpunchi_has_control(text)) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_host_data(host, data);
    old_len = strlen(data[number - 1]);
    start = (size_t)(data[number - 1] - host->data);
    if (len > host->config.data_capacity || host->data_used - old_len + len > host->config.data_capacity)
        return GMPUNCH_ERR_TOO_LONG;
    memmove(host->data + start + len, host->data + start + old_len, host->data_used - start - old_len);
    memcpy(host->data + start, text, len);
    host->data_used = (uint32_t)(host->data_used - old_len + len);
    return GMPUNCH_OK;
}

/* ---- registration ---- */

/* "reg" for masters of the published protocol, "reg2" for those since 1.2: each ignores the other's. If what was queued
   before did not leave yet, it is tried again later. What reg2_at holds otherwise stays: it follows a UDP "reg". */
GMPUNCHI_FN void gmpunchi_host_queue_registration(gmpunch_host *host) {
    const char *data[GMPUNCH_DATA_STRINGS];
    gmpunch_buffer out;
    gmpunchi_host_data(host, data);
    gmpunchi_uplink_begin(&host->uplink, &out);
    gmpunchi_encode_reg(&out);
    gmpunchi_encode_reg2(&out, GMPUNCH_HOST_PROTOCOL_VERSION, data);
    if (gmpunchi_uplink_queued(&host->uplink, &out)) host->reg2_at = host->object.now + GMPUNCHI_REG2_DELAY_MS;
    else host->stats.registrations++;
}

/* The TCP part of a registration, whose UDP "reg" goes just before: at once, so that the deployed master hides the host from
   its lobby as briefly as can be, and again when it can't be handled before the "reg" any more. */
GMPUNCHI_FN void gmpunchi_host_register_tcp(gmpunch_host *host) {
    uint64_t now = host->object.now;
    gmpunchi_host_queue_registration(host);
    host->reg2_at = now + GMPUNCHI_REG2_DELAY_MS;
    host->register_at = gmpunchi_after(now, host->register_pause);
    host->register_pause = host->register_pause > host->config.register_interval_ms / GMPUNCHI_REGISTER_GROWTH
                               ? host->config.register_interval_ms
                               : host->register_pause * GMPUNCHI_REGISTER_GROWTH;
}

/* Registers: UDP first, then TCP, on the connection that stands or a new one. */
GMPUNCHI_FN void gmpunchi_host_register(gmpunch_host *host) {
    host->reg_due = 1;
    if (host->uplink.state == GMPUNCHI_UPLINK_OPEN) {
        gmpunchi_host_register_tcp(host);
        return;
    }
    host->stats.master_attempts++;
    gmpunchi_uplink_open(&host->uplink);
    host->open_at = host->object.now + GMPUNCHI_OPEN_TIMEOUT_MS;
    host->register_at = GMPUNCHI_TIME_NEVER;
}

/* The connection to the master ended, or there was none: again after a pause, at the next address. */
GMPUNCHI_FN void gmpunchi_host_unregistered(gmpunch_host *host, int32_t reason) {
    uint64_t now = host->object.now;
    gmpunchi_log(&host->object, GMPUNCH_LOG_WARNING, GMPUNCH_LOG_ITEM_MASTER, gmpunch_reason_name(reason), &host->uplink.to);
    gmpunchi_uplink_close(&host->uplink);
    host->open_at = host->reg2_at = host->ping_at = host->keepalive_at = GMPUNCHI_TIME_NEVER;
    host->reg_due = host->keepalive_due = 0;
    if (host->stats.registered && now >= host->opened_at + GMPUNCHI_STABLE_MS)
        host->reconnect_pause = host->config.reconnect_min_ms;
    host->register_at = now + gmpunchi_jitter(&host->object, host->reconnect_pause);
    host->reconnect_pause = host->reconnect_pause > host->config.reconnect_max_ms / 2 ? host->config.reconnect_max_ms
                                                                                      : host->reconnect_pause * 2;
    gmpunchi_host_push(host, GMPUNCH_EVENT_UNREGISTERED, reason, GMPUNCHI_NONE);
    host->stats.registered = 0;
    if (host->uplink.count) host->uplink.current = (host->uplink.current + 1) % host->uplink.count;
    if (host->uplink.name[0] && host->uplink.current == 0) /* all addresses were tried: maybe it has moved */
        gmpunchi_host_push(host, GMPUNCH_EVENT_RESOLVE, GMPUNCH_REASON_NONE, GMPUNCHI_NONE);
}

int32_t gmpunch_host_commit_data(gmpunch_host *host, uint64_t now) {
    if (!host) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&host->object, now);
    if (host->uplink.state == GMPUNCHI_UPLINK_OPEN) gmpunchi_host_queue_registration(host);
    return GMPUNCH_OK;
}

/* ---- introductions ---- */

/* The introduction with this address; or, with any_port, one with this IP. GMPUNCHI_NONE if there is none. */
GMPUNCHI_FN uint32_t gmpunchi_host_find_introduction(const gmpunch_host *host, const gmpunch_address *address,
                                                     int32_t any_port) {
    uint32_t slot = gmpunchi_map_first(&host->introduction_map, gmpunchi_hash_ip(host->key, address));
    for (; slot != GMPUNCHI_NONE; slot = host->introduction_map.next[slot]) {
        const gmpunch_address *known = &host->introduction[slot].address;
        if (any_port ? gmpunch_address_same_ip(known, address) : gmpunch_address_equal(known, address)) return slot;
    }
    return GMPUNCHI_NONE;
}

GMPUNCHI_FN void gmpunchi_host_introduction_give(gmpunch_host *host, uint32_t slot) {
    gmpunchi_introduction *introduction = &host->introduction[slot];
    if (introduction->used || introduction->pending || introduction->due) return;
    introduction->next_free = (uint16_t)(host->introduction_free + 1);
    host->introduction_free = slot;
}

GMPUNCHI_FN void gmpunchi_host_introduction_due(gmpunch_host *host, uint32_t slot) {
    gmpunchi_introduction *introduction = &host->introduction[slot];
    if (introduction->due) return;
    introduction->due = 1;
    gmpunchi_ring_put(&host->introduction_ready, slot);
}

GMPUNCHI_FN void gmpunchi_host_stop_knocking(gmpunch_host *host, uint32_t slot) {
    if (!host->introduction[slot].knocking) return;
    host->introduction[slot].knocking = 0;
    if (--host->knocking == 0) host->knock_at = GMPUNCHI_TIME_NEVER;
}

GMPUNCHI_FN void gmpunchi_host_unpromise(gmpunch_host *host, uint32_t slot) {
    host->promised -= host->introduction[slot].promised;
    host->introduction[slot].promised = 0;
}

GMPUNCHI_FN void gmpunchi_host_introduction_expire(gmpunch_host *host, uint32_t slot) {
    gmpunchi_introduction *introduction = &host->introduction[slot];
    gmpunchi_map_remove(&host->introduction_map, gmpunchi_hash_ip(host->key, &introduction->address), slot);
    introduction->used = 0;
    gmpunchi_host_unpromise(host, slot);
    host->stats.introductions--;
    if (introduction->knocking) {
        gmpunchi_host_stop_knocking(host, slot);
        introduction->pending++;
        gmpunchi_host_push(host, GMPUNCH_EVENT_INTRODUCTION_EXPIRED, GMPUNCH_REASON_HOST_SILENT, slot);
    }
    gmpunchi_host_introduction_give(host, slot);
}

GMPUNCHI_FN uint32_t gmpunchi_host_find(const gmpunch_host *host, const gmpunch_address *address) {
    uint32_t slot = gmpunchi_map_first(&host->peer_map, gmpunchi_hash_address(host->key, address));
    while (slot != GMPUNCHI_NONE && !gmpunch_address_equal(&host->peer[slot].address, address))
        slot = host->peer_map.next[slot];
    return slot;
}

/* ---- direct and unconfirmed peers ---- */

GMPUNCHI_FN void gmpunchi_host_peer_unconfirmed(gmpunch_host *host, uint32_t slot) {
    gmpunchi_peer *peer = &host->peer[slot];
    gmpunchi_list *list = &host->unconfirmed[peer->direct];
    peer->unconfirmed = 1;
    peer->prev = (uint16_t)(list->tail + 1);
    peer->next = 0;
    if (list->tail == GMPUNCHI_NONE) list->head = slot;
    else host->peer[list->tail].next = (uint16_t)(slot + 1);
    list->tail = slot;
}

GMPUNCHI_FN void gmpunchi_host_peer_confirmed(gmpunch_host *host, uint32_t slot) {
    gmpunchi_peer *peer = &host->peer[slot];
    gmpunchi_list *list = &host->unconfirmed[peer->direct];
    if (!peer->unconfirmed) return;
    peer->unconfirmed = 0;
    if (!peer->prev) list->head = peer->next - 1u;
    else host->peer[peer->prev - 1].next = peer->next;
    if (!peer->next) list->tail = peer->prev - 1u;
    else host->peer[peer->next - 1].prev = peer->prev;
}

GMPUNCHI_FN void gmpunchi_host_peer_direct(gmpunch_host *host, uint32_t slot) {
    host->peer[slot].direct = 1;
    host->direct++;
    gmpunchi_map_insert(&host->direct_map, gmpunchi_hash_ip(host->key, &host->peer[slot].address), slot);
}

GMPUNCHI_FN void gmpunchi_host_peer_not_direct(gmpunch_host *host, uint32_t slot) {
    if (!host->peer[slot].direct) return;
    host->peer[slot].direct = 0;
    host->direct--;
    gmpunchi_map_remove(&host->direct_map, gmpunchi_hash_ip(host->key, &host->peer[slot].address), slot);
}

/* A connected peer is introduced after all. */
GMPUNCHI_FN void gmpunchi_host_peer_introduced(gmpunch_host *host, uint32_t slot) {
    uint8_t unconfirmed = host->peer[slot].unconfirmed;
    gmpunchi_host_peer_confirmed(host, slot);
    gmpunchi_host_peer_not_direct(host, slot);
    if (unconfirmed) gmpunchi_host_peer_unconfirmed(host, slot);
    gmpunchi_host_sweep_by(host, host->object.now); /* it is kept alive from now on */
}

/* Whether so many direct peers have this IP. */
GMPUNCHI_FN int32_t gmpunchi_host_direct_peers_reach(const gmpunch_host *host, const gmpunch_address *address,
                                                     uint32_t limit) {
    uint32_t slot = gmpunchi_map_first(&host->direct_map, gmpunchi_hash_ip(host->key, address)), count = 0;
    for (; slot != GMPUNCHI_NONE && count < limit; slot = host->direct_map.next[slot])
        count += gmpunch_address_same_ip(&host->peer[slot].address, address) ? 1u : 0u;
    return count >= limit;
}

/* ---- introductions from the master ---- */

/* Whether it is the master's own UDP address, or the host's. No client is there: a forged knock from the master would have the
   host answer with a welcome without header, and a datagram of one byte ends the UDP thread of the deployed master; one from
   itself would make the host its own peer, which answers for ever. */
GMPUNCHI_FN int32_t gmpunchi_host_is_own(const gmpunch_host *host, const gmpunch_address *address) {
    const gmpunch_address *self = &host->self;
    uint32_t i;
    for (i = 0; i < host->uplink.count; i++)
        if (gmpunch_address_equal(&host->uplink.address[i], address)) return 1;
    if (gmpunch_address_equal(&host->uplink.to, address)) return 1;
    return self->port && self->port == address->port &&
           (self->family ? gmpunch_address_same_ip(self, address)
                         : gmpunchi_address_reach(address) == GMPUNCHI_REACH_LOOPBACK);
}

GMPUNCHI_FN uint32_t gmpunchi_host_introductions_of(const gmpunch_host *host, const gmpunch_address *address) {
    uint32_t slot = gmpunchi_map_first(&host->introduction_map, gmpunchi_hash_ip(host->key, address)), count = 0;
    for (; slot != GMPUNCHI_NONE; slot = host->introduction_map.next[slot])
        count += gmpunch_address_same_ip(&host->introduction[slot].address, address) ? 1u : 0u;
    return count;
}

/* Why this address is not introduced, NULL if it may be; slot is the introduction that it has already. */
GMPUNCHI_FN const char *gmpunchi_host_introduction_refusal(const gmpunch_host *host, const gmpunch_address *address,
                                                           uint32_t slot) {
    gmpunch_address checked = *address;
    if (!checked.port) checked.port = 1024; /* is not knocked at */
    if (!gmpunchi_may_knock(&checked, &host->uplink.to, host->config.knock_rules) || gmpunchi_host_is_own(host, address))
        return "introduction to where no client is:";
    if (slot != GMPUNCHI_NONE) return NULL;
    if (host->introduction_free == GMPUNCHI_NONE) return "no place for an introduction:";
    if (gmpunchi_host_introductions_of(host, address) >= host->config.max_introductions_per_ip)
        return "too many introductions of one IP:";
    return NULL;
}

/* The master named a client; port 0 if it did not know it: then the IP counts as introduced, but is not knocked at. */
GMPUNCHI_FN void gmpunchi_host_introduce(gmpunch_host *host, const gmpunch_address *address) {
    gmpunchi_introduction *introduction;
    uint32_t slot = gmpunchi_host_find_introduction(host, address, 0), peer = gmpunchi_host_find(host, address);
    const char *refusal;
    if (peer != GMPUNCHI_NONE && host->peer[peer].state == GMPUNCHI_PEER_CONNECTED) {
        host->peer[peer].how = GMPUNCH_HOW_PUNCHED;
        gmpunchi_host_peer_introduced(host, peer);
        return;
    }
    refusal = peer != GMPUNCHI_NONE ? "kicked:" : gmpunchi_host_introduction_refusal(host, address, slot);
    if (refusal) {
        host->stats.refused_introductions++;
        gmpunchi_log(&host->object, GMPUNCH_LOG_WARNING, GMPUNCH_LOG_ITEM_REFUSED, refusal, address);
        return;
    }
    if (slot == GMPUNCHI_NONE) {
        slot = host->introduction_free;
        introduction = &host->introduction[slot];
        host->introduction_free = introduction->next_free - 1u;
        memset(introduction, 0, sizeof *introduction);
        introduction->address = *address;
        introduction->used = 1;
        introduction->pending = 1;
        gmpunchi_map_insert(&host->introduction_map, gmpunchi_hash_ip(host->key, address), slot);
        host->stats.introductions++;
        host->stats.introduced++;
        gmpunchi_host_push(host, GMPUNCH_EVENT_INTRODUCED, GMPUNCH_REASON_NONE, slot);
    }
    introduction = &host->introduction[slot];
    if (introduction->admits < UINT8_MAX) introduction->admits++;
    introduction->expires = gmpunchi_after(host->object.now, host->config.introduction_timeout_ms);
    gmpunchi_host_sweep_by(host, introduction->expires);
    if (address->port && !introduction->knocking) {
        introduction->knocking = 1;
        if (host->knocking++ == 0) host->knock_at = gmpunchi_after(host->object.now, host->config.knock_interval_ms);
    }
    if (address->port) gmpunchi_host_introduction_due(host, slot);
}

/* ---- peers ---- */

GMPUNCHI_FN uint32_t gmpunchi_peer_id(const gmpunch_host *host, uint32_t slot) {
    return (uint32_t)host->peer[slot].generation << 16 | (slot + 1);
}

/* The slot of a connected peer's id, GMPUNCHI_NONE if there is none. */
GMPUNCHI_FN uint32_t gmpunchi_peer_slot(const gmpunch_host *host, uint32_t peer) {
    uint32_t slot = (peer & 0xffffu) - 1;
    if (slot >= host->config.max_peers || host->peer[slot].state != GMPUNCHI_PEER_CONNECTED ||
        gmpunchi_peer_id(host, slot) != peer)
        return GMPUNCHI_NONE;
    return slot;
}

GMPUNCHI_FN uint64_t gmpunchi_peer_lost_at(const gmpunch_host *host, const gmpunchi_peer *peer) {
    return gmpunchi_after(peer->live.heard_at,
                          peer->live.answers ? host->config.peer_timeout_ms : host->config.idle_timeout_ms);
}

/* When the peer needs something next. */
GMPUNCHI_FN uint64_t gmpunchi_peer_due(const gmpunch_host *host, const gmpunchi_peer *peer) {
    if (peer->state == GMPUNCHI_PEER_KICKED) return peer->live.since;
    if (peer->direct && peer->unconfirmed) return gmpunchi_peer_lost_at(host, peer);
    return gmpunchi_earlier(gmpunchi_peer_lost_at(host, peer),
                            gmpunchi_liveness_due(&peer->live, host->config.keepalive_interval_ms));
}

GMPUNCHI_FN void gmpunchi_host_peer_mark(gmpunch_host *host, uint32_t slot, uint8_t due) {
    gmpunchi_peer *peer = &host->peer[slot];
    if (!peer->due) gmpunchi_ring_put(&host->peer_ready, slot);
    peer->due |= due;
}

/* Frees a slot that nothing needs any more. */
GMPUNCHI_FN void gmpunchi_host_peer_give(gmpunch_host *host, uint32_t slot) {
    gmpunchi_peer *peer = &host->peer[slot];
    if (peer->state != GMPUNCHI_PEER_LEAVING || peer->left_pending || peer->due) return;
    peer->state = GMPUNCHI_PEER_FREE;
    peer->next = (uint16_t)(host->peer_free + 1);
    host->peer_free = slot;
    host->leaving--;
    host->free++;
}

GMPUNCHI_FN void gmpunchi_host_peer_unmap(gmpunch_host *host, uint32_t slot) {
    gmpunchi_map_remove(&host->peer_map, gmpunchi_hash_address(host->key, &host->peer[slot].address), slot);
    if (host->peer[slot].state == GMPUNCHI_PEER_KICKED) host->kicked--;
    host->peer[slot].state = GMPUNCHI_PEER_LEAVING;
    host->leaving++;
    gmpunchi_host_peer_give(host, slot);
}

GMPUNCHI_FN void gmpunchi_host_peer_left(gmpunch_host *host, uint32_t slot, int32_t reason) {
    gmpunchi_host_peer_confirmed(host, slot);
    gmpunchi_host_peer_not_direct(host, slot);
    host->peer[slot].left_pending = 1;
    host->stats.peers--;
    host->stats.left++;
    gmpunchi_host_push(host, GMPUNCH_EVENT_LEFT, reason, slot);
    gmpunchi_log(&host->object, GMPUNCH_LOG_INFO, GMPUNCH_LOG_ITEM_PEER, gmpunch_reason_name(reason),
                 &host->peer[slot].address);
}

/* Whether a peer makes room for a newcomer, which can have the place as soon as the application has read that it LEFT. */
GMPUNCHI_FN int32_t gmpunchi_host_displace(gmpunch_host *host, int32_t newcomer_is_direct) {
    uint32_t pass, slot;
    if (host->config.unconfirmed_ms == GMPUNCH_NEVER) return 0;
    for (pass = 0; pass < (newcomer_is_direct ? 1u : 2u); pass++) {
        int32_t direct = pass == 0;
        slot = host->unconfirmed[direct].head;
        if (slot == GMPUNCHI_NONE) continue;
        if ((!direct || newcomer_is_direct) &&
            host->object.now < gmpunchi_after(host->peer[slot].live.since, host->config.unconfirmed_ms))
            continue;
        host->stats.displaced++;
        gmpunchi_host_peer_left(host, slot, GMPUNCH_REASON_LIMIT);
        gmpunchi_host_peer_unmap(host, slot);
        return 1;
    }
    return 0;
}

/* A free slot; where there is none, that of a kicked address. For a peer of an introduction a place that becomes free is kept
   until it knocks again. */
GMPUNCHI_FN uint32_t gmpunchi_host_peer_take(gmpunch_host *host, uint32_t introduction) {
    uint32_t promised = host->promised, slot, i;
    if (introduction != GMPUNCHI_NONE) promised -= host->introduction[introduction].promised;
    for (i = 0; host->free <= promised && host->kicked && i < host->config.max_peers; i++) {
        if (host->peer[i].state != GMPUNCHI_PEER_KICKED || host->peer[i].left_pending || host->peer[i].due) continue;
        gmpunchi_host_peer_unmap(host, i);
    }
    if (host->free > promised) {
        slot = host->peer_free;
        host->peer_free = host->peer[slot].next - 1u;
        host->free--;
        return slot;
    }
    if (host->free + host->leaving > promised || gmpunchi_host_displace(host, introduction == GMPUNCHI_NONE)) {
        if (introduction != GMPUNCHI_NONE && !host->introduction[introduction].promised) {
            host->introduction[introduction].promised = 1;
            host->promised++;
        }
    }
    return GMPUNCHI_NONE;
}

/* The introduction that is for a newcomer with this address: one with its port, or with its IP, as a symmetric NAT uses another
   port towards each destination. GMPUNCHI_NONE if there is none, or it was for others who have come. */
GMPUNCHI_FN uint32_t gmpunchi_host_admission(const gmpunch_host *host, const gmpunch_address *from) {
    uint32_t slot = gmpunchi_map_first(&host->introduction_map, gmpunchi_hash_ip(host->key, from)), found = GMPUNCHI_NONE;
    for (; slot != GMPUNCHI_NONE; slot = host->introduction_map.next[slot]) {
        const gmpunchi_introduction *introduction = &host->introduction[slot];
        if (!introduction->admits || !gmpunch_address_same_ip(&introduction->address, from)) continue;
        found = slot;
        if (introduction->address.port == from->port) break;
    }
    return found;
}

/* A place for a newcomer, or NULL and the slot: why there is none. */
GMPUNCHI_FN const char *gmpunchi_host_admit(gmpunch_host *host, const gmpunch_address *from, int32_t introduced,
                                            uint32_t admission, uint32_t *slot) {
    int32_t direct = admission == GMPUNCHI_NONE;
    if (host->config.require_mediation && !introduced) {
        host->stats.refused_unmediated++;
        return "not introduced:";
    }
    if (direct && gmpunchi_host_direct_peers_reach(host, from, host->config.max_direct_peers_per_ip)) {
        host->stats.refused_direct_ip++;
        return "too many direct peers of one IP:";
    }
    if (direct && host->config.max_direct_peers < host->config.max_peers && host->direct >= host->config.max_direct_peers &&
        !gmpunchi_host_displace(host, direct)) {
        host->stats.refused_direct++;
        return "no place for a direct peer:";
    }
    *slot = gmpunchi_host_peer_take(host, admission);
    if (*slot == GMPUNCHI_NONE) {
        host->stats.refused_full++;
        return "no place for a peer:";
    }
    return NULL;
}

/* A knock from an address that is no peer. */
GMPUNCHI_FN void gmpunchi_host_newcomer(gmpunch_host *host, const gmpunch_address *from, uint32_t socket_index,
                                        int32_t raw) {
    gmpunchi_peer *peer;
    uint32_t introduced = gmpunchi_host_find_introduction(host, from, 1), admission = gmpunchi_host_admission(host, from);
    uint32_t exact, slot;
    const char *refusal;
    if (!gmpunchi_address_is_unicast(from) || gmpunchi_host_is_own(host, from)) {
        host->stats.strangers++;
        return;
    }
    refusal = gmpunchi_host_admit(host, from, introduced != GMPUNCHI_NONE, admission, &slot);
    if (refusal) {
        gmpunchi_log(&host->object, GMPUNCH_LOG_WARNING, GMPUNCH_LOG_ITEM_REFUSED, refusal, from);
        return;
    }
    peer = &host->peer[slot];
    peer->generation++;
    peer->address = *from;
    peer->state = GMPUNCHI_PEER_CONNECTED;
    peer->how = introduced == GMPUNCHI_NONE ? GMPUNCH_HOW_DIRECT : GMPUNCH_HOW_PUNCHED;
    peer->raw = (uint8_t)raw;
    peer->socket_index = (uint8_t)socket_index;
    gmpunchi_liveness_start(&peer->live, host->object.now);
    gmpunchi_map_insert(&host->peer_map, gmpunchi_hash_address(host->key, from), slot);
    if (admission == GMPUNCHI_NONE) {
        gmpunchi_host_peer_direct(host, slot);
    } else {
        host->introduction[admission].admits--;
        gmpunchi_host_unpromise(host, admission);
    }
    gmpunchi_host_peer_unconfirmed(host, slot);
    gmpunchi_host_sweep_by(host, gmpunchi_peer_due(host, peer));
    gmpunchi_host_peer_mark(host, slot, GMPUNCHI_DUE_WELCOME);
    host->stats.peers++;
    host->stats.joined++;
    gmpunchi_host_push(host, GMPUNCH_EVENT_JOINED, GMPUNCH_REASON_NONE, slot);
    gmpunchi_log(&host->object, GMPUNCH_LOG_INFO, GMPUNCH_LOG_ITEM_PEER, "joined", from);
    exact = gmpunchi_host_find_introduction(host, from, 0);
    if (exact != GMPUNCHI_NONE) gmpunchi_host_stop_knocking(host, exact);
}

int32_t gmpunch_host_kick(gmpunch_host *host, uint64_t now, uint32_t peer) {
    uint32_t slot;
    if (!host) return GMPUNCH_ERR_ARGUMENT;
    now = gmpunchi_advance(&host->object, now);
    slot = gmpunchi_peer_slot(host, peer);
    if (slot == GMPUNCHI_NONE) return GMPUNCH_ERR_PEER;
    gmpunchi_host_peer_left(host, slot, GMPUNCH_REASON_KICKED);
    host->peer[slot].state = GMPUNCHI_PEER_KICKED;
    host->peer[slot].live.since = gmpunchi_after(now, host->config.kick_ms);
    host->kicked++;
    gmpunchi_host_sweep_by(host, host->peer[slot].live.since);
    return GMPUNCH_OK;
}

/* Looks at every peer and introduction once, and at none again before sweep_at. */
GMPUNCHI_FN void gmpunchi_host_sweep(gmpunch_host *host) {
    uint64_t now = host->object.now;
    uint32_t i;
    host->sweep_at = GMPUNCHI_TIME_NEVER;
    for (i = 0; i < host->config.max_peers; i++) {
        gmpunchi_peer *peer = &host->peer[i];
        if (peer->state == GMPUNCHI_PEER_KICKED && now >= peer->live.since) {
            gmpunchi_host_peer_unmap(host, i);
        } else if (peer->state == GMPUNCHI_PEER_CONNECTED && now >= gmpunchi_peer_due(host, peer)) {
            /* a probe that is due may tell that the peer answers, and so that it has been silent for too long */
            if (now < gmpunchi_peer_lost_at(host, peer)) gmpunchi_liveness_probed(&peer->live, now);
            if (now >= gmpunchi_peer_lost_at(host, peer)) {
                gmpunchi_host_peer_left(host, i, GMPUNCH_REASON_TIMEOUT);
                gmpunchi_host_peer_unmap(host, i);
            } else {
                host->stats.keepalives_sent++;
                gmpunchi_host_peer_mark(host, i, GMPUNCHI_DUE_KNOCK);
            }
        }
        if (peer->state == GMPUNCHI_PEER_CONNECTED || peer->state == GMPUNCHI_PEER_KICKED)
            gmpunchi_host_sweep_by(host, gmpunchi_peer_due(host, peer));
    }
    for (i = 0; i < host->config.max_introductions; i++) {
        if (!host->introduction[i].used) continue;
        if (now >= host->introduction[i].expires) gmpunchi_host_introduction_expire(host, i);
        else gmpunchi_host_sweep_by(host, host->introduction[i].expires);
    }
}

/* ---- creation ---- */

GMPUNCHI_FN int32_t gmpunchi_host_configure(const gmpunch_host_config *given, gmpunch_host_config *config) {
    int32_t result = gmpunchi_struct_in(config, given, sizeof *config);
    if (result) return result;
    config->struct_size = (uint32_t)sizeof *config;
    config->data_capacity = gmpunchi_or_default(config->data_capacity, 1024);
    config->register_interval_ms = gmpunchi_or_default(config->register_interval_ms, 180000);
    config->reconnect_min_ms = gmpunchi_or_default(config->reconnect_min_ms, 1000);
    config->reconnect_max_ms = gmpunchi_or_default(config->reconnect_max_ms, 60000);
    config->keepalive_interval_ms = gmpunchi_or_default(config->keepalive_interval_ms, 15000);
    config->ping_interval_ms = gmpunchi_or_default(config->ping_interval_ms, 60000);
    config->knock_interval_ms = gmpunchi_or_default(config->knock_interval_ms, 50);
    config->introduction_timeout_ms = gmpunchi_or_default(config->introduction_timeout_ms, 15000);
    config->peer_timeout_ms = gmpunchi_or_default(config->peer_timeout_ms, 45000);
    config->idle_timeout_ms = gmpunchi_or_default(config->idle_timeout_ms, 300000);
    config->kick_ms = gmpunchi_or_default(config->kick_ms, 60000);
    config->max_peers = gmpunchi_or_default(config->max_peers, 64);
    config->max_introductions = gmpunchi_or_default(config->max_introductions, 64);
    config->max_introductions_per_ip = gmpunchi_or_default(config->max_introductions_per_ip, 32);
    config->max_knocks_per_second = gmpunchi_or_default(config->max_knocks_per_second, 200);
    config->max_direct_peers = gmpunchi_or_default(config->max_direct_peers, config->max_peers);
    config->max_direct_peers_per_ip = gmpunchi_or_default(config->max_direct_peers_per_ip, 16);
    config->unconfirmed_ms = gmpunchi_or_default(config->unconfirmed_ms, 10000);
    config->max_packet = gmpunchi_or_default(config->max_packet, GMPUNCHI_MAX_PACKET_DEFAULT);
    if (!config->seed) config->seed = 1;
    if (config->max_packet > GMPUNCH_MAX_PACKET || config->max_peers > 65535 || config->max_introductions > 65535 ||
        config->data_capacity < GMPUNCH_DATA_STRINGS || config->data_capacity > 32768 ||
        config->reconnect_min_ms > config->reconnect_max_ms || config->reconnect_max_ms == GMPUNCH_NEVER ||
        config->socket_mode > GMPUNCH_SOCKET_SEND_ONLY || config->knock_rules > GMPUNCHI_KNOCK_RULES ||
        config->max_direct_peers > 65535 || config->max_direct_peers_per_ip > 65535)
        return GMPUNCH_ERR_CONFIG;
    return GMPUNCH_OK;
}

GMPUNCHI_FN void gmpunchi_ring_layout(gmpunchi_ring *ring, gmpunchi_arena *arena, uint32_t slots) {
    ring->size = slots;
    ring->slot = (uint16_t *)gmpunchi_arena_take(arena, slots * sizeof *ring->slot);
}

GMPUNCHI_FN void gmpunchi_map_layout(gmpunchi_map *map, gmpunchi_arena *arena, uint32_t slots) {
    map->mask = gmpunchi_map_buckets(slots) - 1;
    map->bucket = (uint32_t *)gmpunchi_arena_take(arena, ((size_t)map->mask + 1) * sizeof *map->bucket);
    map->next = (uint32_t *)gmpunchi_arena_take(arena, slots * sizeof *map->next);
    if (map->bucket) gmpunchi_map_clear(map);
}

/* Lays out a host and `extra` bytes behind it. */
GMPUNCHI_FN gmpunch_host *gmpunchi_host_layout(gmpunchi_arena *arena, const gmpunch_host_config *config, size_t extra,
                                               void **extra_memory) {
    gmpunch_host *host = (gmpunch_host *)gmpunchi_arena_take(arena, sizeof(gmpunch_host));
    gmpunch_host sizing;
    gmpunch_host *to = host;
    memset(&sizing, 0, sizeof sizing);
    if (!to) to = &sizing;
    to->peer = (gmpunchi_peer *)gmpunchi_arena_take(arena, config->max_peers * sizeof *to->peer);
    gmpunchi_map_layout(&to->peer_map, arena, config->max_peers);
    gmpunchi_map_layout(&to->direct_map, arena, config->max_peers);
    gmpunchi_ring_layout(&to->peer_ready, arena, config->max_peers);
    to->introduction =
        (gmpunchi_introduction *)gmpunchi_arena_take(arena, config->max_introductions * sizeof *to->introduction);
    gmpunchi_map_layout(&to->introduction_map, arena, config->max_introductions);
    gmpunchi_ring_layout(&to->introduction_ready, arena, config->max_introductions);
    /* JOINED and LEFT of each peer, INTRODUCED and EXPIRED of each introduction can wait to be read */
    to->event_places = 2 * config->max_peers + 2 * config->max_introductions + GMPUNCHI_HOST_EVENTS;
    to->event = (gmpunchi_host_event *)gmpunchi_arena_take(arena, to->event_places * sizeof *to->event);
    to->data_packet = (uint8_t *)gmpunchi_arena_take(arena, GMPUNCHI_DATA_OFFSET + config->data_capacity);
    to->uplink.out = (uint8_t *)gmpunchi_arena_take(arena, config->data_capacity + GMPUNCHI_REGISTRATION_ROOM);
    *extra_memory = gmpunchi_arena_take(arena, extra);
    return host;
}

GMPUNCHI_FN int32_t gmpunchi_host_make(const gmpunch_host_config *given, uint64_t now, const gmpunchi_resolved *resolved,
                                       size_t extra, void **extra_memory, gmpunch_host **out) {
    gmpunch_host_config config;
    gmpunch_allocator allocator;
    gmpunchi_arena arena = {NULL, 0};
    const char *no_data[GMPUNCH_DATA_STRINGS] = {NULL};
    gmpunch_buffer data;
    gmpunch_host *host;
    void *block;
    int32_t result;
    uint32_t i;
    if (!out) return GMPUNCH_ERR_ARGUMENT;
    *out = NULL;
    result = gmpunchi_host_configure(given, &config);
    if (result) return result;
    if (!gmpunchi_allocator_resolve(&config.allocator, &allocator) && !config.memory) return GMPUNCH_ERR_CONFIG;
    gmpunchi_host_layout(&arena, &config, extra, extra_memory);
    result = gmpunchi_block_get(arena.used, config.memory, config.memory_size, &allocator, &block);
    if (result) return result;
    arena.base = (uint8_t *)block;
    arena.used = 0;
    host = gmpunchi_host_layout(&arena, &config, extra, extra_memory);
    host->object.allocator = allocator;
    host->object.block_size = config.memory ? 0 : arena.used;
    host->object.log = config.log;
    host->object.log_user = config.log_user;
    host->object.random = config.seed;
    host->object.now = now;
    host->config = config;
    host->config.master = host->config.bind_address = NULL;
    if (!config.bind_address || gmpunch_address_parse(config.bind_address, config.bind_port, &host->self))
        host->self.port = config.bind_port;
    memset(host->config.data, 0, sizeof host->config.data);
    host->key[0] = gmpunchi_random(&host->object);
    host->key[1] = gmpunchi_random(&host->object);
    host->reconnect_pause = config.reconnect_min_ms;
    host->uplink.moment_ms = GMPUNCHI_HOST_MOMENT_MS;
    host->open_at = host->reg2_at = host->ping_at = host->keepalive_at = GMPUNCHI_TIME_NEVER;
    host->knock_at = host->sweep_at = host->register_at = GMPUNCHI_TIME_NEVER;
    host->peer_free = host->introduction_free = GMPUNCHI_NONE;
    GMPUNCH_ASSERT(host->peer);
    for (i = config.max_peers; i-- > 0;) {
        host->peer[i].generation = 0xffff; /* the first peer is number 1 */
        host->peer[i].next = (uint16_t)(host->peer_free + 1);
        host->peer_free = i;
    }
    host->free = config.max_peers;
    gmpunchi_list_init(&host->unconfirmed[0]);
    gmpunchi_list_init(&host->unconfirmed[1]);
    for (i = config.max_introductions; i-- > 0;) gmpunchi_host_introduction_give(host, i);
    gmpunch_buffer_init(&data, host->data_packet + GMPUNCH_DATAGRAM_HEADER_SIZE, 1 + (size_t)config.data_capacity, 1);
    gmpunchi_encode_data(&data, no_data);
    host->data = (char *)host->data_packet + GMPUNCHI_DATA_OFFSET;
    host->data_used = (uint32_t)data.used - 1;
    for (i = 0; i < GMPUNCH_DATA_STRINGS && !result; i++) result = gmpunch_host_set_data(host, i + 1, config.data[i]);
    if (!result)
        result = gmpunchi_uplink_init(&host->uplink, config.master, host->uplink.out,
                                      config.data_capacity + GMPUNCHI_REGISTRATION_ROOM);
    if (result) {
        gmpunchi_object_free(&host->object);
        return result == GMPUNCH_ERR_ARGUMENT ? GMPUNCH_ERR_CONFIG : result;
    }
    if (resolved && resolved->resolved) gmpunchi_uplink_set(&host->uplink, resolved->master, resolved->count, 4);
    if (host->uplink.count) gmpunchi_host_register(host);
    else if (resolved && resolved->resolved) gmpunchi_host_unregistered(host, GMPUNCH_REASON_RESOLVE_FAILED);
    else if (host->uplink.name[0]) gmpunchi_host_push(host, GMPUNCH_EVENT_RESOLVE, GMPUNCH_REASON_NONE, GMPUNCHI_NONE);
    *out = host;
    return GMPUNCH_OK;
}

int32_t gmpunch_host_create(const gmpunch_host_config *config, uint64_t now, gmpunch_host **host) {
    void *none;
    return gmpunchi_host_make(config, now, NULL, 0, &none, host);
}

/* ---- input ---- */

int32_t gmpunch_host_set_master(gmpunch_host *host, uint64_t now, const gmpunch_address *addresses, uint32_t count) {
    if (!host || (!addresses && count)) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&host->object, now);
    if (!host->uplink.port) return GMPUNCH_ERR_STATE; /* without a master */
    gmpunchi_uplink_set(&host->uplink, addresses, count, 4);
    if (host->uplink.state != GMPUNCHI_UPLINK_CLOSED) return GMPUNCH_OK; /* for the next time */
    if (host->uplink.count) gmpunchi_host_register(host);
    else gmpunchi_host_unregistered(host, GMPUNCH_REASON_RESOLVE_FAILED);
    return GMPUNCH_OK;
}

/* A datagram of a connected peer. */
GMPUNCHI_FN int32_t gmpunchi_host_input_peer(gmpunch_host *host, uint32_t slot, uint8_t id, int32_t raw,
                                             uint32_t socket_index) {
    gmpunchi_peer *peer = &host->peer[slot];
    uint64_t now = host->object.now;
    peer->live.heard_at = now;
    peer->raw = (uint8_t)raw;
    peer->socket_index = (uint8_t)socket_index;
    if (peer->unconfirmed && (id != GMPUNCHI_ID_KNOCK || now >= peer->live.since + GMPUNCHI_FIRST_PROBE_MS)) {
        gmpunchi_host_peer_confirmed(host, slot);
        if (peer->direct) gmpunchi_liveness_restart(&peer->live, now);
        gmpunchi_host_sweep_by(host, gmpunchi_peer_due(host, peer));
    }
    if (id == GMPUNCHI_ID_KNOCK) {
        host->stats.knocks_heard++;
        gmpunchi_host_peer_mark(host, slot, GMPUNCHI_DUE_WELCOME);
        if (peer->live.knocks < UINT8_MAX) peer->live.knocks++;
        return GMPUNCH_CONSUMED;
    }
    if (id == GMPUNCHI_ID_DATA_REQUEST) {
        if (now < peer->live.since + peer->live.data_wait_ms) return GMPUNCH_CONSUMED;
        peer->live.data_wait_ms = (uint32_t)(now - peer->live.since) + GMPUNCHI_DATA_ANSWER_PAUSE_MS;
        if (!peer->direct ||
            gmpunchi_rate_take(&host->data_rate, now, GMPUNCHI_DATA_DIRECT_PER_SECOND, GMPUNCHI_DATA_DIRECT_AT_ONCE))
            gmpunchi_host_peer_mark(host, slot, GMPUNCHI_DUE_DATA);
        else host->stats.data_held++;
        return GMPUNCH_CONSUMED;
    }
    return GMPUNCH_NOT_MINE;
}

int32_t gmpunch_host_input_udp(gmpunch_host *host, uint64_t now, const gmpunch_address *from, uint32_t socket_index,
                               const uint8_t *data, size_t len) {
    gmpunch_address sender;
    const uint8_t *payload;
    size_t payload_len;
    uint32_t slot;
    int32_t raw;
    uint8_t id;
    if (!host || !from || (!data && len) || socket_index > 255) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&host->object, now);
    sender = *from;
    gmpunchi_address_normalize(&sender);
    if (gmpunchi_decode_datagram(data, len, &payload, &payload_len, &raw)) {
        host->stats.malformed++;
        return GMPUNCH_CONSUMED;
    }
    id = gmpunchi_decode_id(payload, payload_len);
    slot = gmpunchi_host_find(host, &sender);
    if (slot != GMPUNCHI_NONE && host->peer[slot].state == GMPUNCHI_PEER_CONNECTED)
        return gmpunchi_host_input_peer(host, slot, id, raw, socket_index);
    if (id == GMPUNCHI_ID_DATA_REQUEST) {
        host->stats.strangers++;
        return GMPUNCH_CONSUMED;
    }
    if (id != GMPUNCHI_ID_KNOCK) return GMPUNCH_NOT_MINE;
    host->stats.knocks_heard++;
    if (slot != GMPUNCHI_NONE && host->object.now >= host->peer[slot].live.since) { /* the time of a kick is over */
        gmpunchi_host_peer_unmap(host, slot);
        slot = GMPUNCHI_NONE;
    }
    if (slot != GMPUNCHI_NONE) host->stats.refused_kicked++;
    else gmpunchi_host_newcomer(host, &sender, socket_index, raw);
    return GMPUNCH_CONSUMED;
}

int32_t gmpunch_host_tcp_opened(gmpunch_host *host, uint64_t now, uint32_t connection) {
    if (!host) return GMPUNCH_ERR_ARGUMENT;
    now = gmpunchi_advance(&host->object, now);
    if (!gmpunchi_uplink_is(&host->uplink, connection)) return GMPUNCH_ERR_CONNECTION;
    if (host->uplink.state == GMPUNCHI_UPLINK_OPEN) return GMPUNCH_ERR_STATE;
    host->uplink.state = GMPUNCHI_UPLINK_OPEN;
    host->open_at = GMPUNCHI_TIME_NEVER;
    host->opened_at = now;
    host->ping_at = gmpunchi_after(now, host->config.ping_interval_ms);
    host->keepalive_at = gmpunchi_after(now, host->config.keepalive_interval_ms);
    host->register_pause = host->config.register_interval_ms < GMPUNCHI_REGISTER_PAUSE_MS ? host->config.register_interval_ms
                                                                                          : GMPUNCHI_REGISTER_PAUSE_MS;
    gmpunchi_host_register_tcp(host);
    host->stats.registered = 1;
    gmpunchi_host_push(host, GMPUNCH_EVENT_REGISTERED, GMPUNCH_REASON_NONE, GMPUNCHI_NONE);
    gmpunchi_log(&host->object, GMPUNCH_LOG_INFO, GMPUNCH_LOG_ITEM_MASTER, "registered with", &host->uplink.to);
    return GMPUNCH_OK;
}

GMPUNCHI_FN void gmpunchi_host_answered(gmpunch_host *host, int32_t answer) {
    if (answer == GMPUNCHI_ANSWER_PORTLESS || answer == GMPUNCHI_ANSWER_MALFORMED) host->stats.malformed++;
    if (answer == GMPUNCHI_ANSWER_FOUND || answer == GMPUNCHI_ANSWER_PORTLESS) {
        gmpunchi_log(&host->object, GMPUNCH_LOG_INFO, GMPUNCH_LOG_ITEM_INTRODUCTION, "introduced to",
                     &host->uplink.answer.address);
        gmpunchi_host_introduce(host, &host->uplink.answer.address);
    }
}

int32_t gmpunch_host_tcp_data(gmpunch_host *host, uint64_t now, uint32_t connection, const uint8_t *data, size_t len) {
    size_t used;
    if (!host || (!data && len)) return GMPUNCH_ERR_ARGUMENT;
    now = gmpunchi_advance(&host->object, now);
    if (!gmpunchi_uplink_is(&host->uplink, connection)) return GMPUNCH_ERR_CONNECTION;
    while (len) {
        gmpunchi_host_answered(host, gmpunchi_uplink_read(&host->uplink, now, data, len, &used));
        data += used;
        len -= used;
    }
    /* no waiting without need: where the client's knock comes first, a Linux router gives the host another port */
    if (host->uplink.answer_at != GMPUNCHI_TIME_NEVER && host->uplink.answer.port > GMPUNCHI_PORT_OPEN_MAX)
        host->uplink.answer_at = now;
    return GMPUNCH_OK;
}

int32_t gmpunch_host_tcp_closed(gmpunch_host *host, uint64_t now, uint32_t connection, int32_t os_error) {
    int32_t was_open;
    if (!host) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&host->object, now);
    if (!gmpunchi_uplink_is(&host->uplink, connection)) return GMPUNCH_ERR_CONNECTION;
    if (os_error) host->object.os_error = os_error;
    was_open = host->uplink.state == GMPUNCHI_UPLINK_OPEN;
    gmpunchi_host_answered(host, gmpunchi_uplink_read_end(&host->uplink));
    host->uplink.state = GMPUNCHI_UPLINK_CLOSED; /* it is closed already: nothing to transmit */
    gmpunchi_host_unregistered(host, was_open ? GMPUNCH_REASON_MASTER_CLOSED : GMPUNCH_REASON_MASTER_UNREACHABLE);
    return GMPUNCH_OK;
}

int32_t gmpunch_host_tcp_sent(gmpunch_host *host, uint32_t connection, size_t taken) {
    int32_t result;
    if (!host) return GMPUNCH_ERR_ARGUMENT;
    result = gmpunchi_uplink_sent(&host->uplink, connection, taken);
    if (!result && host->uplink.blocked) host->full_at = host->object.now;
    return result;
}

int32_t gmpunch_host_tcp_writable(gmpunch_host *host, uint64_t now, uint32_t connection) {
    if (!host) return GMPUNCH_ERR_ARGUMENT;
    now = gmpunchi_advance(&host->object, now);
    if (!gmpunchi_uplink_is(&host->uplink, connection)) return GMPUNCH_ERR_CONNECTION;
    if (host->uplink.blocked && now >= host->full_at + GMPUNCHI_STALL_MS)
        gmpunchi_host_unregistered(host, GMPUNCH_REASON_MASTER_SILENT);
    host->uplink.blocked = 0;
    return GMPUNCH_OK;
}

/* ---- time ---- */

GMPUNCHI_FN void gmpunchi_host_tick_uplink(gmpunch_host *host, uint64_t now) {
    gmpunch_buffer out;
    if (now >= host->uplink.answer_at) gmpunchi_host_answered(host, gmpunchi_uplink_read_end(&host->uplink));
    if (now >= host->open_at) gmpunchi_host_unregistered(host, GMPUNCH_REASON_MASTER_UNREACHABLE);
    if (now >= host->register_at) {
        if (host->uplink.count) gmpunchi_host_register(host);
        else gmpunchi_host_unregistered(host, GMPUNCH_REASON_RESOLVE_FAILED);
    }
    if (now >= host->reg2_at) {
        host->reg2_at = GMPUNCHI_TIME_NEVER;
        gmpunchi_host_queue_registration(host);
    }
    if (now >= host->ping_at) {
        gmpunchi_uplink_begin(&host->uplink, &out);
        gmpunchi_encode_ping(&out);
        gmpunchi_uplink_queued(&host->uplink, &out); /* no room: what waits there is a sign of life as good */
        host->ping_at = gmpunchi_after(now, host->config.ping_interval_ms);
    }
    if (now >= host->keepalive_at) {
        host->keepalive_due = 1;
        host->keepalive_at = gmpunchi_after(now, host->config.keepalive_interval_ms);
    }
}

int32_t gmpunch_host_tick(gmpunch_host *host, uint64_t now) {
    uint32_t i;
    if (!host) return GMPUNCH_ERR_ARGUMENT;
    now = gmpunchi_advance(&host->object, now);
    gmpunchi_host_tick_uplink(host, now);
    if (now >= host->sweep_at) gmpunchi_host_sweep(host);
    if (now >= host->knock_at) {
        for (i = 0; i < host->config.max_introductions; i++) {
            if (!host->introduction[i].knocking) continue;
            if (host->introduction[i].due) host->stats.knocks_held++; /* the one before did not leave yet */
            gmpunchi_host_introduction_due(host, i);
        }
        host->knock_at = gmpunchi_after(now, host->config.knock_interval_ms);
    }
    return GMPUNCH_OK;
}

uint64_t gmpunch_host_next_deadline(const gmpunch_host *host) {
    uint64_t due;
    if (!host) return GMPUNCHI_TIME_NEVER;
    due = gmpunchi_earlier(host->register_at, gmpunchi_earlier(host->reg2_at, host->open_at));
    due = gmpunchi_earlier(due, gmpunchi_earlier(host->ping_at, host->keepalive_at));
    due = gmpunchi_earlier(due, gmpunchi_earlier(host->knock_at, host->sweep_at));
    return gmpunchi_earlier(due, host->uplink.answer_at);
}

/* ---- output ---- */

GMPUNCHI_FN void gmpunchi_host_transmit_peer(gmpunch_host *host, uint32_t slot, gmpunch_transmit *transmit) {
    gmpunchi_peer *peer = &host->peer[slot];
    uint8_t due = peer->due & GMPUNCHI_DUE_WELCOME ? GMPUNCHI_DUE_WELCOME
                  : peer->due & GMPUNCHI_DUE_KNOCK ? GMPUNCHI_DUE_KNOCK
                                                   : GMPUNCHI_DUE_DATA;
    peer->due = (uint8_t)(peer->due & ~due);
    if (peer->due) gmpunchi_ring_put(&host->peer_ready, slot);
    peer->live.sent_at = host->object.now;
    if (due == GMPUNCHI_DUE_DATA) {
        host->stats.data_sent++;
        gmpunchi_transmit_udp(transmit, host->data_packet, 1 + host->data_used, peer->raw, &peer->address,
                              peer->socket_index);
        return;
    }
    if (due == GMPUNCHI_DUE_WELCOME) host->stats.welcomes_sent++;
    gmpunchi_transmit_id(transmit, host->scratch, due == GMPUNCHI_DUE_WELCOME ? GMPUNCHI_ID_WELCOME : GMPUNCHI_ID_KNOCK,
                         peer->raw, &peer->address, peer->socket_index);
}

int32_t gmpunch_host_next_transmit(gmpunch_host *host, gmpunch_transmit *transmit) {
    uint32_t slot;
    if (!host || !transmit) return GMPUNCH_ERR_ARGUMENT;
    memset(transmit, 0, sizeof *transmit);
    if (host->reg_due || host->keepalive_due) {
        /* an unknown word keeps the mapping: "reg" would hide the host from the deployed master's lobby for a while */
        const char *line = host->reg_due ? "reg" : "ping";
        host->reg_due = host->keepalive_due = 0;
        gmpunchi_transmit_line(transmit, host->scratch, line, &host->uplink.to, 0);
        return 1;
    }
    while (host->peer_ready.count) {
        slot = gmpunchi_ring_get(&host->peer_ready);
        if (host->peer[slot].state == GMPUNCHI_PEER_CONNECTED) {
            gmpunchi_host_transmit_peer(host, slot, transmit);
            return 1;
        }
        host->peer[slot].due = 0; /* gone since */
        gmpunchi_host_peer_give(host, slot);
    }
    while (host->introduction_ready.count) {
        slot = host->introduction_ready.slot[host->introduction_ready.first];
        if (host->introduction[slot].knocking &&
            !gmpunchi_rate_take(&host->knock_rate, host->object.now, host->config.max_knocks_per_second,
                                (uint64_t)host->config.max_knocks_per_second * GMPUNCHI_KNOCKS_AT_ONCE))
            break; /* they go on from here, in turn */
        gmpunchi_ring_get(&host->introduction_ready);
        host->introduction[slot].due = 0;
        if (!host->introduction[slot].knocking) {
            gmpunchi_host_introduction_give(host, slot);
            continue;
        }
        host->stats.knocks_sent++;
        gmpunchi_transmit_id(transmit, host->scratch, GMPUNCHI_ID_KNOCK, host->config.raw, &host->introduction[slot].address,
                             0);
        return 1;
    }
    return gmpunchi_uplink_transmit(&host->uplink, transmit);
}

int32_t gmpunch_host_next_event(gmpunch_host *host, gmpunch_event *event) {
    gmpunchi_host_event entry;
    if (!host || !event) return GMPUNCH_ERR_ARGUMENT;
    memset(event, 0, sizeof *event);
    if (!host->events) return 0;
    entry = host->event[host->event_first];
    host->event_first = (host->event_first + 1) % host->event_places;
    host->events--;
    event->type = entry.type;
    event->reason = entry.reason;
    event->os_error = host->object.os_error;
    switch (entry.type) {
    case GMPUNCH_EVENT_JOINED:
    case GMPUNCH_EVENT_LEFT:
        event->peer = gmpunchi_peer_id(host, entry.slot);
        event->address = host->peer[entry.slot].address;
        event->how = host->peer[entry.slot].how;
        event->socket_index = host->peer[entry.slot].socket_index;
        if (entry.type == GMPUNCH_EVENT_LEFT) {
            host->peer[entry.slot].left_pending = 0;
            gmpunchi_host_peer_give(host, entry.slot);
        }
        break;
    case GMPUNCH_EVENT_INTRODUCED:
    case GMPUNCH_EVENT_INTRODUCTION_EXPIRED:
        event->address = host->introduction[entry.slot].address;
        host->introduction[entry.slot].pending--;
        gmpunchi_host_introduction_give(host, entry.slot);
        break;
    default: event->address = host->uplink.to;
    }
    return 1;
}

uint32_t gmpunch_host_find_peer(const gmpunch_host *host, const gmpunch_address *address) {
    gmpunch_address normal;
    uint32_t slot;
    if (!host || !address) return 0;
    normal = *address;
    gmpunchi_address_normalize(&normal);
    slot = gmpunchi_host_find(host, &normal);
    return slot == GMPUNCHI_NONE || host->peer[slot].state != GMPUNCHI_PEER_CONNECTED ? 0 : gmpunchi_peer_id(host, slot);
}

GMPUNCHI_FN uint32_t gmpunchi_host_peer_flags(const gmpunch_host *host, const gmpunchi_peer *peer) {
    return (peer->raw ? (uint32_t)GMPUNCH_DATAGRAM_RAW : 0u) |
           (host->config.escape ? (uint32_t)GMPUNCH_DATAGRAM_ESCAPE : 0u);
}

int32_t gmpunch_host_peer_info(const gmpunch_host *host, uint32_t peer, gmpunch_peer_info *info) {
    gmpunch_peer_info ours;
    const gmpunchi_peer *found;
    uint32_t slot;
    if (!host || !info) return GMPUNCH_ERR_ARGUMENT;
    slot = gmpunchi_peer_slot(host, peer);
    if (slot == GMPUNCHI_NONE) return GMPUNCH_ERR_PEER;
    found = &host->peer[slot];
    memset(&ours, 0, sizeof ours);
    ours.peer = peer;
    ours.address = found->address;
    ours.how = found->how;
    ours.flags = gmpunchi_host_peer_flags(host, found);
    ours.answers = found->live.answers;
    ours.socket_index = found->socket_index;
    ours.connected_ms = (uint32_t)(host->object.now - found->live.since);
    ours.silent_ms = (uint32_t)(host->object.now - found->live.heard_at);
    ours.confirmed = !found->unconfirmed;
    return gmpunchi_struct_out(info, &ours, sizeof ours);
}

int32_t gmpunch_host_peers(const gmpunch_host *host, uint32_t *peers, uint32_t capacity) {
    uint32_t i, count = 0;
    if (!host || (!peers && capacity)) return GMPUNCH_ERR_ARGUMENT;
    for (i = 0; i < host->config.max_peers; i++) {
        if (host->peer[i].state != GMPUNCHI_PEER_CONNECTED) continue;
        if (count < capacity) peers[count] = gmpunchi_peer_id(host, i);
        count++;
    }
    return (int32_t)count;
}

int32_t gmpunch_host_get_stats(const gmpunch_host *host, gmpunch_host_stats *stats) {
    return host ? gmpunchi_struct_out(stats, &host->stats, sizeof *stats) : GMPUNCH_ERR_ARGUMENT;
}

/* >>lobby ============================================================================================================== */

#define GMPUNCHI_LOBBY_SKIP 16777216u /* bytes of an entry that is passed over; a longer one ends the list */

/* The list around the entries, read byte by byte: an entry is decoded once, when it is whole. */
enum {
    GMPUNCHI_SCAN_ID,          /* F9 comes next */
    GMPUNCHI_SCAN_OPEN,        /* the bracket of the list */
    GMPUNCHI_SCAN_FIRST,       /* an entry, or the end */
    GMPUNCHI_SCAN_AFTER_ENTRY, /* a comma, or the end */
    GMPUNCHI_SCAN_AFTER_COMMA, /* an entry */
    GMPUNCHI_SCAN_INSIDE       /* of an entry */
};
typedef struct gmpunchi_lobby_scan {
    uint32_t depth; /* of brackets inside an entry */
    uint8_t at;
    uint8_t in_string;
    uint8_t escaped;
    uint8_t reserved;
} gmpunchi_lobby_scan;

/* What a byte is. */
enum { GMPUNCHI_SCAN_SPACE, GMPUNCHI_SCAN_PART, GMPUNCHI_SCAN_ENTRY_END, GMPUNCHI_SCAN_LIST_END, GMPUNCHI_SCAN_MALFORMED };

struct gmpunch_lobby {
    gmpunchi_object object;
    gmpunch_lobby_config config; /* with defaults filled in; its texts are not kept */
    gmpunch_lobby_stats stats;
    gmpunchi_uplink uplink; /* its out is the request, whole */
    uint32_t request_len;
    uint64_t opened_at;
    uint64_t silent_at;  /* when the master has been silent for too long */
    uint64_t give_up_at; /* the whole is given up, */
    uint64_t held_at;    /* but not for the application's time: since then it has an entry to read, and more has come */
    uint8_t *in;         /* of one entry, what was read; max_entry bytes */
    uint32_t in_len;
    uint32_t skipped; /* bytes of an entry that is too long, 0: none */
    gmpunchi_lobby_scan scan;
    int32_t state; /* GMPUNCHI_LOBBY_ of the list */
    gmpunchi_lobby_entry entry;
    uint8_t *strings; /* of the entry, as gmpunchi_encode_data wrote them */
    uint32_t strings_len;
    uint8_t ready;   /* the entry is whole and was not read yet */
    uint8_t fetched; /* an entry was read since silent_at was set */
    uint8_t resolve; /* GMPUNCH_EVENT_RESOLVE is to be read */
    uint8_t ended;
    uint8_t told; /* the last event was read */
    uint8_t reserved[3];
    int32_t reason;
};

/* Outside of entries only what a list has there is allowed: endless nonsense ends at once. */
GMPUNCHI_FN int32_t gmpunchi_lobby_scan_byte(gmpunchi_lobby_scan *scan, uint8_t byte) {
    if (scan->in_string) {
        if (scan->escaped) scan->escaped = 0;
        else if (byte == '\\') scan->escaped = 1;
        else if (byte == '"') scan->in_string = 0;
        return GMPUNCHI_SCAN_PART;
    }
    if (scan->at == GMPUNCHI_SCAN_INSIDE) {
        if (byte == '"') scan->in_string = 1;
        else if (byte == '{' || byte == '[') scan->depth++;
        else if ((byte == '}' || byte == ']') && --scan->depth == 0) {
            scan->at = GMPUNCHI_SCAN_AFTER_ENTRY;
            return GMPUNCHI_SCAN_ENTRY_END;
        }
        return GMPUNCHI_SCAN_PART;
    }
    if (scan->at == GMPUNCHI_SCAN_ID) {
        scan->at = GMPUNCHI_SCAN_OPEN;
        return byte == GMPUNCHI_ID_LOBBY ? GMPUNCHI_SCAN_PART : GMPUNCHI_SCAN_MALFORMED;
    }
    if (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r') return GMPUNCHI_SCAN_SPACE;
    if (scan->at == GMPUNCHI_SCAN_OPEN && byte == '[') {
        scan->at = GMPUNCHI_SCAN_FIRST;
        return GMPUNCHI_SCAN_PART;
    }
    if ((scan->at == GMPUNCHI_SCAN_FIRST || scan->at == GMPUNCHI_SCAN_AFTER_COMMA) && byte == '{') {
        scan->at = GMPUNCHI_SCAN_INSIDE;
        scan->depth = 1;
        return GMPUNCHI_SCAN_PART;
    }
    if ((scan->at == GMPUNCHI_SCAN_FIRST || scan->at == GMPUNCHI_SCAN_AFTER_ENTRY) && byte == ']')
        return GMPUNCHI_SCAN_LIST_END;
    if (scan->at != GMPUNCHI_SCAN_AFTER_ENTRY || byte != ',') return GMPUNCHI_SCAN_MALFORMED;
    scan->at = GMPUNCHI_SCAN_AFTER_COMMA;
    return GMPUNCHI_SCAN_PART;
}

GMPUNCHI_FN void gmpunchi_lobby_end(gmpunch_lobby *lobby, int32_t reason) {
    gmpunchi_uplink_close(&lobby->uplink);
    lobby->ended = 1;
    lobby->reason = reason;
    lobby->silent_at = lobby->give_up_at = GMPUNCHI_TIME_NEVER;
    gmpunchi_log(&lobby->object, reason ? GMPUNCH_LOG_WARNING : GMPUNCH_LOG_INFO, GMPUNCH_LOG_ITEM_STAGE,
                 reason ? gmpunch_reason_name(reason) : "lobby list complete", &lobby->uplink.to);
}

GMPUNCHI_FN void gmpunchi_lobby_heard(gmpunch_lobby *lobby) {
    lobby->silent_at = gmpunchi_after(lobby->object.now, lobby->config.timeout_ms);
    lobby->fetched = 0;
}

GMPUNCHI_FN void gmpunchi_lobby_attempt(gmpunch_lobby *lobby) {
    lobby->stats.master_attempts++;
    gmpunchi_uplink_open(&lobby->uplink);
    gmpunchi_lobby_heard(lobby);
}

/* The attempt failed: at the next address, as long as no answer has begun. */
GMPUNCHI_FN void gmpunchi_lobby_attempt_failed(gmpunch_lobby *lobby, int32_t reason) {
    if (!lobby->stats.bytes && lobby->uplink.current + 1 < lobby->uplink.count) {
        lobby->uplink.current++;
        gmpunchi_lobby_attempt(lobby);
    } else {
        gmpunchi_lobby_end(lobby, reason);
    }
}

/* ---- creation ---- */

GMPUNCHI_FN int32_t gmpunchi_lobby_configure(const gmpunch_lobby_config *given, gmpunch_lobby_config *config) {
    int32_t result = gmpunchi_struct_in(config, given, sizeof *config);
    uint32_t i;
    if (result) return result;
    config->struct_size = (uint32_t)sizeof *config;
    config->timeout_ms = gmpunchi_or_default(config->timeout_ms, 10000);
    config->max_entry = gmpunchi_or_default(config->max_entry, 65536);
    config->max_entries = gmpunchi_or_default(config->max_entries, 1000000);
    config->max_bytes = gmpunchi_or_default(config->max_bytes, 268435456);
    config->total_timeout_ms = gmpunchi_or_default(config->total_timeout_ms, 600000);
    if (config->sort_by > GMPUNCH_DATA_STRINGS || config->max_entry < 1024 || config->max_entry > GMPUNCHI_LOBBY_SKIP)
        return GMPUNCH_ERR_CONFIG;
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) {
        if (!config->filter[i]) config->filter[i] = "";
        if (strlen(config->filter[i]) > 65536 || gmpunchi_has_control(config->filter[i])) return GMPUNCH_ERR_CONFIG;
    }
    return GMPUNCH_OK;
}

#define GMPUNCHI_LOBBY_REQUEST_ROOM 96u /* bytes around the filters */

GMPUNCHI_FN size_t gmpunchi_lobby_request_size(const gmpunch_lobby_config *config) {
    size_t size = GMPUNCHI_LOBBY_REQUEST_ROOM;
    uint32_t i;
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) size += strlen(config->filter[i]);
    return size;
}

/* Lays out a lobby and `extra` bytes behind it. */
GMPUNCHI_FN gmpunch_lobby *gmpunchi_lobby_layout(gmpunchi_arena *arena, const gmpunch_lobby_config *config, size_t extra,
                                                 void **extra_memory) {
    gmpunch_lobby *lobby = (gmpunch_lobby *)gmpunchi_arena_take(arena, sizeof(gmpunch_lobby));
    uint8_t *out = (uint8_t *)gmpunchi_arena_take(arena, gmpunchi_lobby_request_size(config));
    uint8_t *in = (uint8_t *)gmpunchi_arena_take(arena, config->max_entry);
    uint8_t *strings = (uint8_t *)gmpunchi_arena_take(arena, config->max_entry);
    *extra_memory = gmpunchi_arena_take(arena, extra);
    if (lobby) {
        lobby->uplink.out = out;
        lobby->in = in;
        lobby->strings = strings;
    }
    return lobby;
}

GMPUNCHI_FN int32_t gmpunchi_lobby_make_object(const gmpunch_lobby_config *given, uint64_t now,
                                               const gmpunchi_resolved *resolved, size_t extra, void **extra_memory,
                                               gmpunch_lobby **out) {
    gmpunch_lobby_config config;
    gmpunch_allocator allocator;
    gmpunchi_arena arena = {NULL, 0};
    gmpunchi_lobby_request request;
    gmpunch_buffer encoded;
    gmpunch_lobby *lobby;
    void *block;
    size_t request_size;
    int32_t result;
    uint32_t i;
    if (!out) return GMPUNCH_ERR_ARGUMENT;
    *out = NULL;
    result = gmpunchi_lobby_configure(given, &config);
    if (result) return result;
    if (!gmpunchi_allocator_resolve(&config.allocator, &allocator) && !config.memory) return GMPUNCH_ERR_CONFIG;
    request_size = gmpunchi_lobby_request_size(&config);
    gmpunchi_lobby_layout(&arena, &config, extra, extra_memory);
    result = gmpunchi_block_get(arena.used, config.memory, config.memory_size, &allocator, &block);
    if (result) return result;
    arena.base = (uint8_t *)block;
    arena.used = 0;
    lobby = gmpunchi_lobby_layout(&arena, &config, extra, extra_memory);
    lobby->object.allocator = allocator;
    lobby->object.block_size = config.memory ? 0 : arena.used;
    lobby->object.log = config.log;
    lobby->object.log_user = config.log_user;
    lobby->object.now = lobby->opened_at = now;
    result = config.master ? gmpunchi_uplink_init(&lobby->uplink, config.master, lobby->uplink.out, (uint32_t)request_size)
                           : GMPUNCH_ERR_CONFIG;
    if (result) {
        gmpunchi_object_free(&lobby->object);
        return result;
    }
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) request.filter[i] = config.filter[i];
    request.sort_by = config.sort_by;
    request.descending = config.descending != 0;
    request.limit = config.limit == 0 ? UINT64_MAX : config.limit == GMPUNCH_LIMIT_NONE ? 0 : config.limit;
    gmpunch_buffer_init(&encoded, lobby->uplink.out, request_size, 1);
    gmpunchi_encode_lobby_request(&encoded, &request);
    GMPUNCH_ASSERT(!encoded.error);
    lobby->request_len = (uint32_t)encoded.used;
    lobby->config = config;
    lobby->config.master = lobby->config.bind_address = NULL;
    memset(lobby->config.filter, 0, sizeof lobby->config.filter);
    lobby->silent_at = gmpunchi_after(now, config.timeout_ms);
    lobby->give_up_at = gmpunchi_after(now, config.total_timeout_ms);
    lobby->held_at = GMPUNCHI_TIME_NEVER;
    if (resolved && resolved->resolved) gmpunchi_uplink_set(&lobby->uplink, resolved->master, resolved->count, 4);
    if (lobby->uplink.count) gmpunchi_lobby_attempt(lobby);
    else if (resolved && resolved->resolved) gmpunchi_lobby_end(lobby, GMPUNCH_REASON_RESOLVE_FAILED);
    else lobby->resolve = 1;
    *out = lobby;
    return GMPUNCH_OK;
}

int32_t gmpunch_lobby_create(const gmpunch_lobby_config *config, uint64_t now, gmpunch_lobby **lobby) {
    void *none;
    return gmpunchi_lobby_make_object(config, now, NULL, 0, &none, lobby);
}

/* ---- input ---- */

int32_t gmpunch_lobby_set_master(gmpunch_lobby *lobby, uint64_t now, const gmpunch_address *addresses, uint32_t count) {
    if (!lobby || (!addresses && count)) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&lobby->object, now);
    if (lobby->ended || lobby->stats.bytes) return GMPUNCH_ERR_STATE;
    gmpunchi_uplink_close(&lobby->uplink);
    gmpunchi_uplink_set(&lobby->uplink, addresses, count, 4);
    lobby->resolve = 0;
    if (lobby->uplink.count) gmpunchi_lobby_attempt(lobby);
    else gmpunchi_lobby_end(lobby, GMPUNCH_REASON_RESOLVE_FAILED);
    return GMPUNCH_OK;
}

int32_t gmpunch_lobby_tcp_opened(gmpunch_lobby *lobby, uint64_t now, uint32_t connection) {
    if (!lobby) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&lobby->object, now);
    if (!gmpunchi_uplink_is(&lobby->uplink, connection)) return GMPUNCH_ERR_CONNECTION;
    if (lobby->uplink.state == GMPUNCHI_UPLINK_OPEN) return GMPUNCH_ERR_STATE;
    lobby->uplink.state = GMPUNCHI_UPLINK_OPEN;
    lobby->uplink.out_len = lobby->request_len;
    gmpunchi_lobby_heard(lobby);
    return GMPUNCH_OK;
}

/* An entry is whole. One that is malformed is passed over: it must not hide all others. */
GMPUNCHI_FN void gmpunchi_lobby_whole(gmpunch_lobby *lobby) {
    gmpunch_buffer strings;
    size_t used;
    int32_t result = gmpunchi_decode_lobby(&lobby->state, lobby->in, lobby->in_len, &used, (char *)lobby->in, lobby->in_len,
                                           &lobby->entry);
    lobby->state = GMPUNCHI_LOBBY_MORE;
    if (result < 0) {
        lobby->stats.malformed++;
        gmpunchi_log(&lobby->object, GMPUNCH_LOG_WARNING, GMPUNCH_LOG_ITEM_MALFORMED, "lobby entry passed over", NULL);
    } else {
        gmpunch_buffer_init(&strings, lobby->strings, lobby->config.max_entry, 1);
        gmpunchi_encode_data(&strings, lobby->entry.data); /* shorter than its JSON */
        lobby->strings_len = (uint32_t)strings.used;
        lobby->stats.entries++;
        lobby->ready = 1;
    }
}

GMPUNCHI_FN void gmpunchi_lobby_byte(gmpunch_lobby *lobby, uint8_t byte) {
    int32_t scanned = gmpunchi_lobby_scan_byte(&lobby->scan, byte);
    if (scanned == GMPUNCHI_SCAN_SPACE) return;
    if (scanned == GMPUNCHI_SCAN_MALFORMED || scanned == GMPUNCHI_SCAN_LIST_END) {
        gmpunchi_lobby_end(lobby, scanned == GMPUNCHI_SCAN_LIST_END ? GMPUNCH_REASON_NONE : GMPUNCH_REASON_MASTER_MALFORMED);
        return;
    }
    if (!lobby->skipped && lobby->in_len == lobby->config.max_entry) lobby->skipped = lobby->in_len;
    if (!lobby->skipped) {
        lobby->in[lobby->in_len++] = byte;
    } else if (++lobby->skipped > GMPUNCHI_LOBBY_SKIP) {
        gmpunchi_lobby_end(lobby, GMPUNCH_REASON_LIMIT);
        return;
    }
    if (scanned != GMPUNCHI_SCAN_ENTRY_END) return;
    if (lobby->stats.entries + lobby->stats.malformed + lobby->stats.oversized == lobby->config.max_entries) {
        gmpunchi_lobby_end(lobby, GMPUNCH_REASON_LIMIT);
        return;
    }
    if (!lobby->skipped) {
        gmpunchi_lobby_whole(lobby);
    } else {
        lobby->stats.oversized++;
        lobby->state = GMPUNCHI_LOBBY_MORE;
        gmpunchi_log(&lobby->object, GMPUNCH_LOG_WARNING, GMPUNCH_LOG_ITEM_REFUSED, "lobby entry over max_entry passed over",
                     NULL);
    }
    lobby->skipped = lobby->in_len = 0;
}

/* What the application took to read an entry does not count. */
GMPUNCHI_FN void gmpunchi_lobby_postpone(gmpunch_lobby *lobby) {
    if (lobby->held_at != GMPUNCHI_TIME_NEVER && lobby->give_up_at != GMPUNCHI_TIME_NEVER)
        lobby->give_up_at += lobby->object.now - lobby->held_at;
    lobby->held_at = GMPUNCHI_TIME_NEVER;
}

int32_t gmpunch_lobby_tcp_data(gmpunch_lobby *lobby, uint64_t now, uint32_t connection, const uint8_t *data, size_t len) {
    size_t at;
    if (!lobby || (!data && len)) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&lobby->object, now);
    if (!gmpunchi_uplink_is(&lobby->uplink, connection)) return GMPUNCH_ERR_CONNECTION;
    if (len > 0x7fffffffu) len = 0x7fffffffu;
    gmpunchi_lobby_postpone(lobby);
    for (at = 0; at < len && !lobby->ready && !lobby->ended; at++) {
        if (lobby->stats.bytes++ < lobby->config.max_bytes) gmpunchi_lobby_byte(lobby, data[at]);
        else gmpunchi_lobby_end(lobby, GMPUNCH_REASON_LIMIT);
    }
    if (lobby->ready && at < len) lobby->held_at = lobby->object.now;
    if (at && !lobby->ended) gmpunchi_lobby_heard(lobby);
    return (int32_t)(lobby->ended ? len : at); /* nothing follows the list */
}

int32_t gmpunch_lobby_tcp_closed(gmpunch_lobby *lobby, uint64_t now, uint32_t connection, int32_t os_error) {
    int32_t was_open;
    if (!lobby) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&lobby->object, now);
    if (!gmpunchi_uplink_is(&lobby->uplink, connection)) return GMPUNCH_ERR_CONNECTION;
    if (os_error) lobby->object.os_error = os_error;
    was_open = lobby->uplink.state == GMPUNCHI_UPLINK_OPEN;
    lobby->uplink.state = GMPUNCHI_UPLINK_CLOSED; /* it is closed already: nothing to transmit */
    gmpunchi_lobby_attempt_failed(lobby, was_open ? GMPUNCH_REASON_MASTER_CLOSED : GMPUNCH_REASON_MASTER_UNREACHABLE);
    return GMPUNCH_OK;
}

int32_t gmpunch_lobby_tcp_sent(gmpunch_lobby *lobby, uint32_t connection, size_t taken) {
    return lobby ? gmpunchi_uplink_sent(&lobby->uplink, connection, taken) : GMPUNCH_ERR_ARGUMENT;
}

int32_t gmpunch_lobby_tcp_writable(gmpunch_lobby *lobby, uint64_t now, uint32_t connection) {
    if (!lobby) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&lobby->object, now);
    return gmpunchi_uplink_writable(&lobby->uplink, connection);
}

/* ---- time and output ---- */

int32_t gmpunch_lobby_tick(gmpunch_lobby *lobby, uint64_t now) {
    if (!lobby) return GMPUNCH_ERR_ARGUMENT;
    now = gmpunchi_advance(&lobby->object, now);
    if (lobby->held_at != GMPUNCHI_TIME_NEVER) {
        gmpunchi_lobby_postpone(lobby);
        lobby->held_at = now;
    }
    if (now >= lobby->give_up_at && !lobby->ready) {
        gmpunchi_lobby_end(lobby, GMPUNCH_REASON_LIMIT);
        return GMPUNCH_OK;
    }
    if (now < lobby->silent_at) return GMPUNCH_OK;
    if (lobby->fetched || lobby->ready) { /* it was the application that took its time */
        gmpunchi_lobby_heard(lobby);
    } else {
        int32_t open = lobby->uplink.state == GMPUNCHI_UPLINK_OPEN;
        gmpunchi_uplink_close(&lobby->uplink);
        gmpunchi_lobby_attempt_failed(lobby, open ? GMPUNCH_REASON_MASTER_SILENT : GMPUNCH_REASON_MASTER_UNREACHABLE);
    }
    return GMPUNCH_OK;
}

uint64_t gmpunch_lobby_next_deadline(const gmpunch_lobby *lobby) {
    if (!lobby) return GMPUNCHI_TIME_NEVER;
    return lobby->ready ? lobby->silent_at : gmpunchi_earlier(lobby->silent_at, lobby->give_up_at);
}

int32_t gmpunch_lobby_next_transmit(gmpunch_lobby *lobby, gmpunch_transmit *transmit) {
    if (!lobby || !transmit) return GMPUNCH_ERR_ARGUMENT;
    memset(transmit, 0, sizeof *transmit);
    return gmpunchi_uplink_transmit(&lobby->uplink, transmit);
}

int32_t gmpunch_lobby_next_event(gmpunch_lobby *lobby, gmpunch_event *event) {
    if (!lobby || !event) return GMPUNCH_ERR_ARGUMENT;
    memset(event, 0, sizeof *event);
    if (lobby->resolve) {
        lobby->resolve = 0;
        event->type = GMPUNCH_EVENT_RESOLVE;
    } else if (lobby->ready) {
        lobby->ready = 0;
        lobby->fetched = 1;
        event->type = GMPUNCH_EVENT_LOBBY_ENTRY;
        event->address = lobby->entry.ip;
        event->created = lobby->entry.created;
        event->data = lobby->strings;
        event->len = lobby->strings_len;
    } else if (lobby->ended && !lobby->told) {
        lobby->told = 1;
        event->type = lobby->reason ? GMPUNCH_EVENT_FAILED : GMPUNCH_EVENT_LOBBY_DONE;
        event->reason = lobby->reason;
        event->address = lobby->uplink.to;
        event->ignored = lobby->stats.oversized + lobby->stats.malformed;
    } else {
        return 0;
    }
    event->count = lobby->stats.entries;
    event->elapsed_ms = (uint32_t)(lobby->object.now - lobby->opened_at);
    event->os_error = lobby->object.os_error;
    return 1;
}

int32_t gmpunch_lobby_get_stats(const gmpunch_lobby *lobby, gmpunch_lobby_stats *stats) {
    return lobby ? gmpunchi_struct_out(stats, &lobby->stats, sizeof *stats) : GMPUNCH_ERR_ARGUMENT;
}

/* >>master ============================================================================================================= */

#if !defined(GMPUNCH_NO_MASTER)

#define GMPUNCHI_MASTER_EVENTS 64u
#define GMPUNCHI_MASTER_LIMIT 4194304u /* of each table: ids have 22 bits for the place */
#define GMPUNCHI_USED_PORT_MS \
    2000u                            /* a client repeats "connect" until it is answered: what comes so soon after its
                                            port was used is a repetition, no new client */
#define GMPUNCHI_RETRY_MS 500u       /* ... unless a request waits so long for a port, and no other is known there */
#define GMPUNCHI_FRESH_PORT_MS 2000u /* an announced port belongs to a request within this time; later it is a guess */
#define GMPUNCHI_SAME_REG_MS 2500u   /* ... and so is a "reg" so soon after a registration */
#define GMPUNCHI_IN_FLIGHT_MS 1000u  /* so long after its "reg" over UDP a host's registration over TCP may be on its way */
#define GMPUNCHI_CLAIM_MS \
    10000u                            /* so long a registration over TCP may follow its "reg" over UDP and take the port
                                            from an older connection */
#define GMPUNCHI_PORT_ALIVE_MS 30000u /* a host's port from which something came so recently is not exchanged */
#define GMPUNCHI_HOST_STALE_MS \
    200000u /* silent so long, a host gives way to another of its IP; classic ones speak every 180 s */
#define GMPUNCHI_COUNTERS_BITS 13u
#define GMPUNCHI_COUNTERS (1u << GMPUNCHI_COUNTERS_BITS) /* of each row of counters */
#define GMPUNCHI_RATE_BURST_US UINT64_C(2000000)         /* the commands of so long may come at once */
#define GMPUNCHI_LOBBY_COST 10u                          /* a list that must be made, in commands */
#define GMPUNCHI_MASTER_LINES 12u                        /* of the longest command */
#define GMPUNCHI_MASTER_NAME_MAX 255u
#define GMPUNCHI_LOBBY_KEPT 4u /* lists kept for the next request like them */
#define GMPUNCHI_LOBBY_FRESH_MS \
    1000u                          /* ... so long, while nothing changed: a host that fell silent changes without a word */
#define GMPUNCHI_STALL_STEP 65536u /* bytes of a long answer that must leave within write_timeout_ms, or */
#define GMPUNCHI_STALL_STEPS 20u   /* this part of it, if that is more: nobody reads for ever */

/* Everything known of one public IP. */
typedef struct gmpunchi_site {
    gmpunch_address ip;
    uint32_t hash; /* of ip */
    uint32_t connections;
    uint32_t host_ports, client_ports; /* counts */
    uint32_t lobby_bytes;              /* of lists that wait to be sent here */
    gmpunchi_list host_port;           /* ports of UDP "reg" */
    gmpunchi_list client_port;         /* ports of UDP "connect", oldest first */
    gmpunchi_list host;                /* registered connections, oldest first */
    gmpunchi_list waiting;             /* requests of clients here without a client port, oldest first */
    gmpunchi_list wanted;              /* requests for a host here whose UDP port is still missing */
} gmpunchi_site;

/* A UDP port that somebody announced. */
typedef struct gmpunchi_port {
    uint64_t seen_at; /* announced last */
    uint64_t at;      /* of a host: of the last datagram, whatever it was; of a client: when a request took it */
    uint64_t expiry_since;
    uint32_t site;
    uint32_t owner; /* of a host: the connection that registered with it, or GMPUNCHI_NONE */
    gmpunchi_link site_link;
    gmpunchi_link expiry_link;
    uint16_t number;
    uint8_t of_host;
    uint8_t used;    /* of a client */
    uint8_t again;   /* of a client: announced again after it was used */
    uint8_t pending; /* of a client: the request that took it is not answered yet */
    uint8_t fresh;   /* of a host without owner: announced since it is without */
    uint8_t reserved;
    uint64_t fresh_at; /* ... for the first time */
} gmpunchi_port;

/* The list of timers that a connection is in; each has one duration, so the oldest is always first. While a command is being
   read it is also in the list of those. */
enum { GMPUNCHI_TIMER_IDLE, GMPUNCHI_TIMER_HOST, GMPUNCHI_TIMERS };
/* The state of output; those from READY on have a list each. Those whose next answer is a list that must be made come after
   all that are ready. One that can't be answered has failed and will be closed. A host that was sent an introduction cools:
   what follows waits for introduction_gap_ms. */
enum {
    GMPUNCHI_OUT_NONE,
    GMPUNCHI_OUT_BLOCKED,
    GMPUNCHI_OUT_READY,
    GMPUNCHI_OUT_MAKING,
    GMPUNCHI_OUT_FAILED,
    GMPUNCHI_OUT_CLOSE,
    GMPUNCHI_OUT_COOLING,
    GMPUNCHI_OUTS
};

/* The begin of a command, as strings and an unfinished line, behind this struct. */
typedef struct gmpunchi_partial {
    uint32_t size; /* of all */
    uint32_t len;
    uint32_t line_start; /* of the unfinished line */
} gmpunchi_partial;

/* What the lobby has of a host; the eight data strings, each with its NUL, are behind this struct. */
typedef struct gmpunchi_listing {
    uint64_t created; /* Unix time, seconds */
    uint32_t size;    /* of all */
    uint32_t place;   /* in gmpunch_master.listed */
} gmpunchi_listing;

/* A host of the lobby, and what a filter passes over it by without touching it. */
typedef struct gmpunchi_listed {
    uint8_t signature[8]; /* see gmpunchi_sign; in bytes, as 8 and 4 would take 16 */
    uint32_t host;        /* GMPUNCHI_NONE: it left */
} gmpunchi_listed;

typedef struct gmpunchi_connection {
    uint32_t site;        /* with the IP */
    uint16_t from_port;   /* of the other side */
    uint16_t generation;  /* 0: not in use */
    uint64_t timer_since; /* of a host: its last sign of life, TCP or UDP */
    uint64_t command_since;
    uint64_t registered_at;
    uint64_t output_since; /* stalled: when enough was taken last of what waits; cooling: when the last introduction left */
    gmpunchi_link timer_link;
    gmpunchi_link command_link;
    gmpunchi_link site_link; /* in site->host */
    gmpunchi_link out_link;
    gmpunchi_link stall_link;
    gmpunchi_list request; /* of this connection, oldest first */
    uint32_t requests;
    uint32_t owed; /* answers "not found" that follow those of the requests */
    uint32_t message_first, message_last, messages;
    uint32_t port;         /* of a host, GMPUNCHI_NONE while its UDP "reg" is missing */
    uint32_t stalled_from; /* bytes of the first message that had been taken at output_since */
    uint8_t timer;
    uint8_t out;
    uint8_t is_host;
    uint8_t after_cr;
    uint8_t command;           /* whose arguments are being read */
    uint8_t arguments;         /* still to come */
    uint8_t stalled;           /* in the list of those that take nothing */
    uint8_t commanding;        /* in the list of those in the middle of a command */
    uint8_t sent_reg;          /* "reg" over TCP */
    uint8_t inherited;         /* of a host: nobody announced its port since it changed hands */
    uint8_t streams;           /* of a host: "reg2" after "reg", it reads a stream */
    gmpunchi_partial *in;      /* what was read of the command so far; NULL if nothing */
    gmpunchi_listing *listing; /* of a host in the lobby; NULL: not listed */
} gmpunchi_connection;

/* A "connect" that is not answered yet. */
typedef struct gmpunchi_request {
    gmpunch_address target;
    uint64_t since;
    uint32_t connection;
    uint32_t port; /* of the client, GMPUNCHI_NONE while it waits in site->waiting */
    gmpunchi_link site_link;
    gmpunchi_link expiry_link;
    gmpunchi_link connection_link;
    gmpunchi_link wanted_link;
    uint32_t wanted; /* the site in whose list it is, or GMPUNCHI_NONE */
    int32_t expired;
} gmpunchi_request;

/* An answer of any length, shared by all to whom it is sent. A lobby list is made when its turn to be sent comes. */
typedef struct gmpunchi_text {
    gmpunch_buffer out;
    gmpunchi_lobby_request request; /* its filters are behind this struct */
    uint32_t filters_len;
    uint32_t refs;
    int32_t made;
    uint32_t version; /* of the lobby when it was made */
    uint64_t made_at;
} gmpunchi_text;

/* Bytes that leave in one send. */
typedef struct gmpunchi_message {
    gmpunchi_text *text; /* NULL: what is in bytes */
    uint32_t next;
    uint32_t len, sent;
    uint32_t charged; /* bytes of a list, in the site's lobby_bytes */
    uint8_t introduction;
    uint8_t bytes[GMPUNCHI_FOUND_MAX];
} gmpunchi_message;

typedef struct gmpunchi_master_event {
    int32_t type, reason;
    gmpunch_address address, other;
} gmpunchi_master_event;

struct gmpunch_master {
    gmpunchi_object object;
    gmpunch_master_config config; /* with defaults filled in; its texts are not kept */
    gmpunch_master_stats stats;
    uint64_t key[2];
    uint32_t generation;
    gmpunchi_pool site, port, connection, request, message;
    gmpunchi_map site_map;                         /* by ip */
    uint32_t subnet[2][GMPUNCHI_COUNTERS];         /* connections */
    uint64_t commands_until[2][GMPUNCHI_COUNTERS]; /* microseconds, of IPs */
    gmpunchi_list timer[GMPUNCHI_TIMERS];
    gmpunchi_list commanding;
    gmpunchi_list out[GMPUNCHI_OUTS]; /* connections by their output */
    gmpunchi_list stalled;
    uint32_t cooling_messages; /* connections that cool and have something to send */
    gmpunchi_listed *listed;   /* the lobby, in the order in which its hosts came */
    uint32_t places;           /* in use or left, of listed_room */
    uint32_t listed_room;
    uint32_t lobby_version; /* counts the lobby's changes */
    gmpunchi_text *kept[GMPUNCHI_LOBBY_KEPT];
    uint32_t next_kept;
    gmpunchi_text *infos;        /* the answer to "testinginfos" */
    uint64_t unix_time, unix_at; /* what time it was when; unix_time 0: not known */
    char name[GMPUNCHI_MASTER_NAME_MAX + 1];
    gmpunchi_list client_port_expiry, host_port_expiry, request_expiry;
    uint32_t sending;      /* the connection whose first message was given out last */
    uint32_t sending_from; /* where that began */
    uint8_t *work;         /* the command being read */
    uint32_t work_size;
    int32_t no_events;
    uint64_t accept_at; /* with sockets: when accepting resumes, GMPUNCHI_TIME_NEVER if it never stopped */
    int32_t unread;     /* ... something may be left to be read */
    gmpunchi_master_event event[GMPUNCHI_MASTER_EVENTS];
    uint32_t event_first, events;
};

/* ---- memory ---- */

GMPUNCHI_FN void *gmpunchi_master_alloc(gmpunch_master *master, size_t size) {
    void *memory = master->object.allocator.alloc(size, master->object.allocator.user);
    if (memory) master->stats.memory += size;
    else master->stats.refused_memory++;
    return memory;
}

GMPUNCHI_FN void gmpunchi_master_release(gmpunch_master *master, void *memory, size_t size) {
    if (!memory) return;
    master->stats.memory -= size;
    master->object.allocator.free(memory, size, master->object.allocator.user);
}

/* A place in a pool, GMPUNCHI_NONE at the limit or without memory. */
GMPUNCHI_FN uint32_t gmpunchi_master_take(gmpunch_master *master, gmpunchi_pool *pool) {
    if (pool->count >= pool->limit) return GMPUNCHI_NONE;
    if (gmpunchi_pool_is_full(pool)) {
        size_t size = (size_t)gmpunchi_pool_chunk_items(pool->chunks) * pool->item_size;
        uint8_t *chunk;
        if (pool->chunks == GMPUNCHI_POOL_CHUNKS) return GMPUNCHI_NONE;
        chunk = (uint8_t *)gmpunchi_master_alloc(master, size);
        if (!chunk) return GMPUNCHI_NONE;
        pool->chunk[pool->chunks++] = chunk;
    }
    return gmpunchi_pool_take(pool);
}

GMPUNCHI_FN void gmpunchi_master_pool_free(gmpunch_master *master, gmpunchi_pool *pool) {
    uint32_t i;
    for (i = 0; i < pool->chunks; i++)
        gmpunchi_master_release(master, pool->chunk[i], (size_t)gmpunchi_pool_chunk_items(i) * pool->item_size);
}

GMPUNCHI_FN gmpunchi_site *gmpunchi_site_at(const gmpunch_master *master, uint32_t index) {
    return (gmpunchi_site *)gmpunchi_pool_at(&master->site, index);
}

GMPUNCHI_FN gmpunchi_port *gmpunchi_port_at(const gmpunch_master *master, uint32_t index) {
    return (gmpunchi_port *)gmpunchi_pool_at(&master->port, index);
}

GMPUNCHI_FN gmpunchi_connection *gmpunchi_connection_at(const gmpunch_master *master, uint32_t index) {
    return (gmpunchi_connection *)gmpunchi_pool_at(&master->connection, index);
}

GMPUNCHI_FN gmpunchi_request *gmpunchi_request_at(const gmpunch_master *master, uint32_t index) {
    return (gmpunchi_request *)gmpunchi_pool_at(&master->request, index);
}

GMPUNCHI_FN gmpunchi_message *gmpunchi_message_at(const gmpunch_master *master, uint32_t index) {
    return (gmpunchi_message *)gmpunchi_pool_at(&master->message, index);
}

GMPUNCHI_FN void gmpunchi_master_push(gmpunch_master *master, int32_t type, int32_t reason, const gmpunch_address *address,
                                      const gmpunch_address *other) {
    gmpunchi_master_event *event;
    if (master->no_events) return;
    if (master->events == GMPUNCHI_MASTER_EVENTS) {
        master->event_first = (master->event_first + 1) % GMPUNCHI_MASTER_EVENTS;
        master->events--;
        master->stats.events_dropped++;
    }
    event = &master->event[(master->event_first + master->events++) % GMPUNCHI_MASTER_EVENTS];
    memset(event, 0, sizeof *event);
    event->type = type;
    event->reason = reason;
    event->address = *address;
    if (other) event->other = *other;
}

GMPUNCHI_FN void gmpunchi_master_refused(gmpunch_master *master, uint64_t *counter, const char *text,
                                         const gmpunch_address *address) {
    ++*counter;
    gmpunchi_log(&master->object, GMPUNCH_LOG_WARNING, GMPUNCH_LOG_ITEM_REFUSED, text, address);
}

/* The other side of a connection. */
GMPUNCHI_FN gmpunch_address gmpunchi_connection_from(const gmpunch_master *master, uint32_t index) {
    const gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    gmpunch_address from = gmpunchi_site_at(master, connection->site)->ip;
    from.port = connection->from_port;
    return from;
}

/* ... of which something is refused. */
GMPUNCHI_FN void gmpunchi_connection_refused(gmpunch_master *master, uint32_t index, uint64_t *counter, const char *text) {
    gmpunch_address from = gmpunchi_connection_from(master, index);
    gmpunchi_master_refused(master, counter, text, &from);
}

/* Forgets what was read of a command. */
GMPUNCHI_FN void gmpunchi_partial_drop(gmpunch_master *master, gmpunchi_connection *connection) {
    if (connection->in) gmpunchi_master_release(master, connection->in, connection->in->size);
    connection->in = NULL;
}

/* ---- sites ---- */

/* The site of an IP with this hash, GMPUNCHI_NONE if nothing is known of it. */
GMPUNCHI_FN uint32_t gmpunchi_site_search(const gmpunch_master *master, const gmpunch_address *ip, uint64_t hash) {
    uint32_t index;
    if (!master->site_map.bucket) return GMPUNCHI_NONE;
    index = gmpunchi_map_first(&master->site_map, hash);
    while (index != GMPUNCHI_NONE && !gmpunch_address_same_ip(&gmpunchi_site_at(master, index)->ip, ip))
        index = master->site_map.next[index];
    return index;
}

GMPUNCHI_FN uint32_t gmpunchi_site_find(const gmpunch_master *master, const gmpunch_address *ip) {
    return gmpunchi_site_search(master, ip, gmpunchi_hash_ip(master->key, ip));
}

/* Makes the map as large as the pool will be. */
GMPUNCHI_FN int32_t gmpunchi_site_map_grow(gmpunch_master *master) {
    uint32_t slots = gmpunchi_pool_capacity(&master->site), bucket;
    gmpunchi_map old = master->site_map, map;
    slots = slots ? slots * 2 : GMPUNCHI_POOL_FIRST;
    map.mask = slots - 1;
    map.bucket = (uint32_t *)gmpunchi_master_alloc(master, (size_t)slots * sizeof *map.bucket);
    map.next = map.bucket ? (uint32_t *)gmpunchi_master_alloc(master, (size_t)slots * sizeof *map.next) : NULL;
    if (!map.next) {
        gmpunchi_master_release(master, map.bucket, (size_t)slots * sizeof *map.bucket);
        return GMPUNCH_ERR_MEMORY;
    }
    gmpunchi_map_clear(&map);
    for (bucket = 0; old.bucket && bucket <= old.mask; bucket++) {
        uint32_t index, next;
        for (index = old.bucket[bucket]; index != GMPUNCHI_NONE; index = next) {
            next = old.next[index];
            gmpunchi_map_insert(&map, gmpunchi_site_at(master, index)->hash, index);
        }
    }
    gmpunchi_master_release(master, old.bucket, ((size_t)old.mask + 1) * sizeof *old.bucket);
    gmpunchi_master_release(master, old.next, ((size_t)old.mask + 1) * sizeof *old.next);
    master->site_map = map;
    return GMPUNCH_OK;
}

/* The site of an IP, made if it is new; GMPUNCHI_NONE without memory. */
GMPUNCHI_FN uint32_t gmpunchi_site_get(gmpunch_master *master, const gmpunch_address *ip) {
    uint64_t hash = gmpunchi_hash_ip(master->key, ip);
    uint32_t index = gmpunchi_site_search(master, ip, hash);
    gmpunchi_site *site;
    if (index != GMPUNCHI_NONE) return index;
    if (gmpunchi_pool_is_full(&master->site) &&
        (!master->site_map.bucket || master->site_map.mask + 1 == gmpunchi_pool_capacity(&master->site)) &&
        gmpunchi_site_map_grow(master))
        return GMPUNCHI_NONE;
    index = gmpunchi_master_take(master, &master->site);
    if (index == GMPUNCHI_NONE) return index;
    site = gmpunchi_site_at(master, index);
    site->ip = *ip;
    site->ip.port = 0;
    site->hash = (uint32_t)hash;
    gmpunchi_list_init(&site->host_port);
    gmpunchi_list_init(&site->client_port);
    gmpunchi_list_init(&site->host);
    gmpunchi_list_init(&site->waiting);
    gmpunchi_list_init(&site->wanted);
    gmpunchi_map_insert(&master->site_map, hash, index);
    return index;
}

/* Forgets a site of which nothing is left. */
GMPUNCHI_FN void gmpunchi_site_give(gmpunch_master *master, uint32_t index) {
    gmpunchi_site *site = gmpunchi_site_at(master, index);
    if (site->connections || site->host_ports || site->client_ports) return;
    gmpunchi_map_remove(&master->site_map, site->hash, index);
    gmpunchi_pool_give(&master->site, index);
}

/* Counters of what has too many names to be kept each: two for each hash, one in each row. Others share one of them, but
   hardly both. */
GMPUNCHI_FN uint32_t gmpunchi_counter(uint32_t hash, uint32_t row) {
    return row ? hash >> (32 - GMPUNCHI_COUNTERS_BITS) : hash % GMPUNCHI_COUNTERS;
}

/* The hash of the network that an address is taken to be of: IPv4 /24, IPv6 /48. */
GMPUNCHI_FN uint32_t gmpunchi_subnet(const gmpunch_master *master, const gmpunch_address *ip) {
    return (uint32_t)gmpunchi_siphash(master->key, ip->ip, ip->family == 4 ? 3 : 6);
}

GMPUNCHI_FN int32_t gmpunchi_subnet_is_full(const gmpunch_master *master, uint32_t subnet) {
    uint32_t most = master->config.max_connections_per_subnet;
    return master->subnet[0][gmpunchi_counter(subnet, 0)] >= most && master->subnet[1][gmpunchi_counter(subnet, 1)] >= most;
}

/* change: 1, or -1 */
GMPUNCHI_FN void gmpunchi_subnet_count(gmpunch_master *master, uint32_t subnet, int32_t change) {
    uint32_t row;
    for (row = 0; row < 2; row++) master->subnet[row][gmpunchi_counter(subnet, row)] += (uint32_t)change;
}

/* Whether a site sends this many commands more too fast. Its counters are the times when all would have been sent at
   max_commands_per_second. */
GMPUNCHI_FN int32_t gmpunchi_commands_are_fast(gmpunch_master *master, const gmpunchi_site *site, uint32_t commands) {
    uint64_t now = master->object.now * 1000u, until = GMPUNCHI_TIME_NEVER;
    uint32_t row, cost;
    if (master->config.max_commands_per_second == GMPUNCH_NEVER) return 0;
    cost = 1000000u / master->config.max_commands_per_second * commands;
    for (row = 0; row < 2; row++)
        until = gmpunchi_earlier(until, master->commands_until[row][gmpunchi_counter(site->hash, row)]);
    if (until > now && until - now + cost > GMPUNCHI_RATE_BURST_US) return 1;
    for (row = 0; row < 2; row++) {
        uint64_t *counter = &master->commands_until[row][gmpunchi_counter(site->hash, row)];
        *counter = (*counter > now ? *counter : now) + cost;
    }
    return 0;
}

/* ---- output ---- */

GMPUNCHI_FN void gmpunchi_out_enter(gmpunch_master *master, uint32_t index, uint8_t out) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    if (connection->out == GMPUNCHI_OUT_FAILED && out != GMPUNCHI_OUT_NONE) return;
    if (connection->out == GMPUNCHI_OUT_COOLING && connection->messages) master->cooling_messages--;
    if (connection->out >= GMPUNCHI_OUT_READY)
        gmpunchi_list_remove(&master->out[connection->out], &master->connection, offsetof(gmpunchi_connection, out_link),
                             index);
    connection->out = out;
    if (out >= GMPUNCHI_OUT_READY)
        /* cppcheck-suppress arrayIndexOutOfBoundsCond ; it takes GMPUNCHI_OUTS for 6 and out for 7 */
        gmpunchi_list_append(&master->out[out], &master->connection, offsetof(gmpunchi_connection, out_link), index);
    if (out == GMPUNCHI_OUT_COOLING && connection->messages) master->cooling_messages++;
}

GMPUNCHI_FN uint64_t gmpunchi_cool_until(const gmpunch_master *master, uint32_t index) {
    return gmpunchi_connection_at(master, index)->output_since + master->config.introduction_gap_ms;
}

/* What was queued may leave, if anything was. */
GMPUNCHI_FN void gmpunchi_out_resume(gmpunch_master *master, uint32_t index) {
    const gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    const gmpunchi_text *text = connection->messages ? gmpunchi_message_at(master, connection->message_first)->text : NULL;
    gmpunchi_out_enter(master, index,
                       !connection->messages ? GMPUNCHI_OUT_NONE
                       : text && !text->made ? GMPUNCHI_OUT_MAKING
                                             : GMPUNCHI_OUT_READY);
}

/* A connection that reads its answer is not idle: see the timers. */
GMPUNCHI_FN void gmpunchi_output_went(gmpunch_master *master, uint32_t index);

GMPUNCHI_FN void gmpunchi_stall_leave(gmpunch_master *master, uint32_t index) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    if (connection->stalled)
        gmpunchi_list_remove(&master->stalled, &master->connection, offsetof(gmpunchi_connection, stall_link), index);
    connection->stalled = 0;
}

/* The first message could not leave whole: `sent` bytes of it so far. */
GMPUNCHI_FN void gmpunchi_stall_enter(gmpunch_master *master, uint32_t index, uint32_t sent) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    uint32_t step = gmpunchi_message_at(master, connection->message_first)->len / GMPUNCHI_STALL_STEPS;
    if (step < GMPUNCHI_STALL_STEP) step = GMPUNCHI_STALL_STEP;
    if (connection->stalled && sent - connection->stalled_from < step) return;
    gmpunchi_stall_leave(master, index);
    gmpunchi_output_went(master, index);
    connection->stalled = 1;
    connection->stalled_from = sent;
    connection->output_since = master->object.now;
    gmpunchi_list_append(&master->stalled, &master->connection, offsetof(gmpunchi_connection, stall_link), index);
}

/* A new message at the end of the connection's queue, to be written through *out; GMPUNCHI_NONE at a limit. */
GMPUNCHI_FN uint32_t gmpunchi_message_begin(gmpunch_master *master, uint32_t index, gmpunch_buffer *out) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    uint32_t message = GMPUNCHI_NONE;
    if (connection->messages < master->config.max_messages_per_connection)
        message = gmpunchi_master_take(master, &master->message);
    if (message == GMPUNCHI_NONE) {
        gmpunchi_connection_refused(master, index, &master->stats.refused_messages, "message refused:");
        return message;
    }
    gmpunch_buffer_init(out, gmpunchi_message_at(master, message)->bytes, GMPUNCHI_FOUND_MAX, 1);
    return message;
}

GMPUNCHI_FN void gmpunchi_message_end(gmpunch_master *master, uint32_t index, uint32_t message, const gmpunch_buffer *out) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    gmpunchi_message *added = gmpunchi_message_at(master, message);
    GMPUNCH_ASSERT(!out->error);
    added->len = (uint32_t)out->used;
    added->next = GMPUNCHI_NONE;
    if (connection->messages++) gmpunchi_message_at(master, connection->message_last)->next = message;
    else connection->message_first = message;
    connection->message_last = message;
    if (connection->out == GMPUNCHI_OUT_COOLING && connection->messages == 1) master->cooling_messages++;
    if (connection->out == GMPUNCHI_OUT_NONE ||
        (connection->out == GMPUNCHI_OUT_COOLING && master->object.now >= gmpunchi_cool_until(master, index)))
        gmpunchi_out_resume(master, index);
}

/* ---- texts ---- */

/* Forgets the kept lists that nobody waits for; 1 if there were any. */
GMPUNCHI_FN int32_t gmpunchi_lobby_forget(gmpunch_master *master);

/* The allocator of texts, up to max_lobby_memory. Kept lists make room for new ones. */
GMPUNCHI_FN void *gmpunchi_text_alloc(size_t size, void *user) {
    gmpunch_master *master = (gmpunch_master *)user;
    void *memory;
    do {
        memory =
            size <= master->config.max_lobby_memory - master->stats.lobby_bytes ? gmpunchi_master_alloc(master, size) : NULL;
    } while (!memory && gmpunchi_lobby_forget(master));
    if (memory) master->stats.lobby_bytes += size;
    return memory;
}

GMPUNCHI_FN void gmpunchi_text_free(void *memory, size_t size, void *user) {
    gmpunch_master *master = (gmpunch_master *)user;
    master->stats.lobby_bytes -= size;
    gmpunchi_master_release(master, memory, size);
}

/* Empties a text. */
GMPUNCHI_FN void gmpunchi_text_clear(gmpunch_master *master, gmpunchi_text *text) {
    gmpunch_allocator allocator;
    allocator.alloc = gmpunchi_text_alloc;
    allocator.free = gmpunchi_text_free;
    allocator.user = master;
    gmpunch_buffer_free(&text->out);
    gmpunch_buffer_init_grow(&text->out, &allocator, master->config.max_lobby, 1);
}

/* A text with one reference, for this request or (NULL) none; NULL without memory. */
GMPUNCHI_FN gmpunchi_text *gmpunchi_text_new(gmpunch_master *master, const gmpunchi_lobby_request *request,
                                             size_t filters_len) {
    gmpunchi_text *text = (gmpunchi_text *)gmpunchi_text_alloc(sizeof *text + filters_len, master);
    char *filters;
    uint32_t i;
    if (!text) return NULL;
    filters = (char *)(text + 1);
    memset(text, 0, sizeof *text);
    gmpunchi_text_clear(master, text);
    text->refs = 1;
    text->filters_len = (uint32_t)filters_len;
    if (!request) return text;
    text->request = *request;
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) {
        size_t len = strlen(request->filter[i]) + 1;
        memcpy(filters, request->filter[i], len);
        text->request.filter[i] = filters;
        filters += len;
    }
    return text;
}

GMPUNCHI_FN void gmpunchi_text_drop(gmpunch_master *master, gmpunchi_text *text) {
    if (!text || --text->refs) return;
    gmpunch_buffer_free(&text->out);
    gmpunchi_text_free(text, sizeof *text + text->filters_len, master);
}

GMPUNCHI_FN void gmpunchi_message_pop(gmpunch_master *master, gmpunchi_connection *connection) {
    uint32_t message = connection->message_first;
    connection->message_first = gmpunchi_message_at(master, message)->next;
    connection->messages--;
    gmpunchi_site_at(master, connection->site)->lobby_bytes -= gmpunchi_message_at(master, message)->charged;
    gmpunchi_text_drop(master, gmpunchi_message_at(master, message)->text);
    gmpunchi_pool_give(&master->message, message);
}

/* A connection that can't be answered is closed by the next transmit, not at once: its end may fail others, and theirs others
   again. */
GMPUNCHI_FN void gmpunchi_connection_fail(gmpunch_master *master, uint32_t index) {
    if (gmpunchi_connection_at(master, index)->out != GMPUNCHI_OUT_CLOSE)
        gmpunchi_out_enter(master, index, GMPUNCHI_OUT_FAILED);
}

/* Counts a made list that waits for a connection: GMPUNCH_ERR_FULL if those of its site are too long. */
GMPUNCHI_FN int32_t gmpunchi_message_charge(gmpunch_master *master, uint32_t index, uint32_t message_index) {
    gmpunchi_site *site = gmpunchi_site_at(master, gmpunchi_connection_at(master, index)->site);
    gmpunchi_message *message = gmpunchi_message_at(master, message_index);
    uint32_t bytes = (uint32_t)message->text->out.used;
    if (message->charged) return GMPUNCH_OK;
    if (site->lobby_bytes && (uint64_t)site->lobby_bytes + bytes > master->config.max_lobby_memory_per_ip)
        return GMPUNCH_ERR_FULL;
    message->charged = bytes;
    site->lobby_bytes += bytes;
    return GMPUNCH_OK;
}

/* Queues a text; takes over the caller's reference. */
GMPUNCHI_FN void gmpunchi_answer_text(gmpunch_master *master, uint32_t index, gmpunchi_text *text) {
    gmpunch_buffer out;
    uint32_t message = gmpunchi_message_begin(master, index, &out);
    if (message == GMPUNCHI_NONE) {
        gmpunchi_text_drop(master, text);
        gmpunchi_connection_fail(master, index);
        return;
    }
    gmpunchi_message_at(master, message)->text = text;
    gmpunchi_message_end(master, index, message, text->made ? &text->out : &out);
    if (text->made && gmpunchi_message_charge(master, index, message)) {
        master->stats.refused_lobby++;
        gmpunchi_connection_fail(master, index);
    }
}

/* ---- timers ---- */

GMPUNCHI_FN void gmpunchi_timer_leave(gmpunch_master *master, uint32_t index) {
    gmpunchi_list_remove(&master->timer[gmpunchi_connection_at(master, index)->timer], &master->connection,
                         offsetof(gmpunchi_connection, timer_link), index);
}

GMPUNCHI_FN void gmpunchi_timer_start(gmpunch_master *master, uint32_t index, uint8_t timer) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    connection->timer = timer;
    connection->timer_since = master->object.now;
    gmpunchi_list_append(&master->timer[timer], &master->connection, offsetof(gmpunchi_connection, timer_link), index);
}

GMPUNCHI_FN void gmpunchi_timer_enter(gmpunch_master *master, uint32_t index, uint8_t timer) {
    gmpunchi_timer_leave(master, index);
    gmpunchi_timer_start(master, index, timer);
}

GMPUNCHI_FN void gmpunchi_output_went(gmpunch_master *master, uint32_t index) {
    if (gmpunchi_connection_at(master, index)->timer == GMPUNCHI_TIMER_IDLE)
        gmpunchi_timer_enter(master, index, GMPUNCHI_TIMER_IDLE);
}

GMPUNCHI_FN void gmpunchi_command_leave(gmpunch_master *master, uint32_t index) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    if (connection->commanding)
        gmpunchi_list_remove(&master->commanding, &master->connection, offsetof(gmpunchi_connection, command_link), index);
    connection->commanding = 0;
}

GMPUNCHI_FN void gmpunchi_command_enter(gmpunch_master *master, uint32_t index) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    gmpunchi_command_leave(master, index);
    connection->commanding = 1;
    connection->command_since = master->object.now;
    gmpunchi_list_append(&master->commanding, &master->connection, offsetof(gmpunchi_connection, command_link), index);
}

/* A sign of life of a host. */
GMPUNCHI_FN void gmpunchi_connection_touch(gmpunch_master *master, uint32_t index) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    if (connection->timer == GMPUNCHI_TIMER_HOST) gmpunchi_timer_enter(master, index, GMPUNCHI_TIMER_HOST);
}

/* ---- UDP ports ---- */

GMPUNCHI_FN gmpunchi_list *gmpunchi_port_expiry(gmpunch_master *master, const gmpunchi_port *port) {
    return port->of_host ? &master->host_port_expiry : &master->client_port_expiry;
}

/* A host's port with an owner never expires. */
GMPUNCHI_FN void gmpunchi_port_expiry_enter(gmpunch_master *master, uint32_t index) {
    gmpunchi_port_at(master, index)->expiry_since = master->object.now;
    gmpunchi_list_append(gmpunchi_port_expiry(master, gmpunchi_port_at(master, index)), &master->port,
                         offsetof(gmpunchi_port, expiry_link), index);
}

GMPUNCHI_FN void gmpunchi_port_expiry_leave(gmpunch_master *master, uint32_t index) {
    gmpunchi_list_remove(gmpunchi_port_expiry(master, gmpunchi_port_at(master, index)), &master->port,
                         offsetof(gmpunchi_port, expiry_link), index);
}

/* The port of a site with this number, GMPUNCHI_NONE if it was not announced. */
GMPUNCHI_FN uint32_t gmpunchi_port_find(const gmpunch_master *master, const gmpunchi_list *list, uint16_t number) {
    uint32_t index = list->head;
    while (index != GMPUNCHI_NONE && gmpunchi_port_at(master, index)->number != number)
        index = gmpunchi_port_at(master, index)->site_link.next;
    return index;
}

/* Forgets a port without owner. */
GMPUNCHI_FN void gmpunchi_port_remove(gmpunch_master *master, uint32_t index) {
    gmpunchi_port *port = gmpunchi_port_at(master, index);
    gmpunchi_site *site = gmpunchi_site_at(master, port->site);
    uint32_t site_index = port->site;
    gmpunchi_port_expiry_leave(master, index);
    gmpunchi_list_remove(port->of_host ? &site->host_port : &site->client_port, &master->port,
                         offsetof(gmpunchi_port, site_link), index);
    if (port->of_host) site->host_ports--;
    else site->client_ports--;
    gmpunchi_pool_give(&master->port, index);
    gmpunchi_site_give(master, site_index);
}

/* Forgets the oldest client port whose request is answered: it is only kept to know repetitions by. */
GMPUNCHI_FN void gmpunchi_port_make_room(gmpunch_master *master, const gmpunchi_site *site) {
    uint32_t index = site->client_port.head;
    while (index != GMPUNCHI_NONE && (!gmpunchi_port_at(master, index)->used || gmpunchi_port_at(master, index)->pending))
        index = gmpunchi_port_at(master, index)->site_link.next;
    if (index != GMPUNCHI_NONE) gmpunchi_port_remove(master, index);
}

/* Remembers a new port; GMPUNCHI_NONE at a limit. */
GMPUNCHI_FN uint32_t gmpunchi_port_add(gmpunch_master *master, uint32_t site_index, uint16_t number, uint8_t of_host) {
    gmpunchi_site *site = gmpunchi_site_at(master, site_index);
    uint32_t *count = of_host ? &site->host_ports : &site->client_ports;
    uint32_t index = GMPUNCHI_NONE;
    gmpunchi_port *port;
    if (!of_host && *count >= master->config.max_ports_per_ip) gmpunchi_port_make_room(master, site);
    if (*count < master->config.max_ports_per_ip) index = gmpunchi_master_take(master, &master->port);
    if (index == GMPUNCHI_NONE) {
        gmpunchi_master_refused(master, &master->stats.refused_ports, "UDP port refused:", &site->ip);
        return index;
    }
    ++*count;
    port = gmpunchi_port_at(master, index);
    port->site = site_index;
    port->number = number;
    port->of_host = of_host;
    port->owner = GMPUNCHI_NONE;
    port->seen_at = port->at = master->object.now;
    gmpunchi_list_append(of_host ? &site->host_port : &site->client_port, &master->port, offsetof(gmpunchi_port, site_link),
                         index);
    gmpunchi_port_expiry_enter(master, index);
    return index;
}

/* ---- hosts ---- */

/* Answers the requests that waited for a host of this site, as far as they can be now: see the requests below. */
GMPUNCHI_FN void gmpunchi_site_settle(gmpunch_master *master, uint32_t site);

/* announced: it was since it is without owner, or by its owner's successor. */
GMPUNCHI_FN void gmpunchi_host_own_port(gmpunch_master *master, uint32_t host, uint32_t port, int32_t announced) {
    gmpunchi_port_expiry_leave(master, port);
    gmpunchi_port_at(master, port)->owner = host;
    gmpunchi_port_at(master, port)->fresh = 0;
    gmpunchi_connection_at(master, host)->port = port;
    gmpunchi_connection_at(master, host)->inherited = !announced;
    gmpunchi_site_settle(master, gmpunchi_connection_at(master, host)->site);
}

GMPUNCHI_FN void gmpunchi_host_disown_port(gmpunch_master *master, uint32_t host) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, host);
    gmpunchi_port_at(master, connection->port)->owner = GMPUNCHI_NONE;
    gmpunchi_port_expiry_enter(master, connection->port);
    connection->port = GMPUNCHI_NONE;
}

/* Whether a host can use a port that was announced: it has none; or it registered just now, with a port that it inherited
   and did not announce itself. */
GMPUNCHI_FN int32_t gmpunchi_host_lacks_port(const gmpunch_master *master, const gmpunchi_connection *host,
                                             const gmpunchi_port *offered) {
    const gmpunchi_port *port;
    if (host->port == GMPUNCHI_NONE) return 1;
    port = gmpunchi_port_at(master, host->port);
    return master->object.now - host->registered_at <= GMPUNCHI_SAME_REG_MS && port->seen_at < offered->seen_at &&
           (host->inherited || port->seen_at + GMPUNCHI_SAME_REG_MS < host->registered_at);
}

/* Gives a port without owner to a host of its site that lacks one: of those that registered just now the first, as ports
   come in the order of registrations; otherwise the last. */
GMPUNCHI_FN void gmpunchi_port_offer(gmpunch_master *master, uint32_t port) {
    const gmpunchi_port *offered = gmpunchi_port_at(master, port);
    uint32_t index = gmpunchi_site_at(master, offered->site)->host.tail, host = GMPUNCHI_NONE;
    for (; index != GMPUNCHI_NONE; index = gmpunchi_connection_at(master, index)->site_link.prev) {
        const gmpunchi_connection *candidate = gmpunchi_connection_at(master, index);
        if (host != GMPUNCHI_NONE && master->object.now - candidate->registered_at > GMPUNCHI_IN_FLIGHT_MS) break;
        if (gmpunchi_host_lacks_port(master, candidate, offered)) host = index;
    }
    if (host == GMPUNCHI_NONE) return;
    if (gmpunchi_connection_at(master, host)->port != GMPUNCHI_NONE) gmpunchi_host_disown_port(master, host);
    gmpunchi_host_own_port(master, host, port, gmpunchi_port_at(master, port)->fresh);
}

/* The bytes of its strings. */
GMPUNCHI_FN uint32_t gmpunchi_listing_bytes(const gmpunchi_listing *listing) {
    return listing->size - (uint32_t)sizeof *listing;
}

/* Makes room for one more place in the lobby: those that were left are used again when they are many. */
GMPUNCHI_FN int32_t gmpunchi_listed_reserve(gmpunch_master *master) {
    gmpunchi_listed *to = master->listed;
    uint32_t room = master->listed_room, count = 0, i;
    if (master->places < room) return GMPUNCH_OK;
    if (master->stats.listed > room - room / 4 || !room) {
        room = room ? room * 2 : GMPUNCHI_POOL_FIRST;
        to = (gmpunchi_listed *)gmpunchi_master_alloc(master, room * sizeof *to);
        if (!to) return GMPUNCH_ERR_MEMORY;
    }
    for (i = 0; i < master->places; i++) {
        if (master->listed[i].host == GMPUNCHI_NONE) continue;
        gmpunchi_connection_at(master, master->listed[i].host)->listing->place = count;
        to[count++] = master->listed[i];
    }
    if (to != master->listed) gmpunchi_master_release(master, master->listed, master->listed_room * sizeof *to);
    master->listed = to;
    master->listed_room = room;
    master->places = count;
    return GMPUNCH_OK;
}

/* Eight bits of each data string's hash. */
GMPUNCHI_FN uint64_t gmpunchi_sign(const gmpunch_master *master, const char *const *data) {
    uint64_t signature = 0;
    uint32_t i;
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) {
        const uint8_t *text = (const uint8_t *)data[i];
        signature = signature << 8 | (text[0] ? gmpunchi_siphash(master->key, text, strlen(data[i])) & 0xff : 0);
    }
    return signature;
}

/* Takes a host out of the lobby. */
GMPUNCHI_FN void gmpunchi_host_unlist(gmpunch_master *master, uint32_t index) {
    gmpunchi_connection *host = gmpunchi_connection_at(master, index);
    if (!host->listing) return;
    master->listed[host->listing->place].host = GMPUNCHI_NONE;
    master->stats.data_bytes -= gmpunchi_listing_bytes(host->listing);
    gmpunchi_master_release(master, host->listing, host->listing->size);
    master->stats.listed--;
    master->lobby_version++;
    host->listing = NULL;
}

/* Gives the place of a host in the lobby to another connection of the same. */
GMPUNCHI_FN void gmpunchi_host_relist(gmpunch_master *master, uint32_t old, uint32_t index) {
    gmpunchi_connection *from = gmpunchi_connection_at(master, old), *to = gmpunchi_connection_at(master, index);
    if (!from->listing || to->listing) return;
    master->listed[from->listing->place].host = index;
    to->listing = from->listing;
    from->listing = NULL;
}

GMPUNCHI_FN int32_t gmpunchi_master_has_lobby(const gmpunch_master *master) {
    return !master->config.no_lobby || master->config.testing;
}

/* A "reg2": its strings for the lobby. */
GMPUNCHI_FN void gmpunchi_host_list(gmpunch_master *master, uint32_t index, const gmpunchi_registration *registration) {
    gmpunchi_connection *host = gmpunchi_connection_at(master, index);
    gmpunchi_listing *listing = NULL, *old = host->listing;
    uint64_t before = old ? gmpunchi_listing_bytes(old) : 0;
    size_t size = 0;
    uint64_t signature;
    char *text;
    uint32_t i;
    if (!gmpunchi_master_has_lobby(master)) return;
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) size += strlen(registration->data[i]) + 1;
    if (master->stats.data_bytes - before + size <= master->config.max_data && (old || !gmpunchi_listed_reserve(master)))
        listing = (gmpunchi_listing *)gmpunchi_master_alloc(master, sizeof *listing + size);
    if (!listing) {
        gmpunchi_connection_refused(master, index, &master->stats.refused_data, "host not listed:");
        gmpunchi_host_unlist(master, index);
        return;
    }
    listing->size = (uint32_t)(sizeof *listing + size);
    text = (char *)(listing + 1);
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) {
        size_t len = strlen(registration->data[i]) + 1;
        memcpy(text, registration->data[i], len);
        text += len;
    }
    if (before == size && memcmp(listing + 1, old + 1, size) == 0) { /* said again */
        gmpunchi_master_release(master, listing, listing->size);
        return;
    }
    if (old) {
        listing->created = old->created;
        listing->place = old->place;
        gmpunchi_master_release(master, old, old->size);
    } else {
        listing->place = master->places++;
        master->listed[listing->place].host = index;
        listing->created = master->unix_time ? master->unix_time + (master->object.now - master->unix_at) / 1000 : 0;
        master->stats.listed++;
    }
    signature = gmpunchi_sign(master, registration->data);
    memcpy(master->listed[listing->place].signature, &signature, sizeof signature);
    master->stats.data_bytes += size - before;
    master->lobby_version++;
    host->listing = listing;
}

/* Ends a registration; the connection may live on. Its port waits for the host to come back. */
GMPUNCHI_FN void gmpunchi_host_remove(gmpunch_master *master, uint32_t index, int32_t reason) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    gmpunch_address from = gmpunchi_connection_from(master, index);
    uint32_t port = connection->port;
    if (!connection->is_host) return;
    connection->is_host = 0;
    master->stats.hosts--;
    gmpunchi_host_unlist(master, index);
    gmpunchi_list_remove(&gmpunchi_site_at(master, connection->site)->host, &master->connection,
                         offsetof(gmpunchi_connection, site_link), index);
    if (port != GMPUNCHI_NONE) {
        gmpunchi_host_disown_port(master, index);
        gmpunchi_port_offer(master, port);
    }
    gmpunchi_site_settle(master, connection->site);
    gmpunchi_master_push(master, GMPUNCH_EVENT_HOST_REMOVED, reason, &from, NULL);
    gmpunchi_log(&master->object, GMPUNCH_LOG_INFO, GMPUNCH_LOG_ITEM_PEER, "host removed:", &from);
}

/* The port that a registering host most likely announced, of those without owner and, for a host without any port, those
   that were announced again since their owner registered: that owner is then an old connection of the same host. Of the
   announcements that may still be in flight together with their registrations the first, as both come in the same order: not
   one of an owner that is gone, with which this host need have nothing in common. Otherwise the latest. */
GMPUNCHI_FN uint32_t gmpunchi_host_choose_port(const gmpunch_master *master, const gmpunchi_connection *host) {
    const gmpunchi_site *site = gmpunchi_site_at(master, host->site);
    uint64_t now = master->object.now, first_at = GMPUNCHI_TIME_NEVER, latest_at = 0;
    uint32_t first = GMPUNCHI_NONE, latest = GMPUNCHI_NONE, index;
    for (index = site->host_port.head; index != GMPUNCHI_NONE; index = gmpunchi_port_at(master, index)->site_link.next) {
        const gmpunchi_port *port = gmpunchi_port_at(master, index);
        uint64_t at = port->fresh ? port->fresh_at : port->seen_at;
        int32_t gone = !port->fresh && port->owner == GMPUNCHI_NONE;
        if (port->owner != GMPUNCHI_NONE &&
            (host->port != GMPUNCHI_NONE || now - port->seen_at > GMPUNCHI_CLAIM_MS ||
             port->seen_at <= gmpunchi_connection_at(master, port->owner)->registered_at + GMPUNCHI_SAME_REG_MS))
            continue;
        if (!gone && now - at <= GMPUNCHI_IN_FLIGHT_MS && at < first_at) {
            first = index;
            first_at = at;
        }
        if (latest == GMPUNCHI_NONE || port->seen_at >= latest_at) {
            latest = index;
            latest_at = port->seen_at;
        }
    }
    return first != GMPUNCHI_NONE ? first : latest;
}

/* Whether a host that registers again keeps its port: it repeats itself, it announced that port again, or something still
   comes from there. Otherwise a router may have given it another. */
GMPUNCHI_FN int32_t gmpunchi_host_keeps_port(const gmpunch_master *master, const gmpunchi_connection *host,
                                             uint64_t before) {
    const gmpunchi_port *port = gmpunchi_port_at(master, host->port);
    return master->object.now - before <= GMPUNCHI_SAME_REG_MS || port->seen_at > before + GMPUNCHI_SAME_REG_MS ||
           master->object.now - port->at <= GMPUNCHI_PORT_ALIVE_MS;
}

/* A TCP "reg" or "reg2". */
GMPUNCHI_FN void gmpunchi_host_add(gmpunch_master *master, uint32_t index) {
    gmpunchi_connection *host = gmpunchi_connection_at(master, index);
    gmpunch_address from = gmpunchi_connection_from(master, index);
    uint64_t before = host->registered_at;
    uint32_t port;
    int32_t announced;
    master->stats.registrations++;
    host->registered_at = master->object.now;
    gmpunchi_timer_enter(master, index, GMPUNCHI_TIMER_HOST);
    if (!host->is_host) {
        host->is_host = 1;
        host->port = GMPUNCHI_NONE;
        master->stats.hosts++;
        gmpunchi_list_append(&gmpunchi_site_at(master, host->site)->host, &master->connection,
                             offsetof(gmpunchi_connection, site_link), index);
        gmpunchi_master_push(master, GMPUNCH_EVENT_HOST_ADDED, GMPUNCH_REASON_NONE, &from, NULL);
        gmpunchi_log(&master->object, GMPUNCH_LOG_INFO, GMPUNCH_LOG_ITEM_PEER, "host registered:", &from);
    } else if (host->port != GMPUNCHI_NONE && gmpunchi_host_keeps_port(master, host, before)) {
        return;
    }
    port = gmpunchi_host_choose_port(master, host);
    if (port == GMPUNCHI_NONE) return;
    if (host->port != GMPUNCHI_NONE) {
        uint32_t old = host->port;
        if (master->object.now - gmpunchi_port_at(master, port)->seen_at > GMPUNCHI_SAME_REG_MS) return;
        gmpunchi_host_disown_port(master, index);
        gmpunchi_port_remove(master, old);
    }
    announced = gmpunchi_port_at(master, port)->fresh || gmpunchi_port_at(master, port)->owner != GMPUNCHI_NONE;
    if (gmpunchi_port_at(master, port)->owner != GMPUNCHI_NONE) {
        uint32_t old_host = gmpunchi_port_at(master, port)->owner;
        gmpunchi_host_relist(master, old_host, index);
        gmpunchi_host_disown_port(master, old_host);
        gmpunchi_host_remove(master, old_host, GMPUNCH_REASON_REPLACED);
        gmpunchi_timer_enter(master, old_host, GMPUNCHI_TIMER_IDLE);
    }
    gmpunchi_host_own_port(master, index, port, announced);
}

/* The host that answers for an IP: the one that registered first, so that a second behind the same router does not disturb
   it; unless it fell silent and another did not. GMPUNCHI_NONE if there is none with a UDP port; then *incomplete is 1 if
   one waits for its port. */
GMPUNCHI_FN uint32_t gmpunchi_host_pick(const gmpunch_master *master, const gmpunch_address *ip, int32_t *incomplete) {
    uint32_t site = gmpunchi_site_find(master, ip), host, best = GMPUNCHI_NONE;
    *incomplete = 0;
    if (site == GMPUNCHI_NONE) return GMPUNCHI_NONE;
    for (host = gmpunchi_site_at(master, site)->host.head; host != GMPUNCHI_NONE;
         host = gmpunchi_connection_at(master, host)->site_link.next) {
        const gmpunchi_connection *candidate = gmpunchi_connection_at(master, host);
        if (candidate->port == GMPUNCHI_NONE) {
            *incomplete = 1;
            continue;
        }
        if (master->object.now - candidate->timer_since <= GMPUNCHI_HOST_STALE_MS) return host;
        if (best == GMPUNCHI_NONE || candidate->timer_since > gmpunchi_connection_at(master, best)->timer_since) best = host;
    }
    return best;
}

/* ---- requests ---- */

GMPUNCHI_FN int32_t gmpunchi_answer_not_found(gmpunch_master *master, uint32_t connection) {
    gmpunch_buffer out;
    uint32_t message = gmpunchi_message_begin(master, connection, &out);
    master->stats.not_found++;
    if (message == GMPUNCHI_NONE) return GMPUNCH_ERR_FULL;
    gmpunchi_encode_not_found(&out);
    gmpunchi_message_end(master, connection, message, &out);
    return GMPUNCH_OK;
}

/* To a client, or as an introduction to a host. */
GMPUNCHI_FN int32_t gmpunchi_answer_found(gmpunch_master *master, uint32_t connection, const gmpunch_address *address,
                                          uint8_t introduction) {
    gmpunch_buffer out;
    uint32_t message = gmpunchi_message_begin(master, connection, &out);
    if (message == GMPUNCHI_NONE) return GMPUNCH_ERR_FULL;
    gmpunchi_message_at(master, message)->introduction = introduction;
    gmpunchi_encode_found(&out, address);
    gmpunchi_message_end(master, connection, message, &out);
    return GMPUNCH_OK;
}

/* A request gets its client's port. */
GMPUNCHI_FN void gmpunchi_request_use(gmpunch_master *master, uint32_t index, uint32_t port_index) {
    gmpunchi_request *request = gmpunchi_request_at(master, index);
    gmpunchi_port *port = gmpunchi_port_at(master, port_index);
    gmpunchi_list_remove(&gmpunchi_site_at(master, port->site)->waiting, &master->request,
                         offsetof(gmpunchi_request, site_link), index);
    request->port = port->number;
    port->used = port->pending = 1;
    port->again = 0;
}

GMPUNCHI_FN void gmpunchi_request_wanted_leave(gmpunch_master *master, uint32_t index) {
    gmpunchi_request *request = gmpunchi_request_at(master, index);
    if (request->wanted != GMPUNCHI_NONE)
        gmpunchi_list_remove(&gmpunchi_site_at(master, request->wanted)->wanted, &master->request,
                             offsetof(gmpunchi_request, wanted_link), index);
    request->wanted = GMPUNCHI_NONE;
}

GMPUNCHI_FN void gmpunchi_request_remove(gmpunch_master *master, uint32_t index) {
    gmpunchi_request *request = gmpunchi_request_at(master, index);
    gmpunchi_connection *connection = gmpunchi_connection_at(master, request->connection);
    gmpunchi_site *site = gmpunchi_site_at(master, connection->site);
    uint32_t port = GMPUNCHI_NONE;
    if (request->port == GMPUNCHI_NONE)
        gmpunchi_list_remove(&site->waiting, &master->request, offsetof(gmpunchi_request, site_link), index);
    else port = gmpunchi_port_find(master, &site->client_port, (uint16_t)request->port);
    if (port != GMPUNCHI_NONE) { /* the client may go on announcing until it has the answer */
        gmpunchi_port_at(master, port)->pending = 0;
        gmpunchi_port_at(master, port)->at = master->object.now;
    }
    gmpunchi_request_wanted_leave(master, index);
    if (!request->expired)
        gmpunchi_list_remove(&master->request_expiry, &master->request, offsetof(gmpunchi_request, expiry_link), index);
    gmpunchi_list_remove(&connection->request, &master->request, offsetof(gmpunchi_request, connection_link), index);
    connection->requests--;
    gmpunchi_pool_give(&master->request, index);
}

/* Whether a request can be answered now; *host is then the host, or GMPUNCHI_NONE. */
GMPUNCHI_FN int32_t gmpunchi_request_is_decided(gmpunch_master *master, uint32_t index, uint32_t *host) {
    gmpunchi_request *request = gmpunchi_request_at(master, index);
    int32_t incomplete = 0;
    *host = GMPUNCHI_NONE;
    if (request->target.family) *host = gmpunchi_host_pick(master, &request->target, &incomplete);
    if (request->expired || !request->target.family) return 1;
    if (request->port == GMPUNCHI_NONE) return 0;
    if (*host != GMPUNCHI_NONE || !incomplete) return 1;
    if (request->wanted == GMPUNCHI_NONE) { /* the host's port may come every moment */
        request->wanted = gmpunchi_site_find(master, &request->target);
        gmpunchi_list_append(&gmpunchi_site_at(master, request->wanted)->wanted, &master->request,
                             offsetof(gmpunchi_request, wanted_link), index);
    }
    return 0;
}

/* Introduces client and host, or says that there is none. An error if the client could not even be told that. */
GMPUNCHI_FN int32_t gmpunchi_request_answer(gmpunch_master *master, const gmpunchi_request *request, uint32_t host) {
    gmpunch_address from = gmpunchi_connection_from(master, request->connection), client = from, server = request->target;
    int32_t refused = host == GMPUNCHI_NONE;
    client.port = request->port == GMPUNCHI_NONE ? 0 : (uint16_t)request->port;
    if (!refused) {
        server = gmpunchi_connection_from(master, host);
        server.port = gmpunchi_port_at(master, gmpunchi_connection_at(master, host)->port)->number;
        /* the host first: a host that can't be told must not be promised */
        if (client.port) refused = gmpunchi_answer_found(master, host, &client, 1) != GMPUNCH_OK;
    }
    if (refused) {
        gmpunchi_master_push(master, GMPUNCH_EVENT_NOT_FOUND, GMPUNCH_REASON_HOST_NOT_FOUND, &from, &server);
        return gmpunchi_answer_not_found(master, request->connection);
    }
    if (client.port) master->stats.introductions++;
    else master->stats.portless++;
    gmpunchi_master_push(master, GMPUNCH_EVENT_INTRODUCTION, GMPUNCH_REASON_NONE, &client, &server);
    gmpunchi_log(&master->object, GMPUNCH_LOG_DEBUG, GMPUNCH_LOG_ITEM_INTRODUCTION, "introduced:", &client);
    return gmpunchi_answer_found(master, request->connection, &server, 0);
}

/* Answers what can be answered of a connection, in the order of its requests. A client that can't be answered is closed: it
   must not wait for ever. */
GMPUNCHI_FN void gmpunchi_requests_settle(gmpunch_master *master, uint32_t index) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    uint32_t host, first;
    int32_t failed = 0;
    while (!failed && (first = connection->request.head) != GMPUNCHI_NONE &&
           gmpunchi_request_is_decided(master, first, &host)) {
        failed = gmpunchi_request_answer(master, gmpunchi_request_at(master, first), host);
        gmpunchi_request_remove(master, first);
    }
    for (; !failed && connection->owed && !connection->requests; connection->owed--)
        failed = gmpunchi_answer_not_found(master, index);
    if (failed) gmpunchi_connection_fail(master, index);
}

GMPUNCHI_FN void gmpunchi_site_settle(gmpunch_master *master, uint32_t site_index) {
    gmpunchi_site *site = gmpunchi_site_at(master, site_index);
    uint32_t count = 0, index = site->wanted.head, connection;
    for (; index != GMPUNCHI_NONE; index = gmpunchi_request_at(master, index)->wanted_link.next) count++;
    for (; count && site->wanted.head != GMPUNCHI_NONE; count--) { /* those that must wait on come back at the end */
        index = site->wanted.head;
        connection = gmpunchi_request_at(master, index)->connection;
        gmpunchi_request_wanted_leave(master, index);
        gmpunchi_requests_settle(master, connection);
    }
}

/* A TCP "connect"; target->family 0 for one that names no address. */
GMPUNCHI_FN void gmpunchi_request_add(gmpunch_master *master, uint32_t index, const gmpunch_address *target) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    gmpunchi_site *site = gmpunchi_site_at(master, connection->site);
    uint32_t request_index = GMPUNCHI_NONE, port;
    gmpunchi_request *request;
    master->stats.requested++;
    if (connection->requests < master->config.max_requests_per_connection && !connection->owed)
        request_index = gmpunchi_master_take(master, &master->request);
    if (request_index == GMPUNCHI_NONE) {
        gmpunchi_connection_refused(master, index, &master->stats.refused_requests, "request refused:");
        connection->owed++;
        gmpunchi_requests_settle(master, index);
        return;
    }
    request = gmpunchi_request_at(master, request_index);
    request->target = *target;
    request->connection = index;
    request->since = master->object.now;
    request->port = request->wanted = GMPUNCHI_NONE;
    connection->requests++;
    gmpunchi_list_append(&connection->request, &master->request, offsetof(gmpunchi_request, connection_link), request_index);
    gmpunchi_list_append(&master->request_expiry, &master->request, offsetof(gmpunchi_request, expiry_link), request_index);
    gmpunchi_list_append(&site->waiting, &master->request, offsetof(gmpunchi_request, site_link), request_index);
    port = site->client_port.head;
    while (port != GMPUNCHI_NONE && (gmpunchi_port_at(master, port)->used ||
                                     master->object.now - gmpunchi_port_at(master, port)->seen_at > GMPUNCHI_FRESH_PORT_MS))
        port = gmpunchi_port_at(master, port)->site_link.next;
    if (port != GMPUNCHI_NONE) gmpunchi_request_use(master, request_index, port);
    gmpunchi_requests_settle(master, index);
}

/* The hold is over. The best guess is the port that was announced last of those that no request took, or else one that was
   announced again after an earlier request took it. */
GMPUNCHI_FN void gmpunchi_request_expire(gmpunch_master *master, uint32_t index) {
    gmpunchi_request *request = gmpunchi_request_at(master, index);
    const gmpunchi_site *site = gmpunchi_site_at(master, gmpunchi_connection_at(master, request->connection)->site);
    uint32_t port;
    gmpunchi_list_remove(&master->request_expiry, &master->request, offsetof(gmpunchi_request, expiry_link), index);
    request->expired = 1;
    for (port = site->client_port.tail; request->port == GMPUNCHI_NONE && port != GMPUNCHI_NONE;
         port = gmpunchi_port_at(master, port)->site_link.prev)
        if (!gmpunchi_port_at(master, port)->used) gmpunchi_request_use(master, index, port);
    for (port = site->client_port.head; request->port == GMPUNCHI_NONE && port != GMPUNCHI_NONE;
         port = gmpunchi_port_at(master, port)->site_link.next)
        if (gmpunchi_port_at(master, port)->again) gmpunchi_request_use(master, index, port);
    gmpunchi_requests_settle(master, request->connection);
}

/* ---- connections ---- */

GMPUNCHI_FN uint32_t gmpunchi_connection_id(const gmpunch_master *master, uint32_t index) {
    return (uint32_t)gmpunchi_connection_at(master, index)->generation << 22 | index;
}

/* The place of a connection's id, GMPUNCHI_NONE if it is gone. */
GMPUNCHI_FN uint32_t gmpunchi_connection_place(const gmpunch_master *master, uint32_t id) {
    uint32_t index = id & (GMPUNCHI_MASTER_LIMIT - 1);
    if (index >= master->connection.touched || gmpunchi_connection_at(master, index)->generation == 0 ||
        gmpunchi_connection_id(master, index) != id)
        return GMPUNCHI_NONE;
    return index;
}

/* That, and GMPUNCHI_NONE if it is about to be closed. */
GMPUNCHI_FN uint32_t gmpunchi_connection_index(const gmpunch_master *master, uint32_t id) {
    uint32_t index = gmpunchi_connection_place(master, id);
    return index == GMPUNCHI_NONE || gmpunchi_connection_at(master, index)->out == GMPUNCHI_OUT_CLOSE ? GMPUNCHI_NONE
                                                                                                      : index;
}

/* Forgets everything of a connection but its place. */
GMPUNCHI_FN void gmpunchi_connection_clear(gmpunch_master *master, uint32_t index, int32_t reason) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    /* requests before the host: its end settles what others asked, and this one may have asked for itself */
    while (connection->request.head != GMPUNCHI_NONE) gmpunchi_request_remove(master, connection->request.head);
    connection->owed = 0;
    gmpunchi_host_remove(master, index, reason);
    gmpunchi_out_enter(master, index, GMPUNCHI_OUT_NONE);
    while (connection->messages) gmpunchi_message_pop(master, connection);
    if (master->sending == index) master->sending = GMPUNCHI_NONE;
    gmpunchi_stall_leave(master, index);
    gmpunchi_command_leave(master, index);
    gmpunchi_timer_leave(master, index);
    gmpunchi_partial_drop(master, connection);
    master->stats.connections--;
}

/* Forgets its place and, with its last, its site. */
GMPUNCHI_FN void gmpunchi_connection_give(gmpunch_master *master, uint32_t index) {
    uint32_t site = gmpunchi_connection_at(master, index)->site;
    gmpunchi_site_at(master, site)->connections--;
    gmpunchi_subnet_count(master, gmpunchi_subnet(master, &gmpunchi_site_at(master, site)->ip), -1);
    gmpunchi_site_give(master, site);
    gmpunchi_connection_at(master, index)->generation = 0;
    gmpunchi_pool_give(&master->connection, index);
}

/* Closes from this side: the id is valid until the transmit that says so. */
GMPUNCHI_FN void gmpunchi_connection_close(gmpunch_master *master, uint32_t index, uint64_t *counter, int32_t reason) {
    gmpunchi_connection_refused(master, index, counter, gmpunch_reason_name(reason));
    gmpunchi_connection_clear(master, index, reason);
    gmpunchi_out_enter(master, index, GMPUNCHI_OUT_CLOSE);
}

/* ---- the lobby ---- */

/* A host that fell silent while another behind the same IP did not: most likely what is left of a connection of that one. */
GMPUNCHI_FN int32_t gmpunchi_host_is_ghost(const gmpunch_master *master, const gmpunchi_connection *host) {
    uint32_t index;
    if (master->object.now - host->timer_since <= GMPUNCHI_HOST_STALE_MS) return 0;
    for (index = gmpunchi_site_at(master, host->site)->host.head; index != GMPUNCHI_NONE;
         index = gmpunchi_connection_at(master, index)->site_link.next)
        if (master->object.now - gmpunchi_connection_at(master, index)->timer_since <= GMPUNCHI_HOST_STALE_MS) return 1;
    return 0;
}

/* Data string 0 to 7. */
GMPUNCHI_FN const char *gmpunchi_host_string(const gmpunchi_connection *host, uint32_t number) {
    const char *text = (const char *)(host->listing + 1);
    while (number--) text += strlen(text) + 1;
    return text;
}

GMPUNCHI_FN int32_t gmpunchi_host_matches(const gmpunchi_connection *host, const gmpunchi_lobby_request *request) {
    const char *text = (const char *)(host->listing + 1);
    uint32_t i;
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++, text += strlen(text) + 1)
        if (request->filter[i][0] && strcmp(request->filter[i], text) != 0) return 0;
    return 1;
}

/* A host that a list will have, and what it is sorted by. */
typedef struct gmpunchi_pick {
    const char *key;
    uint32_t host;
} gmpunchi_pick;

typedef struct gmpunchi_picks {
    gmpunchi_pick *item;
    uint32_t count, room;
} gmpunchi_picks;

GMPUNCHI_FN void gmpunchi_picks_free(gmpunch_master *master, gmpunchi_picks *picks) {
    if (picks->item) gmpunchi_text_free(picks->item, picks->room * sizeof *picks->item, master);
}

/* Room for `room` hosts. */
GMPUNCHI_FN int32_t gmpunchi_picks_grow(gmpunch_master *master, gmpunchi_picks *picks, uint32_t room) {
    gmpunchi_pick *item = (gmpunchi_pick *)gmpunchi_text_alloc(room * sizeof *item, master);
    if (!item) return GMPUNCH_ERR_MEMORY;
    if (picks->count) memcpy(item, picks->item, picks->count * sizeof *item);
    gmpunchi_picks_free(master, picks);
    picks->item = item;
    picks->room = room;
    return GMPUNCH_OK;
}

/* Sorts by key; what is equal keeps its order. Merges runs of growing length from one half of the room to the other, so the
   time is bounded whatever the strings are. */
GMPUNCHI_FN void gmpunchi_picks_sort(gmpunchi_pick *item, gmpunchi_pick *spare, uint32_t count) {
    gmpunchi_pick *from = item, *to = spare, *swap;
    uint32_t run, start;
    for (run = 1; run < count; run *= 2) {
        for (start = 0; start < count; start += 2 * run) {
            uint32_t middle = count - start > run ? start + run : count;
            uint32_t end = count - start > 2 * run ? start + 2 * run : count;
            uint32_t a = start, b = middle, at;
            for (at = start; at < end; at++)
                to[at] = b == end || (a < middle && strcmp(from[a].key, from[b].key) <= 0) ? from[a++] : from[b++];
        }
        swap = from;
        from = to;
        to = swap;
    }
    if (from != item) memcpy(item, from, count * sizeof *item);
}

/* The hosts of a list, in its order. */
GMPUNCHI_FN int32_t gmpunchi_lobby_pick(gmpunch_master *master, const gmpunchi_lobby_request *request,
                                        gmpunchi_picks *picks) {
    int32_t backwards = !request->sort_by && request->descending;
    uint64_t filter = gmpunchi_sign(master, request->filter), mask = 0, signature;
    uint32_t i;
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) mask = mask << 8 | (request->filter[i][0] ? 0xff : 0);
    for (i = 0; i < master->places && (request->sort_by || picks->count < request->limit); i++) {
        const gmpunchi_listed *listed = &master->listed[backwards ? master->places - 1 - i : i];
        const gmpunchi_connection *host;
        memcpy(&signature, listed->signature, sizeof signature);
        if (((signature ^ filter) & mask) != 0 || listed->host == GMPUNCHI_NONE) continue;
        host = gmpunchi_connection_at(master, listed->host);
        if (!gmpunchi_host_matches(host, request) || gmpunchi_host_is_ghost(master, host)) continue;
        if (picks->count == picks->room && gmpunchi_picks_grow(master, picks, picks->room ? picks->room * 2 : 64))
            return GMPUNCH_ERR_MEMORY;
        picks->item[picks->count].key = request->sort_by ? gmpunchi_host_string(host, request->sort_by - 1) : "";
        picks->item[picks->count++].host = listed->host;
    }
    if (!request->sort_by || !picks->count) return GMPUNCH_OK;
    if (picks->room < 2 * picks->count && gmpunchi_picks_grow(master, picks, 2 * picks->count)) return GMPUNCH_ERR_MEMORY;
    gmpunchi_picks_sort(picks->item, picks->item + picks->count, picks->count);
    for (i = 0; request->descending && i < picks->count / 2; i++) {
        gmpunchi_pick swap = picks->item[i];
        picks->item[i] = picks->item[picks->count - 1 - i];
        picks->item[picks->count - 1 - i] = swap;
    }
    if (picks->count > request->limit) picks->count = (uint32_t)request->limit;
    return GMPUNCH_OK;
}

/* Writes the list. One that is longer than max_lobby ends with the last host that fits. */
GMPUNCHI_FN int32_t gmpunchi_lobby_write(gmpunch_master *master, gmpunch_buffer *out, const gmpunchi_picks *picks) {
    static const size_t end_len = 2, entry_len = 180; /* the text around the data strings, at most */
    gmpunchi_lobby_entry entry;
    size_t room = end_len + 2, mark;
    uint32_t i, k;
    for (i = 0; i < picks->count; i++)
        room += gmpunchi_listing_bytes(gmpunchi_connection_at(master, picks->item[i].host)->listing) + entry_len;
    if (gmpunchi_buffer_grow(out, room < out->limit ? room : out->limit)) return GMPUNCH_ERR_MEMORY;
    out->limit -= end_len;
    gmpunchi_encode_lobby_begin(out);
    for (i = 0; i < picks->count && !out->error; i++) {
        const gmpunchi_connection *host = gmpunchi_connection_at(master, picks->item[i].host);
        const char *text = (const char *)(host->listing + 1);
        entry.ip = gmpunchi_connection_from(master, picks->item[i].host);
        entry.created = host->listing->created;
        for (k = 0; k < GMPUNCH_DATA_STRINGS; k++, text += strlen(text) + 1) entry.data[k] = text;
        mark = out->position;
        gmpunchi_encode_lobby_entry(out, &entry, i == 0);
        if (out->error == GMPUNCH_ERR_MEMORY) return GMPUNCH_ERR_MEMORY;
        if (!out->error && out->used <= out->limit) continue;
        out->position = out->used = mark;
        master->stats.lobby_truncated++;
        gmpunchi_log(&master->object, GMPUNCH_LOG_WARNING, GMPUNCH_LOG_ITEM_REFUSED, "lobby list cut at max_lobby", NULL);
        break;
    }
    out->error = GMPUNCH_OK;
    out->limit += end_len;
    return gmpunchi_encode_lobby_end(out);
}

/* Makes the list that a text was asked for. */
GMPUNCHI_FN int32_t gmpunchi_lobby_make(gmpunch_master *master, gmpunchi_text *text) {
    gmpunchi_picks picks;
    int32_t result = GMPUNCH_OK;
    memset(&picks, 0, sizeof picks);
    if (text->request.limit) result = gmpunchi_lobby_pick(master, &text->request, &picks);
    if (!result) result = gmpunchi_lobby_write(master, &text->out, &picks);
    gmpunchi_picks_free(master, &picks);
    if (result) {
        gmpunchi_text_clear(master, text);
        return result;
    }
    text->made = 1;
    text->made_at = master->object.now;
    text->version = master->lobby_version;
    master->stats.lobby_built++;
    return GMPUNCH_OK;
}

/* Until when a kept text is true, as far as is known: one that is not made yet stays. */
GMPUNCHI_FN uint64_t gmpunchi_kept_until(const gmpunch_master *master, const gmpunchi_text *text) {
    if (!text || !text->made) return GMPUNCHI_TIME_NEVER;
    return text->version == master->lobby_version ? text->made_at + GMPUNCHI_LOBBY_FRESH_MS : text->made_at;
}

GMPUNCHI_FN void gmpunchi_lobby_unkeep(gmpunch_master *master, uint32_t slot) {
    gmpunchi_text *text = master->kept[slot];
    master->kept[slot] = NULL;
    gmpunchi_text_drop(master, text);
}

GMPUNCHI_FN int32_t gmpunchi_lobby_forget(gmpunch_master *master) {
    int32_t forgot = 0;
    uint32_t i;
    for (i = 0; i < GMPUNCHI_LOBBY_KEPT; i++) {
        if (!master->kept[i] || master->kept[i]->refs > 1) continue;
        gmpunchi_lobby_unkeep(master, i);
        forgot = 1;
    }
    return forgot;
}

/* A text for this request that is still true, or not made yet; NULL if there is none. */
GMPUNCHI_FN gmpunchi_text *gmpunchi_lobby_kept(const gmpunch_master *master, const gmpunchi_lobby_request *request) {
    uint32_t i, k;
    for (i = 0; i < GMPUNCHI_LOBBY_KEPT; i++) {
        gmpunchi_text *text = master->kept[i];
        if (!text || master->object.now > gmpunchi_kept_until(master, text) ||
            (text->made && text->version != master->lobby_version) || text->request.sort_by != request->sort_by ||
            text->request.descending != request->descending || text->request.limit != request->limit)
            continue;
        for (k = 0; k < GMPUNCH_DATA_STRINGS && strcmp(text->request.filter[k], request->filter[k]) == 0; k++) {}
        if (k == GMPUNCH_DATA_STRINGS) return text;
    }
    return NULL;
}

/* Whether a command, which costs as much as so many, is not too fast for its IP; otherwise a host's is ignored, and any
   other connection closed. */
GMPUNCHI_FN int32_t gmpunchi_command_is_allowed(gmpunch_master *master, uint32_t index, uint32_t commands) {
    const gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    if (!gmpunchi_commands_are_fast(master, gmpunchi_site_at(master, connection->site), commands)) return 1;
    if (connection->is_host) gmpunchi_connection_refused(master, index, &master->stats.refused_commands, "too fast:");
    else gmpunchi_connection_close(master, index, &master->stats.refused_commands, GMPUNCH_REASON_LIMIT);
    return 0;
}

/* A "lobby2". */
GMPUNCHI_FN void gmpunchi_lobby_ask(gmpunch_master *master, uint32_t index, const char *arguments, size_t len) {
    gmpunchi_lobby_request request;
    gmpunchi_text *text;
    size_t filters_len = 0;
    uint32_t i;
    master->stats.lobby_requests++;
    if (!gmpunchi_master_has_lobby(master)) return;
    gmpunchi_decode_lobby_request(arguments, len, &request);
    text = gmpunchi_lobby_kept(master, &request);
    if (!text) {
        if (!gmpunchi_command_is_allowed(master, index, GMPUNCHI_LOBBY_COST - 1)) return;
        for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) filters_len += strlen(request.filter[i]) + 1;
        text = gmpunchi_text_new(master, &request, filters_len);
        if (!text) {
            gmpunchi_connection_refused(master, index, &master->stats.refused_lobby, "no memory for a lobby list:");
            gmpunchi_connection_fail(master, index);
            return;
        }
        gmpunchi_lobby_unkeep(master, master->next_kept);
        master->kept[master->next_kept] = text;
        master->next_kept = (master->next_kept + 1) % GMPUNCHI_LOBBY_KEPT;
    }
    text->refs++;
    gmpunchi_answer_text(master, index, text);
}

/* ---- commands ---- */

/* "istesting", "testinginfos" and "version". */
GMPUNCHI_FN void gmpunchi_answer_about(gmpunch_master *master, uint32_t index, uint8_t command) {
    gmpunch_buffer out;
    uint32_t message;
    if (command == GMPUNCHI_COMMAND_TESTING_INFOS) {
        master->infos->refs++;
        gmpunchi_answer_text(master, index, master->infos);
        return;
    }
    message = gmpunchi_message_begin(master, index, &out);
    if (message == GMPUNCHI_NONE) {
        gmpunchi_connection_fail(master, index);
        return;
    }
    if (command == GMPUNCHI_COMMAND_IS_TESTING) gmpunchi_encode_testing(&out, master->config.testing);
    else gmpunchi_encode_version(&out);
    gmpunchi_message_end(master, index, message, &out);
}

GMPUNCHI_FN void gmpunchi_command_run(gmpunch_master *master, uint32_t index, uint8_t command, const char *arguments,
                                      size_t len) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    gmpunchi_registration registration;
    int64_t minimum[3];
    gmpunch_address target;
    if (command != GMPUNCHI_COMMAND_PING && !gmpunchi_command_is_allowed(master, index, 1)) return;
    switch (command) {
    case GMPUNCHI_COMMAND_REG:
        connection->sent_reg = 1;
        gmpunchi_host_add(master, index);
        break;
    case GMPUNCHI_COMMAND_REG2:
        if (gmpunchi_decode_reg2(arguments, len, &registration)) {
            master->stats.lines_ignored++;
            break;
        }
        gmpunchi_decode_version(GMPUNCH_MINIMUM_PROTOCOL_VERSION, minimum);
        if (gmpunchi_version_is_below(registration.version, minimum))
            gmpunchi_connection_close(master, index, &master->stats.closed_version, GMPUNCH_REASON_VERSION);
        else {
            connection->streams = connection->sent_reg;
            gmpunchi_host_add(master, index);
            gmpunchi_host_list(master, index, &registration);
        }
        break;
    case GMPUNCHI_COMMAND_CONNECT:
        if (gmpunchi_decode_connect(arguments, &target)) {
            master->stats.lines_ignored++;
            target.family = 0; /* a client is always answered */
        }
        gmpunchi_request_add(master, index, &target);
        break;
    case GMPUNCHI_COMMAND_LOBBY: gmpunchi_lobby_ask(master, index, arguments, len); break;
    case GMPUNCHI_COMMAND_IS_TESTING:
    case GMPUNCHI_COMMAND_TESTING_INFOS:
    case GMPUNCHI_COMMAND_VERSION: gmpunchi_answer_about(master, index, command); break;
    default: /* "ping": a sign of life like any byte */ break;
    }
}

/* What is read of a command: its text in master->work, complete arguments as strings, then the unfinished line. */
typedef struct gmpunchi_reading {
    uint32_t used;
    uint32_t line_start;
    int32_t completed; /* a command was, in this read */
} gmpunchi_reading;

/* A line is complete. */
GMPUNCHI_FN void gmpunchi_line_run(gmpunch_master *master, uint32_t index, gmpunchi_reading *reading) {
    gmpunchi_connection *connection = gmpunchi_connection_at(master, index);
    const char *line = (const char *)master->work + reading->line_start;
    uint32_t len = reading->used - reading->line_start;
    const gmpunchi_command *found;
    uint8_t command = connection->command;
    if (command == GMPUNCHI_COMMAND_NONE) {
        found = gmpunchi_decode_command(line, len);
        if (!found && len) master->stats.lines_ignored++;
        reading->used = 0;
        if (found && found->arguments) {
            connection->command = found->command;
            connection->arguments = found->arguments;
        } else if (found) {
            reading->completed = 1;
            gmpunchi_command_run(master, index, found->command, "", 0);
        }
        return;
    }
    master->work[reading->used++] = 0;
    reading->line_start = reading->used;
    if (--connection->arguments) return;
    connection->command = GMPUNCHI_COMMAND_NONE;
    reading->line_start = 0;
    reading->completed = 1;
    len = reading->used;
    reading->used = 0;
    gmpunchi_command_run(master, index, command, (const char *)master->work, len);
}

/* Keeps an unfinished command until more comes. */
GMPUNCHI_FN int32_t gmpunchi_reading_keep(gmpunch_master *master, gmpunchi_connection *connection,
                                          const gmpunchi_reading *reading) {
    uint32_t size = 64, needed = (uint32_t)sizeof *connection->in + reading->used;
    if (connection->in && (connection->in->size < needed || !reading->used)) gmpunchi_partial_drop(master, connection);
    if (!reading->used) return GMPUNCH_OK;
    if (!connection->in) {
        while (size < needed) size *= 2;
        connection->in = (gmpunchi_partial *)gmpunchi_master_alloc(master, size);
        if (!connection->in) return GMPUNCH_ERR_MEMORY;
        connection->in->size = size;
    }
    connection->in->len = reading->used;
    connection->in->line_start = reading->line_start;
    memcpy(connection->in + 1, master->work, reading->used);
    return GMPUNCH_OK;
}

int32_t gmpunch_master_tcp_data(gmpunch_master *master, uint64_t now, uint32_t connection_id, const uint8_t *data,
                                size_t len) {
    gmpunchi_connection *connection;
    gmpunchi_reading reading;
    uint32_t index;
    size_t i;
    if (!master || (!data && len)) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&master->object, now);
    index = gmpunchi_connection_index(master, connection_id);
    if (index == GMPUNCHI_NONE) return GMPUNCH_ERR_CONNECTION;
    connection = gmpunchi_connection_at(master, index);
    master->stats.tcp_bytes_in += len;
    reading.completed = 0;
    reading.used = reading.line_start = 0;
    if (connection->in) {
        reading.used = connection->in->len;
        reading.line_start = connection->in->line_start;
        memcpy(master->work, connection->in + 1, reading.used);
    }
    for (i = 0; i < len && connection->out != GMPUNCHI_OUT_CLOSE; i++) {
        int32_t kind = gmpunchi_decode_line_byte(&connection->after_cr, data[i]);
        if (kind == GMPUNCHI_LINE_END) {
            gmpunchi_line_run(master, index, &reading);
        } else if (kind == GMPUNCHI_LINE_BYTE) {
            if (reading.used - reading.line_start == master->config.max_line) {
                gmpunchi_connection_close(master, index, &master->stats.closed_line, GMPUNCH_REASON_LIMIT);
                break;
            }
            master->work[reading.used++] = data[i];
        }
    }
    if (connection->out == GMPUNCHI_OUT_CLOSE) return GMPUNCH_OK;
    if (gmpunchi_reading_keep(master, connection, &reading)) {
        gmpunchi_connection_close(master, index, &master->stats.closed_full, GMPUNCH_REASON_LIMIT);
        return GMPUNCH_OK;
    }
    /* bytes of a command do not give it more time, nor unknown lines, whole or in pieces, an idle connection */
    if (!connection->command && !reading.used) gmpunchi_command_leave(master, index);
    else if (!connection->commanding || reading.completed) gmpunchi_command_enter(master, index);
    if (connection->is_host) gmpunchi_timer_enter(master, index, GMPUNCHI_TIMER_HOST);
    else if (reading.completed) gmpunchi_timer_enter(master, index, GMPUNCHI_TIMER_IDLE);
    return GMPUNCH_OK;
}

int32_t gmpunch_master_tcp_accepted(gmpunch_master *master, uint64_t now, const gmpunch_address *from,
                                    uint32_t *connection) {
    gmpunchi_connection *added;
    gmpunch_address normal;
    uint32_t index, site, subnet;
    if (!master || !from || !connection) return GMPUNCH_ERR_ARGUMENT;
    *connection = 0;
    gmpunchi_advance(&master->object, now);
    normal = *from;
    gmpunchi_address_normalize(&normal);
    if (normal.family != 4 && normal.family != 6) return GMPUNCH_ERR_ADDRESS;
    if (master->connection.count >= master->connection.limit) {
        gmpunchi_master_refused(master, &master->stats.refused_connections, "connection refused:", &normal);
        return GMPUNCH_ERR_FULL;
    }
    if (master->stats.connections - master->stats.hosts >= master->config.max_waiting_connections) {
        gmpunchi_master_refused(master, &master->stats.refused_connections_waiting, "connection refused:", &normal);
        return GMPUNCH_ERR_FULL;
    }
    subnet = gmpunchi_subnet(master, &normal);
    if (gmpunchi_subnet_is_full(master, subnet)) {
        gmpunchi_master_refused(master, &master->stats.refused_connections_subnet, "too many connections of the subnet of",
                                &normal);
        return GMPUNCH_ERR_FULL;
    }
    site = gmpunchi_site_get(master, &normal);
    if (site == GMPUNCHI_NONE) return GMPUNCH_ERR_MEMORY;
    if (gmpunchi_site_at(master, site)->connections >= master->config.max_connections_per_ip) {
        gmpunchi_master_refused(master, &master->stats.refused_connections_ip, "too many connections of", &normal);
        return GMPUNCH_ERR_FULL;
    }
    index = gmpunchi_master_take(master, &master->connection);
    if (index == GMPUNCHI_NONE) {
        gmpunchi_site_give(master, site);
        return GMPUNCH_ERR_MEMORY;
    }
    added = gmpunchi_connection_at(master, index);
    added->site = site;
    added->from_port = normal.port;
    added->port = GMPUNCHI_NONE;
    master->generation = master->generation % 1023 + 1;
    added->generation = (uint16_t)master->generation;
    gmpunchi_list_init(&added->request);
    gmpunchi_site_at(master, site)->connections++;
    gmpunchi_subnet_count(master, subnet, 1);
    gmpunchi_timer_start(master, index, GMPUNCHI_TIMER_IDLE);
    master->stats.connections++;
    master->stats.accepted++;
    *connection = gmpunchi_connection_id(master, index);
    return GMPUNCH_OK;
}

int32_t gmpunch_master_tcp_closed(gmpunch_master *master, uint64_t now, uint32_t connection, int32_t os_error) {
    uint32_t index;
    if (!master) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&master->object, now);
    index = gmpunchi_connection_place(master, connection);
    if (index == GMPUNCHI_NONE) return GMPUNCH_ERR_CONNECTION;
    if (gmpunchi_connection_at(master, index)->out == GMPUNCHI_OUT_CLOSE) { /* it was to be closed: now it need not */
        gmpunchi_out_enter(master, index, GMPUNCHI_OUT_NONE);
    } else {
        if (os_error) master->object.os_error = os_error;
        gmpunchi_connection_clear(master, index, os_error ? GMPUNCH_REASON_SOCKET : GMPUNCH_REASON_CLOSED);
    }
    gmpunchi_connection_give(master, index);
    return GMPUNCH_OK;
}

/* ---- UDP ---- */

/* "reg" over UDP. It never moves or hides a host that is registered over TCP: that takes a registration there as well. */
GMPUNCHI_FN void gmpunchi_udp_reg(gmpunch_master *master, const gmpunch_address *from) {
    uint32_t site = gmpunchi_site_get(master, from), index;
    gmpunchi_port *port;
    if (site == GMPUNCHI_NONE) return;
    index = gmpunchi_port_find(master, &gmpunchi_site_at(master, site)->host_port, from->port);
    if (index == GMPUNCHI_NONE) {
        index = gmpunchi_port_add(master, site, from->port, 1);
        if (index == GMPUNCHI_NONE) {
            gmpunchi_site_give(master, site);
            return;
        }
    }
    port = gmpunchi_port_at(master, index);
    port->seen_at = port->at = master->object.now;
    if (port->owner != GMPUNCHI_NONE) {
        gmpunchi_connection_at(master, port->owner)->inherited = 0;
        gmpunchi_connection_touch(master, port->owner);
        return;
    }
    gmpunchi_port_expiry_leave(master, index);
    gmpunchi_port_expiry_enter(master, index);
    if (!port->fresh) {
        port->fresh = 1;
        port->fresh_at = master->object.now;
    }
    gmpunchi_port_offer(master, index);
}

/* Whether an announced port, which a request took before, is announced for another one: see GMPUNCHI_USED_PORT_MS. */
GMPUNCHI_FN int32_t gmpunchi_port_is_retry(const gmpunch_master *master, const gmpunchi_port *port, uint32_t waiting) {
    uint64_t now = master->object.now;
    if (port->pending) return 0;
    return now - port->at > GMPUNCHI_USED_PORT_MS ||
           (now - port->at > GMPUNCHI_RETRY_MS && waiting != GMPUNCHI_NONE &&
            now - gmpunchi_request_at(master, waiting)->since >= GMPUNCHI_RETRY_MS &&
            gmpunchi_site_at(master, port->site)->client_ports == 1);
}

/* "connect" over UDP. */
GMPUNCHI_FN void gmpunchi_udp_announce(gmpunch_master *master, const gmpunch_address *from) {
    uint32_t site_index = gmpunchi_site_get(master, from), index, waiting;
    gmpunchi_site *site;
    gmpunchi_port *port;
    if (site_index == GMPUNCHI_NONE) return;
    site = gmpunchi_site_at(master, site_index);
    index = gmpunchi_port_find(master, &site->client_port, from->port);
    if (index == GMPUNCHI_NONE) {
        index = gmpunchi_port_add(master, site_index, from->port, 0);
        if (index == GMPUNCHI_NONE) {
            gmpunchi_site_give(master, site_index);
            return;
        }
    }
    port = gmpunchi_port_at(master, index);
    port->seen_at = master->object.now;
    gmpunchi_port_expiry_leave(master, index);
    gmpunchi_port_expiry_enter(master, index);
    waiting = site->waiting.head;
    if (port->used && !gmpunchi_port_is_retry(master, port, waiting)) {
        port->again = 1;
        return;
    }
    if (port->used) { /* the same port, but a new request: at the end of the queue */
        port->used = port->again = 0;
        gmpunchi_list_remove(&site->client_port, &master->port, offsetof(gmpunchi_port, site_link), index);
        gmpunchi_list_append(&site->client_port, &master->port, offsetof(gmpunchi_port, site_link), index);
    }
    if (waiting != GMPUNCHI_NONE) {
        gmpunchi_request_use(master, waiting, index);
        gmpunchi_requests_settle(master, gmpunchi_request_at(master, waiting)->connection);
    }
}

/* Any other datagram from the port of a host is a sign of life. */
GMPUNCHI_FN void gmpunchi_udp_other(gmpunch_master *master, const gmpunch_address *from) {
    uint32_t site = gmpunchi_site_find(master, from), port;
    master->stats.udp_ignored++;
    if (site == GMPUNCHI_NONE) return;
    port = gmpunchi_port_find(master, &gmpunchi_site_at(master, site)->host_port, from->port);
    if (port == GMPUNCHI_NONE) return;
    gmpunchi_port_at(master, port)->at = master->object.now;
    if (gmpunchi_port_at(master, port)->owner != GMPUNCHI_NONE)
        gmpunchi_connection_touch(master, gmpunchi_port_at(master, port)->owner);
}

int32_t gmpunch_master_input_udp(gmpunch_master *master, uint64_t now, const gmpunch_address *from, uint32_t socket_index,
                                 const uint8_t *data, size_t len) {
    gmpunch_address sender;
    (void)socket_index;
    if (!master || !from || (!data && len)) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&master->object, now);
    master->stats.udp_received++;
    master->stats.udp_bytes_in += len;
    sender = *from;
    gmpunchi_address_normalize(&sender);
    if (!gmpunchi_address_is_unicast(&sender)) {
        master->stats.udp_ignored++;
        return GMPUNCH_CONSUMED;
    }
    switch (gmpunchi_decode_master_datagram(data, len)) {
    case GMPUNCHI_COMMAND_REG: gmpunchi_udp_reg(master, &sender); break;
    case GMPUNCHI_COMMAND_CONNECT: gmpunchi_udp_announce(master, &sender); break;
    default: gmpunchi_udp_other(master, &sender);
    }
    return GMPUNCH_CONSUMED;
}

/* ---- time ---- */

/* How long a connection may be idle: under pressure no longer than a command may take. */
GMPUNCHI_FN uint32_t gmpunchi_idle_ms(const gmpunch_master *master) {
    uint32_t ms = master->config.idle_timeout_ms, waiting = master->stats.connections - master->stats.hosts;
    return waiting > master->config.max_waiting_connections / 2 && ms > master->config.command_timeout_ms
               ? master->config.command_timeout_ms
               : ms;
}

/* When the first of a timer's connections is due. */
GMPUNCHI_FN uint64_t gmpunchi_timer_due(const gmpunch_master *master, uint32_t timer) {
    uint32_t ms = timer == GMPUNCHI_TIMER_IDLE ? gmpunchi_idle_ms(master) : master->config.host_timeout_ms;
    uint32_t head = master->timer[timer].head;
    return head == GMPUNCHI_NONE ? GMPUNCHI_TIME_NEVER
                                 : gmpunchi_after(gmpunchi_connection_at(master, head)->timer_since, ms);
}

GMPUNCHI_FN uint64_t gmpunchi_command_due(const gmpunch_master *master) {
    uint32_t head = master->commanding.head;
    return head == GMPUNCHI_NONE
               ? GMPUNCHI_TIME_NEVER
               : gmpunchi_after(gmpunchi_connection_at(master, head)->command_since, master->config.command_timeout_ms);
}

GMPUNCHI_FN uint64_t gmpunchi_port_due(const gmpunch_master *master, const gmpunchi_list *list, uint32_t ms) {
    return list->head == GMPUNCHI_NONE ? GMPUNCHI_TIME_NEVER
                                       : gmpunchi_after(gmpunchi_port_at(master, list->head)->expiry_since, ms);
}

GMPUNCHI_FN uint64_t gmpunchi_request_due(const gmpunch_master *master) {
    uint32_t head = master->request_expiry.head;
    return head == GMPUNCHI_NONE ? GMPUNCHI_TIME_NEVER
                                 : gmpunchi_after(gmpunchi_request_at(master, head)->since, master->config.hold_ms);
}

/* When the first host that has something to send may. */
GMPUNCHI_FN uint64_t gmpunchi_cooling_due(const gmpunch_master *master) {
    return master->cooling_messages ? gmpunchi_cool_until(master, master->out[GMPUNCHI_OUT_COOLING].head)
                                    : GMPUNCHI_TIME_NEVER;
}

GMPUNCHI_FN uint64_t gmpunchi_stall_due(const gmpunch_master *master) {
    uint32_t head = master->stalled.head;
    return head == GMPUNCHI_NONE
               ? GMPUNCHI_TIME_NEVER
               : gmpunchi_after(gmpunchi_connection_at(master, head)->output_since, master->config.write_timeout_ms);
}

int32_t gmpunch_master_set_unix_time(gmpunch_master *master, uint64_t now, uint64_t unix_seconds) {
    if (!master) return GMPUNCH_ERR_ARGUMENT;
    master->unix_at = gmpunchi_advance(&master->object, now);
    master->unix_time = unix_seconds;
    return GMPUNCH_OK;
}

int32_t gmpunch_master_tick(gmpunch_master *master, uint64_t now) {
    uint32_t i;
    if (!master) return GMPUNCH_ERR_ARGUMENT;
    now = gmpunchi_advance(&master->object, now);
    while (now >= gmpunchi_request_due(master)) gmpunchi_request_expire(master, master->request_expiry.head);
    while (now >= gmpunchi_port_due(master, &master->client_port_expiry, master->config.client_port_ms))
        gmpunchi_port_remove(master, master->client_port_expiry.head);
    while (now >= gmpunchi_port_due(master, &master->host_port_expiry, master->config.host_port_ms))
        gmpunchi_port_remove(master, master->host_port_expiry.head);
    while (now >= gmpunchi_command_due(master))
        gmpunchi_connection_close(master, master->commanding.head, &master->stats.closed_command, GMPUNCH_REASON_TIMEOUT);
    while (now >= gmpunchi_timer_due(master, GMPUNCHI_TIMER_IDLE))
        gmpunchi_connection_close(master, master->timer[GMPUNCHI_TIMER_IDLE].head, &master->stats.closed_idle,
                                  GMPUNCH_REASON_TIMEOUT);
    while (now >= gmpunchi_timer_due(master, GMPUNCHI_TIMER_HOST))
        gmpunchi_connection_close(master, master->timer[GMPUNCHI_TIMER_HOST].head, &master->stats.closed_host,
                                  GMPUNCH_REASON_TIMEOUT);
    while (now >= gmpunchi_stall_due(master))
        gmpunchi_connection_close(master, master->stalled.head, &master->stats.closed_write, GMPUNCH_REASON_TIMEOUT);
    for (i = 0; i < GMPUNCHI_LOBBY_KEPT; i++)
        if (now > gmpunchi_kept_until(master, master->kept[i])) gmpunchi_lobby_unkeep(master, i);
    /* at last: what came before may have given a host something to send */
    while (now >= gmpunchi_cooling_due(master)) gmpunchi_out_resume(master, master->out[GMPUNCHI_OUT_COOLING].head);
    return GMPUNCH_OK;
}

/* Whether next_transmit has something to say. */
GMPUNCHI_FN int32_t gmpunchi_master_has_output(const gmpunch_master *master) {
    return master->out[GMPUNCHI_OUT_READY].head != GMPUNCHI_NONE || master->out[GMPUNCHI_OUT_MAKING].head != GMPUNCHI_NONE ||
           master->out[GMPUNCHI_OUT_CLOSE].head != GMPUNCHI_NONE || master->out[GMPUNCHI_OUT_FAILED].head != GMPUNCHI_NONE;
}

uint64_t gmpunch_master_next_deadline(const gmpunch_master *master) {
    uint64_t due;
    uint32_t i;
    if (!master) return GMPUNCHI_TIME_NEVER;
    /* a poll does not send without end */
    if (master->object.drive && (master->unread || gmpunchi_master_has_output(master))) return master->object.now;
    due = gmpunchi_earlier(master->accept_at, gmpunchi_earlier(gmpunchi_request_due(master), gmpunchi_stall_due(master)));
    due = gmpunchi_earlier(due, gmpunchi_cooling_due(master));
    for (i = 0; i < GMPUNCHI_LOBBY_KEPT; i++) {
        uint64_t until = gmpunchi_kept_until(master, master->kept[i]);
        if (until != GMPUNCHI_TIME_NEVER) due = gmpunchi_earlier(due, until + 1);
    }
    due = gmpunchi_earlier(due, gmpunchi_port_due(master, &master->client_port_expiry, master->config.client_port_ms));
    due = gmpunchi_earlier(due, gmpunchi_port_due(master, &master->host_port_expiry, master->config.host_port_ms));
    for (i = 0; i < GMPUNCHI_TIMERS; i++) due = gmpunchi_earlier(due, gmpunchi_timer_due(master, i));
    return gmpunchi_earlier(due, gmpunchi_command_due(master));
}

/* ---- creation ---- */

GMPUNCHI_FN int32_t gmpunchi_master_configure(const gmpunch_master_config *given, gmpunch_master_config *config) {
    int32_t result = gmpunchi_struct_in(config, given, sizeof *config);
    if (result) return result;
    config->struct_size = (uint32_t)sizeof *config;
    if (!config->port) config->port = GMPUNCH_DEFAULT_PORT;
    if (config->any_port) config->port = 0;
    config->hold_ms = gmpunchi_or_default(config->hold_ms, 1000);
    config->client_port_ms = gmpunchi_or_default(config->client_port_ms, 10000);
    config->host_port_ms = gmpunchi_or_default(config->host_port_ms, 60000);
    config->command_timeout_ms = gmpunchi_or_default(config->command_timeout_ms, 5000);
    config->idle_timeout_ms = gmpunchi_or_default(config->idle_timeout_ms, 60000);
    config->host_timeout_ms = gmpunchi_or_default(config->host_timeout_ms, 1800000);
    config->write_timeout_ms = gmpunchi_or_default(config->write_timeout_ms, 15000);
    config->max_connections = gmpunchi_or_default(config->max_connections, 65536);
    config->max_connections_per_ip = gmpunchi_or_default(config->max_connections_per_ip, 256);
    config->max_ports = gmpunchi_or_default(config->max_ports, 131072);
    config->max_ports_per_ip = gmpunchi_or_default(config->max_ports_per_ip, 64);
    config->max_requests = gmpunchi_or_default(config->max_requests, 65536);
    config->max_requests_per_connection = gmpunchi_or_default(config->max_requests_per_connection, 8);
    config->max_messages = gmpunchi_or_default(config->max_messages, 131072);
    config->max_messages_per_connection = gmpunchi_or_default(config->max_messages_per_connection, 64);
    config->max_line = gmpunchi_or_default(config->max_line, 1024);
    config->introduction_gap_ms = gmpunchi_or_default(config->introduction_gap_ms, 50);
    config->max_data = gmpunchi_or_default(config->max_data, 64u << 20);
    config->max_lobby = gmpunchi_or_default(config->max_lobby, 32u << 20);
    config->max_lobby_memory = gmpunchi_or_default(config->max_lobby_memory, 128u << 20);
    config->max_connections_per_subnet = gmpunchi_or_default(config->max_connections_per_subnet, 4096);
    config->max_waiting_connections =
        gmpunchi_or_default(config->max_waiting_connections, config->max_connections - config->max_connections / 4);
    config->max_commands_per_second = gmpunchi_or_default(config->max_commands_per_second, 200);
    config->max_lobby_memory_per_ip = gmpunchi_or_default(config->max_lobby_memory_per_ip, 32u << 20);
    if (!config->name) config->name = "gmpunch";
    if (!config->seed) config->seed = 1;
    if (config->max_connections > GMPUNCHI_MASTER_LIMIT || config->max_ports > GMPUNCHI_MASTER_LIMIT ||
        config->max_requests > GMPUNCHI_MASTER_LIMIT || config->max_messages > GMPUNCHI_MASTER_LIMIT ||
        config->max_line > 65536 || config->max_line < 64 || config->max_lobby < 4096 || config->max_lobby_memory < 4096 ||
        config->max_lobby > 1u << 30 ||
        (config->max_commands_per_second > 1000000u && config->max_commands_per_second != GMPUNCH_NEVER) ||
        strlen(config->name) > GMPUNCHI_MASTER_NAME_MAX || gmpunchi_has_control(config->name))
        return GMPUNCH_ERR_CONFIG;
    return GMPUNCH_OK;
}

int32_t gmpunch_master_create(const gmpunch_master_config *given, uint64_t now, gmpunch_master **out) {
    gmpunch_master_config config;
    gmpunch_allocator allocator;
    gmpunch_master *master;
    void *block;
    uint32_t i;
    int32_t result;
    if (!out) return GMPUNCH_ERR_ARGUMENT;
    *out = NULL;
    result = gmpunchi_master_configure(given, &config);
    if (result) return result;
    if (!gmpunchi_allocator_resolve(&config.allocator, &allocator)) return GMPUNCH_ERR_CONFIG;
    result = gmpunchi_block_get(sizeof *master, NULL, 0, &allocator, &block);
    if (result) return result;
    master = (gmpunch_master *)block;
    master->object.allocator = allocator;
    master->object.block_size = sizeof *master;
    master->object.log = config.log;
    master->object.log_user = config.log_user;
    master->object.random = config.seed;
    master->object.now = now;
    master->config = config;
    master->config.bind_address = NULL;
    memcpy(master->name, config.name, strlen(config.name) + 1);
    master->config.name = master->name;
    master->stats.memory = sizeof *master;
    master->key[0] = gmpunchi_random(&master->object);
    master->key[1] = gmpunchi_random(&master->object);
    master->sending = GMPUNCHI_NONE;
    master->accept_at = GMPUNCHI_TIME_NEVER;
    gmpunchi_pool_init(&master->site, sizeof(gmpunchi_site), GMPUNCHI_MASTER_LIMIT);
    gmpunchi_pool_init(&master->port, sizeof(gmpunchi_port), config.max_ports);
    gmpunchi_pool_init(&master->connection, sizeof(gmpunchi_connection), config.max_connections);
    gmpunchi_pool_init(&master->request, sizeof(gmpunchi_request), config.max_requests);
    gmpunchi_pool_init(&master->message, sizeof(gmpunchi_message), config.max_messages);
    for (i = 0; i < GMPUNCHI_TIMERS; i++) gmpunchi_list_init(&master->timer[i]);
    gmpunchi_list_init(&master->commanding);
    for (i = 0; i < GMPUNCHI_OUTS; i++) gmpunchi_list_init(&master->out[i]);
    gmpunchi_list_init(&master->stalled);
    gmpunchi_list_init(&master->client_port_expiry);
    gmpunchi_list_init(&master->host_port_expiry);
    gmpunchi_list_init(&master->request_expiry);
    master->work_size = (config.max_line + 1) * GMPUNCHI_MASTER_LINES;
    master->work = (uint8_t *)gmpunchi_master_alloc(master, master->work_size);
    master->infos = master->work ? gmpunchi_text_new(master, NULL, 0) : NULL;
    if (!master->infos || gmpunchi_encode_testing_infos(&master->infos->out, config.testing ? master->name : NULL)) {
        gmpunchi_text_drop(master, master->infos);
        gmpunchi_master_release(master, master->work, master->work_size);
        gmpunchi_object_free(&master->object);
        return GMPUNCH_ERR_MEMORY;
    }
    master->infos->made = 1;
    *out = master;
    return GMPUNCH_OK;
}

/* Frees all but the block itself. */
GMPUNCHI_FN void gmpunchi_master_clear(gmpunch_master *master) {
    uint32_t i;
    for (i = 0; i < master->connection.touched; i++) {
        gmpunchi_connection *connection = gmpunchi_connection_at(master, i);
        if (!connection->generation) continue;
        gmpunchi_partial_drop(master, connection);
        gmpunchi_host_unlist(master, i);
        while (connection->messages) gmpunchi_message_pop(master, connection);
    }
    gmpunchi_lobby_forget(master); /* with no messages left nobody waits for any */
    gmpunchi_text_drop(master, master->infos);
    gmpunchi_master_pool_free(master, &master->site);
    gmpunchi_master_pool_free(master, &master->port);
    gmpunchi_master_pool_free(master, &master->connection);
    gmpunchi_master_pool_free(master, &master->request);
    gmpunchi_master_pool_free(master, &master->message);
    if (master->site_map.bucket) {
        gmpunchi_master_release(master, master->site_map.bucket,
                                ((size_t)master->site_map.mask + 1) * sizeof *master->site_map.bucket);
        gmpunchi_master_release(master, master->site_map.next,
                                ((size_t)master->site_map.mask + 1) * sizeof *master->site_map.next);
    }
    gmpunchi_master_release(master, master->listed, master->listed_room * sizeof *master->listed);
    gmpunchi_master_release(master, master->work, master->work_size);
    GMPUNCH_ASSERT(master->stats.memory == sizeof *master);
}

/* ---- output ---- */

/* What was given out last has left, unless gmpunch_master_tcp_sent said otherwise. */
GMPUNCHI_FN void gmpunchi_master_sent(gmpunch_master *master) {
    uint32_t index = master->sending;
    gmpunchi_connection *connection;
    gmpunchi_message *message;
    int32_t cools;
    if (index == GMPUNCHI_NONE) return;
    master->sending = GMPUNCHI_NONE;
    connection = gmpunchi_connection_at(master, index);
    message = gmpunchi_message_at(master, connection->message_first);
    master->stats.tcp_bytes_out += message->len - master->sending_from;
    cools = message->introduction && !connection->streams && master->config.introduction_gap_ms != GMPUNCH_NEVER;
    gmpunchi_message_pop(master, connection);
    gmpunchi_stall_leave(master, index);
    gmpunchi_output_went(master, index);
    if (cools) {
        connection->output_since = master->object.now;
        gmpunchi_out_enter(master, index, GMPUNCHI_OUT_COOLING);
    } else {
        gmpunchi_out_resume(master, index);
    }
}

/* The first connection that has something to send, or GMPUNCHI_NONE. If none has, one lobby list is made. */
GMPUNCHI_FN uint32_t gmpunchi_master_ready(gmpunch_master *master) {
    uint32_t index = master->out[GMPUNCHI_OUT_READY].head, first;
    gmpunchi_message *message;
    gmpunchi_text *text;
    if (index == GMPUNCHI_NONE) {
        index = master->out[GMPUNCHI_OUT_MAKING].head;
        if (index == GMPUNCHI_NONE) return index;
        first = gmpunchi_connection_at(master, index)->message_first;
        text = gmpunchi_message_at(master, first)->text;
        if ((!text->made && gmpunchi_lobby_make(master, text)) || gmpunchi_message_charge(master, index, first)) {
            gmpunchi_connection_close(master, index, &master->stats.refused_lobby, GMPUNCH_REASON_LIMIT);
            return GMPUNCHI_NONE;
        }
        gmpunchi_out_resume(master, index);
    }
    message = gmpunchi_message_at(master, gmpunchi_connection_at(master, index)->message_first);
    if (message->text) message->len = (uint32_t)message->text->out.used;
    return index;
}

int32_t gmpunch_master_next_transmit(gmpunch_master *master, gmpunch_transmit *transmit) {
    uint32_t index, ready;
    const gmpunchi_message *message;
    if (!master || !transmit) return GMPUNCH_ERR_ARGUMENT;
    memset(transmit, 0, sizeof *transmit);
    gmpunchi_master_sent(master);
    while (master->out[GMPUNCHI_OUT_FAILED].head != GMPUNCHI_NONE)
        gmpunchi_connection_close(master, master->out[GMPUNCHI_OUT_FAILED].head, &master->stats.closed_full,
                                  GMPUNCH_REASON_LIMIT);
    ready = master->out[GMPUNCHI_OUT_CLOSE].head == GMPUNCHI_NONE ? gmpunchi_master_ready(master) : GMPUNCHI_NONE;
    index = master->out[GMPUNCHI_OUT_CLOSE].head;
    if (index != GMPUNCHI_NONE) {
        transmit->kind = GMPUNCH_TRANSMIT_TCP_CLOSE;
        transmit->connection = gmpunchi_connection_id(master, index);
        transmit->to = gmpunchi_connection_from(master, index);
        gmpunchi_out_enter(master, index, GMPUNCHI_OUT_NONE);
        gmpunchi_connection_give(master, index);
        return 1;
    }
    if (ready == GMPUNCHI_NONE) return 0;
    message = gmpunchi_message_at(master, gmpunchi_connection_at(master, ready)->message_first);
    transmit->kind = GMPUNCH_TRANSMIT_TCP_SEND;
    transmit->connection = gmpunchi_connection_id(master, ready);
    transmit->to = gmpunchi_connection_from(master, ready);
    transmit->data = (message->text ? message->text->out.data : message->bytes) + message->sent;
    transmit->len = message->len - message->sent;
    master->sending = ready;
    master->sending_from = message->sent;
    return 1;
}

int32_t gmpunch_master_tcp_sent(gmpunch_master *master, uint32_t connection, size_t taken) {
    gmpunchi_message *message;
    uint32_t index;
    if (!master) return GMPUNCH_ERR_ARGUMENT;
    index = gmpunchi_connection_index(master, connection);
    if (index == GMPUNCHI_NONE || index != master->sending) return GMPUNCH_ERR_CONNECTION;
    message = gmpunchi_message_at(master, gmpunchi_connection_at(master, index)->message_first);
    if (taken > message->len - master->sending_from) return GMPUNCH_ERR_ARGUMENT;
    message->sent = master->sending_from + (uint32_t)taken;
    if (message->sent == message->len) return GMPUNCH_OK;
    master->sending = GMPUNCHI_NONE;
    master->stats.tcp_bytes_out += taken;
    gmpunchi_stall_enter(master, index, message->sent);
    gmpunchi_out_enter(master, index, GMPUNCHI_OUT_BLOCKED);
    return GMPUNCH_OK;
}

int32_t gmpunch_master_tcp_writable(gmpunch_master *master, uint64_t now, uint32_t connection) {
    uint32_t index;
    if (!master) return GMPUNCH_ERR_ARGUMENT;
    gmpunchi_advance(&master->object, now);
    index = gmpunchi_connection_index(master, connection);
    if (index == GMPUNCHI_NONE) return GMPUNCH_ERR_CONNECTION;
    if (gmpunchi_connection_at(master, index)->out == GMPUNCHI_OUT_BLOCKED)
        gmpunchi_out_enter(master, index, GMPUNCHI_OUT_READY);
    return GMPUNCH_OK;
}

int32_t gmpunch_master_next_event(gmpunch_master *master, gmpunch_event *event) {
    const gmpunchi_master_event *entry;
    if (!master || !event) return GMPUNCH_ERR_ARGUMENT;
    memset(event, 0, sizeof *event);
    if (!master->events) return 0;
    entry = &master->event[master->event_first];
    master->event_first = (master->event_first + 1) % GMPUNCHI_MASTER_EVENTS;
    master->events--;
    event->type = entry->type;
    event->reason = entry->reason;
    event->address = entry->address;
    event->other = entry->other;
    event->os_error = master->object.os_error;
    return 1;
}

int32_t gmpunch_master_get_stats(const gmpunch_master *master, gmpunch_master_stats *stats) {
    gmpunch_master_stats ours;
    if (!master) return GMPUNCH_ERR_ARGUMENT;
    ours = master->stats;
    ours.struct_size = 0;
    ours.requests = master->request.count;
    ours.ports = master->port.count;
    return gmpunchi_struct_out(stats, &ours, sizeof ours);
}

#endif /* GMPUNCH_NO_MASTER */

/* >>sockets ============================================================================================================ */

#if !defined(GMPUNCH_NO_SOCKETS)

#define GMPUNCHI_NO_SOCKET UINTPTR_MAX

#if defined(_WIN32)
typedef SOCKET gmpunchi_handle;
typedef WSAPOLLFD gmpunchi_pollfd;
typedef int gmpunchi_socklen;
typedef int gmpunchi_iolen;
#define GMPUNCHI_NET_ERROR(name) WSA##name
#if !defined(SIO_UDP_CONNRESET)
#define SIO_UDP_CONNRESET _WSAIOW(IOC_VENDOR, 12)
#endif
#if !defined(SIO_UDP_NETRESET)
#define SIO_UDP_NETRESET _WSAIOW(IOC_VENDOR, 15)
#endif
#else
typedef int gmpunchi_handle;
typedef struct pollfd gmpunchi_pollfd;
typedef socklen_t gmpunchi_socklen;
typedef size_t gmpunchi_iolen;
#define GMPUNCHI_NET_ERROR(name) name
#endif
#if defined(MSG_NOSIGNAL)
#define GMPUNCHI_SEND_FLAGS MSG_NOSIGNAL
#else
#define GMPUNCHI_SEND_FLAGS 0
#endif

#if defined(__linux__)
/* Linux has these, but its C libraries declare them only with _GNU_SOURCE, which is the application's to define. */
#if defined(__GLIBC__) ? !defined(__USE_GNU) : !defined(_GNU_SOURCE)
#if defined(__cplusplus)
extern "C" {
#endif
struct mmsghdr;
extern int accept4(int socket, struct sockaddr *address, socklen_t *len, int flags);
extern int recvmmsg(int socket, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout);
#if defined(__cplusplus)
}
#endif
#endif
#endif

GMPUNCHI_FN int32_t gmpunchi_net_error(void) {
#if defined(_WIN32)
    return (int32_t)WSAGetLastError();
#else
    return (int32_t)errno;
#endif
}

/* After a clean-up that may have changed it. */
GMPUNCHI_FN void gmpunchi_net_set_error(int32_t error) {
#if defined(_WIN32)
    WSASetLastError(error);
#else
    errno = error;
#endif
}

/* The result for an error of the system. */
GMPUNCHI_FN int32_t gmpunchi_net_result(int32_t error) {
    switch (error) {
    case GMPUNCHI_NET_ERROR(EADDRINUSE): return GMPUNCH_ERR_ADDRESS_IN_USE;
    case GMPUNCHI_NET_ERROR(EADDRNOTAVAIL): return GMPUNCH_ERR_ADDRESS_NOT_HERE;
    case GMPUNCHI_NET_ERROR(EACCES): return GMPUNCH_ERR_ACCESS;
    case GMPUNCHI_NET_ERROR(EMFILE): return GMPUNCH_ERR_DESCRIPTORS;
#if !defined(_WIN32)
    case EPERM: return GMPUNCH_ERR_ACCESS;
    case ENFILE: return GMPUNCH_ERR_DESCRIPTORS;
#endif
    default: return GMPUNCH_ERR_SOCKET;
    }
}

/* The call would wait: nothing is wrong. */
GMPUNCHI_FN int32_t gmpunchi_net_would_block(int32_t error) {
#if defined(_WIN32)
    return error == WSAEWOULDBLOCK;
#else
    return error == EAGAIN || error == EWOULDBLOCK || error == EINPROGRESS;
#endif
}

GMPUNCHI_FN int32_t gmpunchi_net_interrupted(int32_t error) { return error == GMPUNCHI_NET_ERROR(EINTR); }

/* A connection is being made. EAGAIN does not say so: there was no local port for it. */
GMPUNCHI_FN int32_t gmpunchi_net_in_progress(int32_t error) {
#if defined(_WIN32)
    return error == WSAEWOULDBLOCK;
#else
    return error == EINPROGRESS || error == EINTR;
#endif
}

/* The system is out of memory: that says nothing of what it has. */
GMPUNCHI_FN int32_t gmpunchi_net_no_memory(int32_t error) {
#if defined(_WIN32)
    return error == WSAENOBUFS || error == WSA_NOT_ENOUGH_MEMORY;
#else
    return error == ENOBUFS || error == ENOMEM;
#endif
}

/* Winsock counts its users itself. */
GMPUNCHI_FN int32_t gmpunchi_net_start(void) {
#if defined(_WIN32)
    WSADATA data;
    return WSAStartup(MAKEWORD(2, 2), &data) == 0 ? GMPUNCH_OK : GMPUNCH_ERR_SOCKET;
#else
    return GMPUNCH_OK;
#endif
}

GMPUNCHI_FN void gmpunchi_net_stop(void) {
#if defined(_WIN32)
    WSACleanup();
#endif
}

uint64_t gmpunch_now_us(void) {
#if defined(_WIN32)
    LARGE_INTEGER count, frequency;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&count);
    return (uint64_t)(count.QuadPart / frequency.QuadPart) * 1000000u +
           (uint64_t)(count.QuadPart % frequency.QuadPart) * 1000000u / (uint64_t)frequency.QuadPart;
#else
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_nsec / 1000u;
#endif
}

uint64_t gmpunch_now(void) { return gmpunch_now_us() / 1000u; }

/* Seconds since 1970. */
GMPUNCHI_FN uint64_t gmpunchi_unix_time(void) {
#if defined(_WIN32)
    FILETIME time; /* of 100 nanoseconds, since 1601 */
    GetSystemTimeAsFileTime(&time);
    return (((uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime) - UINT64_C(116444736000000000)) / 10000000u;
#else
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec;
#endif
}

/* A number that others can't guess, as far as the system has one. */
GMPUNCHI_FN uint64_t gmpunchi_seed(const void *address) {
    uint64_t seed = 0;
#if defined(_WIN32)
    typedef BOOLEAN(WINAPI * random_function)(PVOID, ULONG);
    HMODULE library = LoadLibraryA("advapi32.dll");
    if (library) {
        union {
            FARPROC plain;
            random_function random;
        } function;
        function.plain = GetProcAddress(library, "SystemFunction036"); /* RtlGenRandom */
        if (function.plain) function.random(&seed, sizeof seed);
        FreeLibrary(library);
    }
#else
    int file = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        if (read(file, &seed, sizeof seed) != (ssize_t)sizeof seed) seed = 0;
        close(file);
    }
#endif
    seed ^= gmpunch_now_us() * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(uintptr_t)address;
    return seed ? seed : 1;
}

GMPUNCHI_FN void gmpunchi_socket_close(uintptr_t *socket) {
    if (*socket == GMPUNCHI_NO_SOCKET) return;
#if defined(_WIN32)
    closesocket((gmpunchi_handle)*socket);
#else
    close((gmpunchi_handle)*socket);
#endif
    *socket = GMPUNCHI_NO_SOCKET;
}

GMPUNCHI_FN int32_t gmpunchi_socket_unblock(uintptr_t socket) {
#if defined(_WIN32)
    u_long on = 1;
    return ioctlsocket((gmpunchi_handle)socket, (long)FIONBIO, &on);
#else
    int flags = fcntl((gmpunchi_handle)socket, F_GETFL);
    return flags < 0 ? -1 : fcntl((gmpunchi_handle)socket, F_SETFL, flags | O_NONBLOCK);
#endif
}

GMPUNCHI_FN int32_t gmpunchi_socket_set(uintptr_t socket, int level, int option, int value) {
    return setsockopt((gmpunchi_handle)socket, level, option, (const char *)&value, (gmpunchi_socklen)sizeof value);
}

/* What every socket of ours has: non-blocking, not inherited by child processes, no SIGPIPE. */
GMPUNCHI_FN int32_t gmpunchi_socket_prepare(uintptr_t socket) {
#if defined(_WIN32)
    SetHandleInformation((HANDLE)socket, HANDLE_FLAG_INHERIT, 0);
#else
    fcntl((gmpunchi_handle)socket, F_SETFD, FD_CLOEXEC);
#endif
#if defined(SO_NOSIGPIPE)
    gmpunchi_socket_set(socket, SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
    return gmpunchi_socket_unblock(socket);
}

/* A UDP socket of ours or of the application: no errors of datagrams sent before when receiving. */
GMPUNCHI_FN void gmpunchi_udp_prepare(uintptr_t socket) {
#if defined(_WIN32)
    BOOL off = FALSE;
    DWORD bytes = 0;
    WSAIoctl((gmpunchi_handle)socket, SIO_UDP_CONNRESET, &off, sizeof off, NULL, 0, &bytes, NULL, NULL);
    WSAIoctl((gmpunchi_handle)socket, SIO_UDP_NETRESET, &off, sizeof off, NULL, 0, &bytes, NULL, NULL);
#else
    (void)socket;
#endif
}

/* family 4 or 6, type SOCK_STREAM or SOCK_DGRAM. */
GMPUNCHI_FN uintptr_t gmpunchi_socket_open(uint8_t family, int type) {
    int domain = family == 6 ? AF_INET6 : AF_INET;
    uintptr_t opened;
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
    opened = (uintptr_t)socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
    opened = (uintptr_t)socket(domain, type, 0);
#endif
#if !defined(__linux__) || !defined(SOCK_CLOEXEC) || !defined(SOCK_NONBLOCK) /* Linux has no more to prepare */
    if (opened != GMPUNCHI_NO_SOCKET && gmpunchi_socket_prepare(opened)) gmpunchi_socket_close(&opened);
#endif
    if (opened != GMPUNCHI_NO_SOCKET && type == SOCK_DGRAM) gmpunchi_udp_prepare(opened);
    return opened;
}

/* For a socket of `family`: an IPv4 address towards an IPv6 socket is mapped. 0 if it can't be. */
GMPUNCHI_FN gmpunchi_socklen gmpunchi_to_sockaddr(const gmpunch_address *address, uint8_t family,
                                                  struct sockaddr_storage *out) {
    memset(out, 0, sizeof *out);
    if (family == 6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)out;
        uint8_t *bytes = (uint8_t *)&v6->sin6_addr;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(address->port);
        v6->sin6_scope_id = address->scope_id;
        if (address->family == 6) {
            memcpy(bytes, address->ip, 16);
        } else {
            bytes[10] = bytes[11] = 0xff;
            memcpy(bytes + 12, address->ip, 4);
        }
        return (gmpunchi_socklen)sizeof *v6;
    }
    if (address->family == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(address->port);
        memcpy(&v4->sin_addr, address->ip, 4);
        return (gmpunchi_socklen)sizeof *v4;
    }
    return 0;
}

GMPUNCHI_FN void gmpunchi_from_sockaddr(const void *sockaddr, gmpunch_address *address) {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memset(address, 0, sizeof *address);
    memcpy(&v4, sockaddr, sizeof v4); /* the smaller of the two: its family tells */
    if (v4.sin_family == AF_INET) {
        address->family = 4;
        address->port = ntohs(v4.sin_port);
        memcpy(address->ip, &v4.sin_addr, 4);
    } else if (v4.sin_family == AF_INET6) {
        memcpy(&v6, sockaddr, sizeof v6);
        address->family = 6;
        address->port = ntohs(v6.sin6_port);
        address->scope_id = (uint32_t)v6.sin6_scope_id;
        memcpy(address->ip, &v6.sin6_addr, 16);
        gmpunchi_address_normalize(address);
    }
}

/* The local address; *family is that of the socket, which for an IPv6 socket may carry IPv4 as well. */
GMPUNCHI_FN int32_t gmpunchi_socket_local(uintptr_t socket, gmpunch_address *address, uint8_t *family) {
    struct sockaddr_storage local;
    gmpunchi_socklen len = (gmpunchi_socklen)sizeof local;
    memset(&local, 0, sizeof local);
    if (getsockname((gmpunchi_handle)socket, (struct sockaddr *)(void *)&local, &len)) return GMPUNCH_ERR_SOCKET;
    gmpunchi_from_sockaddr(&local, address);
    if (family) *family = local.ss_family == AF_INET6 ? 6 : 4;
    return address->family ? GMPUNCH_OK : GMPUNCH_ERR_SOCKET;
}

GMPUNCHI_FN int32_t gmpunchi_socket_bind(uintptr_t socket, uint8_t family, const gmpunch_address *address) {
    struct sockaddr_storage to;
    gmpunchi_socklen len = gmpunchi_to_sockaddr(address, family, &to);
    return bind((gmpunchi_handle)socket, (const struct sockaddr *)(const void *)&to, len);
}

/* The any-address of a family. */
GMPUNCHI_FN gmpunch_address gmpunchi_any_address(uint8_t family) {
    gmpunch_address any;
    memset(&any, 0, sizeof any);
    any.family = family;
    return any;
}

/* Opens and binds. bind->family 0: any address, IPv6 and IPv4 on one socket where the system can, otherwise IPv4; a port in
   use by either is in use. The error of the system stays readable. */
GMPUNCHI_FN uintptr_t gmpunchi_socket_open_bound(const gmpunch_address *bind_to, uint16_t port, int type, uint8_t *family) {
    gmpunch_address address = *bind_to;
    uintptr_t opened;
    int32_t error, result;
    uint8_t dual;
    for (dual = address.family == 0;; dual = 0) {
        if (bind_to->family == 0) address = gmpunchi_any_address(dual ? 6 : 4);
        address.port = port;
        *family = address.family;
        opened = gmpunchi_socket_open(address.family, type);
        if (opened != GMPUNCHI_NO_SOCKET) {
#if !defined(_WIN32)
            if (type == SOCK_STREAM) gmpunchi_socket_set(opened, SOL_SOCKET, SO_REUSEADDR, 1);
#else
            if (port) gmpunchi_socket_set(opened, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
#endif
            if ((address.family != 6 || !gmpunchi_socket_set(opened, IPPROTO_IPV6, IPV6_V6ONLY, !dual)) &&
                gmpunchi_socket_bind(opened, address.family, &address) == 0)
                return opened;
        }
        error = gmpunchi_net_error();
        gmpunchi_socket_close(&opened);
        gmpunchi_net_set_error(error);
        result = gmpunchi_net_result(error);
        /* without IPv6 on this system, IPv4 will do */
        if (!dual || gmpunchi_net_no_memory(error) ||
            (result != GMPUNCH_ERR_SOCKET && result != GMPUNCH_ERR_ADDRESS_NOT_HERE))
            return GMPUNCHI_NO_SOCKET;
    }
}

/* Sends prefix and payload as one datagram: GMPUNCH_OK, _WOULD_BLOCK or another error. */
GMPUNCHI_FN int32_t gmpunchi_udp_send(uintptr_t socket, uint8_t family, const gmpunch_address *to, const uint8_t *prefix,
                                      size_t prefix_len, const void *payload, size_t len, int32_t *os_error) {
    struct sockaddr_storage address;
    gmpunchi_socklen address_len = gmpunchi_to_sockaddr(to, family, &address);
    int32_t error;
    if (!address_len) return GMPUNCH_ERR_ADDRESS_NOT_HERE; /* IPv6 from an IPv4 socket */
    for (;;) {
#if defined(_WIN32)
        WSABUF part[2];
        DWORD sent = 0;
        part[0].buf = (CHAR *)(uintptr_t)prefix;
        part[0].len = (ULONG)prefix_len;
        part[1].buf = (CHAR *)(uintptr_t)payload;
        part[1].len = (ULONG)len;
        if (WSASendTo((gmpunchi_handle)socket, part, 2, &sent, 0, (const struct sockaddr *)(const void *)&address,
                      address_len, NULL, NULL) == 0)
            return GMPUNCH_OK;
#else
        struct iovec part[2];
        struct msghdr message;
        part[0].iov_base = (void *)(uintptr_t)prefix;
        part[0].iov_len = prefix_len;
        part[1].iov_base = (void *)(uintptr_t)payload;
        part[1].iov_len = len;
        memset(&message, 0, sizeof message);
        message.msg_name = &address;
        message.msg_namelen = address_len;
        message.msg_iov = part;
        message.msg_iovlen = 2;
        if (sendmsg((gmpunchi_handle)socket, &message, GMPUNCHI_SEND_FLAGS) >= 0) return GMPUNCH_OK;
#endif
        error = gmpunchi_net_error();
        if (gmpunchi_net_interrupted(error)) continue;
        *os_error = error;
        if (error == GMPUNCHI_NET_ERROR(EMSGSIZE)) return GMPUNCH_ERR_TOO_LONG;
        return gmpunchi_net_would_block(error) ? GMPUNCH_ERR_WOULD_BLOCK : gmpunchi_net_result(error);
    }
}

#define GMPUNCHI_SKIPPED_ERRORS 16 /* receive errors in a row: they speak of datagrams sent before */

/* The next datagram: its length, which may be 0; or GMPUNCH_ERR_WOULD_BLOCK, or GMPUNCH_ERR_TOO_LONG for one that did not
   fit and is gone. */
GMPUNCHI_FN int32_t gmpunchi_udp_receive(uintptr_t socket, uint8_t *data, size_t size, gmpunch_address *from) {
    struct sockaddr_storage address;
    int32_t tries;
    for (tries = 0; tries < GMPUNCHI_SKIPPED_ERRORS; tries++) {
        gmpunchi_socklen len = (gmpunchi_socklen)sizeof address;
        int32_t got, error;
        memset(&address, 0, sizeof address);
        got = (int32_t)recvfrom((gmpunchi_handle)socket, (char *)data, (gmpunchi_iolen)size, 0,
                                (struct sockaddr *)(void *)&address, &len);
        if (got >= 0) {
            gmpunchi_from_sockaddr(&address, from);
            return (size_t)got == size ? GMPUNCH_ERR_TOO_LONG : got; /* callers leave room for one byte more */
        }
        error = gmpunchi_net_error();
        if (gmpunchi_net_would_block(error)) break;
        if (error == GMPUNCHI_NET_ERROR(EMSGSIZE)) return GMPUNCH_ERR_TOO_LONG;
    }
    return GMPUNCH_ERR_WOULD_BLOCK;
}

#define GMPUNCHI_BATCH 32u
#define GMPUNCHI_BATCH_BYTES 512u /* of a datagram; a command is far shorter */

#if defined(__linux__)
typedef struct gmpunchi_batch_message { /* struct mmsghdr */
    struct msghdr header;
    unsigned int len;
} gmpunchi_batch_message;
#endif

/* Datagrams read together. */
typedef struct gmpunchi_batch {
    int32_t len[GMPUNCHI_BATCH]; /* GMPUNCH_ERR_TOO_LONG for one that did not fit and is gone */
    gmpunch_address from[GMPUNCHI_BATCH];
    uint8_t data[GMPUNCHI_BATCH][GMPUNCHI_BATCH_BYTES];
#if defined(__linux__)
    gmpunchi_batch_message message[GMPUNCHI_BATCH];
    struct iovec part[GMPUNCHI_BATCH];
    struct sockaddr_storage address[GMPUNCHI_BATCH];
#endif
} gmpunchi_batch;

/* Reads the next datagrams, as many as there are and fit: how many; 0 if there are none now. Fewer than *most means that
   there were no more. */
GMPUNCHI_FN uint32_t gmpunchi_udp_receive_batch(uintptr_t socket, gmpunchi_batch *batch, uint32_t *most) {
#if defined(__linux__)
    uint32_t tries, i;
    *most = GMPUNCHI_BATCH;
    for (i = 0; i < GMPUNCHI_BATCH; i++) {
        struct msghdr *header = &batch->message[i].header;
        if (header->msg_namelen == (socklen_t)sizeof batch->address[i]) break; /* the rest was not used since */
        batch->part[i].iov_base = batch->data[i];
        batch->part[i].iov_len = GMPUNCHI_BATCH_BYTES;
        header->msg_name = &batch->address[i];
        header->msg_namelen = (socklen_t)sizeof batch->address[i];
        header->msg_iov = &batch->part[i];
        header->msg_iovlen = 1;
    }
    for (tries = 0; tries < GMPUNCHI_SKIPPED_ERRORS; tries++) {
        int got = recvmmsg((gmpunchi_handle)socket, (struct mmsghdr *)(void *)batch->message, GMPUNCHI_BATCH, 0, NULL);
        if (got < 0 && gmpunchi_net_would_block(gmpunchi_net_error())) break;
        for (i = 0; (int)i < got; i++) {
            const gmpunchi_batch_message *message = &batch->message[i];
            gmpunchi_from_sockaddr(&batch->address[i], &batch->from[i]);
            batch->len[i] = message->header.msg_flags & MSG_TRUNC ? GMPUNCH_ERR_TOO_LONG : (int32_t)message->len;
        }
        if (got > 0) return (uint32_t)got;
    }
    return 0;
#else
    *most = 1;
    batch->len[0] = gmpunchi_udp_receive(socket, batch->data[0], GMPUNCHI_BATCH_BYTES, &batch->from[0]);
    return batch->len[0] == GMPUNCH_ERR_WOULD_BLOCK ? 0 : 1;
#endif
}

/* What a TCP connection of this protocol needs: no delay, since messages are short and must not share a segment; and word of
   a peer that vanished, within about two minutes where the system lets it be set. */
GMPUNCHI_FN void gmpunchi_tcp_prepare(uintptr_t socket) {
    gmpunchi_socket_set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
    gmpunchi_socket_set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
#if defined(TCP_KEEPIDLE)
    gmpunchi_socket_set(socket, IPPROTO_TCP, TCP_KEEPIDLE, 60);
#elif defined(TCP_KEEPALIVE) && defined(__APPLE__)
    gmpunchi_socket_set(socket, IPPROTO_TCP, TCP_KEEPALIVE, 60);
#endif
#if defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
    gmpunchi_socket_set(socket, IPPROTO_TCP, TCP_KEEPINTVL, 15);
    gmpunchi_socket_set(socket, IPPROTO_TCP, TCP_KEEPCNT, 4);
#endif
#if defined(TCP_USER_TIMEOUT)
    gmpunchi_socket_set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, 60000);
#endif
}

/* The next connection that waits at a listener, prepared; GMPUNCHI_NO_SOCKET and the system's error if there is none. */
GMPUNCHI_FN uintptr_t gmpunchi_tcp_accept(uintptr_t listener, gmpunch_address *from) {
    struct sockaddr_storage address;
    gmpunchi_socklen len = (gmpunchi_socklen)sizeof address;
    uintptr_t accepted;
    memset(&address, 0, sizeof address);
#if defined(__linux__)
    /* the options are inherited from the listener, which has them all */
    accepted = (uintptr_t)accept4((gmpunchi_handle)listener, (struct sockaddr *)(void *)&address, &len,
                                  SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    accepted = (uintptr_t)accept((gmpunchi_handle)listener, (struct sockaddr *)(void *)&address, &len);
    if (accepted != GMPUNCHI_NO_SOCKET) {
        if (gmpunchi_socket_prepare(accepted)) {
            int32_t error = gmpunchi_net_error();
            gmpunchi_socket_close(&accepted);
            gmpunchi_net_set_error(error);
            return accepted;
        }
        gmpunchi_tcp_prepare(accepted);
    }
#endif
    if (accepted != GMPUNCHI_NO_SOCKET) gmpunchi_from_sockaddr(&address, from);
    return accepted;
}

/* Begins to connect, from the local IP if it has one of the same family. *os_error is set if it failed at once. */
GMPUNCHI_FN uintptr_t gmpunchi_tcp_connect(const gmpunch_address *local, const gmpunch_address *to, int32_t *os_error) {
    struct sockaddr_storage address;
    gmpunchi_socklen len = gmpunchi_to_sockaddr(to, to->family, &address);
    uintptr_t opened = gmpunchi_socket_open(to->family, SOCK_STREAM);
    gmpunch_address from = *local;
    *os_error = 0;
    if (opened == GMPUNCHI_NO_SOCKET) {
        *os_error = gmpunchi_net_error();
        return opened;
    }
    gmpunchi_tcp_prepare(opened);
    from.port = 0;
    if ((from.family == to->family && gmpunchi_socket_bind(opened, to->family, &from)) ||
        connect((gmpunchi_handle)opened, (const struct sockaddr *)(const void *)&address, len)) {
        int32_t error = gmpunchi_net_error();
        if (!gmpunchi_net_in_progress(error)) {
            *os_error = error;
            gmpunchi_socket_close(&opened);
        }
    }
    return opened;
}

/* The error of a connection that was to be made, 0 if it stands. */
GMPUNCHI_FN int32_t gmpunchi_tcp_error(uintptr_t socket) {
    int error = 0;
    gmpunchi_socklen len = (gmpunchi_socklen)sizeof error;
    if (getsockopt((gmpunchi_handle)socket, SOL_SOCKET, SO_ERROR, (char *)&error, &len)) return gmpunchi_net_error();
    return (int32_t)error;
}

/* Bytes taken, 0 if none can be now, or -1 and *os_error. */
GMPUNCHI_FN int32_t gmpunchi_tcp_send(uintptr_t socket, const uint8_t *data, size_t len, int32_t *os_error) {
    int32_t sent, error;
    do {
        sent = (int32_t)send((gmpunchi_handle)socket, (const char *)data, (gmpunchi_iolen)len, GMPUNCHI_SEND_FLAGS);
        if (sent >= 0) return sent;
        error = gmpunchi_net_error();
    } while (gmpunchi_net_interrupted(error));
    if (gmpunchi_net_would_block(error)) return 0;
    *os_error = error;
    return -1;
}

/* Bytes read; 0 if there are none now; -1 if the connection ended, *os_error 0 if the other side closed it. */
GMPUNCHI_FN int32_t gmpunchi_tcp_receive(uintptr_t socket, uint8_t *data, size_t size, int32_t *os_error) {
    int32_t got, error;
    *os_error = 0;
    do {
        got = (int32_t)recv((gmpunchi_handle)socket, (char *)data, (gmpunchi_iolen)size, 0);
        if (got > 0) return got;
        if (got == 0) return -1;
        error = gmpunchi_net_error();
    } while (gmpunchi_net_interrupted(error));
    if (gmpunchi_net_would_block(error)) return 0;
    *os_error = error;
    return -1;
}

/* Waits for any of the entries: how many are ready, 0 also where a signal came between, < 0 for an error. Only if some are, it
   says which. timeout_ms GMPUNCH_NEVER: without end. */
GMPUNCHI_FN int32_t gmpunchi_wait(gmpunchi_pollfd *entries, uint32_t count, uint32_t timeout_ms) {
    int wait = timeout_ms > 0x7fffffffu ? -1 : (int)timeout_ms;
    int ready;
#if defined(_WIN32)
    /* WSAPoll never told of a refused connection before Windows 10 2004; select does, for as many as it can. */
    if (count <= FD_SETSIZE) {
        fd_set reading, writing, failing;
        struct timeval limit;
        uint32_t i;
        FD_ZERO(&reading);
        FD_ZERO(&writing);
        FD_ZERO(&failing);
        for (i = 0; i < count; i++) {
            entries[i].revents = 0;
            if (entries[i].events & POLLIN) FD_SET(entries[i].fd, &reading);
            if (entries[i].events & POLLOUT) FD_SET(entries[i].fd, &writing);
            if (entries[i].events) FD_SET(entries[i].fd, &failing);
        }
        limit.tv_sec = wait / 1000;
        limit.tv_usec = wait % 1000 * 1000;
        if (!failing.fd_count) {
            Sleep(wait < 0 ? INFINITE : (DWORD)wait);
            return 0;
        }
        ready = select(0, &reading, &writing, &failing, wait < 0 ? NULL : &limit);
        for (i = 0; ready > 0 && i < count; i++) {
            if (FD_ISSET(entries[i].fd, &reading)) entries[i].revents |= POLLIN;
            if (FD_ISSET(entries[i].fd, &writing)) entries[i].revents |= POLLOUT;
            if (FD_ISSET(entries[i].fd, &failing)) entries[i].revents |= POLLERR;
        }
        return ready;
    }
    ready = WSAPoll(entries, count, wait);
#else
    ready = poll(entries, (nfds_t)count, wait);
#endif
    return ready < 0 && gmpunchi_net_interrupted(gmpunchi_net_error()) ? 0 : ready;
}

#define GMPUNCHI_FRUITLESS 16u /* waits in a row that end at once and bring nothing: less may be chance */
#define GMPUNCHI_FRUITLESS_PAUSE_MS 10u

/* After a wait that ended at once and brought nothing, as where a socket is ready but always fails: the processor is not to be
   kept busy with it. left_ms is the time that there is to wait. */
GMPUNCHI_FN void gmpunchi_fruitless(gmpunchi_object *object, uint32_t *count, uint64_t left_ms) {
    uint32_t pause = left_ms < GMPUNCHI_FRUITLESS_PAUSE_MS ? (uint32_t)left_ms : GMPUNCHI_FRUITLESS_PAUSE_MS;
    if (++*count < GMPUNCHI_FRUITLESS) return;
    object->os_error = gmpunchi_net_error();
    if (*count == GMPUNCHI_FRUITLESS)
        gmpunchi_log(object, GMPUNCH_LOG_ERROR, GMPUNCH_LOG_ITEM_SOCKET, "waiting fails, or a socket that is ready", NULL);
    if (pause) {
#if defined(_WIN32)
        Sleep(pause);
#else
        struct timespec time;
        time.tv_sec = 0;
        time.tv_nsec = (long)pause * 1000000;
        nanosleep(&time, NULL);
#endif
    }
}

/* For an application that waits in its own loop. */
GMPUNCHI_FN void gmpunchi_wait_from(gmpunch_wait *wait, const gmpunchi_pollfd *entry) {
    wait->socket = (uintptr_t)entry->fd;
    wait->events = (entry->events & POLLIN ? (uint32_t)GMPUNCH_WAIT_READ : 0u) |
                   (entry->events & POLLOUT ? (uint32_t)GMPUNCH_WAIT_WRITE : 0u);
    wait->reserved = 0;
}

/* ---- many sockets: epoll, kqueue or poll ---- */

#if !defined(GMPUNCH_NO_MASTER)

#define GMPUNCHI_READY_READ 1u
#define GMPUNCHI_READY_WRITE 2u
#define GMPUNCHI_READY_LAST 4u /* an error, or the other side sends no more: worth reading to the end */
#define GMPUNCHI_READY_MAX 256u

/* A socket is ready. epoll and kqueue tell that once (edge-triggered): who is told reads until nothing is left, or remembers
   that something is. */
typedef struct gmpunchi_ready {
    uint32_t key;
    uint32_t what;
} gmpunchi_ready;

#if defined(GMPUNCHI_EPOLL) || defined(GMPUNCHI_KQUEUE)

typedef struct gmpunchi_watch {
    int queue;
    uint32_t at, count; /* of what was ready */
#if defined(GMPUNCHI_EPOLL)
    struct epoll_event event[GMPUNCHI_READY_MAX];
#else
    struct kevent event[GMPUNCHI_READY_MAX];
#endif
} gmpunchi_watch;

GMPUNCHI_FN int32_t gmpunchi_watch_open(gmpunchi_watch *watch, const gmpunch_allocator *allocator) {
    (void)allocator;
#if defined(GMPUNCHI_EPOLL)
    watch->queue = epoll_create1(EPOLL_CLOEXEC);
#else
    watch->queue = kqueue();
    if (watch->queue >= 0) fcntl(watch->queue, F_SETFD, FD_CLOEXEC);
#endif
    return watch->queue < 0 ? gmpunchi_net_result(gmpunchi_net_error()) : GMPUNCH_OK;
}

GMPUNCHI_FN void gmpunchi_watch_close(gmpunchi_watch *watch) {
    uintptr_t queue = (uintptr_t)watch->queue;
    if (watch->queue >= 0) gmpunchi_socket_close(&queue);
    watch->queue = -1;
}

#if defined(GMPUNCHI_EPOLL)
GMPUNCHI_FN int32_t gmpunchi_watch_control(const gmpunchi_watch *watch, int operation, uintptr_t socket, uint32_t key,
                                           uint32_t what) {
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = (uint32_t)EPOLLET;
    if (what & GMPUNCHI_READY_READ) event.events |= (uint32_t)EPOLLIN | (uint32_t)EPOLLRDHUP;
    if (what & GMPUNCHI_READY_WRITE) event.events |= (uint32_t)EPOLLOUT;
    event.data.u32 = key;
    return epoll_ctl(watch->queue, operation, (gmpunchi_handle)socket, &event) ? gmpunchi_net_result(gmpunchi_net_error())
                                                                               : GMPUNCH_OK;
}

/* Watches for something to read. */
GMPUNCHI_FN int32_t gmpunchi_watch_add(gmpunchi_watch *watch, uintptr_t socket, uint32_t key) {
    return gmpunchi_watch_control(watch, EPOLL_CTL_ADD, socket, key, GMPUNCHI_READY_READ);
}

/* Watches for this from now on; what is ready already is told once more. */
GMPUNCHI_FN void gmpunchi_watch_set(gmpunchi_watch *watch, uintptr_t socket, uint32_t key, uint32_t what) {
    gmpunchi_watch_control(watch, EPOLL_CTL_MOD, socket, key, what);
}
#else
GMPUNCHI_FN int32_t gmpunchi_watch_control(const gmpunchi_watch *watch, uintptr_t socket, uint32_t key, int filter, int on) {
    struct kevent change;
    EV_SET(&change, socket, filter, on ? EV_ADD | EV_CLEAR : EV_DELETE, 0, 0, (void *)(uintptr_t)key);
    return kevent(watch->queue, &change, 1, NULL, 0, NULL) < 0 ? gmpunchi_net_result(gmpunchi_net_error()) : GMPUNCH_OK;
}

GMPUNCHI_FN int32_t gmpunchi_watch_add(gmpunchi_watch *watch, uintptr_t socket, uint32_t key) {
    return gmpunchi_watch_control(watch, socket, key, EVFILT_READ, 1);
}

GMPUNCHI_FN void gmpunchi_watch_set(gmpunchi_watch *watch, uintptr_t socket, uint32_t key, uint32_t what) {
    gmpunchi_watch_control(watch, socket, key, EVFILT_READ, (what & GMPUNCHI_READY_READ) != 0);
    gmpunchi_watch_control(watch, socket, key, EVFILT_WRITE, (what & GMPUNCHI_READY_WRITE) != 0);
}
#endif

/* Before a socket is closed, which ends the watching by itself. */
GMPUNCHI_FN void gmpunchi_watch_remove(gmpunchi_watch *watch, uint32_t key) {
    (void)watch;
    (void)key;
}

/* Waits; GMPUNCH_NEVER: without end. An error of the system is told, but for EINTR. */
GMPUNCHI_FN int32_t gmpunchi_watch_wait(gmpunchi_watch *watch, uint32_t timeout_ms) {
    int count;
#if defined(GMPUNCHI_EPOLL)
    count = epoll_wait(watch->queue, watch->event, (int)GMPUNCHI_READY_MAX, timeout_ms > 0x7fffffffu ? -1 : (int)timeout_ms);
#else
    struct timespec limit;
    limit.tv_sec = (time_t)(timeout_ms / 1000u);
    limit.tv_nsec = (long)(timeout_ms % 1000u) * 1000000;
    count = kevent(watch->queue, NULL, 0, watch->event, (int)GMPUNCHI_READY_MAX, timeout_ms > 0x7fffffffu ? NULL : &limit);
#endif
    watch->at = 0;
    watch->count = count > 0 ? (uint32_t)count : 0;
    return count >= 0 || gmpunchi_net_interrupted(gmpunchi_net_error()) ? GMPUNCH_OK : GMPUNCH_ERR_SOCKET;
}

/* The next socket that is ready; 0 after the last. It may have been removed meanwhile. */
GMPUNCHI_FN int32_t gmpunchi_watch_next(gmpunchi_watch *watch, gmpunchi_ready *ready) {
    if (watch->at == watch->count) return 0;
#if defined(GMPUNCHI_EPOLL)
    {
        uint32_t events = watch->event[watch->at].events;
        ready->key = watch->event[watch->at++].data.u32;
        ready->what = (events & ~(uint32_t)EPOLLOUT ? GMPUNCHI_READY_READ : 0u) |
                      (events & (uint32_t)EPOLLOUT ? GMPUNCHI_READY_WRITE : 0u) |
                      (events & ~(uint32_t)(EPOLLIN | EPOLLOUT) ? GMPUNCHI_READY_LAST : 0u);
    }
#else
    {
        const struct kevent *event = &watch->event[watch->at++];
        ready->key = (uint32_t)(uintptr_t)event->udata;
        ready->what = (event->filter == EVFILT_WRITE ? GMPUNCHI_READY_WRITE : GMPUNCHI_READY_READ) |
                      (event->flags & (EV_EOF | EV_ERROR) ? GMPUNCHI_READY_READ | GMPUNCHI_READY_LAST : 0u);
    }
#endif
    return 1;
}

/* What an application waits for in its own loop: the queue stands for all. */
GMPUNCHI_FN uint32_t gmpunchi_watch_waits(const gmpunchi_watch *watch, gmpunch_wait *waits, uint32_t capacity) {
    if (capacity) {
        waits->socket = (uintptr_t)watch->queue;
        waits->events = GMPUNCH_WAIT_READ;
        waits->reserved = 0;
    }
    return 1;
}

#else

/* Keys below GMPUNCHI_WATCH_KEYS and those above have places of their own; of the latter the low bits count. */
#define GMPUNCHI_WATCH_KEYS (2u * GMPUNCH_MASTER_MAX_BINDS)

typedef struct gmpunchi_watch {
    gmpunch_allocator allocator;
    gmpunchi_pollfd *entry;
    uint32_t *key;   /* of each entry */
    uint32_t *place; /* the entry of each key */
    uint32_t entries, capacity;
    uint32_t at, count; /* what was ready is among the first `at`, `count` of them */
} gmpunchi_watch;

GMPUNCHI_FN int32_t gmpunchi_watch_open(gmpunchi_watch *watch, const gmpunch_allocator *allocator) {
    memset(watch, 0, sizeof *watch);
    watch->allocator = *allocator;
    return GMPUNCH_OK;
}

GMPUNCHI_FN size_t gmpunchi_watch_bytes(uint32_t capacity) {
    return capacity * (sizeof(gmpunchi_pollfd) + 2 * sizeof(uint32_t));
}

GMPUNCHI_FN void gmpunchi_watch_close(gmpunchi_watch *watch) {
    if (watch->capacity) watch->allocator.free(watch->entry, gmpunchi_watch_bytes(watch->capacity), watch->allocator.user);
    watch->capacity = 0;
}

GMPUNCHI_FN uint32_t gmpunchi_watch_place(uint32_t key) {
    return key < GMPUNCHI_WATCH_KEYS ? key : GMPUNCHI_WATCH_KEYS + (key & (GMPUNCHI_MASTER_LIMIT - 1));
}

/* Makes room for one entry more, and for this place. */
GMPUNCHI_FN int32_t gmpunchi_watch_grow(gmpunchi_watch *watch, uint32_t place) {
    uint32_t capacity = watch->capacity ? watch->capacity : 64;
    uint8_t *block;
    gmpunchi_pollfd *entry;
    uint32_t *key, *places;
    while (capacity <= place || capacity <= watch->entries) capacity *= 2;
    if (capacity == watch->capacity) return GMPUNCH_OK;
    block = (uint8_t *)watch->allocator.alloc(gmpunchi_watch_bytes(capacity), watch->allocator.user);
    if (!block) return GMPUNCH_ERR_MEMORY;
    entry = (gmpunchi_pollfd *)(void *)block;
    key = (uint32_t *)(void *)(entry + capacity);
    places = key + capacity;
    if (watch->capacity) {
        memcpy(entry, watch->entry, watch->capacity * sizeof *entry);
        memcpy(key, watch->key, watch->capacity * sizeof *key);
        memcpy(places, watch->place, watch->capacity * sizeof *places);
        gmpunchi_watch_close(watch);
    }
    watch->entry = entry;
    watch->key = key;
    watch->place = places;
    watch->capacity = capacity;
    return GMPUNCH_OK;
}

/* Watches for something to read. */
GMPUNCHI_FN int32_t gmpunchi_watch_add(gmpunchi_watch *watch, uintptr_t socket, uint32_t key) {
    uint32_t place = gmpunchi_watch_place(key);
    if (gmpunchi_watch_grow(watch, place)) return GMPUNCH_ERR_MEMORY;
    watch->entry[watch->entries].fd = (gmpunchi_handle)socket;
    watch->entry[watch->entries].events = POLLIN;
    watch->entry[watch->entries].revents = 0;
    watch->key[watch->entries] = key;
    watch->place[place] = watch->entries++;
    return GMPUNCH_OK;
}

/* Watches for this from now on. */
GMPUNCHI_FN void gmpunchi_watch_set(gmpunchi_watch *watch, uintptr_t socket, uint32_t key, uint32_t what) {
    (void)socket;
    watch->entry[watch->place[gmpunchi_watch_place(key)]].events =
        (short)((what & GMPUNCHI_READY_READ ? POLLIN : 0) | (what & GMPUNCHI_READY_WRITE ? POLLOUT : 0));
}

/* Before a socket is closed. The last entry takes its place; during gmpunchi_watch_next one that was told of, or is this. */
GMPUNCHI_FN void gmpunchi_watch_remove(gmpunchi_watch *watch, uint32_t key) {
    uint32_t at = watch->place[gmpunchi_watch_place(key)], last = --watch->entries;
    watch->entry[at] = watch->entry[last];
    watch->key[at] = watch->key[last];
    watch->place[gmpunchi_watch_place(watch->key[at])] = at;
}

/* Waits; GMPUNCH_NEVER: without end. An error of the system is told, but for EINTR. */
GMPUNCHI_FN int32_t gmpunchi_watch_wait(gmpunchi_watch *watch, uint32_t timeout_ms) {
    int32_t count = gmpunchi_wait(watch->entry, watch->entries, timeout_ms);
    watch->at = watch->entries;
    watch->count = count > 0 ? (uint32_t)count : 0;
    return count >= 0 ? GMPUNCH_OK : GMPUNCH_ERR_SOCKET;
}

/* The next socket that is ready; 0 after the last. */
GMPUNCHI_FN int32_t gmpunchi_watch_next(gmpunchi_watch *watch, gmpunchi_ready *ready) {
    while (watch->count && watch->at) {
        const gmpunchi_pollfd *entry;
        if (--watch->at >= watch->entries) continue;
        entry = &watch->entry[watch->at];
        if (!entry->revents) continue;
        watch->count--;
        ready->key = watch->key[watch->at];
        ready->what = (entry->revents & ~POLLOUT ? GMPUNCHI_READY_READ : 0u) |
                      (entry->revents & POLLOUT ? GMPUNCHI_READY_WRITE : 0u) |
                      (entry->revents & ~(POLLIN | POLLOUT) ? GMPUNCHI_READY_LAST : 0u);
        return 1;
    }
    return 0;
}

/* What an application waits for in its own loop. */
GMPUNCHI_FN uint32_t gmpunchi_watch_waits(const gmpunchi_watch *watch, gmpunch_wait *waits, uint32_t capacity) {
    uint32_t i;
    for (i = 0; i < watch->entries && i < capacity; i++) gmpunchi_wait_from(&waits[i], &watch->entry[i]);
    return watch->entries;
}

#endif
#endif /* GMPUNCH_NO_MASTER */

/* Looks a name up; returns how many addresses were found. May block. */
GMPUNCHI_FN uint32_t gmpunchi_lookup(const char *name, uint16_t port, gmpunch_address *addresses, uint32_t capacity) {
    struct addrinfo hints, *found = NULL, *at;
    uint32_t count = 0, i;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(name, NULL, &hints, &found)) return 0;
    for (at = found; at && count < capacity; at = at->ai_next) {
        if (at->ai_family != AF_INET && at->ai_family != AF_INET6) continue;
        gmpunchi_from_sockaddr(at->ai_addr, &addresses[count]);
        addresses[count].port = port;
        for (i = 0; i < count && !gmpunch_address_equal(&addresses[i], &addresses[count]); i++) {}
        if (i == count) count++;
    }
    freeaddrinfo(found);
    return count;
}

#endif /* GMPUNCH_NO_SOCKETS */

/* >>drive ============================================================================================================== */

#if !defined(GMPUNCH_NO_SOCKETS)

#define GMPUNCHI_DRIVE_SOCKETS 4u
#define GMPUNCHI_DRIVE_ROUNDS 64u /* of reading, per call of _poll: a flood must not keep the caller */
#define GMPUNCHI_DRIVE_STREAK 16u /* datagrams read before the other sockets get their turn */
#define GMPUNCHI_DRIVE_LATE_MS 1000u
#define GMPUNCHI_DRIVE_LATE_READS 1024u
#define GMPUNCHI_DRIVE_ROOM \
    (GMPUNCH_DATAGRAM_HEADER_SIZE + 1u + 1u) /* around a payload: header, escape, and one byte
                                                                        that tells of a datagram too long */

/* The sockets of a client, a host or a lobby. */
typedef struct gmpunchi_drive {
    gmpunch_client *client; /* one of the three */
    gmpunch_host *host;
    gmpunch_lobby *lobby;
    uintptr_t udp[GMPUNCHI_DRIVE_SOCKETS];
    uint8_t family[GMPUNCHI_DRIVE_SOCKETS];
    uint32_t sockets;
    uint32_t socket_mode;
    uint32_t udp_ready; /* the socket to read from before waiting again, GMPUNCHI_NONE */
    uint32_t streak;    /* datagrams read in a row without a look at the others */
    uint32_t late;      /* reads before a tick that is late */
    uintptr_t tcp;
    uint32_t connection;
    int32_t connecting;
    int32_t tcp_full; /* waits for room to send */
    gmpunch_address bind_to;
    uint32_t max_packet;
    uint32_t rx_size;
    uint32_t rx_at, rx_len; /* of a lobby: what was read and not taken yet */
    uint8_t *rx;
} gmpunchi_drive;

GMPUNCHI_FN size_t gmpunchi_drive_size(uint32_t max_packet) {
    return sizeof(gmpunchi_drive) + max_packet + GMPUNCHI_DRIVE_ROOM;
}

/* ---- the state machine behind, whichever it is ---- */

GMPUNCHI_FN gmpunchi_object *gmpunchi_drive_object(const gmpunchi_drive *drive) {
    return drive->client ? &drive->client->object : drive->host ? &drive->host->object : &drive->lobby->object;
}

GMPUNCHI_FN gmpunchi_uplink *gmpunchi_drive_uplink(const gmpunchi_drive *drive) {
    return drive->client ? &drive->client->uplink : drive->host ? &drive->host->uplink : &drive->lobby->uplink;
}

GMPUNCHI_FN void gmpunchi_drive_tick(gmpunchi_drive *drive, uint64_t now) {
    if (drive->client) gmpunch_client_tick(drive->client, now);
    else if (drive->host) gmpunch_host_tick(drive->host, now);
    else gmpunch_lobby_tick(drive->lobby, now);
}

GMPUNCHI_FN uint64_t gmpunchi_drive_deadline(const gmpunchi_drive *drive) {
    return drive->client ? gmpunch_client_next_deadline(drive->client)
           : drive->host ? gmpunch_host_next_deadline(drive->host)
                         : gmpunch_lobby_next_deadline(drive->lobby);
}

GMPUNCHI_FN int32_t gmpunchi_drive_event(gmpunchi_drive *drive, gmpunch_event *event) {
    return drive->client ? gmpunch_client_next_event(drive->client, event)
           : drive->host ? gmpunch_host_next_event(drive->host, event)
                         : gmpunch_lobby_next_event(drive->lobby, event);
}

GMPUNCHI_FN int32_t gmpunchi_drive_transmit(gmpunchi_drive *drive, gmpunch_transmit *transmit) {
    return drive->client ? gmpunch_client_next_transmit(drive->client, transmit)
           : drive->host ? gmpunch_host_next_transmit(drive->host, transmit)
                         : gmpunch_lobby_next_transmit(drive->lobby, transmit);
}

GMPUNCHI_FN void gmpunchi_drive_tcp_opened(gmpunchi_drive *drive, uint64_t now) {
    if (drive->client) gmpunch_client_tcp_opened(drive->client, now, drive->connection);
    else if (drive->host) gmpunch_host_tcp_opened(drive->host, now, drive->connection);
    else gmpunch_lobby_tcp_opened(drive->lobby, now, drive->connection);
}

/* Hands on what was read; a lobby may take it bit by bit. */
GMPUNCHI_FN void gmpunchi_drive_tcp_data(gmpunchi_drive *drive, uint64_t now) {
    const uint8_t *data = drive->rx + drive->rx_at;
    size_t len = drive->rx_len - drive->rx_at;
    int32_t taken;
    drive->rx_at = drive->rx_len;
    if (drive->client) {
        gmpunch_client_tcp_data(drive->client, now, drive->connection, data, len);
    } else if (drive->host) {
        gmpunch_host_tcp_data(drive->host, now, drive->connection, data, len);
    } else {
        taken = gmpunch_lobby_tcp_data(drive->lobby, now, drive->connection, data, len);
        if (taken >= 0) drive->rx_at = drive->rx_len - (uint32_t)(len - (size_t)taken);
    }
}

GMPUNCHI_FN void gmpunchi_drive_tcp_closed(gmpunchi_drive *drive, uint64_t now, int32_t os_error) {
    gmpunchi_socket_close(&drive->tcp);
    if (drive->client) gmpunch_client_tcp_closed(drive->client, now, drive->connection, os_error);
    else if (drive->host) gmpunch_host_tcp_closed(drive->host, now, drive->connection, os_error);
    else gmpunch_lobby_tcp_closed(drive->lobby, now, drive->connection, os_error);
}

GMPUNCHI_FN void gmpunchi_drive_tcp_sent(gmpunchi_drive *drive, size_t taken) {
    if (drive->client) gmpunch_client_tcp_sent(drive->client, drive->connection, taken);
    else if (drive->host) gmpunch_host_tcp_sent(drive->host, drive->connection, taken);
    else gmpunch_lobby_tcp_sent(drive->lobby, drive->connection, taken);
}

GMPUNCHI_FN void gmpunchi_drive_tcp_writable(gmpunchi_drive *drive, uint64_t now) {
    drive->tcp_full = 0;
    if (drive->client) gmpunch_client_tcp_writable(drive->client, now, drive->connection);
    else if (drive->host) gmpunch_host_tcp_writable(drive->host, now, drive->connection);
    else gmpunch_lobby_tcp_writable(drive->lobby, now, drive->connection);
}

/* Of a datagram: a lobby has none. */
GMPUNCHI_FN void gmpunchi_drive_send_failed(gmpunchi_drive *drive, int32_t os_error) {
    if (os_error) gmpunchi_drive_object(drive)->os_error = os_error;
    if (drive->client) drive->client->stats.sends_failed++;
    else drive->host->stats.sends_failed++;
}

GMPUNCHI_FN void gmpunchi_drive_oversized(gmpunchi_drive *drive) {
    if (drive->client) drive->client->stats.oversized++;
    else drive->host->stats.oversized++;
}

/* ---- output ---- */

/* The socket of a number that a state machine uses; a new number is a new port. */
GMPUNCHI_FN int32_t gmpunchi_drive_socket(gmpunchi_drive *drive, uint32_t index, uint16_t port) {
    gmpunch_address bind_to = drive->bind_to;
    if (index < drive->sockets) return drive->udp[index] != GMPUNCHI_NO_SOCKET;
    GMPUNCH_ASSERT(index < GMPUNCHI_DRIVE_SOCKETS); /* as max_sockets is */
    drive->udp[index] = gmpunchi_socket_open_bound(&bind_to, port, SOCK_DGRAM, &drive->family[index]);
    if (drive->udp[index] == GMPUNCHI_NO_SOCKET) {
        gmpunchi_drive_object(drive)->os_error = gmpunchi_net_error();
        return 0;
    }
    drive->sockets = index + 1;
    return 1;
}

GMPUNCHI_FN void gmpunchi_drive_tcp_open(gmpunchi_drive *drive, uint64_t now, const gmpunch_transmit *transmit) {
    gmpunch_address local;
    int32_t os_error;
    gmpunchi_socket_close(&drive->tcp);
    local = drive->bind_to;
    /* from the IP of the UDP socket: the master takes both for one and the same by it */
    if (drive->sockets && (gmpunchi_socket_local(drive->udp[0], &local, NULL) || !gmpunchi_address_is_unicast(&local)))
        local.family = 0;
    drive->rx_at = drive->rx_len = 0;
    drive->connection = transmit->connection;
    drive->connecting = 1;
    drive->tcp_full = 0;
    drive->tcp = gmpunchi_tcp_connect(&local, &transmit->to, &os_error);
    if (drive->tcp == GMPUNCHI_NO_SOCKET) gmpunchi_drive_tcp_closed(drive, now, os_error);
}

GMPUNCHI_FN void gmpunchi_drive_tcp_send(gmpunchi_drive *drive, uint64_t now, const gmpunch_transmit *transmit) {
    int32_t os_error = 0, sent = gmpunchi_tcp_send(drive->tcp, transmit->data, transmit->len, &os_error);
    if (sent < 0) {
        gmpunchi_drive_tcp_closed(drive, now, os_error);
    } else if ((uint32_t)sent < transmit->len) {
        drive->tcp_full = 1;
        gmpunchi_drive_tcp_sent(drive, (size_t)sent);
    }
}

/* Does what the state machine wants done. It never asks for a ttl or a later time so far. */
GMPUNCHI_FN void gmpunchi_drive_flush(gmpunchi_drive *drive, uint64_t now) {
    gmpunch_transmit transmit;
    while (gmpunchi_drive_transmit(drive, &transmit) > 0) {
        int32_t os_error = 0;
        switch (transmit.kind) {
        case GMPUNCH_TRANSMIT_UDP:
            if (!gmpunchi_drive_socket(drive, transmit.socket_index, 0) ||
                gmpunchi_udp_send(drive->udp[transmit.socket_index], drive->family[transmit.socket_index], &transmit.to,
                                  transmit.data, transmit.len, NULL, 0, &os_error))
                gmpunchi_drive_send_failed(drive, os_error);
            break;
        case GMPUNCH_TRANSMIT_TCP_OPEN: gmpunchi_drive_tcp_open(drive, now, &transmit); break;
        case GMPUNCH_TRANSMIT_TCP_SEND: gmpunchi_drive_tcp_send(drive, now, &transmit); break;
        default: gmpunchi_socket_close(&drive->tcp);
        }
    }
}

/* Closes the sockets that a connected client does not use. */
GMPUNCHI_FN void gmpunchi_drive_settle(gmpunchi_drive *drive) {
    uint32_t i;
    if (drive->sockets < 2 || drive->client->stage != GMPUNCH_STAGE_CONNECTED) return;
    for (i = 0; i < drive->sockets; i++)
        if (i != drive->client->socket_index && (i > 0 || drive->socket_mode == GMPUNCH_SOCKET_OWN))
            gmpunchi_socket_close(&drive->udp[i]);
}

/* ---- input ---- */

GMPUNCHI_FN int32_t gmpunchi_drive_reads(const gmpunchi_drive *drive, uint32_t index) {
    return drive->udp[index] != GMPUNCHI_NO_SOCKET && (index > 0 || drive->socket_mode != GMPUNCH_SOCKET_SEND_ONLY);
}

/* A datagram that is not protocol: an event, if it is of a peer; otherwise *event stays as it is. */
GMPUNCHI_FN int32_t gmpunchi_drive_game_data(gmpunchi_drive *drive, gmpunch_event *event, const gmpunch_address *from,
                                             uint32_t index, size_t len) {
    const uint8_t *payload = drive->rx;
    size_t payload_len = len;
    uint32_t peer = 0, escape = (drive->client ? drive->client->config.escape : drive->host->config.escape)
                                    ? GMPUNCH_DATAGRAM_ESCAPE
                                    : 0;
    if (drive->client) {
        if (drive->client->stage != GMPUNCH_STAGE_CONNECTED || !gmpunch_address_equal(from, &drive->client->peer)) {
            drive->client->stats.strangers++;
            return 0;
        }
    } else {
        peer = gmpunch_host_find_peer(drive->host, from);
        if (!peer) {
            drive->host->stats.strangers++;
            return 0;
        }
    }
    gmpunch_datagram_decode(drive->rx, len, escape, &payload, &payload_len, NULL);
    if (payload_len > drive->max_packet) { /* room for header and escape was not needed */
        gmpunchi_drive_oversized(drive);
        return 0;
    }
    memset(event, 0, sizeof *event);
    event->type = GMPUNCH_EVENT_DATA;
    event->peer = peer;
    event->address = *from;
    event->socket_index = index;
    event->data = payload;
    event->len = (uint32_t)payload_len;
    return 1;
}

/* Reads one datagram: 1 with an event, 0 without, GMPUNCH_ERR_WOULD_BLOCK if there was none. */
GMPUNCHI_FN int32_t gmpunchi_drive_read_udp(gmpunchi_drive *drive, uint64_t now, uint32_t index, gmpunch_event *event) {
    gmpunch_address from;
    int32_t got = gmpunchi_udp_receive(drive->udp[index], drive->rx, drive->rx_size, &from), mine;
    if (got == GMPUNCH_ERR_TOO_LONG) {
        gmpunchi_drive_oversized(drive);
        return 0;
    }
    if (got < 0) return got;
    mine = drive->client ? gmpunch_client_input_udp(drive->client, now, &from, index, drive->rx, (size_t)got)
                         : gmpunch_host_input_udp(drive->host, now, &from, index, drive->rx, (size_t)got);
    return mine == GMPUNCH_NOT_MINE ? gmpunchi_drive_game_data(drive, event, &from, index, (size_t)got) : 0;
}

GMPUNCHI_FN void gmpunchi_drive_read_tcp(gmpunchi_drive *drive, uint64_t now, int32_t writable) {
    int32_t os_error, got;
    if (drive->connecting) {
        os_error = gmpunchi_tcp_error(drive->tcp);
        if (os_error) {
            gmpunchi_drive_tcp_closed(drive, now, os_error);
        } else if (writable) {
            drive->connecting = 0;
            gmpunchi_drive_tcp_opened(drive, now);
        }
        return;
    }
    if (writable && drive->tcp_full) gmpunchi_drive_tcp_writable(drive, now);
    got = gmpunchi_tcp_receive(drive->tcp, drive->rx, drive->rx_size, &os_error);
    if (got < 0) {
        gmpunchi_drive_tcp_closed(drive, now, os_error);
    } else if (got > 0) {
        drive->rx_at = 0;
        drive->rx_len = (uint32_t)got;
        gmpunchi_drive_tcp_data(drive, now);
    }
}

/* What to wait for: UDP sockets, then TCP. entries has room for all; index[i] is the UDP socket, GMPUNCHI_NONE for TCP. */
GMPUNCHI_FN uint32_t gmpunchi_drive_entries(const gmpunchi_drive *drive, gmpunchi_pollfd *entries, uint32_t *index) {
    uint32_t count = 0, i;
    for (i = 0; i < drive->sockets; i++) {
        if (!gmpunchi_drive_reads(drive, i)) continue;
        entries[count].fd = (gmpunchi_handle)drive->udp[i];
        entries[count].events = POLLIN;
        index[count++] = i;
    }
    if (drive->tcp != GMPUNCHI_NO_SOCKET) {
        entries[count].fd = (gmpunchi_handle)drive->tcp;
        entries[count].events = (short)(drive->connecting ? POLLOUT : drive->tcp_full ? POLLIN | POLLOUT : POLLIN);
        index[count++] = GMPUNCHI_NONE;
    }
    return count;
}

/* Waits, and reads what came: 1 with an event, 0 if something happened, GMPUNCH_ERR_WOULD_BLOCK if nothing did,
   GMPUNCH_ERR_SOCKET if nothing did although the wait was over at once. */
GMPUNCHI_FN int32_t gmpunchi_drive_read(gmpunchi_drive *drive, gmpunch_event *event, uint32_t wait_ms) {
    gmpunchi_pollfd entries[GMPUNCHI_DRIVE_SOCKETS + 1];
    uint32_t index[GMPUNCHI_DRIVE_SOCKETS + 1], count, i;
    uint64_t now;
    int32_t result = GMPUNCH_ERR_SOCKET, got;
    if (drive->lobby && drive->rx_at < drive->rx_len) { /* the rest of what was read */
        gmpunchi_drive_tcp_data(drive, gmpunch_now());
        return 0;
    }
    if (drive->udp_ready != GMPUNCHI_NONE && drive->udp[drive->udp_ready] != GMPUNCHI_NO_SOCKET &&
        drive->streak++ < GMPUNCHI_DRIVE_STREAK) {
        /* where one datagram was there may be more; asking costs no more than waiting would */
        got = gmpunchi_drive_read_udp(drive, gmpunch_now(), drive->udp_ready, event);
        if (got >= 0) return got;
    }
    drive->udp_ready = GMPUNCHI_NONE;
    drive->streak = 0;
    count = gmpunchi_drive_entries(drive, entries, index);
    if (count == 1 && index[0] != GMPUNCHI_NONE && wait_ms == 0) { /* one call instead of two */
        entries[0].revents = POLLIN;
        result = GMPUNCH_ERR_WOULD_BLOCK;
    } else {
        got = gmpunchi_wait(entries, count, wait_ms);
        if (got <= 0) return got ? GMPUNCH_ERR_SOCKET : GMPUNCH_ERR_WOULD_BLOCK;
    }
    now = gmpunch_now();
    for (i = count; i-- > 0;) { /* TCP first: an introduction before the knock that it announces */
        if (!entries[i].revents) continue;
        if (index[i] == GMPUNCHI_NONE) {
            gmpunchi_drive_read_tcp(drive, now, (entries[i].revents & (POLLOUT | POLLERR | POLLHUP)) != 0);
            result = 0;
            continue;
        }
        got = gmpunchi_drive_read_udp(drive, now, index[i], event);
        if (got < 0) continue;
        drive->udp_ready = index[i];
        result = got;
        if (got > 0) break;
    }
    return result;
}

GMPUNCHI_FN int32_t gmpunchi_drive_poll(gmpunchi_drive *drive, gmpunch_event *event, uint32_t timeout_ms) {
    uint64_t now = gmpunch_now(), until = gmpunchi_after(now, timeout_ms);
    uint32_t round, fruitless = 0;
    if (drive->lobby && drive->lobby->told) until = now; /* nothing will come any more */
    for (round = 0; round < GMPUNCHI_DRIVE_ROUNDS; now = gmpunch_now()) {
        uint64_t deadline = gmpunchi_drive_deadline(drive), wait;
        int32_t got;
        if (now >= deadline) {
            /* who did not poll for so long did not listen: what came meanwhile is heard before silence is judged */
            if (now - deadline >= GMPUNCHI_DRIVE_LATE_MS && drive->late++ < GMPUNCHI_DRIVE_LATE_READS) {
                got = gmpunchi_drive_read(drive, event, 0);
                gmpunchi_drive_flush(drive, now);
                if (got > 0 || gmpunchi_drive_event(drive, event) > 0) return 1;
                if (got == 0) continue;
            }
            drive->late = 0;
            gmpunchi_drive_tick(drive, now);
        }
        gmpunchi_drive_flush(drive, now);
        if (drive->client) gmpunchi_drive_settle(drive);
        if (gmpunchi_drive_event(drive, event) > 0) return 1;
        deadline = gmpunchi_earlier(gmpunchi_drive_deadline(drive), until);
        wait = deadline > now ? deadline - now : 0;
        got = gmpunchi_drive_read(drive, event, wait > 0x7fffffffu ? GMPUNCH_NEVER : (uint32_t)wait);
        if (got > 0) {
            gmpunchi_drive_flush(drive, now);
            return 1;
        }
        if (got == 0) round++; /* something happened: maybe it is an event, and there is something to send */
        else if (gmpunch_now() >= until) break;
        if (got == GMPUNCH_ERR_SOCKET) gmpunchi_fruitless(gmpunchi_drive_object(drive), &fruitless, wait);
        else fruitless = 0;
    }
    return 0; /* the event is empty: gmpunchi_drive_event had none */
}

/* ---- opening and closing ---- */

GMPUNCHI_FN void gmpunchi_drive_close(gmpunchi_drive *drive) {
    uint32_t i;
    gmpunchi_socket_close(&drive->tcp);
    for (i = drive->socket_mode == GMPUNCH_SOCKET_OWN ? 0 : 1; i < drive->sockets; i++)
        gmpunchi_socket_close(&drive->udp[i]);
    gmpunchi_net_stop();
}

/* Sets up the drive in its memory behind the object. */
GMPUNCHI_FN void gmpunchi_drive_init(gmpunchi_drive *drive, const gmpunch_address *bind_to, uint32_t max_packet) {
    drive->udp_ready = GMPUNCHI_NONE;
    drive->tcp = GMPUNCHI_NO_SOCKET;
    drive->bind_to = *bind_to;
    drive->rx = (uint8_t *)(drive + 1);
    drive->max_packet = max_packet;
    drive->rx_size = max_packet + GMPUNCHI_DRIVE_ROOM;
}

/* That, and the first UDP socket. */
GMPUNCHI_FN int32_t gmpunchi_drive_open(gmpunchi_drive *drive, const gmpunch_address *bind_to, uint16_t port,
                                        uint32_t socket_mode, uintptr_t socket, uint32_t max_packet) {
    gmpunch_address local;
    gmpunchi_drive_init(drive, bind_to, max_packet);
    drive->socket_mode = socket_mode;
    if (socket_mode == GMPUNCH_SOCKET_OWN)
        return gmpunchi_drive_socket(drive, 0, port) ? GMPUNCH_OK : gmpunchi_net_result(gmpunchi_net_error());
    if (gmpunchi_socket_local(socket, &local, &drive->family[0])) {
#if defined(_WIN32)
        if (gmpunchi_net_error() != WSAEINVAL) return GMPUNCH_ERR_SOCKET; /* not bound yet: it will be by sending */
        drive->family[0] = 4;
#else
        return GMPUNCH_ERR_SOCKET;
#endif
    }
    if (gmpunchi_socket_unblock(socket)) return GMPUNCH_ERR_SOCKET;
    gmpunchi_udp_prepare(socket);
    drive->udp[0] = socket;
    drive->sockets = 1;
    return GMPUNCH_OK;
}

/* Reads a bind address; NULL is any. */
GMPUNCHI_FN int32_t gmpunchi_parse_bind(const char *text, gmpunch_address *address) {
    memset(address, 0, sizeof *address);
    if (!text) return GMPUNCH_OK;
    return gmpunch_address_parse(text, 0, address) || address->port ? GMPUNCH_ERR_CONFIG : GMPUNCH_OK;
}

/* Looks up what is a name. */
GMPUNCHI_FN void gmpunchi_resolve_master(const char *master, gmpunchi_resolved *resolved) {
    gmpunch_address address;
    char name[GMPUNCHI_NAME_MAX];
    if (gmpunchi_parse_endpoint(master, GMPUNCH_DEFAULT_PORT, &address, name) || !name[0]) return;
    resolved->count = gmpunchi_lookup(name, address.port, resolved->master, GMPUNCHI_MASTER_ADDRESSES);
    resolved->resolved = 1;
}

/* Where the error of a failed _open goes. */
GMPUNCHI_FN void gmpunchi_report(int32_t *os_error, int32_t error) {
    if (os_error) *os_error = error;
}

int32_t gmpunch_client_open(const gmpunch_client_config *given, gmpunch_client **out) {
    gmpunch_client_config config;
    gmpunchi_resolved resolved;
    gmpunch_address bind_to;
    gmpunch_client *client;
    gmpunchi_drive *drive;
    char name[GMPUNCHI_NAME_MAX];
    void *memory;
    int32_t result, error;
    if (!out) return GMPUNCH_ERR_ARGUMENT;
    *out = NULL;
    result = gmpunchi_client_configure(given, &config);
    if (result) return result;
    gmpunchi_report(config.os_error, 0);
    if (gmpunchi_parse_bind(config.bind_address, &bind_to)) return GMPUNCH_ERR_CONFIG;
    if (gmpunchi_net_start()) return GMPUNCH_ERR_SOCKET;
    if (!given->seed) config.seed = gmpunchi_seed(&config);
    memset(&resolved, 0, sizeof resolved);
    if (gmpunchi_parse_endpoint(config.server, 0, &resolved.server, name) || resolved.server.port)
        result = GMPUNCH_ERR_CONFIG;
    else if (name[0] && !gmpunchi_lookup(name, 0, &resolved.server, 1)) result = GMPUNCH_ERR_ADDRESS;
    if (!result && !config.direct_only && config.master) gmpunchi_resolve_master(config.master, &resolved);
    if (!result)
        result = gmpunchi_client_make(&config, gmpunch_now(), &resolved, gmpunchi_drive_size(config.max_packet), &memory,
                                      &client);
    if (result) {
        gmpunchi_net_stop();
        return result;
    }
    client->object.drive = drive = (gmpunchi_drive *)memory;
    drive->client = client;
    result =
        gmpunchi_drive_open(drive, &bind_to, config.bind_port, config.socket_mode, config.udp_socket, config.max_packet);
    if (result) {
        error = gmpunchi_net_error();
        gmpunch_client_close(client);
        gmpunchi_report(config.os_error, error);
        return result;
    }
    gmpunchi_drive_flush(drive, gmpunch_now());
    *out = client;
    return GMPUNCH_OK;
}

int32_t gmpunch_host_open(const gmpunch_host_config *given, gmpunch_host **out) {
    gmpunch_host_config config;
    gmpunchi_resolved resolved;
    gmpunch_address bind_to;
    gmpunch_host *host;
    gmpunchi_drive *drive;
    void *memory;
    int32_t result, error;
    if (!out) return GMPUNCH_ERR_ARGUMENT;
    *out = NULL;
    result = gmpunchi_host_configure(given, &config);
    if (result) return result;
    gmpunchi_report(config.os_error, 0);
    if (gmpunchi_parse_bind(config.bind_address, &bind_to)) return GMPUNCH_ERR_CONFIG;
    if (gmpunchi_net_start()) return GMPUNCH_ERR_SOCKET;
    if (!given->seed) config.seed = gmpunchi_seed(&config);
    memset(&resolved, 0, sizeof resolved);
    if (config.master) gmpunchi_resolve_master(config.master, &resolved);
    result = gmpunchi_host_make(&config, gmpunch_now(), &resolved, gmpunchi_drive_size(config.max_packet), &memory, &host);
    if (result) {
        gmpunchi_net_stop();
        return result;
    }
    host->object.drive = drive = (gmpunchi_drive *)memory;
    drive->host = host;
    result =
        gmpunchi_drive_open(drive, &bind_to, config.bind_port, config.socket_mode, config.udp_socket, config.max_packet);
    if (result) {
        error = gmpunchi_net_error();
        gmpunch_host_close(host);
        gmpunchi_report(config.os_error, error);
        return result;
    }
    if (gmpunch_host_local_address(host, &host->self) || !gmpunchi_address_is_unicast(&host->self)) host->self.family = 0;
    gmpunchi_drive_flush(drive, gmpunch_now());
    *out = host;
    return GMPUNCH_OK;
}

#define GMPUNCHI_LOBBY_RX 16384u /* bytes read at once */

int32_t gmpunch_lobby_open(const gmpunch_lobby_config *given, gmpunch_lobby **out) {
    gmpunch_lobby_config config;
    gmpunchi_resolved resolved;
    gmpunch_address bind_to;
    gmpunch_lobby *lobby;
    gmpunchi_drive *drive;
    void *memory;
    int32_t result;
    if (!out) return GMPUNCH_ERR_ARGUMENT;
    *out = NULL;
    result = gmpunchi_lobby_configure(given, &config);
    if (result) return result;
    gmpunchi_report(config.os_error, 0);
    if (gmpunchi_parse_bind(config.bind_address, &bind_to)) return GMPUNCH_ERR_CONFIG;
    if (gmpunchi_net_start()) return GMPUNCH_ERR_SOCKET;
    memset(&resolved, 0, sizeof resolved);
    gmpunchi_resolve_master(config.master, &resolved);
    result = gmpunchi_lobby_make_object(&config, gmpunch_now(), &resolved, gmpunchi_drive_size(GMPUNCHI_LOBBY_RX), &memory,
                                        &lobby);
    if (result) {
        gmpunchi_net_stop();
        return result;
    }
    lobby->object.drive = drive = (gmpunchi_drive *)memory;
    drive->lobby = lobby;
    gmpunchi_drive_init(drive, &bind_to, GMPUNCHI_LOBBY_RX);
    gmpunchi_drive_flush(drive, gmpunch_now());
    *out = lobby;
    return GMPUNCH_OK;
}

/* ---- the public calls ---- */

/* The drive of an object that has one: NULL for none, and for no object. */
GMPUNCHI_FN gmpunchi_drive *gmpunchi_client_drive(const gmpunch_client *client) {
    return client ? (gmpunchi_drive *)client->object.drive : NULL;
}

GMPUNCHI_FN gmpunchi_drive *gmpunchi_host_drive(const gmpunch_host *host) {
    return host ? (gmpunchi_drive *)host->object.drive : NULL;
}

GMPUNCHI_FN gmpunchi_drive *gmpunchi_lobby_drive(const gmpunch_lobby *lobby) {
    return lobby ? (gmpunchi_drive *)lobby->object.drive : NULL;
}

/* What a call on no object, or on one without sockets, returns. */
GMPUNCHI_FN int32_t gmpunchi_no_drive(const void *object) { return object ? GMPUNCH_ERR_STATE : GMPUNCH_ERR_ARGUMENT; }

int32_t gmpunch_client_poll(gmpunch_client *client, gmpunch_event *event, uint32_t timeout_ms) {
    gmpunchi_drive *drive = gmpunchi_client_drive(client);
    if (!event) return GMPUNCH_ERR_ARGUMENT;
    return drive ? gmpunchi_drive_poll(drive, event, timeout_ms) : gmpunchi_no_drive(client);
}

int32_t gmpunch_host_poll(gmpunch_host *host, gmpunch_event *event, uint32_t timeout_ms) {
    gmpunchi_drive *drive = gmpunchi_host_drive(host);
    if (!event) return GMPUNCH_ERR_ARGUMENT;
    return drive ? gmpunchi_drive_poll(drive, event, timeout_ms) : gmpunchi_no_drive(host);
}

int32_t gmpunch_lobby_poll(gmpunch_lobby *lobby, gmpunch_event *event, uint32_t timeout_ms) {
    gmpunchi_drive *drive = gmpunchi_lobby_drive(lobby);
    if (!event) return GMPUNCH_ERR_ARGUMENT;
    return drive ? gmpunchi_drive_poll(drive, event, timeout_ms) : gmpunchi_no_drive(lobby);
}

/* Whether a game packet may be sent, and the bytes before it; prefix has room for header and escape. */
GMPUNCHI_FN int32_t gmpunchi_game_prefix(const void *data, size_t len, int32_t escape, int32_t raw, uint8_t *prefix,
                                         size_t *prefix_len) {
    int32_t reserved;
    if (!data && len) return GMPUNCH_ERR_ARGUMENT;
    if (len > GMPUNCH_MAX_PACKET) return GMPUNCH_ERR_TOO_LONG;
    reserved = gmpunchi_is_reserved((const uint8_t *)data, len, escape, raw);
    if (reserved && !escape) return GMPUNCH_ERR_RESERVED;
    *prefix_len = 0;
    if (!raw) {
        gmpunchi_encode_datagram_header(prefix, len + (reserved ? 1u : 0u));
        *prefix_len = GMPUNCH_DATAGRAM_HEADER_SIZE;
    }
    if (reserved) prefix[(*prefix_len)++] = GMPUNCHI_ID_ESCAPE;
    return GMPUNCH_OK;
}

GMPUNCHI_FN int32_t gmpunchi_drive_send_game(gmpunchi_drive *drive, const gmpunch_address *to, uint32_t index, int32_t raw,
                                             int32_t escape, gmpunchi_liveness *live, const void *data, size_t len) {
    uint8_t prefix[GMPUNCH_DATAGRAM_HEADER_SIZE + 1];
    size_t prefix_len;
    int32_t os_error = 0, result = gmpunchi_game_prefix(data, len, escape, raw, prefix, &prefix_len);
    if (result) return result;
    result = gmpunchi_udp_send(drive->udp[index], drive->family[index], to, prefix, prefix_len, data, len, &os_error);
    if (result) gmpunchi_drive_send_failed(drive, os_error);
    else live->sent_at = gmpunch_now();
    return result;
}

int32_t gmpunch_client_send(gmpunch_client *client, const void *data, size_t len) {
    gmpunchi_drive *drive = gmpunchi_client_drive(client);
    if (!drive) return gmpunchi_no_drive(client);
    if (client->stage != GMPUNCH_STAGE_CONNECTED) return GMPUNCH_ERR_NOT_CONNECTED;
    return gmpunchi_drive_send_game(drive, &client->peer, client->socket_index, client->peer_raw, client->config.escape,
                                    &client->live, data, len);
}

int32_t gmpunch_host_send(gmpunch_host *host, uint32_t peer, const void *data, size_t len) {
    gmpunchi_drive *drive = gmpunchi_host_drive(host);
    gmpunchi_peer *to;
    uint32_t slot;
    if (!drive) return gmpunchi_no_drive(host);
    slot = gmpunchi_peer_slot(host, peer);
    if (slot == GMPUNCHI_NONE) return GMPUNCH_ERR_PEER;
    to = &host->peer[slot];
    return gmpunchi_drive_send_game(drive, &to->address, to->socket_index, to->raw, host->config.escape, &to->live, data,
                                    len);
}

int32_t gmpunch_host_send_all(gmpunch_host *host, const void *data, size_t len) {
    gmpunchi_drive *drive = gmpunchi_host_drive(host);
    uint8_t prefix[GMPUNCH_DATAGRAM_HEADER_SIZE + 1];
    size_t prefix_len;
    uint32_t i;
    int32_t result, sent = 0;
    if (!drive) return gmpunchi_no_drive(host);
    result = gmpunchi_game_prefix(data, len, host->config.escape, 1, prefix, &prefix_len); /* raw: the strictest */
    if (result) return result;
    for (i = 0; i < host->config.max_peers; i++)
        if (host->peer[i].state == GMPUNCHI_PEER_CONNECTED &&
            gmpunch_host_send(host, gmpunchi_peer_id(host, i), data, len) == GMPUNCH_OK)
            sent++;
    return sent;
}

/* The addresses of the master's name; GMPUNCH_ERR_STATE if it was given as an address. */
GMPUNCHI_FN int32_t gmpunchi_drive_resolve(gmpunchi_drive *drive, gmpunchi_resolved *resolved) {
    const gmpunchi_uplink *uplink = gmpunchi_drive_uplink(drive);
    if (!uplink->name[0]) return GMPUNCH_ERR_STATE;
    resolved->count = gmpunchi_lookup(uplink->name, uplink->port, resolved->master, GMPUNCHI_MASTER_ADDRESSES);
    return GMPUNCH_OK;
}

int32_t gmpunch_client_resolve(gmpunch_client *client) {
    gmpunchi_drive *drive = gmpunchi_client_drive(client);
    gmpunchi_resolved resolved;
    int32_t result = drive ? gmpunchi_drive_resolve(drive, &resolved) : gmpunchi_no_drive(client);
    return result ? result : gmpunch_client_set_master(client, gmpunch_now(), resolved.master, resolved.count);
}

int32_t gmpunch_host_resolve(gmpunch_host *host) {
    gmpunchi_drive *drive = gmpunchi_host_drive(host);
    gmpunchi_resolved resolved;
    int32_t result = drive ? gmpunchi_drive_resolve(drive, &resolved) : gmpunchi_no_drive(host);
    return result ? result : gmpunch_host_set_master(host, gmpunch_now(), resolved.master, resolved.count);
}

int32_t gmpunch_lobby_resolve(gmpunch_lobby *lobby) {
    gmpunchi_drive *drive = gmpunchi_lobby_drive(lobby);
    gmpunchi_resolved resolved;
    int32_t result = drive ? gmpunchi_drive_resolve(drive, &resolved) : gmpunchi_no_drive(lobby);
    return result ? result : gmpunch_lobby_set_master(lobby, gmpunch_now(), resolved.master, resolved.count);
}

GMPUNCHI_FN int32_t gmpunchi_drive_waits(const gmpunchi_drive *drive, gmpunch_wait *waits, uint32_t capacity) {
    gmpunchi_pollfd entries[GMPUNCHI_DRIVE_SOCKETS + 1];
    uint32_t index[GMPUNCHI_DRIVE_SOCKETS + 1], count, i;
    if (!waits && capacity) return GMPUNCH_ERR_ARGUMENT;
    count = gmpunchi_drive_entries(drive, entries, index);
    for (i = 0; i < count && i < capacity; i++) gmpunchi_wait_from(&waits[i], &entries[i]);
    return (int32_t)count;
}

int32_t gmpunch_client_waits(const gmpunch_client *client, gmpunch_wait *waits, uint32_t capacity) {
    const gmpunchi_drive *drive = gmpunchi_client_drive(client);
    return drive ? gmpunchi_drive_waits(drive, waits, capacity) : gmpunchi_no_drive(client);
}

int32_t gmpunch_host_waits(const gmpunch_host *host, gmpunch_wait *waits, uint32_t capacity) {
    const gmpunchi_drive *drive = gmpunchi_host_drive(host);
    return drive ? gmpunchi_drive_waits(drive, waits, capacity) : gmpunchi_no_drive(host);
}

int32_t gmpunch_lobby_waits(const gmpunch_lobby *lobby, gmpunch_wait *waits, uint32_t capacity) {
    const gmpunchi_drive *drive = gmpunchi_lobby_drive(lobby);
    return drive ? gmpunchi_drive_waits(drive, waits, capacity) : gmpunchi_no_drive(lobby);
}

int32_t gmpunch_client_local_address(const gmpunch_client *client, gmpunch_address *address) {
    const gmpunchi_drive *drive = gmpunchi_client_drive(client);
    if (!address) return GMPUNCH_ERR_ARGUMENT;
    return drive ? gmpunchi_socket_local(gmpunch_client_socket(client), address, NULL) : gmpunchi_no_drive(client);
}

int32_t gmpunch_host_local_address(const gmpunch_host *host, gmpunch_address *address) {
    const gmpunchi_drive *drive = gmpunchi_host_drive(host);
    if (!address) return GMPUNCH_ERR_ARGUMENT;
    return drive ? gmpunchi_socket_local(drive->udp[0], address, NULL) : gmpunchi_no_drive(host);
}

uintptr_t gmpunch_client_socket(const gmpunch_client *client) {
    const gmpunchi_drive *drive = gmpunchi_client_drive(client);
    return drive ? drive->udp[client->socket_index] : GMPUNCHI_NO_SOCKET;
}

uintptr_t gmpunch_host_socket(const gmpunch_host *host) {
    const gmpunchi_drive *drive = gmpunchi_host_drive(host);
    return drive ? drive->udp[0] : GMPUNCHI_NO_SOCKET;
}

int32_t gmpunch_client_os_error(const gmpunch_client *client) { return client ? client->object.os_error : 0; }

int32_t gmpunch_host_os_error(const gmpunch_host *host) { return host ? host->object.os_error : 0; }

int32_t gmpunch_lobby_os_error(const gmpunch_lobby *lobby) { return lobby ? lobby->object.os_error : 0; }

/* ---- the master's sockets ---- */

#if !defined(GMPUNCH_NO_MASTER)

#define GMPUNCHI_MASTER_RX 4096u              /* bytes read at once */
#define GMPUNCHI_MASTER_READS 4u              /* of a connection, before others get their turn */
#define GMPUNCHI_MASTER_ACCEPTS 64u           /* ... of a listener */
#define GMPUNCHI_MASTER_DATAGRAMS 256u        /* ... of a UDP socket */
#define GMPUNCHI_MASTER_SENDS 256u            /* per round */
#define GMPUNCHI_MASTER_SEND_BYTES (1u << 20) /* ... and no more once so much was sent: others want to be read */
#define GMPUNCHI_MASTER_ROUNDS 16u            /* of sending and reading, with no time to wait */
#define GMPUNCHI_CLOCK_MS 1000u               /* the system's clock is looked at so often: it may be set */
#define GMPUNCHI_ACCEPT_PAUSE_MS 100u         /* without descriptors left */
#define GMPUNCHI_BIND_TRIES 32u               /* for a port that is free for TCP and UDP */
#define GMPUNCHI_READ_ALL 0xfffffffeu         /* in gmpunchi_slot: not in the list */

/* An address that the master listens at. Its sockets are watched with the keys 2 * i (UDP) and 2 * i + 1 (TCP). */
typedef struct gmpunchi_bind {
    uintptr_t udp, tcp;
    int32_t udp_unread, tcp_unread; /* something may be left */
} gmpunchi_bind;

/* The socket of a connection, in the place that its id has in the master. Watched with that id as key. */
typedef struct gmpunchi_slot {
    gmpunchi_handle socket;
    uint32_t next_unread; /* in the list of those of which something may be left; one that was closed stays there */
} gmpunchi_slot;

/* The sockets of a master. */
typedef struct gmpunchi_master_drive {
    gmpunchi_watch watch;
    gmpunchi_bind bind[GMPUNCH_MASTER_MAX_BINDS];
    uint32_t binds;
    gmpunchi_pool slot; /* only its chunks: the places are those of the master's connections */
    uint32_t unread_first, unread_last;
    uint64_t clock_at; /* when to look at the system's clock again */
    uint32_t activity; /* changes with all that reading and writing sockets brings */
    uint8_t rx[GMPUNCHI_MASTER_RX];
    gmpunchi_batch batch;
} gmpunchi_master_drive;

GMPUNCHI_FN void *gmpunchi_master_drive_alloc(size_t size, void *user) {
    return gmpunchi_master_alloc((gmpunch_master *)user, size);
}

GMPUNCHI_FN void gmpunchi_master_drive_free(void *memory, size_t size, void *user) {
    gmpunchi_master_release((gmpunch_master *)user, memory, size);
}

GMPUNCHI_FN gmpunchi_slot *gmpunchi_slot_at(const gmpunchi_master_drive *drive, uint32_t connection) {
    return (gmpunchi_slot *)gmpunchi_pool_at(&drive->slot, connection & (GMPUNCHI_MASTER_LIMIT - 1));
}

GMPUNCHI_FN int32_t gmpunchi_master_drive_add(gmpunch_master *master, gmpunchi_master_drive *drive, uintptr_t socket,
                                              uint32_t connection) {
    while (gmpunchi_pool_capacity(&drive->slot) <= (connection & (GMPUNCHI_MASTER_LIMIT - 1))) {
        uint32_t items = gmpunchi_pool_chunk_items(drive->slot.chunks), i;
        uint8_t *chunk = (uint8_t *)gmpunchi_master_alloc(master, (size_t)items * drive->slot.item_size);
        if (!chunk) return GMPUNCH_ERR_MEMORY;
        drive->slot.chunk[drive->slot.chunks++] = chunk;
        for (i = 0; i < items; i++) {
            gmpunchi_slot *fresh = (gmpunchi_slot *)(void *)chunk + i;
            fresh->socket = (gmpunchi_handle)GMPUNCHI_NO_SOCKET;
            fresh->next_unread = GMPUNCHI_READ_ALL;
        }
    }
    if (gmpunchi_watch_add(&drive->watch, socket, connection)) return GMPUNCH_ERR_MEMORY;
    gmpunchi_slot_at(drive, connection)->socket = (gmpunchi_handle)socket;
    return GMPUNCH_OK;
}

/* The socket of a connection; GMPUNCHI_NO_SOCKET for one that the application brought without. */
GMPUNCHI_FN uintptr_t gmpunchi_slot_socket(const gmpunchi_master_drive *drive, uint32_t connection) {
    if ((connection & (GMPUNCHI_MASTER_LIMIT - 1)) >= gmpunchi_pool_capacity(&drive->slot)) return GMPUNCHI_NO_SOCKET;
    return (uintptr_t)gmpunchi_slot_at(drive, connection)->socket;
}

/* Closes the socket of a connection. */
GMPUNCHI_FN void gmpunchi_master_drive_remove(gmpunchi_master_drive *drive, uint32_t connection) {
    uintptr_t socket = gmpunchi_slot_socket(drive, connection);
    if (socket == GMPUNCHI_NO_SOCKET) return;
    gmpunchi_watch_remove(&drive->watch, connection);
    gmpunchi_socket_close(&socket);
    gmpunchi_slot_at(drive, connection)->socket = (gmpunchi_handle)GMPUNCHI_NO_SOCKET;
}

/* Something may be left to be read of a connection. */
GMPUNCHI_FN void gmpunchi_master_drive_unread(gmpunchi_master_drive *drive, uint32_t connection) {
    uint32_t index = connection & (GMPUNCHI_MASTER_LIMIT - 1);
    if (gmpunchi_slot_at(drive, index)->next_unread != GMPUNCHI_READ_ALL) return;
    gmpunchi_slot_at(drive, index)->next_unread = GMPUNCHI_NONE;
    if (drive->unread_first == GMPUNCHI_NONE) drive->unread_first = index;
    else gmpunchi_slot_at(drive, drive->unread_last)->next_unread = index;
    drive->unread_last = index;
}

/* Does what the master wants done; 1 if there may be more. After the making of a list others get their turn. */
GMPUNCHI_FN int32_t gmpunchi_master_drive_flush(gmpunch_master *master, gmpunchi_master_drive *drive, uint64_t now) {
    gmpunch_transmit transmit;
    uint64_t built = master->stats.lobby_built + master->stats.refused_lobby;
    uint32_t sends, bytes = 0;
    for (sends = 0; sends < GMPUNCHI_MASTER_SENDS && bytes < GMPUNCHI_MASTER_SEND_BYTES &&
                    built == master->stats.lobby_built + master->stats.refused_lobby;
         sends++) {
        uintptr_t socket;
        int32_t os_error = 0, sent;
        if (gmpunch_master_next_transmit(master, &transmit) <= 0) return 0;
        if (transmit.kind == GMPUNCH_TRANSMIT_TCP_CLOSE) {
            gmpunchi_master_drive_remove(drive, transmit.connection);
            continue;
        }
        socket = gmpunchi_slot_socket(drive, transmit.connection);
        sent = gmpunchi_tcp_send(socket, transmit.data, transmit.len, &os_error);
        if (sent < 0) {
            if (gmpunch_master_tcp_closed(master, now, transmit.connection, os_error) == GMPUNCH_OK)
                gmpunchi_master_drive_remove(drive, transmit.connection);
        } else if ((uint32_t)sent < transmit.len) {
            gmpunch_master_tcp_sent(master, transmit.connection, (size_t)sent);
            gmpunchi_watch_set(&drive->watch, socket, transmit.connection, GMPUNCHI_READY_READ | GMPUNCHI_READY_WRITE);
        }
        if (sent > 0) bytes += (uint32_t)sent;
        if (sent) drive->activity++;
    }
    return 1;
}

/* Whether an error of accepting is about that one connection, and the next may be well. */
GMPUNCHI_FN int32_t gmpunchi_net_one_gone(int32_t error) {
    switch (error) {
    case GMPUNCHI_NET_ERROR(EINTR):
    case GMPUNCHI_NET_ERROR(ECONNABORTED):
    case GMPUNCHI_NET_ERROR(ECONNRESET):
    case GMPUNCHI_NET_ERROR(ETIMEDOUT):
    case GMPUNCHI_NET_ERROR(ENETDOWN):
    case GMPUNCHI_NET_ERROR(ENETUNREACH):
#if !defined(_WIN32)
    case EPROTO:
#endif
    case GMPUNCHI_NET_ERROR(EHOSTUNREACH): return 1;
    default: return 0;
    }
}

/* Stops or resumes accepting. */
GMPUNCHI_FN void gmpunchi_master_drive_listen(gmpunchi_master_drive *drive, int32_t on) {
    uint32_t i;
    for (i = 0; i < drive->binds; i++)
        gmpunchi_watch_set(&drive->watch, drive->bind[i].tcp, 2 * i + 1, on ? GMPUNCHI_READY_READ : 0);
}

/* Accepts what waits; 1 if there may be more. */
GMPUNCHI_FN int32_t gmpunchi_master_drive_accept(gmpunch_master *master, gmpunchi_master_drive *drive, uint64_t now,
                                                 uintptr_t listener) {
    uint32_t i, connection, errors = 0;
    for (i = 0; i < GMPUNCHI_MASTER_ACCEPTS; i++) {
        gmpunch_address from;
        uintptr_t accepted = gmpunchi_tcp_accept(listener, &from);
        if (accepted == GMPUNCHI_NO_SOCKET) {
            int32_t error = gmpunchi_net_error();
            if (gmpunchi_net_would_block(error)) return 0;
            master->object.os_error = error;
            if (gmpunchi_net_one_gone(error) && ++errors < GMPUNCHI_SKIPPED_ERRORS) continue;
            gmpunchi_log(&master->object, GMPUNCH_LOG_ERROR, GMPUNCH_LOG_ITEM_SOCKET,
                         gmpunchi_net_result(error) == GMPUNCH_ERR_DESCRIPTORS ? "no socket descriptors left"
                                                                               : "accepting a connection failed",
                         NULL);
            master->accept_at = now + GMPUNCHI_ACCEPT_PAUSE_MS;
            gmpunchi_master_drive_listen(drive, 0);
            return 0;
        }
        drive->activity++;
        if (gmpunch_master_tcp_accepted(master, now, &from, &connection)) {
            gmpunchi_socket_close(&accepted);
        } else if (gmpunchi_master_drive_add(master, drive, accepted, connection)) {
            gmpunch_master_tcp_closed(master, now, connection, 0);
            gmpunchi_socket_close(&accepted);
        }
    }
    return 1;
}

/* Reads datagrams; 1 if there may be more. */
GMPUNCHI_FN int32_t gmpunchi_master_drive_read_udp(gmpunch_master *master, gmpunchi_master_drive *drive, uint64_t now,
                                                   uint32_t index) {
    uint32_t read = 0, got, most, i;
    do {
        got = gmpunchi_udp_receive_batch(drive->bind[index].udp, &drive->batch, &most);
        for (i = 0; i < got; i++) {
            if (drive->batch.len[i] >= 0) {
                gmpunch_master_input_udp(master, now, &drive->batch.from[i], index, drive->batch.data[i],
                                         (size_t)drive->batch.len[i]);
            } else {
                master->stats.udp_received++;
                master->stats.udp_ignored++;
            }
        }
        read += got;
        drive->activity += got;
        if (got < most) return 0;
    } while (read < GMPUNCHI_MASTER_DATAGRAMS);
    return 1;
}

/* Reads a connection; with `last` to its end, otherwise a read that was not filled says that there is no more now. */
GMPUNCHI_FN void gmpunchi_master_drive_read_tcp(gmpunch_master *master, gmpunchi_master_drive *drive, uint64_t now,
                                                uint32_t connection, int32_t last) {
    int32_t got, os_error;
    uint32_t i;
    for (i = 0; i < GMPUNCHI_MASTER_READS; i++) {
        uintptr_t socket = gmpunchi_slot_socket(drive, connection);
        got = gmpunchi_tcp_receive(socket, drive->rx, sizeof drive->rx, &os_error);
        if (got) drive->activity++;
        if (got < 0) {
            if (gmpunch_master_tcp_closed(master, now, connection, os_error) == GMPUNCH_OK)
                gmpunchi_master_drive_remove(drive, connection);
            return;
        }
        if (got > 0 && gmpunch_master_tcp_data(master, now, connection, drive->rx, (size_t)got)) return; /* to be closed */
        if (got == 0 || (!last && (size_t)got < sizeof drive->rx)) return;
    }
    gmpunchi_master_drive_unread(drive, connection);
}

/* Reads what earlier rounds left unread. */
GMPUNCHI_FN void gmpunchi_master_drive_read_on(gmpunch_master *master, gmpunchi_master_drive *drive, uint64_t now) {
    uint32_t last = drive->unread_last, index, i;
    for (i = 0; i < drive->binds; i++) {
        gmpunchi_bind *bind_at = &drive->bind[i];
        if (bind_at->udp_unread) bind_at->udp_unread = gmpunchi_master_drive_read_udp(master, drive, now, i);
        if (bind_at->tcp_unread) bind_at->tcp_unread = gmpunchi_master_drive_accept(master, drive, now, bind_at->tcp);
    }
    if (drive->unread_first == GMPUNCHI_NONE) return;
    do {
        gmpunchi_slot *slot;
        index = drive->unread_first;
        slot = gmpunchi_slot_at(drive, index);
        drive->unread_first = slot->next_unread;
        slot->next_unread = GMPUNCHI_READ_ALL;
        if (gmpunchi_connection_at(master, index)->generation)
            gmpunchi_master_drive_read_tcp(master, drive, now, gmpunchi_connection_id(master, index), 1);
    } while (index != last);
}

GMPUNCHI_FN int32_t gmpunchi_master_drive_has_unread(const gmpunchi_master_drive *drive) {
    uint32_t i;
    int32_t unread = drive->unread_first != GMPUNCHI_NONE;
    for (i = 0; i < drive->binds; i++) unread |= drive->bind[i].udp_unread | drive->bind[i].tcp_unread;
    return unread;
}

/* A socket is ready. */
GMPUNCHI_FN void gmpunchi_master_drive_ready(gmpunch_master *master, gmpunchi_master_drive *drive, uint64_t now,
                                             const gmpunchi_ready *ready) {
    if (ready->key < 2 * drive->binds) {
        gmpunchi_bind *bind_at = &drive->bind[ready->key / 2];
        if (ready->key % 2) bind_at->tcp_unread = gmpunchi_master_drive_accept(master, drive, now, bind_at->tcp);
        else bind_at->udp_unread = gmpunchi_master_drive_read_udp(master, drive, now, ready->key / 2);
        return;
    }
    if (gmpunchi_connection_place(master, ready->key) == GMPUNCHI_NONE) return; /* closed since */
    if (ready->what & GMPUNCHI_READY_WRITE) {
        gmpunchi_watch_set(&drive->watch, gmpunchi_slot_socket(drive, ready->key), ready->key, GMPUNCHI_READY_READ);
        gmpunch_master_tcp_writable(master, now, ready->key);
    }
    if (ready->what & GMPUNCHI_READY_READ)
        gmpunchi_master_drive_read_tcp(master, drive, now, ready->key, (ready->what & GMPUNCHI_READY_LAST) != 0);
}

int32_t gmpunch_master_poll(gmpunch_master *master, gmpunch_event *event, uint32_t timeout_ms) {
    gmpunchi_master_drive *drive = master ? (gmpunchi_master_drive *)master->object.drive : NULL;
    uint64_t now, until;
    uint32_t rounds = 0, fruitless = 0, activity = 0;
    int32_t looked = 0;
    if (!drive) return gmpunchi_no_drive(master);
    master->no_events = event == NULL;
    now = gmpunch_now();
    until = gmpunchi_after(now, timeout_ms);
    for (;; now = gmpunch_now()) {
        uint64_t deadline, wait;
        gmpunchi_ready ready;
        int32_t more, told;
        if (now >= drive->clock_at) {
            gmpunch_master_set_unix_time(master, now, gmpunchi_unix_time());
            drive->clock_at = now + GMPUNCHI_CLOCK_MS;
        }
        if (now >= gmpunch_master_next_deadline(master)) gmpunch_master_tick(master, now);
        if (now >= master->accept_at) {
            master->accept_at = GMPUNCHI_TIME_NEVER;
            gmpunchi_master_drive_listen(drive, 1);
        }
        more = gmpunchi_master_drive_flush(master, drive, now) || master->unread;
        if (event && gmpunch_master_next_event(master, event) > 0) return 1;
        /* looks once even with no time to wait, and does not leave before all is sent, unless it never ends */
        if (now >= until && looked && (!more || ++rounds == GMPUNCHI_MASTER_ROUNDS)) break;
        deadline = gmpunchi_earlier(gmpunch_master_next_deadline(master), until);
        wait = deadline > now && !more ? deadline - now : 0;
        told = gmpunchi_watch_wait(&drive->watch, wait > 0x7fffffffu ? GMPUNCH_NEVER : (uint32_t)wait);
        looked = 1;
        now = gmpunch_now();
        if (master->unread) gmpunchi_master_drive_read_on(master, drive, now);
        for (; gmpunchi_watch_next(&drive->watch, &ready); told = 1) gmpunchi_master_drive_ready(master, drive, now, &ready);
        master->unread = gmpunchi_master_drive_has_unread(drive);
        if (told && activity == drive->activity) gmpunchi_fruitless(&master->object, &fruitless, wait);
        else fruitless = 0;
        activity = drive->activity;
    }
    return 0; /* the event is empty: gmpunch_master_next_event had none */
}

/* Binds one address for TCP and UDP; port 0: one that is free for both. */
GMPUNCHI_FN int32_t gmpunchi_master_drive_bind(gmpunchi_master_drive *drive, const gmpunch_address *bind_to, uint16_t *port,
                                               int32_t *os_error) {
    uint32_t tries;
    int32_t result;
    for (tries = 0; tries < GMPUNCHI_BIND_TRIES; tries++) {
        uint8_t family;
        gmpunch_address bound = *bind_to;
        uintptr_t udp = GMPUNCHI_NO_SOCKET, tcp = gmpunchi_socket_open_bound(bind_to, *port, SOCK_STREAM, &family);
        if (tcp != GMPUNCHI_NO_SOCKET && listen((gmpunchi_handle)tcp, SOMAXCONN) == 0 &&
            gmpunchi_socket_local(tcp, &bound, NULL) == GMPUNCH_OK)
            udp = gmpunchi_socket_open_bound(bind_to, bound.port, SOCK_DGRAM, &family);
        if (udp != GMPUNCHI_NO_SOCKET) {
            uint32_t index = drive->binds++;
            drive->bind[index].udp = udp;
            drive->bind[index].tcp = tcp;
            gmpunchi_tcp_prepare(tcp); /* for those that are accepted */
            *port = bound.port;
            result = gmpunchi_watch_add(&drive->watch, udp, 2 * index);
            if (!result) result = gmpunchi_watch_add(&drive->watch, tcp, 2 * index + 1);
            if (result && result != GMPUNCH_ERR_MEMORY) *os_error = gmpunchi_net_error(); /* not the allocator: the system */
            return result;
        }
        *os_error = gmpunchi_net_error();
        gmpunchi_socket_close(&tcp);
        if (*port || gmpunchi_net_result(*os_error) != GMPUNCH_ERR_ADDRESS_IN_USE) break;
    }
    return gmpunchi_net_result(*os_error);
}

/* Binds each address of a list with commas. */
GMPUNCHI_FN int32_t gmpunchi_master_drive_bind_all(gmpunchi_master_drive *drive, const char *list, uint16_t port,
                                                   int32_t *os_error) {
    gmpunch_address address;
    char text[GMPUNCH_ADDRESS_TEXT_SIZE];
    memset(&address, 0, sizeof address);
    if (!list) return gmpunchi_master_drive_bind(drive, &address, &port, os_error);
    for (;;) {
        size_t len = strcspn(list, ",");
        int32_t result;
        if (len >= sizeof text || drive->binds == GMPUNCH_MASTER_MAX_BINDS) return GMPUNCH_ERR_CONFIG;
        memcpy(text, list, len);
        text[len] = 0;
        if (gmpunchi_parse_bind(text, &address)) return GMPUNCH_ERR_CONFIG;
        result = gmpunchi_master_drive_bind(drive, &address, &port, os_error);
        if (result || !list[len]) return result;
        list += len + 1;
    }
}

int32_t gmpunch_master_open(const gmpunch_master_config *given, gmpunch_master **out) {
    gmpunch_master_config config;
    gmpunch_master *master = NULL;
    gmpunchi_master_drive *drive;
    int32_t result, error = 0;
    if (!out) return GMPUNCH_ERR_ARGUMENT;
    *out = NULL;
    result = gmpunchi_master_configure(given, &config);
    if (result) return result;
    gmpunchi_report(config.os_error, 0);
    if (gmpunchi_net_start()) return GMPUNCH_ERR_SOCKET;
    if (!given->seed) config.seed = gmpunchi_seed(&config);
    result = gmpunch_master_create(&config, gmpunch_now(), &master);
    if (result) {
        gmpunchi_net_stop();
        return result;
    }
    master->object.drive = drive = (gmpunchi_master_drive *)gmpunchi_master_alloc(master, sizeof *drive);
    if (drive) {
        gmpunch_allocator allocator;
        allocator.alloc = gmpunchi_master_drive_alloc;
        allocator.free = gmpunchi_master_drive_free;
        allocator.user = master;
        memset(drive, 0, sizeof *drive);
        drive->unread_first = GMPUNCHI_NONE;
        gmpunchi_pool_init(&drive->slot, sizeof(gmpunchi_slot), GMPUNCHI_MASTER_LIMIT);
        result = gmpunchi_watch_open(&drive->watch, &allocator);
        if (result) error = gmpunchi_net_error();
        else result = gmpunchi_master_drive_bind_all(drive, config.bind_address, config.any_port ? 0 : config.port, &error);
    } else {
        gmpunchi_net_stop(); /* without a drive, closing does not */
        result = GMPUNCH_ERR_MEMORY;
    }
    if (result) {
        gmpunch_master_close(master);
        gmpunchi_report(config.os_error, error);
        return result;
    }
    *out = master;
    return GMPUNCH_OK;
}

int32_t gmpunch_master_waits(const gmpunch_master *master, gmpunch_wait *waits, uint32_t capacity) {
    const gmpunchi_master_drive *drive = master ? (const gmpunchi_master_drive *)master->object.drive : NULL;
    if (!drive) return gmpunchi_no_drive(master);
    if (!waits && capacity) return GMPUNCH_ERR_ARGUMENT;
    return (int32_t)gmpunchi_watch_waits(&drive->watch, waits, capacity);
}

int32_t gmpunch_master_local_address(const gmpunch_master *master, uint32_t index, gmpunch_address *address) {
    const gmpunchi_master_drive *drive = master ? (const gmpunchi_master_drive *)master->object.drive : NULL;
    if (!drive) return gmpunchi_no_drive(master);
    if (!address || index >= drive->binds) return GMPUNCH_ERR_ARGUMENT;
    return gmpunchi_socket_local(drive->bind[index].udp, address, NULL);
}

int32_t gmpunch_master_os_error(const gmpunch_master *master) { return master ? master->object.os_error : 0; }

GMPUNCHI_FN void gmpunchi_master_drive_close(gmpunch_master *master) {
    gmpunchi_master_drive *drive = (gmpunchi_master_drive *)master->object.drive;
    uint32_t i;
    if (!drive) return;
    for (i = 0; i < drive->binds; i++) {
        gmpunchi_socket_close(&drive->bind[i].udp);
        gmpunchi_socket_close(&drive->bind[i].tcp);
    }
    for (i = 0; i < master->connection.touched; i++) {
        uintptr_t socket = gmpunchi_slot_socket(drive, i);
        gmpunchi_socket_close(&socket);
    }
    gmpunchi_watch_close(&drive->watch);
    gmpunchi_master_pool_free(master, &drive->slot);
    gmpunchi_master_release(master, drive, sizeof *drive);
    gmpunchi_net_stop();
}

#endif /* GMPUNCH_NO_MASTER */
#endif /* GMPUNCH_NO_SOCKETS */

/* ---- size and end of an object, with or without sockets ---- */

GMPUNCHI_FN size_t gmpunchi_extra_size(int32_t sockets, uint32_t max_packet) {
#if defined(GMPUNCH_NO_SOCKETS)
    (void)sockets;
    (void)max_packet;
    return 0;
#else
    return sockets ? gmpunchi_drive_size(max_packet) : 0;
#endif
}

size_t gmpunch_client_memory_size(const gmpunch_client_config *given, int32_t sockets) {
    gmpunch_client_config config;
    gmpunchi_arena arena = {NULL, 0};
    void *extra;
    if (gmpunchi_client_configure(given, &config)) return 0;
    gmpunchi_client_layout(&arena, &config, gmpunchi_extra_size(sockets, config.max_packet), &extra);
    return arena.used;
}

size_t gmpunch_host_memory_size(const gmpunch_host_config *given, int32_t sockets) {
    gmpunch_host_config config;
    gmpunchi_arena arena = {NULL, 0};
    void *extra;
    if (gmpunchi_host_configure(given, &config)) return 0;
    gmpunchi_host_layout(&arena, &config, gmpunchi_extra_size(sockets, config.max_packet), &extra);
    return arena.used;
}

size_t gmpunch_lobby_memory_size(const gmpunch_lobby_config *given, int32_t sockets) {
    gmpunch_lobby_config config;
    gmpunchi_arena arena = {NULL, 0};
    void *extra;
    if (gmpunchi_lobby_configure(given, &config)) return 0;
#if defined(GMPUNCH_NO_SOCKETS)
    sockets = 0;
#else
    sockets = sockets ? (int32_t)GMPUNCHI_LOBBY_RX : 0;
#endif
    gmpunchi_lobby_layout(&arena, &config, gmpunchi_extra_size(sockets, (uint32_t)sockets), &extra);
    return arena.used;
}

void gmpunch_lobby_close(gmpunch_lobby *lobby) {
    if (!lobby) return;
#if !defined(GMPUNCH_NO_SOCKETS)
    if (lobby->object.drive) gmpunchi_drive_close((gmpunchi_drive *)lobby->object.drive);
#endif
    gmpunchi_object_free(&lobby->object);
}

void gmpunch_client_close(gmpunch_client *client) {
    if (!client) return;
#if !defined(GMPUNCH_NO_SOCKETS)
    if (client->object.drive) gmpunchi_drive_close((gmpunchi_drive *)client->object.drive);
#endif
    gmpunchi_object_free(&client->object);
}

void gmpunch_host_close(gmpunch_host *host) {
    if (!host) return;
#if !defined(GMPUNCH_NO_SOCKETS)
    if (host->object.drive) gmpunchi_drive_close((gmpunchi_drive *)host->object.drive);
#endif
    gmpunchi_object_free(&host->object);
}

#if !defined(GMPUNCH_NO_MASTER)
void gmpunch_master_close(gmpunch_master *master) {
    if (!master) return;
#if !defined(GMPUNCH_NO_SOCKETS)
    gmpunchi_master_drive_close(master);
#endif
    gmpunchi_master_clear(master);
    gmpunchi_object_free(&master->object);
}
#endif

#if defined(__cplusplus)
}
#endif
#endif /* GMPUNCH_IMPLEMENTATION */

/*
MIT License

Copyright (c) 2026 the gmpunch authors

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
