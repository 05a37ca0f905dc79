#include "bucket/index_header.h"

#include "base/memory.h"
#include "codec/crc32c.h"
#include "codec/reader.h"
#include "runtime/directory.h"
#include "runtime/file_writer.h"

enum {
    HEADER_LEN = 14,
    TOC_LEN = 20,
};

static const uint32_t HEADER_MAGIC = 0xbaaad792;

/* ---- building ---- */

static void append_be(struct file_writer *file, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    file_writer_append(file, bytes, size);
}

/* The first bytes and the table of contents, in one round trip. */
static struct error *read_ends(struct bucket *bucket, struct context *ctx, struct str key,
                               uint64_t size, int *version, struct index_toc *toc)
{
    if (size < INDEX_HEADER_LEN + INDEX_TOC_LEN)
        return error_create(ERROR_CORRUPT, "index: too short");
    struct bucket_read reads[] = {
        {.key = key, .offset = 0, .length = INDEX_HEADER_LEN},
        {.key = key, .offset = size - INDEX_TOC_LEN, .length = INDEX_TOC_LEN},
    };
    struct error *err = bucket_read_all(bucket, ctx, reads, countof(reads));
    if (!err)
        err = index_header_read(buf_bytes(&reads[0].out), version);
    if (!err)
        err = index_toc_read(buf_bytes(&reads[1].out), size, toc);
    for (size_t i = 0; i < countof(reads); i++)
        buf_deinit(&reads[i].out);
    return err;
}

static struct error *write_file(struct bucket *bucket, struct context *ctx, struct str key,
                                struct file_writer *file)
{
    struct bucket_attributes attributes;
    struct index_toc toc;
    int version;
    uint8_t places[16];
    struct error *err = bucket_attributes(bucket, ctx, key, &attributes);
    if (!err)
        err = read_ends(bucket, ctx, key, attributes.size, &version, &toc);
    if (err)
        return err;
    append_be(file, HEADER_MAGIC, 4);
    append_be(file, 1, 1);
    append_be(file, (uint64_t)version, 1);
    append_be(file, toc.postings_table, 8);
    uint64_t symbols = file_writer_place(file);
    err = bucket_copy_range(bucket, ctx, key, toc.symbols, toc.series, file);
    uint64_t table = file_writer_place(file);
    if (!err)
        err = bucket_copy_range(bucket, ctx, key, toc.postings_table, attributes.size, file);
    for (size_t i = 0; i < 8; i++) {
        places[i] = (uint8_t)(symbols >> (8 * (7 - i)));
        places[8 + i] = (uint8_t)(table >> (8 * (7 - i)));
    }
    file_writer_append(file, places, sizeof(places));
    append_be(file, crc32c(0, places, sizeof(places)), 4);
    return err;
}

struct error *index_header_build(struct bucket *bucket, struct context *ctx, struct str index_key,
                                 struct str path)
{
    struct file_writer file = {.fd = -1};
    struct buf temporary = {0};
    buf_printf(&temporary, "%.*s.tmp", STR_ARG(path));
    struct error *err = file_writer_open(&file, buf_str(&temporary));
    if (!err)
        err = write_file(bucket, ctx, index_key, &file);
    if (!err)
        err = file_writer_publish(&file, path);
    file_writer_abandon(&file);
    if (err)
        error_free(file_remove(buf_str(&temporary)));
    buf_deinit(&temporary);
    return error_wrap(err, "build index header from %.*s", STR_ARG(index_key));
}

/* ---- opening ---- */

static struct error *corrupt(const char *why)
{
    return error_create(ERROR_CORRUPT, "index header: %s", why);
}

/* The index's own table of contents ends the table's part. */
static struct error *read_toc(struct index_header *header, struct bytes table_part,
                              uint64_t table_place)
{
    if (table_part.len < INDEX_TOC_LEN)
        return corrupt("too short");
    struct bytes toc = {table_part.data + table_part.len - INDEX_TOC_LEN, INDEX_TOC_LEN};
    struct error *err = index_toc_read(toc, table_place + table_part.len, &header->toc);
    if (!err && header->toc.postings_table != table_place)
        err = corrupt("it belongs to another index");
    return err;
}

static struct error *read_parts(struct index_header *header, struct bytes file)
{
    struct bytes tail = {file.data + file.len - TOC_LEN, TOC_LEN};
    struct reader reader = reader_create(tail), head = reader_create(file);
    struct bytes content;
    uint64_t symbols = reader_u64_be(&reader), table = reader_u64_be(&reader);
    if (reader_u32_be(&reader) != crc32c(0, tail.data, TOC_LEN - 4))
        return corrupt("wrong checksum");
    uint32_t magic = reader_u32_be(&head);
    uint8_t version = reader_u8(&head);
    header->index_version = reader_u8(&head);
    uint64_t table_place = reader_u64_be(&head);
    if (magic != HEADER_MAGIC || version != 1 ||
        (header->index_version != 1 && header->index_version != 2))
        return corrupt("this is none");
    if (symbols != HEADER_LEN || table < symbols || table > file.len - TOC_LEN ||
        table_place > INT64_MAX)
        return corrupt("parts lie outside of it");
    struct bytes table_part = {file.data + table, file.len - TOC_LEN - table};
    struct error *err = read_toc(header, table_part, table_place);
    if (!err)
        err = index_section_read((struct bytes){file.data + symbols, table - symbols}, "symbols",
                                 &content);
    if (!err)
        err = symbol_table_open(&header->symbols, content, header->index_version,
                                header->toc.symbols + 4);
    if (!err)
        err = index_section_read(table_part, "postings offset table", &content);
    return err ? err : postings_table_open(&header->postings, content, header->toc.postings_table);
}

struct error *index_header_open(struct str path, struct index_header *header)
{
    *header = (struct index_header){0};
    struct error *err = file_map_open(path, &header->file);
    if (!err && header->file.bytes.len < HEADER_LEN + TOC_LEN)
        err = corrupt("too short");
    if (!err)
        err = read_parts(header, header->file.bytes);
    if (err)
        index_header_close(header);
    return error_wrap(err, "open %.*s", STR_ARG(path));
}

void index_header_close(struct index_header *header)
{
    postings_table_close(&header->postings);
    symbol_table_close(&header->symbols);
    file_map_close(&header->file);
    *header = (struct index_header){0};
}
