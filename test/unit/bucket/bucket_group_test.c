/* Blocks in a bucket as a store: the same answers as those of the series they were written from,
 * whatever is cut into how many blocks, and an error where bytes are broken. */
#include "bucket/bucket_group.h"

#include <stdlib.h>

#include "base/memory.h"
#include "block/block_writer.h"
#include "bucket/index_cache.h"
#include "objstore/bucket_filesystem.h"
#include "runtime/context.h"
#include "runtime/fault.h"
#include "runtime/file.h"
#include "runtime/metrics.h"
#include "runtime/pool.h"
#include "store/series_sort.h"
#include "store/store_external_labels.h"
#include "support/temporary_directory.h"
#include "unit/store/random_series.h"
#include "unit/store/store_acceptance.h"

struct gateway {
    struct arena *arena;
    struct str root, data_dir;
    struct bucket *bucket;
    struct index_cache *cache;
    struct pool *pool;
    struct metrics *metrics;
    struct bucket_block_metrics *block_metrics;
    struct context *ctx;
    uint8_t blocks;
};

static void gateway_init(struct gateway *gateway)
{
    *gateway = (struct gateway){.arena = arena_create(NULL)};
    struct str directory = temporary_directory(gateway->arena);
    gateway->root = path_join(gateway->arena, directory, STR("bucket"));
    gateway->data_dir = path_join(gateway->arena, directory, STR("data"));
    CHECK_OK(bucket_filesystem_create(gateway->root, NULL, &gateway->bucket));
    gateway->pool = pool_create("bucket", 3, 100);
    gateway->metrics = metrics_create();
    gateway->block_metrics = bucket_block_metrics_create(gateway->metrics);
    gateway->cache = index_cache_create(1 << 20, gateway->metrics);
    gateway->ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_collect_warnings(gateway->ctx);
}

static void gateway_deinit(struct gateway *gateway)
{
    struct str directory = str_slice(gateway->root, 0, gateway->root.len - 7);
    pool_free(gateway->pool);
    bucket_block_metrics_free(gateway->block_metrics);
    index_cache_free(gateway->cache);
    metrics_free(gateway->metrics);
    bucket_free(gateway->bucket);
    context_unref(gateway->ctx);
    temporary_directory_remove(directory);
    arena_unref(gateway->arena);
}

static struct bucket_block *add_block(struct gateway *gateway, const struct series *series,
                                      size_t count, struct block_meta meta)
{
    struct block_writer *writer;
    struct block_writer_options options = {.chunk_file_max = 300};
    meta.thanos.present = true;
    meta.id = (struct ulid){{1, gateway->blocks++}};
    CHECK_OK(block_writer_open(gateway->root, meta.id, &options, &writer));
    for (size_t i = 0; i < count; i++)
        CHECK_OK(block_writer_add(writer, &series[i]));
    CHECK_OK(block_writer_finish(writer, &meta));
    block_writer_free(writer);
    return bucket_block_create(gateway->bucket, gateway->data_dir, &meta, gateway->block_metrics);
}

/* ---- the acceptance suite ---- */

/* Chunk k of each series goes to block k % 3. */
static struct store *create_gateway(void *arg, const struct series_batch *data,
                                    struct labels external)
{
    enum { PARTS = 3 };
    struct gateway *gateway = arg;
    struct bucket_block *blocks[PARTS];
    struct series_batch sorted = {0};
    struct arena *arena = arena_create(NULL), *source = arena_create(NULL);
    struct series_set *set = series_set_sort(
        NULL, series_set_from_array(source, data->items, data->count), (struct str_list){0});
    CHECK_OK(series_set_read_all(set, arena, 16, &sorted));
    for (size_t part = 0; part < PARTS; part++) {
        struct series *items = arena_array(arena, sorted.count + 1, sizeof(*items));
        for (size_t i = 0; i < sorted.count; i++) {
            items[i] = (struct series){
                sorted.items[i].labels,
                {arena_array(arena, sorted.items[i].chunks.count, sizeof(struct chunk)), 0}};
            for (size_t k = part; k < sorted.items[i].chunks.count; k += PARTS)
                items[i].chunks.items[items[i].chunks.count++] = sorted.items[i].chunks.items[k];
        }
        blocks[part] = add_block(gateway, items, sorted.count, (struct block_meta){0});
    }
    struct bucket_select_env env = {gateway->bucket, gateway->cache, gateway->pool, NULL};
    struct store *store = store_external_labels_create(bucket_group_create(&env, blocks, PARTS));
    store_external_labels_set(store, external);
    for (size_t part = 0; part < PARTS; part++)
        bucket_block_unref(blocks[part]);
    arena_unref(source);
    arena_unref(arena);
    return store;
}

TEST(blocks_in_a_bucket_pass_the_acceptance_suite_of_stores)
{
    struct gateway gateway;
    gateway_init(&gateway);
    store_acceptance_run(&(struct store_subject){.create = create_gateway, .arg = &gateway},
                         gateway.ctx);
    gateway_deinit(&gateway);
}

/* ---- choosing blocks ---- */

static const struct {
    const char *name;
    int64_t min_time, max_time, resolution;
    const char *want;
} choices[] = {
    {"raw only", 0, 1000, 0, "raw0 raw1 raw2"},
    {"a part of it", 150, 160, 0, "raw1"},
    {"the end of a block is not in it", 200, 200, 0, "raw2"},
    {"coarse where there is, finer in the gap", 0, 1000, 300000, "5m0 raw2"},
    {"the coarsest first", 0, 1000, 3600000, "1h0 5m0 raw2"},
    {"an unusual resolution counts as the next finer one", 0, 1000, 400000, "5m0 raw2"},
    {"nothing", 5000, 6000, 3600000, ""},
};

TEST(the_coarsest_allowed_blocks_are_chosen)
{
    static const struct {
        const char *name;
        int64_t min_time, max_time, resolution;
    } all[] = {{"1h0", 0, 100, 3600000},
               {"5m0", 0, 200, 300000},
               {"raw0", 0, 100, 0},
               {"raw1", 100, 200, 0},
               {"raw2", 200, 300, 0}};
    struct metrics *metrics = metrics_create();
    struct bucket_block_metrics *block_metrics = bucket_block_metrics_create(metrics);
    struct bucket_block *blocks[countof(all)], *chosen[countof(all)];
    for (size_t i = 0; i < countof(all); i++) {
        struct block_meta meta = {.min_time = all[i].min_time, .max_time = all[i].max_time};
        meta.id.bytes[0] = (uint8_t)i;
        meta.thanos.present = true;
        meta.thanos.resolution_ms = all[i].resolution;
        blocks[i] = bucket_block_create(NULL, STR("/none"), &meta, block_metrics);
    }
    for_each_case(c, choices) {
        struct buf got = {0};
        size_t count = bucket_group_choose(blocks, countof(blocks), c->min_time, c->max_time,
                                           c->resolution, chosen);
        for (size_t i = 0; i < count; i++)
            buf_printf(&got, "%s%s", i ? " " : "",
                       all[bucket_block_meta(chosen[i])->id.bytes[0]].name);
        CHECK_STR(buf_str(&got), c->want);
        buf_deinit(&got);
    }
    for (size_t i = 0; i < countof(all); i++)
        bucket_block_unref(blocks[i]);
    bucket_block_metrics_free(block_metrics);
    metrics_free(metrics);
}

/* ---- broken bytes, faults ---- */

static struct error *read_everything(struct gateway *gateway, struct bucket_block *block,
                                     struct arena *arena, struct series_batch *out)
{
    struct bucket_select_env env = {gateway->bucket, NULL, gateway->pool, NULL};
    struct store *store = bucket_group_create(&env, &block, 1);
    struct series_set *set = NULL;
    struct error *err =
        store_select(store, gateway->ctx,
                     &(struct store_query){.min_time = INT64_MIN, .max_time = INT64_MAX}, &set);
    if (!err)
        err = series_set_read_all(set, arena, 5, out);
    store_free(store);
    return err;
}

static struct series_batch some_series(struct arena *arena)
{
    uint64_t seed = test_seed();
    struct series_batch data = {0};
    while (data.count < 5)
        data = random_series(arena, &seed, 12);
    return data;
}

TEST(a_flipped_byte_in_the_bucket_is_an_error_or_changes_nothing)
{
    static const char *const files[] = {"index", "chunks/000001"};
    struct gateway gateway;
    gateway_init(&gateway);
    struct series_batch data = some_series(gateway.arena), got = {0};
    struct bucket_block *block =
        add_block(&gateway, data.items, data.count, (struct block_meta){0});
    CHECK_OK(read_everything(&gateway, block, gateway.arena, &got));
    struct str want = series_batch_text(gateway.arena, &got);
    for (size_t f = 0; f < countof(files); f++) {
        struct str path = arena_printf(gateway.arena, "%.*s/%.*s/%s", STR_ARG(gateway.root),
                                       STR_ARG(bucket_block_name(block)), files[f]);
        struct buf content = {0};
        CHECK_OK(file_read(path, 1 << 20, &content));
        for (size_t i = 0; i < content.len; i += 3) {
            struct arena *arena = arena_create(NULL);
            struct bucket_block *fresh = bucket_block_create(
                gateway.bucket, gateway.data_dir, bucket_block_meta(block), gateway.block_metrics);
            content.data[i] ^= (char)(1 << (i % 8));
            CHECK_OK(file_write_atomic(path, buf_bytes(&content)));
            CHECK_OK(directory_remove(gateway.data_dir));
            struct error *err = read_everything(&gateway, fresh, arena, &got);
            CHECK(err || str_equal(series_batch_text(arena, &got), want));
            error_free(err);
            content.data[i] ^= (char)(1 << (i % 8));
            bucket_block_unref(fresh);
            arena_unref(arena);
        }
        CHECK_OK(file_write_atomic(path, buf_bytes(&content)));
        buf_deinit(&content);
    }
    bucket_block_unref(block);
    gateway_deinit(&gateway);
}

TEST(an_operation_that_fails_is_an_error_and_the_next_try_answers)
{
    struct gateway gateway;
    gateway_init(&gateway);
    struct series_batch data = some_series(gateway.arena), got = {0};
    struct bucket_block *block =
        add_block(&gateway, data.items, data.count, (struct block_meta){0});
    CHECK_OK(read_everything(&gateway, block, gateway.arena, &got));
    struct str want = series_batch_text(gateway.arena, &got);
    for (unsigned long n = 1;; n++) {
        struct arena *arena = arena_create(NULL);
        struct bucket_block *fresh = bucket_block_create(
            gateway.bucket, gateway.data_dir, bucket_block_meta(block), gateway.block_metrics);
        CHECK_OK(directory_remove(gateway.data_dir));
        fault_io_fail_nth(n);
        struct error *err = read_everything(&gateway, fresh, arena, &got);
        bool was_hit = fault_io_failed() != NULL;
        fault_io_fail_nth(0);
        CHECK(err || str_equal(series_batch_text(arena, &got), want));
        error_free(err);
        CHECK_OK(read_everything(&gateway, fresh, arena, &got));
        CHECK(str_equal(series_batch_text(arena, &got), want));
        bucket_block_unref(fresh);
        arena_unref(arena);
        if (!was_hit)
            break;
    }
    bucket_block_unref(block);
    gateway_deinit(&gateway);
}

TEST(headers_that_nobody_uses_are_closed_and_opened_again)
{
    struct gateway gateway;
    gateway_init(&gateway);
    struct series_batch data = some_series(gateway.arena), got = {0};
    struct bucket_block *block =
        add_block(&gateway, data.items, data.count, (struct block_meta){0});
    CHECK(!bucket_block_has_header(block));
    CHECK_OK(read_everything(&gateway, block, gateway.arena, &got));
    CHECK(bucket_block_has_header(block));
    bucket_block_drop_idle(block, INT64_MAX);
    CHECK(!bucket_block_has_header(block));
    CHECK_OK(read_everything(&gateway, block, gateway.arena, &got));
    bucket_block_unref(block);
    gateway_deinit(&gateway);
}

TEST_MAIN(TEST_ENTRY(blocks_in_a_bucket_pass_the_acceptance_suite_of_stores),
          TEST_ENTRY(the_coarsest_allowed_blocks_are_chosen),
          TEST_ENTRY(a_flipped_byte_in_the_bucket_is_an_error_or_changes_nothing),
          TEST_ENTRY(an_operation_that_fails_is_an_error_and_the_next_try_answers),
          TEST_ENTRY(headers_that_nobody_uses_are_closed_and_opened_again))
