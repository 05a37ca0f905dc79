/* peers/metric_metadata.h: type, help and unit of metrics, by name. */
#pragma once

#include "peers/record.h"

struct metadata_question {
    struct str metric; /* empty: all */
    int64_t limit;     /* of metrics; negative: none */
};

struct metric_meta {
    struct str type, help, unit;
};

struct metric_metas {
    RECORDS(struct metric_meta) metas;
};

struct metric_entry {
    struct str name;
    struct metric_metas value;
};

struct metric_metadata {
    RECORDS(struct metric_entry) entries;
};

extern const struct record_type metric_metadata_type;

/* In JSON a metric's name is a key: {"up":[{"type":"gauge","help":"","unit":""}]}. */
void metric_metadata_read_json(struct json_reader *reader, struct metric_metadata *out);
void metric_metadata_write_json(struct json_writer *json, const struct metric_metadata *metadata);

/* All of the answers as one, sorted by name, what is told of a metric once; with a limit of 0 or
 * more, not more metrics than that. In the arena. */
struct metric_metadata metric_metadata_join(const struct metric_metadata *answers, size_t count,
                                            int64_t limit, struct arena *arena);
