/* prometheus/reload_trigger.h: tells a Prometheus to read its configuration again, and waits until
 * it has. */
#pragma once

#include "base/error.h"
#include "base/str.h"

struct context;
struct prometheus_client;

/* POST /-/reload. */
MUST_CHECK struct error *reload_by_http(struct prometheus_client *client, struct context *ctx);
/* SIGHUP to the first process whose executable has that name; then its runtime information is asked
 * for until it tells the outcome. */
MUST_CHECK struct error *reload_by_signal(struct prometheus_client *client, struct str executable,
                                          struct context *ctx);
