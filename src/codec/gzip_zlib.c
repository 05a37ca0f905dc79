/* gzip out by zlib, where ISA-L is absent. */
#include "codec/gzip.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/memory.h"

enum { OUT_STEP = 64 * 1024, GZIP_WINDOW = 15 + 16, LEVEL = 1, MEMORY = 8 };

struct gzip_writer {
    z_stream stream;
};

struct gzip_writer *gzip_writer_create(void)
{
    struct gzip_writer *writer = xcalloc(1, sizeof(*writer));
    if (deflateInit2(&writer->stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        bug("zlib has no memory");
    return writer;
}

void gzip_writer_reset(struct gzip_writer *writer)
{
    deflateReset(&writer->stream);
}

void gzip_writer_free(struct gzip_writer *writer)
{
    if (!writer)
        return;
    deflateEnd(&writer->stream);
    free(writer);
}

void gzip_write(struct gzip_writer *writer, struct bytes in, enum gzip_flush flush, struct buf *out)
{
    const size_t step = 1u << 30;
    z_stream *stream = &writer->stream;
    do {
        size_t len = size_min(in.len, step);
        stream->next_in = (Bytef *)(uintptr_t)in.data;
        stream->avail_in = (uInt)len;
        in = (struct bytes){in.data + len, in.len - len};
        int mode = in.len > 0           ? Z_NO_FLUSH
                   : flush == GZIP_END  ? Z_FINISH
                   : flush == GZIP_SYNC ? Z_SYNC_FLUSH
                                        : Z_NO_FLUSH;
        do {
            char *room = buf_reserve(out, OUT_STEP);
            if (!room)
                return;
            stream->next_out = (Bytef *)room;
            stream->avail_out = OUT_STEP;
            deflate(stream, mode);
            out->len += OUT_STEP - stream->avail_out;
        } while (stream->avail_out == 0);
    } while (in.len > 0);
}
