#include "api/blocks_api.h"

#include "api/api_response.h"
#include "block/block_meta.h"
#include "bucket/bucket_store.h"
#include "objstore/bucket.h"
#include "runtime/log.h"
#include "runtime/time.h"

enum { FORM_MAX = 64 * 1024 };

/* Other views than that of what is loaded are a compactor's: here they are empty. */
static struct error *handle_blocks(void *self, struct http_request *req, struct http_response *res)
{
    const struct blocks_api *api = self;
    struct str view = STR("");
    struct buf data = BUF_INIT(arena_budget(req->arena));
    (void)http_request_param(req, STR("view"), &view);
    struct json_writer json = api_begin(res);
    if (str_equal(view, STR("loaded"))) {
        bucket_store_print_blocks(api->store, api->label, &data);
    } else {
        struct json_writer empty = json_write(&data, JSON_HTML_SAFE);
        json_begin_object(&empty);
        json_put_key(&empty, "label");
        json_put_str(&empty, api->label);
        json_put_key(&empty, "blocks");
        json_begin_array(&empty);
        json_end_array(&empty);
        json_put_key(&empty, "refreshedAt");
        json_put_cstr(&empty, "0001-01-01T00:00:00Z");
        json_put_key(&empty, "err");
        json_put_null(&empty);
        json_end_object(&empty);
    }
    json_put_raw(&json, buf_str(&data));
    api_end(res, &json, NULL);
    struct error *err = buf_status(&data);
    buf_deinit(&data);
    return err;
}

/* ---- marks ---- */

static struct error *mark_params(const struct blocks_api *api, struct http_request *req,
                                 struct block_mark *mark, enum block_mark_kind *kind)
{
    struct str id = STR(""), action = STR("");
    (void)http_request_param(req, STR("id"), &id);
    (void)http_request_param(req, STR("action"), &action);
    *mark = (struct block_mark){.details = STR(""), .reason = STR("manual")};
    (void)http_request_param(req, STR("detail"), &mark->details);
    if (api->marks_forbidden)
        return error_create(ERROR_INVALID, "Admin operations are disabled");
    if (id.len == 0)
        return error_create(ERROR_INVALID, "ID cannot be empty");
    if (action.len == 0)
        return error_create(ERROR_INVALID, "Action cannot be empty");
    if (!ulid_parse(id, &mark->id))
        return error_create(ERROR_INVALID, "ULID \"%.*s\" is not valid: bad data size or letters",
                            STR_ARG(id));
    if (str_equal(action, STR("DELETION")))
        *kind = MARK_DELETION;
    else if (str_equal(action, STR("NO_COMPACTION")))
        *kind = MARK_NO_COMPACT;
    else
        return error_create(ERROR_INVALID, "not supported marker %.*s", STR_ARG(action));
    return NULL;
}

static struct error *put_mark(const struct blocks_api *api, struct http_request *req,
                              enum block_mark_kind kind, const struct block_mark *mark)
{
    struct buf text = {0};
    char id[ULID_TEXT_LEN];
    bool is_there = false;
    ulid_print(mark->id, id);
    struct str key =
        arena_printf(req->arena, "%.*s/%.*s", ULID_TEXT_LEN, id, STR_ARG(block_mark_file(kind)));
    struct error *err = bucket_exists(api->bucket, req->ctx, key, &is_there);
    block_mark_print(&text, kind, mark);
    if (!err && !is_there) { /* one that is there already stays */
        err = bucket_put_bytes(api->bucket, req->ctx, key, buf_bytes(&text));
        if (!err)
            log_info(api->log, "block has been marked", KV("mark", key));
    }
    buf_deinit(&text);
    return err;
}

static struct error *handle_mark(void *self, struct http_request *req, struct http_response *res)
{
    const struct blocks_api *api = self;
    struct block_mark mark;
    enum block_mark_kind kind = MARK_DELETION;
    struct error *err = mark_params(api, req, &mark, &kind);
    mark.time_s = time_now_ms() / 1000;
    if (!err)
        err = put_mark(api, req, kind, &mark);
    if (!err) {
        api_set_cors(res);
        res->status = 204;
        return NULL;
    }
    return error_as(err, ERROR_INVALID);
}

static void respond_error(void *self UNUSED, struct http_request *req UNUSED,
                          struct http_response *res, struct error *err)
{
    api_respond_error(res, err);
}

void blocks_api_routes(struct blocks_api *api, struct arena *arena, struct http_route *out)
{
    struct str prefix = api->prefix;
    out[0] = (struct http_route){
        .methods = "GET",
        .pattern = arena_printf(arena, "%.*s/api/v1/blocks%c", STR_ARG(prefix), 0).data,
        .handler = handle_blocks,
        .name = "blocks",
    };
    out[1] = (struct http_route){
        .methods = "POST",
        .pattern = arena_printf(arena, "%.*s/api/v1/blocks/mark%c", STR_ARG(prefix), 0).data,
        .handler = handle_mark,
        .body_max = FORM_MAX,
        .name = "blocks_mark",
    };
    for (size_t i = 0; i < BLOCKS_API_ROUTES; i++) {
        out[i].self = api;
        out[i].pool = api->pool;
        out[i].error_respond = respond_error;
    }
}
