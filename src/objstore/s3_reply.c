#include "objstore/s3_reply.h"

#include <stdlib.h>
#include <string.h>

#include "base/time_text.h"
#include "base/vec.h"
#include "codec/xml.h"

/* ---- lists ---- */

struct paging {
    struct arena *arena;
    struct s3_page *page;
    VEC(struct bucket_entry) entries;
    struct bucket_entry entry; /* of the object that is being read */
    bool in_prefix, in_object;
    struct str last_key;
};

static struct error *page_begin(void *self, struct str name)
{
    struct paging *paging = self;
    if (str_equal(name, STR("Contents"))) {
        paging->in_object = true;
        paging->entry = (struct bucket_entry){.key = STR("")};
    } else if (str_equal(name, STR("CommonPrefixes"))) {
        paging->in_prefix = true;
        paging->entry = (struct bucket_entry){.key = STR("")};
    }
    return NULL;
}

static struct error *object_field(struct paging *paging, struct str name, struct str text)
{
    if (str_equal(name, STR("Key")) || str_equal(name, STR("Prefix")))
        paging->entry.key = arena_str(paging->arena, text);
    if (str_equal(name, STR("Size")) && !str_to_uint64(text, &paging->entry.size))
        return error_create(ERROR_CORRUPT, "\"%.*s\" is no size", STR_ARG(text));
    if (str_equal(name, STR("LastModified")) &&
        !time_text_parse_ms(text, &paging->entry.modified_ms))
        return error_create(ERROR_CORRUPT, "\"%.*s\" is no time", STR_ARG(text));
    return NULL;
}

static struct error *page_end(void *self, struct str name, struct str text)
{
    struct paging *paging = self;
    bool ends_entry = str_equal(name, STR("Contents")) || str_equal(name, STR("CommonPrefixes"));
    if (ends_entry) {
        paging->in_object = paging->in_prefix = false;
        if (paging->entry.key.len == 0)
            return error_create(ERROR_CORRUPT, "an entry has no key");
        vec_push(&paging->entries, paging->entry);
        return NULL;
    }
    if (paging->in_object || paging->in_prefix)
        return object_field(paging, name, text);
    if (str_equal(name, STR("IsTruncated")))
        paging->page->is_truncated = str_equal(text, STR("true"));
    else if (str_equal(name, STR("NextContinuationToken")))
        paging->page->next = arena_str(paging->arena, text);
    else if (str_equal(name, STR("NextMarker")))
        paging->page->next = arena_str(paging->arena, text);
    return NULL;
}

static int entry_compare(const void *a, const void *b)
{
    return str_compare(((const struct bucket_entry *)a)->key,
                       ((const struct bucket_entry *)b)->key);
}

struct error *s3_page_parse(struct str xml, struct arena *arena, struct s3_page *out)
{
    *out = (struct s3_page){.next = STR("")};
    struct paging paging = {.arena = arena, .page = out};
    const struct xml_reader reader = {page_begin, page_end, &paging};
    struct error *err = xml_read(xml, &reader, "list of objects");
    out->count = paging.entries.len;
    out->entries = arena_array(arena, out->count + 1, sizeof(*out->entries));
    if (out->count > 0) {
        memcpy(out->entries, paging.entries.items, out->count * sizeof(*out->entries));
        qsort(out->entries, out->count, sizeof(*out->entries), entry_compare);
    }
    vec_deinit(&paging.entries);
    /* version 1 names no marker when there is no delimiter: the last key is it */
    if (!err && out->is_truncated && out->next.len == 0 && out->count > 0)
        out->next = out->entries[out->count - 1].key;
    if (!err && out->is_truncated && out->next.len == 0)
        err = error_create(ERROR_CORRUPT, "list of objects: it goes on, but nobody knows where");
    return err;
}

/* ---- single texts ---- */

struct finding {
    struct str element;
    struct arena *arena;
    struct str *out;
};

static struct error *find_begin(void *self UNUSED, struct str name UNUSED)
{
    return NULL;
}

static struct error *find_end(void *self, struct str name, struct str text)
{
    struct finding *finding = self;
    if (str_equal(name, finding->element) && finding->out->len == 0)
        *finding->out = arena_str(finding->arena, str_trim(text));
    return NULL;
}

struct error *s3_find_text(struct str xml, struct str element, struct arena *arena, struct str *out)
{
    *out = STR("");
    struct finding finding = {element, arena, out};
    const struct xml_reader reader = {find_begin, find_end, &finding};
    return xml_read(xml, &reader, "answer of S3");
}

/* ---- errors ---- */

static enum error_kind kind_of(int status, struct str code)
{
    static const struct {
        struct str code;
        enum error_kind kind;
    } codes[] = {
        {STR_INIT("NoSuchKey"), ERROR_NOT_FOUND},  {STR_INIT("NoSuchBucket"), ERROR_INVALID},
        {STR_INIT("SlowDown"), ERROR_BUSY},        {STR_INIT("BadDigest"), ERROR_CORRUPT},
        {STR_INIT("EntityTooLarge"), ERROR_LIMIT}, {STR_INIT("ExpiredToken"), ERROR_UNAVAILABLE},
    };
    for (size_t i = 0; i < countof(codes); i++) {
        if (str_equal(codes[i].code, code))
            return codes[i].kind;
    }
    return status == 404                    ? ERROR_NOT_FOUND
           : status == 429                  ? ERROR_BUSY
           : status == 408 || status >= 500 ? ERROR_UNAVAILABLE
                                            : ERROR_INVALID;
}

struct error *s3_error(int status, struct str body, struct str method, struct str key)
{
    struct arena *arena = arena_create(NULL);
    struct str code = STR(""), message = STR("");
    if (body.len > 0) { /* proxies answer with pages that are no XML */
        error_free(s3_find_text(body, STR("Code"), arena, &code));
        error_free(s3_find_text(body, STR("Message"), arena, &message));
    }
    struct error *err =
        error_create(kind_of(status, code), "%.*s %.*s: status %d%s%.*s%s%.*s", STR_ARG(method),
                     STR_ARG(key), status, code.len ? " " : "", STR_ARG(code),
                     message.len ? ": " : "", STR_ARG(str_slice(message, 0, 500)));
    arena_unref(arena);
    return err;
}

bool s3_status_is_retryable(int status, struct str body)
{
    if (status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
        status == 504)
        return true;
    return status >= 400 && (str_contains(body, STR("<Code>RequestTimeout</Code>")) ||
                             str_contains(body, STR("<Code>ExpiredToken</Code>")));
}
