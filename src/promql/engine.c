#include "promql/engine.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "promql/active_queries.h"
#include "promql/distribution.h"
#include "promql/engine_metrics.h"
#include "promql/execution.h"
#include "promql/operator/operator.h"
#include "promql/operator/source.h"
#include "promql/operator/window_call.h"
#include "promql/parse.h"
#include "promql/plan.h"
#include "promql/result.h"
#include "promql/row_store.h"
#include "promql/sample_stats.h"
#include "runtime/context.h"
#include "runtime/time.h"

enum {
    LOOKBACK_DEFAULT_MS = 5 * 60 * 1000,
    SUBQUERY_STEP_DEFAULT_MS = 60 * 1000,
    SAMPLES_MAX_DEFAULT = 50 * 1000 * 1000,
};

struct engine {
    struct engine_config config;
    atomic_bool has_metadata_labels; /* of the series of the last query */
    struct engine_metrics *metrics;
};

struct engine *engine_create(const struct engine_config *config)
{
    struct engine *engine = xcalloc(1, sizeof(*engine));
    engine->config = *config;
    if (engine->config.lookback_ms == 0)
        engine->config.lookback_ms = LOOKBACK_DEFAULT_MS;
    if (engine->config.subquery_step_ms == 0)
        engine->config.subquery_step_ms = SUBQUERY_STEP_DEFAULT_MS;
    if (engine->config.samples_max == 0)
        engine->config.samples_max = SAMPLES_MAX_DEFAULT;
    engine->metrics =
        engine_metrics_create(config->metrics, config->queries_max, config->selects_max);
    return engine;
}

void engine_free(struct engine *engine)
{
    if (engine)
        engine_metrics_free(engine->metrics);
    free(engine);
}

/* ---- the text becomes a plan ---- */

struct parse_options engine_parse_options(const struct engine *engine)
{
    return engine->config.parse;
}

static struct error *check_type(const struct engine_query *query, const struct expr *expr)
{
    enum value_type type = expr_type(expr);
    if (query->instant || type == VALUE_SCALAR || type == VALUE_VECTOR)
        return NULL;
    return error_create(ERROR_INVALID,
                        "invalid expression type \"%s\" for range query, must be Scalar or "
                        "instant Vector",
                        value_type_name(type));
}

static int64_t lookback_of(const struct engine *engine, const struct engine_query *query)
{
    return query->lookback_ms > 0 ? query->lookback_ms : engine->config.lookback_ms;
}

static bool uses_start_times(const struct engine *engine, const struct engine_query *query)
{
    return query->start_times == START_TIMES_BY_FLAG ? engine->config.use_start_timestamps
                                                     : query->start_times == START_TIMES_ON;
}

static bool is_whole_seconds(int64_t ms)
{
    return ms % 1000 == 0;
}

/* Whether parts of the query can be sent away, and to whom. Times travel as seconds, and not all
 * that a query may ask for does. */
static bool make_distribution(const struct engine *engine, const struct engine_query *query,
                              struct arena *arena, struct distribution *out)
{
    const struct remote *remote = engine->config.remote;
    struct str_list replica_labels = {0};
    struct remote_engines engines;
    if (!remote || engine->config.delayed_name_removal || uses_start_times(engine, query) ||
        query->store_match_count > 0 || query->shard.total > 0 || query->start_ms == 0 ||
        !is_whole_seconds(query->start_ms) || !is_whole_seconds(lookback_of(engine, query)) ||
        !is_whole_seconds(query->max_resolution_ms))
        return false;
    if (!query->instant && (!is_whole_seconds(query->end_ms) || !is_whole_seconds(query->step_ms)))
        return false;
    if (query->dedup != DEDUP_OFF)
        replica_labels = query->replica_labels;
    return remote->ops->list(remote->self, arena, &engines) &&
           distribution_create(&engines, remote->partition_labels, replica_labels, arena, out);
}

static struct error *make_plan(const struct engine *engine, const struct engine_query *query,
                               bool has_metadata_labels, struct arena *arena, struct plan *plan)
{
    const struct engine_config *config = &engine->config;
    struct distribution distribution;
    struct plan_params params = {
        .text = query->text,
        .start_ms = query->start_ms,
        .end_ms = query->instant ? query->start_ms : query->end_ms,
        .step_ms = query->instant ? 0 : query->step_ms,
        .lookback_ms = lookback_of(engine, query),
        .subquery_step_ms = config->subquery_step_ms,
        .max_resolution_ms = query->max_resolution_ms,
        .delayed_name_removal = config->delayed_name_removal,
        .has_metadata_labels = has_metadata_labels,
    };
    struct expr *expr;
    struct error *err = promql_parse(query->text, &config->parse, arena, &expr);
    if (!err)
        err = check_type(query, expr);
    if (!err && make_distribution(engine, query, arena, &distribution))
        params.distribution = &distribution;
    if (!err)
        err = plan_create(expr, &params, arena, plan);
    return err ? err : arena_status(arena);
}

/* ---- the plan becomes a result ---- */

static struct error *collect_rows(struct execution *execution, struct operator* root,
                                  struct result_builder *builder)
{
    struct arena *arena = arena_create(execution->budget);
    struct error *err = NULL;
    while (!err) {
        struct step_batch *batch;
        err = operator_next(root, execution->ctx, arena, &batch);
        if (err || !batch)
            break;
        err = result_add_batch(builder, batch, arena);
        if (!err)
            err = context_error(execution->ctx);
        if (batch->histograms) { /* the result keeps this arena */
            arena_unref(arena);
            arena = arena_create(execution->budget);
        } else {
            arena_reset(arena);
        }
    }
    arena_unref(arena);
    return err;
}

static struct error *sort_rows(struct execution *execution, struct result_builder *builder)
{
    int64_t began_ns = time_now_monotonic_ns();
    struct error *err = result_sort(builder);
    execution->sort_ns += time_now_monotonic_ns() - began_ns;
    return err;
}

static struct error *run_operators(struct execution *execution, const struct engine_query *query,
                                   struct result_builder *builder)
{
    const struct plan_node *root = execution->plan->root;
    struct operator* op;
    struct error *err = operator_build(execution, root, &op);
    if (err)
        return err;
    err = collect_rows(execution, op, builder);
    operator_free(op);
    if (err)
        return err;
    if (!query->instant)
        return sort_rows(execution, builder);
    return execution->delayed_names ? result_check_unique(builder) : NULL;
}

/* ---- range vectors as results: the samples themselves ---- */

static struct error *read_slice(struct execution *execution, const struct slice *slice,
                                struct result_builder *builder, struct sample_tally *tally)
{
    const struct plan_node *root = execution->plan->root;
    struct window_spec spec = window_spec_of(root, NULL);
    struct sample_rules rules = source_rules(execution, &root->selector);
    struct error *err = context_error(execution->ctx);
    for (size_t i = 0; i < slice->count && !err; i++) {
        struct arena *scratch = arena_create(execution->budget);
        struct samples samples = {0};
        err = samples_read(&slice->series[i].chunks, &rules, scratch, &samples);
        if (!err)
            err = window_points(&spec, root->grid->start_ms, &samples, scratch);
        if (!err)
            atomic_fetch_add(&execution->samples_total, samples.count);
        if (!err && tally)
            sample_tally_all(tally, &samples);
        atomic_fetch_add(&execution->decoded_total, samples.count);
        atomic_fetch_add(&execution->series_total, 1);
        if (!err && samples.count > 0)
            err = result_add_samples(builder, slice->series[i].labels, &samples, scratch);
        arena_unref(scratch);
    }
    return err;
}

static struct error *run_slices(struct execution *execution, struct source *source,
                                struct result_builder *builder, struct sample_tally *tally)
{
    for (;;) {
        struct slice slice;
        struct error *err = source_next(source, step_batch_rows_max(builder->grid), &slice);
        if (!err && slice.count > 0)
            err = read_slice(execution, &slice, builder, tally);
        bool is_end = err || slice.count == 0;
        slice_deinit(&slice);
        if (is_end)
            return err;
    }
}

static struct error *run_matrix_selector(struct execution *execution,
                                         struct result_builder *builder)
{
    struct source source;
    struct sample_tally tally;
    struct error *err = source_open(&source, execution, &execution->plan->root->selector);
    if (!err && execution->stats)
        err = sample_tally_init(&tally, execution->plan->root, builder->arena);
    if (!err)
        err = run_slices(execution, &source, builder, execution->stats ? &tally : NULL);
    if (!err && execution->stats)
        sample_stats_add(execution->stats, &tally);
    source_deinit(&source);
    return err ? err : sort_rows(execution, builder);
}

/* The steps of the subquery's own grid are the samples. */
static struct error *run_subquery(struct execution *execution, struct result_builder *builder)
{
    struct operator* op;
    struct error *err = operator_build(execution, execution->plan->root->subquery.input, &op);
    if (err)
        return err;
    err = collect_rows(execution, op, builder);
    operator_free(op);
    return err ? err : sort_rows(execution, builder);
}

static struct error *run_root(struct execution *execution, const struct engine_query *query,
                              struct result_builder *builder)
{
    switch (execution->plan->root->kind) {
    case PLAN_SUBQUERY:
        return run_subquery(execution, builder);
    case PLAN_SELECTOR:
        if (execution->plan->root->selector.range_ms > 0)
            return run_matrix_selector(execution, builder);
        return run_operators(execution, query, builder);
    default:
        return run_operators(execution, query, builder);
    }
}

static const struct step_grid *root_grid(const struct plan_node *root)
{
    return root->kind == PLAN_SUBQUERY ? root->subquery.input->grid : root->grid;
}

/* A query's own deadline and cancellation in Prometheus's words; errors of peers keep theirs. */
static struct error *say_why_ended(struct error *err, struct context *ctx, bool was_evaluated)
{
    enum error_kind kind = error_kind(err);
    if ((kind != ERROR_TIMEOUT && kind != ERROR_CANCELLED) || !context_ended(ctx))
        return err;
    error_free(err);
    struct error *reason = context_error(ctx);
    bool is_timeout = error_kind(reason) == ERROR_TIMEOUT;
    error_free(reason);
    return error_create(is_timeout ? ERROR_TIMEOUT : ERROR_CANCELLED, "query %s in %s",
                        is_timeout ? "timed out" : "was canceled",
                        was_evaluated ? "expression evaluation" : "query execution");
}

static struct error *run_plan(struct execution *execution, const struct engine_query *query,
                              struct arena *arena, struct engine_result *out)
{
    const struct plan_node *root = execution->plan->root;
    out->type = query->instant ? root->type : VALUE_MATRIX;
    if (root->type == VALUE_STRING) {
        out->string = arena_str(arena, root->string);
        out->string_time_ms = query->start_ms;
        return NULL;
    }
    struct result_builder builder;
    result_init(&builder, execution, arena, root_grid(root));
    struct error *err = run_root(execution, query, &builder);
    if (!err)
        result_finish(&builder, out);
    result_deinit(&builder);
    return err ? err : arena_status(arena);
}

static struct execution execution_of(const struct engine *engine, struct store *store,
                                     struct context *ctx, const struct engine_query *query)
{
    struct execution execution = {
        .store = store,
        .ctx = ctx,
        .compute = engine->config.compute,
        .budget = context_budget(ctx),
        .delayed_names = engine->config.delayed_name_removal,
        .type_and_unit_labels = engine->config.type_and_unit_labels,
        .use_start_timestamps = uses_start_times(engine, query),
        .remote = engine->config.remote,
        .query = query,
        .lookback_ms = lookback_of(engine, query),
        .dedup = DEDUP_OFF,
        .partial = query->partial,
        .store_matches = query->store_matches,
        .store_match_count = query->store_match_count,
        .shard = query->shard,
        .samples_max = engine->config.samples_max,
    };
    if (query->dedup != DEDUP_OFF && query->replica_labels.count > 0) {
        execution.dedup = query->dedup;
        execution.without_labels = query->replica_labels;
    }
    return execution;
}

static struct error *run_stats(struct execution *execution, const struct engine_query *query,
                               struct arena *arena, struct engine_result *out)
{
    struct error *err = NULL;
    if (query->wants_stats)
        err = sample_stats_create(execution->plan, arena, &execution->stats);
    if (!err)
        err = run_plan(execution, query, arena, out);
    out->stats.samples_total = atomic_load(&execution->samples_total);
    out->stats.samples_peak = atomic_load(&execution->samples_peak);
    out->stats.samples_decoded = atomic_load(&execution->decoded_total);
    out->stats.series = atomic_load(&execution->series_total);
    if (!err && execution->stats)
        err = sample_stats_finish(execution->stats, arena, &out->stats);
    if (!err && execution->stats && query->wants_plan) {
        err = plan_describe(execution->plan, arena, &out->plan);
        if (!err)
            err = sample_stats_describe(execution->stats, arena, out->plan);
    }
    sample_stats_free(execution->stats);
    return err;
}

static struct error *run_query(struct execution *execution, const struct engine_query *query,
                               struct arena *arena, struct engine_result *out)
{
    execution->annotations = annotations_create(query->text);
    struct error *err = run_stats(execution, query, arena, out);
    annotations_list(execution->annotations, ANNOTATION_WARNING, arena, &out->warnings);
    annotations_list(execution->annotations, ANNOTATION_INFO, arena, &out->infos);
    annotations_free(execution->annotations);
    return err;
}

/* One evaluation with a plan for series with or without metadata labels; tells whether there were.
 */
static struct error *try_exec(struct engine *engine, struct store *store, struct context *ctx,
                              const struct engine_query *query, struct engine_result *out,
                              bool *has_metadata_labels)
{
    struct plan plan = {0};
    struct execution execution = execution_of(engine, store, ctx, query);
    struct arena *arena = out->arena, *plan_arena = arena_create(execution.budget);
    int64_t began_ns = time_now_monotonic_ns();
    *out = (struct engine_result){.arena = arena};
    struct error *err = make_plan(engine, query, *has_metadata_labels, plan_arena, &plan);
    int64_t prepared_ns = time_now_monotonic_ns();
    bool is_begun = !context_ended(ctx);
    size_t selects = err ? 0 : plan.selector_count;
    engine_metrics_select(engine->metrics, selects);
    if (!err && !is_begun)
        err = context_error(ctx);
    execution.plan = &plan;
    if (!err)
        err = run_query(&execution, query, arena, out);
    arena_unref(plan_arena);
    out->stats.prepare_ns = prepared_ns - began_ns;
    out->stats.sort_ns = execution.sort_ns;
    out->stats.eval_ns = time_now_monotonic_ns() - prepared_ns - execution.sort_ns;
    engine_metrics_selected(engine->metrics, selects);
    *has_metadata_labels = atomic_load(&execution.saw_metadata_labels);
    return err ? say_why_ended(err, ctx, is_begun) : NULL;
}

/* Metadata labels are rare, and rows that may become equal without them cost memory. So a plan
 * expects what the last query met, and a query that meets them unexpectedly is evaluated again. */
struct error *engine_exec(struct engine *engine, struct store *store, struct context *ctx,
                          const struct engine_query *query, struct arena *arena,
                          struct engine_result *out)
{
    bool expected = atomic_load(&engine->has_metadata_labels), met = expected;
    *out = (struct engine_result){.arena = arena};
    size_t slot = active_queries_begin(engine->config.active, query->text);
    engine_metrics_begin(engine->metrics, query);
    struct error *err = try_exec(engine, store, ctx, query, out, &met);
    if (met && !expected) {
        error_free(err);
        err = try_exec(engine, store, ctx, query, out, &met);
    }
    if (met != expected)
        atomic_store(&engine->has_metadata_labels, met);
    engine_metrics_end(engine->metrics, query, &out->stats);
    active_queries_end(engine->config.active, slot);
    return err;
}

struct error *engine_explain(struct engine *engine, const struct engine_query *query,
                             struct arena *arena, struct engine_node **out)
{
    struct plan plan = {0};
    struct arena *plan_arena = arena_create(arena_budget(arena));
    struct error *err =
        make_plan(engine, query, atomic_load(&engine->has_metadata_labels), plan_arena, &plan);
    if (!err)
        err = plan_describe(&plan, arena, out);
    arena_unref(plan_arena);
    return err;
}
