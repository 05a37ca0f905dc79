/* net/stall_group.h: the rule of grpc_client.h by which the streams of one query may stall, as the
 * streams themselves use it. Thread-safe; no lock of a stream is held in any call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct grpc_stream;
struct stall_group;

struct stall_member {
    struct stall_group *group; /* a reference; NULL: the stream is alone and may stall */
    struct grpc_stream *stream;
    /* with the group's lock: */
    struct stall_member *prev, *next;
    bool silent; /* no message yet and not ended */
};

/* The stream has been opened: whatever the others hold back is released. */
void stall_group_join(struct stall_group *group, struct stall_member *member,
                      struct grpc_stream *stream);
void stall_group_leave(struct stall_member *member);  /* its reader has gone */
void stall_group_forget(struct stall_member *member); /* the stream's memory goes */
/* It has given its first message, or ended. */
void stall_group_spoke(struct stall_member *member);
/* May a stream keep its window to itself until its reader comes? */
bool stall_group_may_stall(const struct stall_member *member);
/* `bytes` were received and wait, or (negative) were taken; may end the silent streams. */
void stall_group_piled(struct stall_member *member, long bytes);
