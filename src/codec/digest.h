/* codec/digest.h: digests and random bytes, by OpenSSL. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum { DIGEST_MD5_SIZE = 16, DIGEST_SHA1_SIZE = 20, DIGEST_SHA256_SIZE = 32 };

void digest_hmac_sha256(struct bytes key, struct bytes data, uint8_t out[DIGEST_SHA256_SIZE]);
void digest_hmac_sha1(struct bytes key, struct bytes data, uint8_t out[DIGEST_SHA1_SIZE]);
void digest_sha256(struct bytes data, uint8_t out[DIGEST_SHA256_SIZE]);
/* Appends lower-case hexadecimal digits. */
void digest_hex(struct buf *out, const uint8_t *digest, size_t size);
/* For spreading things evenly, as Prometheus's hashmod does it; not for secrets. */
void digest_md5(struct bytes data, uint8_t out[DIGEST_MD5_SIZE]);
/* Unpredictable ones. */
void digest_random(void *out, size_t size);
/* Overwrites what was secret; not optimised away. */
void digest_wipe(void *data, size_t size);
