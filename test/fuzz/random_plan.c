#include "random_plan.h"

#include "promql/functions.h"

enum { DEPTH_MAX = 5, TEXT_MAX = 2000 };

struct maker {
    const uint8_t *next, *end;
    struct buf *out;
};

/* One of n; 0 when the bytes have run out. */
static unsigned pick(struct maker *maker, unsigned n)
{
    if (maker->next == maker->end)
        return 0;
    return *maker->next++ % n;
}

static void one_of(struct maker *maker, const char *const *texts, unsigned count)
{
    buf_append_cstr(maker->out, texts[pick(maker, count)]);
}

#define ONE_OF(maker, ...)                                                                         \
    do {                                                                                           \
        static const char *const texts[] = {__VA_ARGS__};                                          \
        one_of(maker, texts, sizeof(texts) / sizeof(*texts));                                      \
    } while (0)

static void vector(struct maker *maker, unsigned depth);
static void scalar(struct maker *maker, unsigned depth);

static void modifiers(struct maker *maker)
{
    ONE_OF(maker, "", "", "", " offset 1m", " offset -30s", " @ 300", " @ start()",
           " @ end() offset 15s", " offset step()", " offset (1m - range() / 4)");
}

static void selector(struct maker *maker)
{
    ONE_OF(maker, "requests_total", "temperature", "level", "odd", "latency_bucket", "version",
           "alpha", "beta", "native", "native_float", "native_gauge", "native_custom", "mixed",
           "target_info", "{__name__=~\".+\"}", "{job=\"api\"}", "{__name__=~\"native.*|beta\"}",
           "nothing", "native{instance=\"a:1\"}");
}

static void duration(struct maker *maker)
{
    ONE_OF(maker, "1m", "5m", "30s", "15s", "1ms", "45", "(step() * 2)", "max_of(step(), 1m)",
           "(range() / 2 + 1s)", "(1m + 30s)", "1h");
}

static void range(struct maker *maker, unsigned depth)
{
    if (depth > 0 && pick(maker, 3) == 0) {
        buf_append_byte(maker->out, '(');
        vector(maker, depth - 1);
        buf_append_cstr(maker->out, ")[");
        duration(maker);
        buf_append_byte(maker->out, ':');
        ONE_OF(maker, "", "15s", "1m", "7s", "step()");
    } else {
        selector(maker);
        buf_append_byte(maker->out, '[');
        duration(maker);
    }
    buf_append_byte(maker->out, ']');
    ONE_OF(maker, "", "", "", " smoothed", " anchored");
    modifiers(maker);
}

static void number(struct maker *maker)
{
    ONE_OF(maker, "1", "0", "0.5", "2", "-1", "NaN", "Inf", "-Inf", "1e308", "0.1", "time()",
           "pi()", "step()", "end()", "3");
}

static void string(struct maker *maker)
{
    ONE_OF(maker, "\"job\"", "\"instance\"", "\"new\"", "\"__name__\"", "\"(.*)\"", "\"$1\"",
           "\"\"", "\"le\"");
}

static void argument(struct maker *maker, const struct function *function, enum value_type type,
                     unsigned depth)
{
    if (function->id == FUNCTION_INFO && maker->out->data[maker->out->len - 1] == ' ')
        ONE_OF(maker, "{version=~\".+\"}", "{__name__=\"target_info\"}", "{}");
    else if (type == VALUE_VECTOR)
        vector(maker, depth);
    else if (type == VALUE_MATRIX)
        range(maker, depth);
    else if (type == VALUE_STRING)
        string(maker);
    else
        scalar(maker, depth);
}

static void call(struct maker *maker, unsigned depth, enum value_type result)
{
    const struct function *function = function_get(pick(maker, FUNCTION_NUMBER));
    if (function->result != result)
        function = function_get(result == VALUE_VECTOR ? FUNCTION_RATE : FUNCTION_SCALAR);
    unsigned count = function->arg_count;
    if (function->variadic != 0)
        count =
            count - 1 + pick(maker, function->variadic < 0 ? 4 : (unsigned)function->variadic + 1);
    buf_append(maker->out, function->name.data, function->name.len);
    buf_append_byte(maker->out, '(');
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            buf_append_cstr(maker->out, ", ");
        unsigned named = i < function->arg_count ? i : function->arg_count - 1u;
        argument(maker, function, function->args[named], depth - 1);
    }
    buf_append_byte(maker->out, ')');
}

static void scalar(struct maker *maker, unsigned depth)
{
    switch (depth == 0 ? 0 : pick(maker, 5)) {
    case 1:
        buf_append_cstr(maker->out, "scalar(");
        vector(maker, depth - 1);
        buf_append_byte(maker->out, ')');
        break;
    case 2:
        buf_append_byte(maker->out, '(');
        scalar(maker, depth - 1);
        ONE_OF(maker, " + ", " - ", " * ", " / ", " % ", " ^ ", " atan2 ", " == bool ", " < bool ");
        scalar(maker, depth - 1);
        buf_append_byte(maker->out, ')');
        break;
    case 3:
        call(maker, depth, VALUE_SCALAR);
        break;
    default:
        number(maker);
    }
}

static void grouping(struct maker *maker)
{
    ONE_OF(maker, "", " by (job) ", " by (job, instance) ", " without (instance) ", " by (le) ",
           " without () ", " by (__name__) ");
}

static void aggregate(struct maker *maker, unsigned depth)
{
    unsigned kind = pick(maker, 12);
    if (kind < 8)
        ONE_OF(maker, "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar");
    else if (kind < 11)
        ONE_OF(maker, "topk", "bottomk", "limitk", "limit_ratio", "quantile");
    else
        buf_append_cstr(maker->out, "count_values");
    grouping(maker);
    buf_append_byte(maker->out, '(');
    if (kind == 11)
        string(maker);
    else if (kind >= 8)
        scalar(maker, depth - 1);
    if (kind >= 8)
        buf_append_cstr(maker->out, ", ");
    vector(maker, depth - 1);
    buf_append_byte(maker->out, ')');
}

static void binary(struct maker *maker, unsigned depth)
{
    unsigned kind = pick(maker, 4);
    buf_append_byte(maker->out, '(');
    vector(maker, depth - 1);
    if (kind == 0) {
        ONE_OF(maker, " and ", " or ", " unless ");
        ONE_OF(maker, "", "on (job) ", "ignoring (instance) ", "on () ");
    } else {
        ONE_OF(maker, " + ", " - ", " * ", " / ", " % ", " ^ ", " atan2 ", " == ", " != ", " < ",
               " >= bool ", " </ ", " >/ ", " == bool ");
    }
    if (kind == 1) {
        ONE_OF(maker, "", "on (job) ", "on (job, instance) ", "ignoring (instance) ",
               "ignoring (le, code) ");
    } else if (kind == 2) {
        ONE_OF(maker, "on (job) ", "on (instance) ", "on () ");
        ONE_OF(maker, "group_left ", "group_right ", "group_left (version) ",
               "group_right (code) ");
    }
    if (kind == 1 || kind == 2)
        ONE_OF(maker, "", "", "fill (0) ", "fill_left (1) ", "fill_right (NaN) fill_left (3) ");
    if (kind == 3)
        scalar(maker, depth - 1);
    else
        vector(maker, depth - 1);
    buf_append_byte(maker->out, ')');
}

static void vector(struct maker *maker, unsigned depth)
{
    switch (depth == 0 || maker->out->len > TEXT_MAX ? 0 : pick(maker, 7)) {
    case 1:
    case 2:
        call(maker, depth, VALUE_VECTOR);
        break;
    case 3:
    case 4:
        aggregate(maker, depth);
        break;
    case 5:
        binary(maker, depth);
        break;
    case 6:
        buf_append_byte(maker->out, '-');
        vector(maker, depth - 1);
        break;
    default:
        selector(maker);
        ONE_OF(maker, "", "", "", " smoothed");
        modifiers(maker);
    }
}

void random_plan(const uint8_t *choices, size_t count, struct buf *out)
{
    struct maker maker = {choices, choices + count, out};
    unsigned depth = 1 + pick(&maker, DEPTH_MAX);
    switch (pick(&maker, 8)) {
    case 0:
        scalar(&maker, depth);
        break;
    case 1:
        range(&maker, depth);
        break;
    default:
        vector(&maker, depth);
    }
}
