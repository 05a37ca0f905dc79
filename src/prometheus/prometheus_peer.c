#include "prometheus/prometheus_peer.h"

#include <inttypes.h>
#include <stdio.h>

#include "codec/url.h"
#include "prometheus/client.h"
#include "runtime/context.h"
#include "store/store_external_labels.h"

static void answer_free(void *answer)
{
    prometheus_answer_deinit(answer);
}

/* Asks and begins to read; texts stay in the body, which the arena owns. */
static struct error *ask(const struct prometheus_peer *peer, struct context *ctx, const char *path,
                         struct buf *params, struct arena *arena, struct json_reader *out)
{
    struct prometheus_answer *answer = arena_zalloc(arena, sizeof(*answer));
    struct error *err = buf_status(params);
    if (!err) {
        err = prometheus_ask(peer->client, ctx, str_from(path), buf_str(params), answer);
        arena_on_free(arena, answer_free, answer);
    }
    *out = json_read(answer->data.len ? answer->data : STR("null"), arena);
    buf_deinit(params);
    return err;
}

/* What Prometheus says wrong is not the asker's fault. */
static struct error *finish(struct json_reader *reader, const char *what)
{
    struct error *err = json_finish(reader, what);
    return error_kind(err) == ERROR_INVALID ? error_as(err, ERROR_INTERNAL) : err;
}

static void put_int(struct buf *params, const char *name, int64_t value)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%" PRId64, value);
    url_append_param(params, str_from(name), (struct str){text, (size_t)len});
}

/* -- rules -- */

static struct error *answer_rules(const struct prometheus_peer *peer, struct context *ctx,
                                  const struct rules_question *question, struct arena *arena,
                                  struct peers_answer *out)
{
    struct buf params = {0};
    struct json_reader reader;
    struct str key;
    if (question->type != RULES_ALL)
        url_append_param(&params, STR("type"),
                         question->type == RULES_ALERT ? STR("alert") : STR("record"));
    struct error *err = ask(peer, ctx, "/api/v1/rules", &params, arena, &reader);
    if (err)
        return err;
    struct labels external = store_external_labels_get(peer->external_labels, arena);
    if (json_object(&reader))
        while (json_key(&reader, &key)) {
            if (!str_equal(key, STR("groups")) || !json_array(&reader)) {
                json_skip(&reader);
                continue;
            }
            while (json_item(&reader)) {
                struct rule_group *group = records_add(&out->rules, arena);
                record_read_json(&reader, &rule_group_type, group);
                group->partial = PEERS_ABORT; /* as rules that Prometheus evaluates itself */
                for (size_t i = 0; i < group->rules.count; i++) {
                    struct rule *rule = &group->rules.items[i];
                    rule->labels = labels_merge(arena, rule->labels, external);
                }
            }
        }
    return finish(&reader, "rules of Prometheus");
}

/* -- targets -- */

static struct error *answer_targets(const struct prometheus_peer *peer, struct context *ctx,
                                    const struct targets_question *question, struct arena *arena,
                                    struct peers_answer *out)
{
    struct buf params = {0};
    struct json_reader reader;
    if (question->state != TARGETS_ANY)
        url_append_param(&params, STR("state"),
                         question->state == TARGETS_ACTIVE ? STR("active") : STR("dropped"));
    struct error *err = ask(peer, ctx, "/api/v1/targets", &params, arena, &reader);
    if (err)
        return err;
    struct labels external = store_external_labels_get(peer->external_labels, arena);
    struct targets *targets = records_add(&out->targets, arena);
    record_read_json(&reader, &targets_type, targets);
    for (size_t i = 0; i < targets->active.count; i++) {
        struct active_target *target = &targets->active.items[i];
        target->labels = labels_merge(arena, target->labels, external);
        target->discovered_labels = labels_merge(arena, target->discovered_labels, external);
    }
    for (size_t i = 0; i < targets->dropped.count; i++) {
        struct dropped_target *target = &targets->dropped.items[i];
        target->discovered_labels = labels_merge(arena, target->discovered_labels, external);
    }
    return finish(&reader, "targets of Prometheus");
}

/* -- metadata -- */

static struct error *answer_metadata(const struct prometheus_peer *peer, struct context *ctx,
                                     const struct metadata_question *question, struct arena *arena,
                                     struct peers_answer *out)
{
    struct buf params = {0};
    struct json_reader reader;
    if (question->metric.len)
        url_append_param(&params, STR("metric"), question->metric);
    if (question->limit >= 0)
        put_int(&params, "limit", question->limit);
    struct error *err = ask(peer, ctx, "/api/v1/metadata", &params, arena, &reader);
    if (err)
        return err;
    metric_metadata_read_json(&reader, records_add(&out->metadata, arena));
    return finish(&reader, "metadata of Prometheus");
}

/* -- exemplars -- */

static struct error *answer_exemplars(const struct prometheus_peer *peer, struct context *ctx,
                                      const struct exemplars_question *question,
                                      struct arena *arena, struct peers_answer *out)
{
    struct buf params = {0};
    struct json_reader reader;
    url_append_param(&params, STR("query"), question->query);
    prometheus_params(&params, NULL, 0, question->start_ms, question->end_ms, 0);
    struct error *err = ask(peer, ctx, "/api/v1/query_exemplars", &params, arena, &reader);
    if (err)
        return err;
    struct labels external = store_external_labels_get(peer->external_labels, arena);
    if (json_array(&reader))
        while (json_item(&reader)) {
            struct series_exemplars *series = records_add(&out->exemplars, arena);
            record_read_json(&reader, &series_exemplars_type, series);
            series->labels = labels_merge(arena, series->labels, external);
        }
    return finish(&reader, "exemplars of Prometheus");
}

/* -- statistics -- */

static struct error *matches_external(const struct tsdb_question *question, struct labels external,
                                      struct arena *arena, bool *out)
{
    *out = true;
    for (size_t i = 0; i < question->matchers.count; i++) {
        const struct tsdb_matcher *asked = &question->matchers.items[i];
        struct matcher matcher;
        if (asked->op < MATCH_EQUAL || asked->op > MATCH_NOT_REGEX)
            return error_create(ERROR_INVALID, "unknown label matcher type %d", asked->op);
        struct error *err =
            matcher_create(arena, (enum match_op)asked->op, asked->name, asked->value, &matcher);
        if (err)
            return err;
        *out = *out && matchers_match(&matcher, 1, external);
    }
    return NULL;
}

static struct error *answer_tsdb(const struct prometheus_peer *peer, struct context *ctx,
                                 const struct tsdb_question *question, struct arena *arena,
                                 struct peers_answer *out)
{
    struct buf params = {0};
    struct json_reader reader;
    bool is_asked;
    if (peer->is_ready && !peer->is_ready(peer->self))
        return error_create(ERROR_UNAVAILABLE, "not ready");
    struct tsdb_status *status = records_add(&out->tsdb, arena);
    struct labels external = store_external_labels_get(peer->external_labels, arena);
    struct error *err = matches_external(question, external, arena, &is_asked);
    if (err || !is_asked || question->tenant.len) /* it has no tenants */
        return err;
    if (question->limit > 0)
        put_int(&params, "limit", question->limit);
    err = ask(peer, ctx, "/api/v1/status/tsdb", &params, arena, &reader);
    if (err)
        return error_wrap(err, "failed to get tsdb status from prometheus");
    record_read_json(&reader, &tsdb_stats_type, &records_add(&status->tenants, arena)->stats);
    return finish(&reader, "tsdb status of Prometheus");
}

struct error *prometheus_peer_answer(void *self, struct context *ctx,
                                     const struct peers_question *question, struct arena *arena,
                                     struct peers_answer *out)
{
    const struct prometheus_peer *peer = self;
    switch (question->topic) {
    case PEERS_RULES:
        return answer_rules(peer, ctx, &question->rules, arena, out);
    case PEERS_TARGETS:
        return answer_targets(peer, ctx, &question->targets, arena, out);
    case PEERS_METADATA:
        return answer_metadata(peer, ctx, &question->metadata, arena, out);
    case PEERS_EXEMPLARS:
        return answer_exemplars(peer, ctx, &question->exemplars, arena, out);
    case PEERS_TSDB_STATUS:
        return answer_tsdb(peer, ctx, &question->tsdb, arena, out);
    case PEERS_TOPICS:
        break;
    }
    return error_create(ERROR_INTERNAL, "a question without a topic");
}
