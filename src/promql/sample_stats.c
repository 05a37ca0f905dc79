#include "promql/sample_stats.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "model/histogram.h"
#include "promql/plan/pass.h"

struct counts { /* [grid's count] each */
    uint64_t *queryable, *read;
};

struct sample_stats {
    const struct plan *plan;
    struct mutex lock;
    struct counts *selectors; /* [plan's selector_count] */
};

static struct error *counts_init(struct counts *counts, size_t steps, struct arena *arena)
{
    counts->queryable = arena_try_alloc(arena, (steps + 1) * 2 * sizeof(uint64_t));
    if (!counts->queryable)
        return arena_status(arena);
    memset(counts->queryable, 0, (steps + 1) * 2 * sizeof(uint64_t));
    counts->read = counts->queryable + steps + 1;
    return NULL;
}

struct error *sample_stats_create(const struct plan *plan, struct arena *arena,
                                  struct sample_stats **out)
{
    struct sample_stats *stats = xcalloc(1, sizeof(*stats));
    struct error *err = NULL;
    stats->plan = plan;
    mutex_init(&stats->lock);
    stats->selectors = arena_array(arena, plan->selector_count, sizeof(*stats->selectors));
    for (size_t i = 0; i < plan->selector_count && !err; i++)
        err = counts_init(&stats->selectors[i], plan->selectors[i]->grid->count, arena);
    *out = stats;
    return err;
}

void sample_stats_free(struct sample_stats *stats)
{
    if (!stats)
        return;
    mutex_deinit(&stats->lock);
    free(stats);
}

/* ---- one worker ---- */

struct error *sample_tally_init(struct sample_tally *tally, const struct plan_node *node,
                                struct arena *arena)
{
    struct counts counts = {0};
    struct error *err = counts_init(&counts, node->grid->count, arena);
    *tally = (struct sample_tally){.selector = &node->selector, .grid = node->grid};
    if (err)
        return err;
    tally->queryable = counts.queryable;
    tally->read = counts.read;
    return NULL;
}

/* Bytes of Prometheus's structure and its time, in samples of 16 bytes. */
static uint64_t histogram_weight(const struct histogram *histogram, bool without_buckets)
{
    enum { STRUCT_BYTES = 168, TIME_BYTES = 8, PART_BYTES = 8, SAMPLE_BYTES = 16 };
    size_t parts = 0;
    if (!without_buckets)
        parts = histogram->positive.span_count + histogram->positive.bucket_count +
                histogram->negative.span_count + histogram->negative.bucket_count +
                histogram->custom_count;
    return (STRUCT_BYTES + TIME_BYTES + parts * PART_BYTES) / SAMPLE_BYTES;
}

static uint64_t weight(const struct sample_tally *tally, const struct samples *samples, size_t at)
{
    if (sample_is_stale(samples->values[at]))
        return 0;
    if (!samples->histograms || !samples->histograms[at])
        return 1;
    return histogram_weight(samples->histograms[at], tally->selector->skip_buckets);
}

/* A sum over samples[from, to) whose ends only move forward. */
struct span_sum {
    size_t from, to;
    uint64_t sum;
};

static uint64_t span_move(struct span_sum *span, const struct sample_tally *tally,
                          const struct samples *samples, int64_t after, int64_t until)
{
    while (span->to < samples->count && samples->times[span->to] <= until)
        span->sum += weight(tally, samples, span->to++);
    while (span->from < span->to && samples->times[span->from] <= after)
        span->sum -= weight(tally, samples, span->from++);
    return span->sum;
}

void sample_tally_windows(struct sample_tally *tally, const struct samples *samples)
{
    const struct plan_selector *selector = tally->selector;
    struct span_sum all = {0}, fresh = {0};
    int64_t before_ms = selector->range_ms, behind_ms = 0;
    if (selector->extended != RANGE_PLAIN)
        before_ms = int64_add_saturating(before_ms, selector->lookback_ms);
    if (selector->extended == RANGE_SMOOTHED)
        behind_ms = selector->lookback_ms;
    for (size_t step = 0; step < tally->grid->count; step++) {
        int64_t time = selector->has_at ? selector->at_ms : step_grid_time(tally->grid, step);
        int64_t end = int64_sub_saturating(time, selector->offset_ms);
        int64_t begin = int64_sub_saturating(end, before_ms);
        end = int64_add_saturating(end, behind_ms);
        int64_t last_end = int64_sub_saturating(end, tally->grid->step_ms);
        tally->queryable[step] += span_move(&all, tally, samples, begin, end);
        if (step == 0)
            tally->read[0] += span_move(&fresh, tally, samples, begin, end);
        else if (!selector->has_at)
            tally->read[step] += span_move(&fresh, tally, samples, int64_max(begin, last_end), end);
    }
}

void sample_tally_row(struct sample_tally *tally, const struct step_batch *batch, size_t row)
{
    const uint64_t *present = step_batch_present(batch, row);
    struct histogram **histograms = step_batch_histograms(batch, row);
    for (size_t step = batch->first[row]; step < batch->last[row]; step++) {
        if (!step_bit_get(present, step))
            continue;
        uint64_t count = 1;
        if (histograms && histograms[step])
            count = histogram_weight(histograms[step], tally->selector->skip_buckets);
        tally->queryable[step] += count;
        tally->read[step] += count;
    }
}

void sample_tally_all(struct sample_tally *tally, const struct samples *samples)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < samples->count; i++)
        sum += weight(tally, samples, i);
    tally->queryable[0] += sum;
    tally->read[0] += sum;
}

void sample_stats_add(struct sample_stats *stats, const struct sample_tally *tally)
{
    struct counts *counts = &stats->selectors[tally->selector->index];
    mutex_lock(&stats->lock);
    for (size_t step = 0; step < tally->grid->count; step++) {
        counts->queryable[step] += tally->queryable[step];
        counts->read[step] += tally->read[step];
    }
    mutex_unlock(&stats->lock);
}

/* ---- the whole query ---- */

static struct error *add_node(const struct sample_stats *stats, struct plan_node *node,
                              struct arena *arena, struct counts *to);

static uint64_t sum_of(const uint64_t *counts, size_t steps)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < steps; i++)
        sum += counts[i];
    return sum;
}

static struct error *add_step_invariant(const struct sample_stats *stats,
                                        const struct plan_node *node, struct arena *arena,
                                        struct counts *to)
{
    struct plan_node *input = node->step_invariant.input;
    struct counts once;
    struct error *err = counts_init(&once, input->grid->count, arena);
    if (!err)
        err = add_node(stats, input, arena, &once);
    if (err || node->grid->count == 0)
        return err;
    uint64_t queryable = sum_of(once.queryable, input->grid->count);
    for (size_t step = 0; step < node->grid->count; step++)
        to->queryable[step] += queryable;
    to->read[0] += sum_of(once.read, input->grid->count);
    return NULL;
}

/* Each step counts those of the subquery that are in its window. */
static void add_windows(const struct plan_node *node, const struct counts *from, struct counts *to)
{
    const struct plan_subquery *subquery = &node->subquery;
    const struct step_grid *inner = subquery->input->grid;
    size_t first = 0, next = 0;
    uint64_t sum = 0;
    for (size_t step = 0; step < node->grid->count; step++) {
        int64_t time = subquery->has_at ? subquery->at_ms : step_grid_time(node->grid, step);
        int64_t end = int64_sub_saturating(time, subquery->offset_ms);
        int64_t begin = int64_sub_saturating(end, subquery->range_ms);
        size_t known = next;
        for (; next < inner->count && step_grid_time(inner, next) <= end; next++)
            sum += from->queryable[next];
        for (; first < next && step_grid_time(inner, first) <= begin; first++)
            sum -= from->queryable[first];
        to->queryable[step] += sum;
        for (size_t i = size_max(known, first); i < next; i++)
            to->read[step] += from->read[i];
    }
}

static struct error *add_subquery(const struct sample_stats *stats, const struct plan_node *node,
                                  struct arena *arena, struct counts *to)
{
    struct plan_node *input = node->subquery.input;
    struct counts counts;
    struct error *err = counts_init(&counts, input->grid->count, arena);
    if (!err)
        err = add_node(stats, input, arena, &counts);
    if (err)
        return err;
    if (node->grid->count > 1) {
        add_windows(node, &counts, to);
        return NULL;
    }
    to->queryable[0] += sum_of(counts.queryable, input->grid->count);
    to->read[0] += sum_of(counts.read, input->grid->count);
    return NULL;
}

static struct error *add_node(const struct sample_stats *stats, struct plan_node *node,
                              struct arena *arena, struct counts *to)
{
    struct error *err = NULL;
    struct plan_node **child;
    if (node->kind == PLAN_STEP_INVARIANT)
        return add_step_invariant(stats, node, arena, to);
    if (node->kind == PLAN_SUBQUERY)
        return add_subquery(stats, node, arena, to);
    if (node->kind == PLAN_SELECTOR) {
        const struct counts *from = &stats->selectors[node->selector.index];
        for (size_t step = 0; step < node->grid->count; step++) {
            to->queryable[step] += from->queryable[step];
            to->read[step] += from->read[step];
        }
    }
    for (size_t i = 0; !err && (child = plan_child(node, i)) != NULL; i++)
        err = add_node(stats, *child, arena, to);
    return err;
}

struct error *sample_stats_finish(struct sample_stats *stats, struct arena *arena,
                                  struct engine_stats *out) NO_THREAD_SAFETY
{
    const struct step_grid *grid = &stats->plan->grid;
    struct counts counts;
    struct error *err = counts_init(&counts, grid->count, arena);
    if (!err)
        err = add_node(stats, stats->plan->root, arena, &counts);
    if (err)
        return err;
    out->samples_total = sum_of(counts.queryable, grid->count);
    out->samples_read = sum_of(counts.read, grid->count);
    out->steps = grid->count;
    out->start_ms = grid->start_ms;
    out->step_ms = grid->step_ms;
    out->samples_per_step = counts.queryable;
    out->read_per_step = counts.read;
    return NULL;
}

static struct error *describe_node(const struct sample_stats *stats, struct plan_node *node,
                                   struct arena *arena, struct engine_node *out)
{
    struct counts counts;
    size_t steps = node->grid ? node->grid->count : stats->plan->grid.count;
    struct error *err = counts_init(&counts, steps, arena);
    if (!err)
        err = add_node(stats, node, arena, &counts);
    if (err)
        return err;
    out->samples_total = sum_of(counts.queryable, steps);
    for (size_t i = 0; i < out->child_count && !err; i++)
        err = describe_node(stats, *plan_child(node, i), arena, &out->children[i]);
    return err;
}

struct error *sample_stats_describe(struct sample_stats *stats, struct arena *arena,
                                    struct engine_node *tree) NO_THREAD_SAFETY
{
    struct arena *scratch = arena_create(arena_budget(arena));
    struct error *err = describe_node(stats, stats->plan->root, scratch, tree);
    arena_unref(scratch);
    return err;
}
