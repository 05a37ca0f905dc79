#include "prometheus_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "prometheus/prometheus_store.h"
#include "prometheus/prometheus_watch.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "store/store_external_labels.h"

/* A Prometheus that can be taken away. */
struct flaky {
    struct fake_data data;
    atomic_bool down;
};

static void handle_flaky(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    struct flaky *flaky = arg;
    if (atomic_load(&flaky->down))
        reply->status = 503;
    else
        fake_data_handle(&flaky->data, request, reply);
}

struct watched {
    struct flaky flaky;
    struct bench bench;
    struct memory_store *memory;
    struct store *prometheus, *external;
    struct log *log;
    struct metrics *metrics;
    struct prometheus_watch *watch;
    int64_t min_time;
};

static int64_t watched_min_time(void *arg)
{
    return ((struct watched *)arg)->min_time;
}

static void watched_open(struct watched *watched)
{
    watched->memory = memory_store_create();
    memory_store_add(watched->memory, (int64_t[]){1000}, 1, "__name__", "up", "job", "a", NULL);
    watched->flaky.data.store = memory_store_base(watched->memory);
    watched->flaky.data.version = "3.16.0";
    watched->bench = bench_open(handle_flaky, &watched->flaky);
    watched->prometheus = prometheus_store_create(watched->bench.client, NULL);
    watched->external = store_external_labels_create(watched->prometheus);
    watched->log = log_create(2, LOG_ERROR, LOG_LOGFMT, STR(""));
    watched->metrics = metrics_create();
    watched->watch = prometheus_watch_create(&(struct prometheus_watch_config){
        .client = watched->bench.client,
        .prometheus = watched->prometheus,
        .external_labels = watched->external,
        .interval_ms = 20,
        .timeout_ms = 5000,
        .min_time = watched_min_time,
        .min_time_arg = watched,
        .log = watched->log,
        .metrics = watched->metrics,
    });
}

static void watched_close(struct watched *watched)
{
    prometheus_watch_free(watched->watch);
    store_free(watched->external);
    store_free(watched->flaky.data.store);
    bench_close(&watched->bench);
    metrics_free(watched->metrics);
    log_free(watched->log);
}

static void check_up(struct watched *watched, double want)
{
    CHECK_DOUBLE(metric_value(metrics_gauge(watched->metrics, "thanos_sidecar_prometheus_up", "")),
                 want);
}

static struct store_info describe(struct watched *watched)
{
    struct store_info info = {.arena = watched->bench.arena};
    store_describe(watched->external, &info);
    return info;
}

TEST(labels_and_times_follow_prometheus)
{
    struct watched watched = {.min_time = INT64_MIN};
    watched_open(&watched);
    struct arena *arena = watched.bench.arena;
    watched.flaky.data.external = labels_of(arena, "replica", "0", NULL);
    CHECK_OK(prometheus_watch_start(watched.watch, watched.bench.ctx));
    check_up(&watched, 1);
    struct store_info info = describe(&watched);
    CHECK_EQ(info.min_time, 1500); /* what the fake says */
    CHECK_EQ(info.range_count, 1);
    CHECK_STR(labels_get(info.ranges[0].labels, STR("replica")), "0");
    watched.flaky.data.external = labels_of(arena, "replica", "1", NULL);
    watched.min_time = 7000;
    CHECK_OK(prometheus_watch_once(watched.watch, watched.bench.ctx));
    info = describe(&watched);
    CHECK_EQ(info.min_time, 7000);
    CHECK_STR(labels_get(info.ranges[0].labels, STR("replica")), "1");
    watched.flaky.data.external = (struct labels){NULL, 0}; /* accepted later on */
    CHECK_OK(prometheus_watch_once(watched.watch, watched.bench.ctx));
    CHECK_EQ(describe(&watched).range_count, 0);
    watched_close(&watched);
}

TEST(a_prometheus_that_goes_and_comes_back_is_seen)
{
    struct watched watched = {.min_time = INT64_MIN};
    watched_open(&watched);
    watched.flaky.data.external = labels_of(watched.bench.arena, "replica", "0", NULL);
    CHECK_OK(prometheus_watch_start(watched.watch, watched.bench.ctx));
    atomic_store(&watched.flaky.down, true);
    CHECK_ERROR(prometheus_watch_once(watched.watch, watched.bench.ctx), ERROR_UNAVAILABLE);
    check_up(&watched, 0);
    CHECK_EQ(describe(&watched).range_count, 1); /* the last that is known */
    atomic_store(&watched.flaky.down, false);
    CHECK_OK(prometheus_watch_once(watched.watch, watched.bench.ctx));
    check_up(&watched, 1);
    watched_close(&watched);
}

TEST(without_external_labels_nothing_starts)
{
    struct watched watched = {.min_time = INT64_MIN};
    watched_open(&watched);
    CHECK_ERROR_TEXT(prometheus_watch_start(watched.watch, watched.bench.ctx), ERROR_INVALID,
                     "no external labels configured on Prometheus server, uniquely identifying "
                     "external labels must be configured; see "
                     "https://thanos.io/tip/thanos/storage.md#external-labels for details.");
    watched_close(&watched);
}

static void *bring_up(void *arg)
{
    usleep(150000);
    atomic_store(&((struct flaky *)arg)->down, false);
    return NULL;
}

TEST(the_start_waits_for_prometheus)
{
    struct watched watched = {.min_time = INT64_MIN};
    pthread_t thread;
    watched_open(&watched);
    watched.flaky.data.external = labels_of(watched.bench.arena, "replica", "0", NULL);
    atomic_store(&watched.flaky.down, true);
    pthread_create(&thread, NULL, bring_up, &watched.flaky);
    CHECK_OK(prometheus_watch_start(watched.watch, watched.bench.ctx));
    CHECK(fake_prometheus_requests(watched.bench.fake) > 3);
    pthread_join(thread, NULL);
    watched_close(&watched);
}

struct reports {
    struct context *ctx;
    int well, ill;
};

static void take_report(void *arg, const struct error *err)
{
    struct reports *reports = arg;
    *(err ? &reports->ill : &reports->well) += 1;
    if (reports->well == 3)
        context_cancel(reports->ctx);
}

TEST(heartbeats_go_on_until_told_to_end)
{
    struct watched watched = {.min_time = INT64_MIN};
    watched_open(&watched);
    watched.flaky.data.external = labels_of(watched.bench.arena, "replica", "0", NULL);
    CHECK_OK(prometheus_watch_start(watched.watch, watched.bench.ctx));
    struct reports reports = {context_create(watched.bench.ctx, CONTEXT_NO_DEADLINE), 0, 0};
    prometheus_watch_run(watched.watch, reports.ctx, take_report, &reports);
    CHECK_EQ(reports.well, 3);
    CHECK_EQ(reports.ill, 0);
    context_unref(reports.ctx);
    watched_close(&watched);
}

/* While series have an external label of their own, selects are split; else one call is enough. */
TEST(own_labels_with_external_names_are_noticed)
{
    struct watched watched = {.min_time = INT64_MIN};
    watched_open(&watched);
    watched.flaky.data.external = labels_of(watched.bench.arena, "replica", "0", NULL);
    CHECK_OK(prometheus_watch_start(watched.watch, watched.bench.ctx));
    struct matcher matcher;
    struct series_set *set;
    struct series_batch batch;
    CHECK_OK(
        matcher_create(watched.bench.arena, MATCH_EQUAL, STR("__name__"), STR("up"), &matcher));
    struct store_query query = {
        .max_time = 5000, .matchers = &matcher, .matcher_count = 1, .aggrs = AGGR_BIT(AGGR_RAW)};
    size_t before = fake_prometheus_requests(watched.bench.fake);
    CHECK_OK(store_select(watched.external, watched.bench.ctx, &query, &set));
    CHECK_OK(series_set_read_all(set, watched.bench.arena, 10, &batch));
    CHECK_EQ(fake_prometheus_requests(watched.bench.fake), before + 1);
    memory_store_add(watched.memory, (int64_t[]){2000}, 1, "__name__", "up", "replica", "own",
                     NULL);
    CHECK_OK(prometheus_watch_once(watched.watch, watched.bench.ctx));
    before = fake_prometheus_requests(watched.bench.fake);
    CHECK_OK(store_select(watched.external, watched.bench.ctx, &query, &set));
    CHECK_OK(series_set_read_all(set, watched.bench.arena, 10, &batch));
    CHECK_EQ(fake_prometheus_requests(watched.bench.fake), before + 2);
    CHECK_STR(series_batch_text(watched.bench.arena, &batch),
              "{__name__=\"up\", replica=\"0\"}@2000");
    watched_close(&watched);
}

TEST_MAIN(TEST_ENTRY(labels_and_times_follow_prometheus),
          TEST_ENTRY(a_prometheus_that_goes_and_comes_back_is_seen),
          TEST_ENTRY(without_external_labels_nothing_starts),
          TEST_ENTRY(the_start_waits_for_prometheus),
          TEST_ENTRY(heartbeats_go_on_until_told_to_end),
          TEST_ENTRY(own_labels_with_external_names_are_noticed))
