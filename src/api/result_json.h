/* api/result_json.h: results of queries as Prometheus's API writes them, byte for byte. */
#pragma once

#include "codec/json.h"
#include "model/labels.h"

struct engine_result;

/* "vector", "matrix", "scalar", "string". */
const char *result_type_text(const struct engine_result *result);
/* The value of "result". */
void result_write(struct json_writer *json, const struct engine_result *result);
/* {"name":"value",...}, without escapes for HTML. */
void labels_write(struct json_writer *json, struct labels labels);
