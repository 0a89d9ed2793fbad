#include "brokerd/core/excuse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXCUSES_MAX = 64, TEXT_MAX = 320 };

struct excuse {
    struct excuse *older;
    uint64_t first, last;
    struct full full; /* the cause; all zero: the rate */
    uint32_t n;       /* in the chain from here on */
    char text[];
};

static bool same_cause(const struct full *a, const struct full *b)
{
    return a->queue == b->queue && a->waiting == b->waiting && a->bytes == b->bytes;
}

/* Whether the newest covers them too, now. */
static bool extend(struct excuse *e, uint64_t first, uint32_t n, const struct full *full)
{
    if (!e || e->last + 1 != first || !same_cause(&e->full, full))
        return false;
    e->last += n;
    return true;
}

static void add(struct excuse **e, uint64_t first, uint32_t n, const struct full *full,
                const char *text)
{
    size_t size = strlen(text) + 1;
    struct excuse *one;

    if (*e && (*e)->n >= EXCUSES_MAX)
        return;
    one = malloc(sizeof *one + size);
    if (!one)
        return;
    *one = (struct excuse){*e, first, first + n - 1, *full, *e ? (*e)->n + 1 : 1};
    memcpy(one->text, text, size);
    *e = one;
}

void excuse_full(struct excuse **e, uint64_t first, uint32_t n, const struct full *full,
                 struct slice label)
{
    char text[TEXT_MAX];

    if (extend(*e, first, n, full))
        return;
    (void)snprintf(text, sizeof text,
                   "queue \"%.*s\" is full (%" PRIu64 " messages, %" PRIu64 " bytes)", (int)label.n,
                   (const char *)label.p, full->waiting, full->bytes);
    add(e, first, n, full, text);
}

void excuse_rate(struct excuse **e, uint64_t first, uint32_t n, uint32_t rate)
{
    static const struct full none;
    char text[TEXT_MAX];

    if (extend(*e, first, n, &none))
        return;
    (void)snprintf(text, sizeof text,
                   "a connection may publish %" PRIu32 " messages a second (publish-rate)", rate);
    add(e, first, n, &none, text);
}

uint32_t excuse_find(const struct excuse *e, uint64_t first, uint32_t n, const char **ret_text)
{
    uint64_t end = first + n;

    *ret_text = NULL;
    for (; e; e = e->older) {
        if (e->first <= first && first <= e->last) {
            *ret_text = e->text;
            return (uint32_t)((e->last + 1 < end ? e->last + 1 : end) - first);
        }
        if (e->first > first && e->first < end)
            end = e->first;
    }
    return (uint32_t)(end - first);
}

void excuse_forget(struct excuse **e, uint64_t upto)
{
    while (*e) {
        struct excuse *one = *e;

        if (one->last > upto) {
            e = &one->older;
            continue;
        }
        *e = one->older;
        free(one);
    }
}
