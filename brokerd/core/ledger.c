#include "brokerd/core/ledger.h"

#include <errno.h>
#include <stdlib.h>

void ledger_fini(struct ledger *l)
{
    free(l->span);
    *l = (struct ledger){0};
}

static struct span *at(const struct ledger *l, uint32_t i)
{
    return &l->span[(l->head + i) & (l->cap - 1)];
}

static int grow(struct ledger *l)
{
    uint32_t cap = l->cap ? l->cap * 2 : 4;
    struct span *span = malloc(cap * sizeof *span);

    if (!span)
        return -ENOMEM;
    for (uint32_t i = 0; i < l->n; i++)
        span[i] = *at(l, i);
    free(l->span);
    l->span = span;
    l->cap = cap;
    l->head = 0;
    return 0;
}

static bool same_outcome(const struct span *a, const struct span *b)
{
    return a->matched == b->matched && a->accepted == b->accepted && a->waiting == b->waiting &&
           a->reason == b->reason && a->count <= UINT32_MAX - b->count;
}

int ledger_add(struct ledger *l, const struct span *s)
{
    if (l->n) {
        struct span *last = at(l, l->n - 1);

        if (same_outcome(last, s)) {
            last->count += s->count;
            goto added;
        }
    }
    if (l->n == l->cap && grow(l) < 0)
        return -ENOMEM;
    *at(l, l->n++) = *s;
added:
    if (s->waiting)
        l->open += s->count;
    return 0;
}

/* Index of the span that holds message `number`, or of the first after it. */
static uint32_t find(const struct ledger *l, uint64_t number)
{
    uint32_t low = 0, high = l->n;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        const struct span *s = at(l, mid);

        if (s->first + s->count <= number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Cut span i so that a new one begins at message `number`, which lies inside it. */
static int split(struct ledger *l, uint32_t i, uint64_t number)
{
    struct span *s, *next;
    uint32_t left;

    if (l->n == l->cap && grow(l) < 0)
        return -ENOMEM;
    s = at(l, i);
    left = (uint32_t)(number - s->first);
    if (i < l->n / 2) { /* most answers concern the oldest: move the shorter side */
        l->head = (l->head - 1) & (l->cap - 1);
        l->n++;
        for (uint32_t k = 0; k <= i; k++)
            *at(l, k) = *at(l, k + 1);
    } else {
        l->n++;
        for (uint32_t k = l->n - 1; k > i; k--)
            *at(l, k) = *at(l, k - 1);
    }
    s = at(l, i);
    next = at(l, i + 1);
    *next = *s;
    next->first = number;
    next->count = s->count - left;
    s->count = left;
    return 0;
}

/* Join span i with the one before it where they are alike. */
static bool join(struct ledger *l, uint32_t i)
{
    if (i == 0 || i >= l->n || !same_outcome(at(l, i - 1), at(l, i)))
        return false;
    at(l, i - 1)->count += at(l, i)->count;
    if (i < l->n / 2) {
        for (uint32_t k = i; k > 0; k--)
            *at(l, k) = *at(l, k - 1);
        l->head = (l->head + 1) & (l->cap - 1);
    } else {
        for (uint32_t k = i; k + 1 < l->n; k++)
            *at(l, k) = *at(l, k + 1);
    }
    l->n--;
    return true;
}

int64_t ledger_answer(struct ledger *l, uint64_t first, uint32_t count, const struct answer *a)
{
    uint64_t end = first + count;
    uint32_t i = find(l, first);
    int64_t settled = 0;

    while (i < l->n && at(l, i)->first < end) {
        struct span *s = at(l, i);

        if (s->waiting == 0) { /* nothing was awaited here: an answer that came twice */
            i++;
            continue;
        }
        if (s->first < first) {
            if (split(l, i, first) < 0)
                return -ENOMEM;
            i++;
            continue;
        }
        if (s->first + s->count > end && split(l, i, end) < 0)
            return -ENOMEM;
        s = at(l, i);
        s->matched += a->matched;
        s->accepted += a->accepted;
        s->reason = worse_reason(s->reason, a->reason);
        s->waiting += a->more;
        s->waiting = s->waiting > a->done ? s->waiting - a->done : 0;
        if (s->waiting == 0)
            settled += s->count;
        if (!join(l, i))
            i++;
    }
    join(l, i);
    l->open -= (uint64_t)settled;
    return settled;
}

bool ledger_take(struct ledger *l, struct span *ret)
{
    if (!ledger_news(l))
        return false;
    *ret = *at(l, 0);
    l->head = (l->head + 1) & (l->cap - 1);
    if (--l->n == 0) {
        l->head = 0;
        if (l->cap > 64) { /* a burst is over */
            free(l->span);
            l->span = NULL;
            l->cap = 0;
        }
    }
    return true;
}
