/* Which Redis is the master of a name, as the Sentinels say: all of them are asked when it is lost,
 * when one says that it has changed, and now and then. Who knows of the later election (its
 * config-epoch) is right, as it is among themselves; no votes are counted, for at first it is one
 * alone who knows. The Redis itself must say (ROLE, in its greeting) that it is a master. */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>

#include "brokerd/store/redis/internal.h"

enum { ROUND_MS = 500 }; /* who has not answered by then is not waited for */

#define NEWS "+switch-master"

static int start(struct link *l)
{
    for (unsigned i = 0; i < l->url.hosts_n; i++)
        if (!rpeer_new(l, PEER_TELLER, &l->url.hosts[i]))
            return -ENOMEM;
    l->ask_ms = 0;
    return 0;
}

/* --------------------------------------------------------------------------------------- asking */

/* A connection that listens takes no other command (RESP2), so it does not for a moment.
 *
 * While a Sentinel leads an election its MASTER has the new epoch and still the old address; what
 * has the new address as soon as it is elected is GET-MASTER-ADDR-BY-NAME. Asked in this order: so
 * that a new epoch never comes with an old address. */
static void ask(struct rpeer *p)
{
    static const char *const deaf[] = {"UNSUBSCRIBE", NEWS};
    static const char *const listen[] = {"SUBSCRIBE", NEWS};
    const char *const epoch[] = {"SENTINEL", "MASTER", p->link->url.master};
    const char *const which[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", p->link->url.master};

    if (p->is_asked)
        return;
    p->said.name[0] = '\0';
    if (rpeer_say(p, COMMAND_NEWS, deaf, 2) < 0 || rpeer_say(p, COMMAND_EPOCH, epoch, 3) < 0 ||
        rpeer_say(p, COMMAND_MASTER, which, 3) < 0 || rpeer_say(p, COMMAND_NEWS, listen, 2) < 0) {
        rpeer_drop(p, "no memory");
        return;
    }
    p->is_asked = true;
}

static void ask_all(struct link *l)
{
    l->asked_ms = l->now_ms;
    l->ask_ms = l->now_ms + ASK_BACKSTOP_MS;
    l->counts.refreshes++;
    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n)) {
        struct rpeer *p = LIST_ITEM(n, struct rpeer, node);

        if (p->role == PEER_TELLER && rpeer_is_ready(p))
            ask(p);
    }
    if (l->master && rpeer_is_ready(l->master))
        l->ask_tries = 0;
    else
        link_ask(l, link_backoff(l, l->ask_tries++, ASK_MIN_MS, l->o.backoff_max_ms));
}

/* --------------------------------------------------------------------------------- the answers */

static bool is_same(const struct redis_host *a, const struct redis_host *b)
{
    return a->port == b->port && strcmp(a->name, b->name) == 0;
}

/* The old one gets no more commands. What it was sent it may answer yet. */
static void set_master(struct link *l, const struct redis_host *at, uint64_t epoch)
{
    struct rpeer *p;

    l->epoch = epoch;
    if (l->master && is_same(&l->master->at, at))
        return;
    l->ask_tries = 0;
    p = rpeer_new(l, PEER_MASTER, at);
    if (!p) {
        link_ask(l, l->o.backoff_max_ms);
        return;
    }
    if (l->master)
        l->master->is_tired = true;
    l->master = p;
    l->is_pump_wanted = true;
}

/* Messages come from the master only. */
static void move_listener(struct link *l)
{
    if (l->listener && l->master && rpeer_is_ready(l->master) &&
        !is_same(&l->listener->at, &l->master->at))
        rpeer_drop(l->listener, "the master is another");
}

/* A later election counts at once. Otherwise all are heard first, and then only if there is no
 * master that will do. */
static void decide(struct link *l)
{
    bool is_well = l->master && rpeer_is_ready(l->master);
    const struct rpeer *best = NULL;
    unsigned missing = 0;

    for (struct list_node *n = list_first(&l->peers); n; n = list_next(&l->peers, n)) {
        const struct rpeer *p = LIST_ITEM(n, struct rpeer, node);

        if (p->role != PEER_TELLER)
            continue;
        missing += p->is_asked;
        if (*p->said.name && (!best || p->epoch > best->epoch))
            best = p;
    }
    if (!best)
        return;
    if ((l->master && best->epoch > l->epoch) ||
        (!is_well && (!missing || l->now_ms - l->asked_ms >= ROUND_MS)))
        set_master(l, &best->said, best->epoch);
}

static void replied(struct rpeer *p, enum command_kind kind, const struct redisReply *reply)
{
    struct link *l = p->link;

    if (kind != COMMAND_EPOCH && kind != COMMAND_MASTER)
        return;
    if (reply->type == REDIS_REPLY_NIL)
        link_note(l, p, "this Sentinel knows no master \"%.100s\"", l->url.master);
    else if (reply->type == REDIS_REPLY_ERROR)
        link_note(l, p, "%.*s", (int)(reply->len < 100 ? reply->len : 100), reply->str);
    else if ((kind == COMMAND_EPOCH ? slots_epoch(reply, &p->epoch)
                                    : slots_address(reply, &p->said)) < 0)
        link_note(l, p, "this Sentinel's answer is none");
    if (kind == COMMAND_MASTER)
        decide(l);
}

/* NAME OLD-HOST OLD-PORT HOST PORT: asked again all the same, for one alone may be wrong. */
static void heard(struct rpeer *p, struct slice channel, struct slice text)
{
    size_t n = strlen(p->link->url.master);

    if (slice_eq(channel, SLICE(NEWS)) && text.n > n && text.p[n] == ' ' &&
        slice_starts(text, slice_str(p->link->url.master)))
        link_ask(p->link, 0);
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
    p->said.name[0] = '\0';
    if (p->role == PEER_MASTER)
        link_ask(p->link, 0);
}

static struct rpeer *turned(struct rpeer *p, const struct turned *t)
{
    if (t->turn == TURN_REPLICA) {
        p->is_tired = true;
        link_ask(p->link, 0);
    }
    return NULL;
}

/* The Sentinels may still call a replica the master: it is connected to again, and asked. */
static void run(struct link *l)
{
    struct list_node *n, *next;

    for (n = list_first(&l->peers); n; n = next) {
        struct rpeer *p = LIST_ITEM(n, struct rpeer, node);

        next = list_next(&l->peers, n);
        if (!p->is_tired || !rpeer_is_idle(p))
            continue;
        if (p != l->master) {
            link_forget_peer(l, p);
            continue;
        }
        p->is_tired = false;
        rpeer_drop(p, "it is not the master any more");
    }
    if (l->ask_ms <= l->now_ms)
        ask_all(l);
    if (!l->master || !rpeer_is_ready(l->master))
        decide(l);
    move_listener(l);
}

const struct topology topology_sentinel = {start, ready, lost, replied, heard, turned, run, false};
