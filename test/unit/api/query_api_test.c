/* Answers were compared with those of Thanos 0.42.5 where it can give them. */
#include <stdio.h>

#include "api_fixture.h"
#include "support/test.h"

static struct str replica_labels[] = {STR_INIT("replica")};

static void fill(struct api_fixture *fixture)
{
    static const int64_t times[] = {1000, 2000, 3000, 4000};
    api_fixture_init(fixture);
    fixture->config.replica_labels = (struct str_list){replica_labels, 1};
    memory_store_add(fixture->store, times, 4, "__name__", "up", "cluster", "<c>&", "job", "p",
                     "replica", "a", NULL);
    memory_store_add(fixture->store, times, 4, "__name__", "up", "cluster", "<c>&", "job", "p",
                     "replica", "b", NULL);
    memory_store_add(fixture->store, times, 2, "__name__", "go_info", "job", "q", NULL);
}

static const struct {
    const char *name; /* the request */
    const char *want;
} answer_cases[] = {
    /* instant queries */
    {"query?query=1&time=1.5",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1.5,\"1\"],"
     "\"analysis\":{}}}"},
    {"query?query=%22%3Ca%3E%22&time=1795500579.31",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":[1795500579.31,"
     "\"\\u003ca\\u003e\"],\"analysis\":{}}}"},
    {"query?query=vector(1e-7)&time=1795502419.5",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},"
     "\"value\":[1795502419.500,\"1e-07\"]}],\"analysis\":{}}}"},
    {"query?query=1e-7&time=1970-01-01T00:00:02Z",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[2,\"0.0000001\"],"
     "\"analysis\":{}}}"},
    {"query?query=up&time=2",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{"
     "\"__name__\":\"up\",\"cluster\":\"<c>&\",\"job\":\"p\"},\"value\":[2,\"2000\"]}],"
     "\"analysis\":{}}}"},
    {"query?query=up&time=2&dedup=false",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{"
     "\"__name__\":\"up\",\"cluster\":\"<c>&\",\"job\":\"p\",\"replica\":\"a\"},\"value\":[2,"
     "\"2000\"]},{\"metric\":{\"__name__\":\"up\",\"cluster\":\"<c>&\",\"job\":\"p\",\"replica\":"
     "\"b\"},\"value\":[2,\"2000\"]}],\"analysis\":{}}}"},
    {"query?query=up&time=2&replicaLabels[]=job&replicaLabels[]=replica",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{"
     "\"__name__\":\"up\",\"cluster\":\"<c>&\"},\"value\":[2,\"2000\"]}],\"analysis\":{}}}"},
    {"query?query=go_info[3s]&time=3",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{"
     "\"__name__\":\"go_info\",\"job\":\"q\"},\"values\":[[1,\"1000\"],[2,\"2000\"]]}],"
     "\"analysis\":{}}}"},
    {"query?query=nope",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[],\"analysis\":{}"
     "}}"},
    {"query?query=up%7B", "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:4: "
                          "parse error: unexpected "
                          "end of input inside braces\"}"},
    {"query?query=1&time=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"Invalid time value for "
     "'time': cannot parse \\\"x\\\" to a valid timestamp\"}"},
    {"query?query=1&timeout=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"cannot parse \\\"x\\\" to a "
     "valid duration\"}"},
    {"query?query=up&timeout=-1",
     "503 {\"status\":\"error\",\"errorType\":\"timeout\",\"error\":\"query timed out in query "
     "execution\"}"},
    {"query?query=1&dedup=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"'dedup' parameter: "
     "strconv.ParseBool: parsing \\\"x\\\": invalid syntax\"}"},
    {"query?query=1&partial_response=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"'partial_response' "
     "parameter: strconv.ParseBool: parsing \\\"x\\\": invalid syntax\"}"},
    {"query?query=1&engine=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"'x' bad engine\"}"},
    {"query?query=1&time=1&engine=thanos&shard_info=%7B%22a%22:1%7D",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"1\"],"
     "\"analysis\":{}}}"},
    {"query?query=1&lookback_delta=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"'lookback_delta' parameter: "
     "cannot parse \\\"x\\\" to a valid duration\"}"},
    {"query?query=1&lookback_delta=1e300",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"'lookback_delta' parameter: "
     "cannot parse \\\"1e300\\\" to a valid duration. It overflows int64\"}"},
    {"query?query=1&max_source_resolution=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"'max_source_resolution' "
     "parameter: cannot parse \\\"x\\\" to a valid duration\"}"},
    {"query?query=1&max_source_resolution=-1",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"negative "
     "'max_source_resolution' is not accepted. Try a positive integer\"}"},
    {"query?query=1&shard_info=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"could not unmarshal "
     "parameter shard_info: line 1, column 1: expected an object\"}"},
    {"query?query=1&storeMatch[]=x%7B",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:3: parse error: "
     "unexpected "
     "end of input inside braces\"}"},
    {"query?query=1&time=1&analyze=true",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"1\"],"
     "\"analysis\":{}},\"warnings\":[\"Query not analyzable; change engine to 'thanos'.\"]}"},
    {"query?query=quantile(2,up)&time=2",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},"
     "\"value\":[2,\"+Inf\"]}],\"analysis\":{}},\"warnings\":[\"PromQL warning: quantile value "
     "should be between 0 and 1, got 2 (1:10)\"]}"},
    {"query?query=rate(up[5s])%2bon(job)quantile(-1,up)by(job)&time=2",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{"
     "\"job\":\"p\"},\"value\":[2,\"-Inf\"]}],\"analysis\":{}},\"warnings\":[\"PromQL warning: "
     "quantile value should be between 0 and 1, got -1 (1:30)\"],\"infos\":[\"PromQL info: metric "
     "might not be a counter, name does not end in _total/_sum/_count/_bucket: \\\"up\\\" "
     "(1:6)\"]}"},
    /* queries that are not evaluated */
    {"query_explain?query=up",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"engine type must be "
     "'thanos'\"}"},
    {"query_explain?query=up%7B&engine=thanos",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:4: parse error: "
     "unexpected end of input inside braces\"}"},
    {"query_explain?query=sum(time())&engine=thanos",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:5: parse error: "
     "expected type instant vector in aggregation expression, got scalar\"}"},
    {"query_explain?query=sum(vector(1))%2b2&engine=thanos",
     "200 {\"status\":\"success\",\"data\":{\"name\":\"binary +\",\"children\":[{\"name\":"
     "\"aggregate sum\",\"children\":[{\"name\":\"call vector\",\"children\":[{\"name\":"
     "\"number 1\"}]}]},{\"name\":\"number 2\"}]}}"},
    {"query_range_explain?query=1&engine=thanos",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"cannot parse \\\"\\\" to a "
     "valid timestamp\"}"},
    {"query_range_explain?query=1&engine=thanos&start=1&end=2",
     "200 {\"status\":\"success\",\"data\":{\"name\":\"number 1\"}}"},
    {"format_query?query=sum+by(a)(%20up%20)",
     "200 {\"status\":\"success\",\"data\":\"sum by (a) (up)\"}"},
    {"format_query?query=label_replace(sum%20by(a)(rate(some_long_name_total%7Bjob=%22p%22%7D[5m]))"
     ","
     "%22some_long_name%22,%22$1%22,%22x%22,%22(.*)%22)",
     "200 {\"status\":\"success\",\"data\":\"label_replace(\\n  sum by (a) "
     "(rate(some_long_name_total{job=\\\"p\\\"}[5m])),\\n  \\\"some_long_name\\\",\\n  "
     "\\\"$1\\\",\\n  \\\"x\\\",\\n  \\\"(.*)\\\"\\n)\"}"},
    {"format_query?query=up%7B",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid parameter "
     "\\\"query\\\": 1:4: parse error: unexpected end of input inside braces\"}"},
    {"parse_query?query=-1",
     "200 {\"status\":\"success\",\"data\":{\"type\":\"numberLiteral\",\"val\":\"-1\"}}"},
    {"parse_query?query=",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid parameter "
     "\\\"query\\\": unknown position: parse error: no expression found in input\"}"},
    /* range queries */
    {"query_range?query=1&start=1&end=4&step=1.5",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},"
     "\"values\":[[1,\"1\"],[2.500,\"1\"],[4,\"1\"]]}],\"analysis\":{}}}"},
    {"query_range?query=go_info&start=1&end=3&step=1s&lookback_delta=1s",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{"
     "\"__name__\":\"go_info\",\"job\":\"q\"},\"values\":[[1,\"1000\"],[2,\"2000\"]]}],"
     "\"analysis\":{}}}"},
    {"query_range?query=up",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"cannot parse \\\"\\\" to a "
     "valid timestamp\"}"},
    {"query_range?query=1&start=1&end=1e400",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"cannot parse \\\"1e400\\\" "
     "to a valid timestamp\"}"},
    {"query_range?query=1&start=NaN&end=1",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"cannot parse \\\"NaN\\\" to "
     "a valid timestamp\"}"},
    {"query_range?query=up&start=2&end=1",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"end timestamp must not be "
     "before start time\"}"},
    {"query_range?query=up&start=1&end=11003&step=1",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"exceeded maximum resolution "
     "of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)\"}"},
    {"query_range?query=nope&start=1&end=11001&step=1",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[],\"analysis\":{}"
     "}}"},
    {"query_range?query=up&start=1&end=2&step=0",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"zero or negative query "
     "resolution step widths are not accepted. Try a positive integer\"}"},
    {"query_range?query=up&start=1&end=2&step=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"'step' parameter: cannot "
     "parse \\\"x\\\" to a valid duration\"}"},
    {"query_range?query=up[5m]&start=1&end=2",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid expression type "
     "\\\"range vector\\\" for range query, must be Scalar or instant Vector\"}"},
    {"query_range?query=up&start=2&end=2&dedup=0&limit=1",
     "200 {\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{"
     "\"__name__\":\"up\",\"cluster\":\"<c>&\",\"job\":\"p\",\"replica\":\"a\"},\"values\":[[2,"
     "\"2000\"]]}],\"analysis\":{}},\"warnings\":[\"results truncated due to limit\"]}"},
    {"query?query=up&limit=-1",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"limit must be "
     "non-negative\"}"},
    /* series */
    {"series",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"no match[] parameter "
     "provided\"}"},
    {"series?match[]=up&a=%zz",
     "500 {\"status\":\"error\",\"errorType\":\"internal\",\"error\":\"parse form: invalid URL "
     "escape \\\"%zz\\\"\"}"},
    {"series?match[]=up",
     "200 {\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"cluster\":\"<c>&\",\"job\":\"p\""
     "}]}"},
    {"series?match[]=up&match[]=go_info&match[]=nope",
     "200 {\"status\":\"success\",\"data\":[{\"__name__\":\"go_info\",\"job\":\"q\"},{\"__name__\":"
     "\"up\",\"cluster\":\"<c>&\",\"job\":\"p\"}]}"},
    {"series?match[]=up&dedup=0&limit=1",
     "200 {\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"cluster\":\"<c>&\",\"job\":\"p\""
     ",\"replica\":\"a\"}],\"warnings\":[\"results truncated due to limit\"]}"},
    {"series?match[]=up&match[]=go_info&limit=1",
     "200 {\"status\":\"success\",\"data\":[{\"__name__\":\"go_info\",\"job\":\"q\"}],\"warnings\":"
     "[\"results truncated due to limit\"]}"},
    {"series?match[]=up&limit=1",
     "200 {\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"cluster\":\"<c>&\",\"job\":\"p\""
     "}]}"},
    {"series?match[]=up&limit=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"cannot parse \\\"x\\\" to a "
     "valid limit\"}"},
    {"series?match[]=up&limit=-1",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"limit must be "
     "non-negative\"}"},
    {"series?match[]=up%7B",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:4: parse error: "
     "unexpected "
     "end of input inside braces\"}"},
    {"series?match[]=up&start=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"bad_data: Invalid time "
     "value "
     "for 'start': cannot parse \\\"x\\\" to a valid timestamp\"}"},
    {"series?match[]=up&start=2&end=1",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"bad_data: end timestamp "
     "must "
     "not be before start time\"}"},
    {"series?match[]=up&start=10&end=20", "200 {\"status\":\"success\",\"data\":[]}"},
    /* labels */
    {"labels", "200 {\"status\":\"success\",\"data\":[\"__name__\",\"cluster\",\"job\","
               "\"replica\"]}"},
    {"labels?limit=2", "200 {\"status\":\"success\",\"data\":[\"__name__\",\"cluster\"],"
                       "\"warnings\":[\"results truncated due to limit\"]}"},
    {"labels?match[]=go_info&match[]=nope",
     "200 {\"status\":\"success\",\"data\":[\"__name__\",\"job\"]}"},
    {"labels?match[]=%7B", "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:2: "
                           "parse error: unexpected "
                           "end of input inside braces\"}"},
    {"label/job/values", "200 {\"status\":\"success\",\"data\":[\"p\",\"q\"]}"},
    {"label/cluster/values", "200 {\"status\":\"success\",\"data\":[\"\\u003cc\\u003e\\u0026\"]}"},
    {"label/job/values?match[]=up&match[]=go_info&limit=1",
     "200 {\"status\":\"success\",\"data\":[\"p\"],\"warnings\":[\"results truncated due to "
     "limit\"]}"},
    {"label/nope/values", "200 {\"status\":\"success\",\"data\":[]}"},
    {"label/a%FF/values",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid label name: "
     "\\\"a\\\\xff\\\"\"}"},
    /* the rest */
    {"stores", "200 {\"status\":\"success\",\"data\":{}}"},
    {"status/buildinfo",
     "200 {\"status\":\"success\",\"data\":{\"version\":\"\",\"revision\":\"\",\"branch\":\"\","
     "\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}}"},
    {"rules", "200 {\"status\":\"success\",\"data\":{\"groups\":[]}}"},
    {"rules?type=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid rules parameter "
     "type='x'\"}"},
    {"alerts", "200 {\"status\":\"success\",\"data\":{\"alerts\":null}}"},
    {"targets?state=ACTIVE",
     "200 {\"status\":\"success\",\"data\":{\"activeTargets\":[],\"droppedTargets\":[]}}"},
    {"metadata?limit=2", "200 {\"status\":\"success\",\"data\":{}}"},
    {"metadata?limit=x",
     "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid metric metadata "
     "limit='0'\"}"},
    {"query_exemplars?query=up", "200 {\"status\":\"success\",\"data\":[]}"},
    {"status/config", "404 "},
};

TEST(requests_are_answered_as_thanos_answers_them)
{
    struct api_fixture fixture;
    fill(&fixture);
    for_each_case(c, answer_cases) {
        struct buf target = {0};
        buf_printf(&target, "/api/v1/%s%c", c->name, 0);
        struct str got = api_get(&fixture, target.data);
        CHECK_STR(got, c->want);
        if (!str_equal(got, STR("404 ")))
            CHECK(fixture.cors);
        if (!str_starts_with(got, STR("200")) && !str_starts_with(got, STR("404")))
            CHECK(fixture.no_store);
        buf_deinit(&target);
    }
    test_case_name = NULL;
    api_fixture_deinit(&fixture);
}

TEST(the_body_of_a_form_wins_over_the_url)
{
    struct api_fixture fixture;
    fill(&fixture);
    CHECK_STR(
        api_request(&fixture, "POST", "/api/v1/query?query=1&time=7", "query=2"),
        "200 {\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[7,\"2\"],"
        "\"analysis\":{}}}");
    CHECK_STR(api_request(&fixture, "OPTIONS", "/api/v1/anything/else", NULL), "204 ");
    CHECK(fixture.cors);
    CHECK_STR(api_request(&fixture, "DELETE", "/api/v1/query", NULL), "405 ");
    CHECK_STR(api_request(&fixture, "POST", "/api/v1/stores", ""), "405 ");
    api_fixture_deinit(&fixture);
}

TEST(cors_can_be_turned_off_and_routes_have_a_prefix)
{
    struct api_fixture fixture;
    fill(&fixture);
    fixture.config.disable_cors = true;
    fixture.config.route_prefix = STR("/foo");
    CHECK(str_starts_with(api_get(&fixture, "/foo/api/v1/query?query=1"), STR("200")));
    CHECK(!fixture.cors && !fixture.no_store);
    CHECK(str_starts_with(api_get(&fixture, "/foo/api/v1/query?query=x("), STR("400")));
    CHECK(!fixture.cors && fixture.no_store);
    CHECK_STR(api_get(&fixture, "/api/v1/query?query=1"), "404 ");
    api_fixture_deinit(&fixture);
}

TEST(only_warnings_about_data_forbid_caching)
{
    struct api_fixture fixture;
    fill(&fixture);
    CHECK(str_contains(api_get(&fixture, "/api/v1/query?query=quantile(2,up)&time=2"),
                       STR("\"warnings\":[\"PromQL warning")));
    CHECK(!fixture.no_store);
    CHECK(str_contains(api_get(&fixture, "/api/v1/labels?limit=1"), STR("\"warnings\":")));
    CHECK(fixture.no_store);
    api_fixture_deinit(&fixture);
}

TEST(failures_of_stores_are_failures_of_execution)
{
    static const char *const targets[] = {"query?query=up", "series?match[]=up", "labels",
                                          "label/job/values"};
    static const struct {
        const char *name;
        enum error_kind kind;
        const char *want;
    } kinds[] = {
        {"unavailable", ERROR_UNAVAILABLE, "422 {\"status\":\"error\",\"errorType\":\"execution\""},
        {"a peer's time is up", ERROR_TIMEOUT, "422 {\"status\":\"error\",\"errorType\":"},
        {"a peer cancels", ERROR_CANCELLED, "422 {\"status\":\"error\",\"errorType\":"},
        {"over a limit", ERROR_LIMIT, "422 {\"status\":\"error\",\"errorType\":\"execution\""},
        {"corrupt", ERROR_CORRUPT, "500 {\"status\":\"error\",\"errorType\":\"internal\""},
    };
    for_each_case(c, kinds) {
        struct api_fixture fixture;
        fill(&fixture);
        memory_store_fail_calls(fixture.store, c->kind, "store <x>");
        for (size_t i = 0; i < countof(targets); i++) {
            char target[100];
            snprintf(target, sizeof(target), "/api/v1/%s", targets[i]);
            struct str got = api_get(&fixture, target);
            CHECK_STR(str_slice(got, 0, strlen(c->want)), c->want);
            CHECK(str_contains(got, STR("store \\u003cx\\u003e")));
        }
        api_fixture_deinit(&fixture);
    }
    test_case_name = NULL;
}

TEST(series_that_fail_half_way_leave_no_half_answer)
{
    struct api_fixture fixture;
    fill(&fixture);
    memory_store_fail_after(fixture.store, 1, ERROR_UNAVAILABLE, "gone");
    CHECK_STR(api_get(&fixture, "/api/v1/series?match[]=up&dedup=false"),
              "422 {\"status\":\"error\",\"errorType\":\"execution\",\"error\":\"gone\"}");
    api_fixture_deinit(&fixture);
}

TEST(tenants_must_be_plain_names)
{
    struct api_fixture fixture;
    fill(&fixture);
    fixture.config.default_tenant = STR("a/b");
    CHECK_STR(api_get(&fixture, "/api/v1/query?query=1"),
              "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"tenant name not "
              "valid\"}");
    api_fixture_deinit(&fixture);
}

TEST(tenants_see_their_own_series_where_that_is_enforced)
{
    static const struct {
        const char *name, *want;
    } cases[] = {
        {"query?query=up%7Bjob=~%22.*%22%7D&time=2&dedup=0", "\"result\":[]"},
        {"query?query=sum(go_info%7Bjob!=%22q%22%7D)%2B1&time=2", "\"value\":[2,\"2001\"]"},
        {"query_range?query=count(%7B__name__=~%22.%2B%22%7D)&start=2&end=2", "[[2,\"1\"]]"},
        {"query?query=up%7B",
         "400 {\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"error parsing query "
         "string, when enforcing tenenacy: 1:4: parse error: unexpected end of input inside "
         "braces\"}"},
        {"series?match[]=up&match[]=go_info%7Bjob=%22p%22%7D",
         "\"data\":[{\"__name__\":\"go_info\",\"job\":\"q\"}]}"},
        {"labels", "\"data\":[\"__name__\",\"job\"]}"},
        {"labels?match[]=up", "\"data\":[]}"},
        {"label/job/values", "\"data\":[\"q\"]}"},
    };
    struct api_fixture fixture;
    fill(&fixture);
    fixture.config.default_tenant = STR("q");
    fixture.config.tenant_label = STR("job");
    fixture.config.enforce_tenancy = true;
    for_each_case(c, cases) {
        char target[200];
        snprintf(target, sizeof(target), "/api/v1/%s", c->name);
        CHECK(str_contains(api_get(&fixture, target), str_from(c->want)));
    }
    test_case_name = NULL;
    api_fixture_deinit(&fixture);
}

TEST(a_query_keeps_to_its_memory)
{
    struct api_fixture fixture;
    fill(&fixture);
    fixture.config.query_memory_max = 100000;
    struct str got = api_get(&fixture, "/api/v1/query_range?query=up&start=0&end=10000&step=1");
    CHECK_STR(str_slice(got, 0, 49), "422 {\"status\":\"error\",\"errorType\":\"execution\",\"er");
    api_fixture_deinit(&fixture);
}

TEST(statistics_are_given_when_asked_for)
{
    struct api_fixture fixture;
    fill(&fixture);
    struct str got = api_get(&fixture, "/api/v1/query?query=up&time=2&stats=1");
    CHECK(str_contains(got, STR("\"stats\":{\"timings\":{\"evalTotalTime\":")));
    CHECK(str_contains(got, STR("\"samples\":{\"totalQueryableSamples\":1,\"samplesRead\":1,"
                                "\"seriesTouched\":1,\"peakSamples\":1}}")));
    CHECK(str_contains(got, STR("\"execQueueTime\":")));
    got = api_get(&fixture, "/api/v1/query_range?query=max_over_time(go_info[2s:1s])&start=1&end=3&"
                            "step=1&stats=all");
    CHECK(str_contains(got,
                       STR("\"samples\":{\"totalQueryableSamplesPerStep\":[[1,1],[2,2],[3,2]],"
                           "\"totalQueryableSamples\":5,\"samplesReadPerStep\":[[1,1],[2,1],[3,1]],"
                           "\"samplesRead\":3,\"seriesTouched\":1,\"peakSamples\":3}}")));
    got = api_get(&fixture, "/api/v1/query_range?query=sum(go_info@2)%2bsum(count_over_time(go_info"
                            "[2s]))&start=1&end=3&step=1&stats=all");
    CHECK(str_contains(got,
                       STR("\"samples\":{\"totalQueryableSamplesPerStep\":[[1,2],[2,3],[3,2]],"
                           "\"totalQueryableSamples\":7,\"samplesReadPerStep\":[[1,2],[2,1],[3,0]],"
                           "\"samplesRead\":3,\"seriesTouched\":2,")));
    got = api_get(&fixture, "/api/v1/query_range?query=sum(go_info)%2bsum(up)&start=1&end=2&step=1&"
                            "analyze=1&engine=thanos");
    CHECK(str_contains(got, STR("\"analysis\":{\"name\":\"binary +\",\"executionTime\":\"")));
    CHECK(str_contains(got, STR("s\",\"peakSamples\":")));
    CHECK(str_contains(got, STR(",\"totalSamples\":4,\"children\":[{\"name\":\"aggregate sum\","
                                "\"totalSamples\":2,\"children\":[{\"name\":\"selector {")));
    CHECK(!str_contains(got, STR("\"stats\"")));
    got = api_get(&fixture, "/api/v1/status/runtimeinfo");
    CHECK(str_starts_with(got, STR("200 {\"status\":\"success\",\"data\":{\"startTime\":\"1970-")));
    api_fixture_deinit(&fixture);
}

static void two_endpoints(void *self, struct arena *arena, struct endpoint_statuses *out)
{
    struct labels *sets = arena_array(arena, 1, sizeof(*sets));
    struct endpoint_status *items = arena_array(arena, 3, sizeof(*items));
    sets[0] = labels_of(arena, "cluster", "<c>", "replica", "a", NULL);
    items[0] = (struct endpoint_status){.address = STR("q:1"), .type = STR("query")};
    items[1] = (struct endpoint_status){.address = STR("s:1"),
                                        .type = STR("sidecar"),
                                        .last_check_ms = 1795512020228,
                                        .label_sets = sets,
                                        .label_set_count = 1,
                                        .min_time = 1795511986000,
                                        .max_time = INT64_MAX};
    items[2] = (struct endpoint_status){
        .address = STR("s:2"), .type = STR("sidecar"), .last_error = STR("<no>")};
    *out = (struct endpoint_statuses){items, 3};
}

TEST(endpoints_and_flags_are_listed)
{
    struct api_fixture fixture;
    static const struct api_flag flags[] = {{STR_INIT("a"), STR_INIT("<1>")},
                                            {STR_INIT("b"), STR_INIT("")}};
    fill(&fixture);
    fixture.config.endpoints = two_endpoints;
    fixture.config.flags = flags;
    fixture.config.flag_count = 2;
    CHECK_STR(
        api_get(&fixture, "/api/v1/stores"),
        "200 {\"status\":\"success\",\"data\":{\"query\":[{\"name\":\"q:1\",\"lastCheck\":"
        "\"1970-01-01T00:00:00Z\",\"lastError\":null,\"labelSets\":[],\"minTime\":0,\"maxTime\":0}"
        "],\"sidecar\":[{\"name\":\"s:1\",\"lastCheck\":\"2026-11-24T09:20:20.228Z\",\"lastError\":"
        "null,\"labelSets\":[{\"cluster\":\"<c>\",\"replica\":\"a\"}],\"minTime\":1795511986000,"
        "\"maxTime\":9223372036854775807},{\"name\":\"s:2\",\"lastCheck\":\"1970-01-01T00:00:00Z\","
        "\"lastError\":\"\\u003cno\\u003e\",\"labelSets\":[],\"minTime\":0,\"maxTime\":0}]}}");
    CHECK_STR(api_get(&fixture, "/api/v1/status/flags"),
              "200 {\"status\":\"success\",\"data\":{\"a\":\"\\u003c1\\u003e\",\"b\":\"\"}}");
    api_fixture_deinit(&fixture);
}

TEST_MAIN(TEST_ENTRY(requests_are_answered_as_thanos_answers_them),
          TEST_ENTRY(the_body_of_a_form_wins_over_the_url),
          TEST_ENTRY(cors_can_be_turned_off_and_routes_have_a_prefix),
          TEST_ENTRY(only_warnings_about_data_forbid_caching),
          TEST_ENTRY(failures_of_stores_are_failures_of_execution),
          TEST_ENTRY(series_that_fail_half_way_leave_no_half_answer),
          TEST_ENTRY(tenants_must_be_plain_names),
          TEST_ENTRY(tenants_see_their_own_series_where_that_is_enforced),
          TEST_ENTRY(a_query_keeps_to_its_memory), TEST_ENTRY(statistics_are_given_when_asked_for),
          TEST_ENTRY(endpoints_and_flags_are_listed))
