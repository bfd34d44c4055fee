/* gmpunch inside a program that keeps its own sockets, its own loop and its own clock ("sans-I/O")

     cc own_loop.c -o own_loop                (Windows: x86_64-w64-mingw32-gcc own_loop.c -o own_loop.exe -lws2_32)
     ./own_loop host MASTER [SECONDS]         sends each packet back
     ./own_loop client MASTER SERVER          says hello, prints the answer

   gmpunch does no I/O here: the loop tells it what arrived and what time it is, and does what it asks for. A host or a
   client needs one UDP socket, which carries the game too, and at most one TCP connection at a time. IPv4 only, to be
   short. */
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* under -std=c99 the system's headers hide sockets and clocks without it */
#endif
#define GMPUNCH_NO_SOCKETS
#define GMPUNCH_IMPLEMENTATION
#include "../gmpunch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#include <winsock2.h>
#include <ws2tcpip.h>
typedef SOCKET os_socket;
typedef int os_size;
#define poll WSAPoll
static int os_error(void) { return WSAGetLastError(); }
static int try_later(int error) { return error == WSAEWOULDBLOCK; }
static void close_socket(os_socket s) { closesocket(s); }
static void set_nonblocking(os_socket s) {
    u_long on = 1;
    ioctlsocket(s, (long)FIONBIO, &on);
}
static void start_sockets(void) {
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
}
static uint64_t clock_ms(void) { return GetTickCount64(); }
#else
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
typedef int os_socket;
typedef size_t os_size;
static int os_error(void) { return errno; }
static int try_later(int error) { return error == EAGAIN || error == EINPROGRESS || error == EINTR; }
static void close_socket(os_socket s) { close(s); }
static void set_nonblocking(os_socket s) { fcntl(s, F_SETFL, O_NONBLOCK); }
static void start_sockets(void) { signal(SIGPIPE, SIG_IGN); } /* sending to who has closed is an error, not the end */
static uint64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
#endif
#define NO_SOCKET ((os_socket)-1)

typedef struct loop {
    gmpunch_host *host; /* one of these two */
    gmpunch_client *client;
    os_socket udp;
    os_socket tcp;       /* NO_SOCKET: no connection */
    uint32_t connection; /* gmpunch's id for it */
    int opening;         /* it is not there yet */
    int blocked;         /* it did not take everything */
    uint64_t next_hello; /* of a connected client */
    int hellos;
    int code; /* to exit with; -1: goes on */
} loop;

/* A program that is only a host or only a client calls gmpunch_host_... or gmpunch_client_... itself. */
#define MACHINE(function, ...) \
    (l->host ? gmpunch_host_##function(l->host, __VA_ARGS__) : gmpunch_client_##function(l->client, __VA_ARGS__))

static struct sockaddr_in to_sockaddr(const gmpunch_address *from) {
    struct sockaddr_in to;
    memset(&to, 0, sizeof to);
    to.sin_family = from->family == 4 ? AF_INET : AF_INET6; /* the system refuses to send what is not IPv4 */
    to.sin_port = htons(from->port);
    memcpy(&to.sin_addr, from->ip, 4);
    return to;
}

static void send_udp(loop *l, const gmpunch_address *to, const uint8_t *data, size_t len) {
    struct sockaddr_in address = to_sockaddr(to);
    sendto(l->udp, (const char *)data, (os_size)len, 0, (struct sockaddr *)&address, sizeof address); /* may get lost */
}

static void send_packet(loop *l, const gmpunch_address *to, const void *payload, size_t len, uint32_t flags) {
    uint8_t datagram[2048];
    int32_t size = gmpunch_datagram_encode(datagram, sizeof datagram, payload, len, flags);
    if (size > 0) send_udp(l, to, datagram, (size_t)size);
}

static void drop_tcp(loop *l) {
    if (l->tcp != NO_SOCKET) close_socket(l->tcp);
    l->tcp = NO_SOCKET;
    l->opening = l->blocked = 0;
}

static void tcp_ended(loop *l, int error) {
    drop_tcp(l);
    MACHINE(tcp_closed, clock_ms(), l->connection, error);
}

static void open_tcp(loop *l, const gmpunch_transmit *t) {
    struct sockaddr_in address = to_sockaddr(&t->to);
    drop_tcp(l);
    l->tcp = socket(AF_INET, SOCK_STREAM, 0);
    l->connection = t->connection;
    l->opening = 1;
    set_nonblocking(l->tcp);
    if (connect(l->tcp, (struct sockaddr *)&address, sizeof address) == 0 || try_later(os_error())) return; /* poll tells */
    tcp_ended(l, os_error());
}

static void send_tcp(loop *l, const gmpunch_transmit *t) {
    int32_t sent = (int32_t)send(l->tcp, (const char *)t->data, (os_size)t->len, 0);
    l->blocked = sent < (int32_t)t->len;
    if (sent < 0 && !try_later(os_error())) tcp_ended(l, os_error());
    else if (l->blocked) MACHINE(tcp_sent, t->connection, sent < 0 ? 0 : (size_t)sent);
}

/* Does what gmpunch asks for. */
static void perform(loop *l) {
    gmpunch_transmit t;
    while (MACHINE(next_transmit, &t) > 0) {
        if (t.kind == GMPUNCH_TRANSMIT_UDP) send_udp(l, &t.to, t.data, t.len);
        else if (t.kind == GMPUNCH_TRANSMIT_TCP_OPEN) open_tcp(l, &t);
        else if (t.kind == GMPUNCH_TRANSMIT_TCP_SEND) send_tcp(l, &t);
        else if (t.kind == GMPUNCH_TRANSMIT_TCP_CLOSE) drop_tcp(l);
    }
}

/* Hears what happened. */
static void hear(loop *l) {
    gmpunch_event event;
    char text[GMPUNCH_ADDRESS_TEXT_SIZE];
    while (MACHINE(next_event, &event) > 0) {
        gmpunch_address_format(&event.address, text, sizeof text);
        printf("%s %s %s\n", gmpunch_event_name(event.type), text, gmpunch_reason_name(event.reason));
        if (event.type == GMPUNCH_EVENT_CONNECTED) l->next_hello = clock_ms();
        if (event.type == GMPUNCH_EVENT_FAILED || event.type == GMPUNCH_EVENT_LOST) l->code = 1;
    }
    fflush(stdout);
}

/* A datagram that is not gmpunch's: the game's own, if it comes from whom we are connected with. */
static void take_game_datagram(loop *l, const gmpunch_address *from, const uint8_t *data, size_t len) {
    gmpunch_peer_info info = {0};
    gmpunch_address server;
    const uint8_t *payload;
    if (l->host) {
        if (gmpunch_host_peer_info(l->host, gmpunch_host_find_peer(l->host, from), &info) != GMPUNCH_OK) return;
    } else {
        if (gmpunch_client_server(l->client, &server, &info.flags) != GMPUNCH_OK) return;
        if (!gmpunch_address_equal(&server, from)) return;
    }
    if (gmpunch_datagram_decode(data, len, info.flags, &payload, &len, NULL) != GMPUNCH_OK) return;
    if (l->host) {
        send_packet(l, from, payload, len, info.flags);
    } else {
        printf("answer %.*s\n", (int)len, (const char *)payload); /* as it came: we trust the host */
        l->code = 0;
    }
}

static void take_udp(loop *l) {
    for (;;) {
        uint8_t data[2048];
        struct sockaddr_in address;
        socklen_t size = sizeof address;
        gmpunch_address from = {0};
        int32_t len = (int32_t)recvfrom(l->udp, (char *)data, sizeof data, 0, (struct sockaddr *)&address, &size);
        if (len < 0) return; /* no more, or news of a datagram that was refused: no harm */
        from.family = 4;
        from.port = ntohs(address.sin_port);
        memcpy(from.ip, &address.sin_addr, 4);
        if (MACHINE(input_udp, clock_ms(), &from, 0, data, (size_t)len) == GMPUNCH_NOT_MINE)
            take_game_datagram(l, &from, data, (size_t)len);
    }
}

static void take_tcp(loop *l, int writable) {
    uint8_t data[2048];
    int error = 0;
    socklen_t size = sizeof error;
    int32_t len;
    if (l->opening) {
        getsockopt(l->tcp, SOL_SOCKET, SO_ERROR, (char *)&error, &size);
        l->opening = 0;
        if (error) tcp_ended(l, error);
        else MACHINE(tcp_opened, clock_ms(), l->connection);
        return;
    }
    if (l->blocked && writable) {
        l->blocked = 0;
        MACHINE(tcp_writable, clock_ms(), l->connection);
    }
    len = (int32_t)recv(l->tcp, (char *)data, sizeof data, 0);
    if (len > 0) MACHINE(tcp_data, clock_ms(), l->connection, data, (size_t)len);
    else if (len == 0) tcp_ended(l, 0);
    else if (!try_later(os_error())) tcp_ended(l, os_error());
}

/* Waits for the sockets, but not longer than until the given time, and takes what they have. */
static void wait_and_take(loop *l, uint64_t until) {
    uint64_t now = clock_ms();
    int wait = until <= now ? 0 : until - now < 1000 ? (int)(until - now) : 1000;
    struct pollfd waits[2];
    memset(waits, 0, sizeof waits);
    waits[0].fd = l->udp;
    waits[0].events = POLLIN;
    waits[1].fd = l->tcp;
    waits[1].events = (short)(l->opening || l->blocked ? POLLIN | POLLOUT : POLLIN);
    if (poll(waits, l->tcp == NO_SOCKET ? 1 : 2, wait) <= 0) return;
    if (waits[1].revents) take_tcp(l, waits[1].revents & POLLOUT); /* an introduction before the knock that it announces */
    if (waits[0].revents) take_udp(l);
}

/* May get lost like any datagram, or its answer: it is said until the answer comes. */
static void say_hello(loop *l) {
    gmpunch_address server;
    uint32_t flags;
    if (clock_ms() < l->next_hello || gmpunch_client_server(l->client, &server, &flags) != GMPUNCH_OK) return;
    send_packet(l, &server, "hello", 5, flags);
    l->next_hello = clock_ms() + 250;
    if (++l->hellos > 20) l->code = 1;
}

int main(int argc, char **argv) {
    gmpunch_host_config host_config = {0};
    gmpunch_client_config client_config = {0};
    gmpunch_address any = {.family = 4}; /* any address and port of this machine */
    struct sockaddr_in local = to_sockaddr(&any);
    loop self = {0};
    loop *l = &self;
    uint64_t until, end = UINT64_MAX;
    int host = argc >= 3 && argc <= 4 && strcmp(argv[1], "host") == 0;
    int32_t result;
    if (!host && (argc != 4 || strcmp(argv[1], "client") != 0)) {
        fprintf(stderr, "usage: own_loop host MASTER [SECONDS]\n       own_loop client MASTER SERVER\n");
        return 2;
    }
    start_sockets();
    l->udp = socket(AF_INET, SOCK_DGRAM, 0);
    l->tcp = NO_SOCKET;
    l->next_hello = UINT64_MAX;
    l->code = -1;
    set_nonblocking(l->udp);
    if (bind(l->udp, (struct sockaddr *)&local, sizeof local) != 0) {
        fprintf(stderr, "own_loop: no UDP socket (os error %d)\n", os_error());
        return 1;
    }
    if (host) {
        host_config.master = argv[2]; /* numeric: a name would need gmpunch_host_set_master */
        result = gmpunch_host_create(&host_config, clock_ms(), &l->host);
        if (argc == 4) end = clock_ms() + (uint64_t)atoi(argv[3]) * 1000;
    } else {
        client_config.master = argv[2];
        client_config.server = argv[3];
        client_config.max_sockets = 1; /* this loop has one, so socket_index is always 0 */
        result = gmpunch_client_create(&client_config, clock_ms(), &l->client);
    }
    if (result != GMPUNCH_OK) fprintf(stderr, "own_loop: %s\n", gmpunch_strerror(result));
    if (result != GMPUNCH_OK) l->code = 1;
    while (l->code < 0 && clock_ms() < end) {
        MACHINE(tick, clock_ms());
        perform(l);
        hear(l);
        if (l->client) say_hello(l);
        until = host ? gmpunch_host_next_deadline(l->host) : gmpunch_client_next_deadline(l->client);
        if (until > l->next_hello) until = l->next_hello;
        if (l->code < 0) wait_and_take(l, until < end ? until : end);
    }
    drop_tcp(l);
    close_socket(l->udp);
    gmpunch_host_close(l->host);
    gmpunch_client_close(l->client);
    return l->code < 0 ? 0 : l->code;
}
