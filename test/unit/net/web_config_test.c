#include "net/web_config.h"

#include "base/compiler.h"
#include "net/web_password.h"
#include "support/test.h"

#define HASH "$2b$04$Zv70ViRovwCcfZKsy8N6nec35EbZBi/N97yrDJdyVF/EFwSEsST5W"

TEST(a_whole_file_is_read)
{
    static const char text[] = "tls_server_config:\n"
                               "  cert_file: a.crt\n"
                               "  key_file: /keys/a.key\n"
                               "  client_ca_file: ../ca.crt\n"
                               "  client_auth_type: RequireAndVerifyClientCert\n"
                               "  min_version: TLS13\n"
                               "  max_version: TLS13\n"
                               "  prefer_server_cipher_suites: false\n"
                               "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n"
                               "  curve_preferences: [X25519, CurveP256]\n"
                               "  client_allowed_sans: [a, b, c]\n"
                               "http_server_config:\n"
                               "  http2: false\n"
                               "  headers: {X-Frame-Options: deny, X-XSS-Protection: x y}\n"
                               "rate_limit: {burst: 20, interval: 1.5s}\n"
                               "basic_auth_users:\n"
                               "  alice: " HASH "\n";
    struct arena *arena = arena_create(NULL);
    struct web_config config;
    CHECK_OK(web_config_parse(str_from(text), STR("/etc/titan"), arena, &config));
    CHECK(config.has_tls);
    CHECK_STR(config.tls.certificate.file, "/etc/titan/a.crt");
    CHECK_STR(config.tls.key.file, "/keys/a.key");
    CHECK_STR(config.tls.client_ca.file, "/etc/titan/../ca.crt");
    CHECK_EQ(config.tls.client_auth, TLS_REQUIRE_AND_VERIFY_CLIENT_CERT);
    CHECK_EQ(config.tls.min_version, TLS_VERSION_1_3);
    CHECK_EQ(config.tls.cipher_count, 1);
    CHECK_EQ(config.tls.curve_count, 2);
    CHECK_EQ(config.tls.client_san_count, 3);
    CHECK(!config.http2);
    CHECK_EQ(config.header_count, 2);
    CHECK_STR(config.headers[1].value, "x y");
    CHECK_EQ(config.limit_burst, 20);
    CHECK_EQ(config.limit_interval_ns, 1500000000);
    CHECK_EQ(config.user_count, 1);
    CHECK_STR(config.users[0].hash, HASH);
    arena_unref(arena);
}

TEST(an_empty_file_asks_for_nothing)
{
    struct arena *arena = arena_create(NULL);
    struct web_config config;
    CHECK_OK(web_config_parse(STR(""), STR(""), arena, &config));
    CHECK(!config.has_tls && config.http2);
    CHECK_EQ(config.user_count + config.header_count, 0);
    CHECK_EQ(config.tls.min_version, TLS_VERSION_1_2);
    arena_unref(arena);
}

TEST(mistakes_are_told_with_line_and_key_and_never_with_a_secret)
{
    const struct {
        const char *name, *text, *says;
    } cases[] = {
        {"unknown section", "tls: {}", "line 1: field tls not found in type web.Config"},
        {"unknown key", "tls_server_config:\n  certfile: x",
         "line 2: field certfile not found in type web.TLSConfig"},
        {"unknown key of HTTP", "http_server_config: {http3: true}",
         "line 1: field http3 not found in type web.HTTPConfig"},
        {"unknown key of the limit", "rate_limit: {n: 1}",
         "line 1: field n not found in type web.RateLimiterConfig"},
        {"key without certificate", "tls_server_config: {key_file: x}",
         "missing one of cert or cert_file"},
        {"certificate without key", "tls_server_config: {cert: x}",
         "missing one of key or key_file"},
        {"an authority for nothing",
         "tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}",
         "client CA's have been configured without a Client Auth Policy"},
        {"client_auth_type", "tls_server_config: {client_auth_type: Foo}",
         "line 1: invalid ClientAuth: Foo"},
        {"version", "tls_server_config:\n\n  min_version: TLS14",
         "line 3: unknown TLS version: TLS14"},
        {"suite", "tls_server_config: {cipher_suites: [RC4]}", "line 1: unknown cipher: RC4"},
        {"curve", "tls_server_config: {curve_preferences: [P]}", "line 1: unknown curve: P"},
        {"header", "http_server_config:\n  headers:\n    X-Foo: a",
         "line 3: HTTP header \"X-Foo\" can not be configured"},
        {"value of a header", "http_server_config: {headers: {X-Frame-Options: never}}",
         "invalid value for X-Frame-Options. Expected one of: [\"deny\" \"sameorigin\"], but got: "
         "\"never\""},
        {"line break in a header",
         "http_server_config: {headers: {X-XSS-Protection: \"a\\r\\nSet-Cookie: b\"}}",
         "invalid value for X-XSS-Protection"},
        {"interval", "rate_limit: {interval: soon}", "into time.Duration"},
        {"password in the clear", "basic_auth_users:\n  alice: secret",
         "line 2: the password of user \"alice\" is not a bcrypt hash"},
        {"users as a text", "basic_auth_users: secret",
         "line 1: basic_auth_users is not a mapping"},
        {"key as a list", "tls_server_config: {key: [secret]}", "line 1: key is not a text"},
        {"a text alone", "secret", "line 1: the file is not a mapping"},
        {"a user twice", "basic_auth_users:\n  a: " HASH "\n  a: " HASH, "already set in map"},
    };
    for_each_case(c, cases) {
        struct arena *arena = arena_create(NULL);
        struct web_config config;
        struct error *err = web_config_parse(str_from(c->text), STR(""), arena, &config);
        CHECK(!str_contains(error_text(err), STR("secret")));
        CHECK_ERROR_TEXT(err, ERROR_INVALID, c->says);
        arena_unref(arena);
    }
}

TEST(passwords_fit_their_hash_only)
{
    CHECK(web_password_is_hash(STR(HASH)));
    CHECK(!web_password_is_hash(STR("")));
    CHECK(
        !web_password_is_hash(STR("$2b$03$5pPJyJ4ZjWSuUPnNfj7oLuyjBMrbBGOL.Q1Hnhgq6gTXvIu3SfZkG")));
    CHECK(
        !web_password_is_hash(STR("$1$$5pPJyJ4ZjWSuUPnNfj7oLuyjBMrbBGOL.Q1Hnhgq6gTXvIu3SfZkGxx")));
    CHECK(
        !web_password_is_hash(STR("$2b$04$5pPJyJ4ZjWSuUPnNfj7oLuyjBMrbBGOL.Q1Hnhgq6gTXvIu3SfZk:")));
    CHECK(web_password_fits(STR("secret"), STR(HASH)));
    CHECK(!web_password_fits(STR("Secret"), STR(HASH)));
    CHECK(!web_password_fits(STR(""), STR(HASH)));
    CHECK(!web_password_fits(STR("secret\0more"), STR(HASH)));
    CHECK(!web_password_fits(STR("secret"), STR("nonsense")));
}

TEST_MAIN(TEST_ENTRY(a_whole_file_is_read), TEST_ENTRY(an_empty_file_asks_for_nothing),
          TEST_ENTRY(mistakes_are_told_with_line_and_key_and_never_with_a_secret),
          TEST_ENTRY(passwords_fit_their_hash_only))
