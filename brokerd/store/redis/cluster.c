/* Who has which slot of a Cluster: the map, asked of any node (CLUSTER SLOTS), and put right by
 * what MOVED says meanwhile. The nodes of the URL are asked only while no master is connected to.
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/store/redis/internal.h"

enum { KEEP_MS = 5000 }; /* a node that ASK named may have no slot yet */

static bool is_same(const struct redis_host *a, const struct redis_host *b)
{
    return a->port == b->port && strcmp(a->name, b->name) == 0;
}

/* The master there, made if nobody knows it yet. NULL: no memory, or too many. */
static struct rpeer *master_at(struct link *l, const struct redis_host *at)
{
    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n)) {
        struct rpeer *p = LIST_ITEM(n, struct rpeer, node);

        if (p->role == PEER_MASTER && is_same(&p->at, at))
            return p;
    }
    return l->peers_n < PEERS_MAX ? rpeer_new(l, PEER_MASTER, at) : NULL;
}

/* The same, of a place that `from` named; without a host: its own. */
static struct rpeer *master_said(struct rpeer *from, struct redis_host at)
{
    if (!*at.name)
        memcpy(at.name, from->at.name, sizeof at.name);
    return master_at(from->link, &at);
}

static int start(struct link *l)
{
    l->map = calloc(LINK_SLOTS, sizeof(struct rpeer *));
    if (!l->map)
        return -ENOMEM;
    for (unsigned i = 0; i < l->url.hosts_n; i++) {
        struct rpeer *p = rpeer_new(l, PEER_TELLER, &l->url.hosts[i]);

        if (!p)
            return -ENOMEM;
        rpeer_park(p);
    }
    l->ask_ms = 0;
    return 0;
}

/* ---------------------------------------------------------------------------------- asking for it
 */

static void ask(struct rpeer *p)
{
    static const char *const words[] = {"CLUSTER", "SLOTS"};

    if (p->is_asked || rpeer_say(p, COMMAND_SLOTS, words, 2) < 0)
        return;
    p->is_asked = true;
    p->link->counts.refreshes++;
}

/* A master that is connected to, each in turn: one that hangs does not keep us from asking. */
static struct rpeer *next_to_ask(struct link *l)
{
    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n)) {
        struct rpeer *p = LIST_ITEM(n, struct rpeer, node);

        if (p->role != PEER_MASTER || !rpeer_is_ready(p) || p->is_asked)
            continue;
        list_move_to_back(&l->peers, n);
        return p;
    }
    return NULL;
}

static void ask_tellers(struct link *l)
{
    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n)) {
        struct rpeer *p = LIST_ITEM(n, struct rpeer, node);

        if (p->role == PEER_TELLER && p->is_parked)
            rpeer_hurry(p);
        else if (p->role == PEER_TELLER && rpeer_is_ready(p))
            ask(p);
    }
}

static void ask_somebody(struct link *l)
{
    struct rpeer *p = next_to_ask(l);

    l->asked_ms = l->now_ms;
    l->ask_ms = l->now_ms + ASK_BACKSTOP_MS;
    if (p)
        ask(p);
    else
        ask_tellers(l);
}

/* --------------------------------------------------------------------------------- the answer */

/* The map is what this says; slots that it does not name are nobody's. -EPROTO: it is kept as it
 * was, for what is there is no map. */
static int take_map(struct rpeer *from, const struct redisReply *reply)
{
    struct link *l = from->link;
    struct slots_range r;

    for (size_t i = 0; i < reply->elements; i++)
        if (slots_range(reply, i, &r) < 0)
            return -EPROTO;
    memset(l->map, 0, LINK_SLOTS * sizeof *l->map);
    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n))
        LIST_ITEM(n, struct rpeer, node)->is_wanted = false;
    for (size_t i = 0; i < reply->elements; i++) {
        struct rpeer *p;

        (void)slots_range(reply, i, &r);
        p = master_said(from, r.master);
        if (!p)
            continue;
        p->is_wanted = true;
        p->is_tired = false;
        for (unsigned slot = r.first; slot <= r.last; slot++)
            l->map[slot] = p;
    }
    return 0;
}

static bool is_whole(const struct link *l)
{
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (!l->map[i])
            return false;
    return true;
}

/* One that has no slot any more gets no commands; the listener moves away from it. */
static void tire_others(struct link *l)
{
    bool is_listener_well = !l->listener || !rpeer_is_ready(l->listener);

    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n)) {
        struct rpeer *p = LIST_ITEM(n, struct rpeer, node);

        if (p->role != PEER_MASTER)
            continue;
        if (!p->is_wanted && p->keep_ms <= l->now_ms)
            p->is_tired = true;
        if (p->is_wanted && l->listener && is_same(&p->at, &l->listener->at))
            is_listener_well = true;
    }
    if (!is_listener_well)
        rpeer_drop(l->listener, "it is no master any more");
}

static void park_tellers(struct link *l)
{
    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n)) {
        struct rpeer *p = LIST_ITEM(n, struct rpeer, node);

        if (p->role == PEER_TELLER)
            rpeer_park(p);
    }
}

static void replied(struct rpeer *p, enum command_kind kind, const struct redisReply *reply)
{
    struct link *l = p->link;

    if (kind != COMMAND_SLOTS)
        return;
    if (reply->type == REDIS_REPLY_ERROR)
        link_note(l, p, "CLUSTER SLOTS: %.*s", (int)(reply->len < 100 ? reply->len : 100),
                  reply->str);
    else if (reply->type != REDIS_REPLY_ARRAY || take_map(p, reply) < 0)
        link_note(l, p, "CLUSTER SLOTS: an answer that is none");
    else if (reply->elements == 0)
        link_note(l, p, "it knows of no slots: is it a node of a cluster?");
    else
        park_tellers(l);
    tire_others(l);
    l->is_pump_wanted = true;
    if (is_whole(l))
        l->ask_tries = 0;
    else
        link_ask(l, link_backoff(l, l->ask_tries++, ASK_MIN_MS, l->o.backoff_max_ms));
}

/* ------------------------------------------------------------------------------------- its peers
 */

static void ready(struct rpeer *p)
{
    if (p->role == PEER_TELLER)
        ask(p);
}

static void lost(struct rpeer *p)
{
    if (p->role == PEER_MASTER)
        link_ask(p->link, 0);
}

static void heard(struct rpeer *p, struct slice channel, struct slice text)
{
    (void)p;
    (void)channel;
    (void)text;
}

static struct rpeer *turned(struct rpeer *p, const struct turned *t)
{
    struct link *l = p->link;
    struct rpeer *to;

    link_ask(l, t->turn == TURN_LATER ? ASK_MIN_MS : 0);
    if (t->turn != TURN_MOVED && t->turn != TURN_ASK)
        return NULL;
    to = master_said(p, t->at);
    if (!to)
        return NULL;
    to->is_tired = false;
    to->keep_ms = l->now_ms + KEEP_MS;
    if (t->turn == TURN_ASK)
        return to;
    l->map[t->slot] = to;
    return NULL;
}

static void run(struct link *l)
{
    struct list_node *n, *next;

    for (n = list_first(&l->peers); n; n = next) {
        struct rpeer *p = LIST_ITEM(n, struct rpeer, node);

        next = list_next(&l->peers, n);
        if (p->is_tired && rpeer_is_idle(p))
            link_forget_peer(l, p);
    }
    if (l->ask_ms <= l->now_ms)
        ask_somebody(l);
}

const struct topology topology_cluster = {start, ready, lost, replied, heard, turned, run, true};
