/* What the tests of this folder start with: event loops, a client, a context. */
#pragma once

#include "fake_prometheus.h"
#include "net/http_client.h"
#include "prometheus/client.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "support/memory_store.h"
#include "support/test.h"

struct bench {
    struct event_loops *loops;
    struct http_client *http;
    struct fake_prometheus *fake;
    struct prometheus_client *client;
    struct context *ctx;
    struct arena *arena;
};

static inline struct bench bench_open(fake_handler handler, void *arg)
{
    struct bench bench = {.loops = event_loops_create(1), .arena = arena_create(NULL)};
    bench.http = http_client_create(bench.loops, STR("Thanos/0.0.0"), 100);
    bench.fake = fake_prometheus_start(handler, arg);
    bench.ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_collect_warnings(bench.ctx);
    CHECK_OK(prometheus_client_create(bench.http, fake_prometheus_url(bench.fake), &bench.client));
    return bench;
}

static inline void bench_close(struct bench *bench)
{
    prometheus_client_free(bench->client);
    context_unref(bench->ctx);
    fake_prometheus_stop(bench->fake);
    http_client_free(bench->http);
    event_loops_free(bench->loops);
    arena_unref(bench->arena);
}
