#include "brokerd/core/follow.h"

#include "brokerd/core/endpoint.h"
#include "brokerd/core/names.h"
#include "brokerd/core/publish.h"

#include <errno.h>

/* ------------------------------------------------------------------------- where it wants to be */

static void begin_span(struct endpoint *ep)
{
    struct following *f = &ep->publishing->follow;

    *f = (struct following){
        .since_ms = ep->core->now_ms, .worker = (uint8_t)ep->core->id, .wanted = f->wanted};
}

void follow_judge(struct endpoint *ep)
{
    struct following *f = &ep->publishing->follow;

    if (f->since_ms && f->all < FOLLOW_MESSAGES)
        return; /* a span goes on until there is something to judge */
    f->wanted =
        (uint8_t)(f->since_ms && f->there >= f->all - f->all / 4 ? f->worker : ep->core->id);
    begin_span(ep);
}

bool core_endpoint_wants(const struct endpoint *ep, unsigned *ret)
{
    const struct following *f = &ep->publishing->follow;

    if (!f->since_ms || f->wanted == ep->core->id || ep->has_consumed || ep->is_broker)
        return false;
    *ret = f->wanted;
    return true;
}

/* --------------------------------------------------------------------------------- the way there
 */

static bool publisher_at_rest(const struct publisher *p)
{
    switch (p->kind) {
    case PUBLISH_ONCE:
        return false; /* it is there until its message has settled */
    case PUBLISH_WINDOW:
        return !p->ledger.n && core_publisher_idle(p) && !list_linked(&p->news);
    case PUBLISH_FORGET:
        break;
    }
    return !list_linked(&p->news);
}

/* Nobody knows whose the parked messages are that no publisher waits for: so there may be none. */
bool core_endpoint_at_rest(const struct endpoint *ep)
{
    const struct list *all = &ep->publishing->publishers;

    if (ep->has_consumed || ep->core->draining || ep->core->parked || endpoint_asks(ep) ||
        ep->seldom->calling)
        return false;
    for (struct list_node *n = list_first(all); n; n = list_next(all, n))
        if (!publisher_at_rest(LIST_ITEM(n, struct publisher, link)))
            return false;
    return true;
}

/* A copy of the name of where its last run went: routes and names are the core's own, and their
 * counts are not for two threads. -ENOMEM. */
static int carry_target(struct publisher *p)
{
    const struct topic *t = p->queue ? p->queue->topic : p->route ? p->route->topic : NULL;

    if (!t)
        return 0;
    p->carried = topic_new(topic_slice(t), t->hash);
    p->carried_queue = p->queue != NULL;
    return p->carried ? 0 : -ENOMEM;
}

static void drop_target(struct publisher *p)
{
    topic_unref(p->carried);
    p->carried = NULL;
}

static void publisher_leave(struct publisher *p)
{
    struct core *c = p->ep->core;

    list_remove(&p->starved);
    slots_drop(&c->slots, p->handle);
    p->handle = 0;
    route_unref(p->route);
    p->route = NULL;
    names_release(c, p->queue);
    p->queue = NULL;
}

int core_endpoint_leave(struct endpoint *ep)
{
    struct list *all = &ep->publishing->publishers;
    int r = 0;

    for (struct list_node *n = list_first(all); n && r == 0; n = list_next(all, n))
        r = carry_target(LIST_ITEM(n, struct publisher, link));
    for (struct list_node *n = list_first(all); n; n = list_next(all, n)) {
        if (r == 0)
            publisher_leave(LIST_ITEM(n, struct publisher, link));
        else
            drop_target(LIST_ITEM(n, struct publisher, link));
    }
    if (r < 0)
        return r;
    list_remove(&ep->link);
    list_remove(&ep->wakeful);
    ep->core = NULL;
    return 0;
}

/* The target again, as this core knows it. -ENOMEM. */
static int aim_again(struct publisher *p)
{
    struct core *c = p->ep->core;
    struct slice name;

    if (!p->carried)
        return 0;
    name = topic_slice(p->carried);
    if (p->carried_queue) {
        struct named *n = names_get(c, name);

        p->queue = n ? names_hold(n) : NULL;
    } else {
        p->route = route_get(c->routes, name);
    }
    drop_target(p);
    return p->queue || p->route ? 0 : -ENOMEM;
}

static int publisher_join(struct publisher *p)
{
    struct core *c = p->ep->core;

    p->handle = slots_put(&c->slots, SLOT_PUBLISHER, p);
    if (p->kind == PUBLISH_WINDOW) /* for credit that was withheld there and is not here */
        list_push_back(&c->news, &p->news);
    return p->handle && aim_again(p) == 0 ? 0 : -ENOMEM;
}

int core_endpoint_join(struct core *c, struct endpoint *ep)
{
    struct list *all = &ep->publishing->publishers;
    int failed = 0;

    ep->core = c;
    ep->number = ++c->count.endpoints;
    if (!list_empty(all)) {
        ep->publishing->follow.wanted = (uint8_t)c->id;
        begin_span(ep);
    }
    list_push_back(&c->endpoints, &ep->link);
    for (struct list_node *n = list_first(all); n; n = list_next(all, n))
        if (publisher_join(LIST_ITEM(n, struct publisher, link)) < 0)
            failed = -ENOMEM;
    return failed;
}
