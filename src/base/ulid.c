#include "base/ulid.h"

#include <string.h>
#include <sys/random.h>

#include "base/memory.h"

static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

struct ulid ulid_make(int64_t time_ms)
{
    struct ulid id;
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)((uint64_t)time_ms >> (40 - 8 * i));
    if (getrandom(id.bytes + 6, 10, 0) != 10)
        bug("no random bytes from the system");
    return id;
}

int64_t ulid_time_ms(struct ulid id)
{
    int64_t time_ms = 0;
    for (int i = 0; i < 6; i++)
        time_ms = time_ms << 8 | id.bytes[i];
    return time_ms;
}

static int letter_value(char c)
{
    if (c >= 'a' && c <= 'z')
        c = (char)(c - 32);
    const char *found = c ? strchr(letters, c) : NULL;
    return found ? (int)(found - letters) : -1;
}

bool ulid_parse(struct str text, struct ulid *out)
{
    if (text.len != ULID_TEXT_LEN)
        return false;
    struct ulid id = {{0}};
    for (size_t i = 0; i < ULID_TEXT_LEN; i++) {
        int value = letter_value(text.data[i]);
        if (value < 0 || (i == 0 && value > 7))
            return false;
        /* 26 letters are 130 bits: the first two bits are always zero. */
        for (size_t bit = 0; bit < 5; bit++) {
            size_t at = i * 5 + bit;
            if (at >= 2 && (value >> (4 - bit) & 1))
                id.bytes[(at - 2) / 8] |= (uint8_t)(0x80 >> ((at - 2) % 8));
        }
    }
    *out = id;
    return true;
}

void ulid_print(struct ulid id, char out[ULID_TEXT_LEN])
{
    for (size_t i = 0; i < ULID_TEXT_LEN; i++) {
        int value = 0;
        for (size_t at = i * 5; at < i * 5 + 5; at++)
            value = value << 1 | (at >= 2 ? id.bytes[(at - 2) / 8] >> (7 - (at - 2) % 8) & 1 : 0);
        out[i] = letters[value];
    }
}

int ulid_compare(struct ulid a, struct ulid b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes));
}
