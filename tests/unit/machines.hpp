// A host and a client without sockets: the test plays the network and the clock.
#ifndef GMPUNCH_TESTS_MACHINES_HPP
#define GMPUNCH_TESTS_MACHINES_HPP

#include "gmpunch_internal.hpp"

#include <algorithm>
#include <cstdlib>

namespace {

const bytes knock = with_header(bin("\xfd")), welcome = with_header(bin("\xfc")), ask = with_header(bin("\xfb"));

inline bytes introduction(const char *ip, const char *port) {
    bytes out(1, 0xff);
    out.insert(out.end(), ip, ip + strlen(ip) + 1);
    out.insert(out.end(), port, port + strlen(port) + 1);
    return out;
}

struct allocations {
    int count = 0;
    size_t bytes = 0;
    gmpunch_allocator allocator() {
        gmpunch_allocator made{};
        made.alloc = [](size_t size, void *user) -> void * {
            static_cast<allocations *>(user)->count++;
            static_cast<allocations *>(user)->bytes += size;
            return std::malloc(size);
        };
        made.free = [](void *memory, size_t size, void *user) {
            static_cast<allocations *>(user)->bytes -= size;
            std::free(memory);
        };
        made.user = this;
        return made;
    }
};

struct host_fixture {
    gmpunch_host *host = nullptr;
    uint64_t now = 5000;
    std::vector<gmpunch_transmit> out;
    std::vector<bytes> out_data;
    std::vector<gmpunch_event> events;
    gmpunch_address a = address("192.0.2.10:7001"), b = address("192.0.2.11:7001"), c = address("192.0.2.12:7001");

    static gmpunch_host_config config() {
        gmpunch_host_config made{};
        made.master = "203.0.113.1";
        made.data[0] = "game 1";
        made.data[1] = "My Server";
        return made;
    }
    explicit host_fixture(gmpunch_host_config made = config()) {
        REQUIRE(gmpunch_host_create(&made, now, &host) == GMPUNCH_OK);
        drain();
    }
    ~host_fixture() { gmpunch_host_close(host); }
    host_fixture(const host_fixture &) = delete;
    host_fixture &operator=(const host_fixture &) = delete;

    void drain() {
        gmpunch_transmit t;
        while (gmpunch_host_next_transmit(host, &t) == 1) {
            out.push_back(t);
            out_data.push_back(bytes(t.data, t.data + t.len));
        }
        gmpunch_event e;
        while (gmpunch_host_next_event(host, &e) == 1) events.push_back(e);
    }
    void forget() {
        out.clear();
        out_data.clear();
        events.clear();
    }
    void wait(uint64_t ms) {
        uint64_t end = now + ms;
        while (gmpunch_host_next_deadline(host) <= end) {
            now = std::max(now, gmpunch_host_next_deadline(host));
            gmpunch_host_tick(host, now);
            drain();
            REQUIRE(gmpunch_host_next_deadline(host) > now);
        }
        now = end;
    }
    size_t sent(const bytes &data, const gmpunch_address *to = nullptr) const {
        size_t n = 0;
        for (size_t i = 0; i < out.size(); i++) n += out_data[i] == data && (!to || gmpunch_address_equal(&out[i].to, to));
        return n;
    }
    uint32_t connection() const {
        for (size_t i = out.size(); i-- > 0;)
            if (out[i].kind == GMPUNCH_TRANSMIT_TCP_OPEN) return out[i].connection;
        return 0;
    }
    uint32_t id = 0;
    void open() {
        id = connection();
        REQUIRE(gmpunch_host_tcp_opened(host, now, id) == GMPUNCH_OK);
        drain();
    }
    void registered() {
        open();
        wait(275000); // until a whole interval is between registrations
        forget();
    }
    void tcp(const bytes &data) {
        REQUIRE(gmpunch_host_tcp_data(host, now, id, data.data(), data.size()) == GMPUNCH_OK);
        drain();
    }
    int32_t udp(const gmpunch_address &from, const bytes &data) {
        int32_t result = gmpunch_host_input_udp(host, now, &from, 0, data.data(), data.size());
        drain();
        return result;
    }
    size_t count(int32_t type) const {
        return size_t(std::count_if(events.begin(), events.end(), [=](const gmpunch_event &e) { return e.type == type; }));
    }
    const gmpunch_event &last(int32_t type) const {
        REQUIRE(count(type) > 0);
        return *std::find_if(events.rbegin(), events.rend(), [=](const gmpunch_event &e) { return e.type == type; });
    }
    gmpunch_host_stats stats() const {
        gmpunch_host_stats made{};
        REQUIRE(gmpunch_host_get_stats(host, &made) == GMPUNCH_OK);
        return made;
    }
};

struct client_fixture {
    allocations memory;
    gmpunch_client *client = nullptr;
    uint64_t now = 5000;
    std::vector<gmpunch_transmit> out;
    std::vector<bytes> out_data;
    std::vector<gmpunch_event> events;
    gmpunch_address server = address("198.51.100.7:6611");

    static gmpunch_client_config config() {
        gmpunch_client_config made{};
        made.master = "203.0.113.1";
        made.server = "198.51.100.7";
        return made;
    }
    explicit client_fixture(gmpunch_client_config made = config()) {
        made.allocator = memory.allocator();
        REQUIRE(gmpunch_client_create(&made, now, &client) == GMPUNCH_OK);
        drain();
    }
    ~client_fixture() {
        CHECK(memory.count == 1); // at creation, none after
        gmpunch_client_close(client);
        CHECK(memory.bytes == 0);
    }
    client_fixture(const client_fixture &) = delete;
    client_fixture &operator=(const client_fixture &) = delete;

    void drain() {
        gmpunch_transmit t;
        while (gmpunch_client_next_transmit(client, &t) == 1) {
            out.push_back(t);
            out_data.push_back(bytes(t.data, t.data + t.len));
        }
        gmpunch_event e;
        while (gmpunch_client_next_event(client, &e) == 1) events.push_back(e);
    }
    // Moves time on, ticking at each deadline on the way.
    void wait(uint64_t ms) {
        uint64_t end = now + ms;
        while (gmpunch_client_next_deadline(client) <= end) {
            uint64_t due = gmpunch_client_next_deadline(client);
            REQUIRE(due > now - (due <= now)); // a deadline that was served does not come back
            now = std::max(now, due);
            gmpunch_client_tick(client, now);
            drain();
        }
        now = end;
    }
    size_t sent(int32_t kind, const bytes &data) const {
        size_t n = 0;
        for (size_t i = 0; i < out.size(); i++) n += out[i].kind == kind && out_data[i] == data;
        return n;
    }
    size_t count(int32_t kind) const {
        return size_t(std::count_if(out.begin(), out.end(), [=](const gmpunch_transmit &t) { return t.kind == kind; }));
    }
    uint32_t connection() const {
        for (size_t i = out.size(); i-- > 0;)
            if (out[i].kind == GMPUNCH_TRANSMIT_TCP_OPEN) return out[i].connection;
        return 0;
    }
    void open() {
        REQUIRE(gmpunch_client_tcp_opened(client, now, connection()) == GMPUNCH_OK);
        drain();
    }
    int32_t tcp(const bytes &data) {
        int32_t result = gmpunch_client_tcp_data(client, now, connection(), data.data(), data.size());
        drain();
        return result;
    }
    int32_t udp(const gmpunch_address &from, const bytes &data, uint32_t socket = 0) {
        int32_t result = gmpunch_client_input_udp(client, now, &from, socket, data.data(), data.size());
        drain();
        return result;
    }
    void find() {
        open();
        REQUIRE(tcp(bin("\xff"
                        "198.51.100.7\0"
                        "6611\0")) == GMPUNCH_OK);
    }
    void connect() {
        find();
        REQUIRE(udp(server, with_header(bin("\xfc"))) == GMPUNCH_CONSUMED);
        REQUIRE(stage() == GMPUNCH_STAGE_CONNECTED);
        out.clear();
        out_data.clear();
    }
    int32_t stage() const { return gmpunch_client_stage(client); }
    const gmpunch_event &last() const {
        REQUIRE(!events.empty());
        return events.back();
    }
    gmpunch_client_stats stats() const {
        gmpunch_client_stats made{};
        REQUIRE(gmpunch_client_get_stats(client, &made) == GMPUNCH_OK);
        return made;
    }
};

} // namespace

#endif
