#include "bucket/bucket_cursor.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "codec/varint.h"
#include "runtime/context.h"

enum {
    WINDOW_ALL = 16384, /* series that the windows of all cursors have together */
    WINDOW_MIN = 16,
    WINDOW_MAX = 4096,
    SERIES_GUESS = 4096, /* bytes of an entry when the meta does not tell the longest */
    ENTRY_FRAME = 5 + 4, /* bytes around its body at most */
};

struct error *bucket_cursors_init(struct bucket_cursors *cursors, struct bucket *bucket,
                                  struct index_cache *cache, struct bucket_block *const *blocks,
                                  size_t count, const struct store_query *query,
                                  struct budget *budget)
{
    *cursors = (struct bucket_cursors){
        .bucket = bucket,
        .cache = cache,
        .budget = budget,
        .arena = arena_create(budget),
        .items = xcalloc(count + 1, sizeof(*cursors->items)),
        .count = count,
    };
    for (size_t i = 0; i < count; i++) {
        cursors->items[i].block = blocks[i];
        bucket_block_ref(blocks[i]);
    }
    return store_query_copy(cursors->arena, query, &cursors->query);
}

void bucket_cursors_deinit(struct bucket_cursors *cursors)
{
    for (size_t i = 0; i < cursors->count; i++) {
        if (cursors->items[i].header)
            bucket_block_release_header(cursors->items[i].block);
        arena_unref(cursors->items[i].window);
        bucket_block_unref(cursors->items[i].block);
    }
    free(cursors->items);
    arena_unref(cursors->arena);
    *cursors = (struct bucket_cursors){0};
}

static struct error *block_error(const struct bucket_cursor *cursor, struct error *err)
{
    return error_wrap(err, "block %.*s", STR_ARG(bucket_block_name(cursor->block)));
}

/* ---- postings ---- */

struct fetched { /* lists of one cursor's plan, in its order */
    const struct range_want *wants;
};

static struct error *give_lists(void *self, const struct postings_key *const *keys UNUSED,
                                size_t count, struct arena *arena UNUSED, struct bytes *lists)
{
    const struct fetched *fetched = self;
    for (size_t i = 0; i < count; i++)
        lists[i] = fetched->wants[i].bytes;
    return NULL;
}

static struct error *plan_all(struct bucket_cursors *cursors, size_t *keys)
{
    struct error *err = NULL;
    *keys = 0;
    for (size_t i = 0; i < cursors->count && !err; i++) {
        struct bucket_cursor *cursor = &cursors->items[i];
        err = postings_plan_make(&cursor->header->postings, cursors->query.matchers,
                                 cursors->query.matcher_count, cursors->arena, &cursor->plan);
        *keys += cursor->plan.key_count;
    }
    return err;
}

static void want_lists(const struct bucket_cursors *cursors, struct range_want *wants,
                       struct arena *arena)
{
    for (size_t i = 0; i < cursors->count; i++) {
        const struct bucket_cursor *cursor = &cursors->items[i];
        for (size_t g = 0; g < cursor->plan.group_count; g++) {
            const struct postings_group *group = &cursor->plan.groups[g];
            for (size_t k = 0; k < group->key_count; k++, wants++) {
                const struct postings_key *key = &group->keys[k];
                *wants = (struct range_want){.key = bucket_block_index_key(cursor->block),
                                             .start = key->start,
                                             .end = key->end};
                wants->is_there =
                    index_cache_get_postings(cursors->cache, bucket_block_name(cursor->block),
                                             key->name, key->value, arena, &wants->bytes);
            }
        }
    }
}

/* What was read, in the order of want_lists(). Only lists that could be decoded are kept. */
static void keep_lists(const struct bucket_cursors *cursors, const struct bucket_cursor *cursor,
                       const struct range_want *wants)
{
    for (size_t g = 0; g < cursor->plan.group_count; g++) {
        const struct postings_group *group = &cursor->plan.groups[g];
        for (size_t k = 0; k < group->key_count; k++, wants++) {
            if (!wants->is_there)
                index_cache_put_postings(cursors->cache, bucket_block_name(cursor->block),
                                         group->keys[k].name, group->keys[k].value, wants->bytes);
        }
    }
}

static struct error *find_series(struct bucket_cursors *cursors, struct context *ctx)
{
    size_t keys;
    struct error *err = plan_all(cursors, &keys);
    struct arena *lists = arena_create(cursors->budget); /* bytes as they came */
    struct range_want *wants = NULL;
    if (!err) {
        wants = arena_try_alloc(lists, (keys + 1) * sizeof(*wants));
        err = wants ? NULL : arena_status(lists);
    }
    if (!err) {
        want_lists(cursors, wants, lists);
        err = ranges_read(cursors->bucket, ctx, wants, keys, lists);
    }
    for (size_t i = 0; i < cursors->count && !err; i++) {
        struct bucket_cursor *cursor = &cursors->items[i];
        struct fetched fetched = {wants};
        err = block_error(cursor, postings_plan_run(&cursor->plan, give_lists, &fetched,
                                                    cursors->arena, &cursor->postings));
        if (!err)
            keep_lists(cursors, cursor, wants);
        wants += cursor->plan.key_count;
    }
    arena_unref(lists);
    return err;
}

/* ---- windows ---- */

/* One entry that is being read. */
struct entry {
    struct bucket_cursor *cursor;
    size_t at; /* in the cursor's postings */
};

struct filling {
    struct entry *entries;
    struct range_want *wants;
    size_t count;
};

static uint64_t entry_place(const struct bucket_cursor *cursor, size_t at)
{
    uint64_t ref = cursor->postings.refs[at];
    return cursor->header->index_version == 1 ? ref : ref * INDEX_SERIES_ALIGN;
}

/* Where the entry ends at a guess: nothing lies behind the next one's place. */
static uint64_t entry_end(const struct bucket_cursor *cursor, size_t at)
{
    const struct block_meta *meta = bucket_block_meta(cursor->block);
    int64_t longest = meta->thanos.series_max_size;
    uint64_t guess = longest > 0 && longest < SERIES_GUESS ? (uint64_t)longest : SERIES_GUESS;
    uint64_t end = entry_place(cursor, at) + guess + ENTRY_FRAME;
    if (at + 1 < cursor->postings.count && entry_place(cursor, at + 1) < end)
        end = entry_place(cursor, at + 1);
    return end < cursor->header->toc.postings_table ? end : cursor->header->toc.postings_table;
}

static size_t window_size(const struct bucket_cursors *cursors)
{
    size_t share = WINDOW_ALL / size_max(cursors->count, 1);
    return size_max(WINDOW_MIN, size_min(share, WINDOW_MAX));
}

/* What all used-up windows want next. */
static struct error *want_entries(struct bucket_cursors *cursors, struct arena *arena,
                                  struct filling *out)
{
    size_t size = window_size(cursors), room = 0;
    for (size_t i = 0; i < cursors->count; i++) {
        const struct bucket_cursor *cursor = &cursors->items[i];
        if (!bucket_cursor_has(cursor))
            room += size_min(size, cursor->postings.count - cursor->next);
    }
    *out = (struct filling){.entries = arena_try_alloc(arena, (room + 1) * sizeof(struct entry))};
    if (!out->entries)
        return arena_status(arena);
    out->wants = arena_try_alloc(arena, (room + 1) * sizeof(*out->wants));
    if (!out->wants)
        return arena_status(arena);
    for (size_t i = 0; i < cursors->count; i++) {
        struct bucket_cursor *cursor = &cursors->items[i];
        if (bucket_cursor_has(cursor))
            continue;
        size_t count = size_min(size, cursor->postings.count - cursor->next);
        for (size_t k = 0; k < count; k++, cursor->next++) {
            struct range_want *want = &out->wants[out->count];
            out->entries[out->count++] = (struct entry){cursor, cursor->next};
            *want = (struct range_want){
                .key = bucket_block_index_key(cursor->block),
                .start = entry_place(cursor, cursor->next),
                .end = entry_end(cursor, cursor->next),
            };
            want->is_there = index_cache_get_series(
                cursors->cache, bucket_block_name(cursor->block), want->start, arena, &want->bytes);
        }
        arena_unref(cursor->window);
        cursor->window = arena_create(cursors->budget);
        cursor->items = arena_array(cursor->window, count + 1, sizeof(*cursor->items));
        cursor->count = cursor->at = 0;
    }
    return NULL;
}

/* Entries that were longer than the guess are read once more, in full. */
static struct error *read_long_entries(struct bucket_cursors *cursors, struct context *ctx,
                                       const struct filling *filling, struct arena *arena)
{
    struct range_want *wants = arena_array(arena, filling->count + 1, sizeof(*wants));
    size_t *of_entry = arena_array(arena, filling->count + 1, sizeof(*of_entry));
    size_t count = 0;
    for (size_t i = 0; i < filling->count; i++) {
        const struct range_want *want = &filling->wants[i];
        uint64_t len = 0;
        size_t head = varint_decode(want->bytes.data, want->bytes.len, &len);
        if (head == 0 || len > INDEX_SERIES_MAX || head + len + 4 <= want->bytes.len)
            continue;
        of_entry[count] = i;
        wants[count++] = (struct range_want){
            .key = want->key, .start = want->start, .end = want->start + head + len + 4};
    }
    struct error *err = ranges_read(cursors->bucket, ctx, wants, count, arena);
    for (size_t i = 0; i < count && !err; i++)
        filling->wants[of_entry[i]].bytes = wants[i].bytes;
    return err;
}

static struct error *decode_entry(const struct bucket_cursors *cursors,
                                  struct bucket_cursor *cursor, struct bytes bytes)
{
    struct bytes body;
    struct index_series *series = &cursor->items[cursor->count];
    struct error *err = index_series_body(bytes, &body);
    if (!err)
        err = index_series_decode(body, &cursor->header->symbols, cursors->query.min_time,
                                  cursors->query.max_time, false, cursor->window, series);
    if (err)
        return block_error(cursor, err);
    if (series->chunk_count > 0 &&
        matchers_match(cursor->plan.tested, cursor->plan.tested_count, series->labels))
        cursor->count++;
    return arena_status(cursor->window);
}

static struct error *fill_once(struct bucket_cursors *cursors, struct context *ctx, bool *more)
{
    struct arena *arena = arena_create(cursors->budget);
    struct filling filling;
    struct error *err = want_entries(cursors, arena, &filling);
    if (!err)
        err = ranges_read(cursors->bucket, ctx, filling.wants, filling.count, arena);
    if (!err)
        err = read_long_entries(cursors, ctx, &filling, arena);
    for (size_t i = 0; i < filling.count && !err; i++) {
        const struct range_want *want = &filling.wants[i];
        struct bucket_cursor *cursor = filling.entries[i].cursor;
        err = decode_entry(cursors, cursor, want->bytes);
        if (!err && !want->is_there)
            index_cache_put_series(cursors->cache, bucket_block_name(cursor->block), want->start,
                                   want->bytes);
    }
    arena_unref(arena);
    *more = false;
    for (size_t i = 0; i < cursors->count && !err; i++) {
        const struct bucket_cursor *cursor = &cursors->items[i];
        *more |= !bucket_cursor_has(cursor) && cursor->next < cursor->postings.count;
    }
    return err;
}

struct error *bucket_cursors_fill(struct bucket_cursors *cursors, struct context *ctx)
{
    struct error *err = NULL;
    bool more = false;
    for (size_t i = 0; i < cursors->count; i++) {
        const struct bucket_cursor *cursor = &cursors->items[i];
        more |= !bucket_cursor_has(cursor) && cursor->next < cursor->postings.count;
    }
    while (more && !err) {
        err = fill_once(cursors, ctx, &more);
        if (!err)
            err = context_error(ctx);
    }
    return err;
}

struct error *bucket_cursors_start(struct bucket_cursors *cursors, struct context *ctx)
{
    struct error *err = find_series(cursors, ctx);
    return err ? err : bucket_cursors_fill(cursors, ctx);
}
