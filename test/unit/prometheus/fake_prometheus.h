/* test/unit/prometheus/fake_prometheus.h: an HTTP server that plays Prometheus: over a
 * memory_store, or with answers that no Prometheus would give. */
#pragma once

#include "base/buf.h"
#include "store/store.h"

struct fake_prometheus;

struct fake_request {
    struct str method, path, query;
    struct bytes body;
    struct arena *arena;
};

struct fake_reply { /* 200, "application/json" */
    int status;
    struct str type;
    struct buf body;
    bool endless;     /* the body again and again, until the peer goes away */
    bool hang;        /* nothing more after the body, and no end */
    int64_t delay_ms; /* between the first half of the body and the second */
};

typedef void (*fake_handler)(void *arg, const struct fake_request *request,
                             struct fake_reply *reply);

/* Each connection has a thread and one request. */
struct fake_prometheus *fake_prometheus_start(fake_handler handler, void *arg);
void fake_prometheus_stop(struct fake_prometheus *fake);
struct str fake_prometheus_url(const struct fake_prometheus *fake);
size_t fake_prometheus_requests(const struct fake_prometheus *fake);

/* A handler over a store of what Prometheus has; external labels are put on what remote read gives,
 * as Prometheus does. */
struct fake_data {
    struct store *store;
    struct labels external;
    bool samples;        /* answers remote read with samples */
    size_t frame_chunks; /* at most so many chunks of a series in a frame, 0: all */
    const char *version;
};
void fake_data_handle(void *data, const struct fake_request *request, struct fake_reply *reply);

/* Appends a frame: length, CRC32C, message. */
void fake_frame(struct buf *out, struct bytes message);
/* Appends a ChunkedSeries as field 1, as in a ChunkedReadResponse. */
void fake_chunked_series(struct buf *out, struct labels labels, const struct chunk *chunks,
                         size_t count);
