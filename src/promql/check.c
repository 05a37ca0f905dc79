#include "promql/parser.h"

#include <stdlib.h>

#include "model/quote.h"

/* Each check_ function is false once the parser has an error. The order of the checks is
 * Prometheus's: only the first error is told. */

static const char *type_word(enum value_type type)
{
    return value_type_name(type);
}

static bool check_expects(struct parser *parser, struct expr *expr, enum value_type want,
                          const char *context)
{
    if (!expr_check(parser, expr))
        return false;
    enum value_type got = expr_type(expr);
    if (got == want)
        return true;
    return parser_fail(parser, expr->position.start, "expected type %s in %s, got %s",
                       type_word(want), context, type_word(got));
}

static bool check_aggregate(struct parser *parser, struct expr *expr)
{
    if (!check_expects(parser, expr->aggregate.expr, VALUE_VECTOR, "aggregation expression"))
        return false;
    if (!expr->aggregate.param)
        return true;
    enum value_type want =
        expr->aggregate.op == AGGREGATE_COUNT_VALUES ? VALUE_STRING : VALUE_SCALAR;
    return check_expects(parser, expr->aggregate.param, want, "aggregation parameter");
}

/* Where the operator of a binary expression is. */
static size_t operator_start(const struct parser *parser, const struct expr *expr)
{
    struct str text = parser->lexer.text;
    size_t pos = expr->binary.left->position.end;
    while (pos < text.len && (text.data[pos] == ' ' || text.data[pos] == '\t' ||
                              text.data[pos] == '\n' || text.data[pos] == '\r'))
        pos++;
    return pos;
}

/* A label of on() cannot be one of group_left() as well. */
static bool check_labels(struct parser *parser, const struct expr *expr)
{
    const struct vector_matching *matching = expr->binary.matching;
    if (!matching->on || matching->include_count == 0)
        return true;
    struct str *include = arena_array(parser->arena, matching->include_count, sizeof(*include));
    for (size_t i = 0; i < matching->include_count; i++)
        include[i] = matching->include[i];
    qsort(include, matching->include_count, sizeof(*include), str_compare_items);
    for (size_t i = 0; i < matching->label_count; i++) {
        if (!bsearch(&matching->labels[i], include, matching->include_count, sizeof(*include),
                     str_compare_items))
            continue;
        struct buf out = {0};
        buf_append_cstr(&out, "label ");
        quote_append(&out, matching->labels[i]);
        buf_append_cstr(&out, " must not occur in ON and GROUP clause at once");
        parser_fail(parser, operator_start(parser, expr), "%.*s", STR_ARG(buf_str(&out)));
        buf_deinit(&out);
        return false;
    }
    return true;
}

static bool check_scalar_matching(struct parser *parser, struct expr *expr)
{
    const struct vector_matching *matching = expr->binary.matching;
    size_t start = expr->position.start;
    if (matching->label_count > 0)
        return parser_fail(parser, start, "vector matching only allowed between instant vectors");
    if (matching->has_fill_left || matching->has_fill_right)
        return parser_fail(parser, start,
                           "filling in missing series only allowed between instant vectors");
    expr->binary.matching = NULL;
    if (binary_op_is_set(expr->binary.op))
        return parser_fail(parser, start,
                           "set operator \"%s\" not allowed in binary scalar expression",
                           binary_op_text(expr->binary.op));
    return true;
}

static bool check_set_matching(struct parser *parser, struct expr *expr)
{
    struct vector_matching *matching = expr->binary.matching;
    size_t start = expr->position.start;
    if (matching->card == MATCH_ONE_TO_MANY || matching->card == MATCH_MANY_TO_ONE)
        return parser_fail(parser, start, "no grouping allowed for \"%s\" operation",
                           binary_op_text(expr->binary.op));
    if (matching->has_fill_left || matching->has_fill_right)
        return parser_fail(parser, start,
                           "filling in missing series not allowed for set operators");
    matching->card = MATCH_MANY_TO_MANY;
    return true;
}

static bool type_is_operand(enum value_type type)
{
    return type == VALUE_SCALAR || type == VALUE_VECTOR;
}

static bool check_binary(struct parser *parser, struct expr *expr)
{
    static const char operands[] =
        "binary expression must contain only scalar and instant vector types";
    struct expr *left = expr->binary.left, *right = expr->binary.right;
    if (!expr_check(parser, left) || !expr_check(parser, right))
        return false;
    enum value_type left_type = expr_type(left), right_type = expr_type(right);
    bool is_comparison = binary_op_is_comparison(expr->binary.op);
    if (expr->binary.is_bool && !is_comparison)
        return parser_fail(parser, operator_start(parser, expr),
                           "bool modifier can only be used on comparison operators");
    if (is_comparison && !expr->binary.is_bool && left_type == VALUE_SCALAR &&
        right_type == VALUE_SCALAR)
        return parser_fail(parser, operator_start(parser, expr),
                           "comparisons between scalars must use BOOL modifier");
    if (!check_labels(parser, expr))
        return false;
    if (!type_is_operand(left_type))
        return parser_fail(parser, left->position.start, "%s", operands);
    if (!type_is_operand(right_type))
        return parser_fail(parser, right->position.start, "%s", operands);
    if (left_type != VALUE_VECTOR || right_type != VALUE_VECTOR)
        return check_scalar_matching(parser, expr);
    return !binary_op_is_set(expr->binary.op) || check_set_matching(parser, expr);
}

static bool check_arg_count(struct parser *parser, const struct expr *expr)
{
    const struct function *function = expr->call.function;
    size_t count = expr->call.arg_count, named = function->arg_count;
    const char *limit = NULL;
    size_t want = named;
    if (function->variadic == 0) {
        if (count != named)
            limit = "";
    } else if (count < named - 1) {
        limit = "at least ", want = named - 1;
    } else if (function->variadic > 0 && count > named - 1 + (size_t)function->variadic) {
        limit = "at most ", want = named - 1 + (size_t)function->variadic;
    }
    if (!limit)
        return true;
    return parser_fail(parser, expr->position.start,
                       "expected %s%zu argument(s) in call to \"%.*s\", got %zu", limit, want,
                       STR_ARG(function->name), count);
}

/* The second argument of info() only looks like a selector. */
static bool check_info(struct parser *parser, struct expr *expr)
{
    struct expr *arg = expr->call.args[1];
    enum value_type type = expr_type(arg);
    if (type != VALUE_VECTOR)
        return parser_fail(parser, expr->position.start,
                           "expected type %s in call to function \"info\", got %s",
                           type_word(VALUE_VECTOR), type_word(type));
    if (arg->kind != EXPR_SELECTOR)
        return parser_fail(parser, arg->position.start, "expected label selectors only");
    if (arg->selector.name.len)
        return parser_fail(parser, arg->position.start,
                           "expected label selectors only, got vector selector instead");
    arg->selector.may_be_empty = true;
    return true;
}

static bool check_call(struct parser *parser, struct expr *expr)
{
    const struct function *function = expr->call.function;
    if (!check_arg_count(parser, expr))
        return false;
    if (function->id == FUNCTION_INFO && expr->call.arg_count > 1 && !check_info(parser, expr))
        return false;
    for (size_t i = 0; i < expr->call.arg_count; i++) {
        struct expr *arg = expr->call.args[i];
        enum value_type want = function->args[size_min(i, function->arg_count - 1u)];
        if (!expr_check(parser, arg))
            return false;
        if (expr_type(arg) != want)
            return parser_fail(parser, arg->position.start,
                               "expected type %s in call to function \"%.*s\", got %s",
                               type_word(want), STR_ARG(function->name), type_word(expr_type(arg)));
    }
    return true;
}

static bool check_subquery(struct parser *parser, struct expr *expr)
{
    static const char *const names[] = {
        [VALUE_NONE] = "none",     [VALUE_SCALAR] = "scalar", [VALUE_VECTOR] = "vector",
        [VALUE_MATRIX] = "matrix", [VALUE_STRING] = "string",
    };
    if (!expr_check(parser, expr->subquery.expr))
        return false;
    enum value_type type = expr_type(expr->subquery.expr);
    if (type == VALUE_VECTOR)
        return true;
    return parser_fail(parser, expr->position.start,
                       "subquery is only allowed on instant vector, got %s instead", names[type]);
}

static bool check_unary(struct parser *parser, struct expr *expr)
{
    if (!expr_check(parser, expr->unary.expr))
        return false;
    enum value_type type = expr_type(expr->unary.expr);
    if (type_is_operand(type))
        return true;
    return parser_fail(
        parser, expr->position.start,
        "unary expression only allowed on expressions of type scalar or instant vector, got \"%s\"",
        type_word(type));
}

static bool check_selector(struct parser *parser, const struct expr *expr)
{
    const struct matcher *matchers = expr->selector.matchers;
    size_t count = expr->selector.matcher_count;
    if (expr->selector.name.len) {
        for (size_t i = 0; i + 1 < count; i++) {
            if (!str_equal(matchers[i].name, STR("__name__")))
                continue;
            struct buf out = {0};
            buf_append_cstr(&out, "metric name must not be set twice: ");
            quote_append(&out, expr->selector.name);
            buf_append_cstr(&out, " or ");
            quote_append(&out, matchers[i].value);
            parser_fail(parser, expr->position.start, "%.*s", STR_ARG(buf_str(&out)));
            buf_deinit(&out);
            return false;
        }
        return true;
    }
    if (expr->selector.may_be_empty)
        return true;
    for (size_t i = 0; i < count; i++)
        if (!matcher_matches_empty(&matchers[i]))
            return true;
    return parser_fail(parser, expr->position.start,
                       "vector selector must contain at least one non-empty matcher");
}

bool expr_check(struct parser *parser, struct expr *expr)
{
    if (expr->height > PROMQL_DEPTH_MAX)
        return parser_fail_depth(parser, expr->position.start);
    switch (expr->kind) {
    case EXPR_SELECTOR:
        return check_selector(parser, expr);
    case EXPR_MATRIX:
        return check_selector(parser, expr->matrix.selector);
    case EXPR_SUBQUERY:
        return check_subquery(parser, expr);
    case EXPR_UNARY:
        return check_unary(parser, expr);
    case EXPR_BINARY:
        return check_binary(parser, expr);
    case EXPR_AGGREGATE:
        return check_aggregate(parser, expr);
    case EXPR_CALL:
        return check_call(parser, expr);
    case EXPR_PAREN:
        return expr_check(parser, expr->paren);
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_DURATION:
        return true;
    }
    return true;
}
