// TCP is a stream: in one piece or cut anywhere, the same bytes must do the same to a master, a client, a host and a lobby.
#include "machine.hpp"

namespace {

using fuzz::bytes;

// What the script cuts off next.
bytes piece(const bytes &all, size_t &at, fuzz::script *cuts) {
    size_t len = all.size() - at;
    if (cuts && !cuts->done()) len = std::min<size_t>(len, cuts->below(48));
    at += len;
    return bytes(all.begin() + long(at - len), all.begin() + long(at));
}

std::string said(const gmpunch_event &e) {
    std::string made = std::to_string(e.type) + " " + std::to_string(e.reason) + " " + std::to_string(e.peer) + " " +
                       std::to_string(e.count) + " " + std::to_string(e.ignored) + " " + std::to_string(e.created) + " " +
                       fuzz::text(e.address) + " " + fuzz::text(e.other);
    for (uint32_t i = 1; i <= GMPUNCH_DATA_STRINGS; i++) made += std::string(" ") + gmpunch_event_string(&e, i);
    return made + "\n";
}

std::string said(const gmpunch_transmit &t, const bytes &data) {
    return std::to_string(t.kind) + " " + fuzz::text(t.to) + " " + std::string(data.begin(), data.end()) + "\n";
}

// What the master makes of the bytes, by a reading of its rules that shares nothing with it.
struct expected {
    uint64_t lines_ignored = 0, registrations = 0, requested = 0, lobby_requests = 0, closed_line = 0, closed_version = 0;
    bool closed = false;

    void command(const std::string &name, const std::vector<std::string> &arguments) {
        if (name == "reg") registrations++;
        if (name == "connect") {
            requested++;
            gmpunch_address target;
            lines_ignored += gmpunch_address_parse(arguments[0].c_str(), 0, &target) != GMPUNCH_OK || target.port;
        }
        if (name == "lobby2") lobby_requests++;
        if (name != "reg2") return;
        int64_t version[3] = {-1, -1, -1}, value = -1;
        size_t part = 0, digits = 0;
        bool good = true;
        for (char c : arguments[0] + ".") {
            bool digit = c >= '0' && c <= '9';
            good = good && (digit || (c == '.' && digits)) && !(digit && digits && value == 0); // no "04"
            digits = digit ? digits + 1 : 0;
            value = digit ? std::min<int64_t>((value < 0 ? 0 : value) * 10 + (c - '0'), 1000001) : value;
            good = good && value <= 1000000;
            if (digit) continue;
            if (part < 3) version[part] = value;
            part++;
            value = -1;
        }
        bool low = version[0] < 1 || (version[0] == 1 && (version[1] < 2 || (version[1] == 2 && version[2] < 0)));
        lines_ignored += !good;
        registrations += good && !low;
        closed_version += good && low;
        closed = closed_version != 0;
    }
    void read(const bytes &all, size_t max_line) {
        static const std::map<std::string, size_t> commands = {{"reg", 0},     {"reg2", 9},        {"connect", 1},
                                                               {"ping", 0},    {"lobby2", 11},     {"istesting", 0},
                                                               {"version", 0}, {"testinginfos", 0}};
        std::string line, name;
        std::vector<std::string> arguments;
        size_t missing = 0;
        for (size_t i = 0; i < all.size() && !closed; i++) {
            if (all[i] == '\n' && i && all[i - 1] == '\r') continue;
            if (all[i] != '\n' && all[i] != '\r') {
                if (all[i] < 0x20 || all[i] == 0x7f) continue;
                if (line.size() == max_line) {
                    closed_line++;
                    closed = true;
                }
                line += char(all[i]);
                continue;
            }
            if (missing) {
                arguments.push_back(line);
                if (!--missing) command(name, arguments);
            } else {
                auto found = commands.find(line);
                lines_ignored += found == commands.end() && !line.empty();
                name = line;
                arguments.clear();
                if (found != commands.end()) missing = found->second;
                if (found != commands.end() && !missing) command(name, arguments);
            }
            line.clear();
        }
    }
};

std::string master(const bytes &all, fuzz::script *cuts) {
    gmpunch_master_config config = gmpunch_master_config();
    config.testing = 1;
    config.max_line = 100;
    fuzz::master_machine m;
    EXPECT(m.start(config));
    uint32_t id = m.accept(fuzz::address("192.0.2.1:5000"));
    EXPECT(id);
    m.udp(fuzz::address("192.0.2.1:7000"), {'r', 'e', 'g'});
    for (size_t at = 0; at < all.size();) m.receive(id, piece(all, at, cuts));
    std::string log = std::to_string(gmpunch_master_next_deadline(m.made));
    gmpunch_event e;
    gmpunch_transmit t;
    while (gmpunch_master_next_event(m.made, &e) > 0) log += said(e);
    while (m.transmit(t)) {
        log += said(t, m.last);
        if (t.kind == GMPUNCH_TRANSMIT_TCP_SEND) m.took(t.connection, m.last.size(), true);
    }
    m.check();
    gmpunch_master_stats s = m.stats();
    expected model;
    model.read(all, config.max_line);
    EXPECT(s.lines_ignored == model.lines_ignored && s.registrations == model.registrations);
    EXPECT(s.requested == model.requested && s.lobby_requests == model.lobby_requests);
    EXPECT(s.closed_line == model.closed_line && s.closed_version == model.closed_version);
    EXPECT(m.links.empty() || !model.closed);
    return log;
}

// What a machine has to say of a connection over which this came.
template <typename Machine, typename Deadline>
std::string connection(Machine &m, Deadline next_deadline, const bytes &all, fuzz::script *cuts) {
    gmpunch_transmit t;
    gmpunch_event e;
    while (m.transmit(t)) {}
    m.system_opened();
    while (m.transmit(t)) {}
    for (size_t at = 0; at < all.size();) m.system_data(piece(all, at, cuts));
    std::string log = std::to_string(next_deadline(m.made));
    m.system_closed(0);
    while (m.event(e)) log += said(e);
    while (m.transmit(t)) log += said(t, m.last);
    return log;
}

std::string client(const bytes &all, fuzz::script *cuts) {
    gmpunch_client_config config = gmpunch_client_config();
    config.master = "203.0.113.1";
    config.server = "198.51.100.3";
    config.direct_port = 7000;
    fuzz::client_machine m;
    EXPECT(m.start(config, true));
    return connection(m, gmpunch_client_next_deadline, all, cuts);
}

std::string host(const bytes &all, fuzz::script *cuts) {
    gmpunch_host_config config = gmpunch_host_config();
    config.master = "203.0.113.1";
    fuzz::host_machine m;
    EXPECT(m.start(config, true));
    return connection(m, gmpunch_host_next_deadline, all, cuts);
}

std::string lobby(const bytes &all, fuzz::script *cuts) {
    gmpunch_lobby_config config = gmpunch_lobby_config();
    config.master = "203.0.113.1";
    config.max_entry = 1024;
    config.max_entries = 5;
    fuzz::lobby_machine m;
    EXPECT(m.start(config, false));
    gmpunch_transmit t;
    gmpunch_event e;
    std::string log;
    while (m.transmit(t)) {}
    m.system_opened();
    while (m.transmit(t)) {}
    for (size_t at = 0; at < all.size();) {
        bytes next = piece(all, at, cuts);
        int32_t taken = m.system_data(next);
        if (taken >= 0) at -= next.size() - size_t(taken);
        EXPECT(taken < 0 || size_t(taken) <= next.size());
        while (m.event(e)) log += said(e);
    }
    m.system_closed(0);
    while (m.event(e)) log += said(e);
    gmpunch_lobby_stats s = gmpunch_lobby_stats();
    EXPECT(gmpunch_lobby_get_stats(m.made, &s) == GMPUNCH_OK);
    EXPECT(s.entries <= config.max_entries && s.bytes <= all.size());
    return log + std::to_string(s.malformed) + " " + std::to_string(s.oversized) + " " + std::to_string(s.bytes);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static std::string (*const readers[])(const bytes &, fuzz::script *) = {master, client, host, lobby};
    fuzz::script in(data, len);
    uint8_t picks = in.byte();
    bytes places = in.counted(), all = in.rest();
    fuzz::script cuts(places.data(), places.size()), bytewise(nullptr, 0);
    auto reader = readers[picks & 3];
    EXPECT(reader(all, &cuts) == reader(all, nullptr));
    return 0;
}
