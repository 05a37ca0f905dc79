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

void grouping_init(struct grouping *grouping, struct execution *execution,
                   const struct plan_aggregate *aggregate, struct arena *arena)
{
    *grouping = (struct grouping){.execution = execution, .without = aggregate->without};
    grouping->labels = (struct str_list){(struct str *)aggregate->labels, aggregate->label_count};
    if (grouping->without)
        labels_list_with_metadata(arena, aggregate->labels, aggregate->label_count,
                                  &grouping->labels);
    for (size_t i = 0; i < countof(metadata_labels); i++)
        grouping->names_matter |=
            !grouping->without && list_has(&grouping->labels, metadata_labels[i]);
}

bool grouping_is_one(const struct grouping *grouping)
{
    return !grouping->without && grouping->labels.count == 0;
}

static struct labels key_of(const struct grouping *grouping, struct labels labels,
                            struct arena *arena)
{
    if (grouping->without)
        return labels_without(arena, labels, grouping->labels.items, grouping->labels.count);
    if (grouping->labels.count > 0)
        return labels_only(arena, labels, grouping->labels.items, grouping->labels.count);
    return (struct labels){0};
}

struct labels grouping_key(const struct grouping *grouping, const struct step_batch *batch,
                           size_t row, struct arena *arena)
{
    struct labels labels = batch->labels[row];
    if (grouping->names_matter)
        labels = execution_labels(grouping->execution, batch, row, arena);
    return key_of(grouping, labels, arena);
}

void groups_init(struct groups *groups, struct execution *execution,
                 const struct plan_aggregate *aggregate, size_t group_size)
{
    *groups = (struct groups){
        .group_size = group_size,
        .arena = arena_create(execution->budget),
        .scratch = arena_create(execution->budget),
        .index.budget = execution->budget,
        .items.budget = execution->budget,
    };
    grouping_init(&groups->grouping, execution, aggregate, groups->arena);
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

struct error *groups_get(struct groups *groups, struct labels key, uint64_t hash,
                         struct group **out)
{
    size_t at;
    struct group *group = hash_index_first(&groups->index, hash, &at);
    while (group && !labels_equal(group->labels, key))
        group = hash_index_next(&groups->index, hash, &at);
    *out = group;
    return group ? NULL : group_add(groups, key, hash, out);
}

static struct error *get_scratch_key(struct groups *groups, struct labels key, struct group **out)
{
    struct error *err = groups_get(groups, key, hash_bytes(key.data, key.len), out);
    arena_reset(groups->scratch);
    return err;
}

struct error *groups_find_labels(struct groups *groups, struct labels labels, struct group **out)
{
    return get_scratch_key(groups, key_of(&groups->grouping, labels, groups->scratch), out);
}

struct error *groups_find(struct groups *groups, const struct step_batch *batch, size_t row,
                          struct group **out)
{
    if (groups->items.len == 1 && grouping_is_one(&groups->grouping)) {
        *out = groups->items.items[0];
        return NULL;
    }
    return get_scratch_key(groups, grouping_key(&groups->grouping, batch, row, groups->scratch),
                           out);
}
