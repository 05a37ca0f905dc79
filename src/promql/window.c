#include "promql/window.h"

#include <string.h>

#include "base/memory.h"
#include "promql/window_pass.h"

static const struct window_function *const functions[FUNCTION_NUMBER] = {
    [FUNCTION_RATE] = &window_rate,
    [FUNCTION_INCREASE] = &window_increase,
    [FUNCTION_DELTA] = &window_delta,
    [FUNCTION_IRATE] = &window_irate,
    [FUNCTION_IDELTA] = &window_idelta,
    [FUNCTION_RESETS] = &window_resets,
    [FUNCTION_CHANGES] = &window_changes,
    [FUNCTION_DERIV] = &window_deriv,
    [FUNCTION_PREDICT_LINEAR] = &window_predict_linear,
    [FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING] = &window_double_exponential_smoothing,
    [FUNCTION_SUM_OVER_TIME] = &window_sum,
    [FUNCTION_AVG_OVER_TIME] = &window_avg,
    [FUNCTION_STDVAR_OVER_TIME] = &window_stdvar,
    [FUNCTION_STDDEV_OVER_TIME] = &window_stddev,
    [FUNCTION_INTEGRAL] = &window_integral,
    [FUNCTION_MAX_OVER_TIME] = &window_max,
    [FUNCTION_MIN_OVER_TIME] = &window_min,
    [FUNCTION_TS_OF_MAX_OVER_TIME] = &window_ts_of_max,
    [FUNCTION_TS_OF_MIN_OVER_TIME] = &window_ts_of_min,
    [FUNCTION_QUANTILE_OVER_TIME] = &window_quantile,
    [FUNCTION_MAD_OVER_TIME] = &window_mad,
    [FUNCTION_COUNT_OVER_TIME] = &window_count,
    [FUNCTION_FIRST_OVER_TIME] = &window_first,
    [FUNCTION_LAST_OVER_TIME] = &window_last,
    [FUNCTION_TS_OF_FIRST_OVER_TIME] = &window_ts_of_first,
    [FUNCTION_TS_OF_LAST_OVER_TIME] = &window_ts_of_last,
    [FUNCTION_PRESENT_OVER_TIME] = &window_present,
    [FUNCTION_ABSENT_OVER_TIME] = &window_present,
    [FUNCTION_XRATE] = &window_xrate,
    [FUNCTION_XINCREASE] = &window_xincrease,
    [FUNCTION_XDELTA] = &window_xdelta,
};

/* Of anchored and smoothed ranges. */
static const struct window_function *const extended_functions[FUNCTION_NUMBER] = {
    [FUNCTION_RATE] = &window_extended_rate,       [FUNCTION_INCREASE] = &window_extended_increase,
    [FUNCTION_DELTA] = &window_extended_delta,     [FUNCTION_RESETS] = &window_extended_resets,
    [FUNCTION_CHANGES] = &window_extended_changes,
};

bool window_has_function(enum function_id function)
{
    return functions[function] != NULL;
}

/* ---- instant selection ---- */

static double read_sample(const struct window_spec *spec, const struct samples *samples, size_t at)
{
    if (spec->read == WINDOW_READ_TIMES)
        return (double)samples->times[at] / 1000;
    if (spec->read == WINDOW_READ_STARTS)
        return samples->starts ? (double)samples->starts[at] / 1000 : 0;
    return samples->values[at];
}

static struct error *instant_run(const struct window_spec *spec, const struct samples *samples,
                                 struct arena *arena, struct step_batch *batch, size_t row,
                                 struct window_notes *notes)
{
    const struct step_grid *grid = batch->grid;
    bool has_histograms =
        samples->histograms && (spec->read == WINDOW_READ_VALUES || spec->keep_histograms);
    struct error *err = has_histograms ? step_batch_add_histograms(batch, arena) : NULL;
    if (err)
        return err;
    step_batch_clear_row(batch, row);
    struct histogram **histograms = has_histograms ? step_batch_histograms(batch, row) : NULL;
    double *out = step_batch_values(batch, row);
    uint64_t *present = step_batch_present(batch, row);
    const int64_t *times = samples->times;
    size_t next = 0, count = samples->count;
    uint64_t word = 0;
    for (size_t step = 0; step < grid->count; step++) {
        int64_t end = int64_sub_saturating(spec->has_at ? spec->at_ms : step_grid_time(grid, step),
                                           spec->offset_ms);
        while (next < count && times[next] <= end)
            next++;
        out[step] = 0;
        if (next > 0 && times[next - 1] > int64_sub_saturating(end, spec->lookback_ms) &&
            !sample_is_stale(samples->values[next - 1])) {
            out[step] = read_sample(spec, samples, next - 1);
            if (histograms)
                histograms[step] = samples->histograms[next - 1];
            word |= (uint64_t)1 << (step % 64);
        }
        if (step % 64 == 63 || step + 1 == grid->count) {
            notes->samples += (uint64_t)__builtin_popcountll(word);
            present[step / 64] = word;
            word = 0;
        }
    }
    return NULL;
}

/* ---- the entrance ---- */

static void move_sample(struct samples *samples, size_t to, size_t from)
{
    samples->times[to] = samples->times[from];
    samples->values[to] = samples->values[from];
    if (samples->histograms)
        samples->histograms[to] = samples->histograms[from];
    if (samples->starts)
        samples->starts[to] = samples->starts[from];
}

/* Windows never see stale markers. */
static void drop_stale(struct samples *samples)
{
    size_t kept = 0;
    while (kept < samples->count && !sample_is_stale(samples->values[kept]))
        kept++;
    for (size_t i = kept + 1; i < samples->count; i++) {
        if (!sample_is_stale(samples->values[i]))
            move_sample(samples, kept++, i);
    }
    samples->count = size_min(kept, samples->count);
}

bool window_has_histograms(const struct samples *samples)
{
    for (size_t i = 0; samples->histograms && i < samples->count; i++) {
        if (samples->histograms[i])
            return true;
    }
    return false;
}

/* Go's Duration.Seconds() of milliseconds. */
static double seconds_of(int64_t ms)
{
    return (double)(ms / 1000) + (double)(ms % 1000 * 1000000) / 1e9;
}

/* The factors of double_exponential_smoothing are checked where they would be used first. */
static struct error *check_params(const struct window_spec *spec, const struct step_grid *grid)
{
    static const char *const names[] = {"smoothing factor", "trend factor"};
    static const char *const letters[] = {"sf", "tf"};
    if (spec->function != FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING)
        return NULL;
    for (size_t step = 0; step < grid->count; step++) {
        for (size_t i = 0; i < countof(names); i++) {
            double value = spec->params[i][step];
            if (value <= 0 || value >= 1)
                return error_create(ERROR_QUERY, "invalid %s. Expected: 0 < %s < 1, got: %f",
                                    names[i], letters[i], value);
        }
    }
    return NULL;
}

static bool is_x_function(enum function_id id)
{
    return id == FUNCTION_XRATE || id == FUNCTION_XINCREASE || id == FUNCTION_XDELTA;
}

static struct error *check_samples(const struct window_spec *spec, const struct samples *samples)
{
    if (samples->count > UINT32_MAX)
        return error_create(ERROR_LIMIT, "a series has more than %u samples", UINT32_MAX);
    if (is_x_function(spec->function) && window_has_histograms(samples))
        return error_create(ERROR_QUERY,
                            "native histograms are not supported in extended range functions");
    return NULL;
}

/* How far a window reaches on either side of its end. */
static void set_reach(struct pass *pass)
{
    const struct window_spec *spec = pass->spec;
    pass->before_ms = int64_add_saturating(spec->range_ms, spec->before_ms);
    if (spec->range_ms == 0)
        pass->before_ms = spec->lookback_ms;
    pass->after_ms = spec->extended == RANGE_SMOOTHED ? spec->lookback_ms : 0;
}

static struct pass make_pass(const struct window_spec *spec, const struct samples *samples,
                             const struct step_grid *grid, struct arena *scratch,
                             struct window_notes *notes)
{
    struct pass pass = {
        .spec = spec,
        .grid = grid,
        .arena = scratch,
        .notes = notes,
        .times = samples->times,
        .starts = samples->starts,
        .values = samples->values,
        .count = samples->count,
        .range_seconds = seconds_of(spec->range_ms),
    };
    set_reach(&pass);
    return pass;
}

static const struct window_function *function_of(const struct window_spec *spec)
{
    if (spec->range_ms == 0)
        return &window_smoothed;
    const struct window_function *function =
        (spec->extended == RANGE_PLAIN ? functions : extended_functions)[spec->function];
    if (!function)
        bug("function %d has no windows", (int)spec->function);
    return function;
}

static struct error *range_run(struct pass *pass, struct samples *samples, struct arena *arena,
                               struct step_batch *batch, size_t row)
{
    const struct window_function *function = function_of(pass->spec);
    struct error *err = samples->count > 0 ? check_params(pass->spec, batch->grid) : NULL;
    if (err)
        return err;
    if (window_has_histograms(samples))
        return window_mixed_run(pass, function, samples, arena, batch, row);
    step_batch_clear_row(batch, row);
    if (function->begin)
        function->begin(pass);
    function->each(pass, step_batch_values(batch, row), step_batch_present(batch, row));
    return NULL;
}

struct error *window_run(const struct window_spec *spec, struct samples *samples,
                         struct arena *scratch, struct arena *arena, struct step_batch *batch,
                         size_t row, struct window_notes *notes)
{
    bool is_smoothed = spec->extended == RANGE_SMOOTHED && spec->read == WINDOW_READ_VALUES;
    struct error *err = NULL;
    if (spec->range_ms == 0 && !is_smoothed) {
        err = instant_run(spec, samples, arena, batch, row, notes);
        step_batch_trim_row(batch, row);
        return err;
    }
    drop_stale(samples);
    err = check_samples(spec, samples);
    if (err)
        return err;
    struct pass pass = make_pass(spec, samples, batch->grid, scratch, notes);
    err = range_run(&pass, samples, arena, batch, row);
    step_batch_trim_row(batch, row);
    return err;
}

struct error *window_points(const struct window_spec *spec, int64_t step_time,
                            struct samples *samples, struct arena *arena)
{
    struct step_grid grid = {step_time, 1, 1};
    struct window_notes notes = {0};
    struct bounds bounds = {0};
    drop_stale(samples);
    struct pass pass = make_pass(spec, samples, &grid, arena, &notes);
    bounds_move(&bounds, &pass, step_time, samples->times, samples->count);
    samples->count = bounds.to - bounds.from;
    if (samples->count > 0) {
        samples->times += bounds.from;
        samples->values += bounds.from;
        samples->histograms += samples->histograms ? bounds.from : 0;
        samples->starts += samples->starts ? bounds.from : 0;
    }
    if (spec->extended == RANGE_PLAIN)
        return NULL;
    return window_extended_points(&pass, bounds.end, samples);
}
