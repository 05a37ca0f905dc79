#include "block/index_writer.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/hash_index.h"
#include "base/memory.h"
#include "base/vec.h"
#include "codec/crc32c.h"
#include "codec/reader.h"
#include "runtime/directory.h"
#include "runtime/file.h"
#include "runtime/file_writer.h"

enum { POSTINGS_A_PASS = 4 << 20 }; /* of all names in a pass, 8 bytes each */

struct symbol {
    struct str text;
    uint32_t number;    /* in the order they came */
    uint64_t name_uses; /* series that have a label of this name */
};

struct index_writer {
    struct arena *arena; /* of symbols */
    struct str index_path, series_path, table_path;
    struct file_writer index, series, table; /* the last two are only for a while */
    struct hash_index symbol_index;
    VEC(struct symbol *) symbols;
    uint32_t *ranks; /* number -> place in the sorted order */
    struct buf last_labels, entry, body;
    uint64_t series_count, series_max, table_entries;
    uint32_t table_checksum;
    bool table_is_open;
    struct index_toc toc;
};

/* ---- writing numbers ---- */

static void put_uvarint(struct buf *out, uint64_t value)
{
    uint8_t bytes[VARINT_MAX];
    buf_append(out, bytes, varint_encode(bytes, value));
}

static void put_varint(struct buf *out, int64_t value)
{
    put_uvarint(out, zigzag_encode(value));
}

static void put_u32(struct buf *out, uint32_t value)
{
    value = __builtin_bswap32(value);
    buf_append(out, &value, sizeof(value));
}

static void put_u64(struct buf *out, uint64_t value)
{
    value = __builtin_bswap64(value);
    buf_append(out, &value, sizeof(value));
}

static void write_u32(struct file_writer *file, uint32_t value)
{
    value = __builtin_bswap32(value);
    file_writer_append(file, &value, sizeof(value));
}

static void write_padding(struct file_writer *file, size_t align)
{
    static const char zeros[INDEX_SERIES_ALIGN];
    file_writer_append(file, zeros, (align - file_writer_place(file) % align) % align);
}

static void write_checked(struct file_writer *file, const struct buf *content, uint32_t *checksum)
{
    file_writer_append(file, content->data, content->len);
    *checksum = crc32c(*checksum, content->data, content->len);
}

/* ---- taking series ---- */

static struct error *find_symbol(struct index_writer *writer, struct str text, struct symbol **out)
{
    uint64_t hash = hash_bytes(text.data, text.len);
    size_t at;
    for (struct symbol *symbol = hash_index_first(&writer->symbol_index, hash, &at); symbol;
         symbol = hash_index_next(&writer->symbol_index, hash, &at)) {
        if (str_equal(symbol->text, text)) {
            *out = symbol;
            return NULL;
        }
    }
    if (writer->symbols.len == UINT32_MAX)
        return error_create(ERROR_LIMIT, "index: too many symbols");
    struct symbol *symbol = arena_zalloc(writer->arena, sizeof(*symbol));
    symbol->text = arena_str(writer->arena, text);
    symbol->number = (uint32_t)writer->symbols.len;
    *out = symbol;
    struct error *err = hash_index_add(&writer->symbol_index, hash, symbol);
    if (!err && !vec_push(&writer->symbols, symbol))
        err = vec_status(&writer->symbols);
    error_keep_first(&err, arena_status(writer->arena));
    return err;
}

struct error *index_writer_open(struct str directory, struct budget *budget,
                                struct index_writer **out)
{
    struct index_writer *writer = xcalloc(1, sizeof(*writer));
    struct symbol *empty;
    writer->index.fd = writer->series.fd = writer->table.fd = -1;
    writer->arena = arena_create(budget);
    writer->symbol_index.budget = writer->symbols.budget = budget;
    writer->index_path = path_join(writer->arena, directory, STR("index"));
    writer->series_path = path_join(writer->arena, directory, STR("index.series"));
    writer->table_path = path_join(writer->arena, directory, STR("index.table"));
    struct error *err = file_writer_open(&writer->index, writer->index_path);
    if (!err)
        err = file_writer_open(&writer->series, writer->series_path);
    if (!err) /* Prometheus has it in every index */
        err = find_symbol(writer, STR(""), &empty);
    if (err) {
        index_writer_free(writer);
        writer = NULL;
    }
    *out = writer;
    return err;
}

static struct error *put_chunks(struct buf *out, const struct chunk_meta *chunks, size_t count)
{
    put_uvarint(out, count);
    for (size_t i = 0; i < count; i++) {
        const struct chunk_meta *chunk = &chunks[i];
        if (chunk->max_time < chunk->min_time ||
            (i > 0 && chunk->min_time <= chunks[i - 1].max_time))
            return error_create(ERROR_INVALID, "index: chunks of a series overlap");
        uint64_t length = (uint64_t)chunk->max_time - (uint64_t)chunk->min_time;
        if (i == 0) {
            put_varint(out, chunk->min_time);
            put_uvarint(out, length);
            put_uvarint(out, chunk->ref);
        } else {
            put_uvarint(out, (uint64_t)chunk->min_time - (uint64_t)chunks[i - 1].max_time);
            put_uvarint(out, length);
            put_varint(out, (int64_t)(chunk->ref - chunks[i - 1].ref));
        }
    }
    return NULL;
}

struct error *index_writer_add(struct index_writer *writer, struct labels labels,
                               const struct chunk_meta *chunks, size_t count)
{
    struct labels last = {(const uint8_t *)writer->last_labels.data, writer->last_labels.len};
    if (writer->series_count > 0 && labels_compare(last, labels) >= 0)
        return error_create(ERROR_INVALID, "index: series are out of order");
    buf_clear(&writer->last_labels);
    buf_append(&writer->last_labels, labels.data, labels.len);
    buf_clear(&writer->entry);
    buf_clear(&writer->body);
    put_uvarint(&writer->entry, labels_count(labels));
    struct labels_reader reader = labels_read(labels);
    struct label label;
    struct error *err = NULL;
    while (!err && labels_next(&reader, &label)) {
        struct symbol *name, *value = NULL;
        err = find_symbol(writer, label.name, &name);
        if (!err)
            err = find_symbol(writer, label.value, &value);
        if (err)
            return err;
        name->name_uses++;
        put_uvarint(&writer->entry, name->number);
        put_uvarint(&writer->entry, value->number);
    }
    err = put_chunks(&writer->body, chunks, count);
    if (err)
        return err;
    put_uvarint(&writer->entry, writer->body.len);
    buf_append(&writer->entry, writer->body.data, writer->body.len);
    file_writer_append(&writer->series, writer->entry.data, writer->entry.len);
    writer->series_count++;
    return NULL;
}

/* ---- symbols ---- */

static int symbol_compare(const void *a, const void *b)
{
    return str_compare((*(struct symbol *const *)a)->text, (*(struct symbol *const *)b)->text);
}

static struct error *write_symbols(struct index_writer *writer)
{
    uint64_t len = 4;
    uint32_t checksum = 0;
    struct buf piece = {0};
    qsort(writer->symbols.items, writer->symbols.len, sizeof(writer->symbols.items[0]),
          symbol_compare);
    writer->ranks = xcalloc(writer->symbols.len, sizeof(*writer->ranks));
    for (size_t i = 0; i < writer->symbols.len; i++) {
        const struct symbol *symbol = writer->symbols.items[i];
        writer->ranks[symbol->number] = (uint32_t)i;
        len += varint_size(symbol->text.len) + symbol->text.len;
    }
    if (len > UINT32_MAX)
        return error_create(ERROR_LIMIT, "index: symbols take more than 4 GiB");
    writer->toc.symbols = file_writer_place(&writer->index);
    write_u32(&writer->index, (uint32_t)len);
    put_u32(&piece, (uint32_t)writer->symbols.len);
    for (size_t i = 0; i < writer->symbols.len; i++) {
        put_uvarint(&piece, writer->symbols.items[i]->text.len);
        buf_append_str(&piece, writer->symbols.items[i]->text);
        if (piece.len > 64 * 1024 || i + 1 == writer->symbols.len) {
            write_checked(&writer->index, &piece, &checksum);
            buf_clear(&piece);
        }
    }
    write_u32(&writer->index, checksum);
    buf_deinit(&piece);
    return NULL;
}

/* ---- series ---- */

static void write_entry(struct index_writer *writer, struct reader *waiting)
{
    struct buf *body = &writer->body, *head = &writer->entry;
    uint64_t count = reader_uvarint(waiting);
    buf_clear(body);
    buf_clear(head);
    put_uvarint(body, count);
    for (uint64_t i = 0; i < 2 * count && !waiting->failed; i++)
        put_uvarint(body, writer->ranks[reader_uvarint(waiting)]);
    struct bytes chunks = reader_uvarint_bytes(waiting);
    buf_append(body, chunks.data, chunks.len);
    put_uvarint(head, body->len);
    write_padding(&writer->index, INDEX_SERIES_ALIGN);
    file_writer_append(&writer->index, head->data, head->len);
    file_writer_append(&writer->index, body->data, body->len);
    write_u32(&writer->index, crc32c(0, body->data, body->len));
    if (body->len > writer->series_max)
        writer->series_max = body->len;
}

static struct error *write_series(struct index_writer *writer)
{
    struct file_map map = {0};
    struct error *err = file_writer_flush(&writer->series);
    if (!err)
        err = file_map_open(writer->series_path, &map);
    if (err)
        return err;
    struct reader waiting = reader_create(map.bytes);
    writer->toc.series = file_writer_place(&writer->index);
    while (reader_left(&waiting) > 0 && !waiting.failed)
        write_entry(writer, &waiting);
    err = reader_error(&waiting, "index.series");
    file_map_close(&map);
    if (!err && file_writer_place(&writer->index) / INDEX_SERIES_ALIGN > UINT32_MAX)
        err = error_create(ERROR_LIMIT, "index: more than 64 GiB");
    return err;
}

/* ---- postings ---- */

/* Series of one label name: value number above, series reference below. */
struct name_postings {
    const struct symbol *name;
    uint64_t *items;
    size_t count;
};

static int item_compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void put_pair(struct buf *out, struct str name, struct str value, uint64_t place)
{
    put_uvarint(out, 2);
    put_uvarint(out, name.len);
    buf_append_str(out, name);
    put_uvarint(out, value.len);
    buf_append_str(out, value);
    put_uvarint(out, place);
}

/* items: the lower halves are the references. */
static struct error *write_list(struct index_writer *writer, struct str name, struct str value,
                                const uint64_t *items, size_t count)
{
    struct buf *list = &writer->body, *entry = &writer->entry;
    write_padding(&writer->index, 4);
    buf_clear(entry);
    put_pair(entry, name, value, file_writer_place(&writer->index));
    write_checked(&writer->table, entry, &writer->table_checksum);
    writer->table_entries++;
    buf_clear(list);
    put_u32(list, (uint32_t)count);
    char *refs = buf_reserve(list, count * sizeof(uint32_t) + 1);
    if (!refs)
        return buf_status(list);
    for (size_t i = 0; i < count; i++) {
        uint32_t ref = __builtin_bswap32((uint32_t)items[i]);
        memcpy(refs + i * sizeof(ref), &ref, sizeof(ref));
    }
    list->len += count * sizeof(uint32_t);
    write_u32(&writer->index, (uint32_t)list->len);
    file_writer_append(&writer->index, list->data, list->len);
    write_u32(&writer->index, crc32c(0, list->data, list->len));
    return NULL;
}

/* Calls each() for every series entry of the index so far. */
typedef void (*each_series)(void *self, struct reader body, uint32_t ref);

static struct error *for_each_series(struct bytes index, uint64_t from, uint64_t to,
                                     each_series each, void *self)
{
    struct reader reader = {index.data + from, index.data + to, false};
    while (reader_left(&reader) > 0) {
        uint64_t place = (uint64_t)(reader.at - index.data);
        reader_skip(&reader,
                    (INDEX_SERIES_ALIGN - place % INDEX_SERIES_ALIGN) % INDEX_SERIES_ALIGN);
        place = (uint64_t)(reader.at - index.data);
        struct bytes body = reader_uvarint_bytes(&reader);
        reader_skip(&reader, 4);
        if (reader.failed)
            break;
        each(self, reader_create(body), (uint32_t)(place / INDEX_SERIES_ALIGN));
    }
    return reader_error(&reader, "index being written");
}

struct pass {
    struct name_postings *names; /* by rank */
    size_t count;
    const uint32_t
        *rank_to_name; /* rank of a name -> its place in names + 1; 0: not of this pass */
};

static void gather_all(void *self, struct reader body, uint32_t ref)
{
    struct name_postings *all = self;
    all->items[all->count++] = ref;
}

static void gather_names(void *self, struct reader body, uint32_t ref)
{
    const struct pass *pass = self;
    uint64_t count = reader_uvarint(&body);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t name = reader_uvarint(&body), value = reader_uvarint(&body);
        if (pass->rank_to_name[name] == 0)
            continue;
        struct name_postings *postings = &pass->names[pass->rank_to_name[name] - 1];
        postings->items[postings->count++] = value << 32 | ref;
    }
}

static struct error *write_name(struct index_writer *writer, struct name_postings *postings)
{
    struct error *err = NULL;
    qsort(postings->items, postings->count, sizeof(*postings->items), item_compare);
    for (size_t from = 0, to; from < postings->count && !err; from = to) {
        uint64_t value = postings->items[from] >> 32;
        for (to = from + 1; to < postings->count && postings->items[to] >> 32 == value;)
            to++;
        err = write_list(writer, postings->name->text, writer->symbols.items[value]->text,
                         postings->items + from, to - from);
    }
    return err;
}

static struct error *write_pass(struct index_writer *writer, struct bytes index,
                                struct name_postings *names, size_t count, uint32_t *rank_to_name)
{
    struct pass pass = {names, count, rank_to_name};
    for (size_t i = 0; i < count; i++) {
        names[i].items = xcalloc(names[i].name->name_uses, sizeof(*names[i].items));
        rank_to_name[writer->ranks[names[i].name->number]] = (uint32_t)i + 1;
    }
    struct error *err =
        for_each_series(index, writer->toc.series, writer->toc.label_indices, gather_names, &pass);
    for (size_t i = 0; i < count; i++) {
        if (!err)
            err = write_name(writer, &names[i]);
        rank_to_name[writer->ranks[names[i].name->number]] = 0;
        free(names[i].items);
    }
    return err;
}

static struct error *write_names(struct index_writer *writer, struct bytes index)
{
    uint32_t *rank_to_name = xcalloc(writer->symbols.len, sizeof(*rank_to_name));
    VEC(struct name_postings) names = VEC_INIT(NULL);
    struct error *err = NULL;
    uint64_t uses = 0;
    for (size_t i = 0; i < writer->symbols.len && !err; i++) {
        const struct symbol *symbol = writer->symbols.items[i];
        if (symbol->name_uses == 0)
            continue;
        if (names.len > 0 && uses + symbol->name_uses > POSTINGS_A_PASS) {
            err = write_pass(writer, index, names.items, names.len, rank_to_name);
            vec_clear(&names);
            uses = 0;
        }
        vec_push(&names, (struct name_postings){.name = symbol});
        uses += symbol->name_uses;
    }
    if (!err && names.len > 0)
        err = write_pass(writer, index, names.items, names.len, rank_to_name);
    vec_deinit(&names);
    free(rank_to_name);
    return err;
}

static struct error *write_postings(struct index_writer *writer)
{
    struct file_map map = {0};
    writer->toc.label_indices = file_writer_place(&writer->index);
    struct error *err = file_writer_flush(&writer->index);
    if (!err)
        err = file_writer_open(&writer->table, writer->table_path);
    writer->table_is_open = !err;
    if (!err)
        err = file_map_open(writer->index_path, &map);
    if (err)
        return err;
    writer->toc.postings = writer->toc.label_indices;
    struct name_postings all = {
        .items = xcalloc(writer->series_count + 1, sizeof(*all.items)),
    };
    err =
        for_each_series(map.bytes, writer->toc.series, writer->toc.label_indices, gather_all, &all);
    if (!err)
        err = write_list(writer, STR(""), STR(""), all.items, all.count);
    free(all.items);
    if (!err)
        err = write_names(writer, map.bytes);
    file_map_close(&map);
    return err;
}

/* ---- the end ---- */

static struct error *write_table(struct index_writer *writer)
{
    struct file_map map = {0};
    struct buf count = {0};
    struct error *err = file_writer_flush(&writer->table);
    if (!err)
        err = file_map_open(writer->table_path, &map);
    if (err)
        return err;
    writer->toc.label_table = writer->toc.postings_table = file_writer_place(&writer->index);
    if (map.bytes.len + 4 > UINT32_MAX || writer->table_entries > UINT32_MAX)
        err = error_create(ERROR_LIMIT, "index: the offset table takes more than 4 GiB");
    put_u32(&count, (uint32_t)writer->table_entries);
    uint32_t checksum = crc32c(0, count.data, count.len);
    checksum = crc32c(checksum, map.bytes.data, map.bytes.len);
    write_u32(&writer->index, (uint32_t)(map.bytes.len + 4));
    file_writer_append(&writer->index, count.data, count.len);
    file_writer_append(&writer->index, map.bytes.data, map.bytes.len);
    write_u32(&writer->index, checksum);
    buf_deinit(&count);
    file_map_close(&map);
    return err;
}

static void write_toc(struct index_writer *writer)
{
    const struct index_toc *toc = &writer->toc;
    struct buf bytes = {0};
    put_u64(&bytes, toc->symbols);
    put_u64(&bytes, toc->series);
    put_u64(&bytes, toc->label_indices);
    put_u64(&bytes, toc->label_table);
    put_u64(&bytes, toc->postings);
    put_u64(&bytes, toc->postings_table);
    put_u32(&bytes, crc32c(0, bytes.data, bytes.len));
    file_writer_append(&writer->index, bytes.data, bytes.len);
    buf_deinit(&bytes);
}

struct error *index_writer_finish(struct index_writer *writer, uint64_t *series_max)
{
    buf_clear(&writer->body);
    index_header_write(&writer->body);
    file_writer_append(&writer->index, writer->body.data, writer->body.len);
    struct error *err = write_symbols(writer);
    if (!err)
        err = write_series(writer);
    if (!err)
        err = write_postings(writer);
    if (!err)
        err = write_table(writer);
    if (err)
        return err;
    write_toc(writer);
    *series_max = writer->series_max;
    return file_writer_close(&writer->index);
}

void index_writer_free(struct index_writer *writer)
{
    if (!writer)
        return;
    file_writer_abandon(&writer->index);
    file_writer_abandon(&writer->series);
    file_writer_abandon(&writer->table);
    error_free(file_remove(writer->series_path));
    if (writer->table_is_open)
        error_free(file_remove(writer->table_path));
    hash_index_deinit(&writer->symbol_index);
    vec_deinit(&writer->symbols);
    free(writer->ranks);
    buf_deinit(&writer->last_labels);
    buf_deinit(&writer->entry);
    buf_deinit(&writer->body);
    arena_unref(writer->arena);
    free(writer);
}
