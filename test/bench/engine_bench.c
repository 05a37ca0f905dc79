/* CPU time of queries over series of XOR chunks in memory, and a sixth as many of native
 * histograms: the engine alone, without network and JSON. Run by hand, from a release build:
 *
 *     engine_bench [series] [threads] [query...]                                              */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/memory.h"
#include "chunk/chunk_encoder.h"
#include "promql/engine.h"
#include "runtime/context.h"
#include "runtime/pool.h"

enum {
    SAMPLES = 300, /* 75 min at 15 s */
    INTERVAL_MS = 15000,
    SHAPES = 64, /* different sample columns */
    JOBS = 20,
    BUCKETS = 40, /* of a native histogram */
};

static const int64_t start_ms = 1700000000000;

struct bench_store {
    struct store base;
    struct arena *arena;
    struct series *series;
    size_t count;
};

struct bench_set {
    struct series_set base;
    struct bench_store *store;
    struct arena *arena; /* of the matchers */
    const struct matcher *matchers;
    size_t matcher_count, at;
};

static struct error *bench_next(struct series_set *base, struct arena *arena, size_t max,
                                struct series_batch *out)
{
    struct bench_set *set = container_of(base, struct bench_set, base);
    *out = (struct series_batch){arena_array(arena, max, sizeof(*out->items)), 0};
    for (; set->at < set->store->count && out->count < max; set->at++) {
        const struct series *series = &set->store->series[set->at];
        if (!matchers_match(set->matchers, set->matcher_count, series->labels))
            continue;
        out->items[out->count].labels = labels_copy(arena, series->labels);
        out->items[out->count++].chunks = series->chunks;
    }
    return NULL;
}

static void bench_cancel(struct series_set *set)
{
}

static void bench_set_free(struct series_set *base)
{
    struct bench_set *set = container_of(base, struct bench_set, base);
    arena_unref(set->arena);
    free(set);
}

static const struct series_set_ops set_ops = {
    .next = bench_next, .cancel = bench_cancel, .free = bench_set_free};

static struct error *bench_select(struct store *base, struct context *ctx,
                                  const struct store_query *query, struct series_set **out)
{
    struct bench_set *set = xcalloc(1, sizeof(*set));
    struct store_query copy;
    set->base.ops = &set_ops;
    set->store = container_of(base, struct bench_store, base);
    set->arena = arena_create(NULL);
    *out = &set->base;
    struct error *err = store_query_copy(set->arena, query, &copy);
    set->matchers = copy.matchers;
    set->matcher_count = copy.matcher_count;
    return err;
}

static const struct store_ops store_ops = {.select = bench_select};

static struct chunk_list make_chunks(struct arena *arena, size_t shape)
{
    struct chunk_encoder encoder;
    struct chunk_list list;
    double value = (double)shape;
    chunk_encoder_init(&encoder, arena);
    for (size_t i = 0; i < SAMPLES; i++) {
        int64_t jitter = (int64_t)((i * 7919 + shape * 104729) % 11) - 5;
        value += (double)((i * 31 + shape * 17) % 23);
        if (i % 100 == shape)
            value = 0;
        chunk_encoder_float(&encoder, start_ms + (int64_t)i * INTERVAL_MS + jitter, value);
    }
    struct error *err = chunk_encoder_finish(&encoder, &list);
    if (err)
        bug("%.*s", STR_ARG(error_text(err)));
    return list;
}

/* Native histograms of schema 3, some of whose buckets fill later than others. */
static struct chunk_list make_native_chunks(struct arena *arena, size_t shape)
{
    const struct histogram_span span = {(int32_t)(shape % 8) - 4, BUCKETS};
    double buckets[BUCKETS] = {0};
    struct histogram histogram = {
        .schema = 3, .zero_threshold = 0x1p-128, .positive = {&span, 1, buckets, BUCKETS}};
    struct chunk_encoder encoder;
    struct chunk_list list;
    chunk_encoder_init(&encoder, arena);
    for (size_t i = 0; i < SAMPLES; i++) {
        int64_t jitter = (int64_t)((i * 7919 + shape * 104729) % 11) - 5;
        for (size_t j = 0; j < BUCKETS; j++) {
            double more = (double)((i * 31 + j * 13 + shape * 17) % 5);
            buckets[j] += more;
            histogram.count += more;
            histogram.sum += more * (double)j * 0.1;
        }
        chunk_encoder_histogram(&encoder, start_ms + (int64_t)i * INTERVAL_MS + jitter, &histogram);
    }
    struct error *err = chunk_encoder_finish(&encoder, &list);
    if (err)
        bug("%.*s", STR_ARG(error_text(err)));
    return list;
}

static void add_native(struct bench_store *store, size_t number, size_t count,
                       const struct chunk_list *shapes)
{
    struct labels_builder builder = labels_builder_create(store->arena);
    labels_builder_set(&builder, STR("__name__"), STR("native_request_duration_seconds"));
    labels_builder_set(&builder, STR("job"),
                       arena_printf(store->arena, "service-%zu", number * JOBS / count));
    labels_builder_set(
        &builder, STR("instance"),
        arena_printf(store->arena, "10.0.%zu.%zu:9090", number / 10 / 250, number / 10 % 250));
    labels_builder_set(&builder, STR("handler"),
                       arena_printf(store->arena, "/api/v1/%zu", number % 10));
    labels_builder_set(&builder, STR("cluster"), STR("eu-west-1"));
    store->series[store->count++] =
        (struct series){labels_builder_finish(&builder), shapes[number % SHAPES]};
}

static void add_series(struct bench_store *store, size_t number, const struct chunk_list *shapes)
{
    static const char *const bounds[] = {"0.01", "0.1", "0.5", "1", "5", "+Inf"};
    struct labels_builder builder = labels_builder_create(store->arena);
    size_t job = number * JOBS / store->count;
    labels_builder_set(&builder, STR("__name__"), STR("http_request_duration_seconds_bucket"));
    labels_builder_set(&builder, STR("job"), arena_printf(store->arena, "service-%zu", job));
    labels_builder_set(
        &builder, STR("instance"),
        arena_printf(store->arena, "10.0.%zu.%zu:9090", number / 60 / 250, number / 60 % 250));
    labels_builder_set(&builder, STR("handler"),
                       arena_printf(store->arena, "/api/v1/%zu", number / 6 % 10));
    labels_builder_set(&builder, STR("le"), str_from(bounds[number % 6]));
    labels_builder_set(&builder, STR("cluster"), STR("eu-west-1"));
    store->series[number] =
        (struct series){labels_builder_finish(&builder), shapes[number % SHAPES]};
}

/* One for each instance of each job. */
static void add_info(struct bench_store *store, size_t number, size_t count,
                     const struct chunk_list *chunks)
{
    struct labels_builder builder = labels_builder_create(store->arena);
    labels_builder_set(&builder, STR("__name__"), STR("target_info"));
    labels_builder_set(&builder, STR("job"),
                       arena_printf(store->arena, "service-%zu", number * JOBS / count));
    labels_builder_set(
        &builder, STR("instance"),
        arena_printf(store->arena, "10.0.%zu.%zu:9090", number / 60 / 250, number / 60 % 250));
    labels_builder_set(&builder, STR("version"), arena_printf(store->arena, "1.%zu", number % 7));
    store->series[store->count++] = (struct series){labels_builder_finish(&builder), *chunks};
}

static int series_order(const void *a, const void *b)
{
    return labels_compare(((const struct series *)a)->labels, ((const struct series *)b)->labels);
}

static void store_init(struct bench_store *store, size_t count)
{
    struct chunk_list shapes[SHAPES];
    size_t natives = count / 6;
    *store = (struct bench_store){.base.ops = &store_ops, .count = count};
    store->arena = arena_create(NULL);
    store->series =
        arena_array(store->arena, count + natives + count / 60 + 1, sizeof(*store->series));
    for (size_t i = 0; i < SHAPES; i++)
        shapes[i] = make_chunks(store->arena, i);
    for (size_t i = 0; i < count; i++)
        add_series(store, i, shapes);
    for (size_t i = 0; i < count; i += 60)
        add_info(store, i, count, &shapes[0]);
    for (size_t i = 0; i < SHAPES; i++)
        shapes[i] = make_native_chunks(store->arena, i);
    for (size_t i = 0; i < natives; i++)
        add_native(store, i, natives, shapes);
    qsort(store->series, store->count, sizeof(*store->series), series_order);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

static double wall_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run(struct engine *engine, struct bench_store *store, const char *text, bool instant)
{
    struct budget *budget = budget_create(NULL, "query", 0);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_set_budget(ctx, budget);
    struct arena *arena = arena_create(budget);
    struct engine_query query = {
        .text = str_from(text),
        .instant = instant,
        .start_ms = start_ms + (instant ? 70 : 10) * 60000,
        .end_ms = start_ms + 70 * 60000,
        .step_ms = 15000,
    };
    struct engine_result result;
    double cpu = cpu_seconds(), wall = wall_seconds();
    struct error *err = engine_exec(engine, &store->base, ctx, &query, arena, &result);
    printf("%-7s cpu %7.3f s  wall %7.3f s  peak %7.1f MiB  rows %7zu  %s%s%.*s\n",
           instant ? "instant" : "range", cpu_seconds() - cpu, wall_seconds() - wall,
           (double)budget_peak(budget) / 1048576, result.series_count, text, err ? ": " : "",
           STR_ARG(error_text(err)));
    fflush(stdout);
    error_free(err);
    arena_unref(arena);
    context_unref(ctx);
    budget_free(budget);
}

int main(int argc, char **argv)
{
    static const char *const queries[] = {
        "sum by (job) (rate({__name__=\"http_request_duration_seconds_bucket\"}[5m]))",
        "sum(http_request_duration_seconds_bucket)",
        "histogram_quantile(0.9, sum by (le, job) "
        "(rate(http_request_duration_seconds_bucket[5m])))",
        "max by (instance) (http_request_duration_seconds_bucket)",
        "topk(5, http_request_duration_seconds_bucket)",
        "sum(http_request_duration_seconds_bucket / http_request_duration_seconds_bucket)",
        "count(http_request_duration_seconds_bucket and on (instance, handler, le) "
        "http_request_duration_seconds_bucket{job=\"service-3\"})",
        "sum(avg_over_time(http_request_duration_seconds_bucket[5m]))",
        "sum(max_over_time(http_request_duration_seconds_bucket[1h]))",
        "quantile(0.9, http_request_duration_seconds_bucket{job=\"service-3\"})",
        "http_request_duration_seconds_bucket * 2",
        "sum(native_request_duration_seconds)",
        "avg by (job) (native_request_duration_seconds)",
        "histogram_quantile(0.9, sum by (job) (rate(native_request_duration_seconds[5m])))",
        "histogram_count(sum by (job) (rate(native_request_duration_seconds[5m])))",
        "histogram_quantile(0.9, native_request_duration_seconds)",
        "native_request_duration_seconds * 2",
        "sum by (job) (rate(http_request_duration_seconds_bucket[5m])) / "
        "count by (job) (rate(http_request_duration_seconds_bucket[5m]))",
        "sum by (version) (info(rate(http_request_duration_seconds_bucket[5m])))",
        "sum by (version) (rate(http_request_duration_seconds_bucket[5m]) * on (job, instance) "
        "group_left (version) target_info)",
    };
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    size_t threads = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    struct engine_config config = {.samples_max = 1u << 30, .parse.experimental_functions = true};
    struct bench_store store;
    if (threads > 0)
        config.compute = pool_create("compute", threads, 1000);
    struct engine *engine = engine_create(&config);
    store_init(&store, count);
    for (int i = 3; i < argc; i++)
        run(engine, &store, argv[i], false);
    for (size_t i = 0; argc <= 3 && i < countof(queries); i++) {
        run(engine, &store, queries[i], false);
        run(engine, &store, queries[i], true);
    }
    engine_free(engine);
    pool_free(config.compute);
    arena_unref(store.arena);
    return 0;
}
