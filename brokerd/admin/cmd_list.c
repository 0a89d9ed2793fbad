/* Who is there: connections, consumers, subscriptions, services; and sending somebody away. */
#include "brokerd/admin/listing.h"

enum { PARTS_MAX = 1000 }; /* of one connection: publishers, consumers, services each */

/* -------------------------------------------------------------------------------- connections */

static json_t *json_connection(const struct admin_connection *c)
{
    struct inspect_endpoint e;
    char time[TIME_TEXT_MAX];
    json_t *o = json_object();

    json_object_set_new(o, "id", json_id('n', c->id));
    json_object_set_new(o, "peer", json_text(c->peer));
    json_object_set_new(o, "door", json_text(c->door));
    json_object_set_new(o, "state", json_string(c->state));
    json_object_set_new(o, "since", json_string(time_text(c->since_ms, time)));
    json_object_set_new(o, "in_bytes", json_number(c->bytes_in));
    json_object_set_new(o, "out_bytes", json_number(c->bytes_out));
    json_object_set_new(o, "output_bytes", json_number(c->pending_out));
    json_object_set_new(o, "reading", json_boolean(c->is_reading));
    if (!c->endpoint)
        return o;
    inspect_endpoint(c->endpoint, &e);
    json_object_set_new(o, "client", json_text(e.name));
    json_object_set_new(o, "client_id", json_id('c', e.id));
    json_object_set_new(o, "published", json_number(e.published));
    json_object_set_new(o, "delivered", json_number(e.delivered));
    return o;
}

struct looking {
    struct listing *to;
    const char *client, *queue, *filter; /* NULL: any */
};

static void list_connection(void *ctx, const struct admin_connection *c)
{
    const struct looking *l = ctx;
    struct inspect_endpoint e;

    if (!listing_wants(l->to, NULL, c->id))
        return;
    if (l->client) {
        if (!c->endpoint)
            return;
        inspect_endpoint(c->endpoint, &e);
        if (strcmp(e.name, l->client) != 0 && id_parse('c', l->client) != e.id)
            return;
    }
    listing_add(l->to, json_connection(c), c->id);
}

static void visit_connections(struct ask *a, struct desk *d)
{
    const struct admin_options *o = &d->admin->o;
    struct looking l = {.to = a->data, .client = request_text(a, "client")};

    if (o->net)
        o->net->connections(o->net_ctx, worker_id(d->worker), list_connection, &l);
}

static void then_connections(struct ask *a, struct desk *d)
{
    listing_answer(a, d, "connections");
}

void cmd_connections(struct ask *a, struct desk *d)
{
    if (listing_begin(a, d, 'n', false))
        ask_visit_all(a, d, visit_connections, then_connections);
}

/* ----------------------------------------------------------------------------- one connection */

static bool add_publisher(void *ctx, const struct inspect_publisher *p)
{
    json_t *list = ctx, *o = json_object();

    json_object_set_new(o, "id", json_id('p', p->id));
    json_object_set_new(o, p->to_queue ? "queue" : "topic", json_slice(p->to));
    json_object_set_new(o, "published", json_number(p->published));
    json_object_set_new(o, "unsettled", json_number(p->open));
    if (p->waiting_ms >= 0)
        json_object_set_new(o, "waiting_ms", json_integer(p->waiting_ms));
    json_object_set_new(o, "credit",
                        p->allowance < CORE_UNLIMITED ? json_number(p->allowance) : json_null());
    json_array_append_new(list, o);
    return json_array_size(list) < PARTS_MAX;
}

/* As far as the connection's side knows it. */
static json_t *json_own_consumer(const struct inspect_consumer *k)
{
    json_t *o = json_object(), *counters = json_object();

    json_object_set_new(o, "id", json_id('k', k->id));
    json_object_set_new(o, "queue", json_text(k->label));
    if (k->queue)
        json_object_set_new(o, "queue_id", json_id('q', k->queue));
    json_object_set_new(o, "worker", json_number(inspect_home(k->id)));
    json_object_set_new(o, "ack", json_string(k->manual_ack ? "manual" : "auto"));
    json_object_set_new(counters, "delivered", json_number(k->delivered));
    json_object_set_new(o, "counters", counters);
    return o;
}

struct parts {
    json_t *list;
    const struct desk *desk;
};

static bool add_consumer(void *ctx, const struct inspect_consumer *k)
{
    const struct parts *p = ctx;
    json_t *o = json_own_consumer(k);

    json_tap_complete(o, p->desk);
    json_array_append_new(p->list, o);
    return json_array_size(p->list) < PARTS_MAX;
}

static bool add_server(void *ctx, const char *service)
{
    json_array_append_new(ctx, json_text(service));
    return json_array_size(ctx) < PARTS_MAX;
}

static void add_parts(json_t *o, const struct endpoint *ep, const struct desk *d)
{
    json_t *publishers = json_array(), *consumers = json_array(), *services = json_array();

    if (ep) {
        inspect_publishers_of(ep, add_publisher, publishers);
        inspect_consumers_of(ep, add_consumer, &(struct parts){consumers, d});
        inspect_servers_of(ep, add_server, services);
    }
    json_object_set_new(o, "publishers", publishers);
    json_object_set_new(o, "consumers", consumers);
    json_object_set_new(o, "services", services);
}

struct searching {
    uint64_t id;
    json_t *to;
    const struct desk *desk;
};

static void find_connection(void *ctx, const struct admin_connection *c)
{
    const struct searching *s = ctx;
    json_t *o;

    if (c->id != s->id)
        return;
    o = json_connection(c);
    json_object_update(s->to, o);
    json_decref(o);
    add_parts(s->to, c->endpoint, s->desk);
}

static void visit_connection(struct ask *a, struct desk *d)
{
    const struct admin_options *o = &d->admin->o;
    const char *id = request_text(a, "connection");
    struct searching s = {id_parse('n', id), a->answer, d};

    o->net->connections(o->net_ctx, worker_id(d->worker), find_connection, &s);
    if (!json_object_size(a->answer))
        ask_refuse(a, REASON_NOT_FOUND, "no connection \"%s\"", id);
}

static void visit_kill(struct ask *a, struct desk *d)
{
    const struct admin_options *o = &d->admin->o;
    const char *id = request_text(a, "connection");

    if (o->net->kill(o->net_ctx, id_parse('n', id)) < 0)
        ask_refuse(a, REASON_NOT_FOUND, "no connection \"%s\"", id);
    else
        json_object_set_new(a->answer, "connection", json_text(id));
}

/* Go to where the connection is that the request names. */
static void to_connection(struct ask *a, struct desk *d, ask_fn *visit)
{
    const struct admin_options *o = &d->admin->o;
    const char *text = request_text(a, "connection");
    uint64_t id = id_parse('n', text);
    unsigned home = id && o->net ? o->net->home(o->net_ctx, id) : o->workers;

    if (home < o->workers) {
        ask_visit(a, d, home, visit, ask_answer);
        return;
    }
    ask_refuse(a, REASON_NOT_FOUND, "no connection \"%s\"", text);
    ask_refused(a, d);
}

void cmd_connection(struct ask *a, struct desk *d)
{
    to_connection(a, d, visit_connection);
}

void cmd_kill(struct ask *a, struct desk *d)
{
    to_connection(a, d, visit_kill);
}

/* ---------------------------------------------------------------------------------- consumers */

/* First their connections tell which there are, and the listing keeps a page of them; then the
 * queues' sides of these, and the connections once more: who is stalled, and by what, shows only
 * where both are known. */

static bool list_consumer(void *ctx, const struct inspect_consumer *k)
{
    const struct looking *l = ctx;

    if (l->queue && strcmp(k->label, l->queue) != 0 &&
        (k->is_named || id_parse('q', l->queue) != k->queue))
        return true;
    if (listing_wants(l->to, NULL, k->id))
        listing_add(l->to, json_own_consumer(k), k->id);
    return true;
}

static bool list_consumers_of(void *ctx, const struct inspect_endpoint *e)
{
    const struct looking *l = ctx;

    if (!e->is_broker &&
        (!l->client || strcmp(e->name, l->client) == 0 || id_parse('c', l->client) == e->id))
        inspect_consumers_of(e->ep, list_consumer, ctx);
    return true;
}

static void visit_consumers(struct ask *a, struct desk *d)
{
    struct looking l = {
        .to = a->data, .client = request_text(a, "client"), .queue = request_text(a, "queue")};

    inspect_endpoints(d->core, list_consumers_of, &l);
}

struct taps {
    const struct core *core;
    const struct listing *of;
    uint64_t queue;
};

static bool add_tap(void *ctx, const struct inspect_tap *t)
{
    const struct taps *taps = ctx;
    json_t *k = listing_find(taps->of, t->consumer), *more;

    if (!k)
        return true;
    more = json_tap(t);
    json_object_update(k, more);
    json_decref(more);
    json_object_set_new(k, "queue_id", json_id('q', taps->queue));
    return true;
}

static bool add_taps(void *ctx, const struct inspect_queue *q)
{
    struct taps *t = ctx;

    t->queue = q->id;
    inspect_taps(t->core, q->id, add_tap, t);
    return true;
}

static void visit_taps(struct ask *a, struct desk *d)
{
    struct taps t = {d->core, a->data, 0};

    a->cursor = inspect_queues(d->core, a->cursor, WALK_STEPS, add_taps, &t);
    a->again = a->cursor != 0;
}

static void visit_owners(struct ask *a, struct desk *d)
{
    const struct listing *l = a->data;

    for (size_t i = 0; i < l->n; i++)
        json_tap_complete(l->rows[i].what, d);
}

static void then_answer_consumers(struct ask *a, struct desk *d)
{
    listing_answer(a, d, "consumers");
}

static void then_owners(struct ask *a, struct desk *d)
{
    ask_visit_all(a, d, visit_owners, then_answer_consumers);
}

static void then_taps(struct ask *a, struct desk *d)
{
    if (listing_sort(a))
        ask_visit_all(a, d, visit_taps, then_owners);
    else
        ask_refused(a, d);
}

void cmd_consumers(struct ask *a, struct desk *d)
{
    if (listing_begin(a, d, 'k', false))
        ask_visit_all(a, d, visit_consumers, then_taps);
}

/* ------------------------------------------------------------------------------ subscriptions */

struct subscribed {
    struct looking look;
    const struct desk *desk;
};

static bool list_subscription(void *ctx, const struct inspect_queue *q)
{
    const struct subscribed *s = ctx;
    const struct looking *l = &s->look;
    json_t *o;

    if (q->name || (l->client && strcmp(q->client, l->client) != 0) ||
        (l->filter && !name_filter_matches(slice_str(l->filter), slice_str(q->label))) ||
        !listing_wants(l->to, NULL, q->id))
        return true;
    o = json_queue(q);
    json_object_set_new(o, "filters", json_bindings(s->desk, q->id));
    listing_add(l->to, o, q->id);
    return true;
}

static void visit_subscriptions(struct ask *a, struct desk *d)
{
    struct subscribed s = {
        {.to = a->data, .client = request_text(a, "client"), .filter = request_text(a, "filter")},
        d};

    a->cursor = inspect_queues(d->core, a->cursor, WALK_STEPS, list_subscription, &s);
    a->again = a->cursor != 0;
}

static void then_subscriptions(struct ask *a, struct desk *d)
{
    listing_answer(a, d, "subscriptions");
}

void cmd_subscriptions(struct ask *a, struct desk *d)
{
    if (request_filter(a, d, "filter") && listing_begin(a, d, 'q', false))
        ask_visit_all(a, d, visit_subscriptions, then_subscriptions);
}

/* ----------------------------------------------------------------------------------- services */

/* What workers know of them is added up by name, as for info; then it is a list. */
static void visit_services(struct ask *a, struct desk *d)
{
    services_add(json_object_get(a->answer, "services"), d, SIZE_MAX);
}

static void then_services(struct ask *a, struct desk *d)
{
    json_t *by_name = json_incref(json_object_get(a->answer, "services")), *s;
    const char *filter = request_text(a, "filter"), *name;

    json_object_foreach(by_name, name, s)
    {
        if ((!filter || name_filter_matches(slice_str(filter), slice_str(name))) &&
            listing_wants(a->data, name, 0))
            listing_add(a->data, json_incref(s), 0);
    }
    json_decref(by_name);
    listing_answer(a, d, "services");
}

void cmd_services(struct ask *a, struct desk *d)
{
    json_object_set_new(a->answer, "services", json_object());
    if (request_filter(a, d, "filter") && listing_begin(a, d, '\0', true))
        ask_visit_all(a, d, visit_services, then_services);
}
