#include "query/endpoint_metrics.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/memory.h"
#include "base/vec.h"
#include "query/endpoint_set.h"
#include "runtime/metrics.h"

enum { LABELS_TEXT_MAX = 1000, LABELS_MAX = 3 };

struct group {
    struct str values[LABELS_MAX]; /* owned */
    struct metric *metric;
    size_t count;
};

struct endpoint_metrics {
    struct metric_family *family;
    unsigned labels;
    size_t label_count;
    VEC(struct group) groups;
};

struct endpoint_metrics *endpoint_metrics_create(struct metrics *registry, unsigned labels)
{
    struct endpoint_metrics *metrics = xcalloc(1, sizeof(*metrics));
    const char *names[LABELS_MAX];
    metrics->labels = labels;
    if (labels & ENDPOINT_METRIC_EXTERNAL_LABELS)
        names[metrics->label_count++] = "external_labels";
    if (labels & ENDPOINT_METRIC_STORE_TYPE)
        names[metrics->label_count++] = "store_type";
    if (labels & ENDPOINT_METRIC_IP_PORT)
        names[metrics->label_count++] = "ip_port";
    if (registry)
        metrics->family = metrics_gauge_family(
            registry, "thanos_store_nodes_grpc_connections",
            "Number of gRPC connection to Store APIs. Opened connection means healthy store APIs "
            "available for Querier.",
            names, metrics->label_count);
    return metrics;
}

static void group_deinit(struct group *group, size_t label_count)
{
    for (size_t i = 0; i < label_count; i++)
        free((char *)group->values[i].data);
}

void endpoint_metrics_free(struct endpoint_metrics *metrics)
{
    if (!metrics)
        return;
    for (size_t i = 0; i < metrics->groups.len; i++)
        group_deinit(&metrics->groups.items[i], metrics->label_count);
    vec_deinit(&metrics->groups);
    free(metrics);
}

static struct str labels_sets_text(const struct labels *labels, struct buf *out)
{
    size_t start = out->len;
    labels_print(out, *labels);
    return (struct str){NULL, out->len - start};
}

void endpoint_labels_text(struct buf *out, const struct endpoint_status *endpoint)
{
    struct buf texts = BUF_INIT(NULL);
    size_t count = endpoint->label_set_count;
    struct str *items = xcalloc(count + 1, sizeof(*items));
    for (size_t i = 0; i < count; i++)
        items[i] = labels_sets_text(&endpoint->label_sets[i], &texts);
    for (size_t i = 0, at = 0; i < count; at += items[i++].len) /* it does not move any more */
        items[i].data = texts.data + at;
    if (count)
        qsort(items, count, sizeof(*items), str_compare_items);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_append_byte(out, ',');
        buf_append_str(out, items[i]);
    }
    free(items);
    buf_deinit(&texts);
}

/* The same as the value of a label: bounded, and never empty. */
static void labels_text(struct buf *out, const struct endpoint_status *endpoint)
{
    endpoint_labels_text(out, endpoint);
    if (out->len == 0)
        buf_append_cstr(out, "no_external_labels");
    if (out->len <= LABELS_TEXT_MAX)
        return;
    out->len = LABELS_TEXT_MAX - 1;
    while (out->len && ((uint8_t)out->data[out->len] & 0xc0) == 0x80) /* not within a letter */
        out->len--;
    buf_append_byte(out, '}');
}

static struct group *group_find(struct endpoint_metrics *metrics, const struct str *values)
{
    for (size_t i = 0; i < metrics->groups.len; i++) {
        struct group *group = &metrics->groups.items[i];
        size_t same = 0;
        while (same < metrics->label_count && str_equal(group->values[same], values[same]))
            same++;
        if (same == metrics->label_count)
            return group;
    }
    struct group group = {.metric = metric_with(metrics->family, values, metrics->label_count)};
    for (size_t i = 0; i < metrics->label_count; i++)
        group.values[i] = (struct str){str_dup(values[i]), values[i].len};
    (void)vec_push(&metrics->groups, group);
    return &vec_last(&metrics->groups);
}

static void count_endpoint(struct endpoint_metrics *metrics, const struct endpoint_status *endpoint)
{
    struct buf text = BUF_INIT(NULL);
    struct str values[LABELS_MAX];
    size_t count = 0;
    labels_text(&text, endpoint);
    if (metrics->labels & ENDPOINT_METRIC_EXTERNAL_LABELS)
        values[count++] = buf_str(&text);
    if (metrics->labels & ENDPOINT_METRIC_STORE_TYPE)
        values[count++] = endpoint->type;
    if (metrics->labels & ENDPOINT_METRIC_IP_PORT)
        values[count++] = endpoint->address;
    group_find(metrics, values)->count++;
    buf_deinit(&text);
}

void endpoint_metrics_set(struct endpoint_metrics *metrics, const struct endpoint_status *endpoints,
                          size_t count)
{
    if (!metrics->family)
        return;
    for (size_t i = 0; i < metrics->groups.len; i++)
        metrics->groups.items[i].count = 0;
    for (size_t i = 0; i < count; i++)
        count_endpoint(metrics, &endpoints[i]);
    size_t kept = 0;
    for (size_t i = 0; i < metrics->groups.len; i++) {
        struct group group = metrics->groups.items[i];
        if (group.count) {
            metric_set(group.metric, (double)group.count);
            metrics->groups.items[kept++] = group;
            continue;
        }
        metric_remove(metrics->family, group.values, metrics->label_count);
        group_deinit(&group, metrics->label_count);
    }
    metrics->groups.len = kept;
}
