#include "prometheus/prometheus_store.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "base/vec.h"
#include "codec/json.h"
#include "model/labels_json.h"
#include "prometheus/client.h"
#include "prometheus/remote_read.h"
#include "runtime/context.h"
#include "runtime/metrics.h"
#include "store/series_join.h"
#include "store/series_sort.h"
#include "store/store_merge.h"

struct prometheus_store {
    struct store base;
    struct prometheus_client *client;
    struct metric *frames;
    /* A stream came out of order: selects are sorted in full until the facts are renewed. */
    atomic_bool out_of_order;
    struct mutex lock;
    struct arena *arena GUARDED_BY(lock); /* of the facts */
    struct prometheus_facts facts GUARDED_BY(lock);
};

/* One call; lives in `arena`, which holds the facts. */
struct call {
    struct prometheus_store *store;
    struct context *ctx;
    struct arena *arena;
    struct prometheus_facts facts;
    const struct store_query *query;
    int64_t min_time;
    bool is_empty; /* the query ends before there is data */
};

void prometheus_store_set(struct store *base, const struct prometheus_facts *facts)
{
    struct prometheus_store *store = container_of(base, struct prometheus_store, base);
    struct arena *arena = arena_create(NULL);
    struct prometheus_facts copy = *facts;
    copy.version = arena_str(arena, facts->version);
    copy.external = labels_copy(arena, facts->external);
    mutex_lock(&store->lock);
    struct arena *old = store->arena;
    store->arena = arena;
    store->facts = copy;
    mutex_unlock(&store->lock);
    arena_unref(old);
    atomic_store(&store->out_of_order, false);
}

static void call_init(struct call *call, struct store *base, struct context *ctx,
                      const struct store_query *query)
{
    struct prometheus_store *store = container_of(base, struct prometheus_store, base);
    *call = (struct call){.store = store, .ctx = ctx, .query = query};
    call->arena = arena_create(context_budget(ctx));
    mutex_lock(&store->lock);
    call->facts = store->facts;
    arena_keep(call->arena, store->arena);
    mutex_unlock(&store->lock);
    call->min_time = int64_max(query->min_time, call->facts.min_time);
    call->is_empty = call->min_time > query->max_time;
}

static void call_deinit(struct call *call)
{
    arena_unref(call->arena);
}

static void prometheus_store_describe(struct store *base, struct store_info *out)
{
    struct prometheus_store *store = container_of(base, struct prometheus_store, base);
    mutex_lock(&store->lock);
    out->min_time = store->facts.min_time;
    mutex_unlock(&store->lock);
    out->max_time = INT64_MAX;
    out->ranges = NULL;
    out->range_count = 0;
    out->drops_labels = false;
    out->shards = false;
    out->is_remote = true;
    out->address = STR("");
    out->type = STR("sidecar");
}

/* ---- series without chunks ---- */

typedef VEC(struct series) series_vec;

/* All series of /api/v1/series, in any order. The array is charged to the budget. */
static struct error *ask_series(struct call *call, struct arena *arena, series_vec *out)
{
    struct prometheus_answer answer;
    struct buf params = {0};
    prometheus_params(&params, call->query->matchers, call->query->matcher_count, call->min_time,
                      call->query->max_time, call->query->limit);
    struct error *err = prometheus_ask(call->store->client, call->ctx, STR("/api/v1/series"),
                                       buf_str(&params), &answer);
    struct json_reader reader = json_read(answer.data, call->arena);
    if (!err && answer.data.len) {
        if (json_array(&reader))
            while (json_item(&reader))
                vec_push(out, (struct series){.labels = labels_read_json(&reader, arena)});
        err = json_finish(&reader, "series of Prometheus");
    }
    error_keep_first(&err, vec_status(out));
    error_keep_first(&err, arena_status(arena));
    buf_deinit(&params);
    prometheus_answer_deinit(&answer);
    return err;
}

static int compare_series(const void *a, const void *b)
{
    const struct series *x = a, *y = b;
    return labels_compare(x->labels, y->labels);
}

static struct error *select_labels(struct call *call, struct series_set **out)
{
    struct arena *arena = arena_create(context_budget(call->ctx));
    series_vec found = VEC_INIT(context_budget(call->ctx));
    struct error *err = ask_series(call, arena, &found);
    if (!err && found.len) {
        qsort(found.items, found.len, sizeof(*found.items), compare_series);
        struct series *items = arena_try_alloc(arena, found.len * sizeof(*items));
        err = items ? NULL : arena_status(arena);
        if (!err) {
            memcpy(items, found.items, found.len * sizeof(*items));
            *out = series_set_join(context_budget(call->ctx),
                                   series_set_from_array(arena, items, found.len), NULL);
        }
    } else if (!err) {
        *out = series_set_empty();
    }
    vec_deinit(&found);
    arena_unref(arena);
    return err;
}

/* ---- series with chunks ---- */

static struct error *start_read(struct call *call, const struct matcher *matchers, size_t count,
                                struct series_set **out)
{
    struct remote_read_query query = {
        .matchers = matchers,
        .matcher_count = count,
        .min_time = call->min_time,
        .max_time = call->query->max_time,
        .external = call->facts.external,
        .frames = call->store->frames,
    };
    return remote_read_start(call->store->client, call->ctx, &query, out);
}

static struct series_set *in_order(struct call *call, struct series_set *set, bool sort)
{
    struct budget *budget = context_budget(call->ctx);
    if (sort)
        return series_set_sort(budget, set, (struct str_list){0});
    return series_set_join(budget, set, &call->store->out_of_order);
}

/* Reads the series that have no label named as the first `absent` external labels and, when there
 * is one more, have that one. */
static struct error *read_part(struct call *call, size_t absent, struct series_set **out)
{
    size_t count = call->query->matcher_count, at = count;
    struct matcher *matchers = arena_array(call->arena, count + absent + 1, sizeof(*matchers));
    struct labels_reader reader = labels_read(call->facts.external);
    struct label label;
    struct error *err = NULL;
    if (count)
        memcpy(matchers, call->query->matchers, count * sizeof(*matchers));
    for (size_t i = 0; i <= absent && !err && labels_next(&reader, &label); i++)
        err = matcher_create(call->arena, i < absent ? MATCH_EQUAL : MATCH_NOT_EQUAL, label.name,
                             STR(""), &matchers[at++]);
    return err ? err : start_read(call, matchers, at, out);
}

/* Series without own labels of the external names stream in order; the others, few if any, do so
 * only before pairs are left out of them. */
static struct error *select_parts(struct call *call, struct series_set **out)
{
    size_t names = labels_count(call->facts.external), made = 0;
    struct series_set **sets = arena_array(call->arena, names + 1, sizeof(struct series_set *));
    struct error *err = NULL;
    for (size_t absent = 0; absent <= names && !err; absent++) {
        struct series_set *set;
        err = read_part(call, absent, &set);
        if (!err)
            sets[made++] = in_order(call, set, absent < names);
    }
    if (!err) {
        *out = series_set_merge(context_budget(call->ctx), sets, made);
        return NULL;
    }
    for (size_t i = 0; i < made; i++)
        series_set_free(sets[i]);
    return err;
}

static struct error *select_chunks(struct call *call, struct series_set **out)
{
    bool sort = atomic_load(&call->store->out_of_order);
    if (!sort && call->facts.external_overlap && call->facts.external.len)
        return select_parts(call, out);
    struct error *err = start_read(call, call->query->matchers, call->query->matcher_count, out);
    if (!err)
        *out = in_order(call, *out, sort);
    return err;
}

/* A matcher wants a label of an external name, which no series is known to have. That is how
 * replicas are told apart when their label is dropped: half of those selects need no call. */
static bool asks_for_overlap(const struct call *call)
{
    for (size_t i = 0; i < call->query->matcher_count; i++) {
        const struct matcher *matcher = &call->query->matchers[i];
        if (matcher->op == MATCH_NOT_EQUAL && matcher->value.len == 0 &&
            labels_has(call->facts.external, matcher->name))
            return true;
    }
    return false;
}

static struct error *prometheus_store_select(struct store *base, struct context *ctx,
                                             const struct store_query *query,
                                             struct series_set **out)
{
    struct call call;
    struct error *err = NULL;
    call_init(&call, base, ctx, query);
    if (call.is_empty || (!call.facts.external_overlap && asks_for_overlap(&call)))
        *out = series_set_empty();
    else if (query->skip_chunks)
        err = select_labels(&call, out);
    else
        err = select_chunks(&call, out);
    if (!err)
        *out = series_set_limit(*out, query->limit);
    call_deinit(&call);
    return err;
}

/* ---- names and values ---- */

/* "2.24.0" or later; a version that is none counts as old. */
static bool has_matchers(struct str version)
{
    struct str major, minor, rest;
    uint64_t first, second;
    if (!str_cut(version, '.', &major, &rest) || !str_cut(rest, '.', &minor, &rest) ||
        !str_to_uint64(major, &first) || !str_to_uint64(minor, &second))
        return false;
    return first > 2 || (first == 2 && second >= 24);
}

/* Strings of a JSON array, as a list. */
static struct error *read_list(struct str data, struct arena *scratch, struct arena *arena,
                               size_t limit, struct str_list *out)
{
    VEC(struct str) found = VEC_INIT(arena_budget(arena));
    struct json_reader reader = json_read(data, scratch);
    if (data.len && json_array(&reader))
        while (json_item(&reader))
            vec_push(&found, arena_str(arena, json_str(&reader)));
    struct error *err = data.len ? json_finish(&reader, "answer of Prometheus") : NULL;
    error_keep_first(&err, vec_status(&found));
    error_keep_first(&err, arena_status(arena));
    if (!err && found.len) {
        out->items = arena_array(arena, found.len, sizeof(*out->items));
        memcpy(out->items, found.items, found.len * sizeof(*out->items));
        out->count = found.len;
        str_list_sort(out);
        if (limit)
            out->count = size_min(out->count, limit);
    }
    vec_deinit(&found);
    return err;
}

static struct error *ask_list(struct call *call, struct str path, struct arena *arena,
                              struct str_list *out)
{
    struct prometheus_answer answer;
    struct buf params = {0};
    prometheus_params(&params, call->query->matchers, call->query->matcher_count, call->min_time,
                      call->query->max_time, call->query->limit);
    struct error *err =
        prometheus_ask(call->store->client, call->ctx, path, buf_str(&params), &answer);
    if (!err)
        err = read_list(answer.data, call->arena, arena, call->query->limit, out);
    buf_deinit(&params);
    prometheus_answer_deinit(&answer);
    return err;
}

/* The names of all series, or (name not empty) the values of one name. For a Prometheus that knows
 * no matchers in its own calls. */
static struct error *list_from_series(struct call *call, struct str name, struct arena *arena,
                                      struct str_list *out)
{
    series_vec found = VEC_INIT(context_budget(call->ctx));
    VEC(struct str) texts = VEC_INIT(context_budget(call->ctx));
    struct store_query query = *call->query;
    query.limit = 0; /* it limits names or values, not series */
    struct call all = *call;
    all.query = &query;
    struct error *err = ask_series(&all, arena, &found);
    for (size_t i = 0; !err && i < found.len; i++) {
        struct labels_reader reader = labels_read(found.items[i].labels);
        struct label label;
        while (labels_next(&reader, &label))
            if (name.len == 0)
                vec_push(&texts, label.name);
            else if (str_equal(label.name, name))
                vec_push(&texts, label.value);
        err = vec_status(&texts);
    }
    if (!err && texts.len) {
        out->items = arena_array(arena, texts.len, sizeof(*out->items));
        memcpy(out->items, texts.items, texts.len * sizeof(*out->items));
        out->count = texts.len;
        str_list_sort(out);
        if (call->query->limit)
            out->count = size_min(out->count, call->query->limit);
    }
    vec_deinit(&texts);
    vec_deinit(&found);
    return err;
}

static struct error *prometheus_store_label_names(struct store *base, struct context *ctx,
                                                  const struct store_query *query,
                                                  struct arena *arena, struct str_list *out)
{
    struct call call;
    struct error *err;
    *out = (struct str_list){0};
    call_init(&call, base, ctx, query);
    call.min_time = query->min_time; /* as Thanos, which limits only selects to the data */
    if (query->matcher_count == 0 || has_matchers(call.facts.version))
        err = ask_list(&call, STR("/api/v1/labels"), arena, out);
    else
        err = list_from_series(&call, STR(""), arena, out);
    call_deinit(&call);
    return err;
}

static struct error *prometheus_store_label_values(struct store *base, struct context *ctx,
                                                   struct str name, const struct store_query *query,
                                                   struct arena *arena, struct str_list *out)
{
    struct call call;
    struct error *err;
    *out = (struct str_list){0};
    if (name.len == 0)
        return error_create(ERROR_INVALID, "label name parameter cannot be empty");
    call_init(&call, base, ctx, query);
    call.min_time = query->min_time;
    if (query->matcher_count == 0 || has_matchers(call.facts.version)) {
        struct buf path = {0};
        prometheus_label_path(&path, name);
        err = ask_list(&call, buf_str(&path), arena, out);
        buf_deinit(&path);
    } else {
        err = list_from_series(&call, name, arena, out);
    }
    call_deinit(&call);
    return err;
}

/* ---- life ---- */

static void prometheus_store_free(struct store *base) NO_THREAD_SAFETY /* nobody else is left */
{
    struct prometheus_store *store = container_of(base, struct prometheus_store, base);
    arena_unref(store->arena);
    mutex_deinit(&store->lock);
    free(store);
}

static const struct store_ops prometheus_store_ops = {
    .describe = prometheus_store_describe,
    .select = prometheus_store_select,
    .label_names = prometheus_store_label_names,
    .label_values = prometheus_store_label_values,
    .free = prometheus_store_free,
};

struct store *prometheus_store_create(struct prometheus_client *client,
                                      struct metrics *metrics) NO_THREAD_SAFETY
{
    static const double bounds[] = {10, 100, 1000, 10000, 100000};
    struct prometheus_store *store = xcalloc(1, sizeof(*store));
    store->base.ops = &prometheus_store_ops;
    store->client = client;
    mutex_init(&store->lock);
    store->arena = arena_create(NULL);
    store->facts = (struct prometheus_facts){.version = STR("0"), .min_time = INT64_MIN};
    if (metrics)
        store->frames = metrics_histogram(metrics, "prometheus_store_received_frames",
                                          "Number of frames received per streamed response.",
                                          bounds, countof(bounds));
    return &store->base;
}
