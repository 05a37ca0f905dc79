#include <math.h>

#include "promql/arithmetic.h"
#include "promql/plan/pass.h"

/* Positions here are bytes from 0 on, start and end, not line and column: so are Prometheus's. */
static struct error *fail(const struct expr *expr, const char *text)
{
    return error_create(ERROR_INVALID, "%u:%u: %s", (unsigned)expr->position.start,
                        (unsigned)expr->position.end, text);
}

static struct error *operate(const struct expr *expr, double left, double right, double *out)
{
    switch (expr->duration.op) {
    case DURATION_ADD:
        *out = left + right;
        return NULL;
    case DURATION_SUB:
        *out = left - right;
        return NULL;
    case DURATION_MUL:
        *out = left * right;
        return NULL;
    case DURATION_DIV:
        *out = left / right;
        return right == 0 ? fail(expr, "division by zero") : NULL;
    case DURATION_MOD:
        *out = fmod(left, right);
        return right == 0 ? fail(expr, "modulo by zero") : NULL;
    case DURATION_POW:
        *out = pow(left, right);
        return NULL;
    case DURATION_MAX_OF:
        *out = float_max(left, right);
        return NULL;
    case DURATION_MIN_OF:
        *out = float_min(left, right);
        return NULL;
    case DURATION_STEP:
    case DURATION_RANGE:
        break;
    }
    return NULL;
}

static struct error *evaluate(const struct plan_params *params, const struct expr *expr,
                              double *out)
{
    double left = 0, right = 0;
    if (expr->kind == EXPR_NUMBER) {
        *out = expr->number.value;
        return NULL;
    }
    if (expr->duration.op == DURATION_STEP) {
        *out = (double)params->step_ms / 1000;
        return NULL;
    }
    if (expr->duration.op == DURATION_RANGE) {
        *out = (double)(params->end_ms - params->start_ms) / 1000;
        return NULL;
    }
    struct error *err = NULL;
    if (expr->duration.left)
        err = evaluate(params, expr->duration.left, &left);
    if (!err)
        err = evaluate(params, expr->duration.right, &right);
    if (err)
        return err;
    if (!expr->duration.left) {
        *out = expr->duration.op == DURATION_SUB ? -right : right;
        return NULL;
    }
    return operate(expr, left, right, out);
}

struct error *plan_duration(const struct plan_params *params, const struct duration *duration,
                            bool may_be_negative, int64_t *ms)
{
    *ms = duration->ms;
    if (!duration->expr)
        return NULL;
    double seconds = 0;
    struct error *err = evaluate(params, duration->expr, &seconds);
    if (err)
        return err;
    if (!isfinite(seconds))
        return fail(duration->expr, "duration is NaN or infinite");
    if (seconds <= 0 && !may_be_negative)
        return fail(duration->expr, "duration must be greater than 0");
    if (fabs(seconds) > 0x1p63 / 1e9)
        return fail(duration->expr, "duration is out of range");
    *ms = (int64_t)(seconds * 1000);
    return NULL;
}
