/* rpc/grpc_store.h: a store that is reached over gRPC: the Store API of one peer.
 *
 * Series are decoded where messages are received: labels into arenas, chunk bytes stay in the
 * message. Series that come in parts are joined. A peer whose series are out of order fails its
 * select with ERROR_CORRUPT once; from then on its answers are sorted in full.
 *
 * Errors. Their texts name the peer as Thanos does: "fetch series for L Addr: ..." when there is no
 * connection, "receive series from Addr: ..." after that. Kinds fit the status code, but a limit of
 * the peer (RESOURCE_EXHAUSTED) is ERROR_QUERY, so that ERROR_LIMIT is always the query's own
 * budget. Warnings that come with an answer go to the context; with PARTIAL_ABORT the first one
 * ends a select, as ERROR_UNAVAILABLE with its text alone. */
#pragma once

#include "peers/peers.h"
#include "rpc/peer_info.h"
#include "store/store.h"

struct context;
struct grpc_channel;

enum { GRPC_STORE_BATCH = 64 }; /* series a frame that are asked for where the query says nothing */

/* Takes the channel. Until grpc_store_set_info() it says of itself that it may have anything, and
 * does not drop labels or shard. */
struct store *grpc_store_create(struct grpc_channel *channel, struct str address);

/* Asks for Info without holding a thread: start, wait until ready, finish. */
struct info_call;
struct info_call *grpc_store_ask_info(struct store *store, struct context *ctx);
/* True when finish() would not wait; else wake is called later, at most once. */
bool info_call_ready(struct info_call *call, const struct series_wake *wake);
/* The answer, in the arena. Frees the call. A peer without Info is ERROR_UNAVAILABLE "cannot obtain
 * metadata: neither info nor store client found". */
MUST_CHECK struct error *info_call_finish(struct info_call *call, struct arena *arena,
                                          struct peer_info *out);
/* What describe() says from now on. Copies. Thread-safe. */
void grpc_store_set_info(struct store *store, const struct peer_info *info);
/* What was set, pinned by the arena. Thread-safe. */
void grpc_store_get_info(struct store *store, struct arena *arena, struct peer_info *out);
struct str grpc_store_address(const struct store *store);
struct grpc_channel *grpc_store_channel(struct store *store); /* lives as long as the store */
/* Asks the peer behind the store, which must outlive the call; see rpc/grpc_peer.h. */
struct peers_call *grpc_store_ask(struct store *store, struct context *ctx,
                                  const struct peers_question *question);
