#include "unit/rpc/rpc_server.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/time.h"
#include "store/store_external_labels.h"
#include "store/store_proxy.h"
#include "unit/store/store_acceptance.h"

/* A store behind gRPC, and all that it takes. */
struct remote {
    struct rpc_server server;
    struct store *served;
    struct event_loops *loops;
    struct store *store;
    struct context *ctx;
    struct arena *arena;
};

static void remote_init(struct remote *r, struct store *served)
{
    *r = (struct remote){.served = served};
    rpc_server_start(&r->server, served, NULL, NULL);
    r->loops = event_loops_create(1);
    struct str address = grpc_server_address(r->server.server);
    r->store = grpc_store_create(grpc_channel_create(r->loops, address), address);
    r->ctx = context_create(NULL, 20000);
    context_collect_warnings(r->ctx);
    r->arena = arena_create(NULL);
}

static void remote_ask(struct remote *r)
{
    struct peer_info info;
    CHECK_OK(info_call_finish(grpc_store_ask_info(r->store, r->ctx), r->arena, &info));
    grpc_store_set_info(r->store, &info);
}

static void remote_deinit(struct remote *r)
{
    arena_unref(r->arena);
    context_unref(r->ctx);
    store_free(r->store);
    event_loops_free(r->loops);
    rpc_server_stop(&r->server);
    store_free(r->served);
}

/* -- acceptance: with external labels put on by the server, as a sidecar does -- */

static struct store *create_remote(void *arg, const struct series_batch *data,
                                   struct labels external)
{
    struct remote *r = arg;
    struct memory_store *inner = memory_store_create();
    memory_store_info(inner)->drops_labels = memory_store_info(inner)->shards = false;
    for (size_t i = 0; i < data->count; i++)
        memory_store_add_series(inner, &data->items[i]);
    struct store *served = store_external_labels_create(memory_store_base(inner));
    store_external_labels_set(served, external);
    remote_init(r, served);
    remote_ask(r);
    return r->store;
}

static void free_remote(void *arg, struct store *store UNUSED)
{
    remote_deinit(arg);
}

TEST(stores_over_grpc_pass_the_acceptance_suite)
{
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct remote remote;
    context_collect_warnings(ctx);
    store_acceptance_run(&(struct store_subject){create_remote, free_remote, &remote}, ctx);
    context_unref(ctx);
}

/* -- what a peer says of itself -- */

TEST(info_travels)
{
    struct remote r;
    struct memory_store *inner = memory_store_create();
    struct arena *arena = arena_create(NULL);
    memory_store_info(inner)->min_time = 5;
    memory_store_info(inner)->max_time = 50;
    memory_store_add_range(inner, labels_of(arena, "r", "1", NULL));
    memory_store_add_range(inner, labels_of(arena, "r", "1", NULL));
    memory_store_add_range(inner, labels_of(arena, NULL, NULL));
    remote_init(&r, memory_store_base(inner));
    struct peer_info info;
    CHECK_OK(info_call_finish(grpc_store_ask_info(r.store, r.ctx), r.arena, &info));
    CHECK_STR(info.type, "sidecar");
    CHECK(info.has_store && info.has_rules && info.has_exemplars);
    CHECK(!info.has_targets && !info.has_query && !info.has_metadata && !info.has_status);
    CHECK(info.drops_labels && info.shards);
    CHECK_EQ(info.label_set_count, 1);
    CHECK_EQ(info.range_count, 3);
    CHECK_EQ(info.min_time, 5);
    CHECK_EQ(info.exemplars_max_time, 50);
    grpc_store_set_info(r.store, &info);
    struct store_info described = {.arena = r.arena};
    store_describe(r.store, &described);
    CHECK(described.is_remote && described.drops_labels);
    CHECK_EQ(described.range_count, 3);
    r.server.is_ready = false;
    CHECK_ERROR_TEXT(info_call_finish(grpc_store_ask_info(r.store, r.ctx), r.arena, &info),
                     ERROR_INTERNAL, "code = Unknown desc = Not ready");
    remote_deinit(&r);
    arena_unref(arena);
}

/* -- failures -- */

static struct memory_store *up_store(void)
{
    struct memory_store *store = memory_store_create();
    memory_store_add(store, (int64_t[]){1, 2}, 2, "__name__", "up", "job", "a", NULL);
    memory_store_add(store, (int64_t[]){1, 2}, 2, "__name__", "up", "job", "b", NULL);
    memory_store_add(store, (int64_t[]){1, 2}, 2, "__name__", "up", "job", "c", NULL);
    memory_store_info(store)->min_time = 0;
    memory_store_info(store)->max_time = 9;
    return store;
}

static struct store_query up_query(struct arena *arena)
{
    struct matcher *matcher = arena_alloc(arena, sizeof(*matcher));
    CHECK_OK(matcher_create(arena, MATCH_EQUAL, STR("__name__"), STR("up"), matcher));
    return (struct store_query){
        .min_time = 0, .max_time = 9, .matchers = matcher, .matcher_count = 1, .aggrs = 1};
}

static const struct {
    const char *name;
    enum error_kind kind, want;
    const char *want_text;
} failure_cases[] = {
    {"invalid", ERROR_INVALID, ERROR_INVALID,
     "receive series from Addr: A MinTime: 0 MaxTime: 9: rpc error: code = InvalidArgument desc = "
     "the cause"},
    {"limit", ERROR_LIMIT, ERROR_QUERY, "code = ResourceExhausted desc = the cause"},
    {"internal", ERROR_INTERNAL, ERROR_INTERNAL, "code = Internal desc = the cause"},
    {"unavailable", ERROR_UNAVAILABLE, ERROR_UNAVAILABLE, "code = Unavailable desc = the cause"},
    {"corrupt", ERROR_CORRUPT, ERROR_CORRUPT, "code = DataLoss desc = the cause"},
};

/* The address differs from run to run. */
static void check_failure(struct remote *r, struct error *err, enum error_kind want,
                          const char *want_text)
{
    char text[512], *at;
    struct str address = grpc_server_address(r->server.server);
    snprintf(text, sizeof(text), "%.*s", STR_ARG(error_text(err)));
    char *found = strstr(text, arena_cstr(r->arena, address));
    if (found) {
        at = found + address.len;
        *found = 'A';
        memmove(found + 1, at, strlen(at) + 1);
    }
    CHECK_EQ(error_kind(err), want);
    if (!strstr(text, want_text))
        CHECK_STR(str_from(text), want_text);
    error_free(err);
}

TEST(failures_of_a_peer_are_named)
{
    for_each_case(c, failure_cases) {
        struct remote r;
        struct memory_store *inner = up_store();
        memory_store_set_batch(inner, 1);
        memory_store_fail_after(inner, 2, c->kind, "the cause");
        remote_init(&r, memory_store_base(inner));
        remote_ask(&r);
        struct store_query query = up_query(r.arena);
        struct series_set *set;
        struct series_batch batch;
        CHECK_OK(store_select(r.store, r.ctx, &query, &set));
        struct error *err = series_set_read_all(set, r.arena, 10, &batch);
        CHECK_EQ(batch.count, 2); /* what came before the failure */
        check_failure(&r, err, c->want, c->want_text);
        memory_store_fail_after(inner, 0, ERROR_NONE, NULL);
        memory_store_fail_calls(inner, c->kind, "the cause");
        CHECK_OK(store_select(r.store, r.ctx, &query, &set));
        check_failure(&r, series_set_read_all(set, r.arena, 10, &batch), c->want, "the cause");
        struct str_list list;
        CHECK_ERROR_TEXT(store_label_names(r.store, r.ctx, &query, r.arena, &list), c->kind,
                         "the cause");
        remote_deinit(&r);
    }
}

TEST(a_peer_that_is_not_there_cannot_be_fetched_from)
{
    struct remote r;
    struct series_set *set;
    struct series_batch batch;
    remote_init(&r, memory_store_base(up_store()));
    struct store_query query = up_query(r.arena);
    struct store *gone =
        grpc_store_create(grpc_channel_create(r.loops, STR("127.0.0.1:1")), STR("127.0.0.1:1"));
    CHECK_OK(store_select(gone, r.ctx, &query, &set));
    CHECK_ERROR_TEXT(series_set_read_all(set, r.arena, 10, &batch), ERROR_UNAVAILABLE,
                     "fetch series for Store Gateway Addr: 127.0.0.1:1 MinTime: "
                     "-9223372036854775808 MaxTime: 9223372036854775807: rpc error: code = "
                     "Unavailable");
    store_free(gone);
    remote_deinit(&r);
}

/* -- warnings -- */

struct served_proxy {
    struct store_list *list;
};

static struct store_list *served_list(void *self)
{
    return store_list_ref(((struct served_proxy *)self)->list);
}

static void count_warning(void *arg, struct str text)
{
    CHECK_STR(text, "one store is broken");
    ++*(size_t *)arg;
}

TEST(warnings_of_a_peer_are_passed_on_or_end_the_query)
{
    struct memory_store *good = up_store(), *bad = memory_store_create();
    memory_store_add(bad, (int64_t[]){1}, 1, "__name__", "up", "job", "bb", NULL);
    memory_store_fail_after(bad, 0, ERROR_INTERNAL, "one store is broken");
    struct store_member members[] = {{.store = memory_store_base(good)},
                                     {.store = memory_store_base(bad)}};
    struct served_proxy proxy = {store_list_create(members, 2)};
    struct remote r;
    remote_init(&r, store_proxy_create(
                        &(struct store_proxy_config){.stores = served_list, .self = &proxy}));
    remote_ask(&r);
    struct store_query query = up_query(r.arena);
    struct series_set *set;
    struct series_batch batch;
    CHECK_OK(store_select(r.store, r.ctx, &query, &set));
    CHECK_OK(series_set_read_all(set, r.arena, 10, &batch));
    CHECK_EQ(batch.count, 3);
    size_t warnings = 0;
    context_each_warning(r.ctx, count_warning, &warnings);
    CHECK_EQ(warnings, 1);
    query.partial = PARTIAL_ABORT;
    CHECK_OK(store_select(r.store, r.ctx, &query, &set));
    CHECK_ERROR_TEXT(series_set_read_all(set, r.arena, 10, &batch), ERROR_UNAVAILABLE,
                     "one store is broken");
    remote_deinit(&r);
    store_list_unref(proxy.list);
    store_free(memory_store_base(good));
    store_free(memory_store_base(bad));
}

/* -- streams -- */

TEST(batches_are_as_large_as_asked_for)
{
    static const size_t sizes[] = {0, 1, 2, 64, 1000};
    struct remote r;
    struct memory_store *inner = memory_store_create();
    for (int i = 0; i < 700; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%06d", i);
        memory_store_add(inner, (int64_t[]){1, 2}, 2, "__name__", "up", "i", value, NULL);
    }
    remote_init(&r, memory_store_base(inner));
    for (size_t i = 0; i < countof(sizes); i++) {
        for (size_t max = 1; max < 1000; max *= 10) {
            struct store_query query = up_query(r.arena);
            struct series_set *set;
            struct series_batch batch;
            query.hints.batch_size = sizes[i];
            CHECK_OK(store_select(r.store, r.ctx, &query, &set));
            CHECK_OK(series_set_read_all(set, r.arena, max, &batch));
            CHECK_EQ(batch.count, 700);
        }
    }
    remote_deinit(&r);
}

/* A set whose label sets go down. */
static struct error *falling_select(struct store *base UNUSED, struct context *ctx UNUSED,
                                    const struct store_query *query UNUSED, struct series_set **out)
{
    struct arena *arena = arena_create(NULL);
    struct series *items = arena_zalloc(arena, 3 * sizeof(*items));
    items[0].labels = labels_of(arena, "a", "3", NULL);
    items[1].labels = labels_of(arena, "a", "1", NULL);
    items[2].labels = labels_of(arena, "a", "2", NULL);
    *out = series_set_from_array(arena, items, 3);
    arena_unref(arena);
    return NULL;
}

static void falling_free(struct store *base)
{
    free(base);
}

static const struct store_ops falling_ops = {.select = falling_select, .free = falling_free};

TEST(a_peer_out_of_order_is_sorted_from_the_second_time_on)
{
    struct remote r;
    struct store *falling = xcalloc(1, sizeof(*falling));
    falling->ops = &falling_ops;
    remote_init(&r, falling);
    struct store_query query = up_query(r.arena);
    struct series_set *set;
    struct series_batch batch;
    CHECK_OK(store_select(r.store, r.ctx, &query, &set));
    CHECK_ERROR_TEXT(series_set_read_all(set, r.arena, 10, &batch), ERROR_CORRUPT,
                     "series out of order");
    CHECK_OK(store_select(r.store, r.ctx, &query, &set));
    CHECK_OK(series_set_read_all(set, r.arena, 10, &batch));
    CHECK_STR(series_batch_text(r.arena, &batch), "{a=\"1\"} {a=\"2\"} {a=\"3\"}");
    /* the fixture's store has no describe(); nobody asks for it */
    remote_deinit(&r);
}

struct wakes {
    pthread_mutex_t lock;
    pthread_cond_t woken;
    int count;
};

static void wakes_add(void *arg)
{
    struct wakes *wakes = arg;
    pthread_mutex_lock(&wakes->lock);
    wakes->count++;
    pthread_cond_broadcast(&wakes->woken);
    pthread_mutex_unlock(&wakes->lock);
}

TEST(silent_peers_wake_and_hold_no_thread)
{
    struct remote r;
    struct wakes wakes = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    struct memory_store *inner = up_store();
    remote_init(&r, memory_store_base(inner));
    struct store_query query = up_query(r.arena);
    struct series_set *sets[40];
    struct series_batch batch;
    memory_store_stall(inner, true);
    for (size_t i = 0; i < countof(sets); i++) {
        CHECK_OK(store_select(r.store, r.ctx, &query, &sets[i]));
        CHECK(!series_set_ready(sets[i], &(struct series_wake){wakes_add, &wakes}));
    }
    CHECK_OK(context_sleep(r.ctx, 50));
    CHECK_EQ(wakes.count, 0);
    memory_store_stall(inner, false);
    pthread_mutex_lock(&wakes.lock);
    while (wakes.count < (int)countof(sets))
        pthread_cond_wait(&wakes.woken, &wakes.lock);
    pthread_mutex_unlock(&wakes.lock);
    for (size_t i = 0; i < countof(sets); i++) {
        CHECK(series_set_ready(sets[i], &(struct series_wake){wakes_add, &wakes}));
        CHECK_OK(series_set_read_all(sets[i], r.arena, 10, &batch));
        CHECK_EQ(batch.count, 3);
    }
    remote_deinit(&r);
}

static void *cancel_later(void *arg)
{
    struct remote *r = arg;
    error_free(context_sleep(r->ctx, 50));
    context_cancel(r->ctx);
    return NULL;
}

TEST(a_cancelled_query_ends_at_once_on_both_sides)
{
    struct remote r;
    struct memory_store *inner = up_store();
    pthread_t thread;
    remote_init(&r, memory_store_base(inner));
    struct store_query query = up_query(r.arena);
    struct series_set *set;
    struct series_batch batch;
    memory_store_stall(inner, true);
    CHECK_OK(store_select(r.store, r.ctx, &query, &set));
    pthread_create(&thread, NULL, cancel_later, &r);
    int64_t start = time_now_monotonic_ms();
    CHECK_ERROR(series_set_next(set, r.arena, 10, &batch), ERROR_CANCELLED);
    CHECK(time_now_monotonic_ms() - start < 1000);
    pthread_join(thread, NULL);
    series_set_free(set);
    remote_deinit(&r); /* waits for the server's streams: they have ended, too */
}

static struct store_query seen_query;
static char seen_tenant[32], seen_id[32];

static struct error *seeing_select(struct store *base UNUSED, struct context *ctx,
                                   const struct store_query *query, struct series_set **out)
{
    seen_query = *query;
    snprintf(seen_tenant, sizeof(seen_tenant), "%.*s", STR_ARG(context_tenant(ctx)));
    snprintf(seen_id, sizeof(seen_id), "%.*s", STR_ARG(context_request_id(ctx)));
    *out = series_set_empty();
    return NULL;
}

static const struct store_ops seeing_ops = {.select = seeing_select, .free = falling_free};

TEST(tenant_and_request_id_travel)
{
    struct remote r;
    struct store *seeing = xcalloc(1, sizeof(*seeing));
    seeing->ops = &seeing_ops;
    remote_init(&r, seeing);
    struct store_query query = up_query(r.arena);
    struct series_set *set;
    struct series_batch batch;
    CHECK_OK(store_select(r.store, r.ctx, &query, &set));
    CHECK_OK(series_set_read_all(set, r.arena, 10, &batch));
    CHECK_STR(str_from(seen_tenant), "default-tenant");
    CHECK_EQ(seen_query.hints.batch_size, GRPC_STORE_BATCH);
    struct context *ctx = context_create(r.ctx, CONTEXT_NO_DEADLINE);
    context_set_tenant(ctx, STR("team-a"));
    context_set_request_id(ctx, STR("id7"));
    CHECK_OK(store_select(r.store, ctx, &query, &set));
    CHECK_OK(series_set_read_all(set, r.arena, 10, &batch));
    CHECK_STR(str_from(seen_tenant), "team-a");
    CHECK_STR(str_from(seen_id), "id7");
    context_unref(ctx);
    remote_deinit(&r);
}

TEST(memory_of_a_select_is_charged_and_given_back)
{
    struct remote r;
    struct budget *budget = budget_create(NULL, "query", 0);
    struct memory_store *inner = memory_store_create();
    for (int i = 0; i < 500; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%06d", i);
        memory_store_add(inner, (int64_t[]){1, 2}, 2, "__name__", "up", "i", value, NULL);
    }
    remote_init(&r, memory_store_base(inner));
    struct context *ctx = context_create(r.ctx, CONTEXT_NO_DEADLINE);
    context_set_budget(ctx, budget);
    struct store_query query = up_query(r.arena);
    struct series_set *set;
    struct series_batch batch;
    struct arena *arena = arena_create(budget);
    CHECK_OK(store_select(r.store, ctx, &query, &set));
    CHECK_OK(series_set_read_all(set, arena, 100, &batch));
    CHECK_EQ(batch.count, 500);
    CHECK(budget_used(budget) > 500 * 50);
    arena_unref(arena);
    CHECK_EQ(budget_used(budget), 0);
    context_unref(ctx);
    remote_deinit(&r);
    budget_free(budget);
}

TEST_MAIN(TEST_ENTRY(stores_over_grpc_pass_the_acceptance_suite), TEST_ENTRY(info_travels),
          TEST_ENTRY(failures_of_a_peer_are_named),
          TEST_ENTRY(a_peer_that_is_not_there_cannot_be_fetched_from),
          TEST_ENTRY(warnings_of_a_peer_are_passed_on_or_end_the_query),
          TEST_ENTRY(batches_are_as_large_as_asked_for),
          TEST_ENTRY(a_peer_out_of_order_is_sorted_from_the_second_time_on),
          TEST_ENTRY(silent_peers_wake_and_hold_no_thread),
          TEST_ENTRY(a_cancelled_query_ends_at_once_on_both_sides),
          TEST_ENTRY(tenant_and_request_id_travel),
          TEST_ENTRY(memory_of_a_select_is_charged_and_given_back))
