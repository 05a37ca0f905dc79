/* net/http_client_config.h: how requests to others authenticate and travel: the YAML of
 * --prometheus.http-client and the like. What is in files is read for each request, or by libcurl
 * for each connection, so files may change. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct log;

struct http_oauth2 { /* the client credentials grant; token_url empty: none */
    struct str client_id, client_secret, client_secret_file, token_url;
    const struct str *scopes;
    size_t scope_count;
    struct str params; /* further ones, as a form */
};

struct http_client_config {
    struct str username, password, password_file; /* basic authentication; all empty: none */
    struct str auth_type;                         /* "Bearer" */
    struct str credentials, credentials_file;     /* both empty: none */
    struct http_oauth2 oauth2;
    struct str proxy_url, no_proxy;
    bool proxy_from_environment;
    struct str ca_file, cert_file, key_file, server_name;
    bool skip_verify;
    int64_t connections_max, idle_connections_max;                  /* 0: the client's */
    int64_t dial_timeout_ms, handshake_timeout_ms, idle_timeout_ms; /* 0: the client's */
    int64_t response_timeout_ms; /* for the first byte of an answer; 0: none */
};

/* Everything lives in the arena. Keys that are not known are logged and passed over, as Thanos
 * passes over them. ERROR_INVALID without a secret in it. */
MUST_CHECK struct error *http_client_config_parse(struct str text, struct arena *arena,
                                                  struct log *log, struct http_client_config *out);

/* Appends the value of the header Authorization, if the configuration has one but OAuth2's. Reads
 * files. */
MUST_CHECK struct error *http_client_authorization(const struct http_client_config *config,
                                                   struct buf *out);
/* Appends the form that asks for a token, and to `header` the value of Authorization where the
 * client's name and secret go there; header NULL: into the form. Reads files. */
MUST_CHECK struct error *http_oauth2_form(const struct http_oauth2 *oauth2, struct buf *form,
                                          struct buf *header);
/* Reads the answer: appends the value of the header; *lasts_s: how long it is good, 0: unknown. */
MUST_CHECK struct error *http_oauth2_answer(int status, struct str body, struct buf *out,
                                            int64_t *lasts_s);
