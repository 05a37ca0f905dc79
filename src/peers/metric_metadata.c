#include "peers/metric_metadata.h"

#include <stdlib.h>

/* -- its form -- */

static const struct field meta_fields[] = {
    {1, "type", FIELD_STR, offsetof(struct metric_meta, type)},
    {2, "help", FIELD_STR, offsetof(struct metric_meta, help)},
    {3, "unit", FIELD_STR, offsetof(struct metric_meta, unit)},
};
static const struct record_type meta_type = RECORD_TYPE(struct metric_meta, meta_fields);

static const struct field metas_fields[] = {
    {2, NULL, FIELD_RECORDS, offsetof(struct metric_metas, metas), .of = &meta_type},
};
static const struct record_type metas_type = RECORD_TYPE(struct metric_metas, metas_fields);

static const struct field entry_fields[] = {
    {1, NULL, FIELD_STR, offsetof(struct metric_entry, name)},
    {2, NULL, FIELD_RECORD, offsetof(struct metric_entry, value), .of = &metas_type},
};
static const struct record_type entry_type = RECORD_TYPE(struct metric_entry, entry_fields);

static const struct field metadata_fields[] = {
    {1, NULL, FIELD_RECORDS, offsetof(struct metric_metadata, entries), .of = &entry_type},
};
const struct record_type metric_metadata_type =
    RECORD_TYPE(struct metric_metadata, metadata_fields);

void metric_metadata_read_json(struct json_reader *reader, struct metric_metadata *out)
{
    struct str name;
    *out = (struct metric_metadata){0};
    if (json_object(reader))
        while (json_key(reader, &name)) {
            struct metric_entry *entry = records_add(&out->entries, reader->arena);
            entry->name = name;
            if (json_array(reader))
                while (json_item(reader))
                    record_read_json(reader, &meta_type,
                                     records_add(&entry->value.metas, reader->arena));
        }
}

void metric_metadata_write_json(struct json_writer *json, const struct metric_metadata *metadata)
{
    json_begin_object(json);
    for (size_t i = 0; i < metadata->entries.count; i++) {
        const struct metric_entry *entry = &metadata->entries.items[i];
        json_put_key_str(json, entry->name);
        json_begin_array(json);
        for (size_t j = 0; j < entry->value.metas.count; j++)
            record_write_json(json, &meta_type, &entry->value.metas.items[j]);
        json_end_array(json);
    }
    json_end_object(json);
}

/* -- joining -- */

static int compare_entries(const void *left, const void *right)
{
    const struct metric_entry *a = *(struct metric_entry *const *)left;
    const struct metric_entry *b = *(struct metric_entry *const *)right;
    int order = str_compare(a->name, b->name);
    return order ? order : (a > b) - (a < b); /* within an answer as it came */
}

static bool has_meta(const struct metric_entry *entry, const struct metric_meta *meta)
{
    for (size_t i = 0; i < entry->value.metas.count; i++) {
        const struct metric_meta *known = &entry->value.metas.items[i];
        if (str_equal(known->type, meta->type) && str_equal(known->help, meta->help) &&
            str_equal(known->unit, meta->unit))
            return true;
    }
    return false;
}

static void add_entry(struct metric_metadata *all, struct arena *arena,
                      const struct metric_entry *entry)
{
    struct metric_entry *last = NULL;
    if (all->entries.count)
        last = &all->entries.items[all->entries.count - 1];
    if (!last || !str_equal(last->name, entry->name)) {
        last = records_add(&all->entries, arena);
        last->name = entry->name;
    }
    for (size_t i = 0; i < entry->value.metas.count; i++)
        if (!has_meta(last, &entry->value.metas.items[i]))
            *records_add(&last->value.metas, arena) = entry->value.metas.items[i];
}

struct metric_metadata metric_metadata_join(const struct metric_metadata *answers, size_t count,
                                            int64_t limit, struct arena *arena)
{
    RECORDS(struct metric_entry *) sorted = {0};
    struct metric_metadata all = {0};
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < answers[i].entries.count; j++)
            *records_add(&sorted, arena) = &answers[i].entries.items[j];
    if (sorted.count)
        qsort(sorted.items, sorted.count, sizeof(struct metric_entry *), compare_entries);
    for (size_t i = 0; i < sorted.count; i++)
        add_entry(&all, arena, sorted.items[i]);
    if (limit >= 0 && all.entries.count > (uint64_t)limit)
        all.entries.count = (size_t)limit;
    return all;
}
