/* query/endpoint_set.h: the endpoints a query asks: they are checked by Info every few seconds, all
 * at once; those whose last check succeeded make up the stores of the proxy. */
#pragma once

#include "base/error.h"
#include "peers/endpoint_status.h"
#include "store/store_list.h"

struct context;
struct event_loops;
struct log;
struct metrics;
struct tls_client;

/* Labels of thanos_store_nodes_grpc_connections (--query.conn-metric.label). */
enum endpoint_metric_label {
    ENDPOINT_METRIC_EXTERNAL_LABELS = 1,
    ENDPOINT_METRIC_STORE_TYPE = 2,
    ENDPOINT_METRIC_IP_PORT = 4,
};

struct endpoint_set_config {
    struct event_loops *loops;
    const struct str *addresses; /* host:port; the same one twice counts once */
    size_t address_count;
    int64_t check_interval_ms; /* --endpoint.info-timeout is both: 5 s */
    int64_t check_timeout_ms;
    int64_t unhealthy_timeout_ms; /* --store.unhealthy-timeout */
    bool compress;                /* --grpc-compression=snappy */
    struct tls_client *tls;       /* referred to; NULL: in the clear */
    unsigned metric_labels;       /* enum endpoint_metric_label, or-ed */
    struct log *log;
    struct metrics *metrics;
};

struct endpoint_set;

/* ERROR_INVALID for an address that is none, or needs discovery (dns+..., which is not there yet).
 */
MUST_CHECK struct error *endpoint_set_create(const struct endpoint_set_config *config,
                                             struct endpoint_set **out);
/* Starts the checks, on a thread of their own. */
MUST_CHECK struct error *endpoint_set_start(struct endpoint_set *set);
/* Waits until each endpoint has been checked once, as long as ctx allows. */
MUST_CHECK struct error *endpoint_set_wait_checked(struct endpoint_set *set, struct context *ctx);
/* Ends the checks and waits for that. */
void endpoint_set_stop(struct endpoint_set *set);
/* After stop, and after the queries. NULL is fine. */
void endpoint_set_free(struct endpoint_set *set);

/* The stores that can be queried now; a reference for the caller. For store_proxy_config. */
struct store_list *endpoint_set_stores(void *set);
/* The stores of all healthy endpoints, also those without a Store API (grpc_store.h); a reference
 * for the caller. */
struct store_list *endpoint_set_peers(struct endpoint_set *set);
/* An endpoint_statuses_fn. */
void endpoint_set_statuses(void *set, struct arena *arena, struct endpoint_statuses *out);
