// What the objects keep their things in: hash maps, pools and lists over slot numbers; and their random numbers.
#include "gmpunch_internal.hpp"

#include <algorithm>
#include <cstdlib>
#include <list>
#include <set>

TEST_CASE("memory: random numbers are those of splitmix64") {
    gmpunchi_object object{};
    object.random = 1234567;
    for (uint64_t expected : {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973), UINT64_C(9817491932198370423)})
        CHECK(gmpunchi_random(&object) == expected);
}

TEST_CASE("memory: a jitter is from half of the time to all of it") {
    gmpunchi_object object{};
    for (uint32_t ms : {0u, 1u, 2u, 7u, 1000u, GMPUNCH_NEVER}) {
        uint32_t least = UINT32_MAX, most = 0;
        for (int i = 0; i < 20000; i++) {
            uint32_t got = gmpunchi_jitter(&object, ms);
            least = std::min(least, got);
            most = std::max(most, got);
        }
        CHECK(most <= ms);
        CHECK(least >= ms - ms / 2);
        if (ms <= 1000) CHECK(most == ms);
        if (ms <= 1000) CHECK(least == ms - ms / 2);
    }
}

TEST_CASE("memory: times end before never") {
    CHECK(gmpunchi_after(5, 10) == 15);
    CHECK(gmpunchi_after(5, GMPUNCH_NEVER) == UINT64_MAX);
    CHECK(gmpunchi_after(UINT64_MAX - 10, 9) == UINT64_MAX - 1);
    CHECK(gmpunchi_after(UINT64_MAX - 10, 10) == UINT64_MAX);
    CHECK(gmpunchi_after(UINT64_MAX - 10, 11) == UINT64_MAX);
    CHECK(gmpunchi_earlier(1, 2) == 1);
    CHECK(gmpunchi_earlier(2, 1) == 1);
    gmpunchi_object object{};
    CHECK(gmpunchi_advance(&object, 7) == 7);
    CHECK(gmpunchi_advance(&object, 6) == 7);
    CHECK(gmpunchi_advance(&object, UINT64_MAX) == UINT64_MAX - 1);
}

TEST_CASE("memory: a map has as many buckets as slots, a power of two") {
    for (uint32_t slots : {0u, 1u, 4u, 5u, 64u, 65u, 65535u}) {
        uint32_t buckets = gmpunchi_map_buckets(slots);
        CAPTURE(slots);
        CHECK(buckets >= slots);
        CHECK(buckets >= 4);
        CHECK((buckets & (buckets - 1)) == 0);
        CHECK((buckets == 4 || buckets / 2 < slots));
    }
}

TEST_CASE("memory: a map finds what is in it, and nothing else") {
    uint32_t bucket[4], next[16];
    gmpunchi_map map = {bucket, next, 3};
    gmpunchi_map_clear(&map);
    std::multiset<uint32_t> in[4]; // by bucket
    uint64_t hash[16];
    for (uint32_t slot = 0; slot < 16; slot++) {
        hash[slot] = slot * UINT64_C(0x9e3779b97f4a7c15) >> 7;
        gmpunchi_map_insert(&map, hash[slot], slot);
        in[hash[slot] & 3].insert(slot);
    }
    auto same = [&] {
        for (uint32_t i = 0; i < 4; i++) {
            std::multiset<uint32_t> found;
            for (uint32_t slot = gmpunchi_map_first(&map, i); slot != GMPUNCHI_NONE; slot = map.next[slot])
                found.insert(slot);
            if (found != in[i]) return false;
        }
        return true;
    };
    CHECK(same());
    for (uint32_t slot : {15u, 0u, 7u, 8u, 3u, 1u, 14u}) {
        gmpunchi_map_remove(&map, hash[slot], slot);
        in[hash[slot] & 3].erase(slot);
        CHECK(same());
    }
}

TEST_CASE("memory: items of a pool stay where they are, and are zero when taken") {
    gmpunchi_pool pool;
    gmpunchi_pool_init(&pool, 8, 1000);
    CHECK(pool.item_size == 8);
    std::set<const void *> places;
    std::vector<uint8_t *> at;
    for (uint32_t i = 0; i < 300; i++) {
        if (gmpunchi_pool_is_full(&pool)) {
            size_t size = size_t(gmpunchi_pool_chunk_items(pool.chunks)) * pool.item_size;
            pool.chunk[pool.chunks++] = static_cast<uint8_t *>(std::malloc(size));
            CHECK(gmpunchi_pool_capacity(&pool) == 64u << (pool.chunks - 1));
        }
        CHECK(gmpunchi_pool_take(&pool) == i);
        at.push_back(static_cast<uint8_t *>(gmpunchi_pool_at(&pool, i)));
        CHECK(std::all_of(at[i], at[i] + 8, [](uint8_t byte) { return byte == 0; }));
        std::fill(at[i], at[i] + 8, uint8_t(0xaa));
    }
    CHECK(pool.chunks == 4); // 64, 64, 128 and 256
    for (uint32_t i = 0; i < 300; i++) {
        CHECK(gmpunchi_pool_at(&pool, i) == at[i]);
        places.insert(at[i]);
        if (i % 64) CHECK(at[i] == at[i - 1] + 8);
    }
    CHECK(places.size() == 300);
    gmpunchi_pool_give(&pool, 70);
    gmpunchi_pool_give(&pool, 3);
    CHECK(pool.count == 298);
    CHECK(gmpunchi_pool_take(&pool) == 3); // the last that was given back
    CHECK(gmpunchi_pool_take(&pool) == 70);
    CHECK(std::all_of(at[70], at[70] + 8, [](uint8_t byte) { return byte == 0; }));
    CHECK(gmpunchi_pool_take(&pool) == 300);
    for (uint32_t i = 0; i < pool.chunks; i++) std::free(pool.chunk[i]);
}

TEST_CASE("memory: lists against std::list") {
    struct item {
        uint64_t other;
        gmpunchi_link link;
    };
    const size_t offset = offsetof(item, link);
    gmpunchi_pool pool;
    gmpunchi_pool_init(&pool, sizeof(item), 64);
    std::vector<item> memory(64);
    pool.chunk[pool.chunks++] = reinterpret_cast<uint8_t *>(memory.data());
    gmpunchi_list list;
    gmpunchi_list_init(&list);
    std::list<uint32_t> expected;
    std::vector<uint32_t> outside;
    for (uint32_t i = 0; i < 8; i++) outside.push_back(gmpunchi_pool_take(&pool));
    gmpunchi_object random{};
    for (int step = 0; step < 5000; step++) {
        uint64_t dice = gmpunchi_random(&random);
        auto picked = expected.begin();
        if (!expected.empty()) std::advance(picked, std::ptrdiff_t(dice / 8 % expected.size()));
        if (dice % 2 == 0 && !outside.empty()) {
            gmpunchi_list_append(&list, &pool, offset, outside.back());
            expected.push_back(outside.back());
            outside.pop_back();
        } else if (dice % 2 == 1 && !expected.empty()) {
            gmpunchi_list_remove(&list, &pool, offset, *picked);
            outside.insert(outside.begin(), *picked);
            expected.erase(picked);
        }
        std::list<uint32_t> forward, backward;
        for (uint32_t i = list.head; i != GMPUNCHI_NONE; i = gmpunchi_link_at(&pool, offset, i)->next) forward.push_back(i);
        for (uint32_t i = list.tail; i != GMPUNCHI_NONE; i = gmpunchi_link_at(&pool, offset, i)->prev)
            backward.push_front(i);
        REQUIRE(forward == expected);
        REQUIRE(backward == expected);
    }
}
