#include "base/buf.h"
#include "net/tls_config.h"

/* Sorted, for error texts list them so. */
static const struct tls_cipher ciphers[] = {
    {STR_INIT("TLS_AES_128_GCM_SHA256"), NULL},
    {STR_INIT("TLS_AES_256_GCM_SHA384"), NULL},
    {STR_INIT("TLS_CHACHA20_POLY1305_SHA256"), NULL},
    {STR_INIT("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"), "ECDHE-ECDSA-AES128-SHA"},
    {STR_INIT("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"), "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {STR_INIT("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"), "ECDHE-ECDSA-AES256-SHA"},
    {STR_INIT("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"), "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {STR_INIT("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"), "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {STR_INIT("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"), "ECDHE-RSA-AES128-SHA"},
    {STR_INIT("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), "ECDHE-RSA-AES128-GCM-SHA256"},
    {STR_INIT("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"), "ECDHE-RSA-AES256-SHA"},
    {STR_INIT("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"), "ECDHE-RSA-AES256-GCM-SHA384"},
    {STR_INIT("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"), "ECDHE-RSA-CHACHA20-POLY1305"},
};

static const struct tls_curve curves[] = {
    {STR_INIT("CurveP256"), "P-256", false},
    {STR_INIT("CurveP384"), "P-384", false},
    {STR_INIT("CurveP521"), "P-521", false},
    {STR_INIT("SecP256r1MLKEM768"), "SecP256r1MLKEM768", true},
    {STR_INIT("SecP384r1MLKEM1024"), "SecP384r1MLKEM1024", true},
    {STR_INIT("X25519"), "X25519", false},
    {STR_INIT("X25519MLKEM768"), "X25519MLKEM768", true},
};

struct error *tls_version_parse(struct str text, enum tls_version *out)
{
    static const struct str names[] = {STR_INIT("1.0"), STR_INIT("1.1"), STR_INIT("1.2"),
                                       STR_INIT("1.3")};
    for (unsigned i = 0; i < countof(names); i++)
        if (str_equal(text, names[i])) {
            *out = (enum tls_version)i;
            return NULL;
        }
    return error_create(ERROR_INVALID,
                        "invalid TLS version: %.*s, valid values are 1.0, 1.1, 1.2, 1.3",
                        STR_ARG(text));
}

const struct tls_cipher *tls_cipher_find(struct str name)
{
    for (size_t i = 0; i < countof(ciphers); i++)
        if (str_equal(name, ciphers[i].name))
            return &ciphers[i];
    return NULL;
}

const struct tls_curve *tls_curve_find(struct str name)
{
    for (size_t i = 0; i < countof(curves); i++)
        if (str_equal(name, curves[i].name))
            return &curves[i];
    return NULL;
}

struct error *tls_ciphers_check(const struct str *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (tls_cipher_find(names[i]))
            continue;
        struct buf valid = {0};
        for (size_t j = 0; j < countof(ciphers); j++)
            buf_printf(&valid, "%s%.*s", j ? ", " : "", STR_ARG(ciphers[j].name));
        struct error *err =
            error_create(ERROR_INVALID, "invalid cipher suite: %.*s, valid values are %.*s",
                         STR_ARG(names[i]), STR_ARG(buf_str(&valid)));
        buf_deinit(&valid);
        return err;
    }
    return NULL;
}

struct error *tls_curves_check(const struct str *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (tls_curve_find(names[i]))
            continue;
        struct buf valid = {0};
        for (size_t j = 0; j < countof(curves); j++)
            buf_printf(&valid, "%s%.*s", j ? ", " : "", STR_ARG(curves[j].name));
        struct error *err =
            error_create(ERROR_INVALID, "invalid curve: %.*s, valid values are %.*s",
                         STR_ARG(names[i]), STR_ARG(buf_str(&valid)));
        buf_deinit(&valid);
        return err;
    }
    return NULL;
}

const char *tls_alert_text(int alert)
{
    static const struct {
        int alert;
        const char *text;
    } alerts[] = {
        {10, "unexpected message"},
        {20, "bad record MAC"},
        {22, "record overflow"},
        {40, "handshake failure"},
        {42, "bad certificate"},
        {43, "unsupported certificate"},
        {44, "revoked certificate"},
        {45, "expired certificate"},
        {46, "unknown certificate"},
        {47, "illegal parameter"},
        {48, "unknown certificate authority"},
        {49, "access denied"},
        {50, "error decoding message"},
        {51, "error decrypting message"},
        {70, "protocol version not supported"},
        {71, "insufficient security level"},
        {80, "internal error"},
        {86, "inappropriate fallback"},
        {90, "user canceled"},
        {100, "no renegotiation"},
        {109, "missing extension"},
        {110, "unsupported extension"},
        {112, "unrecognized name"},
        {116, "certificate required"},
        {120, "no application protocol"},
    };
    for (size_t i = 0; i < countof(alerts); i++)
        if (alerts[i].alert == alert)
            return alerts[i].text;
    return "alert";
}
