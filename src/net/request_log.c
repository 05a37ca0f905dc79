#include "net/request_log.h"

#include <stdlib.h>

#include "base/memory.h"
#include "codec/yaml.h"
#include "runtime/log.h"
#include "runtime/time.h"

enum { LEVELS = 4 };

struct options {
    struct str level;
    bool start, end;
};

struct only { /* one of http.config or grpc.config */
    struct str path;
    int64_t port; /* 0: any; of HTTP */
};

struct request_log {
    struct arena *arena;
    struct log *protocol, *log; /* log has the pairs of both */
    bool start;
    enum log_level least;
    struct only *only; /* count 0: all requests */
    size_t count;
};

/* ---- the configuration ---- */

static struct error *read_decision(const struct yaml_node *node, struct options *out)
{
    static const char *const keys[] = {"log_start", "log_end"};
    struct error *err = yaml_check_keys(node, keys, countof(keys), "logging.DecisionConfig");
    if (!err)
        err = yaml_bool(yaml_get(node, "log_start"), &out->start);
    return err ? err : yaml_bool(yaml_get(node, "log_end"), &out->end);
}

static bool options_are_set(const struct options *options)
{
    return options->level.len || options->start || options->end;
}

static struct error *read_options(const struct yaml_node *node, struct options *out)
{
    static const char *const keys[] = {"level", "decision"};
    struct error *err = yaml_check_keys(node, keys, countof(keys), "logging.OptionsConfig");
    if (!err)
        err = yaml_str(yaml_get(node, "level"), &out->level);
    if (!err)
        err = read_decision(yaml_get(node, "decision"), out);
    if (!err && options_are_set(out) && out->level.len == 0)
        err = error_create(ERROR_INVALID, "level field is empty");
    return err;
}

static struct error *read_level(struct str level, enum log_level *out)
{
    static const struct str names[LEVELS] = {STR_INIT("DEBUG"), STR_INIT("INFO"),
                                             STR_INIT("WARNING"), STR_INIT("ERROR")};
    for (size_t i = 0; i < LEVELS; i++)
        if (str_equal(level, names[i])) {
            *out = (enum log_level)i;
            return NULL;
        }
    return error_create(ERROR_INVALID,
                        "the format of level is invalid. Expected INFO/DEBUG/ERROR/WARNING, got "
                        "this %.*s",
                        STR_ARG(level));
}

static struct error *read_http_item(const struct yaml_node *node, struct only *out)
{
    static const char *const keys[] = {"path", "port"};
    struct error *err = yaml_check_keys(node, keys, countof(keys), "logging.HTTPProtocolConfig");
    if (!err)
        err = yaml_str(yaml_get(node, "path"), &out->path);
    return err ? err : yaml_int64(yaml_get(node, "port"), &out->port);
}

static struct error *read_grpc_item(const struct yaml_node *node, struct arena *arena,
                                    struct only *out)
{
    static const char *const keys[] = {"service", "method"};
    struct str service = {0}, method = {0};
    struct error *err = yaml_check_keys(node, keys, countof(keys), "logging.GRPCProtocolConfig");
    if (!err)
        err = yaml_str(yaml_get(node, "service"), &service);
    if (!err)
        err = yaml_str(yaml_get(node, "method"), &method);
    out->path = arena_printf(arena, "/%.*s/%.*s", STR_ARG(service), STR_ARG(method));
    return err;
}

static struct error *read_protocol(struct request_log *log, const struct yaml_node *node,
                                   enum request_protocol protocol, struct options *options)
{
    static const char *const keys[] = {"options", "config"};
    const struct yaml_node *list = yaml_get(node, "config");
    struct options own = {0};
    struct error *err = yaml_check_keys(node, keys, countof(keys), "logging.ProtocolConfigs");
    if (!err)
        err = yaml_expect(list, YAML_SEQUENCE);
    if (!err)
        err = read_options(yaml_get(node, "options"), &own);
    if (options_are_set(&own))
        *options = own;
    size_t count = list && !err ? list->count : 0;
    log->only = arena_array(log->arena, count, sizeof(*log->only));
    for (; log->count < count && !err; log->count++)
        err = protocol == REQUEST_HTTP
                  ? read_http_item(list->items[log->count], &log->only[log->count])
                  : read_grpc_item(list->items[log->count], log->arena, &log->only[log->count]);
    return err;
}

static struct error *read_config(struct request_log *log, enum request_protocol protocol,
                                 struct str yaml, bool *is_wanted)
{
    static const char *const keys[] = {"http", "grpc", "options"};
    struct yaml_node *root = NULL;
    struct options options = {0};
    struct error *err = yaml_parse(yaml, log->arena, &root);
    if (!err)
        err = yaml_expect(root, YAML_MAPPING);
    if (!err)
        err = yaml_check_keys(root, keys, countof(keys), "logging.RequestConfig");
    if (!err)
        err = read_options(yaml_get(root, "options"), &options);
    if (!err)
        err = read_protocol(log, yaml_get(root, protocol == REQUEST_HTTP ? "http" : "grpc"),
                            protocol, &options);
    if (!err && options_are_set(&options))
        err = read_level(options.level, &log->least);
    if (!err && options.start && !options.end)
        err = error_create(ERROR_INVALID, protocol == REQUEST_HTTP
                                              ? "log start call is not supported"
                                              : "log decision combination is not supported");
    log->start = options.start;
    *is_wanted = options.end;
    return err;
}

struct error *request_log_create(struct log *parent, enum request_protocol protocol,
                                 struct str yaml, struct request_log **out)
{
    bool is_http = protocol == REQUEST_HTTP, is_wanted = false;
    *out = NULL;
    if (yaml.len == 0)
        return NULL;
    struct request_log *log = xcalloc(1, sizeof(*log));
    log->arena = arena_create(NULL);
    log->protocol = log_with(parent, "protocol", is_http ? STR("http") : STR("grpc"));
    log->log =
        log_with(log->protocol, is_http ? "http.component" : "grpc.component", STR("server"));
    struct error *err = read_config(log, protocol, arena_str(log->arena, yaml), &is_wanted);
    if (err || !is_wanted)
        request_log_free(log);
    else
        *out = log;
    return err;
}

void request_log_free(struct request_log *log)
{
    if (!log)
        return;
    log_free(log->log);
    log_free(log->protocol);
    arena_unref(log->arena);
    free(log);
}

/* ---- HTTP ---- */

static int64_t port_of(struct str host)
{
    int64_t port = 0;
    size_t colon = host.len;
    while (colon > 0 && host.data[colon - 1] != ':')
        colon--;
    return colon > 0 && str_to_int64(str_slice(host, colon, host.len), &port) ? port : 0;
}

static bool wants_http(const struct request_log *log, const struct http_request *req)
{
    if (!log || log->count == 0)
        return log != NULL;
    int64_t port = port_of(http_request_header(req, STR("Host")));
    for (size_t i = 0; i < log->count; i++) {
        const struct only *only = &log->only[i];
        if (str_equal(only->path, req->path) && (only->port == 0 || only->port == port))
            return true;
    }
    return false;
}

static struct str method_text(const struct http_request *req)
{
    return arena_printf(req->arena, "%.*s %.*s%s%.*s", STR_ARG(req->method), STR_ARG(req->path),
                        req->query.len ? "?" : "", STR_ARG(req->query));
}

void request_log_http_start(const struct request_log *log, const struct http_request *req,
                            const char *name)
{
    if (!log || !log->start || log->least > LOG_DEBUG || !log_enabled(log->log, LOG_DEBUG) ||
        !wants_http(log, req))
        return;
    log_debug(log->log, "started call", KV("http.method", method_text(req)),
              KV("http.request_id", http_request_header(req, STR("X-Request-ID"))),
              KV("http.user_agent", http_request_header(req, STR("User-Agent"))),
              KV("thanos.method_name", name));
}

void request_log_http_end(const struct request_log *log, const struct http_request *req,
                          const char *name, int status)
{
    bool is_fine = status >= 200 && status < 500;
    enum log_level level = is_fine ? LOG_DEBUG : LOG_ERROR;
    if (!log || level < log->least || !log_enabled(log->log, level) || !wants_http(log, req))
        return;
    struct str from = http_request_header(req, STR("X-Forwarded-For"));
    int64_t took_us = (time_now_monotonic_ns() - req->received_ns) / 1000;
    LOG_AT(log->log, level, "finished call", KV("http.method", method_text(req)),
           KV("http.request_id", http_request_header(req, STR("X-Request-ID"))),
           KV("http.user_agent", http_request_header(req, STR("User-Agent"))),
           KV("http.status_code", status), KV("http.time_ms", (double)took_us / 1000),
           KV("http.remote_addr", from.len ? from : req->peer), KV("thanos.method_name", name));
}

/* ---- gRPC ---- */

static bool wants_grpc(const struct request_log *log, struct str path)
{
    if (!log || log->count == 0)
        return log != NULL;
    for (size_t i = 0; i < log->count; i++)
        if (str_equal(log->only[i].path, path))
            return true;
    return false;
}

static const char *kind_text(enum grpc_kind kind)
{
    return kind == GRPC_UNARY           ? "unary"
           : kind == GRPC_SERVER_STREAM ? "server_stream"
                                        : "bidi_stream";
}

void request_log_grpc_start(const struct request_log *log, const struct grpc_method *method,
                            struct str request_id)
{
    struct str path = str_from(method->path), service, name;
    if (!log || !log->start || !log_enabled(log->log, LOG_DEBUG) || !wants_grpc(log, path))
        return;
    str_cut(str_slice(path, 1, path.len), '/', &service, &name);
    log_debug(log->log, "started call", KV("grpc.service", service), KV("grpc.method", name),
              KV("grpc.method_type", kind_text(method->kind)), KV("request-id", request_id));
}

void request_log_grpc_end(const struct request_log *log, const struct grpc_method *method,
                          struct str request_id, enum grpc_code code, int64_t took_ns)
{
    bool is_bad = code == GRPC_UNKNOWN || code == GRPC_UNIMPLEMENTED || code == GRPC_INTERNAL ||
                  code == GRPC_DATA_LOSS;
    enum log_level level = is_bad ? LOG_ERROR : LOG_DEBUG;
    struct str path = str_from(method->path), service, name;
    if (!log || !log_enabled(log->log, level) || !wants_grpc(log, path))
        return;
    str_cut(str_slice(path, 1, path.len), '/', &service, &name);
    LOG_AT(log->log, level, "finished call", KV("grpc.service", service), KV("grpc.method", name),
           KV("grpc.method_type", kind_text(method->kind)), KV("request-id", request_id),
           KV("grpc.code", grpc_code_name(code)),
           KV("grpc.time_ms", (double)(took_ns / 1000) / 1000));
}
