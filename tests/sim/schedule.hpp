// Virtual time: what is to happen, in its order. What is due at the same time happens in the order in which it was put in.
#ifndef GMPUNCH_TESTS_SCHEDULE_HPP
#define GMPUNCH_TESTS_SCHEDULE_HPP

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace sim {

// What is taken out is kept for reuse, so that a long run allocates little.
template <typename Item>
class schedule {
public:
    // A place for an item that is due at this time; it holds what an earlier one left behind.
    Item &put(uint64_t at) {
        uint32_t place;
        if (unused.empty()) {
            place = uint32_t(items.size());
            items.emplace_back();
        } else {
            place = unused.back();
            unused.pop_back();
        }
        heap.push_back({at, order++, place});
        std::push_heap(heap.begin(), heap.end(), later);
        return items[place];
    }
    uint64_t next() const { return heap.empty() ? UINT64_MAX : heap.front().at; }
    // Takes the next item; what `item` held before is kept for reuse.
    void take(Item &item) {
        std::pop_heap(heap.begin(), heap.end(), later);
        uint32_t place = heap.back().place;
        heap.pop_back();
        std::swap(item, items[place]);
        unused.push_back(place);
    }

private:
    struct entry {
        uint64_t at, order;
        uint32_t place;
    };
    static bool later(const entry &a, const entry &b) { return a.at != b.at ? a.at > b.at : a.order > b.order; }

    std::vector<entry> heap;
    std::vector<Item> items;
    std::vector<uint32_t> unused;
    uint64_t order = 0;
};

} // namespace sim

#endif
