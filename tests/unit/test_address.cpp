// Addresses: texts of IPv4 and IPv6 both ways, comparing, hashing.
#include "gmpunch_internal.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <sstream>
#if defined(__GLIBC__)
#include <arpa/inet.h>
#endif

namespace {

// Parses a copy that ends with its NUL, so that a sanitizer sees each byte read behind it.
int32_t parse(const std::string &text, gmpunch_address *out, uint16_t port = 0) {
    const std::vector<char> copy(text.c_str(), text.c_str() + text.size() + 1);
    return gmpunch_address_parse(copy.data(), port, out);
}

gmpunch_address ipv6(const std::array<uint16_t, 8> &groups, uint16_t port = 0, uint32_t scope_id = 0) {
    gmpunch_address out;
    memset(&out, 0, sizeof out);
    out.family = 6;
    out.port = port;
    out.scope_id = scope_id;
    for (size_t i = 0; i < 16; i++) out.ip[i] = uint8_t(groups[i / 2] >> (i % 2 ? 0 : 8));
    return out;
}

// RFC 5952 4, the slow way: of all runs of two or more zero groups the longest, the first of equals.
std::string expected_text(const std::array<uint16_t, 8> &groups) {
    size_t best = 0, best_len = 0;
    for (size_t len = 8; len >= 2 && !best_len; len--)
        for (size_t at = 0; at + len <= 8 && !best_len; at++)
            if (std::all_of(&groups[0] + at, &groups[0] + at + len, [](uint16_t group) { return group == 0; })) {
                best = at;
                best_len = len;
            }
    std::ostringstream out;
    out << std::hex;
    for (size_t i = 0; i < 8; i++) {
        if (best_len && i == best) out << "::";
        if (best_len && i >= best && i < best + best_len) continue;
        if (i && !(best_len && i == best + best_len)) out << ':';
        out << groups[i];
    }
    return out.str();
}

struct sample {
    const char *text, *canonical;
};

const sample good[] = {
    {"1.2.3.4", "1.2.3.4"},
    {"0.0.0.0", "0.0.0.0"},
    {"255.255.255.255", "255.255.255.255"},
    {"1.2.3.4:1", "1.2.3.4:1"},
    {"1.2.3.4:65535", "1.2.3.4:65535"},
    {"::", "::"},
    {"::1", "::1"},
    {"1::", "1::"},
    {"[::]", "::"},
    {"[::1]:6510", "[::1]:6510"},
    {"[2001:db8::1]:5", "[2001:db8::1]:5"},
    // RFC 4291 2.2
    {"ABCD:EF01:2345:6789:ABCD:EF01:2345:6789", "abcd:ef01:2345:6789:abcd:ef01:2345:6789"},
    {"2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"},
    {"FF01:0:0:0:0:0:0:101", "ff01::101"},
    {"0:0:0:0:0:0:0:1", "::1"},
    {"0:0:0:0:0:0:0:0", "::"},
    {"0:0:0:0:0:0:13.1.68.3", "::d01:4403"},
    {"::13.1.68.3", "::d01:4403"},
    {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
    {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
    {"1:2:3:4:5::1.2.3.4", "1:2:3:4:5:0:102:304"},
    {"1::1.2.3.4", "1::102:304"},
    // RFC 5952 1 to 4: leading zeros, case, one group of zeros, the longest run, the first of equal ones
    {"2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"},
    {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
    {"2001:db8::1:0:0:1", "2001:db8::1:0:0:1"},
    {"2001:db8:0:0:1::1", "2001:db8::1:0:0:1"},
    {"2001:DB8::AAAA:0:0:1", "2001:db8::aaaa:0:0:1"},
    {"2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
    {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
    {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
    {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
    {"1:0:0:4:5:6::", "1::4:5:6:0:0"},
    // mapped: IPv4 in every way of writing it
    {"::ffff:1.2.3.4", "1.2.3.4"},
    {"::FFFF:102:304", "1.2.3.4"},
    {"0:0:0:0:0:ffff:1.2.3.4", "1.2.3.4"},
    {"[::ffff:1.2.3.4]:5", "1.2.3.4:5"},
    {"::ffff:0:1.2.3.4", "::ffff:0:102:304"}, // translated, not mapped (RFC 2765)
    {"::fffe:1.2.3.4", "::fffe:102:304"},
    {"1::ffff:1.2.3.4", "1::ffff:102:304"},
    // scopes are numbers
    {"fe80::1%2", "fe80::1%2"},
    {"[fe80::1%4294967295]:65535", "[fe80::1%4294967295]:65535"},
    {"fe80::1%0", "fe80::1"},
};

const char *const bad[] = {
    "", " ", ".", ":", "[", "]", "[]", "%", "localhost", "example.org:80", "1", "1.2", "1.2.3", "1.2.3.", "1.2.3.4.",
    ".1.2.3.4", "1.2.3.4.5", "1..2.3", "256.1.1.1", "1.256.1.1", "1.1.1.256", "1.2.3.1000", "1.2.3.4294967297",
    "01.2.3.4", "1.2.3.04", "00.0.0.0", "1.2.3.-4", "+1.2.3.4", "0x1.2.3.4", "1.2.3.a", " 1.2.3.4", "1.2.3.4 ",
    "1. 2.3.4", "1.2.3.4\n", "1,2,3,4",
    "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:99999", "1.2.3.4:4294967301", "1.2.3.4:18446744073709551617",
    "1.2.3.4:-1", "1.2.3.4:+1", "1.2.3.4: 1", "1.2.3.4:1 ", "1.2.3.4:1x", "1.2.3.4:x", "1.2.3.4:00", "1.2.3.4:1:2",
    "1.2.3.4::5", "1.2.3.4%1", "1.2.3.4]", "1.2.3.4/24", "[1.2.3.4]:5x",
    ":::", "::::", ":1", "1:", "1:2", ":1::2", "1::2:", "1:::2", "::1::", "1::2::3", "::1:", ":2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "1:2:3:4:5:6:7:8:", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8",
    "1:2:3:4::5:6:7:8", "12345::", "::12345", "::00001", "g::", "::g", "2001:db8::1 ", " 2001:db8::1", "2001:db8::1/64",
    "::-1",
    "::1.2.3", "::1.2.3.4.5", "::1.2.3.256", "::01.2.3.4", "::1.2.3.4:5", "::1.2.3.4::", "1.2.3.4::", "::a.2.3.4",
    "::1.2.3.4a", "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:1.2.3.4", "1:2:3:4:5:6::1.2.3.4", "::ffff:1.2.3.4:5", "[",
    "[:", "[::", "[::1", "[::1]:", "[::1]:0", "[::1]:65536", "[::1]:x", "[::1]5", "[::1] :5", "[::1]]", "[[::1]]", "::1]",
    "[::1]:5:6", "[1:2:3:4:5:6:7:8:]", "[:::]", "::1:5]", "2001:db8::1]:5",
    "fe80::1%", "fe80::1%eth0", "fe80::1%-1", "fe80::1%1x", "fe80::1%01", "fe80::1%4294967296",
    "fe80::1%18446744073709551617", "fe80::1%1%1", "%1", "[fe80::1%]", "[fe80::1]%1", "[fe80::1%1", "fe80%1::1",
};

} // namespace

TEST_CASE("address: texts both ways") {
    for (const sample &s : good) {
        CAPTURE(s.text);
        gmpunch_address parsed, again;
        CHECK(parse(s.text, &parsed) == GMPUNCH_OK);
        CHECK(text(parsed) == s.canonical);
        CHECK(parse(s.canonical, &again) == GMPUNCH_OK);
        CHECK(memcmp(&parsed, &again, sizeof parsed) == 0);
    }
}

TEST_CASE("address: what is no address gives none") {
    for (const char *s : bad) {
        CAPTURE(s);
        gmpunch_address parsed = address("9.9.9.9:9");
        CHECK(parse(s, &parsed, 7) == GMPUNCH_ERR_ADDRESS);
        CHECK(parsed.family == 0);
        CHECK(parsed.port == 0);
    }
    // every beginning of an address is one, or is refused: no byte behind the NUL is read
    for (const sample &s : good) {
        const std::string whole = s.text;
        for (size_t len = 0; len < whole.size(); len++) {
            gmpunch_address parsed;
            const int32_t result = parse(whole.substr(0, len), &parsed);
            CHECK((result == GMPUNCH_OK || result == GMPUNCH_ERR_ADDRESS));
            CHECK((parsed.family != 0) == (result == GMPUNCH_OK));
        }
    }
}

TEST_CASE("address: fields") {
    gmpunch_address a = address("1.2.3.4:258");
    CHECK(a.family == 4);
    CHECK(a.port == 258);
    CHECK(a.scope_id == 0);
    CHECK(bytes(a.ip, a.ip + 16) == bin("\1\2\3\4\0\0\0\0\0\0\0\0\0\0\0\0"));
    a = address("[fe80:102::fffe%77]:258");
    CHECK(a.family == 6);
    CHECK(a.port == 258);
    CHECK(a.scope_id == 77);
    CHECK(bytes(a.ip, a.ip + 16) == bin("\xfe\x80\1\2\0\0\0\0\0\0\0\0\0\0\xff\xfe"));
    a = address("[::ffff:1.2.3.4%77]:258");
    const gmpunch_address mapped = address("1.2.3.4:258");
    CHECK(memcmp(&a, &mapped, sizeof a) == 0);
    gmpunch_address global; // refused, or without the scope: it must not differ from the same address without
    parse("2001:db8::1%77", &global);
    CHECK(global.scope_id == 0);
}

TEST_CASE("address: the default port is for texts without one") {
    for (uint16_t port : {uint16_t(0), uint16_t(6510), uint16_t(65535)}) {
        CHECK(address("1.2.3.4", port).port == port);
        CHECK(address("2001:db8::1", port).port == port);
        CHECK(address("[2001:db8::1]", port).port == port);
        CHECK(address("::ffff:1.2.3.4", port).port == port);
        CHECK(address("1.2.3.4:5", port).port == 5);
        CHECK(address("[2001:db8::1]:5", port).port == 5);
    }
}

TEST_CASE("address: '::' in all places") {
    for (uint32_t zeros = 0; zeros < 256; zeros++) {
        std::array<uint16_t, 8> groups{};
        for (size_t i = 0; i < 8; i++) groups[i] = uint16_t(zeros >> i & 1 ? 0 : 0xa00 + i);
        const gmpunch_address a = ipv6(groups);
        CHECK(text(a) == expected_text(groups));
        gmpunch_address b;
        REQUIRE(parse(text(a), &b) == GMPUNCH_OK);
        CHECK(memcmp(&a, &b, sizeof a) == 0);
    }
}

TEST_CASE("address: format writes all or nothing") {
    for (const char *s :
         {"1.2.3.4", "255.255.255.255:65535", "::", "[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535"}) {
        const gmpunch_address a = address(s);
        const size_t len = strlen(s);
        for (size_t size = 0; size <= len + 2; size++) {
            CAPTURE(size);
            std::vector<char> out(size, 'x');
            const int32_t result = gmpunch_address_format(&a, out.data(), size);
            if (size > len) {
                CHECK(result == int32_t(len));
                CHECK(std::string(out.data()) == s);
            } else {
                CHECK(result == GMPUNCH_ERR_TOO_LONG);
                if (size) CHECK(out[0] == 0);
            }
        }
        CHECK(len < GMPUNCH_ADDRESS_TEXT_SIZE);
        CHECK(gmpunch_address_format(&a, nullptr, 0) == GMPUNCH_ERR_TOO_LONG);
        CHECK(gmpunch_address_format(&a, nullptr, 80) == GMPUNCH_ERR_ARGUMENT);
    }
}

TEST_CASE("address: missing arguments") {
    gmpunch_address a;
    memset(&a, 0, sizeof a);
    char out[4] = "abc";
    CHECK(gmpunch_address_parse(nullptr, 1, &a) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_address_parse("1.2.3.4", 1, nullptr) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_address_format(nullptr, out, sizeof out) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_address_format(&a, out, sizeof out) < 0); // none
    CHECK(out[0] == 0);
}

TEST_CASE("address: the same IP, the same address") {
    const gmpunch_address none = {0, 0, 0, 0, {0}};
    const gmpunch_address a = address("1.2.3.4:5");
    struct {
        const char *other;
        int32_t same_ip, equal;
    } const cases[] = {
        {"1.2.3.4:5", 1, 1},   {"[::ffff:102:304]:5", 1, 1}, {"1.2.3.4:6", 1, 0},         {"1.2.3.4", 1, 0},
        {"1.2.3.5:5", 0, 0},   {"0.2.3.4:5", 0, 0},          {"[102:304::]:5", 0, 0},     {"[::102:304]:5", 0, 0},
    };
    for (const auto &c : cases) {
        CAPTURE(c.other);
        const gmpunch_address b = address(c.other);
        CHECK(gmpunch_address_same_ip(&a, &b) == c.same_ip);
        CHECK(gmpunch_address_same_ip(&b, &a) == c.same_ip);
        CHECK(gmpunch_address_equal(&a, &b) == c.equal);
        CHECK(gmpunch_address_equal(&b, &a) == c.equal);
    }
    const gmpunch_address one = address("fe80::1%1"), two = address("fe80::1%2");
    CHECK(gmpunch_address_same_ip(&one, &one) == 1);
    CHECK(gmpunch_address_same_ip(&one, &two) == 0);
    for (size_t i = 0; i < 16; i++) { // each byte counts
        gmpunch_address other = one;
        other.ip[i] ^= 1;
        CHECK(gmpunch_address_same_ip(&one, &other) == 0);
    }
    for (auto *same : {gmpunch_address_equal, gmpunch_address_same_ip}) {
        CHECK(same(nullptr, &a) == 0);
        CHECK(same(&a, nullptr) == 0);
        CHECK(same(nullptr, nullptr) == 0);
        CHECK(same(&none, &none) == 0);
        CHECK(same(&none, &a) == 0);
    }
}

TEST_CASE("address: hashes are SipHash-2-4 of all fields") {
    const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    const uint64_t other_key[2] = {key[0], key[1] + 1};
    bytes data; // test vectors of its authors: 00 01 02 ... of each length
    struct {
        size_t len;
        uint64_t hash;
    } const vectors[] = {{0, UINT64_C(0x726fdb47dd0e0e31)},
                         {1, UINT64_C(0x74f839c593dc67fd)},
                         {7, UINT64_C(0xab0200f58b01d137)},
                         {8, UINT64_C(0x93f5f5799a932462)},
                         {15, UINT64_C(0xa129ca6149be45e5)}};
    for (const auto &v : vectors) {
        while (data.size() < v.len) data.push_back(uint8_t(data.size()));
        CHECK(gmpunchi_siphash(key, bytes(data).data(), v.len) == v.hash);
    }
    const char *const texts[] = {"1.2.3.4:5",     "1.2.3.4:6",     "1.2.3.4:261",   "1.2.3.5:5",         "[102:304::]:5",
                                 "[fe80::1%1]:5", "[fe80::1%2]:5", "[fe80::1]:5",   "[fe80::1%256]:5",   "[fe80::2%1]:5"};
    for (const char *s : texts) {
        const gmpunch_address a = address(s), copy = a;
        CHECK(gmpunchi_hash_address(key, &a) == gmpunchi_hash_address(key, &copy));
        CHECK(gmpunchi_hash_address(key, &a) != gmpunchi_hash_address(other_key, &a));
        for (const char *t : texts) {
            const gmpunch_address b = address(t);
            CAPTURE(s);
            CAPTURE(t);
            CHECK((gmpunchi_hash_address(key, &a) == gmpunchi_hash_address(key, &b)) == !!gmpunch_address_equal(&a, &b));
            CHECK((gmpunchi_hash_ip(key, &a) == gmpunchi_hash_ip(key, &b)) == !!gmpunch_address_same_ip(&a, &b));
        }
    }
}

TEST_CASE("address: where one program can be") {
    struct {
        const char *text;
        int32_t unicast;
    } const cases[] = {
        {"1.0.0.0:1", 1}, {"127.0.0.1:1", 1}, {"10.0.0.1:65535", 1}, {"223.255.255.255:1", 1}, {"1.2.3.4", 0},
        {"0.0.0.0:1", 0}, {"0.1.2.3:1", 0}, {"224.0.0.0:1", 0}, {"239.255.255.255:1", 0}, {"240.0.0.1:1", 0},
        {"255.255.255.255:1", 0}, {"[2001:db8::1]:1", 1}, {"[::1]:1", 1}, {"[fe80::1%1]:1", 1}, {"2001:db8::1", 0},
        {"[::]:1", 0}, {"[ff02::1]:1", 0}, {"[fd00::1]:1", 1}, {"[::ffff:0.0.0.0]:1", 0}, {"[0:0:1::]:1", 1},
    };
    for (const auto &c : cases) {
        CAPTURE(c.text);
        const gmpunch_address a = address(c.text);
        CHECK(gmpunchi_address_is_unicast(&a) == c.unicast);
    }
    gmpunch_address none;
    memset(&none, 0, sizeof none);
    none.port = 1;
    CHECK(gmpunchi_address_is_unicast(&none) == 0);
}

TEST_CASE("address: parse(format(x)) is x") {
    std::mt19937 random(1);
    for (int i = 0; i < 20000; i++) {
        gmpunch_address a, b;
        std::array<uint16_t, 8> groups{};
        for (uint16_t &group : groups) group = uint16_t(random() % 3 ? random() >> random() % 32 : 0);
        if (random() % 4 == 0) groups[0] = 0xfe80;
        const uint32_t scope_id = groups[0] == 0xfe80 ? uint32_t(random() >> random() % 32) : 0;
        a = ipv6(groups, uint16_t(random() % 2 ? random() : 0), scope_id);
        if (random() % 3 == 0) {
            a.family = 4;
            a.scope_id = 0;
            memset(a.ip + 4, 0, 12);
        }
        gmpunchi_address_normalize(&a);
        const std::string s = text(a);
        REQUIRE_MESSAGE(parse(s, &b, 0) == GMPUNCH_OK, s);
        CHECK_MESSAGE(memcmp(&a, &b, sizeof a) == 0, s);
        CHECK_MESSAGE(text(b) == s, s);
    }
}

#if defined(__GLIBC__)
TEST_CASE("address: agrees with inet_pton on arbitrary texts") {
    std::mt19937 random(2);
    const char alphabet[] = "0123456789abcdefABCDEF::::....g";
    int valid = 0;
    for (int i = 0; i < 100000; i++) {
        std::string s;
        if (i % 2) { // a good one with a few changes, or noise
            s = good[random() % (sizeof good / sizeof good[0])].text;
            s = s.substr(0, s.find('%'));
            for (size_t changes = random() % 3; changes; changes--) {
                const size_t at = random() % (s.size() + 1);
                s.replace(at, random() % 2, std::string(random() % 2, alphabet[random() % (sizeof alphabet - 1)]));
            }
        } else {
            for (size_t len = random() % 12; len; len--) s += alphabet[random() % (sizeof alphabet - 1)];
        }
        if (s.find('[') != std::string::npos || s.find('.') < s.find(':')) s = s.substr(0, s.find_first_of("[:")); // a port
        gmpunch_address parsed, expected;
        memset(&expected, 0, sizeof expected);
        if (inet_pton(AF_INET, s.c_str(), expected.ip) == 1) expected.family = 4;
        else if (inet_pton(AF_INET6, s.c_str(), expected.ip) == 1) expected.family = 6;
        gmpunchi_address_normalize(&expected);
        valid += expected.family != 0;
        if (!expected.family) memset(&expected, 0, sizeof expected);
        CHECK_MESSAGE(parse(s, &parsed) == (expected.family ? GMPUNCH_OK : GMPUNCH_ERR_ADDRESS), s);
        CHECK_MESSAGE(memcmp(&parsed, &expected, sizeof parsed) == 0, s);
    }
    CHECK(valid > 5000); // it compared something
}
#endif
