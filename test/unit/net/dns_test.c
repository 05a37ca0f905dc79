#include "support/test.h"

#include "net/dns.h"
#include "net/dns_provider.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/time.h"
#include "unit/net/fake_dns.h"
#include "unit/net/loop_call.h"

static const struct fake_record records[] = {
    {"both.test", DNS_TYPE_A, "10.0.0.1"},
    {"both.test", DNS_TYPE_A, "10.0.0.2"},
    {"both.test", DNS_TYPE_AAAA, "fd00::1"},
    {"four.test", DNS_TYPE_A, "10.0.0.4"},
    {"alias.test", DNS_TYPE_CNAME, "four.test"},
    {"ring.test", DNS_TYPE_CNAME, "ring.test"},
    {"empty.test", DNS_TYPE_SRV, "1 nowhere.test"},
    {"_grpc._tcp.test", DNS_TYPE_SRV, "10901 four.test"},
    {"_grpc._tcp.test", DNS_TYPE_SRV, "10902 both.test"},
    {"_grpc._tcp.test", DNS_TYPE_SRV, "10903 gone.test"},
    {"_alias._tcp.test", DNS_TYPE_CNAME, "_grpc._tcp.test"},
    {"_broken._tcp.test", DNS_TYPE_SRV, "1 broken.test"},
};

struct fixture {
    struct fake_dns server;
    struct event_loops *loops;
    struct context *ctx;
    struct arena *arena;
    struct log *log;
    struct metrics *metrics;
};

static void fixture_init(struct fixture *f)
{
    fake_dns_start(&f->server);
    fake_dns_set(&f->server, records, countof(records), FAKE_ANSWER);
    fake_dns_fail(&f->server, "broken.test");
    f->loops = event_loops_create(1);
    f->ctx = context_create(NULL, 30000);
    f->arena = arena_create(NULL);
    f->log = log_create(2, LOG_ERROR, LOG_LOGFMT, STR(""));
    f->metrics = metrics_create();
}

static void fixture_deinit(struct fixture *f)
{
    arena_unref(f->arena);
    context_unref(f->ctx);
    event_loops_free(f->loops);
    fake_dns_stop(&f->server);
    metrics_free(f->metrics);
    log_free(f->log);
}

static struct dns_provider *fixture_provider(struct fixture *f, enum dns_resolver resolver)
{
    return dns_provider_create(&(struct dns_provider_config){.loops = f->loops,
                                                             .resolver = resolver,
                                                             .servers = f->server.address,
                                                             .log = f->log,
                                                             .metrics = f->metrics,
                                                             .prefix = "thanos_query_endpoints_"});
}

/* The addresses with a space behind each. */
static struct str joined(struct fixture *f, struct dns_addresses addresses)
{
    struct str all = STR("");
    for (size_t i = 0; i < addresses.count; i++)
        all = arena_printf(f->arena, "%.*s%.*s ", STR_ARG(all), STR_ARG(addresses.items[i]));
    return all;
}

static const struct {
    const char *name;
    enum dns_resolver resolver;
    const char *want;  /* addresses */
    const char *error; /* part of its text */
} lookup_cases[] = {
    {"10.1.1.1:80", DNS_MIEKGDNS, "10.1.1.1:80 ", NULL},
    {"dns+both.test:80", DNS_MIEKGDNS, "[fd00::1]:80 ", NULL},
    {"dns+both.test:80", DNS_GOLANG, "10.0.0.1:80 10.0.0.2:80 [fd00::1]:80 ", NULL},
    {"dns+four.test:80", DNS_MIEKGDNS, "10.0.0.4:80 ", NULL},
    {"dns+127.0.0.1:80", DNS_MIEKGDNS, "127.0.0.1:80 ", NULL},
    {"dns+http://four.test:80", DNS_MIEKGDNS, "http://10.0.0.4:80 ", NULL},
    {"dns+alias.test:80", DNS_MIEKGDNS, "10.0.0.4:80 ", NULL},
    {"dns+ring.test:80", DNS_MIEKGDNS, "", "more than 8 CNAMEs in a row"},
    {"dns+gone.test:80", DNS_MIEKGDNS, "", NULL},
    {"dns+gone.test:80", DNS_GOLANG, "", NULL},
    {"dns+empty.test:80", DNS_MIEKGDNS, "", NULL},
    {"dns+broken.test:80", DNS_MIEKGDNS, "", "lookup IP addresses \"broken.test\""},
    {"dns+broken.test:80", DNS_GOLANG, "", "lookup IP addresses \"broken.test\""},
    {"dns+four.test", DNS_MIEKGDNS, "", "missing port in address given for dns lookup: four.test"},
    {"dnsdualstack+both.test:80", DNS_MIEKGDNS, "10.0.0.1:80 10.0.0.2:80 [fd00::1]:80 ", NULL},
    {"dnsdualstack+four.test:80", DNS_GOLANG, "10.0.0.4:80 ", NULL},
    {"dnssrv+_grpc._tcp.test", DNS_MIEKGDNS, "10.0.0.4:10901 [fd00::1]:10902 ", NULL},
    {"dnssrv+_grpc._tcp.test:7", DNS_MIEKGDNS, "10.0.0.4:7 [fd00::1]:7 ", NULL},
    {"dnssrv+_alias._tcp.test", DNS_MIEKGDNS, "10.0.0.4:10901 [fd00::1]:10902 ", NULL},
    {"dnssrv+_grpc._tcp.test", DNS_GOLANG,
     "10.0.0.1:10902 10.0.0.2:10902 10.0.0.4:10901 [fd00::1]:10902 ", NULL},
    {"dnssrv+_broken._tcp.test", DNS_MIEKGDNS, "", "lookup SRV records \"_broken._tcp.test\""},
    {"dnssrv+_gone._tcp.test", DNS_MIEKGDNS, "", NULL},
    {"dnssrvnoa+_grpc._tcp.test", DNS_MIEKGDNS, "both.test:10902 four.test:10901 gone.test:10903 ",
     NULL},
    {"dnsx+four.test:80", DNS_MIEKGDNS, "", "invalid lookup scheme \"dnsx\""},
};

TEST(names_are_looked_up_as_their_prefix_says)
{
    struct fixture f;
    fixture_init(&f);
    for_each_case(c, lookup_cases) {
        struct dns_provider *provider = fixture_provider(&f, c->resolver);
        struct str address = str_from(c->name);
        struct error *err = dns_provider_resolve(provider, f.ctx, &address, 1, true);
        if (c->error)
            CHECK_ERROR_TEXT(err, error_kind(err), c->error);
        else
            CHECK_OK(err);
        CHECK_EQ(c->error != NULL, err != NULL);
        CHECK_STR(joined(&f, dns_provider_of(provider, address, f.arena)), c->want);
        dns_provider_free(provider);
    }
    fixture_deinit(&f);
}

static void check_metric(struct fixture *f, const char *line, bool is_there)
{
    struct buf text = BUF_INIT(NULL);
    metrics_write(f->metrics, &text, false);
    if (str_contains(buf_str(&text), str_from(line)) != is_there)
        CHECK_STR(buf_str(&text), line);
    buf_deinit(&text);
}

TEST(a_name_that_fails_keeps_what_it_had)
{
    static const struct str both[] = {STR_INIT("dnssrv+_grpc._tcp.test"), STR_INIT("static:1")};
    struct fixture f;
    fixture_init(&f);
    struct dns_provider *provider = fixture_provider(&f, DNS_MIEKGDNS);
    CHECK_OK(dns_provider_resolve(provider, f.ctx, both, 2, true));
    CHECK_STR(joined(&f, dns_provider_all(provider, f.arena)), "static:1 10.0.0.4:10901 "
                                                               "[fd00::1]:10902 ");
    check_metric(&f, "thanos_query_endpoints_dns_lookups_total 1\n", true);
    check_metric(&f,
                 "thanos_query_endpoints_dns_provider_results{addr=\"dnssrv+_grpc._tcp.test\"} 2\n",
                 true);
    fake_dns_fail(&f.server, "_grpc._tcp.test");
    /* Even when it is gone from the list: nothing is forgotten in a round with a failure. */
    CHECK_ERROR(dns_provider_resolve(provider, f.ctx, both, 1, true), ERROR_UNAVAILABLE);
    CHECK_EQ(dns_provider_all(provider, f.arena).count, 3);
    check_metric(&f, "thanos_query_endpoints_dns_failures_total 1\n", true);
    fake_dns_fail(&f.server, NULL);
    CHECK_OK(dns_provider_resolve(provider, f.ctx, both, 1, true));
    CHECK_EQ(dns_provider_all(provider, f.arena).count, 2);
    check_metric(&f, "addr=\"static:1\"", false);
    fake_dns_set(&f.server, records, 0, FAKE_ANSWER); /* NXDOMAIN is an answer */
    CHECK_OK(dns_provider_resolve(provider, f.ctx, both, 1, true));
    CHECK_EQ(dns_provider_all(provider, f.arena).count, 0);
    dns_provider_free(provider);
    fixture_deinit(&f);
}

TEST(truncated_answers_are_asked_for_by_tcp)
{
    static const struct str name = STR_INIT("dns+four.test:80");
    struct fixture f;
    fixture_init(&f);
    struct dns_provider *provider = fixture_provider(&f, DNS_MIEKGDNS);
    fake_dns_set(&f.server, records, countof(records), FAKE_TRUNCATE);
    CHECK_OK(dns_provider_resolve(provider, f.ctx, &name, 1, true));
    CHECK_STR(joined(&f, dns_provider_all(provider, f.arena)), "10.0.0.4:80 ");
    CHECK(atomic_load(&f.server.asked_by_tcp) > 0);
    dns_provider_free(provider);
    fixture_deinit(&f);
}

TEST(a_broken_answer_is_a_failure)
{
    static const struct str name = STR_INIT("dns+four.test:80");
    struct fixture f;
    fixture_init(&f);
    struct dns_provider *provider = fixture_provider(&f, DNS_MIEKGDNS);
    fake_dns_set(&f.server, records, countof(records), FAKE_GARBAGE);
    CHECK_ERROR(dns_provider_resolve(provider, f.ctx, &name, 1, true), ERROR_CORRUPT);
    dns_provider_free(provider);
    fixture_deinit(&f);
}

TEST(a_silent_server_holds_nobody_beyond_the_deadline)
{
    static const struct str names[] = {STR_INIT("dns+four.test:80"), STR_INIT("dnssrv+both.test"),
                                       STR_INIT("dnsdualstack+both.test:1")};
    struct fixture f;
    fixture_init(&f);
    fake_dns_set(&f.server, records, countof(records), FAKE_SILENT);
    for (int resolver = DNS_GOLANG; resolver <= DNS_MIEKGDNS; resolver++) {
        struct dns_provider *provider = fixture_provider(&f, (enum dns_resolver)resolver);
        struct context *ctx = context_create(NULL, 200);
        int64_t begin = time_now_monotonic_ms();
        CHECK_ERROR_TEXT(dns_provider_resolve(provider, ctx, names, 3, true), ERROR_UNAVAILABLE,
                         "3 names, the first: lookup IP addresses \"four.test\": could not resolve "
                         "\"four.test\": timeout");
        CHECK(time_now_monotonic_ms() - begin < 1500);
        CHECK_ERROR(dns_provider_resolve(provider, ctx, names, 3, true), ERROR_UNAVAILABLE);
        context_unref(ctx);
        dns_provider_free(provider);
    }
    fixture_deinit(&f);
}

TEST(many_names_are_looked_up_at_once)
{
    enum { COUNT = 300 };
    static struct str names[COUNT];
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < COUNT; i++)
        names[i] = arena_printf(f.arena, "dns+four.test:%zu", i + 1);
    struct dns_provider *provider = fixture_provider(&f, DNS_MIEKGDNS);
    CHECK_OK(dns_provider_resolve(provider, f.ctx, names, COUNT, true));
    CHECK_EQ(dns_provider_all(provider, f.arena).count, COUNT);
    dns_provider_free(provider);
    fixture_deinit(&f);
}

struct resolving {
    struct event_loop *loop;
    const char *host;
    struct dns_resolve *handle;
    struct mutex lock;
    pthread_cond_t cond;
    bool is_done, is_cancelled;
    struct error *err;
    struct address first;
    size_t count;
};

static void resolved(void *arg, struct error *err, const struct address *addresses, size_t count)
{
    struct resolving *resolving = arg;
    mutex_lock(&resolving->lock);
    resolving->err = err;
    resolving->count = count;
    if (count)
        resolving->first = addresses[0];
    resolving->is_done = true;
    pthread_cond_broadcast(&resolving->cond);
    mutex_unlock(&resolving->lock);
}

static void start_resolving(void *arg)
{
    struct resolving *resolving = arg;
    dns_resolve(resolving->loop, str_from(resolving->host), 80, resolved, resolving,
                &resolving->handle);
    if (resolving->is_cancelled)
        dns_resolve_cancel(resolving->handle);
}

TEST(hosts_to_connect_to_are_resolved)
{
    struct event_loops *loops = event_loops_create(1);
    struct resolving cases[] = {{.host = "127.0.0.1"},
                                {.host = "a..b"},
                                {.host = "unheard.invalid.", .is_cancelled = true}};
    for (size_t i = 0; i < countof(cases); i++) {
        struct resolving *resolving = &cases[i];
        resolving->loop = event_loops_pick(loops);
        mutex_init(&resolving->lock);
        pthread_cond_init(&resolving->cond, NULL);
        event_loop_post(resolving->loop, start_resolving, resolving);
        mutex_lock(&resolving->lock);
        while (!resolving->is_done)
            mutex_wait(&resolving->lock, &resolving->cond);
        mutex_unlock(&resolving->lock);
    }
    event_loops_free(loops);
    CHECK_OK(cases[0].err);
    CHECK_EQ(cases[0].count, 1);
    CHECK_EQ(cases[0].first.any.sa_family, AF_INET);
    CHECK(cases[1].err != NULL);
    error_free(cases[1].err);
    CHECK_ERROR(cases[2].err, ERROR_UNAVAILABLE);
    CHECK(cases[2].handle == NULL);
}

TEST_MAIN(TEST_ENTRY(names_are_looked_up_as_their_prefix_says),
          TEST_ENTRY(a_name_that_fails_keeps_what_it_had),
          TEST_ENTRY(truncated_answers_are_asked_for_by_tcp),
          TEST_ENTRY(a_broken_answer_is_a_failure),
          TEST_ENTRY(a_silent_server_holds_nobody_beyond_the_deadline),
          TEST_ENTRY(many_names_are_looked_up_at_once),
          TEST_ENTRY(hosts_to_connect_to_are_resolved))
