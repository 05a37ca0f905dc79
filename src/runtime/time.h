/* runtime/time.h: clocks. Wall time is for data and people, monotonic time for waiting. */
#pragma once

#include <stdint.h>

int64_t time_now_ms(void);           /* milliseconds since 1970 UTC */
int64_t time_now_ns(void);           /* the same in nanoseconds */
int64_t time_now_monotonic_ms(void); /* never goes back; its zero means nothing */
int64_t time_now_monotonic_ns(void);
