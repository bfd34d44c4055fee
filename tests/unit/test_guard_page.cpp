// Memory that ends where reading and writing is forbidden: no parser looks past its input, no encoder writes past its room,
// and nothing of what comes out depends on what lies behind.
#include "vectors.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

#if !defined(_WIN32)
#include <sys/mman.h>
#endif

namespace {

// 64 KiB in front of a page that can't be touched.
class guard_page {
    static constexpr size_t size = 65536; // a multiple of every page size in use
    uint8_t *memory;

public:
#if defined(_WIN32)
    guard_page() {
        memory = static_cast<uint8_t *>(VirtualAlloc(nullptr, 2 * size, MEM_RESERVE, PAGE_NOACCESS));
        REQUIRE(memory);
        REQUIRE(VirtualAlloc(memory, size, MEM_COMMIT, PAGE_READWRITE));
    }
    ~guard_page() { VirtualFree(memory, 0, MEM_RELEASE); }
#else
    guard_page() {
        void *mapped = mmap(nullptr, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
        REQUIRE(mapped != MAP_FAILED);
        memory = static_cast<uint8_t *>(mapped);
        REQUIRE(mprotect(memory, size, PROT_READ | PROT_WRITE) == 0);
    }
    ~guard_page() { munmap(memory, 2 * size); }
#endif
    guard_page(const guard_page &) = delete;
    guard_page &operator=(const guard_page &) = delete;

    // The last bytes before the page.
    uint8_t *last(size_t len) {
        REQUIRE(len <= size);
        return memory + size - len;
    }
    uint8_t *put(const bytes &data) {
        uint8_t *place = last(data.size());
        std::copy(data.begin(), data.end(), place);
        return place;
    }
};

// Everything that was recorded, each once.
std::vector<bytes> inputs() {
    std::vector<bytes> out = {vectors::stage_knock()};
    for (const std::vector<vectors::trace> *traces : {&vectors::hosts, &vectors::clients, &vectors::lobbies})
        for (const vectors::trace &trace : *traces)
            for (const vectors::row &row : trace.rows)
                if (row.data.text) out.push_back(row.data());
    for (const vectors::message &message : vectors::messages) out.push_back(message.data());
    for (const std::vector<vectors::exchange> *exchanges : {&vectors::java_commands, &vectors::java_json})
        for (const vectors::exchange &exchange : *exchanges) {
            out.push_back(exchange.request());
            out.push_back(exchange.answer());
        }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

// What was found, to be compared. Pointers count as their distance from the input.
struct findings {
    const uint8_t *input;
    std::string text;

    findings &operator<<(int64_t value) {
        text += std::to_string(value) + " ";
        return *this;
    }
    findings &operator<<(const char *value) {
        text += std::string("\"") + value + "\" ";
        return *this;
    }
    void place(const void *at, size_t len) { *this << static_cast<const uint8_t *>(at) - input << int64_t(len); }
    void block(const void *data, size_t len) {
        *this << int64_t(len);
        text.append(static_cast<const char *>(data), len);
    }
};

using reader = std::function<void(const uint8_t *, size_t, findings &)>;

// Every input at every length, at the end of readable memory and, with the same result, between other bytes.
void read_everywhere(const char *what, const reader &read, const std::vector<bytes> &all = inputs()) {
    CAPTURE(std::string(what));
    guard_page guard;
    for (const bytes &whole : all) {
        for (size_t len = 0; len <= whole.size(); len++) {
            const bytes data(whole.begin(), whole.begin() + std::ptrdiff_t(len));
            const uint8_t *at = guard.put(data);
            findings at_end{at, ""};
            read(at, len, at_end);
            for (uint8_t behind : {uint8_t('7'), uint8_t(0xff)}) {
                const bytes longer = data + bytes(16, behind);
                findings between{longer.data(), ""};
                read(longer.data(), len, between);
                if (at_end.text != between.text) FAIL(std::string(data.begin(), data.end()));
            }
        }
    }
}

const char *const some_data[GMPUNCH_DATA_STRINGS] = {"",     "a", nullptr, "n\xc3\xa4me <&>", "\xff\xe2\x80\xa8",
                                                     "\"\\", "x", ""};

} // namespace

TEST_CASE("guard page: the readers of a buffer") {
    for (uint32_t alignment : {1u, 8u}) {
        auto with = [&](const std::function<void(gmpunch_buffer *, findings &)> &read) {
            return [=](const uint8_t *data, size_t len, findings &out) {
                gmpunch_buffer buffer;
                REQUIRE(gmpunch_buffer_init_read(&buffer, data, len, alignment) == GMPUNCH_OK);
                while (!buffer.error) {
                    size_t before = buffer.position;
                    read(&buffer, out);
                    if (buffer.position == before) break;
                }
                out << buffer.error << int64_t(buffer.position);
            };
        };
        read_everywhere("u8", with([](gmpunch_buffer *b, findings &out) { out << gmpunch_buffer_read_u8(b); }));
        read_everywhere("u32", with([](gmpunch_buffer *b, findings &out) { out << gmpunch_buffer_read_u32(b); }));
        read_everywhere("s64", with([](gmpunch_buffer *b, findings &out) { out << gmpunch_buffer_read_s64(b); }));
        read_everywhere("f16", with([](gmpunch_buffer *b, findings &out) {
                            float value = gmpunch_buffer_read_f16(b);
                            out.block(&value, sizeof value);
                        }));
        read_everywhere("f64", with([](gmpunch_buffer *b, findings &out) {
                            double value = gmpunch_buffer_read_f64(b);
                            out.block(&value, sizeof value);
                        }));
        read_everywhere("string", with([](gmpunch_buffer *b, findings &out) {
                            size_t len = 0;
                            int32_t terminated = 0;
                            const char *text = gmpunch_buffer_read_string(b, &len, &terminated);
                            out.block(text, len);
                            out << terminated;
                        }));
        read_everywhere("bytes", with([](gmpunch_buffer *b, findings &out) {
                            const uint8_t *three = gmpunch_buffer_read_bytes(b, 3);
                            if (three) out.place(three, 3);
                        }));
    }
}

TEST_CASE("guard page: datagrams and messages") {
    read_everywhere("datagram", [](const uint8_t *data, size_t len, findings &out) {
        for (uint32_t flags : {0u, uint32_t(GMPUNCH_DATAGRAM_ESCAPE)}) {
            const uint8_t *payload = nullptr;
            size_t payload_len = 0;
            int32_t raw = 0;
            out << gmpunch_datagram_decode(data, len, flags, &payload, &payload_len, &raw) << raw;
            out.place(payload, payload_len);
            out << gmpunchi_is_reserved(payload, payload_len, flags != 0, raw) << gmpunchi_decode_id(payload, payload_len);
            const char *strings[GMPUNCH_DATA_STRINGS];
            if (gmpunchi_decode_data(payload, payload_len, strings) == GMPUNCH_OK)
                for (const char *string : strings) out << string;
        }
    });
    read_everywhere("to the master", [](const uint8_t *data, size_t len, findings &out) {
        const char *line = reinterpret_cast<const char *>(data);
        out << gmpunchi_decode_master_datagram(data, len) << (gmpunchi_decode_command(line, len) != nullptr);
    });
    read_everywhere("answer", [](const uint8_t *data, size_t len, findings &out) {
        gmpunchi_answer answer{};
        for (size_t i = 0; i < len; i++) {
            int32_t again = 0;
            out << gmpunchi_decode_answer(&answer, data[i], &again) << again;
        }
        out << gmpunchi_decode_answer_end(&answer);
    });
    read_everywhere("answer of lines", [](const uint8_t *data, size_t len, findings &out) {
        gmpunchi_text_answer answer;
        out << gmpunchi_decode_text_answer(data, len, &answer) << answer.flag;
        for (uint32_t i = 0; i < answer.lines; i++) out.place(answer.line[i], answer.line_len[i]);
    });
    read_everywhere("UTF-8", [](const uint8_t *data, size_t len, findings &out) {
        uint32_t code = 0;
        for (size_t step = 1; len; data += step, len -= step) {
            step = std::max<size_t>(1, gmpunchi_utf8_len(data, len, &code));
            out << code;
        }
    });
}

TEST_CASE("guard page: a lobby list, its strings beside it or in place") {
    std::vector<bytes> lists = inputs();
    for (const char *more :
         {"\xf9[{\"ip\":\"1.2.3.4\",\"data8\":\"\\u00e4\\ud83d\\ude00\\n\xe2\x82\xac\",\"createdTime\":12.00}]\n",
          "\xf9 [ {\"ip\":\"::1\",\"x\":[true,false,null,{\"y\":-1.5e+10}],\"data1\":\"\"} , {\"ip\":\"5.6.7.8\"}]"})
        lists.push_back(bytes(more, more + std::strlen(more)));
    for (bool in_place : {false, true}) {
        read_everywhere(
            "lobby",
            [&](const uint8_t *data, size_t len, findings &out) {
                int32_t state = GMPUNCHI_LOBBY_BEGIN, result = 1;
                size_t used = 0;
                guard_page room;
                for (; result == 1; data += used, len -= used) {
                    gmpunchi_lobby_entry entry;
                    // in place: over a copy that ends with the page, too
                    const uint8_t *from = in_place ? room.put(bytes(data, data + len)) : data;
                    size_t text_size = in_place ? len : 24;
                    char *text = reinterpret_cast<char *>(room.last(text_size));
                    result = gmpunchi_decode_lobby(&state, from, len, &used, text, text_size, &entry);
                    out << result << int64_t(used) << state;
                    if (result != 1) break;
                    for (const char *string : entry.data) out << string;
                    out << int64_t(entry.created) << ::text(entry.ip).c_str();
                }
            },
            lists);
    }
}

TEST_CASE("guard page: texts that end with their NUL") {
    std::vector<bytes> texts = inputs();
    for (const char *more :
         {"1.2.3.4:65535", "[2001:db8::1.2.3.4%7]:80", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", "fe80::1%4294967295", "::1.2.3.",
          "[::1]:0", "master.example.org:6510", "1.2.3", "1.2.4.1000000", "data8", "ASC"})
        texts.push_back(bytes(more, more + std::strlen(more)));
    guard_page guard;
    for (const bytes &whole : texts) {
        for (size_t len = 0; len <= whole.size(); len++) {
            const bytes data = bytes(whole.begin(), whole.begin() + std::ptrdiff_t(len)) + bytes(1, 0);
            const char *at = reinterpret_cast<const char *>(guard.put(data));
            const std::string copy = at;
            gmpunch_address parsed[2];
            char name[2][GMPUNCHI_NAME_MAX];
            int64_t part[2][3];
            REQUIRE(gmpunch_address_parse(at, 1, &parsed[0]) == gmpunch_address_parse(copy.c_str(), 1, &parsed[1]));
            REQUIRE(std::memcmp(&parsed[0], &parsed[1], sizeof parsed[0]) == 0);
            const int32_t endpoint = gmpunchi_parse_endpoint(at, 1, &parsed[0], name[0]);
            REQUIRE(endpoint == gmpunchi_parse_endpoint(copy.c_str(), 1, &parsed[1], name[1]));
            if (endpoint == GMPUNCH_OK) REQUIRE(std::string(name[0]) == name[1]);
            REQUIRE(gmpunchi_decode_version(at, part[0]) == gmpunchi_decode_version(copy.c_str(), part[1]));
            REQUIRE(std::equal(part[0], part[0] + 3, part[1]));
            REQUIRE(gmpunchi_has_control(at) == gmpunchi_has_control(copy.c_str()));
            // the arguments of a command: strings one behind the other
            gmpunchi_registration registration;
            gmpunchi_lobby_request request[2];
            gmpunchi_decode_reg2(at, data.size(), &registration);
            for (const char *string : registration.data) REQUIRE(std::strlen(string) < data.size());
            const bytes more = data + bytes(20, 'z');
            gmpunchi_decode_lobby_request(at, data.size(), &request[0]);
            gmpunchi_decode_lobby_request(reinterpret_cast<const char *>(more.data()), data.size(), &request[1]);
            REQUIRE(request[0].limit == request[1].limit);
            REQUIRE(request[0].sort_by == request[1].sort_by);
        }
    }
}

TEST_CASE("guard page: encoders fill their room to the last byte, and need no more") {
    const gmpunch_address v4 = address("255.255.255.255:65535"),
                          v6 = address("[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535");
    gmpunchi_lobby_request request{};
    request.sort_by = 8;
    request.limit = UINT64_MAX - 1;
    gmpunchi_lobby_entry entry{};
    entry.ip = v6;
    entry.created = UINT64_MAX;
    for (int i = 0; i < GMPUNCH_DATA_STRINGS; i++) entry.data[i] = request.filter[i] = some_data[i];
    using encoder = std::function<int32_t(gmpunch_buffer *)>;
    const std::vector<std::pair<const char *, encoder>> encoders = {
        {"id", [](gmpunch_buffer *b) { return gmpunchi_encode_id(b, GMPUNCHI_ID_KNOCK); }},
        {"data", [](gmpunch_buffer *b) { return gmpunchi_encode_data(b, some_data); }},
        {"reg", gmpunchi_encode_reg},
        {"reg2", [](gmpunch_buffer *b) { return gmpunchi_encode_reg2(b, "1.2.4", some_data); }},
        {"ping", gmpunchi_encode_ping},
        {"announce", gmpunchi_encode_announce},
        {"connect", [&](gmpunch_buffer *b) { return gmpunchi_encode_connect(b, &v6); }},
        {"lobby request", [&](gmpunch_buffer *b) { return gmpunchi_encode_lobby_request(b, &request); }},
        {"found", [&](gmpunch_buffer *b) { return gmpunchi_encode_found(b, &v6); }},
        {"testing", [](gmpunch_buffer *b) { return gmpunchi_encode_testing(b, 1); }},
        {"testing infos", [](gmpunch_buffer *b) { return gmpunchi_encode_testing_infos(b, "name"); }},
        {"version", gmpunchi_encode_version},
        {"lobby entry", [&](gmpunch_buffer *b) { return gmpunchi_encode_lobby_entry(b, &entry, 0); }},
        {"values", [](gmpunch_buffer *b) {
             gmpunch_buffer_write_u8(b, 1), gmpunch_buffer_write_f16(b, 1), gmpunch_buffer_write_u32(b, 1);
             gmpunch_buffer_write_f64(b, 1), gmpunch_buffer_write_string(b, "x"), gmpunch_buffer_write_bytes(b, "yz", 2);
             return gmpunch_buffer_write_bool(b, 1);
         }}};
    guard_page guard;
    for (uint32_t alignment : {1u, 4u}) {
        for (const auto &encode : encoders) {
            CAPTURE(std::string(encode.first));
            bytes room(4096, 0);
            gmpunch_buffer out;
            gmpunch_buffer_init(&out, room.data(), room.size(), alignment);
            REQUIRE(encode.second(&out) == GMPUNCH_OK);
            const size_t full = out.used;
            for (size_t size = 0; size <= full; size++) {
                uint8_t *at = guard.put(bytes(size, 0));
                gmpunch_buffer_init(&out, at, size, alignment);
                REQUIRE(encode.second(&out) == (size < full ? GMPUNCH_ERR_TOO_LONG : GMPUNCH_OK));
                REQUIRE(out.used <= size);
                REQUIRE(std::equal(at, at + out.used, room.begin()));
            }
        }
    }
    for (const gmpunch_address *written : {&v4, &v6}) {
        const std::string whole = text(*written);
        for (size_t size = 1; size <= whole.size() + 1; size++) {
            char *at = reinterpret_cast<char *>(guard.last(size));
            REQUIRE(gmpunch_address_format(written, at, size) ==
                    (size <= whole.size() ? GMPUNCH_ERR_TOO_LONG : int32_t(whole.size())));
            REQUIRE(at == (size <= whole.size() ? std::string() : whole));
        }
    }
    for (uint32_t flags : {0u, uint32_t(GMPUNCH_DATAGRAM_RAW), uint32_t(GMPUNCH_DATAGRAM_ESCAPE)}) {
        const bytes payload = flags == uint32_t(GMPUNCH_DATAGRAM_ESCAPE) ? bin("\xfdxyz") : bin("xyz");
        uint8_t whole[64];
        const int32_t full = gmpunch_datagram_encode(whole, sizeof whole, payload.data(), payload.size(), flags);
        REQUIRE(full > 0);
        for (size_t size = 0; size <= size_t(full); size++) {
            uint8_t *at = guard.last(size);
            REQUIRE(gmpunch_datagram_encode(at, size, payload.data(), payload.size(), flags) ==
                    (size < size_t(full) ? GMPUNCH_ERR_TOO_LONG : full));
        }
        REQUIRE(std::equal(whole, whole + full, guard.last(size_t(full))));
    }
}

namespace {

// What a role does with an input: its result, what it then sends, and its events.
template <class object>
struct role {
    int32_t (*next_transmit)(object *, gmpunch_transmit *);
    int32_t (*next_event)(object *, gmpunch_event *);
    object *self = nullptr;
    uint32_t connection = 0; // the last that it asked for

    void drain(findings &out) {
        gmpunch_transmit t;
        while (next_transmit(self, &t) > 0) {
            if (t.kind == GMPUNCH_TRANSMIT_TCP_OPEN) connection = t.connection;
            out << t.kind << text(t.to).c_str();
            out.block(t.data, t.len);
        }
        gmpunch_event e;
        while (next_event(self, &e) > 0) {
            out << e.type << e.reason << text(e.address).c_str();
            for (uint32_t i = 1; i <= GMPUNCH_DATA_STRINGS; i++) out << gmpunch_event_string(&e, i);
        }
    }
};

const uint64_t start = 1000;

} // namespace

TEST_CASE("guard page: datagrams and answers to a client that lives in exactly its memory") {
    guard_page memory;
    auto with = [&](bool connected, bool over_tcp) {
        return [=, &memory](const uint8_t *data, size_t len, findings &out) {
            gmpunch_client_config config{};
            config.master = "203.0.113.1";
            config.server = "127.0.0.2";
            config.direct_port = 6611;
            config.direct_only = connected;
            config.ask_data = 1;
            config.memory_size = gmpunch_client_memory_size(&config, 0);
            config.memory = memory.last(config.memory_size);
            role<gmpunch_client> client{gmpunch_client_next_transmit, gmpunch_client_next_event};
            REQUIRE(gmpunch_client_create(&config, start, &client.self) == GMPUNCH_OK);
            client.drain(out);
            const gmpunch_address host = address("127.0.0.2:6611");
            const uint8_t welcome = GMPUNCHI_ID_WELCOME;
            if (connected) gmpunch_client_input_udp(client.self, start, &host, 0, &welcome, 1);
            client.drain(out);
            if (over_tcp) {
                REQUIRE(gmpunch_client_tcp_opened(client.self, start, client.connection) == GMPUNCH_OK);
                out << gmpunch_client_tcp_data(client.self, start, client.connection, data, len);
            } else {
                out << gmpunch_client_input_udp(client.self, start, &host, 0, data, len);
            }
            client.drain(out);
            gmpunch_client_tick(client.self, start + 5000);
            client.drain(out);
            gmpunch_client_close(client.self);
        };
    };
    read_everywhere("answer", with(false, true));
    read_everywhere("datagram", with(false, false));
    read_everywhere("datagram, connected", with(true, false));
}

TEST_CASE("guard page: datagrams and introductions to a host that lives in exactly its memory") {
    guard_page memory;
    auto with = [&](bool joined, bool over_tcp) {
        return [=, &memory](const uint8_t *data, size_t len, findings &out) {
            gmpunch_host_config config{};
            config.master = "203.0.113.1";
            config.max_peers = config.max_introductions = 2;
            std::copy(some_data, some_data + 2, config.data);
            config.memory_size = gmpunch_host_memory_size(&config, 0);
            config.memory = memory.last(config.memory_size);
            role<gmpunch_host> host{gmpunch_host_next_transmit, gmpunch_host_next_event};
            REQUIRE(gmpunch_host_create(&config, start, &host.self) == GMPUNCH_OK);
            host.drain(out);
            const gmpunch_address from = address("127.0.0.10:7001");
            const uint8_t knock = GMPUNCHI_ID_KNOCK;
            if (joined) gmpunch_host_input_udp(host.self, start, &from, 0, &knock, 1);
            host.drain(out);
            if (over_tcp) {
                REQUIRE(gmpunch_host_tcp_opened(host.self, start, host.connection) == GMPUNCH_OK);
                out << gmpunch_host_tcp_data(host.self, start, host.connection, data, len);
            } else {
                out << gmpunch_host_input_udp(host.self, start, &from, 0, data, len);
            }
            host.drain(out);
            gmpunch_host_tick(host.self, start + 1000);
            host.drain(out);
            gmpunch_host_close(host.self);
        };
    };
    read_everywhere("introduction", with(false, true));
    read_everywhere("datagram", with(false, false));
    read_everywhere("datagram of a peer", with(true, false));
}

TEST_CASE("guard page: lists to a lobby that lives in exactly its memory") {
    guard_page memory;
    read_everywhere("list", [&](const uint8_t *data, size_t len, findings &out) {
        gmpunch_lobby_config config{};
        config.master = "203.0.113.1";
        config.max_entry = 1024;
        config.filter[0] = config.filter[7] = "a filter of its length";
        config.sort_by = 8;
        config.limit = 4294967294u;
        config.memory_size = gmpunch_lobby_memory_size(&config, 0);
        config.memory = memory.last(config.memory_size);
        role<gmpunch_lobby> lobby{gmpunch_lobby_next_transmit, gmpunch_lobby_next_event};
        REQUIRE(gmpunch_lobby_create(&config, start, &lobby.self) == GMPUNCH_OK);
        lobby.drain(out);
        REQUIRE(gmpunch_lobby_tcp_opened(lobby.self, start, lobby.connection) == GMPUNCH_OK);
        lobby.drain(out); // the whole request
        if (out.text.find("4294967294\n") == out.text.npos) FAIL(out.text);
        for (size_t at = 0; at < len;) {
            int32_t taken = gmpunch_lobby_tcp_data(lobby.self, start, lobby.connection, data + at, len - at);
            out << taken;
            lobby.drain(out);
            if (taken <= 0) break;
            at += size_t(taken);
        }
        gmpunch_lobby_tcp_closed(lobby.self, start, lobby.connection, 0);
        lobby.drain(out);
        gmpunch_lobby_close(lobby.self);
    });
}

TEST_CASE("guard page: datagrams and commands to a master") {
    auto with = [](bool over_tcp) {
        return [=](const uint8_t *data, size_t len, findings &out) {
            gmpunch_master_config config{};
            config.max_connections = 4;
            role<gmpunch_master> master{gmpunch_master_next_transmit, gmpunch_master_next_event};
            REQUIRE(gmpunch_master_create(&config, start, &master.self) == GMPUNCH_OK);
            const gmpunch_address from = address("127.0.0.10:7001");
            if (over_tcp) {
                uint32_t id = 0;
                REQUIRE(gmpunch_master_tcp_accepted(master.self, start, &from, &id) == GMPUNCH_OK);
                out << gmpunch_master_tcp_data(master.self, start, id, data, len);
            } else {
                out << gmpunch_master_input_udp(master.self, start, &from, 0, data, len);
            }
            master.drain(out);
            gmpunch_master_tick(master.self, start + 5000);
            master.drain(out);
            gmpunch_master_close(master.self);
        };
    };
    read_everywhere("command", with(true));
    read_everywhere("datagram", with(false));
}
