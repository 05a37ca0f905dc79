/* runtime/fault.h: injected faults. Code that touches files or sockets asks before each operation
 * whether it is to fail; tests make the n-th one fail, for n = 1, 2, ... until nothing fails any
 * more. budget_fail_nth() (base/budget.h) does the same for memory. Thread-safe; off, it costs one
 * atomic load. */
#pragma once

#include <stdbool.h>

/* The n-th operation from now on (1: the next) fails, once; 0 turns it off and stops counting. */
void fault_io_fail_nth(unsigned long n);
/* True when the operation that is about to be done has to fail, as if by EIO. `what` ("read file")
 * is remembered for fault_io_failed(). */
bool fault_io(const char *what);
/* How many operations were asked about since the last fault_io_fail_nth(n > 0). */
unsigned long fault_io_count(void);
/* What the injected fault hit, or NULL when it was not reached. */
const char *fault_io_failed(void);

/* TITAN_FAULT_IO=n and TITAN_FAULT_BUDGET=n of the environment; for main(), at start. */
void fault_init_from_environment(void);
