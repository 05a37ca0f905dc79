/* query/endpoint_set.h: the endpoints a query asks: those that discovery gives at the moment. They
 * are checked by Info every few seconds, all at once; those whose last check succeeded, and strict
 * ones in any case, make up the stores of the proxy. */
#pragma once

#include "base/error.h"
#include "peers/endpoint_status.h"
#include "query/endpoint_spec.h"
#include "store/store_list.h"

struct context;
struct event_loops;
struct log;
struct metrics;
struct relabel_rules;
struct tls_client;

/* Labels of thanos_store_nodes_grpc_connections (--query.conn-metric.label). */
enum endpoint_metric_label {
    ENDPOINT_METRIC_EXTERNAL_LABELS = 1,
    ENDPOINT_METRIC_STORE_TYPE = 2,
    ENDPOINT_METRIC_IP_PORT = 4,
};

struct endpoint_set_config {
    struct event_loops *loops;
    endpoint_specs_fn specs; /* asked for at the beginning of each round */
    void *specs_self;
    int64_t check_interval_ms; /* --endpoint.info-timeout is both: 5 s */
    int64_t check_timeout_ms;
    int64_t unhealthy_timeout_ms;        /* --store.unhealthy-timeout */
    const struct relabel_rules *relabel; /* --selector.relabel-config: statuses leave out what it
                                            drops; must outlive the set; NULL is fine */
    unsigned metric_labels;              /* enum endpoint_metric_label, or-ed */
    struct log *log;
    struct metrics *metrics;
};

struct endpoint_set;

struct endpoint_set *endpoint_set_create(const struct endpoint_set_config *config);
/* Starts the checks, on a thread of their own. */
MUST_CHECK struct error *endpoint_set_start(struct endpoint_set *set);
/* Begins the next round now, or when the running one is over. Any thread. */
void endpoint_set_refresh(void *set);
/* Waits until all endpoints there are have been checked once, as long as ctx allows. */
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
