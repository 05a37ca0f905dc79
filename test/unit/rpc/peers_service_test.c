#include "rpc/peers_service.h"

#include <stdatomic.h>

#include "codec/pb.h"
#include "rpc/grpc_peer.h"
#include "unit/rpc/rpc_server.h"

/* A service over loopback whose answers say what was asked, and a peer that asks it. */
struct fixture {
    struct event_loops *loops;
    struct pools *pools;
    struct log *log;
    struct peers_service *service;
    struct grpc_server *server;
    struct grpc_channel *channel;
    struct grpc_peer peer;
    atomic_uint running;
    struct context *ctx;
    struct arena *arena;
    bool fails;
};

enum { MANY = 1000 };

static struct error *answer(void *self, struct context *ctx, const struct peers_question *question,
                            struct arena *arena, struct peers_answer *out)
{
    struct fixture *f = self;
    if (f->fails)
        return error_create(ERROR_UNAVAILABLE, "the Prometheus is dead");
    context_warn(ctx, arena_printf(arena, "tenant %.*s", STR_ARG(context_tenant(ctx))));
    switch (question->topic) {
    case PEERS_RULES:
        for (int i = 0; i < MANY; i++)
            records_add(&out->rules, arena)->name = question->rules.groups.items[0];
        break;
    case PEERS_TARGETS:
        records_add(&records_add(&out->targets, arena)->active, arena)->health =
            question->targets.state;
        break;
    case PEERS_METADATA:
        records_add(&records_add(&out->metadata, arena)->entries, arena)->name =
            question->metadata.metric;
        break;
    case PEERS_EXEMPLARS:
        records_add(&records_add(&out->exemplars, arena)->exemplars, arena)->time_ms =
            question->exemplars.start_ms;
        break;
    case PEERS_TSDB_STATUS:
        records_add(&records_add(&out->tsdb, arena)->tenants, arena)->tenant =
            question->tsdb.matchers.items[0].name;
        break;
    case PEERS_TOPICS:
        break;
    }
    return NULL;
}

static void fixture_init(struct fixture *f)
{
    struct grpc_method methods[PEERS_SERVICE_METHODS];
    *f = (struct fixture){.loops = event_loops_create(2),
                          .pools = pools_create(4, 64),
                          .log = log_create(2, LOG_ERROR, LOG_LOGFMT, STR("")),
                          .ctx = context_create(NULL, 10000),
                          .arena = arena_create(NULL)};
    context_collect_warnings(f->ctx);
    f->service = peers_service_create(answer, f, f->pools->metadata, methods);
    CHECK_OK(grpc_serve(f->loops,
                        &(struct grpc_server_config){.address = STR("127.0.0.1:0"),
                                                     .methods = methods,
                                                     .method_count = PEERS_SERVICE_METHODS,
                                                     .descriptor_set = rpc_descriptor_set(),
                                                     .quick = f->pools->quick,
                                                     .log = f->log},
                        &f->server));
    f->channel = grpc_channel_create(f->loops, grpc_server_address(f->server));
    f->peer = (struct grpc_peer){f->channel, STR("the-peer:1"), &f->running, 2};
}

static void fixture_deinit(struct fixture *f)
{
    grpc_channel_free(f->channel);
    grpc_server_stop(f->server, 5000);
    grpc_server_free(f->server);
    peers_service_free(f->service);
    event_loops_free(f->loops);
    pools_free(f->pools);
    log_free(f->log);
    context_unref(f->ctx);
    arena_unref(f->arena);
}

static struct error *ask(struct fixture *f, const struct peers_question *question,
                         struct peers_answer *out)
{
    *out = (struct peers_answer){0};
    struct peers_call *call = grpc_peer_ask(&f->peer, f->ctx, question);
    return peers_join(f->ctx, question, &call, 1, f->arena, out);
}

static void note_warning(void *arg, struct str text)
{
    buf_append_str(arg, text);
}

TEST(every_topic_is_asked_and_answered)
{
    struct fixture f;
    struct peers_answer out;
    struct buf warnings = {0};
    fixture_init(&f);
    struct peers_question question = {.topic = PEERS_RULES};
    *records_add(&question.rules.groups, f.arena) = STR("some group");
    CHECK_OK(ask(&f, &question, &out));
    CHECK_EQ(out.rules.count, MANY);
    CHECK_STR(out.rules.items[MANY - 1].name, "some group");
    question = (struct peers_question){.topic = PEERS_TARGETS, .targets = {TARGETS_DROPPED}};
    CHECK_OK(ask(&f, &question, &out));
    CHECK_EQ(out.targets.items[0].active.items[0].health, TARGETS_DROPPED);
    question = (struct peers_question){.topic = PEERS_METADATA, .metadata = {STR_INIT("up"), -1}};
    CHECK_OK(ask(&f, &question, &out));
    CHECK_STR(out.metadata.items[0].entries.items[0].name, "up");
    question = (struct peers_question){.topic = PEERS_EXEMPLARS,
                                       .exemplars = {STR_INIT("up"), INT64_MIN, 0}};
    CHECK_OK(ask(&f, &question, &out));
    CHECK_EQ(out.exemplars.items[0].exemplars.items[0].time_ms, INT64_MIN);
    question = (struct peers_question){.topic = PEERS_TSDB_STATUS};
    *records_add(&question.tsdb.matchers, f.arena) =
        (struct tsdb_matcher){MATCH_REGEX, STR("tenant"), STR("a|b")};
    CHECK_OK(ask(&f, &question, &out));
    CHECK_STR(out.tsdb.items[0].tenants.items[0].tenant, "tenant");
    context_each_warning(f.ctx, note_warning, &warnings);
    CHECK_STR(buf_str(&warnings), "tenant default-tenant");
    buf_deinit(&warnings);
    fixture_deinit(&f);
}

TEST(a_failure_names_the_peer)
{
    struct fixture f;
    struct peers_answer out;
    struct buf warnings = {0};
    fixture_init(&f);
    f.fails = true;
    struct peers_question question = {.topic = PEERS_METADATA, .partial = PEERS_ABORT};
    CHECK_ERROR_TEXT(ask(&f, &question, &out), ERROR_UNAVAILABLE,
                     "receiving metadata from metadata client the-peer:1: rpc error: code = "
                     "Unavailable desc = the Prometheus is dead");
    question.partial = PEERS_WARN;
    CHECK_OK(ask(&f, &question, &out));
    context_each_warning(f.ctx, note_warning, &warnings);
    CHECK(str_contains(buf_str(&warnings), STR("the Prometheus is dead")));
    buf_deinit(&warnings);
    fixture_deinit(&f);
}

TEST(calls_to_one_peer_are_bounded)
{
    struct fixture f;
    struct peers_answer out = {0};
    fixture_init(&f);
    const struct peers_question question = {.topic = PEERS_METADATA, .partial = PEERS_ABORT};
    struct peers_call *first = grpc_peer_ask(&f.peer, f.ctx, &question);
    struct peers_call *second = grpc_peer_ask(&f.peer, f.ctx, &question);
    CHECK_ERROR_TEXT(ask(&f, &question, &out), ERROR_BUSY, "2 calls are under way already");
    first->ops->free(first); /* before its end */
    CHECK_OK(second->ops->finish(second, f.arena, &out));
    second->ops->free(second);
    CHECK_OK(ask(&f, &question, &out));
    fixture_deinit(&f);
}

TEST(a_question_that_is_malformed_is_refused)
{
    struct fixture f;
    struct buf response = {0};
    fixture_init(&f);
    CHECK_ERROR(grpc_unary(f.channel, f.ctx, peers_topics[PEERS_RULES].path,
                           str_bytes(STR("\x1a\x05x")), NULL, 0, 1000, &response),
                ERROR_INVALID);
    buf_deinit(&response);
    fixture_deinit(&f);
}

TEST(reflection_knows_every_service)
{
    static const char *const symbols[] = {
        "thanos.Store",    "thanos.info.Info",          "thanos.Rules",  "thanos.Targets",
        "thanos.Metadata", "thanos.Exemplars",          "thanos.Status", "thanos.RulesResponse",
        "thanos.Query",    "prometheus_copy.TimeSeries"};
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < countof(symbols); i++) {
        struct buf request = {0}, response = {0};
        struct pb_reader reader;
        bool is_file = false;
        pb_put_str(&request, 4, str_from(symbols[i])); /* file_containing_symbol */
        CHECK_OK(grpc_unary(f.channel, f.ctx,
                            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                            buf_bytes(&request), NULL, 0, 1 << 20, &response));
        for (reader = pb_read(buf_bytes(&response)); pb_next(&reader); pb_skip(&reader))
            is_file |= reader.field == 4; /* file_descriptor_response */
        CHECK(is_file);
        buf_deinit(&request);
        buf_deinit(&response);
    }
    fixture_deinit(&f);
}

TEST_MAIN(TEST_ENTRY(every_topic_is_asked_and_answered), TEST_ENTRY(a_failure_names_the_peer),
          TEST_ENTRY(calls_to_one_peer_are_bounded),
          TEST_ENTRY(a_question_that_is_malformed_is_refused),
          TEST_ENTRY(reflection_knows_every_service))
