#include "support/test.h"

#include "model/relabel.h"

/* "a=1;b=2" as a label set. */
static struct labels labels_from(struct arena *arena, const char *text)
{
    struct labels_builder builder = labels_builder_create(arena);
    struct str rest = str_from(text), pair, name, value;
    while (rest.len) {
        str_cut(rest, ';', &pair, &rest);
        str_cut(pair, '=', &name, &value);
        labels_builder_set(&builder, name, value);
    }
    return labels_builder_finish(&builder);
}

static const struct {
    const char *name, *rules, *in;
    const char *want; /* NULL: dropped */
} cases[] = {
    {"no rules", "", "a=1", "a=1"},
    {"replace what matches",
     "{source_labels: [a], regex: 'x(.*)', target_label: d, replacement: 'c${1}-c${1}'}",
     "a=xyz;b=1", "a=xyz;b=1;d=cyz-cyz"},
    {"leave what does not", "{source_labels: [a], regex: 'z(.*)', target_label: d}", "a=xyz",
     "a=xyz"},
    {"the defaults copy", "{source_labels: [a], target_label: d}", "a=x y", "a=x y;d=x y"},
    {"a source that is absent clears", "{source_labels: [z], target_label: d}", "a=1;d=2", "a=1"},
    {"two sources are joined",
     "{source_labels: [a, b], regex: 'x;y', target_label: d, replacement: z}", "a=x;b=y",
     "a=x;b=y;d=z"},
    {"by a separator", "{source_labels: [a, b, z], separator: '--', target_label: d}", "a=x;b=y",
     "a=x;b=y;d=x--y--"},
    {"rules see what those before did",
     "{source_labels: [a], target_label: d, replacement: 'q$1'}, {source_labels: [d], regex: "
     "'q(.)', target_label: e}",
     "a=x", "a=x;d=qx;e=x"},
    {"a target made of groups",
     "{source_labels: [a], regex: '(.*)-(.*)', target_label: '${1}', replacement: '$2'}", "a=n-v",
     "a=n-v;n=v"},
    {"a target that comes out empty does nothing",
     "{source_labels: [a], regex: 'x(y)?', target_label: '$1', replacement: v}", "a=x", "a=x"},
    {"an empty replacement removes", "{source_labels: [a], target_label: b, replacement: ''}",
     "a=1;b=2", "a=1"},
    {"no source at all", "{target_label: b, replacement: fixed}", "a=1", "a=1;b=fixed"},
    {"groups by name",
     "{source_labels: [a], regex: '(?P<first>.).*', target_label: b, replacement: "
     "'${first}$first$$'}",
     "a=xyz", "a=xyz;b=xx$"},
    {"a group that took no part is empty",
     "{source_labels: [a], regex: '(x)|(y)', target_label: b, replacement: '[$1$2]'}", "a=y",
     "a=y;b=[y]"},
    {"the whole value must match",
     "{source_labels: [a], regex: 'y', target_label: b, replacement: v}", "a=xyz", "a=xyz"},
    {"a dot is any character",
     "{source_labels: [a], regex: 'x.y', target_label: b, replacement: v}", "a=x\ny", "a=x\ny;b=v"},
    {"keep", "{action: keep, source_labels: [a], regex: 'x.*'}", "a=xyz", "a=xyz"},
    {"keep what does not match", "{action: keep, source_labels: [a], regex: 'y.*'}", "a=xyz", NULL},
    {"drop", "{action: drop, source_labels: [a], regex: 'x|y'}", "a=y", NULL},
    {"drop what does not match", "{action: drop, source_labels: [a], regex: 'x|y'}", "a=z", "a=z"},
    {"nothing runs after a drop",
     "{action: drop, source_labels: [a], regex: x}, {target_label: b, replacement: c}", "a=x",
     NULL},
    {"drop by absence", "{action: drop, source_labels: [z], regex: ''}", "a=x", NULL},
    {"an action in any case", "{action: KeEp, source_labels: [a], regex: x}", "a=x", "a=x"},
    {"keepequal", "{action: keepequal, source_labels: [a], target_label: b}", "a=x;b=x", "a=x;b=x"},
    {"keepequal of others", "{action: keepequal, source_labels: [a], target_label: b}", "a=x;b=y",
     NULL},
    {"dropequal", "{action: dropequal, source_labels: [a], target_label: b}", "a=x;b=x", NULL},
    {"dropequal of others", "{action: dropequal, source_labels: [a], target_label: b}", "a=x",
     "a=x"},
    {"hashmod", "{action: hashmod, source_labels: [c], target_label: d, modulus: 1000}",
     "a=foo;b=bar;c=baz", "a=foo;b=bar;c=baz;d=976"},
    {"hashmod of lines", "{action: hashmod, source_labels: [a], target_label: d, modulus: 1000}",
     "a=foo\nbar", "a=foo\nbar;d=734"},
    {"labelmap", "{action: labelmap, regex: '(b.*)', replacement: 'bar_${1}'}", "a=1;b1=2;b2=3",
     "a=1;b1=2;b2=3;bar_b1=2;bar_b2=3"},
    {"labelmap cuts names", "{action: labelmap, regex: 'meta_(.+)'}", "meta_a=1;meta_=2;b=3",
     "a=1;b=3;meta_=2;meta_a=1"},
    {"labeldrop", "{action: labeldrop, regex: '(b.*)'}", "a=1;b1=2;b2=3", "a=1"},
    {"labelkeep", "{action: labelkeep, regex: 'a|b2'}", "a=1;b1=2;b2=3", "a=1;b2=3"},
    {"labelkeep of none", "{action: labelkeep, regex: z}", "a=1", ""},
    {"uppercase", "{action: uppercase, source_labels: [a], target_label: b}", "a=bAr123Foo",
     "a=bAr123Foo;b=BAR123FOO"},
    {"lowercase", "{action: lowercase, source_labels: [a], target_label: a}", "a=bAr123Foo",
     "a=bar123foo"},
    {"letters of other scripts", "{action: uppercase, source_labels: [a], target_label: a}",
     "a=stra\xc3\xa9 \xce\xb1", "a=STRA\xc3\x89 \xce\x91"},
    {"names of any script",
     "{source_labels: ['my.label'], target_label: '\xc3\xbc', replacement: '$1'}", "my.label=1",
     "my.label=1;\xc3\xbc=1"},
};

TEST(rules_do_what_prometheus_does)
{
    struct arena *arena = arena_create(NULL);
    for_each_case(c, cases) {
        struct relabel_rules *rules;
        struct labels got;
        struct str yaml = arena_printf(arena, "[%s]", c->rules);
        CHECK_OK(relabel_parse(yaml, RELABEL_ALL, NULL, &rules));
        bool kept = relabel_labels(rules, arena, labels_from(arena, c->in), &got);
        CHECK_EQ(kept, c->want != NULL);
        if (kept) {
            struct buf text = BUF_INIT(NULL), want = BUF_INIT(NULL);
            labels_print(&text, got);
            labels_print(&want, labels_from(arena, c->want));
            buf_append_byte(&want, 0);
            CHECK_STR(buf_str(&text), want.data);
            buf_deinit(&text);
            buf_deinit(&want);
        }
        relabel_free(rules);
    }
    arena_unref(arena);
}

static const struct {
    const char *name, *yaml, *error;
} bad_cases[] = {
    {"a mapping", "action: keep", "cannot unmarshal"},
    {"a null rule", "[null]", "relabel action cannot be empty"},
    {"an unknown action", "[{action: leave}]", "unknown relabel action \"leave\""},
    {"an empty action", "[{action: ''}]", "unknown relabel action \"\""},
    {"hashmod without a modulus", "[{action: hashmod, target_label: a}]",
     "relabel configuration for hashmod requires non-zero modulus"},
    {"a negative modulus", "[{action: hashmod, target_label: a, modulus: -1}]", "into uint64"},
    {"replace without a target", "[{source_labels: [a]}]",
     "relabel configuration for replace action requires 'target_label' value"},
    {"lowercase without a target", "[{action: lowercase}]", "requires 'target_label' value"},
    {"an invalid target", "[{target_label: \"\\xff\"}]", ""},
    {"an expression that is none", "[{target_label: a, regex: '('}]", "missing"},
    {"an empty source", "[{target_label: a, source_labels: ['']}]", "is not a valid label name"},
    {"a source that is a text", "[{target_label: a, source_labels: a}]", "cannot unmarshal"},
    {"lowercase with a replacement", "[{action: lowercase, target_label: a, replacement: x}]",
     "'replacement' can not be set for lowercase action"},
    {"labelmap to nothing", "[{action: labelmap, replacement: ''}]",
     "is invalid 'replacement' for labelmap"},
    {"keepequal with an expression", "[{action: keepequal, target_label: a, regex: '(.*)'}]",
     "keepequal action requires only 'source_labels' and `target_label`, and no other fields"},
    {"labeldrop with sources", "[{action: labeldrop, source_labels: [a], regex: x}]",
     "labeldrop action requires only 'regex', and no other fields"},
    {"labelkeep with a target", "[{action: labelkeep, target_label: a, regex: x}]",
     "requires only 'regex'"},
};

TEST(what_is_wrong_is_said)
{
    for_each_case(c, bad_cases) {
        struct relabel_rules *rules;
        struct error *err = relabel_parse(str_from(c->yaml), RELABEL_ALL, NULL, &rules);
        if (c->error[0])
            CHECK_ERROR_TEXT(err, ERROR_INVALID, c->error);
        else
            error_free(err);
        relabel_free(rules);
    }
}

TEST(actions_can_be_restricted)
{
    struct relabel_rules *rules;
    CHECK_ERROR_TEXT(relabel_parse(STR("[{target_label: a}]"), RELABEL_SELECTOR, NULL, &rules),
                     ERROR_INVALID,
                     "parsing relabel configuration: unsupported relabel action: replace");
    CHECK_OK(
        relabel_parse(STR("- {action: hashmod, source_labels: [b], target_label: a, modulus: 2}\n"
                          "- {action: keep, source_labels: [a], regex: 1}\n"),
                      RELABEL_SELECTOR, NULL, &rules));
    CHECK_EQ(relabel_count(rules), 2);
    relabel_free(rules);
    CHECK_OK(relabel_parse(STR(""), RELABEL_SELECTOR, NULL, &rules));
    CHECK_EQ(relabel_count(rules), 0);
    relabel_free(rules);
    CHECK_EQ(relabel_count(NULL), 0);
}

TEST_MAIN(TEST_ENTRY(rules_do_what_prometheus_does), TEST_ENTRY(what_is_wrong_is_said),
          TEST_ENTRY(actions_can_be_restricted))
