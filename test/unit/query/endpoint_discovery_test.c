#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "query/endpoint_discovery.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/log.h"
#include "runtime/time.h"
#include "unit/net/fake_dns.h"

static const struct fake_record two[] = {
    {"a.test", DNS_TYPE_A, "10.0.0.1"},
    {"b.test", DNS_TYPE_A, "10.0.0.2"},
    {"_g._tcp.test", DNS_TYPE_SRV, "10901 a.test"},
    {"_g._tcp.test", DNS_TYPE_SRV, "10902 b.test"},
};

struct fixture {
    struct fake_dns server;
    char folder[64];
    struct event_loops *loops;
    struct context *ctx;
    struct log *log;
    struct arena *arena;
    struct endpoint_discovery_config config;
    struct endpoint_discovery *discovery;
    atomic_int changes;
};

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    fake_dns_start(&f->server);
    fake_dns_set(&f->server, two, countof(two), FAKE_ANSWER);
    snprintf(f->folder, sizeof(f->folder), "/tmp/titan-discovery-XXXXXX");
    CHECK(mkdtemp(f->folder) != NULL);
    f->loops = event_loops_create(1);
    f->ctx = context_create(NULL, 30000);
    f->log = log_create(2, LOG_ERROR + 1, LOG_LOGFMT, STR(""));
    f->arena = arena_create(NULL);
    f->config = (struct endpoint_discovery_config){
        .loops = f->loops,
        .sd_config_reload_ms = 60000,
        .sd_files_interval_ms = 60000,
        .resolver = DNS_MIEKGDNS,
        .dns_interval_ms = 50,
        .dns_servers = f->server.address,
        .log = f->log,
    };
}

static void note_change(void *arg)
{
    struct fixture *f = arg;
    atomic_fetch_add(&f->changes, 1);
}

static void fixture_start(struct fixture *f)
{
    CHECK_OK(endpoint_discovery_create(&f->config, &f->discovery));
    CHECK_OK(endpoint_discovery_start(f->discovery, note_change, f));
}

static void fixture_deinit(struct fixture *f)
{
    char command[100];
    endpoint_discovery_free(f->discovery);
    snprintf(command, sizeof(command), "rm -r %s", f->folder);
    CHECK_EQ(system(command), 0);
    arena_unref(f->arena);
    context_unref(f->ctx);
    event_loops_free(f->loops);
    log_free(f->log);
    fake_dns_stop(&f->server);
}

static struct str path_of(struct fixture *f, const char *name)
{
    return arena_printf(f->arena, "%s/%s", f->folder, name);
}

static void put(struct fixture *f, const char *name, const char *text)
{
    FILE *file = fopen(arena_cstr(f->arena, path_of(f, name)), "w");
    CHECK(file != NULL);
    fputs(text, file);
    fclose(file);
}

/* "a:1 thanos:///b:2(10.0.0.1:2) c:3! ": members in brackets, strict ones with a mark. */
static struct str specs_text(struct fixture *f, bool *is_complete)
{
    struct endpoint_specs specs;
    struct str all = STR("");
    endpoint_discovery_specs(f->discovery, f->arena, &specs);
    for (size_t i = 0; i < specs.count; i++) {
        const struct endpoint_spec *spec = &specs.items[i];
        all = arena_printf(f->arena, "%.*s%.*s", STR_ARG(all), STR_ARG(spec->address));
        for (size_t j = 0; j < spec->member_count; j++)
            all = arena_printf(f->arena, "%.*s(%.*s)", STR_ARG(all), STR_ARG(spec->members[j]));
        all = arena_printf(f->arena, "%.*s%s ", STR_ARG(all), spec->is_strict ? "!" : "");
    }
    *is_complete = specs.is_complete;
    return all;
}

static void wait_specs(struct fixture *f, const char *want)
{
    int64_t until = time_now_monotonic_ms() + 15000;
    bool is_complete = false;
    struct str got = specs_text(f, &is_complete);
    while ((!is_complete || !str_equal(got, str_from(want))) && time_now_monotonic_ms() < until) {
        CHECK_OK(context_sleep(f->ctx, 10));
        got = specs_text(f, &is_complete);
    }
    CHECK_STR(got, want);
    CHECK(is_complete);
}

TEST(names_are_looked_up_again_and_again)
{
    static const struct str plain[] = {STR_INIT("x:1"), STR_INIT("dnssrv+_g._tcp.test")};
    static const struct str groups[] = {STR_INIT("dns+a.test:7"), STR_INIT("y:2")};
    static const struct str strict[] = {STR_INIT("z:3")};
    struct fixture f;
    fixture_init(&f);
    f.config.flags = (struct endpoint_flags){.plain = plain,
                                             .plain_count = 2,
                                             .groups = groups,
                                             .group_count = 2,
                                             .strict = strict,
                                             .strict_count = 1};
    fixture_start(&f);
    wait_specs(&f, "x:1 thanos:///dns+a.test:7(10.0.0.1:7) thanos:///y:2(y:2) z:3! 10.0.0.1:10901 "
                   "10.0.0.2:10902 ");
    fake_dns_set(&f.server, two, 3, FAKE_ANSWER);
    wait_specs(&f, "x:1 thanos:///dns+a.test:7(10.0.0.1:7) thanos:///y:2(y:2) z:3! "
                   "10.0.0.1:10901 ");
    fake_dns_fail(&f.server, "_g._tcp.test"); /* keeps what it had */
    int asked = atomic_load(&f.server.asked);
    while (atomic_load(&f.server.asked) < asked + 8)
        CHECK_OK(context_sleep(f.ctx, 10));
    wait_specs(&f, "x:1 thanos:///dns+a.test:7(10.0.0.1:7) thanos:///y:2(y:2) z:3! "
                   "10.0.0.1:10901 ");
    CHECK(atomic_load(&f.changes) >= 2);
    fixture_deinit(&f);
}

TEST(a_name_that_fails_at_first_is_tried_again_before_it_is_complete)
{
    static const struct str plain[] = {STR_INIT("dns+a.test:1")};
    struct fixture f;
    fixture_init(&f);
    f.config.flags = (struct endpoint_flags){.plain = plain, .plain_count = 1};
    f.config.dns_interval_ms = 60000;
    fake_dns_fail(&f.server, "a.test");
    fixture_start(&f);
    bool is_complete = true;
    while (atomic_load(&f.server.asked) < 4)
        CHECK_OK(context_sleep(f.ctx, 5));
    specs_text(&f, &is_complete);
    CHECK(!is_complete);
    fake_dns_fail(&f.server, NULL);
    wait_specs(&f, "10.0.0.1:1 ");
    fixture_deinit(&f);
}

TEST(files_are_read_again_when_they_change)
{
    struct fixture f;
    fixture_init(&f);
    struct str pattern = path_of(&f, "sd*.yml");
    f.config.sd_config_path = path_of(&f, "endpoints.yml");
    f.config.sd_files = &pattern;
    f.config.sd_file_count = 1;
    CHECK_ERROR(endpoint_discovery_create(&f.config, &f.discovery), ERROR_NOT_FOUND);
    put(&f, "endpoints.yml", "endpoints: [{address: a:1, strict: yes}]");
    fixture_start(&f);
    wait_specs(&f, "a:1! ");
    put(&f, "sd1.yml", "- targets: [f:1, 'dns+a.test:9', nonsense]");
    wait_specs(&f, "a:1! 10.0.0.1:9 f:1 ");
    put(&f, "endpoints.yml", "endpoints: [{address: dns+a.test:1, strict: yes}]"); /* refused */
    put(&f, "sd2.yml", "- targets: [g:1]");
    wait_specs(&f, "a:1! 10.0.0.1:9 f:1 g:1 ");
    put(&f, "next.yml", "endpoints: [{address: b:2}]");
    rename(arena_cstr(f.arena, path_of(&f, "next.yml")),
           arena_cstr(f.arena, path_of(&f, "endpoints.yml")));
    wait_specs(&f, "b:2 10.0.0.1:9 f:1 g:1 ");
    unlink(arena_cstr(f.arena, path_of(&f, "sd1.yml")));
    wait_specs(&f, "b:2 g:1 ");
    fixture_deinit(&f);
}

TEST_MAIN(TEST_ENTRY(names_are_looked_up_again_and_again),
          TEST_ENTRY(a_name_that_fails_at_first_is_tried_again_before_it_is_complete),
          TEST_ENTRY(files_are_read_again_when_they_change))
