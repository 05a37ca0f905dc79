#include "promql/plan/pass.h"

static bool func_is_one_of(struct str func, const char *const *names)
{
    for (; *names; names++)
        if (str_equal(func, str_from(*names)))
            return true;
    return false;
}

/* Thanos's table, by names and their beginnings. But count_values wants the values, not how many
 * raw ones there were. */
static enum aggr_read read_of_func(struct str func)
{
    static const char *const counters[] = {"increase", "rate", "irate", NULL};
    static const char *const unlifted[] = {"xincrease", "xrate", NULL};
    if (str_equal(func, STR("min")) || str_starts_with(func, STR("min_")))
        return READ_MIN;
    if (str_equal(func, STR("max")) || str_starts_with(func, STR("max_")))
        return READ_MAX;
    if (str_equal(func, STR("count_values")))
        return READ_AVERAGE;
    if (str_equal(func, STR("count")) || str_starts_with(func, STR("count_")))
        return READ_COUNT;
    if (str_starts_with(func, STR("sum_")))
        return READ_SUM;
    if (func_is_one_of(func, counters))
        return READ_COUNTER;
    if (func_is_one_of(func, unlifted))
        return READ_COUNTER_UNLIFTED;
    return str_equal(func, STR("resets")) ? READ_RESETS : READ_AVERAGE;
}

static unsigned aggrs_of_read(enum aggr_read read)
{
    switch (read) {
    case READ_RAW:
        return AGGR_BIT(AGGR_RAW);
    case READ_COUNT:
        return AGGR_BIT(AGGR_COUNT);
    case READ_SUM:
        return AGGR_BIT(AGGR_SUM);
    case READ_MIN:
        return AGGR_BIT(AGGR_MIN);
    case READ_MAX:
        return AGGR_BIT(AGGR_MAX);
    case READ_AVERAGE:
        return AGGR_BIT(AGGR_COUNT) | AGGR_BIT(AGGR_SUM);
    case READ_COUNTER:
    case READ_COUNTER_UNLIFTED:
    case READ_RESETS:
        return AGGR_BIT(AGGR_COUNTER);
    }
    return 0;
}

void plan_select(const struct planner *planner, struct plan_selector *selector)
{
    /* What needs two samples in a window gets no coarser data than half of it. */
    static const char *const slopes[] = {
        "rate",   "irate", "increase",       "delta",
        "idelta", "deriv", "predict_linear", "double_exponential_smoothing",
        NULL};
    struct str func = selector->hints.func;
    selector->read = read_of_func(func);
    selector->aggrs = aggrs_of_read(selector->read);
    selector->max_resolution_ms = planner->params->max_resolution_ms;
    if (selector->range_ms > 0 && func_is_one_of(func, slopes))
        selector->max_resolution_ms =
            int64_min(selector->max_resolution_ms, selector->range_ms / 2);
}
