#include "store/store_list.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct store_list {
    atomic_uint references;
    size_t count;
    struct store_member members[];
};

struct store_list *store_list_create(const struct store_member *members, size_t count)
{
    struct store_list *list = xmalloc(sizeof(*list) + count * sizeof(*members));
    atomic_init(&list->references, 1);
    list->count = count;
    if (count)
        memcpy(list->members, members, count * sizeof(*members));
    return list;
}

struct store_list *store_list_ref(struct store_list *list)
{
    atomic_fetch_add_explicit(&list->references, 1, memory_order_relaxed);
    return list;
}

void store_list_unref(struct store_list *list)
{
    if (!list || atomic_fetch_sub_explicit(&list->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < list->count; i++)
        if (list->members[i].release)
            list->members[i].release(list->members[i].owner);
    free(list);
}

size_t store_list_count(const struct store_list *list)
{
    return list->count;
}

struct store *store_list_at(const struct store_list *list, size_t at)
{
    return list->members[at].store;
}
