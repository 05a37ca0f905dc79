/* test/unit/api/api_fixture.h: the API over a store in memory, called without a network. */
#pragma once

#include "api/query_api.h"
#include "base/buf.h"
#include "net/http_server.h"
#include "support/memory_store.h"

struct api_fixture {
    struct memory_store *store;
    struct engine *engine;
    struct query_api *api;
    struct query_api_config config;
    struct budget *budget;
    struct buf answer; /* "200 {...}" of the last request */
    bool no_store, cors;
};

/* Change config before the first request. */
void api_fixture_init(struct api_fixture *fixture);
void api_fixture_deinit(struct api_fixture *fixture);

/* target as in a request line; form is the body of a POST, NULL for none. */
struct str api_request(struct api_fixture *fixture, const char *method, const char *target,
                       const char *form);
struct str api_get(struct api_fixture *fixture, const char *target);
