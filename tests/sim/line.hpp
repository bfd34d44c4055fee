// The line between a site and the internet, one direction: delay, jitter, loss in single packets and in bursts (after Gilbert
// and Elliott), duplicates, packets that overtake others, a rate with a queue before it, and times in which nothing passes.
#ifndef GMPUNCH_TESTS_LINE_HPP
#define GMPUNCH_TESTS_LINE_HPP

#include "random.hpp"

#include <algorithm>
#include <cstddef>

namespace sim {

// Chances are of 10000.
struct line_kind {
    uint32_t delay_ms = 0;
    uint32_t jitter_ms = 0; // at most so much more, where it can without overtaking
    uint32_t loss = 0;
    uint32_t burst_begins = 0, burst_ends = 10000, burst_loss = 0; // per packet
    uint32_t duplicated = 0;
    uint32_t late = 0, late_ms = 0; // these packets come so much later: others overtake them
    uint32_t bytes_per_ms = 0;      // 0: no limit
    uint32_t queue_bytes = 16384;   // what waits beyond is dropped (tail drop)
};

class line {
public:
    line_kind kind;
    bool up = true; // false: nothing passes

    // When a packet sent at this time arrives: none, one or two times. Returns how many.
    int pass(random_source &random, uint64_t at, size_t len, uint64_t (&arrivals)[2]) {
        if (!up || random.chance(kind.loss)) return 0;
        if (kind.burst_begins) {
            in_burst = in_burst ? !random.chance(kind.burst_ends) : random.chance(kind.burst_begins);
            if (in_burst && random.chance(kind.burst_loss)) return 0;
        }
        if (kind.bytes_per_ms) {
            uint64_t rate = kind.bytes_per_ms, full = at * rate + kind.queue_bytes; // in bytes since the start of time
            sent_bytes = std::max(sent_bytes, at * rate);
            if (sent_bytes + len > full) return 0;
            sent_bytes += len;
            at = (sent_bytes + rate - 1) / rate;
        }
        at += kind.delay_ms;
        int copies = random.chance(kind.duplicated) ? 2 : 1;
        for (int i = 0; i < copies; i++) {
            arrivals[i] = at;
            if (kind.jitter_ms) arrivals[i] = last = std::max(last, at + random.below(kind.jitter_ms + 1));
            if (random.chance(kind.late)) arrivals[i] += kind.late_ms;
        }
        return copies;
    }

private:
    bool in_burst = false;
    uint64_t sent_bytes = 0; // what has left, or will: the line is busy until sent_bytes / rate
    uint64_t last = 0;
};

} // namespace sim

#endif
