/* gatepunch - the master as a service, in place of the Java program GATE.PUNCH 1.2.5

     cc -O2 gatepunch.c -o gatepunch                  (Windows: x86_64-w64-mingw32-gcc gatepunch.c -o gatepunch.exe -lws2_32)
     ./gatepunch                                      serves on port 6510, TCP and UDP
     ./gatepunch --help                               says the rest

   It stays in the foreground, for systemd, Docker or a terminal to look after. On stdout is a line for each thing that
   happens: time, level, what, then key=value words; with --log-format json an object with the same in it. */
#define GMPUNCH_IMPLEMENTATION
#include "../gmpunch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#include <windows.h>
#else
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#endif

enum { EXIT_USAGE = 2, EXIT_IN_USE = 3, EXIT_NOT_PERMITTED = 4, EXIT_NOT_HERE = 5, EXIT_LOG = 6, GOES_ON = -1 };

#define WAIT_MS 100u           /* longest wait in one go: a signal is noticed after it */
#define SPARE_DESCRIPTORS 32u  /* beside the connections: listeners, log, standard streams, one to refuse the next with */
#define LARGEST_LIMIT 4194304u /* of the library */
#define NAME_SIZE 256
#define LINE_SIZE 4096 /* what Linux puts into a pipe in one piece */

/* ---- settings ---- */

typedef struct settings {
    gmpunch_master_config master;
    char bind[GMPUNCH_MASTER_MAX_BINDS * GMPUNCH_ADDRESS_TEXT_SIZE]; /* as the library wants it; "": any */
    uint32_t port;
    const char *log_path; /* NULL: only stdout */
    int32_t log_level;    /* GMPUNCH_LOG_ */
    uint32_t log_rate;    /* lines per second; GMPUNCH_NEVER: any number */
    int32_t json;
    int32_t quiet;
    uint32_t stats_seconds; /* 0: only when asked */
    int32_t wants_help;
    int32_t wants_version;
} settings;

typedef struct option option;
struct option {
    const char *name; /* NULL: a heading of --help */
    const char *letter;
    const char *value; /* what --help calls it; NULL: takes none */
    const char *help;
    /* Puts the value (NULL: none) into the settings. Returns NULL, or what it should have been. */
    const char *(*take)(settings *s, const option *o, const char *value);
    size_t field; /* the place in the settings */
    uint32_t minimum;
    uint32_t maximum;
    const char *never; /* the value that stands for GMPUNCH_NEVER */
};

static const char *take_flag(settings *s, const option *o, const char *value) {
    (void)value;
    *(int32_t *)(void *)((char *)s + o->field) = 1;
    return NULL;
}

static const char *take_number(settings *s, const option *o, const char *value) {
    uint32_t *field = (uint32_t *)(void *)((char *)s + o->field);
    const char *expected = "a whole number"; /* in the range of the option */
    uint64_t number = 0;
    if (o->never && strcmp(value, o->never) == 0) {
        *field = GMPUNCH_NEVER;
        return NULL;
    }
    if (*value == '\0') return expected;
    for (; *value != '\0'; value++) {
        if (*value < '0' || *value > '9') return expected;
        number = number * 10 + (uint64_t)(*value - '0');
        if (number > o->maximum) return expected;
    }
    if (number < o->minimum) return expected;
    *field = (uint32_t)number;
    return NULL;
}

/* Each use adds to those before. */
static const char *take_bind(settings *s, const option *o, const char *value) {
    uint32_t count = 0;
    const char *at;
    (void)o;
    if (strlen(s->bind) + 1 + strlen(value) >= sizeof s->bind) return "at most 8 addresses";
    if (s->bind[0] != '\0') strcat(s->bind, ",");
    strcat(s->bind, value);
    for (at = s->bind;; at++) {
        char one[GMPUNCH_ADDRESS_TEXT_SIZE] = {0};
        gmpunch_address address;
        size_t len = strcspn(at, ",");
        if (len < sizeof one) memcpy(one, at, len);
        if (gmpunch_address_parse(one, 0, &address) != GMPUNCH_OK || address.port != 0)
            return "numeric addresses without port, commas between";
        if (++count > GMPUNCH_MASTER_MAX_BINDS) return "at most 8 addresses";
        at += len;
        if (*at == '\0') return NULL;
    }
}

static const char *take_name(settings *s, const option *o, const char *value) {
    const char *at;
    (void)o;
    for (at = value; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f) return "a text without control characters";
    if (at - value >= NAME_SIZE) return "at most 255 bytes";
    s->master.name = value;
    return NULL;
}

static const char *take_log(settings *s, const option *o, const char *value) {
    (void)o;
    s->log_path = value;
    return *value ? NULL : "the name of a file";
}

static const char *const level_names[] = {"", "error", "warning", "info", "debug"}; /* by GMPUNCH_LOG_ */

static const char *take_level(settings *s, const option *o, const char *value) {
    int32_t level;
    (void)o;
    for (level = GMPUNCH_LOG_ERROR; level <= GMPUNCH_LOG_DEBUG; level++) {
        if (strcmp(value, level_names[level]) != 0) continue;
        s->log_level = level;
        return NULL;
    }
    return "error, warning, info or debug";
}

static const char *take_verbose(settings *s, const option *o, const char *value) {
    (void)value;
    return take_level(s, o, "debug");
}

static const char *take_format(settings *s, const option *o, const char *value) {
    (void)o;
    s->json = strcmp(value, "json") == 0;
    return s->json || strcmp(value, "text") == 0 ? NULL : "text or json";
}

/* clang-format off */
#define FLAG(field) take_flag, offsetof(settings, field), 0, 0, NULL
#define NUMBER(field, minimum, maximum) take_number, offsetof(settings, field), minimum, maximum, NULL
#define LIMIT(field) NUMBER(master.field, 1, LARGEST_LIMIT)
#define DURATION(field) take_number, offsetof(settings, master.field), 1, GMPUNCH_NEVER - 1, "never"
#define OTHER(take) take, 0, 0, 0, NULL
#define HEADING(text) {NULL, NULL, NULL, text, OTHER(NULL)}

static const option options[] = {
    HEADING("What it serves"),
    {"--port", "-p", "N", "TCP and UDP port, 0 to 65535; 0: chosen by the system. Default: 6510", NUMBER(port, 0, 65535)},
    {"--bind", NULL, "A", "local address, IPv4 or IPv6; several with commas or several times, at most 8. Default: any",
     OTHER(take_bind)},
    {"--disable-lobby", NULL, NULL, "no list of hosts (\"lobby2\" gets no answer)", FLAG(master.no_lobby)},
    {"--testing", NULL, NULL, "answer the test tool; there is a lobby then in any case", FLAG(master.testing)},
    {"--name", NULL, "TEXT", "name for the test tool. Default: gmpunch", OTHER(take_name)},

    HEADING("What it tells"),
    {"--quiet", "-q", NULL, "only errors and asked for counters on stdout; a --log file gets all", FLAG(quiet)},
    {"--verbose", "-v", NULL, "as --log-level debug", OTHER(take_verbose)},
    {"--log", "-l", "FILE", "write the log to this file as well", OTHER(take_log)},
    {"--log-level", NULL, "L", "error, warning, info or debug; IP addresses only at the last two. Default: info",
     OTHER(take_level)},
    {"--log-format", NULL, "F", "text or json. Default: text", OTHER(take_format)},
    {"--log-rate", NULL, "N", "most lines per second, so that a flood can't fill the disk; never: no end. Default: 100",
     take_number, offsetof(settings, log_rate), 1, 1000000, "never"},
    {"--stats", NULL, "S", "a line with all counters every S seconds", NUMBER(stats_seconds, 1, 1000000)},
    {"--help", "-h", NULL, "this text", FLAG(wants_help)},
    {"--version", NULL, NULL, "the versions of the program and of the protocol", FLAG(wants_version)},

    HEADING("Limits, of what is kept at once (1 to 4194304 where not said)"),
    {"--max-connections", NULL, "N", "TCP connections, hosts included. Default: 65536", LIMIT(max_connections)},
    {"--max-connections-per-ip", NULL, "N", "default: 256", LIMIT(max_connections_per_ip)},
    {"--max-connections-per-subnet", NULL, "N", "of an IPv4 /24 or IPv6 /48. Default: 4096", LIMIT(max_connections_per_subnet)},
    {"--max-waiting-connections", NULL, "N", "connections that are no hosts. Default: three quarters of all",
     LIMIT(max_waiting_connections)},
    {"--max-commands-per-second", NULL, "N", "of one IP, to 1000000, or never: no end. Default: 200",
     take_number, offsetof(settings, master.max_commands_per_second), 1, 1000000, "never"},
    {"--max-ports", NULL, "N", "remembered UDP ports. Default: 131072", LIMIT(max_ports)},
    {"--max-ports-per-ip", NULL, "N", "of hosts, and as many of clients. Default: 64", LIMIT(max_ports_per_ip)},
    {"--max-requests", NULL, "N", "requests that wait for a UDP port. Default: 65536", LIMIT(max_requests)},
    {"--max-requests-per-connection", NULL, "N", "default: 8", LIMIT(max_requests_per_connection)},
    {"--max-messages", NULL, "N", "messages that wait to be sent. Default: 131072", LIMIT(max_messages)},
    {"--max-messages-per-connection", NULL, "N", "default: 64", LIMIT(max_messages_per_connection)},
    {"--max-line", NULL, "BYTES", "of a line, 64 to 65536. Default: 1024", NUMBER(master.max_line, 64, 65536)},
    {"--max-data", NULL, "BYTES", "of the data strings of all hosts, to 4294967295. Default: 67108864",
     NUMBER(master.max_data, 1, 4294967295u)},
    {"--max-lobby", NULL, "BYTES", "of one list of hosts, 4096 to 1073741824. Default: 33554432",
     NUMBER(master.max_lobby, 4096, 1073741824)},
    {"--max-lobby-memory", NULL, "BYTES", "of all lists that wait to be sent, 4096 to 4294967295. Default: 134217728",
     NUMBER(master.max_lobby_memory, 4096, 4294967295u)},
    {"--max-lobby-memory-per-ip", NULL, "BYTES", "... to one IP, 1 to 4294967295. Default: 33554432",
     NUMBER(master.max_lobby_memory_per_ip, 1, 4294967295u)},

    HEADING("Times in milliseconds (1 to 4294967294, or never)"),
    {"--hold-ms", NULL, "MS", "a request waits for a UDP port. Default: 1000", DURATION(hold_ms)},
    {"--client-port-ms", NULL, "MS", "a client's UDP port waits for its request. Default: 10000", DURATION(client_port_ms)},
    {"--host-port-ms", NULL, "MS", "a host's UDP port waits for its registration. Default: 60000", DURATION(host_port_ms)},
    {"--command-timeout-ms", NULL, "MS", "for the rest of a command. Default: 5000", DURATION(command_timeout_ms)},
    {"--idle-timeout-ms", NULL, "MS", "for a connection that says nothing. Default: 60000", DURATION(idle_timeout_ms)},
    {"--host-timeout-ms", NULL, "MS", "for a host that falls silent. Default: 1800000", DURATION(host_timeout_ms)},
    {"--write-timeout-ms", NULL, "MS", "for a peer that does not read. Default: 15000", DURATION(write_timeout_ms)},
    {"--introduction-gap-ms", NULL, "MS", "between two introductions to one host; 0: none. Default: 50",
     take_number, offsetof(settings, master.introduction_gap_ms), 1, GMPUNCH_NEVER - 1, "0"},
};
/* clang-format on */

#define OPTION_COUNT (sizeof options / sizeof options[0])

static void print_help(FILE *to) {
    size_t i;
    fprintf(to, "usage: gatepunch [OPTION ...]\n"
                "A master for GMnet PUNCH and gmpunch: it introduces players to each other and lists the hosts.\n");
    for (i = 0; i < OPTION_COUNT; i++) {
        const option *o = &options[i];
        char left[64];
        if (!o->name) {
            fprintf(to, "\n%s:\n", o->help);
            continue;
        }
        snprintf(left, sizeof left, "%s%s%s%s%s", o->letter ? o->letter : "", o->letter ? ", " : "", o->name,
                 o->value ? " " : "", o->value ? o->value : "");
        fprintf(to, "  %-32s %s\n", left, o->help);
    }
    fprintf(to,
            "\n"
            "--name=value and --name value are the same. Signals: SIGTERM and SIGINT (Ctrl-C) stop it, SIGHUP opens the\n"
            "log file anew, SIGUSR1 writes the counters. Windows has only Ctrl-C, Ctrl-Break and the end of the session.\n"
            "Exit codes: 0 stopped, 1 failed, 2 bad option, 3 port in use, 4 not permitted, 5 an address that is not of\n"
            "this machine, 6 the log file can't be opened.\n");
}

static int wrong_usage(const char *word, const char *what) {
    fprintf(stderr, "gatepunch: %s%s\nTry: gatepunch --help\n", word, what);
    return EXIT_USAGE;
}

static int wrong_value(const option *o, const char *expected, const char *value) {
    fprintf(stderr, "gatepunch: %s needs %s", o->name, expected);
    if (o->maximum) fprintf(stderr, " from %lu to %lu", (unsigned long)o->minimum, (unsigned long)o->maximum);
    if (o->never) fprintf(stderr, " or %s", o->never);
    fprintf(stderr, ", not '%s'\nTry: gatepunch --help\n", value);
    return EXIT_USAGE;
}

/* The option that a word begins with, NULL if there is none. *len: of its name. */
static const option *find_option(const char *word, size_t *len) {
    size_t i;
    *len = strcspn(word, "=");
    for (i = 0; i < OPTION_COUNT; i++) {
        const option *o = &options[i];
        if (o->name && strlen(o->name) == *len && memcmp(o->name, word, *len) == 0) return o;
        if (o->letter && strlen(o->letter) == *len && memcmp(o->letter, word, *len) == 0) return o;
    }
    return NULL;
}

/* Returns GOES_ON or an exit code. */
static int read_options(settings *s, int argc, char **argv) {
    int i;
    for (i = 1; i < argc; i++) {
        size_t len;
        const option *o = find_option(argv[i], &len);
        const char *value = argv[i][len] == '=' ? argv[i] + len + 1 : NULL;
        const char *expected;
        if (!o) return wrong_usage(argv[i], ": unknown option");
        if (!o->value && value) return wrong_usage(o->name, " takes no value");
        /* A value that begins with two dashes is given as --option=value; as a word of its own it is the next option. */
        if (o->value && !value && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0) value = argv[++i];
        if (o->value && !value) return wrong_usage(o->name, " needs a value");
        expected = o->take(s, o, value);
        if (expected) return wrong_value(o, expected, value);
    }
    if (s->wants_help) {
        print_help(stdout);
    } else if (s->wants_version) {
        printf("gatepunch %s (protocol %s)\n", gmpunch_version_string(), GMPUNCH_MASTER_PROTOCOL_VERSION);
    } else {
        return GOES_ON;
    }
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- signals ---- */

static volatile sig_atomic_t stop_asked, reopen_asked, stats_asked;

#if defined(_WIN32)
static BOOL WINAPI on_console_event(DWORD event) {
    stop_asked = 1;
    /* Returning from a close, logoff or shutdown ends the process at once: main is given the time to do it in order. */
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) Sleep(5000);
    return TRUE;
}

static void catch_signals(void) { SetConsoleCtrlHandler(on_console_event, TRUE); }
#else
static void on_signal(int number) {
    if (number == SIGHUP) reopen_asked = 1;
    else if (number == SIGUSR1) stats_asked = 1;
    else stop_asked = 1;
}

static void catch_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART; /* a signal is no reason for a line of the log to fail */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = SIG_IGN; /* a reader of stdout that went away must not end the service */
    sigaction(SIGPIPE, &action, NULL);
}
#endif

/* ---- the log ---- */

/* Where lines go. */
typedef struct sink {
    FILE *file; /* unbuffered; NULL: nowhere */
    const char *name;
    int32_t level;
    int failed; /* and people were told */
    int torn;   /* the last line is there in part */
} sink;

typedef struct service {
    settings set;
    gmpunch_master *master;
    uint64_t started;
    sink console, log;
    char line[LINE_SIZE];
    size_t len;
    int32_t level;         /* of the line that is being written */
    uint64_t second_ends;  /* the second in which lines are counted, for log_rate */
    uint32_t lines;        /* in it */
    uint64_t lines_held;   /* since that was last told */
    uint64_t lines_missed; /* ever: held back by log_rate, or not taken by a sink */
} service;

/* Whether a line can be written without waiting: a reader of a pipe that stalls must not stall the service. */
static int takes_a_line(FILE *file) {
#if defined(_WIN32)
    (void)file;
    return 1;
#else
    struct pollfd one;
    one.fd = fileno(file);
    one.events = POLLOUT;
    one.revents = 0;
    return poll(&one, 1, 0) == 1 && (one.revents & (POLLOUT | POLLERR | POLLHUP)) != 0;
#endif
}

/* Tells people of what the log can't. */
static void complain(const char *what, const char *name, int error) {
    if (takes_a_line(stderr)) fprintf(stderr, "gatepunch: %s %s: %s\n", what, name, strerror(error));
}

static void write_to(service *s, sink *to) {
    size_t written = 0;
    if (!to->file || s->level > to->level) return;
    errno = EAGAIN;
    if (takes_a_line(to->file)) {
        if (to->torn) fputc('\n', to->file);
        written = fwrite(s->line, 1, s->len, to->file);
        to->torn = written > 0 && written < s->len;
    }
    if (written == s->len) return;
    s->lines_missed++;
    if (!to->failed) complain("lines of the log are missing, cannot write to", to->name, errno);
    to->failed = 1;
}

static int is_logged(const service *s, int32_t level) {
    return level <= s->console.level || (s->log.file && level <= s->log.level);
}

/* The lines below are put together from these; what does not fit is left out, and nothing here gets that long. */
static void put(service *s, const char *text, size_t len) {
    if (len > sizeof s->line - s->len) return;
    memcpy(s->line + s->len, text, len);
    s->len += len;
}

static void put_text(service *s, const char *text) { put(s, text, strlen(text)); }

/* The next character of UTF-8 text; *size becomes its bytes. What is no UTF-8 is U+FFFD. */
static uint32_t next_character(const unsigned char *text, size_t *size) {
    uint32_t code = text[0];
    size_t wanted = code < 0x80 ? 1 : code < 0xc2 ? 0 : code < 0xe0 ? 2 : code < 0xf0 ? 3 : code < 0xf5 ? 4 : 0;
    size_t i;
    *size = 1;
    if (wanted == 0) return 0xfffd;
    if (wanted > 1) code &= 0x7fu >> wanted;
    for (i = 1; i < wanted; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0xfffd; /* also at the NUL that ends the text */
        code = code << 6 | (text[i] & 0x3fu);
    }
    if ((wanted == 3 && code < 0x800) || (wanted == 4 && (code < 0x10000 || code > 0x10ffff))) return 0xfffd;
    if (code >= 0xd800 && code <= 0xdfff) return 0xfffd;
    *size = wanted;
    return code;
}

/* A JSON string, of ASCII alone: nothing in it moves a cursor, ends a line or turns the direction of writing. */
static void put_quoted(service *s, const char *text) {
    char escape[16];
    size_t size;
    put(s, "\"", 1);
    for (; *text != '\0'; text += size) {
        uint32_t code = next_character((const unsigned char *)text, &size);
        if (code == '"' || code == '\\') put(s, "\\", 1);
        if (code >= 0x20 && code < 0x7f) {
            put(s, text, 1);
            continue;
        }
        if (code >= 0x10000) { /* as two surrogates */
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(0xd800 + ((code - 0x10000) >> 10 & 0x3ff)));
            put_text(s, escape);
            code = 0xdc00 + (code & 0x3ff);
        }
        snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(code & 0xffff));
        put_text(s, escape);
    }
    put(s, "\"", 1);
}

/* ` key=` or `,"key":` */
static void put_key(service *s, const char *key) {
    put_text(s, s->set.json ? ",\"" : " ");
    put_text(s, key);
    put_text(s, s->set.json ? "\":" : "=");
}

static void put_field(service *s, const char *key, const char *value) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,:[]%";
    put_key(s, key);
    if (!s->set.json && *value != '\0' && value[strspn(value, plain)] == '\0') put_text(s, value);
    else put_quoted(s, value);
}

static void put_number(service *s, const char *key, uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + (char)(value % 10));
        value /= 10;
    } while (value);
    put_key(s, key);
    put(s, digits + at, sizeof digits - at);
}

static void put_address(service *s, const char *key, const gmpunch_address *address) {
    char text[GMPUNCH_ADDRESS_TEXT_SIZE];
    gmpunch_address_format(address, text, sizeof text);
    put_field(s, key, text);
}

/* Now, as RFC 3339 has it: 2001-02-03T04:05:06.789Z */
static void put_time(service *s) {
    char text[80];
#if defined(_WIN32)
    SYSTEMTIME now;
    GetSystemTime(&now);
    snprintf(text, sizeof text, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", now.wYear, now.wMonth, now.wDay, now.wHour,
             now.wMinute, now.wSecond, now.wMilliseconds);
#else
    struct timespec now;
    struct tm parts;
    char seconds[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, sizeof text, "%s.%03uZ", seconds, (unsigned)(now.tv_nsec / 1000000));
#endif
    put_text(s, text);
}

static void begin_line(service *s, int32_t level, const char *item) {
    s->level = level;
    s->len = 0;
    put_text(s, s->set.json ? "{\"time\":\"" : "");
    put_time(s);
    put_text(s, s->set.json ? "\",\"level\":\"" : " ");
    put_text(s, level_names[level]);
    put_text(s, s->set.json ? "\",\"item\":\"" : " ");
    put_text(s, item);
    put_text(s, s->set.json ? "\"" : "");
}

static void end_line(service *s) {
    put_text(s, s->set.json ? "}\n" : "\n");
    write_to(s, &s->log); /* before the console: who sees a line there finds it in the file */
    write_to(s, &s->console);
}

/* Begins a line about what the network did, unless nobody wants it or there were too many in this second. */
static int begin_network_line(service *s, int32_t level, const char *item) {
    uint64_t now;
    if (!is_logged(s, level)) return 0;
    now = gmpunch_now();
    if (now >= s->second_ends) {
        s->second_ends = now + 1000;
        s->lines = 0;
        if (s->lines_held) {
            begin_line(s, GMPUNCH_LOG_WARNING, "held_back");
            put_number(s, "lines", s->lines_held);
            end_line(s);
            s->lines_held = 0;
        }
    }
    if (s->lines >= s->set.log_rate) {
        s->lines_held++;
        s->lines_missed++;
        return 0;
    }
    s->lines++;
    begin_line(s, level, item);
    return 1;
}

/* What the library tells beside its events. The address of a line, if there is one, is its last word. */
static void on_log(void *user, int32_t level, int32_t item, const char *text) {
    service *s = (service *)user;
    const char *word = strrchr(text, ' ');
    const char *name = "library";
    gmpunch_address address;
    char rest[256];
    int has_address = word && gmpunch_address_parse(word + 1, 0, &address) == GMPUNCH_OK;
    size_t len = has_address ? (size_t)(word - text) : strlen(text);
    switch (item) {
    case GMPUNCH_LOG_ITEM_PEER:
    case GMPUNCH_LOG_ITEM_INTRODUCTION: return; /* the events say it better */
    case GMPUNCH_LOG_ITEM_REFUSED: name = "refused"; break;
    case GMPUNCH_LOG_ITEM_MALFORMED: name = "malformed"; break;
    case GMPUNCH_LOG_ITEM_SOCKET: name = "socket"; break;
    default: break;
    }
    if (!begin_network_line(s, level, name)) return;
    if (len && text[len - 1] == ':') len--;
    if (len >= sizeof rest) len = sizeof rest - 1;
    memcpy(rest, text, len);
    rest[len] = '\0';
    put_field(s, "text", rest);
    if (has_address && s->set.log_level >= GMPUNCH_LOG_INFO) put_address(s, "address", &address);
    end_line(s);
}

static void log_event(service *s, const gmpunch_event *event) {
    if (!begin_network_line(s, GMPUNCH_LOG_INFO, gmpunch_event_name(event->type))) return;
    switch (event->type) {
    case GMPUNCH_EVENT_INTRODUCTION:
        put_address(s, "client", &event->address);
        put_address(s, "host", &event->other);
        break;
    case GMPUNCH_EVENT_NOT_FOUND:
        put_address(s, "client", &event->address);
        put_address(s, "asked", &event->other);
        break;
    default:
        put_address(s, "address", &event->address);
        if (event->reason) put_field(s, "reason", gmpunch_reason_name(event->reason));
        break;
    }
    end_line(s);
}

/* level: from which on it is written. */
static void log_counters(service *s, const char *item, int32_t level) {
    gmpunch_master_stats stats = {0};
    gmpunch_master_get_stats(s->master, &stats);
    begin_line(s, GMPUNCH_LOG_INFO, item);
    s->level = level;
    put_number(s, "uptime", (gmpunch_now() - s->started) / 1000);
    put_number(s, "connections", stats.connections);
    put_number(s, "hosts", stats.hosts);
    put_number(s, "listed", stats.listed);
    put_number(s, "waiting", stats.requests);
    put_number(s, "ports", stats.ports);
    put_number(s, "memory", stats.memory);
    put_number(s, "data_bytes", stats.data_bytes);
    put_number(s, "lobby_bytes", stats.lobby_bytes);
    put_number(s, "accepted", stats.accepted);
    put_number(s, "registrations", stats.registrations);
    put_number(s, "requested", stats.requested);
    put_number(s, "introductions", stats.introductions);
    put_number(s, "portless", stats.portless);
    put_number(s, "not_found", stats.not_found);
    put_number(s, "lobby_requests", stats.lobby_requests);
    put_number(s, "lobby_built", stats.lobby_built);
    put_number(s, "lobby_truncated", stats.lobby_truncated);
    put_number(s, "tcp_bytes_in", stats.tcp_bytes_in);
    put_number(s, "tcp_bytes_out", stats.tcp_bytes_out);
    put_number(s, "udp_bytes_in", stats.udp_bytes_in);
    put_number(s, "udp_received", stats.udp_received);
    put_number(s, "udp_ignored", stats.udp_ignored);
    put_number(s, "lines_ignored", stats.lines_ignored);
    put_number(s, "refused_connections", stats.refused_connections);
    put_number(s, "refused_connections_ip", stats.refused_connections_ip);
    put_number(s, "refused_connections_subnet", stats.refused_connections_subnet);
    put_number(s, "refused_connections_waiting", stats.refused_connections_waiting);
    put_number(s, "refused_commands", stats.refused_commands);
    put_number(s, "refused_ports", stats.refused_ports);
    put_number(s, "refused_requests", stats.refused_requests);
    put_number(s, "refused_messages", stats.refused_messages);
    put_number(s, "refused_memory", stats.refused_memory);
    put_number(s, "refused_data", stats.refused_data);
    put_number(s, "refused_lobby", stats.refused_lobby);
    put_number(s, "closed_line", stats.closed_line);
    put_number(s, "closed_command", stats.closed_command);
    put_number(s, "closed_idle", stats.closed_idle);
    put_number(s, "closed_host", stats.closed_host);
    put_number(s, "closed_write", stats.closed_write);
    put_number(s, "closed_version", stats.closed_version);
    put_number(s, "closed_full", stats.closed_full);
    put_number(s, "events_dropped", stats.events_dropped);
    put_number(s, "lines_missed", s->lines_missed);
    end_line(s);
}

/* Opens the log file, or opens it anew. If that fails, the one that was open stays. */
static int open_log(service *s) {
    FILE *file;
    if (!s->set.log_path) return GOES_ON;
    file = fopen(s->set.log_path, "a");
    if (!file) {
        complain("cannot open", s->set.log_path, errno);
        return EXIT_LOG;
    }
    setvbuf(file, NULL, _IONBF, 0); /* a line is there once it is written */
    if (s->log.file) fclose(s->log.file);
    s->log.file = file;
    s->log.name = s->set.log_path;
    s->log.level = s->set.log_level;
    s->log.failed = 0;
    s->log.torn = 0;
    return GOES_ON;
}

/* ---- start ---- */

/* Sees to it that there are descriptors for max_connections, or lowers it to what there are. */
static void fit_descriptors(service *s) {
#if defined(_WIN32)
    (void)s; /* no such limit */
#else
    uint32_t wanted = s->set.master.max_connections;
    rlim_t needed = (rlim_t)wanted + SPARE_DESCRIPTORS;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    if (limit.rlim_max < needed) { /* more than that only root gets, and not everywhere */
        struct rlimit raised;
        raised.rlim_cur = raised.rlim_max = needed;
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    }
    if (limit.rlim_cur < needed && limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = limit;
        raised.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    }
    if (limit.rlim_cur >= needed) return;
    s->set.master.max_connections = limit.rlim_cur > SPARE_DESCRIPTORS ? (uint32_t)(limit.rlim_cur - SPARE_DESCRIPTORS) : 1;
    begin_line(s, GMPUNCH_LOG_WARNING, "limits");
    put_field(s, "text", "max-connections lowered: the system allows no more descriptors");
    put_number(s, "descriptors", (uint64_t)limit.rlim_cur);
    put_number(s, "connections", s->set.master.max_connections);
    put_number(s, "wanted", wanted);
    end_line(s);
#endif
}

static int failed_to_open(const service *s, int32_t result, int32_t os_error) {
    const char *advice = "";
    int code = EXIT_FAILURE;
    switch (result) {
    case GMPUNCH_ERR_ADDRESS_IN_USE:
        advice = "\nIs another master running? --port N takes another port.";
        code = EXIT_IN_USE;
        break;
    case GMPUNCH_ERR_ACCESS:
        advice = "\nLow ports need a privilege (on Linux CAP_NET_BIND_SERVICE); 6510 does not.";
        code = EXIT_NOT_PERMITTED;
        break;
    case GMPUNCH_ERR_ADDRESS_NOT_HERE:
        advice = "\n--bind takes addresses of this machine. Behind a NAT leave it out.";
        code = EXIT_NOT_HERE;
        break;
    default: break;
    }
    fprintf(stderr, "gatepunch: cannot serve on %s port %lu: %s", s->set.bind[0] ? s->set.bind : "any address",
            (unsigned long)s->set.port, gmpunch_strerror(result));
    if (os_error) fprintf(stderr, " (os error %ld)", (long)os_error);
    fprintf(stderr, "%s\n", advice);
    return code;
}

static void log_ready(service *s) {
    char addresses[GMPUNCH_MASTER_MAX_BINDS * GMPUNCH_ADDRESS_TEXT_SIZE] = "";
    gmpunch_address address;
    uint32_t i;
    for (i = 0; gmpunch_master_local_address(s->master, i, &address) == GMPUNCH_OK; i++) {
        char one[GMPUNCH_ADDRESS_TEXT_SIZE];
        gmpunch_address_format(&address, one, sizeof one);
        if (i) strcat(addresses, ",");
        strcat(addresses, one);
    }
    begin_line(s, GMPUNCH_LOG_INFO, "ready");
    put_field(s, "role", "master");
    put_field(s, "udp", addresses);
    put_field(s, "tcp", addresses);
    put_number(s, "connections", s->set.master.max_connections);
    put_field(s, "lobby", s->set.master.no_lobby && !s->set.master.testing ? "off" : "on");
    if (s->set.master.testing) put_field(s, "testing", s->set.master.name ? s->set.master.name : "gmpunch");
    put_field(s, "version", gmpunch_version_string());
    end_line(s);
}

/* Tells systemd (Type=notify) that hosts can register now. */
static void notify_systemd(void) {
#if !defined(_WIN32)
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    size_t len = path ? strlen(path) : 0;
    int fd;
    if (len == 0 || len >= sizeof address.sun_path) return;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') address.sun_path[0] = '\0'; /* an abstract name, as Linux has them */
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0) return;
    if (sendto(fd, "READY=1", 7, 0, (const struct sockaddr *)(const void *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
        complain("cannot notify", path, errno);
    close(fd);
#endif
}

/* ---- service ---- */

static int start(service *s) {
    gmpunch_master_config *config = &s->set.master;
    int32_t os_error = 0;
    int32_t result;
    int code;
    setvbuf(stdout, NULL, _IONBF, 0);
    s->console.file = stdout;
    s->console.name = "stdout";
    s->console.level = s->set.quiet ? GMPUNCH_LOG_ERROR : s->set.log_level;
    code = open_log(s);
    if (code != GOES_ON) return code;
    fit_descriptors(s);
    config->bind_address = s->set.bind[0] ? s->set.bind : NULL;
    config->port = (uint16_t)s->set.port;
    config->any_port = s->set.port == 0;
    config->log = on_log;
    config->log_user = s;
    config->os_error = &os_error;
    result = gmpunch_master_open(config, &s->master);
    if (result != GMPUNCH_OK) return failed_to_open(s, result, os_error);
    s->started = gmpunch_now();
    log_ready(s);
    notify_systemd();
    return GOES_ON;
}

static int serve(service *s) {
    int wants_events = is_logged(s, GMPUNCH_LOG_INFO);
    uint64_t interval = (uint64_t)s->set.stats_seconds * 1000;
    uint64_t next_stats = interval ? s->started + interval : UINT64_MAX;
    while (!stop_asked) {
        gmpunch_event event;
        int32_t result = gmpunch_master_poll(s->master, wants_events ? &event : NULL, WAIT_MS);
        if (result < 0) {
            fprintf(stderr, "gatepunch: %s\n", gmpunch_strerror(result));
            return EXIT_FAILURE;
        }
        if (result > 0) log_event(s, &event);
        if (reopen_asked) {
            reopen_asked = 0;
            if (s->set.log_path && open_log(s) == GOES_ON) {
                begin_line(s, GMPUNCH_LOG_INFO, "log_reopened");
                end_line(s);
            }
        }
        if (stats_asked || gmpunch_now() >= next_stats) {
            if (!stats_asked) next_stats += interval;
            stats_asked = 0;
            log_counters(s, "stats", GMPUNCH_LOG_ERROR); /* asked for, so also where only errors are wanted */
        }
    }
    log_counters(s, "stopped", GMPUNCH_LOG_INFO);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    static service s; /* zeroed; too large for some stacks */
    int code;
    s.set.port = GMPUNCH_DEFAULT_PORT;
    s.set.log_level = GMPUNCH_LOG_INFO;
    s.set.log_rate = 100;
    s.set.master.max_connections = 65536;
    code = read_options(&s.set, argc, argv);
    if (code != GOES_ON) return code;
    catch_signals();
    code = start(&s);
    if (code == GOES_ON) code = serve(&s);
    gmpunch_master_close(s.master);
    if (s.log.file) fclose(s.log.file);
    return code;
}
