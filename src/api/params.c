#include "api/params.h"

#include <math.h>

#include "base/duration.h"
#include "base/time_text.h"
#include "codec/float_text.h"
#include "codec/json.h"
#include "promql/parse.h"

enum { NS_PER_MS = 1000000, MS_PER_S = 1000, TEXT_SHOWN_MAX = 1000 };

struct str param_get(const struct http_request *req, const char *name)
{
    struct str value = STR("");
    (void)http_request_param(req, str_from(name), &value);
    return value;
}

static struct error *cannot_parse(struct str text, const char *what)
{
    struct str shown = str_slice(text, 0, TEXT_SHOWN_MAX);
    return error_create(ERROR_INVALID, "cannot parse \"%.*s\" to a valid %s", STR_ARG(shown), what);
}

struct error *param_parse_time(struct str text, int64_t *ms)
{
    double seconds, whole;
    if (float_from_str(text, &seconds)) {
        double fraction = modf(seconds, &whole);
        double result = whole * MS_PER_S + round(fraction * MS_PER_S);
        if (!(fabs(result) < (double)INT64_MAX)) /* NaN too */
            return cannot_parse(text, "timestamp");
        *ms = (int64_t)result;
        return NULL;
    }
    return time_text_parse_ms(text, ms) ? NULL : cannot_parse(text, "timestamp");
}

struct error *param_parse_duration(struct str text, int64_t *ns)
{
    double seconds;
    int64_t ms;
    if (float_from_str(text, &seconds)) {
        double result = seconds * 1e9;
        if (isnan(result))
            return cannot_parse(text, "duration");
        if (!(fabs(result) < (double)INT64_MAX))
            return cannot_parse(text, "duration. It overflows int64");
        *ns = (int64_t)result;
        return NULL;
    }
    struct error *err = duration_parse(text, &ms);
    if (err) {
        error_free(err);
        return cannot_parse(text, "duration");
    }
    *ns = ms * NS_PER_MS;
    return NULL;
}

struct error *param_time(const struct http_request *req, const char *name, int64_t *ms)
{
    struct str text = param_get(req, name);
    if (text.len == 0)
        return NULL;
    return error_wrap(param_parse_time(text, ms), "Invalid time value for '%s'", name);
}

struct error *param_duration(const struct http_request *req, const char *name, int64_t *ns)
{
    struct str text = param_get(req, name);
    if (text.len == 0)
        return NULL;
    return error_wrap(param_parse_duration(text, ns), "'%s' parameter", name);
}

bool param_parse_bool(struct str text, bool *out)
{
    static const struct {
        struct str word;
        bool value;
    } words[] = {
        {STR_INIT("1"), true},      {STR_INIT("t"), true},      {STR_INIT("T"), true},
        {STR_INIT("true"), true},   {STR_INIT("TRUE"), true},   {STR_INIT("True"), true},
        {STR_INIT("0"), false},     {STR_INIT("f"), false},     {STR_INIT("F"), false},
        {STR_INIT("false"), false}, {STR_INIT("FALSE"), false}, {STR_INIT("False"), false},
    };
    for (size_t i = 0; i < countof(words); i++)
        if (str_equal(text, words[i].word)) {
            *out = words[i].value;
            return true;
        }
    return false;
}

struct error *param_bool(const struct http_request *req, const char *name, bool *out)
{
    struct str text = param_get(req, name);
    if (text.len == 0 || param_parse_bool(text, out))
        return NULL;
    struct str shown = str_slice(text, 0, TEXT_SHOWN_MAX);
    return error_create(ERROR_INVALID,
                        "'%s' parameter: strconv.ParseBool: parsing \"%.*s\": invalid syntax", name,
                        STR_ARG(shown));
}

struct error *param_limit(const struct http_request *req, size_t *out)
{
    struct str text = param_get(req, "limit");
    int64_t limit = 0;
    if (text.len && !str_to_int64(text, &limit))
        return cannot_parse(text, "limit");
    if (limit < 0)
        return error_create(ERROR_INVALID, "limit must be non-negative");
    if (text.len)
        *out = (size_t)limit;
    return NULL;
}

static size_t count_values(const struct http_request *req, struct str name)
{
    size_t count = 0;
    for (size_t i = 0; i < req->param_count; i++)
        count += str_equal(req->params[i].name, name);
    return count;
}

struct error *param_selectors(const struct http_request *req, const char *name,
                              const struct parse_options *options, struct store_match **out,
                              size_t *count)
{
    struct str key = str_from(name);
    size_t found = count_values(req, key), at = 0;
    *out = arena_array(req->arena, found, sizeof(**out));
    *count = found;
    for (size_t i = 0; i < req->param_count; i++) {
        struct matcher *matchers;
        if (!str_equal(req->params[i].name, key))
            continue;
        struct store_match *match = &(*out)[at++];
        struct error *err = promql_parse_selector(req->params[i].value, options, req->arena,
                                                  &matchers, &match->matcher_count);
        if (err)
            return err;
        match->matchers = matchers;
    }
    return arena_status(req->arena);
}

bool param_list(const struct http_request *req, const char *name, struct str_list *out)
{
    struct str key = str_from(name);
    size_t found = count_values(req, key);
    if (found == 0)
        return false;
    *out = (struct str_list){arena_array(req->arena, found, sizeof(*out->items)), 0};
    for (size_t i = 0; i < req->param_count; i++)
        if (str_equal(req->params[i].name, key))
            out->items[out->count++] = req->params[i].value;
    str_list_sort(out);
    return true;
}

static void read_shard_labels(struct json_reader *reader, struct arena *arena,
                              struct str_list *labels)
{
    if (!json_array(reader))
        return;
    size_t cap = 0;
    while (json_item(reader)) {
        if (labels->count == cap) {
            struct str *more = arena_array(arena, cap * 2 + 8, sizeof(*more));
            if (cap)
                memcpy(more, labels->items, cap * sizeof(*more));
            labels->items = more;
            cap = cap * 2 + 8;
        }
        labels->items[labels->count++] = json_str(reader);
    }
    str_list_sort(labels);
}

struct error *param_shard(const struct http_request *req, struct shard *out)
{
    struct str text = param_get(req, "shard_info"), key;
    if (text.len == 0)
        return NULL;
    struct json_reader reader = json_read(text, req->arena);
    if (json_object(&reader))
        while (json_key(&reader, &key)) {
            if (str_equal(key, STR("shard_index")))
                out->index = json_uint64(&reader);
            else if (str_equal(key, STR("total_shards")))
                out->total = json_uint64(&reader);
            else if (str_equal(key, STR("by")))
                out->by = json_bool(&reader);
            else if (str_equal(key, STR("labels")))
                read_shard_labels(&reader, req->arena, &out->labels);
            else
                json_skip(&reader);
        }
    struct error *err = json_finish(&reader, "could not unmarshal parameter shard_info");
    if (!err && out->total > 0 && out->index >= out->total)
        err = error_create(ERROR_INVALID,
                           "could not unmarshal parameter shard_info: no shard %llu of %llu",
                           (unsigned long long)out->index, (unsigned long long)out->total);
    return err;
}
