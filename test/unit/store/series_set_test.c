#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/budget.h"
#include "runtime/context.h"
#include "store/chunk_lists.h"
#include "store/series_add_labels.h"
#include "store/series_join.h"
#include "store/series_shard.h"
#include "store/series_sort.h"
#include "store/store_merge.h"
#include "unit/store/random_series.h"

/* The plain twin of everything here: sort all, join equal ones. */
static struct series_batch twin_sort(struct arena *arena, struct series *items, size_t count)
{
    size_t kept = 0;
    if (count)
        qsort(items, count, sizeof(*items), random_series_compare);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !labels_equal(items[kept - 1].labels, items[i].labels)) {
            items[kept++] = items[i];
            continue;
        }
        struct chunk_list *list = &items[kept - 1].chunks, more = items[i].chunks;
        struct chunk *all = arena_array(arena, list->count + more.count, sizeof(*all));
        memcpy(all, list->items, list->count * sizeof(*all));
        size_t all_count = list->count;
        for (size_t j = 0; j < more.count; j++) {
            size_t at = all_count;
            while (at > 0 && chunk_compare(&all[at - 1], &more.items[j]) > 0)
                at--;
            if (at > 0 && chunk_compare(&all[at - 1], &more.items[j]) == 0)
                continue;
            memmove(all + at + 1, all + at, (all_count - at) * sizeof(*all));
            all[at] = more.items[j];
            all_count++;
        }
        *list = (struct chunk_list){all, all_count};
    }
    return (struct series_batch){items, kept};
}

static struct series_batch batches_concat(struct arena *arena, const struct series_batch *batches,
                                          size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += batches[i].count;
    struct series_batch all = {arena_array(arena, total, sizeof(struct series)), 0};
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < batches[i].count; j++)
            all.items[all.count++] = batches[i].items[j];
    return all;
}

/* Reads into an arena of its own: that of the data is kept by what is read. */
static void check_same(struct series_set *set, size_t max, const struct series_batch *want)
{
    struct arena *arena = arena_create(NULL);
    struct series_batch got;
    CHECK_OK(series_set_read_all(set, arena, max, &got));
    struct str text = series_batch_text(arena, want);
    CHECK_STR(series_batch_text(arena, &got), arena_cstr(arena, text));
    arena_unref(arena);
}

TEST(merges_equal_their_sorting_twin)
{
    enum { INPUTS_MAX = 9 };
    uint64_t seed = test_seed();
    for (int round = 0; round < 300; round++) {
        struct arena *arena = arena_create(NULL);
        struct series_batch batches[INPUTS_MAX];
        struct series_set *sets[INPUTS_MAX];
        size_t inputs = test_random_below(&seed, INPUTS_MAX + 1);
        for (size_t i = 0; i < inputs; i++) {
            batches[i] = random_series(arena, &seed, 200);
            sets[i] = series_set_from_array(arena, batches[i].items, batches[i].count);
        }
        struct series_batch want = batches_concat(arena, batches, inputs);
        want = twin_sort(arena, want.items, want.count);
        check_same(series_set_merge(NULL, sets, inputs), 1 + test_random_below(&seed, 300), &want);
        arena_unref(arena);
    }
}

TEST(added_labels_keep_the_order_of_a_full_sort)
{
    uint64_t seed = test_seed();
    for (int round = 0; round < 2000; round++) {
        struct arena *arena = arena_create(NULL);
        struct series_batch batch = random_series(arena, &seed, round % 10 ? 40 : 600);
        struct labels added = random_labels(arena, &seed);
        struct series_batch want = batches_concat(arena, &batch, 1);
        for (size_t i = 0; i < want.count; i++)
            want.items[i].labels = labels_merge(arena, want.items[i].labels, added);
        want = twin_sort(arena, want.items, want.count);
        struct series_set *set = series_set_from_array(arena, batch.items, batch.count);
        check_same(series_set_add_labels(NULL, set, added), 1 + test_random_below(&seed, 100),
                   &want);
        arena_unref(arena);
    }
}

TEST(added_labels_survive_each_refused_charge)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    struct series_batch batch = random_series(arena, &seed, 200);
    struct labels added = {0};
    while (added.len == 0)
        added = random_labels(arena, &seed);
    bool refused = true;
    for (unsigned long n = 1; refused; n++) {
        struct budget *budget = budget_create(NULL, "query", 0);
        struct arena *taken = arena_create(NULL);
        struct series_batch out = {0};
        struct series_set *set = series_set_add_labels(
            budget, series_set_from_array(arena, batch.items, batch.count), added);
        budget_fail_nth(n);
        struct error *err = series_set_read_all(set, taken, 7, &out);
        refused = budget_charges() >= n;
        budget_fail_nth(0);
        CHECK(refused || !err);
        CHECK_ERROR(err, refused && err ? ERROR_LIMIT : ERROR_NONE);
        arena_unref(taken);
        CHECK_EQ(budget_used(budget), 0);
        budget_free(budget);
    }
    arena_unref(arena);
}

TEST(sorting_drops_labels_and_joins)
{
    uint64_t seed = test_seed();
    for (int round = 0; round < 300; round++) {
        struct arena *arena = arena_create(NULL);
        struct series_batch batch = random_series(arena, &seed, 300);
        struct str names[] = {STR("a"), STR("replica")};
        struct series_batch want = batches_concat(arena, &batch, 1);
        for (size_t i = 0; i < want.count; i++)
            want.items[i].labels = labels_without(arena, want.items[i].labels, names, 2);
        want = twin_sort(arena, want.items, want.count);
        struct series_set *set = series_set_from_array(arena, batch.items, batch.count);
        check_same(series_set_sort(NULL, set, (struct str_list){names, 2}),
                   1 + test_random_below(&seed, 100), &want);
        arena_unref(arena);
    }
}

TEST(shards_share_a_set_out)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    struct series_batch batch = random_series(arena, &seed, 900);
    struct str names[] = {STR("a")};
    struct series_set *sets[3];
    for (size_t i = 0; i < 3; i++) {
        struct shard shard = {i, 3, i % 2, {names, 0}};
        shard.by = false;
        sets[i] =
            series_set_shard(NULL, series_set_from_array(arena, batch.items, batch.count), &shard);
    }
    check_same(series_set_merge(NULL, sets, 3), 50, &batch);
    arena_unref(arena);
}

/* A foreign stream: series of a batch in parts, chunk lists not in order, one series a batch. */
struct foreign_set {
    struct series_set base;
    struct series_batch batch;
    struct arena *arena;
    size_t at, part;
    size_t most;
};

static struct error *foreign_next(struct series_set *base, struct arena *arena, size_t max,
                                  struct series_batch *out)
{
    struct foreign_set *set = container_of(base, struct foreign_set, base);
    out->items = arena_array(arena, set->most, sizeof(*out->items));
    arena_keep(arena, set->arena);
    while (out->count < size_min(max, set->most) && set->at < set->batch.count) {
        const struct series *series = &set->batch.items[set->at];
        size_t chunks = series->chunks.count;
        struct series *part = &out->items[out->count++];
        /* From the last to the first, and the first one once more. */
        part->labels = labels_copy(arena, series->labels);
        part->chunks.items = series->chunks.items + (chunks - 1 - set->part % chunks);
        part->chunks.count = 1;
        if (++set->part > chunks) {
            set->part = 0;
            set->at++;
        }
    }
    return NULL;
}

static void foreign_cancel(struct series_set *base UNUSED)
{
}

static void foreign_free(struct series_set *base)
{
    arena_unref(container_of(base, struct foreign_set, base)->arena);
    free(base);
}

static const struct series_set_ops foreign_ops = {
    .next = foreign_next, .cancel = foreign_cancel, .free = foreign_free};

static struct series_set *foreign_set(struct arena *arena, const struct series_batch *batch,
                                      size_t most)
{
    struct foreign_set *set = calloc(1, sizeof(*set));
    set->base.ops = &foreign_ops;
    set->batch = *batch;
    set->most = most;
    set->arena = arena;
    arena_ref(arena);
    return &set->base;
}

TEST(joining_restores_split_series)
{
    uint64_t seed = test_seed();
    for (int round = 0; round < 200; round++) {
        struct arena *arena = arena_create(NULL);
        struct series_batch want = random_series(arena, &seed, 80);
        struct series_set *set = foreign_set(arena, &want, 1 + test_random_below(&seed, 9));
        check_same(series_set_join(NULL, set, NULL), 1 + test_random_below(&seed, 9), &want);
        arena_unref(arena);
    }
}

TEST(joining_finds_series_out_of_order)
{
    struct arena *arena = arena_create(NULL);
    struct series items[] = {{labels_of(arena, "a", "1", NULL), {0}},
                             {labels_of(arena, "a", "3", NULL), {0}},
                             {labels_of(arena, "a", "2", NULL), {0}}};
    struct arena *reading = arena_create(NULL);
    atomic_bool out_of_order = false;
    struct series_set *set =
        series_set_join(NULL, series_set_from_array(arena, items, 3), &out_of_order);
    struct series_batch batch;
    CHECK_ERROR_TEXT(series_set_read_all(set, reading, 1, &batch), ERROR_CORRUPT,
                     "series out of order: {a=\"2\"} after {a=\"3\"}");
    CHECK(out_of_order);
    arena_unref(reading);
    arena_unref(arena);
}

TEST(chunk_lists_lose_identical_chunks)
{
    struct arena *arena = arena_create(NULL);
    struct chunk a[] = {memory_chunk(arena, 1, 1), memory_chunk(arena, 5, 1)};
    struct chunk b[] = {memory_chunk(arena, 1, 1), memory_chunk(arena, 1, 2),
                        memory_chunk(arena, 5, 1)};
    b[2].max_time = 9; /* stated otherwise */
    struct chunk_list lists[] = {{a, 2}, {NULL, 0}, {b, 3}};
    struct chunk_list joined = chunk_lists_join(arena, lists, 3);
    CHECK_EQ(joined.count, 3);
    CHECK_EQ(joined.items[0].min_time, 1);
    CHECK_EQ(joined.items[1].min_time, 1);
    CHECK_EQ(joined.items[2].max_time, 5);
    joined = chunk_lists_join(arena, lists, 1);
    CHECK(joined.items == a);
    /* A downsampled chunk goes when all it has is there. */
    struct chunk_data sum[AGGR_NUMBER] = {[AGGR_SUM] = a[0].raw};
    struct chunk_data both[AGGR_NUMBER] = {[AGGR_SUM] = a[0].raw, [AGGR_COUNT] = a[1].raw};
    struct chunk down[] = {{0, 9, {0}, both}, {1, 9, {0}, sum}, {2, 9, {0}, both}};
    CHECK_EQ(chunk_lists_join(arena, &(struct chunk_list){down, 3}, 1).count, 1);
    arena_unref(arena);
}

TEST(limited_sets_end_early)
{
    struct arena *arena = arena_create(NULL);
    struct series items[] = {{labels_of(arena, "a", "1", NULL), {0}},
                             {labels_of(arena, "a", "2", NULL), {0}},
                             {labels_of(arena, "a", "3", NULL), {0}}};
    struct series_batch want = {items, 2};
    struct series_set *set = series_set_limit(series_set_from_array(arena, items, 3), 2);
    check_same(set, 1, &want);
    set = series_set_failed(error_create(ERROR_CORRUPT, "broken"));
    CHECK_ERROR_TEXT(series_set_read_all(set, arena, 1, &want), ERROR_CORRUPT, "broken");
    want.count = 0;
    check_same(series_set_empty(), 5, &want);
    arena_unref(arena);
}

TEST(sorting_stays_within_its_budget)
{
    enum { MANY = 20000 };
    struct arena *arena = arena_create(NULL);
    struct budget *budget = budget_create(NULL, "query", 200 * 1024);
    struct series *items = arena_zalloc(arena, MANY * sizeof(*items));
    for (int i = 0; i < MANY; i++)
        items[i].labels = labels_of(arena, "i", arena_printf(arena, "%06d%c", i, 0).data, NULL);
    struct series_batch got;
    struct series_set *set = series_set_from_array(arena, items, MANY);
    set = series_set_sort(budget, set, (struct str_list){0});
    struct arena *reading = arena_create(NULL);
    CHECK_ERROR(series_set_read_all(set, reading, 100, &got), ERROR_LIMIT);
    arena_unref(reading);
    CHECK_EQ(budget_used(budget), 0);
    CHECK(budget_peak(budget) < 600 * 1024);
    budget_free(budget);
    arena_unref(arena);
}

TEST(a_merge_gives_what_it_has_and_waits_for_the_rest)
{
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct arena *arena = arena_create(NULL);
    struct memory_store *fast = memory_store_create(), *slow = memory_store_create();
    memory_store_set_batch(fast, 2);
    memory_store_add(fast, (int64_t[]){1}, 1, "a", "1", NULL);
    memory_store_add(fast, (int64_t[]){1}, 1, "a", "2", NULL);
    memory_store_add(fast, (int64_t[]){1}, 1, "a", "4", NULL);
    memory_store_add(slow, (int64_t[]){1}, 1, "a", "3", NULL);
    struct store_query query = {.min_time = 0, .max_time = 9};
    struct series_set *sets[2];
    CHECK_OK(store_select(memory_store_base(fast), ctx, &query, &sets[0]));
    CHECK_OK(store_select(memory_store_base(slow), ctx, &query, &sets[1]));
    struct series_set *merge = series_set_merge(NULL, sets, 2);
    struct series_batch batch;
    memory_store_stall(slow, true);
    CHECK(!series_set_ready(merge, NULL));
    memory_store_stall(slow, false);
    CHECK(series_set_ready(merge, NULL));
    CHECK_OK(series_set_next(merge, arena, 1, &batch));
    memory_store_stall(fast, true);
    CHECK_OK(series_set_next(merge, arena, 10, &batch)); /* a=2; then fast is not known */
    CHECK_EQ(batch.count, 1);
    CHECK(!series_set_ready(merge, NULL));
    memory_store_stall(fast, false);
    CHECK_OK(series_set_next(merge, arena, 10, &batch));
    CHECK_EQ(batch.count, 2);
    CHECK_OK(series_set_next(merge, arena, 10, &batch));
    CHECK_EQ(batch.count, 0);
    series_set_free(merge);
    store_free(memory_store_base(fast));
    store_free(memory_store_base(slow));
    arena_unref(arena);
    context_unref(ctx);
}

TEST_MAIN(TEST_ENTRY(merges_equal_their_sorting_twin),
          TEST_ENTRY(added_labels_keep_the_order_of_a_full_sort),
          TEST_ENTRY(added_labels_survive_each_refused_charge),
          TEST_ENTRY(sorting_drops_labels_and_joins), TEST_ENTRY(shards_share_a_set_out),
          TEST_ENTRY(joining_restores_split_series), TEST_ENTRY(joining_finds_series_out_of_order),
          TEST_ENTRY(chunk_lists_lose_identical_chunks), TEST_ENTRY(limited_sets_end_early),
          TEST_ENTRY(sorting_stays_within_its_budget),
          TEST_ENTRY(a_merge_gives_what_it_has_and_waits_for_the_rest))
