#include "store/str_list.h"

#include <stdlib.h>
#include <string.h>

struct str_list str_list_copy(struct arena *arena, struct str_list list)
{
    struct str_list copy = {arena_array(arena, list.count, sizeof(*copy.items)), list.count};
    for (size_t i = 0; i < list.count; i++)
        copy.items[i] = arena_str(arena, list.items[i]);
    return copy;
}

bool str_list_has(struct str_list list, struct str text)
{
    size_t low = 0, high = list.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(list.items[middle], text);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

void str_list_sort(struct str_list *list)
{
    if (list->count < 2)
        return;
    qsort(list->items, list->count, sizeof(*list->items), str_compare_items);
    size_t kept = 1;
    for (size_t i = 1; i < list->count; i++)
        if (!str_equal(list->items[i], list->items[kept - 1]))
            list->items[kept++] = list->items[i];
    list->count = kept;
}

struct str_list str_lists_merge(struct arena *arena, const struct str_list *lists, size_t count,
                                size_t limit)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += lists[i].count;
    struct str_list all = {arena_array(arena, total, sizeof(*all.items)), 0};
    for (size_t i = 0; i < count; i++) {
        if (lists[i].count)
            memcpy(all.items + all.count, lists[i].items, lists[i].count * sizeof(*all.items));
        all.count += lists[i].count;
    }
    str_list_sort(&all);
    if (limit && all.count > limit)
        all.count = limit;
    return all;
}
