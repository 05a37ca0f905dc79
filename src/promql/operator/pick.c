/* topk, bottomk, limitk: a few samples of each group at each step, with the labels they had. A heap
 * per group and step holds the best so far, the worst of them on top. Results are sparse, so they
 * stay points, sorted into rows at the end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "codec/float_text.h"
#include "promql/operator/groups.h"
#include "promql/operator/operator.h"
#include "promql/row_store.h"

struct picked {
    double value;
    struct histogram *histogram; /* of limitk, else NULL */
    uint32_t row;                /* in `rows` */
};

struct heap {
    struct picked *items;
    uint32_t len, cap;
};

struct pick_group {
    struct group base;
    struct heap *heaps; /* [steps] */
};

struct row_name {
    struct labels labels;
    bool drop_name;
};

struct point {
    double value;
    struct histogram *histogram;
    uint32_t row, step;
};

struct pick {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    struct operator* input;
    struct scalar param;
    struct groups groups;
    VEC(struct row_name) rows; /* that were picked at least once */
    struct point *points;      /* the result, row after row */
    size_t point_count, point_at;
    size_t held;
    bool is_done, has_histograms;
};

/* ---- heaps, as Go's container/heap moves items, for the same choice among equals ---- */

static bool is_before(const struct pick *pick, const struct picked *a, const struct picked *b)
{
    if (isnan(a->value))
        return true;
    return pick->node->aggregate.op == AGGREGATE_BOTTOMK ? a->value > b->value
                                                         : a->value < b->value;
}

static void heap_swap(struct heap *heap, size_t a, size_t b)
{
    struct picked swapped = heap->items[a];
    heap->items[a] = heap->items[b];
    heap->items[b] = swapped;
}

static void heap_up(const struct pick *pick, struct heap *heap, size_t at)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!is_before(pick, &heap->items[at], &heap->items[parent]))
            return;
        heap_swap(heap, at, parent);
        at = parent;
    }
}

static void heap_down(const struct pick *pick, struct heap *heap, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->len)
            return;
        if (child + 1 < heap->len && is_before(pick, &heap->items[child + 1], &heap->items[child]))
            child++;
        if (!is_before(pick, &heap->items[child], &heap->items[at]))
            return;
        heap_swap(heap, at, child);
        at = child;
    }
}

static struct error *heap_push(struct pick *pick, struct heap *heap, const struct picked *item,
                               size_t limit)
{
    if (heap->len == heap->cap) {
        size_t cap = size_min(size_max(2 * (size_t)heap->cap, 4), size_max(limit, 1));
        struct picked *items = arena_try_alloc(pick->groups.arena, cap * sizeof(*items));
        if (!items)
            return arena_status(pick->groups.arena);
        if (heap->len > 0)
            memcpy(items, heap->items, heap->len * sizeof(*items));
        heap->items = items;
        heap->cap = (uint32_t)cap;
    }
    heap->items[heap->len++] = *item;
    if (pick->node->aggregate.op != AGGREGATE_LIMITK)
        heap_up(pick, heap, heap->len - 1);
    pick->held++;
    return execution_hold(pick->execution, 1);
}

/* ---- folding ---- */

static struct error *check_param(const struct pick *pick, bool *has_any)
{
    double least = INFINITY, most = -INFINITY;
    bool any_nan = false;
    for (size_t step = 0; step < pick->base.grid->count; step++) {
        double k = pick->param.values[step];
        any_nan |= isnan(k);
        least = fmin(least, k);
        most = fmax(most, k);
    }
    char text[FLOAT_TEXT_MAX];
    *has_any = any_nan || most >= 1;
    if (!*has_any)
        return NULL;
    if (any_nan)
        return error_create(ERROR_QUERY, "Parameter value is NaN");
    if (least <= -9223372036854775808.0) {
        size_t len = float_text(text, least, FLOAT_GENERAL);
        return error_create(ERROR_QUERY, "Scalar value %.*s underflows int64", (int)len, text);
    }
    if (most >= 9223372036854775808.0) {
        size_t len = float_text(text, most, FLOAT_GENERAL);
        return error_create(ERROR_QUERY, "Scalar value %.*s overflows int64", (int)len, text);
    }
    return NULL;
}

/* Whether a new value takes the place of the worst one of a full heap. */
static bool is_better(const struct pick *pick, double value, double worst)
{
    if (isnan(worst))
        return !isnan(value);
    return pick->node->aggregate.op == AGGREGATE_BOTTOMK ? worst > value : worst < value;
}

static struct error *pick_value(struct pick *pick, struct heap *heap, const struct picked *item,
                                size_t step, bool *picked)
{
    double k = pick->param.values[step];
    *picked = false;
    if (!(k >= 1))
        return NULL;
    size_t limit = k > UINT32_MAX ? UINT32_MAX : (size_t)k;
    if (heap->len < limit) {
        *picked = true;
        return heap_push(pick, heap, item, limit);
    }
    if (pick->node->aggregate.op == AGGREGATE_LIMITK ||
        !is_better(pick, item->value, heap->items[0].value))
        return NULL;
    *picked = true;
    heap->items[0] = *item;
    heap_down(pick, heap, 0);
    return NULL;
}

static void note_ignored(const struct pick *pick)
{
    annotations_add(pick->execution->annotations, ANNOTATION_INFO, pick->node->position,
                    "ignored histogram in %s aggregation",
                    aggregate_op_text(pick->node->aggregate.op));
}

static struct error *pick_row(struct pick *pick, struct pick_group *group,
                              const struct step_batch *batch, size_t row, bool *picked)
{
    const double *values = step_batch_values(batch, row);
    const uint64_t *present = step_batch_present(batch, row);
    struct histogram **histograms = step_batch_histograms(batch, row);
    bool takes_histograms = pick->node->aggregate.op == AGGREGATE_LIMITK, ignored = false;
    for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
        if (!step_bit_get(present, step))
            continue;
        struct picked item = {values[step], histograms ? histograms[step] : NULL,
                              (uint32_t)pick->rows.len};
        if (item.histogram && !takes_histograms) {
            ignored = true;
            continue;
        }
        bool is_picked;
        struct error *err = pick_value(pick, &group->heaps[step], &item, step, &is_picked);
        if (err)
            return err;
        *picked |= is_picked;
    }
    if (ignored)
        note_ignored(pick);
    return NULL;
}

static struct error *pick_fold(void *self, struct context *ctx, struct step_batch *batch,
                               struct arena *arena)
{
    struct pick *pick = self;
    for (size_t row = 0; row < batch->row_count; row++) {
        struct group *base;
        struct error *err = groups_find(&pick->groups, batch, row, &base);
        if (err)
            return err;
        struct pick_group *group = container_of(base, struct pick_group, base);
        if (!group->heaps)
            group->heaps = arena_zalloc(pick->groups.arena,
                                        (pick->base.grid->count + 1) * sizeof(struct heap));
        bool picked = false;
        err = pick_row(pick, group, batch, row, &picked);
        if (err)
            return err;
        if (!picked)
            continue;
        struct labels labels = execution_labels(pick->execution, batch, row, arena);
        struct row_name name = {labels_copy(pick->groups.arena, labels), batch->drop_name[row]};
        if (pick->rows.len >= UINT32_MAX)
            return error_create(ERROR_LIMIT, "more than %u series were picked", UINT32_MAX);
        if (!vec_push(&pick->rows, name))
            return vec_status(&pick->rows);
    }
    if (batch->histograms && pick->node->aggregate.op == AGGREGATE_LIMITK) {
        pick->has_histograms = true;
        arena_keep(pick->groups.arena, arena);
    }
    return arena_status(pick->groups.arena);
}

/* ---- results ---- */

static int best_first(const void *a, const void *b)
{
    double left = ((const struct picked *)a)->value, right = ((const struct picked *)b)->value;
    if (isnan(left) || isnan(right))
        return isnan(left) - isnan(right);
    return left > right ? -1 : left < right ? 1 : 0;
}

static int best_first_ascending(const void *a, const void *b)
{
    double left = ((const struct picked *)a)->value, right = ((const struct picked *)b)->value;
    if (isnan(left) || isnan(right))
        return isnan(left) - isnan(right);
    return left < right ? -1 : left > right ? 1 : 0;
}

/* An instant query gives the picked ones from the best on: renumbers rows to that order. */
static struct error *order_by_value(struct pick *pick)
{
    VEC(struct row_name) ordered = VEC_INIT(pick->execution->budget);
    for (size_t i = 0; i < pick->groups.items.len; i++) {
        struct pick_group *group =
            container_of(pick->groups.items.items[i], struct pick_group, base);
        struct heap *heap = &group->heaps[0];
        if (pick->node->aggregate.op != AGGREGATE_LIMITK && heap->len > 1)
            qsort(heap->items, heap->len, sizeof(*heap->items),
                  pick->node->aggregate.op == AGGREGATE_TOPK ? best_first : best_first_ascending);
        for (size_t j = 0; j < heap->len; j++) {
            struct row_name name = pick->rows.items[heap->items[j].row];
            heap->items[j].row = (uint32_t)ordered.len;
            if (!vec_push(&ordered, name)) {
                struct error *err = vec_status(&ordered);
                vec_deinit(&ordered);
                return err;
            }
        }
    }
    vec_deinit(&pick->rows);
    pick->rows.items = ordered.items;
    pick->rows.len = ordered.len;
    pick->rows.cap = ordered.cap;
    return NULL;
}

/* Calls with every picked item, steps in order within a row. */
static void each_picked(struct pick *pick,
                        void (*each)(struct pick *pick, const struct picked *item, uint32_t step,
                                     size_t *counts),
                        size_t *counts)
{
    for (size_t step = 0; step < pick->base.grid->count; step++) {
        for (size_t i = 0; i < pick->groups.items.len; i++) {
            struct pick_group *group =
                container_of(pick->groups.items.items[i], struct pick_group, base);
            for (size_t j = 0; j < group->heaps[step].len; j++)
                each(pick, &group->heaps[step].items[j], (uint32_t)step, counts);
        }
    }
}

static void count_point(struct pick *pick, const struct picked *item, uint32_t step, size_t *counts)
{
    counts[item->row]++;
    pick->point_count++;
}

static void place_point(struct pick *pick, const struct picked *item, uint32_t step, size_t *counts)
{
    pick->points[counts[item->row]++] =
        (struct point){item->value, item->histogram, item->row, step};
}

/* Sorts the points into rows by counting. */
static struct error *collect_points(struct pick *pick)
{
    if (pick->base.grid->count == 1) {
        struct error *err = order_by_value(pick);
        if (err)
            return err;
    }
    struct arena *arena = pick->groups.arena;
    size_t *counts = arena_zalloc(arena, (pick->rows.len + 1) * sizeof(*counts));
    each_picked(pick, count_point, counts);
    pick->points = arena_try_alloc(arena, (pick->point_count + 1) * sizeof(*pick->points));
    if (!pick->points)
        return arena_status(arena);
    size_t before = 0;
    for (size_t i = 0; i < pick->rows.len; i++) {
        size_t own = counts[i];
        counts[i] = before;
        before += own;
    }
    each_picked(pick, place_point, counts);
    return arena_status(arena);
}

static struct error *skip_fold(void *self, struct context *ctx, struct step_batch *batch,
                               struct arena *arena)
{
    return NULL;
}

/* Where nothing is asked for, the input may still fail or warn. */
static struct error *pick_all(struct pick *pick, struct context *ctx)
{
    bool has_any;
    struct error *err = scalar_read(pick->execution, &pick->param, ctx);
    if (err)
        return err;
    struct error *wrong = check_param(pick, &has_any);
    err = operator_drain(pick->input, pick->execution, ctx,
                         has_any && !wrong ? pick_fold : skip_fold, pick);
    if (err) {
        error_free(wrong);
        return err;
    }
    return wrong ? wrong : collect_points(pick);
}

static struct error *write_rows(struct pick *pick, struct step_batch *batch, struct arena *arena)
{
    struct error *err = pick->has_histograms ? step_batch_add_histograms(batch, arena) : NULL;
    if (pick->has_histograms)
        arena_keep(arena, pick->groups.arena);
    size_t row = 0;
    while (!err && pick->point_at < pick->point_count && row < batch->row_count) {
        uint32_t name = pick->points[pick->point_at].row;
        double *values = step_batch_values(batch, row);
        batch->labels[row] = pick->rows.items[name].labels;
        batch->drop_name[row] = pick->rows.items[name].drop_name;
        memset(values, 0, batch->grid->count * sizeof(*values));
        for (; pick->point_at < pick->point_count; pick->point_at++) {
            const struct point *point = &pick->points[pick->point_at];
            if (point->row != name)
                break;
            values[point->step] = point->value;
            step_bit_set(step_batch_present(batch, row), point->step);
            if (batch->histograms)
                step_batch_histograms(batch, row)[point->step] = point->histogram;
        }
        step_batch_trim_row(batch, row++);
    }
    batch->row_count = row;
    return err;
}

static struct error *pick_next(struct operator* base, struct context *ctx, struct arena *arena,
                               struct step_batch **out)
{
    struct pick *pick = container_of(base, struct pick, base);
    struct error *err = pick->is_done ? NULL : pick_all(pick, ctx);
    pick->is_done = true;
    if (err || pick->point_at == pick->point_count)
        return err;
    size_t rows = size_min(step_batch_rows_max(base->grid), pick->rows.len);
    err = step_batch_create(arena, base->grid, rows, out);
    if (!err)
        err = write_rows(pick, *out, arena);
    if (err)
        *out = NULL;
    return err;
}

static void pick_explain(struct operator* base, struct buf *out)
{
    struct pick *pick = container_of(base, struct pick, base);
    operator_explain(pick->input, out);
    buf_printf(out, " | %s", aggregate_op_text(pick->node->aggregate.op));
}

static void pick_free(struct operator* base)
{
    struct pick *pick = container_of(base, struct pick, base);
    execution_release(pick->execution, pick->held);
    operator_free(pick->input);
    scalar_deinit(&pick->param);
    vec_deinit(&pick->rows);
    groups_deinit(&pick->groups);
    free(pick);
}

static const struct operator_ops pick_ops = {pick_next, pick_explain, pick_free};

struct operator* pick_create(struct execution *execution, const struct plan_node *node,
                             struct operator* input, struct operator* param)
{
    struct pick *pick = xcalloc(1, sizeof(*pick));
    pick->base = (struct operator){&pick_ops, node->grid};
    pick->execution = execution;
    pick->node = node;
    pick->input = input;
    pick->param.op = param;
    pick->rows.budget = execution->budget;
    groups_init(&pick->groups, execution, &node->aggregate, sizeof(struct pick_group));
    return &pick->base;
}
