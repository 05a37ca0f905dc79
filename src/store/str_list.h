/* store/str_list.h: lists of label names and values. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"

/* Sorted, unique texts. Both the array and the texts live in the arena. */
struct str_list {
    struct str *items;
    size_t count;
};

struct str_list str_list_copy(struct arena *arena, struct str_list list);
bool str_list_has(struct str_list list, struct str text);
/* The union of sorted lists, at most `limit` (0: all) of it. The texts are not copied. */
struct str_list str_lists_merge(struct arena *arena, const struct str_list *lists, size_t count,
                                size_t limit);
/* Sorts what is in any order and removes what is there twice, in place. */
void str_list_sort(struct str_list *list);
