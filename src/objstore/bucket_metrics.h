/* objstore/bucket_metrics.h: a bucket whose operations are counted and timed under Thanos's names,
 * thanos_objstore_bucket_*. */
#pragma once

#include "objstore/bucket.h"

struct metrics;

/* Takes inner. An object that is not there is no failure. */
struct bucket *bucket_metrics_create(struct bucket *inner, struct metrics *metrics);
