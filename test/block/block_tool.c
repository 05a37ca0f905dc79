/* titan-block: what tests do with blocks that real programs wrote or are to read.
 *
 *   titan-block copy BLOCK PARENT    reads all series and writes them as a block of the same id
 *   titan-block dump BLOCK           prints the samples as `promtool tsdb dump` does */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block_store.h"
#include "block/block_writer.h"
#include "chunk/samples.h"
#include "codec/float_text.h"
#include "model/histogram.h"
#include "runtime/context.h"

static struct error *copy(struct block *block, struct series_set *set, const char *parent)
{
    struct block_meta meta = *block_meta(block);
    struct block_writer *writer;
    struct error *err = block_writer_open(str_from(parent), meta.id, NULL, &writer);
    if (!err)
        err = block_writer_add_all(writer, set);
    if (!err)
        err = block_writer_finish(writer, &meta);
    block_writer_free(writer);
    return err;
}

static void print_samples(struct buf *line, const struct samples *samples)
{
    struct buf out = {0};
    for (size_t i = 0; i < samples->count; i++) {
        buf_clear(&out);
        buf_append_str(&out, buf_str(line));
        buf_append_byte(&out, ' ');
        if (samples->histograms && samples->histograms[i])
            histogram_print(&out, samples->histograms[i]);
        else
            float_append(&out, samples->values[i], FLOAT_GENERAL);
        printf("%.*s %" PRId64 "\n", STR_ARG(buf_str(&out)), samples->times[i]);
    }
    buf_deinit(&out);
}

static struct error *dump(struct series_set *set)
{
    struct series_batch batch = {NULL, 1};
    struct error *err = NULL;
    struct buf line = {0};
    while (!err && batch.count > 0) {
        struct arena *arena = arena_create(NULL);
        err = series_set_next(set, arena, 1, &batch);
        for (size_t k = 0; !err && batch.count && k < batch.items[0].chunks.count; k++) {
            struct samples samples = {0};
            err = chunk_decode(&batch.items[0].chunks.items[k].raw, INT64_MIN, INT64_MAX, arena,
                               &samples);
            buf_clear(&line);
            labels_print(&line, batch.items[0].labels);
            if (!err)
                print_samples(&line, &samples);
        }
        arena_unref(arena);
    }
    buf_deinit(&line);
    return err;
}

int main(int argc, char **argv)
{
    bool copies = argc == 4 && strcmp(argv[1], "copy") == 0;
    struct block *block = NULL;
    struct series_set *set = NULL;
    if (!copies && !(argc == 3 && strcmp(argv[1], "dump") == 0)) {
        fprintf(stderr, "usage: titan-block copy BLOCK PARENT | titan-block dump BLOCK\n");
        return 2;
    }
    struct error *err = block_open(str_from(argv[2]), &block);
    if (!err) {
        struct store *store = block_store_create(block);
        struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
        struct store_query all = {.min_time = INT64_MIN, .max_time = INT64_MAX};
        err = store_select(store, ctx, &all, &set);
        if (!err)
            err = copies ? copy(block, set, argv[3]) : dump(set);
        series_set_free(set);
        context_unref(ctx);
        store_free(store);
    }
    block_unref(block);
    if (!err)
        return 0;
    fprintf(stderr, "titan-block: %.*s\n", STR_ARG(error_text(err)));
    error_free(err);
    return 1;
}
