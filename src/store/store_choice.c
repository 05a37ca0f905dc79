#include "store/store_choice.h"

#include "base/buf.h"

static bool choice_by_address(struct str address, const struct store_query *query)
{
    for (size_t i = 0; i < query->store_match_count; i++) {
        const struct store_match *match = &query->store_matches[i];
        bool passes = true;
        for (size_t j = 0; j < match->matcher_count && passes; j++)
            if (str_equal(match->matchers[j].name, STR("__address__")))
                passes = matcher_matches(&match->matchers[j], address);
        if (passes)
            return true;
    }
    return query->store_match_count == 0;
}

static bool labels_contradict(struct labels labels, const struct store_query *query)
{
    for (size_t i = 0; i < query->matcher_count; i++) {
        struct str value = labels_get(labels, query->matchers[i].name);
        if (value.len && !matcher_matches(&query->matchers[i], value))
            return true;
    }
    return false;
}

static bool choice_by_labels(const struct store_info *info, const struct store_query *query)
{
    for (size_t i = 0; i < info->range_count; i++) {
        const struct store_range *range = &info->ranges[i];
        if (query->min_time <= range->max_time && query->max_time >= range->min_time &&
            !labels_contradict(range->labels, query))
            return true;
    }
    return info->range_count == 0;
}

const char *store_choice(const struct store_info *info, const struct store_query *query)
{
    if (query->min_time > info->max_time || query->max_time < info->min_time)
        return "it has no data in the time range";
    if (!choice_by_address(info->address, query))
        return "its address does not satisfy storeMatch";
    if (!choice_by_labels(info, query))
        return "its external labels contradict the matchers, or have no data in the time range";
    return NULL;
}

struct str store_info_text(const struct store_info *info)
{
    return arena_printf(info->arena, "Addr: %.*s MinTime: %lld MaxTime: %lld",
                        STR_ARG(info->address), (long long)info->min_time,
                        (long long)info->max_time);
}

struct str store_info_labels_text(const struct store_info *info)
{
    if (info->range_count == 0)
        return STR("Store Gateway");
    struct buf text = BUF_INIT(NULL);
    for (size_t i = 0; i < info->range_count; i++) {
        if (i)
            buf_append_byte(&text, ',');
        labels_print(&text, info->ranges[i].labels);
    }
    struct str copy = arena_str(info->arena, buf_str(&text));
    buf_deinit(&text);
    return copy;
}
