// A small internet in virtual time, the same for the same seed: the real state machines, machines behind routers, UDP and TCP
// between them and the master. Nothing waits. What must hold always is checked at every step: see invariants.hpp.
#ifndef GMPUNCH_TESTS_WORLD_HPP
#define GMPUNCH_TESTS_WORLD_HPP

#include "invariants.hpp"
#include "nat.hpp"
#include "schedule.hpp"
#include "tcp.hpp"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>

namespace sim {

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
    virtual void took(uint32_t, size_t) {}       // of the last output the system took only so much
    virtual void writable(uint64_t, uint32_t) {} // and now there is room again
};

struct gmpunch_master_program : master_program {
    gmpunch_master *machine = nullptr;

    gmpunch_master_program(const gmpunch_master_config &config, uint64_t now) {
        must(gmpunch_master_create(&config, now, &machine) == GMPUNCH_OK, "no master");
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
    void took(uint32_t connection, size_t taken) override { gmpunch_master_tcp_sent(machine, connection, taken); }
    void writable(uint64_t now, uint32_t connection) override { gmpunch_master_tcp_writable(machine, now, connection); }
};

class world;

struct node;

// A TCP connection of a node to the master.
struct tcp_connection {
    node *owner;
    uint32_t id;            // of the node's machine
    uint32_t at_master = 0; // of the master's; 0 before it was accepted
    bool ended = false;     // for the node
    bool cut = false;       // passes nothing any more
    uint64_t cut_ms = 0;    // after a send in vain its system ends it
    stream sent, heard;     // by the node
};

// A client or a host with its sockets.
struct node {
    world *in = nullptr;
    std::shared_ptr<nat> router;
    gmpunch_client *client = nullptr;
    gmpunch_host *host = nullptr;
    gmpunch_address inner = {}; // behind its router
    uint16_t local_port = 7000; // of socket 0; the others follow
    std::vector<gmpunch_event> events;
    std::vector<bytes> game; // game packets received
    std::vector<gmpunch_address> game_from;
    bool dead = false;                                       // unplugged: hears and sends nothing
    std::map<uint32_t, std::shared_ptr<tcp_connection>> tcp; // by own id
    size_t tcp_takes = SIZE_MAX;                             // bytes that its system takes at once
    uint64_t tcp_full_ms = 0;                                // and how long it takes none after that
    bool tcp_reads = true; // false: it takes nothing from the master, whose system is full: see world::reads_again
    manners behaves;
    uint64_t due = 0;

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
    uint64_t to_master = 20, to_peer = 30; // one-way delays between two sites, ms; their lines add to them
    uint32_t core_hops = 8;                // routers between two sites
    gmpunch_address master_address = address("203.0.113.1:6510");
    gmpunch_master *master = nullptr; // null if it is another program
    bool master_hears = true;         // false: TCP is accepted by its system, but nothing is ever read
    bool master_up = true;            // false: connections are refused
    tcp_kind tcp;
    random_source random{1};

    // Faults: the packets and TCP steps with these numbers (counted from 0) fail.
    std::set<size_t> drop_udp, break_tcp;
    size_t udp_packets = 0, tcp_steps = 0;
    std::function<bool(const gmpunch_address &from, const gmpunch_address &to, const bytes &data)> drop; // or by content

    // Programs that are not gmpunch, by key(address): they get what is sent there.
    std::map<uint64_t, std::function<void(const gmpunch_address &from, const bytes &data)>> strangers;

    // If set, it is told all that happens.
    std::function<void(const std::string &line)> trace;

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
        n.behaves.name(master_address);
        if (config.direct_port) n.behaves.name(address(config.server, config.direct_port));
        must(gmpunch_client_create(&config, now, &n.client) == GMPUNCH_OK, "no client");
        pump(n);
        return n;
    }
    node &add_host(std::shared_ptr<nat> router, gmpunch_host_config config = gmpunch_host_config{}, uint16_t port = 6611) {
        node &n = add(router, port);
        std::string master_text = text(master_address);
        config.master = master_text.c_str();
        n.behaves.name(master_address);
        n.behaves.of_host = true;
        must(gmpunch_host_create(&config, now, &n.host) == GMPUNCH_OK, "no host");
        pump(n);
        return n;
    }

    // Runs until the condition holds, at most for so long; true if it held.
    template <typename Condition>
    bool run(Condition condition, uint64_t at_most_ms) {
        uint64_t end = now + at_most_ms;
        for (auto &n : nodes) pump(*n); // a test may have called them
        pump_master();
        while (!condition()) {
            uint64_t next = std::min(master_due, queue.next());
            for (auto &n : nodes) next = std::min(next, n->due);
            if (next > end) {
                now = end;
                return condition();
            }
            now = std::max(now, next);
            step();
        }
        return true;
    }
    void run(uint64_t ms) {
        run([] { return false; }, ms);
    }

    // A datagram that somebody sends, from a line without faults.
    void udp(const gmpunch_address &from, const gmpunch_address &to, const bytes &data) {
        launch(nullptr, from, to, data, 0);
    }

    // A game packet from one to the other, as an application with its own socket sends it.
    void game(node &n, const gmpunch_address &to, uint32_t flags, uint32_t socket, const bytes &payload, uint32_t ttl = 0) {
        bytes datagram(payload.size() + 16);
        int32_t len = gmpunch_datagram_encode(datagram.data(), datagram.size(), payload.data(), payload.size(), flags);
        must(len > 0, "no game packet");
        datagram.resize(size_t(len));
        send(n, socket, to, datagram, ttl);
    }

    void later(uint64_t ms, std::function<void()> action) { queue.put(now + ms).action = std::move(action); }

    // The master's process ends and a new one takes its place, knowing nothing.
    void restart_master() {
        note("master restarts");
        for (auto &n : nodes)
            for (auto &c : connections_of(*n)) node_closed(*c);
        replace_master();
    }

    // Its whole machine was off: nobody is told, but what is sent on an old connection is answered with a reset.
    void power_cycle_master() {
        note("master off and on");
        for (auto &n : nodes) cut_tcp(*n, 2 * to_master);
        replace_master();
    }

    // The node's connection passes nothing more and nobody is told, as when a NAT forgets it. Its system ends it node_ms
    // after it sent something in vain, the master's system ends it after master_ms.
    void cut_tcp(node &n, uint64_t node_ms, uint64_t master_ms = UINT64_MAX) {
        for (auto &c : connections_of(n)) {
            c->cut = true;
            c->cut_ms = node_ms;
            uint32_t at = c->at_master;
            c->at_master = 0;
            if (!owners.erase(at) || master_ms == UINT64_MAX) continue;
            later(master_ms, [this, at, then = starts] {
                if (starts != then) return;
                program->closed(now, at, 110);
                pump_master();
            });
        }
    }

    // The router is switched off and on, maybe with another public address: what passed through it does not any more.
    void restart_router(const std::shared_ptr<nat> &router, const char *moved_to = nullptr) {
        note("router restarts", router->ip);
        router->restart();
        if (moved_to) {
            router->ip = address(moved_to);
            index(router);
        }
        for (auto &n : nodes)
            if (behind(*n, router.get())) {
                cut_tcp(*n, 2 * to_master, 60000);
                if (!router->translates) n->inner = router->ip;
            }
    }

    // The node takes again what the master sends.
    void reads_again(node &n) {
        n.tcp_reads = true;
        for (auto &c : n.tcp)
            if (c.second->at_master) program->writable(now, c.second->at_master);
        pump_master();
    }

    // A program that is not gmpunch connects to the master, says this, and hears all answers.
    void ask_master(const gmpunch_address &from, const bytes &question, std::function<void(const bytes &)> hear) {
        later(to_master, [=] {
            uint32_t at = accept(from);
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
            if (n.dead) continue;
            switch (t.kind) {
            case GMPUNCH_TRANSMIT_UDP:
                n.behaves.send(t.to, t.data, t.len);
                scratch.assign(t.data, t.data + t.len);
                send(n, t.socket_index, t.to, scratch, t.ttl);
                break;
            case GMPUNCH_TRANSMIT_TCP_OPEN: tcp_open(n, t.connection); break;
            case GMPUNCH_TRANSMIT_TCP_SEND: tcp_send(n, t.connection, bytes(t.data, t.data + t.len)); break;
            default: tcp_close(n, t.connection);
            }
        }
        gmpunch_event e;
        while ((n.client ? gmpunch_client_next_event(n.client, &e) : gmpunch_host_next_event(n.host, &e)) > 0) {
            if (trace) note(std::string(gmpunch_event_name(e.type)) + " " + gmpunch_reason_name(e.reason), n, &e.address);
            n.events.push_back(e);
        }
        n.due = n.dead ? UINT64_MAX : deadline(n);
    }

    std::vector<std::unique_ptr<node>> nodes;

private:
    using connection = std::shared_ptr<tcp_connection>;
    // A datagram that arrives, or anything else.
    struct happening {
        gmpunch_address from, to;
        uint32_t ttl; // left, 0: enough
        bytes data;
        std::function<void()> action;
    };
    schedule<happening> queue;
    std::unordered_map<uint32_t, connection> owners; // by the master's id
    std::map<uint32_t, std::function<void(const bytes &)>> askers;
    std::unordered_map<uint64_t, nat *> sites;   // routers by IP
    std::unordered_map<uint64_t, node *> inside; // nodes behind a NAT by IP
    master_starter start_master;
    std::unique_ptr<master_program> program;
    uint64_t master_due = 0;
    size_t starts = 0; // again
    uint32_t tcp_ports = 0;
    happening next_up;
    bytes scratch;

    // ---- what is told of it

    void note(const char *what) const {
        if (trace) trace(std::to_string(now) + " " + what);
    }
    void note(const char *what, const gmpunch_address &where) const {
        if (trace) trace(std::to_string(now) + " " + what + " " + text(where));
    }
    void note(const std::string &what, const node &n, const gmpunch_address *at = nullptr) const {
        trace(std::to_string(now) + " " + name(n) + ": " + what + (at && at->family ? " " + text(*at) : ""));
    }
    void note(const char *what, const gmpunch_address &from, const gmpunch_address &to, const bytes &data) const {
        if (trace) trace(std::to_string(now) + " " + what + " " + text(from) + " -> " + text(to) + " " + readable(data));
    }
    std::string name(const node &n) const {
        size_t number = 0;
        while (nodes[number].get() != &n) number++;
        return (n.client ? "client " : "host ") + std::to_string(number);
    }
    static std::string readable(const bytes &data) {
        static const char hex[] = "0123456789abcdef";
        std::string out;
        size_t start = data.size() > 12 && data[0] == 0xde ? 12 : 0;
        for (size_t i = start; i < data.size() && i < start + 60; i++) {
            if (data[i] >= 0x20 && data[i] < 0x7f) out += char(data[i]);
            else out += std::string("\\") + hex[data[i] >> 4] + hex[data[i] & 15];
        }
        return out;
    }

    // ---- time

    void step() {
        while (queue.next() <= now) {
            queue.take(next_up);
            if (!next_up.action) {
                arrive(next_up);
                continue;
            }
            next_up.action();
            next_up.action = nullptr;
        }
        if (master_due <= now) {
            program->tick(now);
            must(program->deadline() > now, "a deadline of the master that is over must not stay");
            pump_master();
        }
        for (size_t i = 0; i < nodes.size(); i++) {
            node &n = *nodes[i];
            if (n.due > now) continue;
            if (n.client) gmpunch_client_tick(n.client, now);
            else gmpunch_host_tick(n.host, now);
            must(n.dead || deadline(n) > now, "a deadline that is over must not stay");
            pump(n);
        }
    }

    static uint64_t deadline(const node &n) {
        return n.client ? gmpunch_client_next_deadline(n.client) : gmpunch_host_next_deadline(n.host);
    }

    void replace_master() {
        for (auto &owner : owners) { // what is still on its way finds nobody
            owner.second->cut = true;
            owner.second->at_master = 0;
        }
        owners.clear();
        askers.clear();
        program = start_master(now);
        starts++;
        master_due = program->deadline();
    }

    // ---- places

    node &add(std::shared_ptr<nat> router, uint16_t port) {
        nodes.emplace_back(new node);
        node &n = *nodes.back();
        n.in = this;
        n.router = router;
        n.local_port = port;
        index(router);
        if (!router->translates) {
            n.inner = router->ip;
        } else {
            size_t number = nodes.size();
            n.inner.family = 4;
            n.inner.ip[0] = 10;
            n.inner.ip[2] = uint8_t(number >> 8);
            n.inner.ip[3] = uint8_t(number);
            inside[ip_key(n.inner)] = &n;
        }
        return n;
    }

    void index(const std::shared_ptr<nat> &router) {
        for (nat *r = router.get(); r; r = r->outer.get()) {
            sites[ip_key(r->ip)] = r;
            for (auto &other : r->more_ips) sites[ip_key(other)] = r;
        }
    }
    nat *site(const gmpunch_address &address) const {
        auto found = sites.find(ip_key(address));
        return found == sites.end() || !found->second->owns(address) ? nullptr : found->second;
    }
    static nat *outermost(nat *router) {
        while (router->outer) router = router->outer.get();
        return router;
    }
    static bool behind(const node &n, const nat *router) {
        for (nat *r = n.router.get(); r; r = r->outer.get())
            if (r == router) return true;
        return false;
    }

    // ---- UDP

    void send(node &n, uint32_t socket, const gmpunch_address &to, const bytes &data, uint32_t ttl) {
        if (n.dead) return;
        gmpunch_address from = n.inner;
        from.port = uint16_t(n.local_port + socket);
        for (nat *r = n.router.get(); r; r = r->outer.get()) {
            if (ttl == 1) return note("ttl over", from, to, data);
            if (ttl) ttl--;
            if (!r->translates) continue;
            from = r->out(from, to, now);
            if (!r->owns(to)) continue;
            if (!r->hairpinning) return note("no hairpin", from, to, data);
            return put_packet(now + 1, from, to, data, ttl);
        }
        launch(outermost(n.router.get()), from, to, data, ttl);
    }

    void put_packet(uint64_t at, const gmpunch_address &from, const gmpunch_address &to, const bytes &data, uint32_t ttl) {
        happening &p = queue.put(at);
        p.from = from;
        p.to = to;
        p.ttl = ttl;
        p.data = data;
    }

    // Onto the lines between two sites, and the internet between them.
    void launch(nat *sender, const gmpunch_address &from, const gmpunch_address &to, const bytes &data, uint32_t ttl) {
        size_t number = udp_packets++;
        if (drop_udp.count(number) || (drop && drop(from, to, data))) return note("dropped", from, to, data);
        if (ttl && ttl <= core_hops) return note("ttl over", from, to, data);
        bool at_master = gmpunch_address_same_ip(&to, &master_address) || gmpunch_address_same_ip(&from, &master_address);
        uint64_t between = at_master ? to_master : to_peer, at[2], there[2];
        nat *receiver = site(to);
        int sent = 1, arriving = 0;
        at[0] = now;
        if (sender) sent = sender->up.pass(random, now, data.size(), at);
        for (int i = 0; i < sent; i++) {
            int came = 1;
            there[0] = at[i] + between;
            if (receiver) came = receiver->down.pass(random, there[0], data.size(), there);
            for (int j = 0; j < came; j++) put_packet(there[j], from, to, data, ttl ? ttl - core_hops : 0);
            arriving += came;
        }
        note(arriving ? "udp" : "lost", from, to, data);
    }

    void arrive(const happening &p) {
        if (gmpunch_address_equal(&p.to, &master_address)) {
            if (!master_up) return;
            program->udp(now, p.from, p.data);
            pump_master();
            return;
        }
        if (!strangers.empty()) {
            auto stranger = strangers.find(key(p.to));
            if (stranger != strangers.end()) return stranger->second(p.from, p.data);
        }
        gmpunch_address to = p.to;
        uint32_t ttl = p.ttl;
        for (nat *r = site(to); r; r = site(to)) {
            const gmpunch_address *inner = r->in(to, p.from, now);
            if (!inner) return note("filtered", p.from, to, p.data);
            if (ttl == 1) return note("ttl over", p.from, to, p.data);
            if (ttl) ttl--;
            if (!r->translates) {
                for (auto &n : nodes)
                    if (n->router.get() == r && to.port >= n->local_port && to.port < n->local_port + 4)
                        return deliver(*n, uint32_t(to.port - n->local_port), p.from, p.data);
                return;
            }
            to = *inner;
        }
        auto found = inside.find(ip_key(to));
        if (found == inside.end() || found->second->dead) return;
        deliver(*found->second, uint32_t(to.port - found->second->local_port), p.from, p.data);
    }

    void deliver(node &n, uint32_t socket, const gmpunch_address &from, const bytes &data) {
        if (n.dead) return;
        uint8_t id = n.behaves.receive(from, data);
        uint64_t before = counted(n);
        int32_t mine = n.client ? gmpunch_client_input_udp(n.client, now, &from, socket, data.data(), data.size())
                                : gmpunch_host_input_udp(n.host, now, &from, socket, data.data(), data.size());
        if (mine == GMPUNCH_NOT_MINE) {
            const uint8_t *payload;
            size_t len;
            must(gmpunch_datagram_decode(data.data(), data.size(), 0, &payload, &len, nullptr) == GMPUNCH_OK,
                 "no game packet");
            n.game.push_back(bytes(payload, payload + len));
            n.game_from.push_back(from);
        } else { // an answer with data is an event; a request for it is answered, or was just before
            must(counted(n) > before || id == (n.client ? 0xfa : 0xfb), "a datagram is lost without being counted");
        }
        pump(n);
    }

    // Datagrams of the protocol, good or bad.
    static uint64_t counted(const node &n) {
        if (n.client) {
            gmpunch_client_stats s{};
            gmpunch_client_get_stats(n.client, &s);
            return uint64_t(s.knocks_heard) + s.welcomes_heard + s.strangers + s.malformed + s.oversized;
        }
        gmpunch_host_stats s{};
        gmpunch_host_get_stats(n.host, &s);
        return uint64_t(s.knocks_heard) + s.strangers + s.malformed + s.oversized;
    }

    // ---- TCP

    bool broken_step() { return break_tcp.count(tcp_steps++) != 0; }

    static std::vector<connection> connections_of(const node &n) {
        std::vector<connection> all;
        for (auto &c : n.tcp) all.push_back(c.second);
        return all;
    }
    static connection find(const node &n, uint32_t id) {
        auto found = n.tcp.find(id);
        return found == n.tcp.end() ? nullptr : found->second;
    }

    // One segment over the line of the node's site: when it arrives, if it does.
    bool passes(const node &n, bool up, size_t len, uint64_t &at) {
        nat *r = outermost(n.router.get());
        uint64_t there[2];
        if (!(up ? r->up : r->down).pass(random, now, len + 40, there)) return false;
        at = there[0] + to_master;
        return true;
    }
    // Calls `then` when it has arrived, or `lost` when its sender has given up.
    void attempt(connection c, bool up, size_t len, uint64_t retry_ms, std::function<void()> then,
                 std::function<void()> lost) {
        uint64_t at;
        if (passes(*c->owner, up, len, at)) later(at - now, then);
        else if (retry_ms > stream::last_retry_ms) lost();
        else later(retry_ms, [=] { attempt(c, up, len, 2 * retry_ms, then, lost); });
    }

    uint32_t accept(const gmpunch_address &from) {
        uint32_t id = master_up ? program->accepted(now, from) : 0;
        pump_master();
        return id;
    }

    void tcp_open(node &n, uint32_t id) {
        auto c = std::make_shared<tcp_connection>();
        c->owner = &n;
        c->id = id;
        n.tcp[id] = c;
        if (broken_step() || !master_up) {
            later(2 * to_master, [=] { node_closed(*c); });
            return;
        }
        gmpunch_address from = n.inner;
        from.port = uint16_t(50000 + tcp_ports++ % 10000);
        uint16_t port = from.port;
        for (nat *r = n.router.get(); r; r = r->outer.get()) from = r->tcp_out(from);
        from.port = port;
        auto timed_out = [=] { node_closed(*c); };
        attempt(
            c, true, 0, 1000,
            [=] {
                if (c->ended || c->cut) return;
                c->at_master = accept(from);
                if (c->at_master) owners[c->at_master] = c;
                bool accepted = c->at_master != 0;
                attempt(
                    c, false, 0, 1000,
                    [=] {
                        if (accepted) node_opened(*c);
                        else node_closed(*c);
                    },
                    timed_out);
            },
            timed_out);
    }

    void tcp_send(node &n, uint32_t id, bytes data) {
        if (data.size() > n.tcp_takes) {
            data.resize(n.tcp_takes);
            took(n, id, data.size());
            later(n.tcp_full_ms, [this, &n, id] { writable(n, id); });
        }
        bool breaks = broken_step();
        connection c = find(n, id);
        if (!c) return;
        if (c->cut) later(c->cut_ms, [=] { node_closed(*c); });
        else if (breaks) later(0, [=] { reset(*c); });
        else put(c, true, data, false);
    }

    void tcp_close(node &n, uint32_t id) {
        connection c = find(n, id);
        n.tcp.erase(id);
        if (!c) return;
        c->ended = true;
        if (!c->cut) put(c, true, {}, true);
    }

    void put(const connection &c, bool up, const bytes &data, bool end) {
        stream &s = up ? c->sent : c->heard;
        uint64_t number = s.put(data, end, tcp.chunk);
        for (uint64_t extra = 0; number < s.end_number(); number++, extra += tcp.gap_ms)
            transfer(c, up, number, extra, stream::first_retry_ms);
    }

    void transfer(const connection &c, bool up, uint64_t number, uint64_t extra, uint64_t retry_ms) {
        if (c->cut) return;
        uint64_t at;
        if (passes(*c->owner, up, 100, at)) {
            at += extra;
            if (tcp.together_ms) at = (at / tcp.together_ms + 1) * tcp.together_ms;
            (up ? c->sent : c->heard).arrives(number, at);
            later(at - now, [=] { flush(c, up); });
        } else if (retry_ms <= stream::last_retry_ms) {
            later(retry_ms, [=] { transfer(c, up, number, extra, 2 * retry_ms); });
        } else { // the sender gives up, and the other side hears nothing of it
            c->cut = true;
            if (up) node_closed(*c);
            else master_closed(*c, 110);
        }
    }

    void flush(const connection &c, bool up) {
        stream::segment s;
        while ((up ? c->sent : c->heard).take(now, tcp.together_ms != 0, s)) {
            if (c->cut) return;
            if (up) {
                if (!s.data.empty() && c->at_master && master_hears) {
                    if (trace) note("tcp to master: " + readable(s.data), *c->owner);
                    program->data(now, c->at_master, s.data);
                    pump_master();
                }
                if (s.end) master_closed(*c, 0);
            } else {
                if (!s.data.empty() && !c->ended) node_hears(*c, s.data);
                if (s.end) node_closed(*c);
            }
        }
    }

    // Both ends hear that the connection ended.
    void reset(tcp_connection &c) {
        node_closed(c);
        master_closed(c, 104);
    }
    void master_closed(tcp_connection &c, int32_t os_error) {
        if (!owners.erase(c.at_master)) return;
        program->closed(now, c.at_master, os_error);
        c.at_master = 0;
        pump_master();
    }

    void node_opened(tcp_connection &c) {
        node &n = *c.owner;
        if (n.dead || c.ended) return;
        if (n.client) gmpunch_client_tcp_opened(n.client, now, c.id);
        else gmpunch_host_tcp_opened(n.host, now, c.id);
        pump(n);
    }
    void node_hears(tcp_connection &c, const bytes &data) {
        node &n = *c.owner;
        if (n.dead) return;
        if (trace) note("tcp from master: " + readable(data), n);
        n.behaves.hear_master(data);
        if (n.client) gmpunch_client_tcp_data(n.client, now, c.id, data.data(), data.size());
        else gmpunch_host_tcp_data(n.host, now, c.id, data.data(), data.size());
        pump(n);
    }
    // The node's system says that it ended.
    void node_closed(tcp_connection &c) {
        node &n = *c.owner;
        if (c.ended) return;
        c.ended = true;
        n.tcp.erase(c.id);
        if (n.dead) return;
        if (trace) note("tcp ended", n);
        if (n.client) gmpunch_client_tcp_closed(n.client, now, c.id, 104);
        else gmpunch_host_tcp_closed(n.host, now, c.id, 104);
        pump(n);
    }

    void took(node &n, uint32_t id, size_t taken) {
        int32_t result = n.client ? gmpunch_client_tcp_sent(n.client, id, taken) : gmpunch_host_tcp_sent(n.host, id, taken);
        must(result == GMPUNCH_OK, "what was taken is not believed");
    }

    void writable(node &n, uint32_t id) {
        if (n.dead || !n.tcp.count(id)) return;
        if (n.client) gmpunch_client_tcp_writable(n.client, now, id);
        else gmpunch_host_tcp_writable(n.host, now, id);
        pump(n);
    }

    void pump_master() {
        master_program::output out;
        while (program->next_output(out)) {
            auto asker = askers.find(out.connection);
            if (asker != askers.end() && !out.data.empty())
                later(to_master, [hear = asker->second, data = out.data] { hear(data); });
            auto owner = owners.find(out.connection);
            if (owner == owners.end()) continue;
            connection c = owner->second;
            if (out.data.empty()) {
                owners.erase(owner);
                c->at_master = 0;
                put(c, false, {}, true);
            } else if (!c->owner->tcp_reads) {
                program->took(out.connection, 0);
            } else if (broken_step()) {
                later(0, [=] { reset(*c); });
            } else {
                put(c, false, out.data, false);
            }
        }
        master_due = program->deadline();
    }
};

inline std::shared_ptr<nat> open_internet(const char *ip) { return std::make_shared<nat>(ip); }
inline std::shared_ptr<nat> behind(const nat &router) { return std::make_shared<nat>(router); }

} // namespace sim

#endif
