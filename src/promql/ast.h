/* promql/ast.h: PromQL as a tree, as the parser makes it. Nodes and all they point to live in the
 * arena given to promql_parse(); immutable afterwards. Depth is bounded by PROMQL_DEPTH_MAX. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "model/matcher.h"
#include "promql/engine.h" /* enum value_type */
#include "promql/functions.h"

/* Bytes [start, end) of the query's text. */
struct position {
    uint32_t start, end;
};

enum expr_kind {
    EXPR_NUMBER,
    EXPR_STRING,
    EXPR_SELECTOR, /* instant vector */
    EXPR_MATRIX,   /* selector[range] */
    EXPR_SUBQUERY, /* expr[range:step] */
    EXPR_UNARY,
    EXPR_BINARY,
    EXPR_AGGREGATE,
    EXPR_CALL,
    EXPR_PAREN,
    EXPR_DURATION, /* arithmetic of durations; only where a duration is asked for */
};

enum binary_op {
    BINARY_ADD,
    BINARY_SUB,
    BINARY_MUL,
    BINARY_DIV,
    BINARY_MOD,
    BINARY_POW,
    BINARY_ATAN2,
    BINARY_EQUAL,
    BINARY_NOT_EQUAL,
    BINARY_GREATER,
    BINARY_LESS,
    BINARY_GREATER_EQUAL,
    BINARY_LESS_EQUAL,
    BINARY_TRIM_UPPER, /* </ */
    BINARY_TRIM_LOWER, /* >/ */
    BINARY_AND,
    BINARY_OR,
    BINARY_UNLESS,
};
const char *binary_op_text(enum binary_op op);
static inline bool binary_op_is_comparison(enum binary_op op)
{
    return op >= BINARY_EQUAL && op <= BINARY_LESS_EQUAL;
}
static inline bool binary_op_is_set(enum binary_op op)
{
    return op >= BINARY_AND;
}

enum aggregate_op {
    AGGREGATE_SUM,
    AGGREGATE_AVG,
    AGGREGATE_COUNT,
    AGGREGATE_MIN,
    AGGREGATE_MAX,
    AGGREGATE_GROUP,
    AGGREGATE_STDDEV,
    AGGREGATE_STDVAR,
    AGGREGATE_TOPK, /* from here on: with a parameter */
    AGGREGATE_BOTTOMK,
    AGGREGATE_LIMITK,
    AGGREGATE_LIMIT_RATIO,
    AGGREGATE_QUANTILE,
    AGGREGATE_COUNT_VALUES,
};
const char *aggregate_op_text(enum aggregate_op op);
static inline bool aggregate_op_has_param(enum aggregate_op op)
{
    return op >= AGGREGATE_TOPK;
}

enum match_card { MATCH_ONE_TO_ONE, MATCH_MANY_TO_ONE, MATCH_ONE_TO_MANY, MATCH_MANY_TO_MANY };
const char *match_card_text(enum match_card card); /* "one-to-one", ... */

/* How rows of two vectors find each other. In the AST the lists are as written; in a plan they are
 * sorted and unique. */
struct vector_matching {
    enum match_card card;
    bool on; /* labels are those to compare; else those to ignore */
    struct str *labels;
    size_t label_count;
    struct str *include; /* of group_left, group_right */
    size_t include_count;
    bool has_fill_left, has_fill_right;
    double fill_left, fill_right;
};

enum duration_op {
    DURATION_ADD, /* with left NULL: the unary operator */
    DURATION_SUB,
    DURATION_MUL,
    DURATION_DIV,
    DURATION_MOD,
    DURATION_POW,
    DURATION_STEP, /* step(), range(): no operands */
    DURATION_RANGE,
    DURATION_MAX_OF,
    DURATION_MIN_OF,
};

/* A duration as written: milliseconds, or an expression that needs the query's step and range. */
struct duration {
    int64_t ms;
    const struct expr *expr; /* EXPR_DURATION, or NULL; then ms counts */
};

enum at_kind { AT_NONE, AT_TIME, AT_START, AT_END };

/* What selectors and subqueries have in common: which time they read instead of the step's. */
struct time_shift {
    struct duration offset;
    enum at_kind at;
    int64_t at_ms; /* of AT_TIME */
};

enum extended_range { RANGE_PLAIN, RANGE_ANCHORED, RANGE_SMOOTHED };

struct expr {
    enum expr_kind kind;
    uint32_t height; /* of the tree below, 1 for a leaf: at most PROMQL_DEPTH_MAX */
    struct position position;
    bool unquoted_names; /* where it was parsed, names of any script need no quotes */
    union {
        struct {
            double value;
            bool is_duration; /* written as 5m */
        } number;
        struct str string;
        struct {
            struct str name; /* outside of the braces; empty: none. Also among the matchers */
            struct matcher *matchers;
            size_t matcher_count;
            struct time_shift shift; /* of the matrix selector around it, too */
            enum extended_range extended;
            bool may_be_empty; /* label selectors of info() */
        } selector;
        struct {
            struct expr *selector; /* EXPR_SELECTOR */
            struct duration range;
        } matrix;
        struct {
            struct expr *expr;
            struct duration range, step; /* step 0 without expr: the default */
            struct time_shift shift;
        } subquery;
        struct {
            bool negative;
            struct expr *expr;
        } unary;
        struct {
            enum binary_op op;
            enum value_type type; /* VALUE_SCALAR or VALUE_VECTOR */
            bool is_bool;         /* comparisons: 0 or 1 instead of a filter */
            struct expr *left, *right;
            struct vector_matching *matching; /* NULL unless both are vectors */
        } binary;
        struct {
            enum aggregate_op op;
            struct expr *expr, *param; /* param NULL unless aggregate_op_has_param() */
            bool without;
            struct str *labels; /* as written */
            size_t label_count;
        } aggregate;
        struct {
            const struct function *function;
            struct expr **args;
            size_t arg_count;
        } call;
        struct expr *paren;
        struct {
            enum duration_op op;
            bool wrapped;              /* in parentheses */
            struct expr *left, *right; /* EXPR_DURATION or EXPR_NUMBER */
        } duration;
    };
};

/* What the expression evaluates to. */
enum value_type expr_type(const struct expr *expr);
/* Without the parentheses around it. */
const struct expr *expr_unwrap(const struct expr *expr);
