#include "query/endpoint_spec.h"

bool endpoint_tls_equal(const struct endpoint_tls *a, const struct endpoint_tls *b)
{
    const struct tls_client_config *x = &a->config, *y = &b->config;
    if (!a->enabled || !b->enabled)
        return a->enabled == b->enabled;
    return x->skip_verify == y->skip_verify && x->min_version == y->min_version &&
           str_equal(x->certificate_file, y->certificate_file) &&
           str_equal(x->key_file, y->key_file) && str_equal(x->ca_file, y->ca_file) &&
           str_equal(x->server_name, y->server_name);
}

bool endpoint_spec_equal(const struct endpoint_spec *a, const struct endpoint_spec *b)
{
    return str_equal(a->address, b->address) && a->is_strict == b->is_strict &&
           a->is_group == b->is_group && a->in_order == b->in_order && a->compress == b->compress &&
           endpoint_tls_equal(&a->tls, &b->tls);
}

struct endpoint_tls endpoint_tls_copy(struct arena *arena, const struct endpoint_tls *tls)
{
    struct endpoint_tls copy = *tls;
    copy.config.certificate_file = arena_str(arena, tls->config.certificate_file);
    copy.config.key_file = arena_str(arena, tls->config.key_file);
    copy.config.ca_file = arena_str(arena, tls->config.ca_file);
    copy.config.server_name = arena_str(arena, tls->config.server_name);
    return copy;
}

struct endpoint_spec endpoint_spec_copy(struct arena *arena, const struct endpoint_spec *spec)
{
    struct endpoint_spec copy = *spec;
    copy.address = arena_str(arena, spec->address);
    copy.tls = endpoint_tls_copy(arena, &spec->tls);
    copy.members = arena_array(arena, spec->member_count, sizeof(*copy.members));
    for (size_t i = 0; i < spec->member_count; i++)
        copy.members[i] = arena_str(arena, spec->members[i]);
    return copy;
}
