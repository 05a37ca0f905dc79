/* Records as JSON. */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/time_text.h"
#include "codec/float_text.h"
#include "model/labels_json.h"
#include "peers/record.h"

/* -- writing -- */

static void time_write(struct json_writer *json, struct instant time)
{
    struct buf text = {0};
    time_text_print_ns(&text, time.seconds, time.ns);
    json_put_str(json, buf_str(&text));
    buf_deinit(&text);
}

static void double_write(struct json_writer *json, double value, bool is_text)
{
    char text[FLOAT_TEXT_MAX];
    struct str shown = {text, float_text(text, value, FLOAT_PLAIN)};
    if (is_text)
        json_put_str(json, shown);
    else
        json_put_raw(json, shown);
}

static void enum_write(struct json_writer *json, const struct enum_names *names, int value)
{
    json_put_cstr(json, value >= 0 && value < names->count ? names->names[value] : "unknown");
}

static void list_write(struct json_writer *json, const struct record_type *type, const void *list)
{
    const char *items;
    size_t count;
    memcpy(&items, list, sizeof(items));
    memcpy(&count, (const char *)list + sizeof(items), sizeof(count));
    json_begin_array(json);
    for (size_t i = 0; i < count; i++)
        if (type)
            record_write_json(json, type, items + i * type->size);
        else
            json_put_str(json, ((const struct str *)(const void *)items)[i]);
    json_end_array(json);
}

static void value_write(struct json_writer *json, const struct field *field, const void *member)
{
    switch (field->type) {
    case FIELD_STR:
        json_put_str(json, *(const struct str *)member);
        break;
    case FIELD_INT:
        json_put_int64(json, *(const int64_t *)member);
        break;
    case FIELD_UINT:
        json_put_uint64(json, *(const uint64_t *)member);
        break;
    case FIELD_BOOL:
        json_put_bool(json, *(const bool *)member);
        break;
    case FIELD_DOUBLE:
        json_put_double(json, *(const double *)member);
        break;
    case FIELD_DOUBLE_TEXT:
        double_write(json, *(const double *)member, true);
        break;
    case FIELD_TIME:
        time_write(json, *(const struct instant *)member);
        break;
    case FIELD_TIME_MS:
        double_write(json, (double)*(const int64_t *)member / 1000, false);
        break;
    case FIELD_ENUM:
        enum_write(json, field->of, *(const int *)member);
        break;
    case FIELD_LABELS:
        labels_write_json(json, *(const struct labels *)member);
        break;
    case FIELD_STRS:
    case FIELD_RECORDS:
        list_write(json, field->of, member);
        break;
    case FIELD_RECORD:
        record_write_json(json, field->of, member);
        break;
    case FIELD_VARIANT:
        break; /* has no value of its own */
    }
}

static bool is_empty(const struct field *field, const void *member)
{
    if (field->type == FIELD_STR)
        return ((const struct str *)member)->len == 0;
    return field->type == FIELD_TIME &&
           instant_compare(*(const struct instant *)member, INSTANT_NEVER) == 0;
}

static void fields_write(struct json_writer *json, const struct record_type *type,
                         const void *record)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct field *field = &type->fields[i];
        const void *member = (const char *)record + field->offset;
        if (field->type == FIELD_VARIANT && *(const int *)member == field->value)
            fields_write(json, field->of, record);
        if (!field->key || (field->is_optional && is_empty(field, member)))
            continue;
        json_put_key(json, field->key);
        value_write(json, field, member);
    }
}

void record_write_json(struct json_writer *json, const struct record_type *type, const void *record)
{
    json_begin_object(json);
    fields_write(json, type, record);
    json_end_object(json);
}

/* -- reading -- */

static struct instant time_read(struct json_reader *reader)
{
    struct instant time = INSTANT_NEVER;
    if (json_peek(reader) == JSON_NULL)
        json_skip(reader);
    else if (!time_text_parse(json_str(reader), &time.seconds, &time.ns))
        json_fail(reader, "not a time");
    return time;
}

static double double_read_text(struct json_reader *reader)
{
    double value;
    if (!float_from_str(json_str(reader), &value))
        json_fail(reader, "not a number");
    return value;
}

static int64_t time_ms_read(struct json_reader *reader)
{
    double ms = json_double(reader) * 1000;
    if (fabs(ms) < 9e18)
        return llround(ms);
    json_fail(reader, "not a time");
    return 0;
}

static int enum_read(struct json_reader *reader, const struct enum_names *names)
{
    struct str text = json_str(reader);
    for (int i = 0; i < names->count; i++)
        if (str_equal_nocase(text, str_from(names->names[i])))
            return i;
    json_fail(reader, "an unknown word");
    return 0;
}

static void list_read(struct json_reader *reader, const struct record_type *type, void *list)
{
    if (json_array(reader))
        while (json_item(reader)) {
            void *item =
                records_add_sized(list, reader->arena, type ? type->size : sizeof(struct str));
            if (type)
                record_read_json(reader, type, item);
            else
                *(struct str *)item = json_str(reader);
        }
}

static void value_read(struct json_reader *reader, const struct field *field, void *member)
{
    switch (field->type) {
    case FIELD_STR:
        *(struct str *)member = json_str(reader);
        break;
    case FIELD_INT:
        *(int64_t *)member = json_int64(reader);
        break;
    case FIELD_UINT:
        *(uint64_t *)member = json_uint64(reader);
        break;
    case FIELD_BOOL:
        *(bool *)member = json_bool(reader);
        break;
    case FIELD_DOUBLE:
        *(double *)member = json_double(reader);
        break;
    case FIELD_DOUBLE_TEXT:
        *(double *)member = double_read_text(reader);
        break;
    case FIELD_TIME:
        *(struct instant *)member = time_read(reader);
        break;
    case FIELD_TIME_MS:
        *(int64_t *)member = time_ms_read(reader);
        break;
    case FIELD_ENUM:
        *(int *)member = enum_read(reader, field->of);
        break;
    case FIELD_LABELS:
        *(struct labels *)member = labels_read_json(reader, reader->arena);
        break;
    case FIELD_STRS:
    case FIELD_RECORDS:
        list_read(reader, field->of, member);
        break;
    case FIELD_RECORD:
        record_read_json(reader, field->of, member);
        break;
    case FIELD_VARIANT:
        break;
    }
}

static const struct field *field_find(const struct record_type *type, struct str key)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct field *field = &type->fields[i];
        if (field->key && str_equal(key, str_from(field->key)))
            return field;
        const struct field *inner =
            field->type == FIELD_VARIANT ? field_find(field->of, key) : NULL;
        if (inner)
            return inner;
    }
    return NULL;
}

void record_read_json(struct json_reader *reader, const struct record_type *type, void *record)
{
    struct str key;
    memset(record, 0, type->size);
    record_init(type, record);
    if (json_object(reader))
        while (json_key(reader, &key)) {
            const struct field *field = field_find(type, key);
            if (field)
                value_read(reader, field, (char *)record + field->offset);
            else
                json_skip(reader);
        }
}
