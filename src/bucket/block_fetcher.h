/* bucket/block_fetcher.h: which blocks a bucket holds: their meta.json files, kept in memory and on
 * disk, so that a sync reads only what is new.
 *
 * A directory named by a ULID is a block once its meta.json is there; one without, or with one that
 * is no JSON, is partial and left alone. One meta.json that cannot be read makes the view
 * incomplete: what is in it counts, but nothing may be concluded from what is not. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "block/block_meta.h"
#include "objstore/bucket.h"

struct block_fetcher;
struct context;
struct log;
struct metrics;
struct pool;

enum block_state { /* of a block in a sync, as thanos_blocks_meta_synced has them */
                   BLOCK_CORRUPT_META,
                   BLOCK_NO_META,
                   BLOCK_LOADED,
                   BLOCK_FAILED,
                   BLOCK_LABEL_EXCLUDED,
                   BLOCK_TIME_EXCLUDED,
                   BLOCK_TOO_FRESH,
                   BLOCK_DUPLICATE,
                   BLOCK_MARKED_FOR_DELETION,
                   BLOCK_MARKED_NO_COMPACT,
                   BLOCK_MARKED_NO_DOWNSAMPLE,
                   BLOCK_STATES
};

struct fetched_block {   /* reference-counted, immutable */
    struct arena *arena; /* holds it; referenced by who holds it */
    struct block_meta meta;
    int64_t modified_ms; /* of the meta.json, 0: not known */
};

struct block_view {
    struct fetched_block **items; /* a reference each; by id */
    size_t count;
    size_t states[BLOCK_STATES];
    bool is_complete;
};

/* Takes blocks out of a view, and counts them. */
struct block_filter {
    struct error *(*run)(void *self, struct context *ctx, struct block_view *view);
    void *self;
};

enum block_discovery {
    DISCOVER_CONCURRENT, /* list the root, look for each block's meta.json */
    DISCOVER_RECURSIVE,  /* list everything */
};

struct block_fetcher_config {
    struct bucket *bucket;
    struct str data_dir; /* metas are kept in "<data_dir>/meta-syncer"; empty: only in memory */
    enum block_discovery discovery;
    size_t concurrency; /* metas read at once */
    struct pool *pool;  /* where the bucket is waited for */
    const struct block_filter *filters;
    size_t filter_count;
    struct log *log;
    struct metrics *metrics;
};

struct block_fetcher *block_fetcher_create(const struct block_fetcher_config *config);
void block_fetcher_free(struct block_fetcher *fetcher);

/* One sync, one at a time. The view is filled also when it is incomplete, which is told by
 * is_complete and in *incomplete (NULL when complete; the caller's). The error: nothing is known.
 */
MUST_CHECK struct error *block_fetcher_sync(struct block_fetcher *fetcher, struct context *ctx,
                                            struct block_view *view, struct error **incomplete);
void block_view_deinit(struct block_view *view);
/* Takes item i out of the view and counts it as `state`; order is kept. */
void block_view_remove(struct block_view *view, size_t i, enum block_state state);
