/* store/text_set.h: different texts, gathered in any order and given sorted: label names and values
 * of many series. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/hash_index.h"
#include "base/str.h"
#include "base/vec.h"
#include "store/str_list.h"

struct text_set {
    struct hash_index index;
    VEC(struct str) items;
    struct arena *arena; /* of the texts */
};

/* What it needs besides is charged to the arena's budget. */
void text_set_init(struct text_set *set, struct arena *arena);
/* Copies a text that is new. ERROR_LIMIT. */
MUST_CHECK struct error *text_set_add(struct text_set *set, struct str text);
/* The first `limit` (0: all) in byte order, in the arena; nothing of the set is left. Also needed
 * after an error. */
void text_set_finish(struct text_set *set, size_t limit, struct str_list *out);
