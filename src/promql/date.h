/* promql/date.h: parts of a UTC time, as the date functions give them. Pure functions. */
#pragma once

#include <stdint.h>

struct date {
    int64_t year;
    int month, day;         /* from 1 on */
    int year_day, week_day; /* 1..366; 0: Sunday */
    int hour, minute, second;
    int days_in_month;
};

/* Of Unix seconds as a float, cut towards zero. What int64 cannot hold counts as its smallest
 * value, as on x86-64 in Go. */
struct date date_of_seconds(double seconds);
