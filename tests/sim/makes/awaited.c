#include "tests/sim/makes/awaited.h"

#include "brokerd/store/journal/internal.h"

void awaited_flush(struct awaited *a, const struct store *store)
{
    const struct journal_store *s = (const struct journal_store *)store;

    for (const struct parcel *p = s->first; p; p = p->next) {
        a->sent++;
        if (p->urgent)
            a->upto = a->sent;
    }
}

bool awaited_any(const struct awaited *a, const struct store *store)
{
    const struct journal_store *s = (const struct journal_store *)store;
    uint64_t home = a->sent - s->out; /* they come in order */

    for (const struct reply *r = atomic_load(&s->replies); r; r = r->next)
        for (const struct parcel *p = r->done; p; p = p->next)
            home++;
    return home < a->upto;
}

bool awaited_untaken(const struct awaited *a, const struct store *store)
{
    return a->sent - ((const struct journal_store *)store)->out < a->upto;
}
