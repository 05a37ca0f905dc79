#include "promql/functions.h"

#include <stdlib.h>

#include "base/compiler.h"

enum { EXPERIMENTAL = 1, EXTENDED = 2, KEEPS_NAME = 4, FLOATS_ONLY = 8 };

#define S VALUE_SCALAR
#define V VALUE_VECTOR
#define M VALUE_MATRIX
#define T VALUE_STRING

#define ROW(function_id, function_name, function_class, result_type, extra, flags, ...)            \
    [FUNCTION_##function_id] = {                                                                   \
        .name = STR_INIT(function_name),                                                           \
        .id = FUNCTION_##function_id,                                                              \
        .class = FUNCTION_##function_class,                                                        \
        .args = {__VA_ARGS__},                                                                     \
        .arg_count = sizeof((enum value_type[]){__VA_ARGS__}) / sizeof(enum value_type),           \
        .variadic = (extra),                                                                       \
        .result = (result_type),                                                                   \
        .experimental = ((flags)&EXPERIMENTAL) != 0,                                               \
        .extended = ((flags)&EXTENDED) != 0,                                                       \
        .keeps_name = ((flags)&KEEPS_NAME) != 0,                                                   \
        .floats_only = ((flags)&FLOATS_ONLY) != 0,                                                 \
    }
#define ROW0(function_id, function_name, function_class, result_type, extra, flags)                \
    [FUNCTION_##function_id] = {                                                                   \
        .name = STR_INIT(function_name),                                                           \
        .id = FUNCTION_##function_id,                                                              \
        .class = FUNCTION_##function_class,                                                        \
        .result = (result_type),                                                                   \
        .experimental = ((flags)&EXPERIMENTAL) != 0,                                               \
        .floats_only = ((flags)&FLOATS_ONLY) != 0,                                                 \
    }

/* By name. Columns: class, result, how many arguments may follow the last but one, flags, types of
 * the arguments. */
static const struct function functions[FUNCTION_NUMBER] = {
    ROW(ABS, "abs", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(ABSENT, "absent", SPECIAL, V, 0, FLOATS_ONLY, V),
    ROW(ABSENT_OVER_TIME, "absent_over_time", SPECIAL, V, 0, FLOATS_ONLY, M),
    ROW(ACOS, "acos", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(ACOSH, "acosh", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(ASIN, "asin", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(ASINH, "asinh", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(ATAN, "atan", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(ATANH, "atanh", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(AVG_OVER_TIME, "avg_over_time", WINDOWS, V, 0, 0, M),
    ROW(CEIL, "ceil", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(CHANGES, "changes", WINDOWS, V, 0, FLOATS_ONLY, M),
    ROW(CLAMP, "clamp", VALUES, V, 0, FLOATS_ONLY, V, S, S),
    ROW(CLAMP_MAX, "clamp_max", VALUES, V, 0, FLOATS_ONLY, V, S),
    ROW(CLAMP_MIN, "clamp_min", VALUES, V, 0, FLOATS_ONLY, V, S),
    ROW(COS, "cos", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(COSH, "cosh", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(COUNT_OVER_TIME, "count_over_time", WINDOWS, V, 0, FLOATS_ONLY, M),
    ROW(DAY_OF_MONTH, "day_of_month", VALUES, V, 1, FLOATS_ONLY, V),
    ROW(DAY_OF_WEEK, "day_of_week", VALUES, V, 1, FLOATS_ONLY, V),
    ROW(DAY_OF_YEAR, "day_of_year", VALUES, V, 1, FLOATS_ONLY, V),
    ROW(DAYS_IN_MONTH, "days_in_month", VALUES, V, 1, FLOATS_ONLY, V),
    ROW(DEG, "deg", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(DELTA, "delta", WINDOWS, V, 0, 0, M),
    ROW(DERIV, "deriv", WINDOWS, V, 0, FLOATS_ONLY, M),
    ROW(DOUBLE_EXPONENTIAL_SMOOTHING, "double_exponential_smoothing", WINDOWS, V, 0,
        EXPERIMENTAL | FLOATS_ONLY, M, S, S),
    ROW0(END, "end", SCALARS, S, 0, EXPERIMENTAL | FLOATS_ONLY),
    ROW(EXP, "exp", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(FIRST_OVER_TIME, "first_over_time", WINDOWS, V, 0, KEEPS_NAME, M),
    ROW(FLOOR, "floor", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(HISTOGRAM_AVG, "histogram_avg", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(HISTOGRAM_COUNT, "histogram_count", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(HISTOGRAM_FRACTION, "histogram_fraction", HISTOGRAMS, V, 0, FLOATS_ONLY, S, S, V),
    ROW(HISTOGRAM_QUANTILE, "histogram_quantile", HISTOGRAMS, V, 0, FLOATS_ONLY, S, V),
    ROW(HISTOGRAM_QUANTILES, "histogram_quantiles", HISTOGRAMS, V, 9, EXPERIMENTAL | FLOATS_ONLY, V,
        T, S, S),
    ROW(HISTOGRAM_STDDEV, "histogram_stddev", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(HISTOGRAM_STDVAR, "histogram_stdvar", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(HISTOGRAM_SUM, "histogram_sum", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(HOUR, "hour", VALUES, V, 1, FLOATS_ONLY, V),
    ROW(IDELTA, "idelta", WINDOWS, V, 0, 0, M),
    ROW(INCREASE, "increase", WINDOWS, V, 0, 0, M),
    ROW(INFO, "info", SPECIAL, V, 1, EXPERIMENTAL | KEEPS_NAME, V, V),
    ROW(INTEGRAL, "integral", WINDOWS, V, 1, EXPERIMENTAL | FLOATS_ONLY, M, S),
    ROW(IRATE, "irate", WINDOWS, V, 0, 0, M),
    ROW(LABEL_JOIN, "label_join", LABELS, V, -1, KEEPS_NAME, V, T, T, T),
    ROW(LABEL_REPLACE, "label_replace", LABELS, V, 0, KEEPS_NAME, V, T, T, T, T),
    ROW(LAST_OVER_TIME, "last_over_time", WINDOWS, V, 0, KEEPS_NAME, M),
    ROW(LN, "ln", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(LOG10, "log10", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(LOG2, "log2", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(MAD_OVER_TIME, "mad_over_time", WINDOWS, V, 0, EXPERIMENTAL | FLOATS_ONLY, M),
    ROW(MAX_OF, "max_of", SCALARS, S, 0, EXPERIMENTAL | FLOATS_ONLY, S, S),
    ROW(MAX_OVER_TIME, "max_over_time", WINDOWS, V, 0, FLOATS_ONLY, M),
    ROW(MIN_OF, "min_of", SCALARS, S, 0, EXPERIMENTAL | FLOATS_ONLY, S, S),
    ROW(MIN_OVER_TIME, "min_over_time", WINDOWS, V, 0, FLOATS_ONLY, M),
    ROW(MINUTE, "minute", VALUES, V, 1, FLOATS_ONLY, V),
    ROW(MONTH, "month", VALUES, V, 1, FLOATS_ONLY, V),
    ROW0(PI, "pi", SCALARS, S, 0, FLOATS_ONLY),
    ROW(PREDICT_LINEAR, "predict_linear", WINDOWS, V, 0, FLOATS_ONLY, M, S),
    ROW(PRESENT_OVER_TIME, "present_over_time", WINDOWS, V, 0, FLOATS_ONLY, M),
    ROW(QUANTILE_OVER_TIME, "quantile_over_time", WINDOWS, V, 0, FLOATS_ONLY, S, M),
    ROW(RAD, "rad", VALUES, V, 0, FLOATS_ONLY, V),
    ROW0(RANGE, "range", SCALARS, S, 0, EXPERIMENTAL | FLOATS_ONLY),
    ROW(RATE, "rate", WINDOWS, V, 0, 0, M),
    ROW(RESETS, "resets", WINDOWS, V, 0, FLOATS_ONLY, M),
    ROW(ROUND, "round", VALUES, V, 1, FLOATS_ONLY, V, S),
    ROW(SCALAR, "scalar", SPECIAL, S, 0, FLOATS_ONLY, V),
    ROW(SGN, "sgn", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(SIN, "sin", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(SINH, "sinh", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(SORT, "sort", SORTS, V, 0, KEEPS_NAME, V),
    ROW(SORT_BY_LABEL, "sort_by_label", SORTS, V, -1, EXPERIMENTAL | KEEPS_NAME, V, T),
    ROW(SORT_BY_LABEL_DESC, "sort_by_label_desc", SORTS, V, -1, EXPERIMENTAL | KEEPS_NAME, V, T),
    ROW(SORT_DESC, "sort_desc", SORTS, V, 0, KEEPS_NAME, V),
    ROW(SQRT, "sqrt", VALUES, V, 0, FLOATS_ONLY, V),
    ROW0(START, "start", SCALARS, S, 0, EXPERIMENTAL | FLOATS_ONLY),
    ROW(START_TIMESTAMP, "start_timestamp", SPECIAL, V, 0, EXPERIMENTAL | FLOATS_ONLY, V),
    ROW(STDDEV_OVER_TIME, "stddev_over_time", WINDOWS, V, 0, FLOATS_ONLY, M),
    ROW(STDVAR_OVER_TIME, "stdvar_over_time", WINDOWS, V, 0, FLOATS_ONLY, M),
    ROW0(STEP, "step", SCALARS, S, 0, EXPERIMENTAL | FLOATS_ONLY),
    ROW(SUM_OVER_TIME, "sum_over_time", WINDOWS, V, 0, 0, M),
    ROW(TAN, "tan", VALUES, V, 0, FLOATS_ONLY, V),
    ROW(TANH, "tanh", VALUES, V, 0, FLOATS_ONLY, V),
    ROW0(TIME, "time", SCALARS, S, 0, FLOATS_ONLY),
    ROW(TIMESTAMP, "timestamp", SPECIAL, V, 0, FLOATS_ONLY, V),
    ROW(TS_OF_FIRST_OVER_TIME, "ts_of_first_over_time", WINDOWS, V, 0, EXPERIMENTAL | FLOATS_ONLY,
        M),
    ROW(TS_OF_LAST_OVER_TIME, "ts_of_last_over_time", WINDOWS, V, 0, EXPERIMENTAL | FLOATS_ONLY, M),
    ROW(TS_OF_MAX_OVER_TIME, "ts_of_max_over_time", WINDOWS, V, 0, EXPERIMENTAL | FLOATS_ONLY, M),
    ROW(TS_OF_MIN_OVER_TIME, "ts_of_min_over_time", WINDOWS, V, 0, EXPERIMENTAL | FLOATS_ONLY, M),
    ROW(VECTOR, "vector", SPECIAL, V, 0, FLOATS_ONLY, S),
    ROW(XDELTA, "xdelta", WINDOWS, V, 0, EXTENDED | FLOATS_ONLY, M),
    ROW(XINCREASE, "xincrease", WINDOWS, V, 0, EXTENDED | FLOATS_ONLY, M),
    ROW(XRATE, "xrate", WINDOWS, V, 0, EXTENDED | FLOATS_ONLY, M),
    ROW(YEAR, "year", VALUES, V, 1, FLOATS_ONLY, V),
};

static int compare_name(const void *key, const void *row)
{
    return str_compare(*(const struct str *)key, ((const struct function *)row)->name);
}

const struct function *function_find(struct str name)
{
    return bsearch(&name, functions, countof(functions), sizeof(functions[0]), compare_name);
}

const struct function *function_get(enum function_id id)
{
    return &functions[id];
}
