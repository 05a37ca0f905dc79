#include "promql/parse.h"

#include <stdio.h>
#include <stdlib.h>

#include "promql/plan.h"
#include "promql/print.h"
#include "runtime/pool.h"
#include "support/test.h"

static const struct parse_options everything = {
    .experimental_functions = true, .fill_modifiers = true, .extended_functions = true};
static const struct parse_options any_script = {.unquoted_utf8_names = true};

/* The canonical text of a query, or its error behind "!". */
static void answer(struct buf *out, struct str query, const struct parse_options *options)
{
    struct arena *arena = arena_create(NULL);
    struct expr *expr;
    struct error *err = promql_parse(query, options, arena, &expr);
    buf_clear(out);
    if (err)
        buf_printf(out, "!%.*s", STR_ARG(error_text(err)));
    else
        expr_print(out, expr);
    error_free(err);
    arena_unref(arena);
}

static const struct {
    const char *name, *without, *with; /* the flag for unquoted names of any script */
} name_cases[] = {
    {"http.requests{a.b='c'}", "!1:5: parse error: unexpected character: '.'",
     "http.requests{a.b=\"c\"}"},
    {"{'a.b'='c', d.é=~'e'}", "!1:14: parse error: unexpected character inside braces: '.'",
     "{a.b=\"c\",d.é=~\"e\"}"},
    {"sum by ('a.b', 'a:b', 'a b') (x)", "sum by (\"a.b\", \"a:b\", \"a b\") (x)",
     "sum by (a.b, \"a:b\", \"a b\") (x)"},
    {"sum by (a:b) (x)", "sum by (\"a:b\") (x)",
     "!1:9: parse error: invalid label name for grouping: \"a:b\""},
    {"温度", "!1:1: parse error: unexpected character: '温'", "温度"},
    {".a", "!1:1: parse error: unexpected character: '.'",
     "!1:1: parse error: unexpected character: '.'"},
    {"a..b. + 1", "!1:2: parse error: unexpected character: '.'", "a..b. + 1"},
    {"ä", "!1:2: parse error: unexpected character: '̈'",
     "!1:2: parse error: unexpected character: '̈'"},
    {"max on (b.c) b", "!1:5: parse error: unexpected <on>", "!1:5: parse error: unexpected <on>"},
};

static const struct {
    const char *name, *want;
} print_cases[] = {
    {"( foo )", "(foo)"},
    {"foo{b='c',a=~\"d\"}", "foo{a=~\"d\",b=\"c\"}"},
    {"{__name__='foo'}", "{__name__=\"foo\"}"},
    {"{'foo'}", "{__name__=\"foo\"}"},
    {"{'a.b', c='d'}", "{__name__=\"a.b\",c=\"d\"}"},
    {"{'a.b'='c', d='e'}", "{\"a.b\"=\"c\",d=\"e\"}"},
    {"foo{a='\\x41\\u00e9\\n'}", "foo{a=\"A\u00e9\\n\"}"},
    {"foo{a=`\\n`}", "foo{a=\"\\\\n\"}"},
    {"1e3", "1000"},
    {"0x10", "16"},
    {"010", "8"},
    {"1_000.5", "1000.5"},
    {"-5", "-5"},
    {"- - 5", "5"},
    {"-5m", "-5m"},
    {"90m", "1h30m"},
    {"1d12h", "1d12h"},
    {"iNf", "+Inf"},
    {"-inf + nan", "-Inf + NaN"},
    {"1e-9", "0.000000001"},
    {"-2 ^ 2", "-2 ^ 2"},
    {"-foo ^ 2", "-foo ^ 2"},
    {"1 + 2 * 3 ^ 4 ^ 5", "1 + 2 * 3 ^ 4 ^ 5"},
    {"a or b and c > d + e", "a or b and c > d + e"},
    {"+foo", "+foo"},
    {"foo == BOOL on(a,b) Group_Left(c) bar", "foo == bool on (a, b) group_left (c) bar"},
    {"foo / ignoring(a) bar", "foo / ignoring (a) bar"},
    {"foo / ignoring() bar", "foo / bar"},
    {"foo / on() bar", "foo / on () bar"},
    {"foo / ignoring() group_right bar", "foo / ignoring () group_right () bar"},
    {"foo + fill(1) bar", "foo + fill (1) bar"},
    {"foo + fill_right(-1e20) fill_left(5m) bar", "foo + fill_left (300) fill_right (-1e+20) bar"},
    {"SUM(foo) BY(a,'b.c')", "sum by (a, \"b.c\") (foo)"},
    {"sum by() (foo)", "sum(foo)"},
    {"sum without() (foo)", "sum without () (foo)"},
    {"topk(1,foo)", "topk(1, foo)"},
    {"rate( foo [5m] offset 1h @ 7 )", "rate(foo[5m] @ 7.000 offset 1h)"},
    {"foo @ start() offset -1m", "foo @ start() offset -1m"},
    {"foo[5m] smoothed @ end()", "foo[5m] smoothed @ end()"},
    {"foo anchored offset 1m", "foo anchored offset 1m"},
    {"foo[10m : 1m] offset 1w", "foo[10m:1m] offset 1w"},
    {"foo[10m:] @ 1.5", "foo[10m:] @ 1.500"},
    {"foo[5]", "foo[5s]"},
    {"foo[step()*2]", "foo[step() * 2]"},
    {"foo[(5m)+1m:range()]", "foo[(5m) + 1m:range()]"},
    {"foo offset -(1m+2m)", "foo offset -(1m + 2m)"},
    {"foo offset 1m + 2", "foo offset 1m + 2"},
    {"foo offset max_of(1m,step())", "foo offset max_of(1m, step())"},
    {"label_replace(foo,'a','$1','b','(.*)')",
     "label_replace(foo, \"a\", \"$1\", \"b\", \"(.*)\")"},
    {"hour()", "hour()"},
    {"foo # comment\n + # more\n bar", "foo + bar"},
    {"sum + avg{a='b'}", "sum + avg{a=\"b\"}"},
    {"start + end{}", "start + end"},
    {"start() + step()", "start() + step()"},
};

TEST(queries_print_in_one_way)
{
    struct buf once = {0}, twice = {0};
    for_each_case(c, print_cases) {
        answer(&once, str_from(c->name), &everything);
        CHECK_STR(buf_str(&once), c->want);
        answer(&twice, buf_str(&once), &everything);
        CHECK_STR(buf_str(&twice), c->want);
    }
    buf_deinit(&once);
    buf_deinit(&twice);
}

TEST(errors_are_in_prometheus_words)
{
    FILE *file = fopen(GOLDEN_PARSE, "r");
    CHECK(file != NULL);
    char query[4096] = "", line[4096];
    struct parse_options options = {0};
    struct buf got = {0};
    size_t count = 0;
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] == '>') {
            snprintf(query, sizeof(query), "%s", line + 2);
            continue;
        }
        if (line[0] == '#')
            continue;
        test_case_name = query;
        answer(&got, str_from(query), &options);
        if (strcmp(line, "fine") == 0) {
            CHECK(got.data[0] != '!');
        } else {
            CHECK(got.data[0] == '!');
            CHECK_STR(str_slice(buf_str(&got), 1, got.len), line);
        }
        count++;
    }
    test_case_name = NULL;
    fclose(file);
    buf_deinit(&got);
    CHECK(count > 300);
}

TEST(nothing_is_not_a_query)
{
    struct buf got = {0};
    answer(&got, STR(""), &everything);
    CHECK_STR(buf_str(&got), "!unknown position: parse error: no expression found in input");
    answer(&got, STR(" \n# nothing\n"), &everything);
    CHECK_STR(buf_str(&got), "!1:1: parse error: no expression found in input");
    buf_deinit(&got);
}

/* Random trees as text. Without infinities: Prometheus prints them with a sign, which then stands
 * for itself. */
static void random_query(struct buf *out, uint64_t *seed, unsigned depth);

static void random_choice(struct buf *out, uint64_t *seed, const char *const *choices)
{
    size_t count = 0;
    while (choices[count])
        count++;
    buf_append_cstr(out, choices[test_random_below(seed, count)]);
}

static void random_selector(struct buf *out, uint64_t *seed)
{
    static const char *const metrics[] = {"foo",       "a:b",       "sum", "on_",
                                          "{x=\"y\"}", "{\"a.b\"}", NULL};
    static const char *const shifts[] = {
        "",          "",           " offset 5m",       " offset -1h30m",
        " @ 12.345", " @ start()", " offset (1m * 2)", NULL};
    random_choice(out, seed, metrics);
    random_choice(out, seed, shifts);
}

static void random_binary(struct buf *out, uint64_t *seed, unsigned depth)
{
    static const char *const operators[] = {" + ", " * ", " ^ ",        " == bool ", " > bool ",
                                            " % ", " - ", " / on (a) ", " atan2 ",   NULL};
    random_query(out, seed, depth - 1);
    random_choice(out, seed, operators);
    random_query(out, seed, depth - 1);
}

static void random_query(struct buf *out, uint64_t *seed, unsigned depth)
{
    static const char *const before[] = {"rate(", "sum(", "topk by (a) (3, ",  "(",
                                         "-(",    "abs(", "avg without (b) (", "clamp_max(",
                                         NULL};
    static const char *const numbers[] = {"1", "0.25", "1e-5", "5m", "NaN", "-3", NULL};
    uint64_t kind = depth == 0 ? test_random_below(seed, 2) : test_random_below(seed, 5);
    if (kind == 0) {
        random_selector(out, seed);
    } else if (kind == 1) {
        random_choice(out, seed, numbers);
    } else if (kind == 2) {
        random_binary(out, seed, depth);
    } else if (kind == 3) {
        buf_append_byte(out, '(');
        random_query(out, seed, depth - 1);
        buf_append_cstr(out, ")[1h:5m]");
    } else {
        random_choice(out, seed, before);
        random_query(out, seed, depth - 1);
        buf_append_byte(out, ')');
    }
}

TEST(printing_and_parsing_again_changes_nothing)
{
    uint64_t seed = test_seed();
    struct buf query = {0}, once = {0}, twice = {0};
    size_t fine = 0;
    for (int i = 0; i < 20000; i++) {
        buf_clear(&query);
        random_query(&query, &seed, 4);
        answer(&once, buf_str(&query), &everything);
        if (once.data[0] == '!')
            continue;
        answer(&twice, buf_str(&once), &everything);
        buf_append_byte(&once, 0);
        CHECK_STR(buf_str(&twice), once.data);
        fine++;
    }
    CHECK(fine > 2000);
    buf_deinit(&query);
    buf_deinit(&once);
    buf_deinit(&twice);
}

static void repeat(struct buf *out, const char *before, size_t count, const char *middle,
                   const char *after)
{
    buf_clear(out);
    for (size_t i = 0; i < count; i++)
        buf_append_cstr(out, before);
    buf_append_cstr(out, middle);
    for (size_t i = 0; i < count; i++)
        buf_append_cstr(out, after);
}

static const struct {
    const char *name, *before, *middle, *after;
} deep_cases[] = {
    {"parentheses", "(", "foo", ")"},     {"calls", "abs(", "foo", ")"},
    {"aggregations", "sum(", "foo", ")"}, {"signs", "-", "foo", ""},
    {"powers", "2 ^ ", "foo", ""},        {"sums", "foo + ", "foo", ""},
    {"subqueries", "", "foo", "[1h:]"},   {"duration parentheses", "", "foo[1m]", ""},
};

TEST(depth_is_bounded)
{
    struct buf query = {0}, got = {0};
    for_each_case(c, deep_cases) {
        repeat(&query, c->before, 900, c->middle, c->after);
        answer(&got, buf_str(&query), &everything);
        CHECK(!str_contains(buf_str(&got), STR("nested too deeply")));
        if (strcmp(c->name, "duration parentheses") == 0)
            continue;
        repeat(&query, c->before, 100000, c->middle, c->after);
        answer(&got, buf_str(&query), &everything);
        if (strcmp(c->name, "subqueries") != 0) /* of subqueries there is none */
            CHECK(str_contains(buf_str(&got), STR("nested too deeply")));
    }
    repeat(&query, "(", 100000, "1m", ")");
    struct buf range = {0};
    buf_printf(&range, "foo[%.*s]", STR_ARG(buf_str(&query)));
    answer(&got, buf_str(&range), &everything);
    CHECK(str_contains(buf_str(&got), STR("nested too deeply")));
    repeat(&query, "1m + ", 100000, "1m", "");
    buf_clear(&range);
    buf_printf(&range, "foo[%.*s]", STR_ARG(buf_str(&query)));
    answer(&got, buf_str(&range), &everything);
    CHECK(str_contains(buf_str(&got), STR("nested too deeply")));
    buf_deinit(&range);
    buf_deinit(&query);
    buf_deinit(&got);
}

TEST(names_of_any_script_need_no_quotes_behind_their_flag)
{
    struct buf text = {0};
    for_each_case(c, name_cases) {
        answer(&text, str_from(c->name), NULL);
        CHECK_STR(buf_str(&text), c->without);
        answer(&text, str_from(c->name), &any_script);
        CHECK_STR(buf_str(&text), c->with);
    }
    buf_deinit(&text);
}

static void plan_deep_queries(void *arg)
{
    struct buf query = {0}, text = {0};
    for_each_case(c, deep_cases) {
        struct arena *arena = arena_create(NULL);
        struct plan_params params = {.end_ms = 100, .step_ms = 1, .subquery_step_ms = 1};
        struct expr *expr;
        struct plan plan;
        repeat(&query, c->before, PROMQL_DEPTH_MAX - 1, c->middle, c->after);
        struct error *err = promql_parse(buf_str(&query), &everything, arena, &expr);
        if (!err)
            expr_print(&text, expr);
        if (!err)
            err = plan_create(expr, &params, arena, &plan);
        if (!err)
            plan_explain(&plan, &text);
        error_free(err);
        arena_unref(arena);
    }
    buf_deinit(&query);
    buf_deinit(&text);
    *(bool *)arg = true;
}

TEST(the_deepest_queries_fit_the_stack_of_a_thread)
{
    bool done = false;
    struct pool *pool = pool_create("deep", 1, 1);
    CHECK_OK(pool_run(pool, plan_deep_queries, &done));
    pool_free(pool);
    CHECK(done);
}

TEST(length_is_bounded)
{
    struct buf query = {0}, got = {0};
    repeat(&query, " ", PROMQL_TEXT_MAX - 3, "foo", "");
    answer(&got, buf_str(&query), &everything);
    CHECK_STR(buf_str(&got), "foo");
    repeat(&query, " ", PROMQL_TEXT_MAX - 2, "foo", "");
    answer(&got, buf_str(&query), &everything);
    CHECK(str_starts_with(buf_str(&got), STR("!the query is too long")));
    repeat(&query, "a=~\"b\",", 20000, "", "");
    struct buf selector = {0};
    buf_printf(&selector, "foo{%.*s}", STR_ARG(buf_str(&query)));
    answer(&got, buf_str(&selector), &everything);
    CHECK(str_contains(buf_str(&got), STR("more than 10000 regular expressions")));
    buf_deinit(&selector);
    buf_deinit(&query);
    buf_deinit(&got);
}

TEST(a_spent_budget_is_an_error)
{
    struct budget *budget = budget_create(NULL, "query", 256 * 1024);
    struct arena *arena = arena_create(budget);
    struct buf query = {0};
    struct expr *expr;
    repeat(&query, "foo{a=\"b\"},", 20000, "foo", "");
    struct buf call = {0};
    buf_printf(&call, "label_join(%.*s)", STR_ARG(buf_str(&query)));
    CHECK_ERROR(promql_parse(buf_str(&call), &everything, arena, &expr), ERROR_LIMIT);
    buf_deinit(&call);
    buf_deinit(&query);
    arena_unref(arena);
    budget_free(budget);
}

static const struct {
    const char *name, *want;
    size_t count;
    const char *error;
} selector_cases[] = {
    {"foo", "{__name__=\"foo\"}", 1, NULL},
    {"foo{a=\"b\"}", "{a=\"b\",__name__=\"foo\"}", 2, NULL},
    {"{a=~\".*\"}", "{a=~\".*\"}", 1, NULL},
    {"{}", "{}", 0, NULL},
    {"{\"a b\", c!=\"\"}", "{__name__=\"a b\",c!=\"\"}", 2, NULL},
    {"foo[5m]", NULL, 0, "1:4: parse error: unexpected \"[\""},
    {"foo offset 5m", NULL, 0, "1:5: parse error: unexpected <offset>"},
    {"", NULL, 0, "unknown position: parse error: unexpected end of input"},
    {"foo + bar", NULL, 0, "1:5: parse error: unexpected <op:+>"},
    {"1", NULL, 0, "1:1: parse error: unexpected number \"1\""},
};

TEST(selectors_alone_may_match_everything)
{
    for_each_case(c, selector_cases) {
        struct arena *arena = arena_create(NULL);
        struct matcher *matchers;
        size_t count;
        struct buf out = {0};
        struct error *err =
            promql_parse_selector(str_from(c->name), NULL, arena, &matchers, &count);
        if (c->error) {
            CHECK_STR(error_text(err), c->error);
            CHECK_ERROR(err, ERROR_INVALID);
        } else {
            CHECK_OK(err);
            CHECK_EQ(count, c->count);
            matchers_print(&out, matchers, count);
            CHECK_STR(buf_str(&out), c->want);
        }
        buf_deinit(&out);
        arena_unref(arena);
    }
}

static const struct {
    const char *name, *want, *error;
} metric_cases[] = {
    {"foo", "foo", NULL},
    {"foo{b=\"c\", a='d'}", "foo{a=\"d\", b=\"c\"}", NULL},
    {"{a=\"b\",}", "{a=\"b\"}", NULL},
    {"{\"x y\", a=\"b\"}", "{\"x y\", a=\"b\"}", NULL},
    {"{}", "{}", NULL},
    {"foo{a=~\"b\"}", NULL, "1:6: parse error: unexpected <op:=~> in label set, expected \"=\""},
    {"foo{a=}", NULL, "1:7: parse error: unexpected \"}\" in label set, expected string"},
    {"foo{=}", NULL,
     "1:5: parse error: unexpected \"=\" in label set, expected identifier or \"}\""},
    {"foo{a=\"b\" c}", NULL,
     "1:11: parse error: unexpected identifier \"c\" in label set, expected \",\" or \"}\""},
    {"foo bar", NULL, "1:5: parse error: unexpected identifier \"bar\""},
};

TEST(metrics_alone)
{
    for_each_case(c, metric_cases) {
        struct arena *arena = arena_create(NULL);
        struct labels labels;
        struct buf out = {0};
        struct error *err = promql_parse_metric(str_from(c->name), NULL, arena, &labels);
        if (c->error) {
            CHECK_STR(error_text(err), c->error);
            CHECK_ERROR(err, ERROR_INVALID);
        } else {
            CHECK_OK(err);
            labels_print_metric(&out, labels);
            CHECK_STR(buf_str(&out), c->want);
        }
        buf_deinit(&out);
        arena_unref(arena);
    }
}

TEST(functions_are_found_by_name_and_id)
{
    for (int id = 0; id < FUNCTION_NUMBER; id++) {
        const struct function *function = function_get((enum function_id)id);
        CHECK_EQ(function->id, id);
        CHECK(function->name.len > 0);
        CHECK(function_find(function->name) == function);
    }
    CHECK(function_find(STR("nothing")) == NULL);
}

TEST_MAIN(TEST_ENTRY(queries_print_in_one_way),
          TEST_ENTRY(names_of_any_script_need_no_quotes_behind_their_flag),
          TEST_ENTRY(errors_are_in_prometheus_words), TEST_ENTRY(nothing_is_not_a_query),
          TEST_ENTRY(printing_and_parsing_again_changes_nothing), TEST_ENTRY(depth_is_bounded),
          TEST_ENTRY(the_deepest_queries_fit_the_stack_of_a_thread), TEST_ENTRY(length_is_bounded),
          TEST_ENTRY(a_spent_budget_is_an_error), TEST_ENTRY(selectors_alone_may_match_everything),
          TEST_ENTRY(metrics_alone), TEST_ENTRY(functions_are_found_by_name_and_id))
