// A client, a host, a lobby or a master in the hands of a fuzzer: each answer of it is looked at.
#ifndef GMPUNCH_TESTS_MACHINE_HPP
#define GMPUNCH_TESTS_MACHINE_HPP

#include "script.hpp"

#include <algorithm>

namespace fuzz {

// The functions that client, host and lobby have in common, by one name.
#define FUZZ_NAMES(role) \
    inline int32_t set_master(gmpunch_##role *m, uint64_t now, const gmpunch_address *list, uint32_t count) { \
        return gmpunch_##role##_set_master(m, now, list, count); \
    } \
    inline int32_t opened(gmpunch_##role *m, uint64_t now, uint32_t id) { return gmpunch_##role##_tcp_opened(m, now, id); } \
    inline int32_t data(gmpunch_##role *m, uint64_t now, uint32_t id, const exact &in) { \
        return gmpunch_##role##_tcp_data(m, now, id, in.data(), in.size()); \
    } \
    inline int32_t closed(gmpunch_##role *m, uint64_t now, uint32_t id, int32_t error) { \
        return gmpunch_##role##_tcp_closed(m, now, id, error); \
    } \
    inline int32_t sent(gmpunch_##role *m, uint32_t id, size_t taken) { return gmpunch_##role##_tcp_sent(m, id, taken); } \
    inline int32_t writable(gmpunch_##role *m, uint64_t now, uint32_t id) { \
        return gmpunch_##role##_tcp_writable(m, now, id); \
    } \
    inline int32_t tick(gmpunch_##role *m, uint64_t now) { return gmpunch_##role##_tick(m, now); } \
    inline uint64_t next_deadline(const gmpunch_##role *m) { return gmpunch_##role##_next_deadline(m); } \
    inline int32_t next_transmit(gmpunch_##role *m, gmpunch_transmit *t) { return gmpunch_##role##_next_transmit(m, t); } \
    inline int32_t next_event(gmpunch_##role *m, gmpunch_event *e) { return gmpunch_##role##_next_event(m, e); } \
    inline int32_t create(const gmpunch_##role##_config *config, uint64_t now, gmpunch_##role **m) { \
        return gmpunch_##role##_create(config, now, m); \
    } \
    inline size_t memory_size(const gmpunch_##role##_config *config) { return gmpunch_##role##_memory_size(config, 0); } \
    inline void close(gmpunch_##role *m) { gmpunch_##role##_close(m); }
FUZZ_NAMES(client)
FUZZ_NAMES(host)
FUZZ_NAMES(lobby)
#undef FUZZ_NAMES

inline void check_event(const gmpunch_event &event) {
    EXPECT(std::strcmp(gmpunch_event_name(event.type), gmpunch_event_name(-1)) != 0 && event.type != GMPUNCH_EVENT_NONE);
    EXPECT(event.reason >= 0 && event.reason <= GMPUNCH_REASON_VERSION);
    EXPECT(event.cause >= 0 && event.cause <= GMPUNCH_REASON_VERSION);
    EXPECT(gmpunch_reason_text(event.reason) && gmpunch_stage_name(event.stage) && gmpunch_how_name(event.how));
    text(event.address);
    text(event.other);
    size_t strings = 1;
    for (uint32_t i = 1; i <= GMPUNCH_DATA_STRINGS; i++) strings += std::strlen(gmpunch_event_string(&event, i)) + 1;
    bool has_strings = event.type == GMPUNCH_EVENT_HOST_DATA || event.type == GMPUNCH_EVENT_LOBBY_ENTRY;
    EXPECT(has_strings ? event.len == strings : event.len == 0);
}

// A client, a host or a lobby. It has one connection at most, and the fuzzer plays the system that it is on.
template <class object, class config>
class machine {
public:
    object *made = nullptr;
    uint64_t now = 1000;
    uint32_t connection = 0; // 0: none
    bool open = false, blocked = false;
    size_t udp_sent = 0;

    machine() = default;
    machine(const machine &) = delete;
    machine &operator=(const machine &) = delete;
    ~machine() { end(); }

    // With memory of its own or of the caller. False if the config was refused.
    bool start(config from, bool own_memory) {
        from.allocator = heap.allocator();
        if (!own_memory) {
            place.resize(memory_size(&from) / sizeof(uint64_t) + 1);
            from.memory = place.data();
            from.memory_size = memory_size(&from);
        }
        int32_t result = create(&from, now, &made);
        EXPECT((result == GMPUNCH_OK) == (made != nullptr));
        EXPECT((heap.used > 0) == (made && own_memory));
        return made != nullptr;
    }
    void end() {
        close(made);
        made = nullptr;
        connection = 0;
        open = blocked = false;
        EXPECT(heap.used == 0);
    }

    // Everything that happens has a time, which may step back.
    void pass(uint64_t ms) { now = std::min(now + ms, uint64_t(1) << 62); }
    void time(script &in) { pass(in.pause()); }
    void ticked() {
        EXPECT(tick(made, now) == GMPUNCH_OK);
        EXPECT(next_deadline(made) > now);
    }
    void to_deadline() {
        uint64_t due = next_deadline(made);
        if (due != UINT64_MAX) now = std::max(now, std::min(due, uint64_t(1) << 62));
        ticked();
    }

    // The next thing to do, checked; false if there is none.
    bool transmit(gmpunch_transmit &t) {
        int32_t result = next_transmit(made, &t);
        EXPECT(result == 0 || result == 1);
        if (!result) return false;
        EXPECT(t.ttl == 0 && t.not_before == 0 && t.reserved == 0);
        last = copy(t.data, t.len);
        switch (t.kind) {
        case GMPUNCH_TRANSMIT_UDP:
            EXPECT(t.connection == 0 && t.len > 0);
            EXPECT(gmpunchi_address_is_unicast(&t.to));
            udp_sent++;
            break;
        case GMPUNCH_TRANSMIT_TCP_OPEN:
            EXPECT(connection == 0 && t.connection != 0 && t.len == 0);
            EXPECT(gmpunchi_address_is_unicast(&t.to));
            connection = t.connection;
            open = blocked = false;
            break;
        case GMPUNCH_TRANSMIT_TCP_SEND:
            EXPECT(connection != 0 && t.connection == connection && open && !blocked && t.len > 0);
            break;
        case GMPUNCH_TRANSMIT_TCP_CLOSE:
            EXPECT(connection != 0 && t.connection == connection && t.len == 0);
            connection = 0;
            break;
        default: EXPECT(t.kind == GMPUNCH_TRANSMIT_UDP); // no such kind
        }
        return true;
    }
    bytes last; // of the last transmit

    bool event(gmpunch_event &e) {
        int32_t result = next_event(made, &e);
        EXPECT(result == 0 || result == 1);
        if (result) check_event(e);
        return result == 1;
    }

    // The system's part of a connection.
    void system_opened() {
        if (!connection || open) return;
        int32_t result = opened(made, now, connection);
        EXPECT(result == GMPUNCH_OK || result == GMPUNCH_ERR_CONNECTION);
        open = true;
    }
    void system_closed(int32_t error) {
        if (!connection) return;
        int32_t result = closed(made, now, connection, error);
        EXPECT(result == GMPUNCH_OK || result == GMPUNCH_ERR_CONNECTION);
        if (result == GMPUNCH_OK) connection = 0; // otherwise it is about to be closed
    }
    // Of what was offered last only so much was taken.
    void system_took(size_t taken) {
        EXPECT(sent(made, connection, taken) == GMPUNCH_OK);
        blocked = taken < last.size();
    }
    void system_writable() {
        if (!connection || !open) return;
        blocked = false;
        int32_t result = writable(made, now, connection);
        EXPECT(result == GMPUNCH_OK || result == GMPUNCH_ERR_CONNECTION);
    }
    // Bytes of a connection that stands. Those of a lobby may be taken in parts.
    int32_t system_data(const bytes &from) {
        int32_t result = data(made, now, connection, exact(from));
        EXPECT(result >= 0 || result == GMPUNCH_ERR_CONNECTION);
        return result;
    }

    // One operation of the system, chosen by the script. News of connections that are not there is no news.
    void system(script &in, const bytes &received) {
        uint32_t stranger = connection + 1 + in.below(3);
        switch (in.below(8)) {
        case 0:
        case 1: system_opened(); break;
        case 2: system_closed(int32_t(in.below(2)) * 104); break;
        case 3: system_writable(); break;
        case 4:
            EXPECT(opened(made, now, stranger) == GMPUNCH_ERR_CONNECTION);
            EXPECT(data(made, now, stranger, exact(received)) == GMPUNCH_ERR_CONNECTION);
            EXPECT(closed(made, now, stranger, 0) == GMPUNCH_ERR_CONNECTION);
            EXPECT(sent(made, stranger, 0) == GMPUNCH_ERR_CONNECTION);
            EXPECT(writable(made, now, stranger) == GMPUNCH_ERR_CONNECTION);
            break;
        default:
            if (connection && open) system_data(received);
        }
    }
    // After a transmit: how much the system takes.
    void take(script &in, const gmpunch_transmit &t) {
        if (t.kind != GMPUNCH_TRANSMIT_TCP_SEND) return;
        uint32_t part = in.below(4);
        if (part == 1) system_took(last.size());
        if (part == 2) system_took(in.byte() % last.size());
        EXPECT(part != 3 || sent(made, connection, last.size() + 1) == GMPUNCH_ERR_ARGUMENT);
    }
    void set_masters(script &in) {
        gmpunch_address list[5];
        uint32_t count = in.below(6);
        for (uint32_t i = 0; i < count; i++) list[i] = in.address();
        int32_t result = set_master(made, now, list, count);
        EXPECT(result == GMPUNCH_OK || result == GMPUNCH_ERR_STATE);
    }

private:
    memory heap;
    std::vector<uint64_t> place;
};

using client_machine = machine<gmpunch_client, gmpunch_client_config>;
using host_machine = machine<gmpunch_host, gmpunch_host_config>;
using lobby_machine = machine<gmpunch_lobby, gmpunch_lobby_config>;

// One whole message of a master over TCP.
inline void check_answer(const bytes &from) {
    exact message(from);
    EXPECT(message.size() > 0);
    gmpunchi_answer answer = gmpunchi_answer();
    gmpunchi_text_answer answered;
    gmpunchi_lobby_entry entry;
    size_t at = 0, used;
    int32_t again, found = GMPUNCHI_ANSWER_NONE, state = GMPUNCHI_LOBBY_BEGIN, result;
    switch (message.data()[0]) {
    case GMPUNCHI_ID_FOUND:
    case GMPUNCHI_ID_NOT_FOUND:
        for (; at < message.size() && found == GMPUNCHI_ANSWER_NONE; at++) {
            found = gmpunchi_decode_answer(&answer, message.data()[at], &again);
            EXPECT(!again);
        }
        EXPECT(at == message.size() && (found == GMPUNCHI_ANSWER_FOUND || found == GMPUNCHI_ANSWER_NOT_FOUND));
        break;
    case GMPUNCHI_ID_LOBBY:
        EXPECT(message.data()[message.size() - 1] == '\n');
        do {
            std::vector<char> strings(message.size());
            result = gmpunchi_decode_lobby(&state, message.data() + at, message.size() - at, &used, strings.data(),
                                           strings.size(), &entry);
            EXPECT(result >= 0);
            at += used;
        } while (result);
        EXPECT(at == message.size() - 1);
        break;
    default:
        EXPECT(gmpunchi_decode_text_answer(message.data(), message.size(), &answered) == GMPUNCH_OK);
        EXPECT(answered.used == message.size());
    }
}

// A master and its connections.
class master_machine {
public:
    struct link {
        gmpunch_address from;
        bool blocked = false;
        bytes message; // what left of the message that is being sent
    };
    gmpunch_master *made = nullptr;
    gmpunch_master_config config = gmpunch_master_config();
    uint64_t now = 1000;
    std::map<uint32_t, link> links;
    std::map<uint8_t, uint64_t> answers; // whole messages that the peers took, by id
    memory heap;

    master_machine() = default;
    master_machine(const master_machine &) = delete;
    master_machine &operator=(const master_machine &) = delete;
    ~master_machine() { gmpunch_master_close(made); }

    bool start(const gmpunch_master_config &from) {
        config = from;
        config.allocator = heap.allocator();
        int32_t result = gmpunch_master_create(&config, now, &made);
        EXPECT((result == GMPUNCH_OK) == (made != nullptr) && (made || heap.used == 0));
        return made != nullptr;
    }
    gmpunch_master_stats stats() const {
        gmpunch_master_stats out = gmpunch_master_stats();
        EXPECT(gmpunch_master_get_stats(made, &out) == GMPUNCH_OK);
        return out;
    }
    void ticked() {
        EXPECT(gmpunch_master_tick(made, now) == GMPUNCH_OK);
        EXPECT(gmpunch_master_next_deadline(made) > now);
    }
    void udp(const gmpunch_address &from, const bytes &received) {
        exact in(received);
        EXPECT(gmpunch_master_input_udp(made, now, &from, 0, in.data(), in.size()) == GMPUNCH_CONSUMED);
    }
    // The id of the new connection, 0 if it was refused.
    uint32_t accept(const gmpunch_address &from) {
        uint32_t id;
        int32_t result = gmpunch_master_tcp_accepted(made, now, &from, &id);
        EXPECT((result == GMPUNCH_OK) == (id != 0));
        if (!id) return 0;
        EXPECT(!links.count(id));
        links[id].from = from;
        return id;
    }
    void receive(uint32_t id, const bytes &received) {
        exact in(received);
        int32_t result = gmpunch_master_tcp_data(made, now, id, in.data(), in.size());
        EXPECT(result == GMPUNCH_OK || result == GMPUNCH_ERR_CONNECTION);
    }
    void drop(uint32_t id, int32_t error) {
        EXPECT(gmpunch_master_tcp_closed(made, now, id, error) == GMPUNCH_OK);
        links.erase(id);
    }
    void writable(uint32_t id) {
        links.at(id).blocked = false;
        int32_t result = gmpunch_master_tcp_writable(made, now, id);
        EXPECT(result == GMPUNCH_OK || result == GMPUNCH_ERR_CONNECTION);
    }

    // The next thing to do, checked; false if there is none. It never sends over UDP, so it can't amplify or reflect.
    bool transmit(gmpunch_transmit &t) {
        int32_t result = gmpunch_master_next_transmit(made, &t);
        EXPECT(result == 0 || result == 1);
        if (!result) return false;
        EXPECT(t.kind == GMPUNCH_TRANSMIT_TCP_SEND || t.kind == GMPUNCH_TRANSMIT_TCP_CLOSE);
        auto found = links.find(t.connection);
        EXPECT(found != links.end());
        EXPECT(t.ttl == 0 && t.not_before == 0 && t.reserved == 0);
        last = copy(t.data, t.len);
        if (t.kind == GMPUNCH_TRANSMIT_TCP_CLOSE) {
            EXPECT(t.len == 0);
            links.erase(found);
        } else {
            EXPECT(t.len > 0 && !found->second.blocked);
        }
        return true;
    }
    bytes last; // of the last transmit
    // How much of it the system took: call it for each send. All is taken where nothing is said.
    void took(uint32_t id, size_t taken, bool say) {
        link &to = links.at(id);
        if (say || taken < last.size()) EXPECT(gmpunch_master_tcp_sent(made, id, taken) == GMPUNCH_OK);
        to.message.insert(to.message.end(), last.begin(), last.begin() + long(taken));
        to.blocked = taken < last.size();
        if (to.blocked) return;
        check_answer(to.message);
        answers[to.message[0]]++;
        to.message.clear();
    }

    // Its limits, and what it says of itself.
    void check() const {
        gmpunch_master_stats s = stats();
        EXPECT(s.memory == heap.used);
        EXPECT(s.connections <= links.size());
        EXPECT(s.connections <= made->config.max_connections && s.ports <= made->config.max_ports);
        EXPECT(s.requests <= made->config.max_requests && s.hosts <= s.connections && s.listed <= s.hosts);
        EXPECT(s.data_bytes <= made->config.max_data && s.lobby_bytes <= made->config.max_lobby_memory);
        EXPECT(s.introductions + s.portless + s.not_found <= s.requested);
        EXPECT(s.udp_ignored <= s.udp_received);
    }
};

} // namespace fuzz

#endif
