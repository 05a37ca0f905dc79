#include "promql/lex.h"

#include <stdarg.h>
#include <strings.h>

#include "model/quote.h"
#include "promql/literal.h"
#include "promql/parse.h"

enum { RUNE_END = -1 };

enum token_class { CLASS_NAMED, CLASS_PLAIN, CLASS_OPERATOR, CLASS_AGGREGATION, CLASS_KEYWORD };

static const struct word {
    const char *text;
    enum token_type type;
} words[] = {
    {"anchored", TOKEN_ANCHORED},
    {"and", TOKEN_AND},
    {"atan2", TOKEN_ATAN2},
    {"avg", TOKEN_AVG},
    {"bool", TOKEN_BOOL},
    {"bottomk", TOKEN_BOTTOMK},
    {"by", TOKEN_BY},
    {"count", TOKEN_COUNT},
    {"count_values", TOKEN_COUNT_VALUES},
    {"end", TOKEN_END},
    {"fill", TOKEN_FILL},
    {"fill_left", TOKEN_FILL_LEFT},
    {"fill_right", TOKEN_FILL_RIGHT},
    {"group", TOKEN_GROUP},
    {"group_left", TOKEN_GROUP_LEFT},
    {"group_right", TOKEN_GROUP_RIGHT},
    {"ignoring", TOKEN_IGNORING},
    {"inf", TOKEN_NUMBER},
    {"limit_ratio", TOKEN_LIMIT_RATIO},
    {"limitk", TOKEN_LIMITK},
    {"max", TOKEN_MAX},
    {"max_of", TOKEN_MAX_OF},
    {"min", TOKEN_MIN},
    {"min_of", TOKEN_MIN_OF},
    {"nan", TOKEN_NUMBER},
    {"offset", TOKEN_OFFSET},
    {"on", TOKEN_ON},
    {"or", TOKEN_OR},
    {"quantile", TOKEN_QUANTILE},
    {"range", TOKEN_RANGE},
    {"smoothed", TOKEN_SMOOTHED},
    {"start", TOKEN_START},
    {"stddev", TOKEN_STDDEV},
    {"stdvar", TOKEN_STDVAR},
    {"step", TOKEN_STEP},
    {"sum", TOKEN_SUM},
    {"topk", TOKEN_TOPK},
    {"unless", TOKEN_UNLESS},
    {"without", TOKEN_WITHOUT},
};

static const struct word *word_find(struct str text)
{
    for (size_t i = 0; i < countof(words); i++)
        if (strlen(words[i].text) == text.len &&
            strncasecmp(words[i].text, text.data, text.len) == 0)
            return &words[i];
    return NULL;
}

static enum token_class token_class(enum token_type type)
{
    if (type <= TOKEN_DURATION)
        return CLASS_NAMED;
    if (type >= TOKEN_ADD && type <= TOKEN_UNLESS)
        return CLASS_OPERATOR;
    if (type >= TOKEN_SUM && type <= TOKEN_COUNT_VALUES)
        return CLASS_AGGREGATION;
    if (type >= TOKEN_ANCHORED && type <= TOKEN_WITHOUT)
        return CLASS_KEYWORD;
    return CLASS_PLAIN;
}

static void append_quoted_beginning(struct buf *out, struct str text)
{
    size_t end = 0;
    for (int runes = 0; runes < 10 && end < text.len; runes++)
        str_next_rune(text, &end);
    quote_append(out, str_slice(text, 0, end));
    buf_append_cstr(out, "...");
}

void token_describe(struct buf *out, const struct token *token)
{
    static const char *const names[] = {
        [TOKEN_IDENTIFIER] = "identifier ", [TOKEN_METRIC_IDENTIFIER] = "metric identifier ",
        [TOKEN_STRING] = "string ",         [TOKEN_NUMBER] = "number ",
        [TOKEN_DURATION] = "duration ",
    };
    if (token->type == TOKEN_EOF) {
        buf_append_cstr(out, "end of input");
        return;
    }
    switch (token_class(token->type)) {
    case CLASS_KEYWORD:
        buf_printf(out, "<%.*s>", STR_ARG(token->text));
        return;
    case CLASS_OPERATOR:
        buf_printf(out, "<op:%.*s>", STR_ARG(token->text));
        return;
    case CLASS_AGGREGATION:
        buf_printf(out, "<aggr:%.*s>", STR_ARG(token->text));
        return;
    case CLASS_NAMED:
        buf_append_cstr(out, names[token->type]);
        break;
    case CLASS_PLAIN:
        break;
    }
    bool is_name = token->type == TOKEN_IDENTIFIER || token->type == TOKEN_METRIC_IDENTIFIER;
    if (!is_name && token->text.len > 10)
        append_quoted_beginning(out, token->text);
    else
        quote_append(out, token->text);
}

struct error *parse_error_create(struct str text, size_t pos, const char *format, ...)
{
    struct buf out = {0};
    struct position position = {(uint32_t)pos, (uint32_t)pos};
    promql_position_print(&out, text, position);
    buf_append_cstr(&out, ": parse error: ");
    va_list args;
    va_start(args, format);
    buf_vprintf(&out, format, args);
    va_end(args);
    struct error *err = error_create(ERROR_INVALID, "%.*s", STR_ARG(buf_str(&out)));
    buf_deinit(&out);
    return err;
}

void lexer_init(struct lexer *lexer, struct str text, bool unquoted_utf8_names)
{
    *lexer = (struct lexer){.text = text, .unquoted_utf8_names = unquoted_utf8_names};
}

/* Code point at pos and the position behind it; broken bytes are U+FFFD, one by one. */
static int32_t rune_at(const struct lexer *lexer, size_t pos, size_t *next)
{
    *next = pos;
    if (pos >= lexer->text.len)
        return RUNE_END;
    unsigned char c = (unsigned char)lexer->text.data[pos];
    if (c < 0x80) {
        *next = pos + 1;
        return c;
    }
    return (int32_t)str_next_rune(lexer->text, next);
}

static int32_t peek(const struct lexer *lexer)
{
    size_t next;
    return rune_at(lexer, lexer->pos, &next);
}

static int32_t advance(struct lexer *lexer)
{
    return rune_at(lexer, lexer->pos, &lexer->pos);
}

static bool accept(struct lexer *lexer, const char *set)
{
    int32_t rune = peek(lexer);
    if (rune <= 0 || rune >= 0x80 || !strchr(set, (char)rune))
        return false;
    lexer->pos++;
    return true;
}

static bool is_one_of(int32_t rune, const char *set)
{
    return rune > 0 && rune < 0x80 && strchr(set, (char)rune);
}

static bool is_space(int32_t rune)
{
    return rune == ' ' || rune == '\t' || rune == '\n' || rune == '\r';
}

static bool is_digit(int32_t rune)
{
    return rune >= '0' && rune <= '9';
}

static bool is_alpha(int32_t rune)
{
    return rune == '_' || (rune >= 'a' && rune <= 'z') || (rune >= 'A' && rune <= 'Z');
}

static bool is_word(int32_t rune)
{
    return is_alpha(rune) || is_digit(rune);
}

static bool starts_name(const struct lexer *lexer, int32_t rune)
{
    if (is_alpha(rune))
        return true;
    return lexer->unquoted_utf8_names && rune >= 0x80 && rune_is_letter((uint32_t)rune);
}

static bool continues_name(const struct lexer *lexer, int32_t rune)
{
    return starts_name(lexer, rune) || is_digit(rune) ||
           (lexer->unquoted_utf8_names && rune == '.');
}

bool name_is_unquoted_utf8(struct str name)
{
    struct lexer lexer;
    lexer_init(&lexer, name, true);
    if (!starts_name(&lexer, advance(&lexer)))
        return false;
    while (lexer.pos < name.len)
        if (!continues_name(&lexer, advance(&lexer)))
            return false;
    return true;
}

static struct error *fail(const struct lexer *lexer, const char *text)
{
    return parse_error_create(lexer->text, lexer->start, "%s", text);
}

/* "<before>'x'<after>" */
static struct error *fail_at_rune(const struct lexer *lexer, const char *before, int32_t rune,
                                  const char *after)
{
    struct buf out = {0};
    buf_append_cstr(&out, before);
    rune_quote_append(&out, rune == RUNE_END ? RUNE_BROKEN : (uint32_t)rune);
    buf_append_cstr(&out, after);
    struct error *err =
        parse_error_create(lexer->text, lexer->start, "%.*s", STR_ARG(buf_str(&out)));
    buf_deinit(&out);
    return err;
}

static struct error *fail_at_text(const struct lexer *lexer, const char *before)
{
    struct buf out = {0};
    buf_append_cstr(&out, before);
    quote_append(&out, str_slice(lexer->text, lexer->start, lexer->pos));
    struct error *err =
        parse_error_create(lexer->text, lexer->start, "%.*s", STR_ARG(buf_str(&out)));
    buf_deinit(&out);
    return err;
}

static struct error *emit(struct lexer *lexer, enum token_type type, struct token *out)
{
    out->type = type;
    out->position = (struct position){(uint32_t)lexer->start, (uint32_t)lexer->pos};
    out->text = str_slice(lexer->text, lexer->start, lexer->pos);
    lexer->last_pos = lexer->start;
    lexer->start = lexer->pos;
    return NULL;
}

static void skip_spaces(struct lexer *lexer)
{
    while (is_space(peek(lexer)))
        lexer->pos++;
    lexer->start = lexer->pos;
}

static void skip_comment(struct lexer *lexer)
{
    while (lexer->pos < lexer->text.len && lexer->text.data[lexer->pos] != '\n' &&
           lexer->text.data[lexer->pos] != '\r')
        lexer->pos++;
    lexer->start = lexer->pos;
}

static int digit_value(int32_t rune)
{
    if (is_digit(rune))
        return rune - '0';
    if (rune >= 'a' && rune <= 'f')
        return rune - 'a' + 10;
    if (rune >= 'A' && rune <= 'F')
        return rune - 'A' + 10;
    return 16;
}

static struct error *fail_at_escape(const struct lexer *lexer, const char *before, int32_t rune,
                                    const char *after)
{
    if (rune == RUNE_END)
        return fail(lexer, "escape sequence not terminated");
    struct buf out = {0};
    buf_printf(&out, "%sU+%04X", before, (unsigned)rune);
    if (rune_is_printable((uint32_t)rune)) {
        buf_append_cstr(&out, " '");
        rune_append(&out, (uint32_t)rune);
        buf_append_byte(&out, '\'');
    }
    buf_append_cstr(&out, after);
    struct error *err =
        parse_error_create(lexer->text, lexer->start, "%.*s", STR_ARG(buf_str(&out)));
    buf_deinit(&out);
    return err;
}

/* Behind a backslash. */
static struct error *lex_escape(struct lexer *lexer, int32_t quote)
{
    int32_t rune = advance(lexer);
    if (rune == quote || is_one_of(rune, "abfnrtv\\"))
        return NULL;
    int digits = 0;
    unsigned base = 16, limit = 0x10ffff, value = 0;
    if (rune >= '0' && rune <= '7') {
        digits = 3, base = 8, limit = 255;
    } else if (is_one_of(rune, "xuU")) {
        digits = rune == 'x' ? 2 : rune == 'u' ? 4 : 8;
        limit = rune == 'x' ? 255 : limit;
        rune = advance(lexer);
    } else {
        return fail_at_escape(lexer, "unknown escape sequence ", rune, "");
    }
    while (true) {
        unsigned digit = (unsigned)digit_value(rune);
        if (digit >= base)
            return fail_at_escape(lexer, "illegal character ", rune, " in escape sequence");
        value = value * base + digit;
        if (--digits == 0)
            break;
        rune = advance(lexer);
    }
    if (value > limit || (value >= 0xd800 && value < 0xe000))
        return fail(lexer, "escape sequence is an invalid Unicode code point");
    return NULL;
}

static struct error *lex_string(struct lexer *lexer, int32_t quote, struct token *out)
{
    while (true) {
        int32_t rune = advance(lexer);
        if (rune == quote)
            break;
        struct error *err = NULL;
        if (rune == '\\')
            err = lex_escape(lexer, quote);
        else if (rune == RUNE_BROKEN)
            err = fail(lexer, "invalid UTF-8 rune");
        else if (rune == RUNE_END || rune == '\n')
            err = fail(lexer, "unterminated quoted string");
        if (err)
            return err;
    }
    return emit(lexer, TOKEN_STRING, out);
}

static struct error *lex_raw_string(struct lexer *lexer, struct token *out)
{
    while (true) {
        int32_t rune = advance(lexer);
        if (rune == '`')
            return emit(lexer, TOKEN_STRING, out);
        if (rune == RUNE_BROKEN)
            return fail(lexer, "invalid UTF-8 rune");
        if (rune == RUNE_END)
            return fail(lexer, "unterminated raw string");
    }
}

/* Takes what looks like a number, perhaps not a valid one: false when it cannot be one. What has
 * been taken then is the beginning of a duration or of the bad text that the error shows. */
static bool scan_number(struct lexer *lexer)
{
    const char *digits = "0123456789", *more = "0123456789._eE";
    size_t start = lexer->pos;
    bool is_hex = false, had_dot = false, had_exponent = false;
    if (accept(lexer, "0") && accept(lexer, "xX")) {
        accept(lexer, "_");
        digits = "0123456789abcdefABCDEF", more = "0123456789abcdefABCDEF._";
        is_hex = true;
    }
    accept(lexer, ".");
    accept(lexer, digits);
    while (is_one_of(peek(lexer), more)) {
        if (is_one_of(peek(lexer), "eE")) {
            if (had_exponent) {
                lexer->pos++;
                return false;
            }
        }
        if (accept(lexer, ".")) {
            if (had_dot || accept(lexer, "_.") || is_hex)
                return false;
            had_dot = true;
        } else if (accept(lexer, "eE")) {
            had_exponent = true;
            accept(lexer, "+-");
            if (accept(lexer, "._eE") || peek(lexer) == RUNE_END)
                return false;
        } else if (accept(lexer, "_")) {
            if (accept(lexer, "._eE") || peek(lexer) == RUNE_END)
                return false;
        } else {
            while (accept(lexer, digits))
                ;
        }
    }
    return lexer->pos > start && !is_word(peek(lexer));
}

/* Behind the first number of a duration: units and further numbers. Takes one code point more. */
static bool scan_duration(struct lexer *lexer)
{
    if (!accept(lexer, "smhdwy"))
        return false;
    accept(lexer, "s"); /* of ms; what is not a unit is found when the duration is read */
    while (accept(lexer, "0123456789")) {
        while (accept(lexer, "0123456789"))
            ;
        if (!accept(lexer, "smhdw"))
            return false;
        accept(lexer, "s");
    }
    return true;
}

static struct error *lex_number(struct lexer *lexer, struct token *out)
{
    lexer->state = LEX_STATEMENTS;
    if (scan_number(lexer))
        return emit(lexer, TOKEN_NUMBER, out);
    if (scan_duration(lexer)) {
        if (!is_word(peek(lexer)))
            return emit(lexer, TOKEN_DURATION, out);
        advance(lexer); /* the error shows it */
    }
    return fail_at_text(lexer, "bad number or duration syntax: ");
}

static bool is_followed_by_paren(const struct lexer *lexer)
{
    size_t pos = lexer->pos;
    while (pos < lexer->text.len && is_space(lexer->text.data[pos]))
        pos++;
    return pos < lexer->text.len && lexer->text.data[pos] == '(';
}

static struct error *lex_word(struct lexer *lexer, struct token *out)
{
    bool has_colon = false;
    while (continues_name(lexer, peek(lexer)) || peek(lexer) == ':')
        has_colon |= advance(lexer) == ':';
    const struct word *word =
        has_colon ? NULL : word_find(str_slice(lexer->text, lexer->start, lexer->pos));
    if (!word)
        return emit(lexer, has_colon ? TOKEN_METRIC_IDENTIFIER : TOKEN_IDENTIFIER, out);
    /* So that metrics may have these names, the modifiers need their parentheses. */
    bool is_fill = word->type >= TOKEN_FILL && word->type <= TOKEN_FILL_RIGHT;
    if (is_fill && !is_followed_by_paren(lexer))
        return emit(lexer, TOKEN_IDENTIFIER, out);
    return emit(lexer, word->type, out);
}

/* A word that may stand in brackets; its first letter has been taken. */
static bool lex_duration_word(struct lexer *lexer, struct token *out)
{
    while (is_alpha(peek(lexer)))
        lexer->pos++;
    const struct word *word = word_find(str_slice(lexer->text, lexer->start, lexer->pos));
    if (!word || word->type < TOKEN_STEP)
        return false;
    emit(lexer, word->type, out);
    return true;
}

static struct error *lex_right_paren(struct lexer *lexer, struct token *out)
{
    emit(lexer, TOKEN_RIGHT_PAREN, out);
    if (lexer->paren_depth == 0)
        return fail_at_rune(lexer, "unexpected right parenthesis ", ')', "");
    lexer->paren_depth--;
    return NULL;
}

static struct error *lex_in_braces(struct lexer *lexer, struct token *out)
{
    int32_t rune = advance(lexer);
    switch (rune) {
    case RUNE_END:
        return fail(lexer, "unexpected end of input inside braces");
    case ',':
        return emit(lexer, TOKEN_COMMA, out);
    case '"':
    case '\'':
        return lex_string(lexer, rune, out);
    case '`':
        return lex_raw_string(lexer, out);
    case '=':
        return emit(lexer, accept(lexer, "~") ? TOKEN_EQL_REGEX : TOKEN_EQL, out);
    case '!':
        if (accept(lexer, "~"))
            return emit(lexer, TOKEN_NEQ_REGEX, out);
        if (accept(lexer, "="))
            return emit(lexer, TOKEN_NEQ, out);
        return fail_at_rune(lexer, "unexpected character after '!' inside braces: ", advance(lexer),
                            "");
    case '{':
        return fail_at_rune(lexer, "unexpected left brace ", rune, "");
    case '}':
        lexer->brace_open = false;
        return emit(lexer, TOKEN_RIGHT_BRACE, out);
    default:
        break;
    }
    if (!starts_name(lexer, rune))
        return fail_at_rune(lexer, "unexpected character inside braces: ", rune, "");
    while (continues_name(lexer, peek(lexer)))
        advance(lexer);
    return emit(lexer, TOKEN_IDENTIFIER, out);
}

static enum token_type arithmetic_token(int32_t rune)
{
    static const struct {
        char rune;
        enum token_type type;
    } tokens[] = {{'+', TOKEN_ADD}, {'-', TOKEN_SUB}, {'*', TOKEN_MUL},  {'/', TOKEN_DIV},
                  {'%', TOKEN_MOD}, {'^', TOKEN_POW}, {',', TOKEN_COMMA}};
    for (size_t i = 0; i < countof(tokens); i++)
        if (tokens[i].rune == rune)
            return tokens[i].type;
    return TOKEN_ERROR;
}

/* From '[' to the first number, with its own texts for errors. */
static struct error *lex_in_brackets(struct lexer *lexer, struct token *out)
{
    skip_spaces(lexer);
    int32_t rune = advance(lexer);
    if (arithmetic_token(rune) != TOKEN_ERROR)
        return emit(lexer, arithmetic_token(rune), out);
    switch (rune) {
    case RUNE_END:
        return fail(lexer, "unexpected end of input in duration expression");
    case ']':
        lexer->bracket_open = lexer->got_colon = false;
        lexer->state = LEX_STATEMENTS;
        return emit(lexer, TOKEN_RIGHT_BRACKET, out);
    case ':':
        emit(lexer, TOKEN_COLON, out);
        if (!lexer->got_duration)
            return fail(lexer, "unexpected colon before duration in duration expression");
        if (lexer->got_colon)
            return fail(lexer, "unexpected repeated colon in duration expression");
        lexer->got_colon = true;
        return NULL;
    case '(':
        lexer->paren_depth++;
        return emit(lexer, TOKEN_LEFT_PAREN, out);
    case ')':
        return lex_right_paren(lexer, out);
    default:
        break;
    }
    if (is_digit(rune) || (rune == '.' && is_digit(peek(lexer)))) {
        lexer->pos--;
        lexer->got_duration = true;
        return lex_number(lexer, out);
    }
    if (is_one_of(rune, "srmSRM") && lex_duration_word(lexer, out)) {
        lexer->got_duration = true;
        return NULL;
    }
    return fail_at_rune(lexer, "unexpected character in duration expression: ", rune, "");
}

/* A word or a colon outside of braces; it has been taken. */
static struct error *lex_letter(struct lexer *lexer, int32_t rune, struct token *out)
{
    if (!lexer->bracket_open) {
        lexer->pos = lexer->start;
        return lex_word(lexer, out);
    }
    if (rune == ':' && lexer->got_colon)
        return fail_at_rune(lexer, "unexpected colon ", rune, "");
    if (rune == ':') {
        lexer->got_colon = true;
        return emit(lexer, TOKEN_COLON, out);
    }
    if (is_one_of(rune, "srmSRM") && lex_duration_word(lexer, out))
        return NULL;
    return fail_at_rune(lexer, "unexpected character: ", rune, ", expected ':'");
}

static struct error *lex_comparison(struct lexer *lexer, int32_t rune, struct token *out)
{
    switch (rune) {
    case '=':
        if (accept(lexer, "="))
            return emit(lexer, TOKEN_EQLC, out);
        if (peek(lexer) == '~')
            return fail_at_rune(lexer, "unexpected character after '=': ", '~', "");
        return emit(lexer, TOKEN_EQL, out);
    case '!':
        if (accept(lexer, "="))
            return emit(lexer, TOKEN_NEQ, out);
        return fail_at_rune(lexer, "unexpected character after '!': ", peek(lexer), "");
    case '<':
        if (accept(lexer, "="))
            return emit(lexer, TOKEN_LTE, out);
        return emit(lexer, accept(lexer, "/") ? TOKEN_TRIM_UPPER : TOKEN_LSS, out);
    default:
        if (accept(lexer, "="))
            return emit(lexer, TOKEN_GTE, out);
        return emit(lexer, accept(lexer, "/") ? TOKEN_TRIM_LOWER : TOKEN_GTR, out);
    }
}

static struct error *lex_end(struct lexer *lexer, struct token *out)
{
    if (lexer->paren_depth != 0)
        return fail(lexer, "unclosed left parenthesis");
    if (lexer->bracket_open)
        return fail(lexer, "unclosed left bracket");
    return emit(lexer, TOKEN_EOF, out);
}

static struct error *lex_left_bracket(struct lexer *lexer, struct token *out)
{
    if (lexer->bracket_open)
        return fail_at_rune(lexer, "unexpected left bracket ", '[', "");
    lexer->got_colon = lexer->got_duration = false;
    lexer->bracket_open = true;
    lexer->state = LEX_DURATION;
    return emit(lexer, TOKEN_LEFT_BRACKET, out);
}

static struct error *lex_statement(struct lexer *lexer, struct token *out)
{
    int32_t rune = advance(lexer);
    if (arithmetic_token(rune) != TOKEN_ERROR)
        return emit(lexer, arithmetic_token(rune), out);
    switch (rune) {
    case RUNE_END:
        return lex_end(lexer, out);
    case '=':
    case '!':
    case '<':
    case '>':
        return lex_comparison(lexer, rune, out);
    case '"':
    case '\'':
        return lex_string(lexer, rune, out);
    case '`':
        return lex_raw_string(lexer, out);
    case '(':
        lexer->paren_depth++;
        return emit(lexer, TOKEN_LEFT_PAREN, out);
    case ')':
        return lex_right_paren(lexer, out);
    case '{':
        lexer->brace_open = true;
        return emit(lexer, TOKEN_LEFT_BRACE, out);
    case '[':
        return lex_left_bracket(lexer, out);
    case ']':
        if (!lexer->bracket_open)
            return fail_at_rune(lexer, "unexpected right bracket ", rune, "");
        lexer->bracket_open = false;
        return emit(lexer, TOKEN_RIGHT_BRACKET, out);
    case '@':
        return emit(lexer, TOKEN_AT, out);
    default:
        break;
    }
    if (is_digit(rune) || (rune == '.' && is_digit(peek(lexer)))) {
        lexer->pos--;
        return lex_number(lexer, out);
    }
    if (starts_name(lexer, rune) || rune == ':')
        return lex_letter(lexer, rune, out);
    return fail_at_rune(lexer, "unexpected character: ", rune, "");
}

struct error *lexer_next(struct lexer *lexer, struct token *out)
{
    if (lexer->state == LEX_DURATION)
        return lex_in_brackets(lexer, out);
    while (is_space(peek(lexer)) || peek(lexer) == '#') {
        skip_spaces(lexer);
        if (peek(lexer) == '#')
            skip_comment(lexer);
    }
    return lexer->brace_open ? lex_in_braces(lexer, out) : lex_statement(lexer, out);
}
