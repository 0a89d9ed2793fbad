/* act.c - what each request does to the shelf, and what is said about it. */
#include "brokerd/store/memory/store.h"

#include <stdlib.h>

bool request_is_answered(const struct request *r)
{
    return r->kind != ASK_DEFINE && r->kind != ASK_SETTLE && r->kind != ASK_CLOSE;
}

/* Is the queue that it was opened as still there? */
static bool is_there(const struct store_queue *q)
{
    return q->life && q->drawer->exists && q->drawer->life == q->life;
}

static void say_lost(struct store_queue *q, enum reason reason, uint64_t count)
{
    if (count)
        memory_say(q, &(struct stored){.kind = STORED_LOST, .reason = reason, .count = count});
}

/* ------------------------------------------------------------------------ open, define, close */

static void define(struct drawer *d, const struct told *t)
{
    drawer_define(d, slice_of(t->bytes, t->filters_n),
                  slice_of(t->bytes + t->filters_n, t->wishes_n));
}

static void act_open(struct request *r)
{
    struct store_queue *q = r->q;
    struct drawer *d = q->drawer;
    struct stored a = {.kind = STORED_OPEN};

    if (!q->closed && !q->store->silent && shelf_chance(d->shelf, q->store->trouble.shut)) {
        a.reason = REASON_STORE;
        a.text = "the store will not have it";
        memory_say(q, &a);
        if (!q->closed) {
            r->q = NULL;
            store_queue_free(q);
        }
        return;
    }
    d->policy = r->told->policy;
    if (!d->exists) {
        drawer_make(d);
        define(d, r->told);
        memory_notice(q, false);
    }
    drawer_forget_old(d);
    q->life = d->life;
    drawer_facts(d, &a.facts);
    memory_say(q, &a);
}

static void act_define(struct request *r)
{
    struct drawer *d = r->q->drawer;

    if (!is_there(r->q))
        return;
    d->policy = r->told->policy;
    drawer_forget_old(d);
    define(d, r->told);
    memory_notice(r->q, false);
}

static void act_close(struct request *r)
{
    struct store_queue *q = r->q;

    drawer_let_go(q->drawer, q, 0);
    if (r->remove && is_there(q)) {
        memory_notice(q, true);
        drawer_remove(q->drawer);
    }
    r->q = NULL;
    store_queue_free(q);
}

/* ------------------------------------------------------------------------------------- put */

enum verdict { PUT_KEPT, PUT_REFUSED, PUT_WAITS };

static bool is_full(const struct drawer *d, const struct kept *m)
{
    return d->waiting && (d->waiting >= d->policy.max_messages ||
                          d->waiting_bytes + m->data.n > d->policy.max_bytes);
}

/* What waits no more is gone; or the queue's that asked, which makes a dead letter of it. */
static void give_up(struct store_queue *q, size_t i, enum reason reason, uint64_t *lost)
{
    struct drawer *d = q->drawer;
    struct stored a = {.kind = STORED_DEAD, .reason = reason, .n = 1};
    struct stored_message m;

    if (!d->policy.dead_letter[0]) {
        drawer_drop(d, i);
        ++*lost;
        return;
    }
    kept_say(d->msg[i], &m);
    a.messages = &m;
    drawer_hold(d, d->msg[i], q);
    memory_say(q, &a);
}

void request_drop_over(struct store_queue *q)
{
    struct drawer *d = q->drawer;
    uint64_t lost = 0, before = 0;

    for (size_t i; (i = drawer_oldest(d, drawer_is_over)) < d->n;) {
        if (!d->msg[i]->came_back)
            before = d->msg[i]->seq;
        give_up(q, i, REASON_EXPIRED, &lost);
    }
    /* New ones go from the head: what lies before such a one came back, as never delivered. */
    for (size_t i = 0; i < d->n && d->msg[i]->seq < before; i++)
        d->msg[i]->came_back = true;
    say_lost(q, REASON_EXPIRED, lost);
}

static void drop_oldest(struct store_queue *q, const struct kept *m)
{
    struct drawer *d = q->drawer;
    uint64_t lost = 0;

    while (is_full(d, m)) {
        /* Letters are made afterwards, of what could be delivered. */
        size_t i = drawer_oldest(d, d->policy.dead_letter[0] ? drawer_is_free : NULL);

        if (i == d->n)
            break;
        give_up(q, i, REASON_DROP_OLDEST, &lost);
        if (is_full(d, m))
            request_drop_over(q);
    }
    say_lost(q, REASON_DROP_OLDEST, lost);
}

/* Shared: is there room, or what then? */
static enum verdict judge(const struct request *r, enum reason *ret_why)
{
    struct drawer *d = r->q->drawer;
    enum overflow what = d->policy.overflow;
    bool is_late = d->shelf->wall_ms >= r->deadline_ms;

    if (what == OVERFLOW_BLOCK && is_late)
        what = d->policy.block_fallback;
    else
        is_late = false;
    if (is_full(d, r->msg))
        request_drop_over(r->q);
    /* One that has waited until its time was over is not looked at again. */
    if (!is_full(d, r->msg) && r->turn != r->q->full_turn && !(is_late && r->waited))
        return PUT_KEPT;
    if (what == OVERFLOW_BLOCK)
        return PUT_WAITS;
    if (what == OVERFLOW_DROP_OLDEST) {
        drop_oldest(r->q, r->msg);
        return PUT_KEPT;
    }
    r->q->full_turn = r->turn; /* what came with it is refused behind it, fit or not */
    *ret_why = what == OVERFLOW_DROP_NEWEST ? REASON_DROP_NEWEST : REASON_FULL;
    return PUT_REFUSED;
}

static enum verdict try_put(struct request *r, enum reason *ret_why)
{
    struct store_queue *q = r->q;
    struct memory_shelf *shelf = q->store->shelf;
    const struct memory_trouble *t = &q->store->trouble;
    enum verdict v = PUT_KEPT;

    *ret_why = REASON_NONE;
    if (!is_there(q)) {
        *ret_why = REASON_NOT_FOUND;
        return PUT_REFUSED;
    }
    if (shelf->shared)
        v = judge(r, ret_why);
    if (v != PUT_KEPT || q->store->silent || !shelf_chance(shelf, t->refuse))
        return v;
    *ret_why = REASON_STORE;
    return shelf->shared && shelf_chance(shelf, t->unsure) ? PUT_KEPT : PUT_REFUSED;
}

/* It is dropped, and has a dead letter. */
static void say_newest(struct store_queue *q, uint64_t label, const struct kept *m)
{
    struct stored_message said;

    kept_say(m, &said);
    memory_say(q, &(struct stored){.kind = STORED_PUT,
                                   .reason = REASON_DROP_NEWEST,
                                   .first = label,
                                   .count = 1,
                                   .messages = &said,
                                   .n = 1});
}

/* False: it waits for room. */
static bool act_put(struct request *r)
{
    struct store_queue *q = r->q;
    struct drawer *d = q->drawer;
    struct kept *m = r->msg;
    enum reason why;
    enum verdict v = try_put(r, &why);

    if (v == PUT_WAITS)
        return false;
    d->shelf->bytes -= m->data.n;
    q->unstored--;
    q->unstored_bytes -= m->data.n;
    r->msg = NULL;
    if (d->shelf->shared)
        m->seq = d->next;
    if (v == PUT_KEPT) {
        drawer_keep(d, m);
        memory_say_put(q, r->from, why);
        return true;
    }
    if (is_there(q) && m->seq >= d->next && !d->shelf->shared)
        d->next = m->seq + 1;
    if (why == REASON_DROP_NEWEST && d->policy.dead_letter[0])
        say_newest(q, r->from, m);
    else
        memory_say_put(q, r->from, why);
    free(m);
    return true;
}

/* Those that wait come first, and all of them wait for the first. */
static bool act_put_in_turn(struct request *r)
{
    struct list *blocked = &r->q->drawer->blocked;

    if (list_empty(blocked) && act_put(r))
        return true;
    r->waited = true;
    list_push_back(blocked, &r->link);
    return false;
}

void request_unblock(struct store_queue *q)
{
    struct list *blocked = &q->drawer->blocked;

    while (!list_empty(blocked)) {
        struct request *r = LIST_ITEM(list_first(blocked), struct request, link);

        if (r->q != q || !act_put(r))
            return;
        list_remove(&r->link);
        request_free(r);
    }
}

/* ----------------------------------------------------------------------------- fetch, peek */

/* An answer that grows. */
struct batch {
    struct stored_message *list;
    uint32_t n, max;
    uint64_t bytes, max_bytes;
};

static void batch_start(struct batch *b, size_t most, uint32_t n, uint64_t bytes)
{
    b->max = n < most ? n : (uint32_t)most;
    b->max_bytes = bytes < STORE_FETCH_BYTES ? bytes : STORE_FETCH_BYTES;
    b->n = 0;
    b->bytes = 0;
    b->list = insist(b->max * sizeof *b->list);
}

/* Whether there is room for the message; the first always finds some. */
static bool batch_takes(const struct batch *b, const struct kept *m)
{
    return b->n < b->max && (b->n == 0 || b->bytes + m->data.n <= b->max_bytes);
}

static void batch_add(struct batch *b, const struct kept *m)
{
    kept_say(m, &b->list[b->n++]);
    b->bytes += m->data.n;
}

/* What could not be read is gone. */
static bool is_damaged(const struct store_queue *q)
{
    return !q->store->silent && shelf_chance(q->store->shelf, q->store->trouble.damage);
}

/* From a number on, whatever became of it; `upto` as in the answer. */
static void look(struct store_queue *q, uint64_t from, struct batch *b, bool is_fetch,
                 uint64_t *ret_upto)
{
    struct drawer *d = q->drawer;
    uint64_t lost = 0;
    size_t i = drawer_find(d, from);

    while (i < d->n && batch_takes(b, d->msg[i])) {
        if (is_fetch && is_damaged(q)) {
            drawer_drop(d, i);
            lost++;
        } else {
            batch_add(b, d->msg[i++]);
        }
    }
    *ret_upto = i < d->n ? d->msg[i]->seq : d->next;
    if (*ret_upto < from)
        *ret_upto = from;
    say_lost(q, REASON_STORE, lost);
}

static bool has_come_back(const struct drawer *d)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->msg[i]->came_back && drawer_is_free(d, d->msg[i]))
            return true;
    return false;
}

/* Shared: the next ones that nobody has; those that came back by themselves, before new ones. */
static void take(struct store_queue *q, struct batch *b)
{
    struct drawer *d = q->drawer;
    uint64_t damaged = 0;
    bool back;

    request_drop_over(q);
    back = has_come_back(d);
    for (size_t i = 0; i < d->n; i++) {
        struct kept *m = d->msg[i];

        if (!drawer_is_free(d, m) || m->came_back != back)
            continue;
        if (!batch_takes(b, m))
            break;
        if (is_damaged(q)) {
            drawer_drop(d, i--);
            damaged++;
            continue;
        }
        drawer_hold(d, m, q);
        batch_add(b, m);
    }
    /* What has become due counts like what came back at once. */
    for (size_t i = 0; i < d->n; i++)
        if (d->msg[i]->due_ms <= d->shelf->wall_ms)
            d->msg[i]->due_ms = 0;
    say_lost(q, REASON_STORE, damaged);
}

static void act_fetch(struct request *r)
{
    struct store_queue *q = r->q;
    struct stored a = {.kind = STORED_MESSAGES, .first = r->from, .upto = r->from};
    struct batch b;

    batch_start(&b, q->drawer->n, r->n, r->bytes);
    if (!is_there(q))
        ;
    else if (q->store->shelf->shared)
        take(q, &b);
    else
        look(q, r->from, &b, true, &a.upto);
    q->wants = b.n < r->n;
    q->fetching = false;
    a.messages = b.list;
    a.n = b.n;
    memory_say(q, &a);
    free(b.list);
}

static void act_peek(struct request *r)
{
    struct store_queue *q = r->q;
    struct stored a = {.kind = STORED_PEEKED, .token = r->token, .first = r->from};
    struct batch b;

    batch_start(&b, q->drawer->n, r->n, UINT64_MAX);
    if (is_there(q))
        look(q, r->from, &b, false, &a.upto);
    a.messages = b.list;
    a.n = b.n;
    memory_say(q, &a);
    free(b.list);
}

/* -------------------------------------------------------------------- settle, purge, facts */

static uint64_t last_of(const struct store_settlement *s)
{
    return s->count ? s->seq + (s->count - 1) : s->seq - 1;
}

static void settle(struct store_queue *q, const struct store_settlement *s)
{
    struct drawer *d = q->drawer;
    bool shared = d->shelf->shared;

    for (size_t i = drawer_find(d, s->seq); i < d->n && d->msg[i]->seq <= last_of(s);) {
        struct kept *m = d->msg[i];

        if (s->verb == SETTLE_GONE) {
            drawer_settle(d, i);
            continue;
        }
        i++;
        if (shared && m->holder != q)
            continue;
        m->attempts = s->attempts;
        m->due_ms = s->due_ms;
        drawer_hold(d, m, NULL);
    }
}

static void act_settle(struct request *r)
{
    for (size_t i = 0; i < r->list_n && is_there(r->q); i++)
        settle(r->q, &r->list[i]);
}

static bool is_among(const struct request *r, uint64_t seq)
{
    for (size_t i = 0; i < r->list_n; i++)
        if (seq >= r->list[i].seq && seq <= last_of(&r->list[i]))
            return true;
    return false;
}

static void act_purge(struct request *r)
{
    struct drawer *d = r->q->drawer;
    bool shared = d->shelf->shared;
    struct stored a = {.kind = STORED_PURGED, .token = r->token};

    for (size_t i = 0; is_there(r->q) && i < d->n;) {
        const struct kept *m = d->msg[i];

        if (shared ? m->holder != NULL : m->seq > r->from || is_among(r, m->seq)) {
            i++;
            continue;
        }
        drawer_drop(d, i);
        a.count++;
    }
    if (is_there(r->q))
        drawer_forget(d, INT64_MAX);
    memory_say(r->q, &a);
}

static void act_rewind(struct request *r)
{
    struct stored a = {.kind = STORED_REWOUND, .token = r->token};

    if (is_there(r->q)) {
        drawer_rewind(r->q->drawer, &r->rewind);
        drawer_facts(r->q->drawer, &a.facts);
    } else {
        a.reason = REASON_STORE;
    }
    memory_say(r->q, &a);
}

static void act_facts(struct request *r)
{
    struct stored a = {.kind = STORED_FACTS, .token = r->token};

    if (is_there(r->q))
        drawer_facts(r->q->drawer, &a.facts);
    memory_say(r->q, &a);
}

void request_act(struct request *r)
{
    static void (*const act[])(struct request *) = {
        [ASK_OPEN] = act_open,     [ASK_DEFINE] = act_define, [ASK_FETCH] = act_fetch,
        [ASK_SETTLE] = act_settle, [ASK_PEEK] = act_peek,     [ASK_PURGE] = act_purge,
        [ASK_FACTS] = act_facts,   [ASK_CLOSE] = act_close,   [ASK_REWIND] = act_rewind,
    };

    if (r->kind == ASK_PUT && !act_put_in_turn(r))
        return;
    if (r->kind != ASK_PUT)
        act[r->kind](r);
    request_free(r);
}
