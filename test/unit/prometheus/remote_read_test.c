#include "prometheus_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "chunk/chunk_encoder.h"
#include "chunk/samples.h"
#include "codec/pb.h"
#include "codec/snappy.h"
#include "model/histogram.h"
#include "prometheus/remote_read.h"
#include "prometheus/remote_read_frames.h"
#include "runtime/time.h"
#include "store/series_join.h"

/* A server that sends what it was given, as a stream unless told otherwise. */
struct canned {
    struct buf body;
    int status;
    const char *type;
    bool endless, hang;
    int64_t delay_ms;
};

static void handle_canned(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    struct canned *canned = arg;
    CHECK_STR(request->path, "/api/v1/read");
    CHECK_STR(request->method, "POST");
    reply->status = canned->status ? canned->status : 200;
    reply->type = str_from(
        canned->type ? canned->type
                     : "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
    buf_append_str(&reply->body, buf_str(&canned->body));
    reply->endless = canned->endless;
    reply->hang = canned->hang;
    reply->delay_ms = canned->delay_ms;
}

static void add_series(struct canned *canned, struct labels labels, const struct chunk *chunks,
                       size_t count)
{
    struct buf message = {0};
    fake_chunked_series(&message, labels, chunks, count);
    fake_frame(&canned->body, buf_bytes(&message));
    buf_deinit(&message);
}

static struct canned canned_up(struct arena *arena)
{
    struct canned canned = {0};
    struct chunk chunk = memory_chunk(arena, 1000, 1);
    add_series(&canned, labels_of(arena, "__name__", "up", "job", "a", NULL), &chunk, 1);
    add_series(&canned, labels_of(arena, "__name__", "up", "job", "b", NULL), &chunk, 1);
    return canned;
}

static struct series_set *start(struct bench *bench)
{
    struct series_set *set;
    struct matcher matcher;
    CHECK_OK(matcher_create(bench->arena, MATCH_EQUAL, STR("__name__"), STR("up"), &matcher));
    struct remote_read_query query = {&matcher, 1, 0, 10000, {NULL, 0}, NULL};
    CHECK_OK(remote_read_start(bench->client, bench->ctx, &query, &set));
    return set;
}

/* Reads all of what a server sends, in batches of three. */
static struct error *read_canned(struct canned *canned, struct str *text)
{
    struct bench bench = bench_open(handle_canned, canned);
    struct series_batch batch;
    struct series_set *set = series_set_join(NULL, start(&bench), NULL);
    struct error *err = series_set_read_all(set, bench.arena, 3, &batch);
    if (!err && text) {
        static char copy[4096];
        struct str whole = series_batch_text(bench.arena, &batch);
        snprintf(copy, sizeof(copy), "%.*s", STR_ARG(whole));
        *text = str_from(copy);
    }
    bench_close(&bench);
    buf_deinit(&canned->body);
    return err;
}

TEST(frames_become_series)
{
    struct arena *arena = arena_create(NULL);
    struct canned canned = canned_up(arena);
    struct str text;
    CHECK_OK(read_canned(&canned, &text));
    CHECK_STR(text, "{__name__=\"up\", job=\"a\"}@1000 {__name__=\"up\", job=\"b\"}@1000");
    CHECK_OK(read_canned(&canned, &text)); /* an answer of nothing */
    CHECK_STR(text, "");
    arena_unref(arena);
}

TEST(a_series_over_several_frames_is_one_series)
{
    struct arena *arena = arena_create(NULL);
    struct canned canned = {0};
    struct labels labels = labels_of(arena, "__name__", "up", NULL);
    for (int64_t i = 0; i < 1000; i++) {
        struct chunk chunk = memory_chunk(arena, i, (double)i);
        add_series(&canned, labels, &chunk, 1);
    }
    struct bench bench = bench_open(handle_canned, &canned);
    struct series_batch batch;
    struct series_set *set = series_set_join(NULL, start(&bench), NULL);
    CHECK_OK(series_set_read_all(set, bench.arena, 10, &batch));
    CHECK_EQ(batch.count, 1);
    CHECK_EQ(batch.items[0].chunks.count, 1000);
    CHECK_EQ(batch.items[0].chunks.items[999].min_time, 999);
    bench_close(&bench);
    buf_deinit(&canned.body);
    arena_unref(arena);
}

/* A message of several MiB, most of which is read straight to its place. */
TEST(long_frames_are_read_whole)
{
    struct arena *arena = arena_create(NULL);
    struct canned canned = {0};
    size_t len = 5 << 20;
    uint8_t *bytes = arena_bytes(arena, len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 7);
    struct chunk chunk = {1, 2, {CHUNK_XOR, {bytes, len}, 0}, NULL};
    add_series(&canned, labels_of(arena, "a", "1", NULL), &chunk, 1);
    add_series(&canned, labels_of(arena, "a", "2", NULL), &chunk, 1);
    struct bench bench = bench_open(handle_canned, &canned);
    struct series_batch batch;
    CHECK_OK(series_set_read_all(start(&bench), bench.arena, 10, &batch));
    CHECK_EQ(batch.count, 2);
    for (size_t i = 0; i < 2; i++)
        CHECK(str_equal(bytes_str(batch.items[i].chunks.items[0].raw.bytes),
                        bytes_str(chunk.raw.bytes)));
    bench_close(&bench);
    buf_deinit(&canned.body);
    arena_unref(arena);
}

TEST(new_encodings_are_transcoded)
{
    struct arena *arena = arena_create(NULL);
    struct canned canned = {0};
    /* one sample: varint 1000, 1.0, without start time */
    uint8_t one[] = {0, 1, 0, 0xd0, 0x0f, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0};
    struct chunk chunk = {1000, 1000, {CHUNK_XOR2, {one, sizeof(one)}, 0}, NULL};
    add_series(&canned, labels_of(arena, "a", "1", NULL), &chunk, 1);
    struct bench bench = bench_open(handle_canned, &canned);
    struct series_batch batch;
    struct samples samples;
    CHECK_OK(series_set_read_all(start(&bench), bench.arena, 10, &batch));
    CHECK_EQ(batch.items[0].chunks.items[0].raw.encoding, CHUNK_XOR);
    CHECK(batch.items[0].chunks.items[0].raw.hash != 0);
    CHECK_OK(chunk_decode(&batch.items[0].chunks.items[0].raw, 0, 2000, arena, &samples));
    CHECK_EQ(samples.count, 1);
    CHECK_EQ(samples.times[0], 1000);
    CHECK_DOUBLE(samples.values[0], 1);
    bench_close(&bench);
    buf_deinit(&canned.body);
    arena_unref(arena);
}

/* ---- lies ---- */

static void spoil_checksum(struct canned *canned, struct arena *arena UNUSED)
{
    canned->body.data[canned->body.len - 1] ^= 1;
}

static void cut_body(struct canned *canned, struct arena *arena UNUSED)
{
    canned->body.len -= 3;
}

static void cut_head(struct canned *canned, struct arena *arena UNUSED)
{
    buf_append(&canned->body, "\x10\x00", 2);
}

static void claim_much(struct canned *canned, struct arena *arena UNUSED)
{
    buf_append(&canned->body, "\x81\xe1\xeb\x17\0\0\0\0", 8); /* 50 000 001 */
}

static void claim_endless_length(struct canned *canned, struct arena *arena UNUSED)
{
    buf_append(&canned->body, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 15);
}

static void send_garbage(struct canned *canned, struct arena *arena UNUSED)
{
    fake_frame(&canned->body, (struct bytes){(const uint8_t *)"\x0a\xffgarbage", 9});
}

/* A series whose labels come in the order given. */
static void add_labels(struct canned *canned, const char *const *pairs)
{
    struct buf message = {0};
    size_t series = pb_begin(&message, 1, 100);
    for (size_t i = 0; pairs[i]; i += 2) {
        size_t label = pb_begin(&message, 1, 20);
        pb_put_str(&message, 1, str_from(pairs[i]));
        pb_put_str(&message, 2, str_from(pairs[i + 1]));
        pb_end(&message, label);
    }
    pb_end(&message, series);
    fake_frame(&canned->body, buf_bytes(&message));
    buf_deinit(&message);
}

static void unsorted_labels(struct canned *canned, struct arena *arena UNUSED)
{
    add_labels(canned, (const char *const[]){"b", "1", "a", "2", NULL});
}

static void twice_a_label(struct canned *canned, struct arena *arena UNUSED)
{
    add_labels(canned, (const char *const[]){"a", "1", "a", "2", NULL});
}

static void nameless_label(struct canned *canned, struct arena *arena UNUSED)
{
    add_labels(canned, (const char *const[]){"", "1", NULL});
}

static void series_out_of_order(struct canned *canned, struct arena *arena)
{
    struct chunk chunk = memory_chunk(arena, 1000, 1);
    add_series(canned, labels_of(arena, "__name__", "down", NULL), &chunk, 1);
}

static void unknown_encoding(struct canned *canned, struct arena *arena)
{
    struct chunk chunk = memory_chunk(arena, 1000, 1);
    chunk.raw.encoding = (enum chunk_encoding)17;
    add_series(canned, labels_of(arena, "__name__", "up", "job", "c", NULL), &chunk, 1);
}

static void backward_chunk(struct canned *canned, struct arena *arena)
{
    struct chunk chunk = memory_chunk(arena, 1000, 1);
    chunk.max_time = 999;
    add_series(canned, labels_of(arena, "__name__", "up", "job", "c", NULL), &chunk, 1);
}

static void other_type(struct canned *canned, struct arena *arena UNUSED)
{
    canned->type = "text/html";
}

static void fail_inside(struct canned *canned, struct arena *arena UNUSED)
{
    canned->status = 503;
    buf_clear(&canned->body);
    buf_append_cstr(&canned->body, "starting");
}

static void samples_that_are_none(struct canned *canned, struct arena *arena UNUSED)
{
    canned->type = "application/x-protobuf";
}

static void endless_garbage(struct canned *canned, struct arena *arena UNUSED)
{
    canned->endless = true;
    buf_append_cstr(&canned->body, "garbage");
}

static void endless_series(struct canned *canned, struct arena *arena UNUSED)
{
    canned->endless = true; /* begins anew, out of order */
}

static const struct {
    const char *name;
    void (*lie)(struct canned *canned, struct arena *arena);
    enum error_kind want;
    const char *text;
} lie_cases[] = {
    {"wrong checksum", spoil_checksum, ERROR_CORRUPT,
     "query Prometheus: remote read frame with a wrong checksum"},
    {"ends within a message", cut_body, ERROR_CORRUPT, "ends within a frame"},
    {"ends within a head", cut_head, ERROR_CORRUPT, "ends within a frame"},
    {"a frame too long", claim_much, ERROR_CORRUPT, "frame of 50000001 bytes, more than 50000000"},
    {"a length without end", claim_endless_length, ERROR_CORRUPT, "broken length"},
    {"a message of garbage", send_garbage, ERROR_CORRUPT, "remote read frame"},
    {"unsorted labels", unsorted_labels, ERROR_CORRUPT, "labels out of order: a after b"},
    {"a label twice", twice_a_label, ERROR_CORRUPT, "labels out of order"},
    {"a label without name", nameless_label, ERROR_CORRUPT, "without name"},
    {"series out of order", series_out_of_order, ERROR_CORRUPT, ""},
    {"unknown encoding", unknown_encoding, ERROR_CORRUPT, "unknown encoding 17"},
    {"a chunk that ends before it starts", backward_chunk, ERROR_CORRUPT, "ends before it starts"},
    {"another content type", other_type, ERROR_INTERNAL,
     "not supported remote read content type: text/html"},
    {"a failure", fail_inside, ERROR_UNAVAILABLE,
     "request failed with code 503 Service Unavailable; msg starting"},
    {"samples that are none", samples_that_are_none, ERROR_CORRUPT, "decompress response"},
    {"endless garbage", endless_garbage, ERROR_CORRUPT, ""},
    {"endless series", endless_series, ERROR_CORRUPT, ""},
};

TEST(lies_are_clear_errors)
{
    for_each_case(c, lie_cases) {
        struct arena *arena = arena_create(NULL);
        struct canned canned = canned_up(arena);
        c->lie(&canned, arena);
        CHECK_ERROR_TEXT(read_canned(&canned, NULL), c->want, c->text);
        arena_unref(arena);
    }
}

TEST(what_came_before_a_lie_is_given)
{
    struct arena *arena = arena_create(NULL);
    struct canned canned = canned_up(arena);
    spoil_checksum(&canned, arena);
    struct bench bench = bench_open(handle_canned, &canned);
    struct series_set *set = start(&bench);
    struct series_batch batch;
    CHECK_OK(series_set_next(set, bench.arena, 10, &batch));
    CHECK_EQ(batch.count, 1);
    CHECK_ERROR(series_set_next(set, bench.arena, 10, &batch), ERROR_CORRUPT);
    series_set_free(set);
    bench_close(&bench);
    buf_deinit(&canned.body);
    arena_unref(arena);
}

/* ---- waiting ---- */

static void count_wake(void *calls)
{
    atomic_fetch_add((atomic_int *)calls, 1);
}

TEST(a_set_is_ready_when_a_whole_frame_has_come)
{
    struct arena *arena = arena_create(NULL);
    struct canned canned = {.delay_ms = 200};
    struct chunk chunk = memory_chunk(arena, 1000, 1);
    add_series(&canned, labels_of(arena, "a", "1", NULL), &chunk, 1);
    struct bench bench = bench_open(handle_canned, &canned);
    struct series_set *set = start(&bench);
    atomic_int calls = 0;
    struct series_wake wake = {count_wake, &calls};
    struct series_batch batch;
    int64_t started = time_now_monotonic_ms();
    CHECK(!series_set_ready(set, NULL));
    for (int asked = 1; !series_set_ready(set, &wake); asked++)
        while (atomic_load(&calls) < asked)
            usleep(1000);
    CHECK(time_now_monotonic_ms() - started >= 150); /* not with the first half */
    CHECK_OK(series_set_next(set, bench.arena, 10, &batch));
    CHECK_EQ(batch.count, 1);
    series_set_free(set);
    bench_close(&bench);
    buf_deinit(&canned.body);
    arena_unref(arena);
}

static void *cancel_later(void *arg)
{
    usleep(50000);
    series_set_cancel(arg);
    return NULL;
}

TEST(a_hanging_server_can_be_left)
{
    struct arena *arena = arena_create(NULL);
    struct canned canned = canned_up(arena);
    canned.hang = true;
    struct bench bench = bench_open(handle_canned, &canned);
    struct series_set *set = start(&bench);
    struct series_batch batch;
    size_t count = 0;
    while (count < 2) { /* both come although the stream goes on */
        CHECK_OK(series_set_next(set, bench.arena, 10, &batch));
        count += batch.count;
    }
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_later, set);
    int64_t started = time_now_monotonic_ms();
    CHECK_ERROR(series_set_next(set, bench.arena, 10, &batch), ERROR_CANCELLED);
    CHECK(time_now_monotonic_ms() - started < 1000);
    pthread_join(thread, NULL);
    series_set_free(set);
    bench_close(&bench);
    buf_deinit(&canned.body);
    arena_unref(arena);
}

TEST(a_budget_ends_an_answer_that_is_kept)
{
    struct arena *arena = arena_create(NULL);
    struct canned canned = {0};
    uint8_t *bytes = arena_zalloc(arena, 1 << 20);
    struct chunk chunk = {1, 2, {CHUNK_XOR, {bytes, 1 << 20}, 0}, NULL};
    for (int i = 0; i < 20; i++) {
        char value[8];
        snprintf(value, sizeof(value), "%02d", i);
        add_series(&canned, labels_of(arena, "a", value, NULL), &chunk, 1);
    }
    struct bench bench = bench_open(handle_canned, &canned);
    struct budget *budget = budget_create(NULL, "query", 8 << 20);
    struct context *ctx = context_create(bench.ctx, CONTEXT_NO_DEADLINE);
    context_set_budget(ctx, budget);
    struct context *outer = bench.ctx;
    bench.ctx = ctx;
    struct series_set *set = start(&bench);
    bench.ctx = outer;
    struct arena *kept = arena_create(budget);
    struct series_batch batch;
    CHECK_ERROR_TEXT(series_set_read_all(set, kept, 2, &batch), ERROR_LIMIT, "query budget");
    arena_unref(kept);
    context_unref(ctx);
    bench_close(&bench);
    CHECK_EQ(budget_used(budget), 0);
    CHECK(budget_peak(budget) < 10 << 20);
    budget_free(budget);
    buf_deinit(&canned.body);
    arena_unref(arena);
}

/* ---- samples ---- */

static void put_histogram(struct buf *out, int64_t time, bool integer)
{
    size_t mark = pb_begin(out, 4, 100);
    size_t span;
    if (integer) {
        pb_put_uint64(out, 1, 6);
        pb_put_packed_sint64(out, 12, (const int64_t[]){1, 2, -1}, 3); /* 1 3 2 */
    } else {
        pb_put_double(out, 2, 6.5);
        pb_put_packed_double(out, 13, (const double[]){1, 3, 2.5}, 3);
    }
    pb_put_double(out, 3, 18.5);
    pb_put_sint64(out, 4, 1);
    span = pb_begin(out, 11, 8);
    pb_put_sint64(out, 1, -1);
    pb_put_uint64(out, 2, 3);
    pb_end(out, span);
    pb_put_int64(out, 15, time);
    pb_end(out, mark);
}

TEST(samples_and_histograms_of_old_servers_become_chunks)
{
    struct arena *arena = arena_create(NULL);
    struct canned canned = {.type = "application/x-protobuf"};
    struct buf message = {0};
    size_t result = pb_begin(&message, 1, 4000), series = pb_begin(&message, 1, 4000);
    size_t label = pb_begin(&message, 1, 8);
    pb_put_str(&message, 1, STR("a"));
    pb_put_str(&message, 2, STR("1"));
    pb_end(&message, label);
    for (int64_t i = 0; i < 200; i++) {
        size_t sample = pb_begin(&message, 2, 20);
        pb_put_double(&message, 1, (double)i);
        pb_put_int64(&message, 2, i * 1000);
        pb_end(&message, sample);
    }
    put_histogram(&message, 200000, true);
    put_histogram(&message, 201000, false);
    pb_end(&message, series);
    pb_end(&message, result);
    snappy_encode(buf_bytes(&message), &canned.body);
    buf_deinit(&message);
    struct bench bench = bench_open(handle_canned, &canned);
    struct series_batch batch;
    struct samples samples;
    CHECK_OK(series_set_read_all(start(&bench), bench.arena, 10, &batch));
    CHECK_EQ(batch.count, 1);
    CHECK_EQ(batch.items[0].chunks.count, 3);
    CHECK_EQ(batch.items[0].chunks.items[1].min_time, 120000);
    CHECK_EQ(batch.items[0].chunks.items[1].max_time, 199000);
    CHECK_EQ(batch.items[0].chunks.items[2].raw.encoding, CHUNK_FLOAT_HISTOGRAM);
    CHECK_OK(chunk_decode(&batch.items[0].chunks.items[2].raw, 0, INT64_MAX, arena, &samples));
    CHECK_EQ(samples.count, 2);
    struct buf text = {0};
    histogram_print(&text, samples.histograms[0]);
    CHECK_STR(buf_str(&text), "{count:6, sum:18.5, (0.5,0.7071067811865475]:1, "
                              "(0.7071067811865475,1]:3, (1,1.414213562373095]:2}");
    buf_deinit(&text);
    CHECK_DOUBLE(samples.histograms[1]->count, 6.5);
    bench_close(&bench);
    buf_deinit(&canned.body);
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(frames_become_series), TEST_ENTRY(a_series_over_several_frames_is_one_series),
          TEST_ENTRY(long_frames_are_read_whole), TEST_ENTRY(new_encodings_are_transcoded),
          TEST_ENTRY(lies_are_clear_errors), TEST_ENTRY(what_came_before_a_lie_is_given),
          TEST_ENTRY(a_set_is_ready_when_a_whole_frame_has_come),
          TEST_ENTRY(a_hanging_server_can_be_left),
          TEST_ENTRY(a_budget_ends_an_answer_that_is_kept),
          TEST_ENTRY(samples_and_histograms_of_old_servers_become_chunks))
