#include "codec/zstd.h"

#include <zstd.h>

enum { WINDOW_LOG_MAX = 23 };

void zstd_encode(struct bytes in, int level, struct buf *out)
{
    size_t most = ZSTD_compressBound(in.len);
    char *room = buf_reserve(out, most);
    if (!room)
        return;
    size_t len = ZSTD_compress(room, most, in.data, in.len, level);
    if (!ZSTD_isError(len))
        out->len += len;
}

/* One step of decoding into what room there is; *more is false when all frames are through. */
static struct error *decode_step(ZSTD_DStream *stream, ZSTD_inBuffer *in, size_t max, size_t start,
                                 struct buf *out, bool *more)
{
    size_t left = max - (out->len - start);
    /* One byte more than allowed tells a content that is too long from one that just fits. */
    size_t size = size_min(size_max(in->size - in->pos, 4096) * 4, left + 1);
    char *room = buf_reserve(out, size);
    if (!room)
        return buf_status(out);
    ZSTD_outBuffer piece = {room, size, 0};
    size_t before = in->pos, result = ZSTD_decompressStream(stream, &piece, in);
    if (ZSTD_isError(result))
        return error_create(ERROR_CORRUPT, "zstd: %s", ZSTD_getErrorName(result));
    if (piece.pos > left)
        return error_create(ERROR_LIMIT, "zstd: more than %zu bytes of content", max);
    out->len += piece.pos;
    /* 0 means that a frame has ended and is written out: only more input can follow it. */
    *more = in->pos < in->size || (result != 0 && piece.pos == size);
    if (!*more && result != 0)
        return error_create(ERROR_CORRUPT, "zstd: unexpected end");
    if (*more && in->pos == before && piece.pos == 0 && result != 0)
        return error_create(ERROR_CORRUPT, "zstd: unexpected end");
    return NULL;
}

struct error *zstd_decode(struct bytes in, size_t max, struct buf *out)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (!stream)
        return error_create(ERROR_LIMIT, "zstd: out of memory");
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    ZSTD_inBuffer input = {in.data, in.len, 0};
    size_t start = out->len;
    struct error *err = NULL;
    for (bool more = in.len > 0; more && !err;)
        err = decode_step(stream, &input, max, start, out, &more);
    ZSTD_freeDStream(stream);
    return err;
}
