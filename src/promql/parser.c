#include "promql/parser.h"

#include <stdarg.h>

#include "model/quote.h"

void parser_init(struct parser *parser, struct str text, const struct parse_options *options,
                 struct arena *arena)
{
    *parser = (struct parser){.arena = arena};
    if (options)
        parser->options = *options;
    lexer_init(&parser->lexer, text, parser->options.unquoted_utf8_names);
}

static bool token_closes(enum token_type type)
{
    return type == TOKEN_RIGHT_BRACE || type == TOKEN_RIGHT_BRACKET || type == TOKEN_RIGHT_PAREN ||
           type == TOKEN_NUMBER || type == TOKEN_DURATION;
}

enum token_type parser_peek(struct parser *parser)
{
    if (parser->err)
        return TOKEN_ERROR;
    if (parser->has_token)
        return parser->token.type;
    parser->err = lexer_next(&parser->lexer, &parser->token);
    if (parser->err)
        return TOKEN_ERROR;
    parser->has_token = true;
    if (token_closes(parser->token.type))
        parser->last_closing = parser->token.position.end;
    return parser->token.type;
}

struct token parser_take(struct parser *parser)
{
    parser_peek(parser);
    parser->has_token = false;
    return parser->token;
}

bool parser_accept(struct parser *parser, enum token_type type)
{
    if (parser_peek(parser) != type)
        return false;
    parser->has_token = false;
    return true;
}

bool parser_expect(struct parser *parser, enum token_type type)
{
    if (parser_accept(parser, type))
        return true;
    return parser_unexpected(parser);
}

void *parser_unexpected(struct parser *parser)
{
    return parser_unexpected_in(parser, parser->place.context, parser->place.expected);
}

void *parser_unexpected_in(struct parser *parser, const char *context, const char *expected)
{
    if (parser->err)
        return NULL;
    struct buf out = {0};
    buf_append_cstr(&out, "unexpected ");
    token_describe(&out, &parser->token);
    if (context)
        buf_printf(&out, " in %s", context);
    if (expected)
        buf_printf(&out, ", expected %s", expected);
    parser_fail(parser, parser->token.position.start, "%.*s", STR_ARG(buf_str(&out)));
    buf_deinit(&out);
    return NULL;
}

void *parser_fail(struct parser *parser, size_t pos, const char *format, ...)
{
    if (parser->err)
        return NULL;
    struct buf out = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&out, format, args);
    va_end(args);
    parser->err = parse_error_create(parser->lexer.text, pos, "%.*s", STR_ARG(buf_str(&out)));
    buf_deinit(&out);
    return NULL;
}

void *parser_fail_quoted(struct parser *parser, size_t pos, const char *before, struct str quoted)
{
    struct buf out = {0};
    buf_append_cstr(&out, before);
    quote_append(&out, quoted);
    parser_fail(parser, pos, "%.*s", STR_ARG(buf_str(&out)));
    buf_deinit(&out);
    return NULL;
}

void *parser_fail_with(struct parser *parser, size_t pos, struct error *err)
{
    if (error_kind(err) == ERROR_INVALID) {
        parser_fail(parser, pos, "%.*s", STR_ARG(error_text(err)));
        error_free(err);
    } else {
        error_keep_first(&parser->err, err);
    }
    return NULL;
}

void *parser_fail_depth(struct parser *parser, size_t pos)
{
    return parser_fail(parser, pos, "expression is nested too deeply: more than %d levels",
                       PROMQL_DEPTH_MAX);
}

bool parser_enter(struct parser *parser)
{
    if (++parser->depth <= PROMQL_DEPTH_MAX)
        return true;
    parser_peek(parser);
    return parser_fail_depth(parser, parser->token.position.start);
}

struct expr *parser_new(struct parser *parser, enum expr_kind kind, struct position position,
                        const struct expr *left, const struct expr *right)
{
    struct expr *expr = arena_zalloc(parser->arena, sizeof(*expr));
    expr->kind = kind;
    expr->position = position;
    expr->unquoted_names = parser->options.unquoted_utf8_names;
    uint32_t height = left ? left->height : 0;
    if (right && right->height > height)
        height = right->height;
    expr->height = height + 1;
    return expr;
}

void promql_position_print(struct buf *out, struct str text, struct position position)
{
    if (text.len == 0) {
        buf_append_cstr(out, "unknown position");
        return;
    }
    size_t line = 1, line_start = 0;
    for (size_t i = 0; i < position.start && i < text.len; i++) {
        if (text.data[i] == '\n') {
            line++;
            line_start = i + 1;
        }
    }
    buf_printf(out, "%zu:%zu", line, position.start - line_start + 1);
}
