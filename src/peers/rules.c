#include "peers/rules.h"

#include <stdlib.h>

#include "peers/peers.h"

/* -- their form -- */

static const char *const alert_states[] = {"unknown", "inactive", "pending", "firing"};
static const struct enum_names alert_state_names = {alert_states, countof(alert_states)};
static const char *const rule_kinds[] = {"recording", "alerting"};
static const struct enum_names rule_kind_names = {rule_kinds, countof(rule_kinds)};

#define ALERT(member) offsetof(struct alert, member)
static const struct field alert_fields[] = {
    {1, "labels", FIELD_LABELS, ALERT(labels)},
    {2, "annotations", FIELD_LABELS, ALERT(annotations)},
    {3, "state", FIELD_ENUM, ALERT(state), .of = &alert_state_names},
    {4, "activeAt", FIELD_TIME, ALERT(active_at), .is_optional = true},
    {5, "value", FIELD_STR, ALERT(value)},
    {6, "partialResponseStrategy", FIELD_ENUM, ALERT(partial), .of = &peers_partial_names},
};
const struct record_type alert_type = RECORD_TYPE(struct alert, alert_fields);

#define RULE(member) offsetof(struct rule, member)
static const struct field recording_fields[] = {
    {1, "name", FIELD_STR, RULE(name)},
    {2, "query", FIELD_STR, RULE(query)},
    {3, "labels", FIELD_LABELS, RULE(labels)},
    {4, "health", FIELD_STR, RULE(health)},
    {5, "lastError", FIELD_STR, RULE(last_error), .is_optional = true},
    {6, "evaluationTime", FIELD_DOUBLE, RULE(evaluation_seconds)},
    {7, "lastEvaluation", FIELD_TIME, RULE(last_evaluation)},
    {0, "type", FIELD_ENUM, RULE(kind), .of = &rule_kind_names},
};
static const struct record_type recording_type = RECORD_TYPE(struct rule, recording_fields);

static const struct field alerting_fields[] = {
    {1, "state", FIELD_ENUM, RULE(state), .of = &alert_state_names},
    {2, "name", FIELD_STR, RULE(name)},
    {3, "query", FIELD_STR, RULE(query)},
    {4, "duration", FIELD_DOUBLE, RULE(for_seconds)},
    {5, "labels", FIELD_LABELS, RULE(labels)},
    {6, "annotations", FIELD_LABELS, RULE(annotations)},
    {7, "alerts", FIELD_RECORDS, RULE(alerts), .of = &alert_type},
    {8, "health", FIELD_STR, RULE(health)},
    {9, "lastError", FIELD_STR, RULE(last_error), .is_optional = true},
    {10, "evaluationTime", FIELD_DOUBLE, RULE(evaluation_seconds)},
    {11, "lastEvaluation", FIELD_TIME, RULE(last_evaluation)},
    {12, "keepFiringFor", FIELD_DOUBLE, RULE(keep_firing_seconds)},
    {0, "type", FIELD_ENUM, RULE(kind), .of = &rule_kind_names},
};
static const struct record_type alerting_type = RECORD_TYPE(struct rule, alerting_fields);

static const struct field rule_fields[] = {
    {1, NULL, FIELD_VARIANT, RULE(kind), .of = &recording_type, .value = RULE_RECORDING},
    {2, NULL, FIELD_VARIANT, RULE(kind), .of = &alerting_type, .value = RULE_ALERTING},
};
static const struct record_type rule_type = RECORD_TYPE(struct rule, rule_fields);

#define GROUP(member) offsetof(struct rule_group, member)
static const struct field group_fields[] = {
    {1, "name", FIELD_STR, GROUP(name)},
    {2, "file", FIELD_STR, GROUP(file)},
    {3, "rules", FIELD_RECORDS, GROUP(rules), .of = &rule_type},
    {4, "interval", FIELD_DOUBLE, GROUP(interval_seconds)},
    {5, "evaluationTime", FIELD_DOUBLE, GROUP(evaluation_seconds)},
    {6, "lastEvaluation", FIELD_TIME, GROUP(last_evaluation)},
    {9, "limit", FIELD_INT, GROUP(limit)},
    {8, "partialResponseStrategy", FIELD_ENUM, GROUP(partial), .of = &peers_partial_names},
};
const struct record_type rule_group_type = RECORD_TYPE(struct rule_group, group_fields);

/* -- choosing -- */

static bool list_allows(const struct str *items, size_t count, struct str text)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(items[i], text))
            return true;
    return count == 0;
}

static bool rule_matches(const struct rule *rule, const struct matcher *matchers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct str value = labels_get(rule->labels, matchers[i].name);
        if (str_contains(value, STR("{{")))
            value = STR("");
        if (!matcher_matches(&matchers[i], value))
            return false;
    }
    return true;
}

void rules_filter(struct rule_groups *groups, const struct matcher *matchers, size_t matcher_count,
                  const struct rules_question *question)
{
    size_t kept = 0;
    if (!matcher_count && !question->rule_names.count && !question->groups.count &&
        !question->files.count)
        return;
    for (size_t i = 0; i < groups->count; i++) {
        struct rule_group *group = &groups->items[i];
        size_t rules = 0;
        if (!list_allows(question->groups.items, question->groups.count, group->name) ||
            !list_allows(question->files.items, question->files.count, group->file))
            continue;
        for (size_t j = 0; j < group->rules.count; j++) {
            const struct rule *rule = &group->rules.items[j];
            if (list_allows(question->rule_names.items, question->rule_names.count, rule->name) &&
                rule_matches(rule, matchers, matcher_count))
                group->rules.items[rules++] = *rule;
        }
        group->rules.count = rules;
        if (rules)
            groups->items[kept++] = *group;
    }
    groups->count = kept;
}

/* -- joining -- */

static int compare_doubles(double a, double b)
{
    return a < b ? -1 : a > b;
}

/* Zero: the same rule. */
static int compare_rules(const struct rule *a, const struct rule *b)
{
    int order = b->kind - a->kind;
    if (!order)
        order = str_compare(a->name, b->name);
    if (!order)
        order = labels_compare(a->labels, b->labels);
    if (!order)
        order = str_compare(a->query, b->query);
    return order ? order : compare_doubles(a->for_seconds, b->for_seconds);
}

/* Of two that are the same, the one to keep comes first. */
static int compare_rules_by_worth(const void *left, const void *right)
{
    const struct rule *a = left, *b = right;
    int order = compare_rules(a, b);
    if (!order && a->state != b->state)
        order = a->state > b->state ? -1 : 1;
    return order ? order : instant_compare(b->last_evaluation, a->last_evaluation);
}

static void dedup_rules_of(struct rule_group *group)
{
    struct rule *rules = group->rules.items;
    size_t kept = 0;
    if (group->rules.count)
        qsort(rules, group->rules.count, sizeof(*rules), compare_rules_by_worth);
    for (size_t i = 0; i < group->rules.count; i++)
        if (kept == 0 || compare_rules(&rules[kept - 1], &rules[i]) != 0)
            rules[kept++] = rules[i];
    group->rules.count = kept;
}

static int compare_groups(const void *left, const void *right)
{
    const struct rule_group *a = *(struct rule_group *const *)left;
    const struct rule_group *b = *(struct rule_group *const *)right;
    int order = str_compare(a->file, b->file);
    if (!order)
        order = str_compare(a->name, b->name);
    return order ? order : (a > b) - (a < b); /* the first peer's first */
}

static bool is_same_group(const struct rule_group *a, const struct rule_group *b)
{
    return str_equal(a->file, b->file) && str_equal(a->name, b->name);
}

/* Those of one file and name become the first of them, with the rules of all. */
static void join_groups(struct rule_groups *groups, struct arena *arena)
{
    struct rule_group **sorted = arena_array(arena, groups->count, sizeof(struct rule_group *));
    struct rule_group *joined = arena_array(arena, groups->count, sizeof(*joined));
    size_t count = 0;
    for (size_t i = 0; i < groups->count; i++)
        sorted[i] = &groups->items[i];
    if (groups->count)
        qsort(sorted, groups->count, sizeof(struct rule_group *), compare_groups);
    for (size_t i = 0; i < groups->count; i++) {
        if (count == 0 || !is_same_group(&joined[count - 1], sorted[i])) {
            joined[count++] = *sorted[i];
            continue;
        }
        for (size_t j = 0; j < sorted[i]->rules.count; j++)
            *records_add(&joined[count - 1].rules, arena) = sorted[i]->rules.items[j];
    }
    *groups = (struct rule_groups){joined, count};
}

void rules_dedup(struct rule_groups *groups, struct arena *arena, const struct str *replica_labels,
                 size_t replica_label_count)
{
    join_groups(groups, arena);
    for (size_t i = 0; i < groups->count; i++) {
        struct rule_group *group = &groups->items[i];
        for (size_t j = 0; j < group->rules.count; j++) {
            struct rule *rule = &group->rules.items[j];
            rule->labels = labels_without(arena, rule->labels, replica_labels, replica_label_count);
        }
        dedup_rules_of(group);
    }
}
