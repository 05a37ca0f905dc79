#include "net/request_log.h"

#include <stdio.h>
#include <unistd.h>

#include "runtime/log.h"
#include "runtime/time.h"
#include "support/test.h"

static const struct {
    const char *name, *yaml, *want; /* want: NULL: nothing is logged; "": it is; else the error */
} config_cases[] = {
    {"empty", "", NULL},
    {"nothing asked for", "options: {level: INFO}", NULL},
    {"ends", "options: {level: DEBUG, decision: {log_end: true}}", ""},
    {"starts and ends", "options: {level: DEBUG, decision: {log_start: true, log_end: yes}}", ""},
    {"of one protocol", "http: {options: {level: ERROR, decision: {log_end: true}}}", ""},
    {"of the other protocol", "grpc: {options: {level: ERROR, decision: {log_end: true}}}", NULL},
    {"starts alone", "options: {level: INFO, decision: {log_start: true}}",
     "log start call is not supported"},
    {"no level", "options: {decision: {log_end: true}}", "level field is empty"},
    {"unknown level", "options: {level: info, decision: {log_end: true}}",
     "the format of level is invalid. Expected INFO/DEBUG/ERROR/WARNING, got this info"},
    {"unknown key", "option: {}",
     "yaml: line 1: field option not found in type logging.RequestConfig"},
    {"no list", "http: {config: 1}", "yaml: line 1: cannot unmarshal !!int `1` into a list"},
    {"no YAML", "{", "yaml: line 2, column 1: did not find expected node content"},
};

TEST(configurations_are_checked_as_thanos_does)
{
    for_each_case(c, config_cases) {
        struct log *log = log_create(STDERR_FILENO, LOG_ERROR, LOG_LOGFMT, STR(""));
        struct request_log *requests;
        struct error *err = request_log_create(log, REQUEST_HTTP, str_from(c->yaml), &requests);
        bool is_fine = !c->want || !*c->want;
        CHECK_EQ(requests != NULL, c->want && !*c->want);
        CHECK_EQ(err == NULL, is_fine);
        if (err)
            CHECK_STR(error_text(err), c->want);
        error_free(err);
        request_log_free(requests);
        log_free(log);
    }
    test_case_name = NULL;
}

struct asked {
    const char *name, *yaml, *path;
    int status;
    bool is_logged;
};
static const struct asked asked_cases[] = {
    {"all", "options: {level: DEBUG, decision: {log_end: true}}", "/a", 200, true},
    {"a level filters", "options: {level: INFO, decision: {log_end: true}}", "/a", 422, false},
    {"errors pass", "options: {level: ERROR, decision: {log_end: true}}", "/a", 500, true},
    {"a path",
     "http: {options: {level: DEBUG, decision: {log_end: true}}, config: [{path: /b}, "
     "{path: /a, port: 90}]}",
     "/a", 200, true},
    {"another path",
     "http: {options: {level: DEBUG, decision: {log_end: true}}, config: [{path: "
     "/b}]}",
     "/a", 200, false},
    {"another port",
     "http: {options: {level: DEBUG, decision: {log_end: true}}, config: [{path: "
     "/a, port: 80}]}",
     "/a", 200, false},
};

static void log_one(struct log *log, const struct asked *c)
{
    struct request_log *requests = NULL;
    CHECK_OK(request_log_create(log, REQUEST_HTTP, str_from(c->yaml), &requests));
    struct http_header headers[] = {{STR("Host"), STR("h:90")}, {STR("X-Request-ID"), STR("id")}};
    struct http_request req = {.arena = arena_create(NULL),
                               .method = STR("GET"),
                               .path = str_from(c->path),
                               .query = STR("q=1"),
                               .peer = STR("1.2.3.4:5"),
                               .headers = headers,
                               .header_count = 2,
                               .received_ns = time_now_monotonic_ns()};
    request_log_http_start(requests, &req, "query");
    request_log_http_end(requests, &req, "query", c->status);
    arena_unref(req.arena);
    request_log_free(requests);
}

TEST(requests_are_logged_by_level_path_and_port)
{
    for_each_case(c, asked_cases) {
        int ends[2];
        char text[4096] = "";
        CHECK_EQ(pipe(ends), 0);
        struct log *log = log_create(ends[1], LOG_DEBUG, LOG_LOGFMT, STR(""));
        log_one(log, c);
        log_free(log);
        close(ends[1]);
        ssize_t got = read(ends[0], text, sizeof(text) - 1);
        close(ends[0]);
        CHECK_EQ(got > 0, c->is_logged);
        if (c->is_logged)
            CHECK(strstr(text, "http.method=\"GET /a?q=1\" http.request_id=id") != NULL);
        CHECK(strstr(text, "started call") == NULL);
    }
    test_case_name = NULL;
}

TEST_MAIN(TEST_ENTRY(configurations_are_checked_as_thanos_does),
          TEST_ENTRY(requests_are_logged_by_level_path_and_port))
