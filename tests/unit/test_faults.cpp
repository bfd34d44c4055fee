// Faults of the system: every socket call failing in turn with each error that it can give, in a session of master, host, client
// and lobby on real sockets over loopback. The clock is virtual: nothing waits.
#if defined(_WIN32)
#include <doctest/doctest.h>

TEST_CASE("faults: the system's calls fail in turn") {
    MESSAGE("SKIPPED: the calls are replaced by name, and those of Winsock have other names");
}
#else
#include "../sim/faulty_sockets.hpp"

#include <functional>
#include <initializer_list>
#include <memory>

using faulty::call;
using faulty::net;
using faulty::role;

namespace {

const uint32_t work_limit = 6000; // calls of the system in one call of the library, of a second at most: more is a spin

uint64_t now_ms() { return net.now_us / 1000; }

// ---- the four, with what they said ----

#define KIND(role_name) \
    struct role_name##_kind { \
        typedef gmpunch_##role_name object; \
        typedef gmpunch_##role_name##_config config; \
        static constexpr role who = faulty::role_name; \
        static constexpr auto open = gmpunch_##role_name##_open; \
        static constexpr auto close = gmpunch_##role_name##_close; \
        static constexpr auto poll = gmpunch_##role_name##_poll; \
        static constexpr auto waits = gmpunch_##role_name##_waits; \
        static constexpr auto next_deadline = gmpunch_##role_name##_next_deadline; \
        static constexpr auto os_error = gmpunch_##role_name##_os_error; \
    }
KIND(master);
KIND(host);
KIND(client);
KIND(lobby);

struct any_node {
    std::vector<gmpunch_event> events; // without those of game data
    std::vector<bytes> packets;

    virtual ~any_node() {}
    virtual bool step() = 0;
    virtual void wait(uint32_t ms) = 0;
    virtual uint64_t deadline() const = 0;
    virtual void add_sockets(std::vector<pollfd> &all) const = 0;

    size_t count(int32_t type) const {
        return size_t(
            std::count_if(events.begin(), events.end(), [=](const gmpunch_event &event) { return event.type == type; }));
    }
    const gmpunch_event *last(int32_t type) const {
        for (size_t i = events.size(); i-- > 0;)
            if (events[i].type == type) return &events[i];
        return nullptr;
    }
};

template <class kind>
struct node : any_node {
    typename kind::object *object = nullptr;
    typename kind::config config = {};
    int32_t os_error = 0; // of a failed open

    node() {
        config.bind_address = "127.0.0.1";
        config.os_error = &os_error;
    }
    ~node() override { close(); }
    int32_t open() {
        close();
        events.clear();
        packets.clear();
        return as([&] { return kind::open(&config, &object); });
    }
    void close() {
        as([&] { return kind::close(object), 0; });
        object = nullptr;
    }
    int32_t last_os_error() const { return kind::os_error(object); }
    // Polls once, with time to wait.
    void wait(uint32_t ms) override {
        gmpunch_event event;
        if (object) REQUIRE(as([&] { return kind::poll(object, &event, ms); }) >= 0);
    }
    // Calls the library in the name of this role.
    template <class function>
    int32_t as(function call) const {
        net.who = kind::who;
        size_t before = net.work;
        int32_t result = call();
        net.who = faulty::roles;
        REQUIRE(net.work - before <= work_limit);
        return result;
    }
    // Polls once; whether there was an event.
    bool poll_once(gmpunch_event *event) const {
        memset(event, 0x5a, sizeof *event);
        int32_t result = as([&] { return kind::poll(object, event, 0); });
        REQUIRE((result == 0 || result == 1));
        const gmpunch_event none = {};
        if (result == 0) CHECK(memcmp(event, &none, sizeof none) == 0);
        return result == 1;
    }
    // Polls until there is no event left; whether there was one.
    bool step() override {
        if (!object) return false;
        bool any = false;
        for (gmpunch_event event;; any = true) {
            if (!poll_once(&event)) return any;
            CHECK(std::string(gmpunch_event_name(event.type)) != "unknown");
            if (event.type == GMPUNCH_EVENT_DATA) {
                CHECK((event.reason == 0 && event.os_error == 0 && event.count == 0)); // nothing of what was there before
                packets.push_back(bytes(event.data, event.data + event.len));
            } else {
                event.data = nullptr; // borrowed
                events.push_back(event);
            }
        }
    }
    uint64_t deadline() const override { return object ? kind::next_deadline(object) : UINT64_MAX; }
    void add_sockets(std::vector<pollfd> &all) const override {
        gmpunch_wait waits[64];
        int32_t n = object ? kind::waits(object, waits, 64) : 0;
        for (int32_t i = 0; i < std::min(n, 64); i++)
            if (waits[i].events & GMPUNCH_WAIT_READ) all.push_back({int(waits[i].socket), POLLIN, 0});
    }
};

struct session {
    node<master_kind> master;
    node<host_kind> host;
    node<client_kind> client;
    node<lobby_kind> lobby;
    std::vector<any_node *> all = {&master, &host, &client, &lobby};
    std::string master_text;
    size_t patience = 4; // times that it is waited for what is on its way

    session() {
        master.config.any_port = 1;
        host.config.data[0] = "a map";
        client.config.server = "127.0.0.1";
    }

    // Runs all until `done`; false if it was not within so much virtual time.
    bool until(const std::function<bool()> &done, uint64_t within_ms) {
        for (uint64_t end = now_ms() + within_ms;;) {
            size_t moved = net.moved;
            bool happened = false;
            for (any_node *one : all) happened = one->step() || happened;
            if (done()) return true;
            if (happened || net.moved != moved || arrives()) continue;
            if (now_ms() >= end) return false;
            uint64_t next = end;
            for (any_node *one : all) next = std::min(next, one->deadline());
            REQUIRE_MESSAGE(next + 2 > now_ms(), "a deadline that is over must not stay");
            net.now_us = std::max(next * 1000, net.now_us + 1000);
        }
    }
    // Loopback delivers at once, unless the machine is busy.
    bool arrives() {
        if (patience == 0) return false;
        patience--;
        std::vector<pollfd> sockets;
        for (any_node *one : all) one->add_sockets(sockets);
        const timespec moment = {0, 100000};
        ::nanosleep(&moment, nullptr);
        return ::poll(sockets.data(), nfds_t(sockets.size()), 0) > 0 && net.planned.times == 0;
    }
    std::string story() const {
        std::string out;
        for (size_t i = 0; i < all.size(); i++) {
            out += "\n  " + std::to_string(i) + ":";
            for (const gmpunch_event &event : all[i]->events)
                out += std::string(" ") + gmpunch_event_name(event.type) + "(" + gmpunch_reason_name(event.reason) + ")";
        }
        return out;
    }

    gmpunch_master_stats master_stats() const {
        gmpunch_master_stats stats = gmpunch_master_stats();
        gmpunch_master_get_stats(master.object, &stats);
        return stats;
    }
    gmpunch_host_stats host_stats() const {
        gmpunch_host_stats stats = gmpunch_host_stats();
        gmpunch_host_get_stats(host.object, &stats);
        return stats;
    }
    gmpunch_client_stats client_stats() const {
        gmpunch_client_stats stats = gmpunch_client_stats();
        gmpunch_client_get_stats(client.object, &stats);
        return stats;
    }
    bool registered() const { return host_stats().registered && master_stats().hosts == 1 && master_stats().ports >= 1; }
    bool connected() const { return gmpunch_client_stage(client.object) == GMPUNCH_STAGE_CONNECTED; }
    bool over() const { return connected() || client.count(GMPUNCH_EVENT_FAILED); }
    bool listed() const { return lobby.count(GMPUNCH_EVENT_LOBBY_DONE) != 0; }
    bool list_over() const { return listed() || lobby.count(GMPUNCH_EVENT_FAILED); }
    int32_t talk() {
        return client.as([&] { return gmpunch_client_send(client.object, "hello", 5); });
    }
    int32_t answer() {
        return host.as([&] { return gmpunch_host_send_all(host.object, "and back", 8); });
    }

    void open_all() {
        REQUIRE(open_master() == GMPUNCH_OK);
        REQUIRE(host.open() == GMPUNCH_OK);
        REQUIRE(client.open() == GMPUNCH_OK);
        REQUIRE(lobby.open() == GMPUNCH_OK);
    }
    int32_t open_master() {
        int32_t result = master.open();
        gmpunch_address at = gmpunch_address();
        if (result == GMPUNCH_OK) REQUIRE(gmpunch_master_local_address(master.object, 0, &at) == GMPUNCH_OK);
        master_text = text(at);
        host.config.master = client.config.master = lobby.config.master = master_text.c_str();
        return result;
    }
    // All that was hoped for, with no fault any more. The host's next registration may be as far away as its interval.
    void check_recovers() {
        uint64_t end = now_ms() + 200000;
        REQUIRE_MESSAGE(until([&] { return registered(); }, 200000), story());
        while (!connected()) {
            REQUIRE_MESSAGE(now_ms() < end, story());
            REQUIRE(client.open() == GMPUNCH_OK);
            REQUIRE_MESSAGE(until([&] { return over(); }, 20000), story());
            if (!connected()) until([] { return false; }, 5000);
        }
        REQUIRE(lobby.open() == GMPUNCH_OK);
        REQUIRE_MESSAGE(until([&] { return list_over(); }, 20000), story());
        CHECK_MESSAGE(listed(), story());
        CHECK(lobby.last(GMPUNCH_EVENT_LOBBY_DONE)->count == 1);
        size_t heard = host.packets.size();
        REQUIRE(talk() == GMPUNCH_OK);
        REQUIRE_MESSAGE(until([&] { return host.packets.size() > heard; }, 1000), story());
        heard = client.packets.size();
        REQUIRE(answer() >= 1);
        REQUIRE_MESSAGE(until([&] { return client.packets.size() > heard; }, 1000), story());
    }
    void close() {
        lobby.close();
        client.close();
        host.close();
        master.close();
        CHECK(net.misused == 0);
        CHECK(net.open.empty());
        CHECK(faulty::looked_up.empty());
    }
};

// A socket of the test's own that sends to one address.
struct sender {
    int fd;

    sender(int type, const std::string &to) : fd(::socket(AF_INET, type, 0)) {
        gmpunch_address at = address(to.c_str());
        sockaddr_storage there;
        socklen_t len = gmpunchi_to_sockaddr(&at, 4, &there);
        REQUIRE(::connect(fd, reinterpret_cast<const sockaddr *>(&there), len) == 0);
    }
    ~sender() { ::close(fd); }
    sender(const sender &) = delete;
    sender &operator=(const sender &) = delete;

    void send(const std::string &data) const { REQUIRE(::send(fd, data.data(), data.size(), 0) == ssize_t(data.size())); }
};

// The result that the header names for an error of the system.
int32_t result_of(int error) {
    switch (error) {
    case EADDRINUSE: return GMPUNCH_ERR_ADDRESS_IN_USE;
    case EADDRNOTAVAIL: return GMPUNCH_ERR_ADDRESS_NOT_HERE;
    case EACCES:
    case EPERM: return GMPUNCH_ERR_ACCESS;
    case EMFILE:
    case ENFILE: return GMPUNCH_ERR_DESCRIPTORS;
    default: return GMPUNCH_ERR_SOCKET;
    }
}

struct errors_of {
    call what;
    std::vector<int> errors;
};

// What POSIX and Linux say that each can give.
const std::vector<errors_of> &all_errors() {
    using namespace faulty;
    static const std::vector<errors_of> all = {
        {call_socket, {EACCES, EPERM, EAFNOSUPPORT, EPROTONOSUPPORT, EMFILE, ENFILE, ENOBUFS, ENOMEM}},
        {call_bind, {EACCES, EPERM, EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENOBUFS, ENOMEM}},
        {call_listen, {EADDRINUSE, EACCES, ENOBUFS}},
        {call_connect,
         {EAGAIN, EINTR, EINPROGRESS, EACCES, EPERM, EADDRINUSE, EADDRNOTAVAIL, ECONNREFUSED, ECONNRESET, ETIMEDOUT,
          ENETDOWN, ENETUNREACH, EHOSTUNREACH, ENOBUFS, ENOMEM}},
        {call_so_error, {ECONNREFUSED, ECONNRESET, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH}},
        {call_accept,
         {EAGAIN, EINTR, ECONNABORTED, EPROTO, EPERM, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENETDOWN, ENETUNREACH, EHOSTUNREACH,
          ETIMEDOUT}},
        {call_send, {EAGAIN, EINTR, ECONNRESET, EPIPE, ETIMEDOUT, ENOBUFS, ENOMEM, ENETDOWN, ENETUNREACH, EHOSTUNREACH}},
        {call_sendmsg,
         {EAGAIN, EINTR, EACCES, EPERM, ECONNREFUSED, EMSGSIZE, EINVAL, ENOBUFS, ENOMEM, ENETDOWN, ENETUNREACH,
          EHOSTUNREACH}},
        {call_recv, {0, EAGAIN, EINTR, ECONNRESET, ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENOBUFS, ENOMEM}},
        {call_recvfrom,
         {EAGAIN, EINTR, ECONNREFUSED, ECONNRESET, EMSGSIZE, ENETDOWN, ENETUNREACH, EHOSTUNREACH, ENOBUFS, ENOMEM}},
        {call_recvmmsg,
         {EAGAIN, EINTR, ECONNREFUSED, ECONNRESET, EMSGSIZE, ENETDOWN, ENETUNREACH, EHOSTUNREACH, ENOBUFS, ENOMEM}},
        {call_poll, {EINTR, EAGAIN, EINVAL, ENOMEM}},
        {call_getsockopt, {ENOBUFS, EINVAL}},
        {call_setsockopt, {ENOPROTOOPT, EINVAL, EPERM, ENOMEM}},
        {call_getsockname, {ENOBUFS, EINVAL}},
        {call_fcntl, {EINVAL, EACCES}},
        {call_close, {EINTR, EIO}},
        {call_open, {EMFILE, ENFILE, ENOENT, EACCES}},
        {call_read, {EINTR, EIO}},
        {call_epoll_create, {EMFILE, ENFILE, ENOMEM}},
        {call_epoll_ctl, {ENOMEM, ENOSPC}},
        {call_epoll_wait, {EINTR, EINVAL}},
    };
    return all;
}

// No system interrupts for ever, or says that what does not fit is there for ever: that is tried again at once. And where it tells
// only once that a socket is ready, as it does to a master, it does not say that nothing is there while something is.
bool can_be(role who, call what, int error, size_t times) {
    using namespace faulty;
    bool receives = what == call_accept || what == call_recv || what == call_recvfrom || what == call_recvmmsg;
    if (error == EAGAIN && receives && who == faulty::master) return false;
    return times == 1 || (error != EINTR && (error != EMSGSIZE || !receives));
}

// Opens, and once more without the fault if that failed, as it then should have.
template <class kind>
bool open_in_spite(node<kind> &one, const std::function<int32_t()> &open, const faulty::fault &planned) {
    int32_t result = open();
    if (result == GMPUNCH_OK) return true;
    CHECK(kind::who == planned.who);
    CHECK(result == result_of(planned.error));
    CHECK(one.os_error == planned.error);
    CHECK(one.object == nullptr);
    net.planned.times = 0;
    REQUIRE(open() == GMPUNCH_OK);
    return false;
}

// A session with a fault. While it lasts everybody finds an end or goes on trying; after it all is as it should be. Returns how
// often each call was made until then.
decltype(net.count) play(const faulty::fault &planned) {
    bool lasting = planned.times == SIZE_MAX;
    net.begin(planned);
    session s;
    open_in_spite(
        s.master, [&] { return s.open_master(); }, planned);
    open_in_spite(
        s.host, [&] { return s.host.open(); }, planned);
    bool registers = s.until([&] { return s.registered(); }, lasting ? 10000 : 100000);
    CHECK_MESSAGE((registers || lasting), s.story());
    open_in_spite(
        s.client, [&] { return s.client.open(); }, planned);
    REQUIRE_MESSAGE(s.until([&] { return s.over(); }, 20000), s.story());
    if (s.connected()) {
        for (int i = 0; i < 3; i++) { // like any datagram each may get lost
            s.talk();
            s.answer();
            s.until([] { return false; }, 100);
        }
        CHECK((lasting || !s.host.packets.empty()));
        CHECK((lasting || !s.client.packets.empty()));
    } else {
        CHECK_MESSAGE(lasting, s.story());
        CHECK(s.client.last(GMPUNCH_EVENT_FAILED)->reason != GMPUNCH_REASON_NONE);
    }
    open_in_spite(
        s.lobby, [&] { return s.lobby.open(); }, planned);
    REQUIRE_MESSAGE(s.until([&] { return s.list_over(); }, 30000), s.story());
    if (!s.listed()) CHECK(s.lobby.last(GMPUNCH_EVENT_FAILED)->reason != GMPUNCH_REASON_NONE);
    for (any_node *one : s.all) one->wait(1000);
    net.planned.times = 0;
    decltype(net.count) made = net.count;
    s.patience += 4;
    s.check_recovers();
    s.close();
    return made;
}

std::string describe(const faulty::fault &planned) {
    static const char *const who[] = {"master", "host", "client", "lobby"};
    return std::string(who[planned.who]) + ": " + faulty::name(planned.what) + " number " + std::to_string(planned.first) +
           " fails with " + (planned.error ? strerror(planned.error) : "the end");
}

// Each call of `who` fails in turn with each of its errors, `times` in a row.
void check_all(role who, size_t times) {
    const decltype(net.count) made = play(faulty::fault());
    size_t met = 0, sessions = 0;
    for (const errors_of &one : all_errors()) {
        for (size_t n = 0; n < made[who][one.what]; n++) {
            for (int error : one.errors) {
                if (!can_be(who, one.what, error, times)) continue;
                faulty::fault planned = {who, one.what, n, times, error};
                CAPTURE(describe(planned));
                play(planned);
                sessions++;
                met += net.hits > 0;
            }
        }
    }
    MESSAGE(sessions, " sessions, in ", met, " of them the fault was met");
    CHECK(met * 10 > sessions * 8); // not all sessions make the same calls
}

} // namespace

TEST_CASE("faults: a session without any leaves nothing open") {
    play(faulty::fault());
    for (role who : {faulty::master, faulty::host, faulty::client, faulty::lobby}) {
        size_t all = 0;
        for (size_t n : net.count[who]) all += n;
        CHECK(all > 10);
        CHECK(all < 2000);
    }
}

TEST_CASE("faults: each call of a master fails once") { check_all(faulty::master, 1); }
TEST_CASE("faults: each call of a host fails once") { check_all(faulty::host, 1); }
TEST_CASE("faults: each call of a client fails once") { check_all(faulty::client, 1); }
TEST_CASE("faults: each call of a lobby fails once") { check_all(faulty::lobby, 1); }

TEST_CASE("faults: a call of a master fails from then on, until it ends") { check_all(faulty::master, SIZE_MAX); }
TEST_CASE("faults: a call of a host fails from then on, until it ends") { check_all(faulty::host, SIZE_MAX); }
TEST_CASE("faults: a call of a client fails from then on, until it ends") { check_all(faulty::client, SIZE_MAX); }
TEST_CASE("faults: a call of a lobby fails from then on, until it ends") { check_all(faulty::lobby, SIZE_MAX); }

// ---- what is told of a fault that lasts ----

namespace {

struct told {
    call what;
    size_t first;
    std::vector<int> errors;
    int32_t reason;
};

const std::vector<int> connect_errors = {EAGAIN,     EACCES,    EPERM,    EADDRINUSE,  EADDRNOTAVAIL, ECONNREFUSED,
                                         ECONNRESET, ETIMEDOUT, ENETDOWN, ENETUNREACH, EHOSTUNREACH,  ENOMEM};
const std::vector<int> no_socket = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES};
const std::vector<int> reset = {ECONNRESET, ETIMEDOUT, EHOSTUNREACH};

// Of a host and a client.
const std::vector<told> no_way_to_the_master = {
    {faulty::call_socket, 1, no_socket, GMPUNCH_REASON_MASTER_UNREACHABLE},
    {faulty::call_bind, 1, {EADDRINUSE, EADDRNOTAVAIL, EACCES}, GMPUNCH_REASON_MASTER_UNREACHABLE},
    {faulty::call_connect, 0, connect_errors, GMPUNCH_REASON_MASTER_UNREACHABLE},
    {faulty::call_so_error, 0, connect_errors, GMPUNCH_REASON_MASTER_UNREACHABLE},
    {faulty::call_getsockopt, 0, {ENOBUFS}, GMPUNCH_REASON_MASTER_UNREACHABLE},
    {faulty::call_send, 0, reset, GMPUNCH_REASON_MASTER_CLOSED},
    {faulty::call_send, 0, {EPIPE, ENOBUFS, ENOMEM}, GMPUNCH_REASON_MASTER_CLOSED}};

// What the FAILED of a client or lobby, or the UNREGISTERED of a host says.
template <class kind>
void check_told(node<kind> session::*who, int32_t type, const std::vector<told> &all) {
    for (const told &one : all) {
        for (int error : one.errors) {
            faulty::fault planned = {kind::who, one.what, one.first, SIZE_MAX, error};
            CAPTURE(describe(planned));
            net.begin();
            session s;
            node<kind> &node = s.*who;
            REQUIRE(s.open_master() == GMPUNCH_OK);
            if (kind::who != faulty::host) {
                REQUIRE(s.host.open() == GMPUNCH_OK);
                REQUIRE(s.until([&] { return s.registered(); }, 1000));
            }
            net.begin(planned);
            REQUIRE(node.open() == GMPUNCH_OK);
            REQUIRE_MESSAGE(s.until([&] { return node.count(type) != 0; }, 100000), s.story());
            CHECK_MESSAGE(node.last(type)->reason == one.reason, s.story());
            CHECK(node.last(type)->os_error == (one.reason == GMPUNCH_REASON_MASTER_SILENT ? 0 : error));
            CHECK(node.last_os_error() == node.last(type)->os_error);
            if (one.reason == GMPUNCH_REASON_MASTER_UNREACHABLE) CHECK(node.count(GMPUNCH_EVENT_REGISTERED) == 0);
            net.planned.times = 0;
            s.close();
        }
    }
}

} // namespace

TEST_CASE("faults: a host says why it is not registered") {
    using namespace faulty;
    check_told(&session::host, GMPUNCH_EVENT_UNREGISTERED, no_way_to_the_master);
}

TEST_CASE("faults: a client says why it failed") {
    using namespace faulty;
    check_told(&session::client, GMPUNCH_EVENT_FAILED, no_way_to_the_master);
    check_told(&session::client, GMPUNCH_EVENT_FAILED,
               {{call_send, 0, {EAGAIN}, GMPUNCH_REASON_MASTER_SILENT},
                {call_recv, 0, {0, ENOMEM}, GMPUNCH_REASON_MASTER_CLOSED},
                {call_recv, 0, reset, GMPUNCH_REASON_MASTER_CLOSED},
                {call_recv, 0, {EAGAIN}, GMPUNCH_REASON_MASTER_SILENT},
                {call_sendmsg, 0, {EPERM, ENETUNREACH, ENOBUFS, EINVAL}, GMPUNCH_REASON_HOST_SILENT}});
}

TEST_CASE("faults: a lobby says why it failed") {
    using namespace faulty;
    check_told(&session::lobby, GMPUNCH_EVENT_FAILED,
               {{call_socket, 0, no_socket, GMPUNCH_REASON_MASTER_UNREACHABLE},
                {call_bind, 0, {EADDRINUSE, EADDRNOTAVAIL, EACCES}, GMPUNCH_REASON_MASTER_UNREACHABLE},
                {call_connect, 0, connect_errors, GMPUNCH_REASON_MASTER_UNREACHABLE},
                {call_so_error, 0, connect_errors, GMPUNCH_REASON_MASTER_UNREACHABLE},
                {call_send, 0, reset, GMPUNCH_REASON_MASTER_CLOSED},
                {call_send, 0, {EAGAIN}, GMPUNCH_REASON_MASTER_SILENT},
                {call_recv, 0, {0, ENOMEM}, GMPUNCH_REASON_MASTER_CLOSED},
                {call_recv, 0, reset, GMPUNCH_REASON_MASTER_CLOSED},
                {call_recv, 0, {EAGAIN}, GMPUNCH_REASON_MASTER_SILENT}});
}

TEST_CASE("faults: a master that can accept nobody says so, waits, and accepts when it can") {
    for (int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, ECONNABORTED, EPROTO, ENETDOWN}) {
        CAPTURE(error);
        net.begin({faulty::master, faulty::call_accept, 0, SIZE_MAX, error});
        session s;
        std::string said;
        s.master.config.log_user = &said;
        s.master.config.log = [](void *user, int32_t, int32_t, const char *text) {
            static_cast<std::string *>(user)->append(text);
        };
        REQUIRE(s.open_master() == GMPUNCH_OK);
        REQUIRE(s.lobby.open() == GMPUNCH_OK);
        s.until([] { return false; }, 100);
        size_t before = net.work;
        s.master.wait(1000);
        CHECK(net.work - before < 500);
        CHECK(s.master.last_os_error() == error);
        CHECK(s.master_stats().accepted == 0);
        if (error != ECONNABORTED && error != EPROTO && error != ENETDOWN && error != EPERM)
            CHECK((said.find("no socket descriptors left") != said.npos) == (error == EMFILE || error == ENFILE));
        net.planned.times = 0;
        REQUIRE_MESSAGE(s.until([&] { return s.list_over(); }, 1000), s.story());
        CHECK(s.listed());
        s.close();
    }
}

namespace {

// Gives nothing from allocation number fail_from on, as often as fail_times says.
struct allocator {
    size_t calls = 0, refused = 0, used = 0, fail_from = SIZE_MAX, fail_times = 0;

    gmpunch_allocator given() {
        gmpunch_allocator made = gmpunch_allocator();
        made.alloc = [](size_t size, void *user) -> void * {
            allocator *self = static_cast<allocator *>(user);
            size_t number = self->calls++;
            if (number >= self->fail_from && number - self->fail_from < self->fail_times) {
                self->refused++;
                return nullptr;
            }
            self->used += size;
            return std::malloc(size);
        };
        made.free = [](void *memory, size_t size, void *user) {
            static_cast<allocator *>(user)->used -= size;
            std::free(memory);
        };
        made.user = this;
        return made;
    }
};

} // namespace

// ---- what stands next to the system ----

TEST_CASE("faults: the clocks are those of the system") {
    net.begin();
    uint64_t before = net.now_us;
    net.now_us = 123456789012999;
    CHECK(gmpunch_now_us() == 123456789013000); // each look takes one
    CHECK(gmpunch_now() == 123456789013);
    CHECK(gmpunchi_unix_time() == 123456789 + uint64_t(net.unix_seconds));
    net.now_us = before;
}

TEST_CASE("faults: the seed is the system's; without one, time and place make it") {
    net.begin();
    uint64_t before = net.now_us, first = gmpunchi_seed(&before);
    net.now_us = before;
    CHECK(gmpunchi_seed(&before) != first);
    CHECK(net.open.empty());
    int input = ::dup(0); // descriptor 0 is one like others
    ::close(0);
    gmpunchi_seed(&before);
    CHECK(net.open.empty());
    if (input >= 0) {
        ::dup2(input, 0);
        ::close(input);
    }
    for (faulty::call what : {faulty::call_open, faulty::call_read}) {
        net.begin({faulty::host, what, 0, SIZE_MAX, EIO});
        net.who = faulty::host;
        const uint64_t now = net.now_us + 1;
        CHECK(gmpunchi_seed(&before) == (now * 0x9e3779b97f4a7c15 ^ uint64_t(uintptr_t(&before))));
        CHECK(gmpunchi_seed(&before) != gmpunchi_seed(&before));
        const uint64_t next = (net.now_us + 1) * 0x9e3779b97f4a7c15;
        if (next <= UINTPTR_MAX) CHECK(gmpunchi_seed(reinterpret_cast<const void *>(uintptr_t(next))) == 1); // 0 is none
        net.who = faulty::roles;
        CHECK(net.open.empty());
    }
    for (uint64_t given : {uint64_t(0), uint64_t(5)}) { // it is asked for only if there is none
        net.begin();
        session s;
        s.master.config.seed = s.host.config.seed = s.client.config.seed = given;
        REQUIRE(s.open_master() == GMPUNCH_OK);
        REQUIRE(s.host.open() == GMPUNCH_OK);
        REQUIRE(s.client.open() == GMPUNCH_OK);
        for (role who : {faulty::master, faulty::host, faulty::client})
            CHECK(net.count[who][faulty::call_open] == (given ? 0 : 1));
        s.close();
    }
}

TEST_CASE("faults: a wait takes as long as it was asked for, or has no end") {
    const int64_t endless = -1;
    gmpunchi_watch watch;
    session s;
    net.begin();
    allocator memory;
    gmpunch_allocator given = memory.given();
    REQUIRE(gmpunchi_watch_open(&watch, &given) == GMPUNCH_OK);
    uint64_t before = net.now_us;
    for (uint32_t ms : {0u, 1u, 999u, 0x7ffffffeu, 0x7fffffffu, 0x80000000u, GMPUNCH_NEVER}) {
        CAPTURE(ms);
        for (int many = 0; many < 2; many++) {
            net.waited.clear();
            if (many) CHECK(gmpunchi_watch_wait(&watch, ms) == GMPUNCH_OK);
            else CHECK(gmpunchi_wait(nullptr, 0, ms) == 0);
            CHECK(net.waited == std::vector<int64_t>{ms > 0x7fffffff ? endless : int64_t(ms)});
        }
    }
    net.now_us = before;
    gmpunchi_watch_close(&watch);
    CHECK(net.open.empty());
    CHECK(memory.used == 0);
}

TEST_CASE("faults: waits without fruit are followed by pauses, and that is said once") {
    struct lines {
        std::vector<std::string> all;
        static void add(void *user, int32_t, int32_t, const char *text) { static_cast<lines *>(user)->all.push_back(text); }
    } said;
    for (uint64_t left : {uint64_t(0), uint64_t(3), uint64_t(10), uint64_t(11), uint64_t(1) << 32}) {
        CAPTURE(left);
        net.begin();
        said.all.clear();
        gmpunchi_object object = {};
        object.log = lines::add;
        object.log_user = &said;
        uint32_t count = 0;
        uint64_t before = net.now_us;
        for (uint32_t i = 1; i < GMPUNCHI_FRUITLESS; i++) gmpunchi_fruitless(&object, &count, left);
        CHECK(net.naps == 0);
        CHECK(said.all.empty());
        CHECK(object.os_error == 0);
        errno = EBADF;
        for (size_t i = 1; i <= 3; i++) {
            gmpunchi_fruitless(&object, &count, left);
            CHECK(net.naps == (left ? i : 0));
            CHECK(net.now_us == before + i * 1000 * std::min(left, uint64_t(GMPUNCHI_FRUITLESS_PAUSE_MS)));
            CHECK(said.all.size() == 1);
            CHECK(object.os_error == EBADF);
        }
    }
}

TEST_CASE("faults: where waiting fails at once, there are pauses until the time is over") {
    for (int who = 0; who < 3; who++) {
        CAPTURE(who);
        net.begin();
        session s;
        if (who == 0) REQUIRE(s.open_master() == GMPUNCH_OK);
        s.host.config.master = nullptr;
        if (who == 1) REQUIRE(s.host.open() == GMPUNCH_OK);
        s.client.config.direct_only = 1;
        s.client.config.direct_port = 9;
        s.client.config.knock_interval_ms = 10000;
        if (who == 2) REQUIRE(s.client.open() == GMPUNCH_OK);
        s.all[size_t(who)]->step();
        faulty::fault planned = {role(who), faulty::call_poll, 0, SIZE_MAX, EINVAL};
#if defined(GMPUNCHI_EPOLL)
        if (who == 0) planned.what = faulty::call_epoll_wait;
#endif
        net.begin(planned);
        uint64_t before = net.now_us / 1000;
        s.all[size_t(who)]->wait(1000);
        CHECK(net.now_us / 1000 - before <= 1001);
        CHECK(net.naps >= 98);
        CHECK(net.naps <= 100);
        CHECK(net.hits == net.naps + GMPUNCHI_FRUITLESS - 1);
        CHECK(s.host.last_os_error() == (who == 1 ? EINVAL : 0));
        CHECK(s.client.last_os_error() == (who == 2 ? EINVAL : 0));
        CHECK(s.master.last_os_error() == (who == 0 ? EINVAL : 0));
        s.close();
    }
}

TEST_CASE("faults: a poll waits for the time that it was given, however long") {
    const int64_t endless = -1, hour = 3600000; // as long as the endless is here
    for (int who = 0; who < 2; who++) {
        CAPTURE(who);
        net.begin();
        uint64_t before = net.now_us;
        session s;
        s.host.config.master = nullptr;
        if (who == 0) REQUIRE(s.open_master() == GMPUNCH_OK);
        if (who == 1) REQUIRE(s.host.open() == GMPUNCH_OK);
        s.all[size_t(who)]->step();
        for (uint32_t ms : {1u, 5u, 0x7ffffffeu, 0x7fffffffu, 0x80000000u}) {
            CAPTURE(ms);
            net.waited.clear();
            s.all[size_t(who)]->wait(ms);
            if (ms > 0x7fffffff) CHECK(net.waited == std::vector<int64_t>{endless, int64_t(ms) - hour});
            else CHECK(net.waited == std::vector<int64_t>{ms});
        }
        s.close();
        net.now_us = before;
    }
}

TEST_CASE("faults: an adopted socket that can't be used is refused, and left open") {
    for (faulty::call what : {faulty::call_fcntl, faulty::call_getsockname}) {
        for (size_t first = 0; first < 2; first++) {
            net.begin({faulty::host, what, first, 1, EINVAL});
            session s;
            int mine = ::socket(AF_INET, SOCK_DGRAM, 0);
            REQUIRE(mine >= 0);
            net.open.insert(mine);
            s.host.config.socket_mode = GMPUNCH_SOCKET_ADOPTED;
            s.host.config.udp_socket = uintptr_t(mine);
            s.host.config.bind_address = nullptr;
            s.host.config.master = nullptr;
            bool refused = what == faulty::call_fcntl || first == 0; // it may be not bound yet
            CHECK(s.host.open() == (refused ? int32_t(GMPUNCH_ERR_SOCKET) : int32_t(GMPUNCH_OK)));
            CHECK(s.host.os_error == (refused ? EINVAL : 0));
            CHECK((s.host.object == nullptr) == refused);
            s.host.close();
            CHECK(net.open == std::set<int>{mine});
            CHECK(::close(mine) == 0);
            net.open.clear();
            s.close();
        }
    }
}

TEST_CASE("faults: a socket of another kind is not adopted") {
    net.begin();
    session s;
    int local = ::socket(AF_UNIX, SOCK_DGRAM, 0);
    REQUIRE(local >= 0);
    net.open.insert(local);
    s.host.config.socket_mode = GMPUNCH_SOCKET_ADOPTED;
    s.host.config.udp_socket = uintptr_t(local);
    s.host.config.bind_address = nullptr;
    s.host.config.master = nullptr;
    CHECK(s.host.open() == GMPUNCH_ERR_SOCKET);
    net.open.erase(local);
    ::close(local);
    s.close();
}

TEST_CASE("faults: sockets are not inherited, never block, and connections have their options") {
    net.begin();
    session s;
    s.open_all();
    REQUIRE(s.until([&] { return s.master_stats().accepted >= 3; }, 1000));
    size_t connections = 0, listeners = 0;
    for (int fd : net.open) {
        CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        auto option = [&](int level, int which) {
            int value = -1;
            socklen_t len = sizeof value;
            return ::getsockopt(fd, level, which, &value, &len) ? -1 : value;
        };
        if (option(SOL_SOCKET, SO_TYPE) < 0) continue; // the queue of epoll
        CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        if (option(SOL_SOCKET, SO_TYPE) != SOCK_STREAM) continue;
#if defined(SO_ACCEPTCONN)
        if (option(SOL_SOCKET, SO_ACCEPTCONN) > 0) {
            listeners++;
            CHECK(option(SOL_SOCKET, SO_REUSEADDR) != 0);
        }
#endif
        connections++;
        CHECK(option(IPPROTO_TCP, TCP_NODELAY) != 0);
        CHECK(option(SOL_SOCKET, SO_KEEPALIVE) != 0);
#if defined(__linux__)
        CHECK(option(IPPROTO_TCP, TCP_KEEPIDLE) == 60);
        CHECK(option(IPPROTO_TCP, TCP_KEEPINTVL) == 15);
        CHECK(option(IPPROTO_TCP, TCP_KEEPCNT) == 4);
        CHECK(option(IPPROTO_TCP, TCP_USER_TIMEOUT) == 60000);
#endif
    }
    CHECK(connections >= 5);
#if defined(SO_ACCEPTCONN)
    CHECK(listeners == 1);
#endif
    s.close();
}

TEST_CASE("faults: a poll of one socket that has no time to wait is one call") {
    net.begin();
    session s;
    s.host.config.master = nullptr;
    REQUIRE(s.host.open() == GMPUNCH_OK);
    s.host.step();
    CHECK(net.count[faulty::host][faulty::call_recvfrom] == 1);
    CHECK(net.count[faulty::host][faulty::call_poll] == 0);
    s.host.wait(1);
    CHECK(net.count[faulty::host][faulty::call_recvfrom] == 1);
    CHECK(net.count[faulty::host][faulty::call_poll] == 1);
    s.close();
}

TEST_CASE("faults: who is late hears first what came, who is in time does not look twice") {
    for (uint64_t late : {0u, 999u, 1000u}) {
        CAPTURE(late);
        net.begin();
        session s;
        s.client.config.direct_only = 1;
        s.client.config.direct_port = 9;
        REQUIRE(s.client.open() == GMPUNCH_OK);
        s.client.step();
        net.now_us = (s.client.deadline() + late) * 1000;
        size_t before = net.count[faulty::client][faulty::call_recvfrom];
        s.client.step();
        CHECK(net.count[faulty::client][faulty::call_recvfrom] - before == (late < 1000 ? 1 : 2));
        s.close();
    }
}

#if defined(GMPUNCHI_EPOLL)
TEST_CASE("faults: what is told of a socket that is watched") {
    net.begin();
    gmpunchi_watch watch;
    REQUIRE(gmpunchi_watch_open(&watch, nullptr) == GMPUNCH_OK);
    int pair[2][2];
    for (int i = 0; i < 2; i++) {
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]) == 0);
        net.open.insert(pair[i][0]);
        REQUIRE(gmpunchi_watch_add(&watch, uintptr_t(pair[i][0]), uint32_t(70000 + i)) == GMPUNCH_OK);
    }
    auto told = [&] {
        std::map<uint32_t, uint32_t> all;
        gmpunchi_ready ready;
        REQUIRE(gmpunchi_watch_wait(&watch, 0) == GMPUNCH_OK);
        while (gmpunchi_watch_next(&watch, &ready) == 1) all[ready.key] = ready.what;
        CHECK(gmpunchi_watch_next(&watch, &ready) == 0);
        return all;
    };
    typedef std::map<uint32_t, uint32_t> expected;
    CHECK(told().empty());
    for (int i = 0; i < 2; i++) REQUIRE(::send(pair[i][1], "x", 1, 0) == 1);
    CHECK(told() == expected{{70000, GMPUNCHI_READY_READ}, {70001, GMPUNCHI_READY_READ}});
    CHECK(told().empty()); // once
    gmpunchi_watch_set(&watch, uintptr_t(pair[0][0]), 70000, GMPUNCHI_READY_READ | GMPUNCHI_READY_WRITE);
    CHECK(told() == expected{{70000, GMPUNCHI_READY_READ | GMPUNCHI_READY_WRITE}});
    gmpunchi_watch_set(&watch, uintptr_t(pair[0][0]), 70000, GMPUNCHI_READY_WRITE);
    CHECK(told() == expected{{70000, GMPUNCHI_READY_WRITE}});
    gmpunchi_watch_set(&watch, uintptr_t(pair[0][0]), 70000, 0);
    CHECK(told().empty());
    gmpunchi_watch_set(&watch, uintptr_t(pair[0][0]), 70000, GMPUNCHI_READY_READ);
    told();
    REQUIRE(::shutdown(pair[0][1], SHUT_WR) == 0); // the other side sends no more
    CHECK(told() == expected{{70000, GMPUNCHI_READY_READ | GMPUNCHI_READY_LAST}});
    ::close(pair[1][1]); // and here it is gone
    CHECK(told() == expected{{70001, GMPUNCHI_READY_READ | GMPUNCHI_READY_LAST}});
    ::close(pair[0][1]);
    gmpunch_wait wait = {1, 99, 99};
    CHECK(gmpunchi_watch_waits(&watch, &wait, 0) == 1);
    CHECK(wait.events == 99);
    CHECK(gmpunchi_watch_waits(&watch, &wait, 1) == 1);
    CHECK(wait.socket == uintptr_t(watch.queue));
    CHECK(wait.events == GMPUNCH_WAIT_READ);
    CHECK(wait.reserved == 0);
    for (auto &each : pair) {
        uintptr_t fd = uintptr_t(each[0]);
        gmpunchi_socket_close(&fd);
        CHECK(fd == GMPUNCHI_NO_SOCKET);
        gmpunchi_socket_close(&fd); // nothing more
    }
    gmpunchi_watch_close(&watch);
    gmpunchi_watch_close(&watch);
    CHECK(net.misused == 0);
    CHECK(net.open.empty());
}
#endif

// ---- opening ----

TEST_CASE("faults: a system without IPv6 has IPv4, but one without room for a socket has none") {
    const errors_of without[] = {
        {faulty::call_socket, {EAFNOSUPPORT, EPROTONOSUPPORT, EADDRNOTAVAIL}},
        {faulty::call_setsockopt, {ENOPROTOOPT, EINVAL}},
        {faulty::call_bind, {EADDRNOTAVAIL, EINVAL, EAFNOSUPPORT}},
        {faulty::call_socket, {ENOBUFS, ENOMEM, EMFILE}},
        {faulty::call_setsockopt, {ENOBUFS, ENOMEM}},
        {faulty::call_bind, {EADDRINUSE, EACCES, ENOMEM}},
    };
    for (const errors_of &each : without) {
        bool has_ipv4 = &each < without + 3;
        for (int error : each.errors) {
            CAPTURE(faulty::name(each.what));
            CAPTURE(error);
            net.begin({faulty::host, each.what, 0, 1, error});
            session s;
            s.host.config.bind_address = nullptr;
            s.host.config.master = nullptr;
            CHECK(s.host.open() == (has_ipv4 ? int32_t(GMPUNCH_OK) : result_of(error)));
            CHECK(s.host.os_error == (has_ipv4 ? 0 : error));
            gmpunch_address at;
            if (has_ipv4) {
                REQUIRE(s.host.as([&] { return gmpunch_host_local_address(s.host.object, &at); }) == GMPUNCH_OK);
                CHECK(at.family == 4);
            }
            s.close();
            // a master opens two sockets, each of them first for IPv6; this is the first
            net.begin({faulty::master, faulty::call_socket, 0, 1, error});
            s.master.config.bind_address = nullptr;
            if (each.what != faulty::call_socket) continue;
            CHECK(s.master.open() == (has_ipv4 ? int32_t(GMPUNCH_OK) : result_of(error)));
            CHECK(s.master.os_error == (has_ipv4 ? 0 : error));
            s.close();
        }
    }
}

TEST_CASE("faults: opening begins to connect, without a poll") {
    net.begin();
    session s;
    s.open_all();
    for (role who : {faulty::host, faulty::client, faulty::lobby}) CHECK(net.count[who][faulty::call_connect] == 1);
    s.close();
}

TEST_CASE("faults: a master at work does not pause, whatever the work") {
    enum { datagrams, connections, bytes_in, bytes_out, kinds };
    for (int kind = 0; kind < kinds; kind++) {
        CAPTURE(kind);
        net.begin();
        session s;
        REQUIRE(s.open_master() == GMPUNCH_OK);
        std::vector<std::unique_ptr<sender>> mine;
        mine.emplace_back(new sender(kind == datagrams ? SOCK_DGRAM : SOCK_STREAM, s.master_text));
        s.master.wait(0);
        size_t waits = 0, expected = 40;
        if (kind == bytes_out) { // all that it has to do is to send the answers, a byte at a time
            net.take = 1;
            for (int i = 0; i < 10; i++) mine[0]->send("version\n");
        }
        net.before_wait = [&] {
            if (++waits > expected) return;
            if (kind == connections) mine.emplace_back(new sender(SOCK_STREAM, s.master_text));
            else if (kind != bytes_out) mine[0]->send("ping\n");
            std::vector<pollfd> all;
            s.master.add_sockets(all);
            if (kind != bytes_out) REQUIRE(::poll(all.data(), nfds_t(all.size()), 10000) > 0); // it may take a moment
        };
        s.master.as([&] { return gmpunch_master_poll(s.master.object, nullptr, 100); });
        CHECK(waits > expected);
        CHECK(net.naps == 0);
        net.before_wait = nullptr;
        gmpunch_master_stats stats = s.master_stats();
        if (kind == datagrams) CHECK(stats.udp_received == expected);
        if (kind == connections) CHECK(stats.accepted + stats.refused_connections_ip == expected + 1);
        if (kind == bytes_in) CHECK(stats.tcp_bytes_in == 5 * expected);
        if (kind == bytes_out) CHECK(stats.tcp_bytes_out == 70);
        s.close();
    }
}

TEST_CASE("faults: one poll without time to wait sends all lists that were asked for, up to a limit") {
    for (size_t crowd : {size_t(8), size_t(40)}) {
        CAPTURE(crowd);
        net.begin();
        session s;
        REQUIRE(s.open_master() == GMPUNCH_OK);
        std::vector<std::unique_ptr<node<lobby_kind>>> lobbies;
        s.all = {};
        for (size_t i = 0; i < crowd; i++) {
            lobbies.emplace_back(new node<lobby_kind>);
            std::string filter = std::to_string(i); // each list is another
            lobbies.back()->config.master = s.master_text.c_str();
            lobbies.back()->config.filter[0] = filter.c_str();
            REQUIRE(lobbies.back()->open() == GMPUNCH_OK);
            s.all.push_back(lobbies.back().get());
        }
        auto poll = [&] { return s.master.as([&] { return gmpunch_master_poll(s.master.object, nullptr, 0); }); };
        auto asked = [&] { return net.count[faulty::lobby][faulty::call_send] >= crowd; };
        REQUIRE(s.until([&] { return poll(), asked(); }, 1000));
        for (int i = 0; i < 5 && s.master_stats().lobby_built == 0; i++) poll();
        CHECK(s.master_stats().lobby_built == std::min(crowd, size_t(GMPUNCHI_MASTER_ROUNDS)));
        lobbies.clear();
        s.close();
    }
}

TEST_CASE("faults: a master reads so much of each socket, and then others have their turn") {
    net.begin();
    session s;
    s.master.config.max_connections_per_ip = 1000;
    s.master.config.max_commands_per_second = GMPUNCH_NEVER;
    REQUIRE(s.open_master() == GMPUNCH_OK);
    sender udp(SOCK_DGRAM, s.master_text);
    std::vector<std::unique_ptr<sender>> tcp;
    const gmpunchi_master_drive *drive = static_cast<const gmpunchi_master_drive *>(s.master.object->object.drive);
    gmpunchi_socket_set(drive->bind[0].udp, SOL_SOCKET, SO_RCVBUF, 1 << 20);
    std::vector<gmpunch_master_stats> rounds;
    auto play = [&] {
        std::vector<pollfd> sockets;
        s.master.add_sockets(sockets);
        REQUIRE(::poll(sockets.data(), nfds_t(sockets.size()), 10000) > 0);
        rounds.clear();
        net.before_wait = [&] { rounds.push_back(s.master_stats()); };
        s.master.as([&] { return gmpunch_master_poll(s.master.object, nullptr, 0); });
        net.before_wait = nullptr;
        REQUIRE(rounds.size() >= 2);
    };
    for (int i = 0; i < 300; i++) udp.send("?");
    play();
    CHECK(rounds[1].udp_received == GMPUNCHI_MASTER_DATAGRAMS);
    CHECK(s.master_stats().udp_received == 300);
    for (int i = 0; i < 100; i++) tcp.emplace_back(new sender(SOCK_STREAM, s.master_text));
    play();
    CHECK(rounds[1].accepted == GMPUNCHI_MASTER_ACCEPTS);
    CHECK(s.master_stats().accepted == 100);
    std::string pings;
    while (pings.size() < 5 * GMPUNCHI_MASTER_RX) pings += "ping\n";
    tcp[0]->send(pings);
    play();
    CHECK(rounds[1].tcp_bytes_in == GMPUNCHI_MASTER_READS * GMPUNCHI_MASTER_RX);
    CHECK(s.master_stats().tcp_bytes_in == pings.size());
    s.close();
}

TEST_CASE("faults: a host that is flooded looks at its connection, and comes back from a poll") {
    net.begin();
    session s;
    REQUIRE(s.open_master() == GMPUNCH_OK);
    REQUIRE(s.host.open() == GMPUNCH_OK);
    REQUIRE(s.until([&] { return s.registered(); }, 1000));
    gmpunch_address at;
    REQUIRE(s.host.as([&] { return gmpunch_host_local_address(s.host.object, &at); }) == GMPUNCH_OK);
    sender stranger(SOCK_DGRAM, text(at));
    const size_t all = 150;
    for (size_t i = 0; i < all; i++) stranger.send("?");
    for (size_t read = 0; read < all;) {
        net.count = {};
        gmpunch_event event;
        CHECK(!s.host.poll_once(&event));
        read = std::min(read + GMPUNCHI_DRIVE_ROUNDS, all);
        REQUIRE(s.host_stats().strangers == read);
        // the first poll tells of a datagram, and with a streak there are so many more
        if (read == GMPUNCHI_DRIVE_ROUNDS)
            CHECK(net.count[faulty::host][faulty::call_poll] ==
                  (GMPUNCHI_DRIVE_ROUNDS + GMPUNCHI_DRIVE_STREAK) / (GMPUNCHI_DRIVE_STREAK + 1));
    }
    s.close();
}

TEST_CASE("faults: a master looks for a port that is free for TCP and UDP, but not for ever") {
    for (int fixed = 0; fixed < 2; fixed++) {
        CAPTURE(fixed);
        net.begin({faulty::master, faulty::call_bind, 1, SIZE_MAX, EADDRINUSE});
        session s;
        s.master.config.any_port = !fixed;
        CHECK(s.master.open() == GMPUNCH_ERR_ADDRESS_IN_USE);
        CHECK(s.master.os_error == EADDRINUSE);
        CHECK(net.count[faulty::master][faulty::call_bind] ==
              (fixed ? 2 : GMPUNCHI_BIND_TRIES + 1)); // the first was for both
        s.close();
        net.begin({faulty::master, faulty::call_bind, 1, 1, EADDRINUSE});
        CHECK(s.master.open() == (fixed ? int32_t(GMPUNCH_ERR_ADDRESS_IN_USE) : int32_t(GMPUNCH_OK)));
        CHECK(s.master.os_error == (fixed ? EADDRINUSE : 0));
        s.close();
    }
}

TEST_CASE("faults: the connection to the master comes from the address of the datagrams, if they have one") {
    for (const char *own : {"127.0.0.1", "0.0.0.0"}) {
        net.begin();
        session s;
        REQUIRE(s.open_master() == GMPUNCH_OK);
        s.host.config.bind_address = own;
        REQUIRE(s.host.open() == GMPUNCH_OK);
        CHECK(net.count[faulty::host][faulty::call_bind] == (std::string(own) == "0.0.0.0" ? 1 : 2));
        REQUIRE(s.until([&] { return s.registered(); }, 1000));
        gmpunch_address udp, tcp;
        REQUIRE(s.host.as([&] { return gmpunch_host_local_address(s.host.object, &udp); }) == GMPUNCH_OK);
        for (int fd : net.open)
            if (gmpunchi_socket_local(uintptr_t(fd), &tcp, nullptr) == GMPUNCH_OK)
                CHECK((tcp.port != udp.port || fd == int(gmpunch_host_socket(s.host.object)))); // a port of its own
        s.close();
    }
}

TEST_CASE("faults: errors that speak of datagrams sent before are passed over, so many in a row") {
    for (int batched = 0; batched < 2; batched++) {
        for (size_t errors : {size_t(GMPUNCHI_SKIPPED_ERRORS - 1), size_t(GMPUNCHI_SKIPPED_ERRORS)}) {
            CAPTURE(batched);
            CAPTURE(errors);
            net.begin();
            const gmpunch_address loopback = address("127.0.0.1");
            uint8_t family, data[10];
            uintptr_t fd = gmpunchi_socket_open_bound(&loopback, 0, SOCK_DGRAM, &family);
            gmpunch_address self, from;
            REQUIRE(gmpunchi_socket_local(fd, &self, nullptr) == GMPUNCH_OK);
            sender(SOCK_DGRAM, text(self)).send("here");
            faulty::fault planned = {faulty::master, faulty::call_recvfrom, 0, errors, ECONNREFUSED};
#if defined(__linux__)
            if (batched) planned.what = faulty::call_recvmmsg;
#endif
            net.begin(planned);
            net.who = faulty::master;
            bool found = errors < GMPUNCHI_SKIPPED_ERRORS;
            if (batched) {
                std::unique_ptr<gmpunchi_batch> batch(new gmpunchi_batch());
                uint32_t most;
                CHECK(gmpunchi_udp_receive_batch(fd, batch.get(), &most) == (found ? 1u : 0u));
                if (found) CHECK(batch->len[0] == 4);
            } else {
                CHECK(gmpunchi_udp_receive(fd, data, sizeof data, &from) == (found ? 4 : int32_t(GMPUNCH_ERR_WOULD_BLOCK)));
            }
            CHECK(net.hits == errors);
            net.who = faulty::roles;
            gmpunchi_socket_close(&fd);
        }
    }
}

// ---- bytes and memory ----

TEST_CASE("faults: connections that take and give any number of bytes at once") {
    const std::string strings[] = {std::string(90, 'x'), "two", "three \xc3\xa9", "<&>", "5", "6", "7",
                                   std::string(60, 'y')};
    size_t longest = 0;
    for (size_t take = 1; take <= std::max<size_t>(longest, 1) + 1; take++) {
        CAPTURE(take);
        net.begin();
        session s;
        for (int i = 0; i < 8; i++) s.host.config.data[i] = strings[i].c_str();
        s.lobby.config.filter[0] = strings[0].c_str();
        net.take = take;
        REQUIRE(s.open_master() == GMPUNCH_OK);
        REQUIRE(s.host.open() == GMPUNCH_OK);
        REQUIRE(s.until([&] { return s.registered() && s.master_stats().listed == 1; }, 1000));
        s.check_recovers();
        CHECK(s.host.count(GMPUNCH_EVENT_REGISTERED) == 1);
        CHECK(s.host.count(GMPUNCH_EVENT_UNREGISTERED) == 0);
        CHECK(s.master_stats().lines_ignored == 0);
        gmpunch_wait waits[2];
        REQUIRE(gmpunch_host_waits(s.host.object, waits, 2) == 2);
        for (const gmpunch_wait &wait : waits) CHECK(wait.events == GMPUNCH_WAIT_READ); // all is sent
        longest = net.longest;
        s.close();
    }
    CHECK(longest > 250); // a list, a registration
    CHECK(longest < 1500);
}

TEST_CASE("faults: a master with sockets has no memory, once or for a while, at each allocation of a crowd") {
    for (size_t times : {size_t(1), size_t(SIZE_MAX)}) {
        for (size_t n = 0, refused = 1; refused; n++) {
            CAPTURE(times);
            CAPTURE(n);
            net.begin();
            allocator memory;
            memory.fail_from = n;
            memory.fail_times = times;
            session s;
            s.master.config.allocator = memory.given();
            s.patience = 0;
            if (s.open_master() != GMPUNCH_OK) {
                CHECK(s.master.object == nullptr);
                CHECK(memory.used == 0);
                CHECK(net.open.empty());
                continue;
            }
            // more than there is room for at first
            std::vector<std::unique_ptr<node<lobby_kind>>> crowd;
            for (int i = 0; i < 100; i++) {
                crowd.emplace_back(new node<lobby_kind>);
                crowd.back()->config.master = s.master_text.c_str();
                crowd.back()->config.timeout_ms = 20000;
                REQUIRE(crowd.back()->open() == GMPUNCH_OK);
                s.all.push_back(crowd.back().get());
            }
            REQUIRE(s.until(
                [&] {
                    for (auto &one : crowd)
                        if (!one->count(GMPUNCH_EVENT_FAILED) && !one->count(GMPUNCH_EVENT_LOBBY_DONE)) return false;
                    return true;
                },
                60000));
            size_t served = 0;
            for (auto &one : crowd) served += one->count(GMPUNCH_EVENT_LOBBY_DONE);
            if (times == 1) CHECK(served >= 99); // nobody else suffers
            refused = memory.refused;
            CHECK((refused != 0 || served == 100));
            s.all.resize(4);
            crowd.clear();
            memory.fail_times = 0;
            s.patience = 4;
            REQUIRE(s.host.open() == GMPUNCH_OK);
            s.check_recovers();
            s.close();
            CHECK(memory.used == 0);
            REQUIRE(n < 100);
        }
    }
}

// ---- a program that stands still ----

TEST_CASE("faults: a program that did not poll for a minute hears what came meanwhile, before it counts as silence") {
    for (int who = 0; who < 2; who++) {
        CAPTURE(who);
        net.begin();
        session s;
        REQUIRE(s.open_master() == GMPUNCH_OK);
        REQUIRE(s.host.open() == GMPUNCH_OK);
        s.check_recovers();
        s.until([] { return false; }, 20000); // both are seen to answer
        any_node &late = who ? static_cast<any_node &>(s.host) : s.client;
        size_t heard = late.packets.size();
        // and before it something of a stranger
        gmpunch_address at;
        if (who) REQUIRE(s.host.as([&] { return gmpunch_host_local_address(s.host.object, &at); }) == GMPUNCH_OK);
        else REQUIRE(s.client.as([&] { return gmpunch_client_local_address(s.client.object, &at); }) == GMPUNCH_OK);
        sender stranger(SOCK_DGRAM, text(at));
        for (int i = 0; i < 3; i++) stranger.send("?");
        if (who) s.talk();
        else s.answer();
        net.now_us += 60000000;
        late.step();
        CHECK(late.packets.size() == heard + 1);
        CHECK(s.host_stats().strangers == (who ? 3 : 0));
        CHECK(s.client_stats().strangers == (who ? 0 : 3));
        CHECK(late.count(GMPUNCH_EVENT_LEFT) == 0);
        CHECK(late.count(GMPUNCH_EVENT_LOST) == 0);
        net.now_us += 60000000; // and now nothing came
        late.step();
        CHECK(late.count(who ? GMPUNCH_EVENT_LEFT : GMPUNCH_EVENT_LOST) == 1);
        s.close();
    }
}

TEST_CASE("faults: an answer of the master that waits while nobody polls is taken") {
    net.begin();
    session s;
    REQUIRE(s.open_master() == GMPUNCH_OK);
    REQUIRE(s.host.open() == GMPUNCH_OK);
    REQUIRE(s.until([&] { return s.registered(); }, 1000));
    REQUIRE(s.client.open() == GMPUNCH_OK);
    s.all = {&s.master, &s.host};
    while (net.count[faulty::client][faulty::call_send] == 0) {
        s.client.step();
        s.until([] { return false; }, 1);
    }
    s.until([] { return false; }, 6000);
    s.all = {&s.master, &s.host, &s.client};
    REQUIRE_MESSAGE(s.until([&] { return s.over(); }, 20000), s.story());
    CHECK_MESSAGE(s.connected(), s.story());
    s.close();
}

// ---- names ----

TEST_CASE("faults: a master by name, each error of looking it up, and a name that moves") {
    for (int error : {EAI_AGAIN, EAI_FAIL, EAI_NONAME, EAI_MEMORY, EAI_SYSTEM}) {
        for (role who : {faulty::host, faulty::client, faulty::lobby}) {
            faulty::fault planned = {who, faulty::call_getaddrinfo, 0, 1, error};
            CAPTURE(who);
            CAPTURE(gai_strerror(error));
            net.begin(planned);
            session s;
            REQUIRE(s.open_master() == GMPUNCH_OK);
            std::string name = "master.test" + s.master_text.substr(s.master_text.rfind(':'));
            net.names["master.test"] = {"127.0.0.1"};
            s.host.config.master = s.client.config.master = s.lobby.config.master = name.c_str();
            REQUIRE(s.host.open() == GMPUNCH_OK);
            if (who == faulty::host) { // it tries again, and again asks for the name to be looked up
                REQUIRE(s.until([&] { return s.host.count(GMPUNCH_EVENT_RESOLVE) != 0; }, 10000));
                CHECK(s.host.last(GMPUNCH_EVENT_UNREGISTERED)->reason == GMPUNCH_REASON_RESOLVE_FAILED);
                REQUIRE(s.host.as([&] { return gmpunch_host_resolve(s.host.object); }) == GMPUNCH_OK);
            }
            REQUIRE(s.until([&] { return s.registered(); }, 100000));
            if (who == faulty::client) {
                REQUIRE(s.client.open() == GMPUNCH_OK);
                REQUIRE(s.until([&] { return s.over(); }, 1000));
                CHECK(s.client.last(GMPUNCH_EVENT_FAILED)->reason == GMPUNCH_REASON_RESOLVE_FAILED);
            } else if (who == faulty::lobby) {
                REQUIRE(s.lobby.open() == GMPUNCH_OK);
                REQUIRE(s.until([&] { return s.list_over(); }, 1000));
                CHECK(s.lobby.last(GMPUNCH_EVENT_FAILED)->reason == GMPUNCH_REASON_RESOLVE_FAILED);
            }
            CHECK(net.hits == 1);
            s.check_recovers();
            s.close();
        }
    }
}

TEST_CASE("faults: a name has as many addresses as are asked for, each once") {
    net.begin();
    net.names["many.test"] = {"127.0.0.1", "::1", "127.0.0.1", "::1", "127.0.0.2", "127.0.0.3"};
    gmpunch_address found[5];
    for (uint32_t capacity = 1; capacity <= 5; capacity++) {
        CAPTURE(capacity);
        memset(found, 0, sizeof found);
        CHECK(gmpunchi_lookup("many.test", 7, found, capacity) == std::min(capacity, 4u));
        const char *const expected[] = {"127.0.0.1:7", "[::1]:7", "127.0.0.2:7", "127.0.0.3:7", "none"};
        for (uint32_t i = 0; i < 5; i++) CHECK(text(found[i]) == (i < capacity ? expected[i] : "none"));
    }
    CHECK(gmpunchi_lookup("none.test", 7, found, 5) == 0);
    CHECK(faulty::looked_up.empty());
}

TEST_CASE("faults: a client that does not ask the master does not look up its name") {
    net.begin();
    session s;
    s.client.config.master = "master.test";
    s.client.config.direct_only = 1;
    s.client.config.direct_port = 6510;
    REQUIRE(s.client.open() == GMPUNCH_OK);
    CHECK(net.count[faulty::client][faulty::call_getaddrinfo] == 0);
    s.client.config.direct_only = 0;
    s.client.config.server = "host.test"; // which nobody knows
    CHECK(s.client.open() == GMPUNCH_ERR_ADDRESS);
    CHECK(net.count[faulty::client][faulty::call_getaddrinfo] == 1);
    net.names["host.test"] = {"127.0.0.9"};
    REQUIRE(s.client.open() == GMPUNCH_OK);
    CHECK(net.count[faulty::client][faulty::call_getaddrinfo] == 3); // and the master's
    s.close();
}

TEST_CASE("faults: a master whose name moves to another address is found there") {
    net.begin();
    session s;
    node<master_kind> moved;
    moved.config.any_port = 0;
    moved.config.bind_address = "127.0.0.2";
    REQUIRE(s.open_master() == GMPUNCH_OK);
    gmpunch_address at;
    REQUIRE(gmpunch_master_local_address(s.master.object, 0, &at) == GMPUNCH_OK);
    moved.config.port = at.port;
    std::string name = "master.test:" + std::to_string(at.port);
    net.names["master.test"] = {"127.0.0.1"};
    s.host.config.master = s.client.config.master = s.lobby.config.master = name.c_str();
    s.host.config.bind_address = s.client.config.bind_address = s.lobby.config.bind_address = nullptr;
    REQUIRE(s.host.open() == GMPUNCH_OK);
    REQUIRE(s.until([&] { return s.registered(); }, 1000));
    if (moved.open() != GMPUNCH_OK) {
        MESSAGE("SKIPPED, this system has no second address of its own, or its port is taken");
        s.close();
        return;
    }
    s.master.close();
    net.names["master.test"] = {"127.0.0.2"};
    s.all.push_back(&moved);
    auto found = [&] {
        gmpunch_master_stats stats = gmpunch_master_stats();
        gmpunch_master_get_stats(moved.object, &stats);
        return stats.hosts == 1 && stats.ports == 1;
    };
    size_t asked = 0;
    bool there = s.until(
        [&] {
            if (s.host.count(GMPUNCH_EVENT_RESOLVE) > asked) {
                asked++;
                REQUIRE(s.host.as([&] { return gmpunch_host_resolve(s.host.object); }) == GMPUNCH_OK);
            }
            return found();
        },
        100000);
    REQUIRE_MESSAGE(there, s.story());
    CHECK(asked == 1);
    CHECK(text(s.host.last(GMPUNCH_EVENT_REGISTERED)->address) == text(address("127.0.0.2", at.port)));
    REQUIRE(s.lobby.open() == GMPUNCH_OK);
    REQUIRE(s.until([&] { return s.list_over(); }, 20000));
    CHECK(s.listed());
    moved.close();
    s.close();
}
#endif
