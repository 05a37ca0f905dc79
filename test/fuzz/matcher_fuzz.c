/* First byte: the operator; up to the first newline the value, behind it texts to match. */
#include "fuzz.h"

#include <stdlib.h>

#include "model/matcher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size}, value, text;
    if (size == 0)
        return 0;
    struct arena *arena = arena_create(NULL);
    struct buf out = {0};
    struct matcher matcher;
    enum match_op op = (enum match_op)(data[0] % 4);
    (void)str_cut(str_slice(rest, 1, rest.len), '\n', &value, &rest);
    struct error *err = matcher_create(arena, op, STR("a"), value, &matcher);
    while (!err && rest.len) {
        if (!str_cut(rest, '\n', &text, &rest))
            rest = STR("");
        struct matcher opposite = matcher;
        opposite.op = op ^ 1;
        if (matcher_matches(&matcher, text) == matcher_matches(&opposite, text))
            abort();
    }
    if (!err)
        matchers_print(&out, &matcher, 1);
    error_free(err);
    buf_deinit(&out);
    arena_unref(arena);
    return 0;
}
