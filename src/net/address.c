#include "net/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

static struct error *address_error(struct str text, const char *what)
{
    return error_create(ERROR_INVALID, "address %.*s: %s", STR_ARG(text), what);
}

static size_t find_last_colon(struct str text)
{
    for (size_t i = text.len; i > 0; i--)
        if (text.data[i - 1] == ':')
            return i - 1;
    return text.len;
}

struct error *address_split(struct str text, struct str *host, struct str *port)
{
    size_t colon = find_last_colon(text);
    if (colon == text.len)
        return address_error(text, "missing port in address");
    struct str before = str_slice(text, 0, colon);
    *port = str_slice(text, colon + 1, text.len);
    if (before.len && before.data[0] == '[') {
        size_t close = str_find_char(text, ']');
        if (close == text.len)
            return address_error(text, "missing ']' in address");
        if (close + 1 != colon)
            return address_error(text, close + 1 == text.len ? "missing port in address"
                                                             : "too many colons in address");
        *host = str_slice(text, 1, close);
    } else {
        if (str_find_char(before, ':') != before.len)
            return address_error(text, "too many colons in address");
        *host = before;
    }
    if (str_find_char(*host, '[') != host->len)
        return address_error(text, "unexpected '[' in address");
    if (str_find_char(*host, ']') != host->len)
        return address_error(text, "unexpected ']' in address");
    return NULL;
}

bool address_port(struct str port, uint16_t *out)
{
    uint64_t value;
    if (port.len > 5 || !str_to_uint64(port, &value) || value > UINT16_MAX)
        return false;
    *out = (uint16_t)value;
    return true;
}

bool address_from_literal(struct str host, uint16_t port, struct address *out)
{
    char text[ADDRESS_TEXT_MAX];
    if (host.len == 0 || host.len >= sizeof(text))
        return false;
    memcpy(text, host.data, host.len);
    text[host.len] = 0;
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        out->len = sizeof(out->v4);
        return true;
    }
    char *zone = strchr(text, '%');
    if (zone)
        *zone++ = 0;
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) != 1)
        return false;
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(port);
    out->v6.sin6_scope_id = zone ? if_nametoindex(zone) : 0;
    out->len = sizeof(out->v6);
    return !zone || out->v6.sin6_scope_id;
}

bool address_from_addrinfo(const struct addrinfo *info, struct address *out)
{
    if ((info->ai_family != AF_INET && info->ai_family != AF_INET6) ||
        info->ai_addrlen > sizeof(out->v6))
        return false;
    memset(out, 0, sizeof(*out));
    memcpy(&out->any, info->ai_addr, info->ai_addrlen);
    out->len = info->ai_addrlen;
    return true;
}

static uint16_t address_port_of(const struct address *address)
{
    return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
}

size_t address_format(const struct address *address, char out[ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";
    int len;
    if (address->any.sa_family == AF_INET6) {
        bool mapped = IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr);
        if (mapped)
            inet_ntop(AF_INET, &address->v6.sin6_addr.s6_addr[12], host, sizeof(host));
        else
            inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof(host));
        len = snprintf(out, ADDRESS_TEXT_MAX, mapped ? "%s:%u" : "[%s]:%u", host,
                       address_port_of(address));
    } else {
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof(host));
        len = snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", host, address_port_of(address));
    }
    return (size_t)len;
}

const char *address_errno_text(int code)
{
    static _Thread_local char text[128];
    char scratch[128];
    snprintf(text, sizeof(text), "%s", strerror_r(code, scratch, sizeof(scratch)));
    if (!isupper((unsigned char)text[1]))
        text[0] = (char)tolower((unsigned char)text[0]);
    return text;
}
