#include "objstore/bucket_s3.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/vec.h"
#include "codec/base64.h"
#include "codec/digest.h"
#include "codec/url.h"
#include "codec/xml.h"
#include "objstore/s3_client.h"
#include "objstore/s3_config.h"
#include "objstore/s3_reply.h"
#include "runtime/context.h"

enum {
    READS_AT_ONCE = 32,
    ANSWER_MAX = 16 << 20,
    PART_SIZE = 16 << 20, /* when the configuration says nothing: it is held in memory */
    PART_SIZE_MIN = 5 << 20,
    PARTS_MAX = 10000,
};

struct s3_bucket {
    struct bucket base;
    struct arena *arena; /* of the configuration */
    struct s3_config config;
    struct s3_client *client;
};

static struct s3_bucket *of(struct bucket *bucket)
{
    return container_of(bucket, struct s3_bucket, base);
}

/* ---- reading ---- */

/* One read of a batch, over its tries. */
struct s3_read {
    struct bucket_read *read;
    struct arena *arena;
    struct http_stream *stream; /* NULL: not under way */
    size_t start;               /* of what it appends */
    struct error *err;          /* of this try */
    bool may_retry;
};

static void read_start(struct s3_bucket *bucket, struct context *ctx, struct s3_read *read)
{
    struct s3_request request =
        s3_client_request(bucket->client, read->arena, "GET", read->read->key);
    uint64_t offset = read->read->offset, length = read->read->length;
    read->may_retry = true;
    read->err = s3_client_encrypt(bucket->client, &request, false);
    if (length == BUCKET_TO_END && offset > 0)
        s3_request_header(&request, "Range",
                          arena_printf(read->arena, "bytes=%llu-", (unsigned long long)offset));
    else if (length != BUCKET_TO_END)
        s3_request_header(&request, "Range",
                          arena_printf(read->arena, "bytes=%llu-%llu", (unsigned long long)offset,
                                       (unsigned long long)(offset + length - 1)));
    if (!read->err)
        read->err = s3_client_start(bucket->client, ctx, &request, &read->stream);
}

static struct error *read_into(struct s3_read *read, struct context *ctx, uint64_t max)
{
    enum { PIECE = 128 * 1024 };
    struct buf *out = &read->read->out;
    struct error *err = NULL;
    for (size_t got = 1; !err && got > 0;) {
        char *room = buf_reserve(out, PIECE);
        if (!room) {
            read->may_retry = false;
            return buf_status(out);
        }
        err = http_stream_read(read->stream, ctx, room, PIECE, &got);
        out->len += err ? 0 : got;
        if (!err && out->len - read->start > max)
            err = error_create(ERROR_CORRUPT, "more came than was asked for");
    }
    return err;
}

/* Content-Range must begin where the read does. */
static bool range_fits(const struct s3_read *read)
{
    struct str range = http_stream_header(read->stream, STR("Content-Range")), from, rest;
    uint64_t begin;
    if (!str_starts_with(range, STR("bytes ")))
        return false;
    range = str_slice(range, STR("bytes ").len, range.len);
    return str_cut(range, '-', &from, &rest) && str_to_uint64(from, &begin) &&
           begin == read->read->offset;
}

static struct error *read_answer(struct s3_read *read, struct context *ctx)
{
    bool is_range = read->read->offset > 0 || read->read->length != BUCKET_TO_END;
    struct error *err = http_stream_wait(read->stream, ctx);
    if (err)
        return err;
    int status = http_stream_status(read->stream);
    if (status == 416) /* it begins behind the end */
        return NULL;
    if (status == (is_range ? 206 : 200)) {
        if (is_range && !range_fits(read))
            return error_create(ERROR_CORRUPT, "another range came than was asked for");
        uint64_t promised, max = read->read->length;
        if (str_to_uint64(http_stream_header(read->stream, STR("Content-Length")), &promised) &&
            promised < max)
            max = promised;
        err = read_into(read, ctx, max);
        if (!err && max != read->read->length && read->read->out.len - read->start != max)
            err = error_create(ERROR_UNAVAILABLE, "the answer ended too early");
        return err;
    }
    err = read_into(read, ctx, ANSWER_MAX);
    if (!err) {
        struct str body = str_slice(buf_str(&read->read->out), read->start, SIZE_MAX);
        read->may_retry = s3_status_is_retryable(status, body);
        err = s3_error(status, body, STR("GET"), read->read->key);
    }
    return err;
}

static void read_finish(struct s3_read *read, struct context *ctx)
{
    if (!read->err)
        read->err = read_answer(read, ctx);
    http_stream_free(read->stream);
    read->stream = NULL;
    if (read->err)
        read->read->out.len = read->start;
}

static bool may_retry(const struct s3_read *read)
{
    enum error_kind kind = error_kind(read->err);
    return read->may_retry &&
           (kind == ERROR_UNAVAILABLE || kind == ERROR_BUSY || kind == ERROR_CORRUPT);
}

/* All that are left, so many under way at a time; what may be tried again stays, in front. */
static size_t read_round(struct s3_bucket *bucket, struct context *ctx, struct s3_read *reads,
                         size_t count, bool is_last)
{
    size_t started = 0, left = 0;
    for (size_t i = 0; i < count; i++) {
        for (; started < count && started < i + READS_AT_ONCE; started++)
            read_start(bucket, ctx, &reads[started]);
        read_finish(&reads[i], ctx);
        struct s3_read read = reads[i];
        if (read.err && may_retry(&read) && !is_last && !context_ended(ctx)) {
            error_free(read.err);
            read.err = NULL;
            reads[left++] = read;
        } else {
            read.read->err = error_wrap(read.err, "get %.*s", STR_ARG(read.read->key));
        }
    }
    return left;
}

static void s3_read(struct bucket *base, struct context *ctx, struct bucket_read *reads,
                    size_t count)
{
    struct s3_bucket *bucket = of(base);
    struct arena *arena = arena_create(NULL);
    struct s3_read *left = arena_zalloc(arena, count * sizeof(*left));
    size_t left_count = 0;
    for (size_t i = 0; i < count; i++) {
        reads[i].err = context_error(ctx);
        if (!reads[i].err && reads[i].length > 0)
            left[left_count++] =
                (struct s3_read){.read = &reads[i], .arena = arena, .start = reads[i].out.len};
    }
    bool is_last = false;
    for (int attempt = 1; left_count > 0; attempt++) {
        left_count = read_round(bucket, ctx, left, left_count, is_last);
        if (left_count > 0) /* after a pause that may not be, they are tried a last time */
            is_last = !s3_client_pause(bucket->client, ctx, attempt);
    }
    arena_unref(arena);
}

/* "Tue, 24 Nov 2026 12:00:00 GMT" */
static int64_t parse_http_date(struct str text)
{
    struct tm parts = {0};
    char copy[64];
    if (text.len >= sizeof(copy))
        return 0;
    memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    return strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &parts) ? (int64_t)timegm(&parts) * 1000 : 0;
}

/* A call whose answer is empty but for errors. */
static struct error *call(struct s3_bucket *bucket, struct context *ctx,
                          const struct s3_request *request, struct str key,
                          struct s3_answer *answer)
{
    struct error *err = s3_client_call(bucket->client, ctx, request, ANSWER_MAX, answer);
    if (!err && (answer->status < 200 || answer->status > 299)) {
        err = s3_error(answer->status, buf_str(&answer->body), request->method, key);
        buf_deinit(&answer->body);
    }
    return err;
}

static struct error *s3_attributes(struct bucket *base, struct context *ctx, struct str key,
                                   struct bucket_attributes *out)
{
    struct s3_bucket *bucket = of(base);
    struct arena *arena = arena_create(NULL);
    struct s3_request request = s3_client_request(bucket->client, arena, "HEAD", key);
    struct s3_answer answer;
    struct error *err = s3_client_encrypt(bucket->client, &request, false);
    if (!err)
        err = call(bucket, ctx, &request, key, &answer);
    if (!err) {
        if (!str_to_uint64(answer.length, &out->size))
            err = error_create(ERROR_CORRUPT, "HEAD %.*s: the answer has no length", STR_ARG(key));
        out->modified_ms = parse_http_date(answer.modified);
        buf_deinit(&answer.body);
    }
    arena_unref(arena);
    return err;
}

/* ---- listing ---- */

static struct error *get_page(struct s3_bucket *bucket, struct context *ctx, struct str prefix,
                              enum bucket_listing listing, struct str from, struct arena *arena,
                              struct s3_page *page)
{
    struct s3_request request = s3_client_request(bucket->client, arena, "GET", STR(""));
    struct s3_answer answer;
    bool is_v1 = bucket->config.list_v1;
    if (!is_v1)
        s3_request_param(&request, "list-type", STR("2"));
    if (from.len > 0)
        s3_request_param(&request, is_v1 ? "marker" : "continuation-token", from);
    if (listing == LIST_ONE_LEVEL)
        s3_request_param(&request, "delimiter", STR("/"));
    s3_request_param(&request, "max-keys", STR("1000"));
    s3_request_param(&request, "prefix", prefix);
    struct error *err = call(bucket, ctx, &request, prefix, &answer);
    if (err)
        return err;
    err = s3_page_parse(buf_str(&answer.body), arena, page);
    buf_deinit(&answer.body);
    return err;
}

static struct error *s3_list(struct bucket *base, struct context *ctx, struct str prefix,
                             enum bucket_listing listing, bucket_list_fn each, void *self)
{
    struct buf from = {0};
    struct error *err = NULL;
    for (bool more = true; more && !err;) {
        struct arena *arena = arena_create(context_budget(ctx));
        struct s3_page page;
        err = get_page(of(base), ctx, prefix, listing, buf_str(&from), arena, &page);
        for (size_t i = 0; !err && i < page.count; i++) {
            if (page.entries[i].key.len > prefix.len) /* not the mark of the directory itself */
                err = each(self, &page.entries[i]);
        }
        more = !err && page.is_truncated;
        buf_clear(&from);
        if (more)
            buf_append_str(&from, page.next);
        arena_unref(arena);
    }
    buf_deinit(&from);
    return error_wrap(err, "list \"%.*s\"", STR_ARG(prefix));
}

/* ---- writing ---- */

static void add_md5(struct s3_request *request)
{
    uint8_t digest[DIGEST_MD5_SIZE];
    struct buf text = {0};
    digest_md5(request->body, digest);
    base64_encode(&text, (struct bytes){digest, sizeof(digest)}, BASE64_STANDARD);
    s3_request_header(request, "Content-MD5", arena_str(request->arena, buf_str(&text)));
    buf_deinit(&text);
}

static void add_metadata(const struct s3_bucket *bucket, struct s3_request *request)
{
    for (size_t i = 0; i < bucket->config.metadata_count; i++)
        s3_request_header(request, bucket->config.metadata[i].name.data,
                          bucket->config.metadata[i].value);
}

static struct error *put_whole(struct s3_bucket *bucket, struct context *ctx, struct str key,
                               struct bytes content)
{
    struct arena *arena = arena_create(NULL);
    struct s3_request request = s3_client_request(bucket->client, arena, "PUT", key);
    struct s3_answer answer;
    request.body = content;
    s3_request_header(&request, "Content-Type", STR("application/octet-stream"));
    if (bucket->config.send_content_md5)
        add_md5(&request);
    add_metadata(bucket, &request);
    struct error *err = s3_client_encrypt(bucket->client, &request, true);
    if (!err)
        err = call(bucket, ctx, &request, key, &answer);
    if (!err)
        buf_deinit(&answer.body);
    arena_unref(arena);
    return err;
}

struct upload { /* in parts */
    struct s3_bucket *bucket;
    struct context *ctx;
    struct str key, id;
    struct arena *arena;
    VEC(struct str) etags; /* of part 1, 2, ... */
};

static struct error *upload_begin(struct upload *upload)
{
    struct s3_request request =
        s3_client_request(upload->bucket->client, upload->arena, "POST", upload->key);
    struct s3_answer answer;
    s3_request_param(&request, "uploads", STR(""));
    s3_request_header(&request, "Content-Type", STR("application/octet-stream"));
    add_metadata(upload->bucket, &request);
    struct error *err = s3_client_encrypt(upload->bucket->client, &request, true);
    if (!err)
        err = call(upload->bucket, upload->ctx, &request, upload->key, &answer);
    if (err)
        return err;
    err = s3_find_text(buf_str(&answer.body), STR("UploadId"), upload->arena, &upload->id);
    if (!err && upload->id.len == 0)
        err = error_create(ERROR_CORRUPT, "the answer names no upload");
    buf_deinit(&answer.body);
    return err;
}

static struct error *upload_part(struct upload *upload, struct bytes content)
{
    struct arena *arena = arena_create(NULL);
    struct s3_request request =
        s3_client_request(upload->bucket->client, arena, "PUT", upload->key);
    struct s3_answer answer;
    struct error *err = NULL;
    if (upload->etags.len == PARTS_MAX)
        err = error_create(ERROR_LIMIT, "more than %d parts: part_size is too small", PARTS_MAX);
    request.body = content;
    s3_request_param(&request, "partNumber", arena_printf(arena, "%zu", upload->etags.len + 1));
    s3_request_param(&request, "uploadId", upload->id);
    s3_request_header(&request, "Content-Type", STR("application/octet-stream"));
    if (upload->bucket->config.send_content_md5)
        add_md5(&request);
    if (!err && str_equal(upload->bucket->config.sse_type, STR("SSE-C")))
        err = s3_client_encrypt(upload->bucket->client, &request, false);
    if (!err)
        err = call(upload->bucket, upload->ctx, &request, upload->key, &answer);
    if (!err) {
        vec_push(&upload->etags, arena_str(upload->arena, answer.etag));
        buf_deinit(&answer.body);
    }
    arena_unref(arena);
    return err;
}

static struct error *upload_complete(struct upload *upload)
{
    struct s3_request request =
        s3_client_request(upload->bucket->client, upload->arena, "POST", upload->key);
    struct s3_answer answer;
    struct buf body = {0};
    struct str code = STR("");
    s3_request_param(&request, "uploadId", upload->id);
    buf_append_cstr(&body, "<CompleteMultipartUpload>");
    for (size_t i = 0; i < upload->etags.len; i++) {
        buf_printf(&body, "<Part><PartNumber>%zu</PartNumber><ETag>", i + 1);
        xml_append_text(&body, upload->etags.items[i]);
        buf_append_cstr(&body, "</ETag></Part>");
    }
    buf_append_cstr(&body, "</CompleteMultipartUpload>");
    request.body = buf_bytes(&body);
    s3_request_header(&request, "Content-Type", STR("application/xml"));
    struct error *err = call(upload->bucket, upload->ctx, &request, upload->key, &answer);
    buf_deinit(&body);
    if (err)
        return err;
    /* a failure that comes late has status 200 and tells in the body */
    err = s3_find_text(buf_str(&answer.body), STR("Code"), upload->arena, &code);
    if (!err && code.len > 0)
        err = s3_error(500, buf_str(&answer.body), STR("POST"), upload->key);
    buf_deinit(&answer.body);
    return err;
}

/* Parts of an upload that failed would be kept and paid for. */
static void upload_abort(struct upload *upload)
{
    struct s3_request request =
        s3_client_request(upload->bucket->client, upload->arena, "DELETE", upload->key);
    struct context *ctx = context_create(NULL, 10 * 1000); /* also when the upload was cancelled */
    struct s3_answer answer;
    s3_request_param(&request, "uploadId", upload->id);
    struct error *err = call(upload->bucket, ctx, &request, upload->key, &answer);
    if (!err)
        buf_deinit(&answer.body);
    error_free(err);
    context_unref(ctx);
}

/* Gathers up to `size` bytes of the source. */
static struct error *gather(struct bucket_source *source, size_t size, struct buf *out, bool *ended)
{
    while (out->len < size && !*ended) {
        struct bytes piece;
        struct error *err = source->next(source, &piece);
        if (err)
            return err;
        *ended = piece.len == 0;
        buf_append(out, piece.data, piece.len);
    }
    return buf_status(out);
}

static size_t part_size(const struct s3_bucket *bucket, uint64_t size)
{
    uint64_t part = bucket->config.part_size > 0 ? bucket->config.part_size : PART_SIZE;
    if (size != BUCKET_TO_END && part * (PARTS_MAX - 1) < size)
        part = size / (PARTS_MAX - 1) + 1;
    return part < PART_SIZE_MIN ? PART_SIZE_MIN : (size_t)part;
}

static struct error *put_parts(struct s3_bucket *bucket, struct context *ctx, struct str key,
                               struct bucket_source *source, struct buf *part, size_t size,
                               uint64_t *given)
{
    struct upload upload = {.bucket = bucket, .ctx = ctx, .key = key, .arena = arena_create(NULL)};
    bool ended = false;
    struct error *err = upload_begin(&upload);
    if (err) {
        arena_unref(upload.arena);
        return err;
    }
    while (!err && part->len > 0) {
        size_t len = size_min(part->len, size);
        err = upload_part(&upload, (struct bytes){(const uint8_t *)part->data, len});
        *given += len;
        buf_consume(part, len);
        if (!err)
            err = gather(source, size, part, &ended);
    }
    if (!err && source->size != BUCKET_TO_END && *given != source->size)
        err = error_create(ERROR_CORRUPT, "%llu bytes were to come, %llu came",
                           (unsigned long long)source->size, (unsigned long long)*given);
    if (!err)
        err = upload_complete(&upload);
    if (err)
        upload_abort(&upload);
    vec_deinit(&upload.etags);
    arena_unref(upload.arena);
    return err;
}

static struct error *s3_put(struct bucket *base, struct context *ctx, struct str key,
                            struct bucket_source *source)
{
    struct s3_bucket *bucket = of(base);
    size_t size = bucket->config.no_multipart ? SIZE_MAX / 2 : part_size(bucket, source->size);
    struct buf part = {0};
    bool ended = false;
    uint64_t given = 0;
    struct error *err = context_error(ctx);
    if (!err) /* one byte more than a part tells that there are several */
        err = gather(source, size + 1, &part, &ended);
    if (!err && ended && source->size != BUCKET_TO_END && part.len != source->size)
        err = error_create(ERROR_CORRUPT, "%llu bytes were to come, %zu came",
                           (unsigned long long)source->size, part.len);
    if (!err && ended)
        err = put_whole(bucket, ctx, key, buf_bytes(&part));
    else if (!err)
        err = put_parts(bucket, ctx, key, source, &part, size, &given);
    buf_deinit(&part);
    return error_wrap(err, "put %.*s", STR_ARG(key));
}

static struct error *s3_remove(struct bucket *base, struct context *ctx, struct str key)
{
    struct s3_bucket *bucket = of(base);
    struct arena *arena = arena_create(NULL);
    struct s3_request request = s3_client_request(bucket->client, arena, "DELETE", key);
    struct s3_answer answer;
    struct error *err = call(bucket, ctx, &request, key, &answer);
    if (!err)
        buf_deinit(&answer.body);
    arena_unref(arena);
    return err;
}

/* ---- the bucket ---- */

static void s3_free(struct bucket *base)
{
    struct s3_bucket *bucket = of(base);
    s3_client_free(bucket->client);
    arena_unref(bucket->arena);
    free(bucket);
}

static const struct bucket_ops s3_ops = {
    .read = s3_read,
    .list = s3_list,
    .attributes = s3_attributes,
    .put = s3_put,
    .remove = s3_remove,
    .free = s3_free,
};

/* What the configuration refers to lives as long as the YAML's arena: texts are copied. */
static void copy_texts(struct s3_config *config, struct arena *arena)
{
    struct str *const texts[] = {
        &config->bucket,
        &config->endpoint,
        &config->region,
        &config->credentials.access_key,
        &config->credentials.secret_key,
        &config->credentials.session_token,
        &config->sse_type,
        &config->sse_key_id,
        &config->sse_key_path,
        &config->sse_context,
        &config->sts_endpoint,
        &config->http.ca_file,
        &config->http.cert_file,
        &config->http.key_file,
        &config->http.server_name,
    };
    for (size_t i = 0; i < countof(texts); i++)
        *texts[i] = arena_str(arena, *texts[i]);
    for (size_t i = 0; i < config->metadata_count; i++) {
        struct http_header *header = &config->metadata[i];
        header->name = str_from(arena_cstr(arena, header->name));
        header->value = arena_str(arena, header->value);
    }
}

struct error *bucket_s3_create(const struct yaml_node *config, struct event_loops *loops,
                               struct log *log, struct bucket **out)
{
    struct s3_bucket *bucket = xcalloc(1, sizeof(*bucket));
    bucket->base.ops = &s3_ops;
    bucket->arena = arena_create(NULL);
    struct error *err = s3_config_parse(config, bucket->arena, &bucket->config);
    if (!err && !loops)
        err = error_create(ERROR_INVALID, "s3: there is no network here");
    if (!err) {
        copy_texts(&bucket->config, bucket->arena);
        err = s3_client_create(&bucket->config, loops, log, &bucket->client);
    }
    if (err) {
        arena_unref(bucket->arena);
        free(bucket);
        return err;
    }
    bucket->base.name = bucket->config.bucket;
    bucket->base.type = STR("S3");
    *out = &bucket->base;
    return NULL;
}
