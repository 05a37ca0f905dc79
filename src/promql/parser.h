/* promql/parser.h: the state of one parse, shared by the parser's files alone.
 *
 * The grammar is Prometheus's, which is a yacc one; this parser goes down by hand. To name errors
 * as yacc's does, it keeps the innermost place that has words for an error (`place`): yacc would
 * unwind to it. The first error ends the parse: functions give NULL or false then, and `err` is
 * set. */
#pragma once

#include "promql/lex.h"
#include "promql/parse.h"

struct parse_place {
    const char *context, *expected; /* "unexpected X in <context>, expected <expected>", or NULL */
};

struct parser {
    struct lexer lexer;
    struct token token; /* the next one, while has_token */
    bool has_token;
    size_t last_closing; /* end of the last token read that may close an expression */
    struct parse_options options;
    struct arena *arena;
    struct parse_place place;
    unsigned depth;
    size_t regex_count;
    struct error *err;
};

void parser_init(struct parser *parser, struct str text, const struct parse_options *options,
                 struct arena *arena);
/* Type of the next token, TOKEN_ERROR after an error. */
enum token_type parser_peek(struct parser *parser);
/* Takes the next token. */
struct token parser_take(struct parser *parser);
bool parser_accept(struct parser *parser, enum token_type type);
/* Takes a token of that type or fails at the current place. */
bool parser_expect(struct parser *parser, enum token_type type);

/* The next token cannot be here. Gives NULL. */
void *parser_unexpected(struct parser *parser);
void *parser_unexpected_in(struct parser *parser, const char *context, const char *expected);
/* Gives NULL. */
void *parser_fail(struct parser *parser, size_t pos, const char *format, ...) PRINTF_LIKE(3, 4);
/* `before` and a text in quotes. */
void *parser_fail_quoted(struct parser *parser, size_t pos, const char *before, struct str quoted);
/* Takes err, which has no position. */
void *parser_fail_with(struct parser *parser, size_t pos, struct error *err);
void *parser_fail_depth(struct parser *parser, size_t pos);

/* One level down: false when that is too deep. */
bool parser_enter(struct parser *parser);

struct expr *parser_new(struct parser *parser, enum expr_kind kind, struct position position,
                        const struct expr *left, const struct expr *right);

/* parse_duration.c */
struct expr *parse_number_literal(struct parser *parser);
struct expr *parse_range_duration(struct parser *parser); /* in brackets; greater than 0 */
struct expr *parse_offset_duration(struct parser *parser);
struct duration duration_from_expr(const struct expr *expr);

/* parse_selector.c */
struct str parse_string(struct parser *parser);
bool token_is_metric_name(enum token_type type);
/* name: of the metric, already taken, or NULL when the next token is '{'. */
struct expr *parse_vector_selector(struct parser *parser, const struct token *name);
struct expr *parse_selector(struct parser *parser);
bool parse_metric(struct parser *parser, struct labels *out);

/* check.c: types and other rules that need the whole tree. */
bool expr_check(struct parser *parser, struct expr *expr);
