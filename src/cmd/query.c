#include "cmd/query.h"

#include <stdlib.h>

#include "api/query_api.h"
#include "api/query_service.h"
#include "base/memory.h"
#include "base/vec.h"
#include "cmd/component.h"
#include "cmd/component_flags.h"
#include "cmd/flag_labels.h"
#include "cmd/version.h"
#include "model/relabel.h"
#include "net/tls.h"
#include "promql/active_queries.h"
#include "promql/engine.h"
#include "query/endpoint_discovery.h"
#include "query/endpoint_peers.h"
#include "query/endpoint_set.h"
#include "query/remote_engine.h"
#include "rpc/info_service.h"
#include "rpc/peers_service.h"
#include "rpc/store_service.h"
#include "runtime/context.h"
#include "runtime/log.h"
#include "runtime/pool.h"
#include "runtime/time.h"
#include "store/store_limits.h"
#include "store/store_proxy.h"

enum { FIRST_CHECK_MAX_MS = 30 * 1000 };
enum { GRPC_COMPRESSION_SNAPPY }; /* the first choice of --grpc-compression */
enum { MODE_LOCAL, MODE_DISTRIBUTED };

struct query_config {
    bool client_tls, client_skip_verify;
    struct str client_cert, client_key, client_ca, client_server_name;
    int compression, client_min_version;
    struct str route_prefix, external_prefix, prefix_header;
    bool disable_cors;
    int64_t timeout_ms;
    int engine, mode;
    bool x_functions;
    int64_t max_concurrent, lookback_ms, max_concurrent_select;
    unsigned metric_labels;
    int dedup;
    struct flag_strings replica_labels, partition_labels;
    int64_t metadata_range_ms;
    struct flag_strings selector_labels;
    bool auto_downsampling, partial_response;
    struct str active_query_path;
    struct flag_strings features;
    int64_t evaluation_interval_ms, default_step_ms, response_timeout_ms;
    struct flag_content selector_relabel;
    struct str alert_query_url;
    struct flag_floats duration_quantiles, sample_quantiles, series_quantiles;
    struct str tenant_header, default_tenant, tenant_label;
    int tenant_certificate_field;
    bool enforce_tenancy;
    int64_t dns_interval_ms, unhealthy_timeout_ms;
    struct flag_content sd_config;
    int64_t sd_reload_ms;
    struct flag_strings sd_files;
    int64_t sd_interval_ms;
    struct flag_strings endpoints, stores, groups, strict, strict_groups;
    int64_t series_max, samples_max;
    bool disable_fallback, dynamic_lookback, overlapping_interval;
    int64_t instant_resolution_ms;
    bool rule_partial, target_partial, metadata_partial, exemplar_partial, status_partial;
    int strategy;
    struct str dns_resolver;
    int64_t info_timeout_ms;
    struct flag_strings test_addresses;
    int64_t lazy_buffer, memory_max;
};

#define QUERY struct query_config

static const struct flag query_flags[] = {
    FLAG_BOOL(QUERY, client_tls, "grpc-client-tls-secure", "Use TLS towards endpoints.",
              .deprecated = true),
    FLAG_BOOL(QUERY, client_skip_verify, "grpc-client-tls-skip-verify",
              "Do not verify their certificates.", .deprecated = true),
    FLAG_STRING(QUERY, client_cert, "grpc-client-tls-cert", "", "Client certificate.",
                .deprecated = true),
    FLAG_STRING(QUERY, client_key, "grpc-client-tls-key", "", "Client key.", .deprecated = true),
    FLAG_STRING(QUERY, client_ca, "grpc-client-tls-ca", "", "CA of the endpoints' certificates.",
                .deprecated = true),
    FLAG_STRING(QUERY, client_server_name, "grpc-client-server-name", "",
                "Name that their certificates must have.", .deprecated = true),
    FLAG_ENUM(QUERY, compression, "grpc-compression", "snappy|none", "none",
              "Compression of requests to endpoints: snappy or none.", .deprecated = true),
    FLAG_ENUM(QUERY, client_min_version, "grpc-client-tls-min-version", TLS_VERSION_CHOICES, "1.3",
              "Lowest TLS version towards endpoints.", .deprecated = true),
    FLAG_STRING(QUERY, route_prefix, "web.route-prefix", "",
                "Prefix of the API's paths; else that of --web.external-prefix."),
    FLAG_STRING(QUERY, external_prefix, "web.external-prefix", "",
                "Prefix of links in a web UI, which there is none of; see --web.route-prefix."),
    FLAG_STRING(QUERY, prefix_header, "web.prefix-header", "",
                "Header that names a prefix of links; no effect without a web UI."),
    FLAG_BOOL(QUERY, disable_cors, "web.disable-cors", "Send no CORS headers."),
    FLAG_DURATION(QUERY, timeout_ms, "query.timeout", "2m", "How long a query may take."),
    FLAG_ENUM(QUERY, engine, "query.promql-engine", "prometheus|thanos", "prometheus",
              "Engine that requests get by default; both names are this one engine."),
    FLAG_BOOL(QUERY, x_functions, "query.enable-x-functions", "Allow xrate, xincrease and xdelta."),
    FLAG_ENUM(
        QUERY, mode, "query.mode", "local|distributed", "local",
        "Where queries are evaluated: here, or in parts by the queriers among the endpoints."),
    FLAG_INT(QUERY, max_concurrent, "query.max-concurrent", "20",
             "Queries that are evaluated at once."),
    FLAG_GO_DURATION(QUERY, lookback_ms, "query.lookback-delta", "",
                     "How far an instant selector looks back; 5m if unset."),
    FLAG_INT(
        QUERY, max_concurrent_select, "query.max-concurrent-select", "4",
        "Selects of one query that wait for a first answer at once; all of them run at once here."),
    FLAG_ENUMS(QUERY, metric_labels, "query.conn-metric.label",
               "external_labels|store_type|ip_port", "external_labels,store_type",
               "Labels of the gauge of endpoint connections (repeated)."),
    FLAG_ENUM(QUERY, dedup, "deduplication.func", "penalty|chain", "penalty",
              "How overlapping replicas become one series: penalty or chain."),
    FLAG_STRINGS(QUERY, replica_labels, "query.replica-label",
                 "Labels that tell replicas apart (repeated, or a list with commas)."),
    FLAG_STRINGS(
        QUERY, partition_labels, "query.partition-label",
        "Labels that partition queriers in distributed mode (repeated); none: all labels of "
        "their data."),
    FLAG_GO_DURATION(QUERY, metadata_range_ms, "query.metadata.default-time-range", "0s",
                     "Range of series and label calls that name none; 0: all time."),
    FLAG_STRINGS(QUERY, selector_labels, "selector-label",
                 "Label announced besides those of the stores, name=\"value\" (repeated)."),
    FLAG_BOOL(QUERY, auto_downsampling, "query.auto-downsampling",
              "Let queries that do not say use data of a fifth of their step."),
    FLAG_BOOL_ON(QUERY, partial_response, "query.partial-response",
                 "Answer with warnings when stores fail, unless a request says otherwise."),
    FLAG_STRING(QUERY, active_query_path, "query.active-query-path", "",
                "Directory of queries.active, which holds the queries that run."),
    FLAG_STRINGS(
        QUERY, features, "enable-feature",
        "Features to turn on, with commas between (repeated): promql-experimental-functions, "
        "promql-binop-fill-modifiers, promql-unquoted-utf8-names, "
        "promql-delayed-name-removal, type-and-unit-labels, use-start-timestamps."),
    FLAG_DURATION(QUERY, evaluation_interval_ms, "query.default-evaluation-interval", "1m",
                  "Step of subqueries that name none."),
    FLAG_DURATION(QUERY, default_step_ms, "query.default-step", "1s",
                  "Least step of range queries that name none."),
    FLAG_DURATION(QUERY, response_timeout_ms, "store.response-timeout", "0ms",
                  "A store that sends nothing for so long is given up; 0: never."),
    FLAG_CONTENT(QUERY, selector_relabel, "selector.relabel-config",
                 "Relabelling that chooses stores by external labels: keep, drop, hashmod (YAML)."),
    FLAG_STRING(QUERY, alert_query_url, "alert.query-url", "",
                "URL for links of alerts; no effect without a web UI."),
    FLAG_FLOATS(QUERY, duration_quantiles, "query.telemetry.request-duration-seconds-quantiles",
                "0.1,0.25,0.75,1.25,1.75,2.5,3,5,10", "Buckets of the histogram of selects."),
    FLAG_FLOATS(QUERY, sample_quantiles, "query.telemetry.request-samples-quantiles",
                "100,1000,10000,100000,1000000", "Its classes of samples."),
    FLAG_FLOATS(QUERY, series_quantiles, "query.telemetry.request-series-seconds-quantiles",
                "10,100,1000,10000,100000", "Its classes of series."),
    FLAG_STRING(QUERY, tenant_header, "query.tenant-header", "THANOS-TENANT",
                "Header that names the tenant."),
    FLAG_STRING(QUERY, default_tenant, "query.default-tenant-id", "default-tenant",
                "Tenant of requests that name none."),
    FLAG_ENUM(QUERY, tenant_certificate_field, "query.tenant-certificate-field",
              "|organization|organizationalUnit|commonName", "",
              "Field of the client certificate that names the tenant; the header does not count "
              "then."),
    FLAG_BOOL(QUERY, enforce_tenancy, "query.enforce-tenancy",
              "Restrict queries, series and labels to their tenant's series."),
    FLAG_STRING(QUERY, tenant_label, "query.tenant-label-name", "tenant_id", "Label for that."),
    FLAG_DURATION(QUERY, dns_interval_ms, "store.sd-dns-interval", "30s",
                  "How often names are looked up."),
    FLAG_DURATION(QUERY, unhealthy_timeout_ms, "store.unhealthy-timeout", "5m",
                  "How long a dead endpoint stays on the stores page."),
    FLAG_CONTENT(QUERY, sd_config, "endpoint.sd-config", "Endpoints (YAML)."),
    FLAG_DURATION(QUERY, sd_reload_ms, "endpoint.sd-config-reload-interval", "5m",
                  "How often that file is read again, besides when it changes."),
    FLAG_STRINGS(
        QUERY, sd_files, "store.sd-files",
        "Files with addresses, as Prometheus's file_sd has them; the last part may have a * "
        "(repeated).",
        .deprecated = true),
    FLAG_DURATION(QUERY, sd_interval_ms, "store.sd-interval", "5m",
                  "How often those are read again, besides when they change.", .deprecated = true),
    FLAG_STRINGS(QUERY, endpoints, "endpoint",
                 "Address of an endpoint: host:port, or dns+host:port, dnssrv+name, dnssrvnoa+name "
                 "for all that DNS has (repeated)."),
    FLAG_STRINGS(QUERY, stores, "store", "Older name of --endpoint (repeated).",
                 .deprecated = true),
    FLAG_STRINGS(QUERY, groups, "endpoint-group",
                 "Name whose addresses are one endpoint: calls take turns (repeated).",
                 .deprecated = true),
    FLAG_STRINGS(QUERY, strict, "endpoint-strict",
                 "Endpoint that is always asked, whatever its health (repeated).",
                 .deprecated = true),
    FLAG_STRINGS(QUERY, strict_groups, "endpoint-group-strict",
                 "Group that is always asked (repeated).", .deprecated = true),
    FLAG_UINT(QUERY, series_max, "store.limits.request-series", "0",
              "Series that one Series call may give; 0: any number."),
    FLAG_UINT(QUERY, samples_max, "store.limits.request-samples", "0",
              "Samples that one Series call may give, 120 a chunk; 0: any number."),
    FLAG_BYTES(QUERY, memory_max, "query.max-memory", "1GiB",
               "Memory that one query may take; over it, it fails. Titan's own."),
    FLAG_BOOL(QUERY, disable_fallback, "query.disable-fallback", "No effect: there is one engine.",
              .hidden = true),
    FLAG_BOOL_ON(QUERY, dynamic_lookback, "query.dynamic-lookback-delta",
                 "Look back further over downsampled data.", .hidden = true),
    FLAG_BOOL(QUERY, overlapping_interval, "query.distributed-with-overlapping-interval",
              "No effect.", .hidden = true),
    FLAG_DURATION(QUERY, instant_resolution_ms, "query.instant.default.max_source_resolution", "0s",
                  "Resolution of instant queries that name none.", .hidden = true),
    FLAG_BOOL_ON(QUERY, rule_partial, "rule.partial-response",
                 "Answer for rules with warnings when endpoints fail.", .hidden = true),
    FLAG_BOOL_ON(QUERY, target_partial, "target.partial-response", "The same for targets.",
                 .hidden = true),
    FLAG_BOOL_ON(QUERY, metadata_partial, "metric-metadata.partial-response",
                 "The same for metadata of metrics.", .hidden = true),
    FLAG_BOOL_ON(QUERY, exemplar_partial, "exemplar.partial-response", "The same for exemplars.",
                 .hidden = true),
    FLAG_BOOL_ON(QUERY, status_partial, "status.partial-response", "The same for the TSDB status.",
                 .hidden = true),
    FLAG_ENUM(QUERY, strategy, "grpc.proxy-strategy", "eager|lazy", "eager",
              "No effect: streams are merged as they arrive, in bounded memory.", .hidden = true),
    FLAG_STRING(QUERY, dns_resolver, "store.sd-dns-resolver", "miekgdns",
                "How hosts of dns+ and dnssrv+ names are looked up. golang: /etc/hosts, then A and "
                "AAAA; miekgdns: AAAA, else A.",
                .hidden = true),
    FLAG_DURATION(QUERY, info_timeout_ms, "endpoint.info-timeout", "5s",
                  "How often endpoints are checked, and how long that may take.", .hidden = true),
    FLAG_STRINGS(QUERY, test_addresses, "inject-test-addresses",
                 "Members of every group, for tests (repeated).", .hidden = true),
    FLAG_INT(QUERY, lazy_buffer, "query.lazy-retrieval-max-buffered-responses", "20",
             "No effect: see grpc.proxy-strategy.", .hidden = true),
    FLAG_END,
};

/* Everything the querier is made of, in the order it is built; taken down in reverse. */
struct query {
    const struct query_config *config;
    const struct flags *flags;
    struct component *component;
    struct arena *arena;           /* of texts and lists below */
    struct relabel_rules *relabel; /* of the selector */
    struct endpoint_discovery *discovery;
    struct endpoint_set *endpoints;
    struct store *proxy;           /* for the engine; owned by store */
    struct store *store;           /* what is served: the proxy with the limits */
    struct active_queries *active; /* NULL: not kept */
    struct remote remote;          /* for the engine, in distributed mode */
    struct engine *engine;
    struct query_api *api;
    struct store_service *store_service;
    struct query_service *query_service;
    struct peers_service *peers_service;
    struct info_service *info_service;
    struct grpc_method
        methods[STORE_SERVICE_METHODS + QUERY_SERVICE_METHODS + PEERS_SERVICE_METHODS + 1];
    struct api_flag *flag_values;
    size_t flag_count;
};

/* -- from flags -- */

/* Splits at commas; sorted, each once. */
static struct str_list split_list(struct arena *arena, const struct flag_strings *strings)
{
    VEC(struct str) items = VEC_INIT(NULL);
    struct str_list list = {0};
    for (size_t i = 0; i < strings->count; i++) {
        struct str rest = strings->items[i], item;
        while (rest.len) {
            str_cut(rest, ',', &item, &rest);
            if (str_trim(item).len)
                vec_push(&items, str_trim(item));
        }
    }
    if (items.len)
        qsort(items.items, items.len, sizeof(*items.items), str_compare_items);
    list.items = arena_array(arena, items.len, sizeof(*list.items));
    for (size_t i = 0; i < items.len; i++)
        if (list.count == 0 || !str_equal(list.items[list.count - 1], items.items[i]))
            list.items[list.count++] = items.items[i];
    vec_deinit(&items);
    return list;
}

static struct str *all_addresses(struct arena *arena, const struct query_config *config,
                                 size_t *count)
{
    struct str *all =
        arena_array(arena, config->endpoints.count + config->stores.count, sizeof(*all));
    *count = 0;
    for (size_t i = 0; i < config->endpoints.count; i++)
        all[(*count)++] = config->endpoints.items[i];
    for (size_t i = 0; i < config->stores.count; i++)
        all[(*count)++] = config->stores.items[i];
    return all;
}

static void count_flag(void *arg, struct str name UNUSED, struct str value UNUSED)
{
    ++*(size_t *)arg;
}

static void note_flag(void *arg, struct str name, struct str value)
{
    struct query *query = arg;
    query->flag_values[query->flag_count++] =
        (struct api_flag){arena_str(query->arena, name), arena_str(query->arena, value)};
}

static int compare_flags(const void *a, const void *b)
{
    return str_compare(((const struct api_flag *)a)->name, ((const struct api_flag *)b)->name);
}

static void note_flags(struct query *query)
{
    size_t count = 0;
    flags_each(query->flags, count_flag, &count);
    query->flag_values = arena_array(query->arena, count, sizeof(*query->flag_values));
    flags_each(query->flags, note_flag, query);
    qsort(query->flag_values, query->flag_count, sizeof(*query->flag_values), compare_flags);
}

/* -- building and taking down -- */

/* What --grpc-client-* say. */
static struct endpoint_tls tls_of(const struct query_config *config)
{
    return (struct endpoint_tls){.enabled = config->client_tls,
                                 .config = {
                                     .certificate_file = config->client_cert,
                                     .key_file = config->client_key,
                                     .ca_file = config->client_ca,
                                     .server_name = config->client_server_name,
                                     .skip_verify = config->client_skip_verify,
                                     .min_version = (enum tls_version)config->client_min_version,
                                 }};
}

/* That endpoints can be reached that way: it is better said at the start. */
static struct error *query_check_tls(struct query *query)
{
    struct endpoint_tls tls = tls_of(query->config);
    struct tls_client *client = NULL;
    struct error *err = NULL;
    if (tls.enabled)
        err = tls_client_create(&tls.config, component_log(query->component), &client);
    tls_client_unref(client);
    return error_wrap(err, "setup gRPC client TLS");
}

static enum dns_resolver dns_resolver_of(struct query *query)
{
    struct str name = query->config->dns_resolver;
    if (str_equal(name, STR("miekgdns")))
        return DNS_MIEKGDNS;
    if (!str_equal(name, STR("golang")))
        log_warn(component_log(query->component), "no such resolver type, defaulting to golang",
                 KV("type", name));
    return DNS_GOLANG;
}

static struct error *query_build_discovery(struct query *query)
{
    const struct query_config *config = query->config;
    size_t address_count;
    const struct str *addresses = all_addresses(query->arena, config, &address_count);
    const struct endpoint_discovery_config discovery = {
        .loops = component_loops(query->component),
        .flags = {.plain = addresses,
                  .plain_count = address_count,
                  .groups = config->groups.items,
                  .group_count = config->groups.count,
                  .strict = config->strict.items,
                  .strict_count = config->strict.count,
                  .strict_groups = config->strict_groups.items,
                  .strict_group_count = config->strict_groups.count,
                  .tls = tls_of(config),
                  .compress = config->compression == GRPC_COMPRESSION_SNAPPY},
        .sd_config = config->sd_config.text,
        .sd_config_path = config->sd_config.path,
        .sd_config_reload_ms = config->sd_reload_ms,
        .sd_files = config->sd_files.items,
        .sd_file_count = config->sd_files.count,
        .sd_files_interval_ms = config->sd_interval_ms,
        .resolver = dns_resolver_of(query),
        .dns_interval_ms = config->dns_interval_ms,
        .test_members = config->test_addresses.items,
        .test_member_count = config->test_addresses.count,
        .log = component_log(query->component),
        .metrics = component_metrics(query->component),
    };
    return endpoint_discovery_create(&discovery, &query->discovery);
}

static struct error *query_load_selector(struct query *query, struct labels *labels)
{
    const struct query_config *config = query->config;
    struct str yaml = STR("");
    struct error *err =
        error_wrap(flag_labels_parse(&config->selector_labels, query->arena, labels),
                   "parse federation labels");
    if (!err)
        err = flag_content_load(&config->selector_relabel, "selector.relabel-config", true,
                                query->arena, &yaml);
    return err ? err
               : relabel_parse(yaml, RELABEL_SELECTOR, component_log(query->component),
                               &query->relabel);
}

static struct error *query_build_stores(struct query *query)
{
    struct labels selector_labels = {0};
    struct error *err = query_load_selector(query, &selector_labels);
    if (err)
        return err;
    const struct query_config *config = query->config;
    struct component *component = query->component;
    const struct endpoint_set_config endpoints = {
        .loops = component_loops(component),
        .specs = endpoint_discovery_specs,
        .specs_self = query->discovery,
        .check_interval_ms = config->info_timeout_ms,
        .check_timeout_ms = config->info_timeout_ms,
        .unhealthy_timeout_ms = config->unhealthy_timeout_ms,
        .relabel = query->relabel,
        .metric_labels = config->metric_labels,
        .log = component_log(component),
        .metrics = component_metrics(component),
    };
    query->endpoints = endpoint_set_create(&endpoints);
    const struct store_proxy_config proxy = {
        .stores = endpoint_set_stores,
        .self = query->endpoints,
        .selector = {query->relabel, selector_labels},
        .response_timeout_ms = config->response_timeout_ms,
        .metadata = component_pools(component)->metadata,
        .log = component_log(component),
        .metrics = component_metrics(component),
    };
    const struct store_limits limits = {(size_t)config->series_max, (size_t)config->samples_max};
    query->proxy = store_proxy_create(&proxy);
    query->store = store_limits_create(query->proxy, &limits, component_metrics(component));
    return NULL;
}

/* What --enable-feature turns on, by Prometheus's names. */
static const struct feature {
    const char *name;
    size_t offset; /* of a bool in the engine's configuration; ALWAYS_ON: nothing to do */
} features[] = {
#define ALWAYS_ON SIZE_MAX
    {"promql-experimental-functions", offsetof(struct engine_config, parse.experimental_functions)},
    {"promql-binop-fill-modifiers", offsetof(struct engine_config, parse.fill_modifiers)},
    {"promql-unquoted-utf8-names", offsetof(struct engine_config, parse.unquoted_utf8_names)},
    {"promql-delayed-name-removal", offsetof(struct engine_config, delayed_name_removal)},
    {"type-and-unit-labels", offsetof(struct engine_config, type_and_unit_labels)},
    {"use-start-timestamps", offsetof(struct engine_config, use_start_timestamps)},
    {"promql-at-modifier", ALWAYS_ON},
    {"promql-duration-expr", ALWAYS_ON},
    {"promql-extended-range-selectors", ALWAYS_ON},
    {"promql-negative-offset", ALWAYS_ON},
    {"promql-per-step-stats", ALWAYS_ON},
};

static const struct feature *feature_find(struct str name)
{
    for (size_t i = 0; i < countof(features); i++)
        if (str_equal(name, str_from(features[i].name)))
            return &features[i];
    return NULL;
}

static void set_features(struct query *query, struct engine_config *engine)
{
    struct str_list names = split_list(query->arena, &query->config->features);
    for (size_t i = 0; i < names.count; i++) {
        const struct feature *feature = feature_find(names.items[i]);
        if (!feature)
            log_warn(component_log(query->component), "unknown option for --enable-feature",
                     KV("option", names.items[i]));
        else if (feature->offset != ALWAYS_ON)
            *(bool *)((char *)engine + feature->offset) = true;
    }
    engine->parse.extended_functions = query->config->x_functions;
}

static void query_build_engine(struct query *query)
{
    const struct query_config *config = query->config;
    query->remote = (struct remote){
        .ops = &remote_engine_ops,
        .self = query->endpoints,
        .partition_labels = split_list(query->arena, &config->partition_labels),
    };
    struct engine_config engine = {
        .remote = config->mode == MODE_DISTRIBUTED ? &query->remote : NULL,
        .compute = component_pools(query->component)->compute,
        .lookback_ms = config->lookback_ms,
        .subquery_step_ms = config->evaluation_interval_ms,
        .metrics = component_metrics(query->component),
        .active = query->active,
        .queries_max = (size_t)config->max_concurrent,
        .selects_max = (size_t)config->max_concurrent_select,
    };
    set_features(query, &engine);
    query->engine = engine_create(&engine);
}

/* "/foo", or empty; slashes around it do not count. */
static struct str route_prefix_of(const struct query_config *config, struct arena *arena)
{
    struct str prefix = config->route_prefix.len ? config->route_prefix : config->external_prefix;
    while (prefix.len && prefix.data[0] == '/')
        prefix = str_slice(prefix, 1, prefix.len);
    while (prefix.len && prefix.data[prefix.len - 1] == '/')
        prefix.len--;
    return prefix.len ? arena_printf(arena, "/%.*s", STR_ARG(prefix)) : STR("");
}

/* What a user may expect of flags and does not get. */
static void warn_of_flags(const struct query *query)
{
    const struct query_config *config = query->config;
    struct log *log = component_log(query->component);
    const struct {
        bool is_set;
        const char *flag, *why;
    } idle[] = {
        {config->max_concurrent_select != 4, "query.max-concurrent-select",
         "selects of a query all run at once, in its memory"},
        {config->disable_fallback, "query.disable-fallback", "there is one engine"},
        {config->strategy != 0, "grpc.proxy-strategy", "streams are merged as they arrive"},
        {config->alert_query_url.len > 0, "alert.query-url", "there is no web UI"},
        {config->overlapping_interval, "query.distributed-with-overlapping-interval",
         "remote engines are asked for what only they have"},
        {config->lazy_buffer != 20, "query.lazy-retrieval-max-buffered-responses",
         "streams are merged as they arrive"},
    };
    for (size_t i = 0; i < countof(idle); i++)
        if (idle[i].is_set)
            log_warn(log, "flag has no effect", KV("flag", idle[i].flag), KV("why", idle[i].why));
    if (query->config->prefix_header.len)
        log_warn(log, "no web UI, so --web.prefix-header has no effect");
    if (query->config->enforce_tenancy)
        log_warn(log, "tenancy is enforced for queries, series, labels and the TSDB status; rules, "
                      "alerts, targets, metadata, exemplars, stores and gRPC are not restricted");
}

static void query_build_api(struct query *query)
{
    const struct query_config *config = query->config;
    const struct pools *pools = component_pools(query->component);
    note_flags(query);
    warn_of_flags(query);
    const struct query_api_config api = {
        .engine = query->engine,
        .store = query->store,
        .queries = pools->queries,
        .metadata = pools->metadata,
        .quick = pools->quick,
        .query_timeout_ms = config->timeout_ms,
        .lookback_ms = config->lookback_ms,
        .dynamic_lookback = config->dynamic_lookback,
        .default_step_ms = config->default_step_ms,
        .instant_resolution_ms = config->instant_resolution_ms,
        .auto_downsampling = config->auto_downsampling,
        .partial_response = config->partial_response,
        .dedup = config->dedup ? DEDUP_CHAIN : DEDUP_PENALTY,
        .replica_labels = split_list(query->arena, &config->replica_labels),
        .metadata_range_ms = config->metadata_range_ms,
        .query_memory_max = (size_t)config->memory_max,
        .tenant_header = config->tenant_header,
        .default_tenant = config->default_tenant,
        .enforce_tenancy = config->enforce_tenancy,
        .tenant_label = config->tenant_label,
        .tenant_field = config->tenant_certificate_field,
        .engine_name = config->engine ? STR("thanos") : STR("prometheus"),
        .disable_cors = config->disable_cors,
        .route_prefix = route_prefix_of(config, query->arena),
        .endpoints = endpoint_set_statuses,
        .endpoints_self = query->endpoints,
        .peers = endpoint_peers_answer,
        .peers_self = query->endpoints,
        .rule_partial_response = config->rule_partial,
        .target_partial_response = config->target_partial,
        .metadata_partial_response = config->metadata_partial,
        .exemplar_partial_response = config->exemplar_partial,
        .status_partial_response = config->status_partial,
        .flags = query->flag_values,
        .flag_count = query->flag_count,
        .build = {STR(TITAN_VERSION), str_from(TITAN_REVISION), str_from(TITAN_BRANCH), STR(""),
                  STR(""), STR(TITAN_COMPILER)},
        .start_time_ms = time_now_ms(),
        .metrics = component_metrics(query->component),
        .duration_bounds = {config->duration_quantiles.items, config->duration_quantiles.count},
        .series_bounds = {config->series_quantiles.items, config->series_quantiles.count},
        .sample_bounds = {config->sample_quantiles.items, config->sample_quantiles.count},
    };
    query->api = query_api_create(&api);
    query->query_service = query_service_create(&api, query->methods + STORE_SERVICE_METHODS);
}

static void query_build_services(struct query *query)
{
    const struct pools *pools = component_pools(query->component);
    const struct store_service_config store = {
        .store = query->store,
        .series = pools->series,
        .metadata = pools->metadata,
        .code_of = store_service_proxy_code,
        .metrics = component_metrics(query->component),
    };
    const struct info_service_config info = {
        .type = STR("query"),
        .store = query->store,
        .has_rules = true,
        .has_targets = true,
        .has_metadata = true,
        .has_exemplars = true,
        .has_query = true,
        .has_status = true,
        .is_ready = component_is_ready,
        .self = query->component,
        .quick = pools->quick,
    };
    struct grpc_method *methods = query->methods;
    query->store_service = store_service_create(&store, methods);
    methods += STORE_SERVICE_METHODS + QUERY_SERVICE_METHODS; /* those were made with the API */
    query->peers_service =
        peers_service_create(endpoint_peers_answer, query->endpoints, pools->metadata, methods);
    methods += PEERS_SERVICE_METHODS;
    query->info_service = info_service_create(&info, methods);
}

static struct error *query_open_log(struct query *query)
{
    struct str directory = query->config->active_query_path;
    if (directory.len == 0)
        return NULL;
    return active_queries_open(directory, (size_t)query->config->max_concurrent,
                               component_log(query->component), &query->active);
}

static struct error *query_build(struct query *query)
{
    size_t count;
    struct error *err = query_check_tls(query);
    if (!err)
        err = query_build_discovery(query);
    if (!err)
        err = query_open_log(query);
    if (!err)
        err = query_build_stores(query);
    if (err)
        return err;
    query_build_engine(query);
    query_build_api(query);
    query_build_services(query);
    const struct http_route *routes = query_api_routes(query->api, &count);
    err = component_serve_http(query->component, routes, count);
    if (!err)
        err = endpoint_discovery_start(query->discovery, endpoint_set_refresh, query->endpoints);
    return err ? err : endpoint_set_start(query->endpoints);
}

static void query_free(struct query *query)
{
    store_service_free(query->store_service);
    query_service_free(query->query_service);
    peers_service_free(query->peers_service);
    info_service_free(query->info_service);
    query_api_free(query->api);
    engine_free(query->engine);
    active_queries_close(query->active);
    store_free(query->store);
    endpoint_set_free(query->endpoints);
    endpoint_discovery_free(query->discovery);
    relabel_free(query->relabel);
    arena_unref(query->arena);
}

/* -- running -- */

/* Ready, and open for other queriers, after the first round of checks, however it ended. */
static void query_get_ready(void *arg)
{
    struct query *query = arg;
    struct context *ctx = component_context(query->component);
    int64_t patience_ms = query->config->response_timeout_ms ? query->config->response_timeout_ms
                                                             : FIRST_CHECK_MAX_MS;
    struct context *first = context_create(ctx, patience_ms);
    error_free(endpoint_set_wait_checked(query->endpoints, first));
    context_unref(first);
    if (context_ended(ctx))
        return;
    struct error *err =
        component_serve_grpc(query->component, query->methods, countof(query->methods));
    if (err)
        component_end(query->component, err);
    else
        component_set_ready(query->component);
}

static int query_run(const struct query_config *config, const struct flags *flags,
                     const struct component_config *common)
{
    struct query query = {.config = config,
                          .flags = flags,
                          .component = component_create("query", common),
                          .arena = arena_create(NULL)};
    struct error *err = component_prepare(query.component);
    if (!err)
        err = query_build(&query);
    if (!err)
        err = component_spawn(query.component, "get-ready", query_get_ready, &query);
    int exit_code = component_run(query.component, err);
    if (query.discovery)
        endpoint_discovery_stop(query.discovery);
    if (query.endpoints)
        endpoint_set_stop(query.endpoints);
    query_free(&query);
    component_free(query.component);
    return exit_code;
}

/* What happens again and again must not happen all the time. */
static struct error *check_intervals(const struct query_config *config)
{
    const struct {
        const char *flag;
        int64_t ms;
    } intervals[] = {{"store.sd-dns-interval", config->dns_interval_ms},
                     {"endpoint.sd-config-reload-interval", config->sd_reload_ms},
                     {"store.sd-interval", config->sd_interval_ms},
                     {"endpoint.info-timeout", config->info_timeout_ms}};
    for (size_t i = 0; i < countof(intervals); i++)
        if (intervals[i].ms <= 0)
            return error_create(ERROR_INVALID, "--%s must be longer than 0", intervals[i].flag);
    return NULL;
}

int query_main(int argc, char **argv)
{
    struct common_flags common;
    struct query_config config;
    struct component_config component;
    const struct flag_group groups[] = {COMMON_FLAG_GROUPS(&common), {query_flags, &config}};
    struct flags *flags;
    int exit_code;
    if (!component_parse_flags("query", QUERY_SUMMARY, groups, countof(groups), argc, argv, &flags,
                               &exit_code))
        return exit_code;
    struct error *err = component_config_from_flags(&common, &component);
    if (!err && config.max_concurrent < 1)
        err = error_create(ERROR_INVALID, "--query.max-concurrent must be at least 1");
    if (!err)
        err = check_intervals(&config);
    component.queries_max = (size_t)config.max_concurrent;
    component.request_memory_max = (size_t)config.memory_max;
    component.tenant_header = config.tenant_header;
    component.default_tenant = config.default_tenant;
    exit_code = err ? component_refuse("query", err) : query_run(&config, flags, &component);
    flags_free(flags);
    return exit_code;
}
