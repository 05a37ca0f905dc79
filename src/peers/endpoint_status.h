/* peers/endpoint_status.h: what /api/v1/stores tells of the endpoints of a query. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "model/labels.h"

struct endpoint_status {
    struct str address;
    struct str type;           /* "sidecar", "query", "rule", "store", "receive", else
                                  "unknown-store-api" */
    int64_t last_check_ms;     /* since 1970 */
    struct str last_error;     /* empty: the last check succeeded */
    struct labels *label_sets; /* without empty ones */
    size_t label_set_count;
    int64_t min_time, max_time; /* milliseconds */
};

struct endpoint_statuses { /* sorted by type, then address */
    struct endpoint_status *items;
    size_t count;
};

/* How the API asks for them; everything lives in the arena. */
typedef void (*endpoint_statuses_fn)(void *self, struct arena *arena,
                                     struct endpoint_statuses *out);
