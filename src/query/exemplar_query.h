/* query/exemplar_query.h: which part of a query for exemplars an endpoint is asked. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/labels.h"
#include "model/matcher.h"

struct exemplar_selector {
    const struct matcher *matchers;
    size_t count;
};

struct exemplar_selectors {
    struct exemplar_selector *items;
    size_t count, cap;
};

/* All selectors of a query. ERROR_INVALID for a query that is none or has no selector. */
MUST_CHECK struct error *exemplar_selectors_parse(struct str query, struct arena *arena,
                                                  struct exemplar_selectors *out);

/* The selectors that do not contradict all of an endpoint's label sets, as one query; empty when
 * there are none. Matchers on names that the label sets have are left out (what is below knows
 * nothing of them) unless keeps_external. In the arena. */
struct str exemplar_query_for(const struct exemplar_selectors *selectors,
                              const struct labels *label_sets, size_t label_set_count,
                              bool keeps_external, struct arena *arena);
