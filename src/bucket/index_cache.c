#include "bucket/index_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cache/cache_memory.h"
#include "codec/digest.h"
#include "codec/reader.h"
#include "runtime/metrics.h"

enum item_type { ITEM_POSTINGS, ITEM_SERIES, ITEM_TYPES };

struct index_cache {
    struct cache_memory *memory;
    struct metric *requests[ITEM_TYPES], *hits[ITEM_TYPES], *added[ITEM_TYPES];
};

enum { KEY_MAX = 96 };

struct index_cache *index_cache_create(size_t bytes_max, struct metrics *metrics)
{
    static const char *const names[ITEM_TYPES] = {"Postings", "Series"};
    static const char *const by_tenant[] = {"item_type", "tenant"};
    static const char *const by_type[] = {"item_type"};
    struct index_cache *cache = xcalloc(1, sizeof(*cache));
    cache->memory = cache_memory_create(bytes_max, 0);
    struct metric_family *requests =
        metrics_counter_family(metrics, "thanos_store_index_cache_requests_total",
                               "Pieces of indexes that were looked for.", by_tenant, 2);
    struct metric_family *hits = metrics_counter_family(
        metrics, "thanos_store_index_cache_hits_total", "Those that were there.", by_tenant, 2);
    struct metric_family *added =
        metrics_counter_family(metrics, "thanos_store_index_cache_items_added_total",
                               "Those that were added.", by_type, 1);
    metric_set(metrics_gauge(metrics, "thanos_store_index_cache_max_size_bytes",
                             "Bytes that the cache may take."),
               (double)bytes_max);
    for (int i = 0; i < ITEM_TYPES; i++) {
        struct str values[] = {str_from(names[i]), STR("default-tenant")};
        cache->requests[i] = metric_with(requests, values, 2);
        cache->hits[i] = metric_with(hits, values, 2);
        cache->added[i] = metric_with(added, values, 1);
    }
    return cache;
}

void index_cache_free(struct index_cache *cache)
{
    if (!cache)
        return;
    cache_memory_free(cache->memory);
    free(cache);
}

static bool get(struct index_cache *cache, enum item_type type, struct str key, struct arena *arena,
                struct bytes *out)
{
    metric_inc(cache->requests[type]);
    if (!cache_memory_get(cache->memory, key, arena, out))
        return false;
    metric_inc(cache->hits[type]);
    return true;
}

static void put(struct index_cache *cache, enum item_type type, struct str key, struct bytes value)
{
    cache_memory_put(cache->memory, key, value);
    metric_inc(cache->added[type]);
}

/* ---- postings ---- */

/* Label values may be long: the key has the pair's digest. */
static struct str postings_key(char into[KEY_MAX], struct str block, struct str name,
                               struct str value)
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    struct buf pair = {0}, key = {0};
    buf_printf(&pair, "%.*s%c", STR_ARG(name), 0);
    buf_append_str(&pair, value);
    digest_sha256(buf_bytes(&pair), digest);
    buf_printf(&key, "P:%.*s:", STR_ARG(block));
    digest_hex(&key, digest, sizeof(digest));
    size_t len = size_min(key.len, KEY_MAX);
    memcpy(into, key.data, len);
    buf_deinit(&pair);
    buf_deinit(&key);
    return (struct str){into, len};
}

bool index_cache_get_postings(struct index_cache *cache, struct str block, struct str name,
                              struct str value, struct arena *arena, struct bytes *out)
{
    char key[KEY_MAX];
    return cache && get(cache, ITEM_POSTINGS, postings_key(key, block, name, value), arena, out);
}

void index_cache_put_postings(struct index_cache *cache, struct str block, struct str name,
                              struct str value, struct bytes bytes)
{
    char key[KEY_MAX];
    struct reader reader = reader_create(bytes);
    uint64_t len = (uint64_t)reader_u32_be(&reader) + 8;
    if (cache && !reader.failed && len <= bytes.len)
        put(cache, ITEM_POSTINGS, postings_key(key, block, name, value),
            (struct bytes){bytes.data, (size_t)len});
}

/* ---- series ---- */

static struct str series_key(char into[KEY_MAX], struct str block, uint64_t place)
{
    int len = snprintf(into, KEY_MAX, "S:%.*s:%llu", STR_ARG(block), (unsigned long long)place);
    return (struct str){into, (size_t)len};
}

bool index_cache_get_series(struct index_cache *cache, struct str block, uint64_t place,
                            struct arena *arena, struct bytes *out)
{
    char key[KEY_MAX];
    return cache && get(cache, ITEM_SERIES, series_key(key, block, place), arena, out);
}

void index_cache_put_series(struct index_cache *cache, struct str block, uint64_t place,
                            struct bytes bytes)
{
    char key[KEY_MAX];
    struct reader reader = reader_create(bytes);
    uint64_t len = reader_uvarint(&reader);
    size_t head = bytes.len - reader_left(&reader);
    if (cache && !reader.failed && len + 4 <= reader_left(&reader))
        put(cache, ITEM_SERIES, series_key(key, block, place),
            (struct bytes){bytes.data, head + (size_t)len + 4});
}
