/* net/dns_wire.h: reads the answer section of a DNS message (RFC 1035, 2782, 3596). */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "net/address.h"

enum dns_type { DNS_TYPE_A = 1, DNS_TYPE_CNAME = 5, DNS_TYPE_AAAA = 28, DNS_TYPE_SRV = 33 };

struct dns_record {
    enum dns_type type;
    struct address address; /* of A and AAAA; its port is 0 */
    struct str target;      /* of SRV and CNAME, without the final dot */
    uint16_t port;          /* of SRV */
};

struct dns_answer {
    struct dns_record *records; /* in the message's order; of the types above only */
    size_t count;
};

/* Records and texts live in the arena. Records whose target is no host name (empty, strange bytes)
 * are left out. ERROR_CORRUPT for a message that is malformed. */
MUST_CHECK struct error *dns_answer_decode(struct bytes message, struct arena *arena,
                                           struct dns_answer *out);
