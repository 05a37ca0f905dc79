/* promql/operator/join.h: what the files of the join share: its state, and how a pair of rows is
 * computed. */
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

/* Rows of a result with grouping that have the same labels: they must not meet. */
struct join_result {
    struct labels labels;
    uint64_t *taken;
};

/* A side of a join that streams: its rows one after another. */
struct join_cursor {
    struct operator* input;
    struct arena *arena;
    struct step_batch *batch; /* NULL: to be pulled */
    size_t row;
    bool ended;
    struct arena *last_arena;
    struct labels last; /* of the row before; empty for the first */
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
    struct hash_index results; /* join_result by labels; only where they can be equal */
    bool tracks_results;
    uint64_t *many_seen;  /* steps at which the "many" side has something; for duplicates only */
    size_t conflict_step; /* the first at which a key was taken twice; SIZE_MAX: none */
    uint64_t *bits, *kept;
    double *scratch;
    bool is_held, many_ended;
    uint8_t *notes;      /* [steps] enum binary_note, told at the end; NULL: none */
    bool is_failing;     /* there will be an error at the end */
    size_t unmatched_at; /* of the held rows that fill_many completes */
    bool streams, is_peeked;
    struct join_cursor left, right; /* of a join that streams */
};

/* A side of a pair: values by step, from `first` on. */
struct join_side {
    const double *values; /* [0] is step `first` */
    struct histogram **histograms;
    size_t first, last;
};

/* Takes those steps out of join->bits, which both sides have, whose pairs have no result, and notes
 * why. False: none is left. */
bool join_refuse(struct join *join, const struct join_side *many, const struct join_side *one);
/* Tells the user what was noted. */
void join_tell(struct join *join);
/* Computes the steps in join->bits, which both sides have and nothing refuses, into a row of the
 * batch, beside what is in it. */
MUST_CHECK struct error *join_compute(struct join *join, const struct join_side *many,
                                      const struct join_side *one, struct step_batch *batch,
                                      size_t row, struct arena *arena);
/* Labels (those of the "many" row, dropped names still in place, or fewer) and drop_name of a
 * result; one_labels: where included labels come from. */
MUST_CHECK struct error *join_set_labels(struct join *join, struct labels many_labels,
                                         bool many_drops, struct labels one_labels,
                                         struct step_batch *batch, size_t row, struct arena *arena);

/* join_stream.c. Pulls the first batches; join->streams goes off when rows are not fit for it, and
 * what was pulled stays in the cursors. */
MUST_CHECK struct error *join_stream_peek(struct join *join, struct context *ctx);
MUST_CHECK struct error *join_stream_next(struct join *join, struct context *ctx,
                                          struct arena *arena, struct step_batch **out);
void join_cursor_deinit(struct join_cursor *cursor);
