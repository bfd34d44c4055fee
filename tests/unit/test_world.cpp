// Master, hosts and clients together, in virtual time.
#include "../sim/meeting.hpp"

using namespace sim;

namespace {

const char *const host_ip = "198.51.100.7";
const char *const client_ip = "192.0.2.55";

gmpunch_client_config client_config() {
    gmpunch_client_config config{};
    config.server = host_ip;
    return config;
}

bool connected(const node &n) {
    return gmpunch_client_stage(n.client) == GMPUNCH_STAGE_CONNECTED;
}

// Registers a host, lets it settle, then lets a client join. True if it got in.
struct session {
    world w;
    node *host = nullptr, *client = nullptr;

    explicit session(const nat &host_router = nat(host_ip), const nat &client_router = nat(client_ip)) {
        host_nat = behind(host_router);
        client_nat = behind(client_router);
    }
    std::shared_ptr<nat> host_nat, client_nat;

    void start_host(gmpunch_host_config config = gmpunch_host_config{}) {
        host = &w.add_host(host_nat, config);
        w.run(5000);
    }
    bool join(gmpunch_client_config config, uint64_t at_most_ms = 20000) {
        client = &w.add_client(client_nat, config);
        return w.run([&] { return gmpunch_client_stage(client->client) >= GMPUNCH_STAGE_CONNECTED; }, at_most_ms) &&
               connected(*client);
    }
    // Game data both ways.
    void check_game() { REQUIRE(exchange(w, *host, *client)); }
};

} // namespace

TEST_CASE("world: a client is introduced, punches and plays") {
    session s(nat::restricted(host_ip), nat::restricted(client_ip));
    s.start_host();
    REQUIRE(s.host->saw(GMPUNCH_EVENT_REGISTERED));
    REQUIRE(s.join(client_config()));
    const gmpunch_event *e = s.client->find(GMPUNCH_EVENT_CONNECTED);
    CHECK(e->how == GMPUNCH_HOW_PUNCHED);
    CHECK(text(e->address) == "198.51.100.7:40000");
    REQUIRE(s.w.run([&] { return s.host->saw(GMPUNCH_EVENT_JOINED); }, 1000));
    CHECK(s.host->find(GMPUNCH_EVENT_INTRODUCED) != nullptr);
    CHECK(s.host->find(GMPUNCH_EVENT_JOINED)->peer == 1);
    CHECK(s.host->find(GMPUNCH_EVENT_JOINED)->how == GMPUNCH_HOW_PUNCHED);
    s.check_game();
}

TEST_CASE("world: connected within 4d + 2p + 1 ms") {
    for (uint64_t d : {0u, 1u, 7u, 40u, 150u})
        for (uint64_t p : {0u, 1u, 9u, 60u, 200u}) {
            session s;
            s.w.to_master = d;
            s.w.to_peer = p;
            s.start_host();
            uint64_t start = s.w.now;
            REQUIRE(s.join(client_config()));
            CHECK_MESSAGE(s.w.now - start <= 4 * d + 2 * p + 1, "d=", d, " p=", p);
        }
}

TEST_CASE("world: the loss of any one datagram is survived") {
    size_t first = 0, last = 0;
    {
        session s(nat::restricted(host_ip), nat::restricted(client_ip));
        s.start_host();
        REQUIRE(s.join(client_config()));
        last = s.w.udp_packets;
    }
    REQUIRE(last > 5);
    for (size_t lost = first; lost < last; lost++) {
        session s(nat::restricted(host_ip), nat::restricted(client_ip));
        s.w.drop_udp = {lost};
        s.start_host();
        CHECK_MESSAGE(s.join(client_config()), "datagram ", lost);
        s.check_game();
    }
}

TEST_CASE("world: half of all datagrams lost, many seeds") {
    for (uint32_t seed = 1; seed <= 100; seed++) {
        session s(nat::restricted(host_ip), nat::restricted(client_ip));
        uint32_t state = seed * 2654435761u;
        s.w.drop = [&](const gmpunch_address &, const gmpunch_address &, const bytes &) {
            state = state * 1664525u + 1013904223u;
            return (state >> 31) != 0;
        };
        s.start_host();
        // a host whose three registrations are all lost is found at its next one
        CHECK_MESSAGE((s.join(client_config()) || s.client->find(GMPUNCH_EVENT_FAILED)->reason == GMPUNCH_REASON_HOST_NOT_FOUND),
                      "seed ", seed);
    }
}

TEST_CASE("world: the failure of any one TCP step is survived, or told with the right reason") {
    size_t last = 0;
    {
        session s;
        s.start_host();
        REQUIRE(s.join(client_config()));
        last = s.w.tcp_steps;
    }
    REQUIRE(last >= 6); // open and register; open, ask, introduce, answer
    for (size_t step = 0; step < last; step++) {
        session s;
        s.w.break_tcp = {step};
        s.start_host();
        bool joined = s.join(client_config());
        // what got lost is asked for again
        CHECK_MESSAGE(joined, "step ", step);
        s.check_game();
    }
}

TEST_CASE("world: TCP that arrives byte by byte changes nothing") {
    session s(nat::restricted(host_ip), nat::restricted(client_ip));
    s.w.tcp.chunk = 1;
    s.start_host();
    REQUIRE(s.join(client_config()));
    CHECK(s.host->count(GMPUNCH_EVENT_INTRODUCED) == 1);
    s.check_game();
}

TEST_CASE("world: a symmetric host and an open client, and the other way round") {
    for (bool host_is_symmetric : {false, true}) {
        nat easy(host_is_symmetric ? client_ip : host_ip);
        nat hard = nat::symmetric(host_is_symmetric ? host_ip : client_ip);
        session s(host_is_symmetric ? hard : easy, host_is_symmetric ? easy : hard);
        s.start_host();
        REQUIRE(s.join(client_config()));
        s.check_game();
        gmpunch_address server;
        gmpunch_client_server(s.client->client, &server, nullptr);
        if (host_is_symmetric) CHECK(server.port == 40001); // the port that answered, not the introduced 40000
    }
}

TEST_CASE("world: two symmetric NATs fail with a reason, not with silence") {
    session s(nat::symmetric(host_ip), nat::symmetric(client_ip));
    s.start_host();
    CHECK(!s.join(client_config()));
    const gmpunch_event *e = s.client->find(GMPUNCH_EVENT_FAILED);
    REQUIRE(e != nullptr);
    CHECK(e->reason == GMPUNCH_REASON_HOST_SILENT);
    CHECK(e->stage == GMPUNCH_STAGE_PUNCH);
    CHECK(e->knocks_sent > 100);
    REQUIRE(s.w.run([&] { return s.host->saw(GMPUNCH_EVENT_INTRODUCTION_EXPIRED); }, 20000));
}

TEST_CASE("world: two clients behind one router, and a host behind the same one as its client") {
    auto home = behind(nat(client_ip));
    world w;
    node &host = w.add_host(open_internet(host_ip));
    w.run(5000);
    node &a = w.add_client(home, client_config(), 7000), &b = w.add_client(home, client_config(), 7100);
    REQUIRE(w.run([&] { return connected(a) && connected(b); }, 10000));
    CHECK(w.run([&] { return host.count(GMPUNCH_EVENT_JOINED) == 2; }, 1000));
    CHECK(host.count(GMPUNCH_EVENT_INTRODUCED) == 2);
}

TEST_CASE("world: a registered host is found an hour later, through a NAT that forgets after 30 s") {
    nat router = nat::restricted(host_ip);
    router.timeout_ms = 30000;
    session s(router, nat::restricted(client_ip));
    s.start_host();
    s.w.run(3600000);
    REQUIRE(s.join(client_config()));
    s.check_game();
    CHECK(s.host->count(GMPUNCH_EVENT_REGISTERED) == 1);
}

TEST_CASE("world: a quiet connection outlives NATs that forget after 30 s") {
    nat host_router = nat::restricted(host_ip), client_router = nat::restricted(client_ip);
    host_router.timeout_ms = client_router.timeout_ms = 30000;
    session s(host_router, client_router);
    s.start_host();
    REQUIRE(s.join(client_config()));
    for (int hour = 0; hour < 3; hour++) {
        s.w.run(3600000);
        REQUIRE(connected(*s.client));
        s.check_game();
    }
    CHECK(!s.host->saw(GMPUNCH_EVENT_LEFT));
}

TEST_CASE("world: a host that vanishes is LOST, a client that vanishes LEFT") {
    for (bool host_dies : {false, true}) {
        session s;
        s.start_host();
        REQUIRE(s.join(client_config()));
        s.w.run(20000); // each has seen by now that the other answers
        (host_dies ? s.host : s.client)->dead = true;
        uint64_t start = s.w.now;
        node &left = host_dies ? *s.client : *s.host;
        int32_t type = host_dies ? GMPUNCH_EVENT_LOST : GMPUNCH_EVENT_LEFT;
        REQUIRE(s.w.run([&] { return left.saw(type); }, 100000));
        CHECK(left.find(type)->reason == GMPUNCH_REASON_TIMEOUT);
        CHECK(s.w.now - start <= 46000);
        CHECK(s.w.now - start >= 30000); // nobody is lost for one keep-alive
    }
}

TEST_CASE("world: a restarted master is registered with again, and introduces") {
    session s;
    s.start_host();
    s.w.restart_master();
    REQUIRE(s.w.run([&] { return s.host->count(GMPUNCH_EVENT_REGISTERED) == 2; }, 3000));
    CHECK(s.host->find(GMPUNCH_EVENT_UNREGISTERED)->reason == GMPUNCH_REASON_MASTER_CLOSED);
    s.w.run(2000);
    REQUIRE(s.join(client_config()));
}

TEST_CASE("world: a master that is down for an hour is not flooded, and found again") {
    session s;
    s.start_host();
    s.w.master_up = false;
    s.w.restart_master();
    size_t before = s.w.tcp_steps;
    s.w.run(3600000);
    size_t attempts = s.w.tcp_steps - before;
    CHECK(attempts >= 50);
    CHECK(attempts <= 140); // pauses grow to 30..60 s
    s.w.master_up = true;
    REQUIRE(s.w.run([&] { return s.host->count(GMPUNCH_EVENT_REGISTERED) == 2; }, 70000));
    s.w.run(2000);
    CHECK(s.join(client_config()));
}

TEST_CASE("world: not found, then direct; or failed") {
    for (uint16_t port : {uint16_t(0), uint16_t(6611)}) {
        session s;
        s.host = &s.w.add_host(s.host_nat);
        s.w.run(3000);
        s.w.restart_master(); // forgets the host, which needs a moment to come back
        gmpunch_client_config config = client_config();
        config.direct_port = port;
        bool joined = s.join(config);
        if (port) {
            REQUIRE(joined);
            CHECK(s.client->find(GMPUNCH_EVENT_FALLBACK)->reason == GMPUNCH_REASON_HOST_NOT_FOUND);
            CHECK(s.client->find(GMPUNCH_EVENT_CONNECTED)->how == GMPUNCH_HOW_DIRECT);
            CHECK(s.client->find(GMPUNCH_EVENT_CONNECTED)->cause == GMPUNCH_REASON_HOST_NOT_FOUND);
        } else {
            REQUIRE(!joined);
            CHECK(s.client->find(GMPUNCH_EVENT_FAILED)->reason == GMPUNCH_REASON_HOST_NOT_FOUND);
        }
    }
}

TEST_CASE("world: a master that takes the connection and says nothing") {
    for (uint16_t port : {uint16_t(0), uint16_t(6611)}) {
        session s;
        s.start_host();
        s.w.master_hears = false;
        gmpunch_client_config config = client_config();
        config.direct_port = port;
        uint64_t start = s.w.now;
        CHECK(s.join(config) == (port != 0));
        int32_t type = port ? GMPUNCH_EVENT_FALLBACK : GMPUNCH_EVENT_FAILED;
        REQUIRE(s.client->saw(type));
        CHECK(s.client->find(type)->reason == GMPUNCH_REASON_MASTER_SILENT);
        CHECK(s.client->find(type)->announces_sent >= 19); // repeated until the end of the wait
        CHECK(s.w.now - start < 5200);
    }
}

TEST_CASE("world: direct only, no master involved") {
    session s;
    s.start_host();
    gmpunch_client_config config = client_config();
    config.direct_only = 1;
    config.direct_port = 6611;
    size_t tcp = s.w.tcp_steps;
    REQUIRE(s.join(config));
    CHECK(s.w.tcp_steps == tcp);
    CHECK(s.client->find(GMPUNCH_EVENT_CONNECTED)->how == GMPUNCH_HOW_DIRECT);
    CHECK(s.host->find(GMPUNCH_EVENT_JOINED)->how == GMPUNCH_HOW_DIRECT);
}

TEST_CASE("world: require_mediation lets in whom the master introduced, and nobody else") {
    session s;
    gmpunch_host_config host_config{};
    host_config.require_mediation = 1;
    s.start_host(host_config);
    gmpunch_client_config direct = client_config();
    direct.direct_only = 1;
    direct.direct_port = 6611;
    CHECK(!s.join(direct));
    CHECK(s.client->find(GMPUNCH_EVENT_FAILED)->reason == GMPUNCH_REASON_HOST_SILENT);
    gmpunch_host_stats stats{};
    gmpunch_host_get_stats(s.host->host, &stats);
    CHECK(stats.refused_unmediated > 0);
    CHECK(stats.joined == 0);
    s.client_nat = open_internet("192.0.2.77");
    CHECK(s.join(client_config()));
}

TEST_CASE("world: what comes late from another port of the host is ignored, and counted") {
    session s;
    s.start_host();
    REQUIRE(s.join(client_config()));
    for (const char *late : {"\xfd", "\xfc"})
        s.w.udp(address(host_ip, 999), address(client_ip, 7000), with_header(bytes(1, uint8_t(*late))));
    s.w.run(1000);
    gmpunch_client_stats stats{};
    gmpunch_client_get_stats(s.client->client, &stats);
    CHECK(stats.strangers == 2);
    CHECK(connected(*s.client));
}

TEST_CASE("world: a host that is known by name only, and moves") {
    session s;
    s.start_host();
    gmpunch_client_config config = client_config();
    config.master = "master.example:7000";
    gmpunch_client *client;
    REQUIRE(gmpunch_client_create(&config, 0, &client) == GMPUNCH_OK);
    gmpunch_event e;
    gmpunch_transmit t;
    REQUIRE(gmpunch_client_next_event(client, &e) == 1);
    CHECK(e.type == GMPUNCH_EVENT_RESOLVE);
    CHECK(gmpunch_client_next_transmit(client, &t) == 0);
    gmpunch_address found[2] = {address("2001:db8::5"), address("203.0.113.9")};
    REQUIRE(gmpunch_client_set_master(client, 10, found, 2) == GMPUNCH_OK);
    REQUIRE(gmpunch_client_next_transmit(client, &t) == 1);
    CHECK(text(t.to) == "203.0.113.9:7000"); // of the server's family first
    gmpunch_client_close(client);
}

// ---- peers of the original, as recorded ----

namespace {

// A host of GMnet PUNCH: four welcomes to a new player in four frames, then its knocks are ignored for ever.
struct classic_host {
    world &w;
    gmpunch_address self;
    std::map<std::string, int> players;
    std::vector<bytes> game;
    int welcomes_to_lose = 0;

    classic_host(world &world_, const char *at) : w(world_), self(address(at)) {
        w.strangers[key(self)] = [this](const gmpunch_address &from, const bytes &data) { hear(from, data); };
    }
    void hear(const gmpunch_address &from, const bytes &data) {
        bytes payload(data.begin() + 12, data.end());
        bool known = players.count(text(from)) != 0;
        if (payload != bin("\xfd")) {
            if (known) game.push_back(payload);
            return;
        }
        if (known) return;
        players[text(from)] = 1;
        for (uint64_t frame = 0; frame < 4; frame++) {
            if (welcomes_to_lose > 0) {
                welcomes_to_lose--;
                continue;
            }
            gmpunch_address to = from;
            w.later(frame * 33, [this, to] { w.udp(self, to, with_header(bin("\xfc"))); });
        }
    }
};

} // namespace

TEST_CASE("world: a classic host, silent for an hour, is not lost") {
    session s;
    classic_host classic(s.w, "198.51.100.7:6611");
    gmpunch_client_config config = client_config();
    config.direct_only = 1;
    config.direct_port = 6611;
    REQUIRE(s.join(config));
    s.w.run(3600000);
    CHECK(connected(*s.client));
    CHECK(classic.game.empty()); // keep-alives never reach the game
    CHECK(classic.players.size() == 1);
}

TEST_CASE("world: a classic host whose welcomes were all lost is joined from a new source port") {
    session s;
    classic_host classic(s.w, "198.51.100.7:6611");
    classic.welcomes_to_lose = 4;
    gmpunch_client_config config = client_config();
    config.direct_only = 1;
    config.direct_port = 6611;
    config.max_sockets = 3;
    REQUIRE(s.join(config));
    CHECK(classic.players.size() == 2);
    CHECK(s.client->find(GMPUNCH_EVENT_CONNECTED)->socket_index == 1);
    gmpunch_client_stats stats{};
    gmpunch_client_get_stats(s.client->client, &stats);
    CHECK(stats.sockets_used == 2);
}

TEST_CASE("world: a mediated client that hears knocks but no welcome asks the master again from a new source port") {
    session s;
    s.start_host();
    // the host's welcomes to the first port never arrive: for the client it is a classic host that took it for known
    s.w.drop = [](const gmpunch_address &, const gmpunch_address &to, const bytes &data) {
        return to.port == 7000 && data.back() == 0xfc;
    };
    gmpunch_client_config config = client_config();
    config.max_sockets = 2;
    // and its knocks keep coming: the host did not hear the first port
    s.w.udp(address("198.51.100.7:6611"), address("192.0.2.55:7000"), with_header(bin("\xfd")));
    s.client = &s.w.add_client(s.client_nat, config);
    s.w.later(400, [&] { s.w.udp(address("198.51.100.7:6611"), address("192.0.2.55:7000"), with_header(bin("\xfd"))); });
    REQUIRE(s.w.run([&] { return connected(*s.client); }, 14000));
    CHECK(s.client->find(GMPUNCH_EVENT_CONNECTED)->socket_index == 1);
    CHECK(s.client->count(GMPUNCH_EVENT_FOUND) == 2);
}

TEST_CASE("world: a classic client joins a host of ours") {
    session s;
    s.start_host();
    gmpunch_address self = address("192.0.2.55:7001");
    int welcomes = 0;
    s.w.strangers[key(self)] = [&](const gmpunch_address &, const bytes &data) {
        if (data == with_header(bin("\xfc"))) welcomes++;
    };
    // the recorded knock, once per frame until the welcome
    for (int frame = 0; frame < 4; frame++)
        s.w.later(uint64_t(frame) * 33, [&] { s.w.udp(self, address("198.51.100.7:6611"), from_hex("dec0adde0c00000001000000fd")); });
    s.w.run(1000);
    CHECK(welcomes == 4); // one for each knock, none more
    CHECK(s.host->count(GMPUNCH_EVENT_JOINED) == 1);
    // it never answers a keep-alive: silence for four minutes is no loss
    s.w.run(240000);
    CHECK(!s.host->saw(GMPUNCH_EVENT_LEFT));
    s.w.run(70000);
    REQUIRE(s.host->saw(GMPUNCH_EVENT_LEFT));
    CHECK(s.host->find(GMPUNCH_EVENT_LEFT)->reason == GMPUNCH_REASON_TIMEOUT);
}

TEST_CASE("world: data strings reach the client, also when datagrams get lost") {
    for (size_t lost : {0u, 1u, 3u}) {
        session s;
        gmpunch_host_config host_config{};
        host_config.data[0] = "deathmatch";
        host_config.data[1] = "n\xc3\xa4me";
        host_config.data[7] = "eight";
        s.start_host(host_config);
        gmpunch_client_config config = client_config();
        config.ask_data = lost == 0; // by itself, or when told to
        REQUIRE(s.join(config));
        for (size_t i = 0; i < lost; i++) s.w.drop_udp.insert(s.w.udp_packets + i);
        if (lost) {
            s.w.run(1000);
            CHECK_FALSE(s.client->saw(GMPUNCH_EVENT_HOST_DATA));
            REQUIRE(gmpunch_client_request_data(s.client->client, s.w.now) == GMPUNCH_OK);
        }
        REQUIRE(s.w.run([&] { return s.client->saw(GMPUNCH_EVENT_HOST_DATA); }, 5000));
        const gmpunch_event *e = s.client->find(GMPUNCH_EVENT_HOST_DATA);
        CHECK(std::string(gmpunch_event_string(e, 1)) == "deathmatch");
        CHECK(std::string(gmpunch_event_string(e, 2)) == "n\xc3\xa4me");
        CHECK(std::string(gmpunch_event_string(e, 3)).empty());
        CHECK(std::string(gmpunch_event_string(e, 8)) == "eight");
        CHECK(std::string(gmpunch_event_string(e, 9)).empty());
    }
}

TEST_CASE("world: both sides raw") {
    session s;
    gmpunch_host_config host_config{};
    host_config.raw = 1;
    s.start_host(host_config);
    gmpunch_client_config config = client_config();
    config.raw = 1;
    bool saw_raw_knock = false;
    s.w.drop = [&](const gmpunch_address &from, const gmpunch_address &to, const bytes &data) {
        bool at_master = to.port == 6510 || from.port == 6510;
        if (at_master) CHECK(data.size() > 12); // never fewer to a master: the deployed one would stop hearing
        if (data == bin("\xfd")) saw_raw_knock = true;
        if (!at_master) CHECK(data.size() < 12);
        return false;
    };
    REQUIRE(s.join(config));
    CHECK(saw_raw_knock);
}

TEST_CASE("world: IPv6, end to end") {
    session s(nat("2001:db8::7"), nat("2001:db8:1::55"));
    s.w.master_address = address("[2001:db8:2::1]:6510");
    s.start_host();
    gmpunch_client_config config = client_config();
    config.server = "2001:db8::7";
    REQUIRE(s.join(config));
    CHECK(text(s.client->find(GMPUNCH_EVENT_CONNECTED)->address) == "[2001:db8::7]:6611");
    s.check_game();
}

TEST_CASE("world: fifty clients at once, every one gets in") {
    world w;
    node &host = w.add_host(open_internet(host_ip));
    w.run(5000);
    std::vector<std::shared_ptr<nat>> homes; // five players behind each of ten routers
    for (int i = 0; i < 10; i++) homes.push_back(behind(nat::restricted(("192.0.2." + std::to_string(i + 1)).c_str())));
    std::vector<node *> clients;
    for (uint16_t i = 0; i < 50; i++) clients.push_back(&w.add_client(homes[i % 10], client_config(), uint16_t(7000 + 10 * i)));
    CHECK(w.run(
        [&] {
            for (node *n : clients)
                if (!connected(*n)) return false;
            return true;
        },
        15000));
    CHECK(host.count(GMPUNCH_EVENT_JOINED) == 50);
    CHECK(host.count(GMPUNCH_EVENT_INTRODUCED) == 50);
}
