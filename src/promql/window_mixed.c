#include "promql/window_mixed.h"

/* Rows with histograms are walked step by step. Where a sample is a sample, whatever it is, the
 * window is looked at as it is; else it is split into floats and histograms. */

struct mixed_row {
    struct mixed_pass mixed;
    const struct window_function *function;
    const struct samples *samples; /* all of them */
    uint32_t *histograms_before;   /* per sample, and behind the last one */
    uint32_t *marks; /* resets or changes up to a sample, itself included; NULL: not asked for */
    struct arena *arena; /* of results */
    struct step_batch *batch;
    size_t row;
};

/* What a step gives. */
struct outcome {
    bool has_value;
    double value;
    struct histogram *histogram; /* NULL: a float */
    bool is_kept;                /* the histogram lives long enough */
};

/* ---- preparation ---- */

/* Splits the samples into the columns of the pass and of the mixed pass. */
static void split(struct mixed_row *row)
{
    const struct samples *samples = row->samples;
    struct mixed_pass *mixed = &row->mixed;
    struct pass *pass = mixed->pass;
    size_t count = samples->count, floats = 0, histograms = 0;
    struct arena *arena = pass->arena;
    int64_t *times = arena_array(arena, count + 1, sizeof(*times));
    int64_t *starts = pass->starts ? arena_array(arena, count + 1, sizeof(*starts)) : NULL;
    double *values = arena_array(arena, count + 1, sizeof(*values));
    row->histograms_before = arena_array(arena, count + 1, sizeof(*row->histograms_before));
    mixed->items = arena_array(arena, count + 1, sizeof(struct histogram *));
    /* floats fill the columns from the front, histograms from behind, in falling order */
    for (size_t i = 0; i < count; i++) {
        row->histograms_before[i] = (uint32_t)histograms;
        size_t at = samples->histograms[i] ? count - 1 - histograms : floats;
        times[at] = samples->times[i];
        values[at] = samples->values[i];
        if (starts)
            starts[at] = samples->starts[i];
        if (samples->histograms[i])
            mixed->items[histograms++] = samples->histograms[i];
        else
            floats++;
    }
    row->histograms_before[count] = (uint32_t)histograms;
    for (size_t low = floats, high = count; low + 1 < high; low++) {
        high--;
        int64_t time = times[low];
        times[low] = times[high];
        times[high] = time;
        if (starts) {
            int64_t start = starts[low];
            starts[low] = starts[high];
            starts[high] = start;
        }
    }
    pass->times = times;
    pass->starts = starts;
    pass->values = values;
    pass->count = floats;
    mixed->times = times + floats;
    mixed->starts = starts ? starts + floats : NULL;
    mixed->count = histograms;
}

static bool is_start_overlap(const struct mixed_pass *mixed, size_t at)
{
    int64_t start = mixed->starts ? mixed->starts[at] : 0;
    return start != 0 && start < mixed->times[at - 1] && start != mixed->starts[at - 1];
}

static bool is_reset_at(const struct mixed_pass *mixed, size_t at)
{
    return window_histogram_is_reset(mixed->items[at - 1], mixed->times[at - 1],
                                     mixed->starts ? mixed->starts[at - 1] : 0, mixed->items[at],
                                     mixed->times[at], mixed->starts ? mixed->starts[at] : 0);
}

/* Running totals over the histograms, for functions that look at those between the first and the
 * last of a window. */
static void count_histograms(struct mixed_pass *mixed)
{
    size_t count = mixed->count;
    struct arena *arena = mixed->pass->arena;
    uint32_t gauges = 0, customs = 0, resets = 0, overlaps = 0;
    mixed->gauges = arena_array(arena, count + 1, sizeof(uint32_t));
    mixed->customs = arena_array(arena, count + 1, sizeof(uint32_t));
    mixed->resets = arena_array(arena, count + 1, sizeof(uint32_t));
    mixed->overlaps = arena_array(arena, count + 1, sizeof(uint32_t));
    mixed->has_one_schema = true;
    for (size_t i = 0; i < count; i++) {
        const struct histogram *item = mixed->items[i];
        mixed->gauges[i] = gauges += item->reset == HISTOGRAM_GAUGE;
        mixed->customs[i] = customs += item->schema == HISTOGRAM_SCHEMA_CUSTOM;
        mixed->resets[i] = resets += i > 0 && is_reset_at(mixed, i);
        mixed->overlaps[i] = overlaps += i > 0 && is_start_overlap(mixed, i);
        mixed->has_one_schema &= item->schema == mixed->items[0]->schema;
    }
}

/* Whether two neighbours of any kind are different, or the counter was reset between them. */
static bool is_mark(const struct mixed_row *row, size_t at, bool is_changes)
{
    const struct samples *samples = row->samples;
    const struct histogram *a = samples->histograms[at - 1], *b = samples->histograms[at];
    double before = samples->values[at - 1], value = samples->values[at];
    if (!a != !b)
        return true;
    if (is_changes)
        return a ? !histogram_equal(a, b) : window_is_change(before, value);
    int64_t start_a = row->mixed.pass->starts ? samples->starts[at - 1] : 0;
    int64_t start_b = row->mixed.pass->starts ? samples->starts[at] : 0;
    int64_t time_a = samples->times[at - 1], time_b = samples->times[at];
    if (a)
        return window_histogram_is_reset(a, time_a, start_a, b, time_b, start_b);
    return value < before || window_start_is_reset(start_a, time_a, start_b, time_b);
}

static void count_marks(struct mixed_row *row, bool is_changes)
{
    uint32_t total = 0;
    row->marks = arena_array(row->mixed.pass->arena, row->samples->count + 1, sizeof(uint32_t));
    for (size_t i = 0; i < row->samples->count; i++)
        row->marks[i] = total += i > 0 && is_mark(row, i, is_changes);
}

static void prepare(struct mixed_row *row)
{
    enum function_id id = row->mixed.pass->spec->function;
    bool is_marks = id == FUNCTION_RESETS || id == FUNCTION_CHANGES;
    bool is_slope = id == FUNCTION_RATE || id == FUNCTION_INCREASE || id == FUNCTION_DELTA;
    if (is_marks && row->function->rule == HISTOGRAMS_COUNT)
        count_marks(row, id == FUNCTION_CHANGES);
    split(row);
    if (is_slope && row->mixed.pass->spec->extended == RANGE_PLAIN)
        count_histograms(&row->mixed);
    if (row->function->begin)
        row->function->begin(row->mixed.pass);
}

/* ---- functions for which a sample is a sample ---- */

static void last_difference(struct mixed_row *row, size_t from, size_t to, struct outcome *out)
{
    const struct samples *samples = row->samples;
    struct pass *pass = row->mixed.pass;
    bool is_rate = pass->spec->function == FUNCTION_IRATE;
    if (to - from < 2)
        return;
    size_t at = to - 2;
    const int64_t *starts = pass->starts ? samples->starts + at : NULL;
    if (!samples->histograms[at] != !samples->histograms[at + 1]) {
        pass->notes->notes |= NOTE_MIXED;
    } else if (samples->histograms[at]) {
        struct histogram_window window = {
            .count = 2,
            .times = samples->times + at,
            .starts = starts,
            .items = samples->histograms + at,
        };
        out->histogram = window_histogram_last_difference(&row->mixed, &window, is_rate);
        out->has_value = out->histogram != NULL;
    } else {
        struct window window = {
            .times = samples->times + at,
            .starts = starts,
            .values = samples->values + at,
        };
        out->has_value = true;
        out->value = window_last_difference(&window, 0, is_rate);
    }
}

static void count_between(const struct mixed_row *row, const struct bounds *bounds,
                          struct outcome *out)
{
    const struct window_spec *spec = row->mixed.pass->spec;
    size_t first = bounds->from;
    if (spec->extended != RANGE_PLAIN) {
        size_t before = window_count_until(row->samples->times + first, bounds->to - first,
                                           int64_sub_saturating(bounds->end, spec->range_ms));
        if (before == bounds->to - first)
            return;
        first += before - (before > 0);
    }
    out->has_value = true;
    out->value = (double)(row->marks[bounds->to - 1] - row->marks[first]);
}

static void pick(const struct mixed_row *row, size_t at, struct outcome *out)
{
    *out = (struct outcome){true, row->samples->values[at], row->samples->histograms[at], true};
}

static void sample_at(struct mixed_row *row, const struct bounds *bounds, struct outcome *out)
{
    const int64_t *times = row->samples->times;
    size_t from = bounds->from, to = bounds->to;
    if (row->marks) {
        count_between(row, bounds, out);
        return;
    }
    out->has_value = true;
    switch (row->mixed.pass->spec->function) {
    case FUNCTION_IRATE:
    case FUNCTION_IDELTA:
        out->has_value = false;
        last_difference(row, from, to, out);
        break;
    case FUNCTION_COUNT_OVER_TIME:
        out->value = (double)(to - from);
        break;
    case FUNCTION_TS_OF_FIRST_OVER_TIME:
        out->value = (double)times[from] / 1000;
        break;
    case FUNCTION_TS_OF_LAST_OVER_TIME:
        out->value = (double)times[to - 1] / 1000;
        break;
    case FUNCTION_FIRST_OVER_TIME:
        pick(row, from, out);
        break;
    case FUNCTION_LAST_OVER_TIME:
        pick(row, to - 1, out);
        break;
    default:
        out->value = 1;
        break;
    }
}

/* ---- functions that look at floats or histograms ---- */

static void floats_at(struct mixed_row *row, size_t step, const struct bounds *bounds, size_t from,
                      size_t count, struct outcome *out)
{
    struct pass *pass = row->mixed.pass;
    struct window window = {
        .step = step,
        .from = from,
        .count = count,
        .times = pass->times + from,
        .starts = pass->starts ? pass->starts + from : NULL,
        .values = pass->values + from,
        .step_time = step_grid_time(pass->grid, step),
        .end = bounds->end,
    };
    out->has_value = row->function->at(pass, &window, &out->value);
}

static void histograms_at(struct mixed_row *row, const struct bounds *bounds, size_t from,
                          size_t count, struct outcome *out)
{
    const struct mixed_pass *mixed = &row->mixed;
    struct histogram_window window = {
        .from = from,
        .count = count,
        .times = mixed->times + from,
        .starts = mixed->starts ? mixed->starts + from : NULL,
        .items = mixed->items + from,
        .end = bounds->end,
    };
    out->histogram = row->function->histograms(&row->mixed, &window);
    out->has_value = out->histogram != NULL;
}

static void step_at(struct mixed_row *row, size_t step, const struct bounds *bounds,
                    struct outcome *out)
{
    enum histogram_rule rule = row->function->rule;
    unsigned *notes = &row->mixed.pass->notes->notes;
    size_t first = row->histograms_before[bounds->from];
    size_t histograms = row->histograms_before[bounds->to] - first;
    size_t floats = bounds->to - bounds->from - histograms;
    if (rule == HISTOGRAMS_COUNT) {
        sample_at(row, bounds, out);
    } else if (floats > 0 && histograms > 0 && rule == HISTOGRAMS_ALONE) {
        *notes |= NOTE_MIXED;
    } else if (floats > 0) {
        *notes |= histograms > 0 ? NOTE_HISTOGRAMS_IGNORED : 0;
        floats_at(row, step, bounds, bounds->from - first, floats, out);
    } else if (rule == HISTOGRAMS_ALONE) {
        histograms_at(row, bounds, first, histograms, out);
    }
}

static struct error *each_step(struct mixed_row *row)
{
    struct pass *pass = row->mixed.pass;
    double *out = step_batch_values(row->batch, row->row);
    uint64_t *present = step_batch_present(row->batch, row->row);
    struct histogram **histograms = step_batch_histograms(row->batch, row->row);
    struct bounds bounds = {0};
    struct error *err = NULL;
    for (size_t step = 0; step < pass->grid->count && !err; step++) {
        struct outcome outcome = {0};
        bounds_move(&bounds, pass, step_grid_time(pass->grid, step), row->samples->times,
                    row->samples->count);
        pass->notes->samples += bounds.to - bounds.from;
        if (bounds.to > bounds.from)
            step_at(row, step, &bounds, &outcome);
        out[step] = outcome.value;
        if (outcome.has_value)
            step_bit_set(present, step);
        if (outcome.has_value && outcome.histogram)
            histograms[step] =
                outcome.is_kept ? outcome.histogram : histogram_copy(row->arena, outcome.histogram);
        err = arena_status(row->mixed.work);
        arena_reset(row->mixed.work);
    }
    return err;
}

struct error *window_mixed_run(struct pass *pass, const struct window_function *function,
                               const struct samples *samples, struct arena *arena,
                               struct step_batch *batch, size_t row)
{
    struct error *err = step_batch_add_histograms(batch, arena);
    if (err)
        return err;
    struct mixed_row mixed = {
        .mixed = {.pass = pass, .work = arena_create(arena_budget(arena))},
        .function = function,
        .samples = samples,
        .arena = arena,
        .batch = batch,
        .row = row,
    };
    step_batch_clear_row(batch, row);
    prepare(&mixed);
    err = each_step(&mixed);
    arena_unref(mixed.mixed.work);
    return err ? err : arena_status(arena);
}
