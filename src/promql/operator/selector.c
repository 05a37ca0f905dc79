/* Stored series as rows. A slice of the selected series is read, windowed and put through the
 * stages at a time: by the thread that pulls or, with a pool, by workers ahead of it. Then slices
 * wait in a window in the order of the series, which the consumer takes them in; the window has two
 * slices a worker, so that what is in flight stays small. The thread of the query starts slices,
 * because only it may wait for the store, and computes the first one itself when no worker has
 * begun it. */
#include "promql/operator/operator.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "chunk/samples.h"
#include "model/histogram.h"
#include "promql/histogram_stats.h"
#include "promql/operator/source.h"
#include "promql/row_store.h"
#include "promql/sample_stats.h"
#include "promql/operator/window_call.h"
#include "runtime/context.h"
#include "runtime/pool.h"

enum { SLICES_PER_WORKER = 2, SERIES_BETWEEN_CHECKS = 16 };

enum task_state { TASK_WAITS, TASK_RUNS, TASK_DONE };

struct task {
    struct selector *selector;
    struct slice slice;
    uint64_t sequence;
    struct arena *arena; /* of the result */
    struct step_batch *out;
    struct error *err;
    struct task *next; /* in the window */

    enum task_state state; /* under the selector's lock, as what follows */
    bool is_queued;        /* the pool will still call task_work() */
    bool is_taken;         /* out of the window: task_work() is to free it */
};

struct selector {
    struct operator base;
    struct execution *execution;
    struct sample_rules rules;
    struct window_call call;
    const struct step_grid *window_grid; /* before the stages */
    struct stage_list stages;

    batch_fold sink; /* of selector_drain(); NULL: batches are pulled */
    void *sink_self;

    struct source source;
    bool is_prepared;
    size_t rows_max;
    uint64_t sequence;

    struct mutex lock;
    pthread_cond_t changed;
    struct task *head, *tail; /* the window: in sequence */
    size_t window_count, window_max;
    size_t queued; /* tasks in the pool's hands, under the lock */
    bool stopping; /* under the lock */
};

/* ---- one slice ---- */

/* What a slice adds to the statistics. */
struct slice_counts {
    uint64_t looked_at, decoded;
    struct sample_tally *tally; /* NULL: not asked for */
};

static size_t count_histograms(struct histogram *const *histograms, size_t count)
{
    const struct histogram *last = NULL;
    size_t distinct = 0;
    for (size_t i = 0; i < count; i++) {
        distinct += histograms[i] && histograms[i] != last;
        last = histograms[i] ? histograms[i] : last;
    }
    return distinct;
}

static void copy_histograms(struct histogram **histograms, size_t count, struct arena *arena)
{
    const struct histogram *last = NULL;
    struct histogram *copy = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!histograms[i])
            continue;
        if (histograms[i] != last) {
            last = histograms[i];
            copy = histogram_copy(arena, last);
        }
        histograms[i] = copy;
    }
}

/* The histograms of a row lie among the decoded samples: these are kept when many of them are in
 * the row, else the row gets copies. */
static void keep_histograms(struct arena **scratch, size_t sample_count, struct arena *arena,
                            struct step_batch *batch, size_t row)
{
    struct histogram **histograms = step_batch_histograms(batch, row);
    size_t count = batch->grid->count;
    size_t used = histograms ? count_histograms(histograms, count) : 0;
    if (used <= sample_count / 2) {
        if (used > 0)
            copy_histograms(histograms, count, arena);
        arena_reset(*scratch);
        return;
    }
    arena_keep(arena, *scratch);
    struct budget *budget = arena_budget(*scratch);
    arena_unref(*scratch);
    *scratch = arena_create(budget);
}

/* Reads one series into a row. */
static struct error *read_row(const struct selector *selector, const struct series *series,
                              struct arena **scratch, struct arena *arena, struct step_batch *batch,
                              size_t row, struct str *last_name, struct slice_counts *counts)
{
    bool is_instant = selector->call.source->selector.range_ms == 0;
    struct samples samples = {0};
    batch->labels[row] = series->labels;
    struct error *err = samples_read(&series->chunks, &selector->rules, *scratch, &samples);
    if (!err && selector->call.source->selector.skip_buckets)
        histogram_stats_only(&samples);
    counts->decoded += samples.count;
    if (!err && counts->tally && !is_instant)
        sample_tally_windows(counts->tally, &samples);
    if (!err)
        err = window_call_row(&selector->call, &samples, *scratch, arena, batch, row, last_name,
                              &counts->looked_at);
    if (!err)
        err = arena_status(*scratch);
    if (err)
        return err;
    if (counts->tally && is_instant)
        sample_tally_row(counts->tally, batch, row);
    bool keeps_samples = samples.histograms && window_call_keeps_samples(&selector->call);
    if (keeps_samples)
        keep_histograms(scratch, samples.count, arena, batch, row);
    else
        arena_reset(*scratch);
    return NULL;
}

/* Series become rows of a batch in the arena; series without a result become none. */
static struct error *slice_rows(const struct selector *selector, const struct slice *slice,
                                struct context *ctx, struct arena *arena, struct step_batch *batch,
                                struct sample_tally *tally)
{
    struct arena *scratch = arena_create(selector->execution->budget);
    struct str last_name = STR("");
    struct error *err = NULL;
    struct slice_counts counts = {.tally = tally};
    size_t rows = 0;
    for (size_t i = 0; i < slice->count && !err; i++) {
        if (i % SERIES_BETWEEN_CHECKS == 0)
            err = context_error(ctx);
        if (!err)
            err = read_row(selector, &slice->series[i], &scratch, arena, batch, rows, &last_name,
                           &counts);
        if (err || batch->first[rows] == batch->last[rows])
            continue;
        batch->labels[rows] = labels_copy(arena, batch->labels[rows]);
        rows++;
    }
    arena_unref(scratch);
    struct execution *execution = selector->execution;
    counts.looked_at *= selector->call.source->selector.readers;
    atomic_fetch_add_explicit(&execution->samples_total, counts.looked_at, memory_order_relaxed);
    atomic_fetch_add_explicit(&execution->decoded_total, counts.decoded, memory_order_relaxed);
    atomic_fetch_add_explicit(&execution->series_total, slice->count, memory_order_relaxed);
    batch->row_count = rows;
    return err;
}

/* The same, counted when statistics are asked for. */
static struct error *slice_rows_counted(const struct selector *selector, const struct slice *slice,
                                        struct context *ctx, struct arena *arena,
                                        struct step_batch *batch)
{
    struct sample_stats *stats = selector->execution->stats;
    if (!stats)
        return slice_rows(selector, slice, ctx, arena, batch, NULL);
    struct arena *counts = arena_create(selector->execution->budget);
    struct sample_tally tally;
    struct error *err = sample_tally_init(&tally, selector->call.source, counts);
    if (!err)
        err = slice_rows(selector, slice, ctx, arena, batch, &tally);
    for (size_t i = 0; i < selector->call.source->selector.readers && !err; i++)
        sample_stats_add(stats, &tally);
    arena_unref(counts);
    return err;
}

static struct error *slice_read(const struct selector *selector, const struct slice *slice,
                                struct context *ctx, struct arena *arena, struct step_batch **out)
{
    struct error *err = step_batch_create(arena, selector->window_grid, slice->count, out);
    if (!err)
        err = slice_rows_counted(selector, slice, ctx, arena, *out);
    if (err)
        return err;
    window_call_finish(&selector->call, *out);
    if ((*out)->row_count > 0)
        return stage_list_apply(&selector->stages, ctx, arena, out);
    return arena_status(arena);
}

/* ---- one thread ---- */

static struct error *next_alone(struct selector *selector, struct context *ctx, struct arena *arena,
                                struct step_batch **out)
{
    for (;;) {
        struct slice slice;
        struct error *err = source_next(&selector->source, selector->rows_max, &slice);
        if (err || slice.count == 0)
            return err;
        struct step_batch *batch = NULL;
        err = slice_read(selector, &slice, ctx, arena, &batch);
        slice_deinit(&slice);
        if (err)
            return err;
        if (batch->row_count > 0) {
            batch->sequence = selector->sequence++;
            *out = batch;
            return NULL;
        }
    }
}

/* ---- workers ---- */

static void task_free(struct task *task)
{
    slice_deinit(&task->slice);
    arena_unref(task->arena);
    error_free(task->err);
    free(task);
}

static void task_compute(struct task *task)
{
    struct selector *selector = task->selector;
    struct context *ctx = selector->execution->ctx;
    task->err = slice_read(selector, &task->slice, ctx, task->arena, &task->out);
    slice_deinit(&task->slice);
    if (task->err)
        return;
    task->out->sequence = task->sequence;
    if (selector->sink)
        task->err = selector->sink(selector->sink_self, ctx, task->out, task->arena);
}

/* Takes a task that nobody has begun. */
static bool task_begin(struct task *task)
{
    struct selector *selector = task->selector;
    mutex_lock(&selector->lock);
    bool begun = task->state == TASK_WAITS && !selector->stopping;
    if (begun)
        task->state = TASK_RUNS;
    mutex_unlock(&selector->lock);
    return begun;
}

/* On a worker. The consumer may have computed and taken the task meanwhile: then the worker is its
 * last user. */
static void task_work(void *arg)
{
    struct task *task = arg;
    struct selector *selector = task->selector;
    bool begun = task_begin(task);
    if (begun)
        task_compute(task);
    mutex_lock(&selector->lock);
    if (begun)
        task->state = TASK_DONE;
    task->is_queued = false;
    bool is_last = task->is_taken;
    selector->queued--;
    pthread_cond_broadcast(&selector->changed);
    mutex_unlock(&selector->lock);
    if (is_last)
        task_free(task);
}

static void task_start(struct selector *selector, const struct slice *slice)
{
    struct task *task = xcalloc(1, sizeof(*task));
    task->selector = selector;
    task->slice = *slice;
    task->arena = arena_create(selector->execution->budget);
    task->sequence = selector->sequence++;
    if (selector->tail)
        selector->tail->next = task;
    else
        selector->head = task;
    selector->tail = task;
    selector->window_count++;
    if (selector->head == task) /* the consumer comes for it when the window is full */
        return;

    mutex_lock(&selector->lock);
    task->is_queued = true;
    selector->queued++;
    mutex_unlock(&selector->lock);
    struct error *err = pool_run(selector->execution->compute, task_work, task);
    if (!err)
        return;
    error_free(err); /* the pool is full: the consumer will compute it */
    mutex_lock(&selector->lock);
    task->is_queued = false;
    selector->queued--;
    mutex_unlock(&selector->lock);
}

static struct error *window_fill(struct selector *selector)
{
    while (selector->window_count < selector->window_max) {
        struct slice slice;
        struct error *err = source_next(&selector->source, selector->rows_max, &slice);
        if (err || slice.count == 0)
            return err;
        task_start(selector, &slice);
    }
    return NULL;
}

static struct error *task_wait(struct selector *selector, struct task *task, struct context *ctx)
{
    struct error *err = NULL;
    if (task_begin(task)) {
        task_compute(task);
        mutex_lock(&selector->lock);
        task->state = TASK_DONE;
        mutex_unlock(&selector->lock);
        return NULL;
    }
    mutex_lock(&selector->lock);
    while (task->state != TASK_DONE && !err)
        err = context_wait(ctx, &selector->changed, &selector->lock);
    mutex_unlock(&selector->lock);
    return err;
}

/* Takes the first task out of the window; its result goes to the caller's arena, if any. */
static struct error *task_take(struct selector *selector, struct arena *arena,
                               struct step_batch **out)
{
    struct task *task = selector->head;
    selector->head = task->next;
    if (!selector->head)
        selector->tail = NULL;
    selector->window_count--;

    struct error *err = task->err;
    task->err = NULL;
    *out = task->out;
    if (!err && arena)
        arena_keep(arena, task->arena);
    arena_unref(task->arena); /* now: a worker may free the rest when the query's budget is gone */
    task->arena = NULL;
    mutex_lock(&selector->lock);
    task->is_taken = true;
    bool is_last = !task->is_queued;
    mutex_unlock(&selector->lock);
    if (is_last)
        task_free(task);
    return err;
}

static struct error *next_of_window(struct selector *selector, struct context *ctx,
                                    struct arena *arena, struct step_batch **out)
{
    for (;;) {
        *out = NULL;
        struct error *err = window_fill(selector);
        if (err || !selector->head)
            return err;
        err = task_wait(selector, selector->head, ctx);
        if (!err)
            err = task_take(selector, arena, out);
        if (err || (*out)->row_count > 0)
            return err;
    }
}

/* ---- the operator ---- */

static struct error *selector_prepare(struct selector *selector, struct context *ctx)
{
    struct error *err = window_call_prepare(&selector->call, ctx);
    selector->is_prepared = true;
    if (!err)
        err = stage_list_prepare(&selector->stages, ctx);
    selector->rows_max = stage_list_rows_max(&selector->stages, selector->window_grid);
    return err;
}

static struct error *selector_next(struct operator* base, struct context *ctx, struct arena *arena,
                                   struct step_batch **out)
{
    struct selector *selector = container_of(base, struct selector, base);
    struct error *err = selector->is_prepared ? NULL : selector_prepare(selector, ctx);
    if (!err && selector->execution->compute)
        err = next_of_window(selector, ctx, arena, out);
    else if (!err)
        err = next_alone(selector, ctx, arena, out);
    if (err)
        *out = NULL;
    return err;
}

struct error *selector_drain(struct operator* op, struct context *ctx, batch_fold sink, void *self)
{
    struct selector *selector = container_of(op, struct selector, base);
    struct error *err = selector->is_prepared ? NULL : selector_prepare(selector, ctx);
    selector->sink = sink;
    selector->sink_self = self;
    while (!err) {
        struct step_batch *out;
        err = window_fill(selector);
        if (err || !selector->head)
            break;
        err = task_wait(selector, selector->head, ctx);
        if (!err)
            err = task_take(selector, NULL, &out);
    }
    return err;
}

static void selector_explain(struct operator* base, struct buf *out)
{
    struct selector *selector = container_of(base, struct selector, base);
    const struct plan_selector *node = &selector->call.source->selector;
    buf_append_cstr(out, "selector ");
    matchers_print(out, node->matchers, node->matcher_count);
    if (selector->call.call)
        buf_printf(out, " | %.*s", STR_ARG(selector->call.call->call.function->name));
    stage_list_explain(&selector->stages, out);
}

static void selector_free(struct operator* base)
{
    struct selector *selector = container_of(base, struct selector, base);
    if (selector->source.set)
        series_set_cancel(selector->source.set);
    mutex_lock(&selector->lock);
    selector->stopping = true;
    while (selector->queued > 0)
        mutex_wait(&selector->lock, &selector->changed);
    mutex_unlock(&selector->lock);
    while (selector->head) {
        struct task *task = selector->head;
        selector->head = task->next;
        task_free(task);
    }
    source_deinit(&selector->source);
    stage_list_deinit(&selector->stages);
    window_call_deinit(&selector->call);
    pthread_cond_destroy(&selector->changed);
    mutex_deinit(&selector->lock);
    free(selector);
}

static const struct operator_ops selector_ops = {selector_next, selector_explain, selector_free};

bool operator_is_selector(const struct operator* op)
{
    return op->ops == &selector_ops;
}

void selector_add_stage(struct operator* op, struct row_stage *stage)
{
    struct selector *selector = container_of(op, struct selector, base);
    stage_list_add(&selector->stages, stage);
    selector->base.grid = stage->grid;
}

struct error *selector_create(struct execution *execution, const struct plan_node *node,
                              const struct plan_node *call, struct operator** scalars,
                              size_t scalar_count, struct operator** out)
{
    struct selector *selector = xcalloc(1, sizeof(*selector));
    const struct plan_node *top = call ? call : node;
    selector->base = (struct operator){&selector_ops, top->grid};
    selector->execution = execution;
    window_call_init(&selector->call, execution, node, call, scalars, scalar_count);
    selector->window_grid = top->grid;
    selector->rules = source_rules(execution, &node->selector);
    if (execution->compute)
        selector->window_max = pool_threads(execution->compute) * SLICES_PER_WORKER;
    mutex_init(&selector->lock);
    pthread_cond_init(&selector->changed, NULL);
    *out = &selector->base;
    return source_open(&selector->source, execution, &node->selector);
}
