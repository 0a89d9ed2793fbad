#include "libbroker/base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Smallest first; NULL ends. */
static const struct unit size_units[] = {
    {"B", 1}, {"KiB", 1ULL << 10}, {"MiB", 1ULL << 20}, {"GiB", 1ULL << 30}, {NULL, 0},
};
static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

/* The digits that *text begins with; it is left with what follows them. */
static int take_number(struct slice *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t i = 0;

    for (; i < text->n && text->p[i] >= '0' && text->p[i] <= '9'; i++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text->p[i] - '0'), &number))
            return -ERANGE;
    }
    if (i == 0)
        return -EINVAL;
    *text = slice_from(*text, i);
    *ret_number = number;
    return 0;
}

/* The factor of a unit by name; 0 for none of that name. */
static uint64_t factor_of(const struct unit *units, struct slice name)
{
    for (; units->name; units++) {
        if (slice_eq(name, slice_str(units->name)))
            return units->factor;
    }
    return 0;
}

/* All three kinds: digits and a unit of `units` (NULL: there are none). Results are below
 * `no_limit`. `plain` is the factor of a number without a unit, 0 if that is an error. */
static int parse(struct slice text, unsigned flags, const struct unit *units, uint64_t plain,
                 uint64_t no_limit, uint64_t *ret)
{
    uint64_t number = 0, factor = plain;
    int r;

    if (slice_eq(text, SLICE("unlimited")) || slice_eq(text, SLICE("never"))) {
        if (!(flags & UNITS_NO_LIMIT))
            return -EINVAL;
        *ret = no_limit;
        return 0;
    }
    r = take_number(&text, &number);
    if (r < 0)
        return r;
    if (text.n)
        factor = units ? factor_of(units, text) : 0;
    if (number == 0 && text.n == 0 && (flags & UNITS_ZERO))
        factor = 1; /* 0 is 0 in any unit */
    if (factor == 0 || (number == 0 && !(flags & UNITS_ZERO)))
        return -EINVAL;
    if (__builtin_mul_overflow(number, factor, &number) || number >= no_limit)
        return -ERANGE;
    *ret = number;
    return 0;
}

int units_parse_size(struct slice text, unsigned flags, uint64_t *ret_bytes)
{
    return parse(text, flags, size_units, 1, UNITS_UNLIMITED, ret_bytes);
}

int units_parse_time(struct slice text, unsigned flags, int64_t *ret_ms)
{
    uint64_t ms = 0;
    int r = parse(text, flags, time_units, flags & UNITS_PLAIN_MS ? 1 : 0, UNITS_NEVER, &ms);

    if (r == 0 && ms != UNITS_NEVER && ms > UNITS_TIME_MAX)
        r = -ERANGE;
    if (r == 0)
        *ret_ms = (int64_t)ms;
    return r;
}

int units_parse_count(struct slice text, unsigned flags, uint64_t *ret_count)
{
    return parse(text, flags, NULL, 1, UNITS_UNLIMITED, ret_count);
}

/* In the largest unit that divides evenly. */
static const char *format(uint64_t number, const struct unit *units, char *buf, size_t size)
{
    const struct unit *best = units;

    for (const struct unit *u = units; u->name && number != 0; u++) {
        if (number % u->factor == 0)
            best = u;
    }
    (void)snprintf(buf, size, "%" PRIu64 "%s", number / best->factor, best->name);
    return buf;
}

const char *units_format_size(uint64_t bytes, char *buf, size_t size)
{
    if (bytes == UNITS_UNLIMITED) {
        (void)snprintf(buf, size, "unlimited");
        return buf;
    }
    return format(bytes, size_units, buf, size);
}

const char *units_format_time(int64_t ms, char *buf, size_t size)
{
    if (ms == UNITS_NEVER) {
        (void)snprintf(buf, size, "never");
        return buf;
    }
    return format(ms > 0 ? (uint64_t)ms : 0, time_units, buf, size);
}

const char *units_format_count(uint64_t count, char *buf, size_t size)
{
    if (count == UNITS_UNLIMITED)
        (void)snprintf(buf, size, "unlimited");
    else
        (void)snprintf(buf, size, "%" PRIu64, count);
    return buf;
}
