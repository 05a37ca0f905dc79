#include "prometheus/client.h"

#include <math.h>
#include <stdlib.h>

#include "base/duration.h"
#include "base/memory.h"
#include "codec/float_text.h"
#include "codec/json.h"
#include "codec/url.h"
#include "codec/yaml.h"
#include "net/http_client.h"
#include "runtime/context.h"

enum {
    ANSWER_MAX = 1 << 30, /* bytes; the budget usually ends it earlier */
    ERROR_BODY_MAX = 16 * 1024,
};

struct prometheus_client {
    struct http_client *http;
    char *base;  /* scheme, host and path, without slash at the end */
    char *query; /* of the base URL, may be empty */
};

struct error *prometheus_client_create(struct http_client *http, struct str base_url,
                                       struct prometheus_client **out)
{
    struct str base, query;
    if (!str_starts_with(base_url, STR("http://")) && !str_starts_with(base_url, STR("https://")))
        return error_create(ERROR_INVALID, "no HTTP URL: %.*s", STR_ARG(base_url));
    base_url = str_slice(base_url, 0, str_find_char(base_url, '#'));
    (void)str_cut(base_url, '?', &base, &query);
    while (base.len && base.data[base.len - 1] == '/')
        base.len--;
    struct prometheus_client *client = xcalloc(1, sizeof(*client));
    client->http = http;
    client->base = str_dup(base);
    client->query = str_dup(query);
    *out = client;
    return NULL;
}

void prometheus_client_free(struct prometheus_client *client)
{
    if (!client)
        return;
    free(client->base);
    free(client->query);
    free(client);
}

struct http_client *prometheus_client_http(struct prometheus_client *client)
{
    return client->http;
}

void prometheus_url(const struct prometheus_client *client, struct str path, struct str params,
                    struct buf *out)
{
    buf_append_cstr(out, client->base);
    buf_append_str(out, path);
    if (client->query[0] || params.len)
        buf_append_byte(out, '?');
    buf_append_cstr(out, client->query);
    if (client->query[0] && params.len)
        buf_append_byte(out, '&');
    buf_append_str(out, params);
}

/* ---- calls ---- */

static struct error *fetch(struct prometheus_client *client, struct context *ctx, struct str path,
                           struct str params, const struct http_header *agent, int *status,
                           struct buf *body)
{
    struct buf url = {0};
    prometheus_url(client, path, params, &url);
    struct http_client_request request = {
        .method = STR("GET"),
        .url = buf_str(&url),
        .headers = agent,
        .header_count = agent ? 1 : 0,
        .response_max = ANSWER_MAX,
    };
    struct error *err = http_fetch(client->http, ctx, &request, status, body);
    buf_deinit(&url);
    return err;
}

enum error_kind prometheus_error_kind(int status)
{
    switch (status) {
    case 400:
        return ERROR_INVALID;
    case 404:
        return ERROR_NOT_FOUND;
    case 429:
    case 503:
        return ERROR_UNAVAILABLE;
    default:
        return ERROR_INTERNAL;
    }
}

static struct error *status_error(int status, const struct buf *body)
{
    struct str text = str_slice(buf_str(body), 0, ERROR_BODY_MAX);
    return error_create(prometheus_error_kind(status), "expected 2xx response, got %d. Body: %.*s",
                        status, STR_ARG(text));
}

/* Finds `data` in the envelope of an answer. */
static struct error *open_envelope(struct str body, struct str *data)
{
    struct arena *arena = arena_create(NULL);
    struct json_reader reader = json_read(body, arena);
    struct str key, status = STR_INIT(""), text = STR_INIT("");
    if (json_object(&reader))
        while (json_key(&reader, &key)) {
            if (str_equal(key, STR("status")))
                status = json_str(&reader);
            else if (str_equal(key, STR("error")))
                text = json_str(&reader);
            else if (str_equal(key, STR("data")))
                *data = json_raw(&reader);
            else
                json_skip(&reader);
        }
    struct error *err = error_as(json_finish(&reader, "answer of Prometheus"), ERROR_INTERNAL);
    if (!err && !str_equal(status, STR("success")))
        err = error_create(ERROR_INTERNAL, "%.*s", STR_ARG(text));
    arena_unref(arena);
    return err;
}

static struct error *ask_as(struct prometheus_client *client, struct context *ctx, struct str path,
                            struct str params, const struct http_header *agent, int *status,
                            struct prometheus_answer *out)
{
    *out = (struct prometheus_answer){.body = BUF_INIT(context_budget(ctx)), .data = STR("")};
    struct error *err = fetch(client, ctx, path, params, agent, status, &out->body);
    if (err)
        return err;
    if (*status / 100 != 2)
        return status_error(*status, &out->body);
    return *status == 204 ? NULL : open_envelope(buf_str(&out->body), &out->data);
}

struct error *prometheus_ask(struct prometheus_client *client, struct context *ctx, struct str path,
                             struct str params, struct prometheus_answer *out)
{
    int status;
    return ask_as(client, ctx, path, params, NULL, &status, out);
}

void prometheus_answer_deinit(struct prometheus_answer *answer)
{
    buf_deinit(&answer->body);
}

/* ---- what it is ---- */

static const struct http_header agent_config = {STR_INIT("User-Agent"), STR_INIT("thanos-sidecar")};

/* The text under one key of an object. */
static struct error *read_text_of(struct str data, const char *name, struct arena *arena,
                                  struct str *out)
{
    struct json_reader reader = json_read(data, arena);
    struct str key;
    *out = STR("");
    if (data.len == 0)
        return NULL;
    if (json_object(&reader))
        while (json_key(&reader, &key)) {
            if (str_equal(key, str_from(name)))
                *out = arena_str(arena, json_str(&reader));
            else
                json_skip(&reader);
        }
    return json_finish(&reader, "answer of Prometheus");
}

struct error *prometheus_build_version(struct prometheus_client *client, struct context *ctx,
                                       struct arena *arena, struct str *out)
{
    struct prometheus_answer answer;
    int status = 0;
    struct error *err = ask_as(client, ctx, STR("/api/v1/status/buildinfo"), STR(""), &agent_config,
                               &status, &answer);
    *out = STR("0");
    if (err && (status == 404 || status == 405)) {
        error_free(err);
        err = NULL;
    } else if (!err) {
        err = read_text_of(answer.data, "version", arena, out);
    }
    prometheus_answer_deinit(&answer);
    return err;
}

static struct error *labels_from_yaml(struct str text, struct arena *arena, struct labels *out)
{
    struct yaml_node *root;
    struct labels_builder builder = labels_builder_create(arena);
    struct error *err = yaml_parse(text, arena, &root);
    if (err)
        return err;
    const struct yaml_node *map = yaml_get(yaml_get(root, "global"), "external_labels");
    err = yaml_expect(map, YAML_MAPPING);
    for (size_t i = 0; !err && map && i < map->count; i++) {
        struct str name = STR_INIT(""), value = STR_INIT("");
        err = yaml_str(map->pairs[i].key, &name);
        if (!err)
            err = yaml_str(map->pairs[i].value, &value);
        labels_builder_set(&builder, name, value);
    }
    *out = labels_builder_finish(&builder);
    return err ? err : labels_builder_status(&builder);
}

struct error *prometheus_external_labels(struct prometheus_client *client, struct context *ctx,
                                         struct arena *arena, struct labels *out)
{
    struct prometheus_answer answer;
    struct str yaml;
    int status;
    struct error *err =
        ask_as(client, ctx, STR("/api/v1/status/config"), STR(""), &agent_config, &status, &answer);
    if (!err)
        err = read_text_of(answer.data, "yaml", arena, &yaml);
    if (!err)
        err = error_wrap(labels_from_yaml(yaml, arena, out), "parse Prometheus config");
    prometheus_answer_deinit(&answer);
    return err;
}

static struct error *read_flags(struct str data, struct arena *arena, struct prometheus_flags *out)
{
    struct json_reader reader = json_read(data, arena);
    struct str key;
    struct error *err = NULL;
    if (json_object(&reader))
        while (json_key(&reader, &key)) {
            struct str value = json_str(&reader);
            if (str_equal(key, STR("storage.tsdb.path")))
                out->tsdb_path = arena_str(arena, value);
            else if (str_equal(key, STR("storage.tsdb.delay-compact-file.path")))
                out->delay_compact_file = arena_str(arena, value);
            else if (str_equal(key, STR("storage.tsdb.min-block-duration")))
                error_keep_first(&err, duration_parse(value, &out->min_block_ms));
            else if (str_equal(key, STR("storage.tsdb.max-block-duration")))
                error_keep_first(&err, duration_parse(value, &out->max_block_ms));
        }
    error_keep_first(&err, json_finish(&reader, "flags of Prometheus"));
    return err;
}

struct error *prometheus_flags(struct prometheus_client *client, struct context *ctx,
                               struct arena *arena, struct prometheus_flags *out)
{
    struct prometheus_answer answer;
    int status = 0;
    struct error *err =
        ask_as(client, ctx, STR("/api/v1/status/flags"), STR(""), &agent_config, &status, &answer);
    *out = (struct prometheus_flags){.known = !err};
    if (err && status == 404) {
        error_free(err);
        err = NULL;
    } else if (!err) {
        err = read_flags(answer.data, arena, out);
    }
    prometheus_answer_deinit(&answer);
    return err;
}

int64_t prometheus_lowest_timestamp_from(struct str metrics)
{
    const struct str name = STR_INIT("prometheus_tsdb_lowest_timestamp_seconds");
    const double none = 9223372036854775808.0; /* 2^63, what "no sample yet" comes to in floats */
    struct str line, rest = metrics, value, time;
    double seconds;
    while (rest.len) {
        if (!str_cut(rest, '\n', &line, &rest))
            rest = STR("");
        if (!str_starts_with(line, name))
            continue;
        value = str_trim(str_slice(line, name.len, line.len));
        if (value.len == line.len - name.len) /* a longer name, or labels */
            continue;
        (void)str_cut(value, ' ', &value, &time);
        if (!float_from_str(value, &seconds) || isnan(seconds))
            return 0;
        double ms = seconds * 1000;
        if (ms == none || ms < -none)
            return INT64_MIN;
        return ms > none ? INT64_MAX : (int64_t)ms;
    }
    return 0;
}

struct error *prometheus_lowest_timestamp(struct prometheus_client *client, struct context *ctx,
                                          int64_t *out)
{
    struct buf body = BUF_INIT(context_budget(ctx));
    int status;
    struct error *err = fetch(client, ctx, STR("/metrics"), STR(""), &agent_config, &status, &body);
    if (!err && status / 100 != 2)
        err = status_error(status, &body);
    if (!err)
        *out = prometheus_lowest_timestamp_from(buf_str(&body));
    buf_deinit(&body);
    return err;
}

/* ---- parameters ---- */

/* Seconds with a fraction. Times that no float holds exactly are left out: Prometheus then takes
 * its own ends of time. */
static void append_time(struct buf *out, const char *name, int64_t ms)
{
    enum { EXACT_BITS = 53 };
    char text[FLOAT_TEXT_MAX];
    if (ms < -((int64_t)1 << EXACT_BITS) || ms > (int64_t)1 << EXACT_BITS)
        return;
    size_t len = float_text(text, (double)ms / 1000, FLOAT_PLAIN);
    url_append_param(out, str_from(name), (struct str){text, len});
}

void prometheus_params(struct buf *out, const struct matcher *matchers, size_t count,
                       int64_t min_time, int64_t max_time, size_t limit)
{
    struct buf text = {0};
    if (count) {
        matchers_print(&text, matchers, count);
        url_append_param(out, STR("match[]"), buf_str(&text));
        buf_clear(&text);
    }
    append_time(out, "start", min_time);
    append_time(out, "end", max_time);
    if (limit) {
        buf_append_uint64(&text, limit);
        url_append_param(out, STR("limit"), buf_str(&text));
    }
    buf_deinit(&text);
}

void prometheus_label_path(struct buf *out, struct str name)
{
    buf_append_cstr(out, "/api/v1/label/");
    if (label_name_is_legacy(name)) {
        buf_append_str(out, name);
    } else {
        buf_append_cstr(out, "U__");
        for (size_t at = 0; at < name.len;) {
            size_t start = at;
            uint32_t rune = str_next_rune(name, &at);
            char c = (char)rune;
            bool plain = rune < 0x80 && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                         (c >= '0' && c <= '9' && start > 0));
            if (plain)
                buf_append_byte(out, (uint8_t)c);
            else if (c == '_' && rune < 0x80)
                buf_append_cstr(out, "__");
            else
                buf_printf(out, "_%x_", (unsigned)rune);
        }
    }
    buf_append_cstr(out, "/values");
}
