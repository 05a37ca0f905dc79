#include "model/quote.h"

static const char short_escapes[0x80] = {
    ['\a'] = 'a', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n',  ['\r'] = 'r',
    ['\t'] = 't', ['\v'] = 'v', ['"'] = '"',  ['\\'] = '\\',
};

static void append_escaped_rune(struct buf *out, uint32_t rune)
{
    if (rune < 0x80 && short_escapes[rune]) {
        buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)short_escapes[rune]);
    } else if (rune < 0x80) {
        buf_printf(out, "\\x%02x", (unsigned)rune);
    } else if (rune < 0x10000) {
        buf_printf(out, "\\u%04x", (unsigned)rune);
    } else {
        buf_printf(out, "\\U%08x", (unsigned)rune);
    }
}

static bool is_plain(uint32_t rune, size_t width)
{
    if (rune < 0x80)
        return rune_is_printable(rune) && !short_escapes[rune];
    /* U+FFFD of one byte stands for a broken byte */
    return rune_is_printable(rune) && !(rune == 0xfffd && width == 1);
}

void quote_append(struct buf *out, struct str s)
{
    size_t plain_from = 0, at = 0;
    buf_append_byte(out, '"');
    while (at < s.len) {
        size_t start = at;
        uint32_t rune = str_next_rune(s, &at);
        if (is_plain(rune, at - start))
            continue;
        buf_append(out, s.data + plain_from, start - plain_from);
        plain_from = at;
        if (rune == 0xfffd && at - start == 1)
            buf_printf(out, "\\x%02x", (unsigned)(uint8_t)s.data[start]);
        else
            append_escaped_rune(out, rune);
    }
    if (plain_from < s.len)
        buf_append(out, s.data + plain_from, s.len - plain_from);
    buf_append_byte(out, '"');
}
