/* api/ast_json.h: a parsed query as Prometheus's parse_query gives it, key by key. */
#pragma once

#include "codec/json.h"
#include "promql/ast.h"

void ast_write(struct json_writer *json, const struct expr *expr);
