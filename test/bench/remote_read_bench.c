/* Selects from a running Prometheus by remote read and says what came and what it took:
 *
 *     remote_read_bench http://localhost:9090 '{__name__=~".+"}'-like name regex [rounds] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "chunk/samples.h"
#include "net/http_client.h"
#include "prometheus/client.h"
#include "prometheus/prometheus_store.h"
#include "prometheus/prometheus_watch.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/log.h"
#include "store/store_external_labels.h"

static double clock_ms(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void stop_at(struct error *err)
{
    if (!err)
        return;
    fprintf(stderr, "%.*s\n", STR_ARG(error_text(err)));
    exit(1);
}

struct totals {
    size_t series, chunks, samples, histograms, bytes;
};

static void add_series(const struct series *series, struct arena *scratch, struct totals *totals)
{
    struct sample_rules rules = {DEDUP_OFF, READ_RAW, INT64_MIN, INT64_MAX};
    struct samples samples;
    stop_at(labels_check(series->labels));
    stop_at(samples_read(&series->chunks, &rules, scratch, &samples));
    totals->series++;
    totals->chunks += series->chunks.count;
    totals->samples += samples.count;
    for (size_t i = 0; i < series->chunks.count; i++)
        totals->bytes += series->chunks.items[i].raw.bytes.len;
    for (size_t i = 0; samples.histograms && i < samples.count; i++)
        totals->histograms += samples.histograms[i] != NULL;
}

static void read_all(struct store *store, struct context *ctx, const struct store_query *query)
{
    struct arena *arena = arena_create(NULL), *scratch = arena_create(NULL);
    struct totals totals = {0};
    struct series_set *set;
    struct series_batch batch;
    double wall = clock_ms(CLOCK_MONOTONIC), cpu = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    stop_at(store_select(store, ctx, query, &set));
    do {
        stop_at(series_set_next(set, arena, 64, &batch));
        for (size_t i = 0; i < batch.count; i++)
            add_series(&batch.items[i], scratch, &totals);
        arena_reset(arena);
        arena_reset(scratch);
    } while (batch.count);
    series_set_free(set);
    printf("%zu series, %zu chunks, %zu samples (%zu histograms), %zu chunk bytes: %.1f ms, "
           "%.1f ms CPU\n",
           totals.series, totals.chunks, totals.samples, totals.histograms, totals.bytes,
           clock_ms(CLOCK_MONOTONIC) - wall, clock_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    arena_unref(arena);
    arena_unref(scratch);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: remote_read_bench URL NAME_REGEX [ROUNDS]\n");
        return 2;
    }
    struct event_loops *loops = event_loops_create(1);
    struct http_client *http = http_client_create(loops, STR("titan-bench"), 100);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct arena *arena = arena_create(NULL);
    struct log *log = log_create(2, LOG_INFO, LOG_LOGFMT, STR(""));
    struct prometheus_client *client;
    struct matcher matcher;
    stop_at(prometheus_client_create(http, str_from(argv[1]), &client));
    struct store *prometheus = prometheus_store_create(client, NULL);
    struct store *store = store_external_labels_create(prometheus);
    struct prometheus_watch *watch = prometheus_watch_create(&(struct prometheus_watch_config){
        .client = client,
        .prometheus = prometheus,
        .external_labels = store,
        .interval_ms = 1000,
        .timeout_ms = 5000,
        .log = log,
    });
    stop_at(prometheus_watch_start(watch, ctx));
    stop_at(matcher_create(arena, MATCH_REGEX, STR("__name__"), str_from(argv[2]), &matcher));
    struct store_query query = {.min_time = 0,
                                .max_time = INT64_MAX,
                                .matchers = &matcher,
                                .matcher_count = 1,
                                .aggrs = AGGR_BIT(AGGR_RAW)};
    for (int round = argc > 3 ? atoi(argv[3]) : 1; round > 0; round--)
        read_all(store, ctx, &query);
    query.skip_chunks = true;
    read_all(store, ctx, &query);
    prometheus_watch_free(watch);
    store_free(store);
    prometheus_client_free(client);
    http_client_free(http);
    context_unref(ctx);
    log_free(log);
    arena_unref(arena);
    event_loops_free(loops);
    return 0;
}
