/* A file, with all there is:
 *
 *     default_client_config: {tls_config: {...}, server_name: x, compression: none}
 *     endpoints:
 *     - address: dns+sidecar.example:10901
 *       group: true
 *       strict: false
 *       service_config: '{"loadBalancingPolicy": "round_robin"}'
 *       client_config:
 *         tls_config: {enabled: true, insecure_skip_verify: false, cert_file: a, key_file: b,
 *                      ca_file: c, min_version: "1.3"}
 *         server_name: x
 *         compression: snappy
 *
 * TLS of an endpoint: without any field of its own that of the default, and without that of the
 * flags. With `enabled` the fields not given are plain defaults; without it they are those of the
 * default (or the flags), and a certificate, key, CA or skip turns TLS on. */
#include "query/endpoint_config.h"

#include "codec/json.h"
#include "codec/yaml.h"
#include "net/address.h"
#include "net/dns_provider.h"
#include "runtime/log.h"

/* A client_config as it stands there. Texts that are not given have no data. */
struct client {
    bool has_enabled, enabled, has_skip_verify, skip_verify;
    bool has_min_version;
    enum tls_version min_version;
    struct str certificate_file, key_file, ca_file, server_name, compression;
};

/* -- reading -- */

static void warn_of_unknown(struct log *log, const struct yaml_node *node, const char *const *names,
                            size_t count)
{
    for (size_t i = 0; node && node->kind == YAML_MAPPING && i < node->count; i++) {
        const struct yaml_node *key = node->pairs[i].key;
        size_t at = 0;
        while (at < count && !str_equal(key->text, str_from(names[at])))
            at++;
        if (at == count)
            log_warn(log, "unknown key in the configuration of endpoints is passed over",
                     KV("key", key->text), KV("line", key->line));
    }
}

/* Leaves *out without data when the key is absent or null. */
static struct error *get_str(const struct yaml_node *node, const char *key, struct str *out)
{
    const struct yaml_node *value = yaml_get(node, key);
    if (yaml_is_null(value) && !(value && value->is_text))
        return NULL;
    return error_wrap(yaml_str(value, out), "%s", key);
}

static struct error *get_bool(const struct yaml_node *node, const char *key, bool *has, bool *out)
{
    const struct yaml_node *value = yaml_get(node, key);
    if (yaml_is_null(value))
        return NULL;
    *has = true;
    return error_wrap(yaml_bool(value, out), "%s", key);
}

static struct error *tls_read(struct log *log, const struct yaml_node *node, struct client *out)
{
    static const char *const keys[] = {"enabled", "insecure_skip_verify", "cert_file", "key_file",
                                       "ca_file", "min_version"};
    struct str version = {0};
    warn_of_unknown(log, node, keys, countof(keys));
    struct error *err = yaml_expect(node, YAML_MAPPING);
    if (!err)
        err = get_bool(node, "enabled", &out->has_enabled, &out->enabled);
    if (!err)
        err = get_bool(node, "insecure_skip_verify", &out->has_skip_verify, &out->skip_verify);
    if (!err)
        err = get_str(node, "cert_file", &out->certificate_file);
    if (!err)
        err = get_str(node, "key_file", &out->key_file);
    if (!err)
        err = get_str(node, "ca_file", &out->ca_file);
    if (!err)
        err = get_str(node, "min_version", &version);
    out->has_min_version = version.len > 0;
    if (!err && version.len)
        err = tls_version_parse(version, &out->min_version);
    return err;
}

static struct error *client_read(struct log *log, const struct yaml_node *node, struct client *out)
{
    static const char *const keys[] = {"tls_config", "server_name", "compression"};
    *out = (struct client){0};
    warn_of_unknown(log, node, keys, countof(keys));
    struct error *err = yaml_expect(node, YAML_MAPPING);
    if (!err)
        err = error_wrap(tls_read(log, yaml_get(node, "tls_config"), out), "tls_config");
    if (!err)
        err = get_str(node, "server_name", &out->server_name);
    if (!err)
        err = get_str(node, "compression", &out->compression);
    if (!err && out->compression.len && !str_equal(out->compression, STR("none")) &&
        !str_equal(out->compression, STR("snappy")))
        err = error_create(ERROR_INVALID, "invalid compression: %.*s, must be 'none' or 'snappy'",
                           STR_ARG(out->compression));
    return err;
}

/* -- TLS and compression of an endpoint -- */

static bool client_names_files(const struct client *client)
{
    return client->certificate_file.data || client->key_file.data || client->ca_file.data ||
           client->has_skip_verify;
}

static bool client_has_tls(const struct client *client)
{
    return client->has_enabled || client_names_files(client) || client->has_min_version ||
           client->server_name.len;
}

static struct str str_or(struct str s, struct str otherwise)
{
    return s.data ? s : otherwise;
}

static const struct endpoint_tls plain_tls = {.config = {.min_version = TLS_VERSION_1_3}};

static struct endpoint_tls client_tls(const struct client *client,
                                      const struct endpoint_tls *global)
{
    const struct tls_client_config *fallback =
        client->has_enabled ? &plain_tls.config : &global->config;
    if (!client_has_tls(client))
        return *global;
    return (struct endpoint_tls){
        .enabled =
            client->has_enabled ? client->enabled : client_names_files(client) || global->enabled,
        .config = {
            .skip_verify = client->has_skip_verify ? client->skip_verify : fallback->skip_verify,
            .certificate_file = str_or(client->certificate_file, fallback->certificate_file),
            .key_file = str_or(client->key_file, fallback->key_file),
            .ca_file = str_or(client->ca_file, fallback->ca_file),
            .min_version = client->has_min_version ? client->min_version : fallback->min_version,
            .server_name = client->server_name,
        }};
}

static bool client_compress(const struct client *client, bool otherwise)
{
    return client->compression.len ? str_equal(client->compression, STR("snappy")) : otherwise;
}

/* -- entries -- */

struct error *endpoint_address_check(struct str address)
{
    struct str host, port;
    uint16_t number;
    if (address.len == 0)
        return error_create(ERROR_INVALID, "address of an endpoint is empty");
    if (dns_is_dynamic(address))
        return NULL;
    struct error *err = address_split(address, &host, &port);
    if (err)
        return error_wrap(err, "endpoint %.*s", STR_ARG(address));
    if (host.len == 0 || !address_port(port, &number) || number == 0)
        return error_create(ERROR_INVALID, "endpoint %.*s: not a host:port", STR_ARG(address));
    return NULL;
}

/* Of gRPC's service configuration what a group can do: {"loadBalancingPolicy": "pick_first"}, or
 * {"loadBalancingConfig": [{"pick_first": {}}]}. All else is round robin, which is the default. */
static struct error *service_config_read(struct str text, struct arena *arena, bool *in_order)
{
    struct json_reader reader = json_read(text, arena);
    struct str key, policy = STR("");
    if (json_peek(&reader) != JSON_OBJECT)
        json_fail(&reader, "not an object");
    if (json_object(&reader))
        while (json_key(&reader, &key)) {
            if (str_equal(key, STR("loadBalancingPolicy"))) {
                policy = json_str(&reader);
            } else if (str_equal(key, STR("loadBalancingConfig")) && json_array(&reader)) {
                while (json_item(&reader))
                    if (json_object(&reader))
                        while (json_key(&reader, &key)) {
                            policy = policy.len ? policy : key;
                            json_skip(&reader);
                        }
            } else {
                json_skip(&reader);
            }
        }
    *in_order = str_equal(policy, STR("pick_first"));
    return json_finish(&reader, "service_config");
}

static struct error *config_add(struct endpoint_config *config, struct endpoint_entry entry)
{
    entry.is_dynamic = dns_is_dynamic(entry.address);
    struct error *err = endpoint_address_check(entry.address);
    if (!err && entry.is_dynamic && entry.is_strict)
        err = error_create(ERROR_INVALID,
                           "%.*s is a dynamically specified endpoint i.e. it uses SD and that is "
                           "not permitted under strict mode.",
                           STR_ARG(entry.address));
    config->items[config->count++] = entry;
    return err;
}

static struct error *entry_read(struct endpoint_config *config, const struct yaml_node *node,
                                struct log *log)
{
    static const char *const keys[] = {"strict", "group", "address", "service_config",
                                       "client_config"};
    struct endpoint_entry entry = {0};
    struct str service_config = STR("");
    struct client client;
    bool has;
    warn_of_unknown(log, node, keys, countof(keys));
    struct error *err = yaml_expect(node, YAML_MAPPING);
    if (!err)
        err = get_str(node, "address", &entry.address);
    if (!err)
        err = get_bool(node, "strict", &has, &entry.is_strict);
    if (!err)
        err = get_bool(node, "group", &has, &entry.is_group);
    if (!err)
        err = get_str(node, "service_config", &service_config);
    if (!err)
        err = error_wrap(client_read(log, yaml_get(node, "client_config"), &client),
                         "endpoint %.*s", STR_ARG(entry.address));
    if (err)
        return err;
    if (service_config.len && !entry.is_group)
        err = error_create(ERROR_INVALID, "%.*s service_config is only valid for endpoint groups.",
                           STR_ARG(entry.address));
    else if (service_config.len)
        err = error_wrap(service_config_read(service_config, config->arena, &entry.in_order),
                         "endpoint %.*s", STR_ARG(entry.address));
    if (err)
        return err;
    entry.tls = client_tls(&client, &config->tls);
    entry.compress = client_compress(&client, config->compress);
    return config_add(config, entry);
}

static struct error *add_flags(struct endpoint_config *config, const struct str *addresses,
                               size_t count, bool is_group, bool is_strict)
{
    struct error *err = NULL;
    for (size_t i = 0; i < count && !err; i++)
        err = config_add(config, (struct endpoint_entry){.address = addresses[i],
                                                         .is_group = is_group,
                                                         .is_strict = is_strict,
                                                         .compress = config->compress,
                                                         .tls = config->tls});
    return err;
}

static struct error *config_read(struct endpoint_config *config, const struct yaml_node *root,
                                 const struct endpoint_flags *flags, struct log *log)
{
    static const char *const keys[] = {"default_client_config", "endpoints"};
    const struct yaml_node *list = yaml_get(root, "endpoints");
    struct client client;
    warn_of_unknown(log, root, keys, countof(keys));
    struct error *err = yaml_expect(root, YAML_MAPPING);
    if (!err)
        err = error_wrap(client_read(log, yaml_get(root, "default_client_config"), &client),
                         "default_client_config");
    if (!err) {
        config->tls = client_tls(&client, &plain_tls);
        if (!client_has_tls(&client))
            config->tls = flags->tls;
        config->compress = client_compress(&client, flags->compress);
        err = error_wrap(yaml_expect(list, YAML_SEQUENCE), "endpoints");
    }
    for (size_t i = 0; list && i < list->count && !err; i++)
        err = entry_read(config, list->items[i], log);
    return err;
}

struct error *endpoint_config_parse(struct str text, const struct endpoint_flags *flags,
                                    struct log *log, struct arena *arena,
                                    struct endpoint_config *out)
{
    struct yaml_node *root = NULL;
    *out = (struct endpoint_config){.arena = arena};
    struct error *err = text.len ? yaml_parse(text, arena, &root) : NULL;
    const struct yaml_node *list = yaml_get(root, "endpoints");
    size_t listed = list && list->kind == YAML_SEQUENCE ? list->count : 0;
    size_t flagged =
        flags->plain_count + flags->group_count + flags->strict_count + flags->strict_group_count;
    out->items = arena_array(arena, listed + flagged, sizeof(*out->items));
    if (!err)
        err = config_read(out, root, flags, log);
    if (!err)
        err = add_flags(out, flags->plain, flags->plain_count, false, false);
    if (!err)
        err = add_flags(out, flags->groups, flags->group_count, true, false);
    if (!err)
        err = add_flags(out, flags->strict, flags->strict_count, false, true);
    if (!err)
        err = add_flags(out, flags->strict_groups, flags->strict_group_count, true, true);
    return err;
}
