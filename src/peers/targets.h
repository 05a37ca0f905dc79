/* peers/targets.h: what a Prometheus scrapes. */
#pragma once

#include "peers/record.h"

enum targets_state { TARGETS_ANY, TARGETS_ACTIVE, TARGETS_DROPPED };
enum target_health { TARGET_DOWN, TARGET_UP, TARGET_UNKNOWN };

struct targets_question {
    int state; /* enum targets_state */
};

struct active_target {
    struct labels discovered_labels, labels;
    struct str scrape_pool, scrape_url, global_url, last_error;
    struct instant last_scrape;
    double last_scrape_seconds;
    int health; /* enum target_health */
};

struct dropped_target {
    struct labels discovered_labels;
};

struct targets {
    RECORDS(struct active_target) active;
    RECORDS(struct dropped_target) dropped;
};

extern const struct record_type targets_type;

/* All of the answers as one: replica labels (sorted, unique) taken out, sorted, of equal ones the
 * one in the worst health, then the one scraped last. The lists are in the arena. */
struct targets targets_join(const struct targets *answers, size_t count, struct arena *arena,
                            const struct str *replica_labels, size_t replica_label_count);
