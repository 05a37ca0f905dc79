#include <stdlib.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "codec/pb.h"
#include "net/grpc_builtin.h"
#include "runtime/event_loop.h"

enum { WATCH_EVERY_MS = 1000 };
enum { STATUS_SERVING = 1, STATUS_NOT_SERVING = 2, STATUS_SERVICE_UNKNOWN = 3 };

/* Watchers ask for the state once a second, by one timer that runs while there are any. */
struct grpc_health {
    bool (*is_serving)(void *self);
    void *self;
    struct event_loop *loop;
    struct event_timer *timer; /* on the loop */
    struct mutex lock;
    struct health_watch *watches GUARDED_BY(lock);
    bool ticking GUARDED_BY(lock);
};

struct health_watch {
    struct grpc_health *health;
    struct grpc_call *call; /* a reference */
    struct health_watch *prev, *next;
    bool known; /* service "" */
    unsigned told;
};

static unsigned health_status(const struct grpc_health *health)
{
    bool serving = !health->is_serving || health->is_serving(health->self);
    return serving ? STATUS_SERVING : STATUS_NOT_SERVING;
}

static struct error *parse_service(struct bytes request, struct str *service)
{
    struct pb_reader reader = pb_read(request);
    *service = STR("");
    while (pb_next(&reader)) {
        if (reader.field == 1)
            *service = pb_str(&reader);
        else
            pb_skip(&reader);
    }
    return error_as(pb_error(&reader, "health request"), ERROR_INVALID);
}

static struct error *serve_check(void *self, struct grpc_call *call, struct bytes request)
{
    struct str service;
    struct error *err = parse_service(request, &service);
    if (!err && service.len)
        err = error_create(ERROR_NOT_FOUND, "unknown service");
    if (!err)
        pb_put_uint64(grpc_call_response(call), 1, health_status(self));
    return err;
}

static struct error *serve_list(void *self, struct grpc_call *call, struct bytes request UNUSED)
{
    struct buf *out = grpc_call_response(call);
    size_t entry = pb_begin(out, 1, 8);
    pb_put_str_always(out, 1, STR(""));
    size_t value = pb_begin(out, 2, 2);
    pb_put_uint64(out, 1, health_status(self));
    pb_end(out, value);
    pb_end(out, entry);
    return NULL;
}

static void tick(void *arg)
{
    struct grpc_health *health = arg;
    mutex_lock(&health->lock);
    for (struct health_watch *watch = health->watches; watch; watch = watch->next)
        grpc_call_wake(watch->call);
    health->ticking = health->watches != NULL;
    if (health->ticking)
        event_timer_start(health->timer, WATCH_EVERY_MS);
    mutex_unlock(&health->lock);
}

static void start_ticking(void *arg)
{
    struct grpc_health *health = arg;
    if (!health->timer)
        health->timer = event_timer_create(health->loop, tick, health);
    event_timer_start(health->timer, WATCH_EVERY_MS);
}

static enum grpc_step watch_step(void *state, struct grpc_call *call, struct error **err UNUSED)
{
    struct health_watch *watch = state;
    unsigned now = watch->known ? health_status(watch->health) : STATUS_SERVICE_UNKNOWN;
    if (now != watch->told) {
        struct buf message = {0};
        pb_put_uint64(&message, 1, now);
        grpc_call_send(call, buf_bytes(&message));
        buf_deinit(&message);
    }
    watch->told = now;
    return GRPC_STEP_WAIT;
}

static void watch_free(void *state)
{
    struct health_watch *watch = state;
    struct grpc_health *health = watch->health;
    mutex_lock(&health->lock);
    *(watch->prev ? &watch->prev->next : &health->watches) = watch->next;
    if (watch->next)
        watch->next->prev = watch->prev;
    mutex_unlock(&health->lock);
    grpc_call_unref(watch->call);
    free(watch);
}

static const struct grpc_stream_ops watch_ops = {.step = watch_step, .free = watch_free};

static struct error *serve_watch(void *self, struct grpc_call *call, struct bytes request)
{
    struct grpc_health *health = self;
    struct str service;
    struct error *err = parse_service(request, &service);
    if (err)
        return err;
    struct health_watch *watch = xcalloc(1, sizeof(*watch));
    watch->health = health;
    watch->known = service.len == 0;
    watch->call = call;
    grpc_call_ref(call);
    mutex_lock(&health->lock);
    watch->next = health->watches;
    if (watch->next)
        watch->next->prev = watch;
    health->watches = watch;
    if (!health->ticking)
        event_loop_post(health->loop, start_ticking, health);
    health->ticking = true;
    mutex_unlock(&health->lock);
    grpc_call_attach(call, &watch_ops, watch);
    return NULL;
}

struct grpc_health *grpc_health_create(struct event_loops *loops, bool (*is_serving)(void *self),
                                       void *self)
{
    struct grpc_health *health = xcalloc(1, sizeof(*health));
    health->is_serving = is_serving;
    health->self = self;
    health->loop = event_loops_pick(loops);
    mutex_init(&health->lock);
    return health;
}

static void free_on_loop(void *arg)
{
    struct grpc_health *health = arg;
    event_timer_free(health->timer);
    mutex_deinit(&health->lock);
    free(health);
}

void grpc_health_free(struct grpc_health *health)
{
    if (health)
        event_loop_post(health->loop, free_on_loop, health);
}

void grpc_health_methods(struct grpc_health *health, struct pool *pool,
                         struct grpc_method out[GRPC_HEALTH_METHODS])
{
    static const struct {
        const char *path;
        enum grpc_kind kind;
        grpc_handler handler;
    } methods[GRPC_HEALTH_METHODS] = {
        {"/grpc.health.v1.Health/Check", GRPC_UNARY, serve_check},
        {"/grpc.health.v1.Health/List", GRPC_UNARY, serve_list},
        {"/grpc.health.v1.Health/Watch", GRPC_SERVER_STREAM, serve_watch},
    };
    for (size_t i = 0; i < GRPC_HEALTH_METHODS; i++)
        out[i] = (struct grpc_method){.path = methods[i].path,
                                      .kind = methods[i].kind,
                                      .handler = methods[i].handler,
                                      .self = health,
                                      .pool = pool,
                                      .request_max = 64 * 1024};
}
