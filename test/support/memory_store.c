#include "support/memory_store.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "base/vec.h"
#include "runtime/context.h"

struct memory_store {
    struct store base;
    struct arena *arena;
    VEC(struct series) series;
    VEC(struct store_range) ranges;
    struct store_info info;
    size_t batch;
    size_t fail_after;
    enum error_kind fail_kind, call_kind;
    const char *fail_text, *call_text;
    atomic_size_t selects;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    bool is_stalled;
    struct memory_set *sets;
};

struct memory_set {
    struct series_set base;
    struct memory_store *store;
    struct context *ctx;
    struct arena *arena;
    struct series *items;
    size_t count, at;
    bool is_cancelled;
    struct series_wake wake;
    struct memory_set *next;
    struct context_hook on_end;
};

/* -- making data -- */

struct chunk memory_chunk(struct arena *arena, int64_t time, double value)
{
    uint8_t bytes[2 + 10 + 8] = {0, 1};
    size_t len = 2;
    uint64_t bits, zigzag = ((uint64_t)time << 1) ^ (uint64_t)(time >> 63);
    for (; zigzag >= 0x80; zigzag >>= 7)
        bytes[len++] = (uint8_t)(zigzag | 0x80);
    bytes[len++] = (uint8_t)zigzag;
    memcpy(&bits, &value, sizeof(bits));
    for (int shift = 56; shift >= 0; shift -= 8)
        bytes[len++] = (uint8_t)(bits >> shift);
    struct str copy = arena_str(arena, (struct str){(char *)bytes, len});
    return (struct chunk){
        .min_time = time, .max_time = time, .raw = {CHUNK_XOR, str_bytes(copy), 0}};
}

static struct labels labels_of_list(struct arena *arena, va_list args)
{
    struct labels_builder builder = labels_builder_create(arena);
    const char *name;
    while ((name = va_arg(args, const char *)))
        labels_builder_set(&builder, str_from(name), str_from(va_arg(args, const char *)));
    return labels_builder_finish(&builder);
}

struct labels labels_of(struct arena *arena, ...)
{
    va_list args;
    va_start(args, arena);
    struct labels labels = labels_of_list(arena, args);
    va_end(args);
    return labels;
}

void memory_store_add(struct memory_store *store, const int64_t *times, size_t count, ...)
{
    va_list args;
    va_start(args, count);
    struct series series = {labels_of_list(store->arena, args), {NULL, count}};
    va_end(args);
    series.chunks.items = arena_array(store->arena, count, sizeof(*series.chunks.items));
    for (size_t i = 0; i < count; i++)
        series.chunks.items[i] = memory_chunk(store->arena, times[i], (double)times[i]);
    (void)vec_push(&store->series, series);
}

void memory_store_add_series(struct memory_store *store, const struct series *series)
{
    struct series copy = {labels_copy(store->arena, series->labels), {NULL, series->chunks.count}};
    copy.chunks.items = arena_array(store->arena, copy.chunks.count, sizeof(struct chunk));
    for (size_t i = 0; i < copy.chunks.count; i++) {
        copy.chunks.items[i] = series->chunks.items[i];
        struct bytes *bytes = &copy.chunks.items[i].raw.bytes;
        *bytes = str_bytes(arena_str(store->arena, bytes_str(*bytes)));
    }
    (void)vec_push(&store->series, copy);
}

/* -- the set -- */

/* With the store's lock held. */
static bool set_must_wait(const struct memory_set *set)
{
    return set->store->is_stalled && !set->is_cancelled && !context_ended(set->ctx);
}

static struct error *memory_set_next(struct series_set *base, struct arena *arena, size_t max,
                                     struct series_batch *out)
{
    struct memory_set *set = container_of(base, struct memory_set, base);
    struct memory_store *store = set->store;
    pthread_mutex_lock(&store->lock);
    while (set_must_wait(set))
        pthread_cond_wait(&store->changed, &store->lock);
    bool is_cancelled = set->is_cancelled;
    pthread_mutex_unlock(&store->lock);
    if (is_cancelled)
        return error_create(ERROR_CANCELLED, "context canceled");
    struct error *err = context_error(set->ctx);
    if (err)
        return err;
    size_t count = size_min(max, set->count - set->at);
    if (store->batch)
        count = size_min(count, store->batch);
    if (store->fail_kind && set->at + count >= store->fail_after) {
        count = store->fail_after > set->at ? store->fail_after - set->at : 0;
        if (count == 0)
            return error_create(store->fail_kind, "%s", store->fail_text);
    }
    out->items = arena_array(arena, count, sizeof(*out->items));
    if (count)
        memcpy(out->items, set->items + set->at, count * sizeof(*out->items));
    out->count = count;
    set->at += count;
    arena_keep(arena, set->arena);
    return NULL;
}

static bool memory_set_ready(struct series_set *base, const struct series_wake *wake)
{
    struct memory_set *set = container_of(base, struct memory_set, base);
    pthread_mutex_lock(&set->store->lock);
    bool must_wait = set_must_wait(set);
    if (must_wait && wake)
        set->wake = *wake;
    pthread_mutex_unlock(&set->store->lock);
    return !must_wait;
}

static void set_wake(struct memory_set *set)
{
    pthread_mutex_lock(&set->store->lock);
    struct series_wake wake = set->wake;
    set->wake = (struct series_wake){0};
    pthread_cond_broadcast(&set->store->changed);
    pthread_mutex_unlock(&set->store->lock);
    if (wake.fn)
        wake.fn(wake.arg);
}

static void memory_set_on_end(void *arg)
{
    set_wake(arg);
}

static void memory_set_cancel(struct series_set *base)
{
    struct memory_set *set = container_of(base, struct memory_set, base);
    pthread_mutex_lock(&set->store->lock);
    set->is_cancelled = true;
    pthread_mutex_unlock(&set->store->lock);
    set_wake(set);
}

static void memory_set_stats(struct series_set *base, struct series_set_stats *add_to)
{
    add_to->series += container_of(base, struct memory_set, base)->at;
}

static void memory_set_free(struct series_set *base)
{
    struct memory_set *set = container_of(base, struct memory_set, base);
    context_off_end(set->ctx, &set->on_end);
    pthread_mutex_lock(&set->store->lock);
    struct memory_set **at = &set->store->sets;
    while (*at != set)
        at = &(*at)->next;
    *at = set->next;
    pthread_mutex_unlock(&set->store->lock);
    context_unref(set->ctx);
    arena_unref(set->arena);
    free(set);
}

static const struct series_set_ops memory_set_ops = {
    .next = memory_set_next,
    .ready = memory_set_ready,
    .cancel = memory_set_cancel,
    .stats = memory_set_stats,
    .free = memory_set_free,
};

/* -- the store -- */

static void memory_describe(struct store *base, struct store_info *out)
{
    struct memory_store *store = container_of(base, struct memory_store, base);
    struct arena *arena = out->arena;
    *out = store->info;
    out->arena = arena;
    out->ranges = store->ranges.items;
    out->range_count = store->ranges.len;
}

static int compare_series(const void *a, const void *b)
{
    return labels_compare(((const struct series *)a)->labels, ((const struct series *)b)->labels);
}

static int compare_chunks(const void *a, const void *b)
{
    return chunk_compare(a, b);
}

/* Puts the chunks of `more` that are not there yet into the list. */
static void join_chunks(struct arena *arena, struct chunk_list *list, struct chunk_list more)
{
    struct chunk *items = arena_array(arena, list->count + more.count, sizeof(*items));
    if (list->count)
        memcpy(items, list->items, list->count * sizeof(*items));
    size_t count = list->count;
    for (size_t i = 0; i < more.count; i++) {
        bool is_there = false;
        for (size_t j = 0; j < list->count && !is_there; j++)
            is_there = chunk_compare(&list->items[j], &more.items[i]) == 0;
        if (!is_there)
            items[count++] = more.items[i];
    }
    if (count)
        qsort(items, count, sizeof(*items), compare_chunks);
    *list = (struct chunk_list){items, count};
}

/* The series' part of the answer; false when it has none. */
static bool answer_one(struct memory_store *store, const struct store_query *query,
                       struct arena *arena, const struct series *series, struct series *out)
{
    if (!matchers_match(query->matchers, query->matcher_count, series->labels))
        return false;
    *out = (struct series){series->labels, {NULL, 0}};
    out->chunks.items = arena_array(arena, series->chunks.count, sizeof(struct chunk));
    bool has_any = false;
    for (size_t i = 0; i < series->chunks.count; i++) {
        const struct chunk *chunk = &series->chunks.items[i];
        bool is_in = chunk->max_time >= query->min_time && chunk->min_time <= query->max_time;
        has_any |= is_in;
        if (is_in && !query->skip_chunks)
            out->chunks.items[out->chunks.count++] = *chunk;
    }
    if (store->info.drops_labels)
        out->labels = labels_without(arena, out->labels, query->without_labels.items,
                                     query->without_labels.count);
    return has_any;
}

static void answer(struct memory_store *store, const struct store_query *query, struct arena *arena,
                   struct series_batch *out)
{
    struct series *items = arena_array(arena, store->series.len + 1, sizeof(*items));
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < store->series.len; i++)
        count += answer_one(store, query, arena, &store->series.items[i], &items[count]);
    if (count)
        qsort(items, count, sizeof(*items), compare_series);
    for (size_t i = 0; i < count; i++) {
        if (kept && labels_equal(items[kept - 1].labels, items[i].labels)) {
            join_chunks(arena, &items[kept - 1].chunks, items[i].chunks);
            continue;
        }
        const struct shard *shard = &query->shard;
        if (store->info.shards && shard->total &&
            labels_shard_hash(items[i].labels, shard->by, shard->labels.items,
                              shard->labels.count) %
                    shard->total !=
                shard->index)
            continue;
        items[kept++] = items[i];
    }
    if (query->limit)
        kept = size_min(kept, query->limit);
    *out = (struct series_batch){items, kept};
}

static struct error *call_failure(const struct memory_store *store)
{
    return store->call_kind ? error_create(store->call_kind, "%s", store->call_text) : NULL;
}

static struct error *memory_select(struct store *base, struct context *ctx,
                                   const struct store_query *query, struct series_set **out)
{
    struct memory_store *store = container_of(base, struct memory_store, base);
    atomic_fetch_add(&store->selects, 1);
    struct error *err = call_failure(store);
    if (err)
        return err;
    struct memory_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &memory_set_ops;
    set->store = store;
    set->ctx = context_ref(ctx);
    set->arena = arena_create(context_budget(ctx));
    struct series_batch batch;
    answer(store, query, set->arena, &batch);
    set->items = batch.items;
    set->count = batch.count;
    pthread_mutex_lock(&store->lock);
    set->next = store->sets;
    store->sets = set;
    pthread_mutex_unlock(&store->lock);
    set->on_end = (struct context_hook){.fn = memory_set_on_end, .arg = set};
    context_on_end(ctx, &set->on_end);
    *out = &set->base;
    return NULL;
}

/* Names of all series, or values of one label when `name` is not NULL. */
static struct error *memory_strings(struct memory_store *store, const struct str *name,
                                    const struct store_query *query, struct arena *arena,
                                    struct str_list *out)
{
    struct error *err = call_failure(store);
    if (err)
        return err;
    if (name && store->info.drops_labels && str_list_has(query->without_labels, *name))
        return NULL;
    struct store_query plain = *query;
    plain.limit = 0;
    struct series_batch batch;
    answer(store, &plain, arena, &batch);
    size_t most = 0;
    for (size_t i = 0; i < batch.count; i++)
        most += name ? 1 : labels_count(batch.items[i].labels);
    out->items = arena_array(arena, most, sizeof(*out->items));
    for (size_t i = 0; i < batch.count; i++) {
        struct labels_reader reader = labels_read(batch.items[i].labels);
        struct label label;
        while (labels_next(&reader, &label))
            if (!name)
                out->items[out->count++] = label.name;
            else if (str_equal(label.name, *name))
                out->items[out->count++] = label.value;
    }
    str_list_sort(out);
    if (query->limit)
        out->count = size_min(out->count, query->limit);
    return NULL;
}

static struct error *memory_label_names(struct store *base, struct context *ctx UNUSED,
                                        const struct store_query *query, struct arena *arena,
                                        struct str_list *out)
{
    return memory_strings(container_of(base, struct memory_store, base), NULL, query, arena, out);
}

static struct error *memory_label_values(struct store *base, struct context *ctx UNUSED,
                                         struct str name, const struct store_query *query,
                                         struct arena *arena, struct str_list *out)
{
    if (name.len == 0)
        return error_create(ERROR_INVALID, "label name parameter cannot be empty");
    return memory_strings(container_of(base, struct memory_store, base), &name, query, arena, out);
}

static void memory_free(struct store *base)
{
    struct memory_store *store = container_of(base, struct memory_store, base);
    vec_deinit(&store->series);
    vec_deinit(&store->ranges);
    arena_unref(store->arena);
    pthread_mutex_destroy(&store->lock);
    pthread_cond_destroy(&store->changed);
    free(store);
}

static const struct store_ops memory_ops = {
    .describe = memory_describe,
    .select = memory_select,
    .label_names = memory_label_names,
    .label_values = memory_label_values,
    .free = memory_free,
};

struct memory_store *memory_store_create(void)
{
    struct memory_store *store = xcalloc(1, sizeof(*store));
    store->base.ops = &memory_ops;
    store->arena = arena_create(NULL);
    store->info = (struct store_info){
        .min_time = INT64_MIN, .max_time = INT64_MAX, .drops_labels = true, .shards = true};
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->changed, NULL);
    return store;
}

struct store *memory_store_base(struct memory_store *store)
{
    return &store->base;
}

struct store_info *memory_store_info(struct memory_store *store)
{
    return &store->info;
}

void memory_store_add_range(struct memory_store *store, struct labels labels)
{
    struct store_range range = {labels_copy(store->arena, labels), store->info.min_time,
                                store->info.max_time};
    (void)vec_push(&store->ranges, range);
}

void memory_store_set_batch(struct memory_store *store, size_t batch)
{
    store->batch = batch;
}

void memory_store_fail_after(struct memory_store *store, size_t series, enum error_kind kind,
                             const char *text)
{
    store->fail_after = series;
    store->fail_kind = kind;
    store->fail_text = text;
}

void memory_store_fail_calls(struct memory_store *store, enum error_kind kind, const char *text)
{
    store->call_kind = kind;
    store->call_text = text;
}

void memory_store_stall(struct memory_store *store, bool is_stalled)
{
    pthread_mutex_lock(&store->lock);
    store->is_stalled = is_stalled;
    VEC(struct series_wake) wakes = VEC_INIT(NULL);
    for (struct memory_set *set = store->sets; set && !is_stalled; set = set->next) {
        (void)vec_push(&wakes, set->wake);
        set->wake = (struct series_wake){0};
    }
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->lock);
    for (size_t i = 0; i < wakes.len; i++)
        if (wakes.items[i].fn)
            wakes.items[i].fn(wakes.items[i].arg);
    vec_deinit(&wakes);
}

size_t memory_store_selects(const struct memory_store *store)
{
    return atomic_load(&((struct memory_store *)store)->selects);
}

/* -- reading -- */

struct error *series_set_read_all(struct series_set *set, struct arena *arena, size_t max,
                                  struct series_batch *out)
{
    VEC(struct series) all = VEC_INIT(NULL);
    struct series_batch batch;
    struct error *err;
    do {
        err = series_set_next(set, arena, max, &batch);
        for (size_t i = 0; i < batch.count; i++)
            (void)vec_push(&all, batch.items[i]);
    } while (!err && batch.count);
    out->count = all.len;
    out->items = arena_array(arena, all.len, sizeof(*out->items));
    if (all.len)
        memcpy(out->items, all.items, all.len * sizeof(*out->items));
    vec_deinit(&all);
    series_set_free(set);
    return err;
}

struct str series_batch_text(struct arena *arena, const struct series_batch *batch)
{
    struct buf text = BUF_INIT(NULL);
    for (size_t i = 0; i < batch->count; i++) {
        if (i)
            buf_append_byte(&text, ' ');
        labels_print(&text, batch->items[i].labels);
        for (size_t j = 0; j < batch->items[i].chunks.count; j++) {
            buf_append_byte(&text, j ? ',' : '@');
            buf_append_int64(&text, batch->items[i].chunks.items[j].min_time);
        }
    }
    struct str copy = arena_str(arena, buf_str(&text));
    buf_deinit(&text);
    return copy;
}
