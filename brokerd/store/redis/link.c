/* A link: its life, its turn, and what goes between its peers and its lanes. */
#include "brokerd/store/redis/link.h"

#include <ctype.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/store/redis/internal.h"
#include "brokerd/store/redis/tls.h"

enum {
    TIMEOUT_MS = 2000,
    PATIENCE_MS = 10000,
    BACKOFF_MIN_MS = 20,
    BACKOFF_MAX_MS = 1000,
    COMMANDS_MAX = 65536,
    BYTES_MAX = 64 << 20,
};

/* --------------------------------------------------------------------------------- small things */

void link_mark(struct link *l)
{
    if (l->is_marked)
        return;
    l->is_marked = true;
    if (l->o.ready)
        l->o.ready(l->o.ctx);
}

static uint32_t next_random(struct link *l)
{
    uint64_t x = l->random += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(x >> 32);
}

int64_t link_backoff(struct link *l, unsigned tries, int64_t least, int64_t most)
{
    int64_t wait = least;

    while (tries-- > 0 && wait < most)
        wait *= 2;
    if (wait > most)
        wait = most;
    return wait - (int64_t)(next_random(l) % (uint64_t)(wait / 2 + 1));
}

void link_note(struct link *l, const struct rpeer *p, const char *fmt, ...)
{
    size_t n = 0;
    va_list args;

    if (p)
        n = (size_t)snprintf(l->text, sizeof l->text,
                             p->at.name[0] == '/' ? "%s: " : "%s:%u: ", p->at.name, p->at.port);
    if (n >= sizeof l->text)
        return;
    va_start(args, fmt);
    (void)vsnprintf(l->text + n, sizeof l->text - n, fmt, args);
    va_end(args);
    for (char *c = l->text; *c; c++)
        if (!isprint((unsigned char)*c))
            *c = ' ';
}

void link_ask(struct link *l, int64_t in_ms)
{
    int64_t at = l->now_ms + in_ms;

    if (at < l->asked_ms + ASK_MIN_MS)
        at = l->asked_ms + ASK_MIN_MS;
    if (at < l->ask_ms)
        l->ask_ms = at;
}

/* --------------------------------------------------------------------------------- up and down */

static void set_up(struct link *l, bool up)
{
    if (l->is_up == up)
        return;
    l->is_up = up;
    if (l->o.state)
        l->o.state(l->o.ctx, up, l->text);
}

void link_peer_ready(struct rpeer *p)
{
    struct link *l = p->link;

    if (p->role == PEER_LISTENER && l->o.listening)
        l->o.listening(l->o.ctx, true);
    if (p->role == PEER_MASTER) {
        l->counts.connects++;
        l->counts.ready++;
        l->is_pump_wanted = true;
        set_up(l, true);
        if (l->listener)
            rpeer_hurry(l->listener);
    }
    l->topology->ready(p);
}

void link_peer_lost(struct rpeer *p, const char *text)
{
    struct link *l = p->link;
    struct command *cmd;
    bool sent, was_ready = p->via != 0;

    if (text)
        link_note(l, p, "%s", text);
    while ((cmd = rconn_take(p->conn, &sent)) != NULL) {
        if (cmd->kind == COMMAND_USER)
            lane_lost(p, cmd, sent, l->text);
        else
            free(cmd);
    }
    p->via = 0;
    p->is_asked = false;
    if (p->role == PEER_LISTENER && was_ready && l->o.listening)
        l->o.listening(l->o.ctx, false);
    if (p->role == PEER_MASTER && was_ready && --l->counts.ready == 0)
        set_up(l, false);
    l->topology->lost(p);
}

void link_peer_replied(struct rpeer *p, struct command *cmd, const struct redisReply *reply)
{
    if (cmd->kind == COMMAND_USER) {
        lane_replied(p, cmd, reply);
        return;
    }
    if (cmd->kind == COMMAND_SLOTS || cmd->kind == COMMAND_MASTER)
        p->is_asked = false;
    p->link->topology->replied(p, cmd->kind, reply);
    free(cmd);
}

void link_peer_heard(struct rpeer *p, struct slice channel, struct slice text)
{
    struct link *l = p->link;

    if (p->role != PEER_LISTENER)
        l->topology->heard(p, channel, text);
    else if (l->o.message)
        l->o.message(l->o.ctx, channel, text);
}

/* ----------------------------------------------------------------------------------- the listener
 */

/* Any master that takes commands: a Cluster tells all nodes what is published at one. */
bool link_listener_place(struct link *l, struct redis_host *ret)
{
    unsigned skip = l->counts.ready ? next_random(l) % l->counts.ready : 0;

    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n)) {
        const struct rpeer *p = LIST_ITEM(n, struct rpeer, node);

        if (p->role != PEER_MASTER || !rpeer_is_ready(p) || p->is_tired || skip-- > 0)
            continue;
        *ret = p->at;
        return true;
    }
    return false;
}

void link_forget_peer(struct link *l, struct rpeer *p)
{
    for (unsigned i = 0; i < LINK_SLOTS; i++) {
        if (l->lanes[i])
            lane_forget(l->lanes[i], p);
        if (l->map && l->map[i] == p)
            l->map[i] = NULL;
    }
    if (l->master == p)
        l->master = NULL;
    if (p->via)
        l->counts.ready--;
    rpeer_free(p);
}

/* -------------------------------------------------------------------------------------- one Redis
 */

static int single_start(struct link *l)
{
    l->master = rpeer_new(l, PEER_MASTER, &l->url.hosts[0]);
    return l->master ? 0 : -ENOMEM;
}

static void single_peer(struct rpeer *p)
{
    (void)p;
}

static void single_replied(struct rpeer *p, enum command_kind kind, const struct redisReply *reply)
{
    (void)p;
    (void)kind;
    (void)reply;
}

static void single_heard(struct rpeer *p, struct slice channel, struct slice text)
{
    (void)p;
    (void)channel;
    (void)text;
}

static struct rpeer *single_turned(struct rpeer *p, const struct turned *t)
{
    (void)p;
    (void)t;
    return NULL;
}

static void single_run(struct link *l)
{
    l->ask_ms = INT64_MAX;
}

const struct topology topology_single = {
    single_start, single_peer,   single_peer, single_replied,
    single_heard, single_turned, single_run,  false,
};

/* ----------------------------------------------------------------------------------------- life */

static void set_defaults(struct link_options *o)
{
    o->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS;
    o->patience_ms = o->patience_ms > 0 ? o->patience_ms : PATIENCE_MS;
    o->backoff_min_ms = o->backoff_min_ms > 0 ? o->backoff_min_ms : BACKOFF_MIN_MS;
    o->backoff_max_ms = o->backoff_max_ms > 0 ? o->backoff_max_ms : BACKOFF_MAX_MS;
    o->commands_max = o->commands_max ? o->commands_max : COMMANDS_MAX;
    o->bytes_max = o->bytes_max ? o->bytes_max : BYTES_MAX;
}

static int copy_prepare(struct link *l)
{
    l->prepare = calloc(l->o.prepare_n + 1, sizeof *l->prepare);
    for (unsigned i = 0; l->prepare && i < l->o.prepare_n; i++) {
        const struct link_command *c = &l->o.prepare[i];

        l->prepare[i] = command_new(COMMAND_PREPARE, c->args, c->n);
        if (!l->prepare[i])
            return -ENOMEM;
        l->prepare[i]->index = i;
    }
    return l->prepare ? 0 : -ENOMEM;
}

/* The command that subscribes, as its words; they are in one piece behind the slices. */
static int copy_channels(struct link *l)
{
    size_t size = 0;
    uint8_t *p;

    for (unsigned i = 0; i < l->o.channels_n; i++)
        size += l->o.channels[i].n;
    l->channels = malloc((l->o.channels_n + 1) * sizeof *l->channels + size + 1);
    if (!l->channels)
        return -ENOMEM;
    p = (uint8_t *)(l->channels + l->o.channels_n + 1);
    l->channels[0] = SLICE("SUBSCRIBE");
    for (unsigned i = 0; i < l->o.channels_n; i++) {
        struct slice s = l->o.channels[i];

        if (s.n)
            memcpy(p, s.p, s.n);
        l->channels[i + 1] = slice_of(p, s.n);
        p += s.n;
    }
    return 0;
}

static int copy_options(struct link *l)
{
    if (copy_prepare(l) < 0 || copy_channels(l) < 0)
        return -ENOMEM;
    if (l->o.name && !(l->name = strdup(l->o.name)))
        return -ENOMEM;
    l->scratch = malloc(CONN_SCRATCH);
    return l->scratch ? 0 : -ENOMEM;
}

static int build(struct link *l, char *err, size_t err_size)
{
    static const struct topology *const topologies[] = {
        [REDIS_SINGLE] = &topology_single,
        [REDIS_SENTINEL] = &topology_sentinel,
        [REDIS_CLUSTER] = &topology_cluster,
    };
    int r = copy_options(l);

    l->topology = topologies[l->url.kind];
    if (r == 0)
        r = l->topology->start(l);
    if (r == 0 && l->o.channels_n) {
        l->listener = rpeer_new(l, PEER_LISTENER, &l->url.hosts[0]);
        r = l->listener ? 0 : -ENOMEM;
    }
    if (r < 0)
        (void)snprintf(err, err_size, "no memory");
    if (r == 0 && l->url.tls)
        r = tls_new(l->o.ca, l->o.certificate, l->o.key, &l->tls, err, err_size);
    return r;
}

int link_new(const struct link_options *o, struct link **ret, char *err, size_t err_size)
{
    struct link *l = calloc(1, sizeof *l);
    int r;

    if (!l) {
        (void)snprintf(err, err_size, "no memory");
        return -ENOMEM;
    }
    l->o = *o;
    l->url = *o->url;
    l->random = o->seed;
    l->ask_ms = INT64_MAX;
    l->asked_ms = INT64_MIN / 2;
    set_defaults(&l->o);
    list_init(&l->peers);
    r = build(l, err, err_size);
    if (r < 0) {
        link_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

void link_free(struct link *l)
{
    struct list_node *n;

    if (!l)
        return;
    while ((n = list_first(&l->peers)) != NULL)
        rpeer_free(LIST_ITEM(n, struct rpeer, node));
    heap_fini(&l->due); /* lets go of the lanes in it, so before they are freed */
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        lane_free(l->lanes[i]);
    for (unsigned i = 0; l->prepare && i < l->o.prepare_n; i++)
        free(l->prepare[i]);
    tls_free(l->tls);
    free(l->prepare);
    free(l->channels);
    free(l->name);
    free(l->map);
    free(l->scratch);
    explicit_bzero(&l->url, sizeof l->url);
    free(l);
}

/* -------------------------------------------------------------------------------------- its use */

int link_send(struct link *l, const struct link_command *cmd, link_answer_fn *done, void *ctx)
{
    struct command *c;
    struct lane *lane;

    if (cmd->n == 0 || cmd->n > LINK_ARGS_MAX || cmd->slot >= LINK_SLOTS)
        return -EINVAL;
    lane = lane_get(l, cmd->slot);
    if (!lane)
        return -ENOMEM;
    if (!lane_has_room(l, lane, command_size(cmd->args, cmd->n))) {
        l->counts.refused++;
        return -EAGAIN;
    }
    c = command_new(COMMAND_USER, cmd->args, cmd->n);
    if (!c)
        return -ENOMEM;
    c->slot = cmd->slot;
    c->done = done;
    c->ctx = ctx;
    c->deadline_ms = l->now_ms + l->o.patience_ms;
    l->counts.sent++;
    lane_add(l, lane, c);
    return 0;
}

void link_flush(struct link *l)
{
    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n))
        rpeer_flush(LIST_ITEM(n, struct rpeer, node));
}

static void run_peers(struct link *l)
{
    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n)) {
        struct rpeer *p = LIST_ITEM(n, struct rpeer, node);

        if (rpeer_due(p) <= l->now_ms)
            rpeer_run(p);
    }
}

static void run_lanes(struct link *l)
{
    struct heap_node *due;

    if (l->is_pump_wanted) {
        l->is_pump_wanted = false;
        for (unsigned i = 0; i < LINK_SLOTS; i++)
            if (l->lanes[i])
                lane_send(l, l->lanes[i]);
    }
    while ((due = heap_min(&l->due)) != NULL && due->key <= l->now_ms) {
        lane_expire(l, HEAP_ITEM(due, struct lane, due));
        lane_send(l, HEAP_ITEM(due, struct lane, due));
    }
}

/* What was sent before the clock was known waits from now on. */
static void start_clock(struct link *l, int64_t now_ms)
{
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (l->lanes[i])
            lane_wait_longer(l, l->lanes[i], now_ms);
}

void link_run(struct link *l, int64_t now_ms)
{
    if (!l->is_begun)
        start_clock(l, now_ms);
    l->is_begun = true;
    l->now_ms = now_ms;
    l->is_marked = false;
    run_peers(l);
    l->topology->run(l);
    run_lanes(l);
    link_flush(l);
    if (l->is_room) {
        l->is_room = false;
        if (l->o.room)
            l->o.room(l->o.ctx);
    }
}

int64_t link_due(const struct link *l)
{
    const struct heap_node *lane = heap_min(&l->due);
    int64_t due = l->ask_ms;

    if (l->is_marked || l->is_pump_wanted || l->is_room)
        return 0;
    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n)) {
        int64_t d = rpeer_due(LIST_ITEM(n, struct rpeer, node));

        due = d < due ? d : due;
    }
    return lane && lane->key < due ? lane->key : due;
}

bool link_is_up(const struct link *l)
{
    return l->is_up;
}

const char *link_text(const struct link *l)
{
    return l->text;
}

struct link_counts link_counts(const struct link *l)
{
    struct link_counts c = l->counts;

    c.nodes = 0;
    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n))
        c.nodes += LIST_ITEM(n, struct rpeer, node)->role == PEER_MASTER;
    return c;
}
