#include "promql/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "chunk/chunk_encoder.h"
#include "runtime/context.h"
#include "runtime/pool.h"
#include "support/memory_store.h"
#include "support/test.h"

enum { STEP_MS = 15000, STEPS = 200 };

/* A store of counters: requests_total{job="j0".., instance="0"..} with a sample per STEP_MS. */
static struct memory_store *counters(size_t count, size_t samples)
{
    struct memory_store *store = memory_store_create();
    struct arena *arena = arena_create(NULL);
    for (size_t i = 0; i < count; i++) {
        struct labels_builder builder = labels_builder_create(arena);
        struct chunk_encoder encoder;
        struct series series;
        labels_builder_set(&builder, STR("__name__"), STR("requests_total"));
        labels_builder_set(&builder, STR("job"), arena_printf(arena, "j%zu", i * 8 / count));
        labels_builder_set(&builder, STR("instance"), arena_printf(arena, "%06zu", i));
        series.labels = labels_builder_finish(&builder);
        chunk_encoder_init(&encoder, arena);
        for (size_t at = 0; at < samples; at++)
            chunk_encoder_float(&encoder, (int64_t)at * STEP_MS, (double)((at * 7 + i) % 50));
        CHECK_OK(chunk_encoder_finish(&encoder, &series.chunks));
        memory_store_add_series(store, &series);
        if (i % 64 == 0)
            arena_reset(arena);
    }
    arena_unref(arena);
    return store;
}

struct run {
    struct engine *engine;
    struct budget *budget;
    struct context *ctx;
    struct arena *arena;
    struct engine_result result;
};

static struct run run_begin(const struct engine_config *config, size_t budget_bytes)
{
    struct run run = {.engine = engine_create(config)};
    run.budget = budget_create(NULL, "query", budget_bytes);
    run.ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_set_budget(run.ctx, run.budget);
    run.arena = arena_create(run.budget);
    return run;
}

static void run_end(struct run *run)
{
    arena_unref(run->arena);
    context_unref(run->ctx);
    CHECK_EQ(budget_used(run->budget), 0);
    budget_free(run->budget);
    engine_free(run->engine);
}

static struct error *run_range(struct run *run, struct memory_store *store, const char *text)
{
    struct engine_query query = {
        .text = str_from(text), .end_ms = (int64_t)STEPS * STEP_MS, .step_ms = STEP_MS};
    return engine_exec(run->engine, memory_store_base(store), run->ctx, &query, run->arena,
                       &run->result);
}

static struct error *run_instant(struct run *run, struct memory_store *store, const char *text)
{
    struct engine_query query = {.text = str_from(text), .instant = true, .start_ms = 10 * STEP_MS};
    return engine_exec(run->engine, memory_store_base(store), run->ctx, &query, run->arena,
                       &run->result);
}

static const struct {
    const char *name, *query;
    enum error_kind kind;
    const char *text;
} refused_cases[] = {
    {"parse error", "sum(", ERROR_INVALID, "parse error"},
    {"range vector over a range", "requests_total[5m]", ERROR_INVALID,
     "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"},
    {"string over a range", "\"a\"", ERROR_INVALID, "invalid expression type \"string\""},
    {"many to many", "requests_total / on (job) requests_total", ERROR_QUERY,
     "found duplicate series for the match group {job=\"j0\"} on the right hand-side"},
    {"equal rows", "label_replace(requests_total, \"instance\", \"\", \"\", \"\")", ERROR_QUERY,
     "vector cannot contain metrics with the same labelset"},
    {"bad label name", "count_values(\"\", requests_total)", ERROR_QUERY, "invalid label name"},
    {"NaN for k", "topk(NaN, requests_total)", ERROR_QUERY, "Parameter value is NaN"},
    {"k too large", "topk(1e30, requests_total)", ERROR_QUERY,
     "Scalar value 1e+30 overflows int64"},
    {"NaN for a ratio", "limit_ratio(NaN, requests_total)", ERROR_QUERY, "Ratio value is NaN"},
};

TEST(engine_refuses_in_prometheus_words)
{
    struct memory_store *store = counters(16, 50);
    struct engine_config config = {.parse = {.experimental_functions = true}};
    for_each_case(c, refused_cases) {
        struct run run = run_begin(&config, 0);
        CHECK_ERROR_TEXT(run_range(&run, store, c->query), c->kind, c->text);
        run_end(&run);
    }
    store_free(memory_store_base(store));
}

TEST(engine_gives_scalars_strings_and_raw_samples)
{
    struct memory_store *store = counters(2, 50);
    struct run run = run_begin(&(struct engine_config){0}, 0);
    CHECK_OK(run_instant(&run, store, "1 + 2 * 3"));
    CHECK_EQ(run.result.type, VALUE_SCALAR);
    CHECK_EQ(run.result.series_count, 1);
    CHECK_DOUBLE(run.result.series[0].values[0], 7);
    CHECK_EQ(run.result.series[0].times[0], 10 * STEP_MS);
    CHECK_OK(run_instant(&run, store, "\"text\""));
    CHECK_EQ(run.result.type, VALUE_STRING);
    CHECK_STR(run.result.string, "text");
    CHECK_OK(run_instant(&run, store, "requests_total[31s]"));
    CHECK_EQ(run.result.type, VALUE_MATRIX);
    CHECK_EQ(run.result.series_count, 2);
    CHECK_EQ(run.result.series[0].count, 3);
    CHECK_EQ(run.result.series[0].times[0], 8 * STEP_MS);
    CHECK_EQ(run.result.stats.samples_total, 6);
    CHECK_OK(run_instant(&run, store, "requests_total[1m:20s]"));
    CHECK_EQ(run.result.series[0].count, 3);
    run_end(&run);
    store_free(memory_store_base(store));
}

TEST(engine_says_why_a_query_ended)
{
    struct memory_store *store = counters(16, 50);
    struct run run = run_begin(&(struct engine_config){0}, 0);
    context_cancel(run.ctx);
    CHECK_ERROR_TEXT(run_range(&run, store, "sum(requests_total)"), ERROR_CANCELLED,
                     "query was canceled in query execution");
    run_end(&run);
    run = run_begin(&(struct engine_config){0}, 0);
    context_cancel_with(run.ctx, ERROR_TIMEOUT, "context deadline exceeded");
    CHECK_ERROR_TEXT(run_range(&run, store, "sum(requests_total)"), ERROR_TIMEOUT,
                     "query timed out in query execution");
    run_end(&run);
    store_free(memory_store_base(store));
}

TEST(engine_passes_errors_of_the_store_on)
{
    struct memory_store *store = counters(600, 20);
    struct run run = run_begin(&(struct engine_config){0}, 0);
    memory_store_fail_after(store, 300, ERROR_UNAVAILABLE, "peer went away");
    CHECK_ERROR_TEXT(run_range(&run, store, "sum(requests_total)"), ERROR_UNAVAILABLE,
                     "peer went away");
    memory_store_fail_calls(store, ERROR_TIMEOUT, "no answer");
    CHECK_ERROR_TEXT(run_range(&run, store, "sum(requests_total)"), ERROR_TIMEOUT, "no answer");
    run_end(&run);
    store_free(memory_store_base(store));
}

TEST(engine_limits_the_points_it_holds)
{
    struct memory_store *store = counters(100, 50);
    struct run run = run_begin(&(struct engine_config){.samples_max = 1000}, 0);
    CHECK_OK(run_range(&run, store, "sum(requests_total)"));
    CHECK_ERROR_TEXT(run_range(&run, store, "requests_total"), ERROR_LIMIT,
                     "query processing would load too many samples into memory in query execution");
    CHECK_ERROR_TEXT(run_range(&run, store, "sum(requests_total / on (instance) requests_total)"),
                     ERROR_LIMIT, "query processing would load too many samples");
    run_end(&run);
    store_free(memory_store_base(store));
}

/* ---- many series, made as they are read ---- */

struct many_store {
    struct store base;
    struct arena *arena;
    struct chunk_list chunks;
    size_t count;
};

struct many_set {
    struct series_set base;
    const struct many_store *store;
    size_t at;
};

static struct error *many_next(struct series_set *base, struct arena *arena, size_t max,
                               struct series_batch *out)
{
    struct many_set *set = container_of(base, struct many_set, base);
    size_t count = size_min(max, set->store->count - set->at);
    *out = (struct series_batch){arena_array(arena, count + 1, sizeof(*out->items)), count};
    for (size_t i = 0; i < count; i++, set->at++) {
        struct labels_builder builder = labels_builder_create(arena);
        labels_builder_set(&builder, STR("__name__"), STR("requests_total"));
        labels_builder_set(&builder, STR("instance"), arena_printf(arena, "%06zu", set->at));
        labels_builder_set(&builder, STR("job"), arena_printf(arena, "j%zu", set->at % 8));
        out->items[i] = (struct series){labels_builder_finish(&builder), set->store->chunks};
    }
    return NULL;
}

static void many_cancel(struct series_set *set)
{
}

static void many_set_free(struct series_set *base)
{
    free(container_of(base, struct many_set, base));
}

static const struct series_set_ops many_set_ops = {
    .next = many_next, .cancel = many_cancel, .free = many_set_free};

static struct error *many_select(struct store *store, struct context *ctx,
                                 const struct store_query *query, struct series_set **out)
{
    struct many_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &many_set_ops;
    set->store = container_of(store, struct many_store, base);
    *out = &set->base;
    return NULL;
}

static const struct store_ops many_store_ops = {.select = many_select};

/* Memory is that of the result and of what is in flight, not of what is selected. */
TEST(engine_answers_or_refuses_200000_series_under_a_budget)
{
    enum { BUDGET = 8 << 20, SAMPLES = 12 };
    struct many_store store = {
        .base.ops = &many_store_ops, .arena = arena_create(NULL), .count = 200000};
    struct chunk_encoder encoder;
    chunk_encoder_init(&encoder, store.arena);
    for (int at = 0; at < SAMPLES; at++)
        chunk_encoder_float(&encoder, (int64_t)at * STEP_MS, at);
    CHECK_OK(chunk_encoder_finish(&encoder, &store.chunks));
    static const char *const answered[] = {"sum by (job) (requests_total)",
                                           "count(rate(requests_total[1m]))",
                                           "topk(3, requests_total)"};
    struct engine_query query = {.end_ms = SAMPLES * STEP_MS, .step_ms = STEP_MS};
    for (size_t i = 0; i <= countof(answered); i++) {
        struct run run = run_begin(&(struct engine_config){0}, BUDGET);
        query.text = str_from(i < countof(answered) ? answered[i] : "requests_total");
        struct error *err =
            engine_exec(run.engine, &store.base, run.ctx, &query, run.arena, &run.result);
        CHECK(budget_peak(run.budget) <= BUDGET + (2 << 20));
        CHECK_ERROR_TEXT(err, i < countof(answered) ? ERROR_NONE : ERROR_LIMIT,
                         i < countof(answered) ? NULL : "query budget");
        run_end(&run);
    }
    arena_unref(store.arena);
}

static const char *const many_queries[] = {
    "sum(rate(requests_total[5m])) / count(rate(requests_total[5m]))",
    ("max by (job) (requests_total) - on (job) min by (job) (requests_total) + on (job) avg by "
     "(job) (requests_total)"),
    "sum(requests_total * 2) / scalar(count(requests_total * 2))",
    "sum by (job) (rate(requests_total[5m]))",
    "requests_total * 2 > 20",
    "topk by (job) (2, requests_total)",
    "quantile(0.3, requests_total)",
    "count_values(\"v\", requests_total)",
    "requests_total / ignoring (x) requests_total",
    "requests_total - on (job) group_left () sum by (job) (requests_total)",
    "requests_total and on (instance) (requests_total > 10)",
    "requests_total{job=\"j1\"} or requests_total{job=\"j2\"}",
    "label_replace(requests_total, \"x\", \"$1\", \"job\", \"j(.)\")",
    "max_over_time(sum by (job) (requests_total)[5m:1m])",
    "absent(requests_total{job=\"none\"})",
    "scalar(sum(requests_total)) + time()",
    "sort_desc(requests_total)",
    "histogram_quantile(0.9, label_replace(requests_total, 'le', '$1', 'instance', '(.*)'))",
    "sum(requests_total @ end()) + requests_total",
    "-requests_total",
};

/* When the n-th charge of memory is refused, a query still answers or says LIMIT, and gives all
 * memory back. */
TEST(engine_survives_every_refused_charge)
{
    struct memory_store *store = counters(40, 60);
    for (size_t i = 0; i < countof(many_queries); i++) {
        bool was_refused = true;
        for (unsigned long nth = 1; was_refused; nth++) {
            struct run run = run_begin(&(struct engine_config){0}, 0);
            budget_fail_nth(nth);
            struct error *err = run_range(&run, store, many_queries[i]);
            was_refused = budget_charges() >= nth;
            budget_fail_nth(0);
            if (err)
                CHECK_EQ(error_kind(err), ERROR_LIMIT);
            error_free(err);
            run_end(&run);
        }
    }
    store_free(memory_store_base(store));
}

static void check_same(const struct engine_result *a, const struct engine_result *b)
{
    CHECK_EQ(a->series_count, b->series_count);
    for (size_t i = 0; i < a->series_count; i++) {
        CHECK(labels_equal(a->series[i].labels, b->series[i].labels));
        CHECK_EQ(a->series[i].count, b->series[i].count);
        for (size_t j = 0; j < a->series[i].count; j++) {
            CHECK_EQ(a->series[i].times[j], b->series[i].times[j]);
            CHECK_DOUBLE(a->series[i].values[j], b->series[i].values[j]);
        }
    }
}

TEST(engine_gives_the_same_bits_with_any_number_of_workers)
{
    struct memory_store *store = counters(3000, 60);
    for (size_t i = 0; i < countof(many_queries); i++) {
        struct run alone = run_begin(&(struct engine_config){0}, 0);
        CHECK_OK(run_range(&alone, store, many_queries[i]));
        for (size_t threads = 1; threads <= 4; threads += 3) {
            struct pool *pool = pool_create("compute", threads, 100);
            struct run run = run_begin(&(struct engine_config){.compute = pool}, 0);
            CHECK_OK(run_range(&run, store, many_queries[i]));
            check_same(&alone.result, &run.result);
            run_end(&run);
            pool_free(pool);
        }
        run_end(&alone);
    }
    store_free(memory_store_base(store));
}

TEST(what_is_read_once_for_several_counts_as_often_as_it_is_in_the_text)
{
    static const struct {
        const char *name;
        size_t selectors;
    } cases[] = {
        {"sum(requests_total)", 1},
        {"sum(requests_total) / count(requests_total)", 2},
        {"max(sum by (job) (requests_total)) - min(sum by (job) (requests_total))", 2},
        {"max(sum by (job) (requests_total)) - min(count by (job) (requests_total)) + "
         "min(sum by (job) (requests_total)) + sum(requests_total)",
         4},
    };
    struct memory_store *store = counters(20, 60);
    for_each_case(c, cases) {
        struct run run = run_begin(&(struct engine_config){0}, 0);
        CHECK_OK(run_instant(&run, store, c->name));
        CHECK_EQ(run.result.stats.samples_total, 20 * c->selectors);
        run_end(&run);
    }
    store_free(memory_store_base(store));
}

TEST(engine_stops_workers_when_a_query_fails)
{
    struct memory_store *store = counters(3000, 60);
    struct pool *pool = pool_create("compute", 3, 4); /* a queue too short for the window */
    memory_store_fail_after(store, 2000, ERROR_UNAVAILABLE, "peer went away");
    for (int i = 0; i < 20; i++) {
        struct run run = run_begin(&(struct engine_config){.compute = pool}, 0);
        const char *query = i % 2
                                ? "sum(rate(requests_total[5m]))"
                                : "sum(requests_total) / max(requests_total) - min(requests_total)";
        CHECK_ERROR_TEXT(run_range(&run, store, query), ERROR_UNAVAILABLE, "peer went away");
        run_end(&run);
    }
    pool_free(pool);
    store_free(memory_store_base(store));
}

TEST_MAIN(TEST_ENTRY(engine_refuses_in_prometheus_words),
          TEST_ENTRY(engine_gives_scalars_strings_and_raw_samples),
          TEST_ENTRY(engine_says_why_a_query_ended),
          TEST_ENTRY(engine_passes_errors_of_the_store_on),
          TEST_ENTRY(engine_limits_the_points_it_holds),
          TEST_ENTRY(engine_answers_or_refuses_200000_series_under_a_budget),
          TEST_ENTRY(engine_survives_every_refused_charge),
          TEST_ENTRY(engine_gives_the_same_bits_with_any_number_of_workers),
          TEST_ENTRY(what_is_read_once_for_several_counts_as_often_as_it_is_in_the_text),
          TEST_ENTRY(engine_stops_workers_when_a_query_fails))
