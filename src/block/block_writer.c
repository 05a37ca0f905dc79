#include "block/block_writer.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/vec.h"
#include "block/chunk_file.h"
#include "block/index_writer.h"
#include "runtime/directory.h"
#include "runtime/file.h"
#include "runtime/file_writer.h"

static const uint64_t CHUNK_FILE_MAX = 512 << 20;

struct block_writer {
    struct arena *arena; /* of the paths */
    struct ulid id;
    struct str path, temporary, chunks_path;
    uint64_t chunk_file_max;
    struct budget *budget;
    struct file_writer chunks;
    uint32_t chunk_files;
    struct index_writer *index;
    VEC(struct chunk_meta) metas; /* of the series being added */
    struct buf frames;
    struct block_stats stats;
    int64_t min_time, max_time; /* inclusive */
    uint64_t chunk_max;
    bool is_finished;
};

struct error *block_writer_open(struct str parent, struct ulid id,
                                const struct block_writer_options *options,
                                struct block_writer **out)
{
    struct block_writer *writer = xcalloc(1, sizeof(*writer));
    char name[ULID_TEXT_LEN];
    ulid_print(id, name);
    writer->arena = arena_create(NULL);
    writer->id = id;
    writer->path = path_join(writer->arena, parent, (struct str){name, sizeof(name)});
    writer->temporary = arena_printf(writer->arena, "%.*s.tmp-for-creation", STR_ARG(writer->path));
    writer->chunks_path = path_join(writer->arena, writer->temporary, STR("chunks"));
    writer->chunk_file_max =
        options && options->chunk_file_max ? options->chunk_file_max : CHUNK_FILE_MAX;
    writer->budget = options ? options->budget : NULL;
    writer->chunks.fd = -1;
    writer->min_time = INT64_MAX;
    writer->max_time = INT64_MIN;
    struct error *err = directory_remove(writer->temporary); /* of one that was killed */
    if (!err)
        err = directory_create(writer->chunks_path);
    if (!err)
        err = index_writer_open(writer->temporary, writer->budget, &writer->index);
    if (err) {
        block_writer_free(writer);
        writer = NULL;
    }
    *out = writer;
    return err;
}

/* ---- series ---- */

static struct error *next_chunk_file(struct block_writer *writer)
{
    struct error *err = file_writer_close(&writer->chunks);
    if (err)
        return err;
    struct str path = arena_printf(writer->arena, "%.*s/%06u", STR_ARG(writer->chunks_path),
                                   ++writer->chunk_files);
    err = file_writer_open(&writer->chunks, path);
    if (err)
        return err;
    struct buf header = {0};
    chunk_file_header_write(&header);
    file_writer_append(&writer->chunks, header.data, header.len);
    buf_deinit(&header);
    return NULL;
}

static void count_chunk(struct block_writer *writer, const struct chunk *chunk, size_t frame)
{
    const struct chunk_data *counted = chunk->aggrs ? &chunk->aggrs[AGGR_COUNT] : &chunk->raw;
    size_t samples = chunk_sample_count(counted);
    bool has_histograms =
        chunk_has_histograms(chunk->aggrs ? chunk->aggrs[AGGR_SUM].encoding : chunk->raw.encoding);
    writer->stats.chunks++;
    writer->stats.samples += samples;
    if (has_histograms)
        writer->stats.histogram_samples += samples;
    else
        writer->stats.float_samples += samples;
    writer->min_time = int64_min(writer->min_time, chunk->min_time);
    writer->max_time = int64_max(writer->max_time, chunk->max_time);
    if (frame > writer->chunk_max)
        writer->chunk_max = frame;
}

/* A series' chunks lie in one file, as long as they fit into one. */
static struct error *write_chunks(struct block_writer *writer, const struct series *series)
{
    struct error *err = NULL;
    buf_clear(&writer->frames);
    vec_clear(&writer->metas);
    for (size_t i = 0; i < series->chunks.count; i++) {
        const struct chunk *chunk = &series->chunks.items[i];
        size_t place = writer->frames.len;
        chunk_frame_write(&writer->frames, chunk);
        vec_push(&writer->metas, (struct chunk_meta){chunk->min_time, chunk->max_time, place});
        count_chunk(writer, chunk, writer->frames.len - place);
    }
    if (writer->chunk_files == 0 ||
        file_writer_place(&writer->chunks) + writer->frames.len > writer->chunk_file_max)
        err = next_chunk_file(writer);
    if (err)
        return err;
    uint64_t start = file_writer_place(&writer->chunks);
    if (start + writer->frames.len > UINT32_MAX)
        return error_create(ERROR_LIMIT, "chunks of one series take more than 4 GiB");
    for (size_t i = 0; i < writer->metas.len; i++)
        writer->metas.items[i].ref += (uint64_t)(writer->chunk_files - 1) << 32 | start;
    file_writer_append(&writer->chunks, writer->frames.data, writer->frames.len);
    return NULL;
}

struct error *block_writer_add(struct block_writer *writer, const struct series *series)
{
    if (series->chunks.count == 0)
        return NULL;
    struct error *err = write_chunks(writer, series);
    if (!err)
        err =
            index_writer_add(writer->index, series->labels, writer->metas.items, writer->metas.len);
    writer->stats.series++;
    if (!err)
        return NULL;
    struct buf labels = {0};
    labels_print(&labels, series->labels);
    err = error_wrap(err, "write series %.*s", STR_ARG(buf_str(&labels)));
    buf_deinit(&labels);
    return err;
}

struct error *block_writer_add_all(struct block_writer *writer, struct series_set *set)
{
    enum { SERIES_AT_ONCE = 64 };
    struct arena *arena = arena_create(writer->budget);
    struct series_batch batch = {NULL, 1};
    struct error *err = NULL;
    while (!err && batch.count > 0) {
        arena_reset(arena);
        err = series_set_next(set, arena, SERIES_AT_ONCE, &batch);
        for (size_t i = 0; i < batch.count && !err; i++)
            err = block_writer_add(writer, &batch.items[i]);
    }
    arena_unref(arena);
    return err;
}

/* ---- the end ---- */

static struct error *write_meta(struct block_writer *writer, const struct block_meta *meta)
{
    struct buf text = {0};
    block_meta_print(&text, meta);
    struct error *err = file_write_atomic(
        path_join(writer->arena, writer->temporary, STR("meta.json")), buf_bytes(&text));
    buf_deinit(&text);
    return err;
}

struct error *block_writer_finish(struct block_writer *writer, struct block_meta *meta)
{
    uint64_t series_max = 0;
    struct error *err = file_writer_close(&writer->chunks);
    if (!err)
        err = index_writer_finish(writer->index, &series_max);
    index_writer_free(writer->index); /* takes its files out of the directory */
    writer->index = NULL;
    meta->id = writer->id;
    meta->stats = writer->stats;
    if (meta->min_time == meta->max_time && writer->stats.series > 0) {
        meta->min_time = writer->min_time;
        meta->max_time = int64_add_saturating(writer->max_time, 1);
    }
    if (meta->thanos.present) {
        meta->thanos.series_max_size = (int64_t)series_max;
        meta->thanos.chunk_max_size = (int64_t)writer->chunk_max;
    }
    if (!err)
        err = write_meta(writer, meta);
    if (!err)
        err = directory_sync(writer->chunks_path);
    if (!err)
        err = directory_sync(writer->temporary);
    if (!err)
        err = directory_rename(writer->temporary, writer->path);
    writer->is_finished = !err;
    return error_wrap(err, "write block %.*s", STR_ARG(writer->path));
}

void block_writer_free(struct block_writer *writer)
{
    if (!writer)
        return;
    file_writer_abandon(&writer->chunks);
    index_writer_free(writer->index);
    if (!writer->is_finished)
        error_free(directory_remove(writer->temporary));
    vec_deinit(&writer->metas);
    buf_deinit(&writer->frames);
    arena_unref(writer->arena);
    free(writer);
}
