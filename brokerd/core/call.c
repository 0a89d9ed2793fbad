/* The two sides of a call: credit, halves, ends. How they find each other: opening.c. */
#include "brokerd/core/call.h"

#include "brokerd/core/call_mail.h"
#include "brokerd/core/endpoint.h"
#include "brokerd/core/opening.h"
#include "libbroker/base/name.h"

#include <errno.h>
#include <stdlib.h>

/* Nobody is to hear. */
static void no_next(void *ctx, const struct call_payload *p, bool complete)
{
    (void)ctx, (void)p, (void)complete;
}

static void no_request_n(void *ctx, uint32_t n)
{
    (void)ctx, (void)n;
}

static void no_word(void *ctx)
{
    (void)ctx;
}

static void no_error(void *ctx, const struct call_error *e)
{
    (void)ctx, (void)e;
}

static const struct call_ops nobody = {no_next, no_request_n, no_word, no_word, no_error, no_word};

/* ------------------------------------------------------------------------------ endpoints */

struct calling *calling_of(struct endpoint *ep)
{
    struct seldom *s = endpoint_seldom(ep);
    struct calling *a = s ? s->calling : NULL;

    if (!s || a)
        return a;
    a = calloc(1, sizeof *a);
    if (!a) {
        endpoint_trim(ep);
        return NULL;
    }
    a->ep = ep;
    list_init(&a->calls);
    list_init(&a->servers);
    list_init(&a->thirsty);
    s->calling = a;
    return a;
}

void calling_trim(struct endpoint *ep)
{
    struct calling *a = ep->seldom->calling;

    if (!a || a->calls_n || a->served_n || a->servers_n)
        return;
    free(a);
    ep->seldom->calling = NULL;
    endpoint_trim(ep);
}

void calling_free(struct endpoint *ep)
{
    struct list_node *n;

    if (!ep->seldom->calling)
        return;
    /* It may have called itself: nothing is called back. */
    for (n = list_first(&ep->seldom->calling->calls); n;
         n = list_next(&ep->seldom->calling->calls, n))
        LIST_ITEM(n, struct call, link)->ops = &nobody;
    while (ep->seldom->calling && (n = list_first(&ep->seldom->calling->servers)) != NULL)
        core_unserve(LIST_ITEM(n, struct server, link));
    while (ep->seldom->calling && (n = list_first(&ep->seldom->calling->calls)) != NULL)
        core_call_close(LIST_ITEM(n, struct call, link));
}

/* ------------------------------------------------------------------------------------- life */

/* Each way has its own: who serves many may still call. */
static unsigned *count_of(struct calling *a, const struct call *k)
{
    return k->is_caller ? &a->calls_n : &a->served_n;
}

struct call *call_new(struct core *c, struct endpoint *ep, enum call_model model,
                      struct slice service)
{
    struct calling *a = ep ? calling_of(ep) : NULL;
    struct call *k = !ep || a ? calloc(1, sizeof *k + service.n) : NULL;
    bool is_caller = service.n > 0;

    if (!k) {
        if (a)
            calling_trim(ep);
        return NULL;
    }
    *k = (struct call){
        .core = c,
        .ep = ep,
        .ops = &nobody,
        .model = (uint8_t)model,
        .is_caller = is_caller,
        .may_send = model != CALL_FNF && (!is_caller || model == CALL_CHANNEL),
        .may_hear = model != CALL_FNF && (is_caller || model == CALL_CHANNEL),
        .window = CALL_WINDOW_FIRST,
        .timer = {.kind = TIMER_CALL},
        .name_n = (uint8_t)service.n,
    };
    if (is_caller)
        memcpy(k->name, service.p, service.n);
    if (a) {
        list_push_back(&a->calls, &k->link);
        ++*count_of(a, k);
    }
    return k;
}

/* Out of its endpoint's sight. */
static void leave(struct call *k)
{
    struct endpoint *ep = k->ep;

    if (!ep)
        return;
    k->ep = NULL;
    list_remove(&k->link);
    list_remove(&k->thirsty);
    --*count_of(ep->seldom->calling, k);
    k->core->count.calls_open -= k->counted;
    calling_trim(ep);
}

static void unmake(struct call *k)
{
    if (k->peer)
        k->peer->peer = NULL;
    slots_drop(&k->core->slots, k->handle);
    list_remove(&k->owing);
    if (k->opening)
        k->ended = true;
    else
        free(k);
}

static bool owes(const struct owed *o)
{
    return o->n || o->complete || o->cancel || o->error;
}

/* Nobody has it any more, but the other side, or its place, must yet hear of that. */
static bool lingers(const struct call *k)
{
    bool owes_end = k->owed.complete || k->owed.cancel || k->owed.error;

    return !k->core->ending && (k->place || (owes_end && (k->remote || k->away)));
}

/* Its place has one call fewer. False: that is yet to be told. */
static bool leave_place(struct call *k)
{
    if (k->place && !service_call_ended(k->core, k->place, false))
        return false;
    k->place = 0;
    return true;
}

void call_end(struct call *k)
{
    const struct call_ops *ops = k->ops;
    void *ctx = k->ctx;

    opening_forget(k);
    leave(k);
    k->ops = &nobody;
    k->may_send = k->may_hear = false;
    (void)leave_place(k);
    k->lingering = lingers(k);
    if (k->lingering)
        call_pay(k);
    else
        unmake(k);
    ops->closed(ctx);
}

void call_drop(struct call *k)
{
    k->ops = &nobody;
    call_end(k);
}

static bool is_over(const struct call *k)
{
    return !k->may_send && !k->may_hear;
}

/* ---------------------------------------------------------------------- what is said across */

void call_pay(struct call *k)
{
    if (!k->remote || k->core->ending)
        return; /* it is not known who owes whom: later */
    if ((owes(&k->owed) && !call_mail_owed(k)) || (k->lingering && !leave_place(k))) {
        if (!list_linked(&k->owing))
            list_push_back(&k->core->owing, &k->owing);
        k->core->owes = true;
        return;
    }
    list_remove(&k->owing);
    if (k->lingering)
        unmake(k);
}

static void tell_n(struct call *k, uint64_t n)
{
    if (k->peer) {
        call_hear_n(k->peer, n);
        return;
    }
    k->owed.n += n;
    call_pay(k);
}

static void tell_complete(struct call *k)
{
    if (k->peer) {
        call_hear_complete(k->peer);
        return;
    }
    k->owed.complete = true;
    call_pay(k);
}

static void tell_cancel(struct call *k)
{
    if (k->peer) {
        call_hear_cancel(k->peer);
        return;
    }
    k->owed.cancel = true;
    call_pay(k);
}

static void tell_error(struct call *k, const struct call_error *e)
{
    if (k->peer) {
        call_hear_error(k->peer, e);
        return;
    }
    if (k->remote && !k->core->ending && !owes(&k->owed) && call_mail_error(k->core, k->remote, e))
        return;
    k->owed.error = true; /* without its text, which nobody keeps */
    k->owed.code = e->code;
    k->owed.reason = (uint8_t)e->reason;
    call_pay(k);
}

/* ----------------------------------------------------------------------------------- credit */

static void spend(uint64_t *credit, uint64_t n)
{
    if (*credit < CORE_UNLIMITED)
        *credit -= n;
}

/* What of the credit this side gives may be passed on now: all that was asked for, if the window
 * holds it; more in steps of half a window. */
static uint64_t lendable(const struct call *k)
{
    uint64_t room = k->window > k->lent ? k->window - k->lent : 0;

    if (k->wanted <= room)
        return k->wanted;
    return k->lent <= k->window / 2 ? room : 0;
}

static void lend(struct call *k)
{
    uint64_t n = k->may_hear ? lendable(k) : 0;

    if (n == 0)
        return;
    if (k->ep && !k->ep->writable) {
        if (!list_linked(&k->thirsty))
            list_push_back(&k->ep->seldom->calling->thirsty, &k->thirsty);
        return;
    }
    spend(&k->wanted, n);
    k->lent += n;
    tell_n(k, n);
}

uint64_t call_lend_first(struct call *k, uint64_t wanted)
{
    k->wanted = wanted;
    k->lent = wanted < k->window ? wanted : k->window;
    spend(&k->wanted, k->lent);
    return k->lent;
}

void calling_go_on(struct endpoint *ep)
{
    struct list_node *n;

    if (ep->writable)
        ep->seldom->calling->unread_bytes = 0;
    while (ep->seldom->calling && ep->writable &&
           (n = list_pop(&ep->seldom->calling->thirsty)) != NULL)
        lend(LIST_ITEM(n, struct call, thirsty));
}

/* Windows follow the size of payloads: slowly down, at once up. */
static void note_size(struct call *k, size_t bytes)
{
    uint32_t n = bytes < UINT32_MAX / 2 ? (uint32_t)bytes : UINT32_MAX / 2;
    uint64_t fit;

    k->average = n > k->average ? n : k->average - (k->average - n) / 8;
    fit = CALL_WINDOW_BYTES / (k->average + 1);
    k->window = fit > CALL_WINDOW_MAX ? CALL_WINDOW_MAX : fit ? (uint32_t)fit : 1;
}

/* ---------------------------------------------------------------------------- what is heard */

/* Its output is full and so is memory: payloads that come nevertheless have no place. */
static bool has_no_room(const struct call *k)
{
    return k->ep && !k->ep->writable && core_short_of_memory(k->core);
}

static void fail_both(struct call *k)
{
    const struct refusal why = {REASON_MEMORY, "memory: no room for what the call carries"};
    const struct call_error e = {call_code(why.reason, true), why.reason, slice_str(why.text)};

    if (k->is_caller)
        tell_cancel(k);
    else
        tell_error(k, &e);
    call_fail(k, &why, true);
}

void call_hear_next(struct call *k, const struct call_payload *p, bool complete)
{
    if (!k->may_hear)
        return;
    if (k->lent)
        k->lent--;
    note_size(k, p->data.n);
    k->may_hear = !complete;
    k->ops->next(k->ctx, p, complete);
    if (is_over(k))
        call_end(k);
    else
        lend(k);
}

void call_take_next(struct call *k, const struct call_payload *p, bool complete)
{
    if (has_no_room(k))
        fail_both(k);
    else
        call_hear_next(k, p, complete);
}

void call_hear_n(struct call *k, uint64_t n)
{
    if (!k->may_send)
        return;
    k->credit += n;
    k->ops->request_n(k->ctx, n < CORE_UNLIMITED ? (uint32_t)n : (uint32_t)CORE_UNLIMITED);
}

void call_hear_complete(struct call *k)
{
    if (!k->may_hear)
        return;
    k->may_hear = false;
    k->ops->complete(k->ctx);
    if (is_over(k))
        call_end(k);
}

void call_hear_cancel(struct call *k)
{
    if (k->is_caller && (!k->may_send || k->model != CALL_CHANNEL))
        return; /* what it owes stays owed: a server that takes no more may yet send */
    if (k->lingering)
        k->owed = (struct owed){0};
    k->ops->cancel(k->ctx);
    k->may_send = false;
    if (!k->is_caller || is_over(k))
        call_end(k);
}

/* It ends so; what the other side is owed is paid yet. */
static void end_with(struct call *k, const struct call_error *e)
{
    k->ops->error(k->ctx, e);
    if (k->is_caller && !k->lingering)
        call_count_failed(k->core, k->ep, e->reason, slice_of(k->name, k->name_n));
    call_end(k);
}

void call_hear_error(struct call *k, const struct call_error *e)
{
    k->owed = (struct owed){0};
    end_with(k, e);
}

void call_count_failed(struct core *c, const struct endpoint *ep, enum reason reason,
                       struct slice service)
{
    char name[CALL_NAMES_MAX + 1] = "";
    struct core_event ev = {.kind = EVENT_CALL_FAILED,
                            .reason = reason,
                            .count = 1,
                            .queue = "",
                            .topic = "",
                            .client = ep ? endpoint_name(ep) : "",
                            .service = name};

    if (service.n < sizeof name && !name_service_error(service, NAME_OF_CLIENT))
        memcpy(name, service.p, service.n);
    c->count.calls_failed[reason]++;
    if (reason != REASON_NONE)
        c->ops->event(c->ctx, &ev);
}

uint32_t call_code(enum reason reason, bool partly)
{
    if (partly)
        return CALL_CANCELED;
    return reason == REASON_NOT_FOUND || reason == REASON_INVALID || reason == REASON_TOO_LARGE
               ? CALL_INVALID
               : CALL_REJECTED;
}

void call_fail(struct call *k, const struct refusal *why, bool partly)
{
    const struct call_error e = {call_code(why->reason, partly), why->reason, slice_str(why->text)};

    end_with(k, &e);
}

/* ------------------------------------------------------------------------------- what is said */

int core_call_next(struct call *k, const struct call_payload *p, bool complete)
{
    complete |= k->model == CALL_RESPONSE;
    if (!k->may_send)
        return -EPIPE;
    if (!k->credit)
        return -ENOBUFS;
    if (k->peer ? has_no_room(k->peer) : !call_mail_next(k, p, complete)) {
        fail_both(k);
        return 0;
    }
    spend(&k->credit, 1);
    k->may_send = !complete;
    if (k->peer)
        call_hear_next(k->peer, p, complete);
    if (is_over(k))
        call_end(k);
    return 0;
}

void core_call_complete(struct call *k)
{
    if (!k->may_send)
        return;
    k->may_send = false;
    tell_complete(k);
    if (is_over(k))
        call_end(k);
}

void core_call_request_n(struct call *k, uint64_t n)
{
    if (!k->may_hear || k->model == CALL_RESPONSE)
        return;
    k->wanted += n;
    if (k->wanted > CORE_UNLIMITED)
        k->wanted = CORE_UNLIMITED;
    lend(k);
}

void core_call_cancel(struct call *k)
{
    if (!k->is_caller && (k->model != CALL_CHANNEL || !k->may_hear))
        return;
    tell_cancel(k);
    k->may_hear = false;
    if (k->is_caller || is_over(k))
        call_end(k);
}

void core_call_error(struct call *k, const struct call_error *e)
{
    tell_error(k, e);
    call_end(k);
}

void core_call_refuse(struct call *k, const struct refusal *why, bool partly)
{
    const struct call_error e = {call_code(why->reason, partly), why->reason, slice_str(why->text)};

    core_call_error(k, &e);
}

/* Whether the opening may have left for the server's socket. */
static bool was_seen(const struct call *k)
{
    return !k->ep || k->ep->written >= k->position;
}

void core_call_close(struct call *k)
{
    const struct call_error unseen = {CALL_REJECTED, REASON_NO_SERVER,
                                      SLICE("no-server: the server went before it saw the call")};
    const struct call_error seen = {CALL_CANCELED, REASON_DISCONNECTED,
                                    SLICE("disconnected: the server went while it had the call")};

    if (!k)
        return;
    k->ops = &nobody;
    if (k->is_caller)
        core_call_cancel(k);
    else
        core_call_error(k, was_seen(k) ? &seen : &unseen);
}

void core_call_accept(struct call *k, const struct call_ops *ops, void *ctx, uint64_t position)
{
    k->ops = ops;
    k->ctx = ctx;
    k->position = position;
}
