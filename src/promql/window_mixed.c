/* Rows with histograms: step by step and by cases. */
#include "model/histogram.h"
#include "promql/window_pass.h"

struct mixed_row {
    struct pass *pass; /* its columns hold the floats alone */
    const struct window_function *function;
    const struct samples *samples; /* all of them */
    const uint32_t *histograms_before;
    struct step_batch *batch;
    size_t row;
};

static struct error *histograms_unsupported(const struct window_spec *spec)
{
    struct str name = function_get(spec->function)->name;
    return error_create(ERROR_QUERY, "%.*s() is not supported for native histograms yet",
                        STR_ARG(name));
}

/* resets() and changes() over neighbours of different kinds. */
static struct error *mixed_changes(struct mixed_row *mixed, size_t from, size_t to, double *out)
{
    const struct samples *samples = mixed->samples;
    bool is_changes = mixed->pass->spec->function == FUNCTION_CHANGES;
    *out = 0;
    for (size_t i = from + 1; i < to; i++) {
        bool before = samples->histograms[i - 1] != NULL, now = samples->histograms[i] != NULL;
        if (before && now && !is_changes)
            return histograms_unsupported(mixed->pass->spec);
        if (before && now) {
            *out += !histogram_equal(samples->histograms[i - 1], samples->histograms[i]);
            continue;
        }
        double last = samples->values[i - 1], value = samples->values[i];
        if (before != now || (is_changes ? window_is_change(last, value) : value < last))
            *out += 1;
    }
    return NULL;
}

static struct error *mixed_difference(struct mixed_row *mixed, size_t from, size_t to, bool *has,
                                      double *out)
{
    const struct samples *samples = mixed->samples;
    *has = false;
    if (to - from < 2)
        return NULL;
    bool before = samples->histograms[to - 2] != NULL, now = samples->histograms[to - 1] != NULL;
    if (before && now)
        return histograms_unsupported(mixed->pass->spec);
    if (before || now) {
        mixed->pass->notes->notes |= NOTE_MIXED;
        return NULL;
    }
    *has = true;
    struct window window = {.times = samples->times,
                            .values = samples->values,
                            .starts = mixed->pass->starts ? samples->starts : NULL};
    *out = window_last_difference(&window, to - 2, mixed->pass->spec->function == FUNCTION_IRATE);
    return NULL;
}

/* A function for which histograms are samples like others; the window is [from, to) of all. */
static struct error *sample_at(struct mixed_row *mixed, size_t step, size_t from, size_t to,
                               bool *has, double *out)
{
    const struct samples *samples = mixed->samples;
    size_t picked = to - 1;
    *has = true;
    switch (mixed->pass->spec->function) {
    case FUNCTION_IRATE:
    case FUNCTION_IDELTA:
        return mixed_difference(mixed, from, to, has, out);
    case FUNCTION_RESETS:
    case FUNCTION_CHANGES:
        return mixed_changes(mixed, from, to, out);
    case FUNCTION_COUNT_OVER_TIME:
        *out = (double)(to - from);
        return NULL;
    case FUNCTION_TS_OF_FIRST_OVER_TIME:
        *out = (double)samples->times[from] / 1000;
        return NULL;
    case FUNCTION_TS_OF_LAST_OVER_TIME:
        *out = (double)samples->times[to - 1] / 1000;
        return NULL;
    case FUNCTION_FIRST_OVER_TIME:
        picked = from;
        break;
    case FUNCTION_LAST_OVER_TIME:
        break;
    default:
        *out = 1;
        return NULL;
    }
    *out = samples->values[picked];
    step_batch_histograms(mixed->batch, mixed->row)[step] = samples->histograms[picked];
    return NULL;
}

static struct error *mixed_step(struct mixed_row *mixed, size_t step, const struct bounds *bounds,
                                bool *has, double *out)
{
    const struct window_function *function = mixed->function;
    struct pass *pass = mixed->pass;
    if (function->rule == HISTOGRAMS_COUNT)
        return sample_at(mixed, step, bounds->from, bounds->to, has, out);
    size_t from = bounds->from - mixed->histograms_before[bounds->from];
    size_t floats = bounds->to - mixed->histograms_before[bounds->to] - from;
    size_t histograms = bounds->to - bounds->from - floats;
    *has = false;
    if (function->rule == HISTOGRAMS_ALONE && histograms > 0) {
        if (floats == 0 && histograms >= function->least)
            return histograms_unsupported(pass->spec);
        mixed->pass->notes->notes |= floats > 0 ? NOTE_MIXED : 0;
        return NULL;
    }
    if (floats > 0 && histograms > 0)
        mixed->pass->notes->notes |= NOTE_HISTOGRAMS_IGNORED;
    if (floats < function->least)
        return NULL;
    struct window window = {
        .step = step,
        .from = from,
        .count = floats,
        .times = pass->times + from,
        .starts = pass->starts ? pass->starts + from : NULL,
        .values = pass->values + from,
        .step_time = step_grid_time(pass->grid, step),
        .end = bounds->end,
    };
    *has = function->at(pass, &window, out);
    return NULL;
}

/* Splits off the floats; gives, per sample, how many histograms come before it. */
static uint32_t *split_floats(struct pass *pass, const struct samples *samples)
{
    size_t count = samples->count, floats = 0;
    int64_t *times = arena_array(pass->arena, count + 1, sizeof(*times));
    double *values = arena_array(pass->arena, count + 1, sizeof(*values));
    int64_t *starts = pass->starts ? arena_array(pass->arena, count + 1, sizeof(*starts)) : NULL;
    uint32_t *before = arena_array(pass->arena, count + 1, sizeof(*before));
    for (size_t i = 0; i < count; i++) {
        before[i] = (uint32_t)(i - floats);
        if (samples->histograms[i])
            continue;
        times[floats] = samples->times[i];
        if (starts)
            starts[floats] = samples->starts[i];
        values[floats++] = samples->values[i];
    }
    before[count] = (uint32_t)(count - floats);
    pass->times = times;
    pass->starts = starts;
    pass->values = values;
    pass->count = floats;
    return before;
}

struct error *window_mixed_run(struct pass *pass, const struct window_function *function,
                               const struct samples *samples, struct arena *arena,
                               struct step_batch *batch, size_t row)
{
    struct error *err = step_batch_add_histograms(batch, arena);
    if (err)
        return err;
    struct mixed_row mixed = {pass, function, samples, split_floats(pass, samples), batch, row};
    if (function->begin)
        function->begin(pass);
    double *out = step_batch_values(batch, row);
    uint64_t *present = step_batch_present(batch, row);
    step_batch_clear_row(batch, row);
    struct bounds bounds = {0};
    for (size_t step = 0; step < pass->grid->count && !err; step++) {
        bool has = false;
        out[step] = 0;
        bounds_move(&bounds, pass, step_grid_time(pass->grid, step), samples->times,
                    samples->count);
        pass->notes->samples += bounds.to - bounds.from;
        if (bounds.to > bounds.from)
            err = mixed_step(&mixed, step, &bounds, &has, &out[step]);
        if (has)
            step_bit_set(present, step);
    }
    return err;
}
