// What must hold at every step, whatever the network does. Broken: an exception, which a test reports.
#ifndef GMPUNCH_TESTS_INVARIANTS_HPP
#define GMPUNCH_TESTS_INVARIANTS_HPP

#include "nat.hpp"

#include <stdexcept>
#include <unordered_map>

namespace sim {

struct broken : std::runtime_error {
    using std::runtime_error::runtime_error;
};
inline void must(bool holds, const char *what) {
    if (!holds) throw broken(what);
}

// What one client or host may say over UDP, and to whom: judged by the bytes that went in and out of it alone.
class manners {
public:
    struct contact {
        bool named = false; // by the config or by the master
        uint32_t packets_in = 0, packets_out = 0;
        uint64_t bytes_in = 0, bytes_out = 0;
        uint32_t knocks_in = 0, welcomes_out = 0, requests_in = 0, answers_out = 0;
    };

    bool of_host = false; // it answers whoever knocks: at most as much as came, until more comes

    // Named by the config.
    void name(const gmpunch_address &address) { contacts[key(address)].named = true; }
    // Bytes of the master: an address in them is FF, the IP, NUL, the port.
    void hear_master(const bytes &data) { said.insert(said.end(), data.begin(), data.end()); }

    // Returns the message's id, 0 if it is none.
    uint8_t receive(const gmpunch_address &from, const bytes &datagram) {
        contact &peer = contacts[key(from)];
        peer.packets_in++;
        peer.bytes_in += datagram.size();
        uint8_t id = id_of(datagram);
        peer.knocks_in += id == 0xfd;
        peer.requests_in += id == 0xfb;
        return id;
    }
    // Of the library itself; what the game sends is its own affair.
    void send(const gmpunch_address &to, const uint8_t *datagram, size_t len) {
        auto found = contacts.find(key(to));
        if (found == contacts.end() || !(found->second.named || found->second.packets_in)) {
            if (!said_address(to)) throw broken("sends to " + text(to) + ", which nobody named");
            contacts[key(to)].named = true;
            found = contacts.find(key(to));
        }
        contact &peer = found->second;
        peer.packets_out++;
        peer.bytes_out += len;
        if (of_host && !peer.named && peer.packets_in == 1 && (peer.packets_out > 1 || peer.bytes_out > peer.bytes_in))
            if (!said_ip(to)) throw broken("amplifies: more to " + text(to) + " than came from there");
        uint8_t id = id_of(datagram, len);
        peer.welcomes_out += id == 0xfc;
        peer.answers_out += id == 0xfa;
        must(peer.welcomes_out <= peer.knocks_in, "more welcomes than knocks");
        must(peer.answers_out <= peer.requests_in, "more answers with data than requests");
    }
    const contact *find(const gmpunch_address &address) const {
        auto found = contacts.find(key(address));
        return found == contacts.end() ? nullptr : &found->second;
    }

private:
    std::unordered_map<uint64_t, contact> contacts;
    bytes said;

    static uint8_t id_of(const bytes &datagram) { return id_of(datagram.data(), datagram.size()); }
    // The first byte of the payload, if it is alone or begins the data strings.
    static uint8_t id_of(const uint8_t *datagram, size_t len) {
        size_t start = len >= 12 && datagram[0] == 0xde && datagram[1] == 0xc0 ? 12 : 0;
        if (len == start) return 0;
        return len == start + 1 || datagram[start] == 0xfa ? datagram[start] : 0;
    }
    bool said_ip(gmpunch_address address) const { // an introduction is for an IP: a router may give it another port
        address.port = 0;
        std::string wanted = '\xff' + text(address) + '\0';
        auto same = [](uint8_t a, char b) { return a == uint8_t(b); };
        return std::search(said.begin(), said.end(), wanted.begin(), wanted.end(), same) != said.end();
    }
    bool said_address(const gmpunch_address &address) const {
        gmpunch_address ip = address;
        ip.port = 0;
        std::string wanted = '\xff' + text(ip) + '\0' + std::to_string(address.port);
        for (auto at = said.begin(); at != said.end(); ++at) {
            at =
                std::search(at, said.end(), wanted.begin(), wanted.end(), [](uint8_t a, char b) { return a == uint8_t(b); });
            if (at == said.end()) return false;
            auto after = at + long(wanted.size());
            if (after == said.end() || *after < '0' || *after > '9') return true;
        }
        return false;
    }
};

} // namespace sim

#endif
