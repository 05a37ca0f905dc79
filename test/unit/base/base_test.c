#include "support/test.h"

#include "base/arena_small.h"
#include "base/buf.h"
#include "base/hash_index.h"
#include "base/loser_tree.h"
#include "base/vec.h"

TEST(errors_put_what_was_done_in_front)
{
    struct error *err = error_create(ERROR_CORRUPT, "bad byte %d", 7);
    err = error_wrap(err, "read index of %s", "block");
    CHECK_EQ(error_kind(err), ERROR_CORRUPT);
    CHECK_STR(error_text(err), "read index of block: bad byte 7");
    error_free(err);
}

TEST(budgets_charge_all_the_way_up_or_not_at_all)
{
    struct budget *process = budget_create(NULL, "process", 100);
    struct budget *query = budget_create(process, "query", 0);
    CHECK_OK(budget_charge(query, 60, "a test"));
    CHECK_ERROR_TEXT(budget_charge(query, 41, "a test"), ERROR_LIMIT,
                     "process budget of 100 bytes has 60");
    CHECK_EQ(budget_used(query), 60);
    CHECK_EQ(budget_used(process), 60);
    budget_free(query);
    CHECK_EQ(budget_used(process), 0);
    CHECK_EQ(budget_peak(process), 60);
    budget_free(process);
}

static void count_call(void *arg)
{
    ++*(int *)arg;
}

TEST(arenas_are_charged_kept_and_freed_once)
{
    struct budget *budget = budget_create(NULL, "test", 0);
    struct arena *outer = arena_create(budget), *inner = arena_create(budget);
    int freed = 0;
    arena_on_free(inner, count_call, &freed);
    arena_keep(outer, inner);
    arena_keep(outer, inner);
    arena_unref(inner);
    CHECK_EQ(freed, 0);
    for (int i = 0; i < 1000; i++)
        memset(arena_alloc(outer, 1000), i, 1000);
    CHECK(budget_used(budget) >= 1000 * 1000);
    arena_unref(outer);
    CHECK_EQ(freed, 1);
    CHECK_EQ(budget_used(budget), 0);
    budget_free(budget);
}

TEST(a_small_arena_grows_into_a_large_one)
{
    struct budget *budget = budget_create(NULL, "test", 0);
    struct arena *arena = arena_create_small(budget);
    for (int round = 0; round < 3; round++) {
        struct str first = arena_str(arena, STR("first"));
        CHECK(arena_size(arena) <= 1024 || round > 0);
        CHECK_EQ(budget_used(budget), arena_size(arena));
        for (int i = 0; i < 300; i++)
            memset(arena_alloc(arena, 1000), i, 1000);
        memset(arena_alloc(arena, 200 * 1000), 1, 200 * 1000);
        CHECK_STR(first, "first");
        CHECK_EQ(budget_used(budget), arena_size(arena));
        arena_reset(arena);
    }
    arena_unref(arena);
    CHECK_EQ(budget_used(budget), 0);
    budget_free(budget);
}

TEST(an_arena_keeps_each_of_many_once)
{
    enum { COUNT = 1000 };
    static struct arena *inner[COUNT];
    struct arena *outer = arena_create(NULL);
    int freed = 0;
    for (int i = 0; i < COUNT; i++) {
        inner[i] = arena_create(NULL);
        arena_on_free(inner[i], count_call, &freed);
    }
    arena_keep(outer, NULL);
    for (int round = 0; round < 50; round++)
        for (int i = 0; i < COUNT; i++)
            arena_keep(outer, inner[i]);
    CHECK(arena_size(outer) < 500 * 1000);
    for (int i = 0; i < COUNT; i++)
        arena_unref(inner[i]);
    CHECK_EQ(freed, 0);
    arena_reset(outer);
    CHECK_EQ(freed, COUNT);
    struct arena *again = arena_create(NULL);
    arena_on_free(again, count_call, &freed);
    arena_keep(outer, again);
    arena_unref(again);
    arena_unref(outer);
    CHECK_EQ(freed, COUNT + 1);
}

TEST(arenas_remember_what_the_budget_refused)
{
    struct budget *budget = budget_create(NULL, "test", 200 * 1024);
    struct arena *arena = arena_create(budget);
    CHECK(arena_try_alloc(arena, 1 << 20) == NULL);
    CHECK_ERROR(arena_status(arena), ERROR_LIMIT);
    CHECK(arena_alloc(arena, 300 * 1024) != NULL);
    arena_reset(arena);
    CHECK_OK(arena_status(arena));
    arena_unref(arena);
    CHECK_EQ(budget_used(budget), 0);
    budget_free(budget);
}

TEST(vectors_and_buffers_stop_at_the_budget)
{
    struct budget *budget = budget_create(NULL, "test", 4096);
    VEC(uint64_t) numbers = VEC_INIT(budget);
    size_t pushed = 0;
    while (vec_push(&numbers, pushed))
        pushed++;
    CHECK_EQ(numbers.len, pushed);
    CHECK_EQ(numbers.items[pushed - 1], pushed - 1);
    CHECK_ERROR(vec_status(&numbers), ERROR_LIMIT);
    vec_deinit(&numbers);
    struct buf buf = BUF_INIT(budget);
    for (int i = 0; i < 1000; i++)
        buf_printf(&buf, "%08d", i);
    CHECK(buf.len <= 4096 && buf.len % 8 == 0);
    CHECK_ERROR(buf_status(&buf), ERROR_LIMIT);
    buf_deinit(&buf);
    CHECK_EQ(budget_used(budget), 0);
    budget_free(budget);
}

TEST(hash_index_agrees_with_a_plain_list)
{
    uint64_t seed = test_seed();
    struct hash_index index = HASH_INDEX_INIT(NULL);
    static int present[512];
    static char items[512];
    memset(present, 0, sizeof(present));
    for (int step = 0; step < 20000; step++) {
        size_t i = test_random_below(&seed, 512);
        uint64_t hash = i / 3; /* many share a hash */
        if (present[i])
            CHECK(hash_index_remove(&index, hash, &items[i]));
        else
            CHECK_OK(hash_index_add(&index, hash, &items[i]));
        present[i] = !present[i];
        size_t j = test_random_below(&seed, 512), at;
        bool found = false;
        for (void *item = hash_index_first(&index, j / 3, &at); item;
             item = hash_index_next(&index, j / 3, &at))
            found |= item == &items[j];
        CHECK_EQ(found, present[j]);
    }
    hash_index_deinit(&index);
}

struct merge_input {
    int heads[64];
    size_t at, len;
};

static bool merge_less(void *self, size_t a, size_t b)
{
    struct merge_input *in = self;
    if (in[a].at == in[a].len || in[b].at == in[b].len)
        return in[a].at < in[a].len;
    return in[a].heads[in[a].at] < in[b].heads[in[b].at];
}

TEST(loser_tree_merges_sorted_inputs)
{
    uint64_t seed = test_seed();
    for (size_t k = 1; k < 20; k++) {
        struct merge_input in[20] = {0};
        size_t total = 0, taken = 0;
        for (size_t i = 0; i < k; i++) {
            in[i].len = test_random_below(&seed, 64);
            total += in[i].len;
            for (size_t j = 0, value = 0; j < in[i].len; j++)
                in[i].heads[j] = (int)(value += test_random_below(&seed, 5));
        }
        struct loser_tree tree;
        loser_tree_init(&tree, k, merge_less, in);
        int last = -1;
        size_t last_input = 0;
        for (struct merge_input *w = &in [loser_tree_winner(&tree)]; w->at < w->len;
             w = &in[loser_tree_winner(&tree)]) {
            int value = w->heads[w->at++];
            CHECK(value > last || (value == last && (size_t)(w - in) >= last_input));
            last = value, last_input = (size_t)(w - in);
            taken++;
            loser_tree_replay(&tree);
        }
        CHECK_EQ(taken, total);
        loser_tree_deinit(&tree);
    }
}

TEST(text_is_checked_as_utf8)
{
    CHECK(str_is_utf8(STR("aäß€😀")));
    CHECK(!str_is_utf8(STR("\xc0\x80")));
    CHECK(!str_is_utf8(STR("\xed\xa0\x80")));
    CHECK(!str_is_utf8(STR("\xf4\x90\x80\x80")));
    CHECK(!str_is_utf8(STR("a\xe2\x82")));
}

TEST_MAIN(TEST_ENTRY(errors_put_what_was_done_in_front),
          TEST_ENTRY(budgets_charge_all_the_way_up_or_not_at_all),
          TEST_ENTRY(arenas_are_charged_kept_and_freed_once),
          TEST_ENTRY(a_small_arena_grows_into_a_large_one),
          TEST_ENTRY(an_arena_keeps_each_of_many_once),
          TEST_ENTRY(arenas_remember_what_the_budget_refused),
          TEST_ENTRY(vectors_and_buffers_stop_at_the_budget),
          TEST_ENTRY(hash_index_agrees_with_a_plain_list),
          TEST_ENTRY(loser_tree_merges_sorted_inputs), TEST_ENTRY(text_is_checked_as_utf8))
