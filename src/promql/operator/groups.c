#include "promql/operator/groups.h"

#include "base/hash.h"

static bool list_has(const struct str_list *list, struct str name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (str_equal(list->items[i], name))
            return true;
    }
    return false;
}

void groups_init(struct groups *groups, struct execution *execution,
                 const struct plan_aggregate *aggregate, size_t group_size)
{
    *groups = (struct groups){
        .execution = execution,
        .without = aggregate->without,
        .group_size = group_size,
        .arena = arena_create(execution->budget),
        .scratch = arena_create(execution->budget),
        .index.budget = execution->budget,
        .items.budget = execution->budget,
    };
    groups->labels = (struct str_list){(struct str *)aggregate->labels, aggregate->label_count};
    if (groups->without)
        labels_list_with_metadata(groups->arena, aggregate->labels, aggregate->label_count,
                                  &groups->labels);
    for (size_t i = 0; i < countof(metadata_labels); i++)
        groups->names_matter |= !groups->without && list_has(&groups->labels, metadata_labels[i]);
}

void groups_deinit(struct groups *groups)
{
    hash_index_deinit(&groups->index);
    vec_deinit(&groups->items);
    arena_unref(groups->arena);
    arena_unref(groups->scratch);
}

static struct error *group_add(struct groups *groups, struct labels key, uint64_t hash,
                               struct group **out)
{
    struct group *group = arena_zalloc(groups->arena, groups->group_size);
    group->labels = labels_copy(groups->arena, key);
    group->number = groups->items.len;
    if (!vec_push(&groups->items, group))
        return vec_status(&groups->items);
    struct error *err = hash_index_add(&groups->index, hash, group);
    *out = group;
    return err ? err : arena_status(groups->arena);
}

struct error *groups_find_labels(struct groups *groups, struct labels labels, struct group **out)
{
    struct labels key = {0};
    if (groups->without)
        key = labels_without(groups->scratch, labels, groups->labels.items, groups->labels.count);
    else if (groups->labels.count > 0)
        key = labels_only(groups->scratch, labels, groups->labels.items, groups->labels.count);
    uint64_t hash = hash_bytes(key.data, key.len);
    size_t at;
    struct group *group = hash_index_first(&groups->index, hash, &at);
    while (group && !labels_equal(group->labels, key))
        group = hash_index_next(&groups->index, hash, &at);
    struct error *err = group ? NULL : group_add(groups, key, hash, &group);
    arena_reset(groups->scratch);
    *out = group;
    return err;
}

struct error *groups_find(struct groups *groups, const struct step_batch *batch, size_t row,
                          struct group **out)
{
    if (!groups->without && groups->labels.count == 0 && groups->items.len == 1) {
        *out = groups->items.items[0]; /* one group for all */
        return NULL;
    }
    struct labels labels = batch->labels[row];
    if (groups->names_matter)
        labels = execution_labels(groups->execution, batch, row, groups->scratch);
    return groups_find_labels(groups, labels, out);
}
