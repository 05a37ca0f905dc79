#include "api/query_service.h"

#include <stdlib.h>

#include "api/query_params.h"
#include "base/memory.h"
#include "net/grpc_client.h"
#include "rpc/call_context.h"
#include "rpc/query_wire.h"
#include "runtime/context.h"
#include "runtime/time.h"

enum { REQUEST_MAX = 4 << 20, FRAME_BYTES = 1 << 20, MS = 1000, STEPS_MAX = 11000 };

struct query_service {
    struct query_api_config config;
};

/* -- the request -- */

static struct error *seconds_to_ms(int64_t seconds, const char *what, int64_t *ms)
{
    if (seconds > INT64_MAX / MS / 2 || seconds < INT64_MIN / MS / 2)
        return error_create(ERROR_INVALID, "%s out of range", what);
    *ms = seconds * MS;
    return NULL;
}

static struct error *read_times(const struct query_request *request, struct engine_query *query)
{
    struct error *err;
    if (query->instant) {
        err = seconds_to_ms(request->time_s, "time", &query->start_ms);
        if (request->time_s == 0)
            query->start_ms = time_now_ms();
        query->end_ms = query->start_ms;
        return err;
    }
    err = seconds_to_ms(request->start_s, "start", &query->start_ms);
    if (!err)
        err = seconds_to_ms(request->end_s, "end", &query->end_ms);
    if (!err)
        err = seconds_to_ms(request->step_s, "interval", &query->step_ms);
    if (!err && (query->step_ms <= 0 || query->end_ms < query->start_ms ||
                 (query->end_ms - query->start_ms) / query->step_ms > STEPS_MAX))
        err = error_create(ERROR_INVALID, "no range of at most %d steps", STEPS_MAX);
    return err;
}

static struct error *read_resolution(const struct query_api_config *config,
                                     const struct query_request *request,
                                     struct engine_query *query)
{
    struct error *err =
        seconds_to_ms(request->max_resolution_s, "max resolution", &query->max_resolution_ms);
    if (!err && request->max_resolution_s == 0)
        query->max_resolution_ms = config->instant_resolution_ms;
    if (!err)
        err = seconds_to_ms(request->lookback_s, "lookback delta", &query->lookback_ms);
    if (!err && request->lookback_s <= 0)
        query->lookback_ms = query_params_lookback(config, query->max_resolution_ms);
    return err;
}

static struct error *read_store_matches(const struct query_request *request, struct arena *arena,
                                        struct engine_query *query)
{
    size_t count = request->store_matches.count;
    struct store_match *matches = arena_array(arena, count, sizeof(*matches));
    for (size_t i = 0; i < count; i++) {
        const struct query_store_match *from = &request->store_matches.items[i];
        struct matcher *matchers = arena_array(arena, from->matchers.count, sizeof(*matchers));
        matches[i] = (struct store_match){matchers, from->matchers.count};
        for (size_t j = 0; j < from->matchers.count; j++) {
            const struct query_matcher *matcher = &from->matchers.items[j];
            if (matcher->op < MATCH_EQUAL || matcher->op > MATCH_NOT_REGEX)
                return error_create(ERROR_INVALID, "unknown type of a matcher: %d", matcher->op);
            struct error *err = matcher_create(arena, (enum match_op)matcher->op, matcher->name,
                                               matcher->value, &matchers[j]);
            if (err)
                return err;
        }
    }
    query->store_matches = matches;
    query->store_match_count = count;
    return NULL;
}

static struct error *read_shard(const struct query_request *request, struct engine_query *query)
{
    const struct query_shard *shard = &request->shard;
    if (shard->total < 1)
        return NULL;
    if (shard->index < 0 || shard->index >= shard->total)
        return error_create(ERROR_INVALID, "no shard %lld of %lld", (long long)shard->index,
                            (long long)shard->total);
    query->shard = (struct shard){(uint64_t)shard->index,
                                  (uint64_t)shard->total,
                                  shard->by,
                                  {shard->labels.items, shard->labels.count}};
    str_list_sort(&query->shard.labels);
    return NULL;
}

static void read_dedup(const struct query_api_config *config, const struct query_request *request,
                       struct engine_query *query)
{
    if (request->dedup && request->replica_labels.count == 0) {
        query->replica_labels = config->replica_labels;
    } else if (request->dedup) {
        query->replica_labels =
            (struct str_list){request->replica_labels.items, request->replica_labels.count};
        str_list_sort(&query->replica_labels);
    }
    query->dedup = query->replica_labels.count ? config->dedup : DEDUP_OFF;
}

static struct error *read_request(const struct query_api_config *config,
                                  const struct query_request *request, bool is_instant,
                                  struct arena *arena, struct engine_query *query)
{
    *query = (struct engine_query){
        .text = request->text,
        .instant = is_instant,
        .partial = request->partial_response ? PARTIAL_WARN : PARTIAL_ABORT,
    };
    read_dedup(config, request, query);
    struct error *err = read_times(request, query);
    if (!err)
        err = read_resolution(config, request, query);
    if (!err)
        err = read_store_matches(request, arena, query);
    if (!err)
        err = read_shard(request, query);
    if (!err && (request->engine < QUERY_ENGINE_DEFAULT || request->engine > QUERY_ENGINE_THANOS))
        err = error_create(ERROR_INVALID, "invalid engine parameter");
    return err;
}

/* -- the answer -- */

enum answer_part { PART_WARNINGS, PART_SERIES, PART_STATS, PART_END };

struct answer_stream { /* lives in the call's arena, as does the result */
    enum answer_part part;
    struct str warnings;
    struct engine_result result;
    size_t at, batch_size;
    struct budget *budget;
};

static void encode_series(struct answer_stream *stream, struct buf *out)
{
    bool is_batch = stream->batch_size > 1;
    size_t mark = is_batch ? query_batch_begin(out) : 0;
    size_t left = is_batch ? stream->batch_size : 1;
    for (; left > 0 && stream->at < stream->result.series_count && out->len < FRAME_BYTES; left--) {
        const struct result_series *row = &stream->result.series[stream->at++];
        const struct query_series series = {row->labels, row->times, row->values, row->histograms,
                                            row->count};
        query_series_encode(out, &series, is_batch);
    }
    if (is_batch)
        query_batch_end(out, mark);
}

/* The next frame; empty when the part has none left. */
static void encode_frame(struct answer_stream *stream, struct buf *out)
{
    switch (stream->part) {
    case PART_WARNINGS:
        stream->part = PART_SERIES;
        if (stream->warnings.len)
            query_warning_encode(out, stream->warnings);
        break;
    case PART_SERIES:
        if (stream->at < stream->result.series_count)
            encode_series(stream, out);
        else
            stream->part = PART_STATS;
        break;
    case PART_STATS:
        stream->part = PART_END;
        query_stats_encode(out, stream->result.stats.samples_total,
                           stream->result.stats.samples_peak);
        break;
    case PART_END:
        break;
    }
}

static enum grpc_step answer_step(void *state, struct grpc_call *call, struct error **err)
{
    struct answer_stream *stream = state;
    struct buf frame = BUF_INIT(stream->budget);
    while (frame.len == 0 && stream->part != PART_END)
        encode_frame(stream, &frame);
    *err = buf_status(&frame);
    if (!*err && frame.len)
        grpc_call_send(call, buf_bytes(&frame));
    buf_deinit(&frame);
    return *err || stream->part == PART_END ? GRPC_STEP_END : GRPC_STEP_MORE;
}

static void answer_free(void *state UNUSED)
{
}

static const struct grpc_stream_ops answer_ops = {.step = answer_step, .free = answer_free};

static void join_text(void *arg, struct str text)
{
    struct buf *joined = arg;
    if (joined->len)
        buf_append_cstr(joined, ", ");
    buf_append_str(joined, text);
}

/* What the stores and the engine have to say, as one text. */
static struct str join_warnings(struct context *ctx, const struct engine_result *result,
                                struct arena *arena)
{
    struct buf joined = BUF_INIT(arena_budget(arena));
    context_each_warning(ctx, join_text, &joined);
    for (size_t i = 0; i < result->warnings.count; i++)
        join_text(&joined, result->warnings.items[i]);
    for (size_t i = 0; i < result->infos.count; i++)
        join_text(&joined, result->infos.items[i]);
    struct str text = arena_str(arena, buf_str(&joined));
    buf_deinit(&joined);
    return text;
}

/* -- serving -- */

/* Takes err: a failed query is a failed call, or a warning instead of all else. */
static struct error *fail(struct grpc_call *call, struct answer_stream *stream,
                          const struct engine_query *query, struct error *err)
{
    if (query->instant && query->partial == PARTIAL_WARN && error_kind(err) != ERROR_INVALID) {
        stream->warnings = arena_str(grpc_call_arena(call), error_text(err));
        error_free(err);
        stream->result = (struct engine_result){0};
        return NULL;
    }
    grpc_call_set_code(call, error_kind(err) == ERROR_INVALID ? GRPC_UNKNOWN : GRPC_ABORTED);
    return err;
}

static struct error *evaluate(const struct query_api_config *config, struct grpc_call *call,
                              const struct query_request *request, const struct engine_query *query)
{
    struct arena *arena = grpc_call_arena(call);
    struct answer_stream *stream = arena_zalloc(arena, sizeof(*stream));
    struct context *collector = call_context_create(call);
    struct context *ctx =
        context_create(collector, request->timeout_s > 0 && request->timeout_s < INT32_MAX
                                      ? request->timeout_s * MS
                                      : (int64_t)CONTEXT_NO_DEADLINE);
    struct stall_group *streams = stall_group_create(context_budget(ctx));
    context_set_stall_group(ctx, streams);
    *stream = (struct answer_stream){
        .batch_size = request->batch_size > 1 ? (size_t)request->batch_size : 1,
        .budget = arena_budget(arena),
    };
    struct error *err =
        engine_exec(config->engine, config->store, ctx, query, arena, &stream->result);
    if (err)
        err = fail(call, stream, query, err);
    else
        stream->warnings = join_warnings(collector, &stream->result, arena);
    if (!err)
        grpc_call_attach(call, &answer_ops, stream);
    stall_group_free(streams);
    context_cancel(ctx);
    context_unref(ctx);
    context_unref(collector);
    return err;
}

static struct error *serve(const struct query_service *service, struct grpc_call *call,
                           struct bytes message, bool is_instant)
{
    struct arena *arena = grpc_call_arena(call);
    struct query_request request;
    struct engine_query query;
    struct error *err = record_decode(
        message, arena, is_instant ? &query_instant_type : &query_range_type, &request);
    if (!err)
        err = read_request(&service->config, &request, is_instant, arena, &query);
    if (!err)
        err = arena_status(arena);
    if (err)
        return error_kind(err) == ERROR_CORRUPT ? error_as(err, ERROR_INVALID) : err;
    return evaluate(&service->config, call, &request, &query);
}

static struct error *serve_query(void *self, struct grpc_call *call, struct bytes request)
{
    return serve(self, call, request, true);
}

static struct error *serve_query_range(void *self, struct grpc_call *call, struct bytes request)
{
    return serve(self, call, request, false);
}

struct query_service *query_service_create(const struct query_api_config *config,
                                           struct grpc_method *out)
{
    struct query_service *service = xcalloc(1, sizeof(*service));
    service->config = *config;
    const struct grpc_method method = {
        .kind = GRPC_SERVER_STREAM,
        .self = service,
        .pool = config->queries,
        .request_max = REQUEST_MAX,
    };
    out[0] = out[1] = method;
    out[0].path = "/thanos.Query/Query";
    out[0].handler = serve_query;
    out[1].path = "/thanos.Query/QueryRange";
    out[1].handler = serve_query_range;
    return service;
}

void query_service_free(struct query_service *service)
{
    free(service);
}
