// The library, private to the file that includes this: tests reach its internal functions (gmpunchi_).
#ifndef GMPUNCH_TESTS_INTERNAL_HPP
#define GMPUNCH_TESTS_INTERNAL_HPP

#define GMPUNCH_STATIC
#define GMPUNCH_IMPLEMENTATION
#include "../../gmpunch.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using bytes = std::vector<uint8_t>;

// Bytes of a string literal, NULs included: bin("reg\n\0") is five bytes.
template <size_t N> bytes bin(const char (&text)[N]) {
    return bytes(text, text + N - 1);
}

inline bytes operator+(bytes a, const bytes &b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

// The payload with GameMaker's datagram header in front.
inline bytes with_header(const bytes &payload) {
    bytes out = {0xde, 0xc0, 0xad, 0xde, 12, 0, 0, 0};
    for (int i = 0; i < 4; i++) out.push_back(uint8_t(payload.size() >> (8 * i)));
    return out + payload;
}

inline bytes from_hex(const std::string &hex) {
    bytes out;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(uint8_t(std::stoul(hex.substr(i, 2), nullptr, 16)));
    return out;
}

inline gmpunch_address address(const char *text, uint16_t port = 0) {
    gmpunch_address parsed;
    REQUIRE_MESSAGE(gmpunch_address_parse(text, port, &parsed) == GMPUNCH_OK, text);
    return parsed;
}

inline std::string text(const gmpunch_address &parsed) {
    char out[GMPUNCH_ADDRESS_TEXT_SIZE];
    return gmpunch_address_format(&parsed, out, sizeof out) < 0 ? "none" : out;
}

#endif
