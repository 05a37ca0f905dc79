#include "objstore/s3_config.h"

#include "base/duration.h"
#include "codec/json.h"
#include "codec/yaml.h"

static struct error *check_keys(const struct yaml_node *node)
{
    static const char *const keys[] = {
        "bucket",
        "endpoint",
        "region",
        "disable_dualstack",
        "aws_sdk_auth",
        "access_key",
        "insecure",
        "signature_version2",
        "secret_key",
        "session_token",
        "put_user_metadata",
        "http_config",
        "trace",
        "list_objects_version",
        "bucket_lookup_type",
        "send_content_md5",
        "disable_multipart",
        "part_size",
        "sse_config",
        "sts_endpoint",
        "max_retries",
    };
    static const char *const sse[] = {"type", "kms_key_id", "kms_encryption_context",
                                      "encryption_key"};
    static const char *const trace[] = {"enable"};
    struct error *err = yaml_check_keys(node, keys, countof(keys), "s3.Config");
    if (!err)
        err = yaml_check_keys(yaml_get(node, "sse_config"), sse, countof(sse), "s3.SSEConfig");
    if (!err)
        err = yaml_check_keys(yaml_get(node, "trace"), trace, countof(trace), "s3.TraceConfig");
    return err;
}

static struct error *read_texts(const struct yaml_node *node, struct s3_config *out)
{
    const struct yaml_node *sse = yaml_get(node, "sse_config");
    const struct {
        const struct yaml_node *value;
        struct str *into;
    } fields[] = {
        {yaml_get(node, "bucket"), &out->bucket},
        {yaml_get(node, "endpoint"), &out->endpoint},
        {yaml_get(node, "region"), &out->region},
        {yaml_get(node, "access_key"), &out->credentials.access_key},
        {yaml_get(node, "secret_key"), &out->credentials.secret_key},
        {yaml_get(node, "session_token"), &out->credentials.session_token},
        {yaml_get(node, "sts_endpoint"), &out->sts_endpoint},
        {yaml_get(sse, "type"), &out->sse_type},
        {yaml_get(sse, "kms_key_id"), &out->sse_key_id},
        {yaml_get(sse, "encryption_key"), &out->sse_key_path},
    };
    struct error *err = NULL;
    for (size_t i = 0; i < countof(fields) && !err; i++)
        err = yaml_str(fields[i].value, fields[i].into);
    return err;
}

static struct error *read_switches(const struct yaml_node *node, struct s3_config *out)
{
    const struct {
        const struct yaml_node *value;
        bool *into;
    } fields[] = {
        {yaml_get(node, "aws_sdk_auth"), &out->aws_sdk_auth},
        {yaml_get(node, "insecure"), &out->insecure},
        {yaml_get(node, "signature_version2"), &out->signature_v2},
        {yaml_get(node, "send_content_md5"), &out->send_content_md5},
        {yaml_get(node, "disable_multipart"), &out->no_multipart},
        {yaml_get(yaml_get(node, "trace"), "enable"), &out->trace},
    };
    struct error *err = NULL;
    int64_t part_size = 0;
    for (size_t i = 0; i < countof(fields) && !err; i++)
        err = yaml_bool(fields[i].value, fields[i].into);
    if (!err)
        err = yaml_int64(yaml_get(node, "part_size"), &part_size);
    if (!err)
        err = yaml_int64(yaml_get(node, "max_retries"), &out->max_retries);
    if (!err && part_size < 0)
        err = yaml_error(yaml_get(node, "part_size"), "part_size cannot be negative");
    out->part_size = (uint64_t)int64_max(part_size, 0);
    return err;
}

static struct error *read_choices(const struct yaml_node *node, struct s3_config *out)
{
    static const struct str lookups[] = {STR_INIT("auto"), STR_INIT("virtual-hosted"),
                                         STR_INIT("path")};
    const struct yaml_node *lookup_node = yaml_get(node, "bucket_lookup_type");
    struct str lookup = lookups[0], version = STR("");
    struct error *err = yaml_str(lookup_node, &lookup);
    if (!err)
        err = yaml_str(yaml_get(node, "list_objects_version"), &version);
    if (err)
        return err;
    out->list_v1 = str_equal(version, STR("v1"));
    size_t i = 0;
    while (i < countof(lookups) && !str_equal(lookups[i], lookup))
        i++;
    if (i == countof(lookups))
        return yaml_error(lookup_node, "unsupported bucket lookup type: %.*s", STR_ARG(lookup));
    out->lookup = (enum s3_lookup)i;
    return NULL;
}

static struct error *read_metadata(const struct yaml_node *node, struct arena *arena,
                                   struct s3_config *out)
{
    const struct yaml_node *map = yaml_get(node, "put_user_metadata");
    struct error *err = yaml_expect(map, YAML_MAPPING);
    size_t count = map && !yaml_is_null(map) ? map->count : 0;
    out->metadata = arena_array(arena, count + 1, sizeof(*out->metadata));
    for (size_t i = 0; i < count && !err; i++) {
        struct str name = STR(""), value = STR("");
        err = yaml_str(map->pairs[i].key, &name);
        if (!err)
            err = yaml_str(map->pairs[i].value, &value);
        if (!err && out->metadata_count == S3_HEADERS_MAX / 2)
            err = yaml_error(map, "more than %d entries of metadata", S3_HEADERS_MAX / 2);
        if (!err)
            out->metadata[out->metadata_count++] =
                (struct http_header){arena_printf(arena, "x-amz-meta-%.*s", STR_ARG(name)), value};
    }
    return err;
}

static struct error *read_context(const struct yaml_node *node, struct arena *arena,
                                  struct s3_config *out)
{
    const struct yaml_node *map = yaml_get(yaml_get(node, "sse_config"), "kms_encryption_context");
    struct error *err = yaml_expect(map, YAML_MAPPING);
    struct buf text = {0};
    if (err || !map || yaml_is_null(map))
        return err;
    struct json_writer json = json_write(&text, JSON_PLAIN);
    json_begin_object(&json);
    for (size_t i = 0; i < map->count && !err; i++) {
        struct str value = STR("");
        err = yaml_str(map->pairs[i].value, &value);
        json_put_key_str(&json, map->pairs[i].key->text);
        json_put_str(&json, value);
    }
    json_end_object(&json);
    out->sse_context = arena_str(arena, buf_str(&text));
    buf_deinit(&text);
    return err;
}

static struct error *read_duration(const struct yaml_node *node, int64_t *into)
{
    struct str text = STR("");
    struct error *err = yaml_str(node, &text);
    if (!err && text.len > 0)
        err = duration_parse(text, into);
    return err ? yaml_error(node, "%.*s", STR_ARG(error_text(err))) : NULL;
}

static struct error *read_http(const struct yaml_node *node, struct s3_config *out)
{
    static const char *const keys[] = {
        "idle_conn_timeout",       "response_header_timeout",
        "insecure_skip_verify",    "tls_handshake_timeout",
        "expect_continue_timeout", "max_idle_conns",
        "max_idle_conns_per_host", "max_conns_per_host",
        "disable_compression",     "tls_config",
    };
    static const char *const tls_keys[] = {"ca_file", "cert_file", "key_file", "server_name",
                                           "insecure_skip_verify"};
    const struct yaml_node *http = yaml_get(node, "http_config");
    const struct yaml_node *tls = yaml_get(http, "tls_config");
    bool skip = false;
    out->http.proxy_from_environment = true;
    out->http.idle_timeout_ms = 90 * 1000;
    out->http.response_timeout_ms = 2 * 60 * 1000;
    out->http.handshake_timeout_ms = 10 * 1000;
    struct error *err = yaml_check_keys(http, keys, countof(keys), "exthttp.HTTPConfig");
    if (!err)
        err = yaml_check_keys(tls, tls_keys, countof(tls_keys), "exthttp.TLSConfig");
    if (!err)
        err = read_duration(yaml_get(http, "idle_conn_timeout"), &out->http.idle_timeout_ms);
    if (!err)
        err = read_duration(yaml_get(http, "response_header_timeout"),
                            &out->http.response_timeout_ms);
    if (!err)
        err =
            read_duration(yaml_get(http, "tls_handshake_timeout"), &out->http.handshake_timeout_ms);
    if (!err)
        err = yaml_int64(yaml_get(http, "max_conns_per_host"), &out->http.connections_max);
    if (!err)
        err = yaml_bool(yaml_get(http, "insecure_skip_verify"), &skip);
    if (!err)
        err = yaml_bool(yaml_get(tls, "insecure_skip_verify"), &out->http.skip_verify);
    out->http.skip_verify |= skip;
    if (!err)
        err = yaml_str(yaml_get(tls, "ca_file"), &out->http.ca_file);
    if (!err)
        err = yaml_str(yaml_get(tls, "cert_file"), &out->http.cert_file);
    if (!err)
        err = yaml_str(yaml_get(tls, "key_file"), &out->http.key_file);
    return err ? err : yaml_str(yaml_get(tls, "server_name"), &out->http.server_name);
}

static struct error *validate(const struct s3_config *config)
{
    static const struct str types[] = {STR_INIT(""), STR_INIT("SSE-S3"), STR_INIT("SSE-KMS"),
                                       STR_INIT("SSE-C")};
    bool is_known = false;
    if (config->endpoint.len == 0)
        return error_create(ERROR_INVALID, "no s3 endpoint in config file");
    if (config->bucket.len == 0)
        return error_create(ERROR_INVALID, "no s3 bucket in config file");
    if (config->aws_sdk_auth && config->credentials.access_key.len > 0)
        return error_create(ERROR_INVALID, "aws_sdk_auth and access_key are mutually exclusive "
                                           "configurations");
    if (config->credentials.access_key.len == 0 && config->credentials.secret_key.len > 0)
        return error_create(ERROR_INVALID,
                            "no s3 access_key specified while secret_key is present in config "
                            "file; either both should be present in config or envvars/IAM should "
                            "be used");
    if (config->credentials.access_key.len > 0 && config->credentials.secret_key.len == 0)
        return error_create(ERROR_INVALID,
                            "no s3 secret_key specified while access_key is present in config "
                            "file; either both should be present in config or envvars/IAM should "
                            "be used");
    for (size_t i = 0; i < countof(types); i++)
        is_known |= str_equal(types[i], config->sse_type);
    if (!is_known)
        return error_create(ERROR_INVALID,
                            "unsupported type %.*s was provided. Supported types "
                            "are SSE-S3, SSE-KMS, SSE-C",
                            STR_ARG(config->sse_type));
    if (str_equal(config->sse_type, STR("SSE-C")) && config->sse_key_path.len == 0)
        return error_create(ERROR_INVALID, "encryption_key must be set if sse_config.type is set "
                                           "to 'SSE-C'");
    if (str_equal(config->sse_type, STR("SSE-KMS")) && config->sse_key_id.len == 0)
        return error_create(ERROR_INVALID, "kms_key_id must be set if sse_config.type is set to "
                                           "'SSE-KMS'");
    return NULL;
}

struct error *s3_config_parse(const struct yaml_node *node, struct arena *arena,
                              struct s3_config *out)
{
    *out = (struct s3_config){.send_content_md5 = true};
    struct error *err = check_keys(node);
    if (!err)
        err = read_texts(node, out);
    if (!err)
        err = read_switches(node, out);
    if (!err)
        err = read_choices(node, out);
    if (!err)
        err = read_metadata(node, arena, out);
    if (!err)
        err = read_context(node, arena, out);
    if (!err)
        err = read_http(node, out);
    return err ? err : validate(out);
}
