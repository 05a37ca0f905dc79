/* net/grpc_wire.h: what gRPC adds to HTTP/2, as bytes and text: messages with their five-byte
 * prefix, compression, timeouts, status texts. No sockets, no threads; used by both sides.
 *
 *     byte 0      1: compressed, 0: not
 *     bytes 1-4   length of what follows, big-endian
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "net/grpc_client.h" /* struct grpc_message */
#include "net/grpc_server.h" /* enum grpc_code */

enum { GRPC_PREFIX = 5 };

enum grpc_encoding { GRPC_IDENTITY, GRPC_GZIP, GRPC_SNAPPY };

const char *grpc_encoding_name(enum grpc_encoding encoding);
bool grpc_encoding_parse(struct str name, enum grpc_encoding *out); /* false: not known */
/* Appends prefix and message, compressed unless the encoding is identity. */
void grpc_frame_append(struct buf *out, struct bytes message, enum grpc_encoding encoding);
/* Writes a prefix. */
void grpc_prefix_write(uint8_t out[GRPC_PREFIX], bool compressed, size_t len);

/* grpc-status as received; a number that is not known is GRPC_UNKNOWN. False: not a number. */
bool grpc_code_parse(struct str text, enum grpc_code *out);
/* "rpc error: code = Unavailable desc = ...", of the code's kind. */
MUST_CHECK struct error *grpc_status_error(enum grpc_code code, struct str message);
/* Code of a response that is not gRPC, and of a reset stream. */
enum grpc_code grpc_code_of_http(int status);
enum grpc_code grpc_code_of_reset(uint32_t http2_code);

/* grpc-message: bytes outside 0x20-0x7e and '%' are %XX. Decoding takes broken escapes as they are.
 */
void grpc_message_text_encode(struct buf *out, struct str text);
void grpc_message_text_decode(struct buf *out, struct str text);

/* grpc-timeout: up to eight digits and a unit. Parsing rounds up to milliseconds, at most
 * INT64_MAX / 2; false when malformed. */
bool grpc_timeout_parse(struct str text, int64_t *ms);
void grpc_timeout_format(int64_t ms, char out[16]);

/* Undoes the compression of a received message: takes it and gives another. Fails with
 * ERROR_LIMIT (longer than max, budget) or ERROR_CORRUPT; the message is gone then too. */
MUST_CHECK struct error *grpc_message_expand(struct grpc_message *message,
                                             enum grpc_encoding encoding, size_t max,
                                             struct grpc_message **out);

/* Cuts a stream of bytes into messages. */
struct grpc_deframer {
    size_t message_max;
    struct budget *budget;
    uint8_t prefix[GRPC_PREFIX];
    size_t prefix_len;
    struct grpc_message *partial;
    size_t size, filled; /* of the partial message */
};
/* Takes bytes off the front of *in: up to the end of a message, which is then given in *out, or all
 * of them (*out NULL). Fails with ERROR_LIMIT for a message over the maximum or the budget, before
 * it is allocated, with ERROR_CORRUPT for a prefix that is none. */
MUST_CHECK struct error *grpc_deframe(struct grpc_deframer *deframer, struct bytes *in,
                                      struct grpc_message **out);
bool grpc_deframer_is_between(const struct grpc_deframer *deframer); /* nothing is half there */
void grpc_deframer_deinit(struct grpc_deframer *deframer);
