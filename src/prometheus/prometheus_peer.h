/* prometheus/prometheus_peer.h: one Prometheus as a peer: answers questions (peers/peers.h) from
 * its HTTP API and puts the external labels on what it tells. */
#pragma once

#include "peers/peers.h"

struct prometheus_client;
struct store;

struct prometheus_peer {
    struct prometheus_client *client;
    struct store *external_labels; /* a store_external_labels, to get them from */
    bool (*is_ready)(void *self);  /* while false, there are no statistics: "not ready" */
    void *self;
};

/* A peers_answer_fn: self is a struct prometheus_peer. Statistics are those of one database, empty
 * when a matcher of the question does not fit the external labels. */
struct error *prometheus_peer_answer(void *self, struct context *ctx,
                                     const struct peers_question *question, struct arena *arena,
                                     struct peers_answer *out);
