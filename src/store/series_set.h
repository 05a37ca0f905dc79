/* store/series_set.h: the answer to a select: series in label order, each label set once, pulled in
 * batches. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "chunk/chunk.h"
#include "model/labels.h"

struct series {
    struct labels labels;
    struct chunk_list chunks;
};

/* Labels, chunk descriptors and the array itself live in the arena given to series_set_next();
 * chunk bytes are pinned by it. */
struct series_batch {
    struct series *items;
    size_t count; /* 0: the end */
};

struct series_set_stats {
    uint64_t series, chunks, samples_estimate, bytes;
};

/* Called at most once, from any thread, when a set that was not ready may have become so (also by
 * its cancellation). It must not block and not call the set. A later series_set_ready() replaces
 * it; none comes after series_set_free() has returned. */
struct series_wake {
    void (*fn)(void *arg);
    void *arg;
};

struct series_set;

struct series_set_ops {
    struct error *(*next)(struct series_set *set, struct arena *arena, size_t max,
                          struct series_batch *out);
    /* True when next() would not wait for anybody; else false, and wake is called later. By the
     * thread that calls next(); a set that gathers before it gives may do so here. wake NULL: only
     * asked. Slot NULL: always ready. */
    bool (*ready)(struct series_set *set, const struct series_wake *wake);
    void (*cancel)(struct series_set *set); /* from any thread, idempotent; next() then fails with
                                               ERROR_CANCELLED */
    void (*stats)(struct series_set *set,
                  struct series_set_stats *add_to); /* at the end; NULL: none */
    void (*free)(struct series_set *set); /* also before the end: cancels what is under way */
};

struct series_set {
    const struct series_set_ops *ops;
};

/* Up to max (> 0) series; an empty batch is the end and stays so. An error may come after the first
 * series and ends the set. One thread at a time. Warnings go to the context of the select, at any
 * time until the end. */
MUST_CHECK struct error *series_set_next(struct series_set *set, struct arena *arena, size_t max,
                                         struct series_batch *out);
bool series_set_ready(struct series_set *set, const struct series_wake *wake);
void series_set_cancel(struct series_set *set);
void series_set_stats(struct series_set *set, struct series_set_stats *add_to);
void series_set_free(struct series_set *set); /* NULL is fine */

/* A set without series. */
struct series_set *series_set_empty(void);
/* A set that fails at its first next(). Takes err. */
struct series_set *series_set_failed(struct error *err);
/* The series of an array, which lives in `arena` (a reference is held). For tests and small
 * answers. */
struct series_set *series_set_from_array(struct arena *arena, struct series *items, size_t count);
/* Ends after `limit` series (0: as it is). Owns inner. */
struct series_set *series_set_limit(struct series_set *inner, size_t limit);
