/* model/labels_json.h: label sets as JSON objects, {"a":"1","b":"2"}. */
#pragma once

#include "codec/json.h"
#include "model/labels.h"

void labels_write_json(struct json_writer *json, struct labels labels);
/* The set lives in the arena. A pair without a name, and texts that are too long, fail the
 * reader; null is the empty set. */
struct labels labels_read_json(struct json_reader *reader, struct arena *arena);
