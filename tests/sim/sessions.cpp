// Random worlds by seed: hosts and clients behind routers of all kinds, on lines of all kinds, with masters that restart, lines
// that break and hosts that move. Checked: what invariants.hpp says at every step; that every client comes to an end in time
// and says why; that the hosts are registered again once the faults are over; and that those meet of whom theory says so.
#define DOCTEST_CONFIG_IMPLEMENT
[[noreturn]] void assertion_failed(const char *what);
#define GMPUNCH_ASSERT(x) ((x) ? (void)0 : assertion_failed(#x))
#include "gate_punch.hpp"
#include "meeting.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <thread>

void assertion_failed(const char *what) { throw sim::broken(std::string("assertion: ") + what); }

namespace {

using namespace sim;

struct tally {
    uint64_t worlds = 0, sessions = 0, connected = 0, failed = 0;
    uint64_t expected = 0, apart = 0;        // checked against theory
    uint64_t lossy = 0, lossy_connected = 0; // theory says yes, but the lines are bad
    uint64_t linux_like = 0, linux_connected = 0;

    void add(const tally &other) {
        worlds += other.worlds, sessions += other.sessions, connected += other.connected, failed += other.failed;
        expected += other.expected, apart += other.apart;
        lossy += other.lossy, lossy_connected += other.lossy_connected;
        linux_like += other.linux_like, linux_connected += other.linux_connected;
    }
};

class drama {
public:
    drama(uint64_t seed, std::function<void(const std::string &)> trace)
        : random(seed), java(random.chance(2500)), w([this](uint64_t at) { return start_master(at); }) {
        w.random = random_source(random.next());
        w.trace = trace;
        w.to_master = random.between(1, 120);
        w.to_peer = random.between(1, 120);
        if (random.chance(3000)) w.tcp.chunk = random.between(1, 30);
        if (random.chance(2000)) w.tcp.gap_ms = random.between(1, 5);
        if (random.chance(2000)) w.tcp.together_ms = random.between(1, 30);
    }

    tally play() {
        uint32_t hosts_wanted = random.between(1, 3);
        for (uint32_t i = 0; i < hosts_wanted; i++) add_host();
        w.run(5000);
        for (uint32_t i = random.below(3); i > 0; i--) w.later(random.below(25000), [this] { add_client(false); });
        for (uint32_t i = random.below(4); i > 0; i--) w.later(random.below(20000), [this] { fault(); });
        for (uint32_t i = random.below(3); i > 0; i--) w.later(random.below(30000), [this] { forge(); });
        w.run(40000);
        // All faults are over. A host finds out within two minutes that its connection is lost; pauses are at most a minute.
        // The master takes a silent host for gone after 200 s, if another registers from its IP.
        w.run(210000);
        check_hosts();
        uint32_t late = random.between(2, 6);
        for (uint32_t i = 0; i < late; i++) w.later(random.below(4000), [this] { add_client(true); });
        w.run(4001);
        w.run([this] { return settled(); }, 60000);
        for (auto &c : clients) check_client(*c);
        if (random.chance(2500)) check_end();
        sum.worlds = 1;
        return sum;
    }

private:
    struct host_side {
        node *n;
        std::shared_ptr<nat> router;
    };
    struct client_side {
        node *n;
        std::shared_ptr<nat> router;
        size_t host;
        bool late; // after all faults
        uint64_t begun, timeout_ms;
        bool alone; // at its IP, at a master that can't keep clients of one IP apart
    };

    random_source random;
    bool java;
    gmpunch_master *ours = nullptr; // if it is not the Java master
    world w;
    std::vector<host_side> hosts;
    std::vector<std::unique_ptr<client_side>> clients;
    std::vector<std::shared_ptr<nat>> homes;
    uint32_t addresses = 0;
    bool cut = false; // connections ended without a word
    tally sum;

    std::unique_ptr<master_program> start_master(uint64_t at) {
        if (java) {
            gate_punch::schedule plan;
            plan.seed = uint32_t(random.next());
            return std::make_unique<gate_punch>(plan);
        }
        gmpunch_master_config config{};
        config.seed = random.next();
        auto started = std::make_unique<gmpunch_master_program>(config, at);
        ours = started->machine;
        return started;
    }

    std::string another_ip() {
        addresses++;
        return "198.51." + std::to_string(100 + addresses / 200) + "." + std::to_string(1 + addresses % 200);
    }

    dependence any_dependence() {
        uint32_t n = random.below(10);
        return n < 6 ? dependence::endpoint_independent : n < 7 ? dependence::address : dependence::address_and_port;
    }

    line_kind any_line() {
        line_kind made;
        made.delay_ms = random.below(60);
        if (random.chance(4000)) made.jitter_ms = random.below(20);
        if (random.chance(2000)) made.loss = random.below(1500);
        if (random.chance(1000)) {
            made.burst_begins = random.below(100);
            made.burst_ends = random.between(500, 5000);
            made.burst_loss = random.between(5000, 10000);
        }
        if (random.chance(1000)) made.duplicated = random.below(3000);
        if (random.chance(1000)) {
            made.late = random.below(2000);
            made.late_ms = random.below(200);
        }
        if (random.chance(1000)) {
            made.bytes_per_ms = random.between(4, 100);
            made.queue_bytes = random.between(1500, 20000);
        }
        return made;
    }

    std::shared_ptr<nat> any_router() {
        std::string ip = another_ip();
        auto made = std::make_shared<nat>(ip.c_str(), any_dependence(), any_dependence());
        made->translates = !random.chance(2000);
        made->ports = allocation(random.below(3));
        made->parity = random.chance(2000);
        made->hairpinning = random.chance(7000);
        made->conntrack = random.chance(1500);
        made->refreshed_from_outside = random.chance(5000);
        if (random.chance(5000)) made->timeout_ms = random.between(25000, 180000);
        if (random.chance(500)) {
            made->more_ips.push_back(address(another_ip().c_str()));
            made->pooling_paired = random.chance(7000);
        }
        made->random = random_source(random.next());
        if (random.chance(5000)) {
            made->up.kind = any_line();
            made->down.kind = any_line();
        }
        if (made->translates && random.chance(1000)) { // carrier-grade
            auto outer = made;
            made = std::make_shared<nat>(("100.64.0." + std::to_string(1 + addresses % 250)).c_str(), any_dependence(),
                                         any_dependence());
            made->ports = allocation(random.below(3));
            made->random = random_source(random.next());
            made->outer = outer;
        }
        return made;
    }
    static nat &outermost(const std::shared_ptr<nat> &router) {
        nat *r = router.get();
        while (r->outer) r = r->outer.get();
        return *r;
    }

    void add_host() {
        gmpunch_host_config config{};
        config.raw = !java && random.chance(1000);
        config.data[0] = "random";
        config.seed = random.next();
        auto router = any_router();
        hosts.push_back({&w.add_host(router, config), router});
    }

    void add_client(bool late) {
        auto made = std::make_unique<client_side>();
        made->host = random.below(uint32_t(hosts.size()));
        if (!homes.empty() && random.chance(2500)) made->router = homes[random.below(uint32_t(homes.size()))];
        else if (random.chance(300)) made->router = hosts[random.below(uint32_t(hosts.size()))].router;
        else homes.push_back(made->router = any_router());
        std::string server = text(outermost(hosts[made->host].router).ip);
        gmpunch_client_config config{};
        config.server = server.c_str();
        config.raw = random.chance(1000);
        config.max_sockets = random.below(4);
        config.ask_data = random.chance(3000);
        config.seed = random.next();
        if (random.chance(2000)) config.timeout_ms = random.between(500, 25000);
        if (random.chance(1000)) config.direct_port = 6611;
        made->timeout_ms = config.timeout_ms ? config.timeout_ms : 15000;
        made->late = late;
        made->begun = w.now;
        made->alone = true;
        for (auto &other : clients)
            if (&outermost(other->router) == &outermost(made->router)) made->alone = other->alone = false;
        made->n = &w.add_client(made->router, config, uint16_t(7000 + 10 * clients.size()));
        clients.push_back(std::move(made));
    }

    // Something goes wrong, and is over 20 s later.
    void fault() {
        host_side &host = hosts[random.below(uint32_t(hosts.size()))];
        nat &site = outermost(host.router);
        uint32_t ms = random.below(20000);
        switch (random.below(9)) {
        case 0: w.restart_master(); break;
        case 1:
            cut = true;
            w.power_cycle_master();
            break;
        case 2:
            w.master_up = false;
            w.restart_master();
            w.later(ms, [this] { w.master_up = true; });
            break;
        case 3:
            site.up.up = site.down.up = false;
            w.later(ms, [&site] { site.up.up = site.down.up = true; });
            break;
        case 4:
            cut = true;
            w.cut_tcp(*host.n, random.below(60000), random.chance(5000) ? random.below(60000) : UINT64_MAX);
            break;
        case 5:
            cut = true;
            w.restart_router(host.router);
            break;
        case 6:
            host.n->tcp_reads = false;
            w.later(ms, [this, &host] { w.reads_again(*host.n); });
            break;
        case 7:
            host.n->tcp_takes = random.below(40);
            host.n->tcp_full_ms = random.below(java ? 100 : 3000); // the Java master waits a second for the next line
            w.later(ms, [&host] { host.n->tcp_takes = SIZE_MAX; });
            break;
        default:
            if (host.router->outer || !host.router->more_ips.empty()) break;
            cut = true;
            w.restart_router(host.router, another_ip().c_str());
        }
    }

    // Knocks and other bytes from an address that never asked for anything, at a port that the host's router may have open.
    void forge() {
        const host_side &host = hosts[random.below(uint32_t(hosts.size()))];
        gmpunch_address victim = address("203.0.113.200", uint16_t(random.between(1, 65535)));
        gmpunch_address at = outermost(host.router).ip;
        at.port = 6611;
        if (!host.router->entries.empty()) at = host.router->entries[0].outside;
        static const char *const payloads[] = {"\xfd", "\xfb", "\xfc", "\xfa", "connect\n", ""};
        std::string payload = payloads[random.below(6)];
        bytes data = with_header(bytes(payload.begin(), payload.end()));
        if (random.chance(2000)) data.resize(random.below(uint32_t(data.size()) + 1));
        w.udp(victim, at, data);
    }

    bool settled() const {
        for (auto &c : clients)
            if (gmpunch_client_stage(c->n->client) < GMPUNCH_STAGE_CONNECTED) return false;
        return true;
    }

    void check_hosts() {
        for (auto &h : hosts) {
            gmpunch_host_stats stats{};
            gmpunch_host_get_stats(h.n->host, &stats);
            must(stats.registered == 1, "a host is not registered again");
            must(stats.events_dropped == 0, "a host dropped events");
            must(stats.introductions <= clients.size(), "introductions stay");
        }
        if (java) return;
        gmpunch_master_stats stats{};
        gmpunch_master_get_stats(ours, &stats);
        must(stats.hosts >= hosts.size(), "the master does not know a host again");
    }

    void check_client(const client_side &c) {
        const gmpunch_event *connected = c.n->find(GMPUNCH_EVENT_CONNECTED), *failed = c.n->find(GMPUNCH_EVENT_FAILED);
        must(connected || failed, "a client never said what became of it");
        must(!connected || !failed, "a client is connected and failed");
        const gmpunch_event *end = connected ? connected : failed;
        must(end->elapsed_ms <= c.timeout_ms, "a client took longer than it may");
        must(!failed || failed->reason != GMPUNCH_REASON_NONE, "a client failed without a reason");
        gmpunch_client_stats stats{};
        gmpunch_client_get_stats(c.n->client, &stats);
        must(stats.events_dropped == 0, "a client dropped events");
        sum.sessions++;
        sum.connected += connected != nullptr;
        sum.failed += failed != nullptr;
        if (c.late) judge(c, connected != nullptr);
    }

    static bool bad(const line &of) { return of.kind.loss > 30 || of.kind.burst_begins || of.kind.bytes_per_ms; }
    static bool in_conntrack(const nat *router) {
        for (; router; router = router->outer.get())
            if (router->conntrack) return true;
        return false;
    }
    static bool pools_freely(const nat &router) { return !router.more_ips.empty() && !router.pooling_paired; }

    std::string named(const client_side &c) const {
        return "host " + hosts[c.host].router->name() + ", client " + c.router->name() + " at " +
               text(outermost(c.router).ip);
    }

    // Whether theory says yes or no, where it can say it.
    void judge(const client_side &c, bool connected) {
        const host_side &host = hosts[c.host];
        const nat &hn = outermost(host.router), &cn = outermost(c.router);
        if (c.timeout_ms < 10000 || pools_freely(hn) || pools_freely(cn) || (!hn.more_ips.empty())) return;
        if (java && (cut || !c.alone)) return;
        outlook from_host = outlook::of(*host.router), from_client = outlook::of(*c.router);
        bool together = meet(from_host, from_client) != fate::apart;
        if (&hn == &cn || !from_host.known || !from_client.known) return;
        if (in_conntrack(host.router.get()) || in_conntrack(c.router.get())) {
            sum.linux_like += together;
            sum.linux_connected += together && connected;
            return;
        }
        if (!together) {
            if (c.n->saw(GMPUNCH_EVENT_FALLBACK) || c.n->behaves.find(address(text(hn.ip).c_str(), 6611))) return;
            sum.apart++;
            must(!connected, ("connected, and theory says that it can't: " + named(c)).c_str());
            return;
        }
        if (bad(hn.up) || bad(hn.down) || bad(cn.up) || bad(cn.down)) {
            sum.lossy++;
            sum.lossy_connected += connected;
            return;
        }
        sum.expected++;
        must(connected, ("not connected, and theory says that it can: " + named(c)).c_str());
    }

    // All clients are gone without a word: nothing of them stays.
    void check_end() {
        for (auto &c : clients) c->n->dead = true;
        w.run(400000);
        for (auto &h : hosts) {
            gmpunch_host_stats stats{};
            gmpunch_host_get_stats(h.n->host, &stats);
            must(stats.peers == 0, "a peer stays");
            must(stats.introductions == 0, "an introduction stays");
            must(h.n->count(GMPUNCH_EVENT_JOINED) == h.n->count(GMPUNCH_EVENT_LEFT), "joined and left do not match");
            must(stats.joined == stats.left, "joined and left do not match in the counters");
        }
        if (java) return;
        gmpunch_master_stats stats{};
        gmpunch_master_get_stats(ours, &stats);
        must(stats.requests == 0, "a request stays");
        must(stats.connections <= 2 * hosts.size(), "connections stay");
    }
};

// The sessions of one seed; fills in what was wrong.
bool play(uint64_t seed, tally &sum, std::string &wrong, const std::function<void(const std::string &)> &trace = nullptr) {
    try {
        sum.add(drama(seed, trace).play());
        return true;
    } catch (const std::exception &e) {
        wrong = e.what();
        return false;
    }
}

void report(uint64_t seed, const std::string &wrong) {
    std::deque<std::string> last;
    tally ignored;
    std::string again;
    play(seed, ignored, again, [&](const std::string &line) {
        last.push_back(line);
        if (last.size() > 100) last.pop_front();
    });
    for (auto &line : last) printf("%s\n", line.c_str());
    printf("FAILED: %s. Replay: gmpunch_sessions --seed %llu --trace\n", wrong.c_str(),
           static_cast<unsigned long long>(seed));
}

thread_local uint64_t current_seed;

extern "C" void crashed(int signal) {
    fprintf(stderr, "CRASHED. Replay: gmpunch_sessions --seed %llu --trace\n",
            static_cast<unsigned long long>(current_seed));
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

// Worlds from this seed on, until there were so many sessions.
bool play_many(uint64_t first, uint64_t sessions, unsigned jobs) {
    std::atomic<uint64_t> next{first}, played{0};
    std::atomic<bool> failed{false};
    std::mutex mutex;
    tally sum;
    auto work = [&] {
        tally mine;
        while (!failed && played < sessions) {
            uint64_t seed = current_seed = next++, before = mine.sessions;
            std::string wrong;
            if (!play(seed, mine, wrong)) {
                failed = true;
                std::lock_guard<std::mutex> lock(mutex);
                report(seed, wrong);
            }
            played += mine.sessions - before;
        }
        std::lock_guard<std::mutex> lock(mutex);
        sum.add(mine);
    };
    std::clock_t start = std::clock();
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < jobs; i++) threads.emplace_back(work);
    work();
    for (auto &t : threads) t.join();
    double seconds = double(std::clock() - start) / CLOCKS_PER_SEC;
    auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
    printf("%llu sessions in %llu worlds: %llu connected, %llu failed with a reason\n", number(sum.sessions),
           number(sum.worlds), number(sum.connected), number(sum.failed));
    printf("as theory says: %llu connected, %llu did not\n", number(sum.expected), number(sum.apart));
    printf("on bad lines: %llu of %llu; with Linux-like routers: %llu of %llu\n", number(sum.lossy_connected),
           number(sum.lossy), number(sum.linux_connected), number(sum.linux_like));
    // A few are lost to bad luck; on Linux also to a knock that comes too early.
    if (sum.lossy >= 500 && sum.lossy_connected * 100 < sum.lossy * 99) failed = true;
    if (sum.linux_like >= 500 && sum.linux_connected * 100 < sum.linux_like * 95) failed = true;
    printf("%.1f s of processor time, %.0f sessions per second\n", seconds, double(sum.sessions) / seconds);
    return !failed;
}

int usage() {
    fprintf(stderr, "Usage: gmpunch_sessions [--sessions N] [--first SEED] [--jobs N] | --seed SEED [--trace] | --table\n");
    return 2;
}

} // namespace

int main(int argc, char **argv) {
    doctest::Context context; // for the checks in what the tests share
    context.setAsDefaultForAssertsOutOfTestCases();
    for (int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGILL}) std::signal(signal, crashed);
    uint64_t sessions = 2000, first = 1, seed = 0;
    unsigned jobs = 1;
    bool one = false, trace = false;
    for (int i = 1; i < argc; i++) {
        std::string option = argv[i];
        if (option == "--trace") {
            trace = true;
        } else if (option == "--table") {
            fputs(table().c_str(), stdout);
            return 0;
        } else if (i + 1 >= argc) return usage();
        else if (option == "--sessions") sessions = std::strtoull(argv[++i], nullptr, 10);
        else if (option == "--first") first = std::strtoull(argv[++i], nullptr, 10);
        else if (option == "--jobs") jobs = unsigned(std::strtoul(argv[++i], nullptr, 10));
        else if (option == "--seed") one = true, seed = std::strtoull(argv[++i], nullptr, 10);
        else return usage();
    }
    if (!one) return play_many(first, sessions, jobs) ? 0 : 1;
    tally sum;
    std::string wrong;
    current_seed = seed;
    bool ok = trace ? play(seed, sum, wrong, [](const std::string &line) { puts(line.c_str()); }) : play(seed, sum, wrong);
    puts(ok ? "ok" : ("FAILED: " + wrong).c_str());
    return ok ? 0 : 1;
}
