/* chunk/dedup.h: makes one column of the columns of several lanes. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "chunk/samples.h"

/* By penalties, folded from the left. With `lift` a lane of a counter is raised when the fold
 * switches to it below the last value. Needs at least one lane. */
MUST_CHECK struct error *dedup_penalty(const struct samples *lanes, size_t count, bool lift,
                                       struct arena *arena, struct samples *out);
/* By time; of samples at one time the first lane's is taken. */
MUST_CHECK struct error *dedup_chain(const struct samples *lanes, size_t count, struct arena *arena,
                                     struct samples *out);
