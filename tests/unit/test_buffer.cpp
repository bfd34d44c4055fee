// GameMaker buffers: bytes, alignment, strings, growing, errors.
#include "gmpunch_internal.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <new>

namespace {

const double infinity = std::numeric_limits<double>::infinity();
const double not_a_number = std::numeric_limits<double>::quiet_NaN();

struct item {
    const char *name;
    bytes wire;
    std::function<int32_t(gmpunch_buffer *)> write;
    std::function<bool(gmpunch_buffer *)> reads_back;
    std::function<bool(gmpunch_buffer *)> reads_zero;
};

#define VALUE(type, value, hex)                                                                                            \
    {                                                                                                                      \
        #type " " #value, from_hex(hex), [](gmpunch_buffer *b) { return gmpunch_buffer_write_##type(b, value); },          \
            [](gmpunch_buffer *b) { return gmpunch_buffer_read_##type(b) == value; },                                      \
            [](gmpunch_buffer *b) { return gmpunch_buffer_read_##type(b) == 0; }                                           \
    }

const std::vector<item> &numbers() {
    static const std::vector<item> all = {
        VALUE(u8, 0, "00"), VALUE(u8, 255, "ff"),
        VALUE(s8, -1, "ff"), VALUE(s8, -128, "80"), VALUE(s8, 127, "7f"),
        VALUE(u16, 0x1234, "3412"), VALUE(u16, 65535, "ffff"),
        VALUE(s16, -2, "feff"), VALUE(s16, -32768, "0080"), VALUE(s16, 32767, "ff7f"),
        VALUE(u32, 0x12345678u, "78563412"), VALUE(u32, 4294967295u, "ffffffff"),
        VALUE(s32, -2, "feffffff"), VALUE(s32, INT32_MIN, "00000080"), VALUE(s32, 2147483647, "ffffff7f"),
        VALUE(u64, UINT64_C(0x0123456789abcdef), "efcdab8967452301"), VALUE(u64, UINT64_MAX, "ffffffffffffffff"),
        VALUE(s64, INT64_C(-2), "feffffffffffffff"), VALUE(s64, INT64_MIN, "0000000000000080"),
        VALUE(s64, INT64_MAX, "ffffffffffffff7f"),
        VALUE(f16, 1.0, "003c"), VALUE(f16, -2.0, "00c0"), VALUE(f16, 0.333251953125, "5535"),
        VALUE(f16, 65504.0, "ff7b"), VALUE(f16, -infinity, "00fc"), VALUE(f16, 1.0 / 16777216, "0100"),
        VALUE(f32, 1.0f, "0000803f"), VALUE(f32, 3.14159274f, "db0f4940"), VALUE(f32, -0.5f, "000000bf"),
        VALUE(f32, std::numeric_limits<float>::infinity(), "0000807f"),
        VALUE(f64, 1.0, "000000000000f03f"), VALUE(f64, -0.1, "9a9999999999b9bf"),
        VALUE(f64, 3.141592653589793, "182d4454fb210940"), VALUE(f64, -infinity, "000000000000f0ff"),
        VALUE(bool, 0, "00"), VALUE(bool, 1, "01"),
    };
    return all;
}

// The next string of the buffer, and whether a NUL ended it.
std::string read_string(gmpunch_buffer *buffer, bool *terminated = nullptr) {
    size_t len = 99;
    int32_t end = 99;
    const char *text = gmpunch_buffer_read_string(buffer, &len, &end);
    if (terminated) *terminated = end == 1;
    return std::string(text, len);
}

// Numbers, strings and bytes: all that can be written so that it reads back. Text has no end of its own: it's left out.
std::vector<item> everything() {
    std::vector<item> all = numbers();
    const auto never = [](gmpunch_buffer *) { return false; };
    all.push_back({"string", bin("\xc3\xa4\0"), [](gmpunch_buffer *b) { return gmpunch_buffer_write_string(b, "\xc3\xa4"); },
                   [](gmpunch_buffer *b) { return read_string(b) == "\xc3\xa4"; }, never});
    all.push_back({"empty string", bin("\0"), [](gmpunch_buffer *b) { return gmpunch_buffer_write_string(b, ""); },
                   [](gmpunch_buffer *b) { return read_string(b).empty(); }, never});
    all.push_back({"bytes", bin("\1\0\2"), [](gmpunch_buffer *b) { return gmpunch_buffer_write_bytes(b, "\1\0\2", 3); },
                   [](gmpunch_buffer *b) {
                       const uint8_t *data = gmpunch_buffer_read_bytes(b, 3);
                       return data && bytes(data, data + 3) == bin("\1\0\2");
                   },
                   [](gmpunch_buffer *b) { return gmpunch_buffer_read_bytes(b, 3) == nullptr; }});
    return all;
}

bytes used(const gmpunch_buffer &buffer) {
    return buffer.used ? bytes(buffer.data, buffer.data + buffer.used) : bytes();
}

// Counts, checks sizes, fills with rubbish, fails when told to.
struct counting {
    std::map<void *, size_t> live;
    std::vector<size_t> sizes;
    size_t fail_at = SIZE_MAX;
    bool wrong_size = false;

    gmpunch_allocator allocator() {
        gmpunch_allocator out = {alloc, release, this};
        return out;
    }
    static void *alloc(size_t size, void *user) {
        counting &self = *static_cast<counting *>(user);
        self.sizes.push_back(size);
        if (self.sizes.size() - 1 == self.fail_at || size > 1000000) return nullptr;
        void *memory = ::operator new(size);
        memset(memory, 0xaa, size);
        self.live[memory] = size;
        return memory;
    }
    static void release(void *memory, size_t size, void *user) {
        counting &self = *static_cast<counting *>(user);
        if (self.live[memory] != size) self.wrong_size = true;
        self.live.erase(memory);
        ::operator delete(memory);
    }
    bool balanced() const { return live.empty() && !wrong_size; }
};

double half_value(uint32_t half) {
    const int exponent = int(half >> 10 & 31), mantissa = int(half & 1023);
    const double size = exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
    return (half & 0x8000 ? -1 : 1) * (exponent == 31 ? infinity : size);
}

uint32_t to_half(double value) {
    uint8_t memory[2];
    gmpunch_buffer buffer;
    gmpunch_buffer_init(&buffer, memory, 2, 1);
    REQUIRE(gmpunch_buffer_write_f16(&buffer, value) == GMPUNCH_OK);
    return uint32_t(memory[0] | memory[1] << 8);
}

} // namespace

TEST_CASE("buffer: every type has GameMaker's bytes, both ways") {
    for (const item &value : everything()) {
        CAPTURE(value.name);
        bytes memory(value.wire.size());
        gmpunch_buffer buffer;
        REQUIRE(gmpunch_buffer_init(&buffer, memory.data(), memory.size(), 1) == GMPUNCH_OK);
        CHECK(value.write(&buffer) == GMPUNCH_OK);
        CHECK(memory == value.wire);
        CHECK(buffer.position == memory.size());
        gmpunch_buffer read;
        REQUIRE(gmpunch_buffer_init_read(&read, memory.data(), memory.size(), 1) == GMPUNCH_OK);
        CHECK(value.reads_back(&read));
        CHECK(read.position == memory.size());
        CHECK(read.error == GMPUNCH_OK);
    }
}

TEST_CASE("buffer: any byte but 00 is true, and true is 01") {
    bytes memory(3);
    gmpunch_buffer buffer;
    gmpunch_buffer_init(&buffer, memory.data(), 3, 1);
    for (int32_t value : {2, -1, INT32_MIN}) gmpunch_buffer_write_bool(&buffer, value);
    CHECK(memory == bin("\1\1\1"));
    for (uint32_t byte = 0; byte < 256; byte++) {
        memory[0] = uint8_t(byte);
        gmpunch_buffer_init_read(&buffer, memory.data(), 1, 1);
        CHECK(gmpunch_buffer_read_bool(&buffer) == (byte != 0));
    }
}

TEST_CASE("buffer: zero keeps its sign, NaN stays NaN") {
    bytes memory(14);
    gmpunch_buffer buffer;
    gmpunch_buffer_init(&buffer, memory.data(), 14, 1);
    gmpunch_buffer_write_f16(&buffer, -0.0);
    gmpunch_buffer_write_f32(&buffer, -0.0f);
    gmpunch_buffer_write_f64(&buffer, -0.0);
    CHECK(memory == from_hex("0080000000800000000000000080"));
    gmpunch_buffer_seek(&buffer, 0);
    CHECK(std::signbit(gmpunch_buffer_read_f16(&buffer)));
    CHECK(std::signbit(gmpunch_buffer_read_f32(&buffer)));
    CHECK(std::signbit(gmpunch_buffer_read_f64(&buffer)));
    gmpunch_buffer_seek(&buffer, 0);
    gmpunch_buffer_write_f16(&buffer, not_a_number);
    gmpunch_buffer_write_f32(&buffer, std::numeric_limits<float>::quiet_NaN());
    gmpunch_buffer_write_f64(&buffer, not_a_number);
    gmpunch_buffer_seek(&buffer, 0);
    CHECK(std::isnan(gmpunch_buffer_read_f16(&buffer)));
    CHECK(std::isnan(gmpunch_buffer_read_f32(&buffer)));
    CHECK(std::isnan(gmpunch_buffer_read_f64(&buffer)));
    const uint64_t low_bit = UINT64_C(0x7ff0000000000001); // a NaN whose mantissa is cut off must not become infinity
    double value;
    memcpy(&value, &low_bit, sizeof value);
    CHECK(((to_half(value) & 0x7c00) == 0x7c00 && to_half(value) & 0x3ff));
}

TEST_CASE("buffer: all half floats are exact") {
    int wrong_value = 0, wrong_back = 0, nans = 0;
    for (uint32_t half = 0; half < 65536; half++) {
        const uint8_t memory[2] = {uint8_t(half), uint8_t(half >> 8)};
        gmpunch_buffer buffer;
        gmpunch_buffer_init_read(&buffer, memory, 2, 1);
        const float value = gmpunch_buffer_read_f16(&buffer);
        if ((half & 0x7c00) == 0x7c00 && half & 1023) { // the payload may change, but not into infinity
            nans++;
            const uint32_t back = to_half(value);
            wrong_value += !std::isnan(value);
            wrong_back += (back & 0x7c00) != 0x7c00 || !(back & 1023);
            continue;
        }
        wrong_value += double(value) != half_value(half) || std::signbit(value) != (half >> 15 != 0);
        wrong_back += to_half(value) != half;
    }
    CHECK(nans == 2046);
    CHECK(wrong_value == 0);
    CHECK(wrong_back == 0);
}

TEST_CASE("buffer: half floats round to nearest, ties to even") {
    int wrong = 0;
    for (uint32_t half = 0; half < 0x7c00; half++) { // subnormals included; above 65504 the next would be 65536
        const double low = half_value(half), high = half == 0x7bff ? 65536 : half_value(half + 1);
        const double tie = (low + high) / 2;
        // The neighbours of a tie differ from it by less than a float can tell: rounding twice would go wrong.
        wrong += to_half(std::nextafter(tie, 0.0)) != half;
        wrong += to_half(std::nextafter(tie, infinity)) != half + 1;
        wrong += to_half(tie) != (half & 1 ? half + 1 : half);
        wrong += to_half(-tie) != (0x8000u | (half & 1 ? half + 1 : half));
    }
    CHECK(wrong == 0);
    for (double value : {65520.0, 65536.0, 1e5, 1e39, std::numeric_limits<double>::max(), infinity}) {
        CHECK(to_half(value) == 0x7c00);
        CHECK(to_half(-value) == 0xfc00);
    }
    const double least = 1.0 / 16777216; // 2^-24, the smallest half
    for (double value : {least / 2, least / 4, 1e-40, 1e-300, std::numeric_limits<double>::denorm_min()}) {
        CHECK(to_half(value) == 0);
        CHECK(to_half(-value) == 0x8000);
    }
}

TEST_CASE("buffer: strings end at a NUL or at the end of the used bytes") {
    const bytes data = bin("ab\0\0cd");
    gmpunch_buffer buffer;
    gmpunch_buffer_init_read(&buffer, data.data(), data.size(), 1);
    bool terminated;
    CHECK(read_string(&buffer, &terminated) == "ab");
    CHECK(terminated);
    CHECK(buffer.position == 3);
    CHECK(read_string(&buffer, &terminated) == "");
    CHECK(terminated);
    size_t len;
    CHECK(gmpunch_buffer_read_string(&buffer, &len, nullptr) == reinterpret_cast<const char *>(&data[4]));
    CHECK(len == 2);
    gmpunch_buffer_seek(&buffer, 4);
    CHECK(read_string(&buffer, &terminated) == "cd");
    CHECK_FALSE(terminated);
    CHECK(buffer.position == 6);
    CHECK(read_string(&buffer, &terminated) == "");
    CHECK_FALSE(terminated);
    CHECK(buffer.error == GMPUNCH_OK);
}

TEST_CASE("buffer: text has no NUL, and a read stays inside what was written") {
    bytes memory(8, 0xee);
    memory[6] = 0; // a NUL that nobody wrote
    gmpunch_buffer buffer;
    gmpunch_buffer_init(&buffer, memory.data(), memory.size(), 1);
    CHECK(gmpunch_buffer_write_text(&buffer, "") == GMPUNCH_OK);
    CHECK(buffer.position == 0);
    CHECK(gmpunch_buffer_write_text(&buffer, "abc") == GMPUNCH_OK);
    CHECK(used(buffer) == bin("abc"));
    CHECK(memory == bin("abc\xee\xee\xee\0\xee"));
    gmpunch_buffer_seek(&buffer, 1);
    bool terminated;
    CHECK(read_string(&buffer, &terminated) == "bc");
    CHECK_FALSE(terminated);
}

TEST_CASE("buffer: alignment is rounded up to a power of two") {
    bytes memory(1100);
    for (uint32_t alignment = 0; alignment <= 1024; alignment++) {
        gmpunch_buffer buffer;
        REQUIRE(gmpunch_buffer_init(&buffer, memory.data(), memory.size(), alignment) == GMPUNCH_OK);
        gmpunch_buffer_write_u8(&buffer, 1);
        gmpunch_buffer_write_u8(&buffer, 2);
        const size_t start = buffer.position - 1, least = alignment ? alignment : 1;
        if (start < least || start >= 2 * least || (start & (start - 1))) FAIL_CHECK(alignment << " starts at " << start);
        CHECK(buffer.alignment == start);
    }
    for (uint32_t alignment : {1025u, 2048u, UINT32_MAX}) {
        gmpunch_buffer buffer;
        CHECK(gmpunch_buffer_init(&buffer, memory.data(), memory.size(), alignment) == GMPUNCH_ERR_ARGUMENT);
        CHECK(gmpunch_buffer_write_u8(&buffer, 1) < 0);
    }
}

TEST_CASE("buffer: only the start of a value is aligned, padding keeps its content") {
    bytes memory(16, 0xee);
    gmpunch_buffer buffer;
    gmpunch_buffer_init(&buffer, memory.data(), memory.size(), 4);
    gmpunch_buffer_write_u8(&buffer, 1);
    CHECK(buffer.position == 1);
    gmpunch_buffer_write_string(&buffer, "ab");
    CHECK(buffer.position == 7);
    gmpunch_buffer_write_u16(&buffer, 0x0203);
    CHECK(buffer.position == 10);
    CHECK(memory == from_hex("01eeeeee616200ee0302eeeeeeeeeeee"));
    gmpunch_buffer_seek(&buffer, 1);
    CHECK(read_string(&buffer) == "ab");
    CHECK(gmpunch_buffer_read_u16(&buffer) == 0x0203);
    CHECK(buffer.position == 10);
}

TEST_CASE("buffer: all types in a row at every alignment") {
    const std::vector<item> all = everything();
    for (size_t alignment = 1; alignment <= 1024; alignment *= 2) {
        CAPTURE(alignment);
        bytes expected, kept;
        for (const item &value : all) { // what lies between values is 0 in grown buffers, else what was there
            while (expected.size() % alignment) {
                expected.push_back(0);
                kept.push_back(0xee);
            }
            expected = expected + value.wire;
            kept = kept + value.wire;
        }
        counting memory;
        const gmpunch_allocator allocator = memory.allocator();
        bytes fixed_memory(kept.size(), 0xee);
        gmpunch_buffer fixed, growing, read;
        REQUIRE(gmpunch_buffer_init(&fixed, fixed_memory.data(), fixed_memory.size(), uint32_t(alignment)) == GMPUNCH_OK);
        REQUIRE(gmpunch_buffer_init_grow(&growing, &allocator, 100000, uint32_t(alignment)) == GMPUNCH_OK);
        REQUIRE(gmpunch_buffer_init_read(&read, expected.data(), expected.size(), uint32_t(alignment)) == GMPUNCH_OK);
        for (const item &value : all) {
            CHECK(value.write(&fixed) == GMPUNCH_OK);
            CHECK(value.write(&growing) == GMPUNCH_OK);
        }
        CHECK(fixed_memory == kept);
        CHECK(used(growing) == expected);
        gmpunch_buffer_seek(&growing, 0);
        for (const item &value : all) {
            CAPTURE(value.name);
            CHECK(value.reads_back(&read));
            CHECK(value.reads_back(&growing));
        }
        CHECK(read.position == expected.size());
        gmpunch_buffer_free(&growing);
        CHECK(memory.balanced());
    }
}

TEST_CASE("buffer: a value that does not fit is not written, and the error stays") {
    for (const item &value : everything()) {
        for (size_t size = 0; size < value.wire.size(); size++) {
            CAPTURE(value.name);
            CAPTURE(size);
            bytes memory(size + 1, 0xee);
            gmpunch_buffer buffer;
            gmpunch_buffer_init(&buffer, memory.data(), memory.size(), 1);
            gmpunch_buffer_write_u8(&buffer, 0xee);
            CHECK(value.write(&buffer) == GMPUNCH_ERR_TOO_LONG);
            CHECK(buffer.position == 1);
            CHECK(buffer.used == 1);
            CHECK(gmpunch_buffer_write_u8(&buffer, 7) == GMPUNCH_ERR_TOO_LONG); // would fit
            CHECK(gmpunch_buffer_write_text(&buffer, "") == GMPUNCH_ERR_TOO_LONG);
            CHECK(gmpunch_buffer_write_text(&buffer, nullptr) == GMPUNCH_ERR_TOO_LONG); // the first error
            CHECK(memory == bytes(size + 1, 0xee));
            gmpunch_buffer_seek(&buffer, 0);
            CHECK(gmpunch_buffer_read_u8(&buffer) == 0); // holds EE
            CHECK(buffer.error == GMPUNCH_ERR_TOO_LONG);
        }
    }
}

TEST_CASE("buffer: reading past the end gives 0 from then on") {
    for (const item &value : everything()) {
        if (strstr(value.name, "string")) continue; // may end with the bytes
        for (size_t size = 0; size < value.wire.size(); size++) {
            CAPTURE(value.name);
            CAPTURE(size);
            const bytes memory(size + 1, 0xee);
            gmpunch_buffer buffer;
            gmpunch_buffer_init_read(&buffer, memory.data(), memory.size(), 1);
            CHECK(gmpunch_buffer_read_u8(&buffer) == 0xee);
            CHECK(value.reads_zero(&buffer));
            CHECK(buffer.error == GMPUNCH_ERR_END);
            CHECK(buffer.position == 1);
            CHECK(gmpunch_buffer_read_u8(&buffer) == 0);
            CHECK(read_string(&buffer) == "");
            CHECK(gmpunch_buffer_read_bytes(&buffer, 0) == nullptr);
            for (const item &other : numbers()) CHECK(other.reads_zero(&buffer));
            CHECK(buffer.position == 1);
            CHECK(buffer.error == GMPUNCH_ERR_END);
        }
    }
    const bytes memory(5, 0xee); // the padding ends behind the last byte
    gmpunch_buffer buffer;
    gmpunch_buffer_init_read(&buffer, memory.data(), memory.size(), 4);
    CHECK(gmpunch_buffer_read_u8(&buffer) == 0xee);
    CHECK(gmpunch_buffer_read_u8(&buffer) == 0xee);
    CHECK(gmpunch_buffer_read_u8(&buffer) == 0);
    CHECK(buffer.error == GMPUNCH_ERR_END);
    CHECK(buffer.position == 5);
}

TEST_CASE("buffer: bytes to read are never written") {
    const bytes memory(16, 0xee);
    for (const item &value : everything()) {
        CAPTURE(value.name);
        gmpunch_buffer buffer;
        gmpunch_buffer_init_read(&buffer, memory.data(), memory.size(), 1);
        CHECK(value.write(&buffer) == GMPUNCH_ERR_STATE);
        CHECK(buffer.error == GMPUNCH_ERR_STATE);
        CHECK(gmpunch_buffer_read_u8(&buffer) == 0);
        CHECK(memory == bytes(16, 0xee));
    }
}

TEST_CASE("buffer: seek goes anywhere in what is used") {
    bytes memory(8);
    gmpunch_buffer buffer;
    gmpunch_buffer_init(&buffer, memory.data(), memory.size(), 1);
    CHECK(gmpunch_buffer_seek(&buffer, 1) == GMPUNCH_ERR_END);
    gmpunch_buffer_write_u32(&buffer, 0x04030201);
    CHECK(gmpunch_buffer_seek(&buffer, 5) == GMPUNCH_ERR_END);
    CHECK(gmpunch_buffer_seek(&buffer, SIZE_MAX) == GMPUNCH_ERR_END);
    CHECK(buffer.position == 4);
    CHECK(gmpunch_buffer_seek(&buffer, 1) == GMPUNCH_OK);
    CHECK(gmpunch_buffer_write_u8(&buffer, 9) == GMPUNCH_OK);
    CHECK(buffer.position == 2);
    CHECK(used(buffer) == bin("\1\x09\3\4"));
    CHECK(gmpunch_buffer_seek(&buffer, 4) == GMPUNCH_OK);
    CHECK(gmpunch_buffer_read_u8(&buffer) == 0);
    CHECK(buffer.error == GMPUNCH_ERR_END);
}

TEST_CASE("buffer: grows by doubling up to its limit") {
    for (size_t limit : {1u, 2u, 63u, 64u, 65u, 100u, 1000u}) {
        CAPTURE(limit);
        counting memory;
        const gmpunch_allocator allocator = memory.allocator();
        gmpunch_buffer buffer;
        REQUIRE(gmpunch_buffer_init_grow(&buffer, &allocator, limit, 1) == GMPUNCH_OK);
        bytes expected;
        for (size_t i = 0; i < limit; i++) {
            expected.push_back(uint8_t(i * 7));
            REQUIRE(gmpunch_buffer_write_u8(&buffer, uint8_t(i * 7)) == GMPUNCH_OK);
        }
        CHECK(used(buffer) == expected);
        for (size_t i = 1; i < memory.sizes.size(); i++)
            CHECK(memory.sizes[i] == std::min(2 * memory.sizes[i - 1], limit));
        CHECK(memory.sizes.back() == buffer.size);
        CHECK(buffer.size <= limit);
        CHECK(memory.live.size() == 1);
        CHECK(gmpunch_buffer_write_u8(&buffer, 1) == GMPUNCH_ERR_TOO_LONG);
        CHECK(used(buffer) == expected);
        gmpunch_buffer_free(&buffer);
        CHECK(memory.balanced());
    }
}

TEST_CASE("buffer: without memory it keeps what it has") {
    for (size_t fail_at = 0; fail_at < 6; fail_at++) {
        CAPTURE(fail_at);
        counting memory;
        memory.fail_at = fail_at;
        const gmpunch_allocator allocator = memory.allocator();
        gmpunch_buffer buffer;
        gmpunch_buffer_init_grow(&buffer, &allocator, 100000, 1);
        uint32_t written = 0;
        while (gmpunch_buffer_write_u32(&buffer, written) == GMPUNCH_OK && written < 10000) written++;
        CHECK(buffer.error == GMPUNCH_ERR_MEMORY);
        CHECK(buffer.position == 4 * written);
        const size_t calls = memory.sizes.size();
        CHECK(gmpunch_buffer_write_u8(&buffer, 1) == GMPUNCH_ERR_MEMORY);
        CHECK(memory.sizes.size() == calls);
        gmpunch_buffer kept;
        gmpunch_buffer_init_read(&kept, buffer.data, buffer.used, 1);
        for (uint32_t i = 0; i < written; i++) CHECK(gmpunch_buffer_read_u32(&kept) == i);
        gmpunch_buffer_free(&buffer);
        CHECK(memory.balanced());
    }
}

TEST_CASE("buffer: free leaves an empty buffer and the caller's memory alone") {
    bytes memory(4, 0xee);
    gmpunch_buffer fixed, read, growing;
    gmpunch_buffer_init(&fixed, memory.data(), 4, 1);
    gmpunch_buffer_init_read(&read, memory.data(), 4, 1);
    gmpunch_buffer_init_grow(&growing, nullptr, 100, 1); // malloc and free
    CHECK(gmpunch_buffer_write_string(&growing, "some text") == GMPUNCH_OK);
    for (gmpunch_buffer *buffer : {&fixed, &read, &growing}) {
        for (int twice = 0; twice < 2; twice++) {
            gmpunch_buffer_free(buffer);
            CHECK(buffer->error == GMPUNCH_ERR_STATE);
            CHECK(buffer->used == 0);
            CHECK(buffer->size == 0);
            CHECK(buffer->position == 0);
            CHECK(gmpunch_buffer_write_u8(buffer, 1) == GMPUNCH_ERR_STATE);
            CHECK(gmpunch_buffer_read_u8(buffer) == 0);
        }
    }
    CHECK(memory == bytes(4, 0xee));
    gmpunch_buffer_free(nullptr);
}

TEST_CASE("buffer: NULL and missing arguments") {
    for (const item &value : everything()) {
        CAPTURE(value.name);
        CHECK(value.write(nullptr) == GMPUNCH_ERR_ARGUMENT);
    }
    for (const item &value : numbers()) CHECK(value.reads_zero(nullptr));
    CHECK(gmpunch_buffer_write_text(nullptr, "a") == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_buffer_read_bytes(nullptr, 1) == nullptr);
    CHECK(read_string(nullptr) == "");
    CHECK(gmpunch_buffer_seek(nullptr, 0) == GMPUNCH_ERR_ARGUMENT);

    bytes memory(4, 0xee);
    gmpunch_buffer buffer;
    CHECK(gmpunch_buffer_init(nullptr, memory.data(), 4, 1) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_buffer_init_read(nullptr, memory.data(), 4, 1) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_buffer_init_grow(nullptr, nullptr, 4, 1) == GMPUNCH_ERR_ARGUMENT);
    for (int kind = 0; kind < 4; kind++) { // a buffer whose init failed is as harmless as one with an error
        counting counter;
        gmpunch_allocator half = counter.allocator();
        if (kind == 2) half.alloc = nullptr;
        else half.free = nullptr;
        CHECK((kind == 0   ? gmpunch_buffer_init(&buffer, nullptr, 4, 1)
               : kind == 1 ? gmpunch_buffer_init_read(&buffer, nullptr, 4, 1)
                           : gmpunch_buffer_init_grow(&buffer, &half, 100, 1)) == GMPUNCH_ERR_ARGUMENT);
        CHECK(gmpunch_buffer_write_u8(&buffer, 1) == GMPUNCH_ERR_ARGUMENT);
        CHECK(gmpunch_buffer_read_u8(&buffer) == 0);
        gmpunch_buffer_free(&buffer);
        CHECK(counter.sizes.empty());
    }
    REQUIRE(gmpunch_buffer_init(&buffer, nullptr, 0, 1) == GMPUNCH_OK);
    CHECK(read_string(&buffer) == "");
    CHECK(gmpunch_buffer_write_bytes(&buffer, nullptr, 0) == GMPUNCH_OK);
    CHECK(gmpunch_buffer_write_u8(&buffer, 1) == GMPUNCH_ERR_TOO_LONG);

    for (int kind = 0; kind < 3; kind++) {
        gmpunch_buffer_init(&buffer, memory.data(), 4, 1);
        CHECK((kind == 0   ? gmpunch_buffer_write_string(&buffer, nullptr)
               : kind == 1 ? gmpunch_buffer_write_text(&buffer, nullptr)
                           : gmpunch_buffer_write_bytes(&buffer, nullptr, 1)) == GMPUNCH_ERR_ARGUMENT);
        CHECK(gmpunch_buffer_write_u8(&buffer, 1) == GMPUNCH_ERR_ARGUMENT); // a message without its text is none
        CHECK(buffer.position == 0);
    }
    gmpunch_buffer_init_read(&buffer, memory.data(), 4, 1);
    CHECK(std::string(gmpunch_buffer_read_string(&buffer, nullptr, nullptr)) == "");
    CHECK(buffer.position == 0);
}

TEST_CASE("buffer: sizes near SIZE_MAX do not wrap around") {
    volatile size_t huge = SIZE_MAX; // kept from the optimizer, which warns of such sizes
    const uint8_t byte = 0xee;
    gmpunch_buffer buffer;
    for (size_t back : {0u, 1u, 2u, 3u}) { // only one of these bytes exists: nothing may be read
        for (uint32_t alignment : {1u, 8u, 1024u}) {
            gmpunch_buffer_init_read(&buffer, &byte, huge, alignment);
            REQUIRE(gmpunch_buffer_seek(&buffer, huge - back) == GMPUNCH_OK);
            CHECK(gmpunch_buffer_read_u32(&buffer) == 0);
            CHECK(buffer.error == GMPUNCH_ERR_END);
            CHECK(buffer.position == huge - back);
        }
    }
    gmpunch_buffer_init_read(&buffer, &byte, 1, 1);
    CHECK(gmpunch_buffer_read_bytes(&buffer, huge) == nullptr);
    CHECK(buffer.error == GMPUNCH_ERR_END);
    uint8_t room[8] = {0};
    for (size_t len : {huge, huge - 1, huge / 2 + 2}) {
        CAPTURE(len);
        gmpunch_buffer_init(&buffer, room, sizeof room, 1);
        gmpunch_buffer_write_u16(&buffer, 1);
        CHECK(gmpunch_buffer_write_bytes(&buffer, &byte, len) == GMPUNCH_ERR_TOO_LONG);
        counting memory;
        const gmpunch_allocator allocator = memory.allocator();
        gmpunch_buffer_init_grow(&buffer, &allocator, huge, 4);
        CHECK(gmpunch_buffer_write_bytes(&buffer, &byte, len) == GMPUNCH_ERR_MEMORY); // asked for, not had
        CHECK(memory.sizes.back() >= len);
        gmpunch_buffer_init_grow(&buffer, &allocator, huge, 4);
        gmpunch_buffer_write_u16(&buffer, 1);
        const int32_t result = gmpunch_buffer_write_bytes(&buffer, &byte, len);
        CHECK(result == (len > huge - 4 ? GMPUNCH_ERR_TOO_LONG : GMPUNCH_ERR_MEMORY));
        CHECK(used(buffer) == bin("\1\0"));
        gmpunch_buffer_free(&buffer);
        CHECK(memory.balanced());
    }
}
