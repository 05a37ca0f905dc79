/* base/vec.h: growing arrays of any type.
 *
 *     VEC(struct str) names = VEC_INIT(budget);   // or VEC_INIT(NULL): not charged
 *     vec_push(&names, STR("job"));
 *     for (size_t i = 0; i < names.len; i++) use(names.items[i]);
 *     vec_deinit(&names);
 *
 * What the budget refuses is not pushed (vec_push() then yields false) and vec_status() has the
 * error, once for all pushes. */
#pragma once

#include <stddef.h>

#include "base/budget.h"

struct vec_head {
    size_t len, cap;
    struct budget *budget;
    size_t refused;
};

#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t len, cap;                                                                           \
        struct budget *budget;                                                                     \
        size_t refused;                                                                            \
    }
#define VEC_INIT(charged_budget)                                                                   \
    {                                                                                              \
        .budget = (charged_budget)                                                                 \
    }

/* Appends a value (an expression of the item type); true unless the budget refused. */
#define vec_push(vec, ...)                                                                         \
    (vec_reserve((vec), 1) && ((vec)->items[(vec)->len++] = (__VA_ARGS__), 1))
/* Room for `count` more; false when the budget refuses. */
#define vec_reserve(vec, count)                                                                    \
    ((count) <= (vec)->cap - (vec)->len ||                                                         \
     vec_grow((void **)&(vec)->items, (struct vec_head *)(void *)&(vec)->len,                      \
              sizeof((vec)->items[0]), (count)))
#define vec_pop(vec) ((vec)->items[--(vec)->len])
#define vec_last(vec) ((vec)->items[(vec)->len - 1])
#define vec_clear(vec) ((vec)->len = 0, (vec)->refused = 0)
#define vec_deinit(vec)                                                                            \
    vec_release((void **)&(vec)->items, (struct vec_head *)(void *)&(vec)->len,                    \
                sizeof((vec)->items[0]))
#define vec_status(vec) vec_error((vec)->budget, (vec)->refused)

bool vec_grow(void **items, struct vec_head *head, size_t item_size, size_t count);
void vec_release(void **items, struct vec_head *head, size_t item_size);
MUST_CHECK struct error *vec_error(struct budget *budget, size_t refused);
