/* What all workers count, added up: for info, top and the statistics. */
#include "brokerd/admin/internal.h"

enum { SERVICES_MAX = 1000 };

void counters_add(struct inspect_counters *to, const struct inspect_counters *from)
{
    to->published += from->published;
    to->delivered += from->delivered;
    to->acked += from->acked;
    to->nacked += from->nacked;
    to->redelivered += from->redelivered;
    to->late += from->late;
    to->timeouts += from->timeouts;
    to->dead_lettered += from->dead_lettered;
    to->duplicates += from->duplicates;
    to->unroutable += from->unroutable;
    to->unopened += from->unopened;
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
    size_t max;
};

/* A worker knows of a service what happens there. */
static bool add_service(void *ctx, const struct inspect_service *s)
{
    const struct adding_services *add = ctx;
    json_t *o = json_object_get(add->services, s->name);

    if (!o) {
        if (json_object_size(add->services) >= add->max)
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

void services_add(json_t *services, const struct desk *d, size_t max)
{
    struct adding_services add = {services, worker_id(d->worker), max};

    inspect_services(d->core, add_service, &add);
}

void json_list_members(json_t *o, const char *key)
{
    json_t *by_name = json_object_get(o, key), *list = json_array(), *one;
    const char *name;

    json_object_foreach(by_name, name, one)
    {
        json_array_append(list, one);
    }
    json_object_set_new(o, key, list);
}

void stores_add(json_t *stores, const struct desk *d)
{
    const struct admin_options *o = &d->admin->o;

    if (o->stores)
        o->stores->add(o->stores_ctx, worker_id(d->worker), stores);
}

void sums_add(json_t *to, struct inspect_totals *sum, const struct desk *d)
{
    const struct admin_options *o = &d->admin->o;
    struct inspect_totals t;
    json_t *row = json_object();

    inspect_totals(d->core, &t);
    counters_add(&sum->count, &t.count);
    sum->endpoints += t.endpoints;
    sum->queues += t.queues;
    sum->subscriptions += t.subscriptions;
    sum->draining |= t.draining;
    sum->calls += t.calls;
    sum->calls_open += t.calls_open;
    for (unsigned r = 0; r < REASON_TABLE_SIZE; r++)
        sum->calls_failed[r] += t.calls_failed[r];
    services_add(json_object_get(to, "services"), d, SERVICES_MAX);
    json_object_set_new(row, "id", json_number(worker_id(d->worker)));
    json_object_set_new(row, "busy", json_real(worker_busy(d->worker) / 1000.0));
    json_object_set_new(row, "connections", json_number(t.endpoints));
    json_object_set_new(row, "queues", json_number(t.queues));
    json_object_set_new(row, "used_bytes", json_integer(t.used));
    json_array_append_new(json_object_get(to, "workers"), row);
    if (o->net)
        o->net->ended(o->net_ctx, worker_id(d->worker), add_ended,
                      json_object_get(to, "disconnects"));
    if (o->net && o->net->counts)
        o->net->counts(o->net_ctx, worker_id(d->worker), add_ended,
                       json_object_get(to, "protocols"));
}

void sums_begin(json_t *to)
{
    json_object_set_new(to, "workers", json_array());
    json_object_set_new(to, "disconnects", json_object());
    json_object_set_new(to, "protocols", json_object());
    json_object_set_new(to, "services", json_object());
}

void sums_tell(json_t *to, const struct inspect_totals *sum, const struct desk *d)
{
    uint64_t limit = workers_memory(d->admin->workers);
    int64_t left = workers_memory_left(d->admin->workers);
    json_t *memory = json_object(), *calls = json_object();

    json_object_set_new(memory, "limit_bytes", json_number(limit));
    json_object_set_new(memory, "used_bytes", json_integer((json_int_t)limit - left));
    json_object_set_new(to, "memory", memory);
    json_object_set_new(to, "connections", json_number(sum->endpoints));
    json_object_set_new(to, "totals", json_counters(&sum->count));
    json_object_set_new(calls, "open", json_number(sum->calls_open));
    json_object_set_new(calls, "total", json_number(sum->calls));
    json_object_set_new(calls, "failed", json_reasons(sum->calls_failed));
    json_object_set_new(calls, "errors", json_number(sum->calls_failed[REASON_NONE]));
    json_object_set_new(to, "calls", calls);
    json_list_members(to, "services");
}
