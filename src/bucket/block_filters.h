/* bucket/block_filters.h: which blocks a component has to do with, as filters of a block_fetcher.
 * Each is a struct of the caller's whose address is the filter's self; they run in the order of the
 * fetcher's list. */
#pragma once

#include "bucket/block_fetcher.h"
#include "runtime/flags.h"

struct relabel_rules;

/* Blocks that reach into [min, max], both ends inclusive, as the flags say at each sync. */
struct time_filter {
    const struct flag_time *min_time, *max_time;
};
struct error *time_filter_run(void *self, struct context *ctx, struct block_view *view);

/* Blocks of which relabelling of the external labels and __block_id leaves any label. */
struct label_filter {
    const struct relabel_rules *rules; /* NULL: all */
};
struct error *label_filter_run(void *self, struct context *ctx, struct block_view *view);

/* Not those younger than the delay, as they may not be whole everywhere yet; those of a compactor
 * pass. Age counts from the upload, or from the id. */
struct fresh_filter {
    int64_t delay_ms;
};
struct error *fresh_filter_run(void *self, struct context *ctx, struct block_view *view);

/* Not those marked for deletion longer ago than the delay. Marks are read again at each sync; where
 * one cannot be read, the last one known counts. */
struct deletion_filter {
    struct bucket *bucket;
    struct log *log;
    int64_t delay_ms;
    size_t concurrency;
    struct known_mark { /* kept from sync to sync; {0} at first */
        struct ulid id;
        int64_t time_s;
    } * known;
    size_t known_count;
};
struct error *deletion_filter_run(void *self, struct context *ctx, struct block_view *view);
void deletion_filter_deinit(struct deletion_filter *filter);

/* Not those whose sources are all in another block of the same labels and resolution: they were
 * compacted. Has no state; self is not used. */
struct error *duplicate_filter_run(void *self, struct context *ctx, struct block_view *view);
