/* promql/sample_stats.h: how many samples a query looks at, counted as Prometheus counts them.
 *
 * Two numbers for each step: "queryable" are all samples that the step needs, were it a query of
 * its own, so one may be counted at many steps; "read" counts a sample at the first step that needs
 * it. Both are taken where selectors read their series. A subquery's steps are counted at the steps
 * whose windows they are in, and what does not depend on the step is queryable at each one, and
 * read once. A native histogram counts as the number of floats that fill its memory in Prometheus.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "chunk/samples.h"
#include "promql/engine.h"
#include "promql/plan.h"

struct sample_stats; /* of one query; thread-safe */

/* plan must live as long. Counts live in the arena. */
MUST_CHECK struct error *sample_stats_create(const struct plan *plan, struct arena *arena,
                                             struct sample_stats **out);
void sample_stats_free(struct sample_stats *stats); /* NULL is fine */

/* The counts of one worker for some series of one selector; the grid's arrays lie in the arena. */
struct sample_tally {
    const struct plan_selector *selector;
    const struct step_grid *grid;
    uint64_t *queryable, *read;
};

MUST_CHECK struct error *sample_tally_init(struct sample_tally *tally, const struct plan_node *node,
                                           struct arena *arena);
/* A series of a range vector, before its columns are changed. */
void sample_tally_windows(struct sample_tally *tally, const struct samples *samples);
/* A series of an instant vector: the row that came of it. */
void sample_tally_row(struct sample_tally *tally, const struct step_batch *batch, size_t row);
/* Series that are results themselves: all of these samples, in one step. */
void sample_tally_all(struct sample_tally *tally, const struct samples *samples);
void sample_stats_add(struct sample_stats *stats, const struct sample_tally *tally);

/* Fills samples_total of a tree that plan_describe() made of the same plan, when the query is done.
 */
MUST_CHECK struct error *sample_stats_describe(struct sample_stats *stats, struct arena *arena,
                                               struct engine_node *tree);
/* Sums it all up, when the query is done. */
MUST_CHECK struct error *sample_stats_finish(struct sample_stats *stats, struct arena *arena,
                                             struct engine_stats *out);
