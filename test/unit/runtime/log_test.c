#include "runtime/log.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "support/test.h"

/* Reads what was logged to a pipe. */
static struct str read_line(int fd, char *text, size_t size)
{
    ssize_t len = read(fd, text, size);
    CHECK(len > 0 && text[len - 1] == '\n');
    return (struct str){text, (size_t)len - 1};
}

/* What comes after level=...: */
static struct str logfmt_rest(struct str line)
{
    CHECK(str_starts_with(line, STR("ts=2")));
    CHECK(str_contains(line, STR("Z caller=file.c:7 level=")));
    size_t at = 0;
    while (!str_starts_with(str_slice(line, at, line.len), STR(" level=")))
        at++;
    return str_slice(line, at + 1, line.len);
}

TEST(log_writes_thanos_keys_in_order)
{
    int fds[2];
    char text[1000];
    CHECK(pipe(fds) == 0);
    struct log *log = log_create(fds[1], LOG_INFO, LOG_LOGFMT, STR("titan-a"));
    struct log *inner = log_with(log, "component", STR("proxy"));
    struct log_value values[] = {KV("block", STR("01X")), KV("count", 3)};
    log_write(inner, LOG_WARN, "../src/x/file.c", 7, "uploaded block", values, countof(values));
    CHECK_STR(logfmt_rest(read_line(fds[0], text, sizeof(text))),
              "level=warn name=titan-a component=proxy msg=\"uploaded block\" block=01X count=3");
    log_free(inner);
    log_free(log);
    close(fds[0]);
    close(fds[1]);
}

TEST(log_leaves_out_lower_levels)
{
    struct log *log = log_create(-1, LOG_WARN, LOG_LOGFMT, STR(""));
    struct log *inner = log_with(log, "component", STR("x"));
    CHECK(!log_enabled(inner, LOG_INFO));
    CHECK(log_enabled(inner, LOG_WARN));
    CHECK(!log_enabled(NULL, LOG_ERROR));
    log_info(inner, "not written");
    log_error(NULL, "nobody listens", KV("a", 1));
    log_error(inner, "to a bad descriptor", KV("a", 1));
    log_free(inner);
    log_free(log);
    log_free(NULL);
}

static const struct {
    const char *name;
    struct str value;
    const char *logfmt, *json;
} string_cases[] = {
    {"plain", STR_INIT("plain/text"), "plain/text", "plain/text"},
    {"empty", STR_INIT(""), "", ""},
    {"space", STR_INIT("a b"), "\"a b\"", "a b"},
    {"equals", STR_INIT("a=b"), "\"a=b\"", "a=b"},
    {"quote", STR_INIT("say \"x\""), "\"say \\\"x\\\"\"", "say \\\"x\\\""},
    {"backslash alone needs no quotes", STR_INIT("a\\b"), "a\\b", "a\\\\b"},
    {"backslash in quotes", STR_INIT("a\\ b"), "\"a\\\\ b\"", "a\\\\ b"},
    {"white space", STR_INIT("a\n\r\tb"), "\"a\\n\\r\\tb\"", "a\\n\\r\\tb"},
    {"control", STR_INIT("a\001\b\fb"), "\"a\\u0001\\u0008\\u000cb\"", "a\\u0001\\b\\fb"},
    {"zero byte", STR_INIT("a\0b"), "\"a\\u0000b\"", "a\\u0000b"},
    {"utf-8", STR_INIT("gr\xc3\xb6\xc3\x9f\x65"), "gr\xc3\xb6\xc3\x9f\x65",
     "gr\xc3\xb6\xc3\x9f\x65"},
    {"broken utf-8", STR_INIT("a\xff\xc3"), "\"a\\ufffd\\ufffd\"", "a\\ufffd\\ufffd"},
    {"null", STR_INIT("null"), "\"null\"", "null"},
    {"angle brackets", STR_INIT("<&>"), "<&>", "<&>"},
};

TEST(log_escapes_strings)
{
    int fds[2];
    CHECK(pipe(fds) == 0);
    for_each_case(c, string_cases) {
        char text[1000], want[1000];
        struct log_value value = KV("v", c->value);
        struct log *log = log_create(fds[1], LOG_DEBUG, LOG_LOGFMT, STR(""));
        log_write(log, LOG_DEBUG, "file.c", 7, "m", &value, 1);
        snprintf(want, sizeof(want), "level=debug msg=m v=%s", c->logfmt);
        CHECK_STR(logfmt_rest(read_line(fds[0], text, sizeof(text))), want);
        log_free(log);

        log = log_create(fds[1], LOG_DEBUG, LOG_JSON, STR(""));
        log_write(log, LOG_DEBUG, "file.c", 7, "m", &value, 1);
        snprintf(want, sizeof(want), ",\"v\":\"%s\"}", c->json);
        struct str line = read_line(fds[0], text, sizeof(text));
        CHECK(str_starts_with(line,
                              STR("{\"caller\":\"file.c:7\",\"level\":\"debug\",\"msg\":\"m\"")));
        CHECK(str_ends_with(line, str_from(want)));
        log_free(log);
    }
    close(fds[0]);
    close(fds[1]);
}

TEST(log_prints_values_like_go)
{
    const struct {
        const char *name;
        struct log_value value;
        const char *logfmt, *json;
    } cases[] = {
        {"int", KV("v", -5), "-5", "-5"},
        {"uint", KV("v", UINT64_MAX), "18446744073709551615", "18446744073709551615"},
        {"double", KV("v", 0.25), "0.25", "0.25"},
        {"large double", KV("v", 1e6), "1e+06", "1000000"},
        {"nan", KV("v", (double)NAN), "NaN", "\"NaN\""},
        {"bool", KV("v", (bool)true), "true", "true"},
        {"no time", KV_MS("v", 0), "0s", "\"0s\""},
        {"milliseconds", KV_MS("v", 250), "250ms", "\"250ms\""},
        {"seconds", KV_MS("v", 1234), "1.234s", "\"1.234s\""},
        {"minutes", KV_MS("v", -120000), "-2m0s", "\"-2m0s\""},
        {"hours", KV_MS("v", 3600000 + 500), "1h0m0.5s", "\"1h0m0.5s\""},
        {"c string", KV("v", "text"), "text", "\"text\""},
    };
    int fds[2];
    CHECK(pipe(fds) == 0);
    for_each_case(c, cases) {
        char text[1000], want[1000];
        struct log *log = log_create(fds[1], LOG_DEBUG, LOG_LOGFMT, STR(""));
        log_write(log, LOG_ERROR, "file.c", 7, "m", &c->value, 1);
        snprintf(want, sizeof(want), "level=error msg=m v=%s", c->logfmt);
        CHECK_STR(logfmt_rest(read_line(fds[0], text, sizeof(text))), want);
        log_free(log);

        log = log_create(fds[1], LOG_DEBUG, LOG_JSON, STR(""));
        log_write(log, LOG_ERROR, "file.c", 7, "m", &c->value, 1);
        snprintf(want, sizeof(want), ",\"v\":%s}", c->json);
        CHECK(str_ends_with(read_line(fds[0], text, sizeof(text)), str_from(want)));
        log_free(log);
    }
    close(fds[0]);
    close(fds[1]);
}

TEST(log_json_keeps_the_later_of_equal_keys)
{
    int fds[2];
    char text[1000];
    CHECK(pipe(fds) == 0);
    struct log *log = log_create(fds[1], LOG_DEBUG, LOG_JSON, STR(""));
    struct log_value values[] = {KV("z", 1), KV("a", 2), KV("z", 3)};
    log_write(log, LOG_INFO, "file.c", 7, "m", values, countof(values));
    struct str line = read_line(fds[0], text, sizeof(text));
    CHECK(str_starts_with(line, STR("{\"a\":2,\"caller\"")));
    CHECK(str_ends_with(line, STR(",\"z\":3}")));
    log_free(log);
    close(fds[0]);
    close(fds[1]);
}

TEST(log_lines_are_bounded)
{
    int fds[2];
    static char long_text[100000], text[100000];
    memset(long_text, 'x', sizeof(long_text));
    CHECK(pipe(fds) == 0);
    struct log *log = log_create(fds[1], LOG_DEBUG, LOG_LOGFMT, STR(""));
    struct log_value values[100];
    for (size_t i = 0; i < countof(values); i++)
        values[i] = log_value_str("v", (struct str){long_text, i ? 10 : sizeof(long_text)});
    log_write(log, LOG_INFO, "file.c", 7, "m", values, countof(values));
    CHECK(read_line(fds[0], text, sizeof(text)).len < 17500);
    log_free(log);
    close(fds[0]);
    close(fds[1]);
}

TEST_MAIN(TEST_ENTRY(log_writes_thanos_keys_in_order), TEST_ENTRY(log_leaves_out_lower_levels),
          TEST_ENTRY(log_escapes_strings), TEST_ENTRY(log_prints_values_like_go),
          TEST_ENTRY(log_json_keeps_the_later_of_equal_keys), TEST_ENTRY(log_lines_are_bounded))
