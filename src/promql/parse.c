#include "promql/parse.h"

#include <math.h>

#include "promql/parser.h"

/* Operators from the loosest on; unary signs bind like multiplication. */
enum {
    PRECEDENCE_OR = 1,
    PRECEDENCE_AND,
    PRECEDENCE_COMPARE,
    PRECEDENCE_ADD,
    PRECEDENCE_MUL,
    PRECEDENCE_POW,
};

static const struct operator_row {
    enum token_type token;
    enum binary_op op;
    int precedence;
} operator_rows[] = {
    {TOKEN_OR, BINARY_OR, PRECEDENCE_OR},
    {TOKEN_AND, BINARY_AND, PRECEDENCE_AND},
    {TOKEN_UNLESS, BINARY_UNLESS, PRECEDENCE_AND},
    {TOKEN_EQLC, BINARY_EQUAL, PRECEDENCE_COMPARE},
    {TOKEN_NEQ, BINARY_NOT_EQUAL, PRECEDENCE_COMPARE},
    {TOKEN_GTR, BINARY_GREATER, PRECEDENCE_COMPARE},
    {TOKEN_LSS, BINARY_LESS, PRECEDENCE_COMPARE},
    {TOKEN_GTE, BINARY_GREATER_EQUAL, PRECEDENCE_COMPARE},
    {TOKEN_LTE, BINARY_LESS_EQUAL, PRECEDENCE_COMPARE},
    {TOKEN_TRIM_UPPER, BINARY_TRIM_UPPER, PRECEDENCE_COMPARE},
    {TOKEN_TRIM_LOWER, BINARY_TRIM_LOWER, PRECEDENCE_COMPARE},
    {TOKEN_ADD, BINARY_ADD, PRECEDENCE_ADD},
    {TOKEN_SUB, BINARY_SUB, PRECEDENCE_ADD},
    {TOKEN_MUL, BINARY_MUL, PRECEDENCE_MUL},
    {TOKEN_DIV, BINARY_DIV, PRECEDENCE_MUL},
    {TOKEN_MOD, BINARY_MOD, PRECEDENCE_MUL},
    {TOKEN_ATAN2, BINARY_ATAN2, PRECEDENCE_MUL},
    {TOKEN_POW, BINARY_POW, PRECEDENCE_POW},
};

static const struct operator_row *operator_find(enum token_type token)
{
    for (size_t i = 0; i < countof(operator_rows); i++)
        if (operator_rows[i].token == token)
            return &operator_rows[i];
    return NULL;
}

static struct expr *parse_expr(struct parser *parser, int precedence);

struct name_list {
    struct str *items;
    size_t count, cap;
};

static void name_list_add(struct parser *parser, struct name_list *list, struct str name)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 4;
        struct str *items = arena_array(parser->arena, list->cap, sizeof(*items));
        for (size_t i = 0; i < list->count; i++)
            items[i] = list->items[i];
        list->items = items;
    }
    list->items[list->count++] = name;
}

static bool token_is_label(enum token_type type)
{
    return (token_is_metric_name(type) && type != TOKEN_WITHOUT) || type == TOKEN_ATAN2 ||
           type == TOKEN_BOOL || type == TOKEN_GROUP_LEFT || type == TOKEN_GROUP_RIGHT ||
           type == TOKEN_IGNORING || type == TOKEN_ON;
}

static bool parse_label(struct parser *parser, struct str *out)
{
    enum token_type type = parser_peek(parser);
    size_t pos = parser->token.position.start;
    if (type == TOKEN_STRING)
        *out = parse_string(parser);
    else if (token_is_label(type))
        *out = arena_str(parser->arena, parser_take(parser).text);
    else
        return parser_unexpected_in(parser, "grouping opts", "label");
    bool needs_quotes =
        type != TOKEN_STRING && parser->options.unquoted_utf8_names && !name_is_unquoted_utf8(*out);
    if (out->len == 0 || !str_is_utf8(*out) || needs_quotes)
        return parser_fail_quoted(parser, pos, "invalid label name for grouping: ", *out);
    return true;
}

/* (a, b) */
static bool parse_labels(struct parser *parser, struct name_list *out)
{
    static const char context[] = "grouping opts";
    if (parser_peek(parser) != TOKEN_LEFT_PAREN)
        return parser_unexpected_in(parser, context, "\"(\"");
    parser_take(parser);
    while (!parser_accept(parser, TOKEN_RIGHT_PAREN)) {
        struct str name;
        if (!parse_label(parser, &name))
            return false;
        name_list_add(parser, out, name);
        if (parser_accept(parser, TOKEN_COMMA) || parser_peek(parser) == TOKEN_RIGHT_PAREN)
            continue;
        return parser_unexpected_in(parser, context, "\",\" or \")\"");
    }
    return !parser->err;
}

struct expr_list {
    struct expr **items;
    size_t count, cap;
};

static void expr_list_add(struct parser *parser, struct expr_list *list, struct expr *expr)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 4;
        struct expr **items = arena_array(parser->arena, list->cap, sizeof(*items));
        for (size_t i = 0; i < list->count; i++)
            items[i] = list->items[i];
        list->items = items;
    }
    list->items[list->count++] = expr;
}

static bool token_starts_expr(enum token_type type)
{
    switch (type) {
    case TOKEN_STRING:
    case TOKEN_NUMBER:
    case TOKEN_DURATION:
    case TOKEN_LEFT_BRACE:
    case TOKEN_LEFT_PAREN:
    case TOKEN_ADD:
    case TOKEN_SUB:
        return true;
    default:
        return token_is_metric_name(type);
    }
}

/* (a, b), no comma at the end. */
static bool parse_args(struct parser *parser, struct expr_list *out)
{
    if (!parser_expect(parser, TOKEN_LEFT_PAREN))
        return false;
    if (parser_accept(parser, TOKEN_RIGHT_PAREN))
        return true;
    while (!parser->err) {
        struct expr *arg = parse_expr(parser, 0);
        if (!arg)
            return false;
        expr_list_add(parser, out, arg);
        if (parser_peek(parser) != TOKEN_COMMA)
            return parser_expect(parser, TOKEN_RIGHT_PAREN);
        size_t comma = parser_take(parser).position.start;
        if (!token_starts_expr(parser_peek(parser)) && !parser->err)
            parser_fail(parser, comma, "trailing commas not allowed in function call args");
    }
    return false;
}

/* An aggregation without modifier behind has been read one token too far to know its end. */
static size_t find_end(const struct parser *parser)
{
    struct str text = parser->lexer.text;
    size_t last = parser->lexer.last_pos;
    if (last == 0 || last >= text.len || text.data[last] != ')')
        return parser->last_closing;
    for (size_t i = last - 1; i > 0; i--) {
        char c = text.data[i];
        if (c == ')')
            return i + 1;
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            break;
    }
    return parser->last_closing;
}

static struct expr *new_aggregate(struct parser *parser, struct token name, size_t end,
                                  const struct expr_list *args)
{
    enum aggregate_op op = (enum aggregate_op)(name.type - TOKEN_SUM);
    size_t start = name.position.start;
    if (args->count == 0)
        return parser_fail(parser, start, "no arguments for aggregate expression provided");
    bool is_experimental = op == AGGREGATE_LIMITK || op == AGGREGATE_LIMIT_RATIO;
    if (is_experimental && !parser->options.experimental_functions)
        return parser_fail(parser, start,
                           "%s() is experimental and must be enabled with "
                           "--enable-feature=promql-experimental-functions",
                           aggregate_op_text(op));
    size_t want = aggregate_op_has_param(op) ? 2 : 1;
    if (args->count != want)
        return parser_fail(parser, start,
                           "wrong number of arguments for aggregate expression provided, expected "
                           "%zu, got %zu",
                           want, args->count);
    struct position position = {(uint32_t)start, (uint32_t)end};
    struct expr *param = want == 2 ? args->items[0] : NULL;
    struct expr *inner = args->items[want - 1];
    struct expr *expr = parser_new(parser, EXPR_AGGREGATE, position, inner, param);
    expr->aggregate.op = op;
    expr->aggregate.expr = inner;
    expr->aggregate.param = param;
    return expr;
}

static bool token_is_by(enum token_type type)
{
    return type == TOKEN_BY || type == TOKEN_WITHOUT;
}

/* The name has been taken; what follows shows that it is an aggregation. */
static struct expr *parse_aggregate(struct parser *parser, struct token name)
{
    struct parse_place outer = parser->place;
    parser->place = (struct parse_place){"aggregation", NULL};
    struct expr_list args = {0};
    struct name_list labels = {0};
    bool without = false, has_labels = false;
    for (int turn = 0; turn < 2; turn++) {
        if (!has_labels && token_is_by(parser_peek(parser))) {
            has_labels = true;
            without = parser_take(parser).type == TOKEN_WITHOUT;
            if (!parse_labels(parser, &labels))
                return NULL;
        }
        if (turn == 0 && !parse_args(parser, &args))
            return NULL;
        if (turn == 0 && has_labels)
            break;
    }
    if (parser->err)
        return NULL;
    size_t end = has_labels ? parser->last_closing : find_end(parser);
    parser->place = outer;
    struct expr *expr = new_aggregate(parser, name, end, &args);
    if (!expr)
        return NULL;
    expr->aggregate.without = without;
    expr->aggregate.labels = labels.items;
    expr->aggregate.label_count = labels.count;
    return expr;
}

static struct expr *parse_call(struct parser *parser, struct token name)
{
    struct expr_list args = {0};
    if (!parse_args(parser, &args))
        return NULL;
    size_t start = name.position.start;
    const struct function *function = function_find(name.text);
    if (!function || (function->extended && !parser->options.extended_functions))
        return parser_fail_quoted(parser, start, "unknown function with name ", name.text);
    if (function->experimental && !parser->options.experimental_functions)
        return parser_fail(parser, start, "function \"%.*s\" is not enabled",
                           STR_ARG(function->name));
    struct position position = {(uint32_t)start, (uint32_t)parser->last_closing};
    struct expr *expr = parser_new(parser, EXPR_CALL, position, NULL, NULL);
    for (size_t i = 0; i < args.count; i++)
        if (args.items[i]->height >= expr->height)
            expr->height = args.items[i]->height + 1;
    expr->call.function = function;
    expr->call.args = args.items;
    expr->call.arg_count = args.count;
    return expr;
}

static struct expr *parse_paren(struct parser *parser)
{
    struct token open = parser_take(parser);
    struct expr *inner = parse_expr(parser, 0);
    if (!inner || !parser_expect(parser, TOKEN_RIGHT_PAREN))
        return NULL;
    struct position position = {open.position.start, (uint32_t)parser->last_closing};
    struct expr *expr = parser_new(parser, EXPR_PAREN, position, inner, NULL);
    expr->paren = inner;
    return expr;
}

static struct expr *parse_sign(struct parser *parser)
{
    struct token sign = parser_take(parser);
    struct expr *inner = parse_expr(parser, PRECEDENCE_POW);
    if (!inner)
        return NULL;
    if (inner->kind == EXPR_NUMBER) {
        if (sign.type == TOKEN_SUB)
            inner->number.value = -inner->number.value;
        inner->position.start = sign.position.start;
        return inner;
    }
    struct position position = {sign.position.start, inner->position.end};
    struct expr *expr = parser_new(parser, EXPR_UNARY, position, inner, NULL);
    expr->unary.negative = sign.type == TOKEN_SUB;
    expr->unary.expr = inner;
    return expr;
}

/* A name: metric, function or aggregation, by what follows. */
static struct expr *parse_name(struct parser *parser)
{
    struct token name = parser_take(parser);
    enum token_type next = parser_peek(parser);
    bool is_aggregation = name.type >= TOKEN_SUM && name.type <= TOKEN_COUNT_VALUES;
    if (is_aggregation && (next == TOKEN_LEFT_PAREN || token_is_by(next)))
        return parse_aggregate(parser, name);
    if (next == TOKEN_LEFT_PAREN && (name.type == TOKEN_IDENTIFIER || name.type >= TOKEN_START))
        return parse_call(parser, name);
    return parse_vector_selector(parser, &name);
}

static struct expr *parse_string_literal(struct parser *parser)
{
    struct expr *expr = parser_new(parser, EXPR_STRING, parser->token.position, NULL, NULL);
    expr->string = parse_string(parser);
    return expr;
}

static struct expr *parse_operand(struct parser *parser)
{
    switch (parser_peek(parser)) {
    case TOKEN_ADD:
    case TOKEN_SUB:
        return parse_sign(parser);
    case TOKEN_NUMBER:
    case TOKEN_DURATION:
        return parse_number_literal(parser);
    case TOKEN_STRING:
        return parse_string_literal(parser);
    case TOKEN_LEFT_PAREN:
        return parse_paren(parser);
    case TOKEN_LEFT_BRACE:
        return parse_vector_selector(parser, NULL);
    default:
        return token_is_metric_name(parser_peek(parser)) ? parse_name(parser)
                                                         : parser_unexpected(parser);
    }
}

/* The shift of a selector, range selector or subquery; NULL for others. */
static struct time_shift *expr_shift(struct expr *expr)
{
    switch (expr->kind) {
    case EXPR_SELECTOR:
        return &expr->selector.shift;
    case EXPR_MATRIX:
        return &expr->matrix.selector->selector.shift;
    case EXPR_SUBQUERY:
        return &expr->subquery.shift;
    default:
        return NULL;
    }
}

static struct expr *parse_offset(struct parser *parser, struct expr *expr)
{
    struct parse_place outer = parser->place;
    parser->place = (struct parse_place){"offset", "number, duration, step(), or range()"};
    parser_take(parser);
    struct expr *offset = parse_offset_duration(parser);
    if (!offset)
        return NULL;
    parser->place = outer;
    struct time_shift *shift = expr_shift(expr);
    if (!shift)
        return parser_fail(parser, expr->position.start,
                           "offset modifier must be preceded by an instant vector selector or "
                           "range vector selector or a subquery");
    if (shift->offset.ms != 0 || shift->offset.expr)
        return parser_fail(parser, expr->position.start, "offset may not be set multiple times");
    shift->offset = duration_from_expr(offset);
    expr->position.end = (uint32_t)parser->last_closing;
    return expr;
}

static bool parse_at_time(struct parser *parser, double *out)
{
    bool is_negative = parser_peek(parser) == TOKEN_SUB;
    if (is_negative || parser_peek(parser) == TOKEN_ADD)
        parser_take(parser);
    enum token_type type = parser_peek(parser);
    if (type != TOKEN_NUMBER && type != TOKEN_DURATION)
        return parser_unexpected(parser);
    struct expr *number = parse_number_literal(parser);
    if (!number)
        return false;
    *out = is_negative ? -number->number.value : number->number.value;
    return true;
}

static void *fail_at_bounds(struct parser *parser, size_t pos, double seconds)
{
    static const char text[] = "timestamp out of bounds for @ modifier:";
    if (isfinite(seconds))
        return parser_fail(parser, pos, "%s %f", text, seconds);
    return parser_fail(parser, pos, "%s %s", text,
                       isnan(seconds) ? "NaN"
                       : seconds > 0  ? "+Inf"
                                      : "-Inf");
}

static int64_t ms_from_seconds(double seconds)
{
    double ms = round(seconds * 1000);
    if (ms >= 0x1p63)
        return INT64_MAX;
    return ms <= -0x1p63 ? INT64_MIN : (int64_t)ms;
}

static struct expr *parse_at(struct parser *parser, struct expr *expr)
{
    struct parse_place outer = parser->place;
    parser->place = (struct parse_place){"@", "timestamp"};
    parser_take(parser);
    enum token_type type = parser_peek(parser);
    enum at_kind kind = AT_TIME;
    double seconds = 0;
    if (type == TOKEN_START || type == TOKEN_END) {
        kind = type == TOKEN_START ? AT_START : AT_END;
        parser_take(parser);
        if (!parser_expect(parser, TOKEN_LEFT_PAREN) || !parser_expect(parser, TOKEN_RIGHT_PAREN))
            return NULL;
    } else if (!parse_at_time(parser, &seconds)) {
        return NULL;
    }
    parser->place = outer;
    if (!(seconds < 0x1p63 && seconds > -0x1p63))
        return fail_at_bounds(parser, expr->position.start, seconds);
    struct time_shift *shift = expr_shift(expr);
    if (!shift)
        return parser_fail(parser, expr->position.start,
                           "@ modifier must be preceded by an instant vector selector or range "
                           "vector selector or a subquery");
    if (shift->at != AT_NONE)
        return parser_fail(parser, expr->position.start,
                           "@ <timestamp> may not be set multiple times");
    shift->at = kind;
    shift->at_ms = ms_from_seconds(seconds);
    expr->position.end = (uint32_t)parser->last_closing;
    return expr;
}

static struct expr *parse_extended(struct parser *parser, struct expr *expr)
{
    enum extended_range kind =
        parser_take(parser).type == TOKEN_ANCHORED ? RANGE_ANCHORED : RANGE_SMOOTHED;
    const char *name = kind == RANGE_ANCHORED ? "anchored" : "smoothed";
    size_t start = expr->position.start;
    if (expr->kind == EXPR_SUBQUERY)
        return parser_fail(parser, start, "%s modifier is not supported for subqueries", name);
    if (expr->kind != EXPR_SELECTOR && expr->kind != EXPR_MATRIX)
        return parser_fail(parser, start, "%s modifier not implemented", name);
    struct expr *selector = expr->kind == EXPR_MATRIX ? expr->matrix.selector : expr;
    if (selector->selector.extended != RANGE_PLAIN && selector->selector.extended != kind)
        return parser_fail(parser, start,
                           "anchored and smoothed modifiers cannot be used together");
    selector->selector.extended = kind;
    return expr;
}

static struct expr *new_matrix(struct parser *parser, struct expr *inner, size_t bracket,
                               const struct expr *range)
{
    const char *error = NULL;
    if (inner->kind != EXPR_SELECTOR)
        error = "ranges only allowed for vector selectors";
    else if (inner->selector.shift.offset.ms != 0 || inner->selector.shift.offset.expr)
        error = "no offset modifiers allowed before range";
    else if (inner->selector.shift.at != AT_NONE)
        error = "no @ modifiers allowed before range";
    if (error)
        return parser_fail(parser, bracket, "%s", error);
    struct position position = {inner->position.start, (uint32_t)parser->last_closing};
    struct expr *expr = parser_new(parser, EXPR_MATRIX, position, inner, NULL);
    expr->matrix.selector = inner;
    expr->matrix.range = duration_from_expr(range);
    return expr;
}

/* [range] or [range:step] or [range:] */
static struct expr *parse_brackets(struct parser *parser, struct expr *inner)
{
    static const char anything[] = "number, duration, step(), or range()";
    struct parse_place outer = parser->place;
    parser->place = (struct parse_place){"subquery or range selector", anything};
    size_t bracket = parser_take(parser).position.start;
    struct expr *range = parse_range_duration(parser), *step = NULL;
    if (!range)
        return NULL;
    if (parser_accept(parser, TOKEN_RIGHT_BRACKET)) {
        parser->place = outer;
        return new_matrix(parser, inner, bracket, range);
    }
    parser->place = (struct parse_place){"subquery or range", "\":\" or \"]\""};
    if (!parser_expect(parser, TOKEN_COLON))
        return NULL;
    parser->place =
        (struct parse_place){"subquery selector", "number, duration, step(), range(), or \"]\""};
    if (parser_peek(parser) != TOKEN_RIGHT_BRACKET) {
        step = parse_range_duration(parser);
        if (!step)
            return NULL;
        parser->place = (struct parse_place){"subquery selector", "\"]\""};
    }
    if (!parser_expect(parser, TOKEN_RIGHT_BRACKET))
        return NULL;
    parser->place = outer;
    struct position position = {inner->position.start, (uint32_t)parser->last_closing};
    struct expr *expr = parser_new(parser, EXPR_SUBQUERY, position, inner, NULL);
    expr->subquery.expr = inner;
    expr->subquery.range = duration_from_expr(range);
    if (!step)
        return expr;
    expr->subquery.step = duration_from_expr(step);
    if (!expr->subquery.step.expr && expr->subquery.step.ms == 0) /* zero means the default */
        return parser_fail(parser, step->position.start, "subquery step is below a millisecond");
    return expr;
}

/* What stands behind an operand binds to it before any operator. */
static struct expr *parse_modified(struct parser *parser)
{
    struct expr *expr = parse_operand(parser);
    while (expr && !parser->err) {
        switch (parser_peek(parser)) {
        case TOKEN_OFFSET:
            expr = parse_offset(parser, expr);
            break;
        case TOKEN_AT:
            expr = parse_at(parser, expr);
            break;
        case TOKEN_ANCHORED:
        case TOKEN_SMOOTHED:
            expr = parse_extended(parser, expr);
            break;
        case TOKEN_LEFT_BRACKET:
            expr = parse_brackets(parser, expr);
            break;
        default:
            return expr;
        }
    }
    return NULL;
}

static bool parse_fill_value(struct parser *parser, double *out)
{
    if (!parser_expect(parser, TOKEN_LEFT_PAREN) || !parse_at_time(parser, out))
        return false;
    return parser_expect(parser, TOKEN_RIGHT_PAREN);
}

/* fill(n), or fill_left(n) and fill_right(n) in any order. */
static bool parse_fill(struct parser *parser, struct vector_matching *matching)
{
    double value = 0;
    if (parser_accept(parser, TOKEN_FILL)) {
        if (!parse_fill_value(parser, &value))
            return false;
        matching->has_fill_left = matching->has_fill_right = true;
        matching->fill_left = matching->fill_right = value;
        return true;
    }
    while (!parser->err) {
        if (!matching->has_fill_left && parser_accept(parser, TOKEN_FILL_LEFT)) {
            if (!parse_fill_value(parser, &matching->fill_left))
                return false;
            matching->has_fill_left = true;
        } else if (!matching->has_fill_right && parser_accept(parser, TOKEN_FILL_RIGHT)) {
            if (!parse_fill_value(parser, &matching->fill_right))
                return false;
            matching->has_fill_right = true;
        } else {
            return !parser->err;
        }
    }
    return false;
}

/* group_left (b): what is no label list may begin the right side. */
static bool parse_group(struct parser *parser, struct vector_matching *matching)
{
    struct name_list include = {0};
    enum token_type next = parser_peek(parser);
    if (next == TOKEN_LEFT_PAREN || !token_starts_expr(next)) {
        if (!parse_labels(parser, &include))
            return false;
    }
    matching->include = include.items;
    matching->include_count = include.count;
    return true;
}

/* Between operator and right side: bool on (a) group_left (b) fill (0). */
static bool parse_matching(struct parser *parser, bool *is_bool, struct vector_matching *matching)
{
    *is_bool = parser_accept(parser, TOKEN_BOOL);
    enum token_type type = parser_peek(parser);
    if (type == TOKEN_ON || type == TOKEN_IGNORING) {
        parser_take(parser);
        matching->on = type == TOKEN_ON;
        struct name_list labels = {0};
        if (!parse_labels(parser, &labels))
            return false;
        matching->labels = labels.items;
        matching->label_count = labels.count;
        bool is_left = parser_accept(parser, TOKEN_GROUP_LEFT);
        if (is_left || parser_accept(parser, TOKEN_GROUP_RIGHT)) {
            matching->card = is_left ? MATCH_MANY_TO_ONE : MATCH_ONE_TO_MANY;
            if (!parse_group(parser, matching))
                return false;
        }
    }
    return parse_fill(parser, matching);
}

/* The operator is the next token. */
static struct expr *parse_binary(struct parser *parser, struct expr *left,
                                 const struct operator_row *row)
{
    parser_take(parser);
    struct vector_matching *matching = arena_zalloc(parser->arena, sizeof(*matching));
    bool is_bool;
    if (!parse_matching(parser, &is_bool, matching))
        return NULL;
    struct expr *right = parse_expr(parser, row->precedence + (row->op != BINARY_POW));
    if (!right)
        return NULL;
    struct position position = {left->position.start, right->position.end};
    struct expr *expr = parser_new(parser, EXPR_BINARY, position, left, right);
    bool is_scalar = expr_type(left) == VALUE_SCALAR && expr_type(right) == VALUE_SCALAR;
    expr->binary.op = row->op;
    expr->binary.type = is_scalar ? VALUE_SCALAR : VALUE_VECTOR;
    expr->binary.is_bool = is_bool;
    expr->binary.left = left;
    expr->binary.right = right;
    expr->binary.matching = matching;
    bool has_fill = matching->has_fill_left || matching->has_fill_right;
    if (has_fill && !parser->options.fill_modifiers)
        return parser_fail(parser, position.start,
                           "binop fill modifiers are experimental and not enabled");
    return expr;
}

/* Operators of this precedence and tighter ones. */
static struct expr *parse_expr(struct parser *parser, int precedence)
{
    if (!parser_enter(parser))
        return NULL;
    struct expr *expr = parse_modified(parser);
    while (expr && !parser->err) {
        const struct operator_row *row = operator_find(parser_peek(parser));
        if (!row || row->precedence < precedence)
            break;
        expr = parse_binary(parser, expr, row);
    }
    parser->depth--;
    return parser->err ? NULL : expr;
}

/* The end of the text, or the error of what stands there instead. Also the last place to see that
 * the budget is spent. */
static struct error *finish(struct parser *parser)
{
    if (!parser->err && parser_peek(parser) != TOKEN_EOF)
        parser_unexpected(parser);
    struct error *refused = arena_status(parser->arena);
    if (!refused)
        return parser->err;
    error_free(parser->err);
    return refused;
}

static struct error *check_length(struct str text)
{
    if (text.len <= PROMQL_TEXT_MAX)
        return NULL;
    return error_create(ERROR_INVALID, "the query is too long: %zu bytes, at most %d are allowed",
                        text.len, PROMQL_TEXT_MAX);
}

struct error *promql_parse(struct str text, const struct parse_options *options,
                           struct arena *arena, struct expr **out)
{
    struct error *err = check_length(text);
    if (err)
        return err;
    struct parser parser;
    parser_init(&parser, text, options, arena);
    *out = NULL;
    if (parser_peek(&parser) == TOKEN_EOF)
        parser_fail(&parser, 0, "no expression found in input");
    else if (!parser.err)
        *out = parse_expr(&parser, 0);
    err = finish(&parser);
    if (!err && !expr_check(&parser, *out))
        err = parser.err;
    return err;
}

struct error *promql_parse_selector(struct str text, const struct parse_options *options,
                                    struct arena *arena, struct matcher **matchers, size_t *count)
{
    struct error *err = check_length(text);
    if (err)
        return err;
    struct parser parser;
    parser_init(&parser, text, options, arena);
    struct expr *expr = parse_selector(&parser);
    err = finish(&parser);
    if (err)
        return err;
    *matchers = expr->selector.matchers;
    *count = expr->selector.matcher_count;
    return NULL;
}

struct error *promql_parse_metric(struct str text, const struct parse_options *options,
                                  struct arena *arena, struct labels *out)
{
    struct error *err = check_length(text);
    if (err)
        return err;
    struct parser parser;
    parser_init(&parser, text, options, arena);
    parse_metric(&parser, out);
    return finish(&parser);
}
