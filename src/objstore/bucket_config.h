/* objstore/bucket_config.h: a bucket from the YAML of --objstore.config:
 *
 *     type: FILESYSTEM
 *     config: {directory: /data}
 *     prefix: "a/b"                                                                              */
#pragma once

#include "objstore/bucket.h"

struct event_loops;
struct log;
struct metrics;
struct pool;

struct bucket_env { /* what providers work with; outlives the bucket */
    struct pool *files;
    struct metrics *metrics;   /* NULL: not counted */
    struct event_loops *loops; /* of what is reached over the network */
    struct log *log;
};

/* ERROR_INVALID names line and key. */
MUST_CHECK struct error *bucket_open(struct str yaml, const struct bucket_env *env,
                                     struct bucket **out);
