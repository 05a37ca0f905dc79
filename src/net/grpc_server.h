/* net/grpc_server.h: gRPC services as messages with credits. Unary methods answer once; server
 * streams are resumable: a step runs on a pool when there is credit, produces one batch, goes away.
 * A reader that stops reading stalls only its own stream and holds no thread. Bidirectional streams
 * exist for reflection only and are handled as a sequence of unary exchanges. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct context;
struct event_loops;
struct grpc_call;
struct grpc_server;
struct log;
struct metrics;
struct pool;
struct request_log;
struct tls_server;

/* Numbers of the gRPC protocol. */
enum grpc_code {
    GRPC_OK,
    GRPC_CANCELLED,
    GRPC_UNKNOWN,
    GRPC_INVALID_ARGUMENT,
    GRPC_DEADLINE_EXCEEDED,
    GRPC_NOT_FOUND,
    GRPC_ALREADY_EXISTS,
    GRPC_PERMISSION_DENIED,
    GRPC_RESOURCE_EXHAUSTED,
    GRPC_FAILED_PRECONDITION,
    GRPC_ABORTED,
    GRPC_OUT_OF_RANGE,
    GRPC_UNIMPLEMENTED,
    GRPC_INTERNAL,
    GRPC_UNAVAILABLE,
    GRPC_DATA_LOSS,
    GRPC_UNAUTHENTICATED,
};
enum grpc_code grpc_code_of(enum error_kind kind); /* architecture.md's table */
const char *grpc_code_name(enum grpc_code code);   /* "Unavailable", as Go prints it */

/* Unary: append the response message to grpc_call_response() and return NULL, or an error. Stream:
 * attach a stream (below) and return NULL. `request` lives as long as the call. */
typedef struct error *(*grpc_handler)(void *self, struct grpc_call *call, struct bytes request);

enum grpc_kind {
    GRPC_UNARY,
    GRPC_SERVER_STREAM,
    GRPC_BIDI_EXCHANGE /* handler runs per message, response each time */
};

struct grpc_method {
    const char *path; /* "/thanos.Store/Series" */
    enum grpc_kind kind;
    grpc_handler handler;
    void *self;
    struct pool *pool;                          /* where handler and steps run */
    size_t request_max;                         /* bytes */
    enum grpc_code (*code_of)(enum error_kind); /* NULL: grpc_code_of */
};

struct arena *
grpc_call_arena(struct grpc_call *call); /* charged to the call's budget; goes with the call */
struct context *grpc_call_context(
    struct grpc_call *call); /* ends with reset, connection loss, deadline (grpc-timeout), stop */
struct buf *grpc_call_response(struct grpc_call *call); /* unary and exchange */
struct str grpc_call_metadata(struct grpc_call *call,
                              struct str name); /* lower-case name; empty when absent */
/* Overrides the code that the handler's or step's error gets. */
void grpc_call_set_code(struct grpc_call *call, enum grpc_code code);

enum grpc_step {
    GRPC_STEP_MORE, /* call me again when there is credit */
    GRPC_STEP_WAIT, /* inputs are not ready: grpc_call_wake() will come (or has come already) */
    GRPC_STEP_END,  /* all messages have been sent; *err NULL is OK */
};

struct grpc_stream_ops {
    /* Produces at most about one batch: grpc_call_send() for each message. Never waits. Not run on
     * two threads at once. Errors end the stream. */
    enum grpc_step (*step)(void *state, struct grpc_call *call, struct error **err);
    void (*free)(void *state); /* once, when the call is over and no step runs */
};
void grpc_call_attach(struct grpc_call *call, const struct grpc_stream_ops *ops, void *state);
/* Queues one message (copied, or compressed if the client asked so). Credit: steps are called while
 * less than the stream's send window waits; a message larger than the window is sent all the same.
 */
void grpc_call_send(struct grpc_call *call, struct bytes message);
/* The same for a message whose size is known before it is written: fill(arg, to) writes all of its
 * `len` bytes where they are sent from, during the call. */
void grpc_call_send_filled(struct grpc_call *call, size_t len, void (*fill)(void *arg, uint8_t *to),
                           void *arg);
/* From any thread: run the step again. Keep a reference (grpc_call_ref) for as long as you may call
 * it. */
void grpc_call_wake(struct grpc_call *call);
void grpc_call_ref(struct grpc_call *call);
void grpc_call_unref(struct grpc_call *call);

struct grpc_server_config {
    struct str address;
    const struct grpc_method *methods; /* copied; health and reflection are added by the server */
    size_t method_count;
    struct bytes descriptor_set;    /* FileDescriptorSet for reflection; may be empty */
    bool (*is_serving)(void *self); /* grpc.health.v1 for service "" */
    void *self;
    size_t connections_max;        /* 0: 1024 */
    size_t call_memory_max;        /* budget of one call, 0: 256 MiB */
    struct budget *budget;         /* parent of the calls' budgets */
    int64_t max_connection_age_ms; /* 0: none */
    struct tls_server *tls;        /* referred to; NULL: in the clear */
    struct pool *quick;            /* for health and reflection */
    struct log *log;
    const struct request_log *request_log; /* NULL: calls are not logged; outlives the server */
    struct metrics *metrics;               /* grpc_server_* families */
};

MUST_CHECK struct error *grpc_serve(struct event_loops *loops,
                                    const struct grpc_server_config *config,
                                    struct grpc_server **out);
struct str grpc_server_address(const struct grpc_server *server);
/* GOAWAY, running streams are awaited up to grace_ms, then reset; returns when none is left. */
void grpc_server_stop(struct grpc_server *server, int64_t grace_ms);
void grpc_server_free(struct grpc_server *server);
