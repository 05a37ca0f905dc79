#include "net/grpc_wire.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/page_pool.h"
#include "codec/gzip.h"
#include "codec/snappy.h"

enum { POOLED_FROM = PAGE_POOL_SMALLEST / 2 }; /* smaller messages come from malloc */

/* -- codes -- */

static const struct {
    const char *name;
    enum error_kind kind;
} codes[] = {
    [GRPC_OK] = {"OK", ERROR_NONE},
    [GRPC_CANCELLED] = {"Canceled", ERROR_CANCELLED},
    [GRPC_UNKNOWN] = {"Unknown", ERROR_UNAVAILABLE},
    [GRPC_INVALID_ARGUMENT] = {"InvalidArgument", ERROR_INVALID},
    [GRPC_DEADLINE_EXCEEDED] = {"DeadlineExceeded", ERROR_TIMEOUT},
    [GRPC_NOT_FOUND] = {"NotFound", ERROR_NOT_FOUND},
    [GRPC_ALREADY_EXISTS] = {"AlreadyExists", ERROR_CONFLICT},
    [GRPC_PERMISSION_DENIED] = {"PermissionDenied", ERROR_UNAVAILABLE},
    [GRPC_RESOURCE_EXHAUSTED] = {"ResourceExhausted", ERROR_LIMIT},
    [GRPC_FAILED_PRECONDITION] = {"FailedPrecondition", ERROR_QUERY},
    [GRPC_ABORTED] = {"Aborted", ERROR_UNAVAILABLE},
    [GRPC_OUT_OF_RANGE] = {"OutOfRange", ERROR_INVALID},
    [GRPC_UNIMPLEMENTED] = {"Unimplemented", ERROR_UNAVAILABLE},
    [GRPC_INTERNAL] = {"Internal", ERROR_INTERNAL},
    [GRPC_UNAVAILABLE] = {"Unavailable", ERROR_UNAVAILABLE},
    [GRPC_DATA_LOSS] = {"DataLoss", ERROR_CORRUPT},
    [GRPC_UNAUTHENTICATED] = {"Unauthenticated", ERROR_UNAVAILABLE},
};

const char *grpc_code_name(enum grpc_code code)
{
    return (size_t)code < countof(codes) ? codes[code].name : "Unknown";
}

enum error_kind grpc_kind_of(enum grpc_code code)
{
    return (size_t)code < countof(codes) ? codes[code].kind : ERROR_UNAVAILABLE;
}

enum grpc_code grpc_code_of(enum error_kind kind)
{
    static const enum grpc_code by_kind[] = {
        [ERROR_NONE] = GRPC_OK,
        [ERROR_INVALID] = GRPC_INVALID_ARGUMENT,
        [ERROR_NOT_FOUND] = GRPC_NOT_FOUND,
        [ERROR_CONFLICT] = GRPC_ALREADY_EXISTS,
        [ERROR_QUERY] = GRPC_FAILED_PRECONDITION,
        [ERROR_LIMIT] = GRPC_RESOURCE_EXHAUSTED,
        [ERROR_BUSY] = GRPC_UNAVAILABLE,
        [ERROR_UNAVAILABLE] = GRPC_UNAVAILABLE,
        [ERROR_TIMEOUT] = GRPC_DEADLINE_EXCEEDED,
        [ERROR_CANCELLED] = GRPC_CANCELLED,
        [ERROR_CORRUPT] = GRPC_DATA_LOSS,
        [ERROR_INTERNAL] = GRPC_INTERNAL,
    };
    return by_kind[kind];
}

struct error *grpc_error(enum grpc_code code, struct str text)
{
    enum error_kind kind = code == GRPC_OK ? ERROR_INTERNAL : grpc_kind_of(code);
    return error_create(kind, "rpc error: code = %s desc = %.*s", grpc_code_name(code),
                        STR_ARG(text));
}

/* -- encodings -- */

static const char *const encoding_names[] = {
    [GRPC_IDENTITY] = "identity", [GRPC_GZIP] = "gzip", [GRPC_SNAPPY] = "snappy"};

enum grpc_encoding grpc_encoding_parse(struct str name)
{
    if (name.len == 0)
        return GRPC_IDENTITY;
    for (size_t i = 0; i < countof(encoding_names); i++)
        if (str_equal(name, str_from(encoding_names[i])))
            return (enum grpc_encoding)i;
    return GRPC_UNKNOWN_ENCODING;
}

const char *grpc_encoding_name(enum grpc_encoding encoding)
{
    return encoding_names[encoding];
}

void grpc_frame(struct buf *out, struct bytes message, enum grpc_encoding encoding)
{
    size_t start = out->len;
    char *prefix = buf_reserve(out, GRPC_PREFIX + message.len);
    if (!prefix)
        return;
    out->len += GRPC_PREFIX;
    if (encoding == GRPC_GZIP)
        gzip_encode(message, out);
    else if (encoding == GRPC_SNAPPY)
        snappy_frame_encode(message, out);
    else
        buf_append(out, message.data, message.len);
    size_t len = out->len - start - GRPC_PREFIX;
    const uint8_t bytes[GRPC_PREFIX] = {encoding != GRPC_IDENTITY, (uint8_t)(len >> 24),
                                        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
    memcpy(out->data + start, bytes, sizeof(bytes));
}

/* -- messages -- */

struct error *grpc_message_create(struct budget *budget, size_t len, struct grpc_message **out)
{
    size_t size = sizeof(**out) + len, got = size;
    struct error *err = budget_charge(budget, size, "a received message");
    if (err)
        return err;
    bool pooled = size >= POOLED_FROM;
    struct grpc_message *message = pooled ? page_pool_take(size, &got) : xmalloc(size);
    if (got > size)
        budget_charge_anyway(budget, got - size);
    *message = (struct grpc_message){.bytes = {(const uint8_t *)(message + 1), len},
                                     .budget = budget,
                                     .charged = got,
                                     .pooled = pooled};
    atomic_init(&message->references, 1);
    *out = message;
    return NULL;
}

void grpc_message_unref(void *object)
{
    struct grpc_message *message = object;
    if (atomic_fetch_sub_explicit(&message->references, 1, memory_order_acq_rel) != 1)
        return;
    struct budget *budget = message->budget;
    size_t charged = message->charged;
    if (message->pooled)
        page_pool_give(message, charged);
    else
        free(message);
    budget_release(budget, charged);
}

static uint8_t *message_data(struct grpc_message *message)
{
    return (uint8_t *)(message + 1);
}

/* -- cutting -- */

static struct error *deframer_begin(struct grpc_deframer *deframer)
{
    const uint8_t *prefix = deframer->prefix;
    size_t len =
        (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | prefix[4];
    if (prefix[0] > 1)
        return error_create(ERROR_CORRUPT, "grpc: received unexpected payload format %d",
                            prefix[0]);
    if (prefix[0] == 1 && deframer->encoding == GRPC_IDENTITY)
        return error_create(ERROR_CORRUPT,
                            "grpc: compressed flag set with identity or empty encoding");
    if (len > deframer->message_max)
        return error_create(ERROR_LIMIT, "grpc: received message larger than max (%zu vs. %zu)",
                            len, deframer->message_max);
    deframer->filled = 0;
    return grpc_message_create(deframer->budget, len, &deframer->message);
}

static struct error *message_unpack(struct grpc_deframer *deframer, struct grpc_message **message)
{
    struct buf plain = BUF_INIT(deframer->budget);
    struct grpc_message *unpacked = NULL;
    struct bytes packed = (*message)->bytes;
    struct error *err = deframer->encoding == GRPC_GZIP
                            ? gzip_decode(packed, deframer->message_max, &plain)
                            : snappy_frame_decode(packed, deframer->message_max, &plain);
    if (!err)
        err = grpc_message_create(deframer->budget, plain.len, &unpacked);
    if (!err && plain.len)
        memcpy(message_data(unpacked), plain.data, plain.len);
    buf_deinit(&plain);
    grpc_message_unref(*message);
    *message = unpacked;
    return error_wrap(err, "grpc: failed to decompress the received message");
}

static struct bytes bytes_skip(struct bytes bytes, size_t count)
{
    return (struct bytes){bytes.data + count, bytes.len - count};
}

struct error *grpc_deframe(struct grpc_deframer *deframer, struct bytes *in,
                           struct grpc_message **out)
{
    *out = NULL;
    while (deframer->prefix_len < GRPC_PREFIX) {
        if (in->len == 0)
            return NULL;
        deframer->prefix[deframer->prefix_len++] = in->data[0];
        *in = bytes_skip(*in, 1);
    }
    if (!deframer->message) {
        struct error *err = deframer_begin(deframer);
        if (err)
            return err;
    }
    struct grpc_message *message = deframer->message;
    size_t len = size_min(in->len, message->bytes.len - deframer->filled);
    if (len)
        memcpy(message_data(message) + deframer->filled, in->data, len);
    deframer->filled += len;
    *in = bytes_skip(*in, len);
    if (deframer->filled < message->bytes.len)
        return NULL;
    deframer->message = NULL;
    deframer->prefix_len = 0;
    *out = message;
    return deframer->prefix[0] ? message_unpack(deframer, out) : NULL;
}

void grpc_deframer_deinit(struct grpc_deframer *deframer)
{
    if (deframer->message)
        grpc_message_unref(deframer->message);
    deframer->message = NULL;
    deframer->prefix_len = 0;
}

bool grpc_deframer_is_inside(const struct grpc_deframer *deframer)
{
    return deframer->prefix_len > 0;
}

/* -- texts -- */

void grpc_status_encode(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        if (byte >= 0x20 && byte <= 0x7e && byte != '%')
            buf_append_byte(out, byte);
        else
            buf_printf(out, "%%%02X", byte);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void grpc_status_decode(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        int high = -1, low = -1;
        if (text.data[i] == '%' && text.len - i > 2) {
            high = hex_value(text.data[i + 1]);
            low = hex_value(text.data[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            buf_append_byte(out, (uint8_t)(high << 4 | low));
            i += 2;
        } else {
            buf_append_byte(out, (uint8_t)text.data[i]);
        }
    }
}

static const struct {
    char unit;
    int64_t ns;
} timeout_units[] = {{'n', 1},          {'u', 1000},          {'m', 1000000},
                     {'S', 1000000000}, {'M', 60000000000LL}, {'H', 3600000000000LL}};

bool grpc_timeout_parse(struct str text, int64_t *ms)
{
    uint64_t amount;
    if (text.len < 2 || text.len > 9 || !str_to_uint64(str_slice(text, 0, text.len - 1), &amount))
        return false;
    for (size_t i = 0; i < countof(timeout_units); i++)
        if (timeout_units[i].unit == text.data[text.len - 1]) {
            int64_t ns;
            if (__builtin_mul_overflow((int64_t)amount, timeout_units[i].ns, &ns))
                ns = INT64_MAX - 1000000;
            *ms = (ns + 999999) / 1000000;
            return true;
        }
    return false;
}

size_t grpc_timeout_format(int64_t ms, char out[16])
{
    bool in_seconds = ms > 99999999; /* eight digits at most */
    int64_t amount = in_seconds ? int64_min(ms / 1000, 99999999) : ms;
    return (size_t)snprintf(out, 16, "%lld%c", (long long)amount, in_seconds ? 'S' : 'm');
}
