/* prometheus/prometheus_store.h: one Prometheus as a store. */
#pragma once

#include "store/store.h"

struct metrics;
struct prometheus_client;

/* What is known of a Prometheus; found out by prometheus_watch.h. */
struct prometheus_facts {
    struct str version;
    /* Labels that it adds to all series it sends by remote read. */
    struct labels external;
    /* Whether it may have series with labels of these names of their own. When not, selects of such
     * series are answered without asking. */
    bool external_overlap;
    int64_t min_time; /* of the data; selects are not asked for more */
};

/* Series have the labels that Prometheus stores, in its order; pairs that are those of its external
 * labels are left out, so that store_external_labels can put them on again. Where series may have
 * such labels themselves, these series are selected separately and sorted in full.
 *
 * Select by remote read; without chunks by /api/v1/series, sorted here. Label names and values by
 * their own calls, with matchers from Prometheus 2.24 on, before by /api/v1/series. describe():
 * no label sets, from facts.min_time without end.
 *
 * The client must outlive the store; metrics may be NULL. */
struct store *prometheus_store_create(struct prometheus_client *client, struct metrics *metrics);

/* Thread-safe. Copies. Until the first call: version "0", no labels, all times. */
void prometheus_store_set(struct store *store, const struct prometheus_facts *facts);
