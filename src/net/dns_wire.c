/* A message: a header of 12 bytes with the counts of its sections, questions (name, type, class),
 * then records: name, type, class, lifetime, length of the data, data.
 *
 *     3 w w w 4 t e s t 0       a name: labels with their lengths in front
 *     1 a 0xc0 0x0c             "a", then the name that stands at byte 12
 *
 * A reference must point backwards, in front of the name that holds it: then every chain ends. */
#include "net/dns_wire.h"

#include <ctype.h>
#include <string.h>

#include "codec/reader.h"

enum {
    HEADER_SIZE = 12,
    NAME_MAX_LEN = 255,
    LABEL_MAX_LEN = 63,
    REFERENCE = 0xc0,
    CLASS_INTERNET = 1,
    RECORD_MIN_SIZE = 11, /* a root name and nothing as data */
};

struct message {
    struct bytes bytes;
    struct reader reader;
};

static size_t message_at(const struct message *message)
{
    return (size_t)(message->reader.at - message->bytes.data);
}

/* Letters, digits, '-' and '_': what a name may be made of that somebody connects to. */
static bool label_is_plain(struct bytes label)
{
    for (size_t i = 0; i < label.len; i++)
        if (!isalnum(label.data[i]) && label.data[i] != '-' && label.data[i] != '_')
            return false;
    return true;
}

/* The text of the name at the reader, which moves behind it; empty when it is no host name. The
 * buffer has room for NAME_MAX_LEN. */
static struct str name_read(struct message *message, char *out)
{
    size_t len = 0, limit = message_at(message);
    bool is_plain = true;
    struct reader at = message->reader, behind = {0};
    for (;;) {
        uint8_t size = reader_u8(&at);
        if (at.failed || size == 0)
            break;
        if ((size & REFERENCE) == REFERENCE) {
            size_t to = (size_t)(size & ~REFERENCE & 0xff) << 8 | reader_u8(&at);
            if (!behind.at)
                behind = at;
            if (at.failed || to >= limit)
                goto fail;
            limit = to;
            at = reader_create(message->bytes);
            reader_skip(&at, to);
            continue;
        }
        struct bytes label = reader_bytes(&at, size);
        if (size > LABEL_MAX_LEN || at.failed || len + size + 1 > NAME_MAX_LEN)
            goto fail;
        is_plain = is_plain && label_is_plain(label);
        if (len)
            out[len++] = '.';
        memcpy(out + len, label.data, size);
        len += size;
    }
    if (at.failed)
        goto fail;
    message->reader = behind.at ? behind : at;
    return (struct str){out, is_plain ? len : 0};
fail:
    reader_fail(&message->reader);
    return (struct str){out, 0};
}

static bool address_read(struct bytes data, uint16_t type, struct address *out)
{
    memset(out, 0, sizeof(*out));
    if (type == DNS_TYPE_A && data.len == sizeof(out->v4.sin_addr)) {
        out->v4.sin_family = AF_INET;
        out->len = sizeof(out->v4);
        memcpy(&out->v4.sin_addr, data.data, data.len);
        return true;
    }
    if (type != DNS_TYPE_AAAA || data.len != sizeof(out->v6.sin6_addr))
        return false;
    out->v6.sin6_family = AF_INET6;
    out->len = sizeof(out->v6);
    memcpy(&out->v6.sin6_addr, data.data, data.len);
    return true;
}

/* Reads the next record; true when it is one to keep. */
static bool record_read(struct message *message, struct arena *arena, struct dns_record *out)
{
    char name[NAME_MAX_LEN];
    name_read(message, name);
    uint16_t type = reader_u16_be(&message->reader);
    uint16_t class = reader_u16_be(&message->reader);
    reader_skip(&message->reader, 4);
    struct bytes data = reader_bytes(&message->reader, reader_u16_be(&message->reader));
    if (message->reader.failed || class != CLASS_INTERNET)
        return false;
    *out = (struct dns_record){.type = type};
    if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA)
        return address_read(data, type, &out->address);
    if (type != DNS_TYPE_CNAME && type != DNS_TYPE_SRV)
        return false;
    /* Names in the data may refer to what stands before it, so they are read in the message. */
    struct message inner = {message->bytes, {data.data, data.data + data.len, false}};
    if (type == DNS_TYPE_SRV) {
        reader_skip(&inner.reader, 4); /* priority and weight */
        out->port = reader_u16_be(&inner.reader);
    }
    out->target = arena_str(arena, name_read(&inner, name));
    if (inner.reader.failed)
        reader_fail(&message->reader);
    return out->target.len > 0;
}

struct error *dns_answer_decode(struct bytes bytes, struct arena *arena, struct dns_answer *out)
{
    char name[NAME_MAX_LEN];
    struct message message = {bytes, reader_create(bytes)};
    *out = (struct dns_answer){0};
    reader_skip(&message.reader, 4);
    size_t questions = reader_u16_be(&message.reader), answers = reader_u16_be(&message.reader);
    reader_skip(&message.reader, HEADER_SIZE - 8);
    for (size_t i = 0; i < questions && !message.reader.failed; i++) {
        name_read(&message, name);
        reader_skip(&message.reader, 4);
    }
    if (answers > reader_left(&message.reader) / RECORD_MIN_SIZE)
        reader_fail(&message.reader);
    else
        out->records = arena_array(arena, answers, sizeof(*out->records));
    for (size_t i = 0; i < answers && !message.reader.failed; i++)
        out->count += record_read(&message, arena, &out->records[out->count]);
    return reader_error(&message.reader, "DNS answer");
}
