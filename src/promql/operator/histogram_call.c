/* histogram_quantile(), histogram_fraction() and histogram_quantiles(). Classic histograms: series
 * that differ in `le` alone are the buckets of one. They need not come one after another, so all
 * rows wait. Native ones are computed as they come; their results wait, for at a step where a
 * classic histogram has the same labels neither counts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/hash_index.h"
#include "base/memory.h"
#include "codec/float_text.h"
#include "model/histogram_estimate.h"
#include "model/quote.h"
#include "promql/operator/operator.h"
#include "promql/quantile.h"
#include "promql/row_store.h"

enum { HISTOGRAM_SCALARS_MAX = 10 };

struct bucket_row {
    double upper_bound;
    struct stored_row *stored;
    struct bucket_row *next;
};

/* Results for a series of native histograms. */
struct native_row {
    uint32_t first, last; /* steps [first, last) */
    uint64_t *present;    /* of all steps of the grid */
    double *values;       /* as many as there are steps, for each result */
    uint8_t *notes;       /* likewise, enum histogram_nan_note; NULL: none */
    struct native_row *next;
};

struct histogram_group {
    struct labels labels; /* without le */
    struct bucket_row *first, **last;
    size_t count;
    struct native_row *natives;
};

/* A row that each group has in the result. */
struct variant {
    size_t result;   /* which of a native row's */
    double quantile; /* of histogram_quantiles(): the row is of the steps that ask for this one */
};

struct histogram_call {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    const struct plan_node *vector; /* the argument */
    struct operator* input;
    struct scalar scalars[HISTOGRAM_SCALARS_MAX];
    size_t scalar_count, result_count;
    struct row_store rows;
    struct hash_index index;
    VEC(struct histogram_group *) groups;
    VEC(struct variant) variants;
    size_t held; /* points of native rows */
    bool is_folded;
    size_t given;
};

static const struct str bucket_label = STR_INIT("le");

static bool gives_quantiles(const struct histogram_call *call)
{
    return call->node->call.function->id == FUNCTION_HISTOGRAM_QUANTILES;
}

/* ---- what the user is told ---- */

/* Metric names are spoken of only while they are still there. */
static void append_name(const struct histogram_call *call, struct buf *text, struct labels labels)
{
    struct str name =
        call->execution->delayed_names ? labels_get(labels, metadata_labels[0]) : STR("");
    if (name.len == 0)
        return;
    buf_append_cstr(text, " for metric name ");
    quote_append(text, name);
}

/* The text, and the metric's name behind it. */
static void tell(const struct histogram_call *call, enum annotation_kind kind, const char *what,
                 struct labels labels)
{
    struct buf text = {0};
    buf_append_cstr(&text, what);
    append_name(call, &text, labels);
    annotations_add(call->execution->annotations, kind, call->vector->position, "%.*s",
                    STR_ARG(buf_str(&text)));
    buf_deinit(&text);
}

static void warn_of_bound(const struct histogram_call *call, struct labels labels, struct str bound)
{
    struct buf text = {0};
    buf_append_cstr(&text, "bucket label \"le\" is missing or has a malformed value of ");
    quote_append(&text, bound);
    buf_append_byte(&text, 0);
    tell(call, ANNOTATION_WARNING, text.data, labels);
    buf_deinit(&text);
}

static void tell_of_nan(const struct histogram_call *call, enum histogram_nan_note note,
                        struct labels labels)
{
    static const char *const texts[] = {
        [HISTOGRAM_NAN_RESULT] = "input to histogram_quantile has NaN observations, result is NaN",
        [HISTOGRAM_NAN_SKEWED] =
            "input to histogram_quantile has NaN observations, result is skewed higher",
        [HISTOGRAM_NAN_OUTSIDE] = "input to histogram_fraction has NaN observations, which are "
                                  "excluded from all fractions",
    };
    if (note != HISTOGRAM_NAN_NONE)
        tell(call, ANNOTATION_INFO, texts[note], labels);
}

/* Where the scalars come from, in the order of the scalars. */
static const struct plan_node *scalar_argument(const struct histogram_call *call, size_t number)
{
    for (size_t i = 0; i < call->node->call.arg_count; i++)
        if (call->node->call.args[i]->type == VALUE_SCALAR && number-- == 0)
            return call->node->call.args[i];
    bug("a scalar without an argument");
}

static void warn_of_quantiles(const struct histogram_call *call)
{
    char text[ANNOTATION_FLOAT_MAX];
    if (call->node->call.function->id == FUNCTION_HISTOGRAM_FRACTION)
        return;
    for (size_t i = 0; i < call->scalar_count; i++) {
        double last = 0;
        for (size_t step = 0; step < call->base.grid->count; step++) {
            double q = call->scalars[i].values[step];
            if ((q >= 0 && q <= 1) || (step > 0 && memcmp(&q, &last, sizeof(q)) == 0))
                continue;
            last = q;
            annotations_add_of_argument(call->execution->annotations, ANNOTATION_WARNING,
                                        scalar_argument(call, i)->position, call->node->position,
                                        "quantile value should be between 0 and 1, got %s",
                                        annotation_float(text, q));
        }
    }
}

/* ---- rows come in ---- */

static struct error *find_group(struct histogram_call *call, struct labels key,
                                struct histogram_group **out)
{
    uint64_t hash = hash_bytes(key.data, key.len);
    size_t at;
    struct histogram_group *group = hash_index_first(&call->index, hash, &at);
    while (group && !labels_equal(group->labels, key))
        group = hash_index_next(&call->index, hash, &at);
    *out = group;
    if (group)
        return NULL;
    group = arena_zalloc(call->rows.arena, sizeof(*group));
    group->labels = labels_copy(call->rows.arena, key);
    group->last = &group->first;
    *out = group;
    if (!vec_push(&call->groups, group))
        return vec_status(&call->groups);
    return hash_index_add(&call->index, hash, group);
}

static struct error *add_bucket(struct histogram_call *call, struct step_batch *batch, size_t row,
                                double upper_bound, struct labels labels, struct arena *arena)
{
    struct histogram_group *group;
    struct error *err = find_group(call, labels_without(arena, labels, &bucket_label, 1), &group);
    if (err)
        return err;
    struct bucket_row *bucket = arena_zalloc(call->rows.arena, sizeof(*bucket));
    bucket->upper_bound = upper_bound;
    *group->last = bucket;
    group->last = &bucket->next;
    group->count++;
    return row_store_add(&call->rows, batch, row, arena, &bucket->stored);
}

static struct error *fold_floats(struct histogram_call *call, struct step_batch *batch, size_t row,
                                 struct arena *arena)
{
    struct str text = labels_get(batch->labels[row], bucket_label);
    struct labels labels = execution_labels(call->execution, batch, row, arena);
    double bound;
    if (batch->first[row] == batch->last[row])
        return NULL;
    if (float_from_str(text, &bound) && !isnan(bound))
        return add_bucket(call, batch, row, bound, labels, arena);
    warn_of_bound(call, batch->labels[row], text);
    return NULL;
}

static double compute_native(const struct histogram_call *call, const struct histogram *histogram,
                             size_t result, size_t step, enum histogram_nan_note *note)
{
    double first = call->scalars[result].values[step];
    if (call->node->call.function->id == FUNCTION_HISTOGRAM_FRACTION)
        return histogram_fraction(histogram, first, call->scalars[1].values[step], note);
    return histogram_quantile(histogram, first, note);
}

static struct error *create_native(struct histogram_call *call, uint32_t first, uint32_t last,
                                   struct native_row **out)
{
    struct arena *arena = call->rows.arena;
    size_t words = step_grid_words(call->base.grid), span = last - first;
    struct native_row *native = arena_zalloc(arena, sizeof(*native));
    native->first = first;
    native->last = last;
    native->present = arena_zalloc(arena, words * sizeof(*native->present));
    native->values = arena_try_alloc(arena, span * call->result_count * sizeof(*native->values));
    *out = native;
    return native->values ? NULL : arena_status(arena);
}

static void compute_step(struct histogram_call *call, struct native_row *native, size_t step,
                         const struct histogram *histogram)
{
    size_t span = native->last - native->first;
    step_bit_set(native->present, step);
    for (size_t result = 0; result < call->result_count; result++) {
        enum histogram_nan_note note;
        size_t at = result * span + (step - native->first);
        native->values[at] = compute_native(call, histogram, result, step, &note);
        if (note == HISTOGRAM_NAN_NONE)
            continue;
        if (!native->notes)
            native->notes = arena_zalloc(call->rows.arena, span * call->result_count);
        native->notes[at] = (uint8_t)note;
    }
}

/* Computes the histograms of the row and takes them out of it. */
static struct error *fold_natives(struct histogram_call *call, struct step_batch *batch, size_t row,
                                  struct arena *arena)
{
    struct histogram **histograms = step_batch_histograms(batch, row);
    uint64_t *present = step_batch_present(batch, row);
    struct native_row *native = NULL;
    struct error *err = NULL;
    size_t points = 0;
    for (uint32_t step = batch->first[row]; step < batch->last[row] && !err; step++) {
        if (!step_bit_get(present, step) || !histograms[step])
            continue;
        step_bit_clear(present, step);
        if (!native)
            err = create_native(call, step, batch->last[row], &native);
        if (!err)
            compute_step(call, native, step, histograms[step]);
        points += call->result_count;
    }
    if (err || !native)
        return err;
    struct histogram_group *group;
    struct labels labels = execution_labels(call->execution, batch, row, arena);
    step_batch_trim_row(batch, row);
    call->held += points;
    err = execution_hold(call->execution, points);
    if (!err)
        err = find_group(call, labels, &group);
    if (err)
        return err;
    native->next = group->natives;
    group->natives = native;
    return NULL;
}

static struct error *call_fold(void *self, struct context *ctx, struct step_batch *batch,
                               struct arena *arena)
{
    struct histogram_call *call = self;
    struct error *err = NULL;
    for (size_t row = 0; row < batch->row_count && !err; row++) {
        if (batch->histograms)
            err = fold_natives(call, batch, row, arena);
        if (!err)
            err = fold_floats(call, batch, row, arena);
        if (!err)
            err = arena_status(call->rows.arena);
    }
    return err;
}

/* ---- results ---- */

static bool same_double(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool add_variant(struct histogram_call *call, size_t result, double quantile)
{
    for (size_t i = call->variants.len; i > 0; i--) {
        const struct variant *known = &call->variants.items[i - 1];
        if (known->result == result && same_double(known->quantile, quantile))
            return true;
    }
    return vec_push(&call->variants, (struct variant){result, quantile});
}

/* One row per group, or one for each quantile that is asked for at any step. */
static struct error *find_variants(struct histogram_call *call)
{
    if (!gives_quantiles(call)) {
        add_variant(call, 0, 0);
        return vec_status(&call->variants);
    }
    for (size_t i = 0; i < call->scalar_count; i++) {
        const double *values = call->scalars[i].values;
        for (size_t step = 0; step < call->base.grid->count; step++) {
            bool is_new = step == 0 || !same_double(values[step], values[step - 1]);
            if (is_new && !add_variant(call, i, values[step]))
                return vec_status(&call->variants);
        }
    }
    return NULL;
}

static double compute_classic(const struct histogram_call *call,
                              const struct histogram_group *group, size_t result, size_t step,
                              struct bucket *buckets, size_t count)
{
    double first = call->scalars[result].values[step];
    if (call->node->call.function->id == FUNCTION_HISTOGRAM_FRACTION)
        return bucket_fraction(first, call->scalars[1].values[step], buckets, count);
    struct bucket_repair repair;
    double value = bucket_quantile(first, buckets, count, &repair);
    struct str name =
        call->execution->delayed_names ? labels_get(group->labels, metadata_labels[0]) : STR("");
    if (repair.forced)
        annotations_add_repair(call->execution->annotations, call->vector->position, name,
                               step_grid_time(call->base.grid, step), &repair);
    return value;
}

static size_t collect_buckets(const struct histogram_group *group, size_t step,
                              struct bucket *buckets)
{
    size_t count = 0;
    for (const struct bucket_row *bucket = group->first; bucket; bucket = bucket->next) {
        const struct stored_row *stored = bucket->stored;
        if (stored_has(stored, step))
            buckets[count++] =
                (struct bucket){bucket->upper_bound, stored->values[step - stored->first]};
    }
    return count;
}

static const struct native_row *native_at(const struct histogram_group *group, size_t step)
{
    const struct native_row *native = group->natives;
    while (native && !step_bit_get(native->present, step))
        native = native->next;
    return native;
}

/* The result of a group at a step; false: none. */
static bool result_at(const struct histogram_call *call, const struct histogram_group *group,
                      size_t result, size_t step, struct bucket *buckets, double *out,
                      uint64_t *told)
{
    const struct native_row *native = native_at(group, step);
    size_t count = collect_buckets(group, step, buckets);
    if (!native) {
        if (count > 0)
            *out = compute_classic(call, group, result, step, buckets, count);
        return count > 0;
    }
    if (count > 0) {
        tell(call, ANNOTATION_WARNING, "vector contains a mix of classic and native histograms",
             group->labels);
        return false;
    }
    size_t at = result * (native->last - native->first) + (step - native->first);
    enum histogram_nan_note note = native->notes ? native->notes[at] : HISTOGRAM_NAN_NONE;
    if (!(*told >> note & 1))
        tell_of_nan(call, note, group->labels);
    *told |= (uint64_t)1 << note;
    *out = native->values[at];
    return true;
}

/* A number as a label's value: as OpenMetrics has it, with a point or an exponent. */
static struct str quantile_text(struct arena *arena, double value)
{
    char text[FLOAT_TEXT_MAX + 2];
    size_t len = float_text(text, value, FLOAT_GENERAL);
    bool is_whole = isfinite(value);
    for (size_t i = 0; i < len; i++)
        is_whole = is_whole && text[i] != '.' && text[i] != 'e';
    if (is_whole) {
        text[len++] = '.';
        text[len++] = '0';
    }
    return arena_str(arena, (struct str){text, len});
}

static void set_labels(const struct histogram_call *call, const struct histogram_group *group,
                       const struct variant *variant, struct step_batch *batch, size_t row,
                       struct arena *arena)
{
    batch->labels[row] = group->labels;
    batch->drop_name[row] = 1;
    if (!gives_quantiles(call))
        return;
    struct labels labels = group->labels;
    if (!call->execution->delayed_names) {
        labels = labels_without(arena, labels, metadata_labels, countof(metadata_labels));
        batch->drop_name[row] = 0;
    }
    double quantile = variant->quantile == 0 ? 0 : variant->quantile; /* no -0 */
    struct labels_builder builder = labels_builder_from(arena, labels);
    labels_builder_set(&builder, call->node->call.args[1]->string, quantile_text(arena, quantile));
    batch->labels[row] = labels_builder_finish(&builder);
}

static void write_row(const struct histogram_call *call, const struct histogram_group *group,
                      const struct variant *variant, struct step_batch *batch, size_t row,
                      struct bucket *buckets)
{
    double *values = step_batch_values(batch, row);
    const double *asked = call->scalars[variant->result].values;
    uint64_t told = 0;
    for (size_t step = 0; step < batch->grid->count; step++) {
        values[step] = 0;
        if (gives_quantiles(call) && !same_double(asked[step], variant->quantile))
            continue;
        if (result_at(call, group, variant->result, step, buckets, &values[step], &told))
            step_bit_set(step_batch_present(batch, row), step);
    }
    step_batch_trim_row(batch, row);
}

static struct error *write_rows(struct histogram_call *call, struct arena *arena,
                                struct step_batch *batch)
{
    for (size_t row = 0; row < batch->row_count; row++, call->given++) {
        const struct histogram_group *group = call->groups.items[call->given / call->variants.len];
        const struct variant *variant = &call->variants.items[call->given % call->variants.len];
        struct bucket *buckets = arena_try_alloc(arena, (group->count + 1) * sizeof(*buckets));
        if (!buckets)
            return arena_status(arena);
        set_labels(call, group, variant, batch, row, arena);
        write_row(call, group, variant, batch, row, buckets);
    }
    step_batch_drop_empty_rows(batch);
    return arena_status(arena);
}

/* ---- the operator ---- */

static struct error *call_start(struct histogram_call *call, struct context *ctx)
{
    struct error *err = NULL;
    for (size_t i = 0; i < call->scalar_count && !err; i++)
        err = scalar_read(call->execution, &call->scalars[i], ctx);
    if (err)
        return err;
    warn_of_quantiles(call);
    err = find_variants(call);
    return err ? err : operator_drain(call->input, call->execution, ctx, call_fold, call);
}

static struct error *call_next(struct operator* base, struct context *ctx, struct arena *arena,
                               struct step_batch **out)
{
    struct histogram_call *call = container_of(base, struct histogram_call, base);
    struct error *err = call->is_folded ? NULL : call_start(call, ctx);
    call->is_folded = true;
    size_t rows = size_min(call->groups.len * call->variants.len - call->given,
                           step_batch_rows_max(base->grid));
    if (err || rows == 0)
        return err;
    err = step_batch_create(arena, base->grid, rows, out);
    if (!err)
        err = write_rows(call, arena, *out);
    if (err)
        *out = NULL;
    return err;
}

static void call_explain(struct operator* base, struct buf *out)
{
    struct histogram_call *call = container_of(base, struct histogram_call, base);
    operator_explain(call->input, out);
    buf_printf(out, " | %.*s", STR_ARG(call->node->call.function->name));
}

static void call_free(struct operator* base)
{
    struct histogram_call *call = container_of(base, struct histogram_call, base);
    execution_release(call->execution, call->held);
    operator_free(call->input);
    for (size_t i = 0; i < call->scalar_count; i++)
        scalar_deinit(&call->scalars[i]);
    vec_deinit(&call->groups);
    vec_deinit(&call->variants);
    hash_index_deinit(&call->index);
    row_store_deinit(&call->rows);
    free(call);
}

static const struct operator_ops call_ops = {call_next, call_explain, call_free};

struct operator* histogram_call_create(struct execution *execution, const struct plan_node *node,
                                       struct operator* input, struct operator** scalars,
                                       size_t scalar_count)
{
    struct histogram_call *call = xcalloc(1, sizeof(*call));
    call->base = (struct operator){&call_ops, node->grid};
    call->execution = execution;
    call->node = node;
    for (size_t i = 0; i < node->call.arg_count; i++)
        if (node->call.args[i]->type == VALUE_VECTOR)
            call->vector = node->call.args[i];
    call->input = input;
    call->scalar_count = size_min(scalar_count, HISTOGRAM_SCALARS_MAX);
    call->result_count = gives_quantiles(call) ? call->scalar_count : 1;
    for (size_t i = 0; i < call->scalar_count; i++)
        call->scalars[i].op = scalars[i];
    call->index.budget = execution->budget;
    call->groups.budget = execution->budget;
    call->variants.budget = execution->budget;
    row_store_init(&call->rows, execution, node->grid);
    return &call->base;
}
