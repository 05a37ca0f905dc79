/* /api/v1/series, /api/v1/labels and /api/v1/label/NAME/values. */
#include "api/api_response.h"
#include "api/params.h"
#include "api/query_call.h"
#include "api/query_params.h"
#include "api/result_json.h"
#include "api/tenancy.h"
#include "base/vec.h"
#include "model/quote.h"
#include "runtime/context.h"
#include "runtime/time.h"
#include "store/store.h"
#include "store/store_merge.h"

enum { SERIES_BATCH = 1000 };

struct metadata_params {
    struct store_query query;
    struct store_match *matches; /* match[] */
    size_t match_count, limit;
};

static struct error *read_range(const struct query_api_config *config,
                                const struct http_request *req, struct store_query *query)
{
    query->min_time = PARAM_TIME_MIN_MS;
    query->max_time = PARAM_TIME_MAX_MS;
    if (config->metadata_range_ms > 0) {
        query->max_time = time_now_ms();
        query->min_time = int64_sub_saturating(query->max_time, config->metadata_range_ms);
    }
    struct error *err = param_time(req, "start", &query->min_time);
    if (!err)
        err = param_time(req, "end", &query->max_time);
    if (!err && query->max_time < query->min_time)
        err = error_create(ERROR_INVALID, "end timestamp must not be before start time");
    return error_wrap(err, "bad_data");
}

static struct error *read_params(const struct query_api_config *config,
                                 const struct http_request *req, struct metadata_params *out)
{
    struct store_match *stores = NULL;
    struct parse_options options = engine_parse_options(config->engine);
    *out = (struct metadata_params){
        .query = {.skip_chunks = true, .max_resolution_ms = INT64_MAX, .aggrs = ~0u}};
    struct error *err = read_range(config, req, &out->query);
    if (!err)
        err = param_limit(req, &out->limit);
    if (!err)
        err = param_selectors(req, "match[]", &options, &out->matches, &out->match_count);
    if (!err)
        err = tenancy_enforce_matches(config, req, &out->matches, &out->match_count);
    if (!err)
        err = param_selectors(req, "storeMatch[]", NULL, &stores, &out->query.store_match_count);
    if (!err)
        err = query_params_partial(config, req, &out->query.partial);
    out->query.store_matches = stores;
    if (out->limit > 0) /* one more tells whether something was left out */
        out->query.limit = out->limit + 1;
    return err;
}

static void warn_truncated(struct context *ctx)
{
    context_warn(ctx, STR("results truncated due to limit"));
}

/* A store's complaint about the request is no complaint about its syntax: that was checked. */
static struct error *store_error(struct query_call *call, struct error *err)
{
    if (error_kind(err) == ERROR_INVALID)
        err = error_as(err, ERROR_QUERY);
    return query_call_error(call, err);
}

static struct error *open_series(struct query_call *call, const struct metadata_params *params,
                                 struct series_set **out)
{
    struct store *store = call->api->config.store;
    VEC(struct series_set *) sets = VEC_INIT(NULL);
    struct error *err = NULL;
    for (size_t i = 0; i < params->match_count && !err; i++) {
        struct store_query query = params->query;
        struct series_set *set = NULL;
        query.matchers = params->matches[i].matchers;
        query.matcher_count = params->matches[i].matcher_count;
        err = store_select(store, call->ctx, &query, &set);
        if (!err)
            (void)vec_push(&sets, set);
    }
    if (err) {
        for (size_t i = 0; i < sets.len; i++)
            series_set_free(sets.items[i]);
    } else {
        *out = sets.len == 1 ? sets.items[0] : series_set_merge(call->budget, sets.items, sets.len);
    }
    vec_deinit(&sets);
    return err;
}

/* Writes label sets as they come, so that only the answer grows. */
static struct error *write_series(struct query_call *call, struct series_set *set, size_t limit,
                                  struct json_writer *json)
{
    size_t written = 0;
    for (;;) {
        struct arena *scratch = arena_create(call->budget);
        struct series_batch batch;
        struct error *err = series_set_next(set, scratch, SERIES_BATCH, &batch);
        bool more = !err && batch.count > 0;
        for (size_t i = 0; more && i < batch.count; i++) {
            if (limit > 0 && written == limit) {
                warn_truncated(call->ctx);
                more = false;
                break;
            }
            labels_write(json, batch.items[i].labels);
            written++;
        }
        arena_unref(scratch);
        if (!err)
            err = buf_status(json->out);
        if (err || !more)
            return err;
    }
}

static struct error *respond_series(struct query_call *call, const struct metadata_params *params,
                                    struct http_response *res)
{
    struct series_set *set = NULL;
    struct error *err = open_series(call, params, &set);
    if (err)
        return store_error(call, err);
    struct json_writer json = api_begin(res);
    json_begin_array(&json);
    err = write_series(call, set, params->limit, &json);
    json_end_array(&json);
    series_set_free(set);
    if (err)
        return store_error(call, err);
    api_end(res, &json, call->ctx);
    return NULL;
}

struct error *handle_series(void *self, struct http_request *req, struct http_response *res)
{
    const struct query_api *api = self;
    struct metadata_params params;
    struct query_call call;
    struct str first;
    if (req->params_error.len)
        return error_create(ERROR_INTERNAL, "parse form: %.*s", STR_ARG(req->params_error));
    if (!http_request_param(req, STR("match[]"), &first))
        return error_create(ERROR_INVALID, "no match[] parameter provided");
    struct error *err = read_params(&api->config, req, &params);
    if (!err)
        err = query_params_replicas(&api->config, req, &params.query.without_labels);
    if (err)
        return err;
    err = query_call_begin(&call, api, req, false, 0);
    if (!err)
        err = respond_series(&call, &params, res);
    query_call_end(&call);
    return err;
}

/* Names, or the values of a name, for one set of matchers. */
static struct error *ask_labels(struct query_call *call, const struct store_query *query,
                                const struct str *name, struct str_list *out)
{
    struct store *store = call->api->config.store;
    if (name)
        return store_label_values(store, call->ctx, *name, query, call->arena, out);
    return store_label_names(store, call->ctx, query, call->arena, out);
}

static struct error *ask_all_labels(struct query_call *call, const struct metadata_params *params,
                                    const struct str *name, struct str_list *out)
{
    if (params->match_count == 0)
        return ask_labels(call, &params->query, name, out);
    struct str_list *lists = arena_array(call->arena, params->match_count, sizeof(*lists));
    for (size_t i = 0; i < params->match_count; i++) {
        struct store_query query = params->query;
        query.matchers = params->matches[i].matchers;
        query.matcher_count = params->matches[i].matcher_count;
        struct error *err = ask_labels(call, &query, name, &lists[i]);
        if (err)
            return err;
    }
    *out = str_lists_merge(call->arena, lists, params->match_count, params->query.limit);
    return arena_status(call->arena);
}

static struct error *respond_labels(struct query_call *call, const struct metadata_params *params,
                                    const struct str *name, struct http_response *res)
{
    struct str_list list = {0};
    struct error *err = ask_all_labels(call, params, name, &list);
    if (err)
        return store_error(call, err);
    if (params->limit > 0 && list.count > params->limit) {
        list.count = params->limit;
        warn_truncated(call->ctx);
    }
    struct json_writer json = api_begin(res);
    json_begin_array(&json);
    for (size_t i = 0; i < list.count; i++)
        json_put_str(&json, list.items[i]);
    json_end_array(&json);
    api_end(res, &json, call->ctx);
    return NULL;
}

static struct error *handle_labels(const struct query_api *api, struct http_request *req,
                                   const struct str *name, struct http_response *res)
{
    struct metadata_params params;
    struct query_call call;
    struct error *err = read_params(&api->config, req, &params);
    if (err)
        return err;
    err = query_call_begin(&call, api, req, false, 0);
    if (!err)
        err = respond_labels(&call, &params, name, res);
    query_call_end(&call);
    return err;
}

struct error *handle_label_names(void *self, struct http_request *req, struct http_response *res)
{
    return handle_labels(self, req, NULL, res);
}

struct error *handle_label_values(void *self, struct http_request *req, struct http_response *res)
{
    if (label_name_is_valid(req->path_value))
        return handle_labels(self, req, &req->path_value, res);
    struct buf quoted = {0};
    quote_append(&quoted, req->path_value);
    struct error *err =
        error_create(ERROR_INVALID, "invalid label name: %.*s", STR_ARG(buf_str(&quoted)));
    buf_deinit(&quoted);
    return err;
}
