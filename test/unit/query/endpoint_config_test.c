#include "support/test.h"

#include "query/endpoint_config.h"
#include "runtime/log.h"

static const struct str plain[] = {STR_INIT("a:1"), STR_INIT("dns+b:2")};
static const struct str strict[] = {STR_INIT("c:3")};

struct fixture {
    struct arena *arena;
    struct log *log;
    struct endpoint_flags flags;
    struct endpoint_config config;
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.arena = arena_create(NULL),
                          .log = log_create(2, LOG_ERROR, LOG_LOGFMT, STR("")),
                          .flags = {.tls = {.config = {.min_version = TLS_VERSION_1_3}}}};
}

static void fixture_deinit(struct fixture *f)
{
    log_free(f->log);
    arena_unref(f->arena);
}

static struct error *parse(struct fixture *f, const char *yaml)
{
    return endpoint_config_parse(str_from(yaml), &f->flags, f->log, f->arena, &f->config);
}

TEST(flags_come_after_the_file)
{
    struct fixture f;
    fixture_init(&f);
    f.flags.plain = plain;
    f.flags.plain_count = 2;
    f.flags.strict = strict;
    f.flags.strict_count = 1;
    f.flags.groups = plain;
    f.flags.group_count = 2;
    f.flags.compress = true;
    CHECK_OK(parse(
        &f, "endpoints:\n- address: x:1\n  strict: true\n- address: dns+y:2\n"
            "  group: true\n  service_config: '{\"loadBalancingPolicy\": \"pick_first\"}'\n"));
    CHECK_EQ(f.config.count, 7);
    CHECK_STR(f.config.items[0].address, "x:1");
    CHECK(f.config.items[0].is_strict && !f.config.items[0].is_group);
    CHECK(f.config.items[1].is_group && f.config.items[1].is_dynamic);
    CHECK(f.config.items[1].in_order);
    CHECK_STR(f.config.items[2].address, "a:1");
    CHECK(f.config.items[2].compress && !f.config.items[2].is_dynamic);
    CHECK(f.config.items[3].is_dynamic);
    CHECK(f.config.items[4].is_group && f.config.items[5].is_group);
    CHECK_STR(f.config.items[6].address, "c:3");
    CHECK(f.config.items[6].is_strict);
    CHECK_OK(parse(&f, ""));
    CHECK_EQ(f.config.count, 5);
    fixture_deinit(&f);
}

static const struct {
    const char *name, *yaml, *error;
} bad_cases[] = {
    {"strict discovery", "endpoints: [{address: dns+a:1, strict: true}]",
     "dns+a:1 is a dynamically specified endpoint i.e. it uses SD and that is not permitted under "
     "strict mode."},
    {"strict group of discovery", "endpoints: [{address: dns+a:1, strict: true, group: true}]",
     "not permitted under strict mode"},
    {"service config without a group", "endpoints: [{address: a:1, service_config: '{}'}]",
     "a:1 service_config is only valid for endpoint groups."},
    {"service config that is no JSON",
     "endpoints: [{address: a:1, group: true, service_config: x}]",
     "endpoint a:1: service_config: line 1"},
    {"service config that is a list",
     "endpoints: [{address: a:1, group: true, service_config: '[]'}]", "not an object"},
    {"compression", "endpoints: [{address: a:1, client_config: {compression: gzip}}]",
     "endpoint a:1: invalid compression: gzip, must be 'none' or 'snappy'"},
    {"TLS version", "endpoints: [{address: a:1, client_config: {tls_config: {min_version: '2'}}}]",
     "invalid TLS version: 2"},
    {"no address", "endpoints: [{strict: true}]", "address of an endpoint is empty"},
    {"no port", "endpoints: [{address: a}]", "missing port"},
    {"no host", "endpoints: [{address: ':1'}]", "not a host:port"},
    {"port 0", "endpoints: [{address: 'a:0'}]", "not a host:port"},
    {"a list", "[]", "cannot unmarshal"},
    {"endpoints that are none", "endpoints: x", "endpoints: yaml: line 1"},
    {"an endpoint that is none", "endpoints: [x]", "line 1"},
    {"TLS that is none", "default_client_config: {tls_config: 3}", "tls_config: yaml: line 1"},
    {"a bool that is none", "endpoints: [{address: a:1, strict: maybe}]", "strict: yaml: line 1"},
    {"no YAML", "endpoints: [", "yaml: "},
};

TEST(what_is_wrong_is_said)
{
    struct fixture f;
    fixture_init(&f);
    for_each_case(c, bad_cases)
        CHECK_ERROR_TEXT(parse(&f, c->yaml), ERROR_INVALID, c->error);
    fixture_deinit(&f);
}

TEST(unknown_keys_are_passed_over)
{
    struct fixture f;
    fixture_init(&f);
    CHECK_OK(parse(&f, "what: 1\nendpoints: [{address: a:1, colour: red, client_config: {x: y, "
                       "tls_config: {z: 1}}}]"));
    CHECK_EQ(f.config.count, 1);
    CHECK(!f.config.items[0].tls.enabled);
    fixture_deinit(&f);
}

/* Of one endpoint, its client_config, the default's, and whether the flags turn TLS on. */
static const struct {
    const char *name, *own, *standard;
    bool flags, want;
    const char *ca, *certificate;
    enum tls_version version;
} tls_cases[] = {
    {"nothing", "", "", false, false, "", "", TLS_VERSION_1_3},
    {"the flags'", "", "", true, true, "flag-ca", "flag-cert", TLS_VERSION_1_2},
    {"the default's", "", "tls_config: {enabled: true, ca_file: d}", true, true, "d", "",
     TLS_VERSION_1_3},
    {"a CA turns it on", "tls_config: {ca_file: x}", "", false, true, "x", "flag-cert",
     TLS_VERSION_1_2},
    {"the rest is the default's", "tls_config: {ca_file: x}",
     "tls_config: {cert_file: c, key_file: k, min_version: '1.1'}", false, true, "x", "c",
     TLS_VERSION_1_1},
    {"a version alone does not", "tls_config: {min_version: '1.0'}", "", false, false, "flag-ca",
     "flag-cert", TLS_VERSION_1_0},
    {"a version alone keeps it", "tls_config: {min_version: '1.0'}", "", true, true, "flag-ca",
     "flag-cert", TLS_VERSION_1_0},
    {"enabled starts anew", "tls_config: {enabled: true}", "", true, true, "", "", TLS_VERSION_1_3},
    {"off", "tls_config: {enabled: false, ca_file: x}", "", true, false, "x", "", TLS_VERSION_1_3},
    {"an empty CA is the system's", "tls_config: {ca_file: ''}", "", true, true, "", "flag-cert",
     TLS_VERSION_1_2},
};

TEST(tls_of_an_endpoint_falls_back_to_the_default_and_the_flags)
{
    struct fixture f;
    fixture_init(&f);
    for_each_case(c, tls_cases) {
        struct str yaml = arena_printf(f.arena,
                                       "default_client_config: {%s}\nendpoints: [{address: a:1, "
                                       "client_config: {%s}}]",
                                       c->standard, c->own);
        f.flags.tls = (struct endpoint_tls){c->flags,
                                            {.ca_file = STR("flag-ca"),
                                             .certificate_file = STR("flag-cert"),
                                             .min_version = TLS_VERSION_1_2}};
        if (!c->flags && c->own[0] == 0)
            f.flags.tls = (struct endpoint_tls){.config = {.min_version = TLS_VERSION_1_3}};
        CHECK_OK(endpoint_config_parse(yaml, &f.flags, f.log, f.arena, &f.config));
        const struct endpoint_tls *got = &f.config.items[0].tls;
        CHECK_EQ(got->enabled, c->want);
        CHECK_STR(got->config.ca_file, c->ca);
        CHECK_STR(got->config.certificate_file, c->certificate);
        CHECK_EQ(got->config.min_version, c->version);
    }
    fixture_deinit(&f);
}

TEST(compression_is_an_endpoints_own_the_defaults_or_the_flags)
{
    struct fixture f;
    fixture_init(&f);
    CHECK_OK(parse(&f, "default_client_config: {compression: snappy}\nendpoints:\n"
                       "- {address: a:1}\n- {address: b:1, client_config: {compression: none}}"));
    CHECK(f.config.items[0].compress && !f.config.items[1].compress && f.config.compress);
    f.flags.compress = true;
    CHECK_OK(parse(&f, "endpoints: [{address: a:1}]"));
    CHECK(f.config.items[0].compress);
    fixture_deinit(&f);
}

TEST_MAIN(TEST_ENTRY(flags_come_after_the_file), TEST_ENTRY(what_is_wrong_is_said),
          TEST_ENTRY(unknown_keys_are_passed_over),
          TEST_ENTRY(tls_of_an_endpoint_falls_back_to_the_default_and_the_flags),
          TEST_ENTRY(compression_is_an_endpoints_own_the_defaults_or_the_flags))
