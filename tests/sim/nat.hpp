// A router by RFC 4787. Each of its behaviours can be chosen by itself.
#ifndef GMPUNCH_TESTS_NAT_HPP
#define GMPUNCH_TESTS_NAT_HPP

#include "../unit/gmpunch_internal.hpp"
#include "line.hpp"

#include <memory>

namespace sim {

enum class dependence : uint8_t { endpoint_independent, address, address_and_port };
enum class allocation : uint8_t { preserving, sequential, random };

// An address as a number; different for different addresses of IPv4, and as good as that for IPv6.
inline uint64_t ip_key(const gmpunch_address &of) {
    if (of.family == 4) return uint32_t(of.ip[0]) << 24 | uint32_t(of.ip[1]) << 16 | uint32_t(of.ip[2]) << 8 | of.ip[3];
    uint64_t hash = 0;
    for (uint8_t byte : of.ip) hash = (hash ^ byte) * UINT64_C(0x100000001b3) + (hash >> 47);
    return (hash | UINT64_C(1) << 47) & UINT64_C(0xffffffffffff);
}
inline uint64_t key(const gmpunch_address &of) { return ip_key(of) << 16 | of.port; }

class nat {
public:
    static constexpr uint64_t occupied_ms = 30000; // by a packet from outside

    gmpunch_address ip;                    // its first public address
    std::vector<gmpunch_address> more_ips; // and the others
    bool translates = true;                // false: no NAT, all packets pass as they are
    dependence mapping = dependence::endpoint_independent;
    dependence filtering = dependence::endpoint_independent;
    allocation ports = allocation::sequential;
    bool parity = false;        // an even port stays even, an odd one odd
    bool pooling_paired = true; // an inner address keeps its public address; false: each mapping takes any
    bool hairpinning = true;
    // As Linux does it: every pair of addresses has a mapping of its own, which keeps the port if that pair of port and
    // remote address is free; and a packet that comes uninvited occupies it.
    bool conntrack = false;
    bool refreshed_from_outside = false; // by what comes in
    uint64_t timeout_ms = UINT64_MAX;    // of a mapping, and of each permission to come in
    std::shared_ptr<nat> outer;          // carrier-grade: the router before it, where `ip` is an inner address
    line up, down;                       // its line; of nested routers that of the outermost counts
    random_source random{1};             // for its choices

    struct permission {
        uint64_t remote;
        uint64_t at;
    };
    struct entry {
        gmpunch_address inner; // family 0: occupied from outside
        uint64_t remote;       // of the first packet: all that matters with dependent mapping
        gmpunch_address outside;
        uint64_t used;
        std::vector<permission> sent;
    };
    std::vector<entry> entries;
    uint16_t next_port = 40000;

    // A machine on the open internet.
    explicit nat(const char *text) : ip(address(text)), translates(false) {}
    nat(const char *text, dependence how_mapped, dependence how_filtered)
        : ip(address(text)), mapping(how_mapped), filtering(how_filtered) {}

    static nat restricted(const char *text) {
        return nat(text, dependence::endpoint_independent, dependence::address_and_port);
    }
    static nat symmetric(const char *text) { return nat(text, dependence::address_and_port, dependence::address_and_port); }

    // Mapping and filtering, from the inside out: "EI/APD behind AD/AD".
    std::string name() const {
        static const char *const names[] = {"EI", "AD", "APD"};
        std::string own = !translates ? "open" : std::string(names[int(mapping)]) + "/" + names[int(filtering)];
        if (conntrack) own = "Linux";
        return outer ? own + " behind " + outer->name() : own;
    }

    bool alive(const entry &e, uint64_t now) const {
        return e.inner.family ? now - e.used <= timeout_ms : now - e.used <= occupied_ms;
    }
    bool owns(const gmpunch_address &address) const {
        if (gmpunch_address_same_ip(&ip, &address)) return true;
        for (auto &other : more_ips)
            if (gmpunch_address_same_ip(&other, &address)) return true;
        return false;
    }
    // Switched off and on, maybe at another address: all mappings are gone.
    void restart() { entries.clear(); }

    // A packet goes out; returns the address that it comes from then.
    gmpunch_address out(const gmpunch_address &inner, const gmpunch_address &to, uint64_t now) {
        if (!translates) return inner;
        uint64_t remote = key(to);
        entry *found = nullptr;
        for (size_t i = 0; i < entries.size(); i++) {
            entry &e = entries[i];
            if (!alive(e, now)) {
                std::swap(e, entries.back());
                entries.pop_back();
                i--;
            } else if (gmpunch_address_equal(&e.inner, &inner) && maps(e, remote)) {
                found = &e;
                break;
            }
        }
        if (!found) {
            gmpunch_address outside = choose(inner, remote);
            entries.push_back(entry{inner, remote, outside, now, {}});
            found = &entries.back();
        }
        found->used = now;
        if (!dependent_filter()) return found->outside;
        for (auto &p : found->sent)
            if (p.remote == remote) {
                p.at = now;
                return found->outside;
            }
        found->sent.push_back({remote, now});
        return found->outside;
    }

    // The IP that a TCP connection comes from then. Those pass in both directions.
    gmpunch_address tcp_out(const gmpunch_address &inner) { return translates ? outer_ip(inner) : inner; }

    // The inner address for a packet that comes in, or null if it is dropped.
    const gmpunch_address *in(const gmpunch_address &to, const gmpunch_address &from, uint64_t now) {
        if (!translates) return &to;
        uint64_t remote = key(from);
        entry *occupied = nullptr;
        for (auto &e : entries) {
            if (!gmpunch_address_equal(&e.outside, &to) || !alive(e, now)) continue;
            if (conntrack && e.remote != remote) continue;
            if (!e.inner.family) occupied = &e;
            else if (lets_in(e, remote, now)) {
                if (refreshed_from_outside) e.used = now;
                return &e.inner;
            }
        }
        if (conntrack && !occupied) entries.push_back(entry{{}, remote, to, now, {}});
        if (occupied) occupied->used = now;
        return nullptr;
    }

private:
    bool dependent_filter() const { return !conntrack && filtering != dependence::endpoint_independent; }

    static bool same(dependence how, uint64_t a, uint64_t b) {
        if (how == dependence::endpoint_independent || a == b) return true;
        return how == dependence::address && a >> 16 == b >> 16;
    }
    bool maps(const entry &e, uint64_t remote) const {
        return conntrack ? e.remote == remote : same(mapping, e.remote, remote);
    }

    bool lets_in(const entry &e, uint64_t remote, uint64_t now) const {
        if (!dependent_filter()) return true;
        for (auto &p : e.sent)
            if (same(filtering, p.remote, remote) && now - p.at <= timeout_ms) return true;
        return false;
    }

    bool taken(const gmpunch_address &outside, uint64_t remote) const {
        for (auto &e : entries)
            if (gmpunch_address_equal(&e.outside, &outside) && (!conntrack || e.remote == remote)) return true;
        return false;
    }

    gmpunch_address outer_ip(const gmpunch_address &inner) {
        uint32_t count = uint32_t(more_ips.size()) + 1;
        uint32_t n = pooling_paired ? uint32_t(ip_key(inner)) % count : random.below(count);
        return n ? more_ips[n - 1] : ip;
    }

    gmpunch_address choose(const gmpunch_address &inner, uint64_t remote) {
        gmpunch_address outside = outer_ip(inner);
        outside.port = inner.port;
        if ((ports == allocation::preserving || conntrack) && !taken(outside, remote)) return outside;
        do {
            outside.port = ports == allocation::random || conntrack ? uint16_t(random.between(1024, 65535)) : next_port++;
            if (next_port < 1024) next_port = 1024;
        } while ((parity && (outside.port ^ inner.port) & 1) || taken(outside, remote));
        return outside;
    }
};

} // namespace sim

#endif
