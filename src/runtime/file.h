/* runtime/file.h: whole files: read within a bound, replaced as one, mapped. Paths are copied where
 * needed; they must not hold a NUL. Failures: ERROR_NOT_FOUND, ERROR_LIMIT (longer than allowed),
 * ERROR_INVALID (a path with a NUL, a directory), else ERROR_INTERNAL, with path and reason in the
 * text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* Appends the whole file, max bytes at most. On failure `out` is as before. */
MUST_CHECK struct error *file_read(struct str path, size_t max, struct buf *out);

/* Readers see the old content or the new, never a part, also after a crash: written to
 * "<path>.tmp", synced, renamed, the directory synced. On failure the old file is untouched. */
MUST_CHECK struct error *file_write_atomic(struct str path, struct bytes content);

/* A file mapped read-only. Zero-initialised it is closed. */
struct file_map {
    struct bytes bytes;
};
MUST_CHECK struct error *file_map_open(struct str path, struct file_map *map);
void file_map_close(struct file_map *map); /* closed is fine */
/* Tells the kernel that the pages read so far may go. */
void file_map_drop_pages(const struct file_map *map);
