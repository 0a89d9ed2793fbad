#include "libbroker/base/rfc3339.h"

#include <errno.h>
#include <stdbool.h>

/* `n` digits and the character after them (0: none), off the front of *text. */
static bool take(struct slice *text, unsigned n, uint8_t after, int *ret)
{
    int value = 0;

    if (text->n < n + (after != 0) || (after && text->p[n] != after))
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (text->p[i] < '0' || text->p[i] > '9')
            return false;
        value = value * 10 + (text->p[i] - '0');
    }
    *text = slice_from(*text, n + (after != 0));
    *ret = value;
    return true;
}

/* What follows the seconds: ".5", ".813000": ms; nothing: 0. */
static bool take_fraction(struct slice *text, int *ret_ms)
{
    int scale = 100, ms = 0;
    size_t i = 1;

    *ret_ms = 0;
    if (!text->n || text->p[0] != '.')
        return true;
    for (; i < text->n && text->p[i] >= '0' && text->p[i] <= '9'; i++, scale /= 10)
        ms += (text->p[i] - '0') * scale;
    *text = slice_from(*text, i);
    *ret_ms = ms;
    return i > 1;
}

/* "Z", "+01:00": minutes. */
static bool take_offset(struct slice text, int *ret)
{
    int hours, minutes, sign;

    *ret = 0;
    if (text.n == 1)
        return text.p[0] == 'Z' || text.p[0] == 'z';
    if (text.n != 6 || (text.p[0] != '+' && text.p[0] != '-'))
        return false;
    sign = text.p[0] == '-' ? -1 : 1;
    text = slice_from(text, 1);
    if (!take(&text, 2, ':', &hours) || !take(&text, 2, 0, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret = sign * (hours * 60 + minutes);
    return true;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01; months begin with March, so that the leap day is a year's last. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t m = month > 2 ? month - 3 : month + 9;

    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

int rfc3339_parse(struct slice text, int64_t *ret_ms)
{
    static const int longest[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day, hour, minute, second, ms, offset;
    uint8_t t = text.n > 10 && text.p[10] == 't' ? 't' : 'T';

    if (!take(&text, 4, '-', &year) || !take(&text, 2, '-', &month) || !take(&text, 2, t, &day) ||
        !take(&text, 2, ':', &hour) || !take(&text, 2, ':', &minute) ||
        !take(&text, 2, 0, &second) || !take_fraction(&text, &ms) || !take_offset(text, &offset))
        return -EINVAL;
    if (year < 1 || month < 1 || month > 12 || day < 1 ||
        day > longest[month - 1] + (month == 2 && is_leap(year)) || hour > 23 || minute > 59 ||
        second > 60)
        return -EINVAL;
    *ret_ms =
        (((days_of(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 +
        ms;
    return 0;
}
