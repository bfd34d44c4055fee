// The list of hosts: what the encoder writes the client reads, whatever is in the strings; what a master lists is what was
// registered; of anything else the client makes nothing worse than an error.
#include "machine.hpp"

namespace {

using fuzz::bytes;

struct entry {
    gmpunch_address ip;
    std::string data[GMPUNCH_DATA_STRINGS];
    uint64_t created = 0;
};

bool operator==(const entry &a, const entry &b) {
    return gmpunch_address_same_ip(&a.ip, &b.ip) && std::equal(a.data, a.data + GMPUNCH_DATA_STRINGS, b.data) &&
           a.created == b.created;
}

// UTF-8 by its definition (RFC 3629): the text with U+FFFD for each byte that begins nothing.
std::string valid(const std::string &from) {
    std::string made;
    for (size_t at = 0; at < from.size();) {
        auto byte = [&](size_t i) { return at + i < from.size() ? uint8_t(from[at + i]) : uint8_t(0); };
        auto tail = [&](size_t i, uint8_t low = 0x80, uint8_t high = 0xbf) { return byte(i) >= low && byte(i) <= high; };
        uint8_t c = byte(0);
        size_t len = 0;
        if (c < 0x80) len = 1;
        else if (c >= 0xc2 && c <= 0xdf && tail(1)) len = 2;
        else if (c >= 0xe0 && c <= 0xef && tail(1, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf) && tail(2)) len = 3;
        else if (c >= 0xf0 && c <= 0xf4 && tail(1, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf) && tail(2) && tail(3))
            len = 4;
        made += len ? from.substr(at, len) : std::string("\xef\xbf\xbd");
        at += len ? len : 1;
    }
    return made;
}

// A client that is given the bytes: its entries, and how it ended.
struct list {
    std::vector<entry> entries;
    gmpunch_event end = gmpunch_event();
};

list read(const bytes &all, gmpunch_lobby_config config, fuzz::script &cuts) {
    config.master = "203.0.113.1";
    fuzz::lobby_machine m;
    list made;
    if (!m.start(config, cuts.below(2))) return made;
    gmpunch_transmit t;
    gmpunch_event e;
    while (m.transmit(t)) {}
    m.system_opened();
    while (m.transmit(t)) {}
    for (size_t at = 0; at < all.size() && !made.end.type;) {
        size_t len = cuts.done() ? all.size() - at : std::min<size_t>(all.size() - at, 1u + cuts.byte());
        int32_t taken = m.system_data(bytes(all.begin() + long(at), all.begin() + long(at + len)));
        EXPECT(taken >= 0);
        at += size_t(taken);
        bool news = false;
        while (m.event(e)) {
            news = true;
            if (e.type != GMPUNCH_EVENT_LOBBY_ENTRY) {
                EXPECT(!made.end.type && (e.type == GMPUNCH_EVENT_LOBBY_DONE || e.type == GMPUNCH_EVENT_FAILED));
                made.end = e;
                continue;
            }
            entry one;
            one.ip = e.address;
            one.created = e.created;
            for (uint32_t i = 0; i < GMPUNCH_DATA_STRINGS; i++) one.data[i] = gmpunch_event_string(&e, i + 1);
            for (const std::string &text : one.data) EXPECT(valid(text) == text);
            EXPECT(one.ip.family && !one.ip.port);
            made.entries.push_back(one);
            EXPECT(e.count == made.entries.size());
        }
        EXPECT(taken || news);
    }
    while (m.transmit(t)) {}
    if (made.end.type) EXPECT(!m.connection && gmpunch_lobby_next_deadline(m.made) == UINT64_MAX);
    return made;
}

void anything(fuzz::script &in) {
    bytes places = in.counted();
    gmpunch_lobby_config config = gmpunch_lobby_config();
    config.max_entry = 1024 + in.byte() * 16u;
    config.max_entries = in.setting(4);
    bytes all = {GMPUNCHI_ID_LOBBY, '['};
    if (in.byte() & 1) all.clear();
    bytes rest = in.rest();
    all.insert(all.end(), rest.begin(), rest.end());
    fuzz::script cuts(places.data(), places.size());
    list whole = read(all, config, cuts);
    fuzz::script none(nullptr, 0);
    EXPECT(read(all, config, none).entries == whole.entries);
    // the decoder by itself, which needs the whole list
    std::vector<char> strings(all.size() + 1);
    fuzz::exact from(all);
    gmpunchi_lobby_entry decoded;
    int32_t state = GMPUNCHI_LOBBY_BEGIN, result;
    size_t used, at = 0, count = 0;
    do {
        result =
            gmpunchi_decode_lobby(&state, from.data() + at, from.size() - at, &used, strings.data(), all.size(), &decoded);
        EXPECT(used <= from.size() - at && (result == 1) == (used > 0 && state == GMPUNCHI_LOBBY_MORE));
        at += used;
        count += result == 1;
    } while (result == 1);
    if (result == 0 && whole.end.type == GMPUNCH_EVENT_LOBBY_DONE && !whole.end.ignored)
        EXPECT(count == whole.entries.size());
}

void encoded(fuzz::script &in) {
    std::vector<entry> given(in.below(6));
    bytes places = in.counted();
    for (entry &one : given) {
        static const char *const ips[] = {"192.0.2.1", "2001:db8::4", "fe80::1%4294967295", "0.0.0.0"};
        one.ip = fuzz::address(ips[in.below(4)]);
        one.data[in.below(GMPUNCH_DATA_STRINGS)] = in.string();
        one.data[in.below(GMPUNCH_DATA_STRINGS)] = in.string();
        for (uint8_t byte : in.some(8)) one.created = one.created << 8 | byte;
        one.created %= 100000000000000000u; // a larger one is no date
    }
    bytes all = fuzz::encoded([&](gmpunch_buffer *out) {
        gmpunchi_encode_lobby_begin(out);
        for (const entry &one : given) {
            gmpunchi_lobby_entry row = gmpunchi_lobby_entry();
            row.ip = one.ip;
            row.created = one.created;
            for (uint32_t i = 0; i < GMPUNCH_DATA_STRINGS; i++) row.data[i] = one.data[i].c_str();
            gmpunchi_encode_lobby_entry(out, &row, &one == &given[0]);
        }
        gmpunchi_encode_lobby_end(out);
    });
    fuzz::script cuts(places.data(), places.size());
    gmpunch_lobby_config config = gmpunch_lobby_config();
    config.max_entry = 8192;
    list back = read(all, config, cuts);
    for (entry &one : given)
        for (std::string &text : one.data) text = valid(text);
    EXPECT(back.end.type == GMPUNCH_EVENT_LOBBY_DONE && back.end.ignored == 0);
    EXPECT(back.entries == given);
}

// Hosts register with a master, a lobby asks it, and a model says what it must hear.
void listed(fuzz::script &in) {
    fuzz::master_machine m;
    EXPECT(m.start(gmpunch_master_config()));
    std::vector<entry> hosts(in.below(8));
    std::vector<uint32_t> connections;
    for (entry &one : hosts) {
        one.ip = fuzz::address(("192.0.2." + std::to_string(&one - &hosts[0] + 1)).c_str());
        one.created = in.byte();
        const char *data[GMPUNCH_DATA_STRINGS];
        for (uint32_t turn = 0; turn < 2; turn++) {
            std::string text;
            for (char c : in.string().substr(0, 100))
                if (uint8_t(c) >= 0x20 && c != 0x7f) text += c;
            one.data[in.below(GMPUNCH_DATA_STRINGS)] = text;
        }
        for (uint32_t i = 0; i < GMPUNCH_DATA_STRINGS; i++) data[i] = one.data[i].c_str();
        EXPECT(gmpunch_master_set_unix_time(m.made, m.now, one.created) == GMPUNCH_OK);
        uint32_t id = m.accept(one.ip);
        m.receive(id, fuzz::encoded([&](gmpunch_buffer *out) { gmpunchi_encode_reg2(out, "1.2.4", data); }));
    }
    gmpunch_lobby_config config = gmpunch_lobby_config();
    uint32_t filtered = in.below(GMPUNCH_DATA_STRINGS), copied = in.byte();
    std::string filter = copied < 128 || hosts.empty() ? "" : hosts[copied % hosts.size()].data[filtered];
    config.filter[filtered] = filter.c_str();
    config.sort_by = in.below(9);
    config.descending = int32_t(in.below(2));
    config.limit = in.setting(4);
    config.max_entry = 4096;
    config.master = "203.0.113.1";
    fuzz::lobby_machine l;
    EXPECT(l.start(config, true));
    gmpunch_transmit t;
    while (l.transmit(t)) {}
    l.system_opened();
    uint32_t asker = m.accept(fuzz::address("192.0.2.200"));
    while (l.transmit(t)) m.receive(asker, l.last);
    bytes answer;
    while (m.transmit(t)) {
        EXPECT(t.connection == asker && t.kind == GMPUNCH_TRANSMIT_TCP_SEND);
        answer.insert(answer.end(), m.last.begin(), m.last.end());
        m.took(asker, m.last.size(), true);
    }
    m.check();
    std::vector<entry> wanted;
    for (const entry &one : hosts)
        if (filter.empty() || one.data[filtered] == filter) wanted.push_back(one);
    std::stable_sort(wanted.begin(), wanted.end(), [&](const entry &a, const entry &b) {
        return config.sort_by && a.data[config.sort_by - 1] < b.data[config.sort_by - 1];
    });
    if (config.descending) std::reverse(wanted.begin(), wanted.end());
    if (config.limit && wanted.size() > config.limit) wanted.resize(config.limit);
    for (entry &one : wanted)
        for (std::string &text : one.data) text = valid(text);
    fuzz::script none(nullptr, 0);
    list back = read(answer, config, none);
    EXPECT(back.end.type == GMPUNCH_EVENT_LOBBY_DONE && back.end.ignored == 0);
    EXPECT(back.entries == wanted);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    fuzz::script in(data, len);
    switch (in.byte() & 3) {
    case 0: encoded(in); break;
    case 1: listed(in); break;
    default: anything(in);
    }
    return 0;
}
