/* store/store.h: everything that holds series. Components are compositions of stores
 * (architecture.md). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "store/series_set.h"
#include "store/str_list.h"

struct context;
struct store;

enum partial_response { PARTIAL_WARN, PARTIAL_ABORT }; /* numbers of the wire */

struct shard { /* total 0: not sharded */
    uint64_t index, total;
    bool by; /* hash the labels in the list, or all but them */
    struct str_list labels;
};

struct select_hints { /* may be ignored */
    struct str func;  /* innermost function or aggregation around the selector */
    int64_t range_ms; /* of a range selector, else 0 */
    int64_t step_ms;
    bool grouping_by;
    struct str_list grouping;
    size_t batch_size; /* series per frame asked of a remote store, 0: its default */
    struct bytes wire; /* opaque hints of a gRPC caller, passed on */
};

struct store_match { /* one storeMatch[] selector: a store passes when its address satisfies all
                        matchers named __address__; others are ignored */
    const struct matcher *matchers;
    size_t matcher_count;
};

struct store_query {            /* what is wanted; all of it binds except `hints` */
    int64_t min_time, max_time; /* inclusive, milliseconds */
    const struct matcher *matchers;
    size_t matcher_count;
    struct str_list
        without_labels;        /* replica labels, sorted: dropped by the store before it sorts */
    int64_t max_resolution_ms; /* coarsest data allowed */
    unsigned aggrs;            /* AGGR_BIT()s: which aggregates of downsampled chunks */
    size_t limit;              /* series, 0: none; each store applies it, and the merge once more */
    bool skip_chunks;
    struct shard shard;
    enum partial_response partial;
    /* For a proxy: only stores that pass at least one of them. None: all stores. */
    const struct store_match *store_matches;
    size_t store_match_count;
    struct select_hints hints;
};

struct store_range { /* one label set and the time it has data for */
    struct labels labels;
    int64_t min_time, max_time; /* inclusive */
};

struct store_info {      /* filled by describe(); lives in `arena` */
    struct arena *arena; /* the caller's */
    int64_t min_time, max_time;
    struct store_range *ranges; /* external label sets; none: matches everything */
    size_t range_count;
    bool drops_labels;  /* honours without_labels itself */
    bool shards;        /* honours shard itself */
    bool is_remote;     /* select() only starts a call */
    struct str address; /* of a remote store, for texts and __address__; else empty */
    struct str type;    /* "sidecar", "store", ...; empty when not known */
};

/* Every call is thread-safe. What lives long after a call (sets) holds its own reference on what it
 * needs of the store; store_free() may only be called when all sets have been freed. matchers and
 * query live until the call returns. */
struct store_ops {
    void (*describe)(struct store *store, struct store_info *out); /* cheap, answered from memory */
    struct error *(*select)(struct store *store, struct context *ctx,
                            const struct store_query *query, struct series_set **out);
    /* Results live in the arena; sorted, unique, at most query->limit. `label_values` ignores
     * nothing of the query but chunks, aggregates and resolution. */
    struct error *(*label_names)(struct store *store, struct context *ctx,
                                 const struct store_query *query, struct arena *arena,
                                 struct str_list *out);
    struct error *(*label_values)(struct store *store, struct context *ctx, struct str name,
                                  const struct store_query *query, struct arena *arena,
                                  struct str_list *out);
    void (*free)(struct store *store);
};

struct store {
    const struct store_ops *ops;
};

void store_describe(struct store *store, struct store_info *out);
MUST_CHECK struct error *store_select(struct store *store, struct context *ctx,
                                      const struct store_query *query, struct series_set **out);
MUST_CHECK struct error *store_label_names(struct store *store, struct context *ctx,
                                           const struct store_query *query, struct arena *arena,
                                           struct str_list *out);
MUST_CHECK struct error *store_label_values(struct store *store, struct context *ctx,
                                            struct str name, const struct store_query *query,
                                            struct arena *arena, struct str_list *out);
void store_free(struct store *store); /* NULL is fine */

/* A deep copy in the arena, for sets that outlive the call (matchers share their compiled
 * expressions by reference through the arena: they are compiled again only if the source arena may
 * go first). */
MUST_CHECK struct error *store_query_copy(struct arena *arena, const struct store_query *query,
                                          struct store_query *out);
