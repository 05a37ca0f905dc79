/* bucket/range_reader.h: many small ranges of a bucket's objects, read in few requests. Ranges that
 * lie near each other become one, and all requests are made at the same time: one round trip. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "objstore/bucket.h"

struct context;

struct range_want {
    struct str key;
    uint64_t start, end; /* [start, end) */
    bool is_there;       /* bytes are set already, by a cache: nothing is read */
    struct bytes bytes;  /* what came: a view that lives as long as the arena; short at the object's
                            end */
};

enum {
    RANGE_GAP_MAX = 512 * 1024,   /* bytes read for nothing rather than asking once more */
    RANGE_REQUEST_MAX = 16 << 20, /* a request is not made longer by joining */
};

/* Sorts an array of pointers of its own; wants stay in their order. What is read is charged to the
 * arena's budget and freed with the arena. */
MUST_CHECK struct error *ranges_read(struct bucket *bucket, struct context *ctx,
                                     struct range_want *wants, size_t count, struct arena *arena);
