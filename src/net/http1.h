/* net/http1.h: HTTP/1.0 and 1.1 as a server reads it (RFC 9112): pure functions over bytes. Strict:
 * bare line feeds, folded headers, white space before a colon, two different lengths, a length
 * beside chunks and unknown transfer codings are refused, so that no peer can be talked into
 * another framing than ours. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "net/http_server.h"

enum { HTTP1_HEAD_MAX = 64 * 1024, HTTP1_HEADERS_MAX = 100 };

struct http1_head { /* views of the parsed bytes */
    struct str method, target;
    bool is_http10;
    struct http_header headers[HTTP1_HEADERS_MAX];
    size_t header_count;
    bool keep_alive, chunked, expects_continue;
    uint64_t content_length; /* 0 when chunked or absent */
};

enum http1_result {
    HTTP1_MORE, /* not complete yet */
    HTTP1_DONE,
    HTTP1_BAD, /* answer *status, close */
};

/* Parses the head of a request at the start of `in`. DONE: *used bytes belong to it. More than
 * HTTP1_HEAD_MAX bytes without an end are BAD (431). */
enum http1_result http1_parse_head(struct bytes in, struct http1_head *head, size_t *used,
                                   int *status);

/* Decodes a chunked body piece by piece. Start with {0}. */
struct http1_chunks {
    enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER, CHUNK_END } state;
    uint64_t left;     /* of the chunk */
    size_t line_bytes; /* of extensions and trailers so far */
};

/* Takes what it can of `in`: *used bytes; appends the content to body, at most body_max bytes in
 * all (BAD, 413). */
enum http1_result http1_take_chunks(struct http1_chunks *chunks, struct bytes in, size_t body_max,
                                    struct buf *body, size_t *used, int *status);

/* "OK", "Not Found", ...; "Unknown" for others. */
const char *http1_reason(int status);
