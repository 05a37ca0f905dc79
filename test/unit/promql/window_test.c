#include "promql/window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/histogram.h"
#include "base/kahan.h"
#include "support/test.h"

static double stale(void)
{
    uint64_t bits = STALE_NAN_BITS;
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

struct row {
    struct arena *arena;
    struct step_batch *batch;
    struct window_notes notes;
    struct error *err;
};

static struct row run(const struct window_spec *spec, const struct step_grid *grid,
                      const struct samples *samples)
{
    struct row row = {.arena = arena_create(NULL)};
    struct samples copy = {.count = samples->count};
    size_t count = samples->count;
    copy.times = arena_array(row.arena, count + 1, sizeof(*copy.times));
    copy.values = arena_array(row.arena, count + 1, sizeof(*copy.values));
    if (count > 0) {
        memcpy(copy.times, samples->times, count * sizeof(*copy.times));
        memcpy(copy.values, samples->values, count * sizeof(*copy.values));
    }
    if (samples->histograms) {
        copy.histograms = arena_array(row.arena, count + 1, sizeof(*copy.histograms));
        memcpy(copy.histograms, samples->histograms, count * sizeof(*copy.histograms));
    }
    CHECK_OK(step_batch_create(row.arena, grid, 1, &row.batch));
    row.err = window_run(spec, &copy, row.arena, row.arena, row.batch, 0, &row.notes);
    return row;
}

static void row_free(struct row *row)
{
    error_free(row->err);
    arena_unref(row->arena);
}

/* ---- one function at one step, computed from scratch ---- */

struct slice {
    const int64_t *times;
    const double *values;
    size_t count;
    int64_t start, end; /* (start, end] */
};

static bool slow_rate(const struct slice *slice, bool is_counter, bool is_rate, double *out)
{
    if (slice->count < 2)
        return false;
    size_t last = slice->count - 1;
    double increase = slice->values[last] - slice->values[0];
    for (size_t i = 1; i < slice->count && is_counter; i++) {
        if (slice->values[i] < slice->values[i - 1])
            increase += slice->values[i - 1];
    }
    double to_start = (double)(slice->times[0] - slice->start) / 1000;
    double to_end = (double)(slice->end - slice->times[last]) / 1000;
    double covered = (double)(slice->times[last] - slice->times[0]) / 1000;
    double interval = covered / (double)last;
    if (to_start >= interval * 1.1)
        to_start = interval / 2;
    if (is_counter && increase > 0 && slice->values[0] >= 0) {
        double to_zero = covered * (slice->values[0] / increase);
        to_start = to_zero < to_start ? to_zero : to_start;
    }
    if (to_end >= interval * 1.1)
        to_end = interval / 2;
    double factor = (covered + to_start + to_end) / covered;
    if (is_rate)
        factor /= (double)(slice->end - slice->start) / 1000;
    *out = increase * factor;
    return true;
}

static bool slow_extreme(const struct slice *slice, bool is_max, double *out)
{
    *out = slice->values[0];
    for (size_t i = 1; i < slice->count; i++) {
        double value = slice->values[i];
        if (isnan(*out) || (is_max ? value > *out : value < *out))
            *out = value;
    }
    return true;
}

static bool slow_sum(const struct slice *slice, double *out)
{
    double sum = 0, compensation = 0;
    for (size_t i = 0; i < slice->count; i++)
        kahan_add(slice->values[i], &sum, &compensation);
    *out = isinf(sum) ? sum : sum + compensation;
    return true;
}

static bool slow_count(const struct slice *slice, bool is_resets, double *out)
{
    *out = 0;
    for (size_t i = 1; i < slice->count; i++) {
        double before = slice->values[i - 1], value = slice->values[i];
        bool is_change = value != before && !(isnan(value) && isnan(before));
        *out += is_resets ? value < before : is_change;
    }
    return true;
}

static int value_order(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    if (isnan(left) || isnan(right))
        return isnan(right) - isnan(left);
    return left < right ? -1 : left > right;
}

static bool slow_median(const struct slice *slice, double *out)
{
    double values[256];
    memcpy(values, slice->values, slice->count * sizeof(*values));
    qsort(values, slice->count, sizeof(*values), value_order);
    double rank = 0.5 * (double)(slice->count - 1), weight = rank - floor(rank);
    size_t low = (size_t)rank, high = size_min(low + 1, slice->count - 1);
    *out = weight == 0 ? values[low] : values[low] * (1 - weight) + values[high] * weight;
    return true;
}

static bool slow(enum function_id function, const struct slice *slice, double *out)
{
    size_t last = slice->count - 1;
    if (slice->count == 0)
        return false;
    switch (function) {
    case FUNCTION_RATE:
        return slow_rate(slice, true, true, out);
    case FUNCTION_INCREASE:
        return slow_rate(slice, true, false, out);
    case FUNCTION_DELTA:
        return slow_rate(slice, false, false, out);
    case FUNCTION_MAX_OVER_TIME:
        return slow_extreme(slice, true, out);
    case FUNCTION_MIN_OVER_TIME:
        return slow_extreme(slice, false, out);
    case FUNCTION_SUM_OVER_TIME:
        return slow_sum(slice, out);
    case FUNCTION_RESETS:
        return slow_count(slice, true, out);
    case FUNCTION_CHANGES:
        return slow_count(slice, false, out);
    case FUNCTION_QUANTILE_OVER_TIME:
        return slow_median(slice, out);
    case FUNCTION_COUNT_OVER_TIME:
        *out = (double)slice->count;
        return true;
    case FUNCTION_FIRST_OVER_TIME:
        *out = slice->values[0];
        return true;
    case FUNCTION_LAST_OVER_TIME:
        *out = slice->values[last];
        return true;
    default:
        return false;
    }
}

static const enum function_id twins[] = {
    FUNCTION_RATE,
    FUNCTION_INCREASE,
    FUNCTION_DELTA,
    FUNCTION_MAX_OVER_TIME,
    FUNCTION_MIN_OVER_TIME,
    FUNCTION_SUM_OVER_TIME,
    FUNCTION_RESETS,
    FUNCTION_CHANGES,
    FUNCTION_QUANTILE_OVER_TIME,
    FUNCTION_COUNT_OVER_TIME,
    FUNCTION_FIRST_OVER_TIME,
    FUNCTION_LAST_OVER_TIME,
};

enum { SAMPLES_MAX = 200, STEPS_MAX = 150 };

static double random_value(uint64_t *seed)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0, 1e308, -1e308};
    if (test_random_below(seed, 20) == 0)
        return odd[test_random_below(seed, countof(odd))];
    if (test_random_below(seed, 30) == 0)
        return stale();
    return (double)test_random_below(seed, 50);
}

/* Compares one row with the twin, step by step. */
static void check_row(enum function_id function, const struct window_spec *spec,
                      const struct step_grid *grid, const struct samples *samples)
{
    struct row row = run(spec, grid, samples);
    CHECK_OK(row.err);
    for (size_t step = 0; step < grid->count; step++) {
        int64_t times[SAMPLES_MAX];
        double values[SAMPLES_MAX], want = 0;
        int64_t end = step_grid_time(grid, step) - spec->offset_ms;
        struct slice slice = {times, values, 0, end - spec->range_ms, end};
        for (size_t i = 0; i < samples->count; i++) {
            if (samples->times[i] <= slice.start || samples->times[i] > end ||
                sample_is_stale(samples->values[i]))
                continue;
            times[slice.count] = samples->times[i];
            values[slice.count++] = samples->values[i];
        }
        bool wanted = slow(function, &slice, &want);
        CHECK_EQ(step_bit_get(step_batch_present(row.batch, 0), step), wanted);
        if (wanted)
            CHECK_DOUBLE(step_batch_values(row.batch, 0)[step], want);
    }
    row_free(&row);
}

TEST(windows_equal_slow_twins)
{
    uint64_t seed = test_seed();
    for (int round = 0; round < 400; round++) {
        int64_t times[SAMPLES_MAX], at = 1000;
        double values[SAMPLES_MAX], medians[STEPS_MAX];
        struct samples samples = {times, values, NULL, test_random_below(&seed, SAMPLES_MAX)};
        for (size_t i = 0; i < samples.count; i++) {
            at += 1 + (int64_t)test_random_below(&seed, 30000);
            times[i] = at;
            values[i] = random_value(&seed);
        }
        struct step_grid grid = {(int64_t)test_random_below(&seed, 100000),
                                 1 + (int64_t)test_random_below(&seed, 60000),
                                 1 + test_random_below(&seed, STEPS_MAX)};
        for (size_t i = 0; i < grid.count; i++)
            medians[i] = 0.5;
        struct window_spec spec = {
            .range_ms = 1000 * (1 + (int64_t)test_random_below(&seed, 300)),
            .offset_ms = (int64_t)test_random_below(&seed, 20000) - 10000,
            .params = {medians},
        };
        for (size_t i = 0; i < countof(twins); i++) {
            spec.function = twins[i];
            check_row(twins[i], &spec, &grid, &samples);
        }
    }
}

/* ---- single facts ---- */

static const struct {
    const char *name;
    enum function_id function;
    int64_t range_ms;
    double values[6];
    size_t count;
    bool is_absent;
    double want;
} fact_cases[] = {
    {"rate of two", FUNCTION_RATE, 60000, {0, 30}, 2, false, 0.5},
    {"rate of one is nothing", FUNCTION_RATE, 60000, {5}, 1, true, 0},
    {"a reset adds what was lost", FUNCTION_INCREASE, 60000, {10, 2, 4}, 3, false, 5},
    {"delta knows no resets", FUNCTION_DELTA, 60000, {10, 2, 4}, 3, false, -7.5},
    {"irate takes the last two", FUNCTION_IRATE, 60000, {0, 3, 18}, 3, false, 1},
    {"irate after a reset", FUNCTION_IRATE, 60000, {50, 15}, 2, false, 1},
    {"idelta", FUNCTION_IDELTA, 60000, {0, 3, 18}, 3, false, 15},
    {"sum keeps what rounding loses",
     FUNCTION_SUM_OVER_TIME,
     120000,
     {1, 1e100, 1, -1e100},
     4,
     false,
     2},
    {"mean of what overflows",
     FUNCTION_AVG_OVER_TIME,
     120000,
     {1e308, 1e308, 1e308},
     3,
     false,
     1e308},
    {"deviation", FUNCTION_STDDEV_OVER_TIME, 120000, {2, 4, 4, 6}, 4, false, 1.4142135623730951},
    {"variance", FUNCTION_STDVAR_OVER_TIME, 120000, {2, 4, 4, 6}, 4, false, 2},
    {"slope", FUNCTION_DERIV, 120000, {0, 15, 30}, 3, false, 1},
    {"slope of a constant", FUNCTION_DERIV, 120000, {7, 7, 7}, 3, false, 0},
    {"median deviation", FUNCTION_MAD_OVER_TIME, 120000, {1, 1, 2, 2, 4}, 5, false, 1},
    {"NaN is not larger", FUNCTION_MAX_OVER_TIME, 120000, {1, NAN, 3}, 3, false, 3},
    {"time of the last of the largest",
     FUNCTION_TS_OF_MAX_OVER_TIME,
     120000,
     {5, 1, 5},
     3,
     false,
     30},
    {"time of the first", FUNCTION_TS_OF_FIRST_OVER_TIME, 120000, {5, 1, 5}, 3, false, 0},
    {"presence", FUNCTION_PRESENT_OVER_TIME, 120000, {5}, 1, false, 1},
};

/* Samples every 15 s that end at the step; the window is open at its left end. */
TEST(windows_know_their_functions)
{
    for_each_case(c, fact_cases) {
        int64_t times[6];
        double values[6];
        for (size_t i = 0; i < c->count; i++) {
            times[i] = (int64_t)i * 15000;
            values[i] = c->values[i];
        }
        struct samples samples = {times, values, NULL, c->count};
        struct step_grid grid = {(int64_t)(c->count - 1) * 15000, 1, 1};
        struct window_spec spec = {.range_ms = c->range_ms, .function = c->function};
        struct row row = run(&spec, &grid, &samples);
        CHECK_OK(row.err);
        row.err = NULL;
        CHECK_EQ(row.batch->last[0], c->is_absent ? 0 : 1);
        if (!c->is_absent)
            CHECK_DOUBLE(row.batch->values[0], c->want);
        row_free(&row);
    }
}

TEST(instant_selection_looks_back_and_sees_stale_markers)
{
    int64_t times[] = {1000, 2000, 3000, 10000};
    double values[] = {1, stale(), 3, 4};
    struct samples samples = {times, values, NULL, 4};
    struct step_grid grid = {0, 1000, 13};
    struct window_spec spec = {.lookback_ms = 3000};
    struct row row = run(&spec, &grid, &samples);
    static const double want[] = {-1, 1, -1, 3, 3, 3, -1, -1, -1, -1, 4, 4, 4};
    CHECK_OK(row.err);
    row.err = NULL;
    for (size_t step = 0; step < grid.count; step++) {
        CHECK_EQ(step_bit_get(row.batch->present, step), want[step] >= 0);
        if (want[step] >= 0)
            CHECK_DOUBLE(row.batch->values[step], want[step]);
    }
    CHECK_EQ(row.batch->first[0], 1);
    CHECK_EQ(row.batch->last[0], 13);
    CHECK_EQ(row.notes.samples, 7);
    row_free(&row);
    spec.read = WINDOW_READ_TIMES;
    spec.has_at = true;
    spec.at_ms = 3500;
    row = run(&spec, &grid, &samples);
    CHECK_OK(row.err);
    row.err = NULL;
    for (size_t step = 0; step < grid.count; step++)
        CHECK_DOUBLE(row.batch->values[step], 3);
    row_free(&row);
}

/* ---- histograms among floats ---- */

static const struct {
    const char *name;
    enum function_id function;
    bool fails, is_absent, is_histogram, mixed, ignored;
    double want;
} mixed_cases[] = {
    {"count counts both", FUNCTION_COUNT_OVER_TIME, false, false, false, false, false, 3},
    {"the last may be one", FUNCTION_LAST_OVER_TIME, false, false, true, false, false, 0},
    {"the first is a float", FUNCTION_FIRST_OVER_TIME, false, false, false, false, false, 1},
    {"rate of both is nothing", FUNCTION_RATE, false, true, false, true, false, 0},
    {"sum of both is nothing", FUNCTION_SUM_OVER_TIME, false, true, false, true, false, 0},
    {"max looks at floats", FUNCTION_MAX_OVER_TIME, false, false, false, false, true, 5},
    {"a change of kind is a change", FUNCTION_CHANGES, false, false, false, false, false, 2},
    {"and a reset", FUNCTION_RESETS, false, false, false, false, false, 1},
    {"irate of two kinds", FUNCTION_IRATE, false, true, false, true, false, 0},
};

TEST(windows_treat_histograms_each_in_its_way)
{
    static const struct histogram empty = {.sum = 2};
    struct histogram *histogram = (struct histogram *)&empty;
    for_each_case(c, mixed_cases) {
        int64_t times[] = {1000, 2000, 3000};
        double values[] = {1, 5, 2};
        struct histogram *histograms[] = {NULL, NULL, histogram};
        struct samples samples = {times, values, histograms, 3};
        struct step_grid grid = {3000, 1, 1};
        struct window_spec spec = {.range_ms = 10000, .function = c->function};
        struct row row = run(&spec, &grid, &samples);
        CHECK_OK(row.err);
        row.err = NULL;
        CHECK_EQ(row.batch->last[0], c->is_absent ? 0 : 1);
        CHECK_EQ((row.notes.notes & NOTE_MIXED) != 0, c->mixed);
        CHECK_EQ((row.notes.notes & NOTE_HISTOGRAMS_IGNORED) != 0, c->ignored);
        if (!c->is_absent && c->is_histogram)
            CHECK(step_batch_histograms(row.batch, 0)[0] == histogram);
        else if (!c->is_absent)
            CHECK_DOUBLE(row.batch->values[0], c->want);
        row_free(&row);
    }
}

TEST(windows_refuse_what_they_cannot_compute)
{
    static const struct histogram empty = {.sum = 2};
    struct histogram *histograms[] = {(struct histogram *)&empty, (struct histogram *)&empty};
    int64_t times[] = {1000, 2000};
    double values[] = {1, 5}, factor[] = {1.5};
    struct samples samples = {times, values, histograms, 2};
    struct step_grid grid = {3000, 1, 1};
    struct window_spec spec = {.range_ms = 10000, .function = FUNCTION_XRATE};
    struct row row = run(&spec, &grid, &samples);
    CHECK_ERROR_TEXT(row.err, ERROR_QUERY,
                     "native histograms are not supported in extended range functions");
    row.err = NULL;
    row_free(&row);
    samples.histograms = NULL;
    spec.function = FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING;
    spec.params[0] = spec.params[1] = factor;
    row = run(&spec, &grid, &samples);
    CHECK_ERROR_TEXT(row.err, ERROR_QUERY,
                     "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.500000");
    row.err = NULL;
    row_free(&row);
}

TEST_MAIN(TEST_ENTRY(windows_equal_slow_twins), TEST_ENTRY(windows_know_their_functions),
          TEST_ENTRY(instant_selection_looks_back_and_sees_stale_markers),
          TEST_ENTRY(windows_treat_histograms_each_in_its_way),
          TEST_ENTRY(windows_refuse_what_they_cannot_compute))
