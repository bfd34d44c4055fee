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
    size_t connected = check_pairs([](nat &, nat &) {});
    MESSAGE(connected);
}
