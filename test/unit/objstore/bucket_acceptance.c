#include "unit/objstore/bucket_acceptance.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "runtime/context.h"
#include "runtime/file.h"
#include "support/temporary_directory.h"
#include "support/test.h"

static struct error *put_text(struct bucket *bucket, struct context *ctx, const char *key,
                              const char *text)
{
    return bucket_put_bytes(bucket, ctx, str_from(key), str_bytes(str_from(text)));
}

static void check_content(struct bucket *bucket, struct context *ctx, const char *key,
                          const char *want)
{
    struct buf content = {0};
    CHECK_OK(bucket_get(bucket, ctx, str_from(key), 1 << 20, &content));
    CHECK_STR(buf_str(&content), want);
    buf_deinit(&content);
}

static struct error *note_key(void *self, const struct bucket_entry *entry)
{
    buf_append_str(self, entry->key);
    buf_append_byte(self, ' ');
    return NULL;
}

static void check_list(struct bucket *bucket, struct context *ctx, const char *prefix,
                       enum bucket_listing listing, const char *want)
{
    struct buf keys = {0};
    CHECK_OK(bucket_list(bucket, ctx, str_from(prefix), listing, note_key, &keys));
    CHECK_STR(buf_str(&keys), want);
    buf_deinit(&keys);
}

static void check_objects(struct bucket *bucket, struct context *ctx)
{
    bool exists;
    struct buf content = {0};
    struct bucket_attributes attributes;
    CHECK_OK(put_text(bucket, ctx, "a/b", "first"));
    CHECK_OK(put_text(bucket, ctx, "a/b", "the second"));
    check_content(bucket, ctx, "a/b", "the second");
    CHECK_OK(put_text(bucket, ctx, "a/empty", ""));
    check_content(bucket, ctx, "a/empty", "");
    CHECK_OK(bucket_attributes(bucket, ctx, STR("a/b"), &attributes));
    CHECK_EQ(attributes.size, 10);
    CHECK(attributes.modified_ms > 1600000000000);
    CHECK_OK(bucket_exists(bucket, ctx, STR("a/b"), &exists));
    CHECK(exists);
    CHECK_OK(bucket_exists(bucket, ctx, STR("a/c"), &exists));
    CHECK(!exists);
    CHECK_OK(bucket_exists(bucket, ctx, STR("a"), &exists));
    CHECK(!exists);
    CHECK_ERROR(bucket_get(bucket, ctx, STR("a/c"), 100, &content), ERROR_NOT_FOUND);
    CHECK_ERROR(bucket_attributes(bucket, ctx, STR("none"), &attributes), ERROR_NOT_FOUND);
    CHECK_ERROR(bucket_get(bucket, ctx, STR("a/b"), 9, &content), ERROR_LIMIT);
    buf_deinit(&content);
    CHECK_OK(bucket_remove(bucket, ctx, STR("a/b")));
    CHECK_OK(bucket_remove(bucket, ctx, STR("a/empty")));
    check_list(bucket, ctx, "", LIST_ALL, "");
}

static void check_ranges(struct bucket *bucket, struct context *ctx)
{
    static const struct {
        uint64_t offset, length;
        const char *want;
    } ranges[] = {
        {0, BUCKET_TO_END, "0123456789"}, {3, 4, "3456"}, {8, 5, "89"}, {10, 5, ""}, {100, 5, ""},
        {9, BUCKET_TO_END, "9"},
    };
    struct bucket_read reads[countof(ranges) + 1] = {0};
    CHECK_OK(put_text(bucket, ctx, "digits", "0123456789"));
    for (size_t i = 0; i < countof(ranges); i++)
        reads[i] = (struct bucket_read){
            .key = STR("digits"), .offset = ranges[i].offset, .length = ranges[i].length};
    reads[countof(ranges)] = (struct bucket_read){.key = STR("missing"), .length = BUCKET_TO_END};
    bucket_read_each(bucket, ctx, reads, countof(reads));
    for (size_t i = 0; i < countof(ranges); i++) {
        CHECK_OK(reads[i].err);
        CHECK_STR(buf_str(&reads[i].out), ranges[i].want);
        buf_deinit(&reads[i].out);
    }
    CHECK_ERROR(reads[countof(ranges)].err, ERROR_NOT_FOUND);
    buf_deinit(&reads[countof(ranges)].out);
    CHECK_OK(bucket_remove(bucket, ctx, STR("digits")));
}

static void check_listing(struct bucket *bucket, struct context *ctx)
{
    static const char *const keys[] = {"a-b/x", "a/1", "a/2/x", "a/2/y/z", "a.b", "b"};
    for (size_t i = 0; i < countof(keys); i++)
        CHECK_OK(put_text(bucket, ctx, keys[i], "x"));
    check_list(bucket, ctx, "", LIST_ONE_LEVEL, "a-b/ a.b a/ b ");
    check_list(bucket, ctx, "", LIST_ALL, "a-b/x a.b a/1 a/2/x a/2/y/z b ");
    check_list(bucket, ctx, "a/", LIST_ONE_LEVEL, "a/1 a/2/ ");
    check_list(bucket, ctx, "a/2/", LIST_ALL, "a/2/x a/2/y/z ");
    check_list(bucket, ctx, "none/", LIST_ALL, "");
    for (size_t i = 0; i < countof(keys); i++)
        CHECK_OK(bucket_remove(bucket, ctx, str_from(keys[i])));
    check_list(bucket, ctx, "", LIST_ONE_LEVEL, "");
}

static void check_names(struct bucket *bucket, struct context *ctx)
{
    static const char *const keys[] = {
        "with space",
        "plus+and=equal",
        "per%cent%20",
        "uml\xc3\xa4ut/\xe2\x82\xac",
        "a&b;c,d@e!f'g(h)i*j~k",
        "#hash?question",
    };
    for (size_t i = 0; i < countof(keys); i++) {
        CHECK_OK(put_text(bucket, ctx, keys[i], keys[i]));
        check_content(bucket, ctx, keys[i], keys[i]);
        struct buf want = {0}, got = {0};
        CHECK_OK(bucket_list(bucket, ctx, STR(""), LIST_ALL, note_key, &got));
        buf_printf(&want, "%s ", keys[i]);
        CHECK(str_equal(buf_str(&want), buf_str(&got)));
        buf_deinit(&want);
        buf_deinit(&got);
        CHECK_OK(bucket_remove(bucket, ctx, str_from(keys[i])));
    }
}

struct counted {
    size_t count;
    struct buf last;
};

static struct error *count_entry(void *self, const struct bucket_entry *entry)
{
    struct counted *counted = self;
    CHECK(counted->count == 0 || str_compare(buf_str(&counted->last), entry->key) < 0);
    buf_clear(&counted->last);
    buf_append_str(&counted->last, entry->key);
    counted->count++;
    return NULL;
}

static struct error *stop_at_third(void *self, const struct bucket_entry *entry UNUSED)
{
    size_t *count = self;
    return ++*count == 3 ? error_create(ERROR_CONFLICT, "enough") : NULL;
}

static void check_many(struct bucket *bucket, struct context *ctx, size_t many)
{
    struct counted counted = {0};
    size_t seen = 0;
    char key[32];
    for (size_t i = 0; i < many; i++) {
        snprintf(key, sizeof(key), "many/%zu", i);
        CHECK_OK(put_text(bucket, ctx, key, "x"));
    }
    CHECK_OK(bucket_list(bucket, ctx, STR("many/"), LIST_ALL, count_entry, &counted));
    CHECK_EQ(counted.count, many);
    CHECK_ERROR(bucket_list(bucket, ctx, STR("many/"), LIST_ONE_LEVEL, stop_at_third, &seen),
                ERROR_CONFLICT);
    CHECK_EQ(seen, 3);
    buf_deinit(&counted.last);
    for (size_t i = 0; i < many; i++) {
        snprintf(key, sizeof(key), "many/%zu", i);
        CHECK_OK(bucket_remove(bucket, ctx, str_from(key)));
    }
}

/* A source of `size` bytes that says it has `said`, with a failure after `fails_at`. */
struct odd_source {
    struct bucket_source base;
    size_t size, fails_at, given;
    uint8_t piece[70000];
};

static struct error *odd_next(struct bucket_source *base, struct bytes *piece)
{
    struct odd_source *source = container_of(base, struct odd_source, base);
    size_t len = size_min(sizeof(source->piece), source->size - source->given);
    if (source->given >= source->fails_at)
        return error_create(ERROR_INTERNAL, "the source broke");
    for (size_t i = 0; i < len; i++)
        source->piece[i] = (uint8_t)((source->given + i) * 2654435761u >> 13);
    source->given += len;
    *piece = (struct bytes){source->piece, len};
    return NULL;
}

static struct error *odd_rewind(struct bucket_source *base)
{
    container_of(base, struct odd_source, base)->given = 0;
    return NULL;
}

static void check_large(struct bucket *bucket, struct context *ctx, size_t large)
{
    struct odd_source *source = xcalloc(1, sizeof(*source));
    struct arena *arena = arena_create(NULL);
    struct str directory = temporary_directory(arena);
    struct str path = path_join(arena, directory, STR("copy"));
    struct file_map map = {0};
    for (int known = 0; known < 2; known++) {
        *source = (struct odd_source){
            {odd_next, odd_rewind, known ? large : BUCKET_TO_END}, large, SIZE_MAX, 0, {0}};
        CHECK_OK(bucket_put(bucket, ctx, STR("large/object"), &source->base));
        CHECK_OK(bucket_get_file(bucket, ctx, STR("large/object"), path));
        CHECK_OK(file_map_open(path, &map));
        CHECK_EQ(map.bytes.len, large);
        for (size_t i = 0; i < large; i++)
            if (map.bytes.data[i] != (uint8_t)(i * 2654435761u >> 13))
                fail_msg("byte %zu is wrong", i);
        file_map_close(&map);
    }
    /* a put that fails leaves what was there */
    *source = (struct odd_source){{odd_next, odd_rewind, large}, large, large / 2, 0, {0}};
    CHECK_ERROR_TEXT(bucket_put(bucket, ctx, STR("large/object"), &source->base), ERROR_INTERNAL,
                     "the source broke");
    struct bucket_attributes attributes;
    CHECK_OK(bucket_attributes(bucket, ctx, STR("large/object"), &attributes));
    CHECK_EQ(attributes.size, large);
    *source = (struct odd_source){{odd_next, odd_rewind, large}, large, 0, 0, {0}};
    CHECK_ERROR(bucket_put(bucket, ctx, STR("large/other"), &source->base), ERROR_INTERNAL);
    check_list(bucket, ctx, "large/", LIST_ALL, "large/object ");
    CHECK_OK(bucket_remove(bucket, ctx, STR("large/object")));
    temporary_directory_remove(directory);
    arena_unref(arena);
    free(source);
}

static void check_cancelled(struct bucket *bucket)
{
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct buf content = {0};
    context_cancel(ctx);
    CHECK_ERROR(bucket_get(bucket, ctx, STR("a"), 10, &content), ERROR_CANCELLED);
    CHECK_ERROR(put_text(bucket, ctx, "a", "b"), ERROR_CANCELLED);
    buf_deinit(&content);
    context_unref(ctx);
}

void bucket_acceptance_run(struct bucket *bucket, struct context *ctx, size_t many, size_t large)
{
    check_objects(bucket, ctx);
    check_ranges(bucket, ctx);
    check_listing(bucket, ctx);
    check_names(bucket, ctx);
    check_many(bucket, ctx, many);
    check_large(bucket, ctx, large);
    check_cancelled(bucket);
}
