#include "brokerd/store/redis/redis.h"

#include "brokerd/store/redis/functions.h"
#include "brokerd/store/redis/parts.h"
#include "brokerd/worker/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------- the table */

void queue_touch(struct store_queue *q)
{
    if (!list_linked(&q->touched))
        list_push_back(&q->store->touched, &q->touched);
}

static int redis_put(struct store_queue *q, uint64_t first, const struct run *run,
                     const struct msg_origin *from)
{
    return put_messages(q, first, run, from);
}

static void redis_fetch(struct store_queue *q, uint64_t from, uint32_t n, uint64_t bytes)
{
    (void)from;
    q->want = n;
    q->want_bytes = bytes;
    queue_touch(q);
}

static void redis_settle(struct store_queue *q, const struct store_settlement *s, size_t n)
{
    settle_ranges(q, s, n);
}

static void pump(struct store_queue *q)
{
    if (q->closed) {
        if (q->calls == 0)
            manage_leave(q);
        return;
    }
    put_pump(q);
    settle_pump(q);
    if (!settle_is_behind(q)) /* else when those are answered */
        take_pump(q);
    tidy_pump(q);
}

static void redis_flush(struct store *s)
{
    struct redis_store *r = store_of(s);
    struct list later; /* what is touched by this is looked at in the next turn */
    struct list_node *n;

    list_init(&later);
    while ((n = list_pop(&r->touched)))
        list_push_back(&later, n);
    while ((n = list_pop(&later)))
        pump(LIST_ITEM(n, struct store_queue, touched));
    link_flush(r->link);
}

static bool redis_busy(const struct store *s)
{
    const struct redis_store *r = (const struct redis_store *)s;
    struct list_node *n;

    for (n = list_first(&r->queues); n; n = list_next(&r->queues, n)) {
        const struct store_queue *q = LIST_ITEM(n, struct store_queue, link);

        if (q->unstored || !list_empty(&q->chunks))
            return true;
    }
    return false;
}

static const struct store_ops redis_ops = {
    .name = "redis",
    .shared = true,
    .open = manage_open,
    .define = manage_define,
    .put = redis_put,
    .fetch = redis_fetch,
    .settle = redis_settle,
    .peek = manage_peek,
    .purge = manage_purge,
    .ask = manage_ask,
    .close = manage_close,
    .flush = redis_flush,
    .busy = redis_busy,
};

/* ---------------------------------------------------------------------- what the link tells */

/* Functions of this revision are there: loading them again says they are, which is no harm. */
static const char *prepared(void *ctx, unsigned i, const struct redisReply *reply)
{
    struct redis_store *r = ctx;

    if (i == 0) /* what matters is whether they can be called */
        return NULL;
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer == FUNCTIONS_REVISION)
        return NULL;
    if (reply->type == REDIS_REPLY_INTEGER)
        return "its functions brokerd_1 are another version's: when no such broker runs any more, "
               "FUNCTION DELETE brokerd_1 there";
    store_event(r, REDIS_TROUBLE, "functions cannot be loaded or called: %.160s",
                reply->str ? reply->str : "?");
    return "functions cannot be loaded or called (Redis 7 or later is needed, and the right to)";
}

static void on_state(void *ctx, bool up, const char *text)
{
    struct redis_store *r = ctx;
    struct list_node *n;

    nodes_unsteady(r);
    if (!up) {
        r->down_ms = r->now_ms;
        store_event(r, REDIS_DOWN, "%s", text);
        return;
    }
    if (r->down_ms != INT64_MAX)
        store_event(r, REDIS_BACK, "Redis is there");
    r->down_ms = INT64_MAX;
    for (n = list_first(&r->queues); n; n = list_next(&r->queues, n)) {
        struct store_queue *q = LIST_ITEM(n, struct store_queue, link);

        q->try_ms = 0;
        q->settle_ms = 0;
        queue_touch(q);
    }
}

static void on_room(void *ctx)
{
    struct redis_store *r = ctx;
    struct list_node *n;

    for (n = list_first(&r->queues); n; n = list_next(&r->queues, n))
        queue_touch(LIST_ITEM(n, struct store_queue, link));
}

static void on_message(void *ctx, struct slice channel, struct slice text)
{
    struct redis_store *r = ctx;
    const uint8_t *blank = text.n ? memchr(text.p, ' ', text.n) : NULL;
    struct slice what;
    struct store_queue *q;

    if (slice_eq(channel, slice_str(r->names_channel))) {
        names_message(r, text);
        return;
    }
    if (!blank)
        return;
    what = slice_of(text.p, (size_t)(blank - text.p));
    q = map_get(&r->by_base, slice_from(text, what.n + 1));
    if (!q)
        return;
    if (slice_eq(what, SLICE("room")))
        put_room(q);
    else
        take_news(q, slice_eq(what, SLICE("back")));
}

/* What was said while nobody listened is asked for. */
static void on_listening(void *ctx, bool on)
{
    struct redis_store *r = ctx;

    if (on) {
        names_scan(r);
        r->tick_ms = r->wake_ms = r->now_ms;
    }
}

static void on_ready(void *ctx)
{
    (void)ctx; /* the worker's turn follows an event of its loop anyway */
}

/* --------------------------------------------------------------------------------- the life */

static int link_up(struct redis_store *r, char *err, size_t err_size)
{
    struct slice load[] = {SLICE("FUNCTION"), SLICE("LOAD"), {0}};
    struct slice ask[] = {SLICE("FCALL_RO"), SLICE("brokerd_1_revision"), SLICE("0")};
    struct link_command prepare[] = {{load, 3, 0}, {ask, 3, 0}};
    struct slice channels[] = {slice_str(r->channel), slice_str(r->names_channel)};
    struct link_options o = {
        .base = r->o.base,
        .url = r->o.url,
        .name = r->node,
        .ca = r->o.ca,
        .certificate = r->o.certificate,
        .key = r->o.key,
        .timeout_ms = r->o.timeout_ms,
        .patience_ms = r->o.patience_ms,
        .seed = r->o.seed + r->o.worker,
        .prepare = prepare,
        .prepare_n = 2,
        .prepared = prepared,
        .channels = channels,
        .channels_n = r->o.worker == 0 ? 2 : 1,
        .message = on_message,
        .listening = on_listening,
        .ready = on_ready,
        .state = on_state,
        .room = on_room,
        .ctx = r,
    };

    load[2] = slice_of(redis_functions, (size_t)(redis_functions_end - redis_functions));
    return link_new(&o, &r->link, err, err_size);
}

static int set_names(struct redis_store *r, const char *prefix, const char *node, char *err,
                     size_t err_size)
{
    if (!keys_prefix_fits(slice_str(prefix))) {
        (void)snprintf(err, err_size, "prefix: 1 to %d characters, no blanks, { } or %%",
                       KEYS_PREFIX_MAX);
        return -EINVAL;
    }
    for (const char *p = node; *p; p++)
        if (*p <= ' ' || *p >= 0x7f || *p == '/') {
            (void)snprintf(err, err_size, "node: no blanks, slashes or special characters");
            return -EINVAL;
        }
    (void)snprintf(r->prefix, sizeof r->prefix, "%s", prefix);
    r->broker_n = (size_t)snprintf(r->node, sizeof r->node, "%.*s.%08x.", REDIS_NODE_MAX - 22, node,
                                   (unsigned)(r->o.seed ^ r->o.seed >> 32));
    (void)snprintf(r->node + r->broker_n, sizeof r->node - r->broker_n, "%u", r->o.worker);
    (void)snprintf(r->channel, sizeof r->channel, "%s:node:%.80s", r->prefix, r->node);
    (void)snprintf(r->names_channel, sizeof r->names_channel, "%s:queues", r->prefix);
    (void)snprintf(r->nodes_key, sizeof r->nodes_key, "%s:{queues}:nodes", r->prefix);
    return 0;
}

int redis_store_new(const struct redis_store_options *o, struct redis_store **ret, char *err,
                    size_t err_size)
{
    struct redis_store *r = calloc(1, sizeof *r);
    int e = -ENOMEM;

    (void)snprintf(err, err_size, "no memory");
    if (!r)
        return e;
    r->table.ops = &redis_ops;
    r->o = *o;
    r->o.timeout_ms = o->timeout_ms ? o->timeout_ms : 2000;
    r->o.patience_ms = o->patience_ms ? o->patience_ms : 5000;
    r->o.dead_ms = o->dead_ms ? o->dead_ms : REDIS_DEAD_MS;
    r->tick_every_ms = r->o.dead_ms / 10 < TICK_MS ? r->o.dead_ms / 10 : TICK_MS;
    r->trouble = (struct log_limit){.burst = 3, .per_ms = 10000};
    r->down_ms = 0;
    list_init(&r->queues);
    list_init(&r->touched);
    list_init(&r->requests);
    map_init(&r->by_base, o->seed);
    map_init(&r->alive, o->seed);
    map_init(&r->known, o->seed);
    e = set_names(r, o->prefix ? o->prefix : "brokerd", o->node ? o->node : "node", err, err_size);
    if (e == 0)
        e = keys_init(&r->names, slice_str(r->prefix), SLICE("queues"));
    if (e == 0)
        e = link_up(r, err, err_size);
    if (e < 0) {
        redis_store_free(r);
        return e;
    }
    *ret = r;
    return 0;
}

struct store *redis_store_table(struct redis_store *r)
{
    return &r->table;
}

static void tick_second(struct redis_store *r)
{
    r->tick_ms = r->now_ms + r->tick_every_ms;
    if (!r->stopping)
        nodes_tick(r);
    /* Now and then anyway: what could not be opened is tried again. */
    if ((r->scan_again || r->ticks % SCAN_TICKS == SCAN_TICKS - 1) && !r->scanning)
        names_scan(r);
    if (r->ticks % SCAN_TICKS == 1)
        evict_tick(r);
}

static void wake_at(struct redis_store *r, int64_t at_ms)
{
    if (at_ms != INT64_MAX)
        store_wake(r, at_ms > r->now_ms ? at_ms - r->now_ms : 0);
}

static void tick(struct redis_store *r)
{
    struct list_node *n;
    bool second = r->now_ms >= r->tick_ms;

    if (r->now_ms < r->wake_ms)
        return;
    r->wake_ms = INT64_MAX;
    if (second)
        tick_second(r);
    store_wake(r, r->tick_ms - r->now_ms);
    for (n = list_first(&r->queues); n; n = list_next(&r->queues, n)) {
        struct store_queue *q = LIST_ITEM(n, struct store_queue, link);

        put_tick(q);
        if (second || q->due_ms <= r->now_ms || q->want)
            take_tick(q);
        tidy_tick(q, second);
        wake_at(r, q->due_ms);
        wake_at(r, q->over_ms);
    }
}

/* A stop is over when all queues have given back what they had. */
static void tick_stop(struct redis_store *r)
{
    struct list_node *n, *next;
    bool all = true;

    if (r->stopped)
        return;
    if (r->down_ms != INT64_MAX) {
        r->stopped = true;
        return;
    }
    for (n = list_first(&r->queues); n; n = next) {
        struct store_queue *q = LIST_ITEM(n, struct store_queue, link);

        next = list_next(&r->queues, n);
        if (q->open && !q->left && !q->unstored && !q->fetching && !q->auditing && !q->tidying)
            manage_leave(q);
        all = all && (q->left || !q->open);
    }
    if (all && !r->said_goodbye)
        nodes_goodbye(r);
}

void redis_store_run(struct redis_store *r, int64_t now_ms, int64_t wall_ms)
{
    r->now_ms = now_ms;
    r->wall_ms = wall_ms;
    link_run(r->link, now_ms);
    tick(r);
    if (r->stopping)
        tick_stop(r);
}

int64_t redis_store_due(const struct redis_store *r)
{
    int64_t due = link_due(r->link), own = r->wake_ms;

    if (r->stopping && !r->stopped && own > r->now_ms + SOON_MS)
        own = r->now_ms + SOON_MS;
    return due < own ? due : own;
}

static bool hook_input(void *ctx)
{
    struct redis_store *r = ctx;

    redis_store_run(r, worker_now(r->worker), worker_wall(r->worker));
    return false;
}

static int64_t hook_release(void *ctx)
{
    return redis_store_due(ctx);
}

int redis_store_join(struct redis_store *r, struct worker *w)
{
    static const struct worker_hook hook = {.input = hook_input, .release = hook_release};

    r->worker = w;
    return worker_add_hook(w, &hook, r);
}

void redis_store_stop(struct redis_store *r)
{
    r->stopping = true;
}

bool redis_store_stopped(const struct redis_store *r)
{
    return r->stopped;
}

struct redis_facts redis_store_facts(const struct redis_store *r)
{
    struct redis_facts f = r->facts;

    f.link = link_counts(r->link);
    f.up = r->down_ms == INT64_MAX;
    if (!f.up)
        (void)snprintf(f.text, sizeof f.text, "%s", link_text(r->link));
    return f;
}

void redis_store_free(struct redis_store *r)
{
    struct list_node *n;

    if (!r)
        return;
    link_free(r->link); /* nobody is answered: what was on its way is let go of here */
    while ((n = list_first(&r->requests))) {
        struct request *req = LIST_ITEM(n, struct request, link);

        list_remove(&req->link);
        free(req->owned);
        free(req);
    }
    while ((n = list_first(&r->queues))) {
        struct store_queue *q = LIST_ITEM(n, struct store_queue, link);

        q->closed = true;
        q->calls = 0;
        manage_free(q);
    }
    map_fini(&r->by_base);
    map_fini(&r->known);
    nodes_fini(r);
    keys_fini(&r->names);
    free(r->args.at);
    free(r);
}
