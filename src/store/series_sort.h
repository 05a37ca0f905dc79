/* store/series_sort.h: the full sort, for sets whose order cannot be kept as they stream: labels
 * are dropped from inside series, or a peer does not sort. */
#pragma once

#include "store/series_set.h"
#include "store/store.h"

struct budget;

/* Takes inner, which may be in any order and hold a label set several times; drops the labels named
 * in `without` (sorted; copied), reads all of it, sorts, joins what became equal. The whole answer
 * is charged to the budget (may be NULL; must outlive what comes out): over it is ERROR_LIMIT. A
 * failure of inner is told when all that came before it has been given. */
struct series_set *series_set_sort(struct budget *budget, struct series_set *inner,
                                   struct str_list without);
