/* A function over a subquery: the steps of each row of the input are the samples of its windows. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/histogram.h"
#include "promql/operator/operator.h"
#include "promql/operator/window_call.h"

struct subquery_stage {
    struct row_stage base;
    struct window_call call;
};

static struct error *subquery_prepare(struct row_stage *base, struct context *ctx)
{
    return window_call_prepare(&container_of(base, struct subquery_stage, base)->call, ctx);
}

static bool says_of_reset(const struct histogram *histogram)
{
    return histogram &&
           (histogram->reset == HISTOGRAM_RESET_YES || histogram->reset == HISTOGRAM_RESET_NO);
}

/* What histograms say about resets is about the samples before them, which need not be among the
 * steps of the subquery: they are taken to say nothing. */
static struct error *forget_resets(struct samples *samples, struct arena *arena)
{
    size_t count = 0;
    for (size_t i = 0; samples->histograms && i < samples->count; i++)
        count += says_of_reset(samples->histograms[i]);
    if (count == 0)
        return NULL;
    struct histogram *copies = arena_try_alloc(arena, count * sizeof(*copies));
    if (!copies)
        return arena_status(arena);
    for (size_t i = 0; i < samples->count; i++) {
        if (!says_of_reset(samples->histograms[i]))
            continue;
        *copies = *samples->histograms[i];
        copies->reset = HISTOGRAM_RESET_UNKNOWN;
        samples->histograms[i] = copies++;
    }
    return NULL;
}

/* The points of a row as columns; histograms may live in the arena. */
static struct error *row_samples(const struct step_batch *batch, size_t row, struct arena *scratch,
                                 struct arena *arena, struct samples *out)
{
    size_t span = batch->last[row] - batch->first[row];
    const uint64_t *present = step_batch_present(batch, row);
    const double *values = step_batch_values(batch, row);
    struct histogram **histograms = step_batch_histograms(batch, row);
    *out = (struct samples){0};
    out->times = arena_try_alloc(scratch, (span + 1) * sizeof(*out->times));
    out->values = arena_try_alloc(scratch, (span + 1) * sizeof(*out->values));
    if (histograms)
        out->histograms = arena_try_alloc(scratch, (span + 1) * sizeof(*out->histograms));
    if (!out->times || !out->values || (histograms && !out->histograms))
        return arena_status(scratch);
    for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
        if (!step_bit_get(present, step))
            continue;
        out->times[out->count] = step_grid_time(batch->grid, step);
        out->values[out->count] = values[step];
        if (histograms)
            out->histograms[out->count] = histograms[step];
        out->count++;
    }
    return forget_resets(out, arena);
}

static struct error *subquery_rows(const struct subquery_stage *stage, struct step_batch *from,
                                   struct step_batch *to, struct arena *arena)
{
    struct arena *scratch = arena_create(arena_budget(arena));
    struct str last_name = STR("");
    uint64_t ignored = 0; /* the input has counted its samples */
    struct error *err = NULL;
    for (size_t row = 0; row < from->row_count && !err; row++) {
        struct samples samples;
        to->labels[row] = from->labels[row];
        to->drop_name[row] = from->drop_name[row];
        err = row_samples(from, row, scratch, arena, &samples);
        if (!err)
            err = window_call_row(&stage->call, &samples, scratch, arena, to, row, &last_name,
                                  &ignored);
        if (!err)
            err = arena_status(scratch);
        arena_reset(scratch);
    }
    arena_unref(scratch);
    return err;
}

static struct error *subquery_apply(const struct row_stage *base, struct context *ctx,
                                    struct arena *arena, struct step_batch **batch_at)
{
    const struct subquery_stage *stage = container_of(base, struct subquery_stage, base);
    struct step_batch *from = *batch_at, *to;
    struct error *err = step_batch_create(arena, base->grid, from->row_count, &to);
    if (!err)
        err = subquery_rows(stage, from, to, arena);
    if (err)
        return err;
    window_call_finish(&stage->call, to);
    to->sequence = from->sequence;
    *batch_at = to;
    return NULL;
}

static void subquery_explain(const struct row_stage *base, struct buf *out)
{
    buf_printf(out, "subquery | %.*s", STR_ARG(base->node->call.function->name));
}

static void subquery_free(struct row_stage *base)
{
    struct subquery_stage *stage = container_of(base, struct subquery_stage, base);
    window_call_deinit(&stage->call);
    free(stage);
}

static const struct row_stage_ops subquery_ops = {subquery_prepare, subquery_apply,
                                                  subquery_explain, subquery_free};

struct row_stage *subquery_stage_create(struct execution *execution,
                                        const struct plan_node *subquery,
                                        const struct plan_node *call, struct operator** scalars,
                                        size_t scalar_count)
{
    struct subquery_stage *stage = xcalloc(1, sizeof(*stage));
    stage->base = (struct row_stage){&subquery_ops, execution, call, call->grid, NULL};
    window_call_init(&stage->call, execution, subquery, call, scalars, scalar_count);
    return &stage->base;
}
