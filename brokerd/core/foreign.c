/* What another broker published comes in. */
#include "brokerd/core/outlet.h"
#include "brokerd/core/publish.h"
#include "brokerd/core/spread.h"

#include <errno.h>

/* At most RUN_MAX messages, and RUN_BYTES and the last, none too large. */
static int publish_foreign(struct publisher *p, const struct run *run, const struct origin *from)
{
    struct offer o = {.core = p->ep->core,
                      .run = run,
                      .id = from->id,
                      .time_ms = from->time_ms,
                      .publisher = p->handle,
                      .first = p->next};
    struct route *r = publisher_route(p);

    offer_note_id(&o);
    p->next += run->n;
    p->count += run->n;
    p->bytes += run->bytes;
    p->ep->publishing->published += run->n;
    if (!r)
        return publisher_refuse(p, &o, REASON_MEMORY);
    o.topic = r->topic;
    return publisher_enter(p, &o, spread_foreign_out(&o, r));
}

/* As much as can go as one run, from i on. */
static struct run foreign_part(const struct publisher *p, const struct run *run, uint32_t i)
{
    uint64_t max = p->ep->core->globals.max_message_bytes;
    struct run part = {.v = run->v + i, .type = run->type};

    for (; i < run->n && part.n < RUN_MAX && part.bytes < RUN_BYTES; i++) {
        const struct msg_meta *meta = run->v[i].meta;
        bool alone = run->v[i].len > max || (meta && meta->dedup);

        if (alone && part.n)
            break;
        part.bytes += run->v[i].len;
        part.n++;
        if (alone)
            break;
    }
    return part;
}

int core_publish_foreign(struct publisher *p, struct slice topic, const struct run *run,
                         const struct origin *from, struct refusal *ret_why)
{
    struct core *c = p->ep->core;
    struct origin at = *from;
    int r;

    if (c->draining) {
        ret_why->reason = REASON_DRAINING;
        return -EPIPE;
    }
    r = publisher_aim_at_topic(p, topic, ret_why);
    if (r < 0)
        return r;
    if (run->n > p->allowance)
        return -ENOBUFS;
    p->allowance -= run->n;
    publisher_learn_size(p, run);
    publisher_has_news(p);
    for (uint32_t i = 0; i < run->n && r == 0;) {
        struct run part = foreign_part(p, run, i);

        r = part.n == 1 && part.bytes > c->globals.max_message_bytes
                ? publisher_refuse_large(p, part.v)
                : publish_foreign(p, &part, &at);
        i += part.n;
        at.id += part.n;
    }
    return r;
}
