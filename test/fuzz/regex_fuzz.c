/* Input: an expression, a newline, a template, a newline, a text. */
#include "codec/regex.h"

#include "fuzz.h"

static void use(const struct regex *regex, struct str template_text, struct str text,
                struct arena *arena)
{
    struct str groups[REGEX_GROUPS_MAX + 1];
    const struct str *items;
    size_t count, group_count = size_min(regex_group_count(regex), REGEX_GROUPS_MAX) + 1;
    struct buf out = {0};
    bool matches = regex_matches(regex, text);
    (void)regex_finds(regex, text);
    if (regex_match_groups(regex, text, groups, group_count)) {
        FUZZ_CHECK(matches);
        regex_expand(regex, template_text, groups, group_count, &out);
    }
    regex_set(regex, arena, &items, &count);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(regex_match_groups(regex, items[i], NULL, 0));
        found |= str_equal(items[i], text);
    }
    if (items)
        FUZZ_CHECK(found == matches);
    if (matches)
        FUZZ_CHECK(str_starts_with(text, regex_prefix(regex, arena)));
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size_min(size, 4096)}, expression, template_text, text;
    struct arena *arena = arena_create(NULL);
    struct regex *regex = NULL;
    str_cut(input, '\n', &expression, &input);
    str_cut(input, '\n', &template_text, &text);
    struct error *err = regex_compile(expression, &regex);
    if (!err)
        use(regex, template_text, text, arena);
    error_free(err);
    regex_free(regex);
    arena_unref(arena);
    return 0;
}
