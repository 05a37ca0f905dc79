/* A tls_context holds what was read from the files as an SSL_CTX, which OpenSSL counts references
 * of: a session keeps the one it began with. The stamps are those of the files at the last attempt
 * to read them, good or bad, so a bad file is tried, and complained about, once. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "runtime/fault.h"
#include "runtime/file.h"
#include "runtime/log.h"
#include "runtime/time.h"

enum {
    PEM_SIZE_MAX = 4 << 20,
    FAILURES_LOGGED = 20, /* of handshakes, within FAILURES_WINDOW_MS */
    FAILURES_WINDOW_MS = 10 * 1000,
    REASON_MAX = 512,
    HANDSHAKE_RECORD = 22, /* the first byte of a TLS connection */
};

struct file_stamp {
    bool exists;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

enum { STAMP_CERTIFICATE, STAMP_KEY, STAMP_CA, STAMP_COUNT };

struct tls_context {
    atomic_uint references;
    bool is_server;
    struct tls_server_config server; /* of a client: the fields that both have */
    bool skip_verify;
    struct str server_name;
    enum tls_protocol protocol;
    struct arena *arena; /* of the configuration's texts */
    struct log *log;
    struct mutex lock;
    SSL_CTX *ssl GUARDED_BY(lock);
    struct file_stamp stamps[STAMP_COUNT] GUARDED_BY(lock);
    int64_t failures_since_ms GUARDED_BY(lock);
    unsigned failures GUARDED_BY(lock);
};

struct tls_server {
    struct tls_context context;
};

struct tls_client {
    struct tls_context context;
};

struct tls_session {
    struct tls_context *context; /* a reference */
    SSL *ssl;
    int fd;
    bool begun;             /* the first byte has been looked at */
    enum tls_result result; /* how reading has ended, else TLS_DONE */
    char *host;             /* what the certificate must be for */
    char *peer;
    int system_error; /* of the socket; 0: TLS itself */
    char reason[REASON_MAX];
};

/* --- what OpenSSL says --- */

static const char *verify_text(long code)
{
    switch (code) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return "certificate signed by unknown authority";
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "certificate has expired or is not yet valid";
    case X509_V_ERR_INVALID_PURPOSE:
        return "certificate specifies an incompatible key usage";
    default:
        return X509_verify_cert_error_string(code);
    }
}

static bool san_text(const GENERAL_NAME *name, struct buf *out)
{
    int type;
    void *value = GENERAL_NAME_get0_value(name, &type);
    if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI) {
        buf_append(out, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
        return true;
    }
    int len = type == GEN_IPADD ? ASN1_STRING_length(value) : 0;
    char text[INET6_ADDRSTRLEN];
    if ((len != 4 && len != 16) ||
        !inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(value), text, sizeof(text)))
        return false;
    buf_append_cstr(out, text);
    return true;
}

/* Calls each(arg, name) for the names that a certificate is for, until it gives true. */
static bool each_san(X509 *certificate, bool (*each)(void *arg, struct str name), void *arg)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    struct buf text = {0};
    bool stopped = false;
    for (int i = 0; !stopped && i < sk_GENERAL_NAME_num(names); i++) {
        buf_clear(&text);
        stopped = san_text(sk_GENERAL_NAME_value(names, i), &text) && each(arg, buf_str(&text));
    }
    buf_deinit(&text);
    GENERAL_NAMES_free(names);
    return stopped;
}

static bool list_name(void *arg, struct str name)
{
    struct buf *list = arg;
    buf_printf(list, "%s%.*s", list->len ? ", " : "", STR_ARG(name));
    return list->len > REASON_MAX / 2;
}

/* A certificate that is for others: the one place where it can be looked at is here, where OpenSSL
 * asks what to do about it. */
static int note_names(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *session = SSL_get_app_data(ssl);
    int code = X509_STORE_CTX_get_error(store);
    if (ok || (code != X509_V_ERR_HOSTNAME_MISMATCH && code != X509_V_ERR_IP_ADDRESS_MISMATCH))
        return ok;
    struct buf names = {0};
    each_san(X509_STORE_CTX_get0_cert(store), list_name, &names);
    snprintf(session->reason, REASON_MAX,
             "tls: failed to verify certificate: x509: certificate is valid for %.*s, not %s",
             STR_ARG(names.len ? buf_str(&names) : STR("no names")), session->host);
    buf_deinit(&names);
    return ok;
}

static const char *library_text(const struct tls_session *session, int reason)
{
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
        return "first record does not look like a TLS handshake";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return "client didn't provide a certificate";
    case SSL_R_UNSUPPORTED_PROTOCOL:
        return session->context->is_server ? "client offered only unsupported versions"
                                           : "server selected unsupported protocol version";
    case SSL_R_NO_SHARED_CIPHER:
        return "no cipher suite supported by both client and server";
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
        return "no ECDHE curve supported by both client and server";
    default:
        return NULL;
    }
}

static void set_reason(struct tls_session *session, const char *text)
{
    snprintf(session->reason, REASON_MAX, "%s", text);
}

/* From the library's queue of errors, which is this thread's. */
static void reason_of_library(struct tls_session *session)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    long verified = SSL_get_verify_result(session->ssl);
    const char *text = library_text(session, reason);
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED &&
        (verified == X509_V_ERR_HOSTNAME_MISMATCH || verified == X509_V_ERR_IP_ADDRESS_MISMATCH))
        ERR_clear_error(); /* note_names() has said it */
    else if (verified == X509_V_ERR_APPLICATION_VERIFICATION)
        set_reason(session, "could not find allowed SANs in client cert");
    else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        snprintf(session->reason, REASON_MAX, "tls: failed to verify certificate: x509: %s",
                 verify_text(verified));
    else if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET)
        snprintf(session->reason, REASON_MAX, "remote error: tls: %s",
                 tls_alert_text(reason - SSL_AD_REASON_OFFSET));
    else if (text)
        snprintf(session->reason, REASON_MAX, "tls: %s", text);
    else
        snprintf(session->reason, REASON_MAX, "tls: %s",
                 code ? ERR_reason_error_string(code) : "unknown error");
    ERR_clear_error();
}

static enum tls_result session_result(struct tls_session *session, int code)
{
    int system_error = errno;
    switch (SSL_get_error(session->ssl, code)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    case SSL_ERROR_SYSCALL:
        if (ERR_peek_error()) {
            reason_of_library(session);
        } else {
            session->system_error = system_error ? system_error : ECONNRESET;
            set_reason(session, strerror(session->system_error));
        }
        return TLS_FAILED;
    default:
        reason_of_library(session);
        return TLS_FAILED;
    }
}

/* --- reading files --- */

static struct file_stamp stamp_of(const struct tls_pem *pem)
{
    struct file_stamp stamp = {0};
    struct stat info;
    if (pem->file.len == 0)
        return stamp;
    char *path = str_dup(pem->file);
    if (stat(path, &info) == 0)
        stamp = (struct file_stamp){true, info.st_dev, info.st_ino, info.st_size, info.st_mtim};
    free(path);
    return stamp;
}

static void take_stamps(const struct tls_server_config *config,
                        struct file_stamp stamps[STAMP_COUNT])
{
    stamps[STAMP_CERTIFICATE] = stamp_of(&config->certificate);
    stamps[STAMP_KEY] = stamp_of(&config->key);
    stamps[STAMP_CA] = stamp_of(&config->client_ca);
}

static bool stamps_equal(const struct file_stamp *a, const struct file_stamp *b)
{
    for (size_t i = 0; i < STAMP_COUNT; i++)
        if (a[i].exists != b[i].exists || a[i].device != b[i].device || a[i].inode != b[i].inode ||
            a[i].size != b[i].size || a[i].modified.tv_sec != b[i].modified.tv_sec ||
            a[i].modified.tv_nsec != b[i].modified.tv_nsec)
            return false;
    return true;
}

/* The PEM text as a BIO that reads from `text`. */
static struct error *pem_open(const struct tls_pem *pem, struct buf *text, BIO **out)
{
    struct error *err = NULL;
    if (pem->file.len)
        err = file_read(pem->file, PEM_SIZE_MAX, text);
    else
        buf_append_str(text, pem->text);
    if (err) {
        buf_deinit(text);
        return err;
    }
    *out = BIO_new_mem_buf(text->len ? text->data : "", (int)text->len);
    if (!*out)
        bug("out of memory");
    return NULL;
}

static void pem_close(BIO *bio, struct buf *text)
{
    BIO_free(bio);
    OPENSSL_cleanse(text->data, text->len); /* it may be a key */
    buf_deinit(text);
    ERR_clear_error();
}

static struct str pem_name(const struct tls_pem *pem)
{
    return pem->file.len ? pem->file : STR("given text");
}

/* Keys with a passphrase are refused, not asked for on the terminal. */
static int no_passphrase(char *into UNUSED, int size UNUSED, int writing UNUSED, void *arg UNUSED)
{
    return -1;
}

static struct error *load_certificate(SSL_CTX *ssl, const struct tls_pem *pem)
{
    struct buf text = {0};
    BIO *bio = NULL;
    struct error *err = pem_open(pem, &text, &bio);
    if (err)
        return err;
    X509 *certificate = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
    if (!certificate || SSL_CTX_use_certificate(ssl, certificate) != 1)
        err = error_create(ERROR_INVALID, "%.*s: no usable certificate in PEM form",
                           STR_ARG(pem_name(pem)));
    X509_free(certificate);
    while (!err && (certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)))
        if (SSL_CTX_add0_chain_cert(ssl, certificate) != 1) {
            X509_free(certificate);
            err = error_create(ERROR_INVALID, "%.*s: unusable chain of certificates",
                               STR_ARG(pem_name(pem)));
        }
    pem_close(bio, &text);
    return err;
}

static struct error *load_key(SSL_CTX *ssl, const struct tls_pem *pem,
                              const struct tls_pem *certificate)
{
    struct buf text = {0};
    BIO *bio = NULL;
    struct error *err = pem_open(pem, &text, &bio);
    if (err)
        return err;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    if (!key)
        err = error_create(ERROR_INVALID, "%.*s: no private key in PEM form without passphrase",
                           STR_ARG(pem_name(pem)));
    else if (SSL_CTX_use_PrivateKey(ssl, key) != 1 || SSL_CTX_check_private_key(ssl) != 1)
        err = error_create(ERROR_INVALID,
                           "tls: private key does not match public key: %.*s is not the key of "
                           "%.*s",
                           STR_ARG(pem_name(pem)), STR_ARG(pem_name(certificate)));
    EVP_PKEY_free(key);
    pem_close(bio, &text);
    return err;
}

/* As trust anchors, and as names that clients are told. */
static struct error *load_ca(SSL_CTX *ssl, const struct tls_pem *pem, bool is_server)
{
    struct buf text = {0};
    BIO *bio = NULL;
    struct error *err = pem_open(pem, &text, &bio);
    if (err)
        return err;
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    X509 *certificate;
    size_t count = 0;
    while ((certificate = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL))) {
        if (X509_STORE_add_cert(store, certificate) == 1 &&
            (!is_server || SSL_CTX_add_client_CA(ssl, certificate) == 1))
            count++;
        X509_free(certificate);
    }
    if (count == 0)
        err = error_create(ERROR_INVALID, "%.*s: no CA certificate in PEM form",
                           STR_ARG(pem_name(pem)));
    pem_close(bio, &text);
    return err;
}

/* --- contexts --- */

static int openssl_version(enum tls_version version)
{
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    return versions[version];
}

static bool is_cbc(const struct tls_cipher *cipher)
{
    return str_ends_with(cipher->name, STR("_CBC_SHA"));
}

static void list_ciphers(const struct tls_server_config *config, bool cbc, struct buf *out)
{
    for (size_t i = 0; i < config->cipher_count; i++) {
        const struct tls_cipher *cipher = tls_cipher_find(config->ciphers[i]);
        if (cipher && cipher->openssl && is_cbc(cipher) == cbc)
            buf_printf(out, "%s%s", out->len ? ":" : "", cipher->openssl);
    }
}

/* Go's defaults: forward secrecy only, authenticated ciphers first. Suites of TLS 1.3 are not
 * chosen; without any other, there is only TLS 1.3. */
static struct error *set_ciphers(SSL_CTX *ssl, const struct tls_server_config *config)
{
    struct buf list = {0};
    struct error *err = NULL;
    list_ciphers(config, false, &list);
    list_ciphers(config, true, &list);
    if (config->cipher_count == 0)
        buf_append_cstr(&list, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                               "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                               "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
                               "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"
                               "ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA");
    if (list.len == 0 && config->max_version < TLS_VERSION_1_3) {
        err = error_create(ERROR_INVALID, "none of the cipher suites is for TLS below 1.3");
    } else if (list.len == 0) {
        SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION);
    } else {
        buf_append_byte(&list, 0);
        if (SSL_CTX_set_cipher_list(ssl, list.data) != 1)
            err = error_create(ERROR_INVALID, "cipher suites %s: not supported here", list.data);
    }
    buf_deinit(&list);
    return err;
}

/* Hybrid curves that this OpenSSL lacks are passed over as long as others are left. */
static struct error *set_curves(SSL_CTX *ssl, const struct tls_server_config *config)
{
    struct buf list = {0};
    for (size_t i = 0; i < config->curve_count; i++) {
        const struct tls_curve *curve = tls_curve_find(config->curves[i]);
        if (curve && (!curve->is_hybrid || SSL_CTX_set1_groups_list(ssl, curve->openssl) == 1))
            buf_printf(&list, "%s%s", list.len ? ":" : "", curve->openssl);
    }
    ERR_clear_error();
    struct error *err = NULL;
    if (config->curve_count && list.len == 0)
        err = error_create(ERROR_INVALID, "none of the curves is supported by %s",
                           OpenSSL_version(OPENSSL_VERSION));
    if (!err && list.len) {
        buf_append_byte(&list, 0);
        if (SSL_CTX_set1_groups_list(ssl, list.data) != 1)
            err = error_create(ERROR_INVALID, "curves %s: not supported here", list.data);
    }
    buf_deinit(&list);
    return err;
}

static bool is_allowed_san(void *arg, struct str name)
{
    const struct tls_server_config *config = arg;
    for (size_t i = 0; i < config->client_san_count; i++)
        if (str_equal(name, config->client_sans[i]))
            return true;
    return false;
}

/* The client's own certificate, when it is well otherwise, must have one of the allowed names. */
static int check_names(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *session = SSL_get_app_data(ssl);
    struct tls_server_config *config = &session->context->server;
    if (!ok || config->client_san_count == 0 || X509_STORE_CTX_get_error_depth(store) != 0 ||
        each_san(X509_STORE_CTX_get0_cert(store), is_allowed_san, config))
        return ok;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

/* Whoever has signed it. */
static int check_names_only(int ok, X509_STORE_CTX *store)
{
    return ok ? check_names(ok, store) : 1;
}

static int choose_protocol(SSL *ssl UNUSED, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned offered_len, void *arg)
{
    static const unsigned char http1[] = "\x08http/1.1", http2[] = "\x02h2";
    const struct tls_context *context = arg;
    bool is_http2 = context->protocol == TLS_HTTP2;
    unsigned char *chosen;
    int found = SSL_select_next_proto(&chosen, out_len, is_http2 ? http2 : http1,
                                      (unsigned)(is_http2 ? sizeof(http2) : sizeof(http1)) - 1,
                                      offered, offered_len);
    *out = chosen;
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void set_verification(struct tls_context *context, SSL_CTX *ssl)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ssl);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN); /* a pool is one of anchors */
    if (!context->is_server) {
        SSL_CTX_set_verify(ssl, context->skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                           note_names);
        return;
    }
    switch (context->server.client_auth) {
    case TLS_NO_CLIENT_CERT:
        SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL);
        break;
    case TLS_REQUEST_CLIENT_CERT:
        SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, check_names_only);
        break;
    case TLS_REQUIRE_ANY_CLIENT_CERT:
        SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           check_names_only);
        break;
    case TLS_VERIFY_CLIENT_CERT_IF_GIVEN:
        SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, check_names);
        break;
    case TLS_REQUIRE_AND_VERIFY_CLIENT_CERT:
        SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, check_names);
        break;
    }
}

static void set_options(struct tls_context *context, SSL_CTX *ssl)
{
    const struct tls_server_config *config = &context->server;
    /* no resumption: every connection shows its certificate to the CAs of today */
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ssl, 0);
    SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ssl, 1);
    SSL_CTX_set_security_level(ssl, config->min_version < TLS_VERSION_1_2 ? 0 : 1);
    SSL_CTX_set_min_proto_version(ssl, openssl_version(config->min_version));
    SSL_CTX_set_max_proto_version(ssl, openssl_version(config->max_version));
    if (context->is_server)
        SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, context);
    else
        SSL_CTX_set_alpn_protos(ssl, (const unsigned char *)"\x02h2", 3);
    set_verification(context, ssl);
}

static bool pem_is_set(const struct tls_pem *pem)
{
    return pem->file.len || pem->text.len;
}

static struct error *load_files(struct tls_context *context, SSL_CTX *ssl)
{
    const struct tls_server_config *config = &context->server;
    struct error *err = NULL;
    if (pem_is_set(&config->certificate)) {
        err = load_certificate(ssl, &config->certificate);
        if (!err)
            err = load_key(ssl, &config->key, &config->certificate);
        if (err)
            return error_wrap(err,
                              context->is_server ? "server credentials" : "client credentials");
    }
    if (pem_is_set(&config->client_ca))
        return error_wrap(load_ca(ssl, &config->client_ca, context->is_server), "client CA");
    if (!context->is_server && !context->skip_verify && SSL_CTX_set_default_verify_paths(ssl) != 1)
        return error_create(ERROR_INVALID, "reading system certificate pool");
    return NULL;
}

static struct error *context_load(struct tls_context *context, SSL_CTX **out)
{
    SSL_CTX *ssl = SSL_CTX_new(context->is_server ? TLS_server_method() : TLS_client_method());
    if (!ssl)
        bug("OpenSSL gives no context");
    set_options(context, ssl);
    struct error *err = set_ciphers(ssl, &context->server);
    if (!err)
        err = set_curves(ssl, &context->server);
    if (!err)
        err = load_files(context, ssl);
    if (err)
        SSL_CTX_free(ssl);
    else
        *out = ssl;
    ERR_clear_error();
    return err;
}

/* The current one, with a reference; looks at the files first. */
static SSL_CTX *context_current(struct tls_context *context)
{
    struct file_stamp stamps[STAMP_COUNT];
    take_stamps(&context->server, stamps);
    mutex_lock(&context->lock);
    if (!stamps_equal(stamps, context->stamps)) {
        SSL_CTX *ssl = NULL;
        memcpy(context->stamps, stamps, sizeof(stamps));
        struct error *err = context_load(context, &ssl);
        if (err) {
            log_error(context->log, "changed TLS files cannot be used; the ones before are",
                      KV_ERR(err));
            error_free(err);
        } else {
            SSL_CTX_free(context->ssl);
            context->ssl = ssl;
            log_info(context->log, "TLS files have changed and were read again",
                     KV("file", context->server.certificate.file.len
                                    ? context->server.certificate.file
                                    : context->server.client_ca.file));
        }
    }
    SSL_CTX *ssl = context->ssl;
    SSL_CTX_up_ref(ssl);
    mutex_unlock(&context->lock);
    return ssl;
}

static struct tls_pem copy_pem(struct arena *arena, const struct tls_pem *pem)
{
    return (struct tls_pem){arena_str(arena, pem->file), arena_str(arena, pem->text)};
}

static const struct str *copy_strs(struct arena *arena, const struct str *items, size_t count)
{
    struct str *copy = arena_array(arena, count, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = arena_str(arena, items[i]);
    return copy;
}

static void context_copy_config(struct tls_context *context, const struct tls_server_config *config)
{
    struct arena *arena = context->arena;
    context->server = *config;
    context->server.certificate = copy_pem(arena, &config->certificate);
    context->server.key = copy_pem(arena, &config->key);
    context->server.client_ca = copy_pem(arena, &config->client_ca);
    context->server.ciphers = copy_strs(arena, config->ciphers, config->cipher_count);
    context->server.curves = copy_strs(arena, config->curves, config->curve_count);
    context->server.client_sans = copy_strs(arena, config->client_sans, config->client_san_count);
}

static void context_unref(struct tls_context *context) NO_THREAD_SAFETY /* nobody else is left */
{
    if (atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(context->ssl);
    arena_unref(context->arena);
    mutex_deinit(&context->lock);
    free(context);
}

/* Copies config; the caller has filled the rest. */
static struct error *context_open(struct tls_context *context,
                                  const struct tls_server_config *config,
                                  struct log *log) NO_THREAD_SAFETY
{
    atomic_init(&context->references, 1);
    mutex_init(&context->lock);
    context->log = log;
    context_copy_config(context, config);
    take_stamps(&context->server, context->stamps);
    return context_load(context, &context->ssl);
}

static struct error *server_check(const struct tls_server_config *config)
{
    bool has_certificate = pem_is_set(&config->certificate), has_key = pem_is_set(&config->key);
    if (!has_certificate && !has_key && pem_is_set(&config->client_ca))
        return error_create(ERROR_INVALID, "when a client CA is used a server key and certificate "
                                           "must also be provided");
    if (!has_certificate || !has_key)
        return error_create(ERROR_INVALID, "both server key and certificate must be provided");
    struct error *err = tls_ciphers_check(config->ciphers, config->cipher_count);
    return err ? err : tls_curves_check(config->curves, config->curve_count);
}

struct error *tls_server_create(const struct tls_server_config *config, enum tls_protocol protocol,
                                struct log *log, struct tls_server **out)
{
    struct error *err = server_check(config);
    if (err)
        return err;
    struct tls_server *server = xcalloc(1, sizeof(*server));
    server->context.is_server = true;
    server->context.protocol = protocol;
    server->context.arena = arena_create(NULL);
    err = context_open(&server->context, config, log);
    if (err)
        context_unref(&server->context);
    else
        *out = server;
    return err;
}

struct tls_server *tls_server_ref(struct tls_server *server)
{
    atomic_fetch_add_explicit(&server->context.references, 1, memory_order_relaxed);
    return server;
}

void tls_server_unref(struct tls_server *server)
{
    if (server)
        context_unref(&server->context);
}

struct error *tls_client_create(const struct tls_client_config *config, struct log *log,
                                struct tls_client **out)
{
    if ((config->certificate_file.len == 0) != (config->key_file.len == 0))
        return error_create(ERROR_INVALID, "both client key and certificate must be provided");
    const struct tls_server_config shared = {.certificate.file = config->certificate_file,
                                             .key.file = config->key_file,
                                             .client_ca.file = config->ca_file,
                                             .min_version = config->min_version,
                                             .max_version = TLS_VERSION_1_3};
    struct tls_client *client = xcalloc(1, sizeof(*client));
    client->context.protocol = TLS_HTTP2;
    client->context.skip_verify = config->skip_verify;
    client->context.arena = arena_create(NULL);
    client->context.server_name = arena_str(client->context.arena, config->server_name);
    struct error *err = context_open(&client->context, &shared, log);
    if (err)
        context_unref(&client->context);
    else
        *out = client;
    return err;
}

struct tls_client *tls_client_ref(struct tls_client *client)
{
    atomic_fetch_add_explicit(&client->context.references, 1, memory_order_relaxed);
    return client;
}

void tls_client_unref(struct tls_client *client)
{
    if (client)
        context_unref(&client->context);
}

/* --- sessions --- */

static struct tls_session *session_create(struct tls_context *context, int fd)
{
    struct tls_session *session = xcalloc(1, sizeof(*session));
    SSL_CTX *ssl = context_current(context);
    session->ssl = SSL_new(ssl);
    SSL_CTX_free(ssl);
    if (!session->ssl || SSL_set_fd(session->ssl, fd) != 1)
        bug("OpenSSL gives no session");
    SSL_set_app_data(session->ssl, session);
    session->fd = fd;
    session->context = context;
    atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return session;
}

struct tls_session *tls_session_accept(struct tls_server *server, int fd, struct str peer)
{
    struct tls_session *session = session_create(&server->context, fd);
    session->peer = str_dup(peer);
    SSL_set_accept_state(session->ssl);
    return session;
}

/* Go's way: an address is compared with addresses, a name, without its last dot, with names; the
 * subject does not count. */
static void set_host(struct tls_session *session)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(session->ssl);
    char *host = session->host, *zone = strchr(host, '%');
    size_t len = strlen(host);
    if (len && host[len - 1] == '.')
        host[len - 1] = 0;
    if (zone && strchr(host, ':'))
        *zone = 0;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
        return;
    ERR_clear_error();
    if (X509_VERIFY_PARAM_set1_host(param, host, 0) != 1 ||
        SSL_set_tlsext_host_name(session->ssl, host) != 1)
        ERR_clear_error(); /* too long for a name: no certificate will be for it */
}

struct tls_session *tls_session_connect(struct tls_client *client, int fd, struct str host)
{
    struct tls_session *session = session_create(&client->context, fd);
    struct str name = client->context.server_name;
    session->host = str_dup(name.len ? name : host);
    SSL_set_connect_state(session->ssl);
    set_host(session);
    return session;
}

void tls_session_free(struct tls_session *session)
{
    if (!session)
        return;
    SSL_free(session->ssl);
    context_unref(session->context);
    free(session->host);
    free(session->peer);
    free(session);
}

/* Attackers may fail as often as they like; the log takes some of it. */
static void log_failure(struct tls_session *session)
{
    struct tls_context *context = session->context;
    int64_t now = time_now_monotonic_ms();
    mutex_lock(&context->lock);
    if (now - context->failures_since_ms > FAILURES_WINDOW_MS) {
        context->failures_since_ms = now;
        context->failures = 0;
    }
    unsigned failures = ++context->failures;
    mutex_unlock(&context->lock);
    if (session->system_error || strcmp(session->reason, "EOF") == 0)
        log_debug(context->log, "connection ended during the TLS handshake",
                  KV("peer", session->peer));
    else if (failures <= FAILURES_LOGGED)
        log_warn(context->log, "TLS handshake failed", KV("peer", session->peer),
                 KV("err", (const char *)session->reason));
    else if (failures == FAILURES_LOGGED + 1)
        log_warn(context->log, "many TLS handshakes fail; not all of them are logged");
}

/* Bytes that are left unread turn our last word, an alert or an answer, into a reset. */
static void throw_away_unread(struct tls_session *session)
{
    char unread[4096];
    shutdown(session->fd, SHUT_WR);
    for (int i = 0; i < 16 && recv(session->fd, unread, sizeof(unread), MSG_DONTWAIT) > 0; i++)
        ;
}

/* What speaks HTTP in the clear to an HTTPS port is told so, as Go does it. */
static void answer_plain(struct tls_session *session, char first)
{
    static const char answer[] = "HTTP/1.0 400 Bad Request\r\n\r\n"
                                 "Client sent an HTTP request to an HTTPS server.\n";
    if (session->context->protocol != TLS_HTTP1 || first < 'A' || first > 'Z')
        return;
    if (send(session->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        session->system_error = errno;
}

/* Looks at the first byte before OpenSSL does, whose words for what is not TLS differ. */
static enum tls_result begin_accept(struct tls_session *session)
{
    char first;
    ssize_t got = recv(session->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return TLS_WANT_READ;
    if (got <= 0) {
        session->system_error = got == 0 ? 0 : errno;
        set_reason(session, got == 0 ? "EOF" : strerror(errno));
        return TLS_FAILED;
    }
    session->begun = true;
    if (first == HANDSHAKE_RECORD)
        return TLS_DONE;
    set_reason(session, "tls: first record does not look like a TLS handshake");
    answer_plain(session, first);
    return TLS_FAILED;
}

static enum tls_result run_handshake(struct tls_session *session)
{
    if (session->context->is_server && !session->begun) {
        enum tls_result result = begin_accept(session);
        if (result != TLS_DONE)
            return result;
    }
    if (fault_io("TLS handshake")) {
        set_reason(session, strerror(EIO));
        return TLS_FAILED;
    }
    ERR_clear_error();
    errno = 0;
    int code = SSL_do_handshake(session->ssl);
    if (code != 1)
        return session_result(session, code);
    return TLS_DONE;
}

enum tls_result tls_session_handshake(struct tls_session *session)
{
    enum tls_result result = run_handshake(session);
    if (result == TLS_CLOSED) {
        set_reason(session, "EOF");
        result = TLS_FAILED;
    }
    if (result == TLS_FAILED && session->context->is_server) {
        throw_away_unread(session);
        log_failure(session);
    }
    return result;
}

enum tls_result tls_session_read(struct tls_session *session, void *into, size_t size, size_t *got)
{
    *got = 0;
    if (session->result != TLS_DONE)
        return session->result;
    while (*got < size) {
        size_t part = 0;
        ERR_clear_error();
        errno = 0;
        int code = SSL_read_ex(session->ssl, (char *)into + *got, size - *got, &part);
        *got += part;
        if (code == 1)
            continue;
        enum tls_result result = session_result(session, code);
        if (result == TLS_CLOSED || result == TLS_FAILED)
            session->result = result; /* told next time, when bytes came before */
        return *got ? TLS_DONE : result;
    }
    return TLS_DONE;
}

enum tls_result tls_session_write(struct tls_session *session, const void *data, size_t len)
{
    size_t sent = 0;
    ERR_clear_error();
    errno = 0;
    int code = SSL_write_ex(session->ssl, data, len, &sent);
    return code == 1 ? TLS_DONE : session_result(session, code);
}

bool tls_session_pending(const struct tls_session *session)
{
    return session->result != TLS_DONE || SSL_has_pending(session->ssl);
}

bool tls_session_ended(const struct tls_session *session)
{
    return session->result != TLS_DONE;
}

static struct str name_entry(X509_NAME *name, int kind, bool last, struct arena *arena)
{
    int at = X509_NAME_get_index_by_NID(name, kind, -1), next;
    while (last && at >= 0 && (next = X509_NAME_get_index_by_NID(name, kind, at)) >= 0)
        at = next;
    unsigned char *text = NULL;
    int len = at < 0 ? -1
                     : ASN1_STRING_to_UTF8(&text,
                                           X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (len < 0)
        return STR("");
    struct str copy = arena_str(arena, (struct str){(const char *)text, (size_t)len});
    OPENSSL_free(text);
    return copy;
}

/* Of several entries Go takes the first, and of common names the last. */
void tls_session_subject(const struct tls_session *session, struct arena *arena,
                         struct tls_subject *out)
{
    X509 *certificate = SSL_get0_peer_certificate(session->ssl);
    *out = (struct tls_subject){0};
    if (!certificate || SSL_get_verify_result(session->ssl) != X509_V_OK ||
        session->context->server.client_auth < TLS_VERIFY_CLIENT_CERT_IF_GIVEN)
        return;
    X509_NAME *name = X509_get_subject_name(certificate);
    out->is_known = true;
    out->organization = name_entry(name, NID_organizationName, false, arena);
    out->organizational_unit = name_entry(name, NID_organizationalUnitName, false, arena);
    out->common_name = name_entry(name, NID_commonName, true, arena);
    ERR_clear_error();
}

void tls_session_close(struct tls_session *session)
{
    ERR_clear_error();
    if (SSL_is_init_finished(session->ssl) && session->result != TLS_FAILED)
        SSL_shutdown(session->ssl);
    ERR_clear_error();
}

int tls_session_errno(const struct tls_session *session)
{
    return session->system_error;
}

struct error *tls_session_error(const struct tls_session *session)
{
    return error_create(ERROR_UNAVAILABLE, "%s", session->reason);
}
