#include "brokerd/nodes/nodes.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/nodes/internal.h"

/* ------------------------------------------------------------------------------------- telling */

void nodes_tell(struct nodes *n, enum log_level level, const char *kind, const char *node,
                const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (!n->event)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    n->event(n->ctx, level, kind, node, text);
}

void nodes_trouble(struct nodes *n, const char *what, const struct link_answer *a)
{
    uint64_t left_out;

    if (n->stopping || !log_limit_pass(&n->trouble, n->now_ms, &left_out))
        return;
    nodes_tell(n, LEVEL_WARNING, "topics_trouble", n->id, "%s: %s", what,
               a->outcome != LINK_REPLIED            ? a->text
               : a->reply->type == REDIS_REPLY_ERROR ? a->reply->str
                                                     : "an answer of another kind than expected");
}

/* ---------------------------------------------------------------------------------------- link */

bool answer_is_good(const struct link_answer *a)
{
    return a->outcome == LINK_REPLIED && a->reply->type != REDIS_REPLY_ERROR;
}

bool answer_number(const struct link_answer *a, long long *ret)
{
    if (a->outcome != LINK_REPLIED || a->reply->type != REDIS_REPLY_INTEGER)
        return false;
    *ret = a->reply->integer;
    return true;
}

static void ignore(void *ctx, const struct link_answer *a)
{
    (void)ctx;
    (void)a;
}

int nodes_send(struct nodes *n, const struct slice *args, unsigned args_n, link_answer_fn *done,
               void *ctx)
{
    struct link_command cmd = {args, args_n, link_slot(args[1])};

    return link_send(n->link, &cmd, done ? done : ignore, ctx);
}

static void on_message(void *ctx, struct slice channel, struct slice text)
{
    (void)channel;
    peers_hear(ctx, text);
}

/* What was said while nobody listened is asked for. */
static void on_listening(void *ctx, bool on)
{
    struct nodes *n = ctx;

    if (on)
        n->beat_ms = 0;
}

static void on_state(void *ctx, bool up, const char *text)
{
    struct nodes *n = ctx;

    (void)text; /* the store tells of it */
    n->up = up;
    n->beat_ms = 0;
}

static void on_ready(void *ctx)
{
    (void)ctx; /* a turn follows */
}

static int make_links(struct nodes *n, const struct nodes_options *o, char *err, size_t err_size)
{
    struct slice channel = slice_str(n->channel);
    struct link_options lo = {.base = worker_base(n->worker),
                              .url = o->url,
                              .name = n->id,
                              .ca = o->ca,
                              .certificate = o->certificate,
                              .key = o->key,
                              .timeout_ms = o->timeout_ms,
                              .patience_ms = NODES_DEAD_MS,
                              .seed = o->seed,
                              .channels = &channel,
                              .channels_n = 1,
                              .message = on_message,
                              .listening = on_listening,
                              .ready = on_ready,
                              .state = on_state,
                              .ctx = n};
    int r = link_new(&lo, &n->link, err, err_size);

    if (r < 0)
        return r;
    lo.channels_n = 0;
    lo.state = NULL;
    lo.timeout_ms += READ_BLOCK_MS;
    return link_new(&lo, &n->reader, err, err_size);
}

/* ---------------------------------------------------------------------------------------- core */

static uint64_t on_deliver(void *ctx, const struct delivery *d)
{
    return out_take(ctx, d);
}

static void on_outlet_ready(void *ctx)
{
    (void)ctx;
}

/* It ends with the core, and not before. */
static void on_closed(void *ctx, const struct refusal *why, uint64_t lost)
{
    struct nodes *n = ctx;

    (void)why;
    (void)lost;
    n->outlet = NULL;
}

static void on_settled(void *ctx, uint64_t upto, const struct outcome *o, size_t n)
{
    (void)ctx; /* queues count what they do not take */
    (void)upto;
    (void)o;
    (void)n;
}

static void on_granted(void *ctx, uint32_t n)
{
    ((struct nodes *)ctx)->credit += n;
}

static void on_barrier(void *ctx, uint64_t token)
{
    (void)ctx;
    (void)token;
}

static int open_endpoint(struct nodes *n)
{
    static const struct endpoint_ops ops = {.door = "nodes",
                                            .deliver = on_deliver,
                                            .ready = on_outlet_ready,
                                            .closed = on_closed,
                                            .settled = on_settled,
                                            .granted = on_granted,
                                            .barrier = on_barrier};
    struct endpoint_desc d = {.name = "nodes", .is_broker = true};
    struct refusal why;
    int r = core_endpoint_open(n->core, &d, &ops, n, &n->ep);

    if (r == 0)
        r = core_outlet_open(n->ep, n, &n->outlet, &why);
    if (r == 0)
        r = core_publisher_open(n->ep, PUBLISH_WINDOW, n, &n->publisher);
    if (r == 0)
        core_publisher_never_hold(n->publisher);
    n->read_n = READ_ENTRIES;
    n->credit = 1; /* the first needs none */
    return r;
}

/* ------------------------------------------------------------------------------- what is wanted */

static void on_wanted(void *ctx, struct slice filter, bool on)
{
    struct part *p = ctx;

    interest_add(&p->interest, filter, on);
}

/* Changes on their way to worker 0: 1 or 0, a length, a filter. */
struct news {
    struct nodes *nodes;
    uint64_t lost;
    size_t n;
    uint8_t bytes[];
};

enum { NEWS_BYTES = 16 * 1024 };

static void hear_news(void *arg, struct worker *w)
{
    struct news *news = arg;
    struct nodes *n = news->nodes;

    (void)w;
    n->interest.lost += news->lost;
    for (size_t i = 0; i < news->n; i += 2 + (size_t)news->bytes[i + 1])
        interest_add(&n->interest, slice_of(news->bytes + i + 2, news->bytes[i + 1]),
                     news->bytes[i]);
    free(news);
}

static struct news *gather_news(struct part *p)
{
    struct news *news = malloc(sizeof *news + NEWS_BYTES);
    char buf[NAME_MAX_BYTES];
    struct slice filter;
    bool on;

    if (!news)
        return NULL;
    *news = (struct news){p->nodes, p->interest.lost, 0};
    while (news->n + 2 + NAME_MAX_BYTES <= NEWS_BYTES &&
           interest_next(&p->interest, buf, &filter, &on)) {
        news->bytes[news->n] = on;
        news->bytes[news->n + 1] = (uint8_t)filter.n;
        memcpy(news->bytes + news->n + 2, filter.p, filter.n);
        news->n += 2 + filter.n;
    }
    p->interest.lost = 0;
    return news;
}

/* Each worker, once a turn. */
static bool part_output(void *ctx)
{
    struct part *p = ctx;

    while (interest_has_news(&p->interest) || p->interest.lost) {
        struct news *news = gather_news(p);

        if (!news)
            return false; /* in the next turn */
        if (p->worker == p->nodes->worker) {
            hear_news(news, p->worker);
        } else if (worker_call(p->worker, 0, hear_news, news) < 0) {
            p->interest.lost++; /* it asks for everything then */
            free(news);
            return false;
        }
    }
    return false;
}

static const struct worker_hook part_hook = {.output = part_output};

/* -------------------------------------------------------------------------------------- the turn
 */

static bool on_input(void *ctx)
{
    struct nodes *n = ctx;

    n->now_ms = worker_now(n->worker);
    link_run(n->link, n->now_ms);
    link_run(n->reader, n->now_ms);
    if (n->now_ms >= n->beat_ms)
        peers_beat(n);
    in_tell(n);
    (void)in_publish(n);
    return false;
}

static void on_bye(void *ctx, const struct link_answer *a)
{
    (void)a;
    ((struct nodes *)ctx)->stopped = true;
}

static void say_bye(struct nodes *n)
{
    char text[KEY_MAX];
    struct slice del[] = {SLICE("HDEL"), slice_str(n->directory), slice_str(n->id)};
    struct slice inbox[] = {SLICE("DEL"), slice_str(n->inbox_key)};
    struct slice wants[] = {SLICE("DEL"), slice_str(n->wants_key)};
    struct slice bye[] = {SLICE("PUBLISH"), slice_str(n->channel), {0}};

    (void)snprintf(text, sizeof text, "%s bye\n", n->id);
    bye[2] = slice_str(text);
    n->bye_said = true;
    (void)nodes_send(n, del, 3, NULL, NULL);
    (void)nodes_send(n, inbox, 2, NULL, NULL);
    (void)nodes_send(n, wants, 2, NULL, NULL);
    if (nodes_send(n, bye, 3, on_bye, n) < 0)
        n->stopped = true;
}

/* What waits for a Redis that is away is lost. */
static void give_up(struct nodes *n)
{
    uint64_t lost = core_outlet_waiting(n->outlet) + out_messages(n);

    if (n->stopped)
        return;
    n->stopped = true;
    n->facts.lost += lost;
    lost = n->facts.lost - n->lost_told;
    if (lost)
        nodes_tell(n, LEVEL_WARNING, "topics_lost", n->id,
                   "%llu messages for other nodes are lost: this one stops, and Redis is away",
                   (unsigned long long)lost);
}

static bool on_output(void *ctx)
{
    struct nodes *n = ctx;
    bool told = in_publish(n);

    tell_changes(n);
    out_send(n);
    in_read(n);
    if (n->stopping && !n->up)
        give_up(n);
    else if (n->stopping && !n->bye_said && out_is_empty(n))
        say_bye(n);
    link_flush(n->link);
    link_flush(n->reader);
    return told;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t on_release(void *ctx)
{
    const struct nodes *n = ctx;
    int64_t due = earlier(link_due(n->link), link_due(n->reader));

    due = earlier(due, n->beat_ms);
    if (n->read_ms > n->now_ms && !n->asked)
        due = earlier(due, n->read_ms);
    if (n->tell_ms > n->now_ms)
        due = earlier(due, n->tell_ms);
    if (n->missed)
        due = earlier(due, n->missed_ms);
    return due;
}

static const struct worker_hook hook = {on_input, on_output, on_release};

/* ---------------------------------------------------------------------------------------- life */

static void set_names(struct nodes *n, const struct nodes_options *o)
{
    (void)snprintf(n->prefix, sizeof n->prefix, "%s", o->prefix);
    (void)snprintf(n->id, sizeof n->id, "%.60s.%08x", o->node, (unsigned)(o->seed ^ o->seed >> 32));
    for (char *at = n->id; *at; at++) /* what has a meaning in keys and on the channel */
        if (*at <= ' ' || *at >= 0x7f || *at == '{' || *at == '}' || *at == '%')
            *at = '_';
    (void)snprintf(n->directory, KEY_MAX, "%s:{%%nodes}", n->prefix);
    (void)snprintf(n->inbox_key, KEY_MAX, "%s:{%%node.%s}:in", n->prefix, n->id);
    (void)snprintf(n->wants_key, KEY_MAX, "%s:{%%node.%s}:w", n->prefix, n->id);
    (void)snprintf(n->channel, KEY_MAX, "%s:nodes", n->prefix);
}

static int join_workers(struct nodes *n)
{
    int r = 0;

    for (unsigned i = 0; i < workers_count(n->workers) && r == 0; i++) {
        struct part *p = &n->part[i];

        p->nodes = n;
        p->worker = workers_get(n->workers, i);
        interest_init(&p->interest, n->seed);
        n->parts_n++;
        core_set_wanted(worker_core(p->worker), on_wanted, p);
        r = worker_add_hook(p->worker, &part_hook, p);
    }
    return r < 0 ? r : worker_add_hook(n->worker, &hook, n);
}

int nodes_new(const struct nodes_options *o, struct workers *ws, struct nodes **ret, char *err,
              size_t err_size)
{
    struct nodes *n = calloc(1, sizeof *n);
    int r = -ENOMEM;

    (void)snprintf(err, err_size, "no memory");
    if (!n)
        return r;
    n->workers = ws;
    n->worker = workers_get(ws, 0);
    n->core = worker_core(n->worker);
    n->event = o->event;
    n->ctx = o->ctx;
    n->seed = o->seed;
    n->trouble = n->losing = n->missing = n->unsure = n->junk =
        (struct log_limit){.burst = 3, .per_ms = 10000};
    list_init(&n->peers);
    list_init(&n->chunks);
    list_init(&n->inbox);
    interest_init(&n->interest, o->seed);
    set_names(n, o);
    n->wants = tree_new(o->seed);
    n->routes = n->wants ? routes_new(n->wants, o->seed) : NULL;
    if (n->routes)
        r = make_links(n, o, err, err_size);
    if (r == 0) {
        (void)snprintf(err, err_size, "no memory, or no room in the workers");
        r = open_endpoint(n);
    }
    if (r == 0)
        r = join_workers(n);
    *ret = n;
    return r;
}

bool nodes_know(struct nodes *n)
{
    int64_t now_ms = worker_now(n->worker);

    if (!n->know_ms)
        n->know_ms = now_ms + NODES_KNOW_MS;
    n->known = n->known || peers_known(n) || now_ms >= n->know_ms;
    return n->known;
}

void nodes_stop(struct nodes *n)
{
    n->stopping = true;
}

bool nodes_stopped(const struct nodes *n)
{
    return n->stopped;
}

void nodes_free(struct nodes *n)
{
    struct list_node *l;

    if (!n)
        return;
    link_free(n->link);
    link_free(n->reader);
    while ((l = list_pop(&n->chunks)) != NULL) {
        struct chunk *k = LIST_ITEM(l, struct chunk, link);

        pack_fini(&k->pack);
        free(k);
    }
    in_free(n);
    peers_free(n);
    routes_free(n->routes);
    tree_free(n->wants);
    interest_fini(&n->interest);
    for (unsigned i = 0; i < n->parts_n; i++)
        interest_fini(&n->part[i].interest);
    pack_fini(&n->said);
    free(n);
}

/* --------------------------------------------------------------------------------------- facts */

struct nodes_facts nodes_facts(const struct nodes *n)
{
    struct nodes_facts f = n->facts;

    f.id = n->id;
    f.filters = n->everything ? 1 : interest_count(&n->interest);
    f.wanted = n->wanted;
    f.waiting = core_outlet_waiting(n->outlet);
    f.up = n->up;
    return f;
}

void nodes_each(const struct nodes *n, void (*fn)(void *ctx, const struct nodes_other *o),
                void *ctx)
{
    for (struct list_node *l = list_first(&n->peers); l; l = list_next(&n->peers, l)) {
        const struct peer *p = LIST_ITEM(l, struct peer, link);
        struct nodes_other o = {.id = p->id,
                                .filters = map_len(&p->filters),
                                .forwarded = p->forwarded,
                                .lost = p->lost,
                                .received = p->received,
                                .missed = p->missed,
                                .alive = p->alive};

        fn(ctx, &o);
    }
}
