/* sum, avg, count, min, max, group, stddev, stdvar: one accumulator a group and step, into which
 * rows are folded in the order of the series. A row is folded word by word of its presence bits:
 * steps that the group has seen before, then new ones. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/kahan.h"
#include "model/quote.h"
#include "promql/operator/histogram_steps.h"
#include "promql/operator/operator.h"
#include "promql/operator/shards.h"
#include "promql/row_store.h"

struct sums {
    struct group base;
    double *values;        /* [steps] */
    double *compensation;  /* of sum, avg */
    double *counts;        /* of avg, stddev, stdvar */
    double *means;         /* of stddev, stdvar */
    uint64_t *present;     /* steps with a float (or, where it counts, a histogram) */
    uint64_t *incremental; /* of avg: values are means by now, for their sum would overflow */
    struct histogram_steps *histograms; /* of sum, avg; NULL: none yet */
};

typedef void (*fold_step)(struct sums *sums, size_t step, double value);

struct aggregation {
    void (*fold)(struct sums *sums, const double *values, const uint64_t *present, size_t first,
                 size_t last);
    void (*finish)(const struct sums *sums, double *values, size_t first, size_t last);
    bool compensates, counts, means;
    enum { IGNORES_HISTOGRAMS, COUNTS_HISTOGRAMS, ADDS_HISTOGRAMS } histograms;
};

struct aggregate {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    const struct aggregation *aggregation;
    struct operator* input;
    struct shards shards;
    bool is_folded;
    struct arena *arena;
    struct group **groups; /* in the order of results, when all is folded */
    size_t group_count, given;
};

#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE void fold_bits(struct sums *sums, const double *values, uint64_t bits,
                                    size_t base, fold_step step)
{
    if (bits == UINT64_MAX) {
        for (size_t i = 0; i < 64; i++)
            step(sums, base + i, values[base + i]);
        return;
    }
    for (; bits; bits &= bits - 1) {
        size_t at = base + (size_t)__builtin_ctzll(bits);
        step(sums, at, values[at]);
    }
}

static ALWAYS_INLINE void fold_row(struct sums *sums, const double *values, const uint64_t *present,
                                   size_t first, size_t last, fold_step begin, fold_step add)
{
    for (size_t word = first / 64; word * 64 < last; word++) {
        uint64_t known = present[word] & sums->present[word];
        uint64_t fresh = present[word] & ~sums->present[word];
        sums->present[word] |= present[word];
        fold_bits(sums, values, known, word * 64, add);
        fold_bits(sums, values, fresh, word * 64, begin);
    }
}

static ALWAYS_INLINE void take_value(struct sums *sums, size_t step, double value)
{
    sums->values[step] = value;
}

static ALWAYS_INLINE void sum_add(struct sums *sums, size_t step, double value)
{
    kahan_add(value, &sums->values[step], &sums->compensation[step]);
}

static ALWAYS_INLINE void avg_begin(struct sums *sums, size_t step, double value)
{
    sums->values[step] = value;
    sums->counts[step] = 1;
}

/* The mean is the sum over the count while the sum is finite; then it is carried on as a mean. */
static ALWAYS_INLINE void avg_add(struct sums *sums, size_t step, double value)
{
    double count = sums->counts[step] += 1;
    double *total = &sums->values[step], *compensation = &sums->compensation[step];
    if (!step_bit_get(sums->incremental, step)) {
        double next = *total, next_compensation = *compensation;
        kahan_add(value, &next, &next_compensation);
        if (!isinf(next)) {
            *total = next;
            *compensation = next_compensation;
            return;
        }
        step_bit_set(sums->incremental, step);
        *total /= count - 1;
        *compensation /= count - 1;
    }
    double kept = (count - 1) / count;
    double mean = kept * *total, mean_compensation = kept * *compensation;
    kahan_add(value / count, &mean, &mean_compensation);
    *total = mean;
    *compensation = mean_compensation;
}

static ALWAYS_INLINE void min_add(struct sums *sums, size_t step, double value)
{
    if (sums->values[step] > value || isnan(sums->values[step]))
        sums->values[step] = value;
}

static ALWAYS_INLINE void max_add(struct sums *sums, size_t step, double value)
{
    if (sums->values[step] < value || isnan(sums->values[step]))
        sums->values[step] = value;
}

static ALWAYS_INLINE void count_begin(struct sums *sums, size_t step, double value)
{
    sums->values[step] = 1;
}

static ALWAYS_INLINE void count_add(struct sums *sums, size_t step, double value)
{
    sums->values[step] += 1;
}

static ALWAYS_INLINE void group_add_nothing(struct sums *sums, size_t step, double value)
{
}

static ALWAYS_INLINE void variance_begin(struct sums *sums, size_t step, double value)
{
    sums->values[step] = isfinite(value) ? 0 : NAN;
    sums->means[step] = value;
    sums->counts[step] = 1;
}

static ALWAYS_INLINE void variance_add(struct sums *sums, size_t step, double value)
{
    double count = sums->counts[step] += 1;
    double delta = value - sums->means[step];
    sums->means[step] += delta / count;
    sums->values[step] += delta * (value - sums->means[step]);
}

#define FOLD(name, begin, add)                                                                     \
    static void name##_fold(struct sums *sums, const double *values, const uint64_t *present,      \
                            size_t first, size_t last)                                             \
    {                                                                                              \
        fold_row(sums, values, present, first, last, begin, add);                                  \
    }

FOLD(sum, take_value, sum_add)
FOLD(avg, avg_begin, avg_add)
FOLD(min, take_value, min_add)
FOLD(max, take_value, max_add)
FOLD(count, count_begin, count_add)
FOLD(group, count_begin, group_add_nothing)
FOLD(variance, variance_begin, variance_add)

static void sum_finish(const struct sums *sums, double *values, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        values[i] += sums->compensation[i];
}

static void avg_finish(const struct sums *sums, double *values, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        if (step_bit_get(sums->incremental, i))
            values[i] += sums->compensation[i];
        else
            values[i] = values[i] / sums->counts[i] + sums->compensation[i] / sums->counts[i];
    }
}

static void stdvar_finish(const struct sums *sums, double *values, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        values[i] /= sums->counts[i];
}

static void stddev_finish(const struct sums *sums, double *values, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        values[i] = sqrt(values[i] / sums->counts[i]);
}

static const struct aggregation aggregations[] = {
    [AGGREGATE_SUM] = {sum_fold, sum_finish, .compensates = true, .histograms = ADDS_HISTOGRAMS},
    [AGGREGATE_AVG] = {avg_fold, avg_finish, .compensates = true, .counts = true,
                       .histograms = ADDS_HISTOGRAMS},
    [AGGREGATE_COUNT] = {count_fold, NULL, .histograms = COUNTS_HISTOGRAMS},
    [AGGREGATE_MIN] = {min_fold, NULL},
    [AGGREGATE_MAX] = {max_fold, NULL},
    [AGGREGATE_GROUP] = {group_fold, NULL, .histograms = COUNTS_HISTOGRAMS},
    [AGGREGATE_STDDEV] = {variance_fold, stddev_finish, .counts = true, .means = true},
    [AGGREGATE_STDVAR] = {variance_fold, stdvar_finish, .counts = true, .means = true},
};

/* ---- folding ---- */

static double *step_array(const struct aggregate *aggregate, struct arena *arena)
{
    return arena_zalloc(arena, (aggregate->base.grid->count + 1) * sizeof(double));
}

static uint64_t *bit_array(const struct aggregate *aggregate, struct arena *arena)
{
    return arena_zalloc(arena, (step_grid_words(aggregate->base.grid) + 1) * sizeof(uint64_t));
}

static void sums_begin(const struct aggregate *aggregate, struct sums *sums, struct arena *arena)
{
    const struct aggregation *aggregation = aggregate->aggregation;
    sums->values = step_array(aggregate, arena);
    sums->present = bit_array(aggregate, arena);
    if (aggregation->compensates)
        sums->compensation = step_array(aggregate, arena);
    if (aggregation->counts)
        sums->counts = step_array(aggregate, arena);
    if (aggregation->means)
        sums->means = step_array(aggregate, arena);
    if (aggregate->node->aggregate.op == AGGREGATE_AVG)
        sums->incremental = bit_array(aggregate, arena);
}

static bool row_has_histograms(const struct step_batch *batch, size_t row)
{
    struct histogram **histograms = step_batch_histograms(batch, row);
    for (uint32_t step = batch->first[row]; histograms && step < batch->last[row]; step++)
        if (histograms[step] && step_bit_get(step_batch_present(batch, row), step))
            return true;
    return false;
}

static void note_ignored(struct aggregate *aggregate)
{
    annotations_add(aggregate->execution->annotations, ANNOTATION_INFO,
                    aggregate->node->aggregate.input->position,
                    "ignored histogram in %s aggregation",
                    aggregate_op_text(aggregate->node->aggregate.op));
}

static void note_addition(struct aggregate *aggregate, const struct step_batch *batch, size_t row,
                          struct arena *arena, unsigned notes)
{
    struct annotations *annotations = aggregate->execution->annotations;
    struct position position = aggregate->node->aggregate.input->position;
    if (notes & HISTOGRAM_STEPS_RECONCILED)
        annotations_add(annotations, ANNOTATION_INFO, position,
                        "mismatched custom buckets were reconciled during aggregation");
    if (!(notes & HISTOGRAM_STEPS_INCOMPATIBLE))
        return;
    struct labels labels = aggregate->execution->delayed_names
                               ? batch->labels[row]
                               : execution_labels(aggregate->execution, batch, row, arena);
    struct buf name = {0};
    quote_append(&name, labels_get(labels, metadata_labels[0]));
    annotations_add(annotations, ANNOTATION_WARNING, position,
                    "vector contains a mix of histograms with exponential and custom buckets "
                    "schemas for metric name %.*s",
                    STR_ARG(buf_str(&name)));
    buf_deinit(&name);
}

/* Takes the histograms of a row out of its presence bits, as the aggregation treats them. */
static void set_histograms_apart(struct aggregate *aggregate, struct sums *sums,
                                 struct arena *arena, struct step_batch *batch, size_t row)
{
    bool adds = aggregate->aggregation->histograms == ADDS_HISTOGRAMS;
    if (adds && !sums->histograms && row_has_histograms(batch, row))
        sums->histograms = histogram_steps_create(arena, aggregate->base.grid,
                                                  aggregate->node->aggregate.op == AGGREGATE_AVG);
    if (adds && sums->histograms) {
        unsigned notes = histogram_steps_add(sums->histograms, sums->present, batch, row);
        note_addition(aggregate, batch, row, arena, notes);
    }
    if (aggregate->aggregation->histograms != IGNORES_HISTOGRAMS || !batch->histograms)
        return;
    uint64_t *present = step_batch_present(batch, row);
    bool any = false;
    for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
        if (!step_bit_get(present, step) || !step_batch_histograms(batch, row)[step])
            continue;
        any = true;
        step_bit_clear(present, step);
    }
    if (any)
        note_ignored(aggregate);
}

static struct error *aggregate_fold(void *self, struct groups *groups, struct group *group,
                                    struct step_batch *batch, size_t row)
{
    struct aggregate *aggregate = self;
    struct sums *sums = container_of(group, struct sums, base);
    if (!sums->values)
        sums_begin(aggregate, sums, groups->arena);
    group->drop_name |= batch->drop_name[row];
    if (batch->histograms || sums->histograms)
        set_histograms_apart(aggregate, sums, groups->arena, batch, row);
    aggregate->aggregation->fold(sums, step_batch_values(batch, row),
                                 step_batch_present(batch, row), batch->first[row],
                                 batch->last[row]);
    return NULL;
}

/* ---- results ---- */

/* Puts the histograms of a group into its row. Steps where they met floats have no result. */
static struct error *write_histograms(struct aggregate *aggregate, struct sums *sums,
                                      struct step_batch *batch, size_t row, struct arena *arena)
{
    struct annotations *annotations = aggregate->execution->annotations;
    struct position position = aggregate->node->aggregate.input->position;
    uint64_t *present = step_batch_present(batch, row);
    uint64_t mixed = 0;
    struct error *err = step_batch_add_histograms(batch, arena);
    if (err)
        return err;
    arena_keep(arena, sums->histograms->arena);
    for (size_t word = 0; word < step_grid_words(aggregate->base.grid); word++) {
        mixed |= sums->present[word] & sums->histograms->seen[word];
        present[word] &= ~sums->histograms->seen[word];
    }
    if (mixed)
        annotations_add(annotations, ANNOTATION_WARNING, position,
                        "encountered a mix of histograms and floats for aggregation");
    if (histogram_steps_finish(sums->histograms, sums->present, batch, row))
        annotations_add(annotations, ANNOTATION_WARNING, position,
                        "conflicting counter resets during histogram aggregation");
    return arena_status(sums->histograms->arena);
}

static struct error *group_write(struct aggregate *aggregate, struct sums *sums,
                                 struct step_batch *batch, size_t row, struct arena *arena)
{
    const struct step_grid *grid = aggregate->base.grid;
    batch->labels[row] = sums->base.labels;
    batch->drop_name[row] = aggregate->execution->delayed_names && sums->base.drop_name;
    double *values = step_batch_values(batch, row);
    memcpy(values, sums->values, grid->count * sizeof(*values));
    memcpy(step_batch_present(batch, row), sums->present,
           step_grid_words(grid) * sizeof(*sums->present));
    step_batch_trim_row(batch, row);
    if (aggregate->aggregation->finish)
        aggregate->aggregation->finish(sums, values, batch->first[row], batch->last[row]);
    if (!sums->histograms)
        return NULL;
    struct error *err = write_histograms(aggregate, sums, batch, row, arena);
    step_batch_trim_row(batch, row);
    return err;
}

static struct error *aggregate_next(struct operator* base, struct context *ctx, struct arena *arena,
                                    struct step_batch **out)
{
    struct aggregate *aggregate = container_of(base, struct aggregate, base);
    struct error *err = NULL;
    if (!aggregate->is_folded) {
        err = shards_drain(&aggregate->shards, aggregate->input, ctx);
        aggregate->is_folded = true;
        if (err) /* workers may still be folding */
            return err;
        aggregate->groups =
            shards_groups(&aggregate->shards, aggregate->arena, &aggregate->group_count);
    }
    size_t rows =
        size_min(aggregate->group_count - aggregate->given, step_batch_rows_max(base->grid));
    if (err || rows == 0)
        return err;
    struct step_batch *batch;
    err = step_batch_create(arena, base->grid, rows, &batch);
    for (size_t row = 0; row < rows && !err; row++) {
        struct group *group = aggregate->groups[aggregate->given + row];
        err = group_write(aggregate, container_of(group, struct sums, base), batch, row, arena);
    }
    if (err)
        return err;
    aggregate->given += rows;
    step_batch_drop_empty_rows(batch);
    *out = batch;
    return NULL;
}

static void aggregate_explain(struct operator* base, struct buf *out)
{
    struct aggregate *aggregate = container_of(base, struct aggregate, base);
    operator_explain(aggregate->input, out);
    buf_printf(out, " | %s", aggregate_op_text(aggregate->node->aggregate.op));
}

static void aggregate_free(struct operator* base)
{
    struct aggregate *aggregate = container_of(base, struct aggregate, base);
    operator_free(aggregate->input);
    shards_deinit(&aggregate->shards);
    arena_unref(aggregate->arena);
    free(aggregate);
}

static const struct operator_ops aggregate_ops = {aggregate_next, aggregate_explain,
                                                  aggregate_free};

struct operator* aggregate_create(struct execution *execution, const struct plan_node *node,
                                  struct operator* input)
{
    struct aggregate *aggregate = xcalloc(1, sizeof(*aggregate));
    aggregate->base = (struct operator){&aggregate_ops, node->grid};
    aggregate->execution = execution;
    aggregate->node = node;
    aggregate->aggregation = &aggregations[node->aggregate.op];
    aggregate->input = input;
    aggregate->arena = arena_create(execution->budget);
    shards_init(&aggregate->shards, execution, &node->aggregate, sizeof(struct sums),
                aggregate_fold, aggregate);
    shards_attach(&aggregate->shards, input);
    return &aggregate->base;
}
