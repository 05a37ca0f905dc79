/* runtime/gate.h: lets at most N callers into a section; the others wait in order. Thread-safe. */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct context;
struct gate;

struct gate *gate_create(size_t max_inside);
void gate_free(struct gate *gate); /* nobody may be inside or waiting; NULL is fine */

/* Fails with ERROR_CANCELLED or ERROR_TIMEOUT when ctx ends before there is room. */
MUST_CHECK struct error *gate_enter(struct gate *gate, struct context *ctx);
/* Enters when there is room and nobody waits; never waits itself. */
MUST_CHECK bool gate_try_enter(struct gate *gate);
void gate_leave(struct gate *gate);

size_t gate_inside(struct gate *gate);
size_t gate_waiting(struct gate *gate);
