/* runtime/metrics_internal.h: what metrics.c keeps and metrics_text.c writes. For those two only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/hash_index.h"
#include "base/mutex.h"
#include "base/vec.h"
#include "runtime/metrics.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_SUMMARY };
enum { METRIC_CHILDREN_MAX = 10000, METRIC_RECENT_MAX = 1000, METRIC_RECENT_MS = 600000 };

/* Of a summary: the last observations, in a ring. */
struct metric_recent {
    double values[METRIC_RECENT_MAX];
    int64_t times_ms[METRIC_RECENT_MAX];
    size_t next;
    uint64_t count; /* of all there were */
};

struct metric {
    struct metric_family *family;
    uint64_t hash;
    struct str *values; /* one for each label of the family, in its order; owned */
    /* The value is whole + real: most counters only ever count, which is one atomic add. */
    _Atomic uint64_t whole;
    _Atomic double real;          /* of histograms and summaries: the sum */
    _Atomic uint64_t *buckets;    /* of histograms: bound_count + 1, not cumulative */
    struct metric_recent *recent; /* of summaries; under the family's lock */
};

struct metric_family {
    enum metric_type type;
    char *name, *help;
    char **label_names;
    size_t label_count;
    size_t *label_order; /* label_names sorted */
    double *bounds;      /* without +Inf; of summaries: the quantiles */
    size_t bound_count;
    struct mutex lock; /* of these: */
    VEC(struct metric *) children;
    struct hash_index index;
    struct metric *other; /* the child beyond METRIC_CHILDREN_MAX */
};

/* HELP, TYPE and the samples of all children; nothing when there is no child. */
void metric_family_write(struct metric_family *family, struct buf *out, bool open_metrics);
