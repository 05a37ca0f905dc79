#include "prometheus_test.h"

#include <stdio.h>

/* Answers of one path: a status and a body. */
struct row {
    const char *path;
    int status;
    const char *body;
};

static void handle_row(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    const struct row *row = arg;
    bool same = str_equal(request->path, str_from(row->path));
    reply->status = same ? row->status : 599;
    buf_append_cstr(&reply->body, same ? row->body : arena_cstr(request->arena, request->path));
}

static const struct {
    const char *name;
    struct row row;
    const char *want;
    enum error_kind kind;
    const char *text;
} version_cases[] = {
    {"a version",
     {"/api/v1/status/buildinfo", 200,
      "{\"status\":\"success\",\"data\":{\"revision\":\"x\",\"version\":\"3.16.0\"}}"},
     "3.16.0",
     ERROR_NONE,
     NULL},
    {"too old", {"/api/v1/status/buildinfo", 404, "not found"}, "0", ERROR_NONE, NULL},
    {"too old, said otherwise", {"/api/v1/status/buildinfo", 405, ""}, "0", ERROR_NONE, NULL},
    {"starting",
     {"/api/v1/status/buildinfo", 503, "Service Unavailable"},
     "",
     ERROR_UNAVAILABLE,
     "expected 2xx response, got 503. Body: Service Unavailable"},
    {"broken", {"/api/v1/status/buildinfo", 200, "{\"data\":"}, "", ERROR_INTERNAL, NULL},
    {"an error of its own",
     {"/api/v1/status/buildinfo", 200, "{\"status\":\"error\",\"error\":\"too bad\"}"},
     "",
     ERROR_INTERNAL,
     "too bad"},
};

TEST(versions_are_asked_for)
{
    for_each_case(c, version_cases) {
        struct row row = c->row;
        struct bench bench = bench_open(handle_row, &row);
        struct str version;
        struct error *err =
            prometheus_build_version(bench.client, bench.ctx, bench.arena, &version);
        CHECK_ERROR_TEXT(err, c->kind, c->text);
        if (c->kind == ERROR_NONE)
            CHECK_STR(version, c->want);
        bench_close(&bench);
    }
}

static const struct {
    const char *name;
    const char *yaml; /* as JSON text */
    const char *want;
    enum error_kind kind;
} label_cases[] = {
    {"two labels", "global:\\n  external_labels:\\n    replica: \\\"0\\\"\\n    cluster: eu\\n",
     "{cluster=\"eu\", replica=\"0\"}", ERROR_NONE},
    {"a number is a text", "global:\\n  external_labels:\\n    replica: 0\\n", "{replica=\"0\"}",
     ERROR_NONE},
    {"none", "global:\\n  scrape_interval: 15s\\n", "{}", ERROR_NONE},
    {"no globals", "scrape_configs: []\\n", "{}", ERROR_NONE},
    {"empty", "", "{}", ERROR_NONE},
    {"a list", "global:\\n  external_labels: [a]\\n", "", ERROR_INVALID},
    {"no YAML", "a: [", "", ERROR_INVALID},
};

TEST(external_labels_come_from_the_configuration)
{
    for_each_case(c, label_cases) {
        char body[512];
        snprintf(body, sizeof(body), "{\"status\":\"success\",\"data\":{\"yaml\":\"%s\"}}",
                 c->yaml);
        struct row row = {"/api/v1/status/config", 200, body};
        struct bench bench = bench_open(handle_row, &row);
        struct labels labels;
        CHECK_ERROR(prometheus_external_labels(bench.client, bench.ctx, bench.arena, &labels),
                    c->kind);
        if (c->kind == ERROR_NONE) {
            struct buf text = {0};
            labels_print(&text, labels);
            CHECK_STR(buf_str(&text), c->want);
            buf_deinit(&text);
        }
        bench_close(&bench);
    }
}

TEST(flags_are_read)
{
    struct row row = {"/api/v1/status/flags", 200,
                      "{\"status\":\"success\",\"data\":{\"storage.tsdb.path\":\"/data\","
                      "\"storage.tsdb.min-block-duration\":\"2h\","
                      "\"storage.tsdb.max-block-duration\":\"1d12h\","
                      "\"web.enable-admin-api\":\"false\"}}"};
    struct bench bench = bench_open(handle_row, &row);
    struct prometheus_flags flags;
    CHECK_OK(prometheus_flags(bench.client, bench.ctx, bench.arena, &flags));
    CHECK(flags.known);
    CHECK_STR(flags.tsdb_path, "/data");
    CHECK_EQ(flags.min_block_ms, 2 * 3600 * 1000);
    CHECK_EQ(flags.max_block_ms, 36 * 3600 * 1000);
    row.status = 404;
    CHECK_OK(prometheus_flags(bench.client, bench.ctx, bench.arena, &flags));
    CHECK(!flags.known);
    row.status = 500;
    CHECK_ERROR(prometheus_flags(bench.client, bench.ctx, bench.arena, &flags), ERROR_INTERNAL);
    bench_close(&bench);
}

static const struct {
    const char *name, *metrics;
    int64_t want;
} lowest_cases[] = {
    {"a time", "a 1\nprometheus_tsdb_lowest_timestamp_seconds 1.732440825e+09\nb 2\n",
     1732440825000},
    {"with comments",
     "# HELP prometheus_tsdb_lowest_timestamp_seconds Lowest timestamp value stored.\n"
     "# TYPE prometheus_tsdb_lowest_timestamp_seconds gauge\n"
     "prometheus_tsdb_lowest_timestamp_seconds 12.5",
     12500},
    {"no sample yet", "prometheus_tsdb_lowest_timestamp_seconds 9.223372036854776e+15\n",
     INT64_MIN},
    {"a longer name", "prometheus_tsdb_lowest_timestamp_seconds_total 5\n", 0},
    {"missing", "up 1\n", 0},
    {"no number", "prometheus_tsdb_lowest_timestamp_seconds x\n", 0},
    {"not a number", "prometheus_tsdb_lowest_timestamp_seconds NaN\n", 0},
    {"far away", "prometheus_tsdb_lowest_timestamp_seconds 1e300\n", INT64_MAX},
    {"far back", "prometheus_tsdb_lowest_timestamp_seconds -1e300\n", INT64_MIN},
};

TEST(the_oldest_sample_is_found_in_the_metrics)
{
    for_each_case(c, lowest_cases)
        CHECK_EQ(prometheus_lowest_timestamp_from(str_from(c->metrics)), c->want);
}

TEST(urls_keep_path_and_query)
{
    struct prometheus_client *client;
    struct buf url = {0};
    CHECK_ERROR(prometheus_client_create(NULL, STR("ftp://x"), &client), ERROR_INVALID);
    CHECK_OK(prometheus_client_create(NULL, STR("http://h:9090/prom/?tenant=a#x"), &client));
    prometheus_url(client, STR("/api/v1/read"), STR("b=c"), &url);
    CHECK_STR(buf_str(&url), "http://h:9090/prom/api/v1/read?tenant=a&b=c");
    prometheus_client_free(client);
    CHECK_OK(prometheus_client_create(NULL, STR("http://h:9090"), &client));
    buf_clear(&url);
    prometheus_url(client, STR("/metrics"), STR(""), &url);
    CHECK_STR(buf_str(&url), "http://h:9090/metrics");
    buf_deinit(&url);
    prometheus_client_free(client);
}

TEST(parameters_are_written_as_prometheus_reads_them)
{
    struct arena *arena = arena_create(NULL);
    struct buf out = {0};
    struct matcher matcher;
    CHECK_OK(matcher_create(arena, MATCH_REGEX, STR("a"), STR("x|y"), &matcher));
    prometheus_params(&out, &matcher, 1, 1500, INT64_MAX, 7);
    CHECK_STR(buf_str(&out), "match%5B%5D=%7Ba%3D~%22x%7Cy%22%7D&start=1.5&limit=7");
    buf_clear(&out);
    prometheus_label_path(&out, STR("job"));
    CHECK_STR(buf_str(&out), "/api/v1/label/job/values");
    buf_clear(&out);
    prometheus_label_path(&out, STR("my.na/me_\xc3\xa4"));
    CHECK_STR(buf_str(&out), "/api/v1/label/U__my_2e_na_2f_me___e4_/values");
    buf_deinit(&out);
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(versions_are_asked_for),
          TEST_ENTRY(external_labels_come_from_the_configuration), TEST_ENTRY(flags_are_read),
          TEST_ENTRY(the_oldest_sample_is_found_in_the_metrics),
          TEST_ENTRY(urls_keep_path_and_query),
          TEST_ENTRY(parameters_are_written_as_prometheus_reads_them))
