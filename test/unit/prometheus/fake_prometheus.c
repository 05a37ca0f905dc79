#include "fake_prometheus.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "chunk/samples.h"
#include "codec/crc32c.h"
#include "codec/json.h"
#include "codec/pb.h"
#include "codec/snappy.h"
#include "codec/url.h"
#include "codec/varint.h"
#include "runtime/context.h"
#include "support/memory_store.h"
#include "support/test.h"

struct fake_prometheus {
    int fd;
    char url[64];
    fake_handler handler;
    void *arg;
    pthread_t thread;
    atomic_bool stop;
    atomic_size_t requests, connections;
};

struct connection {
    struct fake_prometheus *fake;
    int fd;
};

/* ---- the server ---- */

static bool send_all(struct fake_prometheus *fake, int fd, const char *data, size_t len)
{
    while (len > 0 && !atomic_load(&fake->stop)) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < 0)
            usleep(500);
        else {
            data += sent;
            len -= (size_t)sent;
        }
    }
    return !atomic_load(&fake->stop);
}

static void send_reply(struct fake_prometheus *fake, int fd, struct fake_reply *reply)
{
    struct buf head = {0};
    struct str body = buf_str(&reply->body);
    char byte;
    buf_printf(&head, "HTTP/1.1 %d X\r\nContent-Type: %.*s\r\nConnection: close\r\n\r\n",
               reply->status, STR_ARG(reply->type));
    size_t half = reply->delay_ms ? body.len / 2 : 0;
    bool ok = send_all(fake, fd, head.data, head.len) && send_all(fake, fd, body.data, half);
    if (reply->delay_ms)
        usleep((useconds_t)reply->delay_ms * 1000);
    if (ok && body.len > half)
        ok = send_all(fake, fd, body.data + half, body.len - half);
    while (ok && reply->endless)
        ok = send_all(fake, fd, body.data, body.len);
    while (ok && reply->hang && !atomic_load(&fake->stop) && recv(fd, &byte, 1, MSG_DONTWAIT) != 0)
        usleep(500);
    buf_deinit(&head);
}

/* Reads head and body; false when the peer goes away before. */
static bool read_request(int fd, struct buf *raw, struct fake_request *out)
{
    struct str head, line, rest, method, target;
    size_t body = 0;
    for (;;) {
        char *room = buf_reserve(raw, 4096);
        ssize_t got = recv(fd, room, 4096, 0);
        if (got <= 0)
            return false;
        raw->len += (size_t)got;
        char *end = memmem(raw->data, raw->len, "\r\n\r\n", 4);
        if (!end)
            continue;
        size_t head_len = (size_t)(end - raw->data) + 4;
        head = (struct str){raw->data, head_len};
        for (rest = head; str_cut(rest, '\n', &line, &rest);)
            if (str_starts_with(line, STR("Content-Length: ")))
                body = strtoul(line.data + strlen("Content-Length: "), NULL, 10);
        if (raw->len < head_len + body)
            continue;
        out->body = (struct bytes){(uint8_t *)raw->data + head_len, body};
        break;
    }
    (void)str_cut(head, ' ', &method, &rest);
    (void)str_cut(rest, ' ', &target, &rest);
    out->method = method;
    (void)str_cut(target, '?', &out->path, &out->query);
    return true;
}

static void *serve_connection(void *arg)
{
    struct connection *connection = arg;
    struct fake_prometheus *fake = connection->fake;
    struct buf raw = {0};
    struct fake_request request = {.arena = arena_create(NULL)};
    if (read_request(connection->fd, &raw, &request)) {
        struct fake_reply reply = {.status = 200, .type = STR("application/json")};
        atomic_fetch_add(&fake->requests, 1);
        fake->handler(fake->arg, &request, &reply);
        send_reply(fake, connection->fd, &reply);
        buf_deinit(&reply.body);
    }
    buf_deinit(&raw);
    arena_unref(request.arena);
    close(connection->fd);
    free(connection);
    atomic_fetch_sub(&fake->connections, 1);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct fake_prometheus *fake = arg;
    for (;;) {
        int fd = accept(fake->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        struct connection *connection = xmalloc(sizeof(*connection));
        pthread_t thread;
        *connection = (struct connection){fake, fd};
        atomic_fetch_add(&fake->connections, 1);
        pthread_create(&thread, NULL, serve_connection, connection);
        pthread_detach(thread);
    }
}

struct fake_prometheus *fake_prometheus_start(fake_handler handler, void *arg)
{
    struct fake_prometheus *fake = xcalloc(1, sizeof(*fake));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    fake->handler = handler;
    fake->arg = arg;
    fake->fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(bind(fake->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CHECK_EQ(listen(fake->fd, 32), 0);
    getsockname(fake->fd, (struct sockaddr *)&address, &len);
    snprintf(fake->url, sizeof(fake->url), "http://127.0.0.1:%d", ntohs(address.sin_port));
    pthread_create(&fake->thread, NULL, accept_all, fake);
    return fake;
}

void fake_prometheus_stop(struct fake_prometheus *fake)
{
    atomic_store(&fake->stop, true);
    shutdown(fake->fd, SHUT_RDWR);
    pthread_join(fake->thread, NULL);
    close(fake->fd);
    while (atomic_load(&fake->connections))
        usleep(500);
    free(fake);
}

struct str fake_prometheus_url(const struct fake_prometheus *fake)
{
    return str_from(fake->url);
}

size_t fake_prometheus_requests(const struct fake_prometheus *fake)
{
    return atomic_load(&fake->requests);
}

/* ---- remote read ---- */

void fake_frame(struct buf *out, struct bytes message)
{
    uint8_t head[VARINT_MAX + 4];
    size_t len = varint_encode(head, message.len);
    uint32_t crc = crc32c(0, message.data, message.len);
    for (int shift = 24; shift >= 0; shift -= 8)
        head[len++] = (uint8_t)(crc >> shift);
    buf_append(out, head, len);
    buf_append(out, message.data, message.len);
}

static void put_labels(struct buf *out, struct labels labels)
{
    struct labels_reader reader = labels_read(labels);
    struct label label;
    while (labels_next(&reader, &label)) {
        size_t mark = pb_begin(out, 1, label.name.len + label.value.len + 4);
        pb_put_str(out, 1, label.name);
        pb_put_str(out, 2, label.value);
        pb_end(out, mark);
    }
}

void fake_chunked_series(struct buf *out, struct labels labels, const struct chunk *chunks,
                         size_t count)
{
    size_t series = pb_begin(out, 1, 1000);
    put_labels(out, labels);
    for (size_t i = 0; i < count; i++) {
        size_t chunk = pb_begin(out, 2, chunks[i].raw.bytes.len + 20);
        pb_put_int64(out, 1, chunks[i].min_time);
        pb_put_int64(out, 2, chunks[i].max_time);
        pb_put_int64(out, 3, (int64_t)chunks[i].raw.encoding);
        pb_put_bytes(out, 4, chunks[i].raw.bytes);
        pb_end(out, chunk);
    }
    pb_end(out, series);
}

static void put_time_series(struct buf *out, struct labels labels, const struct series *series,
                            struct arena *arena)
{
    size_t mark = pb_begin(out, 1, 1000);
    put_labels(out, labels);
    for (size_t i = 0; i < series->chunks.count; i++) {
        struct samples samples;
        CHECK_OK(chunk_decode(&series->chunks.items[i].raw, INT64_MIN, INT64_MAX, arena, &samples));
        for (size_t j = 0; j < samples.count; j++) {
            size_t sample = pb_begin(out, 2, 20);
            pb_put_double(out, 1, samples.values[j]);
            pb_put_int64(out, 2, samples.times[j]);
            pb_end(out, sample);
        }
    }
    pb_end(out, mark);
}

static void read_matcher(struct bytes message, const struct fake_data *data, struct arena *arena,
                         struct matcher *out)
{
    struct pb_reader reader = pb_read(message);
    enum match_op op = MATCH_EQUAL;
    struct str name = STR_INIT(""), value = STR_INIT("");
    while (pb_next(&reader)) {
        if (reader.field == 1)
            op = (enum match_op)pb_int32(&reader);
        else if (reader.field == 2)
            name = pb_str(&reader);
        else
            value = pb_str(&reader);
    }
    CHECK_OK(pb_error(&reader, "matcher"));
    /* what equals an external label selects series without it */
    if (op == MATCH_EQUAL && value.len && str_equal(labels_get(data->external, name), value))
        value = STR("");
    CHECK_OK(matcher_create(arena, op, name, value, out));
}

static void read_query(struct bytes message, const struct fake_data *data, struct arena *arena,
                       struct store_query *out)
{
    struct pb_reader reader = pb_read(message);
    struct matcher *matchers = arena_array(arena, 32, sizeof(*matchers));
    *out = (struct store_query){.matchers = matchers, .aggrs = AGGR_BIT(AGGR_RAW)};
    while (pb_next(&reader)) {
        if (reader.field == 1)
            out->min_time = pb_int64(&reader);
        else if (reader.field == 2)
            out->max_time = pb_int64(&reader);
        else
            read_matcher(pb_bytes(&reader), data, arena, &matchers[out->matcher_count++]);
    }
    CHECK_OK(pb_error(&reader, "query"));
}

static struct series_batch select_all(const struct fake_data *data, const struct store_query *query,
                                      struct arena *arena)
{
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct series_set *set;
    struct series_batch batch;
    CHECK_OK(store_select(data->store, ctx, query, &set));
    CHECK_OK(series_set_read_all(set, arena, 100, &batch));
    context_unref(ctx);
    return batch;
}

static void reply_frames(const struct fake_data *data, const struct series_batch *batch,
                         struct arena *arena, struct fake_reply *reply)
{
    struct buf message = {0};
    reply->type = STR("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
    for (size_t i = 0; i < batch->count; i++) {
        const struct series *series = &batch->items[i];
        struct labels labels = labels_merge(arena, data->external, series->labels);
        size_t step = data->frame_chunks ? data->frame_chunks : series->chunks.count;
        for (size_t j = 0; j < series->chunks.count; j += step) {
            buf_clear(&message);
            fake_chunked_series(&message, labels, series->chunks.items + j,
                                size_min(step, series->chunks.count - j));
            fake_frame(&reply->body, buf_bytes(&message));
        }
    }
    buf_deinit(&message);
}

static void reply_samples(const struct fake_data *data, const struct series_batch *batch,
                          struct arena *arena, struct fake_reply *reply)
{
    struct buf message = {0};
    size_t result = pb_begin(&message, 1, 1000);
    for (size_t i = batch->count; i-- > 0;) { /* in no order */
        const struct series *series = &batch->items[i];
        put_time_series(&message, labels_merge(arena, data->external, series->labels), series,
                        arena);
    }
    pb_end(&message, result);
    reply->type = STR("application/x-protobuf");
    snappy_encode(buf_bytes(&message), &reply->body);
    buf_deinit(&message);
}

static void handle_read(const struct fake_data *data, const struct fake_request *request,
                        struct fake_reply *reply)
{
    struct buf message = {0};
    CHECK_OK(snappy_decode(request->body, 1 << 20, &message));
    struct pb_reader reader = pb_read(buf_bytes(&message));
    struct store_query query = {0};
    while (pb_next(&reader)) {
        if (reader.field == 1)
            read_query(pb_bytes(&reader), data, request->arena, &query);
        else
            pb_skip(&reader);
    }
    CHECK_OK(pb_error(&reader, "request"));
    struct series_batch batch = select_all(data, &query, request->arena);
    if (data->samples)
        reply_samples(data, &batch, request->arena, reply);
    else
        reply_frames(data, &batch, request->arena, reply);
    buf_deinit(&message);
}

/* ---- the JSON calls ---- */

/* A quoted text, with the few escapes that the tests use. */
static struct str read_quoted(struct str *rest, struct arena *arena)
{
    char *out = arena_bytes(arena, rest->len);
    size_t len = 0, at = 1;
    for (; rest->data[at] != '"'; at++) {
        if (rest->data[at] == '\\')
            at++;
        out[len++] = rest->data[at];
    }
    *rest = str_slice(*rest, at + 1, rest->len);
    return (struct str){out, len};
}

/* {a="b",c=~"d"} */
static void read_selector(struct str text, struct arena *arena, struct store_query *out)
{
    static const char *const ops[] = {"=~", "!~", "!=", "="};
    static const enum match_op numbers[] = {MATCH_REGEX, MATCH_NOT_REGEX, MATCH_NOT_EQUAL,
                                            MATCH_EQUAL};
    struct matcher *matchers = arena_array(arena, 32, sizeof(*matchers));
    out->matchers = matchers;
    text = str_slice(text, 1, text.len - 1);
    while (text.len) {
        struct str name;
        if (text.data[0] == ',')
            text = str_slice(text, 1, text.len);
        if (text.data[0] == '"') {
            name = read_quoted(&text, arena);
        } else {
            size_t len = strcspn(text.data, "=!");
            name = str_slice(text, 0, len);
            text = str_slice(text, len, text.len);
        }
        size_t op = 0;
        while (!str_starts_with(text, str_from(ops[op])))
            op++;
        text = str_slice(text, strlen(ops[op]), text.len);
        struct str value = read_quoted(&text, arena);
        CHECK_OK(matcher_create(arena, numbers[op], name, value, &matchers[out->matcher_count++]));
    }
}

static void read_params(const struct fake_request *request, struct store_query *out)
{
    struct url_param *params;
    size_t count;
    *out = (struct store_query){
        .min_time = INT64_MIN, .max_time = INT64_MAX, .aggrs = AGGR_BIT(AGGR_RAW)};
    CHECK_OK(url_parse_form(request->arena, request->query, &params, &count));
    for (size_t i = 0; i < count; i++) {
        const char *value = arena_cstr(request->arena, params[i].value);
        if (str_equal(params[i].name, STR("match[]")))
            read_selector(params[i].value, request->arena, out);
        else if (str_equal(params[i].name, STR("start")))
            out->min_time = (int64_t)(strtod(value, NULL) * 1000);
        else if (str_equal(params[i].name, STR("end")))
            out->max_time = (int64_t)(strtod(value, NULL) * 1000);
        else if (str_equal(params[i].name, STR("limit")))
            out->limit = strtoul(value, NULL, 10);
    }
}

static void put_label_sets(struct json_writer *json, const struct series_batch *batch)
{
    json_begin_array(json);
    for (size_t i = batch->count; i-- > 0;) { /* in no order */
        struct labels_reader reader = labels_read(batch->items[i].labels);
        struct label label;
        json_begin_object(json);
        while (labels_next(&reader, &label)) {
            json_put_key_str(json, label.name);
            json_put_str(json, label.value);
        }
        json_end_object(json);
    }
    json_end_array(json);
}

static void put_list(struct json_writer *json, const struct str_list *list)
{
    json_begin_array(json);
    for (size_t i = 0; i < list->count; i++)
        json_put_str(json, list->items[i]);
    json_end_array(json);
}

static void handle_lists(const struct fake_data *data, const struct fake_request *request,
                         struct json_writer *json)
{
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct store_query query;
    struct str_list list = {0};
    read_params(request, &query);
    if (str_equal(request->path, STR("/api/v1/series"))) {
        struct series_batch batch = select_all(data, &query, request->arena);
        put_label_sets(json, &batch);
    } else if (str_equal(request->path, STR("/api/v1/labels"))) {
        CHECK_OK(store_label_names(data->store, ctx, &query, request->arena, &list));
        put_list(json, &list);
    } else {
        struct str name = str_slice(request->path, strlen("/api/v1/label/"),
                                    request->path.len - strlen("/values"));
        if (str_starts_with(name, STR("U__no_20_such")))
            name = STR("no such");
        CHECK_OK(store_label_values(data->store, ctx, name, &query, request->arena, &list));
        put_list(json, &list);
    }
    context_unref(ctx);
}

static void put_config(struct json_writer *json, struct labels external)
{
    struct buf yaml = {0};
    struct labels_reader reader = labels_read(external);
    struct label label;
    buf_append_cstr(&yaml, "global:\n  scrape_interval: 15s\n");
    if (external.len)
        buf_append_cstr(&yaml, "  external_labels:\n");
    while (labels_next(&reader, &label))
        buf_printf(&yaml, "    %.*s: %.*s\n", STR_ARG(label.name), STR_ARG(label.value));
    json_begin_object(json);
    json_put_key(json, "yaml");
    json_put_str(json, buf_str(&yaml));
    json_end_object(json);
    buf_deinit(&yaml);
}

void fake_data_handle(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    const struct fake_data *data = arg;
    struct json_writer json = json_write(&reply->body, JSON_PLAIN);
    if (str_equal(request->path, STR("/api/v1/read"))) {
        handle_read(data, request, reply);
        return;
    }
    if (str_equal(request->path, STR("/metrics"))) {
        buf_append_cstr(&reply->body, "# TYPE x gauge\nx{a=\"b\"} 1\n"
                                      "prometheus_tsdb_lowest_timestamp_seconds 1.5\n");
        return;
    }
    json_begin_object(&json);
    json_put_key(&json, "status");
    json_put_cstr(&json, "success");
    json_put_key(&json, "data");
    if (str_equal(request->path, STR("/api/v1/status/config"))) {
        put_config(&json, data->external);
    } else if (str_equal(request->path, STR("/api/v1/status/buildinfo"))) {
        json_begin_object(&json);
        json_put_key(&json, "version");
        json_put_cstr(&json, data->version);
        json_end_object(&json);
    } else {
        handle_lists(data, request, &json);
    }
    json_end_object(&json);
}
