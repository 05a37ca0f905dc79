#include "store/store_selector.h"

#include <stdlib.h>
#include <string.h>

#include "model/relabel.h"

bool store_selector_narrow(const struct store_selector *selector, struct store_info *info,
                           bool *narrowed)
{
    *narrowed = false;
    if (relabel_count(selector->rules) == 0 || info->range_count == 0)
        return true;
    struct store_range *kept = arena_array(info->arena, info->range_count, sizeof(*info->ranges));
    size_t count = 0;
    for (size_t i = 0; i < info->range_count; i++) {
        struct labels ignored;
        bool is_empty = info->ranges[i].labels.len == 0; /* it names nothing that could be chosen */
        if (is_empty ||
            relabel_labels(selector->rules, info->arena, info->ranges[i].labels, &ignored))
            kept[count++] = info->ranges[i];
    }
    *narrowed = count < info->range_count;
    info->ranges = kept;
    info->range_count = count;
    return count > 0;
}

/* -- matchers for what was kept -- */

static void append_quoted(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (strchr("\\.+*?()|[]{}^$", value.data[i]) && value.data[i])
            buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)value.data[i]);
    }
}

/* The values of a name in the sets, sorted, each once; *everywhere: all sets have it. */
static size_t values_of(const struct store_info *info, struct str name, struct str *out,
                        bool *everywhere)
{
    size_t count = 0, kept = 0;
    *everywhere = true;
    for (size_t i = 0; i < info->range_count; i++) {
        struct str value = labels_get(info->ranges[i].labels, name);
        if (value.len)
            out[count++] = value;
        else
            *everywhere = false;
    }
    qsort(out, count, sizeof(*out), str_compare_items);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !str_equal(out[kept - 1], out[i]))
            out[kept++] = out[i];
    return kept;
}

static struct error *matcher_for(const struct store_info *info, struct str name,
                                 struct str *scratch, struct matcher *out)
{
    struct buf text = BUF_INIT(NULL);
    bool everywhere;
    size_t count = values_of(info, name, scratch, &everywhere);
    if (count == 1 && everywhere)
        return matcher_create(info->arena, MATCH_EQUAL, name, scratch[0], out);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_append_byte(&text, '|');
        append_quoted(&text, scratch[i]);
    }
    if (!everywhere)
        buf_append_cstr(&text, "|^$");
    struct error *err = matcher_create(info->arena, MATCH_REGEX, name, buf_str(&text), out);
    buf_deinit(&text);
    return err;
}

/* All names that occur in the sets, sorted, each once. */
static struct str *names_of(const struct store_info *info, size_t *count)
{
    size_t total = 0, kept = 0;
    for (size_t i = 0; i < info->range_count; i++)
        total += labels_count(info->ranges[i].labels);
    struct str *names = arena_array(info->arena, total, sizeof(*names));
    total = 0;
    for (size_t i = 0; i < info->range_count; i++) {
        struct labels_reader reader = labels_read(info->ranges[i].labels);
        struct label label;
        while (labels_next(&reader, &label))
            names[total++] = label.name;
    }
    if (total)
        qsort(names, total, sizeof(*names), str_compare_items);
    for (size_t i = 0; i < total; i++)
        if (kept == 0 || !str_equal(names[kept - 1], names[i]))
            names[kept++] = names[i];
    *count = kept;
    return names;
}

struct error *store_selector_matchers(const struct store_info *info,
                                      const struct store_query *query, struct matcher **out,
                                      size_t *count)
{
    size_t name_count;
    struct str *names = names_of(info, &name_count);
    struct str *scratch = arena_array(info->arena, info->range_count, sizeof(*scratch));
    struct error *err = NULL;
    *count = query->matcher_count;
    *out = arena_array(info->arena, query->matcher_count + name_count, sizeof(**out));
    if (query->matcher_count)
        memcpy(*out, query->matchers, query->matcher_count * sizeof(**out));
    for (size_t i = 0; i < name_count && !err; i++) {
        err = matcher_for(info, names[i], scratch, &(*out)[*count]);
        *count += !err;
    }
    return err;
}

/* -- labels of its own -- */

bool store_selector_strip(const struct store_selector *selector, const struct store_query *query,
                          struct arena *arena, struct matcher **out, size_t *count)
{
    *count = 0;
    *out = arena_array(arena, query->matcher_count, sizeof(**out));
    for (size_t i = 0; i < query->matcher_count; i++) {
        const struct matcher *matcher = &query->matchers[i];
        struct str value = labels_get(selector->labels, matcher->name);
        if (value.len == 0)
            (*out)[(*count)++] = *matcher;
        else if (!matcher_matches(matcher, value))
            return false;
    }
    return true;
}

void store_selector_announce(const struct store_selector *selector, struct store_info *info)
{
    if (selector->labels.len == 0)
        return;
    if (info->range_count == 0) {
        info->ranges = arena_array(info->arena, 1, sizeof(*info->ranges));
        info->ranges[info->range_count++] =
            (struct store_range){{NULL, 0}, info->min_time, info->max_time};
    }
    for (size_t i = 0; i < info->range_count; i++)
        info->ranges[i].labels =
            labels_merge(info->arena, info->ranges[i].labels, selector->labels);
}
