/* prometheus/prometheus_watch.h: finds out about a Prometheus at start and keeps it up to date: its
 * version, its external labels, its oldest sample, whether it is there. */
#pragma once

#include "base/error.h"
#include "store/store.h"

struct context;
struct log;
struct metrics;
struct prometheus_client;
struct prometheus_watch;

struct prometheus_watch_config {
    struct prometheus_client *client;
    struct store *prometheus;        /* a prometheus_store: gets the facts */
    struct store *external_labels;   /* a store_external_labels over it: gets the labels */
    int64_t interval_ms, timeout_ms; /* --prometheus.get_config_interval and _timeout */
    /* The bound of --min-time now, in milliseconds; NULL: none. */
    int64_t (*min_time)(void *arg);
    void *min_time_arg;
    /* When blocks are shipped: its flags must suit (S2). */
    bool check_flags;
    bool ignore_unequal_blocks; /* --shipper.ignore-unequal-block-size */
    struct str meta_file;       /* --shipper.meta-file-name */
    struct log *log;
    struct metrics *metrics;
};

/* What config points to must outlive it. */
struct prometheus_watch *prometheus_watch_create(const struct prometheus_watch_config *config);
void prometheus_watch_free(struct prometheus_watch *watch);

/* Waits until everything is known, trying each step every interval for as long as ctx goes on.
 * ERROR_INVALID "no external labels configured ..." when there are none: then the sidecar must not
 * run. */
MUST_CHECK struct error *prometheus_watch_start(struct prometheus_watch *watch,
                                                struct context *ctx);
/* One heartbeat: refreshes times and labels and sets thanos_sidecar_prometheus_up. The error, also
 * logged, is for the probe: not ready until the next one succeeds. */
MUST_CHECK struct error *prometheus_watch_once(struct prometheus_watch *watch, struct context *ctx);
/* Heartbeats every interval until ctx ends; tells each outcome (NULL: well), which report() must
 * not keep. */
void prometheus_watch_run(struct prometheus_watch *watch, struct context *ctx,
                          void (*report)(void *arg, const struct error *err), void *arg);
