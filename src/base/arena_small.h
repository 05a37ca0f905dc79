/* base/arena_small.h: arenas for little that lives long, as what is known of one of a thousand
 * endpoints. */
#pragma once

#include "base/arena.h"

/* Like arena_create(), but it begins with a kilobyte of malloc's instead of a page of 64. It may
 * grow as large as any. */
struct arena *arena_create_small(struct budget *budget);
