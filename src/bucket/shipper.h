/* bucket/shipper.h: brings finished blocks from a local directory of a TSDB into a bucket, each
 * once and whole.
 *
 * A block is hard-linked aside first, so that whatever happens in the directory it stays what it
 * was; then chunks and index go up, and meta.json last: before it there is no block in the bucket.
 * A process that ends anywhere leaves a partial block there, which the next one completes. What was
 * uploaded is noted in a file beside the blocks, as Thanos notes it; Prometheus reads it there. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/labels.h"
#include "objstore/bucket.h"

struct context;
struct log;
struct metrics;
struct pool;
struct shipper;

struct shipper_config { /* texts are copied */
    struct bucket *bucket;
    struct str directory; /* of the TSDB */
    struct str meta_file; /* name of the note: "thanos.shipper.json" */
    struct str source;    /* thanos.source of its blocks: "sidecar" */
    /* External labels as they are now, in the arena. */
    struct labels (*labels)(void *self, struct arena *arena);
    void *self;
    bool notes_hashes;        /* SHA-256 of the files goes into meta.json */
    bool uploads_compacted;   /* blocks above level 1 as well */
    bool allows_out_of_order; /* goes on when a block fails; does not look for overlaps */
    bool skips_corrupt;       /* goes on when a block's meta.json cannot be read */
    size_t files_at_once;     /* of one block; 0: 1 */
    struct pool *pool;        /* where several files are uploaded; NULL: one after another */
    struct log *log;
    struct metrics *metrics;
};

struct shipper *shipper_create(const struct shipper_config *config);
void shipper_free(struct shipper *shipper);

/* One look at the directory; one at a time. *uploaded: blocks that were. */
MUST_CHECK struct error *shipper_sync(struct shipper *shipper, struct context *ctx,
                                      size_t *uploaded);
