#include "objstore/bucket_metrics.h"

#include <stdlib.h>

#include "base/memory.h"
#include "runtime/metrics.h"
#include "runtime/time.h"

enum operation {
    OPERATION_ITER,
    OPERATION_GET,
    OPERATION_GET_RANGE,
    OPERATION_EXISTS,
    OPERATION_UPLOAD,
    OPERATION_DELETE,
    OPERATION_ATTRIBUTES,
    OPERATIONS
};

static const char *const operation_names[OPERATIONS] = {
    "iter", "get", "get_range", "exists", "upload", "delete", "attributes",
};

struct measured {
    struct bucket base;
    struct bucket *inner;
    struct metric *count[OPERATIONS], *failures[OPERATIONS], *seconds[OPERATIONS];
    struct metric *fetched[OPERATIONS], *transferred[OPERATIONS]; /* of get, get_range, upload */
    struct metric *last_upload;
};

static struct measured *of(struct bucket *bucket)
{
    return container_of(bucket, struct measured, base);
}

static double seconds_since(int64_t start_ms)
{
    return (double)(time_now_monotonic_ms() - start_ms) / 1000;
}

static void note(struct measured *measured, enum operation operation, int64_t start_ms,
                 const struct error *err)
{
    metric_inc(measured->count[operation]);
    if (err && error_kind(err) != ERROR_NOT_FOUND && error_kind(err) != ERROR_CANCELLED)
        metric_inc(measured->failures[operation]);
    else if (!err)
        metric_observe(measured->seconds[operation], seconds_since(start_ms));
}

static void measured_read(struct bucket *bucket, struct context *ctx, struct bucket_read *reads,
                          size_t count)
{
    struct measured *measured = of(bucket);
    int64_t start = time_now_monotonic_ms();
    size_t *before = xcalloc(count, sizeof(*before));
    for (size_t i = 0; i < count; i++)
        before[i] = reads[i].out.len;
    bucket_read_each(measured->inner, ctx, reads, count);
    for (size_t i = 0; i < count; i++) {
        enum operation operation = reads[i].offset == 0 && reads[i].length == BUCKET_TO_END
                                       ? OPERATION_GET
                                       : OPERATION_GET_RANGE;
        double bytes = (double)(reads[i].out.len - before[i]);
        note(measured, operation, start, reads[i].err);
        metric_add(measured->fetched[operation], bytes);
        if (!reads[i].err)
            metric_observe(measured->transferred[operation], bytes);
    }
    free(before);
}

static struct error *measured_list(struct bucket *bucket, struct context *ctx, struct str prefix,
                                   enum bucket_listing listing, bucket_list_fn each, void *self)
{
    int64_t start = time_now_monotonic_ms();
    struct error *err = bucket_list(of(bucket)->inner, ctx, prefix, listing, each, self);
    note(of(bucket), OPERATION_ITER, start, err);
    return err;
}

static struct error *measured_attributes(struct bucket *bucket, struct context *ctx, struct str key,
                                         struct bucket_attributes *out)
{
    int64_t start = time_now_monotonic_ms();
    struct error *err = bucket_attributes(of(bucket)->inner, ctx, key, out);
    note(of(bucket), OPERATION_ATTRIBUTES, start, err);
    return err;
}

static struct error *measured_put(struct bucket *bucket, struct context *ctx, struct str key,
                                  struct bucket_source *source)
{
    struct measured *measured = of(bucket);
    int64_t start = time_now_monotonic_ms();
    struct error *err = bucket_put(measured->inner, ctx, key, source);
    note(measured, OPERATION_UPLOAD, start, err);
    if (!err && source->size != BUCKET_TO_END)
        metric_observe(measured->transferred[OPERATION_UPLOAD], (double)source->size);
    if (!err)
        metric_set(measured->last_upload, (double)time_now_ms() / 1000);
    return err;
}

static struct error *measured_remove(struct bucket *bucket, struct context *ctx, struct str key)
{
    int64_t start = time_now_monotonic_ms();
    struct error *err = bucket_remove(of(bucket)->inner, ctx, key);
    note(of(bucket), OPERATION_DELETE, start, err);
    return err;
}

static void measured_free(struct bucket *bucket)
{
    bucket_free(of(bucket)->inner);
    free(of(bucket));
}

static const struct bucket_ops measured_ops = {
    .read = measured_read,
    .list = measured_list,
    .attributes = measured_attributes,
    .put = measured_put,
    .remove = measured_remove,
    .free = measured_free,
};

/* ---- families ---- */

static void make_children(struct metric_family *family, struct str bucket, struct metric **out)
{
    for (int i = 0; i < OPERATIONS; i++)
        out[i] = metric_with(family, (struct str[]){bucket, str_from(operation_names[i])}, 2);
}

static void register_counts(struct measured *measured, struct metrics *metrics, struct str name)
{
    static const double seconds[] = {0.001, 0.01, 0.1, 0.3, 0.6, 1, 3, 6, 9, 20, 30, 60, 90, 120};
    static const char *const labels[] = {"bucket", "operation"};
    make_children(metrics_counter_family(metrics, "thanos_objstore_bucket_operations_total",
                                         "Operations on the bucket.", labels, 2),
                  name, measured->count);
    make_children(metrics_counter_family(metrics, "thanos_objstore_bucket_operation_failures_total",
                                         "Operations that failed, but for objects that were not "
                                         "there.",
                                         labels, 2),
                  name, measured->failures);
    make_children(metrics_histogram_family(
                      metrics, "thanos_objstore_bucket_operation_duration_seconds",
                      "How long successful operations took.", seconds, countof(seconds), labels, 2),
                  name, measured->seconds);
}

static void register_bytes(struct measured *measured, struct metrics *metrics, struct str name)
{
    static const enum operation moving[] = {OPERATION_GET, OPERATION_GET_RANGE, OPERATION_UPLOAD};
    static const char *const labels[] = {"bucket", "operation"};
    double bounds[16] = {32 * 1024};
    for (size_t i = 1; i < countof(bounds); i++)
        bounds[i] = bounds[i - 1] * 2;
    struct metric_family *fetched =
        metrics_counter_family(metrics, "thanos_objstore_bucket_operation_fetched_bytes_total",
                               "Bytes that were read from the bucket.", labels, 2);
    struct metric_family *transferred =
        metrics_histogram_family(metrics, "thanos_objstore_bucket_operation_transferred_bytes",
                                 "Bytes of an operation.", bounds, countof(bounds), labels, 2);
    for (size_t i = 0; i < countof(moving); i++) {
        struct str values[] = {name, str_from(operation_names[moving[i]])};
        measured->transferred[moving[i]] = metric_with(transferred, values, 2);
        if (moving[i] != OPERATION_UPLOAD)
            measured->fetched[moving[i]] = metric_with(fetched, values, 2);
    }
}

struct bucket *bucket_metrics_create(struct bucket *inner, struct metrics *metrics)
{
    static const char *const label[] = {"bucket"};
    struct measured *measured = xcalloc(1, sizeof(*measured));
    measured->base = (struct bucket){&measured_ops, inner->name, inner->type};
    measured->inner = inner;
    register_counts(measured, metrics, inner->name);
    register_bytes(measured, metrics, inner->name);
    measured->last_upload = metric_with(
        metrics_gauge_family(metrics, "thanos_objstore_bucket_last_successful_upload_time",
                             "When an object was last put, in seconds since the epoch.", label, 1),
        &inner->name, 1);
    return &measured->base;
}
