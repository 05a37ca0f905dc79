#include "runtime/file_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/directory.h"
#include "runtime/fault.h"

enum { PIECE = 256 * 1024 };

static void fail(struct file_writer *writer, const char *verb, int code)
{
    error_keep_first(&writer->failure,
                     error_create(ERROR_INTERNAL, "%s %s: %s", verb, writer->path, strerror(code)));
}

struct error *file_writer_open(struct file_writer *writer, struct str path)
{
    *writer = (struct file_writer){.fd = -1};
    if (path.len == 0 || memchr(path.data, 0, path.len))
        return error_create(ERROR_INVALID, "\"%.*s\" is not a path", STR_ARG(path));
    writer->path = str_dup(path);
    writer->fd = fault_io("create file")
                     ? (errno = EIO, -1)
                     : open(writer->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (writer->fd >= 0)
        return NULL;
    struct error *err =
        error_create(ERROR_INTERNAL, "create %s: %s", writer->path, strerror(errno));
    file_writer_abandon(writer);
    return err;
}

static void write_out(struct file_writer *writer, struct bytes content)
{
    while (content.len && !writer->failure) {
        ssize_t done = fault_io("write file") ? (errno = ENOSPC, -1)
                                              : write(writer->fd, content.data, content.len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0) {
            fail(writer, "write", errno);
            return;
        }
        content.data += done;
        content.len -= (size_t)done;
        writer->flushed += (uint64_t)done;
    }
}

void file_writer_append(struct file_writer *writer, const void *data, size_t len)
{
    if (writer->pending.len + len > PIECE) {
        write_out(writer, buf_bytes(&writer->pending));
        buf_clear(&writer->pending);
    }
    if (len >= PIECE)
        write_out(writer, (struct bytes){data, len});
    else
        buf_append(&writer->pending, data, len);
}

struct error *file_writer_flush(struct file_writer *writer)
{
    write_out(writer, buf_bytes(&writer->pending));
    buf_clear(&writer->pending);
    return error_copy(writer->failure);
}

struct error *file_writer_close(struct file_writer *writer)
{
    if (writer->fd < 0)
        return NULL;
    struct error *err = file_writer_flush(writer);
    error_free(err); /* the writer keeps the original */
    if (!writer->failure && (fault_io("sync file") ? (errno = EIO, true) : fsync(writer->fd) != 0))
        fail(writer, "sync", errno);
    if (close(writer->fd) != 0)
        fail(writer, "close", errno);
    writer->fd = -1;
    err = writer->failure;
    writer->failure = NULL;
    file_writer_abandon(writer);
    return err;
}

struct error *file_writer_publish(struct file_writer *writer, struct str path)
{
    char *written = str_dup(str_from(writer->path));
    struct error *err = file_writer_close(writer);
    if (!err)
        err = directory_rename(str_from(written), path);
    free(written);
    return err;
}

void file_writer_abandon(struct file_writer *writer)
{
    if (writer->fd >= 0)
        close(writer->fd);
    writer->fd = -1;
    free(writer->path);
    writer->path = NULL;
    buf_deinit(&writer->pending);
    error_free(writer->failure);
    writer->failure = NULL;
}
