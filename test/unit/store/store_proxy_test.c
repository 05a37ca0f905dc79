#include "support/test.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "model/relabel.h"
#include "runtime/context.h"
#include "runtime/pool.h"
#include "runtime/time.h"
#include "store/store_choice.h"
#include "store/store_proxy.h"
#include "support/memory_store.h"

/* -- which stores are asked -- */

static const struct {
    const char *name;
    const char *sets[3][4]; /* of the store */
    struct {
        enum match_op op;
        const char *name, *value;
    } matchers[2];
    int64_t min_time, max_time;
    const char *address_regex;
    bool want;
} choice_cases[] = {
    {"no sets match everything", .matchers = {{MATCH_EQUAL, "a", "1"}}, .want = true},
    {"a set that agrees", {{"a", "1"}}, {{MATCH_EQUAL, "a", "1"}}, .want = true},
    {"a set that contradicts", {{"a", "1"}}, {{MATCH_EQUAL, "a", "2"}}, .want = false},
    {"one of two agrees", {{"a", "1"}, {"a", "2"}}, {{MATCH_EQUAL, "a", "2"}}, .want = true},
    {"each contradicts by another name",
     {{"a", "1", "b", "1"}, {"a", "2", "b", "2"}},
     {{MATCH_EQUAL, "a", "1"}, {MATCH_EQUAL, "b", "2"}},
     .want = false},
    {"a name it lacks never contradicts", {{"a", "1"}}, {{MATCH_EQUAL, "b", "x"}}, .want = true},
    {"nor with a regex", {{"a", "1"}}, {{MATCH_REGEX, "b", ".+"}}, .want = true},
    {"negation contradicts", {{"a", "1"}}, {{MATCH_NOT_EQUAL, "a", "1"}}, .want = false},
    {"touching its first millisecond", .min_time = 0, .max_time = 1000, .want = true},
    {"before it", .min_time = 0, .max_time = 999, .want = false},
    {"touching its last millisecond", .min_time = 2000, .max_time = 9000, .want = true},
    {"after it", .min_time = 2001, .max_time = 9000, .want = false},
    {"its address matches", .address_regex = "10\\.0\\..*", .want = true},
    {"its address does not", .address_regex = "10\\.1\\..*", .want = false},
};

TEST(stores_are_chosen_by_what_they_say)
{
    for_each_case(c, choice_cases) {
        struct arena *arena = arena_create(NULL);
        struct store_range ranges[3] = {0};
        struct store_info info = {
            .arena = arena,
            .min_time = 1000,
            .max_time = 2000,
            .ranges = ranges,
            .address = STR("10.0.0.1:10901"),
        };
        for (; info.range_count < 3 && c->sets[info.range_count][0]; info.range_count++) {
            const char *const *set = c->sets[info.range_count];
            ranges[info.range_count] = (struct store_range){
                labels_of(arena, set[0], set[1], set[2], set[3], NULL), 1000, 2000};
        }
        struct matcher matchers[2], address;
        struct store_query query = {.min_time = c->max_time ? c->min_time : INT64_MIN,
                                    .max_time = c->max_time ? c->max_time : INT64_MAX,
                                    .matchers = matchers};
        for (; query.matcher_count < 2 && c->matchers[query.matcher_count].name;
             query.matcher_count++)
            CHECK_OK(matcher_create(arena, c->matchers[query.matcher_count].op,
                                    str_from(c->matchers[query.matcher_count].name),
                                    str_from(c->matchers[query.matcher_count].value),
                                    &matchers[query.matcher_count]));
        struct store_match match = {&address, 1};
        if (c->address_regex) {
            CHECK_OK(matcher_create(arena, MATCH_REGEX, STR("__address__"),
                                    str_from(c->address_regex), &address));
            query.store_matches = &match;
            query.store_match_count = 1;
        }
        CHECK_EQ(store_choice(&info, &query) == NULL, c->want);
        arena_unref(arena);
    }
}

/* -- failing and silent stores -- */

/* Three stores with one series each behind a proxy. */
struct fixture {
    struct memory_store *stores[3];
    struct store_list *list;
    struct store *proxy;
    struct context *ctx;
    struct arena *arena, *reading;
    struct pool *pool;
    struct matcher matcher;
    struct store_query query;
};

static struct store_list *fixture_stores(void *self)
{
    return store_list_ref(((struct fixture *)self)->list);
}

static void fixture_init(struct fixture *f, size_t count, int64_t timeout_ms)
{
    static const char *const addresses[] = {"a:1", "b:1", "c:1"};
    struct store_member members[3];
    *f = (struct fixture){.arena = arena_create(NULL), .reading = arena_create(NULL)};
    for (size_t i = 0; i < count; i++) {
        f->stores[i] = memory_store_create();
        memory_store_add(f->stores[i], (int64_t[]){1000}, 1, "__name__", "up", "store",
                         addresses[i], NULL);
        struct store_info *info = memory_store_info(f->stores[i]);
        info->address = str_from(addresses[i]);
        info->min_time = 0;
        info->max_time = 9000;
        members[i] = (struct store_member){.store = memory_store_base(f->stores[i])};
    }
    f->list = store_list_create(members, count);
    f->pool = pool_create("metadata", 4, 10);
    f->proxy = store_proxy_create(&(struct store_proxy_config){
        .stores = fixture_stores,
        .self = f,
        .response_timeout_ms = timeout_ms,
        .metadata = f->pool,
    });
    f->ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_collect_warnings(f->ctx);
    CHECK_OK(matcher_create(f->arena, MATCH_EQUAL, STR("__name__"), STR("up"), &f->matcher));
    f->query = (struct store_query){
        .min_time = 0, .max_time = 9000, .matchers = &f->matcher, .matcher_count = 1};
}

static void fixture_deinit(struct fixture *f)
{
    arena_unref(f->reading);
    context_unref(f->ctx);
    store_free(f->proxy);
    store_list_unref(f->list);
    for (size_t i = 0; i < 3; i++)
        if (f->stores[i])
            store_free(memory_store_base(f->stores[i]));
    pool_free(f->pool);
    arena_unref(f->arena);
}

static struct error *fixture_select(struct fixture *f, struct series_batch *out)
{
    struct series_set *set;
    *out = (struct series_batch){0};
    struct error *err = store_select(f->proxy, f->ctx, &f->query, &set);
    return err ? err : series_set_read_all(set, f->reading, 10, out);
}

static void keep_text(void *arg, struct str text)
{
    struct str *all = arg;
    char *data = malloc(all->len + text.len + 2);
    memcpy(data, all->data, all->len);
    memcpy(data + all->len, text.data, text.len);
    data[all->len + text.len] = '\n';
    free((char *)all->data);
    *all = (struct str){data, all->len + text.len + 1};
}

static void check_warnings(struct fixture *f, const char *want)
{
    struct str all = {strdup(""), 0};
    context_each_warning(f->ctx, keep_text, &all);
    CHECK_STR(all, want);
    free((char *)all.data);
}

TEST(without_stores_a_query_is_empty_or_refused)
{
    struct fixture f;
    struct series_batch batch;
    fixture_init(&f, 0, 0);
    CHECK_OK(fixture_select(&f, &batch));
    CHECK_EQ(batch.count, 0);
    check_warnings(&f, "");
    f.query.partial = PARTIAL_ABORT;
    CHECK_ERROR_TEXT(fixture_select(&f, &batch), ERROR_UNAVAILABLE, "No StoreAPIs available");
    struct str_list names;
    CHECK_OK(store_label_names(f.proxy, f.ctx, &f.query, f.reading, &names));
    CHECK_EQ(names.count, 0);
    fixture_deinit(&f);
}

TEST(without_a_store_that_matches_a_query_is_empty)
{
    struct fixture f;
    struct series_batch batch;
    fixture_init(&f, 3, 0);
    f.query.partial = PARTIAL_ABORT;
    f.query.min_time = f.query.max_time = 9001;
    CHECK_OK(fixture_select(&f, &batch));
    CHECK_EQ(batch.count, 0);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQ(memory_store_selects(f.stores[i]), 0);
    fixture_deinit(&f);
}

TEST(a_failing_store_is_a_warning_or_the_error)
{
    struct fixture f;
    struct series_batch batch;
    fixture_init(&f, 3, 0);
    memory_store_fail_after(f.stores[1], 1, ERROR_CORRUPT, "receive series from b: broken");
    CHECK_OK(fixture_select(&f, &batch));
    CHECK_EQ(batch.count, 3); /* what came before the failure counts */
    check_warnings(&f, "receive series from b: broken\n");
    f.query.partial = PARTIAL_ABORT;
    CHECK_ERROR_TEXT(fixture_select(&f, &batch), ERROR_UNAVAILABLE,
                     "receive series from b: broken");
    fixture_deinit(&f);
}

TEST(a_store_that_refuses_is_a_warning_or_the_error)
{
    struct fixture f;
    struct series_batch batch;
    fixture_init(&f, 3, 0);
    memory_store_add_range(f.stores[2], labels_of(f.arena, "r", "1", NULL));
    memory_store_fail_calls(f.stores[2], ERROR_UNAVAILABLE, "no connection");
    CHECK_OK(fixture_select(&f, &batch));
    CHECK_EQ(batch.count, 2);
    check_warnings(&f, "fetch series for {r=\"1\"} Addr: c:1 MinTime: 0 MaxTime: 9000: no "
                       "connection\n");
    f.query.partial = PARTIAL_ABORT;
    CHECK_ERROR(fixture_select(&f, &batch), ERROR_UNAVAILABLE);
    fixture_deinit(&f);
}

TEST(the_querys_own_limits_are_never_warnings)
{
    struct fixture f;
    struct series_batch batch;
    fixture_init(&f, 3, 0);
    memory_store_fail_after(f.stores[1], 0, ERROR_LIMIT, "query budget of 5 bytes");
    CHECK_ERROR(fixture_select(&f, &batch), ERROR_LIMIT);
    memory_store_fail_after(f.stores[1], 0, ERROR_CORRUPT, "broken");
    context_cancel_with(f.ctx, ERROR_TIMEOUT, "query timed out");
    CHECK_ERROR_TEXT(fixture_select(&f, &batch), ERROR_TIMEOUT, "query timed out");
    check_warnings(&f, "");
    fixture_deinit(&f);
}

TEST(a_silent_store_times_out_while_somebody_waits)
{
    struct fixture f;
    struct series_batch batch;
    fixture_init(&f, 2, 50);
    memory_store_stall(f.stores[0], true);
    int64_t start = time_now_monotonic_ms();
    CHECK_OK(fixture_select(&f, &batch));
    CHECK(time_now_monotonic_ms() - start < 5000);
    CHECK_EQ(batch.count, 1);
    check_warnings(&f, "failed to receive any data in 50ms from Addr: a:1 MinTime: 0 MaxTime: "
                       "9000: rpc error: code = Canceled desc = context canceled\n");
    fixture_deinit(&f);
}

/* A consumer that holds no thread. */
struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t woken;
    int wakes;
};

static void waiter_wake(void *arg)
{
    struct waiter *waiter = arg;
    pthread_mutex_lock(&waiter->lock);
    waiter->wakes++;
    pthread_cond_broadcast(&waiter->woken);
    pthread_mutex_unlock(&waiter->lock);
}

static void waiter_wait(struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    while (waiter->wakes == 0)
        pthread_cond_wait(&waiter->woken, &waiter->lock);
    waiter->wakes = 0;
    pthread_mutex_unlock(&waiter->lock);
}

TEST(a_silent_store_times_out_without_a_thread)
{
    struct fixture f;
    struct waiter waiter = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    struct series_wake wake = {waiter_wake, &waiter};
    struct series_set *set;
    struct series_batch batch;
    fixture_init(&f, 2, 50);
    memory_store_stall(f.stores[0], true);
    CHECK_OK(store_select(f.proxy, f.ctx, &f.query, &set));
    size_t got = 0;
    do {
        while (!series_set_ready(set, &wake))
            waiter_wait(&waiter);
        CHECK_OK(series_set_next(set, f.reading, 10, &batch));
        got += batch.count;
    } while (batch.count);
    CHECK_EQ(got, 1);
    CHECK(context_has_warnings(f.ctx));
    series_set_free(set);
    fixture_deinit(&f);
}

TEST(a_slow_reader_is_no_silent_store)
{
    struct fixture f;
    struct waiter waiter = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    struct series_wake wake = {waiter_wake, &waiter};
    struct series_set *set;
    struct series_batch batch;
    fixture_init(&f, 1, 30);
    memory_store_stall(f.stores[0], true);
    CHECK_OK(store_select(f.proxy, f.ctx, &f.query, &set));
    CHECK(!series_set_ready(set, &wake));
    memory_store_stall(f.stores[0], false);
    waiter_wait(&waiter);
    CHECK_OK(context_sleep(f.ctx, 60)); /* longer than the timeout, after the arrival */
    CHECK(series_set_ready(set, &wake));
    CHECK_OK(series_set_next(set, f.reading, 10, &batch));
    CHECK_EQ(batch.count, 1);
    CHECK_OK(context_sleep(f.ctx, 60));
    CHECK_OK(series_set_next(set, f.reading, 10, &batch));
    check_warnings(&f, "");
    series_set_free(set);
    fixture_deinit(&f);
}

static void *cancel_later(void *arg)
{
    struct fixture *f = arg;
    (void)!context_sleep(f->ctx, 30);
    context_cancel(f->ctx);
    return NULL;
}

TEST(the_end_of_the_query_ends_all_waits)
{
    struct fixture f;
    struct series_batch batch;
    pthread_t thread;
    fixture_init(&f, 3, 0);
    for (size_t i = 0; i < 3; i++)
        memory_store_stall(f.stores[i], true);
    pthread_create(&thread, NULL, cancel_later, &f);
    CHECK_ERROR(fixture_select(&f, &batch), ERROR_CANCELLED);
    pthread_join(thread, NULL);
    check_warnings(&f, "");
    fixture_deinit(&f);
}

TEST(label_calls_unite_answers_and_failures)
{
    struct fixture f;
    struct str_list list;
    fixture_init(&f, 3, 0);
    CHECK_OK(store_label_values(f.proxy, f.ctx, STR("store"), &f.query, f.reading, &list));
    CHECK_EQ(list.count, 3);
    CHECK_STR(list.items[2], "c:1");
    f.query.limit = 2;
    CHECK_OK(store_label_values(f.proxy, f.ctx, STR("store"), &f.query, f.reading, &list));
    CHECK_EQ(list.count, 2);
    memory_store_fail_calls(f.stores[1], ERROR_UNAVAILABLE, "gone");
    CHECK_OK(store_label_values(f.proxy, f.ctx, STR("store"), &f.query, f.reading, &list));
    CHECK_EQ(list.count, 2);
    CHECK_OK(store_label_names(f.proxy, f.ctx, &f.query, f.reading, &list));
    CHECK_EQ(list.count, 2);
    check_warnings(&f, "fetch label values from store Addr: b:1 MinTime: 0 MaxTime: 9000: gone\n"
                       "fetch label names from store Addr: b:1 MinTime: 0 MaxTime: 9000: gone\n");
    f.query.partial = PARTIAL_ABORT;
    CHECK_ERROR(store_label_names(f.proxy, f.ctx, &f.query, f.reading, &list), ERROR_UNAVAILABLE);
    fixture_deinit(&f);
}

TEST(a_proxy_describes_all_its_stores)
{
    struct fixture f;
    fixture_init(&f, 3, 0);
    struct store_info info = {.arena = f.arena};
    store_describe(f.proxy, &info);
    CHECK_EQ(info.range_count, 0); /* nobody has label sets: it matches everything */
    CHECK_EQ(info.max_time, 9000);
    memory_store_info(f.stores[0])->max_time = 10000;
    memory_store_add_range(f.stores[0], labels_of(f.arena, "r", "1", NULL));
    memory_store_add_range(f.stores[1], labels_of(f.arena, "r", "2", NULL));
    store_describe(f.proxy, &info);
    CHECK_EQ(info.range_count, 3);
    CHECK_EQ(info.ranges[2].labels.len, 0);
    CHECK_EQ(info.max_time, 10000);
    CHECK(info.drops_labels && info.shards && !info.is_remote);
    fixture_deinit(&f);
}

/* -- the selector -- */

/* Three stores, external labels zone x, y and none; a second set of the first. */
static void fixture_init_selector(struct fixture *f, const char *rules, const char *label,
                                  struct relabel_rules **parsed)
{
    struct labels labels = {0};
    fixture_init(f, 3, 0);
    CHECK_OK(relabel_parse(str_from(rules), RELABEL_SELECTOR, NULL, parsed));
    if (label)
        labels = labels_of(f->arena, "site", label, NULL);
    memory_store_add_range(f->stores[0], labels_of(f->arena, "zone", "x", NULL));
    memory_store_add_range(f->stores[0], labels_of(f->arena, "zone", "x.2", "b", "1", NULL));
    memory_store_add_range(f->stores[1], labels_of(f->arena, "zone", "y", NULL));
    memory_store_add(f->stores[0], (int64_t[]){1000}, 1, "__name__", "up", "store", "a:1", "zone",
                     "x", NULL);
    store_free(f->proxy);
    f->proxy = store_proxy_create(&(struct store_proxy_config){
        .stores = fixture_stores, .self = f, .metadata = f->pool, .selector = {*parsed, labels}});
}

static const struct {
    const char *name, *rules, *want;
    const char *announced; /* zones and sites */
} selector_cases[] = {
    {"none", "",
     "{__name__=\"up\", store=\"a:1\"}@1000 {__name__=\"up\", store=\"a:1\", zone=\"x\"}@1000 "
     "{__name__=\"up\", store=\"b:1\"}@1000 {__name__=\"up\", store=\"c:1\"}@1000",
     "{zone=\"x\"}{b=\"1\", zone=\"x.2\"}{zone=\"y\"}{}"},
    {"a store without a set that is kept is not asked, one without sets is",
     "[{action: drop, source_labels: [zone], regex: 'x.*'}]",
     "{__name__=\"up\", store=\"b:1\"}@1000 {__name__=\"up\", store=\"c:1\"}@1000",
     "{zone=\"y\"}{}"},
    {"of a store with several sets only what is kept",
     "[{action: keep, source_labels: [zone], regex: x}]",
     "{__name__=\"up\", store=\"a:1\", zone=\"x\"}@1000 {__name__=\"up\", store=\"c:1\"}@1000",
     "{zone=\"x\"}{}"},
    {"a value is no expression", "[{action: keep, source_labels: [b], regex: 1}]",
     "{__name__=\"up\", store=\"c:1\"}@1000", "{b=\"1\", zone=\"x.2\"}{}"},
};

TEST(the_selector_chooses_label_sets)
{
    for_each_case(c, selector_cases) {
        struct fixture f;
        struct relabel_rules *rules;
        struct series_batch batch;
        fixture_init_selector(&f, c->rules, NULL, &rules);
        CHECK_OK(fixture_select(&f, &batch));
        CHECK_STR(series_batch_text(f.reading, &batch), c->want);
        struct store_info info = {.arena = f.arena};
        struct buf text = BUF_INIT(NULL);
        store_describe(f.proxy, &info);
        for (size_t i = 0; i < info.range_count; i++)
            labels_print(&text, info.ranges[i].labels);
        CHECK_STR(buf_str(&text), c->announced);
        buf_deinit(&text);
        fixture_deinit(&f);
        relabel_free(rules);
    }
}

TEST(label_calls_obey_the_selector)
{
    struct fixture f;
    struct relabel_rules *rules;
    struct str_list list;
    fixture_init_selector(&f, "[{action: keep, source_labels: [zone], regex: x}]", NULL, &rules);
    CHECK_OK(store_label_values(f.proxy, f.ctx, STR("store"), &f.query, f.arena, &list));
    CHECK_EQ(list.count, 2);
    CHECK_STR(list.items[0], "a:1");
    CHECK_STR(list.items[1], "c:1");
    fixture_deinit(&f);
    relabel_free(rules);
}

TEST(selector_labels_are_tested_and_taken_away)
{
    struct fixture f;
    struct relabel_rules *rules;
    struct series_batch batch;
    struct matcher matchers[2];
    struct str_list list;
    fixture_init_selector(&f, "", "north", &rules);
    matchers[0] = f.matcher;
    f.query.matchers = matchers;
    f.query.matcher_count = 2;
    CHECK_OK(matcher_create(f.arena, MATCH_REGEX, STR("site"), STR("n.*"), &matchers[1]));
    CHECK_OK(fixture_select(&f, &batch));
    CHECK_EQ(batch.count, 4);
    CHECK_OK(store_label_names(f.proxy, f.ctx, &f.query, f.arena, &list));
    CHECK_EQ(list.count, 3);
    CHECK_OK(matcher_create(f.arena, MATCH_EQUAL, STR("site"), STR("south"), &matchers[1]));
    CHECK_OK(fixture_select(&f, &batch));
    CHECK_EQ(batch.count, 0);
    CHECK_OK(store_label_names(f.proxy, f.ctx, &f.query, f.arena, &list));
    CHECK_EQ(list.count, 0);
    f.query.matchers = &matchers[1];
    f.query.matcher_count = 1;
    CHECK_OK(matcher_create(f.arena, MATCH_EQUAL, STR("site"), STR("north"), &matchers[1]));
    CHECK_ERROR_TEXT(fixture_select(&f, &batch), ERROR_INVALID,
                     "no matchers specified (excluding selector labels)");
    struct store_info info = {.arena = f.arena};
    store_describe(f.proxy, &info);
    CHECK_EQ(info.range_count, 4);
    for (size_t i = 0; i < info.range_count; i++)
        CHECK_STR(labels_get(info.ranges[i].labels, STR("site")), "north");
    fixture_deinit(&f);
    relabel_free(rules);
}

TEST_MAIN(TEST_ENTRY(stores_are_chosen_by_what_they_say),
          TEST_ENTRY(without_stores_a_query_is_empty_or_refused),
          TEST_ENTRY(without_a_store_that_matches_a_query_is_empty),
          TEST_ENTRY(a_failing_store_is_a_warning_or_the_error),
          TEST_ENTRY(a_store_that_refuses_is_a_warning_or_the_error),
          TEST_ENTRY(the_querys_own_limits_are_never_warnings),
          TEST_ENTRY(a_silent_store_times_out_while_somebody_waits),
          TEST_ENTRY(a_silent_store_times_out_without_a_thread),
          TEST_ENTRY(a_slow_reader_is_no_silent_store),
          TEST_ENTRY(the_end_of_the_query_ends_all_waits),
          TEST_ENTRY(label_calls_unite_answers_and_failures),
          TEST_ENTRY(a_proxy_describes_all_its_stores), TEST_ENTRY(the_selector_chooses_label_sets),
          TEST_ENTRY(label_calls_obey_the_selector),
          TEST_ENTRY(selector_labels_are_tested_and_taken_away))
