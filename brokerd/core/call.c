#include "brokerd/core/call.h"

#include "brokerd/core/service.h"
#include "brokerd/core/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct service {
    const struct call_server *server;
    void *ctx;
};

/* A reply that waits for credit. */
struct reply {
    struct list_node link;
    struct ctype type;
    size_t n;
    uint8_t data[];
};

enum { REPLIES_MAX = 64 }; /* waiting ones of a call: a server is to wait for credit too */

struct call {
    const struct service *service;
    const struct call_ops *ops;
    void *ctx;
    void *state;
    uint64_t credit;
    struct list replies;
    unsigned replies_n;
    bool opening;   /* within the server's open() */
    bool completed; /* by the server; replies may wait still */
    bool ended;     /* while opening: to be freed after it */
};

int core_serve(struct core *c, const char *name, const struct call_server *server, void *ctx)
{
    struct service *s = malloc(sizeof *s);
    int r;

    if (!s)
        return -ENOMEM;
    *s = (struct service){server, ctx};
    r = map_put(&c->services, slice_str(name), s);
    if (r < 0)
        free(s);
    return r;
}

void services_free(struct core *c)
{
    struct map_entry *e = NULL;

    while ((e = map_next(&c->services, e)) != NULL)
        free(e->value);
    map_fini(&c->services);
}

static void call_free(struct call *call)
{
    struct list_node *n;

    while ((n = list_pop(&call->replies)) != NULL)
        free(LIST_ITEM(n, struct reply, link));
    if (call->opening)
        call->ended = true;
    else
        free(call);
}

int core_call_open(struct endpoint *ep, struct slice service, struct slice method,
                   struct slice data, uint64_t credit, const struct call_ops *ops, void *ctx,
                   struct call **ret, struct refusal *ret_why)
{
    struct service *s = map_get(&ep->core->services, service);
    struct call *call;

    if (!s) {
        ret_why->reason = REASON_NO_SERVER;
        snprintf(ret_why->text, sizeof ret_why->text, "no-server: nobody serves \"%.*s\"",
                 (int)(service.n < 120 ? service.n : 120), (const char *)service.p);
        return -ENOENT;
    }
    call = calloc(1, sizeof *call);
    if (!call)
        return -ENOMEM;
    call->service = s;
    call->ops = ops;
    call->ctx = ctx;
    call->credit = credit;
    list_init(&call->replies);
    call->opening = true;
    s->server->open(s->ctx, call, method, data);
    call->opening = false;
    *ret = call->ended ? NULL : call;
    if (call->ended)
        free(call);
    return 0;
}

static void finish(struct call *call)
{
    const struct call_ops *ops = call->ops;
    void *ctx = call->ctx;

    call_free(call);
    ops->complete(ctx);
}

static void spend(struct call *call)
{
    if (call->credit < CORE_UNLIMITED)
        call->credit--;
}

void core_call_grant(struct call *call, uint64_t n)
{
    struct list_node *l;

    call->credit += n;
    while (call->credit && (l = list_pop(&call->replies)) != NULL) {
        struct reply *r = LIST_ITEM(l, struct reply, link);

        spend(call);
        call->replies_n--;
        call->ops->next(call->ctx, slice_of(r->data, r->n), r->type);
        free(r);
    }
    if (call->completed && list_empty(&call->replies))
        finish(call);
}

void core_call_cancel(struct call *call)
{
    if (!call)
        return;
    if (!call->completed && call->service->server->gone)
        call->service->server->gone(call->service->ctx, call);
    call_free(call);
}

int call_reply(struct call *call, struct slice data, struct ctype type)
{
    struct reply *r;

    if (call->credit && list_empty(&call->replies)) {
        spend(call);
        call->ops->next(call->ctx, data, type);
        return 0;
    }
    r = call->replies_n < REPLIES_MAX ? malloc(sizeof *r + data.n) : NULL;
    if (!r)
        return call->replies_n < REPLIES_MAX ? -ENOMEM : -ENOBUFS;
    *r = (struct reply){.type = type, .n = data.n};
    memcpy(r->data, data.p, data.n);
    list_push_back(&call->replies, &r->link);
    call->replies_n++;
    return 0;
}

void call_complete(struct call *call)
{
    call->completed = true;
    if (list_empty(&call->replies))
        finish(call);
}

void call_refuse(struct call *call, const struct refusal *why)
{
    const struct call_ops *ops = call->ops;
    void *ctx = call->ctx;

    call_free(call);
    ops->refused(ctx, why);
}

void call_set_state(struct call *call, void *state)
{
    call->state = state;
}

void *call_state(const struct call *call)
{
    return call->state;
}
