#include "brokerd/core/parked.h"

#include "brokerd/core/answer.h"
#include "brokerd/core/budget.h"
#include "brokerd/core/message.h"
#include "brokerd/core/names.h"
#include "brokerd/core/spread.h"

#include <stdlib.h>

void parked_add(struct offer *o, struct named *n, bool unbound)
{
    struct core *c = o->core;

    for (uint32_t i = 0; i < o->run->n; i++) {
        struct msg_origin from = {n->topic, o->run->type, o->id + i, o->time_ms, c->now_ms};
        struct parked *k = calloc(1, sizeof *k);
        struct msg *m = k && budget_left(c) > 0 ? budget_keep(c, &o->run->v[i], &from) : NULL;
        struct answer lost = {.done = 1, .reason = REASON_MEMORY};

        if (!m) {
            free(k);
            c->count.reason[REASON_MEMORY]++;
            answer_add(c, o->publisher, o->first + i, 1, &lost, NULL);
            continue;
        }
        *k = (struct parked){{0}, m, o->publisher, o->first + i, o->may_hold, o->dedup};
        budget_charge(c, PLACE_CHARGE);
        list_push_back(&n->parked, &k->link);
        c->parked++;
    }
    if (n->state == NAMED_UNKNOWN)
        names_want(c, n, unbound ? names_unbound : NULL, 0, unbound ? NAMES_UNBOUND_SIZE : 0);
}

void parked_go(struct core *c, struct named *n)
{
    struct list_node *l;

    while ((l = list_pop(&n->parked)) != NULL) {
        struct parked *k = LIST_ITEM(l, struct parked, link);
        struct msg *m = k->msg;
        struct msg_meta meta = {
            .headers = msg_headers(m), .type = {.id = CTYPE_NONE}, .dedup = k->dedup};
        struct msg_view v = {m->data, m->len, &meta, m->block};
        struct run run = {.v = &v, .n = 1, .bytes = m->len, .type = msg_type(m)};
        struct offer o = {.core = c,
                          .run = &run,
                          .topic = n->topic,
                          .id = m->id,
                          .time_ms = m->time_ms,
                          .publisher = k->publisher,
                          .first = k->number,
                          .may_hold = k->may_hold};
        struct answer refused = {.done = 1, .reason = (uint16_t)n->reason};

        if (m->expires_ms != INT64_MAX)
            meta.ttl_ms = m->expires_ms > c->now_ms ? m->expires_ms - c->now_ms : 1;
        offer_note_id(&o);
        budget_charge(c, -PLACE_CHARGE);
        c->parked--;
        if (n->state != NAMED_KNOWN) {
            c->count.reason[n->reason]++;
            answer_add(c, k->publisher, k->number, 1, &refused, NULL);
        } else if (handle_worker(n->queue) == c->id) {
            spread_take_for_queue(&o, n->queue, n->topic);
        } else if (spread_post(&o, handle_worker(n->queue), n->queue) < 0) {
            refused.reason = REASON_NO_CREDIT;
            c->count.reason[REASON_NO_CREDIT]++;
            answer_add(c, k->publisher, k->number, 1, &refused, NULL);
        }
        budget_unref(c, m);
        free(k);
    }
}
