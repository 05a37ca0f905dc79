/* test/support/memory_store.h: a store over an array, done the plain way, and with faults to order.
 */
#pragma once

#include "store/store.h"

struct memory_store;

struct memory_store *memory_store_create(void);
/* Goes with store_free() of this; all calls of store_ops work on it. */
struct store *memory_store_base(struct memory_store *store);

/* Adds a series with a chunk of one sample (t, v) per time given. Labels as pairs of C strings that
 * end with NULL: memory_store_add(store, (int64_t[]){1000, 2000}, 2, "a", "1", NULL). */
void memory_store_add(struct memory_store *store, const int64_t *times, size_t count, ...);
void memory_store_add_series(struct memory_store *store, const struct series *series);

/* What it says of itself; as describe() gives it. The struct is the store's, to be changed before
 * use. Without drops_labels or shards it ignores those parts of a query. */
struct store_info *memory_store_info(struct memory_store *store);
void memory_store_add_range(struct memory_store *store, struct labels labels);

/* Series per next(); 0: as many as asked for. */
void memory_store_set_batch(struct memory_store *store, size_t batch);
/* Sets fail when they have given so many series. */
void memory_store_fail_after(struct memory_store *store, size_t series, enum error_kind kind,
                             const char *text);
/* Calls (select, label_names, label_values) fail at once. */
void memory_store_fail_calls(struct memory_store *store, enum error_kind kind, const char *text);
/* While stalled, sets are not ready and next() waits; a cancel ends that. */
void memory_store_stall(struct memory_store *store, bool is_stalled);
/* How many selects were made. */
size_t memory_store_selects(const struct memory_store *store);

/* A chunk of one sample in XOR encoding; bytes in the arena. */
struct chunk memory_chunk(struct arena *arena, int64_t time, double value);
struct labels labels_of(struct arena *arena, ...); /* pairs of C strings, NULL at the end */

/* All of a set, in batches of `max`, into one arena. Frees the set. */
struct error *series_set_read_all(struct series_set *set, struct arena *arena, size_t max,
                                  struct series_batch *out);
/* "{a="1"}@1000,2000 {a="2"}@5": label sets and the chunks' min times. */
struct str series_batch_text(struct arena *arena, const struct series_batch *batch);
