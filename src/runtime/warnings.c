#include "runtime/warnings.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/hash_index.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "base/vec.h"

struct warning {
    struct str text;
};

struct warnings {
    size_t max, max_bytes;
    struct mutex lock; /* of the rest */
    VEC(struct warning *) list;
    struct hash_index index;
};

struct warnings *warnings_create(size_t max, size_t max_bytes)
{
    struct warnings *warnings = xcalloc(1, sizeof(*warnings));
    mutex_init(&warnings->lock);
    warnings->max = max;
    warnings->max_bytes = max_bytes;
    return warnings;
}

void warnings_free(struct warnings *warnings)
{
    if (!warnings)
        return;
    for (size_t i = 0; i < warnings->list.len; i++)
        free(warnings->list.items[i]);
    vec_deinit(&warnings->list);
    hash_index_deinit(&warnings->index);
    mutex_deinit(&warnings->lock);
    free(warnings);
}

static bool warnings_has(const struct warnings *warnings, uint64_t hash, struct str text)
    REQUIRES(warnings->lock)
{
    size_t at;
    for (struct warning *one = hash_index_first(&warnings->index, hash, &at); one;
         one = hash_index_next(&warnings->index, hash, &at))
        if (str_equal(one->text, text))
            return true;
    return false;
}

void warnings_add(struct warnings *warnings, struct str text)
{
    text.len = size_min(text.len, warnings->max_bytes);
    uint64_t hash = hash_str(text);
    mutex_lock(&warnings->lock);
    if (warnings->list.len < warnings->max && !warnings_has(warnings, hash, text)) {
        struct warning *one = xmalloc(sizeof(*one) + text.len);
        if (text.len)
            memcpy(one + 1, text.data, text.len);
        one->text = (struct str){(const char *)(one + 1), text.len};
        (void)vec_push(&warnings->list, one);
        error_free(hash_index_add(&warnings->index, hash, one)); /* no budget: cannot fail */
    }
    mutex_unlock(&warnings->lock);
}

size_t warnings_count(struct warnings *warnings)
{
    mutex_lock(&warnings->lock);
    size_t count = warnings->list.len;
    mutex_unlock(&warnings->lock);
    return count;
}

struct str warnings_at(struct warnings *warnings, size_t at)
{
    mutex_lock(&warnings->lock);
    struct str text = warnings->list.items[at]->text;
    mutex_unlock(&warnings->lock);
    return text;
}
