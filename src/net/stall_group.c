#include "net/stall_group.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "base/vec.h"
#include "net/grpc_client.h"
#include "net/grpc_stream.h"

enum { PILE_MAX_WITHOUT_BUDGET = 256 * 1024 * 1024 };

struct stall_group {
    atomic_uint references; /* the owner's and one a stream */
    long pile_max;
    struct mutex lock;
    struct stall_member *members GUARDED_BY(lock);
    atomic_size_t silent; /* changed with the lock held */
    atomic_long piled;
};

struct stall_group *stall_group_create(struct budget *budget)
{
    struct stall_group *group = xcalloc(1, sizeof(*group));
    size_t limit = budget_limit(budget);
    group->pile_max = (long)(limit ? limit / 2 : PILE_MAX_WITHOUT_BUDGET);
    atomic_init(&group->references, 1);
    mutex_init(&group->lock);
    return group;
}

static void stall_group_unref(struct stall_group *group)
{
    if (!group || atomic_fetch_sub(&group->references, 1) != 1)
        return;
    mutex_deinit(&group->lock);
    free(group);
}

void stall_group_free(struct stall_group *group) NO_THREAD_SAFETY
{
    if (group && group->members)
        bug("stall group freed before its streams");
    stall_group_unref(group);
}

void stall_group_forget(struct stall_member *member)
{
    stall_group_unref(member->group);
}

void stall_group_join(struct stall_group *group, struct stall_member *member,
                      struct grpc_stream *stream)
{
    *member = (struct stall_member){.group = group, .stream = stream, .silent = true};
    if (!group)
        return;
    atomic_fetch_add(&group->references, 1);
    mutex_lock(&group->lock);
    if (atomic_fetch_add(&group->silent, 1) == 0)
        for (struct stall_member *at = group->members; at; at = at->next)
            grpc_stream_release_window(at->stream);
    member->next = group->members;
    if (member->next)
        member->next->prev = member;
    group->members = member;
    mutex_unlock(&group->lock);
}

static void spoke_locked(struct stall_group *group, struct stall_member *member)
    REQUIRES(group->lock)
{
    if (member->silent)
        atomic_fetch_sub(&group->silent, 1);
    member->silent = false;
}

void stall_group_spoke(struct stall_member *member)
{
    struct stall_group *group = member->group;
    if (!group)
        return;
    mutex_lock(&group->lock);
    spoke_locked(group, member);
    mutex_unlock(&group->lock);
}

void stall_group_leave(struct stall_member *member)
{
    struct stall_group *group = member->group;
    if (!group)
        return;
    mutex_lock(&group->lock);
    spoke_locked(group, member);
    *(member->prev ? &member->prev->next : &group->members) = member->next;
    if (member->next)
        member->next->prev = member->prev;
    mutex_unlock(&group->lock);
}

bool stall_group_may_stall(const struct stall_member *member)
{
    return !member->group || atomic_load(&member->group->silent) == 0;
}

/* Ends the streams that have said nothing yet. */
static void end_silent(struct stall_group *group)
{
    VEC(struct grpc_stream *) silent = VEC_INIT(NULL);
    mutex_lock(&group->lock);
    for (struct stall_member *at = group->members; at; at = at->next)
        if (at->silent) {
            grpc_stream_ref(at->stream);
            vec_push(&silent, at->stream);
        }
    mutex_unlock(&group->lock);
    for (size_t i = 0; i < silent.len; i++) {
        grpc_stream_fail(silent.items[i], GRPC_DEADLINE_EXCEEDED,
                         "no message while those of other streams filled half of the query's "
                         "memory");
        grpc_stream_unref(silent.items[i]);
    }
    vec_deinit(&silent);
}

void stall_group_piled(struct stall_member *member, long bytes)
{
    struct stall_group *group = member->group;
    if (!group)
        return;
    long piled = atomic_fetch_add(&group->piled, bytes) + bytes;
    if (bytes > 0 && piled >= group->pile_max && atomic_load(&group->silent) > 0)
        end_silent(group);
}
