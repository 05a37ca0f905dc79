/* net/address.h: "host:port" as text and as socket addresses. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/str.h"

struct addrinfo;

struct address { /* one IPv4 or IPv6 address with its port */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t len;
};

enum { ADDRESS_TEXT_MAX = 80 }; /* with the NUL: "[...]:65535" and a zone */

/* Cuts "host:port" into views of text; host may be empty ("":80) or in brackets ("[::1]:80"), which
 * are taken off. ERROR_INVALID in Go's words: "address x: missing port in address". */
MUST_CHECK struct error *address_split(struct str text, struct str *host, struct str *port);
/* True when host is a literal IP address. */
bool address_from_literal(struct str host, uint16_t port, struct address *out);
/* Decimal, 0 to 65535. */
bool address_port(struct str port, uint16_t *out);
bool address_from_addrinfo(const struct addrinfo *info, struct address *out); /* false: not IP */
/* "127.0.0.1:80", "[::1]:80"; gives the length. */
size_t address_format(const struct address *address, char out[ADDRESS_TEXT_MAX]);

/* What Go prints for an errno: glibc's text with a small first letter. Static or per thread. */
const char *address_errno_text(int code);
