#include <string.h>

#include "promql/arithmetic.h"
#include "promql/operator/binary.h"
#include "promql/operator/join.h"

/* The steps of both sides. */
struct common {
    size_t first, last;
    const double *left, *right; /* [0] is step `first` */
};

static struct common common_of(const struct join *join, const struct join_side *many,
                               const struct join_side *one)
{
    struct common common = {size_max(many->first, one->first), size_min(many->last, one->last),
                            NULL, NULL};
    const double *of_many = many->values + (common.first - many->first);
    const double *of_one = one->values + (common.first - one->first);
    common.left = join->many_is_left ? of_many : of_one;
    common.right = join->many_is_left ? of_one : of_many;
    return common;
}

/* Copies the computed values of the steps in bits. */
static void place(const struct join *join, const struct common *common, const double *values,
                  struct step_batch *batch, size_t row)
{
    double *out = step_batch_values(batch, row);
    uint64_t *present = step_batch_present(batch, row);
    bool is_empty = batch->first[row] == batch->last[row];
    if (is_empty)
        memcpy(out + common->first, values, (common->last - common->first) * sizeof(*out));
    for (size_t step = common->first; step < common->last && !is_empty; step++) {
        if (step_bit_get(join->bits, step))
            out[step] = values[step - common->first];
    }
    for (size_t word = common->first / 64; word * 64 < common->last; word++)
        present[word] |= join->bits[word];
    step_batch_trim_row(batch, row);
}

static void compute_floats(struct join *join, const struct common *common, struct step_batch *batch,
                           size_t row)
{
    const struct plan_binary *binary = &join->node->binary;
    size_t count = common->last - common->first;
    if (!binary_op_is_comparison(binary->op)) {
        arithmetic_columns(binary->op, common->left, common->right, join->scratch, count);
        place(join, common, join->scratch, batch, row);
        return;
    }
    arithmetic_compare(binary->op, common->left, common->right, 0, count, join->kept);
    for (size_t i = 0; i < count; i++) {
        bool kept = step_bit_get(join->kept, i);
        if (!kept && !binary->is_bool)
            step_bit_clear(join->bits, common->first + i);
        join->scratch[i] = binary->is_bool ? kept : common->left[i];
    }
    place(join, common, join->scratch, batch, row);
}

static struct operand operand_at(const struct join_side *side, size_t step)
{
    size_t at = step - side->first;
    return (struct operand){side->values[at], side->histograms ? side->histograms[at] : NULL};
}

struct pair {
    struct operand left, right;
};

static struct pair pair_at(const struct join *join, const struct join_side *many,
                           const struct join_side *one, size_t step)
{
    struct operand of_many = operand_at(many, step), of_one = operand_at(one, step);
    return join->many_is_left ? (struct pair){of_many, of_one} : (struct pair){of_one, of_many};
}

/* Of all pairs of a step, the last one that has something to say does. */
static void note_at(struct join *join, size_t step, enum binary_note note)
{
    if (note == BINARY_NOTE_NONE)
        return;
    if (!join->notes)
        join->notes = arena_zalloc(join->keys.arena, join->base.grid->count + 1);
    join->notes[step] = (uint8_t)note;
}

void join_tell(struct join *join)
{
    uint64_t told = 0;
    for (size_t step = 0; join->notes && step < join->base.grid->count; step++) {
        enum binary_note note = (enum binary_note)join->notes[step];
        if (!(told >> note & 1))
            binary_tell(join->execution, join->node, note);
        told |= (uint64_t)1 << note;
    }
    join->notes = NULL;
}

bool join_refuse(struct join *join, const struct join_side *many, const struct join_side *one)
{
    enum binary_op op = join->node->binary.op;
    size_t first = size_max(many->first, one->first), last = size_min(many->last, one->last);
    bool any = false;
    if (!many->histograms && !one->histograms && !binary_op_is_trim(op))
        return true;
    for (size_t step = first; step < last; step++) {
        if (!step_bit_get(join->bits, step))
            continue;
        struct pair pair = pair_at(join, many, one, step);
        enum binary_note note = binary_refusal(op, &pair.left, &pair.right);
        any |= note == BINARY_NOTE_NONE;
        if (note == BINARY_NOTE_NONE)
            continue;
        step_bit_clear(join->bits, step);
        note_at(join, step, note);
    }
    return any;
}

/* One step with a histogram on a side or both. */
static void compute_histogram(struct join *join, const struct pair *pair, size_t step,
                              struct step_batch *batch, size_t row, struct arena *arena)
{
    const struct plan_binary *binary = &join->node->binary;
    const struct histogram *left = pair->left.histogram, *right = pair->right.histogram;
    struct histogram *result = NULL;
    double value = 0;
    if (binary_pair(binary->op, left != NULL, right != NULL) == PAIR_HISTOGRAM) {
        enum binary_note note;
        result = binary_histogram(binary->op, &pair->left, &pair->right, arena, &note);
        note_at(join, step, note);
    } else {
        bool kept = histogram_equal(left, right) == (binary->op == BINARY_EQUAL);
        if (!kept && !binary->is_bool)
            return;
        value = binary->is_bool ? kept : left->sum;
        result = binary->is_bool ? NULL : (struct histogram *)left;
    }
    step_bit_set(step_batch_present(batch, row), step);
    step_batch_values(batch, row)[step] = value;
    step_batch_histograms(batch, row)[step] = result;
}

static struct error *compute_histograms(struct join *join, const struct join_side *many,
                                        const struct join_side *one, struct step_batch *batch,
                                        size_t row, struct arena *arena)
{
    size_t first = size_max(many->first, one->first), last = size_min(many->last, one->last);
    struct error *err = step_batch_add_histograms(batch, arena);
    for (size_t step = first; step < last && !err; step++) {
        if (!step_bit_get(join->bits, step))
            continue;
        struct pair pair = pair_at(join, many, one, step);
        if (!pair.left.histogram && !pair.right.histogram)
            continue;
        step_bit_clear(join->bits, step); /* the floats are computed afterwards */
        compute_histogram(join, &pair, step, batch, row, arena);
    }
    step_batch_trim_row(batch, row);
    return err ? err : arena_status(arena);
}

struct error *join_compute(struct join *join, const struct join_side *many,
                           const struct join_side *one, struct step_batch *batch, size_t row,
                           struct arena *arena)
{
    struct error *err = NULL;
    if (many->histograms || one->histograms)
        err = compute_histograms(join, many, one, batch, row, arena);
    if (err)
        return err;
    struct common common = common_of(join, many, one);
    if (common.first < common.last && !binary_op_is_trim(join->node->binary.op))
        compute_floats(join, &common, batch, row);
    return NULL;
}

static struct labels include_labels(struct join *join, struct labels labels,
                                    struct labels one_labels, struct arena *arena)
{
    struct labels_builder builder = labels_builder_from(arena, labels);
    for (size_t i = 0; i < join->matching->include_count; i++)
        labels_builder_set(&builder, join->matching->include[i],
                           labels_get(one_labels, join->matching->include[i]));
    return labels_builder_finish(&builder);
}

struct error *join_set_labels(struct join *join, struct labels many_labels, bool many_drops,
                              struct labels one_labels, struct step_batch *batch, size_t row,
                              struct arena *arena)
{
    const struct vector_matching *matching = join->matching;
    bool is_delayed = join->execution->delayed_names, is_bool = join->node->binary.is_bool;
    /* Arithmetic takes names away at once, delayed or not. */
    bool drops = is_delayed ? join->drops_names && !is_bool : join->drops_names || many_drops;
    bool removes = drops && (is_delayed || join->include_has_names);
    struct labels labels = many_labels;
    if (removes)
        labels = labels_without(arena, labels, metadata_labels, countof(metadata_labels));
    if (matching->card == MATCH_ONE_TO_ONE && matching->on)
        labels = labels_only(arena, labels, matching->labels, matching->label_count);
    else if (matching->card == MATCH_ONE_TO_ONE && matching->label_count > 0)
        labels = labels_without(arena, labels, matching->labels, matching->label_count);
    if (matching->include_count > 0)
        labels = include_labels(join, labels, one_labels, arena);
    batch->labels[row] = labels;
    batch->drop_name[row] = is_delayed ? is_bool : drops && !removes;
    return NULL;
}
