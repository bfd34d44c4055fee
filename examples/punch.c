/* punch - gmpunch on the command line: a demo, a master, a host, a client and a lobby list

     cc punch.c -o punch                              (Windows: x86_64-w64-mingw32-gcc punch.c -o punch.exe -lws2_32)
     ./punch                                          shows all three in one process
     ./punch --help                                   says the rest

   One event per line on stdout, made for scripts: first word the event, then key=value words. text= is always the last, and
   goes on to the end of the line. A lobby list is a table, or JSON. Errors and advice for people go to stderr. */
#define GMPUNCH_IMPLEMENTATION
#include "../gmpunch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(_WIN32)
#include <windows.h>
#else
#include <signal.h>
#endif

enum { EXIT_USAGE = 2, GOES_ON = -1 };

#define WAIT_MS 100u          /* longest wait in one go: a signal is noticed after it */
#define SEND_INTERVAL_MS 250u /* the text of --send is repeated, as UDP may lose it or its echo */
#define TIMEOUT_MS 15000u     /* without --timeout */
#define MAX_TEXT 4096         /* largest packet, there and back; and longest string of a host */
#define MAX_DATA 32768        /* a host's eight strings together */
#define NO_LIMIT UINT32_MAX

static const char help[] =
    "usage: punch            demo: master, host and client in one process over real sockets\n"
    "       punch master [--bind A] [--port N] [--seconds N]\n"
    "       punch host   --master A[:P] [--bind A] [--port N] [--data1 T ... --data8 T] [--raw]\n"
    "                    [--require-mediation] [--max-peers N] [--seconds N]\n"
    "       punch client --master A[:P] --server A [--bind A] [--direct-port N] [--no-punch] [--raw]\n"
    "                    [--timeout MS] [--data] [--send TEXT]\n"
    "       punch lobby  --master A[:P] [--bind A] [--filter1 T ... --filter8 T] [--sort date|data1...data8]\n"
    "                    [--asc] [--limit N] [--json] [--timeout MS]\n"
    "\n"
    "  --master A[:P]       the master: address or name, port 6510 unless given; IPv6 with port: [::1]:6510\n"
    "  --server A           the host to join: the address by which the master knows it\n"
    "  --bind A             local address; the master takes several with commas between. Default: any\n"
    "  --port N             local port, 0: chosen by the system. Default: master 6510 (TCP and UDP), host 0 (UDP)\n"
    "  --direct-port N      UDP port of the host, tried if the master can't help\n"
    "  --no-punch           no master, only --server and --direct-port\n"
    "  --raw                without GameMaker's 12-byte header until the other side is seen to use it\n"
    "  --require-mediation  let only clients in that the master introduced\n"
    "  --max-peers N        let at most N clients in at once. Default: 64\n"
    "  --data1 T            the host's strings, for the lobby and for clients. Also --data2 to --data8\n"
    "  --data               once connected, ask the host for its strings and print them\n"
    "  --filter1 T          list only hosts whose first string is T. Also --filter2 to --filter8\n"
    "  --sort KEY           date (of registration) or data1 to data8. Default: date\n"
    "  --asc                the smallest or oldest first. Default: the greatest or newest first\n"
    "  --limit N            list at most N hosts\n"
    "  --json               as JSON, an array on one line. Default: a table\n"
    "  --timeout MS         for connecting, and then for --data and the echo of --send; for the lobby the longest\n"
    "                       silence of the master. Default: 15000\n"
    "  --send TEXT          once connected, send it until the host sends it back (punch host does)\n"
    "  --seconds N          end after N seconds with exit code 0\n"
    "  --help, --version\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage. SIGINT (Ctrl-C) and SIGTERM end a master and a host with 0.\n";

/* ---- the command line ---- */

enum { MASTER = 1, HOST = 2, CLIENT = 4, LOBBY = 8 }; /* commands, as bits */

typedef struct options {
    const char *master;
    const char *server;
    const char *bind;
    const char *send;
    uint32_t port;        /* 0: chosen by the system */
    uint32_t direct_port; /* here and below 0: not given */
    uint32_t seconds;
    uint32_t timeout_ms;
    int32_t no_punch;
    int32_t raw;
    int32_t require_mediation;
    uint32_t max_peers; /* 0: not given */
    const char *data[GMPUNCH_DATA_STRINGS];
    int32_t ask_data;
    const char *filter[GMPUNCH_DATA_STRINGS];
    const char *sort;
    int32_t ascending;
    uint32_t limit; /* or NO_LIMIT */
    int32_t json;
} options;

/* An option puts its value into text or number; with flag it has none. */
typedef struct option {
    const char *name;
    unsigned commands; /* those that know it */
    const char **text;
    int (*valid)(const char *text);
    const char *expected; /* of text, for the error message */
    uint32_t *number;
    uint32_t minimum;
    uint32_t maximum;
    int32_t *flag;
} option;

static int is_number(const char *text, uint32_t minimum, uint32_t maximum, uint32_t *value) {
    uint64_t number = 0;
    const char *at;
    for (at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || number > maximum) return 0;
        number = number * 10 + (uint64_t)(*at - '0');
    }
    if (at == text || number < minimum || number > maximum) return 0;
    *value = (uint32_t)number;
    return 1;
}

static int is_ip(const char *text) {
    gmpunch_address address;
    return gmpunch_address_parse(text, 0, &address) == GMPUNCH_OK && address.port == 0;
}

static int is_ip_list(const char *text) {
    for (;;) {
        char one[GMPUNCH_ADDRESS_TEXT_SIZE];
        size_t len = strcspn(text, ",");
        if (len >= sizeof one) return 0;
        memcpy(one, text, len);
        one[len] = '\0';
        if (!is_ip(one)) return 0;
        if (text[len] == '\0') return 1;
        text += len + 1;
    }
}

/* A host name of len bytes. One of digits and dots alone is a mistyped address. */
static int is_name(const char *text, size_t len) {
    size_t i;
    int letters = 0;
    for (i = 0; i < len; i++) {
        char c = text[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) letters = 1;
        else if (c != '.' && c != '-' && c != '_' && (c < '0' || c > '9')) return 0;
    }
    return letters && len < 254;
}

static int is_server(const char *text) { return is_ip(text) || is_name(text, strlen(text)); }

static int is_master(const char *text) {
    gmpunch_address address;
    uint32_t port;
    size_t len = strcspn(text, ":");
    if (gmpunch_address_parse(text, GMPUNCH_DEFAULT_PORT, &address) == GMPUNCH_OK) return 1;
    return is_name(text, len) && (text[len] == '\0' || is_number(text + len + 1, 1, 65535, &port));
}

/* A text that the protocol can carry: it is made of lines. */
static int is_string(const char *text) {
    size_t len;
    for (len = 0; text[len] != '\0'; len++)
        if ((unsigned char)text[len] < 0x20 || text[len] == 0x7f) return 0;
    return len <= MAX_TEXT;
}

/* 0 date, 1 to 8 for data1 to data8, -1 for anything else. */
static int sort_key(const char *text) {
    if (strcmp(text, "date") == 0) return GMPUNCH_SORT_DATE;
    if (strncmp(text, "data", 4) == 0 && text[4] >= '1' && text[4] <= '8' && text[5] == '\0') return text[4] - '0';
    return -1;
}

static int is_sort(const char *text) { return sort_key(text) >= 0; }

static int is_sendable(const char *text) { return text[0] != '\0' && strlen(text) <= MAX_TEXT; }

/* --help and the like: prints and returns the exit code, GOES_ON for any other word. */
static int information(const char *word) {
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) printf("%s", help);
    else if (strcmp(word, "--version") == 0) printf("punch %s\n", gmpunch_version_string());
    else return GOES_ON;
    return EXIT_SUCCESS;
}

static int wrong_usage(const char *option_name, const char *what, const char *text) {
    fprintf(stderr, "punch: %s%s%s\n\n%s", option_name, what, text, help);
    return EXIT_USAGE;
}

static int take_value(const option *found, const char *value) {
    if (found->text) {
        *found->text = value;
        if (found->valid(value)) return GOES_ON;
        fprintf(stderr, "punch: %s needs %s, not '%s'\n\n%s", found->name, found->expected, value, help);
    } else {
        if (is_number(value, found->minimum, found->maximum, found->number)) return GOES_ON;
        fprintf(stderr, "punch: %s needs a whole number from %lu to %lu, not '%s'\n\n%s", found->name,
                (unsigned long)found->minimum, (unsigned long)found->maximum, value, help);
    }
    return EXIT_USAGE;
}

/* --data1 to --data8 and --filter1 to --filter8: where the value goes, NULL for any other word. */
static const char **numbered(options *o, unsigned command, const char *word, size_t len) {
    const char *name = command == HOST ? "--data" : "--filter";
    const char **values = command == HOST ? o->data : o->filter;
    if (!(command & (HOST | LOBBY)) || len != strlen(name) + 1 || strncmp(word, name, len - 1) != 0) return NULL;
    return word[len - 1] >= '1' && word[len - 1] <= '8' ? &values[word[len - 1] - '1'] : NULL;
}

/* Reads the words after the command. Returns GOES_ON or an exit code. */
static int parse_options(options *o, unsigned command, const char *command_name, int argc, char **argv) {
    /* clang-format off */
    const option table[] = {
        {.name = "--master", .commands = HOST | CLIENT | LOBBY, .text = &o->master, .valid = is_master,
         .expected = "an address or name, with a port from 1 to 65535 if any"},
        {.name = "--server", .commands = CLIENT, .text = &o->server, .valid = is_server,
         .expected = "an address or name without port"},
        {.name = "--bind", .commands = MASTER, .text = &o->bind, .valid = is_ip_list,
         .expected = "numeric addresses without port, commas between"},
        {.name = "--bind", .commands = HOST | CLIENT | LOBBY, .text = &o->bind, .valid = is_ip,
         .expected = "a numeric address without port"},
        {.name = "--send", .commands = CLIENT, .text = &o->send, .valid = is_sendable,
         .expected = "a text of 1 to 4096 bytes"},
        {.name = "--port", .commands = MASTER | HOST, .number = &o->port, .minimum = 0, .maximum = 65535},
        {.name = "--direct-port", .commands = CLIENT, .number = &o->direct_port, .minimum = 1, .maximum = 65535},
        {.name = "--max-peers", .commands = HOST, .number = &o->max_peers, .minimum = 1, .maximum = 65535},
        {.name = "--seconds", .commands = MASTER | HOST, .number = &o->seconds, .minimum = 1, .maximum = 1000000000},
        {.name = "--sort", .commands = LOBBY, .text = &o->sort, .valid = is_sort, .expected = "date or data1 to data8"},
        {.name = "--limit", .commands = LOBBY, .number = &o->limit, .minimum = 0, .maximum = 1000000000},
        {.name = "--data", .commands = CLIENT, .flag = &o->ask_data},
        {.name = "--asc", .commands = LOBBY, .flag = &o->ascending},
        {.name = "--json", .commands = LOBBY, .flag = &o->json},
        {.name = "--timeout", .commands = CLIENT | LOBBY, .number = &o->timeout_ms, .minimum = 1, .maximum = 1000000000},
        {.name = "--no-punch", .commands = CLIENT, .flag = &o->no_punch},
        {.name = "--raw", .commands = HOST | CLIENT, .flag = &o->raw},
        {.name = "--require-mediation", .commands = HOST, .flag = &o->require_mediation}};
    /* clang-format on */
    int i;
    for (i = 0; i < argc; i++) {
        const char *word = argv[i];
        size_t len = strcspn(word, "=");
        const char *value = word[len] == '=' ? word + len + 1 : NULL;
        const option *found = NULL;
        option string = {.valid = is_string, .expected = "a text without control characters, of at most 4096 bytes"};
        char name[16];
        int known = 0;
        int code = information(word);
        size_t t;
        if (code != GOES_ON) return code;
        string.text = numbered(o, command, word, len);
        if (string.text) {
            memcpy(name, word, len);
            name[len] = '\0';
            string.name = name;
            found = &string;
            known = 1;
        }
        for (t = 0; t < sizeof table / sizeof table[0]; t++) {
            if (strlen(table[t].name) != len || memcmp(table[t].name, word, len) != 0) continue;
            known = 1;
            if (table[t].commands & command) found = &table[t];
        }
        if (!known) return wrong_usage(word, ": unknown option", "");
        if (!found) return wrong_usage(word, " is no option of punch ", command_name);
        if (found->flag) {
            if (value) return wrong_usage(found->name, " takes no value", "");
            *found->flag = 1;
            continue;
        }
        /* A value that begins with two dashes is given as --option=value; as a word of its own it is the next option. */
        if (!value && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0) value = argv[++i];
        if (!value) return wrong_usage(found->name, " needs a value", "");
        code = take_value(found, value);
        if (code != GOES_ON) return code;
    }
    if (command & (HOST | LOBBY) && !o->master) return wrong_usage("--master", " is missing", "");
    if (command == CLIENT) {
        if (!o->server) return wrong_usage("--server", " is missing", "");
        if (!o->master && !o->no_punch) return wrong_usage("--master", " is missing (or --no-punch)", "");
        if (!o->direct_port && o->no_punch) return wrong_usage("--direct-port", " is missing: --no-punch needs it", "");
    }
    return GOES_ON;
}

/* ---- the end ---- */

#if defined(_WIN32)
static volatile LONG stopped;

static BOOL WINAPI on_console_event(DWORD event) {
    InterlockedExchange(&stopped, 1);
    /* Returning from a close, logoff or shutdown ends the process at once: main is given the time to do it in order. */
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) Sleep(5000);
    return TRUE;
}

static void catch_signals(void) { SetConsoleCtrlHandler(on_console_event, TRUE); }
#else
static volatile sig_atomic_t stopped;

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

static void catch_signals(void) {
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
}
#endif

static uint64_t end_after(uint32_t seconds) { return seconds ? gmpunch_now() + (uint64_t)seconds * 1000 : UINT64_MAX; }

/* Nobody is left to talk to when stdout is gone. */
static int goes_on(uint64_t end) { return !stopped && !ferror(stdout) && gmpunch_now() < end; }

static uint32_t wait_for(uint64_t end) {
    uint64_t now = gmpunch_now();
    if (now >= end) return 0;
    return end - now < WAIT_MS ? (uint32_t)(end - now) : WAIT_MS;
}

/* ---- lines ---- */

static void end_line(void) {
    putchar('\n');
    fflush(stdout);
}

static void put_address(const char *key, const gmpunch_address *address) {
    char text[GMPUNCH_ADDRESS_TEXT_SIZE];
    gmpunch_address_format(address, text, sizeof text);
    printf(" %s=%s", key, text);
}

static void put_reason(int32_t reason) { printf(" reason=%s", gmpunch_reason_name(reason)); }

static void put_how(int32_t how) { printf(" how=%s", gmpunch_how_name(how)); }

/* The length of the UTF-8 character at data, 0 if it is none or should not reach a terminal as it is: control characters,
   line and paragraph separators, and marks that turn the direction of writing. */
static size_t printable(const uint8_t *data, size_t len) {
    uint32_t code = data[0];
    size_t size = code < 0x80 ? 1 : code < 0xc2 ? 0 : code < 0xe0 ? 2 : code < 0xf0 ? 3 : code < 0xf5 ? 4 : 0;
    size_t i;
    if (size == 0 || size > len) return 0;
    if (size > 1) code &= 0x7fu >> size;
    for (i = 1; i < size; i++) {
        if ((data[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (data[i] & 0x3fu);
    }
    if ((size == 3 && code < 0x800) || (size == 4 && code < 0x10000) || code > 0x10ffff) return 0; /* too long a form */
    if (code >= 0xd800 && code <= 0xdfff) return 0;
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return 0;
    if ((code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff) return 0;
    return size;
}

/* Writes the character at data so that it is safe for a terminal, and on one line. Returns its bytes there; *len becomes those
   in data. */
static size_t escape(const uint8_t *data, size_t *len, char out[5]) {
    static const char hex[] = "0123456789abcdef";
    const char *letters = "\\\\\nn\rr\tt";
    size_t size = printable(data, *len);
    if (size && data[0] != '\\') {
        memcpy(out, data, size);
        *len = size;
        return size;
    }
    *len = 1;
    out[0] = '\\';
    for (; letters[0] != '\0'; letters += 2) {
        if (letters[0] != (char)data[0]) continue;
        out[1] = letters[1];
        return 2;
    }
    out[1] = 'x';
    out[2] = hex[data[0] >> 4];
    out[3] = hex[data[0] & 15];
    return 4;
}

static void put_escaped(const uint8_t *data, size_t len) {
    while (len) {
        char out[5];
        size_t used = len;
        fwrite(out, 1, escape(data, &used, out), stdout);
        data += used;
        len -= used;
    }
}

static void put_data(const gmpunch_event *event) {
    printf(" bytes=%lu text=", (unsigned long)event->len);
    put_escaped(event->data, event->len);
    end_line();
}

/* bind NULL and port 0: not given. */
static int failed_to_open(const char *what, const char *bind, uint32_t port, int32_t result, int32_t os_error) {
    fprintf(stderr, "punch: cannot open %s", what);
    if (bind) fprintf(stderr, " on %s", bind);
    if (port) fprintf(stderr, " port %lu", (unsigned long)port);
    fprintf(stderr, ": %s", gmpunch_strerror(result));
    if (os_error) fprintf(stderr, " (os error %ld)", (long)os_error);
    fprintf(stderr, "\n");
    return EXIT_FAILURE;
}

static int failed(const char *what, int32_t result) {
    fprintf(stderr, "punch: %s: %s\n", what, gmpunch_strerror(result));
    return EXIT_FAILURE;
}

static int interrupted(void) {
    fprintf(stderr, "punch: interrupted\n");
    return EXIT_FAILURE;
}

/* ---- master ---- */

static void master_is_ready(const gmpunch_master *master) {
    gmpunch_address address = {0};
    gmpunch_master_local_address(master, 0, &address);
    printf("ready role=master");
    put_address("udp", &address);
    put_address("tcp", &address);
    end_line();
}

/* One poll. *type becomes the event's, 0 if there was none. Returns GOES_ON or an exit code. */
static int step_master(gmpunch_master *master, uint32_t wait_ms, int32_t *type) {
    gmpunch_event event;
    int32_t result = gmpunch_master_poll(master, &event, wait_ms);
    *type = result > 0 ? event.type : GMPUNCH_EVENT_NONE;
    if (result < 0) return failed("master", result);
    switch (*type) {
    case GMPUNCH_EVENT_HOST_ADDED:
        printf("host-added");
        put_address("address", &event.address);
        end_line();
        break;
    case GMPUNCH_EVENT_HOST_REMOVED:
        printf("host-removed");
        put_address("address", &event.address);
        put_reason(event.reason);
        end_line();
        break;
    case GMPUNCH_EVENT_INTRODUCTION:
        printf("introduction");
        put_address("client", &event.address);
        put_address("host", &event.other);
        end_line();
        break;
    case GMPUNCH_EVENT_NOT_FOUND:
        printf("not-found");
        put_address("client", &event.address);
        put_address("server", &event.other);
        end_line();
        break;
    default: break;
    }
    return GOES_ON;
}

static int run_master(const options *o) {
    gmpunch_master_config config = {0};
    gmpunch_master *master = NULL;
    uint64_t end = end_after(o->seconds);
    int32_t os_error = 0;
    int32_t result;
    int32_t type;
    int code = GOES_ON;
    config.bind_address = o->bind;
    config.port = (uint16_t)o->port;
    config.any_port = o->port == 0;
    config.os_error = &os_error;
    result = gmpunch_master_open(&config, &master);
    if (result != GMPUNCH_OK) return failed_to_open("master", o->bind, o->port, result, os_error);
    master_is_ready(master);
    while (code == GOES_ON && goes_on(end)) code = step_master(master, wait_for(end), &type);
    gmpunch_master_close(master);
    return code == GOES_ON ? EXIT_SUCCESS : code;
}

/* ---- host ---- */

static void host_is_ready(const gmpunch_host *host) {
    gmpunch_address address = {0};
    gmpunch_host_local_address(host, &address);
    printf("ready role=host");
    put_address("udp", &address);
    end_line();
}

static int step_host(gmpunch_host *host, uint32_t wait_ms) {
    gmpunch_event event;
    int32_t result = gmpunch_host_poll(host, &event, wait_ms);
    if (result < 0) return failed("host", result);
    if (result == 0) return GOES_ON;
    switch (event.type) {
    case GMPUNCH_EVENT_RESOLVE: gmpunch_host_resolve(host); break;
    case GMPUNCH_EVENT_REGISTERED:
        printf("registered");
        put_address("master", &event.address);
        end_line();
        break;
    case GMPUNCH_EVENT_UNREGISTERED:
        printf("unregistered");
        put_reason(event.reason);
        end_line();
        break;
    case GMPUNCH_EVENT_INTRODUCED:
        printf("introduced");
        put_address("client", &event.address);
        end_line();
        break;
    case GMPUNCH_EVENT_INTRODUCTION_EXPIRED:
        printf("introduction-expired");
        put_address("client", &event.address);
        end_line();
        break;
    case GMPUNCH_EVENT_JOINED:
        printf("joined peer=%lu", (unsigned long)event.peer);
        put_address("address", &event.address);
        put_how(event.how);
        end_line();
        break;
    case GMPUNCH_EVENT_LEFT:
        printf("left peer=%lu", (unsigned long)event.peer);
        put_address("address", &event.address);
        put_reason(event.reason);
        end_line();
        break;
    case GMPUNCH_EVENT_DATA:
        printf("data peer=%lu", (unsigned long)event.peer);
        put_data(&event);
        /* Fails for what is game data to a host but protocol to a client, and if the system takes nothing now. */
        result = gmpunch_host_send(host, event.peer, event.data, event.len);
        if (result < 0) failed("no echo", result);
        break;
    default: break;
    }
    return GOES_ON;
}

static int run_host(const options *o) {
    gmpunch_host_config config = {0};
    gmpunch_host *host = NULL;
    uint64_t end = end_after(o->seconds);
    int32_t os_error = 0;
    int32_t result;
    int code = GOES_ON;
    memcpy(config.data, o->data, sizeof config.data);
    config.data_capacity = MAX_DATA;
    config.master = o->master;
    config.bind_address = o->bind;
    config.bind_port = (uint16_t)o->port;
    config.raw = o->raw;
    config.max_packet = MAX_TEXT;
    config.require_mediation = o->require_mediation;
    config.max_peers = o->max_peers;
    config.os_error = &os_error;
    result = gmpunch_host_open(&config, &host);
    if (result != GMPUNCH_OK) return failed_to_open("host", o->bind, o->port, result, os_error);
    host_is_ready(host);
    while (code == GOES_ON && goes_on(end)) code = step_host(host, wait_for(end));
    gmpunch_host_close(host);
    return code == GOES_ON ? EXIT_SUCCESS : code;
}

/* ---- client ---- */

enum { ECHO = 1, STRINGS = 2 }; /* what a client waits for once connected, as bits */

typedef struct client_run {
    gmpunch_client *client;
    const char *text; /* to send once connected; NULL: nothing */
    int waits;        /* ECHO, STRINGS */
    uint64_t opened_us;
    uint32_t timeout_ms;
    uint64_t next_send; /* UINT64_MAX before it is connected, or with nothing to send */
    uint64_t end;       /* UINT64_MAX before it is connected */
} client_run;

/* Returns GMPUNCH_OK or the library's error. */
static int32_t open_client(client_run *run, const gmpunch_client_config *config, const char *text) {
    gmpunch_address address = {0};
    int32_t result;
    run->text = text;
    run->waits = (text ? ECHO : 0) | (config->ask_data ? STRINGS : 0);
    run->opened_us = gmpunch_now_us();
    run->timeout_ms = config->timeout_ms ? config->timeout_ms : TIMEOUT_MS;
    run->next_send = UINT64_MAX;
    run->end = UINT64_MAX;
    result = gmpunch_client_open(config, &run->client);
    if (result != GMPUNCH_OK) return result;
    gmpunch_client_local_address(run->client, &address);
    printf("ready role=client");
    put_address("udp", &address);
    end_line();
    return GMPUNCH_OK;
}

static int client_failed(const gmpunch_event *event) {
    printf("failed");
    put_reason(event->reason);
    if (event->cause) printf(" cause=%s", gmpunch_reason_name(event->cause));
    printf(" stage=%s announces=%lu knocks=%lu heard=%lu advice=\"%s\"", gmpunch_stage_name(event->stage),
           (unsigned long)event->announces_sent, (unsigned long)event->knocks_sent, (unsigned long)event->knocks_heard,
           gmpunch_reason_text(event->reason));
    end_line();
    return EXIT_FAILURE;
}

/* Sends the text if it is time to. */
static int client_sends(client_run *run) {
    uint64_t now = gmpunch_now();
    int32_t result;
    if (now >= run->end) {
        printf("failed reason=%s stage=connected advice=\"The host is connected, but did not send %s.\"",
               run->waits & ECHO ? "no_echo" : "no_data", run->waits & ECHO ? "the text back" : "its strings");
        end_line();
        return EXIT_FAILURE;
    }
    if (now < run->next_send) return GOES_ON;
    run->next_send = now + SEND_INTERVAL_MS;
    result = gmpunch_client_send(run->client, run->text, strlen(run->text));
    /* What the system did not take now it may take the next time; the rest is wrong for good. */
    if (result >= 0 || result == GMPUNCH_ERR_WOULD_BLOCK || result == GMPUNCH_ERR_SOCKET) return GOES_ON;
    return failed("cannot send", result);
}

static void put_strings(const gmpunch_event *event) {
    uint32_t i;
    for (i = 1; i <= GMPUNCH_DATA_STRINGS; i++) {
        const char *text = gmpunch_event_string(event, i);
        printf("host-data number=%lu text=", (unsigned long)i);
        put_escaped((const uint8_t *)text, strlen(text));
        end_line();
    }
}

/* One of the things that the client waited for is there. */
static int client_has(client_run *run, int what) {
    run->waits &= ~what;
    if (what == ECHO) run->next_send = UINT64_MAX;
    return run->waits ? GOES_ON : EXIT_SUCCESS;
}

static int is_echo(const client_run *run, const gmpunch_event *event) {
    return run->text && event->len == strlen(run->text) && memcmp(event->data, run->text, event->len) == 0;
}

static int step_client(client_run *run, uint32_t wait_ms) {
    gmpunch_event event;
    int32_t result = gmpunch_client_poll(run->client, &event, wait_ms);
    if (result < 0) return failed("client", result);
    if (result == 0) return client_sends(run);
    switch (event.type) {
    case GMPUNCH_EVENT_RESOLVE: gmpunch_client_resolve(run->client); break;
    case GMPUNCH_EVENT_FOUND:
        printf("found");
        put_address("server", &event.address);
        end_line();
        break;
    case GMPUNCH_EVENT_FALLBACK:
        printf("fallback");
        put_reason(event.reason);
        put_address("server", &event.address);
        end_line();
        break;
    case GMPUNCH_EVENT_CONNECTED:
        printf("connected");
        put_address("server", &event.address);
        put_how(event.how);
        printf(" ms=%.1f", (double)(gmpunch_now_us() - run->opened_us) / 1000.0);
        end_line();
        if (!run->waits) return EXIT_SUCCESS;
        if (run->text) run->next_send = gmpunch_now();
        run->end = gmpunch_now() + run->timeout_ms;
        break;
    case GMPUNCH_EVENT_HOST_DATA:
        put_strings(&event);
        return client_has(run, STRINGS);
    case GMPUNCH_EVENT_DATA:
        printf("data");
        put_data(&event);
        if (is_echo(run, &event)) return client_has(run, ECHO);
        break;
    case GMPUNCH_EVENT_FAILED: return client_failed(&event);
    case GMPUNCH_EVENT_LOST:
        printf("lost");
        put_reason(event.reason);
        end_line();
        return EXIT_FAILURE;
    default: break;
    }
    return client_sends(run);
}

static int run_client(const options *o) {
    gmpunch_client_config config = {0};
    client_run run = {0};
    int32_t os_error = 0;
    int32_t result;
    int code = GOES_ON;
    config.master = o->no_punch ? NULL : o->master;
    config.server = o->server;
    config.bind_address = o->bind;
    config.direct_port = (uint16_t)o->direct_port;
    config.direct_only = o->no_punch;
    config.raw = o->raw;
    config.ask_data = o->ask_data;
    config.max_packet = o->ask_data ? MAX_DATA + 64 : MAX_TEXT;
    config.timeout_ms = o->timeout_ms;
    config.os_error = &os_error;
    result = open_client(&run, &config, o->send);
    if (result != GMPUNCH_OK) return failed_to_open("client", o->bind, 0, result, os_error);
    while (code == GOES_ON && goes_on(UINT64_MAX))
        code = step_client(&run, wait_for(run.next_send < run.end ? run.next_send : run.end));
    gmpunch_client_close(run.client);
    return code == GOES_ON ? interrupted() : code;
}

/* ---- lobby ---- */

enum { ADDRESS = GMPUNCH_DATA_STRINGS, REGISTERED, CELLS };

/* A host, as texts that are safe for a terminal: strings 1 to 8, address, time of registration. */
typedef struct row {
    char *cell[CELLS];
} row;

typedef struct table {
    row *rows;
    size_t count;
    size_t room;
} table;

/* Columns of a terminal: letters of East Asian scripts and emoji take two. */
static size_t width_of(const char *text) {
    static const uint32_t wide[][2] = {{0x1100, 0x115f},   {0x2e80, 0xa4cf},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
                                       {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
                                       {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
    size_t width = 0;
    while (*text != '\0') {
        uint32_t code = (unsigned char)*text++;
        size_t i;
        if (code >= 0xc0) code &= code < 0xe0 ? 0x1fu : code < 0xf0 ? 0x0fu : 0x07u;
        for (; ((unsigned char)*text & 0xc0) == 0x80; text++) code = code << 6 | ((unsigned char)*text & 0x3fu);
        width++;
        for (i = 0; i < sizeof wide / sizeof wide[0]; i++)
            if (code >= wide[i][0] && code <= wide[i][1]) width++;
    }
    return width;
}

/* A copy that is safe for a terminal, NULL without memory. */
static char *escaped(const char *text) {
    size_t len = strlen(text), at = 0;
    char *out = malloc(4 * len + 1);
    if (!out) return NULL;
    while (len) {
        char one[5];
        size_t used = len, size = escape((const uint8_t *)text, &used, one);
        memcpy(out + at, one, size);
        at += size;
        text += used;
        len -= used;
    }
    out[at] = '\0';
    return out;
}

static void format_time(uint64_t unix_seconds, char *out, size_t size) {
    time_t seconds = (time_t)unix_seconds;
    const struct tm *utc = unix_seconds && unix_seconds < 253402300800u ? gmtime(&seconds) : NULL; /* up to the year 9999 */
    if (!utc || strftime(out, size, "%Y-%m-%d %H:%M:%SZ", utc) == 0) snprintf(out, size, "-");
}

static int add_row(table *t, const gmpunch_event *event) {
    char address[GMPUNCH_ADDRESS_TEXT_SIZE], registered[32];
    row *added;
    int i, complete = 1;
    if (t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 64;
        row *rows = realloc(t->rows, room * sizeof *rows);
        if (!rows) return 0;
        t->rows = rows;
        t->room = room;
    }
    added = &t->rows[t->count++];
    gmpunch_address_format(&event->address, address, sizeof address);
    format_time(event->created, registered, sizeof registered);
    for (i = 0; i < GMPUNCH_DATA_STRINGS; i++) added->cell[i] = escaped(gmpunch_event_string(event, (uint32_t)i + 1));
    added->cell[ADDRESS] = escaped(address);
    added->cell[REGISTERED] = escaped(registered);
    for (i = 0; i < CELLS; i++) complete = complete && added->cell[i];
    return complete;
}

static void free_table(table *t) {
    size_t r, c;
    for (r = 0; r < t->count; r++)
        for (c = 0; c < CELLS; c++) free(t->rows[r].cell[c]);
    free(t->rows);
}

/* Columns that are empty in all rows are left out. */
static void put_table(const table *t) {
    static const int order[CELLS] = {ADDRESS, REGISTERED, 0, 1, 2, 3, 4, 5, 6, 7};
    static const char *const titles[CELLS] = {"DATA1", "DATA2", "DATA3", "DATA4",   "DATA5",
                                              "DATA6", "DATA7", "DATA8", "ADDRESS", "REGISTERED"};
    size_t width[CELLS] = {0}, gap, r;
    int c;
    for (c = 0; c < CELLS; c++) {
        for (r = 0; r < t->count; r++)
            if (width_of(t->rows[r].cell[c]) > width[c]) width[c] = width_of(t->rows[r].cell[c]);
        if ((width[c] || c >= ADDRESS) && width[c] < strlen(titles[c])) width[c] = strlen(titles[c]);
    }
    for (r = 0; r <= t->count; r++) { /* the first line are the titles */
        gap = 0;
        for (c = 0; c < CELLS; c++) {
            int column = order[c];
            const char *text = r == 0 ? titles[column] : t->rows[r - 1].cell[column];
            if (!width[column] || !*text) {
                if (width[column]) gap += width[column] + 2;
                continue;
            }
            printf("%*s%s", (int)gap, "", text);
            gap = width[column] + 2 - width_of(text);
        }
        putchar('\n');
    }
    fflush(stdout);
}

/* The library only yields valid UTF-8. */
static void put_json_string(const char *text) {
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') printf("\\%c", c);
        else if (c < 0x20 || c == 0x7f) printf("\\u%04x", c);
        else putchar(c);
    }
    putchar('"');
}

static void put_json(const gmpunch_event *event) {
    char address[GMPUNCH_ADDRESS_TEXT_SIZE];
    uint32_t i;
    gmpunch_address_format(&event->address, address, sizeof address);
    printf("%s{\"ip\":\"%s\"", event->count == 1 ? "[" : ",", address);
    for (i = 1; i <= GMPUNCH_DATA_STRINGS; i++) {
        printf(",\"data%lu\":", (unsigned long)i);
        put_json_string(gmpunch_event_string(event, i));
    }
    printf(",\"createdTime\":%llu}", (unsigned long long)event->created);
}

static int lobby_failed(const gmpunch_event *event) {
    fprintf(stderr, "punch: no complete list: %s. %s\n", gmpunch_reason_name(event->reason),
            event->reason == GMPUNCH_REASON_MASTER_SILENT ? "The master may have no lobby, or is overloaded."
                                                          : gmpunch_reason_text(event->reason));
    return EXIT_FAILURE;
}

static int step_lobby(gmpunch_lobby *lobby, table *t, int json) {
    gmpunch_event event;
    int32_t result = gmpunch_lobby_poll(lobby, &event, WAIT_MS);
    if (result < 0) return failed("lobby", result);
    if (result == 0) return GOES_ON;
    switch (event.type) {
    case GMPUNCH_EVENT_RESOLVE: gmpunch_lobby_resolve(lobby); return GOES_ON;
    case GMPUNCH_EVENT_LOBBY_ENTRY:
        if (json) put_json(&event);
        else if (!add_row(t, &event)) return failed("lobby", GMPUNCH_ERR_MEMORY);
        return GOES_ON;
    case GMPUNCH_EVENT_LOBBY_DONE:
        if (json) {
            printf(event.count ? "]" : "[]");
            end_line();
        } else {
            put_table(t);
        }
        fprintf(stderr, "punch: %lu hosts", (unsigned long)event.count);
        if (event.ignored) fprintf(stderr, ", %lu passed over: too long", (unsigned long)event.ignored);
        fprintf(stderr, "\n");
        return EXIT_SUCCESS;
    default: return lobby_failed(&event);
    }
}

static int run_lobby(const options *o) {
    gmpunch_lobby_config config = {0};
    gmpunch_lobby *lobby = NULL;
    table t = {0};
    int32_t os_error = 0;
    int32_t result;
    int code = GOES_ON;
    config.master = o->master;
    config.bind_address = o->bind;
    memcpy(config.filter, o->filter, sizeof config.filter);
    config.sort_by = o->sort ? (uint32_t)sort_key(o->sort) : GMPUNCH_SORT_DATE;
    config.descending = !o->ascending;
    config.limit = o->limit == NO_LIMIT ? 0 : o->limit ? o->limit : GMPUNCH_LIMIT_NONE;
    config.timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
    config.os_error = &os_error;
    result = gmpunch_lobby_open(&config, &lobby);
    if (result != GMPUNCH_OK) return failed_to_open("lobby", o->bind, 0, result, os_error);
    while (code == GOES_ON && goes_on(UINT64_MAX)) code = step_lobby(lobby, &t, o->json);
    gmpunch_lobby_close(lobby);
    free_table(&t);
    return code == GOES_ON ? interrupted() : code;
}

/* ---- demo ---- */

enum { DEMO_SECONDS = 15 };

/* Plays all three roles. Returns an exit code. */
static int play_demo(const char *master_ip, const char *host_ip, const char *client_ip) {
    gmpunch_master_config master_config = {0};
    gmpunch_host_config host_config = {0};
    gmpunch_client_config client_config = {0};
    gmpunch_master *master = NULL;
    gmpunch_host *host = NULL;
    client_run run = {0};
    gmpunch_address address = {0};
    char master_text[GMPUNCH_ADDRESS_TEXT_SIZE];
    uint64_t end = end_after(DEMO_SECONDS);
    int32_t os_error = 0;
    int32_t result;
    int32_t type = GMPUNCH_EVENT_NONE;
    const char *opening = "master"; /* and its address */
    const char *ip = master_ip;
    int code = GOES_ON;

    master_config.bind_address = master_ip;
    master_config.any_port = 1;
    master_config.os_error = &os_error;
    result = gmpunch_master_open(&master_config, &master);
    if (result == GMPUNCH_OK) {
        master_is_ready(master);
        gmpunch_master_local_address(master, 0, &address);
        gmpunch_address_format(&address, master_text, sizeof master_text);
        opening = "host";
        ip = host_ip;
        host_config.master = master_text;
        host_config.bind_address = host_ip;
        host_config.os_error = &os_error;
        result = gmpunch_host_open(&host_config, &host);
        if (result == GMPUNCH_OK) host_is_ready(host);
    }
    while (result == GMPUNCH_OK && code == GOES_ON && goes_on(end)) {
        /* Each waits a moment in turn: one thread for three objects. A game waits for none, once per frame. */
        code = step_master(master, 1, &type);
        if (code == GOES_ON) code = step_host(host, 1);
        if (code == GOES_ON && run.client) code = step_client(&run, 1);
        if (type == GMPUNCH_EVENT_HOST_ADDED && !run.client) {
            opening = "client";
            ip = client_ip;
            client_config.master = master_text;
            client_config.server = host_ip;
            client_config.bind_address = client_ip;
            client_config.os_error = &os_error;
            result = open_client(&run, &client_config, "hello");
        }
    }
    gmpunch_client_close(run.client);
    gmpunch_host_close(host);
    gmpunch_master_close(master);
    if (result != GMPUNCH_OK) return failed_to_open(opening, ip, 0, result, os_error);
    if (code == GOES_ON) fprintf(stderr, "punch: the demo did not come to its end\n");
    return code == GOES_ON ? EXIT_FAILURE : code;
}

static int run_demo(void) {
    int code = play_demo("127.0.0.1", "127.0.0.2", "127.0.0.3");
    if (code == EXIT_SUCCESS || stopped) return code;
    fprintf(stderr, "punch: some systems have 127.0.0.1 only, so once more with it for all three\n"); /* macOS, Wine */
    return play_demo("127.0.0.1", "127.0.0.1", "127.0.0.1");
}

/* ---- commands ---- */

typedef struct command {
    const char *name;
    unsigned bit;
    uint32_t port; /* without --port */
    int (*run)(const options *o);
} command;

static const command commands[] = {
    {"master", MASTER, GMPUNCH_DEFAULT_PORT, run_master},
    {"host", HOST, 0, run_host},
    {"client", CLIENT, 0, run_client},
    {"lobby", LOBBY, 0, run_lobby}};

static int run(int argc, char **argv) {
    options o = {.limit = NO_LIMIT};
    size_t c;
    int code;
    if (argc < 2) return run_demo();
    code = information(argv[1]);
    if (code != GOES_ON) return code;
    for (c = 0; c < sizeof commands / sizeof commands[0]; c++) {
        if (strcmp(argv[1], commands[c].name) != 0) continue;
        o.port = commands[c].port;
        code = parse_options(&o, commands[c].bit, commands[c].name, argc - 2, argv + 2);
        return code == GOES_ON ? commands[c].run(&o) : code;
    }
    return wrong_usage(argv[1], ": unknown command", "");
}

int main(int argc, char **argv) {
    int code;
    catch_signals();
    code = run(argc, argv);
    return fflush(stdout) != 0 || ferror(stdout) ? EXIT_FAILURE : code; /* what nobody could read was not done */
}
