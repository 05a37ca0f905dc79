#include "unit/store/store_acceptance.h"

#include <string.h>

#include "base/hash.h"
#include "runtime/context.h"
#include "support/test.h"

enum { MATCHERS_MAX = 3 };

struct matcher_text {
    enum match_op op;
    const char *name, *value;
};

static const struct {
    const char *name;
    struct matcher_text matchers[MATCHERS_MAX];
    const char *without[3];
    int64_t min_time, max_time; /* both 0: all */
    size_t limit;
    bool skip_chunks;
    uint64_t shard, shards;
    bool by;
    const char *shard_label;
} query_cases[] = {
    {"all of a metric", {{MATCH_EQUAL, "__name__", "up"}}},
    {"all", {{MATCH_NOT_EQUAL, "__name__", ""}}},
    {"nothing", {{MATCH_EQUAL, "__name__", "no such metric"}}},
    {"one series", {{MATCH_EQUAL, "__name__", "up"}, {MATCH_EQUAL, "job", "a"}}},
    {"not equal", {{MATCH_EQUAL, "__name__", "up"}, {MATCH_NOT_EQUAL, "job", "a"}}},
    {"absent label", {{MATCH_EQUAL, "__name__", "up"}, {MATCH_EQUAL, "pod", ""}}},
    {"present label", {{MATCH_EQUAL, "__name__", "up"}, {MATCH_NOT_EQUAL, "pod", ""}}},
    {"regex", {{MATCH_REGEX, "__name__", "up|down"}, {MATCH_REGEX, "job", "a|b.*"}}},
    {"negated regex", {{MATCH_REGEX, "__name__", "up|down"}, {MATCH_NOT_REGEX, "job", "a|x"}}},
    {"external label agrees", {{MATCH_EQUAL, "__name__", "up"}, {MATCH_EQUAL, "replica", "r1"}}},
    {"external label contradicts",
     {{MATCH_EQUAL, "__name__", "up"}, {MATCH_NOT_EQUAL, "replica", "r1"}}},
    {"external label by regex", {{MATCH_EQUAL, "__name__", "up"}, {MATCH_REGEX, "replica", "r.*"}}},
    {"a time", {{MATCH_NOT_EQUAL, "__name__", ""}}, .min_time = 2000, .max_time = 2000},
    {"a range without data", {{MATCH_NOT_EQUAL, "__name__", ""}}, .min_time = 1, .max_time = 999},
    {"labels only", {{MATCH_NOT_EQUAL, "__name__", ""}}, .skip_chunks = true},
    {"a limit", {{MATCH_NOT_EQUAL, "__name__", ""}}, .limit = 3},
    {"without the external replica", {{MATCH_NOT_EQUAL, "__name__", ""}}, {"replica"}},
    {"without an inner label", {{MATCH_NOT_EQUAL, "__name__", ""}}, {"pod"}},
    {"without several labels", {{MATCH_NOT_EQUAL, "__name__", ""}}, {"a", "pod", "replica"}},
    {"without a label that is matched",
     {{MATCH_NOT_EQUAL, "__name__", ""}, {MATCH_EQUAL, "pod", "p1"}},
     {"pod"}},
    {"without, limited", {{MATCH_NOT_EQUAL, "__name__", ""}}, {"pod", "replica"}, .limit = 4},
    {"first shard of two", {{MATCH_NOT_EQUAL, "__name__", ""}}, .shard = 0, .shards = 2},
    {"second shard of two", {{MATCH_NOT_EQUAL, "__name__", ""}}, .shard = 1, .shards = 2},
    {"shard by a label",
     {{MATCH_NOT_EQUAL, "__name__", ""}},
     {"replica"},
     .shard = 1,
     .shards = 3,
     .by = true,
     .shard_label = "job",
     .limit = 2},
};

/* Series with names before and after external ones, prefixes of each other, and one that has an
 * external label itself. */
static const struct {
    const char *labels[12];
    int64_t times[3];
} data_rows[] = {
    {{"__name__", "up", "job", "a"}, {1000, 2000, 3000}},
    {{"__name__", "up", "job", "a", "pod", "p1"}, {1000, 2000}},
    {{"__name__", "up", "job", "a", "pod", "p1", "zone", "z"}, {2000}},
    {{"__name__", "up", "job", "a", "pod", "p2"}, {1500}},
    {{"__name__", "up", "job", "a", "zone", "z"}, {1000, 3000}},
    {{"__name__", "up", "job", "b"}, {2000}},
    {{"__name__", "up", "job", "b", "replica", "own"}, {2500}},
    {{"__name__", "up"}, {2000, 2100}},
    {{"__name__", "down", "a", "1", "job", "x"}, {1000}},
    {{"__name__", "down", "a", "1"}, {2000}},
    {{"__name__", "down", "a", "2", "b", "", "job", "bb"}, {3000}},
    {{"__name__", "Upper", "Zone", "1", "job", "\xc3\xa9"}, {3000}},
};

static struct series_batch data_make(struct arena *arena)
{
    struct series_batch data = {arena_array(arena, countof(data_rows), sizeof(struct series)), 0};
    for (size_t i = 0; i < countof(data_rows); i++) {
        struct labels_builder builder = labels_builder_create(arena);
        for (size_t j = 0; data_rows[i].labels[j]; j += 2)
            labels_builder_set(&builder, str_from(data_rows[i].labels[j]),
                               str_from(data_rows[i].labels[j + 1]));
        struct chunk_list chunks = {arena_array(arena, 3, sizeof(struct chunk)), 0};
        for (size_t j = 0; j < 3 && data_rows[i].times[j]; j++)
            chunks.items[chunks.count++] =
                memory_chunk(arena, data_rows[i].times[j], (double)(i * 10 + j));
        data.items[data.count++] = (struct series){labels_builder_finish(&builder), chunks};
    }
    return data;
}

static struct store *twin_make(struct arena *arena, const struct series_batch *data,
                               struct labels external)
{
    struct memory_store *twin = memory_store_create();
    for (size_t i = 0; i < data->count; i++) {
        struct series series = data->items[i];
        series.labels = labels_merge(arena, series.labels, external);
        memory_store_add_series(twin, &series);
    }
    return memory_store_base(twin);
}

static void query_make(struct arena *arena, size_t row, struct store_query *out)
{
    const __typeof__(query_cases[0]) *c = &query_cases[row];
    struct matcher *matchers = arena_array(arena, MATCHERS_MAX, sizeof(*matchers));
    *out = (struct store_query){
        .min_time = c->min_time ? c->min_time : INT64_MIN,
        .max_time = c->max_time ? c->max_time : INT64_MAX,
        .matchers = matchers,
        .limit = c->limit,
        .skip_chunks = c->skip_chunks,
        .shard = {c->shard, c->shards, c->by, {0}},
        .aggrs = AGGR_BIT(AGGR_RAW),
    };
    for (size_t i = 0; i < MATCHERS_MAX && c->matchers[i].name; i++)
        CHECK_OK(matcher_create(arena, c->matchers[i].op, str_from(c->matchers[i].name),
                                str_from(c->matchers[i].value), &matchers[out->matcher_count++]));
    out->without_labels.items = arena_array(arena, 3, sizeof(struct str));
    for (size_t i = 0; i < 3 && c->without[i]; i++)
        out->without_labels.items[out->without_labels.count++] = str_from(c->without[i]);
    if (c->shard_label) {
        out->shard.labels.items = arena_alloc(arena, sizeof(struct str));
        out->shard.labels.items[0] = str_from(c->shard_label);
        out->shard.labels.count = 1;
    }
}

static void check_same_bytes(const struct series_batch *got, const struct series_batch *want)
{
    for (size_t i = 0; i < want->count; i++)
        for (size_t j = 0; j < want->items[i].chunks.count; j++) {
            const struct chunk *a = &got->items[i].chunks.items[j];
            const struct chunk *b = &want->items[i].chunks.items[j];
            CHECK(a->raw.encoding == b->raw.encoding &&
                  str_equal(bytes_str(a->raw.bytes), bytes_str(b->raw.bytes)));
        }
}

static void check_select(struct store *store, struct store *twin, struct context *ctx,
                         const struct store_query *query, size_t max)
{
    struct arena *arena = arena_create(NULL);
    struct series_set *set;
    struct series_batch got, want;
    CHECK_OK(store_select(twin, ctx, query, &set));
    CHECK_OK(series_set_read_all(set, arena, 1000, &want));
    CHECK_OK(store_select(store, ctx, query, &set));
    CHECK_OK(series_set_read_all(set, arena, max, &got));
    struct str want_text = series_batch_text(arena, &want);
    CHECK_STR(series_batch_text(arena, &got), arena_cstr(arena, want_text));
    check_same_bytes(&got, &want);
    arena_unref(arena);
}

static void check_lists(const struct str_list *got, const struct str_list *want)
{
    CHECK_EQ(got->count, want->count);
    for (size_t i = 0; i < want->count; i++)
        CHECK(str_equal(got->items[i], want->items[i]));
}

static void check_labels(struct store *store, struct store *twin, struct context *ctx,
                         const struct store_query *query)
{
    static const char *const names[] = {"__name__", "job", "pod", "replica", "zone", "no such"};
    struct arena *arena = arena_create(NULL);
    struct str_list got, want;
    CHECK_OK(store_label_names(store, ctx, query, arena, &got));
    CHECK_OK(store_label_names(twin, ctx, query, arena, &want));
    check_lists(&got, &want);
    for (size_t i = 0; i < countof(names); i++) {
        CHECK_OK(store_label_values(store, ctx, str_from(names[i]), query, arena, &got));
        CHECK_OK(store_label_values(twin, ctx, str_from(names[i]), query, arena, &want));
        check_lists(&got, &want);
    }
    CHECK_ERROR(store_label_values(store, ctx, STR(""), query, arena, &got), ERROR_INVALID);
    arena_unref(arena);
}

static void check_ends(struct store *store, struct context *ctx, const struct store_query *query)
{
    struct arena *arena = arena_create(NULL);
    struct series_set *set;
    struct series_batch batch;
    CHECK_OK(store_select(store, ctx, query, &set)); /* freed before the first series */
    series_set_free(set);
    CHECK_OK(store_select(store, ctx, query, &set)); /* in the middle */
    CHECK_OK(series_set_next(set, arena, 1, &batch));
    CHECK_EQ(batch.count, 1);
    series_set_cancel(set);
    series_set_cancel(set);
    struct error *err = NULL;
    do /* what was read ahead may still come */
        err = series_set_next(set, arena, 1, &batch);
    while (!err && batch.count);
    CHECK(err == NULL || error_kind(err) == ERROR_CANCELLED);
    error_free(err);
    series_set_free(set);
    CHECK_OK(store_select(store, ctx, query, &set)); /* the end stays the end */
    do
        CHECK_OK(series_set_next(set, arena, 100, &batch));
    while (batch.count);
    CHECK(series_set_ready(set, NULL));
    CHECK_OK(series_set_next(set, arena, 100, &batch));
    CHECK_EQ(batch.count, 0);
    series_set_free(set);
    arena_unref(arena);
}

/* Series outlive their set, as their arena pins them. */
static void check_lifetime(struct store *store, struct context *ctx,
                           const struct store_query *query)
{
    struct arena *arena = arena_create(NULL);
    struct series_set *set;
    struct series_batch batch;
    CHECK_OK(store_select(store, ctx, query, &set));
    CHECK_OK(series_set_next(set, arena, 100, &batch));
    series_set_free(set);
    uint64_t sum = 0;
    for (size_t i = 0; i < batch.count; i++) {
        CHECK_OK(labels_check(batch.items[i].labels));
        for (size_t j = 0; j < batch.items[i].chunks.count; j++)
            sum += hash_str(bytes_str(batch.items[i].chunks.items[j].raw.bytes));
    }
    CHECK(sum != 0);
    arena_unref(arena);
}

void store_acceptance_run(const struct store_subject *subject, struct context *ctx)
{
    struct arena *arena = arena_create(NULL);
    struct series_batch data = data_make(arena);
    struct labels external = labels_of(arena, "prometheus", "p", "replica", "r1", NULL);
    struct store *twin = twin_make(arena, &data, external);
    struct store *store = subject->create(subject->arg, &data, external);
    struct store_query query;
    for (size_t i = 0; i < countof(query_cases); i++) {
        test_case_name = query_cases[i].name;
        query_make(arena, i, &query);
        for (size_t max = 1; max <= 64; max *= 8)
            check_select(store, twin, ctx, &query, max);
        if (query.shard.total == 0) /* label calls know no shards */
            check_labels(store, twin, ctx, &query);
    }
    query_make(arena, 0, &query);
    test_case_name = "ends";
    check_ends(store, ctx, &query);
    test_case_name = "lifetime";
    check_lifetime(store, ctx, &query);
    test_case_name = "no warnings";
    CHECK(!context_has_warnings(ctx));
    test_case_name = NULL;
    if (subject->free)
        subject->free(subject->arg, store);
    else
        store_free(store);
    store_free(twin);
    arena_unref(arena);
}
