/* promql/step_batch.h: what operators hand to each other: rows are series, columns are steps. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/labels.h"

struct context;
struct histogram;
struct operator;
struct buf;

struct step_grid {
    int64_t start_ms, step_ms;
    size_t count;
};

struct step_batch {
    const struct step_grid *grid; /* of this node: subqueries and invariant parts have their own */
    size_t row_count;
    uint64_t sequence;     /* place of this batch in the order of the selected series */
    struct labels *labels; /* [row_count] */
    uint8_t *drop_name;    /* [row_count] delayed removal of __name__, __type__, __unit__ */
    uint32_t *first,
        *last;      /* [first, last) holds all present steps, equal when none; loops use only it */
    double *values; /* [row_count * grid->count], row after row; values of clear bits are
                       initialised but meaningless */
    uint64_t *present; /* bitmap, each row on whole words: step_grid_words(grid) a row */
    struct histogram *
        *histograms; /* NULL while the batch holds floats only; same shape as values */
};

static inline size_t step_grid_words(const struct step_grid *grid)
{
    return (grid->count + 63) / 64;
}

static inline double *step_batch_values(const struct step_batch *batch, size_t row)
{
    return batch->values + row * batch->grid->count;
}

static inline uint64_t *step_batch_present(const struct step_batch *batch, size_t row)
{
    return batch->present + row * step_grid_words(batch->grid);
}

/* NULL while the batch holds floats only. */
static inline struct histogram **step_batch_histograms(const struct step_batch *batch, size_t row)
{
    return batch->histograms ? batch->histograms + row * batch->grid->count : NULL;
}

static inline bool step_bit_get(const uint64_t *bits, size_t step)
{
    return bits[step / 64] >> (step % 64) & 1;
}

static inline void step_bit_set(uint64_t *bits, size_t step)
{
    bits[step / 64] |= (uint64_t)1 << (step % 64);
}

static inline void step_bit_clear(uint64_t *bits, size_t step)
{
    bits[step / 64] &= ~((uint64_t)1 << (step % 64));
}

static inline int64_t step_grid_time(const struct step_grid *grid, size_t step)
{
    return grid->start_ms + (int64_t)step * grid->step_ms;
}

/* A batch in the arena: no step is present, values are undefined, labels empty. ERROR_LIMIT when
 * the arena's budget refuses. */
MUST_CHECK struct error *step_batch_create(struct arena *arena, const struct step_grid *grid,
                                           size_t rows, struct step_batch **out);
/* Makes room for histograms (all NULL) if there is none yet. */
MUST_CHECK struct error *step_batch_add_histograms(struct step_batch *batch, struct arena *arena);
/* No step is present any more. */
void step_batch_clear_row(struct step_batch *batch, size_t row);
/* Sets first and last from the bitmap. */
void step_batch_trim_row(struct step_batch *batch, size_t row);
size_t step_batch_row_points(const struct step_batch *batch, size_t row);
/* Whether a present step is a histogram. */
bool step_batch_has_histograms(const struct step_batch *batch);
/* Takes out the steps that are histograms: the batch holds floats only. */
void step_batch_drop_histograms(struct step_batch *batch);
/* Overwrites row `to` (<= from). */
void step_batch_move_row(struct step_batch *batch, size_t from, size_t to);
void step_batch_drop_empty_rows(struct step_batch *batch);

struct operator_ops {
    /* *out = NULL is the end. The batch lives in the arena, the caller may change it. */
    struct error *(*next)(struct operator* op, struct context *ctx, struct arena *arena,
                          struct step_batch **out);
    void (*explain)(struct operator* op, struct buf *out);
    void (*free)(struct operator* op);
};

struct operator
{
    const struct operator_ops *ops;
    const struct step_grid *grid;
};
