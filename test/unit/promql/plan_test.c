/* Golden files test/golden/plans: lines "> query" with the plan below; "@ range start end step" and
 * "@ instant time", in milliseconds, set the times of the queries that follow, "@ late names on"
 * and
 * "@ resolution ms" more. Run with --update to write what the plans are now. */
#include "promql/plan.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "promql/parse.h"
#include "support/test.h"

#ifndef GOLDEN_DIR
#error "the build says where the golden files are"
#endif

static bool is_update;

static const struct parse_options everything = {
    .experimental_functions = true, .fill_modifiers = true, .extended_functions = true};

static struct plan_params default_params(void)
{
    return (struct plan_params){
        .start_ms = 1000000, .end_ms = 1000000, .lookback_ms = 300000, .subquery_step_ms = 60000};
}

static void append_plan(struct buf *out, struct str query, struct plan_params params)
{
    struct arena *arena = arena_create(NULL);
    struct expr *expr;
    struct plan plan;
    params.text = query;
    struct error *err = promql_parse(query, &everything, arena, &expr);
    if (!err)
        err = plan_create(expr, &params, arena, &plan);
    if (err)
        buf_printf(out, "error: %.*s\n", STR_ARG(error_text(err)));
    else
        plan_explain(&plan, out);
    error_free(err);
    arena_unref(arena);
}

static void read_option(struct str line, struct plan_params *params)
{
    long long a = 0, b = 0, c = 0;
    char text[256];
    snprintf(text, sizeof(text), "%.*s", STR_ARG(line));
    if (sscanf(text, "@ range %lld %lld %lld", &a, &b, &c) == 3) {
        params->start_ms = a, params->end_ms = b, params->step_ms = c;
    } else if (sscanf(text, "@ instant %lld", &a) == 1) {
        params->start_ms = params->end_ms = a, params->step_ms = 0;
    } else if (sscanf(text, "@ resolution %lld", &a) == 1) {
        params->max_resolution_ms = a;
    } else if (str_starts_with(line, STR("@ late names"))) {
        params->delayed_name_removal = str_ends_with(line, STR("on"));
    } else {
        fail_msg("unknown option: %s", text);
    }
}

/* What the file should be: its own words, and the plans as they are now. */
static void renew(struct str text, struct buf *out)
{
    struct plan_params params = default_params();
    while (text.len) {
        struct str line;
        str_cut(text, '\n', &line, &text);
        if (line.len == 0 || !strchr("#@>", line.data[0]))
            continue;
        if (line.data[0] == '@')
            read_option(line, &params);
        if (line.data[0] == '>')
            buf_append_byte(out, '\n');
        buf_append_str(out, line);
        buf_append_byte(out, '\n');
        if (line.data[0] == '>')
            append_plan(out, str_trim(str_slice(line, 1, line.len)), params);
    }
}

static void check_file(const char *path)
{
    struct buf text = {0}, want = {0};
    char chunk[4096];
    size_t len;
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while ((len = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_append(&text, chunk, len);
    fclose(file);
    renew(buf_str(&text), &want);
    if (is_update) {
        file = fopen(path, "w");
        CHECK(file != NULL);
        fwrite(want.data, 1, want.len, file);
        fclose(file);
    } else if (!str_equal(buf_str(&text), buf_str(&want))) {
        print_error("%s should be:\n%.*s\n", path, STR_ARG(buf_str(&want)));
        fail();
    }
    buf_deinit(&text);
    buf_deinit(&want);
}

TEST(plans_are_as_in_the_golden_files)
{
    DIR *dir = opendir(GOLDEN_DIR);
    CHECK(dir != NULL);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[1024];
        if (!str_ends_with(str_from(entry->d_name), STR(".txt")))
            continue;
        snprintf(path, sizeof(path), "%s/%s", GOLDEN_DIR, entry->d_name);
        check_file(path);
        count++;
    }
    closedir(dir);
    CHECK(count > 0);
}

/* (a + b), nested evenly. */
static void append_sum(struct buf *out, size_t first, size_t count)
{
    if (count == 1) {
        buf_printf(out, "sum(x%zu{a%zu=\"b\"} offset %zu)", first % 2, first / 2, first / 4 + 1);
        return;
    }
    buf_append_byte(out, '(');
    append_sum(out, first, count / 2);
    buf_append_cstr(out, " + ");
    append_sum(out, first + count / 2, count - count / 2);
    buf_append_byte(out, ')');
}

/* Were each held against each, this would take minutes. */
TEST(many_different_aggregations_are_told_apart_at_once)
{
    struct buf query = {0};
    struct arena *arena = arena_create(NULL);
    struct plan_params params = default_params();
    struct expr *expr;
    struct plan plan;
    append_sum(&query, 0, 20000);
    params.text = buf_str(&query);
    CHECK_OK(promql_parse(params.text, &everything, arena, &expr));
    CHECK_OK(plan_create(expr, &params, arena, &plan));
    CHECK_EQ(plan.share_count, 0);
    arena_unref(arena);
    buf_deinit(&query);
}

int main(int argc, char **argv)
{
    is_update = argc > 1 && str_equal(str_from(argv[1]), STR("--update"));
    const struct CMUnitTest tests[] = {
        TEST_ENTRY(plans_are_as_in_the_golden_files),
        TEST_ENTRY(many_different_aggregations_are_told_apart_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
