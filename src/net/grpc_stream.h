/* net/grpc_stream.h: one call of a client, between its reader (any thread), its channel and the
 * HTTP/2 stream that carries it (both on the channel's loop). Private to net/grpc_*.c. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mutex.h"
#include "net/grpc_client.h"
#include "net/grpc_wire.h"
#include "net/http2.h"
#include "net/stall_group.h"
#include "runtime/context.h"

struct client_metrics { /* of all channels with the same registry; members NULL: none */
    struct metric_family *started, *handled, *received, *sent, *seconds;
};

struct grpc_stream {
    atomic_uint references; /* the caller's, the loop's, those of posted functions */
    struct grpc_channel *channel;
    struct context *ctx;
    struct context_hook hook;
    size_t message_max;
    struct stall_member member;

    struct str method; /* these point into text */
    struct http2_field *fields;
    size_t field_count;
    struct buf text;
    struct buf request; /* framed */
    bool unary;
    int64_t started_ns;
    struct metric *received;

    /* on the loop only */
    bool active; /* holds a reference: pending or on a session */
    struct http2_stream *http2;
    struct grpc_stream *next_pending, *prev_pending;
    bool pending, got_head, got_message, retried;
    enum grpc_encoding encoding;
    size_t partial_owed; /* window held back for the message that is half there */

    /* Held while received bytes become messages: once the reader has left, nothing is charged to
     * its budget any more. */
    struct mutex receiving;
    struct grpc_deframer deframer GUARDED_BY(receiving);
    bool abandoned GUARDED_BY(receiving);

    struct mutex lock;
    pthread_cond_t cond;
    struct grpc_message *first GUARDED_BY(lock), *last GUARDED_BY(lock);
    bool ended GUARDED_BY(lock);
    struct error *err GUARDED_BY(lock); /* of the end */
    enum grpc_code code GUARDED_BY(lock);
    void (*wake)(void *arg) GUARDED_BY(lock);
    void *wake_arg GUARDED_BY(lock);
    bool waking GUARDED_BY(lock);
    pthread_t waking_thread GUARDED_BY(lock);
    size_t credit GUARDED_BY(lock); /* to be handed back by the loop */
    bool credit_posted GUARDED_BY(lock);
    bool holding GUARDED_BY(lock); /* some of the window may be held for a partial message */
    bool release_all GUARDED_BY(lock);
};

void grpc_stream_ref(struct grpc_stream *stream);
void grpc_stream_unref(struct grpc_stream *stream);
/* Ends it with this status, from any thread; what was received and not read is dropped, the peer is
 * told by a reset. Nothing when it has ended. */
void grpc_stream_fail(struct grpc_stream *stream, enum grpc_code code, const char *text);
/* Hands back all of the window that is held, from any thread. */
void grpc_stream_release_window(struct grpc_stream *stream);

/* For the channel, on its loop. Opens it on the session; false: the session takes no more. */
bool grpc_stream_open(struct grpc_stream *stream, struct http2_session *session);
bool grpc_stream_has_ended(struct grpc_stream *stream);
void grpc_stream_drop_active(struct grpc_stream *stream); /* the loop is done with it */
void grpc_stream_headers(struct grpc_stream *stream, const struct http2_field *fields, size_t count,
                         bool trailers, bool end);
void grpc_stream_data(struct grpc_stream *stream, struct bytes data);
void grpc_stream_peer_ended(struct grpc_stream *stream); /* without trailers */

/* Of grpc_channel.c. */
struct event_loop *grpc_channel_loop(const struct grpc_channel *channel);
struct str grpc_channel_address(const struct grpc_channel *channel);
const struct client_metrics *grpc_channel_metrics(const struct grpc_channel *channel);
enum grpc_encoding grpc_channel_encoding(const struct grpc_channel *channel);
void grpc_channel_ref(struct grpc_channel *channel);
void grpc_channel_unref(struct grpc_channel *channel);
/* On the loop: opens it now, or when there is a connection, or fails it. The loop's reference is
 * held by `active`. */
void grpc_channel_dispatch(struct grpc_channel *channel, struct grpc_stream *stream);
/* On the loop: it has ended; pending or open, it is let go. */
void grpc_channel_abandon(struct grpc_channel *channel, struct grpc_stream *stream);
