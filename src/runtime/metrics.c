#include "runtime/metrics.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/hash_index.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "base/vec.h"
#include "runtime/metrics_internal.h"
#include "runtime/time.h"

struct collector {
    void (*collect)(void *arg);
    void *arg;
};

struct metrics {
    struct mutex lock; /* of these: */
    VEC(struct metric_family *) families;
    VEC(struct collector) collectors;
    VEC(void *) memory; /* metrics_alloc() */
};

struct metrics *metrics_create(void)
{
    struct metrics *metrics = xcalloc(1, sizeof(*metrics));
    mutex_init(&metrics->lock);
    return metrics;
}

static void metric_free(struct metric *metric)
{
    for (size_t i = 0; i < metric->family->label_count; i++)
        free((char *)metric->values[i].data);
    free(metric->values);
    free(metric->buckets);
    free(metric->recent);
    free(metric);
}

static void family_free(struct metric_family *family)
{
    for (size_t i = 0; i < family->children.len; i++)
        metric_free(family->children.items[i]);
    vec_deinit(&family->children);
    hash_index_deinit(&family->index);
    for (size_t i = 0; i < family->label_count; i++)
        free(family->label_names[i]);
    free(family->label_names);
    free(family->label_order);
    free(family->bounds);
    free(family->name);
    free(family->help);
    mutex_deinit(&family->lock);
    free(family);
}

void metrics_free(struct metrics *metrics)
{
    if (!metrics)
        return;
    for (size_t i = 0; i < metrics->families.len; i++)
        family_free(metrics->families.items[i]);
    vec_deinit(&metrics->families);
    vec_deinit(&metrics->collectors);
    for (size_t i = 0; i < metrics->memory.len; i++)
        free(metrics->memory.items[i]);
    vec_deinit(&metrics->memory);
    mutex_deinit(&metrics->lock);
    free(metrics);
}

/* -- families -- */

struct family_spec {
    enum metric_type type;
    const char *name, *help;
    const double *bounds;
    size_t bound_count;
    const char *const *label_names;
    size_t label_count;
};

/* Labels are written in the order of their names, whatever order the values are given in. */
static size_t *label_order_of(const char *const *names, size_t count)
{
    size_t *order = xcalloc(count, sizeof(*order));
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at > 0 && strcmp(names[order[at - 1]], names[i]) > 0; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    return order;
}

static struct metric_family *family_create(const struct family_spec *spec)
{
    struct metric_family *family = xcalloc(1, sizeof(*family));
    family->type = spec->type;
    family->name = xstrdup(spec->name);
    family->help = xstrdup(spec->help);
    family->label_count = spec->label_count;
    family->label_names = xcalloc(spec->label_count, sizeof(*family->label_names));
    for (size_t i = 0; i < spec->label_count; i++)
        family->label_names[i] = xstrdup(spec->label_names[i]);
    family->label_order = label_order_of(spec->label_names, spec->label_count);
    family->bound_count = spec->bound_count;
    if (family->bound_count && spec->bounds[family->bound_count - 1] == INFINITY)
        family->bound_count--; /* there is one always */
    family->bounds = xcalloc(family->bound_count, sizeof(*family->bounds));
    for (size_t i = 0; i < family->bound_count; i++)
        family->bounds[i] = spec->bounds[i];
    mutex_init(&family->lock);
    return family;
}

static bool family_fits(const struct metric_family *family, const struct family_spec *spec)
{
    if (family->type != spec->type || family->label_count != spec->label_count)
        return false;
    for (size_t i = 0; i < spec->label_count; i++)
        if (strcmp(family->label_names[i], spec->label_names[i]) != 0)
            return false;
    return true;
}

/* Families are kept sorted by name, as they are written. */
static struct metric_family *metrics_family(struct metrics *metrics, const struct family_spec *spec)
{
    if (!metrics)
        return NULL;
    mutex_lock(&metrics->lock);
    size_t at = 0;
    while (at < metrics->families.len && strcmp(metrics->families.items[at]->name, spec->name) < 0)
        at++;
    struct metric_family *family = NULL;
    if (at < metrics->families.len && strcmp(metrics->families.items[at]->name, spec->name) == 0) {
        family = metrics->families.items[at];
    } else {
        family = family_create(spec);
        (void)vec_push(&metrics->families, family); /* no budget: cannot fail */
        memmove(&metrics->families.items[at + 1], &metrics->families.items[at],
                (metrics->families.len - 1 - at) * sizeof(family));
        metrics->families.items[at] = family;
    }
    mutex_unlock(&metrics->lock);
    if (!family_fits(family, spec))
        bug("metric %s is registered twice with different labels or types", spec->name);
    return family;
}

struct metric_family *metrics_counter_family(struct metrics *metrics, const char *name,
                                             const char *help, const char *const *label_names,
                                             size_t label_count)
{
    const struct family_spec spec = {METRIC_COUNTER, name, help, NULL, 0, label_names, label_count};
    return metrics_family(metrics, &spec);
}

struct metric_family *metrics_gauge_family(struct metrics *metrics, const char *name,
                                           const char *help, const char *const *label_names,
                                           size_t label_count)
{
    const struct family_spec spec = {METRIC_GAUGE, name, help, NULL, 0, label_names, label_count};
    return metrics_family(metrics, &spec);
}

struct metric_family *metrics_histogram_family(struct metrics *metrics, const char *name,
                                               const char *help, const double *bounds,
                                               size_t bound_count, const char *const *label_names,
                                               size_t label_count)
{
    const struct family_spec spec = {METRIC_HISTOGRAM, name,        help,       bounds,
                                     bound_count,      label_names, label_count};
    return metrics_family(metrics, &spec);
}

struct metric_family *metrics_summary_family(struct metrics *metrics, const char *name,
                                             const char *help, const double *quantiles,
                                             size_t quantile_count, const char *const *label_names,
                                             size_t label_count)
{
    const struct family_spec spec = {METRIC_SUMMARY, name,        help,       quantiles,
                                     quantile_count, label_names, label_count};
    return metrics_family(metrics, &spec);
}

struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *help)
{
    return metric_with(metrics_counter_family(metrics, name, help, NULL, 0), NULL, 0);
}

struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *help)
{
    return metric_with(metrics_gauge_family(metrics, name, help, NULL, 0), NULL, 0);
}

struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *help,
                                 const double *bounds, size_t bound_count)
{
    return metric_with(metrics_histogram_family(metrics, name, help, bounds, bound_count, NULL, 0),
                       NULL, 0);
}

/* -- children -- */

static uint64_t values_hash(const struct str *values, size_t count)
{
    struct hash_stream stream;
    hash_stream_init(&stream);
    for (size_t i = 0; i < count; i++) {
        hash_stream_add(&stream, values[i].data, values[i].len);
        hash_stream_add(&stream, "\xff", 1);
    }
    return hash_stream_sum(&stream);
}

static struct metric *family_find_locked(struct metric_family *family, uint64_t hash,
                                         const struct str *values) REQUIRES(family->lock)
{
    size_t at;
    for (struct metric *child = hash_index_first(&family->index, hash, &at); child;
         child = hash_index_next(&family->index, hash, &at)) {
        bool same = true;
        for (size_t i = 0; i < family->label_count && same; i++)
            same = str_equal(child->values[i], values[i]);
        if (same)
            return child;
    }
    return NULL;
}

static struct metric *family_add_locked(struct metric_family *family, uint64_t hash,
                                        const struct str *values) REQUIRES(family->lock)
{
    struct metric *child = xcalloc(1, sizeof(*child));
    child->family = family;
    child->hash = hash;
    child->values = xcalloc(family->label_count, sizeof(*child->values));
    for (size_t i = 0; i < family->label_count; i++)
        child->values[i] = (struct str){str_dup(values[i]), values[i].len};
    if (family->type == METRIC_HISTOGRAM)
        child->buckets = xcalloc(family->bound_count + 1, sizeof(*child->buckets));
    if (family->type == METRIC_SUMMARY)
        child->recent = xcalloc(1, sizeof(*child->recent));
    (void)vec_push(&family->children, child);
    error_free(hash_index_add(&family->index, hash, child)); /* no budget: cannot fail */
    return child;
}

static struct metric *family_other_locked(struct metric_family *family) REQUIRES(family->lock)
{
    if (family->other)
        return family->other;
    struct str *others = xcalloc(family->label_count, sizeof(*others));
    for (size_t i = 0; i < family->label_count; i++)
        others[i] = STR("other");
    uint64_t hash = values_hash(others, family->label_count);
    family->other = family_find_locked(family, hash, others);
    if (!family->other)
        family->other = family_add_locked(family, hash, others);
    free(others);
    return family->other;
}

struct metric *metric_with(struct metric_family *family, const struct str *values, size_t count)
{
    if (!family)
        return NULL;
    if (count != family->label_count)
        bug("metric %s has %zu labels, not %zu", family->name, family->label_count, count);
    uint64_t hash = values_hash(values, count);
    mutex_lock(&family->lock);
    struct metric *child = family_find_locked(family, hash, values);
    if (!child && family->children.len < METRIC_CHILDREN_MAX)
        child = family_add_locked(family, hash, values);
    if (!child)
        child = family_other_locked(family);
    mutex_unlock(&family->lock);
    return child;
}

void metric_remove(struct metric_family *family, const struct str *values, size_t count)
{
    if (!family || count != family->label_count)
        return;
    uint64_t hash = values_hash(values, count);
    mutex_lock(&family->lock);
    struct metric *child = family_find_locked(family, hash, values);
    if (child && child != family->other) {
        hash_index_remove(&family->index, hash, child);
        size_t at = 0;
        while (family->children.items[at] != child)
            at++;
        family->children.items[at] = vec_last(&family->children);
        family->children.len--;
        metric_free(child);
    }
    mutex_unlock(&family->lock);
}

/* -- values -- */

static void atomic_add_double(_Atomic double *to, double value)
{
    double old = atomic_load_explicit(to, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(to, &old, old + value, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

void metric_inc(struct metric *metric)
{
    if (metric)
        atomic_fetch_add_explicit(&metric->whole, 1, memory_order_relaxed);
}

void metric_add(struct metric *metric, double value)
{
    if (metric)
        atomic_add_double(&metric->real, value);
}

void metric_set(struct metric *metric, double value)
{
    if (!metric)
        return;
    atomic_store_explicit(&metric->whole, 0, memory_order_relaxed);
    atomic_store_explicit(&metric->real, value, memory_order_relaxed);
}

double metric_value(struct metric *metric)
{
    if (!metric)
        return 0;
    return atomic_load_explicit(&metric->real, memory_order_relaxed) +
           (double)atomic_load_explicit(&metric->whole, memory_order_relaxed);
}

static void summary_observe(struct metric *metric, double value)
{
    struct metric_recent *recent = metric->recent;
    mutex_lock(&metric->family->lock);
    recent->values[recent->next] = value;
    recent->times_ms[recent->next] = time_now_monotonic_ms();
    recent->next = (recent->next + 1) % METRIC_RECENT_MAX;
    recent->count++;
    mutex_unlock(&metric->family->lock);
    atomic_add_double(&metric->real, value);
}

void metric_observe(struct metric *metric, double value)
{
    if (!metric)
        return;
    if (metric->recent) {
        summary_observe(metric, value);
        return;
    }
    const struct metric_family *family = metric->family;
    size_t low = 0, high = family->bound_count; /* the first bound >= value; NaN goes to +Inf */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (value <= family->bounds[middle])
            high = middle;
        else
            low = middle + 1;
    }
    atomic_fetch_add_explicit(&metric->buckets[low], 1, memory_order_relaxed);
    atomic_add_double(&metric->real, value);
}

/* -- collection -- */

void metrics_on_collect(struct metrics *metrics, void (*collect)(void *arg), void *arg)
{
    if (!metrics)
        return;
    mutex_lock(&metrics->lock);
    (void)vec_push(&metrics->collectors, (struct collector){collect, arg});
    mutex_unlock(&metrics->lock);
}

void *metrics_alloc(struct metrics *metrics, size_t size)
{
    void *memory = xcalloc(1, size);
    mutex_lock(&metrics->lock);
    (void)vec_push(&metrics->memory, memory);
    mutex_unlock(&metrics->lock);
    return memory;
}

static bool metrics_collector(struct metrics *metrics, size_t at, struct collector *out)
{
    mutex_lock(&metrics->lock);
    bool found = at < metrics->collectors.len;
    if (found)
        *out = metrics->collectors.items[at];
    mutex_unlock(&metrics->lock);
    return found;
}

void metrics_write(struct metrics *metrics, struct buf *out, bool open_metrics)
{
    struct collector collector;
    for (size_t i = 0; metrics_collector(metrics, i, &collector); i++)
        collector.collect(collector.arg);
    mutex_lock(&metrics->lock);
    for (size_t i = 0; i < metrics->families.len; i++)
        metric_family_write(metrics->families.items[i], out, open_metrics);
    mutex_unlock(&metrics->lock);
    if (open_metrics)
        buf_append_cstr(out, "# EOF\n");
}
