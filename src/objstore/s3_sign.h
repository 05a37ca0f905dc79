/* objstore/s3_sign.h: how a request to S3 proves who sends it: Amazon's signature version 4, and
 * version 2 for old servers. Pure functions.
 *
 * Source: Amazon S3 API reference, "Authenticating Requests (AWS Signature Version 4)". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "net/http_server.h" /* struct http_header */

enum { S3_HEADERS_MAX = 32, S3_PARAMS_MAX = 8 };

struct s3_credentials {
    struct str access_key, secret_key; /* empty: requests are not signed */
    struct str session_token;          /* empty: none */
};

struct s3_param {
    struct str name, value;
};

struct s3_request { /* texts are the caller's or in the arena */
    struct arena *arena;
    struct str method, host;
    struct str path;                       /* decoded: "/bucket/key" */
    struct str resource;                   /* version 2: "/bucket/key", also where the host names
                                              the bucket */
    struct s3_param params[S3_PARAMS_MAX]; /* sorted by name */
    size_t param_count;
    struct http_header headers[S3_HEADERS_MAX]; /* without Host */
    size_t header_count;
    struct bytes body;
    bool unsigned_body; /* over TLS the body need not be digested */
};

void s3_request_param(struct s3_request *request, const char *name, struct str value);
void s3_request_header(struct s3_request *request, const char *name, struct str value);

/* The path and query as they are sent: encoded as they are signed. In the arena. */
struct str s3_request_target(const struct s3_request *request);
/* Add what headers it takes. now_ms: since the epoch. */
void s3_sign_v4(struct s3_request *request, const struct s3_credentials *credentials,
                struct str region, struct str service, int64_t now_ms);
void s3_sign_v2(struct s3_request *request, const struct s3_credentials *credentials,
                int64_t now_ms);
