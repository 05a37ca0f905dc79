#include "promql/ast.h"

#include "base/compiler.h"

const char *binary_op_text(enum binary_op op)
{
    static const char *const texts[] = {
        [BINARY_ADD] = "+",         [BINARY_SUB] = "-",         [BINARY_MUL] = "*",
        [BINARY_DIV] = "/",         [BINARY_MOD] = "%",         [BINARY_POW] = "^",
        [BINARY_ATAN2] = "atan2",   [BINARY_EQUAL] = "==",      [BINARY_NOT_EQUAL] = "!=",
        [BINARY_GREATER] = ">",     [BINARY_LESS] = "<",        [BINARY_GREATER_EQUAL] = ">=",
        [BINARY_LESS_EQUAL] = "<=", [BINARY_TRIM_UPPER] = "</", [BINARY_TRIM_LOWER] = ">/",
        [BINARY_AND] = "and",       [BINARY_OR] = "or",         [BINARY_UNLESS] = "unless",
    };
    return texts[op];
}

const char *aggregate_op_text(enum aggregate_op op)
{
    static const char *const texts[] = {
        [AGGREGATE_SUM] = "sum",           [AGGREGATE_AVG] = "avg",
        [AGGREGATE_COUNT] = "count",       [AGGREGATE_MIN] = "min",
        [AGGREGATE_MAX] = "max",           [AGGREGATE_GROUP] = "group",
        [AGGREGATE_STDDEV] = "stddev",     [AGGREGATE_STDVAR] = "stdvar",
        [AGGREGATE_TOPK] = "topk",         [AGGREGATE_BOTTOMK] = "bottomk",
        [AGGREGATE_LIMITK] = "limitk",     [AGGREGATE_LIMIT_RATIO] = "limit_ratio",
        [AGGREGATE_QUANTILE] = "quantile", [AGGREGATE_COUNT_VALUES] = "count_values",
    };
    return texts[op];
}

const char *match_card_text(enum match_card card)
{
    static const char *const texts[] = {
        [MATCH_ONE_TO_ONE] = "one-to-one",
        [MATCH_MANY_TO_ONE] = "many-to-one",
        [MATCH_ONE_TO_MANY] = "one-to-many",
        [MATCH_MANY_TO_MANY] = "many-to-many",
    };
    return texts[card];
}

const char *value_type_name(enum value_type type)
{
    static const char *const names[] = {
        [VALUE_NONE] = "none",
        [VALUE_SCALAR] = "scalar",
        [VALUE_VECTOR] = "instant vector",
        [VALUE_MATRIX] = "range vector",
        [VALUE_STRING] = "string",
    };
    return names[type];
}

enum value_type expr_type(const struct expr *expr)
{
    switch (expr->kind) {
    case EXPR_NUMBER:
    case EXPR_DURATION:
        return VALUE_SCALAR;
    case EXPR_STRING:
        return VALUE_STRING;
    case EXPR_MATRIX:
    case EXPR_SUBQUERY:
        return VALUE_MATRIX;
    case EXPR_UNARY:
        return expr_type(expr->unary.expr);
    case EXPR_PAREN:
        return expr_type(expr->paren);
    case EXPR_CALL:
        return expr->call.function->result;
    case EXPR_BINARY:
        return expr->binary.type;
    case EXPR_SELECTOR:
    case EXPR_AGGREGATE:
        return VALUE_VECTOR;
    }
    return VALUE_NONE;
}

const struct expr *expr_unwrap(const struct expr *expr)
{
    while (expr->kind == EXPR_PAREN)
        expr = expr->paren;
    return expr;
}
