#include "objstore/bucket_config.h"

#include "codec/yaml.h"
#include "objstore/bucket_filesystem.h"
#include "objstore/bucket_metrics.h"
#include "objstore/bucket_prefix.h"
#include "objstore/bucket_s3.h"

static struct error *open_filesystem(const struct yaml_node *config, const struct bucket_env *env,
                                     struct bucket **out)
{
    static const char *const keys[] = {"directory"};
    struct str directory = STR("");
    struct error *err = yaml_check_keys(config, keys, countof(keys), "filesystem.Config");
    if (!err)
        err = yaml_str(yaml_get(config, "directory"), &directory);
    return err ? err : bucket_filesystem_create(directory, env->files, out);
}

static struct error *open_s3(const struct yaml_node *config, const struct bucket_env *env,
                             struct bucket **out)
{
    return bucket_s3_create(config, env->loops, env->log, out);
}

/* open NULL: Thanos has it, Titan not yet. */
static const struct bucket_provider {
    struct str type;
    struct error *(*open)(const struct yaml_node *config, const struct bucket_env *env,
                          struct bucket **out);
} bucket_providers[] = {
    {STR_INIT("FILESYSTEM"), open_filesystem},
    {STR_INIT("S3"), open_s3},
    {STR_INIT("GCS"), NULL},
    {STR_INIT("AZURE"), NULL},
    {STR_INIT("SWIFT"), NULL},
    {STR_INIT("COS"), NULL},
    {STR_INIT("ALIYUNOSS"), NULL},
    {STR_INIT("BOS"), NULL},
    {STR_INIT("OCI"), NULL},
    {STR_INIT("OBS"), NULL},
};

static struct error *open_type(struct str type, const struct yaml_node *config,
                               const struct bucket_env *env, struct bucket **out)
{
    for (size_t i = 0; i < countof(bucket_providers); i++) {
        const struct bucket_provider *provider = &bucket_providers[i];
        if (!str_equal_nocase(provider->type, type))
            continue;
        if (!provider->open)
            return error_create(ERROR_INVALID, "object stores of type %.*s are not supported yet",
                                STR_ARG(provider->type));
        return provider->open(config, env, out);
    }
    return error_create(ERROR_INVALID, "bucket with type %.*s is not supported", STR_ARG(type));
}

struct error *bucket_open(struct str yaml, const struct bucket_env *env, struct bucket **out)
{
    static const char *const keys[] = {"type", "config", "prefix"};
    struct arena *arena = arena_create(NULL);
    struct yaml_node *root = NULL;
    struct str type = STR(""), prefix = STR("");
    struct error *err = yaml_parse(yaml, arena, &root);
    *out = NULL;
    if (!err)
        err = yaml_check_keys(root, keys, countof(keys), "client.BucketConfig");
    if (!err)
        err = yaml_str(yaml_get(root, "type"), &type);
    if (!err)
        err = yaml_str(yaml_get(root, "prefix"), &prefix);
    if (!err)
        err = open_type(type, yaml_get(root, "config"), env, out);
    if (!err) {
        *out = bucket_prefix_create(*out, prefix);
        if (env->metrics)
            *out = bucket_metrics_create(*out, env->metrics);
    }
    arena_unref(arena);
    return error_wrap(err, "object store configuration");
}
