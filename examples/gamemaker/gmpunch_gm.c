/* gmpunch for GameMaker: the native side of the extension. Only numbers (double) and strings pass between a game and it.

     ./build.sh [DIRECTORY]       builds the libraries for each system and the package to import

   A function gmpunch_gm_NAME here is gmpunch_NAME in GameMaker. generate.py makes the extension from this file: the comment
   in front of a function is its help there, the enums below and those of gmpunch.h are its constants.

   RESULTS. GameMaker gives 0 for a function whose library could not be loaded, so 0 is never success: a function that does
   something returns 1 or more, or a negative GMPUNCH_ERR_. A function that reads a number may return 0 for it. Wrong, closed
   and senseless ids give GMPUNCH_ERR_ARGUMENT, an id of another kind of object GMPUNCH_ERR_STATE, texts are then "".

   MEMORY. A GameMaker buffer comes as its address (GameMaker passes pointers as strings) and a size in bytes. Signatures
   that mix strings and numbers have at most three arguments, which is why some functions choose what the next one acts on.

   TWO WAYS. gmpunch_open uses sockets of the library, which gmpunch_poll serves. gmpunch_create leaves all sockets to the
   game: it tells what its networking event brought (input_, tcp_), what it is to send (transmit_), and ticks once per step.

   HEADERS. GameMaker's network_send_udp puts a header of 12 bytes in front of a datagram, and its networking event comes
   without it: a game can't tell how a datagram was sent, but gmpunch answers in the form that it was sent in. So for a
   created object the header is put back where it is missing, and taken off what is to be sent: gmpunch_transmit_header says
   which of network_send_udp and network_send_udp_raw gives the same bytes on the wire. A raw peer that is answered with a
   header understands it and goes on with headers. With `raw` set nothing is put back: what came counts as sent without. */
#define GMPUNCH_STATIC
#define GMPUNCH_IMPLEMENTATION
#include "../../gmpunch.h"

#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define GM_EXPORT __declspec(dllexport)
#else
#define GM_EXPORT __attribute__((visibility("default")))
#endif

/* What an object is. */
enum { GMPUNCH_KIND_CLIENT = 1, GMPUNCH_KIND_HOST = 2, GMPUNCH_KIND_LOBBY = 3, GMPUNCH_KIND_MASTER = 4 };

/* What a datagram was, result of gmpunch_input_memory. */
enum {
    GMPUNCH_INPUT_PROTOCOL = 1, /* gmpunch's */
    GMPUNCH_INPUT_GAME = 2, /* a game packet of gmpunch_input_peer (of the client's host), from gmpunch_input_offset on */
    GMPUNCH_INPUT_OTHER = 3 /* from somebody who is not connected */
};

enum { SLOTS = 256, TEXT_MAX = 65536, MEMORY_MAX = 0x4000000, LOG_LINES = 16, LOG_SIZE = 160 };

/* ---- what has names: the fields of configs, statistics and peers */

typedef enum field_type { FIELD_FLAG, FIELD_U16, FIELD_U32, FIELD_S32, FIELD_U64, FIELD_TEXT } field_type;

typedef struct field {
    int32_t kind;
    field_type type;
    size_t offset;
    const char *name;
} field;

/* clang-format off */
#define CLIENT(type, name) {GMPUNCH_KIND_CLIENT, FIELD_##type, offsetof(gmpunch_client_config, name), #name}
#define HOST(type, name) {GMPUNCH_KIND_HOST, FIELD_##type, offsetof(gmpunch_host_config, name), #name}
#define LOBBY(type, name) {GMPUNCH_KIND_LOBBY, FIELD_##type, offsetof(gmpunch_lobby_config, name), #name}
#define MASTER(type, name) {GMPUNCH_KIND_MASTER, FIELD_##type, offsetof(gmpunch_master_config, name), #name}
#define STRING(kind, config, array, number) \
    {kind, FIELD_TEXT, offsetof(config, array) + ((number) - 1) * sizeof(const char *), #array #number}
#define STRINGS(kind, config, array) \
    STRING(kind, config, array, 1), STRING(kind, config, array, 2), STRING(kind, config, array, 3), \
        STRING(kind, config, array, 4), STRING(kind, config, array, 5), STRING(kind, config, array, 6), \
        STRING(kind, config, array, 7), STRING(kind, config, array, 8)

static const field config_fields[] = {
    CLIENT(FLAG, raw), CLIENT(FLAG, escape), CLIENT(FLAG, direct_only), CLIENT(TEXT, master), CLIENT(TEXT, server),
    CLIENT(TEXT, bind_address), CLIENT(U16, bind_port), CLIENT(U16, direct_port), CLIENT(U32, timeout_ms),
    CLIENT(U32, master_timeout_ms), CLIENT(U32, announce_interval_ms), CLIENT(U32, knock_interval_ms),
    CLIENT(U32, keepalive_interval_ms), CLIENT(U32, peer_timeout_ms), CLIENT(U32, max_packet), CLIENT(U32, max_sockets),
    CLIENT(FLAG, ask_data), CLIENT(U64, seed), CLIENT(U32, knock_rules), CLIENT(U32, max_addresses),

    HOST(FLAG, raw), HOST(FLAG, escape), HOST(FLAG, require_mediation), HOST(TEXT, master), HOST(TEXT, bind_address),
    HOST(U16, bind_port), STRINGS(GMPUNCH_KIND_HOST, gmpunch_host_config, data), HOST(U32, data_capacity),
    HOST(U32, register_interval_ms), HOST(U32, reconnect_min_ms), HOST(U32, reconnect_max_ms),
    HOST(U32, keepalive_interval_ms), HOST(U32, ping_interval_ms), HOST(U32, knock_interval_ms),
    HOST(U32, introduction_timeout_ms), HOST(U32, peer_timeout_ms), HOST(U32, idle_timeout_ms), HOST(U32, kick_ms),
    HOST(U32, max_peers), HOST(U32, max_introductions), HOST(U32, max_packet), HOST(U64, seed),
    HOST(U32, knock_rules), HOST(U32, max_introductions_per_ip), HOST(U32, max_knocks_per_second), HOST(U32, max_direct_peers),
    HOST(U32, max_direct_peers_per_ip), HOST(U32, unconfirmed_ms),

    LOBBY(U32, sort_by), LOBBY(FLAG, descending), LOBBY(U32, limit), LOBBY(TEXT, master), LOBBY(TEXT, bind_address),
    STRINGS(GMPUNCH_KIND_LOBBY, gmpunch_lobby_config, filter), LOBBY(U32, timeout_ms), LOBBY(U32, max_entry),
    LOBBY(U32, max_entries), LOBBY(U32, max_bytes), LOBBY(U32, total_timeout_ms),

    MASTER(FLAG, any_port), MASTER(TEXT, bind_address), MASTER(U16, port), MASTER(FLAG, no_lobby), MASTER(FLAG, testing),
    MASTER(TEXT, name), MASTER(U32, hold_ms), MASTER(U32, client_port_ms), MASTER(U32, host_port_ms),
    MASTER(U32, command_timeout_ms), MASTER(U32, idle_timeout_ms), MASTER(U32, host_timeout_ms),
    MASTER(U32, write_timeout_ms), MASTER(U32, introduction_gap_ms), MASTER(U32, max_connections),
    MASTER(U32, max_connections_per_ip), MASTER(U32, max_ports), MASTER(U32, max_ports_per_ip), MASTER(U32, max_requests),
    MASTER(U32, max_requests_per_connection), MASTER(U32, max_messages), MASTER(U32, max_messages_per_connection),
    MASTER(U32, max_line), MASTER(U32, max_data), MASTER(U32, max_lobby), MASTER(U32, max_lobby_memory), MASTER(U64, seed),
    MASTER(U32, max_connections_per_subnet), MASTER(U32, max_waiting_connections), MASTER(U32, max_commands_per_second),
    MASTER(U32, max_lobby_memory_per_ip),
};
#undef CLIENT
#undef HOST
#undef LOBBY
#undef MASTER

#define CLIENT(name) {GMPUNCH_KIND_CLIENT, FIELD_U32, offsetof(gmpunch_client_stats, name), #name}
#define HOST(name) {GMPUNCH_KIND_HOST, FIELD_U32, offsetof(gmpunch_host_stats, name), #name}
#define LOBBY(type, name) {GMPUNCH_KIND_LOBBY, FIELD_##type, offsetof(gmpunch_lobby_stats, name), #name}
#define MASTER(type, name) {GMPUNCH_KIND_MASTER, FIELD_##type, offsetof(gmpunch_master_stats, name), #name}

static const field stat_fields[] = {
    CLIENT(announces_sent), CLIENT(master_attempts), CLIENT(master_answers), CLIENT(knocks_sent), CLIENT(knocks_heard),
    CLIENT(welcomes_heard), CLIENT(keepalives_sent), CLIENT(sockets_used), CLIENT(strangers), CLIENT(malformed),
    CLIENT(oversized), CLIENT(events_dropped), CLIENT(sends_failed), CLIENT(refused_addresses),

    HOST(peers), HOST(introductions), HOST(registered), HOST(registrations), HOST(master_attempts), HOST(introduced),
    HOST(joined), HOST(left), HOST(knocks_sent), HOST(knocks_heard), HOST(welcomes_sent), HOST(data_sent),
    HOST(keepalives_sent), HOST(refused_full), HOST(refused_unmediated), HOST(refused_kicked), HOST(refused_introductions),
    HOST(strangers), HOST(malformed), HOST(oversized), HOST(events_dropped), HOST(sends_failed),
    HOST(refused_direct), HOST(refused_direct_ip), HOST(displaced), HOST(knocks_held), HOST(data_held),

    LOBBY(U32, master_attempts), LOBBY(U32, entries), LOBBY(U32, oversized), LOBBY(U32, malformed), LOBBY(U64, bytes),

    MASTER(U32, connections), MASTER(U32, hosts), MASTER(U32, requests), MASTER(U32, ports), MASTER(U64, memory),
    MASTER(U64, accepted), MASTER(U64, registrations), MASTER(U64, requested), MASTER(U64, introductions),
    MASTER(U64, portless), MASTER(U64, not_found), MASTER(U64, udp_received), MASTER(U64, udp_ignored),
    MASTER(U64, lines_ignored), MASTER(U64, refused_connections), MASTER(U64, refused_connections_ip),
    MASTER(U64, refused_ports), MASTER(U64, refused_requests), MASTER(U64, refused_messages), MASTER(U64, refused_memory),
    MASTER(U64, closed_line), MASTER(U64, closed_command), MASTER(U64, closed_idle), MASTER(U64, closed_host),
    MASTER(U64, closed_write), MASTER(U64, closed_version), MASTER(U64, closed_full), MASTER(U64, events_dropped),
    MASTER(U64, listed), MASTER(U64, data_bytes), MASTER(U64, lobby_bytes), MASTER(U64, lobby_requests),
    MASTER(U64, lobby_built), MASTER(U64, lobby_truncated), MASTER(U64, refused_data), MASTER(U64, refused_lobby),
    MASTER(U64, tcp_bytes_in), MASTER(U64, tcp_bytes_out), MASTER(U64, udp_bytes_in),
    MASTER(U64, refused_connections_subnet), MASTER(U64, refused_connections_waiting), MASTER(U64, refused_commands),
};
#undef CLIENT
#undef HOST
#undef LOBBY
#undef MASTER

#define PEER(type, name) {GMPUNCH_KIND_HOST, FIELD_##type, offsetof(gmpunch_peer_info, name), #name}

static const field peer_fields[] = {
    PEER(S32, how), PEER(U32, flags), PEER(S32, answers), PEER(U32, socket_index), PEER(U32, connected_ms),
    PEER(U32, silent_ms), PEER(S32, confirmed),
};
#undef PEER
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const field *find_field(const field *fields, size_t count, int32_t kind, const char *name) {
    size_t i;
    for (i = 0; name && i < count; i++)
        if (fields[i].kind == kind && strcmp(fields[i].name, name) == 0) return &fields[i];
    return NULL;
}

static double read_field(const field *f, const void *of) {
    const uint8_t *at = (const uint8_t *)of + f->offset;
    uint64_t wide;
    uint32_t u;
    int32_t s;
    if (f->type == FIELD_U64) {
        memcpy(&wide, at, sizeof wide);
        return (double)wide;
    }
    if (f->type == FIELD_S32) {
        memcpy(&s, at, sizeof s);
        return s;
    }
    memcpy(&u, at, sizeof u);
    return u;
}

/* ---- objects */

/* Bytes that grow as needed. */
typedef struct block {
    uint8_t *data;
    size_t len, size;
} block;

typedef struct object {
    int32_t kind;
    int32_t is_config; /* not open: settings */
    int32_t created;   /* the game has the sockets */
    union {
        gmpunch_client_config client;
        gmpunch_host_config host;
        gmpunch_lobby_config lobby;
        gmpunch_master_config master;
    } settings;
    gmpunch_client *client; /* one of these four */
    gmpunch_host *host;
    gmpunch_lobby *lobby;
    gmpunch_master *master;
    int32_t os_error;
    gmpunch_event event;                  /* the current one */
    block event_data;                     /* what it points to: a game may ask for it at any time */
    uint32_t peer;                        /* to send to */
    block peers;                          /* their ids */
    char text[GMPUNCH_ADDRESS_TEXT_SIZE]; /* returned last */

    uint32_t log_level;
    char log[LOG_LINES][LOG_SIZE];
    uint32_t log_first, log_count;

    /* only if created */
    int32_t raw, escape;
    gmpunch_address from; /* of the next datagram */
    uint32_t from_socket;
    uint32_t udp_socket; /* the client's: of its connection */
    block datagram;      /* the one that is worked on, with header */
    uint32_t input_peer;
    size_t input_offset;
    gmpunch_transmit transmit; /* the current one */
    block transmit_data;
    int32_t transmit_header;
    block packet; /* of the game, waits to be transmitted */
    int32_t packet_waits;
    block targets; /* the peers that it goes to */
    size_t target;
    uint32_t connection;
    block rest; /* of the list: what the lobby did not take yet */
    size_t rest_at;
    int32_t rest_closed, rest_error; /* then the connection ended */
} object;

static object *objects[SLOTS];
static uint32_t generations[SLOTS];

/* 1 if the number is a whole one from 0 to max; NaN is not. */
static int whole(double number, double max) { return number >= 0 && number <= max && (double)(uint64_t)number == number; }

static object *find_any(double id) {
    uint64_t n;
    if (!whole(id, 9007199254740991.0)) return NULL;
    n = (uint64_t)id;
    return generations[n % SLOTS] == n / SLOTS ? objects[n % SLOTS] : NULL;
}

/* An object that runs. */
static object *find(double id) {
    object *o = find_any(id);
    return o && !o->is_config ? o : NULL;
}

/* The id of a new object, or an error. */
static double make(int32_t kind, int32_t is_config, object **made) {
    uint32_t i = 0;
    *made = NULL;
    while (i < SLOTS && objects[i]) i++;
    if (i == SLOTS) return GMPUNCH_ERR_FULL;
    objects[i] = (object *)calloc(1, sizeof(object));
    if (!objects[i]) return GMPUNCH_ERR_MEMORY;
    generations[i]++; /* the first is 1, so that an id is never one of the small numbers that a game is full of */
    objects[i]->kind = kind;
    objects[i]->is_config = is_config;
    *made = objects[i];
    return (double)generations[i] * SLOTS + i;
}

static void destroy(object *o) {
    block *blocks[] = {&o->event_data, &o->peers, &o->datagram, &o->transmit_data, &o->packet, &o->targets, &o->rest};
    size_t i;
    for (i = 0; o->is_config && i < COUNT(config_fields); i++) {
        void *text;
        if (config_fields[i].kind != o->kind || config_fields[i].type != FIELD_TEXT) continue;
        memcpy(&text, (uint8_t *)&o->settings + config_fields[i].offset, sizeof text);
        free(text);
    }
    gmpunch_client_close(o->client);
    gmpunch_host_close(o->host);
    gmpunch_lobby_close(o->lobby);
    gmpunch_master_close(o->master);
    for (i = 0; i < COUNT(blocks); i++) free(blocks[i]->data);
    for (i = 0; i < SLOTS; i++)
        if (objects[i] == o) objects[i] = NULL;
    free(o);
}

static int32_t block_reserve(block *b, size_t size) {
    uint8_t *data;
    size_t grown = b->size ? b->size : 256;
    if (size <= b->size) return GMPUNCH_OK;
    while (grown < size) grown *= 2;
    data = (uint8_t *)realloc(b->data, grown);
    if (!data) return GMPUNCH_ERR_MEMORY;
    b->data = data;
    b->size = grown;
    return GMPUNCH_OK;
}

static int32_t block_append(block *b, const void *data, size_t len) {
    int32_t result = block_reserve(b, b->len + len);
    if (result != GMPUNCH_OK) return result;
    if (len) memcpy(b->data + b->len, data, len);
    b->len += len;
    return GMPUNCH_OK;
}

static int32_t block_set(block *b, const void *data, size_t len) {
    b->len = 0;
    return block_append(b, data, len);
}

/* To a buffer of the game. */
static double copy_out(const void *data, size_t len, char *memory, double size) {
    if (!whole(size, 9007199254740991.0) || (!memory && len)) return GMPUNCH_ERR_ARGUMENT;
    if (size < (double)len) return GMPUNCH_ERR_TOO_LONG;
    if (len) memcpy(memory, data, len);
    return 1;
}

/* From a buffer of the game: 1 if address and size can be right. */
static int sane(const char *memory, double size, double max) { return whole(size, max) && (memory || size == 0); }

static double done(int32_t result) { return result == GMPUNCH_OK ? 1 : result; }

static const char *address_text(object *o, const gmpunch_address *address) {
    gmpunch_address ip = *address;
    ip.port = 0;
    gmpunch_address_format(&ip, o->text, sizeof o->text);
    return o->text;
}

/* Calls the function of the object's kind. An object has one of the four, and the kinds that a caller lets through. */
#define PAIR(o, function, ...) \
    ((o)->host ? gmpunch_host_##function((o)->host, __VA_ARGS__) : gmpunch_client_##function((o)->client, __VA_ARGS__))
#define MACHINE(o, function, ...) \
    ((o)->lobby ? gmpunch_lobby_##function((o)->lobby, __VA_ARGS__) : PAIR(o, function, __VA_ARGS__))
#define ANY(o, function, ...) \
    ((o)->master ? gmpunch_master_##function((o)->master, __VA_ARGS__) : MACHINE(o, function, __VA_ARGS__))

static void keep_log(void *user, int32_t level, int32_t item, const char *text) {
    object *o = (object *)user;
    size_t len = strlen(text);
    char *line;
    (void)item;
    if ((uint32_t)level > o->log_level) return;
    if (o->log_count == LOG_LINES) o->log_first++; /* the oldest goes */
    else o->log_count++;
    line = o->log[(o->log_first + o->log_count - 1) % LOG_LINES];
    if (len > LOG_SIZE - 1) len = LOG_SIZE - 1;
    memcpy(line, text, len);
    line[len] = 0;
}

/* ---- in general */

/* 1 if the library is loaded. Without it every function gives 0 or "". */
GM_EXPORT double gmpunch_gm_is_available(void) { return 1; }

/* The version of the library, such as "1.2.3". */
GM_EXPORT const char *gmpunch_gm_version(void) { return gmpunch_version_string(); }

static int32_t to_int(double number) { return number >= -1e9 && number <= 1e9 ? (int32_t)number : 0x7fffffff; }

/* What a negative result means. */
GM_EXPORT const char *gmpunch_gm_error_text(double error) { return gmpunch_strerror(to_int(error)); }

/* The name of a result, such as "ADDRESS_IN_USE". */
GM_EXPORT const char *gmpunch_gm_error_name(double error) { return gmpunch_error_name(to_int(error)); }

/* The name of a GMPUNCH_EVENT_, such as "connected". */
GM_EXPORT const char *gmpunch_gm_event_name(double type) { return gmpunch_event_name(to_int(type)); }

/* The name of a GMPUNCH_REASON_, such as "host_silent". */
GM_EXPORT const char *gmpunch_gm_reason_name(double reason) { return gmpunch_reason_name(to_int(reason)); }

/* A sentence for a GMPUNCH_REASON_ that tells a player what to do. */
GM_EXPORT const char *gmpunch_gm_reason_text(double reason) { return gmpunch_reason_text(to_int(reason)); }

/* The name of a GMPUNCH_STAGE_, such as "punch". */
GM_EXPORT const char *gmpunch_gm_stage_name(double stage) { return gmpunch_stage_name(to_int(stage)); }

/* The name of a GMPUNCH_HOW_, such as "punched". */
GM_EXPORT const char *gmpunch_gm_how_name(double how) { return gmpunch_how_name(to_int(how)); }

/* 1 if the text is a numeric address, with or without a port: no name that has to be looked up. */
GM_EXPORT double gmpunch_gm_is_address(const char *text) {
    gmpunch_address address;
    return done(gmpunch_address_parse(text, 0, &address));
}

/* ---- configs */

/* Makes settings for an object of this GMPUNCH_KIND_. They can be used for several; end them with gmpunch_close. */
GM_EXPORT double gmpunch_gm_config_create(double kind) {
    object *o;
    if (!whole(kind, GMPUNCH_KIND_MASTER) || kind < 1) return GMPUNCH_ERR_ARGUMENT;
    return make((int32_t)kind, 1, &o);
}

static object *find_config(double id) {
    object *o = find_any(id);
    return o && o->is_config ? o : NULL;
}

/* Sets a field of the config by its name in gmpunch.h, such as "bind_port" or "timeout_ms"; a flag is true or false. Also
   "log_level": up to which GMPUNCH_LOG_ it logs, see gmpunch_log. A value out of range is told by gmpunch_open. */
GM_EXPORT double gmpunch_gm_config_set(double config, const char *key, double value) {
    object *o = find_config(config);
    const field *f;
    uint8_t *place;
    uint64_t wide;
    uint32_t u;
    uint16_t small;
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    if (key && strcmp(key, "log_level") == 0) {
        if (!whole(value, GMPUNCH_LOG_DEBUG)) return GMPUNCH_ERR_ARGUMENT;
        o->log_level = (uint32_t)value;
        return 1;
    }
    f = find_field(config_fields, COUNT(config_fields), o->kind, key);
    if (!f || f->type == FIELD_TEXT) return GMPUNCH_ERR_CONFIG;
    if (!whole(value, f->type == FIELD_U64    ? 9007199254740991.0
                      : f->type == FIELD_U16  ? 0xffff
                      : f->type == FIELD_FLAG ? 1
                                              : 0xffffffffu))
        return GMPUNCH_ERR_ARGUMENT;
    place = (uint8_t *)&o->settings + f->offset;
    wide = (uint64_t)value;
    u = (uint32_t)wide;
    small = (uint16_t)wide;
    if (f->type == FIELD_U64) memcpy(place, &wide, sizeof wide);
    else if (f->type == FIELD_U16) memcpy(place, &small, sizeof small);
    else memcpy(place, &u, sizeof u);
    return 1;
}

/* Sets a field of the config that is a text, such as "master" or "server"; "data1" to "data8" of a host, "filter1" to
   "filter8" of a lobby. */
GM_EXPORT double gmpunch_gm_config_set_text(double config, const char *key, const char *text) {
    object *o = find_config(config);
    const field *f;
    size_t len = text ? strlen(text) : 0;
    void *old, *copy = NULL;
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    f = find_field(config_fields, COUNT(config_fields), o->kind, key);
    if (!f || f->type != FIELD_TEXT) return GMPUNCH_ERR_CONFIG;
    if (len > TEXT_MAX) return GMPUNCH_ERR_TOO_LONG;
    if (len) { /* an empty text is the default, as NULL is */
        copy = malloc(len + 1);
        if (!copy) return GMPUNCH_ERR_MEMORY;
        memcpy(copy, text, len + 1);
    }
    memcpy(&old, (uint8_t *)&o->settings + f->offset, sizeof old);
    memcpy((uint8_t *)&o->settings + f->offset, &copy, sizeof copy);
    free(old);
    return 1;
}

/* ---- any object */

/* `settings` are those of a config, made ready for o. */
#define START(which, created) \
    do { \
        gmpunch_##which##_config settings = config->settings.which; \
        if (o->log_level) { \
            settings.log = keep_log; \
            settings.log_user = o; \
        } \
        settings.os_error = &o->os_error; \
        result = (created) ? gmpunch_##which##_create(&settings, gmpunch_now(), &o->which) \
                           : gmpunch_##which##_open(&settings, &o->which); \
    } while (0)

static double start(double id, int32_t created) {
    object *config = find_config(id), *o;
    int32_t result;
    double made;
    if (!config) return GMPUNCH_ERR_ARGUMENT;
    if (created && config->kind == GMPUNCH_KIND_MASTER) return GMPUNCH_ERR_STATE;
    made = make(config->kind, 0, &o);
    if (!o) return made;
    o->created = created;
    o->log_level = config->log_level;
    if (o->kind == GMPUNCH_KIND_CLIENT) {
        o->raw = config->settings.client.raw;
        o->escape = config->settings.client.escape;
        START(client, created);
    } else if (o->kind == GMPUNCH_KIND_HOST) {
        o->raw = config->settings.host.raw;
        o->escape = config->settings.host.escape;
        START(host, created);
    } else if (o->kind == GMPUNCH_KIND_LOBBY) START(lobby, created);
    else START(master, 0);
    config->os_error = o->os_error;
    if (result == GMPUNCH_OK) return made;
    destroy(o);
    return result;
}

/* Opens a client, host, lobby or master with these settings on sockets of the library, and returns its id. Waits for a name
   server if an address is a name. Then call gmpunch_poll in each step. */
GM_EXPORT double gmpunch_gm_open(double config) { return start(config, 0); }

/* Makes a client, host or lobby that leaves its sockets to the game, and returns its id. A client's server has to be
   numeric. */
GM_EXPORT double gmpunch_gm_create(double config) { return start(config, 1); }

/* Ends an object or a config. Its id is invalid from now on. */
GM_EXPORT double gmpunch_gm_close(double object_id) {
    object *o = find_any(object_id);
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    destroy(o);
    return 1;
}

/* Ends all objects and configs, for a game that restarts. */
GM_EXPORT double gmpunch_gm_close_all(void) {
    size_t i;
    for (i = 0; i < SLOTS; i++)
        if (objects[i]) destroy(objects[i]);
    return 1;
}

/* The GMPUNCH_KIND_ of an object or a config. */
GM_EXPORT double gmpunch_gm_kind(double object_id) {
    const object *o = find_any(object_id);
    return o ? o->kind : GMPUNCH_ERR_ARGUMENT;
}

/* Gives the lobby what it did not take before. */
static void feed(object *o) {
    while (o->rest_at < o->rest.len) {
        int32_t taken = gmpunch_lobby_tcp_data(o->lobby, gmpunch_now(), o->connection, o->rest.data + o->rest_at,
                                               o->rest.len - o->rest_at);
        if (taken == 0) return;                                             /* an entry is ready */
        o->rest_at += taken > 0 ? (size_t)taken : o->rest.len - o->rest_at; /* or the connection is no more */
    }
    o->rest.len = o->rest_at = 0;
    if (o->rest_closed) gmpunch_lobby_tcp_closed(o->lobby, gmpunch_now(), o->connection, o->rest_error);
    o->rest_closed = 0;
}

/* Does what is due and returns the GMPUNCH_EVENT_ that happened, 0 if there is none (any more). Never waits. Call it in each
   step until it gives no event. */
GM_EXPORT double gmpunch_gm_poll(double object_id) {
    object *o = find(object_id);
    gmpunch_event event;
    int32_t result;
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    memset(&o->event, 0, sizeof o->event);
    o->event_data.len = 0;
    if (!o->created) {
        result = ANY(o, poll, &event, 0);
    } else {
        result = MACHINE(o, next_event, &event);
        if (result == 0 && (o->rest.len || o->rest_closed)) {
            feed(o);
            result = MACHINE(o, next_event, &event);
        }
    }
    if (result <= 0) return result;
    result = block_set(&o->event_data, event.data, event.len);
    if (result != GMPUNCH_OK) return result;
    o->event = event;
    o->event.data = o->event_data.data;
    if (event.type == GMPUNCH_EVENT_CONNECTED) o->udp_socket = event.socket_index;
    return event.type;
}

/* Looks the master's name up again, for GMPUNCH_EVENT_RESOLVE; may wait. For an object of gmpunch_open. */
GM_EXPORT double gmpunch_gm_resolve(double object_id) {
    object *o = find(object_id);
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    if (o->master) return GMPUNCH_ERR_STATE;
    if (o->lobby) return done(gmpunch_lobby_resolve(o->lobby));
    return done(o->host ? gmpunch_host_resolve(o->host) : gmpunch_client_resolve(o->client));
}

/* Tells the address of the master, if its name was looked up by the game (network_resolve); "": it has none. The port is
   that of the config, unless the text has one. */
GM_EXPORT double gmpunch_gm_set_master(double object_id, const char *address) {
    object *o = find(object_id);
    gmpunch_address found;
    int32_t result;
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    if (o->master) return GMPUNCH_ERR_STATE;
    if (!address || !*address) return done(MACHINE(o, set_master, gmpunch_now(), NULL, 0));
    result = gmpunch_address_parse(address, 0, &found);
    return done(result == GMPUNCH_OK ? MACHINE(o, set_master, gmpunch_now(), &found, 1) : result);
}

/* The local port: UDP of a client or a host, TCP and UDP of a master. */
GM_EXPORT double gmpunch_gm_local_port(double object_id) {
    object *o = find(object_id);
    gmpunch_address address;
    int32_t result;
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    if (o->lobby) return GMPUNCH_ERR_STATE;
    if (o->master) result = gmpunch_master_local_address(o->master, 0, &address);
    else result = PAIR(o, local_address, &address);
    return result == GMPUNCH_OK ? address.port : result;
}

/* The last error number of the system on this object; of a config, that of its last gmpunch_open. 0 if there was none. */
GM_EXPORT double gmpunch_gm_os_error(double object_id) {
    object *o = find_any(object_id);
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    if (o->is_config) return o->os_error;
    if (o->master) return gmpunch_master_os_error(o->master);
    if (o->lobby) return gmpunch_lobby_os_error(o->lobby);
    return o->host ? gmpunch_host_os_error(o->host) : gmpunch_client_os_error(o->client);
}

/* A counter of this object by its name in gmpunch.h: the fields of gmpunch_client_stats, gmpunch_host_stats and so on. */
GM_EXPORT double gmpunch_gm_stat(double object_id, const char *name) {
    object *o = find(object_id);
    const field *f;
    union {
        gmpunch_client_stats client;
        gmpunch_host_stats host;
        gmpunch_lobby_stats lobby;
        gmpunch_master_stats master;
    } stats;
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    f = find_field(stat_fields, COUNT(stat_fields), o->kind, name);
    if (!f) return GMPUNCH_ERR_ARGUMENT;
    memset(&stats, 0, sizeof stats);
    if (o->client) gmpunch_client_get_stats(o->client, &stats.client);
    else if (o->host) gmpunch_host_get_stats(o->host, &stats.host);
    else if (o->lobby) gmpunch_lobby_get_stats(o->lobby, &stats.lobby);
    else gmpunch_master_get_stats(o->master, &stats.master);
    return read_field(f, &stats);
}

/* The next line that was logged, "" if there is none. The config's "log_level" turns it on; the last 16 lines are kept. */
GM_EXPORT const char *gmpunch_gm_log(double object_id) {
    object *o = find(object_id);
    if (!o || o->log_count == 0) return "";
    o->log_count--;
    return o->log[o->log_first++ % LOG_LINES];
}

/* ---- the current event: that of the last gmpunch_poll. What it does not name is 0. */

/* The GMPUNCH_EVENT_, again. */
GM_EXPORT double gmpunch_gm_event_type(double object_id) {
    const object *o = find(object_id);
    return o ? o->event.type : GMPUNCH_ERR_ARGUMENT;
}

/* Why: GMPUNCH_REASON_. */
GM_EXPORT double gmpunch_gm_event_reason(double object_id) {
    const object *o = find(object_id);
    return o ? o->event.reason : GMPUNCH_ERR_ARGUMENT;
}

/* Of a client: why the master could not help, if that came before. GMPUNCH_REASON_. */
GM_EXPORT double gmpunch_gm_event_cause(double object_id) {
    const object *o = find(object_id);
    return o ? o->event.cause : GMPUNCH_ERR_ARGUMENT;
}

/* Of a client: GMPUNCH_STAGE_ in which it happened. */
GM_EXPORT double gmpunch_gm_event_stage(double object_id) {
    const object *o = find(object_id);
    return o ? o->event.stage : GMPUNCH_ERR_ARGUMENT;
}

/* How the two came together: GMPUNCH_HOW_. */
GM_EXPORT double gmpunch_gm_event_how(double object_id) {
    const object *o = find(object_id);
    return o ? o->event.how : GMPUNCH_ERR_ARGUMENT;
}

/* Of a host: the id of the peer. */
GM_EXPORT double gmpunch_gm_event_peer(double object_id) {
    const object *o = find(object_id);
    return o ? (double)o->event.peer : GMPUNCH_ERR_ARGUMENT;
}

/* The IP address, "" if the event has none. */
GM_EXPORT const char *gmpunch_gm_event_ip(double object_id) {
    object *o = find(object_id);
    return o ? address_text(o, &o->event.address) : "";
}

/* The port of that address. */
GM_EXPORT double gmpunch_gm_event_port(double object_id) {
    const object *o = find(object_id);
    return o ? o->event.address.port : GMPUNCH_ERR_ARGUMENT;
}

/* Of a master: the other IP address, "" if the event has none. */
GM_EXPORT const char *gmpunch_gm_event_other_ip(double object_id) {
    object *o = find(object_id);
    return o ? address_text(o, &o->event.other) : "";
}

/* The port of that other address. */
GM_EXPORT double gmpunch_gm_event_other_port(double object_id) {
    const object *o = find(object_id);
    return o ? o->event.other.port : GMPUNCH_ERR_ARGUMENT;
}

/* Of a client: milliseconds since it was opened. */
GM_EXPORT double gmpunch_gm_event_elapsed(double object_id) {
    const object *o = find(object_id);
    return o ? (double)o->event.elapsed_ms : GMPUNCH_ERR_ARGUMENT;
}

/* The last error number of the system, 0 none. */
GM_EXPORT double gmpunch_gm_event_os_error(double object_id) {
    const object *o = find(object_id);
    return o ? o->event.os_error : GMPUNCH_ERR_ARGUMENT;
}

/* Of a lobby: when the host registered, Unix time in seconds. */
GM_EXPORT double gmpunch_gm_event_created(double object_id) {
    const object *o = find(object_id);
    return o ? (double)o->event.created : GMPUNCH_ERR_ARGUMENT;
}

/* Of a lobby: the entry's place in the list from 1, or of how many the list was. */
GM_EXPORT double gmpunch_gm_event_count(double object_id) {
    const object *o = find(object_id);
    return o ? (double)o->event.count : GMPUNCH_ERR_ARGUMENT;
}

/* Data string 1 to 8 of GMPUNCH_EVENT_HOST_DATA and GMPUNCH_EVENT_LOBBY_ENTRY. */
GM_EXPORT const char *gmpunch_gm_event_string(double object_id, double number) {
    const object *o = find(object_id);
    return o && whole(number, GMPUNCH_DATA_STRINGS) ? gmpunch_event_string(&o->event, (uint32_t)number) : "";
}

/* Bytes of the game packet of GMPUNCH_EVENT_DATA. */
GM_EXPORT double gmpunch_gm_event_size(double object_id) {
    const object *o = find(object_id);
    return o ? (double)o->event_data.len : GMPUNCH_ERR_ARGUMENT;
}

/* Copies the game packet to this memory of at least gmpunch_event_size bytes. In GML use gmpunch_event_data. */
GM_EXPORT double gmpunch_gm_event_memory(double object_id, char *memory, double size) {
    const object *o = find(object_id);
    return o ? copy_out(o->event_data.data, o->event_data.len, memory, size) : GMPUNCH_ERR_ARGUMENT;
}

/* ---- sending */

/* Of a created object: the packet waits for gmpunch_transmit. Checked now, so that the caller learns what is wrong with
   it. */
static double keep_packet(object *o, const char *memory, size_t len) {
    int32_t result;
    if (o->packet_waits) return GMPUNCH_ERR_WOULD_BLOCK;
    result = block_reserve(&o->datagram, len + GMPUNCH_DATAGRAM_HEADER_SIZE + 1);
    if (result != GMPUNCH_OK) return result;
    result = gmpunch_datagram_encode(o->datagram.data, o->datagram.size, memory, len,
                                     (o->raw ? GMPUNCH_DATAGRAM_RAW : 0u) | (o->escape ? GMPUNCH_DATAGRAM_ESCAPE : 0u));
    if (result > 0) result = block_set(&o->packet, memory, len);
    if (result != GMPUNCH_OK) return result;
    o->packet_waits = 1;
    o->target = 0;
    return 1;
}

/* Chooses the peer of a host that gmpunch_send_memory sends to. */
GM_EXPORT double gmpunch_gm_send_to(double host, double peer) {
    object *o = find(host);
    gmpunch_peer_info info = {0};
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    if (!o->host) return GMPUNCH_ERR_STATE;
    o->peer = 0;
    if (!whole(peer, 0xffffffffu) || gmpunch_host_peer_info(o->host, (uint32_t)peer, &info) != GMPUNCH_OK)
        return GMPUNCH_ERR_PEER;
    o->peer = (uint32_t)peer;
    return 1;
}

/* Sends a game packet: of a client to its host, of a host to the peer of gmpunch_send_to. In GML use gmpunch_send and
   gmpunch_host_send. It may get lost, as any datagram. */
GM_EXPORT double gmpunch_gm_send_memory(double object_id, const char *memory, double size) {
    object *o = find(object_id);
    gmpunch_peer_info info = {0};
    gmpunch_address server;
    int32_t result;
    if (!o || !sane(memory, size, MEMORY_MAX)) return GMPUNCH_ERR_ARGUMENT;
    if (o->lobby || o->master) return GMPUNCH_ERR_STATE;
    if (size > GMPUNCH_MAX_PACKET) return GMPUNCH_ERR_TOO_LONG;
    if (!memory) memory = "";
    if (!o->created && o->client) return done(gmpunch_client_send(o->client, memory, (size_t)size));
    if (!o->created) return done(gmpunch_host_send(o->host, o->peer, memory, (size_t)size));
    if (o->client) result = gmpunch_client_server(o->client, &server, NULL);
    else result = gmpunch_host_peer_info(o->host, o->peer, &info);
    if (result == GMPUNCH_OK && !o->packet_waits) result = block_set(&o->targets, &o->peer, sizeof o->peer);
    return result == GMPUNCH_OK ? keep_packet(o, memory, (size_t)size) : result;
}

/* Their ids, into o->peers. */
static int32_t list_peers(object *o) {
    int32_t count = gmpunch_host_peers(o->host, NULL, 0);
    int32_t result = count < 0 ? count : block_reserve(&o->peers, (size_t)count * sizeof(uint32_t));
    if (result != GMPUNCH_OK) return result;
    if (count) gmpunch_host_peers(o->host, (uint32_t *)(void *)o->peers.data, (uint32_t)count);
    o->peers.len = (size_t)count * sizeof(uint32_t);
    return count;
}

/* Sends a game packet to all peers of a host and returns how many they are. In GML use gmpunch_host_send_all. */
GM_EXPORT double gmpunch_gm_send_all_memory(double host, const char *memory, double size) {
    object *o = find(host);
    int32_t count, result;
    double kept;
    if (!o || !sane(memory, size, MEMORY_MAX)) return GMPUNCH_ERR_ARGUMENT;
    if (!o->host) return GMPUNCH_ERR_STATE;
    if (size > GMPUNCH_MAX_PACKET) return GMPUNCH_ERR_TOO_LONG;
    if (!memory) memory = "";
    if (!o->created) return gmpunch_host_send_all(o->host, memory, (size_t)size);
    count = list_peers(o);
    if (count <= 0) return count;
    result = o->packet_waits ? GMPUNCH_ERR_WOULD_BLOCK : block_set(&o->targets, o->peers.data, o->peers.len);
    if (result != GMPUNCH_OK) return result;
    kept = keep_packet(o, memory, (size_t)size);
    return kept == 1 ? count : kept;
}

/* ---- a client */

/* Where it stands: GMPUNCH_STAGE_. */
GM_EXPORT double gmpunch_gm_stage(double client) {
    object *o = find(client);
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    return o->client ? gmpunch_client_stage(o->client) : GMPUNCH_ERR_STATE;
}

/* The IP address of the host that it is connected with, "" before. */
GM_EXPORT const char *gmpunch_gm_server_ip(double client) {
    object *o = find(client);
    gmpunch_address address;
    if (!o || !o->client || gmpunch_client_server(o->client, &address, NULL) != GMPUNCH_OK) return "";
    return address_text(o, &address);
}

/* The port of that host. */
GM_EXPORT double gmpunch_gm_server_port(double client) {
    object *o = find(client);
    gmpunch_address address;
    int32_t result;
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    if (!o->client) return GMPUNCH_ERR_STATE;
    result = gmpunch_client_server(o->client, &address, NULL);
    return result == GMPUNCH_OK ? address.port : result;
}

/* Asks the host for its data strings: GMPUNCH_EVENT_HOST_DATA follows. */
GM_EXPORT double gmpunch_gm_request_data(double client) {
    object *o = find(client);
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    return o->client ? done(gmpunch_client_request_data(o->client, gmpunch_now())) : GMPUNCH_ERR_STATE;
}

/* ---- a host */

/* Changes data string 1 to 8, for the lobby (after gmpunch_commit_data) and for peers that ask. */
GM_EXPORT double gmpunch_gm_set_data(double host, double number, const char *text) {
    object *o = find(host);
    if (!o || !whole(number, GMPUNCH_DATA_STRINGS)) return GMPUNCH_ERR_ARGUMENT;
    return o->host ? done(gmpunch_host_set_data(o->host, (uint32_t)number, text)) : GMPUNCH_ERR_STATE;
}

/* Registers the data strings with the master again. */
GM_EXPORT double gmpunch_gm_commit_data(double host) {
    object *o = find(host);
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    return o->host ? done(gmpunch_host_commit_data(o->host, gmpunch_now())) : GMPUNCH_ERR_STATE;
}

/* Removes a peer and refuses it for the config's kick_ms. */
GM_EXPORT double gmpunch_gm_kick(double host, double peer) {
    object *o = find(host);
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    if (!o->host) return GMPUNCH_ERR_STATE;
    if (!whole(peer, 0xffffffffu)) return GMPUNCH_ERR_PEER;
    return done(gmpunch_host_kick(o->host, gmpunch_now(), (uint32_t)peer));
}

/* How many peers are connected. Makes the list that gmpunch_peer reads. */
GM_EXPORT double gmpunch_gm_peer_count(double host) {
    object *o = find(host);
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    return o->host ? list_peers(o) : GMPUNCH_ERR_STATE;
}

/* The id of a peer in the list of the last gmpunch_peer_count, from 0. */
GM_EXPORT double gmpunch_gm_peer(double host, double index) {
    const object *o = find(host);
    uint32_t peer;
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    if (!o->host) return GMPUNCH_ERR_STATE;
    if (!whole(index, 0xffffffffu) || index >= (double)(o->peers.len / sizeof peer)) return GMPUNCH_ERR_PEER;
    memcpy(&peer, o->peers.data + (size_t)index * sizeof peer, sizeof peer);
    return peer;
}

/* A port, or 0 for what is none. */
static uint16_t to_port(double port) { return (uint16_t)(whole(port, 0xffff) ? port : 0); }

/* The id of the peer with this address. */
GM_EXPORT double gmpunch_gm_find_peer(double host, const char *ip, double port) {
    object *o = find(host);
    gmpunch_address address;
    uint32_t peer;
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    if (!o->host) return GMPUNCH_ERR_STATE;
    if (!to_port(port) || gmpunch_address_parse(ip, 0, &address) != GMPUNCH_OK) return GMPUNCH_ERR_ADDRESS;
    address.port = to_port(port);
    peer = gmpunch_host_find_peer(o->host, &address);
    return peer ? peer : (double)GMPUNCH_ERR_PEER;
}

static int32_t peer_info(object *o, double peer, gmpunch_peer_info *info) {
    memset(info, 0, sizeof *info);
    if (!o) return GMPUNCH_ERR_ARGUMENT;
    if (!o->host) return GMPUNCH_ERR_STATE;
    return whole(peer, 0xffffffffu) ? gmpunch_host_peer_info(o->host, (uint32_t)peer, info) : GMPUNCH_ERR_PEER;
}

/* The IP address of a peer, "" if there is no such peer. */
GM_EXPORT const char *gmpunch_gm_peer_ip(double host, double peer) {
    object *o = find(host);
    gmpunch_peer_info info;
    return peer_info(o, peer, &info) == GMPUNCH_OK ? address_text(o, &info.address) : "";
}

/* The port of a peer. */
GM_EXPORT double gmpunch_gm_peer_port(double host, double peer) {
    gmpunch_peer_info info;
    int32_t result = peer_info(find(host), peer, &info);
    return result == GMPUNCH_OK ? info.address.port : result;
}

/* What is known of a peer: "how" (GMPUNCH_HOW_), "connected_ms", "silent_ms", "answers", "confirmed", "flags",
   "socket_index". */
GM_EXPORT double gmpunch_gm_peer_value(double host, double peer, const char *name) {
    const field *f = find_field(peer_fields, COUNT(peer_fields), GMPUNCH_KIND_HOST, name);
    gmpunch_peer_info info;
    int32_t result = peer_info(find(host), peer, &info);
    if (result != GMPUNCH_OK) return result;
    return f ? read_field(f, &info) : GMPUNCH_ERR_ARGUMENT;
}

/* ---- a created object: what GameMaker's sockets brought */

/* The object if the game has its sockets. */
static object *find_created(double id, int32_t *error) {
    object *o = find(id);
    *error = o ? GMPUNCH_ERR_STATE : GMPUNCH_ERR_ARGUMENT;
    return o && o->created ? o : NULL;
}

/* Call it in each step, before gmpunch_transmit and gmpunch_poll. */
GM_EXPORT double gmpunch_gm_tick(double object_id) {
    int32_t error;
    object *o = find_created(object_id, &error);
    return o ? done(MACHINE(o, tick, gmpunch_now())) : error;
}

/* Says which UDP socket the next datagrams came on, by its number from gmpunch_transmit_socket. 0, the first, unless
   told. */
GM_EXPORT double gmpunch_gm_input_socket(double object_id, double index) {
    int32_t error;
    object *o = find_created(object_id, &error);
    if (!o) return error;
    if (!whole(index, 0xffff)) return GMPUNCH_ERR_ARGUMENT;
    o->from_socket = (uint32_t)index;
    return 1;
}

/* Says where the next datagrams came from: "ip" and "port" of async_load. */
GM_EXPORT double gmpunch_gm_input_from(double object_id, const char *ip, double port) {
    int32_t error;
    object *o = find_created(object_id, &error);
    if (!o) return error;
    memset(&o->from, 0, sizeof o->from);
    if (!to_port(port) || gmpunch_address_parse(ip, 0, &o->from) != GMPUNCH_OK) return GMPUNCH_ERR_ADDRESS;
    o->from.port = to_port(port);
    return 1;
}

static const uint8_t header_start[8] = {0xde, 0xc0, 0xad, 0xde, GMPUNCH_DATAGRAM_HEADER_SIZE, 0, 0, 0};

/* 1 if the datagram has its header, with the right length in it. */
static int has_header(const void *data, size_t len) {
    const uint8_t *at = (const uint8_t *)data;
    if (len < GMPUNCH_DATAGRAM_HEADER_SIZE || memcmp(at, header_start, sizeof header_start) != 0) return 0;
    return (at[8] | (size_t)at[9] << 8 | (size_t)at[10] << 16 | (size_t)at[11] << 24) == len - GMPUNCH_DATAGRAM_HEADER_SIZE;
}

/* Puts the datagram into o->datagram, with the header that GameMaker took off; `added` is its size. */
static int32_t restore_datagram(object *o, const void *data, size_t len, size_t *added) {
    uint8_t size[4] = {(uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16), (uint8_t)(len >> 24)};
    int32_t result;
    *added = 0;
    if (o->raw || has_header(data, len))
        return block_set(&o->datagram, data, len); /* a socket that leaves it on is fine, too */
    *added = GMPUNCH_DATAGRAM_HEADER_SIZE;
    result = block_set(&o->datagram, header_start, sizeof header_start);
    if (result == GMPUNCH_OK) result = block_append(&o->datagram, size, sizeof size);
    return result == GMPUNCH_OK ? block_append(&o->datagram, data, len) : result;
}

/* The flags of the peer that o->from is, and its id in o->input_peer; an error if it is nobody. */
static int32_t find_sender(object *o, uint32_t *flags) {
    gmpunch_peer_info info = {0};
    gmpunch_address server;
    int32_t result;
    o->input_peer = 0;
    if (o->host) {
        result = gmpunch_host_peer_info(o->host, gmpunch_host_find_peer(o->host, &o->from), &info);
        o->input_peer = info.peer;
        *flags = info.flags;
        return result;
    }
    result = gmpunch_client_server(o->client, &server, flags);
    return result != GMPUNCH_OK || gmpunch_address_equal(&server, &o->from) ? result : GMPUNCH_ERR_PEER;
}

/* Takes a datagram that came from gmpunch_input_from and returns what it was: GMPUNCH_INPUT_. In GML
   gmpunch_io_networking does so. */
GM_EXPORT double gmpunch_gm_input_memory(double object_id, const char *memory, double size) {
    int32_t error, result;
    object *o = find_created(object_id, &error);
    const uint8_t *payload;
    size_t added, len;
    uint32_t flags;
    if (!o) return error;
    if (o->lobby || !o->from.family) return GMPUNCH_ERR_STATE;
    if (!sane(memory, size, 0xffff)) return GMPUNCH_ERR_ARGUMENT;
    o->input_offset = 0;
    result = restore_datagram(o, memory, (size_t)size, &added);
    if (result != GMPUNCH_OK) return result;
    result = PAIR(o, input_udp, gmpunch_now(), &o->from, o->from_socket, o->datagram.data, o->datagram.len);
    if (result == GMPUNCH_CONSUMED) return GMPUNCH_INPUT_PROTOCOL;
    if (result != GMPUNCH_NOT_MINE) return result;
    if (find_sender(o, &flags) != GMPUNCH_OK) return GMPUNCH_INPUT_OTHER;
    if (gmpunch_datagram_decode(o->datagram.data, o->datagram.len, flags, &payload, &len, NULL) != GMPUNCH_OK)
        return GMPUNCH_INPUT_OTHER;
    o->input_offset = (size_t)(payload - o->datagram.data) - added;
    return GMPUNCH_INPUT_GAME;
}

/* Of a host: the id of the peer that the last GMPUNCH_INPUT_GAME came from. */
GM_EXPORT double gmpunch_gm_input_peer(double host) {
    int32_t error;
    const object *o = find_created(host, &error);
    return o ? (double)o->input_peer : error;
}

/* Where in the last GMPUNCH_INPUT_GAME the packet begins: 0, unless the header was still there or the config's escape is
   on. */
GM_EXPORT double gmpunch_gm_input_offset(double object_id) {
    int32_t error;
    const object *o = find_created(object_id, &error);
    return o ? (double)o->input_offset : error;
}

/* Says that a TCP connection that was asked for (gmpunch_transmit_connection) is open. */
GM_EXPORT double gmpunch_gm_tcp_opened(double object_id, double connection) {
    int32_t error;
    object *o = find_created(object_id, &error);
    if (!o) return error;
    if (!whole(connection, 0xffffffffu)) return GMPUNCH_ERR_CONNECTION;
    return done(MACHINE(o, tcp_opened, gmpunch_now(), (uint32_t)connection));
}

/* Takes what came on the TCP connection that was asked for last. In GML gmpunch_io_networking does so. */
GM_EXPORT double gmpunch_gm_tcp_memory(double object_id, const char *memory, double size) {
    int32_t error;
    object *o = find_created(object_id, &error);
    if (!o) return error;
    if (!sane(memory, size, MEMORY_MAX)) return GMPUNCH_ERR_ARGUMENT;
    if (!memory) memory = "";
    if (!o->lobby) return done(PAIR(o, tcp_data, gmpunch_now(), o->connection, (const uint8_t *)memory, (size_t)size));
    if ((double)o->rest.len + size > MEMORY_MAX) return GMPUNCH_ERR_TOO_LONG;
    error = block_append(&o->rest, memory, (size_t)size);
    feed(o);
    return done(error);
}

/* Says that a TCP connection ended or could not be opened; error 0 if the other side closed it. */
GM_EXPORT double gmpunch_gm_tcp_closed(double object_id, double connection, double os_error) {
    int32_t error;
    object *o = find_created(object_id, &error);
    if (!o) return error;
    if (!whole(connection, 0xffffffffu)) return GMPUNCH_ERR_CONNECTION;
    if (o->lobby && o->rest.len && (uint32_t)connection == o->connection) { /* not before what came on it is read */
        o->rest_closed = 1;
        o->rest_error = to_int(os_error);
        return 1;
    }
    return done(MACHINE(o, tcp_closed, gmpunch_now(), (uint32_t)connection, to_int(os_error)));
}

/* Says at once that of the last GMPUNCH_TRANSMIT_TCP_SEND only so many bytes went out. The rest comes again after
   gmpunch_tcp_writable. */
GM_EXPORT double gmpunch_gm_tcp_sent(double object_id, double connection, double taken) {
    int32_t error;
    object *o = find_created(object_id, &error);
    if (!o) return error;
    if (!whole(connection, 0xffffffffu)) return GMPUNCH_ERR_CONNECTION;
    if (!whole(taken, MEMORY_MAX)) return GMPUNCH_ERR_ARGUMENT;
    return done(MACHINE(o, tcp_sent, (uint32_t)connection, (size_t)taken));
}

/* Says that a TCP connection may take more, after gmpunch_tcp_sent. */
GM_EXPORT double gmpunch_gm_tcp_writable(double object_id, double connection) {
    int32_t error;
    object *o = find_created(object_id, &error);
    if (!o) return error;
    if (!whole(connection, 0xffffffffu)) return GMPUNCH_ERR_CONNECTION;
    return done(MACHINE(o, tcp_writable, gmpunch_now(), (uint32_t)connection));
}

/* ---- a created object: what GameMaker's sockets are to do */

/* The game's packet for the next of its targets, as a transmit. 0: none. */
static int32_t next_packet(object *o, gmpunch_transmit *t) {
    gmpunch_peer_info info = {0};
    int32_t result;
    memset(t, 0, sizeof *t);
    t->kind = GMPUNCH_TRANSMIT_UDP;
    for (; o->packet_waits && (o->target + 1) * sizeof(uint32_t) <= o->targets.len; o->target++) {
        if (o->client) {
            result = gmpunch_client_server(o->client, &t->to, &info.flags);
            t->socket_index = o->udp_socket;
        } else {
            memcpy(&info.peer, o->targets.data + o->target * sizeof info.peer, sizeof info.peer);
            result = gmpunch_host_peer_info(o->host, info.peer, &info);
            t->to = info.address;
            t->socket_index = info.socket_index;
        }
        if (result != GMPUNCH_OK) continue; /* gone since */
        result = block_reserve(&o->datagram, o->packet.len + GMPUNCH_DATAGRAM_HEADER_SIZE + 1);
        if (result == GMPUNCH_OK)
            result = gmpunch_datagram_encode(o->datagram.data, o->datagram.size, o->packet.data, o->packet.len, info.flags);
        if (result <= 0) continue;
        t->data = o->datagram.data;
        t->len = (uint32_t)result;
        o->target++;
        return 1;
    }
    o->packet_waits = 0;
    return 0;
}

/* The next thing to do: GMPUNCH_TRANSMIT_, 0 if there is none (any more). Call it until then, after each function that tells
   the object something. */
GM_EXPORT double gmpunch_gm_transmit(double object_id) {
    int32_t error, result;
    object *o = find_created(object_id, &error);
    gmpunch_transmit t;
    if (!o) return error;
    memset(&o->transmit, 0, sizeof o->transmit);
    o->transmit_data.len = 0;
    o->transmit_header = 0;
    result = MACHINE(o, next_transmit, &t);
    if (result == 0) result = next_packet(o, &t);
    if (result <= 0) return result;
    if (t.kind == GMPUNCH_TRANSMIT_UDP && has_header(t.data, t.len)) {
        o->transmit_header = 1;
        t.data += GMPUNCH_DATAGRAM_HEADER_SIZE;
        t.len -= GMPUNCH_DATAGRAM_HEADER_SIZE;
    }
    result = block_set(&o->transmit_data, t.data, t.len);
    if (result != GMPUNCH_OK) return result;
    if (t.kind == GMPUNCH_TRANSMIT_TCP_OPEN) {
        o->connection = t.connection;
        o->rest.len = o->rest_at = 0;
        o->rest_closed = 0;
    }
    o->transmit = t;
    return t.kind;
}

/* The id of the TCP connection to open, to send on or to close. */
GM_EXPORT double gmpunch_gm_transmit_connection(double object_id) {
    int32_t error;
    const object *o = find_created(object_id, &error);
    return o ? (double)o->transmit.connection : error;
}

/* The number of the UDP socket to send from: 0 is the first; a new number asks for another socket with another port (never
   if the config's max_sockets is 1, its default here). */
GM_EXPORT double gmpunch_gm_transmit_socket(double object_id) {
    int32_t error;
    const object *o = find_created(object_id, &error);
    return o ? (double)o->transmit.socket_index : error;
}

/* 1: a datagram for network_send_udp, which adds the header. 0: for network_send_udp_raw. */
GM_EXPORT double gmpunch_gm_transmit_header(double object_id) {
    int32_t error;
    const object *o = find_created(object_id, &error);
    return o ? o->transmit_header : error;
}

/* The IP address to send or connect to. */
GM_EXPORT const char *gmpunch_gm_transmit_ip(double object_id) {
    int32_t error;
    object *o = find_created(object_id, &error);
    return o ? address_text(o, &o->transmit.to) : "";
}

/* The port to send or connect to. */
GM_EXPORT double gmpunch_gm_transmit_port(double object_id) {
    int32_t error;
    const object *o = find_created(object_id, &error);
    return o ? o->transmit.to.port : error;
}

/* Bytes to send. */
GM_EXPORT double gmpunch_gm_transmit_size(double object_id) {
    int32_t error;
    const object *o = find_created(object_id, &error);
    return o ? (double)o->transmit_data.len : error;
}

/* Copies the bytes to send to this memory of at least gmpunch_transmit_size bytes. In GML gmpunch_io_transmit does so. */
GM_EXPORT double gmpunch_gm_transmit_memory(double object_id, char *memory, double size) {
    int32_t error;
    const object *o = find_created(object_id, &error);
    return o ? copy_out(o->transmit_data.data, o->transmit_data.len, memory, size) : error;
}
