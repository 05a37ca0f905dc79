/* promql/remote.h: engines elsewhere that evaluate parts of a query (distributed mode). Each has
 * all the series of its label sets. Given to the engine at composition. */
#pragma once

#include "promql/engine.h"

struct remote_engine {
    void *self; /* the implementation's */
    struct str address;
    const struct labels *label_sets; /* of its data */
    size_t label_set_count;
};

struct remote_engines { /* those there are at one moment; they live as long as the arena */
    struct remote_engine *items;
    size_t count;
};

struct remote_question {
    struct str text;
    const struct engine_query *query; /* all but its text holds */
    int64_t lookback_ms;
    int64_t timeout_ms; /* 0: none */
};

struct remote_rows {
    struct result_series *items;
    size_t count;           /* 0: the end */
    uint64_t samples_total; /* that the engine has looked at, where it says so */
};

struct remote_call;

struct remote_ops { /* thread-safe, each call by one thread */
    /* False when there is data that none of them has: then all is evaluated here. */
    bool (*list)(void *self, struct arena *arena, struct remote_engines *out);
    /* Only starts; the question's texts need not outlive it. */
    struct remote_call *(*start)(void *self, const struct remote_engine *engine,
                                 struct context *ctx, const struct remote_question *question);
    /* The next rows, in the arena, as they come; waits. Warnings go to the context. */
    struct error *(*next)(struct remote_call *call, struct arena *arena, struct remote_rows *out);
    void (*free)(struct remote_call *call); /* also before the end */
};

struct remote {
    const struct remote_ops *ops;
    void *self;
    struct str_list partition_labels; /* sorted; none: all labels of the engines partition them */
};
