// Numbers that depend on the seed alone, the same with every compiler.
#ifndef GMPUNCH_TESTS_RANDOM_HPP
#define GMPUNCH_TESTS_RANDOM_HPP

#include <cstdint>

namespace sim {

class random_source {
public:
    explicit random_source(uint64_t seed) : state(seed) {}

    uint64_t next() { // splitmix64
        uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
    }
    // From 0 to limit - 1; 0 if limit is 0.
    uint32_t below(uint32_t limit) { return uint32_t((next() >> 32) * limit >> 32); }
    uint32_t between(uint32_t first, uint32_t last) { return first + below(last - first + 1); }
    // True in so many of 10000 cases. Draws nothing where the answer is certain.
    bool chance(uint32_t of_10000) { return of_10000 && (of_10000 >= 10000 || below(10000) < of_10000); }

private:
    uint64_t state;
};

} // namespace sim

#endif
