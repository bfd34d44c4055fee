// The system's sockets, with faults and in virtual time: real sockets, but each call that the library makes comes through here,
// where it is counted and can be made to fail, and nothing ever waits. To be included before anything else that includes
// gmpunch.h. POSIX only.
#ifndef GMPUNCH_TESTS_FAULTY_SOCKETS_HPP
#define GMPUNCH_TESTS_FAULTY_SOCKETS_HPP

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

// all that the library includes itself, so that only its own use of the names below is replaced
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
#if defined(__linux__)
#include <sys/epoll.h>
#endif

namespace faulty {

// The calls that can fail. so_error is what getsockopt says of a connection that was to be made.
// clang-format off
#define FAULTY_CALLS(X) \
    X(socket) X(bind) X(listen) X(connect) X(accept) X(send) X(sendmsg) X(recv) X(recvfrom) X(recvmmsg) X(poll) \
    X(getsockopt) X(so_error) X(setsockopt) X(getsockname) X(fcntl) X(close) X(open) X(read) X(getaddrinfo) \
    X(epoll_create) X(epoll_ctl) X(epoll_wait)
// clang-format on

#define FAULTY_CALL(name) call_##name,
enum call { FAULTY_CALLS(FAULTY_CALL) calls };
#undef FAULTY_CALL

inline const char *name(call what) {
#define FAULTY_NAME(name) #name,
    static const char *const names[] = {FAULTY_CALLS(FAULTY_NAME)};
#undef FAULTY_NAME
    return names[what];
}

// Who makes a call: each kind of object has its own count.
enum role { master, host, client, lobby, roles };

// Call number `first` (from 0) of `what` by `who`, and the next ones, `times` in all, fail with `error`; 0: the other side closed
// (of recv).
struct fault {
    role who = roles;
    call what = calls;
    size_t first = 0, times = 0;
    int error = 0;
};

struct system {
    role who = roles; // of the calls that follow
    fault planned;
    size_t hits = 0; // how often it was met
    std::array<std::array<size_t, calls>, roles> count = {};
    size_t work = 0;        // calls of any kind
    size_t moved = 0;       // of them those that brought something on its way
    size_t take = SIZE_MAX; // bytes of a connection that are taken or given at once
    size_t longest = 0;     // that were to be sent at once
    uint64_t now_us = 1000000;
    int64_t unix_seconds = 1700000000;
    std::map<std::string, std::vector<std::string>> names; // what resolves, and to which numeric addresses
    std::function<void()> before_wait;                     // of the library; something may come then
    size_t naps = 0;                                       // pauses that no socket ends
    std::vector<int64_t> waited;                           // for so many ms in vain, as the system was asked
    std::set<int> open;
    size_t misused = 0; // descriptors that are not open (any more)

    void begin(const fault &next = fault()) {
        planned = next;
        hits = 0;
        count = {};
        take = SIZE_MAX;
        longest = 0;
        names.clear();
        before_wait = nullptr;
        naps = 0;
        waited.clear();
        misused = 0;
    }
    // Counts a call; whether it fails, with errno set.
    bool fails(call what) {
        size_t number = who == roles ? 0 : count[who][what]++;
        work++;
        if (who != planned.who || what != planned.what || number < planned.first || number - planned.first >= planned.times)
            return false;
        hits++;
        errno = planned.error;
        return true;
    }
    int made(int fd) {
        if (fd >= 0) open.insert(fd);
        return fd;
    }
    void uses(int fd) { misused += !open.count(fd); }
    template <class result>
    result passed(result got) {
        moved += got > 0;
        return got;
    }
    // A wait that brought nothing is over.
    void slept(int64_t ms) {
        waited.push_back(ms);
        now_us += uint64_t(ms < 0 ? 3600000 : ms) * 1000;
    }
};

inline system net;

// ---- what the library's calls become ----

// Of a call that makes a descriptor.
template <call what, class function, class... arguments>
int makes(function real, arguments... all) {
    if (net.fails(what)) return -1;
    return net.made(real(all...));
}

// Of a call on a descriptor that succeeds or not.
template <call what, class function, class... arguments>
int on(function real, int fd, arguments... all) {
    net.uses(fd);
    if (net.fails(what)) return -1;
    return real(fd, all...);
}

// Of a call on a descriptor that moves data.
template <call what, class function, class... arguments>
ssize_t moves(function real, int fd, arguments... all) {
    net.uses(fd);
    if (net.fails(what)) return -1;
    return net.passed(ssize_t(real(fd, all...)) + 1) - 1; // an empty datagram is one
}

template <class function, class... arguments>
int accepts(function real, int fd, arguments... all) {
    net.uses(fd);
    if (net.fails(call_accept)) return -1;
    return net.passed(net.made(real(fd, all...)));
}

inline int do_connect(int fd, const sockaddr *to, socklen_t len) {
    net.uses(fd);
    bool fails = net.fails(call_connect);
    if (fails && errno != EINTR && errno != EINPROGRESS) return -1;
    net.moved++;
    int result = ::connect(fd, to, len);
    if (!fails) return result;
    errno = net.planned.error; // it goes on in the background
    return -1;
}

inline ssize_t do_send(int fd, const void *data, size_t len, int flags) {
    net.uses(fd);
    if (net.fails(call_send)) return -1;
    net.longest = std::max(net.longest, len);
    return net.passed(::send(fd, data, std::min(len, net.take), flags));
}

inline ssize_t do_recv(int fd, void *data, size_t size, int flags) {
    net.uses(fd);
    if (net.fails(call_recv)) return net.planned.error ? -1 : 0;
    // where it is told only once that there is something, a read that is not filled has read all
    return net.passed(::recv(fd, data, net.who == master ? size : std::min(size, net.take), flags));
}

inline int do_getsockopt(int fd, int level, int option, void *value, socklen_t *len) {
    net.uses(fd);
    if (net.fails(call_getsockopt)) return -1;
    int result = ::getsockopt(fd, level, option, value, len);
    if (level == SOL_SOCKET && option == SO_ERROR && net.fails(call_so_error))
        std::memcpy(value, &net.planned.error, sizeof net.planned.error);
    return result;
}

inline int do_poll(pollfd *entries, nfds_t count, int timeout) {
    if (net.before_wait) net.before_wait();
    if (net.fails(call_poll)) return -1;
    for (nfds_t i = 0; i < count; i++)
        if (entries[i].fd >= 0) net.uses(entries[i].fd);
    int ready = ::poll(entries, count, 0);
    if (ready == 0) net.slept(timeout);
    return ready;
}

inline int do_close(int fd) {
    net.misused += net.open.erase(fd) == 0;
    // thousands of sessions would leave the system without ports, each for a minute
    const linger at_once = {1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    bool fails = net.fails(call_close);
    int result = ::close(fd);
    errno = EDOM; // what succeeds may leave anything there
    if (!fails) return result;
    errno = net.planned.error; // all the same it is closed
    return -1;
}

// What a name was looked up for, in the order of the addresses.
inline std::map<addrinfo *, std::vector<addrinfo *>> looked_up;

inline int do_getaddrinfo(const char *node, const char *service, const addrinfo *hints, addrinfo **found) {
    if (net.fails(call_getaddrinfo)) return net.planned.error;
    addrinfo numeric = *hints;
    numeric.ai_flags |= AI_NUMERICHOST;
    std::vector<addrinfo *> all;
    for (const std::string &one : net.names[node]) {
        addrinfo *next = nullptr;
        REQUIRE(::getaddrinfo(one.c_str(), service, &numeric, &next) == 0);
        REQUIRE(next->ai_next == nullptr);
        if (!all.empty()) all.back()->ai_next = next;
        all.push_back(next);
    }
    if (all.empty()) return EAI_NONAME;
    *found = all[0];
    looked_up[all[0]] = all;
    return 0;
}

inline void do_freeaddrinfo(addrinfo *found) {
    REQUIRE(looked_up.count(found) == 1);
    for (addrinfo *one : looked_up[found]) {
        one->ai_next = nullptr;
        ::freeaddrinfo(one);
    }
    looked_up.erase(found);
}

// Each look at the clock takes a microsecond, so that no loop is endless.
inline int do_clock_gettime(clockid_t which, timespec *now) {
    net.now_us++;
    net.work++;
    now->tv_sec = time_t(net.now_us / 1000000 + (which == CLOCK_MONOTONIC ? 0 : uint64_t(net.unix_seconds)));
    now->tv_nsec = long(net.now_us % 1000000 * 1000);
    return 0;
}

inline int do_nanosleep(const timespec *time, timespec *) {
    net.work++;
    net.naps++;
    net.slept(int64_t(time->tv_sec) * 1000 + time->tv_nsec / 1000000);
    return 0;
}

#if defined(__linux__)
inline int do_epoll_ctl(int fd, int what, int of, epoll_event *event) {
    net.uses(fd);
    net.uses(of);
    return net.fails(call_epoll_ctl) ? -1 : ::epoll_ctl(fd, what, of, event);
}

inline int do_recvmmsg(int fd, mmsghdr *messages, unsigned count, int flags, timespec *limit) {
    net.uses(fd);
    return net.fails(call_recvmmsg) ? -1 : net.passed(::recvmmsg(fd, messages, count, flags, limit));
}

inline int do_epoll_wait(int fd, epoll_event *events, int count, int timeout) {
    if (net.before_wait) net.before_wait();
    net.uses(fd);
    if (net.fails(call_epoll_wait)) return -1;
    int ready = ::epoll_wait(fd, events, count, 0);
    if (ready == 0) net.slept(timeout);
    return ready;
}
#endif

} // namespace faulty

#define socket(...) faulty::makes<faulty::call_socket>(::socket, __VA_ARGS__)
#define bind(...) faulty::on<faulty::call_bind>(::bind, __VA_ARGS__)
#define listen(...) faulty::on<faulty::call_listen>(::listen, __VA_ARGS__)
#define connect(...) faulty::do_connect(__VA_ARGS__)
#define accept(...) faulty::accepts(::accept, __VA_ARGS__)
#define send(...) faulty::do_send(__VA_ARGS__)
#define sendmsg(...) faulty::moves<faulty::call_sendmsg>(::sendmsg, __VA_ARGS__)
#define recv(...) faulty::do_recv(__VA_ARGS__)
#define recvfrom(...) faulty::moves<faulty::call_recvfrom>(::recvfrom, __VA_ARGS__)
#define poll(...) faulty::do_poll(__VA_ARGS__)
#define getsockopt(...) faulty::do_getsockopt(__VA_ARGS__)
#define setsockopt(...) faulty::on<faulty::call_setsockopt>(::setsockopt, __VA_ARGS__)
#define getsockname(...) faulty::on<faulty::call_getsockname>(::getsockname, __VA_ARGS__)
#define fcntl(...) faulty::on<faulty::call_fcntl>(::fcntl, __VA_ARGS__)
#define close(...) faulty::do_close(__VA_ARGS__)
#define open(...) faulty::makes<faulty::call_open>(::open, __VA_ARGS__)
#define read(...) faulty::moves<faulty::call_read>(::read, __VA_ARGS__)
#define getaddrinfo(...) faulty::do_getaddrinfo(__VA_ARGS__)
#define freeaddrinfo(...) faulty::do_freeaddrinfo(__VA_ARGS__)
#define clock_gettime(...) faulty::do_clock_gettime(__VA_ARGS__)
#define nanosleep(...) faulty::do_nanosleep(__VA_ARGS__)
#define accept4(...) faulty::accepts(::accept4, __VA_ARGS__)
#define epoll_create1(...) faulty::makes<faulty::call_epoll_create>(::epoll_create1, __VA_ARGS__)
#define epoll_ctl(...) faulty::do_epoll_ctl(__VA_ARGS__)
#define epoll_wait(...) faulty::do_epoll_wait(__VA_ARGS__)
#define recvmmsg(...) faulty::do_recvmmsg(__VA_ARGS__)

#include "../unit/gmpunch_internal.hpp"

#undef socket
#undef bind
#undef listen
#undef connect
#undef accept
#undef send
#undef sendmsg
#undef recv
#undef recvfrom
#undef poll
#undef getsockopt
#undef setsockopt
#undef getsockname
#undef fcntl
#undef close
#undef open
#undef read
#undef getaddrinfo
#undef freeaddrinfo
#undef clock_gettime
#undef nanosleep
#undef accept4
#undef epoll_create1
#undef epoll_ctl
#undef epoll_wait
#undef recvmmsg

#endif
