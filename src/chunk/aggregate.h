/* chunk/aggregate.h: the chunk of a downsampled series, as block files hold it: up to five chunks
 * in one, encoding byte 0xff.
 *
 *     +------------+----------+------+------------+- ...       count, sum, min, max, counter
 *     | length (v) | encoding | data | length (v) |
 *     +------------+----------+------+------------+- ...       length 0: absent, nothing follows
 *
 * The length does not count the encoding byte. Source: Thanos, pkg/compact/downsample/aggr.go. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "chunk/chunk.h"

enum { CHUNK_AGGREGATE = 0xff }; /* the encoding byte in block files */

/* Views of the parts; out has AGGR_NUMBER entries, absent ones with CHUNK_NONE. ERROR_CORRUPT. */
MUST_CHECK struct error *aggregate_split(struct bytes bytes, struct chunk_data *out);
/* Appends the chunk that holds the parts. */
void aggregate_join(struct buf *out, const struct chunk_data *parts);
