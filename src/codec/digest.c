#include "codec/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/memory.h"

static void hmac(const EVP_MD *kind, struct bytes key, struct bytes data, uint8_t *out)
{
    static const uint8_t nothing[1];
    unsigned size = EVP_MAX_MD_SIZE;
    if (!HMAC(kind, key.len ? key.data : nothing, (int)key.len, data.len ? data.data : nothing,
              data.len, out, &size))
        bug("OpenSSL gives no HMAC");
}

void digest_hmac_sha256(struct bytes key, struct bytes data, uint8_t out[DIGEST_SHA256_SIZE])
{
    hmac(EVP_sha256(), key, data, out);
}

void digest_hmac_sha1(struct bytes key, struct bytes data, uint8_t out[DIGEST_SHA1_SIZE])
{
    hmac(EVP_sha1(), key, data, out);
}

void digest_sha256(struct bytes data, uint8_t out[DIGEST_SHA256_SIZE])
{
    if (!EVP_Digest(data.len ? data.data : (const uint8_t *)"", data.len, out, NULL, EVP_sha256(),
                    NULL))
        bug("OpenSSL gives no SHA-256");
}

void digest_hex(struct buf *out, const uint8_t *digest, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        buf_append_byte(out, (uint8_t)digits[digest[i] >> 4]);
        buf_append_byte(out, (uint8_t)digits[digest[i] & 15]);
    }
}

void digest_md5(struct bytes data, uint8_t out[DIGEST_MD5_SIZE])
{
    if (!EVP_Digest(data.len ? data.data : (const uint8_t *)"", data.len, out, NULL, EVP_md5(),
                    NULL))
        bug("OpenSSL gives no MD5");
}

void digest_random(void *out, size_t size)
{
    if (RAND_bytes(out, (int)size) != 1)
        bug("OpenSSL gives no random bytes");
}

void digest_wipe(void *data, size_t size)
{
    if (size)
        OPENSSL_cleanse(data, size);
}
