#include "brokerd/core/excuse.h"

#include "brokerd/core/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXCUSES_MAX = 64, TEXT_MAX = 320 };

struct excuse {
    struct excuse *older;
    uint64_t first, last;
    struct blamed by; /* the cause; all zero: the rate */
    uint32_t n;       /* in the chain from here on */
    char text[];
};

/* How much waits counts only where that is why. */
static bool same_cause(const struct blamed *a, const struct blamed *b)
{
    return a->queue == b->queue && a->blame == b->blame &&
           (a->blame != BLAME_LIMITS || (a->waiting == b->waiting && a->bytes == b->bytes));
}

/* Whether the newest covers them too, now. */
static bool extend(struct excuse *e, uint64_t first, uint32_t n, const struct blamed *by)
{
    if (!e || e->last + 1 != first || !same_cause(&e->by, by))
        return false;
    e->last += n;
    return true;
}

static void add(struct excuse **e, uint64_t first, uint32_t n, const struct blamed *by,
                const char *text)
{
    size_t size = strlen(text) + 1;
    struct excuse *one;

    if (*e && (*e)->n >= EXCUSES_MAX)
        return;
    one = malloc(sizeof *one + size);
    if (!one)
        return;
    *one = (struct excuse){*e, first, first + n - 1, *by, *e ? (*e)->n + 1 : 1};
    memcpy(one->text, text, size);
    *e = one;
}

static void say(char text[TEXT_MAX], const struct blamed *by, struct slice label,
                const struct store *store)
{
    const char *name = store ? store->ops->name : "", *queue = (const char *)label.p;
    char more[64] = "";

    if (by->blame == BLAME_FULL && store && store->ops->say_full)
        store->ops->say_full(store, more, sizeof more);
    switch (by->blame) {
    case BLAME_LIMITS:
        (void)snprintf(text, TEXT_MAX,
                       "queue \"%.*s\" is full (%" PRIu64 " messages, %" PRIu64 " bytes)",
                       (int)label.n, queue, by->waiting, by->bytes);
        break;
    case BLAME_SHARED:
        (void)snprintf(text, TEXT_MAX,
                       "queue \"%.*s\" in store \"%s\" is full (max-messages, max-bytes)",
                       (int)label.n, queue, name);
        break;
    case BLAME_FULL:
        (void)snprintf(text, TEXT_MAX, "store \"%s\" is full%s%s%s: queue \"%.*s\" takes nothing",
                       name, *more ? " (" : "", more, *more ? ")" : "", (int)label.n, queue);
        break;
    case BLAME_UNOPENED:
        (void)snprintf(text, TEXT_MAX,
                       "store \"%s\" has not opened queue \"%.*s\" yet: it takes nothing", name,
                       (int)label.n, queue);
        break;
    case BLAME_BUSY:
        (void)snprintf(text, TEXT_MAX,
                       "store \"%s\" of queue \"%.*s\" is behind with what it was given", name,
                       (int)label.n, queue);
        break;
    case BLAME_STORE:
        (void)snprintf(text, TEXT_MAX, "store \"%s\" of queue \"%.*s\" fails or does not answer",
                       name, (int)label.n, queue);
        break;
    }
}

void excuse_queue(struct excuse **e, uint64_t first, uint32_t n, const struct blamed *by,
                  struct slice label, const struct store *store)
{
    char text[TEXT_MAX];

    if (extend(*e, first, n, by))
        return;
    say(text, by, label, store);
    add(e, first, n, by, text);
}

void excuse_rate(struct excuse **e, uint64_t first, uint32_t n, uint32_t rate)
{
    static const struct blamed none;
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
