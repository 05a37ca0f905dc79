#include "promql/literal.h"

#include "codec/float_text.h"
#include "model/quote.h"

void rune_append(struct buf *out, uint32_t rune)
{
    if (rune < 0x80) {
        buf_append_byte(out, (uint8_t)rune);
        return;
    }
    int more = rune < 0x800 ? 1 : rune < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    buf_append_byte(out, (uint8_t)(lead[more] | rune >> 6 * more));
    while (more-- > 0)
        buf_append_byte(out, (uint8_t)(0x80 | (rune >> 6 * more & 0x3f)));
}

void rune_quote_append(struct buf *out, uint32_t rune)
{
    static const char escapes[] = "a\ab\bf\fn\nr\rt\tv\v\\\\''";
    buf_append_byte(out, '\'');
    const char *escape = escapes;
    while (*escape && (uint32_t)escape[1] != rune)
        escape += 2;
    if (*escape)
        buf_printf(out, "\\%c", *escape);
    else if (rune_is_printable(rune))
        rune_append(out, rune);
    else if (rune < 0x80)
        buf_printf(out, "\\x%02x", (unsigned)rune);
    else if (rune < 0x10000)
        buf_printf(out, "\\u%04x", (unsigned)rune);
    else
        buf_printf(out, "\\U%08x", (unsigned)rune);
    buf_append_byte(out, '\'');
}

/* Underscores only between digits or behind the base prefix, as in Go. */
static bool underscores_are_fine(struct str text, bool has_prefix)
{
    bool after_digit = has_prefix;
    for (size_t i = has_prefix ? 2 : 0; i < text.len; i++) {
        if (text.data[i] != '_') {
            after_digit = true;
            continue;
        }
        if (!after_digit || i + 1 == text.len)
            return false;
        after_digit = false;
    }
    return true;
}

/* False for what is not an integer below 2^63. The lexer lets digits and underscores through. */
static bool integer_parse(struct str text, double *out)
{
    unsigned base = 10;
    bool has_prefix = text.len > 2 && text.data[0] == '0' && (text.data[1] | 0x20) == 'x';
    if (has_prefix)
        base = 16;
    else if (text.len > 1 && text.data[0] == '0')
        base = 8;
    if (text.len == 0 || !underscores_are_fine(text, has_prefix))
        return false;
    uint64_t value = 0;
    for (size_t i = has_prefix ? 2 : 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '_')
            continue;
        unsigned digit = c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
        if (digit >= base || value > ((uint64_t)INT64_MAX - digit) / base)
            return false;
        value = value * base + digit;
    }
    *out = (double)(int64_t)value;
    return true;
}

struct error *number_parse(struct str text, double *out)
{
    if (integer_parse(text, out))
        return NULL;
    enum float_parse result = float_parse(text, out);
    if (result == FLOAT_OK)
        return NULL;
    struct buf quoted = {0};
    quote_append(&quoted, text);
    struct error *err = error_create(
        ERROR_INVALID, "error parsing number: strconv.ParseFloat: parsing %.*s: %s",
        STR_ARG(buf_str(&quoted)), result == FLOAT_RANGE ? "value out of range" : "invalid syntax");
    buf_deinit(&quoted);
    return err;
}

static uint32_t read_digits(struct str text, size_t *at, size_t count, unsigned base)
{
    uint32_t value = 0;
    for (size_t i = 0; i < count && *at < text.len; i++, (*at)++) {
        char c = text.data[*at];
        value = value * base + (c <= '9' ? (uint32_t)(c - '0') : (uint32_t)((c | 0x20) - 'a' + 10));
    }
    return value;
}

static void unescape(struct buf *out, struct str text, size_t *at)
{
    static const char escapes[] = "a\ab\bf\fn\nr\rt\tv\v";
    char c = text.data[(*at)++];
    const char *plain = strchr(escapes, c);
    if (c >= '0' && c <= '7') {
        (*at)--;
        buf_append_byte(out, (uint8_t)read_digits(text, at, 3, 8));
    } else if (c == 'x') {
        buf_append_byte(out, (uint8_t)read_digits(text, at, 2, 16));
    } else if (c == 'u' || c == 'U') {
        rune_append(out, read_digits(text, at, c == 'u' ? 4 : 8, 16));
    } else {
        buf_append_byte(out, plain ? (uint8_t)plain[1] : (uint8_t)c);
    }
}

struct str string_unquote(struct str quoted, struct arena *arena)
{
    struct str text = str_slice(quoted, 1, quoted.len - 1);
    if (quoted.data[0] == '`' || str_find_char(text, '\\') == text.len)
        return arena_str(arena, text);
    struct buf out = {0};
    for (size_t at = 0; at < text.len;) {
        char c = text.data[at++];
        if (c == '\\')
            unescape(&out, text, &at);
        else
            buf_append_byte(&out, (uint8_t)c);
    }
    struct str result = arena_str(arena, buf_str(&out));
    buf_deinit(&out);
    return result;
}
