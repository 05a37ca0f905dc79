#include "store/text_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

void text_set_init(struct text_set *set, struct arena *arena)
{
    *set = (struct text_set){.arena = arena};
    set->index.budget = set->items.budget = arena_budget(arena);
}

struct error *text_set_add(struct text_set *set, struct str text)
{
    uint64_t hash = hash_str(text);
    size_t at;
    for (struct str *item = hash_index_first(&set->index, hash, &at); item;
         item = hash_index_next(&set->index, hash, &at)) {
        if (str_equal(*item, text))
            return NULL;
    }
    struct str *item = arena_alloc(set->arena, sizeof(*item));
    *item = arena_str(set->arena, text);
    struct error *err = hash_index_add(&set->index, hash, item);
    if (!err && !vec_push(&set->items, *item))
        err = vec_status(&set->items);
    error_keep_first(&err, arena_status(set->arena));
    return err;
}

void text_set_finish(struct text_set *set, size_t limit, struct str_list *out)
{
    size_t count = set->items.len;
    if (count > 1)
        qsort(set->items.items, count, sizeof(struct str), str_compare_items);
    if (limit > 0 && limit < count)
        count = limit;
    struct str *items = arena_array(set->arena, count + 1, sizeof(*items));
    if (count > 0)
        memcpy(items, set->items.items, count * sizeof(*items));
    *out = (struct str_list){items, count};
    vec_deinit(&set->items);
    hash_index_deinit(&set->index);
}
