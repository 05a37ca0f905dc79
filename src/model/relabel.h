/* model/relabel.h: Prometheus's relabelling: rules that drop label sets or change them, one after
 * another. Immutable once made: safe from any thread. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "model/labels.h"

struct log;
struct relabel_rules;
struct yaml_node;

enum relabel_action {
    RELABEL_REPLACE,
    RELABEL_KEEP,
    RELABEL_DROP,
    RELABEL_KEEP_EQUAL,
    RELABEL_DROP_EQUAL,
    RELABEL_HASH_MOD,
    RELABEL_LABEL_MAP,
    RELABEL_LABEL_DROP,
    RELABEL_LABEL_KEEP,
    RELABEL_LOWERCASE,
    RELABEL_UPPERCASE,
};
#define RELABEL_BIT(action) (1u << (action))
enum {
    RELABEL_ALL = ~0u >> 1,
    /* What Thanos allows where stores and blocks are chosen by their external labels. */
    RELABEL_SELECTOR =
        RELABEL_BIT(RELABEL_KEEP) | RELABEL_BIT(RELABEL_DROP) | RELABEL_BIT(RELABEL_HASH_MOD),
};

/* A YAML list of rules; an empty text is none. allowed: RELABEL_BIT()s of the actions that may
 * occur. ERROR_INVALID in Prometheus's words for what is wrong; unknown keys are said in the log
 * (NULL is fine) and passed over, as Thanos does. */
MUST_CHECK struct error *relabel_parse(struct str yaml, unsigned allowed, struct log *log,
                                       struct relabel_rules **out);
/* The same for a list within another document. */
MUST_CHECK struct error *relabel_from_yaml(const struct yaml_node *list, unsigned allowed,
                                           struct log *log, struct relabel_rules **out);
void relabel_free(struct relabel_rules *rules); /* NULL is fine */
size_t relabel_count(const struct relabel_rules *rules);

/* False: dropped. Strings that are set live in the builder's arena. NULL rules keep all. */
bool relabel_apply(const struct relabel_rules *rules, struct labels_builder *builder);
/* The same for a label set; *out lives in the arena. */
bool relabel_labels(const struct relabel_rules *rules, struct arena *arena, struct labels labels,
                    struct labels *out);
