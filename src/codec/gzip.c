#include "codec/gzip.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/memory.h"

enum { GZIP_WINDOW = 15 + 16 /* zlib: the largest window, gzip's head and trailer */ };

/* One step of decoding into what room there is. */
static struct error *decode_step(z_stream *stream, size_t max, size_t start, struct buf *out,
                                 bool *done)
{
    size_t left = max - (out->len - start);
    /* One byte more than allowed tells a content that is too long from one that just fits. */
    size_t size = size_min(size_max((size_t)stream->avail_in * 4, 4096), left + 1);
    size = size_min(size, 1u << 30);
    char *room = buf_reserve(out, size);
    if (!room)
        return buf_status(out);
    stream->next_out = (Bytef *)room;
    stream->avail_out = (uInt)size;
    int result = inflate(stream, Z_NO_FLUSH);
    size_t got = size - stream->avail_out;
    if (got > left)
        return error_create(ERROR_LIMIT, "gzip: more than %zu bytes of content", max);
    out->len += got;
    if (result == Z_STREAM_END) {
        *done = stream->avail_in == 0;
        if (!*done && inflateReset(stream) != Z_OK)
            return error_create(ERROR_CORRUPT, "gzip: invalid");
        return NULL;
    }
    if (result == Z_BUF_ERROR || (result == Z_OK && stream->avail_in == 0 && stream->avail_out))
        return error_create(ERROR_CORRUPT, "gzip: unexpected end");
    if (result != Z_OK)
        return error_create(ERROR_CORRUPT, "gzip: %s", stream->msg ? stream->msg : "invalid");
    return NULL;
}

struct error *gzip_decode(struct bytes in, size_t max, struct buf *out)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)in.data, .avail_in = (uInt)in.len};
    if (in.len > (1u << 30))
        return error_create(ERROR_LIMIT, "gzip: %zu bytes are too many", in.len);
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
        return error_create(ERROR_LIMIT, "gzip: out of memory");
    struct error *err = NULL;
    size_t start = out->len;
    for (bool done = false; !done && !err;)
        err = decode_step(&stream, max, start, out, &done);
    inflateEnd(&stream);
    return err;
}

void gzip_encode(struct bytes in, struct buf *out)
{
    struct gzip_writer *writer = gzip_writer_create();
    gzip_write(writer, in, GZIP_END, out);
    gzip_writer_free(writer);
}

#if !TITAN_ISAL /* gzip out: codec/gzip_isal.c where that library is there, it is much faster */
enum { OUT_STEP = 64 * 1024, LEVEL = 1, MEMORY = 8 };

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
        if (len > 0)
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
#endif
