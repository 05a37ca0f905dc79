/* store/store_list.h: the stores there are at one moment: immutable, reference-counted, replaced as
 * a whole. Thread-safe. */
#pragma once

#include <stddef.h>

struct store;
struct store_list;

struct store_member {
    struct store *store;
    void (*release)(void *owner); /* called once when the list goes; NULL: nothing to do */
    void *owner;
};

/* One reference for the caller. Copies the array; each member's owner is kept until the last
 * reference goes. */
struct store_list *store_list_create(const struct store_member *members, size_t count);
struct store_list *store_list_ref(struct store_list *list); /* gives list back */
void store_list_unref(struct store_list *list);             /* NULL is fine */

size_t store_list_count(const struct store_list *list);
struct store *store_list_at(const struct store_list *list, size_t at);
