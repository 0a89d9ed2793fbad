#include "brokerd/core/part.h"

#include "brokerd/core/access.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/endpoint.h"
#include "brokerd/core/mail.h"

#include <errno.h>

enum { TAKE_OVER = 0 }; /* among the verbs */

int core_delivery_ref(struct consumer *k, uint64_t number, struct delivery_ref *ret)
{
    handle_t tap = k->errand->remote;

    if (k->tap) {
        struct custody *own = k->tap->custody;

        if (!own->handle)
            own->handle = slots_put(&k->ep->core->slots, SLOT_TAP, k->tap);
        tap = own->handle;
    }
    if (!tap)
        return -ENOMEM;
    *ret = (struct delivery_ref){tap, number};
    return 0;
}

/* By which the endpoint is found when an answer comes; 0 without memory. */
static handle_t own_handle(struct endpoint *ep)
{
    struct seldom *s = endpoint_seldom(ep);

    if (!s)
        return 0;
    if (!s->handle)
        s->handle = slots_put(&ep->core->slots, SLOT_ENDPOINT, ep);
    endpoint_trim(ep);
    return ep->seldom->handle;
}

void part_forget(struct endpoint *ep)
{
    if (!ep->seldom->handle)
        return;
    slots_drop(&ep->core->slots, ep->seldom->handle);
    ep->seldom->handle = 0;
    endpoint_trim(ep);
}

/* Whether the delivery was there to be settled. */
static bool settle(struct core *c, const struct mail_settle *m)
{
    struct tap *t = slots_get(&c->slots, SLOT_TAP, m->tap);
    uint64_t number = m->number;

    if (!t) {
        c->count.stale_handles++;
        return false;
    }
    if (m->verb == TAKE_OVER) {
        tap_take_over(t, number);
        return true;
    }
    if (!flights_next(&t->custody->flights, &number, m->number + 1)) {
        t->queue->backlog->settled.late++;
        return false;
    }
    (void)tap_ack(t, m->number, 1, (enum ack_verb)m->verb, m->arg_ms);
    return true;
}

static int post(struct core *c, unsigned to, const struct mail_settle *what, enum mail_kind kind)
{
    struct mail_settle *m = mail_post(c, to, kind, sizeof *m, true);
    struct entry head;

    if (!m)
        return -ENOMEM;
    head = m->head;
    *m = *what;
    m->head = head;
    return 0;
}

static int ask(struct endpoint *ep, const struct settlement *s, struct mail_settle *m,
               struct refusal *why)
{
    struct core *c = ep->core;
    unsigned to = handle_worker(s->ref.tap);

    if (to >= c->workers || !s->ref.number || s->ref.number == UINT64_MAX)
        return -EINVAL;
    if (!access_allowed(ep, ACCESS_CONSUME, s->queue))
        return access_denied(s->queue, why);
    m->tap = s->ref.tap;
    m->number = s->ref.number;
    if (to == c->id) {
        m->settled = settle(c, m);
        return 0;
    }
    if (m->verb != TAKE_OVER && !(m->asker = own_handle(ep)))
        return -ENOMEM;
    ep->has_consumed = true; /* the answer finds it here */
    return post(c, to, m, MAIL_SETTLE) < 0 ? -ENOMEM : 1;
}

int core_settle(struct endpoint *ep, const struct settlement *s, uint64_t token,
                struct refusal *ret_why)
{
    struct mail_settle m = {.token = token, .verb = s->verb, .arg_ms = s->arg_ms};
    int r = ask(ep, s, &m, ret_why);

    if (r == 0)
        ep->ops->resolved(ep->ctx, token, m.settled);
    return r < 0 ? r : 0;
}

int core_take_over(struct endpoint *ep, const struct settlement *s, struct refusal *ret_why)
{
    struct mail_settle m = {.verb = TAKE_OVER};
    int r = ask(ep, s, &m, ret_why);

    return r < 0 ? r : 0;
}

/* ------------------------------------------------------------------------ from other workers */

void part_take_part(struct core *c, const struct mail_tap *m)
{
    struct tap *t = slots_get(&c->slots, SLOT_TAP, m->tap);

    if (t)
        tap_part(t, m->number);
    else
        c->count.stale_handles++;
}

void part_take_settle(struct core *c, const struct mail_settle *m)
{
    struct mail_settle answer = {.asker = m->asker, .token = m->token, .settled = settle(c, m)};

    if (m->asker && post(c, handle_worker(m->asker), &answer, MAIL_RESOLVED) < 0)
        mail_lost(c);
}

void part_take_resolved(struct core *c, const struct mail_settle *m)
{
    struct endpoint *ep = slots_get(&c->slots, SLOT_ENDPOINT, m->asker);

    if (ep)
        ep->ops->resolved(ep->ctx, m->token, m->settled);
    else
        c->count.stale_handles++;
}
