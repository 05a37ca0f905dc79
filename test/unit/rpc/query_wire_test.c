#include "rpc/query_wire.h"

#include "model/histogram.h"
#include "support/test.h"

static struct str kept(struct arena *arena, struct buf *buf)
{
    struct str text = arena_str(arena, buf_str(buf));
    buf_deinit(buf);
    return text;
}

TEST(a_request_is_the_same_on_both_sides)
{
    struct arena *arena = arena_create(NULL);
    const struct record_type *const types[] = {&query_instant_type, &query_range_type};
    for (size_t i = 0; i < countof(types); i++) {
        struct query_request asked = {.text = STR_INIT("up"), .dedup = true, .batch_size = 64}, got;
        struct buf wire = {0};
        asked.timeout_s = 120;
        asked.lookback_s = 300;
        asked.max_resolution_s = 60;
        asked.engine = QUERY_ENGINE_THANOS;
        asked.shard.total = 3;
        *records_add(&asked.replica_labels, arena) = STR("replica");
        *records_add(&records_add(&asked.store_matches, arena)->matchers, arena) =
            (struct query_matcher){2, STR_INIT("a"), STR_INIT("b.*")};
        if (i == 0) {
            asked.time_s = -7;
        } else {
            asked.start_s = 1;
            asked.end_s = 2;
            asked.step_s = 3;
        }
        record_encode(&wire, types[i], &asked);
        CHECK_OK(record_decode(str_bytes(kept(arena, &wire)), arena, types[i], &got));
        CHECK_STR(got.text, "up");
        CHECK(got.dedup && !got.partial_response);
        CHECK_EQ(got.time_s, asked.time_s);
        CHECK_EQ(got.start_s + got.end_s + got.step_s, i * 6);
        CHECK_EQ(got.timeout_s + got.lookback_s + got.max_resolution_s + got.batch_size, 544);
        CHECK_EQ(got.shard.total, 3);
        CHECK_STR(got.replica_labels.items[0], "replica");
        CHECK_STR(got.store_matches.items[0].matchers.items[0].value, "b.*");
    }
    arena_unref(arena);
}

static struct labels labels_one(struct arena *arena, const char *name, const char *value)
{
    struct labels_builder builder = labels_builder_create(arena);
    labels_builder_set(&builder, str_from(name), str_from(value));
    return labels_builder_finish(&builder);
}

TEST(series_with_numbers_and_histograms_keep_their_points)
{
    struct arena *arena = arena_create(NULL);
    static const struct histogram_span span = {-3, 2};
    double buckets[] = {1, -2.5}; /* as expressions give them */
    struct histogram histogram = {.schema = 2,
                                  .count = -0.5,
                                  .sum = 1e9,
                                  .zero_count = 1,
                                  .zero_threshold = 0.001,
                                  .reset = HISTOGRAM_GAUGE,
                                  .positive = {&span, 1, buckets, 2}};
    const int64_t times[] = {-5, 0, 7};
    const double values[] = {0, -0.0, 3};
    struct histogram *const histograms[] = {NULL, &histogram, NULL};
    const struct query_series series = {labels_one(arena, "a", "b"), times, values, histograms, 3};
    struct query_frame frame;
    struct buf wire = {0};
    size_t mark = query_batch_begin(&wire);
    query_series_encode(&wire, &series, true);
    query_series_encode(&wire, &(struct query_series){.count = 0}, true);
    query_batch_end(&wire, mark);
    CHECK_OK(query_frame_decode(str_bytes(kept(arena, &wire)), arena, &frame));
    CHECK_EQ(frame.kind, QUERY_SERIES);
    CHECK_EQ(frame.count, 2);
    CHECK(labels_equal(frame.items[0].labels, series.labels));
    CHECK_EQ(frame.items[0].count, 3);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQ(frame.items[0].times[i], times[i]);
    CHECK_DOUBLE(frame.items[0].values[2], 3);
    CHECK(frame.items[0].histograms[0] == NULL);
    CHECK(histogram_equal(frame.items[0].histograms[1], &histogram));
    CHECK_EQ(frame.items[0].histograms[1]->reset, HISTOGRAM_GAUGE);
    arena_unref(arena);
}

TEST(single_series_warnings_and_statistics_are_told_apart)
{
    struct arena *arena = arena_create(NULL);
    const int64_t time = 1;
    const double value = 2;
    struct query_frame frame;
    struct buf wire = {0};
    query_series_encode(&wire, &(struct query_series){.times = &time, .values = &value, .count = 1},
                        false);
    CHECK_OK(query_frame_decode(str_bytes(kept(arena, &wire)), arena, &frame));
    CHECK_EQ(frame.kind, QUERY_SERIES);
    CHECK_DOUBLE(frame.items[0].values[0], 2);
    wire = (struct buf){0};
    query_warning_encode(&wire, STR("careful"));
    CHECK_OK(query_frame_decode(str_bytes(kept(arena, &wire)), arena, &frame));
    CHECK_EQ(frame.kind, QUERY_WARNING);
    CHECK_STR(frame.warning, "careful");
    wire = (struct buf){0};
    query_stats_encode(&wire, 10, 3);
    CHECK_OK(query_frame_decode(str_bytes(kept(arena, &wire)), arena, &frame));
    CHECK_EQ(frame.kind, QUERY_STATS);
    CHECK_EQ(frame.samples_total * 10 + frame.samples_peak, 103);
    CHECK_OK(query_frame_decode((struct bytes){NULL, 0}, arena, &frame));
    CHECK_EQ(frame.kind, QUERY_NOTHING);
    arena_unref(arena);
}

static const struct {
    const char *name;
    const char *bytes;
    size_t len;
} bad_frames[] = {
    {"a sample that is cut", "\x12\x04\x12\x09\x09\x00", 6},
    {"times that do not ascend", "\x12\x08\x12\x02\x10\x05\x12\x02\x10\x05", 10},
    {"a histogram with fewer buckets than its spans say",
     "\x12\x08\x22\x06\x5a\x04\x08\x02\x10\x05", 10},
    {"a batch that is cut", "\x22\x05\x0a", 3},
    {NULL, NULL, 0},
};

TEST(malformed_frames_are_corrupt)
{
    struct arena *arena = arena_create(NULL);
    for_each_case(c, bad_frames) {
        struct query_frame frame;
        CHECK_ERROR(
            query_frame_decode((struct bytes){(const uint8_t *)c->bytes, c->len}, arena, &frame),
            ERROR_CORRUPT);
    }
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(a_request_is_the_same_on_both_sides),
          TEST_ENTRY(series_with_numbers_and_histograms_keep_their_points),
          TEST_ENTRY(single_series_warnings_and_statistics_are_told_apart),
          TEST_ENTRY(malformed_frames_are_corrupt))
