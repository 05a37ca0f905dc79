/* promql/operator/binary.h: what binary operators do between floats and native histograms. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "model/histogram.h"
#include "promql/execution.h"

enum pair_rule {
    PAIR_COMPUTE,      /* floats */
    PAIR_COMPARE,      /* two histograms, == or != */
    PAIR_HISTOGRAM,    /* the result is a histogram */
    PAIR_INCOMPATIBLE, /* no result, but a hint */
};

enum pair_rule binary_pair(enum binary_op op, bool left_is_histogram, bool right_is_histogram);

/* One side of a pair: the histogram, or else the value. */
struct operand {
    double value;
    const struct histogram *histogram;
};

/* What the user is told of a pair. */
enum binary_note {
    BINARY_NOTE_NONE,
    BINARY_NOTE_FLOATS, /* these four: incompatible types, by what left and right are */
    BINARY_NOTE_FLOAT_HISTOGRAM,
    BINARY_NOTE_HISTOGRAM_FLOAT,
    BINARY_NOTE_HISTOGRAMS,
    BINARY_NOTE_LAYOUT,     /* exponential and custom buckets */
    BINARY_NOTE_COLLISION,  /* contradicting reset hints */
    BINARY_NOTE_RECONCILED, /* other custom bounds; the only one of a pair that has a result */
};

/* Why a pair has no result, or BINARY_NOTE_NONE. */
enum binary_note binary_refusal(enum binary_op op, const struct operand *left,
                                const struct operand *right);
/* The result of a pair of the rule PAIR_HISTOGRAM that is not refused; in the arena, which must
 * keep what the operands live in: spans are shared. */
struct histogram *binary_histogram(enum binary_op op, const struct operand *left,
                                   const struct operand *right, struct arena *arena,
                                   enum binary_note *note);
/* Tells the user; of BINARY_NOTE_NONE nothing. */
void binary_tell(struct execution *execution, const struct plan_node *node, enum binary_note note);
