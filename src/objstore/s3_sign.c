#include "objstore/s3_sign.h"

#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "codec/base64.h"
#include "codec/digest.h"

void s3_request_param(struct s3_request *request, const char *name, struct str value)
{
    size_t at = request->param_count++;
    if (at >= S3_PARAMS_MAX)
        bug("a request to S3 with too many parameters");
    while (at > 0 && str_compare(request->params[at - 1].name, str_from(name)) > 0) {
        request->params[at] = request->params[at - 1];
        at--;
    }
    request->params[at] = (struct s3_param){str_from(name), value};
}

void s3_request_header(struct s3_request *request, const char *name, struct str value)
{
    if (request->header_count == S3_HEADERS_MAX)
        bug("a request to S3 with too many headers");
    request->headers[request->header_count++] = (struct http_header){str_from(name), value};
}

/* All but letters, digits and -_.~ as %XX; slashes of a path stay. */
static void encode(struct buf *out, struct str text, bool is_path)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.data[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.' || c == '~' || (is_path && c == '/');
        if (plain) {
            buf_append_byte(out, c);
            continue;
        }
        buf_append_byte(out, '%');
        buf_append_byte(out, (uint8_t)digits[c >> 4]);
        buf_append_byte(out, (uint8_t)digits[c & 15]);
    }
}

static void put_query(struct buf *out, const struct s3_request *request)
{
    for (size_t i = 0; i < request->param_count; i++) {
        if (i > 0)
            buf_append_byte(out, '&');
        encode(out, request->params[i].name, false);
        buf_append_byte(out, '=');
        encode(out, request->params[i].value, false);
    }
}

static struct str take(struct buf *buf, struct arena *arena)
{
    struct str copy = arena_str(arena, buf_str(buf));
    buf_deinit(buf);
    return copy;
}

struct str s3_request_target(const struct s3_request *request)
{
    struct buf target = {0};
    encode(&target, request->path, true);
    if (request->param_count > 0)
        buf_append_byte(&target, '?');
    put_query(&target, request);
    return take(&target, request->arena);
}

/* ---- version 4 ---- */

static struct str lower(struct arena *arena, struct str text)
{
    char *copy = arena_bytes(arena, text.len);
    for (size_t i = 0; i < text.len; i++)
        copy[i] =
            text.data[i] >= 'A' && text.data[i] <= 'Z' ? (char)(text.data[i] + 32) : text.data[i];
    return (struct str){copy, text.len};
}

static int header_compare(const void *a, const void *b)
{
    return str_compare(((const struct http_header *)a)->name,
                       ((const struct http_header *)b)->name);
}

static struct str hex_sha256(struct arena *arena, struct bytes data)
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    struct buf text = {0};
    digest_sha256(data, digest);
    digest_hex(&text, digest, sizeof(digest));
    return take(&text, arena);
}

/* Method, target, headers, names of the headers, digest of the body. */
static struct str canonical_request(const struct s3_request *request, struct str body_digest,
                                    struct str *signed_names)
{
    struct http_header headers[S3_HEADERS_MAX + 1];
    size_t count = 0;
    struct buf text = {0}, names = {0};
    headers[count++] = (struct http_header){STR("host"), request->host};
    for (size_t i = 0; i < request->header_count; i++)
        headers[count++] = (struct http_header){lower(request->arena, request->headers[i].name),
                                                str_trim(request->headers[i].value)};
    qsort(headers, count, sizeof(headers[0]), header_compare);
    buf_printf(&text, "%.*s\n", STR_ARG(request->method));
    encode(&text, request->path, true);
    buf_append_byte(&text, '\n');
    put_query(&text, request);
    buf_append_byte(&text, '\n');
    for (size_t i = 0; i < count; i++) {
        buf_printf(&text, "%.*s:%.*s\n", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
        buf_printf(&names, "%s%.*s", i ? ";" : "", STR_ARG(headers[i].name));
    }
    buf_printf(&text, "\n%.*s\n%.*s", STR_ARG(buf_str(&names)), STR_ARG(body_digest));
    *signed_names = take(&names, request->arena);
    return take(&text, request->arena);
}

static struct str signature_v4(struct arena *arena, struct str secret, const struct str *steps,
                               size_t count)
{
    uint8_t key[DIGEST_SHA256_SIZE];
    struct buf first = {0}, text = {0};
    buf_printf(&first, "AWS4%.*s", STR_ARG(secret));
    digest_hmac_sha256(buf_bytes(&first), str_bytes(steps[0]), key);
    for (size_t i = 1; i < count; i++) {
        uint8_t next[DIGEST_SHA256_SIZE];
        digest_hmac_sha256((struct bytes){key, sizeof(key)}, str_bytes(steps[i]), next);
        memcpy(key, next, sizeof(key));
    }
    digest_hex(&text, key, sizeof(key));
    digest_wipe(first.data, first.len);
    buf_deinit(&first);
    return take(&text, arena);
}

static struct str time_text(struct arena *arena, int64_t now_ms, const char *format)
{
    char text[64];
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t len = strftime(text, sizeof(text), format, &parts);
    return arena_str(arena, (struct str){text, len});
}

void s3_sign_v4(struct s3_request *request, const struct s3_credentials *credentials,
                struct str region, struct str service, int64_t now_ms)
{
    struct arena *arena = request->arena;
    struct str stamp = time_text(arena, now_ms, "%Y%m%dT%H%M%SZ");
    struct str day = str_slice(stamp, 0, 8), names;
    struct str digest =
        request->unsigned_body ? STR("UNSIGNED-PAYLOAD") : hex_sha256(arena, request->body);
    if (str_equal(service, STR("s3")))
        s3_request_header(request, "x-amz-content-sha256", digest);
    s3_request_header(request, "x-amz-date", stamp);
    if (credentials->session_token.len > 0)
        s3_request_header(request, "x-amz-security-token", credentials->session_token);
    struct str canonical = canonical_request(request, digest, &names);
    struct str scope = arena_printf(arena, "%.*s/%.*s/%.*s/aws4_request", STR_ARG(day),
                                    STR_ARG(region), STR_ARG(service));
    struct str to_sign =
        arena_printf(arena, "AWS4-HMAC-SHA256\n%.*s\n%.*s\n%.*s", STR_ARG(stamp), STR_ARG(scope),
                     STR_ARG(hex_sha256(arena, str_bytes(canonical))));
    const struct str steps[] = {day, region, service, STR("aws4_request"), to_sign};
    struct str signature = signature_v4(arena, credentials->secret_key, steps, countof(steps));
    s3_request_header(
        request, "Authorization",
        arena_printf(
            arena, "AWS4-HMAC-SHA256 Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=%.*s",
            STR_ARG(credentials->access_key), STR_ARG(scope), STR_ARG(names), STR_ARG(signature)));
}

/* ---- version 2 ---- */

static struct str find_header(const struct s3_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (str_equal_nocase(request->headers[i].name, str_from(name)))
            return request->headers[i].value;
    }
    return STR("");
}

/* Parameters that name a part of a resource. */
static bool is_subresource(struct str name)
{
    static const struct str names[] = {STR_INIT("location"), STR_INIT("partNumber"),
                                       STR_INIT("uploadId"), STR_INIT("uploads")};
    for (size_t i = 0; i < countof(names); i++) {
        if (str_equal(names[i], name))
            return true;
    }
    return false;
}

static void put_amz_headers(struct buf *out, const struct s3_request *request)
{
    struct http_header headers[S3_HEADERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        struct str name = lower(request->arena, request->headers[i].name);
        if (str_starts_with(name, STR("x-amz-")))
            headers[count++] = (struct http_header){name, request->headers[i].value};
    }
    qsort(headers, count, sizeof(headers[0]), header_compare);
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%.*s:%.*s\n", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
}

void s3_sign_v2(struct s3_request *request, const struct s3_credentials *credentials,
                int64_t now_ms)
{
    struct buf text = {0}, signature = {0};
    uint8_t digest[DIGEST_SHA1_SIZE];
    char separator = '?';
    struct str date = time_text(request->arena, now_ms, "%a, %d %b %Y %H:%M:%S GMT");
    s3_request_header(request, "Date", date);
    if (credentials->session_token.len > 0)
        s3_request_header(request, "x-amz-security-token", credentials->session_token);
    buf_printf(&text, "%.*s\n%.*s\n%.*s\n%.*s\n", STR_ARG(request->method),
               STR_ARG(find_header(request, "Content-MD5")),
               STR_ARG(find_header(request, "Content-Type")), STR_ARG(date));
    put_amz_headers(&text, request);
    encode(&text, request->resource, true);
    for (size_t i = 0; i < request->param_count; i++) {
        if (!is_subresource(request->params[i].name))
            continue;
        buf_printf(&text, "%c%.*s", separator, STR_ARG(request->params[i].name));
        if (request->params[i].value.len > 0)
            buf_printf(&text, "=%.*s", STR_ARG(request->params[i].value));
        separator = '&';
    }
    digest_hmac_sha1(str_bytes(credentials->secret_key), buf_bytes(&text), digest);
    base64_encode(&signature, (struct bytes){digest, sizeof(digest)}, BASE64_STANDARD);
    s3_request_header(request, "Authorization",
                      arena_printf(request->arena, "AWS %.*s:%.*s",
                                   STR_ARG(credentials->access_key), STR_ARG(buf_str(&signature))));
    buf_deinit(&signature);
    buf_deinit(&text);
}
