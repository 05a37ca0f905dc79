#include "rpc/store_service.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/vec.h"
#include "rpc/call_context.h"
#include "rpc/series_stream.h"
#include "rpc/series_wire.h"
#include "runtime/context.h"
#include "runtime/metrics.h"

enum { REQUEST_MAX = 4 << 20 };

struct store_service {
    struct store *store;
    struct metric *series_count, *chunk_count, *open_streams;
};

enum grpc_code store_service_proxy_code(enum error_kind kind)
{
    return kind == ERROR_UNAVAILABLE ? GRPC_ABORTED : grpc_code_of(kind);
}

static struct error *serve_series(void *self, struct grpc_call *call, struct bytes request)
{
    struct store_service *service = self;
    struct store_query query;
    struct error *err = series_request_decode(request, grpc_call_arena(call), &query);
    if (err)
        return err;
    struct context *ctx = call_context_create(call);
    struct series_set *set;
    err = store_select(service->store, ctx, &query, &set);
    if (!err) {
        struct series_stream_config config = {
            .ctx = ctx,
            .batch_size = query.hints.batch_size,
            .series_count = service->series_count,
            .chunk_count = service->chunk_count,
            .open_streams = service->open_streams,
        };
        series_stream_attach(call, set, &config);
    }
    context_unref(ctx);
    return err;
}

/* -- label calls -- */

typedef VEC(struct str) text_vec;

static void add_text(void *arg, struct str text)
{
    text_vec *texts = arg;
    (void)vec_push(texts, text);
}

/* The answer with the warnings of the context, which is let go. Takes err. */
static struct error *respond_labels(struct grpc_call *call, struct context *ctx,
                                    struct str_list list, struct error *err)
{
    text_vec warnings = VEC_INIT(NULL);
    context_each_warning(ctx, add_text, &warnings);
    if (!err) {
        struct label_response response = {list, {warnings.items, warnings.len}};
        label_response_encode(grpc_call_response(call), &response);
        err = buf_status(grpc_call_response(call));
    }
    vec_deinit(&warnings);
    context_unref(ctx);
    return err;
}

static struct error *serve_label_names(void *self, struct grpc_call *call, struct bytes request)
{
    struct store_service *service = self;
    struct arena *arena = grpc_call_arena(call);
    struct store_query query;
    struct str_list names = {0};
    struct error *err = label_names_request_decode(request, arena, &query);
    if (err)
        return err;
    struct context *ctx = call_context_create(call);
    err = store_label_names(service->store, ctx, &query, arena, &names);
    return respond_labels(call, ctx, names, err);
}

static struct error *serve_label_values(void *self, struct grpc_call *call, struct bytes request)
{
    struct store_service *service = self;
    struct arena *arena = grpc_call_arena(call);
    struct store_query query;
    struct str name;
    struct str_list values = {0};
    struct error *err = label_values_request_decode(request, arena, &name, &query);
    if (err)
        return err;
    struct context *ctx = call_context_create(call);
    err = store_label_values(service->store, ctx, name, &query, arena, &values);
    return respond_labels(call, ctx, values, err);
}

/* -- the service -- */

static void service_metrics_init(struct store_service *service, struct metrics *metrics)
{
    static const double series_bounds[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    static const double chunk_bounds[] = {1, 100, 1000, 10000, 100000, 1e7, 1e8, 1e9};
    service->series_count = metrics_histogram(metrics, "thanos_store_server_series_requested",
                                              "Number of requested series for Series calls",
                                              series_bounds, countof(series_bounds));
    service->chunk_count = metrics_histogram(metrics, "thanos_store_server_chunks_requested",
                                             "Number of requested chunks for Series calls",
                                             chunk_bounds, countof(chunk_bounds));
    service->open_streams = metrics_gauge(metrics, "thanos_store_server_pending_series_requests",
                                          "Number of pending series requests");
}

struct store_service *store_service_create(const struct store_service_config *config,
                                           struct grpc_method *out)
{
    struct store_service *service = xcalloc(1, sizeof(*service));
    service->store = config->store;
    if (config->metrics)
        service_metrics_init(service, config->metrics);
    const struct {
        const char *path;
        enum grpc_kind kind;
        grpc_handler handler;
        struct pool *pool;
    } methods[STORE_SERVICE_METHODS] = {
        {"/thanos.Store/Series", GRPC_SERVER_STREAM, serve_series, config->series},
        {"/thanos.Store/LabelNames", GRPC_UNARY, serve_label_names, config->metadata},
        {"/thanos.Store/LabelValues", GRPC_UNARY, serve_label_values, config->metadata},
    };
    for (size_t i = 0; i < STORE_SERVICE_METHODS; i++)
        out[i] = (struct grpc_method){
            .path = methods[i].path,
            .kind = methods[i].kind,
            .handler = methods[i].handler,
            .self = service,
            .pool = methods[i].pool,
            .request_max = REQUEST_MAX,
            .code_of = config->code_of,
        };
    return service;
}

void store_service_free(struct store_service *service)
{
    free(service);
}
