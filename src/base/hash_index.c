#include "base/hash_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { SMALLEST = 16 };

static char grave; /* its address marks a removed item */

void hash_index_deinit(struct hash_index *index)
{
    budget_release(index->budget, index->capacity * sizeof(struct hash_slot));
    free(index->slots);
    *index = (struct hash_index){.budget = index->budget};
}

void hash_index_clear(struct hash_index *index)
{
    if (index->slots)
        memset(index->slots, 0, index->capacity * sizeof(struct hash_slot));
    index->count = index->used = 0;
}

static size_t hash_place(const struct hash_index *index, uint64_t hash)
{
    return (size_t)((hash * 0x9e3779b97f4a7c15u) >> 17) & (index->capacity - 1);
}

static void hash_index_put(struct hash_index *index, uint64_t hash, void *item)
{
    size_t at = hash_place(index, hash);
    while (index->slots[at].item)
        at = (at + 1) & (index->capacity - 1);
    index->slots[at] = (struct hash_slot){hash, item};
    index->used++;
}

static struct error *hash_index_resize(struct hash_index *index, size_t capacity)
{
    size_t bytes = capacity * sizeof(struct hash_slot);
    struct error *err = budget_charge(index->budget, bytes, "a hash index");
    if (err)
        return err;
    struct hash_index old = *index;
    index->slots = xcalloc(capacity, sizeof(struct hash_slot));
    index->capacity = capacity;
    index->used = 0;
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].item && old.slots[i].item != &grave)
            hash_index_put(index, old.slots[i].hash, old.slots[i].item);
    budget_release(index->budget, old.capacity * sizeof(struct hash_slot));
    free(old.slots);
    return NULL;
}

struct error *hash_index_add(struct hash_index *index, uint64_t hash, void *item)
{
    if ((index->used + 1) * 4 > index->capacity * 3) {
        size_t capacity = size_max(SMALLEST, index->capacity);
        while ((index->count + 1) * 2 > capacity)
            capacity *= 2;
        struct error *err = hash_index_resize(index, capacity);
        if (err)
            return err;
    }
    hash_index_put(index, hash, item);
    index->count++;
    return NULL;
}

static void *hash_index_find(const struct hash_index *index, uint64_t hash, size_t at,
                             size_t *found)
{
    for (;; at = (at + 1) & (index->capacity - 1)) {
        void *item = index->slots[at].item;
        if (!item || (item != &grave && index->slots[at].hash == hash)) {
            *found = at;
            return item;
        }
    }
}

void *hash_index_first(const struct hash_index *index, uint64_t hash, size_t *at)
{
    return index->capacity ? hash_index_find(index, hash, hash_place(index, hash), at) : NULL;
}

void *hash_index_next(const struct hash_index *index, uint64_t hash, size_t *at)
{
    return hash_index_find(index, hash, (*at + 1) & (index->capacity - 1), at);
}

bool hash_index_remove(struct hash_index *index, uint64_t hash, const void *item)
{
    size_t at;
    for (void *found = hash_index_first(index, hash, &at); found;
         found = hash_index_next(index, hash, &at))
        if (found == item) {
            index->slots[at].item = &grave;
            index->count--;
            return true;
        }
    return false;
}

void *hash_index_each(const struct hash_index *index, size_t *at)
{
    while (*at < index->capacity) {
        void *item = index->slots[(*at)++].item;
        if (item && item != &grave)
            return item;
    }
    return NULL;
}
