#include "runtime/gate.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "runtime/context.h"

/* Who leaves hands the place to the first in line, so nobody can slip in between. */
struct ticket {
    struct ticket *next, *prev;
    pthread_cond_t called;
    bool admitted;
};

struct gate {
    size_t max_inside;
    struct mutex lock; /* of the rest */
    size_t inside, waiting;
    struct ticket *first, *last;
};

struct gate *gate_create(size_t max_inside)
{
    struct gate *gate = xcalloc(1, sizeof(*gate));
    gate->max_inside = size_max(max_inside, 1);
    mutex_init(&gate->lock);
    return gate;
}

void gate_free(struct gate *gate)
{
    if (!gate)
        return;
    mutex_deinit(&gate->lock);
    free(gate);
}

static void ticket_append_locked(struct gate *gate, struct ticket *ticket) REQUIRES(gate->lock)
{
    ticket->prev = gate->last;
    if (gate->last)
        gate->last->next = ticket;
    else
        gate->first = ticket;
    gate->last = ticket;
    gate->waiting++;
}

static void ticket_remove_locked(struct gate *gate, struct ticket *ticket) REQUIRES(gate->lock)
{
    if (ticket->prev)
        ticket->prev->next = ticket->next;
    else
        gate->first = ticket->next;
    if (ticket->next)
        ticket->next->prev = ticket->prev;
    else
        gate->last = ticket->prev;
    gate->waiting--;
}

static bool gate_try_enter_locked(struct gate *gate) REQUIRES(gate->lock)
{
    if (gate->inside >= gate->max_inside || gate->first)
        return false;
    gate->inside++;
    return true;
}

static struct error *gate_wait_locked(struct gate *gate, struct context *ctx) REQUIRES(gate->lock)
{
    struct ticket self = {0};
    struct error *err = NULL;
    pthread_cond_init(&self.called, NULL);
    ticket_append_locked(gate, &self);
    while (!self.admitted && !err)
        err = context_wait(ctx, &self.called, &gate->lock);
    if (self.admitted) { /* also when ctx ended at the same time: the place is ours */
        error_free(err);
        err = NULL;
    } else {
        ticket_remove_locked(gate, &self);
    }
    pthread_cond_destroy(&self.called);
    return err;
}

struct error *gate_enter(struct gate *gate, struct context *ctx)
{
    struct error *err = context_error(ctx);
    if (err)
        return err;
    mutex_lock(&gate->lock);
    if (!gate_try_enter_locked(gate))
        err = gate_wait_locked(gate, ctx);
    mutex_unlock(&gate->lock);
    return err;
}

bool gate_try_enter(struct gate *gate)
{
    mutex_lock(&gate->lock);
    bool entered = gate_try_enter_locked(gate);
    mutex_unlock(&gate->lock);
    return entered;
}

void gate_leave(struct gate *gate)
{
    mutex_lock(&gate->lock);
    struct ticket *next = gate->first;
    if (next) {
        ticket_remove_locked(gate, next);
        next->admitted = true;
        pthread_cond_broadcast(&next->called);
    } else {
        gate->inside--;
    }
    mutex_unlock(&gate->lock);
}

size_t gate_inside(struct gate *gate)
{
    mutex_lock(&gate->lock);
    size_t inside = gate->inside;
    mutex_unlock(&gate->lock);
    return inside;
}

size_t gate_waiting(struct gate *gate)
{
    mutex_lock(&gate->lock);
    size_t waiting = gate->waiting;
    mutex_unlock(&gate->lock);
    return waiting;
}
