#include "brokerd/webhooks/pace.h"

void pace_configure(struct pace *p, const struct pace_options *o)
{
    p->o = *o;
    if (p->limit > o->window)
        p->limit = o->window;
    if (p->open_ms < o->break_min_ms)
        p->open_ms = o->break_min_ms;
}

void pace_reset(struct pace *p)
{
    p->state = PACE_CLOSED;
    p->limit = p->o.window < PACE_FIRST ? p->o.window : PACE_FIRST;
    p->successes = p->failures = 0;
    p->open_ms = p->o.break_min_ms;
    p->open_until_ms = p->pause_until_ms = 0;
    p->cut = p->tickets;
    p->probe = 0;
}

void pace_init(struct pace *p, const struct pace_options *o)
{
    *p = (struct pace){.o = *o};
    pace_reset(p);
}

int64_t pace_jitter(int64_t ms, uint32_t random)
{
    int64_t span = ms / 100 * PACE_JITTER_PERCENT + ms % 100 * PACE_JITTER_PERCENT / 100;

    return ms - span + (int64_t)(random % (uint64_t)(2 * span + 1));
}

uint32_t pace_room(struct pace *p, int64_t now_ms)
{
    if (now_ms < p->pause_until_ms)
        return 0;
    if (p->state == PACE_OPEN) {
        if (now_ms < p->open_until_ms)
            return 0;
        p->state = PACE_PROBING;
        p->probe = 0;
    }
    if (p->state == PACE_PROBING) /* whatever of the time before is still under way */
        return p->probe ? 0 : 1;
    return p->in_flight < p->limit ? p->limit - p->in_flight : 0;
}

int64_t pace_due(const struct pace *p, int64_t now_ms)
{
    int64_t due = p->pause_until_ms;

    if (p->state == PACE_OPEN && p->open_until_ms > due)
        due = p->open_until_ms;
    return due > now_ms ? due : INT64_MAX;
}

uint64_t pace_start(struct pace *p)
{
    p->in_flight++;
    if (p->state == PACE_PROBING)
        p->probe = p->tickets + 1;
    return p->tickets++;
}

void pace_forget(struct pace *p, uint64_t ticket)
{
    p->in_flight--;
    if (p->probe == ticket + 1)
        p->probe = 0;
}

static enum pace_change succeed(struct pace *p)
{
    bool recovers = p->state == PACE_PROBING;

    p->failures = 0;
    if (recovers) {
        pace_reset(p);
        p->limit = 1;
        return PACE_RECOVERED;
    }
    if (p->state == PACE_CLOSED && ++p->successes >= p->limit) {
        p->successes = 0;
        if (p->limit < p->o.window)
            p->limit++;
    }
    return PACE_SAME;
}

static void trip(struct pace *p, int64_t now_ms, uint32_t random)
{
    p->state = PACE_OPEN;
    p->limit = 1;
    p->successes = 0;
    p->cut = p->tickets;
    p->open_until_ms = now_ms + pace_jitter(p->open_ms, random);
    p->open_ms = p->open_ms < p->o.break_max_ms / 2 ? p->open_ms * 2 : p->o.break_max_ms;
}

static enum pace_change fail(struct pace *p, uint64_t ticket, bool trouble, int64_t now_ms,
                             uint32_t random)
{
    p->successes = 0;
    p->failures++;
    if (p->state != PACE_CLOSED && ticket < p->cut) /* sent before it opened: nothing new */
        return PACE_SAME;
    if (p->state == PACE_PROBING || p->failures >= p->o.break_after) {
        bool opens = p->state == PACE_CLOSED;

        trip(p, now_ms, random);
        return opens ? PACE_OPENED : PACE_SAME;
    }
    if (trouble && ticket >= p->cut) {
        p->limit = p->limit > 1 ? p->limit / 2 : 1;
        p->cut = p->tickets;
    }
    if (p->failures >= PACE_FAILING)
        p->limit = 1;
    return PACE_SAME;
}

enum pace_change pace_done(struct pace *p, uint64_t ticket, enum pace_outcome outcome,
                           int64_t retry_after_ms, int64_t now_ms, uint32_t random)
{
    pace_forget(p, ticket);
    if (outcome != PACE_OK && retry_after_ms > 0 && now_ms + retry_after_ms > p->pause_until_ms)
        p->pause_until_ms = now_ms + retry_after_ms;
    if (outcome == PACE_OK)
        return succeed(p);
    return fail(p, ticket, outcome == PACE_TROUBLE, now_ms, random);
}
