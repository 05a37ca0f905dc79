#include "query/exemplar_query.h"

#include "support/test.h"

static const struct {
    const char *name;
    const char *query;
    bool keeps_external;
    const char *want;
} query_cases[] = {
    {"as it is", "up{job=\"a\"}", false, "{job=\"a\",__name__=\"up\"}"},
    {"all selectors, wherever they stand",
     "sum(rate(a[5m])) / max_over_time((-b)[1h:1m]) + topk(scalar(c), d)", false,
     "{__name__=\"a\"}+{__name__=\"b\"}+{__name__=\"d\"}+{__name__=\"c\"}"},
    {"external labels are left out", "up{cluster=\"x\",replica=~\"a|b\"}", false,
     "{__name__=\"up\"}"},
    {"external labels stay for a querier", "up{cluster=\"x\"}", true,
     "{cluster=\"x\",__name__=\"up\"}"},
    {"selectors that fit no label set are left out", "up{cluster=\"y\"} + down{replica!=\"a\"}",
     false, "{__name__=\"down\"}"},
    {"nothing left to ask", "up{cluster=\"y\"}", false, ""},
    {"external labels alone", "{cluster=\"x\"}", false, "{__name__=~\".+\"}"},
    {NULL, NULL, false, NULL},
};

static struct labels label_set(struct arena *arena, const char *replica)
{
    struct labels_builder builder = labels_builder_create(arena);
    labels_builder_set(&builder, STR("cluster"), STR("x"));
    labels_builder_set(&builder, STR("replica"), str_from(replica));
    return labels_builder_finish(&builder);
}

TEST(an_endpoint_is_asked_for_the_selectors_that_fit_it)
{
    struct arena *arena = arena_create(NULL);
    const struct labels sets[] = {label_set(arena, "a"), label_set(arena, "b")};
    for_each_case(c, query_cases) {
        struct exemplar_selectors selectors;
        CHECK_OK(exemplar_selectors_parse(str_from(c->query), arena, &selectors));
        CHECK_STR(exemplar_query_for(&selectors, sets, countof(sets), c->keeps_external, arena),
                  c->want);
    }
    arena_unref(arena);
}

TEST(queries_without_selectors_are_refused)
{
    struct arena *arena = arena_create(NULL);
    struct exemplar_selectors selectors;
    CHECK_ERROR(exemplar_selectors_parse(STR("1 + 1"), arena, &selectors), ERROR_INVALID);
    CHECK_ERROR(exemplar_selectors_parse(STR(""), arena, &selectors), ERROR_INVALID);
    CHECK_ERROR(exemplar_selectors_parse(STR("up{"), arena, &selectors), ERROR_INVALID);
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(an_endpoint_is_asked_for_the_selectors_that_fit_it),
          TEST_ENTRY(queries_without_selectors_are_refused))
