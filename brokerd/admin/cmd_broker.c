/* The broker as a whole: info, top, its connections, and where a topic leads. */
#include "brokerd/admin/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { TOP_LIMIT = 50, TOP_LIMIT_MAX = 1000, SERVICES_MAX = 1000 };

/* --------------------------------------------------------------------------------------- sums */

static void add_counters(struct inspect_counters *to, const struct inspect_counters *from)
{
    to->published += from->published;
    to->delivered += from->delivered;
    to->acked += from->acked;
    to->nacked += from->nacked;
    to->redelivered += from->redelivered;
    to->late += from->late;
    to->timeouts += from->timeouts;
    to->dead_lettered += from->dead_lettered;
    to->unroutable += from->unroutable;
    for (unsigned r = 0; r < REASON_TABLE_SIZE; r++)
        to->reason[r] += from->reason[r];
}

static void add_ended(void *ctx, const char *word, uint64_t n)
{
    json_t *before = json_object_get(ctx, word);

    json_object_set_new(ctx, word, json_number((uint64_t)json_integer_value(before) + n));
}

static void add_number(json_t *o, const char *key, uint64_t n)
{
    json_t *before = json_object_get(o, key);

    json_object_set_new(o, key, json_number((uint64_t)json_integer_value(before) + n));
}

struct adding_services {
    json_t *services; /* by name */
    unsigned worker;
};

/* A worker knows of a service what happens there. */
static bool add_service(void *ctx, const struct inspect_service *s)
{
    const struct adding_services *add = ctx;
    json_t *o = json_object_get(add->services, s->name);

    if (!o) {
        if (json_object_size(add->services) >= SERVICES_MAX)
            return true;
        o = json_object();
        json_object_set_new(o, "name", json_text(s->name));
        json_object_set_new(add->services, s->name, o);
    }
    if (s->is_home)
        json_object_set_new(o, "worker", json_number(add->worker));
    add_number(o, "servers", s->servers);
    add_number(o, "open", s->open);
    add_number(o, "calls", s->opened);
    add_number(o, "waiting", s->waiting);
    return true;
}

static void add_services(json_t *services, const struct desk *d)
{
    struct adding_services add = {services, worker_id(d->worker)};

    inspect_services(d->core, add_service, &add);
}

/* What was gathered by name, as a list. */
static void tell_services(json_t *answer)
{
    json_t *by_name = json_object_get(answer, "services"), *list = json_array(), *s;
    const char *name;

    json_object_foreach(by_name, name, s)
    {
        json_array_append(list, s);
    }
    json_object_set_new(answer, "services", list);
}

/* What this worker adds to info and top: its row, and its totals in a->data. */
static void sum_up(struct ask *a, struct desk *d)
{
    const struct admin_options *o = &d->admin->o;
    struct inspect_totals *sum = a->data, t;
    json_t *row = json_object();

    inspect_totals(d->core, &t);
    add_counters(&sum->count, &t.count);
    sum->endpoints += t.endpoints;
    sum->queues += t.queues;
    sum->subscriptions += t.subscriptions;
    sum->draining |= t.draining;
    sum->calls += t.calls;
    sum->calls_open += t.calls_open;
    for (unsigned r = 0; r < REASON_TABLE_SIZE; r++)
        sum->calls_failed[r] += t.calls_failed[r];
    add_services(json_object_get(a->answer, "services"), d);
    json_object_set_new(row, "id", json_number(worker_id(d->worker)));
    json_object_set_new(row, "busy", json_real(worker_busy(d->worker) / 1000.0));
    json_object_set_new(row, "connections", json_number(t.endpoints));
    json_object_set_new(row, "queues", json_number(t.queues));
    json_object_set_new(row, "used_bytes", json_integer(t.used));
    json_array_append_new(json_object_get(a->answer, "workers"), row);
    if (o->net)
        o->net->ended(o->net_ctx, worker_id(d->worker), add_ended,
                      json_object_get(a->answer, "disconnects"));
    if (o->net && o->net->counts)
        o->net->counts(o->net_ctx, worker_id(d->worker), add_ended,
                       json_object_get(a->answer, "protocols"));
}

static bool prepare(struct ask *a, struct desk *d)
{
    a->data = calloc(1, sizeof(struct inspect_totals));
    a->free_data = free;
    if (!a->data) {
        ask_refuse(a, REASON_MEMORY, "no memory to sum up");
        ask_refused(a, d);
        return false;
    }
    json_object_set_new(a->answer, "workers", json_array());
    json_object_set_new(a->answer, "disconnects", json_object());
    json_object_set_new(a->answer, "protocols", json_object());
    json_object_set_new(a->answer, "services", json_object());
    return true;
}

static void tell_sums(struct ask *a, struct desk *d)
{
    const struct inspect_totals *sum = a->data;
    uint64_t limit = workers_memory(d->admin->workers);
    int64_t left = workers_memory_left(d->admin->workers);
    json_t *memory = json_object(), *calls = json_object();

    json_object_set_new(memory, "limit_bytes", json_number(limit));
    json_object_set_new(memory, "used_bytes", json_integer((json_int_t)limit - left));
    json_object_set_new(a->answer, "memory", memory);
    json_object_set_new(a->answer, "connections", json_number(sum->endpoints));
    json_object_set_new(a->answer, "totals", json_counters(&sum->count));
    json_object_set_new(calls, "open", json_number(sum->calls_open));
    json_object_set_new(calls, "total", json_number(sum->calls));
    json_object_set_new(calls, "failed", json_reasons(sum->calls_failed));
    json_object_set_new(calls, "errors", json_number(sum->calls_failed[REASON_NONE]));
    json_object_set_new(a->answer, "calls", calls);
    tell_services(a->answer);
}

/* --------------------------------------------------------------------------------------- info */

static void visit_info(struct ask *a, struct desk *d)
{
    const struct admin_options *o = &d->admin->o;
    json_t *listen = json_object_get(a->answer, "listen");
    const char *url;

    sum_up(a, d);
    if (worker_id(d->worker) != 0 || !o->net)
        return;
    for (size_t i = 0; (url = o->net->listener(o->net_ctx, i)) != NULL; i++)
        json_array_append_new(listen, json_text(url));
}

static void then_info(struct ask *a, struct desk *d)
{
    const struct inspect_totals *sum = a->data;
    const struct admin *admin = d->admin;
    char time[TIME_TEXT_MAX];
    bool spread = atomic_load(&d->admin->placement) == PLACEMENT_SPREAD;

    tell_sums(a, d);
    json_object_set_new(a->answer, "version", json_string(admin->o.version));
    json_object_set_new(a->answer, "pid", json_integer(getpid()));
    json_object_set_new(a->answer, "uptime_ms",
                        json_integer(worker_now(d->worker) - admin->started_ms));
    json_object_set_new(a->answer, "started", json_string(time_text(admin->started_wall_ms, time)));
    json_object_set_new(a->answer, "draining", json_boolean(sum->draining));
    json_object_set_new(a->answer, "placement", json_string(spread ? "spread" : "pack"));
    json_object_set_new(a->answer, "queues", json_number(sum->queues));
    json_object_set_new(a->answer, "subscriptions", json_number(sum->subscriptions));
    ask_answer(a, d);
}

void cmd_info(struct ask *a, struct desk *d)
{
    if (!prepare(a, d))
        return;
    json_object_set_new(a->answer, "listen", json_array());
    ask_visit_all(a, d, visit_info, then_info);
}

/* ---------------------------------------------------------------------------------------- top */

/* The best of many, by key, at most `limit`; best first. */
struct chosen {
    uint64_t key[2];
    json_t *what;
};

struct top {
    struct inspect_totals totals; /* first: sum_up() looks at it */
    size_t limit, queues_n, clients_n;
    struct chosen *queues, *clients; /* limit of each */
};

static void free_top(void *data)
{
    struct top *t = data;

    for (size_t i = 0; i < t->queues_n; i++)
        json_decref(t->queues[i].what);
    for (size_t i = 0; i < t->clients_n; i++)
        json_decref(t->clients[i].what);
    free(t->queues);
    free(t->clients);
    free(t);
}

static bool better(const uint64_t *a, const uint64_t *b)
{
    return a[0] != b[0] ? a[0] > b[0] : a[1] > b[1];
}

/* Whether one with this key would be chosen; the place it goes to. */
static bool place_for(const struct chosen *all, size_t n, size_t limit, const uint64_t *key,
                      size_t *ret)
{
    size_t low = 0, high = n;

    if (limit == 0 || (n == limit && !better(key, all[n - 1].key)))
        return false;
    while (low < high) {
        size_t mid = (low + high) / 2;

        if (better(key, all[mid].key))
            high = mid;
        else
            low = mid + 1;
    }
    *ret = low;
    return true;
}

static void put(struct chosen *all, size_t *n, size_t limit, size_t at, struct chosen one)
{
    if (*n == limit)
        json_decref(all[--*n].what);
    memmove(all + at + 1, all + at, (*n - at) * sizeof *all);
    all[at] = one;
    ++*n;
}

static bool choose_queue(void *ctx, const struct inspect_queue *q)
{
    struct top *t = ctx;
    struct chosen c = {{q->depth + q->held + q->unacked, q->count.published}, NULL};
    size_t at;

    if (place_for(t->queues, t->queues_n, t->limit, c.key, &at)) {
        c.what = json_queue(q);
        put(t->queues, &t->queues_n, t->limit, at, c);
    }
    return true;
}

struct parties {
    uint64_t publishers, consumers, held;
};

static bool count_publisher(void *ctx, const struct inspect_publisher *p)
{
    struct parties *n = ctx;

    n->publishers++;
    n->held += p->open;
    return true;
}

static bool count_consumer(void *ctx, const struct inspect_consumer *k)
{
    (void)k;
    ((struct parties *)ctx)->consumers++;
    return true;
}

static json_t *json_client(const struct inspect_endpoint *e)
{
    struct inspect_counters c = {.published = e->published, .delivered = e->delivered};
    struct parties n = {0, 0, 0};
    json_t *o = json_object();

    inspect_publishers_of(e->ep, count_publisher, &n);
    inspect_consumers_of(e->ep, count_consumer, &n);
    json_object_set_new(o, "id", json_id('c', e->id));
    json_object_set_new(o, "client", json_text(e->name));
    json_object_set_new(o, "door", json_text(e->door));
    json_object_set_new(o, "worker", json_number(inspect_home(e->id)));
    json_object_set_new(o, "since_ms", json_integer(e->since_ms));
    json_object_set_new(o, "publishers", json_number(n.publishers));
    json_object_set_new(o, "consumers", json_number(n.consumers));
    json_object_set_new(o, "held", json_number(n.held));
    json_object_set_new(o, "output_bytes", json_number(e->output_bytes));
    json_object_set_new(o, "counters", json_counters(&c));
    return o;
}

static bool choose_client(void *ctx, const struct inspect_endpoint *e)
{
    struct top *t = ctx;
    struct chosen c = {{e->published + e->delivered, e->output_bytes}, NULL};
    size_t at;

    if (!e->is_broker && place_for(t->clients, t->clients_n, t->limit, c.key, &at)) {
        c.what = json_client(e);
        put(t->clients, &t->clients_n, t->limit, at, c);
    }
    return true;
}

static void visit_top(struct ask *a, struct desk *d)
{
    if (a->cursor == 0) {
        sum_up(a, d);
        inspect_endpoints(d->core, choose_client, a->data);
    }
    a->cursor = inspect_queues(d->core, a->cursor, WALK_STEPS, choose_queue, a->data);
    a->again = a->cursor != 0;
}

static void then_top(struct ask *a, struct desk *d)
{
    const struct top *t = a->data;
    json_t *queues = json_array(), *clients = json_array();

    for (size_t i = 0; i < t->queues_n; i++)
        json_array_append(queues, t->queues[i].what);
    for (size_t i = 0; i < t->clients_n; i++)
        json_array_append(clients, t->clients[i].what);
    tell_sums(a, d);
    json_object_set_new(a->answer, "now_ms", json_integer(worker_now(d->worker)));
    json_object_set_new(a->answer, "queues", queues);
    json_object_set_new(a->answer, "clients", clients);
    ask_answer(a, d);
}

void cmd_top(struct ask *a, struct desk *d)
{
    struct top *t = calloc(1, sizeof *t);
    size_t limit = request_count(a, "limit", TOP_LIMIT, TOP_LIMIT_MAX);

    if (t) {
        t->limit = limit;
        t->queues = calloc(limit + 1, sizeof *t->queues);
        t->clients = calloc(limit + 1, sizeof *t->clients);
        a->data = t;
        a->free_data = free_top;
    }
    if (!t || !t->queues || !t->clients) {
        ask_refuse(a, REASON_MEMORY, "no memory to choose");
        ask_refused(a, d);
        return;
    }
    json_object_set_new(a->answer, "workers", json_array());
    json_object_set_new(a->answer, "disconnects", json_object());
    json_object_set_new(a->answer, "services", json_object());
    ask_visit_all(a, d, visit_top, then_top);
}

/* -------------------------------------------------------------------------------- connections */

static void add_connection(void *ctx, const struct admin_connection *c)
{
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
    json_array_append_new(ctx, o);
}

static void visit_connections(struct ask *a, struct desk *d)
{
    const struct admin_options *o = &d->admin->o;

    if (o->net)
        o->net->connections(o->net_ctx, worker_id(d->worker), add_connection,
                            json_object_get(a->answer, "connections"));
}

void cmd_connections(struct ask *a, struct desk *d)
{
    json_object_set_new(a->answer, "connections", json_array());
    ask_visit_all(a, d, visit_connections, ask_answer);
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

void cmd_kill(struct ask *a, struct desk *d)
{
    const struct admin_options *o = &d->admin->o;
    const char *text = request_text(a, "connection");
    uint64_t id = id_parse('n', text);
    unsigned home = id && o->net ? o->net->home(o->net_ctx, id) : o->workers;

    if (home < o->workers) {
        ask_visit(a, d, home, visit_kill, ask_answer);
        return;
    }
    ask_refuse(a, REASON_NOT_FOUND, "no connection \"%s\"", text);
    ask_refused(a, d);
}

/* -------------------------------------------------------------------------------------- route */

static bool add_route(void *ctx, const struct inspect_queue *q, struct slice filter)
{
    json_t *o = json_object();

    json_object_set_new(o, "id", json_id('q', q->id));
    json_object_set_new(o, "name", q->name ? json_text(q->name) : json_null());
    json_object_set_new(o, "filter", json_slice(filter));
    json_object_set_new(o, "worker", json_number(inspect_home(q->id)));
    if (*q->client)
        json_object_set_new(o, "client", json_text(q->client));
    json_array_append_new(ctx, o);
    return true;
}

static void visit_route(struct ask *a, struct desk *d)
{
    if (inspect_route(d->core, slice_str(request_text(a, "topic")), add_route,
                      json_object_get(a->answer, "queues")) < 0)
        ask_refuse(a, REASON_MEMORY, "no memory to look it up");
}

void cmd_route(struct ask *a, struct desk *d)
{
    const char *topic = request_text(a, "topic");
    const char *error = name_topic_error(slice_str(topic), NAME_OF_BROKER);

    if (error) {
        ask_refuse(a, REASON_INVALID, "\"topic\": %s", error);
        ask_refused(a, d);
        return;
    }
    json_object_set_new(a->answer, "topic", json_text(topic));
    json_object_set_new(a->answer, "queues", json_array());
    ask_visit_all(a, d, visit_route, ask_answer);
}
