/* net/http_metrics.h: the http_* families that Thanos's middleware has: requests, durations, sizes,
 * those in flight, by code, handler, method and, where asked for, tenant. Private to net/. */
#pragma once

#include "base/str.h"

struct http_exchange;
struct http_metrics;
struct metrics;

/* Lives as long as the registry, as must the texts. tenant_header empty: no label tenant. NULL
 * registry gives NULL. */
const struct http_metrics *http_metrics_register(struct metrics *registry, struct str tenant_header,
                                                 struct str default_tenant);
/* For routes that have a name; others are not measured. */
void http_metrics_begin(const struct http_exchange *exchange);
void http_metrics_end(const struct http_exchange *exchange);
