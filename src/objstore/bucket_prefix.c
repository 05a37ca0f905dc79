#include "objstore/bucket_prefix.h"

#include <stdlib.h>

#include "base/memory.h"

struct prefixed {
    struct bucket base;
    struct bucket *inner;
    char *prefix; /* ends with "/" */
};

static struct prefixed *of(struct bucket *bucket)
{
    return container_of(bucket, struct prefixed, base);
}

static struct str whole_key(const struct prefixed *prefixed, struct str key, struct arena *arena)
{
    return arena_printf(arena, "%s%.*s", prefixed->prefix, STR_ARG(key));
}

static void prefix_read(struct bucket *bucket, struct context *ctx, struct bucket_read *reads,
                        size_t count)
{
    struct prefixed *prefixed = of(bucket);
    struct arena *arena = arena_create(NULL);
    struct str *keys = arena_array(arena, count, sizeof(*keys));
    for (size_t i = 0; i < count; i++) {
        keys[i] = reads[i].key;
        reads[i].key = whole_key(prefixed, keys[i], arena);
    }
    bucket_read_each(prefixed->inner, ctx, reads, count);
    for (size_t i = 0; i < count; i++)
        reads[i].key = keys[i];
    arena_unref(arena);
}

struct listing {
    size_t prefix_len;
    bucket_list_fn each;
    void *self;
};

static struct error *list_entry(void *self, const struct bucket_entry *entry)
{
    const struct listing *listing = self;
    struct bucket_entry below = *entry;
    below.key = str_slice(entry->key, listing->prefix_len, entry->key.len);
    return listing->each(listing->self, &below);
}

static struct error *prefix_list(struct bucket *bucket, struct context *ctx, struct str prefix,
                                 enum bucket_listing kind, bucket_list_fn each, void *self)
{
    struct prefixed *prefixed = of(bucket);
    struct arena *arena = arena_create(NULL);
    struct listing listing = {str_from(prefixed->prefix).len, each, self};
    struct error *err = bucket_list(prefixed->inner, ctx, whole_key(prefixed, prefix, arena), kind,
                                    list_entry, &listing);
    arena_unref(arena);
    return err;
}

static struct error *prefix_attributes(struct bucket *bucket, struct context *ctx, struct str key,
                                       struct bucket_attributes *out)
{
    struct arena *arena = arena_create(NULL);
    struct error *err =
        bucket_attributes(of(bucket)->inner, ctx, whole_key(of(bucket), key, arena), out);
    arena_unref(arena);
    return err;
}

static struct error *prefix_put(struct bucket *bucket, struct context *ctx, struct str key,
                                struct bucket_source *source)
{
    struct arena *arena = arena_create(NULL);
    struct error *err =
        bucket_put(of(bucket)->inner, ctx, whole_key(of(bucket), key, arena), source);
    arena_unref(arena);
    return err;
}

static struct error *prefix_remove(struct bucket *bucket, struct context *ctx, struct str key)
{
    struct arena *arena = arena_create(NULL);
    struct error *err = bucket_remove(of(bucket)->inner, ctx, whole_key(of(bucket), key, arena));
    arena_unref(arena);
    return err;
}

static void prefix_free(struct bucket *bucket)
{
    struct prefixed *prefixed = of(bucket);
    bucket_free(prefixed->inner);
    free(prefixed->prefix);
    free(prefixed);
}

static const struct bucket_ops prefix_ops = {
    .read = prefix_read,
    .list = prefix_list,
    .attributes = prefix_attributes,
    .put = prefix_put,
    .remove = prefix_remove,
    .free = prefix_free,
};

struct bucket *bucket_prefix_create(struct bucket *inner, struct str prefix)
{
    while (prefix.len > 0 && prefix.data[0] == '/')
        prefix = str_slice(prefix, 1, prefix.len);
    while (prefix.len > 0 && prefix.data[prefix.len - 1] == '/')
        prefix.len--;
    if (prefix.len == 0)
        return inner;
    struct prefixed *prefixed = xcalloc(1, sizeof(*prefixed));
    struct buf text = {0};
    buf_printf(&text, "%.*s/%c", STR_ARG(prefix), 0);
    prefixed->prefix = text.data;
    prefixed->inner = inner;
    prefixed->base = (struct bucket){&prefix_ops, inner->name, inner->type};
    return &prefixed->base;
}
