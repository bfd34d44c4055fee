/* gmpunch.hpp - C++ for gmpunch.h: ownership, types, std::error_code. MIT licence, see the end of gmpunch.h

Header-only, C++11 and later, works without exceptions and RTTI. Each call is one call of the C function of the same name,
where it is documented; here is only what differs. A client, complete:

    gmpunch::client_config config;
    config.master = "203.0.113.9";
    config.server = "198.51.100.7";
    std::error_code error;
    gmpunch::client client = gmpunch::client::open(config, error);
    if (error) return 1;
    for (;;) {                                                  // once per frame
        for (auto &event : client.events()) {                   // does not block
            if (event.type() == gmpunch::event_type::connected) client.send("hello");
            if (event.type() == gmpunch::event_type::data) handle(event.data());
            if (event.type() == gmpunch::event_type::failed) puts(gmpunch::reason_text(event.reason()));
        }
    }

In ONE file define GMPUNCH_IMPLEMENTATION before the #include, as with gmpunch.h; its other switches hold here too.

OWNERSHIP. client, host, lobby and master hold one pointer, close it in the destructor and can only be moved. Each has get(),
release() (the caller closes), close(), and a constructor that adopts a C pointer. client_ref, host_ref, lobby_ref and
master_ref have the same functions and own nothing. An object that is empty (moved from, closed, not opened) may be called: it answers
errc::argument, false, 0 or no address.

ERRORS. Functions without a value return a std::error_code. Functions with one have a last parameter for it; where there is
a form without, an error there is false or 0. Codes are of the enum errc and compare with the std::errc of the same meaning.

GMPUNCH_CPP_EXCEPTIONS, if defined, adds constructors client(config), host(config), lobby(config) and master(config) that open
and throw std::system_error.
*/
#ifndef GMPUNCH_HPP_INCLUDED
#define GMPUNCH_HPP_INCLUDED

#include "gmpunch.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#if __cplusplus >= 201703L || (defined(_MSVC_LANG) && _MSVC_LANG >= 201703L)
#include <optional>
#include <string_view>
#define GMPUNCHI_NODISCARD [[nodiscard]]
#else
#define GMPUNCHI_NODISCARD
#endif

namespace gmpunch {
#if defined(GMPUNCH_STATIC)
namespace { /* what calls static functions must itself be private to the file */
#endif

/* Results ============================================================================================================== */

enum class errc : int32_t {
    ok = GMPUNCH_OK,
    argument = GMPUNCH_ERR_ARGUMENT,
    config = GMPUNCH_ERR_CONFIG,
    address = GMPUNCH_ERR_ADDRESS,
    reserved = GMPUNCH_ERR_RESERVED,
    state = GMPUNCH_ERR_STATE,
    not_connected = GMPUNCH_ERR_NOT_CONNECTED,
    peer = GMPUNCH_ERR_PEER,
    connection = GMPUNCH_ERR_CONNECTION,
    would_block = GMPUNCH_ERR_WOULD_BLOCK,
    memory = GMPUNCH_ERR_MEMORY,
    full = GMPUNCH_ERR_FULL,
    too_long = GMPUNCH_ERR_TOO_LONG,
    end = GMPUNCH_ERR_END,
    socket = GMPUNCH_ERR_SOCKET,
    address_in_use = GMPUNCH_ERR_ADDRESS_IN_USE,
    address_not_here = GMPUNCH_ERR_ADDRESS_NOT_HERE,
    access = GMPUNCH_ERR_ACCESS,
    descriptors = GMPUNCH_ERR_DESCRIPTORS,
    malformed = GMPUNCH_ERR_MALFORMED
};

namespace detail {

class category_type final : public std::error_category {
public:
    const char *name() const noexcept override { return "gmpunch"; }
    std::string message(int result) const override { return gmpunch_strerror(result); }
    std::error_condition default_error_condition(int result) const noexcept override {
        switch (result) {
        case GMPUNCH_ERR_ARGUMENT:
        case GMPUNCH_ERR_CONFIG:
            return std::errc::invalid_argument;
        case GMPUNCH_ERR_NOT_CONNECTED:
            return std::errc::not_connected;
        case GMPUNCH_ERR_WOULD_BLOCK:
            return std::errc::operation_would_block;
        case GMPUNCH_ERR_MEMORY:
            return std::errc::not_enough_memory;
        case GMPUNCH_ERR_TOO_LONG:
            return std::errc::message_size;
        case GMPUNCH_ERR_ADDRESS_IN_USE:
            return std::errc::address_in_use;
        case GMPUNCH_ERR_ADDRESS_NOT_HERE:
            return std::errc::address_not_available;
        case GMPUNCH_ERR_ACCESS:
            return std::errc::permission_denied;
        case GMPUNCH_ERR_DESCRIPTORS:
            return std::errc::too_many_files_open;
        default:
            return std::error_condition(result, *this);
        }
    }
};

} // namespace detail

inline const std::error_category &category() noexcept {
    static const detail::category_type instance{};
    return instance;
}

/* For results of the C functions: no error if it is 0 or a count. */
inline std::error_code to_error_code(int32_t result) noexcept {
    return result < 0 ? std::error_code(result, category()) : std::error_code();
}

inline std::error_code make_error_code(errc code) noexcept {
    return to_error_code(static_cast<int32_t>(code));
}

/* Parameters =========================================================================================================== */

/* A timeout without end. */
constexpr std::chrono::milliseconds never = (std::chrono::milliseconds::max)();

namespace detail {

/* Less than nothing is 0, too much for the C interface is never. */
inline uint32_t timeout_ms(std::chrono::milliseconds timeout) noexcept {
    return timeout.count() <= 0 ? 0u
           : timeout.count() >= static_cast<std::chrono::milliseconds::rep>(GMPUNCH_NEVER)
               ? GMPUNCH_NEVER
               : static_cast<uint32_t>(timeout.count());
}

template <class T>
struct is_byte : std::integral_constant<bool, sizeof(T) == 1 && (std::is_integral<T>::value || std::is_enum<T>::value)> {};

template <class T>
using pointee = typename std::remove_pointer<T>::type;

} // namespace detail

/* Borrowed bytes. From all that has data() and size() with elements of one byte (vector, array, string, string_view, span,
   buffer), from an array of bytes, and from a const char *: that is text up to its NUL, without it. */
class bytes_view {
public:
    bytes_view() noexcept : data_(nullptr), size_(0) {}
    bytes_view(const void *data, size_t size) noexcept : data_(static_cast<const uint8_t *>(data)), size_(size) {}
    bytes_view(const char *text) noexcept : bytes_view(text, text ? std::strlen(text) : 0) {}
    template <class T, size_t Size,
              class = typename std::enable_if<detail::is_byte<T>::value && !std::is_same<T, char>::value>::type>
    bytes_view(const T (&bytes)[Size]) noexcept : bytes_view(bytes, Size) {}
    template <class Container,
              class = typename std::enable_if<
                  detail::is_byte<detail::pointee<decltype(std::declval<const Container &>().data())>>::value &&
                  std::is_convertible<decltype(std::declval<const Container &>().size()), size_t>::value>::type>
    bytes_view(const Container &bytes) noexcept : bytes_view(bytes.data(), bytes.size()) {}

    const uint8_t *data() const noexcept { return data_; }
    size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const uint8_t *begin() const noexcept { return data_; }
    const uint8_t *end() const noexcept { return data_ + size_; }
    uint8_t operator[](size_t index) const noexcept { return data_[index]; }

    /* As text: a copy, and a view. */
    std::string str() const { return std::string(chars(), size_); }
#if defined(__cpp_lib_string_view)
    std::string_view text() const noexcept { return std::string_view(chars(), size_); }
#endif

    friend bool operator==(bytes_view a, bytes_view b) noexcept {
        return a.size_ == b.size_ && (a.size_ == 0 || std::memcmp(a.data_, b.data_, a.size_) == 0);
    }
    friend bool operator!=(bytes_view a, bytes_view b) noexcept { return !(a == b); }

private:
    /* std::string must not be made from a null pointer. */
    const char *chars() const noexcept { return data_ ? static_cast<const char *>(static_cast<const void *>(data_)) : ""; }

    const uint8_t *data_;
    size_t size_;
};

/* A borrowed text that ends in a NUL, as the C functions want it: a string_view need not have one. */
class c_string {
public:
    c_string(const char *text) noexcept : text_(text) {}
    c_string(const std::string &text) noexcept : text_(text.c_str()) {}
    const char *c_str() const noexcept { return text_; }

private:
    const char *text_;
};

/* Config =============================================================================================================== */

/* The C structs, zeroed, with struct_size set. All functions also take the C structs. */
struct client_config : gmpunch_client_config {
    client_config() noexcept : gmpunch_client_config() {
        struct_size = static_cast<uint32_t>(sizeof(gmpunch_client_config));
    }
};

struct host_config : gmpunch_host_config {
    host_config() noexcept : gmpunch_host_config() { struct_size = static_cast<uint32_t>(sizeof(gmpunch_host_config)); }
};

struct lobby_config : gmpunch_lobby_config {
    lobby_config() noexcept : gmpunch_lobby_config() { struct_size = static_cast<uint32_t>(sizeof(gmpunch_lobby_config)); }
};

#if !defined(GMPUNCH_NO_MASTER)
struct master_config : gmpunch_master_config {
    master_config() noexcept : gmpunch_master_config() {
        struct_size = static_cast<uint32_t>(sizeof(gmpunch_master_config));
    }
};
#endif

/* Address ============================================================================================================== */

struct address : gmpunch_address {
    address() noexcept : gmpunch_address() {}
    address(const gmpunch_address &other) noexcept : gmpunch_address(other) {}

    static address parse(c_string text, uint16_t default_port, std::error_code &error) noexcept {
        address result;
        error = to_error_code(gmpunch_address_parse(text.c_str(), default_port, &result));
        return error ? address() : result;
    }
#if defined(__cpp_lib_optional)
    GMPUNCHI_NODISCARD static std::optional<address> parse(c_string text, uint16_t default_port = 0) noexcept {
        address result;
        if (gmpunch_address_parse(text.c_str(), default_port, &result) < 0) return std::nullopt;
        return result;
    }
#endif

    /* Returns the length without the NUL; GMPUNCH_ADDRESS_TEXT_SIZE is always enough. */
    size_t format(char *text, size_t size, std::error_code &error) const noexcept {
        const int32_t length = gmpunch_address_format(this, text, size);
        error = to_error_code(length);
        return length < 0 ? 0 : static_cast<size_t>(length);
    }
    std::string to_string() const {
        char text[GMPUNCH_ADDRESS_TEXT_SIZE];
        return gmpunch_address_format(this, text, sizeof(text)) < 0 ? std::string() : std::string(text);
    }

    /* False if it is no address. */
    explicit operator bool() const noexcept { return family != 0; }
    bool same_ip(const gmpunch_address &other) const noexcept { return gmpunch_address_same_ip(this, &other) == 1; }
    /* Same IP and port. No address equals nothing, not even another such. */
    friend bool operator==(const address &a, const address &b) noexcept { return gmpunch_address_equal(&a, &b) == 1; }
    friend bool operator!=(const address &a, const address &b) noexcept { return !(a == b); }
};

/* Events =============================================================================================================== */

enum class event_type : int32_t {
    none = GMPUNCH_EVENT_NONE,
    data = GMPUNCH_EVENT_DATA,
    resolve = GMPUNCH_EVENT_RESOLVE,
    found = GMPUNCH_EVENT_FOUND,
    fallback = GMPUNCH_EVENT_FALLBACK,
    connected = GMPUNCH_EVENT_CONNECTED,
    failed = GMPUNCH_EVENT_FAILED,
    lost = GMPUNCH_EVENT_LOST,
    host_data = GMPUNCH_EVENT_HOST_DATA,
    registered = GMPUNCH_EVENT_REGISTERED,
    unregistered = GMPUNCH_EVENT_UNREGISTERED,
    introduced = GMPUNCH_EVENT_INTRODUCED,
    introduction_expired = GMPUNCH_EVENT_INTRODUCTION_EXPIRED,
    joined = GMPUNCH_EVENT_JOINED,
    left = GMPUNCH_EVENT_LEFT,
    host_added = GMPUNCH_EVENT_HOST_ADDED,
    host_removed = GMPUNCH_EVENT_HOST_REMOVED,
    introduction = GMPUNCH_EVENT_INTRODUCTION,
    not_found = GMPUNCH_EVENT_NOT_FOUND,
    lobby_entry = GMPUNCH_EVENT_LOBBY_ENTRY,
    lobby_done = GMPUNCH_EVENT_LOBBY_DONE
};

enum class reason : int32_t {
    none = GMPUNCH_REASON_NONE,
    resolve_failed = GMPUNCH_REASON_RESOLVE_FAILED,
    master_unreachable = GMPUNCH_REASON_MASTER_UNREACHABLE,
    master_silent = GMPUNCH_REASON_MASTER_SILENT,
    master_closed = GMPUNCH_REASON_MASTER_CLOSED,
    master_malformed = GMPUNCH_REASON_MASTER_MALFORMED,
    host_not_found = GMPUNCH_REASON_HOST_NOT_FOUND,
    host_silent = GMPUNCH_REASON_HOST_SILENT,
    host_one_way = GMPUNCH_REASON_HOST_ONE_WAY,
    timeout = GMPUNCH_REASON_TIMEOUT,
    kicked = GMPUNCH_REASON_KICKED,
    closed = GMPUNCH_REASON_CLOSED,
    replaced = GMPUNCH_REASON_REPLACED,
    socket = GMPUNCH_REASON_SOCKET,
    limit = GMPUNCH_REASON_LIMIT,
    version = GMPUNCH_REASON_VERSION
};

enum class stage : int32_t {
    none = 0,
    master = GMPUNCH_STAGE_MASTER,
    punch = GMPUNCH_STAGE_PUNCH,
    direct = GMPUNCH_STAGE_DIRECT,
    connected = GMPUNCH_STAGE_CONNECTED,
    failed = GMPUNCH_STAGE_FAILED,
    lost = GMPUNCH_STAGE_LOST
};

enum class how : int32_t { none = GMPUNCH_HOW_NONE, punched = GMPUNCH_HOW_PUNCHED, direct = GMPUNCH_HOW_DIRECT };

inline const char *event_name(event_type type) noexcept {
    return gmpunch_event_name(static_cast<int32_t>(type));
}
inline const char *reason_name(reason why) noexcept {
    return gmpunch_reason_name(static_cast<int32_t>(why));
}
inline const char *stage_name(stage where) noexcept {
    return gmpunch_stage_name(static_cast<int32_t>(where));
}
inline const char *how_name(how way) noexcept {
    return gmpunch_how_name(static_cast<int32_t>(way));
}
inline const char *reason_text(reason why) noexcept {
    return gmpunch_reason_text(static_cast<int32_t>(why));
}

/* A gmpunch_event with typed fields. What data() and string() give is borrowed, as there. */
class event {
public:
    event() noexcept : event_() {}
    explicit event(const gmpunch_event &other) noexcept : event_(other) {}

    event_type type() const noexcept { return static_cast<event_type>(event_.type); }
    gmpunch::reason reason() const noexcept { return static_cast<gmpunch::reason>(event_.reason); }
    gmpunch::reason cause() const noexcept { return static_cast<gmpunch::reason>(event_.cause); }
    gmpunch::stage stage() const noexcept { return static_cast<gmpunch::stage>(event_.stage); }
    gmpunch::how how() const noexcept { return static_cast<gmpunch::how>(event_.how); }
    uint32_t peer() const noexcept { return event_.peer; }
    gmpunch::address address() const noexcept { return event_.address; }
    gmpunch::address other() const noexcept { return event_.other; }
    std::chrono::milliseconds elapsed() const noexcept { return std::chrono::milliseconds(event_.elapsed_ms); }
    uint32_t announces_sent() const noexcept { return event_.announces_sent; }
    uint32_t knocks_sent() const noexcept { return event_.knocks_sent; }
    uint32_t knocks_heard() const noexcept { return event_.knocks_heard; }
    uint32_t ignored() const noexcept { return event_.ignored; }
    int32_t os_error() const noexcept { return event_.os_error; }
    uint32_t socket_index() const noexcept { return event_.socket_index; }
    bytes_view data() const noexcept { return bytes_view(event_.data, event_.len); }
    /* Of event_type::lobby_entry: Unix time in seconds. */
    uint64_t created() const noexcept { return event_.created; }
    uint32_t count() const noexcept { return event_.count; }
    /* Data string 1 to 8 of event_type::host_data and lobby_entry. */
    const char *string(uint32_t number) const noexcept { return gmpunch_event_string(&event_, number); }

    gmpunch_event *get() noexcept { return &event_; }
    const gmpunch_event *get() const noexcept { return &event_; }

private:
    gmpunch_event event_;
};

enum class transmit_kind : int32_t {
    none = 0,
    udp = GMPUNCH_TRANSMIT_UDP,
    tcp_open = GMPUNCH_TRANSMIT_TCP_OPEN,
    tcp_send = GMPUNCH_TRANSMIT_TCP_SEND,
    tcp_close = GMPUNCH_TRANSMIT_TCP_CLOSE
};

/* A gmpunch_transmit with typed fields. */
class transmit {
public:
    transmit() noexcept : transmit_() {}

    transmit_kind kind() const noexcept { return static_cast<transmit_kind>(transmit_.kind); }
    uint32_t connection() const noexcept { return transmit_.connection; }
    uint32_t socket_index() const noexcept { return transmit_.socket_index; }
    uint32_t ttl() const noexcept { return transmit_.ttl; }
    uint64_t not_before() const noexcept { return transmit_.not_before; }
    address to() const noexcept { return transmit_.to; }
    bytes_view data() const noexcept { return bytes_view(transmit_.data, transmit_.len); }

    gmpunch_transmit *get() noexcept { return &transmit_; }
    const gmpunch_transmit *get() const noexcept { return &transmit_; }

private:
    gmpunch_transmit transmit_;
};

#if !defined(GMPUNCH_NO_SOCKETS)
/* For range-for: polls until there is no event, or an error. Only the first poll waits. The object must outlive the loop. */
template <class Object>
class event_range {
public:
    class iterator {
    public:
        explicit iterator(event_range *range) noexcept : range_(range) {}
        const event &operator*() const noexcept { return range_->event_; }
        const event *operator->() const noexcept { return &range_->event_; }
        iterator &operator++() noexcept {
            if (!range_->next(0)) range_ = nullptr;
            return *this;
        }
        bool operator==(const iterator &other) const noexcept { return range_ == other.range_; }
        bool operator!=(const iterator &other) const noexcept { return range_ != other.range_; }

    private:
        event_range *range_;
    };

    using poll_function = int32_t (*)(Object *object, gmpunch_event *event, uint32_t timeout_ms);
    event_range(Object *object, poll_function poll, uint32_t timeout_ms) noexcept
        : object_(object), poll_(poll), timeout_ms_(timeout_ms) {}
    iterator begin() noexcept { return iterator(next(timeout_ms_) ? this : nullptr); }
    iterator end() noexcept { return iterator(nullptr); }

private:
    bool next(uint32_t timeout_ms) noexcept { return poll_(object_, event_.get(), timeout_ms) > 0; }

    Object *object_;
    poll_function poll_;
    uint32_t timeout_ms_;
    event event_;
};
#endif

/* Buffer =============================================================================================================== */

/* A gmpunch_buffer that frees itself. An error sticks, so writes can be chained and checked once:

    uint8_t memory[64];
    gmpunch::buffer packet = gmpunch::buffer::over(memory);
    packet.write_u8(1).write_string("hello");
    if (packet) client.send(packet);
*/
class buffer {
public:
    /* Without memory: its error is errc::state, as after a move. */
    buffer() noexcept : buffer_() {
        buffer_.alignment = 1;
        buffer_.error = GMPUNCH_ERR_STATE;
    }
    /* Adopts: what a growing buffer owns is freed here from now on. */
    explicit buffer(const gmpunch_buffer &adopted) noexcept : buffer_(adopted) {}
    buffer(buffer &&other) noexcept : buffer_(other.release()) {}
    buffer &operator=(buffer &&other) noexcept {
        if (this != &other) {
            gmpunch_buffer_free(&buffer_);
            buffer_ = other.release();
        }
        return *this;
    }
    buffer(const buffer &) = delete;
    buffer &operator=(const buffer &) = delete;
    ~buffer() { gmpunch_buffer_free(&buffer_); }

    /* Over memory of the caller, to write and read back. */
    GMPUNCHI_NODISCARD static buffer over(void *memory, size_t size, uint32_t alignment = 1) noexcept {
        buffer result;
        result.check(gmpunch_buffer_init(&result.buffer_, memory, size, alignment));
        return result;
    }
    template <class T, size_t Size, class = typename std::enable_if<detail::is_byte<T>::value>::type>
    GMPUNCHI_NODISCARD static buffer over(T (&memory)[Size]) noexcept {
        return over(memory, Size);
    }
    /* Over bytes of the caller, to read. */
    GMPUNCHI_NODISCARD static buffer reading(bytes_view bytes, uint32_t alignment = 1) noexcept {
        buffer result;
        result.check(gmpunch_buffer_init_read(&result.buffer_, bytes.data(), bytes.size(), alignment));
        return result;
    }
    /* Grows up to limit bytes, from the allocator, or malloc if it is null. */
    GMPUNCHI_NODISCARD static buffer growing(size_t limit, uint32_t alignment = 1,
                                             const gmpunch_allocator *allocator = nullptr) noexcept {
        buffer result;
        result.check(gmpunch_buffer_init_grow(&result.buffer_, allocator, limit, alignment));
        return result;
    }

    buffer &write_u8(uint8_t value) noexcept { return chain(gmpunch_buffer_write_u8(&buffer_, value)); }
    buffer &write_s8(int8_t value) noexcept { return chain(gmpunch_buffer_write_s8(&buffer_, value)); }
    buffer &write_u16(uint16_t value) noexcept { return chain(gmpunch_buffer_write_u16(&buffer_, value)); }
    buffer &write_s16(int16_t value) noexcept { return chain(gmpunch_buffer_write_s16(&buffer_, value)); }
    buffer &write_u32(uint32_t value) noexcept { return chain(gmpunch_buffer_write_u32(&buffer_, value)); }
    buffer &write_s32(int32_t value) noexcept { return chain(gmpunch_buffer_write_s32(&buffer_, value)); }
    buffer &write_u64(uint64_t value) noexcept { return chain(gmpunch_buffer_write_u64(&buffer_, value)); }
    buffer &write_s64(int64_t value) noexcept { return chain(gmpunch_buffer_write_s64(&buffer_, value)); }
    buffer &write_f16(double value) noexcept { return chain(gmpunch_buffer_write_f16(&buffer_, value)); }
    buffer &write_f32(float value) noexcept { return chain(gmpunch_buffer_write_f32(&buffer_, value)); }
    buffer &write_f64(double value) noexcept { return chain(gmpunch_buffer_write_f64(&buffer_, value)); }
    buffer &write_bool(bool value) noexcept { return chain(gmpunch_buffer_write_bool(&buffer_, value ? 1 : 0)); }
    buffer &write_string(c_string text) noexcept { return chain(gmpunch_buffer_write_string(&buffer_, text.c_str())); }
    buffer &write_text(c_string text) noexcept { return chain(gmpunch_buffer_write_text(&buffer_, text.c_str())); }
    buffer &write_bytes(bytes_view bytes) noexcept {
        return chain(gmpunch_buffer_write_bytes(&buffer_, bytes.data(), bytes.size()));
    }

    uint8_t read_u8() noexcept { return gmpunch_buffer_read_u8(&buffer_); }
    int8_t read_s8() noexcept { return gmpunch_buffer_read_s8(&buffer_); }
    uint16_t read_u16() noexcept { return gmpunch_buffer_read_u16(&buffer_); }
    int16_t read_s16() noexcept { return gmpunch_buffer_read_s16(&buffer_); }
    uint32_t read_u32() noexcept { return gmpunch_buffer_read_u32(&buffer_); }
    int32_t read_s32() noexcept { return gmpunch_buffer_read_s32(&buffer_); }
    uint64_t read_u64() noexcept { return gmpunch_buffer_read_u64(&buffer_); }
    int64_t read_s64() noexcept { return gmpunch_buffer_read_s64(&buffer_); }
    float read_f16() noexcept { return gmpunch_buffer_read_f16(&buffer_); }
    float read_f32() noexcept { return gmpunch_buffer_read_f32(&buffer_); }
    double read_f64() noexcept { return gmpunch_buffer_read_f64(&buffer_); }
    bool read_bool() noexcept { return gmpunch_buffer_read_bool(&buffer_) != 0; }
    /* Borrowed, inside the buffer, without the NUL; terminated (may be null): whether a NUL follows. */
    bytes_view read_string(bool *terminated = nullptr) noexcept {
        size_t length = 0;
        int32_t ended = 0;
        const char *text = gmpunch_buffer_read_string(&buffer_, &length, &ended);
        if (terminated) *terminated = ended == 1;
        return bytes_view(text, length);
    }
    /* Borrowed, inside the buffer; empty if there are fewer than size. */
    bytes_view read_bytes(size_t size) noexcept {
        const uint8_t *bytes = gmpunch_buffer_read_bytes(&buffer_, size);
        return bytes_view(bytes, bytes ? size : 0);
    }

    std::error_code seek(size_t position) noexcept { return to_error_code(gmpunch_buffer_seek(&buffer_, position)); }
    size_t position() const noexcept { return buffer_.position; }
    /* The bytes that hold something: a buffer can be passed on as a bytes_view. */
    const uint8_t *data() const noexcept { return buffer_.data; }
    size_t size() const noexcept { return buffer_.used; }
    /* The bytes that there is room for at present. */
    size_t capacity() const noexcept { return buffer_.size; }

    /* The first error. */
    std::error_code error() const noexcept { return to_error_code(buffer_.error); }
    explicit operator bool() const noexcept { return buffer_.error == GMPUNCH_OK; }

    gmpunch_buffer *get() noexcept { return &buffer_; }
    const gmpunch_buffer *get() const noexcept { return &buffer_; }
    /* The caller calls gmpunch_buffer_free on it. */
    GMPUNCHI_NODISCARD gmpunch_buffer release() noexcept {
        const gmpunch_buffer released = buffer_;
        buffer_ = gmpunch_buffer();
        buffer_.alignment = 1;
        buffer_.error = GMPUNCH_ERR_STATE;
        return released;
    }

private:
    void check(int32_t result) noexcept {
        if (result < 0) buffer_.error = result;
    }
    /* A missing text or bytes is an error of the call only; in a chain it has to stick as well. */
    buffer &chain(int32_t result) noexcept {
        if (buffer_.error == GMPUNCH_OK) check(result);
        return *this;
    }

    gmpunch_buffer buffer_;
};

/* Datagrams ============================================================================================================ */

/* Returns the datagram's length, 0 on error. */
inline size_t datagram_encode(uint8_t *datagram, size_t size, bytes_view payload, uint32_t flags,
                              std::error_code &error) noexcept {
    const int32_t length = gmpunch_datagram_encode(datagram, size, payload.data(), payload.size(), flags);
    error = to_error_code(length);
    return length < 0 ? 0 : static_cast<size_t>(length);
}

/* Returns the game packet inside the datagram; raw (may be null): whether there was no header. */
inline bytes_view datagram_decode(bytes_view datagram, uint32_t flags, std::error_code &error,
                                  bool *raw = nullptr) noexcept {
    const uint8_t *payload = nullptr;
    size_t length = 0;
    int32_t headless = 0;
    const int32_t result =
        gmpunch_datagram_decode(datagram.data(), datagram.size(), flags, &payload, &length, &headless);
    error = to_error_code(result);
    if (raw) *raw = headless == 1;
    return result < 0 ? bytes_view() : bytes_view(payload, length);
}

/* Client =============================================================================================================== */

/* What client and client_ref have in common: all calls on a gmpunch_client. */
class client_functions {
public:
    gmpunch_client *get() const noexcept { return object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }

#if !defined(GMPUNCH_NO_SOCKETS)
    /* True and an event, or false. */
    bool poll(event &next, std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) noexcept {
        return gmpunch_client_poll(object_, next.get(), detail::timeout_ms(timeout)) > 0;
    }
    bool poll(event &next, std::chrono::milliseconds timeout, std::error_code &error) noexcept {
        const int32_t result = gmpunch_client_poll(object_, next.get(), detail::timeout_ms(timeout));
        error = to_error_code(result);
        return result > 0;
    }
    event_range<gmpunch_client> events(std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) noexcept {
        return event_range<gmpunch_client>(object_, gmpunch_client_poll, detail::timeout_ms(timeout));
    }
    std::error_code send(bytes_view packet) noexcept {
        return to_error_code(gmpunch_client_send(object_, packet.data(), packet.size()));
    }
    std::error_code resolve() noexcept { return to_error_code(gmpunch_client_resolve(object_)); }
    /* Returns how many there are; 0 if empty. */
    uint32_t waits(gmpunch_wait *sockets, uint32_t capacity) const noexcept {
        const int32_t count = gmpunch_client_waits(object_, sockets, capacity);
        return count < 0 ? 0 : static_cast<uint32_t>(count);
    }
    gmpunch::address local_address() const noexcept {
        gmpunch::address local;
        return gmpunch_client_local_address(object_, &local) < 0 ? gmpunch::address() : local;
    }
    uintptr_t socket() const noexcept { return gmpunch_client_socket(object_); }
    int32_t os_error() const noexcept { return gmpunch_client_os_error(object_); }
#endif

    std::error_code set_master(uint64_t now, const gmpunch_address *addresses, uint32_t count) noexcept {
        return to_error_code(gmpunch_client_set_master(object_, now, addresses, count));
    }
    /* True: protocol. False: the application's own packet. */
    bool input_udp(uint64_t now, const gmpunch_address &from, uint32_t socket_index, bytes_view datagram) noexcept {
        return gmpunch_client_input_udp(object_, now, &from, socket_index, datagram.data(), datagram.size()) ==
               GMPUNCH_CONSUMED;
    }
    bool input_udp(uint64_t now, const gmpunch_address &from, uint32_t socket_index, bytes_view datagram,
                   std::error_code &error) noexcept {
        const int32_t result =
            gmpunch_client_input_udp(object_, now, &from, socket_index, datagram.data(), datagram.size());
        error = to_error_code(result);
        return result == GMPUNCH_CONSUMED;
    }
    std::error_code tcp_opened(uint64_t now, uint32_t connection) noexcept {
        return to_error_code(gmpunch_client_tcp_opened(object_, now, connection));
    }
    std::error_code tcp_data(uint64_t now, uint32_t connection, bytes_view bytes) noexcept {
        return to_error_code(gmpunch_client_tcp_data(object_, now, connection, bytes.data(), bytes.size()));
    }
    std::error_code tcp_closed(uint64_t now, uint32_t connection, int32_t os_error) noexcept {
        return to_error_code(gmpunch_client_tcp_closed(object_, now, connection, os_error));
    }
    std::error_code tcp_sent(uint32_t connection, size_t taken) noexcept {
        return to_error_code(gmpunch_client_tcp_sent(object_, connection, taken));
    }
    std::error_code tcp_writable(uint64_t now, uint32_t connection) noexcept {
        return to_error_code(gmpunch_client_tcp_writable(object_, now, connection));
    }
    std::error_code tick(uint64_t now) noexcept { return to_error_code(gmpunch_client_tick(object_, now)); }
    uint64_t next_deadline() const noexcept { return gmpunch_client_next_deadline(object_); }
    bool next_transmit(transmit &next) noexcept { return gmpunch_client_next_transmit(object_, next.get()) > 0; }
    bool next_event(event &next) noexcept { return gmpunch_client_next_event(object_, next.get()) > 0; }

    std::error_code request_data(uint64_t now) noexcept {
        return to_error_code(gmpunch_client_request_data(object_, now));
    }
    gmpunch::stage stage() const noexcept {
        const int32_t now = gmpunch_client_stage(object_);
        return now < 0 ? gmpunch::stage::none : static_cast<gmpunch::stage>(now);
    }
    /* The connected host, no address before; flags (may be null) for datagram_encode. */
    gmpunch::address server(uint32_t *flags = nullptr) const noexcept {
        gmpunch::address host;
        return gmpunch_client_server(object_, &host, flags) < 0 ? gmpunch::address() : host;
    }
    /* All 0 if empty. */
    gmpunch_client_stats stats() const noexcept {
        gmpunch_client_stats counters = gmpunch_client_stats();
        counters.struct_size = static_cast<uint32_t>(sizeof(counters));
        (void)gmpunch_client_get_stats(object_, &counters);
        return counters;
    }

protected:
    explicit client_functions(gmpunch_client *object) noexcept : object_(object) {}
    client_functions(const client_functions &) = default;
    client_functions &operator=(const client_functions &) = default;
    ~client_functions() = default;

    gmpunch_client *object_;
};

class client : public client_functions {
public:
    client() noexcept : client_functions(nullptr) {}
    explicit client(gmpunch_client *adopted) noexcept : client_functions(adopted) {}
    client(client &&other) noexcept : client_functions(other.release()) {}
    client &operator=(client &&other) noexcept {
        gmpunch_client *moved = other.release();
        close();
        object_ = moved;
        return *this;
    }
    client(const client &) = delete;
    client &operator=(const client &) = delete;
    ~client() { gmpunch_client_close(object_); }

#if !defined(GMPUNCH_NO_SOCKETS)
    /* Empty on error; the system's error number then goes to config.os_error. */
    GMPUNCHI_NODISCARD static client open(const gmpunch_client_config &config, std::error_code &error) noexcept {
        gmpunch_client *opened = nullptr;
        error = to_error_code(gmpunch_client_open(&config, &opened));
        return client(error ? nullptr : opened);
    }
#if defined(GMPUNCH_CPP_EXCEPTIONS)
    explicit client(const gmpunch_client_config &config) : client_functions(nullptr) {
        const int32_t result = gmpunch_client_open(&config, &object_);
        if (result < 0) throw std::system_error(to_error_code(result), "gmpunch_client_open");
    }
#endif
#endif
    GMPUNCHI_NODISCARD static client create(const gmpunch_client_config &config, uint64_t now,
                                            std::error_code &error) noexcept {
        gmpunch_client *created = nullptr;
        error = to_error_code(gmpunch_client_create(&config, now, &created));
        return client(error ? nullptr : created);
    }
    static size_t memory_size(const gmpunch_client_config &config, bool sockets) noexcept {
        return gmpunch_client_memory_size(&config, sockets ? 1 : 0);
    }

    void close() noexcept { gmpunch_client_close(release()); }
    /* The caller closes it. */
    gmpunch_client *release() noexcept {
        gmpunch_client *released = object_;
        object_ = nullptr;
        return released;
    }
};

class client_ref : public client_functions {
public:
    explicit client_ref(gmpunch_client *object) noexcept : client_functions(object) {}
    client_ref(client &owner) noexcept : client_functions(owner.get()) {}
};

/* Host ================================================================================================================= */

/* What host and host_ref have in common: all calls on a gmpunch_host. */
class host_functions {
public:
    gmpunch_host *get() const noexcept { return object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }

#if !defined(GMPUNCH_NO_SOCKETS)
    /* True and an event, or false. */
    bool poll(event &next, std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) noexcept {
        return gmpunch_host_poll(object_, next.get(), detail::timeout_ms(timeout)) > 0;
    }
    bool poll(event &next, std::chrono::milliseconds timeout, std::error_code &error) noexcept {
        const int32_t result = gmpunch_host_poll(object_, next.get(), detail::timeout_ms(timeout));
        error = to_error_code(result);
        return result > 0;
    }
    event_range<gmpunch_host> events(std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) noexcept {
        return event_range<gmpunch_host>(object_, gmpunch_host_poll, detail::timeout_ms(timeout));
    }
    std::error_code send(uint32_t peer, bytes_view packet) noexcept {
        return to_error_code(gmpunch_host_send(object_, peer, packet.data(), packet.size()));
    }
    /* Returns to how many peers it went. */
    uint32_t send_all(bytes_view packet) noexcept {
        const int32_t count = gmpunch_host_send_all(object_, packet.data(), packet.size());
        return count < 0 ? 0 : static_cast<uint32_t>(count);
    }
    uint32_t send_all(bytes_view packet, std::error_code &error) noexcept {
        const int32_t count = gmpunch_host_send_all(object_, packet.data(), packet.size());
        error = to_error_code(count);
        return count < 0 ? 0 : static_cast<uint32_t>(count);
    }
    std::error_code resolve() noexcept { return to_error_code(gmpunch_host_resolve(object_)); }
    /* Returns how many there are; 0 if empty. */
    uint32_t waits(gmpunch_wait *sockets, uint32_t capacity) const noexcept {
        const int32_t count = gmpunch_host_waits(object_, sockets, capacity);
        return count < 0 ? 0 : static_cast<uint32_t>(count);
    }
    gmpunch::address local_address() const noexcept {
        gmpunch::address local;
        return gmpunch_host_local_address(object_, &local) < 0 ? gmpunch::address() : local;
    }
    uintptr_t socket() const noexcept { return gmpunch_host_socket(object_); }
    int32_t os_error() const noexcept { return gmpunch_host_os_error(object_); }
#endif

    std::error_code set_master(uint64_t now, const gmpunch_address *addresses, uint32_t count) noexcept {
        return to_error_code(gmpunch_host_set_master(object_, now, addresses, count));
    }
    /* True: protocol. False: the application's own packet. */
    bool input_udp(uint64_t now, const gmpunch_address &from, uint32_t socket_index, bytes_view datagram) noexcept {
        return gmpunch_host_input_udp(object_, now, &from, socket_index, datagram.data(), datagram.size()) ==
               GMPUNCH_CONSUMED;
    }
    bool input_udp(uint64_t now, const gmpunch_address &from, uint32_t socket_index, bytes_view datagram,
                   std::error_code &error) noexcept {
        const int32_t result =
            gmpunch_host_input_udp(object_, now, &from, socket_index, datagram.data(), datagram.size());
        error = to_error_code(result);
        return result == GMPUNCH_CONSUMED;
    }
    std::error_code tcp_opened(uint64_t now, uint32_t connection) noexcept {
        return to_error_code(gmpunch_host_tcp_opened(object_, now, connection));
    }
    std::error_code tcp_data(uint64_t now, uint32_t connection, bytes_view bytes) noexcept {
        return to_error_code(gmpunch_host_tcp_data(object_, now, connection, bytes.data(), bytes.size()));
    }
    std::error_code tcp_closed(uint64_t now, uint32_t connection, int32_t os_error) noexcept {
        return to_error_code(gmpunch_host_tcp_closed(object_, now, connection, os_error));
    }
    std::error_code tcp_sent(uint32_t connection, size_t taken) noexcept {
        return to_error_code(gmpunch_host_tcp_sent(object_, connection, taken));
    }
    std::error_code tcp_writable(uint64_t now, uint32_t connection) noexcept {
        return to_error_code(gmpunch_host_tcp_writable(object_, now, connection));
    }
    std::error_code tick(uint64_t now) noexcept { return to_error_code(gmpunch_host_tick(object_, now)); }
    uint64_t next_deadline() const noexcept { return gmpunch_host_next_deadline(object_); }
    bool next_transmit(transmit &next) noexcept { return gmpunch_host_next_transmit(object_, next.get()) > 0; }
    bool next_event(event &next) noexcept { return gmpunch_host_next_event(object_, next.get()) > 0; }

    /* 0 if there is none. */
    uint32_t find_peer(const gmpunch_address &at) const noexcept { return gmpunch_host_find_peer(object_, &at); }
    /* All 0 on error. */
    gmpunch_peer_info peer_info(uint32_t peer, std::error_code &error) const noexcept {
        gmpunch_peer_info info = gmpunch_peer_info();
        info.struct_size = static_cast<uint32_t>(sizeof(info));
        error = to_error_code(gmpunch_host_peer_info(object_, peer, &info));
        return error ? gmpunch_peer_info() : info;
    }
#if defined(__cpp_lib_optional)
    std::optional<gmpunch_peer_info> peer_info(uint32_t peer) const noexcept {
        gmpunch_peer_info info = gmpunch_peer_info();
        info.struct_size = static_cast<uint32_t>(sizeof(info));
        if (gmpunch_host_peer_info(object_, peer, &info) < 0) return std::nullopt;
        return info;
    }
#endif
    /* Returns how many there are; 0 if empty. */
    uint32_t peers(uint32_t *ids = nullptr, uint32_t capacity = 0) const noexcept {
        const int32_t count = gmpunch_host_peers(object_, ids, capacity);
        return count < 0 ? 0 : static_cast<uint32_t>(count);
    }
    std::error_code kick(uint64_t now, uint32_t peer) noexcept {
        return to_error_code(gmpunch_host_kick(object_, now, peer));
    }
    std::error_code set_data(uint32_t number, c_string text) noexcept {
        return to_error_code(gmpunch_host_set_data(object_, number, text.c_str()));
    }
    std::error_code commit_data(uint64_t now) noexcept { return to_error_code(gmpunch_host_commit_data(object_, now)); }
    /* All 0 if empty. */
    gmpunch_host_stats stats() const noexcept {
        gmpunch_host_stats counters = gmpunch_host_stats();
        counters.struct_size = static_cast<uint32_t>(sizeof(counters));
        (void)gmpunch_host_get_stats(object_, &counters);
        return counters;
    }

protected:
    explicit host_functions(gmpunch_host *object) noexcept : object_(object) {}
    host_functions(const host_functions &) = default;
    host_functions &operator=(const host_functions &) = default;
    ~host_functions() = default;

    gmpunch_host *object_;
};

class host : public host_functions {
public:
    host() noexcept : host_functions(nullptr) {}
    explicit host(gmpunch_host *adopted) noexcept : host_functions(adopted) {}
    host(host &&other) noexcept : host_functions(other.release()) {}
    host &operator=(host &&other) noexcept {
        gmpunch_host *moved = other.release();
        close();
        object_ = moved;
        return *this;
    }
    host(const host &) = delete;
    host &operator=(const host &) = delete;
    ~host() { gmpunch_host_close(object_); }

#if !defined(GMPUNCH_NO_SOCKETS)
    /* Empty on error; the system's error number then goes to config.os_error. */
    GMPUNCHI_NODISCARD static host open(const gmpunch_host_config &config, std::error_code &error) noexcept {
        gmpunch_host *opened = nullptr;
        error = to_error_code(gmpunch_host_open(&config, &opened));
        return host(error ? nullptr : opened);
    }
#if defined(GMPUNCH_CPP_EXCEPTIONS)
    explicit host(const gmpunch_host_config &config) : host_functions(nullptr) {
        const int32_t result = gmpunch_host_open(&config, &object_);
        if (result < 0) throw std::system_error(to_error_code(result), "gmpunch_host_open");
    }
#endif
#endif
    GMPUNCHI_NODISCARD static host create(const gmpunch_host_config &config, uint64_t now,
                                          std::error_code &error) noexcept {
        gmpunch_host *created = nullptr;
        error = to_error_code(gmpunch_host_create(&config, now, &created));
        return host(error ? nullptr : created);
    }
    static size_t memory_size(const gmpunch_host_config &config, bool sockets) noexcept {
        return gmpunch_host_memory_size(&config, sockets ? 1 : 0);
    }

    void close() noexcept { gmpunch_host_close(release()); }
    /* The caller closes it. */
    gmpunch_host *release() noexcept {
        gmpunch_host *released = object_;
        object_ = nullptr;
        return released;
    }
};

class host_ref : public host_functions {
public:
    explicit host_ref(gmpunch_host *object) noexcept : host_functions(object) {}
    host_ref(host &owner) noexcept : host_functions(owner.get()) {}
};

/* Lobby ================================================================================================================ */

/* What lobby and lobby_ref have in common: all calls on a gmpunch_lobby. A list, complete:

    gmpunch::event event;
    while (event.type() != gmpunch::event_type::lobby_done && event.type() != gmpunch::event_type::failed)
        if (list.poll(event, std::chrono::seconds(1)) && event.type() == gmpunch::event_type::lobby_entry)
            show(event.address(), event.string(1), event.created());
*/
class lobby_functions {
public:
    gmpunch_lobby *get() const noexcept { return object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }

#if !defined(GMPUNCH_NO_SOCKETS)
    /* True and an event, or false. */
    bool poll(event &next, std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) noexcept {
        return gmpunch_lobby_poll(object_, next.get(), detail::timeout_ms(timeout)) > 0;
    }
    bool poll(event &next, std::chrono::milliseconds timeout, std::error_code &error) noexcept {
        const int32_t result = gmpunch_lobby_poll(object_, next.get(), detail::timeout_ms(timeout));
        error = to_error_code(result);
        return result > 0;
    }
    event_range<gmpunch_lobby> events(std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) noexcept {
        return event_range<gmpunch_lobby>(object_, gmpunch_lobby_poll, detail::timeout_ms(timeout));
    }
    std::error_code resolve() noexcept { return to_error_code(gmpunch_lobby_resolve(object_)); }
    /* Returns how many there are; 0 if empty. */
    uint32_t waits(gmpunch_wait *sockets, uint32_t capacity) const noexcept {
        const int32_t count = gmpunch_lobby_waits(object_, sockets, capacity);
        return count < 0 ? 0 : static_cast<uint32_t>(count);
    }
    int32_t os_error() const noexcept { return gmpunch_lobby_os_error(object_); }
#endif

    std::error_code set_master(uint64_t now, const gmpunch_address *addresses, uint32_t count) noexcept {
        return to_error_code(gmpunch_lobby_set_master(object_, now, addresses, count));
    }
    std::error_code tcp_opened(uint64_t now, uint32_t connection) noexcept {
        return to_error_code(gmpunch_lobby_tcp_opened(object_, now, connection));
    }
    /* Returns how many bytes were taken, 0 on error. */
    size_t tcp_data(uint64_t now, uint32_t connection, bytes_view bytes, std::error_code &error) noexcept {
        const int32_t taken = gmpunch_lobby_tcp_data(object_, now, connection, bytes.data(), bytes.size());
        error = to_error_code(taken);
        return taken < 0 ? 0 : static_cast<size_t>(taken);
    }
    std::error_code tcp_closed(uint64_t now, uint32_t connection, int32_t os_error) noexcept {
        return to_error_code(gmpunch_lobby_tcp_closed(object_, now, connection, os_error));
    }
    std::error_code tcp_sent(uint32_t connection, size_t taken) noexcept {
        return to_error_code(gmpunch_lobby_tcp_sent(object_, connection, taken));
    }
    std::error_code tcp_writable(uint64_t now, uint32_t connection) noexcept {
        return to_error_code(gmpunch_lobby_tcp_writable(object_, now, connection));
    }
    std::error_code tick(uint64_t now) noexcept { return to_error_code(gmpunch_lobby_tick(object_, now)); }
    uint64_t next_deadline() const noexcept { return gmpunch_lobby_next_deadline(object_); }
    bool next_transmit(transmit &next) noexcept { return gmpunch_lobby_next_transmit(object_, next.get()) > 0; }
    bool next_event(event &next) noexcept { return gmpunch_lobby_next_event(object_, next.get()) > 0; }

    /* All 0 if empty. */
    gmpunch_lobby_stats stats() const noexcept {
        gmpunch_lobby_stats counters = gmpunch_lobby_stats();
        counters.struct_size = static_cast<uint32_t>(sizeof(counters));
        (void)gmpunch_lobby_get_stats(object_, &counters);
        return counters;
    }

protected:
    explicit lobby_functions(gmpunch_lobby *object) noexcept : object_(object) {}
    lobby_functions(const lobby_functions &) = default;
    lobby_functions &operator=(const lobby_functions &) = default;
    ~lobby_functions() = default;

    gmpunch_lobby *object_;
};

class lobby : public lobby_functions {
public:
    lobby() noexcept : lobby_functions(nullptr) {}
    explicit lobby(gmpunch_lobby *adopted) noexcept : lobby_functions(adopted) {}
    lobby(lobby &&other) noexcept : lobby_functions(other.release()) {}
    lobby &operator=(lobby &&other) noexcept {
        gmpunch_lobby *moved = other.release();
        close();
        object_ = moved;
        return *this;
    }
    lobby(const lobby &) = delete;
    lobby &operator=(const lobby &) = delete;
    ~lobby() { gmpunch_lobby_close(object_); }

#if !defined(GMPUNCH_NO_SOCKETS)
    /* Empty on error; the system's error number then goes to config.os_error. */
    GMPUNCHI_NODISCARD static lobby open(const gmpunch_lobby_config &config, std::error_code &error) noexcept {
        gmpunch_lobby *opened = nullptr;
        error = to_error_code(gmpunch_lobby_open(&config, &opened));
        return lobby(error ? nullptr : opened);
    }
#if defined(GMPUNCH_CPP_EXCEPTIONS)
    explicit lobby(const gmpunch_lobby_config &config) : lobby_functions(nullptr) {
        const int32_t result = gmpunch_lobby_open(&config, &object_);
        if (result < 0) throw std::system_error(to_error_code(result), "gmpunch_lobby_open");
    }
#endif
#endif
    GMPUNCHI_NODISCARD static lobby create(const gmpunch_lobby_config &config, uint64_t now,
                                           std::error_code &error) noexcept {
        gmpunch_lobby *created = nullptr;
        error = to_error_code(gmpunch_lobby_create(&config, now, &created));
        return lobby(error ? nullptr : created);
    }
    static size_t memory_size(const gmpunch_lobby_config &config, bool sockets) noexcept {
        return gmpunch_lobby_memory_size(&config, sockets ? 1 : 0);
    }

    void close() noexcept { gmpunch_lobby_close(release()); }
    /* The caller closes it. */
    gmpunch_lobby *release() noexcept {
        gmpunch_lobby *released = object_;
        object_ = nullptr;
        return released;
    }
};

class lobby_ref : public lobby_functions {
public:
    explicit lobby_ref(gmpunch_lobby *object) noexcept : lobby_functions(object) {}
    lobby_ref(lobby &owner) noexcept : lobby_functions(owner.get()) {}
};

/* Master =============================================================================================================== */

#if !defined(GMPUNCH_NO_MASTER)
/* What master and master_ref have in common: all calls on a gmpunch_master. */
class master_functions {
public:
    gmpunch_master *get() const noexcept { return object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }

#if !defined(GMPUNCH_NO_SOCKETS)
    /* True and an event, or false. */
    bool poll(event &next, std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) noexcept {
        return gmpunch_master_poll(object_, next.get(), detail::timeout_ms(timeout)) > 0;
    }
    bool poll(event &next, std::chrono::milliseconds timeout, std::error_code &error) noexcept {
        const int32_t result = gmpunch_master_poll(object_, next.get(), detail::timeout_ms(timeout));
        error = to_error_code(result);
        return result > 0;
    }
    event_range<gmpunch_master> events(std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) noexcept {
        return event_range<gmpunch_master>(object_, gmpunch_master_poll, detail::timeout_ms(timeout));
    }
    /* Polls without events until the timeout. */
    std::error_code serve(std::chrono::milliseconds timeout) noexcept {
        return to_error_code(gmpunch_master_poll(object_, nullptr, detail::timeout_ms(timeout)));
    }
    /* Returns how many there are; 0 if empty. */
    uint32_t waits(gmpunch_wait *sockets, uint32_t capacity) const noexcept {
        const int32_t count = gmpunch_master_waits(object_, sockets, capacity);
        return count < 0 ? 0 : static_cast<uint32_t>(count);
    }
    /* No address if there are not so many. */
    gmpunch::address local_address(uint32_t index = 0) const noexcept {
        gmpunch::address local;
        return gmpunch_master_local_address(object_, index, &local) < 0 ? gmpunch::address() : local;
    }
    int32_t os_error() const noexcept { return gmpunch_master_os_error(object_); }
#endif

    std::error_code input_udp(uint64_t now, const gmpunch_address &from, uint32_t socket_index,
                              bytes_view datagram) noexcept {
        return to_error_code(
            gmpunch_master_input_udp(object_, now, &from, socket_index, datagram.data(), datagram.size()));
    }
    /* Returns the connection's id; on error it is to be closed. */
    uint32_t tcp_accepted(uint64_t now, const gmpunch_address &from, std::error_code &error) noexcept {
        uint32_t connection = 0;
        error = to_error_code(gmpunch_master_tcp_accepted(object_, now, &from, &connection));
        return connection;
    }
    std::error_code tcp_data(uint64_t now, uint32_t connection, bytes_view bytes) noexcept {
        return to_error_code(gmpunch_master_tcp_data(object_, now, connection, bytes.data(), bytes.size()));
    }
    std::error_code tcp_closed(uint64_t now, uint32_t connection, int32_t os_error) noexcept {
        return to_error_code(gmpunch_master_tcp_closed(object_, now, connection, os_error));
    }
    std::error_code tcp_sent(uint32_t connection, size_t taken) noexcept {
        return to_error_code(gmpunch_master_tcp_sent(object_, connection, taken));
    }
    std::error_code tcp_writable(uint64_t now, uint32_t connection) noexcept {
        return to_error_code(gmpunch_master_tcp_writable(object_, now, connection));
    }
    std::error_code tick(uint64_t now) noexcept { return to_error_code(gmpunch_master_tick(object_, now)); }
    uint64_t next_deadline() const noexcept { return gmpunch_master_next_deadline(object_); }
    /* `now` is this Unix time. */
    std::error_code set_unix_time(uint64_t now, uint64_t unix_seconds) noexcept {
        return to_error_code(gmpunch_master_set_unix_time(object_, now, unix_seconds));
    }
    bool next_transmit(transmit &next) noexcept { return gmpunch_master_next_transmit(object_, next.get()) > 0; }
    bool next_event(event &next) noexcept { return gmpunch_master_next_event(object_, next.get()) > 0; }

    /* All 0 if empty. */
    gmpunch_master_stats stats() const noexcept {
        gmpunch_master_stats counters = gmpunch_master_stats();
        counters.struct_size = static_cast<uint32_t>(sizeof(counters));
        (void)gmpunch_master_get_stats(object_, &counters);
        return counters;
    }

protected:
    explicit master_functions(gmpunch_master *object) noexcept : object_(object) {}
    master_functions(const master_functions &) = default;
    master_functions &operator=(const master_functions &) = default;
    ~master_functions() = default;

    gmpunch_master *object_;
};

class master : public master_functions {
public:
    master() noexcept : master_functions(nullptr) {}
    explicit master(gmpunch_master *adopted) noexcept : master_functions(adopted) {}
    master(master &&other) noexcept : master_functions(other.release()) {}
    master &operator=(master &&other) noexcept {
        gmpunch_master *moved = other.release();
        close();
        object_ = moved;
        return *this;
    }
    master(const master &) = delete;
    master &operator=(const master &) = delete;
    ~master() { gmpunch_master_close(object_); }

#if !defined(GMPUNCH_NO_SOCKETS)
    /* Empty on error; the system's error number then goes to config.os_error. */
    GMPUNCHI_NODISCARD static master open(const gmpunch_master_config &config, std::error_code &error) noexcept {
        gmpunch_master *opened = nullptr;
        error = to_error_code(gmpunch_master_open(&config, &opened));
        return master(error ? nullptr : opened);
    }
#if defined(GMPUNCH_CPP_EXCEPTIONS)
    explicit master(const gmpunch_master_config &config) : master_functions(nullptr) {
        const int32_t result = gmpunch_master_open(&config, &object_);
        if (result < 0) throw std::system_error(to_error_code(result), "gmpunch_master_open");
    }
#endif
#endif
    GMPUNCHI_NODISCARD static master create(const gmpunch_master_config &config, uint64_t now,
                                            std::error_code &error) noexcept {
        gmpunch_master *created = nullptr;
        error = to_error_code(gmpunch_master_create(&config, now, &created));
        return master(error ? nullptr : created);
    }

    void close() noexcept { gmpunch_master_close(release()); }
    /* The caller closes it. */
    gmpunch_master *release() noexcept {
        gmpunch_master *released = object_;
        object_ = nullptr;
        return released;
    }
};

class master_ref : public master_functions {
public:
    explicit master_ref(gmpunch_master *object) noexcept : master_functions(object) {}
    master_ref(master &owner) noexcept : master_functions(owner.get()) {}
};
#endif /* GMPUNCH_NO_MASTER */

#if defined(GMPUNCH_STATIC)
} // namespace
#endif
} // namespace gmpunch

namespace std {
template <>
struct is_error_code_enum<gmpunch::errc> : true_type {};
} // namespace std

#undef GMPUNCHI_NODISCARD

#endif /* GMPUNCH_HPP_INCLUDED */
