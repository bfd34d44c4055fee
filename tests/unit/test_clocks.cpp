// Clocks that jump forward or back, stand still, or start anywhere: each state machine, in each of its states, says what is right,
// sends no burst, and names no deadline that is over.
#include "../sim/world.hpp"

#include <algorithm>

namespace {

const uint64_t start = 5000000;
const uint64_t hour = 3600000, day = 24 * hour;

const bytes knock = with_header(bin("\xfd")), welcome = with_header(bin("\xfc"));

// One state machine, whichever, with what it said since it was asked last.
struct machine {
    uint64_t now = start;
    uint32_t connection = 0; // the last that it asked for
    size_t transmits = 0;
    std::vector<gmpunch_event> events;

    virtual ~machine() {}
    virtual void do_tick() = 0;
    virtual int32_t transmit(gmpunch_transmit *out) = 0;
    virtual int32_t event(gmpunch_event *out) = 0;
    virtual uint64_t deadline() const = 0;

    void drain() {
        for (gmpunch_transmit t; transmit(&t) > 0; transmits++)
            if (t.kind == GMPUNCH_TRANSMIT_TCP_OPEN) connection = t.connection;
        for (gmpunch_event e; event(&e) > 0;) events.push_back(e);
    }
    void tick() {
        do_tick();
        drain();
    }
    // Time goes on as it should.
    void run(uint64_t ms) {
        for (uint64_t end = now + ms;;) {
            uint64_t next = deadline();
            if (next > end) {
                now = end;
                tick();
                return;
            }
            now = std::max(now, next);
            tick();
            REQUIRE(deadline() > now);
        }
    }
    void forget() {
        transmits = 0;
        events.clear();
    }
    // The events since, by name and reason, each once.
    std::string story() const {
        std::string out;
        for (const gmpunch_event &e : events) {
            std::string one = gmpunch_event_name(e.type);
            if (e.reason) one += std::string("(") + gmpunch_reason_name(e.reason) + ")";
            if (out.find(one) == std::string::npos) out += (out.empty() ? "" : " ") + one;
        }
        return out;
    }
};

struct client_machine : machine {
    gmpunch_client *client = nullptr;
    explicit client_machine(uint16_t direct_port = 0, uint32_t timeout_ms = 0) {
        gmpunch_client_config config = gmpunch_client_config();
        config.master = "203.0.113.1";
        config.server = "198.51.100.7";
        config.direct_port = direct_port;
        config.timeout_ms = config.master_timeout_ms = timeout_ms;
        REQUIRE(gmpunch_client_create(&config, now, &client) == GMPUNCH_OK);
        drain();
    }
    ~client_machine() override { gmpunch_client_close(client); }
    void do_tick() override { gmpunch_client_tick(client, now); }
    int32_t transmit(gmpunch_transmit *out) override { return gmpunch_client_next_transmit(client, out); }
    int32_t event(gmpunch_event *out) override { return gmpunch_client_next_event(client, out); }
    uint64_t deadline() const override { return gmpunch_client_next_deadline(client); }

    void open() {
        REQUIRE(gmpunch_client_tcp_opened(client, now, connection) == GMPUNCH_OK);
        drain();
    }
    void found() {
        open();
        const bytes answer = bin("\xff"
                                 "198.51.100.7\0"
                                 "6611\0");
        REQUIRE(gmpunch_client_tcp_data(client, now, connection, answer.data(), answer.size()) == GMPUNCH_OK);
        drain();
    }
    void hear(const bytes &data) {
        const gmpunch_address from = address("198.51.100.7:6611");
        REQUIRE(gmpunch_client_input_udp(client, now, &from, 0, data.data(), data.size()) == GMPUNCH_CONSUMED);
        drain();
    }
    void connect() {
        found();
        hear(welcome);
        REQUIRE(gmpunch_client_stage(client) == GMPUNCH_STAGE_CONNECTED);
    }
};

struct direct_client_machine : client_machine {
    direct_client_machine() : client_machine(6611) {}
};

struct host_machine : machine {
    gmpunch_host *host = nullptr;
    host_machine() {
        gmpunch_host_config config = gmpunch_host_config();
        config.master = "203.0.113.1";
        REQUIRE(gmpunch_host_create(&config, now, &host) == GMPUNCH_OK);
        drain();
    }
    ~host_machine() override { gmpunch_host_close(host); }
    void do_tick() override { gmpunch_host_tick(host, now); }
    int32_t transmit(gmpunch_transmit *out) override { return gmpunch_host_next_transmit(host, out); }
    int32_t event(gmpunch_event *out) override { return gmpunch_host_next_event(host, out); }
    uint64_t deadline() const override { return gmpunch_host_next_deadline(host); }

    void open() {
        REQUIRE(gmpunch_host_tcp_opened(host, now, connection) == GMPUNCH_OK);
        drain();
    }
    void introduce(int clients) {
        for (int i = 0; i < clients; i++) {
            const std::string text = "\xff"
                                     "192.0.2." +
                                     std::to_string(i + 1);
            bytes message(text.begin(), text.end());
            message = message + bin("\0"
                                    "7000\0");
            REQUIRE(gmpunch_host_tcp_data(host, now, connection, message.data(), message.size()) == GMPUNCH_OK);
        }
        drain();
    }
    void hear(int peer) {
        gmpunch_address from = address("192.0.2.1:7000");
        from.ip[3] = uint8_t(peer + 1);
        REQUIRE(gmpunch_host_input_udp(host, now, &from, 0, knock.data(), knock.size()) == GMPUNCH_CONSUMED);
        drain();
    }
    // Peers that are seen to answer.
    void answering(int peers) {
        for (int i = 0; i < peers; i++) hear(i);
        for (int second = 0; second < 12; second++) {
            run(1000);
            for (int i = 0; i < peers; i++) hear(i);
        }
    }
};

struct lobby_machine : machine {
    gmpunch_lobby *lobby = nullptr;
    lobby_machine() {
        gmpunch_lobby_config config = gmpunch_lobby_config();
        config.master = "203.0.113.1";
        REQUIRE(gmpunch_lobby_create(&config, now, &lobby) == GMPUNCH_OK);
        drain();
    }
    ~lobby_machine() override { gmpunch_lobby_close(lobby); }
    void do_tick() override { gmpunch_lobby_tick(lobby, now); }
    int32_t transmit(gmpunch_transmit *out) override { return gmpunch_lobby_next_transmit(lobby, out); }
    int32_t event(gmpunch_event *out) override { return gmpunch_lobby_next_event(lobby, out); }
    uint64_t deadline() const override { return gmpunch_lobby_next_deadline(lobby); }

    void open() {
        REQUIRE(gmpunch_lobby_tcp_opened(lobby, now, connection) == GMPUNCH_OK);
        drain();
    }
    void half_an_answer() {
        open();
        const bytes part = bin("\xf9[{\"ip\":");
        REQUIRE(gmpunch_lobby_tcp_data(lobby, now, connection, part.data(), part.size()) == int32_t(part.size()));
        drain();
    }
};

struct master_machine : machine {
    gmpunch_master *master = nullptr;
    uint32_t connections = 0;
    master_machine() {
        gmpunch_master_config config = gmpunch_master_config();
        REQUIRE(gmpunch_master_create(&config, now, &master) == GMPUNCH_OK);
    }
    ~master_machine() override { gmpunch_master_close(master); }
    void do_tick() override { gmpunch_master_tick(master, now); }
    int32_t transmit(gmpunch_transmit *out) override { return gmpunch_master_next_transmit(master, out); }
    int32_t event(gmpunch_event *out) override { return gmpunch_master_next_event(master, out); }
    uint64_t deadline() const override { return gmpunch_master_next_deadline(master); }

    gmpunch_master_stats stats() const {
        gmpunch_master_stats all = gmpunch_master_stats();
        REQUIRE(gmpunch_master_get_stats(master, &all) == GMPUNCH_OK);
        return all;
    }
    void udp(uint8_t last, const bytes &line) {
        gmpunch_address from = address("192.0.2.1:7000");
        from.ip[3] = last;
        bytes data = with_header(line);
        REQUIRE(gmpunch_master_input_udp(master, now, &from, 0, data.data(), data.size()) == GMPUNCH_CONSUMED);
    }
    void tcp(uint8_t last, const bytes &data) {
        gmpunch_address from = address("192.0.2.1:50000");
        from.ip[3] = last;
        REQUIRE(gmpunch_master_tcp_accepted(master, now, &from, &connections) == GMPUNCH_OK);
        REQUIRE(gmpunch_master_tcp_data(master, now, connections, data.data(), data.size()) == GMPUNCH_OK);
        drain();
    }
    void hosts(uint8_t count) {
        for (uint8_t i = 1; i <= count; i++) {
            udp(i, bin("reg\n\0"));
            tcp(i, bin("reg\n\0"));
        }
    }
};

template <class kind>
std::unique_ptr<kind> fresh() {
    return std::unique_ptr<kind>(new kind);
}

// What a machine in some state says of a jump of an hour or more, at once, and then within a minute; and how much it may send.
template <class kind>
struct state {
    std::string name;
    std::function<void(kind &)> make;
    std::string at_once;
    std::string in_a_minute;
    size_t most_at_once; // transmits
};

template <class kind>
void check_jumps(const std::vector<state<kind>> &states) {
    for (const state<kind> &one : states) {
        CAPTURE(one.name);
        for (uint64_t jump : {hour, day, (uint64_t(1) << 31) - 1, uint64_t(1) << 31, (uint64_t(1) << 32) - 1,
                              uint64_t(1) << 32, (uint64_t(1) << 32) + 1, uint64_t(1) << 40, uint64_t(1) << 62}) {
            CAPTURE(jump);
            kind m;
            one.make(m);
            m.forget();
            m.now += jump;
            m.tick();
            CHECK(m.story() == one.at_once);
            CHECK(m.transmits <= one.most_at_once);
            CHECK(m.deadline() > m.now);
            m.transmits = 0;
            m.tick(); // and that was all
            CHECK(m.transmits == 0);
            m.forget();
            m.run(60000);
            CHECK(m.story() == one.in_a_minute);
        }
        kind last;
        one.make(last);
        for (uint64_t now : {UINT64_MAX - 1, UINT64_MAX}) { // the end of time
            last.now = now;
            last.forget();
            last.tick();
            CHECK(last.transmits <= one.most_at_once + 1);
        }
        // back, and standing still: nothing happens, and nothing is late afterwards
        kind still, proper;
        one.make(still);
        one.make(proper);
        uint64_t deadline = still.deadline(), was = still.now;
        for (uint64_t now : {was, was - 1, was - hour, uint64_t(1), uint64_t(0), was}) {
            still.forget();
            still.now = now;
            still.tick();
            still.tick();
            CHECK(still.story() == "");
            CHECK(still.transmits == 0);
            CHECK(still.deadline() == deadline);
        }
        still.now = was;
        proper.forget();
        still.run(30000);
        proper.run(30000);
        CHECK(still.story() == proper.story());
        CHECK(still.transmits == proper.transmits);
    }
}

} // namespace

TEST_CASE("clocks: a client, in each of its stages") {
    check_jumps<client_machine>({
        {"asks", [](client_machine &) {}, "failed(master_unreachable)", "", 1},
        {"asked", [](client_machine &m) { m.open(); }, "failed(master_silent)", "", 1},
        {"knocks", [](client_machine &m) { m.found(); }, "failed(host_silent)", "", 1},
        {"hears knocks", [](client_machine &m) { m.found(), m.hear(knock); }, "failed(host_one_way)", "", 1},
        {"connected, classic host", [](client_machine &m) { m.connect(); }, "", "", 1},
        {"connected, host that answers", [](client_machine &m) { m.connect(), m.run(6000), m.hear(welcome); },
         "lost(timeout)", "", 1},
        {"failed", [](client_machine &m) { m.run(20000); }, "", "", 0},
    });
    check_jumps<direct_client_machine>({
        {"asks", [](client_machine &) {}, "fallback(master_unreachable) failed(host_silent)", "", 2},
        {"knocks", [](client_machine &m) { m.run(6000); }, "failed(host_silent)", "", 2},
    });
}

TEST_CASE("clocks: a host, alone and with peers") {
    check_jumps<host_machine>({
        {"connects", [](host_machine &) {}, "unregistered(master_unreachable)", "unregistered(master_unreachable)", 3},
        {"registered", [](host_machine &m) { m.open(); }, "", "", 4},
        {"introduced", [](host_machine &m) { m.open(), m.introduce(20); }, "introduction_expired(host_silent)", "", 24},
        {"classic peers",
         [](host_machine &m) {
             m.open();
             for (int i = 0; i < 20; i++) m.hear(i);
         },
         "left(timeout)", "", 24},
        {"peers that answer", [](host_machine &m) { m.open(), m.answering(20); }, "left(timeout)", "", 24},
    });
}

TEST_CASE("clocks: a lobby, before and in the answer") {
    check_jumps<lobby_machine>({
        // an hour is more than any list may take
        {"connects", [](lobby_machine &) {}, "failed(limit)", "", 1},
        {"asked", [](lobby_machine &m) { m.open(); }, "failed(limit)", "", 1},
        {"in the answer", [](lobby_machine &m) { m.half_an_answer(); }, "failed(limit)", "", 1},
    });
}

TEST_CASE("clocks: a master, with hosts, requests, half commands, and none") {
    check_jumps<master_machine>({
        {"alone", [](master_machine &) {}, "", "", 0},
        {"ports", [](master_machine &m) { m.udp(1, bin("reg\n\0")), m.udp(2, bin("connect\n\0")); }, "", "", 0},
        {"idle connections",
         [](master_machine &m) {
             for (uint8_t i = 1; i <= 20; i++) m.tcp(i, bin("version\n"));
         },
         "", "", 20},
        {"half a command", [](master_machine &m) { m.tcp(1, bin("connect\n192.")); }, "", "", 1},
        {"hosts", [](master_machine &m) { m.hosts(20); }, "host_removed(timeout)", "", 20},
        {"a request on hold", [](master_machine &m) { m.hosts(1), m.tcp(9, bin("connect\n192.0.2.1\n")); },
         "introduction host_removed(timeout)", "", 3},
    });
}

TEST_CASE("clocks: after a jump a host and a master go on as before") {
    for (uint64_t jump : {hour, day, uint64_t(1) << 32, uint64_t(1) << 40}) {
        CAPTURE(jump);
        sim::world w;
        sim::node &host = w.add_host(sim::open_internet("198.51.100.7"));
        w.run(5000);
        w.now += jump;
        w.run(70000); // the host connects again where the master closed it
        gmpunch_client_config config = gmpunch_client_config();
        config.server = "198.51.100.7";
        sim::node &client = w.add_client(sim::open_internet("192.0.2.55"), config);
        CHECK(w.run([&] { return client.saw(GMPUNCH_EVENT_CONNECTED); }, 5000));
        CHECK(host.count(GMPUNCH_EVENT_JOINED) == 1);
    }
}

TEST_CASE("clocks: it does not matter where a clock starts") {
    std::vector<std::string> stories;
    for (uint64_t begin : {uint64_t(0), uint64_t(1), (uint64_t(1) << 31) - 3000, (uint64_t(1) << 32) - 3000,
                           (uint64_t(1) << 53) - 3000, (uint64_t(1) << 63) - 3000, UINT64_MAX - day}) {
        CAPTURE(begin);
        std::string story;
        {
            sim::world w([begin](uint64_t) {
                return std::unique_ptr<sim::master_program>(new sim::gmpunch_master_program(gmpunch_master_config(), begin));
            });
            w.now = begin;
            sim::node &host = w.add_host(sim::open_internet("198.51.100.7"));
            w.run(5000);
            gmpunch_client_config config = gmpunch_client_config();
            config.server = "198.51.100.7";
            sim::node &client = w.add_client(sim::open_internet("192.0.2.55"), config);
            w.run(3600000);
            for (sim::node *one : {&host, &client})
                for (const gmpunch_event &e : one->events)
                    story += std::string(gmpunch_event_name(e.type)) + " " + std::to_string(e.elapsed_ms) + ", ";
            story += std::to_string(w.udp_packets) + " datagrams";
        }
        stories.push_back(story);
        CHECK(story == stories[0]);
    }
    CHECK(stories[0].find("connected") != std::string::npos);
}

TEST_CASE("clocks: a client that never gives up asks an unreachable master again and again, for a day") {
    client_machine m(0, GMPUNCH_NEVER);
    size_t asked = 0;
    uint64_t end = start + day;
    for (uint32_t last = 0; m.now < end; m.now = std::max(m.now, m.deadline()), m.tick()) {
        if (m.connection == last) continue;
        uint64_t since = m.now;
        last = m.connection;
        asked++;
        REQUIRE(gmpunch_client_tcp_closed(m.client, m.now, last, 111) == GMPUNCH_OK);
        m.drain();
        REQUIRE(m.deadline() > since);
    }
    CHECK(asked > 24 * 12); // at least every five minutes
    CHECK(asked < 24 * 60 * 4);
}
