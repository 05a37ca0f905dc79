/* peers/peers.h: what components tell each other besides series: rules, targets, metadata of
 * metrics, exemplars, statistics of databases. One question, and the answers of all peers. */
#pragma once

#include "peers/exemplars.h"
#include "peers/metric_metadata.h"
#include "peers/record.h"
#include "peers/rules.h"
#include "peers/targets.h"
#include "peers/tsdb_status.h"

struct context;

enum peers_topic {
    PEERS_RULES,
    PEERS_TARGETS,
    PEERS_METADATA,
    PEERS_EXEMPLARS,
    PEERS_TSDB_STATUS,
    PEERS_TOPICS,
};

/* What a peer that fails comes to: a warning beside the others' answers, or the failure of all. */
enum peers_partial { PEERS_WARN, PEERS_ABORT }; /* numbers of the wire */
extern const struct enum_names peers_partial_names;

struct peers_question {
    enum peers_topic topic;
    int partial; /* enum peers_partial */
    union {      /* by topic */
        struct rules_question rules;
        struct targets_question targets;
        struct metadata_question metadata;
        struct exemplars_question exemplars;
        struct tsdb_question tsdb;
    };
};

struct peers_answer { /* by topic; starts as {0}; as it came: not joined */
    union {
        RECORDS(struct rule_group) rules;
        RECORDS(struct targets) targets;
        RECORDS(struct metric_metadata) metadata;
        RECORDS(struct series_exemplars) exemplars;
        RECORDS(struct tsdb_status) tsdb;
    };
};

struct peers_topic_info {
    const char *name;                   /* "rules": as errors name it */
    const char *path;                   /* of the gRPC method */
    const struct record_type *question; /* of struct peers_question */
    const struct record_type *answer;   /* of one item of the answer */
};
extern const struct peers_topic_info peers_topics[PEERS_TOPICS];

/* Who answers: a Prometheus, or all peers of a querier. Blocks; appends to the answer what comes,
 * in the arena; warnings go to the context. The question's texts must outlive the call only. */
typedef struct error *(*peers_answer_fn)(void *self, struct context *ctx,
                                         const struct peers_question *question, struct arena *arena,
                                         struct peers_answer *out);

/* A question under way to one peer. */
struct peers_call;
struct peers_call_ops {
    /* Waits for all of the answer and appends it, also what came before an error. */
    struct error *(*finish)(struct peers_call *call, struct arena *arena, struct peers_answer *out);
    void (*free)(struct peers_call *call); /* also before the end */
};
struct peers_call {
    const struct peers_call_ops *ops;
};

/* Finishes and frees all calls, which run already, and joins their answers. A failure of one is a
 * warning of the context or, with PEERS_ABORT or when the context has ended, the error. */
MUST_CHECK struct error *peers_join(struct context *ctx, const struct peers_question *question,
                                    struct peers_call **calls, size_t count, struct arena *arena,
                                    struct peers_answer *out);
