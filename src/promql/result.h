/* promql/result.h: batches become the rows of the result. One thread at a time. */
#pragma once

#include <stdbool.h>

#include "base/vec.h"
#include "promql/engine.h"
#include "promql/execution.h"

struct result_builder {
    struct execution *execution;
    struct arena *arena; /* of the result */
    const struct step_grid *grid;
    int64_t *grid_times; /* shared by all rows without gaps; NULL until needed */
    VEC(struct result_series) rows;
    size_t points;
};

void result_init(struct result_builder *builder, struct execution *execution, struct arena *arena,
                 const struct step_grid *grid);
void result_deinit(struct result_builder *builder); /* what was given out stays */

MUST_CHECK struct error *result_add_batch(struct result_builder *builder,
                                          const struct step_batch *batch,
                                          struct arena *batch_arena);
/* A row of raw samples; columns and labels are copied. */
MUST_CHECK struct error *result_add_samples(struct result_builder *builder, struct labels labels,
                                            const struct samples *samples,
                                            struct arena *samples_arena);
/* Rows in the order of labels; equal ones that have no time in common become one, others are the
 * error. */
MUST_CHECK struct error *result_sort(struct result_builder *builder);
/* The error when two rows have equal labels; the order stays. */
MUST_CHECK struct error *result_check_unique(struct result_builder *builder);
void result_finish(struct result_builder *builder, struct engine_result *out);
