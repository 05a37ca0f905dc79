#include "codec/url.h"

#include "base/vec.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct error *bad_escape(struct str text, size_t at)
{
    struct str shown = str_slice(text, at, at + 3);
    return error_create(ERROR_INVALID, "invalid URL escape \"%.*s\"", STR_ARG(shown));
}

static struct error *decode(struct arena *arena, struct str text, bool query, struct str *out)
{
    *out = text;
    bool plain =
        str_find_char(text, '%') == text.len && (!query || str_find_char(text, '+') == text.len);
    if (plain)
        return NULL;
    char *copy = arena_bytes(arena, text.len);
    size_t len = 0;
    for (size_t at = 0; at < text.len; at++) {
        char c = text.data[at];
        if (c == '%') {
            int high = at + 2 < text.len ? hex_value(text.data[at + 1]) : -1;
            int low = at + 2 < text.len ? hex_value(text.data[at + 2]) : -1;
            if (high < 0 || low < 0)
                return bad_escape(text, at);
            c = (char)(high << 4 | low);
            at += 2;
        } else if (query && c == '+') {
            c = ' ';
        }
        copy[len++] = c;
    }
    *out = (struct str){copy, len};
    return arena_status(arena);
}

struct error *url_decode_query(struct arena *arena, struct str text, struct str *out)
{
    return decode(arena, text, true, out);
}

struct error *url_decode_path(struct arena *arena, struct str text, struct str *out)
{
    return decode(arena, text, false, out);
}

static void encode(struct buf *out, struct str text, const char *also_plain, bool query)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t at = 0; at < text.len; at++) {
        char c = text.data[at];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c && strchr(also_plain, c));
        if (plain) {
            buf_append_byte(out, (uint8_t)c);
        } else if (query && c == ' ') {
            buf_append_byte(out, '+');
        } else {
            const char escape[3] = {'%', digits[(uint8_t)c >> 4], digits[(uint8_t)c & 15]};
            buf_append(out, escape, sizeof(escape));
        }
    }
}

void url_encode_query(struct buf *out, struct str text)
{
    encode(out, text, "-_.~", true);
}

void url_encode_path(struct buf *out, struct str text)
{
    encode(out, text, "-_.~$&+=:@", false);
}

static struct error *parse_pair(struct arena *arena, struct str pair, struct url_param *out)
{
    struct str name, value;
    if (str_find_char(pair, ';') < pair.len)
        return error_create(ERROR_INVALID, "invalid semicolon separator in query");
    str_cut(pair, '=', &name, &value);
    struct error *err = url_decode_query(arena, name, &out->name);
    return err ? err : url_decode_query(arena, value, &out->value);
}

struct error *url_parse_form(struct arena *arena, struct str text, struct url_param **params,
                             size_t *count)
{
    struct error *first = NULL;
    VEC(struct url_param) found = VEC_INIT(arena_budget(arena));
    while (text.len && error_kind(first) != ERROR_LIMIT) {
        struct str pair, rest;
        str_cut(text, '&', &pair, &rest);
        text = rest;
        if (pair.len == 0)
            continue;
        struct url_param param;
        struct error *err = parse_pair(arena, pair, &param);
        if (!err && found.len == URL_PARAMS_MAX)
            err = error_create(ERROR_LIMIT, "more than %d parameters", URL_PARAMS_MAX);
        if (!err && !vec_push(&found, param))
            err = vec_status(&found);
        if (error_kind(err) == ERROR_LIMIT) { /* counts more than a bad pair before it */
            error_free(first);
            first = NULL;
        }
        error_keep_first(&first, err);
    }
    *params = arena_array(arena, found.len, sizeof(**params));
    if (found.len)
        memcpy(*params, found.items, found.len * sizeof(**params));
    *count = found.len;
    vec_deinit(&found);
    return first;
}

void url_append_param(struct buf *out, struct str name, struct str value)
{
    if (out->len)
        buf_append_byte(out, '&');
    url_encode_query(out, name);
    buf_append_byte(out, '=');
    url_encode_query(out, value);
}

struct str url_clean_path(struct arena *arena, struct str path)
{
    char *out = arena_bytes(arena, path.len + 2);
    size_t len = 0;
    bool slash_at_end = path.len && path.data[path.len - 1] == '/';
    while (path.len) {
        struct str part, rest;
        str_cut(path, '/', &part, &rest);
        path = rest;
        if (part.len == 0 || str_equal(part, STR(".")))
            continue;
        if (str_equal(part, STR(".."))) {
            while (len && out[--len] != '/')
                continue;
            continue;
        }
        out[len++] = '/';
        memcpy(out + len, part.data, part.len);
        len += part.len;
    }
    if (len == 0 || slash_at_end)
        out[len++] = '/';
    return (struct str){out, len};
}
