#include "store/store_limits.h"

#include <stdlib.h>

#include "base/memory.h"
#include "runtime/metrics.h"

struct limits_store {
    struct store base;
    struct store *inner;
    struct store_limits limits;
    struct metric *dropped_series, *dropped_chunks;
};

struct limits_set {
    struct series_set base;
    struct series_set *inner;
    const struct limits_store *store; /* outlives its sets */
    size_t series, samples;
};

static struct error *limits_check(struct metric *dropped, const char *what, size_t limit,
                                  size_t got)
{
    if (limit == 0 || got <= limit)
        return NULL;
    metric_inc(dropped);
    return error_create(ERROR_LIMIT, "failed to send %s: limit %zu violated (got %zu)", what, limit,
                        got);
}

static struct error *limits_next(struct series_set *base, struct arena *arena, size_t max,
                                 struct series_batch *out)
{
    struct limits_set *set = container_of(base, struct limits_set, base);
    const struct limits_store *store = set->store;
    struct error *err = series_set_next(set->inner, arena, max, out);
    for (size_t i = 0; i < out->count && !err; i++) {
        err = limits_check(store->dropped_series, "series", store->limits.series, ++set->series);
        set->samples += out->items[i].chunks.count * SAMPLES_PER_CHUNK;
        if (!err)
            err =
                limits_check(store->dropped_chunks, "samples", store->limits.samples, set->samples);
    }
    return err;
}

static bool limits_ready(struct series_set *base, const struct series_wake *wake)
{
    return series_set_ready(container_of(base, struct limits_set, base)->inner, wake);
}

static void limits_cancel(struct series_set *base)
{
    series_set_cancel(container_of(base, struct limits_set, base)->inner);
}

static void limits_stats(struct series_set *base, struct series_set_stats *add_to)
{
    series_set_stats(container_of(base, struct limits_set, base)->inner, add_to);
}

static void limits_set_free(struct series_set *base)
{
    struct limits_set *set = container_of(base, struct limits_set, base);
    series_set_free(set->inner);
    free(set);
}

static const struct series_set_ops limits_set_ops = {
    .next = limits_next,
    .ready = limits_ready,
    .cancel = limits_cancel,
    .stats = limits_stats,
    .free = limits_set_free,
};

static void limits_describe(struct store *base, struct store_info *out)
{
    store_describe(container_of(base, struct limits_store, base)->inner, out);
}

static struct error *limits_select(struct store *base, struct context *ctx,
                                   const struct store_query *query, struct series_set **out)
{
    struct limits_store *store = container_of(base, struct limits_store, base);
    struct error *err = store_select(store->inner, ctx, query, out);
    if (err)
        return err;
    struct limits_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &limits_set_ops;
    set->inner = *out;
    set->store = store;
    *out = &set->base;
    return NULL;
}

static struct error *limits_label_names(struct store *base, struct context *ctx,
                                        const struct store_query *query, struct arena *arena,
                                        struct str_list *out)
{
    struct limits_store *store = container_of(base, struct limits_store, base);
    return store_label_names(store->inner, ctx, query, arena, out);
}

static struct error *limits_label_values(struct store *base, struct context *ctx, struct str name,
                                         const struct store_query *query, struct arena *arena,
                                         struct str_list *out)
{
    struct limits_store *store = container_of(base, struct limits_store, base);
    return store_label_values(store->inner, ctx, name, query, arena, out);
}

static void limits_free(struct store *base)
{
    struct limits_store *store = container_of(base, struct limits_store, base);
    store_free(store->inner);
    free(store);
}

static const struct store_ops limits_ops = {
    .describe = limits_describe,
    .select = limits_select,
    .label_names = limits_label_names,
    .label_values = limits_label_values,
    .free = limits_free,
};

static struct metric_family *dropped_family(struct metrics *metrics)
{
    static const char *const labels[] = {"reason"};
    return metrics_counter_family(metrics, "thanos_store_selects_dropped_total",
                                  "Number of select queries that were dropped because of a limit.",
                                  labels, 1);
}

struct store *store_limits_create(struct store *inner, const struct store_limits *limits,
                                  struct metrics *metrics)
{
    struct metric_family *dropped = dropped_family(metrics);
    struct metric *series = metric_with(dropped, &STR("series"), 1);
    struct metric *chunks = metric_with(dropped, &STR("chunks"), 1);
    if (limits->series == 0 && limits->samples == 0)
        return inner;
    struct limits_store *store = xcalloc(1, sizeof(*store));
    store->base.ops = &limits_ops;
    store->inner = inner;
    store->limits = *limits;
    store->dropped_series = series;
    store->dropped_chunks = chunks;
    return &store->base;
}
