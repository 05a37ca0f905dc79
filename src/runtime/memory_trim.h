/* runtime/memory_trim.h: gives memory back to the system when a burst is over, and shows where
 * memory is: titan_memory_bytes{part}, and the go_memstats_* and go_gc_duration_seconds that
 * dashboards of Thanos draw. */
#pragma once

struct memory_trim;
struct metrics;

/* Also tells malloc to keep few arenas; call it before the process starts threads that work.
 * metrics may be NULL. */
struct memory_trim *memory_trim_create(struct metrics *metrics);
void memory_trim_free(struct memory_trim *trim); /* after the last metrics_write(); NULL is fine */

/* To be called about once a second from one loop's thread, never at the same time twice: ten quiet
 * seconds after a burst it returns the page pool's free pages and malloc's to the system. Takes a
 * millisecond or so when there is something to give back, next to nothing otherwise. */
void memory_trim_tick(struct memory_trim *trim);
