/* store/proxy_input.h: the set of one store of a proxy: its failures become warnings or the end of
 * the query, its silences have a limit. */
#pragma once

#include "store/series_set.h"
#include "store/store.h"

struct context;
struct metric;

struct proxy_input_config {
    struct context *ctx; /* of the select; a reference is taken */
    enum partial_response partial;
    int64_t timeout_ms;           /* between two messages while somebody waits for one; 0: none */
    struct str store_text;        /* names the store in the text of a timeout; copied */
    struct metric *empty_streams; /* counts sets without any series; NULL is fine */
};

/* Takes inner. A failure ends this set; what came before it is kept. With PARTIAL_WARN it becomes a
 * warning of the context; with PARTIAL_ABORT it is the set's error, as ERROR_UNAVAILABLE. The end
 * of the context, a cancel and ERROR_LIMIT (the query's own budget) are errors in both cases. */
struct series_set *proxy_input_create(struct series_set *inner,
                                      const struct proxy_input_config *config);
