/* bucket/bucket_cursor.h: the series of one block in a bucket that matchers ask for, in label
 * order, read window by window. Several cursors, one a block, are worked on together, so that what
 * all of them need next is one round trip. One thread at a time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bucket/bucket_block.h"
#include "bucket/index_cache.h"
#include "bucket/range_reader.h"
#include "block/postings.h"
#include "store/store.h"

struct budget;
struct context;

struct bucket_cursor {
    struct bucket_block *block; /* a reference */
    const struct index_header *header;
    struct postings_plan plan;
    struct postings postings; /* in the cursors' arena */
    size_t next;              /* of the postings: the first whose series was not read yet */

    struct arena *window;
    struct index_series *items; /* of the window */
    size_t count, at;
};

struct bucket_cursors { /* of one select */
    struct bucket *bucket;
    struct index_cache *cache; /* NULL: none */
    struct budget *budget;
    struct arena *arena; /* of the query, plans and postings */
    struct store_query query;
    struct bucket_cursor *items;
    size_t count;
};

/* References the blocks; copies the query. */
MUST_CHECK struct error *bucket_cursors_init(struct bucket_cursors *cursors, struct bucket *bucket,
                                             struct index_cache *cache,
                                             struct bucket_block *const *blocks, size_t count,
                                             const struct store_query *query,
                                             struct budget *budget);
/* Headers must have been acquired: finds the series of all cursors and reads the first windows. Two
 * round trips. */
MUST_CHECK struct error *bucket_cursors_start(struct bucket_cursors *cursors, struct context *ctx);
/* Reads on where a window is used up, until each cursor has a series or has ended. */
MUST_CHECK struct error *bucket_cursors_fill(struct bucket_cursors *cursors, struct context *ctx);
/* Releases headers and blocks. */
void bucket_cursors_deinit(struct bucket_cursors *cursors);

static inline bool bucket_cursor_has(const struct bucket_cursor *cursor)
{
    return cursor->at < cursor->count;
}
