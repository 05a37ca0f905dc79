#include "net/web_config.h"

#include "base/duration.h"
#include "net/config_yaml.h"
#include "net/web_password.h"

/* --- tls_server_config --- */

static struct error *read_version(const struct yaml_node *parent, const char *key,
                                  struct arena *arena, enum tls_version *out)
{
    static const struct str names[] = {STR_INIT("TLS10"), STR_INIT("TLS11"), STR_INIT("TLS12"),
                                       STR_INIT("TLS13")};
    struct str text = {0};
    struct error *err = config_str(parent, key, arena, &text);
    if (err || text.len == 0)
        return err;
    for (unsigned i = 0; i < countof(names); i++)
        if (str_equal(text, names[i])) {
            *out = (enum tls_version)i;
            return NULL;
        }
    return yaml_error(yaml_get(parent, key), "unknown TLS version: %.*s", STR_ARG(text));
}

static struct error *read_client_auth(const struct yaml_node *parent, struct arena *arena,
                                      enum tls_client_auth *out)
{
    static const struct {
        struct str name;
        enum tls_client_auth auth;
    } names[] = {
        {STR_INIT("NoClientCert"), TLS_NO_CLIENT_CERT},
        {STR_INIT("RequestClientCert"), TLS_REQUEST_CLIENT_CERT},
        {STR_INIT("RequireAnyClientCert"), TLS_REQUIRE_ANY_CLIENT_CERT},
        {STR_INIT("RequireClientCert"), TLS_REQUIRE_ANY_CLIENT_CERT}, /* its older name */
        {STR_INIT("VerifyClientCertIfGiven"), TLS_VERIFY_CLIENT_CERT_IF_GIVEN},
        {STR_INIT("RequireAndVerifyClientCert"), TLS_REQUIRE_AND_VERIFY_CLIENT_CERT},
    };
    struct str text = {0};
    struct error *err = config_str(parent, "client_auth_type", arena, &text);
    if (err || text.len == 0)
        return err;
    for (size_t i = 0; i < countof(names); i++)
        if (str_equal(text, names[i].name)) {
            *out = names[i].auth;
            return NULL;
        }
    return yaml_error(yaml_get(parent, "client_auth_type"), "invalid ClientAuth: %.*s",
                      STR_ARG(text));
}

static struct error *check_names(const struct yaml_node *node, const struct tls_server_config *tls)
{
    for (size_t i = 0; i < tls->cipher_count; i++)
        if (!tls_cipher_find(tls->ciphers[i]))
            return yaml_error(yaml_get(node, "cipher_suites"), "unknown cipher: %.*s",
                              STR_ARG(tls->ciphers[i]));
    for (size_t i = 0; i < tls->curve_count; i++)
        if (!tls_curve_find(tls->curves[i]))
            return yaml_error(yaml_get(node, "curve_preferences"), "unknown curve: %.*s",
                              STR_ARG(tls->curves[i]));
    return NULL;
}

/* The toolkit's rules, in its words. */
static struct error *check_tls(const struct yaml_node *node, const struct tls_server_config *tls,
                               bool *has_tls)
{
    bool has_certificate = tls->certificate.file.len || tls->certificate.text.len;
    bool has_key = tls->key.file.len || tls->key.text.len;
    bool has_ca = tls->client_ca.file.len || tls->client_ca.text.len;
    struct str auth = {0};
    error_free(yaml_str(yaml_get(node, "client_auth_type"), &auth)); /* went well before */
    *has_tls = has_certificate || has_key || has_ca || auth.len;
    if (!*has_tls)
        return NULL;
    if (!has_certificate)
        return error_create(ERROR_INVALID, "missing one of cert or cert_file");
    if (!has_key)
        return error_create(ERROR_INVALID, "missing one of key or key_file");
    if (has_ca && tls->client_auth == TLS_NO_CLIENT_CERT)
        return error_create(ERROR_INVALID,
                            "client CA's have been configured without a Client Auth Policy");
    if (tls->min_version > tls->max_version)
        return error_create(ERROR_INVALID, "min_version is above max_version");
    return NULL;
}

static struct error *read_tls(const struct yaml_node *node, struct str directory,
                              struct arena *arena, struct web_config *out)
{
    static const char *const keys[] = {"cert",
                                       "key",
                                       "client_ca",
                                       "cert_file",
                                       "key_file",
                                       "client_auth_type",
                                       "client_ca_file",
                                       "cipher_suites",
                                       "curve_preferences",
                                       "min_version",
                                       "max_version",
                                       "prefer_server_cipher_suites",
                                       "client_allowed_sans"};
    struct tls_server_config *tls = &out->tls;
    bool prefer_server;
    struct error *err =
        config_section(node, "tls_server_config", keys, countof(keys), "web.TLSConfig");
    *tls =
        (struct tls_server_config){.min_version = TLS_VERSION_1_2, .max_version = TLS_VERSION_1_3};
    if (!err)
        err = config_str(node, "cert", arena, &tls->certificate.text);
    if (!err)
        err = config_str(node, "key", arena, &tls->key.text);
    if (!err)
        err = config_str(node, "client_ca", arena, &tls->client_ca.text);
    if (!err)
        err = config_path(node, "cert_file", directory, arena, &tls->certificate.file);
    if (!err)
        err = config_path(node, "key_file", directory, arena, &tls->key.file);
    if (!err)
        err = config_path(node, "client_ca_file", directory, arena, &tls->client_ca.file);
    if (!err)
        err = read_client_auth(node, arena, &tls->client_auth);
    if (!err)
        err = read_version(node, "min_version", arena, &tls->min_version);
    if (!err)
        err = read_version(node, "max_version", arena, &tls->max_version);
    if (!err) /* the server's choice always counts, as in Go */
        err = yaml_bool(yaml_get(node, "prefer_server_cipher_suites"), &prefer_server);
    if (!err)
        err = config_strs(node, "cipher_suites", arena, &tls->ciphers, &tls->cipher_count);
    if (!err)
        err = config_strs(node, "curve_preferences", arena, &tls->curves, &tls->curve_count);
    if (!err)
        err = config_strs(node, "client_allowed_sans", arena, &tls->client_sans,
                          &tls->client_san_count);
    if (!err)
        err = check_names(node, tls);
    return err ? err : check_tls(node, tls, &out->has_tls);
}

/* --- the other sections --- */

static const struct {
    struct str name;
    struct str values[2]; /* none: any */
} known_headers[WEB_HEADERS_MAX] = {
    {STR_INIT("Strict-Transport-Security"), {{0}}},
    {STR_INIT("X-Content-Type-Options"), {STR_INIT("nosniff")}},
    {STR_INIT("X-Frame-Options"), {STR_INIT("deny"), STR_INIT("sameorigin")}},
    {STR_INIT("X-XSS-Protection"), {{0}}},
    {STR_INIT("Content-Security-Policy"), {{0}}},
};

static struct error *check_header(const struct yaml_node *key, struct str name, struct str value)
{
    for (size_t i = 0; i < countof(known_headers); i++) {
        const struct str *allowed = known_headers[i].values;
        if (!str_equal(name, known_headers[i].name))
            continue;
        for (size_t j = 0; j < value.len; j++)
            if ((unsigned char)value.data[j] < ' ' || value.data[j] == 0x7f)
                return yaml_error(key, "invalid value for %.*s", STR_ARG(name));
        if (allowed[0].len == 0 || str_equal(value, allowed[0]) ||
            (allowed[1].len && str_equal(value, allowed[1])))
            return NULL;
        return yaml_error(key,
                          "invalid value for %.*s. Expected one of: [\"%.*s\"%s%.*s%s], but "
                          "got: \"%.*s\"",
                          STR_ARG(name), STR_ARG(allowed[0]), allowed[1].len ? " \"" : "",
                          STR_ARG(allowed[1].len ? allowed[1] : STR("")),
                          allowed[1].len ? "\"" : "", STR_ARG(value));
    }
    return yaml_error(key, "HTTP header \"%.*s\" can not be configured", STR_ARG(name));
}

static struct error *read_headers(const struct yaml_node *node, struct arena *arena,
                                  struct web_config *out)
{
    struct error *err = config_expect(node, YAML_MAPPING, "headers");
    if (err || yaml_is_null(node))
        return err;
    for (size_t i = 0; !err && i < node->count; i++) {
        const struct yaml_pair *pair = &node->pairs[i];
        struct str value = {0};
        err = yaml_str(pair->value, &value);
        if (!err)
            err = check_header(pair->key, pair->key->text, value);
        if (!err) /* names are of the list and there once each, so there is room */
            out->headers[out->header_count++] =
                (struct http_header){arena_str(arena, pair->key->text), arena_str(arena, value)};
    }
    return err;
}

static struct error *read_http(const struct yaml_node *node, struct arena *arena,
                               struct web_config *out)
{
    static const char *const keys[] = {"http2", "headers"};
    struct error *err =
        config_section(node, "http_server_config", keys, countof(keys), "web.HTTPConfig");
    out->http2 = true;
    if (!err)
        err = yaml_bool(yaml_get(node, "http2"), &out->http2);
    return err ? err : read_headers(yaml_get(node, "headers"), arena, out);
}

/* A duration as Go writes it, or nanoseconds. */
static struct error *read_interval(const struct yaml_node *node, int64_t *out)
{
    struct str text = {0};
    struct error *err = yaml_str(node, &text);
    if (err || text.len == 0 || str_to_int64(text, out))
        return err;
    err = duration_parse_go(text, out);
    if (!err)
        return NULL;
    error_free(err);
    return yaml_error(node, "cannot unmarshal !!str `%.*s` into time.Duration", STR_ARG(text));
}

static struct error *read_limit(const struct yaml_node *node, struct web_config *out)
{
    static const char *const keys[] = {"burst", "interval"};
    struct error *err =
        config_section(node, "rate_limit", keys, countof(keys), "web.RateLimiterConfig");
    if (!err)
        err = yaml_int64(yaml_get(node, "burst"), &out->limit_burst);
    if (!err && yaml_get(node, "interval"))
        err = read_interval(yaml_get(node, "interval"), &out->limit_interval_ns);
    if (!err && (out->limit_burst < 0 || out->limit_interval_ns < 0))
        err = yaml_error(node, "rate_limit is negative");
    return err;
}

static struct error *read_users(const struct yaml_node *node, struct arena *arena,
                                struct web_config *out)
{
    struct error *err = config_expect(node, YAML_MAPPING, "basic_auth_users");
    if (err || yaml_is_null(node) || node->count == 0)
        return err;
    struct web_user *users = arena_array(arena, node->count, sizeof(*users));
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *value = node->pairs[i].value;
        if (value->kind != YAML_SCALAR || !web_password_is_hash(value->text))
            return yaml_error(value, "the password of user \"%.*s\" is not a bcrypt hash",
                              STR_ARG(node->pairs[i].key->text));
        users[i] = (struct web_user){arena_str(arena, node->pairs[i].key->text),
                                     arena_str(arena, value->text)};
    }
    out->users = users;
    out->user_count = node->count;
    return NULL;
}

struct error *web_config_parse(struct str text, struct str directory, struct arena *arena,
                               struct web_config *out)
{
    static const char *const keys[] = {"tls_server_config", "http_server_config", "rate_limit",
                                       "basic_auth_users"};
    struct yaml_node *root;
    *out = (struct web_config){0};
    struct error *err = yaml_parse(text, arena, &root);
    if (!err)
        err = config_section(root, "the file", keys, countof(keys), "web.Config");
    if (!err)
        err = read_tls(yaml_get(root, "tls_server_config"), directory, arena, out);
    if (!err)
        err = read_http(yaml_get(root, "http_server_config"), arena, out);
    if (!err)
        err = read_limit(yaml_get(root, "rate_limit"), out);
    if (!err)
        err = read_users(yaml_get(root, "basic_auth_users"), arena, out);
    return err ? err : arena_status(arena);
}
