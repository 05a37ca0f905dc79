#include "promql/result.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash_index.h"

void result_init(struct result_builder *builder, struct execution *execution, struct arena *arena,
                 const struct step_grid *grid)
{
    *builder = (struct result_builder){.execution = execution, .arena = arena, .grid = grid};
    builder->rows.budget = execution->budget;
}

void result_deinit(struct result_builder *builder)
{
    execution_release(builder->execution, builder->points);
    vec_deinit(&builder->rows);
}

static struct error *grid_times(struct result_builder *builder, int64_t **out)
{
    size_t count = builder->grid->count;
    if (!builder->grid_times) {
        int64_t *times = arena_try_alloc(builder->arena, (count + 1) * sizeof(*times));
        if (!times)
            return arena_status(builder->arena);
        for (size_t step = 0; step < count; step++)
            times[step] = step_grid_time(builder->grid, step);
        builder->grid_times = times;
    }
    *out = builder->grid_times;
    return NULL;
}

static struct error *push_row(struct result_builder *builder, const struct result_series *row)
{
    if (!vec_push(&builder->rows, *row))
        return vec_status(&builder->rows);
    builder->points += row->count;
    struct error *err = execution_hold(builder->execution, row->count);
    return err ? err : arena_status(builder->arena);
}

/* The columns of a row; times are shared when it has no gaps. */
static struct error *copy_points(struct result_builder *builder, const struct step_batch *batch,
                                 size_t row, struct result_series *out)
{
    size_t first = batch->first[row], span = batch->last[row] - first;
    const uint64_t *present = step_batch_present(batch, row);
    const double *values = step_batch_values(batch, row);
    struct histogram **histograms = step_batch_histograms(batch, row);
    int64_t *times = NULL;
    struct error *err = grid_times(builder, &times);
    if (err)
        return err;
    out->count = step_batch_row_points(batch, row);
    out->values = arena_try_alloc(builder->arena, (out->count + 1) * sizeof(*out->values));
    out->times = times + first;
    if (out->count < span)
        out->times = arena_try_alloc(builder->arena, out->count * sizeof(*out->times));
    if (histograms)
        out->histograms =
            arena_try_alloc(builder->arena, (out->count + 1) * sizeof(*out->histograms));
    if (!out->values || !out->times || (histograms && !out->histograms))
        return arena_status(builder->arena);
    if (out->count == span && !histograms) {
        memcpy(out->values, values + first, span * sizeof(*values));
        return NULL;
    }
    size_t at = 0;
    for (size_t step = first; step < first + span; step++) {
        if (!step_bit_get(present, step))
            continue;
        if (out->count < span)
            out->times[at] = times[step];
        if (histograms)
            out->histograms[at] = histograms[step];
        out->values[at++] = values[step];
    }
    return NULL;
}

static struct labels root_labels(struct result_builder *builder, const struct step_batch *batch,
                                 size_t row)
{
    struct labels labels = batch->labels[row], own = labels;
    if (batch->drop_name[row])
        own = labels_without(builder->arena, labels, metadata_labels, countof(metadata_labels));
    return own.data == labels.data ? labels_copy(builder->arena, labels) : own;
}

struct error *result_add_batch(struct result_builder *builder, const struct step_batch *batch,
                               struct arena *batch_arena)
{
    for (size_t row = 0; row < batch->row_count; row++) {
        if (batch->first[row] == batch->last[row])
            continue;
        struct result_series added = {.labels = root_labels(builder, batch, row)};
        struct error *err = copy_points(builder, batch, row, &added);
        if (!err)
            err = push_row(builder, &added);
        if (err)
            return err;
    }
    if (batch->histograms)
        arena_keep(builder->arena, batch_arena);
    return NULL;
}

struct error *result_add_samples(struct result_builder *builder, struct labels labels,
                                 const struct samples *samples, struct arena *samples_arena)
{
    size_t count = samples->count;
    struct result_series row = {.labels = labels_copy(builder->arena, labels), .count = count};
    row.times = arena_try_alloc(builder->arena, (count + 1) * sizeof(*row.times));
    row.values = arena_try_alloc(builder->arena, (count + 1) * sizeof(*row.values));
    if (samples->histograms)
        row.histograms = arena_try_alloc(builder->arena, (count + 1) * sizeof(*row.histograms));
    if (!row.times || !row.values || (samples->histograms && !row.histograms))
        return arena_status(builder->arena);
    memcpy(row.times, samples->times, count * sizeof(*row.times));
    memcpy(row.values, samples->values, count * sizeof(*row.values));
    if (samples->histograms) {
        memcpy(row.histograms, samples->histograms, count * sizeof(*row.histograms));
        arena_keep(builder->arena, samples_arena);
    }
    return push_row(builder, &row);
}

static struct error *same_labelset(void)
{
    return error_create(ERROR_QUERY, "vector cannot contain metrics with the same labelset");
}

static int row_order(const void *a, const void *b)
{
    return labels_compare(((const struct result_series *)a)->labels,
                          ((const struct result_series *)b)->labels);
}

/* Merges two rows by time into the first one. */
static struct error *join_rows(struct result_builder *builder, struct result_series *row,
                               const struct result_series *other)
{
    size_t count = row->count + other->count, i = 0, j = 0;
    bool has_histograms = row->histograms || other->histograms;
    struct result_series joined = {.labels = row->labels, .count = count};
    joined.times = arena_try_alloc(builder->arena, (count + 1) * sizeof(*joined.times));
    joined.values = arena_try_alloc(builder->arena, (count + 1) * sizeof(*joined.values));
    if (has_histograms)
        joined.histograms = arena_zalloc(builder->arena, (count + 1) * sizeof(*joined.histograms));
    if (!joined.times || !joined.values)
        return arena_status(builder->arena);
    for (size_t at = 0; at < count; at++) {
        bool both = i < row->count && j < other->count;
        if (both && row->times[i] == other->times[j])
            return same_labelset();
        bool from_row = both ? row->times[i] < other->times[j] : i < row->count;
        const struct result_series *from = from_row ? row : other;
        size_t place = from_row ? i++ : j++;
        joined.times[at] = from->times[place];
        joined.values[at] = from->values[place];
        if (from->histograms)
            joined.histograms[at] = from->histograms[place];
    }
    *row = joined;
    return NULL;
}

struct error *result_sort(struct result_builder *builder)
{
    struct result_series *rows = builder->rows.items;
    size_t count = builder->rows.len, kept = 0, ordered = 1;
    while (ordered < count && labels_compare(rows[ordered - 1].labels, rows[ordered].labels) < 0)
        ordered++;
    if (ordered >= count)
        return NULL;
    qsort(rows, count, sizeof(*rows), row_order);
    for (size_t i = 1; i < count; i++) {
        if (!labels_equal(rows[kept].labels, rows[i].labels)) {
            rows[++kept] = rows[i];
            continue;
        }
        struct error *err = join_rows(builder, &rows[kept], &rows[i]);
        if (err)
            return err;
    }
    builder->rows.len = kept + 1;
    return NULL;
}

struct error *result_check_unique(struct result_builder *builder)
{
    struct hash_index index = HASH_INDEX_INIT(builder->execution->budget);
    struct error *err = NULL;
    for (size_t i = 0; i < builder->rows.len && !err; i++) {
        struct result_series *row = &builder->rows.items[i];
        uint64_t hash = labels_hash(row->labels);
        size_t at;
        const struct result_series *other = hash_index_first(&index, hash, &at);
        while (other && !labels_equal(other->labels, row->labels))
            other = hash_index_next(&index, hash, &at);
        err = other ? same_labelset() : hash_index_add(&index, hash, row);
    }
    hash_index_deinit(&index);
    return err;
}

void result_finish(struct result_builder *builder, struct engine_result *out)
{
    size_t count = builder->rows.len;
    out->series = arena_array(builder->arena, count + 1, sizeof(*out->series));
    if (count > 0)
        memcpy(out->series, builder->rows.items, count * sizeof(*out->series));
    out->series_count = count;
}
