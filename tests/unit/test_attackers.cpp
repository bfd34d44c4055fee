// Who means harm: forged knocks, a hostile master, lists that never end, and what they cost a host, a client, a lobby and a
// master. README's table of threats names these tests; those of the master's own limits are in test_master.cpp.
#include "machines.hpp"

#include <map>
#include <set>
#include <string>

namespace {

gmpunch_address ipv4(uint32_t ip, uint16_t port) {
    gmpunch_address made = {4, 0, port, 0, {uint8_t(ip >> 24), uint8_t(ip >> 16), uint8_t(ip >> 8), uint8_t(ip)}};
    return made;
}
gmpunch_address numbered(uint32_t n) { return ipv4(0x64000001 + n, 7000); } // of as many machines

const bytes move = with_header(bin("move"));

gmpunch_host_config host_config() { return host_fixture::config(); }

bool is_peer(const host_fixture &f, const gmpunch_address &from) { return gmpunch_host_find_peer(f.host, &from) != 0; }

void introduce(host_fixture &f, const gmpunch_address &client) {
    gmpunch_address ip = client;
    ip.port = 0;
    f.tcp(introduction(text(ip).c_str(), std::to_string(client.port).c_str()));
}

// Bytes and datagrams to each address.
struct traffic {
    size_t datagrams = 0, size = 0;
};
std::map<std::string, traffic> received(const host_fixture &f) {
    std::map<std::string, traffic> out;
    for (size_t i = 0; i < f.out.size(); i++) {
        if (f.out[i].kind != GMPUNCH_TRANSMIT_UDP) continue;
        traffic &to = out[text(f.out[i].to)];
        to.datagrams++;
        to.size += f.out_data[i].size();
    }
    return out;
}

size_t knocks(const host_fixture &f) {
    size_t count = 0;
    for (const bytes &data : f.out_data) count += data == knock;
    return count;
}

uint32_t rnd(uint32_t &state) { return state = state * 1664525 + 1013904223; }

} // namespace

// ---- forged knocks at a host

TEST_CASE("attackers, host: a forged knock brings its victim one welcome, and nothing after it") {
    gmpunch_host_config config{}; // no master, so that all that leaves is for peers
    host_fixture f(config);
    std::map<std::string, traffic> in;
    uint32_t state = 7;
    for (int i = 0; i < 20000; i++) {
        gmpunch_address victim = ipv4(0xc0000200 + rnd(state) % 64, uint16_t(1 + rnd(state) % 8));
        bytes forged = i % 3 ? knock : bin("\xfd");
        traffic &from = in[text(victim)];
        from.datagrams++;
        from.size += forged.size();
        f.udp(victim, forged);
        if (i % 100 == 0) f.wait(1);
    }
    f.wait(900000); // as long as a silent peer is kept, and longer
    for (auto &to : received(f)) {
        CAPTURE(to.first);
        CHECK(to.second.datagrams <= in[to.first].datagrams);
        CHECK(to.second.size <= in[to.first].size);
    }
    CHECK(f.stats().welcomes_sent >= 64);
    CHECK(f.stats().keepalives_sent == 0);
    CHECK(f.stats().peers == 0);
}

TEST_CASE("attackers, host: a knock that claims to be from the master, or from the host itself, is not answered") {
    gmpunch_host_config config = host_config();
    config.bind_address = "198.51.100.7";
    config.bind_port = 6611;
    host_fixture f(config);
    f.registered();
    for (const char *from : {"203.0.113.1:6510", "198.51.100.7:6611", "0.0.0.0:7000", "224.0.0.1:7000",
                             "255.255.255.255:7000", "[ff02::1]:7000", "[::]:7000"})
        CHECK(f.udp(address(from), knock) == GMPUNCH_CONSUMED);
    introduce(f, address("198.51.100.7:6611"));
    CHECK(f.stats().strangers == 7);
    CHECK(f.stats().refused_introductions == 1);
    CHECK(f.stats().joined == 0);
    CHECK(f.out.empty());
    config.bind_address = nullptr; // on any address its own is known on this machine only
    host_fixture any(config);
    any.out.clear();
    any.udp(address("127.0.0.1:6611"), knock);
    any.udp(address("[::1]:6611"), knock);
    CHECK(any.stats().joined == 0);
    any.udp(address("127.0.0.1:6612"), knock);
    CHECK(any.stats().joined == 1);
}

TEST_CASE("attackers, host: all ports of one IP knock, and get 16 places; others still get in") {
    host_fixture f;
    f.registered();
    for (uint32_t port = 1; port <= 65535; port++) f.udp(ipv4(0xc0000263, uint16_t(port)), knock);
    CHECK(f.stats().peers == 16);
    CHECK(f.stats().refused_direct_ip == 65535 - 16);
    CHECK(f.stats().refused_full == 0);
    f.udp(f.a, knock);
    CHECK(is_peer(f, f.a));
    gmpunch_address theirs = ipv4(0xc0000263, 5020); // of that IP, but the master knows it
    introduce(f, theirs);
    f.udp(theirs, knock);
    CHECK(is_peer(f, theirs));
    f.wait(400000); // the places come back
    f.udp(ipv4(0xc0000263, 1), knock);
    CHECK(f.stats().peers == 1);
    gmpunch_host_config config = host_config();
    config.max_direct_peers_per_ip = 3;
    host_fixture three(config);
    for (uint16_t port = 1; port < 9; port++) three.udp(ipv4(0xc0000263, port), knock);
    CHECK(three.stats().peers == 3);
}

TEST_CASE("attackers, host: one introduction lets one peer in, not a whole IP") {
    host_fixture f;
    f.registered();
    introduce(f, address("192.0.2.99:7001"));
    for (uint16_t port = 1024; port < 2048; port++) f.udp(ipv4(0xc0000263, port), knock);
    CHECK(f.stats().peers == 17);
    for (uint16_t port = 2048; port < 2058; port++) introduce(f, ipv4(0xc0000263, port));
    for (uint16_t port = 3072; port < 4096; port++) f.udp(ipv4(0xc0000263, port), knock); // of a symmetric NAT
    CHECK(f.stats().peers == 27);
    introduce(f, ipv4(0xc0000263, 2048)); // named again: for one more
    introduce(f, ipv4(0xc0000263, 1024)); // is a peer already: its place counts no longer as a direct one
    for (uint16_t port = 4096; port < 5120; port++) f.udp(ipv4(0xc0000263, port), knock);
    CHECK(f.stats().peers == 28);
}

TEST_CASE("attackers, host: forged knocks from everywhere fill it; an introduced client is in with its second knock") {
    host_fixture f;
    f.registered();
    for (uint32_t i = 0; i < 30; i++) { // live ones: a game packet each
        f.udp(numbered(1000000 + i), knock);
        f.udp(numbered(1000000 + i), move);
    }
    uint32_t forged = 0;
    auto flood = [&](int ms) { // a thousand a second
        for (int i = 0; i < ms; i++) {
            f.udp(numbered(forged++), knock);
            f.wait(1);
        }
    };
    flood(2000);
    CHECK(f.stats().peers == 64);
    CHECK(f.stats().refused_full == 2000 - 34);
    CHECK(f.stats().displaced == 0);
    for (uint32_t i = 0; i < 34; i++) {
        gmpunch_address client = numbered(2000000 + i);
        introduce(f, client);
        f.udp(client, knock);
        CHECK_FALSE(is_peer(f, client)); // its place is not free before the application has heard that another LEFT
        flood(50);
        f.udp(client, knock);
        CHECK(is_peer(f, client));
        f.udp(client, move);
        CHECK(f.stats().displaced == i + 1);
        CHECK(f.last(GMPUNCH_EVENT_LEFT).reason == GMPUNCH_REASON_LIMIT);
    }
    gmpunch_address late = numbered(3000000);
    introduce(f, late);
    f.udp(late, knock);
    flood(20000);
    f.udp(late, knock); // all are live: nobody has to leave
    CHECK_FALSE(is_peer(f, late));
    CHECK(f.stats().displaced == 34);
    for (uint32_t i = 0; i < 30; i++) CHECK(is_peer(f, numbered(1000000 + i)));
    for (uint32_t i = 0; i < 34; i++) CHECK(is_peer(f, numbered(2000000 + i)));
    CHECK(f.stats().left == 34);
}

TEST_CASE("attackers, host: without a master a direct client gets in through the flood, when forged places are old enough") {
    gmpunch_host_config config{};
    host_fixture f(config);
    f.udp(f.a, knock); // a live one, which says something at last
    f.wait(3000);
    f.udp(f.a, move);
    uint32_t forged = 0, waited = 0;
    for (; f.stats().peers < 64;) f.udp(numbered(forged++), knock);
    for (; !is_peer(f, f.b) && waited < 60000; waited++) {
        f.udp(numbered(forged++), knock); // a thousand a second
        if (waited % 50 == 0) f.udp(f.b, knock);
        f.wait(1);
    }
    CHECK(waited >= 10000);
    CHECK(waited < 40000);
    CHECK(is_peer(f, f.a));
}

TEST_CASE("attackers, host: who sent a packet, asked for data, or knocked after five seconds is never displaced") {
    gmpunch_host_config config = host_config();
    config.max_peers = 4;
    host_fixture f(config);
    f.registered();
    gmpunch_address d = address("192.0.2.13:7001");
    for (const gmpunch_address &from : {f.a, f.b, f.c, d}) {
        f.udp(from, knock);
        f.udp(from, knock);
    }
    gmpunch_peer_info info{};
    auto confirmed = [&](const gmpunch_address &from) {
        REQUIRE(gmpunch_host_peer_info(f.host, gmpunch_host_find_peer(f.host, &from), &info) == GMPUNCH_OK);
        return info.confirmed;
    };
    for (const gmpunch_address &from : {f.a, f.b, f.c, d}) CHECK(confirmed(from) == 0);
    f.udp(f.a, move);
    f.udp(f.b, ask);
    f.wait(5000);
    f.udp(f.c, knock); // as a client of ours does
    CHECK(confirmed(f.a) + confirmed(f.b) + confirmed(f.c) == 3);
    CHECK(confirmed(d) == 0);
    f.wait(20000);
    gmpunch_address e = address("192.0.2.14:7001"), g = address("192.0.2.15:7001");
    introduce(f, e);
    introduce(f, g);
    for (int i = 0; i < 10; i++) {
        f.udp(e, knock);
        f.udp(g, knock);
        f.udp(numbered(uint32_t(i)), knock);
        f.wait(50);
    }
    CHECK_FALSE(is_peer(f, d));
    CHECK(is_peer(f, f.a));
    CHECK(is_peer(f, f.b));
    CHECK(is_peer(f, f.c));
    CHECK(is_peer(f, e));
    CHECK(f.stats().displaced == 1);
    CHECK(f.count(GMPUNCH_EVENT_LEFT) == 1);
    CHECK(f.last(GMPUNCH_EVENT_LEFT).reason == GMPUNCH_REASON_LIMIT);
}

TEST_CASE("attackers, host: a silent classic client keeps its place as long as there are others") {
    host_fixture f;
    f.registered();
    f.udp(f.a, knock); // says nothing more
    introduce(f, f.c);
    f.udp(f.c, knock); // nor does this one
    for (uint32_t i = 0; i < 61; i++) f.udp(numbered(i), knock);
    f.forget();
    f.wait(100000);
    CHECK(f.sent(knock, &f.a) == 0);
    CHECK(f.sent(knock, &f.c) >= 3 + 6); // its address is real: the mapping of its router is kept
    introduce(f, f.a); // now this one's is as well
    f.wait(100000);
    CHECK(f.sent(knock, &f.a) >= 3 + 6);
    f.wait(50000);
    introduce(f, f.b);
    f.udp(f.b, knock);
    CHECK(is_peer(f, f.a));
    CHECK(is_peer(f, f.b));
    CHECK(is_peer(f, f.c));
    CHECK(f.stats().displaced == 0);
}

TEST_CASE(
    "attackers, host: introduced ones that say nothing make room for others, but not at once and not for direct ones") {
    gmpunch_host_config config = host_config();
    config.max_peers = 4;
    host_fixture f(config);
    f.registered();
    for (uint32_t i = 0; i < 4; i++) {
        introduce(f, numbered(i));
        f.udp(numbered(i), knock);
    }
    introduce(f, f.a);
    f.udp(f.a, knock);
    f.wait(9000);
    f.udp(f.a, knock);
    f.udp(f.b, knock);
    CHECK(f.stats().displaced == 0);
    f.wait(1000);
    f.udp(f.b, knock);
    CHECK(f.stats().displaced == 0);
    f.udp(f.a, knock);
    f.udp(f.b, knock); // is not given the place that was made for the other
    f.udp(f.a, knock);
    CHECK(f.stats().displaced == 1);
    CHECK(is_peer(f, f.a));
    CHECK_FALSE(is_peer(f, numbered(0))); // the oldest
    CHECK(is_peer(f, numbered(1)));
}

TEST_CASE("attackers, host: while the application has not heard that one LEFT, no other has to") {
    host_fixture f;
    f.registered();
    for (uint32_t i = 0; i < 64; i++) f.udp(numbered(i), knock);
    f.wait(20000);
    auto unheard = [&](const gmpunch_address &from) { // no event is read
        REQUIRE(gmpunch_host_input_udp(f.host, f.now, &from, 0, knock.data(), knock.size()) == GMPUNCH_CONSUMED);
    };
    for (uint32_t i = 100; i < 200; i++) unheard(numbered(i));
    CHECK(f.stats().displaced == 1);
    introduce(f, f.a); // reads them
    for (int i = 0; i < 5; i++) unheard(f.a);
    CHECK(f.stats().displaced == 1); // the place is still free
    CHECK(is_peer(f, f.a));
    gmpunch_address next = f.b; // two behind one router
    next.port++;
    introduce(f, f.b);
    introduce(f, next);
    for (int i = 0; i < 5; i++) {
        unheard(f.b);
        unheard(next);
    }
    CHECK(f.stats().displaced == 3);
    for (int i = 0; i < 5; i++) unheard(numbered(100));
    CHECK(f.stats().displaced == 4);
    f.drain();
    for (uint32_t i = 100; i < 200; i++) unheard(numbered(i)); // both places are kept
    unheard(next);
    unheard(f.b);
    CHECK(is_peer(f, f.b));
    CHECK(is_peer(f, next));
}

TEST_CASE("attackers, host: a place that was made is free for all once the introduction has expired") {
    gmpunch_host_config config = host_config();
    config.max_peers = 1;
    host_fixture f(config);
    f.registered();
    f.udp(numbered(0), knock);
    introduce(f, f.a);
    f.udp(f.a, knock); // made, but never taken
    f.udp(f.b, knock);
    CHECK_FALSE(is_peer(f, f.b));
    f.wait(15000);
    f.udp(f.b, knock);
    CHECK(is_peer(f, f.b));
}

TEST_CASE("attackers, host: no place is made where the config says so") {
    gmpunch_host_config config = host_config();
    config.unconfirmed_ms = GMPUNCH_NEVER;
    config.max_peers = 2;
    host_fixture f(config);
    f.registered();
    f.udp(numbered(0), knock);
    f.udp(numbered(1), knock);
    f.wait(100000);
    introduce(f, f.a);
    for (int i = 0; i < 3; i++) f.udp(f.a, knock);
    CHECK_FALSE(is_peer(f, f.a));
    CHECK(f.stats().displaced == 0);
    CHECK(f.stats().refused_full == 3);
}

TEST_CASE("attackers, host: forged knocks with forged packets behind take no more than max_direct_peers") {
    gmpunch_host_config config = host_config();
    config.max_direct_peers = 8;
    host_fixture f(config);
    f.registered();
    for (uint32_t i = 0; i < 1000; i++) {
        f.udp(numbered(i), knock);
        f.udp(numbered(i), move);
    }
    CHECK(f.stats().peers == 8);
    CHECK(f.stats().refused_direct == 992);
    for (uint32_t i = 0; i < 56; i++) {
        introduce(f, numbered(5000 + i));
        f.udp(numbered(5000 + i), knock);
        CHECK(is_peer(f, numbered(5000 + i)));
    }
    CHECK(f.stats().displaced == 0);

    host_fixture silent(config); // forged ones that are not even confirmed make room among themselves
    for (uint32_t i = 0; i < 8; i++) silent.udp(numbered(i), knock);
    silent.wait(10000);
    silent.udp(silent.a, knock);
    CHECK(is_peer(silent, silent.a));
    CHECK(silent.stats().peers == 8);
    CHECK(silent.stats().displaced == 1);
}

TEST_CASE("attackers, host: with require_mediation forged knocks take no place and get no byte") {
    gmpunch_host_config config = host_config();
    config.require_mediation = 1;
    host_fixture f(config);
    f.registered();
    for (uint32_t i = 0; i < 5000; i++) f.udp(numbered(i), knock);
    CHECK(f.out.empty());
    CHECK(f.stats().peers == 0);
    CHECK(f.stats().refused_unmediated == 5000);
    introduce(f, f.a);
    f.udp(f.a, knock);
    CHECK(is_peer(f, f.a));
}

TEST_CASE("attackers, host: packets of the game and requests from addresses that are no peers change and send nothing") {
    host_fixture f;
    f.registered();
    f.udp(f.a, knock);
    f.forget();
    gmpunch_host_stats before = f.stats();
    uint32_t state = 3;
    for (uint32_t i = 0; i < 20000; i++) {
        bytes any(rnd(state) % 40);
        for (uint8_t &byte : any) byte = uint8_t(rnd(state) >> 24);
        if (any.size() == 1 && any[0] == 0xfd) continue;
        gmpunch_address from = i % 2 ? numbered(i) : f.a;
        if (i % 2 == 0) from.port = uint16_t(rnd(state) | 1);
        if (gmpunch_address_equal(&from, &f.a)) continue;
        f.udp(from, i % 3 ? with_header(any) : any);
        f.udp(from, welcome);
        f.udp(from, ask);
    }
    CHECK(f.out.empty());
    CHECK(f.events.empty());
    CHECK(f.stats().peers == before.peers);
    CHECK(f.stats().strangers >= 19000);
    gmpunch_peer_info info{};
    REQUIRE(gmpunch_host_peer_info(f.host, 1, &info) == GMPUNCH_OK);
    CHECK(info.confirmed == 0);
}

TEST_CASE("attackers, host: answers with data strings, longer than the question, are few to addresses that may be forged") {
    gmpunch_host_config config = host_config();
    std::string longest(1000, 'x');
    config.data[0] = longest.c_str();
    config.data[1] = nullptr;
    config.max_peers = 1001;
    host_fixture f(config);
    f.registered();
    for (uint32_t i = 0; i < 1000; i++) f.udp(numbered(i), knock);
    introduce(f, f.a);
    f.udp(f.a, knock);
    f.forget();
    for (int ms = 0; ms < 10000; ms += 10) { // 100,000 a second, for ten seconds
        for (uint32_t i = 0; i < 1000; i++) f.udp(numbered(i), ask);
        f.wait(10);
    }
    uint32_t answered = f.stats().data_sent;
    CHECK(answered >= 200);
    CHECK(answered <= 264); // 20 a second, and 64 at once
    CHECK(f.stats().data_held > 10000);
    f.udp(f.a, ask); // it was introduced, so it is there
    CHECK(f.stats().data_sent == answered + 1);
}

// ---- a hostile master

TEST_CASE("attackers, host and client: at which addresses of a master they knock") {
    const char *internet = "203.0.113.1", *here = "127.0.0.1", *lan = "192.168.0.1", *link = "169.254.0.1",
               *link6 = "fe80::1%3";
    struct {
        const char *master, *ip, *port;
        uint32_t rules;
        bool knocks;
    } rows[] = {
        {internet, "192.0.2.10", "7001", 0, true},
        {internet, "192.0.2.10", "1024", 0, true},
        {internet, "192.0.2.10", "65535", 0, true},
        {internet, "192.0.2.10", "1023", 0, false},
        {internet, "192.0.2.10", "53", 0, false},
        {internet, "192.0.2.10", "1", 0, false},
        {internet, "192.0.2.10", "53", GMPUNCH_KNOCK_LOW_PORTS, true},
        {internet, "255.255.255.255", "7001", 0, false},
        {internet, "239.255.255.250", "1900", 0, false},
        {internet, "224.0.0.1", "7001", 7, false},
        {internet, "240.0.0.1", "7001", 0, false},
        {internet, "0.0.0.0", "7001", 3, false},
        {internet, "0.1.2.3", "7001", 0, false},
        {internet, "127.0.0.1", "7001", 0, false},
        {internet, "127.255.0.1", "7001", 0, false},
        {internet, "127.0.0.1", "7001", GMPUNCH_KNOCK_LOCAL, true},
        {internet, "169.254.169.254", "8080", 0, false},
        {internet, "169.254.169.254", "8080", GMPUNCH_KNOCK_LOCAL, true},
        {internet, "10.1.2.3", "7001", 0, true},
        {internet, "172.16.0.1", "7001", 0, true},
        {internet, "192.168.1.1", "7001", 0, true},
        {internet, "100.64.0.1", "7001", 0, true},
        {internet, "10.1.2.3", "7001", GMPUNCH_KNOCK_NOT_PRIVATE, false},
        {internet, "172.31.255.255", "7001", GMPUNCH_KNOCK_NOT_PRIVATE, false},
        {internet, "172.32.0.1", "7001", GMPUNCH_KNOCK_NOT_PRIVATE, true},
        {internet, "192.168.1.1", "7001", GMPUNCH_KNOCK_NOT_PRIVATE, false},
        {internet, "100.127.0.1", "7001", GMPUNCH_KNOCK_NOT_PRIVATE, false},
        {internet, "100.128.0.1", "7001", GMPUNCH_KNOCK_NOT_PRIVATE, true},
        {internet, "192.0.2.10", "7001", GMPUNCH_KNOCK_NOT_PRIVATE, true},
        {internet, "203.0.113.1", "7001", 0, true}, // a player on the master's machine
        {here, "127.0.0.1", "7001", 0, true},
        {here, "169.254.0.9", "7001", 0, true},
        {here, "192.168.1.1", "7001", 0, true},
        {here, "192.0.2.10", "7001", 0, true},
        {here, "127.0.0.1", "53", 0, false},
        {here, "::1", "7001", 0, true},
        {lan, "127.0.0.1", "7001", 0, false},
        {lan, "169.254.0.9", "7001", 0, false},
        {lan, "192.168.0.7", "7001", 0, true},
        {link, "169.254.0.9", "7001", 0, true},
        {link, "127.0.0.1", "7001", 0, false},
        {internet, "2001:db8::7", "7001", 0, true},
        {internet, "2001:db8::7", "53", 0, false},
        {internet, "::1", "7001", 0, false},
        {internet, "::", "7001", 7, false},
        {internet, "ff02::1", "7001", 0, false},
        {internet, "ff05::c", "1900", 7, false},
        {internet, "fe80::7", "7001", 0, false},
        {internet, "febf::7", "7001", 0, false},
        {internet, "fd00::7", "7001", 0, true},
        {internet, "fd00::7", "7001", GMPUNCH_KNOCK_NOT_PRIVATE, false},
        {internet, "fec0::7", "7001", GMPUNCH_KNOCK_NOT_PRIVATE, false},
        {internet, "::ffff:127.0.0.1", "7001", 0, false},
        {internet, "::ffff:224.0.0.1", "7001", 0, false},
        {internet, "::ffff:192.0.2.10", "7001", 0, true},
        {link6, "fe80::7%3", "7001", 0, true},
        {link6, "::1", "7001", 0, false},
        {"::1", "::1", "7001", 0, true},
        {"::1", "127.0.0.1", "7001", 0, true},
        {"2001:db8::1", "::1", "7001", 0, false},
    };
    for (auto &row : rows) {
        CAPTURE(row.master);
        CAPTURE(row.ip);
        CAPTURE(row.port);
        CAPTURE(row.rules);
        gmpunch_host_config host = host_config();
        host.master = row.master;
        host.knock_rules = row.rules;
        host_fixture h(host);
        h.open();
        h.forget();
        h.tcp(introduction(row.ip, row.port));
        h.wait(100);
        CHECK(knocks(h) == (row.knocks ? 3 : 0));
        CHECK(h.stats().introduced == (row.knocks ? 1 : 0));
        CHECK(h.stats().refused_introductions == (row.knocks ? 0 : 1));

        gmpunch_client_config client = client_fixture::config();
        client.master = row.master;
        client.knock_rules = row.rules;
        client_fixture c(client);
        c.open();
        c.tcp(introduction(row.ip, row.port));
        c.wait(100);
        CHECK(c.sent(GMPUNCH_TRANSMIT_UDP, knock) == (row.knocks ? 3 : 0));
        CHECK(c.stats().refused_addresses == (row.knocks ? 0 : 1));
        CHECK(c.stage() == (row.knocks ? GMPUNCH_STAGE_PUNCH : GMPUNCH_STAGE_FAILED));
        if (!row.knocks) CHECK(c.last().reason == GMPUNCH_REASON_MASTER_MALFORMED);
    }
}

TEST_CASE("attackers, host: a thousand introductions a second make it no scanner and no flooder") {
    struct {
        const char *what;
        bool one_ip;
    } rows[] = {{"to one IP", true}, {"to as many", false}};
    for (auto &row : rows) {
        CAPTURE(row.what);
        host_fixture f;
        f.registered();
        uint32_t named = 0;
        size_t sent = 0, worst = 0;
        std::map<std::string, std::set<uint16_t>> ports;
        for (int second = 0; second < 60; second++) {
            for (int i = 0; i < 1000; i++, named++) {
                introduce(f, row.one_ip ? ipv4(0xc0000263, uint16_t(1024 + named % 64000)) : numbered(named));
                f.wait(1);
            }
            size_t now = 0;
            for (size_t i = 0; i < f.out.size(); i++) {
                if (f.out_data[i] != knock) continue;
                gmpunch_address ip = f.out[i].to;
                ip.port = 0;
                ports[text(ip)].insert(f.out[i].to.port);
                now++;
            }
            sent += now;
            worst = std::max(worst, now);
            f.forget();
        }
        CHECK(worst <= 1000); // 200, and 800 at once
        CHECK(sent <= 800 + 60 * 200);
        CHECK(sent >= 60 * 100);
        size_t addresses = 0, most = 0;
        for (auto &ip : ports) {
            addresses += ip.second.size();
            most = std::max(most, ip.second.size());
        }
        CHECK(addresses <= 64 * 5); // as many at once, for 15 s each
        CHECK(most <= (row.one_ip ? 32 * 5 : 1));
        CHECK(f.stats().refused_introductions >= 59000);
        CHECK(f.stats().introductions <= (row.one_ip ? 32 : 64));
        f.wait(20000); // and it recovers
        introduce(f, f.a);
        f.udp(f.a, knock);
        CHECK(is_peer(f, f.a));
    }
}

TEST_CASE("attackers, host: introductions that mean well are not held back") {
    host_fixture all; // 64 at once, all of different IPs; each is knocked at ten times in half a second
    all.registered();
    for (uint32_t i = 0; i < 64; i++) introduce(all, numbered(i));
    CHECK(all.sent(knock) == 64);
    all.wait(449);
    auto to = received(all);
    for (uint32_t i = 0; i < 64; i++) CHECK(to[text(numbered(i))].datagrams == 9);
    CHECK(all.stats().knocks_held == 0);
    all.wait(14000); // in the long run each is still knocked at, in turn
    to = received(all);
    for (uint32_t i = 0; i < 64; i++) {
        CHECK(to[text(numbered(i))].datagrams >= 50);
        CHECK(to[text(numbered(i))].datagrams <= 62);
    }
    CHECK(all.stats().knocks_held > 0);
    host_fixture house; // twenty in one millisecond behind one router
    house.registered();
    for (uint16_t i = 0; i < 20; i++) introduce(house, ipv4(0xc0000263, uint16_t(40000 + i)));
    CHECK(house.stats().introduced == 20);
    CHECK(house.sent(knock) == 20);
    for (uint16_t i = 0; i < 20; i++) house.udp(ipv4(0xc0000263, uint16_t(40000 + i)), knock);
    CHECK(house.stats().peers == 20);
}

TEST_CASE("attackers, host: a slower limit of knocks, and a limit per IP") {
    gmpunch_host_config config = host_config();
    config.max_knocks_per_second = 1;
    config.max_introductions_per_ip = 2;
    host_fixture f(config);
    f.registered();
    for (uint16_t port = 7000; port < 7010; port++) introduce(f, ipv4(0xc0000263, port));
    CHECK(f.stats().introduced == 2);
    CHECK(f.stats().refused_introductions == 8);
    f.wait(10000);
    CHECK(f.sent(knock) == 4 + 10);
    f.wait(10000); // both expired, and their slots are free again although knocks of theirs were held
    CHECK(f.stats().introductions == 0);
    for (uint32_t i = 0; i < 64; i++) introduce(f, numbered(i));
    CHECK(f.stats().introductions == 64);
}

TEST_CASE("attackers, host: whatever a master sends, however much, costs nothing that lasts") {
    host_fixture f;
    f.registered();
    f.udp(f.a, knock);
    f.udp(f.a, move);
    f.forget();
    uint32_t state = 11;
    bytes random(65536);
    for (uint8_t &byte : random) byte = uint8_t(rnd(state) >> 24);
    const bytes digits(65536, '7'), ip = bytes(1, 0xff) + bytes(65535, '1');
    for (const bytes &junk : {random, bytes(65536, 0), bytes(65536, 'x'), bytes(65536, 0xff), bytes(65536, 0xfe), digits, ip,
                              bin("\xff"
                                  "192.0.2.10\0") +
                                  digits}) {
        uint32_t introduced = f.stats().introduced;
        for (int i = 0; i < 16; i++) f.tcp(junk);
        CHECK(f.stats().introduced == introduced);
        f.tcp(bin("\0"));
    }
    CHECK(f.out.empty());
    CHECK(f.events.empty());
    CHECK(f.stats().malformed > 1000);
    f.tcp(introduction("192.0.2.11", "7001")); // the next message is read as ever
    CHECK(f.stats().introduced == 1);
    CHECK(is_peer(f, f.a));
}

TEST_CASE("attackers, client: whatever a master sends instead of an answer, however much, ends it in time") {
    const bytes nothing(1 << 20, 0), digits(1 << 20, '7'), ip = bytes(1, 0xff) + bytes(1 << 20, '1');
    struct {
        bytes junk;
        int32_t reason;
    } rows[] = {{nothing, GMPUNCH_REASON_MASTER_SILENT},
                {digits, GMPUNCH_REASON_MASTER_MALFORMED},
                {ip, GMPUNCH_REASON_MASTER_MALFORMED},
                {bin("\xff"
                     "192.0.2.10\0") +
                     digits,
                 GMPUNCH_REASON_MASTER_MALFORMED},
                {bytes(1 << 20, 0xff), GMPUNCH_REASON_MASTER_MALFORMED}};
    for (auto &row : rows) {
        client_fixture c;
        c.open();
        for (int i = 0; i < 8; i++) c.tcp(row.junk);
        c.wait(6000);
        CHECK(c.stage() == GMPUNCH_STAGE_FAILED);
        CHECK(c.last().reason == row.reason);
        CHECK(c.sent(GMPUNCH_TRANSMIT_UDP, knock) == 0);
    }
}

TEST_CASE("attackers, client: a master that names another address each time sends it to eight of them") {
    for (uint32_t most : {0u, 1u, 3u}) {
        gmpunch_client_config config = client_fixture::config();
        config.timeout_ms = GMPUNCH_NEVER;
        config.max_sockets = 4;
        config.max_addresses = most;
        client_fixture c(config);
        uint32_t last = 0, named = 0;
        for (int i = 0; i < 1000; i++) {
            uint32_t id = c.connection();
            if (id != last && gmpunch_client_tcp_opened(c.client, c.now, id) == GMPUNCH_OK) {
                c.drain();
                last = id;
                c.tcp(introduction(text(ipv4(0x64000001 + named++, 0)).c_str(), "7001"));
            }
            c.wait(100);
        }
        std::set<std::string> knocked;
        for (size_t i = 0; i < c.out.size(); i++)
            if (c.out_data[i] == knock) knocked.insert(text(c.out[i].to));
        CHECK(named > 20);
        CHECK(knocked.size() == (most ? most : 8));
        CHECK(c.stats().refused_addresses == named - knocked.size());
    }
}

// ---- forged packets at a client

TEST_CASE("attackers, client: forged knocks and welcomes change nothing, and knocks of its host's IP little") {
    client_fixture c;
    c.find();
    c.out.clear();
    c.out_data.clear();
    for (uint32_t i = 0; i < 10000; i++) {
        c.udp(numbered(i), welcome);
        c.udp(numbered(i), i % 2 ? knock : bin("\xfd"));
        gmpunch_address other = c.server; // the next machine, and the master
        other.ip[3]++;
        c.udp(other, welcome);
        c.udp(address("203.0.113.1:6510"), welcome);
    }
    CHECK(c.out.empty());
    CHECK(c.stage() == GMPUNCH_STAGE_PUNCH);
    CHECK(c.stats().strangers == 40000);
    for (uint32_t i = 0; i < 10000; i++) {
        gmpunch_address forged = c.server;
        forged.port = uint16_t(1024 + i);
        c.udp(forged, knock);
    }
    CHECK(c.out.size() <= 10000);
    c.out.clear();
    c.out_data.clear();
    c.wait(1000);
    CHECK(c.sent(GMPUNCH_TRANSMIT_UDP, knock) <= 4 * 20);
    bool real = false; // the address of the master is still knocked at
    for (const gmpunch_transmit &t : c.out) real |= gmpunch_address_equal(&t.to, &c.server) != 0;
    CHECK(real);
    c.udp(c.server, welcome);
    CHECK(c.stage() == GMPUNCH_STAGE_CONNECTED);
}

TEST_CASE("attackers, client: once connected only its host is heard, and answered at most once a second") {
    client_fixture c;
    c.connect();
    c.wait(20000);
    c.out.clear();
    c.out_data.clear();
    for (uint32_t i = 0; i < 1000; i++) {
        CHECK(c.udp(numbered(i), knock) == GMPUNCH_NOT_MINE);
        CHECK(c.udp(numbered(i), welcome) == GMPUNCH_NOT_MINE);
        CHECK(c.udp(numbered(i), with_header(bin("\xfa"
                                                 "1\0"
                                                 "2\0"
                                                 "3\0"
                                                 "4\0"
                                                 "5\0"
                                                 "6\0"
                                                 "7\0"
                                                 "8\0"))) == GMPUNCH_NOT_MINE);
    }
    CHECK(c.out.empty());
    for (uint32_t i = 0; i < 1000; i++) {
        c.udp(c.server, knock);
        c.wait(1);
    }
    CHECK(c.out.size() <= 2);
    gmpunch_address peer;
    REQUIRE(gmpunch_client_server(c.client, &peer, nullptr) == GMPUNCH_OK);
    CHECK(gmpunch_address_equal(&peer, &c.server) == 1);
}

// ---- lists of a hostile master

namespace {

struct victim {
    gmpunch_lobby *lobby = nullptr;
    uint64_t now = 1000;
    uint32_t connection = 0, entries = 0;
    gmpunch_event last = gmpunch_event();

    explicit victim(gmpunch_lobby_config config) {
        config.master = "203.0.113.1";
        REQUIRE(gmpunch_lobby_create(&config, now, &lobby) == GMPUNCH_OK);
        gmpunch_transmit t;
        REQUIRE(gmpunch_lobby_next_transmit(lobby, &t) == 1);
        connection = t.connection;
        REQUIRE(gmpunch_lobby_tcp_opened(lobby, now, connection) == GMPUNCH_OK);
        hear(bin("\xf9["));
    }
    ~victim() { gmpunch_lobby_close(lobby); }
    victim(const victim &) = delete;
    victim &operator=(const victim &) = delete;

    bool ended() const { return last.type == GMPUNCH_EVENT_FAILED || last.type == GMPUNCH_EVENT_LOBBY_DONE; }
    void events() {
        while (!ended() && gmpunch_lobby_next_event(lobby, &last) > 0) { entries += last.type == GMPUNCH_EVENT_LOBBY_ENTRY; }
    }
    void hear(const bytes &data) {
        for (size_t at = 0; at < data.size() && !ended();) {
            int32_t taken = gmpunch_lobby_tcp_data(lobby, now, connection, data.data() + at, data.size() - at);
            REQUIRE(taken >= 0);
            at += size_t(taken);
            events();
        }
    }
    // The same again and again, until it ends.
    uint64_t endless(const bytes &data, uint64_t ms_between = 0) {
        for (int i = 0; i < 10000000 && !ended(); i++) {
            hear(data);
            now += ms_between;
            gmpunch_lobby_tick(lobby, now);
            events();
        }
        gmpunch_lobby_stats stats{};
        REQUIRE(gmpunch_lobby_get_stats(lobby, &stats) == GMPUNCH_OK);
        return stats.bytes;
    }
    std::string end() const { return std::string(gmpunch_event_name(last.type)) + " " + gmpunch_reason_name(last.reason); }
};

const bytes host_entry = bin("{\"ip\":\"192.0.2.1\",\"data1\":\"x\"},");

} // namespace

TEST_CASE("attackers, lobby: lists that never end do end") {
    gmpunch_lobby_config config{};
    config.max_bytes = 4000000;
    config.max_entries = 10000;
    const bytes spaces(65536, ' '), nested(65536, '['), opening = bin("{\"ip\":\""), filling(65536, 'a');
    {
        victim v(config);
        CHECK(v.endless(host_entry) <= 10001 * host_entry.size() + 2);
        CHECK(v.end() == "failed limit");
        CHECK(v.entries == 10000);
    }
    for (const bytes &entry : {bin("{},"), bin("{\"ip\":1},"), bin("{[[[]]]},"), opening + filling + bin("\"},")}) {
        victim v(config); // what is passed over counts as well
        v.endless(entry);
        CHECK(v.end() == "failed limit");
        CHECK(v.entries == 0);
    }
    for (const bytes &endless : {spaces, nested, filling}) {
        victim v(config);
        if (endless != spaces) v.hear(opening);
        if (endless == nested) v.hear(bin("\":"));
        CHECK(v.endless(endless) <= 4000001);
        CHECK(v.end() == "failed limit");
    }
    victim v(config); // outside of entries nothing else is allowed
    v.hear(nested);
    CHECK(v.end() == "failed master_malformed");
    gmpunch_lobby_config defaults{};
    victim longest(defaults); // an entry alone has 16 MiB
    longest.hear(opening);
    CHECK(longest.endless(filling) <= 16777216 + 65536);
    CHECK(longest.end() == "failed limit");
}

TEST_CASE("attackers, lobby: a master that sends a byte now and then is given up after ten minutes") {
    for (const bytes &trickle : {bin(" "), host_entry, host_entry + bin(" ")}) {
        victim v{gmpunch_lobby_config{}};
        v.endless(trickle, 9000);
        CHECK(v.end() == "failed limit");
        CHECK(v.now >= 601000);
        CHECK(v.now <= 611000);
    }
    gmpunch_lobby_config config{};
    config.total_timeout_ms = 20000;
    victim v(config);
    CHECK(gmpunch_lobby_next_deadline(v.lobby) == 11000);
    v.now += 9000;
    v.hear(bin(" "));
    v.now += 5000;
    v.hear(bin(" "));
    CHECK(gmpunch_lobby_next_deadline(v.lobby) == 21000);
}

TEST_CASE("attackers, lobby: the time that the application takes is not the master's") {
    gmpunch_lobby_config config{};
    config.total_timeout_ms = 20000;
    victim v(config);
    bytes list;
    for (int i = 0; i < 100; i++) list = list + host_entry;
    list = list + host_entry;
    list.back() = ']';
    for (size_t at = 0; at < list.size();) { // an entry a second
        int32_t taken = gmpunch_lobby_tcp_data(v.lobby, v.now, v.connection, list.data() + at, list.size() - at);
        REQUIRE(taken >= 0);
        at += size_t(taken);
        v.now += 1000;
        gmpunch_lobby_tick(v.lobby, v.now);
        v.events();
    }
    CHECK(v.entries == 101);
    CHECK(v.end() == "lobby_done none");
}

// ---- hash tables

namespace {

// The longest chain of a host's peers, after all of these knocked.
size_t longest_chain(uint64_t seed, const std::vector<gmpunch_address> &knocking) {
    gmpunch_host_config config{};
    config.seed = seed;
    config.max_peers = uint32_t(knocking.size());
    host_fixture f(config);
    for (const gmpunch_address &from : knocking) f.udp(from, knock);
    REQUIRE(f.stats().peers == knocking.size());
    size_t longest = 0;
    for (uint32_t bucket = 0; bucket <= f.host->peer_map.mask; bucket++) {
        size_t length = 0;
        for (uint32_t slot = f.host->peer_map.bucket[bucket]; slot != GMPUNCHI_NONE; slot = f.host->peer_map.next[slot])
            length++;
        longest = std::max(longest, length);
    }
    return longest;
}

} // namespace

TEST_CASE("attackers: who knows the key of a hash table can fill one chain, with another key the same addresses spread") {
    gmpunch_host_config config{};
    config.seed = 1;
    host_fixture known(config);
    std::vector<gmpunch_address> colliding;
    for (uint32_t i = 0; colliding.size() < 256; i++) {
        gmpunch_address candidate = numbered(i);
        if ((gmpunchi_hash_address(known.host->key, &candidate) & 255) == 0) colliding.push_back(candidate);
    }
    CHECK(longest_chain(1, colliding) == 256);
    for (uint64_t seed = 2; seed < 10; seed++) CHECK(longest_chain(seed, colliding) < 16);

    std::set<std::pair<uint64_t, uint64_t>> keys;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        gmpunch_master_config fields{};
        fields.seed = seed;
        gmpunch_master *master = nullptr;
        REQUIRE(gmpunch_master_create(&fields, 0, &master) == GMPUNCH_OK);
        keys.insert({master->key[0], master->key[1]});
        gmpunch_master_close(master);
    }
    CHECK(keys.size() == 100);
}

// ---- floods at a master

namespace {

struct gate {
    gmpunch_master *master = nullptr;
    uint64_t now = 1000;
    size_t datagrams = 0, visitors = 0;
    std::map<uint32_t, bytes> sent; // over each connection

    explicit gate(const gmpunch_master_config &config) {
        REQUIRE(gmpunch_master_create(&config, now, &master) == GMPUNCH_OK);
    }
    ~gate() { gmpunch_master_close(master); }
    gate(const gate &) = delete;
    gate &operator=(const gate &) = delete;

    void step(uint64_t ms = 0) {
        gmpunch_transmit t;
        gmpunch_event e;
        now += ms;
        gmpunch_master_tick(master, now);
        while (gmpunch_master_next_transmit(master, &t) > 0) {
            datagrams += t.kind == GMPUNCH_TRANSMIT_UDP;
            if (t.kind == GMPUNCH_TRANSMIT_TCP_SEND)
                sent[t.connection].insert(sent[t.connection].end(), t.data, t.data + t.len);
        }
        while (gmpunch_master_next_event(master, &e) > 0) {}
    }
    void udp(const gmpunch_address &from, const bytes &data) {
        gmpunch_master_input_udp(master, now, &from, 0, data.data(), data.size());
    }
    uint32_t connect(const gmpunch_address &from, const bytes &data) {
        uint32_t id = 0;
        if (gmpunch_master_tcp_accepted(master, now, &from, &id) != GMPUNCH_OK) return 0;
        gmpunch_master_tcp_data(master, now, id, data.data(), data.size());
        step();
        return id;
    }
    // A client from an IP of its own is told where the host is.
    bool introduces(const char *host, const char *expected) {
        gmpunch_address from = ipv4(0xc6336400 + uint32_t(visitors++ % 250), 7000);
        udp(from, with_header(bin("connect\n\0")));
        uint32_t id = connect(from, bin("connect\n") + bytes(host, host + strlen(host)) + bin("\n\0"));
        if (!id) return false;
        step(2000);
        bytes answer = sent[id];
        sent.clear();
        gmpunch_master_tcp_closed(master, now, id, 0);
        return answer == introduction(host, expected);
    }
};

} // namespace

TEST_CASE("attackers, master: floods of each message cost a bounded memory, are not answered over UDP, and stop nobody") {
    gmpunch_master_config config{};
    config.max_ports = 4096;
    config.max_connections = 1024;
    config.max_requests = 1024;
    config.introduction_gap_ms = GMPUNCH_NEVER;
    gate g(config);
    const gmpunch_address home = address("192.0.2.77:6611");
    g.udp(home, with_header(bin("reg\n\0")));
    uint32_t host = g.connect(home, bin("reg2\n1.2.4\n1\n2\n3\n4\n5\n6\n7\n8\n"));
    REQUIRE(host != 0);
    REQUIRE(g.introduces("192.0.2.77", "6611"));

    const bytes commands[] = {bin("reg\n\0"), bin("connect\n\0"), bin("ping\n\0"), bytes(), bytes(11, 0), bytes(1024, 0)};
    uint64_t most = 0;
    gmpunch_master_stats stats{};
    for (size_t kind = 0; kind < 6; kind++) {
        CAPTURE(kind);
        for (uint32_t i = 0; i < 8000; i++) { // many ports of one IP
            g.udp(ipv4(0xc0000263, uint16_t(i + 1)), i % 2 ? with_header(commands[kind]) : commands[kind]);
            if (i % 1000 == 0) g.step();
        }
        CHECK(g.introduces("192.0.2.77", "6611"));
        REQUIRE(gmpunch_master_get_stats(g.master, &stats) == GMPUNCH_OK);
        CHECK(stats.ports <= 200);
        g.step(70000); // before the IPs are many, what was remembered has expired
    }
    for (size_t kind = 0; kind < 3; kind++) {
        for (uint32_t i = 0; i < 10000; i++) g.udp(numbered(i), with_header(commands[kind])); // many IPs
        REQUIRE(gmpunch_master_get_stats(g.master, &stats) == GMPUNCH_OK);
        CHECK(stats.ports <= 4096);
        most = std::max(most, stats.memory);
        gmpunch_master_tcp_data(g.master, g.now, host, (const uint8_t *)"ping\n", 5);
        g.step(70000);
        CHECK(g.introduces("192.0.2.77", "6611"));
    }
    const bytes lines[] = {bin("reg\n"),
                           bin("reg2\n1.2.4\n1\n2\n3\n4\n5\n6\n7\n8\n"),
                           bin("connect\n192.0.2.77\n"),
                           bin("connect\n"),
                           bin("version\n"),
                           bin("istesting\ntestinginfos\n"),
                           bytes(2000, 'x'),
                           bytes(),
                           bin("lobby2\n\n\n\n\n\n\n\n\n\n\n\n")};
    for (const bytes &line : lines) {
        for (uint32_t i = 0; i < 1500; i++) g.connect(numbered(i % 64), line); // never read, never closed
        REQUIRE(gmpunch_master_get_stats(g.master, &stats) == GMPUNCH_OK);
        CHECK(stats.connections <= 1024);
        most = std::max(most, stats.memory);
        for (int i = 0; i < 24; i++) { // as the idle time-outs pass, the honest host pings
            gmpunch_master_tcp_data(g.master, g.now, host, (const uint8_t *)"ping\n", 5);
            g.udp(home, with_header(bin("ping\n\0")));
            g.step(100000);
        }
        CHECK(g.introduces("192.0.2.77", "6611"));
    }
    CHECK(most < 32u << 20);
    CHECK(g.datagrams == 0);
}
