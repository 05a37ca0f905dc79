#include "promql/operator/histogram_steps.h"

#include "model/histogram_math.h"

static uint64_t *bit_array(struct arena *arena, const struct step_grid *grid)
{
    return arena_zalloc(arena, (step_grid_words(grid) + 1) * sizeof(uint64_t));
}

struct histogram_steps *histogram_steps_create(struct arena *arena, const struct step_grid *grid,
                                               bool averages)
{
    struct histogram_steps *steps = arena_zalloc(arena, sizeof(*steps));
    steps->grid = grid;
    steps->arena = arena;
    if (averages)
        steps->means = arena_zalloc(arena, (grid->count + 1) * sizeof(*steps->means));
    else
        steps->sums = arena_zalloc(arena, (grid->count + 1) * sizeof(*steps->sums));
    steps->seen = bit_array(arena, grid);
    steps->incompatible = bit_array(arena, grid);
    steps->reset = bit_array(arena, grid);
    steps->not_reset = bit_array(arena, grid);
    return steps;
}

static unsigned add_to_sum(struct histogram_steps *steps, size_t step,
                           const struct histogram *histogram)
{
    if (steps->sums[step])
        return histogram_sum_add(steps->sums[step], histogram, steps->arena);
    steps->sums[step] = arena_alloc(steps->arena, sizeof(*steps->sums[step]));
    histogram_sum_start(steps->sums[step], histogram, steps->arena);
    return 0;
}

static unsigned add_to_mean(struct histogram_steps *steps, size_t step,
                            const struct histogram *histogram)
{
    if (steps->means[step])
        return histogram_mean_add(steps->means[step], histogram, steps->arena);
    steps->means[step] = arena_alloc(steps->arena, sizeof(*steps->means[step]));
    histogram_mean_start(steps->means[step], histogram, steps->arena);
    return 0;
}

static unsigned add_step(struct histogram_steps *steps, size_t step,
                         const struct histogram *histogram)
{
    if (histogram->reset == HISTOGRAM_RESET_YES)
        step_bit_set(steps->reset, step);
    if (histogram->reset == HISTOGRAM_RESET_NO)
        step_bit_set(steps->not_reset, step);
    unsigned notes =
        steps->sums ? add_to_sum(steps, step, histogram) : add_to_mean(steps, step, histogram);
    if (notes & HISTOGRAM_MIXED) {
        step_bit_set(steps->incompatible, step);
        return HISTOGRAM_STEPS_INCOMPATIBLE;
    }
    return notes & HISTOGRAM_RECONCILED ? HISTOGRAM_STEPS_RECONCILED : 0;
}

static bool has_total(const struct histogram_steps *steps, size_t step)
{
    return steps->sums ? steps->sums[step] != NULL : steps->means[step] != NULL;
}

unsigned histogram_steps_add(struct histogram_steps *steps, const uint64_t *floats,
                             struct step_batch *batch, size_t row)
{
    struct histogram **histograms = step_batch_histograms(batch, row);
    uint64_t *present = step_batch_present(batch, row);
    unsigned notes = 0;
    for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
        if (!step_bit_get(present, step))
            continue;
        bool is_over = step_bit_get(steps->incompatible, step);
        if (is_over || (histograms && histograms[step]))
            step_bit_clear(present, step);
        if (is_over || !histograms || !histograms[step])
            continue;
        step_bit_set(steps->seen, step);
        if (has_total(steps, step) || !step_bit_get(floats, step))
            notes |= add_step(steps, step, histograms[step]);
    }
    return notes;
}

static struct histogram *finish_step(struct histogram_steps *steps, size_t step)
{
    struct histogram *total;
    if (steps->sums) {
        histogram_sum_finish(steps->sums[step]);
        total = &steps->sums[step]->total;
    } else {
        histogram_mean_finish(steps->means[step]);
        total = &steps->means[step]->sum.total;
    }
    histogram_compact(total, steps->arena);
    return total;
}

bool histogram_steps_finish(struct histogram_steps *steps, const uint64_t *floats,
                            struct step_batch *batch, size_t row)
{
    struct histogram **histograms = step_batch_histograms(batch, row);
    uint64_t *present = step_batch_present(batch, row);
    bool collides = false;
    for (size_t word = 0; word < step_grid_words(steps->grid); word++) {
        uint64_t bits = steps->seen[word] & ~steps->incompatible[word] & ~floats[word];
        present[word] |= bits;
        collides |= (steps->reset[word] & steps->not_reset[word] & bits) != 0;
        for (; bits; bits &= bits - 1) {
            size_t step = word * 64 + (size_t)__builtin_ctzll(bits);
            histograms[step] = finish_step(steps, step);
        }
    }
    return collides;
}
