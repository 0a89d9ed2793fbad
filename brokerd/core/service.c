/* Who serves what: worker 0's registry, homes and their places. */
#include "brokerd/core/service.h"

#include "brokerd/core/call_mail.h"
#include "brokerd/core/opening.h"
#include "brokerd/core/refusal.h"
#include "libbroker/base/name.h"

#include <errno.h>
#include <stdlib.h>

/* --------------------------------------------------------------------------------- services */

struct service *service_find(struct core *c, struct slice name)
{
    return map_get(&c->services, name);
}

struct service *service_get(struct core *c, struct slice name)
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

void service_trim(struct service *s)
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

/* Say a word to a worker, which may be this one. */
static void tell(struct core *c, unsigned to, enum mail_kind kind, struct slice name,
                 handle_t server, void (*here)(struct core *c, struct slice name, handle_t server))
{
    if (to == c->id)
        here(c, name, server);
    else if (!post_word(c, to, kind, name, server))
        mail_lost(c);
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

/* Everybody hears where the service is at home, or that nobody serves it any more. */
static void announce(struct service *s, bool is_known)
{
    struct core *c = s->core;
    struct registry *g = s->registry;

    for (unsigned w = 1; w < c->workers; w++) {
        struct mail_service *m = post_word(c, w, MAIL_SERVICE, service_name(s), 0);

        if (!m) {
            mail_lost(c);
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
        openings_go_on(s);
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
        mail_lost(c);
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
        mail_lost(c);
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

/* Of several the one whose turn it is; it goes to the end of the line. */
struct place *service_pick(struct service *s)
{
    struct place *best = NULL;

    for (struct list_node *n = list_first(&s->places); n; n = list_next(&s->places, n)) {
        struct place *p = LIST_ITEM(n, struct place, link);

        if (!best || better(p, best, s->core->now_ms))
            best = p;
        if (!best->open && best->rests_until_ms <= s->core->now_ms)
            break;
    }
    if (!best)
        return NULL;
    list_move_to_back(&s->places, &best->link);
    best->open++;
    best->opened++;
    return best;
}

bool service_has_more(const struct service *s, const struct place *p)
{
    for (struct list_node *n = list_first(&s->places); n; n = list_next(&s->places, n)) {
        const struct place *other = LIST_ITEM(n, struct place, link);

        if (other != p && other->rests_until_ms <= s->core->now_ms)
            return true;
    }
    return false;
}

void service_not_taken(struct core *c, handle_t place, bool gone)
{
    struct place *p = slots_get(&c->slots, SLOT_PLACE, place);

    if (p && gone)
        place_free(p); /* the service stays, for who is at it, until worker 0's word */
    else if (p)
        (void)service_call_ended(c, place, true);
}

bool service_call_ended(struct core *c, handle_t place, bool refused)
{
    struct place *p = slots_get(&c->slots, SLOT_PLACE, place);

    if (c->ending)
        return true;
    if (handle_worker(place) != c->id)
        return call_mail_word(c, MAIL_CALL_ENDED, place, refused, 0);
    if (p) {
        p->open--;
        if (refused)
            p->rests_until_ms = c->now_ms + PLACE_RESTS_MS;
    }
    return true;
}

/* ------------------------------------------------------------------------------ who serves */

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
        refuse(why, REASON_INVALID, "%s", bad);
        return -EINVAL;
    }
    if (s && s->own) {
        refuse(why, REASON_DENIED, "the broker itself serves this");
        return -EACCES;
    }
    if (ep->core->draining) {
        refuse(why, REASON_DRAINING, "the broker is about to stop");
        return -EPIPE;
    }
    if (ep->seldom->calling && serves(ep->seldom->calling, name)) {
        refuse(why, REASON_INVALID, "this connection serves it already");
        return -EEXIST;
    }
    if (ep->seldom->calling && ep->seldom->calling->servers_n >= SERVERS_MAX) {
        refuse(why, REASON_LIMIT, "a connection serves at most %d services", SERVERS_MAX);
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
        refuse_memory(why);
        return -ENOMEM;
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

/* --------------------------------------------------------------------------------------- mail */

static void take_service(struct core *c, const struct mail_service *m)
{
    struct slice name = slice_of(m->name, m->name_n);
    struct service *s = m->is_known ? service_get(c, name) : service_find(c, name);

    if (s) {
        s->known = m->is_known;
        s->home = m->home;
    } else if (m->is_known) {
        mail_lost(c); /* calls from here find nobody */
    }
    if (m->token) {
        struct mail_seen *seen = mail_post(c, m->head.from, MAIL_SEEN, sizeof *seen, true);

        if (seen)
            seen->token = m->token;
        else
            mail_lost(c);
    }
    if (s && s->known)
        openings_go_on(s);
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
