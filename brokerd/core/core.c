/* One core: its making, its clock, its mail and its turn. */
#include "brokerd/core/adopt.h"
#include "brokerd/core/answer.h"
#include "brokerd/core/arrears.h"
#include "brokerd/core/call.h"
#include "brokerd/core/consume.h"
#include "brokerd/core/dedup.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/durable.h"
#include "brokerd/core/endpoint.h"
#include "brokerd/core/loss.h"
#include "brokerd/core/mail.h"
#include "brokerd/core/making.h"
#include "brokerd/core/names.h"
#include "brokerd/core/opening.h"
#include "brokerd/core/part.h"
#include "brokerd/core/publish.h"
#include "brokerd/core/queue.h"
#include "brokerd/core/spread.h"

#include <errno.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------ life */

static void init_lists(struct core *c)
{
    struct list *lists[] = {&c->endpoints, &c->letters,   &c->pump,     &c->news,     &c->starved,
                            &c->lossy,     &c->holding,   &c->doomed,   &c->barriers, &c->wakeful,
                            &c->readies,   &c->unhurried, &c->behind,   &c->owing,    &c->parting,
                            &c->slow,      &c->deferred,  &c->durables, &c->sent,     &c->touched,
                            &c->questions, &c->moves};

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
}

int core_new(const struct core_options *o, struct core **ret)
{
    struct core *c = calloc(1, sizeof *c);

    if (!c)
        return -ENOMEM;
    c->id = o->id;
    c->workers = o->workers;
    c->ops = o->ops;
    c->ctx = o->ctx;
    c->next_id = o->id_base;
    c->left = BUDGET_STEP; /* not short of it before the first tick has asked */
    init_lists(c);
    pool_init(&c->pool);
    c->unhurried_due_ms = INT64_MAX;
    slots_init(&c->slots, o->id);
    map_init(&c->names, o->seed);
    map_init(&c->services, o->seed);
    c->tree = tree_new(o->seed);
    c->routes = c->tree ? routes_new(c->tree, o->seed) : NULL;
    if (!c->routes) {
        tree_free(c->tree);
        free(c);
        return -ENOMEM;
    }
    core_configure(c, o->policies);
    *ret = c;
    return 0;
}

/* Queues first: their taps and bindings point into everything else. Nobody is told. */
static void free_queues(struct core *c)
{
    struct queue *q;
    struct tap *t;

    for (uint32_t at = 0; (q = slots_next(&c->slots, SLOT_QUEUE, &at)) != NULL;) {
        while ((t = tap_first(q)) != NULL) {
            if (t->consumer)
                t->consumer->tap = NULL;
            tap_close(t, 0);
        }
        for (struct binding *b = q->bindings, *next; b; b = next) {
            next = b->next;
            free(b);
        }
        queue_free(q);
    }
}

static void free_names(struct core *c)
{
    struct map_entry *e = NULL;

    while ((e = map_next(&c->names, e)) != NULL) {
        struct named *n = e->value;
        struct list_node *l;

        while ((l = list_pop(&n->parked)) != NULL) {
            struct parked *k = LIST_ITEM(l, struct parked, link);

            budget_unref(c, k->msg);
            free(k);
        }
        named_free(n);
    }
    map_fini(&c->names);
    names_fini(c);
}

void core_free(struct core *c)
{
    struct list_node *n;

    if (!c)
        return;
    c->ending = true;
    free_queues(c);
    while ((n = list_first(&c->endpoints)) != NULL) {
        struct endpoint *ep = LIST_ITEM(n, struct endpoint, link);
        struct list_node *l;

        for (l = list_first(&ep->consumers); l; l = list_next(&ep->consumers, l)) {
            struct errand *e = LIST_ITEM(l, struct consumer, link)->errand;

            if (e) /* nobody is told */
                e->remote = 0;
        }
        endpoint_free(ep);
    }
    while ((n = list_first(&c->letters)) != NULL || (n = list_first(&c->sent)) != NULL)
        loss_free_letter(c, LIST_ITEM(n, struct letter, link));
    free_names(c);
    services_free(c);
    routes_free(c->routes);
    tree_free(c->tree);
    heap_fini(&c->timers);
    slots_fini(&c->slots);
    policy_set_unref(c->policies);
    pool_fini(&c->pool);
    free(c);
}

/* ------------------------------------------------------------------- clock, settings */

void core_clock(struct core *c, int64_t now_ms, int64_t wall_ms)
{
    c->now_ms = now_ms;
    c->wall_ms = wall_ms;
}

int64_t core_wall(const struct core *c)
{
    return c->wall_ms;
}

int64_t core_now(const struct core *c)
{
    return c->now_ms;
}

void core_configure(struct core *c, struct policy_set *policies)
{
    struct policy_set *old = c->policies;
    struct queue *q;

    c->policies = policy_set_ref(policies);
    c->globals = *policy_set_globals(policies);
    policy_set_unref(old);
    c->started = false;
    for (uint32_t at = 0; (q = slots_next(&c->slots, SLOT_QUEUE, &at)) != NULL;)
        adopt_again(q);
}

void core_drain(struct core *c)
{
    struct list_node *n;

    c->draining = true;
    publish_hasten(c); /* nothing of it is open: who waits until all is drained waits not for it */
    while ((n = list_first(&c->holding)) != NULL)
        offer_end_holds(LIST_ITEM(n, struct backlog, holding)->queue, REASON_FULL);
    openings_drain(c);
}

bool core_drained(const struct core *c)
{
    for (struct list_node *n = list_first(&c->endpoints); n; n = list_next(&c->endpoints, n)) {
        struct endpoint *ep = LIST_ITEM(n, struct endpoint, link);
        const struct list *all = &ep->publishing->publishers;

        for (struct list_node *l = list_first(all); l; l = list_next(all, l))
            if (LIST_ITEM(l, struct publisher, link)->ledger.open)
                return false;
    }
    return list_empty(&c->holding) && !durable_busy(c);
}

/* ------------------------------------------------------------------------------ mail */

void core_take(struct core *c, struct entry *e)
{
    switch ((enum mail_kind)e->kind) {
    case MAIL_INTEREST:
        names_take_interest(c, (const struct mail_interest *)e);
        break;
    case MAIL_SEEN:
        names_take_seen(c, ((const struct mail_seen *)e)->token);
        break;
    case MAIL_WANT:
        names_take_want(c, (const struct mail_name *)e);
        break;
    case MAIL_MAKE:
        names_take_make(c, (const struct mail_name *)e);
        break;
    case MAIL_MADE:
        names_take_made(c, (const struct mail_name *)e);
        break;
    case MAIL_KNOWN:
        names_take_known(c, (const struct mail_name *)e);
        break;
    case MAIL_GONE:
        names_take_gone(c, (const struct mail_name *)e);
        break;
    case MAIL_DELETE:
        names_take_delete(c, (const struct mail_seen *)e, true);
        break;
    case MAIL_REMOVED:
        names_take_delete(c, (const struct mail_seen *)e, false);
        break;
    case MAIL_RUN:
        spread_take_run(c, (struct mail_run *)e);
        break;
    case MAIL_FOREIGN:
        spread_take_foreign(c, (struct mail_run *)e);
        break;
    case MAIL_SETTLED:
        answer_take(c, (const struct mail_settled *)e);
        break;
    case MAIL_ATTACH:
        tap_take_attach(c, (const struct mail_attach *)e);
        break;
    case MAIL_ATTACHED:
        consumer_take_attached(c, (const struct mail_tap *)e);
        break;
    case MAIL_READY:
        consumer_take_ready(c, (const struct mail_tap *)e);
        break;
    case MAIL_CREDIT:
        tap_take_credit(c, (const struct mail_tap *)e);
        break;
    case MAIL_WRITTEN:
        tap_take_written(c, (const struct mail_tap *)e);
        break;
    case MAIL_ACK:
        tap_take_ack(c, (const struct mail_ack *)e);
        break;
    case MAIL_DETACH:
        tap_take_detach(c, (const struct mail_tap *)e);
        break;
    case MAIL_PART:
        part_take_part(c, (const struct mail_tap *)e);
        break;
    case MAIL_SETTLE:
        part_take_settle(c, (const struct mail_settle *)e);
        break;
    case MAIL_RESOLVED:
        part_take_resolved(c, (const struct mail_settle *)e);
        break;
    case MAIL_DELIVER:
        consumer_take_deliver(c, (struct mail_deliver *)e);
        break;
    case MAIL_CLOSED:
        consumer_take_closed(c, (const struct mail_closed *)e);
        break;
    case MAIL_SERVE:
    case MAIL_UNSERVE:
    case MAIL_PLACED:
    case MAIL_SERVICE:
    case MAIL_SERVED:
        service_take(c, e);
        break;
    case MAIL_CALL_OPEN:
    case MAIL_CALL_BACK:
    case MAIL_CALL_TAKEN:
    case MAIL_CALL_NEXT:
    case MAIL_CALL_N:
    case MAIL_CALL_COMPLETE:
    case MAIL_CALL_CANCEL:
    case MAIL_CALL_ERROR:
    case MAIL_CALL_ENDED:
        opening_take(c, e);
        break;
    }
}

/* ------------------------------------------------------------------------------ turn */

static void queue_due(struct queue *q)
{
    struct core *c = q->core;

    dedup_expire(q);
    queue_expire(q);
    offer_admit(q);
    offer_hold_due(q);
    if (q->is_named && q->backlog->idle_since_ms != INT64_MAX &&
        q->policy->expires_ms != POLICY_NEVER &&
        q->backlog->idle_since_ms + q->policy->expires_ms <= c->now_ms && !q->making &&
        !durable_is_shut(q))
        names_delete(q, REASON_DELETED, true);
    else
        queue_arm(q);
}

static void do_what_is_due(struct core *c)
{
    struct heap_node *n;

    while ((n = heap_min(&c->timers)) != NULL && n->key <= c->now_ms) {
        struct timer *t = HEAP_ITEM(n, struct timer, node);

        switch (t->kind) {
        case TIMER_QUEUE:
            queue_due(HEAP_ITEM(t, struct backlog, timer)->queue);
            break;
        case TIMER_TAP:
            tap_due(HEAP_ITEM(t, struct custody, timer)->tap);
            break;
        case TIMER_BACK: {
            struct queue *q = HEAP_ITEM(t, struct back, timer)->queue;

            queue_back_due(HEAP_ITEM(t, struct back, timer));
            deliver_later(q);
            break;
        }
        case TIMER_CALL:
            opening_due(HEAP_ITEM(t, struct call, timer));
            break;
        case TIMER_OPEN:
            making_open_due(HEAP_ITEM(t, struct storage, timer));
            break;
        case TIMER_LETTER:
            loss_letter_due(c, HEAP_ITEM(t, struct letter, timer));
            break;
        }
    }
}

/* Each queue that may have something to deliver, once: what is left goes on next turn. */
static void pump_all(struct core *c)
{
    struct list_node *last = list_last(&c->pump), *n;

    while (last && (n = list_pop(&c->pump)) != NULL) {
        deliver_pump(LIST_ITEM(n, struct queue, pump));
        if (n == last)
            break;
    }
}

static void admit_held(struct core *c)
{
    struct list_node *n, *next;

    for (n = list_first(&c->holding); n; n = next) {
        struct queue *q = LIST_ITEM(n, struct backlog, holding)->queue;

        next = list_next(&c->holding, n);
        offer_admit(q);
        if (q->hungry)
            deliver_later(q);
    }
}

/* Subscriptions whose policy is to be ended when they overflow. */
static void end_doomed(struct core *c)
{
    struct list_node *n;

    while ((n = list_pop(&c->doomed)) != NULL) {
        struct refusal why = {.reason = REASON_FULL,
                              .text = "full: the subscription overflowed, its policy is to "
                                      "disconnect"};

        queue_end(LIST_ITEM(n, struct queue, pump), REASON_DISCONNECTED, &why);
    }
}

static int64_t next_due(struct core *c, int64_t known, bool owing)
{
    struct heap_node *n = heap_min(&c->timers);
    int64_t due = n && n->key < known ? n->key : known;

    due = c->unhurried_due_ms < due ? c->unhurried_due_ms : due;
    if (!list_empty(&c->starved) || !list_empty(&c->holding))
        due = c->now_ms + STARVED_RETRY_MS < due ? c->now_ms + STARVED_RETRY_MS : due;
    if (!list_empty(&c->behind) || owing)
        due = c->now_ms + 1 < due ? c->now_ms + 1 : due;
    if (!list_empty(&c->pump) || !list_empty(&c->wakeful))
        due = c->now_ms;
    return due;
}

/* Most turns find most lists empty: asked here, that costs a lone message 9 % less. */
int64_t core_tick(struct core *c)
{
    int64_t due = INT64_MAX;

    if (!c->started) {
        c->started = true;
        if (c->id == 0)
            names_configured(c);
    }
    c->left = c->ops->memory(c->ctx, 0);
    endpoint_catch_up(c);
    if (!list_empty(&c->behind))
        arrears_go_on(c);
    do_what_is_due(c);
    admit_held(c);
    pump_all(c);
    if (!list_empty(&c->letters))
        loss_send_letters(c);
    end_doomed(c);
    if (c->late.count)
        answer_flush(c);
    publish_tell(c);
    if (!list_empty(&c->readies))
        consumer_tell_ready(c);
    if (!list_empty(&c->barriers))
        endpoint_barriers(c);
    if (!list_empty(&c->durables))
        due = durable_turn(c);
    if (!list_empty(&c->lossy) || !list_empty(&c->slow)) {
        int64_t announce = loss_announce(c);

        due = announce < due ? announce : due;
    }
    return next_due(c, due, c->owes && !services_pay(c));
}
