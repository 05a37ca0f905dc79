/* A row of samples, floats and histograms of all layouts, through one window function. Bytes: the
 * function, how its range is extended, range, step, offset, lookback, number of steps (all but the
 * first two in units of 1 s); then two bytes a sample: how much later than the one before, and what
 * it is. */
#include "fuzz.h"

#include <math.h>
#include <string.h>

#include "codec/reader.h"
#include "model/histogram_math.h"
#include "promql/window.h"

enum { SAMPLES_MAX = 200, STEPS_MAX = 40 };

static const struct histogram_span one = {0, 3}, two[] = {{-1, 1}, {2, 2}}, far = {40, 3};
static double some[] = {1, 2, 3}, none[] = {0, 0, 0}, more[] = {5, 4, 3}, odd[] = {-1, 1e308, NAN};
static const double bounds[] = {1, 2}, others[] = {1, 3};

#define SIDE(spans, count, buckets)                                                                \
    {                                                                                              \
        spans, count, buckets, 3                                                                   \
    }
static const struct histogram layouts[] = {
    {.count = 6, .sum = 9, .positive = SIDE(&one, 1, some)},
    {.count = 12, .sum = 9, .positive = SIDE(&one, 1, more), .reset = HISTOGRAM_RESET_NO},
    {.count = 3, .sum = 1, .positive = SIDE(two, 2, some), .reset = HISTOGRAM_RESET_YES},
    {.count = 9, .sum = 1, .schema = 3, .negative = SIDE(two, 2, more), .zero_threshold = 0.01},
    {.count = 9, .sum = 2, .schema = -4, .positive = SIDE(&far, 1, more), .zero_count = 2},
    {.count = 7,
     .schema = 8,
     .positive = SIDE(&far, 1, none),
     .zero_threshold = 1,
     .zero_count = 7},
    {.count = 8, .sum = 4, .positive = SIDE(&one, 1, more), .reset = HISTOGRAM_GAUGE},
    {.count = NAN, .sum = INFINITY, .positive = SIDE(&one, 1, odd), .zero_threshold = 0.5},
    {.count = 1e308, .sum = 1e308, .positive = SIDE(&one, 1, odd), .reset = HISTOGRAM_GAUGE},
    {.count = 6,
     .sum = 3,
     .schema = HISTOGRAM_SCHEMA_CUSTOM,
     .positive = SIDE(&one, 1, some),
     .custom_values = bounds,
     .custom_count = 2},
    {.count = 9,
     .sum = 3,
     .schema = HISTOGRAM_SCHEMA_CUSTOM,
     .positive = SIDE(&one, 1, more),
     .custom_values = others,
     .custom_count = 2},
    {.sum = 0},
};

static double float_of(unsigned byte)
{
    static const double values[] = {0, 1, 2, -1, 7, 100, 1e308, -1e308, NAN, INFINITY};
    uint64_t bits = STALE_NAN_BITS;
    double stale;
    memcpy(&stale, &bits, sizeof(stale));
    return byte % 11 < 10 ? values[byte % 11] : stale;
}

static void read_samples(struct reader *reader, bool has_starts, struct arena *arena,
                         struct samples *out)
{
    size_t count = size_min(reader_left(reader) / 2, SAMPLES_MAX);
    int64_t time = 0;
    *out = (struct samples){0};
    FUZZ_CHECK(!samples_reserve(arena, count, true, out));
    if (has_starts)
        FUZZ_CHECK(!samples_reserve_starts(arena, count, out));
    for (size_t i = 0; i < count; i++) {
        unsigned gap = reader_u8(reader), kind = reader_u8(reader);
        time += 1 + gap * 250;
        out->times[i] = time;
        out->values[i] = float_of(kind);
        if (kind >= 128) {
            out->histograms[i] = histogram_copy(arena, &layouts[kind % countof(layouts)]);
            out->values[i] = out->histograms[i]->sum;
        }
        if (has_starts)
            out->starts[i] = gap % 4 == 0 ? 0 : time - 1500 * (int64_t)(kind % 16);
    }
    out->count = count;
}

static bool takes_params(enum function_id id)
{
    return id == FUNCTION_PREDICT_LINEAR || id == FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING ||
           id == FUNCTION_QUANTILE_OVER_TIME || id == FUNCTION_INTEGRAL;
}

static bool is_extended_function(enum function_id id)
{
    return id == FUNCTION_RATE || id == FUNCTION_INCREASE || id == FUNCTION_DELTA;
}

static struct window_spec read_spec(struct reader *reader, const double *params)
{
    struct window_spec spec = {.function = reader_u8(reader) % FUNCTION_NUMBER};
    unsigned flags = reader_u8(reader);
    spec.extended = (enum extended_range)(flags % 3);
    spec.read = (enum window_read)(flags / 4 % 3);
    spec.range_ms = 1000 * reader_u8(reader);
    spec.offset_ms = 1000 * ((int64_t)reader_u8(reader) - 100);
    spec.lookback_ms = 1000 * reader_u8(reader) + 1;
    spec.before_ms = spec.extended == RANGE_PLAIN ? 0 : spec.lookback_ms;
    spec.has_at = flags & 64;
    spec.at_ms = 30000;
    if (takes_params(spec.function))
        spec.params[0] = spec.params[1] = params;
    if (!window_has_function(spec.function))
        spec.function = FUNCTION_RATE;
    if (!is_extended_function(spec.function) && spec.range_ms > 0)
        spec.extended = RANGE_PLAIN;
    return spec;
}

static void check_row(const struct step_batch *batch)
{
    struct histogram **histograms = step_batch_histograms(batch, 0);
    for (size_t step = 0; step < batch->grid->count; step++) {
        bool is_present = step_bit_get(step_batch_present(batch, 0), step);
        FUZZ_CHECK(!is_present || (step >= batch->first[0] && step < batch->last[0]));
        if (is_present && histograms && histograms[step]) {
            struct buf text = {0};
            histogram_print(&text, histograms[step]); /* touches all of it */
            buf_deinit(&text);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget *budget = budget_create(NULL, "fuzz", 64 << 20);
    struct arena *arena = arena_create(budget), *scratch = arena_create(budget);
    struct reader reader = reader_create((struct bytes){data, size});
    double params[STEPS_MAX];
    for (size_t i = 0; i < STEPS_MAX; i++)
        params[i] = 0.3;
    struct window_spec spec = read_spec(&reader, params);
    struct step_grid grid = {0, 1000 * (1 + reader_u8(&reader)),
                             1 + reader_u8(&reader) % STEPS_MAX};
    struct samples samples;
    struct step_batch *batch;
    struct window_notes notes = {0};
    read_samples(&reader, size % 2, arena, &samples);
    struct error *err = step_batch_create(arena, &grid, 1, &batch);
    if (!err)
        err = window_run(&spec, &samples, scratch, arena, batch, 0, &notes);
    if (!err)
        check_row(batch);
    FUZZ_CHECK(!err || error_kind(err) == ERROR_QUERY || error_kind(err) == ERROR_LIMIT);
    error_free(err);
    arena_unref(scratch);
    arena_unref(arena);
    budget_free(budget);
    return 0;
}
