/* store/store_proxy.h: many stores as one: a select goes to those that can have something, and
 * their sets are merged as they arrive. */
#pragma once

#include "store/store.h"
#include "store/store_list.h"

struct log;
struct metrics;
struct pool;

struct store_proxy_config {
    /* The stores as they are now, one reference for the caller. Called for every call; cheap. */
    struct store_list *(*stores)(void *self);
    void *self;
    int64_t response_timeout_ms; /* --store.response-timeout; 0: none */
    struct pool *metadata;       /* where label calls run beside the caller; NULL: nowhere */
    struct log *log;         /* says at debug level which stores were passed over; NULL is fine */
    struct metrics *metrics; /* NULL is fine */
};

/* Select. Stores are chosen by store_choice(). Those that are remote are asked first, as that only
 * starts a call; stores that cannot drop labels or shard get their sets wrapped. A failing store is
 * a warning, or with PARTIAL_ABORT the error, an ERROR_UNAVAILABLE (proxy_input.h). No stores at
 * all: ERROR_UNAVAILABLE "No StoreAPIs available" with PARTIAL_ABORT, else an empty set; none that
 * matches: an empty set in both cases. No matchers: ERROR_INVALID.
 *
 * Label calls ask all chosen stores at once and unite the answers; failures as above.
 *
 * Describe unites what the stores say; without any store it is the full time range. */
struct store *store_proxy_create(const struct store_proxy_config *config);
