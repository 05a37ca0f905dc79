/* api/blocks_api.h: the block viewer's API of the store gateway: what is loaded, and marks. */
#pragma once

#include "net/http_server.h"

struct bucket;
struct bucket_store;
struct log;
struct pool;

struct blocks_api {
    struct bucket_store *store;
    struct bucket *bucket;
    struct log *log;
    struct pool *pool;    /* where handlers run: they wait for the bucket */
    struct str label;     /* --bucket-web-label */
    bool marks_forbidden; /* --disable-admin-operations */
    struct str prefix;    /* of the routes: "" or "/foo" */
};

enum { BLOCKS_API_ROUTES = 2 };

/* Fills out[BLOCKS_API_ROUTES]; `api` and the arena must outlive the server. */
void blocks_api_routes(struct blocks_api *api, struct arena *arena, struct http_route *out);
