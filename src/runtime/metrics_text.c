/* The two text formats of Prometheus.
 *
 *     # HELP http_requests_total Requests.        text 0.0.4
 *     # TYPE http_requests_total counter
 *     http_requests_total{code="200"} 3
 *
 * OpenMetrics 1.0 differs in small things: a counter's family is named without _total (and a
 * counter that is not named so is of type unknown), floats always show a point or an exponent, help
 * texts escape quotes, and the whole ends with # EOF. Families come sorted by name, samples by
 * their label values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/float_text.h"
#include "runtime/metrics_internal.h"
#include "runtime/time.h"

static void append_escaped(struct buf *out, struct str text, bool quotes)
{
    size_t from = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c != '\\' && c != '\n' && !(quotes && c == '"'))
            continue;
        buf_append(out, text.data + from, i - from);
        buf_append_byte(out, '\\');
        buf_append_byte(out, c == '\n' ? 'n' : (uint8_t)c);
        from = i + 1;
    }
    buf_append(out, text.data + from, text.len - from);
}

static void append_float(struct buf *out, double value, bool open_metrics)
{
    char text[FLOAT_TEXT_MAX];
    size_t len = float_text(text, value, FLOAT_GENERAL);
    buf_append(out, text, len);
    if (open_metrics && isfinite(value) && !memchr(text, '.', len) && !memchr(text, 'e', len))
        buf_append_cstr(out, ".0");
}

static void append_head(struct buf *out, const struct metric_family *family, bool open_metrics)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "summary"};
    struct str name = str_from(family->name);
    const char *type = types[family->type];
    if (open_metrics && family->type == METRIC_COUNTER) {
        if (str_ends_with(name, STR("_total")))
            name.len -= STR("_total").len;
        else
            type = "unknown";
    }
    buf_append_cstr(out, "# HELP ");
    buf_append_str(out, name);
    buf_append_byte(out, ' ');
    append_escaped(out, str_from(family->help), open_metrics);
    buf_append_cstr(out, "\n# TYPE ");
    buf_append_str(out, name);
    buf_append_byte(out, ' ');
    buf_append_cstr(out, type);
    buf_append_byte(out, '\n');
}

/* name, suffix, labels and, when bound is not NULL, le or quantile. */
static void append_name(struct buf *out, const struct metric *metric, const char *suffix,
                        const double *bound, bool open_metrics)
{
    const struct metric_family *family = metric->family;
    buf_append_cstr(out, family->name);
    buf_append_cstr(out, suffix);
    char before = '{';
    for (size_t i = 0; i < family->label_count; i++) {
        size_t label = family->label_order[i];
        buf_append_byte(out, (uint8_t)before);
        buf_append_cstr(out, family->label_names[label]);
        buf_append_cstr(out, "=\"");
        append_escaped(out, metric->values[label], true);
        buf_append_byte(out, '"');
        before = ',';
    }
    if (bound) {
        buf_append_byte(out, (uint8_t)before);
        buf_append_cstr(out, family->type == METRIC_SUMMARY ? "quantile=\"" : "le=\"");
        append_float(out, *bound, open_metrics);
        buf_append_byte(out, '"');
        before = ',';
    }
    buf_append_cstr(out, before == '{' ? " " : "} ");
}

static void append_count(struct buf *out, uint64_t count, bool open_metrics)
{
    if (open_metrics)
        buf_append_uint64(out, count);
    else
        append_float(out, (double)count, false);
    buf_append_byte(out, '\n');
}

static void append_histogram(struct buf *out, struct metric *metric, bool open_metrics)
{
    const struct metric_family *family = metric->family;
    uint64_t count = 0;
    for (size_t i = 0; i <= family->bound_count; i++) {
        double bound = i < family->bound_count ? family->bounds[i] : INFINITY;
        count += metric->buckets[i];
        append_name(out, metric, "_bucket", &bound, open_metrics);
        append_count(out, count, open_metrics);
    }
    append_name(out, metric, "_sum", NULL, open_metrics);
    append_float(out, metric->real, open_metrics);
    buf_append_byte(out, '\n');
    append_name(out, metric, "_count", NULL, open_metrics);
    append_count(out, count, open_metrics);
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The observations that are not too old, sorted. */
static size_t recent_values(const struct metric_recent *recent, double *out)
{
    size_t kept = recent->count < METRIC_RECENT_MAX ? (size_t)recent->count : METRIC_RECENT_MAX;
    size_t count = 0;
    int64_t oldest_ms = time_now_monotonic_ms() - METRIC_RECENT_MS;
    for (size_t i = 0; i < kept; i++) {
        if (recent->times_ms[i] >= oldest_ms && !isnan(recent->values[i]))
            out[count++] = recent->values[i];
    }
    qsort(out, count, sizeof(*out), compare_doubles);
    return count;
}

static void append_summary(struct buf *out, const struct metric *metric, bool open_metrics)
{
    const struct metric_family *family = metric->family;
    double values[METRIC_RECENT_MAX];
    size_t count = recent_values(metric->recent, values);
    for (size_t i = 0; i < family->bound_count; i++) {
        size_t at = count ? (size_t)ceil(family->bounds[i] * (double)count) : 0;
        append_name(out, metric, "", &family->bounds[i], open_metrics);
        append_float(out, count ? values[at ? at - 1 : 0] : NAN, open_metrics);
        buf_append_byte(out, '\n');
    }
    append_name(out, metric, "_sum", NULL, open_metrics);
    append_float(out, metric->real, open_metrics);
    buf_append_byte(out, '\n');
    append_name(out, metric, "_count", NULL, open_metrics);
    append_count(out, metric->recent->count, open_metrics);
}

static int metric_compare(const void *a, const void *b)
{
    const struct metric *left = *(struct metric *const *)a, *right = *(struct metric *const *)b;
    const struct metric_family *family = left->family;
    for (size_t i = 0; i < family->label_count; i++) {
        size_t label = family->label_order[i];
        int order = str_compare(left->values[label], right->values[label]);
        if (order)
            return order;
    }
    return 0;
}

void metric_family_write(struct metric_family *family, struct buf *out, bool open_metrics)
{
    mutex_lock(&family->lock);
    if (family->children.len) {
        qsort(family->children.items, family->children.len, sizeof(struct metric *),
              metric_compare);
        append_head(out, family, open_metrics);
    }
    for (size_t i = 0; i < family->children.len; i++) {
        struct metric *metric = family->children.items[i];
        if (family->type == METRIC_HISTOGRAM) {
            append_histogram(out, metric, open_metrics);
            continue;
        }
        if (family->type == METRIC_SUMMARY) {
            append_summary(out, metric, open_metrics);
            continue;
        }
        append_name(out, metric, "", NULL, open_metrics);
        append_float(out, metric_value(metric), open_metrics);
        buf_append_byte(out, '\n');
    }
    mutex_unlock(&family->lock);
}
