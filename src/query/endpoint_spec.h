/* query/endpoint_spec.h: what is configured of one endpoint, or was found by discovery. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"
#include "net/tls_config.h"

struct endpoint_tls {
    bool enabled; /* else in the clear, and the rest does not matter */
    struct tls_client_config config;
};

struct endpoint_spec {
    struct str address;  /* its name everywhere: "10.0.0.1:10901"; of a group "thanos:///<name>" */
    bool is_strict;      /* always asked, whatever its health */
    bool is_group;       /* calls take turns over its members */
    struct str *members; /* of a group: "host:port", as they are now; not part of its identity */
    size_t member_count;
    bool in_order; /* of a group: calls go to the first member that can be reached */
    bool compress;
    struct endpoint_tls tls;
};

struct endpoint_specs {
    struct endpoint_spec *items;
    size_t count;
    bool is_complete; /* every source has been asked at least once */
};

/* How the set asks for them, at the beginning of each round; everything lives in the arena. */
typedef void (*endpoint_specs_fn)(void *self, struct arena *arena, struct endpoint_specs *out);

bool endpoint_tls_equal(const struct endpoint_tls *a, const struct endpoint_tls *b);
/* Whether one can go on in the other's place. */
bool endpoint_spec_equal(const struct endpoint_spec *a, const struct endpoint_spec *b);
struct endpoint_tls endpoint_tls_copy(struct arena *arena, const struct endpoint_tls *tls);
/* Deep, members included. */
struct endpoint_spec endpoint_spec_copy(struct arena *arena, const struct endpoint_spec *spec);
