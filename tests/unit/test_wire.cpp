// The wire: every message both ways, exact bytes, every cut of every stream, and bytes that are no message.
#include "gmpunch_internal.hpp"

#include <functional>
#include <random>

namespace {

// ---- encoding

using encoder = std::function<int32_t(gmpunch_buffer *)>;

// What it writes. With less room it must fail instead, and never write behind it.
bytes encoded(const encoder &encode) {
    gmpunch_buffer out;
    gmpunch_buffer_init_grow(&out, nullptr, 100000, 1);
    REQUIRE(encode(&out) == GMPUNCH_OK);
    const bytes result(out.data, out.data + out.used);
    gmpunch_buffer_free(&out);
    for (size_t size = result.size() > 100 ? result.size() - 1 : 0; size <= result.size(); size++) {
        bytes room(size);
        gmpunch_buffer_init(&out, room.data(), size, 1);
        CHECK(encode(&out) == (size < result.size() ? GMPUNCH_ERR_TOO_LONG : GMPUNCH_OK));
        CHECK(room == bytes(result.begin(), result.begin() + std::ptrdiff_t(out.used)) + bytes(size - out.used));
    }
    return result;
}

struct eight { // data strings or filters; what is not named is empty
    const char *text[8];
};

// ---- lines

// The lines of a stream, each with "|" behind it, then the unfinished one.
std::string lines(const bytes &stream) {
    std::string out;
    uint8_t after_cr = 0;
    for (uint8_t byte : stream) {
        const int32_t kind = gmpunchi_decode_line_byte(&after_cr, byte);
        if (kind == GMPUNCHI_LINE_END) out += '|';
        if (kind == GMPUNCHI_LINE_BYTE) out += char(byte);
    }
    return out;
}

// The lines behind the first as the arguments of a command: strings, each with its NUL.
std::vector<char> arguments(const bytes &stream) {
    std::string all = lines(stream);
    all.erase(0, all.find('|') + 1);
    std::vector<char> out(all.begin(), all.end());
    for (char &c : out) c = c == '|' ? '\0' : c;
    return out;
}

// ---- answers of the master

struct reader {
    gmpunchi_uplink uplink{};
    std::string heard; // one word or two for each message; "malformed" only once in a row

    reader() {
        gmpunchi_uplink_init(&uplink, nullptr, nullptr, 0);
        uplink.moment_ms = GMPUNCHI_HOST_MOMENT_MS;
    }
    void note(int32_t answer) {
        std::string word;
        if (answer == GMPUNCHI_ANSWER_FOUND) word = "found " + text(uplink.answer.address);
        if (answer == GMPUNCHI_ANSWER_NOT_FOUND) word = "not found";
        if (answer == GMPUNCHI_ANSWER_PORTLESS) word = "portless " + text(uplink.answer.address);
        if (answer == GMPUNCHI_ANSWER_MALFORMED) word = "malformed";
        if (word.empty() || (word == "malformed" && heard.size() >= 9 && heard.substr(heard.size() - 9) == word)) return;
        heard += (heard.empty() ? "" : ", ") + word;
    }
    void read(bytes piece) {
        while (!piece.empty()) {
            size_t used = 0;
            note(gmpunchi_uplink_read(&uplink, 1000, bytes(piece).data(), piece.size(), &used));
            REQUIRE(used <= piece.size());
            piece.erase(piece.begin(), piece.begin() + std::ptrdiff_t(used));
        }
    }
    bool waits() const { return uplink.answer_at != UINT64_MAX; }
    std::string end() { // silence, or the end of the connection
        heard.clear();
        note(gmpunchi_uplink_read_end(&uplink));
        return heard;
    }
};

bytes part(const bytes &all, size_t from, size_t to) {
    return bytes(all.begin() + std::ptrdiff_t(from), all.begin() + std::ptrdiff_t(to));
}

// Calls check with the stream whole, cut in two at each byte, and in single bytes.
void each_split(const bytes &stream, const std::function<void(const std::vector<bytes> &)> &check) {
    std::vector<bytes> single;
    for (uint8_t byte : stream) single.push_back({byte});
    check({stream});
    check(single);
    for (size_t cut = 1; cut < stream.size(); cut++) check({part(stream, 0, cut), part(stream, cut, stream.size())});
}

// ---- lobby lists

std::string entry_text(const gmpunchi_lobby_entry &entry) {
    std::string out = text(entry.ip);
    for (const char *data : entry.data) out += std::string("|") + data;
    return out + "|" + std::to_string(entry.created) + "\n";
}

struct listing {
    int32_t state = GMPUNCHI_LOBBY_BEGIN, result = 1;
    size_t at = 0;
    std::string entries;

    // Reads on in an answer of which so much is there.
    void read(const bytes &answer, size_t len, size_t text_size = 1000) {
        do {
            const bytes rest = part(answer, at, len);
            std::vector<char> room(text_size);
            gmpunchi_lobby_entry entry;
            const int32_t before = state;
            size_t used = 99;
            result = gmpunchi_decode_lobby(&state, rest.data(), rest.size(), &used, room.data(), room.size(), &entry);
            at += used;
            REQUIRE(at <= len);
            if (result < 0) CHECK((used == 0 && state == before));
            if (result == 1) entries += entry_text(entry);
        } while (result == 1);
    }
};

listing list(const bytes &answer, size_t text_size = 1000) {
    listing out;
    out.read(answer, answer.size(), text_size);
    return out;
}

// The one data string of a list.
std::string data_back(const std::string &json_string) {
    const std::string answer = "\xf9[{\"ip\":\"1.2.3.4\",\"data1\":" + json_string + "}]\n";
    const listing all = list(bytes(answer.begin(), answer.end()));
    return all.result ? "error " + std::to_string(all.result) : all.entries.substr(8, all.entries.size() - 18);
}

std::string json_string(const std::string &plain) {
    const bytes out = encoded([&](gmpunch_buffer *b) { return gmpunchi_encode_json_string(b, plain.c_str()); });
    return std::string(out.begin(), out.end());
}

// RFC 3629 4: how many bytes the UTF-8 character at the start has, 0 if it is none.
size_t utf8_character(const std::string &s) {
    const auto in = [&](size_t i, int low, int top) { return i < s.size() && uint8_t(s[i]) >= low && uint8_t(s[i]) <= top; };
    const auto tail = [&](size_t i) { return in(i, 0x80, 0xbf); };
    if (in(0, 0, 0x7f)) return 1;
    if (in(0, 0xc2, 0xdf)) return tail(1) ? 2 : 0;
    if (in(0, 0xe0, 0xef)) return in(1, s[0] == '\xe0' ? 0xa0 : 0x80, s[0] == '\xed' ? 0x9f : 0xbf) && tail(2) ? 3 : 0;
    if (in(0, 0xf0, 0xf4))
        return in(1, s[0] == '\xf0' ? 0x90 : 0x80, s[0] == '\xf4' ? 0x8f : 0xbf) && tail(2) && tail(3) ? 4 : 0;
    return 0;
}

const std::string replacement = "\xef\xbf\xbd"; // U+FFFD

} // namespace

// ---- datagrams

TEST_CASE("wire: datagrams as recorded") {
    const gmpunch_address to = address("1.2.3.4:5");
    gmpunch_transmit transmit;
    uint8_t scratch[GMPUNCHI_SCRATCH];
    const auto sent = [&] { return bytes(transmit.data, transmit.data + transmit.len); };
    gmpunchi_transmit_line(&transmit, scratch, "reg", &to, 0);
    CHECK(sent() == from_hex("dec0adde0c000000050000007265670a00"));
    gmpunchi_transmit_line(&transmit, scratch, "connect", &to, 0);
    CHECK(sent() == from_hex("dec0adde0c00000009000000636f6e6e6563740a00"));
    for (int id : {0xfd, 0xfc, 0xfb}) {
        gmpunchi_transmit_id(&transmit, scratch, uint8_t(id), 0, &to, 0);
        CHECK(sent() == from_hex("dec0adde0c00000001000000") + bytes{uint8_t(id)});
        gmpunchi_transmit_id(&transmit, scratch, uint8_t(id), 1, &to, 0);
        CHECK(sent() == bytes{uint8_t(id)});
    }
}

TEST_CASE("wire: a datagram is taken with and without header") {
    const auto decode = [](const bytes &datagram, bytes *payload, int32_t *raw) {
        const uint8_t *at = nullptr;
        size_t len = 0;
        const int32_t result = gmpunch_datagram_decode(datagram.data(), datagram.size(), 0, &at, &len, raw);
        *payload = bytes(at, at + len);
        return result;
    };
    const bytes whole = from_hex("dec0adde0c00000012000000fa67616d65006ec3a46d6500000000000000");
    bytes payload;
    int32_t raw;
    for (size_t len = 0; len <= whole.size() + 1; len++) { // each truncation, and a byte too many
        CAPTURE(len);
        const bytes datagram = len <= whole.size() ? part(whole, 0, len) : whole + bin("\0");
        const int32_t result = decode(datagram, &payload, &raw);
        CHECK(raw == (len < 12));
        if (len < 12) CHECK(payload == datagram);
        if (len == whole.size()) CHECK(payload == part(whole, 12, len));
        CHECK(result == (len < 12 || len == whole.size() ? GMPUNCH_OK : GMPUNCH_ERR_MALFORMED));
    }
    for (size_t bit = 0; bit < 64; bit++) { // magic and size make the header
        bytes datagram = whole;
        datagram[bit / 8] ^= uint8_t(1 << bit % 8);
        CHECK(decode(datagram, &payload, &raw) == GMPUNCH_OK);
        CHECK(raw == 1);
        CHECK(payload == datagram);
    }
    for (size_t bit = 0; bit < 32; bit++) {
        bytes datagram = whole;
        datagram[8 + bit / 8] ^= uint8_t(1 << bit % 8);
        CHECK(decode(datagram, &payload, &raw) == GMPUNCH_ERR_MALFORMED);
    }
    CHECK(decode(with_header({}), &payload, &raw) == GMPUNCH_OK);
    CHECK(raw == 0);
    CHECK(payload.empty());
}

TEST_CASE("wire: ids are payloads of one byte") {
    for (uint32_t id = 0; id < 256; id++) {
        const bytes payload = {uint8_t(id)};
        CHECK(gmpunchi_decode_id(payload.data(), 1) == (id >= 0xfb && id <= 0xfd ? id : 0));
        CHECK(gmpunchi_decode_id(payload.data(), 0) == 0);
        CHECK(gmpunchi_decode_id((payload + payload).data(), 2) == 0);
        CHECK(encoded([&](gmpunch_buffer *b) { return gmpunchi_encode_id(b, uint8_t(id)); }) == payload);
    }
}

TEST_CASE("wire: data strings of a host") {
    const eight strings = {{"game", "n\xc3\xa4me", nullptr, "", nullptr, nullptr, nullptr, nullptr}};
    const bytes whole = from_hex("fa67616d65006ec3a46d6500000000000000");
    CHECK(encoded([&](gmpunch_buffer *b) { return gmpunchi_encode_data(b, strings.text); }) == whole);
    const char *data[8];
    REQUIRE(gmpunchi_decode_data(whole.data(), whole.size(), data) == GMPUNCH_OK);
    for (size_t i = 0; i < 8; i++) CHECK(std::string(data[i]) == (strings.text[i] ? strings.text[i] : ""));
    for (size_t len = 0; len < whole.size(); len++)
        CHECK(gmpunchi_decode_data(part(whole, 0, len).data(), len, data) == GMPUNCH_ERR_MALFORMED);
    for (const bytes &other : {whole + bin("\0"), whole + bin("x"), whole + whole, bin("\xfb\0\0\0\0\0\0\0\0")})
        CHECK(gmpunchi_decode_data(other.data(), other.size(), data) == GMPUNCH_ERR_MALFORMED);
}

namespace {

// The datagram of a game packet, in memory that ends where it ends.
int32_t encode_game(const bytes &payload, uint32_t flags, bytes *datagram) {
    datagram->assign(payload.size() + 13, 0xee);
    const int32_t len = gmpunch_datagram_encode(datagram->data(), datagram->size(), payload.data(), payload.size(), flags);
    *datagram = bytes(datagram->begin(), datagram->begin() + (len < 0 ? 0 : len));
    return len;
}

bytes decode_game(const bytes &datagram, uint32_t flags) {
    const uint8_t *payload = nullptr;
    size_t len = 0;
    int32_t raw;
    if (gmpunch_datagram_decode(datagram.data(), datagram.size(), flags, &payload, &len, &raw)) return bin("malformed");
    return raw == int32_t(flags & GMPUNCH_DATAGRAM_RAW) ? bytes(payload, payload + len) : bin("in the wrong form");
}

} // namespace

TEST_CASE("wire: game packets of one byte") {
    for (uint32_t raw = 0; raw <= GMPUNCH_DATAGRAM_RAW; raw++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            CAPTURE(byte);
            const bool protocol = byte >= 0xfb && byte <= 0xfd, escaped = protocol || byte == 0xf5 || byte == 0xfa;
            const bytes payload = {uint8_t(byte)}, on_wire = escaped ? bytes{0xf5} + payload : payload;
            bytes datagram;
            CHECK(encode_game(payload, raw, &datagram) == (protocol ? GMPUNCH_ERR_RESERVED : raw ? 1 : 13));
            if (!protocol) {
                CHECK(datagram == (raw ? payload : with_header(payload)));
                CHECK(decode_game(datagram, raw) == payload);
            }
            encode_game(payload, raw | GMPUNCH_DATAGRAM_ESCAPE, &datagram);
            CHECK(datagram == (raw ? on_wire : with_header(on_wire)));
            CHECK(decode_game(datagram, raw | GMPUNCH_DATAGRAM_ESCAPE) == payload);
        }
    }
}

TEST_CASE("wire: game packets that look like data strings") {
    const bytes strings = bin("\xfa" "1\0002\0003\0\0\0\0\0008\0");
    bytes datagram;
    CHECK(encode_game(strings, 0, &datagram) == GMPUNCH_ERR_RESERVED);
    CHECK(encode_game(strings, GMPUNCH_DATAGRAM_ESCAPE, &datagram) > 0);
    CHECK(datagram == with_header(bytes{0xf5} + strings));
    CHECK(decode_game(datagram, GMPUNCH_DATAGRAM_ESCAPE) == strings);
    const size_t len = strings.size();
    for (const bytes &game : {part(strings, 0, len - 1), part(strings, 0, len - 2), strings + bin("\0"), strings + bin("x"),
                              bytes{0xf9} + strings, bin("\xfd\0"), bin("\xfb\xfb"), bytes()}) {
        CHECK(encode_game(game, 0, &datagram) == int32_t(game.size()) + 12);
        CHECK(decode_game(datagram, 0) == game);
    }
}

TEST_CASE("wire: game packets come back as they were") {
    std::mt19937 random(3);
    const bytes first = bin("\xf4\xf5\xf6\xf9\xfa\xfb\xfc\xfd\xfe\xff\0");
    for (int i = 0; i < 4000; i++) {
        const uint32_t flags = i & 3;
        bytes payload(random() % 30), datagram;
        for (uint8_t &byte : payload) byte = random() % 2 ? uint8_t(random()) : first[random() % first.size()];
        if (payload.size() == 1 && !(flags & GMPUNCH_DATAGRAM_ESCAPE)) continue; // above
        REQUIRE(encode_game(payload, flags, &datagram) >= int32_t(payload.size()));
        CHECK(decode_game(datagram, flags) == payload);
    }
}

TEST_CASE("wire: no raw game packet is taken for a header") {
    for (uint32_t flags : {uint32_t(GMPUNCH_DATAGRAM_RAW), uint32_t(GMPUNCH_DATAGRAM_RAW) | GMPUNCH_DATAGRAM_ESCAPE}) {
        for (const bytes &payload : {with_header(bin("\xfd")), with_header(bin("hello")), with_header({}) + bin("hello")}) {
            CAPTURE(flags);
            CAPTURE(payload.size());
            bytes datagram; // refused, or given back as it was: not lost unnoticed, not taken for a knock
            const bool refused = encode_game(payload, flags, &datagram) == GMPUNCH_ERR_RESERVED;
            CHECK((refused || decode_game(datagram, flags) == payload));
        }
    }
}

TEST_CASE("wire: datagram functions check their arguments") {
    bytes payload(GMPUNCH_MAX_PACKET + 1, 'x'), datagram(GMPUNCH_MAX_PACKET + 13);
    uint8_t *const out = datagram.data();
    CHECK(gmpunch_datagram_encode(nullptr, 20, payload.data(), 1, 0) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_datagram_encode(out, 20, nullptr, 1, 0) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_datagram_encode(out, 20, nullptr, 0, 0) == 12);
    CHECK(gmpunch_datagram_encode(out, 20, nullptr, 0, GMPUNCH_DATAGRAM_RAW) == 0);
    CHECK(gmpunch_datagram_encode(out, datagram.size(), payload.data(), GMPUNCH_MAX_PACKET, 0) == GMPUNCH_MAX_PACKET + 12);
    CHECK(gmpunch_datagram_encode(out, datagram.size(), payload.data(), GMPUNCH_MAX_PACKET + 1, 0) == GMPUNCH_ERR_TOO_LONG);
    CHECK(gmpunch_datagram_encode(out, SIZE_MAX, payload.data(), SIZE_MAX, 0) == GMPUNCH_ERR_TOO_LONG);
    payload = bin("\xf5xyz");
    for (uint32_t flags = 0; flags < 4; flags++) {
        const size_t need = 4u + (flags & GMPUNCH_DATAGRAM_RAW ? 0u : 12u) + (flags & GMPUNCH_DATAGRAM_ESCAPE ? 1u : 0u);
        for (size_t size = 0; size <= need; size++) {
            std::vector<uint8_t> room(size + 1, 0xee); // one more, so that data() is never NULL
            const int32_t result = gmpunch_datagram_encode(room.data(), size, payload.data(), payload.size(), flags);
            CHECK(result == (size < need ? GMPUNCH_ERR_TOO_LONG : int32_t(need)));
            CHECK(room[size] == 0xee);
        }
    }
    const uint8_t *at;
    size_t len;
    CHECK(gmpunch_datagram_decode(nullptr, 1, 0, &at, &len, nullptr) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_datagram_decode(out, 1, 0, nullptr, &len, nullptr) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_datagram_decode(out, 1, 0, &at, nullptr, nullptr) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_datagram_decode(nullptr, 0, GMPUNCH_DATAGRAM_ESCAPE, &at, &len, nullptr) == GMPUNCH_OK);
    CHECK(len == 0);
}

// ---- commands

TEST_CASE("wire: commands to the master as recorded") {
    const eight game = {{"game 1", "My Server", "", nullptr, nullptr, nullptr, nullptr, nullptr}};
    const gmpunch_address server = address("127.0.0.2:6611");
    CHECK(encoded(gmpunchi_encode_reg) == from_hex("7265670a00"));
    CHECK(encoded(gmpunchi_encode_ping) == from_hex("70696e670a00"));
    CHECK(encoded(gmpunchi_encode_announce) == from_hex("636f6e6e6563740a00"));
    CHECK(encoded([&](gmpunch_buffer *b) { return gmpunchi_encode_connect(b, &server); }) ==
          from_hex("636f6e6e6563740a3132372e302e302e320a00"));
    CHECK(encoded([&](gmpunch_buffer *b) { return gmpunchi_encode_reg2(b, GMPUNCH_HOST_PROTOCOL_VERSION, game.text); }) ==
          from_hex("726567320a00312e322e340a0067616d6520310a004d79205365727665720a000a000a000a000a000a000a00"));
}

TEST_CASE("wire: lines end in LF, CR LF or CR, without control characters") {
    const struct {
        bytes stream;
        const char *lines;
    } cases[] = {
        {bin(""), ""}, {bin("a"), "a"}, {bin("a\nb\n"), "a|b|"}, {bin("a\r\nb\r\n"), "a|b|"}, {bin("a\rb\r"), "a|b|"},
        {bin("a\r\rb"), "a||b"}, {bin("a\n\rb"), "a||b"}, {bin("a\r\n\nb"), "a||b"}, {bin("a\r\n\r\nb"), "a||b"},
        {bin("a\r\0\nb"), "a||b"}, {bin("a\n\0b\n\0"), "a|b|"}, {bin("\0\0a\0b\n"), "ab|"},
        {bin("\1a\tb\x1f\x7f" "c\x0b\x0c\x1b\n"), "abc|"}, {bin("n\xc3\xa4me \xff~\n"), "n\xc3\xa4me \xff~|"},
    };
    for (const auto &c : cases) CHECK(lines(c.stream) == c.lines);
}

TEST_CASE("wire: the table of commands") {
    const struct {
        const char *line;
        uint8_t command, arguments;
    } known[] = {{"reg", GMPUNCHI_COMMAND_REG, 0},         {"reg2", GMPUNCHI_COMMAND_REG2, 9},
                 {"connect", GMPUNCHI_COMMAND_CONNECT, 1}, {"istesting", GMPUNCHI_COMMAND_IS_TESTING, 0},
                 {"lobby2", GMPUNCHI_COMMAND_LOBBY, 11},   {"testinginfos", GMPUNCHI_COMMAND_TESTING_INFOS, 0},
                 {"ping", GMPUNCHI_COMMAND_PING, 0},       {"version", GMPUNCHI_COMMAND_VERSION, 0}};
    for (const auto &k : known) {
        const bytes line(k.line, k.line + strlen(k.line));
        const gmpunchi_command *found = gmpunchi_decode_command(reinterpret_cast<const char *>(line.data()), line.size());
        REQUIRE(found);
        CHECK(found->command == k.command);
        CHECK(found->arguments == k.arguments);
        for (size_t len = 0; len < line.size(); len++) {
            const std::string shorter(k.line, len);
            CHECK((gmpunchi_decode_command(shorter.data(), len) == nullptr || shorter == "reg"));
        }
    }
    for (const char *line : {"", "REG", "reg3", "reg ", " reg", "lobby", "lobby22", "connectx", "versions", "testinginfosx"})
        CHECK(gmpunchi_decode_command(line, strlen(line)) == nullptr);
}

TEST_CASE("wire: datagrams to the master") {
    const bytes skipped = bin("twelve bytes"); // any: they are not looked at
    const struct {
        uint8_t command;
        std::vector<bytes> datagrams;
    } cases[] = {
        {GMPUNCHI_COMMAND_REG,
         {from_hex("dec0adde0c000000050000007265670a00"), from_hex("dec0adde0c000000ffffffff7265670a00"), bin("reg\n\0"),
          bin("reg"), bin("reg\r\n"), bin("reg\rconnect\n"), bin("\0r\1e\tg\x7f\n"), skipped + bin("reg\n\0"),
          skipped + bin("\0reg\r"), bin("\n\n\n\n\n\n\n\n\n\n\n\nreg\n")}},
        {GMPUNCHI_COMMAND_CONNECT,
         {from_hex("dec0adde0c00000009000000636f6e6e6563740a00"), bin("connect\n\0"), bin("connect"),
          bin("connect\n1.2.3.4\n\0"), skipped + bin("connect"), bin("connect\n\0\0\0\0reg\n")}}, // the first line counts
        {GMPUNCHI_COMMAND_NONE,
         {bin(""), bin("hi"), bin("\nreg\n"), bin("regx\n"), bin("reg \n"), bin("REG\n"), bin("regnect\n"),
          bin("reg2\n1.2.4\n"), bin("ping\n"), bin("version\n"), bin("lobby2\n"), skipped, skipped + bin("\n"),
          skipped + bin("\nreg\n"), skipped + bin("xreg\n"), part(skipped, 1, 12) + bin("reg\n"),
          skipped + skipped + bin("reg\n"), bytes(2000, 'a'), bytes(2000, 0), bytes(2000, '\n')}},
    };
    for (const auto &c : cases) {
        for (const bytes &datagram : c.datagrams) {
            CAPTURE(std::string(datagram.begin(), datagram.end()));
            CHECK(gmpunchi_decode_master_datagram(bytes(datagram).data(), datagram.size()) == c.command);
        }
    }
    const bytes whole = with_header(bin("connect\n\0"));
    for (size_t len = 0; len < whole.size(); len++)
        CHECK(gmpunchi_decode_master_datagram(part(whole, 0, len).data(), len) ==
              (len < 19 ? GMPUNCHI_COMMAND_NONE : GMPUNCHI_COMMAND_CONNECT));
}

TEST_CASE("wire: registrations") {
    const bytes whole = from_hex("726567320a00312e322e340a0067616d650a006ec3a46d650a000a000a000a000a000a000a00");
    gmpunchi_registration got;
    const std::vector<char> all = arguments(whole);
    REQUIRE(gmpunchi_decode_reg2(all.data(), all.size(), &got) == GMPUNCH_OK);
    CHECK((got.version[0] == 1 && got.version[1] == 2 && got.version[2] == 4));
    CHECK(std::string(got.data[0]) == "game");
    CHECK(std::string(got.data[1]) == "n\xc3\xa4me");
    for (size_t i = 2; i < 8; i++) CHECK(std::string(got.data[i]).empty());
    const std::vector<char> few = arguments(bin("reg2\n1.2.0\nlast\n")); // the rest is empty, not what lies behind
    REQUIRE(gmpunchi_decode_reg2(few.data(), few.size(), &got) == GMPUNCH_OK);
    CHECK(std::string(got.data[0]) == "last");
    CHECK(std::string(got.data[7]).empty());
    CHECK(gmpunchi_decode_reg2(nullptr, 0, &got) == GMPUNCH_ERR_MALFORMED);
}

TEST_CASE("wire: the address that a client asks for") {
    gmpunch_address server;
    CHECK(gmpunchi_decode_connect("127.0.0.2", &server) == GMPUNCH_OK);
    CHECK(text(server) == "127.0.0.2");
    CHECK(gmpunchi_decode_connect("2001:db8::1", &server) == GMPUNCH_OK);
    CHECK(text(server) == "2001:db8::1");
    for (const char *bad : {"", "127.0.0.2:6611", "[2001:db8::1]:5", "example.org", "127.0.0", "127.0.0.2 "})
        CHECK(gmpunchi_decode_connect(bad, &server) == GMPUNCH_ERR_ADDRESS);
}

TEST_CASE("wire: versions are compared number by number") {
    const char *const rising[] = {"0.9.9", "1",      "1.0", "1.1.9", "1.2",  "1.2.0",  "1.2.1", "1.2.4",
                                  "1.2.10", "1.3", "1.9", "1.10",  "1.10.0", "2",     "10"};
    for (const char *const &a : rising) {
        for (const char *const &b : rising) {
            CAPTURE(a);
            CAPTURE(b);
            int64_t left[3], right[3];
            REQUIRE(gmpunchi_decode_version(a, left) == GMPUNCH_OK);
            REQUIRE(gmpunchi_decode_version(b, right) == GMPUNCH_OK);
            CHECK(gmpunchi_version_is_below(left, right) == (&a < &b));
        }
    }
    int64_t out[3];
    REQUIRE(gmpunchi_decode_version("1.2.4.9", out) == GMPUNCH_OK);
    CHECK((out[0] == 1 && out[1] == 2 && out[2] == 4));
    for (const char *bad : {"", ".", "1.", ".1", "1..2", "1.2.", "1.2.x", "v1.2.4", "1,2", " 1.2", "1.2 ", "-1.2", "1.-2",
                            "1.2-beta", "1.2.4\n", "99999999999999999999"})
        CHECK_MESSAGE(gmpunchi_decode_version(bad, out) == GMPUNCH_ERR_MALFORMED, bad);
}

// ---- lobby requests

TEST_CASE("wire: lobby requests both ways, with the directions of the wire") {
    struct {
        const char *filter1;
        uint32_t sort_by;
        int32_t descending;
        uint64_t limit;
        const char *hex;
    } const cases[] = {
        {nullptr, 0, 0, UINT64_MAX, "0a000a000a000a000a000a000a000a00646174650a00444553430a000a00"},
        {"g1", 0, 0, UINT64_MAX, "67310a000a000a000a000a000a000a000a00646174650a00444553430a000a00"},
        {nullptr, 0, 0, 2, "0a000a000a000a000a000a000a000a00646174650a00444553430a00320a00"},
        {nullptr, 0, 0, 0, "0a000a000a000a000a000a000a000a00646174650a00444553430a00300a00"},
        {nullptr, 2, 0, UINT64_MAX, "0a000a000a000a000a000a000a000a0064617461320a00444553430a000a00"},
        {nullptr, 0, 1, UINT64_MAX, "0a000a000a000a000a000a000a000a00646174650a004153430a000a00"},
        {nullptr, 8, 1, 4294967296, "0a000a000a000a000a000a000a000a0064617461380a004153430a00343239343936373239360a00"},
    };
    for (const auto &c : cases) {
        CAPTURE(c.hex);
        gmpunchi_lobby_request request{}, got;
        request.filter[0] = c.filter1;
        request.sort_by = c.sort_by;
        request.descending = c.descending;
        request.limit = c.limit;
        const bytes wire = encoded([&](gmpunch_buffer *b) { return gmpunchi_encode_lobby_request(b, &request); });
        CHECK(wire == from_hex("6c6f626279320a00" + std::string(c.hex)));
        const std::vector<char> all = arguments(wire);
        gmpunchi_decode_lobby_request(all.data(), all.size(), &got);
        CHECK(std::string(got.filter[0]) == (c.filter1 ? c.filter1 : ""));
        for (size_t i = 1; i < 8; i++) CHECK(std::string(got.filter[i]).empty());
        CHECK(got.sort_by == c.sort_by);
        CHECK(got.descending == c.descending);
        CHECK(got.limit == c.limit);
    }
}

TEST_CASE("wire: lobby requests of others") {
    const auto decode = [](const std::string &sort_by, const std::string &direction, const std::string &limit) {
        const std::string all = "lobby2\n1\n2\n3\n4\n5\n6\n7\n8\n" + sort_by + "\n" + direction + "\n" + limit + "\n";
        const std::vector<char> strings = arguments(bytes(all.begin(), all.end()));
        gmpunchi_lobby_request got;
        gmpunchi_decode_lobby_request(strings.data(), strings.size(), &got);
        for (size_t i = 0; i < 8; i++) CHECK(std::string(got.filter[i]) == std::to_string(i + 1));
        for (const char *&filter : got.filter) filter = nullptr; // they end with this function
        return got;
    };
    struct {
        const char *text;
        uint64_t limit;
    } const limits[] = {{"0", 0}, {"1", 1}, {"00012", 12}, {"99999999999", 99999999999}};
    for (const auto &l : limits) CHECK_MESSAGE(decode("date", "ASC", l.text).limit == l.limit, l.text);
    for (const char *all : {"", "-1", "abc", "2.00", " 2", "2 ", "2x", "x", "+2", "0x2", "-"})
        CHECK_MESSAGE(decode("date", "ASC", all).limit == UINT64_MAX, all);
    for (const char *huge : {"18446744073709551615", "18446744073709551616", "184467440737095516170", "9999999999999999999"})
        CHECK_MESSAGE(decode("", "", huge).limit >= 99999999999, huge); // more than there are, whatever the number
    for (uint32_t i = 1; i <= 8; i++) CHECK(decode("data" + std::to_string(i), "", "").sort_by == i);
    for (const char *s : {"date", "", "data", "data0", "data9", "data10", "Data1", "data1 ", "ip"})
        CHECK(decode(s, "", "").sort_by == 0);
    CHECK(decode("", "ASC", "").descending == 1);
    for (const char *s : {"DESC", "", "asc", "ASC ", "ASCX", "x"}) CHECK(decode("", s, "").descending == 0);
    gmpunchi_lobby_request none;
    gmpunchi_decode_lobby_request(nullptr, 0, &none);
    CHECK((none.sort_by == 0 && none.descending == 0 && none.limit == UINT64_MAX));
    for (const char *filter : none.filter) CHECK(std::string(filter).empty());
}

// ---- answers of the master

TEST_CASE("wire: found and not found as recorded") {
    const gmpunch_address host = address("127.0.0.2:6611"), client = address("127.0.0.10:7001");
    CHECK(encoded([&](gmpunch_buffer *b) { return gmpunchi_encode_found(b, &host); }) ==
          from_hex("ff3132372e302e302e32003636313100"));
    CHECK(encoded([&](gmpunch_buffer *b) { return gmpunchi_encode_found(b, &client); }) ==
          from_hex("ff3132372e302e302e31300037303031") + bin("\0")); // the recorded master left out the last NUL
    CHECK(encoded(gmpunchi_encode_not_found) == from_hex("fe"));
    const gmpunch_address longest = address("[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535");
    const bytes wire = encoded([&](gmpunch_buffer *b) { return gmpunchi_encode_found(b, &longest); });
    CHECK(wire.size() <= GMPUNCHI_FOUND_MAX);
    reader r;
    r.read(wire);
    CHECK(r.heard == "found " + text(longest));
}

TEST_CASE("wire: the stream of answers, in all pieces") {
    const bytes host = from_hex("ff3132372e302e302e32003636313100"); // 127.0.0.2:6611
    const bytes java = from_hex("ff3132372e302e302e31300037303031"); // 127.0.0.10:7001, no NUL
    const std::string found = "found 127.0.0.2:6611", pushed = "found 127.0.0.10:7001";
    const auto ip_port = [](const std::string &ip, const std::string &port) {
        return bytes{0xff} + bytes(ip.begin(), ip.end()) + bin("\0") + bytes(port.begin(), port.end());
    };
    struct sample {
        bytes stream;
        std::string heard, at_end; // at the end: by silence, or when the connection ends
    };
    std::vector<sample> cases = {
        {host, found, ""},
        {java, "", pushed},
        {bin("\xfe"), "not found", ""},
        {host + host, found + ", " + found, ""},
        {java + java, pushed, pushed},
        {java + bin("\0") + java, pushed, pushed},
        {java + host + java, pushed + ", " + found, pushed},
        {java + bin("\xfe"), pushed + ", not found", ""},
        {bin("\xfe\xfe") + host + bin("\xfe"), "not found, not found, " + found + ", not found", ""},
        {bin("\0\0") + host + bin("\0\0\xfe\0"), found + ", not found", ""},
        {ip_port("2001:db8::1", "5") + bin("\0"), "found [2001:db8::1]:5", ""},
        {ip_port("::ffff:1.2.3.4", "5") + bin("\0"), "found 1.2.3.4:5", ""},
        {ip_port("1.2.3.4", "1") + bin("\0"), "found 1.2.3.4:1", ""},
        {ip_port("1.2.3.4", "65535") + bin("\0"), "found 1.2.3.4:65535", ""},
        {ip_port("1.2.3.4", "00080") + bin("\0"), "found 1.2.3.4:80", ""},
        {ip_port("1.2.3.4", "0") + bin("\0"), "portless 1.2.3.4", ""}, // how the deployed master says "unknown"
        {ip_port("1.2.3.4", "0"), "", "portless 1.2.3.4"},
        {ip_port("1.2.3.4", "65536"), "", "malformed"},
        {ip_port("1.2.3.4", ""), "", ""},
        {ip_port("1.2.3.4", "12x") + bin("\0"), "found 1.2.3.4:12, malformed", ""},
        {bin("abc") + java + bin("\xfe"), "malformed, " + pushed + ", not found", ""},
        {bin("\xf9[]\n"), "malformed", ""},
        {bytes(300, 0), "", ""},
    };
    for (const bytes &garbage : // and then an answer, which is heard
         {ip_port("1.2.3.4", "65536") + bin("\0"), ip_port("1.2.3.4", "99999"), ip_port("1.2.3.4", "123456") + bin("\0"),
          ip_port("1.2.3.4", "4294967297") + bin("\0"), ip_port("1.2.3.4", "") + bin("\0"), ip_port("1.2.3.4", ""),
          ip_port("1.2.3.4", "x") + bin("\0"), ip_port("1.2.3.4", "-1") + bin("\0"), ip_port("1.2.3.4", " 1") + bin("\0"),
          ip_port("", "7001"), ip_port("1.2.3", "7001"), ip_port("1.2.3.4:5", "7001"), ip_port("[::1]:5", "7001"),
          ip_port("example.org", "7001"), ip_port(std::string(51, '1'), "7001"), ip_port(std::string(52, '1'), "7001"),
          ip_port(std::string(53, '1'), "7001"), ip_port(std::string(300, '1'), "7001"), ip_port("1.2.\n3.4", "7001"),
          bin("\xff"), bin("\xff\xff\xff"), bin("\xff" "1.2.3.4"), bin("\xff\0\0"), bin("HTTP/1.1 400 Bad Request\r\n")})
        cases.push_back({garbage + host, "malformed, " + found, ""});
    for (const sample &c : cases) {
        CAPTURE(std::string(c.stream.begin(), c.stream.end()));
        each_split(c.stream, [&](const std::vector<bytes> &pieces) {
            reader r;
            for (const bytes &piece : pieces) r.read(piece);
            CHECK(r.heard == c.heard);
            CHECK(r.waits() == !c.at_end.empty());
            if (r.waits()) CHECK(r.uplink.answer_at == 1000 + r.uplink.moment_ms);
            CHECK(r.end() == c.at_end);
            CHECK_FALSE(r.waits());
            CHECK(r.end() == ""); // only once
        });
    }
}

TEST_CASE("wire: a truncated answer is none, but for a port without its end") {
    const bytes whole = bin("\xff" "127.0.0.2\0" "6611");
    const std::vector<std::string> ports = {"6", "66", "661", "6611"};
    for (size_t len = 0; len <= whole.size(); len++) {
        reader r;
        r.read(part(whole, 0, len));
        CHECK(r.heard == "");
        CHECK(r.waits() == (len > 11));
        CHECK(r.end() == (len > 11 ? "found 127.0.0.2:" + ports[len - 12] : ""));
    }
    reader r; // a byte that follows in time belongs to the port
    r.read(part(whole, 0, 13));
    CHECK(r.waits());
    r.read(part(whole, 13, whole.size()) + bin("\0"));
    CHECK_FALSE(r.waits());
    CHECK(r.heard == "found 127.0.0.2:6611");
}

TEST_CASE("wire: testing flag, testing infos and version") {
    const bytes on = encoded([](gmpunch_buffer *b) { return gmpunchi_encode_testing(b, 1); });
    const bytes off = encoded([](gmpunch_buffer *b) { return gmpunchi_encode_testing(b, 0); });
    CHECK((on == bin("\xf8\1") || on == bin("\xf8\1\n"))); // as recorded; an LF helps who reads a line
    CHECK((off == bin("\xf8\0") || off == bin("\xf8\0\n")));
    CHECK(encoded([](gmpunch_buffer *b) { return gmpunchi_encode_testing_infos(b, nullptr); }) == from_hex("f700"));
    CHECK(encoded([](gmpunch_buffer *b) { return gmpunchi_encode_testing_infos(b, "N1"); }) ==
          from_hex("f74e310a312e322e350a312e322e300a"));
    CHECK(encoded(gmpunchi_encode_version) == from_hex("f6312e322e350a"));
    const struct {
        bytes answer;
        int32_t flag;
        size_t used, end_below; // below so many bytes more are needed
        std::vector<std::string> lines;
    } cases[] = {
        {bin("\xf8\1"), 1, 2, 2, {}},
        {bin("\xf8\0"), 0, 2, 2, {}},
        {bin("\xf8\1\n"), 1, 3, 2, {}},
        {bin("\xf8\0\n"), 0, 3, 2, {}},
        {bin("\xf8\1\xf6"), 1, 2, 2, {}},
        {bin("\xf7\0"), 0, 2, 2, {}},
        {bin("\xf7N1\n1.2.5\n1.2.0\n"), 1, 16, 16, {"N1", "1.2.5", "1.2.0"}},
        {bin("\xf7\n\n\n\xfe"), 1, 4, 4, {"", "", ""}},
        {bin("\xf6" "1.2.5\n"), 1, 7, 7, {"1.2.5"}},
        {bin("\xf6" "1.2.5\n\xf8\1"), 1, 7, 7, {"1.2.5"}},
    };
    for (const auto &c : cases) {
        CAPTURE(std::string(c.answer.begin(), c.answer.end()));
        gmpunchi_text_answer got;
        for (size_t len = 0; len < c.end_below; len++)
            CHECK(gmpunchi_decode_text_answer(part(c.answer, 0, len).data(), len, &got) == GMPUNCH_ERR_END);
        REQUIRE(gmpunchi_decode_text_answer(c.answer.data(), c.answer.size(), &got) == GMPUNCH_OK);
        CHECK(got.id == c.answer[0]);
        CHECK(got.used == c.used);
        REQUIRE(got.lines == c.lines.size());
        if (got.id != 0xf6) CHECK(got.flag == c.flag);
        for (size_t i = 0; i < got.lines; i++) CHECK(std::string(got.line[i], got.line[i] + got.line_len[i]) == c.lines[i]);
    }
    for (const bytes &bad : {bin("\xf8\2"), bin("\xf8\n"), bin("\xf9[]\n"), bin("\xff\0\0"), bin("\xfe\n"), bin("abc\n")}) {
        gmpunchi_text_answer got;
        CHECK(gmpunchi_decode_text_answer(bad.data(), bad.size(), &got) == GMPUNCH_ERR_MALFORMED);
    }
}

TEST_CASE("wire: the master reads commands in all pieces") {
    const bytes version = from_hex("f6312e322e350a"), nothing = from_hex("f95b5d0a");
    bytes eleven, nine;
    for (int i = 0; i < 11; i++) eleven = eleven + bin("version\n\0");
    for (int i = 0; i < 8; i++) nine = nine + bin("version\n\0");
    const struct {
        bytes stream;
        size_t versions;
        bool lobby = false;
    } cases[] = {
        {bin("version"), 0},
        {bin("\0version\r\nversion\n\0version\n\0"), 3}, // as recorded
        {bin("foo\nversion\rversion\r\n\r\nping\n\0ver\0sion\n"), 3},
        {bin("lobby2\n\0") + eleven + bin("version\n\0"), 1, true},
        {bin("reg2\n\0" "1.2.4\n\0") + nine + bin("version\n\0"), 1},
    };
    for (const auto &c : cases) {
        CAPTURE(std::string(c.stream.begin(), c.stream.end()));
        bytes expected = c.lobby ? nothing : bytes();
        for (size_t i = 0; i < c.versions; i++) expected = expected + version;
        each_split(c.stream, [&](const std::vector<bytes> &pieces) {
            const gmpunch_master_config config{};
            const gmpunch_address from = address("192.0.2.1:1000");
            gmpunch_master *master = nullptr;
            gmpunch_transmit transmit;
            uint32_t connection = 0;
            bytes answers;
            REQUIRE(gmpunch_master_create(&config, 0, &master) == GMPUNCH_OK);
            REQUIRE(gmpunch_master_tcp_accepted(master, 0, &from, &connection) == GMPUNCH_OK);
            for (const bytes &piece : pieces) {
                CHECK(gmpunch_master_tcp_data(master, 0, connection, piece.data(), piece.size()) == GMPUNCH_OK);
                while (gmpunch_master_next_transmit(master, &transmit) > 0) {
                    CHECK(transmit.kind == GMPUNCH_TRANSMIT_TCP_SEND);
                    answers = answers + bytes(transmit.data, transmit.data + transmit.len);
                }
            }
            CHECK(answers == expected);
            gmpunch_master_close(master);
        });
    }
}

// ---- lobby lists

namespace {

// Recorded: three hosts, and one with all that is escaped.
const bytes three = bin(
    "\xf9[" R"({"ip":"127.0.0.2","data1":"g1","data2":"bravo","data3":"x","data4":"","data5":"","data6":"","data7":"",)"
    R"("data8":"","createdTime":1795332611},)"
    R"({"ip":"127.0.0.3","data1":"g1","data2":"alpha","data3":"y","data4":"","data5":"","data6":"","data7":"",)"
    R"("data8":"","createdTime":1795332613},)"
    R"({"ip":"127.0.0.4","data1":"g2","data2":"charlie","data3":"x","data4":"","data5":"","data6":"","data7":"",)"
    R"("data8":"","createdTime":1795332615})" "]\n");
const bytes escapes = bin(
    "\xf9" R"([{"ip":"127.0.0.2","data1":"x\u003c\u003e\u0026\u003d\u0027\"\\/y","data2":")" "\xc3\xa9\xe2\x82\xac" R"(",)"
    R"("data3":"abc","data4":"","data5":"","data6":"","data7":"","data8":"","createdTime":1795332633}])" "\n");

const struct {
    const char *ip;
    eight data;
    uint64_t created;
} hosts[] = {
    {"127.0.0.2", {{"g1", "bravo", "x", nullptr, nullptr, nullptr, nullptr, nullptr}}, 1795332611},
    {"127.0.0.3", {{"g1", "alpha", "y", "", "", "", "", ""}}, 1795332613},
    {"127.0.0.4", {{"g2", "charlie", "x", "", "", "", "", ""}}, 1795332615},
    {"127.0.0.2", {{"x<>&='\"\\/y", "\xc3\xa9\xe2\x82\xac", "abc", "", "", "", "", ""}}, 1795332633},
};
const std::string three_read = "127.0.0.2|g1|bravo|x||||||1795332611\n"
                               "127.0.0.3|g1|alpha|y||||||1795332613\n"
                               "127.0.0.4|g2|charlie|x||||||1795332615\n";
const std::string escapes_read = "127.0.0.2|x<>&='\"\\/y|\xc3\xa9\xe2\x82\xac|abc||||||1795332633\n";

// The list of some of them.
bytes lobby(size_t from, size_t to) {
    return encoded([=](gmpunch_buffer *b) {
        gmpunchi_encode_lobby_begin(b);
        for (size_t i = from; i < to; i++) {
            gmpunchi_lobby_entry entry{};
            entry.ip = address(hosts[i].ip, 6611); // the port is not told
            for (size_t j = 0; j < 8; j++) entry.data[j] = hosts[i].data.text[j];
            entry.created = hosts[i].created;
            gmpunchi_encode_lobby_entry(b, &entry, i == from);
        }
        return gmpunchi_encode_lobby_end(b);
    });
}

} // namespace

TEST_CASE("wire: lobby lists as recorded") {
    CHECK(lobby(0, 0) == from_hex("f95b5d0a"));
    CHECK(lobby(0, 3) == three);
    CHECK(lobby(3, 4) == escapes);
    CHECK(list(from_hex("f95b5d0a")).entries == "");
    CHECK(list(three).entries == three_read);
    CHECK(list(escapes).entries == escapes_read);
    CHECK(list(three).result == 0);
    CHECK(list(three).state == GMPUNCHI_LOBBY_DONE);
}

TEST_CASE("wire: a lobby list goes on where it was cut") {
    const struct {
        bytes answer;
        std::string entries;
    } cases[] = {{three, three_read}, {escapes, escapes_read}, {bin("\xf9[]\n"), ""}};
    for (const auto &c : cases) {
        for (size_t cut = 0; cut + 1 < c.answer.size(); cut++) { // the bracket ends it, with or without the LF
            CAPTURE(cut);
            listing some;
            some.read(c.answer, cut);
            CHECK(some.result == GMPUNCH_ERR_END);
            some.read(c.answer, c.answer.size());
            CHECK(some.result == 0);
            CHECK(some.entries == c.entries);
            CHECK(some.at == c.answer.size() - 1);
        }
    }
}

TEST_CASE("wire: lobby lists of others") {
    const int32_t bad = GMPUNCH_ERR_MALFORMED;
    struct sample {
        std::string json;
        int32_t result;
        std::string entries;
    };
    std::vector<sample> cases = {
        {R"( [ ] )", 0, ""},
        {R"([{"ip":"1.2.3.4"}])", 0, "1.2.3.4|||||||||0\n"},
        {R"( [ { "ip" : "2001:db8::1" , "data8" : "x" , "createdTime" : 5 } ] )", 0, "2001:db8::1||||||||x|5\n"},
        {R"([{"createdTime":1795332611.00,"data2":"b","data1":"a","ip":"1.2.3.4"}])", 0, "1.2.3.4|a|b|||||||1795332611\n"},
        {R"([{"color":"red","ip":"1.2.3.4","players":5,"data1":"a","data9":"no","data0":"no","data10":"no","":""}])", 0,
         "1.2.3.4|a||||||||0\n"},
        {R"([{"ip":"1.2.3.4"}]garbage)", 0, "1.2.3.4|||||||||0\n"},
        {R"([{"ip":"1.2.3.4"},])", bad, "1.2.3.4|||||||||0\n"},
        {R"([{"ip":"1.2.3.4"}{"ip":"1.2.3.5"}])", bad, "1.2.3.4|||||||||0\n"},
        {R"([{"ip":"1.2.3.4"};{"ip":"1.2.3.5"}])", bad, "1.2.3.4|||||||||0\n"},
    };
    for (const char *json :
         {R"({})", R"("text")", R"(])", R"([5])", R"([[]])", R"([{}])", R"([,{"ip":"1.2.3.4"}])", R"([{"ip":"1.2.3.4",}])",
          R"([{"ip" "1.2.3.4"}])", R"([{"ip":"1.2.3.4" "data1":"a"}])", R"([{ip:"1.2.3.4"}])", R"([{"data1":"no ip"}])",
          R"([{"ip":""}])", R"([{"ip":"1.2.3.4:5"}])", R"([{"ip":"example.org"}])", R"([{"ip":5}])",
          R"([{"ip":"1.2.3.4","data1":5}])", R"([{"ip":"1.2.3.4","data1":["a"]}])",
          R"([{"ip":"1.2.3.4","data1":{"a":"b"}}])", R"([{"ip":"1.2.3.4","createdTime":"5"}])",
          R"([{"ip":"1.2.3.4","createdTime":-5}])", R"([{"ip":"1.2.3.4","createdTime":5.5}])",
          R"([{"ip":"1.2.3.4","createdTime":}])",
          R"([{"ip":"1.2.3.4","createdTime":99999999999999999999}])", R"([{"ip":"1.2.3.4","other":[1}}])",
          R"([{"ip":"1.2.3.4","other":{"a" 1}}])", R"([{"ip":"1.2.3.4","other":{5:1}}])", R"([{"ip":"1.2.3.4","other":[1,]}])",
          R"([{"ip":"1.2.3.4","other":nul}])", R"([{"ip":"1.2.3.4","other":truee}])", R"([{"ip":"1.2.3.4","other":+1}])",
          R"([{"ip":"1.2.3.4","other":1.}])", R"([{"ip":"1.2.3.4","other":1e}])", R"([{"ip":"1.2.3.4","other":-}])",
          R"([{"ip":"1.2.3.4","other":[,1]}])", R"([{"ip":"1.2.3.4","other":}])"})
        cases.push_back({json, bad, ""});
    for (const char *value : {"[1]", R"({"a":1,"b":[{}]})", "null", "true", "false", "-0.5e+10", "1E9", "[ ]", R"("a\u0041")",
                              "[[[[[[[[]]]]]]]]", "99999999999999999999999999"})
        cases.push_back({R"([{"other":)" + std::string(value) + R"(,"ip":"1.2.3.4","data1":"a"}])", 0, "1.2.3.4|a||||||||0\n"});
    cases.push_back({R"([{"other":[[[[[[[[[]]]]]]]]],"ip":"1.2.3.4"}])", GMPUNCH_ERR_TOO_LONG, ""}); // too deep
    for (const sample &c : cases) {
        CAPTURE(c.json);
        const std::string answer = "\xf9" + c.json + "\n    ";
        const listing got = list(bytes(answer.begin(), answer.end()));
        CHECK(got.result == c.result);
        CHECK(got.entries == c.entries);
    }
    CHECK(list(bin("[]\n")).result == bad);
    CHECK(list(bin("\xf8[]\n")).result == bad);
    CHECK(list(bin("\xf9[]garbage")).at == 3);
}

TEST_CASE("wire: JSON strings are read") {
    const struct {
        std::string json, data;
    } good[] = {
        {R"("")", ""},
        {R"("\"\\\/\b\f\n\r\t")", "\"\\/\b\f\n\r\t"},
        {R"("\u0041\u00e9\u20AC\uFFFF\u007f")", "A\xc3\xa9\xe2\x82\xac\xef\xbf\xbf\x7f"},
        {R"("\ud83d\ude00\uD800\uDC00\udbff\udfff")", "\xf0\x9f\x98\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {R"("\u07ff\u0800\ud7ff\ue000")", "\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80"},
        {"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f"},
    };
    for (const auto &g : good) CHECK_MESSAGE(data_back(g.json) == g.data, g.json);
    const std::string bad[] = {
        R"(\u0000)", R"(\x)", R"(\a)", R"(\')", R"(\U0041)", R"(\u12g4)", R"(\u 041)", R"(\u041)", R"(\u-041)",
        R"(\ud83d)", R"(\ude00)", R"(\ud83d\ue000)", R"(\ud83dx)", R"(\ud83d\n)", R"(\ud83d\ud83d)", R"(\ud83d\u0041)",
        std::string("\\\0", 2), std::string("a\0b", 3), "a\nb", "a\tb", "\x01", "\x1f", "\x80", "\xc0\xaf",
        "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "\xc3", "\xe2\x82",
        "\xf0\x9f\x98",
    };
    for (const std::string &b : bad) CHECK_MESSAGE(data_back('"' + b + '"') == "error -500", b); // GMPUNCH_ERR_MALFORMED
}

TEST_CASE("wire: strings of a lobby list need their room") {
    bool fits = false;
    for (size_t room = 0; room < 100; room++) {
        const listing got = list(escapes, room);
        CHECK((got.result == 0 || got.result == GMPUNCH_ERR_TOO_LONG));
        CHECK((got.result == 0 || !fits)); // more room never hurts
        fits = got.result == 0;
        if (room < 21) CHECK_FALSE(fits); // the strings alone: 11 + 6 + 4 bytes with their NULs, and five empty ones
        CHECK(got.entries == (fits ? escapes_read : ""));
    }
    CHECK(fits);
}

TEST_CASE("wire: hostile strings become clean JSON and come back") {
    for (int c = 1; c < 128; c++) { // as they are, whatever they mean in JSON or HTML
        const std::string plain = std::string("a") + char(c) + "z", json = json_string(plain);
        CAPTURE(json);
        for (size_t i = 1; i + 1 < json.size(); i++) {
            CHECK(uint8_t(json[i]) >= 0x20);
            CHECK(strchr("<>&='", json[i]) == nullptr);
        }
        CHECK(data_back(json) == plain);
        if (c >= 0x20 && c < 0x7f && !strchr("<>&='\"\\", c)) CHECK(json == "\"" + plain + "\"");
    }
    CHECK(json_string("\\\"") == R"("\\\"")");
    CHECK(json_string("</a>") == R"("\u003c/a\u003e")");
    const struct {
        std::string broken, kept; // what is not replaced
    } cases[] = {
        {"\x80", ""}, {"\xbf\xbf", ""}, {"\xc0\xaf", ""}, {"\xc1\xbf", ""}, {"\xc3", ""}, {"\xc3(", "("},
        {"\xc3\xc3\xa9", "\xc3\xa9"}, {"\xe0\x80\xaf", ""}, {"\xe0\x9f\xbf", ""}, {"\xe2\x82", ""}, {"\xe2(\xa1", "("},
        {"\xed\xa0\x80", ""}, {"\xed\xbf\xbf", ""}, {"\xed\xa0\xbd\xed\xb8\x80", ""}, {"\xf0\x8f\xbf\xbf", ""},
        {"\xf0\x9f\x98", ""}, {"\xf0(\x8c\xbc", "("}, {"\xf0\x9f\"", "\""}, {"\xf4\x90\x80\x80", ""},
        {"\xf5\x80\x80\x80", ""}, {"\xf7\xbf\xbf\xbf", ""}, {"\xf8\x88\x80\x80\x80", ""},
        {"\xfc\x84\x80\x80\x80\x80", ""}, {"\xfe", ""}, {"\xff\xff", ""},
    };
    for (const auto &c : cases) {
        for (const char *behind : {"z", ""}) { // also at the very end
            std::string back = data_back(json_string("a" + c.broken + behind));
            CAPTURE(back);
            size_t replaced = 0;
            for (size_t at; (at = back.find(replacement)) != std::string::npos; replaced++) back.erase(at, 3);
            CHECK(replaced > 0);
            CHECK(back == "a" + c.kept + behind);
        }
    }
}

TEST_CASE("wire: UTF-8 is what RFC 3629 says") {
    int wrong = 0, dirty = 0;
    const char *const ends[] = {"", "\x7f", "\x80", "\xbf", "\xc0", "\x80\x7f", "\x80\x80", "\xbf\xbf", "\x80\xc0",
                                "\x80\xbf\xbf"};
    for (int first = 1; first < 256; first++) {
        for (int second = 0; second < 256; second++) {
            for (const char *end : ends) {
                std::string s(1, char(first));
                if (second) s += std::string(1, char(second)) + end;
                const bytes copy(s.begin(), s.end());
                uint32_t code;
                wrong += gmpunchi_utf8_len(copy.data(), copy.size(), &code) != utf8_character(s);
                uint8_t room[64];
                gmpunch_buffer out;
                gmpunch_buffer_init(&out, room, sizeof room, 1);
                dirty += gmpunchi_encode_json_string(&out, s.c_str()) != GMPUNCH_OK;
                for (size_t at = 0, step; at < out.used; at += step) {
                    step = utf8_character(std::string(room + at, room + out.used));
                    if (!step || room[at] < 0x20) {
                        dirty++;
                        break;
                    }
                }
            }
        }
    }
    CHECK(wrong == 0);
    CHECK(dirty == 0);
}
