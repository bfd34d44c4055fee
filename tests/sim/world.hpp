// A small internet in virtual time: the real state machines, UDP with delay and loss, TCP with delay, splitting and resets,
// and NATs by RFC 4787 (mapping and filtering, endpoint-independent or address-and-port-dependent). Nothing waits.
#ifndef GMPUNCH_TESTS_WORLD_HPP
#define GMPUNCH_TESTS_WORLD_HPP

#include "../unit/gmpunch_internal.hpp"

#include <functional>
#include <map>
#include <memory>
#include <set>

namespace sim {

enum class dependence { endpoint_independent, address_and_port };

// A router with one public IP. The default lets everything through and keeps ports: a machine on the open internet.
struct nat {
    gmpunch_address ip;
    dependence mapping = dependence::endpoint_independent;
    dependence filtering = dependence::endpoint_independent;
    bool keep_ports = true;
    uint64_t timeout_ms = UINT64_MAX; // of a mapping that sends nothing

    struct entry {
        void *node;
        uint32_t socket;
        gmpunch_address to; // of the first packet; all that matters with dependent mapping
        uint16_t port;
        uint64_t used;
        std::map<std::string, uint64_t> sent; // destinations, and when
    };
    std::vector<entry> entries;
    uint16_t next_port = 40000;

    explicit nat(const char *text) : ip(address(text)) {}

    static nat restricted(const char *text) {
        nat made(text);
        made.filtering = dependence::address_and_port;
        made.keep_ports = false;
        return made;
    }
    static nat symmetric(const char *text) {
        nat made = restricted(text);
        made.mapping = dependence::address_and_port;
        return made;
    }

    bool alive(const entry &e, uint64_t now) const { return now - e.used <= timeout_ms; }

    gmpunch_address out(void *node, uint32_t socket, uint16_t local_port, const gmpunch_address &to, uint64_t now) {
        entry *found = nullptr;
        for (auto &e : entries)
            if (alive(e, now) && e.node == node && e.socket == socket &&
                (mapping == dependence::endpoint_independent || gmpunch_address_equal(&e.to, &to)))
                found = &e;
        if (!found) {
            entries.push_back(entry{node, socket, to, keep_ports ? local_port : next_port++, now, {}});
            found = &entries.back();
        }
        found->used = now;
        found->sent[text(to)] = now;
        gmpunch_address from = ip;
        from.port = found->port;
        return from;
    }

    // The entry that lets a packet in, or null.
    entry *in(uint16_t port, const gmpunch_address &from, uint64_t now) {
        for (auto &e : entries) {
            if (!alive(e, now) || e.port != port) continue;
            if (mapping == dependence::address_and_port && !gmpunch_address_equal(&e.to, &from)) continue;
            auto sent = e.sent.find(text(from));
            if (filtering == dependence::endpoint_independent ||
                (sent != e.sent.end() && now - sent->second <= timeout_ms))
                return &e;
        }
        return nullptr;
    }
};

// The program at the master's address, as its machine sees it: gmpunch's own, or a model of another.
struct master_program {
    struct output {
        uint32_t connection;
        bytes data; // empty: the connection is closed
    };
    master_program() = default;
    master_program(const master_program &) = delete;
    master_program &operator=(const master_program &) = delete;
    virtual ~master_program() = default;
    virtual void udp(uint64_t now, const gmpunch_address &from, const bytes &data) = 0;
    virtual uint32_t accepted(uint64_t now, const gmpunch_address &from) = 0; // the connection's id, 0: refused
    virtual void data(uint64_t now, uint32_t connection, const bytes &data) = 0;
    virtual void closed(uint64_t now, uint32_t connection, int32_t os_error) = 0;
    virtual void tick(uint64_t now) = 0;
    virtual uint64_t deadline() const = 0;
    virtual bool next_output(output &out) = 0;
};

struct gmpunch_master_program : master_program {
    gmpunch_master *machine = nullptr;

    gmpunch_master_program(const gmpunch_master_config &config, uint64_t now) {
        REQUIRE(gmpunch_master_create(&config, now, &machine) == GMPUNCH_OK);
    }
    ~gmpunch_master_program() override { gmpunch_master_close(machine); }
    void udp(uint64_t now, const gmpunch_address &from, const bytes &data) override {
        gmpunch_master_input_udp(machine, now, &from, 0, data.data(), data.size());
    }
    uint32_t accepted(uint64_t now, const gmpunch_address &from) override {
        uint32_t id;
        return gmpunch_master_tcp_accepted(machine, now, &from, &id) == GMPUNCH_OK ? id : 0;
    }
    void data(uint64_t now, uint32_t connection, const bytes &data) override {
        gmpunch_master_tcp_data(machine, now, connection, data.data(), data.size());
    }
    void closed(uint64_t now, uint32_t connection, int32_t os_error) override {
        gmpunch_master_tcp_closed(machine, now, connection, os_error);
    }
    void tick(uint64_t now) override { gmpunch_master_tick(machine, now); }
    uint64_t deadline() const override { return gmpunch_master_next_deadline(machine); }
    bool next_output(output &out) override {
        gmpunch_transmit t;
        gmpunch_event e;
        while (gmpunch_master_next_event(machine, &e) > 0) {}
        if (gmpunch_master_next_transmit(machine, &t) <= 0) return false;
        out.connection = t.connection;
        out.data.assign(t.data, t.data + t.len);
        if (t.kind == GMPUNCH_TRANSMIT_TCP_CLOSE) out.data.clear();
        return true;
    }
};

class world;

// A client or a host with its sockets.
struct node {
    world *in = nullptr;
    std::shared_ptr<nat> router;
    gmpunch_client *client = nullptr;
    gmpunch_host *host = nullptr;
    uint16_t local_port = 7000;     // of socket 0; the others follow
    std::vector<gmpunch_event> events;
    std::vector<bytes> game;        // game packets received
    std::vector<gmpunch_address> game_from;
    bool dead = false;              // unplugged: hears and sends nothing
    std::map<uint32_t, uint32_t> tcp; // own connection id -> id at the master, 0 while opening and when cut
    std::map<uint32_t, uint64_t> cut; // own connection id -> how long after a send its system ends it
    size_t tcp_takes = SIZE_MAX;      // bytes that its system takes at once
    uint64_t tcp_full_ms = 0;         // and how long it takes none after that

    bool saw(int32_t type) const { return find(type) != nullptr; }
    const gmpunch_event *find(int32_t type) const {
        for (auto &e : events)
            if (e.type == type) return &e;
        return nullptr;
    }
    size_t count(int32_t type) const {
        size_t n = 0;
        for (auto &e : events) n += e.type == type;
        return n;
    }
};

class world {
  public:
    uint64_t now = 1000;
    uint64_t to_master = 20, to_peer = 30; // one-way delays, ms
    gmpunch_address master_address = address("203.0.113.1:6510");
    gmpunch_master *master = nullptr;      // null if it is another program
    bool master_hears = true;              // false: TCP is accepted by its system, but nothing is ever read
    bool master_up = true;                 // false: connections are refused
    size_t tcp_chunk = SIZE_MAX;           // bytes that arrive at once

    // Faults: the packets and TCP steps with these numbers (counted from 0) fail.
    std::set<size_t> drop_udp, break_tcp;
    size_t udp_packets = 0, tcp_steps = 0;
    std::function<bool(const gmpunch_address &from, const gmpunch_address &to, const bytes &data)> drop; // or by content

    // Programs that are not gmpunch: they get what is sent to their address.
    std::map<std::string, std::function<void(const gmpunch_address &from, const bytes &data)>> strangers;

    using master_starter = std::function<std::unique_ptr<master_program>(uint64_t now)>;

    explicit world(const gmpunch_master_config *config = nullptr)
        : world([this, made = config ? *config : gmpunch_master_config{}](uint64_t at) {
              auto started = std::make_unique<gmpunch_master_program>(made, at);
              master = started->machine;
              return started;
          }) {}
    explicit world(master_starter starter) : start_master(starter), program(start_master(now)) {}
    world(const world &) = delete;
    world &operator=(const world &) = delete;
    ~world() {
        for (auto &n : nodes) {
            gmpunch_client_close(n->client);
            gmpunch_host_close(n->host);
        }
    }

    node &add_client(std::shared_ptr<nat> router, gmpunch_client_config config, uint16_t port = 7000) {
        node &n = add(router, port);
        std::string master_text = text(master_address);
        if (!config.master && !config.direct_only) config.master = master_text.c_str();
        REQUIRE(gmpunch_client_create(&config, now, &n.client) == GMPUNCH_OK);
        pump(n);
        return n;
    }
    node &add_host(std::shared_ptr<nat> router, gmpunch_host_config config = gmpunch_host_config{}, uint16_t port = 6611) {
        node &n = add(router, port);
        std::string master_text = text(master_address);
        config.master = master_text.c_str();
        REQUIRE(gmpunch_host_create(&config, now, &n.host) == GMPUNCH_OK);
        pump(n);
        return n;
    }

    // Runs until the condition holds, at most for so long; true if it held.
    bool run(std::function<bool()> condition, uint64_t at_most_ms) {
        uint64_t end = now + at_most_ms;
        while (!condition()) {
            uint64_t next = program->deadline();
            for (auto &n : nodes) next = std::min(next, deadline(*n));
            if (!queue.empty()) next = std::min(next, queue.begin()->first);
            if (next > end) {
                now = end;
                return condition();
            }
            now = std::max(now, next);
            while (!queue.empty() && queue.begin()->first <= now) {
                auto action = queue.begin()->second;
                queue.erase(queue.begin());
                action();
            }
            program->tick(now);
            REQUIRE(program->deadline() > now);
            pump_master();
            for (size_t i = 0; i < nodes.size(); i++) {
                node &n = *nodes[i];
                if (n.client) gmpunch_client_tick(n.client, now);
                else gmpunch_host_tick(n.host, now);
                REQUIRE_MESSAGE(deadline(n) > now, "a deadline that is over must not stay");
                pump(n);
            }
        }
        return true;
    }
    void run(uint64_t ms) {
        run([] { return false; }, ms);
    }

    void udp(const gmpunch_address &from, const gmpunch_address &to, const bytes &data) {
        size_t number = udp_packets++;
        if (drop_udp.count(number) || (drop && drop(from, to, data))) return;
        bool at_master = gmpunch_address_same_ip(&to, &master_address) || gmpunch_address_same_ip(&from, &master_address);
        later(at_master ? to_master : to_peer, [=] { arrive(from, to, data); });
    }

    // A game packet from one to the other, as an application with its own socket sends it.
    void game(node &n, const gmpunch_address &to, uint32_t flags, uint32_t socket, const bytes &payload) {
        bytes datagram(payload.size() + 16);
        int32_t len = gmpunch_datagram_encode(datagram.data(), datagram.size(), payload.data(), payload.size(), flags);
        REQUIRE(len > 0);
        datagram.resize(size_t(len));
        send(n, socket, to, datagram);
    }

    void later(uint64_t ms, std::function<void()> action) { queue.insert({now + ms, action}); }

    // The master's process ends and a new one takes its place, knowing nothing.
    void restart_master() {
        for (auto &n : nodes)
            for (auto &c : std::map<uint32_t, uint32_t>(n->tcp)) node_closed(*n, c.first);
        replace_master();
    }

    // Its whole machine was off: nobody is told, but what is sent on an old connection is answered with a reset.
    void power_cycle_master() {
        for (auto &n : nodes) cut_tcp(*n, 2 * to_master);
        replace_master();
    }

    // The node's connection passes nothing more and nobody is told, as when a NAT forgets it. Its system ends it node_ms
    // after it sent something in vain, the master's system ends it after master_ms.
    void cut_tcp(node &n, uint64_t node_ms, uint64_t master_ms = UINT64_MAX) {
        for (auto &c : n.tcp) {
            uint32_t at = c.second;
            c.second = 0;
            n.cut[c.first] = node_ms;
            if (!owners.erase(at) || master_ms == UINT64_MAX) continue;
            later(master_ms, [this, at, then = starts] {
                if (starts == then) program->closed(now, at, 110);
            });
        }
    }

    // A program that is not gmpunch connects to the master, says this, and hears all answers.
    void ask_master(const gmpunch_address &from, const bytes &question, std::function<void(const bytes &)> hear) {
        later(to_master, [=] {
            uint32_t at = master_up ? program->accepted(now, from) : 0;
            if (!at) return;
            askers[at] = hear;
            later(2 * to_master, [=] {
                program->data(now, at, question);
                pump_master();
            });
        });
    }

    // Does what the node's machine asks for, and takes its events: after each call of it.
    void pump(node &n) {
        gmpunch_transmit t;
        while ((n.client ? gmpunch_client_next_transmit(n.client, &t) : gmpunch_host_next_transmit(n.host, &t)) > 0) {
            bytes data(t.data, t.data + t.len);
            uint32_t id = t.connection;
            switch (t.kind) {
            case GMPUNCH_TRANSMIT_UDP: send(n, t.socket_index, t.to, data); break;
            case GMPUNCH_TRANSMIT_TCP_OPEN:
                if (!n.dead) tcp_open(n, id);
                break;
            case GMPUNCH_TRANSMIT_TCP_SEND:
                if (n.dead) break;
                if (data.size() > n.tcp_takes) {
                    data.resize(n.tcp_takes);
                    took(n, id, data.size());
                    later(n.tcp_full_ms, [this, &n, id] { writable(n, id); });
                }
                if (n.cut.count(id)) later(n.cut[id], [this, &n, id] { lost(n, id); });
                else if (broken()) later(0, [this, &n, id] { reset(n, id); });
                else later(to_master, [this, &n, id, data] { at_master(n, id, data); });
                break;
            default:
                uint32_t at = n.tcp.count(id) ? n.tcp[id] : 0;
                n.tcp.erase(id);
                if (at && !n.dead) later(to_master, [this, at] {
                    if (!owners.erase(at)) return;
                    program->closed(now, at, 0);
                    pump_master();
                });
            }
        }
        gmpunch_event e;
        while ((n.client ? gmpunch_client_next_event(n.client, &e) : gmpunch_host_next_event(n.host, &e)) > 0)
            n.events.push_back(e);
    }

    std::vector<std::unique_ptr<node>> nodes;

  private:
    std::multimap<uint64_t, std::function<void()>> queue;
    std::map<uint32_t, std::pair<node *, uint32_t>> owners; // id at the master -> node and its id
    std::map<uint32_t, std::function<void(const bytes &)>> askers;
    master_starter start_master;
    std::unique_ptr<master_program> program;
    size_t starts = 0; // again

    void replace_master() {
        owners.clear();
        askers.clear();
        program = start_master(now);
        starts++;
    }

    node &add(std::shared_ptr<nat> router, uint16_t port) {
        nodes.emplace_back(new node);
        node &n = *nodes.back();
        n.in = this;
        n.router = router;
        n.local_port = port;
        return n;
    }

    static uint64_t deadline(const node &n) {
        return n.dead ? UINT64_MAX : n.client ? gmpunch_client_next_deadline(n.client) : gmpunch_host_next_deadline(n.host);
    }

    void send(node &n, uint32_t socket, const gmpunch_address &to, const bytes &data) {
        if (n.dead) return;
        udp(n.router->out(&n, socket, uint16_t(n.local_port + socket), to, now), to, data);
    }

    void arrive(const gmpunch_address &from, const gmpunch_address &to, const bytes &data) {
        if (gmpunch_address_equal(&to, &master_address)) {
            if (!master_up) return;
            program->udp(now, from, data);
            pump_master();
            return;
        }
        auto stranger = strangers.find(text(to));
        if (stranger != strangers.end()) {
            stranger->second(from, data);
            return;
        }
        for (auto &n : nodes) {
            if (n->dead || !gmpunch_address_same_ip(&n->router->ip, &to)) continue;
            nat::entry *e = n->router->in(to.port, from, now);
            if (!e && n->router->keep_ports && n->router->filtering == dependence::endpoint_independent &&
                to.port == n->local_port) {
                deliver(*n, 0, from, data); // no router at all: a bound socket hears everything
                return;
            }
            if (!e || e->node != n.get()) continue;
            deliver(*n, e->socket, from, data);
            return;
        }
    }

    void deliver(node &n, uint32_t socket, const gmpunch_address &from, const bytes &data) {
        int32_t mine = n.client ? gmpunch_client_input_udp(n.client, now, &from, socket, data.data(), data.size())
                                : gmpunch_host_input_udp(n.host, now, &from, socket, data.data(), data.size());
        if (mine == GMPUNCH_NOT_MINE) {
            const uint8_t *payload;
            size_t len;
            REQUIRE(gmpunch_datagram_decode(data.data(), data.size(), 0, &payload, &len, nullptr) == GMPUNCH_OK);
            n.game.push_back(bytes(payload, payload + len));
            n.game_from.push_back(from);
        }
        pump(n);
    }

    bool broken() { return break_tcp.count(tcp_steps++) != 0; }

    // Both ends hear that the connection ended.
    void reset(node &n, uint32_t id) {
        uint32_t at_master = n.tcp.count(id) ? n.tcp[id] : 0;
        node_closed(n, id);
        if (at_master) {
            owners.erase(at_master);
            program->closed(now, at_master, 104);
            pump_master();
        }
    }

    void node_closed(node &n, uint32_t id) {
        n.tcp.erase(id);
        if (n.dead) return;
        if (n.client) gmpunch_client_tcp_closed(n.client, now, id, 104);
        else gmpunch_host_tcp_closed(n.host, now, id, 104);
        pump(n);
    }

    // The node's system gives up a connection on which nothing is acknowledged.
    void lost(node &n, uint32_t id) {
        if (n.tcp.count(id)) node_closed(n, id);
    }

    void took(node &n, uint32_t id, size_t taken) {
        int32_t result = n.client ? gmpunch_client_tcp_sent(n.client, id, taken) : gmpunch_host_tcp_sent(n.host, id, taken);
        REQUIRE(result == GMPUNCH_OK);
    }

    void writable(node &n, uint32_t id) {
        if (n.dead || !n.tcp.count(id)) return;
        if (n.client) gmpunch_client_tcp_writable(n.client, now, id);
        else gmpunch_host_tcp_writable(n.host, now, id);
        pump(n);
    }

    void tcp_open(node &n, uint32_t id) {
        n.tcp[id] = 0;
        bool fails = broken() || !master_up;
        gmpunch_address from = n.router->ip;
        from.port = uint16_t(50000 + id % 10000);
        if (fails) {
            later(2 * to_master, [this, &n, id] { lost(n, id); });
            return;
        }
        later(to_master, [this, &n, id, from] {
            if (!n.tcp.count(id)) return;
            uint32_t at_master = program->accepted(now, from);
            if (!at_master) {
                later(to_master, [this, &n, id] { node_closed(n, id); });
                return;
            }
            owners[at_master] = {&n, id};
            n.tcp[id] = at_master;
        });
        later(2 * to_master, [this, &n, id] {
            if (n.dead || !n.tcp.count(id)) return;
            if (n.client) gmpunch_client_tcp_opened(n.client, now, id);
            else gmpunch_host_tcp_opened(n.host, now, id);
            pump(n);
        });
    }

    void at_master(node &n, uint32_t id, const bytes &data) {
        uint32_t at = n.tcp.count(id) ? n.tcp[id] : 0;
        if (!at || !master_hears) return;
        for (size_t i = 0; i < data.size(); i += std::min(tcp_chunk, data.size())) {
            size_t len = std::min(tcp_chunk, data.size() - i);
            program->data(now, at, bytes(data.begin() + long(i), data.begin() + long(i + len)));
        }
        pump_master();
    }

    void pump_master() {
        master_program::output out;
        while (program->next_output(out)) {
            uint32_t at = out.connection;
            bytes data = out.data;
            auto asker = askers.find(at);
            if (asker != askers.end() && !data.empty())
                later(to_master, [hear = asker->second, data] { hear(data); });
            auto owner = owners.find(at);
            if (owner == owners.end()) continue;
            node &n = *owner->second.first;
            uint32_t id = owner->second.second;
            if (data.empty()) {
                owners.erase(owner);
                later(to_master, [this, &n, id, at] {
                    if (n.tcp.count(id) && n.tcp[id] == at) node_closed(n, id);
                });
            } else if (broken()) {
                later(0, [this, &n, id] { reset(n, id); });
            } else {
                later(to_master, [this, &n, id, data] {
                    for (size_t i = 0; i < data.size() && n.tcp.count(id) && !n.dead; i += std::min(tcp_chunk, data.size())) {
                        size_t len = std::min(tcp_chunk, data.size() - i);
                        bytes part(data.begin() + long(i), data.begin() + long(i + len));
                        if (n.client) gmpunch_client_tcp_data(n.client, now, id, part.data(), part.size());
                        else gmpunch_host_tcp_data(n.host, now, id, part.data(), part.size());
                    }
                    pump(n);
                });
            }
        }
    }
};

inline std::shared_ptr<nat> open_internet(const char *ip) {
    return std::make_shared<nat>(ip);
}
inline std::shared_ptr<nat> behind(const nat &router) {
    return std::make_shared<nat>(router);
}

} // namespace sim

#endif
