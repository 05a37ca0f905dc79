#include "base/vec.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/memory.h"

bool vec_grow(void **items, struct vec_head *head, size_t item_size, size_t count)
{
    size_t needed;
    if (__builtin_add_overflow(head->len, count, &needed) || needed > SIZE_MAX / 4 / item_size)
        bug("array of %zu + %zu items of %zu bytes", head->len, count, item_size);
    size_t cap = size_max(needed, size_max(head->cap + head->cap / 2, 8));
    size_t more = (cap - head->cap) * item_size;
    if (head->budget && !budget_try_charge(head->budget, more)) {
        head->refused = head->refused ? head->refused : more;
        return false;
    }
    *items = xrealloc(*items, cap, item_size);
    head->cap = cap;
    return true;
}

void vec_release(void **items, struct vec_head *head, size_t item_size)
{
    budget_release(head->budget, head->cap * item_size);
    free(*items);
    *items = NULL;
    *head = (struct vec_head){.budget = head->budget};
}

struct error *vec_error(struct budget *budget, size_t refused)
{
    return refused ? budget_error(budget, refused, "an array") : NULL;
}
