#include "base/arena_small.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/page_pool.h"

struct arena_page {
    struct arena_page *next;
    size_t size;    /* with this head */
    size_t charged; /* what the budget granted for it */
};

struct free_hook {
    struct free_hook *next;
    void (*free_fn)(void *object);
    void *object;
};

struct arena {
    atomic_uint references;
    struct budget *budget;
    struct arena_page *pages; /* the one in use first */
    char *at, *end;           /* free part of the first page */
    size_t size;
    size_t refused; /* bytes of the first refused charge, 0: none */
    struct free_hook *hooks;
    struct arena *last_kept;
    struct arena **kept; /* a table of all of them by address; lives in a page */
    size_t kept_cap, kept_count;
    bool is_small;
};

enum {
    ALIGNMENT = 16,
    KEPT_CAP_MIN = 8,
    SMALL_PAGE = 1024, /* the first of a small arena; the next are as large as */
    SMALL_PAGES_MAX = PAGE_POOL_SMALLEST / 2, /* all before, and up to this size malloc's */
};

struct arena *arena_create(struct budget *budget)
{
    struct arena *arena = xcalloc(1, sizeof(*arena));
    atomic_init(&arena->references, 1);
    arena->budget = budget;
    return arena;
}

struct arena *arena_create_small(struct budget *budget)
{
    struct arena *arena = arena_create(budget);
    arena->is_small = true;
    return arena;
}

void arena_ref(struct arena *arena)
{
    atomic_fetch_add_explicit(&arena->references, 1, memory_order_relaxed);
}

static void arena_run_hooks(struct arena *arena)
{
    while (arena->hooks) {
        struct free_hook *hook = arena->hooks; /* lives in a page, which goes after all hooks */
        arena->hooks = hook->next;
        hook->free_fn(hook->object);
    }
    arena->last_kept = NULL;
    arena->kept = NULL;
    arena->kept_cap = arena->kept_count = 0;
}

static void page_give(struct arena_page *page, size_t size)
{
    if (size <= SMALL_PAGES_MAX)
        free(page);
    else
        page_pool_give(page, size);
}

static void arena_drop_pages(struct arena *arena, struct arena_page *kept)
{
    struct arena_page *page = arena->pages;
    while (page) {
        struct arena_page *next = page->next;
        if (page != kept) {
            budget_release(arena->budget, page->charged);
            page_give(page, page->size);
        }
        page = next;
    }
    arena->pages = kept;
}

void arena_unref(struct arena *arena)
{
    if (!arena || atomic_fetch_sub_explicit(&arena->references, 1, memory_order_acq_rel) != 1)
        return;
    arena_run_hooks(arena);
    arena_drop_pages(arena, NULL);
    free(arena);
}

static void arena_use_page(struct arena *arena, struct arena_page *page)
{
    arena->at = (char *)page + ((sizeof(*page) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1));
    arena->end = (char *)page + page->size;
}

void arena_reset(struct arena *arena)
{
    arena_run_hooks(arena);
    struct arena_page *kept = arena->pages;
    while (kept && kept->next && kept->size > PAGE_POOL_LARGEST)
        kept = kept->next;
    arena_drop_pages(arena, kept);
    arena->refused = 0;
    arena->at = arena->end = NULL;
    arena->size = 0;
    if (kept) {
        kept->next = NULL;
        arena->size = kept->size;
        arena_use_page(arena, kept);
    }
}

static struct arena_page *page_take(const struct arena *arena, size_t size, size_t *got)
{
    size_t least = arena->is_small ? SMALL_PAGE : PAGE_POOL_SMALLEST;
    size_t wanted = size_max(size_min(arena->size, PAGE_POOL_LARGEST), least);
    wanted = size_max(wanted, size + sizeof(struct arena_page) + 2 * ALIGNMENT);
    if (wanted > SMALL_PAGES_MAX)
        return page_pool_take(wanted, got);
    *got = wanted;
    return xmalloc(wanted);
}

/* Adds a page with room for `size`; false when the budget refuses and must_grow is off. */
static bool arena_grow(struct arena *arena, size_t size, bool must_grow)
{
    if (size > SIZE_MAX / 2)
        bug("arena allocation of %zu bytes", size);
    size_t got;
    struct arena_page *page = page_take(arena, size, &got);
    bool granted = budget_try_charge(arena->budget, got);
    if (!granted && arena->refused == 0)
        arena->refused = got;
    if (!granted && !must_grow) {
        page_give(page, got);
        return false;
    }
    if (!granted)
        budget_charge_anyway(arena->budget, got);
    page->size = page->charged = got;
    arena->size += got;
    page->next = arena->pages;
    arena->pages = page;
    arena_use_page(arena, page);
    return true;
}

static void *arena_take(struct arena *arena, size_t size, size_t alignment, bool must_grow)
{
    size_t padding = (size_t)(-(uintptr_t)arena->at) & (alignment - 1);
    size_t left = (size_t)(arena->end - arena->at);
    if (!arena->at || size > left || padding > left - size) {
        if (!arena_grow(arena, size, must_grow))
            return NULL;
        padding = 0;
    }
    char *memory = arena->at + padding;
    arena->at = memory + size;
    return memory;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    return arena_take(arena, size, ALIGNMENT, true);
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    return memset(arena_alloc(arena, size), 0, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        bug("arena array of %zu times %zu bytes", count, size);
    return arena_alloc(arena, total);
}

void *arena_try_alloc(struct arena *arena, size_t size)
{
    if (size <= SIZE_MAX / 2)
        return arena_take(arena, size, ALIGNMENT, false);
    if (arena->refused == 0)
        arena->refused = size;
    return NULL;
}

void *arena_bytes(struct arena *arena, size_t size)
{
    return arena_take(arena, size, 1, true);
}

struct str arena_str(struct arena *arena, struct str s)
{
    if (s.len == 0)
        return STR("");
    return (struct str){memcpy(arena_bytes(arena, s.len), s.data, s.len), s.len};
}

char *arena_cstr(struct arena *arena, struct str s)
{
    char *copy = arena_bytes(arena, s.len + 1);
    if (s.len)
        memcpy(copy, s.data, s.len);
    copy[s.len] = 0;
    return copy;
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (len < 0)
        bug("a format that cannot be printed");
    char *text = arena_bytes(arena, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return (struct str){text, (size_t)len};
}

struct error *arena_status(const struct arena *arena)
{
    return arena->refused ? budget_error(arena->budget, arena->refused, "an arena") : NULL;
}

struct budget *arena_budget(const struct arena *arena)
{
    return arena->budget;
}

size_t arena_size(const struct arena *arena)
{
    return arena->size;
}

void arena_on_free(struct arena *arena, void (*free_fn)(void *object), void *object)
{
    struct free_hook *hook = arena_alloc(arena, sizeof(*hook));
    *hook = (struct free_hook){arena->hooks, free_fn, object};
    arena->hooks = hook;
}

static void arena_unref_hook(void *inner)
{
    arena_unref(inner);
}

/* Where inner is in the table, or belongs. The table is never full. */
static struct arena **kept_slot(struct arena **table, size_t cap, const struct arena *inner)
{
    size_t at = (size_t)((uint64_t)(uintptr_t)inner * 0x9e3779b97f4a7c15u >> 32) & (cap - 1);
    while (table[at] && table[at] != inner)
        at = (at + 1) & (cap - 1);
    return &table[at];
}

static void kept_grow(struct arena *arena)
{
    size_t cap = arena->kept_cap ? arena->kept_cap * 2 : KEPT_CAP_MIN;
    struct arena **table = arena_zalloc(arena, cap * sizeof(struct arena *));
    for (size_t i = 0; i < arena->kept_cap; i++)
        if (arena->kept[i])
            *kept_slot(table, cap, arena->kept[i]) = arena->kept[i];
    arena->kept = table;
    arena->kept_cap = cap;
}

void arena_keep(struct arena *outer, struct arena *inner)
{
    if (!inner || outer == inner || outer->last_kept == inner)
        return;
    if (outer->kept_count * 2 >= outer->kept_cap)
        kept_grow(outer);
    struct arena **slot = kept_slot(outer->kept, outer->kept_cap, inner);
    outer->last_kept = inner;
    if (*slot)
        return;
    *slot = inner;
    outer->kept_count++;
    arena_ref(inner);
    arena_on_free(outer, arena_unref_hook, inner);
}
