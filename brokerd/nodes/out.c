/* What other nodes want: packed as the outlet delivers it, sent at the end of the turn. */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "brokerd/nodes/internal.h"

/* ------------------------------------------------------------------------------------- packing */

static void lose(struct peer *p, uint64_t messages)
{
    p->lost += messages;
    p->nodes->facts.lost += messages;
}

static struct chunk *chunk_begin(struct peer *p)
{
    struct nodes *n = p->nodes;
    struct pack_head head = {p->session, p->next, slice_str(n->id)};
    struct chunk *k = calloc(1, sizeof *k);

    if (!k)
        return NULL;
    k->nodes = n;
    k->peer = p;
    k->start = n->position;
    k->first = p->next;
    if (pack_begin(&k->pack, &head) < 0) {
        pack_fini(&k->pack);
        free(k);
        return NULL;
    }
    list_push_back(&n->chunks, &k->link);
    p->open = k;
    return k;
}

static void chunk_close(struct peer *p)
{
    struct chunk *k = p->open;

    if (!k)
        return;
    list_push_back(&p->ready, &k->ready);
    k->charged = k->pack.cap;
    core_charge(k->nodes->core, (int64_t)k->charged);
    p->open = NULL;
}

/* Where a run of the delivery goes on, in the chunk that is open. */
static bool run_begin(struct peer *p, const struct delivery *d, uint32_t i)
{
    struct origin from = {d->id + i, d->time_ms};
    struct chunk *k = p->open ? p->open : chunk_begin(p);

    return k && pack_run(&k->pack, topic_slice(d->topic), d->run.type, &from) == 0;
}

/* Entries are numbered by their first message: behind one that is lost comes another entry. */
static void pack_for(struct peer *p, const struct delivery *d)
{
    const struct consumer *outlet = p->nodes->outlet;
    bool running = false;

    for (uint32_t i = 0; i < d->run.n; i++) {
        bool fits = d->run.v[i].len <= NODES_MESSAGE_MAX;

        if (fits && !running)
            running = run_begin(p, d, i);
        if (fits && running &&
            pack_message(&p->open->pack, &d->run.v[i], core_outlet_ttl(outlet, d, i)) == 0) {
            p->open->messages++;
        } else {
            lose(p, 1);
            p->mark = true;
            running = false;
        }
        if (!running || p->open->pack.n >= NODES_ENTRY_BYTES) {
            chunk_close(p);
            running = false;
        }
        p->next++;
    }
}

/* Whom they were for is not known: each that wants anything has them among its numbers. */
static void lose_for_all(struct nodes *n, uint64_t lost)
{
    struct list_node *l;

    if (!lost)
        return;
    n->facts.lost += lost;
    for (l = list_first(&n->peers); l; l = list_next(&n->peers, l)) {
        struct peer *p = LIST_ITEM(l, struct peer, link);

        if (!p->alive || !map_len(&p->filters))
            continue;
        chunk_close(p);
        p->next += lost;
        p->mark = true;
    }
}

static void tell_gaps(struct nodes *n, const struct delivery *d)
{
    uint64_t lost = 0;

    for (unsigned i = 0; i < d->gaps_n; i++)
        lost += d->gaps[i].count;
    lose_for_all(n, lost);
}

uint64_t out_take(struct nodes *n, const struct delivery *d)
{
    struct route *r;

    if (d->gaps_n)
        tell_gaps(n, d);
    r = route_get(n->routes, topic_slice(d->topic));
    if (!r) {
        lose_for_all(n, d->run.n);
        return n->position;
    }
    for (uint32_t i = 0; i < r->n; i++) {
        pack_for(r->queues[i], d);
        n->position += d->run.bytes + d->run.n;
    }
    route_unref(r);
    return n->position;
}

/* ------------------------------------------------------------------------------------- sending */

/* All before the oldest chunk has been answered for. */
static void note_written(struct nodes *n)
{
    const struct list_node *l = list_first(&n->chunks);
    uint64_t upto = l ? LIST_ITEM(l, struct chunk, link)->start : n->position;

    if (upto > n->written) {
        n->written = upto;
        (void)core_written(n->ep, upto);
    }
}

static void chunk_end(struct chunk *k)
{
    list_remove(&k->link);
    list_remove(&k->ready);
    core_charge(k->nodes->core, -(int64_t)k->charged);
    pack_fini(&k->pack);
    free(k);
}

static void on_sent(void *ctx, const struct link_answer *a)
{
    struct chunk *k = ctx;
    struct nodes *n = k->nodes;

    bool good = answer_is_good(a) && a->reply->type != REDIS_REPLY_NIL;

    if (k->peer) {
        k->peer->flying--;
        k->peer->mark |= k->messages || !good;
    }
    if (good) {
        n->facts.forwarded += k->messages;
        n->facts.entries += k->messages > 0;
        if (k->peer)
            k->peer->forwarded += k->messages;
    } else {
        n->facts.lost += k->messages;
        if (k->peer)
            k->peer->lost += k->messages;
        if (!answer_is_good(a) && k->messages)
            nodes_trouble(n, "topics: messages for another node are lost", a);
    }
    chunk_end(k);
    note_written(n);
}

/* How many entries may stay in the inbox: fewer where they are large, so that their bytes are
 * bounded whoever reads them when. */
static unsigned inbox_room(size_t entry)
{
    size_t least = NODES_INBOX_BYTES / NODES_INBOX;

    return (unsigned)(NODES_INBOX_BYTES / (entry > least ? entry : least));
}

static int send_chunk(struct peer *p, struct chunk *k)
{
    char most[16];
    struct slice args[] = {
        SLICE("XADD"),   slice_str(p->inbox), SLICE("NOMKSTREAM"),
        SLICE("MAXLEN"), SLICE("~"),          {0},
        SLICE("*"),      SLICE("m"),          slice_of(k->pack.bytes, k->pack.n)};

    (void)snprintf(most, sizeof most, "%u", inbox_room(k->pack.n));
    args[5] = slice_str(most);
    return nodes_send(p->nodes, args, sizeof args / sizeof args[0], on_sent, k);
}

static void send_for(struct peer *p)
{
    struct list_node *l;

    if (p->open && p->flying < CHUNKS_FLYING && p->open->messages)
        chunk_close(p);
    while (p->flying < CHUNKS_FLYING && (l = list_first(&p->ready)) != NULL) {
        struct chunk *k = LIST_ITEM(l, struct chunk, ready);
        int r = send_chunk(p, k);

        if (r == -EAGAIN)
            return;
        list_remove(&k->ready);
        if (r == 0) {
            p->flying++;
            continue;
        }
        lose(p, k->messages);
        p->mark = true;
        chunk_end(k);
    }
}

/* What was sent last may be lost with nothing coming behind it that would show that. */
static void mark(struct peer *p)
{
    if (!p->mark || !p->alive || p->open || p->flying || !list_empty(&p->ready) || !chunk_begin(p))
        return;
    p->mark = false;
    chunk_close(p);
}

void out_mark(struct nodes *n)
{
    for (struct list_node *l = list_first(&n->peers); l; l = list_next(&n->peers, l))
        mark(LIST_ITEM(l, struct peer, link));
}

void out_tell(struct nodes *n)
{
    uint64_t lost = n->facts.lost - n->lost_told, left_out;

    if (!lost || !log_limit_pass(&n->losing, n->now_ms, &left_out))
        return;
    n->lost_told = n->facts.lost;
    nodes_tell(n, LEVEL_WARNING, "topics_lost", n->id, "%llu messages for other nodes were lost",
               (unsigned long long)lost);
}

/* This node stops, and will not say it later. */
static void mark_last(struct peer *p)
{
    if (!p->mark || p->last_marked || p->open || p->flying || !list_empty(&p->ready))
        return;
    p->last_marked = true;
    mark(p);
}

void out_send(struct nodes *n)
{
    for (struct list_node *l = list_first(&n->peers); l; l = list_next(&n->peers, l)) {
        struct peer *p = LIST_ITEM(l, struct peer, link);

        if (n->stopping && core_outlet_waiting(n->outlet) == 0)
            mark_last(p);
        send_for(p);
    }
    note_written(n);
}

void out_forget(struct peer *p)
{
    struct list_node *l, *next;

    chunk_close(p);
    p->flying = 0;
    for (l = list_first(&p->nodes->chunks); l; l = next) {
        struct chunk *k = LIST_ITEM(l, struct chunk, link);
        bool flies = !list_linked(&k->ready);

        next = list_next(&p->nodes->chunks, l);
        if (k->peer != p)
            continue;
        k->peer = NULL;
        if (flies)
            continue;
        lose(p, k->messages);
        chunk_end(k);
    }
    note_written(p->nodes);
}

uint64_t out_messages(const struct nodes *n)
{
    uint64_t messages = 0;

    for (struct list_node *l = list_first(&n->chunks); l; l = list_next(&n->chunks, l))
        messages += LIST_ITEM(l, struct chunk, link)->messages;
    return messages;
}

bool out_is_empty(const struct nodes *n)
{
    return list_empty(&n->chunks) && core_outlet_waiting(n->outlet) == 0;
}
