// A host: peers and strangers, a master that says what it likes, calls of the application, and time.
#include "machine.hpp"

#include <set>

namespace {

// What one address sent and was sent.
struct traffic {
    uint64_t knocks = 0, requests = 0, in = 0;
    uint64_t welcomes = 0, answers = 0, welcome_bytes = 0, knocked = 0;
    bool introduced = false; // by the master
};

class session {
public:
    explicit session(fuzz::script &script) : in(script) {}

    void run() {
        gmpunch_host_config config = configure();
        std::vector<std::string> data(GMPUNCH_DATA_STRINGS);
        if (in.byte() & 1) {
            data[0] = in.string();
            data[5] = in.string();
        }
        for (uint32_t i = 0; i < GMPUNCH_DATA_STRINGS; i++) config.data[i] = data[i].c_str();
        const char *const masters[] = {nullptr, "203.0.113.1", "master.example:6510"};
        config.master = masters[in.below(3)];
        uint8_t picks = in.byte();
        if (!m.start(config, !(picks & 1))) return;
        while (!in.done()) {
            step();
            check();
        }
        if (picks & 2) return; // it may be closed at any time
        for (int turn = 0; turn < 20; turn++) {
            m.to_deadline();
            drain();
            events();
            check();
        }
        empty();
    }

private:
    fuzz::script &in;
    fuzz::host_machine m;
    std::map<std::string, traffic> known;
    std::set<uint32_t> peers; // JOINED and not LEFT, by the events that were read

    gmpunch_host_config configure() {
        gmpunch_host_config made = gmpunch_host_config();
        uint8_t picks = in.byte();
        made.raw = picks & 1;
        made.escape = picks >> 1 & 1;
        made.require_mediation = picks >> 2 & 1;
        made.seed = picks;
        made.max_peers = 1 + (picks >> 4 & 3);
        made.max_introductions = 1 + (picks >> 6);
        if (!(picks & 8)) return made;
        made.data_capacity = in.setting(300);
        made.register_interval_ms = in.duration();
        made.reconnect_min_ms = in.duration();
        made.reconnect_max_ms = in.duration();
        made.keepalive_interval_ms = in.duration();
        made.ping_interval_ms = in.duration();
        made.knock_interval_ms = in.duration();
        made.introduction_timeout_ms = in.duration();
        made.peer_timeout_ms = in.duration();
        made.idle_timeout_ms = in.duration();
        made.kick_ms = in.duration();
        return made;
    }

    uint32_t some_peer() {
        uint32_t ids[8];
        int32_t count = gmpunch_host_peers(m.made, ids, 8);
        return count > 0 ? ids[in.below(uint32_t(count))] : in.word();
    }

    void udp() {
        gmpunch_address from = in.address();
        fuzz::exact data(in.datagram());
        int32_t result = gmpunch_host_input_udp(m.made, m.now, &from, in.byte() & 1, data.data(), data.size());
        EXPECT(result == GMPUNCH_CONSUMED || result == GMPUNCH_NOT_MINE);
        gmpunchi_address_normalize(&from);
        traffic &of = known[fuzz::text(from)];
        const uint8_t *payload;
        size_t len;
        of.in += data.size();
        if (gmpunch_datagram_decode(data.data(), data.size(), 0, &payload, &len, nullptr)) return;
        of.knocks += len == 1 && *payload == GMPUNCHI_ID_KNOCK;
        of.requests += len == 1 && *payload == GMPUNCHI_ID_DATA_REQUEST;
    }

    bool is_introduced(const gmpunch_address &to) const {
        return gmpunchi_host_find_introduction(m.made, &to, 0) != GMPUNCHI_NONE;
    }

    // Nobody is sent anything who did not ask for it, or was named by the master. Nobody is welcomed or told more often than
    // it asked, no welcome is more than what came, and who was not introduced is not knocked at faster than to keep alive.
    bool transmit() {
        gmpunch_transmit t;
        if (!m.transmit(t)) return false;
        m.take(in, t);
        if (t.kind != GMPUNCH_TRANSMIT_UDP) return true;
        const uint8_t *payload;
        size_t len;
        EXPECT(gmpunch_datagram_decode(m.last.data(), m.last.size(), 0, &payload, &len, nullptr) == GMPUNCH_OK && len);
        const char *strings[GMPUNCH_DATA_STRINGS];
        traffic &of = known[fuzz::text(t.to)];
        of.introduced = of.introduced || is_introduced(t.to);
        if (*payload == GMPUNCHI_ID_WELCOME) {
            EXPECT(len == 1 && ++of.welcomes <= of.knocks);
            of.welcome_bytes += m.last.size();
            EXPECT(of.welcome_bytes <= of.in);
        } else if (*payload == GMPUNCHI_ID_DATA) {
            EXPECT(gmpunchi_decode_data(payload, len, strings) == GMPUNCH_OK && ++of.answers <= of.requests);
        } else if (*payload == GMPUNCHI_ID_KNOCK) {
            uint32_t interval = std::min(m.made->config.keepalive_interval_ms, uint32_t(GMPUNCHI_PROBE_PAUSE_MS));
            EXPECT(len == 1 && (of.introduced || ++of.knocked <= of.knocks + (m.now - 1000) / interval));
        } else {
            uint8_t command = gmpunchi_decode_master_datagram(m.last.data(), m.last.size());
            EXPECT(command == GMPUNCHI_COMMAND_REG || (len == 6 && std::memcmp(payload, "ping\n", 6) == 0));
            EXPECT(gmpunch_address_equal(&m.made->uplink.to, &t.to));
        }
        return true;
    }
    void drain() {
        uint32_t turns = 0;
        while (transmit()) EXPECT(++turns < 100);
    }

    void events() {
        gmpunch_event e;
        while (m.event(e)) {
            EXPECT(e.type == GMPUNCH_EVENT_RESOLVE || (e.type >= GMPUNCH_EVENT_REGISTERED && e.type <= GMPUNCH_EVENT_LEFT));
            if (e.type == GMPUNCH_EVENT_JOINED) EXPECT(e.peer && e.address.port && peers.insert(e.peer).second);
            if (e.type == GMPUNCH_EVENT_LEFT) EXPECT(peers.erase(e.peer) == 1);
            if (e.type == GMPUNCH_EVENT_INTRODUCED) EXPECT(e.address.family);
        }
        uint32_t ids[8];
        EXPECT(gmpunch_host_peers(m.made, ids, 8) == int32_t(peers.size()));
        for (uint32_t id : peers) {
            gmpunch_peer_info info = gmpunch_peer_info();
            EXPECT(gmpunch_host_peer_info(m.made, id, &info) == GMPUNCH_OK && info.peer == id);
            EXPECT(gmpunch_host_find_peer(m.made, &info.address) == id);
        }
    }

    // After a silence that is long enough nobody is left, and all places are free again.
    void empty() {
        const gmpunch_host_config &config = m.made->config;
        uint64_t longest = 0;
        for (uint32_t ms :
             {config.idle_timeout_ms, config.peer_timeout_ms, config.kick_ms, config.introduction_timeout_ms}) {
            if (ms == GMPUNCH_NEVER) return;
            longest = std::max<uint64_t>(longest, ms);
        }
        m.pass(longest);
        m.ticked();
        drain();
        events();
        EXPECT(peers.empty() && m.made->stats.introductions == 0);
        uint32_t places = 0, free = m.made->introduction_free;
        for (; free != GMPUNCHI_NONE; free = m.made->introduction[free].next_free - 1u)
            EXPECT(++places <= config.max_introductions);
        EXPECT(places == config.max_introductions);
        if (config.require_mediation) return;
        for (uint32_t i = 0; i < config.max_peers; i++) {
            gmpunch_address from = fuzz::address("10.9.8.7", uint16_t(1000 + i));
            uint8_t knock = GMPUNCHI_ID_KNOCK;
            EXPECT(gmpunch_host_input_udp(m.made, m.now, &from, 0, &knock, 1) == GMPUNCH_CONSUMED);
            known[fuzz::text(from)].knocks++;
            known[fuzz::text(from)].in++;
        }
        EXPECT(m.made->stats.peers == config.max_peers);
        drain();
        events();
    }

    void step() {
        switch (in.below(16)) {
        case 0:
        case 1:
        case 2:
        case 3: udp(); break;
        case 4: m.time(in); break;
        case 5:
            m.time(in);
            m.ticked();
            break;
        case 6: m.to_deadline(); break;
        case 7:
        case 8:
            for (uint32_t left = 1 + in.below(8); left > 0 && transmit(); left--) {}
            break;
        case 9: events(); break;
        case 10: {
            uint32_t peer = some_peer();
            gmpunch_peer_info info = gmpunch_peer_info();
            bool there = gmpunch_host_peer_info(m.made, peer, &info) == GMPUNCH_OK;
            EXPECT((gmpunch_host_kick(m.made, m.now, peer) == GMPUNCH_OK) == there);
            EXPECT(gmpunch_host_peer_info(m.made, peer, &info) == GMPUNCH_ERR_PEER);
            break;
        }
        case 11: {
            std::string text = in.string();
            int32_t result = gmpunch_host_set_data(m.made, 1 + in.below(9), text.c_str());
            EXPECT(result == GMPUNCH_OK || result == GMPUNCH_ERR_ARGUMENT || result == GMPUNCH_ERR_TOO_LONG);
            if (in.below(2)) EXPECT(gmpunch_host_commit_data(m.made, m.now) == GMPUNCH_OK);
            break;
        }
        case 12: m.set_masters(in); break;
        default: m.system(in, in.from_master());
        }
    }

    void check() {
        gmpunch_host_stats s = gmpunch_host_stats();
        EXPECT(gmpunch_host_get_stats(m.made, &s) == GMPUNCH_OK);
        EXPECT(s.peers == uint32_t(gmpunch_host_peers(m.made, nullptr, 0)) && s.joined - s.left == s.peers);
        EXPECT(s.peers <= m.made->config.max_peers && s.introductions <= m.made->config.max_introductions);
        EXPECT(s.introductions <= s.introduced && s.welcomes_sent <= s.knocks_heard);
        EXPECT(!s.registered || m.connection);
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    fuzz::script in(data, len);
    session(in).run();
    return 0;
}
