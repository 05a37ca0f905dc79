/* /api/v1/rules, alerts, targets, metadata, query_exemplars and status/tsdb: questions to all
 * peers, whose answers are joined here. */
#include "peers/peers.h"

#include <limits.h>

#include "api/api_response.h"
#include "api/params.h"
#include "api/query_call.h"
#include "api/query_params.h"
#include "promql/parse.h"
#include "runtime/context.h"

enum { TSDB_LIMIT_DEFAULT = 10, VALUE_SHOWN_MAX = 1000 };

/* Begins the call and asks; the call must be ended. As in Thanos, whatever goes wrong is internal,
 * but for the client's own end and Titan's own limit. */
static struct error *ask(struct query_call *call, const struct query_api *api,
                         struct http_request *req, struct peers_question *question, bool partial,
                         const char *what, struct peers_answer *answer)
{
    const struct query_api_config *config = &api->config;
    *answer = (struct peers_answer){0};
    question->partial = partial ? PEERS_WARN : PEERS_ABORT;
    struct error *err = query_call_begin(call, api, req, false, 0);
    if (err)
        return err;
    if (config->peers)
        err = config->peers(config->peers_self, call->ctx, question, call->arena, answer);
    if (!err)
        err = arena_status(call->arena);
    if (err && !context_ended(call->ctx) && error_kind(err) != ERROR_LIMIT)
        err = error_as(err, ERROR_INTERNAL);
    return error_wrap(err, "%s", what);
}

/* A word of a list, in any case; absent: the first one. */
static struct error *param_word(const struct http_request *req, const char *topic, const char *name,
                                const char *const *words, int count, int *out)
{
    struct str text = param_get(req, name);
    *out = 0;
    if (text.len == 0)
        return NULL;
    for (int i = 0; i < count; i++)
        if (str_equal_nocase(text, str_from(words[i]))) {
            *out = i;
            return NULL;
        }
    struct str shown = str_slice(text, 0, VALUE_SHOWN_MAX);
    return error_create(ERROR_INVALID, "invalid %s parameter %s='%.*s'", topic, name,
                        STR_ARG(shown));
}

/* -- rules and alerts -- */

static void add_values(const struct http_request *req, const char *name, void *list)
{
    for (size_t i = 0; i < req->param_count; i++)
        if (str_equal(req->params[i].name, str_from(name)))
            *(struct str *)records_add_sized(list, req->arena, sizeof(struct str)) =
                req->params[i].value;
}

static struct error *parse_selectors(const struct rules_question *question, struct arena *arena,
                                     struct matcher **out, size_t *count)
{
    RECORDS(struct matcher) all = {0};
    for (size_t i = 0; i < question->selectors.count; i++) {
        struct matcher *matchers;
        size_t found;
        struct error *err =
            promql_parse_selector(question->selectors.items[i], NULL, arena, &matchers, &found);
        if (err)
            return error_wrap(error_as(err, ERROR_INTERNAL),
                              "error retrieving rules: parser ParseMetricSelector");
        for (size_t j = 0; j < found; j++)
            *records_add(&all, arena) = matchers[j];
    }
    *out = all.items;
    *count = all.count;
    return NULL;
}

/* The joined groups; the call must be ended. */
static struct error *ask_rules(struct query_call *call, const struct query_api *api,
                               struct http_request *req, struct peers_question *question,
                               struct rule_groups *out)
{
    const struct str_list replicas = api->config.replica_labels;
    struct peers_answer answer;
    struct matcher *matchers = NULL;
    size_t matcher_count = 0;
    struct error *err = ask(call, api, req, question, api->config.rule_partial_response,
                            "error retrieving rules: proxy Rules", &answer);
    if (!err)
        err = parse_selectors(&question->rules, call->arena, &matchers, &matcher_count);
    if (err)
        return err;
    *out = (struct rule_groups){answer.rules.items, answer.rules.count};
    rules_filter(out, matchers, matcher_count, &question->rules);
    rules_dedup(out, call->arena, replicas.items, replicas.count);
    return arena_status(call->arena);
}

struct error *handle_rules(void *self, struct http_request *req, struct http_response *res)
{
    static const char *const types[] = {"all", "alert", "record"};
    struct peers_question question = {.topic = PEERS_RULES};
    struct rule_groups groups;
    struct query_call call;
    struct error *err =
        param_word(req, "rules", "type", types, countof(types), &question.rules.type);
    if (err)
        return err;
    add_values(req, "match[]", &question.rules.selectors);
    add_values(req, "rule_name[]", &question.rules.rule_names);
    add_values(req, "rule_group[]", &question.rules.groups);
    add_values(req, "file[]", &question.rules.files);
    err = ask_rules(&call, self, req, &question, &groups);
    if (!err) {
        struct json_writer json = api_begin(res);
        json_begin_object(&json);
        json_put_key(&json, "groups");
        json_begin_array(&json);
        for (size_t i = 0; i < groups.count; i++)
            record_write_json(&json, &rule_group_type, &groups.items[i]);
        json_end_array(&json);
        json_end_object(&json);
        api_end(res, &json, call.ctx);
    }
    query_call_end(&call);
    return err;
}

static void write_alerts(struct json_writer *json, const struct rule_groups *groups)
{
    bool is_empty = true;
    for (size_t i = 0; i < groups->count; i++)
        for (size_t j = 0; j < groups->items[i].rules.count; j++) {
            const struct rule *rule = &groups->items[i].rules.items[j];
            for (size_t k = 0; k < rule->alerts.count; k++) {
                if (is_empty)
                    json_begin_array(json);
                is_empty = false;
                record_write_json(json, &alert_type, &rule->alerts.items[k]);
            }
        }
    if (is_empty)
        json_put_null(json);
    else
        json_end_array(json);
}

struct error *handle_alerts(void *self, struct http_request *req, struct http_response *res)
{
    struct peers_question question = {.topic = PEERS_RULES, .rules = {.type = RULES_ALERT}};
    struct rule_groups groups;
    struct query_call call;
    struct error *err = ask_rules(&call, self, req, &question, &groups);
    if (!err) {
        struct json_writer json = api_begin(res);
        json_begin_object(&json);
        json_put_key(&json, "alerts");
        write_alerts(&json, &groups);
        json_end_object(&json);
        api_end(res, &json, call.ctx);
    }
    query_call_end(&call);
    return err;
}

/* -- targets -- */

struct error *handle_targets(void *self, struct http_request *req, struct http_response *res)
{
    static const char *const states[] = {"any", "active", "dropped"};
    const struct query_api *api = self;
    const struct str_list replicas = api->config.replica_labels;
    struct peers_question question = {.topic = PEERS_TARGETS};
    struct peers_answer answer;
    struct query_call call;
    struct error *err =
        param_word(req, "targets", "state", states, countof(states), &question.targets.state);
    if (err)
        return err;
    err = ask(&call, api, req, &question, api->config.target_partial_response,
              "retrieving targets: proxy Targets", &answer);
    if (!err) {
        const struct targets targets = targets_join(answer.targets.items, answer.targets.count,
                                                    call.arena, replicas.items, replicas.count);
        struct json_writer json = api_begin(res);
        record_write_json(&json, &targets_type, &targets);
        api_end(res, &json, call.ctx);
        err = arena_status(call.arena);
    }
    query_call_end(&call);
    return err;
}

/* -- metadata -- */

static struct error *read_metadata_limit(const struct http_request *req, int64_t *out)
{
    struct str text = param_get(req, "limit");
    int64_t limit = 0;
    *out = -1;
    if (text.len == 0)
        return NULL;
    bool is_number = str_to_int64(text, &limit);
    if (is_number && limit >= INT32_MIN && limit <= INT32_MAX) {
        *out = limit;
        return NULL;
    }
    limit = limit > INT32_MAX ? INT32_MAX : limit < INT32_MIN ? INT32_MIN : 0;
    return error_create(ERROR_INVALID, "invalid metric metadata limit='%lld'", (long long)limit);
}

struct error *handle_metadata(void *self, struct http_request *req, struct http_response *res)
{
    const struct query_api *api = self;
    struct peers_question question = {.topic = PEERS_METADATA};
    struct peers_answer answer;
    struct query_call call;
    struct error *err = read_metadata_limit(req, &question.metadata.limit);
    if (err)
        return err;
    question.metadata.metric = param_get(req, "metric");
    err = ask(&call, api, req, &question, api->config.metadata_partial_response,
              "retrieving metadata: proxy MetricMetadata", &answer);
    if (!err) {
        const struct metric_metadata metadata = metric_metadata_join(
            answer.metadata.items, answer.metadata.count, question.metadata.limit, call.arena);
        struct json_writer json = api_begin(res);
        metric_metadata_write_json(&json, &metadata);
        api_end(res, &json, call.ctx);
        err = arena_status(call.arena);
    }
    query_call_end(&call);
    return err;
}

/* -- exemplars -- */

static void write_exemplars(struct json_writer *json, const struct series_exemplars_list *list)
{
    json_begin_array(json);
    for (size_t i = 0; i < list->count; i++)
        record_write_json(json, &series_exemplars_type, &list->items[i]);
    json_end_array(json);
}

struct error *handle_exemplars(void *self, struct http_request *req, struct http_response *res)
{
    const struct query_api *api = self;
    const struct str_list replicas = api->config.replica_labels;
    struct peers_question question = {
        .topic = PEERS_EXEMPLARS,
        .exemplars = {param_get(req, "query"), PARAM_TIME_MIN_MS, PARAM_TIME_MAX_MS},
    };
    struct peers_answer answer;
    struct query_call call;
    struct error *err = param_time(req, "start", &question.exemplars.start_ms);
    if (!err)
        err = param_time(req, "end", &question.exemplars.end_ms);
    if (err)
        return err;
    err = ask(&call, api, req, &question, api->config.exemplar_partial_response,
              "retrieving exemplars: proxy Exemplars", &answer);
    if (!err) {
        const struct series_exemplars_list list =
            exemplars_join(answer.exemplars.items, answer.exemplars.count, call.arena,
                           replicas.items, replicas.count);
        struct json_writer json = api_begin(res);
        write_exemplars(&json, &list);
        api_end(res, &json, call.ctx);
        err = arena_status(call.arena);
    }
    query_call_end(&call);
    return err;
}

/* -- statistics -- */

static struct error *read_tsdb_question(const struct http_request *req,
                                        struct tsdb_question *question)
{
    struct store_match *matches;
    size_t count, limit = 0;
    struct error *err = param_limit(req, &limit);
    if (!err)
        err = param_selectors(req, "match[]", NULL, &matches, &count);
    if (!err && limit > INT32_MAX)
        err = error_create(ERROR_INVALID, "limit %zu overflows int32", limit);
    if (err)
        return err;
    question->limit = limit ? (int64_t)limit : TSDB_LIMIT_DEFAULT;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < matches[i].matcher_count; j++) {
            const struct matcher *matcher = &matches[i].matchers[j];
            *records_add(&question->matchers, req->arena) =
                (struct tsdb_matcher){(int)matcher->op, matcher->name, matcher->value};
        }
    return NULL;
}

/* Of all databases and all tenants, or of the one that is asked for. */
static struct error *add_statistics(const struct peers_answer *answer,
                                    const struct tsdb_question *question, struct arena *arena,
                                    struct tsdb_stats *all)
{
    size_t found = 0;
    *all = (struct tsdb_stats){0};
    for (size_t i = 0; i < answer->tsdb.count; i++)
        for (size_t j = 0; j < answer->tsdb.items[i].tenants.count; j++) {
            const struct tsdb_tenant *tenant = &answer->tsdb.items[i].tenants.items[j];
            if (question->tenant.len && !str_equal(tenant->tenant, question->tenant))
                continue;
            tsdb_stats_add(all, &tenant->stats, arena);
            found++;
        }
    if (question->tenant.len && found == 0)
        return error_create(ERROR_INTERNAL, "retrieving tsdb statistics: %.*s tenant not found",
                            STR_ARG(question->tenant));
    for (int i = 0; i < TSDB_LISTS; i++)
        all->lists[i].list.count = size_min(all->lists[i].list.count, (size_t)question->limit);
    return NULL;
}

struct error *handle_tsdb_status(void *self, struct http_request *req, struct http_response *res)
{
    const struct query_api *api = self;
    struct peers_question question = {.topic = PEERS_TSDB_STATUS};
    struct peers_answer answer;
    struct query_call call;
    struct error *err = read_tsdb_question(req, &question.tsdb);
    if (!err && api->config.enforce_tenancy)
        err = query_params_tenant(&api->config, req, &question.tsdb.tenant);
    if (err)
        return err;
    err = ask(&call, api, req, &question, api->config.status_partial_response,
              "retrieving tsdb statistics: proxy TSDBStatistics", &answer);
    struct tsdb_stats stats;
    if (!err)
        err = add_statistics(&answer, &question.tsdb, call.arena, &stats);
    if (!err) {
        struct json_writer json = api_begin(res);
        record_write_json(&json, &tsdb_stats_type, &stats);
        api_end(res, &json, call.ctx);
        err = arena_status(call.arena);
    }
    query_call_end(&call);
    return err;
}
