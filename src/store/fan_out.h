/* store/fan_out.h: the same call on many things at once. */
#pragma once

#include <stddef.h>

struct pool;

/* Calls fn(arg, i) for each i below count, on the caller's thread and on as many of the pool's as
 * are free (pool NULL: none); returns when all calls have returned. As the caller takes part, it
 * may be a task of the same pool. */
void fan_out(struct pool *pool, size_t count, void (*fn)(void *arg, size_t i), void *arg);
