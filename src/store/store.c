#include "store/store.h"

void store_describe(struct store *store, struct store_info *out)
{
    struct arena *arena = out->arena;
    *out = (struct store_info){.arena = arena, .min_time = INT64_MIN, .max_time = INT64_MAX};
    store->ops->describe(store, out);
}

struct error *store_select(struct store *store, struct context *ctx,
                           const struct store_query *query, struct series_set **out)
{
    *out = NULL;
    return store->ops->select(store, ctx, query, out);
}

struct error *store_label_names(struct store *store, struct context *ctx,
                                const struct store_query *query, struct arena *arena,
                                struct str_list *out)
{
    *out = (struct str_list){0};
    return store->ops->label_names(store, ctx, query, arena, out);
}

struct error *store_label_values(struct store *store, struct context *ctx, struct str name,
                                 const struct store_query *query, struct arena *arena,
                                 struct str_list *out)
{
    *out = (struct str_list){0};
    return store->ops->label_values(store, ctx, name, query, arena, out);
}

void store_free(struct store *store)
{
    if (store)
        store->ops->free(store);
}

static struct error *matchers_copy(struct arena *arena, const struct matcher *matchers,
                                   size_t count, const struct matcher **out)
{
    struct matcher *copy = arena_array(arena, count, sizeof(*copy));
    struct error *err = NULL;
    for (size_t i = 0; i < count && !err; i++)
        err = matcher_create(arena, matchers[i].op, matchers[i].name, matchers[i].value, &copy[i]);
    *out = copy;
    return err;
}

struct error *store_query_copy(struct arena *arena, const struct store_query *query,
                               struct store_query *out)
{
    *out = *query;
    struct error *err = matchers_copy(arena, query->matchers, query->matcher_count, &out->matchers);
    struct store_match *matches =
        arena_array(arena, query->store_match_count, sizeof(*out->store_matches));
    for (size_t i = 0; i < query->store_match_count && !err; i++) {
        const struct store_match *match = &query->store_matches[i];
        matches[i].matcher_count = match->matcher_count;
        err = matchers_copy(arena, match->matchers, match->matcher_count, &matches[i].matchers);
    }
    if (err)
        return err;
    out->store_matches = matches;
    out->without_labels = str_list_copy(arena, query->without_labels);
    out->shard.labels = str_list_copy(arena, query->shard.labels);
    out->hints.func = arena_str(arena, query->hints.func);
    out->hints.grouping = str_list_copy(arena, query->hints.grouping);
    out->hints.wire = str_bytes(arena_str(arena, bytes_str(query->hints.wire)));
    return arena_status(arena);
}
