/* store/series_add_labels.h: adds labels to every series of a set and keeps the set in order,
 * holding as little as that takes.
 *
 * Let A be the added labels and m their largest name. Adding moves a series only among its
 * neighbours:
 *
 * - A series s without any name of A comes to stand behind the series that extend it, s + (n, ...),
 *   as long as n < m: they have n where s has the next label of A. All of them follow s directly in
 *   the input, so s is held until one comes that is no such extension. Held series of this kind are
 *   prefixes of each other: a stack no deeper than a label set.
 * - A series that has a name n of A itself has its value replaced; its place among the series that
 *   agree with it before n is then decided by what follows n. It is held until the input leaves
 *   that group, {__name__, ...} up to n: usually one metric.
 *
 * Two series that become equal are one of these cases too; they are joined. Everything else keeps
 * its place, so no series not yet read can sort before one that is not held any more. */
#pragma once

#include "store/series_set.h"

struct budget;

/* Takes inner; copies `added`, which wins over labels of the same name. Arenas are charged to the
 * budget (may be NULL; must outlive what comes out). */
struct series_set *series_set_add_labels(struct budget *budget, struct series_set *inner,
                                         struct labels added);
