#include "base/budget.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"

struct budget {
    struct budget *parent;
    const char *name;
    size_t limit;
    atomic_size_t used;
    atomic_size_t peak;
};

static atomic_ulong charge_count;
static atomic_ulong failing_charge; /* 0: none */

void budget_fail_nth(unsigned long n)
{
    atomic_store(&charge_count, 0);
    atomic_store(&failing_charge, n);
}

unsigned long budget_charges(void)
{
    return atomic_load(&charge_count);
}

static bool charge_is_to_fail(void)
{
    unsigned long n = atomic_load_explicit(&failing_charge, memory_order_relaxed);
    unsigned long count = atomic_fetch_add_explicit(&charge_count, 1, memory_order_relaxed) + 1;
    return n && count == n;
}

struct budget *budget_create(struct budget *parent, const char *name, size_t limit)
{
    struct budget *budget = xcalloc(1, sizeof(*budget));
    budget->parent = parent;
    budget->name = name;
    budget->limit = limit;
    return budget;
}

void budget_free(struct budget *budget)
{
    if (!budget)
        return;
    budget_release(budget->parent, atomic_load(&budget->used));
    free(budget);
}

static void budget_note_peak(struct budget *budget, size_t used)
{
    size_t peak = atomic_load_explicit(&budget->peak, memory_order_relaxed);
    while (used > peak &&
           !atomic_compare_exchange_weak_explicit(&budget->peak, &peak, used, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

static bool budget_take_one(struct budget *budget, size_t bytes)
{
    size_t used = atomic_fetch_add(&budget->used, bytes) + bytes;
    if ((budget->limit && used > budget->limit) || used < bytes) {
        atomic_fetch_sub(&budget->used, bytes);
        return false;
    }
    budget_note_peak(budget, used);
    return true;
}

bool budget_try_charge(struct budget *budget, size_t bytes)
{
    if (charge_is_to_fail())
        return false;
    for (struct budget *level = budget; level; level = level->parent) {
        if (budget_take_one(level, bytes))
            continue;
        for (struct budget *taken = budget; taken != level; taken = taken->parent)
            atomic_fetch_sub(&taken->used, bytes);
        return false;
    }
    return true;
}

struct error *budget_error(struct budget *budget, size_t bytes, const char *what)
{
    struct budget *tightest = budget;
    for (struct budget *level = budget; level; level = level->parent)
        if (level->limit && atomic_load(&level->used) + bytes > level->limit) {
            tightest = level;
            break;
        }
    return error_create(
        ERROR_LIMIT, "%s needs %zu more bytes, but the %s budget of %zu bytes has %zu in use", what,
        bytes, tightest ? tightest->name : "unlimited", tightest ? tightest->limit : 0,
        tightest ? atomic_load(&tightest->used) : 0);
}

struct error *budget_charge(struct budget *budget, size_t bytes, const char *what)
{
    return budget_try_charge(budget, bytes) ? NULL : budget_error(budget, bytes, what);
}

void budget_charge_anyway(struct budget *budget, size_t bytes)
{
    for (; budget; budget = budget->parent)
        budget_note_peak(budget, atomic_fetch_add(&budget->used, bytes) + bytes);
}

void budget_release(struct budget *budget, size_t bytes)
{
    for (; budget; budget = budget->parent)
        atomic_fetch_sub(&budget->used, bytes);
}

size_t budget_used(const struct budget *budget)
{
    return budget ? atomic_load(&budget->used) : 0;
}

size_t budget_peak(const struct budget *budget)
{
    return budget ? atomic_load(&budget->peak) : 0;
}

size_t budget_limit(const struct budget *budget)
{
    return budget ? budget->limit : 0;
}
