/* query/endpoint_config.h: which endpoints there are to be: the YAML of --endpoint.sd-config and
 * the flags of old, as one list. */
#pragma once

#include "base/error.h"
#include "query/endpoint_spec.h"

struct log;

/* What the flags say; the texts must live as long as what is made of them. */
struct endpoint_flags {
    const struct str *plain, *groups, *strict, *strict_groups;
    size_t plain_count, group_count, strict_count, strict_group_count;
    struct endpoint_tls tls; /* of --grpc-client-*: what a partial TLS section falls back to */
    bool compress;
};

struct endpoint_entry {
    struct str address; /* as written: a group has no "thanos:///" here */
    bool is_strict, is_group;
    bool is_dynamic; /* a dns+ name */
    bool in_order;   /* of a group: pick_first */
    bool compress;
    struct endpoint_tls tls;
};

struct endpoint_config {
    struct arena *arena;          /* the caller's */
    struct endpoint_entry *items; /* of the YAML, then of the flags */
    size_t count;
    /* For what is found in files: */
    bool compress;
    struct endpoint_tls tls;
};

/* Everything lives in the arena. Unknown keys are said in the log and passed over. ERROR_INVALID
 * for text that is no YAML or not of its shape; for a dns+ name that is strict, a service_config
 * that is no JSON or not of a group, an unknown compression or TLS version, an address that is
 * none. */
MUST_CHECK struct error *endpoint_config_parse(struct str yaml, const struct endpoint_flags *flags,
                                               struct log *log, struct arena *arena,
                                               struct endpoint_config *out);
/* That an address is host:port, or a name for discovery. */
MUST_CHECK struct error *endpoint_address_check(struct str address);
