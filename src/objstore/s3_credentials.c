#include "objstore/s3_credentials.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "base/time_text.h"
#include "codec/digest.h"
#include "codec/json.h"
#include "codec/url.h"
#include "net/http_client.h"
#include "objstore/s3_reply.h"
#include "objstore/s3_sign.h"
#include "runtime/context.h"
#include "runtime/file.h"
#include "runtime/time.h"

enum {
    ANSWER_MAX = 1 << 20,
    RENEW_BEFORE_MS = 5 * 60 * 1000,
    METADATA_TIMEOUT_MS = 1000,
    FILE_MAX = 1 << 20,
};

static const char METADATA_SERVICE[] = "http://169.254.169.254";
static const char CONTAINER_SERVICE[] = "http://169.254.170.2";

/* What was found, and until when it holds. */
struct found {
    struct s3_credentials keys;
    int64_t ends_ms; /* INT64_MAX: it does not end */
};

struct s3_credentials_source {
    const struct s3_config *config;
    struct http_client *http;
    struct mutex lock;
    struct arena *arena GUARDED_BY(lock); /* of `found`; NULL: nothing was found yet */
    struct found found GUARDED_BY(lock);
};

struct s3_credentials_source *s3_credentials_source_create(const struct s3_config *config,
                                                           struct http_client *http)
{
    struct s3_credentials_source *source = xcalloc(1, sizeof(*source));
    source->config = config;
    source->http = http;
    mutex_init(&source->lock);
    return source;
}

void s3_credentials_source_free(struct s3_credentials_source *source)
{
    if (!source)
        return;
    arena_unref(source->arena);
    mutex_deinit(&source->lock);
    free(source);
}

static struct str environment(const char *name)
{
    return str_from(getenv(name));
}

/* ---- variables and files ---- */

static bool find_variables(struct found *found)
{
    static const char *const names[][2] = {
        {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
        {"AWS_ACCESS_KEY", "AWS_SECRET_KEY"},
        {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"},
        {"MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"},
    };
    for (size_t i = 0; i < countof(names); i++) {
        found->keys = (struct s3_credentials){environment(names[i][0]), environment(names[i][1]),
                                              environment("AWS_SESSION_TOKEN")};
        if (found->keys.access_key.len > 0 && found->keys.secret_key.len > 0)
            return true;
    }
    found->keys = (struct s3_credentials){STR(""), STR(""), STR("")};
    return false;
}

struct error *s3_credentials_parse_file(struct str text, struct str profile, struct arena *arena,
                                        struct s3_credentials *out)
{
    bool is_ours = false, more = true;
    *out = (struct s3_credentials){STR(""), STR(""), STR("")};
    for (size_t number = 1; more; number++) {
        struct str line, key, value;
        more = str_cut(text, '\n', &line, &text);
        line = str_trim(line);
        if (line.len == 0 || line.data[0] == '#' || line.data[0] == ';')
            continue;
        if (line.data[0] == '[') {
            if (line.data[line.len - 1] != ']')
                return error_create(ERROR_INVALID, "line %zu: a profile has no end", number);
            is_ours = str_equal(str_trim(str_slice(line, 1, line.len - 1)), profile);
            continue;
        }
        if (!str_cut(line, '=', &key, &value))
            return error_create(ERROR_INVALID, "line %zu: this is no key = value", number);
        key = str_trim(key);
        value = str_trim(value);
        if (is_ours && str_equal_nocase(key, STR("aws_access_key_id")))
            out->access_key = arena_str(arena, value);
        else if (is_ours && str_equal_nocase(key, STR("aws_secret_access_key")))
            out->secret_key = arena_str(arena, value);
        else if (is_ours && str_equal_nocase(key, STR("aws_session_token")))
            out->session_token = arena_str(arena, value);
    }
    return NULL;
}

static struct error *find_in_file(struct arena *arena, struct found *found)
{
    struct str path = environment("AWS_SHARED_CREDENTIALS_FILE");
    struct str profile = environment("AWS_PROFILE"), home = environment("HOME");
    struct buf text = {0};
    if (path.len == 0 && home.len == 0)
        return NULL;
    if (path.len == 0)
        path = arena_printf(arena, "%.*s/.aws/credentials", STR_ARG(home));
    struct error *err = file_read(path, FILE_MAX, &text);
    if (err && error_kind(err) == ERROR_NOT_FOUND) {
        error_free(err);
        err = NULL;
    } else if (!err) {
        err = s3_credentials_parse_file(buf_str(&text), profile.len ? profile : STR("default"),
                                        arena, &found->keys);
    }
    digest_wipe(text.data, text.len);
    buf_deinit(&text);
    return error_wrap(err, "credentials file %.*s", STR_ARG(path));
}

/* ---- services ---- */

static struct error *fetch(struct s3_credentials_source *source, struct context *ctx,
                           const struct http_client_request *request, struct buf *body)
{
    int status = 0;
    struct error *err = http_fetch(source->http, ctx, request, &status, body);
    if (!err && status != 200)
        err = error_create(ERROR_UNAVAILABLE, "status %d", status);
    return error_wrap(err, "credentials from %.*s", STR_ARG(request->url));
}

static void set_end(struct found *found, struct str text)
{
    if (!time_text_parse_ms(text, &found->ends_ms))
        found->ends_ms = time_now_ms() + 2 * (int64_t)RENEW_BEFORE_MS;
}

/* The JSON of the container's and the instance's services. */
static struct error *parse_json(struct str text, struct arena *arena, struct found *found)
{
    struct json_reader json = json_read(arena_str(arena, text), arena);
    struct str key, end = STR("");
    if (json_object(&json)) {
        while (json_key(&json, &key)) {
            if (str_equal(key, STR("AccessKeyId")))
                found->keys.access_key = json_str(&json);
            else if (str_equal(key, STR("SecretAccessKey")))
                found->keys.secret_key = json_str(&json);
            else if (str_equal(key, STR("Token")))
                found->keys.session_token = json_str(&json);
            else if (str_equal(key, STR("Expiration")))
                end = json_str(&json);
            else
                json_skip(&json);
        }
    }
    struct error *err = json_finish(&json, "credentials");
    set_end(found, end);
    if (!err && (found->keys.access_key.len == 0 || found->keys.secret_key.len == 0))
        err = error_create(ERROR_UNAVAILABLE, "credentials: there are none in the answer");
    return err;
}

/* A token of the surroundings (Kubernetes) against keys of a role. */
static struct error *find_by_web_identity(struct s3_credentials_source *source, struct context *ctx,
                                          struct arena *arena, struct found *found)
{
    struct str token_file = environment("AWS_WEB_IDENTITY_TOKEN_FILE");
    struct str role = environment("AWS_ROLE_ARN"), session = environment("AWS_ROLE_SESSION_NAME");
    struct str endpoint = source->config->sts_endpoint, region = source->config->region, end;
    struct buf token = {0}, form = {0}, answer = {0};
    if (endpoint.len == 0)
        endpoint = region.len > 0
                       ? arena_printf(arena, "https://sts.%.*s.amazonaws.com", STR_ARG(region))
                       : STR("https://sts.amazonaws.com");
    struct error *err = file_read(token_file, FILE_MAX, &token);
    if (!err) {
        url_append_param(&form, STR("Action"), STR("AssumeRoleWithWebIdentity"));
        url_append_param(&form, STR("Version"), STR("2011-06-15"));
        url_append_param(&form, STR("RoleArn"), role);
        url_append_param(&form, STR("RoleSessionName"), session.len ? session : STR("titan"));
        url_append_param(&form, STR("WebIdentityToken"), str_trim(buf_str(&token)));
        const struct http_header type = {STR("Content-Type"),
                                         STR("application/x-www-form-urlencoded")};
        const struct http_client_request request = {
            .method = STR("POST"),
            .url = endpoint,
            .headers = &type,
            .header_count = 1,
            .body = buf_bytes(&form),
            .response_max = ANSWER_MAX,
        };
        err = fetch(source, ctx, &request, &answer);
    }
    if (!err)
        err = s3_find_text(buf_str(&answer), STR("AccessKeyId"), arena, &found->keys.access_key);
    if (!err)
        err =
            s3_find_text(buf_str(&answer), STR("SecretAccessKey"), arena, &found->keys.secret_key);
    if (!err)
        err =
            s3_find_text(buf_str(&answer), STR("SessionToken"), arena, &found->keys.session_token);
    if (!err)
        err = s3_find_text(buf_str(&answer), STR("Expiration"), arena, &end);
    if (!err)
        set_end(found, end);
    digest_wipe(token.data, token.len);
    digest_wipe(form.data, form.len);
    digest_wipe(answer.data, answer.len);
    buf_deinit(&token);
    buf_deinit(&form);
    buf_deinit(&answer);
    return err;
}

static struct error *find_by_container(struct s3_credentials_source *source, struct context *ctx,
                                       struct arena *arena, struct found *found)
{
    struct str path = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    struct str token = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    struct buf answer = {0};
    const struct http_header header = {STR("Authorization"), token};
    const struct http_client_request request = {
        .method = STR("GET"),
        .url = path.len ? arena_printf(arena, "%s%.*s", CONTAINER_SERVICE, STR_ARG(path))
                        : environment("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        .headers = &header,
        .header_count = token.len > 0,
        .response_max = ANSWER_MAX,
    };
    struct error *err = fetch(source, ctx, &request, &answer);
    if (!err)
        err = parse_json(buf_str(&answer), arena, found);
    digest_wipe(answer.data, answer.len);
    buf_deinit(&answer);
    return err;
}

static struct error *ask_metadata(struct s3_credentials_source *source, struct context *ctx,
                                  struct arena *arena, const char *method, struct str path,
                                  struct http_header header, struct buf *answer)
{
    struct str base = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (base.len == 0)
        base = str_from(METADATA_SERVICE);
    while (base.len > 0 && base.data[base.len - 1] == '/')
        base.len--;
    const struct http_client_request request = {
        .method = str_from(method),
        .url = arena_printf(arena, "%.*s%.*s", STR_ARG(base), STR_ARG(path)),
        .headers = &header,
        .header_count = 1,
        .response_max = ANSWER_MAX,
        .connect_timeout_ms = METADATA_TIMEOUT_MS,
    };
    buf_clear(answer);
    return fetch(source, ctx, &request, answer);
}

/* Version 2 of the instance's service: a token, the role's name, the role's keys. */
static struct error *find_by_instance(struct s3_credentials_source *source, struct context *ctx,
                                      struct arena *arena, struct found *found)
{
    struct buf answer = {0};
    struct context *limited = context_create(ctx, 5 * METADATA_TIMEOUT_MS);
    struct str roles = STR("/latest/meta-data/iam/security-credentials/");
    struct error *err = ask_metadata(
        source, limited, arena, "PUT", STR("/latest/api/token"),
        (struct http_header){STR("X-aws-ec2-metadata-token-ttl-seconds"), STR("21600")}, &answer);
    struct http_header token = {STR("X-aws-ec2-metadata-token"),
                                arena_str(arena, buf_str(&answer))};
    if (!err)
        err = ask_metadata(source, limited, arena, "GET", roles, token, &answer);
    struct str role, rest;
    (void)str_cut(buf_str(&answer), '\n', &role, &rest);
    struct str path = arena_printf(arena, "%.*s%.*s", STR_ARG(roles), STR_ARG(str_trim(role)));
    if (!err)
        err = ask_metadata(source, limited, arena, "GET", path, token, &answer);
    if (!err)
        err = parse_json(buf_str(&answer), arena, found);
    digest_wipe(answer.data, answer.len);
    buf_deinit(&answer);
    context_unref(limited);
    return err;
}

/* ---- looking ---- */

static struct error *find_anywhere(struct s3_credentials_source *source, struct context *ctx,
                                   struct arena *arena, struct found *found)
{
    *found = (struct found){.ends_ms = INT64_MAX};
    if (source->config->credentials.access_key.len > 0) {
        found->keys = source->config->credentials;
        return NULL;
    }
    if (find_variables(found))
        return NULL;
    struct error *err = find_in_file(arena, found);
    if (err || found->keys.access_key.len > 0)
        return err;
    if (environment("AWS_WEB_IDENTITY_TOKEN_FILE").len > 0)
        return find_by_web_identity(source, ctx, arena, found);
    if (environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").len > 0 ||
        environment("AWS_CONTAINER_CREDENTIALS_FULL_URI").len > 0)
        return find_by_container(source, ctx, arena, found);
    err = find_by_instance(source, ctx, arena, found);
    return error_wrap(err, "no access_key is configured, and the surroundings have no credentials");
}

static bool copy_found(struct s3_credentials_source *source, struct arena *arena,
                       struct s3_credentials *out)
{
    mutex_lock(&source->lock);
    bool has = source->arena && source->found.ends_ms - RENEW_BEFORE_MS > time_now_ms();
    if (has) {
        out->access_key = arena_str(arena, source->found.keys.access_key);
        out->secret_key = arena_str(arena, source->found.keys.secret_key);
        out->session_token = arena_str(arena, source->found.keys.session_token);
    }
    mutex_unlock(&source->lock);
    return has;
}

/* Several that look at the same time find the same; the last one's is kept. */
struct error *s3_credentials_get(struct s3_credentials_source *source, struct context *ctx,
                                 struct arena *arena, struct s3_credentials *out)
{
    if (copy_found(source, arena, out))
        return NULL;
    struct arena *kept = arena_create(NULL);
    struct found found;
    struct error *err = find_anywhere(source, ctx, kept, &found);
    if (err) {
        arena_unref(kept);
        return err;
    }
    out->access_key = arena_str(arena, found.keys.access_key);
    out->secret_key = arena_str(arena, found.keys.secret_key);
    out->session_token = arena_str(arena, found.keys.session_token);
    mutex_lock(&source->lock);
    struct arena *old = source->arena;
    source->arena = kept;
    source->found = found;
    mutex_unlock(&source->lock);
    arena_unref(old);
    return NULL;
}

void s3_credentials_forget(struct s3_credentials_source *source)
{
    mutex_lock(&source->lock);
    struct arena *old = source->arena;
    source->arena = NULL;
    mutex_unlock(&source->lock);
    arena_unref(old);
}
