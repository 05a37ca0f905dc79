#include "promql/distribution.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "promql/parse.h"
#include "promql/plan.h"
#include "promql/plan/pass.h"
#include "runtime/context.h"
#include "support/memory_store.h"
#include "support/test.h"

/* -- what is sent away -- */

static struct labels labels_from(struct arena *arena, const char *text)
{
    struct labels labels = {0};
    CHECK_OK(promql_parse_metric(str_from(text), NULL, arena, &labels));
    return labels;
}

static void engine_init(struct remote_engine *engine, struct arena *arena, const char *address,
                        const char *first, const char *second)
{
    struct labels *sets = arena_array(arena, 2, sizeof(*sets));
    size_t count = 0;
    sets[count++] = labels_from(arena, first);
    if (second)
        sets[count++] = labels_from(arena, second);
    *engine = (struct remote_engine){NULL, str_from(address), sets, count};
}

/* Two clusters, one of them with two replicas. */
static struct remote_engines two_engines(struct arena *arena)
{
    struct remote_engine *items = arena_array(arena, 2, sizeof(*items));
    engine_init(&items[0], arena, "x:1", "{cluster=\"x\", replica=\"a\"}",
                "{cluster=\"x\", replica=\"b\"}");
    engine_init(&items[1], arena, "y:1", "{cluster=\"y\", replica=\"a\"}", NULL);
    return (struct remote_engines){items, 2};
}

static const struct str replica_items[] = {STR_INIT("replica")};
static const struct str_list replica = {(struct str *)(uintptr_t)replica_items, 1};

/* "text@addresses" of each part, in the plan's order. */
static void print_parts(struct buf *out, struct plan_node *node)
{
    struct plan_node **child;
    if (node->kind == PLAN_REMOTE) {
        if (out->len)
            buf_append_cstr(out, "; ");
        buf_append_str(out, node->remote.text);
        for (size_t i = 0; i < node->remote.engines.count; i++)
            buf_printf(out, "@%.1s", node->remote.engines.items[i].address.data);
    }
    for (size_t i = 0; (child = plan_child(node, i)) != NULL; i++)
        print_parts(out, *child);
}

static const struct {
    const char *name; /* the query */
    const char *want;
} part_cases[] = {
    {"up", "up@x@y"},
    {"rate(up[5m] offset 1h)", "rate(up[5m] offset 1h)@x@y"},
    {"-up ^ 2", "-up ^ 2@x@y"},
    {"up{cluster=\"y\"}", "up{cluster=\"y\"}@y"},
    {"up{cluster=\"z\"}", "up{cluster=\"z\"}"},
    {"sum(up)", "sum by (cluster) (up)@x@y"},
    {"sum by (job) (rate(up[5m]))", "sum by (job, cluster) (rate(up[5m]))@x@y"},
    {"sum without (cluster, job) (up)", "sum without (job) (up)@x@y"},
    {"max by (cluster) (up)", "max by (cluster) (up)@x@y"},
    {"count(up)", "count by (cluster) (up)@x@y"},
    {"avg(up)", "sum by (cluster) (up)@x@y; count by (cluster) (up)@x@y"},
    {"avg by (cluster) (up)", "avg by (cluster) (up)@x@y"},
    {"topk(2, up)", "topk by (cluster) (2, up)@x@y"},
    {"quantile(0.5, up)", "up@x@y"},
    {"quantile by (cluster) (0.5, up)", "quantile by (cluster) (0.5, up)@x@y"},
    {"stddev(sum by (job) (up))", "sum by (job, cluster) (up)@x@y"},
    {"up + down", "up + down@x@y"},
    {"up + on (job) down", "up@x@y; down@x@y"},
    {"up + on (cluster, job) down", "up + on (cluster, job) down@x@y"},
    {"up + ignoring (cluster) down", "up@x@y; down@x@y"},
    {"up + on (job) group_left (cluster) down", "up@x@y; down@x@y"},
    {"sum(up) / sum(down)", "sum by (cluster) (up)@x@y; sum by (cluster) (down)@x@y"},
    {"up or vector(0)", "up@x@y"},
    {"up{cluster=\"x\"} or down{cluster=\"y\"}", "up{cluster=\"x\"} or down{cluster=\"y\"}@x@y"},
    {"up > 1 + 2 * time()", "up > 1 + 2 * time()@x@y"},
    {"up > scalar(down)", "up@x@y; down@x@y"},
    {"absent(up)", ""},
    {"start_timestamp(up)", ""},
    {"timestamp(up)", "timestamp(up)@x@y"},
    {"info(up)", ""},
    {"absent_over_time(up[5m])", ""},
    {"sort(sum(up))", "sum by (cluster) (up)@x@y"},
    {"label_replace(up, \"a\", \"$1\", \"b\", \"(.*)\")",
     "label_replace(up, \"a\", \"$1\", \"b\", \"(.*)\")@x@y"},
    {"label_replace(up, \"cluster\", \"$1\", \"b\", \"(.*)\")", "up@x@y"},
    {"histogram_quantile(0.9, sum by (le) (rate(b[5m])))",
     "sum by (le, cluster) (rate(b[5m]))@x@y"},
    {"histogram_quantile(0.9, sum by (le, cluster) (rate(b[5m])))",
     "histogram_quantile(0.9, sum by (le, cluster) (rate(b[5m])))@x@y"},
    {"max_over_time(rate(up[1m])[1h:5m])", "max_over_time(rate(up[1m])[1h:5m])@x@y"},
    {"max_over_time(rate(up[1m])[1h:])", ""},
    {"max_over_time(sum(up)[1h:5m])", ""},
    {"count_values(\"v\", up)", "up@x@y"},
    {"limitk(1, up)", "up@x@y"},
    {"1 + 2", ""},
    {"vector(1)", ""},
    {"time()", ""},
    {"up @ end()", "up @ end()@x@y"},
    {"rate(up[5m] anchored)", ""},
    {NULL, NULL},
};

TEST(a_query_is_cut_where_engines_can_take_over)
{
    const struct parse_options options = {.experimental_functions = true};
    for_each_case(c, part_cases) {
        struct arena *arena = arena_create(NULL);
        struct remote_engines engines = two_engines(arena);
        struct distribution distribution;
        struct plan_params params = {.text = str_from(c->name),
                                     .start_ms = 1000,
                                     .end_ms = 61000,
                                     .step_ms = 1000,
                                     .lookback_ms = 300000,
                                     .subquery_step_ms = 60000,
                                     .distribution = &distribution};
        struct buf parts = {0};
        struct expr *expr;
        struct plan plan;
        CHECK(distribution_create(&engines, (struct str_list){0}, replica, arena, &distribution));
        CHECK_OK(promql_parse(params.text, &options, arena, &expr));
        CHECK_OK(plan_create(expr, &params, arena, &plan));
        print_parts(&parts, plan.root);
        CHECK_STR(buf_str(&parts), c->want);
        buf_deinit(&parts);
        arena_unref(arena);
    }
}

static const struct {
    const char *name;
    const char *a, *b;
    const char *partition; /* NULL: all labels */
    bool want;
} partition_cases[] = {
    {"another value", "{cluster=\"x\"}", "{cluster=\"y\"}", NULL, true},
    {"the same labels", "{cluster=\"x\"}", "{cluster=\"x\"}", NULL, false},
    {"replicas of each other", "{cluster=\"x\", replica=\"a\"}", "{cluster=\"x\", replica=\"b\"}",
     NULL, false},
    {"labels that say nothing of each other", "{cluster=\"x\"}", "{region=\"y\"}", NULL, false},
    {"no labels", "{}", "{cluster=\"x\"}", NULL, false},
    {"other labels than those that partition", "{cluster=\"x\", az=\"1\"}",
     "{cluster=\"x\", az=\"2\"}", "cluster", false},
    {"the label that partitions", "{cluster=\"x\", az=\"1\"}", "{cluster=\"y\", az=\"1\"}",
     "cluster", true},
    {NULL, NULL, NULL, NULL, false},
};

TEST(engines_must_have_no_series_in_common)
{
    for_each_case(c, partition_cases) {
        struct arena *arena = arena_create(NULL);
        struct remote_engine items[2];
        struct str name = str_from(c->partition);
        struct distribution distribution;
        engine_init(&items[0], arena, "a", c->a, NULL);
        engine_init(&items[1], arena, "b", c->b, NULL);
        CHECK_EQ(distribution_create(&(struct remote_engines){items, 2},
                                     (struct str_list){&name, c->partition != NULL}, replica, arena,
                                     &distribution),
                 c->want);
        arena_unref(arena);
    }
}

/* -- what comes back -- */

struct fake_remote {
    struct remote_engines engines;
    struct arena *arena;
    const char *failing; /* address of an engine that fails after its first rows */
    int64_t shift_ms;    /* of all points */
    size_t started, freed;
    char texts[200];
};

struct remote_call {
    struct fake_remote *fake;
    struct labels labels;
    int64_t start_ms;
    bool fails;
    size_t rounds;
};

static bool fake_list(void *self, struct arena *arena UNUSED, struct remote_engines *out)
{
    *out = ((struct fake_remote *)self)->engines;
    return true;
}

static struct remote_call *fake_start(void *self, const struct remote_engine *engine,
                                      struct context *ctx UNUSED,
                                      const struct remote_question *question)
{
    struct fake_remote *fake = self;
    struct remote_call *call = xcalloc(1, sizeof(*call));
    call->fake = fake;
    call->labels = labels_from(fake->arena, engine->address.data[0] == 'x' ? "{cluster=\"x\"}"
                                                                           : "{cluster=\"y\"}");
    call->start_ms = question->query->start_ms;
    call->fails = fake->failing && str_equal(engine->address, str_from(fake->failing));
    snprintf(fake->texts, sizeof(fake->texts), "%.*s", STR_ARG(question->text));
    fake->started++;
    return call;
}

/* One row with 1 at the first step and 2 at the third. */
static struct error *fake_next(struct remote_call *call, struct arena *arena,
                               struct remote_rows *out)
{
    *out = (struct remote_rows){0};
    if (call->rounds++ > 0)
        return call->fails ? error_create(ERROR_UNAVAILABLE, "it is gone") : NULL;
    struct result_series *row = arena_zalloc(arena, sizeof(*row));
    row->labels = call->labels;
    row->times = arena_array(arena, 2, sizeof(*row->times));
    row->values = arena_array(arena, 2, sizeof(*row->values));
    row->times[0] = call->start_ms + call->fake->shift_ms;
    row->times[1] = row->times[0] + 2000;
    row->values[0] = 1;
    row->values[1] = 2;
    row->count = 2;
    *out = (struct remote_rows){row, 1, 5};
    return NULL;
}

static void fake_free(struct remote_call *call)
{
    call->fake->freed++;
    free(call);
}

static const struct remote_ops fake_ops = {fake_list, fake_start, fake_next, fake_free};

struct outcome {
    struct engine_result result;
    struct buf warnings;
};

static void note_warning(void *arg, struct str text)
{
    buf_append_str(arg, text);
}

static struct error *evaluate(struct fake_remote *fake, const char *text,
                              enum partial_response partial, struct outcome *out)
{
    const struct remote remote = {.ops = &fake_ops, .self = fake};
    struct engine *engine = engine_create(&(struct engine_config){.remote = &remote});
    struct memory_store *store = memory_store_create();
    struct context *ctx = context_create(NULL, 10000);
    const struct engine_query query = {.text = str_from(text),
                                       .start_ms = 1000,
                                       .end_ms = 4000,
                                       .step_ms = 1000,
                                       .partial = partial};
    context_collect_warnings(ctx);
    out->warnings = (struct buf){0};
    struct error *err =
        engine_exec(engine, memory_store_base(store), ctx, &query, fake->arena, &out->result);
    context_each_warning(ctx, note_warning, &out->warnings);
    context_unref(ctx);
    store_free(memory_store_base(store));
    engine_free(engine);
    CHECK_EQ(fake->started, fake->freed);
    return err;
}

static void fake_init(struct fake_remote *fake)
{
    *fake = (struct fake_remote){.arena = arena_create(NULL)};
    fake->engines = two_engines(fake->arena);
}

TEST(parts_of_two_engines_are_put_together)
{
    struct fake_remote fake;
    struct outcome out;
    fake_init(&fake);
    CHECK_OK(evaluate(&fake, "sum(up)", PARTIAL_ABORT, &out));
    CHECK_STR(str_from(fake.texts), "sum by (cluster, replica) (up)");
    CHECK_EQ(fake.started, 2);
    CHECK_EQ(out.result.series_count, 1);
    CHECK_EQ(out.result.series[0].count, 2);
    CHECK_EQ(out.result.series[0].times[1], 3000);
    CHECK_DOUBLE(out.result.series[0].values[0], 2);
    CHECK_DOUBLE(out.result.series[0].values[1], 4);
    CHECK_EQ(out.result.stats.samples_total, 10);
    buf_deinit(&out.warnings);
    CHECK_OK(evaluate(&fake, "up", PARTIAL_ABORT, &out));
    CHECK_EQ(out.result.series_count, 2);
    buf_deinit(&out.warnings);
    arena_unref(fake.arena);
}

TEST(an_engine_that_fails_is_a_warning_or_the_error)
{
    struct fake_remote fake;
    struct outcome out;
    fake_init(&fake);
    fake.failing = "x:1";
    CHECK_OK(evaluate(&fake, "sum(up)", PARTIAL_WARN, &out));
    CHECK_STR(buf_str(&out.warnings), "remote query error (x:1): it is gone");
    buf_deinit(&out.warnings);
    CHECK_ERROR_TEXT(evaluate(&fake, "sum(up)", PARTIAL_ABORT, &out), ERROR_UNAVAILABLE,
                     "remote query error (x:1): it is gone");
    buf_deinit(&out.warnings);
    arena_unref(fake.arena);
}

TEST(points_beside_the_steps_are_corrupt)
{
    struct fake_remote fake;
    struct outcome out;
    fake_init(&fake);
    for (int64_t shift_ms = -1000; shift_ms <= 2000; shift_ms += 1500) {
        fake.shift_ms = shift_ms;
        CHECK_ERROR(evaluate(&fake, "up", PARTIAL_ABORT, &out), ERROR_CORRUPT);
        buf_deinit(&out.warnings);
    }
    arena_unref(fake.arena);
}

TEST_MAIN(TEST_ENTRY(a_query_is_cut_where_engines_can_take_over),
          TEST_ENTRY(engines_must_have_no_series_in_common),
          TEST_ENTRY(parts_of_two_engines_are_put_together),
          TEST_ENTRY(an_engine_that_fails_is_a_warning_or_the_error),
          TEST_ENTRY(points_beside_the_steps_are_corrupt))
