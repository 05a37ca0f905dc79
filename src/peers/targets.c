#include "peers/targets.h"

#include <stdlib.h>

/* -- their form -- */

static const char *const healths[] = {"down", "up", "unknown"};
static const struct enum_names health_names = {healths, countof(healths)};

#define ACTIVE(member) offsetof(struct active_target, member)
static const struct field active_fields[] = {
    {1, "discoveredLabels", FIELD_LABELS, ACTIVE(discovered_labels)},
    {2, "labels", FIELD_LABELS, ACTIVE(labels)},
    {3, "scrapePool", FIELD_STR, ACTIVE(scrape_pool)},
    {4, "scrapeUrl", FIELD_STR, ACTIVE(scrape_url)},
    {5, "globalUrl", FIELD_STR, ACTIVE(global_url)},
    {6, "lastError", FIELD_STR, ACTIVE(last_error)},
    {7, "lastScrape", FIELD_TIME, ACTIVE(last_scrape)},
    {8, "lastScrapeDuration", FIELD_DOUBLE, ACTIVE(last_scrape_seconds)},
    {9, "health", FIELD_ENUM, ACTIVE(health), .of = &health_names},
};
static const struct record_type active_type = RECORD_TYPE(struct active_target, active_fields);

static const struct field dropped_fields[] = {
    {1, "discoveredLabels", FIELD_LABELS, offsetof(struct dropped_target, discovered_labels)},
};
static const struct record_type dropped_type = RECORD_TYPE(struct dropped_target, dropped_fields);

static const struct field targets_fields[] = {
    {1, "activeTargets", FIELD_RECORDS, offsetof(struct targets, active), .of = &active_type},
    {2, "droppedTargets", FIELD_RECORDS, offsetof(struct targets, dropped), .of = &dropped_type},
};
const struct record_type targets_type = RECORD_TYPE(struct targets, targets_fields);

/* -- joining -- */

/* Zero: the same target. */
static int compare_active(const struct active_target *a, const struct active_target *b)
{
    int order = str_compare(a->scrape_url, b->scrape_url);
    if (!order)
        order = str_compare(a->scrape_pool, b->scrape_pool);
    if (!order)
        order = labels_compare(a->discovered_labels, b->discovered_labels);
    return order ? order : labels_compare(a->labels, b->labels);
}

static int compare_active_by_worth(const void *left, const void *right)
{
    const struct active_target *a = left, *b = right;
    int order = compare_active(a, b);
    if (!order)
        order = a->health - b->health;
    return order ? order : instant_compare(b->last_scrape, a->last_scrape);
}

static int compare_dropped(const void *left, const void *right)
{
    const struct dropped_target *a = left, *b = right;
    return labels_compare(a->discovered_labels, b->discovered_labels);
}

static void dedup(struct targets *targets)
{
    struct active_target *active = targets->active.items;
    struct dropped_target *dropped = targets->dropped.items;
    size_t kept = 0;
    if (targets->active.count)
        qsort(active, targets->active.count, sizeof(*active), compare_active_by_worth);
    for (size_t i = 0; i < targets->active.count; i++)
        if (kept == 0 || compare_active(&active[kept - 1], &active[i]) != 0)
            active[kept++] = active[i];
    targets->active.count = kept;
    if (targets->dropped.count)
        qsort(dropped, targets->dropped.count, sizeof(*dropped), compare_dropped);
    kept = 0;
    for (size_t i = 0; i < targets->dropped.count; i++)
        if (kept == 0 || compare_dropped(&dropped[kept - 1], &dropped[i]) != 0)
            dropped[kept++] = dropped[i];
    targets->dropped.count = kept;
}

struct targets targets_join(const struct targets *answers, size_t count, struct arena *arena,
                            const struct str *replica_labels, size_t replica_label_count)
{
    struct targets all = {0};
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < answers[i].active.count; j++) {
            struct active_target *target = records_add(&all.active, arena);
            *target = answers[i].active.items[j];
            target->labels =
                labels_without(arena, target->labels, replica_labels, replica_label_count);
            target->discovered_labels = labels_without(arena, target->discovered_labels,
                                                       replica_labels, replica_label_count);
        }
        for (size_t j = 0; j < answers[i].dropped.count; j++) {
            struct dropped_target *target = records_add(&all.dropped, arena);
            target->discovered_labels =
                labels_without(arena, answers[i].dropped.items[j].discovered_labels, replica_labels,
                               replica_label_count);
        }
    }
    dedup(&all);
    return all;
}
