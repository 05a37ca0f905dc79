#include "promql/annotations.h"

#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "base/vec.h"
#include "codec/float_text.h"
#include "model/quote.h"
#include "promql/parse.h"

struct annotation {
    enum annotation_kind kind;
    struct position position;
    struct position order; /* of the expression that spoke last */
    char *text;
    uint64_t times; /* how often it happened, where that is told; else 0 */

    /* Of repairs; samples 0: none. */
    uint64_t samples;
    int64_t min_time, max_time;
    struct bucket_repair repair;
};

struct annotations {
    struct str query;
    struct mutex lock;
    VEC(struct annotation) items GUARDED_BY(lock);
    size_t counts[2] GUARDED_BY(lock);
};

struct annotations *annotations_create(struct str text)
{
    struct annotations *annotations = xcalloc(1, sizeof(*annotations));
    annotations->query = text;
    mutex_init(&annotations->lock);
    return annotations;
}

void annotations_free(struct annotations *annotations) NO_THREAD_SAFETY
{
    if (!annotations)
        return;
    for (size_t i = 0; i < annotations->items.len; i++)
        free(annotations->items.items[i].text);
    vec_deinit(&annotations->items);
    mutex_deinit(&annotations->lock);
    free(annotations);
}

/* The item with this text, made when new; NULL when there are too many. Takes the text. */
static struct annotation *find_or_add(struct annotations *annotations, enum annotation_kind kind,
                                      char *text) REQUIRES(annotations->lock)
{
    for (size_t i = 0; i < annotations->items.len; i++) {
        struct annotation *item = &annotations->items.items[i];
        if (item->kind == kind && strcmp(item->text, text) == 0) {
            free(text);
            return item;
        }
    }
    struct annotation added = {.kind = kind, .text = text};
    if (annotations->counts[kind] >= ANNOTATIONS_MAX || !vec_push(&annotations->items, added)) {
        free(text);
        return NULL;
    }
    annotations->counts[kind]++;
    return &vec_last(&annotations->items);
}

/* Whether the expression at `a` is evaluated after the one at `b`, or is the same: operands come
 * before their operator, the left one before the right one. */
static bool is_later(struct position a, struct position b)
{
    return a.end > b.end || (a.end == b.end && a.start <= b.start);
}

static void move_position(struct annotation *item, struct position position, struct position order)
{
    bool is_same = order.start == item->order.start && order.end == item->order.end;
    if (!is_later(order, item->order) || (is_same && position.start < item->position.start))
        return;
    item->position = position;
    item->order = order;
}

static void add(struct annotations *annotations, enum annotation_kind kind,
                struct position position, struct position order, uint64_t times, const char *format,
                va_list args)
{
    struct buf text = {0};
    buf_vprintf(&text, format, args);
    buf_append_byte(&text, 0);

    mutex_lock(&annotations->lock);
    struct annotation *item = find_or_add(annotations, kind, text.data);
    bool is_first = item && item->times == 0;
    if (item && times > 0 && (is_first || is_later(item->order, order))) {
        item->position = position; /* of what is counted the first one */
        item->order = order;
    } else if (item && times == 0) {
        move_position(item, position, order);
    }
    if (item)
        item->times += times;
    mutex_unlock(&annotations->lock);
}

void annotations_add(struct annotations *annotations, enum annotation_kind kind,
                     struct position position, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(annotations, kind, position, position, 0, format, args);
    va_end(args);
}

void annotations_add_counted(struct annotations *annotations, enum annotation_kind kind,
                             struct position position, uint64_t count, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(annotations, kind, position, position, count, format, args);
    va_end(args);
}

void annotations_add_of_argument(struct annotations *annotations, enum annotation_kind kind,
                                 struct position position, struct position call, const char *format,
                                 ...)
{
    va_list args;
    va_start(args, format);
    add(annotations, kind, position, call, 0, format, args);
    va_end(args);
}

const char *annotation_float(char out[ANNOTATION_FLOAT_MAX], double value)
{
    out[float_text(out, value, FLOAT_GENERAL)] = 0;
    return out;
}

void annotations_add_repair(struct annotations *annotations, struct position position,
                            struct str metric_name, int64_t time_ms,
                            const struct bucket_repair *repair)
{
    struct buf text = {0};
    buf_append_cstr(&text, "input to histogram_quantile needed to be fixed for monotonicity (see "
                           "https://prometheus.io/docs/prometheus/latest/querying/functions/"
                           "#histogram_quantile)");
    if (metric_name.len > 0)
        buf_append_cstr(&text, " for metric name ");
    if (metric_name.len > 0)
        quote_append(&text, metric_name);
    buf_append_byte(&text, 0);

    mutex_lock(&annotations->lock);
    struct annotation *item = find_or_add(annotations, ANNOTATION_INFO, text.data);
    if (item) {
        struct bucket_repair *sum = &item->repair;
        bool is_first = item->samples++ == 0;
        if (is_first || is_later(item->position, position)) /* of these the first one */
            item->position = position;
        item->min_time = is_first ? time_ms : int64_min(item->min_time, time_ms);
        item->max_time = is_first ? time_ms : int64_max(item->max_time, time_ms);
        if (is_first || repair->min_bound < sum->min_bound)
            sum->min_bound = repair->min_bound;
        if (is_first || repair->max_bound > sum->max_bound)
            sum->max_bound = repair->max_bound;
        if (is_first || repair->diff > sum->diff)
            sum->diff = repair->diff;
    }
    mutex_unlock(&annotations->lock);
}

static void print_time(struct buf *out, int64_t time_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    char text[64];
    if (!gmtime_r(&seconds, &parts))
        return;
    size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    buf_append(out, text, len);
}

static struct str print_item(const struct annotations *annotations, const struct annotation *item,
                             struct arena *arena)
{
    struct buf text = {0};
    buf_printf(&text, "PromQL %s: %s", item->kind == ANNOTATION_WARNING ? "warning" : "info",
               item->text);
    if (item->samples > 0) {
        char low[ANNOTATION_FLOAT_MAX], high[ANNOTATION_FLOAT_MAX];
        buf_printf(&text, ", from buckets %s to %s, with a max diff of %.2g, over %llu samples",
                   annotation_float(low, item->repair.min_bound),
                   annotation_float(high, item->repair.max_bound), item->repair.diff,
                   (unsigned long long)item->samples);
        buf_append_cstr(&text, " from ");
        print_time(&text, item->min_time);
        buf_append_cstr(&text, " to ");
        print_time(&text, item->max_time);
    }
    if (item->times > 1)
        buf_printf(&text, " (%llu occurrences)", (unsigned long long)item->times);
    buf_append_cstr(&text, " (");
    promql_position_print(&text, annotations->query, item->position);
    buf_append_cstr(&text, ")");
    struct str copy = arena_str(arena, buf_str(&text));
    buf_deinit(&text);
    return copy;
}

void annotations_list(struct annotations *annotations, enum annotation_kind kind,
                      struct arena *arena, struct str_list *out)
{
    mutex_lock(&annotations->lock);
    size_t count = annotations->counts[kind];
    *out = (struct str_list){.items = arena_array(arena, count + 1, sizeof(*out->items))};
    for (size_t i = 0; i < annotations->items.len; i++) {
        const struct annotation *item = &annotations->items.items[i];
        if (item->kind == kind)
            out->items[out->count++] = print_item(annotations, item, arena);
    }
    mutex_unlock(&annotations->lock);
    qsort(out->items, out->count, sizeof(*out->items), str_compare_items);
}
