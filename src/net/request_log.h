/* net/request_log.h: log lines about requests, as --request.logging-config asks for them:
 *
 *     options: {level: DEBUG, decision: {log_start: false, log_end: true}}   # of both protocols
 *     http: {options: ..., config: [{path: /api/v1/query, port: 10902}]}     # instead, and only
 * these grpc: {options: ..., config: [{service: thanos.Store, method: Series}]}
 *
 * The level filters HTTP's lines: requests that are answered with a status from 200 to 499 are
 * logged at DEBUG, others at ERROR. Immutable once made; thread-safe. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "net/grpc_server.h"
#include "net/http_server.h"

struct log;
struct request_log;

enum request_protocol { REQUEST_HTTP, REQUEST_GRPC };

/* The lines go to `log`, which must outlive it. *out is NULL when nothing is to be logged.
 * ERROR_INVALID in Thanos's words. */
MUST_CHECK struct error *request_log_create(struct log *log, enum request_protocol protocol,
                                            struct str yaml, struct request_log **out);
void request_log_free(struct request_log *log); /* NULL is fine */

/* log may be NULL in all of these. name: of the route. */
void request_log_http_start(const struct request_log *log, const struct http_request *req,
                            const char *name);
void request_log_http_end(const struct request_log *log, const struct http_request *req,
                          const char *name, int status);
void request_log_grpc_start(const struct request_log *log, const struct grpc_method *method,
                            struct str request_id);
void request_log_grpc_end(const struct request_log *log, const struct grpc_method *method,
                          struct str request_id, enum grpc_code code, int64_t took_ns);
