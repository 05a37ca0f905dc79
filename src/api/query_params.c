#include "api/query_params.h"

#include "api/params.h"

enum {
    NS_PER_MS = 1000000,
    STEPS_MAX = 11000,
    DEFAULT_STEPS = 250, /* what the UI draws */
    RANGE_RESOLUTION_PARTS = 5,
    MINUTES_5 = 300000,
    HOUR = 3600000,
};

struct error *query_params_partial(const struct query_api_config *config,
                                   const struct http_request *req, enum partial_response *out)
{
    bool partial = config->partial_response;
    struct error *err = param_bool(req, "partial_response", &partial);
    *out = partial ? PARTIAL_WARN : PARTIAL_ABORT;
    return err;
}

struct error *query_params_replicas(const struct query_api_config *config,
                                    const struct http_request *req, struct str_list *out)
{
    bool dedup = true;
    *out = (struct str_list){0};
    struct error *err = param_bool(req, "dedup", &dedup);
    if (err || !dedup)
        return err;
    if (!param_list(req, "replicaLabels[]", out))
        *out = config->replica_labels;
    return NULL;
}

static struct str tenant_of_header(const struct query_api_config *config,
                                   const struct http_request *req)
{
    struct str tenant = STR("");
    if (config->tenant_header.len)
        tenant = http_request_header(req, config->tenant_header);
    if (tenant.len == 0)
        tenant = http_request_header(req, STR("THANOS-TENANT"));
    if (tenant.len == 0)
        tenant = config->default_tenant.len ? config->default_tenant : STR("default-tenant");
    return tenant;
}

static struct error *tenant_of_certificate(const struct query_api_config *config,
                                           const struct http_request *req, struct str *out)
{
    const struct tls_subject *subject = &req->subject;
    const struct {
        struct str value;
        const char *name;
    } fields[] = {
        [TENANT_OF_ORGANIZATION] = {subject->organization, "organization"},
        [TENANT_OF_ORGANIZATIONAL_UNIT] = {subject->organizational_unit, "organizationalUnit"},
        [TENANT_OF_COMMON_NAME] = {subject->common_name, "commonName"},
    };
    if (!subject->is_known)
        return error_create(ERROR_INVALID,
                            "could not get required certificate field from client cert");
    if (fields[config->tenant_field].value.len == 0)
        return error_create(ERROR_INVALID, "could not get %s field from client cert",
                            fields[config->tenant_field].name);
    *out = fields[config->tenant_field].value;
    return NULL;
}

struct error *query_params_tenant(const struct query_api_config *config,
                                  const struct http_request *req, struct str *out)
{
    struct str tenant;
    if (config->tenant_field == TENANT_OF_HEADER) {
        tenant = tenant_of_header(config, req);
    } else {
        struct error *err = tenant_of_certificate(config, req, &tenant);
        if (err)
            return err;
    }
    *out = tenant;
    /* It may become a folder's name. */
    if (str_find_char(tenant, '/') < tenant.len || str_equal(tenant, STR(".")) ||
        str_equal(tenant, STR("..")))
        return error_create(ERROR_INVALID, "tenant name not valid");
    return NULL;
}

static struct error *read_timeout(const struct http_request *req, struct query_params *out)
{
    struct str text = param_get(req, "timeout");
    int64_t ns = 0;
    out->has_timeout = text.len > 0;
    struct error *err = out->has_timeout ? param_parse_duration(text, &ns) : NULL;
    out->timeout_ms = ns / NS_PER_MS;
    return err;
}

static struct error *read_dedup(const struct query_api_config *config,
                                const struct http_request *req, struct query_params *out)
{
    struct engine_query *query = &out->query;
    struct error *err = query_params_replicas(config, req, &query->replica_labels);
    query->dedup = query->replica_labels.count ? config->dedup : DEDUP_OFF;
    return err;
}

static struct error *read_store_matches(const struct http_request *req, struct query_params *out)
{
    struct store_match *matches = NULL;
    struct error *err =
        param_selectors(req, "storeMatch[]", NULL, &matches, &out->query.store_match_count);
    out->query.store_matches = matches;
    return err;
}

static struct error *read_resolution(const struct query_api_config *config,
                                     const struct http_request *req, int64_t automatic_ms,
                                     struct query_params *out)
{
    struct str text = param_get(req, "max_source_resolution");
    bool is_auto = str_equal(text, STR("auto"));
    int64_t ns = 0;
    out->query.max_resolution_ms =
        is_auto || (text.len == 0 && config->auto_downsampling) ? automatic_ms : 0;
    if (text.len == 0 || is_auto)
        return NULL;
    struct error *err = param_duration(req, "max_source_resolution", &ns);
    if (!err && ns < 0)
        err = error_create(ERROR_INVALID, "negative 'max_source_resolution' is not accepted. Try a "
                                          "positive integer");
    out->query.max_resolution_ms = ns / NS_PER_MS;
    return err;
}

static struct error *read_partial(const struct query_api_config *config,
                                  const struct http_request *req, struct query_params *out)
{
    return query_params_partial(config, req, &out->query.partial);
}

struct error *query_params_engine(const struct query_api_config *config,
                                  const struct http_request *req, bool *is_thanos)
{
    struct str name = param_get(req, "engine");
    if (name.len == 0)
        name = config->engine_name;
    if (name.len && !str_equal(name, STR("prometheus")) && !str_equal(name, STR("thanos")))
        return error_create(ERROR_INVALID, "'%.*s' bad engine", STR_ARG(str_slice(name, 0, 100)));
    *is_thanos = str_equal(name, STR("thanos"));
    return NULL;
}

static struct error *read_engine(const struct query_api_config *config,
                                 const struct http_request *req, struct query_params *out)
{
    return query_params_engine(config, req, &out->query.is_thanos);
}

/* Coarser data needs a longer look back than raw data. */
int64_t query_params_lookback(const struct query_api_config *config, int64_t resolution_ms)
{
    int64_t own = config->lookback_ms;
    if (!config->dynamic_lookback)
        return own;
    if (resolution_ms > int64_max(own, MINUTES_5))
        return int64_max(own, HOUR);
    return resolution_ms > own ? int64_max(own, MINUTES_5) : own;
}

static struct error *read_lookback(const struct query_api_config *config,
                                   const struct http_request *req, struct query_params *out)
{
    int64_t ns = 0;
    struct error *err = param_duration(req, "lookback_delta", &ns);
    out->query.lookback_ms = ns > 0 ? int64_max(ns / NS_PER_MS, 1)
                                    : query_params_lookback(config, out->query.max_resolution_ms);
    return err;
}

/* Prometheus's header for one query. */
static struct error *read_start_times(const struct http_request *req, struct query_params *out)
{
    static const char name[] = "X-Prometheus-Use-Start-Timestamps";
    struct str text = http_request_header(req, str_from(name));
    bool is_on = false;
    if (text.len == 0)
        return NULL;
    if (!param_parse_bool(text, &is_on))
        return error_create(
            ERROR_INVALID,
            "error parsing %s header: strconv.ParseBool: parsing \"%.*s\": invalid syntax", name,
            STR_ARG(str_slice(text, 0, 100)));
    out->query.start_times = is_on ? START_TIMES_ON : START_TIMES_OFF;
    return NULL;
}

static struct error *read_rest(const struct http_request *req, struct query_params *out)
{
    struct str analyze = param_get(req, "analyze");
    out->stats_per_step = str_equal(param_get(req, "stats"), STR("all"));
    out->wants_analysis = str_equal(analyze, STR("true")) || str_equal(analyze, STR("1"));
    out->query.wants_plan = out->wants_analysis && out->query.is_thanos;
    out->shows_stats = param_get(req, "stats").len > 0;
    out->query.wants_stats = out->shows_stats || out->query.wants_plan;
    out->query.text = param_get(req, "query");
    struct error *err = read_start_times(req, out);
    return err ? err : param_limit(req, &out->limit);
}

struct error *query_params_instant(const struct query_api_config *config,
                                   const struct http_request *req, int64_t now_ms,
                                   struct query_params *out)
{
    *out = (struct query_params){.query = {.instant = true, .start_ms = now_ms}};
    struct error *err = param_time(req, "time", &out->query.start_ms);
    if (!err)
        err = read_timeout(req, out);
    if (!err)
        err = read_dedup(config, req, out);
    if (!err)
        err = read_store_matches(req, out);
    if (!err)
        err = read_partial(config, req, out);
    if (!err)
        err = read_resolution(config, req, config->instant_resolution_ms, out);
    if (!err)
        err = param_shard(req, &out->query.shard);
    if (!err)
        err = read_engine(config, req, out);
    if (!err)
        err = read_lookback(config, req, out);
    out->query.end_ms = out->query.start_ms;
    return err ? err : read_rest(req, out);
}

static struct error *read_step(const struct query_api_config *config,
                               const struct http_request *req, struct query_params *out)
{
    struct engine_query *query = &out->query;
    int64_t range_ms = int64_sub_saturating(query->end_ms, query->start_ms);
    int64_t seconds = int64_max(range_ms / 1000 / DEFAULT_STEPS, config->default_step_ms / 1000);
    int64_t ns = 0;
    query->step_ms = int64_max(seconds, 1) * 1000;
    struct error *err = param_duration(req, "step", &ns);
    if (err)
        return err;
    if (param_get(req, "step").len)
        query->step_ms = ns / NS_PER_MS;
    if (query->step_ms <= 0)
        return error_create(ERROR_INVALID, "zero or negative query resolution step widths are not "
                                           "accepted. Try a positive integer");
    if (range_ms / query->step_ms > STEPS_MAX)
        return error_create(ERROR_INVALID,
                            "exceeded maximum resolution of 11,000 points per timeseries. Try "
                            "decreasing the query resolution (?step=XX)");
    return NULL;
}

static struct error *read_range(const struct http_request *req, struct query_params *out)
{
    struct error *err = param_parse_time(param_get(req, "start"), &out->query.start_ms);
    if (!err)
        err = param_parse_time(param_get(req, "end"), &out->query.end_ms);
    if (!err && out->query.end_ms < out->query.start_ms)
        err = error_create(ERROR_INVALID, "end timestamp must not be before start time");
    return err;
}

struct error *query_params_range(const struct query_api_config *config,
                                 const struct http_request *req, struct query_params *out)
{
    *out = (struct query_params){0};
    struct error *err = read_range(req, out);
    if (!err)
        err = read_step(config, req, out);
    if (!err)
        err = read_timeout(req, out);
    if (!err)
        err = read_dedup(config, req, out);
    if (!err)
        err = read_store_matches(req, out);
    if (!err)
        err = read_resolution(config, req, out->query.step_ms / RANGE_RESOLUTION_PARTS, out);
    if (!err)
        err = read_partial(config, req, out);
    if (!err)
        err = param_shard(req, &out->query.shard);
    if (!err)
        err = read_engine(config, req, out);
    if (!err)
        err = read_lookback(config, req, out);
    return err ? err : read_rest(req, out);
}
