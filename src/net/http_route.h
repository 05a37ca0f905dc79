/* net/http_route.h: which route a path belongs to. */
#pragma once

#include <stddef.h>

#include "base/str.h"
#include "net/http_server.h"

enum route_result { ROUTE_FOUND, ROUTE_NOT_FOUND, ROUTE_OTHER_METHOD };

/* path is cleaned and decoded. *value: what the pattern's "*" stands for. The first route that fits
 * wins. A route of OPTIONS alone does not make a path known: others still get ROUTE_NOT_FOUND. */
enum route_result http_route_find(const struct http_route *routes, size_t count, struct str method,
                                  struct str path, const struct http_route **route,
                                  struct str *value);

/* Comma-separated methods of all routes that fit the path, for the header Allow. */
void http_route_methods(const struct http_route *routes, size_t count, struct str path,
                        struct buf *out);
