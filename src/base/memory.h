/* base/memory.h: heap memory for what lives long. A failed malloc ends the process: budgets refuse
 * work long before. Sizes that come from outside are checked against a limit or budget first. */
#pragma once

#include <stddef.h>

#include "base/compiler.h"

void *xmalloc(size_t size) MUST_CHECK;
void *xcalloc(size_t count, size_t size) MUST_CHECK; /* zeroed; overflow ends the process */
void *xrealloc(void *old, size_t count, size_t size) MUST_CHECK; /* overflow ends the process */
char *xstrdup(const char *text) MUST_CHECK;

/* Says what cannot be true on stderr and aborts: for bugs, never for bad input. */
NO_RETURN void bug(const char *format, ...) PRINTF_LIKE(1, 2);
