#include "tests/bench/load/load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void die(const char *format, ...)
{
    va_list ap;

    fputs("load: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

uint8_t *side_room(struct side *s, size_t n)
{
    if (s->out_at && s->out_at + s->out_n + n > s->out_room) {
        memmove(s->out, s->out + s->out_at, s->out_n);
        s->out_at = 0;
    }
    if (s->out_n + n > s->out_room) {
        s->out_room = 2 * (s->out_n + n);
        s->out = realloc(s->out, s->out_room);
        if (!s->out)
            die("out of memory");
    }
    return s->out + s->out_at + s->out_n;
}

void side_add(struct side *s, size_t n)
{
    s->out_n += n;
}

void side_put(struct side *s, const void *p, size_t n)
{
    memcpy(side_room(s, n), p, n);
    side_add(s, n);
}

void side_printf(struct side *s, const char *format, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, format);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    vsnprintf((char *)side_room(s, (size_t)n + 1), (size_t)n + 1, format, ap);
    va_end(ap);
    side_add(s, (size_t)n);
}
