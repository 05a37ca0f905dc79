#include "objstore/bucket.h"

#include <string.h>

#include "runtime/context.h"
#include "runtime/directory.h"
#include "runtime/file_writer.h"
#include "runtime/file.h"

enum { FILE_PIECE = 4 << 20, FILE_PIECES = 4 };

void bucket_free(struct bucket *bucket)
{
    if (bucket)
        bucket->ops->free(bucket);
}

void bucket_read_each(struct bucket *bucket, struct context *ctx, struct bucket_read *reads,
                      size_t count)
{
    if (count > 0)
        bucket->ops->read(bucket, ctx, reads, count);
}

struct error *bucket_read_all(struct bucket *bucket, struct context *ctx, struct bucket_read *reads,
                              size_t count)
{
    struct error *first = NULL;
    bucket_read_each(bucket, ctx, reads, count);
    for (size_t i = 0; i < count; i++) {
        error_keep_first(&first, reads[i].err);
        reads[i].err = NULL;
    }
    return first;
}

struct error *bucket_get_range(struct bucket *bucket, struct context *ctx, struct str key,
                               uint64_t offset, uint64_t length, struct buf *out)
{
    struct bucket_read read = {.key = key, .offset = offset, .length = length, .out = *out};
    bucket_read_each(bucket, ctx, &read, 1);
    *out = read.out;
    return read.err;
}

struct error *bucket_get(struct bucket *bucket, struct context *ctx, struct str key, size_t max,
                         struct buf *out)
{
    size_t before = out->len;
    struct error *err = bucket_get_range(bucket, ctx, key, 0, (uint64_t)max + 1, out);
    if (!err && out->len - before > max)
        err = error_create(ERROR_LIMIT, "get %.*s: longer than %zu bytes", STR_ARG(key), max);
    return err;
}

struct error *bucket_list(struct bucket *bucket, struct context *ctx, struct str prefix,
                          enum bucket_listing listing, bucket_list_fn each, void *self)
{
    return bucket->ops->list(bucket, ctx, prefix, listing, each, self);
}

struct error *bucket_attributes(struct bucket *bucket, struct context *ctx, struct str key,
                                struct bucket_attributes *out)
{
    return bucket->ops->attributes(bucket, ctx, key, out);
}

struct error *bucket_exists(struct bucket *bucket, struct context *ctx, struct str key, bool *out)
{
    struct bucket_attributes attributes;
    struct error *err = bucket_attributes(bucket, ctx, key, &attributes);
    *out = !err;
    if (err && error_kind(err) == ERROR_NOT_FOUND) {
        error_free(err);
        err = NULL;
    }
    return err;
}

struct error *bucket_put(struct bucket *bucket, struct context *ctx, struct str key,
                         struct bucket_source *source)
{
    return bucket->ops->put(bucket, ctx, key, source);
}

struct error *bucket_remove(struct bucket *bucket, struct context *ctx, struct str key)
{
    return bucket->ops->remove(bucket, ctx, key);
}

/* ---- bytes and files ---- */

struct bytes_source {
    struct bucket_source base;
    struct bytes content;
    size_t given;
};

static struct error *bytes_next(struct bucket_source *base, struct bytes *piece)
{
    struct bytes_source *source = container_of(base, struct bytes_source, base);
    size_t len = size_min(FILE_PIECE, source->content.len - source->given);
    *piece = (struct bytes){source->content.data + source->given, len};
    source->given += len;
    return NULL;
}

static struct error *bytes_rewind(struct bucket_source *base)
{
    container_of(base, struct bytes_source, base)->given = 0;
    return NULL;
}

struct error *bucket_put_bytes(struct bucket *bucket, struct context *ctx, struct str key,
                               struct bytes content)
{
    struct bytes_source source = {{bytes_next, bytes_rewind, content.len}, content, 0};
    return bucket_put(bucket, ctx, key, &source.base);
}

struct error *bucket_put_file(struct bucket *bucket, struct context *ctx, struct str key,
                              struct str path)
{
    struct file_map map = {0};
    struct error *err = file_map_open(path, &map);
    if (!err)
        err = bucket_put_bytes(bucket, ctx, key, map.bytes);
    file_map_close(&map);
    return err;
}

struct error *bucket_copy_range(struct bucket *bucket, struct context *ctx, struct str key,
                                uint64_t from, uint64_t to, struct file_writer *file)
{
    struct error *err = NULL;
    while (from < to && !err) {
        struct bucket_read reads[FILE_PIECES] = {0};
        size_t count = 0;
        for (uint64_t at = from; at < to && count < FILE_PIECES; at += FILE_PIECE, count++)
            reads[count] = (struct bucket_read){
                .key = key, .offset = at, .length = to - at < FILE_PIECE ? to - at : FILE_PIECE};
        err = bucket_read_all(bucket, ctx, reads, count);
        for (size_t i = 0; i < count; i++) {
            if (!err && reads[i].out.len != reads[i].length)
                err = error_create(ERROR_CORRUPT, "get %.*s: %zu bytes where %llu were to come",
                                   STR_ARG(key), reads[i].out.len,
                                   (unsigned long long)reads[i].length);
            if (!err)
                file_writer_append(file, reads[i].out.data, reads[i].out.len);
            from += reads[i].length;
            buf_deinit(&reads[i].out);
        }
    }
    return err;
}

struct error *bucket_get_file(struct bucket *bucket, struct context *ctx, struct str key,
                              struct str path)
{
    struct bucket_attributes attributes;
    struct file_writer file = {.fd = -1};
    struct buf temporary = {0};
    struct error *err = bucket_attributes(bucket, ctx, key, &attributes);
    buf_printf(&temporary, "%.*s.tmp", STR_ARG(path));
    if (!err)
        err = file_writer_open(&file, buf_str(&temporary));
    if (!err)
        err = bucket_copy_range(bucket, ctx, key, 0, attributes.size, &file);
    if (!err)
        err = file_writer_publish(&file, path);
    file_writer_abandon(&file);
    if (err)
        error_free(file_remove(buf_str(&temporary)));
    buf_deinit(&temporary);
    return err;
}
