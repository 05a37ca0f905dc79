#include "runtime/time.h"

#include <time.h>

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t time_now_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000000;
}

int64_t time_now_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t time_now_monotonic_ms(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t time_now_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}
