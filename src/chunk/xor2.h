/* chunk/xor2.h: Prometheus's XOR2 encoding (see the source), a row of chunk_encodings[]. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "chunk/samples.h"

MUST_CHECK struct error *xor2_append(struct bytes bytes, struct arena *arena, struct samples *into);
