#include "block/tombstones.h"

#include <stdlib.h>

#include "base/vec.h"
#include "codec/crc32c.h"
#include "codec/reader.h"

static const uint32_t TOMBSTONES_MAGIC = 0x0130ba30;

static int tombstone_compare(const void *a, const void *b)
{
    const struct tombstone *left = a, *right = b;
    if (left->series != right->series)
        return left->series < right->series ? -1 : 1;
    if (left->interval.min_time != right->interval.min_time)
        return left->interval.min_time < right->interval.min_time ? -1 : 1;
    return 0;
}

/* Joins intervals of a series that overlap or touch. */
static size_t join_intervals(struct tombstone *items, size_t count)
{
    size_t kept = 0;
    for (size_t i = 1; i < count; i++) {
        struct tombstone *last = &items[kept];
        if (items[i].series != last->series ||
            items[i].interval.min_time > int64_add_saturating(last->interval.max_time, 1))
            items[++kept] = items[i];
        else
            last->interval.max_time =
                int64_max(last->interval.max_time, items[i].interval.max_time);
    }
    return count > 0 ? kept + 1 : 0;
}

struct error *tombstones_parse(struct bytes file, struct tombstones *out)
{
    struct reader reader = reader_create(file);
    *out = (struct tombstones){0};
    uint32_t magic = reader_u32_be(&reader);
    uint8_t version = reader_u8(&reader);
    if (reader.failed || reader_left(&reader) < 4 || magic != TOMBSTONES_MAGIC || version != 1)
        return error_create(ERROR_CORRUPT, "tombstones: this is no such file");
    struct bytes entries = reader_bytes(&reader, reader_left(&reader) - 4);
    if (reader_u32_be(&reader) != crc32c(0, entries.data, entries.len))
        return error_create(ERROR_CORRUPT, "tombstones: wrong checksum");
    VEC(struct tombstone) items = VEC_INIT(NULL);
    reader = reader_create(entries);
    while (reader_left(&reader) > 0) {
        struct tombstone item;
        item.series = reader_uvarint(&reader);
        item.interval.min_time = reader_varint(&reader);
        item.interval.max_time = reader_varint(&reader);
        if (!reader.failed)
            vec_push(&items, item);
    }
    if (items.len > 0)
        qsort(items.items, items.len, sizeof(items.items[0]), tombstone_compare);
    *out = (struct tombstones){items.items, join_intervals(items.items, items.len)};
    struct error *err = reader_error(&reader, "tombstones");
    if (err)
        tombstones_deinit(out);
    return err;
}

void tombstones_deinit(struct tombstones *tombstones)
{
    free(tombstones->items);
    *tombstones = (struct tombstones){0};
}

const struct tombstone *tombstones_of(const struct tombstones *tombstones, uint64_t series,
                                      size_t *count)
{
    size_t from = 0, to = tombstones->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (tombstones->items[middle].series < series)
            from = middle + 1;
        else
            to = middle;
    }
    *count = 0;
    while (from + *count < tombstones->count && tombstones->items[from + *count].series == series)
        ++*count;
    return tombstones->items + from;
}
