#include "cache/cache_memory.h"

#include <stdio.h>

#include "support/test.h"

static struct str key_of(char into[32], size_t number)
{
    int len = snprintf(into, 32, "key-%zu", number);
    return (struct str){into, (size_t)len};
}

TEST(what_was_put_is_got_and_the_first_value_stays)
{
    struct cache_memory *cache = cache_memory_create(1 << 20, 0);
    struct arena *arena = arena_create(NULL);
    struct bytes value;
    CHECK(!cache_memory_get(cache, STR("a"), arena, &value));
    cache_memory_put(cache, STR("a"), str_bytes(STR("one")));
    cache_memory_put(cache, STR("a"), str_bytes(STR("two")));
    cache_memory_put(cache, STR("empty"), (struct bytes){0});
    CHECK(cache_memory_get(cache, STR("a"), arena, &value));
    CHECK_STR(bytes_str(value), "one");
    CHECK(cache_memory_get(cache, STR("empty"), arena, &value));
    CHECK_EQ(value.len, 0);
    arena_unref(arena);
    cache_memory_free(cache);
}

TEST(the_bytes_stay_under_the_limit_and_what_is_used_stays)
{
    enum { LIMIT = 256 * 1024, ITEMS = 20000 };
    struct cache_memory *cache = cache_memory_create(LIMIT, 0);
    struct arena *arena = arena_create(NULL);
    struct cache_memory_stats stats;
    struct bytes value;
    char key[32], text[100] = "value";
    cache_memory_put(cache, STR("used"), str_bytes(STR("always")));
    for (size_t i = 0; i < ITEMS; i++) {
        cache_memory_put(cache, key_of(key, i), (struct bytes){(const uint8_t *)text, i % 100});
        CHECK(cache_memory_get(cache, STR("used"), arena, &value));
        arena_reset(arena);
        cache_memory_stats(cache, &stats);
        CHECK(stats.bytes <= LIMIT);
    }
    CHECK(stats.evicted > 0 && stats.items > 500);
    CHECK_EQ(stats.added - stats.evicted, stats.items);
    CHECK(cache_memory_get(cache, key_of(key, ITEMS - 1), arena, &value));
    CHECK(!cache_memory_get(cache, key_of(key, 0), arena, &value));
    arena_unref(arena);
    cache_memory_free(cache);
}

TEST(what_is_too_large_is_not_kept)
{
    struct cache_memory *cache = cache_memory_create(16 * 1000, 50);
    struct arena *arena = arena_create(NULL);
    struct cache_memory_stats stats;
    struct bytes value;
    char text[100] = {0};
    cache_memory_put(cache, STR("a"), (struct bytes){(const uint8_t *)text, 51});
    CHECK(!cache_memory_get(cache, STR("a"), arena, &value));
    cache_memory_stats(cache, &stats);
    CHECK_EQ(stats.too_large, 1);
    arena_unref(arena);
    cache_memory_free(cache);
}

TEST_MAIN(TEST_ENTRY(what_was_put_is_got_and_the_first_value_stays),
          TEST_ENTRY(the_bytes_stay_under_the_limit_and_what_is_used_stays),
          TEST_ENTRY(what_is_too_large_is_not_kept))
