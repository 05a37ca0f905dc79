#include "objstore/bucket_filesystem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "runtime/context.h"
#include "runtime/directory.h"
#include "runtime/fault.h"
#include "runtime/file_writer.h"
#include "runtime/pool.h"

/* Files that are being written; nobody else's names begin like that. */
static const char temporary_prefix[] = ".titan-put-";

enum { DEPTH_MAX = 64, READ_PIECE = 1 << 20 };

struct filesystem {
    struct bucket base;
    struct arena *arena; /* of the texts */
    struct str root;
    struct pool *files;
    atomic_uint_fast64_t temporaries;
};

static struct filesystem *of(struct bucket *bucket)
{
    return container_of(bucket, struct filesystem, base);
}

/* A key may not lead out of the directory. */
static struct error *key_check(struct str key)
{
    struct str rest = key, part;
    bool more = true;
    if (key.len == 0 || memchr(key.data, 0, key.len))
        return error_create(ERROR_INVALID, "\"%.*s\" is no object's name", STR_ARG(key));
    while (more) {
        more = str_cut(rest, '/', &part, &rest);
        if (str_equal(part, STR("..")))
            return error_create(ERROR_INVALID, "\"%.*s\" leads out of the bucket", STR_ARG(key));
    }
    return NULL;
}

/* NUL-terminated, to be freed. */
static struct error *path_of(const struct filesystem *filesystem, struct str key, char **out)
{
    struct error *err = key_check(key);
    struct buf path = {0};
    if (err)
        return err;
    buf_printf(&path, "%.*s/%.*s%c", STR_ARG(filesystem->root), STR_ARG(key), 0);
    *out = path.data;
    return NULL;
}

static struct error *errno_error(const char *verb, struct str key, int code)
{
    bool missing = code == ENOENT || code == ENOTDIR;
    return error_create(missing ? ERROR_NOT_FOUND : ERROR_UNAVAILABLE, "%s %.*s: %s", verb,
                        STR_ARG(key), strerror(code));
}

/* ---- reading ---- */

static struct error *read_range(int fd, struct bucket_read *read, struct context *ctx)
{
    uint64_t place = read->offset, left = read->length;
    while (left > 0) {
        struct error *err = context_error(ctx);
        if (err)
            return err;
        size_t want = left < READ_PIECE ? (size_t)left : READ_PIECE;
        char *into = buf_reserve(&read->out, want);
        if (!into)
            return buf_status(&read->out);
        ssize_t got =
            fault_io("read object") ? (errno = EIO, -1) : pread(fd, into, want, (off_t)place);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno_error("read", read->key, errno);
        if (got == 0)
            return NULL;
        read->out.len += (size_t)got;
        place += (uint64_t)got;
        left -= left == BUCKET_TO_END ? 0 : (uint64_t)got;
    }
    return NULL;
}

/* Room for what is there at once, so that reading it does not copy it about. */
static struct error *reserve_range(int fd, struct bucket_read *read)
{
    struct stat status;
    if (fault_io("stat object") ? (errno = EIO, true) : fstat(fd, &status) != 0)
        return errno_error("stat", read->key, errno);
    if (S_ISDIR(status.st_mode))
        return error_create(ERROR_NOT_FOUND, "get %.*s: is a directory", STR_ARG(read->key));
    uint64_t size = (uint64_t)status.st_size;
    uint64_t left = read->offset < size ? size - read->offset : 0;
    if (!buf_reserve(&read->out, (size_t)(left < read->length ? left : read->length) + 1))
        return buf_status(&read->out);
    return NULL;
}

static void read_one(struct filesystem *filesystem, struct context *ctx, struct bucket_read *read)
{
    char *path = NULL;
    read->err = context_error(ctx);
    if (!read->err)
        read->err = path_of(filesystem, read->key, &path);
    if (read->err)
        return;
    int fd = fault_io("open object") ? (errno = EIO, -1) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        read->err = errno_error("open", read->key, errno);
    else
        read->err = reserve_range(fd, read);
    if (!read->err)
        read->err = read_range(fd, read, ctx);
    if (fd >= 0)
        close(fd);
    free(path);
}

struct read_task {
    struct filesystem *filesystem;
    struct bucket_read *read;
};

static struct error *run_read(void *arg, struct context *ctx)
{
    struct read_task *task = arg;
    error_free(task->read->err); /* it was begun after all */
    read_one(task->filesystem, ctx, task->read);
    return NULL;
}

static void filesystem_read(struct bucket *bucket, struct context *ctx, struct bucket_read *reads,
                            size_t count)
{
    struct filesystem *filesystem = of(bucket);
    struct task_group *group =
        count > 1 && filesystem->files ? task_group_create(filesystem->files, ctx) : NULL;
    struct read_task *tasks = group ? xcalloc(count, sizeof(*tasks)) : NULL;
    for (size_t i = 0; i < count; i++) {
        if (!group) {
            read_one(filesystem, ctx, &reads[i]);
            continue;
        }
        /* what is dropped when ctx ends says so */
        reads[i].err =
            error_create(ERROR_CANCELLED, "get %.*s: was not begun", STR_ARG(reads[i].key));
        tasks[i] = (struct read_task){filesystem, &reads[i]};
    }
    for (size_t i = 0; group && i < count; i++)
        task_group_run(group, run_read, &tasks[i]);
    if (group)
        error_free(task_group_finish(group));
    free(tasks);
}

static struct error *filesystem_attributes(struct bucket *bucket, struct context *ctx UNUSED,
                                           struct str key, struct bucket_attributes *out)
{
    char *path = NULL;
    struct stat status;
    struct error *err = path_of(of(bucket), key, &path);
    if (err)
        return err;
    if (fault_io("stat object") ? (errno = EIO, true) : stat(path, &status) != 0)
        err = errno_error("stat", key, errno);
    else if (S_ISDIR(status.st_mode))
        err = error_create(ERROR_NOT_FOUND, "stat %.*s: is a directory", STR_ARG(key));
    free(path);
    if (!err)
        *out = (struct bucket_attributes){
            .size = (uint64_t)status.st_size,
            .modified_ms = (int64_t)status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000,
        };
    return err;
}

/* ---- listing ---- */

struct listing {
    struct filesystem *filesystem;
    struct context *ctx;
    enum bucket_listing listing;
    bucket_list_fn each;
    void *self;
    struct arena *arena;
};

static int entry_compare(const void *a, const void *b)
{
    return str_compare(((const struct directory_entry *)a)->name,
                       ((const struct directory_entry *)b)->name);
}

/* Entries below a prefix in the order of keys: names of directories end with "/". */
static struct error *list_directory(struct listing *listing, struct str prefix,
                                    struct directory_entry **entries, size_t *count)
{
    struct str path = arena_printf(listing->arena, "%.*s/%.*s", STR_ARG(listing->filesystem->root),
                                   STR_ARG(prefix));
    struct error *err = directory_list(path, listing->arena, entries, count);
    if (err && error_kind(err) == ERROR_NOT_FOUND) {
        *count = 0;
        error_free(err);
        return NULL;
    }
    for (size_t i = 0; !err && i < *count; i++) {
        if ((*entries)[i].is_directory)
            (*entries)[i].name = arena_printf(listing->arena, "%.*s/", STR_ARG((*entries)[i].name));
    }
    if (!err && *count > 1)
        qsort(*entries, *count, sizeof(**entries), entry_compare);
    return err;
}

static struct error *list_level(struct listing *listing, struct str prefix, int depth)
{
    struct directory_entry *entries, *below;
    size_t count, below_count;
    struct error *err = context_error(listing->ctx);
    if (!err && depth == DEPTH_MAX)
        err = error_create(ERROR_LIMIT, "list %.*s: deeper than %d levels", STR_ARG(prefix),
                           DEPTH_MAX);
    if (!err)
        err = list_directory(listing, prefix, &entries, &count);
    for (size_t i = 0; !err && i < count; i++) {
        struct str key =
            arena_printf(listing->arena, "%.*s%.*s", STR_ARG(prefix), STR_ARG(entries[i].name));
        struct bucket_entry entry = {key, entries[i].modified_ms, entries[i].size};
        if (str_starts_with(entries[i].name, str_from(temporary_prefix)))
            continue;
        if (!entries[i].is_directory) {
            err = listing->each(listing->self, &entry);
        } else if (listing->listing == LIST_ALL) {
            err = list_level(listing, key, depth + 1);
        } else {
            err = list_directory(listing, key, &below, &below_count);
            if (!err && below_count > 0)
                err = listing->each(listing->self, &entry);
        }
    }
    return err;
}

static struct error *filesystem_list(struct bucket *bucket, struct context *ctx, struct str prefix,
                                     enum bucket_listing kind, bucket_list_fn each, void *self)
{
    struct listing listing = {of(bucket), ctx, kind, each, self, arena_create(NULL)};
    struct error *err = prefix.len > 0 ? key_check(prefix) : NULL;
    if (!err)
        err = list_level(&listing, prefix, 0);
    arena_unref(listing.arena);
    return err;
}

/* ---- writing ---- */

static struct error *write_source(struct file_writer *file, struct context *ctx,
                                  struct bucket_source *source)
{
    struct bytes piece = {NULL, 1};
    uint64_t given = 0;
    struct error *err = NULL;
    while (!err && piece.len > 0) {
        err = source->next(source, &piece);
        if (!err && piece.len > 0)
            file_writer_append(file, piece.data, piece.len);
        given += piece.len;
        error_keep_first(&err, context_error(ctx));
    }
    if (!err && source->size != BUCKET_TO_END && given != source->size)
        err = error_create(ERROR_CORRUPT, "%llu bytes were to come, %llu came",
                           (unsigned long long)source->size, (unsigned long long)given);
    return err;
}

static struct error *filesystem_put(struct bucket *bucket, struct context *ctx, struct str key,
                                    struct bucket_source *source)
{
    struct filesystem *filesystem = of(bucket);
    struct error *err = key_check(key);
    if (err)
        return err;
    struct buf path = {0}, temporary = {0};
    struct file_writer file = {.fd = -1};
    buf_printf(&path, "%.*s/%.*s", STR_ARG(filesystem->root), STR_ARG(key));
    size_t slash = path.len;
    while (path.data[slash - 1] != '/')
        slash--;
    struct str directory = {path.data, slash - 1};
    buf_printf(&temporary, "%.*s/%s%d-%llu", STR_ARG(directory), temporary_prefix, (int)getpid(),
               (unsigned long long)atomic_fetch_add(&filesystem->temporaries, 1));
    err = directory_create(directory);
    if (!err)
        err = file_writer_open(&file, buf_str(&temporary));
    if (!err)
        err = write_source(&file, ctx, source);
    if (!err)
        err = file_writer_publish(&file, buf_str(&path));
    file_writer_abandon(&file);
    if (err)
        error_free(file_remove(buf_str(&temporary)));
    buf_deinit(&path);
    buf_deinit(&temporary);
    return error_wrap(err, "put %.*s", STR_ARG(key));
}

/* Directories that became empty go with their last object, up to the bucket's own. */
static struct error *filesystem_remove(struct bucket *bucket, struct context *ctx UNUSED,
                                       struct str key)
{
    struct filesystem *filesystem = of(bucket);
    char *path = NULL;
    struct error *err = path_of(filesystem, key, &path);
    if (!err)
        err = directory_remove(str_from(path));
    for (char *slash; !err && (slash = strrchr(path, '/'));) {
        *slash = 0;
        if (strlen(path) <= filesystem->root.len || rmdir(path) != 0)
            break;
    }
    free(path);
    return error_wrap(err, "remove %.*s", STR_ARG(key));
}

static void filesystem_free(struct bucket *bucket)
{
    struct filesystem *filesystem = of(bucket);
    arena_unref(filesystem->arena);
    free(filesystem);
}

static const struct bucket_ops filesystem_ops = {
    .read = filesystem_read,
    .list = filesystem_list,
    .attributes = filesystem_attributes,
    .put = filesystem_put,
    .remove = filesystem_remove,
    .free = filesystem_free,
};

/* An absolute path without "." and needless slashes, as far as Go's filepath.Abs matters here. */
static struct str absolute(struct arena *arena, struct str directory)
{
    while (directory.len > 1 && directory.data[directory.len - 1] == '/')
        directory.len--;
    while (str_starts_with(directory, STR("./")))
        directory = str_slice(directory, 2, directory.len);
    if (str_starts_with(directory, STR("/")))
        return arena_str(arena, directory);
    char *here = getcwd(NULL, 0);
    struct str result = str_equal(directory, STR("."))
                            ? arena_str(arena, str_from(here))
                            : path_join(arena, str_from(here), directory);
    free(here);
    return result;
}

struct error *bucket_filesystem_create(struct str directory, struct pool *files,
                                       struct bucket **out)
{
    if (directory.len == 0 || memchr(directory.data, 0, directory.len))
        return error_create(ERROR_INVALID, "missing directory for filesystem bucket");
    struct filesystem *filesystem = xcalloc(1, sizeof(*filesystem));
    filesystem->arena = arena_create(NULL);
    filesystem->root = absolute(filesystem->arena, directory);
    filesystem->files = files;
    filesystem->base.ops = &filesystem_ops;
    filesystem->base.name = arena_printf(filesystem->arena, "fs: %.*s", STR_ARG(filesystem->root));
    filesystem->base.type = STR("FILESYSTEM");
    *out = &filesystem->base;
    return NULL;
}
