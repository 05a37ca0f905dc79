#include "codec/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/memory.h"

void digest_hmac_sha256(struct bytes key, struct bytes data, uint8_t out[DIGEST_SHA256_SIZE])
{
    static const uint8_t nothing[1];
    unsigned size = DIGEST_SHA256_SIZE;
    if (!HMAC(EVP_sha256(), key.len ? key.data : nothing, (int)key.len,
              data.len ? data.data : nothing, data.len, out, &size))
        bug("OpenSSL gives no HMAC");
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
