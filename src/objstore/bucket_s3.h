/* objstore/bucket_s3.h: a bucket of Amazon S3, or of what speaks its protocol. */
#pragma once

#include "objstore/bucket.h"

struct event_loops;
struct log;
struct yaml_node;

/* config: the keys of objstore/s3_config.h. */
MUST_CHECK struct error *bucket_s3_create(const struct yaml_node *config, struct event_loops *loops,
                                          struct log *log, struct bucket **out);
