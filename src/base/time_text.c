/* Day numbers and dates convert by Howard Hinnant's method: years begin in March, so that the leap
 * day is the last, and repeat every 400 years (146097 days). */
#include "base/time_text.h"

#include "base/compiler.h"

enum { DAYS_OF_ERA = 146097, DAYS_TO_1970 = 719468 /* from 0000-03-01 */ };

int64_t calendar_to_days(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_OF_ERA + day_of_era - DAYS_TO_1970;
}

struct calendar_day calendar_from_days(int64_t days)
{
    days += DAYS_TO_1970;
    int64_t era = (days >= 0 ? days : days - (DAYS_OF_ERA - 1)) / DAYS_OF_ERA;
    int64_t day_of_era = days - era * DAYS_OF_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (DAYS_OF_ERA - 1)) /
        365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153; /* months since March */
    struct calendar_day date;
    date.day = (int)(day_of_year - (153 * shifted + 2) / 5 + 1);
    date.month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    date.year = year_of_era + era * 400 + (date.month <= 2);
    return date;
}

/* Exactly `count` digits, at most `most`. */
static bool take_number(struct str *text, size_t count, int most, int *out)
{
    int value = 0;
    if (text->len < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (text->data[i] < '0' || text->data[i] > '9')
            return false;
        value = value * 10 + (text->data[i] - '0');
    }
    *text = str_slice(*text, count, text->len);
    *out = value;
    return value <= most;
}

static bool take_char(struct str *text, char c)
{
    if (text->len == 0 || text->data[0] != c)
        return false;
    *text = str_slice(*text, 1, text->len);
    return true;
}

static bool take_date(struct str *text, int64_t *days)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;
    if (!take_number(text, 4, 9999, &year) || !take_char(text, '-') ||
        !take_number(text, 2, 12, &month) || !take_char(text, '-') ||
        !take_number(text, 2, 31, &day) || month < 1 || day < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > lengths[month - 1] + (month == 2 && leap))
        return false;
    *days = calendar_to_days(year, month, day);
    return true;
}

static bool take_clock(struct str *text, int64_t *seconds)
{
    int hour, minute, second;
    bool one_digit = text->len > 1 && text->data[1] == ':'; /* Go takes "3:04:05" */
    if (!take_number(text, one_digit ? 1 : 2, 23, &hour) || !take_char(text, ':') ||
        !take_number(text, 2, 59, &minute) || !take_char(text, ':') ||
        !take_number(text, 2, 59, &second))
        return false;
    *seconds = hour * 3600 + minute * 60 + second;
    return true;
}

static bool take_fraction(struct str *text, int32_t *ns)
{
    int32_t value = 0, scale = 100000000;
    if (!take_char(text, '.') && !take_char(text, ','))
        return true;
    if (text->len == 0 || text->data[0] < '0' || text->data[0] > '9')
        return false;
    while (text->len && text->data[0] >= '0' && text->data[0] <= '9') {
        value += (text->data[0] - '0') * scale;
        scale /= 10;
        *text = str_slice(*text, 1, text->len);
    }
    *ns = value;
    return true;
}

static bool take_offset(struct str *text, int64_t *seconds)
{
    int hours, minutes;
    if (take_char(text, 'Z')) {
        *seconds = 0;
        return true;
    }
    bool negative = take_char(text, '-');
    if (!negative && !take_char(text, '+'))
        return false;
    if (!take_number(text, 2, 24, &hours) || !take_char(text, ':') ||
        !take_number(text, 2, 60, &minutes))
        return false;
    *seconds = (negative ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

bool time_text_parse(struct str text, int64_t *seconds, int32_t *ns)
{
    int64_t days, clock, offset;
    int32_t fraction = 0;
    if (!take_date(&text, &days) || !take_char(&text, 'T') || !take_clock(&text, &clock) ||
        !take_fraction(&text, &fraction) || !take_offset(&text, &offset) || text.len)
        return false;
    *seconds = days * 86400 + clock - offset;
    *ns = fraction;
    return true;
}

bool time_text_parse_ms(struct str text, int64_t *ms)
{
    int64_t seconds;
    int32_t ns;
    if (!time_text_parse(text, &seconds, &ns))
        return false;
    *ms = seconds * 1000 + ns / 1000000;
    return true;
}

void time_text_print_ns(struct buf *out, int64_t seconds, int32_t ns)
{
    int64_t days = seconds / 86400, clock = seconds % 86400;
    if (clock < 0) {
        clock += 86400;
        days--;
    }
    struct calendar_day date = calendar_from_days(days);
    buf_printf(out, "%04lld-%02d-%02dT%02d:%02d:%02d", (long long)date.year, date.month, date.day,
               (int)(clock / 3600), (int)(clock / 60 % 60), (int)(clock % 60));
    if (ns) {
        char digits[11];
        int len = 10;
        digits[0] = '.';
        for (int i = 9; i > 0; i--, ns /= 10)
            digits[i] = (char)('0' + ns % 10);
        while (digits[len - 1] == '0')
            len--;
        buf_append(out, digits, (size_t)len);
    }
    buf_append_byte(out, 'Z');
}

void time_text_print_ms(struct buf *out, int64_t ms)
{
    int64_t seconds = ms / 1000, left = ms % 1000;
    if (left < 0) {
        left += 1000;
        seconds--;
    }
    time_text_print_ns(out, seconds, (int32_t)left * 1000000);
}
