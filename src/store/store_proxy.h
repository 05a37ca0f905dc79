/* store/store_proxy.h: many stores as one: a select goes to those that can have something, and
 * their sets are merged as they arrive. */
#pragma once

#include "store/store.h"
#include "store/store_list.h"
#include "store/store_selector.h"

struct log;
struct metrics;
struct pool;

struct store_proxy_config {
    /* The stores as they are now, one reference for the caller. Called for every call; cheap. */
    struct store_list *(*stores)(void *self);
    void *self;
    int64_t response_timeout_ms;    /* --store.response-timeout; 0: none */
    struct store_selector selector; /* zero: all of it; what it points to must outlive the store */
    struct pool *metadata;          /* where label calls run beside the caller; NULL: nowhere */
    struct log *log;         /* says at debug level which stores were passed over; NULL is fine */
    struct metrics *metrics; /* NULL is fine */
};

/* Select. Stores are chosen by the selector and by store_choice(). Those that are remote are asked
 * first, as that only starts a call; stores that cannot drop labels or shard get their sets
 * wrapped. A failing store is a warning, or with PARTIAL_ABORT the error, an ERROR_UNAVAILABLE
 * (proxy_input.h). No stores at all: ERROR_UNAVAILABLE "No StoreAPIs available" with PARTIAL_ABORT,
 * else an empty set; none that matches: an empty set in both cases. No matchers, besides those on
 * labels of the selector: ERROR_INVALID.
 *
 * Label calls ask all chosen stores at once and unite the answers; failures as above.
 *
 * Describe unites what the stores say of the data that counts, with the selector's labels; without
 * any store it is the full time range. */
struct store *store_proxy_create(const struct store_proxy_config *config);
