#include "peers/peers.h"

#include "runtime/context.h"

static const char *const partials[] = {"WARN", "ABORT"};
const struct enum_names peers_partial_names = {partials, countof(partials)};

/* -- questions -- */

#define QUESTION(member) offsetof(struct peers_question, member)

static const struct field rules_fields[] = {
    {1, NULL, FIELD_ENUM, QUESTION(rules.type)},
    {2, NULL, FIELD_ENUM, QUESTION(partial)},
    {3, NULL, FIELD_STRS, QUESTION(rules.selectors)},
    {4, NULL, FIELD_STRS, QUESTION(rules.rule_names)},
    {5, NULL, FIELD_STRS, QUESTION(rules.groups)},
    {6, NULL, FIELD_STRS, QUESTION(rules.files)},
};
static const struct field targets_fields[] = {
    {1, NULL, FIELD_ENUM, QUESTION(targets.state)},
    {2, NULL, FIELD_ENUM, QUESTION(partial)},
};
static const struct field metadata_fields[] = {
    {1, NULL, FIELD_STR, QUESTION(metadata.metric)},
    {2, NULL, FIELD_INT, QUESTION(metadata.limit)},
    {3, NULL, FIELD_ENUM, QUESTION(partial)},
};
static const struct field exemplars_fields[] = {
    {1, NULL, FIELD_STR, QUESTION(exemplars.query)},
    {2, NULL, FIELD_INT, QUESTION(exemplars.start_ms)},
    {3, NULL, FIELD_INT, QUESTION(exemplars.end_ms)},
    {4, NULL, FIELD_ENUM, QUESTION(partial)},
};
static const struct field matcher_fields[] = {
    {1, NULL, FIELD_ENUM, offsetof(struct tsdb_matcher, op)},
    {2, NULL, FIELD_STR, offsetof(struct tsdb_matcher, name)},
    {3, NULL, FIELD_STR, offsetof(struct tsdb_matcher, value)},
};
static const struct record_type matcher_type = RECORD_TYPE(struct tsdb_matcher, matcher_fields);
static const struct field tsdb_fields[] = {
    {1, NULL, FIELD_STR, QUESTION(tsdb.tenant)},
    {2, NULL, FIELD_INT, QUESTION(tsdb.limit)},
    {3, NULL, FIELD_ENUM, QUESTION(partial)},
    {4, NULL, FIELD_RECORDS, QUESTION(tsdb.matchers), .of = &matcher_type},
};

static const struct record_type question_types[] = {
    [PEERS_RULES] = RECORD_TYPE(struct peers_question, rules_fields),
    [PEERS_TARGETS] = RECORD_TYPE(struct peers_question, targets_fields),
    [PEERS_METADATA] = RECORD_TYPE(struct peers_question, metadata_fields),
    [PEERS_EXEMPLARS] = RECORD_TYPE(struct peers_question, exemplars_fields),
    [PEERS_TSDB_STATUS] = RECORD_TYPE(struct peers_question, tsdb_fields),
};

const struct peers_topic_info peers_topics[PEERS_TOPICS] = {
    [PEERS_RULES] = {"rules", "/thanos.Rules/Rules", &question_types[PEERS_RULES],
                     &rule_group_type},
    [PEERS_TARGETS] = {"targets", "/thanos.Targets/Targets", &question_types[PEERS_TARGETS],
                       &targets_type},
    [PEERS_METADATA] = {"metadata", "/thanos.Metadata/MetricMetadata",
                        &question_types[PEERS_METADATA], &metric_metadata_type},
    [PEERS_EXEMPLARS] = {"exemplars", "/thanos.Exemplars/Exemplars",
                         &question_types[PEERS_EXEMPLARS], &series_exemplars_type},
    [PEERS_TSDB_STATUS] = {"tsdb statistics", "/thanos.Status/TSDBStatistics",
                           &question_types[PEERS_TSDB_STATUS], &tsdb_status_type},
};

/* -- asking all -- */

struct error *peers_join(struct context *ctx, const struct peers_question *question,
                         struct peers_call **calls, size_t count, struct arena *arena,
                         struct peers_answer *out)
{
    struct error *failure = NULL;
    for (size_t i = 0; i < count; i++) {
        struct error *err = NULL;
        if (!failure)
            err = calls[i]->ops->finish(calls[i], arena, out);
        calls[i]->ops->free(calls[i]);
        if (err && (question->partial == PEERS_ABORT || context_ended(ctx) ||
                    error_kind(err) == ERROR_LIMIT)) {
            failure = err;
        } else if (err) {
            context_warn(ctx, error_text(err));
            error_free(err);
        }
    }
    return failure;
}
