/* net/grpc_call_out.h: a call to a peer, between its reader (net/grpc_stream.c) and the connection
 * that carries it (net/grpc_channel.c). Private to the two. */
#pragma once

#include <stdatomic.h>

#include "base/mutex.h"
#include "net/grpc_wire.h"
#include "net/http2.h"
#include "runtime/context.h"

struct grpc_link; /* one connection of a channel */

struct grpc_stream {
    atomic_uint
        references; /* the reader, the channel or connection, each posted task, bytes being sent */
    struct grpc_channel *channel;
    struct context *ctx;
    struct context_hook on_end;
    struct arena *arena; /* of what follows */
    const char *method;
    const struct grpc_metadata *metadata;
    size_t metadata_count;
    struct buf request; /* framed */
    struct stall_group *group;
    struct grpc_stream *group_next, *group_prev; /* under the group's lock */
    bool is_silent;                              /* likewise: no message, not ended */

    /* Held while received bytes become messages: once the reader has left, nothing is charged to
     * its budget any more. */
    struct mutex receiving;
    struct grpc_deframer deframer GUARDED_BY(receiving);
    bool abandoned GUARDED_BY(receiving);

    struct mutex lock;
    pthread_cond_t changed;
    struct grpc_message *first GUARDED_BY(lock), *last GUARDED_BY(lock); /* received, not taken */
    size_t queued_bytes GUARDED_BY(lock);
    bool credit_posted GUARDED_BY(lock);
    bool ended GUARDED_BY(lock);
    bool waking GUARDED_BY(lock);
    enum grpc_code code GUARDED_BY(lock);
    struct error *error GUARDED_BY(lock); /* how it ended; NULL: well */
    void (*wake)(void *arg) GUARDED_BY(lock);
    void *wake_arg GUARDED_BY(lock);

    /* On the loop only: */
    struct grpc_link *link;          /* NULL: waits for a connection, or is over */
    struct http2_stream *http2;      /* NULL: not open */
    struct grpc_stream *next, *prev; /* among those that wait in the channel */
    bool is_waiting;
    size_t held; /* bytes whose window has not been given back */
    bool got_head;
};

void grpc_stream_ref(struct grpc_stream *stream);
void grpc_stream_unref(void *stream);

/* Called by the channel, on the loop. */
MUST_CHECK struct error *grpc_stream_receive(struct grpc_stream *stream,
                                             struct bytes data); /* an error ends the call */
void grpc_stream_settle(struct grpc_stream *stream, enum grpc_code code,
                        struct error *err); /* ends it; later calls do nothing */

/* Called by the stream, from any thread: each runs on the loop, with a reference. */
struct event_loop *grpc_channel_loop(const struct grpc_channel *channel);
void grpc_channel_ref(struct grpc_channel *channel);
void grpc_channel_unref(struct grpc_channel *channel);
void grpc_channel_carry(struct grpc_stream *stream); /* on the loop: sends it, or keeps it until
                                                        there is a connection */
void grpc_channel_drop(
    struct grpc_stream *stream); /* on the loop: resets it if it is open, forgets it if it waits */
