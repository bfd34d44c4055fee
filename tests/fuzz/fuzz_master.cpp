// A master: datagrams, connections, commands whole and in parts, slow readers, time, and memory that runs out.
#include "machine.hpp"

namespace {

gmpunch_master_config configure(fuzz::script &in) {
    gmpunch_master_config made = gmpunch_master_config();
    uint8_t picks = in.byte();
    made.no_lobby = picks & 1;
    made.testing = picks >> 1 & 1;
    made.seed = picks;
    if (!(picks & 4)) return made;
    made.hold_ms = in.duration();
    made.client_port_ms = in.duration();
    made.host_port_ms = in.duration();
    made.command_timeout_ms = in.duration();
    made.idle_timeout_ms = in.duration();
    made.host_timeout_ms = in.duration();
    made.write_timeout_ms = in.duration();
    made.introduction_gap_ms = in.duration();
    made.max_connections = in.setting(6);
    made.max_connections_per_ip = in.setting(4);
    made.max_ports = in.setting(6);
    made.max_ports_per_ip = in.setting(3);
    made.max_requests = in.setting(4);
    made.max_requests_per_connection = in.setting(3);
    made.max_messages = in.setting(6);
    made.max_messages_per_connection = in.setting(3);
    made.max_line = in.byte() & 1 ? 64 : 0;
    made.max_data = in.setting(100) * 10;
    made.max_lobby = in.byte() & 1 ? 4096 : 0;
    made.max_lobby_memory = in.setting(100) ? 4096 + in.byte() * 32u : 0;
    return made;
}

// One of the connections, 0 if there is none.
uint32_t some(const fuzz::master_machine &m, fuzz::script &in) {
    if (m.links.empty()) return 0;
    auto at = m.links.begin();
    std::advance(at, in.byte() % m.links.size());
    return at->first;
}

void send(fuzz::master_machine &m, fuzz::script &in) {
    gmpunch_transmit t;
    for (uint32_t left = 1 + in.below(8); left > 0 && m.transmit(t); left--) {
        if (t.kind != GMPUNCH_TRANSMIT_TCP_SEND) continue;
        switch (in.below(4)) {
        case 0: m.took(t.connection, in.byte() % m.last.size(), true); break;
        case 1: m.drop(t.connection, 32); break;
        case 2:
            EXPECT(gmpunch_master_tcp_sent(m.made, t.connection, m.last.size() + 1) == GMPUNCH_ERR_ARGUMENT);
            m.took(t.connection, m.last.size(), true);
            break;
        default: m.took(t.connection, m.last.size(), false);
        }
    }
}

// Many at once, each from its own address, all saying the same.
void crowd(fuzz::master_machine &m, fuzz::script &in) {
    uint32_t count = in.below(128);
    fuzz::bytes said = in.to_master(), datagram = in.datagram();
    for (uint32_t i = 0; i < count; i++) {
        gmpunch_address from = fuzz::address(("10.2.3." + std::to_string(i)).c_str(), 7000);
        uint32_t id = m.accept(from);
        m.udp(from, datagram);
        if (id) m.receive(id, said);
    }
}

void step(fuzz::master_machine &m, fuzz::script &in) {
    uint32_t id = 0;
    gmpunch_event e;
    switch (in.below(16)) {
    case 0:
    case 1:
    case 2: m.udp(in.address(), in.datagram()); break;
    case 3: m.accept(in.address()); break;
    case 4: crowd(m, in); break;
    case 5:
        if ((id = some(m, in)) != 0) m.drop(id, int32_t(in.below(2)) * 104);
        break;
    case 6:
        if ((id = some(m, in)) != 0) m.writable(id);
        break;
    case 7: m.now += in.pause() & 0xffffffffffu; break;
    case 8:
        m.now += in.pause() & 0xffffffffffu;
        m.ticked();
        break;
    case 9: {
        uint64_t due = gmpunch_master_next_deadline(m.made);
        if (due != UINT64_MAX) m.now = std::max(m.now, due);
        m.ticked();
        break;
    }
    case 10: send(m, in); break;
    case 11:
        while (gmpunch_master_next_event(m.made, &e) > 0) fuzz::check_event(e);
        break;
    case 12: m.heap.refuse = in.below(8) ? 0 : 2; break;
    case 13: EXPECT(gmpunch_master_set_unix_time(m.made, m.now, in.word()) == GMPUNCH_OK); break;
    default:
        if ((id = some(m, in)) != 0) m.receive(id, in.to_master());
    }
}

// What must be so inside: whoever has something to send is in the list that sends it.
void check(const fuzz::master_machine &m) {
    m.check();
    const gmpunch_master *master = m.made;
    uint32_t cooling = 0, listed = 0;
    uint64_t data = 0, messages = 0;
    for (uint32_t i = 0; i < master->connection.touched; i++) {
        const gmpunchi_connection *c = gmpunchi_connection_at(master, i);
        if (!c->generation) continue;
        messages += c->messages;
        listed += c->listing != nullptr;
        data += c->listing ? gmpunchi_listing_bytes(c->listing) : 0;
        cooling += c->out == GMPUNCHI_OUT_COOLING && c->messages;
        EXPECT(!c->listing || c->is_host);
        if (c->out == GMPUNCHI_OUT_NONE) EXPECT(c->messages == 0);
        if (c->out == GMPUNCHI_OUT_READY || c->out == GMPUNCHI_OUT_MAKING) EXPECT(c->messages > 0);
        if (c->out == GMPUNCHI_OUT_BLOCKED) EXPECT(c->messages > 0 && c->stalled);
    }
    EXPECT(cooling == master->cooling_messages && listed == master->stats.listed && data == master->stats.data_bytes);
    EXPECT(messages == master->message.count);
}

void drain(fuzz::master_machine &m) {
    gmpunch_transmit t;
    while (m.transmit(t))
        if (t.kind == GMPUNCH_TRANSMIT_TCP_SEND) m.took(t.connection, m.last.size(), false);
}

// Everybody reads, and time passes: every question was answered, or its connection closed.
void settle(fuzz::master_machine &m) {
    const gmpunch_master_config &config = m.made->config;
    m.heap.refuse = 0;
    for (auto &link : m.links)
        if (link.second.blocked) m.writable(link.first);
    drain(m);
    m.now += config.hold_ms;
    m.ticked();
    drain(m);
    for (int turn = 0; m.made->message.count; turn++) { // introductions leave one by one
        EXPECT(turn < 1000 && config.introduction_gap_ms != GMPUNCH_NEVER);
        m.now += config.introduction_gap_ms;
        m.ticked();
        drain(m);
    }
    check(m);
    gmpunch_master_stats s = m.stats();
    EXPECT(s.connections == m.links.size());
    if (config.hold_ms == GMPUNCH_NEVER) return;
    EXPECT(s.requests == 0);
    if (s.accepted != m.links.size() || s.refused_messages) return; // who left was not answered
    EXPECT(s.requested == s.introductions + s.portless + s.not_found);
    EXPECT(m.answers[GMPUNCHI_ID_NOT_FOUND] == s.not_found);
    EXPECT(m.answers[GMPUNCHI_ID_FOUND] == 2 * s.introductions + s.portless);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    fuzz::script in(data, len);
    gmpunch_master_config config = configure(in);
    fuzz::master_machine m;
    uint8_t picks = in.byte();
    m.heap.limit = picks & 64 ? 20000 + (picks & 63u) * 4000 : SIZE_MAX;
    if (!m.start(config)) return 0;
    while (!in.done()) {
        step(m, in);
        check(m);
    }
    if (!(picks & 128)) settle(m); // it may be closed at any time
    return 0;
}
