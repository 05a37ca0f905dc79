#include "runtime/file_watch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/memory.h"
#include "runtime/context.h"

enum {
    QUIET_MS = 50,      /* a file is written in several steps */
    QUIET_MAX_MS = 500, /* ... but a busy directory must not hold it up */
    EVENTS = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_MODIFY |
             IN_DELETE_SELF | IN_MOVE_SELF,
};

struct file_watch {
    int inotify; /* -1: not there */
    int wake;
};

struct file_watch *file_watch_create(void)
{
    struct file_watch *watch = xcalloc(1, sizeof(*watch));
    watch->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    watch->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (watch->wake < 0)
        bug("eventfd: no descriptor");
    return watch;
}

void file_watch_free(struct file_watch *watch)
{
    if (!watch)
        return;
    if (watch->inotify >= 0)
        close(watch->inotify);
    close(watch->wake);
    free(watch);
}

void file_watch_add(struct file_watch *watch, struct str path)
{
    size_t len = path.len;
    while (len && path.data[len - 1] != '/')
        len--;
    char *directory = len ? str_dup(str_slice(path, 0, len)) : xstrdup(".");
    if (watch->inotify >= 0) /* a failure shows as a change that is seen late */
        (void)!inotify_add_watch(watch->inotify, directory, EVENTS);
    free(directory);
}

static bool drain(struct file_watch *watch)
{
    _Alignas(struct inotify_event) char events[4096];
    bool any = false;
    while (watch->inotify >= 0 && read(watch->inotify, events, sizeof(events)) > 0)
        any = true;
    return any;
}

void file_watch_wake(struct file_watch *watch)
{
    uint64_t one = 1;
    (void)!write(watch->wake, &one, sizeof(one));
}

static void wake(void *arg)
{
    file_watch_wake(arg);
}

bool file_watch_wait(struct file_watch *watch, struct context *ctx, int64_t ms)
{
    struct context_hook hook = {.fn = wake, .arg = watch};
    uint64_t count;
    context_on_end(ctx, &hook);
    struct pollfd fds[2] = {{watch->wake, POLLIN, 0}, {watch->inotify, POLLIN, 0}};
    int timeout = ms < 0 || ms > INT32_MAX ? -1 : (int)ms;
    while (poll(fds, watch->inotify >= 0 ? 2 : 1, timeout) < 0 && errno == EINTR) {
    }
    bool changed = drain(watch);
    for (int waited = 0; changed && waited < QUIET_MAX_MS && !context_ended(ctx);
         waited += QUIET_MS) {
        fds[1].revents = 0;
        poll(&fds[1], 1, QUIET_MS);
        if (!drain(watch))
            break;
    }
    (void)!read(watch->wake, &count, sizeof(count));
    context_off_end(ctx, &hook);
    return changed;
}
