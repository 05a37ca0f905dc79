#include "promql/row_store.h"

#include <string.h>

enum { BATCH_VALUE_BYTES = 256 * 1024, BATCH_ROWS = 256 };

size_t step_batch_rows_max(const struct step_grid *grid)
{
    size_t rows = BATCH_VALUE_BYTES / sizeof(double) / size_max(grid->count, 1);
    return size_max(size_min(rows, BATCH_ROWS), 1);
}

void row_store_init(struct row_store *store, struct execution *execution,
                    const struct step_grid *grid)
{
    *store = (struct row_store){.execution = execution, .grid = grid};
    store->arena = arena_create(execution->budget);
    store->rows.budget = execution->budget;
}

void row_store_deinit(struct row_store *store)
{
    if (!store->arena)
        return;
    execution_release(store->execution, store->points);
    vec_deinit(&store->rows);
    arena_unref(store->arena);
    store->arena = NULL;
}

static size_t words_between(uint32_t first, uint32_t last)
{
    return first == last ? 0 : (size_t)(last - 1) / 64 - first / 64 + 1;
}

static struct error *count_points(struct row_store *store, size_t points)
{
    store->points += points;
    struct error *err = execution_hold(store->execution, points);
    return err ? err : arena_status(store->arena);
}

struct error *row_store_add(struct row_store *store, const struct step_batch *batch, size_t row,
                            struct arena *batch_arena, struct stored_row **out)
{
    uint32_t first = batch->first[row], last = batch->last[row];
    size_t span = last - first, words = words_between(first, last);
    struct stored_row *stored = arena_zalloc(store->arena, sizeof(*stored));
    struct labels labels = execution_labels(store->execution, batch, row, batch_arena);
    stored->labels = labels_copy(store->arena, labels);
    stored->drop_name = batch->drop_name[row];
    stored->first = first;
    stored->last = last;
    stored->points = step_batch_row_points(batch, row);
    stored->number = store->rows.len;
    stored->values = arena_try_alloc(store->arena, (span + 1) * sizeof(*stored->values));
    stored->present = arena_try_alloc(store->arena, (words + 1) * sizeof(*stored->present));
    if (!stored->values || !stored->present)
        return arena_status(store->arena);
    memcpy(stored->values, step_batch_values(batch, row) + first, span * sizeof(*stored->values));
    memcpy(stored->present, step_batch_present(batch, row) + first / 64,
           words * sizeof(*stored->present));
    struct histogram **histograms = step_batch_histograms(batch, row);
    if (histograms) {
        stored->histograms = arena_array(store->arena, span + 1, sizeof(*stored->histograms));
        memcpy(stored->histograms, histograms + first, span * sizeof(*stored->histograms));
        arena_keep(store->arena, batch_arena);
    }
    if (!vec_push(&store->rows, stored))
        return vec_status(&store->rows);
    *out = stored;
    return count_points(store, stored->points);
}

static bool have_common_step(const struct stored_row *stored, const struct step_batch *batch,
                             size_t row)
{
    const uint64_t *present = step_batch_present(batch, row);
    for (size_t word = batch->first[row] / 64; word * 64 < batch->last[row]; word++) {
        if (present[word] & stored_word(stored, word))
            return true;
    }
    return false;
}

/* Gives the stored row room for the steps [first, last). */
static struct error *widen(struct row_store *store, struct stored_row *row, uint32_t first,
                           uint32_t last, bool with_histograms)
{
    size_t span = last - first, words = words_between(first, last), moved = row->first - first;
    double *values = arena_try_alloc(store->arena, (span + 1) * sizeof(*values));
    uint64_t *present = arena_try_alloc(store->arena, (words + 1) * sizeof(*present));
    if (!values || !present)
        return arena_status(store->arena);
    memset(values, 0, span * sizeof(*values));
    memset(present, 0, words * sizeof(*present));
    memcpy(values + moved, row->values, (row->last - row->first) * sizeof(*values));
    memcpy(present + (row->first / 64 - first / 64), row->present,
           words_between(row->first, row->last) * sizeof(*present));
    if (with_histograms || row->histograms) {
        struct histogram **histograms =
            arena_zalloc(store->arena, (span + 1) * sizeof(*histograms));
        if (row->histograms)
            memcpy(histograms + moved, row->histograms,
                   (row->last - row->first) * sizeof(*histograms));
        row->histograms = histograms;
    }
    row->first = first;
    row->last = last;
    row->values = values;
    row->present = present;
    return NULL;
}

struct error *row_store_join(struct row_store *store, struct stored_row *row,
                             const struct step_batch *batch, size_t batch_row,
                             struct arena *batch_arena, bool *joined)
{
    uint32_t first = batch->first[batch_row], last = batch->last[batch_row];
    *joined = true;
    if (first == last)
        return NULL;
    *joined = !have_common_step(row, batch, batch_row);
    if (!*joined)
        return NULL;
    struct histogram **histograms = step_batch_histograms(batch, batch_row);
    bool is_empty = row->first == row->last;
    if (is_empty)
        row->first = row->last = first;
    if (is_empty || first < row->first) /* the earliest point has the word */
        row->drop_name = batch->drop_name[batch_row];
    uint32_t low = first < row->first ? first : row->first;
    uint32_t high = last > row->last ? last : row->last;
    struct error *err = widen(store, row, low, high, histograms != NULL);
    if (err)
        return err;
    const uint64_t *present = step_batch_present(batch, batch_row);
    const double *values = step_batch_values(batch, batch_row);
    for (uint32_t step = first; step < last; step++) {
        if (!step_bit_get(present, step))
            continue;
        row->values[step - low] = values[step];
        row->present[step / 64 - low / 64] |= (uint64_t)1 << (step % 64);
        if (histograms)
            row->histograms[step - low] = histograms[step];
    }
    if (histograms)
        arena_keep(store->arena, batch_arena);
    size_t points = step_batch_row_points(batch, batch_row);
    row->points += points;
    return count_points(store, points);
}

struct error *stored_row_write(const struct stored_row *stored, struct step_batch *batch,
                               size_t row, struct arena *arena)
{
    uint32_t first = stored->first, last = stored->last;
    batch->labels[row] = stored->labels;
    batch->drop_name[row] = stored->drop_name;
    batch->first[row] = first;
    batch->last[row] = last;
    if (first == last)
        return NULL;
    memcpy(step_batch_values(batch, row) + first, stored->values,
           (last - first) * sizeof(*stored->values));
    memcpy(step_batch_present(batch, row) + first / 64, stored->present,
           words_between(first, last) * sizeof(*stored->present));
    if (!stored->histograms)
        return NULL;
    struct error *err = step_batch_add_histograms(batch, arena);
    if (!err)
        memcpy(step_batch_histograms(batch, row) + first, stored->histograms,
               (last - first) * sizeof(*stored->histograms));
    return err;
}

struct error *row_store_batch(struct row_store *store, size_t *at, struct arena *arena,
                              struct step_batch **out)
{
    *out = NULL;
    size_t rows = size_min(step_batch_rows_max(store->grid), store->rows.len - *at);
    if (rows == 0)
        return NULL;
    struct step_batch *batch;
    struct error *err = step_batch_create(arena, store->grid, rows, &batch);
    for (size_t row = 0; row < rows && !err; row++)
        err = stored_row_write(store->rows.items[*at + row], batch, row, arena);
    if (err)
        return err;
    if (batch->histograms)
        arena_keep(arena, store->arena);
    *at += rows;
    *out = batch;
    return NULL;
}
