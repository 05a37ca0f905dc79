/* runtime/file_writer.h: a file written from front to end through a buffer, for what is too large
 * for file_write_atomic(). Whoever makes it visible closes it first: that syncs it. Failures are as
 * in runtime/file.h; after the first one nothing more is written and close tells it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct file_writer {
    int fd; /* -1: closed */
    char *path;
    struct buf pending;
    uint64_t flushed;      /* bytes that are in the file */
    struct error *failure; /* the first one */
};

/* Makes or empties the file. */
MUST_CHECK struct error *file_writer_open(struct file_writer *writer, struct str path);
void file_writer_append(struct file_writer *writer, const void *data, size_t len);
/* Bytes written so far: where the next one goes. */
static inline uint64_t file_writer_place(const struct file_writer *writer)
{
    return writer->flushed + writer->pending.len;
}
/* Everything written so far can be read by others after this. */
MUST_CHECK struct error *file_writer_flush(struct file_writer *writer);
/* Flushes, syncs, closes; the first failure of all. Closed is fine. */
MUST_CHECK struct error *file_writer_close(struct file_writer *writer);
/* Closes, and gives the file its name: readers see all of it or what was there before, also after a
 * crash. */
MUST_CHECK struct error *file_writer_publish(struct file_writer *writer, struct str path);
/* Closes without a word: the file is not wanted any more. Closed or zeroed-with-fd -1 is fine. */
void file_writer_abandon(struct file_writer *writer);
