/* The deepest queues, the busiest clients, the slowest consumers: for the call `top` and for what
 * is published on `$SYS.stats` each second. */
#include "brokerd/admin/top.h"

#include <stdlib.h>

enum { TOP_LIMIT = 50, TOP_LIMIT_MAX = 1000 };

/* ------------------------------------------------------------------------------------ choosing */

static void chosen_fini(struct chosen *c)
{
    for (size_t i = 0; i < c->n; i++)
        json_decref(c->all[i].what);
    free(c->all);
}

static bool better(const uint64_t *a, const uint64_t *b)
{
    return a[0] != b[0] ? a[0] > b[0] : a[1] > b[1];
}

/* Whether one with this key would be chosen; the place it goes to. */
static bool place_for(const struct chosen *c, const uint64_t *key, size_t *ret)
{
    size_t low = 0, high = c->n;

    if (c->limit == 0 || (c->n == c->limit && !better(key, c->all[c->n - 1].key)))
        return false;
    while (low < high) {
        size_t mid = (low + high) / 2;

        if (better(key, c->all[mid].key))
            high = mid;
        else
            low = mid + 1;
    }
    *ret = low;
    return true;
}

static void put(struct chosen *c, size_t at, const uint64_t *key, json_t *what)
{
    if (c->n == c->limit)
        json_decref(c->all[--c->n].what);
    memmove(c->all + at + 1, c->all + at, (c->n - at) * sizeof *c->all);
    c->all[at] = (struct choice){{key[0], key[1]}, what};
    c->n++;
}

json_t *chosen_list(const struct chosen *c)
{
    json_t *list = json_array();

    for (size_t i = 0; i < c->n; i++)
        json_array_append(list, c->all[i].what);
    return list;
}

/* ------------------------------------------------------------------------- queues, consumers */

struct choosing {
    struct top *top;
    const struct desk *desk;
    const struct inspect_queue *queue;
};

/* The slowest first: for how long it has kept messages waiting, then by what it has in hand. */
static bool choose_tap(void *ctx, const struct inspect_tap *t)
{
    const struct choosing *c = ctx;
    const struct inspect_queue *q = c->queue;
    bool is_slow = t->stalled_ms >= 0 && q->depth + q->held > 0;
    uint64_t key[2] = {is_slow ? (uint64_t)t->stalled_ms + 1 : 0, t->unacked};
    json_t *k;
    size_t at;

    if (t->stopped || !place_for(&c->top->consumers, key, &at))
        return true;
    k = json_tap(t);
    json_object_set_new(k, "queue", json_text(q->label));
    json_object_set_new(k, "queue_id", json_id('q', q->id));
    put(&c->top->consumers, at, key, k);
    return true;
}

static bool choose_queue(void *ctx, const struct inspect_queue *q)
{
    struct choosing *c = ctx;
    uint64_t key[2] = {q->depth + q->held + q->unacked, q->count.published};
    size_t at;

    if (place_for(&c->top->queues, key, &at))
        put(&c->top->queues, at, key, json_queue(q));
    if (c->top->consumers.limit) {
        c->queue = q;
        inspect_taps(c->desk->core, q->id, choose_tap, c);
    }
    return true;
}

/* -------------------------------------------------------------------------------------- clients */

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
    struct chosen *clients = ctx;
    uint64_t key[2] = {e->published + e->delivered, e->output_bytes};
    size_t at;

    if (!e->is_broker && place_for(clients, key, &at))
        put(clients, at, key, json_client(e));
    return true;
}

/* ---------------------------------------------------------------------------------------- a top */

struct top *top_new(size_t queues, size_t clients, size_t consumers)
{
    struct top *t = calloc(1, sizeof *t);
    struct chosen *all[3];
    bool made = t != NULL;

    if (!t)
        return NULL;
    t->queues.limit = queues;
    t->clients.limit = clients;
    t->consumers.limit = consumers;
    all[0] = &t->queues, all[1] = &t->clients, all[2] = &t->consumers;
    for (unsigned i = 0; i < 3; i++) {
        all[i]->all = calloc(all[i]->limit + 1, sizeof *all[i]->all);
        made = made && all[i]->all;
    }
    if (made)
        return t;
    top_free(t);
    return NULL;
}

void top_free(struct top *t)
{
    if (!t)
        return;
    chosen_fini(&t->queues);
    chosen_fini(&t->clients);
    chosen_fini(&t->consumers);
    free(t);
}

void top_visit(struct ask *a, struct desk *d, struct top *t)
{
    struct choosing c = {t, d, NULL};

    if (a->cursor == 0) {
        sums_add(a->answer, &t->totals, d);
        inspect_endpoints(d->core, choose_client, &t->clients);
    }
    a->cursor = inspect_queues(d->core, a->cursor, WALK_STEPS, choose_queue, &c);
    a->again = a->cursor != 0;
}

void top_visit_consumers(const struct desk *d, struct top *t)
{
    for (size_t i = 0; i < t->consumers.n; i++)
        json_tap_complete(t->consumers.all[i].what, d);
}

/* ----------------------------------------------------------------------------------- the call */

static void free_data(void *data)
{
    top_free(data);
}

static void visit_top(struct ask *a, struct desk *d)
{
    top_visit(a, d, a->data);
}

static void then_top(struct ask *a, struct desk *d)
{
    const struct top *t = a->data;

    sums_tell(a->answer, &t->totals, d);
    json_object_set_new(a->answer, "now_ms", json_integer(worker_now(d->worker)));
    json_object_set_new(a->answer, "queues", chosen_list(&t->queues));
    json_object_set_new(a->answer, "clients", chosen_list(&t->clients));
    ask_answer(a, d);
}

void cmd_top(struct ask *a, struct desk *d)
{
    size_t limit = request_count(a, "limit", TOP_LIMIT, TOP_LIMIT_MAX);

    a->data = top_new(limit, limit, 0);
    a->free_data = free_data;
    if (!a->data) {
        ask_refuse(a, REASON_MEMORY, "no memory to choose");
        ask_refused(a, d);
        return;
    }
    sums_begin(a->answer);
    ask_visit_all(a, d, visit_top, then_top);
}
