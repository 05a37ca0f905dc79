/* /api/v1/stores and /api/v1/status/...: answered from memory. */
#include <dirent.h>
#include <unistd.h>

#include "api/api_response.h"
#include "api/query_call.h"
#include "api/result_json.h"
#include "base/time_text.h"

static void put_time(struct json_writer *json, struct arena *arena, int64_t ms)
{
    struct buf text = BUF_INIT(arena_budget(arena));
    time_text_print_ms(&text, ms);
    json_put_str(json, buf_str(&text));
    buf_deinit(&text);
}

static void write_endpoint(struct json_writer *json, struct arena *arena,
                           const struct endpoint_status *status)
{
    json_begin_object(json);
    json_put_key(json, "name");
    json_put_str(json, status->address);
    json_put_key(json, "lastCheck");
    put_time(json, arena, status->last_check_ms);
    json_put_key(json, "lastError");
    if (status->last_error.len)
        json_put_str(json, status->last_error);
    else
        json_put_null(json);
    json_put_key(json, "labelSets");
    json_begin_array(json);
    for (size_t i = 0; i < status->label_set_count; i++)
        labels_write(json, status->label_sets[i]);
    json_end_array(json);
    json_put_key(json, "minTime");
    json_put_int64(json, status->min_time);
    json_put_key(json, "maxTime");
    json_put_int64(json, status->max_time);
    json_end_object(json);
}

struct error *handle_stores(void *self, struct http_request *req, struct http_response *res)
{
    const struct query_api_config *config = &((const struct query_api *)self)->config;
    struct endpoint_statuses statuses = {0};
    if (config->endpoints)
        config->endpoints(config->endpoints_self, req->arena, &statuses);
    struct json_writer json = api_begin(res);
    json_begin_object(&json);
    for (size_t i = 0; i < statuses.count; i++) {
        const struct endpoint_status *status = &statuses.items[i];
        if (i == 0 || !str_equal(status->type, status[-1].type)) {
            if (i > 0)
                json_end_array(&json);
            json_put_key_str(&json, status->type);
            json_begin_array(&json);
        }
        write_endpoint(&json, req->arena, status);
    }
    if (statuses.count)
        json_end_array(&json);
    json_end_object(&json);
    api_end(res, &json, NULL);
    return NULL;
}

static void put_pair(struct json_writer *json, const char *key, struct str value)
{
    json_put_key(json, key);
    json_put_str(json, value);
}

struct error *handle_build_info(void *self, struct http_request *req, struct http_response *res)
{
    const struct api_build_info *build = &((const struct query_api *)self)->config.build;
    struct json_writer json = api_begin(res);
    json_begin_object(&json);
    put_pair(&json, "version", build->version);
    put_pair(&json, "revision", build->revision);
    put_pair(&json, "branch", build->branch);
    put_pair(&json, "buildUser", build->user);
    put_pair(&json, "buildDate", build->date);
    put_pair(&json, "goVersion", build->toolchain);
    json_end_object(&json);
    api_end(res, &json, NULL);
    return NULL;
}

static size_t count_threads(void)
{
    size_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks && (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
    return count;
}

struct error *handle_runtime_info(void *self, struct http_request *req, struct http_response *res)
{
    const struct query_api_config *config = &((const struct query_api *)self)->config;
    char folder[4096];
    struct json_writer json = api_begin(res);
    json_begin_object(&json);
    json_put_key(&json, "startTime");
    put_time(&json, req->arena, config->start_time_ms);
    put_pair(&json, "CWD", getcwd(folder, sizeof(folder)) ? str_from(folder) : STR(""));
    json_put_key(&json, "goroutineCount");
    json_put_uint64(&json, count_threads());
    json_put_key(&json, "GOMAXPROCS");
    json_put_int64(&json, sysconf(_SC_NPROCESSORS_ONLN));
    put_pair(&json, "GOGC", STR(""));
    put_pair(&json, "GODEBUG", STR(""));
    json_put_key(&json, "GOMEMLIMIT");
    json_put_int64(&json, INT64_MAX);
    json_end_object(&json);
    api_end(res, &json, NULL);
    return NULL;
}

struct error *handle_flags(void *self, struct http_request *req, struct http_response *res)
{
    const struct query_api_config *config = &((const struct query_api *)self)->config;
    struct json_writer json = api_begin(res);
    json_begin_object(&json);
    for (size_t i = 0; i < config->flag_count; i++) {
        json_put_key_str(&json, config->flags[i].name);
        json_put_str(&json, config->flags[i].value);
    }
    json_end_object(&json);
    api_end(res, &json, NULL);
    return NULL;
}
