/* peers/rules.h: recording and alerting rules: what is asked, what is told, how the answers of
 * several peers become one. */
#pragma once

#include "model/matcher.h"
#include "peers/record.h"

enum rules_type { RULES_ALL, RULES_ALERT, RULES_RECORD };
enum alert_state { ALERT_UNKNOWN, ALERT_INACTIVE, ALERT_PENDING, ALERT_FIRING };

struct rules_question {
    int type;                                                 /* enum rules_type */
    RECORDS(struct str) selectors, rule_names, groups, files; /* empty: all of them */
};

struct alert { /* one that is pending or firing */
    struct labels labels, annotations;
    int state; /* enum alert_state */
    struct instant active_at;
    struct str value;
    int partial; /* enum peers_partial */
};

enum rule_kind { RULE_RECORDING, RULE_ALERTING };

struct rule {
    int kind; /* enum rule_kind */
    struct str name, query, health, last_error;
    struct labels labels;
    double evaluation_seconds;
    struct instant last_evaluation;
    /* Of alerting rules. */
    int state;
    double for_seconds, keep_firing_seconds;
    struct labels annotations;
    RECORDS(struct alert) alerts;
};

struct rule_group {
    struct str name, file;
    RECORDS(struct rule) rules;
    double interval_seconds, evaluation_seconds;
    struct instant last_evaluation;
    int64_t limit;
    int partial; /* enum peers_partial */
};

extern const struct record_type rule_group_type, alert_type;

struct rule_groups {
    struct rule_group *items;
    size_t count;
};

/* Keeps the rules whose labels satisfy all matchers (a label that is a template counts as absent),
 * and those of the names, groups and files asked for, and drops groups that have none left when
 * anything was asked for. In place. */
void rules_filter(struct rule_groups *groups, const struct matcher *matchers, size_t matcher_count,
                  const struct rules_question *question);

/* Joins groups of the same file and name, takes the replica labels (sorted, unique) out of the
 * rules, sorts them, and keeps of equal ones (kind, name, labels, query, duration) the one in the
 * worst state, then the one evaluated last. In place; new label sets are in the arena. */
void rules_dedup(struct rule_groups *groups, struct arena *arena, const struct str *replica_labels,
                 size_t replica_label_count);
