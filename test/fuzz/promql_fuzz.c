/* Any text as a query: parsed, printed, planned; as a selector and as a metric. What is printed
 * reads back the same. */
#include "fuzz.h"

#include <stdlib.h>

#include "promql/enforce.h"
#include "promql/parse.h"
#include "promql/plan.h"
#include "promql/pretty.h"
#include "promql/print.h"

static const struct parse_options everything = {
    .experimental_functions = true,
    .fill_modifiers = true,
    .unquoted_utf8_names = true,
    .extended_functions = true,
};

static void plan(const struct expr *expr, struct str text, int64_t step_ms, bool late_names)
{
    struct plan_params params = {
        .text = text,
        .start_ms = 1000000,
        .end_ms = step_ms ? 1600000 : 1000000,
        .step_ms = step_ms,
        .lookback_ms = 300000,
        .subquery_step_ms = 60000,
        .max_resolution_ms = 300000,
        .delayed_name_removal = late_names,
    };
    struct arena *arena = arena_create(NULL);
    struct buf out = {0};
    struct plan plan;
    struct engine_node *tree;
    struct error *err = plan_create(expr, &params, arena, &plan);
    if (!err)
        plan_explain(&plan, &out);
    if (!err)
        err = plan_describe(&plan, arena, &tree);
    error_free(err);
    buf_deinit(&out);
    arena_unref(arena);
}

/* The text that a text prints as; false when it is refused. */
static bool print_again(struct str text, struct buf *out, struct arena *arena)
{
    struct expr *expr;
    struct error *err = promql_parse(text, &everything, arena, &expr);
    if (!err)
        expr_print(out, expr);
    bool is_fine = !err;
    error_free(err);
    return is_fine;
}

/* What was printed and read prints the same again. Not at once: as in Prometheus, an offset that
 * begins with two signs loses one and binds less then; infinities are printed with a sign, which
 * then stands for itself; fractions of a millisecond are not printed, so a range may be zero. */
static void print_thrice(const struct expr *expr, struct arena *arena)
{
    struct buf once = {0}, twice = {0}, thrice = {0};
    expr_print(&once, expr);
    if (!str_contains(buf_str(&once), STR("Inf")) && print_again(buf_str(&once), &twice, arena) &&
        print_again(buf_str(&twice), &thrice, arena) &&
        !str_equal(buf_str(&twice), buf_str(&thrice)))
        abort();
    buf_deinit(&once);
    buf_deinit(&twice);
    buf_deinit(&thrice);
}

/* Lines and indentation change nothing of what is read. */
static void print_lines(const struct expr *expr, struct arena *arena)
{
    struct buf plain = {0}, lines = {0}, again = {0}, plain_again = {0};
    expr_print(&plain, expr);
    expr_print_pretty(&lines, expr);
    if (print_again(buf_str(&lines), &again, arena) &&
        print_again(buf_str(&plain), &plain_again, arena) &&
        !str_equal(buf_str(&again), buf_str(&plain_again)))
        abort();
    buf_deinit(&plain);
    buf_deinit(&lines);
    buf_deinit(&again);
    buf_deinit(&plain_again);
}

/* A restricted query reads back, restricted everywhere; again changes nothing. */
static void enforce(struct expr *expr, struct arena *arena)
{
    struct buf once = {0}, twice = {0};
    struct error *err = expr_enforce(expr, STR("tenant"), STR("a"), arena);
    expr_print(&once, expr);
    if (!err)
        err = expr_enforce(expr, STR("tenant"), STR("a"), arena);
    expr_print(&twice, expr);
    if (err || !str_equal(buf_str(&once), buf_str(&twice)))
        abort();
    buf_deinit(&once);
    buf_deinit(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = bytes_str((struct bytes){data, size});
    struct arena *arena = arena_create(NULL);
    struct expr *expr;
    struct matcher *matchers;
    size_t count;
    struct labels labels;
    struct error *err = promql_parse(text, &everything, arena, &expr);
    if (!err) {
        print_thrice(expr, arena);
        print_lines(expr, arena);
        plan(expr, text, 0, false);
        plan(expr, text, 60000, size % 2);
        enforce(expr, arena);
    }
    error_free(err);
    error_free(promql_parse_selector(text, &everything, arena, &matchers, &count));
    error_free(promql_parse_metric(text, &everything, arena, &labels));
    arena_unref(arena);
    return 0;
}
