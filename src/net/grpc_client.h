/* net/grpc_client.h: calls to one gRPC peer over one HTTP/2 connection that is made when needed and
 * made again after a failure, with back-off. Received messages are charged to the context's budget
 * until they are freed. Thread-safe.
 *
 * Flow control. A stream's receive window is handed back to the peer when the reader has taken the
 * message, so a reader that stops stalls its own stream only. But the streams of one query may
 * stall only while every one of them has given its first message or ended (architecture.md,
 * Threads): they share a stall_group, found in the context; while it has silent streams, the
 * others' windows are handed back on arrival and messages pile up, charged to the query. When the
 * pile reaches half the query's budget, the silent streams end with ERROR_TIMEOUT. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "net/grpc_server.h" /* enum grpc_code */

struct context;
struct event_loops;
struct grpc_channel;
struct grpc_stream;
struct metrics;
struct stall_group;
struct tls_client;

struct grpc_metadata {
    struct str name, value;
};

struct grpc_channel_options {
    struct metrics *metrics; /* grpc_client_* families; NULL: none */
    bool compress;           /* requests go out as "snappy", and servers then answer so */
    struct tls_client *tls;  /* referred to; NULL: in the clear */
    bool in_order;           /* of a group: no turns */
};

/* address host:port; the name is resolved when connecting. A call on a channel without a connection
 * makes one and waits for it; after a failed attempt calls fail at once with its error for a
 * second. Silent peers are asked by a ping every 10 s while calls run, and given up after 5 s. */
struct grpc_channel *grpc_channel_create(struct event_loops *loops, struct str address);
struct grpc_channel *grpc_channel_create_with(struct event_loops *loops, struct str address,
                                              const struct grpc_channel_options *options);
/* A group: calls take turns over members, which have the same to say; with options->in_order they
 * go to the first that can be reached. All members are kept connected while there are calls. A call
 * whose connection is lost before it was answered goes to another member. The name is that of the
 * group as calls and certificates know it. */
struct grpc_channel *grpc_channel_create_group(struct event_loops *loops, struct str name,
                                               const struct grpc_channel_options *options);
/* From now on these, "host:port"; calls to those that are gone run to their end. None at all: those
 * before stay. Any thread. */
void grpc_channel_set_members(struct grpc_channel *channel, const struct str *members,
                              size_t count);
/* Fails new calls, ends running ones with ERROR_UNAVAILABLE, and goes when the last call has gone.
 */
void grpc_channel_free(struct grpc_channel *channel);

/* Unary call: the response message is appended to `response`. A status other than OK is an error
 * whose text is "rpc error: code = Unavailable desc = ..." and whose kind fits the code. Waits for
 * the connection, as long as ctx allows. response_max bytes. */
MUST_CHECK struct error *grpc_unary(struct grpc_channel *channel, struct context *ctx,
                                    const char *method, struct bytes request,
                                    const struct grpc_metadata *metadata, size_t metadata_count,
                                    size_t response_max, struct buf *response);

/* Starts a server stream and returns at once; failures to connect come from the first next(). */
struct grpc_stream *grpc_stream_start(struct grpc_channel *channel, struct context *ctx,
                                      const char *method, struct bytes request,
                                      const struct grpc_metadata *metadata, size_t metadata_count,
                                      size_t message_max);

/* The same for a unary method: one message, then the end. Takes no part in a stall group. */
struct grpc_stream *grpc_unary_start(struct grpc_channel *channel, struct context *ctx,
                                     const char *method, struct bytes request,
                                     const struct grpc_metadata *metadata, size_t metadata_count,
                                     size_t response_max);

/* A received message, pinned by references; unref from any thread. */
struct grpc_message {
    struct bytes bytes;
    /* internal */
    struct budget *budget;
    size_t charged, page; /* page: of the page pool, 0: of malloc */
    _Atomic unsigned references;
    bool compressed;
    size_t owed; /* bytes of the stream's window that go back when it is taken */
    struct grpc_message *next;
};
void grpc_message_unref(void *message);

/* The next message, one reference for the caller; *out NULL at the end (status OK). Waits as long
 * as ctx allows. */
MUST_CHECK struct error *grpc_stream_next(struct grpc_stream *stream, struct context *ctx,
                                          struct grpc_message **out);
/* True when next() would not wait; else wake(arg) comes once, later, from a loop's thread. */
bool grpc_stream_ready(struct grpc_stream *stream, void (*wake)(void *arg), void *arg);
void grpc_stream_cancel(struct grpc_stream *stream); /* RST_STREAM; next() then fails with
                                                        ERROR_CANCELLED; any thread */
void grpc_stream_free(struct grpc_stream *stream);   /* also before the end */
/* The status code the stream ended with, GRPC_OK while it runs. */
enum grpc_code grpc_stream_code(const struct grpc_stream *stream);

struct stall_group *stall_group_create(struct budget *budget);
void stall_group_free(struct stall_group *group); /* its streams must have been freed */
