/* gmpunch.hpp: what it adds to gmpunch.h. The behaviour behind it is tested elsewhere. */
#include "gmpunch.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <ostream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#if defined(__cpp_lib_span)
#include <span>
#endif

namespace {

template <class T>
constexpr bool is_handle() {
    return sizeof(T) == sizeof(void *) && !std::is_copy_constructible<T>::value && !std::is_copy_assignable<T>::value &&
           std::is_nothrow_move_constructible<T>::value && std::is_nothrow_move_assignable<T>::value &&
           std::is_nothrow_default_constructible<T>::value && !std::is_polymorphic<T>::value;
}
static_assert(is_handle<gmpunch::client>(), "client owns one pointer");
static_assert(is_handle<gmpunch::host>(), "host owns one pointer");
static_assert(is_handle<gmpunch::lobby>(), "lobby owns one pointer");
static_assert(sizeof(gmpunch::lobby_ref) == sizeof(void *), "lobby_ref is one pointer");
static_assert(sizeof(gmpunch::client_ref) == sizeof(void *), "client_ref is one pointer");
static_assert(sizeof(gmpunch::host_ref) == sizeof(void *), "host_ref is one pointer");
static_assert(std::is_nothrow_copy_constructible<gmpunch::client_ref>::value, "a ref can be copied");
static_assert(std::is_trivially_destructible<gmpunch::client_ref>::value, "a ref owns nothing");
static_assert(std::is_convertible<gmpunch::client &, gmpunch::client_ref>::value, "a ref comes from an owner");
static_assert(!std::is_convertible<gmpunch::client_ref, gmpunch::client>::value, "an owner never comes from a ref");
static_assert(!std::is_convertible<gmpunch_client *, gmpunch::client>::value, "adopting is explicit");
#if !defined(GMPUNCH_NO_MASTER)
static_assert(is_handle<gmpunch::master>(), "master owns one pointer");
static_assert(sizeof(gmpunch::master_ref) == sizeof(void *), "master_ref is one pointer");
#endif
static_assert(!std::is_copy_constructible<gmpunch::buffer>::value, "buffer may own memory");
static_assert(std::is_nothrow_move_constructible<gmpunch::buffer>::value, "buffer moves");
static_assert(std::is_nothrow_move_assignable<gmpunch::buffer>::value, "buffer moves");
static_assert(sizeof(gmpunch::buffer) == sizeof(gmpunch_buffer), "buffer adds nothing");
static_assert(sizeof(gmpunch::event) == sizeof(gmpunch_event), "event adds nothing");
static_assert(sizeof(gmpunch::transmit) == sizeof(gmpunch_transmit), "transmit adds nothing");
static_assert(sizeof(gmpunch::address) == sizeof(gmpunch_address), "address adds nothing");
static_assert(std::is_error_code_enum<gmpunch::errc>::value, "errc makes error codes");
static_assert(!std::is_convertible<const uint8_t *, gmpunch::bytes_view>::value, "a lone pointer has no size");
static_assert(!std::is_convertible<std::vector<int>, gmpunch::bytes_view>::value, "only bytes are bytes");

const std::string connect_datagram("\xde\xc0\xad\xde\x0c\0\0\0\x09\0\0\0connect\n\0", 21);
const std::string knock("\xfd", 1);
const std::string welcome("\xfc", 1);

gmpunch::address at(const char *text) {
    std::error_code error;
    const gmpunch::address result = gmpunch::address::parse(text, 0, error);
    REQUIRE_FALSE(error);
    return result;
}

#if !defined(GMPUNCH_NO_STDLIB)
gmpunch::client make_client() {
    gmpunch::client_config config;
    config.master = "203.0.113.9";
    config.server = "198.51.100.7";
    std::error_code error = gmpunch::errc::state;
    gmpunch::client client = gmpunch::client::create(config, 1000, error);
    REQUIRE_FALSE(error);
    REQUIRE(client);
    return client;
}
#endif

} // namespace

TEST_CASE("hpp: results are error codes") {
    const std::error_code error = gmpunch::errc::address;
    CHECK(error);
    CHECK(error.value() == GMPUNCH_ERR_ADDRESS);
    CHECK(error == gmpunch::errc::address);
    CHECK(error != gmpunch::errc::state);
    CHECK(error.message() == gmpunch_strerror(GMPUNCH_ERR_ADDRESS));
    CHECK(std::string(error.category().name()) == "gmpunch");
    CHECK(&error.category() == &gmpunch::category());

    CHECK_FALSE(gmpunch::to_error_code(GMPUNCH_OK));
    CHECK_FALSE(gmpunch::to_error_code(7));
    CHECK(gmpunch::to_error_code(7) == std::error_code());
    CHECK(gmpunch::to_error_code(GMPUNCH_ERR_FULL) == gmpunch::errc::full);
    CHECK_FALSE(std::error_code(gmpunch::errc::ok));

    CHECK(std::error_code(gmpunch::errc::argument) == std::errc::invalid_argument);
    CHECK(std::error_code(gmpunch::errc::config) == std::errc::invalid_argument);
    CHECK(std::error_code(gmpunch::errc::not_connected) == std::errc::not_connected);
    CHECK(std::error_code(gmpunch::errc::would_block) == std::errc::operation_would_block);
    CHECK(std::error_code(gmpunch::errc::memory) == std::errc::not_enough_memory);
    CHECK(std::error_code(gmpunch::errc::too_long) == std::errc::message_size);
    CHECK(std::error_code(gmpunch::errc::address_in_use) == std::errc::address_in_use);
    CHECK(std::error_code(gmpunch::errc::address_not_here) == std::errc::address_not_available);
    CHECK(std::error_code(gmpunch::errc::access) == std::errc::permission_denied);
    CHECK(std::error_code(gmpunch::errc::descriptors) == std::errc::too_many_files_open);
    CHECK(std::error_code(gmpunch::errc::peer) != std::errc::invalid_argument);
}

TEST_CASE("hpp: names and texts") {
    CHECK(std::string(gmpunch::event_name(gmpunch::event_type::connected)) == gmpunch_event_name(GMPUNCH_EVENT_CONNECTED));
    CHECK(std::string(gmpunch::reason_name(gmpunch::reason::host_silent)) == "host_silent");
    CHECK(std::string(gmpunch::reason_text(gmpunch::reason::kicked)) == gmpunch_reason_text(GMPUNCH_REASON_KICKED));
}

TEST_CASE("hpp: timeouts fit the C interface") {
    using std::chrono::milliseconds;
    CHECK(gmpunch::detail::timeout_ms(milliseconds(-1)) == 0);
    CHECK(gmpunch::detail::timeout_ms(milliseconds(0)) == 0);
    CHECK(gmpunch::detail::timeout_ms(milliseconds(20)) == 20);
    CHECK(gmpunch::detail::timeout_ms(std::chrono::seconds(2)) == 2000);
    CHECK(gmpunch::detail::timeout_ms(milliseconds(0xfffffffeLL)) == 0xfffffffeu);
    CHECK(gmpunch::detail::timeout_ms(milliseconds(0x100000000LL)) == GMPUNCH_NEVER);
    CHECK(gmpunch::detail::timeout_ms(gmpunch::never) == GMPUNCH_NEVER);
}

TEST_CASE("hpp: bytes_view") {
    const uint8_t array[] = {1, 0, 2};
    const std::vector<unsigned char> vector(array, array + 3);
    const std::array<signed char, 3> std_array = {{1, 0, 2}};
    const std::string string("\1\0\2", 3);
    const gmpunch::bytes_view expected(array, 3);
    CHECK(expected == array);
    CHECK(expected == vector);
    CHECK(expected == std_array);
    CHECK(expected == string);
    CHECK(expected.str() == string);
    CHECK(expected[2] == 2);
    CHECK(std::vector<uint8_t>(expected.begin(), expected.end()) == vector);

    CHECK(gmpunch::bytes_view("hello").size() == 5);
    CHECK(gmpunch::bytes_view("hello").str() == "hello");
    CHECK(gmpunch::bytes_view("hello") != "hellp");
    CHECK(gmpunch::bytes_view("hello") != "hell");
    CHECK(gmpunch::bytes_view(static_cast<const char *>(nullptr)).empty());
    CHECK(gmpunch::bytes_view().str() == "");
    CHECK(gmpunch::bytes_view() == std::string());
#if defined(__cpp_lib_string_view)
    CHECK(expected == std::string_view(string));
    CHECK(expected.text() == string);
    CHECK(gmpunch::bytes_view().text().empty());
#endif
#if defined(__cpp_lib_span)
    CHECK(expected == std::span<const uint8_t>(array));
    const std::span<const uint8_t> span = expected;
    CHECK(span.data() == expected.data());
    CHECK(span.size() == 3);
#endif
}

TEST_CASE("hpp: configs are zero but for their size") {
    const gmpunch::client_config client;
    CHECK(client.struct_size == sizeof(gmpunch_client_config));
    CHECK(client.master == nullptr);
    CHECK(client.timeout_ms == 0);
    const gmpunch::host_config host;
    CHECK(host.struct_size == sizeof(gmpunch_host_config));
    CHECK(host.data[GMPUNCH_DATA_STRINGS - 1] == nullptr);
    CHECK(host.os_error == nullptr);
#if !defined(GMPUNCH_NO_MASTER)
    const gmpunch::master_config master;
    CHECK(master.struct_size == sizeof(gmpunch_master_config));
    CHECK(master.max_connections == 0);
#endif
}

TEST_CASE("hpp: address") {
    std::error_code error = gmpunch::errc::state;
    const gmpunch::address v4 = gmpunch::address::parse("192.0.2.1:7000", 6510, error);
    CHECK_FALSE(error);
    CHECK(v4);
    CHECK(v4.family == 4);
    CHECK(v4.port == 7000);
    CHECK(v4.to_string() == "192.0.2.1:7000");
    const gmpunch::address v6 = gmpunch::address::parse(std::string("2001:db8::1"), 6510, error);
    CHECK_FALSE(error);
    CHECK(v6.to_string() == "[2001:db8::1]:6510");

    CHECK(v4 == at("192.0.2.1:7000"));
    CHECK(v4 != at("192.0.2.1:7001"));
    CHECK(v4 != v6);
    CHECK(v4.same_ip(at("192.0.2.1")));
    CHECK(gmpunch::address() != gmpunch::address());

    CHECK_FALSE(gmpunch::address::parse("nobody", 1, error));
    CHECK(error == gmpunch::errc::address);
    CHECK_FALSE(gmpunch::address::parse(nullptr, 1, error));
    CHECK(error == gmpunch::errc::argument);

    char text[GMPUNCH_ADDRESS_TEXT_SIZE];
    CHECK(v4.format(text, sizeof(text), error) == 14);
    CHECK_FALSE(error);
    CHECK(std::string(text) == "192.0.2.1:7000");
    CHECK(v4.format(text, 4, error) == 0);
    CHECK(error == gmpunch::errc::too_long);
#if defined(__cpp_lib_optional)
    REQUIRE(gmpunch::address::parse("192.0.2.1:7000"));
    CHECK(*gmpunch::address::parse("192.0.2.1:7000") == v4);
    CHECK_FALSE(gmpunch::address::parse("nobody"));
#endif
}

TEST_CASE("hpp: buffer over memory") {
    uint8_t memory[128];
    gmpunch::buffer out = gmpunch::buffer::over(memory);
    REQUIRE(out);
    out.write_u8(200).write_s8(-100).write_u16(60000).write_s16(-30000).write_u32(4000000000u).write_s32(-2000000000);
    out.write_u64(0xfedcba9876543210u).write_s64(-5).write_f16(1.5).write_f32(-0.25f).write_f64(0.1).write_bool(true);
    out.write_string("name").write_string(std::string("second")).write_bytes("\1\2").write_text("rest");
    CHECK(out);
    CHECK_FALSE(out.error());
    CHECK(out.capacity() == sizeof(memory));
    CHECK(out.size() == out.position());
    CHECK(out.data() == memory);

    gmpunch::buffer in = gmpunch::buffer::reading(out);
    CHECK(in.read_u8() == 200);
    CHECK(in.read_s8() == -100);
    CHECK(in.read_u16() == 60000);
    CHECK(in.read_s16() == -30000);
    CHECK(in.read_u32() == 4000000000u);
    CHECK(in.read_s32() == -2000000000);
    CHECK(in.read_u64() == 0xfedcba9876543210u);
    CHECK(in.read_s64() == -5);
    CHECK(in.read_f16() == 1.5f);
    CHECK(in.read_f32() == -0.25f);
    CHECK(in.read_f64() == 0.1);
    CHECK(in.read_bool());
    bool terminated = false;
    CHECK(in.read_string(&terminated) == "name");
    CHECK(terminated);
    CHECK(in.read_string().str() == "second");
    CHECK(in.read_bytes(2) == "\1\2");
    CHECK(in.read_string(&terminated) == "rest");
    CHECK_FALSE(terminated);
    CHECK(in);
    CHECK(in.position() == in.size());

    CHECK(in.read_u8() == 0);
    CHECK_FALSE(in);
    CHECK(in.error() == gmpunch::errc::end);
    CHECK(in.read_bytes(1).empty());
    CHECK(in.read_string().empty());
}

TEST_CASE("hpp: buffer errors stick") {
    uint8_t memory[4];
    gmpunch::buffer out = gmpunch::buffer::over(memory, sizeof(memory));
    out.write_u16(1).write_u32(2).write_u8(3);
    CHECK(out.error() == gmpunch::errc::too_long);
    CHECK(out.size() == 2);

    out = gmpunch::buffer::over(memory);
    out.write_u8(1).write_string(nullptr).write_u8(2);
    CHECK(out.error() == gmpunch::errc::argument);
    CHECK(out.size() == 1);
    CHECK(gmpunch::buffer::over(memory, sizeof(memory), 4096).error() == gmpunch::errc::argument);
    CHECK(gmpunch::buffer::over(memory, 2).seek(3));
}

TEST_CASE("hpp: buffer alignment") {
    uint8_t memory[16] = {0};
    gmpunch::buffer out = gmpunch::buffer::over(memory, sizeof(memory), 4);
    out.write_u8(1).write_u8(2);
    CHECK(out.size() == 5);
    CHECK_FALSE(out.seek(4));
    CHECK(out.read_u8() == 2);
}

#if !defined(GMPUNCH_NO_STDLIB)
TEST_CASE("hpp: growing buffer and its moves") {
    gmpunch::buffer first = gmpunch::buffer::growing(1000);
    for (uint32_t i = 0; i < 200; i++) first.write_u32(i);
    CHECK(first);
    CHECK(first.size() == 800);

    gmpunch::buffer second = std::move(first);
    CHECK(second.size() == 800);
    CHECK(first.error() == gmpunch::errc::state);
    CHECK(first.size() == 0);
    CHECK(first.write_u8(1).error() == gmpunch::errc::state);
    CHECK(first.read_u8() == 0);

    first = std::move(second);
    CHECK(first.size() == 800);
    CHECK_FALSE(first.seek(0));
    for (uint32_t i = 0; i < 200; i++) CHECK(first.read_u32() == i);
    gmpunch::buffer &same = first;
    first = std::move(same);
    CHECK(first.size() == 800);

    gmpunch::buffer adopted(first.release());
    CHECK(adopted.size() == 800);
    CHECK_FALSE(first);
    first = gmpunch::buffer::growing(8);
    CHECK(first.write_bytes("123456789").error() == gmpunch::errc::too_long);
}
#endif

TEST_CASE("hpp: datagrams") {
    uint8_t datagram[64];
    std::error_code error = gmpunch::errc::state;
    const size_t size = gmpunch::datagram_encode(datagram, sizeof(datagram), "hello", 0, error);
    CHECK_FALSE(error);
    REQUIRE(size == 17);
    bool raw = true;
    CHECK(gmpunch::datagram_decode(gmpunch::bytes_view(datagram, size), 0, error, &raw) == "hello");
    CHECK_FALSE(error);
    CHECK_FALSE(raw);
    CHECK(gmpunch::datagram_decode("hello", 0, error, &raw) == "hello");
    CHECK(raw);

    CHECK(gmpunch::datagram_encode(datagram, sizeof(datagram), knock, 0, error) == 0);
    CHECK(error == gmpunch::errc::reserved);
    datagram[8] = 99;
    CHECK(gmpunch::datagram_decode(gmpunch::bytes_view(datagram, size), 0, error).empty());
    CHECK(error == gmpunch::errc::malformed);
}

TEST_CASE("hpp: empty objects answer") {
    gmpunch::client client;
    gmpunch::host host;
    gmpunch::event event;
    gmpunch::transmit transmit;
    std::error_code error;
    CHECK_FALSE(client);
    CHECK(client.get() == nullptr);
    CHECK(client.tick(0) == gmpunch::errc::argument);
    CHECK_FALSE(client.next_event(event));
    CHECK_FALSE(client.next_transmit(transmit));
    CHECK_FALSE(client.input_udp(0, at("192.0.2.1:1"), 0, "x", error));
    CHECK(error == gmpunch::errc::argument);
    CHECK(client.stage() == gmpunch::stage::none);
    CHECK_FALSE(client.server());
    CHECK(client.stats().knocks_sent == 0);
    CHECK_FALSE(host);
    CHECK(host.peers() == 0);
    CHECK(host.find_peer(at("192.0.2.1:1")) == 0);
    CHECK(host.kick(0, 1) == gmpunch::errc::argument);
    host.peer_info(1, error);
    CHECK(error == gmpunch::errc::argument);
    gmpunch::lobby lobby;
    CHECK_FALSE(lobby);
    CHECK(lobby.tick(0) == gmpunch::errc::argument);
    CHECK_FALSE(lobby.next_event(event));
    CHECK(lobby.tcp_data(0, 1, "x", error) == 0);
    CHECK(error == gmpunch::errc::argument);
    CHECK(lobby.stats().entries == 0);
    client.close();
    host.close();
    lobby.close();
#if !defined(GMPUNCH_NO_SOCKETS)
    CHECK_FALSE(client.poll(event));
    CHECK_FALSE(client.poll(event, std::chrono::milliseconds(0), error));
    CHECK(error == gmpunch::errc::argument);
    for (const auto &none : client.events()) FAIL("an event of type " << static_cast<int>(none.type()));
    CHECK(client.send("hello") == gmpunch::errc::argument);
    CHECK(host.send_all("hello", error) == 0);
    CHECK(error == gmpunch::errc::argument);
    CHECK(client.waits(nullptr, 0) == 0);
    CHECK_FALSE(client.local_address());
    CHECK_FALSE(lobby.poll(event));
    CHECK(lobby.waits(nullptr, 0) == 0);
    CHECK(lobby.resolve() == gmpunch::errc::argument);
#endif
#if !defined(GMPUNCH_NO_MASTER)
    gmpunch::master master;
    CHECK_FALSE(master);
    CHECK(master.tick(0) == gmpunch::errc::argument);
    CHECK(master.stats().hosts == 0);
#if !defined(GMPUNCH_NO_SOCKETS)
    CHECK(master.serve(std::chrono::milliseconds(0)) == gmpunch::errc::argument);
#endif
#endif
}

TEST_CASE("hpp: a config that is wrong gives an error and no object") {
    std::error_code error;
    CHECK_FALSE(gmpunch::client::create(gmpunch::client_config(), 0, error));
    CHECK(error);
    gmpunch::client_config client_config;
    alignas(std::max_align_t) unsigned char memory[1];
    client_config.memory = memory;
    CHECK(gmpunch::client::memory_size(client_config, true) >= gmpunch::client::memory_size(client_config, false));
    CHECK(gmpunch::client::memory_size(client_config, false) > 0);
    client_config.max_sockets = 5;
    CHECK(gmpunch::client::memory_size(client_config, false) == 0);
    gmpunch::host_config config;
    config.max_peers = 70000;
    CHECK_FALSE(gmpunch::host::create(config, 0, error));
    CHECK(error == gmpunch::errc::config);
    gmpunch::lobby_config lobby_config;
    CHECK(gmpunch::lobby::memory_size(lobby_config, true) > gmpunch::lobby::memory_size(lobby_config, false));
    CHECK_FALSE(gmpunch::lobby::create(lobby_config, 0, error)); // without a master
    CHECK(error == gmpunch::errc::config);
}

#if !defined(GMPUNCH_NO_STDLIB)
TEST_CASE("hpp: client without sockets") {
    gmpunch::client client = make_client();
    const gmpunch::address master = at("203.0.113.9:6510"), server = at("198.51.100.7:4000");
    CHECK(client.stage() == gmpunch::stage::master);
    CHECK(client.next_deadline() >= 1000);

    uint32_t announces = 0, connection = 0;
    gmpunch::transmit transmit;
    while (client.next_transmit(transmit)) {
        CHECK(transmit.to() == master);
        if (transmit.kind() == gmpunch::transmit_kind::udp) {
            CHECK(transmit.data() == connect_datagram);
            CHECK(transmit.socket_index() == 0);
            announces++;
        } else {
            CHECK(transmit.kind() == gmpunch::transmit_kind::tcp_open);
            connection = transmit.connection();
        }
    }
    CHECK(announces == 1);
    REQUIRE(connection != 0);
    CHECK_FALSE(client.tcp_opened(1010, connection));
    bool asked = false;
    while (client.next_transmit(transmit))
        if (transmit.kind() == gmpunch::transmit_kind::tcp_send) {
            CHECK(transmit.connection() == connection);
            CHECK(transmit.data() == std::string("connect\n198.51.100.7\n\0", 22));
            asked = true;
        }
    CHECK(asked);
    CHECK(client.tcp_opened(1010, connection + 1) == gmpunch::errc::connection);

    CHECK_FALSE(client.tcp_data(1020, connection, std::string("\xff" "198.51.100.7\0" "4000\0", 19)));
    gmpunch::event event;
    REQUIRE(client.next_event(event));
    CHECK(event.type() == gmpunch::event_type::found);
    CHECK(event.address() == server);
    CHECK(event.elapsed() == std::chrono::milliseconds(20));
    CHECK(client.stage() == gmpunch::stage::punch);
    CHECK_FALSE(client.server());
    CHECK(client.request_data(1020));

    CHECK_FALSE(client.tick(1025));
    bool knocked = false;
    while (client.next_transmit(transmit))
        if (transmit.kind() == gmpunch::transmit_kind::udp && transmit.to() == server) knocked = true;
    CHECK(knocked);

    std::error_code error;
    CHECK_FALSE(client.input_udp(1030, server, 0, "a packet of the game"));
    CHECK(client.input_udp(1040, server, 0, welcome, error));
    CHECK_FALSE(error);
    bool connected = false;
    while (client.next_event(event))
        if (event.type() == gmpunch::event_type::connected) {
            CHECK(event.how() == gmpunch::how::punched);
            CHECK(event.address() == server);
            connected = true;
        }
    CHECK(connected);
    CHECK(client.stage() == gmpunch::stage::connected);
    uint32_t flags = 0;
    CHECK(client.server(&flags) == server);
    CHECK(flags == GMPUNCH_DATAGRAM_RAW);
    CHECK(client.stats().welcomes_heard == 1);

    CHECK_FALSE(client.request_data(1050));
    const std::string strings("\xfa" "one\0two\0\0\0\0\0\0eight\0", 20);
    CHECK(client.input_udp(1060, server, 0, strings));
    REQUIRE(client.next_event(event));
    CHECK(event.type() == gmpunch::event_type::host_data);
    CHECK(std::string(event.string(1)) == "one");
    CHECK(std::string(event.string(8)) == "eight");
    CHECK(std::string(event.string(9)) == "");
}

TEST_CASE("hpp: moving, releasing, adopting, referring") {
    gmpunch::client first = make_client();
    gmpunch_client *pointer = first.get();
    gmpunch::client second(std::move(first));
    CHECK_FALSE(first);
    CHECK(second.get() == pointer);
    CHECK(first.tick(2000) == gmpunch::errc::argument);
    CHECK_FALSE(second.tick(2000));

    first = make_client();
    first = std::move(second);
    CHECK(first.get() == pointer);
    CHECK_FALSE(second);
    gmpunch::client &same = first;
    first = std::move(same);
    CHECK(first.get() == pointer);

    gmpunch::client_ref ref = first;
    CHECK(ref.get() == pointer);
    CHECK_FALSE(ref.tick(2001));
    ref = gmpunch::client_ref(pointer);
    CHECK(ref.stage() == gmpunch::stage::master);

    CHECK(first.release() == pointer);
    CHECK_FALSE(first);
    gmpunch::client adopted(pointer);
    CHECK(adopted.stage() == gmpunch::stage::master);
    adopted.close();
    CHECK_FALSE(adopted);
}

TEST_CASE("hpp: host without sockets") {
    gmpunch::host_config config;
    config.data[0] = "one";
    std::error_code error;
    gmpunch::host host = gmpunch::host::create(config, 1000, error);
    REQUIRE_FALSE(error);
    const gmpunch::address from = at("198.51.100.7:4000");
    CHECK_FALSE(host.set_data(2, std::string("two")));
    CHECK(host.set_data(9, "nine"));
    CHECK(host.input_udp(1010, from, 0, knock, error));
    CHECK_FALSE(error);

    gmpunch::event event;
    REQUIRE(host.next_event(event));
    CHECK(event.type() == gmpunch::event_type::joined);
    CHECK(event.how() == gmpunch::how::direct);
    CHECK(event.address() == from);
    const uint32_t peer = event.peer();
    CHECK(peer != 0);
    gmpunch::transmit transmit;
    REQUIRE(host.next_transmit(transmit));
    CHECK(transmit.kind() == gmpunch::transmit_kind::udp);
    CHECK(transmit.to() == from);
    CHECK(transmit.data() == welcome);

    CHECK(host.peers() == 1);
    uint32_t id = 0;
    CHECK(host.peers(&id, 1) == 1);
    CHECK(id == peer);
    CHECK(host.find_peer(from) == peer);
    CHECK(host.peer_info(peer, error).peer == peer);
    CHECK_FALSE(error);
    host.peer_info(peer + 1, error);
    CHECK(error == gmpunch::errc::peer);
#if defined(__cpp_lib_optional)
    REQUIRE(host.peer_info(peer));
    CHECK(host.peer_info(peer)->flags == GMPUNCH_DATAGRAM_RAW);
    CHECK_FALSE(host.peer_info(peer + 1));
#endif

    gmpunch::host_ref ref = host;
    CHECK_FALSE(ref.kick(1020, peer));
    REQUIRE(ref.next_event(event));
    CHECK(event.type() == gmpunch::event_type::left);
    CHECK(event.reason() == gmpunch::reason::kicked);
    CHECK(host.peers() == 0);
    CHECK(host.stats().joined == 1);
}

#if !defined(GMPUNCH_NO_MASTER)
TEST_CASE("hpp: master without sockets") {
    std::error_code error = gmpunch::errc::state;
    gmpunch::master master = gmpunch::master::create(gmpunch::master_config(), 1000, error);
    REQUIRE_FALSE(error);
    const gmpunch::address host = at("198.51.100.7:4000"), client = at("192.0.2.1:5000");
    CHECK_FALSE(master.input_udp(1000, host, 0, std::string("reg\n\0", 5)));
    const uint32_t of_host = master.tcp_accepted(1000, host, error);
    CHECK_FALSE(error);
    CHECK_FALSE(master.tcp_data(1000, of_host, std::string("reg\n\0", 5)));
    gmpunch::event event;
    REQUIRE(master.next_event(event));
    CHECK(event.type() == gmpunch::event_type::host_added);
    CHECK(event.address().same_ip(host));
    CHECK(master.stats().hosts == 1);

    const uint32_t of_client = master.tcp_accepted(1000, client, error);
    CHECK_FALSE(error);
    CHECK(of_client != of_host);
    CHECK_FALSE(master.input_udp(1000, client, 0, std::string("connect\n\0", 9)));
    CHECK_FALSE(master.tcp_data(1000, of_client, std::string("connect\n198.51.100.7\n\0", 22)));
    bool found = false, introduced = false;
    gmpunch::transmit transmit;
    while (master.next_transmit(transmit)) {
        CHECK(transmit.kind() == gmpunch::transmit_kind::tcp_send);
        if (transmit.connection() == of_client)
            found = transmit.data() == std::string("\xff" "198.51.100.7\0" "4000\0", 19);
        if (transmit.connection() == of_host)
            introduced = transmit.data() == std::string("\xff" "192.0.2.1\0" "5000\0", 16);
    }
    CHECK(found);
    CHECK(introduced);
    CHECK_FALSE(master.tcp_closed(1001, of_host, 0));
    CHECK(master.tcp_closed(1001, of_host, 0) == gmpunch::errc::connection);

    gmpunch::master_ref ref = master;
    CHECK_FALSE(ref.tick(1002));
    gmpunch::master moved = std::move(master);
    CHECK_FALSE(master);
    CHECK(moved.get() == ref.get());
}

TEST_CASE("hpp: a lobby list, without sockets") {
    std::error_code error;
    gmpunch::event event;
    gmpunch::transmit transmit;
    gmpunch::master master = gmpunch::master::create(gmpunch::master_config(), 1000, error);
    REQUIRE_FALSE(error);
    CHECK_FALSE(master.set_unix_time(1000, 1795332611));
    const uint32_t of_host = master.tcp_accepted(1000, at("198.51.100.7:4000"), error);
    CHECK_FALSE(master.tcp_data(1000, of_host, "reg2\n1.2.4\na\nb\n\n\n\n\n\n\n"));
    CHECK(master.stats().listed == 1);

    gmpunch::lobby_config config;
    config.master = "203.0.113.9";
    config.filter[1] = "b";
    gmpunch::lobby lobby = gmpunch::lobby::create(config, 1000, error);
    REQUIRE_FALSE(error);
    const uint32_t of_lobby = master.tcp_accepted(1000, at("192.0.2.1:5000"), error);
    REQUIRE(lobby.next_transmit(transmit));
    CHECK(transmit.to() == at("203.0.113.9:6510"));
    const uint32_t connection = transmit.connection();
    CHECK_FALSE(lobby.tcp_opened(1000, connection));
    REQUIRE(lobby.next_transmit(transmit));
    CHECK_FALSE(master.tcp_data(1000, of_lobby, transmit.data()));
    REQUIRE(master.next_transmit(transmit));
    const std::string list = transmit.data().str();
    size_t taken = lobby.tcp_data(1001, connection, list, error);
    CHECK(taken < list.size());
    gmpunch::lobby moved = std::move(lobby);
    gmpunch::lobby_ref ref = moved;
    REQUIRE(ref.next_event(event));
    CHECK(event.type() == gmpunch::event_type::lobby_entry);
    CHECK(event.address().to_string() == "198.51.100.7");
    CHECK(std::string(event.string(2)) == "b");
    CHECK(event.created() == 1795332611);
    CHECK(event.count() == 1);
    taken += ref.tcp_data(1001, connection, gmpunch::bytes_view(list.data() + taken, list.size() - taken), error);
    CHECK(taken == list.size());
    REQUIRE(ref.next_event(event));
    CHECK(event.type() == gmpunch::event_type::lobby_done);
    CHECK(ref.stats().entries == 1);
    CHECK(ref.stats().bytes == list.size() - 1); // the line end is not waited for
}

#if !defined(GMPUNCH_NO_SOCKETS)
TEST_CASE("hpp: a lobby on loopback") {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    std::error_code error;
    gmpunch::master_config master_config;
    master_config.bind_address = "127.0.0.1";
    master_config.any_port = 1;
    gmpunch::master master = gmpunch::master::open(master_config, error);
    REQUIRE_MESSAGE(!error, error.message());
    const std::string master_text = master.local_address().to_string();
    gmpunch::lobby_config config;
    config.master = master_text.c_str();
    gmpunch::lobby lobby = gmpunch::lobby::open(config, error);
    REQUIRE_MESSAGE(!error, error.message());
    bool done = false;
    while (!done && std::chrono::steady_clock::now() < end) {
        CHECK_FALSE(master.serve(std::chrono::milliseconds(1)));
        for (const auto &event : lobby.events()) done = event.type() == gmpunch::event_type::lobby_done && event.count() == 0;
    }
    CHECK(done);
    CHECK(lobby.os_error() == 0);
#if defined(GMPUNCH_CPP_EXCEPTIONS)
    config.master = "no:no";
    CHECK_THROWS_AS(gmpunch::lobby{config}, std::system_error);
#endif
}

TEST_CASE("hpp: master, host and client on loopback") {
    const std::chrono::milliseconds turn(2);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    const auto in_time = [end] { return std::chrono::steady_clock::now() < end; };
    std::error_code error = gmpunch::errc::state;
    gmpunch::event event;

    gmpunch::master_config master_config;
    master_config.bind_address = "127.0.0.1";
    master_config.any_port = 1;
    gmpunch::master master = gmpunch::master::open(master_config, error);
    REQUIRE_MESSAGE(!error, error.message());
    REQUIRE(master.local_address().port != 0);
    CHECK_FALSE(master.local_address(1));
    const std::string master_text = master.local_address().to_string();

    gmpunch::host_config host_config;
    host_config.master = master_text.c_str();
    host_config.bind_address = "127.0.0.1";
    gmpunch::host host = gmpunch::host::open(host_config, error);
    REQUIRE_MESSAGE(!error, error.message());
    bool registered = false, added = false;
    while (!(registered && added) && in_time()) {
        for (const auto &e : host.events(turn)) registered = registered || e.type() == gmpunch::event_type::registered;
        for (const auto &e : master.events(turn)) added = added || e.type() == gmpunch::event_type::host_added;
    }
    REQUIRE(registered);
    REQUIRE(added);

    gmpunch::client_config client_config;
    client_config.master = master_text.c_str();
    client_config.server = "127.0.0.1";
    client_config.bind_address = "127.0.0.1";
    gmpunch::client client = gmpunch::client::open(client_config, error);
    REQUIRE_MESSAGE(!error, error.message());
    gmpunch_wait sockets[8];
    CHECK(client.waits(sockets, 8) >= 1);
    CHECK(client.send("too early") == gmpunch::errc::not_connected);

    uint32_t peer = 0;
    bool connected = false;
    while (!(peer && connected) && in_time()) {
        CHECK_FALSE(master.serve(turn));
        if (host.poll(event, turn, error) && event.type() == gmpunch::event_type::joined) peer = event.peer();
        REQUIRE_FALSE(error);
        if (!client.poll(event, turn)) continue;
        REQUIRE(event.type() != gmpunch::event_type::failed);
        if (event.type() == gmpunch::event_type::connected) {
            CHECK(event.how() == gmpunch::how::punched);
            CHECK(event.address() == host.local_address());
            connected = true;
        }
    }
    REQUIRE(peer != 0);
    REQUIRE(connected);
    CHECK(host.find_peer(client.local_address()) == peer);
    CHECK(client.socket() != host.socket());

    std::string at_host, at_client;
    CHECK(client.send(knock) == gmpunch::errc::reserved);
    while (at_client.empty() && in_time()) {
        CHECK_FALSE(client.send("from the client"));
        for (const auto &e : host.events(turn))
            if (e.type() == gmpunch::event_type::data && e.peer() == peer) {
                at_host = e.data().str();
                CHECK_FALSE(host.send(peer, e.data()));
                CHECK(host.send_all(std::string("from the host"), error) == 1);
                CHECK_FALSE(error);
            }
        for (const auto &e : client.events(turn))
            if (e.type() == gmpunch::event_type::data && e.data() != "from the client") at_client = e.data().str();
    }
    CHECK(at_host == "from the client");
    CHECK(at_client == "from the host");

    int32_t os_error = 0;
    host_config.bind_port = host.local_address().port;
    host_config.os_error = &os_error;
    CHECK_FALSE(gmpunch::host::open(host_config, error));
    CHECK(error == std::errc::address_in_use);
    CHECK(os_error != 0);
#if defined(GMPUNCH_CPP_EXCEPTIONS)
    CHECK_THROWS_AS(gmpunch::host{host_config}, std::system_error);
    host_config.bind_port = 0;
    CHECK(gmpunch::host(host_config));
#endif
}
#endif /* GMPUNCH_NO_SOCKETS */
#endif /* GMPUNCH_NO_MASTER */
#endif /* GMPUNCH_NO_STDLIB */
