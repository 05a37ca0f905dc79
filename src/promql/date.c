#include "promql/date.h"

#include <stdbool.h>

static const int64_t day_seconds = 86400;

static bool is_leap_year(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap_year(year));
}

static int64_t floor_divide(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

/* Days since 1970-01-01 as a date of the Gregorian calendar. Years are counted from March on, so
 * that the leap day is the last one, and in spans of 400, of which each is alike. */
static void set_calendar(struct date *date, int64_t days)
{
    static const int64_t span_days = 146097;
    int64_t from_march = days + 719468; /* since 0000-03-01 */
    int64_t span = floor_divide(from_march, span_days);
    int64_t in_span = from_march - span * span_days;
    int64_t year = (in_span - in_span / 1460 + in_span / 36524 - in_span / (span_days - 1)) / 365;
    int64_t in_year = in_span - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * in_year + 2) / 153; /* 0: March */
    date->day = (int)(in_year - (153 * month + 2) / 5) + 1;
    date->month = (int)(month < 10 ? month + 3 : month - 9);
    date->year = year + span * 400 + (date->month <= 2);
    date->days_in_month = days_in_month(date->year, date->month);
    date->year_day = date->day;
    for (int before = 1; before < date->month; before++)
        date->year_day += days_in_month(date->year, before);
}

/* Days are counted from the first one of the calendar's span that holds all of int64's seconds, in
 * unsigned arithmetic, as Go does it: so what it gives for seconds out of all range is the same. */
struct date date_of_seconds(double seconds)
{
    static const int64_t epoch_days = 106751991073400; /* from there to 1970 */
    bool fits = seconds > -9223372036854775808.0 && seconds < 9223372036854775808.0;
    int64_t whole = fits ? (int64_t)seconds : INT64_MIN;
    uint64_t since = (uint64_t)whole + (uint64_t)epoch_days * (uint64_t)day_seconds;
    int64_t days = (int64_t)(since / (uint64_t)day_seconds) - epoch_days;
    int64_t in_day = (int64_t)(since % (uint64_t)day_seconds);
    struct date date = {
        .hour = (int)(in_day / 3600),
        .minute = (int)(in_day / 60 % 60),
        .second = (int)(in_day % 60),
        .week_day = (int)(days + 4 - floor_divide(days + 4, 7) * 7),
    };
    set_calendar(&date, days);
    return date;
}
