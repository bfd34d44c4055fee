// Every kind of router with every other, against what theory says: see theory.hpp.
#include "../sim/meeting.hpp"

using namespace sim;

namespace {

const char *const host_ip = "198.51.100.7";
const char *const client_ip = "192.0.2.55";

const dependence all[] = {dependence::endpoint_independent, dependence::address, dependence::address_and_port};

// Each of the 81 pairs, changed by `adapt` before they meet. Returns how many connect.
template <typename Adapt>
size_t check_pairs(Adapt adapt) {
    size_t connected = 0;
    for (dependence hm : all)
        for (dependence hf : all)
            for (dependence cm : all)
                for (dependence cf : all) {
                    auto host = behind(nat(host_ip, hm, hf)), client = behind(nat(client_ip, cm, cf));
                    adapt(*host, *client);
                    meeting m(host, client);
                    INFO("host ", host->name(), ", client ", client->name());
                    fate expected = meet(outlook::of(*host), outlook::of(*client));
                    CHECK(m.connected == (expected != fate::apart));
                    CHECK(m.plays == (expected == fate::together));
                    connected += m.plays;
                    if (m.connected) continue;
                    REQUIRE(m.client->saw(GMPUNCH_EVENT_FAILED));
                    int32_t reason = m.client->find(GMPUNCH_EVENT_FAILED)->reason;
                    CHECK((reason == GMPUNCH_REASON_HOST_SILENT || reason == GMPUNCH_REASON_HOST_ONE_WAY));
                }
    return connected;
}

} // namespace

TEST_CASE("nat: all pairs of mapping and filtering connect if theory says so") {
    CHECK(check_pairs([](nat &, nat &) {}) == 41);
}

TEST_CASE("nat: ports that are kept or drawn, parity, time-outs and paired addresses change nothing") {
    CHECK(check_pairs([](nat &host, nat &client) {
              host.ports = client.ports = allocation::preserving;
              host.timeout_ms = client.timeout_ms = 25000;
              host.parity = true;
          }) == 41);
    CHECK(check_pairs([](nat &host, nat &client) {
              host.ports = client.ports = allocation::random;
              client.more_ips = {address("192.0.2.56"), address("192.0.2.57")};
              client.parity = client.refreshed_from_outside = true;
          }) == 41);
}

TEST_CASE("nat: host and client behind the same router, which sends back what is for itself, or not") {
    for (bool hairpinning : {true, false})
        for (dependence mapping : all)
            for (dependence filtering : all) {
                auto both = behind(nat(host_ip, mapping, filtering));
                both->hairpinning = hairpinning;
                meeting m(both, both);
                INFO(both->name(), hairpinning);
                CHECK(m.plays == (hairpinning && meet(outlook::of(*both), outlook::of(*both)) == fate::together));
            }
}

TEST_CASE("nat: behind two routers the stricter counts") {
    size_t judged = 0;
    for (dependence outer_mapping : all)
        for (dependence inner_mapping : all)
            for (dependence inner_filtering : all)
                for (bool of_host : {false, true}) {
                    auto nested = behind(nat("100.64.0.9", inner_mapping, inner_filtering));
                    nested->outer = behind(nat(of_host ? host_ip : client_ip, outer_mapping, dependence::address));
                    auto other = behind(nat::restricted(of_host ? client_ip : host_ip));
                    outlook seen = outlook::of(*nested), across = outlook::of(*other);
                    if (!seen.known) continue;
                    meeting m(of_host ? nested : other, of_host ? other : nested);
                    INFO(nested->name(), " is the host's: ", of_host);
                    fate expected = of_host ? meet(seen, across) : meet(across, seen);
                    CHECK(m.connected == (expected != fate::apart));
                    CHECK(m.plays == (expected == fate::together));
                    judged++;
                }
    CHECK(judged == 38);
}

TEST_CASE("nat: several public addresses of which each mapping takes any") {
    // The protocol knows a player by one IP: where UDP and TCP leave from two, the master can't bring them together.
    size_t connected = 0;
    for (uint32_t seed = 1; seed <= 40; seed++) {
        auto client = behind(nat::restricted(client_ip));
        client->more_ips = {address("192.0.2.56")};
        client->pooling_paired = false;
        client->random = random_source(seed);
        meeting m(open_internet(host_ip), client);
        connected += m.plays;
        if (m.connected) continue;
        REQUIRE(m.client->saw(GMPUNCH_EVENT_FAILED));
        CHECK(m.client->find(GMPUNCH_EVENT_FAILED)->reason != GMPUNCH_REASON_NONE);
    }
    CHECK(connected == 40); // but an open host lets in whoever knocks
}

TEST_CASE("nat: a Linux router, and a knock that comes before the host has sent one") {
    for (bool early : {false, true})
        for (dependence filtering : all) {
            auto host = open_internet(host_ip), client = behind(nat(client_ip, dependence::endpoint_independent, filtering));
            host->translates = host->conntrack = true;
            world w;
            node &hosting = w.add_host(host);
            w.run(5000);
            gmpunch_client_config config{};
            config.server = host_ip;
            node &joining = w.add_client(client, config);
            host->down.up = !early; // the introduction is lost, and comes 300 ms later
            w.later(3 * w.to_master + 10, [&] { host->down.up = true; });
            w.run([&] { return gmpunch_client_stage(joining.client) >= GMPUNCH_STAGE_CONNECTED; }, 20000);
            INFO("early ", early, ", client ", client->name());
            bool occupied = std::any_of(host->entries.begin(), host->entries.end(),
                                        [](const nat::entry &e) { return e.inner.family == 0; });
            CHECK(occupied == early);
            CHECK(hosting.saw(GMPUNCH_EVENT_INTRODUCED));
            // The host's knocks then leave from another port: who looks at ports does not let them in.
            bool connected = gmpunch_client_stage(joining.client) == GMPUNCH_STAGE_CONNECTED;
            CHECK(connected == (!early || filtering != dependence::address_and_port));
            if (connected) CHECK(exchange(w, hosting, joining));
        }
}
