/* promql/operator/window_call.h: an instant selection, or a function of a range vector with its
 * scalar arguments, over the samples of stored series or of a subquery's rows. Prepared once; then
 * any thread may compute rows. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "promql/operator/operator.h"
#include "promql/window.h"

struct window_call {
    struct execution *execution;
    const struct plan_node *source; /* the selector or subquery */
    const struct plan_node *call;   /* the function; NULL: instant selection */
    struct window_spec spec;
    struct scalar scalars[WINDOW_PARAMS_MAX];
    size_t scalar_count;
};

/* What a selector or subquery and the function around it, if any, ask of window_run(); without
 * parameters. */
struct window_spec window_spec_of(const struct plan_node *source, const struct plan_node *function);

void window_call_init(struct window_call *call, struct execution *execution,
                      const struct plan_node *source, const struct plan_node *function,
                      struct operator** scalars, size_t scalar_count);
void window_call_deinit(struct window_call *call);
MUST_CHECK struct error *window_call_prepare(struct window_call *call, struct context *ctx);

/* Computes a row whose labels are set, and adds hints about it; *last_name remembers, from row to
 * row, what one was given for. */
MUST_CHECK struct error *window_call_row(const struct window_call *call, struct samples *samples,
                                         struct arena *scratch, struct arena *arena,
                                         struct step_batch *batch, size_t row,
                                         struct str *last_name, uint64_t *samples_total);
/* Whether histograms of rows are the samples' own. */
bool window_call_keeps_samples(const struct window_call *call);
/* When all rows are there: warnings about parameters, dropped names. */
void window_call_finish(const struct window_call *call, struct step_batch *batch);
