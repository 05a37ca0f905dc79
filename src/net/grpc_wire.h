/* net/grpc_wire.h: what gRPC puts on HTTP/2: messages with a prefix of five bytes, timeouts, status
 * texts. Private to net/.
 *
 *     +---+---------------+----------------+
 *     | c | length, 4 B   | message        |     c: 0 as it is, 1 compressed with the stream's
 * grpc-encoding
 *     +---+---------------+----------------+ */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "net/grpc_client.h" /* struct grpc_message */
#include "net/grpc_server.h" /* enum grpc_code */

enum grpc_encoding { GRPC_IDENTITY, GRPC_GZIP, GRPC_SNAPPY, GRPC_UNKNOWN_ENCODING };
enum { GRPC_PREFIX = 5 };

enum grpc_encoding grpc_encoding_parse(struct str name); /* empty: identity */
const char *grpc_encoding_name(enum grpc_encoding encoding);

/* Appends a message with its prefix, compressed if the encoding says so. */
void grpc_frame(struct buf *out, struct bytes message, enum grpc_encoding encoding);

/* Cuts a stream of bytes into messages. Start with a zeroed one and the limits set. */
struct grpc_deframer {
    size_t message_max;
    struct budget *budget; /* pays for messages */
    enum grpc_encoding encoding;
    uint8_t prefix[GRPC_PREFIX];
    size_t prefix_len;
    struct grpc_message *message; /* being filled */
    size_t filled;
};

/* Takes from the front of *in. *out is a whole message, one reference for the caller, or NULL when
 * all of *in is used up. Fails with ERROR_LIMIT (longer than message_max, refused by the budget) or
 * ERROR_CORRUPT. */
MUST_CHECK struct error *grpc_deframe(struct grpc_deframer *deframer, struct bytes *in,
                                      struct grpc_message **out);
void grpc_deframer_deinit(struct grpc_deframer *deframer);
bool grpc_deframer_is_inside(const struct grpc_deframer *deframer); /* a message has begun */

/* One reference; charged to the budget (NULL: to none). */
MUST_CHECK struct error *grpc_message_create(struct budget *budget, size_t len,
                                             struct grpc_message **out);

/* grpc-message: bytes outside of printable ASCII, and %, as %XX. */
void grpc_status_encode(struct buf *out, struct str text);
void grpc_status_decode(struct buf *out, struct str text); /* broken escapes stay as they are */

/* grpc-timeout: "1500m". */
bool grpc_timeout_parse(struct str text, int64_t *ms); /* rounded up; false: malformed */
size_t grpc_timeout_format(int64_t ms, char out[16]);

/* "rpc error: code = Unavailable desc = ..." with a kind that fits. */
MUST_CHECK struct error *grpc_error(enum grpc_code code, struct str text);
enum error_kind grpc_kind_of(enum grpc_code code);
