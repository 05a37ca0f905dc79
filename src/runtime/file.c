#include "runtime/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "runtime/fault.h"

static struct error *errno_error(const char *verb, const char *path, int code)
{
    enum error_kind kind = code == ENOENT ? ERROR_NOT_FOUND : ERROR_INTERNAL;
    return error_create(kind, "%s %s: %s", verb, path, strerror(code));
}

/* A NUL-terminated copy of the path in *out. */
static struct error *path_copy(struct str path, char **out)
{
    if (path.len == 0 || memchr(path.data, 0, path.len))
        return error_create(ERROR_INVALID, "\"%.*s\" is not a path", STR_ARG(path));
    *out = str_dup(path);
    return NULL;
}

static struct error *open_fd(const char *path, int flags, int *out)
{
    int fd = fault_io("open file") ? (errno = EIO, -1) : open(path, flags | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno_error("open", path, errno);
    *out = fd;
    return NULL;
}

static struct error *open_regular(const char *path, int *out, struct stat *stat)
{
    struct error *err = open_fd(path, O_RDONLY, out);
    if (err)
        return err;
    if (fault_io("stat file") ? (errno = EIO, true) : fstat(*out, stat) != 0)
        err = errno_error("stat", path, errno);
    else if (S_ISDIR(stat->st_mode))
        err = error_create(ERROR_INVALID, "read %s: is a directory", path);
    if (err)
        close(*out);
    return err;
}

/* -- reading -- */

/* Pipes and files of /proc do not say their size, so the end is where read() says so. */
static struct error *read_all(int fd, const char *path, size_t max, struct buf *out)
{
    enum { PIECE = 64 * 1024 };
    size_t total = 0;
    for (;;) {
        size_t want = size_min(PIECE, max - total + 1);
        char *into = buf_reserve(out, want);
        if (!into)
            return buf_status(out);
        ssize_t got = fault_io("read file") ? (errno = EIO, -1) : read(fd, into, want);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno_error("read", path, errno);
        if (got == 0)
            return NULL;
        total += (size_t)got;
        if (total > max)
            return error_create(ERROR_LIMIT, "read %s: longer than %zu bytes", path, max);
        out->len += (size_t)got;
    }
}

struct error *file_read(struct str path, size_t max, struct buf *out)
{
    char *name = NULL;
    int fd = -1;
    struct stat stat;
    size_t len = out->len;
    struct error *err = path_copy(path, &name);
    if (err)
        return err;
    err = open_regular(name, &fd, &stat);
    if (!err) {
        err = read_all(fd, name, size_min(max, SIZE_MAX / 2), out);
        close(fd);
    }
    if (err)
        out->len = len;
    free(name);
    return err;
}

/* -- writing -- */

static struct error *write_all(int fd, const char *path, struct bytes content)
{
    while (content.len) {
        ssize_t done =
            fault_io("write file") ? (errno = ENOSPC, -1) : write(fd, content.data, content.len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno_error("write", path, errno);
        content.data += done;
        content.len -= (size_t)done;
    }
    if (fault_io("sync file") ? (errno = EIO, true) : fsync(fd) != 0)
        return errno_error("sync", path, errno);
    return NULL;
}

static struct error *sync_directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir =
        slash ? str_dup((struct str){path, size_max(1, (size_t)(slash - path))}) : xstrdup(".");
    int fd = -1;
    struct error *err = open_fd(dir, O_RDONLY | O_DIRECTORY, &fd);
    if (!err) {
        if (fault_io("sync directory") ? (errno = EIO, true) : fsync(fd) != 0)
            err = errno_error("sync", dir, errno);
        close(fd);
    }
    free(dir);
    return err;
}

static struct error *write_and_rename(const char *path, const char *temporary, struct bytes content)
{
    int fd = -1;
    struct error *err = open_fd(temporary, O_WRONLY | O_CREAT | O_TRUNC, &fd);
    if (err)
        return err;
    err = write_all(fd, temporary, content);
    if (close(fd) != 0 && !err)
        err = errno_error("close", temporary, errno);
    if (!err && (fault_io("rename file") ? (errno = EIO, true) : rename(temporary, path) != 0))
        err = errno_error("rename", temporary, errno);
    if (err)
        unlink(temporary);
    return err ? err : sync_directory_of(path);
}

struct error *file_write_atomic(struct str path, struct bytes content)
{
    char *name = NULL;
    struct error *err = path_copy(path, &name);
    if (err)
        return err;
    struct buf temporary = {0};
    buf_printf(&temporary, "%s.tmp%c", name, 0);
    err = write_and_rename(name, temporary.data, content);
    buf_deinit(&temporary);
    free(name);
    return err;
}

/* -- mapping -- */

struct error *file_map_open(struct str path, struct file_map *map)
{
    char *name = NULL;
    int fd = -1;
    struct stat stat;
    struct error *err = path_copy(path, &name);
    if (err)
        return err;
    err = open_regular(name, &fd, &stat);
    if (!err) {
        void *data = NULL;
        if (stat.st_size > 0) /* an empty mapping is not allowed */
            data = fault_io("map file")
                       ? (errno = EIO, MAP_FAILED)
                       : mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED)
            err = errno_error("map", name, errno);
        else
            map->bytes = (struct bytes){data, (size_t)stat.st_size};
        close(fd);
    }
    free(name);
    return err;
}

void file_map_close(struct file_map *map)
{
    if (map->bytes.len)
        munmap((void *)map->bytes.data, map->bytes.len);
    map->bytes = (struct bytes){0};
}

void file_map_drop_pages(const struct file_map *map)
{
    if (map->bytes.len)
        madvise((void *)map->bytes.data, map->bytes.len, MADV_DONTNEED);
}
