/* memory.c - the walk over what was asked for, and the answers. */
#include "brokerd/store/memory/store.h"

#include <assert.h>
#include <stdlib.h>

static struct memory_store *store_of(struct store *s)
{
    return (struct memory_store *)s;
}

struct store *memory_store_new(const struct memory_options *o)
{
    struct memory_store *st = calloc(1, sizeof *st);

    if (!st)
        return NULL;
    st->base.ops = o->shelf->shared ? &memory_ops_shared : &memory_ops_exclusive;
    st->shelf = o->shelf;
    st->core = o->core;
    st->answer = o->answer;
    st->worker = o->worker;
    st->node = o->node;
    st->turns = 1;
    list_init(&st->queues);
    list_init(&st->unsent);
    list_init(&st->notices);
    list_push_back(&o->shelf->stores, &st->link);
    return &st->base;
}

void memory_store_trouble(struct store *s, const struct memory_trouble *t)
{
    store_of(s)->trouble = *t;
}

/* ----------------------------------------------------------------------------- what is said */

/* Of the store itself, or of a queue. */
static void say(struct memory_store *st, struct stored *a)
{
    a->store = &st->base;
    st->answers++;
    st->answer(st->core, a);
}

static void say_puts(struct memory_store *st)
{
    struct stored a = st->puts;

    st->puts.count = 0;
    if (a.count)
        say(st, &a);
}

void memory_say(struct store_queue *q, struct stored *a)
{
    if (q->store->silent)
        return;
    say_puts(q->store); /* which may close it */
    a->queue = q->handle;
    if (!q->closed)
        say(q->store, a);
}

void memory_say_put(struct store_queue *q, uint64_t label, enum reason reason)
{
    struct memory_store *st = q->store;
    struct stored *p = &st->puts;
    bool apart = st->trouble.late && shelf_below(st->shelf, 4) == 0;

    if (st->silent || q->closed)
        return;
    if (p->count && p->queue == q->handle && p->reason == reason && label == p->first + p->count &&
        !apart) {
        p->count++;
        return;
    }
    say_puts(st);
    if (!q->closed)
        *p = (struct stored){
            .kind = STORED_PUT, .queue = q->handle, .first = label, .count = 1, .reason = reason};
}

void memory_notice(const struct store_queue *q, bool removed)
{
    struct memory_shelf *shelf = q->store->shelf;
    struct slice name = q->drawer->name;

    for (struct list_node *n = list_first(&shelf->stores); n; n = list_next(&shelf->stores, n)) {
        struct memory_store *st = LIST_ITEM(n, struct memory_store, link);
        struct notice *note;

        /* One that has not heard of any yet hears of this one with the others. */
        if (!shelf->shared || st->worker != 0 || st->node == q->store->node || !st->listed)
            continue;
        note = insist(sizeof *note + name.n);
        note->removed = removed;
        note->n = name.n;
        memcpy(note->name, name.p, name.n);
        list_push_back(&st->notices, &note->link);
    }
}

static void say_found(struct memory_store *st, const struct drawer *d)
{
    struct stored a = {
        .kind = STORED_FOUND, .store = &st->base, .def = {d->name, d->filters, d->wishes}};

    say(st, &a);
}

static void say_listing(struct memory_store *st)
{
    struct map *drawers = &st->shelf->drawers;

    for (struct map_entry *e = map_next(drawers, NULL); e; e = map_next(drawers, e)) {
        const struct drawer *d = e->value;

        if (d->exists)
            say_found(st, d);
    }
    say(st, &(struct stored){.kind = STORED_ALL_FOUND, .store = &st->base});
}

static void say_notices(struct memory_store *st)
{
    struct list_node *n;

    if (st->worker != 0 || shelf_chance(st->shelf, st->trouble.late))
        return;
    if (!st->listed)
        say_listing(st);
    st->listed = true;
    while ((n = list_pop(&st->notices)) != NULL) {
        struct notice *note = LIST_ITEM(n, struct notice, link);
        const struct drawer *d = map_get(&st->shelf->drawers, slice_of(note->name, note->n));

        if (note->removed && !d->exists)
            say(st, &(struct stored){
                        .kind = STORED_REMOVED, .store = &st->base, .def = {.name = d->name}});
        else if (!note->removed && d->exists)
            say_found(st, d);
        free(note);
    }
}

static bool has_room(const struct store_queue *q)
{
    const struct memory_shelf *shelf = q->store->shelf;

    return shelf->bytes < shelf->limit && q->unstored < STORE_UNSTORED_MAX &&
           q->unstored_bytes < STORE_UNSTORED_BYTES;
}

static bool has_free(const struct drawer *d)
{
    for (size_t i = 0; d->exists && i < d->n; i++)
        if (drawer_is_free(d, d->msg[i]))
            return true;
    return false;
}

static bool has_news(const struct store_queue *q)
{
    return q->store->shelf->shared && q->wants && has_free(q->drawer);
}

/* Room, news, and puts that waited. */
static void say_of_queues(struct memory_store *st)
{
    struct list_node *next;

    for (struct list_node *n = list_first(&st->queues); n; n = next) {
        struct store_queue *q = LIST_ITEM(n, struct store_queue, link);

        next = list_next(&st->queues, n);
        if (q->closed || !q->life || shelf_chance(st->shelf, st->trouble.late))
            continue;
        if (st->shelf->shared && q->drawer->life == q->life)
            request_drop_over(q);
        request_unblock(q);
        if (q->needs_room && has_room(q)) {
            q->needs_room = false;
            memory_say(q, &(struct stored){.kind = STORED_ROOM});
        }
        if (has_news(q)) {
            q->wants = false;
            memory_say(q, &(struct stored){.kind = STORED_NEWS});
        }
    }
}

/* --------------------------------------------------------------------------------- the walk */

void request_free(struct request *r)
{
    if (r->q)
        r->q->store->unkept -= r->kind == ASK_PUT || r->kind == ASK_SETTLE;
    if (r->msg && r->q) { /* nobody will hear of it */
        r->q->store->shelf->bytes -= r->msg->data.n;
        r->q->unstored--;
        r->q->unstored_bytes -= r->msg->data.n;
    }
    free(r->msg);
    free(r->told);
    free(r->list);
    free(r);
}

void store_queue_free(struct store_queue *q)
{
    struct list *blocked = &q->drawer->blocked;
    struct list_node *next;

    for (struct list_node *n = list_first(blocked); n; n = next) {
        struct request *r = LIST_ITEM(n, struct request, link);

        next = list_next(blocked, n);
        if (r->q != q)
            continue;
        list_remove(n);
        request_free(r);
    }
    list_remove(&q->link);
    free(q);
}

/* Must it wait for another turn, and all of its queue behind it? Of others' requests those are
 * carried out on the way that nobody waits for an answer to. */
static bool waits(const struct memory_store *st, const struct request *r)
{
    bool answered = request_is_answered(r) && !r->q->closed;

    if (r->q->drawer->stalled == st->shelf->walks)
        return true;
    if (r->q->store != st && answered)
        return true;
    return answered && shelf_chance(st->shelf, st->trouble.late);
}

unsigned memory_store_answer(struct store *s)
{
    struct memory_store *st = store_of(s);
    struct list *requests = &st->shelf->requests;
    struct list_node *next;

    st->answers = 0;
    st->shelf->walks++;
    say_notices(st);
    for (struct list_node *n = list_first(requests); n; n = next) {
        struct request *r = LIST_ITEM(n, struct request, link);

        next = list_next(requests, n);
        if (waits(st, r)) {
            r->q->drawer->stalled = st->shelf->walks;
            continue;
        }
        list_remove(n);
        request_act(r);
    }
    say_puts(st);
    say_of_queues(st);
    say_puts(st);
    return st->answers;
}

static uint64_t blocked_of(const struct store_queue *q)
{
    const struct list *blocked = &q->drawer->blocked;
    uint64_t n = 0;

    for (struct list_node *l = list_first(blocked); l; l = list_next(blocked, l))
        n += LIST_ITEM(l, struct request, link)->q == q;
    return n;
}

bool memory_store_idle(const struct store *s)
{
    const struct memory_store *st = (const struct memory_store *)s;
    const struct list *requests = &st->shelf->requests;

    if (!list_empty(&st->unsent) || !list_empty(&st->notices) || (st->worker == 0 && !st->listed))
        return false;
    for (struct list_node *n = list_first(&st->queues); n; n = list_next(&st->queues, n)) {
        const struct store_queue *q = LIST_ITEM(n, struct store_queue, link);

        if (q->unstored > blocked_of(q) || (q->needs_room && has_room(q)) || has_news(q))
            return false;
    }
    for (struct list_node *n = list_first(requests); n; n = list_next(requests, n))
        if (LIST_ITEM(n, struct request, link)->q->store == st)
            return false;
    return true;
}

/* ----------------------------------------------------------------------------------- the end */

void memory_drop_unsent(struct memory_store *st)
{
    for (struct list_node *n; (n = list_pop(&st->unsent)) != NULL;)
        request_free(LIST_ITEM(n, struct request, link));
}

/* Carry out what was sent out, or none of it from some point on: `cut` of 1,000 times it is here.
 */
static void finish(struct memory_store *st, unsigned cut)
{
    struct list *requests = &st->shelf->requests;
    struct list_node *next;

    st->shelf->walks++;
    for (struct list_node *n = list_first(requests); n; n = next) {
        struct request *r = LIST_ITEM(n, struct request, link);
        struct drawer *d = r->q->drawer;

        next = list_next(requests, n);
        if (cut &&
            (d->stalled == st->shelf->walks || r->q->store != st || shelf_chance(st->shelf, cut)))
            d->stalled = st->shelf->walks;
        if (r->q->store != st)
            continue;
        list_remove(n);
        if (d->stalled == st->shelf->walks)
            request_free(r);
        else
            request_act(r);
    }
}

void memory_store_free(struct store *s)
{
    struct memory_store *st = store_of(s);
    struct list_node *n;

    if (!st)
        return;
    st->silent = true;
    st->base.ops->flush(s);
    if (!st->dead)
        finish(st, 0);
    while ((n = list_first(&st->queues)) != NULL) {
        struct store_queue *q = LIST_ITEM(n, struct store_queue, link);

        drawer_let_go(q->drawer, q, 0);
        store_queue_free(q);
    }
    while ((n = list_pop(&st->notices)) != NULL)
        free(LIST_ITEM(n, struct notice, link));
    assert(st->unkept == 0);
    list_remove(&st->link);
    free(st);
}

void memory_store_kill(struct store *s)
{
    static const unsigned cuts[] = {1, 50, 300, 1000};
    struct memory_store *st = store_of(s);

    st->silent = true;
    st->dead = true;
    memory_drop_unsent(st);
    finish(st, cuts[shelf_below(st->shelf, 4)]);
    for (struct list_node *n = list_first(&st->queues); n; n = list_next(&st->queues, n)) {
        struct store_queue *q = LIST_ITEM(n, struct store_queue, link);

        drawer_let_go(q->drawer, q, 1);
    }
}
