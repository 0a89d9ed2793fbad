#include "brokerd/core/arrears.h"

#include "brokerd/core/budget.h"
#include "brokerd/core/consume.h"
#include "brokerd/core/endpoint.h"

#include <errno.h>
#include <stdlib.h>

/* At some 10 ns for a delivery that is extended, and less for one that is gone already: a third of
 * a millisecond each, and one verb more. */
enum {
    WORK_A_MS = 32 * 1024, /* deliveries an endpoint's verbs may name in vain in a millisecond */
    WORK_MOST = 64 * 1024, /* a verb counts as so many at most: not more are looked at */
    WORK_FREE = 64,        /* and one for so few not at all, its bytes are worth as much */
};

struct late {
    struct consumer *consumer; /* NULL: it has left */
    struct ack ack;
};

struct arrears {
    struct list_node link; /* in core->behind while verbs wait */
    struct deque verbs;    /* struct late */
    int64_t now_ms;        /* when `work` was last begun anew */
    uint32_t work;
};

static struct arrears *arrears_of(struct endpoint *ep)
{
    struct seldom *s = endpoint_seldom(ep);
    struct arrears *a = s ? s->arrears : NULL;

    if (!s || a)
        return a;
    a = calloc(1, sizeof *a);
    if (!a) {
        endpoint_trim(ep);
        return NULL;
    }
    deque_init(&a->verbs, sizeof(struct late));
    a->now_ms = ep->core->now_ms;
    s->arrears = a;
    return a;
}

/* Whether a verb may be carried out now. */
static bool may(struct arrears *a, int64_t now_ms)
{
    if (a->now_ms != now_ms) {
        a->now_ms = now_ms;
        a->work = 0;
    }
    return a->work < WORK_A_MS;
}

/* Carry it out, and count it. */
static int settle(struct consumer *k, const struct ack *ack)
{
    struct endpoint *ep = k->ep;
    struct arrears *a;
    uint32_t vain;
    int r = consumer_ack(k, ack, &vain);

    if (r == 0 && vain > WORK_FREE && (a = arrears_of(ep)) != NULL)
        a->work += vain < WORK_MOST ? vain : WORK_MOST;
    return r;
}

static int wait(struct consumer *k, struct arrears *a, const struct ack *ack)
{
    struct core *c = k->ep->core;
    struct late *l = deque_push(&a->verbs);

    if (!l)
        return -ENOMEM;
    *l = (struct late){k, *ack};
    budget_charge(c, sizeof *l);
    if (!list_linked(&a->link))
        list_push_back(&c->behind, &a->link);
    return 0;
}

int arrears_ack(struct consumer *k, const struct ack *ack)
{
    struct arrears *a = k->ep->seldom->arrears;

    if (a && (deque_len(&a->verbs) || !may(a, k->ep->core->now_ms)))
        return wait(k, a, ack);
    return settle(k, ack);
}

static void pop(struct core *c, struct arrears *a)
{
    deque_pop(&a->verbs);
    budget_charge(c, -(int64_t)sizeof(struct late));
    if (!deque_len(&a->verbs))
        list_remove(&a->link);
}

void arrears_go_on(struct core *c)
{
    struct list_node *n, *next;

    for (n = list_first(&c->behind); n; n = next) {
        struct arrears *a = LIST_ITEM(n, struct arrears, link);

        next = list_next(&c->behind, n);
        while (deque_len(&a->verbs)) {
            const struct late *l = deque_slot(&a->verbs, deque_first(&a->verbs));

            if (l->consumer && !may(a, c->now_ms))
                break;
            if (l->consumer && settle(l->consumer, &l->ack) < 0)
                break; /* no memory to tell another worker: it stays */
            pop(c, a);
        }
    }
}

bool core_is_behind(const struct endpoint *ep)
{
    return ep->seldom->arrears && deque_len(&ep->seldom->arrears->verbs);
}

void arrears_drop(const struct consumer *k)
{
    struct arrears *a = k->ep->seldom->arrears;

    if (!a)
        return;
    for (uint64_t i = deque_first(&a->verbs); i != deque_end(&a->verbs); i++) {
        struct late *l = deque_slot(&a->verbs, i);

        if (l->consumer == k)
            l->consumer = NULL;
    }
}

void arrears_free(struct endpoint *ep)
{
    struct arrears *a = ep->seldom->arrears;

    if (!a)
        return;
    while (deque_len(&a->verbs))
        pop(ep->core, a);
    list_remove(&a->link);
    deque_fini(&a->verbs);
    free(a);
    ep->seldom->arrears = NULL;
    endpoint_trim(ep);
}
