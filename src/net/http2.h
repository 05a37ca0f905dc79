/* net/http2.h: HTTP/2 sessions of both sides over a connection (nghttp2), with credits.
 *
 * A session belongs to its connection's loop: all calls are made there. It owns the connection. No
 * call here calls the handler; what happens is told from the loop, later.
 *
 * Credits. Received bytes count against two windows. The connection's is handed back on arrival, so
 * a slow reader never stalls other streams; a stream's is handed back by http2_stream_consume(),
 * when the reader has taken the bytes. What is to be sent waits in the stream until its window and
 * the socket take it: writers look at http2_stream_unsent() and wait for room().
 *
 * Bounded: header blocks by the sum of their sizes, control frames and resets by rate, streams by
 * number, unread bytes by the windows. A peer that breaks the protocol or a bound is told by GOAWAY
 * and dropped. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct connection;
struct http2_session;
struct http2_stream;

enum {
    HTTP2_STREAM_WINDOW = 256 * 1024, /* what one stream may have in flight to us */
    HTTP2_CONNECTION_WINDOW = 2 * 1024 * 1024,
    HTTP2_FRAME_SIZE = 64 * 1024,
    HTTP2_HEADERS_MAX = 64 * 1024, /* sum of name + value + 32 of a block */
};

/* Error codes of RFC 9113 that callers know. */
enum {
    HTTP2_NO_ERROR = 0,
    HTTP2_PROTOCOL_ERROR = 1,
    HTTP2_INTERNAL_ERROR = 2,
    HTTP2_REFUSED_STREAM = 7,
    HTTP2_CANCEL = 8,
    HTTP2_ENHANCE_YOUR_CALM = 11,
    HTTP2_INADEQUATE_SECURITY = 12,
};
#define HTTP2_SESSION_GONE UINT32_MAX       /* closed(): not by the peer, the session has ended */
const char *http2_code_name(uint32_t code); /* "ENHANCE_YOUR_CALM" */

struct http2_field {
    struct str name, value;
};

struct http2_handler {
    /* A header block is complete: of a request or response, or the trailers of one (`end` is true
     * then). Fields live until it returns. The server sees a new stream here first. */
    void (*headers)(void *self, struct http2_stream *stream, const struct http2_field *fields,
                    size_t count, bool trailers, bool end);
    void (*data)(void *self, struct http2_stream *stream, struct bytes data);
    /* The peer's side has ended without trailers. */
    void (*end)(void *self, struct http2_stream *stream);
    /* Some of the stream's output has gone, or its window has grown. */
    void (*room)(void *self, struct http2_stream *stream);
    /* The stream is over: HTTP2_NO_ERROR when both sides ended, else why it was reset. It goes when
     * this returns. Comes once for every stream, from http2_session_free() at the latest. */
    void (*closed)(void *self, struct http2_stream *stream, uint32_t code);
    /* A PING has come, or the answer to ours (ack). May be NULL, as may the next one. */
    void (*ping)(void *self, bool ack);
    /* The peer takes no new streams from us; those above its last one are closed as refused. */
    void (*goaway)(void *self, uint32_t code, struct str debug);
    /* The session is over: err says why, NULL after an orderly end. To be freed, now or later. */
    void (*over)(void *self, struct error *err);
};

/* Takes the connection, which must be connected, and starts to read. max_streams: how many the peer
 * may have open at once (server side). */
struct http2_session *http2_session_create(struct connection *connection, bool server,
                                           uint32_t max_streams,
                                           const struct http2_handler *handler, void *self);
/* Closes the connection, with care if nothing was wrong with it. Also from a handler's function. */
void http2_session_free(struct http2_session *session);
/* The same at once and without a word, for a peer that is dead. */
void http2_session_drop(struct http2_session *session);
/* Bytes that were read before the session existed. */
void http2_session_feed(struct http2_session *session, struct bytes data);

/* Orderly end (server): tells the peer to open no more streams; those that run are finished. */
void http2_session_shutdown(struct http2_session *session);
/* Ends now: GOAWAY with code and text, then over(). */
void http2_session_terminate(struct http2_session *session, uint32_t code, const char *debug);
/* The peer has sent its preface and a frame: it speaks HTTP/2. */
bool http2_session_has_begun(const struct http2_session *session);
void http2_session_ping(struct http2_session *session);
size_t http2_session_streams(const struct http2_session *session); /* open ones */
struct connection *http2_session_connection(const struct http2_session *session);

/* Client: opens a stream; its body is sent by http2_stream_send() and _end(). NULL when the session
 * takes no more. */
struct http2_stream *http2_session_request(struct http2_session *session,
                                           const struct http2_field *fields, size_t count,
                                           void *user);
/* Server: the head of the answer; `end`: there is nothing else. Once a stream. When our side has
 * ended before the peer's, the rest of its request is refused. */
void http2_stream_respond(struct http2_stream *stream, const struct http2_field *fields,
                          size_t count, bool end);
/* Queues bytes of the body by reference; release(owner) comes once, when they are sent or dropped.
 */
void http2_stream_send(struct http2_stream *stream, const void *data, size_t len,
                       void (*release)(void *owner), void *owner);
/* Ends our side when all is sent; trailers may be none. */
void http2_stream_end(struct http2_stream *stream, const struct http2_field *trailers,
                      size_t count);
void http2_stream_reset(struct http2_stream *stream, uint32_t code); /* closed() follows */
void http2_stream_consume(struct http2_stream *stream, size_t len);
size_t http2_stream_unsent(const struct http2_stream *stream);
size_t http2_stream_window(const struct http2_stream *stream); /* what the peer would take now */

void http2_stream_set_user(struct http2_stream *stream, void *user);
void *http2_stream_user(const struct http2_stream *stream); /* NULL at first on the server */
