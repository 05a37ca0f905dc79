/* net/grpc_call.h: one call on the server, between the HTTP/2 stream that carries it (on its loop)
 * and the handler and steps that serve it (on its method's pool). Private to net/grpc_*.c.
 *
 *     request whole -> handler -> step, step, ... -> status
 *                       (pool)     (pool, each when there is credit) */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mutex.h"
#include "net/grpc_server.h"
#include "net/grpc_wire.h"
#include "net/http2.h"
#include "runtime/context.h"

struct event_loop;
struct metric;
struct metrics;

enum { GRPC_CODE_COUNT = GRPC_UNAUTHENTICATED + 1 };

struct server_method {
    struct grpc_method method;
    const struct request_log *log;
    struct metric *started, *received, *sent, *seconds, *handled[GRPC_CODE_COUNT];
};

struct out_message;

/* Bytes of large requests that all calls of a server hold together: so many streams may be open
 * that what each may send says little. */
struct grpc_requests {
    atomic_size_t bytes;
    size_t max;
};

struct grpc_call {
    atomic_uint references; /* the loop's, the pool's, those of queued messages, of callers */
    const struct server_method *method;
    struct event_loop *loop;
    struct context *ctx;
    struct context_hook hook;
    struct budget *budget;
    struct arena *arena;
    struct buf response;
    struct buf metadata; /* name NUL value NUL ... */
    enum grpc_encoding encoding;
    int64_t started_ns;
    void (*gone)(void *arg); /* when it is freed */
    void *gone_arg;

    /* on the loop only */
    struct http2_stream *http2; /* NULL: closed */
    struct grpc_deframer deframer;
    struct grpc_requests *requests;    /* of the server; NULL: not counted */
    size_t received, counted;          /* of the request; counted: in requests */
    struct event_timer *request_timer; /* until it is whole; NULL: no more */
    bool head_sent, end_sent;
    bool *sent_flag; /* of the connection: set when something is sent */

    /* on the pool only, one job at a time */
    struct grpc_message *request; /* what the handler looks at */

    struct mutex lock;
    struct grpc_message *first_in GUARDED_BY(lock), *last_in GUARDED_BY(lock);
    size_t inbox GUARDED_BY(lock);
    bool half_closed GUARDED_BY(lock);
    struct out_message *first_out GUARDED_BY(lock), *last_out GUARDED_BY(lock);
    bool output_posted GUARDED_BY(lock);
    size_t waiting GUARDED_BY(lock); /* bytes of the messages above */
    size_t unsent GUARDED_BY(lock);  /* bytes in the HTTP/2 stream */
    size_t credit GUARDED_BY(lock);  /* what the peer would take */
    bool running GUARDED_BY(lock);   /* a job is queued or runs */
    bool started GUARDED_BY(lock), woken GUARDED_BY(lock), more GUARDED_BY(lock);
    bool over GUARDED_BY(lock);     /* the peer has gone, or the time */
    bool finished GUARDED_BY(lock); /* has a status */
    enum grpc_code code GUARDED_BY(lock);
    bool code_set GUARDED_BY(lock);
    struct buf text GUARDED_BY(lock); /* of the status */
    struct error *send_error GUARDED_BY(lock);
    const struct grpc_stream_ops *ops GUARDED_BY(lock);
    void *state GUARDED_BY(lock);
};

/* All on the loop. parent: the server's context; timeout_ms 0: none. One reference: the loop's. */
struct grpc_call *grpc_call_create(const struct server_method *method, struct event_loop *loop,
                                   struct http2_stream *http2, struct context *parent,
                                   int64_t timeout_ms, struct budget *parent_budget,
                                   size_t memory_max);
void grpc_call_add_metadata(struct grpc_call *call, struct str name, struct str value);
void grpc_call_data(struct grpc_call *call, struct bytes data);
void grpc_call_half_closed(struct grpc_call *call);
void grpc_call_room(struct grpc_call *call);
void grpc_call_closed(struct grpc_call *call); /* lets go of the loop's reference */

/* Head, and the only one, of a response that is a status. On the loop. */
void grpc_respond_status(struct http2_stream *http2, enum grpc_code code, struct str text);
