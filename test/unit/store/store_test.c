#include "support/test.h"

#include <stdlib.h>

#include "base/budget.h"
#include "runtime/context.h"
#include "store/store_external_labels.h"
#include "store/store_limits.h"
#include "store/store_proxy.h"
#include "unit/store/store_acceptance.h"

static struct context *test_context(void)
{
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_collect_warnings(ctx);
    return ctx;
}

static struct store *create_external(void *arg UNUSED, const struct series_batch *data,
                                     struct labels external)
{
    struct memory_store *inner = memory_store_create();
    memory_store_info(inner)->drops_labels = memory_store_info(inner)->shards = false;
    memory_store_set_batch(inner, 3);
    for (size_t i = 0; i < data->count; i++)
        memory_store_add_series(inner, &data->items[i]);
    struct store *store = store_external_labels_create(memory_store_base(inner));
    store_external_labels_set(store, external);
    return store;
}

TEST(external_labels_pass_the_acceptance_suite)
{
    struct context *ctx = test_context();
    store_acceptance_run(&(struct store_subject){.create = create_external}, ctx);
    context_unref(ctx);
}

/* A proxy over stores that hold every other series each, the first ones twice. */
struct proxied {
    struct store *stores[4];
    struct store_list *list;
    bool helps; /* its stores drop and shard */
};

static struct store_list *proxied_list(void *self)
{
    return store_list_ref(((struct proxied *)self)->list);
}

static struct store *create_proxy(void *arg, const struct series_batch *data,
                                  struct labels external)
{
    struct proxied *proxied = arg;
    struct memory_store *inner[countof(proxied->stores)];
    struct store_member members[countof(inner)];
    struct arena *arena = arena_create(NULL);
    for (size_t i = 0; i < countof(inner); i++) {
        inner[i] = memory_store_create();
        struct store_info *info = memory_store_info(inner[i]);
        info->drops_labels = info->shards = proxied->helps;
        info->is_remote = i % 2;
        memory_store_set_batch(inner[i], i);
        memory_store_add_range(inner[i], external);
        members[i] = (struct store_member){.store = memory_store_base(inner[i])};
        proxied->stores[i] = members[i].store;
    }
    for (size_t i = 0; i < data->count; i++) {
        struct series series = data->items[i];
        series.labels = labels_merge(arena, series.labels, external);
        memory_store_add_series(inner[i % 4], &series);
        if (i < 3)
            memory_store_add_series(inner[3], &series);
    }
    arena_unref(arena);
    proxied->list = store_list_create(members, countof(members));
    return store_proxy_create(
        &(struct store_proxy_config){.stores = proxied_list, .self = proxied});
}

static void free_proxy(void *arg, struct store *store)
{
    struct proxied *proxied = arg;
    store_free(store);
    store_list_unref(proxied->list);
    for (size_t i = 0; i < countof(proxied->stores); i++)
        store_free(proxied->stores[i]);
}

TEST(proxies_pass_the_acceptance_suite)
{
    struct context *ctx = test_context();
    struct proxied proxied = {.helps = true};
    store_acceptance_run(&(struct store_subject){create_proxy, free_proxy, &proxied}, ctx);
    proxied.helps = false;
    store_acceptance_run(&(struct store_subject){create_proxy, free_proxy, &proxied}, ctx);
    context_unref(ctx);
}

static struct store *up_store(void)
{
    struct memory_store *store = memory_store_create();
    memory_store_add(store, (int64_t[]){1, 2, 3}, 3, "__name__", "up", "job", "a", NULL);
    memory_store_add(store, (int64_t[]){1, 2, 3}, 3, "__name__", "up", "job", "b", NULL);
    memory_store_add(store, (int64_t[]){1, 2, 3}, 3, "__name__", "up", "job", "c", NULL);
    return memory_store_base(store);
}

static struct store_query up_query(struct arena *arena)
{
    struct matcher *matcher = arena_alloc(arena, sizeof(*matcher));
    CHECK_OK(matcher_create(arena, MATCH_EQUAL, STR("__name__"), STR("up"), matcher));
    return (struct store_query){
        .min_time = 0, .max_time = 10, .matchers = matcher, .matcher_count = 1};
}

TEST(external_labels_answer_matchers_alone_with_an_error)
{
    struct context *ctx = test_context();
    struct arena *arena = arena_create(NULL);
    struct store *store = store_external_labels_create(up_store());
    store_external_labels_set(store, labels_of(arena, "replica", "a", NULL));
    struct matcher matcher;
    CHECK_OK(matcher_create(arena, MATCH_EQUAL, STR("replica"), STR("a"), &matcher));
    struct store_query query = {.matchers = &matcher, .matcher_count = 1};
    struct series_set *set;
    CHECK_ERROR_TEXT(store_select(store, ctx, &query, &set), ERROR_INVALID,
                     "no matchers specified (excluding external labels)");
    struct store_info info = {.arena = arena};
    store_describe(store, &info);
    CHECK(info.drops_labels && info.shards);
    CHECK_EQ(info.range_count, 1);
    CHECK(labels_equal(info.ranges[0].labels, labels_of(arena, "replica", "a", NULL)));
    store_free(store);
    arena_unref(arena);
    context_unref(ctx);
}

TEST(external_labels_can_be_exchanged)
{
    struct context *ctx = test_context();
    struct arena *arena = arena_create(NULL);
    struct store *store = store_external_labels_create(up_store());
    struct store_query query = up_query(arena);
    struct series_set *old, *new;
    struct series_batch batch;
    store_external_labels_set(store, labels_of(arena, "replica", "a", NULL));
    CHECK_OK(store_select(store, ctx, &query, &old));
    store_external_labels_set(store, labels_of(arena, "replica", "b", NULL));
    CHECK_OK(store_select(store, ctx, &query, &new));
    CHECK_OK(series_set_read_all(old, arena, 2, &batch));
    CHECK_STR(labels_get(batch.items[2].labels, STR("replica")), "a");
    CHECK_OK(series_set_read_all(new, arena, 2, &batch));
    CHECK_STR(labels_get(batch.items[2].labels, STR("replica")), "b");
    CHECK(labels_equal(store_external_labels_get(store, arena),
                       labels_of(arena, "replica", "b", NULL)));
    store_free(store);
    arena_unref(arena);
    context_unref(ctx);
}

static const struct {
    const char *name;
    struct store_limits limits;
    const char *want; /* NULL: succeeds */
} limit_cases[] = {
    {"as many series as allowed", {.series = 3}, NULL},
    {"a series too many", {.series = 2}, "failed to send series: limit 2 violated (got 3)"},
    {"as many samples as allowed", {.samples = 1080}, NULL},
    {"a chunk too many",
     {.samples = 1079},
     "failed to send samples: limit 1079 violated (got 1080)"},
};

TEST(limits_end_a_select_that_gives_more)
{
    struct context *ctx = test_context();
    struct arena *arena = arena_create(NULL);
    struct store_query query = up_query(arena);
    for_each_case(c, limit_cases) {
        struct store *store = store_limits_create(up_store(), &c->limits, NULL);
        struct series_set *set;
        struct series_batch batch;
        CHECK_OK(store_select(store, ctx, &query, &set));
        struct error *err = series_set_read_all(set, arena, 10, &batch);
        CHECK_ERROR_TEXT(err, c->want ? ERROR_LIMIT : ERROR_NONE, c->want);
        store_free(store);
    }
    arena_unref(arena);
    context_unref(ctx);
}

TEST(queries_are_copied_deeply)
{
    struct arena *source = arena_create(NULL), *arena = arena_create(NULL);
    struct store_query query = up_query(source), copy;
    struct matcher regex;
    CHECK_OK(matcher_create(source, MATCH_REGEX, STR("__address__"), STR("a.*"), &regex));
    struct str without[] = {arena_str(source, STR("replica"))};
    query.without_labels = (struct str_list){without, 1};
    query.store_matches = &(struct store_match){&regex, 1};
    query.store_match_count = 1;
    CHECK_OK(store_query_copy(arena, &query, &copy));
    arena_unref(source);
    without[0] = STR("");
    CHECK_STR(copy.without_labels.items[0], "replica");
    CHECK_STR(copy.matchers[0].value, "up");
    CHECK(matcher_matches(&copy.store_matches[0].matchers[0], STR("abc")));
    arena_unref(arena);
}

/* Every charge of a select is refused once: the answer is an error or right, and nothing leaks. */
TEST(refused_memory_is_an_error_and_nothing_else)
{
    struct proxied proxied = {.helps = false};
    struct arena *data_arena = arena_create(NULL);
    struct series items[40];
    for (size_t i = 0; i < countof(items); i++) {
        struct chunk_list chunks = {arena_array(data_arena, 2, sizeof(struct chunk)), 2};
        chunks.items[0] = memory_chunk(data_arena, 1, (double)i);
        chunks.items[1] = memory_chunk(data_arena, 2, (double)i);
        items[i] = (struct series){labels_of(data_arena, "__name__", "up", "n",
                                             arena_printf(data_arena, "%zu%c", i / 2, 0).data,
                                             "pod", i % 2 ? "a" : "b", NULL),
                                   chunks};
    }
    struct series_batch data = {items, countof(items)};
    struct labels external = labels_of(data_arena, "e", "1", NULL);
    struct store *store = create_proxy(&proxied, &data, external);
    struct store_query query = up_query(data_arena);
    struct str pod[] = {STR("pod")};
    query.without_labels = (struct str_list){pod, 1};
    bool refused = true;
    for (unsigned long n = 1; refused; n++) {
        struct budget *budget = budget_create(NULL, "query", 0);
        struct context *ctx = test_context();
        struct arena *arena = arena_create(budget);
        struct series_set *set;
        struct series_batch batch = {0};
        context_set_budget(ctx, budget);
        budget_fail_nth(n);
        struct error *err = store_select(store, ctx, &query, &set);
        if (!err)
            err = series_set_read_all(set, arena, 7, &batch);
        refused = budget_charges() >= n;
        budget_fail_nth(0);
        CHECK(refused || !err);
        CHECK(err ? error_kind(err) == ERROR_LIMIT : batch.count == countof(items) / 2);
        CHECK(!context_has_warnings(ctx));
        error_free(err);
        arena_unref(arena);
        context_unref(ctx);
        CHECK_EQ(budget_used(budget), 0);
        budget_free(budget);
    }
    free_proxy(&proxied, store);
    arena_unref(data_arena);
}

TEST_MAIN(TEST_ENTRY(external_labels_pass_the_acceptance_suite),
          TEST_ENTRY(proxies_pass_the_acceptance_suite),
          TEST_ENTRY(external_labels_answer_matchers_alone_with_an_error),
          TEST_ENTRY(external_labels_can_be_exchanged),
          TEST_ENTRY(limits_end_a_select_that_gives_more),
          TEST_ENTRY(refused_memory_is_an_error_and_nothing_else),
          TEST_ENTRY(queries_are_copied_deeply))
