/* promql/row_store.h: rows that have to wait: of joins, quantile, sort, the root. Each is cut to
 * its span; memory is charged to the query, points count against its limit. One thread at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/vec.h"
#include "promql/execution.h"
#include "promql/step_batch.h"

struct stored_row {
    struct labels labels; /* as the operator sees them (execution_labels) */
    bool drop_name;
    uint32_t first, last;          /* steps [first, last) */
    double *values;                /* [0] is step `first` */
    uint64_t *present;             /* [0] is the word of step `first`: see stored_word() */
    struct histogram **histograms; /* like values; NULL without histograms */
    size_t points;
    struct stored_row *next; /* for lists of the owner */
    size_t number;           /* place in the store */
};

struct row_store {
    struct execution *execution;
    const struct step_grid *grid;
    struct arena *arena;
    VEC(struct stored_row *) rows;
    size_t points;
};

void row_store_init(struct row_store *store, struct execution *execution,
                    const struct step_grid *grid);
void row_store_deinit(struct row_store *store);

/* Copies a row of the batch, which lives in batch_arena (kept when there are histograms). */
MUST_CHECK struct error *row_store_add(struct row_store *store, const struct step_batch *batch,
                                       size_t row, struct arena *batch_arena,
                                       struct stored_row **out);
/* Joins the steps of a row of the batch to those of a stored row with equal labels; whether the
 * name is dropped is as at the earliest step. False: they have a step in common, and nothing is
 * changed.
 */
MUST_CHECK struct error *row_store_join(struct row_store *store, struct stored_row *row,
                                        const struct step_batch *batch, size_t batch_row,
                                        struct arena *batch_arena, bool *joined);
/* Writes a stored row into a row of a batch that step_batch_create() made. Its histograms stay in
 * the store's arena. */
MUST_CHECK struct error *stored_row_write(const struct stored_row *stored, struct step_batch *batch,
                                          size_t row, struct arena *arena);
/* Rows [*at, ...) as a batch, as many as a batch may have; moves *at on; NULL at the end. Labels
 * live in the store; so do histograms, and the arena keeps it. */
MUST_CHECK struct error *row_store_batch(struct row_store *store, size_t *at, struct arena *arena,
                                         struct step_batch **out);

/* Words of the presence bits between two words of the grid. */
static inline uint64_t stored_word(const struct stored_row *row, size_t word)
{
    size_t from = row->first / 64;
    return word >= from && word * 64 < row->last ? row->present[word - from] : 0;
}

static inline bool stored_has(const struct stored_row *row, size_t step)
{
    return step >= row->first && step < row->last &&
           row->present[step / 64 - row->first / 64] >> (step % 64) & 1;
}

/* How many rows a batch on a grid may have, at least 1. */
size_t step_batch_rows_max(const struct step_grid *grid);
