#include "prometheus_test.h"

#include "prometheus/prometheus_store.h"
#include "store/store_external_labels.h"
#include "unit/store/store_acceptance.h"

/* ---- the acceptance suite over a fake ---- */

struct subject {
    struct fake_data data;
    bool overlap; /* series have external labels of their own */
    const char *version;
    struct bench bench;
    struct store *inner;
};

static struct store *subject_create(void *arg, const struct series_batch *data,
                                    struct labels external)
{
    struct subject *subject = arg;
    struct memory_store *memory = memory_store_create();
    for (size_t i = 0; i < data->count; i++)
        memory_store_add_series(memory, &data->items[i]);
    subject->bench = bench_open(fake_data_handle, &subject->data);
    subject->data.store = memory_store_base(memory);
    subject->data.external = labels_copy(subject->bench.arena, external);
    subject->inner = prometheus_store_create(subject->bench.client, NULL);
    prometheus_store_set(subject->inner, &(struct prometheus_facts){
                                             .version = str_from(subject->version),
                                             .external = external,
                                             .external_overlap = subject->overlap,
                                             .min_time = INT64_MIN,
                                         });
    struct store *store = store_external_labels_create(subject->inner);
    store_external_labels_set(store, external);
    return store;
}

static void subject_free(void *arg, struct store *store)
{
    struct subject *subject = arg;
    store_free(store); /* with inner */
    bench_close(&subject->bench);
    store_free(subject->data.store);
}

static void run_acceptance(struct subject subject)
{
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_collect_warnings(ctx);
    store_acceptance_run(&(struct store_subject){subject_create, subject_free, &subject}, ctx);
    context_unref(ctx);
}

TEST(streamed_chunks_pass_the_acceptance_suite)
{
    run_acceptance((struct subject){.overlap = true, .version = "3.16.0"});
}

TEST(series_in_several_frames_pass_the_acceptance_suite)
{
    run_acceptance((struct subject){.data.frame_chunks = 1, .overlap = true, .version = "3.16.0"});
}

TEST(a_prometheus_without_matchers_in_label_calls_passes_the_acceptance_suite)
{
    run_acceptance((struct subject){.overlap = true, .version = "2.12.0"});
}

/* ---- by hand ---- */

static struct store_query query_up(struct arena *arena)
{
    struct matcher *matcher = arena_alloc(arena, sizeof(*matcher));
    CHECK_OK(matcher_create(arena, MATCH_EQUAL, STR("__name__"), STR("up"), matcher));
    return (struct store_query){.min_time = 0,
                                .max_time = 10000,
                                .matchers = matcher,
                                .matcher_count = 1,
                                .aggrs = AGGR_BIT(AGGR_RAW)};
}

static struct memory_store *memory_up(void)
{
    struct memory_store *memory = memory_store_create();
    memory_store_add(memory, (int64_t[]){1000, 2000}, 2, "__name__", "up", "job", "a", NULL);
    memory_store_add(memory, (int64_t[]){1000, 9000}, 2, "__name__", "up", "job", "b", NULL);
    return memory;
}

static struct str select_text(struct bench *bench, struct store *store,
                              const struct store_query *query)
{
    struct series_set *set;
    struct series_batch batch;
    CHECK_OK(store_select(store, bench->ctx, query, &set));
    CHECK_OK(series_set_read_all(set, bench->arena, 100, &batch));
    return series_batch_text(bench->arena, &batch);
}

TEST(external_labels_are_left_out_of_what_comes)
{
    struct fake_data data = {.store = memory_store_base(memory_up()), .version = "3.16.0"};
    struct bench bench = bench_open(fake_data_handle, &data);
    struct store *store = prometheus_store_create(bench.client, NULL);
    struct store_query query = query_up(bench.arena);
    struct prometheus_facts facts = {.version = STR("3.16.0"), .min_time = INT64_MIN};
    data.external = facts.external = labels_of(bench.arena, "a", "1", "replica", "r", NULL);
    prometheus_store_set(store, &facts);
    CHECK_STR(select_text(&bench, store, &query),
              "{__name__=\"up\", job=\"a\"}@1000,2000 {__name__=\"up\", job=\"b\"}@1000,9000");
    size_t asked = fake_prometheus_requests(bench.fake);
    data.samples = true;
    CHECK_STR(select_text(&bench, store, &query),
              "{__name__=\"up\", job=\"a\"}@1000 {__name__=\"up\", job=\"b\"}@1000");
    CHECK_EQ(fake_prometheus_requests(bench.fake), asked + 1);
    store_free(store);
    store_free(data.store);
    bench_close(&bench);
}

TEST(times_before_the_data_are_not_asked_for)
{
    struct fake_data data = {.store = memory_store_base(memory_up()), .version = "3.16.0"};
    struct bench bench = bench_open(fake_data_handle, &data);
    struct store *store = prometheus_store_create(bench.client, NULL);
    struct store_query query = query_up(bench.arena);
    struct store_info info = {.arena = bench.arena};
    prometheus_store_set(store, &(struct prometheus_facts){.min_time = 5000});
    store_describe(store, &info);
    CHECK_EQ(info.min_time, 5000);
    CHECK_EQ(info.max_time, INT64_MAX);
    CHECK_STR(select_text(&bench, store, &query), "{__name__=\"up\", job=\"b\"}@9000");
    query.max_time = 4999;
    size_t asked = fake_prometheus_requests(bench.fake);
    CHECK_STR(select_text(&bench, store, &query), "");
    CHECK_EQ(fake_prometheus_requests(bench.fake), asked);
    store_free(store);
    store_free(data.store);
    bench_close(&bench);
}

/* Series that Prometheus has in order come out of order when pairs are left out of them. */
TEST(a_stream_out_of_order_is_sorted_the_next_time)
{
    struct memory_store *memory = memory_store_create();
    memory_store_add(memory, (int64_t[]){1000}, 1, "__name__", "up", "a", "1", "job", "x", NULL);
    memory_store_add(memory, (int64_t[]){1000}, 1, "__name__", "up", "a", "2", "job", "c", NULL);
    memory_store_add(memory, (int64_t[]){1000}, 1, "__name__", "up", "job", "b", NULL);
    struct fake_data data = {.store = memory_store_base(memory), .version = "3.16.0"};
    struct bench bench = bench_open(fake_data_handle, &data);
    struct store *store = prometheus_store_create(bench.client, NULL);
    struct store_query query = query_up(bench.arena);
    struct prometheus_facts facts = {.version = STR("3.16.0"), .min_time = INT64_MIN};
    data.external = facts.external = labels_of(bench.arena, "a", "1", NULL);
    prometheus_store_set(store, &facts);
    struct series_set *set;
    struct series_batch batch;
    CHECK_OK(store_select(store, bench.ctx, &query, &set));
    CHECK_ERROR(series_set_read_all(set, bench.arena, 100, &batch), ERROR_CORRUPT);
    const char *want = "{__name__=\"up\", a=\"2\", job=\"c\"}@1000 {__name__=\"up\", "
                       "job=\"b\"}@1000 {__name__=\"up\", job=\"x\"}@1000";
    CHECK_STR(select_text(&bench, store, &query), want);
    facts.external_overlap = true; /* now it is known */
    prometheus_store_set(store, &facts);
    CHECK_STR(select_text(&bench, store, &query), want);
    store_free(store);
    store_free(data.store);
    bench_close(&bench);
}

static void handle_error(void *arg UNUSED, const struct fake_request *request UNUSED,
                         struct fake_reply *reply)
{
    reply->status = 422;
    buf_append_cstr(&reply->body, "{\"status\":\"error\",\"error\":\"no\"}");
}

TEST(errors_of_prometheus_are_passed_on)
{
    struct bench bench = bench_open(handle_error, NULL);
    struct store *store = prometheus_store_create(bench.client, NULL);
    struct store_query query = query_up(bench.arena);
    struct series_set *set;
    struct series_batch batch;
    struct str_list list;
    CHECK_OK(store_select(store, bench.ctx, &query, &set));
    CHECK_ERROR_TEXT(series_set_read_all(set, bench.arena, 100, &batch), ERROR_INTERNAL,
                     "query Prometheus: request failed with code 422 Unprocessable Entity; msg "
                     "{\"status\":\"error\",\"error\":\"no\"}");
    query.skip_chunks = true;
    CHECK_ERROR_TEXT(store_select(store, bench.ctx, &query, &set), ERROR_INTERNAL,
                     "expected 2xx response, got 422. Body: {\"status\"");
    query.matcher_count = 0;
    CHECK_ERROR_TEXT(store_label_names(store, bench.ctx, &query, bench.arena, &list),
                     ERROR_INTERNAL, "expected 2xx response, got 422");
    CHECK_ERROR_TEXT(store_label_values(store, bench.ctx, STR("a"), &query, bench.arena, &list),
                     ERROR_INTERNAL, "expected 2xx response, got 422");
    store_free(store);
    bench_close(&bench);
}

TEST_MAIN(TEST_ENTRY(streamed_chunks_pass_the_acceptance_suite),
          TEST_ENTRY(series_in_several_frames_pass_the_acceptance_suite),
          TEST_ENTRY(a_prometheus_without_matchers_in_label_calls_passes_the_acceptance_suite),
          TEST_ENTRY(external_labels_are_left_out_of_what_comes),
          TEST_ENTRY(times_before_the_data_are_not_asked_for),
          TEST_ENTRY(a_stream_out_of_order_is_sorted_the_next_time),
          TEST_ENTRY(errors_of_prometheus_are_passed_on))
