/* Rows that have become equal, mostly because they lost their names: those that have no step in
 * common are one row, others are an error. All rows have to wait, for an equal one may come last.
 */
#include <stdlib.h>

#include "base/hash_index.h"
#include "base/memory.h"
#include "promql/operator/operator.h"
#include "promql/row_store.h"

struct merge_rows {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    struct operator* input;
    struct row_store rows;
    struct hash_index index;
    bool is_done;
    size_t at;
};

static struct stored_row *find_equal(const struct merge_rows *merge, struct labels labels,
                                     uint64_t hash)
{
    size_t at;
    struct stored_row *row = hash_index_first(&merge->index, hash, &at);
    while (row && !labels_equal(row->labels, labels))
        row = hash_index_next(&merge->index, hash, &at);
    return row;
}

static struct error *merge_fold(void *self, struct context *ctx, struct step_batch *batch,
                                struct arena *arena)
{
    struct merge_rows *merge = self;
    for (size_t row = 0; row < batch->row_count; row++) {
        struct labels labels = execution_labels(merge->execution, batch, row, arena);
        uint64_t hash = labels_hash(labels);
        struct stored_row *stored = find_equal(merge, labels, hash);
        struct error *err = NULL;
        if (!stored) {
            err = row_store_add(&merge->rows, batch, row, arena, &stored);
            if (!err)
                err = hash_index_add(&merge->index, hash, stored);
        } else {
            bool joined = false;
            err = row_store_join(&merge->rows, stored, batch, row, arena, &joined);
            if (!err && !joined)
                err = error_create(ERROR_QUERY,
                                   "vector cannot contain metrics with the same labelset");
        }
        if (err)
            return err;
    }
    return NULL;
}

static struct error *merge_next(struct operator* base, struct context *ctx, struct arena *arena,
                                struct step_batch **out)
{
    struct merge_rows *merge = container_of(base, struct merge_rows, base);
    struct error *err = NULL;
    if (!merge->is_done)
        err = operator_drain(merge->input, merge->execution, ctx, merge_fold, merge);
    merge->is_done = true;
    return err ? err : row_store_batch(&merge->rows, &merge->at, arena, out);
}

static void merge_explain(struct operator* base, struct buf *out)
{
    operator_explain(container_of(base, struct merge_rows, base)->input, out);
    buf_append_cstr(out, " | merge rows");
}

static void merge_free(struct operator* base)
{
    struct merge_rows *merge = container_of(base, struct merge_rows, base);
    operator_free(merge->input);
    row_store_deinit(&merge->rows);
    hash_index_deinit(&merge->index);
    free(merge);
}

static const struct operator_ops merge_ops = {merge_next, merge_explain, merge_free};

struct operator* merge_rows_create(struct execution *execution, const struct plan_node *node,
                                   struct operator* input)
{
    struct merge_rows *merge = xcalloc(1, sizeof(*merge));
    merge->base = (struct operator){&merge_ops, node->grid};
    merge->execution = execution;
    merge->node = node;
    merge->input = input;
    merge->index.budget = execution->budget;
    row_store_init(&merge->rows, execution, node->grid);
    return &merge->base;
}
