/* Gathering what holds something up, in three rounds over the workers: what was asked for; the
 * queues that its publishers and consumers are about; and who is on the other side of those. */
#include "brokerd/admin/why.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void copy_slice(char to[WHY_NAME], struct slice s)
{
    size_t n = s.n < WHY_NAME - 1 ? s.n : WHY_NAME - 1;

    if (n)
        memcpy(to, s.p, n);
    to[n] = '\0';
}

static void copy_text(char to[WHY_NAME], const char *text)
{
    copy_slice(to, slice_str(text));
}

/* ------------------------------------------------------------------------------------- queues */

struct adding {
    struct why *w;
    const struct desk *d;
    size_t queue;
    unsigned by;
};

static bool add_tap(void *ctx, const struct inspect_tap *t)
{
    const struct adding *add = ctx;
    struct why *w = add->w;

    if (t->stopped)
        return true;
    if (w->taps_n == WHY_TAPS)
        return false;
    w->taps[w->taps_n++] = (struct why_tap){.queue = add->queue, .t = *t};
    return true;
}

/* The publisher's place, a new one if need be; NULL: there are too many. */
static struct why_publisher *publisher_of(struct why *w, uint64_t id)
{
    for (size_t i = 0; i < w->publishers_n; i++)
        if (w->publishers[i].id == id)
            return &w->publishers[i];
    if (w->publishers_n == WHY_PUBLISHERS)
        return NULL;
    w->publishers[w->publishers_n] = (struct why_publisher){.id = id, .waiting_ms = -1};
    return &w->publishers[w->publishers_n++];
}

/* Who it is, is asked later, at its own worker. */
static bool add_holder(void *ctx, const struct inspect_holder *h)
{
    const struct adding *add = ctx;
    struct why_publisher *p = h->publisher ? publisher_of(add->w, h->publisher) : NULL;

    if (p)
        p->by |= BY_HOLD;
    return p || !h->publisher;
}

static void add_queue(struct why *w, const struct desk *d, const struct inspect_queue *q,
                      unsigned by)
{
    struct adding add = {w, d, w->queues_n, by};
    struct why_queue *to = &w->queues[w->queues_n];

    for (size_t i = 0; i < w->queues_n; i++)
        if (w->queues[i].id == q->id) {
            w->queues[i].by |= by;
            return;
        }
    if (w->queues_n == WHY_QUEUES)
        return;
    w->queues_n++;
    to->id = q->id;
    to->by = by;
    to->q = *q;
    copy_text(to->name, q->label);
    to->max_messages = q->policy->max_messages;
    to->max_bytes = q->policy->max_bytes;
    to->overflow = overflow_name(q->policy->overflow);
    copy_text(to->store_text, q->store_trouble ? q->store_trouble : "");
    (void)policy_get_key(q->policy, POLICY_QUEUE, SLICE("dead-letter"), to->dead_letter,
                         sizeof to->dead_letter);
    inspect_taps(d->core, q->id, add_tap, &add);
    inspect_holders(d->core, q->id, add_holder, &add);
}

static bool add_routed(void *ctx, const struct inspect_queue *q, struct slice filter)
{
    const struct adding *add = ctx;

    (void)filter;
    add_queue(add->w, add->d, q, add->by);
    return true;
}

/* Queues here that a topic reaches. */
static void add_route(struct why *w, const struct desk *d, const char *topic, unsigned by)
{
    struct adding add = {w, d, 0, by};
    size_t before = w->queues_n;

    if (name_topic_error(slice_str(topic), NAME_OF_BROKER) == NULL)
        inspect_route(d->core, slice_str(topic), add_routed, &add);
    if (w->queues_n > before && by == BY_TOPIC)
        w->is_topic = true;
}

static void add_by_id(struct why *w, const struct desk *d, uint64_t id, unsigned by)
{
    struct inspect_queue q;

    if (id && inspect_home(id) == worker_id(d->worker) && inspect_queue(d->core, id, &q))
        add_queue(w, d, &q, by);
}

/* -------------------------------------------------------------------------------- connections */

static void add_target(struct why *w, const char *name, bool is_queue)
{
    for (size_t i = 0; i < w->targets_n; i++)
        if (w->targets[i].is_queue == is_queue && strcmp(w->targets[i].name, name) == 0)
            return;
    if (w->targets_n == WHY_TARGETS || !*name)
        return;
    copy_text(w->targets[w->targets_n].name, name);
    w->targets[w->targets_n++].is_queue = is_queue;
}

static void fill_publisher(struct why_publisher *to, const struct inspect_publisher *p)
{
    to->id = p->id;
    copy_text(to->client, p->client_name);
    copy_slice(to->to, p->to);
    to->to_queue = p->to_queue;
    to->starved = p->starved;
    to->open = p->open;
    to->waiting_ms = p->waiting_ms;
}

static bool consider_publisher(void *ctx, const struct inspect_publisher *p)
{
    const struct adding *add = ctx;
    struct why *w = add->w;
    bool to_it = slice_eq(p->to, slice_str(w->what));
    unsigned by = add->by | (to_it ? BY_TOPIC : 0);
    struct why_publisher *to;

    if (to_it && !p->to_queue)
        w->is_topic = true;
    if (p->waiting_ms < 0 && !p->starved)
        return true;
    if (!by)
        return true;
    to = publisher_of(w, p->id);
    if (!to)
        return false;
    fill_publisher(to, p);
    to->by |= by;
    if (add->by)
        add_target(w, to->to, to->to_queue);
    return true;
}

static bool consider_consumer(void *ctx, const struct inspect_consumer *k)
{
    const struct adding *add = ctx;

    if (k->queue)
        add_by_id(add->w, add->d, k->queue, BY_CLIENT);
    else if (k->is_named)
        add_target(add->w, k->label, true);
    return true;
}

static bool consider_endpoint(void *ctx, const struct inspect_endpoint *e)
{
    struct adding *add = ctx;
    struct why *w = add->w;
    bool is_it = !e->is_broker && (e->id == w->client_id || strcmp(e->name, w->what) == 0);

    add->by = is_it ? BY_CLIENT : 0;
    inspect_publishers_of(e->ep, consider_publisher, add);
    if (!is_it)
        return true;
    inspect_consumers_of(e->ep, consider_consumer, add);
    if (w->is_client)
        return true;
    w->is_client = true;
    w->own_id = e->id;
    copy_text(w->client, e->name);
    snprintf(w->door, sizeof w->door, "%s", e->door);
    return true;
}

/* -------------------------------------------------------------------------------------- rounds */

static bool consider_service(void *ctx, const struct inspect_service *s)
{
    struct why *w = ctx;

    if (strcmp(s->name, w->what) != 0)
        return true;
    w->service.found = true;
    w->service.servers += s->servers;
    w->service.open += s->open;
    w->service.waiting += s->waiting;
    return false;
}

static void visit_find(struct ask *a, struct desk *d)
{
    struct why *w = a->data;
    struct adding add = {w, d, 0, 0};
    uint64_t named = inspect_find_queue(d->core, slice_str(w->what));

    stores_add(w->stores, d);
    add_by_id(w, d, named ? named : w->queue_id, BY_NAME);
    add_route(w, d, w->what, BY_TOPIC);
    inspect_endpoints(d->core, consider_endpoint, &add);
    inspect_services(d->core, consider_service, w);
}

static void visit_targets(struct ask *a, struct desk *d)
{
    struct why *w = a->data;

    for (size_t i = 0; i < w->targets_n; i++) {
        const char *name = w->targets[i].name;

        if (w->targets[i].is_queue)
            add_by_id(w, d, inspect_find_queue(d->core, slice_str(name)), BY_CLIENT);
        else
            add_route(w, d, name, BY_CLIENT);
    }
}

static void visit_parties(struct ask *a, struct desk *d)
{
    struct why *w = a->data;

    for (size_t i = 0; i < w->taps_n; i++) {
        struct why_tap *t = &w->taps[i];
        struct inspect_consumer k;

        if (!inspect_consumer(d->core, t->t.consumer, &k))
            continue;
        t->found = true;
        copy_text(t->client, k.client_name);
        t->client_id = k.client;
        t->credit = k.credit;
        t->has_room = k.has_room;
    }
    for (size_t i = 0; i < w->publishers_n; i++) {
        struct inspect_publisher p;

        if (!w->publishers[i].client[0] && inspect_publisher(d->core, w->publishers[i].id, &p))
            fill_publisher(&w->publishers[i], &p);
    }
}

static bool is_down(const struct why *w, const char *store)
{
    const json_t *state =
        store ? json_object_get(json_object_get(w->stores, store), "state") : NULL;

    return state && strcmp(json_string_value(state), "up") != 0;
}

static void then_explain(struct ask *a, struct desk *d)
{
    struct why *w = a->data;

    for (size_t i = 0; i < w->queues_n; i++)
        w->queues[i].store_is_down = is_down(w, w->queues[i].q.store);
    w->memory = workers_memory(d->admin->workers);
    w->memory_left = workers_memory_left(d->admin->workers);
    why_explain(w, a->answer);
    ask_answer(a, d);
}

static void then_parties(struct ask *a, struct desk *d)
{
    ask_visit_all(a, d, visit_parties, then_explain);
}

static void then_targets(struct ask *a, struct desk *d)
{
    ask_visit_all(a, d, visit_targets, then_parties);
}

static void free_why(void *data)
{
    struct why *w = data;

    json_decref(w->stores);
    free(w);
}

void cmd_why(struct ask *a, struct desk *d)
{
    struct why *w = calloc(1, sizeof *w);

    if (!w) {
        ask_refuse(a, REASON_MEMORY, "no memory to look into it");
        ask_refused(a, d);
        return;
    }
    w->stores = json_object();
    a->data = w;
    a->free_data = free_why;
    w->what = request_text(a, "what");
    w->queue_id = id_parse('q', w->what);
    w->client_id = id_parse('c', w->what);
    ask_visit_all(a, d, visit_find, then_targets);
}
