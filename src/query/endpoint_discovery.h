/* query/endpoint_discovery.h: where the endpoints of a query come from: flags, the file of
 * --endpoint.sd-config, the files of --store.sd-files, DNS. One thread looks after all of them:
 * files are read again when they change, names are looked up every few seconds. */
#pragma once

#include "net/dns_lookup.h"
#include "query/endpoint_config.h"

struct endpoint_discovery;
struct event_loops;
struct log;
struct metrics;

struct endpoint_discovery_config {
    struct event_loops *loops;
    struct endpoint_flags flags;
    struct str sd_config;      /* the text given, or */
    struct str sd_config_path; /* its file */
    int64_t sd_config_reload_ms;
    const struct str *sd_files; /* patterns */
    size_t sd_file_count;
    int64_t sd_files_interval_ms;
    enum dns_resolver resolver;
    int64_t dns_interval_ms;
    const struct str *test_members; /* of every group, instead of what DNS says; usually none */
    size_t test_member_count;
    const char *dns_servers; /* as in dns_config */
    struct log *log;
    struct metrics *metrics;
};

/* Copies the configuration, but not the texts in it. Reads the file of --endpoint.sd-config: what
 * is wrong with it, or with an address, is the error (endpoint_config.h). */
MUST_CHECK struct error *endpoint_discovery_create(const struct endpoint_discovery_config *config,
                                                   struct endpoint_discovery **out);
/* From now on changed(arg) is called, on the thread of the discovery, when the endpoints are others
 * than before, and when all sources have been asked for the first time. Names that cannot be looked
 * up at first are tried again for some seconds until then. */
MUST_CHECK struct error *endpoint_discovery_start(struct endpoint_discovery *discovery,
                                                  void (*changed)(void *arg), void *arg);
void endpoint_discovery_stop(struct endpoint_discovery *discovery); /* waits for the thread */
void endpoint_discovery_free(struct endpoint_discovery *discovery); /* NULL is fine */

/* An endpoint_specs_fn: groups and fixed addresses, then what DNS and files gave. An address may be
 * there more than once: the last one counts. Any thread. */
void endpoint_discovery_specs(void *discovery, struct arena *arena, struct endpoint_specs *out);
