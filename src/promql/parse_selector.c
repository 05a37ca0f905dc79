#include "promql/parser.h"

#include "promql/literal.h"

enum { REGEX_COUNT_MAX = 10000 }; /* of one query: each costs kilobytes and time */

struct str parse_string(struct parser *parser)
{
    struct token token = parser_take(parser);
    return string_unquote(token.text, parser->arena);
}

bool token_is_metric_name(enum token_type type)
{
    switch (type) {
    case TOKEN_IDENTIFIER:
    case TOKEN_METRIC_IDENTIFIER:
    case TOKEN_AND:
    case TOKEN_OR:
    case TOKEN_UNLESS:
    case TOKEN_ANCHORED:
    case TOKEN_BY:
    case TOKEN_FILL:
    case TOKEN_FILL_LEFT:
    case TOKEN_FILL_RIGHT:
    case TOKEN_OFFSET:
    case TOKEN_SMOOTHED:
    case TOKEN_WITHOUT:
        return true;
    default:
        return (type >= TOKEN_SUM && type <= TOKEN_COUNT_VALUES) || type >= TOKEN_START;
    }
}

static void add_matcher(struct parser *parser, struct expr *selector, size_t *cap,
                        struct matcher matcher)
{
    if (selector->selector.matcher_count == *cap) {
        size_t new_cap = *cap ? *cap * 2 : 4;
        struct matcher *items = arena_array(parser->arena, new_cap, sizeof(*items));
        for (size_t i = 0; i < *cap; i++)
            items[i] = selector->selector.matchers[i];
        selector->selector.matchers = items;
        *cap = new_cap;
    }
    selector->selector.matchers[selector->selector.matcher_count++] = matcher;
}

static bool new_matcher(struct parser *parser, size_t pos, enum match_op op, struct str name,
                        struct str value, struct matcher *out)
{
    bool is_regex = op == MATCH_REGEX || op == MATCH_NOT_REGEX;
    if (is_regex && ++parser->regex_count > REGEX_COUNT_MAX)
        return parser_fail(parser, pos, "more than %d regular expressions", REGEX_COUNT_MAX);
    struct error *err = matcher_create(parser->arena, op, name, value, out);
    if (err)
        parser_fail_with(parser, pos, err);
    return !err;
}

static bool token_match_op(enum token_type type, enum match_op *op)
{
    switch (type) {
    case TOKEN_EQL:
        *op = MATCH_EQUAL;
        return true;
    case TOKEN_NEQ:
        *op = MATCH_NOT_EQUAL;
        return true;
    case TOKEN_EQL_REGEX:
        *op = MATCH_REGEX;
        return true;
    case TOKEN_NEQ_REGEX:
        *op = MATCH_NOT_REGEX;
        return true;
    default:
        return false;
    }
}

/* name op "value", or "metric" alone. */
static bool parse_matcher(struct parser *parser, struct matcher *out)
{
    static const char context[] = "label matching";
    enum token_type type = parser_peek(parser);
    if (type != TOKEN_IDENTIFIER && type != TOKEN_STRING)
        return parser_unexpected_in(parser, context, "identifier or \"}\"");
    struct position position = parser->token.position;
    struct str name = type == TOKEN_STRING ? parse_string(parser) : parser_take(parser).text;
    enum match_op op = MATCH_EQUAL;
    if (!token_match_op(parser_peek(parser), &op)) {
        if (type == TOKEN_STRING && !parser->err)
            return new_matcher(parser, position.start, op, STR("__name__"), name, out);
        return parser_unexpected_in(parser, context, "label matching operator");
    }
    parser_take(parser);
    if (parser_peek(parser) != TOKEN_STRING)
        return parser_unexpected_in(parser, context, "string");
    struct str value = parse_string(parser);
    return new_matcher(parser, position.start, op, name, value, out);
}

/* Behind '{', to the '}'. */
static bool parse_matchers(struct parser *parser, struct expr *selector, size_t *cap)
{
    while (!parser_accept(parser, TOKEN_RIGHT_BRACE)) {
        struct matcher matcher;
        if (!parse_matcher(parser, &matcher))
            return false;
        add_matcher(parser, selector, cap, matcher);
        if (parser_accept(parser, TOKEN_COMMA) || parser_peek(parser) == TOKEN_RIGHT_BRACE)
            continue;
        return parser_unexpected_in(parser, "label matching", "\",\" or \"}\"");
    }
    return !parser->err;
}

struct expr *parse_vector_selector(struct parser *parser, const struct token *name)
{
    struct position position = name ? name->position : parser->token.position;
    struct expr *expr = parser_new(parser, EXPR_SELECTOR, position, NULL, NULL);
    size_t cap = 0;
    if (parser_accept(parser, TOKEN_LEFT_BRACE)) {
        if (!parse_matchers(parser, expr, &cap))
            return NULL;
        expr->position.end = (uint32_t)parser->last_closing;
    }
    if (parser->err || !name)
        return parser->err ? NULL : expr;
    expr->selector.name = arena_str(parser->arena, name->text);
    struct matcher matcher;
    if (!new_matcher(parser, position.start, MATCH_EQUAL, STR("__name__"), expr->selector.name,
                     &matcher))
        return NULL;
    add_matcher(parser, expr, &cap, matcher);
    return expr;
}

struct expr *parse_selector(struct parser *parser)
{
    if (parser_peek(parser) == TOKEN_LEFT_BRACE)
        return parse_vector_selector(parser, NULL);
    if (!token_is_metric_name(parser_peek(parser)))
        return parser_unexpected(parser);
    struct token name = parser_take(parser);
    return parse_vector_selector(parser, &name);
}

/* name="value", or "metric" alone. */
static bool parse_metric_label(struct parser *parser, struct labels_builder *builder)
{
    static const char context[] = "label set";
    enum token_type type = parser_peek(parser);
    if (type != TOKEN_IDENTIFIER && type != TOKEN_STRING)
        return parser_unexpected_in(parser, context, "identifier or \"}\"");
    struct str name = type == TOKEN_STRING ? parse_string(parser)
                                           : arena_str(parser->arena, parser_take(parser).text);
    if (!parser_accept(parser, TOKEN_EQL)) {
        if (type == TOKEN_IDENTIFIER || parser->err)
            return parser_unexpected_in(parser, context, "\"=\"");
        labels_builder_set(builder, STR("__name__"), name);
        return true;
    }
    if (parser_peek(parser) != TOKEN_STRING)
        return parser_unexpected_in(parser, context, "string");
    labels_builder_set(builder, name, parse_string(parser));
    return true;
}

bool parse_metric(struct parser *parser, struct labels *out)
{
    struct labels_builder builder = labels_builder_create(parser->arena);
    struct str name = {0};
    if (token_is_metric_name(parser_peek(parser)))
        name = arena_str(parser->arena, parser_take(parser).text);
    if (parser_accept(parser, TOKEN_LEFT_BRACE)) {
        while (!parser_accept(parser, TOKEN_RIGHT_BRACE)) {
            if (!parse_metric_label(parser, &builder))
                return false;
            if (!parser_accept(parser, TOKEN_COMMA) && parser_peek(parser) != TOKEN_RIGHT_BRACE)
                return parser_unexpected_in(parser, "label set", "\",\" or \"}\"");
        }
    }
    if (name.len)
        labels_builder_set(&builder, STR("__name__"), name);
    *out = labels_builder_finish(&builder);
    return !parser->err;
}
