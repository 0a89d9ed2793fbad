/* Who serves what: worker 0's registry, homes and their places, the line of calls that wait. */
#include "brokerd/core/service.h"

#include "brokerd/core/budget.h"
#include "brokerd/core/call_mail.h"
#include "brokerd/core/names.h"
#include "libbroker/base/name.h"
#include "libbroker/base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void say(struct refusal *why, enum reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct refusal *why, enum reason reason, const char *fmt, ...)
{
    int n = snprintf(why->text, sizeof why->text, "%s: ", reason_name(reason));
    va_list ap;

    why->reason = reason;
    va_start(ap, fmt);
    (void)vsnprintf(why->text + n, sizeof why->text - (size_t)n, fmt, ap);
    va_end(ap);
}

static int no_memory(struct refusal *why)
{
    say(why, REASON_MEMORY, "the broker has no memory for this");
    return -ENOMEM;
}

/* --------------------------------------------------------------------------------- services */

static struct service *service_find(struct core *c, struct slice name)
{
    return map_get(&c->services, name);
}

static struct service *service_get(struct core *c, struct slice name)
{
    struct service *s = service_find(c, name);

    if (s)
        return s;
    s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->core = c;
    list_init(&s->waiting);
    list_init(&s->places);
    s->entry = map_add(&c->services, name, s);
    if (s->entry)
        return s;
    free(s);
    return NULL;
}

static struct slice service_name(const struct service *s)
{
    return map_key(s->entry);
}

/* Forgotten if there is nothing to remember. */
static void service_trim(struct service *s)
{
    if (s->own || s->known || s->waiting_n || !list_empty(&s->places) || s->registry)
        return;
    map_remove(&s->core->services, s->entry);
    free(s);
}

static void place_free(struct place *p)
{
    list_remove(&p->link);
    slots_drop(&p->service->core->slots, p->handle);
    free(p);
}

static void registry_free(struct service *s)
{
    struct list_node *n;

    if (!s->registry)
        return;
    while ((n = list_pop(&s->registry->members)) != NULL)
        free(LIST_ITEM(n, struct member, link));
    slots_drop(&s->core->slots, s->registry->handle);
    free(s->registry);
    s->registry = NULL;
}

void services_free(struct core *c)
{
    struct map_entry *e = NULL;
    struct list_node *n;
    struct call *k;

    while ((e = map_next(&c->services, e)) != NULL) {
        struct service *s = e->value;

        while ((n = list_first(&s->places)) != NULL)
            place_free(LIST_ITEM(n, struct place, link));
        registry_free(s);
        free(s);
    }
    map_fini(&c->services);
    for (uint32_t at = 0; (k = slots_next(&c->slots, SLOT_CALL, &at)) != NULL;)
        free(k); /* nobody had it any more */
    while ((n = list_pop(&c->parting)) != NULL)
        free(LIST_ITEM(n, struct server, link));
}

int core_serve_own(struct core *c, const char *name, const struct server_ops *ops, void *ctx)
{
    struct service *s = service_get(c, slice_str(name));

    if (!s)
        return -ENOMEM;
    s->own = ops;
    s->own_ctx = ctx;
    return 0;
}

/* ----------------------------------------------------------------------- word of a service */

static struct mail_service *post_word(struct core *c, unsigned to, enum mail_kind kind,
                                      struct slice name, handle_t server)
{
    struct mail_service *m = mail_post(c, to, kind, sizeof *m + name.n, true);

    if (!m)
        return NULL;
    m->server = server;
    m->token = 0;
    m->home = 0;
    m->is_known = 0;
    m->name_n = (uint8_t)name.n;
    memcpy(m->name, name.p, name.n);
    return m;
}

static void count_lost(struct core *c)
{
    c->count.reason[REASON_MEMORY]++;
}

/* Say a word to a worker, which may be this one. */
static void tell(struct core *c, unsigned to, enum mail_kind kind, struct slice name,
                 handle_t server, void (*here)(struct core *c, struct slice name, handle_t server))
{
    if (to == c->id)
        here(c, name, server);
    else if (!post_word(c, to, kind, name, server))
        count_lost(c);
}

static void served_here(struct core *c, struct slice name, handle_t server)
{
    const struct server *s = slots_get(&c->slots, SLOT_SERVER, server);

    (void)name;
    if (s && s->ops->ready)
        s->ops->ready(s->ctx);
}

/* -------------------------------------------------------------------------------- worker 0 */

/* Servers that all know of by now are told so. */
static void welcome(struct service *s)
{
    struct registry *g = s->registry;

    if (!g->told || g->unseen)
        return;
    for (struct list_node *n = list_first(&g->members); n; n = list_next(&g->members, n)) {
        struct member *m = LIST_ITEM(n, struct member, link);

        if (!m->placed || m->welcome)
            continue;
        m->welcome = true;
        tell(s->core, handle_worker(m->server), MAIL_SERVED, service_name(s), m->server,
             served_here);
    }
}

static void reopen_waiting(struct service *s);

/* Everybody hears where the service is at home, or that nobody serves it any more. */
static void announce(struct service *s, bool is_known)
{
    struct core *c = s->core;
    struct registry *g = s->registry;

    for (unsigned w = 1; w < c->workers; w++) {
        struct mail_service *m = post_word(c, w, MAIL_SERVICE, service_name(s), 0);

        if (!m) {
            count_lost(c);
            continue;
        }
        m->is_known = is_known;
        m->home = (uint16_t)g->home;
        m->token = is_known ? g->handle : 0;
        g->unseen += is_known;
    }
    g->told = is_known;
    s->known = is_known;
    s->home = g->home;
    if (is_known)
        reopen_waiting(s);
}

void service_seen(struct core *c, uint64_t token)
{
    struct service *s = slots_get(&c->slots, SLOT_REGISTRY, token);

    if (s && s->registry->unseen && --s->registry->unseen == 0)
        welcome(s);
}

static struct registry *registry_get(struct service *s)
{
    struct registry *g = s->registry;

    if (g)
        return g;
    g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    list_init(&g->members);
    g->handle = slots_put(&s->core->slots, SLOT_REGISTRY, s);
    if (!g->handle) {
        free(g);
        return NULL;
    }
    s->registry = g;
    return g;
}

static void place_here(struct core *c, struct slice name, handle_t server);
static void unplace_here(struct core *c, struct slice name, handle_t server);

/* A server came. Without memory nobody hears of it: it has no place, and so no calls. */
static void serve_here(struct core *c, struct slice name, handle_t server)
{
    struct service *s = service_get(c, name);
    struct registry *g = s ? registry_get(s) : NULL;
    struct member *m = g ? calloc(1, sizeof *m) : NULL;

    if (!m) {
        count_lost(c);
        if (g && list_empty(&g->members))
            registry_free(s);
        if (s)
            service_trim(s);
        return;
    }
    if (list_empty(&g->members))
        g->home = handle_worker(server);
    m->server = server;
    list_push_back(&g->members, &m->link);
    tell(c, g->home, MAIL_SERVE, name, server, place_here);
}

static struct member *find_member(const struct service *s, handle_t server)
{
    struct list_node *n = s && s->registry ? list_first(&s->registry->members) : NULL;

    for (; n; n = list_next(&s->registry->members, n))
        if (LIST_ITEM(n, struct member, link)->server == server)
            return LIST_ITEM(n, struct member, link);
    return NULL;
}

static void unserve_here(struct core *c, struct slice name, handle_t server)
{
    struct service *s = service_find(c, name);
    struct member *m = find_member(s, server);
    unsigned home;

    if (!m)
        return;
    list_remove(&m->link);
    free(m);
    if (!list_empty(&s->registry->members)) {
        tell(c, s->registry->home, MAIL_UNSERVE, name, server, unplace_here);
        return;
    }
    if (s->registry->told)
        announce(s, false);
    home = s->registry->home;
    registry_free(s);
    tell(c, home, MAIL_UNSERVE, name, server, unplace_here); /* the service may go with it */
    s = service_find(c, name);
    if (s)
        service_trim(s);
}

static void placed_here(struct core *c, struct slice name, handle_t server)
{
    struct service *s = service_find(c, name);
    struct member *m = find_member(s, server);

    if (!m)
        return;
    m->placed = true;
    if (!s->registry->told)
        announce(s, true);
    welcome(s);
}

/* ------------------------------------------------------------------------------------ home */

static void place_here(struct core *c, struct slice name, handle_t server)
{
    struct service *s = service_get(c, name);
    struct place *p = s ? calloc(1, sizeof *p) : NULL;

    if (p)
        p->handle = slots_put(&c->slots, SLOT_PLACE, p);
    if (!p || !p->handle) {
        free(p);
        count_lost(c);
        if (s)
            service_trim(s);
        return;
    }
    p->service = s;
    p->server = server;
    list_push_back(&s->places, &p->link);
    tell(c, 0, MAIL_PLACED, name, server, placed_here);
}

static void unplace_here(struct core *c, struct slice name, handle_t server)
{
    struct service *s = service_find(c, name);
    struct list_node *n, *next;

    for (n = s ? list_first(&s->places) : NULL; n; n = next) {
        struct place *p = LIST_ITEM(n, struct place, link);

        next = list_next(&s->places, n);
        if (p->server == server)
            place_free(p);
    }
    if (s)
        service_trim(s);
}

/* One that has just refused a call comes after those that have not: it has few calls open, and
 * would draw all new ones. */
static bool better(const struct place *p, const struct place *than, int64_t now_ms)
{
    bool rests = p->rests_until_ms > now_ms;

    if (rests != (than->rests_until_ms > now_ms))
        return !rests;
    return p->open < than->open;
}

/* The server with the fewest calls open; of several the one whose turn it is. It goes to the end of
 * the line. NULL: there is none. */
static struct place *pick(struct service *s)
{
    struct place *best = NULL;

    for (struct list_node *n = list_first(&s->places); n; n = list_next(&s->places, n)) {
        struct place *p = LIST_ITEM(n, struct place, link);

        if (!best || better(p, best, s->core->now_ms))
            best = p;
        if (!best->open && best->rests_until_ms <= s->core->now_ms)
            break;
    }
    if (best)
        list_move_to_back(&s->places, &best->link);
    return best;
}

void service_call_ended(struct core *c, handle_t place, bool refused)
{
    struct place *p = slots_get(&c->slots, SLOT_PLACE, place);

    if (c->ending)
        return;
    if (handle_worker(place) != c->id) {
        if (!call_mail_word(c, MAIL_CALL_ENDED, place, refused, 0))
            count_lost(c);
    } else if (p) {
        p->open--;
        if (refused)
            p->rests_until_ms = c->now_ms + PLACE_RESTS_MS;
    }
}

/* ----------------------------------------------------------------------------- the server's */

static int hand_to(struct core *c, const struct server_ops *ops, void *server_ctx,
                   struct endpoint *ep, handle_t place, handle_t caller, struct call *k,
                   const struct call_request *r, struct refusal *why)
{
    struct call *b;
    int err;

    if (r->model == CALL_FNF) {
        err = ops->open(server_ctx, NULL, r, why);
        if (place)
            service_call_ended(c, place, err < 0);
        return err;
    }
    b = call_new(c, ep, r->model, false);
    if (b && caller) {
        b->handle = slots_put(&c->slots, SLOT_CALL, b);
        b->remote = caller;
    }
    if (!b ||
        (caller && (!b->handle || !call_mail_word(c, MAIL_CALL_TAKEN, caller, 0, b->handle)))) {
        if (b)
            call_end(b);
        if (place)
            service_call_ended(c, place, true);
        return no_memory(why);
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
        if (place)
            service_call_ended(c, place, true);
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
        say(why, REASON_FULL, "the server does not read what it is sent");
        return -ENOBUFS;
    }
    a->unread_bytes += CALL_OPENING_BYTES + p->headers.n + p->native.n + p->data.n;
    return 0;
}

int service_hand(struct core *c, handle_t server, handle_t place, handle_t caller, struct call *k,
                 const struct call_request *r, struct refusal *why)
{
    const struct server *s = slots_get(&c->slots, SLOT_SERVER, server);
    int err = s ? check_unread(s, r, why) : -ESTALE;

    if (err == 0)
        return hand_to(c, s->ops, s->ctx, s->ep, place, caller, k, r, why);
    if (place) /* asked after the others: until its home hears that it has gone, too */
        service_call_ended(c, place, true);
    return err;
}

static bool serves(const struct calling *a, struct slice name)
{
    for (struct list_node *n = list_first(&a->servers); n; n = list_next(&a->servers, n))
        if (slice_eq(core_server_name(LIST_ITEM(n, struct server, link)), name))
            return true;
    return false;
}

/* May `ep` serve `name`? */
static int check_serve(const struct endpoint *ep, struct slice name, struct refusal *why)
{
    const struct service *s = service_find(ep->core, name);
    const char *bad = name_service_error(name, NAME_OF_CLIENT);

    if (bad) {
        say(why, REASON_INVALID, "%s", bad);
        return -EINVAL;
    }
    if (s && s->own) {
        say(why, REASON_DENIED, "the broker itself serves this");
        return -EACCES;
    }
    if (ep->core->draining) {
        say(why, REASON_DRAINING, "the broker is about to stop");
        return -EPIPE;
    }
    if (ep->seldom->calling && serves(ep->seldom->calling, name)) {
        say(why, REASON_INVALID, "this connection serves it already");
        return -EEXIST;
    }
    if (ep->seldom->calling && ep->seldom->calling->servers_n >= SERVERS_MAX) {
        say(why, REASON_LIMIT, "a connection serves at most %d services", SERVERS_MAX);
        return -EMFILE;
    }
    return 0;
}

int core_serve(struct endpoint *ep, struct slice name, const struct server_ops *ops, void *ctx,
               struct server **ret, struct refusal *why)
{
    int r = check_serve(ep, name, why);
    struct server *s = r == 0 ? calloc(1, sizeof *s + name.n) : NULL;
    struct calling *a = s ? calling_of(ep) : NULL;

    if (r < 0)
        return r;
    if (a)
        s->handle = slots_put(&ep->core->slots, SLOT_SERVER, s);
    if (!a || !s->handle) {
        free(s);
        calling_trim(ep);
        return no_memory(why);
    }
    s->ep = ep;
    s->ops = ops;
    s->ctx = ctx;
    s->name_n = (uint8_t)name.n;
    memcpy(s->name, name.p, name.n);
    list_push_back(&a->servers, &s->link);
    a->servers_n++;
    ep->has_consumed = true; /* it stays on this core */
    *ret = s;                /* it may be ready before this returns */
    tell(ep->core, 0, MAIL_SERVE, core_server_name(s), s->handle, serve_here);
    return 0;
}

/* Worker 0 is told that it has left. False: not yet. */
static bool part(struct core *c, struct server *s)
{
    if (c->ending)
        ;
    else if (c->id == 0)
        unserve_here(c, core_server_name(s), s->was);
    else if (!post_word(c, 0, MAIL_UNSERVE, core_server_name(s), s->was))
        return false;
    free(s);
    return true;
}

void core_unserve(struct server *s)
{
    struct endpoint *ep;
    struct core *c;

    if (!s)
        return;
    ep = s->ep;
    c = ep->core;
    list_remove(&s->link);
    ep->seldom->calling->servers_n--;
    calling_trim(ep);
    s->was = s->handle;
    slots_drop(&c->slots, s->handle);
    if (part(c, s))
        return;
    list_push_back(&c->parting, &s->link);
    c->owes = true;
}

struct slice core_server_name(const struct server *s)
{
    return slice_of(s->name, s->name_n);
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

void service_forget(struct call *k)
{
    struct kept_request *kept = leave_line(k);

    if (kept)
        kept_free(kept);
}

static int refuse_no_server(struct slice service, struct refusal *why)
{
    say(why, REASON_NO_SERVER, "nobody serves \"%.*s\"", (int)(service.n < 120 ? service.n : 120),
        (const char *)service.p);
    return -ENOENT;
}

/* May it wait? */
static int check_wait(const struct call *k, const struct call_request *r, struct refusal *why)
{
    if (k->until_ms <= k->core->now_ms)
        return refuse_no_server(r->service, why);
    if (core_short_of_memory(k->core))
        return no_memory(why);
    if (k->ep->seldom->calling->waiting_bytes &&
        k->ep->seldom->calling->waiting_bytes + r->first.data.n > CALL_WAITING_BYTES) {
        say(why, REASON_LIMIT, "calls of a connection that wait for a server may have %d bytes",
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
        return no_memory(why);
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

/* Send the opening from here, its caller's worker or the service's home, to the server's. `k` is
 * the caller, if it is here. */
static int send_open(struct core *c, const struct place *p, handle_t caller, struct call *k,
                     const struct call_request *r, struct refusal *why)
{
    const struct call_route at = {caller, p->server, p->handle};

    if (handle_worker(p->server) == c->id)
        return service_hand(c, p->server, p->handle, caller, k, r, why);
    if (call_mail_open(c, handle_worker(p->server), MAIL_CALL_OPEN, &at, r))
        return 0;
    service_call_ended(c, p->handle, false);
    say(why, REASON_LIMIT, "too many calls are on their way to another worker");
    return -EMFILE;
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
    struct core *c = k->core;
    struct place *p;

    if (!s->known)
        return -ESTALE;
    if (s->home != c->id) {
        k->away = true;
        if (call_mail_open(c, s->home, MAIL_CALL_OPEN, &none, r))
            return 0;
        k->away = false;
        say(why, REASON_LIMIT, "too many calls are on their way to another worker");
        return -EMFILE;
    }
    p = pick(s);
    if (!p)
        return -ESTALE;
    p->open++;
    p->opened++;
    if (handle_worker(p->server) == c->id)
        return service_hand(c, p->server, p->handle, 0, k->model == CALL_FNF ? NULL : k, r, why);
    k->away = true;
    return send_open(c, p, k->handle, NULL, r, why);
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
        return no_memory(why);
    while (err == -ESTALE && s && s->known && k->tries < CALL_TRIES) {
        k->tries++;
        err = send_from(k, s, r, why);
    }
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
        say(why, REASON_INVALID, "%s", bad);
        return -EINVAL;
    }
    if (!utf8_printable(r->method)) {
        say(why, REASON_INVALID, "a method's name is UTF-8 without control characters");
        return -EINVAL;
    }
    if (r->service.n + r->method.n > CALL_NAMES_MAX) {
        say(why, REASON_INVALID, "the names of a service and its method have at most %d bytes",
            CALL_NAMES_MAX);
        return -EINVAL;
    }
    if (c->draining) {
        say(why, REASON_DRAINING, "the broker is about to stop");
        return -EPIPE;
    }
    if (ep->seldom->calling && ep->seldom->calling->calls_n >= c->globals.max_calls) {
        say(why, REASON_LIMIT, "a connection has at most %u calls open", c->globals.max_calls);
        return -EMFILE;
    }
    if (core_short_of_memory(c) && !is_own(c, r->service)) /* people ask why it is so */
        return no_memory(why);
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
    struct call *k;
    int err = check_open(ep, &r, why);

    if (err == 0) {
        k = call_new(c, ep, r.model, true);
        err = k ? 0 : no_memory(why);
    }
    if (err < 0) {
        call_count_failed(c, ep, why->reason, service_find(c, r.service));
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
        call_count_failed(c, ep, why->reason, service_find(c, r.service));
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

/* Each that waits now, once. */
static void reopen_waiting(struct service *s)
{
    for (uint64_t n = s->waiting_n; n > 0 && s->known; n--) {
        struct list_node *l = list_first(&s->waiting);

        if (!l)
            return;
        go_on(LIST_ITEM(l, struct call, waiter));
    }
}

void service_due(struct call *k)
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

void services_drain(struct core *c)
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
        call_count_failed(c, NULL, why->reason, service_find(c, r->service));
    else if (!call_mail_error(c, caller, &e))
        count_lost(c);
}

static void bounce(struct core *c, handle_t caller, const struct call_request *r)
{
    const struct call_route at = {.caller = caller};

    if (!caller)
        call_count_failed(c, NULL, REASON_NO_SERVER, service_find(c, r->service));
    else if (!call_mail_open(c, handle_worker(caller), MAIL_CALL_BACK, &at, r))
        count_lost(c);
}

static void take_open(struct core *c, const struct mail_call_open *m)
{
    struct call_request r = call_mail_request(m);
    struct refusal why = {REASON_NONE, ""};
    struct service *s;
    struct place *p = NULL;
    int err;

    if (m->server) {
        err = service_hand(c, m->server, m->place, m->caller, NULL, &r, &why);
    } else {
        s = service_find(c, r.service);
        p = s ? pick(s) : NULL;
        err = -ESTALE;
        if (p) {
            p->open++;
            p->opened++;
            err = send_open(c, p, m->caller, NULL, &r, &why);
        }
    }
    if (err == -ESTALE)
        bounce(c, m->caller, &r);
    else if (err < 0)
        refuse_remote(c, m->caller, &r, &why);
}

static void take_back(struct core *c, const struct mail_call_open *m)
{
    struct call *k = slots_get(&c->slots, SLOT_CALL, m->caller);
    struct call_request r = call_mail_request(m);

    if (!k)
        return;
    k->away = false;
    if (k->lingering) {
        k->owed = (struct owed){0};
        call_end(k);
        return;
    }
    reopen(k, &r);
}

static void take_service(struct core *c, const struct mail_service *m)
{
    struct slice name = slice_of(m->name, m->name_n);
    struct service *s = m->is_known ? service_get(c, name) : service_find(c, name);

    if (s) {
        s->known = m->is_known;
        s->home = m->home;
    } else if (m->is_known) {
        count_lost(c); /* calls from here find nobody */
    }
    if (m->token) {
        struct mail_seen *seen = mail_post(c, m->head.from, MAIL_SEEN, sizeof *seen, true);

        if (seen)
            seen->token = m->token;
        else
            count_lost(c);
    }
    if (s && s->known)
        reopen_waiting(s);
    if (s)
        service_trim(s);
}

void service_take(struct core *c, struct entry *e)
{
    const struct mail_service *m = (const struct mail_service *)e;
    struct slice name = slice_of(m->name, m->name_n);

    switch (e->kind) {
    case MAIL_SERVE:
        if (c->id == 0)
            serve_here(c, name, m->server);
        else
            place_here(c, name, m->server);
        break;
    case MAIL_UNSERVE:
        if (c->id == 0)
            unserve_here(c, name, m->server);
        else
            unplace_here(c, name, m->server);
        break;
    case MAIL_PLACED:
        placed_here(c, name, m->server);
        break;
    case MAIL_SERVED:
        served_here(c, name, m->server);
        break;
    default:
        take_service(c, m);
        break;
    }
}

static void take_taken(struct core *c, const struct mail_call *m)
{
    struct call *k = slots_get(&c->slots, SLOT_CALL, m->call);
    static const struct call_error late = {CALL_CANCELED, REASON_NONE, {NULL, 0}};

    if (!k) { /* it has failed meanwhile */
        if (!call_mail_error(c, m->other, &late))
            count_lost(c);
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

void service_take_call(struct core *c, struct entry *e)
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
        service_call_ended(c, ((const struct mail_call *)e)->call,
                           ((const struct mail_call *)e)->n);
        break;
    default:
        take_word(c, (const struct mail_call *)e);
        break;
    }
    call_mail_release(e);
}

bool services_pay(struct core *c)
{
    struct list_node *n, *next;

    for (n = list_first(&c->owing); n; n = next) {
        next = list_next(&c->owing, n);
        call_pay(LIST_ITEM(n, struct call, owing));
    }
    while ((n = list_pop(&c->parting)) != NULL) {
        if (part(c, LIST_ITEM(n, struct server, link)))
            continue;
        list_push_front(&c->parting, n);
        break;
    }
    c->owes = !list_empty(&c->owing) || !list_empty(&c->parting);
    return !c->owes;
}
