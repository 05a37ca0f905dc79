#include "codec/json.h"

#include "fuzz.h"

/* Reads a value in full and writes it again. */
static void copy(struct json_reader *reader, struct json_writer *json)
{
    struct str key;
    switch (json_peek(reader)) {
    case JSON_STRING:
        json_put_str(json, json_str(reader));
        break;
    case JSON_NUMBER:
        json_put_double(json, json_double(reader));
        break;
    case JSON_BOOL:
        json_put_bool(json, json_bool(reader));
        break;
    case JSON_ARRAY:
        json_begin_array(json);
        if (json_array(reader))
            while (json_item(reader))
                copy(reader, json);
        json_end_array(json);
        break;
    case JSON_OBJECT:
        json_begin_object(json);
        if (json_object(reader))
            while (json_key(reader, &key)) {
                json_put_key_str(json, key);
                copy(reader, json);
            }
        json_end_object(json);
        break;
    default:
        json_skip(reader);
        json_put_null(json);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct arena *arena = arena_create(NULL);
    struct buf out = {0};
    struct json_reader reader = json_read(text, arena);
    struct json_writer json = json_write(&out, JSON_HTML_SAFE);
    copy(&reader, &json);
    struct error *err = json_finish(&reader, "input");
    if (!err) { /* what was written must be JSON, and skipping must agree with reading */
        struct json_reader again = json_read(buf_str(&out), arena);
        json_skip(&again);
        FUZZ_CHECK(json_finish(&again, "copy") == NULL);
        struct json_reader skipped = json_read(text, arena);
        json_skip(&skipped);
        FUZZ_CHECK(json_finish(&skipped, "input") == NULL);
    }
    error_free(err);
    buf_deinit(&out);
    arena_unref(arena);
    return 0;
}
