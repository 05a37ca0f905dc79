/* sort(), sort_desc(), sort_by_label(), sort_by_label_desc(): the order of an instant query's rows.
 * Over a range they change nothing, for rows of a matrix are ordered by labels in the end. */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "promql/operator/operator.h"
#include "promql/row_store.h"

struct sort {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    struct operator* input;
    struct row_store rows;
    bool is_sorted, by_label, descending;
    size_t at;
};

static int value_order(const void *a, const void *b, void *self)
{
    const struct sort *sort = self;
    const struct stored_row *const *left = a, *const *right = b;
    double x = (*left)->values[0], y = (*right)->values[0];
    if (isnan(x) || isnan(y)) /* last in either direction */
        return isnan(x) - isnan(y);
    if (x == y)
        return (*left)->number < (*right)->number ? -1 : 1;
    return (x < y) != sort->descending ? -1 : 1;
}

/* ---- natural order: runs of digits are compared as numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Cuts the run of digits, or of others, off the beginning. */
static struct str next_run(struct str *text)
{
    size_t len = 1;
    while (len < text->len && is_digit(text->data[len]) == is_digit(text->data[0]))
        len++;
    struct str run = {text->data, len};
    *text = (struct str){text->data + len, text->len - len};
    return run;
}

/* Whether a comes before b: runs decide at the first that differs, else the shorter text. */
static bool natural_before(struct str a, struct str b)
{
    while (a.len > 0) {
        if (b.len == 0)
            return false;
        struct str run_a = next_run(&a), run_b = next_run(&b);
        int64_t number_a, number_b;
        if (str_to_int64(run_a, &number_a) && str_to_int64(run_b, &number_b)) {
            if (number_a != number_b)
                return number_a < number_b;
        } else if (!str_equal(run_a, run_b)) {
            return str_compare(run_a, run_b) < 0;
        }
        if (a.len == 0)
            return true;
    }
    return false;
}

static int label_order(const void *a, const void *b, void *self)
{
    const struct sort *sort = self;
    const struct stored_row *const *left = a, *const *right = b;
    int order = 0;
    for (size_t i = 1; i < sort->node->call.arg_count && order == 0; i++) {
        struct str name = sort->node->call.args[i]->string;
        struct str x = labels_get((*left)->labels, name), y = labels_get((*right)->labels, name);
        if (!str_equal(x, y))
            order = natural_before(x, y) ? -1 : 1;
    }
    if (order == 0)
        order = labels_compare((*left)->labels, (*right)->labels);
    return sort->descending ? -order : order;
}

static struct error *sort_fold(void *self, struct context *ctx, struct step_batch *batch,
                               struct arena *arena)
{
    struct sort *sort = self;
    struct error *err = NULL;
    if (!sort->by_label)
        step_batch_drop_histograms(batch);
    step_batch_drop_empty_rows(batch);
    for (size_t row = 0; row < batch->row_count && !err; row++) {
        struct stored_row *stored;
        err = row_store_add(&sort->rows, batch, row, arena, &stored);
    }
    return err;
}

static struct error *sort_rows(struct sort *sort, struct context *ctx)
{
    struct error *err = operator_drain(sort->input, sort->execution, ctx, sort_fold, sort);
    if (!err && sort->rows.rows.len > 1)
        qsort_r(sort->rows.rows.items, sort->rows.rows.len, sizeof(struct stored_row *),
                sort->by_label ? label_order : value_order, sort);
    return err;
}

static struct error *sort_next(struct operator* base, struct context *ctx, struct arena *arena,
                               struct step_batch **out)
{
    struct sort *sort = container_of(base, struct sort, base);
    struct error *err = NULL;
    if (base->grid->count > 1) {
        err = operator_next(sort->input, ctx, arena, out);
        if (!err && *out && !sort->by_label)
            step_batch_drop_histograms(*out);
        return err;
    }
    if (!sort->is_sorted)
        err = sort_rows(sort, ctx);
    sort->is_sorted = true;
    return err ? err : row_store_batch(&sort->rows, &sort->at, arena, out);
}

static void sort_explain(struct operator* base, struct buf *out)
{
    struct sort *sort = container_of(base, struct sort, base);
    operator_explain(sort->input, out);
    buf_printf(out, " | %.*s", STR_ARG(sort->node->call.function->name));
}

static void sort_free(struct operator* base)
{
    struct sort *sort = container_of(base, struct sort, base);
    operator_free(sort->input);
    row_store_deinit(&sort->rows);
    free(sort);
}

static const struct operator_ops sort_ops = {sort_next, sort_explain, sort_free};

struct operator*
    sort_create(struct execution *execution, const struct plan_node *node, struct operator* input)
{
    enum function_id function = node->call.function->id;
    struct sort *sort = xcalloc(1, sizeof(*sort));
    sort->base = (struct operator){&sort_ops, node->grid};
    sort->execution = execution;
    sort->node = node;
    sort->input = input;
    sort->by_label = function == FUNCTION_SORT_BY_LABEL || function == FUNCTION_SORT_BY_LABEL_DESC;
    sort->descending = function == FUNCTION_SORT_DESC || function == FUNCTION_SORT_BY_LABEL_DESC;
    row_store_init(&sort->rows, execution, node->grid);
    if (node->grid->count > 1 && !node->is_step_invariant)
        annotations_add(execution->annotations, ANNOTATION_WARNING, node->position,
                        "sort is ineffective for range queries since results are always ordered "
                        "by labels");
    return &sort->base;
}
