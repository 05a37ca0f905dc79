#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#include "rpc/series_wire.h"
#include "store.pb-c.h"
#include "support/memory_store.h"
#include "unit/store/random_series.h"

static struct str random_text(struct arena *arena, uint64_t *seed)
{
    static const size_t lengths[] = {0, 1, 5, 127, 128, 254, 255, 256, 300, 20000};
    size_t len = lengths[test_random_below(seed, test_random_below(seed, 20) ? 3 : 10)];
    char *data = arena_bytes(arena, len);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)('a' + test_random_below(seed, 26));
    return (struct str){data, len};
}

static struct chunk_data random_chunk_data(struct arena *arena, uint64_t *seed)
{
    return (struct chunk_data){
        .encoding = (enum chunk_encoding)(CHUNK_XOR + test_random_below(seed, 3)),
        .bytes = str_bytes(random_text(arena, seed)),
        .hash = test_random_below(seed, 2) ? test_random(seed) : 0,
    };
}

static void random_chunk(struct arena *arena, uint64_t *seed, struct chunk *out)
{
    *out = (struct chunk){.min_time = (int64_t)test_random(seed) >> test_random_below(seed, 64),
                          .max_time = (int64_t)test_random(seed) >> test_random_below(seed, 64)};
    if (test_random_below(seed, 3)) {
        out->raw = random_chunk_data(arena, seed);
        return;
    }
    struct chunk_data *aggrs = arena_zalloc(arena, AGGR_NUMBER * sizeof(*aggrs));
    for (size_t i = AGGR_COUNT; i < AGGR_NUMBER; i++)
        if (i == AGGR_COUNT || test_random_below(seed, 2))
            aggrs[i] = random_chunk_data(arena, seed);
    out->aggrs = aggrs;
}

static void random_wire_series(struct arena *arena, uint64_t *seed, struct series *out)
{
    struct labels_builder builder = labels_builder_create(arena);
    for (size_t i = test_random_below(seed, 6); i > 0; i--) {
        struct str name = random_text(arena, seed);
        if (name.len)
            labels_builder_set(&builder, name, random_text(arena, seed));
    }
    out->labels = labels_builder_finish(&builder);
    out->chunks.count = test_random_below(seed, 5);
    out->chunks.items = arena_array(arena, out->chunks.count, sizeof(struct chunk));
    for (size_t i = 0; i < out->chunks.count; i++)
        random_chunk(arena, seed, &out->chunks.items[i]);
}

static void check_chunk_data(const struct chunk_data *got, const struct chunk_data *want)
{
    CHECK_EQ(got->encoding, want->encoding);
    if (want->encoding == CHUNK_NONE)
        return;
    CHECK_EQ(got->hash, want->hash);
    CHECK(str_equal(bytes_str(got->bytes), bytes_str(want->bytes)));
}

static void check_series(const struct series *got, const struct series *want)
{
    CHECK(labels_equal(got->labels, want->labels));
    CHECK_EQ(got->chunks.count, want->chunks.count);
    for (size_t i = 0; i < want->chunks.count; i++) {
        const struct chunk *a = &got->chunks.items[i], *b = &want->chunks.items[i];
        CHECK_EQ(a->min_time, b->min_time);
        CHECK_EQ(a->max_time, b->max_time);
        check_chunk_data(&a->raw, &b->raw);
        CHECK_EQ(a->aggrs != NULL, b->aggrs != NULL);
        for (size_t j = 0; j < AGGR_NUMBER && b->aggrs; j++)
            check_chunk_data(&a->aggrs[j], &b->aggrs[j]);
    }
}

/* Generated code understands the bytes and would write the same. */
static void check_generated(const ProtobufCMessageDescriptor *descriptor, const struct buf *wire)
{
    ProtobufCMessage *message =
        protobuf_c_message_unpack(descriptor, NULL, wire->len, (const uint8_t *)buf_str(wire).data);
    CHECK(message != NULL);
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *again = malloc(len + 1);
    protobuf_c_message_pack(message, again);
    CHECK(str_equal((struct str){(char *)again, len}, buf_str(wire)));
    free(again);
    protobuf_c_message_free_unpacked(message, NULL);
}

TEST(series_frames_equal_generated_code)
{
    uint64_t seed = test_seed();
    for (int round = 0; round < 3000; round++) {
        struct arena *arena = arena_create(NULL);
        struct buf wire = BUF_INIT(NULL);
        size_t count = test_random_below(&seed, 5);
        struct series *items = arena_array(arena, count + 1, sizeof(*items));
        size_t expected = 0;
        for (size_t i = 0; i < count; i++) {
            random_wire_series(arena, &seed, &items[i]);
            expected += series_wire_size(&items[i]);
        }
        if (count == 1 && round % 2)
            series_frame_encode(&wire, items, 1, true);
        else
            series_frame_encode(&wire, items, count, false);
        CHECK_OK(buf_status(&wire));
        CHECK(wire.len >= expected);
        check_generated(&thanos__series_response__descriptor, &wire);
        struct series_frame frame;
        CHECK_OK(series_frame_decode(buf_bytes(&wire), arena, &frame));
        CHECK_EQ(frame.kind, FRAME_SERIES);
        CHECK_EQ(frame.count, count);
        for (size_t i = 0; i < count; i++)
            check_series(&frame.items[i], &items[i]);
        buf_deinit(&wire);
        arena_unref(arena);
    }
}

static struct str_list random_list(struct arena *arena, uint64_t *seed)
{
    struct str_list list = {arena_array(arena, 4, sizeof(*list.items)), test_random_below(seed, 4)};
    for (size_t i = 0; i < list.count; i++)
        list.items[i] = random_text(arena, seed);
    str_list_sort(&list);
    return list;
}

static struct store_query random_query(struct arena *arena, uint64_t *seed)
{
    struct store_query query = {
        .min_time = (int64_t)test_random(seed) >> test_random_below(seed, 64),
        .max_time = (int64_t)test_random(seed) >> test_random_below(seed, 64),
        .max_resolution_ms = (int64_t)test_random_below(seed, 3) * 300000,
        .aggrs = 1 + (unsigned)test_random_below(seed, 63),
        .skip_chunks = test_random_below(seed, 2),
        .limit = test_random_below(seed, 3),
        .partial = (enum partial_response)test_random_below(seed, 2),
        .without_labels = random_list(arena, seed),
        .shard = {test_random_below(seed, 3), test_random_below(seed, 3),
                  test_random_below(seed, 2), random_list(arena, seed)},
        .hints = {.func = random_text(arena, seed),
                  .range_ms = (int64_t)test_random_below(seed, 3) * 1000,
                  .step_ms = (int64_t)test_random_below(seed, 3) * 500,
                  .grouping_by = test_random_below(seed, 2),
                  .grouping = random_list(arena, seed),
                  .batch_size = test_random_below(seed, 100)},
    };
    struct matcher *matchers = arena_array(arena, 4, sizeof(*matchers));
    query.matchers = matchers;
    query.matcher_count = test_random_below(seed, 4);
    for (size_t i = 0; i < query.matcher_count; i++)
        CHECK_OK(matcher_create(arena, (enum match_op)test_random_below(seed, 4),
                                random_text(arena, seed), random_text(arena, seed), &matchers[i]));
    return query;
}

static void check_list(struct str_list got, struct str_list want)
{
    CHECK_EQ(got.count, want.count);
    for (size_t i = 0; i < want.count; i++)
        CHECK(str_equal(got.items[i], want.items[i]));
}

static void check_query(const struct store_query *got, const struct store_query *want)
{
    CHECK_EQ(got->min_time, want->min_time);
    CHECK_EQ(got->max_time, want->max_time);
    CHECK_EQ(got->limit, want->limit);
    CHECK_EQ(got->partial, want->partial);
    check_list(got->without_labels, want->without_labels);
    CHECK_EQ(got->matcher_count, want->matcher_count);
    for (size_t i = 0; i < want->matcher_count; i++) {
        CHECK_EQ(got->matchers[i].op, want->matchers[i].op);
        CHECK(str_equal(got->matchers[i].name, want->matchers[i].name));
        CHECK(str_equal(got->matchers[i].value, want->matchers[i].value));
    }
}

TEST(series_requests_equal_generated_code)
{
    uint64_t seed = test_seed();
    for (int round = 0; round < 2000; round++) {
        struct arena *arena = arena_create(NULL);
        struct buf wire = BUF_INIT(NULL);
        struct store_query query = random_query(arena, &seed), got;
        series_request_encode(&wire, &query);
        check_generated(&thanos__series_request__descriptor, &wire);
        CHECK_OK(series_request_decode(buf_bytes(&wire), arena, &got));
        check_query(&got, &query);
        CHECK_EQ(got.aggrs, query.aggrs);
        CHECK_EQ(got.skip_chunks, query.skip_chunks);
        CHECK_EQ(got.max_resolution_ms, query.max_resolution_ms);
        CHECK_EQ(got.shard.total, query.shard.total);
        if (query.shard.total) {
            CHECK_EQ(got.shard.index, query.shard.index);
            CHECK_EQ(got.shard.by, query.shard.by);
            check_list(got.shard.labels, query.shard.labels);
        }
        CHECK(str_equal(got.hints.func, query.hints.func));
        CHECK_EQ(got.hints.step_ms, query.hints.step_ms);
        CHECK_EQ(got.hints.range_ms, query.hints.range_ms);
        CHECK_EQ(got.hints.grouping_by, query.hints.grouping_by);
        check_list(got.hints.grouping, query.hints.grouping);
        CHECK_EQ(got.hints.batch_size, query.hints.batch_size);
        buf_deinit(&wire);
        arena_unref(arena);
    }
}

TEST(label_requests_equal_generated_code)
{
    uint64_t seed = test_seed();
    for (int round = 0; round < 1000; round++) {
        struct arena *arena = arena_create(NULL);
        struct buf wire = BUF_INIT(NULL);
        struct store_query query = random_query(arena, &seed), got;
        struct str name = random_text(arena, &seed), got_name;
        label_names_request_encode(&wire, &query);
        check_generated(&thanos__label_names_request__descriptor, &wire);
        CHECK_OK(label_names_request_decode(buf_bytes(&wire), arena, &got));
        check_query(&got, &query);
        buf_clear(&wire);
        label_values_request_encode(&wire, name, &query);
        check_generated(&thanos__label_values_request__descriptor, &wire);
        CHECK_OK(label_values_request_decode(buf_bytes(&wire), arena, &got_name, &got));
        check_query(&got, &query);
        CHECK(str_equal(got_name, name));
        struct label_response response = {random_list(arena, &seed), random_list(arena, &seed)};
        struct label_response got_response;
        buf_clear(&wire);
        label_response_encode(&wire, &response);
        check_generated(&thanos__label_names_response__descriptor, &wire);
        check_generated(&thanos__label_values_response__descriptor, &wire);
        CHECK_OK(label_response_decode(buf_bytes(&wire), arena, &got_response));
        check_list(got_response.list, response.list);
        check_list(got_response.warnings, response.warnings);
        buf_deinit(&wire);
        arena_unref(arena);
    }
}

#define BYTES(literal) str_bytes(STR(literal))

static const struct {
    const char *name;
    struct str wire;
    const char *want; /* error text, NULL: fine */
} response_cases[] = {
    {"empty", STR_INIT(""), NULL},
    {"a warning", STR_INIT("\x12\x02hi"), NULL},
    {"unknown fields", STR_INIT("\x50\x01\x5a\x02xx\x0a\x00"), NULL},
    {"cut off", STR_INIT("\x0a\x05\x0a"), "unexpected end"},
    {"series as a number", STR_INIT("\x08\x05"), "wrong wire type"},
    {"chunk as a number", STR_INIT("\x0a\x02\x10\x05"), "wrong wire type"},
    {"label without a name", STR_INIT("\x0a\x05\x0a\x03\x12\x01v"), "label without a name"},
    {"encoding of the future", STR_INIT("\x0a\x06\x12\x04\x1a\x02\x08\x03"),
     "unknown chunk encoding"},
    {"a group", STR_INIT("\x53\x0a\x00\x54\x12\x01w"), NULL},
    {"a group without an end", STR_INIT("\x53\x0a\x00"), "unexpected end"},
};

TEST(malformed_responses_are_errors)
{
    for_each_case(c, response_cases) {
        struct arena *arena = arena_create(NULL);
        struct series_frame frame;
        struct error *err = series_frame_decode(str_bytes(c->wire), arena, &frame);
        CHECK_ERROR_TEXT(err, c->want ? ERROR_CORRUPT : ERROR_NONE, c->want);
        arena_unref(arena);
    }
}

TEST(unsorted_labels_are_sorted)
{
    struct arena *arena = arena_create(NULL);
    struct series_frame frame;
    /* b="1", a="2", c="", in one series */
    struct str wire = STR_INIT("\x0a\x16\x0a\x06\x0a\x01"
                               "b\x12\x01"
                               "1\x0a\x06\x0a\x01"
                               "a\x12\x01"
                               "2\x0a\x05\x0a\x01"
                               "c\x12\x00");
    wire.data = memcpy(arena_bytes(arena, wire.len), wire.data, wire.len);
    ((char *)wire.data)[1] = (char)(wire.len - 2);
    CHECK_OK(series_frame_decode(str_bytes(wire), arena, &frame));
    CHECK(labels_equal(frame.items[0].labels, labels_of(arena, "a", "2", "b", "1", NULL)));
    arena_unref(arena);
}

TEST(requests_with_bad_matchers_are_invalid)
{
    struct arena *arena = arena_create(NULL);
    struct store_query query;
    CHECK_ERROR_TEXT(series_request_decode(BYTES("\x1a\x02\x08\x09"), arena, &query), ERROR_INVALID,
                     "unsupported label matcher type 9");
    CHECK_ERROR(series_request_decode(BYTES("\x1a\x08\x08\x02\x12\x01"
                                            "a\x1a\x01("),
                                      arena, &query),
                ERROR_INVALID);
    CHECK_ERROR(series_request_decode(BYTES("\x1a\x08\x08"), arena, &query), ERROR_INVALID);
    arena_unref(arena);
}

TEST(huge_counts_are_refused_by_the_budget)
{
    enum { CHUNKS = 200000 };
    struct budget *budget = budget_create(NULL, "query", 1 << 20);
    struct arena *arena = arena_create(budget);
    struct buf wire = BUF_INIT(NULL), series = BUF_INIT(NULL);
    for (int i = 0; i < CHUNKS; i++)
        buf_append(&series, "\x12\x02\x22\x00", 4);
    buf_append(&wire, "\x0a\x80\xb5\x30", 4); /* 800,000 */
    buf_append_str(&wire, buf_str(&series));
    struct series_frame frame;
    CHECK_ERROR(series_frame_decode(buf_bytes(&wire), arena, &frame), ERROR_LIMIT);
    arena_unref(arena);
    CHECK(budget_peak(budget) <= 1 << 20);
    budget_free(budget);
    buf_deinit(&wire);
    buf_deinit(&series);
}

TEST_MAIN(TEST_ENTRY(series_frames_equal_generated_code),
          TEST_ENTRY(series_requests_equal_generated_code),
          TEST_ENTRY(label_requests_equal_generated_code),
          TEST_ENTRY(malformed_responses_are_errors), TEST_ENTRY(unsorted_labels_are_sorted),
          TEST_ENTRY(requests_with_bad_matchers_are_invalid),
          TEST_ENTRY(huge_counts_are_refused_by_the_budget))
