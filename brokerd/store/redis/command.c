#include "brokerd/store/redis/command.h"

#include <stdlib.h>

enum { WORDS_MAX = 8 };

static size_t digits(size_t v)
{
    size_t n = 1;

    while (v >= 10) {
        v /= 10;
        n++;
    }
    return n;
}

/* `v` in decimal, and the end of the line. */
static uint8_t *put_number(uint8_t *p, char type, size_t v)
{
    size_t n = digits(v);

    *p++ = (uint8_t)type;
    for (size_t i = n; i-- > 0; v /= 10)
        p[i] = (uint8_t)('0' + v % 10);
    memcpy(p + n, "\r\n", 2);
    return p + n + 2;
}

size_t command_size(const struct slice *args, unsigned n)
{
    size_t size = 3 + digits(n);

    for (unsigned i = 0; i < n; i++)
        size += 5 + digits(args[i].n) + args[i].n;
    return size;
}

struct command *command_new(enum command_kind kind, const struct slice *args, unsigned n)
{
    size_t size = command_size(args, n);
    struct command *c = malloc(sizeof *c + size);
    uint8_t *p;

    if (!c)
        return NULL;
    *c = (struct command){.kind = kind, .size = size};
    p = put_number(c->bytes, '*', n);
    for (unsigned i = 0; i < n; i++) {
        p = put_number(p, '$', args[i].n);
        if (args[i].n)
            memcpy(p, args[i].p, args[i].n);
        memcpy(p + args[i].n, "\r\n", 2);
        p += args[i].n + 2;
    }
    return c;
}

struct command *command_of(enum command_kind kind, const char *const *words, unsigned n)
{
    struct slice args[WORDS_MAX];

    if (n > WORDS_MAX)
        return NULL;
    for (unsigned i = 0; i < n; i++)
        args[i] = slice_str(words[i]);
    return command_new(kind, args, n);
}

struct command *command_copy(const struct command *c)
{
    struct command *copy = malloc(sizeof *c + c->size);

    if (copy) {
        memcpy(copy, c, sizeof *c + c->size);
        copy->link = (struct list_node){NULL, NULL};
    }
    return copy;
}
