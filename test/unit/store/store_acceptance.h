/* test/unit/store/store_acceptance.h: what every store must do, whatever it is made of: its answers
 * are compared with those of a plain store over the same series. */
#pragma once

#include "store/store.h"
#include "support/memory_store.h"

struct store_subject {
    /* A store whose answers are these series with the external labels put over theirs. The series
     * live until the store is freed. */
    struct store *(*create)(void *arg, const struct series_batch *data, struct labels external);
    /* Frees it and all that create() made. NULL: store_free(). */
    void (*free)(void *arg, struct store *store);
    void *arg;
};

/* Runs all checks; a failed one ends the running test. ctx must collect warnings. */
void store_acceptance_run(const struct store_subject *subject, struct context *ctx);
