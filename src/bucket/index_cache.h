/* bucket/index_cache.h: pieces of blocks' indexes that were read before: postings lists and series
 * entries, under the keys that Thanos uses. NULL is a cache that has nothing. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

struct index_cache;
struct metrics;

/* In memory, of so many bytes. */
struct index_cache *index_cache_create(size_t bytes_max, struct metrics *metrics);
void index_cache_free(struct index_cache *cache);

/* The list of a label pair, with its length and checksum. A copy in the arena; false: not there. */
bool index_cache_get_postings(struct index_cache *cache, struct str block, struct str name,
                              struct str value, struct arena *arena, struct bytes *out);
/* `bytes` may be longer than the list. */
void index_cache_put_postings(struct index_cache *cache, struct str block, struct str name,
                              struct str value, struct bytes bytes);

/* The entry at a place in the index, with its length and checksum. */
bool index_cache_get_series(struct index_cache *cache, struct str block, uint64_t place,
                            struct arena *arena, struct bytes *out);
void index_cache_put_series(struct index_cache *cache, struct str block, uint64_t place,
                            struct bytes bytes);
