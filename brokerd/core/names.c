#include "brokerd/core/names.h"

#include "brokerd/core/consume.h"
#include "brokerd/core/deliver.h"
#include "brokerd/core/mail.h"
#include "brokerd/core/publish.h"
#include "brokerd/core/queue.h"
#include "brokerd/core/service.h"
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
static unsigned announce(struct core *c, struct slice filter, bool on, handle_t token)
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
        return (int)announce(c, filter, true, token);
    }
    while (*last)
        last = &(*last)->next;
    *last = b;
    q->bindings_n++;
    return (int)announce(c, filter, true, token);
}

void names_unbind_all(struct queue *q)
{
    struct filter_walk w = {0};
    struct slice filter;
    struct binding *b;

    while (queue_next_filter(q, &w, &filter))
        if (tree_unbind(q->core->tree, filter, q) == 1)
            announce(q->core, filter, false, 0);
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

static void tell(struct core *c, unsigned to, struct named *n)
{
    struct slice name = map_key(n->entry);
    struct mail_name *m;

    if (to == c->id) {
        names_settle(c, n);
        return;
    }
    m = mail_post(c, to, MAIL_KNOWN, sizeof *m + name.n, true);
    if (!m) {
        c->count.reason[REASON_MEMORY]++;
        return;
    }
    m->queue = n->queue;
    m->reason = n->reason;
    m->filters_n = m->headers_n = 0;
    m->name_n = (uint16_t)name.n;
    memcpy(m->bytes, name.p, name.n);
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

struct wish {
    struct slice name;
    const uint8_t *wants;
    size_t filters_n, headers_n;
};

/* Is there that header? */
static bool wish_says(const struct wish *w, struct slice name, struct slice wanted)
{
    struct slice value;

    return w->headers_n &&
           headers_find(slice_of(w->wants + w->filters_n, w->headers_n), name, &value) &&
           slice_eq(value, wanted);
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
           wish_says(w, SLICE("$make"), SLICE("1"));
}

static int post_wish(struct core *c, unsigned to, enum mail_kind kind, const struct wish *w)
{
    struct mail_name *m =
        mail_post(c, to, kind, sizeof *m + w->name.n + w->filters_n + w->headers_n, true);

    if (!m) {
        c->count.reason[REASON_MEMORY]++;
        return -ENOMEM;
    }
    m->queue = 0;
    m->reason = REASON_NONE;
    m->filters_n = (uint32_t)w->filters_n;
    m->headers_n = (uint32_t)w->headers_n;
    m->name_n = (uint16_t)w->name.n;
    memcpy(m->bytes, w->name.p, w->name.n);
    if (w->filters_n + w->headers_n)
        memcpy(m->bytes + w->name.n, w->wants, w->filters_n + w->headers_n);
    return 0;
}

static struct wish wish_of(const struct mail_name *m)
{
    return (struct wish){slice_of(m->bytes, m->name_n), m->bytes + m->name_n, m->filters_n,
                         m->headers_n};
}

static void make_here(struct core *c, const struct wish *w);
static void made(struct core *c, struct slice name, handle_t queue, enum reason reason);

static void decide(struct core *c, unsigned asker, const struct wish *w)
{
    struct named *n = names_get(c, w->name);

    if (!n)
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
    n->making = true;
    if (asker == c->id)
        make_here(c, w);
    else if (post_wish(c, asker, MAIL_MAKE, w) < 0)
        made(c, w->name, 0, REASON_MEMORY);
}

/* The home has made it, or could not. */
static void made(struct core *c, struct slice name, handle_t queue, enum reason reason)
{
    struct named *n = names_get(c, name);

    if (!n)
        return;
    n->making = false;
    n->queue = queue;
    n->reason = reason;
    tell_askers(c, n);
}

/* ------------------------------------------------------------------ the home makes it */

static void report_made(struct core *c, struct slice name, handle_t queue, enum reason reason)
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

static bool is_unbound(const struct wish *w)
{
    return wish_says(w, SLICE("$bind"), SLICE("none"));
}

/* The filters its maker named, else those of the settings, else its own name as a topic, unless
 * its maker wants none. */
static int bind_new(struct queue *q, const struct wish *w)
{
    const struct policy_rule *rule = policy_set_find_queue(q->core->policies, w->name);
    int answers = 0;

    if (w->filters_n)
        return names_bind_packed(q, w->wants, w->filters_n, q->handle);
    for (size_t i = 0; i < rule->n_binds; i++) {
        int r = names_bind(q, slice_str(rule->binds[i]), q->handle);

        if (r < 0)
            return r;
        answers += r;
    }
    if (!rule->n_binds && !is_unbound(w) && !name_topic_error(w->name, NAME_OF_CLIENT))
        return names_bind(q, w->name, q->handle);
    return answers;
}

static void announce_made(struct queue *q)
{
    struct core_event ev = {.kind = EVENT_QUEUE_MADE, .queue = q->label, .topic = "", .client = ""};

    q->making = false;
    if (q->backlog->idle_since_ms !=
        INT64_MAX) /* unused from now on, not while nobody knew of it */
        q->backlog->idle_since_ms = q->core->now_ms;
    queue_arm(q);
    q->core->ops->event(q->core->ctx, &ev);
    report_made(q->core, slice_str(q->label), q->handle, REASON_NONE);
}

static void make_here(struct core *c, const struct wish *w)
{
    struct slice headers =
        w->headers_n ? slice_of(w->wants + w->filters_n, w->headers_n) : slice_of(NULL, 0);
    struct queue_policy policy;
    struct refusal why;
    bool facts; /* its consumer's affair */
    struct queue *q;
    int answers;

    if (consume_policy(c, POLICY_QUEUE, w->name, headers, &policy, &facts, &why) < 0) {
        report_made(c, w->name, 0, why.reason);
        return;
    }
    q = queue_new(c, true, w->name, &policy);
    answers = q ? consume_keep_wish(q, headers) : -ENOMEM;
    if (answers == 0)
        answers = bind_new(q, w);
    if (answers < 0) {
        if (q)
            queue_end(q, REASON_NONE, &why);
        report_made(c, w->name, 0, answers == -ENOSPC ? REASON_LIMIT : REASON_MEMORY);
        return;
    }
    q->backlog->unseen = (unsigned)answers;
    q->making = true;
    if (!q->backlog->unseen)
        announce_made(q);
}

/* ---------------------------------------------------------------------- all workers */

void names_want(struct core *c, struct named *n, const uint8_t *wants, size_t filters_n,
                size_t headers_n)
{
    struct wish w = {map_key(n->entry), wants, filters_n, headers_n};

    if (n->state == NAMED_KNOWN) {
        names_settle(c, n);
        return;
    }
    if (n->state == NAMED_WANTED)
        return;
    n->state = NAMED_WANTED;
    if (c->id == 0) {
        decide(c, 0, &w);
    } else if (post_wish(c, 0, MAIL_WANT, &w) < 0) {
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
    publish_unpark(c, n);
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
    else if (q->backlog->unseen && --q->backlog->unseen == 0 && q->making)
        announce_made(q);
}

void names_take_want(struct core *c, const struct mail_name *m)
{
    struct wish w = wish_of(m);

    decide(c, m->head.from, &w);
}

void names_take_make(struct core *c, const struct mail_name *m)
{
    struct wish w = wish_of(m);

    make_here(c, &w);
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

static void post_gone(struct core *c, unsigned to, struct slice name, handle_t queue)
{
    struct mail_name *m = mail_post(c, to, MAIL_GONE, sizeof *m + name.n, true);

    if (!m) {
        c->count.reason[REASON_MEMORY]++;
        return;
    }
    m->queue = queue;
    m->reason = REASON_DELETED;
    m->filters_n = m->headers_n = 0;
    m->name_n = (uint16_t)name.n;
    memcpy(m->bytes, name.p, name.n);
}

/* Worker 0 tells everybody; a queue's home tells worker 0. */
static void gone(struct core *c, struct slice name, handle_t queue)
{
    forget(c, name, queue);
    for (unsigned w = c->id ? c->workers : 1; w < c->workers; w++)
        post_gone(c, w, name, queue);
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

void core_queue_remove(struct core *c, struct slice name)
{
    const struct named *n = map_get(&c->names, name);
    struct mail_seen m, *post;

    if (!n || n->state != NAMED_KNOWN)
        return;
    if (handle_worker(n->queue) == c->id) {
        m.token = n->queue;
        names_take_delete(c, &m);
        return;
    }
    post = mail_post(c, handle_worker(n->queue), MAIL_DELETE, sizeof *post, true);
    if (post)
        post->token = n->queue;
    else
        c->count.reason[REASON_MEMORY]++;
}

void names_take_delete(struct core *c, const struct mail_seen *m)
{
    struct queue *q = slots_get(&c->slots, SLOT_QUEUE, m->token);

    if (q && !q->making)
        names_delete(q, REASON_DELETED);
}

void names_delete(struct queue *q, enum reason reason)
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
        report_made(c, slice_str(name), 0, reason);
    queue_end(q, reason, &why);
    gone(c, slice_str(name), queue);
    if (c->id)
        post_gone(c, 0, slice_str(name), queue);
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
