/* /api/v1/query and /api/v1/query_range. */
#include "api/api_response.h"
#include "api/query_call.h"
#include "api/query_params.h"
#include "api/result_json.h"
#include "api/tenancy.h"
#include "base/duration.h"
#include "codec/float_text.h"
#include "promql/engine.h"
#include "runtime/context.h"
#include "runtime/metrics.h"
#include "runtime/time.h"

struct timings {
    int64_t received_ns, started_ns, ended_ns;
};

static void put_seconds(struct json_writer *json, const char *key, int64_t ns)
{
    json_put_key(json, key);
    json_put_double(json, (double)int64_max(ns, 0) / 1e9);
}

static void write_steps(struct json_writer *json, const char *key, const struct engine_stats *stats,
                        const uint64_t *counts)
{
    json_put_key(json, key);
    json_begin_array(json);
    for (size_t i = 0; i < stats->steps; i++) {
        json_begin_array(json);
        json_put_double(json, (double)(stats->start_ms + (int64_t)i * stats->step_ms) / 1000);
        json_put_uint64(json, counts[i]);
        json_end_array(json);
    }
    json_end_array(json);
}

static void put_count(struct json_writer *json, const char *key, uint64_t count)
{
    json_put_key(json, key);
    json_put_uint64(json, count);
}

static void write_samples(struct json_writer *json, const struct engine_stats *stats, bool per_step)
{
    json_put_key(json, "samples");
    json_begin_object(json);
    if (per_step)
        write_steps(json, "totalQueryableSamplesPerStep", stats, stats->samples_per_step);
    put_count(json, "totalQueryableSamples", stats->samples_total);
    if (per_step)
        write_steps(json, "samplesReadPerStep", stats, stats->read_per_step);
    put_count(json, "samplesRead", stats->samples_read);
    put_count(json, "seriesTouched", stats->series);
    put_count(json, "peakSamples", stats->samples_peak);
    json_end_object(json);
}

static void write_stats(struct json_writer *json, const struct engine_stats *stats,
                        const struct timings *timings, bool per_step)
{
    json_put_key(json, "stats");
    json_begin_object(json);
    json_put_key(json, "timings");
    json_begin_object(json);
    put_seconds(json, "evalTotalTime", stats->prepare_ns + stats->eval_ns + stats->sort_ns);
    put_seconds(json, "resultSortTime", stats->sort_ns);
    put_seconds(json, "queryPreparationTime", stats->prepare_ns);
    put_seconds(json, "innerEvalTime", stats->eval_ns);
    put_seconds(json, "execQueueTime", timings->started_ns - timings->received_ns);
    put_seconds(json, "execTotalTime", timings->ended_ns - timings->received_ns);
    json_end_object(json);
    write_samples(json, stats, per_step);
    json_end_object(json);
}

static void write_node(struct json_writer *json, const struct engine_node *node,
                       const struct engine_stats *stats)
{
    json_begin_object(json);
    json_put_key(json, "name");
    json_put_str(json, node->name);
    if (stats) {
        struct buf took = {0};
        duration_print_go(&took, stats->prepare_ns + stats->eval_ns + stats->sort_ns);
        json_put_key(json, "executionTime");
        json_put_str(json, buf_str(&took));
        buf_deinit(&took);
        if (stats->samples_peak)
            put_count(json, "peakSamples", stats->samples_peak);
    }
    if (node->samples_total)
        put_count(json, "totalSamples", node->samples_total);
    if (node->child_count) {
        json_put_key(json, "children");
        json_begin_array(json);
        for (size_t i = 0; i < node->child_count; i++)
            write_node(json, &node->children[i], NULL);
        json_end_array(json);
    }
    json_end_object(json);
}

/* The time is that of the whole: the parts of a plan work hand in hand. */
static void write_analysis(struct json_writer *json, const struct engine_result *result)
{
    if (result->plan) {
        write_node(json, result->plan, &result->stats);
        return;
    }
    json_begin_object(json);
    json_end_object(json);
}

static void truncate_result(struct query_call *call, struct engine_result *result, size_t limit)
{
    bool is_list = result->type == VALUE_VECTOR || result->type == VALUE_MATRIX;
    if (limit == 0 || !is_list || result->series_count <= limit)
        return;
    result->series_count = limit;
    context_warn(call->ctx, STR("results truncated due to limit"));
}

static void respond(struct query_call *call, const struct query_params *params,
                    struct engine_result *result, const struct timings *timings,
                    struct http_response *res)
{
    truncate_result(call, result, params->limit);
    struct json_writer json = api_begin(res);
    json_begin_object(&json);
    json_put_key(&json, "resultType");
    json_put_cstr(&json, result_type_text(result));
    json_put_key(&json, "result");
    result_write(&json, result);
    if (params->shows_stats)
        write_stats(&json, &result->stats, timings, params->stats_per_step);
    json_put_key(&json, "analysis");
    write_analysis(&json, result);
    json_end_object(&json);
    if (params->wants_analysis && !result->plan)
        context_warn(call->ctx, STR("Query not analyzable; change engine to 'thanos'."));
    api_end_query(res, &json, call->ctx, &result->warnings, &result->infos);
}

/* The class of a number, as Thanos names it: its least upper bound, as text. */
static struct str class_of(uint64_t number, const struct api_bounds *bounds,
                           char out[FLOAT_TEXT_MAX])
{
    for (size_t i = 0; i < bounds->count; i++) {
        bool is_last = i + 1 == bounds->count;
        if ((double)number < bounds->items[i] || (!is_last && (double)number == bounds->items[i]))
            return (struct str){out, float_text(out, bounds->items[i], FLOAT_PLAIN)};
    }
    return STR("+Inf");
}

static void observe_selects(const struct query_call *call, const struct engine_stats *stats)
{
    const struct query_api_config *config = &call->api->config;
    char series[FLOAT_TEXT_MAX], samples[FLOAT_TEXT_MAX];
    if (!call->api->select_seconds || stats->series == 0 || stats->samples_decoded == 0)
        return;
    const struct str labels[] = {class_of(stats->series, &config->series_bounds, series),
                                 class_of(stats->samples_decoded, &config->sample_bounds, samples),
                                 context_tenant(call->ctx)};
    metric_observe(metric_with(call->api->select_seconds, labels, countof(labels)),
                   (double)(stats->prepare_ns + stats->eval_ns + stats->sort_ns) / 1e9);
}

static struct error *run(struct query_call *call, const struct query_params *params,
                         struct http_response *res)
{
    const struct query_api_config *config = &call->api->config;
    struct engine_result result;
    struct timings timings = {.received_ns = call->req->received_ns,
                              .started_ns = time_now_monotonic_ns()};
    metric_observe(call->api->waiting_seconds,
                   (double)(timings.started_ns - timings.received_ns) / 1e9);
    metric_inc(call->api->started);
    metric_add(call->api->running, 1);
    struct engine_query query = params->query;
    query.queued_ns = timings.started_ns - timings.received_ns;
    struct error *err =
        engine_exec(config->engine, config->store, call->ctx, &query, call->arena, &result);
    metric_add(call->api->running, -1);
    timings.ended_ns = time_now_monotonic_ns();
    if (err)
        return query_call_error(call, err);
    observe_selects(call, &result.stats);
    respond(call, params, &result, &timings, res);
    return NULL;
}

static struct error *run_params(const struct query_api *api, struct http_request *req,
                                const struct query_params *params, struct http_response *res)
{
    struct query_call call;
    struct error *err = query_call_begin(&call, api, req, params->has_timeout, params->timeout_ms);
    if (!err)
        err = run(&call, params, res);
    query_call_end(&call);
    return err;
}

struct error *handle_query(void *self, struct http_request *req, struct http_response *res)
{
    const struct query_api *api = self;
    struct query_params params;
    struct error *err = query_params_instant(&api->config, req, time_now_ms(), &params);
    if (!err)
        err = tenancy_enforce_query(&api->config, req, &params.query);
    return err ? err : run_params(api, req, &params, res);
}

struct error *handle_query_range(void *self, struct http_request *req, struct http_response *res)
{
    const struct query_api *api = self;
    struct query_params params;
    struct error *err = query_params_range(&api->config, req, &params);
    if (!err)
        err = tenancy_enforce_query(&api->config, req, &params.query);
    if (err)
        return err;
    metric_observe(api->range_seconds,
                   ((double)params.query.end_ms - (double)params.query.start_ms) / 1000);
    return run_params(api, req, &params, res);
}

static struct error *explain(const struct query_api *api, struct http_request *req,
                             struct query_params *params, struct http_response *res)
{
    struct engine_node *plan;
    struct error *err = tenancy_enforce_query(&api->config, req, &params->query);
    if (!err)
        err = engine_explain(api->config.engine, &params->query, req->arena, &plan);
    if (err)
        return err;
    struct json_writer json = api_begin(res);
    write_node(&json, plan, NULL);
    api_end(res, &json, NULL);
    return NULL;
}

/* In Thanos's words, as there only one of two engines can do it. */
static struct error *check_engine(const struct query_api *api, const struct http_request *req)
{
    bool is_thanos;
    struct error *err = query_params_engine(&api->config, req, &is_thanos);
    if (!err && !is_thanos)
        err = error_create(ERROR_INVALID, "engine type must be 'thanos'");
    return err;
}

struct error *handle_query_explain(void *self, struct http_request *req, struct http_response *res)
{
    const struct query_api *api = self;
    struct query_params params;
    struct error *err = check_engine(api, req);
    if (!err)
        err = query_params_instant(&api->config, req, time_now_ms(), &params);
    return err ? err : explain(api, req, &params, res);
}

struct error *handle_range_explain(void *self, struct http_request *req, struct http_response *res)
{
    const struct query_api *api = self;
    struct query_params params;
    struct error *err = check_engine(api, req);
    if (!err)
        err = query_params_range(&api->config, req, &params);
    return err ? err : explain(api, req, &params, res);
}
