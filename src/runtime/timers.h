/* runtime/timers.h: ends contexts at their deadlines. One heap and one thread for the process,
 * started when the first deadline is set. Only runtime/context.c uses it. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    int64_t at_ms; /* monotonic */
    /* Called with the lock of all timers held: true pins the owner, and fire(owner) is called
     * afterwards, without the lock; false when the owner is already going away. */
    bool (*pin)(void *owner);
    void (*fire)(void *owner);
    void *owner;
    size_t place; /* in the heap, from 1; 0: not in it */
};

void timers_add(struct timer *timer);
/* Whether or not it is there. Afterwards the timer will not be looked at again, except by a fire()
 * whose pin() succeeded before. */
void timers_remove(struct timer *timer);
