#include "cmd/flag_labels.h"

#include "promql/lex.h"
#include "promql/literal.h"

/* A quoted string and nothing else, as PromQL and Go write them. */
static struct error *unquote(struct str text, struct arena *arena, struct str *out)
{
    struct lexer lexer;
    struct token token = {0}, end = {0};
    lexer_init(&lexer, text, false);
    struct error *err = lexer_next(&lexer, &token);
    if (!err)
        err = lexer_next(&lexer, &end);
    bool is_string = !err && token.type == TOKEN_STRING && token.text.len == text.len;
    error_free(err);
    if (!is_string)
        return error_create(ERROR_INVALID, "unquote label value: invalid syntax");
    *out = string_unquote(token.text, arena);
    return NULL;
}

struct error *flag_labels_parse(const struct flag_strings *strings, struct arena *arena,
                                struct labels *out)
{
    struct labels_builder builder = labels_builder_create(arena);
    for (size_t i = 0; i < strings->count; i++) {
        struct str text = strings->items[i], name, quoted, value;
        if (!str_cut(text, '=', &name, &quoted))
            return error_create(ERROR_INVALID, "unrecognized label \"%.*s\"", STR_ARG(text));
        if (!label_name_is_valid(name))
            return error_create(ERROR_INVALID, "unsupported format for label %.*s", STR_ARG(text));
        struct error *err = unquote(quoted, arena, &value);
        if (err)
            return err;
        labels_builder_set(&builder, name, value);
    }
    *out = labels_builder_finish(&builder);
    return labels_builder_status(&builder);
}
