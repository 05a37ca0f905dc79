/* model/histogram_math.h: sums, differences, means and cuts of native histograms, with the rules of
 * Prometheus: the coarser schema wins, the wider zero bucket wins (it grows further where it ends
 * within a bucket that counts something), of custom bounds those stay that both have.
 *
 * What is written to (`total`, `histogram`) owns its buckets; a histogram_copy() does. Its spans
 * and custom values are replaced, never changed. Other arguments are only read. New arrays come
 * from the arena, and only when a layout changes: adding a histogram of the same layout allocates
 * nothing. Not thread-safe. */
#pragma once

#include "model/histogram.h"

enum {                      /* what an addition has to say, as bits */
       HISTOGRAM_MIXED = 1, /* one has exponential, the other custom buckets: nothing was done */
       HISTOGRAM_COLLISION = 2,  /* one says that its counter was reset, the other that not */
       HISTOGRAM_RECONCILED = 4, /* custom bounds differed */
};

MUST_CHECK unsigned histogram_add(struct histogram *total, const struct histogram *other,
                                  struct arena *arena);
/* The reset hint comes out as of an addition; the operator `-` makes a gauge of it. */
MUST_CHECK unsigned histogram_subtract(struct histogram *total, const struct histogram *other,
                                       struct arena *arena);
/* Drops empty buckets, in place. */
void histogram_compact(struct histogram *histogram, struct arena *arena);
/* Whether the counter behind the two was reset between them. A hint of `current` decides, else
 * counts that fell and buckets that are gone. */
bool histogram_detect_reset(const struct histogram *current, const struct histogram *previous);
bool histogram_has_infinity(const struct histogram *histogram);

/* Keeps, in place, what was observed below the limit (`</`) or above it (`>/`). */
void histogram_trim(struct histogram *histogram, double limit, bool keep_below,
                    struct arena *arena);

/* Rounding errors of a sum so far, beside its parts. */
struct histogram_lost {
    double zero_count, count, sum;
    double *positive, *negative; /* as many as the total has buckets; NULL until compensated */
};

/* A compensated sum:
 *
 *     histogram_sum_start(&sum, first, arena);
 *     notes |= histogram_sum_add(&sum, next, arena); ...
 *     histogram_sum_finish(&sum);                    // now sum.total has it, not compacted
 */
struct histogram_sum {
    struct histogram total;
    struct histogram_lost lost;
    bool compensated; /* something was added */
};

void histogram_sum_start(struct histogram_sum *sum, const struct histogram *first,
                         struct arena *arena);
MUST_CHECK unsigned histogram_sum_add(struct histogram_sum *sum, const struct histogram *other,
                                      struct arena *arena);
void histogram_sum_finish(struct histogram_sum *sum);

/* A mean: of the sum, or step by step from where the sum would overflow. */
struct histogram_mean {
    struct histogram_sum sum; /* after finish, sum.total is the mean, not compacted */
    double count;
    double reach; /* no part of the sum can be larger */
    bool incremental;
    struct histogram scratch; /* has room for that many buckets: */
    size_t scratch_room;
};

void histogram_mean_start(struct histogram_mean *mean, const struct histogram *first,
                          struct arena *arena);
MUST_CHECK unsigned histogram_mean_add(struct histogram_mean *mean, const struct histogram *other,
                                       struct arena *arena);
void histogram_mean_finish(struct histogram_mean *mean);
