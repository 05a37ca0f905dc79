/* objstore/s3_config.h: the keys of a bucket of type S3, as Thanos has them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "net/http_client_config.h"
#include "objstore/s3_sign.h"

struct yaml_node;

enum s3_lookup { S3_LOOKUP_AUTO, S3_LOOKUP_VIRTUAL, S3_LOOKUP_PATH };

struct s3_config { /* texts live in the arena */
    struct str bucket, endpoint, region;
    struct s3_credentials credentials; /* as written; empty: those of the surroundings */
    bool aws_sdk_auth, insecure, signature_v2, trace, list_v1, send_content_md5, no_multipart;
    enum s3_lookup lookup;
    uint64_t part_size; /* 0: not said */
    struct http_header *metadata;
    size_t metadata_count;
    struct str sse_type, sse_key_id, sse_key_path; /* "SSE-S3", "SSE-KMS", "SSE-C" */
    struct str sse_context;                        /* JSON */
    struct str sts_endpoint;
    int64_t max_retries; /* 0: ours */
    struct http_client_config http;
};

/* ERROR_INVALID with line and key, or with what does not fit together. */
MUST_CHECK struct error *s3_config_parse(const struct yaml_node *node, struct arena *arena,
                                         struct s3_config *out);
