/* net/tls_config.h: what TLS is asked for, on either side, and the names that Go, and so Thanos,
 * gives to versions, cipher suites and curves. Plain data: what it becomes is net/tls.h's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

enum tls_version { TLS_VERSION_1_0, TLS_VERSION_1_1, TLS_VERSION_1_2, TLS_VERSION_1_3 };

/* "1.0|1.1|1.2|1.3", for tables of flags; the number of the choice is the version's. */
#define TLS_VERSION_CHOICES "1.0|1.1|1.2|1.3"

/* ERROR_INVALID "invalid TLS version: x, valid values are 1.0, 1.1, 1.2, 1.3". */
MUST_CHECK struct error *tls_version_parse(struct str text, enum tls_version *out);

/* Go's words for an alert of a peer: "bad certificate"; "alert" for unknown ones. */
const char *tls_alert_text(int alert);

/* The subject of a client's certificate that has been verified. */
struct tls_subject {
    bool is_known;                                             /* else there is none */
    struct str organization, organizational_unit, common_name; /* empty: not in it */
};

struct tls_cipher {
    struct str name;     /* Go's: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" */
    const char *openssl; /* "ECDHE-RSA-AES128-GCM-SHA256"; NULL: of TLS 1.3, always allowed */
};
struct tls_curve {
    struct str name;     /* Go's: "CurveP256" */
    const char *openssl; /* "P-256" */
    bool is_hybrid;      /* post-quantum: OpenSSL has it from 3.5 on */
};

/* NULL when there is none of that name. */
const struct tls_cipher *tls_cipher_find(struct str name);
const struct tls_curve *tls_curve_find(struct str name);
/* ERROR_INVALID "invalid cipher suite: x, valid values are ...", and the same for curves. */
MUST_CHECK struct error *tls_ciphers_check(const struct str *names, size_t count);
MUST_CHECK struct error *tls_curves_check(const struct str *names, size_t count);

/* A certificate, key or list of CAs: a file that is read again when it changes, or the PEM text
 * itself. Empty: none. */
struct tls_pem {
    struct str file, text;
};

enum tls_client_auth {
    TLS_NO_CLIENT_CERT,
    TLS_REQUEST_CLIENT_CERT, /* asked for, not verified */
    TLS_REQUIRE_ANY_CLIENT_CERT,
    TLS_VERIFY_CLIENT_CERT_IF_GIVEN,
    TLS_REQUIRE_AND_VERIFY_CLIENT_CERT,
};

struct tls_server_config {
    struct tls_pem certificate, key, client_ca;
    enum tls_client_auth client_auth;
    enum tls_version min_version, max_version;
    const struct str *ciphers; /* Go's names, checked; none: all of them */
    size_t cipher_count;
    const struct str *curves;
    size_t curve_count;
    const struct str *client_sans; /* one of these must be in a client's certificate; none: any */
    size_t client_san_count;
};

struct tls_client_config {
    struct str certificate_file, key_file; /* both or none */
    struct str ca_file;                    /* empty: the system's */
    struct str server_name;                /* empty: the host that is dialled */
    bool skip_verify;
    enum tls_version min_version;
};
