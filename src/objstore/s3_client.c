#include "objstore/s3_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "codec/base64.h"
#include "codec/digest.h"
#include "objstore/s3_credentials.h"
#include "objstore/s3_reply.h"
#include "runtime/context.h"
#include "runtime/file.h"
#include "runtime/log.h"
#include "runtime/time.h"

enum {
    CONNECTIONS_MAX = 64,
    TRIES_MAX = 10,
    PAUSE_FIRST_MS = 50,
    PAUSE_MAX_MS = 5000,
    SSE_KEY_SIZE = 32,
};

struct s3_client {
    const struct s3_config *config;
    struct http_client *http;
    struct log *log;
    struct s3_credentials_source *credentials;
    struct arena *arena;   /* of the texts below */
    struct str host, base; /* "bucket.host" or "host"; "https://host" */
    bool names_bucket;     /* the host does */
    struct mutex lock;
    struct str region GUARDED_BY(lock); /* empty: not known yet */
};

/* ---- where requests go ---- */

static bool is_amazon(struct str endpoint)
{
    return str_contains(endpoint, STR(".amazonaws.com")) ||
           str_starts_with(endpoint, STR("s3.amazonaws.com"));
}

static bool uses_virtual_host(const struct s3_config *config)
{
    if (config->lookup != S3_LOOKUP_AUTO)
        return config->lookup == S3_LOOKUP_VIRTUAL;
    bool has_dots = str_contains(config->bucket, STR("."));
    bool knows_it = is_amazon(config->endpoint) ||
                    str_contains(config->endpoint, STR("storage.googleapis.com")) ||
                    str_contains(config->endpoint, STR(".aliyuncs.com"));
    return knows_it && (config->insecure || !has_dots); /* certificates name one level only */
}

/* "s3.eu-west-1.amazonaws.com" -> "eu-west-1"; others say nothing. */
static struct str region_of_endpoint(struct str endpoint)
{
    struct str first, rest, region;
    if (!is_amazon(endpoint) || !str_cut(endpoint, '.', &first, &rest) ||
        !str_cut(rest, '.', &region, &rest) || str_equal(region, STR("amazonaws")))
        return STR("");
    return region;
}

struct error *s3_client_create(const struct s3_config *config, struct event_loops *loops,
                               struct log *log, struct s3_client **out)
{
    if (config->endpoint.len == 0 || memchr(config->endpoint.data, '/', config->endpoint.len))
        return error_create(ERROR_INVALID, "s3: \"%.*s\" is no endpoint: it is host[:port]",
                            STR_ARG(config->endpoint));
    struct s3_client *client = xcalloc(1, sizeof(*client));
    client->config = config;
    client->log = log;
    client->arena = arena_create(NULL);
    client->names_bucket = uses_virtual_host(config);
    client->host = client->names_bucket
                       ? arena_printf(client->arena, "%.*s.%.*s", STR_ARG(config->bucket),
                                      STR_ARG(config->endpoint))
                       : config->endpoint;
    client->base = arena_printf(client->arena, "%s://%.*s", config->insecure ? "http" : "https",
                                STR_ARG(client->host));
    client->region = config->region.len > 0 ? config->region : region_of_endpoint(config->endpoint);
    size_t connections =
        config->http.connections_max > 0 ? (size_t)config->http.connections_max : CONNECTIONS_MAX;
    client->http =
        http_client_create_with(loops, STR("Titan (objstore)"), connections, &config->http);
    client->credentials = s3_credentials_source_create(config, client->http);
    mutex_init(&client->lock);
    *out = client;
    return NULL;
}

void s3_client_free(struct s3_client *client)
{
    if (!client)
        return;
    s3_credentials_source_free(client->credentials);
    http_client_free(client->http);
    mutex_deinit(&client->lock);
    arena_unref(client->arena);
    free(client);
}

/* ---- requests ---- */

struct s3_request s3_client_request(struct s3_client *client, struct arena *arena,
                                    const char *method, struct str key)
{
    struct str resource =
        arena_printf(arena, "/%.*s/%.*s", STR_ARG(client->config->bucket), STR_ARG(key));
    return (struct s3_request){
        .arena = arena,
        .method = str_from(method),
        .host = client->host,
        .path = client->names_bucket ? arena_printf(arena, "/%.*s", STR_ARG(key)) : resource,
        .resource = resource,
        .unsigned_body = !client->config->insecure,
    };
}

static struct error *add_customer_key(struct s3_client *client, struct s3_request *request)
{
    struct buf key = {0}, text = {0};
    uint8_t digest[DIGEST_MD5_SIZE];
    struct error *err = file_read(client->config->sse_key_path, 4096, &key);
    if (!err && key.len != SSE_KEY_SIZE)
        err = error_create(ERROR_INVALID, "s3: the key of SSE-C in %.*s is not %d bytes long",
                           STR_ARG(client->config->sse_key_path), SSE_KEY_SIZE);
    if (!err) {
        s3_request_header(request, "x-amz-server-side-encryption-customer-algorithm",
                          STR("AES256"));
        base64_encode(&text, buf_bytes(&key), BASE64_STANDARD);
        s3_request_header(request, "x-amz-server-side-encryption-customer-key",
                          arena_str(request->arena, buf_str(&text)));
        digest_md5(buf_bytes(&key), digest);
        buf_clear(&text);
        base64_encode(&text, (struct bytes){digest, sizeof(digest)}, BASE64_STANDARD);
        s3_request_header(request, "x-amz-server-side-encryption-customer-key-MD5",
                          arena_str(request->arena, buf_str(&text)));
    }
    digest_wipe(key.data, key.len);
    buf_deinit(&key);
    buf_deinit(&text);
    return err;
}

struct error *s3_client_encrypt(struct s3_client *client, struct s3_request *request, bool is_write)
{
    const struct s3_config *config = client->config;
    if (str_equal(config->sse_type, STR("SSE-C")))
        return add_customer_key(client, request);
    if (!is_write || config->sse_type.len == 0)
        return NULL;
    bool by_service = str_equal(config->sse_type, STR("SSE-KMS"));
    s3_request_header(request, "x-amz-server-side-encryption",
                      by_service ? STR("aws:kms") : STR("AES256"));
    if (by_service)
        s3_request_header(request, "x-amz-server-side-encryption-aws-kms-key-id",
                          config->sse_key_id);
    if (by_service && config->sse_context.len > 0) {
        struct buf text = {0};
        base64_encode(&text, str_bytes(config->sse_context), BASE64_STANDARD);
        s3_request_header(request, "x-amz-server-side-encryption-context",
                          arena_str(request->arena, buf_str(&text)));
        buf_deinit(&text);
    }
    return NULL;
}

static struct error *start_signed(struct s3_client *client, struct context *ctx,
                                  const struct s3_request *request, struct str region,
                                  struct http_stream **out)
{
    struct s3_request copy = *request;
    struct s3_credentials credentials;
    struct error *err = s3_credentials_get(client->credentials, ctx, request->arena, &credentials);
    if (err)
        return err;
    if (credentials.access_key.len > 0 && client->config->signature_v2)
        s3_sign_v2(&copy, &credentials, time_now_ms());
    else if (credentials.access_key.len > 0)
        s3_sign_v4(&copy, &credentials, region, STR("s3"), time_now_ms());
    const struct http_client_request http = {
        .method = copy.method,
        .url = arena_printf(copy.arena, "%.*s%.*s", STR_ARG(client->base),
                            STR_ARG(s3_request_target(&copy))),
        .headers = copy.headers,
        .header_count = copy.header_count,
        .body = copy.body,
    };
    if (client->config->trace)
        log_debug(client->log, "request to S3", KV("method", copy.method), KV("path", copy.path),
                  KV("bytes", copy.body.len));
    return http_stream_start(client->http, ctx, &http, out);
}

/* ---- the region ---- */

static struct str known_region(struct s3_client *client)
{
    mutex_lock(&client->lock);
    struct str region = client->region;
    mutex_unlock(&client->lock);
    return region;
}

static struct error *read_body(struct http_stream *stream, struct context *ctx, size_t max,
                               struct buf *out)
{
    enum { PIECE = 64 * 1024 };
    size_t got = 1, start = out->len;
    struct error *err = NULL;
    while (!err && got > 0) {
        char *room = buf_reserve(out, PIECE);
        if (!room)
            return buf_status(out);
        err = http_stream_read(stream, ctx, room, PIECE, &got);
        out->len += err ? 0 : got;
        if (!err && out->len - start > max)
            err = error_create(ERROR_LIMIT, "answer of S3: longer than %zu bytes", max);
    }
    return err;
}

/* Asks where the bucket is; servers that do not know such things are in us-east-1. */
static struct error *find_region(struct s3_client *client, struct context *ctx, struct arena *arena,
                                 struct str *out)
{
    *out = known_region(client);
    if (out->len > 0 || client->config->signature_v2)
        return NULL;
    struct s3_request request = s3_client_request(client, arena, "GET", STR(""));
    struct http_stream *stream;
    struct buf body = {0};
    struct str region = STR("");
    s3_request_param(&request, "location", STR(""));
    struct error *err = start_signed(client, ctx, &request, STR("us-east-1"), &stream);
    if (err)
        return err;
    err = http_stream_wait(stream, ctx);
    if (!err)
        err = read_body(stream, ctx, 64 * 1024, &body);
    int status = err ? 0 : http_stream_status(stream);
    http_stream_free(stream);
    if (status == 200)
        error_free(s3_find_text(buf_str(&body), STR("LocationConstraint"), arena, &region));
    else if (status >= 400 && status < 500) /* it may tell in its refusal */
        error_free(s3_find_text(buf_str(&body), STR("Region"), arena, &region));
    if (!err && status >= 500)
        err = s3_error(status, buf_str(&body), STR("GET"), STR("?location"));
    buf_deinit(&body);
    if (err)
        return err;
    if (str_equal(region, STR("EU")))
        region = STR("eu-west-1");
    mutex_lock(&client->lock);
    if (client->region.len == 0)
        client->region = region.len > 0 ? arena_str(client->arena, region) : STR("us-east-1");
    *out = client->region;
    mutex_unlock(&client->lock);
    return NULL;
}

struct error *s3_client_start(struct s3_client *client, struct context *ctx,
                              const struct s3_request *request, struct http_stream **out)
{
    struct str region;
    struct error *err = find_region(client, ctx, request->arena, &region);
    return err ? err : start_signed(client, ctx, request, region, out);
}

/* ---- calls ---- */

bool s3_client_pause(struct s3_client *client, struct context *ctx, int attempt)
{
    int64_t tries = client->config->max_retries > 0 ? client->config->max_retries : TRIES_MAX;
    uint32_t random;
    if (attempt >= tries || context_ended(ctx))
        return false;
    int64_t pause = PAUSE_FIRST_MS;
    for (int i = 1; i < attempt && pause < PAUSE_MAX_MS; i++)
        pause *= 2;
    pause = int64_min(pause, PAUSE_MAX_MS);
    digest_random(&random, sizeof(random));
    struct error *err = context_sleep(ctx, pause / 2 + random % (pause / 2 + 1));
    bool goes_on = !err;
    error_free(err);
    return goes_on;
}

static struct error *call_once(struct s3_client *client, struct context *ctx,
                               const struct s3_request *request, size_t response_max,
                               struct s3_answer *answer)
{
    struct http_stream *stream;
    struct error *err = s3_client_start(client, ctx, request, &stream);
    if (err)
        return err;
    err = http_stream_wait(stream, ctx);
    if (!err) {
        answer->status = http_stream_status(stream);
        answer->etag = arena_str(request->arena, http_stream_header(stream, STR("ETag")));
        answer->length =
            arena_str(request->arena, http_stream_header(stream, STR("Content-Length")));
        answer->modified =
            arena_str(request->arena, http_stream_header(stream, STR("Last-Modified")));
        err = read_body(stream, ctx, response_max, &answer->body);
    }
    http_stream_free(stream);
    return err;
}

struct error *s3_client_call(struct s3_client *client, struct context *ctx,
                             const struct s3_request *request, size_t response_max,
                             struct s3_answer *answer)
{
    *answer = (struct s3_answer){0};
    for (int attempt = 1;; attempt++) {
        buf_clear(&answer->body);
        struct error *err = call_once(client, ctx, request, response_max, answer);
        bool may_help = err ? error_kind(err) == ERROR_UNAVAILABLE
                            : s3_status_is_retryable(answer->status, buf_str(&answer->body));
        if (!err && str_contains(buf_str(&answer->body), STR("<Code>ExpiredToken</Code>")))
            s3_credentials_forget(client->credentials);
        if (!may_help || !s3_client_pause(client, ctx, attempt)) {
            if (err)
                buf_deinit(&answer->body);
            return err;
        }
        error_free(err);
    }
}
