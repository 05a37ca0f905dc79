#include "net/http_client_config.h"

#include "codec/base64.h"
#include "codec/digest.h"
#include "codec/json.h"
#include "codec/url.h"
#include "net/config_yaml.h"
#include "runtime/file.h"
#include "runtime/log.h"

enum { SECRET_MAX = 1 << 20 };

/* --- the YAML --- */

static void warn_of_unknown(const struct yaml_node *node, const char *section,
                            const char *const *keys, size_t count, struct log *log)
{
    for (size_t i = 0; node && node->kind == YAML_MAPPING && i < node->count; i++) {
        struct str key = node->pairs[i].key->text;
        size_t at = 0;
        while (at < count && !str_equal(key, str_from(keys[at])))
            at++;
        if (at == count)
            log_warn(log, "HTTP client configuration has a key that is not known",
                     KV("section", section), KV("key", key), KV("line", node->pairs[i].key->line));
    }
}

/* A mapping; unknown keys are told of. */
static struct error *open_section(const struct yaml_node *node, const char *section,
                                  const char *const *keys, size_t count, struct log *log)
{
    struct error *err = config_expect(node, YAML_MAPPING, section);
    if (!err)
        warn_of_unknown(node, section, keys, count, log);
    return err;
}

struct text_field {
    const char *key;
    struct str *out;
};

static struct error *read_texts(const struct yaml_node *node, struct arena *arena,
                                const struct text_field *fields, size_t count)
{
    struct error *err = NULL;
    for (size_t i = 0; !err && i < count; i++)
        err = config_str(node, fields[i].key, arena, fields[i].out);
    return err;
}

static struct error *read_basic_auth(const struct yaml_node *node, struct arena *arena,
                                     struct log *log, struct http_client_config *out)
{
    static const char *const keys[] = {"username", "password", "password_file"};
    const struct text_field fields[] = {{"username", &out->username},
                                        {"password", &out->password},
                                        {"password_file", &out->password_file}};
    struct error *err = open_section(node, "basic_auth", keys, countof(keys), log);
    if (!err)
        err = read_texts(node, arena, fields, countof(fields));
    if (!err && out->password.len && out->password_file.len)
        err = error_create(ERROR_INVALID, "at most one of basic_auth password, password_file & "
                                          "password_ref must be configured");
    return err;
}

static struct error *read_authorization(const struct yaml_node *node, struct arena *arena,
                                        struct log *log, struct http_client_config *out)
{
    static const char *const keys[] = {"type", "credentials", "credentials_file"};
    const struct text_field fields[] = {{"type", &out->auth_type},
                                        {"credentials", &out->credentials},
                                        {"credentials_file", &out->credentials_file}};
    struct error *err = open_section(node, "authorization", keys, countof(keys), log);
    if (!err)
        err = read_texts(node, arena, fields, countof(fields));
    if (err)
        return err;
    out->auth_type = str_trim(out->auth_type);
    if (str_find_char(out->auth_type, '\r') + str_find_char(out->auth_type, '\n') !=
        2 * out->auth_type.len)
        return error_create(ERROR_INVALID, "authorization type holds a line break");
    if (str_equal_nocase(out->auth_type, STR("basic")))
        return error_create(ERROR_INVALID, "authorization type cannot be set to \"basic\", use "
                                           "\"basic_auth\" instead");
    if (out->credentials.len && out->credentials_file.len)
        return error_create(ERROR_INVALID, "at most one of authorization credentials & "
                                           "credentials_file must be configured");
    return NULL;
}

/* The older way to say it. */
static struct error *read_bearer(const struct yaml_node *root, struct arena *arena,
                                 struct http_client_config *out)
{
    struct str token = {0}, file = {0};
    const struct text_field fields[] = {{"bearer_token", &token}, {"bearer_token_file", &file}};
    struct error *err = read_texts(root, arena, fields, countof(fields));
    if (err || (token.len == 0 && file.len == 0))
        return err;
    if (token.len && file.len)
        return error_create(ERROR_INVALID,
                            "at most one of bearer_token & bearer_token_file must be configured");
    if (out->credentials.len || out->credentials_file.len)
        return error_create(ERROR_INVALID, "authorization is not compatible with bearer_token & "
                                           "bearer_token_file");
    out->auth_type = STR("Bearer");
    out->credentials = token;
    out->credentials_file = file;
    return NULL;
}

static struct error *read_params(const struct yaml_node *node, struct arena *arena, struct str *out)
{
    struct error *err = config_expect(node, YAML_MAPPING, "endpoint_params");
    struct buf form = {0};
    for (size_t i = 0; !err && node && node->kind == YAML_MAPPING && i < node->count; i++) {
        const struct yaml_pair *pair = &node->pairs[i];
        struct str value = {0};
        err = config_str(node, arena_cstr(arena, pair->key->text), arena, &value);
        url_append_param(&form, pair->key->text, value);
    }
    *out = arena_str(arena, buf_str(&form));
    buf_deinit(&form);
    return err;
}

static struct error *read_oauth2(const struct yaml_node *node, struct arena *arena, struct log *log,
                                 struct http_oauth2 *out)
{
    static const char *const keys[] = {"client_id", "client_secret", "client_secret_file",
                                       "token_url", "scopes",        "endpoint_params"};
    const struct text_field fields[] = {{"client_id", &out->client_id},
                                        {"client_secret", &out->client_secret},
                                        {"client_secret_file", &out->client_secret_file},
                                        {"token_url", &out->token_url}};
    struct error *err = open_section(node, "oauth2", keys, countof(keys), log);
    if (!err)
        err = read_texts(node, arena, fields, countof(fields));
    if (!err)
        err = config_strs(node, "scopes", arena, &out->scopes, &out->scope_count);
    if (!err)
        err = read_params(yaml_get(node, "endpoint_params"), arena, &out->params);
    if (err || yaml_is_null(node))
        return err;
    if (out->client_id.len == 0)
        return error_create(ERROR_INVALID, "oauth2 client_id must be configured");
    if (out->token_url.len == 0)
        return error_create(ERROR_INVALID, "oauth2 token_url must be configured");
    if (out->client_secret.len && out->client_secret_file.len)
        return error_create(ERROR_INVALID, "at most one of oauth2 client_secret & "
                                           "client_secret_file must be configured");
    return NULL;
}

static struct error *read_tls(const struct yaml_node *node, struct arena *arena, struct log *log,
                              struct http_client_config *out)
{
    static const char *const keys[] = {"ca_file", "cert_file", "key_file", "server_name",
                                       "insecure_skip_verify"};
    const struct text_field fields[] = {{"ca_file", &out->ca_file},
                                        {"cert_file", &out->cert_file},
                                        {"key_file", &out->key_file},
                                        {"server_name", &out->server_name}};
    struct error *err = open_section(node, "tls_config", keys, countof(keys), log);
    if (!err)
        err = read_texts(node, arena, fields, countof(fields));
    if (!err)
        err = yaml_bool(yaml_get(node, "insecure_skip_verify"), &out->skip_verify);
    if (!err && (out->cert_file.len == 0) != (out->key_file.len == 0))
        err = error_create(ERROR_INVALID,
                           "exactly one of key or key_file must be configured when a client "
                           "certificate is configured, and the reverse");
    return err;
}

/* Whole nanoseconds, as Thanos has it. */
static struct error *read_ns(const struct yaml_node *node, const char *key, int64_t *ms)
{
    int64_t ns = *ms * 1000000;
    struct error *err = yaml_int64(yaml_get(node, key), &ns);
    if (!err && ns < 0)
        err = yaml_error(yaml_get(node, key), "%s is negative", key);
    *ms = ns / 1000000 + (ns % 1000000 != 0);
    return err;
}

static struct error *read_count(const struct yaml_node *node, const char *key, int64_t *out)
{
    struct error *err = yaml_int64(yaml_get(node, key), out);
    if (!err && (*out < 0 || *out > INT32_MAX))
        err = yaml_error(yaml_get(node, key), "%s is out of range", key);
    return err;
}

static struct error *read_transport(const struct yaml_node *node, struct log *log,
                                    struct http_client_config *out)
{
    static const char *const keys[] = {
        "max_idle_conns",          "max_idle_conns_per_host", "idle_conn_timeout",
        "response_header_timeout", "expect_continue_timeout", "max_conns_per_host",
        "disable_compression",     "tls_handshake_timeout",   "dialer_timeout"};
    int64_t idle_all = 0, unused_ms = 0;
    bool unused;
    struct error *err = open_section(node, "transport_config", keys, countof(keys), log);
    if (!err)
        err = read_count(node, "max_idle_conns", &idle_all);
    if (!err)
        err = read_count(node, "max_idle_conns_per_host", &out->idle_connections_max);
    if (!err)
        err = read_count(node, "max_conns_per_host", &out->connections_max);
    if (!err)
        err = read_ns(node, "idle_conn_timeout", &out->idle_timeout_ms);
    if (!err)
        err = read_ns(node, "response_header_timeout", &out->response_timeout_ms);
    if (!err)
        err = read_ns(node, "expect_continue_timeout", &unused_ms); /* nothing is expected */
    if (!err)
        err = read_ns(node, "tls_handshake_timeout", &out->handshake_timeout_ms);
    if (!err)
        err = read_ns(node, "dialer_timeout", &out->dial_timeout_ms);
    if (!err) /* nothing is asked for compressed */
        err = yaml_bool(yaml_get(node, "disable_compression"), &unused);
    if (idle_all && (out->idle_connections_max == 0 || idle_all < out->idle_connections_max))
        out->idle_connections_max = idle_all;
    return err;
}

static struct error *check_one_way(const struct http_client_config *config)
{
    int ways = (config->username.len || config->password.len || config->password_file.len) +
               (config->credentials.len || config->credentials_file.len) +
               (config->oauth2.token_url.len != 0);
    if (ways > 1)
        return error_create(ERROR_INVALID, "at most one of basic_auth, oauth2, bearer_token & "
                                           "bearer_token_file must be configured");
    if (config->proxy_url.len && config->proxy_from_environment)
        return error_create(ERROR_INVALID, "if proxy_from_environment is configured, proxy_url "
                                           "must not be configured");
    return NULL;
}

static struct error *read_root(const struct yaml_node *root, struct arena *arena, struct log *log,
                               struct http_client_config *out)
{
    static const char *const keys[] = {
        "basic_auth", "authorization",   "bearer_token", "bearer_token_file",
        "oauth2",     "proxy_url",       "no_proxy",     "proxy_from_environment",
        "tls_config", "transport_config"};
    const struct text_field fields[] = {{"proxy_url", &out->proxy_url},
                                        {"no_proxy", &out->no_proxy}};
    struct error *err = open_section(root, "the configuration", keys, countof(keys), log);
    if (!err)
        err = read_texts(root, arena, fields, countof(fields));
    if (!err)
        err = yaml_bool(yaml_get(root, "proxy_from_environment"), &out->proxy_from_environment);
    if (!err)
        err = read_basic_auth(yaml_get(root, "basic_auth"), arena, log, out);
    if (!err)
        err = read_authorization(yaml_get(root, "authorization"), arena, log, out);
    if (!err)
        err = read_bearer(root, arena, out);
    if (!err)
        err = read_oauth2(yaml_get(root, "oauth2"), arena, log, &out->oauth2);
    if (!err)
        err = read_tls(yaml_get(root, "tls_config"), arena, log, out);
    if (!err)
        err = read_transport(yaml_get(root, "transport_config"), log, out);
    return err ? err : check_one_way(out);
}

struct error *http_client_config_parse(struct str text, struct arena *arena, struct log *log,
                                       struct http_client_config *out)
{
    struct yaml_node *root;
    *out = (struct http_client_config){0};
    struct error *err = yaml_parse(text, arena, &root);
    if (!err)
        err = read_root(root, arena, log, out);
    if (!err && out->auth_type.len == 0)
        out->auth_type = STR("Bearer");
    return err ? err : arena_status(arena);
}

/* --- secrets --- */

/* The text, or that of the file without white space around it. What holds a line break would write
 * further headers. */
static struct error *take_secret(struct str text, struct str file, const char *what,
                                 struct buf *out)
{
    struct error *err = NULL;
    struct buf content = {0};
    struct str secret = text;
    if (file.len) {
        err = file_read(file, SECRET_MAX, &content);
        secret = str_trim(buf_str(&content));
    }
    for (size_t i = 0; !err && i < secret.len; i++)
        if (secret.data[i] == '\r' || secret.data[i] == '\n' || secret.data[i] == 0)
            err = error_create(ERROR_INVALID, "it holds a line break or a NUL");
    if (!err)
        buf_append_str(out, secret);
    digest_wipe(content.data, content.len);
    buf_deinit(&content);
    return error_wrap(err, "unable to read %s", what);
}

static struct error *basic_authorization(const struct http_client_config *config, struct buf *out)
{
    struct buf pair = {0};
    buf_printf(&pair, "%.*s:", STR_ARG(config->username));
    struct error *err =
        take_secret(config->password, config->password_file, "basic auth password", &pair);
    if (!err) {
        buf_append_cstr(out, "Basic ");
        base64_encode(out, buf_bytes(&pair), BASE64_STANDARD);
    }
    digest_wipe(pair.data, pair.len);
    buf_deinit(&pair);
    return err;
}

struct error *http_client_authorization(const struct http_client_config *config, struct buf *out)
{
    if (config->username.len || config->password.len || config->password_file.len)
        return basic_authorization(config, out);
    if (config->credentials.len == 0 && config->credentials_file.len == 0)
        return NULL;
    buf_printf(out, "%.*s ", STR_ARG(config->auth_type));
    return take_secret(config->credentials, config->credentials_file, "authorization credentials",
                       out);
}

static void append_client(const struct http_oauth2 *oauth2, struct str secret, struct buf *form,
                          struct buf *header)
{
    struct buf pair = {0};
    if (!header) {
        url_append_param(form, STR("client_id"), oauth2->client_id);
        url_append_param(form, STR("client_secret"), secret);
        return;
    }
    url_encode_query(&pair, oauth2->client_id);
    buf_append_byte(&pair, ':');
    url_encode_query(&pair, secret);
    buf_append_cstr(header, "Basic ");
    base64_encode(header, buf_bytes(&pair), BASE64_STANDARD);
    digest_wipe(pair.data, pair.len);
    buf_deinit(&pair);
}

struct error *http_oauth2_form(const struct http_oauth2 *oauth2, struct buf *out,
                               struct buf *header)
{
    struct buf secret = {0}, scopes = {0};
    struct error *err =
        take_secret(oauth2->client_secret, oauth2->client_secret_file, "client secret", &secret);
    for (size_t i = 0; i < oauth2->scope_count; i++)
        buf_printf(&scopes, "%s%.*s", i ? " " : "", STR_ARG(oauth2->scopes[i]));
    if (!err) {
        url_append_param(out, STR("grant_type"), STR("client_credentials"));
        append_client(oauth2, buf_str(&secret), out, header);
        if (scopes.len)
            url_append_param(out, STR("scope"), buf_str(&scopes));
        if (oauth2->params.len)
            buf_printf(out, "&%.*s", STR_ARG(oauth2->params));
    }
    digest_wipe(secret.data, secret.len);
    buf_deinit(&secret);
    buf_deinit(&scopes);
    return err;
}

struct error *http_oauth2_answer(int status, struct str body, struct buf *out, int64_t *lasts_s)
{
    struct arena *arena = arena_create(NULL);
    struct json_reader reader = json_read(body, arena);
    struct str key, token = {0}, type = {0};
    double lasts = 0;
    if (status == 200 && json_object(&reader))
        while (json_key(&reader, &key)) {
            if (str_equal(key, STR("access_token")))
                token = json_str(&reader);
            else if (str_equal(key, STR("token_type")))
                type = json_str(&reader);
            else if (str_equal(key, STR("expires_in")) && json_peek(&reader) == JSON_NUMBER)
                lasts = json_double(&reader);
            else
                json_skip(&reader);
        }
    struct error *err = NULL;
    if (status != 200)
        err = error_create(ERROR_UNAVAILABLE, "oauth2: cannot fetch token: status %d", status);
    else
        err = json_finish(&reader, "oauth2: cannot fetch token: answer");
    if (!err && token.len == 0)
        err = error_create(ERROR_UNAVAILABLE, "oauth2: server response missing access_token");
    if (!err && (type.len == 0 || str_equal_nocase(type, STR("bearer"))))
        type = STR("Bearer");
    if (!err) {
        buf_printf(out, "%.*s ", STR_ARG(type));
        err = take_secret(token, STR(""), "oauth2 token", out);
    }
    *lasts_s = lasts > 0 && lasts < 1e9 ? (int64_t)lasts : 0;
    arena_unref(arena);
    return err;
}
