#include "api/api_response.h"

#include <stdio.h>

#include "runtime/context.h"

void api_set_cors(struct http_response *res)
{
    http_response_header(res, STR("Access-Control-Allow-Headers"),
                         STR("Accept, Accept-Encoding, Authorization, Content-Type, Origin"));
    http_response_header(res, STR("Access-Control-Allow-Methods"), STR("GET, POST, OPTIONS"));
    http_response_header(res, STR("Access-Control-Allow-Origin"), STR("*"));
    http_response_header(res, STR("Access-Control-Expose-Headers"), STR("Date"));
}

static void set_no_store(struct http_response *res)
{
    http_response_header(res, STR("Cache-Control"), STR("no-store"));
}

struct json_writer api_begin(struct http_response *res)
{
    struct json_writer json = json_write(&res->body, JSON_HTML_SAFE);
    res->content_type = STR("application/json");
    json_begin_object(&json);
    json_put_key(&json, "status");
    json_put_cstr(&json, "success");
    json_put_key(&json, "data");
    return json;
}

struct warning_writer {
    struct json_writer *json;
    bool is_partial; /* a warning that is about data, not about the query's text */
};

static void write_warning(void *arg, struct str text)
{
    struct warning_writer *writer = arg;
    json_put_str(writer->json, text);
    if (!str_starts_with(text, STR("PromQL info")) && !str_starts_with(text, STR("PromQL warning")))
        writer->is_partial = true;
}

static void write_annotations(struct json_writer *json, const struct str_list *list,
                              const char *kind)
{
    enum { SHOWN_MAX = 10 };
    char more[64];
    for (size_t i = 0; i < list->count && i < SHOWN_MAX; i++)
        json_put_str(json, list->items[i]);
    if (list->count <= SHOWN_MAX)
        return;
    (void)snprintf(more, sizeof(more), "%zu more %s annotations omitted", list->count - SHOWN_MAX,
                   kind);
    json_put_cstr(json, more);
}

void api_end_query(struct http_response *res, struct json_writer *json, struct context *ctx,
                   const struct str_list *warnings, const struct str_list *infos)
{
    struct warning_writer writer = {.json = json};
    bool has_own = ctx && context_has_warnings(ctx);
    if (has_own || warnings->count) {
        json_put_key(json, "warnings");
        json_begin_array(json);
        if (has_own)
            context_each_warning(ctx, write_warning, &writer);
        write_annotations(json, warnings, "warning");
        json_end_array(json);
    }
    if (infos->count) {
        json_put_key(json, "infos");
        json_begin_array(json);
        write_annotations(json, infos, "info");
        json_end_array(json);
    }
    json_end_object(json);
    if (writer.is_partial)
        set_no_store(res);
}

void api_end(struct http_response *res, struct json_writer *json, struct context *ctx)
{
    static const struct str_list none;
    api_end_query(res, json, ctx, &none, &none);
}

void api_respond_failure(struct http_response *res, int status, const char *type, struct str text)
{
    buf_clear(&res->body);
    struct json_writer json = json_write(&res->body, JSON_HTML_SAFE);
    res->status = status;
    res->content_type = STR("application/json");
    json_begin_object(&json);
    json_put_key(&json, "status");
    json_put_cstr(&json, "error");
    json_put_key(&json, "errorType");
    json_put_cstr(&json, type);
    json_put_key(&json, "error");
    json_put_str(&json, text);
    json_end_object(&json);
    set_no_store(res);
}

void api_respond_error(struct http_response *res, struct error *err)
{
    /* A store that failed makes a query fail that asks for whole answers: execution, as in Thanos.
     */
    static const struct {
        int status;
        const char *type;
    } answers[] = {
        [ERROR_INVALID] = {400, "bad_data"},      [ERROR_NOT_FOUND] = {422, "execution"},
        [ERROR_CONFLICT] = {422, "execution"},    [ERROR_QUERY] = {422, "execution"},
        [ERROR_LIMIT] = {422, "execution"},       [ERROR_BUSY] = {429, "unavailable"},
        [ERROR_UNAVAILABLE] = {422, "execution"}, [ERROR_TIMEOUT] = {503, "timeout"},
        [ERROR_CANCELLED] = {503, "canceled"},    [ERROR_CORRUPT] = {500, "internal"},
        [ERROR_INTERNAL] = {500, "internal"},
    };
    enum error_kind kind = error_kind(err);
    api_respond_failure(res, answers[kind].status, answers[kind].type, error_text(err));
    error_free(err);
}
