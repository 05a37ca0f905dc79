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
};

bool window_has_function(enum function_id function)
{
    return functions[function] != NULL;
}

/* ---- instant selection ---- */

static bool is_stale(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits == STALE_NAN_BITS;
}

static struct error *instant_run(const struct window_spec *spec, const struct samples *samples,
                                 struct arena *arena, struct step_batch *batch, size_t row,
                                 struct window_notes *notes)
{
    const struct step_grid *grid = batch->grid;
    bool has_histograms = samples->histograms && (!spec->read_times || spec->keep_histograms);
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
            !is_stale(samples->values[next - 1])) {
            out[step] =
                spec->read_times ? (double)times[next - 1] / 1000 : samples->values[next - 1];
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

/* Windows never see stale markers. */
static void drop_stale(struct samples *samples)
{
    size_t kept = 0;
    while (kept < samples->count && !is_stale(samples->values[kept]))
        kept++;
    for (size_t i = kept + 1; i < samples->count; i++) {
        if (is_stale(samples->values[i]))
            continue;
        samples->times[kept] = samples->times[i];
        samples->values[kept] = samples->values[i];
        if (samples->histograms)
            samples->histograms[kept] = samples->histograms[i];
        kept++;
    }
    samples->count = size_min(kept, samples->count);
}

static bool has_histograms(const struct samples *samples)
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

struct error *window_run(const struct window_spec *spec, struct samples *samples,
                         struct arena *scratch, struct arena *arena, struct step_batch *batch,
                         size_t row, struct window_notes *notes)
{
    struct error *err = NULL;
    if (spec->range_ms == 0) {
        err = instant_run(spec, samples, arena, batch, row, notes);
        step_batch_trim_row(batch, row);
        return err;
    }
    const struct window_function *function = functions[spec->function];
    if (!function)
        bug("function %d has no windows", (int)spec->function);
    drop_stale(samples);
    if (samples->count > UINT32_MAX)
        return error_create(ERROR_LIMIT, "a series has more than %u samples", UINT32_MAX);
    if (samples->count > 0)
        err = check_params(spec, batch->grid);
    if (err)
        return err;
    struct pass pass = {
        .spec = spec,
        .grid = batch->grid,
        .arena = scratch,
        .times = samples->times,
        .values = samples->values,
        .count = samples->count,
        .range_seconds = seconds_of(spec->range_ms),
    };
    if (has_histograms(samples)) {
        err = window_mixed_run(&pass, function, samples, arena, batch, row, notes);
    } else {
        step_batch_clear_row(batch, row);
        if (function->begin)
            function->begin(&pass);
        function->each(&pass, step_batch_values(batch, row), step_batch_present(batch, row), notes);
    }
    step_batch_trim_row(batch, row);
    return err;
}
