#include "net/grpc_wire.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/page_pool.h"
#include "codec/gzip.h"
#include "codec/snappy.h"

enum {
    PAGE_FROM = 16 * 1024,     /* larger messages live in pages, which go back to the system */
    AT_ONCE_MAX = 1024 * 1024, /* allocated on the prefix's word; beyond it the bytes must come */
};

/* --- codes --- */

static const struct {
    const char *name;
    enum error_kind kind;
} codes[] = {
    [GRPC_OK] = {"OK", ERROR_NONE},
    [GRPC_CANCELLED] = {"Canceled", ERROR_CANCELLED},
    [GRPC_UNKNOWN] = {"Unknown", ERROR_INTERNAL},
    [GRPC_INVALID_ARGUMENT] = {"InvalidArgument", ERROR_INVALID},
    [GRPC_DEADLINE_EXCEEDED] = {"DeadlineExceeded", ERROR_TIMEOUT},
    [GRPC_NOT_FOUND] = {"NotFound", ERROR_NOT_FOUND},
    [GRPC_ALREADY_EXISTS] = {"AlreadyExists", ERROR_CONFLICT},
    [GRPC_PERMISSION_DENIED] = {"PermissionDenied", ERROR_INVALID},
    [GRPC_RESOURCE_EXHAUSTED] = {"ResourceExhausted", ERROR_LIMIT},
    [GRPC_FAILED_PRECONDITION] = {"FailedPrecondition", ERROR_QUERY},
    [GRPC_ABORTED] = {"Aborted", ERROR_UNAVAILABLE},
    [GRPC_OUT_OF_RANGE] = {"OutOfRange", ERROR_INVALID},
    [GRPC_UNIMPLEMENTED] = {"Unimplemented", ERROR_INVALID},
    [GRPC_INTERNAL] = {"Internal", ERROR_INTERNAL},
    [GRPC_UNAVAILABLE] = {"Unavailable", ERROR_UNAVAILABLE},
    [GRPC_DATA_LOSS] = {"DataLoss", ERROR_CORRUPT},
    [GRPC_UNAUTHENTICATED] = {"Unauthenticated", ERROR_INVALID},
};

const char *grpc_code_name(enum grpc_code code)
{
    return (size_t)code < countof(codes) ? codes[code].name : "Unknown";
}

static enum error_kind grpc_code_kind(enum grpc_code code)
{
    return (size_t)code < countof(codes) ? codes[code].kind : ERROR_INTERNAL;
}

enum grpc_code grpc_code_of(enum error_kind kind)
{
    switch (kind) {
    case ERROR_NONE:
        return GRPC_OK;
    case ERROR_INVALID:
        return GRPC_INVALID_ARGUMENT;
    case ERROR_NOT_FOUND:
        return GRPC_NOT_FOUND;
    case ERROR_CONFLICT:
        return GRPC_ALREADY_EXISTS;
    case ERROR_QUERY:
        return GRPC_FAILED_PRECONDITION;
    case ERROR_LIMIT:
        return GRPC_RESOURCE_EXHAUSTED;
    case ERROR_BUSY:
    case ERROR_UNAVAILABLE:
        return GRPC_UNAVAILABLE;
    case ERROR_TIMEOUT:
        return GRPC_DEADLINE_EXCEEDED;
    case ERROR_CANCELLED:
        return GRPC_CANCELLED;
    case ERROR_CORRUPT:
        return GRPC_DATA_LOSS;
    case ERROR_INTERNAL:
        break;
    }
    return GRPC_INTERNAL;
}

bool grpc_code_parse(struct str text, enum grpc_code *out)
{
    uint64_t value;
    if (!str_to_uint64(text, &value))
        return false;
    *out = value < countof(codes) ? (enum grpc_code)value : GRPC_UNKNOWN;
    return true;
}

struct error *grpc_status_error(enum grpc_code code, struct str message)
{
    enum error_kind kind = grpc_code_kind(code);
    return error_create(kind == ERROR_NONE ? ERROR_INTERNAL : kind,
                        "rpc error: code = %s desc = %.*s", grpc_code_name(code), STR_ARG(message));
}

enum grpc_code grpc_code_of_http(int status)
{
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

enum grpc_code grpc_code_of_reset(uint32_t http2_code)
{
    switch (http2_code) {
    case 7: /* REFUSED_STREAM */
        return GRPC_UNAVAILABLE;
    case 8: /* CANCEL */
        return GRPC_CANCELLED;
    case 11: /* ENHANCE_YOUR_CALM */
        return GRPC_RESOURCE_EXHAUSTED;
    case 12: /* INADEQUATE_SECURITY */
        return GRPC_PERMISSION_DENIED;
    default:
        return GRPC_INTERNAL;
    }
}

/* --- texts --- */

void grpc_message_text_encode(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        if (byte >= 0x20 && byte <= 0x7e && byte != '%')
            buf_append_byte(out, byte);
        else
            buf_printf(out, "%%%02X", byte);
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

void grpc_message_text_decode(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        int high = -1, low = -1;
        if (text.data[i] == '%' && i + 2 < text.len) {
            high = hex_digit(text.data[i + 1]);
            low = hex_digit(text.data[i + 2]);
        }
        if (high < 0 || low < 0) {
            buf_append_byte(out, (uint8_t)text.data[i]);
        } else {
            buf_append_byte(out, (uint8_t)(high * 16 + low));
            i += 2;
        }
    }
}

static const struct {
    char unit;
    int64_t per_ms, ms; /* units in a millisecond, or milliseconds in a unit */
} timeout_units[] = {
    {'n', 1000000, 1}, {'u', 1000, 1},  {'m', 1, 1},
    {'S', 1, 1000},    {'M', 1, 60000}, {'H', 1, 3600000},
};

bool grpc_timeout_parse(struct str text, int64_t *ms)
{
    uint64_t value;
    if (text.len < 2 || text.len > 9 || !str_to_uint64(str_slice(text, 0, text.len - 1), &value))
        return false;
    for (size_t i = 0; i < countof(timeout_units); i++)
        if (timeout_units[i].unit == text.data[text.len - 1]) {
            int64_t per_ms = timeout_units[i].per_ms;
            *ms = ((int64_t)value + per_ms - 1) / per_ms * timeout_units[i].ms;
            return true;
        }
    return false;
}

void grpc_timeout_format(int64_t ms, char out[16])
{
    char unit = 'm';
    if (ms < 0)
        ms = 0;
    if (ms > 99999999) { /* rounded up: the server's clock only has to end after ours */
        ms = (ms + 999) / 1000;
        unit = 'S';
    }
    if (ms > 99999999) {
        ms = (ms + 3599) / 3600;
        unit = 'H';
    }
    snprintf(out, 16, "%lld%c", (long long)int64_min(ms, 99999999), unit);
}

/* --- messages --- */

/* A message of `size` bytes to be filled, charged to budget (which must outlive it). */
static struct error *message_create(struct budget *budget, size_t size, struct grpc_message **out)
{
    size_t total = sizeof(struct grpc_message) + size, page = 0;
    struct grpc_message *message = NULL;
    if (total >= PAGE_FROM)
        message = page_pool_take(total, &page);
    size_t charged = page ? page : total;
    struct error *err = budget_charge(budget, charged, "a received message");
    if (err) {
        if (message)
            page_pool_give(message, page);
        return err;
    }
    if (!message)
        message = xmalloc(total);
    *message = (struct grpc_message){.bytes = {(const uint8_t *)(message + 1), size},
                                     .budget = budget,
                                     .charged = charged,
                                     .page = page};
    atomic_init(&message->references, 1);
    *out = message;
    return NULL;
}

/* --- compression --- */

static const char *const encodings[] = {
    [GRPC_IDENTITY] = "identity",
    [GRPC_GZIP] = "gzip",
    [GRPC_SNAPPY] = "snappy",
};

const char *grpc_encoding_name(enum grpc_encoding encoding)
{
    return encodings[encoding];
}

bool grpc_encoding_parse(struct str name, enum grpc_encoding *out)
{
    for (size_t i = 0; i < countof(encodings); i++)
        if (str_equal(name, str_from(encodings[i]))) {
            *out = (enum grpc_encoding)i;
            return true;
        }
    return false;
}

void grpc_prefix_write(uint8_t out[GRPC_PREFIX], bool compressed, size_t len)
{
    out[0] = compressed;
    out[1] = (uint8_t)(len >> 24);
    out[2] = (uint8_t)(len >> 16);
    out[3] = (uint8_t)(len >> 8);
    out[4] = (uint8_t)len;
}

void grpc_frame_append(struct buf *out, struct bytes message, enum grpc_encoding encoding)
{
    size_t start = out->len;
    uint8_t prefix[GRPC_PREFIX] = {0};
    buf_append(out, prefix, sizeof(prefix));
    switch (encoding) {
    case GRPC_IDENTITY:
        buf_append(out, message.data, message.len);
        break;
    case GRPC_GZIP:
        gzip_encode(message, out);
        break;
    case GRPC_SNAPPY:
        snappy_frame_encode(message, out);
        break;
    }
    if (out->refused)
        return;
    grpc_prefix_write(prefix, encoding != GRPC_IDENTITY, out->len - start - sizeof(prefix));
    memcpy(out->data + start, prefix, sizeof(prefix));
}

struct error *grpc_message_expand(struct grpc_message *message, enum grpc_encoding encoding,
                                  size_t max, struct grpc_message **out)
{
    struct buf content = BUF_INIT(message->budget);
    struct error *err = NULL;
    struct grpc_message *expanded = NULL;
    if (encoding == GRPC_GZIP)
        err = gzip_decode(message->bytes, max, &content);
    else if (encoding == GRPC_SNAPPY)
        err = snappy_frame_decode(message->bytes, max, &content);
    else
        err = error_create(ERROR_CORRUPT,
                           "grpc: compressed flag set with identity or empty encoding");
    if (!err)
        err = message_create(message->budget, content.len, &expanded);
    if (!err) {
        if (content.len)
            memcpy((uint8_t *)expanded->bytes.data, content.data, content.len);
        expanded->owed = message->owed;
        *out = expanded;
    }
    buf_deinit(&content);
    grpc_message_unref(message);
    return err;
}

/* --- cutting bytes into messages --- */

void grpc_message_unref(void *arg)
{
    struct grpc_message *message = arg;
    if (!message || atomic_fetch_sub_explicit(&message->references, 1, memory_order_acq_rel) != 1)
        return;
    budget_release(message->budget, message->charged);
    if (message->page)
        page_pool_give(message, message->page);
    else
        free(message);
}

static struct error *deframer_begin(struct grpc_deframer *deframer)
{
    const uint8_t *prefix = deframer->prefix;
    if (prefix[0] > 1)
        return error_create(ERROR_CORRUPT, "grpc: received unexpected payload format %u",
                            prefix[0]);
    size_t size = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 |
                  (size_t)prefix[4];
    if (size > deframer->message_max)
        return error_create(ERROR_LIMIT, "grpc: received message larger than max (%zu vs. %zu)",
                            size, deframer->message_max);
    struct error *err =
        message_create(deframer->budget, size_min(size, AT_ONCE_MAX), &deframer->partial);
    if (err)
        return err;
    deframer->size = size;
    deframer->filled = 0;
    deframer->partial->compressed = prefix[0];
    return NULL;
}

static struct error *deframer_grow(struct grpc_deframer *deframer)
{
    struct grpc_message *larger, *old = deframer->partial;
    struct error *err =
        message_create(deframer->budget, size_min(deframer->size, old->bytes.len * 4), &larger);
    if (err)
        return err;
    memcpy((uint8_t *)larger->bytes.data, old->bytes.data, deframer->filled);
    larger->compressed = old->compressed;
    grpc_message_unref(old);
    deframer->partial = larger;
    return NULL;
}

static void take_prefix(struct grpc_deframer *deframer, struct bytes *in)
{
    while (deframer->prefix_len < GRPC_PREFIX && in->len) {
        deframer->prefix[deframer->prefix_len++] = *in->data++;
        in->len--;
    }
}

struct error *grpc_deframe(struct grpc_deframer *deframer, struct bytes *in,
                           struct grpc_message **out)
{
    struct error *err = NULL;
    *out = NULL;
    if (!deframer->partial) {
        take_prefix(deframer, in);
        if (deframer->prefix_len < GRPC_PREFIX)
            return NULL;
        err = deframer_begin(deframer);
    }
    while (!err && in->len && deframer->filled < deframer->size) {
        if (deframer->filled == deframer->partial->bytes.len) {
            err = deframer_grow(deframer);
            continue;
        }
        size_t len = size_min(in->len, deframer->partial->bytes.len - deframer->filled);
        memcpy((uint8_t *)deframer->partial->bytes.data + deframer->filled, in->data, len);
        deframer->filled += len;
        in->data += len;
        in->len -= len;
    }
    if (err || deframer->filled < deframer->size)
        return err;
    *out = deframer->partial;
    deframer->partial = NULL;
    deframer->prefix_len = 0;
    return NULL;
}

bool grpc_deframer_is_between(const struct grpc_deframer *deframer)
{
    return deframer->prefix_len == 0;
}

void grpc_deframer_deinit(struct grpc_deframer *deframer)
{
    grpc_message_unref(deframer->partial);
    deframer->partial = NULL;
}
