#include "block/index_format.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "codec/crc32c.h"
#include "codec/reader.h"

static const uint32_t INDEX_MAGIC_NUMBER = 0xbaaad700;

static struct error *corrupt(const char *what, const char *why)
{
    return error_create(ERROR_CORRUPT, "%s: %s", what, why);
}

struct error *index_header_read(struct bytes header, int *version)
{
    struct reader reader = reader_create(header);
    uint32_t magic = reader_u32_be(&reader);
    *version = reader_u8(&reader);
    if (reader.failed || magic != INDEX_MAGIC_NUMBER)
        return corrupt("index header", "this is no index");
    if (*version != 1 && *version != 2)
        return error_create(ERROR_CORRUPT, "index header: version %d is not known", *version);
    return NULL;
}

void index_header_write(struct buf *out)
{
    const uint32_t magic = __builtin_bswap32(INDEX_MAGIC_NUMBER);
    buf_append(out, &magic, sizeof(magic));
    buf_append_byte(out, 2);
}

struct error *index_toc_read(struct bytes toc, uint64_t index_len, struct index_toc *out)
{
    struct reader reader = reader_create(toc);
    uint64_t *const fields[] = {&out->symbols,     &out->series,   &out->label_indices,
                                &out->label_table, &out->postings, &out->postings_table};
    if (toc.len != INDEX_TOC_LEN || index_len < INDEX_HEADER_LEN + INDEX_TOC_LEN)
        return corrupt("index", "too short");
    for (size_t i = 0; i < countof(fields); i++)
        *fields[i] = reader_u64_be(&reader);
    if (reader_u32_be(&reader) != crc32c(0, toc.data, INDEX_TOC_LEN - 4))
        return corrupt("index table of contents", "wrong checksum");
    for (size_t i = 0; i < countof(fields); i++) {
        if (*fields[i] > index_len - INDEX_TOC_LEN)
            return corrupt("index table of contents", "a section lies outside of the index");
    }
    if (out->series < out->symbols || out->symbols < INDEX_HEADER_LEN ||
        out->postings_table < out->series)
        return corrupt("index table of contents", "sections are out of order");
    return NULL;
}

struct error *index_section_read(struct bytes bytes, const char *what, struct bytes *content)
{
    struct reader reader = reader_create(bytes);
    uint32_t len = reader_u32_be(&reader);
    *content = reader_bytes(&reader, len);
    uint32_t checksum = reader_u32_be(&reader);
    if (reader.failed)
        return corrupt(what, "ends too early");
    return checksum == crc32c(0, content->data, content->len) ? NULL
                                                              : corrupt(what, "wrong checksum");
}

/* ---- symbols ---- */

enum { SYMBOLS_A_PLACE = 8 };

struct error *symbol_table_open(struct symbol_table *table, struct bytes content, int version,
                                uint64_t place_in_index)
{
    struct reader reader = reader_create(content);
    uint32_t count = reader_u32_be(&reader);
    *table = (struct symbol_table){
        .content = content,
        .count = count,
        .by_place = version == 1,
        .place_in_index = place_in_index,
    };
    if (reader.failed || count > reader_left(&reader)) /* each takes a byte at least */
        return corrupt("symbols", "more are announced than fit in");
    table->places = xcalloc(count / SYMBOLS_A_PLACE + 1, sizeof(*table->places));
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        if (i % SYMBOLS_A_PLACE == 0)
            table->places[i / SYMBOLS_A_PLACE] = (uint32_t)(reader.at - content.data);
        (void)reader_uvarint_bytes(&reader);
    }
    if (!reader.failed)
        return NULL;
    symbol_table_close(table);
    return reader_error(&reader, "symbols");
}

void symbol_table_close(struct symbol_table *table)
{
    free(table->places);
    *table = (struct symbol_table){0};
}

bool symbol_table_get(const struct symbol_table *table, uint32_t ref, struct str *out)
{
    struct reader reader = reader_create(table->content);
    uint64_t skipped = 0;
    if (table->by_place) {
        if (ref < table->place_in_index + 4)
            return false;
        reader_skip(&reader, ref - table->place_in_index);
    } else {
        if (ref >= table->count)
            return false;
        reader_skip(&reader, table->places[ref / SYMBOLS_A_PLACE]);
        skipped = ref % SYMBOLS_A_PLACE;
    }
    for (; skipped > 0; skipped--)
        (void)reader_uvarint_bytes(&reader);
    *out = bytes_str(reader_uvarint_bytes(&reader));
    return !reader.failed;
}

/* ---- series ---- */

struct error *index_series_body(struct bytes bytes, struct bytes *body)
{
    struct reader reader = reader_create(bytes);
    *body = reader_uvarint_bytes(&reader);
    uint32_t checksum = reader_u32_be(&reader);
    if (reader.failed)
        return corrupt("series entry", "ends too early");
    return checksum == crc32c(0, body->data, body->len) ? NULL
                                                        : corrupt("series entry", "wrong checksum");
}

/* Reads `count` pairs of symbols twice: to measure, to write. */
static struct error *decode_labels(struct reader pairs, size_t count,
                                   const struct symbol_table *symbols, struct arena *arena,
                                   struct labels *out)
{
    struct label *labels = arena_array(arena, count + 1, sizeof(*labels));
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t name = reader_uvarint(&pairs), value = reader_uvarint(&pairs);
        if (name > UINT32_MAX || value > UINT32_MAX ||
            !symbol_table_get(symbols, (uint32_t)name, &labels[i].name) ||
            !symbol_table_get(symbols, (uint32_t)value, &labels[i].value))
            return corrupt("series entry", "names a symbol that is not there");
        if (labels[i].name.len == 0 || labels[i].value.len == 0 ||
            labels[i].name.len > LABEL_LENGTH_MAX || labels[i].value.len > LABEL_LENGTH_MAX)
            return corrupt("series entry", "a label is empty or too long");
        if (i > 0 && str_compare(labels[i - 1].name, labels[i].name) >= 0)
            return corrupt("series entry", "labels are out of order");
        len += labels[i].name.len + labels[i].value.len + 8;
    }
    if (len > LABELS_BYTES_MAX)
        return corrupt("series entry", "the label set is too long");
    uint8_t *start = arena_bytes(arena, len), *at = start;
    for (size_t i = 0; i < count; i++)
        at = labels_put_pair(at, labels[i].name, labels[i].value);
    *out = (struct labels){start, (size_t)(at - start)};
    return NULL;
}

/* Goes through all chunk entries and keeps those in the time range. The reader stands behind their
 * number. */
static struct error *decode_chunks(struct reader *reader, uint64_t count, int64_t min_time,
                                   int64_t max_time, struct arena *arena, struct index_series *out)
{
    struct chunk_meta meta = {0};
    size_t room = 0;
    for (uint64_t i = 0; i < count; i++) {
        int64_t last = meta.max_time;
        uint64_t length;
        bool overflows;
        if (i == 0) {
            meta.min_time = reader_varint(reader);
            length = reader_uvarint(reader);
            meta.ref = reader_uvarint(reader);
            overflows = false;
        } else {
            uint64_t gap = reader_uvarint(reader);
            length = reader_uvarint(reader);
            meta.ref += (uint64_t)reader_varint(reader);
            overflows =
                gap > INT64_MAX || __builtin_add_overflow(last, (int64_t)gap, &meta.min_time);
        }
        overflows |= length > INT64_MAX ||
                     __builtin_add_overflow(meta.min_time, (int64_t)length, &meta.max_time);
        if (reader->failed || overflows)
            return corrupt("series entry", "chunks end too early or overflow");
        if (meta.max_time < min_time || meta.min_time > max_time)
            continue;
        if (out->chunk_count == room) { /* most series have few chunks in a query's range */
            struct chunk_meta *larger =
                arena_array(arena, room = room ? 2 * room : 8, sizeof(meta));
            if (out->chunk_count)
                memcpy(larger, out->chunks, out->chunk_count * sizeof(meta));
            out->chunks = larger;
        }
        out->chunks[out->chunk_count++] = meta;
    }
    return NULL;
}

struct error *index_series_decode(struct bytes body, const struct symbol_table *symbols,
                                  int64_t min_time, int64_t max_time, bool labels_anyway,
                                  struct arena *arena, struct index_series *out)
{
    struct reader reader = reader_create(body);
    *out = (struct index_series){0};
    uint64_t count = reader_uvarint(&reader);
    if (reader.failed || count > reader_left(&reader) / 2)
        return corrupt("series entry", "more labels are announced than fit in");
    struct reader pairs = reader;
    for (uint64_t i = 0; i < 2 * count; i++)
        (void)reader_uvarint(&reader);
    uint64_t chunks = reader_uvarint(&reader);
    if (reader.failed || chunks > reader_left(&reader) / 3)
        return corrupt("series entry", "more chunks are announced than fit in");
    struct error *err = decode_chunks(&reader, chunks, min_time, max_time, arena, out);
    if (err || (out->chunk_count == 0 && !labels_anyway))
        return err;
    return decode_labels(pairs, (size_t)count, symbols, arena, &out->labels);
}

/* ---- postings ---- */

struct error *postings_decode(struct bytes bytes, struct arena *arena, struct postings *out)
{
    struct bytes content;
    struct error *err = index_section_read(bytes, "postings list", &content);
    if (err)
        return err;
    struct reader reader = reader_create(content);
    uint32_t count = reader_u32_be(&reader);
    if (reader.failed || count != reader_left(&reader) / 4 || reader_left(&reader) % 4 != 0)
        return corrupt("postings list", "its length and count disagree");
    uint32_t *refs = arena_try_alloc(arena, (count + 1) * sizeof(*refs));
    if (!refs)
        return arena_status(arena);
    memcpy(refs, reader.at, count * sizeof(*refs));
    bool rises = true;
    for (uint32_t i = 0; i < count; i++) {
        refs[i] = __builtin_bswap32(refs[i]);
        rises &= i == 0 || refs[i - 1] < refs[i];
    }
    *out = (struct postings){refs, count};
    return rises ? NULL : corrupt("postings list", "references are out of order");
}
