#include "net/http_exchange.h"

#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "base/ulid.h"
#include "codec/gzip.h"
#include "codec/url.h"
#include "net/http_metrics.h"
#include "net/request_log.h"
#include "net/web_gate.h"
#include "runtime/context.h"
#include "runtime/time.h"

enum { GZIP_FROM_BYTES = 1024, REQUEST_MEMORY_DEFAULT = 64 * 1024 * 1024 };

struct str http_request_header(const struct http_request *req, struct str name)
{
    for (size_t i = 0; i < req->header_count; i++)
        if (str_equal_nocase(req->headers[i].name, name))
            return req->headers[i].value;
    return STR("");
}

bool http_request_param(const struct http_request *req, struct str name, struct str *out)
{
    for (size_t i = 0; i < req->param_count; i++)
        if (str_equal(req->params[i].name, name)) {
            *out = req->params[i].value;
            return true;
        }
    return false;
}

void http_response_header(struct http_response *res, struct str name, struct str value)
{
    for (size_t i = 0; i < res->header_count; i++)
        if (str_equal_nocase(res->headers[i].name, name)) {
            res->headers[i].value = value;
            return;
        }
    if (res->header_count == countof(res->headers))
        bug("more than %zu headers in a response", countof(res->headers));
    res->headers[res->header_count++] = (struct http_header){name, value};
}

int http_status_of(enum error_kind kind)
{
    static const int statuses[] = {
        [ERROR_NONE] = 200,      [ERROR_INVALID] = 400,     [ERROR_NOT_FOUND] = 404,
        [ERROR_CONFLICT] = 409,  [ERROR_QUERY] = 422,       [ERROR_LIMIT] = 422,
        [ERROR_BUSY] = 429,      [ERROR_UNAVAILABLE] = 503, [ERROR_TIMEOUT] = 503,
        [ERROR_CANCELLED] = 503, [ERROR_CORRUPT] = 500,     [ERROR_INTERNAL] = 500,
    };
    return statuses[kind];
}

static void exchange_copy_headers(struct http_exchange *exchange, const struct http1_head *head)
{
    struct http_request *req = &exchange->req;
    /* Room for one more: exchange_identify(). */
    req->headers = arena_array(req->arena, head->header_count + 1, sizeof(*req->headers));
    req->header_count = head->header_count;
    for (size_t i = 0; i < head->header_count; i++) {
        req->headers[i].name = arena_str(req->arena, head->headers[i].name);
        req->headers[i].value = arena_str(req->arena, head->headers[i].value);
    }
}

struct http_exchange *http_exchange_create(const struct http_exchange_config *config,
                                           const struct http1_head *head,
                                           const struct http_route *route, struct str path,
                                           struct str value)
{
    struct http_exchange *exchange = xcalloc(1, sizeof(*exchange));
    struct http_request *req = &exchange->req;
    struct str target, query;
    exchange->budget =
        budget_create(config->budget, "request",
                      config->memory_max ? config->memory_max : REQUEST_MEMORY_DEFAULT);
    exchange->route = route;
    exchange->metrics = config->metrics;
    exchange->log = config->log;
    exchange->rules = config->rules ? web_rules_ref(config->rules) : NULL;
    exchange->keep_alive = head->keep_alive;
    exchange->is_http10 = head->is_http10;
    exchange->is_head = str_equal(head->method, STR("HEAD"));
    exchange->start_ns = time_now_monotonic_ns();
    req->received_ns = exchange->start_ns;
    exchange->body.budget = exchange->budget;
    exchange->res.body.budget = exchange->budget;
    req->arena = arena_create(exchange->budget);
    req->ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_set_budget(req->ctx, exchange->budget);
    str_cut(head->target, '?', &target, &query);
    req->method = arena_str(req->arena, head->method);
    req->path = arena_str(req->arena, path);
    req->query = arena_str(req->arena, query);
    req->path_value = arena_str(req->arena, value);
    req->peer = arena_str(req->arena, config->peer);
    exchange_copy_headers(exchange, head);
    http_metrics_begin(exchange);
    return exchange;
}

void http_exchange_free(struct http_exchange *exchange)
{
    if (!exchange)
        return;
    http_metrics_end(exchange);
    buf_deinit(&exchange->body);
    buf_deinit(&exchange->res.body);
    buf_deinit(&exchange->head_out);
    context_cancel(exchange->req.ctx);
    context_unref(exchange->req.ctx);
    arena_unref(exchange->req.arena);
    budget_free(exchange->budget);
    web_rules_unref(exchange->rules);
    free(exchange);
}

static struct error *exchange_unpack_body(struct http_exchange *exchange)
{
    struct http_request *req = &exchange->req;
    struct str encoding = http_request_header(req, STR("content-encoding"));
    struct error *err = buf_status(&exchange->body);
    if (!err && str_equal_nocase(encoding, STR("gzip"))) {
        struct buf plain = BUF_INIT(exchange->budget);
        err = gzip_decode(buf_bytes(&exchange->body), exchange->route->body_max, &plain);
        buf_deinit(&exchange->body);
        exchange->body = plain;
        if (error_kind(err) == ERROR_CORRUPT)
            err = error_as(err, ERROR_INVALID);
    }
    req->body = buf_bytes(&exchange->body);
    return error_wrap(err, "read request body");
}

static bool has_form_body(const struct http_request *req)
{
    struct str type = http_request_header(req, STR("content-type")), media, rest;
    str_cut(type, ';', &media, &rest);
    return str_equal(req->method, STR("POST")) &&
           str_equal_nocase(str_trim(media), STR("application/x-www-form-urlencoded"));
}

/* Malformed pairs are noted for the handler; too many, or too large, is the failure. */
static struct error *exchange_add_params(struct http_request *req, struct str form)
{
    struct url_param *params;
    size_t count;
    struct error *err = url_parse_form(req->arena, form, &params, &count);
    if (error_kind(err) == ERROR_LIMIT)
        return err;
    struct http_param *all = arena_array(req->arena, req->param_count + count, sizeof(*all));
    if (req->param_count)
        memcpy(all, req->params, req->param_count * sizeof(*all));
    for (size_t i = 0; i < count; i++)
        all[req->param_count + i] = (struct http_param){params[i].name, params[i].value};
    req->params = all;
    req->param_count += count;
    if (err && req->params_error.len == 0)
        req->params_error = arena_str(req->arena, error_text(err));
    error_free(err);
    return NULL;
}

static struct error *exchange_handle(struct http_exchange *exchange)
{
    struct http_request *req = &exchange->req;
    struct error *err = exchange_unpack_body(exchange);
    if (err)
        return err;
    if (has_form_body(req))
        err = exchange_add_params(req, bytes_str(req->body));
    if (!err)
        err = exchange_add_params(req, req->query);
    if (!err)
        err = arena_status(req->arena);
    if (err)
        return err;
    err = exchange->route->handler(exchange->route->self, req, &exchange->res);
    return err ? err : buf_status(&exchange->res.body);
}

static void respond_plain(struct http_response *res, struct error *err)
{
    res->status = http_status_of(error_kind(err));
    res->content_type = STR("text/plain; charset=utf-8");
    buf_append_str(&res->body, error_text(err));
    buf_append_byte(&res->body, '\n');
    error_free(err);
}

static void exchange_respond_error(struct http_exchange *exchange, struct error *err)
{
    const struct http_route *route = exchange->route;
    buf_deinit(&exchange->res.body);
    exchange->res.header_count = 0;
    if (route->error_respond)
        route->error_respond(route->self, &exchange->req, &exchange->res, err);
    else
        respond_plain(&exchange->res, err);
    err = buf_status(&exchange->res.body);
    if (err) { /* not even the error's text fits */
        exchange->res.status = 500;
        buf_deinit(&exchange->res.body);
        error_free(err);
    }
}

static bool client_takes_gzip(const struct http_request *req)
{
    struct str list = http_request_header(req, STR("accept-encoding")), item, coding, params;
    while (list.len) {
        str_cut(list, ',', &item, &list);
        str_cut(item, ';', &coding, &params);
        struct str quality = str_trim(params);
        bool refused = str_equal(quality, STR("q=0")) || str_equal(quality, STR("q=0.0"));
        if (str_equal_nocase(str_trim(coding), STR("gzip")))
            return !refused;
    }
    return false;
}

static void exchange_compress(struct http_exchange *exchange)
{
    struct http_response *res = &exchange->res;
    http_response_header(res, STR("Vary"), STR("Accept-Encoding"));
    if (res->body.len < GZIP_FROM_BYTES || !client_takes_gzip(&exchange->req))
        return;
    struct buf packed = BUF_INIT(exchange->budget);
    gzip_encode(buf_bytes(&res->body), &packed);
    struct error *err = buf_status(&packed);
    if (err) { /* no memory for both: it goes out as it is */
        error_free(err);
        buf_deinit(&packed);
        return;
    }
    buf_deinit(&res->body);
    res->body = packed;
    http_response_header(res, STR("Content-Encoding"), STR("gzip"));
}

void http_write_head(struct buf *out, int status, struct str content_type, size_t content_length,
                     bool keep_alive, const struct http_header *headers, size_t header_count)
{
    char date[40];
    time_t now = (time_t)(time_now_ms() / 1000);
    struct tm utc;
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
    buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, http1_reason(status), date);
    if (content_type.len)
        buf_printf(out, "Content-Type: %.*s\r\n", STR_ARG(content_type));
    if (status != 204)
        buf_printf(out, "Content-Length: %zu\r\n", content_length);
    for (size_t i = 0; i < header_count; i++)
        buf_printf(out, "%.*s: %.*s\r\n", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
    buf_append_cstr(out, keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
}

static bool has_header(const struct http_response *res, struct str name)
{
    for (size_t i = 0; i < res->header_count; i++)
        if (str_equal_nocase(res->headers[i].name, name))
            return true;
    return false;
}

/* The handler's own ones count. */
static void exchange_add_rules(struct http_exchange *exchange)
{
    const struct web_config *config = &exchange->rules->config;
    for (size_t i = 0; i < config->header_count; i++)
        if (!has_header(&exchange->res, config->headers[i].name))
            http_response_header(&exchange->res, config->headers[i].name, config->headers[i].value);
}

static void exchange_finish(struct http_exchange *exchange)
{
    struct http_response *res = &exchange->res;
    exchange_compress(exchange);
    if (exchange->rules)
        exchange_add_rules(exchange);
    struct str type = res->body.len ? res->content_type : STR("");
    if (exchange->is_http10 && exchange->keep_alive)
        http_response_header(res, STR("Connection"), STR("keep-alive"));
    http_write_head(&exchange->head_out, res->status, type, res->body.len, exchange->keep_alive,
                    res->headers, res->header_count);
}

/* The request's id, of the client or a new one, is a header of request and response. */
static void exchange_identify(struct http_exchange *exchange)
{
    static const struct str name = STR_INIT("X-Request-ID");
    struct http_request *req = &exchange->req;
    struct str id = http_request_header(req, name);
    if (id.len == 0) {
        char text[ULID_TEXT_LEN];
        ulid_print(ulid_make(time_now_ms()), text);
        id = arena_str(req->arena, (struct str){text, sizeof(text)});
        req->headers[req->header_count++] = (struct http_header){name, id};
    }
    http_response_header(&exchange->res, name, id);
}

void http_exchange_run(struct http_exchange *exchange)
{
    const struct request_log *log = exchange->route->is_api ? exchange->log : NULL;
    exchange->res.status = 200;
    exchange->res.content_type = STR("text/plain; charset=utf-8");
    if (exchange->route->is_api)
        exchange_identify(exchange);
    request_log_http_start(log, &exchange->req, exchange->route->name);
    struct error *err = exchange_handle(exchange);
    if (err)
        exchange_respond_error(exchange, err);
    request_log_http_end(log, &exchange->req, exchange->route->name, exchange->res.status);
    exchange_finish(exchange);
}

void http_exchange_refuse(struct http_exchange *exchange, struct error *err)
{
    exchange_respond_error(exchange, err);
    exchange_finish(exchange);
}
