// Memory, limits of the configs, wrong calls, and the texts for people.
#include "../sim/world.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

#if !defined(_WIN32)
#include <dirent.h>
#endif

namespace {

// An allocator that knows what it gave, and can be told to give nothing.
struct ledger {
    std::map<void *, size_t> given;
    size_t allocations = 0, frees = 0, wrong_frees = 0, bytes_now = 0;
    size_t fail_from = SIZE_MAX; // from this allocation on, counted from 0
    size_t refused = 0;

    gmpunch_allocator allocator() {
        gmpunch_allocator made = gmpunch_allocator();
        made.alloc = [](size_t size, void *user) { return static_cast<ledger *>(user)->take(size); };
        made.free = [](void *memory, size_t size, void *user) { static_cast<ledger *>(user)->give(memory, size); };
        made.user = this;
        return made;
    }

private:
    void *take(size_t size) {
        if (allocations >= fail_from) {
            refused++;
            return nullptr;
        }
        void *memory = std::malloc(size);
        std::memset(memory, 0xa5, size); // nobody may rely on zeros
        allocations++;
        bytes_now += size;
        given[memory] = size;
        return memory;
    }
    void give(void *memory, size_t size) {
        std::map<void *, size_t>::iterator found = given.find(memory);
        if (found == given.end() || found->second != size) {
            wrong_frees++;
            return;
        }
        frees++;
        bytes_now -= size;
        given.erase(found);
        std::free(memory);
    }
};

gmpunch_client_config client_config() {
    gmpunch_client_config config = gmpunch_client_config();
    config.master = "127.0.0.1:1";
    config.server = "127.0.0.1";
    return config;
}

// For the four kinds of objects the same questions: made by _create or, with sockets, by _open.
struct client_kind {
    typedef gmpunch_client object;
    typedef gmpunch_client_config config;
    static config valid() { return client_config(); }
    static int32_t make(const config *given, int32_t sockets, object **out) {
        return sockets ? gmpunch_client_open(given, out) : gmpunch_client_create(given, 1, out);
    }
    static void close(object *made) { gmpunch_client_close(made); }
    static size_t memory_size(const config *given, int32_t sockets) { return gmpunch_client_memory_size(given, sockets); }
};

struct host_kind {
    typedef gmpunch_host object;
    typedef gmpunch_host_config config;
    static config valid() { return config(); }
    static int32_t make(const config *given, int32_t sockets, object **out) {
        return sockets ? gmpunch_host_open(given, out) : gmpunch_host_create(given, 1, out);
    }
    static void close(object *made) { gmpunch_host_close(made); }
    static size_t memory_size(const config *given, int32_t sockets) { return gmpunch_host_memory_size(given, sockets); }
};

struct lobby_kind {
    typedef gmpunch_lobby object;
    typedef gmpunch_lobby_config config;
    static config valid() {
        config made = config();
        made.master = "127.0.0.1:1";
        return made;
    }
    static int32_t make(const config *given, int32_t sockets, object **out) {
        return sockets ? gmpunch_lobby_open(given, out) : gmpunch_lobby_create(given, 1, out);
    }
    static void close(object *made) { gmpunch_lobby_close(made); }
    static size_t memory_size(const config *given, int32_t sockets) { return gmpunch_lobby_memory_size(given, sockets); }
};

struct master_kind {
    typedef gmpunch_master object;
    typedef gmpunch_master_config config;
    static config valid() {
        config made = config();
        made.bind_address = "127.0.0.1";
        made.any_port = 1;
        return made;
    }
    static int32_t make(const config *given, int32_t sockets, object **out) {
        return sockets ? gmpunch_master_open(given, out) : gmpunch_master_create(given, 1, out);
    }
    static void close(object *made) { gmpunch_master_close(made); }
    static size_t memory_size(const config *, int32_t) { return 1; } // has no such function
};

// What making an object gives; whatever it gives, nothing stays behind.
template <class kind>
int32_t try_make(const typename kind::config &config, int32_t sockets) {
    typename kind::object *made = reinterpret_cast<typename kind::object *>(1);
    int32_t result = kind::make(&config, sockets, &made);
    CHECK((result == GMPUNCH_OK) == (made != nullptr)); // set to NULL where nothing was made
    kind::close(made);
    return result;
}

// 0 where the system has no list of them.
size_t count_open_descriptors() {
    size_t count = 0;
#if !defined(_WIN32)
    DIR *directory = opendir("/proc/self/fd");
    while (directory && readdir(directory)) count++;
    if (directory) closedir(directory);
#endif
    return count;
}

} // namespace

// ---- memory ----

TEST_CASE("limits: a client and a host with default limits need at most 16 KiB") {
    gmpunch_client_config client = client_config();
    gmpunch_host_config host = gmpunch_host_config();
    for (int32_t sockets = 0; sockets < 2; sockets++) {
        CAPTURE(sockets);
        CHECK(gmpunch_client_memory_size(&client, sockets) > 1000);
        CHECK(gmpunch_client_memory_size(&client, sockets) <= 16384);
        CHECK(gmpunch_host_memory_size(&host, sockets) > 1000);
        CHECK(gmpunch_host_memory_size(&host, sockets) <= 16384);
    }
    CHECK(gmpunch_client_memory_size(&client, 1) > gmpunch_client_memory_size(&client, 0));
    CHECK(gmpunch_host_memory_size(&host, 1) > gmpunch_host_memory_size(&host, 0));
}

TEST_CASE("limits: one allocation at creation and none in a day of sessions, all freed with the right size") {
    ledger host_memory, client_memory, late_memory;
    {
        sim::world w;
        auto host_router = std::make_shared<sim::nat>("198.51.100.7"),
             client_router = std::make_shared<sim::nat>("192.0.2.55");
        gmpunch_host_config host_config = gmpunch_host_config();
        host_config.allocator = host_memory.allocator();
        host_config.data[0] = "first";
        sim::node &host = w.add_host(host_router, host_config);
        CHECK(host_memory.allocations == 1);
        CHECK(host_memory.bytes_now == gmpunch_host_memory_size(&host_config, 0));
        w.run(5000);
        gmpunch_client_config client_config = gmpunch_client_config();
        client_config.server = "198.51.100.7";
        client_config.allocator = client_memory.allocator();
        sim::node &client = w.add_client(client_router, client_config);
        CHECK(client_memory.allocations == 1);
        client_config.master = "203.0.113.1";
        CHECK(client_memory.bytes_now == gmpunch_client_memory_size(&client_config, 0));
        REQUIRE(w.run([&] { return gmpunch_client_stage(client.client) == GMPUNCH_STAGE_CONNECTED; }, 10000));
        for (int hour = 0; hour < 24; hour++) {
            if (hour % 5 == 1) w.restart_master();
            if (hour % 5 == 2) {
                gmpunch_host_set_data(host.host, 1 + uint32_t(hour) % 8, "a text that is longer than the one before");
                gmpunch_host_commit_data(host.host, w.now);
                gmpunch_client_request_data(client.client, w.now);
            }
            w.run(3600000);
        }
        // peers come, are too many, are kicked, leave
        for (uint16_t port = 1; port <= 200; port++) {
            gmpunch_address from = address("192.0.2.99", port);
            bytes knock = with_header(bin("\xfd"));
            host.behaves.receive(from, knock);
            gmpunch_host_input_udp(host.host, w.now, &from, 0, knock.data(), knock.size());
            if (port % 3 == 0) gmpunch_host_kick(host.host, w.now, gmpunch_host_find_peer(host.host, &from));
        }
        w.run(10000);
        // and a client that has to give up
        client_config.allocator = late_memory.allocator();
        client_config.server = "198.51.100.77";
        sim::node &late = w.add_client(client_router, client_config, 7100);
        REQUIRE(w.run([&] { return gmpunch_client_stage(late.client) == GMPUNCH_STAGE_FAILED; }, 100000));
        w.run(600000);
        CHECK(gmpunch_client_stage(client.client) == GMPUNCH_STAGE_CONNECTED);
    }
    for (const ledger *memory : {&host_memory, &client_memory, &late_memory}) {
        CHECK(memory->allocations == 1);
        CHECK(memory->frees == 1);
        CHECK(memory->wrong_frees == 0);
        CHECK(memory->bytes_now == 0);
    }
}

TEST_CASE("limits: one allocation at opening and none in a session on sockets, all freed with the right size") {
    ledger master_memory, host_memory, client_memory;
    gmpunch_master_config master_config = master_kind::valid();
    gmpunch_host_config host_config = gmpunch_host_config();
    gmpunch_client_config client_config = gmpunch_client_config();
    gmpunch_master *master;
    gmpunch_host *host;
    gmpunch_client *client;
    gmpunch_event event;
    gmpunch_address at;
    master_config.allocator = master_memory.allocator();
    REQUIRE(gmpunch_master_open(&master_config, &master) == GMPUNCH_OK);
    REQUIRE(gmpunch_master_local_address(master, 0, &at) == GMPUNCH_OK);
    std::string master_text = text(at);
    host_config.allocator = host_memory.allocator();
    host_config.master = master_text.c_str();
    host_config.bind_address = "127.0.0.1";
    host_config.data[0] = "a map";
    REQUIRE(gmpunch_host_open(&host_config, &host) == GMPUNCH_OK);
    CHECK(host_memory.allocations == 1);
    CHECK(host_memory.bytes_now == gmpunch_host_memory_size(&host_config, 1));
    uint64_t end = gmpunch_now() + 10000;
    bool ready = false, answered = false, echoed = false, left = false;
    gmpunch_master_stats stats = gmpunch_master_stats();
    while (!ready && gmpunch_now() < end) {
        gmpunch_master_poll(master, nullptr, 2);
        gmpunch_host_poll(host, &event, 2);
        gmpunch_master_get_stats(master, &stats);
        ready = stats.hosts == 1 && stats.ports == 1;
    }
    client_config.allocator = client_memory.allocator();
    client_config.master = master_text.c_str();
    client_config.server = client_config.bind_address = "127.0.0.1";
    REQUIRE(gmpunch_client_open(&client_config, &client) == GMPUNCH_OK);
    CHECK(client_memory.allocations == 1);
    CHECK(client_memory.bytes_now == gmpunch_client_memory_size(&client_config, 1));
    while (!left && gmpunch_now() < end) {
        while (gmpunch_master_poll(master, &event, 0) > 0) {}
        while (gmpunch_host_poll(host, &event, 0) > 0) {
            if (event.type == GMPUNCH_EVENT_DATA) gmpunch_host_send_all(host, event.data, event.len);
            left = left || event.type == GMPUNCH_EVENT_LEFT;
        }
        while (gmpunch_client_poll(client, &event, 2) > 0) {
            if (event.type == GMPUNCH_EVENT_CONNECTED) gmpunch_client_request_data(client, gmpunch_now());
            if (event.type == GMPUNCH_EVENT_HOST_DATA) {
                answered = std::string(gmpunch_event_string(&event, 1)) == "a map";
                for (int i = 0; i < 50; i++) gmpunch_client_send(client, "echo", 4);
            }
            if (event.type == GMPUNCH_EVENT_DATA && !echoed) {
                echoed = true;
                gmpunch_client_local_address(client, &at);
                gmpunch_host_kick(host, gmpunch_now(), gmpunch_host_find_peer(host, &at));
                gmpunch_host_set_data(host, 1, "another map");
                gmpunch_host_commit_data(host, gmpunch_now());
            }
        }
    }
    CHECK(answered);
    CHECK(echoed);
    CHECK(left);
    gmpunch_master_get_stats(master, &stats);
    CHECK(stats.memory == master_memory.bytes_now);
    gmpunch_master_close(master);
    gmpunch_client_poll(client, &event, 0);
    gmpunch_host_poll(host, &event, 20);
    CHECK(host_memory.allocations == 1);
    CHECK(client_memory.allocations == 1);
    gmpunch_client_close(client);
    gmpunch_host_close(host);
    for (const ledger *memory : {&master_memory, &host_memory, &client_memory}) {
        CHECK(memory->frees == memory->allocations);
        CHECK(memory->wrong_frees == 0);
        CHECK(memory->bytes_now == 0);
    }
}

namespace {

template <class kind>
void check_caller_memory() {
    for (int32_t sockets = 0; sockets < 2; sockets++) {
        CAPTURE(sockets);
        ledger unused;
        typename kind::config config = kind::valid();
        config.allocator = unused.allocator();
        size_t size = kind::memory_size(&config, sockets);
        std::vector<uint64_t> block(size / 8 + 4, 0x5a5a5a5a5a5a5a5au); // aligned for pointers, and more than asked for
        std::vector<uint64_t> before = block;
        uint8_t *memory = reinterpret_cast<uint8_t *>(block.data());
        config.memory = memory;
        config.memory_size = size;
        CHECK(kind::memory_size(&config, sockets) == size); // does not depend on where it is
        typename kind::object *made = nullptr;
        REQUIRE(kind::make(&config, sockets, &made) == GMPUNCH_OK);
        CHECK(static_cast<void *>(made) == config.memory);
        kind::close(made);
        CHECK(std::memcmp(memory + size, reinterpret_cast<uint8_t *>(before.data()) + size, block.size() * 8 - size) == 0);
        config.memory_size = size + 8;
        CHECK(try_make<kind>(config, sockets) == GMPUNCH_OK);
        for (size_t less : {size_t(1), size_t(16), size - 1, size}) {
            config.memory_size = size - less;
            CHECK(try_make<kind>(config, sockets) == GMPUNCH_ERR_MEMORY);
        }
        config.memory_size = size;
        for (size_t off = 1; off < sizeof(void *); off++) {
            config.memory = memory + off;
            CHECK(try_make<kind>(config, sockets) == GMPUNCH_ERR_MEMORY);
        }
        // with memory of the caller no allocator is needed, so half of one does no harm
        config.memory = memory;
        config.allocator.free = nullptr;
        CHECK(try_make<kind>(config, sockets) == GMPUNCH_OK);
        CHECK(unused.allocations == 0);
        CHECK(unused.wrong_frees == 0);
    }
}

} // namespace

TEST_CASE("limits: memory of the caller is enough to the byte, and is checked") {
    check_caller_memory<client_kind>();
    check_caller_memory<host_kind>();
    check_caller_memory<lobby_kind>();
}

TEST_CASE("limits: memory of the caller carries a whole session and is left alone afterwards") {
    // of exactly the size: one byte too far is found by a sanitizer
    gmpunch_host_config host_config = gmpunch_host_config();
    gmpunch_client_config client_config = gmpunch_client_config();
    size_t host_size = gmpunch_host_memory_size(&host_config, 1);
    host_config.memory = std::malloc(host_size);
    host_config.memory_size = host_size;
    host_config.bind_address = "127.0.0.1";
    gmpunch_host *host;
    gmpunch_client *client;
    gmpunch_address at;
    REQUIRE(gmpunch_host_open(&host_config, &host) == GMPUNCH_OK);
    REQUIRE(gmpunch_host_local_address(host, &at) == GMPUNCH_OK);
    client_config.server = client_config.bind_address = "127.0.0.1";
    client_config.direct_only = 1;
    client_config.direct_port = at.port;
    size_t client_size = gmpunch_client_memory_size(&client_config, 1);
    client_config.memory = std::malloc(client_size);
    client_config.memory_size = client_size;
    REQUIRE(gmpunch_client_open(&client_config, &client) == GMPUNCH_OK);
    bytes largest(2048, 'x');
    size_t got = 0;
    gmpunch_event event;
    for (uint64_t end = gmpunch_now() + 10000; got < 10 && gmpunch_now() < end;) {
        while (gmpunch_client_poll(client, &event, 2) > 0) {
            if (event.type == GMPUNCH_EVENT_CONNECTED || event.type == GMPUNCH_EVENT_DATA)
                CHECK(gmpunch_client_send(client, largest.data(), largest.size()) == GMPUNCH_OK);
        }
        while (gmpunch_host_poll(host, &event, 2) > 0) {
            if (event.type != GMPUNCH_EVENT_DATA) continue;
            got++;
            CHECK(bytes(event.data, event.data + event.len) == largest);
            CHECK(gmpunch_host_send(host, event.peer, event.data, event.len) == GMPUNCH_OK);
        }
    }
    CHECK(got == 10);
    gmpunch_client_close(client);
    gmpunch_host_close(host);
    std::free(host_config.memory);
    std::free(client_config.memory);
}

namespace {

// Each allocation in turn is the first that fails.
template <class kind>
void check_failing_allocator() {
    for (int32_t sockets = 0; sockets < 2; sockets++) {
        CAPTURE(sockets);
        size_t before = count_open_descriptors(), needed = 0;
        for (int32_t result = GMPUNCH_ERR_MEMORY; result; needed++) {
            CAPTURE(needed);
            ledger failing;
            failing.fail_from = needed;
            typename kind::config config = kind::valid();
            config.allocator = failing.allocator();
            result = try_make<kind>(config, sockets);
            CHECK((result == GMPUNCH_OK || result == GMPUNCH_ERR_MEMORY));
            CHECK((result == GMPUNCH_OK) == (failing.refused == 0));
            CHECK(failing.bytes_now == 0);
            CHECK(failing.wrong_frees == 0);
            REQUIRE(needed < 20);
        }
        CHECK(needed >= 2); // at least once it failed
        CHECK(count_open_descriptors() == before);
    }
}

} // namespace

TEST_CASE("limits: an allocator that gives nothing is told as ERR_MEMORY, and leaves nothing open") {
    check_failing_allocator<client_kind>();
    check_failing_allocator<host_kind>();
    check_failing_allocator<lobby_kind>();
    check_failing_allocator<master_kind>();
}

TEST_CASE("limits: a master whose memory ends goes on with what it has") {
    for (size_t budget = 4; budget < 17; budget++) {
        CAPTURE(budget);
        ledger memory;
        memory.fail_from = budget;
        gmpunch_master_config config = gmpunch_master_config();
        config.allocator = memory.allocator();
        gmpunch_master *master = nullptr;
        REQUIRE(gmpunch_master_create(&config, 1, &master) == GMPUNCH_OK);
        gmpunch_transmit transmit;
        uint64_t now = 1;
        uint32_t accepted = 0;
        for (uint8_t i = 0; i < 200; i++) {
            gmpunch_address from = address("192.0.2.1:4000");
            from.ip[3] = i;
            bytes connect = with_header(bin("connect\n\0")), reg = with_header(bin("reg\n\0"));
            gmpunch_master_input_udp(master, ++now, &from, 0, connect.data(), connect.size());
            gmpunch_master_input_udp(master, now, &from, 0, reg.data(), reg.size());
            uint32_t connection = 99;
            int32_t result = gmpunch_master_tcp_accepted(master, now, &from, &connection);
            if (result == GMPUNCH_OK) {
                accepted++;
                for (const bytes &data : {bin("reg\n"), bin("connect\n"), bin("192.0.2."), bin("0\nversion\nistesting\nre")})
                    gmpunch_master_tcp_data(master, now, connection, data.data(), data.size());
            } else {
                CHECK(result == GMPUNCH_ERR_MEMORY);
                CHECK(connection == 0);
            }
            while (gmpunch_master_next_transmit(master, &transmit) > 0) {}
            gmpunch_master_tick(master, now);
        }
        gmpunch_master_stats stats = gmpunch_master_stats();
        REQUIRE(gmpunch_master_get_stats(master, &stats) == GMPUNCH_OK);
        CHECK(stats.accepted == accepted);
        CHECK(stats.refused_memory == memory.refused);
        CHECK(memory.refused > 0);
        CHECK(stats.memory == memory.bytes_now);
        gmpunch_master_close(master);
        CHECK(memory.bytes_now == 0);
        CHECK(memory.wrong_frees == 0);
    }
}

// ---- configs ----

namespace {

template <class kind>
void check_struct_size(size_t after_required) {
    typename kind::config config = kind::valid();
    size_t default_size = kind::memory_size(&config, 1);
    config.struct_size = sizeof config;
    CHECK(try_make<kind>(config, 0) == GMPUNCH_OK);
    CHECK(try_make<kind>(config, 1) == GMPUNCH_OK);
    for (uint32_t wrong : {1u, 2u, 3u, uint32_t(sizeof config) + 1, uint32_t(sizeof config) + 8, 0x10000u, 0x7fffffffu,
                           0x80000000u, 0xdeadbeefu, 0xffffffffu}) {
        CAPTURE(wrong);
        config.struct_size = wrong;
        CHECK(try_make<kind>(config, 0) == GMPUNCH_ERR_CONFIG);
        CHECK(try_make<kind>(config, 1) == GMPUNCH_ERR_CONFIG);
        CHECK((kind::memory_size(&config, 0) == 0 || kind::memory_size(&config, 0) == 1));
    }
    // an older caller: what it does not have counts as 0, whatever stands behind its struct
    for (size_t size = after_required; size < sizeof config; size += 4) {
        CAPTURE(size);
        std::vector<uint8_t> older(size);
        typename kind::config valid = kind::valid();
        valid.struct_size = uint32_t(size);
        std::memcpy(older.data(), &valid, size); // on the heap, so that reading on is found by a sanitizer
        const typename kind::config *given = reinterpret_cast<const typename kind::config *>(older.data());
        typename kind::object *made = nullptr;
        CHECK(kind::make(given, 0, &made) == GMPUNCH_OK);
        kind::close(made);
        CHECK(kind::memory_size(given, 1) == default_size);
    }
    typename kind::config garbage;
    std::memset(&garbage, 0xff, sizeof garbage);
    typename kind::config valid = kind::valid();
    valid.struct_size = uint32_t(after_required);
    std::memcpy(&garbage, &valid, after_required);
    CHECK(try_make<kind>(garbage, 0) == GMPUNCH_OK);
    CHECK(try_make<kind>(garbage, 1) == GMPUNCH_OK);
}

template <class stats, class get>
void check_stats_size(const char *name, get fill) {
    CAPTURE(std::string(name));
    stats out;
    std::memset(&out, 0xee, sizeof out);
    out.struct_size = 0;
    CHECK(fill(&out) == GMPUNCH_OK);
    CHECK(out.struct_size == 0);
    for (uint32_t wrong : {1u, 3u, uint32_t(sizeof out) + 4, 0xffffffffu}) {
        std::memset(&out, 0xee, sizeof out);
        out.struct_size = wrong;
        CHECK(fill(&out) == GMPUNCH_ERR_CONFIG);
        CHECK(out.struct_size == wrong);
        CHECK(reinterpret_cast<const uint8_t *>(&out)[4] == 0xee); // nothing written
    }
    // an older caller has less room: nothing is written behind it
    for (uint32_t size = 4; size <= sizeof out; size += 4) {
        std::memset(&out, 0xee, sizeof out);
        out.struct_size = size;
        CHECK(fill(&out) == GMPUNCH_OK);
        CHECK(out.struct_size == size);
        const uint8_t *raw = reinterpret_cast<const uint8_t *>(&out);
        bool kept = true;
        for (size_t i = size; i < sizeof out; i++) kept = kept && raw[i] == 0xee;
        CHECK(kept);
    }
}

} // namespace

TEST_CASE("limits: struct_size tells an older config from a wrong one") {
    check_struct_size<client_kind>(offsetof(gmpunch_client_config, bind_port));
    check_struct_size<host_kind>(4);
    check_struct_size<master_kind>(offsetof(gmpunch_master_config, port));
}

TEST_CASE("limits: struct_size of statistics and peer infos") {
    gmpunch_client_config client_config = ::client_config();
    gmpunch_host_config host_config = gmpunch_host_config();
    gmpunch_master_config master_config = gmpunch_master_config();
    gmpunch_client *client;
    gmpunch_host *host;
    gmpunch_master *master;
    REQUIRE(gmpunch_client_create(&client_config, 1, &client) == GMPUNCH_OK);
    REQUIRE(gmpunch_host_create(&host_config, 1, &host) == GMPUNCH_OK);
    REQUIRE(gmpunch_master_create(&master_config, 1, &master) == GMPUNCH_OK);
    gmpunch_address from = address("192.0.2.1:4000");
    const uint8_t knock = 0xfd;
    REQUIRE(gmpunch_host_input_udp(host, 1, &from, 0, &knock, 1) == GMPUNCH_CONSUMED);
    uint32_t peer = gmpunch_host_find_peer(host, &from);
    check_stats_size<gmpunch_client_stats>("client",
                                           [=](gmpunch_client_stats *s) { return gmpunch_client_get_stats(client, s); });
    check_stats_size<gmpunch_host_stats>("host", [=](gmpunch_host_stats *s) { return gmpunch_host_get_stats(host, s); });
    check_stats_size<gmpunch_master_stats>("master",
                                           [=](gmpunch_master_stats *s) { return gmpunch_master_get_stats(master, s); });
    check_stats_size<gmpunch_peer_info>("peer", [=](gmpunch_peer_info *s) { return gmpunch_host_peer_info(host, peer, s); });
    gmpunch_client_close(client);
    gmpunch_host_close(host);
    gmpunch_master_close(master);
}

namespace {

template <class kind>
struct change {
    const char *what;
    void (*apply)(typename kind::config *config);
};

// Each change alone makes a valid config wrong; `sized`: so wrong that there is no size for it either.
template <class kind>
void check_refused(const std::vector<change<kind>> &changes, bool sized, int32_t expected = GMPUNCH_ERR_CONFIG) {
    for (const change<kind> &one : changes) {
        CAPTURE(std::string(one.what));
        ledger memory;
        typename kind::config config = kind::valid();
        config.allocator = memory.allocator();
        one.apply(&config);
        CHECK(try_make<kind>(config, 0) == expected);
        CHECK(try_make<kind>(config, 1) == expected);
        if (sized) CHECK((kind::memory_size(&config, 0) == 0 || kind::memory_size(&config, 0) == 1));
        CHECK(memory.bytes_now == 0);
    }
}

template <class kind>
void check_accepted(const std::vector<change<kind>> &changes) {
    for (const change<kind> &one : changes) {
        CAPTURE(std::string(one.what));
        typename kind::config config = kind::valid();
        one.apply(&config);
        CHECK(try_make<kind>(config, 0) == GMPUNCH_OK);
        CHECK(kind::memory_size(&config, 0) > 0);
    }
}

#define SET(text) #text, [](config_type * c) { text; }

} // namespace

TEST_CASE("limits: each field of a client's config that is out of range is refused") {
    typedef gmpunch_client_config config_type;
    check_refused<client_kind>({{SET(c->max_packet = GMPUNCH_MAX_PACKET + 1)},
                                {SET(c->max_packet = 0xffffffffu)},
                                {SET(c->max_sockets = 5)},
                                {SET(c->knock_rules = 8)},
                                {SET(c->max_sockets = 0xffffffffu)},
                                {SET(c->socket_mode = 3)},
                                {SET(c->socket_mode = 0xffffffffu)},
                                {SET(c->direct_only = 1)}}, // without direct_port
                               true);
    check_refused<client_kind>({{SET(c->allocator.free = nullptr)},
                                {SET(c->allocator.alloc = nullptr)},
                                {SET(c->server = nullptr)},
                                {SET(c->server = "")},
                                {SET(c->server = "192.0.2.1:7")}, // the port is direct_port
                                {SET(c->server = "192.0.2.256")},
                                {SET(c->server = "192.0.2")},
                                {SET(c->server = "[::1")},
                                {SET(c->server = "a b")},
                                {SET(c->master = nullptr)},
                                {SET(c->master = "")},
                                {SET(c->master = ":6510")},
                                {SET(c->master = "192.0.2.1:0")},
                                {SET(c->master = "192.0.2.1:65536")},
                                {SET(c->master = "192.0.2.1:")},
                                {SET(c->master = "192.0.2.256")},
                                {SET(c->master = "name:0")},
                                {SET(c->master = "name:70000")},
                                {SET(c->master = "name:12x")},
                                {SET(c->master = "[2001:db8::1]:0")},
                                {SET(c->master = "[2001:db8::1")},
                                {SET(c->master = "name with space")},
                                {SET(c->master = "http://name")}},
                               false);
    check_accepted<client_kind>({{SET(c->max_packet = GMPUNCH_MAX_PACKET)},
                                 {SET(c->max_packet = 1)},
                                 {SET(c->max_sockets = 4)},
                                 {SET(c->socket_mode = GMPUNCH_SOCKET_SEND_ONLY)},
                                 {SET(c->direct_only = 1; c->direct_port = 1; c->master = nullptr)},
                                 {SET(c->raw = -1; c->escape = 7)},
                                 {SET(c->timeout_ms = c->master_timeout_ms = c->peer_timeout_ms = GMPUNCH_NEVER)},
                                 {SET(c->announce_interval_ms = c->knock_interval_ms = GMPUNCH_NEVER)},
                                 {SET(c->keepalive_interval_ms = GMPUNCH_NEVER)},
                                 {SET(c->timeout_ms = c->knock_interval_ms = 1)},
                                 {SET(c->seed = UINT64_MAX)},
                                 {SET(c->knock_rules = 7; c->max_addresses = 0xffffffffu)},
                                 {SET(c->server = "2001:db8::1")},
                                 {SET(c->server = "::ffff:192.0.2.1")},
                                 {SET(c->master = "[2001:db8::1]:7000")},
                                 {SET(c->master = "2001:db8::1")},
                                 {SET(c->master = "master.example")},
                                 {SET(c->master = "master.example:65535")}});
    config_type bound = client_config();
    bound.bind_address = "127.0.0.1:80";
    CHECK(try_make<client_kind>(bound, 1) == GMPUNCH_ERR_CONFIG);
}

TEST_CASE("limits: each field of a host's config that is out of range is refused") {
    typedef gmpunch_host_config config_type;
    check_refused<host_kind>({{SET(c->max_packet = GMPUNCH_MAX_PACKET + 1)},
                              {SET(c->max_peers = 65536)},
                              {SET(c->max_peers = 0xffffffffu)},
                              {SET(c->max_introductions = 65536)},
                              {SET(c->max_introductions = 0xffffffffu)},
                              {SET(c->max_direct_peers = 65536)},
                              {SET(c->max_direct_peers_per_ip = 65536)},
                              {SET(c->knock_rules = 8)},
                              {SET(c->data_capacity = 32769)},
                              {SET(c->data_capacity = 0xffffffffu)},
                              {SET(c->data_capacity = 7)},        // not even eight NULs
                              {SET(c->reconnect_min_ms = 61000)}, // over the default of reconnect_max_ms
                              {SET(c->reconnect_max_ms = 999)},
                              {SET(c->socket_mode = 3)}},
                             true);
    check_refused<host_kind>({{SET(c->allocator.free = nullptr)},
                              {SET(c->allocator.alloc = nullptr)},
                              {SET(c->master = "")},
                              {SET(c->master = "192.0.2.1:0")},
                              {SET(c->master = "192.0.2.1:65536")},
                              {SET(c->master = "192.0.2.256")},
                              {SET(c->data[0] = "line\nbreak")},
                              {SET(c->data[7] = "\x7f")},
                              {SET(c->data[3] = "tab\t")}},
                             false);
    check_refused<host_kind>({{SET(c->data_capacity = 8; c->data[7] = "x")},
                              {SET(c->data_capacity = 20; c->data[0] = "1234567"; c->data[1] = "123456")}},
                             false, GMPUNCH_ERR_TOO_LONG);
    check_accepted<host_kind>({{SET(c->max_packet = GMPUNCH_MAX_PACKET)},
                               {SET(c->max_peers = 65535)},
                               {SET(c->max_peers = 1; c->max_introductions = 1)},
                               {SET(c->max_introductions = 65535)},
                               {SET(c->socket_mode = GMPUNCH_SOCKET_SEND_ONLY)},
                               {SET(c->data_capacity = 32768)},
                               {SET(c->data_capacity = 8)},
                               {SET(c->data_capacity = 20; c->data[0] = "123456"; c->data[1] = "123456")},
                               {SET(c->reconnect_min_ms = c->reconnect_max_ms = 5)},
                               {SET(c->register_interval_ms = c->ping_interval_ms = GMPUNCH_NEVER)},
                               {SET(c->keepalive_interval_ms = c->knock_interval_ms = GMPUNCH_NEVER)},
                               {SET(c->introduction_timeout_ms = c->peer_timeout_ms = GMPUNCH_NEVER)},
                               {SET(c->idle_timeout_ms = c->kick_ms = c->unconfirmed_ms = GMPUNCH_NEVER)},
                               {SET(c->max_direct_peers = c->max_direct_peers_per_ip = 65535)},
                               {SET(c->max_introductions_per_ip = c->max_knocks_per_second = 0xffffffffu)},
                               {SET(c->knock_rules = 7)},
                               {SET(c->data[0] = "\xc3\xa4\xc3\xb6")}});
}

TEST_CASE("limits: each field of a lobby's config that is out of range is refused") {
    typedef gmpunch_lobby_config config_type;
    check_refused<lobby_kind>({{SET(c->sort_by = 9)},
                               {SET(c->sort_by = 0xffffffffu)},
                               {SET(c->max_entry = 1023)},
                               {SET(c->max_entry = 16777217)},
                               {SET(c->max_entry = 0xffffffffu)},
                               {SET(c->filter[0] = "line\nbreak")},
                               {SET(c->filter[7] = "\x7f")},
                               {SET(static const std::string longer(65537, 'f'); c->filter[7] = longer.c_str())}},
                              true);
    check_refused<lobby_kind>({{SET(c->allocator.free = nullptr)},
                               {SET(c->allocator.alloc = nullptr)},
                               {SET(c->master = nullptr)},
                               {SET(c->master = "")},
                               {SET(c->master = "192.0.2.1:0")},
                               {SET(c->master = "192.0.2.256")}},
                              false);
    check_accepted<lobby_kind>({{SET(c->sort_by = 8)},
                                {SET(c->max_entry = 1024)},
                                {SET(c->max_entry = 16777216)},
                                {SET(c->max_entries = 1; c->max_bytes = 1)},
                                {SET(c->timeout_ms = c->total_timeout_ms = GMPUNCH_NEVER)},
                                {SET(static const std::string longest(65536, 'f'); c->filter[7] = longest.c_str())}});
}

TEST_CASE("limits: each field of a master's config that is out of range is refused") {
    typedef gmpunch_master_config config_type;
    check_refused<master_kind>({{SET(c->max_connections = 4194305)},
                                {SET(c->max_ports = 4194305)},
                                {SET(c->max_requests = 4194305)},
                                {SET(c->max_messages = 4194305)},
                                {SET(c->max_connections = 0xffffffffu)},
                                {SET(c->max_ports = 0xffffffffu)},
                                {SET(c->max_requests = 0xffffffffu)},
                                {SET(c->max_messages = 0xffffffffu)},
                                {SET(c->max_commands_per_second = 1000001)},
                                {SET(c->max_line = 65537)},
                                {SET(c->max_line = 0xffffffffu)},
                                {SET(c->max_line = 63)},
                                {SET(c->max_lobby = 4095)},
                                {SET(c->max_lobby = (1u << 30) + 1)},
                                {SET(c->max_lobby_memory = 4095)},
                                {SET(c->max_commands_per_second = 0xfffffffeu)},
                                {SET(static const std::string name(256, 'n'); c->name = name.c_str())},
                                {SET(c->name = "tab\t")},
                                {SET(c->allocator.free = nullptr)},
                                {SET(c->allocator.alloc = nullptr)}},
                               true);
    check_accepted<master_kind>({{SET(c->max_connections = c->max_ports = c->max_requests = c->max_messages = 4194304)},
                                 {SET(c->max_connections = c->max_ports = c->max_requests = c->max_messages = 1)},
                                 {SET(c->max_connections_per_ip = c->max_ports_per_ip = 0xffffffffu)},
                                 {SET(c->max_requests_per_connection = c->max_messages_per_connection = 0xffffffffu)},
                                 {SET(c->max_connections_per_subnet = c->max_waiting_connections = 0xffffffffu)},
                                 {SET(c->max_lobby_memory_per_ip = 0xffffffffu)},
                                 {SET(c->max_commands_per_second = 1000000)},
                                 {SET(c->max_commands_per_second = GMPUNCH_NEVER)},
                                 {SET(c->max_line = 65536)},
                                 {SET(c->max_line = 64)},
                                 {SET(c->max_lobby = 4096)},
                                 {SET(c->max_lobby = 1u << 30)},
                                 {SET(c->max_lobby_memory = 4096)},
                                 {SET(c->max_commands_per_second = 1)},
                                 {SET(static const std::string name(255, 'n'); c->name = name.c_str())},
                                 {SET(c->name = "")},
                                 {SET(c->hold_ms = c->client_port_ms = c->host_port_ms = GMPUNCH_NEVER)},
                                 {SET(c->command_timeout_ms = c->idle_timeout_ms = GMPUNCH_NEVER)},
                                 {SET(c->host_timeout_ms = c->write_timeout_ms = GMPUNCH_NEVER)}});
    config_type config = config_type();
    config.any_port = 1;
    for (const char *wrong :
         {"", ",", "name", "127.0.0.1:5", "127.0.0.1;127.0.0.2",
          "127.0.0.1,127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5,127.0.0.6,127.0.0.7,127.0.0.8,127.0.0.9x"}) {
        CAPTURE(wrong);
        config.bind_address = wrong;
        int32_t result = try_make<master_kind>(config, 1);
        CHECK(result < 0);
        if (std::strlen(wrong) < 40)
            CHECK(result == GMPUNCH_ERR_CONFIG); // the last fails by count or, elsewhere, by address
    }
}

// What the comments of the configs' fields say.
TEST_CASE("limits: what is not set has its documented default") {
    gmpunch_client_config client = gmpunch_client_config(), no_client = client;
    no_client.master = "192.0.2.1";
    no_client.server = "192.0.2.2";
    REQUIRE(gmpunchi_client_configure(&no_client, &client) == GMPUNCH_OK);
    CHECK(client.timeout_ms == 15000);
    CHECK(client.master_timeout_ms == 5000);
    CHECK(client.announce_interval_ms == 250);
    CHECK(client.knock_interval_ms == 50);
    CHECK(client.keepalive_interval_ms == 15000);
    CHECK(client.peer_timeout_ms == 45000);
    CHECK(client.max_packet == 2048);
    CHECK(client.max_addresses == 8);

    gmpunch_host_config host = gmpunch_host_config(), no_host = host;
    REQUIRE(gmpunchi_host_configure(&no_host, &host) == GMPUNCH_OK);
    CHECK(host.data_capacity == 1024);
    CHECK(host.register_interval_ms == 180000);
    CHECK(host.reconnect_min_ms == 1000);
    CHECK(host.reconnect_max_ms == 60000);
    CHECK(host.keepalive_interval_ms == 15000);
    CHECK(host.ping_interval_ms == 60000);
    CHECK(host.knock_interval_ms == 50);
    CHECK(host.introduction_timeout_ms == 15000);
    CHECK(host.peer_timeout_ms == 45000);
    CHECK(host.idle_timeout_ms == 300000);
    CHECK(host.kick_ms == 60000);
    CHECK(host.max_peers == 64);
    CHECK(host.max_introductions == 64);
    CHECK(host.max_introductions_per_ip == 32);
    CHECK(host.max_knocks_per_second == 200);
    CHECK(host.max_direct_peers == 64);
    CHECK(host.max_direct_peers_per_ip == 16);
    CHECK(host.unconfirmed_ms == 10000);
    CHECK(host.max_packet == 2048);

    gmpunch_lobby_config lobby = gmpunch_lobby_config(), no_lobby = lobby;
    no_lobby.master = "192.0.2.1";
    REQUIRE(gmpunchi_lobby_configure(&no_lobby, &lobby) == GMPUNCH_OK);
    CHECK(lobby.timeout_ms == 10000);
    CHECK(lobby.max_entry == 65536);
    CHECK(lobby.max_entries == 1000000);
    CHECK(lobby.max_bytes == 268435456);
    CHECK(lobby.total_timeout_ms == 600000);

    gmpunch_master_config master = gmpunch_master_config(), no_master = master;
    REQUIRE(gmpunchi_master_configure(&no_master, &master) == GMPUNCH_OK);
    CHECK(master.port == 6510);
    CHECK(master.hold_ms == 1000);
    CHECK(master.client_port_ms == 10000);
    CHECK(master.host_port_ms == 60000);
    CHECK(master.command_timeout_ms == 5000);
    CHECK(master.idle_timeout_ms == 60000);
    CHECK(master.host_timeout_ms == 1800000);
    CHECK(master.write_timeout_ms == 15000);
    CHECK(master.introduction_gap_ms == 50);
    CHECK(master.max_connections == 65536);
    CHECK(master.max_connections_per_ip == 256);
    CHECK(master.max_connections_per_subnet == 4096);
    CHECK(master.max_waiting_connections == 49152);
    CHECK(master.max_ports == 131072);
    CHECK(master.max_ports_per_ip == 64);
    CHECK(master.max_requests == 65536);
    CHECK(master.max_requests_per_connection == 8);
    CHECK(master.max_commands_per_second == 200);
    CHECK(master.max_messages == 131072);
    CHECK(master.max_messages_per_connection == 64);
    CHECK(master.max_line == 1024);
    CHECK(master.max_data == 67108864);
    CHECK(master.max_lobby == 33554432);
    CHECK(master.max_lobby_memory == 134217728);
    CHECK(master.max_lobby_memory_per_ip == 33554432);
}

// ---- wrong calls ----

namespace {

struct wrong_call {
    const char *what;
    std::function<int64_t()> call;
    int64_t expected;
};

// Valid objects without sockets, and one of each other thing a call may need.
struct fixture {
    gmpunch_client *client = nullptr;
    gmpunch_host *host = nullptr;
    gmpunch_master *master = nullptr;
    gmpunch_address some = address("192.0.2.1:4000");
    gmpunch_event event = gmpunch_event();
    gmpunch_transmit transmit = gmpunch_transmit();
    gmpunch_wait wait = gmpunch_wait();
    gmpunch_buffer buffer = gmpunch_buffer();
    gmpunch_peer_info info = gmpunch_peer_info();
    gmpunch_client_stats client_stats = gmpunch_client_stats();
    gmpunch_host_stats host_stats = gmpunch_host_stats();
    gmpunch_master_stats master_stats = gmpunch_master_stats();
    gmpunch_client_config client_config = ::client_config();
    gmpunch_host_config host_config = gmpunch_host_config();
    gmpunch_master_config master_config = gmpunch_master_config();
    uint8_t room[64] = {0};
    char letters[64] = {0};
    uint32_t number = 0, peer = 0;
    size_t length = 0;
    const uint8_t *payload = nullptr;

    fixture() {
        REQUIRE(gmpunch_client_create(&client_config, 1, &client) == GMPUNCH_OK);
        REQUIRE(gmpunch_host_create(&host_config, 1, &host) == GMPUNCH_OK);
        REQUIRE(gmpunch_master_create(&master_config, 1, &master) == GMPUNCH_OK);
        REQUIRE(gmpunch_buffer_init(&buffer, room, sizeof room, 1) == GMPUNCH_OK);
        const uint8_t knock = 0xfd;
        REQUIRE(gmpunch_host_input_udp(host, 1, &some, 0, &knock, 1) == GMPUNCH_CONSUMED);
        peer = gmpunch_host_find_peer(host, &some);
        REQUIRE(peer != 0);
    }
    ~fixture() {
        gmpunch_client_close(client);
        gmpunch_host_close(host);
        gmpunch_master_close(master);
    }
    fixture(const fixture &) = delete;
    fixture &operator=(const fixture &) = delete;
};

void check_calls(const std::vector<wrong_call> &calls) {
    for (const wrong_call &one : calls) {
        CAPTURE(std::string(one.what));
        CHECK(one.call() == one.expected);
    }
}

const int64_t wrong = GMPUNCH_ERR_ARGUMENT;

// The text of the call is its name in a failure.
#define CALL(expected, ...) \
    { \
#__VA_ARGS__, [&]() -> int64_t { return int64_t(__VA_ARGS__); }, expected \
    }

} // namespace

TEST_CASE("limits: NULL in calls of buffers, addresses and datagrams") {
    fixture f;
    size_t length = 7;
    int32_t terminated = 7;
    check_calls({
        CALL(wrong, gmpunch_buffer_init(nullptr, f.room, 1, 1)),
        CALL(wrong, gmpunch_buffer_init(&f.buffer, nullptr, 1, 1)),
        CALL(0, gmpunch_buffer_init(&f.buffer, nullptr, 0, 1)),
        CALL(wrong, gmpunch_buffer_init(&f.buffer, f.room, 1, 1025)),
        CALL(wrong, gmpunch_buffer_init_read(nullptr, f.room, 1, 1)),
        CALL(wrong, gmpunch_buffer_init_read(&f.buffer, nullptr, 1, 1)),
        CALL(wrong, gmpunch_buffer_init_grow(nullptr, nullptr, 64, 1)),
        CALL(0, gmpunch_buffer_init_grow(&f.buffer, nullptr, 64, 1)),
        CALL(0, (gmpunch_buffer_free(&f.buffer), gmpunch_buffer_free(&f.buffer), gmpunch_buffer_free(nullptr), 0)),
        CALL(wrong, gmpunch_buffer_seek(nullptr, 0)),
        CALL(wrong, gmpunch_buffer_write_u8(nullptr, 1)),
        CALL(wrong, gmpunch_buffer_write_s8(nullptr, 1)),
        CALL(wrong, gmpunch_buffer_write_u16(nullptr, 1)),
        CALL(wrong, gmpunch_buffer_write_s16(nullptr, 1)),
        CALL(wrong, gmpunch_buffer_write_u32(nullptr, 1)),
        CALL(wrong, gmpunch_buffer_write_s32(nullptr, 1)),
        CALL(wrong, gmpunch_buffer_write_u64(nullptr, 1)),
        CALL(wrong, gmpunch_buffer_write_s64(nullptr, 1)),
        CALL(wrong, gmpunch_buffer_write_f16(nullptr, 1)),
        CALL(wrong, gmpunch_buffer_write_f32(nullptr, 1)),
        CALL(wrong, gmpunch_buffer_write_f64(nullptr, 1)),
        CALL(wrong, gmpunch_buffer_write_bool(nullptr, 1)),
        CALL(wrong, gmpunch_buffer_write_string(nullptr, "x")),
        CALL(wrong, gmpunch_buffer_write_text(nullptr, "x")),
        CALL(wrong, gmpunch_buffer_write_bytes(nullptr, "x", 1)),
        CALL(0, gmpunch_buffer_init(&f.buffer, f.room, 8, 1)),
        CALL(wrong, gmpunch_buffer_write_string(&f.buffer, nullptr)),
        CALL(wrong, gmpunch_buffer_write_text(&f.buffer, nullptr)),
        CALL(wrong, gmpunch_buffer_write_bytes(&f.buffer, nullptr, 1)),
        CALL(0, gmpunch_buffer_read_u8(nullptr)),
        CALL(0, gmpunch_buffer_read_s8(nullptr)),
        CALL(0, gmpunch_buffer_read_u16(nullptr)),
        CALL(0, gmpunch_buffer_read_s16(nullptr)),
        CALL(0, gmpunch_buffer_read_u32(nullptr)),
        CALL(0, gmpunch_buffer_read_s32(nullptr)),
        CALL(0, gmpunch_buffer_read_u64(nullptr)),
        CALL(0, gmpunch_buffer_read_s64(nullptr)),
        CALL(0, gmpunch_buffer_read_f16(nullptr)),
        CALL(0, gmpunch_buffer_read_f32(nullptr)),
        CALL(0, gmpunch_buffer_read_f64(nullptr)),
        CALL(0, gmpunch_buffer_read_bool(nullptr)),
        CALL(0, gmpunch_buffer_read_string(nullptr, &length, &terminated)[0]),
        CALL(0, length),
        CALL(0, gmpunch_buffer_read_string(&f.buffer, nullptr, &terminated)[0]),
        CALL(0, gmpunch_buffer_read_string(&f.buffer, nullptr, nullptr)[0]),
        CALL(0, gmpunch_buffer_read_bytes(nullptr, 1) != nullptr),

        CALL(wrong, gmpunch_address_parse(nullptr, 1, &f.some)),
        CALL(wrong, gmpunch_address_parse("192.0.2.1", 1, nullptr)),
        CALL(wrong, gmpunch_address_format(nullptr, f.letters, sizeof f.letters)),
        CALL(wrong, gmpunch_address_format(&f.some, nullptr, 5)),
        CALL(GMPUNCH_ERR_TOO_LONG, gmpunch_address_format(&f.some, nullptr, 0)),
        CALL(0, gmpunch_address_equal(nullptr, &f.some)),
        CALL(0, gmpunch_address_equal(&f.some, nullptr)),
        CALL(0, gmpunch_address_equal(nullptr, nullptr)),
        CALL(0, gmpunch_address_same_ip(nullptr, &f.some)),
        CALL(0, gmpunch_address_same_ip(&f.some, nullptr)),

        CALL(wrong, gmpunch_datagram_encode(nullptr, 0, "x", 1, 0)),
        CALL(wrong, gmpunch_datagram_encode(f.room, sizeof f.room, nullptr, 1, 0)),
        CALL(GMPUNCH_DATAGRAM_HEADER_SIZE, gmpunch_datagram_encode(f.room, sizeof f.room, nullptr, 0, 0)),
        CALL(wrong, gmpunch_datagram_decode(nullptr, 1, 0, &f.payload, &f.length, nullptr)),
        CALL(wrong, gmpunch_datagram_decode(f.room, 1, 0, nullptr, &f.length, nullptr)),
        CALL(wrong, gmpunch_datagram_decode(f.room, 1, 0, &f.payload, nullptr, nullptr)),
        CALL(0, gmpunch_datagram_decode(f.room, 1, 0, &f.payload, &f.length, nullptr)),
        CALL(0, gmpunch_datagram_decode(nullptr, 0, 0, &f.payload, &f.length, nullptr)),
    });
}

TEST_CASE("limits: NULL in calls of a client, and calls without sockets") {
    fixture f;
    const uint8_t *nothing = nullptr;
    check_calls({
        CALL(0, gmpunch_client_memory_size(nullptr, 0)),
        CALL(0, gmpunch_client_memory_size(nullptr, 1)),
        CALL(wrong, gmpunch_client_create(&f.client_config, 1, nullptr)),
        CALL(0, (gmpunch_client_close(nullptr), 0)),
        CALL(wrong, gmpunch_client_set_master(nullptr, 1, &f.some, 1)),
        CALL(wrong, gmpunch_client_set_master(f.client, 1, nullptr, 1)),
        CALL(wrong, gmpunch_client_input_udp(nullptr, 1, &f.some, 0, f.room, 1)),
        CALL(wrong, gmpunch_client_input_udp(f.client, 1, nullptr, 0, f.room, 1)),
        CALL(wrong, gmpunch_client_input_udp(f.client, 1, &f.some, 0, nothing, 1)),
        CALL(GMPUNCH_NOT_MINE, gmpunch_client_input_udp(f.client, 1, &f.some, 0, nothing, 0)),
        CALL(wrong, gmpunch_client_tcp_opened(nullptr, 1, 1)),
        CALL(wrong, gmpunch_client_tcp_data(nullptr, 1, 1, f.room, 1)),
        CALL(wrong, gmpunch_client_tcp_data(f.client, 1, 1, nothing, 1)),
        CALL(wrong, gmpunch_client_tcp_closed(nullptr, 1, 1, 0)),
        CALL(wrong, gmpunch_client_tcp_sent(nullptr, 1, 0)),
        CALL(wrong, gmpunch_client_tcp_writable(nullptr, 1, 1)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_client_tcp_opened(f.client, 1, 77)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_client_tcp_data(f.client, 1, 77, f.room, 1)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_client_tcp_closed(f.client, 1, 77, 0)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_client_tcp_sent(f.client, 77, 0)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_client_tcp_writable(f.client, 1, 77)),
        CALL(wrong, gmpunch_client_tick(nullptr, 1)),
        CALL(1, gmpunch_client_next_deadline(nullptr) == UINT64_MAX),
        CALL(wrong, gmpunch_client_next_transmit(nullptr, &f.transmit)),
        CALL(wrong, gmpunch_client_next_transmit(f.client, nullptr)),
        CALL(wrong, gmpunch_client_next_event(nullptr, &f.event)),
        CALL(wrong, gmpunch_client_next_event(f.client, nullptr)),
        CALL(wrong, gmpunch_client_request_data(nullptr, 1)),
        CALL(wrong, gmpunch_client_stage(nullptr)),
        CALL(wrong, gmpunch_client_server(nullptr, &f.some, &f.number)),
        CALL(wrong, gmpunch_client_server(f.client, nullptr, &f.number)),
        CALL(GMPUNCH_ERR_NOT_CONNECTED, gmpunch_client_server(f.client, &f.event.address, nullptr)),
        CALL(wrong, gmpunch_client_get_stats(nullptr, &f.client_stats)),
        CALL(wrong, gmpunch_client_get_stats(f.client, nullptr)),

        CALL(wrong, gmpunch_client_open(&f.client_config, nullptr)),
        CALL(wrong, gmpunch_client_poll(nullptr, &f.event, 0)),
        CALL(wrong, gmpunch_client_poll(f.client, nullptr, 0)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_client_poll(f.client, &f.event, 0)),
        CALL(wrong, gmpunch_client_send(nullptr, "x", 1)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_client_send(f.client, "x", 1)),
        CALL(wrong, gmpunch_client_resolve(nullptr)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_client_resolve(f.client)),
        CALL(wrong, gmpunch_client_waits(nullptr, &f.wait, 1)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_client_waits(f.client, &f.wait, 1)),
        CALL(wrong, gmpunch_client_local_address(nullptr, &f.some)),
        CALL(wrong, gmpunch_client_local_address(f.client, nullptr)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_client_local_address(f.client, &f.some)),
        CALL(1, gmpunch_client_socket(nullptr) == UINTPTR_MAX),
        CALL(1, gmpunch_client_socket(f.client) == UINTPTR_MAX),
        CALL(0, gmpunch_client_os_error(nullptr)),
        CALL(0, gmpunch_client_os_error(f.client)),
    });
    gmpunch_client *none = f.client;
    CHECK(gmpunch_client_create(nullptr, 1, &none) == GMPUNCH_ERR_ARGUMENT);
    CHECK(none == nullptr);
    none = f.client;
    CHECK(gmpunch_client_open(nullptr, &none) == GMPUNCH_ERR_ARGUMENT);
    CHECK(none == nullptr);
}

TEST_CASE("limits: NULL in calls of a host, and calls without sockets") {
    fixture f;
    const uint8_t *nothing = nullptr;
    check_calls({
        CALL(0, gmpunch_host_memory_size(nullptr, 0)),
        CALL(0, gmpunch_host_memory_size(nullptr, 1)),
        CALL(wrong, gmpunch_host_create(&f.host_config, 1, nullptr)),
        CALL(0, (gmpunch_host_close(nullptr), 0)),
        CALL(wrong, gmpunch_host_set_master(nullptr, 1, &f.some, 1)),
        CALL(wrong, gmpunch_host_set_master(f.host, 1, nullptr, 1)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_host_set_master(f.host, 1, &f.some, 1)), // it has none
        CALL(wrong, gmpunch_host_input_udp(nullptr, 1, &f.some, 0, f.room, 1)),
        CALL(wrong, gmpunch_host_input_udp(f.host, 1, nullptr, 0, f.room, 1)),
        CALL(wrong, gmpunch_host_input_udp(f.host, 1, &f.some, 0, nothing, 1)),
        CALL(wrong, gmpunch_host_input_udp(f.host, 1, &f.some, 256, f.room, 1)),
        CALL(GMPUNCH_NOT_MINE, gmpunch_host_input_udp(f.host, 1, &f.some, 0, nothing, 0)),
        CALL(wrong, gmpunch_host_tcp_opened(nullptr, 1, 1)),
        CALL(wrong, gmpunch_host_tcp_data(nullptr, 1, 1, f.room, 1)),
        CALL(wrong, gmpunch_host_tcp_data(f.host, 1, 1, nothing, 1)),
        CALL(wrong, gmpunch_host_tcp_closed(nullptr, 1, 1, 0)),
        CALL(wrong, gmpunch_host_tcp_sent(nullptr, 1, 0)),
        CALL(wrong, gmpunch_host_tcp_writable(nullptr, 1, 1)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_host_tcp_opened(f.host, 1, 77)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_host_tcp_data(f.host, 1, 77, f.room, 1)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_host_tcp_closed(f.host, 1, 77, 0)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_host_tcp_sent(f.host, 77, 0)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_host_tcp_writable(f.host, 1, 77)),
        CALL(wrong, gmpunch_host_tick(nullptr, 1)),
        CALL(1, gmpunch_host_next_deadline(nullptr) == UINT64_MAX),
        CALL(wrong, gmpunch_host_next_transmit(nullptr, &f.transmit)),
        CALL(wrong, gmpunch_host_next_transmit(f.host, nullptr)),
        CALL(wrong, gmpunch_host_next_event(nullptr, &f.event)),
        CALL(wrong, gmpunch_host_next_event(f.host, nullptr)),
        CALL(0, gmpunch_host_find_peer(nullptr, &f.some)),
        CALL(0, gmpunch_host_find_peer(f.host, nullptr)),
        CALL(wrong, gmpunch_host_peer_info(nullptr, f.peer, &f.info)),
        CALL(wrong, gmpunch_host_peer_info(f.host, f.peer, nullptr)),
        CALL(GMPUNCH_ERR_PEER, gmpunch_host_peer_info(f.host, f.peer + 1, &f.info)),
        CALL(GMPUNCH_ERR_PEER, gmpunch_host_peer_info(f.host, 0, &f.info)),
        CALL(GMPUNCH_ERR_PEER, gmpunch_host_peer_info(f.host, 0xffffffffu, &f.info)),
        CALL(wrong, gmpunch_host_peers(nullptr, &f.number, 1)),
        CALL(wrong, gmpunch_host_peers(f.host, nullptr, 1)),
        CALL(1, gmpunch_host_peers(f.host, nullptr, 0)),
        CALL(wrong, gmpunch_host_kick(nullptr, 1, f.peer)),
        CALL(GMPUNCH_ERR_PEER, gmpunch_host_kick(f.host, 1, 0)),
        CALL(GMPUNCH_ERR_PEER, gmpunch_host_kick(f.host, 1, f.peer + 0x10000)),
        CALL(wrong, gmpunch_host_set_data(nullptr, 1, "x")),
        CALL(wrong, gmpunch_host_set_data(f.host, 0, "x")),
        CALL(wrong, gmpunch_host_set_data(f.host, 9, "x")),
        CALL(wrong, gmpunch_host_set_data(f.host, 1, "a\nb")),
        CALL(0, gmpunch_host_set_data(f.host, 1, nullptr)),
        CALL(wrong, gmpunch_host_commit_data(nullptr, 1)),
        CALL(0, gmpunch_host_commit_data(f.host, 1)),
        CALL(wrong, gmpunch_host_get_stats(nullptr, &f.host_stats)),
        CALL(wrong, gmpunch_host_get_stats(f.host, nullptr)),

        CALL(wrong, gmpunch_host_open(&f.host_config, nullptr)),
        CALL(wrong, gmpunch_host_poll(nullptr, &f.event, 0)),
        CALL(wrong, gmpunch_host_poll(f.host, nullptr, 0)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_host_poll(f.host, &f.event, 0)),
        CALL(wrong, gmpunch_host_send(nullptr, f.peer, "x", 1)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_host_send(f.host, f.peer, "x", 1)),
        CALL(wrong, gmpunch_host_send_all(nullptr, "x", 1)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_host_send_all(f.host, "x", 1)),
        CALL(wrong, gmpunch_host_resolve(nullptr)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_host_resolve(f.host)),
        CALL(wrong, gmpunch_host_waits(nullptr, &f.wait, 1)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_host_waits(f.host, &f.wait, 1)),
        CALL(wrong, gmpunch_host_local_address(nullptr, &f.some)),
        CALL(wrong, gmpunch_host_local_address(f.host, nullptr)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_host_local_address(f.host, &f.some)),
        CALL(1, gmpunch_host_socket(nullptr) == UINTPTR_MAX),
        CALL(1, gmpunch_host_socket(f.host) == UINTPTR_MAX),
        CALL(0, gmpunch_host_os_error(nullptr)),
        CALL(0, gmpunch_host_os_error(f.host)),
    });
    gmpunch_host *none = f.host;
    CHECK(gmpunch_host_create(nullptr, 1, &none) == GMPUNCH_ERR_ARGUMENT);
    CHECK(none == nullptr);
    none = f.host;
    CHECK(gmpunch_host_open(nullptr, &none) == GMPUNCH_ERR_ARGUMENT);
    CHECK(none == nullptr);
}

TEST_CASE("limits: NULL in calls of a master, and calls without sockets") {
    fixture f;
    const uint8_t *nothing = nullptr;
    check_calls({
        CALL(wrong, gmpunch_master_create(&f.master_config, 1, nullptr)),
        CALL(0, (gmpunch_master_close(nullptr), 0)),
        CALL(wrong, gmpunch_master_input_udp(nullptr, 1, &f.some, 0, f.room, 1)),
        CALL(wrong, gmpunch_master_input_udp(f.master, 1, nullptr, 0, f.room, 1)),
        CALL(wrong, gmpunch_master_input_udp(f.master, 1, &f.some, 0, nothing, 1)),
        CALL(GMPUNCH_CONSUMED, gmpunch_master_input_udp(f.master, 1, &f.some, 0, nothing, 0)),
        CALL(wrong, gmpunch_master_tcp_accepted(nullptr, 1, &f.some, &f.number)),
        CALL(wrong, gmpunch_master_tcp_accepted(f.master, 1, nullptr, &f.number)),
        CALL(wrong, gmpunch_master_tcp_accepted(f.master, 1, &f.some, nullptr)),
        CALL(wrong, gmpunch_master_tcp_data(nullptr, 1, 1, f.room, 1)),
        CALL(wrong, gmpunch_master_tcp_data(f.master, 1, 1, nothing, 1)),
        CALL(wrong, gmpunch_master_tcp_closed(nullptr, 1, 1, 0)),
        CALL(wrong, gmpunch_master_tcp_sent(nullptr, 1, 0)),
        CALL(wrong, gmpunch_master_tcp_writable(nullptr, 1, 1)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_master_tcp_data(f.master, 1, 77, f.room, 1)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_master_tcp_closed(f.master, 1, 0xffffffffu, 0)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_master_tcp_sent(f.master, 0, 0)),
        CALL(GMPUNCH_ERR_CONNECTION, gmpunch_master_tcp_writable(f.master, 1, 77)),
        CALL(wrong, gmpunch_master_tick(nullptr, 1)),
        CALL(1, gmpunch_master_next_deadline(nullptr) == UINT64_MAX),
        CALL(wrong, gmpunch_master_next_transmit(nullptr, &f.transmit)),
        CALL(wrong, gmpunch_master_next_transmit(f.master, nullptr)),
        CALL(wrong, gmpunch_master_next_event(nullptr, &f.event)),
        CALL(wrong, gmpunch_master_next_event(f.master, nullptr)),
        CALL(wrong, gmpunch_master_get_stats(nullptr, &f.master_stats)),
        CALL(wrong, gmpunch_master_get_stats(f.master, nullptr)),

        CALL(wrong, gmpunch_master_open(&f.master_config, nullptr)),
        CALL(wrong, gmpunch_master_poll(nullptr, &f.event, 0)),
        CALL(wrong, gmpunch_master_poll(nullptr, nullptr, 0)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_master_poll(f.master, &f.event, 0)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_master_poll(f.master, nullptr, 0)),
        CALL(wrong, gmpunch_master_waits(nullptr, &f.wait, 1)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_master_waits(f.master, &f.wait, 1)),
        CALL(wrong, gmpunch_master_local_address(nullptr, 0, &f.some)),
        CALL(GMPUNCH_ERR_STATE, gmpunch_master_local_address(f.master, 0, &f.some)),
        CALL(0, gmpunch_master_os_error(nullptr)),
        CALL(0, gmpunch_master_os_error(f.master)),
    });
    gmpunch_master *none = f.master;
    CHECK(gmpunch_master_create(nullptr, 1, &none) == GMPUNCH_ERR_ARGUMENT);
    CHECK(none == nullptr);
    none = f.master;
    CHECK(gmpunch_master_open(nullptr, &none) == GMPUNCH_ERR_ARGUMENT);
    CHECK(none == nullptr);
}

TEST_CASE("limits: NULL in calls of objects with sockets") {
    gmpunch_client_config client_config = ::client_config();
    gmpunch_host_config host_config = gmpunch_host_config();
    gmpunch_master_config master_config = master_kind::valid();
    gmpunch_client *client;
    gmpunch_host *host;
    gmpunch_master *master;
    gmpunch_event event;
    REQUIRE(gmpunch_client_open(&client_config, &client) == GMPUNCH_OK);
    REQUIRE(gmpunch_host_open(&host_config, &host) == GMPUNCH_OK);
    REQUIRE(gmpunch_master_open(&master_config, &master) == GMPUNCH_OK);
#if defined(GMPUNCHI_EPOLL) || defined(GMPUNCHI_KQUEUE)
    const int32_t master_waits = 1;
#else
    const int32_t master_waits = 2; // UDP and TCP of one address
#endif
    check_calls({
        CALL(wrong, gmpunch_client_poll(client, nullptr, 0)),
        CALL(wrong, gmpunch_client_waits(client, nullptr, 1)),
        CALL(wrong, gmpunch_client_local_address(client, nullptr)),
        CALL(GMPUNCH_ERR_NOT_CONNECTED, gmpunch_client_send(client, nullptr, 1)),
        CALL(wrong, gmpunch_host_poll(host, nullptr, 0)),
        CALL(wrong, gmpunch_host_waits(host, nullptr, 1)),
        CALL(wrong, gmpunch_host_local_address(host, nullptr)),
        CALL(GMPUNCH_ERR_PEER, gmpunch_host_send(host, 1, nullptr, 1)),
        CALL(wrong, gmpunch_host_send_all(host, nullptr, 1)),
        CALL(0, gmpunch_host_send_all(host, nullptr, 0)),
        CALL(wrong, gmpunch_master_waits(master, nullptr, 1)),
        CALL(master_waits, gmpunch_master_waits(master, nullptr, 0)),
        CALL(wrong, gmpunch_master_local_address(master, 0, nullptr)),
        CALL(wrong, gmpunch_master_local_address(master, 1, &event.address)),
        CALL(0, gmpunch_master_poll(master, nullptr, 0)),
    });
    gmpunch_client_close(client);
    gmpunch_host_close(host);
    gmpunch_master_close(master);
}

TEST_CASE("limits: time that runs backwards stands still") {
    gmpunch_client_config config = ::client_config();
    gmpunch_client *client;
    REQUIRE(gmpunch_client_create(&config, 1000, &client) == GMPUNCH_OK);
    uint64_t deadline = gmpunch_client_next_deadline(client);
    for (uint64_t now : {uint64_t(0), uint64_t(999), uint64_t(1)}) CHECK(gmpunch_client_tick(client, now) == GMPUNCH_OK);
    CHECK(gmpunch_client_next_deadline(client) == deadline);
    CHECK(gmpunch_client_stage(client) == GMPUNCH_STAGE_MASTER);
    gmpunch_client_close(client);
    uint64_t before = gmpunch_now(), before_us = gmpunch_now_us();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = gmpunch_now(), now_us = gmpunch_now_us();
        REQUIRE(now >= before);
        REQUIRE(now_us >= before_us);
        before = now;
        before_us = now_us;
    }
    CHECK(gmpunch_now_us() / 1000 - gmpunch_now() <= 1000); // the same clock
}

// ---- texts ----

namespace {

// All of a band of numbers have their own text, and others have one as well.
void check_names(const char *(*name)(int32_t), const std::vector<int32_t> &known, int32_t outside) {
    std::set<std::string> seen;
    for (int32_t value : known) {
        CAPTURE(value);
        REQUIRE(name(value) != nullptr);
        CHECK(!std::string(name(value)).empty());
        CHECK(seen.insert(name(value)).second);
    }
    REQUIRE(name(outside) != nullptr);
    std::string unknown = name(outside);
    CHECK(!unknown.empty());
    CHECK(!seen.count(unknown));
    for (int32_t value : {INT32_MIN, INT32_MIN + 1, -1000, -199}) {
        REQUIRE(name(value) != nullptr);
        CHECK(std::string(name(value)) == unknown);
    }
    REQUIRE(name(INT32_MAX) != nullptr);
}

std::vector<int32_t> up_to(int32_t last, int32_t first = 0) {
    std::vector<int32_t> all;
    for (int32_t i = first; i <= last; i++) all.push_back(i);
    return all;
}

bool is_name(const std::string &text) { return text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos; }

} // namespace

TEST_CASE("limits: every result, event, reason, stage and way has a name of its own") {
    const std::vector<int32_t> results = {GMPUNCH_OK,
                                          GMPUNCH_ERR_ARGUMENT,
                                          GMPUNCH_ERR_CONFIG,
                                          GMPUNCH_ERR_ADDRESS,
                                          GMPUNCH_ERR_RESERVED,
                                          GMPUNCH_ERR_STATE,
                                          GMPUNCH_ERR_PEER,
                                          GMPUNCH_ERR_NOT_CONNECTED,
                                          GMPUNCH_ERR_MEMORY,
                                          GMPUNCH_ERR_CONNECTION,
                                          GMPUNCH_ERR_FULL,
                                          GMPUNCH_ERR_WOULD_BLOCK,
                                          GMPUNCH_ERR_TOO_LONG,
                                          GMPUNCH_ERR_END,
                                          GMPUNCH_ERR_SOCKET,
                                          GMPUNCH_ERR_ADDRESS_IN_USE,
                                          GMPUNCH_ERR_ACCESS,
                                          GMPUNCH_ERR_ADDRESS_NOT_HERE,
                                          GMPUNCH_ERR_DESCRIPTORS,
                                          GMPUNCH_ERR_MALFORMED};
    check_names(gmpunch_strerror, results, -999);
    check_names(gmpunch_error_name, results, -999);
    for (int32_t positive : {1, 7, INT32_MAX}) { // a count: success
        CHECK(std::string(gmpunch_strerror(positive)) == gmpunch_strerror(GMPUNCH_OK));
        CHECK(std::string(gmpunch_error_name(positive)) == "OK");
    }
    CHECK(std::string(gmpunch_error_name(GMPUNCH_ERR_ARGUMENT)) == "ARGUMENT");
    // nothing between them was forgotten: those without a name are no results
    for (int32_t value = -600; value < 0; value++)
        CHECK((std::find(results.begin(), results.end(), value) != results.end()) ==
              (std::string(gmpunch_error_name(value)) != gmpunch_error_name(-999)));

    std::vector<int32_t> events = up_to(GMPUNCH_EVENT_RESOLVE);
    for (int32_t type : up_to(GMPUNCH_EVENT_HOST_DATA, GMPUNCH_EVENT_FOUND)) events.push_back(type);
    for (int32_t type : up_to(GMPUNCH_EVENT_LEFT, GMPUNCH_EVENT_REGISTERED)) events.push_back(type);
    for (int32_t type : up_to(GMPUNCH_EVENT_NOT_FOUND, GMPUNCH_EVENT_HOST_ADDED)) events.push_back(type);
    for (int32_t type : up_to(GMPUNCH_EVENT_LOBBY_DONE, GMPUNCH_EVENT_LOBBY_ENTRY)) events.push_back(type);
    check_names(gmpunch_event_name, events, 999);
    const std::vector<int32_t> reasons = up_to(GMPUNCH_REASON_VERSION);
    check_names(gmpunch_reason_name, reasons, 999);
    check_names(gmpunch_reason_text, reasons, 999);
    check_names(gmpunch_stage_name, up_to(GMPUNCH_STAGE_LOST, GMPUNCH_STAGE_MASTER), 999);
    check_names(gmpunch_how_name, up_to(GMPUNCH_HOW_DIRECT), 999);
    for (int32_t type : events) CHECK(is_name(gmpunch_event_name(type)));
    for (int32_t reason : reasons) {
        CHECK(is_name(gmpunch_reason_name(reason)));
        std::string sentence = gmpunch_reason_text(reason);
        CHECK(sentence.back() == '.');
        CHECK(sentence.size() < 250);
    }
    CHECK(std::string(gmpunch_reason_name(GMPUNCH_REASON_HOST_SILENT)) == "host_silent");
    // a reason after the last named one would have to be added here
    CHECK(std::string(gmpunch_reason_name(GMPUNCH_REASON_VERSION + 1)) == gmpunch_reason_name(999));
    CHECK(std::string(gmpunch_event_name(GMPUNCH_EVENT_LOBBY_DONE + 1)) == gmpunch_event_name(999));
}

TEST_CASE("limits: strings of an event without any are empty") {
    gmpunch_event event = gmpunch_event();
    for (uint32_t number : {0u, 1u, 8u, 9u, 0xffffffffu}) {
        CHECK(gmpunch_event_string(nullptr, number)[0] == 0);
        for (int32_t type : {GMPUNCH_EVENT_NONE, GMPUNCH_EVENT_DATA, GMPUNCH_EVENT_HOST_DATA, GMPUNCH_EVENT_CONNECTED}) {
            event.type = type;
            CHECK(gmpunch_event_string(&event, number)[0] == 0);
        }
    }
    bytes data = bin("\xfa"
                     "1\0"
                     "2\0"
                     "3\0"
                     "4\0"
                     "5\0"
                     "6\0"
                     "7\0"
                     "8\0");
    event.type = GMPUNCH_EVENT_HOST_DATA;
    event.data = data.data();
    event.len = uint32_t(data.size());
    for (uint32_t number = 1; number <= 8; number++) CHECK(gmpunch_event_string(&event, number) == std::to_string(number));
    for (uint32_t number : {0u, 9u, 0xffffffffu}) CHECK(gmpunch_event_string(&event, number)[0] == 0);
    event.type = GMPUNCH_EVENT_DATA;
    CHECK(gmpunch_event_string(&event, 1)[0] == 0);
}

TEST_CASE("limits: versions") {
    CHECK(gmpunch_version() == GMPUNCH_VERSION);
    CHECK(std::string(gmpunch_version_string()) == GMPUNCH_VERSION_STRING);
    CHECK(GMPUNCH_VERSION == GMPUNCH_VERSION_MAJOR * 1000000 + GMPUNCH_VERSION_MINOR * 1000 + GMPUNCH_VERSION_PATCH);
    CHECK(std::string(GMPUNCH_VERSION_STRING) == std::to_string(GMPUNCH_VERSION_MAJOR) + "." +
                                                     std::to_string(GMPUNCH_VERSION_MINOR) + "." +
                                                     std::to_string(GMPUNCH_VERSION_PATCH));
}

// ---- logs ----

namespace {

struct log_line {
    int32_t level, item;
    std::string text;
};

void keep_line(void *user, int32_t level, int32_t item, const char *text) {
    log_line line = {level, item, text};
    static_cast<std::vector<log_line> *>(user)->push_back(line);
}

size_t count_lines(const std::vector<log_line> &lines, int32_t item) {
    return size_t(std::count_if(lines.begin(), lines.end(), [=](const log_line &line) { return line.item == item; }));
}

} // namespace

TEST_CASE("limits: what happens is logged, to whom it was asked for") {
    std::vector<log_line> host_lines, client_lines, master_lines;
    gmpunch_master_config master_config = gmpunch_master_config();
    master_config.log = keep_line;
    master_config.log_user = &master_lines;
    master_config.max_connections = 2;
    {
        sim::world w(&master_config);
        auto host_router = std::make_shared<sim::nat>("198.51.100.7"),
             client_router = std::make_shared<sim::nat>("192.0.2.55");
        gmpunch_host_config host_config = gmpunch_host_config();
        host_config.log = keep_line;
        host_config.log_user = &host_lines;
        host_config.max_peers = 1;
        sim::node &host = w.add_host(host_router, host_config);
        w.run(3000);
        gmpunch_client_config client_config = gmpunch_client_config();
        client_config.server = "198.51.100.7";
        client_config.log = keep_line;
        client_config.log_user = &client_lines;
        sim::node &client = w.add_client(client_router, client_config);
        REQUIRE(w.run([&] { return gmpunch_client_stage(client.client) == GMPUNCH_STAGE_CONNECTED; }, 10000));
        // one too many at the host, and at the master
        gmpunch_address from = address("192.0.2.99:5000");
        const uint8_t knock = 0xfd;
        CHECK(gmpunch_host_input_udp(host.host, w.now, &from, 0, &knock, 1) == GMPUNCH_CONSUMED);
        gmpunch_host_stats stats = gmpunch_host_stats();
        gmpunch_host_get_stats(host.host, &stats);
        CHECK(stats.refused_full == 1);
        CHECK(stats.peers == 1);
        uint32_t connection;
        CHECK(gmpunch_master_tcp_accepted(w.master, w.now, &from, &connection) == GMPUNCH_OK);
        CHECK(gmpunch_master_tcp_accepted(w.master, w.now, &from, &connection) == GMPUNCH_ERR_FULL);
        gmpunch_master_stats master_stats = gmpunch_master_stats();
        gmpunch_master_get_stats(w.master, &master_stats);
        CHECK(master_stats.refused_connections == 1);
    }
    for (const std::vector<log_line> *lines : {&host_lines, &client_lines, &master_lines}) {
        CHECK(!lines->empty());
        for (const log_line &line : *lines) {
            CAPTURE(line.text);
            CHECK(line.level >= GMPUNCH_LOG_ERROR);
            CHECK(line.level <= GMPUNCH_LOG_DEBUG);
            CHECK(line.item >= GMPUNCH_LOG_ITEM_STAGE);
            CHECK(line.item <= GMPUNCH_LOG_ITEM_SOCKET);
            CHECK(!line.text.empty());
            CHECK(line.text.find('\n') == std::string::npos);
        }
    }
    CHECK(count_lines(client_lines, GMPUNCH_LOG_ITEM_STAGE) >= 3);
    CHECK(count_lines(host_lines, GMPUNCH_LOG_ITEM_MASTER) >= 1);
    CHECK(count_lines(host_lines, GMPUNCH_LOG_ITEM_INTRODUCTION) == 1);
    CHECK(count_lines(host_lines, GMPUNCH_LOG_ITEM_PEER) == 1);
    REQUIRE(count_lines(host_lines, GMPUNCH_LOG_ITEM_REFUSED) == 1);
    CHECK(host_lines.back().level == GMPUNCH_LOG_WARNING);
    CHECK(host_lines.back().text.find("192.0.2.99:5000") != std::string::npos);
    CHECK(count_lines(master_lines, GMPUNCH_LOG_ITEM_PEER) >= 1);
    CHECK(count_lines(master_lines, GMPUNCH_LOG_ITEM_REFUSED) == 1);
}

TEST_CASE("limits: the log function for stderr takes any level") {
    for (int32_t level : {INT32_MIN, 0, 1, 4, 5, INT32_MAX}) gmpunch_log_stderr(nullptr, level, 1, "a line of the tests");
}
