#include "block/block.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "block/chunk_file.h"
#include "runtime/directory.h"
#include "runtime/file.h"

enum { CHUNK_FILES_MAX = 100 * 1000 };

struct block {
    atomic_size_t references;
    struct arena *arena; /* of the meta */
    struct str directory;
    struct block_meta meta;
    struct file_map index;
    int index_version;
    struct index_toc toc;
    struct symbol_table symbols;
    struct postings_table postings;
    struct file_map *chunk_files;
    size_t chunk_file_count;
    struct tombstones tombstones;
};

/* ---- opening ---- */

static struct error *open_meta(struct block *block)
{
    struct buf text = {0};
    struct error *err = file_read(path_join(block->arena, block->directory, STR("meta.json")),
                                  BLOCK_META_MAX, &text);
    if (!err)
        err = block_meta_parse(buf_str(&text), block->arena, &block->meta);
    buf_deinit(&text);
    return err;
}

static struct bytes bytes_from(struct bytes bytes, uint64_t place)
{
    size_t skipped = place < bytes.len ? (size_t)place : bytes.len;
    return (struct bytes){bytes.data + skipped, bytes.len - skipped};
}

static struct error *open_index(struct block *block)
{
    struct bytes index, symbols, table;
    struct error *err =
        file_map_open(path_join(block->arena, block->directory, STR("index")), &block->index);
    if (err)
        return err;
    index = block->index.bytes;
    if (index.len < INDEX_HEADER_LEN + INDEX_TOC_LEN)
        return error_create(ERROR_CORRUPT, "index: too short");
    err = index_header_read((struct bytes){index.data, INDEX_HEADER_LEN}, &block->index_version);
    if (!err)
        err = index_toc_read(bytes_from(index, index.len - INDEX_TOC_LEN), index.len, &block->toc);
    if (!err)
        err = index_section_read(bytes_from(index, block->toc.symbols), "symbols", &symbols);
    if (!err)
        err = symbol_table_open(&block->symbols, symbols, block->index_version,
                                block->toc.symbols + 4);
    if (!err)
        err = index_section_read(bytes_from(index, block->toc.postings_table),
                                 "postings offset table", &table);
    return err ? err : postings_table_open(&block->postings, table, block->toc.postings_table);
}

static struct error *open_chunk_files(struct block *block)
{
    struct str directory = path_join(block->arena, block->directory, STR("chunks"));
    struct directory_entry *entries;
    size_t count;
    struct error *err = directory_list(directory, block->arena, &entries, &count);
    if (!err && count > CHUNK_FILES_MAX)
        err = error_create(ERROR_LIMIT, "%zu files of chunks", count);
    if (err)
        return err;
    block->chunk_files = xcalloc(count + 1, sizeof(*block->chunk_files));
    for (size_t i = 0; i < count && !err; i++) {
        uint64_t number;
        if (!str_to_uint64(entries[i].name, &number)) /* left over from somebody's writing */
            continue;
        if (number != block->chunk_file_count + 1)
            return error_create(ERROR_CORRUPT, "chunks: file %zu is missing",
                                block->chunk_file_count + 1);
        struct file_map *map = &block->chunk_files[block->chunk_file_count];
        err = file_map_open(path_join(block->arena, directory, entries[i].name), map);
        block->chunk_file_count += !err;
        if (!err)
            err = error_wrap(chunk_file_header_read(map->bytes), "chunks/%.*s",
                             STR_ARG(entries[i].name));
    }
    return err;
}

static struct error *open_tombstones(struct block *block)
{
    struct file_map map = {0};
    struct str path = path_join(block->arena, block->directory, STR("tombstones"));
    if (!path_exists(path))
        return NULL;
    struct error *err = file_map_open(path, &map);
    if (!err)
        err = tombstones_parse(map.bytes, &block->tombstones);
    file_map_close(&map);
    return err;
}

struct error *block_open(struct str directory, struct block **out)
{
    struct block *block = xcalloc(1, sizeof(*block));
    atomic_init(&block->references, 1);
    block->arena = arena_create(NULL);
    block->directory = arena_str(block->arena, directory);
    struct error *err = open_meta(block);
    if (!err)
        err = open_index(block);
    if (!err)
        err = open_chunk_files(block);
    if (!err)
        err = open_tombstones(block);
    if (err) {
        block_unref(block);
        return error_wrap(err, "open block %.*s", STR_ARG(directory));
    }
    *out = block;
    return NULL;
}

void block_ref(struct block *block)
{
    atomic_fetch_add(&block->references, 1);
}

void block_unref(struct block *block)
{
    if (!block || atomic_fetch_sub(&block->references, 1) != 1)
        return;
    tombstones_deinit(&block->tombstones);
    for (size_t i = 0; i < block->chunk_file_count; i++)
        file_map_close(&block->chunk_files[i]);
    free(block->chunk_files);
    postings_table_close(&block->postings);
    symbol_table_close(&block->symbols);
    file_map_close(&block->index);
    arena_unref(block->arena);
    free(block);
}

/* ---- reading ---- */

const struct block_meta *block_meta(const struct block *block)
{
    return &block->meta;
}

const struct postings_table *block_postings_table(const struct block *block)
{
    return &block->postings;
}

const struct tombstones *block_tombstones(const struct block *block)
{
    return &block->tombstones;
}

static struct error *fetch_lists(void *self, const struct postings_key *const *keys, size_t count,
                                 struct arena *arena UNUSED, struct bytes *lists)
{
    const struct block *block = self;
    for (size_t i = 0; i < count; i++)
        lists[i] = bytes_from(block->index.bytes, keys[i]->start);
    return NULL;
}

struct error *block_postings(const struct block *block, const struct postings_plan *plan,
                             struct arena *arena, struct postings *out)
{
    return postings_plan_run(plan, fetch_lists, (void *)block, arena, out);
}

struct error *block_series(const struct block *block, uint32_t ref, int64_t min_time,
                           int64_t max_time, bool labels_anyway, struct arena *arena,
                           struct index_series *out)
{
    uint64_t place = block->index_version == 1 ? ref : (uint64_t)ref * INDEX_SERIES_ALIGN;
    struct bytes body;
    struct error *err = NULL;
    if (place < block->toc.series || place >= block->toc.postings_table)
        err = error_create(ERROR_CORRUPT, "there is no such series");
    if (!err)
        err = index_series_body(bytes_from(block->index.bytes, place), &body);
    if (!err)
        err = index_series_decode(body, &block->symbols, min_time, max_time, labels_anyway, arena,
                                  out);
    return error_wrap(err, "block %.*s, series %u", STR_ARG(block->directory), ref);
}

struct error *block_chunk(const struct block *block, const struct chunk_meta *meta,
                          struct arena *arena, struct chunk *out)
{
    uint32_t file = chunk_ref_file(meta->ref), place = chunk_ref_place(meta->ref);
    struct error *err = NULL;
    if (file >= block->chunk_file_count || place < CHUNK_FILE_HEADER_LEN)
        err = error_create(ERROR_CORRUPT, "there is no such chunk");
    else
        err = chunk_frame_read(bytes_from(block->chunk_files[file].bytes, place), meta, arena, out,
                               NULL);
    return error_wrap(err, "block %.*s, chunk file %u at %u", STR_ARG(block->directory), file + 1,
                      place);
}
