#include "block/postings.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/vec.h"

/* ---- sets ---- */

static void *try_array(struct arena *arena, size_t count, size_t size, struct error **err)
{
    void *array = count < SIZE_MAX / size ? arena_try_alloc(arena, (count + 1) * size) : NULL;
    if (!array)
        *err = arena_status(arena);
    return array;
}

static size_t merge_two(struct postings a, struct postings b, uint32_t *out)
{
    size_t i = 0, k = 0, count = 0;
    while (i < a.count && k < b.count) {
        uint32_t left = a.refs[i], right = b.refs[k];
        out[count++] = left < right ? left : right;
        i += left <= right;
        k += right <= left;
    }
    for (; i < a.count; i++)
        out[count++] = a.refs[i];
    for (; k < b.count; k++)
        out[count++] = b.refs[k];
    return count;
}

/* By one bit a reference, when lists are many: linear in what they hold. */
static struct error *union_by_bits(const struct postings *lists, size_t count, uint32_t least,
                                   uint32_t most, size_t total, struct arena *arena,
                                   struct postings *out)
{
    struct error *err = NULL;
    size_t words = ((size_t)most - least) / 64 + 1;
    uint64_t *bits = try_array(arena, words, sizeof(*bits), &err);
    if (!bits)
        return err;
    memset(bits, 0, words * sizeof(*bits));
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < lists[i].count; k++) {
            uint32_t at = lists[i].refs[k] - least;
            bits[at / 64] |= (uint64_t)1 << (at % 64);
        }
    }
    out->refs = try_array(arena, total, sizeof(*out->refs), &err);
    if (!out->refs)
        return err;
    for (size_t word = 0; word < words; word++) {
        for (uint64_t left = bits[word]; left; left &= left - 1)
            out->refs[out->count++] =
                least + (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(left);
    }
    return NULL;
}

/* By merging neighbours, round by round, when lists are few or far apart. */
static struct error *union_by_merging(const struct postings *lists, size_t count, size_t total,
                                      struct arena *arena, struct postings *out)
{
    struct error *err = NULL;
    struct postings *round = try_array(arena, count, sizeof(*round), &err);
    uint32_t *rooms[2] = {NULL, NULL};
    for (size_t i = 0; i < countof(rooms) && !err; i++)
        rooms[i] = try_array(arena, total, sizeof(**rooms), &err);
    if (err)
        return err;
    memcpy(round, lists, count * sizeof(*round));
    for (size_t turn = 0; count > 1; turn ^= 1) {
        uint32_t *room = rooms[turn];
        size_t next = 0;
        for (size_t i = 0; i < count; i += 2) {
            struct postings none = {NULL, 0};
            size_t merged = merge_two(round[i], i + 1 < count ? round[i + 1] : none, room);
            round[next++] = (struct postings){room, merged};
            room += merged;
        }
        count = next;
    }
    *out = round[0];
    return NULL;
}

struct error *postings_union(const struct postings *lists, size_t count, struct arena *arena,
                             struct postings *out)
{
    enum { FEW = 4, SPARSE = 64 };
    size_t total = 0;
    uint32_t least = UINT32_MAX, most = 0;
    *out = (struct postings){0};
    for (size_t i = 0; i < count; i++) {
        if (lists[i].count == 0)
            continue;
        total += lists[i].count;
        least = lists[i].refs[0] < least ? lists[i].refs[0] : least;
        most = lists[i].refs[lists[i].count - 1] > most ? lists[i].refs[lists[i].count - 1] : most;
    }
    if (total == 0)
        return NULL;
    if (count == 1) {
        *out = lists[0];
        return NULL;
    }
    bool is_dense = ((size_t)most - least) / SPARSE <= total;
    return count > FEW && is_dense ? union_by_bits(lists, count, least, most, total, arena, out)
                                   : union_by_merging(lists, count, total, arena, out);
}

/* First place in [from, count) that is not below ref, found by steps that double: cheap when near.
 */
static size_t gallop(struct postings set, size_t from, uint32_t ref)
{
    size_t step = 1, low = from, high = from;
    while (high < set.count && set.refs[high] < ref) {
        low = high + 1;
        high += step;
        step *= 2;
    }
    high = size_min(high, set.count);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set.refs[middle] < ref)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void postings_intersect(struct postings *set, struct postings other)
{
    size_t kept = 0, at = 0, i = 0;
    while (i < set->count) {
        at = gallop(other, at, set->refs[i]);
        if (at == other.count)
            break;
        if (other.refs[at] == set->refs[i])
            set->refs[kept++] = set->refs[i++];
        else
            i = gallop(*set, i, other.refs[at]);
    }
    set->count = kept;
}

void postings_subtract(struct postings *set, struct postings other)
{
    size_t kept = 0, at = 0;
    for (size_t i = 0; i < set->count; i++) {
        at = gallop(other, at, set->refs[i]);
        if (at == other.count || other.refs[at] != set->refs[i])
            set->refs[kept++] = set->refs[i];
    }
    set->count = kept;
}

/* ---- plans ---- */

struct key_list {
    struct arena *arena;
    struct postings_group *group;
    size_t room;
};

static void key_add(struct key_list *list, const struct postings_key *key)
{
    struct postings_group *group = list->group;
    if (group->key_count == list->room) {
        list->room = list->room ? 2 * list->room : 4;
        struct postings_key *larger = arena_array(list->arena, list->room, sizeof(*larger));
        if (group->key_count)
            memcpy(larger, group->keys, group->key_count * sizeof(*larger));
        group->keys = larger;
    }
    group->keys[group->key_count++] = *key;
    group->refs += (key->end - key->start) / 4;
}

/* The lists of the values that satisfy the matcher (or, for `opposite`, those that do not). */
static struct error *group_collect(const struct postings_table *table,
                                   const struct matcher *matcher, bool opposite,
                                   struct arena *arena, struct postings_group *group)
{
    const struct postings_name *name = postings_table_name(table, matcher->name);
    struct key_list list = {arena, group, 0};
    struct postings_key key;
    struct error *err = NULL;
    bool by_value =
        (matcher->op == MATCH_EQUAL && !opposite) || (matcher->op == MATCH_NOT_EQUAL && opposite);
    bool by_set = matcher->set && ((matcher->op == MATCH_REGEX && !opposite) ||
                                   (matcher->op == MATCH_NOT_REGEX && opposite));
    const struct str *values = by_value ? &matcher->value : matcher->set;
    size_t value_count = by_value ? 1 : matcher->set_count;
    if (!name)
        return NULL;
    for (size_t i = 0; (by_value || by_set) && i < value_count; i++) {
        if (values[i].len > 0 && postings_table_find(table, matcher->name, values[i], &key))
            key_add(&list, &key);
    }
    if (by_value || by_set)
        return NULL;
    struct str prefix = matcher->op == MATCH_REGEX && !opposite ? matcher->prefix : STR("");
    struct postings_cursor cursor = postings_values(table, name, prefix);
    for (size_t i = 0; !err && postings_values_next(&cursor, &key); i++) {
        if (!str_starts_with(key.value, prefix))
            break;
        if (key.value.len > 0 && matcher_matches(matcher, key.value) != opposite)
            key_add(&list, &key);
        if (i % 1024 == 0)
            err = arena_status(arena);
    }
    return err;
}

/* The group of all series. */
static void group_all(const struct postings_table *table, struct arena *arena,
                      struct postings_group *group)
{
    struct key_list list = {arena, group, 0};
    struct postings_key key;
    if (postings_table_find(table, STR(""), STR(""), &key))
        key_add(&list, &key);
}

/* Reading a list costs 4 bytes a reference; a series that is decoded for nothing some 100. */
static bool is_better_tested(const struct postings_group *group, uint64_t shortest)
{
    enum { SHORT = 16 * 1024, TIMES = 32 };
    return group->refs > SHORT && group->refs / TIMES > shortest;
}

static void plan_finish(struct postings_plan *plan, const struct matcher *const *of_group,
                        struct arena *arena)
{
    uint64_t shortest = UINT64_MAX;
    for (size_t i = 0; i < plan->group_count; i++) {
        if (!plan->groups[i].is_taken_away && plan->groups[i].refs < shortest)
            shortest = plan->groups[i].refs;
    }
    struct matcher *tested = arena_array(arena, plan->group_count + 1, sizeof(*tested));
    size_t kept = 0;
    for (size_t i = 0; i < plan->group_count; i++) {
        struct postings_group group = plan->groups[i];
        if (of_group[i] && is_better_tested(&group, shortest)) {
            tested[plan->tested_count++] = *of_group[i];
            continue;
        }
        plan->key_count += group.key_count;
        plan->bytes += group.refs * 4;
        plan->groups[kept] = group;
        if (!group.is_taken_away && group.refs == shortest) { /* the shortest comes first */
            plan->groups[kept] = plan->groups[0];
            plan->groups[0] = group;
        }
        kept++;
    }
    plan->group_count = kept;
    plan->tested = tested;
}

struct error *postings_plan_make(const struct postings_table *table, const struct matcher *matchers,
                                 size_t count, struct arena *arena, struct postings_plan *out)
{
    *out = (struct postings_plan){0};
    out->groups = arena_zalloc(arena, (count + 1) * sizeof(*out->groups));
    const struct matcher **of_group = arena_zalloc(arena, (count + 1) * sizeof(*of_group));
    bool restricts = false;
    for (size_t i = 0; i < count; i++) {
        const struct matcher *matcher = &matchers[i];
        bool takes_away = matcher_matches_empty(matcher);
        struct postings_group *group = &out->groups[out->group_count];
        if (matcher->op == MATCH_REGEX && matcher->any)
            continue;
        struct error *err = group_collect(table, matcher, takes_away, arena, group);
        if (err)
            return err;
        group->is_taken_away = takes_away;
        if (group->key_count == 0 && !takes_away) {
            *out = (struct postings_plan){.is_empty = true};
            return NULL;
        }
        restricts |= !takes_away;
        if (group->key_count > 0)
            of_group[out->group_count++] = matcher;
    }
    if (!restricts)
        group_all(table, arena, &out->groups[out->group_count++]);
    plan_finish(out, of_group, arena);
    out->is_empty = out->groups[0].key_count == 0;
    return NULL;
}

/* ---- running ---- */

static struct error *group_decode(const struct postings_group *group, const struct bytes *bytes,
                                  struct arena *arena, struct postings *out)
{
    struct error *err = NULL;
    struct postings *lists = try_array(arena, group->key_count, sizeof(*lists), &err);
    for (size_t i = 0; i < group->key_count && !err; i++) {
        err = postings_decode(bytes[i], arena, &lists[i]);
        if (err)
            err = error_wrap(err, "postings of %.*s=\"%.*s\"", STR_ARG(group->keys[i].name),
                             STR_ARG(group->keys[i].value));
    }
    return err ? err : postings_union(lists, group->key_count, arena, out);
}

static struct error *fetch_all(const struct postings_plan *plan, postings_fetch fetch, void *self,
                               struct arena *arena, struct bytes **out)
{
    struct error *err = NULL;
    const struct postings_key **keys = try_array(arena, plan->key_count, sizeof(*keys), &err);
    struct bytes *lists = keys ? try_array(arena, plan->key_count, sizeof(*lists), &err) : NULL;
    size_t count = 0;
    if (err)
        return err;
    for (size_t i = 0; i < plan->group_count; i++) {
        for (size_t k = 0; k < plan->groups[i].key_count; k++)
            keys[count++] = &plan->groups[i].keys[k];
    }
    *out = lists;
    return fetch(self, keys, count, arena, lists);
}

struct error *postings_plan_run(const struct postings_plan *plan, postings_fetch fetch, void *self,
                                struct arena *arena, struct postings *out)
{
    *out = (struct postings){0};
    if (plan->is_empty)
        return NULL;
    struct bytes *lists = NULL;
    struct error *err = fetch_all(plan, fetch, self, arena, &lists);
    for (size_t i = 0; i < plan->group_count && !err; i++) {
        struct postings set = {0};
        err = group_decode(&plan->groups[i], lists, arena, &set);
        lists += plan->groups[i].key_count;
        if (err)
            break;
        if (i == 0)
            *out = set;
        else if (plan->groups[i].is_taken_away)
            postings_subtract(out, set);
        else
            postings_intersect(out, set);
    }
    return err;
}
