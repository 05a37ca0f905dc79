/* store/series_join.h: makes a foreign stream fit. On the wire one series may come in several
 * parts, one after another, with unsorted chunk lists; in a set each label set comes once. */
#pragma once

#include <stdatomic.h>

#include "store/series_set.h"

struct budget;

/* Takes inner, whose series are in order but may repeat; joins neighbours of equal label sets and
 * puts chunk lists in order. A series that sorts before its predecessor is ERROR_CORRUPT; then
 * *out_of_order is set, if given, so that the next select of the same source can be sorted in full
 * (series_sort.h). A failure of inner is told when all that came before it has been given. Reads
 * into arenas charged to the budget (may be NULL). */
struct series_set *series_set_join(struct budget *budget, struct series_set *inner,
                                   atomic_bool *out_of_order);
