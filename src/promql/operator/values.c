/* Functions of single values: math, trigonometry, parts of dates, clamp, round, unary minus, and
 * timestamp() of what is not stored. Histograms fall out of the vector, but for those that
 * timestamp() and unary minus keep. Functions of histograms, as histogram_count(), keep only those.
 */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "model/histogram_estimate.h"
#include "promql/arithmetic.h"
#include "promql/date.h"
#include "promql/operator/operator.h"

enum { VALUES_SCALARS_MAX = 2 };

struct values_stage {
    struct row_stage base;
    struct scalar scalars[VALUES_SCALARS_MAX];
    size_t scalar_count;
};

/* The steps [first, last) of a row. */
struct span {
    double *values;
    uint64_t *present;
    size_t first, last;
};

/* log2 as Go defines it: exact at powers of two. */
static double go_log2(double value)
{
    if (value == 0 || isnan(value) || isinf(value) || value < 0)
        return log2(value);
    int exponent;
    double fraction = frexp(value, &exponent);
    if (fraction == 0.5)
        return exponent - 1;
    return log(fraction) * (1 / M_LN2) + exponent;
}

static double go_log10(double value)
{
    return go_log2(value) * (M_LN2 / M_LN10);
}

static double sign_of(double value)
{
    return value < 0 ? -1 : value > 0 ? 1 : value;
}

static double days_in_month(const struct date *date)
{
    return date->days_in_month;
}

static double day_of_month(const struct date *date)
{
    return date->day;
}

static double day_of_week(const struct date *date)
{
    return date->week_day;
}

static double day_of_year(const struct date *date)
{
    return date->year_day;
}

static double hour(const struct date *date)
{
    return date->hour;
}

static double minute(const struct date *date)
{
    return date->minute;
}

static double month(const struct date *date)
{
    return date->month;
}

static double year(const struct date *date)
{
    return (double)date->year;
}

static void each_date(const struct span *span, double (*part)(const struct date *date))
{
    for (size_t i = span->first; i < span->last; i++) {
        struct date date = date_of_seconds(span->values[i]);
        span->values[i] = part(&date);
    }
}

static void each_clamped(const struct span *span, const double *low, const double *high)
{
    for (size_t i = span->first; i < span->last; i++) {
        double least = low ? low[i] : -INFINITY, most = high ? high[i] : INFINITY;
        if (most < least)
            step_bit_clear(span->present, i);
        span->values[i] = float_max(least, float_min(most, span->values[i]));
    }
}

static void each_rounded(const struct span *span, const double *to_nearest)
{
    for (size_t i = span->first; i < span->last; i++) {
        double inverse = 1.0 / to_nearest[i];
        span->values[i] = floor(span->values[i] * inverse + 0.5) / inverse;
    }
}

static void each_time(const struct span *span, const struct step_grid *grid)
{
    for (size_t i = span->first; i < span->last; i++)
        span->values[i] = (double)step_grid_time(grid, i) / 1000;
}

#define EACH(expression)                                                                           \
    for (size_t i = span->first; i < span->last; i++) {                                            \
        double v = span->values[i];                                                                \
        span->values[i] = (expression);                                                            \
    }                                                                                              \
    break
#define EACH_DATE(part)                                                                            \
    each_date(span, part);                                                                         \
    break

static void apply_function(const struct values_stage *stage, enum function_id function,
                           const struct span *span)
{
    switch (function) {
    case FUNCTION_ABS:
        EACH(fabs(v));
    case FUNCTION_ACOS:
        EACH(acos(v));
    case FUNCTION_ACOSH:
        EACH(acosh(v));
    case FUNCTION_ASIN:
        EACH(asin(v));
    case FUNCTION_ASINH:
        EACH(asinh(v));
    case FUNCTION_ATAN:
        EACH(atan(v));
    case FUNCTION_ATANH:
        EACH(atanh(v));
    case FUNCTION_CEIL:
        EACH(ceil(v));
    case FUNCTION_COS:
        EACH(cos(v));
    case FUNCTION_COSH:
        EACH(cosh(v));
    case FUNCTION_DEG:
        EACH(v * (180 / M_PI));
    case FUNCTION_EXP:
        EACH(exp(v));
    case FUNCTION_FLOOR:
        EACH(floor(v));
    case FUNCTION_LN:
        EACH(log(v));
    case FUNCTION_LOG10:
        EACH(go_log10(v));
    case FUNCTION_LOG2:
        EACH(go_log2(v));
    case FUNCTION_RAD:
        EACH(v * (M_PI / 180));
    case FUNCTION_SGN:
        EACH(sign_of(v));
    case FUNCTION_SIN:
        EACH(sin(v));
    case FUNCTION_SINH:
        EACH(sinh(v));
    case FUNCTION_SQRT:
        EACH(sqrt(v));
    case FUNCTION_TAN:
        EACH(tan(v));
    case FUNCTION_TANH:
        EACH(tanh(v));
    case FUNCTION_DAYS_IN_MONTH:
        EACH_DATE(days_in_month);
    case FUNCTION_DAY_OF_MONTH:
        EACH_DATE(day_of_month);
    case FUNCTION_DAY_OF_WEEK:
        EACH_DATE(day_of_week);
    case FUNCTION_DAY_OF_YEAR:
        EACH_DATE(day_of_year);
    case FUNCTION_HOUR:
        EACH_DATE(hour);
    case FUNCTION_MINUTE:
        EACH_DATE(minute);
    case FUNCTION_MONTH:
        EACH_DATE(month);
    case FUNCTION_YEAR:
        EACH_DATE(year);
    case FUNCTION_CLAMP:
        each_clamped(span, stage->scalars[0].values, stage->scalars[1].values);
        break;
    case FUNCTION_CLAMP_MIN:
        each_clamped(span, stage->scalars[0].values, NULL);
        break;
    case FUNCTION_CLAMP_MAX:
        each_clamped(span, NULL, stage->scalars[0].values);
        break;
    case FUNCTION_ROUND:
        each_rounded(span, stage->scalars[0].values);
        break;
    default:
        bug("function %d is not one of values", (int)function);
    }
}

static struct error *values_prepare(struct row_stage *base, struct context *ctx)
{
    struct values_stage *stage = container_of(base, struct values_stage, base);
    struct error *err = NULL;
    for (size_t i = 0; i < stage->scalar_count && !err; i++)
        err = scalar_read(base->execution, &stage->scalars[i], ctx);
    return err;
}

static bool is_timestamp(const struct plan_node *node)
{
    return node->kind == PLAN_CALL && node->call.function->id == FUNCTION_TIMESTAMP;
}

/* The values of a selector under timestamp() are times already, as they are start times under
 * start_timestamp(). */
static void apply_timestamp(const struct plan_node *node, const struct span *span)
{
    const struct plan_node *arg = node->call.args[0];
    if (arg->kind != PLAN_SELECTOR || !arg->selector.read_times)
        each_time(span, node->grid);
}

static void apply_row(const struct values_stage *stage, const struct span *span)
{
    const struct plan_node *node = stage->base.node;
    if (node->kind == PLAN_NEGATE) {
        for (size_t i = span->first; i < span->last; i++)
            span->values[i] = -span->values[i];
    } else if (is_timestamp(node)) {
        apply_timestamp(node, span);
    } else if (node->call.function->id != FUNCTION_START_TIMESTAMP) {
        apply_function(stage, node->call.function->id, span);
    }
}

static void negate_histograms(struct step_batch *batch, struct arena *arena)
{
    for (size_t row = 0; batch->histograms && row < batch->row_count; row++) {
        struct histogram **histograms = step_batch_histograms(batch, row);
        for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
            if (!histograms[step] || !step_bit_get(step_batch_present(batch, row), step))
                continue;
            histograms[step] = histogram_copy_counts(arena, histograms[step]);
            histogram_scale(histograms[step], -1);
        }
    }
}

/* ---- functions of histograms ---- */

static double histogram_average(const struct histogram *histogram)
{
    return histogram->sum / histogram->count;
}

static double histogram_count(const struct histogram *histogram)
{
    return histogram->count;
}

static double histogram_sum_of(const struct histogram *histogram)
{
    return histogram->sum;
}

static double histogram_deviation(const struct histogram *histogram)
{
    return sqrt(histogram_variance(histogram));
}

typedef double (*histogram_value)(const struct histogram *histogram);

/* NULL: not one of those. */
static histogram_value histogram_function(const struct plan_node *node)
{
    if (node->kind != PLAN_CALL)
        return NULL;
    switch (node->call.function->id) {
    case FUNCTION_HISTOGRAM_AVG:
        return histogram_average;
    case FUNCTION_HISTOGRAM_COUNT:
        return histogram_count;
    case FUNCTION_HISTOGRAM_SUM:
        return histogram_sum_of;
    case FUNCTION_HISTOGRAM_STDDEV:
        return histogram_deviation;
    case FUNCTION_HISTOGRAM_STDVAR:
        return histogram_variance;
    default:
        return NULL;
    }
}

/* Leaves the steps of the row that are histograms, each as what is computed of it. */
static void apply_histogram_function(histogram_value function, struct step_batch *batch, size_t row)
{
    struct histogram **histograms = step_batch_histograms(batch, row);
    uint64_t *present = step_batch_present(batch, row);
    double *values = step_batch_values(batch, row);
    if (!histograms) {
        step_batch_clear_row(batch, row);
        return;
    }
    for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
        if (!step_bit_get(present, step))
            continue;
        if (histograms[step])
            values[step] = function(histograms[step]);
        else
            step_bit_clear(present, step);
    }
    step_batch_trim_row(batch, row);
}

/* ---- the stage ---- */

static void apply_to_floats(const struct values_stage *stage, struct step_batch *batch)
{
    const struct plan_node *node = stage->base.node;
    bool may_lose_steps = node->kind == PLAN_CALL && node->call.function->id == FUNCTION_CLAMP;
    for (size_t row = 0; row < batch->row_count; row++) {
        struct span span = {step_batch_values(batch, row), step_batch_present(batch, row),
                            batch->first[row], batch->last[row]};
        apply_row(stage, &span);
        if (may_lose_steps)
            step_batch_trim_row(batch, row);
    }
}

/* start_timestamp() of what has none; its input may still fail or warn. */
static bool gives_nothing(const struct execution *execution, const struct plan_node *node)
{
    if (node->kind != PLAN_CALL || node->call.function->id != FUNCTION_START_TIMESTAMP)
        return false;
    const struct plan_node *arg = node->call.args[0];
    bool has_starts = arg->kind == PLAN_SELECTOR && arg->selector.read_starts;
    return !execution->use_start_timestamps || !has_starts;
}

static struct error *values_apply(const struct row_stage *base, struct context *ctx,
                                  struct arena *arena, struct step_batch **batch_at)
{
    const struct values_stage *stage = container_of(base, struct values_stage, base);
    struct step_batch *batch = *batch_at;
    const struct plan_node *node = base->node;
    histogram_value of_histogram = histogram_function(node);
    for (size_t row = 0; of_histogram && row < batch->row_count; row++)
        apply_histogram_function(of_histogram, batch, row);
    if (of_histogram || is_timestamp(node))
        batch->histograms = NULL;
    if (node->kind == PLAN_NEGATE)
        negate_histograms(batch, arena);
    else
        step_batch_drop_histograms(batch);
    if (!of_histogram)
        apply_to_floats(stage, batch);
    step_batch_drop_names(batch);
    if (gives_nothing(base->execution, node))
        batch->row_count = 0;
    return arena_status(arena);
}

static void values_explain(const struct row_stage *base, struct buf *out)
{
    if (base->node->kind == PLAN_NEGATE)
        buf_append_cstr(out, "-");
    else
        buf_append_str(out, base->node->call.function->name);
}

static void values_free(struct row_stage *base)
{
    struct values_stage *stage = container_of(base, struct values_stage, base);
    for (size_t i = 0; i < stage->scalar_count; i++)
        scalar_deinit(&stage->scalars[i]);
    free(stage);
}

static const struct row_stage_ops values_ops = {values_prepare, values_apply, values_explain,
                                                values_free};

struct row_stage *values_stage_create(struct execution *execution, const struct plan_node *node,
                                      struct operator** scalars, size_t scalar_count)
{
    struct values_stage *stage = xcalloc(1, sizeof(*stage));
    stage->base = (struct row_stage){&values_ops, execution, node, node->grid, NULL};
    stage->scalar_count = size_min(scalar_count, VALUES_SCALARS_MAX);
    for (size_t i = 0; i < stage->scalar_count; i++)
        stage->scalars[i].op = scalars[i];
    return &stage->base;
}
