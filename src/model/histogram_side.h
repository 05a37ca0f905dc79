/* model/histogram_side.h: arithmetic on one side of a histogram; private to model/histogram_*.c.
 *
 * A side that is written to owns its buckets; its spans are replaced, never changed, as other
 * histograms may share them. Sums may carry the rounding errors of their buckets along, in an array
 * of as many items (`lost`, a pointer to the array's pointer, which changes with the layout; NULL
 * for none). New arrays come from the arena. */
#pragma once

#include "model/histogram.h"

/* Goes through the buckets of a side in their order. */
struct side_cursor {
    const struct histogram_side *side;
    const double *lost; /* or NULL */
    int shift;          /* every 2^shift buckets are one */
    /* Custom bounds to be seen as some of them only: several buckets in a row have one index. */
    const double *bounds, *kept;
    size_t bound_count, kept_count, at_kept;
    size_t span, at; /* of the next bucket */
    uint32_t in_span;
    int64_t next;
    /* What side_cursor_next() found. */
    int64_t index;
    double count, count_lost;
};

struct side_cursor side_cursor(const struct histogram_side *side, int shift);
struct side_cursor side_cursor_custom(const struct histogram_side *side, const double *bounds,
                                      size_t bound_count, const double *kept, size_t kept_count);
bool side_cursor_next(struct side_cursor *cursor);
/* Passes the first buckets whose upper bounds (in terms of absolute values) are at most `limit`;
 * `schema` is the one after the shift. */
void side_cursor_skip(struct side_cursor *cursor, int32_t schema, double limit);

/* Adds what is left of the cursor, or subtracts it; new buckets come into being where needed. */
void side_add(struct histogram_side *total, double **lost, struct side_cursor *cursor,
              bool subtract, struct arena *arena);
/* Makes one bucket of every 2^shift, in place. */
void side_reduce(struct histogram_side *side, double **lost, int shift, struct arena *arena);
/* Drops empty buckets, in place. */
void side_compact(struct histogram_side *side, double **lost, struct arena *arena);
