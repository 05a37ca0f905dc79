/* Between Prometheus's expressions and RE2: what Go's syntax has and RE2's has not is rewritten or
 * refused, and plain expressions (a|b|c, abc, .*, abc.*) are matched without the engine. */
#include "codec/regex.h"

#include <stdlib.h>

#include "base/memory.h"
#include "codec/regex_re2.h"

enum regex_kind {
    REGEX_ENGINE,
    REGEX_LITERAL, /* abc */
    REGEX_ANY,     /* .* */
    REGEX_SOME,    /* .+ */
    REGEX_PREFIX,  /* abc.* */
};

struct regex {
    char *text;
    size_t len;
    enum regex_kind kind;
    char *literal; /* of REGEX_LITERAL and REGEX_PREFIX */
    size_t literal_len;
    struct regex_re2 *engine;
};

static struct str regex_str(const struct regex *regex)
{
    return (struct str){regex->text, regex->len};
}

/* Length of the bracket expression that begins at `at`, by its syntax alone. */
static size_t class_length(struct str text, size_t at)
{
    size_t i = at + 1;
    if (i < text.len && text.data[i] == '^')
        i++;
    if (i < text.len && text.data[i] == ']')
        i++;
    for (; i < text.len && text.data[i] != ']'; i++) {
        if (text.data[i] == '\\') {
            i++;
        } else if (text.data[i] == '[' && i + 1 < text.len && text.data[i + 1] == ':') {
            /* the name lies behind both characters: "[:]" does not open one */
            struct str rest = str_slice(text, i + 2, text.len);
            const char *end = memmem(rest.data, rest.len, ":]", 2);
            if (end)
                i = (size_t)(end - text.data) + 1;
        }
    }
    return size_min(i + 1, text.len) - at;
}

/* Length of what begins at `at` and must be copied as a whole: \Q...\E, an escape, a class. */
static size_t unit_length(struct str text, size_t at)
{
    if (text.data[at] == '[')
        return class_length(text, at);
    if (text.data[at] != '\\' || at + 1 >= text.len)
        return 1;
    if (text.data[at + 1] != 'Q')
        return 2;
    const char *end = memmem(text.data + at, text.len - at, "\\E", 2);
    return end ? (size_t)(end - text.data) + 2 - at : text.len - at;
}

static struct error *rewrite(struct str text, struct buf *out)
{
    for (size_t at = 0; at < text.len;) {
        size_t len = unit_length(text, at);
        struct str unit = str_slice(text, at, at + len);
        if (str_equal(unit, STR("\\C")))
            return error_create(ERROR_INVALID,
                                "error parsing regexp: invalid escape sequence: `\\C`");
        buf_append_str(out, unit);
        at += len;
        struct str rest = str_slice(text, at, text.len);
        if (str_equal(unit, STR("(")) && str_starts_with(rest, STR("?<"))) {
            buf_append_cstr(out, "?P<");
            at += 2;
        }
    }
    return NULL;
}

static bool is_meta(char c)
{
    return c != 0 && strchr("\\.+*?()|[]{}^$", c) != NULL;
}

/* The character that an escape stands for, when it is an escaped punctuation mark. */
static bool escaped_literal(struct str text, size_t at, char *out)
{
    if (text.data[at] != '\\' || at + 1 >= text.len || !is_meta(text.data[at + 1]))
        return false;
    *out = text.data[at + 1];
    return true;
}

/* Appends the plain text at the beginning of an expression without alternatives at its top level;
 * gives where it ends. A character that a repetition may follow is not part of it. */
static size_t literal_beginning(struct str text, struct buf *out)
{
    size_t at = 0;
    while (at < text.len) {
        size_t start = at, before = out->len;
        char c = text.data[at];
        if (escaped_literal(text, at, &c)) {
            buf_append_byte(out, (uint8_t)c);
            at += 2;
        } else if (is_meta(c)) {
            return at;
        } else {
            (void)str_next_rune(text, &at);
            buf_append(out, text.data + start, at - start);
        }
        if (at < text.len && strchr("*+?{", text.data[at]) && text.data[at]) {
            out->len = before;
            return start;
        }
    }
    return at;
}

static bool has_alternatives(struct str text)
{
    for (size_t at = 0; at < text.len; at += unit_length(text, at))
        if (text.data[at] == '|')
            return true;
    return false;
}

/* Strips (?: ) or ( ) around the whole. */
static struct str without_group(struct str text)
{
    if (text.len < 2 || text.data[0] != '(')
        return text;
    size_t skip = str_starts_with(text, STR("(?:")) ? 3 : text.data[1] == '?' ? 0 : 1;
    if (skip == 0)
        return text;
    for (size_t at = skip; at < text.len; at += unit_length(text, at)) {
        if (text.data[at] == '(')
            return text;
        if (text.data[at] == ')')
            return at + 1 == text.len ? str_slice(text, skip, at) : text;
    }
    return text;
}

static void classify(struct regex *regex)
{
    struct str text = regex_str(regex);
    if (str_equal(text, STR(".*")) || str_equal(text, STR("(.*)"))) {
        regex->kind = REGEX_ANY;
    } else if (str_equal(text, STR(".+")) || str_equal(text, STR("(.+)"))) {
        regex->kind = REGEX_SOME;
    } else if (str_is_utf8(text) && !has_alternatives(text)) {
        struct buf literal = {0};
        size_t end = literal_beginning(text, &literal);
        struct str rest = str_slice(text, end, text.len);
        if (rest.len == 0)
            regex->kind = REGEX_LITERAL;
        else if (str_equal(rest, STR(".*")))
            regex->kind = REGEX_PREFIX;
        if (regex->kind != REGEX_ENGINE) {
            regex->literal = str_dup(buf_str(&literal));
            regex->literal_len = literal.len;
        }
        buf_deinit(&literal);
    }
}

struct error *regex_compile(struct str text, struct regex **out)
{
    if (text.len > REGEX_TEXT_MAX)
        return error_create(ERROR_INVALID, "regular expression of %zu bytes is too long", text.len);
    struct buf rewritten = {0};
    struct regex_re2 *engine = NULL;
    struct error *err = rewrite(text, &rewritten);
    if (!err)
        err = regex_re2_compile(buf_str(&rewritten), &engine);
    buf_deinit(&rewritten);
    if (err)
        return err;
    struct regex *regex = xcalloc(1, sizeof(*regex));
    regex->text = str_dup(text);
    regex->len = text.len;
    regex->engine = engine;
    classify(regex);
    *out = regex;
    return NULL;
}

void regex_free(struct regex *regex)
{
    if (!regex)
        return;
    regex_re2_free(regex->engine);
    free(regex->text);
    free(regex->literal);
    free(regex);
}

struct str regex_text(const struct regex *regex)
{
    return regex_str(regex);
}

bool regex_matches(const struct regex *regex, struct str text)
{
    struct str literal = {regex->literal, regex->literal_len};
    switch (regex->kind) {
    case REGEX_LITERAL:
        return str_equal(text, literal);
    case REGEX_ANY:
        return true;
    case REGEX_SOME:
        return text.len > 0;
    case REGEX_PREFIX:
        return str_starts_with(text, literal);
    case REGEX_ENGINE:
        break;
    }
    return regex_re2_match(regex->engine, text, true, NULL, 0);
}

bool regex_finds(const struct regex *regex, struct str text)
{
    return regex_re2_match(regex->engine, text, false, NULL, 0);
}

size_t regex_group_count(const struct regex *regex)
{
    return regex_re2_group_count(regex->engine);
}

bool regex_match_groups(const struct regex *regex, struct str text, struct str *groups, size_t max)
{
    return regex_re2_match(regex->engine, text, true, groups, size_min(max, REGEX_GROUPS_MAX + 1));
}

static bool is_name_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (c & 0x80);
}

/* Reads the name behind the '$' at `at`; gives the position behind it, or 0 when there is none. */
static size_t template_name(struct str text, size_t at, struct str *name)
{
    bool braces = at + 1 < text.len && text.data[at + 1] == '{';
    size_t start = at + 1 + braces, end = start;
    while (end < text.len && is_name_byte(text.data[end]))
        end++;
    if (end == start || (braces && (end >= text.len || text.data[end] != '}')))
        return 0;
    *name = str_slice(text, start, end);
    return end + braces;
}

static void expand_name(const struct regex *regex, struct str name, const struct str *groups,
                        size_t count, struct buf *out)
{
    uint64_t number = 0;
    if (!str_to_uint64(name, &number))
        number = regex_re2_group_named(regex->engine, name);
    else if (name.len > 1 && name.data[0] == '0')
        return; /* "01" is a name to Go, and no group has it */
    else if (number == 0 && count > 0)
        buf_append_str(out, groups[0]);
    if (number > 0 && number < count && groups[number].data)
        buf_append_str(out, groups[number]);
}

void regex_expand(const struct regex *regex, struct str template_text, const struct str *groups,
                  size_t count, struct buf *out)
{
    for (size_t at = 0; at < template_text.len;) {
        size_t dollar = at + str_find_char(str_slice(template_text, at, template_text.len), '$');
        buf_append_str(out, str_slice(template_text, at, dollar));
        if (dollar >= template_text.len)
            return;
        struct str name;
        if (dollar + 1 < template_text.len && template_text.data[dollar + 1] == '$') {
            buf_append_byte(out, '$');
            at = dollar + 2;
        } else if ((at = template_name(template_text, dollar, &name)) != 0) {
            expand_name(regex, name, groups, count, out);
        } else {
            buf_append_byte(out, '$');
            at = dollar + 1;
        }
    }
}

static size_t count_alternatives(struct str text)
{
    size_t count = 1;
    for (size_t at = 0; at < text.len; at += unit_length(text, at))
        count += text.data[at] == '|';
    return count;
}

static size_t sort_unique(struct str *items, size_t count)
{
    size_t kept = 0;
    qsort(items, count, sizeof(*items), str_compare_items);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !str_equal(items[kept - 1], items[i]))
            items[kept++] = items[i];
    return kept;
}

void regex_set(const struct regex *regex, struct arena *arena, const struct str **items,
               size_t *count)
{
    struct str text = without_group(regex_str(regex));
    *items = NULL;
    *count = 0;
    if (!str_is_utf8(text))
        return;
    struct str *list = arena_array(arena, count_alternatives(text), sizeof(*list));
    struct buf literal = {0};
    size_t found = 0;
    for (size_t at = 0; at <= text.len;) {
        size_t end = at;
        while (end < text.len && text.data[end] != '|')
            end += unit_length(text, end);
        struct str alternative = str_slice(text, at, end);
        buf_clear(&literal);
        if (literal_beginning(alternative, &literal) != alternative.len)
            break;
        list[found++] = arena_str(arena, buf_str(&literal));
        at = end + 1;
        if (end >= text.len) {
            *count = sort_unique(list, found);
            *items = list;
            break;
        }
    }
    buf_deinit(&literal);
}

struct str regex_prefix(const struct regex *regex, struct arena *arena)
{
    struct str text = regex_str(regex);
    if (has_alternatives(text) || !str_is_utf8(text))
        return STR("");
    struct buf literal = {0};
    literal_beginning(text, &literal);
    struct str prefix = arena_str(arena, buf_str(&literal));
    buf_deinit(&literal);
    return prefix;
}

bool regex_matches_all(const struct regex *regex)
{
    return regex->kind == REGEX_ANY;
}
