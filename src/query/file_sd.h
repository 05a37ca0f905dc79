/* query/file_sd.h: addresses from files in Prometheus's file_sd format (--store.sd-files). One
 * thread at a time. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

struct file_sd;
struct file_watch;
struct log;

/* patterns: paths that end in .json, .yml or .yaml, with a * in the last part at most;
 * ERROR_INVALID 'path name "x" is not valid for file discovery'. */
MUST_CHECK struct error *file_sd_create(const struct str *patterns, size_t count, struct log *log,
                                        struct file_sd **out);
void file_sd_free(struct file_sd *sd); /* NULL is fine */
/* Watches the directories that the files are, or will be, in. */
void file_sd_watch(const struct file_sd *sd, struct file_watch *watch);

/* Reads all files; true when the addresses are others than before. A file that cannot be read or
 * understood keeps what it had, one that is gone has nothing. */
bool file_sd_refresh(struct file_sd *sd);
/* Each once; the texts live until the next refresh. */
const struct str *file_sd_addresses(const struct file_sd *sd, size_t *count);

/* The targets of one file's text, in the arena. Labels are checked and ignored. */
MUST_CHECK struct error *file_sd_parse(struct str text, bool is_json, struct arena *arena,
                                       struct str **targets, size_t *count);
