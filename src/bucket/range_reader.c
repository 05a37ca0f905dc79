#include "bucket/range_reader.h"

#include <stdlib.h>

#include "base/memory.h"

static int want_compare(const void *a, const void *b)
{
    const struct range_want *left = *(struct range_want *const *)a;
    const struct range_want *right = *(struct range_want *const *)b;
    int order = str_compare(left->key, right->key);
    if (order)
        return order;
    if (left->start != right->start)
        return left->start < right->start ? -1 : 1;
    return 0;
}

static void free_buf(void *buf)
{
    buf_deinit(buf);
    free(buf);
}

/* Joins the sorted wants into requests; first[i] is the first want of request i. */
static size_t plan_requests(struct range_want *const *sorted, size_t count,
                            struct bucket_read *reads, size_t *first)
{
    size_t requests = 0;
    for (size_t i = 0; i < count; i++) {
        const struct range_want *want = sorted[i];
        struct bucket_read *last = requests > 0 ? &reads[requests - 1] : NULL;
        uint64_t end = last ? last->offset + last->length : 0;
        bool joins = last && str_equal(last->key, want->key) &&
                     (want->start <= end || want->start - end <= RANGE_GAP_MAX) &&
                     (want->end <= end || want->end - last->offset <= RANGE_REQUEST_MAX);
        if (joins && want->end > end)
            last->length = want->end - last->offset;
        if (joins)
            continue;
        first[requests] = i;
        reads[requests++] = (struct bucket_read){
            .key = want->key, .offset = want->start, .length = want->end - want->start};
    }
    first[requests] = count;
    return requests;
}

static void give_views(const struct bucket_read *read, struct range_want *const *wants,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t from = wants[i]->start - read->offset, to = wants[i]->end - read->offset;
        uint64_t len = read->out.len;
        from = from < len ? from : len;
        to = to < len ? to : len;
        wants[i]->bytes =
            (struct bytes){(const uint8_t *)read->out.data + from, (size_t)(to - from)};
    }
}

struct error *ranges_read(struct bucket *bucket, struct context *ctx, struct range_want *wants,
                          size_t count, struct arena *arena)
{
    if (count == 0)
        return NULL;
    struct range_want **sorted = xcalloc(count, sizeof(*sorted));
    struct bucket_read *reads = xcalloc(count, sizeof(*reads));
    size_t *first = xcalloc(count + 1, sizeof(*first));
    size_t missing = 0;
    for (size_t i = 0; i < count; i++) {
        if (!wants[i].is_there)
            sorted[missing++] = &wants[i];
    }
    qsort(sorted, missing, sizeof(*sorted), want_compare);
    size_t requests = plan_requests(sorted, missing, reads, first);
    for (size_t i = 0; i < requests; i++)
        reads[i].out.budget = arena_budget(arena);
    struct error *err = bucket_read_all(bucket, ctx, reads, requests);
    for (size_t i = 0; i < requests; i++) {
        struct buf *held = xcalloc(1, sizeof(*held));
        *held = reads[i].out;
        arena_on_free(arena, free_buf, held);
        if (!err)
            give_views(&reads[i], sorted + first[i], first[i + 1] - first[i]);
    }
    free(first);
    free(reads);
    free(sorted);
    return err;
}
