/* base/arena.h: memory that is freed all at once, with its last user.
 *
 * An arena is reference-counted (references from any thread), but only one thread at a time may
 * allocate from it. Its pages are charged to a budget. Small allocations never fail: when the
 * budget refuses a page, the page is taken all the same and the arena remembers; whoever fills an
 * arena in a loop asks arena_status() once per series or batch and stops there, so that the
 * overdraft is a page or two. Sizes that come from outside go through arena_try_alloc(), which
 * refuses. */
#pragma once

#include <stddef.h>

#include "base/budget.h"
#include "base/error.h"
#include "base/str.h"

struct arena;

struct arena *
arena_create(struct budget *budget); /* one reference; budget may be NULL and must outlive it */
void arena_ref(struct arena *arena);
void arena_unref(struct arena *arena); /* NULL is fine */

/* Aligned for any type; content undefined (arena_zalloc: zeroed). Never NULL. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_zalloc(struct arena *arena, size_t size);
/* count items of size bytes; overflow ends the process, as a bug of the caller. */
void *arena_array(struct arena *arena, size_t count, size_t size);
/* NULL when the budget refuses; arena_status() then has the error. */
MUST_CHECK void *arena_try_alloc(struct arena *arena, size_t size);
/* No alignment: for bytes and text. */
void *arena_bytes(struct arena *arena, size_t size);

/* Copies; arena_cstr() ends with a NUL. */
struct str arena_str(struct arena *arena, struct str s);
char *arena_cstr(struct arena *arena, struct str s);
struct str arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

/* NULL, or the ERROR_LIMIT of the first refused charge. The error is the caller's. */
MUST_CHECK struct error *arena_status(const struct arena *arena);
struct budget *arena_budget(const struct arena *arena);
size_t arena_size(const struct arena *arena); /* bytes of its pages */

/* Calls free_fn(object) when the arena goes: the arena owns foreign memory that way. */
void arena_on_free(struct arena *arena, void (*free_fn)(void *object), void *object);
/* `outer` holds a reference on `inner` until it goes; repeated calls with the same inner cost
 * nothing. NULL is fine. */
void arena_keep(struct arena *outer, struct arena *inner);
/* Forgets all content, runs the on_free functions, keeps one page for the next use. Only with a
 * single reference. */
void arena_reset(struct arena *arena);
