/* promql/operator/join.h: what the two files of the join share: its state, and how a pair of rows
 * is computed. */
#pragma once

#include <stdbool.h>

#include "base/vec.h"
#include "promql/operator/match_key.h"
#include "promql/operator/operator.h"
#include "promql/row_store.h"

/* The rows of the "one" side that have a key. At a step only one of them may be present. */
struct join_key {
    struct match_key base;
    struct stored_row *first, **last; /* by stored_row.next */
    uint64_t *present;                /* steps of any of them */
    uint64_t *duplicates;             /* steps of several; NULL: none */
    const struct stored_row *duplicate[2];
    uint64_t *taken; /* steps at which a row of the other side met one */
};

struct join {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    const struct vector_matching *matching;
    struct operator* one, *many;
    bool many_is_left;
    bool drops_names;       /* of the result */
    bool include_has_names; /* __name__ and the like come from the "one" side */
    bool has_fill_one, has_fill_many;
    double *fill_one, *fill_many; /* a value per step */
    struct match_keys keys;
    struct row_store held;
    VEC(struct join_key *) duplicate_keys;
    uint64_t *many_seen;  /* steps at which the "many" side has something; for duplicates only */
    size_t conflict_step; /* the first at which a key was taken twice; SIZE_MAX: none */
    uint64_t *bits, *kept;
    double *scratch;
    bool is_held, many_ended;
    size_t unmatched_at; /* of the held rows that fill_many completes */
};

/* A side of a pair: values by step, from `first` on. */
struct join_side {
    const double *values; /* [0] is step `first` */
    struct histogram **histograms;
    size_t first, last;
};

/* Computes the steps in join->bits, which both sides have, into a row of the batch, beside what is
 * in it. */
MUST_CHECK struct error *join_compute(struct join *join, const struct join_side *many,
                                      const struct join_side *one, struct step_batch *batch,
                                      size_t row, struct arena *arena);
/* Labels and drop_name of a result; one_labels: where included labels come from. */
MUST_CHECK struct error *join_set_labels(struct join *join, struct labels many_labels,
                                         bool many_drops, struct labels one_labels,
                                         struct step_batch *batch, size_t row, struct arena *arena);
