/* rpc/grpc_peer.h: questions (peers/peers.h) to one peer over gRPC. */
#pragma once

#include <stdatomic.h>

#include "peers/peers.h"

struct context;
struct grpc_channel;

struct grpc_peer {
    struct grpc_channel *channel;
    struct str address;
    atomic_uint *running; /* counts calls under way; over `running_max` they end with ERROR_BUSY */
    unsigned running_max;
};

/* Only starts the call. What `peer` points to must outlive it; the question's texts need not. Its
 * errors name the peer as Thanos does: "receiving rules from rules client ADDRESS: rpc error: ...".
 * Warnings that come with the answer go to ctx. */
struct peers_call *grpc_peer_ask(const struct grpc_peer *peer, struct context *ctx,
                                 const struct peers_question *question);

/* One message of any of these streams: `data` with the record, or a warning. ERROR_CORRUPT. */
struct peers_frame {
    bool has_data;
    struct bytes data;
    struct str warning;
};
MUST_CHECK struct error *peers_frame_decode(struct bytes message, struct peers_frame *out);
void peers_frame_encode(struct buf *out, const struct record_type *type, const void *record);
void peers_frame_encode_warning(struct buf *out, struct str text);
