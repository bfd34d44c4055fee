// What all fuzzers share: the library private to the file, an input read as a script of operations, memory that is checked.
#ifndef GMPUNCH_TESTS_SCRIPT_HPP
#define GMPUNCH_TESTS_SCRIPT_HPP

#define GMPUNCH_STATIC
#define GMPUNCH_NO_SOCKETS
#define GMPUNCH_IMPLEMENTATION
#include "../../gmpunch.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

// Ends the program, which is how a fuzzer learns of a defect.
#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            std::abort(); \
        } \
    } while (0)

namespace fuzz {

using bytes = std::vector<uint8_t>;

// A copy without a byte to spare, so that AddressSanitizer sees the first one that is read beyond.
class exact {
public:
    exact(const void *from, size_t len) : memory(new uint8_t[len]), count(len) {
        if (len) std::memcpy(memory.get(), from, len);
    }
    explicit exact(const bytes &from) : exact(from.data(), from.size()) {}
    uint8_t *data() const { return memory.get(); }
    size_t size() const { return count; }

private:
    std::unique_ptr<uint8_t[]> memory;
    size_t count;
};

// Reads what a machine points at, so that a sanitizer sees it if it is not there.
inline bytes copy(const uint8_t *data, size_t len) {
    EXPECT(data || !len);
    return len ? bytes(data, data + len) : bytes();
}

// An allocator that counts, refuses beyond a limit or as it is told, and knows the size of each block.
class memory {
public:
    size_t used = 0, limit = SIZE_MAX;
    uint32_t refuse = 0; // one of so many, 0: none

    memory() = default;
    memory(const memory &) = delete;
    memory &operator=(const memory &) = delete;
    ~memory() { EXPECT(used == 0 && blocks.empty()); }

    gmpunch_allocator allocator() {
        gmpunch_allocator made;
        made.alloc = [](size_t size, void *user) { return static_cast<memory *>(user)->take(size); };
        made.free = [](void *block, size_t size, void *user) { static_cast<memory *>(user)->give(block, size); };
        made.user = this;
        return made;
    }

private:
    std::map<void *, size_t> blocks;
    uint32_t random = 1;

    void *take(size_t size) {
        random = random * 1103515245u + 12345u;
        if (size > limit - used || (refuse && (random >> 16) % refuse == 0)) return nullptr;
        void *block = std::malloc(size);
        EXPECT(block);
        std::memset(block, 0xa5, size);
        blocks[block] = size;
        used += size;
        return block;
    }
    void give(void *block, size_t size) {
        auto found = blocks.find(block);
        EXPECT(found != blocks.end() && found->second == size);
        blocks.erase(found);
        used -= size;
        std::free(block);
    }
};

inline gmpunch_address address(const char *text, uint16_t port = 0) {
    gmpunch_address parsed;
    EXPECT(gmpunch_address_parse(text, port, &parsed) == GMPUNCH_OK);
    return parsed;
}

inline std::string text(const gmpunch_address &from) {
    char out[GMPUNCH_ADDRESS_TEXT_SIZE];
    int32_t len = gmpunch_address_format(&from, out, sizeof out);
    EXPECT(len < 0 || std::strlen(out) == size_t(len));
    return len < 0 ? "none" : out;
}

// Writes with the library's encoders: encoded([&](gmpunch_buffer *out) { gmpunchi_encode_reg(out); }).
template <class F>
bytes encoded(F write) {
    gmpunch_buffer out;
    EXPECT(gmpunch_buffer_init_grow(&out, nullptr, size_t(1) << 20, 1) == GMPUNCH_OK);
    write(&out);
    EXPECT(out.error == GMPUNCH_OK);
    bytes made = copy(out.data, out.used);
    gmpunch_buffer_free(&out);
    return made;
}

// The input of a fuzzer, read from the front. Past its end all is 0.
class script {
public:
    script(const uint8_t *data, size_t len) : at(data), end(data + len) {}
    bool done() const { return at == end; }
    uint8_t byte() { return done() ? uint8_t(0) : *at++; }
    uint32_t below(uint32_t count) { return byte() % count; }
    uint16_t word() {
        uint8_t low = byte();
        return uint16_t(low | byte() << 8);
    }
    bytes some(size_t len) {
        if (len > size_t(end - at)) len = size_t(end - at);
        at += len;
        return bytes(at - len, at);
    }
    bytes rest() { return some(size_t(end - at)); }
    // Up to 255 bytes, counted by the first.
    bytes counted() { return some(byte()); }
    // A text for an argument of the library: no NUL in it.
    std::string string() {
        std::string made;
        for (uint8_t c : counted())
            if (c) made += char(c);
        return made;
    }

    // Milliseconds, from none to half a year.
    uint64_t pause() {
        uint64_t value = byte();
        switch (value & 3) {
        case 0: return value >> 2;
        case 1: return (value >> 2) * 25;
        case 2: return (value >> 2) * 1000;
        default: return uint64_t(1) << (value >> 3);
        }
    }
    // For a config: mostly the default.
    uint32_t setting(uint32_t most) {
        uint8_t value = byte();
        return value < 128 ? 0 : value == 255 ? most : 1 + (value - 128u) % most;
    }
    uint32_t duration() {
        uint8_t value = byte();
        if (value < 128) return 0;
        return value == 255 ? GMPUNCH_NEVER : value < 192 ? value - 127u : (value - 191u) * 500;
    }

    // Somebody's address, good or not.
    gmpunch_address address() {
        static const char *const ips[] = {"192.0.2.1",
                                          "192.0.2.2",
                                          "198.51.100.3",
                                          "2001:db8::4",
                                          "::ffff:192.0.2.1",
                                          "203.0.113.1",
                                          "fe80::1%2",
                                          "255.255.255.255",
                                          "224.0.0.1",
                                          "127.0.0.1",
                                          "0.0.0.0",
                                          "ff02::1",
                                          "::",
                                          "::1",
                                          "240.0.0.1",
                                          "2001:db8::4:4",
                                          "10.0.0.1"};
        static const uint16_t ports[] = {7000, 7001, 7002, 6510, 0, 53, 65535, 1};
        uint8_t picks = byte();
        gmpunch_address made;
        if (picks == 255) { // as no system would give it
            bytes raw = some(sizeof made);
            raw.resize(sizeof made);
            std::memcpy(&made, raw.data(), sizeof made);
            return made;
        }
        uint32_t ip = picks & 7; // the first are the usual ones
        if (ip == 7) ip = below(uint32_t(sizeof ips / sizeof *ips));
        return fuzz::address(ips[ip], ports[picks >> 3 & 7]);
    }

    // A datagram: a message of the protocol, an altered one, or anything.
    bytes datagram() {
        uint8_t picks = byte();
        bytes payload = message(picks & 15);
        if (picks & 16) alter(payload);
        if (picks & 32) return payload;
        uint8_t header[GMPUNCH_DATAGRAM_HEADER_SIZE];
        gmpunchi_encode_datagram_header(header, payload.size() + ((picks & 0xe0) == 0xc0 ? byte() : 0u));
        payload.insert(payload.begin(), header, header + sizeof header);
        return payload;
    }

    // What a connection carries: one or more messages, or anything.
    bytes stream(uint32_t first, uint32_t kinds) {
        uint8_t picks = byte();
        bytes made;
        for (uint32_t left = 1 + (picks >> 6); left > 0; left--) {
            bytes more = message(first + (picks & 31) % kinds);
            made.insert(made.end(), more.begin(), more.end());
            if (left > 1) picks = byte();
        }
        if (picks & 32) alter(made);
        return made;
    }
    bytes to_master() { return stream(5, 11); }
    bytes from_master() { return stream(16, 8); }

    // A lobby list of hosts, with strings of the script.
    bytes list() {
        uint32_t count = below(4);
        return encoded([&](gmpunch_buffer *out) {
            gmpunchi_encode_lobby_begin(out);
            for (uint32_t i = 0; i < count; i++) {
                gmpunchi_lobby_entry entry = gmpunchi_lobby_entry();
                std::string first = string(), second = string();
                entry.ip = fuzz::address(i ? "192.0.2.2" : "2001:db8::4");
                entry.data[0] = first.c_str();
                entry.data[7] = second.c_str();
                entry.created = byte();
                gmpunchi_encode_lobby_entry(out, &entry, i == 0);
            }
            gmpunchi_encode_lobby_end(out);
        });
    }

private:
    const uint8_t *at, *end;

    void alter(bytes &data) {
        if (data.empty()) return;
        size_t place = word() % data.size();
        switch (below(4)) {
        case 0: data[place] = byte(); break;
        case 1: data.resize(place); break;
        case 2: data.insert(data.begin() + long(place), byte()); break;
        default: data.erase(data.begin() + long(place));
        }
    }

    // 0 to 4: over UDP. 5 to 15: to a master. 16 to 23: from a master. 4, 15 and 23 are anything.
    bytes message(uint32_t kind) {
        const char *data[GMPUNCH_DATA_STRINGS] = {nullptr};
        std::string first, second;
        switch (kind) {
        case 0: return {GMPUNCHI_ID_KNOCK};
        case 1: return {GMPUNCHI_ID_WELCOME};
        case 2: return {GMPUNCHI_ID_DATA_REQUEST};
        case 3:
            first = string();
            data[below(GMPUNCH_DATA_STRINGS)] = first.c_str();
            return encoded([&](gmpunch_buffer *out) { gmpunchi_encode_data(out, data); });
        case 5: return encoded([](gmpunch_buffer *out) { gmpunchi_encode_reg(out); });
        case 6:
        case 7:
            first = printable(string());
            second = printable(string());
            data[0] = first.c_str();
            data[below(GMPUNCH_DATA_STRINGS)] = second.c_str();
            return encoded([&](gmpunch_buffer *out) { gmpunchi_encode_reg2(out, kind == 6 ? "1.2.4" : "1.1.9", data); });
        case 8: return encoded([](gmpunch_buffer *out) { gmpunchi_encode_announce(out); });
        case 9: {
            gmpunch_address target = address();
            return encoded([&](gmpunch_buffer *out) { gmpunchi_encode_connect(out, &target); });
        }
        case 10: return encoded([](gmpunch_buffer *out) { gmpunchi_encode_ping(out); });
        case 11:
        case 12: {
            gmpunchi_lobby_request request = gmpunchi_lobby_request();
            uint8_t picks = byte();
            first = printable(string());
            request.filter[0] = kind == 11 ? first.c_str() : "";
            request.sort_by = picks % 9;
            request.descending = picks >> 4 & 1;
            request.limit = picks & 32 ? byte() : UINT64_MAX;
            return encoded([&](gmpunch_buffer *out) { gmpunchi_encode_lobby_request(out, &request); });
        }
        case 13: return line("istesting");
        case 14: return line(byte() & 1 ? "testinginfos" : "version");
        case 16:
        case 17: {
            gmpunch_address found = address();
            bytes made = encoded([&](gmpunch_buffer *out) { gmpunchi_encode_found(out, &found); });
            if (kind == 17) made.pop_back(); // as the deployed master
            return made;
        }
        case 18: return {GMPUNCHI_ID_NOT_FOUND};
        case 19: return list();
        case 20: return encoded([&](gmpunch_buffer *out) { gmpunchi_encode_testing(out, byte() & 1); });
        case 21: return encoded([](gmpunch_buffer *out) { gmpunchi_encode_version(out); });
        case 22: {
            gmpunch_address found = fuzz::address("198.51.100.3", uint16_t(7000 + byte()));
            return encoded([&](gmpunch_buffer *out) { gmpunchi_encode_found(out, &found); });
        }
        default: return counted();
        }
    }

    static bytes line(const char *word) {
        return encoded([=](gmpunch_buffer *out) { gmpunchi_encode_line(out, word); });
    }
    static std::string printable(std::string from) {
        for (char &c : from)
            if (uint8_t(c) < 0x20 || c == 0x7f) c = ' ';
        return from;
    }
};

} // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
