#include "promql/operator/match_key.h"

#include "base/hash.h"

void match_keys_init(struct match_keys *keys, struct execution *execution,
                     const struct vector_matching *matching, size_t key_size)
{
    *keys = (struct match_keys){
        .on = matching->on,
        .execution = execution,
        .key_size = key_size,
        .arena = arena_create(execution->budget),
        .scratch = arena_create(execution->budget),
        .index.budget = execution->budget,
    };
    keys->labels = (struct str_list){matching->labels, matching->label_count};
    if (!matching->on)
        labels_list_with_metadata(keys->arena, matching->labels, matching->label_count,
                                  &keys->labels);
    for (size_t i = 0; i < matching->label_count; i++)
        keys->names_matter |= matching->on && str_starts_with(matching->labels[i], STR("__"));
}

void match_keys_deinit(struct match_keys *keys)
{
    hash_index_deinit(&keys->index);
    arena_unref(keys->arena);
    arena_unref(keys->scratch);
}

struct labels match_keys_labels(const struct match_keys *keys, struct labels labels,
                                struct arena *arena)
{
    if (keys->on)
        return labels_only(arena, labels, keys->labels.items, keys->labels.count);
    return labels_without(arena, labels, keys->labels.items, keys->labels.count);
}

static struct error *key_add(struct match_keys *keys, struct labels labels, uint64_t hash,
                             struct match_key **out)
{
    struct match_key *key = arena_zalloc(keys->arena, keys->key_size);
    key->labels = labels_copy(keys->arena, labels);
    *out = key;
    struct error *err = hash_index_add(&keys->index, hash, key);
    return err ? err : arena_status(keys->arena);
}

struct error *match_keys_find(struct match_keys *keys, const struct step_batch *batch, size_t row,
                              bool add, struct match_key **out)
{
    struct labels labels = batch->labels[row];
    if (keys->names_matter)
        labels = execution_labels(keys->execution, batch, row, keys->scratch);
    struct labels own = match_keys_labels(keys, labels, keys->scratch);
    uint64_t hash = hash_bytes(own.data, own.len);
    size_t at;
    struct match_key *key = hash_index_first(&keys->index, hash, &at);
    while (key && !labels_equal(key->labels, own))
        key = hash_index_next(&keys->index, hash, &at);
    struct error *err = NULL;
    if (!key && add)
        err = key_add(keys, own, hash, &key);
    arena_reset(keys->scratch);
    *out = key;
    return err;
}
