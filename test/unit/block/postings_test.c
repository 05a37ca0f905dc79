#include "block/postings.h"

#include <stdlib.h>

#include "support/test.h"

/* Every reference below `most` with a chance of one in `sparse`. */
static struct postings random_postings(struct arena *arena, uint64_t *seed, uint32_t most,
                                       uint64_t sparse)
{
    struct postings set = {arena_array(arena, most + 1, sizeof(uint32_t)), 0};
    for (uint32_t ref = 0; ref < most; ref++) {
        if (test_random_below(seed, sparse) == 0)
            set.refs[set.count++] = ref;
    }
    return set;
}

static bool has(struct postings set, uint32_t ref)
{
    for (size_t i = 0; i < set.count; i++) {
        if (set.refs[i] == ref)
            return true;
    }
    return false;
}

TEST(set_operations_agree_with_plain_ones)
{
    enum { MOST = 300, LISTS = 12 };
    uint64_t seed = test_seed();
    for (int round = 0; round < 300; round++) {
        struct arena *arena = arena_create(NULL);
        struct postings lists[LISTS], joined, both, less;
        size_t count = 1 + test_random_below(&seed, LISTS);
        for (size_t i = 0; i < count; i++)
            lists[i] = random_postings(arena, &seed, MOST, 1 + test_random_below(&seed, 200));
        CHECK_OK(postings_union(lists, count, arena, &joined));
        both = random_postings(arena, &seed, MOST, 1 + test_random_below(&seed, 40));
        less = (struct postings){arena_array(arena, MOST, sizeof(uint32_t)), both.count};
        memcpy(less.refs, both.refs, both.count * sizeof(uint32_t));
        struct postings before = {less.refs, less.count};
        struct postings kept = {arena_array(arena, MOST, sizeof(uint32_t)), before.count};
        memcpy(kept.refs, before.refs, before.count * sizeof(uint32_t));
        postings_intersect(&both, joined);
        postings_subtract(&less, joined);
        for (uint32_t ref = 0; ref < MOST; ref++) {
            bool in_any = false;
            for (size_t i = 0; i < count; i++)
                in_any |= has(lists[i], ref);
            CHECK_EQ(has(joined, ref), in_any);
            CHECK_EQ(has(both, ref), has(kept, ref) && in_any);
            CHECK_EQ(has(less, ref), has(kept, ref) && !in_any);
        }
        for (size_t i = 1; i < joined.count; i++)
            CHECK(joined.refs[i - 1] < joined.refs[i]);
        arena_unref(arena);
    }
}

TEST_MAIN(TEST_ENTRY(set_operations_agree_with_plain_ones))
