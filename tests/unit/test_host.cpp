// The host's state machine, step by step in virtual time. Whole sessions are in test_world.cpp.
#include "machines.hpp"

namespace {

using fixture = host_fixture;

const bytes reg = with_header(bin("reg\n\0")), ping = with_header(bin("ping\n\0"));
const bytes registration = bin("reg\n\0reg2\n\0" "1.2.4\n\0" "game 1\n\0My Server\n\0\n\0\n\0\n\0\n\0\n\0\n\0");

} // namespace

TEST_CASE("host: registers by UDP, then by TCP, with the recorded bytes") {
    fixture f;
    REQUIRE(f.out.size() == 2);
    CHECK(f.out[0].kind == GMPUNCH_TRANSMIT_UDP);
    CHECK(f.out_data[0] == from_hex("dec0adde0c000000050000007265670a00"));
    CHECK(text(f.out[0].to) == "203.0.113.1:6510");
    CHECK(f.out[1].kind == GMPUNCH_TRANSMIT_TCP_OPEN);
    CHECK(f.events.empty());
    f.open();
    CHECK(f.sent(registration) == 1);
    bytes recorded =
        from_hex("726567320a00312e322e340a0067616d6520310a004d79205365727665720a000a000a000a000a000a000a00");
    CHECK(bytes(registration.begin() + 5, registration.end()) == recorded);
    CHECK(f.count(GMPUNCH_EVENT_REGISTERED) == 1);
    CHECK(text(f.events[0].address) == "203.0.113.1:6510");
}

TEST_CASE("host: reg2 follows every UDP reg, a second later, so that a late one does not hide the host") {
    fixture f;
    f.open();
    f.wait(2500);
    CHECK(f.sent(reg) == 3); // at 0, 250 and 1250 ms: one loss does not matter
    CHECK(f.sent(registration) == 4);
    CHECK(f.stats().registrations == 4);
    CHECK(f.out_data.back() == registration);
    f.wait(264000);
    f.forget();
    f.wait(180000); // a whole interval
    CHECK(f.sent(reg) == 1);
    CHECK(f.sent(registration) == 2);
    CHECK(f.out_data.back() == registration);
}

TEST_CASE("host: the pauses between registrations grow from a quarter second to the interval, on each connection") {
    gmpunch_host_config config = fixture::config();
    config.register_interval_ms = 20000;
    fixture f(config);
    for (int connections = 0; connections < 2; connections++) {
        f.open();
        for (uint64_t pause : {250u, 1000u, 4000u, 16000u, 20000u, 20000u}) {
            f.forget();
            f.wait(pause - 1);
            CHECK(f.sent(reg) == 0);
            f.wait(1);
            CHECK(f.sent(reg) == 1);
        }
        f.forget();
        REQUIRE(gmpunch_host_tcp_closed(f.host, f.now, f.id, 0) == GMPUNCH_OK);
        f.drain();
        f.wait(1000);
    }
}

TEST_CASE("host: keeps its mapping and its connection to the master alive") {
    fixture f;
    f.registered();
    f.wait(120000);
    CHECK(f.sent(ping) == 8);           // UDP every 15 s, no "reg": that would hide it from the deployed master's lobby
    CHECK(f.sent(reg) == 0);
    CHECK(f.sent(bin("ping\n\0")) == 2); // TCP every minute
}

TEST_CASE("host: comes back after the connection ended, with growing pauses and jitter") {
    std::vector<uint64_t> first;
    for (uint64_t seed : {1u, 2u, 3u}) {
        gmpunch_host_config config = fixture::config();
        config.seed = seed;
        fixture f(config);
        f.registered();
        REQUIRE(gmpunch_host_tcp_closed(f.host, f.now, f.id, 0) == GMPUNCH_OK);
        f.drain();
        CHECK(f.last(GMPUNCH_EVENT_UNREGISTERED).reason == GMPUNCH_REASON_MASTER_CLOSED);
        CHECK(f.stats().registered == 0);
        std::vector<uint64_t> pauses;
        for (int i = 0; i < 12; i++) {
            uint64_t start = f.now;
            f.forget();
            while (!f.connection()) f.wait(1);
            pauses.push_back(f.now - start);
            REQUIRE(gmpunch_host_tcp_closed(f.host, f.now, f.connection(), 111) == GMPUNCH_OK);
            f.drain();
            CHECK(f.last(GMPUNCH_EVENT_UNREGISTERED).reason == GMPUNCH_REASON_MASTER_UNREACHABLE);
        }
        for (size_t i = 0; i < pauses.size(); i++) {
            uint64_t most = std::min<uint64_t>(1000ull << i, 60000);
            CHECK(pauses[i] <= most);
            CHECK(pauses[i] >= most / 2);
        }
        first.push_back(pauses[0] * 1000000 + pauses[5]);
        f.forget();
        while (!f.connection()) f.wait(100);
        f.open();
        CHECK(f.sent(registration) == 1);
        f.wait(20000); // a connection that stood starts the pauses anew
        f.forget();
        gmpunch_host_tcp_closed(f.host, f.now, f.id, 0);
        f.wait(1000);
        CHECK(f.connection() != 0);
    }
    CHECK((first[0] != first[1] || first[1] != first[2]));
}

TEST_CASE("host: an opening that hangs is given up") {
    fixture f;
    f.wait(10100);
    CHECK(f.last(GMPUNCH_EVENT_UNREGISTERED).reason == GMPUNCH_REASON_MASTER_UNREACHABLE);
    CHECK(std::any_of(f.out.begin(), f.out.end(),
                      [](const gmpunch_transmit &t) { return t.kind == GMPUNCH_TRANSMIT_TCP_CLOSE; }));
    CHECK(f.stats().master_attempts == 1);
    f.wait(2000);
    f.open();
    CHECK(f.count(GMPUNCH_EVENT_REGISTERED) == 1);
    CHECK(f.stats().master_attempts == 2);
}

TEST_CASE("host: knocks at an introduced client until it is heard") {
    fixture f;
    f.registered();
    f.tcp(introduction("192.0.2.10", "7001"));
    CHECK(text(f.last(GMPUNCH_EVENT_INTRODUCED).address) == "192.0.2.10:7001");
    CHECK(f.sent(knock, &f.a) == 1); // at once
    f.wait(500);
    CHECK(f.sent(knock, &f.a) == 11);
    f.tcp(introduction("192.0.2.10", "7001")); // again: no second event
    CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == 1);
    f.forget();
    CHECK(f.udp(f.a, knock) == GMPUNCH_CONSUMED);
    CHECK(f.sent(welcome, &f.a) == 1);
    CHECK(f.last(GMPUNCH_EVENT_JOINED).peer == 1);
    CHECK(f.last(GMPUNCH_EVENT_JOINED).how == GMPUNCH_HOW_PUNCHED);
    f.wait(4999);
    CHECK(f.sent(knock) == 0); // from then on it is asked whether it answers
    CHECK(f.count(GMPUNCH_EVENT_INTRODUCTION_EXPIRED) == 0);
    f.wait(20000);
    CHECK(f.count(GMPUNCH_EVENT_INTRODUCTION_EXPIRED) == 0);
    CHECK(f.stats().introductions == 0);
}

TEST_CASE("host: a client that is never heard expires") {
    fixture f;
    f.registered();
    f.tcp(introduction("192.0.2.10", "7001"));
    f.wait(30000);
    CHECK(f.count(GMPUNCH_EVENT_INTRODUCTION_EXPIRED) == 1);
    CHECK(f.sent(knock, &f.a) == 300); // 15 s at 20 a second
}

TEST_CASE("host: introductions in any pieces, and as the deployed master sends them, without the last NUL") {
    bytes two = introduction("192.0.2.10", "7001") + introduction("192.0.2.11", "7001");
    for (size_t cut = 0; cut <= two.size(); cut++) {
        fixture f;
        f.registered();
        f.tcp(bytes(two.begin(), two.begin() + long(cut)));
        f.tcp(bytes(two.begin() + long(cut), two.end()));
        CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == 2);
    }
    gmpunch_host_config local = fixture::config();
    local.master = "127.0.0.1"; // it alone may name loopback addresses
    fixture f(local);
    f.registered();
    f.tcp(from_hex("ff3132372e302e302e31300037303031") + from_hex("ff3132372e302e302e31310037303032")); // recorded, twice
    CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == 1);
    f.wait(250); // silence ends the second
    CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == 2);
    CHECK(text(f.last(GMPUNCH_EVENT_INTRODUCED).address) == "127.0.0.11:7002");
    f.tcp(from_hex("ff3132372e302e302e31320037303033"));
    gmpunch_host_tcp_closed(f.host, f.now, f.id, 0);
    f.drain();
    CHECK(text(f.last(GMPUNCH_EVENT_INTRODUCED).address) == "127.0.0.12:7003");
}

TEST_CASE("host: a port without its NUL is waited for only as long as another digit may follow") {
    for (const char *port : {"1024", "6553", "6554", "9999", "10000", "65535"}) {
        CAPTURE(port);
        const bool whole = std::stoul(port) > 6553;
        fixture f;
        f.registered();
        bytes cut = introduction("192.0.2.10", port);
        cut.pop_back();
        f.tcp(cut);
        CHECK((gmpunch_host_next_deadline(f.host) == f.now) == whole);
        gmpunch_host_tick(f.host, f.now);
        f.drain();
        CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == whole);
        f.now += 199;
        gmpunch_host_tick(f.host, f.now);
        f.drain();
        CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == whole);
        f.now += 1;
        gmpunch_host_tick(f.host, f.now);
        f.drain();
        CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == 1);
        CHECK(text(f.last(GMPUNCH_EVENT_INTRODUCED).address) == std::string("192.0.2.10:") + port);
    }
}

TEST_CASE("host: what it tells about a peer") {
    gmpunch_host_config config = fixture::config();
    config.escape = 1;
    fixture f(config);
    f.registered();
    f.tcp(introduction("192.0.2.10", "7001"));
    REQUIRE(gmpunch_host_input_udp(f.host, f.now, &f.a, 3, knock.data(), knock.size()) == GMPUNCH_CONSUMED);
    f.drain();
    const uint32_t peer = gmpunch_host_find_peer(f.host, &f.a);
    gmpunch_peer_info info{};
    f.wait(4000);
    gmpunch_host_tick(f.host, f.now);
    REQUIRE(gmpunch_host_peer_info(f.host, peer, &info) == GMPUNCH_OK);
    CHECK(info.peer == peer);
    CHECK(gmpunch_address_equal(&info.address, &f.a));
    CHECK(info.how == GMPUNCH_HOW_PUNCHED);
    CHECK(info.flags == GMPUNCH_DATAGRAM_ESCAPE);
    CHECK(info.socket_index == 3);
    CHECK(info.connected_ms == 4000);
    CHECK(info.silent_ms == 4000);
    CHECK(info.answers == 0);
    CHECK(info.confirmed == 0);
    f.wait(1500); // it is asked whether it answers
    f.udp(f.a, knock);
    f.wait(10000); // and asked again: so it did
    gmpunch_host_tick(f.host, f.now);
    REQUIRE(gmpunch_host_peer_info(f.host, peer, &info) == GMPUNCH_OK);
    CHECK(info.connected_ms == 15500);
    CHECK(info.silent_ms == 10000);
    CHECK(info.answers == 1);
    CHECK(info.confirmed == 1);
}

TEST_CASE("host: introductions that are none") {
    fixture f;
    f.registered();
    f.tcp(bin("\xfe" "hello" "\xff" "nobody\0" "7001\0" "\xff\0\0"));
    f.tcp(introduction("224.0.0.1", "7001") + introduction("0.0.0.0", "7001") + introduction("255.255.255.255", "7001"));
    f.tcp(introduction("203.0.113.1", "6510")); // the master itself
    f.wait(1000);
    CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == 0);
    CHECK(f.sent(knock) == 0);
    CHECK(f.stats().refused_introductions == 4);
    CHECK(f.stats().malformed >= 2);
    f.tcp(introduction("192.0.2.10", "7001"));
    CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == 1);
}

TEST_CASE("host: an answer of the master without end, and the truth after it") {
    for (const bytes &lie : {bin("\xff"), bin("\xff" "192.0.2.10\0"), bin("")}) {
        for (char filler : {'1', '.', 'a'}) {
            CAPTURE(filler);
            fixture f;
            f.registered();
            f.tcp(lie);
            for (int i = 0; i < 64; i++) f.tcp(bytes(4096, uint8_t(filler)));
            CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == 0);
            CHECK(f.stats().malformed >= 1);
            f.tcp(introduction("192.0.2.10", "7001"));
            CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == 1);
            CHECK(f.stats().registered == 1);
        }
    }
}

TEST_CASE("host: port 0, which the deployed master sends for a late client, lets the IP in without knocking") {
    gmpunch_host_config config = fixture::config();
    config.require_mediation = 1;
    fixture f(config);
    f.registered();
    f.tcp(introduction("192.0.2.10", "0"));
    f.wait(1000);
    CHECK(f.sent(knock) == 0);
    f.udp(f.b, knock);
    CHECK(f.count(GMPUNCH_EVENT_JOINED) == 0);
    f.udp(f.a, knock);
    CHECK(f.count(GMPUNCH_EVENT_JOINED) == 1);
}

TEST_CASE("host: each knock gets exactly one welcome, and a peer is added once") {
    fixture f;
    for (int i = 0; i < 10; i++) f.udp(f.a, knock);
    CHECK(f.sent(welcome, &f.a) == 10);
    CHECK(f.count(GMPUNCH_EVENT_JOINED) == 1);
    size_t before = f.sent(welcome);
    f.wait(60000);
    CHECK(f.sent(welcome) == before); // never repeated blindly
    CHECK(f.udp(f.b, with_header(bin("\xfd\x00"))) == GMPUNCH_NOT_MINE);
    CHECK(f.udp(f.b, welcome) == GMPUNCH_NOT_MINE);
    CHECK(f.count(GMPUNCH_EVENT_JOINED) == 1);
}

TEST_CASE("host: a datagram that is cut off is nobody's, and counted") {
    fixture f;
    bytes cut = with_header(bin("hello"));
    cut.pop_back();
    CHECK(f.udp(f.a, cut) == GMPUNCH_CONSUMED);
    CHECK(f.stats().malformed == 1);
    CHECK(f.udp(f.a, with_header(bin("hello"))) == GMPUNCH_NOT_MINE);
}

TEST_CASE("host: fields that an event does not name are 0") {
    fixture f;
    f.registered();
    REQUIRE(gmpunch_host_input_udp(f.host, f.now, &f.a, 0, knock.data(), knock.size()) == GMPUNCH_CONSUMED);
    gmpunch_event event, zero{};
    memset(&event, 0xff, sizeof event);
    REQUIRE(gmpunch_host_next_event(f.host, &event) == 1);
    CHECK(event.type == GMPUNCH_EVENT_JOINED);
    CHECK(event.peer != 0);
    zero.type = event.type;
    zero.peer = event.peer;
    zero.address = f.a;
    zero.how = event.how;
    CHECK(memcmp(&event, &zero, sizeof event) == 0);
}

TEST_CASE("host: peers are told apart, found by id and address, and ids are not used again") {
    gmpunch_host_config config = fixture::config();
    config.max_peers = 2;
    fixture f(config);
    f.udp(f.a, knock);
    f.udp(f.b, bin("\xfd"));
    f.udp(f.c, knock);
    CHECK(f.stats().refused_full == 1);
    uint32_t ids[4] = {0, 0, 0, 0};
    REQUIRE(gmpunch_host_peers(f.host, ids, 4) == 2);
    CHECK(gmpunch_host_find_peer(f.host, &f.a) == ids[0]);
    CHECK(gmpunch_host_find_peer(f.host, &f.c) == 0);
    gmpunch_peer_info info{};
    REQUIRE(gmpunch_host_peer_info(f.host, ids[1], &info) == GMPUNCH_OK);
    CHECK(text(info.address) == "192.0.2.11:7001");
    CHECK(info.flags == GMPUNCH_DATAGRAM_RAW);
    CHECK(info.how == GMPUNCH_HOW_DIRECT);
    REQUIRE(gmpunch_host_kick(f.host, f.now, ids[0]) == GMPUNCH_OK);
    f.drain();
    CHECK(f.last(GMPUNCH_EVENT_LEFT).peer == ids[0]);
    CHECK(f.last(GMPUNCH_EVENT_LEFT).reason == GMPUNCH_REASON_KICKED);
    CHECK(gmpunch_host_peer_info(f.host, ids[0], &info) == GMPUNCH_ERR_PEER);
    CHECK(gmpunch_host_kick(f.host, f.now, ids[0]) == GMPUNCH_ERR_PEER);
    f.udp(f.c, knock); // takes the place of the kicked one
    uint32_t id = f.last(GMPUNCH_EVENT_JOINED).peer;
    CHECK(id != ids[0]);
    CHECK(id != 0);
    CHECK(double(id) == double(uint32_t(double(id))));
    for (uint32_t wrong : {0u, 3u, 0xffffu, 0x10000u, 0xffffffffu})
        CHECK(gmpunch_host_peer_info(f.host, wrong, &info) == GMPUNCH_ERR_PEER);
}

TEST_CASE("host: a kicked address stays out for its time, then may return") {
    fixture f;
    f.udp(f.a, knock);
    gmpunch_host_kick(f.host, f.now, 1);
    f.drain();
    f.forget();
    for (int i = 0; i < 59; i++) {
        f.udp(f.a, knock);
        f.wait(1000);
    }
    CHECK(f.sent(welcome) == 0);
    CHECK(f.count(GMPUNCH_EVENT_JOINED) == 0);
    CHECK(f.stats().refused_kicked == 59);
    f.wait(2000);
    f.udp(f.a, knock);
    CHECK(f.count(GMPUNCH_EVENT_JOINED) == 1);
    CHECK(f.sent(welcome) == 1);
}

TEST_CASE("host: silence") {
    fixture f;
    f.udp(f.a, knock);
    f.udp(f.b, knock);
    f.forget();
    f.wait(5000);
    f.udp(f.a, knock); // a client of ours asks first
    CHECK(f.udp(f.b, with_header(bin("move"))) == GMPUNCH_NOT_MINE);
    f.wait(15000);
    CHECK(f.stats().keepalives_sent == f.sent(knock));
    CHECK(f.sent(knock, &f.a) == 3); // is asked whether it answers; then only to keep the mapping
    f.udp(f.a, knock);               // a answers, b does not
    for (int i = 0; i < 4; i++) {
        f.wait(10000);
        CHECK(f.udp(f.b, with_header(bin("move"))) == GMPUNCH_NOT_MINE); // a sign of life
    }
    f.wait(6000);
    CHECK(f.last(GMPUNCH_EVENT_LEFT).peer == 1);
    CHECK(f.last(GMPUNCH_EVENT_LEFT).reason == GMPUNCH_REASON_TIMEOUT);
    CHECK(f.count(GMPUNCH_EVENT_LEFT) == 1);
    f.wait(290000);
    CHECK(f.count(GMPUNCH_EVENT_LEFT) == 1);
    f.wait(10000);
    CHECK(f.count(GMPUNCH_EVENT_LEFT) == 2);
    CHECK(f.stats().peers == 0);
}

TEST_CASE("host: an application that paused does not probe a new peer in a burst") {
    fixture f;
    f.udp(f.a, knock);
    f.wait(5001);
    f.udp(f.a, knock); // confirms the peer
    f.forget();
    f.now += 60000; // nothing ran
    for (int probes = 1; probes <= 3; probes++) {
        gmpunch_host_tick(f.host, f.now);
        f.drain();
        CHECK(f.sent(knock, &f.a) == size_t(probes));
        CHECK(gmpunch_host_next_deadline(f.host) > f.now);
        f.now += 999;
        gmpunch_host_tick(f.host, f.now);
        f.drain();
        CHECK(f.sent(knock, &f.a) == size_t(probes));
        f.now += 1;
    }
}

TEST_CASE("host: a peer that proves to have answered long ago leaves at once") {
    fixture f;
    f.udp(f.a, knock);
    f.wait(5001);
    f.udp(f.a, knock); // confirms the peer
    f.wait(5000);      // a probe
    f.udp(f.a, knock);
    f.now += 60000; // nothing ran
    gmpunch_host_tick(f.host, f.now);
    CHECK(gmpunch_host_next_deadline(f.host) > f.now);
    f.drain();
    CHECK(f.count(GMPUNCH_EVENT_LEFT) == 1);
}

TEST_CASE("host: data strings, changed and committed") {
    fixture f;
    f.registered();
    f.udp(f.a, knock);
    f.forget();
    CHECK(f.udp(f.a, ask) == GMPUNCH_CONSUMED);
    CHECK(f.sent(with_header(bin("\xfa" "game 1\0My Server\0\0\0\0\0\0\0"))) == 1);
    for (int i = 0; i < 50; i++) f.udp(f.a, ask);
    CHECK(f.stats().data_sent == 1); // not more than five a second
    CHECK(f.udp(f.b, ask) == GMPUNCH_CONSUMED);
    CHECK(f.stats().strangers == 1);
    CHECK(gmpunch_host_set_data(f.host, 1, "g") == GMPUNCH_OK);
    CHECK(gmpunch_host_set_data(f.host, 8, "n\xc3\xa4me") == GMPUNCH_OK);
    CHECK(gmpunch_host_set_data(f.host, 2, nullptr) == GMPUNCH_OK);
    CHECK(gmpunch_host_set_data(f.host, 0, "x") == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_host_set_data(f.host, 9, "x") == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_host_set_data(f.host, 3, "two\nlines") == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_host_set_data(f.host, 3, std::string(2000, 'x').c_str()) == GMPUNCH_ERR_TOO_LONG);
    f.wait(300);
    f.udp(f.a, ask);
    CHECK(f.sent(with_header(bin("\xfa" "g\0\0\0\0\0\0\0n\xc3\xa4me\0"))) == 1);
    f.forget();
    CHECK(gmpunch_host_commit_data(f.host, f.now) == GMPUNCH_OK);
    f.drain();
    CHECK(f.sent(bin("reg\n\0reg2\n\0" "1.2.4\n\0" "g\n\0\n\0\n\0\n\0\n\0\n\0\n\0n\xc3\xa4me\n\0")) == 1);
    CHECK(f.sent(reg) == 0); // no UDP: nothing can hide it
    // the largest that fits
    REQUIRE(gmpunch_host_set_data(f.host, 8, "") == GMPUNCH_OK);
    REQUIRE(gmpunch_host_set_data(f.host, 1, "") == GMPUNCH_OK);
    CHECK(gmpunch_host_set_data(f.host, 5, std::string(1017, 'x').c_str()) == GMPUNCH_ERR_TOO_LONG);
    CHECK(gmpunch_host_set_data(f.host, 5, std::string(1016, 'x').c_str()) == GMPUNCH_OK);
    f.forget();
    gmpunch_host_commit_data(f.host, f.now);
    f.drain();
    REQUIRE(f.out.size() == 1);
    CHECK(f.out[0].len == 5 + 6 + 7 + 8 * 2 + 1016);
}

TEST_CASE("host: what is protocol from a peer, and what is the game's") {
    fixture f;
    f.udp(f.a, knock);
    for (int first = 0; first < 256; first++) {
        bool mine = first == 0xfd || first == 0xfb;
        CHECK(f.udp(f.a, with_header(bytes(1, uint8_t(first)))) == (mine ? GMPUNCH_CONSUMED : GMPUNCH_NOT_MINE));
        CHECK(f.udp(f.a, with_header(bytes(2, uint8_t(first)))) == GMPUNCH_NOT_MINE);
    }
    CHECK(f.udp(f.a, bytes()) == GMPUNCH_NOT_MINE);
    CHECK(f.udp(f.a, with_header(bytes())) == GMPUNCH_NOT_MINE);
}

TEST_CASE("host: tables that are full refuse, count, and lose nothing") {
    gmpunch_host_config config = fixture::config();
    config.max_peers = 3;
    config.max_introductions = 3;
    fixture f(config);
    f.registered();
    for (int i = 0; i < 10; i++) f.tcp(introduction(("192.0.2." + std::to_string(100 + i)).c_str(), "7001"));
    CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == 3);
    CHECK(f.stats().refused_introductions == 7);
    f.wait(20000);
    CHECK(f.count(GMPUNCH_EVENT_INTRODUCTION_EXPIRED) == 3);
    f.tcp(introduction("192.0.2.10", "7001"));
    CHECK(f.count(GMPUNCH_EVENT_INTRODUCED) == 4);
}

TEST_CASE("host: events of peers wait to be read, however long") {
    gmpunch_host_config config = fixture::config();
    config.max_peers = 4;
    fixture f(config);
    f.forget();
    // never reading events: places are kept for the LEFT of those who left
    for (int round = 0; round < 10; round++) {
        for (uint8_t i = 0; i < 4; i++) {
            gmpunch_address from = f.a;
            from.ip[3] = uint8_t(50 + i + 4 * round);
            gmpunch_host_input_udp(f.host, f.now, &from, 0, knock.data(), knock.size());
        }
        gmpunch_transmit t;
        while (gmpunch_host_next_transmit(f.host, &t) > 0) {}
        f.now += 400000;
        gmpunch_host_tick(f.host, f.now);
        while (gmpunch_host_next_transmit(f.host, &t) > 0) {}
    }
    f.drain();
    CHECK(f.count(GMPUNCH_EVENT_JOINED) == 4);
    CHECK(f.count(GMPUNCH_EVENT_LEFT) == 4);
    CHECK(f.stats().refused_full == 36);
    f.udp(f.a, knock);
    CHECK(f.count(GMPUNCH_EVENT_JOINED) == 5);
}

TEST_CASE("host: the place of a peer that was kicked before its welcome left is free for another") {
    gmpunch_host_config config = fixture::config();
    config.max_peers = 1;
    fixture f(config);
    REQUIRE(gmpunch_host_input_udp(f.host, f.now, &f.a, 0, knock.data(), knock.size()) == GMPUNCH_CONSUMED);
    REQUIRE(gmpunch_host_kick(f.host, f.now, gmpunch_host_find_peer(f.host, &f.a)) == GMPUNCH_OK);
    f.drain();
    CHECK(f.sent(welcome) == 0);
    f.udp(f.b, knock);
    CHECK(f.sent(welcome, &f.b) == 1);
    CHECK(f.count(GMPUNCH_EVENT_JOINED) == 2);
    CHECK(f.stats().peers == 1);
}

TEST_CASE("host: a kicked address makes room for a newcomer, also after others have left by themselves") {
    gmpunch_host_config config = fixture::config();
    config.max_peers = 2;
    config.kick_ms = GMPUNCH_NEVER;
    fixture f(config);
    f.udp(f.a, knock);
    f.udp(f.b, knock);
    REQUIRE(gmpunch_host_kick(f.host, f.now, gmpunch_host_find_peer(f.host, &f.a)) == GMPUNCH_OK);
    f.drain();
    f.wait(300000);
    CHECK(f.count(GMPUNCH_EVENT_LEFT) == 2);
    f.udp(f.b, knock); // takes its own place again
    f.udp(f.c, knock); // and this one that of the kicked
    CHECK(f.count(GMPUNCH_EVENT_JOINED) == 4);
    CHECK(f.stats().peers == 2);
    CHECK(f.stats().refused_full == 0);
}

TEST_CASE("host: of two introductions of one IP a newcomer uses up the one with its port") {
    for (const char *first : {"7001", "7002"}) {
        CAPTURE(first);
        const bool swapped = std::string(first) == "7002";
        gmpunch_host_config config = fixture::config();
        config.max_direct_peers = 1; // so that it matters who was introduced
        config.unconfirmed_ms = GMPUNCH_NEVER;
        fixture f(config);
        f.registered();
        f.udp(f.b, knock); // the one direct peer
        f.tcp(introduction("192.0.2.10", first));
        f.wait(10000);
        f.tcp(introduction("192.0.2.10", swapped ? "7001" : "7002"));
        f.udp(address("192.0.2.10", swapped ? 7002 : 7001), knock);
        f.wait(6000); // the first introduction is over now
        f.udp(address("192.0.2.10", swapped ? 7001 : 7002), knock);
        CHECK(f.count(GMPUNCH_EVENT_JOINED) == 3);
        f.udp(address("192.0.2.10:7003"), knock); // and none is left
        CHECK(f.count(GMPUNCH_EVENT_JOINED) == 3);
        CHECK(f.stats().refused_direct == 1);
    }
}

TEST_CASE("host: ten thousand peers") {
    gmpunch_host_config config = fixture::config();
    config.max_peers = 10000;
    fixture f(config);
    for (uint32_t i = 0; i < 10001; i++) {
        gmpunch_address from = f.a;
        from.ip[2] = uint8_t(i >> 8);
        from.ip[3] = uint8_t(i);
        f.udp(from, knock);
    }
    CHECK(f.stats().peers == 10000);
    CHECK(f.stats().refused_full == 1);
    CHECK(f.sent(welcome) == 10000);
    f.wait(400000);
    CHECK(f.stats().peers == 0);
    CHECK(f.count(GMPUNCH_EVENT_LEFT) == 10000);
}

TEST_CASE("host: without a master it only answers") {
    gmpunch_host_config config{};
    fixture f(config);
    CHECK(f.out.empty());
    CHECK(gmpunch_host_next_deadline(f.host) == UINT64_MAX);
    f.udp(f.a, knock);
    CHECK(f.sent(welcome) == 1);
    CHECK(gmpunch_host_set_master(f.host, f.now, &f.b, 1) == GMPUNCH_ERR_STATE);
}

TEST_CASE("host: a master by name") {
    gmpunch_host_config config{};
    config.master = "master.example";
    fixture f(config);
    CHECK(f.count(GMPUNCH_EVENT_RESOLVE) == 1);
    CHECK(f.out.empty());
    CHECK(gmpunch_host_set_master(f.host, f.now, nullptr, 0) == GMPUNCH_OK);
    f.drain();
    CHECK(f.last(GMPUNCH_EVENT_UNREGISTERED).reason == GMPUNCH_REASON_RESOLVE_FAILED);
    CHECK(f.count(GMPUNCH_EVENT_RESOLVE) == 2); // once more: it may have been the connection
    gmpunch_address two[] = {address("2001:db8::1"), address("203.0.113.9")};
    CHECK(gmpunch_host_set_master(f.host, f.now, two, 2) == GMPUNCH_OK);
    f.drain();
    CHECK(text(f.out.back().to) == "203.0.113.9:6510");
    // both addresses fail: looked up again
    f.forget();
    for (int i = 0; i < 2; i++) {
        REQUIRE(gmpunch_host_tcp_closed(f.host, f.now, i ? f.connection() : 1, 111) == GMPUNCH_OK);
        f.drain();
        f.wait(2000);
    }
    CHECK(f.count(GMPUNCH_EVENT_RESOLVE) == 1);
}

TEST_CASE("host: a master whose name is one letter is looked up again as well") {
    gmpunch_host_config config{};
    config.master = "m";
    fixture f(config);
    CHECK(f.count(GMPUNCH_EVENT_RESOLVE) == 1);
    CHECK(gmpunch_host_set_master(f.host, f.now, &f.b, 1) == GMPUNCH_OK);
    f.drain();
    REQUIRE(gmpunch_host_tcp_closed(f.host, f.now, f.connection(), 111) == GMPUNCH_OK);
    f.drain();
    CHECK(f.count(GMPUNCH_EVENT_RESOLVE) == 2);
}

TEST_CASE("host: a connection that stood for ten seconds starts the pauses anew, one that ended before does not") {
    for (uint64_t stood : {9999u, 10000u}) {
        CAPTURE(stood);
        gmpunch_host_config config = fixture::config();
        config.reconnect_min_ms = 100; // so that the next pause is from 50 to 100, or 400 to 800
        fixture f(config);
        for (int i = 0; i < 3; i++) {
            REQUIRE(gmpunch_host_tcp_closed(f.host, f.now, f.connection(), 111) == GMPUNCH_OK);
            f.drain();
            f.forget();
            f.wait(400);
        }
        f.open();
        f.wait(stood);
        f.forget();
        REQUIRE(gmpunch_host_tcp_closed(f.host, f.now, f.id, 0) == GMPUNCH_OK);
        f.drain();
        f.wait(100);
        CHECK((f.connection() != 0) == (stood == 10000));
    }
}

TEST_CASE("host: a connection that takes nothing for a second is taken for dead when it takes something again") {
    for (uint64_t blocked : {999u, 1000u}) {
        CAPTURE(blocked);
        fixture f;
        f.registered();
        gmpunch_transmit t;
        REQUIRE(gmpunch_host_commit_data(f.host, f.now) == GMPUNCH_OK);
        REQUIRE(gmpunch_host_next_transmit(f.host, &t) == 1);
        REQUIRE(t.kind == GMPUNCH_TRANSMIT_TCP_SEND);
        CHECK(gmpunch_host_tcp_sent(f.host, f.id, t.len + 1) == GMPUNCH_ERR_ARGUMENT);
        REQUIRE(gmpunch_host_tcp_sent(f.host, f.id, 3) == GMPUNCH_OK);
        f.now += blocked;
        gmpunch_host_tick(f.host, f.now);
        CHECK(gmpunch_host_tcp_sent(f.host, f.id + 1, 0) == GMPUNCH_ERR_CONNECTION); // changes nothing
        CHECK(gmpunch_host_tcp_writable(f.host, f.now, f.id + 1) == GMPUNCH_ERR_CONNECTION);
        CHECK(gmpunch_host_tcp_writable(nullptr, f.now, f.id) == GMPUNCH_ERR_ARGUMENT);
        REQUIRE(gmpunch_host_tcp_writable(f.host, f.now, f.id) == GMPUNCH_OK);
        f.drain();
        CHECK(f.count(GMPUNCH_EVENT_UNREGISTERED) == (blocked == 1000));
        CHECK(f.stats().registered == (blocked == 999));
        const bytes rest(registration.begin() + 3, registration.end());
        CHECK(f.sent(rest) == (blocked == 999));
    }
}

TEST_CASE("host: configs that are refused") {
    gmpunch_host *host = nullptr;
    auto refused = [&](void (*change)(gmpunch_host_config &)) {
        gmpunch_host_config config = fixture::config();
        change(config);
        int32_t result = gmpunch_host_create(&config, 0, &host);
        CHECK(host == nullptr);
        return result;
    };
    CHECK(refused([](gmpunch_host_config &c) { c.master = "no good"; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_host_config &c) { c.max_peers = 65536; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_host_config &c) { c.max_introductions = 65536; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_host_config &c) { c.data_capacity = 7; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_host_config &c) { c.data[3] = "a\tb"; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_host_config &c) { c.data_capacity = 20; }) == GMPUNCH_ERR_TOO_LONG);
    CHECK(refused([](gmpunch_host_config &c) { c.reconnect_min_ms = 70000; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_host_config &c) { c.struct_size = 3; }) == GMPUNCH_ERR_CONFIG);
}

TEST_CASE("host: the master that it is connected to is no client, though its next ones are others") {
    host_fixture h;
    h.registered();
    const gmpunch_address next = address("203.0.113.9:6510");
    REQUIRE(gmpunch_host_set_master(h.host, h.now, &next, 1) == GMPUNCH_OK);
    h.udp(address("203.0.113.1:6510"), with_header(bin("\xfd")));
    CHECK(h.out.empty());
    CHECK(h.stats().peers == 0);
    h.udp(address("203.0.113.1:6511"), with_header(bin("\xfd"))); // another port of it
    CHECK(h.stats().peers == 1);
}
