// A client, or a lobby: a master and a host that say what they like, strangers, calls of the application, and time.
#include "machine.hpp"

namespace {

class client_session {
public:
    explicit client_session(fuzz::script &script) : in(script) {}

    void run() {
        gmpunch_client_config config = configure();
        if (!m.start(config, in.below(2) == 0)) return;
        started = m.now;
        while (!in.done()) {
            step();
            check();
        }
        events();
        if (m.made->config.timeout_ms == GMPUNCH_NEVER) return;
        // Nothing comes any more: it ends, in time.
        for (int turn = 0; turn < 200 && !connected && !final; turn++) {
            if (turn == 100) m.now = std::max(m.now, started + m.made->config.timeout_ms);
            m.to_deadline();
            drain();
            events();
            check();
        }
        EXPECT(connected || final);
    }

private:
    fuzz::script &in;
    fuzz::client_machine m;
    uint64_t started = 0;
    bool connected = false, final = false;

    gmpunch_client_config configure() {
        static const char *const servers[] = {"198.51.100.3", "2001:db8::4", "192.0.2.1"};
        static const char *const masters[] = {"203.0.113.1", "master.example", "[2001:db8::1]:7000"};
        gmpunch_client_config made = gmpunch_client_config();
        uint8_t picks = in.byte();
        made.raw = picks & 1;
        made.escape = picks >> 1 & 1;
        made.direct_only = (picks & 12) == 12;
        made.direct_port = picks & 4 ? 7000 : 0;
        made.max_sockets = 1 + (picks >> 4 & 3);
        made.ask_data = picks >> 6 & 1;
        made.server = servers[in.below(3)];
        made.master = masters[in.below(3)];
        if (!(picks & 128)) return made;
        made.timeout_ms = in.duration();
        made.master_timeout_ms = in.duration();
        made.announce_interval_ms = in.duration();
        made.knock_interval_ms = in.duration();
        made.keepalive_interval_ms = in.duration();
        made.peer_timeout_ms = in.duration();
        made.max_packet = in.setting(100);
        return made;
    }

    bool transmit() {
        gmpunch_transmit t;
        if (!m.transmit(t)) return false;
        m.take(in, t);
        EXPECT(!final || t.kind == GMPUNCH_TRANSMIT_TCP_CLOSE);
        if (t.kind != GMPUNCH_TRANSMIT_UDP) return true;
        EXPECT(t.socket_index < m.made->config.max_sockets);
        const uint8_t *payload;
        size_t len;
        EXPECT(gmpunch_datagram_decode(m.last.data(), m.last.size(), 0, &payload, &len, nullptr) == GMPUNCH_OK);
        if (len == 1) EXPECT(*payload == GMPUNCHI_ID_KNOCK || *payload == GMPUNCHI_ID_DATA_REQUEST);
        else EXPECT(gmpunchi_decode_master_datagram(m.last.data(), m.last.size()) == GMPUNCHI_COMMAND_CONNECT);
        return true;
    }
    void drain() {
        uint32_t turns = 0;
        while (transmit()) EXPECT(++turns < 100);
    }

    void events() {
        gmpunch_event e;
        while (m.event(e)) {
            EXPECT(!final);
            switch (e.type) {
            case GMPUNCH_EVENT_CONNECTED:
                EXPECT(!connected && e.address.port && e.how != GMPUNCH_HOW_NONE);
                connected = true;
                break;
            case GMPUNCH_EVENT_FAILED:
                EXPECT(!connected && e.reason);
                final = true;
                break;
            case GMPUNCH_EVENT_LOST:
                EXPECT(connected && e.reason);
                final = true;
                break;
            case GMPUNCH_EVENT_FOUND: EXPECT(gmpunchi_address_is_unicast(&e.address)); break;
            case GMPUNCH_EVENT_HOST_DATA: EXPECT(connected); break;
            default: EXPECT(e.type == GMPUNCH_EVENT_RESOLVE || e.type == GMPUNCH_EVENT_FALLBACK);
            }
        }
        int32_t stage = gmpunch_client_stage(m.made);
        EXPECT(connected == (stage == GMPUNCH_STAGE_CONNECTED || stage == GMPUNCH_STAGE_LOST));
        EXPECT(final == (stage == GMPUNCH_STAGE_FAILED || stage == GMPUNCH_STAGE_LOST));
    }

    void step() {
        switch (in.below(16)) {
        case 0:
        case 1:
        case 2:
        case 3: {
            gmpunch_address from = in.address();
            if (in.byte() & 1) from = m.made->server.port || m.made->targets == 0 ? from : m.made->target[0].address;
            fuzz::exact data(in.datagram());
            int32_t result = gmpunch_client_input_udp(m.made, m.now, &from, in.byte() % m.made->stats.sockets_used,
                                                      data.data(), data.size());
            EXPECT(result == GMPUNCH_CONSUMED || result == GMPUNCH_NOT_MINE);
            break;
        }
        case 4: m.time(in); break;
        case 5:
            m.time(in);
            m.ticked();
            break;
        case 6:
        case 7: m.to_deadline(); break;
        case 8:
        case 9:
            for (uint32_t left = 1 + in.below(8); left > 0 && transmit(); left--) {}
            break;
        case 10: events(); break;
        case 11: {
            bool there = gmpunch_client_stage(m.made) == GMPUNCH_STAGE_CONNECTED; // maybe not for long: it ticks
            EXPECT((gmpunch_client_request_data(m.made, m.now) == GMPUNCH_OK) == there);
            break;
        }
        case 12: m.set_masters(in); break;
        default: m.system(in, in.from_master());
        }
    }

    void check() {
        gmpunch_client_stats s = gmpunch_client_stats();
        gmpunch_address server;
        uint32_t flags;
        EXPECT(gmpunch_client_get_stats(m.made, &s) == GMPUNCH_OK);
        EXPECT(s.sockets_used <= m.made->config.max_sockets && s.master_answers <= s.master_attempts);
        int32_t stage = gmpunch_client_stage(m.made);
        EXPECT(stage >= GMPUNCH_STAGE_MASTER && stage <= GMPUNCH_STAGE_LOST);
        EXPECT((gmpunch_client_server(m.made, &server, &flags) == GMPUNCH_OK) == (stage == GMPUNCH_STAGE_CONNECTED));
        EXPECT((gmpunch_client_next_deadline(m.made) == UINT64_MAX) == (stage > GMPUNCH_STAGE_CONNECTED) ||
               stage <= GMPUNCH_STAGE_CONNECTED);
    }
};

class lobby_session {
public:
    explicit lobby_session(fuzz::script &script) : in(script) {}

    void run() {
        gmpunch_lobby_config config = gmpunch_lobby_config();
        std::string filter = in.string();
        uint8_t picks = in.byte();
        config.filter[picks & 7] = filter.c_str();
        config.master = picks & 8 ? "203.0.113.1" : "master.example";
        config.sort_by = in.below(10);
        config.limit = in.setting(5);
        config.timeout_ms = in.duration();
        config.max_entry = 1024;
        config.max_entries = in.setting(3);
        if (!m.start(config, in.below(2) == 0)) return;
        while (!in.done()) step();
        if (config.timeout_ms == GMPUNCH_NEVER) return;
        for (int turn = 0; turn < 200 && !ended; turn++) { // nothing comes any more: it ends
            drain();
            events();
            m.to_deadline();
        }
        events();
        EXPECT(ended && gmpunch_lobby_next_deadline(m.made) == UINT64_MAX);
    }

private:
    fuzz::script &in;
    fuzz::lobby_machine m;
    uint32_t entries = 0;
    bool ended = false;

    void drain() {
        gmpunch_transmit t;
        while (m.transmit(t)) {
            m.take(in, t);
            EXPECT(t.kind != GMPUNCH_TRANSMIT_UDP);
        }
    }
    void events() {
        gmpunch_event e;
        while (m.event(e)) {
            EXPECT(!ended);
            if (e.type == GMPUNCH_EVENT_LOBBY_ENTRY) EXPECT(e.count == ++entries && e.address.family && !e.address.port);
            ended = e.type == GMPUNCH_EVENT_LOBBY_DONE || e.type == GMPUNCH_EVENT_FAILED;
            if (ended) EXPECT(e.count == entries && (e.type == GMPUNCH_EVENT_FAILED) == (e.reason != 0));
        }
    }
    void step() {
        switch (in.below(8)) {
        case 0: m.time(in); break;
        case 1: m.to_deadline(); break;
        case 2: drain(); break;
        case 3: events(); break;
        case 4: m.set_masters(in); break;
        default: m.system(in, in.below(2) ? in.list() : in.from_master());
        }
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    fuzz::script in(data, len);
    if (in.byte() & 3) client_session(in).run();
    else lobby_session(in).run();
    return 0;
}
