/* promql/distribution.h: which parts of a query engines elsewhere evaluate.
 *
 * Engines partition the series: for any two there is a label, one of the partition labels, that
 * tells all series of one from all of the other. An expression is local to the engines when what it
 * gives for all series is what it gives for each engine's series, put together: a selector is; what
 * is made of local parts is, as long as each row keeps the partition labels and depends on rows of
 * its own partition only. Such an expression is sent away whole.
 *
 * An aggregation that gives up partition labels is sent away with these labels added to its groups,
 * and its groups are aggregated again here:
 *
 *     sum by (job) (rate(x[5m]))  ->  sum by (job) (remote(sum by (cluster, job) (rate(x[5m]))))
 *     count(x)                    ->  sum(remote(count by (cluster) (x)))
 *     avg(x)                      ->  sum(remote(sum ...)) / sum(remote(count ...))
 *
 * What remains is evaluated here, over stored series where nothing below is sent away. Nothing is
 * that other versions may not know: experimental functions and whatever is behind a flag. */
#pragma once

#include "promql/ast.h"
#include "promql/remote.h"

struct distribution {
    struct str_list labels; /* the partition labels, sorted */
    struct remote_engines engines;
};

/* False when they do not partition the series. replica_labels do not count. In the arena. */
bool distribution_create(const struct remote_engines *engines, struct str_list partition_labels,
                         struct str_list replica_labels, struct arena *arena,
                         struct distribution *out);

enum distribution_choice {
    DISTRIBUTE_NOT,   /* look at what is below */
    DISTRIBUTE_WHOLE, /* send it away as it is */
    DISTRIBUTE_SPLIT, /* an aggregation: send distribution_part() away, aggregate again */
};
enum distribution_choice distribution_choose(const struct distribution *distribution,
                                             const struct expr *expr);

/* The part of an aggregation that is sent away, as `op`. In the arena. */
const struct expr *distribution_part(const struct distribution *distribution,
                                     const struct expr *aggregate, enum aggregate_op op,
                                     struct arena *arena);
/* The engines that may have something for a selector of it. In the arena. */
struct remote_engines distribution_engines(const struct distribution *distribution,
                                           const struct expr *expr, struct arena *arena);
