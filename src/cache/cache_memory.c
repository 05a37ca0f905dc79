#include "cache/cache_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/hash_index.h"
#include "base/memory.h"
#include "base/mutex.h"

enum { PARTS = 16 };

struct item {
    struct item *newer, *older;
    uint64_t hash;
    size_t key_len, value_len;
    uint8_t data[]; /* key, value */
};

enum { ITEM_COST = sizeof(struct item) + 2 * sizeof(struct hash_slot) };

struct part {
    struct mutex lock;
    struct hash_index index GUARDED_BY(lock);
    struct item *newest GUARDED_BY(lock), *oldest GUARDED_BY(lock);
    size_t bytes GUARDED_BY(lock);
    struct cache_memory_stats stats GUARDED_BY(lock);
};

struct cache_memory {
    size_t part_max, item_max;
    struct part parts[PARTS];
};

struct cache_memory *cache_memory_create(size_t bytes_max, size_t item_max)
{
    struct cache_memory *cache = xcalloc(1, sizeof(*cache));
    cache->part_max = bytes_max / PARTS;
    cache->item_max = item_max ? item_max : cache->part_max / 8;
    for (size_t i = 0; i < PARTS; i++)
        mutex_init(&cache->parts[i].lock);
    return cache;
}

static size_t item_cost(const struct item *item)
{
    return ITEM_COST + item->key_len + item->value_len;
}

static struct part *part_of(struct cache_memory *cache, uint64_t hash)
{
    return &cache->parts[hash >> 60]; /* the index uses the low bits */
}

static struct item *find(struct part *part, uint64_t hash, struct str key) REQUIRES(part->lock)
{
    size_t at;
    for (struct item *item = hash_index_first(&part->index, hash, &at); item;
         item = hash_index_next(&part->index, hash, &at)) {
        if (item->key_len == key.len && memcmp(item->data, key.data, key.len) == 0)
            return item;
    }
    return NULL;
}

static void unlink_item(struct part *part, struct item *item) REQUIRES(part->lock)
{
    *(item->newer ? &item->newer->older : &part->newest) = item->older;
    *(item->older ? &item->older->newer : &part->oldest) = item->newer;
}

static void link_newest(struct part *part, struct item *item) REQUIRES(part->lock)
{
    item->newer = NULL;
    item->older = part->newest;
    *(part->newest ? &part->newest->newer : &part->oldest) = item;
    part->newest = item;
}

static void drop_oldest(struct part *part) REQUIRES(part->lock)
{
    struct item *item = part->oldest;
    unlink_item(part, item);
    hash_index_remove(&part->index, item->hash, item);
    part->bytes -= item_cost(item);
    part->stats.items--;
    free(item);
}

void cache_memory_free(struct cache_memory *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < PARTS; i++) {
        struct part *part = &cache->parts[i];
        mutex_lock(&part->lock);
        while (part->oldest)
            drop_oldest(part);
        hash_index_deinit(&part->index);
        mutex_unlock(&part->lock);
        mutex_deinit(&part->lock);
    }
    free(cache);
}

bool cache_memory_get(struct cache_memory *cache, struct str key, struct arena *arena,
                      struct bytes *out)
{
    uint64_t hash = hash_str(key);
    struct part *part = part_of(cache, hash);
    uint8_t *copy = NULL;
    mutex_lock(&part->lock);
    struct item *item = find(part, hash, key);
    if (item) {
        unlink_item(part, item);
        link_newest(part, item);
        copy = arena_try_alloc(arena, item->value_len + 1);
    }
    if (copy) {
        memcpy(copy, item->data + item->key_len, item->value_len);
        *out = (struct bytes){copy, item->value_len};
    }
    mutex_unlock(&part->lock);
    return copy != NULL;
}

void cache_memory_put(struct cache_memory *cache, struct str key, struct bytes value)
{
    uint64_t hash = hash_str(key);
    struct part *part = part_of(cache, hash);
    size_t cost = ITEM_COST + key.len + value.len;
    mutex_lock(&part->lock);
    if (value.len > cache->item_max || cost > cache->part_max) {
        part->stats.too_large++;
    } else if (!find(part, hash, key)) {
        struct item *item = xmalloc(sizeof(*item) + key.len + value.len);
        *item = (struct item){.hash = hash, .key_len = key.len, .value_len = value.len};
        memcpy(item->data, key.data, key.len);
        if (value.len > 0)
            memcpy(item->data + key.len, value.data, value.len);
        for (; part->bytes + cost > cache->part_max; part->stats.evicted++)
            drop_oldest(part);
        error_free(hash_index_add(&part->index, hash, item)); /* not charged */
        link_newest(part, item);
        part->bytes += cost;
        part->stats.items++;
        part->stats.added++;
    }
    mutex_unlock(&part->lock);
}

void cache_memory_stats(struct cache_memory *cache, struct cache_memory_stats *out)
{
    *out = (struct cache_memory_stats){0};
    for (size_t i = 0; i < PARTS; i++) {
        struct part *part = &cache->parts[i];
        mutex_lock(&part->lock);
        out->added += part->stats.added;
        out->evicted += part->stats.evicted;
        out->too_large += part->stats.too_large;
        out->items += part->stats.items;
        out->bytes += part->bytes;
        mutex_unlock(&part->lock);
    }
}
