#include "brokerd/doors/rsocket/confirm.h"

#include "brokerd/doors/rsocket/send.h"
#include "libbroker/wire/rsocket.h"

#include <errno.h>
#include <stdlib.h>

void confirms_grant(struct confirms *cs, uint32_t n)
{
    if (cs->credit == UINT64_MAX)
        return;
    cs->credit += n;
    if (cs->credit >= RS_N_MAX)
        cs->credit = UINT64_MAX; /* by convention: as many as there are */
}

/* Does the peer want to hear of this outcome, beyond that it has settled? */
static bool is_exception(const struct confirms *cs, const struct outcome *o)
{
    if (o->accepted < o->matched)
        return true;
    if (cs->loss_only) /* refused before any queue was asked: that is a loss too */
        return reason_is_refusal(o->reason) && o->reason != REASON_NO_MATCH;
    return o->matched == 0 || o->reason != REASON_NONE;
}

static bool same_outcome(const struct confirm_entry *e, const struct confirm_entry *next)
{
    return e->first + e->count == next->first && e->reason == next->reason &&
           e->matched == next->matched && e->accepted == next->accepted &&
           e->count + next->count > e->count;
}

static int add(struct confirms *cs, const struct confirm_entry *e)
{
    if (cs->n > 0 && same_outcome(&cs->entries[cs->n - 1], e)) {
        cs->entries[cs->n - 1].count += e->count;
        return 0;
    }
    if (cs->n == cs->cap) {
        uint32_t cap = cs->cap ? cs->cap * 2 : 8;
        struct confirm_entry *more = realloc(cs->entries, cap * sizeof *more);

        if (!more)
            return -ENOMEM;
        cs->entries = more;
        cs->cap = cap;
    }
    cs->entries[cs->n++] = *e;
    return 0;
}

int confirms_note(struct confirms *cs, uint64_t upto, const struct outcome *o, size_t n)
{
    cs->settled = upto;
    for (size_t i = 0; i < n; i++) {
        struct confirm_entry e = {
            .first = o[i].first,
            .count = o[i].count,
            .reason = (uint16_t)(o[i].reason != REASON_NONE ? o[i].reason : REASON_NO_MATCH),
            .matched = o[i].matched,
            .accepted = o[i].accepted,
        };

        if (is_exception(cs, &o[i]) && add(cs, &e) < 0)
            return -ENOMEM;
    }
    return 0;
}

static bool waiting(const struct confirms *cs)
{
    return cs->loss_only ? cs->n > 0 : cs->settled > cs->reported;
}

/* One confirm: as many entries as a frame should have. What it calls settled ends before the
 * first entry left out. Returns the entries written. */
static uint32_t send_one(struct confirms *cs, struct peer *c, uint32_t id, uint32_t from)
{
    uint32_t n = cs->n - from;
    size_t size;
    uint8_t buf[CONFIRM_HEAD_SIZE + CONFIRMS_WAITING_MAX * CONFIRM_ENTRY_SIZE], *p;

    if (n > CONFIRMS_WAITING_MAX)
        n = CONFIRMS_WAITING_MAX;
    cs->reported = from + n < cs->n ? cs->entries[from + n].first - 1 : cs->settled;
    p = confirm_put_head(buf, cs->reported);
    for (uint32_t i = from; i < from + n; i++)
        p = confirm_put_entry(p, &cs->entries[i]);
    size = (size_t)(p - buf);
    send_payload(c, id, &(struct payload){.flags = RS_NEXT, .data = slice_of(buf, size)});
    return n;
}

void confirms_send(struct confirms *cs, struct peer *c, uint32_t id)
{
    uint32_t sent = 0;

    if (cs->credit == 0 || !waiting(cs))
        return;
    do {
        sent += send_one(cs, c, id, sent);
        if (cs->credit != UINT64_MAX)
            cs->credit--;
    } while (sent < cs->n && cs->credit > 0);
    cs->n -= sent;
    if (cs->n > 0) {
        memmove(cs->entries, cs->entries + sent, cs->n * sizeof *cs->entries);
    } else if (cs->cap > 64) { /* a burst is over */
        confirms_fini(cs);
    }
    send_end(c);
}

void confirms_fini(struct confirms *cs)
{
    free(cs->entries);
    cs->entries = NULL;
    cs->n = cs->cap = 0;
}
