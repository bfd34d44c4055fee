// What deployed games and their master put on the wire (vectors.hpp), replayed to ours in the segments in which it was sent
// and in every other split, and compared byte for byte. What ours does otherwise on purpose stands in `differences`, nowhere
// else.
#include "vectors.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

namespace {

using vectors::row;
using vectors::trace;

// Readable, and exact: all but printable characters as <hex>.
std::string show(const bytes &data) {
    std::string out;
    for (uint8_t c : data) {
        const char *const digits = "0123456789ABCDEF";
        if (c > 0x20 && c < 0x7f) out += char(c);
        else out += {'<', digits[c >> 4], digits[c & 15], '>'};
    }
    return out;
}

struct difference {
    const char *what;
    const char *recorded, *here; // the part that differs, as show() writes it, or as a number
    const char *reason;
};
const difference differences[] = {
    // the master's answers
    {"introduction", "7001", "7001<00>", "without the NUL a second one in the same read is lost, or fatal"},
    {"istesting", "<F8><00>", "<F8><00><0A>", "a tester that reads lines need not wait for its time-out"},
    {"istesting, --testing", "<F8><01>", "<F8><01><0A>", "the same"},
    {"lobby, limit -1", "", "<F9>[]<0A>", "nobody is left waiting: what is no limit limits nothing"},
    {"lobby, limit x", "", "<F9>[]<0A>", "the same"},
    {"lobby, limit 2.00", "", "<F9>[]<0A>", "the same"},
    {"lobby, limit with a space", "", "<F9>[]<0A>", "the same"},
    // what a host sends
    {"registration", "reg2<0A>", "reg<0A><00>reg2<0A>", "masters of the published protocol know only reg"},
    {"host_register registrations", "1", "4",
     "nothing confirms them, a datagram handled late hides the host from the list, and the"},
    {"host_ping registrations", "1", "8", "end of an old connection removes it: again at growing intervals, TCP after UDP"},
    {"host_commit registrations", "2", "7", "the same"},
    {"mediated_host registrations", "1", "6", "the same"},
    {"push_no_nul_host registrations", "1", "6", "the same"},
    {"host_register reg datagrams", "1", "3", "the same"},
    {"host_ping reg datagrams", "1", "5", "the same"},
    {"host_commit reg datagrams", "2", "4", "the same, but a commit sends none: it would hide the host for a while"},
    {"mediated_host reg datagrams", "1", "4", "the same"},
    {"push_no_nul_host reg datagrams", "1", "4", "the same"},
    {"ping datagrams", "0", "1", "they keep the router's mapping towards the master; recorded hosts let it expire"},
    {"commit", "close udp open tcp", "tcp", "the end of the old connection would remove the new registration"},
    {"knocks at a player", "0", "3", "a peer that answers them is missed sooner than a classic one"},
    {"welcomes to 1 knock", "4", "1", "repeated to whatever source a datagram claims, they amplify"},
    {"welcomes to 2 knocks", "4", "2", "the same"},
    // what a client does
    {"client_lone_ff knocks at", "", "127.0.0.2:6611", "a TCP read may end anywhere in an answer"},
    {"client_ip_port_apart knocks at", "", "127.0.0.2:6611", "the same"},
    {"client_half_port knocks at", "127.0.0.2:66", "127.0.0.2:6611", "the same"},
    {"master_down_client knocks", "2", "3", "at once, not in the next frame"},
    {"mediated_client closes", "3", "2", "the connection to the master has no use after the answer"},
    {"not_found_client closes", "3", "2", "the same"},
    {"client_lone_ff closes", "61", "9", "the same"},
    {"client_ip_port_apart closes", "61", "9", "the same"},
    {"client_half_port closes", "61", "9", "the same"},
};

// What is expected here where that was recorded.
std::string here(const std::string &what, std::string recorded) {
    for (const difference &d : differences) {
        if (what != d.what) continue;
        size_t at = recorded.find(d.recorded);
        REQUIRE_MESSAGE(at != recorded.npos, what);
        return recorded.replace(at, std::strlen(d.recorded), d.here);
    }
    return recorded;
}
std::string here(const std::string &what, size_t recorded) { return here(what, std::to_string(recorded)); }

// How a message is divided into segments: whole, in two or three pieces, or byte by byte.
struct split {
    size_t first = SIZE_MAX, second = SIZE_MAX; // where it is cut
    bool bytewise = false;

    std::vector<bytes> operator()(const bytes &data) const {
        std::vector<bytes> out(1);
        for (size_t i = 0; i < data.size(); i++) {
            if (i && (bytewise || i == first || i == second)) out.emplace_back();
            out.back().push_back(data[i]);
        }
        return out;
    }
    std::string name() const {
        if (bytewise) return "byte by byte";
        if (first == SIZE_MAX) return "whole";
        return "cut at " + std::to_string(first) + (second == SIZE_MAX ? "" : " and " + std::to_string(second));
    }
};

// Every split of messages of up to so many bytes; in three pieces where they are long.
std::vector<split> splits(size_t longest) {
    std::vector<split> out(1);
    for (size_t i = 1; i < longest; i++) {
        out.push_back({i, SIZE_MAX, false});
        for (size_t j = i + 1; j < longest && longest > 8; j++) out.push_back({i, j, false});
    }
    out.push_back({SIZE_MAX, SIZE_MAX, true});
    return out;
}

const trace &named(const std::vector<trace> &traces, const std::string &name) {
    auto found = std::find_if(traces.begin(), traces.end(), [&](const trace &t) { return t.name == name; });
    REQUIRE_MESSAGE(found != traces.end(), name);
    return *found;
}
bytes message(const std::string &what) {
    for (const vectors::message &m : vectors::messages)
        if (m.what == what) return m.data();
    FAIL(what);
    return {};
}
bool has(const trace &t, vectors::action what, vectors::protocol by) {
    return std::any_of(t.rows.begin(), t.rows.end(), [=](const row &r) { return r.what == what && r.by == by; });
}
bool of_master(const row &r) { return r.peer == vectors::master || r.peer == vectors::no_master; }
size_t longest(const trace &t, vectors::action what) {
    size_t out = 0;
    for (const row &r : t.rows)
        if (r.what == what && r.by == vectors::tcp) out = std::max(out, r.data.len);
    return out;
}
gmpunch_address ip_of(const char *local, uint16_t port) { // "127.0.0.2:*"
    std::string ip = local;
    return address(ip.substr(0, ip.find(':')).c_str(), port);
}

// ---- the recorded peers, and our master

struct served {
    gmpunch_master *master = nullptr;
    uint64_t now = 5000;
    std::map<uint32_t, std::string> got; // what a connection was sent, a space between two sends, and "closed"

    explicit served(gmpunch_master_config config = gmpunch_master_config()) {
        config.max_commands_per_second = GMPUNCH_NEVER; // each vector in every split, all from one IP
        REQUIRE(gmpunch_master_create(&config, now, &master) == GMPUNCH_OK);
    }
    ~served() { gmpunch_master_close(master); }
    served(const served &) = delete;
    served &operator=(const served &) = delete;

    void pump() {
        gmpunch_transmit t;
        while (gmpunch_master_next_transmit(master, &t) > 0) {
            std::string &to = got[t.connection];
            to += to.empty() ? "" : " ";
            to += t.kind == GMPUNCH_TRANSMIT_TCP_SEND ? show(bytes(t.data, t.data + t.len)) : "closed";
        }
    }
    void wait(uint64_t ms) {
        for (uint64_t end = now + ms; now < end;) {
            now = std::min(end, std::max(now, gmpunch_master_next_deadline(master)));
            REQUIRE(gmpunch_master_tick(master, now) == GMPUNCH_OK);
            pump();
        }
    }
    void udp(const gmpunch_address &from, const bytes &data) {
        REQUIRE(gmpunch_master_input_udp(master, now, &from, 0, data.data(), data.size()) == GMPUNCH_CONSUMED);
        pump();
    }
    uint32_t accept(const gmpunch_address &from) {
        uint32_t id = 0;
        REQUIRE(gmpunch_master_tcp_accepted(master, now, &from, &id) == GMPUNCH_OK);
        return id;
    }
    // Somebody else is read between two segments.
    void disturb() {
        bytes line(100, 'x');
        uint32_t id = accept(address("127.0.0.98:40000"));
        REQUIRE(gmpunch_master_tcp_data(master, now, id, line.data(), line.size()) == GMPUNCH_OK);
        close(id);
    }
    void send(uint32_t id, const bytes &data, const split &how) {
        for (const bytes &piece : how(data)) {
            wait(1);
            disturb();
            REQUIRE(gmpunch_master_tcp_data(master, now, id, piece.data(), piece.size()) == GMPUNCH_OK);
            pump();
        }
    }
    void close(uint32_t id) {
        REQUIRE(gmpunch_master_tcp_closed(master, now, id, 0) == GMPUNCH_OK);
        pump();
    }
    std::string take(uint32_t id) {
        std::string out;
        out.swap(got[id]);
        return out;
    }
    gmpunch_master_stats stats() const {
        gmpunch_master_stats out{};
        REQUIRE(gmpunch_master_get_stats(master, &out) == GMPUNCH_OK);
        return out;
    }
    // A raw request from an address of no other, with all that came of it: a "connect" is held for a second, as its UDP port
    // may still come.
    std::string answer(const bytes &request, const split &how = split()) {
        uint32_t id = accept(address("127.0.0.99:40000"));
        send(id, request, how);
        wait(got[id].empty() ? 1000 : 10);
        std::string out = take(id);
        if (out.find("closed") == out.npos) close(id);
        return out;
    }
};

// Does what the peer of a trace did to its master.
struct player {
    served &master;
    const trace &of;
    const split &how;
    uint32_t id = 0;

    void play(const row &r) {
        if (!of_master(r)) return;
        if (r.what == vectors::opened) id = master.accept(ip_of(r.local, 40000));
        if (r.what == vectors::closed) master.close(id);
        if (r.what != vectors::sent) return;
        for (unsigned i = 0; i < r.count; i++) {
            if (r.by == vectors::udp) master.udp(address(r.local), r.data());
            else master.send(id, r.data(), how);
        }
    }
};

// The lines of a registration: "reg2", the version and the data strings.
std::vector<std::string> lines(const bytes &data) {
    std::vector<std::string> out(1);
    for (uint8_t c : data) {
        if (c == 0) continue;
        if (c == '\n') out.emplace_back();
        else out.back() += char(c);
    }
    out.pop_back();
    return out;
}

// A host and a client who asks for it before the host is told of one, or leaves.
void meet(const trace &host, const trace &client, const split &how) {
    CAPTURE(std::string(host.name));
    CAPTURE(std::string(client.name));
    CAPTURE(how.name());
    served master;
    player first{master, host, how}, second{master, client, how};
    auto until = std::find_if(host.rows.begin(), host.rows.end(),
                              [](const row &r) { return r.what == vectors::received && r.by == vectors::tcp; });
    if (until == host.rows.end()) until = host.rows.end() - (host.rows.back().what == vectors::closed);
    bool registered = has(host, vectors::opened, vectors::tcp), asks = has(client, vectors::opened, vectors::tcp);
    int step = 0;
    for (auto r = host.rows.begin(); r != until; r++) {
        master.wait(uint64_t(r->step - step) * 33);
        step = r->step;
        first.play(*r);
    }
    CHECK(master.stats().hosts == registered);
    std::string strings; // of the last registration
    for (auto r = host.rows.begin(); r != until; r++)
        if (r->what == vectors::sent && r->by == vectors::tcp && r->count == 1)
            strings = "\"data1\":\"" + lines(r->data())[2] + "\",\"data2\":\"" + lines(r->data())[3] + "\",";
    std::string list = master.answer(message("ask for lobby")), none = show(message("empty lobby"));
    if (registered) CHECK(list.find(show(bytes(strings.begin(), strings.end()))) != list.npos);
    else CHECK(list == none);
    CHECK(master.take(first.id) == ""); // a registration, a ping and a commit are not answered
    bytes answer;
    for (const row &r : client.rows) {
        if (r.what == vectors::closed) break;
        if (r.what == vectors::received && r.by == vectors::tcp) answer = answer + r.data();
        second.play(r);
    }
    // in one send, also what a scripted master sent in pieces
    if (asks) CHECK(master.take(second.id) == show(answer));
    bytes told =
        until != host.rows.end() && until->what == vectors::received ? until->data() : message("client wants to connect");
    CHECK(master.take(first.id) == (registered && asks ? here("introduction", show(told)) : ""));
    for (; until != host.rows.end(); until++) first.play(*until);
    if (registered) CHECK(master.stats().hosts == 0); // each such trace ends with the host's leave
    CHECK(master.got[first.id] == "");
    CHECK(master.answer(message("ask for lobby")) == none);
    master.udp(address("127.0.0.11:7001"), message("announce port"));
    CHECK(master.answer(message("ask for host")) == show(message("host not found")));
}

// ---- our host and our client, and what the recorded ones received

struct sent {
    uint64_t at;
    int32_t kind;
    std::string to, data;
};

struct record {
    std::vector<sent> all;
    std::vector<gmpunch_event> events;

    void add(uint64_t now, const gmpunch_transmit &t) {
        const std::string to = t.to.family ? text(t.to) : "", ping = show(message("keep alive"));
        std::string data = show(bytes(t.data, t.data + t.len));
        if (t.kind == GMPUNCH_TRANSMIT_TCP_SEND && data.size() > ping.size() &&
            data.compare(data.size() - ping.size(), ping.size(), ping) ==
                0) { // on the stream it is still a message of its own
            data.resize(data.size() - ping.size());
            all.push_back({now, t.kind, to, data});
            data = ping;
        }
        all.push_back({now, t.kind, to, data});
    }
    size_t count(int32_t kind, const std::string &to, const std::string &data, uint64_t from = 0,
                 uint64_t before = UINT64_MAX) const {
        return size_t(std::count_if(all.begin(), all.end(), [&](const sent &s) {
            return s.kind == kind && s.to == to && s.data == data && s.at >= from && s.at < before;
        }));
    }
    const sent *find(int32_t kind) const {
        for (const sent &s : all)
            if (s.kind == kind) return &s;
        return nullptr;
    }
    size_t seen(int32_t type) const {
        return size_t(std::count_if(events.begin(), events.end(), [=](const gmpunch_event &e) { return e.type == type; }));
    }
    gmpunch_event event(int32_t type) const {
        REQUIRE(seen(type) > 0);
        return *std::find_if(events.begin(), events.end(), [=](const gmpunch_event &e) { return e.type == type; });
    }
};

struct our_host {
    gmpunch_host *host = nullptr;
    uint64_t now;
    record done;
    uint32_t connection = 0;

    our_host(const gmpunch_host_config &config, uint64_t start) : now(start) {
        REQUIRE(gmpunch_host_create(&config, now, &host) == GMPUNCH_OK);
        pump();
    }
    ~our_host() { gmpunch_host_close(host); }
    our_host(const our_host &) = delete;
    our_host &operator=(const our_host &) = delete;

    void pump() {
        gmpunch_transmit t;
        while (gmpunch_host_next_transmit(host, &t) > 0) {
            if (t.kind == GMPUNCH_TRANSMIT_TCP_OPEN) connection = t.connection;
            done.add(now, t);
        }
        gmpunch_event e;
        while (gmpunch_host_next_event(host, &e) > 0) done.events.push_back(e);
    }
    void until(uint64_t time) { // what is due at that time itself comes after what arrives then
        while (gmpunch_host_next_deadline(host) < time) {
            now = std::max(now, gmpunch_host_next_deadline(host));
            REQUIRE(gmpunch_host_tick(host, now) == GMPUNCH_OK);
            pump();
        }
        now = time;
    }
    void udp(const gmpunch_address &from, const bytes &data) {
        CHECK(gmpunch_host_input_udp(host, now, &from, 0, data.data(), data.size()) == GMPUNCH_CONSUMED);
        pump();
    }
};

bytes knock() { return message("knock"); }
bytes welcome() { return message("welcome"); }

// Our host in the place of the recorded one. A step is longer here than the silence that ends a port without NUL.
void replay_host(const trace &t, const split &how, bool nul) {
    CAPTURE(std::string(t.name));
    CAPTURE(how.name());
    CAPTURE(nul);
    const uint64_t step = 250;
    std::vector<std::vector<std::string>> registrations;
    gmpunch_host_config config{};
    config.master = t.rows[0].peer;
    config.knock_interval_ms = step;
    config.introduction_timeout_ms = 21 * step;
    config.reconnect_min_ms = 60000;
    for (const row &r : t.rows) {
        if (r.what != vectors::sent || r.by != vectors::tcp) continue;
        if (r.count == 1) registrations.push_back(lines(r.data()));
        else config.ping_interval_ms = uint32_t(step * uint64_t(r.last_step - r.step) / (r.count - 1));
    }
    for (size_t i = 0; i < 8 && !registrations.empty(); i++) {
        REQUIRE(registrations[0].size() == 10);
        config.data[i] = registrations[0][2 + i].c_str();
    }
    bool commits = registrations.size() > 1;
    our_host ours(config, step * uint64_t(t.rows[0].step));
    unsigned knocks = 0;
    for (size_t i = 0; i < t.rows.size(); i++) {
        const row &r = t.rows[i];
        ours.until(step * uint64_t(r.step));
        switch (r.what) {
        case vectors::opened:
            if (i == 1) REQUIRE(gmpunch_host_tcp_opened(ours.host, ours.now, ours.connection) == GMPUNCH_OK);
            break;
        case vectors::refused:
            REQUIRE(gmpunch_host_tcp_closed(ours.host, ours.now, ours.connection, 111) == GMPUNCH_OK);
            break;
        case vectors::closed:
            if (i + 1 == t.rows.size()) break;
            REQUIRE(gmpunch_host_set_data(ours.host, 1, registrations[1][2].c_str()) == GMPUNCH_OK);
            REQUIRE(gmpunch_host_commit_data(ours.host, ours.now) == GMPUNCH_OK);
            break;
        case vectors::received:
            if (r.by == vectors::udp) {
                for (unsigned n = 0; n < r.count; n++) ours.udp(address(r.peer), r.data());
                knocks += r.data() == knock() ? r.count : 0;
                break;
            }
            for (const bytes &piece : how(nul ? r.data() + bytes(1, 0) : r.data())) {
                ours.until(ours.now + 1);
                REQUIRE(gmpunch_host_tcp_data(ours.host, ours.now, ours.connection, piece.data(), piece.size()) == 0);
                ours.pump();
            }
            break;
        default: break;
        }
        ours.pump();
    }
    if (t.rows.back().what != vectors::closed) ours.until(ours.now + 8 * step);

    size_t accounted = 0, recorded_regs = 0;
    for (const row &r : t.rows) {
        uint64_t from = step * uint64_t(r.step), before = step * uint64_t(std::max(r.step, r.last_step) + 1);
        std::string data = show(r.data());
        if (r.what != vectors::sent) continue;
        CAPTURE(data);
        if (r.by == vectors::tcp) {
            std::string expected = r.count == 1 ? here("registration", data) : data;
            CHECK(ours.done.count(GMPUNCH_TRANSMIT_TCP_SEND, "", expected, from, before) >= 1);
            if (r.count == 1) continue; // counted below
            CHECK(ours.done.count(GMPUNCH_TRANSMIT_TCP_SEND, "", expected, from, before) == r.count);
            CHECK(ours.done.count(GMPUNCH_TRANSMIT_TCP_SEND, "", expected) == r.count);
            accounted += r.count;
        } else if (of_master(r)) {
            recorded_regs += r.count;
        } else {
            bool is_welcome = r.data() == welcome();
            std::string of = "welcomes to " + std::to_string(knocks) + (knocks == 1 ? " knock" : " knocks");
            std::string expected = is_welcome ? here(of, r.count) : std::to_string(r.count);
            CHECK(std::to_string(ours.done.count(GMPUNCH_TRANSMIT_UDP, r.peer, data, from, before)) == expected);
            accounted += std::stoul(expected);
        }
    }
    const char *master = t.rows[0].peer;
    bool refused = has(t, vectors::refused, vectors::tcp);
    size_t regs = ours.done.count(GMPUNCH_TRANSMIT_UDP, master, show(t.rows[0].data()));
    CHECK(ours.done.all[0].data == show(t.rows[0].data())); // UDP before TCP
    CHECK(std::to_string(regs) ==
          (refused ? std::to_string(recorded_regs) : here(t.name + std::string(" reg datagrams"), recorded_regs)));
    size_t pings = ours.done.count(GMPUNCH_TRANSMIT_UDP, master, show(with_header(message("keep alive"))));
    if (std::string(t.name) == "host_ping") CHECK(std::to_string(pings) == here("ping datagrams", size_t(0)));
    size_t registered = 0, opened = ours.done.count(GMPUNCH_TRANSMIT_TCP_OPEN, master, "");
    for (const auto &registration : registrations) {
        bytes reg2;
        for (const std::string &line : registration) reg2 = reg2 + bytes(line.begin(), line.end()) + bin("\n\0");
        registered += ours.done.count(GMPUNCH_TRANSMIT_TCP_SEND, "", here("registration", show(reg2)));
    }
    if (!refused) CHECK(std::to_string(registered) == here(t.name + std::string(" registrations"), registrations.size()));
    CHECK(opened == 1);
    if (commits) { // what was done in the step of the first closed row
        std::string recorded, done;
        for (size_t i = 3; i + 1 < t.rows.size(); i++)
            recorded += std::string(recorded.empty() ? "" : " ") + (t.rows[i].what == vectors::closed   ? "close"
                                                                    : t.rows[i].what == vectors::opened ? "open"
                                                                    : t.rows[i].by == vectors::udp      ? "udp"
                                                                                                        : "tcp");
        for (const sent &s : ours.done.all) {
            const char *const kinds[] = {"", "udp", "open", "tcp", "close"};
            if (s.at >= step * uint64_t(t.rows[3].step)) done += std::string(done.empty() ? "" : " ") + kinds[s.kind];
        }
        CHECK(done == here("commit", recorded));
    }
    size_t asked = 0;
    for (const row &r : t.rows)
        if (r.what == vectors::received && r.by == vectors::udp && r.data() == knock())
            asked = ours.done.count(GMPUNCH_TRANSMIT_UDP, r.peer, show(knock()), step * uint64_t(r.step) + 5000);
    if (std::string(t.name) == "mediated_host") CHECK(std::to_string(asked) == here("knocks at a player", size_t(0)));
    CHECK(ours.done.all.size() == accounted + regs + pings + registered + opened + asked); // and nothing else

    bool introduced = has(t, vectors::received, vectors::tcp);
    CHECK(ours.done.seen(GMPUNCH_EVENT_INTRODUCED) == introduced);
    if (introduced) CHECK(text(ours.done.event(GMPUNCH_EVENT_INTRODUCED).address) == vectors::client_udp);
    CHECK(ours.done.seen(GMPUNCH_EVENT_JOINED) == (knocks > 0));
    CHECK(ours.done.seen(GMPUNCH_EVENT_LEFT) == 0);
    if (!knocks) return;
    gmpunch_event joined = ours.done.event(GMPUNCH_EVENT_JOINED);
    CHECK(text(joined.address) == vectors::client_udp);
    CHECK(joined.how == (introduced ? GMPUNCH_HOW_PUNCHED : GMPUNCH_HOW_DIRECT));
}

// Our client in the place of the recorded one. A step is so short here that a pause inside a port is not taken for its end.
void replay_client(const trace &t, const split &how) {
    const std::string name = t.name;
    CAPTURE(name);
    CAPTURE(how.name());
    const uint64_t step = 25;
    const uint64_t base = 1000;
    auto time = [=](int number) { return base + step * uint64_t(number); };
    gmpunch_client_config config{};
    bool direct = std::none_of(t.rows.begin(), t.rows.end(), of_master);
    config.direct_only = direct;
    config.master = direct ? nullptr : vectors::master;
    config.server = "127.0.0.2";
    config.direct_port = address(vectors::host_udp).port;
    config.knock_interval_ms = step;
    uint64_t now = time(t.rows[0].step);
    gmpunch_client *created = nullptr;
    record done;
    uint32_t connection = 0;
    std::vector<std::string> strings;
    REQUIRE(gmpunch_client_create(&config, now, &created) == GMPUNCH_OK);
    std::unique_ptr<gmpunch_client, void (*)(gmpunch_client *)> closer(created, gmpunch_client_close);
    gmpunch_client *const client = created;
    auto pump = [&] {
        gmpunch_transmit x;
        while (gmpunch_client_next_transmit(client, &x) > 0) {
            if (x.kind == GMPUNCH_TRANSMIT_TCP_OPEN) connection = x.connection;
            done.add(now, x);
        }
        gmpunch_event e;
        while (gmpunch_client_next_event(client, &e) > 0) {
            done.events.push_back(e);
            for (uint32_t i = 1; e.type == GMPUNCH_EVENT_HOST_DATA && i <= 8; i++)
                strings.push_back(gmpunch_event_string(&e, i));
        }
    };
    auto until = [&](uint64_t end) { // as that of the host
        while (gmpunch_client_next_deadline(client) < end) {
            now = std::max(now, gmpunch_client_next_deadline(client));
            REQUIRE(gmpunch_client_tick(client, now) == GMPUNCH_OK);
            pump();
        }
        now = end;
    };
    int answered = 0, closed = 0, last = 0; // steps
    for (const row &r : t.rows) {
        pump();
        until(time(r.step) > now ? time(r.step) : now);
        last = std::max(last, std::max(r.step, r.last_step));
        if (r.what == vectors::opened) REQUIRE(gmpunch_client_tcp_opened(client, now, connection) == GMPUNCH_OK);
        if (r.what == vectors::refused) REQUIRE(gmpunch_client_tcp_closed(client, now, connection, 111) == GMPUNCH_OK);
        if (r.what == vectors::closed) closed = r.step;
        if (r.what == vectors::sent && r.data() == message("ask for data"))
            REQUIRE(gmpunch_client_request_data(client, now) == GMPUNCH_OK);
        if (r.what != vectors::received) continue;
        if (r.by == vectors::udp) {
            gmpunch_address from = address(r.peer);
            bytes data = r.data();
            for (unsigned i = 0; i < r.count; i++)
                CHECK(gmpunch_client_input_udp(client, now, &from, 0, data.data(), data.size()) == GMPUNCH_CONSUMED);
            continue;
        }
        answered = r.step;
        for (const bytes &piece : how(r.data())) {
            REQUIRE(gmpunch_client_stage(client) == GMPUNCH_STAGE_MASTER);
            until(now + 1);
            REQUIRE(gmpunch_client_tcp_data(client, now, connection, piece.data(), piece.size()) == GMPUNCH_OK);
            pump();
        }
    }
    pump();
    until(time(last + 1));

    const std::string knocks_at = name + " knocks at", knocks = show(knock());
    size_t accounted = 0, recorded = 0;
    std::string knocked_at;
    for (const row &r : t.rows) {
        std::string data = show(r.data());
        CAPTURE(data);
        if (r.what == vectors::opened || r.what == vectors::refused) {
            CHECK(done.count(GMPUNCH_TRANSMIT_TCP_OPEN, r.peer, "") == 1);
            accounted++;
        }
        if (r.what != vectors::sent) continue;
        int32_t kind = r.by == vectors::udp ? GMPUNCH_TRANSMIT_UDP : GMPUNCH_TRANSMIT_TCP_SEND;
        if (r.data() == knock()) {
            recorded += r.count;
            knocked_at = r.peer;
            if (here(knocks_at, knocked_at) != knocked_at) continue;
            CHECK(done.count(kind, r.peer, data, time(r.step), time(std::max(r.step, r.last_step) + 1)) == r.count);
        } else {
            CHECK(done.count(kind, r.by == vectors::udp ? r.peer : "", data) == r.count);
            accounted += r.count;
        }
    }
    std::string target = here(knocks_at, knocked_at);
    size_t knocked = done.count(GMPUNCH_TRANSMIT_UDP, target, knocks);
    CAPTURE(target);
    if (target == knocked_at) CHECK(std::to_string(knocked) == here(name + " knocks", recorded));
    else CHECK(knocked == size_t(last - answered + 1)); // one a step from the whole answer on
    const sent *close = done.find(GMPUNCH_TRANSMIT_TCP_CLOSE);
    CHECK((close != nullptr) == (closed > 0));
    if (close) CHECK(std::to_string((close->at - base) / step) == here(name + " closes", size_t(closed)));
    CHECK(done.all.size() == accounted + knocked + (close != nullptr)); // and nothing else

    bool welcomed = std::any_of(t.rows.begin(), t.rows.end(), [](const row &r) { return r.data() == welcome(); });
    CHECK(gmpunch_client_stage(client) == (welcomed ? GMPUNCH_STAGE_CONNECTED : GMPUNCH_STAGE_PUNCH));
    CHECK(done.seen(GMPUNCH_EVENT_CONNECTED) == welcomed);
    if (welcomed) {
        gmpunch_event connected = done.event(GMPUNCH_EVENT_CONNECTED);
        CHECK(text(connected.address) == vectors::host_udp);
        CHECK(connected.how == (name == "mediated_client" ? GMPUNCH_HOW_PUNCHED : GMPUNCH_HOW_DIRECT));
    }
    bool asked = done.count(GMPUNCH_TRANSMIT_UDP, vectors::host_udp, show(message("ask for data"))) > 0;
    CHECK(asked == (name == "mediated_client"));
    if (asked) CHECK(strings == std::vector<std::string>{"game", "n\xc3\xa4me", "", "", "", "", "", ""});
}

// The messages in a stream of answers: each begins with an id, the first or behind an LF.
std::string each_in_one_send(const bytes &stream) {
    std::string out;
    bytes one;
    for (size_t i = 0; i < stream.size(); i++) {
        if (i && stream[i - 1] == '\n' && stream[i] >= 0xf5) {
            out += show(one) + " ";
            one.clear();
        }
        one.push_back(stream[i]);
    }
    return out + show(one);
}

// ---- the list of hosts

struct listed {
    const char *ip, *data[3];
    uint64_t created; // unix seconds
};
const listed bravo = {"127.0.0.2", {"g1", "bravo", "x"}, 1795332611};
const listed alpha = {"127.0.0.3", {"g1", "alpha", "y"}, 1795332613};
const listed charlie = {"127.0.0.4", {"g2", "charlie", "x"}, 1795332615};
const listed escaped = {"127.0.0.2", {"x<>&='\"\\/y", "\xc3\xa9\xe2\x82\xac", "abc"}, 1795332633};

// A recorded question, what it means, and the hosts of the answer.
struct lobby {
    const char *name, *filter;
    uint32_t sort_by;
    int32_t descending;
    uint32_t limit;
    std::vector<listed> answer;
};
const std::vector<lobby> &lobbies() {
    static const std::vector<lobby> all = {
        {"lobby_default", nullptr, GMPUNCH_SORT_DATE, 0, 0, {bravo, alpha, charlie}},
        {"lobby_date_asc", nullptr, GMPUNCH_SORT_DATE, 1, 0, {charlie, alpha, bravo}}, // the wire has them swapped
        {"lobby_data2_desc", nullptr, 2, 0, 0, {alpha, bravo, charlie}},
        {"lobby_filter1", "g1", GMPUNCH_SORT_DATE, 0, 0, {bravo, alpha}},
        {"lobby_limit", nullptr, GMPUNCH_SORT_DATE, 0, 2, {bravo, alpha}},
        {"lobby_empty", nullptr, GMPUNCH_SORT_DATE, 0, 0, {}},
    };
    return all;
}
bytes exchanged(const char *name, vectors::action what) {
    for (const row &r : named(vectors::lobbies, name).rows)
        if (r.what == what) return r.data();
    FAIL(name);
    return {};
}

// Registers hosts in the order and at the times of their createdTime, each as the scripts do. raw goes into a data string as
// it is, before the master drops its control characters.
void register_hosts(served &master, const std::vector<listed> &hosts, const std::string &raw = "") {
    REQUIRE(gmpunch_master_set_unix_time(master.master, master.now, hosts[0].created) == GMPUNCH_OK);
    uint64_t start = master.now;
    for (const listed &one : hosts) {
        master.wait(start + (one.created - hosts[0].created) * 1000 - master.now);
        bytes reg2 = bin("reg2\n\0"
                         "1.2.4\n\0");
        for (size_t i = 0; i < 8; i++) {
            std::string data = i > 2 ? "" : i == 2 && !raw.empty() ? raw : one.data[i];
            reg2 = reg2 + bytes(data.begin(), data.end()) + bin("\n\0");
        }
        master.udp(address(one.ip, 6611), message("register port"));
        uint32_t id = master.accept(address(one.ip, 40000));
        REQUIRE(gmpunch_master_tcp_data(master.master, master.now, id, reg2.data(), reg2.size()) == GMPUNCH_OK);
        master.pump();
    }
    REQUIRE(master.stats().hosts == hosts.size());
}

// Our lobby asks as the recorded one did, and gets that answer in segments.
void replay_lobby(const lobby &asked, const bytes &answer, const std::vector<listed> &expected, const split &how) {
    CAPTURE(how.name());
    gmpunch_lobby_config config{};
    config.master = vectors::master;
    config.filter[0] = asked.filter;
    config.sort_by = asked.sort_by;
    config.descending = asked.descending;
    config.limit = asked.limit;
    config.max_entry = 1024;
    uint64_t now = 5000;
    gmpunch_lobby *created = nullptr;
    REQUIRE(gmpunch_lobby_create(&config, now, &created) == GMPUNCH_OK);
    std::unique_ptr<gmpunch_lobby, void (*)(gmpunch_lobby *)> closer(created, gmpunch_lobby_close);
    std::string done, request = show(exchanged(asked.name, vectors::sent));
    uint32_t connection = 0;
    size_t entries = 0, seen = 0;
    auto pump = [&] {
        gmpunch_transmit t;
        while (gmpunch_lobby_next_transmit(created, &t) > 0) {
            if (t.kind == GMPUNCH_TRANSMIT_TCP_OPEN) connection = t.connection;
            done += t.kind == GMPUNCH_TRANSMIT_TCP_OPEN   ? "open " + text(t.to) + " "
                    : t.kind == GMPUNCH_TRANSMIT_TCP_SEND ? show(bytes(t.data, t.data + t.len)) + " "
                                                          : "close ";
        }
        gmpunch_event e;
        while (gmpunch_lobby_next_event(created, &e) > 0) {
            done += e.type == GMPUNCH_EVENT_LOBBY_ENTRY ? "" : std::string(gmpunch_event_name(e.type)) + " ";
            if (e.type != GMPUNCH_EVENT_LOBBY_ENTRY) continue;
            REQUIRE(entries < expected.size());
            const listed &one = expected[entries++];
            CHECK(text(e.address) == one.ip);
            for (uint32_t i = 0; i < 8; i++)
                CHECK(std::string(gmpunch_event_string(&e, i + 1)) == (i < 3 ? one.data[i] : ""));
            CHECK(e.created == one.created);
        }
    };
    pump();
    REQUIRE(gmpunch_lobby_tcp_opened(created, now, connection) == GMPUNCH_OK);
    pump();
    for (const bytes &piece : how(answer)) {
        for (size_t at = 0; at < piece.size() && seen + 1 < answer.size();) { // nothing waits for the LF behind the list
            REQUIRE(done == std::string("open ") + vectors::master + " " + request + " ");
            int32_t taken = gmpunch_lobby_tcp_data(created, ++now, connection, piece.data() + at, piece.size() - at);
            REQUIRE(taken > 0);
            at += size_t(taken);
            seen += size_t(taken);
            pump();
        }
    }
    CHECK(done.find(request + " close lobby_done ") != done.npos);
    CHECK(entries == expected.size());
}

} // namespace

TEST_CASE("vectors: each message is one of the trace that it is from") {
    for (const vectors::message &m : vectors::messages) {
        CAPTURE(std::string(m.what));
        std::string seen_in = m.seen_in;
        const auto &traces = seen_in.find("lobby") == 0               ? vectors::lobbies
                             : seen_in.find("client") != seen_in.npos ? vectors::clients
                                                                      : vectors::hosts;
        const trace &t = named(traces, seen_in);
        CHECK(std::any_of(t.rows.begin(), t.rows.end(), [&](const row &r) { return r.data() == m.data() && r.by == m.by; }));
    }
}

TEST_CASE("vectors: recorded hosts meet recorded clients at our master, in every split") {
    for (const trace &host : vectors::hosts) {
        const trace &client =
            named(vectors::clients, has(host, vectors::opened, vectors::tcp) ? "mediated_client" : "not_found_client");
        for (const split &how : splits(std::max(longest(host, vectors::sent), longest(client, vectors::sent))))
            meet(host, client, how);
    }
    for (const trace &client : vectors::clients) {
        const trace &host =
            named(vectors::hosts, std::string(client.name) == "not_found_client" ? "not_found_host" : "mediated_host");
        for (const split &how : splits(longest(client, vectors::sent))) meet(host, client, how);
    }
}

TEST_CASE("vectors: requests to the Java master are answered by ours, in every split") {
    for (const vectors::exchange &e : vectors::java_commands) {
        const std::string what = e.what;
        gmpunch_master_config config{};
        config.testing = what.find("--testing") != what.npos;
        config.no_lobby = what.find("--disable-lobby") != what.npos;
        if (what.find("--name N1") != what.npos) config.name = "N1";
        CAPTURE(what);
        std::string expected = here(what, each_in_one_send(e.answer()));
        for (const split &how : splits(e.request().size())) {
            CAPTURE(how.name());
            CHECK(served(config).answer(e.request(), how) == expected);
        }
    }
}

TEST_CASE("vectors: our host does what the recorded hosts did, and hears introductions in every split") {
    for (const trace &t : vectors::hosts) {
        for (bool nul : {false, true})
            for (const split &how : splits(longest(t, vectors::received) + nul)) replay_host(t, how, nul);
    }
}

TEST_CASE("vectors: our client does what the recorded clients did, and hears answers in every split") {
    for (const trace &t : vectors::clients)
        for (const split &how : splits(longest(t, vectors::received))) replay_client(t, how);
}

TEST_CASE("vectors: a client that goes through its port stages is welcomed once for each knock") {
    for (const auto *stages : {&vectors::port_stages, &vectors::port_stages_direct}) {
        CAPTURE(stages == &vectors::port_stages_direct);
        std::map<uint16_t, std::vector<int>> steps; // of the knocks that reach a port
        for (const vectors::burst &b : *stages)
            for (uint16_t port : b.ports) steps[port].push_back(b.step);
        REQUIRE(steps.size() > 1000);
        gmpunch_host_config config{};
        gmpunch_address from = address(vectors::client_udp);
        const bytes data = vectors::stage_knock();
        for (const auto &port : steps) {
            CAPTURE(port.first);
            our_host ours(config, 0);
            for (size_t i = 0; i < port.second.size(); i++) {
                ours.until(uint64_t(port.second[i]) * 33);
                ours.udp(from, data);
                CHECK(ours.done.count(GMPUNCH_TRANSMIT_UDP, vectors::client_udp, show(welcome())) == i + 1);
            }
            ours.until(uint64_t(port.second[0]) * 33 + 5000);  // then it is asked whether it is a classic client
            CHECK(ours.done.all.size() == port.second.size()); // only these
            CHECK(ours.done.events.size() == 1);
            CHECK(ours.done.seen(GMPUNCH_EVENT_JOINED) == 1);
        }

        // a router that lets all ports through to the host: a burst that is read at once needs one welcome
        our_host ours(config, 0);
        for (const vectors::burst &b : *stages) {
            ours.until(uint64_t(b.step) * 33);
            for (size_t i = 0; i < b.ports.size(); i++) {
                REQUIRE(gmpunch_host_input_udp(ours.host, ours.now, &from, 0, data.data(), data.size()) == GMPUNCH_CONSUMED);
            }
            ours.pump();
        }
        CHECK(ours.done.all.size() == stages->size());
        CHECK(ours.done.count(GMPUNCH_TRANSMIT_UDP, vectors::client_udp, show(welcome())) == stages->size());
        CHECK(ours.done.events.size() == 1);
        CHECK(ours.done.seen(GMPUNCH_EVENT_JOINED) == 1);
    }
}

TEST_CASE("vectors: our lobby asks as the recorded ones did, and reads the recorded lists in every split") {
    auto replay = [](const lobby &asked, const bytes &answer, const std::vector<listed> &expected) {
        replay_lobby(asked, answer, expected, split());
        for (size_t i = 1; i < answer.size(); i++) replay_lobby(asked, answer, expected, {i, SIZE_MAX, false});
        replay_lobby(asked, answer, expected, {SIZE_MAX, SIZE_MAX, true});
    };
    for (const lobby &l : lobbies()) {
        CAPTURE(std::string(l.name));
        replay(l, exchanged(l.name, vectors::received), l.answer);
    }
    CAPTURE("escaped");
    replay(lobbies()[0], vectors::java_json[0].answer(), {escaped});
}

TEST_CASE("vectors: short answers of the Java master are read, and waited for until they are whole") {
    size_t read = 0;
    for (const vectors::exchange &e : vectors::java_commands) {
        bytes answer = e.answer();
        if (answer.empty() || answer[0] < GMPUNCHI_ID_VERSION || answer[0] > GMPUNCHI_ID_TESTING) continue;
        CAPTURE(std::string(e.what));
        gmpunchi_text_answer out;
        size_t at = 0, first = 0;
        for (; at < answer.size(); at += out.used) {
            REQUIRE(gmpunchi_decode_text_answer(answer.data() + at, answer.size() - at, &out) == GMPUNCH_OK);
            if (!at) first = out.used;
            std::string lines;
            for (uint32_t i = 0; i < out.lines; i++) lines += std::string(out.line[i], out.line[i] + out.line_len[i]) + ";";
            bool on = std::strstr(e.what, "--testing") != nullptr;
            CHECK(out.id == answer[at]);
            CHECK(lines == (out.id == GMPUNCHI_ID_VERSION               ? "1.2.5;"
                            : out.id == GMPUNCHI_ID_TESTING_INFOS && on ? "N1;1.2.5;1.2.0;"
                                                                        : ""));
            CHECK(out.flag == (on || out.id == GMPUNCHI_ID_VERSION));
        }
        CHECK(at == answer.size());
        for (size_t len = 0; len < first; len++)
            CHECK(gmpunchi_decode_text_answer(answer.data(), len, &out) == GMPUNCH_ERR_END);
        read++;
    }
    CHECK(read == 6);
}

TEST_CASE("vectors: recorded questions for the list of hosts get the recorded list, in every split") {
    for (const lobby &l : lobbies()) {
        CAPTURE(std::string(l.name));
        served master;
        if (!l.answer.empty()) register_hosts(master, {bravo, alpha, charlie});
        bytes request = exchanged(l.name, vectors::sent);
        for (const split &how : splits(request.size())) {
            CAPTURE(how.name());
            CHECK(master.answer(request, how) == show(exchanged(l.name, vectors::received)));
        }
    }
}

TEST_CASE("vectors: the list of hosts is escaped as the Java master does, and without control characters") {
    served master;
    register_hosts(master, {escaped},
                   "\x01"
                   "a\tb\x7f"
                   "c"); // the registration itself was not recorded
    const vectors::exchange &e = vectors::java_json[0];
    for (const split &how : splits(e.request().size())) {
        CAPTURE(how.name());
        CHECK(master.answer(e.request(), how) == show(e.answer()));
    }
}

TEST_CASE("vectors: what is no limit limits nothing") {
    served master;
    register_hosts(master, {bravo, alpha, charlie});
    size_t asked = 0;
    for (const vectors::exchange &e : vectors::java_commands) {
        const std::string what = e.what;
        if (what.find("lobby, limit") != 0) continue;
        CAPTURE(what);
        bool none = what == "lobby, limit 0"; // a limit
        CHECK(master.answer(e.request()) == show(none ? e.answer() : exchanged("lobby_default", vectors::received)));
        asked++;
    }
    CHECK(asked == 5);
}

TEST_CASE("vectors: a classic client that knocked through ENGINE's 15 s is still a classic client") {
    gmpunch_host_config config{};
    our_host ours(config, 0);
    gmpunch_address from = address(vectors::client_udp);
    for (const vectors::burst &b : vectors::port_stages_direct) {
        if (b.ports[0] != 6000) continue; // the first and the last stage reach the host
        ours.until(uint64_t(b.step) * 375);
        ours.udp(from, vectors::stage_knock());
    }
    ours.until(ours.now + 250000); // longer than peer_timeout_ms, shorter than idle_timeout_ms
    CHECK(ours.done.seen(GMPUNCH_EVENT_LEFT) == 0);
    ours.until(ours.now + 60000);
    CHECK(ours.done.seen(GMPUNCH_EVENT_LEFT) == 1);
}
