/* A worker's side: what it wants is encoded into parcels, at the end of its turn they go, and
 * answers come. Nothing here waits for anything. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/store/journal/internal.h"
#include "libbroker/base/units.h"

static struct journal_store *of(const struct store *s)
{
    return (struct journal_store *)(uintptr_t)s;
}

static uint64_t op_bytes(uint64_t data)
{
    return format_padded(sizeof(struct op) + data);
}

/* ------------------------------------------------------------------------------------- parcels */

static struct parcel *parcel_new(struct journal_store *s, uint64_t n)
{
    struct parcel *p = s->idle;
    uint64_t cap = n < PARCEL_BYTES ? PARCEL_BYTES : n;

    if (p && cap == PARCEL_BYTES) {
        s->idle = p->next;
        s->idle_n--;
    } else {
        p = malloc(sizeof *p + cap);
        if (!p)
            return NULL;
        p->cap = cap;
    }
    p->next = NULL;
    p->urgent = false;
    p->worker = s->worker;
    p->used = 0;
    return p;
}

/* Room for `n` bytes in the last parcel. */
static int reserve(struct journal_store *s, uint64_t n)
{
    struct parcel *p = s->last;

    if (p && p->cap - p->used >= n)
        return 0;
    p = parcel_new(s, n);
    if (!p)
        return -ENOMEM;
    if (s->last)
        s->last->next = p;
    else
        s->first = p;
    s->last = p;
    s->op = NULL;
    return 0;
}

/* One more op with room for `data` bytes, for which there is room. */
static struct op *add(struct journal_store *s, enum op_kind kind, struct store_queue *q,
                      uint64_t data)
{
    struct parcel *p = s->last;
    struct op *op = (struct op *)(void *)(p->bytes + p->used);

    *op = (struct op){.size = (uint32_t)op_bytes(data), .kind = kind, .q = q};
    p->used += op->size;
    p->urgent = p->urgent || kind != OP_SETTLE;
    s->op = op;
    return op;
}

/* `data` bytes more at the end of the last op. */
static uint8_t *grow(struct journal_store *s, uint64_t data)
{
    uint8_t *at = s->last->bytes + s->last->used;

    s->op->size += (uint32_t)data;
    s->last->used += data;
    return at;
}

static struct op *new_op(struct store_queue *q, enum op_kind kind, const void *data, uint64_t n)
{
    struct op *op;

    if (reserve(q->of, op_bytes(n)) < 0)
        return NULL;
    op = add(q->of, kind, q, n);
    if (n)
        memcpy(op->data, data, n);
    return op;
}

static void journal_flush(struct store *store)
{
    struct journal_store *s = of(store);
    struct journal *j = s->journal;
    struct parcel *newest = NULL, *oldest = s->first, *p, *next;
    bool urgent = s->ask_room;

    if (s->ask_room)
        s->ask_room = false;
    for (p = s->first; p; p = next) { /* the thread turns them round */
        next = p->next;
        p->next = newest;
        newest = p;
        urgent = urgent || p->urgent;
        s->out++;
    }
    s->first = s->last = NULL;
    s->op = NULL;
    if (newest) {
        oldest->next = atomic_load_explicit(&j->parcels, memory_order_relaxed);
        while (!atomic_compare_exchange_weak(&j->parcels, &oldest->next, newest))
            ;
    }
    if (newest || urgent)
        journal_wake(j, urgent);
}

static bool journal_busy(const struct store *store)
{
    const struct journal_store *s = of(store);

    return s->first || s->out;
}

static bool journal_soon(const struct store *store)
{
    const struct journal_store *s = of(store);

    return s->away_n && s->away_n <= SOON_MAX;
}

/* ------------------------------------------------------------------------------------- queues */

static uint64_t definition(const struct store_definition *def, struct record *ret)
{
    *ret = (struct record){.kind = RECORD_QUEUE,
                           .seq = 1,
                           .name = def->name,
                           .filters = def->filters,
                           .wishes = def->wishes};
    return record_size(ret);
}

static int define(struct store_queue *q, enum op_kind kind, const struct store_open *o)
{
    struct record r;
    uint64_t n = definition(&o->def, &r);
    struct op *op;

    if (!n || reserve(q->of, op_bytes(n)) < 0)
        return -ENOMEM;
    op = add(q->of, kind, q, n);
    op->first = (uint64_t)o->policy->retain_ms;
    (void)record_encode(&r, op->data);
    return 0;
}

static struct store_queue *journal_open_queue(struct store *s, const struct store_open *o,
                                              handle_t queue)
{
    size_t size = (sizeof(struct store_queue) + 63) / 64 * 64;
    struct store_queue *q = aligned_alloc(64, size);

    if (!q)
        return NULL;
    memset(q, 0, size);
    q->of = of(s);
    q->handle = queue;
    if (define(q, OP_OPEN, o) < 0) {
        free(q);
        return NULL;
    }
    return q;
}

/* Without memory it stays as it was: it is defined again with the next change. */
static void journal_define(struct store_queue *q, const struct store_open *o)
{
    (void)define(q, OP_DEFINE, o);
}

static void journal_close(struct store_queue *q, bool remove)
{
    q->closed = true;
    if (list_linked(&q->want))
        list_remove(&q->want);
    while (!new_op(q, remove ? OP_REMOVE : OP_CLOSE, NULL, 0)) /* never forgotten */
        free(journal_alloc(PARCEL_BYTES));
}

/* --------------------------------------------------------------------------------------- puts */

static uint64_t record_of(const struct store_queue *q, uint64_t first, const struct run *run,
                          const struct msg_origin *from, uint32_t i, struct record *ret)
{
    const struct msg_view *v = &run->v[i];
    const struct msg_meta *meta = v->meta;
    struct ctype type = meta && meta->type.id != CTYPE_NONE ? meta->type : run->type;

    *ret = (struct record){.kind = RECORD_PUT,
                           .queue = q->number,
                           .seq = first + i,
                           .id = from->id + i,
                           .time_ms = from->time_ms,
                           .expires_ms = INT64_MAX,
                           .type_id = type.id,
                           .topic = topic_slice(from->topic),
                           .data = slice_of(v->data, v->len)};
    if (type.id == CTYPE_NAMED)
        ret->type = type.name;
    if (meta)
        ret->headers = meta->headers;
    if (meta && meta->ttl_ms && meta->ttl_ms < INT64_MAX - from->time_ms)
        ret->expires_ms = from->time_ms + meta->ttl_ms;
    return record_size(ret);
}

static void want_room(struct store_queue *q)
{
    if (!list_linked(&q->want))
        list_push_back(&q->of->wanting, &q->want);
}

/* The limit of the disk, as the thread has last seen it. */
static int let_in(struct store_queue *q, uint64_t n)
{
    struct journal_store *s = q->of;
    struct journal *j = s->journal;
    uint64_t let = atomic_load_explicit(&j->let, memory_order_acquire);
    int refuse = atomic_load_explicit(&j->refuse, memory_order_relaxed);

    if (!refuse && let == UINT64_MAX)
        return 0;
    if (!refuse) {
        if (atomic_fetch_add(&j->taken, n) + n <= let)
            return 0;
        atomic_fetch_sub(&j->taken, n);
        refuse = -ENOSPC;
    }
    atomic_store(&s->wants, n);
    s->ask_room = true; /* it may have been made in between */
    want_room(q);
    return refuse;
}

/* let_in() has refused so many messages. */
static void count_refused(struct journal *j, uint32_t n)
{
    bool space = atomic_load_explicit(&j->refuse, memory_order_relaxed) != 0;

    atomic_fetch_add_explicit(&j->refused[space], n, memory_order_relaxed);
}

/* Too much of this queue is on its way already. */
static bool is_away(const struct store_queue *q, const struct run *run)
{
    return q->away_n && (q->away_n + run->n > STORE_UNSTORED_MAX ||
                         q->away_bytes + run->bytes > STORE_UNSTORED_BYTES);
}

/* The last op can take these puts, too. */
static bool continues(const struct store_queue *q, uint64_t first, uint64_t size)
{
    const struct journal_store *s = q->of;
    const struct op *op = s->op;

    return op && op->kind == OP_PUT && op->q == q && op->first + op->n == first &&
           s->last->cap - s->last->used >= size;
}

static int journal_put(struct store_queue *q, uint64_t first, const struct run *run,
                       const struct msg_origin *from)
{
    struct journal_store *s = q->of;
    struct record r;
    uint64_t size = 0;
    struct op *op;
    uint8_t *p;
    int status;

    if (!q->number || is_away(q, run)) {
        q->wants_room = true;
        return -EAGAIN;
    }
    for (uint32_t i = 0; i < run->n; i++) {
        uint64_t n = record_of(q, first, run, from, i, &r);

        if (!n)
            return -EMSGSIZE;
        size += n;
    }
    status = let_in(q, size + PUT_SLACK);
    if (status < 0) {
        count_refused(s->journal, run->n);
        return status;
    }
    if (!continues(q, first, size)) {
        if (reserve(s, op_bytes(size)) < 0) {
            atomic_fetch_sub(&s->journal->taken, size + PUT_SLACK);
            return -ENOMEM;
        }
        op = add(s, OP_PUT, q, size);
        op->first = first;
        p = op->data;
    } else {
        op = s->op;
        p = grow(s, size);
    }
    for (uint32_t i = 0; i < run->n; i++) {
        (void)record_of(q, first, run, from, i, &r);
        p = record_encode(&r, p);
    }
    op->n += run->n;
    op->bytes += run->bytes;
    op->token += size + PUT_SLACK; /* what was let in */
    q->away_n += run->n;
    s->away_n += run->n;
    q->away_bytes += run->bytes;
    return 0;
}

/* ------------------------------------------------------------------------------- settlements */

/* The last op is a settlement of `q`, and its last range goes on with `s`. */
static bool merges(const struct store_queue *q, const struct store_settlement *s)
{
    struct op *op = q->of->op;
    struct store_settlement *last;

    if (!op || op->kind != OP_SETTLE || op->q != q || s->verb != SETTLE_GONE)
        return false;
    last = (struct store_settlement *)(void *)op->data + op->n - 1;
    if (last->verb != SETTLE_GONE || last->seq + last->count != s->seq ||
        last->count > UINT32_MAX - s->count)
        return false;
    last->count += s->count;
    return true;
}

static void settle_one(struct store_queue *q, const struct store_settlement *s)
{
    struct journal_store *store = q->of;
    struct op *op = store->op;

    if (merges(q, s))
        return;
    if (op && op->kind == OP_SETTLE && op->q == q &&
        store->last->cap - store->last->used >= sizeof *s)
        memcpy(grow(store, sizeof *s), s, sizeof *s);
    else
        while (!(op = new_op(q, OP_SETTLE, s, sizeof *s))) /* cannot be refused */
            free(journal_alloc(PARCEL_BYTES));
    op->n++;
}

static void journal_settle(struct store_queue *q, const struct store_settlement *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i].count)
            settle_one(q, &s[i]);
}

/* -------------------------------------------------------------------------------------- reads */

static int ask(struct store_queue *q, enum op_kind kind, uint64_t from, uint32_t n, uint64_t bytes,
               uint64_t token)
{
    struct op *op = new_op(q, kind, NULL, 0);

    if (!op)
        return -ENOMEM;
    op->first = from;
    op->n = n;
    op->bytes = bytes;
    op->token = token;
    return 0;
}

static void journal_fetch(struct store_queue *q, uint64_t from, uint32_t n, uint64_t bytes)
{
    while (ask(q, OP_FETCH, from, n, bytes, 0) < 0) /* the core waits for an answer */
        free(journal_alloc(PARCEL_BYTES));
}

static int journal_peek(struct store_queue *q, uint64_t from, uint32_t n, uint64_t token)
{
    return ask(q, OP_PEEK, from, n, STORE_FETCH_BYTES, token);
}

static int journal_ask(struct store_queue *q, uint64_t token)
{
    return ask(q, OP_ASK, 0, 0, 0, token);
}

static int journal_purge(struct store_queue *q, uint64_t upto, const struct store_settlement *but,
                         size_t n, uint64_t token)
{
    struct op *op = new_op(q, OP_PURGE, but, n * sizeof *but);

    if (!op)
        return -ENOMEM;
    op->first = upto;
    op->n = (uint32_t)n;
    op->token = token;
    return 0;
}

static int journal_rewind(struct store_queue *q, const struct store_rewind *to, uint64_t token)
{
    struct op *op = new_op(q, OP_REWIND, NULL, 0);

    if (!op)
        return -ENOMEM;
    op->n = (uint32_t)to->to;
    op->first = to->to == REWIND_TIME ? (uint64_t)to->time_ms : to->seq;
    op->token = token;
    return 0;
}

static void journal_say_full(const struct store *s, char *buf, size_t size)
{
    const struct journal *j = ((const struct journal_store *)s)->journal;
    char limit[UNITS_TEXT_MAX];

    if (atomic_load_explicit(&j->refuse, memory_order_relaxed))
        (void)snprintf(buf, size, "its disk has no space left");
    else
        (void)snprintf(buf, size, "max-disk %s",
                       units_format_size(j->options.disk_max, limit, sizeof limit));
}

const struct store_ops journal_ops = {
    .name = "journal",
    .open = journal_open_queue,
    .define = journal_define,
    .put = journal_put,
    .fetch = journal_fetch,
    .settle = journal_settle,
    .peek = journal_peek,
    .purge = journal_purge,
    .rewind = journal_rewind,
    .ask = journal_ask,
    .close = journal_close,
    .flush = journal_flush,
    .busy = journal_busy,
    .say_full = journal_say_full,
    .soon = journal_soon,
};

/* ------------------------------------------------------------------------------------ answers */

static void tell(struct journal_store *s, const struct stored *a)
{
    s->journal->options.stored(s->journal->options.ctx, s->worker, a);
}

static void tell_room(struct store_queue *q)
{
    q->wants_room = false;
    tell(q->of, &(struct stored){.kind = STORED_ROOM, .store = &q->of->head, .queue = q->handle});
}

static void take_put(struct store_queue *q, const struct answer *a)
{
    struct journal_store *s = q->of;

    q->away_n -= a->count;
    s->away_n -= a->count;
    q->away_bytes -= a->bytes;
    if (q->closed)
        return;
    tell(s, &(struct stored){.kind = STORED_PUT,
                             .store = &s->head,
                             .queue = q->handle,
                             .reason = a->reason,
                             .first = a->first,
                             .count = a->count});
    if (!q->closed && q->wants_room && q->away_n <= STORE_UNSTORED_MAX / 2 &&
        q->away_bytes <= STORE_UNSTORED_BYTES / 2)
        tell_room(q);
}

static void take_more(struct journal_store *s, const struct answer *a)
{
    struct store_queue *q = a->q;
    struct stored *more = a->more;

    if (q && q->closed)
        return;
    more->store = &s->head;
    more->queue = q ? q->handle : 0;
    if (a->kind == STORED_OPEN && a->reason == REASON_NONE)
        q->number = (uint32_t)a->count;
    tell(s, more);
    if (a->kind != STORED_OPEN || q->closed)
        return;
    if (a->reason != REASON_NONE) /* it is closed by that */
        free(q);
    else if (q->wants_room)
        tell_room(q);
}

/* All that were told of no room may try again. */
static void take_room(struct journal_store *s)
{
    struct list wanting;

    list_init(&wanting);
    while (!list_empty(&s->wanting)) { /* who is refused again waits for the next one */
        struct list_node *n = list_first(&s->wanting);

        list_remove(n);
        list_push_back(&wanting, n);
    }
    while (!list_empty(&wanting)) {
        struct list_node *n = list_first(&wanting);

        list_remove(n);
        tell_room(LIST_ITEM(n, struct store_queue, want));
    }
}

static void take_answer(struct journal_store *s, const struct answer *a)
{
    switch (a->kind) {
    case STORED_PUT:
        take_put(a->q, a);
        break;
    case STORED_ROOM:
        take_room(s);
        break;
    case ANSWER_CLOSED:
        free(a->q);
        break;
    default:
        take_more(s, a);
    }
}

static void take_home(struct journal_store *s, struct parcel *p)
{
    for (struct parcel *next; p; p = next) {
        next = p->next;
        s->out--;
        if (p->cap == PARCEL_BYTES && s->idle_n < PARCELS_KEPT) {
            p->next = s->idle;
            s->idle = p;
            s->idle_n++;
        } else {
            free(p);
        }
    }
}

void journal_take_replies(void *arg, struct worker *w)
{
    struct journal_store *s = arg;
    struct reply *newest = atomic_exchange_explicit(&s->replies, NULL, memory_order_acquire);
    struct reply *oldest = NULL, *next;

    (void)w;
    for (; newest; newest = next) {
        next = newest->next;
        newest->next = oldest;
        oldest = newest;
    }
    for (; oldest; oldest = next) {
        next = oldest->next;
        for (size_t i = 0; i < oldest->n; i++)
            take_answer(s, &oldest->a[i]);
        take_home(s, oldest->done);
        oldest->done = NULL;
        reply_free(oldest);
    }
}
