// GATE.PUNCH 1.2.5, the Java master that games are deployed with, in virtual time: what its peers see of it, with the faults
// that a host has to live with. Its lobby is what listed() says; "lobby2", "version" and the like are unknown lines here.
#ifndef GMPUNCH_TESTS_GATE_PUNCH_HPP
#define GMPUNCH_TESTS_GATE_PUNCH_HPP

#include "world.hpp"

#include <algorithm>
#include <array>
#include <deque>

namespace sim {

class gate_punch : public master_program {
public:
    // How it is scheduled, which differs from run to run.
    struct schedule {
        uint32_t seed = 1;
        uint64_t udp_late_ms = 0; // one in four datagrams waits for its thread, up to so long, while TCP is handled
        uint64_t end_late_ms = 0; // the end of a connection is noticed so much later
        bool two_entries = false; // an entry that both threads make at once may stay without the connection
    };
    struct host_entry {
        uint16_t port = 0;               // UDP; 0 until "reg" came
        uint32_t connection = 0;         // for introductions; 0 until "reg2" came
        std::array<std::string, 8> data; // data1 is "<INV>" from each "reg" to the next "reg2"
        uint64_t made = 0;
    };
    struct registration {
        uint64_t at;         // when it arrived, which is not when it was handled
        uint32_t connection; // of a "reg2"; 0 for a UDP "reg"
    };

    std::vector<registration> registrations; // of all hosts
    size_t portless = 0;                     // introductions to port 0
    bool udp_dead = false;                   // its UDP thread ended

    explicit gate_punch(const schedule &chosen) : plan(chosen), random(chosen.seed) {}

    const host_entry *entry(const std::string &ip) const {
        auto found = hosts.find(ip);
        return found == hosts.end() ? nullptr : &found->second;
    }
    bool listed(const std::string &ip) const {
        const host_entry *found = entry(ip);
        return found && found->data[0] != hidden;
    }

    // One thread receives all datagrams, into one buffer that is never cleared, and reads to the last byte that is not zero.
    void udp(uint64_t now, const gmpunch_address &from, const bytes &data) override {
        udp_until = std::max(udp_until, now + (chance() ? 1 + below(plan.udp_late_ms) : 0));
        if (line_of(data) == "reg") registrations.push_back({now, 0});
        pending.insert({udp_until, [=](uint64_t at) { receive(at, from, data); }});
        tick(now);
    }

    // A thread for each connection.
    uint32_t accepted(uint64_t, const gmpunch_address &from) override {
        connections[++last_id].ip = ip_of(from);
        return last_id;
    }
    void data(uint64_t now, uint32_t id, const bytes &data) override {
        for (uint8_t c : data) {
            connection *from = find(id);
            if (!from || from->deaf) return;
            bool ends_line = c == '\r' || (c == '\n' && !from->after_cr);
            from->after_cr = c == '\r';
            if (c >= 0x20 && c != 0x7f) from->line += char(c);
            else if (ends_line) {
                std::string line;
                line.swap(from->line);
                take_line(now, id, line);
            }
        }
    }
    void closed(uint64_t now, uint32_t id, int32_t) override {
        pending.insert({now + plan.end_late_ms, [=](uint64_t) { end(id); }});
        tick(now);
    }

    void tick(uint64_t now) override {
        while (!pending.empty() && pending.begin()->first <= now) {
            auto action = pending.begin()->second;
            pending.erase(pending.begin());
            action(now);
        }
        for (auto &c : connections)
            if (now >= c.second.argument_by) give_up(c.second);
    }
    uint64_t deadline() const override {
        uint64_t due = pending.empty() ? UINT64_MAX : pending.begin()->first;
        for (auto &c : connections) due = std::min(due, c.second.argument_by);
        return due;
    }
    bool next_output(output &out) override {
        if (outputs.empty()) return false;
        out = outputs.front();
        outputs.pop_front();
        return true;
    }

private:
    struct connection {
        std::string ip;
        std::string line;
        bool after_cr = false;
        std::vector<std::string> command; // and its arguments so far
        uint64_t argument_by = UINT64_MAX;
        bool is_host = false;
        bool deaf = false; // its thread ended, the socket is open
    };
    static constexpr const char *hidden = "<INV>";
    static constexpr uint64_t argument_ms = 1000, both_threads_ms = 50;

    schedule plan;
    uint32_t random;
    std::map<std::string, host_entry> hosts;      // by IP: one host for each
    std::map<std::string, uint16_t> client_ports; // by IP: the next request's
    std::map<uint32_t, connection> connections;
    uint32_t last_id = 0;
    std::multimap<uint64_t, std::function<void(uint64_t now)>> pending;
    uint64_t udp_until = 0;
    std::array<uint8_t, 1024> buffer{};
    std::deque<output> outputs;

    uint32_t below(uint64_t limit) {
        random = random * 1664525u + 1013904223u;
        return limit ? (random >> 16) % uint32_t(limit) : 0;
    }
    bool chance() { return plan.udp_late_ms && below(4) == 0; }

    static std::string ip_of(gmpunch_address address) {
        address.port = 0;
        return text(address);
    }
    static std::string line_of(const bytes &datagram) {
        auto begin = datagram.begin() + std::min<long>(12, long(datagram.size()));
        return std::string(begin, std::find(begin, datagram.end(), '\n'));
    }
    connection *find(uint32_t id) {
        auto found = connections.find(id);
        return found == connections.end() ? nullptr : &found->second;
    }
    void send(uint32_t id, const bytes &data) { outputs.push_back({id, data}); }

    void receive(uint64_t now, const gmpunch_address &from, const bytes &data) {
        if (udp_dead) return;
        std::copy_n(data.begin(), std::min(data.size(), buffer.size()), buffer.begin());
        size_t len = buffer.size();
        while (len && !buffer[len - 1]) len--;
        if (len < 12) {
            udp_dead = true;
            return;
        }
        std::string line = line_of(bytes(buffer.begin(), buffer.begin() + long(len)));
        if (line == "connect") client_ports[ip_of(from)] = from.port;
        if (line != "reg") return;
        host_entry &host = hosts[ip_of(from)];
        bool is_new = now < host.made + both_threads_ms;
        if (plan.two_entries && is_new && below(2)) host = host_entry();
        if (!host.made) host.made = now;
        host.port = from.port;
        host.data[0] = hidden;
    }

    void take_line(uint64_t now, uint32_t id, const std::string &line) {
        connection &from = connections[id];
        if (from.command.empty() && line != "reg2" && line != "connect") return;
        from.command.push_back(line);
        bool whole = from.command.size() == (from.command[0] == "reg2" ? 10u : 2u);
        from.argument_by = whole ? UINT64_MAX : now + argument_ms;
        if (!whole) return;
        std::vector<std::string> command;
        command.swap(from.command);
        if (command[0] == "connect") connect(id, from, command[1]);
        else register_host(now, id, from, command);
    }

    void register_host(uint64_t now, uint32_t id, connection &from, const std::vector<std::string> &command) {
        int32_t version = compare_version(command[1]);
        if (version == no_version) return give_up(from);
        if (version < 0) {
            outputs.push_back({id, {}});
            return end(id);
        }
        host_entry &host = hosts[from.ip];
        if (!host.made) host.made = now;
        host.connection = id;
        std::copy(command.begin() + 2, command.end(), host.data.begin());
        from.is_host = true;
        registrations.push_back({now, id});
    }

    void connect(uint32_t id, connection &client, const std::string &wanted) {
        uint16_t port = client_ports[client.ip];
        client_ports.erase(client.ip);
        auto found = hosts.find(wanted);
        if (found == hosts.end()) return send(id, bin("\xfe"));
        const host_entry &host = found->second;
        if (!host.connection) return give_up(client); // a null pointer
        auto message = [](const std::string &ip, uint16_t number) {
            std::string digits = std::to_string(number);
            return bin("\xff") + bytes(ip.begin(), ip.end()) + bytes(1, 0) + bytes(digits.begin(), digits.end());
        };
        send(id, message(wanted, host.port) + bytes(1, 0));
        send(host.connection, message(client.ip, port)); // it forgets the last NUL
        portless += port == 0;
    }

    // Against 1.2.0, number by number: below, equal or above 0.
    static constexpr int32_t no_version = INT32_MAX;
    static int32_t compare_version(const std::string &version) {
        std::vector<int> parts;
        for (size_t at = 0; at <= version.size();) {
            size_t end = std::min(version.find('.', at), version.size());
            std::string part = version.substr(at, end - at);
            if (part.empty() || part.find_first_not_of("0123456789") != std::string::npos) return no_version;
            parts.push_back(std::stoi(part));
            at = end + 1;
        }
        std::vector<int> least = {1, 2, 0};
        return parts < least ? -1 : parts != least;
    }

    // The connection's thread ends by itself: nobody closes the socket.
    void give_up(connection &ended) {
        if (ended.is_host) hosts.erase(ended.ip);
        ended.is_host = false;
        ended.deaf = true;
        ended.argument_by = UINT64_MAX;
    }
    // Takes the entry of its IP along, whosever it is by now.
    void end(uint32_t id) {
        if (connection *ended = find(id)) give_up(*ended);
        connections.erase(id);
    }
};

} // namespace sim

#endif
