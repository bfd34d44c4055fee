// The client's state machine, step by step in virtual time. Whole sessions are in test_world.cpp.
#include "machines.hpp"

namespace {

using fixture = client_fixture;

const bytes announce = with_header(bin("connect\n\0"));

} // namespace

TEST_CASE("client: UDP connect, then TCP, with the recorded bytes") {
    fixture f;
    REQUIRE(f.out.size() == 2);
    CHECK(f.out[0].kind == GMPUNCH_TRANSMIT_UDP);
    CHECK(f.out_data[0] == from_hex("dec0adde0c00000009000000636f6e6e6563740a00"));
    CHECK(text(f.out[0].to) == "203.0.113.1:6510");
    CHECK(f.out[1].kind == GMPUNCH_TRANSMIT_TCP_OPEN);
    CHECK(text(f.out[1].to) == "203.0.113.1:6510");
    CHECK(f.out[1].connection != 0);
    f.open();
    CHECK(f.sent(GMPUNCH_TRANSMIT_TCP_SEND, bin("connect\n198.51.100.7\n\0")) == 1);
    CHECK(f.stage() == GMPUNCH_STAGE_MASTER);
}

TEST_CASE("client: announces until the master answers, then no more") {
    fixture f;
    f.open();
    f.wait(2000);
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, announce) == 9); // at once and every 250 ms
    f.tcp(bin("\xff" "198.51.100.7\0" "6611\0"));
    size_t before = f.sent(GMPUNCH_TRANSMIT_UDP, announce);
    f.wait(2000);
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, announce) == before);
}

TEST_CASE("client: an answer may be split anywhere") {
    bytes answer = bin("\xff" "198.51.100.7\0" "6611\0");
    for (size_t cut = 0; cut <= answer.size(); cut++) {
        fixture f;
        f.open();
        f.tcp(bytes(answer.begin(), answer.begin() + long(cut)));
        f.wait(100); // less than the moment after which a port counts as whole
        if (cut < answer.size()) REQUIRE(f.stage() == GMPUNCH_STAGE_MASTER);
        if (f.stage() == GMPUNCH_STAGE_MASTER) f.tcp(bytes(answer.begin() + long(cut), answer.end()));
        CHECK(f.stage() == GMPUNCH_STAGE_PUNCH);
        CHECK(text(f.last().address) == "198.51.100.7:6611");
        CHECK(f.count(GMPUNCH_TRANSMIT_TCP_CLOSE) == 1);
    }
}

TEST_CASE("client: a port without its NUL ends by silence, or with the connection") {
    for (bool closes : {false, true}) {
        fixture f;
        f.open();
        f.tcp(bin("\xff" "198.51.100.7\0" "6611"));
        CHECK(f.stage() == GMPUNCH_STAGE_MASTER);
        if (closes) {
            CHECK(gmpunch_client_tcp_closed(f.client, f.now, f.connection(), 0) == GMPUNCH_OK);
            f.drain();
        } else {
            f.wait(1900); // the rest may be on its way
            CHECK(f.stage() == GMPUNCH_STAGE_MASTER);
            f.wait(100);
        }
        CHECK(f.stage() == GMPUNCH_STAGE_PUNCH);
        CHECK(text(f.last().address) == "198.51.100.7:6611");
    }
}

TEST_CASE("client: answers that are no answers") {
    for (const bytes &answer : {bin("HTTP/1.1 400 Bad Request\r\n"), bin("\xff" "198.51.100.7\0" "0\0"), bin("\xff" "host\0" "1\0"),
                                bin("\xff\0\0"), bin("\xff" "198.51.100.7\0" "65536\0"), bin("\xff" "224.0.0.1\0" "99\0"),
                                bin("\xff" "198.51.100.7:5\0" "6611\0"), bin("\xff" "255.255.255.255\0" "53\0"),
                                bin("\xff") + bytes(100000, '1'), bin("\xff" "198.51.100.7\0") + bytes(100000, '6')}) {
        fixture f;
        f.open();
        f.tcp(answer);
        CHECK(f.stage() == GMPUNCH_STAGE_FAILED);
        CHECK(f.last().type == GMPUNCH_EVENT_FAILED);
        CHECK(f.last().reason == GMPUNCH_REASON_MASTER_MALFORMED);
        CHECK(f.stats().malformed == 1);
        CHECK(gmpunch_client_next_deadline(f.client) == UINT64_MAX);
    }
}

TEST_CASE("client: not found fails at once, or knocks directly") {
    fixture f;
    f.open();
    f.tcp(bin("\xfe"));
    CHECK(f.last().type == GMPUNCH_EVENT_FAILED);
    CHECK(f.last().reason == GMPUNCH_REASON_HOST_NOT_FOUND);
    CHECK(f.last().stage == GMPUNCH_STAGE_MASTER);
    CHECK(f.stats().master_answers == 1);

    gmpunch_client_config config = fixture::config();
    config.direct_port = 4000;
    fixture g(config);
    g.open();
    g.tcp(bin("\xfe"));
    CHECK(g.last().type == GMPUNCH_EVENT_FALLBACK);
    CHECK(text(g.last().address) == "198.51.100.7:4000");
    CHECK(g.sent(GMPUNCH_TRANSMIT_UDP, knock) == 1);
    g.wait(20000);
    CHECK(g.last().type == GMPUNCH_EVENT_FAILED);
    CHECK(g.last().reason == GMPUNCH_REASON_HOST_SILENT);
    CHECK(g.last().cause == GMPUNCH_REASON_HOST_NOT_FOUND);
    CHECK(g.last().elapsed_ms == 15000);
    CHECK(g.last().knocks_sent >= 290);
    CHECK(g.last().knocks_heard == 0);
}

TEST_CASE("client: a master that refuses is tried again until the time is over") {
    fixture f;
    for (int i = 0; i < 100 && f.stage() == GMPUNCH_STAGE_MASTER; i++) {
        gmpunch_client_tcp_closed(f.client, f.now, f.connection(), 111);
        f.wait(100);
    }
    CHECK(f.last().type == GMPUNCH_EVENT_FAILED);
    CHECK(f.last().reason == GMPUNCH_REASON_MASTER_UNREACHABLE);
    CHECK(f.last().os_error == 111);
    CHECK(f.last().elapsed_ms == 5000);
    CHECK(f.stats().master_attempts >= 4);
    CHECK(f.stats().master_attempts <= 6); // with growing pauses
}

TEST_CASE("client: a connection attempt that hangs is unreachable, one without answer silent") {
    fixture f;
    f.wait(6000);
    CHECK(f.last().reason == GMPUNCH_REASON_MASTER_UNREACHABLE);
    fixture g;
    g.open();
    g.wait(6000);
    CHECK(g.last().reason == GMPUNCH_REASON_MASTER_SILENT);
    CHECK(g.last().announces_sent == 20);
}

TEST_CASE("client: the master's other addresses are tried") {
    gmpunch_client_config config = fixture::config();
    config.master = "master.example";
    fixture f(config);
    CHECK(f.last().type == GMPUNCH_EVENT_RESOLVE);
    CHECK(f.out.empty());
    gmpunch_address two[] = {address("203.0.113.8"), address("203.0.113.9:99")};
    REQUIRE(gmpunch_client_set_master(f.client, f.now, two, 2) == GMPUNCH_OK);
    f.drain();
    CHECK(text(f.out.back().to) == "203.0.113.8:6510");
    gmpunch_client_tcp_closed(f.client, f.now, f.connection(), 111);
    f.drain();
    CHECK(text(f.out.back().to) == "203.0.113.9:99");
    f.find();
    CHECK(f.stage() == GMPUNCH_STAGE_PUNCH);

    fixture g(config);
    REQUIRE(gmpunch_client_set_master(g.client, g.now, nullptr, 0) == GMPUNCH_OK);
    g.drain();
    CHECK(g.last().reason == GMPUNCH_REASON_RESOLVE_FAILED);
    fixture h(config); // nobody looks the name up
    h.wait(6000);
    CHECK(h.last().reason == GMPUNCH_REASON_RESOLVE_FAILED);
}

TEST_CASE("client: the welcome counts only from the host that it knocks at") {
    fixture f;
    CHECK(f.udp(f.server, welcome) == GMPUNCH_CONSUMED); // before any knock: answers nothing
    CHECK(f.stage() == GMPUNCH_STAGE_MASTER);
    f.find();
    CHECK(f.udp(address("198.51.100.8:6611"), welcome) == GMPUNCH_CONSUMED);
    CHECK(f.udp(address("203.0.113.1:6510"), welcome) == GMPUNCH_CONSUMED);
    CHECK(f.stage() == GMPUNCH_STAGE_PUNCH);
    CHECK(f.stats().strangers == 3);
    CHECK(f.udp(f.server, with_header(bin("\xfc\x01"))) == GMPUNCH_NOT_MINE); // two bytes: no welcome
    bytes wrong = welcome;
    wrong[8] = 2; // the header's length contradicts the datagram
    CHECK(f.udp(f.server, wrong) == GMPUNCH_CONSUMED);
    CHECK(f.stats().malformed == 1);
    CHECK(f.stage() == GMPUNCH_STAGE_PUNCH);
    CHECK(f.udp(address("198.51.100.7:7777"), bin("\xfc")) == GMPUNCH_CONSUMED); // another port of the host, raw
    CHECK(f.stage() == GMPUNCH_STAGE_CONNECTED);
    gmpunch_address latched;
    uint32_t flags;
    REQUIRE(gmpunch_client_server(f.client, &latched, &flags) == GMPUNCH_OK);
    CHECK(text(latched) == "198.51.100.7:7777");
    CHECK(f.last().how == GMPUNCH_HOW_PUNCHED);
    CHECK(flags == GMPUNCH_DATAGRAM_RAW); // answered in the form that the peer used
}

TEST_CASE("client: a welcome from another port of a host without a master is direct as well") {
    gmpunch_client_config config = fixture::config();
    config.direct_only = 1;
    config.direct_port = 4000;
    fixture f(config);
    CHECK(f.udp(address("198.51.100.7:4001"), welcome) == GMPUNCH_CONSUMED);
    CHECK(f.last().type == GMPUNCH_EVENT_CONNECTED);
    CHECK(f.last().how == GMPUNCH_HOW_DIRECT);
}

TEST_CASE("client: nobody can be answered at port 0") {
    fixture f;
    f.find();
    gmpunch_address portless = f.server;
    portless.port = 0;
    CHECK(f.udp(portless, knock) == GMPUNCH_CONSUMED);
    CHECK(f.udp(portless, welcome) == GMPUNCH_CONSUMED);
    CHECK(f.stage() == GMPUNCH_STAGE_PUNCH);
    CHECK(f.stats().strangers == 2);
    f.wait(1000);
    for (auto &t : f.out)
        if (t.kind == GMPUNCH_TRANSMIT_UDP) CHECK(t.to.port != 0);
}

TEST_CASE("client: late welcomes from another port of the host change nothing, and nothing waits to be sent") {
    fixture f;
    f.find();
    f.now = gmpunch_client_next_deadline(f.client);
    gmpunch_client_tick(f.client, f.now); // knocks wait, and are not fetched before the welcome is here
    f.out.clear();
    f.out_data.clear();
    REQUIRE(gmpunch_client_input_udp(f.client, f.now, &f.server, 0, welcome.data(), welcome.size()) == GMPUNCH_CONSUMED);
    f.drain();
    CHECK(f.stage() == GMPUNCH_STAGE_CONNECTED);
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, knock) == 0);
    const size_t events = f.events.size();
    CHECK(f.udp(address("198.51.100.7:6612"), welcome) == GMPUNCH_CONSUMED);
    CHECK(f.udp(address("198.51.100.7:6612"), knock) == GMPUNCH_CONSUMED);
    CHECK(f.events.size() == events);
    CHECK(text(f.last().address) == "198.51.100.7:6611");
    CHECK(f.stats().welcomes_heard == 1);
}

TEST_CASE("client: knocks every interval; also where the host's knock came from") {
    fixture f;
    f.find();
    f.wait(1000);
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, knock) == 21);
    f.udp(address("198.51.100.7:7777"), knock);
    CHECK(text(f.out.back().to) == "198.51.100.7:7777"); // at once
    f.out.clear();
    f.out_data.clear();
    f.wait(500);
    size_t introduced = 0, heard = 0;
    for (auto &t : f.out) {
        introduced += t.to.port == 6611;
        heard += t.to.port == 7777;
    }
    CHECK(introduced == 10);
    CHECK(heard == 10);
}

TEST_CASE("client: knocks at four addresses at most, the last of them where it heard the host last") {
    fixture f;
    f.find();
    for (uint16_t port = 7001; port <= 7005; port++) f.udp(address("198.51.100.7", port), knock);
    f.out.clear();
    f.wait(50);
    std::vector<uint16_t> ports;
    for (auto &t : f.out) ports.push_back(t.to.port);
    CHECK(ports == std::vector<uint16_t>{6611, 7001, 7002, 7005});
    f.udp(address("198.51.100.7:7005"), welcome);
    CHECK(f.stage() == GMPUNCH_STAGE_CONNECTED);
}

TEST_CASE("client: heard but never welcomed: another source port, then one-way") {
    gmpunch_client_config config = fixture::config();
    config.max_sockets = 2;
    fixture f(config);
    f.find();
    f.udp(f.server, knock);
    f.wait(2100);
    CHECK(f.stage() == GMPUNCH_STAGE_MASTER);
    CHECK(f.out.back().kind == GMPUNCH_TRANSMIT_TCP_OPEN);
    CHECK(f.out[f.out.size() - 2].socket_index == 1);
    f.find();
    f.udp(f.server, knock, 1);
    f.wait(20000);
    CHECK(f.last().type == GMPUNCH_EVENT_FAILED);
    CHECK(f.last().reason == GMPUNCH_REASON_HOST_ONE_WAY);
    CHECK(f.last().knocks_heard == 2);
    CHECK(f.stats().sockets_used == 2);
}

TEST_CASE("client: with the master's help fruitless, the direct port is knocked at as well") {
    gmpunch_client_config config = fixture::config();
    config.direct_port = 4000;
    fixture f(config);
    f.find();
    f.wait(7000);
    CHECK(std::none_of(f.out.begin(), f.out.end(), [](const gmpunch_transmit &t) { return t.to.port == 4000; }));
    f.wait(1000);
    CHECK(std::any_of(f.out.begin(), f.out.end(), [](const gmpunch_transmit &t) { return t.to.port == 4000; }));
    f.udp(address("198.51.100.7:4000"), welcome);
    CHECK(f.last().type == GMPUNCH_EVENT_CONNECTED);
    CHECK(f.last().how == GMPUNCH_HOW_DIRECT);
}

TEST_CASE("client: nothing heard for long: the master is asked once more") {
    fixture f;
    f.find();
    uint32_t first = f.connection();
    f.wait(3100);
    REQUIRE(f.connection() != first);
    CHECK(f.stage() == GMPUNCH_STAGE_PUNCH);
    f.open();
    f.tcp(bin("\xff" "198.51.100.7\0" "6622\0")); // the host has moved
    CHECK(std::any_of(f.out.begin(), f.out.end(), [](const gmpunch_transmit &t) { return t.to.port == 6622; }));
    CHECK(f.stage() == GMPUNCH_STAGE_PUNCH);
    f.udp(address("198.51.100.7:6622"), welcome);
    CHECK(f.stage() == GMPUNCH_STAGE_CONNECTED);
    CHECK(f.stats().master_attempts == 2);
    CHECK(f.stats().master_answers == 2);
}

TEST_CASE("client: what is protocol once connected, and what is the game's") {
    fixture f;
    f.connect();
    for (int first = 0; first < 256; first++) {
        bool mine = first == 0xfc || first == 0xfd;
        CHECK(f.udp(f.server, with_header(bytes(1, uint8_t(first)))) == (mine ? GMPUNCH_CONSUMED : GMPUNCH_NOT_MINE));
        CHECK(f.udp(f.server, with_header(bytes(2, uint8_t(first)))) == GMPUNCH_NOT_MINE);
    }
    bytes strings = with_header(bin("\xfa" "a\0b\0\0\0\0\0\0\0"));
    CHECK(f.udp(f.server, strings) == GMPUNCH_NOT_MINE); // not asked for
    REQUIRE(gmpunch_client_request_data(f.client, f.now) == GMPUNCH_OK);
    f.drain();
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, with_header(bin("\xfb"))) == 1);
    CHECK(f.udp(address("192.0.2.1:5"), strings) == GMPUNCH_NOT_MINE);
    CHECK(f.udp(f.server, with_header(bin("\xfa" "a\0b\0\0\0\0\0\0"))) == GMPUNCH_NOT_MINE); // seven strings
    CHECK(f.udp(f.server, strings) == GMPUNCH_CONSUMED);
    CHECK(f.last().type == GMPUNCH_EVENT_HOST_DATA);
    CHECK(f.udp(f.server, strings) == GMPUNCH_NOT_MINE);
    CHECK(f.udp(address("192.0.2.1:5"), knock) == GMPUNCH_NOT_MINE);
}

TEST_CASE("client: a data request is repeated ten times, and no longer open then") {
    fixture f;
    f.connect();
    REQUIRE(gmpunch_client_request_data(f.client, f.now) == GMPUNCH_OK);
    f.drain();
    f.wait(10000);
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, with_header(bin("\xfb"))) == 10);
    CHECK(f.udp(f.server, with_header(bin("\xfa\0\0\0\0\0\0\0\0"))) == GMPUNCH_NOT_MINE);
}

TEST_CASE("client: keep-alive, and loss only of a host that answers") {
    fixture quiet;
    quiet.connect();
    quiet.wait(3600000);
    CHECK(quiet.stage() == GMPUNCH_STAGE_CONNECTED);
    size_t knocks = quiet.sent(GMPUNCH_TRANSMIT_UDP, knock);
    CHECK(quiet.stats().keepalives_sent == knocks);
    CHECK(knocks >= 3600000 / 15000);
    CHECK(knocks <= 3600000 / 15000 + 3);

    fixture f;
    f.connect();
    f.wait(5000);
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, knock) == 1); // finds out whether the host answers
    f.udp(f.server, welcome);
    uint64_t heard = f.now;
    f.wait(44000);
    CHECK(f.stage() == GMPUNCH_STAGE_CONNECTED);
    f.wait(2000);
    CHECK(f.last().type == GMPUNCH_EVENT_LOST);
    CHECK(f.last().reason == GMPUNCH_REASON_TIMEOUT);
    CHECK(f.now - heard == 46000);
    f.out.clear();
    f.wait(100000);
    CHECK(f.out.empty());

    fixture busy; // a host that answered once, and sends game packets since
    busy.connect();
    busy.wait(5000);
    busy.udp(busy.server, welcome);
    for (int i = 0; i < 100; i++) {
        busy.wait(10000);
        CHECK(busy.udp(busy.server, with_header(bin("state"))) == GMPUNCH_NOT_MINE);
    }
    CHECK(busy.stage() == GMPUNCH_STAGE_CONNECTED);
}

TEST_CASE("client: four welcomes in a row are a classic host's greeting, no answer to a keep-alive") {
    fixture f;
    f.connect();
    for (int i = 0; i < 3; i++) {
        f.wait(33);
        f.udp(f.server, welcome);
    }
    f.wait(600000);
    CHECK(f.stage() == GMPUNCH_STAGE_CONNECTED);
}

TEST_CASE("client: answers the host's knocks, but not in a loop") {
    fixture f;
    f.connect();
    for (int i = 0; i < 20; i++) { // still on the way from the punching
        f.udp(f.server, knock);
        f.wait(50);
    }
    CHECK(f.out.empty());
    f.wait(10000);
    f.out.clear();
    for (int i = 0; i < 40; i++) {
        f.udp(f.server, knock);
        f.wait(50);
    }
    CHECK(f.count(GMPUNCH_TRANSMIT_UDP) >= 1);
    CHECK(f.count(GMPUNCH_TRANSMIT_UDP) <= 3); // one a second
}

TEST_CASE("client: the first knock that it answers, and the next one") {
    fixture f;
    f.connect();
    const uint64_t connected = f.now;
    for (uint64_t quiet : {1u, 999u, 1000u, 1001u, 4999u}) {
        f.now = connected + quiet;
        f.udp(f.server, knock);
        CHECK(f.out.empty());
    }
    f.now = connected + 5000;
    f.udp(f.server, knock);
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, knock) == 1);
    f.now += 999;
    f.udp(f.server, knock);
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, knock) == 1);
    f.now += 1;
    f.udp(f.server, knock);
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, knock) == 2);
}

TEST_CASE("client: a host that answers is asked when it was silent for long, whatever it is sent meanwhile") {
    fixture f;
    f.connect();
    f.wait(5000);
    f.udp(f.server, welcome);
    const uint64_t heard = f.now;
    f.out.clear();
    f.out_data.clear();
    for (int i = 0; i < 3; i++) {
        REQUIRE(gmpunch_client_request_data(f.client, f.now) == GMPUNCH_OK); // ten requests, one each half second
        f.drain();
        f.wait(i < 2 ? 5000 : 4999);
    }
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, knock) == 0);
    f.wait(1);
    CHECK(f.now == heard + 15000);
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, knock) == 1);
    f.wait(3000);
    CHECK(f.sent(GMPUNCH_TRANSMIT_UDP, knock) == 4); // each second, as long as nothing comes
}

TEST_CASE("client: what waited to be sent is not sent to a host that is lost") {
    fixture f;
    f.connect();
    f.wait(5000);
    f.udp(f.server, welcome);
    const uint64_t heard = f.now;
    f.wait(44999);
    f.out.clear();
    REQUIRE(gmpunch_client_request_data(f.client, f.now) == GMPUNCH_OK); // waits, and a knock with it
    gmpunch_client_tick(f.client, heard + 45000);
    CHECK(f.stage() == GMPUNCH_STAGE_LOST);
    f.drain();
    CHECK(f.out.empty());
    CHECK(f.last().type == GMPUNCH_EVENT_LOST);
}

TEST_CASE("client: of events that nobody fetches the newest are dropped, but not how it ended") {
    for (int32_t type : {GMPUNCH_EVENT_CONNECTED, GMPUNCH_EVENT_FAILED, GMPUNCH_EVENT_LOST}) {
        CAPTURE(type);
        fixture f;
        for (int i = 0; i < 16; i++) gmpunchi_client_push(f.client, GMPUNCH_EVENT_FOUND, i, nullptr);
        CHECK(f.stats().events_dropped == 3);
        for (int i = 0; i < 4; i++) gmpunchi_client_push(f.client, type, 100 + i, nullptr);
        CHECK(f.stats().events_dropped == 4);
        f.drain();
        REQUIRE(f.events.size() == 16);
        for (int i = 0; i < 16; i++) {
            CHECK(f.events[size_t(i)].type == (i < 13 ? GMPUNCH_EVENT_FOUND : type));
            CHECK(f.events[size_t(i)].reason == (i < 13 ? i : 100 + i - 13));
        }
    }
    fixture f; // the same from outside
    f.connect();
    f.events.clear();
    const bytes strings = with_header(bin("\xfa" "a\0b\0\0\0\0\0\0\0"));
    for (int i = 0; i < 14; i++) {
        REQUIRE(gmpunch_client_request_data(f.client, f.now) == GMPUNCH_OK);
        REQUIRE(gmpunch_client_input_udp(f.client, f.now, &f.server, 0, strings.data(), strings.size()) ==
                GMPUNCH_CONSUMED);
    }
    CHECK(f.stats().events_dropped == 1);
}

TEST_CASE("client: a request that the system takes in pieces") {
    bytes request = bin("connect\n198.51.100.7\n\0");
    for (size_t taken = 0; taken <= request.size(); taken++) {
        fixture f;
        gmpunch_transmit t;
        REQUIRE(gmpunch_client_tcp_opened(f.client, f.now, f.connection()) == GMPUNCH_OK);
        REQUIRE(gmpunch_client_next_transmit(f.client, &t) == 1);
        REQUIRE(t.len == request.size());
        CHECK(gmpunch_client_tcp_sent(f.client, t.connection, request.size() + 1) == GMPUNCH_ERR_ARGUMENT);
        REQUIRE(gmpunch_client_tcp_sent(f.client, t.connection, taken) == GMPUNCH_OK);
        CHECK(gmpunch_client_next_transmit(f.client, &t) == 0);
        REQUIRE(gmpunch_client_tcp_writable(f.client, f.now, f.connection()) == GMPUNCH_OK);
        if (taken < request.size()) {
            REQUIRE(gmpunch_client_next_transmit(f.client, &t) == 1);
            CHECK(bytes(t.data, t.data + t.len) == bytes(request.begin() + long(taken), request.end()));
        } else {
            CHECK(gmpunch_client_next_transmit(f.client, &t) == 0);
        }
    }
}

TEST_CASE("client: news of connections that are no more") {
    fixture f;
    uint32_t first = f.connection();
    CHECK(gmpunch_client_tcp_opened(f.client, f.now, first + 1) == GMPUNCH_ERR_CONNECTION);
    f.find();
    CHECK(f.tcp(bin("\xfe")) == GMPUNCH_ERR_CONNECTION); // closed with the answer
    CHECK(gmpunch_client_tcp_closed(f.client, f.now, first, 0) == GMPUNCH_ERR_CONNECTION);
    CHECK(gmpunch_client_tcp_writable(f.client, f.now, first) == GMPUNCH_ERR_CONNECTION);
    CHECK(gmpunch_client_tcp_sent(f.client, first, 0) == GMPUNCH_ERR_CONNECTION);
    CHECK(f.stage() == GMPUNCH_STAGE_PUNCH);
    fixture g;
    g.open();
    CHECK(gmpunch_client_tcp_opened(g.client, g.now, g.connection()) == GMPUNCH_ERR_STATE);
}

TEST_CASE("client: a clock that steps back stands still") {
    fixture f;
    f.connect();
    uint64_t deadline = gmpunch_client_next_deadline(f.client);
    CHECK(gmpunch_client_tick(f.client, 0) == GMPUNCH_OK);
    CHECK(f.udp(f.server, knock) == GMPUNCH_CONSUMED);
    CHECK(gmpunch_client_next_deadline(f.client) == deadline);
    gmpunch_client_tick(f.client, UINT64_MAX - 1); // and one that leaps to the end of time
    f.drain();
    gmpunch_client_tick(f.client, UINT64_MAX);
    f.drain();
    CHECK(f.stage() == GMPUNCH_STAGE_CONNECTED);
}

TEST_CASE("client: configs that are refused") {
    gmpunch_client *client = nullptr;
    auto refused = [&](void (*change)(gmpunch_client_config &)) {
        gmpunch_client_config config = fixture::config();
        change(config);
        int32_t result = gmpunch_client_create(&config, 0, &client);
        CHECK(client == nullptr);
        return result;
    };
    CHECK(refused([](gmpunch_client_config &c) { c.server = nullptr; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_client_config &c) { c.server = "example.org"; }) == GMPUNCH_ERR_CONFIG); // numeric without sockets
    CHECK(refused([](gmpunch_client_config &c) { c.master = nullptr; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_client_config &c) { c.master = "203.0.113.300"; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_client_config &c) { c.master = "203.0.113.1:0"; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_client_config &c) { c.master = "master:65536"; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_client_config &c) { c.master = "two words"; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_client_config &c) { c.master = ""; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_client_config &c) { c.direct_only = 1; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_client_config &c) { c.max_sockets = 5; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_client_config &c) { c.max_packet = 65001; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_client_config &c) { c.struct_size = sizeof c + 1; }) == GMPUNCH_ERR_CONFIG);
    CHECK(refused([](gmpunch_client_config &c) { c.allocator.free = [](void *, size_t, void *) {}; }) == GMPUNCH_ERR_CONFIG);
}

TEST_CASE("client: time-outs that never come") {
    gmpunch_client_config config = fixture::config();
    config.timeout_ms = config.master_timeout_ms = GMPUNCH_NEVER;
    fixture f(config);
    f.open();
    f.wait(86400000);
    CHECK(f.stage() == GMPUNCH_STAGE_MASTER);
    f.tcp(bin("\xff" "198.51.100.7\0" "6611\0"));
    f.wait(600000);
    CHECK(f.stage() == GMPUNCH_STAGE_PUNCH);
}

TEST_CASE("client: a master that can't be reached is tried on and on, with pauses that stay") {
    gmpunch_client_config config = fixture::config();
    config.timeout_ms = config.master_timeout_ms = GMPUNCH_NEVER;
    fixture f(config);
    for (int tries = 0; tries < 40; tries++) {
        REQUIRE(gmpunch_client_tcp_closed(f.client, f.now, f.connection(), 111) == GMPUNCH_OK);
        f.out.clear();
        f.out_data.clear();
        uint64_t before = f.now;
        while (f.out.empty() || f.out.back().kind != GMPUNCH_TRANSMIT_TCP_OPEN) {
            REQUIRE(gmpunch_client_next_deadline(f.client) > f.now);
            f.now = gmpunch_client_next_deadline(f.client);
            gmpunch_client_tick(f.client, f.now);
            f.drain();
        }
        CHECK(f.now - before == std::min(250ull << std::min(tries, 8), 60000ull));
    }
}

TEST_CASE("client: without an end half way is after five seconds") {
    gmpunch_client_config config = fixture::config();
    config.timeout_ms = config.knock_interval_ms = GMPUNCH_NEVER; // and no knock wakes it before
    config.direct_port = 4000;
    fixture f(config);
    f.find();
    const auto direct = [](const gmpunch_transmit &t) { return t.to.port == 4000; };
    f.wait(4999);
    CHECK(std::none_of(f.out.begin(), f.out.end(), direct));
    f.wait(1);
    CHECK(std::count_if(f.out.begin(), f.out.end(), direct) == 1);
}

TEST_CASE("client: another source port at its time, though no knock is due then") {
    gmpunch_client_config config = fixture::config();
    config.knock_interval_ms = GMPUNCH_NEVER;
    for (uint32_t sockets : {0u, 1u, 2u}) { // without sockets of its own there is one unless the config says otherwise
        CAPTURE(sockets);
        config.max_sockets = sockets;
        fixture f(config);
        f.find();
        f.udp(f.server, knock);
        f.wait(1999);
        CHECK(f.stats().sockets_used == 1);
        f.wait(1);
        CHECK(f.stats().sockets_used == (sockets == 2 ? 2 : 1));
        f.wait(4000);
        CHECK(f.stats().sockets_used == (sockets == 2 ? 2 : 1));
    }
}

TEST_CASE("client: asked once more, the master's port without its NUL ends by silence as well") {
    fixture f;
    f.find();
    f.wait(3000);
    f.open();
    f.tcp(bin("\xff" "198.51.100.7\0" "6622"));
    const auto knocked = [](const gmpunch_transmit &t) { return t.to.port == 6622; };
    f.wait(1999);
    CHECK(std::none_of(f.out.begin(), f.out.end(), knocked));
    f.wait(1);
    CHECK(std::any_of(f.out.begin(), f.out.end(), knocked));
}

TEST_CASE("client: what an event tells of datagrams that were not taken") {
    fixture f;
    f.find();
    f.udp(address("192.0.2.1:5"), knock);
    f.udp(address("192.0.2.1:6"), welcome);
    bytes cut = with_header(bin("hello"));
    cut.pop_back();
    f.udp(f.server, cut);
    f.wait(20000);
    CHECK(f.last().type == GMPUNCH_EVENT_FAILED);
    CHECK(f.stats().strangers == 2);
    CHECK(f.stats().malformed == 1);
    CHECK(f.last().ignored == 3);
    CHECK(f.last().knocks_sent == f.stats().knocks_sent);
}

TEST_CASE("client: what it says again to the master has a deadline") {
    client_fixture c;
    c.open();
    REQUIRE(c.client->announce_at != GMPUNCHI_TIME_NEVER);
    CHECK(gmpunch_client_next_deadline(c.client) <= c.client->announce_at);
    c.wait(c.client->announce_at - c.now);
    CHECK(gmpunch_client_next_deadline(c.client) <= c.client->announce_at);
}

TEST_CASE("client: more addresses of the master than milliseconds") {
    gmpunch_client_config config = fixture::config();
    config.timeout_ms = 3;
    fixture f(config);
    gmpunch_address addresses[] = {address("203.0.113.1"), address("203.0.113.2"), address("203.0.113.3")};
    REQUIRE(gmpunch_client_set_master(f.client, ++f.now, addresses, 3) == GMPUNCH_OK);
    CHECK(gmpunch_client_next_deadline(f.client) > f.now);
}

TEST_CASE("client: the last millisecond before it gives up") {
    gmpunch_client_config config = fixture::config();
    config.direct_only = 1;
    config.direct_port = 6611;
    config.timeout_ms = 2;
    config.max_sockets = 3;
    fixture f(config);
    gmpunch_client_tick(f.client, ++f.now);
    CHECK(gmpunch_client_next_deadline(f.client) > f.now);
    gmpunch_client_tick(f.client, ++f.now);
    CHECK(f.stage() == GMPUNCH_STAGE_FAILED);
}
