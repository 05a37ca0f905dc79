/* cache/cache_memory.h: bytes by key, in memory, under a fixed number of bytes: what was not used
 * for longest goes first. Thread-safe; keys are spread over parts with a lock each. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

struct cache_memory;

struct cache_memory_stats {
    uint64_t added, evicted, too_large; /* items, so far */
    size_t items, bytes;                /* now; bytes with what an item costs besides its value */
};

/* item_max: bytes of the largest value that is kept; 0: an eighth of a part. */
struct cache_memory *cache_memory_create(size_t bytes_max, size_t item_max);
void cache_memory_free(struct cache_memory *cache); /* NULL is fine */

/* A copy in the arena; false when the key is not there, or the arena's budget refuses. */
bool cache_memory_get(struct cache_memory *cache, struct str key, struct arena *arena,
                      struct bytes *out);
/* Copies. A key that is there keeps its value. */
void cache_memory_put(struct cache_memory *cache, struct str key, struct bytes value);
void cache_memory_stats(struct cache_memory *cache, struct cache_memory_stats *out);
