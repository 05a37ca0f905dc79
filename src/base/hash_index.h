/* base/hash_index.h: 64-bit hash -> pointer, open addressing, 16 bytes a slot. It stores no keys:
 * the caller compares. One thread at a time.
 *
 *     for (void *item = hash_index_first(&index, hash, &at); item; item = hash_index_next(&index,
 * hash, &at)) if (is_it(item)) ... */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"

struct hash_slot {
    uint64_t hash;
    void *item; /* NULL: empty */
};

struct hash_index {
    struct hash_slot *slots;
    size_t capacity;    /* 0 or a power of two */
    size_t count, used; /* items; items and graves */
    struct budget *budget;
};

#define HASH_INDEX_INIT(charged_budget)                                                            \
    {                                                                                              \
        .budget = (charged_budget)                                                                 \
    }

void hash_index_deinit(struct hash_index *index);
void hash_index_clear(struct hash_index *index);

/* Adds an item (not NULL), also beside others of the same hash. Fails with ERROR_LIMIT. */
MUST_CHECK struct error *hash_index_add(struct hash_index *index, uint64_t hash, void *item);
void *hash_index_first(const struct hash_index *index, uint64_t hash, size_t *at);
void *hash_index_next(const struct hash_index *index, uint64_t hash, size_t *at);
/* Removes this very item; true when it was there. */
bool hash_index_remove(struct hash_index *index, uint64_t hash, const void *item);
/* All items in no order: start with *at = 0, NULL is the end. */
void *hash_index_each(const struct hash_index *index, size_t *at);
