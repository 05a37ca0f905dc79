#include "promql/window.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "model/histogram.h"
#include "promql/kahan.h"
#include "promql/quantile.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* The floats of a row in the window of one step: [from, from + count) of its columns. */
struct window {
    size_t step, from, count;
    const int64_t *times;
    const double *values;
    int64_t step_time, end; /* end = r: the window is (end - range_ms, end] */
};

/* One row on its way through the steps. */
struct pass {
    const struct window_spec *spec;
    const struct step_grid *grid;
    struct arena *arena;
    const int64_t *times; /* columns of floats without stale markers */
    const double *values;
    size_t count;
    double range_seconds;

    /* What some functions remember from step to step; set by their begin(). */
    uint32_t *marks; /* positions where a counter was reset; or, per sample, how many came before */
    size_t mark_count, mark_at;
    uint32_t *queue; /* positions of candidates for the maximum or minimum */
    size_t queue_head, queue_tail, queue_next;
    double *scratch;
    size_t scratch_cap;
};

/* Computes a step; false: no result there. */
typedef bool (*window_at)(struct pass *pass, const struct window *window, double *out);

/* ---- rate, increase, delta ---- */

static void find_resets(struct pass *pass)
{
    pass->marks = arena_array(pass->arena, pass->count + 1, sizeof(*pass->marks));
    pass->mark_count = pass->mark_at = 0;
    for (size_t i = 1; i < pass->count; i++) {
        pass->marks[pass->mark_count] = (uint32_t)i;
        pass->mark_count += pass->values[i] < pass->values[i - 1];
    }
}

/* The increase over the samples themselves: last - first, plus what each reset lost. */
static ALWAYS_INLINE double sampled_increase(struct pass *pass, const struct window *window,
                                             bool is_counter)
{
    double increase = window->values[window->count - 1] - window->values[0];
    if (!is_counter)
        return increase;
    while (pass->mark_at < pass->mark_count && pass->marks[pass->mark_at] <= window->from)
        pass->mark_at++;
    size_t end = window->from + window->count;
    for (size_t i = pass->mark_at; i < pass->mark_count && pass->marks[i] < end; i++)
        increase += pass->values[pass->marks[i] - 1];
    return increase;
}

static ALWAYS_INLINE bool extrapolated(struct pass *pass, const struct window *window,
                                       bool is_counter, bool is_rate, double *out)
{
    if (window->count < 2)
        return false;
    double increase = sampled_increase(pass, window, is_counter);
    int64_t first_time = window->times[0], last_time = window->times[window->count - 1];
    double to_start = (double)(first_time - (window->end - pass->spec->range_ms)) / 1000;
    double to_end = (double)(window->end - last_time) / 1000;
    double sampled = (double)(last_time - first_time) / 1000;
    double average = sampled / (double)(window->count - 1);
    double threshold = average * 1.1;

    if (to_start >= threshold)
        to_start = average / 2;
    if (is_counter && increase > 0 && window->values[0] >= 0) {
        double to_zero = sampled * (window->values[0] / increase);
        if (to_zero < to_start)
            to_start = to_zero;
    }
    if (to_end >= threshold)
        to_end = average / 2;

    double factor = (sampled + to_start + to_end) / sampled;
    if (is_rate)
        factor /= pass->range_seconds;
    *out = increase * factor;
    return true;
}

static ALWAYS_INLINE bool rate_at(struct pass *pass, const struct window *window, double *out)
{
    return extrapolated(pass, window, true, true, out);
}

static ALWAYS_INLINE bool increase_at(struct pass *pass, const struct window *window, double *out)
{
    return extrapolated(pass, window, true, false, out);
}

static ALWAYS_INLINE bool delta_at(struct pass *pass, const struct window *window, double *out)
{
    return extrapolated(pass, window, false, false, out);
}

/* ---- irate, idelta ---- */

static double last_difference(const int64_t *times, const double *values, bool is_rate)
{
    double difference = values[1];
    if (!is_rate || !(values[1] < values[0]))
        difference = values[1] - values[0];
    if (is_rate)
        difference /= (double)(times[1] - times[0]) / 1000;
    return difference;
}

static ALWAYS_INLINE bool irate_at(struct pass *pass, const struct window *window, double *out)
{
    if (window->count < 2)
        return false;
    size_t at = window->count - 2;
    *out = last_difference(window->times + at, window->values + at, true);
    return true;
}

static ALWAYS_INLINE bool idelta_at(struct pass *pass, const struct window *window, double *out)
{
    if (window->count < 2)
        return false;
    size_t at = window->count - 2;
    *out = last_difference(window->times + at, window->values + at, false);
    return true;
}

/* ---- resets, changes: sums over neighbours, so differences of running totals ---- */

static void count_resets(struct pass *pass)
{
    pass->marks = arena_array(pass->arena, pass->count + 1, sizeof(*pass->marks));
    uint32_t total = 0;
    for (size_t i = 0; i < pass->count; i++) {
        total += i > 0 && pass->values[i] < pass->values[i - 1];
        pass->marks[i] = total;
    }
}

static bool is_change(double before, double value)
{
    return value != before && !(isnan(value) && isnan(before));
}

static void count_changes(struct pass *pass)
{
    pass->marks = arena_array(pass->arena, pass->count + 1, sizeof(*pass->marks));
    uint32_t total = 0;
    for (size_t i = 0; i < pass->count; i++) {
        total += i > 0 && is_change(pass->values[i - 1], pass->values[i]);
        pass->marks[i] = total;
    }
}

static ALWAYS_INLINE bool marks_at(struct pass *pass, const struct window *window, double *out)
{
    *out = (double)(pass->marks[window->from + window->count - 1] - pass->marks[window->from]);
    return true;
}

/* ---- deriv, predict_linear, double_exponential_smoothing ---- */

struct line {
    double slope, intercept;
};

/* Least squares; x in seconds from `origin`. */
static struct line linear_regression(const struct window *window, int64_t origin)
{
    double n = 0, sum_x = 0, c_x = 0, sum_y = 0, c_y = 0, sum_xy = 0, c_xy = 0, sum_xx = 0,
           c_xx = 0;
    double first = window->values[0];
    bool is_constant = true;
    for (size_t i = 0; i < window->count; i++) {
        double y = window->values[i];
        if (i > 0 && y != first)
            is_constant = false;
        n += 1.0;
        double x = (double)(window->times[i] - origin) / 1e3;
        kahan_add(x, &sum_x, &c_x);
        kahan_add(y, &sum_y, &c_y);
        kahan_add(x * y, &sum_xy, &c_xy);
        kahan_add(x * x, &sum_xx, &c_xx);
    }
    if (is_constant)
        return isinf(first) ? (struct line){NAN, NAN} : (struct line){0, first};
    sum_x += c_x;
    sum_y += c_y;
    sum_xy += c_xy;
    sum_xx += c_xx;
    double covariance = sum_xy - sum_x * sum_y / n;
    double variance = sum_xx - sum_x * sum_x / n;
    struct line line = {.slope = covariance / variance};
    line.intercept = sum_y / n - line.slope * sum_x / n;
    return line;
}

static ALWAYS_INLINE bool deriv_at(struct pass *pass, const struct window *window, double *out)
{
    if (window->count < 2)
        return false;
    *out = linear_regression(window, window->times[0]).slope;
    return true;
}

static ALWAYS_INLINE bool predict_linear_at(struct pass *pass, const struct window *window,
                                            double *out)
{
    if (window->count < 2)
        return false;
    struct line line = linear_regression(window, window->step_time);
    *out = line.slope * pass->spec->params[0][window->step] + line.intercept;
    return true;
}

static ALWAYS_INLINE bool double_exponential_smoothing_at(struct pass *pass,
                                                          const struct window *window, double *out)
{
    if (window->count < 2)
        return false;
    double smoothing = pass->spec->params[0][window->step];
    double trend = pass->spec->params[1][window->step];
    double before = 0, smoothed = window->values[0];
    double slope = window->values[1] - window->values[0];
    for (size_t i = 1; i < window->count; i++) {
        double x = smoothing * window->values[i];
        if (i > 1) {
            double up = trend * (smoothed - before), keep = (1 - trend) * slope;
            slope = up + keep;
        }
        double y = (1 - smoothing) * (smoothed + slope);
        before = smoothed;
        smoothed = x + y;
    }
    *out = smoothed;
    return true;
}

/* ---- sums and means ---- */

static ALWAYS_INLINE bool sum_at(struct pass *pass, const struct window *window, double *out)
{
    double sum = 0, compensation = 0;
    for (size_t i = 0; i < window->count; i++)
        kahan_add(window->values[i], &sum, &compensation);
    *out = isinf(sum) ? sum : sum + compensation;
    return true;
}

/* The mean from `at` on when the sum of the values before it was finite but would not stay so. */
static double mean_without_overflow(const double *values, size_t count, size_t at, double sum,
                                    double compensation)
{
    double mean = sum / (double)at;
    compensation /= (double)at;
    for (; at < count; at++) {
        double n = (double)(at + 1);
        double kept = (n - 1) / n;
        double scaled = kept * mean, scaled_compensation = kept * compensation;
        kahan_add(values[at] / n, &scaled, &scaled_compensation);
        mean = scaled;
        compensation = scaled_compensation;
    }
    return mean + compensation;
}

static ALWAYS_INLINE bool avg_at(struct pass *pass, const struct window *window, double *out)
{
    double sum = window->values[0], compensation = 0;
    for (size_t i = 1; i < window->count; i++) {
        double next = sum, next_compensation = compensation;
        kahan_add(window->values[i], &next, &next_compensation);
        if (isinf(next)) {
            *out = mean_without_overflow(window->values, window->count, i, sum, compensation);
            return true;
        }
        sum = next;
        compensation = next_compensation;
    }
    double n = (double)window->count;
    *out = sum / n + compensation / n;
    return true;
}

static ALWAYS_INLINE double variance(const struct window *window)
{
    double n = 0, mean = 0, c_mean = 0, sum = 0, c_sum = 0;
    for (size_t i = 0; i < window->count; i++) {
        double value = window->values[i];
        n++;
        double delta = value - (mean + c_mean);
        kahan_add(delta / n, &mean, &c_mean);
        kahan_add(delta * (value - (mean + c_mean)), &sum, &c_sum);
    }
    return (sum + c_sum) / n;
}

static ALWAYS_INLINE bool stdvar_at(struct pass *pass, const struct window *window, double *out)
{
    *out = variance(window);
    return true;
}

static ALWAYS_INLINE bool stddev_at(struct pass *pass, const struct window *window, double *out)
{
    *out = sqrt(variance(window));
    return true;
}

static double nan_as_zero(double value)
{
    return isnan(value) ? 0 : value;
}

/* integral(): strategy 0 takes each interval at its left end, 1 at its right end, else at the mean
 * of both; anything that is not 0, 1 or 2 counts as 2. */
static ALWAYS_INLINE bool integral_at(struct pass *pass, const struct window *window, double *out)
{
    double strategy = pass->spec->params[0] ? pass->spec->params[0][window->step] : 2;
    double sum = 0, compensation = 0;
    for (size_t i = 1; i < window->count; i++) {
        double left = nan_as_zero(window->values[i - 1]), right = nan_as_zero(window->values[i]);
        double height = strategy == 0 ? left : right, c_height = 0;
        if (strategy != 0 && strategy != 1) {
            height = left;
            kahan_add(right, &height, &c_height);
            if (isinf(height) && !isinf(left) && !isinf(right)) {
                height = left / 2;
                c_height = 0;
                kahan_add(right / 2, &height, &c_height);
            } else {
                height /= 2;
                c_height /= 2;
            }
        }
        if (height == 0 && c_height == 0)
            continue;
        double width = (double)(window->times[i] - window->times[i - 1]) / 1000;
        compensation += c_height * width;
        kahan_add(height * width, &sum, &compensation);
    }
    *out = isinf(sum) ? sum : sum + compensation;
    return true;
}

/* ---- the largest, the smallest ----
 *
 * Candidates wait in a queue of positions: a value makes all smaller ones before it irrelevant for
 * good, so the queue is in falling order and its head is the maximum. NaNs count only where there
 * is nothing else. */

static void queue_begin(struct pass *pass)
{
    pass->queue = arena_array(pass->arena, pass->count + 1, sizeof(*pass->queue));
    pass->queue_head = pass->queue_tail = pass->queue_next = 0;
}

static ALWAYS_INLINE bool extreme_at(struct pass *pass, const struct window *window, bool is_max,
                                     double *out)
{
    const double *values = pass->values;
    size_t end = window->from + window->count;
    while (pass->queue_head < pass->queue_tail && pass->queue[pass->queue_head] < window->from)
        pass->queue_head++;
    for (size_t i = size_max(pass->queue_next, window->from); i < end; i++) {
        if (isnan(values[i]))
            continue;
        while (pass->queue_tail > pass->queue_head &&
               (is_max ? values[pass->queue[pass->queue_tail - 1]] < values[i]
                       : values[pass->queue[pass->queue_tail - 1]] > values[i]))
            pass->queue_tail--;
        if (pass->queue_head == pass->queue_tail)
            pass->queue_head = pass->queue_tail = 0;
        pass->queue[pass->queue_tail++] = (uint32_t)i;
    }
    pass->queue_next = size_max(pass->queue_next, end);
    *out = pass->queue_head < pass->queue_tail ? values[pass->queue[pass->queue_head]] : NAN;
    return true;
}

static ALWAYS_INLINE bool max_at(struct pass *pass, const struct window *window, double *out)
{
    return extreme_at(pass, window, true, out);
}

static ALWAYS_INLINE bool min_at(struct pass *pass, const struct window *window, double *out)
{
    return extreme_at(pass, window, false, out);
}

/* When the last of the largest or smallest values was. */
static ALWAYS_INLINE double extreme_time(const struct window *window, bool is_max)
{
    size_t best = 0;
    for (size_t i = 1; i < window->count; i++) {
        double value = window->values[i], champion = window->values[best];
        if ((is_max ? value >= champion : value <= champion) || isnan(champion))
            best = i;
    }
    return (double)window->times[best] / 1000;
}

static ALWAYS_INLINE bool ts_of_max_at(struct pass *pass, const struct window *window, double *out)
{
    *out = extreme_time(window, true);
    return true;
}

static ALWAYS_INLINE bool ts_of_min_at(struct pass *pass, const struct window *window, double *out)
{
    *out = extreme_time(window, false);
    return true;
}

/* ---- quantiles ---- */

/* A copy of the window's values that may be reordered. */
static double *values_scratch(struct pass *pass, const struct window *window)
{
    if (window->count > pass->scratch_cap) {
        pass->scratch_cap = size_min(size_max(2 * window->count, 64), pass->count);
        pass->scratch = arena_array(pass->arena, pass->scratch_cap, sizeof(*pass->scratch));
    }
    memcpy(pass->scratch, window->values, window->count * sizeof(*pass->scratch));
    return pass->scratch;
}

static ALWAYS_INLINE bool quantile_at(struct pass *pass, const struct window *window, double *out)
{
    *out = quantile_of(pass->spec->params[0][window->step], values_scratch(pass, window),
                       window->count);
    return true;
}

static ALWAYS_INLINE bool mad_at(struct pass *pass, const struct window *window, double *out)
{
    double *values = values_scratch(pass, window);
    for (size_t i = 0; i < window->count; i++) {
        if (isnan(values[i])) {
            *out = NAN;
            return true;
        }
    }
    double median = quantile_of(0.5, values, window->count);
    for (size_t i = 0; i < window->count; i++)
        values[i] = fabs(values[i] - median);
    *out = quantile_of(0.5, values, window->count);
    return true;
}

/* ---- what needs no arithmetic ---- */

static ALWAYS_INLINE bool count_at(struct pass *pass, const struct window *window, double *out)
{
    *out = (double)window->count;
    return true;
}

static ALWAYS_INLINE bool first_at(struct pass *pass, const struct window *window, double *out)
{
    *out = window->values[0];
    return true;
}

static ALWAYS_INLINE bool last_at(struct pass *pass, const struct window *window, double *out)
{
    *out = window->values[window->count - 1];
    return true;
}

static ALWAYS_INLINE bool ts_of_first_at(struct pass *pass, const struct window *window,
                                         double *out)
{
    *out = (double)window->times[0] / 1000;
    return true;
}

static ALWAYS_INLINE bool ts_of_last_at(struct pass *pass, const struct window *window, double *out)
{
    *out = (double)window->times[window->count - 1] / 1000;
    return true;
}

static ALWAYS_INLINE bool present_at(struct pass *pass, const struct window *window, double *out)
{
    *out = 1;
    return true;
}

/* ---- the walk ---- */

/* Moves the ends of the window to a step's place; times never go back from step to step. */
struct bounds {
    size_t from, to;
    int64_t end;
};

static ALWAYS_INLINE void bounds_move(struct bounds *bounds, const struct window_spec *spec,
                                      int64_t step_time, const int64_t *times, size_t count)
{
    int64_t end = int64_sub_saturating(spec->has_at ? spec->at_ms : step_time, spec->offset_ms);
    int64_t start = int64_sub_saturating(end, spec->range_ms);
    size_t from = bounds->from, to = bounds->to;
    while (to < count && times[to] <= end)
        to++;
    while (from < to && times[from] <= start)
        from++;
    *bounds = (struct bounds){from, to, end};
}

static ALWAYS_INLINE void each_window(struct pass *pass, double *out, uint64_t *present,
                                      window_at at, struct window_notes *notes)
{
    const struct step_grid *grid = pass->grid;
    struct bounds bounds = {0};
    uint64_t word = 0, samples = 0;
    for (size_t step = 0; step < grid->count; step++) {
        int64_t step_time = step_grid_time(grid, step);
        bounds_move(&bounds, pass->spec, step_time, pass->times, pass->count);
        struct window window = {
            .step = step,
            .from = bounds.from,
            .count = bounds.to - bounds.from,
            .times = pass->times + bounds.from,
            .values = pass->values + bounds.from,
            .step_time = step_time,
            .end = bounds.end,
        };
        out[step] = 0;
        samples += window.count;
        if (window.count > 0 && at(pass, &window, &out[step]))
            word |= (uint64_t)1 << (step % 64);
        if (step % 64 == 63 || step + 1 == grid->count) {
            present[step / 64] = word;
            word = 0;
        }
    }
    notes->samples += samples;
}

#define EACH_WINDOW(name)                                                                          \
    static void name##_each(struct pass *pass, double *out, uint64_t *present,                     \
                            struct window_notes *notes)                                            \
    {                                                                                              \
        each_window(pass, out, present, name##_at, notes);                                         \
    }

EACH_WINDOW(rate)
EACH_WINDOW(increase)
EACH_WINDOW(delta)
EACH_WINDOW(irate)
EACH_WINDOW(idelta)
EACH_WINDOW(marks)
EACH_WINDOW(deriv)
EACH_WINDOW(predict_linear)
EACH_WINDOW(double_exponential_smoothing)
EACH_WINDOW(sum)
EACH_WINDOW(avg)
EACH_WINDOW(stdvar)
EACH_WINDOW(stddev)
EACH_WINDOW(integral)
EACH_WINDOW(max)
EACH_WINDOW(min)
EACH_WINDOW(ts_of_max)
EACH_WINDOW(ts_of_min)
EACH_WINDOW(quantile)
EACH_WINDOW(mad)
EACH_WINDOW(count)
EACH_WINDOW(first)
EACH_WINDOW(last)
EACH_WINDOW(ts_of_first)
EACH_WINDOW(ts_of_last)
EACH_WINDOW(present)

/* What a function does about histograms in its windows. */
enum histogram_rule {
    HISTOGRAMS_ALONE,   /* floats or histograms, never both; histograms alone are for later */
    HISTOGRAMS_IGNORED, /* only floats count */
    HISTOGRAMS_COUNT,   /* a sample is a sample; see sample_at() */
};

struct window_function {
    void (*each)(struct pass *pass, double *out, uint64_t *present, struct window_notes *notes);
    window_at at;
    void (*begin)(struct pass *pass);
    enum histogram_rule rule;
    size_t least; /* floats it takes to give a result */
};

#define FUNCTION_ROW(name, ...)                                                                    \
    {                                                                                              \
        name##_each, name##_at, __VA_ARGS__                                                        \
    }

static const struct window_function functions[FUNCTION_NUMBER] = {
    [FUNCTION_RATE] = FUNCTION_ROW(rate, find_resets, HISTOGRAMS_ALONE, 2),
    [FUNCTION_INCREASE] = FUNCTION_ROW(increase, find_resets, HISTOGRAMS_ALONE, 2),
    [FUNCTION_DELTA] = FUNCTION_ROW(delta, NULL, HISTOGRAMS_ALONE, 2),
    [FUNCTION_IRATE] = FUNCTION_ROW(irate, NULL, HISTOGRAMS_COUNT, 2),
    [FUNCTION_IDELTA] = FUNCTION_ROW(idelta, NULL, HISTOGRAMS_COUNT, 2),
    [FUNCTION_RESETS] = FUNCTION_ROW(marks, count_resets, HISTOGRAMS_COUNT, 1),
    [FUNCTION_CHANGES] = FUNCTION_ROW(marks, count_changes, HISTOGRAMS_COUNT, 1),
    [FUNCTION_DERIV] = FUNCTION_ROW(deriv, NULL, HISTOGRAMS_IGNORED, 2),
    [FUNCTION_PREDICT_LINEAR] = FUNCTION_ROW(predict_linear, NULL, HISTOGRAMS_IGNORED, 2),
    [FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING] =
        FUNCTION_ROW(double_exponential_smoothing, NULL, HISTOGRAMS_IGNORED, 2),
    [FUNCTION_SUM_OVER_TIME] = FUNCTION_ROW(sum, NULL, HISTOGRAMS_ALONE, 1),
    [FUNCTION_AVG_OVER_TIME] = FUNCTION_ROW(avg, NULL, HISTOGRAMS_ALONE, 1),
    [FUNCTION_STDVAR_OVER_TIME] = FUNCTION_ROW(stdvar, NULL, HISTOGRAMS_IGNORED, 1),
    [FUNCTION_STDDEV_OVER_TIME] = FUNCTION_ROW(stddev, NULL, HISTOGRAMS_IGNORED, 1),
    [FUNCTION_INTEGRAL] = FUNCTION_ROW(integral, NULL, HISTOGRAMS_IGNORED, 1),
    [FUNCTION_MAX_OVER_TIME] = FUNCTION_ROW(max, queue_begin, HISTOGRAMS_IGNORED, 1),
    [FUNCTION_MIN_OVER_TIME] = FUNCTION_ROW(min, queue_begin, HISTOGRAMS_IGNORED, 1),
    [FUNCTION_TS_OF_MAX_OVER_TIME] = FUNCTION_ROW(ts_of_max, NULL, HISTOGRAMS_IGNORED, 1),
    [FUNCTION_TS_OF_MIN_OVER_TIME] = FUNCTION_ROW(ts_of_min, NULL, HISTOGRAMS_IGNORED, 1),
    [FUNCTION_QUANTILE_OVER_TIME] = FUNCTION_ROW(quantile, NULL, HISTOGRAMS_IGNORED, 1),
    [FUNCTION_MAD_OVER_TIME] = FUNCTION_ROW(mad, NULL, HISTOGRAMS_IGNORED, 1),
    [FUNCTION_COUNT_OVER_TIME] = FUNCTION_ROW(count, NULL, HISTOGRAMS_COUNT, 1),
    [FUNCTION_FIRST_OVER_TIME] = FUNCTION_ROW(first, NULL, HISTOGRAMS_COUNT, 1),
    [FUNCTION_LAST_OVER_TIME] = FUNCTION_ROW(last, NULL, HISTOGRAMS_COUNT, 1),
    [FUNCTION_TS_OF_FIRST_OVER_TIME] = FUNCTION_ROW(ts_of_first, NULL, HISTOGRAMS_COUNT, 1),
    [FUNCTION_TS_OF_LAST_OVER_TIME] = FUNCTION_ROW(ts_of_last, NULL, HISTOGRAMS_COUNT, 1),
    [FUNCTION_PRESENT_OVER_TIME] = FUNCTION_ROW(present, NULL, HISTOGRAMS_COUNT, 1),
    [FUNCTION_ABSENT_OVER_TIME] = FUNCTION_ROW(present, NULL, HISTOGRAMS_COUNT, 1),
};

bool window_has_function(enum function_id function)
{
    return functions[function].each != NULL;
}

/* ---- rows with histograms: rare, so step by step and by cases ---- */

struct mixed_row {
    struct pass *pass; /* its columns hold the floats alone */
    const struct window_function *function;
    const struct samples *samples; /* all of them */
    const uint32_t *histograms_before;
    struct step_batch *batch;
    size_t row;
    struct window_notes *notes;
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
        if (before != now || (is_changes ? is_change(last, value) : value < last))
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
        mixed->notes->mixed = true;
        return NULL;
    }
    *has = true;
    *out = last_difference(samples->times + to - 2, samples->values + to - 2,
                           mixed->pass->spec->function == FUNCTION_IRATE);
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
        mixed->notes->mixed |= floats > 0;
        return NULL;
    }
    mixed->notes->histograms_ignored |= floats > 0 && histograms > 0;
    if (floats < function->least)
        return NULL;
    struct window window = {
        .step = step,
        .from = from,
        .count = floats,
        .times = pass->times + from,
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
    uint32_t *before = arena_array(pass->arena, count + 1, sizeof(*before));
    for (size_t i = 0; i < count; i++) {
        before[i] = (uint32_t)(i - floats);
        if (samples->histograms[i])
            continue;
        times[floats] = samples->times[i];
        values[floats++] = samples->values[i];
    }
    before[count] = (uint32_t)(count - floats);
    pass->times = times;
    pass->values = values;
    pass->count = floats;
    return before;
}

static struct error *mixed_run(struct pass *pass, const struct window_function *function,
                               const struct samples *samples, struct arena *arena,
                               struct step_batch *batch, size_t row, struct window_notes *notes)
{
    struct error *err = step_batch_add_histograms(batch, arena);
    if (err)
        return err;
    struct mixed_row mixed = {pass,  function, samples, split_floats(pass, samples),
                              batch, row,      notes};
    if (function->begin)
        function->begin(pass);
    double *out = step_batch_values(batch, row);
    uint64_t *present = step_batch_present(batch, row);
    step_batch_clear_row(batch, row);
    struct bounds bounds = {0};
    for (size_t step = 0; step < pass->grid->count && !err; step++) {
        bool has = false;
        out[step] = 0;
        bounds_move(&bounds, pass->spec, step_grid_time(pass->grid, step), samples->times,
                    samples->count);
        notes->samples += bounds.to - bounds.from;
        if (bounds.to > bounds.from)
            err = mixed_step(&mixed, step, &bounds, &has, &out[step]);
        if (has)
            step_bit_set(present, step);
    }
    return err;
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
    bool has_histograms = samples->histograms && !spec->read_times;
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
    const struct window_function *function = &functions[spec->function];
    if (!function->each)
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
        err = mixed_run(&pass, function, samples, arena, batch, row, notes);
    } else {
        step_batch_clear_row(batch, row);
        if (function->begin)
            function->begin(&pass);
        function->each(&pass, step_batch_values(batch, row), step_batch_present(batch, row), notes);
    }
    step_batch_trim_row(batch, row);
    return err;
}
