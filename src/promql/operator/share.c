#include "promql/operator/share.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct share_sink {
    batch_fold fold;
    void *self;
};

struct share {
    const struct plan_share *plan;
    struct execution *execution;
    struct operator* input; /* NULL: over */
    struct share_sink sinks[PLAN_SHARE_MAX];
    size_t sink_count, end_count;
    uint64_t sequence;
    bool is_drained;
    struct share *next; /* of the execution */
};

struct share_end {
    struct operator base;
    struct share *share;
};

static struct share *share_find(struct execution *execution, const struct plan_share *plan)
{
    struct share *share = execution->shares;
    while (share && share->plan != plan)
        share = share->next;
    return share;
}

static struct share *share_get(struct execution *execution, const struct plan_share *plan)
{
    struct share *share = share_find(execution, plan);
    if (share)
        return share;
    share = xcalloc(1, sizeof(*share));
    share->plan = plan;
    share->execution = execution;
    share->next = execution->shares;
    execution->shares = share;
    return share;
}

static void share_free(struct share *share)
{
    struct share **at = &share->execution->shares;
    while (*at != share)
        at = &(*at)->next;
    *at = share->next;
    operator_free(share->input);
    free(share);
}

/* ---- the ends ---- */

static struct error *end_next(struct operator* op, struct context *ctx, struct arena *arena,
                              struct step_batch **out)
{
    bug("a shared input is pulled");
}

static void end_explain(struct operator* op, struct buf *out)
{
    struct share *share = container_of(op, struct share_end, base)->share;
    buf_printf(out, "shared %zu (", share->plan->number);
    if (share->input)
        operator_explain(share->input, out);
    buf_append_byte(out, ')');
}

/* Workers may still be folding when a query fails: none may be when the first sink goes. */
static void end_free(struct operator* op)
{
    struct share_end *end = container_of(op, struct share_end, base);
    struct share *share = end->share;
    operator_free(share->input);
    share->input = NULL;
    if (--share->end_count == 0)
        share_free(share);
    free(end);
}

static const struct operator_ops end_ops = {end_next, end_explain, end_free};

bool operator_is_share_end(const struct operator* op)
{
    return op->ops == &end_ops;
}

struct error *share_end_create(struct execution *execution, const struct plan_share *plan,
                               struct operator** out)
{
    struct share_end *end = xcalloc(1, sizeof(*end));
    struct share *share = share_get(execution, plan);
    end->base = (struct operator){&end_ops, plan->input->grid};
    end->share = share;
    share->end_count++;
    struct error *err = NULL;
    if (share->end_count == 1)
        err = operator_build(execution, plan->input, &share->input);
    if (err) {
        share->input = NULL;
        end_free(&end->base);
    } else {
        *out = &end->base;
    }
    return err;
}

void share_end_attach(struct operator* op, batch_fold sink, void *self)
{
    struct share *share = container_of(op, struct share_end, base)->share;
    share->sinks[share->sink_count++] = (struct share_sink){sink, self};
}

/* ---- the one pass ---- */

/* The batch with presence bits of its own, which a sink may clear. */
static struct step_batch *batch_for_sink(const struct step_batch *batch, struct arena *arena)
{
    size_t words = batch->row_count * step_grid_words(batch->grid);
    struct step_batch *own = arena_alloc(arena, sizeof(*own));
    *own = *batch;
    own->present = arena_array(arena, words + 1, sizeof(*own->present));
    memcpy(own->present, batch->present, words * sizeof(*own->present));
    return own;
}

static struct error *share_take(void *self, struct context *ctx, struct step_batch *batch,
                                struct arena *arena)
{
    struct share *share = self;
    struct step_batch *batches[PLAN_SHARE_MAX] = {batch};
    struct error *err = NULL;
    for (size_t i = 1; i < share->sink_count; i++)
        batches[i] = batch_for_sink(batch, arena);
    for (size_t i = 0; i < share->sink_count; i++)
        error_keep_first(&err, share->sinks[i].fold(share->sinks[i].self, ctx, batches[i], arena));
    return err;
}

static struct error *share_take_next(void *self, struct context *ctx, struct step_batch *batch,
                                     struct arena *arena)
{
    struct share *share = self;
    batch->sequence = share->sequence++;
    return share_take(share, ctx, batch, arena);
}

struct error *share_end_drain(struct operator* op, struct context *ctx)
{
    struct share *share = container_of(op, struct share_end, base)->share;
    if (share->is_drained)
        return NULL;
    share->is_drained = true;
    if (share->execution->compute && operator_is_selector(share->input))
        return selector_drain(share->input, ctx, share_take, share);
    return operator_drain(share->input, share->execution, ctx, share_take_next, share);
}
