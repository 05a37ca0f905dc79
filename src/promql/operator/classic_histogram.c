/* histogram_quantile() and histogram_fraction() of classic histograms: series that differ in `le`
 * alone are the buckets of one. They need not come one after another, so all rows wait. */
#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/hash_index.h"
#include "base/memory.h"
#include "codec/float_text.h"
#include "model/quote.h"
#include "promql/operator/operator.h"
#include "promql/quantile.h"
#include "promql/row_store.h"

enum { HISTOGRAM_SCALARS_MAX = 2 };

struct bucket_row {
    double upper_bound;
    struct stored_row *stored;
    struct bucket_row *next;
};

struct bucket_group {
    struct labels labels; /* without le */
    struct bucket_row *first, **last;
    size_t count;
};

struct classic_histogram {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    struct operator* input;
    struct scalar scalars[HISTOGRAM_SCALARS_MAX];
    size_t scalar_count;
    struct row_store rows;
    struct hash_index index;
    VEC(struct bucket_group *) groups;
    bool is_folded;
    size_t given;
};

static const struct str bucket_label = STR_INIT("le");

static const struct plan_node *vector_arg(const struct classic_histogram *histogram)
{
    return histogram->node->call.args[histogram->node->call.arg_count - 1];
}

/* Metric names are spoken of only while they are still there. */
static struct str name_of(const struct classic_histogram *histogram, struct labels labels)
{
    return histogram->execution->delayed_names ? labels_get(labels, metadata_labels[0]) : STR("");
}

static void warn_of_bound(const struct classic_histogram *histogram, struct labels labels,
                          struct str bound)
{
    struct str metric_name = name_of(histogram, labels);
    struct buf text = {0};
    quote_append(&text, bound);
    if (metric_name.len > 0) {
        buf_append_cstr(&text, " for metric name ");
        quote_append(&text, metric_name);
    }
    annotations_add(
        histogram->execution->annotations, ANNOTATION_WARNING, vector_arg(histogram)->position,
        "bucket label \"le\" is missing or has a malformed value of %.*s", STR_ARG(buf_str(&text)));
    buf_deinit(&text);
}

static struct error *find_group(struct classic_histogram *histogram, struct labels labels,
                                struct arena *scratch, struct bucket_group **out)
{
    struct labels key = labels_without(scratch, labels, &bucket_label, 1);
    uint64_t hash = hash_bytes(key.data, key.len);
    size_t at;
    struct bucket_group *group = hash_index_first(&histogram->index, hash, &at);
    while (group && !labels_equal(group->labels, key))
        group = hash_index_next(&histogram->index, hash, &at);
    *out = group;
    if (group)
        return NULL;
    group = arena_zalloc(histogram->rows.arena, sizeof(*group));
    group->labels = labels_copy(histogram->rows.arena, key);
    group->last = &group->first;
    *out = group;
    if (!vec_push(&histogram->groups, group))
        return vec_status(&histogram->groups);
    return hash_index_add(&histogram->index, hash, group);
}

static struct error *add_bucket(struct classic_histogram *histogram, struct step_batch *batch,
                                size_t row, double upper_bound, struct arena *arena)
{
    struct bucket_group *group;
    struct labels labels = execution_labels(histogram->execution, batch, row, arena);
    struct error *err = find_group(histogram, labels, arena, &group);
    if (err)
        return err;
    struct bucket_row *bucket = arena_zalloc(histogram->rows.arena, sizeof(*bucket));
    bucket->upper_bound = upper_bound;
    *group->last = bucket;
    group->last = &bucket->next;
    group->count++;
    return row_store_add(&histogram->rows, batch, row, arena, &bucket->stored);
}

static struct error *histogram_fold(void *self, struct context *ctx, struct step_batch *batch,
                                    struct arena *arena)
{
    struct classic_histogram *histogram = self;
    if (step_batch_has_histograms(batch))
        return error_create(ERROR_QUERY, "%.*s() is not supported for native histograms yet",
                            STR_ARG(histogram->node->call.function->name));
    for (size_t row = 0; row < batch->row_count; row++) {
        struct str text = labels_get(batch->labels[row], bucket_label);
        double bound;
        if (batch->first[row] == batch->last[row])
            continue;
        if (!float_from_str(text, &bound) || isnan(bound)) {
            warn_of_bound(histogram, batch->labels[row], text);
            continue;
        }
        struct error *err = add_bucket(histogram, batch, row, bound, arena);
        if (err)
            return err;
    }
    return NULL;
}

static void warn_of_quantiles(const struct classic_histogram *histogram)
{
    char text[ANNOTATION_FLOAT_MAX];
    if (histogram->node->call.function->id != FUNCTION_HISTOGRAM_QUANTILE)
        return;
    for (size_t step = 0; step < histogram->base.grid->count; step++) {
        double q = histogram->scalars[0].values[step];
        if (!(q >= 0 && q <= 1))
            annotations_add(histogram->execution->annotations, ANNOTATION_WARNING,
                            histogram->node->call.args[0]->position,
                            "quantile value should be between 0 and 1, got %s",
                            annotation_float(text, q));
    }
}

static double compute_step(const struct classic_histogram *histogram,
                           const struct bucket_group *group, size_t step, struct bucket *buckets,
                           size_t count)
{
    double first = histogram->scalars[0].values[step];
    if (histogram->node->call.function->id == FUNCTION_HISTOGRAM_FRACTION)
        return bucket_fraction(first, histogram->scalars[1].values[step], buckets, count);
    struct bucket_repair repair;
    double value = bucket_quantile(first, buckets, count, &repair);
    if (repair.forced)
        annotations_add_repair(histogram->execution->annotations, vector_arg(histogram)->position,
                               name_of(histogram, group->labels),
                               step_grid_time(histogram->base.grid, step), &repair);
    return value;
}

static void group_write(const struct classic_histogram *histogram, const struct bucket_group *group,
                        struct step_batch *batch, size_t row, struct bucket *buckets)
{
    double *values = step_batch_values(batch, row);
    batch->labels[row] = group->labels;
    batch->drop_name[row] = 1;
    for (size_t step = 0; step < batch->grid->count; step++) {
        size_t count = 0;
        for (const struct bucket_row *bucket = group->first; bucket; bucket = bucket->next) {
            if (stored_has(bucket->stored, step))
                buckets[count++] = (struct bucket){
                    bucket->upper_bound, bucket->stored->values[step - bucket->stored->first]};
        }
        values[step] = 0;
        if (count == 0)
            continue;
        values[step] = compute_step(histogram, group, step, buckets, count);
        step_bit_set(step_batch_present(batch, row), step);
    }
    step_batch_trim_row(batch, row);
}

static struct error *write_groups(struct classic_histogram *histogram, struct arena *arena,
                                  struct step_batch *batch)
{
    for (size_t row = 0; row < batch->row_count; row++) {
        const struct bucket_group *group = histogram->groups.items[histogram->given + row];
        struct bucket *buckets = arena_try_alloc(arena, (group->count + 1) * sizeof(*buckets));
        if (!buckets)
            return arena_status(arena);
        group_write(histogram, group, batch, row, buckets);
    }
    histogram->given += batch->row_count;
    return NULL;
}

static struct error *histogram_start(struct classic_histogram *histogram, struct context *ctx)
{
    struct error *err = NULL;
    for (size_t i = 0; i < histogram->scalar_count && !err; i++)
        err = scalar_read(histogram->execution, &histogram->scalars[i], ctx);
    if (err)
        return err;
    warn_of_quantiles(histogram);
    return operator_drain(histogram->input, histogram->execution, ctx, histogram_fold, histogram);
}

static struct error *histogram_next(struct operator* base, struct context *ctx, struct arena *arena,
                                    struct step_batch **out)
{
    struct classic_histogram *histogram = container_of(base, struct classic_histogram, base);
    struct error *err = histogram->is_folded ? NULL : histogram_start(histogram, ctx);
    histogram->is_folded = true;
    size_t rows =
        size_min(histogram->groups.len - histogram->given, step_batch_rows_max(base->grid));
    if (err || rows == 0)
        return err;
    err = step_batch_create(arena, base->grid, rows, out);
    if (!err)
        err = write_groups(histogram, arena, *out);
    if (err)
        *out = NULL;
    return err;
}

static void histogram_explain(struct operator* base, struct buf *out)
{
    struct classic_histogram *histogram = container_of(base, struct classic_histogram, base);
    operator_explain(histogram->input, out);
    buf_printf(out, " | %.*s", STR_ARG(histogram->node->call.function->name));
}

static void histogram_free(struct operator* base)
{
    struct classic_histogram *histogram = container_of(base, struct classic_histogram, base);
    operator_free(histogram->input);
    for (size_t i = 0; i < histogram->scalar_count; i++)
        scalar_deinit(&histogram->scalars[i]);
    vec_deinit(&histogram->groups);
    hash_index_deinit(&histogram->index);
    row_store_deinit(&histogram->rows);
    free(histogram);
}

static const struct operator_ops histogram_ops = {histogram_next, histogram_explain,
                                                  histogram_free};

struct operator* classic_histogram_create(struct execution *execution, const struct plan_node *node,
                                          struct operator* input, struct operator** scalars,
                                          size_t scalar_count)
{
    struct classic_histogram *histogram = xcalloc(1, sizeof(*histogram));
    histogram->base = (struct operator){&histogram_ops, node->grid};
    histogram->execution = execution;
    histogram->node = node;
    histogram->input = input;
    histogram->scalar_count = size_min(scalar_count, HISTOGRAM_SCALARS_MAX);
    for (size_t i = 0; i < histogram->scalar_count; i++)
        histogram->scalars[i].op = scalars[i];
    histogram->index.budget = execution->budget;
    histogram->groups.budget = execution->budget;
    row_store_init(&histogram->rows, execution, node->grid);
    return &histogram->base;
}
