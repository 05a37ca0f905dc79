/* objstore/s3_credentials.h: who requests to S3 come from: as configured, else as the surroundings
 * tell, looked for in this order: the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or
 * MINIO_ROOT_USER, MINIO_ACCESS_KEY and theirs), the shared credentials file, a web identity token
 * given to the security token service, the container's credentials service, the instance's metadata
 * service. What comes with an end is asked for again before it. Thread-safe. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "objstore/s3_config.h"

struct context;
struct http_client;
struct s3_credentials_source;

/* config and http must outlive the source. */
struct s3_credentials_source *s3_credentials_source_create(const struct s3_config *config,
                                                           struct http_client *http);
void s3_credentials_source_free(struct s3_credentials_source *source);

/* Copies in the arena; without any, empty ones: requests are then not signed. */
MUST_CHECK struct error *s3_credentials_get(struct s3_credentials_source *source,
                                            struct context *ctx, struct arena *arena,
                                            struct s3_credentials *out);
/* They were refused: the next call asks anew. */
void s3_credentials_forget(struct s3_credentials_source *source);

/* The profile's keys of a shared credentials file; empty when it has none. ERROR_INVALID. */
MUST_CHECK struct error *s3_credentials_parse_file(struct str text, struct str profile,
                                                   struct arena *arena, struct s3_credentials *out);
