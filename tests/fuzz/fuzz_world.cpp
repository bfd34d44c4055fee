// A master, hosts, clients and a lobby, the real ones, over a network that loses, doubles, delays and reorders datagrams and
// cuts, delays and resets connections as the script says. When the script is over the network works again, and then
// everything must come right by itself.
#include "machine.hpp"

#include <deque>

namespace {

using fuzz::bytes;

// Bytes on their way over TCP, in both directions, in order.
struct wire {
    std::deque<bytes> up, down;
    uint32_t at_master = 0; // its id of the connection, 0 while there is none
    bool opening = false;
    bool ended_by_node = false, ended_by_master = false; // the other side hears of it behind what is under way
};

struct packet {
    gmpunch_address from, to;
    bytes data;
};

class world {
public:
    explicit world(fuzz::script &script) : in(script) {}

    void run() {
        uint8_t picks = in.byte();
        gmpunch_master_config settings = gmpunch_master_config();
        settings.host_timeout_ms = 400000;
        EXPECT(master.start(settings));
        add_host(hosts[0], "198.51.100.3", picks & 1);
        if (picks & 2) add_host(hosts[1], "198.51.100.4", picks & 4);
        add_client(clients[0], "192.0.2.1", "198.51.100.3", picks & 8 ? 7000 : 0, picks & 1);
        if (picks & 16) add_client(clients[1], "192.0.2.2", picks & 32 ? "198.51.100.4" : "198.51.100.3", 0, 0);
        if (picks & 64) add_client(clients[2], "192.0.2.1", "198.51.100.3", 0, 0, 7001); // behind the same router
        if (picks & 128) ask();
        pump();
        while (!in.done()) {
            step();
            pump();
        }
        heal();
    }

private:
    template <class kind>
    struct node {
        kind m;
        gmpunch_address address = gmpunch_address(); // of its first socket
        wire line;
        bool full = false; // its system takes nothing
        bool connected = false, ended = false;
        uint32_t entries = 0, peers = 0;
    };
    fuzz::script &in;
    uint64_t now = 1000;
    fuzz::master_machine master;
    node<fuzz::host_machine> hosts[2];
    node<fuzz::client_machine> clients[4];
    node<fuzz::lobby_machine> asker;
    std::vector<packet> air;
    const gmpunch_address master_address = fuzz::address("203.0.113.1:6510");

    template <class F>
    void each(F f) {
        for (auto &h : hosts)
            if (h.m.made) f(h);
        for (auto &c : clients)
            if (c.m.made) f(c);
        if (asker.m.made) f(asker);
    }

    void add_host(node<fuzz::host_machine> &n, const char *ip, int32_t raw) {
        gmpunch_host_config config = gmpunch_host_config();
        config.master = "203.0.113.1";
        config.data[0] = "game";
        config.raw = raw != 0;
        config.max_peers = config.max_introductions = 8;
        config.knock_interval_ms = 250; // few events make many sessions
        config.keepalive_interval_ms = 40000;
        config.peer_timeout_ms = 100000;
        n.address = fuzz::address(ip, 7000);
        n.m.now = now;
        EXPECT(n.m.start(config, true));
    }
    void add_client(node<fuzz::client_machine> &n, const char *ip, const char *server, uint16_t direct, int32_t raw,
                    uint16_t port = 7000) {
        gmpunch_client_config config = gmpunch_client_config();
        config.master = "203.0.113.1";
        config.server = server;
        config.direct_port = direct;
        config.ask_data = 1;
        config.max_sockets = 3;
        config.knock_interval_ms = 250;
        config.keepalive_interval_ms = 40000;
        config.peer_timeout_ms = 100000;
        config.raw = raw != 0;
        n.address = fuzz::address(ip, port);
        n.m.now = now;
        EXPECT(n.m.start(config, true));
    }
    void ask() {
        gmpunch_lobby_config config = gmpunch_lobby_config();
        config.master = "203.0.113.1";
        config.max_entry = 2048;
        config.filter[0] = "game";
        asker.address = fuzz::address("192.0.2.9:7000");
        asker.m.now = now;
        EXPECT(asker.m.start(config, true));
    }

    // ---- datagrams

    static gmpunch_address source(const gmpunch_address &first, uint32_t socket) {
        gmpunch_address made = first;
        made.port = uint16_t(made.port + 10 * socket);
        return made;
    }
    void arrive(const packet &p) {
        if (gmpunch_address_equal(&p.to, &master_address)) {
            master.udp(p.from, p.data);
            return;
        }
        for (auto &h : hosts)
            if (h.m.made && gmpunch_address_equal(&p.to, &h.address)) {
                fuzz::exact data(p.data);
                gmpunch_host_input_udp(h.m.made, now, &p.from, 0, data.data(), data.size());
            }
        for (auto &c : clients)
            for (uint32_t i = 0; c.m.made && i < c.m.made->stats.sockets_used; i++) {
                gmpunch_address here = source(c.address, i);
                fuzz::exact data(p.data);
                if (gmpunch_address_equal(&p.to, &here))
                    gmpunch_client_input_udp(c.m.made, now, &p.from, i, data.data(), data.size());
            }
    }
    void deliver(size_t place, bool keep) {
        packet p = air[place];
        if (!keep) air.erase(air.begin() + long(place));
        arrive(p);
    }

    // ---- connections

    template <class N>
    void move_up(N &n) {
        wire &l = n.line;
        if (l.opening) {
            l.opening = false;
            l.at_master = master.accept(n.address);
            EXPECT(l.at_master);
            n.m.system_opened();
        } else if (!l.up.empty()) {
            if (l.at_master && master.links.count(l.at_master)) master.receive(l.at_master, l.up.front());
            l.up.pop_front();
        } else if (l.ended_by_node) {
            if (l.at_master && master.links.count(l.at_master)) master.drop(l.at_master, 0);
            l = wire();
        }
    }
    template <class N>
    void move_down(N &n) {
        wire &l = n.line;
        if (!l.down.empty()) {
            bytes first = l.down.front();
            l.down.pop_front();
            if (!n.m.connection) return;
            int32_t taken = n.m.system_data(first);
            news(n);
            if (taken > 0 && std::is_same<N, node<fuzz::lobby_machine>>::value && size_t(taken) < first.size())
                l.down.push_front(bytes(first.begin() + taken, first.end()));
        } else if (l.ended_by_master) {
            l = wire();
            n.m.system_closed(0);
        }
    }
    template <class N>
    void reset_at_master(N &n) {
        if (n.line.at_master && master.links.count(n.line.at_master)) master.drop(n.line.at_master, 104);
        n.line = wire();
    }
    template <class N>
    void reset(N &n) {
        reset_at_master(n);
        n.m.system_closed(104);
    }

    // ---- everybody does what is to be done

    void news(node<fuzz::host_machine> &n) {
        gmpunch_event e;
        while (n.m.event(e)) {
            if (e.type == GMPUNCH_EVENT_JOINED) n.peers++;
            if (e.type == GMPUNCH_EVENT_LEFT) n.peers--;
        }
        EXPECT(n.peers == uint32_t(gmpunch_host_peers(n.m.made, nullptr, 0)));
    }
    void news(node<fuzz::client_machine> &n) {
        gmpunch_event e;
        while (n.m.event(e)) {
            EXPECT(!n.ended);
            if (e.type == GMPUNCH_EVENT_CONNECTED) n.connected = true;
            if (e.type == GMPUNCH_EVENT_HOST_DATA) EXPECT(std::strcmp(gmpunch_event_string(&e, 1), "game") == 0);
            n.ended = e.type == GMPUNCH_EVENT_FAILED || e.type == GMPUNCH_EVENT_LOST;
        }
    }
    void news(node<fuzz::lobby_machine> &n) {
        gmpunch_event e;
        while (n.m.event(e)) {
            EXPECT(!n.ended);
            if (e.type == GMPUNCH_EVENT_LOBBY_ENTRY) {
                n.entries++;
                EXPECT(gmpunch_address_same_ip(&e.address, &hosts[0].address) ||
                       gmpunch_address_same_ip(&e.address, &hosts[1].address));
                EXPECT(std::strcmp(gmpunch_event_string(&e, 1), "game") == 0);
            }
            n.ended = e.type == GMPUNCH_EVENT_LOBBY_DONE || e.type == GMPUNCH_EVENT_FAILED;
        }
    }
    template <class N>
    void pump_node(N &n) {
        gmpunch_transmit t;
        n.m.now = now;
        news(n);
        while (n.m.transmit(t)) {
            switch (t.kind) {
            case GMPUNCH_TRANSMIT_UDP:
                air.push_back(packet{source(n.address, t.socket_index), t.to, n.m.last});
                if (air.size() > 64) air.erase(air.begin());
                break;
            case GMPUNCH_TRANSMIT_TCP_OPEN:
                reset_at_master(n); // what is left of the one before
                n.line.opening = true;
                break;
            case GMPUNCH_TRANSMIT_TCP_SEND: {
                size_t taken = n.full ? in.byte() % n.m.last.size() : n.m.last.size();
                if (taken < n.m.last.size()) n.m.system_took(taken);
                if (taken) n.line.up.push_back(bytes(n.m.last.begin(), n.m.last.begin() + long(taken)));
                break;
            }
            default: n.line.ended_by_node = true;
            }
        }
        news(n);
    }
    void pump() {
        gmpunch_transmit t;
        gmpunch_event e;
        master.now = now;
        while (master.transmit(t)) {
            uint32_t id = t.connection;
            each([&](auto &n) {
                if (n.line.at_master != id) return;
                if (t.kind == GMPUNCH_TRANSMIT_TCP_CLOSE) n.line.ended_by_master = true;
                else n.line.down.push_back(master.last);
            });
            if (t.kind == GMPUNCH_TRANSMIT_TCP_SEND) master.took(id, master.last.size(), false);
        }
        while (gmpunch_master_next_event(master.made, &e) > 0) fuzz::check_event(e);
        each([&](auto &n) { pump_node(n); });
        master.check();
        uint32_t joined = 0;
        for (auto &h : hosts) joined += h.peers;
        for (auto &c : clients) EXPECT(!c.connected || hosts[0].m.made); // somebody welcomed it
        EXPECT(joined <= 16);
    }

    // To the next deadline of anybody, at most so far.
    void pass(uint64_t most) {
        uint64_t next = std::min(now + most, gmpunch_master_next_deadline(master.made));
        each([&](auto &n) { next = std::min(next, fuzz::next_deadline(n.m.made)); });
        now = std::max(now, next);
        master.now = now;
        if (gmpunch_master_next_deadline(master.made) <= now) master.ticked();
        each([&](auto &n) {
            n.m.now = now;
            if (fuzz::next_deadline(n.m.made) <= now) n.m.ticked();
        });
        pump();
    }

    template <class F>
    void some_node(F f) {
        switch (in.below(6)) {
        case 0: f(hosts[0]); break;
        case 1: f(hosts[1]); break;
        case 2: f(clients[0]); break;
        case 3: f(clients[1]); break;
        case 4: f(clients[2]); break;
        default: f(asker);
        }
    }
    void step() {
        uint8_t op = in.byte();
        switch (op & 15) {
        case 0:
        case 1: pass(1000); break;
        case 2: pass(uint64_t(1) << (op >> 4)); break;
        case 3:
            for (uint32_t left = 1u << (op >> 5); left > 0; left--) pass(1000);
            break;
        case 4:
        case 5:
        case 6:
            if (!air.empty()) deliver((op >> 4) % air.size(), false);
            break;
        case 7:
            if (!air.empty()) deliver((op >> 4) % air.size(), true); // twice, or more
            break;
        case 8:
            if (!air.empty()) air.erase(air.begin() + (op >> 4) % long(air.size()));
            break;
        case 9: air.clear(); break;
        case 10:
        case 11:
            some_node([&](auto &n) {
                if (n.m.made) move_up(n);
            });
            break;
        case 12:
            some_node([&](auto &n) {
                if (n.m.made) move_down(n);
            });
            break;
        case 13:
            some_node([&](auto &n) {
                if (!n.m.made) return;
                if (op & 16) {
                    reset(n);
                } else {
                    n.full = !n.full;
                    if (!n.full) n.m.system_writable();
                }
            });
            break;
        case 14:
            if (op & 16 && hosts[0].m.made) {
                EXPECT(gmpunch_host_set_data(hosts[0].m.made, 2, "other") == GMPUNCH_OK);
                EXPECT(gmpunch_host_commit_data(hosts[0].m.made, now) == GMPUNCH_OK);
            } else if (op & 32) {
                gmpunch_client_request_data(clients[0].m.made, now);
            } else { // what a stranger forged
                gmpunch_address from = in.address();
                const gmpunch_address *const victims[] = {&master_address, &hosts[0].address, &clients[0].address};
                arrive(packet{from, *victims[in.below(3)], in.datagram()});
            }
            break;
        default: // the whole network for a while
            for (uint32_t left = op >> 4; left > 0; left--) flow(50);
        }
    }

    // All that is under way arrives, in order.
    void flow(uint64_t ms) {
        pass(ms);
        for (size_t left = air.size(); left > 0 && !air.empty(); left--) deliver(0, false);
        each([&](auto &n) {
            for (int left = 0; left < 4; left++) move_up(n);
        });
        pump();
        each([&](auto &n) {
            for (int left = 0; left < 4; left++) move_down(n);
        });
        pump();
    }
    // Lets so much time pass; false if it was over before the condition held.
    template <class F>
    bool until(F condition, uint64_t most) {
        uint64_t end = now + most;
        while (!condition() && now < end) flow(end - now);
        return condition();
    }

    // Whatever was, in a network that works hosts are registered, clients have ended or are connected, and a new client
    // gets in.
    void heal() {
        each([&](auto &n) {
            n.full = false;
            n.m.system_writable();
        });
        pump();
        auto settled = [&] {
            bool good = true;
            for (auto &h : hosts) good = good && (!h.m.made || h.m.made->stats.registered);
            for (auto &c : clients) good = good && (!c.m.made || c.connected || c.ended);
            return good && (!asker.m.made || asker.ended);
        };
        EXPECT(until(settled, 400000));
        // registrations that were lost on the way, and kicks and full tables of strangers, are over after this
        until([] { return false; }, 400000);
        add_client(clients[3], "192.0.2.77", "198.51.100.3", 0, 0);
        pump();
        EXPECT(until([&] { return clients[3].connected; }, 15000));
        asker.m.end();
        asker.line = wire();
        asker.ended = false;
        asker.entries = 0;
        ask();
        pump();
        EXPECT(until([&] { return asker.ended; }, 30000));
        EXPECT(asker.entries == (hosts[1].m.made ? 2u : 1u));
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    fuzz::script in(data, len);
    world(in).run();
    return 0;
}
