// The lobby: the master's lists without sockets, the client that downloads them, and both over real sockets.
#include "gmpunch_internal.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <sstream>

namespace {

using strings = std::array<std::string, 8>;

bytes line(const std::string &text) { return bytes(text.begin(), text.end()) + bin("\n\0"); }

bytes reg2(const strings &data, const std::string &version = "1.2.4") {
    bytes out = line("reg2") + line(version);
    for (const std::string &text : data) out = out + line(text);
    return out;
}

struct query {
    strings filter;
    std::string sort = "date", direction = "DESC", limit;

    bytes request() const {
        bytes out = line("lobby2");
        for (const std::string &text : filter) out = out + line(text);
        return out + line(sort) + line(direction) + line(limit);
    }
};

// Counts what is allocated; nothing is left at the end.
struct heap {
    size_t used = 0, calls = 0, fail_from = SIZE_MAX;
    static void *alloc(size_t size, void *user) {
        heap &self = *static_cast<heap *>(user);
        if (self.calls++ >= self.fail_from) return nullptr;
        self.used += size;
        return std::malloc(size);
    }
    static void free(void *memory, size_t size, void *user) {
        static_cast<heap *>(user)->used -= size;
        std::free(memory);
    }
};

struct sent {
    uint64_t at;
    bytes data;
};

// A master; what it sends to each connection is kept with the time. `room` bytes can leave at a time, none where it is 0.
struct desk {
    heap memory;
    gmpunch_master *master = nullptr;
    uint64_t now = 1000;
    std::map<uint32_t, std::vector<sent>> out;
    std::map<uint32_t, size_t> room;
    std::map<uint32_t, bool> closed;

    explicit desk(gmpunch_master_config config = gmpunch_master_config()) {
        if (!config.max_commands_per_second) config.max_commands_per_second = GMPUNCH_NEVER; // many have one IP here
        config.allocator = {heap::alloc, heap::free, &memory};
        REQUIRE(gmpunch_master_create(&config, now, &master) == GMPUNCH_OK);
        REQUIRE(gmpunch_master_set_unix_time(master, now, 1795332611) == GMPUNCH_OK);
    }
    ~desk() {
        gmpunch_master_close(master);
        CHECK(memory.used == 0);
    }
    desk(const desk &) = delete;
    desk &operator=(const desk &) = delete;

    gmpunch_master_stats stats() const {
        gmpunch_master_stats s = {};
        REQUIRE(gmpunch_master_get_stats(master, &s) == GMPUNCH_OK);
        return s;
    }
    void pump() {
        gmpunch_transmit t;
        for (bool told; told = gmpunchi_master_has_output(master), gmpunch_master_next_transmit(master, &t) == 1;) {
            REQUIRE(told);
            if (t.kind == GMPUNCH_TRANSMIT_TCP_CLOSE) {
                closed[t.connection] = true;
                continue;
            }
            REQUIRE(t.kind == GMPUNCH_TRANSMIT_TCP_SEND);
            size_t taken = t.len;
            if (room.count(t.connection)) {
                taken = std::min(taken, room[t.connection]);
                room[t.connection] -= taken;
            }
            if (taken) out[t.connection].push_back({now, bytes(t.data, t.data + taken)});
            if (taken < t.len) REQUIRE(gmpunch_master_tcp_sent(master, t.connection, taken) == GMPUNCH_OK);
        }
        REQUIRE_FALSE(gmpunchi_master_has_output(master));
        gmpunch_event e;
        while (gmpunch_master_next_event(master, &e) == 1) {}
    }
    // Lets time pass, from deadline to deadline.
    void run(uint64_t ms) {
        uint64_t end = now + ms;
        do {
            now = std::max(now, std::min(end, gmpunch_master_next_deadline(master)));
            REQUIRE(gmpunch_master_tick(master, now) == GMPUNCH_OK);
            REQUIRE(gmpunch_master_next_deadline(master) > now);
            pump();
        } while (now < end);
    }
    uint32_t connect(const std::string &ip, uint16_t port = 50000) {
        uint32_t id = 0;
        gmpunch_address from = address(ip.c_str(), port);
        from.port = port;
        REQUIRE(gmpunch_master_tcp_accepted(master, now, &from, &id) == GMPUNCH_OK);
        return id;
    }
    void tcp(uint32_t id, const bytes &data) {
        REQUIRE(gmpunch_master_tcp_data(master, now, id, data.data(), data.size()) == GMPUNCH_OK);
        pump();
    }
    void udp(const std::string &ip, uint16_t port, const bytes &payload) {
        gmpunch_address from = address(ip.c_str(), port);
        from.port = port;
        const bytes datagram = with_header(payload);
        REQUIRE(gmpunch_master_input_udp(master, now, &from, 0, datagram.data(), datagram.size()) == GMPUNCH_CONSUMED);
        pump();
    }
    void writable(uint32_t id, size_t more) {
        room[id] += more;
        REQUIRE(gmpunch_master_tcp_writable(master, now, id) == GMPUNCH_OK);
        pump();
    }
    uint32_t host(const std::string &ip, const strings &data) {
        uint32_t id = connect(ip);
        tcp(id, reg2(data));
        return id;
    }
    // All that a connection was sent since asked last.
    std::string take(uint32_t id) {
        std::string all;
        for (const sent &s : out[id]) all.append(s.data.begin(), s.data.end());
        out[id].clear();
        return all;
    }
    // The answer to a request on a connection of its own; in one send.
    std::string list(const query &q = query()) {
        uint32_t id = connect("192.0.2.200");
        tcp(id, q.request());
        if (out[id].size() > 1) FAIL_CHECK("more than one send");
        std::string answer = take(id);
        gmpunch_master_tcp_closed(master, now, id, 0);
        return answer;
    }
};

struct entry {
    std::string ip;
    strings data;
    uint64_t created;
};

std::vector<entry> parse(const std::string &answer) {
    std::vector<entry> all;
    int32_t state = GMPUNCHI_LOBBY_BEGIN, result;
    size_t at = 0, used;
    std::vector<char> room(answer.size());
    gmpunchi_lobby_entry e;
    while ((result = gmpunchi_decode_lobby(&state, reinterpret_cast<const uint8_t *>(answer.data()) + at, answer.size() - at,
                                           &used, room.data(), room.size(), &e)) == 1) {
        at += used;
        entry copy;
        copy.ip = text(e.ip);
        for (size_t i = 0; i < 8; i++) copy.data[i] = e.data[i];
        copy.created = e.created;
        all.push_back(copy);
    }
    CHECK(result == 0);
    CHECK(answer.substr(at + used) == "\n");
    return all;
}

std::string ips(const std::string &answer) {
    std::string out;
    for (const entry &e : parse(answer)) out += (out.empty() ? "" : " ") + e.ip.substr(e.ip.rfind('.') + 1);
    return out;
}

query sorted(const std::string &by, const std::string &direction, const std::string &limit = "") {
    query q;
    q.sort = by;
    q.direction = direction;
    q.limit = limit;
    return q;
}

} // namespace

// ---- what the master lists

TEST_CASE("lobby: an empty list, and one in the original's bytes") {
    desk d;
    CHECK(d.list() == "\xf9[]\n");
    d.host("127.0.0.2", {"x<>&=y\"\\/'", "\xc3\xa9\xe2\x82\xac", "abc"});
    CHECK(d.list() ==
          "\xf9[{\"ip\":\"127.0.0.2\",\"data1\":\"x\\u003c\\u003e\\u0026\\u003dy\\\"\\\\/\\u0027\",\"data2\":"
          "\"\xc3\xa9\xe2\x82\xac\",\"data3\":\"abc\",\"data4\":\"\",\"data5\":\"\",\"data6\":\"\",\"data7\":\"\","
          "\"data8\":\"\",\"createdTime\":1795332611}]\n");
}

TEST_CASE("lobby: sorting, both directions as they are on the wire, ties in a fixed order") {
    desk d;
    // in the order of registration; data2 has ties, data3 is empty for one
    const std::vector<strings> hosts = {{"g", "b", "3"}, {"g", "a", ""}, {"g", "b", "1"}, {"g", "c", "2"}, {"g", "a", "4"}};
    for (size_t i = 0; i < hosts.size(); i++) {
        d.host("10.0.0." + std::to_string(i + 1), hosts[i]);
        d.run(1000);
    }
    for (const char *by : {"date", "", "nonsense", "data0", "data9", "data10", "DATE"}) {
        CAPTURE(by);
        CHECK(ips(d.list(sorted(by, "DESC"))) == "1 2 3 4 5"); // "DESC" is what sorts ascending
        CHECK(ips(d.list(sorted(by, ""))) == "1 2 3 4 5");
        CHECK(ips(d.list(sorted(by, "asc"))) == "1 2 3 4 5");
        CHECK(ips(d.list(sorted(by, "ASC"))) == "5 4 3 2 1");
    }
    CHECK(ips(d.list(sorted("data2", "DESC"))) == "2 5 1 3 4");
    CHECK(ips(d.list(sorted("data2", "ASC"))) == "4 3 1 5 2");
    CHECK(ips(d.list(sorted("data3", "DESC"))) == "2 3 4 1 5");
    CHECK(ips(d.list(sorted("data1", "DESC"))) == "1 2 3 4 5"); // all equal
    CHECK(ips(d.list(sorted("data1", "ASC"))) == "5 4 3 2 1");
    CHECK(ips(d.list(sorted("data8", "DESC"))) == "1 2 3 4 5");

    for (const char *limit :
         {"", "5", "6", "99999999999", "99999999999999999999999", "-1", "x", "2.00", " 2", "2 ", "+2", "0x2"}) {
        CAPTURE(limit);
        CHECK(ips(d.list(sorted("date", "DESC", limit))) == "1 2 3 4 5");
    }
    CHECK(ips(d.list(sorted("date", "DESC", "0"))) == "");
    CHECK(ips(d.list(sorted("date", "DESC", "2"))) == "1 2");
    CHECK(ips(d.list(sorted("date", "DESC", "002"))) == "1 2");
    CHECK(ips(d.list(sorted("date", "ASC", "2"))) == "5 4");
    CHECK(ips(d.list(sorted("data2", "ASC", "2"))) == "4 3"); // sorted first, then cut
    CHECK(ips(d.list(sorted("data2", "DESC", "1"))) == "2");

    const std::vector<entry> all = parse(d.list());
    for (size_t i = 0; i < all.size(); i++) {
        CHECK(all[i].data[0] == "g");
        CHECK(all[i].data[1] == hosts[i][1]);
        CHECK(all[i].created == 1795332611 + i);
    }
}

TEST_CASE("lobby: filters are exact, and all must hold") {
    desk d;
    d.host("10.0.0.1", {"g1", "alpha", "x"});
    d.host("10.0.0.2", {"g1", "bravo", "y"});
    d.host("10.0.0.3", {"g2", "alpha", "x", "", "", "", "", "last"});
    const std::vector<std::pair<strings, std::string>> cases = {{{}, "1 2 3"},
                                                                {{"g1"}, "1 2"},
                                                                {{"", "alpha"}, "1 3"},
                                                                {{"g1", "alpha"}, "1"},
                                                                {{"", "", "x"}, "1 3"},
                                                                {{"", "", "y"}, "2"},
                                                                {{"g"}, ""},
                                                                {{"g11"}, ""},
                                                                {{"G1"}, ""},
                                                                {{"g2", "bravo"}, ""},
                                                                {{"", "", "", "no"}, ""},
                                                                {{"", "", "", "", "", "", "", "last"}, "3"}};
    for (const auto &c : cases) {
        query q;
        q.filter = c.first;
        CHECK(ips(d.list(q)) == c.second);
    }
    query q;
    q.filter[1] = "alpha";
    q.limit = "1";
    CHECK(ips(d.list(q)) == "1");
    q.direction = "ASC";
    CHECK(ips(d.list(q)) == "3");
}

TEST_CASE("lobby: who is listed: reg2 over TCP, as long as it is registered") {
    desk d;
    d.udp("10.0.0.1", 6611, bin("reg\n\0"));
    CHECK(ips(d.list()) == "");
    uint32_t one = d.connect("10.0.0.1");
    d.tcp(one, bin("reg\n\0")); // the published protocol: a host without strings
    CHECK(ips(d.list()) == "");
    CHECK(d.stats().hosts == 1);
    d.tcp(one, reg2({"a"}));
    CHECK(ips(d.list()) == "1");
    d.udp("10.0.0.1", 6611, bin("reg\n\0")); // hides it from the deployed master's list
    CHECK(ips(d.list()) == "1");
    d.tcp(one, bin("ping\n\0"));
    CHECK(ips(d.list()) == "1");
    uint32_t old = d.connect("10.0.0.2");
    d.tcp(old, reg2({"too old"}, "1.1.9"));
    CHECK(d.closed[old]);
    uint32_t odd = d.connect("10.0.0.3");
    d.tcp(odd, reg2({"no version"}, "newest"));
    CHECK_FALSE(d.closed[odd]);
    CHECK(ips(d.list()) == "1");
    REQUIRE(gmpunch_master_tcp_closed(d.master, d.now, one, 0) == GMPUNCH_OK);
    CHECK(ips(d.list()) == "");
    CHECK(d.stats().listed == 0);
    CHECK(d.stats().data_bytes == 0);
}

TEST_CASE("lobby: strings change with the next reg2, the time of registration stays") {
    desk d;
    uint32_t id = d.host("10.0.0.1", {"old"});
    d.run(5000);
    d.host("10.0.0.2", {"other"});
    const std::string before = d.list();
    d.tcp(id, reg2({"new and longer", "", "", "", "", "", "", "8"}));
    const std::vector<entry> all = parse(d.list());
    REQUIRE(all.size() == 2);
    CHECK(all[0].data[0] == "new and longer");
    CHECK(all[0].data[7] == "8");
    CHECK(all[0].created == 1795332611);
    CHECK(all[1].created == 1795332616);
    d.tcp(id, reg2({"old"}));
    CHECK(d.list() == before);
}

TEST_CASE("lobby: a host that registers again on a new connection stays listed, in any order of the two events") {
    for (int order = 0; order < 3; order++) {
        CAPTURE(order);
        desk d;
        d.udp("10.0.0.1", 6611, bin("reg\n\0"));
        uint32_t old = d.host("10.0.0.1", {"same"});
        d.host("10.0.0.2", {"later"});
        d.run(60000);
        auto end = [&] { gmpunch_master_tcp_closed(d.master, d.now, old, 0); }; // or it is gone already
        if (order == 0) end();
        d.udp("10.0.0.1", 6611, bin("reg\n\0"));
        d.run(1);
        uint32_t id = d.connect("10.0.0.1", 50001);
        if (order == 1) end();
        d.tcp(id, reg2({"same"}));
        if (order == 2) end();
        d.run(1);
        CHECK(ips(d.list()) == (order == 2 ? "1 2" : "2 1")); // as one and the same, if it never was away
        d.run(1000);
        CHECK(d.stats().listed == 2);
        d.udp("10.0.0.9", 7000, bin("connect\n\0"));
        uint32_t client = d.connect("10.0.0.9");
        d.tcp(client, bin("connect\n10.0.0.1\n\0"));
        CHECK(d.take(client) == std::string("\xff"
                                            "10.0.0.1\0"
                                            "6611\0",
                                            15));
        CHECK(d.take(id) == std::string("\xff"
                                        "10.0.0.9\0"
                                        "7000\0",
                                        15));
    }
}

TEST_CASE("lobby: two hosts behind one IP are both listed, what is left of a silent one is not") {
    desk d;
    uint32_t silent = d.host("10.0.0.1", {"first"});
    d.run(1000);
    uint32_t second = d.connect("10.0.0.1", 50001);
    d.tcp(second, reg2({"second"}));
    CHECK(ips(d.list()) == "1 1");
    d.host("10.0.0.2", {"alone"});
    for (int i = 0; i < 5; i++) {
        d.run(60000);
        d.tcp(second, bin("ping\n\0"));
    }
    const std::vector<entry> all = parse(d.list());
    REQUIRE(all.size() == 2);
    CHECK(all[0].data[0] == "second");
    CHECK(all[1].data[0] == "alone"); // silent as long, but nobody took its place
    d.tcp(silent, bin("ping\n\0"));
    d.run(1001);
    CHECK(parse(d.list()).size() == 3);
}

TEST_CASE("lobby: off, testing, name") {
    const std::string on = "\xf8\x01\n", none = "\xf9[]\n";
    const bytes about = bin("istesting\ntestinginfos\nversion\n");
    gmpunch_master_config config = {};
    auto answers = [&](const bytes &request) {
        desk d(config);
        d.host("10.0.0.1", {"a"});
        uint32_t id = d.connect("10.0.0.2");
        d.tcp(id, request);
        CHECK_FALSE(d.closed[id]);
        return d.take(id);
    };
    CHECK(answers(about) == std::string("\xf8\0\n\xf7\0\xf6"
                                        "1.2.5\n",
                                        12));
    config.testing = 1;
    CHECK(answers(about) == on + "\xf7gmpunch\n1.2.5\n1.2.0\n\xf6"
                                 "1.2.5\n");
    config.name = "N1";
    CHECK(answers(about) == on + "\xf7N1\n1.2.5\n1.2.0\n\xf6"
                                 "1.2.5\n");
    const std::string longest(255, 'n'), too_long(256, 'n');
    config.name = longest.c_str();
    CHECK(answers(bin("testinginfos\n")) == "\xf7" + longest + "\n1.2.5\n1.2.0\n");
    for (const std::string &bad : {too_long, std::string("a\nb"), std::string("a\x7f")}) {
        gmpunch_master *master = nullptr;
        config.name = bad.c_str();
        CHECK(gmpunch_master_create(&config, 0, &master) == GMPUNCH_ERR_CONFIG);
    }
    config.name = nullptr;
    config.no_lobby = 1;
    CHECK(parse(answers(query().request())).size() == 1); // testing has a lobby in any case
    config.testing = 0;
    CHECK(answers(query().request()) == "");
    CHECK(answers(query().request() + bin("version\n")) == "\xf6"
                                                           "1.2.5\n");
    desk d(config);
    d.host("10.0.0.1", {"not kept"});
    CHECK(d.stats().data_bytes == 0);
    CHECK(d.stats().hosts == 1);
}

TEST_CASE("lobby: hostile strings come out as valid UTF-8, on one line") {
    std::string control, high;
    for (int c = 1; c < 0x20; c++)
        if (c != '\n' && c != '\r') control += char(c);
    for (int c = 0x80; c < 0x100; c++) high += char(c);
    gmpunch_master_config config = {};
    config.max_line = 65536;
    desk d(config);
    const std::string replacement = "\xef\xbf\xbd";
    const std::string broken = "a\xc3(\xe2\x82 \xf0\x9f\x98 \xed\xa0\x80 \xc0\xaf \xf4\x90\x80\x80 \xff"
                               "b";
    d.host("10.0.0.1", {control + "\x7f" + "x" + std::string("\0", 1) + "y", high, broken, "\xe2\x80\xa8\xe2\x80\xa9",
                        "\"}],{\"ip\":\"6.6.6.6\"}", "\\u0041\\n", std::string(65536, 'A'), "\xf0\x9f\x98\x80"});
    const std::string answer = d.list();
    CHECK(std::count(answer.begin(), answer.end(), '\n') == 1);
    for (char c : answer.substr(1, answer.size() - 2)) CHECK((uint8_t(c) >= 0x20 && c != 0x7f));
    const std::vector<entry> all = parse(answer);
    REQUIRE(all.size() == 1);
    CHECK(all[0].ip == "10.0.0.1");
    CHECK(all[0].data[0] == "xy"); // control characters are no part of a line
    CHECK(all[0].data[1].size() % 3 == 0);
    CHECK(all[0].data[1].substr(0, 3) == replacement);
    CHECK(all[0].data[2].front() == 'a');
    CHECK(all[0].data[2].back() == 'b');
    CHECK(all[0].data[3] == "\xe2\x80\xa8\xe2\x80\xa9");
    CHECK(answer.find("\\u2028\\u2029") != answer.npos);
    CHECK(all[0].data[4] == "\"}],{\"ip\":\"6.6.6.6\"}");
    CHECK(all[0].data[5] == "\\u0041\\n");
    CHECK(all[0].data[6] == std::string(65536, 'A'));
    CHECK(all[0].data[7] == "\xf0\x9f\x98\x80");
}

// ---- many, slow, long: limits

TEST_CASE("lobby: a request in every split gets its list, and several on one connection theirs in turn") {
    desk d;
    d.host("10.0.0.1", {"a"});
    d.host("10.0.0.2", {"b"});
    query q;
    q.filter[0] = "b";
    const bytes request = q.request();
    for (size_t cut = 0; cut <= request.size(); cut++) {
        uint32_t id = d.connect("10.0.0.3");
        d.tcp(id, bytes(request.begin(), request.begin() + long(cut)));
        d.tcp(id, bytes(request.begin() + long(cut), request.end()));
        CHECK(ips(d.take(id)) == "2");
        gmpunch_master_tcp_closed(d.master, d.now, id, 0);
    }
    uint32_t id = d.connect("10.0.0.3");
    d.tcp(id, request + query().request() + bin("version\n"));
    REQUIRE(d.out[id].size() == 3);
    CHECK(ips(std::string(d.out[id][0].data.begin(), d.out[id][0].data.end())) == "2");
    CHECK(ips(std::string(d.out[id][1].data.begin(), d.out[id][1].data.end())) == "1 2");
    CHECK(d.out[id][2].data == bin("\xf6"
                                   "1.2.5\n"));
}

TEST_CASE("lobby: the same list is made once while nothing changed") {
    desk d;
    uint32_t id = d.host("10.0.0.1", {"a"});
    const std::string first = d.list();
    for (int i = 0; i < 100; i++) CHECK(d.list() == first);
    CHECK(d.stats().lobby_requests == 101);
    CHECK(d.stats().lobby_built == 1);
    d.tcp(id, reg2({"a"})); // said again: no change
    CHECK(d.list() == first);
    CHECK(d.stats().lobby_built == 1);
    d.tcp(id, reg2({"b"}));
    CHECK(d.list() != first);
    CHECK(d.stats().lobby_built == 2);
    for (int round = 0; round < 2; round++)
        for (const char *by : {"date", "data1", "data2", "data3"}) d.list(sorted(by, "DESC"));
    CHECK(d.stats().lobby_built == 5); // four are kept
    d.host("10.0.0.2", {"c"});
    CHECK(ips(d.list()) == "1 2");
}

TEST_CASE("lobby: a list is kept through the last millisecond of its time, tick or not, and forgotten after it") {
    for (uint64_t age : {GMPUNCHI_LOBBY_FRESH_MS, GMPUNCHI_LOBBY_FRESH_MS + 1}) {
        for (bool tick : {false, true}) {
            CAPTURE(age);
            CAPTURE(tick);
            desk d;
            d.host("10.0.0.1", {"a"});
            const std::string first = d.list();
            const uint64_t kept = d.stats().lobby_bytes;
            d.now += age;
            if (tick) REQUIRE(gmpunch_master_tick(d.master, d.now) == GMPUNCH_OK);
            if (tick) CHECK((d.stats().lobby_bytes == kept) == (age == GMPUNCHI_LOBBY_FRESH_MS));
            CHECK(d.list() == first);
            CHECK(d.stats().lobby_built == (age == GMPUNCHI_LOBBY_FRESH_MS ? 1 : 2));
        }
    }
}

TEST_CASE("lobby: a slow reader gets the list that was, others are not kept waiting, a stalled one is closed") {
    gmpunch_master_config config = {};
    config.write_timeout_ms = 7000;
    desk d(config);
    const std::string filler(900, 'x');
    for (int i = 0; i < 200; i++)
        d.host("10.0." + std::to_string(i / 100) + "." + std::to_string(i % 100), {filler, filler});
    const std::string whole = d.list();
    REQUIRE(whole.size() > 5 * 65536);
    uint32_t slow = d.connect("192.0.2.1"), stalled = d.connect("192.0.2.2");
    d.room[slow] = d.room[stalled] = 10;
    d.tcp(slow, query().request());
    d.tcp(stalled, query().request());
    d.host("10.9.9.9", {"new"});
    CHECK(parse(d.list()).size() == 201);
    for (size_t at = 10; at < whole.size(); at += 65536) {
        d.run(6000);
        CHECK_FALSE(d.closed[slow]);
        d.writable(slow, 65536);
    }
    d.run(6000);
    CHECK(d.take(slow) == whole);
    CHECK_FALSE(d.closed[slow]);
    CHECK(d.closed[stalled]);
    CHECK(d.stats().closed_write == 1);

    uint32_t trickle = d.connect("192.0.2.3"); // takes something all the time, but too little
    d.room[trickle] = 10;
    d.tcp(trickle, query().request());
    for (int i = 0; i < 6; i++) {
        d.run(1000);
        d.writable(trickle, 9000);
    }
    CHECK_FALSE(d.closed[trickle]);
    d.run(1000);
    CHECK(d.closed[trickle]);
}

TEST_CASE("lobby: a list that is read steadily for longer than an idle connection may live arrives whole") {
    desk d;
    const std::string filler(900, 'x');
    for (int i = 0; i < 300; i++)
        d.host("10.0." + std::to_string(i / 100) + "." + std::to_string(i % 100), {filler, filler, filler, filler});
    const std::string whole = d.list();
    uint32_t id = d.connect("192.0.2.1");
    d.room[id] = 0;
    d.tcp(id, query().request());
    const size_t step = whole.size() / 15 + 1;
    for (int i = 0; i < 15; i++) {
        d.run(10000); // idle_timeout_ms is 60000
        CHECK_FALSE(d.closed[id]);
        d.writable(id, step);
    }
    CHECK(d.take(id) == whole);
    d.room.erase(id);
    d.run(59999);
    CHECK_FALSE(d.closed[id]); // and is idle from then on
    d.run(1);
    CHECK(d.closed[id]);
}

TEST_CASE("lobby: who takes a twentieth of a long list at a time has it in the end, who takes less is closed") {
    desk d;
    const std::string filler(1000, 'x');
    for (int i = 0; i < 1000; i++)
        d.host("10.0." + std::to_string(i / 100) + "." + std::to_string(i % 100), {filler, filler, filler, filler});
    const std::string whole = d.list();
    REQUIRE(whole.size() > 4000000); // a twentieth is more than 64 KiB
    for (bool enough : {true, false}) {
        uint32_t id = d.connect("192.0.2.1");
        d.room[id] = 0;
        d.tcp(id, query().request());
        for (int i = 0; i < 21 && !d.closed[id]; i++) {
            d.run(14999);
            if (!d.closed[id]) d.writable(id, whole.size() / 20 + (enough ? 1 : 0) - (enough ? 0 : 100));
        }
        CHECK(d.closed[id] == !enough);
        CHECK((d.take(id) == whole) == enough);
    }
}

TEST_CASE("lobby: a list that is too long ends with the last host that fits") {
    gmpunch_master_config config = {};
    config.max_lobby = 4096;
    desk d(config);
    for (int i = 0; i < 50; i++) d.host("10.0.0." + std::to_string(i), {std::string(size_t(i), '<')});
    const std::string answer = d.list();
    CHECK(answer.size() <= 4096);
    const size_t count = parse(answer).size();
    CHECK(count > 10);
    CHECK(count < 50);
    CHECK(d.stats().lobby_truncated == 1);
    for (uint32_t size = 4096; size < 4700; size += 7) { // the end fits whatever the last host is
        config.max_lobby = size;
        desk other(config);
        for (int i = 0; i < 30; i++) other.host("10.0.0." + std::to_string(i), {"abc"});
        const std::string cut = other.list();
        CHECK(cut.size() <= size);
        parse(cut);
    }
}

TEST_CASE("lobby: a list that is exactly as long as it may be is whole, one byte less costs it a host") {
    const auto list = [](uint32_t max_lobby) {
        gmpunch_master_config config = {};
        config.max_lobby = max_lobby;
        desk d(config);
        for (int i = 0; i < 40; i++) d.host("10.0.0." + std::to_string(i), {"abc"});
        const std::string made = d.list();
        CHECK(d.stats().lobby_truncated == (parse(made).size() < 40));
        return made;
    };
    const std::string whole = list(1u << 20);
    CHECK(parse(whole).size() == 40);
    REQUIRE(whole.size() > 4200);
    for (uint32_t less = 0; less < 4; less++) {
        CAPTURE(less);
        const std::string made = list(uint32_t(whole.size()) - less);
        CHECK(made.size() <= whole.size() - less);
        CHECK(parse(made).size() == (less ? 39 : 40));
    }
    CHECK(list(uint32_t(whole.size()) + 1) == whole);
}

TEST_CASE("lobby: limits of memory refuse the newcomer, and say so") {
    gmpunch_master_config config = {};
    config.max_data = 100;
    desk d(config);
    uint32_t one = d.host("10.0.0.1", {std::string(60, 'a')});
    d.host("10.0.0.2", {std::string(60, 'b')});
    CHECK(ips(d.list()) == "1");
    CHECK(d.stats().hosts == 2);
    CHECK(d.stats().refused_data == 1);
    gmpunch_master_tcp_closed(d.master, d.now, one, 0);
    d.host("10.0.0.3", {std::string(60, 'c')});
    CHECK(ips(d.list()) == "3");

    config.max_data = 0;
    config.max_lobby_memory = 20000;
    desk small(config);
    for (int i = 0; i < 50; i++) small.host("10.0.0." + std::to_string(i), {std::string(100, 'x')});
    std::vector<uint32_t> readers;
    for (int i = 0; i < 10; i++) { // lists that differ, and nobody reads
        readers.push_back(small.connect("192.0.2." + std::to_string(i)));
        small.room[readers.back()] = 0;
        query q = sorted("date", "DESC", std::to_string(40 + i));
        small.tcp(readers.back(), q.request());
    }
    CHECK(small.stats().refused_lobby > 0);
    CHECK(small.stats().lobby_bytes <= 20000);
    size_t closed = 0;
    for (uint32_t id : readers) closed += small.closed[id];
    CHECK(closed > 0);
    small.run(60000);
    CHECK(parse(small.list(sorted("date", "DESC", "3"))).size() == 3); // there is room again
}

TEST_CASE("lobby: of the commands per second of one IP a list that must be made takes ten") {
    gmpunch_master_config config = {};
    config.max_commands_per_second = 10;
    desk d(config);
    uint32_t asker = d.connect("192.0.2.1");
    for (int i = 0; i < 9; i++) d.tcp(asker, query().request()); // one list
    CHECK(!d.closed[asker]);
    d.tcp(asker, sorted("date", "DESC", "1").request()); // two are left
    CHECK(d.closed[asker]);
    CHECK(d.stats().lobby_built == 1);
    CHECK(d.stats().refused_commands == 1);
    uint32_t again = d.connect("192.0.2.1");
    d.tcp(again, query().request()); // what is there costs little
    CHECK(!d.closed[again]);
    uint32_t other = d.connect("192.0.2.2");
    d.tcp(other, sorted("date", "DESC", "1").request());
    CHECK(!d.closed[other]);
    CHECK(d.stats().lobby_built == 2);
}

TEST_CASE("lobby: lists that wait for one IP have a limit of their own, one may always wait") {
    gmpunch_master_config config = {};
    config.max_lobby_memory_per_ip = 5000;
    desk d(config);
    for (int i = 0; i < 20; i++)
        d.host("10.0.0." + std::to_string(i), {std::string(100, 'x')}); // a list has some 5,600 bytes
    auto ask = [&](const std::string &from) {
        uint32_t id = d.connect(from);
        d.room[id] = 0;
        d.tcp(id, query().request());
        return id;
    };
    uint32_t first = ask("192.0.2.1"), second = ask("192.0.2.1"), other = ask("192.0.2.2");
    CHECK(!d.closed[first]);
    CHECK(d.closed[second]);
    CHECK(!d.closed[other]); // although it waits for the same list
    CHECK(d.stats().refused_lobby == 1);
    gmpunch_master_tcp_closed(d.master, d.now, first, 0);
    CHECK(!d.closed[ask("192.0.2.1")]); // a list that was made before
    CHECK(d.closed[ask("192.0.2.1")]);
    CHECK(d.stats().refused_lobby == 2);
}

TEST_CASE("lobby: lists that wait for one IP may be as long together as the limit, and no byte longer") {
    const size_t one = [] {
        desk d;
        for (int i = 0; i < 20; i++) d.host("10.0.0." + std::to_string(i), {std::string(100, 'x')});
        return d.list().size();
    }();
    for (uint32_t less = 0; less < 2; less++) {
        gmpunch_master_config config = {};
        config.max_lobby_memory_per_ip = uint32_t(3 * one) - less;
        desk d(config);
        for (int i = 0; i < 20; i++) d.host("10.0.0." + std::to_string(i), {std::string(100, 'x')});
        for (int i = 0; i < 4; i++) {
            const uint32_t id = d.connect("192.0.2.1");
            d.room[id] = 0;
            d.tcp(id, query().request());
            CHECK(d.closed[id] == (i > 2 - int(less)));
        }
    }
}

TEST_CASE("lobby: kept lists make room, and a list that failed half-way is made anew") {
    gmpunch_master_config config = {};
    config.max_lobby_memory = 40000;
    for (size_t len = 20; len < 200; len += 3) { // memory ends at all places of an entry
        CAPTURE(len);
        desk d(config);
        for (int i = 0; i < 20; i++)
            d.host("10.0.0." + std::to_string(i), {std::string(len, '<'), "x", std::string(len, '<')});
        std::vector<uint32_t> askers;
        for (int i = 0; i < 4; i++) { // they read nothing
            askers.push_back(d.connect("192.0.2." + std::to_string(i)));
            d.room[askers.back()] = 0;
            d.tcp(askers.back(), sorted("date", "DESC", std::to_string(10 + i)).request());
        }
        for (uint32_t id : askers) // the same question again, by somebody who reads
            if (d.closed[id]) {
                uint32_t again = d.connect("192.0.2.9");
                d.tcp(again, sorted("date", "DESC",
                                    std::to_string(10 + (id == askers[3]   ? 3
                                                         : id == askers[2] ? 2
                                                                           : 1)))
                                 .request());
                const std::string got = d.take(again);
                CHECK((got.empty() ? d.closed[again] : parse(got).size() >= 10));
            }
        for (uint32_t id : askers) gmpunch_master_tcp_closed(d.master, d.now, id, 0);
        CHECK(parse(d.list(sorted("date", "DESC", "3"))).size() == 3); // nobody waits: there is room
    }
    config.max_lobby_memory = 30000;
    desk d(config);
    for (int i = 0; i < 20; i++) d.host("10.0.0." + std::to_string(i), {std::string(500, 'x')});
    for (int i = 0; i < 50; i++) CHECK(parse(d.list(sorted("date", i % 2 ? "ASC" : "DESC", ""))).size() == 20);
    CHECK(d.stats().refused_lobby == 0);
    d.run(1001);
    CHECK(d.stats().lobby_bytes < 1000); // what is not true any more is not kept
}

TEST_CASE("lobby: requests that mean the same share a list, and cost nothing where they list nothing") {
    desk d;
    d.host("10.0.0.1", {"a"});
    for (const char *by : {"date", "", "x", "DATE"})
        for (const char *direction : {"DESC", "", "x17", "asc"})
            for (const char *limit : {"", "x", "-1"}) CHECK(ips(d.list(sorted(by, direction, limit))) == "1");
    CHECK(d.stats().lobby_built == 1);
}

TEST_CASE("lobby: no memory at each allocation in turn: answered or closed, nothing leaks") {
    size_t answered = 0, closed = 0, n = 0;
    for (bool failed = true; failed; n++) {
        desk d;
        d.memory.fail_from = d.memory.calls + n;
        for (int i = 0; i < 3; i++) {
            uint32_t id = 0;
            gmpunch_address from = address("10.0.0.1", uint16_t(1000 + i));
            if (gmpunch_master_tcp_accepted(d.master, d.now, &from, &id)) continue;
            const bytes request = i == 0 ? reg2({"a"}) : sorted("data1", "ASC", std::to_string(i)).request();
            REQUIRE(gmpunch_master_tcp_data(d.master, d.now, id, request.data(), request.size()) == GMPUNCH_OK);
            d.pump();
            const std::string got = d.take(id);
            if (i == 0) continue;
            CHECK((got.empty() ? d.closed[id] : got.substr(0, 2) == "\xf9["));
            if (!got.empty()) CHECK(parse(got).size() == d.stats().listed); // whole, or not at all
            answered += !got.empty();
            closed += d.closed[id];
        }
        failed = d.memory.calls > d.memory.fail_from;
        d.memory.fail_from = SIZE_MAX;
        parse(d.list());
    }
    CHECK(n > 5);
    CHECK(answered > 2);
    CHECK(closed > 2);
}

TEST_CASE("lobby: the order stays while hosts come and go, and places that were left are used again") {
    desk d;
    std::vector<std::pair<std::string, uint32_t>> expected; // last byte of the IP, connection
    gmpunchi_object random{};
    uint32_t most = 0;
    for (int i = 0; i < 3000; i++) {
        uint64_t dice = gmpunchi_random(&random);
        if (expected.size() < 100 && (dice % 2 || expected.size() < 90)) {
            std::string number = std::to_string(i % 250);
            expected.emplace_back(number, d.host("10.0." + std::to_string(i / 250) + "." + number, {"game", number}));
        } else {
            auto gone = expected.begin() + std::ptrdiff_t(dice / 2 % expected.size());
            REQUIRE(gmpunch_master_tcp_closed(d.master, d.now, gone->second, 0) == GMPUNCH_OK);
            expected.erase(gone);
        }
        most = std::max(most, d.master->listed_room);
        if (i % 50) continue;
        std::string forward, backward, last = expected.back().first;
        for (const auto &host : expected) {
            forward += (forward.empty() ? "" : " ") + host.first;
            backward = host.first + (backward.empty() ? "" : " ") + backward;
        }
        CHECK(ips(d.list(sorted("date", "DESC"))) == forward);
        CHECK(ips(d.list(sorted("date", "ASC"))) == backward);
        CHECK(ips(d.list(sorted("date", "ASC", "1"))) == last);
        query q;
        q.filter[1] = last;
        CHECK(parse(d.list(q)).size() >= 1);
    }
    CHECK(most == 256); // more than three quarters of 128 are in use
}

TEST_CASE("lobby: strings whose signatures are the same are not taken for each other") {
    desk d;
    const auto signature = [&](const std::string &data) {
        const char *all[GMPUNCH_DATA_STRINGS] = {data.c_str(), "", "", "", "", "", "", ""};
        return gmpunchi_sign(d.master, all);
    };
    std::string other = "0";
    while (signature(other) != signature("wanted")) other = std::to_string(std::stoi(other) + 1);
    d.host("10.0.0.1", {other});
    d.host("10.0.0.2", {"wanted"});
    query q;
    q.filter[0] = "wanted";
    CHECK(ips(d.list(q)) == "2");
    q.filter[0] = other;
    CHECK(ips(d.list(q)) == "1");
}

TEST_CASE("lobby: a filter looks only at hosts whose signature fits, each string's part of it") {
    desk d;
    const strings data = {"1", "2", "3", "4", "5", "6", "7", "8"};
    d.host("10.0.0.1", data);
    const char *texts[GMPUNCH_DATA_STRINGS];
    for (size_t i = 0; i < GMPUNCH_DATA_STRINGS; i++) texts[i] = data[i].c_str();
    for (size_t i = 0; i < GMPUNCH_DATA_STRINGS; i++) {
        CAPTURE(i);
        const uint64_t before = gmpunchi_sign(d.master, texts);
        uint64_t changed = 0;
        for (const char *other : {"", "a", "b", "c"}) {
            texts[i] = other;
            changed |= before ^ gmpunchi_sign(d.master, texts);
        }
        texts[i] = data[i].c_str();
        CHECK(changed != 0);
        CHECK((changed & ~(uint64_t(0xff) << (8 * (GMPUNCH_DATA_STRINGS - 1 - i)))) == 0);
        const gmpunchi_listed right = d.master->listed[0];
        uint64_t signature;
        std::memcpy(&signature, right.signature, sizeof signature);
        signature ^= uint64_t(1) << (8 * (GMPUNCH_DATA_STRINGS - 1 - i)); // as if string i were another
        std::memcpy(d.master->listed[0].signature, &signature, sizeof signature);
        for (size_t k = 0; k < GMPUNCH_DATA_STRINGS; k++) {
            d.run(2000); // kept lists are forgotten
            query q;
            q.filter[k] = data[k];
            CHECK(ips(d.list(q)) == (k == i ? "" : "1"));
        }
        d.run(2000);
        CHECK(ips(d.list()) == "1");
        d.master->listed[0] = right;
    }
}

TEST_CASE("lobby: strings that come in pieces may be longer together than a line") {
    gmpunch_master_config config = {};
    config.max_line = 64;
    desk d(config);
    strings data;
    data.fill(std::string(60, 'x'));
    const bytes all = reg2(data);
    for (size_t cut = 1; cut < all.size(); cut++) {
        uint32_t id = d.connect("10.0.0.1");
        d.tcp(id, bytes(all.begin(), all.begin() + std::ptrdiff_t(cut)));
        d.tcp(id, bytes(all.begin() + std::ptrdiff_t(cut), all.end()));
        CHECK_FALSE(d.closed[id]);
        CHECK(d.stats().listed == 1);
        gmpunch_master_tcp_closed(d.master, d.now, id, 0);
    }
}

TEST_CASE("lobby: ten thousand hosts, sorted and filtered") {
    gmpunch_master_config config = {};
    config.max_connections_per_ip = 10;
    desk d(config);
    for (int i = 0; i < 10000; i++)
        d.host("10." + std::to_string(i / 10000) + "." + std::to_string(i / 100 % 100) + "." + std::to_string(i % 100),
               {"game " + std::to_string(i % 500), std::to_string((i * 7919) % 10007)});
    CHECK(parse(d.list()).size() == 10000);
    query q;
    q.filter[0] = "game 77";
    CHECK(parse(d.list(q)).size() == 20);
    for (const char *direction : {"DESC", "ASC"}) {
        const std::vector<entry> all = parse(d.list(sorted("data2", direction)));
        REQUIRE(all.size() == 10000);
        CHECK(std::is_sorted(all.begin(), all.end(), [&](const entry &a, const entry &b) {
            return direction[0] == 'D' ? a.data[1] < b.data[1] : b.data[1] < a.data[1];
        }));
    }
    CHECK(parse(d.list(sorted("data2", "ASC", "100"))).size() == 100);
    CHECK(d.stats().listed == 10000);
}

// ---- introductions to a host that takes one read for one message

namespace {

// What a GameMaker host makes of its stream: each frame is one read, of which the first message counts.
std::vector<std::string> frames(const std::vector<sent> &all, uint64_t frame_ms, uint64_t phase) {
    std::vector<std::string> first;
    std::map<uint64_t, std::string> reads;
    for (const sent &s : all) reads[(s.at + phase) / frame_ms].append(s.data.begin(), s.data.end());
    for (const auto &read : reads) {
        size_t ip = read.second.find('\0'), port = read.second.find('\0', ip + 1);
        REQUIRE(port != read.second.npos);
        first.push_back(read.second.substr(1, ip - 1) + ":" + read.second.substr(ip + 1, port - ip - 1));
    }
    return first;
}

} // namespace

TEST_CASE("introductions: twenty clients in one millisecond reach a host that reads one message per frame") {
    for (bool one_ip : {false, true}) {
        CAPTURE(one_ip);
        desk d;
        d.udp("10.0.0.1", 6611, bin("reg\n\0"));
        uint32_t host = d.host("10.0.0.1", {"game"});
        d.run(10000);
        std::vector<uint32_t> clients;
        std::vector<std::string> expected;
        for (int i = 0; i < 20; i++) {
            const std::string ip = one_ip ? "10.0.1.1" : "10.0.1." + std::to_string(i);
            d.udp(ip, uint16_t(7000 + i), bin("connect\n\0"));
            clients.push_back(d.connect(ip, uint16_t(40000 + i)));
            expected.push_back(ip + ":" + std::to_string(7000 + i));
        }
        for (uint32_t id : clients) d.tcp(id, bin("connect\n10.0.0.1\n\0"));
        for (uint32_t id : clients)
            CHECK(d.take(id) == std::string("\xff"
                                            "10.0.0.1\0"
                                            "6611\0",
                                            15)); // at once
        CHECK(d.out[host].size() == 1);
        d.run(19 * 50);
        REQUIRE(d.out[host].size() == 20);
        for (size_t i = 1; i < 20; i++) CHECK(d.out[host][i].at == d.out[host][i - 1].at + 50);
        for (uint64_t phase : {0u, 7u, 15u, 22u, 32u})
            for (uint64_t frame : {16u, 33u, 50u}) CHECK(frames(d.out[host], frame, phase) == expected);
    }
}

TEST_CASE("introductions: the gap as configured, for those that need it, and from the last one on") {
    auto times = [](gmpunch_master_config config, const bytes &registration, std::vector<uint64_t> asked) {
        desk d(config);
        d.udp("10.0.0.1", 6611, bin("reg\n\0"));
        uint32_t host = d.connect("10.0.0.1");
        d.tcp(host, registration);
        d.run(5000);
        uint64_t start = d.now;
        for (size_t i = 0; i < asked.size(); i++) {
            if (start + asked[i] > d.now) d.run(start + asked[i] - d.now);
            const std::string ip = "10.0.1." + std::to_string(i);
            d.udp(ip, 7000, bin("connect\n\0"));
            d.tcp(d.connect(ip), bin("connect\n10.0.0.1\n\0"));
        }
        d.run(10000);
        std::string out;
        for (const sent &s : d.out[host]) out += std::to_string(s.at - start) + " ";
        return out;
    };
    gmpunch_master_config config = {};
    const bytes classic = bin("reg\n\0"), game = reg2({"a"}), both = bin("reg\n\0") + reg2({"a"});
    CHECK(times(config, game, {0, 0, 0}) == "0 50 100 ");
    CHECK(times(config, classic, {0, 0, 0}) == "0 50 100 ");
    CHECK(times(config, both, {0, 0, 0}) == "0 0 0 "); // reads a stream
    CHECK(times(config, reg2({"a"}) + bin("reg\n\0"), {0, 0}) == "0 50 ");
    CHECK(times(config, game, {0, 20, 49, 50, 200, 249, 250}) == "0 50 100 150 200 250 300 ");
    CHECK(times(config, game, {0, 50, 100}) == "0 50 100 ");
    CHECK(times(config, game, {0, 5000}) == "0 5000 ");
    config.introduction_gap_ms = 200;
    CHECK(times(config, game, {0, 0, 100}) == "0 200 400 ");
    config.introduction_gap_ms = GMPUNCH_NEVER;
    CHECK(times(config, game, {0, 0}) == "0 0 ");
}

TEST_CASE("introductions: who asks in the very millisecond in which the gap ends need not wait for a tick") {
    for (uint64_t later : {49u, 50u, 51u}) {
        CAPTURE(later);
        desk d;
        d.udp("10.0.0.1", 6611, bin("reg\n\0"));
        const uint32_t host = d.host("10.0.0.1", {"a"});
        d.run(5000);
        d.out[host].clear();
        for (const char *ip : {"10.0.1.1", "10.0.1.2"}) {
            d.udp(ip, 7000, bin("connect\n\0"));
            d.tcp(d.connect(ip), bin("connect\n10.0.0.1\n\0"));
            CHECK(d.out[host].size() == (ip[7] == '1' || later < 50 ? 1 : 2));
            d.now += later;
        }
    }
}

TEST_CASE("introductions: hosts that cool do not wait for each other, and may end while they do") {
    desk d;
    std::vector<uint32_t> hosts;
    for (int i = 0; i < 30; i++) {
        const std::string ip = "10.0.0." + std::to_string(i);
        d.udp(ip, 6611, bin("reg\n\0"));
        hosts.push_back(d.host(ip, {"a"}));
    }
    uint64_t start = d.now;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < hosts.size(); i++) {
            const std::string ip = "10.1." + std::to_string(round) + "." + std::to_string(i);
            d.udp(ip, 7000, bin("connect\n\0"));
            d.tcp(d.connect(ip), line("connect") + line("10.0.0." + std::to_string(i)));
            if (round == 0 && i % 3 == 0) d.run(1); // so that they do not cool in step
        }
    gmpunch_master_tcp_closed(d.master, d.now, hosts[3], 0);
    d.run(20);
    gmpunch_master_tcp_closed(d.master, d.now, hosts[4], 0);
    d.run(1000);
    for (size_t i = 0; i < hosts.size(); i++) {
        if (i == 3 || i == 4) continue;
        const std::vector<sent> &got = d.out[hosts[i]];
        REQUIRE(got.size() == 3);
        CHECK(got[0].at <= start + 10);
        CHECK(got[1].at == got[0].at + 50);
        CHECK(got[2].at == got[1].at + 50);
    }
}

TEST_CASE("lobby: a connection that can't be answered may be closed by its peer first") {
    gmpunch_master_config config = {};
    config.max_messages_per_connection = 1;
    desk d(config);
    const bytes version = bin("version\n\0");
    uint32_t failing = d.connect("10.0.0.1");
    REQUIRE(gmpunch_master_tcp_data(d.master, d.now, failing, (version + version).data(), 2 * version.size()) == GMPUNCH_OK);
    REQUIRE(gmpunch_master_tcp_closed(d.master, d.now, failing, 0) == GMPUNCH_OK);
    d.pump();
    CHECK(d.closed.empty());
    uint32_t next = d.connect("10.0.0.1");
    d.tcp(next, version);
    CHECK(d.take(next).size() > 1);
    CHECK(d.closed.empty());
    d.tcp(next, version + version); // and if it is not, the master closes it
    CHECK(d.closed.count(next) == 1);
}

TEST_CASE("lobby: the end of a connection has its time") {
    gmpunch_master_config config = {};
    config.host_port_ms = 5000;
    desk d(config);
    d.udp("10.0.0.1", 6611, bin("reg\n\0"));
    uint32_t host = d.host("10.0.0.1", {"a"});
    d.now += 20000;
    REQUIRE(gmpunch_master_tcp_closed(d.master, d.now, host, 0) == GMPUNCH_OK);
    CHECK(gmpunch_master_next_deadline(d.master) == d.now + 5000); // from now on its port waits for it
}

TEST_CASE("introductions: a port that was used belongs to the next request after two seconds, not before") {
    for (uint64_t pause : {2000u, 2001u}) {
        CAPTURE(pause);
        desk d;
        d.udp("10.0.0.1", 6611, bin("reg\n\0"));
        d.host("10.0.0.1", {"a"});
        d.udp("10.0.0.9", 7001, bin("connect\n\0"));
        uint32_t first = d.connect("10.0.0.9");
        d.tcp(first, line("connect") + line("10.0.0.1"));
        CHECK(d.take(first)[0] == '\xff');
        d.now += pause;
        d.udp("10.0.0.9", 7001, bin("connect\n\0"));
        uint32_t second = d.connect("10.0.0.9");
        d.tcp(second, line("connect") + line("10.0.0.1"));
        CHECK(d.take(second).empty() == (pause == 2000));
    }
}

TEST_CASE("introductions: two hosts and twenty clients behind one IP, in many orders of arrival") {
    // UDP and TCP of each in order, the two hosts interleaved in each way
    const std::vector<std::string> orders = {"UuTt", "UTut", "UuTTt", "TtUu", "TUtu", "UTtu", "TUut", "UUuuTt"};
    for (const std::string &order : orders)
        for (uint64_t pause : {0u, 5u, 60u}) {
            CAPTURE(order);
            CAPTURE(pause);
            desk d;
            const std::string ip = "10.0.0.1";
            uint32_t first = d.connect(ip, 1001), second = d.connect(ip, 1002);
            for (char c : order) {
                if (c == 'U') d.udp(ip, 6611, bin("reg\n\0"));
                if (c == 'u') d.udp(ip, 6622, bin("reg\n\0"));
                if (c == 'T') d.tcp(first, reg2({"first"}));
                if (c == 't') d.tcp(second, reg2({"second"}));
                d.run(pause);
            }
            d.run(5000);
            std::vector<uint32_t> clients;
            std::vector<std::string> expected;
            for (int i = 0; i < 20; i++) {
                d.udp(ip, uint16_t(7000 + i), bin("connect\n\0"));
                clients.push_back(d.connect(ip, uint16_t(2000 + i)));
                d.tcp(clients.back(), line("connect") + line(ip));
                expected.push_back(ip + ":" + std::to_string(7000 + i));
            }
            d.run(1000);
            for (uint32_t id : clients)
                CHECK(d.take(id) == std::string("\xff"
                                                "10.0.0.1\0"
                                                "6611\0",
                                                15));
            CHECK(frames(d.out[first], 33, 0) == expected);
            CHECK(d.out[second].empty());
            gmpunch_master_tcp_closed(d.master, d.now, first, 0); // then the other is the one that is met
            d.udp(ip, 7777, bin("connect\n\0"));
            uint32_t late = d.connect(ip, 3000);
            d.tcp(late, line("connect") + line(ip));
            CHECK(d.take(late) == std::string("\xff"
                                              "10.0.0.1\0"
                                              "6622\0",
                                              15));
            CHECK(d.take(second) == std::string("\xff"
                                                "10.0.0.1\0"
                                                "7777\0",
                                                15));
        }
}

TEST_CASE("introductions: a port that nobody asked with is not given to the next of that IP") {
    desk d;
    d.udp("10.0.0.1", 6611, bin("reg\n\0"));
    uint32_t host = d.host("10.0.0.1", {"a"});
    d.udp("10.0.0.9", 7001, bin("connect\n\0")); // of a client that gave up
    d.run(3000);
    uint32_t client = d.connect("10.0.0.9");
    d.tcp(client, bin("connect\n10.0.0.1\n\0"));
    CHECK(d.take(client) == ""); // its own port is on the way
    d.run(20);
    d.udp("10.0.0.9", 7002, bin("connect\n\0"));
    CHECK(d.take(client) == std::string("\xff"
                                        "10.0.0.1\0"
                                        "6611\0",
                                        15));
    CHECK(d.take(host) == std::string("\xff"
                                      "10.0.0.9\0"
                                      "7002\0",
                                      15));
    uint32_t again = d.connect("10.0.0.9"); // one whose port never comes gets the best guess after the hold
    d.tcp(again, bin("connect\n10.0.0.1\n\0"));
    d.run(999);
    CHECK(d.take(again) == "");
    d.run(1);
    CHECK(d.take(again) == std::string("\xff"
                                       "10.0.0.1\0"
                                       "6611\0",
                                       15));
    CHECK(d.take(host) == std::string("\xff"
                                      "10.0.0.9\0"
                                      "7001\0",
                                      15));
}

// ---- the client

namespace {

struct download {
    gmpunch_lobby *lobby = nullptr;
    uint64_t now = 1000;
    std::vector<std::string> log; // what it wanted done, and told
    uint32_t connection = 0;
    bytes request;

    explicit download(gmpunch_lobby_config config = gmpunch_lobby_config()) {
        if (!config.master) config.master = "203.0.113.1";
        REQUIRE(gmpunch_lobby_create(&config, now, &lobby) == GMPUNCH_OK);
        pump();
    }
    ~download() { gmpunch_lobby_close(lobby); }
    download(const download &) = delete;
    download &operator=(const download &) = delete;

    void pump() {
        gmpunch_transmit t;
        while (gmpunch_lobby_next_transmit(lobby, &t) == 1) {
            if (t.kind == GMPUNCH_TRANSMIT_TCP_OPEN) {
                connection = t.connection;
                log.push_back("open " + text(t.to));
            } else if (t.kind == GMPUNCH_TRANSMIT_TCP_SEND) {
                request = request + bytes(t.data, t.data + t.len);
                log.push_back("send");
            } else {
                CHECK(t.kind == GMPUNCH_TRANSMIT_TCP_CLOSE);
                log.push_back("close");
            }
        }
        gmpunch_event e;
        while (gmpunch_lobby_next_event(lobby, &e) == 1) {
            std::string out = gmpunch_event_name(e.type);
            if (e.type == GMPUNCH_EVENT_LOBBY_ENTRY) {
                out += " " + text(e.address);
                for (uint32_t i = 1; i <= 8; i++) out += std::string("|") + gmpunch_event_string(&e, i);
                out += "|" + std::to_string(e.created);
            }
            if (e.reason) out += std::string(" ") + gmpunch_reason_name(e.reason);
            out += " " + std::to_string(e.count);
            if (e.ignored) out += " ignored " + std::to_string(e.ignored);
            log.push_back(out);
        }
    }
    void opened() {
        REQUIRE(gmpunch_lobby_tcp_opened(lobby, now, connection) == GMPUNCH_OK);
        pump();
    }
    // Offers bytes in pieces of this size.
    void data(const bytes &all, size_t piece = SIZE_MAX) {
        for (size_t at = 0; at < all.size();) {
            size_t len = std::min(piece, all.size() - at);
            int32_t taken = gmpunch_lobby_tcp_data(lobby, now, connection, all.data() + at, len);
            if (taken == GMPUNCH_ERR_CONNECTION) break;
            REQUIRE(taken >= 0);
            at += size_t(taken);
            pump();
        }
    }
    void tick(uint64_t ms) {
        now += ms;
        REQUIRE(gmpunch_lobby_tick(lobby, now) == GMPUNCH_OK);
        pump();
    }
    std::string told() {
        std::string all;
        for (const std::string &s : log) all += (all.empty() ? "" : "; ") + s;
        log.clear();
        return all;
    }
};

bytes answer(const std::string &json) { return bytes(1, 0xf9) + bytes(json.begin(), json.end()) + bytes(1, '\n'); }

const std::string two = R"([{"ip":"10.0.0.1","data1":"a\u003cb","data2":"","data3":"é","data4":"","data5":"","data6":"",)"
                        R"("data7":"","data8":"z","createdTime":1795332611},{"ip":"2001:db8::1","createdTime":5}])",
                  two_told = "lobby_entry 10.0.0.1|a<b||\xc3\xa9|||||z|1795332611 1; lobby_entry 2001:db8::1|||||||||5 2; ";

} // namespace

TEST_CASE("lobby client: one request, each host an event, in every split") {
    for (size_t piece : {size_t(1), size_t(2), size_t(7), size_t(100), SIZE_MAX}) {
        download d;
        CHECK(d.told() == "open 203.0.113.1:6510");
        d.opened();
        CHECK(d.told() == "send");
        CHECK(d.request == query().request()); // as the GameMaker scripts ask for everything
        d.data(answer(two), piece);
        CHECK(d.told() == two_told + "close; lobby_done 2");
        CHECK(gmpunch_lobby_next_deadline(d.lobby) == UINT64_MAX);
    }
    const bytes all = answer(two);
    for (size_t cut = 0; cut <= all.size(); cut++) {
        download d;
        d.opened();
        d.told();
        d.data(bytes(all.begin(), all.begin() + long(cut)));
        d.data(bytes(all.begin() + long(cut), all.end()));
        CHECK(d.told() == two_told + "close; lobby_done 2");
    }
}

TEST_CASE("lobby client: what it asks for, directions as they are meant") {
    gmpunch_lobby_config config = {};
    query q;
    config.filter[0] = "game 1";
    config.filter[7] = "\xc3\xa9";
    config.sort_by = 2;
    config.descending = 1;
    config.limit = 20;
    q.filter = {"game 1", "", "", "", "", "", "", "\xc3\xa9"};
    q.sort = "data2";
    q.direction = "ASC"; // the wire has them swapped
    q.limit = "20";
    download d(config);
    d.opened();
    CHECK(d.request == q.request());
    config.limit = GMPUNCH_LIMIT_NONE;
    config.descending = 0;
    q.limit = "0";
    q.direction = "DESC";
    download none(config);
    none.opened();
    CHECK(none.request == q.request());
    const std::string longest(65536, 'f'), too_long(65537, 'f');
    config.filter[3] = longest.c_str();
    q.filter[3] = longest;
    download big(config);
    big.opened();
    CHECK(big.request == q.request());
    gmpunch_lobby *lobby = nullptr;
    for (const char *bad : {too_long.c_str(), "a\nb", "\x7f"}) {
        config.filter[3] = bad;
        CHECK(gmpunch_lobby_create(&config, 0, &lobby) == GMPUNCH_ERR_CONFIG);
        CHECK(lobby == nullptr);
    }
}

TEST_CASE("lobby client: from the master's mouth") {
    desk d;
    for (int i = 0; i < 300; i++)
        d.host("10.0." + std::to_string(i / 100) + "." + std::to_string(i % 100), {std::to_string(i)});
    gmpunch_lobby_config config = {};
    config.descending = 1;
    config.limit = 150;
    download client(config);
    client.opened();
    uint32_t id = d.connect("192.0.2.1");
    d.tcp(id, client.request);
    client.told();
    const std::string list = d.take(id);
    client.data(bytes(list.begin(), list.end()), 1460);
    const std::string told = client.told();
    CHECK(told.find("lobby_entry 10.0.2.99|299|||||||") == 0);
    CHECK(told.find("lobby_entry 10.0.1.50|150|||||||") != told.npos);
    CHECK(told.find("|149|") == told.npos);
    CHECK(told.find("lobby_done 150") != told.npos);
}

TEST_CASE("lobby client: what is no list ends it") {
    for (const char *json : {"{}", "[5]", "[[]]", "[{\"ip\":\"1.2.3.4\"} {\"ip\":\"1.2.3.4\"}]", "[,{\"ip\":\"1.2.3.4\"}]",
                             "[{\"ip\":\"1.2.3.4\"},]", "[{\"ip\":\"1.2.3.4\"},,{\"ip\":\"1.2.3.4\"}]", "[null]", "[\"a\"]",
                             "]", "xxxxxxxxxxxxx", "[aaaaaaaaaaaaaaaaaaaaaa"}) {
        CAPTURE(json);
        download d;
        d.opened();
        d.told();
        d.data(answer(json));
        const std::string told = d.told();
        CHECK(told.find("failed master_malformed") != told.npos);
        CHECK(told.find("close") != told.npos);
    }
    for (int first : {0xff, 0xfe, 0xf8, 0x00, 0x5b}) {
        download d;
        d.opened();
        d.told();
        d.data(bytes(1, uint8_t(first)));
        CHECK(d.told() == "close; failed master_malformed 0");
    }
}

TEST_CASE("lobby client: an entry that is no host does not hide the others") {
    const std::string good = R"({"ip":"10.0.0.1","data1":"a"})";
    for (const char *bad : {"{}", "{\"ip\":\"x\"}", "{\"ip\":5}", "{\"ip\":\"1.2.3.4\",\"data1\":\"\\ud800\"}",
                            "{\"ip\":\"1.2.3.4\",\"data1\":\"\xc3\x3f\"}", "{\"ip\":\"1.2.3.4\",\"data1\":\"\x01\"}",
                            "{\"ip\":\"1.2.3.4\",\"data1\":\"\\u0000\"}", "{\"ip\":\"1.2.3.4\",\"data1\":null}",
                            "{\"ip\":\"1.2.3.4\"]", "{\"ip\":\"1.2.3.4\",\"createdTime\":-1}", "{\"ip\":\"1.2.3.4\",}",
                            "{\"a\" 1,\"ip\":\"1.2.3.4\"}", "{\"ip\":\"1.2.3.4\",\"x\":[[[[[[[[[]]]]]]]]]}"}) {
        CAPTURE(std::string(bad));
        for (const std::string &json : {"[" + std::string(bad) + "," + good + "]", "[" + good + "," + bad + "]"})
            for (size_t piece : {size_t(1), SIZE_MAX}) {
                download d;
                d.opened();
                d.told();
                d.data(answer(json), piece);
                CHECK(d.told() == "lobby_entry 10.0.0.1|a||||||||0 1; close; lobby_done 1 ignored 1");
                gmpunch_lobby_stats stats = {};
                REQUIRE(gmpunch_lobby_get_stats(d.lobby, &stats) == GMPUNCH_OK);
                CHECK(stats.malformed == 1);
                CHECK(stats.oversized == 0);
            }
    }
}

TEST_CASE("lobby client: brackets, commas and quotation marks in strings are text") {
    for (const char *text :
         {"}", "]", "{", "[", ",", "}]", "}]}]", "{[{[", R"(\")", R"(\"})", R"(\\)", R"(\\\"])", "},{", ":"}) {
        CAPTURE(text);
        const std::string one = std::string(R"({"ip":"10.0.0.1","data1":")") + text + R"(","createdTime":5})";
        std::string shown;
        for (const char *c = text; *c; c++) shown += *c == '\\' ? *++c : *c;
        for (size_t piece : {size_t(1), SIZE_MAX}) {
            download d;
            d.opened();
            d.told();
            d.data(answer("[" + one + "," + one + "]"), piece);
            CHECK(d.told() == "lobby_entry 10.0.0.1|" + shown + "||||||||5 1; lobby_entry 10.0.0.1|" + shown +
                                  "||||||||5 2; close; lobby_done 2");
        }
    }
}

TEST_CASE("lobby client: white space has no limit and takes no room") {
    gmpunch_lobby_config config = {};
    config.max_entry = 1024;
    const std::string space(3000, ' '), entry = R"({"ip":"10.0.0.1","data1":"a"})";
    for (const std::string &json : {"[" + space + "]", space + "[" + space + "]"}) {
        download d(config);
        d.opened();
        d.told();
        d.data(answer(json));
        CHECK(d.told() == "close; lobby_done 0");
    }
    download d(config);
    d.opened();
    d.told();
    d.data(answer("[" + space + entry + space + "," + space + entry + space + "]"), 777);
    CHECK(d.told() == "lobby_entry 10.0.0.1|a||||||||0 1; lobby_entry 10.0.0.1|a||||||||0 2; close; lobby_done 2");
}

TEST_CASE("lobby client: an answer that ends too early, or never comes") {
    const bytes all = answer(two);
    for (size_t cut = 0; cut + 2 < all.size(); cut++) {
        download d;
        d.opened();
        d.told();
        d.data(bytes(all.begin(), all.begin() + long(cut)));
        REQUIRE(gmpunch_lobby_tcp_closed(d.lobby, d.now, d.connection, 0) == GMPUNCH_OK);
        d.pump();
        const std::string told = d.told();
        CHECK(told.find("failed master_closed") != told.npos);
        CHECK(told.find("close;") == told.npos);
    }
    download silent;
    silent.opened();
    silent.told();
    silent.tick(9999);
    CHECK(silent.told() == "");
    silent.tick(1);
    CHECK(silent.told() == "close; failed master_silent 0");

    gmpunch_lobby_config patient{};
    patient.total_timeout_ms = GMPUNCH_NEVER;
    download slow(patient); // each byte is a sign of life
    slow.opened();
    slow.told();
    for (uint8_t byte : all) {
        slow.tick(9000);
        slow.data(bytes(1, byte));
    }
    CHECK(slow.told() == two_told + "close; lobby_done 2");

    download busy; // it is the application that takes its time
    busy.opened();
    busy.told();
    int32_t taken = gmpunch_lobby_tcp_data(busy.lobby, busy.now, busy.connection, all.data(), all.size());
    CHECK(taken > 0);
    CHECK(size_t(taken) < all.size());
    CHECK(gmpunch_lobby_tcp_data(busy.lobby, busy.now, busy.connection, all.data(), all.size()) == 0);
    busy.now += 100000;
    REQUIRE(gmpunch_lobby_tick(busy.lobby, busy.now) == GMPUNCH_OK);
    busy.data(bytes(all.begin() + taken, all.end()));
    CHECK(busy.told() == two_told + "close; lobby_done 2");
}

TEST_CASE("lobby client: the next address where one does not work, a name to be looked up") {
    gmpunch_lobby_config config = {};
    config.master = "master.example:7000";
    download d(config);
    CHECK(d.told() == "resolve 0");
    const gmpunch_address found[2] = {address("203.0.113.1"), address("203.0.113.2")};
    REQUIRE(gmpunch_lobby_set_master(d.lobby, d.now, found, 2) == GMPUNCH_OK);
    d.pump();
    CHECK(d.told() == "open 203.0.113.1:7000");
    REQUIRE(gmpunch_lobby_tcp_closed(d.lobby, d.now, d.connection, 111) == GMPUNCH_OK);
    d.pump();
    CHECK(d.told() == "open 203.0.113.2:7000");
    d.tick(10000);
    CHECK(d.told() == "close; failed master_unreachable 0");
    CHECK(gmpunch_lobby_set_master(d.lobby, d.now, found, 2) == GMPUNCH_ERR_STATE);

    download late(config); // the name took its time
    late.now += 7000;
    REQUIRE(gmpunch_lobby_set_master(late.lobby, late.now, found, 2) == GMPUNCH_OK);
    CHECK(gmpunch_lobby_next_deadline(late.lobby) > late.now);
    CHECK(late.lobby->object.now == late.now);

    download none(config);
    none.told();
    REQUIRE(gmpunch_lobby_set_master(none.lobby, none.now, nullptr, 0) == GMPUNCH_OK);
    none.pump();
    CHECK(none.told() == "failed resolve_failed 0");
}

TEST_CASE("lobby client: limits") {
    gmpunch_lobby_config config = {};
    config.max_entry = 1024;
    const std::string small = R"({"ip":"10.0.0.1","data1":"a"})",
                      large = R"({"ip":"10.0.0.2","data1":")" + std::string(2000, 'x') + "\"}";
    for (const std::string &json : {"[" + large + "," + small + "]", "[" + small + "," + large + "]",
                                    "[" + large + "," + small + "," + large + "," + large + "]"}) {
        download d(config);
        d.opened();
        d.told();
        d.data(answer(json), 100);
        const size_t many = size_t(std::count(json.begin(), json.end(), '{')) - 1;
        CHECK(d.told() == "lobby_entry 10.0.0.1|a||||||||0 1; close; lobby_done 1 ignored " + std::to_string(many));
    }
    std::string edge = R"({"ip":"10.0.0.2","data1":")";
    edge += std::string(1024 - 1 - 1 - edge.size() - 2, 'x') + "\"}"; // with F9 and the bracket exactly what fits
    for (int more = 0; more < 2; more++) {
        download d(config);
        d.opened();
        d.told();
        if (more) edge.insert(edge.size() - 2, "x");
        d.data(answer("[" + edge + "]"));
        CHECK((d.told().find("ignored 1") != std::string::npos) == (more == 1));
    }
    download endless(config);
    endless.opened();
    endless.told();
    endless.data(answer("[{\"data1\":\""));
    const bytes much(1 << 20, 'x');
    for (int i = 0; i < 17; i++) endless.data(much);
    CHECK(endless.told() == "close; failed limit 0");

    config.max_entries = 2;
    download few(config);
    few.opened();
    few.told();
    few.data(answer("[" + small + "," + small + "," + small + "]"));
    const std::string told = few.told();
    CHECK(told.find("lobby_entry 10.0.0.1|a||||||||0 2; close; failed limit 2") != told.npos);

    config.max_entries = 3; // of any kind
    const std::string oversized = "{\"ip\":\"10.0.0.1\",\"data1\":\"" + std::string(2000, 'x') + "\"}";
    for (const std::string &list : {small + ",{}," + oversized, oversized + ",{}," + small,
                                    oversized + "," + oversized + ",{}"}) {
        download mixed(config);
        mixed.opened();
        mixed.told();
        mixed.data(answer("[" + list));
        CHECK(mixed.told().find("failed") == std::string::npos);
        mixed.data(bytes(1, ','));
        mixed.data(bytes(1, '{'));
        mixed.data(bytes(1, '}'));
        CHECK(mixed.told().find("failed limit") != std::string::npos);
    }
}

TEST_CASE("lobby client: a hundred thousand hosts in one allocation") {
    heap memory;
    gmpunch_lobby_config config = {};
    config.allocator = {heap::alloc, heap::free, &memory};
    {
        download d(config);
        CHECK(memory.calls == 1);
        CHECK(memory.used == gmpunch_lobby_memory_size(&config, 0));
        CHECK(memory.used < 2 * 65536 + 4096);
        d.opened();
        std::string chunk = "\xf9[";
        size_t entries = 0;
        gmpunch_event e;
        for (int i = 0; i < 100000; i++) {
            chunk += (i ? ",{\"ip\":\"10." : "{\"ip\":\"10.") + std::to_string(i / 65536) + "." +
                     std::to_string(i / 256 % 256) + "." + std::to_string(i % 256) + "\",\"data1\":\"game\",\"data2\":\"" +
                     std::to_string(i) + "\",\"createdTime\":1}";
            if (i == 99999) chunk += "]\n";
            if (chunk.size() < 4096 && i != 99999) continue;
            for (size_t at = 0; at < chunk.size();) {
                int32_t taken = gmpunch_lobby_tcp_data(
                    d.lobby, d.now, d.connection, reinterpret_cast<const uint8_t *>(chunk.data()) + at, chunk.size() - at);
                if (taken < 0) break;
                at += size_t(taken);
                while (gmpunch_lobby_next_event(d.lobby, &e) > 0)
                    if (e.type == GMPUNCH_EVENT_LOBBY_ENTRY && gmpunch_event_string(&e, 2) == std::to_string(entries))
                        entries++;
            }
            chunk.clear();
        }
        CHECK(entries == 100000);
        CHECK(e.type == GMPUNCH_EVENT_NONE);
        gmpunch_lobby_stats stats = {};
        REQUIRE(gmpunch_lobby_get_stats(d.lobby, &stats) == GMPUNCH_OK);
        CHECK(stats.entries == 100000);
        CHECK(stats.bytes > 5000000);
        CHECK(memory.calls == 1);
    }
    CHECK(memory.used == 0);
}

TEST_CASE("lobby client: arguments") {
    gmpunch_lobby_config config = {};
    gmpunch_lobby *lobby = nullptr;
    gmpunch_event event;
    gmpunch_transmit transmit;
    CHECK(gmpunch_lobby_create(&config, 0, &lobby) == GMPUNCH_ERR_CONFIG); // no master
    config.master = "203.0.113.1:0";
    CHECK(gmpunch_lobby_create(&config, 0, &lobby) == GMPUNCH_ERR_CONFIG);
    config.master = "203.0.113.1";
    CHECK(gmpunch_lobby_create(&config, 0, nullptr) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_create(nullptr, 0, &lobby) == GMPUNCH_ERR_ARGUMENT);
    for (uint32_t gmpunch_lobby_config::*field : {&gmpunch_lobby_config::sort_by, &gmpunch_lobby_config::max_entry}) {
        gmpunch_lobby_config bad = config;
        bad.*field = 9;
        CHECK(gmpunch_lobby_create(&bad, 0, &lobby) == GMPUNCH_ERR_CONFIG);
        CHECK(gmpunch_lobby_memory_size(&bad, 0) == 0);
    }
    std::vector<uint64_t> memory(gmpunch_lobby_memory_size(&config, 0) / 8 + 1);
    config.memory = memory.data();
    config.memory_size = 100;
    CHECK(gmpunch_lobby_create(&config, 0, &lobby) == GMPUNCH_ERR_MEMORY);
    config.memory_size = memory.size() * 8;
    REQUIRE(gmpunch_lobby_create(&config, 0, &lobby) == GMPUNCH_OK);
    CHECK(gmpunch_lobby_tcp_opened(lobby, 0, 1) == GMPUNCH_ERR_CONNECTION); // it did not ask for it yet
    CHECK(gmpunch_lobby_next_transmit(lobby, &transmit) == 1);
    CHECK(gmpunch_lobby_tcp_opened(lobby, 0, transmit.connection) == GMPUNCH_OK);
    CHECK(gmpunch_lobby_tcp_opened(lobby, 0, transmit.connection) == GMPUNCH_ERR_STATE);
    CHECK(gmpunch_lobby_tcp_data(lobby, 0, transmit.connection, nullptr, 1) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_tcp_data(lobby, 0, transmit.connection + 1, nullptr, 0) == GMPUNCH_ERR_CONNECTION);
    CHECK(gmpunch_lobby_tcp_closed(lobby, 0, transmit.connection + 1, 0) == GMPUNCH_ERR_CONNECTION);
    CHECK(gmpunch_lobby_set_master(lobby, 0, nullptr, 1) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_poll(lobby, &event, 0) == GMPUNCH_ERR_STATE);
    CHECK(gmpunch_lobby_waits(lobby, nullptr, 0) == GMPUNCH_ERR_STATE);
    CHECK(gmpunch_lobby_resolve(lobby) == GMPUNCH_ERR_STATE);
    gmpunch_lobby_close(lobby);
    CHECK(gmpunch_lobby_set_master(nullptr, 0, nullptr, 0) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_tcp_opened(nullptr, 0, 1) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_tcp_data(nullptr, 0, 1, nullptr, 0) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_tcp_closed(nullptr, 0, 1, 0) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_tcp_sent(nullptr, 1, 0) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_tcp_writable(nullptr, 0, 1) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_tick(nullptr, 0) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_next_deadline(nullptr) == UINT64_MAX);
    CHECK(gmpunch_lobby_next_transmit(nullptr, &transmit) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_next_event(nullptr, &event) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_get_stats(nullptr, nullptr) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_poll(nullptr, &event, 0) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_waits(nullptr, nullptr, 0) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_resolve(nullptr) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_os_error(nullptr) == 0);
    CHECK(gmpunch_lobby_open(nullptr, &lobby) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_lobby_open(&config, nullptr) == GMPUNCH_ERR_ARGUMENT);
    CHECK(gmpunch_master_set_unix_time(nullptr, 0, 0) == GMPUNCH_ERR_ARGUMENT);
    gmpunch_lobby_close(nullptr);
}

TEST_CASE("lobby client: its events tell the time since it was made, and how many hosts there were") {
    for (uint64_t start : {uint64_t(1), uint64_t(7000000000)}) {
        gmpunch_lobby_config config = {};
        config.master = "203.0.113.1";
        gmpunch_lobby *lobby = nullptr;
        REQUIRE(gmpunch_lobby_create(&config, start, &lobby) == GMPUNCH_OK);
        gmpunch_transmit t;
        gmpunch_event e;
        REQUIRE(gmpunch_lobby_next_transmit(lobby, &t) == 1);
        REQUIRE(gmpunch_lobby_tcp_opened(lobby, start + 10, t.connection) == GMPUNCH_OK);
        const bytes all = answer(two);
        int32_t at = gmpunch_lobby_tcp_data(lobby, start + 250, t.connection, all.data(), all.size());
        REQUIRE(at > 0);
        REQUIRE(gmpunch_lobby_next_event(lobby, &e) == 1);
        CHECK(e.type == GMPUNCH_EVENT_LOBBY_ENTRY);
        CHECK(e.elapsed_ms == 250);
        CHECK(e.count == 1);
        REQUIRE(gmpunch_lobby_tcp_closed(lobby, start + 300, t.connection, 104) == GMPUNCH_OK);
        REQUIRE(gmpunch_lobby_next_event(lobby, &e) == 1);
        CHECK(e.type == GMPUNCH_EVENT_FAILED);
        CHECK(e.reason == GMPUNCH_REASON_MASTER_CLOSED);
        CHECK(e.elapsed_ms == 300);
        CHECK(e.count == 1);
        CHECK(e.os_error == 104);
        CHECK(text(e.address) == "203.0.113.1:6510");
        CHECK(gmpunch_lobby_next_event(lobby, &e) == 0);
        gmpunch_lobby_close(lobby);
    }
}

TEST_CASE("lobby client: a request that the system takes in parts") {
    gmpunch_lobby_config config = {};
    config.master = "203.0.113.1";
    gmpunch_lobby *lobby = nullptr;
    gmpunch_transmit transmit;
    bytes got;
    REQUIRE(gmpunch_lobby_create(&config, 0, &lobby) == GMPUNCH_OK);
    REQUIRE(gmpunch_lobby_next_transmit(lobby, &transmit) == 1);
    const uint32_t id = transmit.connection;
    REQUIRE(gmpunch_lobby_tcp_opened(lobby, 0, id) == GMPUNCH_OK);
    while (gmpunch_lobby_next_transmit(lobby, &transmit) == 1) {
        REQUIRE(transmit.kind == GMPUNCH_TRANSMIT_TCP_SEND);
        size_t taken = std::min<size_t>(5, transmit.len);
        got = got + bytes(transmit.data, transmit.data + taken);
        if (taken == transmit.len) continue;
        CHECK(gmpunch_lobby_tcp_sent(lobby, id, transmit.len + 1) == GMPUNCH_ERR_ARGUMENT);
        CHECK(gmpunch_lobby_tcp_sent(lobby, id, taken) == GMPUNCH_OK);
        CHECK(gmpunch_lobby_next_transmit(lobby, &transmit) == 0);
        CHECK(gmpunch_lobby_tcp_writable(lobby, 0, id) == GMPUNCH_OK);
    }
    CHECK(got == query().request());
    gmpunch_lobby_close(lobby);
}

// ---- over real sockets

namespace {

struct served {
    gmpunch_master *master = nullptr;
    gmpunch_address at;
    std::string endpoint;

    explicit served(gmpunch_master_config config = gmpunch_master_config()) {
        if (!config.max_commands_per_second) config.max_commands_per_second = GMPUNCH_NEVER; // many have one IP here
        config.any_port = 1;
        if (!config.bind_address) config.bind_address = "127.0.0.1";
        REQUIRE(gmpunch_master_open(&config, &master) == GMPUNCH_OK);
        REQUIRE(gmpunch_master_local_address(master, 0, &at) == GMPUNCH_OK);
        endpoint = text(at);
    }
    ~served() { gmpunch_master_close(master); }
    served(const served &) = delete;
    served &operator=(const served &) = delete;
};

// Downloads while the master is served; the ips in order, then the last event.
std::vector<std::string> fetch(
    served &from, gmpunch_lobby_config config, const std::function<void()> &meanwhile = [] {}) {
    std::vector<std::string> out;
    gmpunch_lobby *lobby = nullptr;
    gmpunch_event event;
    config.master = from.endpoint.c_str();
    REQUIRE(gmpunch_lobby_open(&config, &lobby) == GMPUNCH_OK);
    const uint64_t end = gmpunch_now() + 20000;
    for (bool goes_on = true; goes_on && gmpunch_now() < end;) {
        gmpunch_master_poll(from.master, nullptr, 0);
        meanwhile();
        while (goes_on && gmpunch_lobby_poll(lobby, &event, 1) > 0) {
            goes_on = event.type == GMPUNCH_EVENT_LOBBY_ENTRY;
            out.push_back(goes_on ? gmpunch_event_string(&event, 1) : gmpunch_event_name(event.type));
        }
    }
    gmpunch_lobby_close(lobby);
    return out;
}

} // namespace

TEST_CASE("lobby, sockets: hosts of ours register, change their strings, and are listed") {
    served master;
    gmpunch_host_config config = {};
    gmpunch_host *host = nullptr;
    gmpunch_event event;
    config.master = master.endpoint.c_str();
    config.bind_address = "127.0.0.1";
    config.data[0] = "before";
    REQUIRE(gmpunch_host_open(&config, &host) == GMPUNCH_OK);
    auto serve = [&](const std::function<bool()> &done) {
        const uint64_t end = gmpunch_now() + 20000;
        while (!done() && gmpunch_now() < end) {
            gmpunch_host_poll(host, &event, 1);
            gmpunch_master_poll(master.master, nullptr, 1);
        }
        return done();
    };
    auto listed = [&] {
        gmpunch_master_stats stats = {};
        gmpunch_master_get_stats(master.master, &stats);
        return stats.listed == 1;
    };
    REQUIRE(serve(listed));
    gmpunch_lobby_config all = {};
    CHECK(fetch(master, all) == std::vector<std::string>{"before", "lobby_done"});
    REQUIRE(gmpunch_host_set_data(host, 1, "after") == GMPUNCH_OK);
    REQUIRE(gmpunch_host_commit_data(host, gmpunch_now()) == GMPUNCH_OK);
    std::vector<std::string> got;
    REQUIRE(serve([&] {
        got = fetch(master, all, [&] { gmpunch_host_poll(host, &event, 0); });
        return got.size() == 2 && got[0] == "after";
    }));
    gmpunch_lobby_config other = {};
    other.filter[0] = "before";
    CHECK(fetch(master, other) == std::vector<std::string>{"lobby_done"});
    gmpunch_host_close(host);
}

TEST_CASE("lobby, sockets: a large list arrives whole, whatever the sockets take at once") {
    served master;
    const size_t many = 3000;
    const std::string filler(600, 'x');
    // the hosts come without sockets: what is tested is the way of the list
    for (size_t i = 0; i < many; i++) {
        uint32_t id = 0;
        gmpunch_address from = address(("10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250)).c_str(), 1000);
        REQUIRE(gmpunch_master_tcp_accepted(master.master, gmpunch_now(), &from, &id) == GMPUNCH_OK);
        const bytes all = reg2({std::to_string(i), filler, filler});
        REQUIRE(gmpunch_master_tcp_data(master.master, gmpunch_now(), id, all.data(), all.size()) == GMPUNCH_OK);
    }
    const std::vector<std::string> got = fetch(master, gmpunch_lobby_config());
    REQUIRE(got.size() == many + 1);
    for (size_t i = 0; i < many; i++) CHECK(got[i] == std::to_string(i));
    CHECK(got.back() == "lobby_done");
}

namespace {

// Connections by the system's own calls, as many as fit; non-blocking.
struct crowd {
    std::vector<uintptr_t> sockets;

    crowd(const gmpunch_address &to, size_t many, gmpunch_master *master) {
        for (size_t i = 0; i < many; i++) {
            gmpunch_address local = address("127.0.0.1");
            int32_t os_error = 0;
            sockets.push_back(gmpunchi_tcp_connect(&local, &to, &os_error));
            REQUIRE(sockets.back() != GMPUNCHI_NO_SOCKET);
            if (i % 50 == 49) gmpunch_master_poll(master, nullptr, 0);
        }
    }
    ~crowd() {
        for (uintptr_t &socket : sockets) gmpunchi_socket_close(&socket);
    }
    crowd(const crowd &) = delete;
    crowd &operator=(const crowd &) = delete;

    void send(const bytes &data) {
        for (uintptr_t socket : sockets) {
            int32_t os_error = 0;
            CHECK(gmpunchi_tcp_send(socket, data.data(), data.size(), &os_error) == int32_t(data.size()));
        }
    }
};

bool serve_until(gmpunch_master *master, const std::function<bool(const gmpunch_master_stats &)> &done) {
    const uint64_t end = gmpunch_now() + 20000;
    gmpunch_master_stats stats = {};
    do {
        gmpunch_master_poll(master, nullptr, 1);
        gmpunch_master_get_stats(master, &stats);
    } while (!done(stats) && gmpunch_now() < end);
    return done(stats);
}

} // namespace

TEST_CASE("lobby, sockets: many connections to be closed at once, whose peers have closed already") {
    gmpunch_master_config config = {};
    config.max_connections_per_ip = 2000;
    served master(config);
    crowd host(master.at, 1, master.master);
    REQUIRE(serve_until(master.master, [](const gmpunch_master_stats &s) { return s.connections == 1; }));
    host.send(reg2({"stays"}));
    const size_t many = 400; // more than leave in one go
    {
        crowd others(master.at, many, master.master);
        REQUIRE(serve_until(master.master,
                            [&](const gmpunch_master_stats &s) { return s.connections == many + 1 && s.hosts == 1; }));
        others.send(reg2({"old"}, "1.0.0"));
    }
    CHECK(serve_until(master.master, [](const gmpunch_master_stats &s) { return s.connections == 1; }));
    CHECK(fetch(master, gmpunch_lobby_config()) == std::vector<std::string>{"stays", "lobby_done"});
}

TEST_CASE("lobby, sockets: no answer is left behind when poll returns and the application waits") {
    gmpunch_master_config config = {};
    config.max_connections_per_ip = 2000;
    served master(config);
    const size_t many = 700;
    crowd all(master.at, many, master.master);
    REQUIRE(serve_until(master.master, [&](const gmpunch_master_stats &s) { return s.connections == many; }));
    all.send(bin("version\n"));
    gmpunch_event event;
    size_t answered = 0;
    const uint64_t end = gmpunch_now() + 20000;
    while (answered < many && gmpunch_now() < end) { // an application that waits as it is told to
        while (gmpunch_master_poll(master.master, &event, 0) > 0) {}
        answered = 0;
        for (uintptr_t socket : all.sockets) {
            char byte;
            answered += recv(gmpunchi_handle(socket), &byte, 1, MSG_PEEK) > 0;
        }
        gmpunch_master_stats stats = {};
        gmpunch_master_get_stats(master.master, &stats);
        if (answered < many && stats.tcp_bytes_in == many * 8)
            CHECK(gmpunch_master_next_deadline(master.master) <= gmpunch_now());
    }
    CHECK(answered == many);
}

TEST_CASE("lobby, sockets: a host whose strings leave in parts stays registered") {
    const gmpunch_address loopback = address("127.0.0.1");
    gmpunch_address at;
    uint8_t family;
    uintptr_t listener = gmpunchi_socket_open_bound(&loopback, 0, SOCK_STREAM, &family);
    REQUIRE(listener != GMPUNCHI_NO_SOCKET);
    gmpunchi_socket_set(listener, SOL_SOCKET, SO_RCVBUF, 2048);
    REQUIRE(listen(gmpunchi_handle(listener), 5) == 0);
    REQUIRE(gmpunchi_socket_local(listener, &at, nullptr) == GMPUNCH_OK);
    const std::string endpoint = text(at), large(32000, 'x');
    gmpunch_host_config config = {};
    config.master = endpoint.c_str();
    config.bind_address = "127.0.0.1";
    config.data_capacity = 32768;
    config.data[0] = large.c_str();
    gmpunch_host *host = nullptr;
    REQUIRE(gmpunch_host_open(&config, &host) == GMPUNCH_OK);
    uintptr_t master = GMPUNCHI_NO_SOCKET;
    gmpunch_event event;
    bool lost = false, blocked = false;
    size_t received = 0, commits = 0, expected = SIZE_MAX;
    const uint64_t end = gmpunch_now() + 20000;
    while (received < expected && !lost && gmpunch_now() < end) {
        while (gmpunch_host_poll(host, &event, 1) > 0) lost = lost || event.type == GMPUNCH_EVENT_UNREGISTERED;
        if (master == GMPUNCHI_NO_SOCKET) {
            master = uintptr_t(accept(gmpunchi_handle(listener), nullptr, nullptr));
            if (master != GMPUNCHI_NO_SOCKET) REQUIRE(gmpunchi_socket_prepare(master) == GMPUNCH_OK);
        } else if (!blocked && !host->uplink.blocked && commits < 1000) { // nobody reads yet
            commits += gmpunch_host_commit_data(host, gmpunch_now()) == GMPUNCH_OK;
        } else { // from now on somebody does
            uint8_t room[4096];
            int32_t os_error = 0, got;
            if (!blocked)
                expected = size_t(host->stats.registrations) * (5 + 6 + 7 + large.size() + 2 + 7 * 2); // "reg", "reg2" ...
            blocked = true;
            while ((got = gmpunchi_tcp_receive(master, room, sizeof room, &os_error)) > 0) received += size_t(got);
        }
    }
    CHECK(blocked);
    CHECK_FALSE(lost);
    CHECK(received >= expected);
    gmpunch_host_close(host);
    gmpunchi_socket_close(&master);
    gmpunchi_socket_close(&listener);
}

TEST_CASE("lobby, sockets: nobody there, a master that is silent, waits") {
    served nobody; // bound, and then closed: a port that refuses
    const std::string endpoint = nobody.endpoint;
    gmpunch_master_close(nobody.master);
    nobody.master = nullptr;
    gmpunch_lobby_config config = {};
    gmpunch_lobby *lobby = nullptr;
    gmpunch_event event;
    config.master = endpoint.c_str();
    REQUIRE(gmpunch_lobby_open(&config, &lobby) == GMPUNCH_OK);
    REQUIRE(gmpunch_lobby_poll(lobby, &event, 20000) == 1);
    CHECK(event.type == GMPUNCH_EVENT_FAILED);
    CHECK(event.reason == GMPUNCH_REASON_MASTER_UNREACHABLE);
    CHECK(event.os_error != 0);
    CHECK(gmpunch_lobby_os_error(lobby) == event.os_error);
    CHECK(gmpunch_lobby_poll(lobby, &event, GMPUNCH_NEVER) == 0); // nothing will come any more
    gmpunch_lobby_close(lobby);

    gmpunch_master_config off = {};
    off.no_lobby = 1;
    served silent(off);
    config.master = silent.endpoint.c_str();
    config.timeout_ms = 50;
    REQUIRE(gmpunch_lobby_open(&config, &lobby) == GMPUNCH_OK);
    gmpunch_wait waits[4];
    CHECK(gmpunch_lobby_waits(lobby, waits, 4) == 1);
    const uint64_t end = gmpunch_now() + 20000;
    while (gmpunch_lobby_poll(lobby, &event, 1) == 0 && gmpunch_now() < end) gmpunch_master_poll(silent.master, nullptr, 0);
    CHECK(event.type == GMPUNCH_EVENT_FAILED);
    CHECK(event.reason == GMPUNCH_REASON_MASTER_SILENT);
    CHECK(gmpunch_lobby_waits(lobby, waits, 4) == 0);
    gmpunch_lobby_close(lobby);
    config.bind_address = "203.0.113.77"; // not of this machine
    REQUIRE(gmpunch_lobby_open(&config, &lobby) == GMPUNCH_OK);
    REQUIRE(gmpunch_lobby_poll(lobby, &event, 20000) == 1);
    CHECK(event.reason == GMPUNCH_REASON_MASTER_UNREACHABLE);
    gmpunch_lobby_close(lobby);
    config.bind_address = "not an address";
    CHECK(gmpunch_lobby_open(&config, &lobby) == GMPUNCH_ERR_CONFIG);
}
