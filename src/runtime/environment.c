#include "runtime/environment.h"

#include <stdlib.h>

static bool is_variable_char(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Length of "$(NAME)" at the start of text, or 0; *name is NAME. */
static size_t variable_reference(struct str text, struct str *name)
{
    size_t end = 2;
    if (!str_starts_with(text, STR("$(")))
        return 0;
    while (end < text.len && is_variable_char(text.data[end]))
        end++;
    *name = str_slice(text, 2, end);
    return name->len && end < text.len && text.data[end] == ')' ? end + 1 : 0;
}

struct error *environment_expand(struct str text, struct buf *out)
{
    for (size_t at = 0; at < text.len;) {
        struct str name;
        size_t len = variable_reference(str_slice(text, at, text.len), &name);
        if (len == 0) {
            buf_append_byte(out, (uint8_t)text.data[at++]);
            continue;
        }
        char *key = str_dup(name);
        const char *value = getenv(key);
        free(key);
        if (!value)
            return error_create(ERROR_INVALID,
                                "found reference to unset environment variable \"%.*s\"",
                                STR_ARG(name));
        buf_append_cstr(out, value);
        at += len;
    }
    return buf_status(out);
}
