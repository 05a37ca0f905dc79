/* promql/operator/binary.h: what binary operators do between floats and native histograms. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "promql/execution.h"

enum pair_rule {
    PAIR_COMPUTE,      /* floats */
    PAIR_COMPARE,      /* two histograms, == or != */
    PAIR_INCOMPATIBLE, /* no result, but a hint */
    PAIR_UNSUPPORTED,  /* Prometheus has a result, this version does not */
};

enum pair_rule binary_pair(enum binary_op op, bool left_is_histogram, bool right_is_histogram);
/* The hint for an incompatible pair. */
void binary_note_incompatible(struct execution *execution, const struct plan_node *node,
                              bool left_is_histogram, bool right_is_histogram);
MUST_CHECK struct error *binary_unsupported(const struct plan_node *node);
