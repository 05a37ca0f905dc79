#include "codec/base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static bool is_url(enum base64_kind kind)
{
    return kind == BASE64_URL || kind == BASE64_URL_RAW;
}

static bool is_raw(enum base64_kind kind)
{
    return kind == BASE64_STANDARD_RAW || kind == BASE64_URL_RAW;
}

static uint8_t letter_of(unsigned value, enum base64_kind kind)
{
    if (value < 62)
        return (uint8_t)letters[value];
    return is_url(kind) ? (value == 62 ? '-' : '_') : (value == 62 ? '+' : '/');
}

static int value_of(char c, enum base64_kind kind)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (is_url(kind) ? '-' : '+'))
        return 62;
    return c == (is_url(kind) ? '_' : '/') ? 63 : -1;
}

void base64_encode(struct buf *out, struct bytes in, enum base64_kind kind)
{
    for (size_t at = 0; at < in.len; at += 3) {
        size_t have = size_min(in.len - at, 3);
        uint32_t word = 0;
        for (size_t i = 0; i < 3; i++)
            word = word << 8 | (i < have ? in.data[at + i] : 0);
        for (size_t i = 0; i < 4; i++) {
            if (i <= have)
                buf_append_byte(out, letter_of(word >> (18 - 6 * i) & 63, kind));
            else if (!is_raw(kind))
                buf_append_byte(out, '=');
        }
    }
}

bool base64_decode(struct buf *out, struct str text, enum base64_kind kind)
{
    size_t start = out->len, letters_seen = 0, padding = 0;
    uint32_t word = 0;
    for (size_t at = 0; at < text.len; at++) {
        char c = text.data[at];
        if (c == '\n' || c == '\r')
            continue;
        if (c == '=') {
            padding++;
            continue;
        }
        int value = value_of(c, kind);
        if (value < 0 || padding)
            goto fail;
        word = word << 6 | (uint32_t)value;
        /* The 2nd, 3rd and 4th letter of four complete a byte, with 4, 2 and 0 bits to spare. */
        size_t place = letters_seen++ % 4;
        if (place)
            buf_append_byte(out, (uint8_t)(word >> (6 - 2 * place)));
    }
    if (letters_seen % 4 == 1 || padding != (is_raw(kind) ? 0 : (4 - letters_seen % 4) % 4))
        goto fail;
    return true;
fail:
    out->len = start;
    return false;
}
