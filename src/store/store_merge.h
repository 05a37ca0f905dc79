/* store/store_merge.h: many sets become one, in label order, each label set once. */
#pragma once

#include <stddef.h>

#include "store/series_set.h"

struct budget;

/* A k-way merge. Series of equal label sets become one whose chunk list joins theirs
 * (chunk_lists.h). Takes the sets (copies the array): all are cancelled and freed with it. Each set
 * is read ahead by up to 64 series into arenas charged to `budget` (may be NULL; must outlive what
 * comes out), which the caller's arena keeps.
 *
 * next() waits until it can give one series, and gives more only as long as no set makes it wait.
 * The first error of a set is the error of the merge. */
struct series_set *series_set_merge(struct budget *budget, struct series_set *const *sets,
                                    size_t count);
