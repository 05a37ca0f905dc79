#include "store/store_external_labels.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "runtime/context.h"
#include "store/series_add_labels.h"
#include "store/series_shard.h"
#include "store/series_sort.h"
#include "store/store_merge.h"

struct external_store {
    struct store base;
    struct store *inner;
    bool takes_all; /* inner may be asked without a matcher */
    struct mutex lock;
    struct arena *arena GUARDED_BY(lock); /* of the labels */
    struct labels labels GUARDED_BY(lock);
};

/* One call: the query as inner gets it. Lives in `arena`. */
struct external_call {
    struct arena *arena;
    struct labels external; /* all of them */
    struct labels added;    /* without those that the query drops */
    struct store_query query;
    bool can_match; /* false: a matcher on an external label excludes everything */
};

/* The labels as they are now, in an arena the caller gets a reference on. */
static struct labels external_acquire(struct external_store *store, struct arena **arena)
{
    mutex_lock(&store->lock);
    struct labels labels = store->labels;
    *arena = store->arena;
    arena_ref(store->arena);
    mutex_unlock(&store->lock);
    return labels;
}

void store_external_labels_set(struct store *base, struct labels labels)
{
    struct external_store *store = container_of(base, struct external_store, base);
    struct arena *arena = arena_create(NULL);
    labels = labels_copy(arena, labels);
    mutex_lock(&store->lock);
    struct arena *old = store->arena;
    store->arena = arena;
    store->labels = labels;
    mutex_unlock(&store->lock);
    arena_unref(old);
}

void store_external_labels_allow_all(struct store *base)
{
    container_of(base, struct external_store, base)->takes_all = true;
}

struct labels store_external_labels_get(struct store *base, struct arena *arena)
{
    struct external_store *store = container_of(base, struct external_store, base);
    struct arena *held;
    struct labels labels = labels_copy(arena, external_acquire(store, &held));
    arena_unref(held);
    return labels;
}

static void external_describe(struct store *base, struct store_info *out)
{
    struct external_store *store = container_of(base, struct external_store, base);
    store_describe(store->inner, out);
    struct labels labels = store_external_labels_get(base, out->arena);
    out->drops_labels = true;
    out->shards = true;
    out->range_count = labels.len ? 1 : 0;
    if (labels.len == 0)
        return;
    out->ranges = arena_alloc(out->arena, sizeof(*out->ranges));
    out->ranges[0] = (struct store_range){labels, out->min_time, out->max_time};
}

/* Separates the matchers on external labels. Those left over, if any, are the call's query. */
static void external_call_init(struct external_call *call, struct external_store *store,
                               struct context *ctx, const struct store_query *query)
{
    struct arena *labels_arena;
    call->arena = arena_create(context_budget(ctx));
    call->external = external_acquire(store, &labels_arena);
    arena_keep(call->arena, labels_arena);
    arena_unref(labels_arena);
    call->added = labels_without(call->arena, call->external, query->without_labels.items,
                                 query->without_labels.count);
    call->query = *query;
    call->query.without_labels = (struct str_list){0};
    call->query.shard = (struct shard){0};
    call->can_match = true;
    struct matcher *left = arena_array(call->arena, query->matcher_count, sizeof(*left));
    call->query.matchers = left;
    call->query.matcher_count = 0;
    for (size_t i = 0; i < query->matcher_count; i++) {
        struct str value = labels_get(call->external, query->matchers[i].name);
        if (value.len == 0)
            left[call->query.matcher_count++] = query->matchers[i];
        else if (!matcher_matches(&query->matchers[i], value))
            call->can_match = false;
    }
}

static void external_call_deinit(struct external_call *call)
{
    arena_unref(call->arena);
}

/* The call's query with one more matcher on each of `names`: the first `empty` of them must be
 * absent, and the one after that, if there is one, must not. */
static struct error *split_query(struct external_call *call, struct str_list names, size_t empty,
                                 struct store_query *out)
{
    size_t count = call->query.matcher_count, at = count;
    struct matcher *matchers = arena_array(call->arena, count + names.count, sizeof(*matchers));
    if (count)
        memcpy(matchers, call->query.matchers, count * sizeof(*matchers));
    *out = call->query;
    struct error *err = NULL;
    for (size_t i = 0; i < names.count && i <= empty && !err; i++)
        err = matcher_create(call->arena, i < empty ? MATCH_EQUAL : MATCH_NOT_EQUAL, names.items[i],
                             STR(""), &matchers[at++]);
    out->matchers = matchers;
    out->matcher_count = at;
    return err;
}

/* Series without any of the labels to be dropped stream; those with the first, with the second and
 * not the first, and so on are sorted. */
static struct error *external_select_split(struct external_store *store, struct external_call *call,
                                           struct context *ctx, struct str_list without,
                                           struct series_set **out)
{
    size_t count = without.count + 1, made = 0;
    struct budget *budget = context_budget(ctx);
    struct series_set **sets = arena_array(call->arena, count, sizeof(struct series_set *));
    struct error *err = NULL;
    for (size_t i = count; i-- > 0 && !err;) {
        struct store_query query;
        struct series_set *set = NULL;
        err = split_query(call, without, i, &query);
        if (!err)
            err = store_select(store->inner, ctx, &query, &set);
        if (err)
            break;
        if (i < without.count)
            set = series_set_sort(budget, set, without);
        sets[made++] = series_set_add_labels(budget, set, call->added);
    }
    if (!err) {
        *out = series_set_merge(budget, sets, made);
        return NULL;
    }
    for (size_t i = 0; i < made; i++)
        series_set_free(sets[i]);
    return err;
}

/* The names that a series can still have: those that a matcher wants equal to "" it has not. */
static struct str_list external_split_names(struct external_call *call, struct str_list without)
{
    struct str_list names = {arena_array(call->arena, without.count, sizeof(*names.items)), 0};
    for (size_t i = 0; i < without.count; i++) {
        bool is_absent = false;
        for (size_t j = 0; j < call->query.matcher_count && !is_absent; j++) {
            const struct matcher *matcher = &call->query.matchers[j];
            is_absent = matcher->op == MATCH_EQUAL && matcher->value.len == 0 &&
                        str_equal(matcher->name, without.items[i]);
        }
        if (!is_absent)
            names.items[names.count++] = without.items[i];
    }
    return names;
}

static struct error *external_select(struct store *base, struct context *ctx,
                                     const struct store_query *query, struct series_set **out)
{
    struct external_store *store = container_of(base, struct external_store, base);
    struct external_call call;
    external_call_init(&call, store, ctx, query);
    struct error *err = NULL;
    if (!call.can_match) {
        *out = series_set_empty();
    } else if (call.query.matcher_count == 0 && !store->takes_all) {
        err = error_create(ERROR_INVALID, "no matchers specified (excluding external labels)");
    } else {
        /* Series are dropped and joined after inner has counted them. */
        if (query->shard.total || query->without_labels.count)
            call.query.limit = 0;
        struct str_list names = external_split_names(&call, query->without_labels);
        err = external_select_split(store, &call, ctx, names, out);
    }
    if (!err && *out) {
        *out = series_set_shard(context_budget(ctx), *out, &query->shard);
        *out = series_set_limit(*out, query->limit);
    }
    external_call_deinit(&call);
    return err;
}

static struct error *external_label_names(struct store *base, struct context *ctx,
                                          const struct store_query *query, struct arena *arena,
                                          struct str_list *out)
{
    struct external_store *store = container_of(base, struct external_store, base);
    struct external_call call;
    external_call_init(&call, store, ctx, query);
    call.query.limit = 0; /* names may be dropped and added */
    struct str_list names = {0};
    struct error *err =
        call.can_match ? store_label_names(store->inner, ctx, &call.query, arena, &names) : NULL;
    if (!err && names.count) {
        struct str_list own = {arena_array(arena, labels_count(call.added), sizeof(*own.items)), 0};
        struct labels_reader reader = labels_read(call.added);
        struct label label;
        while (labels_next(&reader, &label))
            own.items[own.count++] = arena_str(arena, label.name);
        size_t kept = 0;
        for (size_t i = 0; i < names.count; i++)
            if (!str_list_has(query->without_labels, names.items[i]))
                names.items[kept++] = names.items[i];
        names.count = kept;
        *out = str_lists_merge(arena, (struct str_list[]){names, own}, 2, query->limit);
    }
    external_call_deinit(&call);
    return err;
}

/* Whether inner has anything at all for the call's matchers. */
static struct error *external_has_series(struct external_store *store, struct external_call *call,
                                         struct context *ctx, bool *out)
{
    struct store_query query = call->query;
    query.limit = 1;
    struct str_list names;
    struct error *err = store_label_names(store->inner, ctx, &query, call->arena, &names);
    *out = !err && names.count > 0;
    return err;
}

static struct error *external_label_values(struct store *base, struct context *ctx, struct str name,
                                           const struct store_query *query, struct arena *arena,
                                           struct str_list *out)
{
    struct external_store *store = container_of(base, struct external_store, base);
    if (name.len == 0)
        return error_create(ERROR_INVALID, "label name parameter cannot be empty");
    if (str_list_has(query->without_labels, name))
        return NULL;
    struct external_call call;
    external_call_init(&call, store, ctx, query);
    struct error *err = NULL;
    struct str value = labels_get(call.external, name);
    bool has_series = call.can_match;
    if (call.can_match && value.len && call.query.matcher_count)
        err = external_has_series(store, &call, ctx, &has_series);
    if (!err && has_series && value.len) {
        out->items = arena_alloc(arena, sizeof(*out->items));
        out->items[0] = arena_str(arena, value);
        out->count = 1;
    } else if (!err && has_series) {
        err = store_label_values(store->inner, ctx, name, &call.query, arena, out);
    }
    external_call_deinit(&call);
    return err;
}

static void external_free(struct store *base) NO_THREAD_SAFETY /* nobody else is left */
{
    struct external_store *store = container_of(base, struct external_store, base);
    store_free(store->inner);
    arena_unref(store->arena);
    mutex_deinit(&store->lock);
    free(store);
}

static const struct store_ops external_ops = {
    .describe = external_describe,
    .select = external_select,
    .label_names = external_label_names,
    .label_values = external_label_values,
    .free = external_free,
};

struct store *store_external_labels_create(struct store *inner) NO_THREAD_SAFETY
{
    struct external_store *store = xcalloc(1, sizeof(*store));
    store->base.ops = &external_ops;
    store->inner = inner;
    mutex_init(&store->lock);
    store->arena = arena_create(NULL);
    return &store->base;
}
