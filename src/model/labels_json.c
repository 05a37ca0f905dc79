#include "model/labels_json.h"

void labels_write_json(struct json_writer *json, struct labels labels)
{
    struct labels_reader reader = labels_read(labels);
    struct label label;
    json_begin_object(json);
    while (labels_next(&reader, &label)) {
        json_put_key_str(json, label.name);
        json_put_str(json, label.value);
    }
    json_end_object(json);
}

struct labels labels_read_json(struct json_reader *reader, struct arena *arena)
{
    struct labels_builder builder = labels_builder_create(arena);
    struct str name;
    if (json_object(reader))
        while (json_key(reader, &name)) {
            if (name.len == 0)
                json_fail(reader, "a label without a name");
            labels_builder_set(&builder, name, json_str(reader));
        }
    if (builder.too_long)
        json_fail(reader, "labels that are too long");
    return labels_builder_finish(&builder);
}
