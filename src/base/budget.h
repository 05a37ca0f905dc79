/* base/budget.h: how much memory a query, a request or the process may take. Budgets form a tree:
 * what is charged to one is charged to all above it. Thread-safe. */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct budget;

/* limit in bytes, 0: none of its own (the parent's still binds). name appears in errors: "query",
 * "process". parent may be NULL and must outlive the child. */
struct budget *budget_create(struct budget *parent, const char *name, size_t limit);
void budget_free(struct budget *budget); /* NULL is fine; whatever is still charged is given back to
                                            the parents */

/* Takes bytes, or fails with ERROR_LIMIT and takes nothing; `what` names the use in the error's
 * text. A NULL budget grants everything. */
MUST_CHECK struct error *budget_charge(struct budget *budget, size_t bytes, const char *what);
/* The same without a text, for callers that report later. */
MUST_CHECK bool budget_try_charge(struct budget *budget, size_t bytes);
/* The error that a refused charge of this size stands for. */
MUST_CHECK struct error *budget_error(struct budget *budget, size_t bytes, const char *what);
/* Takes bytes whatever the limit, for small amounts already in use. */
void budget_charge_anyway(struct budget *budget, size_t bytes);
void budget_release(struct budget *budget, size_t bytes);

size_t budget_used(const struct budget *budget);
size_t budget_peak(const struct budget *budget);
size_t budget_limit(const struct budget *budget); /* 0: none */

/* Fault injection: the n-th charge from now on (1: the next) is refused, once; 0 turns it off. */
void budget_fail_nth(unsigned long n);
/* How many charges were made since the last budget_fail_nth(). */
unsigned long budget_charges(void);
