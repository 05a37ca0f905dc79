/* promql/step_batch.h: what operators hand to each other: rows are series, columns are steps. */
#pragma once

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
    uint64_t *present; /* bitmap, each row on whole words: step_batch_words(grid) a row */
    struct histogram *
        *histograms; /* NULL while the batch holds floats only; same shape as values */
};

static inline size_t step_grid_words(const struct step_grid *grid)
{
    return (grid->count + 63) / 64;
}

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
