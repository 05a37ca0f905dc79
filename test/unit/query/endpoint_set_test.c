#include "unit/rpc/rpc_server.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "query/endpoint_set.h"
#include "runtime/metrics.h"
#include "runtime/time.h"
#include "store/store_proxy.h"

/* Stores served at ports that can be stopped and started again, and the set that watches them. */
struct fixture {
    struct rpc_server servers[3];
    struct store *stores[3];
    char addresses[3][32];
    bool is_running[3];
    struct event_loops *loops;
    struct log *log;
    struct metrics *metrics;
    struct endpoint_set *set;
    struct context *ctx;
    struct arena *arena;
    struct mutex lock;
    struct endpoint_spec specs[5];
    size_t spec_count;
};

static void fixture_specs(void *self, struct arena *arena, struct endpoint_specs *out)
{
    struct fixture *f = self;
    mutex_lock(&f->lock);
    out->items = arena_array(arena, f->spec_count, sizeof(*out->items));
    for (size_t i = 0; i < f->spec_count; i++)
        out->items[i] = f->specs[i];
    out->count = f->spec_count;
    out->is_complete = true;
    mutex_unlock(&f->lock);
}

/* The first `count` of the specs, from now on. */
static void fixture_set_count(struct fixture *f, size_t count)
{
    mutex_lock(&f->lock);
    f->spec_count = count;
    mutex_unlock(&f->lock);
    endpoint_set_refresh(f->set);
}

static void fixture_start_server(struct fixture *f, size_t i)
{
    rpc_server_start(&f->servers[i], f->stores[i], f->addresses[i][0] ? f->addresses[i] : NULL,
                     NULL);
    struct str address = grpc_server_address(f->servers[i].server);
    if (!f->addresses[i][0]) /* the same one again when it is started again */
        snprintf(f->addresses[i], sizeof(f->addresses[i]), "%.*s", STR_ARG(address));
    f->is_running[i] = true;
}

static void fixture_stop_server(struct fixture *f, size_t i)
{
    rpc_server_stop(&f->servers[i]);
    f->is_running[i] = false;
}

static void fixture_init(struct fixture *f, int64_t unhealthy_timeout_ms)
{
    static const char *const replicas[] = {"a", "b", "c"};
    *f = (struct fixture){.arena = arena_create(NULL)};
    mutex_init(&f->lock);
    for (size_t i = 0; i < 3; i++) {
        struct memory_store *store = memory_store_create();
        memory_store_add(store, (int64_t[]){1000}, 1, "__name__", "up", "replica", replicas[i],
                         NULL);
        memory_store_add_range(store, labels_of(f->arena, "replica", replicas[i], NULL));
        f->stores[i] = memory_store_base(store);
        fixture_start_server(f, i);
        f->specs[i].address = str_from(f->addresses[i]);
    }
    f->specs[3].address = f->specs[0].address;
    f->spec_count = 4;
    f->loops = event_loops_create(1);
    f->log = log_create(2, LOG_ERROR, LOG_LOGFMT, STR(""));
    f->metrics = metrics_create();
    f->ctx = context_create(NULL, 30000);
    context_collect_warnings(f->ctx);
    f->set = endpoint_set_create(&(struct endpoint_set_config){
        .loops = f->loops,
        .specs = fixture_specs,
        .specs_self = f,
        .check_interval_ms = 50,
        .check_timeout_ms = 2000,
        .unhealthy_timeout_ms = unhealthy_timeout_ms,
        .metric_labels = ENDPOINT_METRIC_EXTERNAL_LABELS | ENDPOINT_METRIC_STORE_TYPE,
        .log = f->log,
        .metrics = f->metrics,
    });
}

static void fixture_deinit(struct fixture *f)
{
    endpoint_set_free(f->set);
    context_unref(f->ctx);
    arena_unref(f->arena);
    event_loops_free(f->loops);
    metrics_free(f->metrics);
    log_free(f->log);
    mutex_deinit(&f->lock);
    for (size_t i = 0; i < 3; i++) {
        if (f->is_running[i])
            fixture_stop_server(f, i);
        store_free(f->stores[i]);
    }
}

static size_t fixture_stores(struct fixture *f)
{
    struct store_list *list = endpoint_set_stores(f->set);
    size_t count = store_list_count(list);
    store_list_unref(list);
    return count;
}

static struct endpoint_statuses fixture_statuses(struct fixture *f)
{
    struct endpoint_statuses statuses;
    endpoint_set_statuses(f->set, f->arena, &statuses);
    return statuses;
}

static void fixture_wait_stores(struct fixture *f, size_t want)
{
    int64_t until = time_now_monotonic_ms() + 15000;
    while (fixture_stores(f) != want && time_now_monotonic_ms() < until)
        CHECK_OK(context_sleep(f->ctx, 10));
    CHECK_EQ(fixture_stores(f), want);
}

static void check_metrics(struct fixture *f, const char *part, bool is_there)
{
    struct buf text = BUF_INIT(NULL);
    metrics_write(f->metrics, &text, false);
    if (str_contains(buf_str(&text), str_from(part)) != is_there)
        CHECK_STR(buf_str(&text), part);
    buf_deinit(&text);
}

TEST(endpoints_come_go_and_come_back)
{
    struct fixture f;
    fixture_init(&f, 60000);
    CHECK_EQ(fixture_stores(&f), 0);
    CHECK_EQ(fixture_statuses(&f).count, 0);
    CHECK_OK(endpoint_set_start(f.set));
    CHECK_OK(endpoint_set_wait_checked(f.set, f.ctx));
    CHECK_EQ(fixture_stores(&f), 3); /* the one given twice counts once */
    check_metrics(&f, "thanos_query_duplicated_endpoint_addresses_total 0\n", false);
    check_metrics(&f,
                  "thanos_store_nodes_grpc_connections{external_labels=\"{replica=\\\"b\\\"}\","
                  "store_type=\"sidecar\"} 1\n",
                  true);
    struct endpoint_statuses statuses = fixture_statuses(&f);
    CHECK_EQ(statuses.count, 3);
    CHECK_STR(statuses.items[0].type, "sidecar");
    CHECK_EQ(statuses.items[0].last_error.len, 0);
    CHECK_EQ(statuses.items[0].label_set_count, 1);
    CHECK(statuses.items[0].last_check_ms > time_now_ms() - 10000);
    fixture_stop_server(&f, 1);
    fixture_wait_stores(&f, 2);
    check_metrics(&f, "replica=\\\"b\\\"", false);
    statuses = fixture_statuses(&f);
    CHECK_EQ(statuses.count, 3); /* still shown, with its error */
    size_t failed = 0;
    for (size_t i = 0; i < 3; i++)
        failed += str_contains(statuses.items[i].last_error, STR("code = Unavailable"));
    CHECK_EQ(failed, 1);
    fixture_start_server(&f, 1);
    fixture_wait_stores(&f, 3);
    fixture_deinit(&f);
}

TEST(endpoints_away_for_long_are_forgotten)
{
    struct fixture f;
    fixture_init(&f, 100);
    CHECK_OK(endpoint_set_start(f.set));
    CHECK_OK(endpoint_set_wait_checked(f.set, f.ctx));
    fixture_stop_server(&f, 0);
    fixture_wait_stores(&f, 2);
    int64_t until = time_now_monotonic_ms() + 15000;
    while (fixture_statuses(&f).count == 3 && time_now_monotonic_ms() < until)
        CHECK_OK(context_sleep(f.ctx, 10));
    CHECK_EQ(fixture_statuses(&f).count, 2);
    fixture_deinit(&f);
}

TEST(endpoints_that_are_not_ready_are_not_asked)
{
    struct fixture f;
    fixture_init(&f, 60000);
    f.servers[2].is_ready = false;
    CHECK_OK(endpoint_set_start(f.set));
    CHECK_OK(endpoint_set_wait_checked(f.set, f.ctx));
    CHECK_EQ(fixture_stores(&f), 2);
    f.servers[2].is_ready = true;
    fixture_wait_stores(&f, 3);
    fixture_deinit(&f);
}

TEST(queries_go_to_the_endpoints_and_outlive_their_removal)
{
    struct fixture f;
    fixture_init(&f, 60000);
    CHECK_OK(endpoint_set_start(f.set));
    CHECK_OK(endpoint_set_wait_checked(f.set, f.ctx));
    struct store *proxy = store_proxy_create(
        &(struct store_proxy_config){.stores = endpoint_set_stores, .self = f.set});
    struct matcher matcher;
    CHECK_OK(matcher_create(f.arena, MATCH_EQUAL, STR("__name__"), STR("up"), &matcher));
    struct store_query query = {
        .min_time = 0, .max_time = 9000, .matchers = &matcher, .matcher_count = 1, .aggrs = 1};
    struct series_set *set;
    struct series_batch batch;
    CHECK_OK(store_select(proxy, f.ctx, &query, &set));
    while (!series_set_ready(set, NULL)) /* all streams have begun */
        CHECK_OK(context_sleep(f.ctx, 5));
    fixture_stop_server(&f, 0); /* a graceful stop: running streams end */
    fixture_wait_stores(&f, 2);
    CHECK_OK(series_set_read_all(set, f.arena, 10, &batch));
    CHECK_EQ(batch.count, 3);
    CHECK_OK(store_select(proxy, f.ctx, &query, &set));
    CHECK_OK(series_set_read_all(set, f.arena, 10, &batch));
    CHECK_EQ(batch.count, 2);
    CHECK(!context_has_warnings(f.ctx));
    store_free(proxy);
    fixture_deinit(&f);
}

TEST(endpoints_come_and_go_with_discovery)
{
    struct fixture f;
    fixture_init(&f, 60000);
    fixture_set_count(&f, 1);
    CHECK_OK(endpoint_set_start(f.set));
    CHECK_OK(endpoint_set_wait_checked(f.set, f.ctx));
    CHECK_EQ(fixture_stores(&f), 1);
    fixture_set_count(&f, 3);
    fixture_wait_stores(&f, 3);
    CHECK_EQ(fixture_statuses(&f).count, 3);
    fixture_set_count(&f, 2);
    fixture_wait_stores(&f, 2);
    CHECK_EQ(fixture_statuses(&f).count, 2); /* what is not wanted is not shown */
    check_metrics(&f, "replica=\\\"c\\\"", false);
    fixture_set_count(&f, 0);
    fixture_wait_stores(&f, 0);
    CHECK_EQ(fixture_statuses(&f).count, 0);
    fixture_deinit(&f);
}

TEST(strict_endpoints_are_asked_whatever_their_health)
{
    struct fixture f;
    fixture_init(&f, 100);
    f.specs[2] = f.specs[0]; /* the last of three is never reached */
    f.specs[0].address = f.specs[1].address;
    f.specs[1].address = str_from(f.addresses[2]);
    f.specs[0].is_strict = f.specs[2].is_strict = true;
    fixture_set_count(&f, 3);
    fixture_stop_server(&f, 0);
    CHECK_OK(endpoint_set_start(f.set));
    CHECK_OK(endpoint_set_wait_checked(f.set, f.ctx));
    CHECK_EQ(fixture_stores(&f), 3);
    CHECK_EQ(fixture_statuses(&f).count, 2); /* nothing is known of it */
    check_metrics(&f,
                  "thanos_store_nodes_grpc_connections{external_labels=\"no_external_labels\","
                  "store_type=\"unknown-store-api\"} 1\n",
                  true);
    struct store *proxy = store_proxy_create(
        &(struct store_proxy_config){.stores = endpoint_set_stores, .self = f.set});
    struct store_info info = {.arena = f.arena};
    store_describe(proxy, &info);
    CHECK_EQ(info.range_count, 3);
    CHECK_EQ(info.ranges[2].labels.len, 0);
    store_free(proxy);
    fixture_stop_server(&f, 1);
    fixture_stop_server(&f, 2);
    fixture_wait_stores(&f, 2);
    int64_t until = time_now_monotonic_ms() + 15000;
    while (fixture_statuses(&f).count == 2 && time_now_monotonic_ms() < until)
        CHECK_OK(context_sleep(f.ctx, 10));
    CHECK_EQ(fixture_statuses(&f).count, 1); /* the strict one is shown for ever */
    CHECK(fixture_statuses(&f).items[0].last_error.len > 0);
    fixture_set_count(&f, 0);
    fixture_wait_stores(&f, 0);
    fixture_deinit(&f);
}

TEST(an_endpoint_with_other_settings_is_another_one)
{
    struct fixture f;
    fixture_init(&f, 60000);
    fixture_set_count(&f, 3);
    CHECK_OK(endpoint_set_start(f.set));
    CHECK_OK(endpoint_set_wait_checked(f.set, f.ctx));
    CHECK_EQ(fixture_stores(&f), 3);
    mutex_lock(&f.lock);
    f.specs[0].tls = (struct endpoint_tls){true, {.min_version = TLS_VERSION_1_2}};
    f.specs[1].tls = f.specs[0].tls;
    f.specs[1].tls.config.ca_file = STR("/nowhere/ca.pem"); /* left out, with a line in the log */
    f.specs[2].compress = true;
    mutex_unlock(&f.lock);
    endpoint_set_refresh(f.set);
    fixture_wait_stores(&f, 1); /* no server here speaks TLS */
    CHECK_EQ(fixture_statuses(&f).count, 1);
    fixture_deinit(&f);
}

/* The replica that answers a select for "up" through the proxy. */
static char ask_replica(struct fixture *f, struct store *proxy)
{
    struct matcher matcher;
    CHECK_OK(matcher_create(f->arena, MATCH_EQUAL, STR("__name__"), STR("up"), &matcher));
    struct store_query query = {.min_time = 0,
                                .max_time = 9000,
                                .matchers = &matcher,
                                .matcher_count = 1,
                                .aggrs = 1,
                                .partial = PARTIAL_ABORT};
    struct series_set *set;
    struct series_batch batch;
    CHECK_OK(store_select(proxy, f->ctx, &query, &set));
    CHECK_OK(series_set_read_all(set, f->arena, 10, &batch));
    CHECK_EQ(batch.count, 1);
    return labels_get(batch.items[0].labels, STR("replica")).data[0];
}

static void ask_often(struct fixture *f, struct store *proxy, size_t times, size_t counts[3])
{
    memset(counts, 0, 3 * sizeof(*counts));
    for (size_t i = 0; i < times; i++)
        counts[ask_replica(f, proxy) - 'a']++;
}

TEST(calls_to_a_group_take_turns)
{
    struct fixture f;
    fixture_init(&f, 60000);
    size_t counts[3];
    struct str members[] = {str_from(f.addresses[0]), str_from(f.addresses[1]),
                            str_from(f.addresses[2])};
    f.specs[0] = (struct endpoint_spec){.address = STR("thanos:///dns+stores.test:10901"),
                                        .is_group = true,
                                        .members = members,
                                        .member_count = 3};
    fixture_set_count(&f, 1);
    CHECK_OK(endpoint_set_start(f.set));
    CHECK_OK(endpoint_set_wait_checked(f.set, f.ctx));
    struct store *proxy = store_proxy_create(
        &(struct store_proxy_config){.stores = endpoint_set_stores, .self = f.set});
    CHECK_EQ(fixture_statuses(&f).count, 1);
    CHECK_STR(fixture_statuses(&f).items[0].address, "thanos:///dns+stores.test:10901");
    CHECK_OK(context_sleep(f.ctx, 200)); /* all members are connected */
    ask_often(&f, proxy, 60, counts);
    CHECK(counts[0] >= 10 && counts[1] >= 10 && counts[2] >= 10);
    fixture_stop_server(&f, 1); /* nobody notices */
    ask_often(&f, proxy, 30, counts);
    CHECK_EQ(counts[1], 0);
    CHECK(counts[0] >= 8 && counts[2] >= 8);
    fixture_start_server(&f, 1);
    int64_t until = time_now_monotonic_ms() + 15000;
    do
        ask_often(&f, proxy, 12, counts);
    while (counts[1] == 0 && time_now_monotonic_ms() < until);
    CHECK(counts[1] > 0);
    mutex_lock(&f.lock);
    f.specs[0].members = members + 2;
    f.specs[0].member_count = 1;
    mutex_unlock(&f.lock);
    endpoint_set_refresh(f.set);
    CHECK_OK(context_sleep(f.ctx, 200));
    ask_often(&f, proxy, 10, counts);
    CHECK_EQ(counts[2], 10);
    mutex_lock(&f.lock);
    f.specs[0].member_count = 0; /* they stay */
    mutex_unlock(&f.lock);
    endpoint_set_refresh(f.set);
    CHECK_OK(context_sleep(f.ctx, 200));
    ask_often(&f, proxy, 10, counts);
    CHECK_EQ(counts[2], 10);
    fixture_stop_server(&f, 2);
    fixture_wait_stores(&f, 0);
    store_free(proxy);
    fixture_deinit(&f);
}

TEST(a_group_in_order_asks_the_first)
{
    struct fixture f;
    fixture_init(&f, 60000);
    size_t counts[3];
    struct str members[] = {str_from(f.addresses[0]), str_from(f.addresses[1]),
                            str_from(f.addresses[2])};
    f.specs[0] = (struct endpoint_spec){.address = STR("thanos:///stores.test:10901"),
                                        .is_group = true,
                                        .in_order = true,
                                        .members = members,
                                        .member_count = 3};
    fixture_set_count(&f, 1);
    CHECK_OK(endpoint_set_start(f.set));
    CHECK_OK(endpoint_set_wait_checked(f.set, f.ctx));
    struct store *proxy = store_proxy_create(
        &(struct store_proxy_config){.stores = endpoint_set_stores, .self = f.set});
    CHECK_OK(context_sleep(f.ctx, 200));
    ask_often(&f, proxy, 10, counts);
    CHECK_EQ(counts[0], 10);
    fixture_stop_server(&f, 0);
    ask_often(&f, proxy, 10, counts);
    CHECK_EQ(counts[1], 10);
    store_free(proxy);
    fixture_deinit(&f);
}

TEST(a_group_without_members_is_not_reached)
{
    struct fixture f;
    fixture_init(&f, 60000);
    f.specs[0] =
        (struct endpoint_spec){.address = STR("thanos:///dns+nobody.test:1"), .is_group = true};
    fixture_set_count(&f, 1);
    CHECK_OK(endpoint_set_start(f.set));
    CHECK_OK(endpoint_set_wait_checked(f.set, f.ctx));
    CHECK_EQ(fixture_stores(&f), 0);
    struct str member = str_from(f.addresses[0]);
    mutex_lock(&f.lock);
    f.specs[0].members = &member;
    f.specs[0].member_count = 1;
    mutex_unlock(&f.lock);
    fixture_wait_stores(&f, 1);
    fixture_deinit(&f);
}

TEST_MAIN(TEST_ENTRY(endpoints_come_go_and_come_back),
          TEST_ENTRY(endpoints_away_for_long_are_forgotten),
          TEST_ENTRY(endpoints_that_are_not_ready_are_not_asked),
          TEST_ENTRY(queries_go_to_the_endpoints_and_outlive_their_removal),
          TEST_ENTRY(endpoints_come_and_go_with_discovery),
          TEST_ENTRY(strict_endpoints_are_asked_whatever_their_health),
          TEST_ENTRY(an_endpoint_with_other_settings_is_another_one),
          TEST_ENTRY(calls_to_a_group_take_turns), TEST_ENTRY(a_group_in_order_asks_the_first),
          TEST_ENTRY(a_group_without_members_is_not_reached))
