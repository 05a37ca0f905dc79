/* promql/functions.h: the table of functions: names, arguments, results. Rows are constant. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "promql/engine.h" /* enum value_type */

enum function_id { /* in the order of the names */
                   FUNCTION_ABS,
                   FUNCTION_ABSENT,
                   FUNCTION_ABSENT_OVER_TIME,
                   FUNCTION_ACOS,
                   FUNCTION_ACOSH,
                   FUNCTION_ASIN,
                   FUNCTION_ASINH,
                   FUNCTION_ATAN,
                   FUNCTION_ATANH,
                   FUNCTION_AVG_OVER_TIME,
                   FUNCTION_CEIL,
                   FUNCTION_CHANGES,
                   FUNCTION_CLAMP,
                   FUNCTION_CLAMP_MAX,
                   FUNCTION_CLAMP_MIN,
                   FUNCTION_COS,
                   FUNCTION_COSH,
                   FUNCTION_COUNT_OVER_TIME,
                   FUNCTION_DAY_OF_MONTH,
                   FUNCTION_DAY_OF_WEEK,
                   FUNCTION_DAY_OF_YEAR,
                   FUNCTION_DAYS_IN_MONTH,
                   FUNCTION_DEG,
                   FUNCTION_DELTA,
                   FUNCTION_DERIV,
                   FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING,
                   FUNCTION_END,
                   FUNCTION_EXP,
                   FUNCTION_FIRST_OVER_TIME,
                   FUNCTION_FLOOR,
                   FUNCTION_HISTOGRAM_AVG,
                   FUNCTION_HISTOGRAM_COUNT,
                   FUNCTION_HISTOGRAM_FRACTION,
                   FUNCTION_HISTOGRAM_QUANTILE,
                   FUNCTION_HISTOGRAM_QUANTILES,
                   FUNCTION_HISTOGRAM_STDDEV,
                   FUNCTION_HISTOGRAM_STDVAR,
                   FUNCTION_HISTOGRAM_SUM,
                   FUNCTION_HOUR,
                   FUNCTION_IDELTA,
                   FUNCTION_INCREASE,
                   FUNCTION_INFO,
                   FUNCTION_INTEGRAL,
                   FUNCTION_IRATE,
                   FUNCTION_LABEL_JOIN,
                   FUNCTION_LABEL_REPLACE,
                   FUNCTION_LAST_OVER_TIME,
                   FUNCTION_LN,
                   FUNCTION_LOG10,
                   FUNCTION_LOG2,
                   FUNCTION_MAD_OVER_TIME,
                   FUNCTION_MAX_OF,
                   FUNCTION_MAX_OVER_TIME,
                   FUNCTION_MIN_OF,
                   FUNCTION_MIN_OVER_TIME,
                   FUNCTION_MINUTE,
                   FUNCTION_MONTH,
                   FUNCTION_PI,
                   FUNCTION_PREDICT_LINEAR,
                   FUNCTION_PRESENT_OVER_TIME,
                   FUNCTION_QUANTILE_OVER_TIME,
                   FUNCTION_RAD,
                   FUNCTION_RANGE,
                   FUNCTION_RATE,
                   FUNCTION_RESETS,
                   FUNCTION_ROUND,
                   FUNCTION_SCALAR,
                   FUNCTION_SGN,
                   FUNCTION_SIN,
                   FUNCTION_SINH,
                   FUNCTION_SORT,
                   FUNCTION_SORT_BY_LABEL,
                   FUNCTION_SORT_BY_LABEL_DESC,
                   FUNCTION_SORT_DESC,
                   FUNCTION_SQRT,
                   FUNCTION_START,
                   FUNCTION_START_TIMESTAMP,
                   FUNCTION_STDDEV_OVER_TIME,
                   FUNCTION_STDVAR_OVER_TIME,
                   FUNCTION_STEP,
                   FUNCTION_SUM_OVER_TIME,
                   FUNCTION_TAN,
                   FUNCTION_TANH,
                   FUNCTION_TIME,
                   FUNCTION_TIMESTAMP,
                   FUNCTION_TS_OF_FIRST_OVER_TIME,
                   FUNCTION_TS_OF_LAST_OVER_TIME,
                   FUNCTION_TS_OF_MAX_OVER_TIME,
                   FUNCTION_TS_OF_MIN_OVER_TIME,
                   FUNCTION_VECTOR,
                   FUNCTION_XDELTA, /* this and the next two: Thanos's */
                   FUNCTION_XINCREASE,
                   FUNCTION_XRATE,
                   FUNCTION_YEAR,
                   FUNCTION_NUMBER,
};

/* How a function goes through its input. */
enum function_class {
    FUNCTION_SCALARS,    /* scalars in, a scalar out: pi, time, max_of, ... */
    FUNCTION_VALUES,     /* each value of an instant vector by itself */
    FUNCTION_WINDOWS,    /* the samples of a range vector, step by step */
    FUNCTION_LABELS,     /* rewrites labels: label_replace, label_join */
    FUNCTION_SORTS,      /* orders the rows of an instant query */
    FUNCTION_HISTOGRAMS, /* native histograms, and all buckets of a classic one together */
    FUNCTION_SPECIAL,    /* scalar, vector, absent, absent_over_time, timestamp, info */
};

enum { FUNCTION_ARGS_MAX = 5 };

struct function {
    struct str name;
    enum function_id id;
    enum function_class class;
    enum value_type args[FUNCTION_ARGS_MAX];
    uint8_t arg_count; /* named ones; the last one may be repeated or left out, see variadic */
    int8_t variadic;   /* 0: exactly arg_count; n: from arg_count - 1 to arg_count - 1 + n; -1: any
                          number from arg_count - 1 */
    enum value_type result;
    bool experimental; /* behind Prometheus's flag */
    bool extended;     /* Thanos's, behind its own flag */
    bool keeps_name;   /* __name__ stays in the result */
    bool floats_only;  /* the result has no native histograms */
};

/* By name; NULL when there is none. */
const struct function *function_find(struct str name);
const struct function *function_get(enum function_id id);
