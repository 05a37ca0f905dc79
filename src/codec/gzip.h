/* codec/gzip.h: gzip members. Out by ISA-L's fastest level (or zlib's where it is not built in), in
 * by zlib. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct gzip_writer;

/* A stream: about 350 KiB of state, so keep few. One thread at a time. */
struct gzip_writer *gzip_writer_create(void);
void gzip_writer_free(struct gzip_writer *writer); /* NULL is fine */
/* Begins a new member: needed again before a writer is used for another stream. */
void gzip_writer_reset(struct gzip_writer *writer);

enum gzip_flush {
    GZIP_MORE, /* may keep bytes back */
    GZIP_SYNC, /* all that was given can be read by the receiver */
    GZIP_END,  /* ends the member */
};
/* Compresses `in` and appends what comes out. */
void gzip_write(struct gzip_writer *writer, struct bytes in, enum gzip_flush flush,
                struct buf *out);

/* A whole text at once. */
void gzip_encode(struct bytes in, struct buf *out);
/* Appends the content of all members. ERROR_CORRUPT; ERROR_LIMIT when it is longer than max bytes
 * or out's budget refuses. */
MUST_CHECK struct error *gzip_decode(struct bytes in, size_t max, struct buf *out);
