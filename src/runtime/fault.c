#include "runtime/fault.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/budget.h"

static atomic_ulong failing_operation; /* 0: off */
static atomic_ulong operation_count;
static _Atomic(const char *) failed_operation;

void fault_io_fail_nth(unsigned long n)
{
    atomic_store(&failing_operation, 0);
    atomic_store(&operation_count, 0);
    atomic_store(&failed_operation, NULL);
    atomic_store(&failing_operation, n);
}

bool fault_io(const char *what)
{
    unsigned long n = atomic_load_explicit(&failing_operation, memory_order_relaxed);
    if (n == 0 || atomic_fetch_add(&operation_count, 1) + 1 != n)
        return false;
    atomic_store(&failed_operation, what);
    return true;
}

unsigned long fault_io_count(void)
{
    return atomic_load(&operation_count);
}

const char *fault_io_failed(void)
{
    return atomic_load(&failed_operation);
}

static unsigned long environment_number(const char *name)
{
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 10) : 0;
}

void fault_init_from_environment(void)
{
    unsigned long io = environment_number("TITAN_FAULT_IO");
    unsigned long budget = environment_number("TITAN_FAULT_BUDGET");
    if (io)
        fault_io_fail_nth(io);
    if (budget)
        budget_fail_nth(budget);
}
