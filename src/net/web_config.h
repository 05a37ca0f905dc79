/* net/web_config.h: the YAML file of --http.config as data: TLS, headers, a limit of requests, and
 * users with bcrypt hashes, as Prometheus's exporter toolkit has it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "net/http_server.h" /* struct http_header */
#include "net/tls_config.h"

enum { WEB_HEADERS_MAX = 5 };

struct web_user {
    struct str name, hash;
};

struct web_config {
    bool has_tls;
    struct tls_server_config tls;
    bool http2;
    struct http_header headers[WEB_HEADERS_MAX];
    size_t header_count;
    int64_t limit_interval_ns; /* a request each; 0: no limit */
    int64_t limit_burst;
    const struct web_user *users; /* none: no authentication */
    size_t user_count;
};

/* Relative paths of files are taken from `directory`. Everything lives in the arena. ERROR_INVALID,
 * with line and key where there is one, and never with a key, password or hash. */
MUST_CHECK struct error *web_config_parse(struct str text, struct str directory,
                                          struct arena *arena, struct web_config *out);
