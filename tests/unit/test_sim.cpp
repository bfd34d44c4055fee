// The simulated internet itself: its lines, its hops, its TCP.
#include "../sim/meeting.hpp"

using namespace sim;

namespace {

// What of so many packets arrives over one line, one packet each millisecond: when, and in which order.
struct flow {
    std::vector<std::pair<uint64_t, int>> arrived; // when, which

    flow(const line_kind &kind, int packets, size_t len = 100, uint32_t seed = 1) {
        random_source random(seed);
        line over;
        over.kind = kind;
        for (int i = 0; i < packets; i++) {
            uint64_t at[2];
            int copies = over.pass(random, uint64_t(i), len, at);
            for (int c = 0; c < copies; c++) arrived.push_back({at[c], i});
        }
    }
    bool ordered() const {
        return std::is_sorted(arrived.begin(), arrived.end(), [](auto &a, auto &b) { return a.first < b.first; });
    }
};

} // namespace

TEST_CASE("sim: a line delays, loses, doubles and reorders as it was told, the same for the same seed") {
    line_kind kind;
    kind.delay_ms = 7;
    flow plain(kind, 100);
    CHECK(plain.arrived.size() == 100);
    CHECK(plain.arrived.front() == std::pair<uint64_t, int>(7, 0));
    kind.jitter_ms = 30;
    CHECK(flow(kind, 1000).ordered());
    CHECK(flow(kind, 1000).arrived.back().first > 999 + 7);
    CHECK(flow(kind, 1000).arrived == flow(kind, 1000).arrived);
    CHECK(flow(kind, 1000).arrived != flow(kind, 1000, 100, 2).arrived);
    kind.late = 1000;
    kind.late_ms = 100;
    CHECK(!flow(kind, 1000).ordered());
    kind.duplicated = 2000;
    size_t doubled = flow(kind, 10000).arrived.size();
    CHECK(doubled > 11700);
    CHECK(doubled < 12300);
    line_kind lossy;
    lossy.loss = 2500;
    size_t left = flow(lossy, 10000).arrived.size();
    CHECK(left > 7300);
    CHECK(left < 7700);
}

TEST_CASE("sim: bursts of loss") {
    line_kind kind;
    kind.burst_begins = 100;
    kind.burst_ends = 1000;
    kind.burst_loss = 10000;
    flow bursty(kind, 20000);
    size_t lost = 20000 - bursty.arrived.size(), gaps = 0;
    for (size_t i = 1; i < bursty.arrived.size(); i++) gaps += bursty.arrived[i].second != bursty.arrived[i - 1].second + 1;
    CHECK(lost > 20000 / 15); // one in eleven: ten in a row
    CHECK(lost < 20000 / 8);
    CHECK(lost / gaps >= 7);
    CHECK(lost / gaps <= 13);
}

TEST_CASE("sim: a rate has a queue before it, and what does not fit there is lost") {
    line_kind kind;
    kind.bytes_per_ms = 50; // half of what is sent
    kind.queue_bytes = 5000;
    flow slow(kind, 1000);
    CHECK(slow.ordered());
    CHECK(slow.arrived.size() > 540);
    CHECK(slow.arrived.size() < 560); // 500 in the time, and 50 wait at its end
    CHECK(slow.arrived.back().first <= 1000 + 5000 / 50);
    for (size_t i = 1; i < slow.arrived.size(); i++) CHECK(slow.arrived[i].first == slow.arrived[i - 1].first + 2);
}

TEST_CASE("sim: a datagram dies where its hops end, and opens the routers before") {
    auto host_router = behind(nat::restricted("198.51.100.7")), client_router = behind(nat::restricted("192.0.2.55"));
    meeting m(host_router, client_router);
    REQUIRE(m.plays);
    gmpunch_address server;
    REQUIRE(gmpunch_client_server(m.client->client, &server, nullptr) == GMPUNCH_OK);
    for (uint32_t ttl = 1; ttl <= 12; ttl++) {
        client_router->restart();
        size_t heard = m.host->game.size(), sent = m.w.udp_packets;
        m.w.game(*m.client, server, 0, 0, bin("far"), ttl);
        CHECK(client_router->entries.size() == (ttl > 1));
        CHECK(m.w.udp_packets - sent == (ttl > 1));
        // the router's port is another now, which the host's router does not let in: open it
        for (auto &e : host_router->entries)
            for (auto &e2 : client_router->entries) e.sent.push_back({key(e2.outside), m.w.now});
        m.w.run(100);
        CHECK((m.host->game.size() > heard) == (ttl > 1 + m.w.core_hops + 1));
    }
}

TEST_CASE("sim: TCP in pieces, together, slow, and over lines that lose") {
    for (int how = 0; how < 5; how++) {
        world w;
        w.tcp.chunk = how == 0 ? SIZE_MAX : 3;
        w.tcp.gap_ms = how == 2 ? 7 : 0;
        w.tcp.together_ms = how == 3 ? 50 : 0;
        auto host_router = open_internet("198.51.100.7"), client_router = open_internet("192.0.2.55");
        if (how == 4) host_router->up.kind.loss = host_router->down.kind.loss = client_router->up.kind.loss = 3000;
        node &host = w.add_host(host_router);
        w.run(60000);
        CHECK(host.saw(GMPUNCH_EVENT_REGISTERED));
        CHECK(!host.saw(GMPUNCH_EVENT_UNREGISTERED));
        gmpunch_client_config config{};
        config.server = "198.51.100.7";
        config.timeout_ms = config.master_timeout_ms = 60000;
        node &client = w.add_client(client_router, config);
        CHECK(w.run([&] { return client.saw(GMPUNCH_EVENT_CONNECTED); }, 60000));
        w.run(20000);
        gmpunch_peer_info info{};
        REQUIRE(gmpunch_host_peer_info(host.host, 1, &info) == GMPUNCH_OK);
        CHECK(info.how == GMPUNCH_HOW_PUNCHED); // the introduction came, maybe after the knock
    }
}

TEST_CASE("sim: a line that is down for a while delays TCP, and ends it after a minute or so") {
    for (uint64_t down_ms : {20000u, 100000u}) {
        world w;
        auto router = open_internet("198.51.100.7");
        node &host = w.add_host(router);
        w.run(5000);
        router->up.up = router->down.up = false;
        w.later(down_ms, [&] { router->up.up = router->down.up = true; });
        w.run(55000); // there is a registration in it
        w.run(down_ms + 30000);
        CHECK(host.count(GMPUNCH_EVENT_REGISTERED) == (down_ms == 20000 ? 1 : 2));
        gmpunch_master_stats stats{};
        gmpunch_master_get_stats(w.master, &stats);
        CHECK(stats.hosts >= 1);
    }
}

TEST_CASE("sim: a host that takes nothing from the master is closed by it, and comes back") {
    world w;
    node &host = w.add_host(open_internet("198.51.100.7"));
    w.run(5000);
    host.tcp_reads = false;
    gmpunch_client_config config{};
    config.server = "198.51.100.7";
    node &client = w.add_client(open_internet("192.0.2.55"), config);
    CHECK(w.run([&] { return client.saw(GMPUNCH_EVENT_CONNECTED); }, 5000)); // the host is open: it needs no introduction
    CHECK(!host.saw(GMPUNCH_EVENT_INTRODUCED));
    CHECK(w.run([&] { return host.saw(GMPUNCH_EVENT_UNREGISTERED); }, 16000));
    gmpunch_master_stats stats{};
    gmpunch_master_get_stats(w.master, &stats);
    CHECK(stats.closed_write == 1);
    w.reads_again(host);
    CHECK(w.run([&] { return host.count(GMPUNCH_EVENT_REGISTERED) == 2; }, 5000));
}

TEST_CASE("sim: what may not be is noticed") {
    manners behaves;
    gmpunch_address peer = address("192.0.2.55:7000"), other = address("192.0.2.55:7001");
    bytes knock = with_header(bin("\xfd")), welcome = with_header(bin("\xfc"));
    CHECK_THROWS_AS(behaves.send(peer, knock.data(), knock.size()), broken);
    behaves.hear_master(bin("\xff"
                            "192.0.2.55\0"
                            "70"));
    CHECK_THROWS_AS(behaves.send(peer, knock.data(), knock.size()), broken);
    behaves.hear_master(bin("00\0"));
    behaves.send(peer, knock.data(), knock.size());
    CHECK_THROWS_AS(behaves.send(peer, welcome.data(), welcome.size()), broken);
    behaves.receive(other, bin("\xfd")); // raw
    behaves.send(other, welcome.data(), welcome.size());
    CHECK_THROWS_AS(behaves.send(other, welcome.data(), welcome.size()), broken);
}
