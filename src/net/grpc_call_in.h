/* net/grpc_call_in.h: a call from a peer, between the pool that works on it (net/grpc_call.c) and
 * the connection it came by (net/grpc_server.c). Private to the two. */
#pragma once

#include <stdatomic.h>

#include "base/mutex.h"
#include "net/grpc_metrics.h"
#include "net/grpc_wire.h"
#include "net/http2.h"
#include "runtime/context.h"

enum { GRPC_SEND_WINDOW = 256 * 1024 }; /* bytes that wait to be sent before steps pause */

struct grpc_frame_out { /* a framed message on its way out */
    struct grpc_frame_out *next;
    struct grpc_call *call; /* a reference */
    struct buf bytes;
};

struct grpc_call {
    atomic_uint
        references; /* the connection, a handler or step that runs, frames on their way, users */
    struct grpc_server *server;
    const struct grpc_method *method;
    struct grpc_metrics *metrics;
    struct event_loop *loop;
    struct budget *budget;
    struct arena *arena;
    struct context *ctx;
    struct context_hook on_end;
    struct grpc_metadata *metadata;
    size_t metadata_count;
    enum grpc_encoding encoding; /* of the request, so of the answer */
    struct grpc_message *request;
    struct buf response;
    int64_t start_ns;
    enum grpc_code code_override; /* GRPC_OK: none */

    struct mutex lock;
    const struct grpc_stream_ops *ops GUARDED_BY(lock);
    void *state GUARDED_BY(lock);
    bool running GUARDED_BY(lock), waiting GUARDED_BY(lock), woken GUARDED_BY(lock);
    bool finished GUARDED_BY(lock); /* status is known */
    bool flush_posted GUARDED_BY(lock);
    size_t unsent GUARDED_BY(lock);
    struct grpc_frame_out *first_out GUARDED_BY(lock), *last_out GUARDED_BY(lock);
    enum grpc_code code GUARDED_BY(lock);
    struct buf status_text GUARDED_BY(lock); /* encoded */

    /* On the loop only: */
    struct http2_stream *http2; /* NULL: closed */
    struct grpc_deframer deframer;
    bool got_request, head_sent, end_sent;
};

/* Made on the loop for a new stream; one reference, the connection's. */
struct grpc_call *grpc_call_create(struct grpc_server *server, struct budget *parent,
                                   size_t memory_max, const struct grpc_method *method,
                                   struct grpc_metrics *metrics, struct event_loop *loop,
                                   const struct http2_field *fields, size_t count);
/* The request is whole: hands it to the method's pool. */
void grpc_call_dispatch(struct grpc_call *call);
/* Ends the call with a status of the server's own, before or instead of its handler. Takes err. */
void grpc_call_fail(struct grpc_call *call, struct error *err, enum grpc_code code);
/* On the loop: moves what is ready to the HTTP/2 stream. */
void grpc_call_flush(struct grpc_call *call);
/* On the loop: the stream is gone. */
void grpc_call_closed(struct grpc_call *call);

/* Told by a call when its last reference has gone. */
void grpc_server_call_gone(struct grpc_server *server);
