/* floor - what a master costs at least: its system calls, and no logic

     floor [LOBBY_BYTES]      prints `ready udp=127.0.0.1:PORT tcp=127.0.0.1:PORT`, serves until it is killed   (Linux)

   epoll, accept4, read, write and recvmmsg as an ideal master makes them, on the same bytes: for a "connect" it writes an
   introduction to one of the host connections and an answer to the client, for a "lobby2" a list of LOBBY_BYTES, for a
   "version" that. The command is told by its first byte, the answers are constants, the hosts take turns. */
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
#include <unistd.h>

enum { MAX_FDS = 1 << 16, BATCH = 64, EVENTS = 256 };

/* As long as what gatepunch says of the addresses of load.c. */
static const char introduction[] = "\xff"
                                   "127.128.12.34\0"
                                   "54321";
static const char version[] = "\xf6"
                              "1.2.5\n";

static int hosts[MAX_FDS], host_count, next_host; /* descriptors */
static size_t unsent[MAX_FDS];                    /* of a list, by descriptor */
static char *list;
static size_t list_size;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void write_all(int fd, const char *bytes, size_t size) {
    if (write(fd, bytes, size) != (ssize_t)size && errno != EPIPE && errno != ECONNRESET) die("write");
}

static void write_list(int fd) {
    while (unsent[fd]) {
        ssize_t sent = write(fd, list + list_size - unsent[fd], unsent[fd]);
        if (sent < 0) return; /* epoll says when there is room again, or that the reader is gone */
        unsent[fd] -= (size_t)sent;
    }
}

static void serve(int fd) {
    static char bytes[65536];
    ssize_t got = read(fd, bytes, sizeof bytes);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) return;
        unsent[fd] = 0;
        close(fd);
        return;
    }
    switch (bytes[0]) {
    case 'c':
        write_all(hosts[next_host], introduction, sizeof introduction);
        next_host = next_host + 1 == host_count ? 0 : next_host + 1;
        write_all(fd, introduction, sizeof introduction);
        break;
    case 'l':
        unsent[fd] = list_size;
        write_list(fd);
        break;
    case 'r':
        hosts[host_count++] = fd;
        write_all(fd, version, sizeof version - 1);
        break;
    default: break;
    }
}

static void accept_all(int epoll, int listener) {
    for (;;) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN || errno == ECONNABORTED) return;
            die("accept4");
        }
        if (fd >= MAX_FDS) die("too many connections");
        event.data.fd = fd;
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    }
}

static void receive_all(int udp) {
    static char bytes[BATCH][2048];
    static struct sockaddr_in6 from[BATCH];
    static struct iovec part[BATCH];
    static struct mmsghdr message[BATCH];
    int got, i;
    do {
        for (i = 0; i < BATCH; i++) {
            part[i].iov_base = bytes[i];
            part[i].iov_len = sizeof bytes[i];
            message[i].msg_hdr.msg_name = &from[i];
            message[i].msg_hdr.msg_namelen = sizeof from[i];
            message[i].msg_hdr.msg_iov = &part[i];
            message[i].msg_hdr.msg_iovlen = 1;
        }
        got = recvmmsg(udp, message, BATCH, MSG_DONTWAIT, NULL);
    } while (got == BATCH);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct epoll_event event = {.events = EPOLLIN};
    struct rlimit limit;
    int one = 1, listener, udp, epoll;
    list_size = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 2;
    list = malloc(list_size);
    if (!list || list_size < 2) die("list");
    memset(list, 'x', list_size);
    list[0] = '\xf9';
    list[list_size - 1] = '\n';
    if (getrlimit(RLIMIT_NOFILE, &limit)) die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit)) die("setrlimit");
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0 || udp < 0 || epoll < 0) die("socket");
    /* Accepted connections have it from the listener. */
    if (setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)) die("setsockopt");
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &size) || bind(udp, (struct sockaddr *)&address, sizeof address))
        die("bind");
    event.data.fd = listener;
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = udp;
    epoll_ctl(epoll, EPOLL_CTL_ADD, udp, &event);
    printf("ready udp=127.0.0.1:%u tcp=127.0.0.1:%u\n", ntohs(address.sin_port), ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event ready[EVENTS];
        int count = epoll_wait(epoll, ready, EVENTS, -1), i;
        for (i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) accept_all(epoll, fd);
            else if (fd == udp) receive_all(fd);
            else if (unsent[fd] && ready[i].events & EPOLLOUT) write_list(fd);
            else if (ready[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLERR)) serve(fd);
        }
    }
}
