#include "peers/peers.h"

#include "base/memory.h"
#include "runtime/context.h"
#include "support/test.h"

/* -- helpers: everything is made from JSON as Prometheus gives it, and shown as JSON -- */

static struct arena *arena;

static int setup(void **state UNUSED)
{
    arena = arena_create(NULL);
    return 0;
}

static int teardown(void **state UNUSED)
{
    arena_unref(arena);
    return 0;
}

static void from_json(const struct record_type *type, const char *text, void *out)
{
    struct json_reader reader = json_read(str_from(text), arena);
    record_read_json(&reader, type, out);
    CHECK_OK(json_finish(&reader, text));
}

static struct str to_json(const struct record_type *type, const void *record)
{
    struct buf out = {0};
    struct json_writer json = json_write(&out, JSON_HTML_SAFE);
    record_write_json(&json, type, record);
    struct str text = arena_str(arena, buf_str(&out));
    buf_deinit(&out);
    return text;
}

/* What is left of a record after a trip over the wire. */
static void over_the_wire(const struct record_type *type, const void *record, void *out)
{
    struct buf wire = {0};
    record_encode(&wire, type, record);
    struct str kept = arena_str(arena, buf_str(&wire)); /* texts are views of it */
    buf_deinit(&wire);
    CHECK_OK(record_decode(str_bytes(kept), arena, type, out));
}

static struct str labels_text(struct labels labels)
{
    struct buf out = {0};
    labels_print(&out, labels);
    struct str text = arena_str(arena, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static const struct str replica[] = {STR_INIT("replica")};

/* -- records -- */

static const char group_json[] =
    "{\"name\":\"g\",\"file\":\"f\",\"rules\":["
    "{\"name\":\"r\",\"query\":\"a\\u003eb\",\"labels\":{\"x\":\"y\"},\"health\":\"ok\","
    "\"evaluationTime\":0.5,\"lastEvaluation\":\"2026-01-02T03:04:05.000000006Z\","
    "\"type\":\"recording\"},"
    "{\"state\":\"firing\",\"name\":\"a\",\"query\":\"q\",\"duration\":60,\"labels\":{},"
    "\"annotations\":{\"t\":\"\\u003cb\\u003e\"},\"alerts\":[{\"labels\":{\"l\":\"1\"},"
    "\"annotations\":{},\"state\":\"firing\",\"activeAt\":\"2026-01-02T03:04:05Z\","
    "\"value\":\"1e+00\",\"partialResponseStrategy\":\"WARN\"}],\"health\":\"err\","
    "\"lastError\":\"no\",\"evaluationTime\":0,\"lastEvaluation\":\"0001-01-01T00:00:00Z\","
    "\"keepFiringFor\":1.5,\"type\":\"alerting\"}],"
    "\"interval\":15,\"evaluationTime\":0.25,\"lastEvaluation\":\"2026-01-02T03:04:05Z\","
    "\"limit\":7,\"partialResponseStrategy\":\"ABORT\"}";

TEST(a_rule_group_is_the_same_in_json_and_on_the_wire)
{
    struct rule_group read, sent;
    from_json(&rule_group_type, group_json, &read);
    CHECK_STR(to_json(&rule_group_type, &read), group_json);
    over_the_wire(&rule_group_type, &read, &sent);
    CHECK_STR(to_json(&rule_group_type, &sent), group_json);
}

TEST(times_with_a_zone_become_utc)
{
    struct rule_group group;
    from_json(&rule_group_type, "{\"lastEvaluation\":\"2026-01-02T03:04:05+01:00\",\"rules\":null}",
              &group);
    CHECK_EQ(group.last_evaluation.seconds, 1767319445);
    CHECK_EQ(group.rules.count, 0);
}

TEST(an_alert_that_was_never_active_has_no_time)
{
    struct alert alert;
    from_json(&alert_type, "{\"labels\":{},\"value\":\"\"}", &alert);
    CHECK_STR(to_json(&alert_type, &alert),
              "{\"labels\":{},\"annotations\":{},\"state\":\"unknown\",\"value\":\"\","
              "\"partialResponseStrategy\":\"WARN\"}");
    over_the_wire(&alert_type, &alert, &alert);
    CHECK_EQ(instant_compare(alert.active_at, INSTANT_NEVER), 0);
}

static const struct {
    const char *name;
    const struct record_type *type;
    const char *json;
} bad_json_cases[] = {
    {"a word that is none", &rule_group_type, "{\"partialResponseStrategy\":\"maybe\"}"},
    {"a type that is none", &rule_group_type, "{\"rules\":[{\"type\":\"other\"}]}"},
    {"a time that is none", &rule_group_type, "{\"lastEvaluation\":\"yesterday\"}"},
    {"a label without a name", &targets_type, "{\"activeTargets\":[{\"labels\":{\"\":\"a\"}}]}"},
    {"a value that is none", &series_exemplars_type, "{\"exemplars\":[{\"value\":\"x\"}]}"},
    {"a time beyond all", &series_exemplars_type, "{\"exemplars\":[{\"timestamp\":1e300}]}"},
    {NULL, NULL, NULL},
};

TEST(json_that_does_not_fit_is_refused)
{
    for_each_case(c, bad_json_cases) {
        char *record = arena_zalloc(arena, c->type->size);
        struct json_reader reader = json_read(str_from(c->json), arena);
        record_read_json(&reader, c->type, record);
        CHECK_ERROR(json_finish(&reader, "test"), ERROR_INVALID);
    }
}

static const struct {
    const char *name;
    const char *bytes;
    size_t len;
} bad_wire_cases[] = {
    {"a name that is cut", "\x0a\x05g", 3},
    {"a name that is a number", "\x08\x05", 2},
    {"nanoseconds beyond a second", "\x32\x06\x10\x80\x94\xeb\xdc\x03", 8},
    {"a label without a name", "\x1a\x08\x0a\x06\x1a\x04\x0a\x02\x12\x00", 10},
    {"a rule that is cut", "\x1a\x04\x0a\x05", 4},
    {NULL, NULL, 0},
};

TEST(malformed_messages_are_corrupt)
{
    for_each_case(c, bad_wire_cases) {
        struct rule_group group;
        CHECK_ERROR(record_decode((struct bytes){(const uint8_t *)c->bytes, c->len}, arena,
                                  &rule_group_type, &group),
                    ERROR_CORRUPT);
    }
}

TEST(questions_keep_their_parts_on_the_wire)
{
    struct peers_question asked = {.topic = PEERS_RULES, .partial = PEERS_ABORT}, got;
    asked.rules.type = RULES_RECORD;
    *records_add(&asked.rules.selectors, arena) = STR("{a=\"b\"}");
    *records_add(&asked.rules.selectors, arena) = STR("");
    *records_add(&asked.rules.files, arena) = STR("f");
    over_the_wire(peers_topics[PEERS_RULES].question, &asked, &got);
    CHECK_EQ(got.partial, PEERS_ABORT);
    CHECK_EQ(got.rules.type, RULES_RECORD);
    CHECK_EQ(got.rules.selectors.count, 2);
    CHECK_STR(got.rules.selectors.items[0], "{a=\"b\"}");
    CHECK_STR(got.rules.files.items[0], "f");
    asked = (struct peers_question){.topic = PEERS_METADATA, .metadata = {.limit = -1}};
    over_the_wire(peers_topics[PEERS_METADATA].question, &asked, &got);
    CHECK_EQ(got.metadata.limit, -1);
}

/* -- rules -- */

/* Groups of several peers, one JSON each. */
static struct rule_groups groups_of(const char *const *texts, size_t count)
{
    struct rule_groups groups = {arena_array(arena, count, sizeof(struct rule_group)), count};
    for (size_t i = 0; i < count; i++)
        from_json(&rule_group_type, texts[i], &groups.items[i]);
    return groups;
}

TEST(equal_rules_of_replicas_become_the_worst_then_the_youngest)
{
    const char *const texts[] = {
        "{\"name\":\"g\",\"file\":\"f\",\"rules\":["
        "{\"type\":\"recording\",\"name\":\"r\",\"labels\":{\"replica\":\"a\"},"
        "\"lastEvaluation\":\"2026-01-01T00:00:01Z\",\"health\":\"old\"},"
        "{\"type\":\"alerting\",\"name\":\"z\",\"labels\":{\"replica\":\"a\"},\"state\":\"firing\","
        "\"lastEvaluation\":\"2026-01-01T00:00:01Z\"}]}",
        "{\"name\":\"g\",\"file\":\"f\",\"limit\":9,\"rules\":["
        "{\"type\":\"alerting\",\"name\":\"z\",\"labels\":{\"replica\":\"b\"},\"state\":"
        "\"pending\","
        "\"lastEvaluation\":\"2026-01-01T00:00:02Z\"},"
        "{\"type\":\"alerting\",\"name\":\"z\",\"labels\":{\"replica\":\"b\"},\"duration\":5},"
        "{\"type\":\"recording\",\"name\":\"r\",\"labels\":{\"replica\":\"b\"},"
        "\"lastEvaluation\":\"2026-01-01T00:00:02Z\",\"health\":\"new\"}]}",
        "{\"name\":\"a\",\"file\":\"f\"}",
    };
    struct rule_groups groups = groups_of(texts, countof(texts));
    rules_dedup(&groups, arena, replica, 1);
    CHECK_EQ(groups.count, 2);
    CHECK_STR(groups.items[0].name, "a");
    const struct rule_group *group = &groups.items[1];
    CHECK_EQ(group->limit, 0); /* of the first peer */
    CHECK_EQ(group->rules.count, 3);
    CHECK_EQ(group->rules.items[0].state, ALERT_FIRING);
    CHECK_EQ(group->rules.items[0].labels.len, 0);
    CHECK_DOUBLE(group->rules.items[1].for_seconds, 5);
    CHECK_STR(group->rules.items[2].health, "new");
}

TEST(rules_without_replica_labels_to_drop_stay_apart)
{
    const char *const texts[] = {
        "{\"name\":\"g\",\"rules\":[{\"type\":\"recording\",\"labels\":{\"replica\":\"b\"}}]}",
        "{\"name\":\"g\",\"rules\":[{\"type\":\"recording\",\"labels\":{\"replica\":\"a\"}}]}",
    };
    struct rule_groups groups = groups_of(texts, countof(texts));
    rules_dedup(&groups, arena, NULL, 0);
    CHECK_EQ(groups.items[0].rules.count, 2);
    CHECK_STR(labels_text(groups.items[0].rules.items[0].labels), "{replica=\"a\"}");
}

static const struct {
    const char *name;
    const char *label, *value; /* matcher =, or NULL */
    const char *rule, *group, *file;
    const char *want; /* names of the rules left */
} filter_cases[] = {
    {"nothing asked for", NULL, NULL, NULL, NULL, NULL, "a b c "},
    {"a label", "x", "1", NULL, NULL, NULL, "a "},
    {"a template is no value", "x", "{{ $v }}", NULL, NULL, NULL, ""},
    {"a template is absent", "x", "", NULL, NULL, NULL, "b c "},
    {"a name", NULL, NULL, "c", NULL, NULL, "c "},
    {"a group", NULL, NULL, NULL, "g", NULL, "a b "},
    {"a file", NULL, NULL, NULL, NULL, "2", "c "},
    {"a name of another group", NULL, NULL, "c", "g", NULL, ""},
    {NULL, NULL, NULL, NULL, NULL, NULL, NULL},
};

TEST(rules_are_chosen_by_label_name_group_and_file)
{
    const char *const texts[] = {
        ("{\"name\":\"g\",\"file\":\"1\",\"rules\":[{\"name\":\"a\",\"labels\":{\"x\":\"1\"}},"
         "{\"name\":\"b\",\"labels\":{\"x\":\"{{ $v }}\"}}]}"),
        "{\"name\":\"h\",\"file\":\"2\",\"rules\":[{\"name\":\"c\"}]}",
        "{\"name\":\"empty\",\"file\":\"1\"}",
    };
    for_each_case(c, filter_cases) {
        struct rule_groups groups = groups_of(texts, countof(texts));
        struct rules_question question = {0};
        struct matcher matcher;
        struct buf names = {0};
        if (c->label)
            CHECK_OK(matcher_create(arena, MATCH_EQUAL, str_from(c->label), str_from(c->value),
                                    &matcher));
        if (c->rule)
            *records_add(&question.rule_names, arena) = str_from(c->rule);
        if (c->group)
            *records_add(&question.groups, arena) = str_from(c->group);
        if (c->file)
            *records_add(&question.files, arena) = str_from(c->file);
        rules_filter(&groups, &matcher, c->label != NULL, &question);
        for (size_t i = 0; i < groups.count; i++)
            for (size_t j = 0; j < groups.items[i].rules.count; j++)
                buf_printf(&names, "%.*s ", STR_ARG(groups.items[i].rules.items[j].name));
        CHECK_STR(buf_str(&names), c->want);
        buf_deinit(&names);
    }
}

/* -- targets -- */

TEST(equal_targets_of_replicas_become_the_worst_then_the_one_scraped_last)
{
    struct targets answers[2];
    from_json(&targets_type,
              "{\"activeTargets\":["
              "{\"scrapeUrl\":\"u\",\"labels\":{\"replica\":\"a\"},\"health\":\"up\"},"
              "{\"scrapeUrl\":\"t\",\"labels\":{\"replica\":\"a\"},\"health\":\"up\","
              "\"lastScrape\":\"2026-01-01T00:00:01Z\",\"scrapePool\":\"p\"}],"
              "\"droppedTargets\":[{\"discoveredLabels\":{\"a\":\"1\",\"replica\":\"a\"}}]}",
              &answers[0]);
    from_json(&targets_type,
              "{\"activeTargets\":["
              "{\"scrapeUrl\":\"u\",\"labels\":{\"replica\":\"b\"},\"health\":\"down\"},"
              "{\"scrapeUrl\":\"t\",\"labels\":{\"replica\":\"b\"},\"health\":\"up\","
              "\"lastScrape\":\"2026-01-01T00:00:02Z\",\"scrapePool\":\"p\"}],"
              "\"droppedTargets\":[{\"discoveredLabels\":{\"a\":\"1\",\"replica\":\"b\"}},"
              "{\"discoveredLabels\":{\"a\":\"0\"}}]}",
              &answers[1]);
    struct targets all = targets_join(answers, 2, arena, replica, 1);
    CHECK_EQ(all.active.count, 2);
    CHECK_EQ(all.active.items[0].last_scrape.seconds % 10, 2);
    CHECK_EQ(all.active.items[1].health, TARGET_DOWN);
    CHECK_EQ(all.dropped.count, 2);
    CHECK_STR(labels_text(all.dropped.items[0].discovered_labels), "{a=\"0\"}");
}

/* -- metadata -- */

TEST(metadata_is_joined_by_name_and_limited)
{
    static const char *const texts[] = {
        "{\"up\":[{\"type\":\"gauge\",\"help\":\"one\",\"unit\":\"\"}],\"b\":[]}",
        "{\"a\":[{\"type\":\"counter\"}],\"up\":[{\"type\":\"gauge\",\"help\":\"two\"},"
        "{\"type\":\"gauge\",\"help\":\"one\"}]}",
    };
    struct metric_metadata answers[2];
    for (size_t i = 0; i < 2; i++) {
        struct json_reader reader = json_read(str_from(texts[i]), arena);
        metric_metadata_read_json(&reader, &answers[i]);
        CHECK_OK(json_finish(&reader, "metadata"));
        over_the_wire(&metric_metadata_type, &answers[i], &answers[i]);
    }
    struct metric_metadata all = metric_metadata_join(answers, 2, -1, arena);
    struct buf out = {0};
    struct json_writer json = json_write(&out, JSON_HTML_SAFE);
    metric_metadata_write_json(&json, &all);
    CHECK_STR(buf_str(&out), "{\"a\":[{\"type\":\"counter\",\"help\":\"\",\"unit\":\"\"}],\"b\":[],"
                             "\"up\":[{\"type\":\"gauge\",\"help\":\"one\",\"unit\":\"\"},"
                             "{\"type\":\"gauge\",\"help\":\"two\",\"unit\":\"\"}]}");
    buf_deinit(&out);
    CHECK_EQ(metric_metadata_join(answers, 2, 2, arena).entries.count, 2);
    CHECK_EQ(metric_metadata_join(answers, 2, 0, arena).entries.count, 0);
}

/* -- exemplars -- */

TEST(exemplars_of_one_series_are_sorted_and_there_once)
{
    static const char *const texts[] = {
        "{\"seriesLabels\":{\"s\":\"2\"},\"exemplars\":[{\"labels\":{\"id\":\"x\"},"
        "\"timestamp\":1600.5,\"value\":\"1\"}]}",
        "{\"seriesLabels\":{\"replica\":\"a\",\"s\":\"1\"},\"exemplars\":[{\"labels\":{},"
        "\"timestamp\":2,\"value\":\"1e22\"},{\"labels\":{},\"timestamp\":1,\"value\":\"3\"}]}",
        "{\"seriesLabels\":{\"replica\":\"b\",\"s\":\"1\"},\"exemplars\":[{\"labels\":{},"
        "\"timestamp\":2,\"value\":\"1e22\"},{\"labels\":{},\"timestamp\":2,\"value\":\"-1\"}]}",
        "{\"seriesLabels\":{\"s\":\"3\"},\"exemplars\":[]}",
    };
    struct series_exemplars answers[countof(texts)];
    struct buf shown = {0};
    for (size_t i = 0; i < countof(texts); i++) {
        from_json(&series_exemplars_type, texts[i], &answers[i]);
        over_the_wire(&series_exemplars_type, &answers[i], &answers[i]);
    }
    struct series_exemplars_list list = exemplars_join(answers, countof(texts), arena, replica, 1);
    for (size_t i = 0; i < list.count; i++)
        buf_append_str(&shown, to_json(&series_exemplars_type, &list.items[i]));
    CHECK_STR(buf_str(&shown),
              "{\"seriesLabels\":{\"s\":\"1\"},\"exemplars\":["
              "{\"labels\":{},\"timestamp\":1,\"value\":\"3\"},"
              "{\"labels\":{},\"timestamp\":2,\"value\":\"-1\"},"
              "{\"labels\":{},\"timestamp\":2,\"value\":\"10000000000000000000000\"}]}"
              "{\"seriesLabels\":{\"s\":\"2\"},\"exemplars\":[{\"labels\":{\"id\":\"x\"},"
              "\"timestamp\":1600.5,\"value\":\"1\"}]}");
    buf_deinit(&shown);
}

/* -- statistics -- */

TEST(statistics_are_added_but_the_number_of_values_is_the_largest)
{
    struct tsdb_stats all = {0}, one;
    from_json(&tsdb_stats_type,
              "{\"headStats\":{\"numSeries\":3,\"numLabelPairs\":4,\"chunkCount\":5,\"minTime\":10,"
              "\"maxTime\":20},\"seriesCountByMetricName\":[{\"name\":\"a\",\"value\":2},"
              "{\"name\":\"b\",\"value\":1}],\"labelValueCountByLabelName\":[{\"name\":\"l\","
              "\"value\":7}]}",
              &one);
    tsdb_stats_add(&all, &one, arena);
    from_json(
        &tsdb_stats_type,
        "{\"headStats\":{\"numSeries\":1,\"minTime\":5,\"maxTime\":15},"
        "\"seriesCountByMetricName\":[{\"name\":\"b\",\"value\":4},{\"name\":\"c\",\"value\":2}],"
        "\"labelValueCountByLabelName\":[{\"name\":\"l\",\"value\":6}]}",
        &one);
    tsdb_stats_add(&all, &one, arena);
    CHECK_STR(to_json(&tsdb_stats_type, &all),
              "{\"headStats\":{\"numSeries\":4,\"numLabelPairs\":4,\"chunkCount\":5,\"minTime\":5,"
              "\"maxTime\":20},\"seriesCountByMetricName\":[{\"name\":\"b\",\"value\":5},"
              "{\"name\":\"a\",\"value\":2},{\"name\":\"c\",\"value\":2}],"
              "\"labelValueCountByLabelName\":[{\"name\":\"l\",\"value\":7}],"
              "\"memoryInBytesByLabelName\":[],\"seriesCountByLabelValuePair\":[]}");
}

/* -- asking all -- */

struct fake_call {
    struct peers_call base;
    const char *metric; /* NULL: it fails */
    enum error_kind kind;
    bool was_finished, was_freed;
};

static struct error *fake_finish(struct peers_call *base, struct arena *to,
                                 struct peers_answer *out)
{
    struct fake_call *call = container_of(base, struct fake_call, base);
    call->was_finished = true;
    if (!call->metric)
        return error_create(call->kind, "it is dead");
    struct metric_metadata *metadata = records_add(&out->metadata, to);
    records_add(&metadata->entries, to)->name = str_from(call->metric);
    return NULL;
}

static void fake_free(struct peers_call *base)
{
    container_of(base, struct fake_call, base)->was_freed = true;
}

static const struct peers_call_ops fake_ops = {fake_finish, fake_free};

static void note_warning(void *arg, struct str text)
{
    buf_append_str(arg, text);
}

/* Asks one that answers, one that fails, one that answers. */
static struct error *ask_three(int partial, enum error_kind kind, struct peers_answer *answer,
                               struct buf *warnings, struct fake_call calls[3])
{
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    const struct peers_question question = {.topic = PEERS_METADATA, .partial = partial};
    struct peers_call *list[3];
    context_collect_warnings(ctx);
    for (size_t i = 0; i < 3; i++) {
        calls[i] = (struct fake_call){{&fake_ops}, i == 1 ? NULL : "m", kind, false, false};
        list[i] = &calls[i].base;
    }
    *answer = (struct peers_answer){0};
    struct error *err = peers_join(ctx, &question, list, 3, arena, answer);
    context_each_warning(ctx, note_warning, warnings);
    context_unref(ctx);
    for (size_t i = 0; i < 3; i++)
        CHECK(calls[i].was_freed);
    return err;
}

TEST(a_peer_that_fails_is_a_warning_or_the_failure_of_all)
{
    struct peers_answer answer;
    struct buf warnings = {0};
    struct fake_call calls[3];
    CHECK_OK(ask_three(PEERS_WARN, ERROR_UNAVAILABLE, &answer, &warnings, calls));
    CHECK_EQ(answer.metadata.count, 2);
    CHECK_STR(buf_str(&warnings), "it is dead");
    CHECK_ERROR_TEXT(ask_three(PEERS_ABORT, ERROR_UNAVAILABLE, &answer, &warnings, calls),
                     ERROR_UNAVAILABLE, "it is dead");
    CHECK(!calls[2].was_finished);
    CHECK_ERROR(ask_three(PEERS_WARN, ERROR_LIMIT, &answer, &warnings, calls), ERROR_LIMIT);
    buf_deinit(&warnings);
}

TEST_MAIN_WITH(setup, teardown, TEST_ENTRY(a_rule_group_is_the_same_in_json_and_on_the_wire),
               TEST_ENTRY(times_with_a_zone_become_utc),
               TEST_ENTRY(an_alert_that_was_never_active_has_no_time),
               TEST_ENTRY(json_that_does_not_fit_is_refused),
               TEST_ENTRY(malformed_messages_are_corrupt),
               TEST_ENTRY(questions_keep_their_parts_on_the_wire),
               TEST_ENTRY(equal_rules_of_replicas_become_the_worst_then_the_youngest),
               TEST_ENTRY(rules_without_replica_labels_to_drop_stay_apart),
               TEST_ENTRY(rules_are_chosen_by_label_name_group_and_file),
               TEST_ENTRY(equal_targets_of_replicas_become_the_worst_then_the_one_scraped_last),
               TEST_ENTRY(metadata_is_joined_by_name_and_limited),
               TEST_ENTRY(exemplars_of_one_series_are_sorted_and_there_once),
               TEST_ENTRY(statistics_are_added_but_the_number_of_values_is_the_largest),
               TEST_ENTRY(a_peer_that_fails_is_a_warning_or_the_failure_of_all))
