// Benchmarks over loopback: the cost of an idle poll, and the time until connected.
//
//   gmpunch_bench [ROUNDS]            prints medians and 99th percentiles
//   gmpunch_bench --idle WHO POLLS    WHO is client, host or master: polls idle, between two markers on stdout, for a tracer
//                                     that counts system calls
#define GMPUNCH_IMPLEMENTATION
#include "../../gmpunch.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

[[noreturn]] void die(const char *what, int32_t result) {
    std::fprintf(stderr, "gmpunch_bench: %s: %s\n", what, gmpunch_strerror(result));
    std::exit(1);
}

// Master, host and client on 127.0.0.1.
struct trio {
    gmpunch_master *master = nullptr;
    gmpunch_host *host = nullptr;
    gmpunch_client *client = nullptr;
    std::string master_address;
    bool registered = false, connected = false;

    trio() {
        gmpunch_master_config config = {};
        config.bind_address = "127.0.0.1";
        config.any_port = 1;
        int32_t result = gmpunch_master_open(&config, &master);
        if (result) die("master", result);
        gmpunch_address at;
        char text[GMPUNCH_ADDRESS_TEXT_SIZE];
        gmpunch_master_local_address(master, 0, &at);
        gmpunch_address_format(&at, text, sizeof text);
        master_address = text;
        gmpunch_host_config host_config = {};
        host_config.master = text;
        host_config.bind_address = "127.0.0.1";
        host_config.max_peers = 65535; // clients leave without a word: their places stay taken for a while
        result = gmpunch_host_open(&host_config, &host);
        if (result) die("host", result);
        // until the last of the first registrations has gone out: nothing is in flight then
        for (uint64_t end = gmpunch_now() + 2500; gmpunch_now() < end;) turn(1);
        if (!registered) die("host", GMPUNCH_ERR_NOT_CONNECTED);
    }
    ~trio() {
        gmpunch_client_close(client);
        gmpunch_host_close(host);
        gmpunch_master_close(master);
    }
    trio(const trio &) = delete;
    trio &operator=(const trio &) = delete;

    void turn(uint32_t wait_ms) {
        gmpunch_event event;
        while (gmpunch_master_poll(master, &event, 0) > 0) {}
        while (gmpunch_host_poll(host, &event, wait_ms) > 0) registered = registered || event.type == GMPUNCH_EVENT_REGISTERED;
        while (client && gmpunch_client_poll(client, &event, 0) > 0)
            connected = connected || event.type == GMPUNCH_EVENT_CONNECTED;
    }
    void open_client() {
        gmpunch_client_config config = {};
        config.master = master_address.c_str();
        config.server = "127.0.0.1";
        config.bind_address = "127.0.0.1";
        gmpunch_client_close(client);
        connected = false;
        int32_t result = gmpunch_client_open(&config, &client);
        if (result) die("client", result);
    }
    double connect_ms() {
        uint64_t start = gmpunch_now_us();
        open_client();
        while (!connected && gmpunch_now_us() - start < 10000000) turn(0);
        if (!connected) die("connecting", GMPUNCH_ERR_NOT_CONNECTED);
        return double(gmpunch_now_us() - start) / 1000;
    }
    void idle(const std::string &who) {
        gmpunch_event event;
        if (who == "client") gmpunch_client_poll(client, &event, 0);
        else if (who == "host") gmpunch_host_poll(host, &event, 0);
        else gmpunch_master_poll(master, &event, 0);
    }
    // Drains what is still on the way, so that nothing but idleness is measured.
    void settle() {
        for (uint64_t end = gmpunch_now() + 100; gmpunch_now() < end;) turn(1);
    }
};

void report(const char *what, const char *unit, std::vector<double> samples) {
    std::sort(samples.begin(), samples.end());
    std::printf("%-28s median %8.2f %s   p99 %8.2f %s   n %zu\n", what, samples[samples.size() / 2], unit,
                samples[samples.size() * 99 / 100], unit, samples.size());
}

} // namespace

int main(int argc, char **argv) {
    trio t;
    if (argc == 4 && std::strcmp(argv[1], "--idle") == 0) {
        std::string who = argv[2];
        long polls = std::strtol(argv[3], nullptr, 10);
        t.connect_ms();
        t.settle();
        std::printf("idle begins\n");
        std::fflush(stdout);
        for (long i = 0; i < polls; i++) t.idle(who);
        std::printf("idle ends\n");
        std::fflush(stdout);
        return 0;
    }
    size_t rounds = argc > 1 ? size_t(std::strtoul(argv[1], nullptr, 10)) : 200;
    if (rounds == 0) {
        std::fprintf(stderr, "usage: gmpunch_bench [ROUNDS] | --idle client|host|master POLLS\n");
        return 2;
    }
    std::vector<double> times;
    for (size_t i = 0; i < rounds; i++) times.push_back(t.connect_ms());
    report("open to connected", "ms", times);
    t.settle();
    for (const char *who : {"client", "host", "master"}) {
        times.clear();
        for (size_t i = 0; i < rounds * 10; i++) {
            uint64_t start = gmpunch_now_us();
            for (int k = 0; k < 20; k++) t.idle(who);
            times.push_back(double(gmpunch_now_us() - start) / 20);
        }
        report((std::string("idle poll, ") + who).c_str(), "us", times);
    }
    return 0;
}
