/* count_values(): a row per group and value, with the value's text as a label. Values are many and
 * each is seen at few steps, so counts are kept as points per row: steps as they come, put together
 * when they have become many. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "codec/float_text.h"
#include "model/histogram.h"
#include "promql/operator/groups.h"
#include "promql/operator/operator.h"
#include "promql/row_store.h"

struct step_count {
    uint32_t step, count;
};

enum { POINTS_AT_FIRST = 8 };

struct value_row {
    struct group base; /* its labels are those of the result */
    struct step_count *points;
    uint32_t len, cap;
};

struct count_values {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    struct operator* input;
    struct str value_label;
    struct plan_aggregate grouping; /* with the value's label among those kept */
    struct arena *arena;
    struct groups groups; /* of value_row */
    size_t held;
    bool is_folded;
    size_t given;
};

static int step_order(const void *a, const void *b)
{
    uint32_t left = ((const struct step_count *)a)->step;
    uint32_t right = ((const struct step_count *)b)->step;
    return left < right ? -1 : left > right;
}

/* Sorts the points by step and adds up those of one step. */
static void settle_points(struct value_row *row)
{
    if (row->len == 0)
        return;
    qsort(row->points, row->len, sizeof(*row->points), step_order);
    uint32_t last = 0;
    for (uint32_t i = 1; i < row->len; i++) {
        if (row->points[i].step == row->points[last].step)
            row->points[last].count += row->points[i].count;
        else
            row->points[++last] = row->points[i];
    }
    row->len = last + 1;
}

static struct error *add_point(struct count_values *op, struct value_row *row, uint32_t step)
{
    if (row->len > 0 && row->points[row->len - 1].step == step) {
        row->points[row->len - 1].count++;
        return NULL;
    }
    if (row->len == row->cap) {
        settle_points(row);
        if (2 * (size_t)row->len >= row->cap) {
            size_t cap = size_max(2 * (size_t)row->cap, POINTS_AT_FIRST);
            struct step_count *points = arena_try_alloc(op->groups.arena, cap * sizeof(*points));
            if (!points)
                return arena_status(op->groups.arena);
            if (row->len > 0)
                memcpy(points, row->points, row->len * sizeof(*points));
            struct error *err = execution_hold(op->execution, cap - row->cap);
            op->held += cap - row->cap;
            row->points = points;
            row->cap = (uint32_t)cap;
            if (err)
                return err;
        }
    }
    row->points[row->len++] = (struct step_count){step, 1};
    return NULL;
}

/* The row of a value under the labels of a series. */
static struct error *find_row(struct count_values *op, struct labels labels, struct str value,
                              struct arena *scratch, struct value_row **out)
{
    struct group *group;
    struct labels_builder builder = labels_builder_from(scratch, labels);
    labels_builder_set(&builder, op->value_label, value);
    struct error *err = groups_find_labels(&op->groups, labels_builder_finish(&builder), &group);
    *out = err ? NULL : container_of(group, struct value_row, base);
    return err;
}

static void print_value(struct buf *out, double value, const struct histogram *histogram)
{
    buf_clear(out);
    if (histogram)
        histogram_print(out, histogram);
    else
        float_append(out, value, FLOAT_PLAIN);
}

static struct error *fold_row(struct count_values *op, const struct step_batch *batch, size_t row,
                              struct arena *scratch, struct buf *text)
{
    const double *values = step_batch_values(batch, row);
    const uint64_t *present = step_batch_present(batch, row);
    struct histogram **histograms = step_batch_histograms(batch, row);
    struct labels labels = execution_labels(op->execution, batch, row, scratch);
    struct value_row *found = NULL;
    double last = 0;
    for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
        if (!step_bit_get(present, step))
            continue;
        struct histogram *histogram = histograms ? histograms[step] : NULL;
        struct error *err = NULL;
        /* Most values are those of the step before. */
        if (!found || histogram || memcmp(&last, &values[step], sizeof(last)) != 0) {
            print_value(text, values[step], histogram);
            err = find_row(op, labels, buf_str(text), scratch, &found);
            last = values[step];
        }
        if (!err)
            err = add_point(op, found, step);
        if (err)
            return err;
        if (histogram)
            found = NULL;
    }
    return NULL;
}

static struct error *count_values_fold(void *self, struct context *ctx, struct step_batch *batch,
                                       struct arena *arena)
{
    struct count_values *op = self;
    struct arena *scratch = arena_create(op->execution->budget);
    struct buf text = {0};
    struct error *err = NULL;
    for (size_t row = 0; row < batch->row_count && !err; row++) {
        err = fold_row(op, batch, row, scratch, &text);
        if (!err)
            err = arena_status(scratch);
        arena_reset(scratch);
    }
    buf_deinit(&text);
    arena_unref(scratch);
    return err;
}

static void row_write(struct value_row *row, struct step_batch *batch, size_t at)
{
    double *values = step_batch_values(batch, at);
    memset(values, 0, batch->grid->count * sizeof(*values));
    batch->labels[at] = row->base.labels;
    settle_points(row);
    for (uint32_t i = 0; i < row->len; i++) {
        values[row->points[i].step] = row->points[i].count;
        step_bit_set(step_batch_present(batch, at), row->points[i].step);
    }
    step_batch_trim_row(batch, at);
}

static struct error *count_values_next(struct operator* base, struct context *ctx,
                                       struct arena *arena, struct step_batch **out)
{
    struct count_values *op = container_of(base, struct count_values, base);
    struct error *err = NULL;
    if (!op->is_folded)
        err = operator_drain(op->input, op->execution, ctx, count_values_fold, op);
    op->is_folded = true;
    size_t rows = size_min(op->groups.items.len - op->given, step_batch_rows_max(base->grid));
    if (err || rows == 0)
        return err;
    err = step_batch_create(arena, base->grid, rows, out);
    if (err) {
        *out = NULL;
        return err;
    }
    for (size_t row = 0; row < rows; row++)
        row_write(container_of(op->groups.items.items[op->given + row], struct value_row, base),
                  *out, row);
    op->given += rows;
    return NULL;
}

static void count_values_explain(struct operator* base, struct buf *out)
{
    operator_explain(container_of(base, struct count_values, base)->input, out);
    buf_append_cstr(out, " | count_values");
}

static void count_values_free(struct operator* base)
{
    struct count_values *op = container_of(base, struct count_values, base);
    execution_release(op->execution, op->held);
    operator_free(op->input);
    groups_deinit(&op->groups);
    arena_unref(op->arena);
    free(op);
}

static const struct operator_ops count_values_ops = {count_values_next, count_values_explain,
                                                     count_values_free};

/* The grouping labels, and the value's where they say what is kept. */
static void add_value_label(struct count_values *op, const struct plan_aggregate *aggregate)
{
    op->grouping = *aggregate;
    if (aggregate->without)
        return;
    struct str *labels = arena_array(op->arena, aggregate->label_count + 1, sizeof(*labels));
    size_t count = 0, at = 0;
    while (at < aggregate->label_count && str_compare(aggregate->labels[at], op->value_label) < 0)
        labels[count++] = aggregate->labels[at++];
    labels[count++] = op->value_label;
    if (at < aggregate->label_count && str_equal(aggregate->labels[at], op->value_label))
        at++;
    while (at < aggregate->label_count)
        labels[count++] = aggregate->labels[at++];
    op->grouping.labels = labels;
    op->grouping.label_count = count;
}

struct error *count_values_create(struct execution *execution, const struct plan_node *node,
                                  struct operator* input, struct operator** out)
{
    struct count_values *op = xcalloc(1, sizeof(*op));
    op->base = (struct operator){&count_values_ops, node->grid};
    op->execution = execution;
    op->node = node;
    op->input = input;
    op->value_label = node->aggregate.param->string;
    op->arena = arena_create(execution->budget);
    add_value_label(op, &node->aggregate);
    groups_init(&op->groups, execution, &op->grouping, sizeof(struct value_row));
    *out = &op->base;
    if (label_name_is_valid(op->value_label))
        return NULL;
    return error_create(ERROR_QUERY, "invalid label name \"%.*s\"", STR_ARG(op->value_label));
}
