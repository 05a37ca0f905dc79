#include "net/web_password.h"

#include <crypt.h>
#include <stdlib.h>

#include "base/memory.h"
#include "codec/digest.h"

enum { HASH_LEN = 60, HEAD_LEN = 7 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool web_password_is_hash(struct str text)
{
    if (text.len != HASH_LEN)
        return false;
    const char *at = text.data;
    bool head = at[0] == '$' && at[1] == '2' && (at[2] == 'a' || at[2] == 'b' || at[2] == 'y') &&
                at[3] == '$' && is_digit(at[4]) && is_digit(at[5]) && at[6] == '$';
    for (size_t i = HEAD_LEN; head && i < HASH_LEN; i++)
        head = is_digit(at[i]) || (at[i] >= 'a' && at[i] <= 'z') ||
               (at[i] >= 'A' && at[i] <= 'Z') || at[i] == '.' || at[i] == '/';
    int cost = head ? (at[4] - '0') * 10 + at[5] - '0' : 0;
    return head && cost >= 4 && cost <= 31;
}

/* In time that does not depend on where they differ. */
static bool equal_slowly(const char *a, const char *b, size_t len)
{
    unsigned char difference = 0;
    for (size_t i = 0; i < len; i++)
        difference |= (unsigned char)(a[i] ^ b[i]);
    return difference == 0;
}

bool web_password_fits(struct str password, struct str hash)
{
    struct crypt_data *data = xcalloc(1, sizeof(*data)); /* 32 KiB */
    char *key = str_dup(password), *setting = str_dup(hash);
    const char *result = crypt_rn(key, setting, data, (int)sizeof(*data));
    bool fits = result && strlen(result) == hash.len && strlen(key) == password.len &&
                equal_slowly(result, hash.data, hash.len);
    digest_wipe(key, password.len);
    digest_wipe(data, sizeof(*data));
    free(key);
    free(setting);
    free(data);
    return fits;
}
