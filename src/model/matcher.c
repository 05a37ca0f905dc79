#include "model/matcher.h"

#include "codec/regex.h"
#include "model/quote.h"

static void free_regex(void *regex)
{
    regex_free(regex);
}

struct error *matcher_create(struct arena *arena, enum match_op op, struct str name,
                             struct str value, struct matcher *out)
{
    if ((unsigned)op > MATCH_NOT_REGEX)
        return error_create(ERROR_INVALID, "unknown label matcher type %d", (int)op);
    *out = (struct matcher){
        .op = op,
        .name = arena_str(arena, name),
        .value = arena_str(arena, value),
        .prefix = STR(""),
    };
    if (op == MATCH_EQUAL || op == MATCH_NOT_EQUAL)
        return NULL;
    struct error *err = regex_compile(out->value, &out->regex);
    if (err)
        return err;
    arena_on_free(arena, free_regex, out->regex);
    regex_set(out->regex, arena, &out->set, &out->set_count);
    out->prefix = regex_prefix(out->regex, arena);
    out->any = regex_matches_all(out->regex);
    return NULL;
}

static bool set_has(const struct str *set, size_t count, struct str value)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(set[middle], value);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static bool regex_accepts(const struct matcher *matcher, struct str value)
{
    if (matcher->any)
        return true;
    if (matcher->set)
        return set_has(matcher->set, matcher->set_count, value);
    return str_starts_with(value, matcher->prefix) && regex_matches(matcher->regex, value);
}

bool matcher_matches(const struct matcher *matcher, struct str value)
{
    switch (matcher->op) {
    case MATCH_EQUAL:
        return str_equal(matcher->value, value);
    case MATCH_NOT_EQUAL:
        return !str_equal(matcher->value, value);
    case MATCH_REGEX:
        return regex_accepts(matcher, value);
    case MATCH_NOT_REGEX:
        return !regex_accepts(matcher, value);
    }
    return false;
}

bool matchers_match(const struct matcher *matchers, size_t count, struct labels labels)
{
    for (size_t i = 0; i < count; i++)
        if (!matcher_matches(&matchers[i], labels_get(labels, matchers[i].name)))
            return false;
    return true;
}

bool matcher_matches_empty(const struct matcher *matcher)
{
    return matcher_matches(matcher, STR(""));
}

const char *match_op_text(enum match_op op)
{
    static const char *const texts[] = {"=", "!=", "=~", "!~"};
    return texts[op];
}

void matcher_print(struct buf *out, const struct matcher *matcher)
{
    if (label_name_is_legacy(matcher->name))
        buf_append_str(out, matcher->name);
    else
        quote_append(out, matcher->name);
    buf_append_cstr(out, match_op_text(matcher->op));
    quote_append(out, matcher->value);
}

void matchers_print(struct buf *out, const struct matcher *matchers, size_t count)
{
    buf_append_byte(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_append_byte(out, ',');
        matcher_print(out, &matchers[i]);
    }
    buf_append_byte(out, '}');
}
