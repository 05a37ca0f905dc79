#include "promql/step_batch.h"

#include <string.h>

struct error *step_batch_create(struct arena *arena, const struct step_grid *grid, size_t rows,
                                struct step_batch **out)
{
    size_t words = rows * step_grid_words(grid);
    struct step_batch *batch = arena_zalloc(arena, sizeof(*batch));
    batch->grid = grid;
    batch->row_count = rows;
    batch->labels = arena_zalloc(arena, (rows + 1) * sizeof(*batch->labels));
    batch->drop_name = arena_zalloc(arena, rows + 1);
    batch->first = arena_zalloc(arena, (rows + 1) * sizeof(*batch->first));
    batch->last = arena_zalloc(arena, (rows + 1) * sizeof(*batch->last));
    batch->values = arena_try_alloc(arena, (rows * grid->count + 1) * sizeof(*batch->values));
    batch->present = arena_try_alloc(arena, (words + 1) * sizeof(*batch->present));
    if (!batch->values || !batch->present)
        return arena_status(arena);
    memset(batch->present, 0, words * sizeof(*batch->present));
    *out = batch;
    return NULL;
}

struct error *step_batch_add_histograms(struct step_batch *batch, struct arena *arena)
{
    if (batch->histograms)
        return NULL;
    size_t size = (batch->row_count * batch->grid->count + 1) * sizeof(struct histogram *);
    batch->histograms = arena_try_alloc(arena, size);
    if (!batch->histograms)
        return arena_status(arena);
    memset(batch->histograms, 0, size);
    return NULL;
}

void step_batch_clear_row(struct step_batch *batch, size_t row)
{
    memset(step_batch_present(batch, row), 0, step_grid_words(batch->grid) * sizeof(uint64_t));
    batch->first[row] = batch->last[row] = 0;
    if (batch->histograms)
        memset(step_batch_histograms(batch, row), 0,
               batch->grid->count * sizeof(struct histogram *));
}

void step_batch_trim_row(struct step_batch *batch, size_t row)
{
    const uint64_t *present = step_batch_present(batch, row);
    size_t words = step_grid_words(batch->grid), low = 0, high = words;
    while (low < words && present[low] == 0)
        low++;
    while (high > low && present[high - 1] == 0)
        high--;
    batch->first[row] = batch->last[row] = 0;
    if (low == high)
        return;
    batch->first[row] = (uint32_t)(low * 64) + (uint32_t)__builtin_ctzll(present[low]);
    batch->last[row] = (uint32_t)(high * 64) - (uint32_t)__builtin_clzll(present[high - 1]);
}

size_t step_batch_row_points(const struct step_batch *batch, size_t row)
{
    const uint64_t *present = step_batch_present(batch, row);
    size_t points = 0;
    for (size_t i = batch->first[row] / 64; i * 64 < batch->last[row]; i++)
        points += (size_t)__builtin_popcountll(present[i]);
    return points;
}

bool step_batch_has_histograms(const struct step_batch *batch)
{
    for (size_t row = 0; batch->histograms && row < batch->row_count; row++) {
        struct histogram **histograms = step_batch_histograms(batch, row);
        for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
            if (histograms[step] && step_bit_get(step_batch_present(batch, row), step))
                return true;
        }
    }
    return false;
}

void step_batch_drop_histograms(struct step_batch *batch)
{
    if (!batch->histograms)
        return;
    for (size_t row = 0; row < batch->row_count; row++) {
        struct histogram **histograms = step_batch_histograms(batch, row);
        for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
            if (histograms[step])
                step_bit_clear(step_batch_present(batch, row), step);
        }
        step_batch_trim_row(batch, row);
    }
    batch->histograms = NULL;
}

void step_batch_move_row(struct step_batch *batch, size_t from, size_t to)
{
    if (from == to)
        return;
    size_t words = step_grid_words(batch->grid), count = batch->grid->count;
    size_t first = batch->first[from], span = batch->last[from] - first;
    batch->labels[to] = batch->labels[from];
    batch->drop_name[to] = batch->drop_name[from];
    batch->first[to] = batch->first[from];
    batch->last[to] = batch->last[from];
    memcpy(batch->values + to * count + first, batch->values + from * count + first,
           span * sizeof(*batch->values));
    memcpy(batch->present + to * words, batch->present + from * words,
           words * sizeof(*batch->present));
    if (batch->histograms)
        memcpy(batch->histograms + to * count, batch->histograms + from * count,
               count * sizeof(struct histogram *));
}

void step_batch_drop_empty_rows(struct step_batch *batch)
{
    size_t kept = 0;
    for (size_t row = 0; row < batch->row_count; row++) {
        if (batch->first[row] != batch->last[row])
            step_batch_move_row(batch, row, kept++);
    }
    batch->row_count = kept;
}
