/* promql/operator/operator.h: the operators a plan is made of, and what they have in common.
 *
 * An operator gives step batches until it gives none (step_batch.h); it owns its inputs. A stage
 * changes one batch at a time and remembers nothing, so any worker can run it: stages above a
 * selector run where its samples are read, others where the batch is taken.
 *
 * Constructors take the operators they are given, also when they fail. They are called, and
 * operators pulled and freed, by one thread, that of the query. */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "promql/execution.h"
#include "promql/step_batch.h"

/* A tree of operators for a node of the plan. Selects are started, so that all sources work at the
 * same time. */
MUST_CHECK struct error *operator_build(struct execution *execution, const struct plan_node *node,
                                        struct operator** out);

/* The next batch, which lives in the arena; *out = NULL is the end and stays so. */
MUST_CHECK struct error *operator_next(struct operator* op, struct context *ctx,
                                       struct arena *arena, struct step_batch **out);
void operator_explain(struct operator* op, struct buf *out);
/* Pulls all batches and gives each to fold(), with the arena it lives in until fold() returns. */
typedef struct error *(*batch_fold)(void *self, struct context *ctx, struct step_batch *batch,
                                    struct arena *arena);
MUST_CHECK struct error *operator_drain(struct operator* op, struct execution *execution,
                                        struct context *ctx, batch_fold fold, void *self);
void operator_free(struct operator* op); /* NULL is fine */

/* ---- scalars as arguments ---- */

/* An operator of type scalar, read whole: a value per step of its grid. */
struct scalar {
    struct operator* op; /* owned; NULL: none */
    struct arena *arena;
    const double *values;
};

MUST_CHECK struct error *scalar_read(struct execution *execution, struct scalar *scalar,
                                     struct context *ctx);
void scalar_deinit(struct scalar *scalar);

/* ---- stages ---- */

struct row_stage;

struct row_stage_ops {
    /* Once, before the first batch, on the query's thread: reads scalars. NULL: nothing to do. */
    struct error *(*prepare)(struct row_stage *stage, struct context *ctx);
    /* Changes *batch, which lives in the arena, or puts another one there. Rows may become empty.
     * Called from several threads at once. */
    struct error *(*apply)(const struct row_stage *stage, struct context *ctx, struct arena *arena,
                           struct step_batch **batch);
    void (*explain)(const struct row_stage *stage, struct buf *out);
    void (*free)(struct row_stage *stage);
};

struct row_stage {
    const struct row_stage_ops *ops;
    struct execution *execution;
    const struct plan_node *node;
    const struct step_grid *grid; /* of what it gives */
    struct row_stage *next;
};

struct stage_list {
    struct row_stage *first, *last;
    bool is_prepared;
};

void stage_list_add(struct stage_list *list, struct row_stage *stage);
MUST_CHECK struct error *stage_list_prepare(struct stage_list *list, struct context *ctx);
/* Empty rows are taken out at the end. */
MUST_CHECK struct error *stage_list_apply(const struct stage_list *list, struct context *ctx,
                                          struct arena *arena, struct step_batch **batch);
void stage_list_explain(const struct stage_list *list, struct buf *out);
void stage_list_deinit(struct stage_list *list);
/* Rows that a batch before the stages may have, so that none grows too large on its way. */
size_t stage_list_rows_max(const struct stage_list *list, const struct step_grid *grid);

/* Puts a stage behind an operator: into it, when it runs stages itself. Takes both. */
struct operator* operator_with_stage(struct operator* input, struct row_stage *stage);

/* ---- operators ---- */

/* Stored series. call: the window function around a range selector, or NULL; scalars: its other
 * arguments. */
MUST_CHECK struct error *selector_create(struct execution *execution,
                                         const struct plan_node *selector,
                                         const struct plan_node *call, struct operator** scalars,
                                         size_t scalar_count, struct operator** out);
bool operator_is_selector(const struct operator* op);
/* Gives all batches to the sink, each from the thread that computed it and with its place in
 * batch->sequence (0, 1, ... without gaps, also of empty ones), in no order. */
MUST_CHECK struct error *selector_drain(struct operator* op, struct context *ctx, batch_fold sink,
                                        void *self);
void selector_add_stage(struct operator* op, struct row_stage *stage);

/* A PLAN_REMOTE: its calls are started. */
struct operator* remote_create(struct execution *execution, const struct plan_node *node);

/* Nothing: of a grid without steps. */
struct operator* empty_create(const struct step_grid *grid);

/* Scalars: one row without labels, present at every step. */
struct operator* number_create(const struct step_grid *grid, double value);
struct operator* time_create(const struct step_grid *grid);
struct operator* scalar_binary_create(struct execution *execution, const struct plan_node *node,
                                      struct operator* left, struct operator* right);
struct operator* scalar_of_vector_create(struct execution *execution, const struct plan_node *node,
                                         struct operator* input);

struct row_stage *values_stage_create(struct execution *execution, const struct plan_node *node,
                                      struct operator** scalars, size_t scalar_count);
/* vector_is_left: the operand that is a vector. */
struct row_stage *arithmetic_stage_create(struct execution *execution, const struct plan_node *node,
                                          struct operator* scalar, bool vector_is_left);
MUST_CHECK struct error *labels_stage_create(struct execution *execution,
                                             const struct plan_node *node, struct row_stage **out);
struct row_stage *subquery_stage_create(struct execution *execution,
                                        const struct plan_node *subquery,
                                        const struct plan_node *call, struct operator** scalars,
                                        size_t scalar_count);
struct row_stage *step_invariant_stage_create(struct execution *execution,
                                              const struct plan_node *node);
struct row_stage *limit_ratio_stage_create(struct execution *execution,
                                           const struct plan_node *node, struct operator* ratio);

/* Aggregations. */
struct operator* aggregate_create(struct execution *execution, const struct plan_node *node,
                                  struct operator* input);
struct operator* pick_create(struct execution *execution, const struct plan_node *node,
                             struct operator* input, struct operator* param);
struct operator* quantile_create(struct execution *execution, const struct plan_node *node,
                                 struct operator* input, struct operator* param);
MUST_CHECK struct error *count_values_create(struct execution *execution,
                                             const struct plan_node *node, struct operator* input,
                                             struct operator** out);

/* Vectors with vectors. */
struct operator* join_create(struct execution *execution, const struct plan_node *node,
                             struct operator* left, struct operator* right);
struct operator* set_create(struct execution *execution, const struct plan_node *node,
                            struct operator* left, struct operator* right);

/* info(): series are the times of the info series. */
struct operator* info_create(struct execution *execution, const struct plan_node *node,
                             struct operator* input, struct operator* series);

struct operator* merge_rows_create(struct execution *execution, const struct plan_node *node,
                                   struct operator* input);
struct operator* absent_create(struct execution *execution, const struct plan_node *node,
                               struct operator* input);
struct operator*
    sort_create(struct execution *execution, const struct plan_node *node, struct operator* input);
struct operator* histogram_call_create(struct execution *execution, const struct plan_node *node,
                                       struct operator* input, struct operator** scalars,
                                       size_t scalar_count);
