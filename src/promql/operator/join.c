/* Vector op vector. The "one" side is held by key; the other streams by. Matching is per step, so a
 * key may have several rows as long as they are never there at the same time: Prometheus fails at
 * a step where two are, if the other side has anything at that step. As it fails at the first such
 * step, and rows come in another order here, what is wrong is only noted until all rows were seen.
 */
#include "promql/operator/join.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "promql/arithmetic.h"

/* ---- the "one" side ---- */

static uint64_t *bit_array(struct join *join)
{
    return arena_zalloc(join->keys.arena,
                        (step_grid_words(join->base.grid) + 1) * sizeof(uint64_t));
}

static struct error *note_duplicate(struct join *join, struct join_key *key,
                                    const struct stored_row *row, uint64_t bits, size_t word)
{
    if (!key->duplicates) {
        key->duplicates = bit_array(join);
        if (!vec_push(&join->duplicate_keys, key))
            return vec_status(&join->duplicate_keys);
    }
    key->duplicates[word] |= bits;
    for (const struct stored_row *other = key->first; other && !key->duplicate[0];
         other = other->next) {
        if (!(stored_word(other, word) & bits))
            continue;
        key->duplicate[0] = other;
        key->duplicate[1] = row;
    }
    return NULL;
}

static struct error *key_add_row(struct join *join, struct join_key *key, struct stored_row *row)
{
    if (!key->present) {
        key->present = bit_array(join);
        key->taken = bit_array(join);
        key->last = &key->first;
    }
    for (size_t word = row->first / 64; word * 64 < row->last; word++) {
        uint64_t bits = stored_word(row, word), both = key->present[word] & bits;
        struct error *err = both ? note_duplicate(join, key, row, both, word) : NULL;
        if (err)
            return err;
        key->present[word] |= bits;
    }
    *key->last = row;
    key->last = &row->next;
    return NULL;
}

static struct error *hold_fold(void *self, struct context *ctx, struct step_batch *batch,
                               struct arena *arena)
{
    struct join *join = self;
    for (size_t row = 0; row < batch->row_count; row++) {
        struct match_key *base;
        struct stored_row *stored;
        struct error *err = match_keys_find(&join->keys, batch, row, true, &base);
        if (!err)
            err = row_store_add(&join->held, batch, row, arena, &stored);
        if (!err)
            err = key_add_row(join, container_of(base, struct join_key, base), stored);
        if (err)
            return err;
    }
    return arena_status(join->keys.arena);
}

static struct error *hold_one(struct join *join, struct context *ctx)
{
    join->is_held = true;
    struct error *err = NULL;
    if (join->right.batch) /* it was peeked at */
        err = hold_fold(join, ctx, join->right.batch, join->right.arena);
    if (!err)
        err = operator_drain(join->one, join->execution, ctx, hold_fold, join);
    if (!err && join->duplicate_keys.len > 0)
        join->many_seen = bit_array(join);
    return err;
}

static struct error *duplicates_error(struct join *join, const struct join_key *key)
{
    struct buf group = {0}, texts[2] = {{0}};
    labels_print(&group, key->base.labels);
    for (size_t i = 0; i < 2; i++)
        labels_print(&texts[i], key->duplicate[i]->labels);
    bool swapped = str_compare(buf_str(&texts[0]), buf_str(&texts[1])) > 0;
    struct error *err = error_create(
        ERROR_QUERY,
        "found duplicate series for the match group %.*s on the %s hand-side of the operation: "
        "[%.*s, %.*s];many-to-many matching not allowed: matching labels must be unique on one "
        "side",
        STR_ARG(buf_str(&group)), join->many_is_left ? "right" : "left",
        STR_ARG(buf_str(&texts[swapped])), STR_ARG(buf_str(&texts[!swapped])));
    buf_deinit(&group);
    buf_deinit(&texts[0]);
    buf_deinit(&texts[1]);
    return err;
}

static size_t first_step(uint64_t bits, size_t word)
{
    return word * 64 + (size_t)__builtin_ctzll(bits);
}

/* The first step at which a key has two rows that matter; SIZE_MAX: none. */
static size_t first_duplicate(const struct join *join, const struct join_key *key)
{
    bool always = join->has_fill_one || join->has_fill_many;
    for (size_t word = 0; word < step_grid_words(join->base.grid); word++) {
        uint64_t bits = key->duplicates[word] & (always ? UINT64_MAX : join->many_seen[word]);
        if (bits)
            return first_step(bits, word);
    }
    return SIZE_MAX;
}

/* Whether there will be an error at the end, by what was seen so far. */
static bool must_fail(struct join *join)
{
    join->is_failing |= join->conflict_step != SIZE_MAX;
    for (size_t i = 0; i < join->duplicate_keys.len && !join->is_failing; i++)
        join->is_failing = first_duplicate(join, join->duplicate_keys.items[i]) != SIZE_MAX;
    return join->is_failing;
}

/* When the other side has ended and it is known where it had something. */
static struct error *check_matches(struct join *join)
{
    const struct join_key *worst = NULL;
    size_t step = SIZE_MAX;
    for (size_t i = 0; i < join->duplicate_keys.len; i++) {
        size_t first = first_duplicate(join, join->duplicate_keys.items[i]);
        if (first < step) {
            worst = join->duplicate_keys.items[i];
            step = first;
        }
    }
    if (worst && step <= join->conflict_step)
        return duplicates_error(join, worst);
    if (join->conflict_step == SIZE_MAX)
        return NULL;
    return error_create(ERROR_QUERY, "multiple matches for labels: %s",
                        join->matching->card == MATCH_ONE_TO_ONE
                            ? "many-to-one matching must be explicit (group_left/group_right)"
                            : "grouping labels must ensure unique matches");
}

/* ---- the "many" side ---- */

/* A row of it, on its way. */
struct many_row {
    const struct step_batch *batch;
    size_t row;
    struct join_key *key; /* NULL: nothing has it */
};

static struct join_side many_side(const struct many_row *many)
{
    size_t first = many->batch->first[many->row];
    struct histogram **histograms = step_batch_histograms(many->batch, many->row);
    return (struct join_side){step_batch_values(many->batch, many->row) + first,
                              histograms ? histograms + first : NULL, first,
                              many->batch->last[many->row]};
}

static struct join_side held_side(const struct stored_row *row)
{
    return (struct join_side){row->values, row->histograms, row->first, row->last};
}

/* Takes the steps in join->bits for a key. */
static void take_steps(struct join *join, struct join_key *key)
{
    bool is_one_to_one = join->matching->card == MATCH_ONE_TO_ONE;
    for (size_t word = 0; key && word < step_grid_words(join->base.grid); word++) {
        uint64_t again = key->taken[word] & join->bits[word];
        if (is_one_to_one && again)
            join->conflict_step = size_min(join->conflict_step, first_step(again, word));
        key->taken[word] |= join->bits[word];
    }
}

/* The steps in join->bits of a result with these labels; notes those that had one already. */
static struct error *track_result(struct join *join, const struct step_batch *out, size_t row,
                                  struct arena *arena)
{
    struct labels labels = execution_labels(join->execution, out, row, arena);
    uint64_t hash = labels_hash(labels);
    size_t at, words = step_grid_words(out->grid);
    struct join_result *result = hash_index_first(&join->results, hash, &at);
    while (result && !labels_equal(result->labels, labels))
        result = hash_index_next(&join->results, hash, &at);
    struct error *err = NULL;
    if (!result) {
        result = arena_alloc(join->keys.arena, sizeof(*result));
        *result = (struct join_result){labels_copy(join->keys.arena, labels), bit_array(join)};
        err = hash_index_add(&join->results, hash, result);
    }
    for (size_t word = 0; word < words; word++) {
        uint64_t again = result->taken[word] & join->bits[word];
        if (again)
            join->conflict_step = size_min(join->conflict_step, first_step(again, word));
        result->taken[word] |= join->bits[word];
    }
    return err ? err : arena_status(join->keys.arena);
}

/* The row of the result for a pair: the one before when it has the same labels. */
static struct error *result_row(struct join *join, const struct many_row *many,
                                struct labels one_labels, struct step_batch *out, size_t *rows,
                                size_t own, struct arena *arena)
{
    if (*rows > own && join->matching->include_count == 0)
        return join->tracks_results ? track_result(join, out, *rows - 1, arena) : NULL;
    size_t row = *rows;
    struct error *err =
        join_set_labels(join, many->batch->labels[many->row], many->batch->drop_name[many->row],
                        one_labels, out, row, arena);
    memset(step_batch_values(out, row), 0, out->grid->count * sizeof(double));
    if (row == own || !labels_equal(out->labels[row], out->labels[row - 1]))
        *rows = row + 1;
    if (!err && join->tracks_results)
        err = track_result(join, out, *rows - 1, arena);
    return err;
}

static struct error *join_with_held(struct join *join, const struct many_row *many,
                                    const struct stored_row *held, struct step_batch *out,
                                    size_t *rows, size_t own, struct arena *arena)
{
    const uint64_t *present = step_batch_present(many->batch, many->row);
    uint64_t any = 0;
    for (size_t word = 0; word < step_grid_words(join->base.grid); word++)
        any |= join->bits[word] = present[word] & stored_word(held, word);
    struct join_side left = many_side(many), right = held_side(held);
    if (right.histograms) /* results may be those of an input */
        arena_keep(arena, join->held.arena);
    if (!any || !join_refuse(join, &left, &right))
        return NULL;
    take_steps(join, many->key);
    struct error *err = result_row(join, many, held->labels, out, rows, own, arena);
    if (err)
        return err;
    return join_compute(join, &left, &right, out, *rows - 1, arena);
}

/* The steps of a row for which the other side has nothing, with a value in its place. */
static struct error *join_with_fill(struct join *join, const struct many_row *many,
                                    struct step_batch *out, size_t *rows, size_t own,
                                    struct arena *arena)
{
    const uint64_t *present = step_batch_present(many->batch, many->row);
    struct match_key *key;
    struct error *err = match_keys_find(&join->keys, many->batch, many->row, true, &key);
    if (err)
        return err;
    struct join_key *filled = container_of(key, struct join_key, base);
    if (!filled->present) {
        filled->present = bit_array(join);
        filled->taken = bit_array(join);
        filled->last = &filled->first;
    }
    uint64_t any = 0;
    for (size_t word = 0; word < step_grid_words(join->base.grid); word++)
        any |= join->bits[word] = present[word] & ~filled->present[word];
    struct join_side left = many_side(many);
    struct join_side right = {join->fill_one, NULL, 0, join->base.grid->count};
    if (!any || !join_refuse(join, &left, &right))
        return NULL;
    take_steps(join, filled);
    struct labels one_labels = match_keys_labels(
        &join->keys, execution_labels(join->execution, many->batch, many->row, arena), arena);
    err = result_row(join, many, one_labels, out, rows, own, arena);
    if (err)
        return err;
    return join_compute(join, &left, &right, out, *rows - 1, arena);
}

static struct error *join_row(struct join *join, const struct many_row *many,
                              struct step_batch *out, size_t *rows, struct arena *arena)
{
    size_t own = *rows;
    struct error *err = NULL;
    const struct stored_row *held = many->key ? many->key->first : NULL;
    for (; held && !err; held = held->next)
        err = join_with_held(join, many, held, out, rows, own, arena);
    if (!err && join->has_fill_one)
        err = join_with_fill(join, many, out, rows, own, arena);
    return err;
}

/* How many rows the result of a row may have. */
static size_t results_max(const struct join *join, const struct join_key *key)
{
    size_t count = 0;
    if (join->matching->include_count == 0)
        return key || join->has_fill_one;
    for (const struct stored_row *held = key ? key->first : NULL; held; held = held->next)
        count++;
    return count + join->has_fill_one;
}

static void note_seen(struct join *join, const struct step_batch *batch)
{
    size_t words = step_grid_words(batch->grid);
    for (size_t row = 0; join->many_seen && row < batch->row_count; row++) {
        for (size_t word = 0; word < words; word++)
            join->many_seen[word] |= step_batch_present(batch, row)[word];
    }
}

/* What is still to be known of a join that will fail: at which step it does. */
static struct error *fail_on(struct join *join, struct step_batch *batch)
{
    size_t words = step_grid_words(batch->grid);
    for (size_t row = 0; row < batch->row_count; row++) {
        struct match_key *base;
        struct error *err = match_keys_find(&join->keys, batch, row, false, &base);
        if (err)
            return err;
        struct join_key *key = base ? container_of(base, struct join_key, base) : NULL;
        struct many_row many = {batch, row, key};
        struct join_side left = many_side(&many);
        for (const struct stored_row *held = key ? key->first : NULL; held; held = held->next) {
            struct join_side right = held_side(held);
            for (size_t word = 0; word < words; word++)
                join->bits[word] = step_batch_present(batch, row)[word] & stored_word(held, word);
            if (join_refuse(join, &left, &right))
                take_steps(join, key);
        }
    }
    return NULL;
}

static struct error *join_batch(struct join *join, struct step_batch *batch, struct arena *arena,
                                struct step_batch **out)
{
    struct join_key **keys = arena_array(arena, batch->row_count + 1, sizeof(*keys));
    size_t rows_max = 0, rows = 0;
    struct error *err = NULL;
    note_seen(join, batch);
    if (must_fail(join)) {
        err = fail_on(join, batch);
        return err ? err : step_batch_create(arena, join->base.grid, 0, out);
    }
    for (size_t row = 0; row < batch->row_count && !err; row++) {
        struct match_key *key;
        err = match_keys_find(&join->keys, batch, row, false, &key);
        keys[row] = key ? container_of(key, struct join_key, base) : NULL;
        rows_max += results_max(join, keys[row]);
    }
    if (!err) /* one more: a row whose labels prove to be those of the row before */
        err = step_batch_create(arena, join->base.grid, rows_max + 1, out);
    for (size_t row = 0; row < batch->row_count && !err; row++) {
        struct many_row many = {batch, row, keys[row]};
        err = join_row(join, &many, *out, &rows, arena);
    }
    if (err)
        return err;
    (*out)->row_count = must_fail(join) ? 0 : rows; /* what follows must not trip over them first */
    step_batch_drop_empty_rows(*out);
    return NULL;
}

/* ---- rows of the "one" side that nothing has met ---- */

static struct error *complete_row(struct join *join, const struct stored_row *held,
                                  struct step_batch *out, size_t *rows, struct arena *arena)
{
    struct labels labels = match_keys_labels(&join->keys, held->labels, arena);
    struct join_key *key = NULL;
    size_t at;
    for (key = hash_index_first(&join->keys.index, labels_hash(labels), &at);
         key && !labels_equal(key->base.labels, labels);)
        key = hash_index_next(&join->keys.index, labels_hash(labels), &at);
    uint64_t any = 0;
    for (size_t word = 0; word < step_grid_words(join->base.grid); word++)
        any |= join->bits[word] = stored_word(held, word) & ~key->taken[word];
    struct join_side many = {join->fill_many, NULL, 0, join->base.grid->count};
    struct join_side one = held_side(held);
    if (one.histograms) /* results share what these have */
        arena_keep(arena, join->held.arena);
    if (!any || !join_refuse(join, &many, &one))
        return NULL;
    struct error *err = join_set_labels(join, labels, false, held->labels, out, *rows, arena);
    if (err)
        return err;
    memset(step_batch_values(out, *rows), 0, out->grid->count * sizeof(double));
    return join_compute(join, &many, &one, out, (*rows)++, arena);
}

static struct error *complete_rows(struct join *join, struct arena *arena, struct step_batch **out)
{
    size_t rows =
        size_min(join->held.rows.len - join->unmatched_at, step_batch_rows_max(join->base.grid));
    if (!join->has_fill_many || rows == 0)
        return NULL;
    size_t written = 0;
    struct error *err = step_batch_create(arena, join->base.grid, rows, out);
    for (size_t i = 0; i < rows && !err; i++)
        err = complete_row(join, join->held.rows.items[join->unmatched_at + i], *out, &written,
                           arena);
    if (err)
        return err;
    join->unmatched_at += rows;
    (*out)->row_count = written;
    step_batch_drop_empty_rows(*out);
    return NULL;
}

/* ---- the operator ---- */

/* The next batch of the "many" side: the one that was peeked at first. */
static struct error *next_many(struct join *join, struct context *ctx, struct arena *arena,
                               struct step_batch **out)
{
    struct step_batch *peeked = join->left.batch;
    if (!peeked)
        return operator_next(join->many, ctx, arena, out);
    join->left.batch = NULL;
    arena_keep(arena, join->left.arena);
    *out = peeked;
    return NULL;
}

static struct error *join_pull(struct join *join, struct context *ctx, struct arena *arena,
                               struct step_batch **out)
{
    struct error *err = NULL;
    if (join->streams && !join->is_peeked)
        err = join_stream_peek(join, ctx);
    if (!err && join->streams)
        return join_stream_next(join, ctx, arena, out);
    if (!err && !join->is_held)
        err = hold_one(join, ctx);
    if (!err && !join->many_ended) {
        struct step_batch *batch;
        err = next_many(join, ctx, arena, &batch);
        if (!err && batch)
            return join_batch(join, batch, arena, out);
        join->many_ended = true;
        if (!err)
            err = check_matches(join);
    }
    return err ? err : complete_rows(join, arena, out);
}

static struct error *join_next(struct operator* base, struct context *ctx, struct arena *arena,
                               struct step_batch **out)
{
    struct join *join = container_of(base, struct join, base);
    struct error *err = join_pull(join, ctx, arena, out);
    if (err)
        *out = NULL;
    if (!*out)
        join_tell(join);
    return err;
}

static void join_explain(struct operator* base, struct buf *out)
{
    struct join *join = container_of(base, struct join, base);
    buf_append_cstr(out, "(");
    operator_explain(join->many_is_left ? join->many : join->one, out);
    buf_printf(out, " %s ", binary_op_text(join->node->binary.op));
    operator_explain(join->many_is_left ? join->one : join->many, out);
    buf_append_cstr(out, ")");
}

static void join_free(struct operator* base)
{
    struct join *join = container_of(base, struct join, base);
    operator_free(join->one);
    operator_free(join->many);
    row_store_deinit(&join->held);
    vec_deinit(&join->duplicate_keys);
    hash_index_deinit(&join->results);
    join_cursor_deinit(&join->left);
    join_cursor_deinit(&join->right);
    match_keys_deinit(&join->keys);
    free(join);
}

static const struct operator_ops join_ops = {join_next, join_explain, join_free};

static double *fill_values(struct join *join, double value)
{
    size_t count = join->base.grid->count;
    double *values = arena_array(join->keys.arena, count + 1, sizeof(*values));
    for (size_t i = 0; i < count; i++)
        values[i] = value;
    return values;
}

static void join_set_fills(struct join *join)
{
    const struct vector_matching *matching = join->matching;
    bool left_is_many = join->many_is_left;
    join->has_fill_many = left_is_many ? matching->has_fill_left : matching->has_fill_right;
    join->has_fill_one = left_is_many ? matching->has_fill_right : matching->has_fill_left;
    if (join->has_fill_many)
        join->fill_many =
            fill_values(join, left_is_many ? matching->fill_left : matching->fill_right);
    if (join->has_fill_one)
        join->fill_one =
            fill_values(join, left_is_many ? matching->fill_right : matching->fill_left);
}

struct operator* join_create(struct execution *execution, const struct plan_node *node,
                             struct operator* left, struct operator* right)
{
    struct join *join = xcalloc(1, sizeof(*join));
    size_t steps = node->grid->count;
    join->base = (struct operator){&join_ops, node->grid};
    join->execution = execution;
    join->node = node;
    join->matching = node->binary.matching;
    join->many_is_left = join->matching->card != MATCH_ONE_TO_MANY;
    join->one = join->many_is_left ? right : left;
    join->many = join->many_is_left ? left : right;
    join->drops_names = !binary_op_is_comparison(node->binary.op) || node->binary.is_bool;
    if (binary_op_is_trim(node->binary.op))
        join->drops_names = false;
    for (size_t i = 0; i < join->matching->include_count; i++) {
        for (size_t j = 0; j < countof(metadata_labels); j++)
            join->include_has_names |= str_equal(join->matching->include[i], metadata_labels[j]);
    }
    join->conflict_step = SIZE_MAX;
    join->results.budget = execution->budget;
    join->tracks_results = join->matching->card != MATCH_ONE_TO_ONE && !node->is_unique;
    join->streams = plan_join_streams(node);
    join->left.input = left;
    join->right.input = right;
    join->duplicate_keys.budget = execution->budget;
    match_keys_init(&join->keys, execution, join->matching, sizeof(struct join_key));
    row_store_init(&join->held, execution, node->grid);
    join->bits = bit_array(join);
    join->kept = bit_array(join);
    join->scratch = arena_array(join->keys.arena, steps + 1, sizeof(*join->scratch));
    join_set_fills(join);
    return &join->base;
}
