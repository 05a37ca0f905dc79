/* Rows that other engines have computed, one engine after the other; all of them work at once. */
#include <stdlib.h>

#include "base/memory.h"
#include "promql/operator/operator.h"
#include "promql/remote.h"
#include "promql/row_store.h"
#include "runtime/context.h"

struct remote_operator {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    struct remote_call **calls; /* NULL: it has ended */
    size_t at;                  /* of the engine whose rows come */
    struct remote_rows left;    /* of what came last, in `arena` */
    struct arena *arena;
};

/* A failure of one engine is a warning where partial answers will do. Takes err. */
static struct error *remote_failed(struct remote_operator *remote, struct context *ctx,
                                   struct error *err)
{
    const struct remote_engine *engine = &remote->node->remote.engines.items[remote->at];
    struct buf text = {0};
    err = error_wrap(err, "remote query error (%.*s)", STR_ARG(engine->address));
    if (remote->execution->partial == PARTIAL_ABORT || context_ended(ctx) ||
        error_kind(err) == ERROR_LIMIT)
        return err;
    buf_append_str(&text, error_text(err));
    context_warn(ctx, buf_str(&text));
    buf_deinit(&text);
    error_free(err);
    return NULL;
}

static void end_call(struct remote_operator *remote)
{
    remote->execution->remote->ops->free(remote->calls[remote->at]);
    remote->calls[remote->at++] = NULL;
}

/* Waits for more rows; none are left at the end of all engines. */
static struct error *fetch_rows(struct remote_operator *remote, struct context *ctx)
{
    const struct remote_ops *ops = remote->execution->remote->ops;
    while (remote->left.count == 0 && remote->at < remote->node->remote.engines.count) {
        arena_unref(remote->arena);
        remote->arena = arena_create(remote->execution->budget);
        struct error *err = ops->next(remote->calls[remote->at], remote->arena, &remote->left);
        atomic_fetch_add(&remote->execution->samples_total, remote->left.samples_total);
        bool is_end = err || remote->left.count == 0;
        if (err) {
            remote->left.count = 0;
            err = remote_failed(remote, ctx, err);
        }
        if (err)
            return err;
        if (is_end)
            end_call(remote);
    }
    return NULL;
}

/* The step of a time; an instant query's is that of the query, whatever the other side says. */
static bool step_of(const struct step_grid *grid, int64_t time_ms, size_t *step)
{
    if (grid->count == 1) {
        *step = 0;
        return true;
    }
    int64_t since = int64_sub_saturating(time_ms, grid->start_ms);
    *step = (size_t)(since / grid->step_ms);
    return since >= 0 && since % grid->step_ms == 0 && *step < grid->count;
}

static struct error *fill_row(struct step_batch *batch, struct arena *arena, size_t row,
                              const struct result_series *series)
{
    batch->labels[row] = labels_copy(arena, series->labels);
    batch->drop_name[row] = 0;
    for (size_t i = 0; i < series->count; i++) {
        struct histogram *histogram = series->histograms ? series->histograms[i] : NULL;
        size_t step;
        if (!step_of(batch->grid, series->times[i], &step))
            return error_create(ERROR_CORRUPT, "remote query: a point beside the steps");
        if (histogram) {
            struct error *err = step_batch_add_histograms(batch, arena);
            if (err)
                return err;
            step_batch_histograms(batch, row)[step] = histogram;
        }
        step_batch_values(batch, row)[step] = series->values[i];
        step_bit_set(step_batch_present(batch, row), step);
    }
    step_batch_trim_row(batch, row);
    return NULL;
}

static struct error *remote_next(struct operator* base, struct context *ctx, struct arena *arena,
                                 struct step_batch **out)
{
    struct remote_operator *remote = container_of(base, struct remote_operator, base);
    *out = NULL;
    struct error *err = fetch_rows(remote, ctx);
    if (err || remote->left.count == 0)
        return err;
    size_t count = size_min(remote->left.count, step_batch_rows_max(base->grid));
    err = step_batch_create(arena, base->grid, count, out);
    for (size_t i = 0; i < count && !err; i++) {
        for (size_t step = 0; step < base->grid->count; step++)
            step_batch_values(*out, i)[step] = 0;
        err = fill_row(*out, arena, i, &remote->left.items[i]);
    }
    if (err)
        return err;
    if ((*out)->histograms) /* they stay where they were received */
        arena_keep(arena, remote->arena);
    remote->left.items += count;
    remote->left.count -= count;
    return arena_status(arena);
}

static void remote_explain(struct operator* base, struct buf *out)
{
    const struct remote_operator *remote = container_of(base, struct remote_operator, base);
    buf_printf(out, "remote(%.*s)", STR_ARG(remote->node->remote.text));
}

static void remote_free(struct operator* base)
{
    struct remote_operator *remote = container_of(base, struct remote_operator, base);
    while (remote->at < remote->node->remote.engines.count)
        end_call(remote);
    arena_unref(remote->arena);
    free(remote->calls);
    free(remote);
}

static const struct operator_ops remote_ops = {remote_next, remote_explain, remote_free};

struct operator* remote_create(struct execution *execution, const struct plan_node *node)
{
    const struct remote_engines *engines = &node->remote.engines;
    struct remote_operator *remote = xcalloc(1, sizeof(*remote));
    const struct remote_question question = {
        .text = node->remote.text,
        .query = execution->query,
        .lookback_ms = execution->lookback_ms,
        .timeout_ms =
            context_deadline_ms(execution->ctx) == INT64_MAX ? 0 : context_left_ms(execution->ctx),
    };
    remote->base = (struct operator){&remote_ops, node->grid};
    remote->execution = execution;
    remote->node = node;
    remote->calls = xcalloc(engines->count + 1, sizeof(struct remote_call *));
    for (size_t i = 0; i < engines->count; i++)
        remote->calls[i] = execution->remote->ops->start(
            execution->remote->self, &engines->items[i], execution->ctx, &question);
    return &remote->base;
}
