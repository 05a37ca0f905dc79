#include "promql/operator/operator.h"

#include <stdlib.h>

#include "base/memory.h"
#include "promql/row_store.h"
#include "runtime/context.h"

struct error *operator_next(struct operator* op, struct context *ctx, struct arena *arena,
                            struct step_batch **out)
{
    *out = NULL;
    return op->ops->next(op, ctx, arena, out);
}

void operator_explain(struct operator* op, struct buf *out)
{
    op->ops->explain(op, out);
}

void operator_free(struct operator* op)
{
    if (op)
        op->ops->free(op);
}

struct error *operator_drain(struct operator* op, struct execution *execution, struct context *ctx,
                             batch_fold fold, void *self)
{
    struct arena *arena = arena_create(execution->budget);
    struct error *err = NULL;
    while (!err) {
        struct step_batch *batch;
        err = operator_next(op, ctx, arena, &batch);
        if (err || !batch)
            break;
        err = fold(self, ctx, batch, arena);
        if (!err)
            err = arena_status(arena);
        arena_unref(arena); /* not reset: a fold may have kept it for its histograms */
        arena = arena_create(execution->budget);
    }
    arena_unref(arena);
    return err;
}

struct error *scalar_read(struct execution *execution, struct scalar *scalar, struct context *ctx)
{
    struct step_batch *batch;
    scalar->arena = arena_create(execution->budget);
    struct error *err = operator_next(scalar->op, ctx, scalar->arena, &batch);
    if (err)
        return err;
    if (!batch || batch->row_count != 1)
        bug("a scalar without a row");
    scalar->values = step_batch_values(batch, 0);
    return NULL;
}

void scalar_deinit(struct scalar *scalar)
{
    operator_free(scalar->op);
    arena_unref(scalar->arena);
    *scalar = (struct scalar){0};
}

void stage_list_add(struct stage_list *list, struct row_stage *stage)
{
    stage->next = NULL;
    if (list->last)
        list->last->next = stage;
    else
        list->first = stage;
    list->last = stage;
}

struct error *stage_list_prepare(struct stage_list *list, struct context *ctx)
{
    if (list->is_prepared)
        return NULL;
    list->is_prepared = true;
    struct error *err = NULL;
    for (struct row_stage *stage = list->first; stage && !err; stage = stage->next) {
        if (stage->ops->prepare)
            err = stage->ops->prepare(stage, ctx);
    }
    return err;
}

struct error *stage_list_apply(const struct stage_list *list, struct context *ctx,
                               struct arena *arena, struct step_batch **batch)
{
    for (const struct row_stage *stage = list->first; stage; stage = stage->next) {
        struct error *err = stage->ops->apply(stage, ctx, arena, batch);
        if (err)
            return err;
    }
    step_batch_drop_empty_rows(*batch);
    return arena_status(arena);
}

void stage_list_explain(const struct stage_list *list, struct buf *out)
{
    for (const struct row_stage *stage = list->first; stage; stage = stage->next) {
        buf_append_cstr(out, " | ");
        stage->ops->explain(stage, out);
    }
}

void stage_list_deinit(struct stage_list *list)
{
    while (list->first) {
        struct row_stage *stage = list->first;
        list->first = stage->next;
        stage->ops->free(stage);
    }
    list->last = NULL;
}

size_t stage_list_rows_max(const struct stage_list *list, const struct step_grid *grid)
{
    size_t rows = step_batch_rows_max(grid);
    for (const struct row_stage *stage = list->first; stage; stage = stage->next)
        rows = size_min(rows, step_batch_rows_max(stage->grid));
    return rows;
}

/* ---- stages above operators that do not run any ---- */

struct staged {
    struct operator base;
    struct operator* input;
    struct stage_list stages;
    size_t rows_max; /* 0: not known yet */

    /* A batch of the input that is too large for the stages' results, given out in slices. */
    struct arena *arena;
    struct step_batch *batch;
    size_t row;
};

static struct step_batch *batch_slice(struct arena *arena, const struct step_batch *batch,
                                      size_t row, size_t rows)
{
    struct step_batch *slice = arena_alloc(arena, sizeof(*slice));
    *slice = *batch;
    slice->row_count = rows;
    slice->labels += row;
    slice->drop_name += row;
    slice->first += row;
    slice->last += row;
    slice->values += row * batch->grid->count;
    slice->present += row * step_grid_words(batch->grid);
    if (slice->histograms)
        slice->histograms += row * batch->grid->count;
    return slice;
}

/* Up to rows_max rows of the input; NULL at its end. */
static struct error *staged_input(struct staged *staged, struct context *ctx, struct arena *arena,
                                  struct step_batch **out)
{
    *out = NULL;
    while (!staged->batch) {
        arena_unref(staged->arena);
        staged->arena = arena_create(arena_budget(arena));
        staged->row = 0;
        struct error *err = operator_next(staged->input, ctx, staged->arena, &staged->batch);
        if (err || !staged->batch)
            return err;
        if (staged->batch->row_count == 0)
            staged->batch = NULL;
    }
    size_t rows = size_min(staged->batch->row_count - staged->row, staged->rows_max);
    arena_keep(arena, staged->arena);
    *out = batch_slice(arena, staged->batch, staged->row, rows);
    staged->row += rows;
    if (staged->row == staged->batch->row_count)
        staged->batch = NULL;
    return NULL;
}

static struct error *staged_next(struct operator* base, struct context *ctx, struct arena *arena,
                                 struct step_batch **out)
{
    struct staged *staged = container_of(base, struct staged, base);
    struct error *err = stage_list_prepare(&staged->stages, ctx);
    if (staged->rows_max == 0)
        staged->rows_max = stage_list_rows_max(&staged->stages, staged->input->grid);
    while (!err) {
        err = staged_input(staged, ctx, arena, out);
        if (!err && !*out)
            return NULL;
        if (!err)
            err = stage_list_apply(&staged->stages, ctx, arena, out);
        if (!err && (*out)->row_count > 0)
            return NULL;
    }
    *out = NULL;
    return err;
}

static void staged_explain(struct operator* base, struct buf *out)
{
    struct staged *staged = container_of(base, struct staged, base);
    operator_explain(staged->input, out);
    stage_list_explain(&staged->stages, out);
}

static void staged_free(struct operator* base)
{
    struct staged *staged = container_of(base, struct staged, base);
    operator_free(staged->input);
    stage_list_deinit(&staged->stages);
    arena_unref(staged->arena);
    free(staged);
}

static const struct operator_ops staged_ops = {staged_next, staged_explain, staged_free};

struct operator* operator_with_stage(struct operator* input, struct row_stage *stage)
{
    if (operator_is_selector(input)) {
        selector_add_stage(input, stage);
        return input;
    }
    if (input->ops != &staged_ops) {
        struct staged *staged = xcalloc(1, sizeof(*staged));
        staged->base = (struct operator){&staged_ops, input->grid};
        staged->input = input;
        input = &staged->base;
    }
    struct staged *staged = container_of(input, struct staged, base);
    stage_list_add(&staged->stages, stage);
    staged->base.grid = stage->grid;
    return input;
}

/* ---- nothing ---- */

static struct error *empty_next(struct operator* op, struct context *ctx, struct arena *arena,
                                struct step_batch **out)
{
    *out = NULL;
    return NULL;
}

static void empty_explain(struct operator* op, struct buf *out)
{
    buf_append_cstr(out, "empty");
}

static void empty_free(struct operator* op)
{
    free(op);
}

static const struct operator_ops empty_ops = {empty_next, empty_explain, empty_free};

struct operator* empty_create(const struct step_grid *grid)
{
    struct operator* op = xcalloc(1, sizeof(*op));
    *op = (struct operator){&empty_ops, grid};
    return op;
}
