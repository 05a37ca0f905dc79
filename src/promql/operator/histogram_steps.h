/* promql/operator/histogram_steps.h: sum and avg of native histograms: what one group keeps of
 * them, an accumulator a step. All lives in the arena of the group. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "promql/execution.h"

struct histogram_sum;
struct histogram_mean;

struct histogram_steps {
    const struct step_grid *grid;
    struct arena *arena;
    struct histogram_sum **sums;   /* [steps], of sum, */
    struct histogram_mean **means; /* or of avg; the other one is NULL */
    uint64_t *seen;                /* steps with a histogram */
    uint64_t *incompatible;      /* exponential and custom buckets met there; nothing more counts */
    uint64_t *reset, *not_reset; /* reset hints that were seen */
};

struct histogram_steps *histogram_steps_create(struct arena *arena, const struct step_grid *grid,
                                               bool averages);

/* What is to be told after a row, as bits. */
enum { HISTOGRAM_STEPS_INCOMPATIBLE = 1, HISTOGRAM_STEPS_RECONCILED = 2 };

/* Adds the histograms of a row, except at steps that began with a float, and takes them out of
 * the row's presence bits; so are steps at which nothing counts any more. */
unsigned histogram_steps_add(struct histogram_steps *steps, const uint64_t *floats,
                             struct step_batch *batch, size_t row);

/* Ends the accumulation at all steps without a float, and gives the histograms to a row of a batch
 * that has room for them. True when reset hints contradicted at one of those steps. */
bool histogram_steps_finish(struct histogram_steps *steps, const uint64_t *floats,
                            struct step_batch *batch, size_t row);
