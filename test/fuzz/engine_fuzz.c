/* First byte: bit 0 an instant query, bit 1 delayed name removal, bit 2 what follows is not the
 * query but choices for one (random_plan.h), bits 3 to 5 the samples, bit 6 another grid, bit 7 no
 * start timestamps but type and unit labels. The query is evaluated over a few series of every kind
 * under a small budget. */
#include "fuzz.h"

#include <math.h>

#include "chunk/chunk_encoder.h"
#include "model/histogram.h"
#include "promql/engine.h"
#include "promql/parse.h"
#include "random_plan.h"
#include "runtime/context.h"
#include "support/memory_store.h"

enum { SAMPLES = 60, STEP_MS = 15000, BUDGET = 32 << 20, SAMPLES_MAX = 100000, STORES = 8 };

enum kind { COUNTER, GAUGE, ODD, ONES, NATIVE, NATIVE_GAUGE, NATIVE_CUSTOM, MIXED };

static const struct {
    const char *metric;
    enum kind kind;
} metrics[] = {
    {"requests_total{job=\"api\",instance=\"a:1\"}", COUNTER},
    {"requests_total{job=\"api\",instance=\"b:1\",code=\"500\"}", COUNTER},
    {"requests_total{job=\"db\",instance=\"a:1\"}", COUNTER},
    {"temperature{job=\"api\",instance=\"a:1\",zone=\"x\"}", GAUGE},
    {"level{job=\"db\",instance=\"a:1\"}", GAUGE},
    {"odd{job=\"api\",instance=\"a:1\"}", ODD},
    {"latency_bucket{job=\"api\",le=\"0.1\"}", COUNTER},
    {"latency_bucket{job=\"api\",le=\"1\"}", COUNTER},
    {"latency_bucket{job=\"api\",le=\"+Inf\"}", COUNTER},
    {"version{job=\"api\",version=\"api1\"}", ONES},
    {"alpha{env=\"1\"}", GAUGE},
    {"beta{env=\"1\"}", GAUGE},
    {"beta{env=\"2\",__type__=\"gauge\"}", GAUGE},
    {"target_info{job=\"api\",instance=\"a:1\",version=\"1\"}", ONES},
    {"target_info{job=\"api\",instance=\"a:1\",version=\"2\"}", ONES},
    {"target_info{job=\"db\",instance=\"a:1\",code=\"500\"}", ONES},
    {"build_info{job=\"api\",instance=\"a:1\",version=\"1\",zone=\"y\"}", ONES},
    {"custom{job=\"api\"}", NATIVE_CUSTOM},
    {"native{job=\"api\",instance=\"a:1\"}", NATIVE},
    {"native{job=\"db\",instance=\"a:1\"}", NATIVE},
    {"native_float{job=\"api\",instance=\"b:1\"}", NATIVE},
    {"native_gauge{job=\"api\",instance=\"a:1\"}", NATIVE_GAUGE},
    {"native_custom{job=\"api\",instance=\"a:1\"}", NATIVE_CUSTOM},
    {"native_custom{job=\"api\",instance=\"b:1\"}", NATIVE_CUSTOM},
    {"mixed{job=\"api\",instance=\"a:1\"}", MIXED},
};

/* ---- samples: the same for the same seed ---- */

static uint32_t draw(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

static double odd_value(uint64_t *state)
{
    static const double odd[] = {1, NAN, INFINITY, -INFINITY, 0, -0.0, 1e308, -1e308, 5e-324, 0.1};
    return odd[draw(state, countof(odd))];
}

static void make_side(uint64_t *state, struct arena *arena, uint32_t buckets_max,
                      struct histogram_side *out)
{
    struct histogram_span *spans = arena_array(arena, 2, sizeof(*spans));
    size_t span_count = 1 + draw(state, 2), total = 0;
    for (size_t i = 0; i < span_count; i++) {
        spans[i].length = 1 + draw(state, buckets_max / 4);
        spans[i].offset =
            (int32_t)draw(state, buckets_max / 4) - (i == 0 && buckets_max > 8 ? 3 : 0);
        total += spans[i].length;
    }
    double *buckets = arena_array(arena, total, sizeof(*buckets));
    for (size_t i = 0; i < total; i++)
        buckets[i] =
            draw(state, 40) == 0 ? 1e308 : draw(state, 5) * (draw(state, 9) == 0 ? 0.5 : 1.0);
    *out = (struct histogram_side){spans, span_count, buckets, total};
}

static double side_total(const struct histogram_side *side)
{
    double total = 0;
    for (size_t i = 0; i < side->bucket_count; i++)
        total += side->buckets[i];
    return total;
}

static struct histogram *make_histogram(uint64_t *state, enum kind kind, struct arena *arena)
{
    static const int32_t schemas[] = {3, 3, 3, 0, -4, 8};
    static const double bounds[2][5] = {{0.1, 0.5, 1, 2.5, 5}, {-1, 0, 1, 2, 100}};
    struct histogram *histogram = arena_zalloc(arena, sizeof(*histogram));
    if (draw(state, 30) == 0)
        return histogram; /* an empty one */
    if (kind == NATIVE_CUSTOM) {
        histogram->schema = HISTOGRAM_SCHEMA_CUSTOM;
        histogram->custom_values = bounds[draw(state, 8) == 0];
        histogram->custom_count = 5;
        make_side(state, arena, 4, &histogram->positive);
    } else {
        histogram->schema = schemas[draw(state, countof(schemas))];
        histogram->zero_threshold = draw(state, 4) == 0 ? 0.5 : 0.001;
        histogram->zero_count = draw(state, 4);
        make_side(state, arena, 16, &histogram->positive);
        if (draw(state, 3) == 0)
            make_side(state, arena, 16, &histogram->negative);
    }
    histogram->reset =
        kind == NATIVE_GAUGE ? HISTOGRAM_GAUGE : (enum histogram_reset)draw(state, 3);
    histogram->count =
        side_total(&histogram->positive) + side_total(&histogram->negative) + histogram->zero_count;
    histogram->sum = draw(state, 20) == 0 ? odd_value(state) : draw(state, 100) / 4.0;
    return histogram;
}

/* A running total of histograms: what came before, scaled, or something new. */
static const struct histogram *next_histogram(uint64_t *state, enum kind kind, struct arena *arena,
                                              const struct histogram *last)
{
    if (!last || kind == NATIVE_GAUGE || draw(state, 8) == 0)
        return make_histogram(state, kind, arena);
    struct histogram *grown = histogram_copy(arena, last);
    histogram_scale(grown, 1 + draw(state, 3) / 4.0);
    return grown;
}

static double value_of(uint64_t *state, enum kind kind, double last)
{
    uint64_t stale_bits = STALE_NAN_BITS;
    double stale;
    memcpy(&stale, &stale_bits, sizeof(stale));
    if (draw(state, 23) == 0)
        return stale;
    switch (kind) {
    case COUNTER:
    case MIXED:
        return draw(state, 15) == 0 ? 0 : (isnan(last) ? 0 : last) + draw(state, 40) / 2.0;
    case ODD:
        return odd_value(state);
    case ONES:
        return 1;
    default:
        return (double)draw(state, 100) - 50;
    }
}

static void make_samples(uint64_t *state, enum kind kind, struct arena *arena,
                         struct chunk_encoder *encoder)
{
    const struct histogram *histogram = NULL;
    double value = 0;
    for (size_t at = 0; at < SAMPLES; at++) {
        bool is_native = kind >= NATIVE && (kind != MIXED || draw(state, 3) == 0);
        if (draw(state, 11) == 0)
            continue;
        int64_t time = (int64_t)at * STEP_MS + draw(state, 20);
        if (is_native) {
            histogram = next_histogram(state, kind == MIXED ? NATIVE : kind, arena, histogram);
            chunk_encoder_histogram(encoder, time, histogram);
        } else {
            value = value_of(state, kind, value);
            chunk_encoder_float(encoder, time, value);
        }
    }
}

static struct memory_store *make_store(uint64_t seed)
{
    struct memory_store *store = memory_store_create();
    struct arena *arena = arena_create(NULL);
    for (size_t i = 0; i < countof(metrics); i++) {
        struct chunk_encoder encoder;
        struct series series = {0};
        uint64_t state = seed * 1000 + i;
        FUZZ_CHECK(!promql_parse_metric(str_from(metrics[i].metric), NULL, arena, &series.labels));
        chunk_encoder_init(&encoder, arena);
        make_samples(&state, metrics[i].kind, arena, &encoder);
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

/* Of statistics: sums are those of the steps, and no sample is read that no step needs. */
static void check_stats(const struct engine_result *result)
{
    const struct engine_stats *stats = &result->stats;
    uint64_t total = 0, read = 0;
    for (size_t step = 0; step < stats->steps; step++) {
        total += stats->samples_per_step[step];
        read += stats->read_per_step[step];
    }
    FUZZ_CHECK(total == stats->samples_total && read == stats->samples_read && read <= total);
    FUZZ_CHECK(result->plan && result->plan->samples_total == total);
}

static void evaluate(struct memory_store *store, const struct engine_query *query, bool late_names,
                     bool typed)
{
    struct engine_config config = {.samples_max = SAMPLES_MAX,
                                   .parse = {.experimental_functions = true,
                                             .fill_modifiers = true,
                                             .unquoted_utf8_names = true,
                                             .extended_functions = true},
                                   .use_start_timestamps = !typed,
                                   .type_and_unit_labels = typed,
                                   .delayed_name_removal = late_names};
    struct engine *engine = engine_create(&config);
    struct budget *budget = budget_create(NULL, "fuzz", BUDGET);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_set_budget(ctx, budget);
    struct arena *arena = arena_create(budget);
    struct engine_result result;
    struct error *err = engine_exec(engine, memory_store_base(store), ctx, query, arena, &result);
    FUZZ_CHECK(error_kind(err) != ERROR_INTERNAL && error_kind(err) != ERROR_CORRUPT);
    if (!err)
        check_result(&result);
    if (!err && query->wants_stats)
        check_stats(&result);
    error_free(err);
    arena_unref(arena);
    context_unref(ctx);
    FUZZ_CHECK(budget_used(budget) == 0);
    budget_free(budget);
    engine_free(engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct memory_store *stores[STORES];
    if (size == 0)
        return 0;
    unsigned seed = data[0] >> 3 & 7;
    if (!stores[seed])
        stores[seed] = make_store(seed);
    struct buf made = {0};
    struct str text = {(const char *)data + 1, size - 1};
    if (data[0] & 4) {
        random_plan(data + 1, size - 1, &made);
        text = buf_str(&made);
    }
    if (getenv("FUZZ_SHOW"))
        fprintf(stderr, "%.*s\n", STR_ARG(text));
    struct engine_query query = {.text = text,
                                 .instant = data[0] & 1,
                                 .wants_stats = size % 2,
                                 .wants_plan = size % 2,
                                 .start_ms = data[0] & 64 ? -STEP_MS : 3 * STEP_MS,
                                 .end_ms = 50 * STEP_MS,
                                 .step_ms = data[0] & 64 ? 11111 : 30000};
    evaluate(stores[seed], &query, data[0] & 2, data[0] & 128);
    buf_deinit(&made);
    return 0;
}
