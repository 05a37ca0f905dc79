#include "block/postings_table.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/vec.h"

enum { VALUES_A_SAMPLE = 32, PAIR = 2 };

struct entry {
    struct str name, value;
    uint64_t place;
};

static bool entry_read(struct reader *reader, struct entry *out)
{
    if (reader_left(reader) == 0)
        return false;
    if (reader_uvarint(reader) != PAIR)
        reader_fail(reader);
    out->name = bytes_str(reader_uvarint_bytes(reader));
    out->value = bytes_str(reader_uvarint_bytes(reader));
    out->place = reader_uvarint(reader);
    return !reader->failed;
}

static int entry_compare(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    int order = str_compare(left->name, right->name);
    return order ? order : str_compare(left->value, right->value);
}

static int place_compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* ---- opening ---- */

/* Writes the entries again in order; remembers where lists begin, for that order is another. */
static struct error *sort_entries(struct postings_table *table)
{
    VEC(struct entry) entries = VEC_INIT(NULL);
    struct reader reader = reader_create(table->entries);
    struct entry entry;
    while (entry_read(&reader, &entry))
        vec_push(&entries, entry);
    qsort(entries.items, entries.len, sizeof(entry), entry_compare);
    table->places = xcalloc(entries.len + 1, sizeof(*table->places));
    table->place_count = entries.len;
    for (size_t i = 0; i < entries.len; i++) {
        const struct str texts[] = {entries.items[i].name, entries.items[i].value};
        uint8_t number[VARINT_MAX];
        buf_append_byte(&table->sorted, PAIR);
        for (size_t k = 0; k < countof(texts); k++) {
            buf_append(&table->sorted, number, varint_encode(number, texts[k].len));
            buf_append_str(&table->sorted, texts[k]);
        }
        buf_append(&table->sorted, number, varint_encode(number, entries.items[i].place));
        table->places[i] = entries.items[i].place;
    }
    qsort(table->places, table->place_count, sizeof(*table->places), place_compare);
    vec_deinit(&entries);
    table->entries = buf_bytes(&table->sorted);
    return NULL;
}

struct sampling {
    VEC(struct postings_name) names;
    VEC(uint32_t) samples;
};

/* *sorted = false: entries are in no order, and nothing else counts. */
static struct error *sample_entries(const struct postings_table *table, uint32_t count,
                                    struct sampling *sampling, bool *sorted)
{
    struct reader reader = reader_create(table->entries);
    struct entry entry, before = {{"", 0}, {"", 0}, 0};
    uint32_t read = 0;
    *sorted = true;
    for (;;) {
        uint32_t place = (uint32_t)(reader.at - table->entries.data);
        if (!entry_read(&reader, &entry))
            break;
        if (read > 0 && entry_compare(&before, &entry) >= 0) {
            *sorted = false;
            return NULL;
        }
        if (read == 0 || !str_equal(before.name, entry.name))
            vec_push(&sampling->names,
                     (struct postings_name){entry.name, (uint32_t)sampling->samples.len, 0});
        if (vec_last(&sampling->names).value_count++ % VALUES_A_SAMPLE == 0)
            vec_push(&sampling->samples, place);
        before = entry;
        read++;
    }
    vec_push(&sampling->samples, (uint32_t)table->entries.len);
    if (!reader.failed && read != count)
        return error_create(ERROR_CORRUPT, "postings offset table: %u entries announced, %u found",
                            count, read);
    return reader_error(&reader, "postings offset table");
}

struct error *postings_table_open(struct postings_table *table, struct bytes content,
                                  uint64_t lists_end)
{
    struct reader reader = reader_create(content);
    uint32_t count = reader_u32_be(&reader);
    *table = (struct postings_table){.lists_end = lists_end};
    table->entries = reader_bytes(&reader, reader_left(&reader));
    struct sampling sampling = {VEC_INIT(NULL), VEC_INIT(NULL)};
    bool sorted = true;
    struct error *err = sample_entries(table, count, &sampling, &sorted);
    if (!err && !sorted) {
        vec_clear(&sampling.names);
        vec_clear(&sampling.samples);
        err = sort_entries(table);
        if (!err)
            err = sample_entries(table, count, &sampling, &sorted);
        if (!err && !sorted)
            err = error_create(ERROR_CORRUPT, "postings offset table: a pair occurs twice");
    }
    table->names = sampling.names.items;
    table->name_count = sampling.names.len;
    table->samples = sampling.samples.items;
    table->sample_count = sampling.samples.len;
    if (err)
        postings_table_close(table);
    return err;
}

void postings_table_close(struct postings_table *table)
{
    free(table->names);
    free(table->samples);
    free(table->places);
    buf_deinit(&table->sorted);
    *table = (struct postings_table){0};
}

/* ---- lookups ---- */

const struct postings_name *postings_table_name(const struct postings_table *table, struct str name)
{
    size_t from = 0, to = table->name_count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = str_compare(table->names[middle].name, name);
        if (order == 0)
            return &table->names[middle];
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

static struct reader reader_at_sample(const struct postings_table *table, size_t sample)
{
    struct reader reader = reader_create(table->entries);
    reader_skip(&reader, table->samples[sample]);
    return reader;
}

/* The last of the name's samples that is not above `from`, or the first of all. */
static size_t find_sample(const struct postings_table *table, const struct postings_name *name,
                          struct str from)
{
    size_t low = 0, high = (name->value_count + VALUES_A_SAMPLE - 1) / VALUES_A_SAMPLE;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        struct reader reader = reader_at_sample(table, name->first_sample + middle);
        struct entry entry;
        if (entry_read(&reader, &entry) && str_compare(entry.value, from) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void cursor_advance(struct postings_cursor *cursor)
{
    struct entry entry;
    if (--cursor->left == 0 || !entry_read(&cursor->reader, &entry)) {
        cursor->left = 0;
        return;
    }
    cursor->value = entry.value;
    cursor->place = entry.place;
}

struct postings_cursor postings_values(const struct postings_table *table,
                                       const struct postings_name *name, struct str from)
{
    size_t sample = find_sample(table, name, from);
    struct postings_cursor cursor = {
        .table = table,
        .name = name->name,
        .reader = reader_at_sample(table, name->first_sample + sample),
        .left = name->value_count - sample * VALUES_A_SAMPLE + 1,
    };
    cursor_advance(&cursor);
    while (cursor.left > 0 && str_compare(cursor.value, from) < 0)
        cursor_advance(&cursor);
    return cursor;
}

/* Where the list at a place ends at the latest: where the next one begins. */
static uint64_t list_end(const struct postings_cursor *cursor, uint64_t place)
{
    const struct postings_table *table = cursor->table;
    if (table->places) {
        size_t from = 0, to = table->place_count;
        while (from < to) {
            size_t middle = from + (to - from) / 2;
            if (table->places[middle] <= place)
                from = middle + 1;
            else
                to = middle;
        }
        return from < table->place_count ? table->places[from] : table->lists_end;
    }
    struct reader ahead = cursor->reader;
    struct entry next;
    return entry_read(&ahead, &next) ? next.place : table->lists_end;
}

bool postings_values_next(struct postings_cursor *cursor, struct postings_key *out)
{
    if (cursor->left == 0)
        return false;
    *out = (struct postings_key){cursor->name, cursor->value, cursor->place,
                                 list_end(cursor, cursor->place)};
    if (out->end > cursor->table->lists_end || out->end < out->start)
        out->end = cursor->table->lists_end; /* whoever reads the list sees what is wrong */
    cursor_advance(cursor);
    return true;
}

bool postings_table_find(const struct postings_table *table, struct str name, struct str value,
                         struct postings_key *out)
{
    const struct postings_name *found = postings_table_name(table, name);
    if (!found)
        return false;
    struct postings_cursor cursor = postings_values(table, found, value);
    return postings_values_next(&cursor, out) && str_equal(out->value, value);
}
