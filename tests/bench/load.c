/* load - hosts, clients and lobbies for a master on this machine, and what it made of them   (Linux)

     load --server IP:PORT --pid PID [--hosts N] [--data BYTES] [--rare N] [--idle SECONDS] [--introductions N]
          [--hostile N] [--lobbies N] [--filter TEXT] [--limit N] [--at-once N] [--reuse] [--floor]

   In this order: registers N hosts; lets SECONDS pass, and again while the hosts send their signs of life; opens connections
   that do harm: N silent ones, N with half a line and a few that never read; asks for introductions; asks for lists. What is
   0 is left out. Each host and client has a loopback address of its own. Every answer, and every introduction that a host is
   told of, is compared with what it must be; with --floor only counted. The last line is JSON; times of the server's
   processor are of process PID. Exit codes: 0, 1 something was wrong or missing, 2 wrong usage. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FIRST_HOST 0x7f100001u    /* 127.16.0.1 */
#define FIRST_CLIENT 0x7f800001u  /* 127.128.0.1 */
#define FIRST_HOSTILE 0x7f400001u /* 127.64.0.1 */
#define REPEAT_NS 250000000u      /* a client announces its port again until it is answered */
#define STALL_NS 20000000000u     /* without any progress */

enum {
    PORTS = 128, /* UDP sockets: each request of an address uses the next. A master that remembers the last 64 ports of an
                    address has forgotten one by the time that it comes again */
    CLIENTS = 16384, /* addresses, used in turn: the port that a closed connection leaves behind is not needed again soon */
    TOLD = 8,        /* introductions of one client that hosts can still be waiting to hear of */
    DEAFS = 8,       /* of the hostile */
    HOSTILE_PER_ADDRESS = 100, /* each address is in a subnet of its own */
    HOSTILE_AT_ONCE = 50,      /* opened again in a fortieth of a second */
    KEPT = 4096,               /* connections that take turns with --reuse: each address asks seldom, as players do */
    WINDOW = 64,               /* registrations at once */
    MAX_DATA = 1000,           /* bytes of a string: the longest line is 1024 */
    FLOOR_ANSWER = 21,         /* what the floor says to a client and to a host */
    EVENTS = 512
};

enum { HOST, CLIENT, LOBBY, SILENT, HALF, DEAF };

typedef struct peer {
    int fd;
    int kind;
    uint32_t number; /* of a host or client */
    uint32_t host;   /* that a client asked for */
    uint32_t port;   /* of a client: number of the UDP socket */
    int busy;        /* it waits for an answer */
    uint64_t asked;  /* when, ns */
    uint64_t announced;
    size_t len;       /* of bytes, or of the list so far */
    uint32_t entries; /* of it */
    char bytes[48];   /* an unfinished message */
} peer;

static struct sockaddr_in server;
static int udp[PORTS], epoll;
static uint16_t udp_port[PORTS];
static long pid;
static uint32_t hosts, at_once = 1, lobby_entries;
static int reuse, is_floor;
static size_t data_bytes = 16;
static const char *lobby_filter = "", *lobby_limit = "";
static uint32_t rare; /* hosts that the filter "rare" finds: the others' first string is "many" */

static peer *host; /* hosts of them */
static struct {
    uint32_t host; /* number + 1 of one that must be told of this client; 0: none */
    uint32_t port;
} told[CLIENTS][TOLD];
static uint32_t next_port[CLIENTS];

static peer *peers; /* clients or lobbies: at_once of them, or with reuse KEPT */
static uint32_t peer_count, next_peer;
static peer *hostile;
static uint32_t hostile_count;
static uint32_t next_client;

static uint32_t wanted, begun, done; /* of the registrations or requests */
static uint64_t untold;              /* introductions that hosts still have to hear of */
static uint64_t wrong, missing, repeated, refused, reopened;
static uint64_t *latency; /* of done, ns */
static uint64_t list_bytes;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t random_number(void) { /* xorshift64*: the same hosts in each run */
    static uint64_t state = 88172645463325252u;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717u;
}

/* ---- the server's process ---- */

static uint64_t cpu_ns(void) {
    char path[64];
    unsigned long long ns = 0;
    FILE *file;
    snprintf(path, sizeof path, "/proc/%ld/schedstat", pid);
    file = fopen(path, "r");
    if (!file || fscanf(file, "%llu", &ns) != 1) die(path);
    fclose(file);
    return ns;
}

static long rss_bytes(void) {
    char path[64];
    long pages = 0;
    FILE *file;
    snprintf(path, sizeof path, "/proc/%ld/statm", pid);
    file = fopen(path, "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1) die(path);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* ---- messages ---- */

/* From UDP socket `port`, with GameMaker's header. */
static void announce(uint32_t ip, uint32_t port, const char *text, uint8_t len) {
    uint8_t bytes[32] = {0xde, 0xc0, 0xad, 0xde, 12, 0, 0, 0, len, 0, 0, 0};
    char control[CMSG_SPACE(sizeof(struct in_pktinfo))] = {0};
    struct iovec part = {bytes, 12u + len};
    struct msghdr message = {&server, sizeof server, &part, 1, control, sizeof control, 0};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    struct in_pktinfo *info = (struct in_pktinfo *)(void *)CMSG_DATA(header);
    memcpy(bytes + 12, text, len);
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof *info);
    info->ipi_spec_dst.s_addr = htonl(ip);
    if (sendmsg(udp[port], &message, 0) < 0) die("sendmsg");
}

static void say(const peer *p, const char *bytes, size_t len) {
    if (send(p->fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len && p->kind < SILENT) die("send");
}

/* FF ip NUL port NUL. Returns its length. */
static size_t found(char *out, uint32_t ip, uint16_t port) {
    int len = sprintf(out, "\xff%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255) + 1;
    return (size_t)(len + sprintf(out + len, "%u", port) + 1);
}

static uint32_t address_of(const peer *p) {
    if (p->kind == HOST) return FIRST_HOST + p->number;
    if (p->kind >= SILENT) return FIRST_HOSTILE + p->number / HOSTILE_PER_ADDRESS * 256;
    return FIRST_CLIENT + p->number;
}

static void open_peer(peer *p) {
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct epoll_event event = {.events = p->kind == DEAF ? EPOLLRDHUP : EPOLLIN, .data.ptr = p};
    int one = 1;
    from.sin_addr.s_addr = htonl(address_of(p));
    p->len = 0;
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->fd < 0) die("socket");
    setsockopt(p->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(p->fd, (struct sockaddr *)&from, sizeof from)) die("bind");
    /* Does not wait for the server: the system accepts what the backlog has room for. */
    if (connect(p->fd, (struct sockaddr *)&server, sizeof server) && p->kind < SILENT) die("connect");
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &event)) die("epoll_ctl");
}

/* ---- hosts ---- */

static void register_host(uint32_t number) {
    peer *p = &host[number];
    char text[9 * MAX_DATA];
    size_t len = 0, first = data_bytes < 4 ? data_bytes : 4;
    int i;
    p->kind = HOST;
    p->number = number;
    open_peer(p);
    announce(FIRST_HOST + number, number % PORTS, "reg\n", 5);
    /* First "reg", as a gmpunch host does: it reads a stream. The answer to "version" says that all before was read. */
    len += (size_t)sprintf(text + len, "reg\n%creg2\n%c1.2.4\n%c", 0, 0, 0);
    for (i = 1; i <= 8; i++) {
        memset(text + len, 'x', data_bytes);
        if (i == 1) memcpy(text + len, number < rare ? "rare" : "many", first);
        len += i == 1 ? first : data_bytes;
        text[len++] = '\n';
        text[len++] = '\0';
    }
    memcpy(text + len, "version\n", 9);
    say(p, text, len + 9);
    p->busy = 1;
}

static void host_registered(peer *p) {
    p->busy = 0;
    done++;
    if (begun < wanted) register_host(begun++);
}

/* FF ip NUL port NUL: the client must have asked for this host. */
static void host_told(const peer *p, const char *message, size_t len) {
    unsigned a, b, c, d;
    uint32_t client, i;
    char expected[sizeof p->bytes];
    if (is_floor) {
        untold--;
        return;
    }
    if (sscanf(message + 1, "%u.%u.%u.%u", &a, &b, &c, &d) == 4) {
        client = (a << 24 | b << 16 | c << 8 | d) - FIRST_CLIENT;
        for (i = 0; client < CLIENTS && i < TOLD; i++) {
            if (told[client][i].host != p->number + 1 ||
                found(expected, FIRST_CLIENT + client, udp_port[told[client][i].port]) != len ||
                memcmp(expected, message, len) != 0)
                continue;
            told[client][i].host = 0;
            untold--;
            return;
        }
    }
    wrong++;
}

/* Takes the message at the beginning of p->bytes, 0 if it is not whole. */
static size_t take_host_message(peer *p) {
    const char *end;
    size_t len;
    if (p->bytes[0] == '\xf6') {
        end = memchr(p->bytes, '\n', p->len);
        if (end) host_registered(p);
        return end ? (size_t)(end - p->bytes) + 1 : 0;
    }
    if (p->bytes[0] != '\xff') {
        wrong++;
        return 1;
    }
    end = memchr(p->bytes, 0, p->len);
    if (end) end = memchr(end + 1, 0, p->len - (size_t)(end + 1 - p->bytes));
    if (!end) return 0;
    len = (size_t)(end - p->bytes) + 1;
    host_told(p, p->bytes, len);
    return len;
}

static void read_host(peer *p) {
    ssize_t got;
    size_t len;
    do {
        size_t room = sizeof p->bytes - p->len;
        got = recv(p->fd, p->bytes + p->len, room, MSG_DONTWAIT);
        if (got <= 0) {
            if (got == 0 || errno != EAGAIN) die("a host's connection ended");
            return;
        }
        p->len += (size_t)got;
        while (p->len && (len = take_host_message(p)) != 0) {
            p->len -= len;
            memmove(p->bytes, p->bytes + len, p->len);
        }
        if ((size_t)got < room) return;
    } while (1);
}

/* ---- requests ---- */

static void request_introduction(peer *p) {
    char text[64];
    int len, i = 0;
    uint32_t ip;
    p->host = (uint32_t)(random_number() % hosts);
    p->port = next_port[p->number]++ % PORTS;
    ip = FIRST_HOST + p->host;
    while (i < TOLD - 1 && told[p->number][i].host) i++;
    if (told[p->number][i].host) missing++;
    if (!is_floor) told[p->number][i].host = p->host + 1;
    told[p->number][i].port = p->port;
    untold++;
    announce(FIRST_CLIENT + p->number, p->port, "connect\n", 9);
    if (p->fd < 0) open_peer(p);
    len = sprintf(text, "connect\n%c%u.%u.%u.%u\n%c", 0, ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255, 0);
    say(p, text, (size_t)len);
}

static void request_list(peer *p) {
    char text[256];
    size_t len = 0;
    int i;
    p->entries = 0;
    if (p->fd < 0) open_peer(p);
    len += (size_t)sprintf(text, "lobby2\n%c%s\n%c", 0, lobby_filter, 0);
    for (i = 2; i <= 8; i++) len += (size_t)sprintf(text + len, "\n%c", 0);
    len += (size_t)sprintf(text + len, "date\n%cDESC\n%c%s\n%c", 0, 0, lobby_limit, 0);
    say(p, text, len);
}

static void request(peer *p) {
    begun++;
    if (p->fd < 0) p->number = next_client++ % CLIENTS;
    p->busy = 1;
    p->asked = p->announced = now_ns();
    if (p->kind == CLIENT) request_introduction(p);
    else request_list(p);
}

static void hang_up(peer *p) {
    close(p->fd);
    p->fd = -1;
}

static peer *idle_peer(void) {
    do { next_peer = (next_peer + 1) % peer_count; } while (peers[next_peer].busy);
    return &peers[next_peer];
}

/* Done with a request, whatever the answer was. */
static void finish(peer *p) {
    latency[done++] = now_ns() - p->asked;
    p->busy = 0;
    p->len = 0;
    if (!reuse && p->fd >= 0) hang_up(p);
    if (begun < wanted) request(reuse ? idle_peer() : p);
}

/* The server closed the connection or says that there is no such host. */
static void was_refused(peer *p) {
    int i = 0;
    refused++;
    hang_up(p);
    if (!p->busy) return;
    while (p->kind == CLIENT && i < TOLD && told[p->number][i].host != p->host + 1) i++;
    if (p->kind == CLIENT && i < TOLD) {
        told[p->number][i].host = 0;
        untold--;
    }
    finish(p);
}

static void read_client(peer *p) {
    char expected[sizeof p->bytes];
    size_t len = is_floor ? FLOOR_ANSWER : found(expected, FIRST_HOST + p->host, udp_port[p->host % PORTS]);
    ssize_t got = recv(p->fd, p->bytes + p->len, sizeof p->bytes - p->len, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0 || !p->busy || p->bytes[0] != '\xff') {
        was_refused(p);
        return;
    }
    p->len += (size_t)got;
    if (p->len < len) return;
    if (!is_floor && (p->len != len || memcmp(p->bytes, expected, len) != 0)) wrong++;
    finish(p);
}

static void read_list(peer *p) {
    static char bytes[1 << 18];
    ssize_t got;
    const char *at;
    do {
        got = recv(p->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0 || !p->busy || (!p->len && bytes[0] != '\xf9')) {
            was_refused(p);
            return;
        }
        p->len += (size_t)got;
        for (at = bytes; !is_floor && (at = memchr(at, '{', (size_t)(bytes + got - at))) != NULL; at++) p->entries++;
    } while (bytes[got - 1] != '\n');
    if (!is_floor && p->entries != lobby_entries) wrong++;
    list_bytes = p->len;
    finish(p);
}

/* ---- the hostile ---- */

static void be_hostile(peer *p) {
    open_peer(p);
    if (p->kind == HALF) say(p, "half a li", 9);
    if (p->kind == DEAF) request_list(p);
}

/* So many that say nothing, so many in the middle of a line, and a few that ask for lists and never read them. */
static void open_hostile(uint32_t count) {
    uint32_t i;
    hostile_count = 2 * count + DEAFS;
    hostile = calloc(hostile_count, sizeof *hostile);
    if (!hostile) die("calloc");
    for (i = 0; i < hostile_count; i++) {
        hostile[i].kind = i < count ? SILENT : i < 2 * count ? HALF : DEAF;
        hostile[i].number = i;
        be_hostile(&hostile[i]);
    }
}

/* Those that the server closed come back. */
static void reopen_hostile(void) {
    uint32_t i, opened = 0;
    for (i = 0; i < hostile_count && opened < HOSTILE_AT_ONCE; i++) {
        if (hostile[i].fd >= 0) continue;
        be_hostile(&hostile[i]);
        opened++;
    }
    reopened += opened;
}

/* ---- all together ---- */

static uint64_t progress(void) { return done + refused + wrong - untold; }

/* Handles what arrives until all requests are done and all hosts were told, or nothing happens any more. */
static void run(void) {
    uint64_t moved = now_ns(), before = progress(), looked = 0;
    while (done < wanted || untold) {
        struct epoll_event ready[EVENTS];
        int count = epoll_wait(epoll, ready, EVENTS, 50), i;
        uint64_t now;
        for (i = 0; i < count; i++) {
            peer *p = ready[i].data.ptr;
            if (p->fd < 0) continue; /* it was closed in this round */
            if (p->kind == HOST) read_host(p);
            else if (p->kind == CLIENT) read_client(p);
            else if (p->kind == LOBBY) read_list(p);
            else hang_up(p); /* the server closed it */
        }
        now = now_ns();
        if (progress() != before) {
            before = progress();
            moved = now;
        }
        if (now - moved > (done < wanted ? STALL_NS : STALL_NS / 10)) break;
        if (now - looked < REPEAT_NS / 10) continue;
        looked = now;
        reopen_hostile();
        for (i = 0; (uint32_t)i < peer_count; i++) {
            peer *p = &peers[i];
            if (p->kind != CLIENT || !p->busy || now - p->announced < REPEAT_NS) continue;
            announce(FIRST_CLIENT + p->number, p->port, "connect\n", 9);
            p->announced = now;
            repeated++;
        }
    }
    missing += wanted - done + untold;
    untold = 0;
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void measure_requests(int kind, uint32_t count) {
    uint32_t warm = count / 10 > 2000 ? 2000 : count / 10, i;
    uint64_t start = 0, cpu = 0, ns;
    peer_count = reuse ? KEPT : at_once;
    peers = calloc(peer_count, sizeof *peers);
    latency = malloc((count + warm) * sizeof *latency);
    if (!peers || !latency) die("malloc");
    for (i = 0; i < peer_count; i++) {
        peers[i].kind = kind;
        peers[i].fd = -1;
        peers[i].number = next_client++ % CLIENTS;
        if (reuse) open_peer(&peers[i]);
    }
    for (i = 0; i < 2; i++) { /* the first round warms up */
        uint32_t one;
        begun = done = 0;
        wanted = i ? count : warm;
        start = now_ns();
        cpu = cpu_ns();
        for (one = 0; one < at_once && begun < wanted; one++) request(reuse ? idle_peer() : &peers[one]);
        run();
    }
    ns = now_ns() - start;
    cpu = cpu_ns() - cpu;
    qsort(latency, done, sizeof *latency, by_size);
    if (!done) return;
    printf(",\"count\":%u,\"per_s\":%.1f,\"cpu_us\":%.3f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f", done,
           done * 1e9 / (double)ns, (double)cpu / done / 1000, (double)latency[done / 2] / 1000,
           (double)latency[(uint64_t)done * 99 / 100] / 1000, (double)latency[(uint64_t)done * 999 / 1000] / 1000);
}

static void measure_registrations(void) {
    long rss = rss_bytes();
    uint64_t start = now_ns(), cpu = cpu_ns();
    wanted = hosts;
    begun = done = 0;
    while (begun < wanted && begun < WINDOW) register_host(begun++);
    run();
    if (done < hosts) return;
    printf(",\"register_per_s\":%.1f,\"register_cpu_us\":%.3f,\"rss_kib\":%.1f,\"rss_per_host\":%.1f",
           hosts * 1e9 / (double)(now_ns() - start), (double)(cpu_ns() - cpu) / hosts / 1000, (double)rss_bytes() / 1024,
           (double)(rss_bytes() - rss) / hosts);
}

/* The share of a processor that the server uses while nothing happens; with keep_alive while each host says that it is there,
   by UDP every 15 s and by TCP every 60 s. */
static void measure_idle(double seconds, int keep_alive) {
    uint64_t start = now_ns(), cpu = cpu_ns(), end = start + (uint64_t)(seconds * 1e9);
    uint64_t sent = 0, pinged = 0;
    while (now_ns() < end) {
        struct timespec pause = {0, 10000000};
        double passed = (double)(now_ns() - start) / 1e9;
        nanosleep(&pause, NULL);
        for (; keep_alive && (double)sent < passed * hosts / 15; sent++)
            announce(FIRST_HOST + (uint32_t)(sent % hosts), (uint32_t)(sent % hosts % PORTS), "reg\n", 5);
        for (; keep_alive && (double)pinged < passed * hosts / 60; pinged++) say(&host[pinged % hosts], "ping\n", 6);
    }
    printf(",\"%s_percent\":%.4f", keep_alive ? "kept" : "idle",
           (double)(cpu_ns() - cpu) * 100 / (double)(now_ns() - start));
}

static int wrong_usage(void) {
    fprintf(stderr, "usage: load --server IP:PORT --pid PID [--hosts N] [--data BYTES] [--rare N] [--idle SECONDS]\n"
                    "            [--introductions N] [--hostile N] [--lobbies N] [--filter TEXT] [--limit N]\n"
                    "            [--at-once N] [--reuse] [--floor]\n");
    return 2;
}

/* The next word as a number. */
static uint32_t number_of(char **words, uint32_t maximum) {
    char *end = NULL;
    unsigned long value = words[1] ? strtoul(words[1], &end, 10) : 0;
    if (!end || *end != '\0' || value > maximum) exit(wrong_usage());
    return (uint32_t)value;
}

int main(int argc, char **argv) {
    uint32_t introductions = 0, lobbies = 0, attackers = 0, i;
    double idle = 0;
    struct rlimit limit;
    (void)argc;
    server.sin_family = AF_INET;
    for (argv++; *argv; argv++) {
        const char *word = *argv;
        if (strcmp(word, "--reuse") == 0) reuse = 1;
        else if (strcmp(word, "--floor") == 0) is_floor = 1;
        else if (!argv[1]) return wrong_usage();
        else {
            if (strcmp(word, "--server") == 0) {
                char *colon = strchr(argv[1], ':');
                if (!colon) return wrong_usage();
                *colon = '\0';
                if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) return wrong_usage();
                server.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
            } else if (strcmp(word, "--filter") == 0) lobby_filter = argv[1];
            else if (strcmp(word, "--limit") == 0) lobby_limit = argv[1];
            else if (strcmp(word, "--idle") == 0) idle = strtod(argv[1], NULL);
            else if (strcmp(word, "--pid") == 0) pid = (long)number_of(argv, UINT32_MAX);
            else if (strcmp(word, "--hosts") == 0) hosts = number_of(argv, 1000000);
            else if (strcmp(word, "--data") == 0) data_bytes = number_of(argv, MAX_DATA);
            else if (strcmp(word, "--rare") == 0) rare = number_of(argv, 1000000);
            else if (strcmp(word, "--introductions") == 0) introductions = number_of(argv, 100000000);
            else if (strcmp(word, "--hostile") == 0) attackers = number_of(argv, 1000000);
            else if (strcmp(word, "--lobbies") == 0) lobbies = number_of(argv, 1000000);
            else if (strcmp(word, "--at-once") == 0) at_once = number_of(argv, KEPT);
            else return wrong_usage();
            argv++;
        }
    }
    if (!pid || !server.sin_port || !at_once || (introductions && !hosts)) return wrong_usage();
    if (getrlimit(RLIMIT_NOFILE, &limit)) die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit)) die("setrlimit");
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) die("epoll_create1");
    for (i = 0; i < PORTS; i++) {
        struct sockaddr_in any = {.sin_family = AF_INET};
        socklen_t size = sizeof any;
        udp[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (udp[i] < 0 || bind(udp[i], (struct sockaddr *)&any, size) || getsockname(udp[i], (struct sockaddr *)&any, &size))
            die("udp");
        udp_port[i] = ntohs(any.sin_port);
    }
    host = calloc(hosts ? hosts : 1, sizeof *host);
    if (!host) die("calloc");
    lobby_entries = *lobby_filter ? rare : hosts;
    if (*lobby_limit && strtoul(lobby_limit, NULL, 10) < lobby_entries)
        lobby_entries = (uint32_t)strtoul(lobby_limit, NULL, 10);
    printf("{\"hosts\":%u", hosts);
    if (hosts) measure_registrations();
    if (idle > 0) measure_idle(idle, 0);
    if (idle > 0) measure_idle(idle, 1);
    if (attackers) open_hostile(attackers);
    if (introductions) measure_requests(CLIENT, introductions);
    if (lobbies) measure_requests(LOBBY, lobbies);
    printf(",\"list_bytes\":%llu,\"end_rss_kib\":%.1f,\"reopened\":%llu,\"repeated\":%llu,\"refused\":%llu,"
           "\"wrong\":%llu,\"missing\":%llu}\n",
           (unsigned long long)list_bytes, (double)rss_bytes() / 1024, (unsigned long long)reopened,
           (unsigned long long)repeated, (unsigned long long)refused, (unsigned long long)wrong,
           (unsigned long long)missing);
    return refused || wrong || missing ? 1 : 0;
}
