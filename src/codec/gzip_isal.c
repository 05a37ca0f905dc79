/* gzip out by ISA-L; gzip.c does it with zlib where ISA-L is absent. */
#include "codec/gzip.h"

#include <isa-l/igzip_lib.h>
#include <stdlib.h>

#include "base/memory.h"

enum { OUT_STEP = 64 * 1024 };

struct gzip_writer {
    struct isal_zstream stream;
    uint8_t level_state[ISAL_DEF_LVL1_DEFAULT];
};

void gzip_writer_reset(struct gzip_writer *writer)
{
    isal_deflate_init(&writer->stream);
    writer->stream.gzip_flag = IGZIP_GZIP;
    writer->stream.level = 1;
    writer->stream.level_buf = writer->level_state;
    writer->stream.level_buf_size = sizeof(writer->level_state);
}

struct gzip_writer *gzip_writer_create(void)
{
    struct gzip_writer *writer = xmalloc(sizeof(*writer));
    gzip_writer_reset(writer);
    return writer;
}

void gzip_writer_free(struct gzip_writer *writer)
{
    free(writer);
}

static void write_piece(struct isal_zstream *stream, struct bytes in, struct buf *out)
{
    stream->next_in = (uint8_t *)(uintptr_t)in.data;
    stream->avail_in = (uint32_t)in.len;
    do {
        char *room = buf_reserve(out, OUT_STEP);
        if (!room)
            return;
        stream->next_out = (uint8_t *)room;
        stream->avail_out = OUT_STEP;
        if (isal_deflate(stream) != COMP_OK)
            bug("ISA-L refuses its own state");
        out->len += OUT_STEP - stream->avail_out;
    } while (stream->avail_out == 0 || stream->avail_in > 0);
}

void gzip_write(struct gzip_writer *writer, struct bytes in, enum gzip_flush flush, struct buf *out)
{
    const size_t step = 1u << 30;
    do {
        struct bytes piece = {in.data, size_min(in.len, step)};
        if (piece.len > 0) /* nothing may be added to NULL, not even nothing */
            in = (struct bytes){in.data + piece.len, in.len - piece.len};
        writer->stream.flush = flush == GZIP_SYNC && in.len == 0 ? SYNC_FLUSH : NO_FLUSH;
        writer->stream.end_of_stream = flush == GZIP_END && in.len == 0;
        write_piece(&writer->stream, piece, out);
    } while (in.len > 0);
}
