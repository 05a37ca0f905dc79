/* prometheus/reloader.h: keeps a Prometheus's configuration up to date: watches a template and
 * directories of rules, writes the template with $(NAME) replaced from the environment, and tells
 * Prometheus when something has changed.
 *
 * Changes are seen by events of the directories, a ConfigMap's swapped links included, and at the
 * latest after the watch interval. Events that come together count once. What fails leaves the last
 * good file where it is, shows in the log and in metrics, and is tried again. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct context;
struct log;
struct metrics;
struct reloader;

struct reloader_config {    /* texts outlive the reloader */
    struct str config_file; /* empty: none */
    struct str output_file; /* empty: the template is only watched */
    const struct str *rule_dirs;
    size_t rule_dir_count;
    int64_t watch_interval_ms; /* 0: applied once, without telling anybody */
    int64_t retry_interval_ms;
    /* Tells Prometheus to read its configuration, and waits for the outcome. */
    struct error *(*reload)(void *self, struct context *ctx);
    void *self;
    const char *method; /* "http", "signal": for thanos_sidecar_reloader_info */
    struct log *log;
    struct metrics *metrics;
};

struct reloader *reloader_create(const struct reloader_config *config);
void reloader_free(struct reloader *reloader);

/* Applies the configuration once; an error ends the component. */
MUST_CHECK struct error *reloader_start(struct reloader *reloader);
/* Tells Prometheus, then watches until ctx ends. */
void reloader_run(struct reloader *reloader, struct context *ctx);
