// GameMaker buffers: what is written is where a model puts it, and is read back; what is read of anything stays inside.
#include "script.hpp"

#include <algorithm>

namespace {

enum : uint32_t { u8, s8, u16, s16, u32, s32, u64, s64, f16, f32, f64, boolean, string, text, raw, kinds };

struct value {
    uint32_t kind;
    uint64_t bits = 0; // of a number, as it is to be read back
    fuzz::bytes chars; // of a string
};

size_t size_of(const value &v) {
    static const size_t sizes[] = {1, 1, 2, 2, 4, 4, 8, 8, 2, 4, 8, 1};
    return v.kind < string ? sizes[v.kind] : v.chars.size() + (v.kind == string);
}

template <class to, class from>
to as(from value) {
    to made;
    static_assert(sizeof made == sizeof value, "the same bits");
    std::memcpy(&made, &value, sizeof made);
    return made;
}

double any_double(fuzz::script &in) {
    static const double some[] = {0,   -0.0,  1,   -1, 65504, 65519.99, 65520, 6.103515625e-5, 5.9604644775390625e-8,
                                  0.1, 1e308, 2049};
    uint32_t pick = in.below(16);
    if (pick < 12) return some[pick];
    uint64_t bits = 0;
    for (uint8_t byte : in.some(8)) bits = bits << 8 | byte;
    double made = as<double>(bits);
    return made == made ? made : 0; // which bits of a NaN survive is the machine's business
}

int32_t write(gmpunch_buffer &out, fuzz::script &in, value &v) {
    uint64_t bits = 0;
    v.kind = in.below(kinds);
    if (v.kind >= string) {
        v.chars = in.counted();
        if (v.kind != raw)
            for (uint8_t &c : v.chars) c = c ? c : uint8_t('0');
        fuzz::bytes ended = v.chars;
        ended.push_back(0);
        fuzz::exact held(ended);
        const char *chars = reinterpret_cast<const char *>(held.data());
        if (v.kind == string) return gmpunch_buffer_write_string(&out, chars);
        if (v.kind == text) return gmpunch_buffer_write_text(&out, chars);
        return gmpunch_buffer_write_bytes(&out, held.data(), v.chars.size());
    }
    if (v.kind >= f16 && v.kind <= f64) {
        double number = any_double(in);
        float narrow = number > 3e38 || number < -3e38 ? 1 : float(number);
        if (v.kind == f32) {
            v.bits = as<uint32_t>(narrow);
            return gmpunch_buffer_write_f32(&out, narrow);
        }
        v.bits = v.kind == f16 ? gmpunchi_half_from_double(number) : as<uint64_t>(number);
        return v.kind == f16 ? gmpunch_buffer_write_f16(&out, number) : gmpunch_buffer_write_f64(&out, number);
    }
    for (uint8_t byte : in.some(size_of(v))) bits = bits << 8 | byte;
    v.bits = v.kind == boolean ? bits != 0 : bits;
    switch (v.kind) {
    case u8: return gmpunch_buffer_write_u8(&out, uint8_t(bits));
    case s8: return gmpunch_buffer_write_s8(&out, int8_t(bits));
    case u16: return gmpunch_buffer_write_u16(&out, uint16_t(bits));
    case s16: return gmpunch_buffer_write_s16(&out, int16_t(bits));
    case u32: return gmpunch_buffer_write_u32(&out, uint32_t(bits));
    case s32: return gmpunch_buffer_write_s32(&out, int32_t(bits));
    case u64: return gmpunch_buffer_write_u64(&out, bits);
    case s64: return gmpunch_buffer_write_s64(&out, int64_t(bits));
    default: return gmpunch_buffer_write_bool(&out, int32_t(bits));
    }
}

// The bytes that a value should be, little-endian.
fuzz::bytes image(const value &v) {
    fuzz::bytes made = v.chars;
    if (v.kind >= string) {
        if (v.kind == string) made.push_back(0);
        return made;
    }
    for (size_t i = 0; i < size_of(v); i++) made.push_back(uint8_t(v.bits >> (8 * i)));
    return made;
}

uint64_t half_bits(float number) { return gmpunchi_half_from_double(double(number)); }

// Reads a number of a kind; of a string what is in it.
value read(gmpunch_buffer &in, uint32_t kind, size_t len) {
    value v;
    v.kind = kind;
    switch (kind) {
    case u8: v.bits = gmpunch_buffer_read_u8(&in); break;
    case s8: v.bits = uint8_t(gmpunch_buffer_read_s8(&in)); break;
    case u16: v.bits = gmpunch_buffer_read_u16(&in); break;
    case s16: v.bits = uint16_t(gmpunch_buffer_read_s16(&in)); break;
    case u32: v.bits = gmpunch_buffer_read_u32(&in); break;
    case s32: v.bits = uint32_t(gmpunch_buffer_read_s32(&in)); break;
    case u64: v.bits = gmpunch_buffer_read_u64(&in); break;
    case s64: v.bits = uint64_t(gmpunch_buffer_read_s64(&in)); break;
    case f16: v.bits = half_bits(gmpunch_buffer_read_f16(&in)); break;
    case f32: v.bits = as<uint32_t>(gmpunch_buffer_read_f32(&in)); break;
    case f64: v.bits = as<uint64_t>(gmpunch_buffer_read_f64(&in)); break;
    case boolean: v.bits = uint64_t(gmpunch_buffer_read_bool(&in)); break;
    case string: {
        int32_t ended;
        const char *chars = gmpunch_buffer_read_string(&in, &len, &ended);
        v.chars = fuzz::bytes(chars, chars + len);
        EXPECT(!in.error || (len == 0 && ended));
        EXPECT(!ended || chars[len] == 0);
        break;
    }
    default: { // a text has no end of its own
        const uint8_t *chars = gmpunch_buffer_read_bytes(&in, len);
        EXPECT(chars || in.error);
        if (chars) v.chars = fuzz::copy(chars, len);
    }
    }
    return v;
}

void check(const gmpunch_buffer &buffer) {
    EXPECT(buffer.position <= buffer.used && buffer.used <= buffer.size);
    EXPECT(buffer.limit == 0 || buffer.size <= buffer.limit);
}

// Writes values, with or without moving about, then reads all back.
void written(fuzz::script &in, uint8_t picks) {
    const uint32_t alignment = 1u << (picks >> 2 & 7);
    const bool grows = picks & 1, moves = picks & 2;
    const size_t size = in.word() & 4095u;
    fuzz::memory heap;
    heap.refuse = picks & 128 ? 8 : 0;
    const gmpunch_allocator allocator = heap.allocator();
    fuzz::exact place(fuzz::bytes(size, uint8_t(0xa5)));
    gmpunch_buffer buffer;
    int32_t started = grows ? gmpunch_buffer_init_grow(&buffer, &allocator, size, alignment)
                            : gmpunch_buffer_init(&buffer, place.data(), size, alignment);
    if (started) return;
    fuzz::bytes model(size, uint8_t(grows ? 0 : 0xa5));
    std::vector<value> values;
    size_t position = 0, used = 0;
    while (!in.done()) {
        if (moves && in.below(4) == 0) {
            size_t to = in.word();
            int32_t result = gmpunch_buffer_seek(&buffer, to);
            EXPECT((result == GMPUNCH_OK) == (to <= used));
            if (!result) position = to;
            continue;
        }
        value v;
        int32_t before = buffer.error, result = write(buffer, in, v);
        EXPECT(result == buffer.error && (!before || result == before));
        check(buffer);
        size_t at = (position + alignment - 1) / alignment * alignment, len = size_of(v);
        if (result) {
            EXPECT(before || result == GMPUNCH_ERR_MEMORY || at > size || len > size - at);
            EXPECT(result != GMPUNCH_ERR_MEMORY || heap.refuse);
            break;
        }
        EXPECT(at <= size && len <= size - at);
        fuzz::bytes whole = image(v);
        std::copy(whole.begin(), whole.end(), model.begin() + long(at));
        position = at + len;
        used = std::max(used, position);
        EXPECT(buffer.position == position && buffer.used == used);
        values.push_back(v);
    }
    EXPECT(fuzz::copy(buffer.data, buffer.used) == fuzz::bytes(model.begin(), model.begin() + long(used)));
    fuzz::exact all(buffer.data, buffer.used);
    gmpunch_buffer_free(&buffer);
    EXPECT(gmpunch_buffer_write_u8(&buffer, 1) == GMPUNCH_ERR_STATE);
    gmpunch_buffer back;
    EXPECT(gmpunch_buffer_init_read(&back, all.data(), all.size(), alignment) == GMPUNCH_OK);
    for (const value &v : values) {
        if (moves) break;
        EXPECT(image(read(back, v.kind, v.chars.size())) == image(v));
        EXPECT(!back.error);
        check(back);
    }
}

// Reads anything as anything.
void read_any(fuzz::script &in, uint8_t picks) {
    fuzz::bytes how = in.counted();
    fuzz::exact all(in.rest());
    gmpunch_buffer buffer;
    EXPECT(gmpunch_buffer_init_read(&buffer, all.data(), all.size(), 1u << (picks >> 2 & 7)) == GMPUNCH_OK);
    for (uint8_t byte : how) {
        size_t before = buffer.position;
        int32_t error = buffer.error;
        if (byte == 255) {
            EXPECT(gmpunch_buffer_seek(&buffer, buffer.used / 2) == GMPUNCH_OK);
            continue;
        }
        read(buffer, byte % kinds, byte / kinds);
        check(buffer);
        EXPECT(!error || (buffer.error == error && buffer.position == before));
    }
    EXPECT(gmpunch_buffer_write_u8(&buffer, 0) == (buffer.error ? buffer.error : int32_t(GMPUNCH_ERR_STATE)));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    fuzz::script in(data, len);
    uint8_t picks = in.byte();
    if (picks & 32) read_any(in, picks);
    else written(in, picks);
    return 0;
}
