// Micro-benchmarks without sockets: encoding and decoding, and the master's engine with many hosts. Needs Google Benchmark.
//
//   c++ -O2 tests/bench/micro.cpp -lbenchmark -lpthread -o micro && ./micro
//
// The last number in a name is that of registered hosts, each from an IP of its own. The counters: `allocations` for each
// operation, `bytes_per_host` of the engine's memory. Virtual time passes, a millisecond for each operation, so that what
// expires does so here too.
#define GMPUNCH_IMPLEMENTATION
#include "../../gmpunch.h"

#include <benchmark/benchmark.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

// ---- encode and decode

void encode_datagram(benchmark::State &state) {
    uint8_t payload[64] = {1}, datagram[128];
    for (auto _ : state) {
        benchmark::DoNotOptimize(gmpunch_datagram_encode(datagram, sizeof datagram, payload, sizeof payload, 0));
        benchmark::ClobberMemory();
    }
}
BENCHMARK(encode_datagram);

void decode_datagram(benchmark::State &state) {
    uint8_t payload[64] = {1}, datagram[128];
    int32_t len = gmpunch_datagram_encode(datagram, sizeof datagram, payload, sizeof payload, 0);
    for (auto _ : state) {
        const uint8_t *at;
        size_t size;
        benchmark::DoNotOptimize(gmpunch_datagram_decode(datagram, size_t(len), 0, &at, &size, nullptr));
        benchmark::DoNotOptimize(at);
        benchmark::ClobberMemory();
    }
}
BENCHMARK(decode_datagram);

// What a master sends to a host: id, ip, port.
void encode_introduction(benchmark::State &state) {
    gmpunch_address address;
    gmpunch_address_parse("198.51.100.7:6611", 0, &address);
    uint8_t memory[128];
    for (auto _ : state) {
        gmpunch_buffer out;
        char text[GMPUNCH_ADDRESS_TEXT_SIZE];
        gmpunch_address ip = address;
        ip.port = 0;
        gmpunch_address_format(&ip, text, sizeof text);
        gmpunch_buffer_init(&out, memory, sizeof memory, 1);
        gmpunch_buffer_write_s8(&out, -1);
        gmpunch_buffer_write_string(&out, text);
        std::snprintf(text, sizeof text, "%u", unsigned(address.port));
        benchmark::DoNotOptimize(gmpunch_buffer_write_string(&out, text));
        benchmark::ClobberMemory();
    }
}
BENCHMARK(encode_introduction);

void decode_introduction(benchmark::State &state) {
    const char bytes[] = "\xff"
                         "198.51.100.7\0"
                         "6611";
    for (auto _ : state) {
        gmpunch_buffer in;
        gmpunch_address address;
        size_t len;
        gmpunch_buffer_init_read(&in, bytes, sizeof bytes, 1);
        benchmark::DoNotOptimize(gmpunch_buffer_read_s8(&in));
        const char *ip = gmpunch_buffer_read_string(&in, &len, nullptr);
        const char *port = gmpunch_buffer_read_string(&in, &len, nullptr);
        benchmark::DoNotOptimize(gmpunch_address_parse(ip, uint16_t(std::strtoul(port, nullptr, 10)), &address));
        benchmark::ClobberMemory();
    }
}
BENCHMARK(decode_introduction);

// ---- the engine

using bytes = std::string;
const bytes reg("reg\n\0", 5), announcement("connect\n\0", 9), ping("ping\n\0", 6);

bytes with_header(const bytes &payload) { // GameMaker's
    uint8_t datagram[64];
    int32_t len = gmpunch_datagram_encode(datagram, sizeof datagram, payload.data(), payload.size(), 0);
    return bytes(reinterpret_cast<char *>(datagram), size_t(len));
}

bytes registration(const bytes &first) { // as of a gmpunch host, with one string
    bytes out = reg +
                bytes("reg2\n\0"
                      "1.2.4\n\0",
                      13) +
                first;
    for (int i = 0; i < GMPUNCH_DATA_STRINGS; i++) out += bytes("\n\0", 2);
    return out;
}

bytes request_list(const bytes &filter, const bytes &limit) {
    bytes out("lobby2\n\0", 8);
    out += filter;
    for (int i = 0; i < GMPUNCH_DATA_STRINGS; i++) out += bytes("\n\0", 2);
    return out + bytes("date\n\0DESC\n\0", 12) + limit + bytes("\n\0", 2);
}

gmpunch_address ipv4(uint32_t ip, uint16_t port) {
    return {4, 0, port, 0, {uint8_t(ip >> 24), uint8_t(ip >> 16), uint8_t(ip >> 8), uint8_t(ip)}};
}
gmpunch_address host_at(uint32_t number) { return ipv4(0x0a000001 + number, uint16_t(1024 + number % 60000)); }
gmpunch_address client_at(uint32_t number) { return ipv4(0x65000001 + number, uint16_t(2048 + number % 50000)); }

class engine {
public:
    explicit engine(uint32_t count) : hosts(count) {
        gmpunch_master_config config = {};
        config.allocator = {[](size_t size, void *user) {
                                ++*static_cast<uint64_t *>(user);
                                return std::malloc(size);
                            },
                            [](void *memory, size_t, void *) { std::free(memory); }, &allocations};
        config.host_timeout_ms = config.idle_timeout_ms = GMPUNCH_NEVER;
        config.max_connections = count + 100000;
        config.max_ports = 2 * config.max_connections;
        config.max_messages = config.max_connections;
        config.max_data = 1u << 30;
        check(gmpunch_master_create(&config, now, &master) == GMPUNCH_OK);
        connection.reserve(count);
        for (uint32_t i = 0; i < count; i++) connection.push_back(add(host_at(i), i < rare ? "rare" : ""));
        gmpunch_master_stats stats = get_stats();
        check(stats.hosts == count);
        bytes_per_host = double(stats.memory) / count;
    }
    ~engine() { gmpunch_master_close(master); }
    engine(const engine &) = delete;
    engine &operator=(const engine &) = delete;

    static void check(bool holds) {
        if (holds) return;
        std::fprintf(stderr, "micro: the engine did not do what it should\n");
        std::exit(1);
    }
    gmpunch_master_stats get_stats() const {
        gmpunch_master_stats stats = {};
        gmpunch_master_get_stats(master, &stats);
        return stats;
    }

    void udp(const gmpunch_address &from, const bytes &datagram) {
        gmpunch_master_input_udp(master, now, &from, 0, reinterpret_cast<const uint8_t *>(datagram.data()), datagram.size());
    }
    void tcp(uint32_t id, const char *data, size_t len) {
        gmpunch_master_tcp_data(master, now, id, reinterpret_cast<const uint8_t *>(data), len);
    }
    void tcp(uint32_t id, const bytes &data) { tcp(id, data.data(), data.size()); }
    uint32_t accept(const gmpunch_address &from) {
        uint32_t id = 0;
        check(gmpunch_master_tcp_accepted(master, now, &from, &id) == GMPUNCH_OK);
        return id;
    }
    void close(uint32_t id) { gmpunch_master_tcp_closed(master, now, id, 0); }
    // Lets the master's output out. Returns how many messages that were; nothing is closed by the master.
    int flush() {
        gmpunch_transmit transmit;
        gmpunch_event event;
        int sent = 0;
        for (; gmpunch_master_next_transmit(master, &transmit) > 0; sent++)
            check(transmit.kind == GMPUNCH_TRANSMIT_TCP_SEND);
        while (gmpunch_master_next_event(master, &event) > 0) {}
        return sent;
    }
    void pass_time() {
        now++;
        if (now >= gmpunch_master_next_deadline(master)) gmpunch_master_tick(master, now);
    }

    uint32_t add(const gmpunch_address &from, const bytes &data) {
        static const bytes announced = with_header(reg);
        udp(from, announced);
        uint32_t id = accept(from);
        tcp(id, registration(data));
        flush();
        return id;
    }
    // A client asks for a host; both must be told.
    void introduce(uint32_t id, const gmpunch_address &client) {
        static const bytes announced = with_header(announcement);
        next = (next * 1664525u + 1013904223u);
        gmpunch_address host = host_at(uint32_t(uint64_t(next) * hosts >> 32));
        char text[64] = "connect\n\0", *at = text + 9; // sprintf would cost a tenth of the whole
        for (int i = 0; i < 4; i++) {
            unsigned octet = host.ip[i];
            if (octet >= 100) *at++ = char('0' + octet / 100);
            if (octet >= 10) *at++ = char('0' + octet / 10 % 10);
            *at++ = char('0' + octet % 10);
            *at++ = i < 3 ? '.' : '\n';
        }
        at++; // the NUL
        udp(client, announced);
        tcp(id, text, size_t(at - text));
        check(flush() == 2);
    }

    static const uint32_t rare = 20;
    uint32_t hosts, operations = 0;
    uint64_t allocations = 0, now = 1000;
    double bytes_per_host = 0;
    std::vector<uint32_t> connection; // of the hosts
    gmpunch_master *master = nullptr;

private:
    uint32_t next = 1;
};

engine &with_hosts(uint32_t hosts) {
    static std::map<uint32_t, std::unique_ptr<engine>> engines;
    std::unique_ptr<engine> &made = engines[hosts];
    if (!made) made.reset(new engine(hosts));
    return *made;
}

// Runs an operation, and counts what it allocates once all that grows has grown.
template <typename Operation>
void measure(benchmark::State &state, Operation operation) {
    engine &e = with_hosts(uint32_t(state.range(0)));
    for (int i = 0; i < 20000; i++, e.pass_time()) operation(e, e.operations++);
    uint64_t before = e.allocations;
    for (auto _ : state) {
        operation(e, e.operations++);
        e.pass_time();
    }
    state.counters["allocations"] = double(e.allocations - before) / double(state.iterations());
    state.counters["bytes_per_host"] = e.bytes_per_host;
}

// Each client keeps its connection and asks again after five seconds.
void introduce_reused(benchmark::State &state) {
    std::vector<uint32_t> clients(5000);
    engine &e = with_hosts(uint32_t(state.range(0)));
    for (uint32_t i = 0; i < clients.size(); i++) clients[i] = e.accept(client_at(i));
    measure(state, [&](engine &, uint32_t number) {
        number %= uint32_t(clients.size());
        e.introduce(clients[number], client_at(number));
    });
    for (uint32_t id : clients) e.close(id);
}

// Each client comes, asks and goes.
void introduce_fresh(benchmark::State &state) {
    measure(state, [](engine &e, uint32_t number) {
        gmpunch_address client = client_at(number % 65536);
        uint32_t id = e.accept(client);
        e.introduce(id, client);
        e.close(id);
        e.flush();
    });
}

void register_and_leave(benchmark::State &state) {
    measure(state, [](engine &e, uint32_t number) {
        uint32_t id = e.add(ipv4(0xc0000001 + number % 65536, 6510), "");
        e.close(id);
        e.flush();
    });
}

void keep_alive_udp(benchmark::State &state) {
    static const bytes announced = with_header(reg);
    measure(state, [](engine &e, uint32_t number) { e.udp(host_at(number * 7919u % e.hosts), announced); });
}

void keep_alive_tcp(benchmark::State &state) {
    measure(state, [](engine &e, uint32_t number) { e.tcp(e.connection[number * 7919u % e.hosts], ping); });
}

// A list for a client that comes, asks and goes; `changed`: after a host came or went.
void list(benchmark::State &state, const bytes &request, bool changed) {
    engine &e = with_hosts(uint32_t(state.range(0)));
    uint32_t visitor = 0;
    for (auto _ : state) {
        if (changed) {
            if (visitor) e.close(visitor);
            visitor = visitor ? 0 : e.add(ipv4(0xc0000001 + e.operations % 65536, 6510), "");
        }
        uint32_t id = e.accept(client_at(e.operations++ % 65536));
        e.tcp(id, request);
        engine::check(e.flush() == 1);
        e.close(id);
        e.pass_time();
    }
    if (visitor) e.close(visitor);
    e.flush();
}

void list_full(benchmark::State &state) { list(state, request_list("", ""), false); }
void list_full_changed(benchmark::State &state) { list(state, request_list("", ""), true); }
void list_filtered(benchmark::State &state) { list(state, request_list("rare", ""), false); }
void list_filtered_changed(benchmark::State &state) { list(state, request_list("rare", ""), true); }
void list_limited_changed(benchmark::State &state) { list(state, request_list("", "20"), true); }

} // namespace

int main(int argc, char **argv) {
    for (int hosts : {1000, 10000, 100000, 1000000}) {
        auto add = [&](const char *name, void (*function)(benchmark::State &)) {
            benchmark::RegisterBenchmark(name, function)->Arg(hosts);
        };
        add("introduce_reused", introduce_reused);
        add("introduce_fresh", introduce_fresh);
        add("register_and_leave", register_and_leave);
        add("keep_alive_udp", keep_alive_udp);
        add("keep_alive_tcp", keep_alive_tcp);
        if (hosts > 10000) continue;
        add("list_full", list_full);
        add("list_full_changed", list_full_changed);
        add("list_filtered", list_filtered);
        add("list_filtered_changed", list_filtered_changed);
        add("list_limited_changed", list_limited_changed);
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
