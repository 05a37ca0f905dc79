/* promql/operator/share.h: one input for several aggregations (plan_share). Each has an end of it
 * as its input, which cannot be pulled: an aggregation says where its batches go when it is made,
 * and the first that needs its result drains the input for all of them. By the query's thread. */
#pragma once

#include "promql/operator/operator.h"

/* An end of the share of a plan_share; the first one makes its input. */
MUST_CHECK struct error *share_end_create(struct execution *execution,
                                          const struct plan_share *plan, struct operator** out);
bool operator_is_share_end(const struct operator* op);

/* Batches come in their sequence numbers, in any order and on any thread, as by selector_drain();
 * the sink may clear presence bits and change nothing else. */
void share_end_attach(struct operator* end, batch_fold sink, void *self);
/* Gives all batches to all sinks, once. */
MUST_CHECK struct error *share_end_drain(struct operator* end, struct context *ctx);
