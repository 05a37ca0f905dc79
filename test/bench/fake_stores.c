/* fake_stores COUNT SERIES: so many stores in one process, each at a port of its own, with external
 * labels cluster (two stores each) and replica, and SERIES series with ten samples of the last
 * minutes. Prints an address a line, then an empty one; ends with its standard input.
 * For test/bench/endpoints.py. */
#include "unit/rpc/rpc_server.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "runtime/time.h"

enum { SAMPLES = 10, STEP_MS = 15000 };

struct fake {
    struct store *store;
    struct store_service *stores;
    struct info_service *info;
    struct grpc_server *server;
};

static bool is_ready(void *self UNUSED)
{
    return true;
}

static struct store *fake_store(size_t number, size_t series, int64_t now_ms)
{
    struct arena *arena = arena_create(NULL);
    struct memory_store *store = memory_store_create();
    char cluster[32], replica[32];
    snprintf(cluster, sizeof(cluster), "c%03zu", number / 2);
    snprintf(replica, sizeof(replica), "r%zu", number % 2);
    int64_t times[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++)
        times[i] = now_ms - (int64_t)(SAMPLES - i) * STEP_MS;
    for (size_t i = 0; i < series; i++) {
        char instance[32];
        snprintf(instance, sizeof(instance), "host-%04zu", i);
        memory_store_add(store, times, SAMPLES, "__name__", "up", "cluster", cluster, "instance",
                         instance, "job", "node", "replica", replica, NULL);
    }
    memory_store_info(store)->min_time = now_ms - 3600 * 1000;
    memory_store_info(store)->max_time = INT64_MAX;
    memory_store_add_range(store, labels_of(arena, "cluster", cluster, "replica", replica, NULL));
    arena_unref(arena);
    return memory_store_base(store);
}

static void fake_start(struct fake *fake, struct event_loops *loops, struct pools *pools,
                       struct log *log, struct store *store)
{
    struct grpc_method methods[STORE_SERVICE_METHODS + 1];
    fake->store = store;
    fake->stores = store_service_create(&(struct store_service_config){.store = store,
                                                                       .series = pools->series,
                                                                       .metadata = pools->metadata},
                                        methods);
    fake->info = info_service_create(
        &(struct info_service_config){
            .type = STR("sidecar"), .store = store, .is_ready = is_ready, .quick = pools->quick},
        methods + STORE_SERVICE_METHODS);
    struct error *err = grpc_serve(loops,
                                   &(struct grpc_server_config){
                                       .address = STR("127.0.0.1:0"),
                                       .methods = methods,
                                       .method_count = STORE_SERVICE_METHODS + 1,
                                       .descriptor_set = rpc_descriptor_set(),
                                       .is_serving = is_ready,
                                       .quick = pools->quick,
                                       .log = log,
                                   },
                                   &fake->server);
    if (err)
        bug("%.*s", STR_ARG(error_text(err)));
    struct str address = grpc_server_address(fake->server);
    printf("%.*s\n", STR_ARG(address));
}

static void fake_stop(struct fake *fake)
{
    grpc_server_stop(fake->server, 1000);
    grpc_server_free(fake->server);
    store_service_free(fake->stores);
    info_service_free(fake->info);
    store_free(fake->store);
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? (size_t)atol(argv[1]) : 200;
    size_t series = argc > 2 ? (size_t)atol(argv[2]) : 50;
    struct event_loops *loops = event_loops_create(2);
    struct pools *pools = pools_create(8, 64);
    struct log *log = log_create(2, LOG_ERROR, LOG_LOGFMT, STR(""));
    struct fake *fakes = xcalloc(count, sizeof(*fakes));
    int64_t now_ms = time_now_ms();
    for (size_t i = 0; i < count; i++)
        fake_start(&fakes[i], loops, pools, log, fake_store(i, series, now_ms));
    printf("\n");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    for (size_t i = 0; i < count; i++)
        fake_stop(&fakes[i]);
    event_loops_free(loops);
    pools_free(pools);
    log_free(log);
    free(fakes);
    return 0;
}
