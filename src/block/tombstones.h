/* block/tombstones.h: parts of series that were deleted, in a file beside a block's index until the
 * block is written anew. Times are inclusive. Source: Prometheus, tsdb/docs/format/tombstones.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct deleted_interval {
    int64_t min_time, max_time;
};

struct tombstone {
    uint64_t series; /* reference in the index */
    struct deleted_interval interval;
};

struct tombstones {
    struct tombstone *items; /* by series, then time; intervals of a series do not touch */
    size_t count;
};

/* ERROR_CORRUPT. */
MUST_CHECK struct error *tombstones_parse(struct bytes file, struct tombstones *out);
void tombstones_deinit(struct tombstones *tombstones);
/* Those of one series; *count may be 0. */
const struct tombstone *tombstones_of(const struct tombstones *tombstones, uint64_t series,
                                      size_t *count);
