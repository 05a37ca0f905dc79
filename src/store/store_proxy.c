#include "store/store_proxy.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "runtime/context.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "store/fan_out.h"
#include "store/proxy_input.h"
#include "store/series_shard.h"
#include "store/series_sort.h"
#include "store/store_choice.h"
#include "store/store_merge.h"

struct proxy_store {
    struct store base;
    struct store_proxy_config config;
    struct metric *empty_streams;
};

/* A store that a call goes to. */
struct chosen {
    struct store *store;
    struct store_info info;
    const struct matcher *matchers; /* the query's, and for a narrowed store its label sets' */
    size_t matcher_count;
};

struct choice {
    struct store_list *list;
    struct arena *arena;
    struct chosen *items; /* remote ones first */
    size_t count, all;    /* all: stores there are */
};

static void choice_deinit(struct choice *choice)
{
    store_list_unref(choice->list);
    arena_unref(choice->arena);
}

static void proxy_log_passed_over(struct proxy_store *proxy, const struct store_info *info,
                                  const char *reason)
{
    if (proxy->config.log)
        log_debug(proxy->config.log, "store is not asked", KV("store", info->address),
                  KV("reason", reason));
}

/* NULL when the store is to be asked, else why not. */
static struct error *proxy_look_at(struct proxy_store *proxy, const struct store_query *query,
                                   struct chosen *chosen, const char **reason)
{
    bool narrowed;
    store_describe(chosen->store, &chosen->info);
    chosen->matchers = query->matchers;
    chosen->matcher_count = query->matcher_count;
    if (!store_selector_narrow(&proxy->config.selector, &chosen->info, &narrowed)) {
        *reason = "relabelling drops its external labels";
        return NULL;
    }
    *reason = store_choice(&chosen->info, query);
    if (*reason || !narrowed)
        return NULL;
    struct matcher *matchers;
    struct error *err =
        store_selector_matchers(&chosen->info, query, &matchers, &chosen->matcher_count);
    chosen->matchers = matchers;
    return err;
}

static struct error *proxy_choose(struct proxy_store *proxy, struct context *ctx,
                                  const struct store_query *query, struct choice *out)
{
    struct store_list *list = proxy->config.stores(proxy->config.self);
    size_t all = store_list_count(list), local = 0;
    *out = (struct choice){list, arena_create(context_budget(ctx)), NULL, 0, all};
    out->items = arena_array(out->arena, all, sizeof(*out->items));
    struct chosen *locals = arena_array(out->arena, all, sizeof(*locals));
    struct error *err = NULL;
    for (size_t i = 0; i < all && !err; i++) {
        struct chosen chosen = {.store = store_list_at(list, i), .info = {.arena = out->arena}};
        const char *reason;
        err = proxy_look_at(proxy, query, &chosen, &reason);
        if (!err && reason)
            proxy_log_passed_over(proxy, &chosen.info, reason);
        else if (!err && chosen.info.is_remote)
            out->items[out->count++] = chosen;
        else if (!err)
            locals[local++] = chosen;
    }
    if (local)
        memcpy(out->items + out->count, locals, local * sizeof(*locals));
    out->count += local;
    return err;
}

/* The query without matchers on labels of the selector; false when one contradicts them. */
static bool proxy_strip(struct proxy_store *proxy, struct arena *arena,
                        const struct store_query *query, struct store_query *out)
{
    *out = *query;
    if (proxy->config.selector.labels.len == 0)
        return true;
    struct matcher *matchers;
    bool matches =
        store_selector_strip(&proxy->config.selector, query, arena, &matchers, &out->matcher_count);
    out->matchers = matchers;
    return matches;
}

/* -- select -- */

/* Keeps the stores for as long as the set lives. */
struct proxy_set {
    struct series_set base;
    struct series_set *inner;
    struct store_list *list;
};

static struct error *proxy_set_next(struct series_set *base, struct arena *arena, size_t max,
                                    struct series_batch *out)
{
    return series_set_next(container_of(base, struct proxy_set, base)->inner, arena, max, out);
}

static bool proxy_set_ready(struct series_set *base, const struct series_wake *wake)
{
    return series_set_ready(container_of(base, struct proxy_set, base)->inner, wake);
}

static void proxy_set_cancel(struct series_set *base)
{
    series_set_cancel(container_of(base, struct proxy_set, base)->inner);
}

static void proxy_set_stats(struct series_set *base, struct series_set_stats *add_to)
{
    series_set_stats(container_of(base, struct proxy_set, base)->inner, add_to);
}

static void proxy_set_free(struct series_set *base)
{
    struct proxy_set *set = container_of(base, struct proxy_set, base);
    series_set_free(set->inner);
    store_list_unref(set->list);
    free(set);
}

static const struct series_set_ops proxy_set_ops = {
    .next = proxy_set_next,
    .ready = proxy_set_ready,
    .cancel = proxy_set_cancel,
    .stats = proxy_set_stats,
    .free = proxy_set_free,
};

static struct series_set *proxy_set_create(struct series_set *inner, struct store_list *list)
{
    struct proxy_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &proxy_set_ops;
    set->inner = inner;
    set->list = store_list_ref(list);
    return &set->base;
}

/* The store's set with what it does not do itself, and its failures as the query wants them. */
static struct series_set *proxy_select_one(struct proxy_store *proxy, struct context *ctx,
                                           const struct store_query *query, struct chosen *chosen)
{
    struct budget *budget = context_budget(ctx);
    bool drop = query->without_labels.count && !chosen->info.drops_labels;
    bool shard = query->shard.total && (drop || !chosen->info.shards);
    struct store_query asked = *query;
    asked.store_matches = NULL;
    asked.store_match_count = 0;
    asked.matchers = chosen->matchers;
    asked.matcher_count = chosen->matcher_count;
    if (drop)
        asked.without_labels = (struct str_list){0};
    if (shard)
        asked.shard = (struct shard){0};
    if (drop || shard)
        asked.limit = 0;
    struct series_set *set;
    struct error *err = store_select(chosen->store, ctx, &asked, &set);
    if (err) {
        struct str labels = store_info_labels_text(&chosen->info);
        struct str text = store_info_text(&chosen->info);
        set = series_set_failed(
            error_wrap(err, "fetch series for %.*s %.*s", STR_ARG(labels), STR_ARG(text)));
    }
    if (drop)
        set = series_set_sort(budget, set, query->without_labels);
    if (shard)
        set = series_set_shard(budget, set, &query->shard);
    struct proxy_input_config config = {
        .ctx = ctx,
        .partial = query->partial,
        .timeout_ms = proxy->config.response_timeout_ms,
        .store_text = store_info_text(&chosen->info),
        .empty_streams = proxy->empty_streams,
    };
    return proxy_input_create(set, &config);
}

static struct error *proxy_select_all(struct proxy_store *proxy, struct context *ctx,
                                      const struct store_query *query, struct series_set **out)
{
    struct choice choice;
    struct error *err = proxy_choose(proxy, ctx, query, &choice);
    if (!err && choice.all == 0 && query->partial == PARTIAL_ABORT)
        err = error_create(ERROR_UNAVAILABLE, "No StoreAPIs available");
    if (!err) {
        struct series_set **sets =
            arena_array(choice.arena, choice.count, sizeof(struct series_set *));
        for (size_t i = 0; i < choice.count; i++)
            sets[i] = proxy_select_one(proxy, ctx, query, &choice.items[i]);
        struct series_set *merged = series_set_merge(context_budget(ctx), sets, choice.count);
        *out = proxy_set_create(series_set_limit(merged, query->limit), choice.list);
    }
    choice_deinit(&choice);
    return err;
}

static struct error *proxy_select(struct store *base, struct context *ctx,
                                  const struct store_query *query, struct series_set **out)
{
    struct proxy_store *proxy = container_of(base, struct proxy_store, base);
    struct arena *arena = arena_create(context_budget(ctx));
    struct store_query stripped;
    struct error *err = NULL;
    if (!proxy_strip(proxy, arena, query, &stripped))
        *out = series_set_empty();
    else if (stripped.matcher_count == 0)
        err = error_create(ERROR_INVALID, "no matchers specified (excluding selector labels)");
    else
        err = proxy_select_all(proxy, ctx, &stripped, out);
    arena_unref(arena);
    return err;
}

/* -- label calls -- */

struct label_answer {
    struct arena *arena;
    struct str_list list;
};

struct label_call {
    struct proxy_store *proxy;
    struct context *ctx;    /* the caller's, which gathers warnings */
    struct context *common; /* its child, ended by the first error with PARTIAL_ABORT */
    struct store_query query;
    bool wants_values;
    struct str name; /* of the values */
    struct choice choice;
    struct label_answer *answers; /* [choice.count] */
    struct mutex lock;            /* also for choice.arena while stores are asked */
    struct error *first GUARDED_BY(lock);
};

static void label_call_fail(struct label_call *call, struct chosen *chosen, struct error *err)
{
    const char *what = call->wants_values ? "values" : "names";
    mutex_lock(&call->lock); /* the text too: it is made in the arena that all answers share */
    err = error_wrap(err, "fetch label %s from store %.*s", what,
                     STR_ARG(store_info_text(&chosen->info)));
    bool is_abort = call->query.partial == PARTIAL_ABORT;
    if (is_abort)
        error_keep_first(&call->first, error_as(err, ERROR_UNAVAILABLE));
    else
        context_warn(call->ctx, error_text(err));
    mutex_unlock(&call->lock);
    if (is_abort)
        context_cancel(call->common);
    else
        error_free(err);
}

static void label_call_one(void *arg, size_t i)
{
    struct label_call *call = arg;
    struct chosen *chosen = &call->choice.items[i];
    struct label_answer *answer = &call->answers[i];
    answer->arena = arena_create(context_budget(call->ctx));
    struct context *ctx = context_create(call->common, call->proxy->config.response_timeout_ms);
    struct store_query query = call->query;
    query.matchers = chosen->matchers;
    query.matcher_count = chosen->matcher_count;
    struct error *err =
        call->wants_values
            ? store_label_values(chosen->store, ctx, call->name, &query, answer->arena,
                                 &answer->list)
            : store_label_names(chosen->store, ctx, &query, answer->arena, &answer->list);
    if (!err)
        err = arena_status(answer->arena);
    context_unref(ctx);
    if (err)
        label_call_fail(call, chosen, err);
}

static struct error *label_call_unite(struct label_call *call, struct arena *arena, size_t limit,
                                      struct str_list *out)
{
    struct str_list *lists = arena_array(call->choice.arena, call->choice.count, sizeof(*lists));
    for (size_t i = 0; i < call->choice.count; i++) {
        lists[i] = call->answers[i].list;
        arena_keep(arena, call->answers[i].arena);
    }
    struct str_list all = str_lists_merge(arena, lists, call->choice.count, 0);
    struct str_list without = call->query.without_labels;
    if (!call->wants_values) { /* of stores that cannot drop them */
        size_t kept = 0;
        for (size_t i = 0; i < all.count; i++)
            if (!str_list_has(without, all.items[i]))
                all.items[kept++] = all.items[i];
        all.count = kept;
    }
    if (limit)
        all.count = size_min(all.count, limit);
    *out = all;
    return arena_status(arena);
}

/* Asks the stores; what they gave is in call->answers. */
static struct error *label_call_ask(struct label_call *call, const struct store_query *query)
{
    struct error *err = proxy_choose(call->proxy, call->ctx, query, &call->choice);
    if (err)
        call->choice.count = 0;
    call->answers = arena_zalloc(call->choice.arena, call->choice.count * sizeof(*call->answers));
    if (!err)
        fan_out(call->proxy->config.metadata, call->choice.count, label_call_one, call);
    mutex_lock(&call->lock);
    err = err ? err : call->first;
    mutex_unlock(&call->lock);
    if (context_ended(call->ctx)) { /* then warnings are not the stores' fault */
        error_free(err);
        err = context_error(call->ctx);
    }
    return err;
}

static struct error *label_call_run(struct label_call *call, struct store *base,
                                    struct context *ctx, const struct store_query *query,
                                    struct arena *arena, struct str_list *out)
{
    call->proxy = container_of(base, struct proxy_store, base);
    call->ctx = ctx;
    if (!proxy_strip(call->proxy, arena, query, &call->query)) {
        *out = (struct str_list){0};
        return NULL;
    }
    const struct store_query stripped = call->query;
    call->common = context_create(ctx, CONTEXT_NO_DEADLINE);
    call->query.store_matches = NULL;
    call->query.store_match_count = 0;
    if (!call->wants_values)
        call->query.limit = 0; /* names are dropped after stores have counted them */
    mutex_init(&call->lock);
    struct error *err = label_call_ask(call, &stripped);
    if (!err)
        err = label_call_unite(call, arena, query->limit, out);
    for (size_t i = 0; i < call->choice.count; i++)
        arena_unref(call->answers[i].arena);
    choice_deinit(&call->choice);
    context_unref(call->common);
    mutex_deinit(&call->lock);
    return err;
}

static struct error *proxy_label_names(struct store *base, struct context *ctx,
                                       const struct store_query *query, struct arena *arena,
                                       struct str_list *out)
{
    struct label_call call = {.wants_values = false};
    return label_call_run(&call, base, ctx, query, arena, out);
}

static struct error *proxy_label_values(struct store *base, struct context *ctx, struct str name,
                                        const struct store_query *query, struct arena *arena,
                                        struct str_list *out)
{
    if (name.len == 0)
        return error_create(ERROR_INVALID, "label name parameter cannot be empty");
    if (str_list_has(query->without_labels, name))
        return NULL;
    struct label_call call = {.wants_values = true, .name = name};
    return label_call_run(&call, base, ctx, query, arena, out);
}

/* -- describe -- */

static size_t info_ranges(const struct store_info *info)
{
    return info->range_count ? info->range_count : 1;
}

/* A store without label sets matches everything; among others it is a set without labels, which
 * contradicts nothing. */
static void describe_unite(struct store_info *out, const struct store_info *infos, size_t count)
{
    size_t total = 0, labelled = 0;
    out->min_time = INT64_MAX;
    out->max_time = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
        out->min_time = int64_min(out->min_time, infos[i].min_time);
        out->max_time = int64_max(out->max_time, infos[i].max_time);
        total += info_ranges(&infos[i]);
        labelled += infos[i].range_count;
    }
    if (labelled == 0)
        return;
    out->ranges = arena_array(out->arena, total, sizeof(*out->ranges));
    for (size_t i = 0; i < count; i++) {
        const struct store_range everything = {{NULL, 0}, infos[i].min_time, infos[i].max_time};
        memcpy(out->ranges + out->range_count, infos[i].range_count ? infos[i].ranges : &everything,
               info_ranges(&infos[i]) * sizeof(*out->ranges));
        out->range_count += info_ranges(&infos[i]);
    }
}

static void proxy_describe(struct store *base, struct store_info *out)
{
    struct proxy_store *proxy = container_of(base, struct proxy_store, base);
    struct store_list *list = proxy->config.stores(proxy->config.self);
    size_t all = store_list_count(list), count = 0;
    struct store_info *infos = arena_array(out->arena, all, sizeof(*infos));
    for (size_t i = 0; i < all; i++) {
        struct store_info *info = &infos[count];
        bool narrowed;
        *info = (struct store_info){.arena = out->arena};
        store_describe(store_list_at(list, i), info);
        count += store_selector_narrow(&proxy->config.selector, info, &narrowed);
    }
    if (count)
        describe_unite(out, infos, count);
    store_selector_announce(&proxy->config.selector, out);
    out->drops_labels = true;
    out->shards = true;
    store_list_unref(list);
}

static void proxy_free(struct store *base)
{
    free(container_of(base, struct proxy_store, base));
}

static const struct store_ops proxy_ops = {
    .describe = proxy_describe,
    .select = proxy_select,
    .label_names = proxy_label_names,
    .label_values = proxy_label_values,
    .free = proxy_free,
};

struct store *store_proxy_create(const struct store_proxy_config *config)
{
    struct proxy_store *proxy = xcalloc(1, sizeof(*proxy));
    proxy->base.ops = &proxy_ops;
    proxy->config = *config;
    if (config->metrics)
        proxy->empty_streams =
            metrics_counter(config->metrics, "thanos_proxy_store_empty_stream_responses_total",
                            "Total number of empty responses received.");
    return &proxy->base;
}
