#include "peers/record.h"

#include <string.h>

#include "codec/pb.h"

/* -- lists -- */

/* The members of any RECORDS(T), whose first one is a T *. */
struct list_head {
    size_t count, cap;
};

static struct list_head *list_head(void *list)
{
    return (struct list_head *)(void *)((char *)list + sizeof(void *));
}

void *records_add_sized(void *list, struct arena *arena, size_t item_size)
{
    struct list_head *head = list_head(list);
    char *items;
    memcpy(&items, list, sizeof(items));
    if (head->count == head->cap) {
        size_t cap = head->cap ? 2 * head->cap : 4;
        char *more = arena_array(arena, cap, item_size);
        if (head->count)
            memcpy(more, items, head->count * item_size);
        head->cap = cap;
        items = more;
        memcpy(list, &items, sizeof(items));
    }
    return memset(items + head->count++ * item_size, 0, item_size);
}

static const char *list_items(const void *list, size_t *count)
{
    const char *items;
    memcpy(&items, list, sizeof(items));
    memcpy(count, (const char *)list + sizeof(items), sizeof(*count));
    return items;
}

int instant_compare(struct instant a, struct instant b)
{
    if (a.seconds != b.seconds)
        return a.seconds < b.seconds ? -1 : 1;
    return a.ns < b.ns ? -1 : a.ns > b.ns;
}

void record_init(const struct record_type *type, void *record)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct field *field = &type->fields[i];
        char *member = (char *)record + field->offset;
        if (field->type == FIELD_TIME)
            *(struct instant *)(void *)member = INSTANT_NEVER;
        else if (field->type == FIELD_RECORD)
            record_init(field->of, member);
        else if (field->type == FIELD_VARIANT)
            record_init(field->of, record);
    }
}

/* -- encoding -- */

enum { NESTED_GUESS = 100 }; /* bytes of most nested messages */

void label_set_encode(struct buf *out, struct labels labels)
{
    struct labels_reader reader = labels_read(labels);
    struct label label;
    while (labels_next(&reader, &label)) {
        size_t pair = pb_begin(out, 1, label.name.len + label.value.len);
        pb_put_str(out, 1, label.name);
        pb_put_str(out, 2, label.value);
        pb_end(out, pair);
    }
}

static void labels_encode(struct buf *out, uint32_t number, struct labels labels)
{
    if (labels.len == 0)
        return;
    size_t mark = pb_begin(out, number, labels.len);
    label_set_encode(out, labels);
    pb_end(out, mark);
}

static void time_encode(struct buf *out, const struct field *field, struct instant time)
{
    if (field->is_optional && instant_compare(time, INSTANT_NEVER) == 0)
        return;
    size_t mark = pb_begin(out, field->number, 16);
    pb_put_int64(out, 1, time.seconds);
    pb_put_int64(out, 2, time.ns);
    pb_end(out, mark);
}

static void nested_encode(struct buf *out, uint32_t number, const struct record_type *type,
                          const void *record)
{
    size_t mark = pb_begin(out, number, NESTED_GUESS);
    record_encode(out, type, record);
    pb_end(out, mark);
}

static void list_encode(struct buf *out, const struct field *field, const void *list)
{
    const struct record_type *type = field->of;
    size_t count;
    const char *items = list_items(list, &count);
    for (size_t i = 0; i < count; i++)
        if (type)
            nested_encode(out, field->number, type, items + i * type->size);
        else
            pb_put_str_always(out, field->number, ((const struct str *)(const void *)items)[i]);
}

void record_encode(struct buf *out, const struct record_type *type, const void *record)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct field *field = &type->fields[i];
        const void *member = (const char *)record + field->offset;
        if (field->number == 0)
            continue;
        switch (field->type) {
        case FIELD_STR:
            pb_put_str(out, field->number, *(const struct str *)member);
            break;
        case FIELD_INT:
        case FIELD_TIME_MS:
            pb_put_int64(out, field->number, *(const int64_t *)member);
            break;
        case FIELD_UINT:
            pb_put_uint64(out, field->number, *(const uint64_t *)member);
            break;
        case FIELD_BOOL:
            pb_put_bool(out, field->number, *(const bool *)member);
            break;
        case FIELD_DOUBLE:
        case FIELD_DOUBLE_TEXT:
            pb_put_double(out, field->number, *(const double *)member);
            break;
        case FIELD_TIME:
            time_encode(out, field, *(const struct instant *)member);
            break;
        case FIELD_ENUM:
            pb_put_int64(out, field->number, *(const int *)member);
            break;
        case FIELD_LABELS:
            labels_encode(out, field->number, *(const struct labels *)member);
            break;
        case FIELD_STRS:
        case FIELD_RECORDS:
            list_encode(out, field, member);
            break;
        case FIELD_RECORD:
            nested_encode(out, field->number, field->of, member);
            break;
        case FIELD_VARIANT:
            if (*(const int *)member == field->value)
                nested_encode(out, field->number, field->of, record);
            break;
        }
    }
}

/* -- decoding -- */

static struct error *label_decode(struct bytes message, struct labels_builder *builder)
{
    struct pb_reader reader = pb_read(message);
    struct str name = STR_INIT(""), value = STR_INIT("");
    while (pb_next(&reader)) {
        if (reader.field == 1)
            name = pb_str(&reader);
        else if (reader.field == 2)
            value = pb_str(&reader);
        else
            pb_skip(&reader);
    }
    if (!reader.failure && name.len == 0)
        pb_fail(&reader, "a label without a name");
    if (!reader.failure)
        labels_builder_set(builder, name, value);
    return pb_error(&reader, "label");
}

struct error *label_set_decode(struct bytes message, struct arena *arena, struct labels *out)
{
    struct pb_reader reader = pb_read(message);
    struct labels_builder builder = labels_builder_create(arena);
    struct error *err = NULL;
    while (!err && pb_next(&reader)) {
        if (reader.field == 1)
            err = label_decode(pb_bytes(&reader), &builder);
        else
            pb_skip(&reader);
    }
    if (!err)
        err = pb_error(&reader, "label set");
    if (!err)
        err = labels_builder_status(&builder);
    if (!err)
        *out = labels_builder_finish(&builder);
    return err;
}

static struct error *time_decode(struct bytes message, struct instant *out)
{
    const int64_t last_second = INT64_C(253402300799); /* of the year 9999 */
    struct pb_reader reader = pb_read(message);
    *out = (struct instant){0};
    while (pb_next(&reader)) {
        if (reader.field == 1)
            out->seconds = pb_int64(&reader);
        else if (reader.field == 2)
            out->ns = pb_int32(&reader);
        else
            pb_skip(&reader);
    }
    if (!reader.failure && (out->ns < 0 || out->ns >= 1000000000 || out->seconds > last_second ||
                            out->seconds < INSTANT_NEVER.seconds))
        pb_fail(&reader, "a time that is none");
    return pb_error(&reader, "time");
}

static struct error *fields_decode(struct bytes message, struct arena *arena,
                                   const struct record_type *type, void *record);

static struct error *nested_decode(struct pb_reader *reader, struct arena *arena,
                                   const struct field *field, void *record)
{
    const struct record_type *type = field->of;
    void *member = (char *)record + field->offset;
    if (field->type == FIELD_VARIANT) {
        *(int *)member = field->value;
        return fields_decode(pb_bytes(reader), arena, type, record);
    }
    if (field->type == FIELD_RECORDS) {
        member = records_add_sized(member, arena, type->size);
        record_init(type, member);
    }
    struct error *err = fields_decode(pb_bytes(reader), arena, type, member);
    return err ? err : arena_status(arena);
}

static struct error *field_decode(struct pb_reader *reader, struct arena *arena,
                                  const struct field *field, void *record)
{
    void *member = (char *)record + field->offset;
    switch (field->type) {
    case FIELD_STR:
        *(struct str *)member = pb_str(reader);
        return NULL;
    case FIELD_INT:
    case FIELD_TIME_MS:
        *(int64_t *)member = pb_int64(reader);
        return NULL;
    case FIELD_UINT:
        *(uint64_t *)member = pb_uint64(reader);
        return NULL;
    case FIELD_BOOL:
        *(bool *)member = pb_bool(reader);
        return NULL;
    case FIELD_DOUBLE:
    case FIELD_DOUBLE_TEXT:
        *(double *)member = pb_double(reader);
        return NULL;
    case FIELD_TIME:
        return time_decode(pb_bytes(reader), member);
    case FIELD_ENUM:
        *(int *)member = pb_int32(reader);
        return NULL;
    case FIELD_LABELS:
        return label_set_decode(pb_bytes(reader), arena, member);
    case FIELD_STRS: {
        struct str *added = records_add_sized(member, arena, sizeof(struct str));
        *added = pb_str(reader);
        return arena_status(arena);
    }
    case FIELD_RECORD:
    case FIELD_RECORDS:
    case FIELD_VARIANT:
        return nested_decode(reader, arena, field, record);
    }
    return NULL;
}

static const struct field *field_find(const struct record_type *type, uint32_t number)
{
    for (size_t i = 0; i < type->field_count; i++)
        if (type->fields[i].number == number)
            return &type->fields[i];
    return NULL;
}

static struct error *fields_decode(struct bytes message, struct arena *arena,
                                   const struct record_type *type, void *record)
{
    struct pb_reader reader = pb_read(message);
    struct error *err = NULL;
    while (!err && pb_next(&reader)) {
        const struct field *field = field_find(type, reader.field);
        if (field)
            err = field_decode(&reader, arena, field, record);
        else
            pb_skip(&reader);
    }
    if (reader.failure) {
        error_free(err); /* of a nested message that is not there */
        err = pb_error(&reader, "message");
    }
    return err;
}

struct error *record_decode(struct bytes message, struct arena *arena,
                            const struct record_type *type, void *record)
{
    memset(record, 0, type->size);
    record_init(type, record);
    struct error *err = fields_decode(message, arena, type, record);
    return err ? err : arena_status(arena);
}
