// The master without sockets: the tests play the network and the clock, in virtual milliseconds. "fault n" is the point of
// that number in the list of what the deployed master gets wrong.
#include "gmpunch_internal.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>

// For what is checked very often: costs nothing while it holds.
#define HOLDS(condition) \
    do { \
        if (!(condition)) FAIL(#condition); \
    } while (0)
// A test that is one script: see world::play.
#define SCRIPT(name, ...) \
    TEST_CASE(name) { play(__VA_ARGS__); }

namespace {

bytes plain(const std::string &line) { return bytes(line.begin(), line.end()); }

const bytes reg = bin("reg\n\0"), announcement = bin("connect\n\0"), no_data = bin("\n\0\n\0\n\0\n\0\n\0\n\0\n\0\n\0"),
            reg2 = plain("reg2\n1.2.4\n") + no_data, ping = bin("ping\n\0");
const char *const H = "198.51.100.7", *const C = "203.0.113.9";
const std::string version = "<F6>1.2.5<0A>";
using fields = gmpunch_master_config;
using counts = gmpunch_master_stats;

bytes connect_to(const std::string &ip) { return plain("connect\n" + ip + "\n") + bytes(1, 0); }

// Readable, and exact: all but printable characters as <hex>.
std::string show(const bytes &message) {
    static const char hex[] = "0123456789ABCDEF";
    std::string out;
    for (uint8_t c : message)
        out += c > 0x20 && c < 0x7f ? std::string(1, char(c)) : std::string("<") + hex[c >> 4] + hex[c & 15] + ">";
    return out;
}
std::string found(const std::string &ip, unsigned port) { return "<FF>" + ip + "<00>" + std::to_string(port) + "<00>"; }

gmpunch_address ipv4(uint32_t ip, uint16_t port) {
    gmpunch_address out = {4, 0, port, 0, {uint8_t(ip >> 24), uint8_t(ip >> 16), uint8_t(ip >> 8), uint8_t(ip)}};
    return out;
}
std::string ip_text(uint32_t ip) { return text(ipv4(ip, 0)); }

gmpunch_address mapped(const gmpunch_address &v4) {
    gmpunch_address out = {6, 0, v4.port, 0, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
    std::memcpy(out.ip + 12, v4.ip, 4);
    return out;
}

fields with(uint32_t fields::*field, uint32_t value, uint32_t fields::*other = &fields::struct_size,
            uint32_t other_value = 0) {
    fields config = {};
    config.*other = other_value;
    config.*field = value;
    return config;
}

// Counts, checks the sizes given back, and has nothing for allocations number fail_from to fail_to - 1.
struct heap {
    std::map<void *, size_t> blocks;
    size_t used = 0, calls = 0, failed = 0, fail_from = SIZE_MAX, fail_to = SIZE_MAX;

    static void *alloc(size_t size, void *user) {
        heap &self = *static_cast<heap *>(user);
        bool fails = self.calls >= self.fail_from && self.calls < self.fail_to;
        self.calls++;
        self.failed += fails;
        if (fails) return nullptr;
        void *memory = std::malloc(size);
        std::memset(memory, 0xa5, size);
        self.used += self.blocks[memory] = size;
        return memory;
    }
    static void free(void *memory, size_t size, void *user) {
        heap &self = *static_cast<heap *>(user);
        if (!self.blocks.count(memory) || self.blocks[memory] != size) FAIL_CHECK("not allocated, or with another size");
        self.used -= size;
        self.blocks.erase(memory);
        std::free(memory);
    }
};

struct peer {
    gmpunch_address from;
    std::string got;        // what it was sent, a space between two sends, "closed" where the master closed
    bytes piece;            // of a message that it took in parts
    size_t room = SIZE_MAX; // bytes that it takes before it blocks
    bool open = false, blocked = false;
    uint64_t closed_at = 0; // by the master

    void add(const std::string &more) { got += (got.empty() || more.empty() ? "" : " ") + more; }
};

struct world {
    heap memory;
    gmpunch_master *master = nullptr;
    uint64_t now = 5000, accepted = 0, datagrams = 0, udp_bytes = 0, bytes_in = 0, bytes_out = 0;
    std::map<uint32_t, peer> peers;
    std::map<char, uint32_t> names; // of connections, in play
    std::vector<gmpunch_event> events;
    uint32_t open = 0, visitors = 0;
    bool fetch_events = true;

    explicit world(fields config = fields(), size_t fail_from = SIZE_MAX, size_t fail_to = SIZE_MAX) {
        config.allocator = {heap::alloc, heap::free, &memory};
        if (!config.introduction_gap_ms) config.introduction_gap_ms = GMPUNCH_NEVER; // what is not about it need not wait
        memory.fail_from = fail_from;
        memory.fail_to = fail_to;
        int32_t result = gmpunch_master_create(&config, now, &master);
        CHECK(result == (memory.failed ? GMPUNCH_ERR_MEMORY : GMPUNCH_OK));
        CHECK((master == nullptr) == (result != GMPUNCH_OK));
    }
    ~world() {
        gmpunch_master_close(master);
        CHECK(memory.used == 0);
    }
    world(const world &) = delete;
    world &operator=(const world &) = delete;

    counts stats() const {
        counts out = {};
        HOLDS(gmpunch_master_get_stats(master, &out) == GMPUNCH_OK);
        return out;
    }
    uint64_t deadline() const { return gmpunch_master_next_deadline(master); }

    void transmit(const gmpunch_transmit &out) {
        auto at = peers.find(out.connection);
        if (at == peers.end() || !at->second.open) FAIL("a transmit for no connection");
        peer &to = at->second;
        HOLDS(gmpunch_address_equal(&out.to, &to.from) && !out.ttl && !out.socket_index && out.not_before <= now);
        if (out.kind == GMPUNCH_TRANSMIT_TCP_CLOSE) {
            HOLDS(!out.data && !out.len);
            to.add("closed");
            to.open = false;
            to.closed_at = now;
            open--;
            return;
        }
        HOLDS(out.kind == GMPUNCH_TRANSMIT_TCP_SEND && out.data && out.len && !to.blocked);
        size_t taken = std::min<size_t>(out.len, to.room);
        to.piece.insert(to.piece.end(), out.data, out.data + taken);
        bytes_out += taken;
        if (to.room != SIZE_MAX) to.room -= taken;
        to.blocked = taken < out.len;
        if (to.blocked) HOLDS(gmpunch_master_tcp_sent(master, out.connection, taken) == GMPUNCH_OK);
        if (to.blocked) return;
        std::string sent = show(to.piece); // one message, whole, in each send
        HOLDS((to.piece[0] == 0xff ? std::count(to.piece.begin(), to.piece.end(), 0) == 2 && to.piece.back() == 0
                                   : sent == "<FE>" || sent == version || sent == "<F8><00><0A>" || sent == "<F7><00>"));
        to.add(sent);
        to.piece.clear();
    }
    // After each call: does what the master asks for, collects what it tells, and checks what always holds.
    void step() {
        gmpunch_transmit out;
        gmpunch_event event;
        for (bool told; told = gmpunchi_master_has_output(master), gmpunch_master_next_transmit(master, &out) == 1;) {
            HOLDS(told);
            transmit(out);
        }
        HOLDS(!gmpunchi_master_has_output(master));
        while (fetch_events && gmpunch_master_next_event(master, &event) == 1) events.push_back(event);
        counts s = stats();
        HOLDS(s.connections == open && s.accepted == accepted && s.hosts <= open && s.udp_received == datagrams);
        HOLDS(s.memory == memory.used && s.refused_memory == memory.failed && s.udp_ignored <= datagrams);
        HOLDS(s.introductions + s.portless + s.not_found + s.requests <= s.requested + s.lines_ignored);
        HOLDS((open || !s.requests) && ((open || s.ports) == (deadline() != UINT64_MAX)));
    }
    void udp(const gmpunch_address &from, const bytes &datagram) {
        datagrams++;
        udp_bytes += datagram.size();
        HOLDS(gmpunch_master_input_udp(master, now, &from, 0, datagram.data(), datagram.size()) == GMPUNCH_CONSUMED);
        step();
    }
    uint32_t accept(const gmpunch_address &from, int32_t expected = GMPUNCH_OK) { // 1: any result
        uint32_t id = 77;
        int32_t result = gmpunch_master_tcp_accepted(master, now, &from, &id);
        HOLDS((result == expected || expected == 1 || memory.failed) && (id != 0) == (result == GMPUNCH_OK));
        if (id) {
            HOLDS(!peers.count(id) || !peers[id].open); // an id in use is not given again
            peers[id] = peer();
            peers[id].open = true;
            peers[id].from = from;
            gmpunchi_address_normalize(&peers[id].from);
            accepted++;
            open++;
        }
        step();
        return id;
    }
    bool is_open(uint32_t id) const { return peers.count(id) && peers.at(id).open; }
    void tcp(uint32_t id, const bytes &data) {
        int32_t expected = is_open(id) ? GMPUNCH_OK : GMPUNCH_ERR_CONNECTION;
        if (is_open(id)) bytes_in += data.size();
        HOLDS(gmpunch_master_tcp_data(master, now, id, data.data(), data.size()) == expected);
        step();
    }
    void close(uint32_t id, int32_t os_error = 0) {
        HOLDS(gmpunch_master_tcp_closed(master, now, id, os_error) == (is_open(id) ? GMPUNCH_OK : GMPUNCH_ERR_CONNECTION));
        open -= is_open(id);
        peers[id].open = false;
        step();
    }
    void room(uint32_t id, size_t more) {
        peers[id].room = more;
        if (!peers[id].blocked || !is_open(id)) return;
        peers[id].blocked = false;
        HOLDS(gmpunch_master_tcp_writable(master, now, id) == GMPUNCH_OK);
        step();
    }
    void run(uint64_t ms) {
        uint64_t end = now + ms;
        do {
            now = std::max(now, std::min(end, deadline()));
            HOLDS(gmpunch_master_tick(master, now) == GMPUNCH_OK);
            if (deadline() <= now) FAIL("a deadline that is past");
            step();
        } while (now < end);
    }
    std::string take(uint32_t id) {
        std::string got;
        got.swap(peers[id].got);
        return got;
    }
    // "ok" if a client from nowhere else gets that address, and the host the client's; otherwise what they got.
    std::string meets(uint32_t host, gmpunch_address at) {
        uint32_t from = 0x0a000001 + visitors++;
        unsigned port = at.port;
        at.port = 0;
        udp(ipv4(from, 7000), with_header(announcement));
        uint32_t id = accept(ipv4(from, 7000));
        tcp(id, connect_to(text(at)));
        std::string got = take(id), told = take(host);
        close(id);
        return got == found(text(at), port) && told == found(ip_text(from), 7000) ? "ok" : got + " | " + told;
    }

    static gmpunch_address place(const std::string &name, uint16_t port) { // "H:6611"
        static const std::map<char, const char *> ips = {
            {'H', H}, {'I', "198.51.100.8"}, {'C', C}, {'D', "203.0.113.10"}, {'E', "203.0.113.11"}, {'S', "2001:db8::7"}};
        return address(ips.at(name[0]), name.size() > 2 ? uint16_t(std::stoul(name.substr(2))) : port);
    }
    static std::string answer(const std::string &word) { // "H:6611" or one of the others
        if (word.empty() || word == "closed") return word;
        if (word == "FE" || word == "version") return word == "FE" ? "<FE>" : version;
        return found(text(place(word.substr(0, 1), 0)), place(word, 0).port);
    }
    uint64_t counter(const std::string &name) const {
        counts s = stats();
        const std::map<std::string, uint64_t> all = {{"connections", s.connections},
                                                     {"hosts", s.hosts},
                                                     {"requests", s.requests},
                                                     {"ports", s.ports},
                                                     {"registrations", s.registrations},
                                                     {"introductions", s.introductions},
                                                     {"portless", s.portless},
                                                     {"not_found", s.not_found},
                                                     {"ignored", s.lines_ignored},
                                                     {"refused_connections", s.refused_connections},
                                                     {"refused_connections_ip", s.refused_connections_ip},
                                                     {"refused_ports", s.refused_ports},
                                                     {"refused_connections_subnet", s.refused_connections_subnet},
                                                     {"refused_connections_waiting", s.refused_connections_waiting},
                                                     {"closed_idle", s.closed_idle},
                                                     {"refused_requests", s.refused_requests},
                                                     {"refused_messages", s.refused_messages},
                                                     {"closed_host", s.closed_host},
                                                     {"closed_write", s.closed_write},
                                                     {"closed_version", s.closed_version}};
        return all.at(name);
    }
    // Steps with ";" between:
    //   u H:1        UDP "reg" from there           a C:1        UDP "connect"
    //   h=H          connection h, from H           h!           it ends
    //   h reg2       it sends that line (or reg2)   h connect H  asks for a host
    //   host h H:1   UDP, connection and reg2       ask c C H    connection and "connect"
    //   h: C:1 FE    what h was sent since asked    meet h H:1   a new client finds H:1, and h is told
    //   room h 3     how many bytes h takes         H#           a connection from H is refused as FULL
    //   wait 5       milliseconds                   hosts=1      a counter
    void play(const std::string &script) {
        CAPTURE(script);
        std::istringstream steps(script);
        for (std::string words; std::getline(steps, words, ';');) {
            CAPTURE(words);
            std::istringstream in(words);
            std::string verb, a, b, c;
            in >> verb >> a >> b >> c;
            size_t equals = verb.find('=');
            uint32_t &id = names[verb[0]];
            if (verb == "wait") run(std::stoul(a));
            else if (verb == "u" || verb == "a") udp(place(a, 0), with_header(verb == "u" ? reg : announcement));
            else if (verb == "host") play("u " + b + ";" + a + "=" + b[0] + ";" + a + " reg2");
            else if (verb == "ask") play(a + "=" + b + ";" + a + " connect " + c);
            else if (verb == "meet") CHECK(meets(names[a[0]], place(b, 0)) == "ok");
            else if (verb == "room") room(names[a[0]], b == "all" ? SIZE_MAX : std::stoul(b));
            else if (equals == 1) id = accept(place(verb.substr(2), 40000));
            else if (equals != verb.npos) CHECK(counter(verb.substr(0, equals)) == std::stoul(verb.substr(equals + 1)));
            else if (verb[1] == '!') close(id);
            else if (verb[1] == '#') accept(place(verb.substr(0, 1), 40000), GMPUNCH_ERR_FULL);
            else if (a == "connect") tcp(id, connect_to(text(place(b, 0))));
            else if (verb[1] != ':') tcp(id, a == "reg2" ? reg2 : plain(a + "\n"));
            else {
                peer expected;
                for (const std::string &word : {a, b, c}) expected.add(answer(word));
                CHECK(take(id) == expected.got);
            }
        }
    }
};

void play(const std::string &script, const fields &config = fields()) { world(config).play(script); }

} // namespace

TEST_CASE("master: a classic game in recorded bytes") {
    world w;
    w.udp(address("127.0.0.2", 6611), from_hex("dec0adde0c000000050000007265670a00"));
    uint32_t host = w.accept(address("127.0.0.2", 40000)), client = w.accept(address("127.0.0.10", 40001));
    w.tcp(host, from_hex("726567320a00312e322e340a0067616d6520310a004d79205365727665720a000a000a000a000a000a000a00"));
    w.udp(address("127.0.0.10", 7001), from_hex("dec0adde0c00000009000000636f6e6e6563740a00"));
    w.tcp(client, from_hex("636f6e6e6563740a3132372e302e302e320a00"));
    CHECK(w.take(client) == show(from_hex("ff3132372e302e302e32003636313100")));
    CHECK(w.take(host) == show(from_hex("ff3132372e302e302e3130003730303100"))); // the recorded one lacks the last NUL
    w.tcp(host, from_hex("70696e670a00"));
    w.udp(address("127.0.0.10", 7002), with_header(announcement));
    w.tcp(client, from_hex("636f6e6e6563740a3132372e302e302e37370a00"));
    CHECK(w.take(client) == show(from_hex("fe")));
    CHECK(w.take(host) == "");
    const int32_t types[] = {GMPUNCH_EVENT_HOST_ADDED, GMPUNCH_EVENT_INTRODUCTION, GMPUNCH_EVENT_NOT_FOUND};
    const char *const texts[] = {"127.0.0.2:40000 none", "127.0.0.10:7001 127.0.0.2:6611", "127.0.0.10:40001 127.0.0.77"};
    REQUIRE(w.events.size() == 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK(w.events[i].type == types[i]);
        CHECK(text(w.events[i].address) + " " + (w.events[i].other.family ? text(w.events[i].other) : "none") == texts[i]);
    }
    w.play("registrations=1; introductions=1; not_found=1; portless=0; ignored=0");
}

TEST_CASE("master, fault 13: each form of registration, UDP before or after it") {
    for (std::string form : {"h reg", "h reg2", "h reg; h reg2", "h reg2; h reg", "h reg2; h reg2; h reg2; h reg"}) {
        play("u H:6611; h=H; " + form + "; meet h H:6611; hosts=1; wait 70000; meet h H:6611; introductions=2");
        play("h=H; " + form + "; u H:6611; meet h H:6611; hosts=1; wait 70000; meet h H:6611; introductions=2");
    }
}

SCRIPT("master, fault 2 and 11: a host with only UDP is not found, and every client is answered",
       "a C:1; ask c C H; c: FE; u H:6611; a D:1; ask d D H; d: FE; a C:2; ask e C H; e: FE;" // nothing, then UDP only
       "ask f C H; wait 999; f:; wait 1; f: FE;"                                              // nothing of the client
       "h=H; h reg2; meet h H:6611; h!; a E:1; ask g E H; g: FE; portless=0; not_found=5")

SCRIPT("master, fault 4: a host whose UDP reg never comes is not found, after the hold",
       "h=H; h reg2; a C:1; ask c C H; ask d D H; wait 999; c:; d:; wait 1; c: FE; d: FE; h:")

SCRIPT("master, fault 4: a late UDP reg of the host answers the request on hold at once",
       "h=H; h reg2; a C:7001; ask c C H; wait 100; c:; u H:6611; c: H:6611; h: C:7001; wait 1000; introductions=1; c:")

TEST_CASE("master, fault 4: the client's UDP is late, repeated or lost, the hold as configured") {
    for (uint32_t hold : {0u, 1u, 250u, 9000u}) {
        const std::string ms = std::to_string(hold ? hold : 1000), less = std::to_string((hold ? hold : 1000) - 1);
        play("host h H:6611; ask c C H; wait " + less + "; c:; a C:7001; a C:7001; c: H:6611; h: C:7001; wait " + ms +
                 "; ask d D H; wait " + less + "; d:; requests=1; wait 1; d: H:6611; h:; c:; requests=0; portless=1",
             with(&fields::hold_ms, hold));
    }
}

TEST_CASE("master, fault 3: two clients behind one IP, their four packets in each order") {
    const std::map<char, std::string> steps = {{'A', "ask c C H"}, {'B', "ask d C H"}, {'a', "a C:1"}, {'b', "a C:2"}};
    std::string order = "ABab";
    do {
        std::string script = "host h H:6611; ";
        for (char c : order) script += "wait 10; " + steps.at(c) + "; ";
        const std::string told = order.find('a') < order.find('b') ? "h: C:1 C:2" : "h: C:2 C:1"; // first in, first out
        play(script + told + "; c: H:6611; d: H:6611");
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("master, fault 3: twenty clients behind one IP or twenty, repeating themselves, in random order") {
    uint64_t random = 1;
    auto below = [&random](uint64_t limit) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        return (random >> 33) % limit;
    };
    for (int round = 0; round < 60; round++) {
        CAPTURE(round);
        world w;
        w.play("host h H:6611");
        std::vector<uint32_t> steps, ids;
        std::vector<std::string> told;
        for (uint32_t i = 0; i < 80; i++) steps.push_back(i); // i % 4: 0 request, 1 to 3 the datagram and its repetitions
        for (size_t i = steps.size(); i > 1; i--) std::swap(steps[i - 1], steps[size_t(below(i))]);
        for (uint32_t step : steps) {
            gmpunch_address from = ipv4(0xcb007100 + (round % 2 ? 0 : step / 4), uint16_t(7000 + step / 4));
            if (step % 4) w.udp(from, with_header(announcement));
            else ids.push_back(w.accept(from));
            if (step % 4 == 0) w.tcp(ids.back(), connect_to(H));
            std::string here = found(ip_text(0xcb007100 + (round % 2 ? 0 : step / 4)), from.port);
            if (step % 4 && !std::count(told.begin(), told.end(), here)) told.push_back(here);
            if (round % 2) w.run(below(10));
        }
        std::string got = w.take(w.names['h']), all;
        for (uint32_t id : ids) CHECK(w.take(id) == found(H, 6611));
        for (const std::string &one : told) CHECK(got.find(one) != std::string::npos);
        for (const std::string &one : told) all += (all.empty() ? "" : " ") + one;
        CHECK(got.size() == all.size());
        if (round % 2) CHECK(got == all);
    }
}

TEST_CASE("master, fault 3: a repetition from before the answer is not given to the next of that IP") {
    for (std::string ms : {"0", "1", "500", "1999"})
        play("host h H:6611; a C:7001; ask c C H; h: C:7001; c: H:6611; wait " + ms +
             "; ask d C H; a C:7001; d:; a C:7002; d: H:6611; h: C:7002");
}

TEST_CASE("master, fault 3: nor one that came while a long hold waited for the host") {
    std::string script = "h=H; h reg2; a C:7001; ask c C H";
    for (int i = 0; i < 20; i++) script += "; wait 250; a C:7001"; // as a client does until it is answered
    play(script + "; u H:6611; wait 1000; c: H:6611; h: C:7001; a C:7002; ask d C H; d: H:6611; h: C:7002",
         with(&fields::hold_ms, 6000));
}

TEST_CASE("master: a client that tries again from the same port") {
    const std::string before = "host h H:6611; a C:1; ask c C H; h: C:1; c!; wait ";
    for (std::string ms : {"0", "500", "1999"}) { // at first it cannot be told from a repetition
        play(before + ms + "; a C:1; ask d C H; d:; wait 1000; d: H:6611; h: C:1");
        play(before + ms + "; a C:1; ask d C H; d:; wait 501; a C:1; d: H:6611; h: C:1");
    }
    for (std::string ms : {"2001", "9000", "11000"}) play(before + ms + "; a C:1; ask d C H; d: H:6611; h: C:1");
}

SCRIPT("master: a client's port expires",
       "a C:1; wait 9999; a C:1; wait 9999; ports=1; wait 1; ports=0; ask c C H; wait 999; c:; wait 1; c: FE")
SCRIPT("master: a host's port expires, unless it has a connection",
       "u H:1; wait 59999; h=H; h reg2; wait 1000000; meet h H:1; h!; wait 59999; h=H; h reg2; meet h H:1;"
       "h!; wait 59999; ports=1; wait 1; ports=0; h=H; h reg2; a C:1; ask c C H; wait 1000; c: FE")

TEST_CASE("master, fault 1: no datagram harms it, and which ones count") {
    std::vector<bytes> junk = {bytes(1024, 0),        bytes(65507, 'r'), bytes(65536, 0), plain("REG\n"),
                               plain("reg x\n"),      plain("regx"),     plain("reg2\n"), plain("\nreg\n"),
                               bytes(13, '\n') + reg, with_header(ping)};
    const bytes whole = with_header(reg);
    for (int len = 0; len < 15; len++) junk.push_back(bytes(whole.begin(), whole.begin() + len));
    for (size_t len = 0; len < 13; len++)
        for (int fill : {0x00, 0xff, 0x0a, 0x72, 0x63}) junk.push_back(bytes(len, uint8_t(fill)));
    world w;
    w.play("host h H:6611; ports=1");
    for (const bytes &datagram : junk) {
        w.udp(address(H, 6611), datagram);
        w.udp(address(C, 7001), datagram);
    }
    for (const char *from : {"0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "ff02::1", "::"})
        w.udp(address(from, 5), whole);
    w.udp(address(C, 0), with_header(announcement));
    CHECK(w.stats().udp_ignored == 2 * junk.size() + 7);
    w.play("ports=1; meet h H:6611; h:; h!; wait 60000; ports=0; h=H; h reg2");

    for (const bytes &form : {reg, plain("reg"), plain("reg\n"), plain("reg\r\n"), plain("reg\r"), with_header(reg),
                              with_header(plain("reg")), bytes(12, 0) + reg, bytes(12, 'x') + reg, bytes(12, '\n') + reg,
                              plain("reg\nrest"), bin("\0re\tg\n"), reg + bytes(65000, 0)}) {
        w.udp(address(H, 6622), form);
        w.play("meet h H:6622; h!; wait 70000; h=H; h reg2; ports=0");
    }
    CHECK(w.stats().udp_ignored == 2 * junk.size() + 7);
}

TEST_CASE("master, fault 5: a host connects again; its old connection ends before, between or after") {
    for (std::string port : {"6611", "6622"}) {
        const std::map<char, std::string> steps = {{'C', "o!"}, {'T', "n=H; n reg2"}, {'U', "u H:" + port}};
        std::string order = "CTU";
        do {
            std::string script = "host o H:6611; wait 100000; ";
            for (char c : order) script += steps.at(c) + "; wait 10; ";
            play(script + "hosts=1; meet n H:" + port + "; wait 70000; meet n H:" + port);
        } while (std::next_permutation(order.begin(), order.end()));
    }
}

TEST_CASE("master, fault 5 and 9: a host comes back whose old connection never ends") {
    world w;
    w.play("host o H:6611; wait 100000; host n H:6611; meet n H:6611; hosts=1; wait 60000; o: closed; meet n H:6611");
    REQUIRE(w.events.size() > 2);
    CHECK(w.events[2].type == GMPUNCH_EVENT_HOST_REMOVED);
    CHECK(w.events[2].reason == GMPUNCH_REASON_REPLACED);
    // TCP was faster than UDP: put right when the host repeats its registration a second later
    play("host o H:6611; wait 100000; n=H; n reg2; u H:6611; wait 1000; n reg2; meet n H:6611");
    // from another port: the old one gives way when it is silent for long
    play("host o H:6611; host n H:6622; meet o H:6611; wait 150000; n ping; meet o H:6611; wait 50001; meet n H:6622");
}

TEST_CASE("master, fault 5: a host starts again on another port, soon after it announced the one that is gone") {
    for (std::string ms : {"0", "200", "900", "2000", "20000"}) {
        const std::string before = "host o H:6611; wait 5000; u H:6611; o reg2; wait " + ms + "; o!; wait 10;";
        play(before + "host n H:6622; meet n H:6622; wait 250; u H:6622; n reg2; meet n H:6622");
        // the first datagram is lost
        play(before + "n=H; n reg2; wait 250; u H:6622; n reg2; meet n H:6622");
        play(before + "n=H; n reg2; wait 250; n reg2; wait 500; u H:6622; n reg2; meet n H:6622");
        // only its connection is new, and the datagrams that say so come late
        play(before + "n=H; n reg2; meet n H:6611; wait 250; u H:6611; n reg2; wait 20; u H:6622; meet n H:6611");
    }
}

SCRIPT("master: a host that repeats itself keeps the port that it was left when it registered just before",
       "host h H:6611; wait 29900; u H:6622; wait 100; h reg2; wait 1; h reg2; meet h H:6611")

TEST_CASE("master, fault 15: a forged UDP reg does not move or hide a host") {
    std::string forged;
    for (int i = 1; i <= 100; i++) forged += "; u H:" + std::to_string(i);
    play("host h H:6611; wait 10000" + forged +
         "; meet h H:6611; u H:6611; u H:101; h reg2; meet h H:6611; wait 70000;"
         "meet h H:6611; hosts=1");
}

SCRIPT("master, fault 15: nor between a registration and its repetition",
       "u H:6611; wait 20; h=H; h reg2; wait 500; u H:6699; wait 500; h reg2; meet h H:6611")

SCRIPT("master, fault 15: nor before the host connects again",
       "host o H:6611; wait 100000; u H:6699; wait 1000; u H:6611; wait 20; n=H; n reg2; o!; meet n H:6611")

SCRIPT("master: a host whose port really changed",
       "u H:6611; wait 20; h=H; h reg2; wait 180000; u H:6622; wait 20; h reg2; ports=1; meet h H:6622")
SCRIPT("master: a host whose port really changed, UDP and TCP within a millisecond",
       "u H:6611; h=H; h reg2; wait 180000; u H:6622; h reg2; meet h H:6622")

SCRIPT("master, fault 15: a second host behind the IP does not disturb the first",
       "host h H:6611; wait 5000; host i H:6622; hosts=2; meet h H:6611; wait 150000; h ping; u H:6622; i reg2;"
       "meet h H:6611; h!; meet i H:6622; host h H:6611; meet i H:6622; i!; meet h H:6611")

SCRIPT("master, fault 15: nor does one whose UDP reg comes after its TCP",
       "host h H:6611; wait 5000; u H:6611; wait 60000; i=H; i reg2; meet h H:6611; u H:6622; meet h H:6611;"
       "h!; meet i H:6622")

TEST_CASE("master, fault 9 and 16: a host that vanished expires, any sign of life keeps it") {
    const std::pair<std::string, bool> rows[] = {{"wait 0", false},   {"u H:6612", false}, {"u C:6611", false},
                                                 {"a H:6612", false}, {"h ping", true},    {"h ?", true},
                                                 {"u H:6611", true}};
    for (auto &row : rows) {
        world w;
        w.play("host h H:6611; wait 1000000; " + row.first + "; wait 1000000; closed_host=" + (row.second ? "0" : "1") +
               "; wait 1000000; h: closed; closed_host=1; hosts=0; connections=0; a C:1; ask c C H; c: FE");
        REQUIRE(w.events.size() > 1);
        CHECK(w.events[1].type == GMPUNCH_EVENT_HOST_REMOVED);
        CHECK(w.events[1].reason == GMPUNCH_REASON_TIMEOUT);
    }
    world w;
    w.play("host h H:6611; wait 1000000");
    w.udp(address(H, 6611), plain("anything"));
    w.play("wait 1000000; meet h H:6611");
}

// Feeds the parts one after the other, again and again, and returns when the master closed, 0 if not within ms.
uint64_t fed_until(world &w, uint32_t id, const std::vector<bytes> &parts, uint32_t interval, uint64_t ms) {
    uint64_t start = w.now;
    for (size_t i = 0; w.now < start + ms && w.is_open(id); i++) {
        w.tcp(id, parts[i % parts.size()]);
        w.run(interval);
    }
    return w.is_open(id) ? 0 : w.peers[id].closed_at - start;
}

TEST_CASE("master, fault 6: idle connections, half lines, endless lines, slow bytes") {
    std::vector<bytes> by_byte, by_line = {plain("reg2\n"), plain("1.2.4\n")};
    for (uint8_t c : reg2) by_byte.push_back(bytes(1, c));
    for (int i = 0; i < 8; i++) by_line.push_back(bin("data\n\0"));
    struct {
        std::vector<bytes> parts;
        uint32_t interval;
        uint64_t after, counts::*counter;
    } rows[] = {
        {{bytes()}, 1000, 60000, &counts::closed_idle},
        {{plain("\n")}, 1000, 60000, &counts::closed_idle},
        {{bytes(2000, 0)}, 1000, 60000, &counts::closed_idle},
        {{plain("unknown\n")}, 1000, 60000, &counts::closed_idle},
        {{plain("ver")}, 60000, 5000, &counts::closed_command},
        {{plain("connect\n1.2.")}, 60000, 5000, &counts::closed_command},
        {{plain("unknown\nconn")}, 60000, 5000, &counts::closed_command},
        {{plain("reg\nver")}, 60000, 5000, &counts::closed_command}, // hosts too
        {by_byte, 1000, 5000, &counts::closed_command},
        {by_line, 1000, 5000, &counts::closed_command},
        {{bytes(1025, 'x')}, 1000, 0, &counts::closed_line},
        {{bytes(512, 'x')}, 1000, 2000, &counts::closed_line},
        {{plain("reg2\n1.2.4\n") + bytes(1025, 'x')}, 1000, 0, &counts::closed_line},
        {{bytes(100000, 'x')}, 1000, 0, &counts::closed_line},
    };
    for (auto &row : rows) {
        CAPTURE(&row - rows);
        world w;
        w.play("host h H:6611; c=C");
        CHECK(fed_until(w, w.names['c'], row.parts, row.interval, 90000) == row.after);
        counts s = w.stats();
        CHECK(s.*row.counter == 1);
        CHECK(s.closed_idle + s.closed_command + s.closed_line == 1);
        w.play("c: closed; meet h H:6611");
    }
    world w;
    w.play("h=H");
    CHECK(fed_until(w, w.names['h'], {ping}, 59000, 600000) == 0);
    w.tcp(w.names['h'], bytes(1024, 'x') + plain("\nreg2\n1.2.4\n") + bytes(1024, 'x') + no_data); // just not too long
    w.play("hosts=1; h:");
}

TEST_CASE("master, fault 6: unknown lines in pieces give an idle connection no more time") {
    world w;
    w.play("c=C");
    uint64_t at = fed_until(w, w.names['c'], {plain("x"), plain("\n")}, 1000, 600000);
    CHECK(at > 0);
    CHECK(at <= 65000);
}

TEST_CASE("master, fault 6: an unknown line in pieces is no command: its connection is idle") {
    world w;
    w.play("c=C");
    w.tcp(w.names['c'], plain("unk"));
    w.tcp(w.names['c'], plain("nown\n"));
    w.play("wait 59999; connections=1; wait 1; connections=0");
    CHECK(w.stats().closed_idle == 1);
}

SCRIPT("master, fault 16: a reader that goes on in time is not closed later",
       "host h H:6611; room h 3; a C:1; ask c C H; wait 14999; room h all; h: C:1; wait 100000; meet h H:6611")

SCRIPT("master: limits of connections",
       "host h H:6611; c=C; d=D; meet h H:6611; e=E; I#; I#; refused_connections=2; e!; i=H; c!; H#; H#; c=C;"
       "refused_connections_ip=2; c!; meet h H:6611",
       with(&fields::max_connections, 4, &fields::max_connections_per_ip, 2))
SCRIPT("master: limit of connections of a subnet",
       "host h H:6611; c=C; d=D; E#; refused_connections_subnet=1; i=I; meet h H:6611; c!; e=E; C#; s=S;"
       "refused_connections_subnet=2",
       with(&fields::max_connections_per_subnet, 2))
TEST_CASE("master: an IPv4 subnet is a /24, one of IPv6 a /48") {
    world w(with(&fields::max_connections_per_subnet, 1));
    w.accept(address("198.51.100.1:1"));
    w.accept(address("198.51.100.255:1"), GMPUNCH_ERR_FULL);
    w.accept(address("198.51.101.1:1"));
    w.accept(address("[2001:db8:1::1]:1"));
    w.accept(address("[2001:db8:1:ffff::1]:1"), GMPUNCH_ERR_FULL);
    w.accept(address("[2001:db8:2::1]:1"));
    CHECK(w.stats().refused_connections_subnet == 2);
}
TEST_CASE("master: the two counters of a hash are of different bits of it") {
    const uint32_t hash = 0x12345678u, low = 0x1fffu, high = low << 19;
    for (uint32_t row = 0; row < 2; row++) {
        CHECK(gmpunchi_counter(hash, row) < GMPUNCHI_COUNTERS);
        for (uint32_t bit = 0; bit < 32; bit++)
            CHECK((gmpunchi_counter(hash, row) != gmpunchi_counter(hash ^ 1u << bit, row)) ==
                  (((row ? high : low) >> bit & 1) != 0));
    }
}

TEST_CASE("master: subnets do not take places from each other") {
    world w(with(&fields::max_connections_per_subnet, 16));
    for (uint32_t i = 0; i < 4000; i++) w.accept(ipv4(0x0a000001 + (i % 1000 << 8) + i / 1000, 1000));
    CHECK(w.stats().connections == 4000);
}
SCRIPT("master: places that only hosts can take",
       "host h H:6611; c=C; d=D; E#; refused_connections_waiting=1; c reg2; e=E; C#; d!; meet h H:6611",
       with(&fields::max_connections, 5, &fields::max_waiting_connections, 2))
SCRIPT("master: under pressure idle connections go early, as many as needed, the longest idle first",
       "host h H:6611; c=C; wait 4000; d=D; wait 4000; connections=3; e=E; wait 1; closed_idle=1; connections=3; c: closed;"
       "wait 51998; connections=3; wait 4001; connections=2; d: closed; wait 4001; e: closed; connections=1; meet h H:6611",
       with(&fields::max_waiting_connections, 4))

TEST_CASE("master: commands of one IP have a rate; others, pings and registered hosts do not suffer") {
    world w(with(&fields::max_commands_per_second, 10));
    uint32_t host = w.accept(address("198.51.100.7:1000"));
    w.udp(address("198.51.100.7:6611"), reg);
    w.tcp(host, reg);
    uint32_t fast = w.accept(address("203.0.113.9:1")), other = w.accept(address("203.0.113.10:1"));
    for (int i = 0; i < 20; i++) w.tcp(fast, plain("version\n")); // two seconds' worth
    CHECK(w.is_open(fast));
    uint32_t second = w.accept(address("203.0.113.9:2"));
    for (int i = 0; i < 100; i++) w.tcp(fast, plain("ping\n"));
    CHECK(w.is_open(fast));
    CHECK(w.stats().refused_commands == 0);
    w.tcp(fast, plain("version\nversion\n"));
    CHECK(!w.is_open(fast));
    w.tcp(second, plain("version\n"));
    CHECK(!w.is_open(second));
    CHECK(w.stats().refused_commands == 2);
    w.take(other);
    w.tcp(other, plain("version\n"));
    CHECK(w.take(other) == version);
    w.run(100); // closing did not make it forgotten, but one more has become free
    uint32_t later = w.accept(address("203.0.113.9:3"));
    w.tcp(later, plain("version\n"));
    CHECK(w.take(later) == version);
    w.tcp(later, plain("version\n"));
    CHECK(!w.is_open(later));

    for (int i = 0; i < 50; i++) w.tcp(host, reg);
    CHECK(w.is_open(host));
    CHECK(w.stats().registrations == 21);
    CHECK(w.stats().refused_commands == 3 + 30);
    CHECK(w.meets(host, address("198.51.100.7:6611")) == "ok");

    world unlimited(with(&fields::max_commands_per_second, GMPUNCH_NEVER));
    uint32_t any = unlimited.accept(address("203.0.113.9:1"));
    for (int i = 0; i < 5000; i++) unlimited.tcp(any, plain("version\n"));
    CHECK(unlimited.is_open(any));
}

SCRIPT("master: limits of ports",
       "host h H:6611; u H:6612; refused_ports=1; a H:6611; refused_ports=1; a H:6613; refused_ports=2; a C:1; a D:1; a E:1;"
       "u E:1; refused_ports=4; ports=4; ask c C H; c: H:6611; h: C:1; wait 10000; meet h H:6611",
       with(&fields::max_ports, 4, &fields::max_ports_per_ip, 1))
SCRIPT("master: limits of requests",
       "host h H:6611; ask c C H; c connect H; c:; ask d D H; d:; ask e E H; e: FE; refused_requests=1; a D:1; d: H:6611;"
       "h: D:1; c connect H; refused_requests=2; wait 1000; portless=2; h:; meet h H:6611",
       with(&fields::max_requests, 3, &fields::max_requests_per_connection, 2))

SCRIPT("master: limits of messages; a host that cannot be told is not promised",
       "host h H:6611; room h 0; a C:1; ask c C H; c: H:6611; a D:1; ask d D H; d: H:6611; a E:1; ask e E H; e: FE;"
       "refused_messages=1; introductions=2; room h all; h: C:1 D:1; meet h H:6611",
       with(&fields::max_messages_per_connection, 2))

TEST_CASE("master, fault 11: a client is answered, or at least closed, when there are no messages left") {
    world w(with(&fields::max_messages, 2));
    w.play("host h H:6611; host i I:6622; room h 0; a C:1; ask c C H; c: H:6611; a D:1; ask d D H; wait 1000");
    CHECK(w.take(w.names['d']) == "closed");
    CHECK(w.stats().refused_messages == 1);
    CHECK(w.stats().closed_full == 1);
    w.play("room h all; wait 3000; meet i I:6622");
}

TEST_CASE("master: a stream of commands, split at every byte") {
    const bytes stream = reg + plain("unknown\r\n") + reg2 + connect_to(H) + plain("version\r\nconnect\r127.0.0.1\r") +
                         ping + plain("istesting\n") + connect_to("x") + plain("testinginfos\n") + bin("\n\0version\n\0");
    const std::string expected =
        found(H, 7001) + " " + found(H, 6611) + " " + version + " <FE> <F8><00><0A> <FE> <F7><00> " + version;
    for (size_t split = 0; split <= stream.size() + 1; split++) {
        CAPTURE(split);
        world w;
        w.play("u H:6611; a H:7001; a H:7002; h=H");
        uint32_t id = w.names['h'];
        const auto middle = stream.begin() + long(std::min(split, stream.size()));
        if (split > stream.size())
            for (uint8_t c : stream) w.tcp(id, bytes(1, c));
        else w.tcp(id, bytes(stream.begin(), middle));
        w.run(1900); // the port is still taken for one of now
        w.tcp(id, bytes(middle, stream.end()));
        CHECK(w.take(id) == expected);
        w.play("registrations=2; ignored=2");
    }
}

TEST_CASE("master: lines and their answers") {
    const std::string yes = found(H, 6611), v = version, no = "<FE>";
    struct {
        bytes in;
        std::string got;
        uint64_t ignored;
    } rows[] = {
        {plain("version\rversion\r\nversion\n\r\nversion\r"), v + " " + v + " " + v + " " + v, 0},
        {bin("\0version\r\nversion\n\0version\n\0"), v + " " + v + " " + v, 0},
        {bin("ver\0s\tio\x7fn\n"), v, 0},
        {plain("version"), "", 0},
        {plain("Version\nversion \n version\nversion1\nversio\n\xff\nversion\n"), v, 6},
        {bin("\n\n\r\n\0\n\t\nversion\n"), v, 0},
        {plain("istesting\n"), "<F8><00><0A>", 0},
        {plain("testinginfos\n"), "<F7><00>", 0},
        {ping + ping, "", 0},
        {connect_to(H), yes, 0},
        {plain("connect\r\n198.51.100.7\r\n"), yes, 0},
        {bin("\0con\0nect\n\0"
             "198.51.\t100.7\n\0"),
         yes, 0},
        {connect_to("::ffff:198.51.100.7"), yes, 0},
        {connect_to("198.51.100.8"), no, 0},
        {connect_to("198.51.100.7:6611"), no, 1},
        {connect_to("198.51.100.007"), no, 1},
        {connect_to("198.51.100") + plain("version\n"), no + " " + v, 1},
        {connect_to(" 198.51.100.7"), no, 1},
        {connect_to("localhost"), no, 1},
        {connect_to(""), no, 1},
        {connect_to(std::string(1024, '1')), no, 1},
        {plain("reg2\n1.2.4\nversion\nconnect\nreg\nreg2\n\n\n\n\nversion\n"), v, 0},
        {plain("reg2\nreg\n\n\n\n\n\n\n\n\nversion\n"), v, 1},
    };
    for (auto &row : rows) {
        std::string in = show(row.in);
        CAPTURE(in);
        world w;
        w.play("host h H:6611; a C:1; c=C");
        w.tcp(w.names['c'], row.in);
        CHECK(w.take(w.names['c']) == row.got);
        CHECK(w.stats().lines_ignored == row.ignored);
    }
}

TEST_CASE("master: versions in reg2") {
    auto reads = [](const char *number, const std::string &script) {
        CAPTURE(number);
        world w;
        w.play("h=H");
        w.tcp(w.names['h'], plain("version\nreg2\n" + std::string(number) + "\n") + no_data + plain("version\n"));
        w.play(script);
    };
    for (const char *good : {"1.2.0", "1.2.4", "1.2.0.0", "1.2.4.9", "1.10.0", "2.0.0", "2", "10.0.0"})
        reads(good, "hosts=1; h: version version; ignored=0");
    for (const char *low : {"1.2", "1.1.9", "1.1.99", "1", "0", "0.9.9"})
        reads(low, "hosts=0; h: closed; closed_version=1; ignored=0");
    for (const char *none : {"", "x", "v1.2.4", "1.2.x", "1..2", ".1", "1.", "-1.2.4", "1.2.4 ", "1,2,4"})
        reads(none, "hosts=0; h: version version; ignored=1; closed_version=0");
}

TEST_CASE("master: several requests on one connection are answered in their order") {
    world w;
    w.play("host h H:6611; host i I:6622; c=C");
    w.tcp(w.names['c'], connect_to(H) + connect_to("198.51.100.9") + connect_to("198.51.100.8") + connect_to(H));
    w.play("c:; a C:1; c: H:6611; a C:2; a C:3; c: FE I:6622; h: C:1; i: C:3; wait 1000; c: H:6611; h:");
}

TEST_CASE("master: a refusal does not overtake the answers on hold") {
    world w;
    w.play("host h H:6611; ask c C H");
    w.tcp(w.names['c'], connect_to("no ip"));
    w.play("wait 1000; c: H:6611 FE");
    play("host h H:6611; ask c C H; c connect H; wait 1000; c: H:6611 FE", with(&fields::max_requests_per_connection, 1));
}

TEST_CASE("master: IPv6, and mapped addresses are IPv4") {
    world w;
    w.play("host s S:6611");
    for (const char *same : {"2001:db8::7", "2001:0DB8:0:0::7", "2001:db8:0:0:0:0:0:7"}) {
        w.udp(address("2001:db8::9", uint16_t(++w.visitors)), with_header(announcement));
        uint32_t client = w.accept(address("2001:db8::9", 5));
        w.tcp(client, connect_to(same));
        CHECK(w.take(client) == found("2001:db8::7", 6611));
        CHECK(w.take(w.names['s']) == found("2001:db8::9", w.visitors));
    }
    w.udp(mapped(address(H, 6611)), with_header(reg)); // UDP as mapped and TCP not, then the other way round
    w.play("h=H; h reg2; a C:7001");
    w.tcp(w.names['c'] = w.accept(mapped(address(C, 5))), connect_to(H));
    w.play("c: H:6611; h: C:7001; a C:1; ask c C S; wait 1000; c: S:6611; s: C:1");
}

TEST_CASE("master: the longest address fits a message") {
    gmpunch_address longest = address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295", 65535);
    uint8_t room[GMPUNCHI_FOUND_MAX];
    gmpunch_buffer out;
    gmpunch_buffer_init(&out, room, sizeof room, 1);
    CHECK(gmpunchi_encode_found(&out, &longest) == GMPUNCH_OK);
}

TEST_CASE("master: output taken in parts goes on with the exact rest") {
    const size_t whole = 1 + 11 + 1 + 4 + 1; // FF 203.0.113.9 NUL 7001 NUL
    for (size_t taken = 0; taken < whole; taken++) {
        world w;
        w.play("host h H:6611; room h " + std::to_string(taken) +
               "; a C:7001; ask c C H; c: H:6611; h version; a D:1;"
               "ask d D H; h:");
        CHECK(w.peers[w.names['h']].piece.size() == taken);
        w.play("room h 1");
        CHECK(w.peers[w.names['h']].piece.size() == (taken + 1) % whole);
        if (taken + 1 < whole) w.play("h:; room h all; h: C:7001 version D:1");
        else w.play("h: C:7001; room h all; h: version D:1");
        CHECK(w.stats().tcp_bytes_out == w.bytes_out);
        CHECK(w.stats().tcp_bytes_in == w.bytes_in);
        CHECK(w.stats().udp_bytes_in == w.udp_bytes);
    }
}

TEST_CASE("master, fault 16: a reader that stalls is closed, also one that takes a byte now and then") {
    std::string script = "host h H:6611; host i I:6622; room h 3; a C:1; ask c C H; c!";
    for (int i = 0; i < 6; i++) script += "; wait 1000; connections=2; room h 1";
    play(script + "; wait 999; closed_write=0; wait 1; closed_write=1; h: closed; a D:1; ask d D H; d: FE; meet i I:6622",
         with(&fields::write_timeout_ms, 7000));
}

TEST_CASE("master, fault 16: being writable without taking a byte is a stall") {
    std::string script = "host h H:6611; room h 0; a C:1; ask c C H";
    for (int i = 0; i < 30; i++) script += "; wait 1000; room h 0";
    play(script + "; closed_write=1; h: closed");
}

TEST_CASE("master: a connection ends while its output waits, or is the one being sent") {
    const bytes two = plain("version\nversion\n");
    for (int how = 0; how < 4; how++) {
        CAPTURE(how);
        world w;
        w.play("host h H:6611; c=C");
        uint32_t host = w.names['h'], other = w.names['c'];
        for (uint32_t id : {host, other}) gmpunch_master_tcp_data(w.master, w.now, id, two.data(), two.size());
        gmpunch_transmit out;
        CHECK(gmpunch_master_next_transmit(w.master, &out) == 1);
        CHECK(out.connection == host);
        CHECK(gmpunch_master_tcp_sent(w.master, host, out.len + 1) == GMPUNCH_ERR_ARGUMENT);
        CHECK(gmpunch_master_tcp_sent(w.master, other, 1) == GMPUNCH_ERR_CONNECTION);
        if (how == 1) CHECK(gmpunch_master_tcp_sent(w.master, host, out.len) == GMPUNCH_OK);
        if (how == 2) CHECK(gmpunch_master_tcp_sent(w.master, host, 2) == GMPUNCH_OK);
        if (how == 3) w.tcp(host, plain("reg2\n1\n") + no_data); // closed from this side
        else w.close(host);
        CHECK(gmpunch_master_tcp_sent(w.master, host, 1) == GMPUNCH_ERR_CONNECTION);
        w.play(std::string(how == 3 ? "h: closed" : "h:") + "; c: version version; a D:1; ask d D H; d: FE");
    }
    world w; // and with all of it open at the end: the fixture counts what is left
    for (int i = 0; i < 100; i++) w.play("host h H:6611; room h 1; ask c C H");
    w.tcp(w.accept(address(C, 1)), plain("connect\n1.2"));
    w.play("a D:1; ask d D H; d: H:6611; requests=100; hosts=100");
}

TEST_CASE("master: what waited for a connection that ended leaves room for others") {
    std::string script;
    for (int i = 0; i < 20; i++) script += "host h H:6611; room h 0; h version; h version; h version; h!; ";
    play(script + "host h H:6611; meet h H:6611", with(&fields::max_messages, 4));
}

SCRIPT("master: a host without port ends while it asks for itself and cannot be answered",
       "host i I:1; h=H; h reg2; room h 0; h version; a H:1; h connect H; requests=1; h!; connections=1; meet i I:1",
       with(&fields::max_messages_per_connection, 1))
SCRIPT("master: a host without port is closed while it asks for itself and cannot be answered",
       "host i I:1; h=H; h reg2; room h 0; h version; a H:1; h connect H; requests=1; wait 15000; h: closed; meet i I:1",
       with(&fields::max_messages_per_connection, 1, &fields::hold_ms, 100000))

TEST_CASE("master: the id of a connection that is gone stays refused") {
    world w;
    w.play("h=H");
    std::vector<uint32_t> ids = {0, UINT32_MAX, w.names['h'] ^ 1u, w.names['h'] ^ 0x80000000u};
    for (int i = 0; i < 500; i++) {
        ids.push_back(w.accept(address(H, 1)));
        w.close(ids.back());
    }
    w.accept(address(H, 1)); // in the place of them all
    for (uint32_t id : ids) {
        w.tcp(id, reg);
        w.close(id);
        CHECK(gmpunch_master_tcp_sent(w.master, id, 0) == GMPUNCH_ERR_CONNECTION);
        CHECK(gmpunch_master_tcp_writable(w.master, w.now, id) == GMPUNCH_ERR_CONNECTION);
    }
    w.play("registrations=0; connections=2; h version; h: version");
}

TEST_CASE("master: of events that nobody fetches the oldest are dropped") {
    world w;
    w.fetch_events = false;
    w.play("c=C");
    for (uint32_t i = 0; i < 100; i++) {
        w.play("a C:" + std::to_string(i % 50 + 1));
        w.tcp(w.names['c'], connect_to(ip_text(0xc6336400 + i)));
        w.run(1000);
    }
    uint32_t dropped = uint32_t(w.stats().events_dropped);
    CHECK((dropped > 0 && dropped < 100));
    w.fetch_events = true;
    w.step();
    REQUIRE(w.events.size() == 100 - dropped);
    for (uint32_t i = dropped; i < 100; i++) CHECK(text(w.events[i - dropped].other) == ip_text(0xc6336400 + i));
}

TEST_CASE("master: a connection from nowhere is refused, and time does not begin before the master") {
    fields config = with(&fields::idle_timeout_ms, 60000);
    gmpunch_master *master = nullptr;
    REQUIRE(gmpunch_master_create(&config, 1000000, &master) == GMPUNCH_OK);
    gmpunch_address from = address(C, 1);
    uint32_t id = 7;
    for (uint8_t family : {uint8_t(0), uint8_t(5)}) {
        from.family = family;
        CHECK(gmpunch_master_tcp_accepted(master, 0, &from, &id) == GMPUNCH_ERR_ADDRESS);
    }
    from.family = 4;
    REQUIRE(gmpunch_master_tcp_accepted(master, 0, &from, &id) == GMPUNCH_OK);
    CHECK(gmpunch_master_next_deadline(master) == 1060000);
    gmpunch_master_close(master);
}

TEST_CASE("master: NULL, structs of other sizes, configs out of range") {
    world w;
    gmpunch_master *m = w.master, *none = nullptr;
    gmpunch_address from = address(H, 1);
    uint32_t id = w.accept(from);
    gmpunch_transmit transmit;
    gmpunch_event event;
    counts stats = {};
    fields config = {};
    const uint8_t byte = 'x';
    const int32_t results[] = {gmpunch_master_create(nullptr, 0, &none),
                               gmpunch_master_create(&config, 0, nullptr),
                               gmpunch_master_input_udp(none, 0, &from, 0, &byte, 1),
                               gmpunch_master_input_udp(m, 0, nullptr, 0, &byte, 1),
                               gmpunch_master_input_udp(m, 0, &from, 0, nullptr, 4),
                               gmpunch_master_tcp_accepted(none, 0, &from, &id),
                               gmpunch_master_tcp_accepted(m, 0, nullptr, &id),
                               gmpunch_master_tcp_accepted(m, 0, &from, nullptr),
                               gmpunch_master_tcp_data(none, 0, id, &byte, 1),
                               gmpunch_master_tcp_data(m, 0, id, nullptr, 4),
                               gmpunch_master_tcp_closed(none, 0, id, 0),
                               gmpunch_master_tcp_sent(none, id, 0),
                               gmpunch_master_tick(none, 0),
                               gmpunch_master_tcp_writable(none, 0, id),
                               gmpunch_master_next_transmit(none, &transmit),
                               gmpunch_master_next_transmit(m, nullptr),
                               gmpunch_master_next_event(none, &event),
                               gmpunch_master_next_event(m, nullptr),
                               gmpunch_master_get_stats(none, &stats),
                               gmpunch_master_get_stats(m, nullptr)};
    for (const int32_t &result : results) {
        CAPTURE(&result - results);
        CHECK(result == GMPUNCH_ERR_ARGUMENT);
    }
    CHECK(gmpunch_master_next_deadline(none) == UINT64_MAX);
    CHECK(gmpunch_master_tcp_data(m, 0, id, nullptr, 0) == GMPUNCH_OK);
    gmpunch_master_close(nullptr);

    std::memset(&stats, 0xee, sizeof stats); // an older, shorter struct is filled as far as it goes
    stats.struct_size = offsetof(counts, hosts);
    CHECK(gmpunch_master_get_stats(m, &stats) == GMPUNCH_OK);
    CHECK(stats.connections == 1);
    CHECK(stats.hosts == 0xeeeeeeee);
    CHECK(stats.struct_size == offsetof(counts, hosts));
    stats.struct_size = sizeof stats + 1;
    CHECK(gmpunch_master_get_stats(m, &stats) == GMPUNCH_ERR_CONFIG);
    config.struct_size = offsetof(fields, seed);
    CHECK(gmpunch_master_create(&config, 0, &none) == GMPUNCH_OK);
    gmpunch_master_close(none);
    const uint32_t too_many = 4194305;
    std::vector<fields> wrong = {with(&fields::struct_size, sizeof config + 1),
                                 with(&fields::max_connections, too_many),
                                 with(&fields::max_ports, too_many),
                                 with(&fields::max_requests, too_many),
                                 with(&fields::max_messages, too_many),
                                 with(&fields::max_line, 65537),
                                 fields()};
    wrong.back().allocator.alloc = heap::alloc; // without its other half
    for (const fields &each : wrong) CHECK(gmpunch_master_create(&each, 0, &none) == GMPUNCH_ERR_CONFIG);
    CHECK(none == nullptr);
}

// A hundred hosts, some in two pieces, and two hundred clients; how many clients were introduced to the right host.
uint32_t crowd(world &w) {
    uint32_t met = 0, hosts[100];
    for (uint32_t i = 0; i < 100; i++) {
        gmpunch_address from = ipv4(0xc6336400 + i, uint16_t(6000 + i));
        w.udp(from, with_header(reg));
        hosts[i] = w.accept(from);
        if (i % 4 == 0) w.tcp(hosts[i], bytes(reg2.begin(), reg2.begin() + 20));
        w.tcp(hosts[i], bytes(reg2.begin() + (i % 4 ? 0 : 20), reg2.end()));
    }
    for (uint32_t i = 0; i < 200; i++) {
        uint32_t ip = 0xcb007100 + i, host = 0xc6336400 + i / 2;
        if (i % 2) w.udp(ipv4(ip, 7000), with_header(announcement));
        uint32_t id = w.accept(ipv4(ip, 7000));
        w.tcp(id, connect_to(ip_text(host)));
        if (i % 2 == 0) w.udp(ipv4(ip, 7000), with_header(announcement));
        met += w.take(id) == found(ip_text(host), 6000 + i / 2) && w.take(hosts[i / 2]) == found(ip_text(ip), 7000);
    }
    w.run(1000);
    return met;
}

TEST_CASE("master: no memory, once or for a while, at each allocation of a crowd") {
    for (bool for_long : {false, true}) {
        size_t n = 0;
        for (bool done = false; !done; n++) {
            CAPTURE(for_long);
            CAPTURE(n);
            world w(fields(), n, for_long ? SIZE_MAX : n + 1);
            if (!w.master) continue;
            uint32_t met = crowd(w);
            done = w.memory.failed == 0;
            if (!for_long) CHECK(met >= (done ? 200 : 198)); // nobody else suffers
            if (done) w.play("hosts=100; introductions=200");
            w.memory.fail_from = w.memory.fail_to = SIZE_MAX;
            w.play("host s S:6611; meet s S:6611");
        }
        CHECK(n > 30);
    }
}

TEST_CASE("master: twenty thousand hosts, twice in the same memory") {
    world w;
    size_t used[2];
    uint32_t first = 0x64000000;
    for (size_t &after : used) {
        std::vector<uint32_t> ids;
        for (uint32_t i = 0; i < 20000; i++) {
            gmpunch_address from = ipv4(first + i * 7, uint16_t(1024 + i));
            w.udp(from, with_header(reg));
            ids.push_back(w.accept(from));
            w.tcp(ids.back(), reg2);
        }
        w.play("hosts=20000");
        uint32_t wrong = 0;
        for (uint32_t i = 0; i < ids.size(); i++) wrong += w.meets(ids[i], ipv4(first + i * 7, uint16_t(1024 + i))) != "ok";
        CHECK(wrong == 0);
        for (uint32_t id : ids) w.close(id);
        w.play("wait 60000; hosts=0; connections=0; ports=0; requests=0");
        after = w.memory.used;
        first += 1000000; // others
    }
    CHECK(used[0] == used[1]);
}

TEST_CASE("master: random operations") {
    const std::string ips[] = {H, C, "203.0.113.10", "2001:db8::7"};
    std::vector<gmpunch_address> from;
    for (const std::string &ip : ips) from.push_back(address(ip.c_str()));
    const bytes part[] = {reg,
                          reg2,
                          plain("version\ristesting\r\n"),
                          ping + plain("what\n"),
                          ping,
                          plain("reg2\n1.1\n") + no_data,
                          connect_to("?")};
    for (uint64_t seed = 1; seed <= 200; seed++) {
        CAPTURE(seed);
        uint64_t random = seed * 0x9e3779b97f4a7c15u;
        auto below = [&random](size_t limit) { // xorshift
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            return uint32_t((random >> 32) % limit);
        };
        fields config = with(&fields::max_line, 64, &fields::host_timeout_ms, 30000);
        if (seed % 4) { // else the defaults
            config.max_connections = 20;
            config.max_connections_per_ip = 8;
            config.max_ports = 12;
            config.max_requests = 6;
            config.max_messages = 10;
            config.max_ports_per_ip = config.max_messages_per_connection = 4;
            config.max_requests_per_connection = 3;
        }
        world w(config);
        std::vector<uint32_t> ids(1, 0); // the latest, open or closed
        for (int op = 0; op < 2000; op++) {
            uint32_t id = ids[below(ids.size())];
            gmpunch_address sender = from[below(4)];
            sender.port = uint16_t(1 + below(6));
            bytes data;
            switch (below(16)) {
            case 0:
            case 1:
                ids.push_back(w.accept(sender, 1));
                if (ids.size() > 12) ids.erase(ids.begin());
                break;
            case 2: w.close(id, int32_t(below(2))); break;
            case 3: w.peers[id].room = below(40); break;
            case 4: w.room(id, below(3) ? SIZE_MAX : below(30)); break;
            case 5: w.run(below(3000)); break;
            case 6: CHECK(gmpunch_master_tick(w.master, w.now - below(2000)) == GMPUNCH_OK); break; // a clock steps back
            case 7: w.udp(sender, with_header(seed % 3 ? reg : announcement)); break; // sometimes no host has a port
            case 8: w.udp(sender, with_header(announcement)); break;
            case 9:
                for (uint32_t i = below(30); i; i--) data.push_back(uint8_t(below(256)));
                w.udp(sender, data);
                break;
            default:
                for (uint32_t parts = 1 + below(3); parts; parts--) {
                    uint32_t which = below(12);
                    if (which == 5 && below(4)) which = 11; // not too often: it closes
                    if (which < 7) data = data + part[which];
                    else if (which == 7) data = data + bytes(below(70), uint8_t(below(256)));
                    else data = data + connect_to(ips[below(4)]);
                }
                if (below(4) == 0) data.resize(below(data.size() + 1));
                w.tcp(id, data);
            }
            w.step();
            counts s = w.stats();
            HOLDS(seed % 4 == 0 || (s.connections <= 20 && s.ports <= 12 && s.requests <= 6));
        }
        w.play("wait 1000000; connections=0; hosts=0; ports=0; requests=0");
    }
}

TEST_CASE("master: the end of one connection ends many others, one by one") {
    // each is a host without port and waits for the next; when that ends it cannot be answered, and is closed too
    world w(with(&fields::max_messages, 1));
    w.play("s=S; room s 0; s version");
    const uint32_t count = 20000, first = 0x0a000001;
    std::vector<uint32_t> ids;
    for (uint32_t i = 0; i < count; i++) {
        ids.push_back(w.accept(ipv4(first + i, 5)));
        w.tcp(ids.back(), reg2);
    }
    for (uint32_t i = 0; i + 1 < count; i++) {
        w.udp(ipv4(first + i, 5), announcement);
        w.tcp(ids[i], connect_to(ip_text(first + i + 1)));
    }
    CHECK(w.stats().requests == count - 1);
    HOLDS(gmpunch_master_tcp_closed(w.master, w.now, ids.back(), 0) == GMPUNCH_OK);
    w.peers[ids.back()].open = false;
    w.open--;
    w.step();
    w.play("requests=0; connections=1");
}
