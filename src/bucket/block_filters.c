#include "bucket/block_filters.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/time_text.h"
#include "base/vec.h"
#include "model/relabel.h"
#include "runtime/log.h"
#include "runtime/time.h"

/* ---- time ---- */

struct error *time_filter_run(void *self, struct context *ctx UNUSED, struct block_view *view)
{
    const struct time_filter *filter = self;
    int64_t now = time_now_ms();
    int64_t min_time = flag_time_ms(filter->min_time, now);
    int64_t max_time = flag_time_ms(filter->max_time, now);
    for (size_t i = view->count; i-- > 0;) {
        const struct block_meta *meta = &view->items[i]->meta;
        if (meta->max_time < min_time || meta->min_time > max_time)
            block_view_remove(view, i, BLOCK_TIME_EXCLUDED);
    }
    return NULL;
}

/* ---- labels ---- */

struct error *label_filter_run(void *self, struct context *ctx UNUSED, struct block_view *view)
{
    const struct label_filter *filter = self;
    struct arena *arena = arena_create(NULL);
    for (size_t i = view->count; i-- > 0;) {
        const struct block_meta *meta = &view->items[i]->meta;
        char id[ULID_TEXT_LEN];
        struct labels kept;
        arena_reset(arena);
        ulid_print(meta->id, id);
        struct labels_builder builder = labels_builder_from(arena, meta->thanos.labels);
        labels_builder_set(&builder, STR("__block_id"), (struct str){id, sizeof(id)});
        if (!relabel_labels(filter->rules, arena, labels_builder_finish(&builder), &kept) ||
            kept.len == 0)
            block_view_remove(view, i, BLOCK_LABEL_EXCLUDED);
    }
    arena_unref(arena);
    return NULL;
}

/* ---- fresh ones ---- */

static int64_t block_born_ms(const struct block_meta *meta)
{
    int64_t uploaded_ms;
    if (meta->thanos.upload_time.len > 0 &&
        time_text_parse_ms(meta->thanos.upload_time, &uploaded_ms) && uploaded_ms > 0)
        return uploaded_ms;
    return ulid_time_ms(meta->id);
}

struct error *fresh_filter_run(void *self, struct context *ctx UNUSED, struct block_view *view)
{
    static const struct str at_once[] = {STR_INIT("bucket.repair"), STR_INIT("compactor"),
                                         STR_INIT("compactor.repair")};
    const struct fresh_filter *filter = self;
    int64_t now = time_now_ms();
    for (size_t i = view->count; i-- > 0 && filter->delay_ms > 0;) {
        const struct block_meta *meta = &view->items[i]->meta;
        bool passes = now - block_born_ms(meta) >= filter->delay_ms;
        for (size_t k = 0; k < countof(at_once); k++)
            passes |= str_equal(meta->thanos.source, at_once[k]);
        if (!passes)
            block_view_remove(view, i, BLOCK_TOO_FRESH);
    }
    return NULL;
}

/* ---- deletion marks ---- */

static const struct known_mark *find_mark(const struct deletion_filter *filter, struct ulid id)
{
    for (size_t i = 0; i < filter->known_count; i++) {
        if (ulid_compare(filter->known[i].id, id) == 0)
            return &filter->known[i];
    }
    return NULL;
}

typedef VEC(struct known_mark) mark_list;

static void take_mark(struct deletion_filter *filter, struct ulid id, struct bucket_read *read,
                      struct arena *arena, mark_list *marks)
{
    struct block_mark mark;
    struct error *err = read->err;
    const struct known_mark *known = find_mark(filter, id);
    if (!err)
        err = block_mark_parse(MARK_DELETION, buf_str(&read->out), arena, &mark);
    if (!err) {
        vec_push(marks, (struct known_mark){id, mark.time_s});
    } else if (error_kind(err) != ERROR_NOT_FOUND) {
        log_warn(filter->log, "a deletion mark cannot be read; the last known state counts",
                 KV("mark", read->key), KV_ERR(err));
        if (known && error_kind(err) != ERROR_CORRUPT)
            vec_push(marks, *known);
    }
    error_free(err);
}

struct error *deletion_filter_run(void *self, struct context *ctx, struct block_view *view)
{
    struct deletion_filter *filter = self;
    mark_list marks = VEC_INIT(NULL);
    size_t at_once = size_max(filter->concurrency, 1);
    for (size_t at = 0; at < view->count; at += at_once) {
        struct arena *arena = arena_create(NULL);
        size_t count = size_min(at_once, view->count - at);
        struct bucket_read *reads = arena_zalloc(arena, count * sizeof(*reads));
        for (size_t i = 0; i < count; i++) {
            char name[ULID_TEXT_LEN];
            ulid_print(view->items[at + i]->meta.id, name);
            reads[i] = (struct bucket_read){
                .key = arena_printf(arena, "%.*s/%.*s", ULID_TEXT_LEN, name,
                                    STR_ARG(block_mark_file(MARK_DELETION))),
                .length = BLOCK_META_MAX,
            };
        }
        bucket_read_each(filter->bucket, ctx, reads, count);
        for (size_t i = 0; i < count; i++) {
            take_mark(filter, view->items[at + i]->meta.id, &reads[i], arena, &marks);
            buf_deinit(&reads[i].out);
        }
        arena_unref(arena);
    }
    free(filter->known);
    filter->known = marks.items;
    filter->known_count = marks.len;
    int64_t now = time_now_ms();
    for (size_t i = view->count; i-- > 0;) {
        const struct known_mark *mark = find_mark(filter, view->items[i]->meta.id);
        if (mark && (double)now - (double)mark->time_s * 1000 > (double)filter->delay_ms)
            block_view_remove(view, i, BLOCK_MARKED_FOR_DELETION);
    }
    return NULL;
}

void deletion_filter_deinit(struct deletion_filter *filter)
{
    free(filter->known);
    filter->known = NULL;
    filter->known_count = 0;
}

/* ---- duplicates ---- */

struct candidate {
    const struct block_meta *meta;
    size_t at; /* in the view */
};

/* By group (labels, resolution), then more sources first, then id. */
static int duplicate_compare(const void *a, const void *b)
{
    const struct block_meta *x = ((const struct candidate *)a)->meta;
    const struct block_meta *y = ((const struct candidate *)b)->meta;
    if (x->thanos.resolution_ms != y->thanos.resolution_ms)
        return x->thanos.resolution_ms < y->thanos.resolution_ms ? -1 : 1;
    int order = labels_compare(x->thanos.labels, y->thanos.labels);
    if (order)
        return order;
    if (x->compaction.source_count != y->compaction.source_count)
        return x->compaction.source_count > y->compaction.source_count ? -1 : 1;
    return ulid_compare(x->id, y->id);
}

static bool same_group(const struct block_meta *x, const struct block_meta *y)
{
    return x->thanos.resolution_ms == y->thanos.resolution_ms &&
           labels_equal(x->thanos.labels, y->thanos.labels);
}

static bool has_source(const struct block_meta *meta, struct ulid source)
{
    for (size_t i = 0; i < meta->compaction.source_count; i++) {
        if (ulid_compare(meta->compaction.sources[i], source) == 0)
            return true;
    }
    return false;
}

static bool is_contained(const struct block_meta *meta, const struct block_meta *in)
{
    for (size_t i = 0; i < meta->compaction.source_count; i++) {
        if (!has_source(in, meta->compaction.sources[i]))
            return false;
    }
    return meta->compaction.source_count > 0; /* of others nothing is known */
}

struct error *duplicate_filter_run(void *self UNUSED, struct context *ctx UNUSED,
                                   struct block_view *view)
{
    struct candidate *sorted = xcalloc(view->count + 1, sizeof(*sorted));
    bool *is_duplicate = xcalloc(view->count + 1, sizeof(*is_duplicate));
    size_t start = 0, kept = 0; /* of the running group, [start, kept) stays */
    for (size_t i = 0; i < view->count; i++)
        sorted[i] = (struct candidate){&view->items[i]->meta, i};
    qsort(sorted, view->count, sizeof(*sorted), duplicate_compare);
    for (size_t i = 0; i < view->count; i++) {
        struct candidate candidate = sorted[i];
        if (kept > 0 && !same_group(sorted[kept - 1].meta, candidate.meta))
            start = kept;
        bool *duplicate = &is_duplicate[candidate.at];
        for (size_t k = start; k < kept && !*duplicate; k++)
            *duplicate = is_contained(candidate.meta, sorted[k].meta);
        if (!*duplicate)
            sorted[kept++] = candidate;
    }
    for (size_t i = view->count; i-- > 0;) {
        if (is_duplicate[i])
            block_view_remove(view, i, BLOCK_DUPLICATE);
    }
    free(is_duplicate);
    free(sorted);
    return NULL;
}
