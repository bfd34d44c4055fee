// One TCP connection to the master in virtual time: what is on its way in each direction. It arrives in order and whole, if at
// all: what the lines lose is sent again, later and later, until its sender gives up.
#ifndef GMPUNCH_TESTS_TCP_HPP
#define GMPUNCH_TESTS_TCP_HPP

#include "../unit/gmpunch_internal.hpp"

#include <algorithm>
#include <deque>

namespace sim {

// How what was sent in one piece arrives.
struct tcp_kind {
    size_t chunk = SIZE_MAX;  // at most so many bytes at once
    uint64_t gap_ms = 0;      // between two chunks
    uint64_t together_ms = 0; // what arrives within such a time comes as one
};

class stream {
public:
    static constexpr uint64_t first_retry_ms = 300, last_retry_ms = 20000;

    struct segment {
        bytes data;
        bool end;    // nothing follows: the connection was closed
        uint64_t at; // when it arrives; UINT64_MAX while it is lost
    };

    // Cuts it into segments that are to be sent now; returns the number of the first of them.
    uint64_t put(const bytes &data, bool end, size_t chunk) {
        uint64_t number = end_number();
        size_t at = 0;
        do {
            size_t len = std::min(chunk, data.size() - at);
            waiting.push_back({bytes(data.begin() + long(at), data.begin() + long(at + len)), false, UINT64_MAX});
            at += len;
        } while (at < data.size());
        waiting.back().end = end;
        return number;
    }
    uint64_t end_number() const { return first + waiting.size(); }
    void arrives(uint64_t number, uint64_t at) { waiting[size_t(number - first)].at = at; }

    // The next segment that has arrived by now, and all before it; false if there is none. With `joined` as much as there is.
    bool take(uint64_t now, bool joined, segment &out) {
        if (waiting.empty() || waiting.front().at > now) return false;
        out = pop();
        while (joined && !out.end && !waiting.empty() && waiting.front().at <= now) {
            segment next = pop();
            out.data.insert(out.data.end(), next.data.begin(), next.data.end());
            out.end = next.end;
        }
        return true;
    }

private:
    segment pop() {
        segment out = std::move(waiting.front());
        waiting.pop_front();
        first++;
        return out;
    }

    std::deque<segment> waiting;
    uint64_t first = 0; // the number of the first that waits
};

} // namespace sim

#endif
