#include "api/params.h"

#include <math.h>

#include "api/query_params.h"
#include "api/result_json.h"
#include "model/histogram.h"
#include "promql/engine.h"
#include "support/test.h"

static const struct {
    const char *name; /* the text */
    int64_t want;
    bool ok;
} time_cases[] = {
    {"1.5", 1500, true},
    {"0.0005", 1, true},
    {"1795500579.331", 1795500579331, true},
    {"-1.001", -1001, true},
    {"1e9", 1000000000000, true},
    {"1970-01-01T00:00:01.9999Z", 1999, true},
    {"9223372036000000", 9223372036000000000, true},
    {"9223372036854776", 0, false},
    {"1e400", 0, false},
    {"NaN", 0, false},
    {"Inf", 0, false},
    {"", 0, false},
    {"now", 0, false},
};

TEST(times_are_seconds_or_rfc_3339)
{
    for_each_case(c, time_cases) {
        int64_t got = 0;
        CHECK_ERROR(param_parse_time(str_from(c->name), &got), c->ok ? ERROR_NONE : ERROR_INVALID);
        CHECK_EQ(got, c->want);
    }
}

static const struct {
    const char *name; /* the text */
    int64_t want_ns;
    bool ok;
} duration_cases[] = {
    {"1.5", 1500000000, true},
    {"-1", -1000000000, true},
    {"1m30s", 90000000000, true},
    {"1e10", 0, false},
    {"NaN", 0, false},
    {"-1m", 0, false},
    {"9e9", 9000000000000000000, true},
    {"0", 0, true},
    {"x", 0, false},
};

TEST(durations_are_seconds_or_units)
{
    for_each_case(c, duration_cases) {
        int64_t got = 0;
        CHECK_ERROR(param_parse_duration(str_from(c->name), &got),
                    c->ok ? ERROR_NONE : ERROR_INVALID);
        CHECK_EQ(got, c->want_ns);
    }
}

static struct http_request request_of(struct arena *arena, const char *const *pairs)
{
    struct http_request req = {.arena = arena};
    req.params = arena_array(arena, 16, sizeof(*req.params));
    for (; pairs[0]; pairs += 2)
        req.params[req.param_count++] = (struct http_param){str_from(pairs[0]), str_from(pairs[1])};
    return req;
}

static const struct {
    const char *name;
    const char *pairs[11]; /* of a range query */
    int64_t flag_lookback_ms;
    bool auto_downsampling;
    int64_t step_ms, resolution_ms, lookback_ms;
} range_cases[] = {
    {"defaults", {"start", "0", "end", "60"}, 0, false, 1000, 0, 0},
    {"a long range", {"start", "0", "end", "86400"}, 0, false, 345000, 0, 0},
    {"automatic resolution",
     {"start", "0", "end", "60", "step", "7", "max_source_resolution", "auto"},
     0,
     false,
     7000,
     1400,
     300000},
    {"automatic by flag", {"start", "0", "end", "60", "step", "7"}, 0, true, 7000, 1400, 300000},
    {"given wins over the flag",
     {"start", "0", "end", "60", "step", "7", "max_source_resolution", "0"},
     0,
     true,
     7000,
     0,
     0},
    {"300 s look back 5 m",
     {"start", "0", "end", "60", "max_source_resolution", "300"},
     0,
     false,
     1000,
     300000,
     300000},
    {"301 s look back 1 h",
     {"start", "0", "end", "60", "max_source_resolution", "301"},
     0,
     false,
     1000,
     301000,
     3600000},
    {"finer than the flag",
     {"start", "0", "end", "60", "max_source_resolution", "300"},
     600000,
     false,
     1000,
     300000,
     600000},
    {"the request's own",
     {"start", "0", "end", "60", "lookback_delta", "2m"},
     600000,
     false,
     1000,
     0,
     120000},
    {"a negative one does not count",
     {"start", "0", "end", "60", "lookback_delta", "-1"},
     600000,
     false,
     1000,
     0,
     600000},
};

TEST(steps_resolutions_and_lookback_follow_from_each_other)
{
    for_each_case(c, range_cases) {
        struct arena *arena = arena_create(NULL);
        struct query_params params;
        struct http_request req = request_of(arena, c->pairs);
        struct query_api_config config = {.dynamic_lookback = true,
                                          .default_step_ms = 1000,
                                          .lookback_ms = c->flag_lookback_ms,
                                          .auto_downsampling = c->auto_downsampling};
        CHECK_OK(query_params_range(&config, &req, &params));
        CHECK_EQ(params.query.step_ms, c->step_ms);
        CHECK_EQ(params.query.max_resolution_ms, c->resolution_ms);
        CHECK_EQ(params.query.lookback_ms, c->lookback_ms);
        arena_unref(arena);
    }
}

TEST(shards_are_read_from_json)
{
    struct arena *arena = arena_create(NULL);
    struct shard shard = {0};
    struct http_request req = request_of(
        arena, (const char *[]){"shard_info",
                                "{\"shard_index\":1,\"total_shards\":3,\"by\":true,\"labels\":["
                                "\"z\",\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"a\"]}",
                                NULL});
    CHECK_OK(param_shard(&req, &shard));
    CHECK_EQ(shard.index, 1);
    CHECK_EQ(shard.total, 3);
    CHECK(shard.by);
    CHECK_EQ(shard.labels.count, 9);
    CHECK_STR(shard.labels.items[8], "z");
    req.params[0].value = STR("{\"shard_index\":3,\"total_shards\":3}");
    CHECK_ERROR_TEXT(param_shard(&req, &shard), ERROR_INVALID, "no shard 3 of 3");
    arena_unref(arena);
}

TEST(histograms_are_written_with_their_bounds)
{
    double counts[] = {1, 0, 2.5}, zero_times[] = {0};
    struct histogram_span spans[] = {{0, 2}, {1, 1}};
    struct histogram histogram = {.schema = 0,
                                  .zero_threshold = 0.001,
                                  .zero_count = 2,
                                  .count = 7.5,
                                  .sum = 1e21,
                                  .positive = {spans, 2, counts, 3},
                                  .negative = {spans, 1, counts, 2}};
    struct histogram empty = {.schema = 0, .count = 0, .sum = NAN};
    struct histogram *points[] = {NULL, &histogram, &empty};
    double values[] = {1, 0, 0};
    int64_t times[] = {-1500, 1500, 2000};
    struct result_series series = {
        .times = times, .values = values, .histograms = points, .count = 3};
    struct engine_result result = {.type = VALUE_MATRIX, .series = &series, .series_count = 1};
    struct buf out = {0};
    struct json_writer json = json_write(&out, JSON_HTML_SAFE);
    result_write(&json, &result);
    CHECK_STR(buf_str(&out),
              "[{\"metric\":{},\"values\":[[-1.500,\"1\"]],\"histograms\":[[1.500,{\"count\":"
              "\"7.5\",\"sum\":\"1e+21\",\"buckets\":[[1,\"-1\",\"-0.5\",\"1\"],[3,\"-0.001\","
              "\"0.001\",\"2\"],[0,\"0.5\",\"1\",\"1\"],[0,\"4\",\"8\",\"2.5\"]]}],[2,{\"count\":"
              "\"0\",\"sum\":\"NaN\"}]]}]");
    buf_clear(&out);
    json = json_write(&out, JSON_HTML_SAFE);
    series = (struct result_series){
        .times = times + 2, .values = zero_times, .histograms = points + 2, .count = 1};
    result.type = VALUE_VECTOR;
    result_write(&json, &result);
    CHECK_STR(buf_str(&out),
              "[{\"metric\":{},\"histogram\":[2,{\"count\":\"0\",\"sum\":\"NaN\"}]}]");
    buf_deinit(&out);
}

TEST_MAIN(TEST_ENTRY(times_are_seconds_or_rfc_3339), TEST_ENTRY(durations_are_seconds_or_units),
          TEST_ENTRY(steps_resolutions_and_lookback_follow_from_each_other),
          TEST_ENTRY(shards_are_read_from_json),
          TEST_ENTRY(histograms_are_written_with_their_bounds))
