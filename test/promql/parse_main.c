/* Reads queries from stdin, each ended by a NUL, and writes for each the canonical text or the
 * error, ended by a NUL too. For the differential test of the parser. */
#include <stdio.h>
#include <string.h>

#include "promql/parse.h"
#include "promql/print.h"

static void answer(struct str query, const struct parse_options *options)
{
    struct arena *arena = arena_create(NULL);
    struct buf out = {0};
    struct expr *expr;
    struct error *err = promql_parse(query, options, arena, &expr);
    if (err)
        buf_append_str(&out, error_text(err));
    else
        expr_print(&out, expr);
    fwrite(err ? "!" : "=", 1, 1, stdout);
    fwrite(out.data, 1, out.len, stdout);
    fputc(0, stdout);
    buf_deinit(&out);
    error_free(err);
    arena_unref(arena);
}

int main(int argc, char **argv)
{
    bool all = argc > 1 && strcmp(argv[1], "--all-features") == 0;
    struct parse_options options = {
        .experimental_functions = all, .fill_modifiers = all, .unquoted_utf8_names = all};
    struct buf text = {0};
    char chunk[65536];
    size_t len;
    while ((len = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
        buf_append(&text, chunk, len);
    for (size_t at = 0; at < text.len;) {
        size_t query_len = strnlen(text.data + at, text.len - at);
        answer((struct str){text.data + at, query_len}, &options);
        at += query_len + 1;
    }
    buf_deinit(&text);
    return 0;
}
