/* What the core itself publishes: dead letters, and messages that move to another queue. */
#include "brokerd/core/answer.h"
#include "brokerd/core/loss.h"
#include "brokerd/core/message.h"
#include "brokerd/core/names.h"
#include "brokerd/core/parked.h"
#include "brokerd/core/publish.h"
#include "brokerd/core/queue.h"
#include "brokerd/core/spread.h"

/* To a queue of this worker or another. */
static int send_moved(struct publisher *p, struct offer *o, handle_t queue)
{
    struct core *c = p->ep->core;
    struct queue *q = slots_get(&c->slots, SLOT_QUEUE, queue);

    publisher_has_news(p);
    if (handle_worker(queue) != c->id) {
        if (spread_post(o, handle_worker(queue), queue) == 0)
            return publisher_enter(p, o, 1);
        spread_refused(o);
        return publisher_enter(p, o, 0);
    }
    if (!q)
        return publisher_refuse(p, o, REASON_NOT_FOUND);
    offer_to(o, q);
    return publisher_enter(p, o, 0);
}

int publish_moved(struct publisher *p, handle_t queue, struct slice name, struct msg *m)
{
    struct core *c = p->ep->core;
    struct loss_life life = {topic_slice(m->topic), msg_headers(m), m->id};
    struct route *r = loss_undo(name, &life) ? route_get(c->routes, life.topic) : NULL;
    struct msg_meta meta = {.headers = life.headers, .type = {.id = CTYPE_NONE}};
    struct msg_view v = {m->data, m->len, &meta, m->block};
    struct run run = {.v = &v, .n = 1, .bytes = m->len, .type = msg_type(m)};
    struct offer o = {.core = c,
                      .run = &run,
                      .topic = r ? r->topic : m->topic,
                      .id = life.id,
                      .time_ms = m->time_ms,
                      .publisher = p->handle,
                      .first = p->next++,
                      .may_hold = true};
    int error;

    if (m->expires_ms != INT64_MAX)
        meta.ttl_ms = m->expires_ms > c->now_ms ? m->expires_ms - c->now_ms : 1;
    error = send_moved(p, &o, queue);
    route_unref(r);
    return error;
}

static void note_internal(void *ctx, const struct offer_range *r)
{
    *(struct internal_outcome *)ctx =
        (struct internal_outcome){r->accepted, r->held, r->reason, false};
}

/* What the one message's queues here have said. */
static struct internal_outcome end_internal(struct offer *o, unsigned posted)
{
    struct internal_outcome out = {0};
    struct blamed by;

    offer_ranges(o, note_internal, &out);
    out.answers += posted;
    if (o->refuser && answer_blame(o->refuser, (enum reason)o->refused_for, &by))
        out.no_room = by.blame == BLAME_FULL;
    offer_end(o);
    return out;
}

static struct internal_outcome refuse_internal(struct offer *o, enum reason reason)
{
    o->core->count.reason[reason] += o->run->n;
    return (struct internal_outcome){.reason = reason};
}

static struct internal_outcome internal_to_topic(struct offer *o, struct slice topic)
{
    struct core *c = o->core;
    struct route *r = route_get(c->routes, topic);
    struct internal_outcome out;
    unsigned posted;

    if (!r)
        return refuse_internal(o, REASON_MEMORY);
    o->topic = r->topic;
    posted = spread_out(o, r);
    if (!posted && !o->matched)
        c->count.unroutable += o->run->n;
    out = end_internal(o, posted);
    route_unref(r);
    return out;
}

/* A queue made for it has nothing but what is sent to it. */
static struct internal_outcome internal_to_queue(struct offer *o, struct slice name)
{
    struct core *c = o->core;
    struct named *n = names_get(c, name);
    struct internal_outcome out = {0};
    struct queue *q;
    unsigned waits = 0;

    if (!n)
        return refuse_internal(o, REASON_MEMORY);
    names_hold(n);
    o->topic = n->topic;
    if (n->state != NAMED_KNOWN) {
        parked_add(o, n, true);
        waits = 1;
    } else if (handle_worker(n->queue) != c->id) {
        if (spread_post(o, handle_worker(n->queue), n->queue) == 0)
            waits = 1;
        else
            spread_refused(o);
    } else if ((q = slots_get(&c->slots, SLOT_QUEUE, n->queue)) != NULL) {
        offer_to(o, q);
    } else {
        out = refuse_internal(o, REASON_NOT_FOUND);
    }
    if (out.reason == REASON_NONE)
        out = end_internal(o, waits);
    names_release(c, n);
    return out;
}

struct internal_outcome publish_internal(struct core *c, const struct target *to,
                                         const struct run *run, handle_t letter)
{
    struct offer o = {.core = c,
                      .run = run,
                      .id = c->next_id,
                      .time_ms = c->wall_ms,
                      .publisher = letter,
                      .first = 1,
                      .unpaid = true};

    c->next_id += run->n;
    return to->is_queue ? internal_to_queue(&o, to->name) : internal_to_topic(&o, to->name);
}
