/* runtime/file_watch.h: waits for changes of files, by inotify on the directories they are in: that
 * also sees files that are replaced, come or go, and the symbolic links of Kubernetes. Where the
 * system has no inotify nothing is ever seen: callers look at their files now and then anyway. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct context;
struct file_watch;

struct file_watch *file_watch_create(void);
void file_watch_free(struct file_watch *watch); /* NULL is fine */

/* Watches the directory of a path. Again and again is fine, and needed where the directory itself
 * may be replaced. A directory that does not exist is not watched. */
void file_watch_add(struct file_watch *watch, struct str path);
/* Waits until something has happened in a watched directory and it is quiet again (true), somebody
 * wakes it, ms have passed (-1: for ever), or ctx has ended. One thread at a time. */
bool file_watch_wait(struct file_watch *watch, struct context *ctx, int64_t ms);
void file_watch_wake(struct file_watch *watch); /* any thread */
