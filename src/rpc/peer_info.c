#include "rpc/peer_info.h"

#include <stdlib.h>
#include <string.h>

#include "rpc/gen/info.pb-c.h"

/* -- memory of the generated code -- */

/* protobuf-c asks for what it wants from an arena; nothing is freed before that goes. */
static void *arena_allocator_alloc(void *arena, size_t size)
{
    return arena_try_alloc(arena, size + 1); /* never of nothing */
}

static void arena_allocator_free(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

/* -- decoding -- */

static struct error *labels_from(const Thanos__ZLabelSet *set, struct arena *arena,
                                 struct labels *out)
{
    struct labels_builder builder = labels_builder_create(arena);
    for (size_t i = 0; set && i < set->n_labels; i++) {
        struct str name = str_from(set->labels[i]->name), value = str_from(set->labels[i]->value);
        if (name.len == 0 || name.len > LABEL_LENGTH_MAX || value.len > LABEL_LENGTH_MAX)
            return error_create(ERROR_CORRUPT, "info: bad label in a label set");
        labels_builder_set(&builder, name, value);
    }
    *out = labels_builder_finish(&builder);
    return NULL;
}

static struct error *label_sets_from(const Thanos__Info__InfoResponse *message, struct arena *arena,
                                     struct peer_info *out)
{
    struct error *err = NULL;
    out->label_sets = arena_array(arena, message->n_label_sets, sizeof(*out->label_sets));
    for (size_t i = 0; i < message->n_label_sets && !err; i++)
        err = labels_from(message->label_sets[i], arena, &out->label_sets[out->label_set_count++]);
    return err;
}

static struct error *store_from(const Thanos__Info__StoreInfo *store, struct arena *arena,
                                struct peer_info *out)
{
    if (!store)
        return NULL;
    out->has_store = true;
    out->min_time = store->min_time;
    out->max_time = store->max_time;
    out->shards = store->supports_sharding;
    out->drops_labels = store->supports_without_replica_labels;
    out->ranges = arena_array(arena, store->n_tsdb_infos, sizeof(*out->ranges));
    struct error *err = NULL;
    for (size_t i = 0; i < store->n_tsdb_infos && !err; i++) {
        const Thanos__Info__TSDBInfo *tsdb = store->tsdb_infos[i];
        struct store_range *range = &out->ranges[out->range_count++];
        range->min_time = tsdb->min_time;
        range->max_time = tsdb->max_time;
        err = labels_from(tsdb->labels, arena, &range->labels);
    }
    return err;
}

struct error *peer_info_decode(struct bytes message, struct arena *arena, struct peer_info *out)
{
    *out = (struct peer_info){.min_time = INT64_MIN, .max_time = INT64_MAX};
    struct arena *scratch = arena_create(arena_budget(arena));
    ProtobufCAllocator allocator = {arena_allocator_alloc, arena_allocator_free, scratch};
    const Thanos__Info__InfoResponse *info =
        thanos__info__info_response__unpack(&allocator, message.len, message.data);
    struct error *err = arena_status(scratch);
    if (!err && !info)
        err = error_create(ERROR_CORRUPT, "info: malformed response");
    if (!err)
        err = label_sets_from(info, arena, out);
    if (!err)
        err = store_from(info->store, arena, out);
    if (!err) {
        out->type = arena_str(arena, str_from(info->componenttype));
        out->has_rules = info->rules != NULL;
        out->has_targets = info->targets != NULL;
        out->has_metadata = info->metric_metadata != NULL;
        out->has_exemplars = info->exemplars != NULL;
        out->has_query = info->query != NULL;
        out->has_status = info->status != NULL;
        out->exemplars_min_time = info->exemplars ? info->exemplars->min_time : 0;
        out->exemplars_max_time = info->exemplars ? info->exemplars->max_time : 0;
        err = arena_status(arena);
    }
    arena_unref(scratch);
    return err;
}

/* -- encoding -- */

static Thanos__ZLabelSet *labels_to(struct labels labels, struct arena *arena)
{
    Thanos__ZLabelSet *set = arena_alloc(arena, sizeof(*set));
    thanos__zlabel_set__init(set);
    set->labels = arena_array(arena, labels_count(labels), sizeof(Thanos__Label *));
    struct labels_reader reader = labels_read(labels);
    struct label pair;
    while (labels_next(&reader, &pair)) {
        Thanos__Label *label = arena_alloc(arena, sizeof(*label));
        thanos__label__init(label);
        label->name = arena_cstr(arena, pair.name);
        label->value = arena_cstr(arena, pair.value);
        set->labels[set->n_labels++] = label;
    }
    return set;
}

static Thanos__Info__StoreInfo *store_to(const struct peer_info *info, struct arena *arena)
{
    Thanos__Info__StoreInfo *store = arena_alloc(arena, sizeof(*store));
    thanos__info__store_info__init(store);
    store->min_time = info->min_time;
    store->max_time = info->max_time;
    store->supports_sharding = info->shards;
    store->supports_without_replica_labels = info->drops_labels;
    store->tsdb_infos = arena_array(arena, info->range_count, sizeof(Thanos__Info__TSDBInfo *));
    for (size_t i = 0; i < info->range_count; i++) {
        Thanos__Info__TSDBInfo *tsdb = arena_alloc(arena, sizeof(*tsdb));
        thanos__info__tsdbinfo__init(tsdb);
        tsdb->labels = labels_to(info->ranges[i].labels, arena);
        tsdb->min_time = info->ranges[i].min_time;
        tsdb->max_time = info->ranges[i].max_time;
        store->tsdb_infos[store->n_tsdb_infos++] = tsdb;
    }
    return store;
}

/* The sub-messages that only say that an API is there. */
struct empty_parts {
    Thanos__Info__RulesInfo rules;
    Thanos__Info__MetricMetadataInfo metadata;
    Thanos__Info__TargetsInfo targets;
    Thanos__Info__ExemplarsInfo exemplars;
    Thanos__Info__QueryAPIInfo query;
    Thanos__Info__StatusInfo status;
};

static void parts_to(const struct peer_info *info, struct empty_parts *parts,
                     Thanos__Info__InfoResponse *message)
{
    thanos__info__rules_info__init(&parts->rules);
    thanos__info__metric_metadata_info__init(&parts->metadata);
    thanos__info__targets_info__init(&parts->targets);
    thanos__info__exemplars_info__init(&parts->exemplars);
    thanos__info__query_apiinfo__init(&parts->query);
    thanos__info__status_info__init(&parts->status);
    parts->exemplars.min_time = info->exemplars_min_time;
    parts->exemplars.max_time = info->exemplars_max_time;
    message->rules = info->has_rules ? &parts->rules : NULL;
    message->metric_metadata = info->has_metadata ? &parts->metadata : NULL;
    message->targets = info->has_targets ? &parts->targets : NULL;
    message->exemplars = info->has_exemplars ? &parts->exemplars : NULL;
    message->query = info->has_query ? &parts->query : NULL;
    message->status = info->has_status ? &parts->status : NULL;
}

void peer_info_encode(struct buf *out, const struct peer_info *info)
{
    struct arena *arena = arena_create(NULL);
    struct empty_parts parts;
    Thanos__Info__InfoResponse message;
    thanos__info__info_response__init(&message);
    message.componenttype = arena_cstr(arena, info->type);
    message.label_sets = arena_array(arena, info->label_set_count, sizeof(Thanos__ZLabelSet *));
    for (size_t i = 0; i < info->label_set_count; i++)
        message.label_sets[message.n_label_sets++] = labels_to(info->label_sets[i], arena);
    message.store = info->has_store ? store_to(info, arena) : NULL;
    parts_to(info, &parts, &message);
    size_t len = thanos__info__info_response__get_packed_size(&message);
    char *room = buf_reserve(out, len);
    if (room)
        out->len += thanos__info__info_response__pack(&message, (uint8_t *)room);
    arena_unref(arena);
}

/* -- stores -- */

void peer_info_to_store(const struct peer_info *info, struct str address, struct arena *arena,
                        struct store_info *out)
{
    *out = (struct store_info){
        .arena = arena,
        .min_time = info->min_time,
        .max_time = info->max_time,
        .ranges = info->ranges,
        .range_count = info->range_count,
        .drops_labels = info->drops_labels,
        .shards = info->shards,
        .is_remote = true,
        .address = address,
        .type = info->type,
    };
    if (info->range_count || !info->label_set_count)
        return;
    out->ranges = arena_array(arena, info->label_set_count, sizeof(*out->ranges));
    for (size_t i = 0; i < info->label_set_count; i++)
        out->ranges[out->range_count++] =
            (struct store_range){info->label_sets[i], info->min_time, info->max_time};
}

static int labels_compare_items(const void *a, const void *b)
{
    return labels_compare(*(const struct labels *)a, *(const struct labels *)b);
}

void peer_info_from_store(const struct store_info *store, struct arena *arena,
                          struct peer_info *out)
{
    out->has_store = true;
    out->min_time = store->min_time;
    out->max_time = store->max_time;
    out->shards = store->shards;
    out->drops_labels = store->drops_labels;
    out->ranges = store->ranges;
    out->range_count = store->range_count;
    struct labels *sets = arena_array(arena, store->range_count, sizeof(*sets));
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < store->range_count; i++)
        if (store->ranges[i].labels.len)
            sets[count++] = store->ranges[i].labels;
    if (count)
        qsort(sets, count, sizeof(*sets), labels_compare_items);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !labels_equal(sets[kept - 1], sets[i]))
            sets[kept++] = sets[i];
    out->label_sets = sets;
    out->label_set_count = kept;
}
