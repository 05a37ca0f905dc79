#include "promql/operator/window_call.h"

#include "model/quote.h"

struct window_spec window_spec_of(const struct plan_node *source, const struct plan_node *function)
{
    enum function_id id = function ? function->call.function->id : FUNCTION_NUMBER;
    if (source->kind == PLAN_SUBQUERY)
        return (struct window_spec){
            .range_ms = source->subquery.range_ms,
            .offset_ms = source->subquery.offset_ms,
            .has_at = source->subquery.has_at,
            .at_ms = source->subquery.at_ms,
            .function = id,
        };
    return (struct window_spec){
        .range_ms = source->selector.range_ms,
        .offset_ms = source->selector.offset_ms,
        .lookback_ms = source->selector.lookback_ms,
        .before_ms = source->selector.before_ms,
        .has_at = source->selector.has_at,
        .at_ms = source->selector.at_ms,
        .keep_histograms = source->selector.keep_histograms,
        .extended = source->selector.extended,
        .read = source->selector.read_times    ? WINDOW_READ_TIMES
                : source->selector.read_starts ? WINDOW_READ_STARTS
                                               : WINDOW_READ_VALUES,
        .function = id,
    };
}

void window_call_init(struct window_call *call, struct execution *execution,
                      const struct plan_node *source, const struct plan_node *function,
                      struct operator** scalars, size_t scalar_count)
{
    *call = (struct window_call){
        .execution = execution,
        .source = source,
        .call = function,
        .spec = window_spec_of(source, function),
        .scalar_count = size_min(scalar_count, WINDOW_PARAMS_MAX),
    };
    for (size_t i = 0; i < call->scalar_count; i++)
        call->scalars[i].op = scalars[i];
}

void window_call_deinit(struct window_call *call)
{
    for (size_t i = 0; i < call->scalar_count; i++)
        scalar_deinit(&call->scalars[i]);
}

struct error *window_call_prepare(struct window_call *call, struct context *ctx)
{
    struct error *err = NULL;
    for (size_t i = 0; i < call->scalar_count && !err; i++) {
        err = scalar_read(call->execution, &call->scalars[i], ctx);
        call->spec.params[i] = call->scalars[i].values;
    }
    return err;
}

/* Texts of notes; those that end in a blank are followed by the metric's name. */
static const struct {
    enum window_note note;
    enum annotation_kind kind;
    const char *text;
} note_texts[] = {
    {NOTE_MIXED, ANNOTATION_WARNING, "encountered a mix of histograms and floats for metric name "},
    {NOTE_HISTOGRAMS_IGNORED, ANNOTATION_INFO,
     "ignored histograms in a range containing both floats and histograms for metric name "},
    {NOTE_SCHEMAS_MIXED, ANNOTATION_WARNING,
     "vector contains a mix of histograms with exponential and custom buckets schemas for metric "
     "name "},
    {NOTE_NOT_COUNTER, ANNOTATION_WARNING, "this native histogram metric is not a counter: "},
    {NOTE_NOT_GAUGE, ANNOTATION_WARNING, "this native histogram metric is not a gauge: "},
    {NOTE_COLLISION, ANNOTATION_WARNING, "conflicting counter resets during histogram aggregation"},
    {NOTE_RECONCILED_SUM, ANNOTATION_INFO,
     "mismatched custom buckets were reconciled during aggregation"},
    {NOTE_RECONCILED_ADD, ANNOTATION_INFO,
     "mismatched custom buckets were reconciled during addition"},
    {NOTE_RECONCILED_SUBTRACT, ANNOTATION_INFO,
     "mismatched custom buckets were reconciled during subtraction"},
};

static void annotate(const struct window_call *call, struct labels labels,
                     const struct window_notes *notes)
{
    struct annotations *annotations = call->execution->annotations;
    /* the first argument's, which need not be the range vector */
    struct position position =
        call->call ? call->call->call.args[0]->position : call->source->position;
    struct position whole = call->call ? call->call->position : position;
    struct buf name = {0};
    quote_append(&name, labels_get(labels, metadata_labels[0]));
    for (size_t i = 0; i < countof(note_texts); i++) {
        struct str text = str_from(note_texts[i].text);
        bool is_named = str_ends_with(text, STR(" "));
        if (notes->notes & note_texts[i].note)
            annotations_add_of_argument(annotations, note_texts[i].kind, position, whole,
                                        "%.*s%.*s", STR_ARG(text),
                                        STR_ARG(is_named ? buf_str(&name) : STR("")));
    }
    if (notes->overlaps > 0)
        annotations_add_counted(annotations, ANNOTATION_WARNING, position, notes->overlaps,
                                "sample has start time that overlaps with previous sample "
                                "timestamp for metric %.*s",
                                STR_ARG(buf_str(&name)));
    buf_deinit(&name);
}

/* Whether a row has a result that is a float. */
static bool row_has_float(const struct step_batch *batch, size_t row)
{
    struct histogram **histograms = step_batch_histograms(batch, row);
    const uint64_t *present = step_batch_present(batch, row);
    for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
        if (step_bit_get(present, step) && !(histograms && histograms[step]))
            return true;
    }
    return false;
}

static bool is_named_counter(struct str name)
{
    return str_ends_with(name, STR("_total")) || str_ends_with(name, STR("_sum")) ||
           str_ends_with(name, STR("_count")) || str_ends_with(name, STR("_bucket"));
}

/* rate() and increase() of what is not labelled as a counter. */
static void note_type(const struct window_call *call, struct str name, struct str type)
{
    if (str_equal(type, STR("counter")) || str_equal(type, STR("histogram")))
        return;
    struct buf text = {0};
    quote_append(&text, type);
    buf_append_cstr(&text, ": ");
    quote_append(&text, name);
    annotations_add_of_argument(
        call->execution->annotations, ANNOTATION_INFO, call->source->position, call->call->position,
        "metric might not be a counter, __type__ label is not set to \"counter\" or "
        "\"histogram\", got %.*s",
        STR_ARG(buf_str(&text)));
    buf_deinit(&text);
}

/* rate() and increase() of what is not named like a counter. */
static void note_non_counter(const struct window_call *call, const struct step_batch *batch,
                             size_t row, struct labels labels, struct str *last_name)
{
    struct str name = labels_get(labels, metadata_labels[0]);
    bool has_types = call->execution->type_and_unit_labels;
    if (name.len == 0 || (!has_types && str_equal(name, *last_name)) || !row_has_float(batch, row))
        return;
    *last_name = name;
    if (has_types) {
        note_type(call, name, labels_get(labels, metadata_labels[1]));
        return;
    }
    if (is_named_counter(name))
        return;
    struct buf quoted = {0};
    quote_append(&quoted, name);
    annotations_add_of_argument(call->execution->annotations, ANNOTATION_INFO,
                                call->source->position, call->call->position,
                                "metric might not be a counter, name does not end in "
                                "_total/_sum/_count/_bucket: %.*s",
                                STR_ARG(buf_str(&quoted)));
    buf_deinit(&quoted);
}

struct error *window_call_row(const struct window_call *call, struct samples *samples,
                              struct arena *scratch, struct arena *arena, struct step_batch *batch,
                              size_t row, struct str *last_name, uint64_t *samples_total)
{
    struct window_notes notes = {0};
    struct error *err = window_run(&call->spec, samples, scratch, arena, batch, row, &notes);
    *samples_total += notes.samples;
    bool has_notes = notes.notes || notes.overlaps > 0;
    if (err || (!call->call && !has_notes))
        return err;
    struct labels labels = batch->labels[row];
    if (batch->drop_name[row] && !call->execution->delayed_names)
        labels = (struct labels){0};
    if (has_notes)
        annotate(call, labels, &notes);
    if (call->spec.function == FUNCTION_RATE || call->spec.function == FUNCTION_INCREASE)
        note_non_counter(call, batch, row, labels, last_name);
    return NULL;
}

bool window_call_keeps_samples(const struct window_call *call)
{
    enum function_id id = call->spec.function;
    return !call->call || id == FUNCTION_FIRST_OVER_TIME || id == FUNCTION_LAST_OVER_TIME;
}

static bool param_is_fine(enum function_id function, double value)
{
    if (function == FUNCTION_INTEGRAL)
        return value == 0 || value == 1 || value == 2;
    return value >= 0 && value <= 1;
}

/* Parameters out of their range count as they are, or as the default; a warning tells, where they
 * took part in a result. */
static void warn_of_param(const struct window_call *call, const struct step_batch *batch,
                          size_t step)
{
    bool is_integral = call->spec.function == FUNCTION_INTEGRAL;
    char value[ANNOTATION_FLOAT_MAX];
    for (size_t row = 0; row < batch->row_count; row++) {
        if (!step_bit_get(step_batch_present(batch, row), step))
            continue;
        annotations_add_of_argument(
            call->execution->annotations, ANNOTATION_WARNING,
            call->call->call.args[is_integral]->position, call->call->position,
            is_integral ? "strategy should be 0, 1, or 2 (default), using 2, got %s"
                        : "quantile value should be between 0 and 1, got %s",
            annotation_float(value, call->spec.params[0][step]));
        return;
    }
}

void window_call_finish(const struct window_call *call, struct step_batch *batch)
{
    enum function_id function = call->spec.function;
    if (call->spec.params[0] &&
        (function == FUNCTION_QUANTILE_OVER_TIME || function == FUNCTION_INTEGRAL)) {
        for (size_t step = 0; step < batch->grid->count; step++) {
            if (!param_is_fine(function, call->spec.params[0][step]))
                warn_of_param(call, batch, step);
        }
    }
    if (call->call && !call->call->call.function->keeps_name)
        step_batch_drop_names(batch);
}
