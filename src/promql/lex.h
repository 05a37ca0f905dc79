/* promql/lex.h: text to tokens, for the parser alone. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "promql/ast.h"

enum token_type {
    TOKEN_EOF,
    TOKEN_ERROR, /* the lexer has failed */
    /* With a text of their own. */
    TOKEN_IDENTIFIER,
    TOKEN_METRIC_IDENTIFIER, /* with a colon */
    TOKEN_STRING,            /* with its quotes */
    TOKEN_NUMBER,
    TOKEN_DURATION,
    /* Punctuation. */
    TOKEN_COLON,
    TOKEN_COMMA,
    TOKEN_EQL, /* = */
    TOKEN_LEFT_BRACE,
    TOKEN_LEFT_BRACKET,
    TOKEN_LEFT_PAREN,
    TOKEN_RIGHT_BRACE,
    TOKEN_RIGHT_BRACKET,
    TOKEN_RIGHT_PAREN,
    /* Operators. */
    TOKEN_ADD,
    TOKEN_AND,
    TOKEN_AT,
    TOKEN_ATAN2,
    TOKEN_DIV,
    TOKEN_EQLC, /* == */
    TOKEN_EQL_REGEX,
    TOKEN_GTE,
    TOKEN_GTR,
    TOKEN_LSS,
    TOKEN_LTE,
    TOKEN_MOD,
    TOKEN_MUL,
    TOKEN_NEQ,
    TOKEN_NEQ_REGEX,
    TOKEN_OR,
    TOKEN_POW,
    TOKEN_SUB,
    TOKEN_TRIM_LOWER,
    TOKEN_TRIM_UPPER,
    TOKEN_UNLESS,
    /* Aggregations, in the order of enum aggregate_op. */
    TOKEN_SUM,
    TOKEN_AVG,
    TOKEN_COUNT,
    TOKEN_MIN,
    TOKEN_MAX,
    TOKEN_GROUP,
    TOKEN_STDDEV,
    TOKEN_STDVAR,
    TOKEN_TOPK,
    TOKEN_BOTTOMK,
    TOKEN_LIMITK,
    TOKEN_LIMIT_RATIO,
    TOKEN_QUANTILE,
    TOKEN_COUNT_VALUES,
    /* Keywords. */
    TOKEN_ANCHORED,
    TOKEN_BOOL,
    TOKEN_BY,
    TOKEN_FILL,
    TOKEN_FILL_LEFT,
    TOKEN_FILL_RIGHT,
    TOKEN_GROUP_LEFT,
    TOKEN_GROUP_RIGHT,
    TOKEN_IGNORING,
    TOKEN_OFFSET,
    TOKEN_ON,
    TOKEN_SMOOTHED,
    TOKEN_WITHOUT,
    /* Words that are functions of the query's own times. */
    TOKEN_START,
    TOKEN_END,
    TOKEN_STEP,
    TOKEN_RANGE,
    TOKEN_MAX_OF,
    TOKEN_MIN_OF,
};

struct token {
    enum token_type type;
    struct position position;
    struct str text; /* as written */
};

enum lex_state { LEX_STATEMENTS, LEX_BRACES, LEX_DURATION };

struct lexer {
    struct str text;
    size_t pos, start; /* next byte; first byte of the token under way */
    size_t last_pos;   /* start of the last token given out */
    size_t paren_depth;
    enum lex_state state; /* LEX_DURATION: since '[', until the first number */
    bool brace_open, bracket_open, got_colon, got_duration;
    bool unquoted_utf8_names; /* names may have letters of any script, and dots behind the first */
};

void lexer_init(struct lexer *lexer, struct str text, bool unquoted_utf8_names);

/* The next token but for comments. An error is ERROR_INVALID and complete with its position; do not
 * go on after it. */
MUST_CHECK struct error *lexer_next(struct lexer *lexer, struct token *out);

/* Whether a name can be written without quotes where such names are on. */
bool name_is_unquoted_utf8(struct str name);

/* As errors name it: identifier "foo", <by>, <op:+>, end of input. */
void token_describe(struct buf *out, const struct token *token);

/* "1:5: parse error: " and the formatted text, as ERROR_INVALID. */
struct error *parse_error_create(struct str text, size_t pos, const char *format, ...)
    PRINTF_LIKE(3, 4) MUST_CHECK;
