/* runtime/memory_limit.h: how much memory this process may use. */
#pragma once

#include <stddef.h>

/* Bytes: the limit of the control group (version 2 or 1) or the machine's memory, whichever is
 * less. */
size_t memory_available(void);
