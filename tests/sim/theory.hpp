// Which routers let two sides meet, by thought alone: nothing here is taken from the library or from the simulation.
#ifndef GMPUNCH_TESTS_THEORY_HPP
#define GMPUNCH_TESTS_THEORY_HPP

#include "nat.hpp"

namespace sim {

// What a side looks like from outside.
struct outlook {
    dependence mapping, filtering;
    bool known = true; // false: no single router looks so

    static outlook of(const nat &router) {
        const dependence independent = dependence::endpoint_independent;
        outlook seen = {router.mapping, router.filtering};
        if (!router.translates) seen = {independent, independent};
        // each pair has a mapping, but all keep the port, and only the other end of the pair may answer
        if (router.conntrack) seen = {independent, dependence::address_and_port};
        if (!router.outer) return seen;
        // Through both the stricter counts, if the inner filter knows as little of other mappings as the outer one.
        outlook outer = of(*router.outer);
        bool alike = outer.mapping == independent || seen.filtering == independent || seen.mapping == outer.mapping;
        return {std::max(seen.mapping, outer.mapping), std::max(seen.filtering, outer.filtering), alike && outer.known};
    }
};

// Each side knows the port that the other had towards the master: mh of the host, mc of the client. Both knock there.
//
// A knock of the client at mh comes from mc if its mapping is endpoint-independent, and from some other port c else. The host's
// router lets it in at mh if it filters nothing; or if the host sends from mh to the client as well, which it does only if its
// own mapping is endpoint-independent, and the filter looks at the IP only, or the knock does come from mc, to which the host
// sends. The same holds for the host's knock at mc, with the roles exchanged.
//
// A welcome goes to where the knock came from. If that knock went to mh and the host's mapping is not endpoint-independent, or
// if its mapping looks at ports and the knock did not come from mc, the welcome comes from yet another port of the host.
enum class fate {
    apart,
    one_way, // each hears the other, but the client sends to the address that it hears, and from there on no more is heard
    together
};

inline fate meet(const outlook &host, const outlook &client) {
    const dependence independent = dependence::endpoint_independent, port = dependence::address_and_port;
    bool host_steady = host.mapping == independent, client_steady = client.mapping == independent;
    // knocks at mh, knocks at mc
    bool host_hears = host.filtering == independent || (host_steady && (host.filtering != port || client_steady));
    bool client_hears = client.filtering == independent || (client_steady && (client.filtering != port || host_steady));
    // Having heard a knock, the client knocks where it came from; the host sent from there to mc.
    bool host_hears_answer = client_hears && (host.filtering != port || client_steady);

    bool welcome_from_mh = host_hears && host_steady;
    bool welcome_from_knock = host_hears_answer && (host.mapping != port || client_steady);
    if (welcome_from_mh || welcome_from_knock) return fate::together;
    // Only the client's filter can keep a welcome from another port away. If it passes, the client sends there; where its
    // mapping looks at ports, that comes from a port that the host does not know.
    if ((host_hears || host_hears_answer) && client.filtering != port)
        return client.mapping != port ? fate::together : fate::one_way;
    return fate::apart;
}

} // namespace sim

#endif
