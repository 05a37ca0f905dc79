/* query/endpoint_peers.h: questions (peers/peers.h) to all endpoints that serve them. */
#pragma once

#include "peers/peers.h"

/* A peers_answer_fn: self is the struct endpoint_set. Asks every healthy endpoint whose Info
 * announces the topic, all at once. For exemplars each endpoint gets the selectors that fit its
 * label sets, without the matchers on external labels unless it is a querier; ERROR_INVALID for a
 * query that is none or selects nothing. */
struct error *endpoint_peers_answer(void *self, struct context *ctx,
                                    const struct peers_question *question, struct arena *arena,
                                    struct peers_answer *out);
