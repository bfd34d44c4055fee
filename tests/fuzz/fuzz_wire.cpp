// Every decoder on anything; what was decoded is encoded and must come back; what may be sent is never taken for protocol.
#include "script.hpp"

namespace {

using fuzz::bytes;
using fuzz::exact;

bool same(const gmpunch_address &a, const gmpunch_address &b) { return std::memcmp(&a, &b, sizeof a) == 0; }

// The header, both ways.
void datagram(fuzz::script &in) {
    uint32_t flags = in.below(4);
    exact from(in.rest());
    const uint8_t *payload;
    size_t payload_len;
    int32_t raw;
    int32_t result = gmpunch_datagram_decode(from.data(), from.size(), flags, &payload, &payload_len, &raw);
    EXPECT(result == GMPUNCH_OK || result == GMPUNCH_ERR_MALFORMED);
    EXPECT(payload >= from.data() && payload_len <= from.size() && payload + payload_len == from.data() + from.size());
    if (result == GMPUNCH_OK) {
        bytes again(from.size() + GMPUNCH_DATAGRAM_HEADER_SIZE + 1);
        uint32_t form = (flags & GMPUNCH_DATAGRAM_ESCAPE) | (raw ? uint32_t(GMPUNCH_DATAGRAM_RAW) : 0u);
        int32_t len = gmpunch_datagram_encode(again.data(), again.size(), payload, payload_len, form);
        if (flags & GMPUNCH_DATAGRAM_ESCAPE) { // a peer may have escaped what needed none, or not escaped what did
            EXPECT(len >= 0 && size_t(len) <= from.size() + 1);
        } else if (len != GMPUNCH_ERR_RESERVED) {
            EXPECT(fuzz::copy(again.data(), size_t(len)) == fuzz::copy(from.data(), from.size()));
        }
    }
    // as a game packet
    size_t room = from.size() + (flags & GMPUNCH_DATAGRAM_RAW ? 0 : GMPUNCH_DATAGRAM_HEADER_SIZE) + 1;
    exact sent(bytes(room, uint8_t(0)));
    int32_t len = gmpunch_datagram_encode(sent.data(), sent.size(), from.data(), from.size(), flags);
    if (len == GMPUNCH_ERR_RESERVED) {
        EXPECT(!(flags & GMPUNCH_DATAGRAM_ESCAPE));
        return;
    }
    if (from.size() > GMPUNCH_MAX_PACKET) {
        EXPECT(len == GMPUNCH_ERR_TOO_LONG);
        return;
    }
    EXPECT(len >= 0 && size_t(len) <= room);
    exact fitting(bytes(size_t(len), uint8_t(0)));
    EXPECT(gmpunch_datagram_encode(fitting.data(), fitting.size(), from.data(), from.size(), flags) == len);
    EXPECT(len == 0 || gmpunch_datagram_encode(fitting.data(), fitting.size() - 1, from.data(), from.size(), flags) ==
                           GMPUNCH_ERR_TOO_LONG);
    const uint8_t *wire;
    size_t wire_len;
    const char *strings[GMPUNCH_DATA_STRINGS];
    EXPECT(gmpunchi_decode_datagram(sent.data(), size_t(len), &wire, &wire_len, &raw) == GMPUNCH_OK);
    EXPECT(raw == (flags & GMPUNCH_DATAGRAM_RAW ? 1 : 0));
    EXPECT(gmpunchi_decode_id(wire, wire_len) == 0 && gmpunchi_decode_data(wire, wire_len, strings) != GMPUNCH_OK);
    EXPECT(gmpunch_datagram_decode(sent.data(), size_t(len), flags, &payload, &payload_len, nullptr) == GMPUNCH_OK);
    EXPECT(fuzz::copy(payload, payload_len) == fuzz::copy(from.data(), from.size()));
}

void data_strings(fuzz::script &in) {
    exact from(in.rest());
    const char *data[GMPUNCH_DATA_STRINGS];
    if (gmpunchi_decode_data(from.data(), from.size(), data) != GMPUNCH_OK) return;
    EXPECT(fuzz::encoded([&](gmpunch_buffer *out) { gmpunchi_encode_data(out, data); }) ==
           fuzz::copy(from.data(), from.size()));
    gmpunch_event event = gmpunch_event();
    event.type = GMPUNCH_EVENT_HOST_DATA;
    event.data = from.data();
    event.len = uint32_t(from.size());
    for (uint32_t i = 0; i < GMPUNCH_DATA_STRINGS; i++) EXPECT(gmpunch_event_string(&event, i + 1) == data[i]);
}

void master_datagram(fuzz::script &in) {
    bytes all = in.rest();
    exact from(all);
    uint8_t command = gmpunchi_decode_master_datagram(from.data(), from.size());
    EXPECT(command == GMPUNCHI_COMMAND_NONE || command == GMPUNCHI_COMMAND_REG || command == GMPUNCHI_COMMAND_CONNECT);
    uint8_t first = gmpunchi_decode_first_line(from.data(), from.size());
    EXPECT(first == GMPUNCHI_COMMAND_NONE || first == command);
    bytes header(GMPUNCH_DATAGRAM_HEADER_SIZE);
    gmpunchi_encode_datagram_header(header.data(), all.size());
    header.insert(header.end(), all.begin(), all.end());
    exact behind(header);
    EXPECT(gmpunchi_decode_master_datagram(behind.data(), behind.size()) == first);
}

// The answers in a stream, as text; cut at `cut` bytes it is another stream.
std::string answers(const exact &from, bool ended) {
    gmpunchi_answer answer = gmpunchi_answer();
    std::string all;
    int32_t again, found;
    size_t turns = 0;
    for (size_t at = 0; at < from.size(); at += !again) {
        EXPECT(++turns <= 2 * from.size());
        found = gmpunchi_decode_answer(&answer, from.data()[at], &again);
        if (found == GMPUNCHI_ANSWER_NONE) EXPECT(!again);
        else all += char('0' + found);
        if (found == GMPUNCHI_ANSWER_FOUND || found == GMPUNCHI_ANSWER_PORTLESS) {
            EXPECT((found == GMPUNCHI_ANSWER_FOUND) == (answer.address.port != 0));
            all += fuzz::text(answer.address) + "\n";
            gmpunch_address address = answer.address;
            exact wire(fuzz::encoded([&](gmpunch_buffer *out) { gmpunchi_encode_found(out, &address); }));
            EXPECT(wire.size() <= GMPUNCHI_FOUND_MAX);
            gmpunchi_answer back = gmpunchi_answer();
            int32_t last = GMPUNCHI_ANSWER_NONE, no;
            for (size_t i = 0; i < wire.size(); i++) {
                EXPECT(last == GMPUNCHI_ANSWER_NONE);
                last = gmpunchi_decode_answer(&back, wire.data()[i], &no);
            }
            EXPECT(last == found && same(back.address, address));
        }
    }
    if (ended && answer.state == 2 && answer.port_digits) all += char('0' + gmpunchi_decode_answer_end(&answer));
    return all;
}

void answer_stream(fuzz::script &in) {
    bytes all = in.rest();
    std::string whole = answers(exact(all), true);
    if (all.empty()) return;
    all.pop_back();
    std::string shorter = answers(exact(all), false);
    EXPECT(whole.compare(0, shorter.size(), shorter) == 0);
}

void address_text(fuzz::script &in) {
    uint16_t port = in.word();
    bytes all = in.rest();
    all.push_back(0);
    exact from(all);
    gmpunch_address parsed, back;
    if (gmpunch_address_parse(reinterpret_cast<const char *>(from.data()), port, &parsed)) return;
    EXPECT((parsed.family == 4 || parsed.family == 6) && (!port || parsed.port));
    std::string text = fuzz::text(parsed);
    exact again(text.c_str(), text.size() + 1);
    EXPECT(gmpunch_address_parse(reinterpret_cast<const char *>(again.data()), 0, &back) == GMPUNCH_OK);
    EXPECT(same(parsed, back) && gmpunch_address_same_ip(&parsed, &back));
    EXPECT(gmpunch_address_equal(&parsed, &back) == 1);
    exact room(text.c_str(), text.size()); // one byte too few
    EXPECT(gmpunch_address_format(&parsed, reinterpret_cast<char *>(room.data()), room.size()) == GMPUNCH_ERR_TOO_LONG);
    const uint64_t key[2] = {1, 2};
    EXPECT(gmpunchi_hash_address(key, &parsed) == gmpunchi_hash_address(key, &back));
}

// Any address that may come from a system: after it is normalized, text and back.
void address_bytes(fuzz::script &in) {
    gmpunch_address any, back;
    bytes raw = in.some(sizeof any);
    raw.resize(sizeof any);
    std::memcpy(&any, raw.data(), sizeof any);
    any.family = any.family & 1 ? 4 : 6;
    any.reserved = 0;
    gmpunchi_address_normalize(&any);
    std::string text = fuzz::text(any);
    EXPECT(text != "none" && text.size() < GMPUNCH_ADDRESS_TEXT_SIZE);
    EXPECT(gmpunch_address_parse(text.c_str(), 0, &back) == GMPUNCH_OK && gmpunch_address_equal(&any, &back));
    EXPECT(fuzz::text(back) == text);
}

void version(fuzz::script &in) {
    std::string first = in.string(), second = in.string();
    int64_t a[3], b[3];
    exact one(first.c_str(), first.size() + 1), two(second.c_str(), second.size() + 1);
    if (gmpunchi_decode_version(reinterpret_cast<const char *>(one.data()), a)) return;
    EXPECT(!gmpunchi_version_is_below(a, a));
    if (gmpunchi_decode_version(reinterpret_cast<const char *>(two.data()), b)) return;
    EXPECT(!(gmpunchi_version_is_below(a, b) && gmpunchi_version_is_below(b, a)));
    EXPECT(gmpunchi_version_is_below(a, b) || gmpunchi_version_is_below(b, a) || std::memcmp(a, b, sizeof a) == 0);
}

// What a master makes of the arguments: lines as strings, one behind the other.
bytes arguments(const bytes &encoded) {
    bytes lines;
    bool first = true; // the command
    for (uint8_t byte : encoded) {
        if (byte == '\n') {
            if (!first) lines.push_back(0);
            first = false;
        } else if (!first && byte) {
            lines.push_back(byte);
        }
    }
    return lines;
}

void lobby_request(fuzz::script &in) {
    exact from(in.rest());
    if (from.size() && from.data()[from.size() - 1]) return; // argument lines always end
    gmpunchi_lobby_request asked, back;
    gmpunchi_decode_lobby_request(reinterpret_cast<const char *>(from.data()), from.size(), &asked);
    EXPECT(asked.sort_by <= GMPUNCH_DATA_STRINGS);
    for (const char *filter : asked.filter)
        if (gmpunchi_has_control(filter)) return;
    exact again(arguments(fuzz::encoded([&](gmpunch_buffer *out) { gmpunchi_encode_lobby_request(out, &asked); })));
    gmpunchi_decode_lobby_request(reinterpret_cast<const char *>(again.data()), again.size(), &back);
    EXPECT(back.sort_by == asked.sort_by && back.descending == asked.descending && back.limit == asked.limit);
    for (uint32_t i = 0; i < GMPUNCH_DATA_STRINGS; i++) EXPECT(std::strcmp(back.filter[i], asked.filter[i]) == 0);
}

void registration(fuzz::script &in) {
    exact from(in.rest());
    if (from.size() && from.data()[from.size() - 1]) return;
    gmpunchi_registration given, back;
    if (gmpunchi_decode_reg2(reinterpret_cast<const char *>(from.data()), from.size(), &given)) return;
    for (const char *data : given.data)
        if (gmpunchi_has_control(data)) return;
    const char *version = reinterpret_cast<const char *>(from.data());
    exact again(arguments(fuzz::encoded([&](gmpunch_buffer *out) { gmpunchi_encode_reg2(out, version, given.data); })));
    EXPECT(gmpunchi_decode_reg2(reinterpret_cast<const char *>(again.data()), again.size(), &back) == GMPUNCH_OK);
    EXPECT(std::memcmp(given.version, back.version, sizeof back.version) == 0);
    for (uint32_t i = 0; i < GMPUNCH_DATA_STRINGS; i++) EXPECT(std::strcmp(back.data[i], given.data[i]) == 0);
}

void connect_line(fuzz::script &in) {
    std::string given = in.string();
    gmpunch_address target, back;
    if (gmpunchi_decode_connect(given.c_str(), &target)) return;
    exact again(arguments(fuzz::encoded([&](gmpunch_buffer *out) { gmpunchi_encode_connect(out, &target); })));
    EXPECT(gmpunchi_decode_connect(reinterpret_cast<const char *>(again.data()), &back) == GMPUNCH_OK && same(target, back));
}

void text_answer(fuzz::script &in) {
    exact from(in.rest());
    gmpunchi_text_answer answer, again;
    int32_t result = gmpunchi_decode_text_answer(from.data(), from.size(), &answer);
    EXPECT(result == GMPUNCH_OK || result == GMPUNCH_ERR_END || result == GMPUNCH_ERR_MALFORMED);
    if (result) return;
    EXPECT(answer.used >= 2 && answer.used <= from.size());
    exact cut(from.data(), answer.used);
    EXPECT(gmpunchi_decode_text_answer(cut.data(), cut.size(), &again) == GMPUNCH_OK && again.used == answer.used);
    EXPECT(again.lines == answer.lines && again.flag == answer.flag && again.id == answer.id);
    bytes back = {answer.id};
    if (answer.lines == 0) back.push_back(uint8_t(answer.flag));
    for (uint32_t i = 0; i < answer.lines; i++) {
        back.insert(back.end(), answer.line[i], answer.line[i] + answer.line_len[i]);
        back.push_back('\n');
    }
    EXPECT(fuzz::copy(cut.data(), back.size()) == back && answer.used - back.size() <= 1);
}

void utf8(fuzz::script &in) {
    bytes all = in.rest();
    exact from(all);
    for (size_t at = 0; at < from.size(); at++) {
        uint32_t code;
        char again[4];
        size_t len = gmpunchi_utf8_len(from.data() + at, from.size() - at, &code);
        EXPECT(len <= 4);
        if (!len) continue;
        EXPECT(code <= 0x10ffff && gmpunchi_utf8_encode(code, again) == len);
        EXPECT(std::memcmp(again, from.data() + at, len) == 0);
    }
    for (size_t at = 0; at + 1 < all.size(); at++) { // and every half-precision number is what it was
        uint16_t half = uint16_t(all[at] | all[at + 1] << 8);
        float number = gmpunchi_half_to_float(half);
        if (number == number) EXPECT(gmpunchi_half_from_double(double(number)) == half);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static void (*const decoders[])(fuzz::script &) = {
        datagram, data_strings,  master_datagram, answer_stream, address_text, address_bytes,
        version,  lobby_request, registration,    connect_line,  text_answer,  utf8,
    };
    fuzz::script in(data, len);
    decoders[in.below(uint32_t(sizeof decoders / sizeof *decoders))](in);
    return 0;
}
