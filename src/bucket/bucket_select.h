/* bucket/bucket_select.h: the series of several blocks as one set: found and read in the
 * background, merged by labels, chunks fetched for a batch of series at a time. */
#pragma once

#include "bucket/bucket_block.h"
#include "store/series_set.h"
#include "store/store.h"

struct context;
struct gate;
struct index_cache;
struct pool;

struct bucket_select_env {
    struct bucket *bucket;
    struct index_cache *cache; /* NULL: none */
    struct pool *pool;         /* where selects begin; its tasks wait for the bucket */
    struct gate *headers;      /* so many index headers are opened at once; NULL: any number */
};

/* References the blocks and copies the query, whose matchers know nothing of external labels. The
 * blocks' labels are taken to be equal. ctx and its budget must outlive the set. */
struct series_set *bucket_select(const struct bucket_select_env *env,
                                 struct bucket_block *const *blocks, size_t count,
                                 const struct store_query *query, struct context *ctx);
