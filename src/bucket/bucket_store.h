/* bucket/bucket_store.h: the blocks of a bucket as one store, as they are at the last sync. Blocks
 * with equal external labels are a group (bucket_group.h); the groups are behind a proxy.
 *
 * A block that cannot be loaded is logged, counted and tried again at the next sync; the others are
 * served. A block that goes is let go when the last query that chose it has ended. */
#pragma once

#include "base/buf.h"
#include "bucket/block_fetcher.h"
#include "bucket/bucket_select.h"
#include "runtime/flags.h"
#include "store/store.h"

struct bucket_block_metrics;

struct bucket_store_config {
    struct block_fetcher *fetcher; /* taken */
    struct bucket_select_env select;
    struct str data_dir;
    const struct flag_time *min_time, *max_time; /* of what is served */
    bool builds_headers;                         /* at the sync; else at the first query */
    int64_t idle_ms;         /* index headers that nobody uses so long are closed; 0: never */
    size_t load_concurrency; /* blocks loaded at once */
    struct pool *metadata;   /* where label calls on several groups run */
    struct log *log;
    struct metrics *metrics;
};

struct bucket_store;

struct bucket_store *bucket_store_create(const struct bucket_store_config *config);
/* Goes with store_free() of this. Selects give what the request's partial response says when a
 * group fails. */
struct store *bucket_store_base(struct bucket_store *store);

/* Looks at the bucket and takes up what has changed; one at a time. An error may come although new
 * blocks were taken up: then none was dropped. */
MUST_CHECK struct error *bucket_store_sync(struct bucket_store *store, struct context *ctx);
/* Closes idle index headers. */
void bucket_store_drop_idle(struct bucket_store *store);

/* The answer of /api/v1/blocks?view=loaded: label, blocks, refreshedAt, err as JSON. Appends. */
void bucket_store_print_blocks(struct bucket_store *store, struct str label, struct buf *out);
