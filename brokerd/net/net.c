/* Each worker's part in a turn, and what is asked of all of them. */
#include "brokerd/net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "brokerd/doors/inlet.h"
#include "brokerd/net/websocket.h"

/* ---- the turn */

/* Sockets that are ready, each at most one block. True if some must wait for the next turn. */
static bool read_ready(struct net_worker *nw)
{
    size_t budget = WORKER_READ_MAX;
    struct list_node *l;

    while ((l = list_pop(&nw->ready)) != NULL) {
        struct conn *c = LIST_ITEM(l, struct conn, in_ready);
        uint8_t ready = c->ready;
        size_t n = 0;

        c->ready = 0;
        if (ready & EV_WRITE) {
            c->link.out.blocked = false;
            conn_mark_dirty(c);
        }
        if (ready & EV_READ)
            n = conn_read(c);
        if (n >= budget)
            return !list_empty(&nw->ready);
        budget -= n;
    }
    return false;
}

/* What doors keep apart from connections, and when it wants to be looked at. */
static void look_after_rooms(struct net_worker *nw, int64_t now)
{
    for (struct door_room *r = nw->scratch->rooms; r; r = r->next)
        if (r->due_ms <= now)
            r->ops->on_time(r, now);
}

static int64_t rooms_due(const struct net_worker *nw)
{
    int64_t due = INT64_MAX;

    for (const struct door_room *r = nw->scratch->rooms; r; r = r->next)
        due = r->due_ms < due ? r->due_ms : due;
    return due;
}

static bool on_input(void *ctx)
{
    struct net_worker *nw = ctx;
    int64_t now = worker_now(nw->w);
    struct wheel_node *n;
    bool more;

    nw->turn++;
    nw->any_resumed = false;
    if (worker_id(nw->w) == 0)
        listeners_accept(nw->net, now);
    more = read_ready(nw);
    while ((n = wheel_pop(&nw->wheel, now)) != NULL)
        conn_on_time(LIST_ITEM(n, struct conn, timer), now);
    look_after_rooms(nw, now);
    nw->core_told = false; /* a tick follows: only what is told in it, or later, needs another */
    return more;
}

/* What becomes dirty meanwhile is the next pass's: else one fast reader with a long backlog would
 * keep all others waiting. */
static bool on_output(void *ctx)
{
    struct net_worker *nw = ctx;
    struct list now;
    struct list_node *l;
    bool told;

    list_init(&now);
    while ((l = list_pop(&nw->behind)) != NULL)
        list_push_back(&now, l);
    while ((l = list_pop(&nw->dirty)) != NULL)
        list_push_back(&now, l);
    while ((l = list_pop(&now)) != NULL)
        conn_output(LIST_ITEM(l, struct conn, in_dirty));
    told = nw->core_told;
    nw->core_told = false;
    return told;
}

static int64_t on_release(void *ctx)
{
    struct net_worker *nw = ctx;
    int64_t due = conns_move(nw), next;
    bool any = !list_empty(&nw->closed);

    conns_release(nw);
    next = wheel_next(&nw->wheel);
    due = next < due ? next : due;
    next = rooms_due(nw);
    due = next < due ? next : due;
    /* Doors that were freed have given messages back: on with them at once. */
    if (any || !list_empty(&nw->dirty) || !list_empty(&nw->closed) || nw->any_resumed)
        return worker_now(nw->w);
    if (worker_id(nw->w) == 0 && nw->net->accept_resumes_ms < due)
        return nw->net->accept_resumes_ms;
    return due;
}

static const struct worker_hook hook = {on_input, on_output, on_release};

/* ---- made and freed */

struct host *host_new(const struct net_worker *nw, const struct net_options *o)
{
    struct host *h = malloc(sizeof *h);

    if (h)
        *h = (struct host){.link = {.core = worker_core(nw->w),
                                    .scratch = nw->scratch,
                                    .limits = o->door,
                                    .seed = nw->net->seed,
                                    .close = conn_close_link,
                                    .peer = conn_link_peer,
                                    .pause = conn_pause_link,
                                    .site = conn_link_site,
                                    .refuse = conn_refuse_link,
                                    .upgrade = conn_upgrade_link,
                                    .wake = conn_wake_link},
                           .carried = {.core = worker_core(nw->w),
                                       .scratch = nw->scratch,
                                       .limits = o->door,
                                       .seed = nw->net->seed,
                                       .close = websocket_close_link,
                                       .peer = websocket_link_peer,
                                       .pause = websocket_pause_link,
                                       .site = websocket_link_site},
                           .refs = 1,
                           .o = *o};
    return h;
}

bool host_same(const struct host *a, const struct host *b)
{
    const struct door_limits *d = &a->o.door, *e = &b->o.door;

    return a->o.max_connections == b->o.max_connections &&
           a->o.first_frame_ms == b->o.first_frame_ms &&
           a->o.websocket_ping_ms == b->o.websocket_ping_ms && a->o.linger_ms == b->o.linger_ms &&
           d->first_frame_max == e->first_frame_max && d->frame_max == e->frame_max &&
           d->message_max == e->message_max && d->reassembly_max == e->reassembly_max &&
           d->streams_max == e->streams_max && d->publish_rate == e->publish_rate &&
           d->keepalive_min_ms == e->keepalive_min_ms && d->idle_max_ms == e->idle_max_ms &&
           d->session_bytes == e->session_bytes && d->session_ms == e->session_ms &&
           d->sessions_max == e->sessions_max && d->lease_requests == e->lease_requests &&
           d->lease_ms == e->lease_ms && d->json_keepalive_ms == e->json_keepalive_ms &&
           d->first_frame_ms == e->first_frame_ms && d->http_idle_ms == e->http_idle_ms;
}

void host_drop(struct host *h)
{
    if (h && --h->refs == 0)
        free(h);
}

static int net_worker_init(struct net *net, unsigned id, const struct net_options *o)
{
    struct net_worker *nw = &net->nw[id];
    int r;

    nw->net = net;
    nw->w = workers_get(net->ws, id);
    nw->next_id = CORE_MAX_WORKERS + id; /* net_connection_worker() */
    list_init(&nw->all);
    list_init(&nw->ready);
    list_init(&nw->dirty);
    list_init(&nw->behind);
    list_init(&nw->closed);
    list_init(&nw->moving);
    wheel_init(&nw->wheel, worker_now(nw->w));
    nw->outs = (struct out_host){conn_flush, conn_dirty, .pool = worker_pool(nw->w)};
    nw->carried_outs =
        (struct out_host){websocket_flush, websocket_dirty, .pool = worker_pool(nw->w)};
    for (unsigned i = 0; i < NET_LOGS; i++)
        nw->log[i] = (struct log_limit){.burst = 5, .per_ms = 1000};
    nw->scratch = calloc(1, sizeof *nw->scratch);
    if (nw->scratch)
        nw->scratch->wrong = (struct log_limit){.burst = 5, .per_ms = 1000};
    nw->host = nw->scratch ? host_new(nw, o) : NULL;
    if (!nw->host)
        return -ENOMEM;
    nw->scratch->inlets = inlets_ref(o->inlets);
    r = crowd_open(nw);
    if (r < 0)
        return r;
    return worker_add_hook(nw->w, &hook, nw);
}

int net_new(struct workers *ws, const struct net_options *o, struct net **ret)
{
    unsigned n = workers_count(ws);
    struct net *net = calloc(1, sizeof *net + n * sizeof net->nw[0]);
    int r = 0;

    if (!net)
        return -ENOMEM;
    net->ws = ws;
    net->n = n;
    net->accept_resumes_ms = INT64_MAX;
    atomic_init(&net->connections, 0);
    if (getrandom(&net->seed, sizeof net->seed, 0) != (ssize_t)sizeof net->seed) {
        free(net);
        return -EIO;
    }
    net->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; i < n; i++) { /* so that a half-made one can be freed */
        list_init(&net->nw[i].all);
        net->nw[i].crowd_fd = -1;
    }
    for (unsigned i = 0; i < n && r == 0; i++)
        r = net_worker_init(net, i, o);
    if (r < 0) {
        net_free(net);
        return r;
    }
    *ret = net;
    return 0;
}

static void free_rooms(struct net_worker *nw)
{
    struct door_room *r;

    while (nw->scratch && (r = nw->scratch->rooms) != NULL) {
        nw->scratch->rooms = r->next;
        r->ops->free(r);
    }
}

void net_free(struct net *net)
{
    if (!net)
        return;
    listeners_close(net);
    for (unsigned i = 0; i < net->n; i++) {
        struct net_worker *nw = &net->nw[i];
        struct list_node *l, *next;

        for (l = list_first(&nw->all); l; l = next) {
            next = list_next(&nw->all, l);
            conn_kill(LIST_ITEM(l, struct conn, in_all), NET_END_DRAINED, NULL);
        }
        if (nw->net)
            conns_release(nw);
        free_rooms(nw);
        read_blocks_fini(&nw->small);
        read_blocks_fini(&nw->large);
        read_blocks_fini(&nw->unpacked);
        websocket_parsers_free(nw);
        out_host_fini(&nw->outs);
        out_host_fini(&nw->carried_outs);
        crowd_close(nw);
        host_drop(nw->host);
        if (nw->scratch)
            inlets_unref(nw->scratch->inlets);
        free(nw->scratch);
    }
    if (net->spare_fd >= 0)
        close(net->spare_fd);
    sites_free(net);
    free(net);
}

/* ---- asked of all workers */

struct asked {
    struct net *net;
    struct host *host;
    struct inlets *inlets;
    int64_t over_ms;
};

/* Run fn with a copy of `what` of its own on every worker; fn frees it. */
static int ask_all(struct net *net, worker_fn *fn, const struct asked *what)
{
    int failed = 0;

    for (unsigned i = 0; i < net->n; i++) {
        struct asked *a = malloc(sizeof *a);
        int r = -ENOMEM;

        if (a) {
            *a = *what;
            r = workers_call(net->ws, i, fn, a);
            if (r < 0)
                free(a);
        }
        if (r < 0)
            failed = r;
    }
    return failed;
}

static void take_limits(void *arg, struct worker *w)
{
    struct asked *a = arg;
    struct net_worker *nw = &a->net->nw[worker_id(w)];

    host_drop(nw->host);
    nw->host = a->host;
    inlets_unref(nw->scratch->inlets);
    nw->scratch->inlets = a->inlets;
    free(a);
}

int net_configure(struct net *net, const struct net_options *o)
{
    int failed = 0;

    for (unsigned i = 0; i < net->n; i++) {
        struct asked *a = malloc(sizeof *a);
        struct host *h = host_new(&net->nw[i], o);
        int r = -ENOMEM;

        if (a && h) {
            *a = (struct asked){.net = net, .host = h, .inlets = inlets_ref(o->inlets)};
            r = workers_call(net->ws, i, take_limits, a);
        }
        if (r < 0) {
            if (a && h)
                inlets_unref(a->inlets);
            free(a);
            free(h);
            failed = r;
        }
    }
    return failed;
}

static void drain(void *arg, struct worker *w)
{
    struct asked *a = arg;
    struct net_worker *nw = &a->net->nw[worker_id(w)];

    free(a);
    if (worker_id(w) == 0)
        listeners_close(nw->net);
    if (nw->is_draining)
        return;
    nw->is_draining = true;
    core_drain(worker_core(w));
    for (struct list_node *l = list_first(&nw->all); l; l = list_next(&nw->all, l)) {
        struct conn *c = LIST_ITEM(l, struct conn, in_all);

        if (c->state == CONN_NEW)
            conn_close(c, NET_END_DRAINED, NULL);
        else if (c->state == CONN_OPEN)
            c->door->on_drain(c->door_conn);
    }
    for (struct door_room *r = nw->scratch->rooms; r; r = r->next)
        r->ops->on_drain(r);
}

int net_drain(struct net *net)
{
    return ask_all(net, drain, &(struct asked){.net = net});
}

/* A number of 0 to below `n`, for a connection's place in the order they are closed in. */
static int64_t scatter(uint64_t id, int64_t n)
{
    return (int64_t)((id * UINT64_C(0x9e3779b97f4a7c15) >> 11) % (uint64_t)n);
}

static void close_all(void *arg, struct worker *w)
{
    struct asked *a = arg;
    struct net_worker *nw = &a->net->nw[worker_id(w)];

    nw->is_closing = true;
    for (struct list_node *l = list_first(&nw->all); l; l = list_next(&nw->all, l)) {
        struct conn *c = LIST_ITEM(l, struct conn, in_all);

        if (c->state >= CONN_CLOSING)
            continue;
        if (a->over_ms <= 0) {
            conn_close(c, NET_END_DRAINED, NULL);
            continue;
        }
        c->is_evicted = true;
        c->deadline_ms = worker_now(w) + scatter(c->link.id, a->over_ms);
        conn_set_timer(c, c->timer.due_ms);
    }
    free(a);
}

int net_close_all(struct net *net, int64_t over_ms)
{
    return ask_all(net, close_all, &(struct asked){.net = net, .over_ms = over_ms});
}

unsigned net_connections(const struct net *net)
{
    return atomic_load(&((struct net *)(uintptr_t)net)->connections);
}

/* ---- asked of one */

struct net_stats net_worker_stats(const struct net *net, unsigned id)
{
    return net->nw[id].stats;
}

void net_door_counts(const struct net *net, unsigned id, net_count_fn *fn, void *ctx)
{
    static const char *const words[DOOR_COUNTS] = {
#define X(name, word, meaning) [DOOR_COUNT_##name] = (word),
        DOOR_COUNT_LIST(X)
#undef X
    };
    const uint64_t *count = net->nw[id].scratch->count;

    for (int i = 0; i < DOOR_COUNTS; i++)
        if (count[i])
            fn(ctx, words[i], count[i]);
}

static const char *state_name(const struct conn *c)
{
    switch (c->state) {
    case CONN_NEW:
        return "new";
    case CONN_OPEN:
        return c->established ? "open" : "new";
    case CONN_CLOSING:
    case CONN_LINGERING:
    case CONN_DEAD:
        break;
    }
    return "closing";
}

void net_each_connection(const struct net *net, unsigned id, net_conn_fn *fn, void *ctx)
{
    const struct list *all = &net->nw[id].all;

    for (struct list_node *l = list_first(all); l; l = list_next(all, l)) {
        const struct conn *c = LIST_ITEM(l, struct conn, in_all);

        fn(ctx, &(struct net_conn_info){.id = c->link.id,
                                        .peer = c->peer,
                                        .door = conn_door_name(c, ""),
                                        .state = state_name(c),
                                        .since_ms = c->since_ms,
                                        .bytes_in = c->bytes_in,
                                        .bytes_out = out_written(&c->link.out),
                                        .pending_out = c->link.out.pending,
                                        .endpoint = c->link.endpoint,
                                        .is_reading = !c->reading_stopped && !c->is_paused});
    }
}

unsigned net_connection_worker(uint64_t id)
{
    return (unsigned)(id % CORE_MAX_WORKERS);
}

int net_kill(struct net *net, uint64_t id)
{
    struct net_worker *nw = &net->nw[net_connection_worker(id)];

    if (net_connection_worker(id) >= net->n)
        return -ENOENT;
    for (struct list_node *l = list_first(&nw->all); l; l = list_next(&nw->all, l)) {
        struct conn *c = LIST_ITEM(l, struct conn, in_all);

        if (c->link.id == id && c->state < CONN_CLOSING) {
            conn_close(c, NET_END_KILLED, NULL);
            return 0;
        }
    }
    return -ENOENT;
}
