#include "promql/parser.h"

#include <math.h>

#include "base/duration.h"
#include "promql/literal.h"

static bool is_out_of_range(double seconds)
{
    return seconds > 0x1p63 / 1e9 || seconds < -0x1p63 / 1e9;
}

struct expr *parse_number_literal(struct parser *parser)
{
    struct token token = parser_take(parser);
    struct expr *expr = parser_new(parser, EXPR_NUMBER, token.position, NULL, NULL);
    struct error *err;
    if (token.type == TOKEN_DURATION) {
        int64_t ms = 0;
        err = duration_parse(token.text, &ms);
        expr->number.is_duration = true;
        /* In two parts, as Go's Duration.Seconds() does it: the same rounding. */
        expr->number.value = (double)(ms / 1000) + (double)(ms % 1000 * 1000000) / 1e9;
    } else {
        err = number_parse(token.text, &expr->number.value);
    }
    return err ? parser_fail_with(parser, token.position.start, err) : expr;
}

static struct expr *new_duration(struct parser *parser, enum duration_op op,
                                 struct position position, struct expr *left, struct expr *right)
{
    struct expr *expr = parser_new(parser, EXPR_DURATION, position, left, right);
    expr->duration.op = op;
    expr->duration.left = left;
    expr->duration.right = right;
    return expr;
}

/* A number has no mark for its parentheses: it gets a unary plus that has. */
static struct expr *wrap(struct parser *parser, struct expr *expr, struct position position)
{
    if (expr->kind == EXPR_NUMBER)
        expr = new_duration(parser, DURATION_ADD, position, NULL, expr);
    expr->duration.wrapped = true;
    return expr;
}

static struct expr *apply_sign(struct parser *parser, struct token sign, struct expr *expr)
{
    if (expr->kind == EXPR_DURATION) {
        struct position position = {sign.position.start, expr->position.end};
        return sign.type == TOKEN_SUB ? new_duration(parser, DURATION_SUB, position, NULL, expr)
                                      : expr;
    }
    if (sign.type == TOKEN_SUB)
        expr->number.value = -expr->number.value;
    if (is_out_of_range(expr->number.value))
        return parser_fail(parser, sign.position.start, "duration out of range");
    expr->position.start = sign.position.start;
    return expr;
}

static struct expr *parse_number_duration(struct parser *parser)
{
    struct expr *expr = parse_number_literal(parser);
    if (expr && is_out_of_range(expr->number.value))
        return parser_fail(parser, expr->position.start, "duration out of range");
    return expr;
}

static struct expr *parse_expr_from(struct parser *parser, struct expr *left, int precedence);
static struct expr *parse_expr(struct parser *parser, int precedence);

/* step(), range(), max_of(a, b), min_of(a, b) */
static struct expr *parse_duration_call(struct parser *parser)
{
    struct token name = parser_take(parser);
    struct expr *left = NULL, *right = NULL;
    enum duration_op op = name.type == TOKEN_STEP    ? DURATION_STEP
                          : name.type == TOKEN_RANGE ? DURATION_RANGE
                                                     : DURATION_MAX_OF;
    if (!parser_expect(parser, TOKEN_LEFT_PAREN))
        return NULL;
    if (op == DURATION_MAX_OF) {
        left = parse_expr(parser, 0);
        if (!left || !parser_expect(parser, TOKEN_COMMA))
            return NULL;
        right = parse_expr(parser, 0);
        if (!right)
            return NULL;
        op = name.type == TOKEN_MIN_OF ? DURATION_MIN_OF : op;
    }
    if (!parser_expect(parser, TOKEN_RIGHT_PAREN))
        return NULL;
    struct position position = {name.position.start, (uint32_t)parser->last_closing};
    return new_duration(parser, op, position, left, right);
}

static struct expr *parse_paren(struct parser *parser)
{
    struct token open = parser_take(parser);
    struct expr *expr = parse_expr(parser, 0);
    if (!expr || !parser_expect(parser, TOKEN_RIGHT_PAREN))
        return NULL;
    struct position position = {open.position.start, (uint32_t)parser->last_closing};
    return wrap(parser, expr, position);
}

enum { PRECEDENCE_ADD = 1, PRECEDENCE_MUL, PRECEDENCE_POW };

static struct expr *parse_operand(struct parser *parser)
{
    switch (parser_peek(parser)) {
    case TOKEN_NUMBER:
    case TOKEN_DURATION:
        return parse_number_duration(parser);
    case TOKEN_ADD:
    case TOKEN_SUB: {
        struct token sign = parser_take(parser);
        struct expr *expr = parse_expr(parser, PRECEDENCE_POW);
        return expr ? apply_sign(parser, sign, expr) : NULL;
    }
    case TOKEN_STEP:
    case TOKEN_RANGE:
    case TOKEN_MAX_OF:
    case TOKEN_MIN_OF:
        return parse_duration_call(parser);
    case TOKEN_LEFT_PAREN:
        return parse_paren(parser);
    default:
        return parser_unexpected(parser);
    }
}

static const struct duration_operator {
    enum token_type token;
    enum duration_op op;
    int precedence;
} duration_operators[] = {
    {TOKEN_ADD, DURATION_ADD, PRECEDENCE_ADD}, {TOKEN_SUB, DURATION_SUB, PRECEDENCE_ADD},
    {TOKEN_MUL, DURATION_MUL, PRECEDENCE_MUL}, {TOKEN_DIV, DURATION_DIV, PRECEDENCE_MUL},
    {TOKEN_MOD, DURATION_MOD, PRECEDENCE_MUL}, {TOKEN_POW, DURATION_POW, PRECEDENCE_POW},
};

static const struct duration_operator *operator_find(enum token_type token)
{
    for (size_t i = 0; i < countof(duration_operators); i++)
        if (duration_operators[i].token == token)
            return &duration_operators[i];
    return NULL;
}

static struct expr *parse_expr_from(struct parser *parser, struct expr *left, int precedence)
{
    while (left) {
        const struct duration_operator *operator= operator_find(parser_peek(parser));
        if (!operator|| operator->precedence<precedence)
            return left;
        struct token token = parser_take(parser);
        bool is_right = operator->op == DURATION_POW;
        struct expr *right = parse_expr(parser, operator->precedence + !is_right);
        if (!right)
            return NULL;
        bool is_zero = right->kind == EXPR_NUMBER && right->number.value == 0;
        if (is_zero && operator->op == DURATION_DIV)
            return parser_fail(parser, token.position.start, "division by zero");
        if (is_zero && operator->op == DURATION_MOD)
            return parser_fail(parser, token.position.start, "modulo by zero");
        struct position position = {left->position.start, right->position.end};
        left = new_duration(parser, operator->op, position, left, right);
        if (left->height > PROMQL_DEPTH_MAX)
            return parser_fail_depth(parser, position.start);
    }
    return NULL;
}

static struct expr *parse_expr(struct parser *parser, int precedence)
{
    if (!parser_enter(parser))
        return NULL;
    struct expr *expr = parse_expr_from(parser, parse_operand(parser), precedence);
    parser->depth--;
    return expr;
}

struct expr *parse_range_duration(struct parser *parser)
{
    struct expr *expr = parse_expr(parser, 0);
    if (expr && expr->kind == EXPR_NUMBER && !(expr->number.value > 0))
        return parser_fail(parser, expr->position.start, "duration must be greater than 0");
    return expr;
}

/* One signed or unsigned thing: what follows it belongs to the expression around, `foo offset 1 +
 * 2` is a sum; unless it began with a parenthesis or with two signs. */
struct expr *parse_offset_duration(struct parser *parser)
{
    enum token_type first = parser_peek(parser);
    if (first == TOKEN_LEFT_PAREN)
        return parse_expr(parser, 0);
    if (first != TOKEN_ADD && first != TOKEN_SUB)
        return parse_operand(parser);
    struct token sign = parser_take(parser);
    enum token_type second = parser_peek(parser);
    if (second == TOKEN_ADD || second == TOKEN_SUB) {
        struct expr *expr = parse_expr(parser, PRECEDENCE_POW);
        return parse_expr_from(parser, expr ? apply_sign(parser, sign, expr) : NULL, 0);
    }
    if (second == TOKEN_LEFT_PAREN) {
        struct expr *expr = parse_paren(parser);
        return expr ? apply_sign(parser, sign, expr) : NULL;
    }
    struct expr *expr = second == TOKEN_NUMBER || second == TOKEN_DURATION
                            ? parse_number_literal(parser)
                            : parse_operand(parser);
    if (!expr)
        return NULL;
    if (expr->kind == EXPR_DURATION && sign.type == TOKEN_ADD) {
        struct position position = {sign.position.start, expr->position.end};
        return new_duration(parser, DURATION_ADD, position, NULL, expr);
    }
    return apply_sign(parser, sign, expr);
}

struct duration duration_from_expr(const struct expr *expr)
{
    if (expr->kind == EXPR_DURATION)
        return (struct duration){.expr = expr};
    /* Over nanoseconds, as in Prometheus, so that the same fractions of milliseconds are cut. */
    double ns = round(expr->number.value * 1e9);
    if (ns >= 0x1p63)
        return (struct duration){.ms = INT64_MAX / 1000000};
    if (isnan(ns)) /* what Go makes of it on x86-64 */
        return (struct duration){.ms = INT64_MIN / 1000000};
    return (struct duration){.ms = (int64_t)ns / 1000000};
}
