#include "objstore/bucket.h"

#include <stdlib.h>

#include "objstore/bucket_config.h"
#include "runtime/context.h"
#include "runtime/fault.h"
#include "runtime/metrics.h"
#include "runtime/pool.h"
#include "support/temporary_directory.h"
#include "unit/objstore/bucket_acceptance.h"

static struct bucket *open_bucket(const struct bucket_env *env, struct str directory,
                                  const char *prefix)
{
    struct buf yaml = {0};
    struct bucket *bucket;
    buf_printf(&yaml, "type: FILESYSTEM\nconfig: {directory: \"%.*s\"}\nprefix: \"%s\"\n",
               STR_ARG(directory), prefix);
    CHECK_OK(bucket_open(buf_str(&yaml), env, &bucket));
    buf_deinit(&yaml);
    return bucket;
}

TEST(a_directory_passes_the_acceptance_suite_of_buckets)
{
    struct arena *arena = arena_create(NULL);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct pool *files = pool_create("files", 3, 100);
    struct metrics *metrics = metrics_create();
    struct str directory = temporary_directory(arena);
    const struct bucket_env env = {.files = files, .metrics = metrics};
    static const char *const prefixes[] = {"", "/some/where/"};
    for (size_t i = 0; i < countof(prefixes); i++) {
        struct bucket *bucket = open_bucket(&env, directory, prefixes[i]);
        bucket_acceptance_run(bucket, ctx, 300, 10 << 20);
        bucket_free(bucket);
    }
    struct buf text = {0};
    metrics_write(metrics, &text, false);
    CHECK(str_contains(buf_str(&text), STR("thanos_objstore_bucket_operations_total")));
    buf_deinit(&text);
    temporary_directory_remove(directory);
    metrics_free(metrics);
    pool_free(files);
    context_unref(ctx);
    arena_unref(arena);
}

TEST(keys_do_not_lead_out_of_the_directory)
{
    static const char *const keys[] = {"../x", "a/../../x", "a/..", ""};
    struct arena *arena = arena_create(NULL);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct str directory = temporary_directory(arena);
    struct bucket *bucket = open_bucket(&(struct bucket_env){0}, directory, "");
    struct buf out = {0};
    for (size_t i = 0; i < countof(keys); i++) {
        CHECK_ERROR(bucket_get(bucket, ctx, str_from(keys[i]), 10, &out), ERROR_INVALID);
        CHECK_ERROR(bucket_put_bytes(bucket, ctx, str_from(keys[i]), (struct bytes){0}),
                    ERROR_INVALID);
        CHECK_ERROR(bucket_remove(bucket, ctx, str_from(keys[i])), ERROR_INVALID);
    }
    buf_deinit(&out);
    bucket_free(bucket);
    temporary_directory_remove(directory);
    context_unref(ctx);
    arena_unref(arena);
}

TEST(a_put_that_fails_anywhere_leaves_the_old_object)
{
    struct arena *arena = arena_create(NULL);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct str directory = temporary_directory(arena);
    struct bucket *bucket = open_bucket(&(struct bucket_env){0}, directory, "");
    CHECK_OK(bucket_put_bytes(bucket, ctx, STR("a/b"), str_bytes(STR("old"))));
    for (unsigned long n = 1;; n++) {
        struct buf content = {0};
        fault_io_fail_nth(n);
        struct error *err = bucket_put_bytes(bucket, ctx, STR("a/b"), str_bytes(STR("new")));
        bool was_hit = fault_io_failed() != NULL;
        fault_io_fail_nth(0);
        CHECK_OK(bucket_get(bucket, ctx, STR("a/b"), 10, &content));
        bool is_new = str_equal(buf_str(&content), STR("new"));
        CHECK(is_new || str_equal(buf_str(&content), STR("old")));
        CHECK(err || is_new);
        error_free(err);
        buf_deinit(&content);
        if (!was_hit)
            break;
        CHECK_OK(bucket_put_bytes(bucket, ctx, STR("a/b"), str_bytes(STR("old"))));
    }
    bucket_free(bucket);
    temporary_directory_remove(directory);
    context_unref(ctx);
    arena_unref(arena);
}

static const struct {
    const char *name, *yaml, *part;
} bad_configs[] = {
    {"nothing", "", "type"},
    {"an unknown key", "type: FILESYSTEM\nfoo: 1\n", "line 2"},
    {"an unknown key of the provider", "type: FILESYSTEM\nconfig:\n  directory: /x\n  foo: 1\n",
     "line 4"},
    {"an unknown type", "type: NOPE\n", "bucket with type NOPE is not supported"},
    {"no directory", "type: FILESYSTEM\n", "missing directory"},
    {"no YAML", "type: [", "yaml"},
};

TEST(a_configuration_that_is_wrong_is_named)
{
    for_each_case(c, bad_configs) {
        struct bucket *bucket;
        CHECK_ERROR_TEXT(bucket_open(str_from(c->yaml), &(struct bucket_env){0}, &bucket),
                         ERROR_INVALID, c->part);
    }
}

TEST_MAIN(TEST_ENTRY(a_directory_passes_the_acceptance_suite_of_buckets),
          TEST_ENTRY(keys_do_not_lead_out_of_the_directory),
          TEST_ENTRY(a_put_that_fails_anywhere_leaves_the_old_object),
          TEST_ENTRY(a_configuration_that_is_wrong_is_named))
