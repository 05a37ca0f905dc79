/* test/unit/objstore/bucket_acceptance.h: what every bucket must do, whatever keeps it. */
#pragma once

#include "objstore/bucket.h"

struct context;

/* Runs all checks on an empty bucket; a failed one ends the running test. many: how many objects
 * one listing is to have; large: bytes of the largest object. */
void bucket_acceptance_run(struct bucket *bucket, struct context *ctx, size_t many, size_t large);
