/* Blocks written and read again: as a store, byte by byte, with faults, with bytes flipped. */
#include "block/block_writer.h"

#include <stdlib.h>

#include "block/block_store.h"
#include "block/chunk_file.h"
#include "chunk/samples.h"
#include "codec/crc32c.h"
#include "codec/varint.h"
#include "runtime/context.h"
#include "runtime/fault.h"
#include "runtime/file.h"
#include "store/series_sort.h"
#include "store/store_external_labels.h"
#include "support/temporary_directory.h"
#include "unit/store/random_series.h"
#include "unit/store/store_acceptance.h"

static struct ulid id_of(uint8_t number)
{
    return (struct ulid){{number}};
}

static struct error *write_block(struct str parent, struct ulid id, const struct series_batch *data,
                                 struct block_meta *meta)
{
    struct block_writer *writer;
    struct block_writer_options options = {.chunk_file_max = 200}; /* several files */
    struct error *err = block_writer_open(parent, id, &options, &writer);
    for (size_t i = 0; i < data->count && !err; i++)
        err = block_writer_add(writer, &data->items[i]);
    if (!err)
        err = block_writer_finish(writer, meta);
    block_writer_free(writer);
    return err;
}

static struct str path_of(struct arena *arena, struct str parent, struct ulid id)
{
    char name[ULID_TEXT_LEN];
    ulid_print(id, name);
    return path_join(arena, parent, (struct str){name, sizeof(name)});
}

/* ---- as a store ---- */

struct subject {
    struct arena *arena;
    struct str directory;
    uint8_t blocks;
};

static struct store *create_block_store(void *arg, const struct series_batch *data,
                                        struct labels external)
{
    struct subject *subject = arg;
    struct block_meta meta = {0};
    struct ulid id = id_of(subject->blocks++);
    struct block *block;
    struct series_batch sorted = {0};
    struct arena *arena = arena_create(NULL);
    struct series_set *set =
        series_set_sort(NULL, series_set_from_array(subject->arena, data->items, data->count),
                        (struct str_list){0});
    CHECK_OK(series_set_read_all(set, arena, 16, &sorted));
    CHECK_OK(write_block(subject->directory, id, &sorted, &meta));
    arena_unref(arena);
    CHECK_OK(block_open(path_of(subject->arena, subject->directory, id), &block));
    struct store *store = store_external_labels_create(block_store_create(block));
    store_external_labels_set(store, external);
    block_unref(block);
    return store;
}

TEST(a_block_passes_the_acceptance_suite_of_stores)
{
    struct subject subject = {.arena = arena_create(NULL)};
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_collect_warnings(ctx);
    subject.directory = temporary_directory(subject.arena);
    store_acceptance_run(&(struct store_subject){.create = create_block_store, .arg = &subject},
                         ctx);
    temporary_directory_remove(subject.directory);
    context_unref(ctx);
    arena_unref(subject.arena);
}

/* ---- properties ---- */

static struct str read_file(struct arena *arena, struct str directory, const char *name)
{
    struct buf content = {0};
    CHECK_OK(file_read(path_join(arena, directory, str_from(name)), 1 << 20, &content));
    struct str copy = arena_str(arena, buf_str(&content));
    buf_deinit(&content);
    return copy;
}

TEST(the_same_series_give_the_same_bytes)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    struct str parent = temporary_directory(arena), other = temporary_directory(arena);
    for (int round = 0; round < 10; round++) {
        struct series_batch data = random_series(arena, &seed, 40);
        if (data.count == 0)
            continue;
        struct block_meta meta = {0}, again = {0};
        struct ulid id = id_of((uint8_t)round);
        CHECK_OK(write_block(parent, id, &data, &meta));
        CHECK_OK(write_block(other, id, &data, &again));
        struct str a = path_of(arena, parent, id), b = path_of(arena, other, id);
        static const char *const files[] = {"index", "meta.json", "chunks/000001"};
        for (size_t i = 0; i < countof(files); i++)
            CHECK(str_equal(read_file(arena, a, files[i]), read_file(arena, b, files[i])));
        CHECK_EQ(meta.stats.series, data.count);
    }
    temporary_directory_remove(parent);
    temporary_directory_remove(other);
    arena_unref(arena);
}

TEST(series_out_of_order_and_overlapping_chunks_are_refused)
{
    struct arena *arena = arena_create(NULL);
    struct str parent = temporary_directory(arena);
    struct chunk chunks[] = {memory_chunk(arena, 1, 1), memory_chunk(arena, 1, 2)};
    struct series twice[] = {{labels_of(arena, "a", "1", NULL), {chunks, 1}},
                             {labels_of(arena, "a", "1", NULL), {chunks, 1}}};
    struct series overlapping = {labels_of(arena, "a", "2", NULL), {chunks, 2}};
    struct block_meta meta = {0};
    CHECK_ERROR_TEXT(write_block(parent, id_of(1), &(struct series_batch){twice, 2}, &meta),
                     ERROR_INVALID, "out of order");
    CHECK_ERROR_TEXT(write_block(parent, id_of(2), &(struct series_batch){&overlapping, 1}, &meta),
                     ERROR_INVALID, "overlap");
    struct directory_entry *entries;
    size_t count;
    CHECK_OK(directory_list(parent, arena, &entries, &count));
    CHECK_EQ(count, 0); /* nothing is left behind */
    temporary_directory_remove(parent);
    arena_unref(arena);
}

/* ---- faults ---- */

TEST(a_write_that_fails_anywhere_leaves_no_block)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    struct str parent = temporary_directory(arena);
    struct series_batch data = random_series(arena, &seed, 20);
    while (data.count == 0)
        data = random_series(arena, &seed, 20);
    for (unsigned long n = 1;; n++) {
        struct block_meta meta = {0};
        struct ulid id = id_of((uint8_t)n);
        fault_io_fail_nth(n);
        struct error *err = write_block(parent, id, &data, &meta);
        bool was_hit = fault_io_failed() != NULL;
        fault_io_fail_nth(0);
        bool is_there = path_exists(path_of(arena, parent, id));
        CHECK(was_hit || is_there);
        if (!err && is_there) { /* complete, also when the fault hit the tidying up */
            struct block *block;
            CHECK_OK(block_open(path_of(arena, parent, id), &block));
            block_unref(block);
        }
        error_free(err);
        if (!was_hit)
            break;
    }
    temporary_directory_remove(parent);
    arena_unref(arena);
}

/* ---- broken bytes ---- */

/* All series with their samples, or the error that reading them ends with. */
static struct error *dump(struct str directory, struct arena *arena, struct buf *out)
{
    struct block *block;
    struct error *err = block_open(directory, &block);
    if (err)
        return err;
    struct store *store = block_store_create(block);
    block_unref(block);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct series_set *set = NULL;
    struct series_batch batch = {0};
    err = store_select(store, ctx,
                       &(struct store_query){.min_time = INT64_MIN, .max_time = INT64_MAX}, &set);
    if (!err)
        err = series_set_read_all(set, arena, 7, &batch);
    for (size_t i = 0; i < batch.count && !err; i++) {
        labels_print(out, batch.items[i].labels);
        for (size_t k = 0; k < batch.items[i].chunks.count && !err; k++) {
            struct samples samples = {0};
            err = chunk_decode(&batch.items[i].chunks.items[k].raw, INT64_MIN, INT64_MAX, arena,
                               &samples);
            for (size_t s = 0; s < samples.count && !err; s++)
                buf_printf(out, " %g@%lld", samples.values[s], (long long)samples.times[s]);
        }
        buf_append_byte(out, '\n');
    }
    context_unref(ctx);
    store_free(store);
    return err;
}

static void check_flips(struct arena *arena, struct str directory, const char *name,
                        struct str whole)
{
    struct str path = path_join(arena, directory, str_from(name));
    struct str content = read_file(arena, directory, name);
    char *bytes = arena_bytes(arena, content.len);
    memcpy(bytes, content.data, content.len);
    for (size_t i = 0; i < content.len; i++) {
        struct arena *scratch = arena_create(NULL);
        struct buf got = {0};
        bytes[i] ^= (char)(1 << (i % 8));
        CHECK_OK(file_write_atomic(path, (struct bytes){(uint8_t *)bytes, content.len}));
        struct error *err = dump(directory, scratch, &got);
        CHECK(err || str_equal(buf_str(&got), whole));
        error_free(err);
        bytes[i] ^= (char)(1 << (i % 8));
        buf_deinit(&got);
        arena_unref(scratch);
    }
    CHECK_OK(file_write_atomic(path, str_bytes(content)));
}

TEST(a_flipped_byte_is_an_error_or_changes_nothing)
{
    struct arena *arena = arena_create(NULL);
    struct str parent = temporary_directory(arena);
    struct chunk chunks[] = {memory_chunk(arena, 1, 1), memory_chunk(arena, 2, 2)};
    struct series series[] = {{labels_of(arena, "a", "1", "b", "x", NULL), {chunks, 2}},
                              {labels_of(arena, "a", "1", "c", "y", NULL), {chunks, 1}},
                              {labels_of(arena, "a", "2", NULL), {chunks + 1, 1}}};
    struct block_meta meta = {0};
    struct buf whole = {0};
    CHECK_OK(write_block(parent, id_of(1), &(struct series_batch){series, 3}, &meta));
    struct str directory = path_of(arena, parent, id_of(1));
    CHECK_OK(dump(directory, arena, &whole));
    CHECK_STR(buf_str(&whole), "{a=\"1\", b=\"x\"} 1@1 2@2\n{a=\"1\", c=\"y\"} 1@1\n"
                               "{a=\"2\"} 2@2\n");
    check_flips(arena, directory, "index", buf_str(&whole));
    check_flips(arena, directory, "chunks/000001", buf_str(&whole));
    buf_deinit(&whole);
    temporary_directory_remove(parent);
    arena_unref(arena);
}

/* ---- tombstones ---- */

static void write_tombstones(struct arena *arena, struct str directory,
                             const struct tombstone *items, size_t count)
{
    struct buf file = {0}, entries = {0};
    uint8_t number[VARINT_MAX];
    buf_append(&file, "\x01\x30\xba\x30\x01", 5);
    for (size_t i = 0; i < count; i++) {
        buf_append(&entries, number, varint_encode(number, items[i].series));
        buf_append(&entries, number,
                   varint_encode(number, zigzag_encode(items[i].interval.min_time)));
        buf_append(&entries, number,
                   varint_encode(number, zigzag_encode(items[i].interval.max_time)));
    }
    uint32_t checksum = __builtin_bswap32(crc32c(0, entries.data, entries.len));
    buf_append(&file, entries.data, entries.len);
    buf_append(&file, &checksum, sizeof(checksum));
    CHECK_OK(file_write_atomic(path_join(arena, directory, STR("tombstones")), buf_bytes(&file)));
    buf_deinit(&file);
    buf_deinit(&entries);
}

TEST(deleted_samples_are_gone_and_the_rest_is_encoded_anew)
{
    struct arena *arena = arena_create(NULL);
    struct str parent = temporary_directory(arena);
    struct chunk chunks[] = {memory_chunk(arena, 1, 1), memory_chunk(arena, 20, 2)};
    struct series series[] = {{labels_of(arena, "a", "1", NULL), {chunks, 2}},
                              {labels_of(arena, "a", "2", NULL), {chunks, 2}}};
    struct block_meta meta = {0};
    struct buf got = {0};
    CHECK_OK(write_block(parent, id_of(1), &(struct series_batch){series, 2}, &meta));
    struct str directory = path_of(arena, parent, id_of(1));
    struct block *block;
    struct postings_plan plan;
    struct postings all;
    CHECK_OK(block_open(directory, &block));
    CHECK_OK(postings_plan_make(block_postings_table(block), NULL, 0, arena, &plan));
    CHECK_OK(block_postings(block, &plan, arena, &all));
    CHECK_EQ(all.count, 2);
    block_unref(block);
    const struct tombstone deleted[] = {
        {all.refs[0], {0, 5}}, {all.refs[1], {0, 10}}, {all.refs[1], {11, 100}}};
    write_tombstones(arena, directory, deleted, countof(deleted));
    CHECK_OK(dump(directory, arena, &got));
    CHECK_STR(buf_str(&got), "{a=\"1\"} 2@20\n");
    buf_deinit(&got);
    temporary_directory_remove(parent);
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(a_block_passes_the_acceptance_suite_of_stores),
          TEST_ENTRY(the_same_series_give_the_same_bytes),
          TEST_ENTRY(series_out_of_order_and_overlapping_chunks_are_refused),
          TEST_ENTRY(a_write_that_fails_anywhere_leaves_no_block),
          TEST_ENTRY(a_flipped_byte_is_an_error_or_changes_nothing),
          TEST_ENTRY(deleted_samples_are_gone_and_the_rest_is_encoded_anew))
