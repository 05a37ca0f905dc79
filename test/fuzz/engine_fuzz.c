/* First byte: bit 0 an instant query, bit 1 delayed name removal, bit 2 no start timestamps, bit 3
 * type and unit labels. The rest is the query, evaluated over a few series of every kind under a
 * small budget. */
#include "fuzz.h"

#include <math.h>

#include "chunk/chunk_encoder.h"
#include "model/histogram.h"
#include "promql/engine.h"
#include "promql/parse.h"
#include "runtime/context.h"
#include "support/memory_store.h"

enum { SAMPLES = 60, STEP_MS = 15000, BUDGET = 32 << 20, SAMPLES_MAX = 100000 };

static const char *const metrics[] = {
    "requests_total{job=\"api\",instance=\"a:1\"}",
    "requests_total{job=\"api\",instance=\"b:1\",code=\"500\"}",
    "requests_total{job=\"db\",instance=\"a:1\"}",
    "temperature{job=\"api\",instance=\"a:1\",zone=\"x\"}",
    "level{job=\"db\",instance=\"a:1\"}",
    "odd{job=\"api\",instance=\"a:1\"}",
    "latency_bucket{job=\"api\",le=\"0.1\"}",
    "latency_bucket{job=\"api\",le=\"1\"}",
    "latency_bucket{job=\"api\",le=\"+Inf\"}",
    "version{job=\"api\",version=\"api1\"}",
    "alpha{env=\"1\"}",
    "beta{env=\"1\"}",
    "beta{env=\"2\",__type__=\"gauge\"}",
    "native{job=\"api\"}",
    "mixed{job=\"api\",instance=\"a:1\"}",
    "custom{job=\"api\"}",
    "target_info{job=\"api\",instance=\"a:1\",version=\"1\"}",
    "target_info{job=\"api\",instance=\"a:1\",version=\"2\"}",
    "target_info{job=\"db\",instance=\"a:1\",code=\"500\"}",
    "build_info{job=\"api\",instance=\"a:1\",version=\"1\",zone=\"y\"}",
};
enum { NATIVE = 13, MIXED = 14, CUSTOM = 15, FIRST_INFO = 16 };

static const struct histogram_span span = {0, 2}, low = {-3, 2};
static double buckets[] = {1, 2}, large[] = {1e308, 3};
static const double bounds[] = {1, 5}, more_bounds[] = {1, 2, 5};
#define BOTH(counts) .positive = {&span, 1, counts, 2}, .negative = {&low, 1, counts, 2}

/* What the native series have, one after another. */
static const struct histogram natives[] = {
    {.count = 3, .sum = 4, .positive = {&span, 1, buckets, 2}},
    {.schema = 2, .count = 9, .sum = 4, .zero_count = 3, .zero_threshold = 0.3, BOTH(buckets)},
    {.schema = -2,
     .count = 6,
     .sum = NAN,
     .zero_threshold = 0.01,
     .positive = {&low, 1, buckets, 2}},
    {.schema = 1, .count = 1e308, .sum = INFINITY, BOTH(large)},
    {.reset = HISTOGRAM_GAUGE, .count = 2, .sum = -4, .zero_count = 2, .zero_threshold = 1.7},
    {0},
};
static const struct histogram customs[] = {
    {.schema = HISTOGRAM_SCHEMA_CUSTOM,
     .count = 3,
     .sum = 4,
     .positive = {&span, 1, buckets, 2},
     .custom_values = bounds,
     .custom_count = 2},
    {.schema = HISTOGRAM_SCHEMA_CUSTOM,
     .count = 5,
     .sum = 4,
     .positive = {&span, 1, buckets, 2},
     .custom_values = more_bounds,
     .custom_count = 3},
    {.schema = HISTOGRAM_SCHEMA_CUSTOM,
     .count = 1,
     .positive = {&span, 1, buckets, 2},
     .custom_values = bounds,
     .custom_count = 1},
};

static const struct histogram *histogram_of(bool is_custom, size_t at)
{
    return is_custom ? &customs[at / 5 % countof(customs)] : &natives[at / 5 % countof(natives)];
}

static double value_of(size_t metric, size_t at)
{
    static const double odd[] = {1, NAN, INFINITY, -INFINITY, 0, -0.0, 1e308, -1e308};
    uint64_t stale_bits = STALE_NAN_BITS;
    double stale;
    memcpy(&stale, &stale_bits, sizeof(stale));
    if (at % 23 == metric)
        return stale;
    return metric == 5 ? odd[at % 8] : (double)((at * (metric + 3)) % 41);
}

static struct memory_store *make_store(void)
{
    struct memory_store *store = memory_store_create();
    struct arena *arena = arena_create(NULL);
    for (size_t i = 0; i < countof(metrics); i++) {
        struct chunk_encoder encoder;
        struct series series;
        FUZZ_CHECK(!promql_parse_metric(str_from(metrics[i]), NULL, arena, &series.labels));
        chunk_encoder_init(&encoder, arena);
        for (size_t at = 0; at < SAMPLES; at++) {
            bool is_histogram = i == NATIVE || i == CUSTOM || (i == MIXED && at % 4 == 0);
            if (is_histogram)
                chunk_encoder_histogram(&encoder, (int64_t)at * STEP_MS,
                                        histogram_of(i == CUSTOM || at % 8 == 4, at));
            else if (i >= FIRST_INFO && at / 7 % 2 == i % 2) /* info series come and go */
                continue;
            else if ((at + i) % 11 != 0)
                chunk_encoder_float(&encoder, (int64_t)at * STEP_MS, value_of(i, at));
        }
        FUZZ_CHECK(!chunk_encoder_finish(&encoder, &series.chunks));
        memory_store_add_series(store, &series);
    }
    arena_unref(arena);
    return store;
}

/* What holds for every result. */
static void check_result(const struct engine_result *result)
{
    for (size_t i = 0; i < result->series_count; i++) {
        const struct result_series *series = &result->series[i];
        struct error *err = labels_check(series->labels);
        FUZZ_CHECK(!err && series->count > 0);
        for (size_t j = 1; j < series->count; j++)
            FUZZ_CHECK(series->times[j - 1] < series->times[j]);
        if (i > 0 && result->type == VALUE_MATRIX)
            FUZZ_CHECK(labels_compare(result->series[i - 1].labels, series->labels) < 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct memory_store *store;
    if (!store)
        store = make_store();
    if (size == 0)
        return 0;
    struct engine_config config = {.samples_max = SAMPLES_MAX,
                                   .parse = {.experimental_functions = true,
                                             .fill_modifiers = true,
                                             .unquoted_utf8_names = true,
                                             .extended_functions = true},
                                   .delayed_name_removal = data[0] & 2,
                                   .use_start_timestamps = !(data[0] & 4),
                                   .type_and_unit_labels = data[0] & 8};
    struct engine_query query = {.text = {(const char *)data + 1, size - 1},
                                 .instant = data[0] & 1,
                                 .start_ms = 3 * STEP_MS,
                                 .end_ms = 50 * STEP_MS,
                                 .step_ms = 30000};
    struct engine *engine = engine_create(&config);
    struct budget *budget = budget_create(NULL, "fuzz", BUDGET);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_set_budget(ctx, budget);
    struct arena *arena = arena_create(budget);
    struct engine_result result;
    struct error *err = engine_exec(engine, memory_store_base(store), ctx, &query, arena, &result);
    FUZZ_CHECK(error_kind(err) != ERROR_INTERNAL && error_kind(err) != ERROR_CORRUPT);
    if (!err)
        check_result(&result);
    error_free(err);
    arena_unref(arena);
    context_unref(ctx);
    FUZZ_CHECK(budget_used(budget) == 0);
    budget_free(budget);
    engine_free(engine);
    return 0;
}
