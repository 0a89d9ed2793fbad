/* How a call finds its server. */
#include "brokerd/core/opening.h"

#include "brokerd/core/access.h"
#include "brokerd/core/call_mail.h"
#include "brokerd/core/refusal.h"
#include "libbroker/base/name.h"
#include "libbroker/base/utf8.h"

#include <errno.h>
#include <stdlib.h>

static int refuse_no_memory(struct refusal *why)
{
    refuse_memory(why);
    return -ENOMEM;
}

/* ------------------------------------------------------------------------------- the server's */

/* Nothing has come of an opening that `place` (0: none) counts, or nothing is to come. */
static void give_back(struct core *c, handle_t place, bool refused)
{
    if (place && !service_call_ended(c, place, refused))
        mail_lost(c); /* the place counts it for ever */
}

static int hand_to(struct core *c, const struct server_ops *ops, void *server_ctx,
                   struct endpoint *ep, handle_t place, handle_t caller, struct call *k,
                   const struct call_request *r, struct refusal *why)
{
    struct call *b;
    int err;

    if (r->model == CALL_FNF) {
        err = ops->open(server_ctx, NULL, r, why);
        give_back(c, place, err < 0);
        return err;
    }
    b = call_new(c, ep, r->model, slice_of(NULL, 0));
    if (b && caller) {
        b->handle = slots_put(&c->slots, SLOT_CALL, b);
        b->remote = caller;
    }
    if (!b ||
        (caller && (!b->handle || !call_mail_word(c, MAIL_CALL_TAKEN, caller, 0, b->handle)))) {
        if (b)
            call_end(b);
        give_back(c, place, true);
        return refuse_no_memory(why);
    }
    b->place = place;
    b->credit = r->model == CALL_RESPONSE ? 1 : r->credit;
    b->may_hear &= !r->complete;
    b->peer = k;
    if (k)
        k->peer = b;
    b->opening = true;
    err = ops->open(server_ctx, b, r, why);
    b->opening = false;
    if (b->ended) {
        free(b);
    } else if (err < 0) {
        b->remote = 0;
        b->place = 0;
        call_end(b);
        give_back(c, place, true);
    }
    return err;
}

/* Openings have no credit: to a server that does not read what it is sent only so many go. Not
 * none: its output may be full for a moment only, and a call refused is not sent again. */
static int check_unread(const struct server *s, const struct call_request *r, struct refusal *why)
{
    const struct call_payload *p = &r->first;
    struct calling *a = s->ep->seldom->calling;

    if (s->ep->writable)
        return 0;
    if (a->unread_bytes >= CALL_UNREAD_BYTES) {
        refuse(why, REASON_FULL, "the server does not read what it is sent");
        return -ENOBUFS;
    }
    a->unread_bytes += CALL_OPENING_BYTES + p->headers.n + p->native.n + p->data.n;
    return 0;
}

/* May this server (NULL: it has gone) have it? What is refused here may go to another. */
static int check_server(const struct server *s, const struct call_request *r, struct refusal *why)
{
    int err = s ? 0 : -ESTALE;

    if (err == 0 && s->ops->room)
        err = s->ops->room(s->ctx, why);
    return err < 0 ? err : check_unread(s, r, why);
}

/* ---------------------------------------------------------------------------- calls that wait */

/* A request that waits, with its bytes. */
struct kept_request {
    struct call_request r;
    size_t size;
    uint8_t bytes[];
};

static struct slice keep_slice(uint8_t **at, struct slice s)
{
    uint8_t *to = *at;

    if (s.n)
        memcpy(to, s.p, s.n);
    *at += s.n;
    return slice_of(s.p ? to : NULL, s.n);
}

static struct kept_request *kept_new(const struct call_request *r)
{
    const struct call_payload *p = &r->first;
    size_t n = r->service.n + r->method.n + p->headers.n + p->native.n + p->type.name.n +
               (p->block ? 0 : p->data.n);
    struct kept_request *k = malloc(sizeof *k + n);
    uint8_t *at;

    if (!k)
        return NULL;
    at = k->bytes;
    k->r = *r;
    k->size = sizeof *k + n + (p->block ? p->data.n : 0);
    k->r.service = keep_slice(&at, r->service);
    k->r.method = keep_slice(&at, r->method);
    k->r.first.headers = keep_slice(&at, p->headers);
    k->r.first.native = keep_slice(&at, p->native);
    k->r.first.type.name = keep_slice(&at, p->type.name);
    if (p->block)
        block_ref(p->block);
    else
        k->r.first.data = keep_slice(&at, p->data);
    return k;
}

static void kept_free(struct kept_request *k)
{
    block_unref(k->r.first.block);
    free(k);
}

/* Out of the line; what it kept is the caller's to free. */
static struct kept_request *leave_line(struct call *k)
{
    struct kept_request *kept = k->kept;

    if (!kept)
        return NULL;
    k->kept = NULL;
    list_remove(&k->waiter);
    heap_remove(&k->core->timers, &k->timer.node);
    k->service->waiting_n--;
    service_trim(k->service);
    k->service = NULL;
    if (k->ep)
        k->ep->seldom->calling->waiting_bytes -= kept->size;
    core_charge(k->core, -(int64_t)kept->size);
    return kept;
}

void opening_forget(struct call *k)
{
    struct kept_request *kept = leave_line(k);

    if (kept)
        kept_free(kept);
}

static int refuse_no_server(struct slice service, struct refusal *why)
{
    refuse(why, REASON_NO_SERVER, "nobody serves \"%.*s\"",
           (int)(service.n < 120 ? service.n : 120), (const char *)service.p);
    return -ENOENT;
}

/* May it wait? */
static int check_wait(const struct call *k, const struct call_request *r, struct refusal *why)
{
    if (k->until_ms <= k->core->now_ms)
        return refuse_no_server(r->service, why);
    if (core_short_of_memory(k->core))
        return refuse_no_memory(why);
    if (k->ep->seldom->calling->waiting_bytes &&
        k->ep->seldom->calling->waiting_bytes + r->first.data.n > CALL_WAITING_BYTES) {
        refuse(why, REASON_LIMIT, "calls of a connection that wait for a server may have %d bytes",
               CALL_WAITING_BYTES);
        return -EMFILE;
    }
    return 0;
}

/* Into the line. It is looked at again at `at`, or when somebody serves. */
static int wait_for(struct call *k, const struct call_request *r, int64_t at, struct refusal *why)
{
    int err = check_wait(k, r, why);
    struct service *s = err == 0 ? service_get(k->core, r->service) : NULL;
    struct kept_request *kept = s ? kept_new(r) : NULL;

    if (err < 0)
        return err;
    k->timer.node.key = at < k->until_ms ? at : k->until_ms;
    if (!kept || heap_push(&k->core->timers, &k->timer.node) < 0) {
        if (kept)
            kept_free(kept);
        if (s)
            service_trim(s);
        return refuse_no_memory(why);
    }
    k->kept = kept;
    k->service = s;
    list_push_back(&s->waiting, &k->waiter);
    s->waiting_n++;
    k->ep->seldom->calling->waiting_bytes += kept->size;
    core_charge(k->core, (int64_t)kept->size);
    return 0;
}

/* ------------------------------------------------------------------------------------ opening */

static int refuse_on_way(struct refusal *why)
{
    refuse(why, REASON_LIMIT, "too many calls are on their way to another worker");
    return -EMFILE;
}

/* Who opens a call, as its service's home sees it. */
struct opener {
    struct call *k;  /* if it is here; NULL */
    handle_t caller; /* its handle; 0: nobody waits for an answer */
    uint8_t tries;   /* servers that had no room */
};

/* The home sends it to the server's worker. `more`: if that one has no room, another may. */
static int send_open(struct core *c, const struct place *p, const struct opener *o, bool more,
                     const struct call_request *r, struct refusal *why)
{
    const struct call_route at = {o->caller, p->server, p->handle, o->tries, more, false};

    if (o->k)
        o->k->away = true;
    if (call_mail_open(c, handle_worker(p->server), MAIL_CALL_OPEN, &at, r))
        return 0;
    if (o->k)
        o->k->away = false;
    give_back(c, p->handle, false);
    return refuse_on_way(why);
}

/* The home finds a server for it; who has gone loses his place, who has no room rests. -ESTALE:
 * there is none. */
static int offer(struct service *s, struct opener *o, const struct call_request *r,
                 struct refusal *why)
{
    struct core *c = s->core;
    struct place *p;

    while ((p = service_pick(s)) != NULL) {
        bool more = o->tries < CALL_TRIES && service_has_more(s, p);
        const struct server *server;
        int err;

        if (handle_worker(p->server) != c->id)
            return send_open(c, p, o, more, r, why);
        server = slots_get(&c->slots, SLOT_SERVER, p->server);
        err = check_server(server, r, why);
        if (err == 0)
            return hand_to(c, server->ops, server->ctx, server->ep, p->handle, o->k ? 0 : o->caller,
                           r->model == CALL_FNF ? NULL : o->k, r, why);
        service_not_taken(c, p->handle, !server);
        if (server && !more)
            return err;
        o->tries += server != NULL;
    }
    return -ESTALE;
}

static handle_t need_handle(struct call *k)
{
    if (!k->handle && k->model != CALL_FNF)
        k->handle = slots_put(&k->core->slots, SLOT_CALL, k);
    return k->handle;
}

/* Let somebody have the opening: -ESTALE, nobody is there now. */
static int send_from(struct call *k, struct service *s, const struct call_request *r,
                     struct refusal *why)
{
    const struct call_route none = {.caller = k->handle};
    struct opener o = {k, k->handle, k->tries};

    if (s->home == k->core->id)
        return offer(s, &o, r, why);
    if (k->tries >= CALL_TRIES)
        return -ESTALE;
    k->tries++;
    k->away = true;
    if (call_mail_open(k->core, s->home, MAIL_CALL_OPEN, &none, r))
        return 0;
    k->away = false;
    return refuse_on_way(why);
}

/* The opening goes to a server or waits for one. */
static int place_call(struct call *k, const struct call_request *r, struct refusal *why)
{
    struct service *s = service_find(k->core, r->service);
    bool elsewhere = k->core->workers > 1 && s && s->known;
    int err = -ESTALE;

    if (s && s->own)
        return hand_to(k->core, s->own, s->own_ctx, NULL, 0, 0, k, r, why);
    if (elsewhere && k->model != CALL_FNF && !need_handle(k))
        return refuse_no_memory(why);
    if (s && s->known)
        err = send_from(k, s, r, why);
    if (err != -ESTALE)
        return err;
    k->away = false;
    return wait_for(k, r, s && s->known ? k->core->now_ms + CALL_RETRY_MS : INT64_MAX, why);
}

static bool is_own(struct core *c, struct slice name)
{
    const struct service *s = service_find(c, name);

    return s && s->own;
}

static int check_open(const struct endpoint *ep, const struct call_request *r, struct refusal *why)
{
    struct core *c = ep->core;
    const char *bad = name_service_error(r->service, NAME_OF_CLIENT);

    if (bad) {
        refuse(why, REASON_INVALID, "%s", bad);
        return -EINVAL;
    }
    if (!utf8_printable(r->method)) {
        refuse(why, REASON_INVALID, "a method's name is UTF-8 without control characters");
        return -EINVAL;
    }
    if (r->service.n + r->method.n > CALL_NAMES_MAX) {
        refuse(why, REASON_INVALID, "the names of a service and its method have at most %d bytes",
               CALL_NAMES_MAX);
        return -EINVAL;
    }
    if (is_own(c, r->service) && !access_manages(ep, r->method))
        return access_not_managed(why);
    if (c->draining) {
        refuse(why, REASON_DRAINING, "the broker is about to stop");
        return -EPIPE;
    }
    if (ep->seldom->calling && ep->seldom->calling->calls_n >= c->globals.max_calls) {
        refuse(why, REASON_LIMIT, "a connection has at most %u calls open", c->globals.max_calls);
        return -EMFILE;
    }
    if (core_short_of_memory(c) && !is_own(c, r->service)) /* people ask why it is so */
        return refuse_no_memory(why);
    return 0;
}

/* An answer that came at once may have ended it. */
static struct call *opened(struct call *k)
{
    k->opening = false;
    if (k->model == CALL_FNF && !k->kept && !k->ended)
        call_end(k); /* it has gone its way */
    else if (k->ended)
        free(k);
    else if (k->model != CALL_FNF)
        return k;
    return NULL;
}

int core_call_open(struct endpoint *ep, const struct call_request *given,
                   const struct call_ops *ops, void *ctx, struct call **ret, struct refusal *why)
{
    struct core *c = ep->core;
    struct call_request r = *given;
    struct call *k = NULL;
    int err = check_open(ep, &r, why);

    if (err == 0) {
        k = call_new(c, ep, r.model, r.service);
        err = k ? 0 : refuse_no_memory(why);
    }
    if (err < 0) {
        call_count_failed(c, ep, why->reason, r.service);
        return err;
    }
    k->counted = !is_own(c, r.service);
    c->count.calls += k->counted;
    c->count.calls_open += k->counted;
    k->until_ms = r.wait_ms < 0 ? c->globals.call_wait_ms : r.wait_ms;
    k->until_ms = k->until_ms < INT64_MAX - c->now_ms ? k->until_ms + c->now_ms : INT64_MAX;
    r.credit = r.model == CALL_FNF ? 0 : r.model == CALL_RESPONSE ? 1 : r.credit;
    r.credit = call_lend_first(k, r.credit);
    if (r.model == CALL_CHANNEL)
        k->may_send = !r.complete;
    k->opening = true;
    if (r.model != CALL_FNF) {
        k->ops = ops;
        k->ctx = ctx;
    }
    err = place_call(k, &r, why);
    if (err < 0 && !k->ended) { /* nothing is called back: it is told by what is returned */
        k->opening = false;
        call_count_failed(c, ep, why->reason, r.service);
        call_drop(k);
        return err;
    }
    *ret = opened(k);
    return 0;
}

/* Again: by mail, or after a wait. What has been said meanwhile goes with it. */
static void reopen(struct call *k, const struct call_request *before)
{
    struct refusal why = {REASON_NONE, ""};
    struct call_request r = *before;
    int err;

    r.complete |= k->owed.complete;
    r.credit += k->owed.n;
    k->owed = (struct owed){0};
    k->opening = true;
    err = place_call(k, &r, &why);
    if (err < 0 && !k->ended)
        call_fail(k, &why, false);
    (void)opened(k);
}

static void go_on(struct call *k)
{
    struct kept_request *kept = leave_line(k);

    reopen(k, &kept->r);
    kept_free(kept);
}

void openings_go_on(struct service *s)
{
    for (uint64_t n = s->waiting_n; n > 0 && s->known; n--) {
        struct list_node *l = list_first(&s->waiting);

        if (!l)
            return;
        go_on(LIST_ITEM(l, struct call, waiter));
    }
}

void opening_due(struct call *k)
{
    struct refusal why;

    k->tries = 0;
    if (k->until_ms > k->core->now_ms && k->service->known) {
        go_on(k);
    } else if (k->until_ms > k->core->now_ms) {
        heap_update(&k->core->timers, &k->timer.node, k->until_ms);
    } else {
        (void)refuse_no_server(k->kept->r.service, &why);
        call_fail(k, &why, false);
    }
}

void openings_drain(struct core *c)
{
    static const struct refusal why = {REASON_DRAINING, "draining: the broker is about to stop"};
    struct map_entry *e, *next;
    struct list_node *n;

    for (e = map_next(&c->services, NULL); e; e = next) {
        struct service *s = e->value;

        next = map_next(&c->services, e);
        while (s->waiting_n && (n = list_first(&s->waiting)) != NULL) {
            bool last = s->waiting_n == 1;

            call_fail(LIST_ITEM(n, struct call, waiter), &why, false);
            if (last) /* the service may have gone with it */
                break;
        }
    }
}

/* --------------------------------------------------------------------------------------- mail */

/* Back to the caller; if nobody waits for an answer, it is counted here. */
static void refuse_remote(struct core *c, handle_t caller, const struct call_request *r,
                          const struct refusal *why)
{
    const struct call_error e = {call_code(why->reason, false), why->reason, slice_str(why->text)};

    if (!caller)
        call_count_failed(c, NULL, why->reason, r->service);
    else if (!call_mail_error(c, caller, &e))
        mail_lost(c);
}

/* Nobody serves it here, its home: the caller looks again. */
static void bounce(struct core *c, handle_t caller, const struct call_request *r)
{
    const struct call_route at = {.caller = caller};

    if (!caller)
        call_count_failed(c, NULL, REASON_NO_SERVER, r->service);
    else if (!call_mail_open(c, handle_worker(caller), MAIL_CALL_BACK, &at, r))
        mail_lost(c);
}

/* The home looks for a server; its caller is elsewhere, or is not to hear of it. */
static void open_at_home(struct core *c, const struct mail_call_open *m,
                         const struct call_request *r)
{
    struct service *s = service_find(c, r->service);
    struct opener o = {NULL, m->caller, m->tries};
    struct refusal why = {REASON_NONE, ""};
    int err = s ? offer(s, &o, r, &why) : -ESTALE;

    if (err == -ESTALE)
        bounce(c, m->caller, r);
    else if (err < 0)
        refuse_remote(c, m->caller, r, &why);
}

/* To its home again, for the next server. */
static void pass_on(struct core *c, const struct mail_call_open *m, bool gone,
                    const struct call_request *r)
{
    const struct call_route at = {
        .caller = m->caller, .place = m->place, .tries = (uint8_t)(m->tries + !gone), .gone = gone};

    if (!call_mail_open(c, handle_worker(m->place), MAIL_CALL_BACK, &at, r))
        mail_lost(c);
}

/* At the server's worker. */
static void open_at_server(struct core *c, const struct mail_call_open *m,
                           const struct call_request *r)
{
    const struct server *s = slots_get(&c->slots, SLOT_SERVER, m->server);
    struct refusal why = {REASON_NONE, ""};
    int err = check_server(s, r, &why);

    if (err < 0 && (!s || m->more)) {
        pass_on(c, m, !s, r);
        return;
    }
    if (err < 0)
        give_back(c, m->place, true);
    else
        err = hand_to(c, s->ops, s->ctx, s->ep, m->place, m->caller, NULL, r, &why);
    if (err < 0)
        refuse_remote(c, m->caller, r, &why);
}

static void take_open(struct core *c, const struct mail_call_open *m)
{
    struct call_request r = call_mail_request(m);

    if (m->server)
        open_at_server(c, m, &r);
    else
        open_at_home(c, m, &r);
}

/* From a server's worker to the home, or from there to the caller's. */
static void take_back(struct core *c, const struct mail_call_open *m)
{
    struct call_request r = call_mail_request(m);
    struct call *k;

    if (m->place)
        service_not_taken(c, m->place, m->gone);
    if (m->place && (!m->caller || handle_worker(m->caller) != c->id)) {
        open_at_home(c, m, &r);
        return;
    }
    k = slots_get(&c->slots, SLOT_CALL, m->caller);
    if (!k)
        return;
    if (m->place)
        k->tries = m->tries;
    k->away = false;
    if (k->lingering) {
        k->owed = (struct owed){0};
        call_end(k);
        return;
    }
    reopen(k, &r);
}

static void take_taken(struct core *c, const struct mail_call *m)
{
    struct call *k = slots_get(&c->slots, SLOT_CALL, m->call);
    static const struct call_error late = {CALL_CANCELED, REASON_NONE, {NULL, 0}};

    if (!k) { /* it has failed meanwhile */
        if (!call_mail_error(c, m->other, &late))
            mail_lost(c);
        return;
    }
    k->away = false;
    k->remote = m->other;
    call_pay(k);
}

static void take_next(struct core *c, const struct mail_call_next *m)
{
    struct call *k = slots_get(&c->slots, SLOT_CALL, m->call);
    struct call_payload p = call_mail_payload(&m->payload, m->bytes);

    if (k)
        call_take_next(k, &p, m->payload.complete);
}

static void take_word(struct core *c, const struct mail_call *m)
{
    struct call *k = slots_get(&c->slots, SLOT_CALL, m->call);

    if (!k)
        return;
    if (m->head.kind == MAIL_CALL_N)
        call_hear_n(k, m->n);
    else if (m->head.kind == MAIL_CALL_COMPLETE)
        call_hear_complete(k);
    else if (m->head.kind == MAIL_CALL_CANCEL)
        call_hear_cancel(k);
    else
        call_hear_error(k, &(struct call_error){m->code, (enum reason)m->reason,
                                                slice_of(m->bytes, m->text_n)});
}

void opening_take(struct core *c, struct entry *e)
{
    switch (e->kind) {
    case MAIL_CALL_OPEN:
        take_open(c, (const struct mail_call_open *)e);
        break;
    case MAIL_CALL_BACK:
        take_back(c, (const struct mail_call_open *)e);
        break;
    case MAIL_CALL_NEXT:
        take_next(c, (const struct mail_call_next *)e);
        break;
    case MAIL_CALL_TAKEN:
        take_taken(c, (const struct mail_call *)e);
        break;
    case MAIL_CALL_ENDED:
        (void)service_call_ended(c, ((const struct mail_call *)e)->call,
                                 ((const struct mail_call *)e)->n);
        break;
    default:
        take_word(c, (const struct mail_call *)e);
        break;
    }
    call_mail_release(e);
}
