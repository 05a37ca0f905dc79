/* A query with its time written into it. */
#include "promql/parse.h"
#include "promql/print.h"
#include "promql/script.h"

/* Functions whose result differs between steps even if the arguments do not. */
static bool is_bound_to_step(enum function_id id)
{
    switch (id) {
    case FUNCTION_DAYS_IN_MONTH:
    case FUNCTION_DAY_OF_MONTH:
    case FUNCTION_DAY_OF_WEEK:
    case FUNCTION_DAY_OF_YEAR:
    case FUNCTION_END:
    case FUNCTION_HOUR:
    case FUNCTION_MINUTE:
    case FUNCTION_MONTH:
    case FUNCTION_PREDICT_LINEAR:
    case FUNCTION_RANGE:
    case FUNCTION_START:
    case FUNCTION_STEP:
    case FUNCTION_TIME:
    case FUNCTION_TIMESTAMP:
    case FUNCTION_YEAR:
        return true;
    default:
        return false;
    }
}

static void pin_shift(struct time_shift *shift, int64_t at_ms)
{
    if (shift->at != AT_NONE)
        return;
    shift->at = AT_TIME;
    shift->at_ms = at_ms;
}

/* False when the result depends on the step after all. */
static bool pin(struct expr *expr, int64_t at_ms)
{
    bool is_fine = true;
    if (!expr)
        return true;
    switch (expr->kind) {
    case EXPR_SELECTOR:
        pin_shift(&expr->selector.shift, at_ms);
        return true;
    case EXPR_MATRIX:
        pin_shift(&expr->matrix.selector->selector.shift, at_ms);
        return true;
    case EXPR_SUBQUERY: /* what is inside is pinned by it */
        pin_shift(&expr->subquery.shift, at_ms);
        return true;
    case EXPR_UNARY:
        return pin(expr->unary.expr, at_ms);
    case EXPR_PAREN:
        return pin(expr->paren, at_ms);
    case EXPR_BINARY:
        return pin(expr->binary.left, at_ms) && pin(expr->binary.right, at_ms);
    case EXPR_AGGREGATE:
        return pin(expr->aggregate.expr, at_ms) && pin(expr->aggregate.param, at_ms);
    case EXPR_CALL:
        is_fine = !is_bound_to_step(expr->call.function->id);
        for (size_t i = 0; i < expr->call.arg_count && is_fine; i++)
            is_fine = pin(expr->call.args[i], at_ms);
        return is_fine;
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_DURATION:
        return true;
    }
    return true;
}

bool script_at_variant(struct str query, const struct parse_options *options, int64_t at_ms,
                       struct arena *arena, struct buf *out)
{
    struct expr *expr;
    struct error *err = promql_parse(query, options, arena, &expr);
    bool is_fine = !err && pin(expr, at_ms);
    error_free(err);
    if (is_fine)
        expr_print(out, expr);
    return is_fine;
}
