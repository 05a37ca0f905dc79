/* info(): rows get labels of the info series, like target_info, that agree with them in instance
 * and job. The info series are held, by these two labels and by name: which of them counts at which
 * step, as a bitmap. The rows stream by; a row falls into as many as there are combinations of info
 * series over its steps.
 *
 * Prometheus looks for info series only by the instances and jobs that occur in rows, so series of
 * others must not make the query fail: what is wrong with info series is noted when they are held
 * and told at the end, when all rows were seen. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "promql/operator/match_key.h"
#include "promql/operator/operator.h"
#include "promql/row_store.h"

/* One info series. Of several of a group the one with the latest sample counts. */
struct info_series {
    struct stored_row *row; /* values are the samples' times */
    uint64_t *wins;         /* steps at which it counts; NULL: all that it has */
    struct info_series *next;
};

/* Info series of one name. */
struct info_group {
    struct str name;
    struct info_series *first;
    uint64_t *ties; /* steps at which two series have the latest sample; NULL: none */
    const struct info_series *tied[2];
    struct info_group *next;
};

struct info_key {
    struct match_key base;
    struct info_group *groups;
    const struct stored_row *histogram; /* a series that is none of floats */
};

/* What rows of the result have been given labels: no step twice. */
struct info_result {
    struct labels labels;
    uint64_t *taken;
};

/* Some steps of a row of the input. */
struct info_part {
    size_t row;
    uint64_t *steps;
    struct labels labels;
};

/* Which instances and jobs rows have; one for each way of having one or both. */
struct info_values {
    struct hash_index items; /* struct str */
};

enum { IDENTIFYING = 2, HAS_INSTANCE = 1, HAS_JOB = 2, PRESENCES = 4 };

static const struct str identifying[IDENTIFYING] = {STR_INIT("instance"), STR_INIT("job")};

struct info {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    const struct plan_info *plan;
    struct operator* input, *series;
    bool is_held, has_ended;
    bool keeps_without; /* rows without info series stay */
    struct row_store held;
    struct match_keys keys;
    size_t words;

    /* Kept only when something is wrong with an info series. */
    bool is_suspicious;
    struct info_values values[PRESENCES][IDENTIFYING];
    uint64_t *seen; /* steps at which there is a row */

    struct hash_index results;

    /* The batch under way. */
    struct arena *batch_arena;
    struct step_batch *batch;
    VEC(struct info_part) parts;
    size_t next_part;
};

/* ---- holding the info series ---- */

static uint64_t *bit_array(const struct info *info, struct arena *arena)
{
    return arena_zalloc(arena, (info->words + 1) * sizeof(uint64_t));
}

static uint64_t winning(const struct info_series *series, size_t word)
{
    return series->wins ? series->wins[word] : stored_word(series->row, word);
}

static void own_wins(const struct info *info, struct info_series *series)
{
    if (series->wins)
        return;
    uint64_t *wins = bit_array(info, info->keys.arena);
    for (size_t word = 0; word < info->words; word++)
        wins[word] = stored_word(series->row, word);
    series->wins = wins;
}

static void note_tie(struct info *info, struct info_group *group, const struct info_series *old,
                     const struct info_series *series, size_t step)
{
    info->is_suspicious = true;
    if (!group->ties) {
        group->ties = bit_array(info, info->keys.arena);
        group->tied[0] = old;
        group->tied[1] = series;
    }
    step_bit_set(group->ties, step);
}

/* The steps that a series and another one of its group both have. */
static void compete(struct info *info, struct info_group *group, struct info_series *old,
                    struct info_series *series)
{
    for (size_t word = 0; word < info->words; word++) {
        uint64_t both = old->wins[word] & series->wins[word];
        for (; both; both &= both - 1) {
            size_t step = word * 64 + (size_t)__builtin_ctzll(both);
            double old_time = old->row->values[step - old->row->first];
            double time = series->row->values[step - series->row->first];
            if (old_time == time)
                note_tie(info, group, old, series, step);
            step_bit_clear(time > old_time ? old->wins : series->wins, step);
        }
    }
}

static void group_add(struct info *info, struct info_group *group, struct stored_row *row)
{
    struct info_series *series = arena_zalloc(info->keys.arena, sizeof(*series));
    series->row = row;
    if (group->first)
        own_wins(info, series);
    struct info_series **at = &group->first;
    for (; *at; at = &(*at)->next) {
        own_wins(info, *at);
        compete(info, group, *at, series);
    }
    *at = series;
}

static struct info_group *find_group(struct info *info, struct info_key *key, struct str name)
{
    struct info_group **at = &key->groups;
    while (*at && !str_equal((*at)->name, name))
        at = &(*at)->next;
    if (!*at) {
        *at = arena_zalloc(info->keys.arena, sizeof(**at));
        (*at)->name = name;
    }
    return *at;
}

static bool row_has_histogram(const struct step_batch *batch, size_t row)
{
    struct histogram **histograms = step_batch_histograms(batch, row);
    for (uint32_t step = batch->first[row]; histograms && step < batch->last[row]; step++)
        if (step_bit_get(step_batch_present(batch, row), step) && histograms[step])
            return true;
    return false;
}

static struct error *hold_row(struct info *info, struct step_batch *batch, size_t row,
                              struct arena *arena)
{
    struct match_key *base;
    struct stored_row *stored;
    struct error *err = match_keys_find(&info->keys, batch, row, true, &base);
    if (err || base->labels.len == 0) /* it is nobody's */
        return err;
    err = row_store_add(&info->held, batch, row, arena, &stored);
    if (err)
        return err;
    struct info_key *key = container_of(base, struct info_key, base);
    if (row_has_histogram(batch, row)) {
        info->is_suspicious = true;
        if (!key->histogram)
            key->histogram = stored;
    }
    struct str name = labels_get(stored->labels, metadata_labels[0]);
    group_add(info, find_group(info, key, name), stored);
    return NULL;
}

static struct error *hold_fold(void *self, struct context *ctx, struct step_batch *batch,
                               struct arena *arena)
{
    struct info *info = self;
    for (size_t row = 0; row < batch->row_count; row++) {
        struct error *err = hold_row(info, batch, row, arena);
        if (err)
            return err;
    }
    return arena_status(info->keys.arena);
}

static struct error *hold_series(struct info *info, struct context *ctx)
{
    info->is_held = true;
    struct error *err = operator_drain(info->series, info->execution, ctx, hold_fold, info);
    if (!err && info->is_suspicious)
        info->seen = bit_array(info, info->keys.arena);
    return err;
}

/* ---- what was wrong with them ---- */

static unsigned presence_of(struct labels labels)
{
    return (labels_has(labels, identifying[0]) ? HAS_INSTANCE : 0) |
           (labels_has(labels, identifying[1]) ? HAS_JOB : 0);
}

static bool values_have(const struct info_values *values, struct str value)
{
    size_t at;
    uint64_t hash = hash_bytes(value.data, value.len);
    struct str *item = hash_index_first(&values->items, hash, &at);
    while (item && !str_equal(*item, value))
        item = hash_index_next(&values->items, hash, &at);
    return item;
}

static struct error *values_add(struct info *info, struct info_values *values, struct str value)
{
    if (values_have(values, value))
        return NULL;
    struct str *item = arena_alloc(info->keys.arena, sizeof(*item));
    *item = arena_str(info->keys.arena, value);
    values->items.budget = info->execution->budget;
    return hash_index_add(&values->items, hash_bytes(value.data, value.len), item);
}

static struct error *note_row(struct info *info, struct labels labels)
{
    unsigned presence = presence_of(labels);
    struct error *err = NULL;
    for (size_t i = 0; presence && i < IDENTIFYING && !err; i++)
        err = values_add(info, &info->values[presence][i], labels_get(labels, identifying[i]));
    return err;
}

/* Whether Prometheus would have looked for them: among all combinations of the values. */
static bool key_is_wanted(const struct info *info, const struct info_key *key)
{
    const struct info_values *values = info->values[presence_of(key->base.labels)];
    for (size_t i = 0; i < IDENTIFYING; i++)
        if (!values_have(&values[i], labels_get(key->base.labels, identifying[i])))
            return false;
    return true;
}

static struct error *histogram_error(const struct stored_row *row)
{
    struct buf text = {0};
    labels_print(&text, row->labels);
    struct error *err =
        error_create(ERROR_QUERY, "this should be an info metric, with float samples: %.*s",
                     STR_ARG(buf_str(&text)));
    buf_deinit(&text);
    return err;
}

static struct error *tie_error(const struct info_group *group, size_t step)
{
    struct buf texts[2] = {{0}, {0}};
    long long times[2];
    for (size_t i = 0; i < 2; i++) {
        const struct stored_row *row = group->tied[i]->row;
        labels_print(&texts[i], row->labels);
        bool is_there = stored_has(row, step);
        times[i] = is_there ? llround(row->values[step - row->first] * 1000) : 0;
    }
    struct error *err = error_create(
        ERROR_QUERY,
        "found duplicate series for info metric: existing %.*s @ %lld, new %.*s @ %lld",
        STR_ARG(buf_str(&texts[0])), times[0], STR_ARG(buf_str(&texts[1])), times[1]);
    buf_deinit(&texts[0]);
    buf_deinit(&texts[1]);
    return err;
}

/* The first step with a row at which two series of a group tie; SIZE_MAX: none. */
static size_t first_tie(const struct info *info, const struct info_group *group)
{
    for (size_t word = 0; group->ties && word < info->words; word++) {
        uint64_t bits = group->ties[word] & info->seen[word];
        if (bits)
            return word * 64 + (size_t)__builtin_ctzll(bits);
    }
    return SIZE_MAX;
}

static struct error *check_series(struct info *info)
{
    const struct info_group *worst = NULL;
    size_t at = 0, worst_step = SIZE_MAX;
    for (struct match_key *base; (base = hash_index_each(&info->keys.index, &at)) != NULL;) {
        const struct info_key *key = container_of(base, struct info_key, base);
        if (!key_is_wanted(info, key))
            continue;
        if (key->histogram)
            return histogram_error(key->histogram);
        for (const struct info_group *group = key->groups; group; group = group->next) {
            size_t step = first_tie(info, group);
            if (step >= worst_step)
                continue;
            worst = group;
            worst_step = step;
        }
    }
    return worst ? tie_error(worst, worst_step) : NULL;
}

/* ---- labels of a part ---- */

/* Whether a label of an info series is one to take over. */
static bool label_is_wanted(const struct plan_info *plan, struct str name)
{
    for (size_t i = 0; i < countof(metadata_labels); i++)
        if (str_equal(name, metadata_labels[i]))
            return false;
    for (size_t i = 0; i < plan->data_count; i++)
        if (str_equal(name, plan->data[i].name))
            return true;
    return plan->data_count == 0;
}

/* Adds to `added` what a row takes over of one info series. */
static struct error *take_labels(const struct info *info, struct labels row,
                                 const struct info_series *series, struct labels_builder *added)
{
    struct labels_reader reader = labels_read(series->row->labels);
    struct label label;
    while (labels_next(&reader, &label)) {
        if (!label_is_wanted(info->plan, label.name))
            continue;
        struct str value = labels_builder_get(added, label.name);
        if (value.len && !str_equal(value, label.value))
            return error_create(ERROR_QUERY, "conflicting label: %.*s", STR_ARG(label.name));
        if (!labels_has(row, label.name))
            labels_builder_set(added, label.name, label.value);
    }
    return NULL;
}

/* ---- rows fall into parts ---- */

/* Steps of a row at which the same info series count, while the groups are gone through. */
struct partial {
    uint64_t *steps;
    const struct info_series **chosen; /* one per group, NULL: none */
};

typedef VEC(struct partial) partial_list;

static struct error *partial_add(struct info *info, partial_list *list, const struct partial *from,
                                 size_t group, size_t group_count, const struct info_series *series)
{
    struct arena *arena = info->batch_arena;
    uint64_t any = 0, *steps = bit_array(info, arena);
    for (size_t word = 0; word < info->words; word++) {
        steps[word] = series ? from->steps[word] & winning(series, word) : from->steps[word];
        any |= steps[word];
    }
    if (!any)
        return NULL;
    const struct info_series **chosen = arena_array(arena, group_count, sizeof(*chosen));
    if (group)
        memcpy(chosen, from->chosen, group * sizeof(*chosen));
    chosen[group] = series;
    for (size_t word = 0; series && word < info->words; word++)
        from->steps[word] &= ~steps[word];
    if (!vec_push(list, ((struct partial){steps, chosen})))
        return vec_status(list);
    return arena_status(arena);
}

/* Splits what there is by the series of one more group. */
static struct error *split_by_group(struct info *info, partial_list *from, partial_list *to,
                                    const struct info_group *group, size_t number, size_t count)
{
    struct error *err = NULL;
    for (size_t i = 0; i < from->len && !err; i++) {
        for (const struct info_series *series = group->first; series && !err; series = series->next)
            err = partial_add(info, to, &from->items[i], number, count, series);
        if (!err)
            err = partial_add(info, to, &from->items[i], number, count, NULL);
    }
    vec_clear(from);
    return err;
}

static struct error *add_part(struct info *info, size_t row, uint64_t *steps, struct labels labels)
{
    if (!vec_push(&info->parts, ((struct info_part){row, steps, labels})))
        return vec_status(&info->parts);
    return NULL;
}

static struct error *finish_partial(struct info *info, size_t row, struct labels visible,
                                    const struct partial *partial, size_t group_count)
{
    struct labels own = info->batch->labels[row];
    struct labels_builder added = labels_builder_create(info->batch_arena);
    bool has_any = false;
    for (size_t i = 0; i < group_count; i++) {
        if (!partial->chosen[i])
            continue;
        has_any = true;
        struct error *err = take_labels(info, visible, partial->chosen[i], &added);
        if (err)
            return err;
    }
    if (!has_any && !info->keeps_without)
        return NULL;
    struct labels more = labels_builder_finish(&added);
    if (more.len)
        own = labels_merge(info->batch_arena, own, more);
    return add_part(info, row, partial->steps, own);
}

/* A row that meets info series of its key. */
static struct error *split_row(struct info *info, size_t row, struct labels visible,
                               const struct info_key *key)
{
    size_t count = 0, number = 0;
    for (const struct info_group *group = key->groups; group; group = group->next)
        count++;
    partial_list lists[2] = {{.budget = info->execution->budget},
                             {.budget = info->execution->budget}};
    struct partial all = {step_batch_present(info->batch, row), NULL};
    struct error *err = vec_push(&lists[0], all) ? NULL : vec_status(&lists[0]);
    for (const struct info_group *group = key->groups; group && !err; group = group->next) {
        err = split_by_group(info, &lists[number % 2], &lists[(number + 1) % 2], group, number,
                             count);
        number++;
    }
    const partial_list *last = &lists[number % 2];
    for (size_t i = 0; i < last->len && !err; i++)
        err = finish_partial(info, row, visible, &last->items[i], count);
    vec_deinit(&lists[0]);
    vec_deinit(&lists[1]);
    return err;
}

static bool row_is_info_series(const struct plan_info *plan, struct labels visible)
{
    struct str name = labels_get(visible, metadata_labels[0]);
    for (size_t i = 0; i < plan->name_count; i++)
        if (!matcher_matches(&plan->names[i], name))
            return false;
    return true;
}

static void mark_seen(struct info *info, size_t row)
{
    const uint64_t *present = step_batch_present(info->batch, row);
    for (size_t word = 0; word < info->words; word++)
        info->seen[word] |= present[word];
}

static struct error *take_row(struct info *info, size_t row)
{
    struct step_batch *batch = info->batch;
    struct labels visible = execution_labels(info->execution, batch, row, info->batch_arena);
    if (info->seen)
        mark_seen(info, row);
    if (row_is_info_series(info->plan, visible))
        return add_part(info, row, step_batch_present(batch, row), batch->labels[row]);
    struct error *err = info->seen ? note_row(info, visible) : NULL;
    struct match_key *base = NULL;
    if (!err)
        err = match_keys_find(&info->keys, batch, row, false, &base);
    if (err)
        return err;
    const struct info_key *key = base ? container_of(base, struct info_key, base) : NULL;
    if (key && key->groups)
        return split_row(info, row, visible, key);
    if (!info->keeps_without)
        return NULL;
    return add_part(info, row, step_batch_present(batch, row), batch->labels[row]);
}

static struct error *take_batch(struct info *info, struct context *ctx)
{
    arena_unref(info->batch_arena); /* histograms given out may live there */
    info->batch_arena = arena_create(info->execution->budget);
    vec_clear(&info->parts);
    info->next_part = 0;
    struct error *err = operator_next(info->input, ctx, info->batch_arena, &info->batch);
    if (err || !info->batch)
        return err;
    for (size_t row = 0; row < info->batch->row_count && !err; row++)
        err = take_row(info, row);
    return err ? err : arena_status(info->batch_arena);
}

/* ---- giving parts ---- */

/* Rows that have got the same labels must not meet in a step. */
static struct error *check_result(struct info *info, const struct step_batch *out, size_t row,
                                  struct arena *arena)
{
    struct labels labels = execution_labels(info->execution, out, row, arena);
    uint64_t hash = labels_hash(labels);
    size_t at;
    struct info_result *result = hash_index_first(&info->results, hash, &at);
    while (result && !labels_equal(result->labels, labels))
        result = hash_index_next(&info->results, hash, &at);
    struct error *err = NULL;
    if (!result) {
        result = arena_alloc(info->keys.arena, sizeof(*result));
        *result = (struct info_result){labels_copy(info->keys.arena, labels),
                                       bit_array(info, info->keys.arena)};
        err = hash_index_add(&info->results, hash, result);
    }
    const uint64_t *present = step_batch_present(out, row);
    for (size_t word = 0; word < info->words && !err; word++) {
        if (result->taken[word] & present[word])
            err = error_create(ERROR_QUERY, "vector cannot contain metrics with the same labelset");
        result->taken[word] |= present[word];
    }
    return err ? err : arena_status(info->keys.arena);
}

static struct error *give_part(struct info *info, const struct info_part *part,
                               struct step_batch *out, size_t row, struct arena *arena)
{
    const struct step_batch *from = info->batch;
    struct histogram **histograms = step_batch_histograms(from, part->row);
    size_t first = from->first[part->row], count = from->last[part->row] - first;
    memcpy(step_batch_values(out, row) + first, step_batch_values(from, part->row) + first,
           count * sizeof(double));
    if (histograms) {
        struct error *err = step_batch_add_histograms(out, arena);
        if (err)
            return err;
        memcpy(step_batch_histograms(out, row) + first, histograms + first,
               count * sizeof(struct histogram *));
        arena_keep(arena, info->batch_arena);
    }
    memcpy(step_batch_present(out, row), part->steps, info->words * sizeof(uint64_t));
    step_batch_trim_row(out, row);
    out->labels[row] = labels_copy(arena, part->labels);
    out->drop_name[row] = from->drop_name[part->row];
    return check_result(info, out, row, arena);
}

static struct error *give_parts(struct info *info, struct arena *arena, struct step_batch **out)
{
    size_t left = info->parts.len - info->next_part;
    size_t rows = size_min(left, step_batch_rows_max(info->base.grid));
    struct error *err = step_batch_create(arena, info->base.grid, rows, out);
    for (size_t row = 0; row < rows && !err; row++)
        err = give_part(info, &info->parts.items[info->next_part++], *out, row, arena);
    return err ? err : arena_status(arena);
}

static struct error *info_next(struct operator* base, struct context *ctx, struct arena *arena,
                               struct step_batch **out)
{
    struct info *info = container_of(base, struct info, base);
    *out = NULL;
    struct error *err = info->is_held ? NULL : hold_series(info, ctx);
    while (!err && !info->has_ended && info->next_part == info->parts.len) {
        err = take_batch(info, ctx);
        if (err || info->batch)
            continue;
        info->has_ended = true;
        err = info->is_suspicious ? check_series(info) : NULL;
    }
    if (!err && !info->has_ended)
        err = give_parts(info, arena, out);
    if (err)
        *out = NULL;
    return err;
}

static void info_explain(struct operator* base, struct buf *out)
{
    struct info *info = container_of(base, struct info, base);
    buf_append_cstr(out, "info(");
    operator_explain(info->input, out);
    buf_append_cstr(out, ", ");
    operator_explain(info->series, out);
    buf_append_byte(out, ')');
}

static void info_free(struct operator* base)
{
    struct info *info = container_of(base, struct info, base);
    operator_free(info->input);
    operator_free(info->series);
    row_store_deinit(&info->held);
    match_keys_deinit(&info->keys);
    hash_index_deinit(&info->results);
    for (size_t i = 0; i < PRESENCES * IDENTIFYING; i++)
        hash_index_deinit(&info->values[i / IDENTIFYING][i % IDENTIFYING].items);
    vec_deinit(&info->parts);
    arena_unref(info->batch_arena);
    free(info);
}

static const struct operator_ops info_ops = {info_next, info_explain, info_free};

struct operator* info_create(struct execution *execution, const struct plan_node *node,
                             struct operator* input, struct operator* series)
{
    static struct str labels[IDENTIFYING] = {STR_INIT("instance"), STR_INIT("job")};
    static const struct vector_matching matching = {
        .on = true, .labels = labels, .label_count = IDENTIFYING};
    struct info *info = xcalloc(1, sizeof(*info));
    info->base = (struct operator){&info_ops, node->grid};
    info->execution = execution;
    info->node = node;
    info->plan = node->call.info;
    info->input = input;
    info->series = series;
    info->words = step_grid_words(node->grid);
    info->results.budget = execution->budget;
    info->parts.budget = execution->budget;
    info->keeps_without = true;
    for (size_t i = 0; i < info->plan->data_count; i++)
        info->keeps_without &= matcher_matches_empty(&info->plan->data[i]);
    row_store_init(&info->held, execution, node->grid);
    match_keys_init(&info->keys, execution, &matching, sizeof(struct info_key));
    return &info->base;
}
