#include "codec/gzip.h"

#include <zlib.h>

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
