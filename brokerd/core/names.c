#include "brokerd/core/names.h"

#include "brokerd/core/adopt.h"
#include "brokerd/core/consume.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/durable.h"
#include "brokerd/core/found.h"
#include "brokerd/core/mail.h"
#include "brokerd/core/making.h"
#include "brokerd/core/outlet.h"
#include "brokerd/core/parked.h"
#include "brokerd/core/question.h"
#include "brokerd/core/queue.h"
#include "brokerd/core/service.h"
#include "libbroker/base/hash.h"
#include "libbroker/base/headers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Named queues of one broker: what peers can make must end somewhere. */
enum { NAMES_MAX = 65536 };

/* Filters of one queue: whoever attaches may add some, and they stay. */
enum { BINDINGS_MAX = 1024 };

const uint8_t names_unbound[NAMES_UNBOUND_SIZE] = "\5$bind\0\4none";

/* --------------------------------------------------------------------- the directory */

struct named *names_get(struct core *c, struct slice name)
{
    struct named *n = map_get(&c->names, name);

    if (n)
        return n;
    n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    list_init(&n->waiters);
    list_init(&n->parked);
    n->topic = topic_new(name, 0);
    n->entry = n->topic ? map_add(&c->names, name, n) : NULL;
    if (!n->entry) {
        topic_unref(n->topic);
        free(n);
        return NULL;
    }
    return n;
}

void named_free(struct named *n)
{
    topic_unref(n->topic);
    free(n);
}

/* Forget a name that nobody holds and that leads nowhere. */
static void names_trim(struct core *c, struct named *n)
{
    if (n->state != NAMED_UNKNOWN || n->refs || n->making || !list_empty(&n->waiters) ||
        !list_empty(&n->parked))
        return;
    map_remove(&c->names, n->entry);
    named_free(n);
}

struct named *names_hold(struct named *n)
{
    n->refs++;
    return n;
}

void names_release(struct core *c, struct named *n)
{
    if (n && --n->refs == 0)
        names_trim(c, n);
}

/* -------------------------------------------------------------------------- bindings */

/* Tell all other workers of an interest; those who will answer. */
unsigned names_announce(struct core *c, struct slice filter, bool on, handle_t token)
{
    unsigned n = 0;

    for (unsigned w = 0; w < c->workers; w++) {
        struct mail_interest *m;

        if (w == c->id)
            continue;
        m = mail_post(c, w, MAIL_INTEREST, sizeof *m + filter.n, true);
        if (!m) {
            c->count.reason[REASON_MEMORY]++;
            continue;
        }
        m->token = token;
        m->on = on;
        m->filter_n = (uint16_t)filter.n;
        memcpy(m->filter, filter.p, filter.n);
        n++;
    }
    return n;
}

static struct binding *binding_new(struct slice filter)
{
    struct binding *b = malloc(offsetof(struct binding, filter) + filter.n);

    if (!b)
        return NULL;
    b->next = NULL;
    b->n = (uint8_t)filter.n;
    b->is_wanted = false;
    memcpy(b->filter, filter.p, filter.n);
    return b;
}

int names_bind(struct queue *q, struct slice filter, handle_t token)
{
    struct core *c = q->core;
    struct binding **last = &q->bindings;
    bool is_label = !q->is_named && !q->bindings_n;
    struct binding *b = NULL;
    int r;

    if (!is_label && !(b = binding_new(filter)))
        return -ENOMEM;
    r = tree_bind(c->tree, filter, q);
    if (r >= 0 && q->bindings_n == BINDINGS_MAX) {
        (void)tree_unbind(c->tree, filter, q);
        r = -ENOSPC;
    }
    if (r < 0) {
        free(b);
        if (r != -EEXIST)
            return r;
        /* Bound already, perhaps a moment ago: that it is asked again behind the first
         * announcement tells the asker when all have seen that one. */
        return (int)names_announce(c, filter, true, token);
    }
    while (*last)
        last = &(*last)->next;
    *last = b;
    q->bindings_n++;
    outlet_want(q, filter, b);
    return (int)names_announce(c, filter, true, token);
}

void names_unbind_all(struct queue *q)
{
    struct filter_walk w = {0};
    struct slice filter;
    struct binding *b;

    outlet_unwant(q);
    while (queue_next_filter(q, &w, &filter))
        if (tree_unbind(q->core->tree, filter, q) == 1)
            names_announce(q->core, filter, false, 0);
    while ((b = q->bindings) != NULL) {
        q->bindings = b->next;
        free(b);
    }
    q->bindings_n = 0;
}

int names_bind_packed(struct queue *q, const uint8_t *filters, size_t n, handle_t token)
{
    int answers = 0;

    for (size_t i = 0; i < n;) {
        struct slice filter = slice_of(filters + i + 1, filters[i]);
        int r = names_bind(q, filter, token);

        if (r < 0)
            return r;
        answers += r;
        i += 1 + filter.n;
    }
    return answers;
}

int names_bind_more(struct queue *q, const uint8_t *filters, size_t n, handle_t token)
{
    uint16_t before = q->bindings_n;
    int answers = names_bind_packed(q, filters, n, token);

    if (q->bindings_n != before)
        adopt_define(q);
    return answers;
}

int names_plan(struct queue *q, struct slice filter)
{
    struct binding **last = &q->bindings;

    while (*last)
        last = &(*last)->next;
    *last = q->bindings_n < BINDINGS_MAX ? binding_new(filter) : NULL;
    if (!*last)
        return q->bindings_n < BINDINGS_MAX ? -ENOMEM : -ENOSPC;
    q->bindings_n++;
    return 0;
}

int names_bind_planned(struct queue *q)
{
    struct binding *b = q->bindings, *next;
    int answers = 0;

    q->bindings = NULL;
    q->bindings_n = 0;
    for (; b; b = next) {
        int r = answers < 0 ? 0 : names_bind(q, binding_filter(b), q->handle);

        next = b->next;
        free(b);
        answers = r < 0 ? r : answers < 0 ? answers : answers + r;
    }
    return answers;
}

void names_take_interest(struct core *c, const struct mail_interest *m)
{
    struct mail_seen *seen;
    int r = tree_interest(c->tree, slice_of(m->filter, m->filter_n), m->head.from, m->on);

    if (r == -ENOMEM)
        c->count.reason[REASON_MEMORY]++;
    if (!m->token)
        return;
    seen = mail_post(c, m->head.from, MAIL_SEEN, sizeof *seen, true);
    if (seen)
        seen->token = m->token;
}

/* ------------------------------------------------------------------ worker 0 decides */

/* MAIL_KNOWN or MAIL_GONE. */
static void post_name(struct core *c, unsigned to, enum mail_kind kind, struct slice name,
                      handle_t queue, enum reason reason)
{
    struct mail_name *m = mail_post(c, to, kind, sizeof *m + name.n, true);

    if (!m) {
        c->count.reason[REASON_MEMORY]++;
        return;
    }
    m->queue = queue;
    m->reason = reason;
    m->filters_n = m->headers_n = 0;
    m->name_n = (uint16_t)name.n;
    memcpy(m->bytes, name.p, name.n);
}

static void tell(struct core *c, unsigned to, struct named *n)
{
    if (to == c->id)
        names_settle(c, n);
    else
        post_name(c, to, MAIL_KNOWN, map_key(n->entry), n->queue, n->reason);
}

/* Tell those who asked, or all if there is something to know. */
static void tell_askers(struct core *c, struct named *n)
{
    uint64_t askers = n->askers;
    bool all = n->queue != 0;

    n->askers = 0;
    names_hold(n); /* settling here may end the last other hold */
    for (unsigned w = 0; w < c->workers; w++)
        if (all || (askers >> w & 1))
            tell(c, w, n);
    names_release(c, n);
}

static bool may_make(struct core *c, const struct wish *w, enum reason *ret)
{
    const struct policy_rule *rule = policy_set_find_queue(c->policies, w->name);

    if (map_len(&c->names) > NAMES_MAX) {
        *ret = REASON_LIMIT;
        return false;
    }
    *ret = REASON_NOT_FOUND;
    return c->globals.create_queues || slice_eq(slice_str(rule->filter), w->name) ||
           making_wish_says(w, SLICE("$make"), SLICE("1"));
}

/* `queue`: it is there, and has these bindings and settings now. */
static int post_wish(struct core *c, unsigned to, enum mail_kind kind, const struct wish *w,
                     handle_t queue)
{
    struct mail_name *m =
        mail_post(c, to, kind, sizeof *m + w->name.n + w->filters.n + w->headers.n, true);
    uint8_t *p;

    if (!m) {
        c->count.reason[REASON_MEMORY]++;
        return -ENOMEM;
    }
    m->queue = queue;
    m->reason = REASON_NONE;
    m->filters_n = (uint32_t)w->filters.n;
    m->headers_n = (uint32_t)w->headers.n;
    m->name_n = (uint16_t)w->name.n;
    m->level = (uint8_t)w->level;
    m->found = w->found;
    memcpy(m->bytes, w->name.p, w->name.n);
    p = m->bytes + w->name.n;
    if (w->filters.n)
        memcpy(p, w->filters.p, w->filters.n);
    if (w->headers.n)
        memcpy(p + w->filters.n, w->headers.p, w->headers.n);
    return 0;
}

static struct wish wish_of(const struct mail_name *m)
{
    const uint8_t *filters = m->bytes + m->name_n;

    return (struct wish){slice_of(m->bytes, m->name_n), slice_of(filters, m->filters_n),
                         slice_of(filters + m->filters_n, m->headers_n), (enum durable)m->level,
                         m->found};
}

static void made(struct core *c, struct slice name, handle_t queue, enum reason reason);

/* Have a queue made at its home. */
static void order(struct core *c, struct named *n, unsigned home, struct wish w)
{
    n->making = true;
    n->level = w.level;
    if (home == c->id)
        making_begin(c, &w);
    else if (post_wish(c, home, MAIL_MAKE, &w, 0) < 0)
        made(c, w.name, 0, REASON_MEMORY);
}

/* A wish that came before all stores had told what they have: it may be there. */
struct deferred {
    struct list_node link; /* in core->deferred */
    unsigned asker;
    struct wish wish;
    uint8_t bytes[]; /* its slices' */
};

static uint8_t *copy_slice(uint8_t *to, struct slice *s)
{
    if (s->n)
        memcpy(to, s->p, s->n);
    s->p = to;
    return to + s->n;
}

/* False: it need not wait. */
static bool defer(struct core *c, unsigned asker, const struct wish *w, struct named *n)
{
    struct deferred *d;

    if (!c->searching || n->queue || n->making)
        return false;
    d = malloc(sizeof *d + w->name.n + w->filters.n + w->headers.n);
    if (!d) {
        n->askers |= UINT64_C(1) << asker;
        n->reason = REASON_MEMORY;
        tell_askers(c, n);
        return true;
    }
    *d = (struct deferred){.asker = asker, .wish = *w};
    (void)copy_slice(copy_slice(copy_slice(d->bytes, &d->wish.name), &d->wish.filters),
                     &d->wish.headers);
    list_push_back(&c->deferred, &d->link);
    return true;
}

static void decide(struct core *c, unsigned asker, const struct wish *w)
{
    struct named *n = names_get(c, w->name);
    struct wish own = *w;

    if (!n) /* then it is another's, for whoever asks here has it by name */
        post_name(c, asker, MAIL_KNOWN, w->name, 0, REASON_MEMORY);
    if (!n || defer(c, asker, w, n))
        return;
    n->askers |= UINT64_C(1) << asker;
    if (n->making)
        return;
    if (n->queue || !may_make(c, w, &n->reason)) {
        uint64_t askers = n->askers;

        n->askers = 0;
        names_hold(n);
        for (unsigned to = 0; to < c->workers; to++)
            if (askers >> to & 1)
                tell(c, to, n);
        names_release(c, n);
        return;
    }
    own.level = policy_set_find_queue(c->policies, w->name)->policy.durable;
    order(c, n, asker, own);
}

void names_all_found(struct core *c)
{
    struct list_node *l;

    while ((l = list_pop(&c->deferred)) != NULL) {
        struct deferred *d = LIST_ITEM(l, struct deferred, link);

        decide(c, d->asker, &d->wish);
        free(d);
    }
}

void names_fini(struct core *c)
{
    struct list_node *l;

    while ((l = list_pop(&c->deferred)) != NULL)
        free(LIST_ITEM(l, struct deferred, link));
}

/* A name that is in use: by this very queue, or by another. */
static void found_known(struct core *c, const struct named *n, const struct wish *w)
{
    char text[160];

    if (n->level != w->level) {
        snprintf(text, sizeof text,
                 "the one in %s is not served: there is another of that name%s%s",
                 durable_name(w->level), n->level == DURABLE_MEMORY ? "" : ", in ",
                 n->level == DURABLE_MEMORY ? "" : durable_name(n->level));
        found_tell(c, w->name, REASON_STORE, text);
    } else if (n->queue && handle_worker(n->queue) == c->id) {
        making_learn(c, n->queue, w);
    } else if (n->queue) {
        (void)post_wish(c, handle_worker(n->queue), MAIL_MAKE, w, n->queue);
    }
}

void names_found(struct core *c, const struct store_definition *def, enum durable level)
{
    struct wish w = {def->name, def->filters, def->wishes, level, true};
    const char *error = name_queue_error(def->name, NAME_OF_BROKER);
    struct named *n = error ? NULL : names_get(c, def->name);

    if (error)
        found_tell(c, def->name, REASON_INVALID, error);
    else if (!n)
        c->count.reason[REASON_MEMORY]++;
    if (!n)
        return;
    if (n->queue || n->making) {
        found_known(c, n, &w);
        return;
    }
    n->found = true;
    c->finding++;
    order(c, n, (unsigned)(hash_bytes(0, def->name) % c->workers), w);
}

/* The home has made it, or could not. */
static void made(struct core *c, struct slice name, handle_t queue, enum reason reason)
{
    struct named *n = names_get(c, name);

    if (!n)
        return;
    n->making = false;
    if (n->found)
        c->finding--;
    n->found = false;
    n->queue = queue;
    n->reason = reason;
    tell_askers(c, n);
}

void names_report_made(struct core *c, struct slice name, handle_t queue, enum reason reason)
{
    struct mail_name *m;

    if (c->id == 0) {
        made(c, name, queue, reason);
        return;
    }
    m = mail_post(c, 0, MAIL_MADE, sizeof *m + name.n, true);
    if (!m) {
        c->count.reason[REASON_MEMORY]++;
        return;
    }
    m->queue = queue;
    m->reason = reason;
    m->filters_n = m->headers_n = 0;
    m->name_n = (uint16_t)name.n;
    memcpy(m->bytes, name.p, name.n);
}

/* ---------------------------------------------------------------------- all workers */

void names_want(struct core *c, struct named *n, const uint8_t *wants, size_t filters_n,
                size_t headers_n)
{
    const struct wish w = {.name = map_key(n->entry),
                           .filters = slice_of(wants, filters_n),
                           .headers = slice_of(wants + filters_n, headers_n)};

    if (n->state == NAMED_KNOWN) {
        names_settle(c, n);
        return;
    }
    if (n->state == NAMED_WANTED)
        return;
    n->state = NAMED_WANTED;
    if (c->id == 0) {
        decide(c, 0, &w);
    } else if (post_wish(c, 0, MAIL_WANT, &w, 0) < 0) {
        n->reason = REASON_MEMORY;
        names_settle(c, n);
    }
}

/* It is known what became of the wish for `n`: whoever waited for it goes on. */
void names_settle(struct core *c, struct named *n)
{
    struct list_node *l;

    n->state = n->queue ? NAMED_KNOWN : NAMED_UNKNOWN;
    names_hold(n);
    while ((l = list_first(&n->waiters)) != NULL)
        consumer_named(LIST_ITEM(l, struct consumer, waiter), n);
    parked_go(c, n);
    names_release(c, n);
}

void names_take_seen(struct core *c, uint64_t token)
{
    struct consumer *k = slots_get(&c->slots, SLOT_CONSUMER, token);
    struct queue *q = slots_get(&c->slots, SLOT_QUEUE, token);
    struct tap *t = slots_get(&c->slots, SLOT_TAP, token);

    if (k)
        consumer_seen(k);
    else if (t)
        tap_seen(t);
    else if (!q)
        service_seen(c, token);
    else if (q->backlog->unseen && --q->backlog->unseen == 0)
        making_seen(q);
}

void names_take_want(struct core *c, const struct mail_name *m)
{
    struct wish w = wish_of(m);

    decide(c, m->head.from, &w);
}

void names_take_make(struct core *c, const struct mail_name *m)
{
    struct wish w = wish_of(m);

    if (m->queue)
        making_learn(c, m->queue, &w);
    else
        making_begin(c, &w);
}

void names_take_made(struct core *c, const struct mail_name *m)
{
    made(c, slice_of(m->bytes, m->name_n), m->queue, (enum reason)m->reason);
}

void names_take_known(struct core *c, const struct mail_name *m)
{
    struct named *n = names_get(c, slice_of(m->bytes, m->name_n));

    if (!n)
        return;
    n->queue = m->queue;
    n->reason = (enum reason)m->reason;
    names_settle(c, n);
}

/* Forget where a queue lived, unless another has taken its name meanwhile. */
static void forget(struct core *c, struct slice name, handle_t queue)
{
    struct named *n = map_get(&c->names, name);

    if (!n || n->queue != queue)
        return;
    n->queue = 0;
    n->reason = REASON_DELETED;
    if (n->state == NAMED_KNOWN)
        n->state = NAMED_UNKNOWN;
    names_trim(c, n);
}

/* Worker 0 tells everybody; a queue's home tells worker 0. */
static void gone(struct core *c, struct slice name, handle_t queue)
{
    forget(c, name, queue);
    for (unsigned w = c->id ? c->workers : 1; w < c->workers; w++)
        post_name(c, w, MAIL_GONE, name, queue, REASON_DELETED);
}

void names_take_gone(struct core *c, const struct mail_name *m)
{
    gone(c, slice_of(m->bytes, m->name_n), m->queue);
}

bool core_queue_known(const struct core *c, struct slice name)
{
    const struct named *n = map_get(&c->names, name);

    return n && n->state != NAMED_UNKNOWN;
}

/* Have a queue deleted, wherever it lives; its store, too, or that has done so. */
static void remove_named(struct core *c, const struct named *n, bool remove)
{
    struct mail_seen m, *post;

    if (handle_worker(n->queue) == c->id) {
        m.token = n->queue;
        names_take_delete(c, &m, remove);
        return;
    }
    post = mail_post(c, handle_worker(n->queue), remove ? MAIL_DELETE : MAIL_REMOVED, sizeof *post,
                     true);
    if (post)
        post->token = n->queue;
    else
        c->count.reason[REASON_MEMORY]++;
}

void core_queue_remove(struct core *c, struct slice name)
{
    const struct named *n = map_get(&c->names, name);

    if (n && n->state == NAMED_KNOWN)
        remove_named(c, n, true);
}

void names_removed(struct core *c, struct slice name, enum durable level)
{
    const struct named *n = map_get(&c->names, name);

    if (n && n->queue && n->level == level)
        remove_named(c, n, false);
}

void names_take_delete(struct core *c, const struct mail_seen *m, bool remove)
{
    struct queue *q = slots_get(&c->slots, SLOT_QUEUE, m->token);

    if (q && remove && durable_is_shut(q))
        found_tell(c, slice_str(q->label), REASON_STORE,
                   "it cannot be deleted before its store has opened it");
    else if (q && !q->making)
        names_delete(q, REASON_DELETED, remove);
}

void names_delete(struct queue *q, enum reason reason, bool remove)
{
    struct core *c = q->core;
    struct core_event ev = {.kind = EVENT_QUEUE_GONE,
                            .reason = reason,
                            .count = q->backlog->waiting,
                            .queue = q->label,
                            .topic = "",
                            .client = ""};
    struct refusal why = {.reason = reason};
    char name[NAME_MAX_BYTES + 1];
    handle_t queue = q->handle;

    snprintf(name, sizeof name, "%s", q->label);
    snprintf(why.text, sizeof why.text, "%s: the queue was deleted", reason_name(reason));
    c->ops->event(c->ctx, &ev);
    if (q->making) /* those who wait for it must hear what became of it */
        names_report_made(c, slice_str(name), 0, reason);
    if (!remove) {
        durable_end(q, REASON_NOT_FOUND);
        durable_close(q, false);
    }
    questions_end(c, queue);
    queue_end(q, reason, &why);
    gone(c, slice_str(name), queue);
    if (c->id)
        post_name(c, 0, MAIL_GONE, slice_str(name), queue, REASON_DELETED);
}

void names_configured(struct core *c)
{
    const struct policy_rule *rule;

    for (size_t i = 0; (rule = policy_set_rule(c->policies, POLICY_QUEUE, i)) != NULL; i++) {
        struct slice name = slice_str(rule->filter);
        struct named *n;

        if (!name_is_literal(name) || name_queue_error(name, NAME_OF_CLIENT))
            continue;
        n = names_get(c, name);
        if (n && n->state == NAMED_UNKNOWN)
            names_want(c, n, NULL, 0, 0);
    }
}
