/* ops.c - the table: each call becomes a request, which memory.h tells when to carry out. */
#include "brokerd/store/memory/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static struct memory_store *store_of(struct store *s)
{
    return (struct memory_store *)s;
}

static void ask(struct store_queue *q, struct request *r)
{
    r->q = q;
    q->store->unkept += r->kind == ASK_PUT || r->kind == ASK_SETTLE;
    list_push_back(&q->store->unsent, &r->link);
}

static struct request *request_new(enum request_kind kind)
{
    struct request *r = calloc(1, sizeof *r);

    if (r)
        r->kind = kind;
    return r;
}

static struct told *told_new(const struct store_open *o)
{
    struct told *t = insist(sizeof *t + o->def.filters.n + o->def.wishes.n);

    t->policy = *o->policy;
    t->filters_n = o->def.filters.n;
    t->wishes_n = o->def.wishes.n;
    if (t->filters_n)
        memcpy(t->bytes, o->def.filters.p, t->filters_n);
    if (t->wishes_n)
        memcpy(t->bytes + t->filters_n, o->def.wishes.p, t->wishes_n);
    return t;
}

static struct store_settlement *settlements(const struct store_settlement *s, size_t n)
{
    struct store_settlement *list = insist(n * sizeof *list);

    if (n)
        memcpy(list, s, n * sizeof *list);
    return list;
}

static struct store_queue *memory_open(struct store *s, const struct store_open *o, handle_t queue)
{
    struct memory_store *st = store_of(s);
    struct drawer *d = drawer_get(st->shelf, o->def.name);
    struct store_queue *q = d ? calloc(1, sizeof *q) : NULL;
    struct request *r = q ? request_new(ASK_OPEN) : NULL;

    if (!r) {
        free(q);
        return NULL;
    }
    q->store = st;
    q->drawer = d;
    q->handle = queue;
    list_push_back(&st->queues, &q->link);
    r->told = told_new(o);
    ask(q, r);
    return q;
}

static void memory_define(struct store_queue *q, const struct store_open *o)
{
    struct request *r = insist(sizeof *r);

    r->kind = ASK_DEFINE;
    r->told = told_new(o);
    ask(q, r);
}

/* Does put() refuse them all? */
static int refuses(struct store_queue *q, const struct run *run)
{
    static const int balks[] = {-EAGAIN, -ENOSPC, -EIO};
    struct memory_shelf *shelf = q->store->shelf;
    int r = 0;

    if (q->unstored && (q->unstored + run->n > STORE_UNSTORED_MAX ||
                        q->unstored_bytes + run->bytes > STORE_UNSTORED_BYTES))
        r = -EAGAIN;
    else if (shelf->bytes + run->bytes > shelf->limit)
        r = -ENOSPC;
    else if (shelf_chance(shelf, q->store->trouble.balk))
        r = balks[shelf_below(shelf, 3)];
    q->needs_room |= r < 0;
    return r;
}

/* A list of requests for the messages of a run. -ENOMEM: it is empty. */
static int requests_of(const struct run *run, uint64_t first, const struct msg_origin *from,
                       struct list *ret)
{
    for (uint32_t i = 0; i < run->n; i++) {
        struct request *r = request_new(ASK_PUT);

        if (r && (r->msg = kept_new(run, i, from)) != NULL) {
            r->from = r->msg->seq = first + i;
            list_push_back(ret, &r->link);
            continue;
        }
        free(r);
        for (struct list_node *n; (n = list_pop(ret)) != NULL;)
            request_free(LIST_ITEM(n, struct request, link));
        return -ENOMEM;
    }
    return 0;
}

static int memory_put(struct store_queue *q, uint64_t first, const struct run *run,
                      const struct msg_origin *from)
{
    struct list list;
    int64_t wait = q->drawer->policy.block_timeout_ms, deadline;
    int r = refuses(q, run);

    assert(q->life && !q->closed && run->n);
    list_init(&list);
    if (r == 0)
        r = requests_of(run, first, from, &list);
    if (r < 0)
        return r;
    if (__builtin_add_overflow(q->store->shelf->wall_ms, wait, &deadline))
        deadline = INT64_MAX;
    for (struct list_node *n; (n = list_pop(&list)) != NULL;) {
        struct request *put = LIST_ITEM(n, struct request, link);

        put->deadline_ms = deadline;
        put->turn = q->store->turns;
        q->unstored++;
        q->unstored_bytes += put->msg->data.n;
        q->store->shelf->bytes += put->msg->data.n;
        ask(q, put);
    }
    return 0;
}

static void memory_fetch(struct store_queue *q, uint64_t from, uint32_t n, uint64_t bytes)
{
    struct request *r = insist(sizeof *r);

    assert(q->life && !q->fetching && n);
    q->fetching = true;
    r->kind = ASK_FETCH;
    r->from = from;
    r->n = n;
    r->bytes = bytes;
    ask(q, r);
}

static void memory_settle(struct store_queue *q, const struct store_settlement *s, size_t n)
{
    struct request *r = insist(sizeof *r);

    r->kind = ASK_SETTLE;
    r->list = settlements(s, n);
    r->list_n = n;
    ask(q, r);
}

static int memory_peek(struct store_queue *q, uint64_t from, uint32_t n, uint64_t token)
{
    struct request *r = request_new(ASK_PEEK);

    if (!r)
        return -ENOMEM;
    r->from = from;
    r->n = n;
    r->token = token;
    ask(q, r);
    return 0;
}

static int memory_purge(struct store_queue *q, uint64_t upto, const struct store_settlement *but,
                        size_t n, uint64_t token)
{
    struct request *r = request_new(ASK_PURGE);

    if (!r)
        return -ENOMEM;
    r->from = upto;
    r->list = settlements(but, n);
    r->list_n = n;
    r->token = token;
    ask(q, r);
    return 0;
}

static int memory_rewind(struct store_queue *q, const struct store_rewind *to, uint64_t token)
{
    struct request *r = request_new(ASK_REWIND);

    if (!r)
        return -ENOMEM;
    r->rewind = *to;
    r->token = token;
    ask(q, r);
    return 0;
}

static int memory_ask(struct store_queue *q, uint64_t token)
{
    struct request *r = request_new(ASK_FACTS);

    if (!r)
        return -ENOMEM;
    r->token = token;
    ask(q, r);
    return 0;
}

static void memory_close(struct store_queue *q, bool remove)
{
    struct request *r = insist(sizeof *r);

    assert(!q->closed);
    q->closed = true;
    r->kind = ASK_CLOSE;
    r->remove = remove;
    ask(q, r);
}

static void memory_flush(struct store *s)
{
    struct memory_store *st = store_of(s);

    if (st->dead)
        memory_drop_unsent(st);
    st->turns++;
    for (struct list_node *n; (n = list_pop(&st->unsent)) != NULL;)
        list_push_back(&st->shelf->requests, n);
}

static bool memory_busy(const struct store *s)
{
    return ((const struct memory_store *)s)->unkept > 0;
}

#define MEMORY_OPS(is_shared)                                                                      \
    {                                                                                              \
        .name = "memory", .shared = (is_shared), .open = memory_open, .define = memory_define,     \
        .put = memory_put, .fetch = memory_fetch, .settle = memory_settle, .peek = memory_peek,    \
        .purge = memory_purge, .rewind = (is_shared) ? NULL : memory_rewind, .ask = memory_ask,    \
        .close = memory_close, .flush = memory_flush, .busy = memory_busy,                         \
    }

const struct store_ops memory_ops_exclusive = MEMORY_OPS(false);
const struct store_ops memory_ops_shared = MEMORY_OPS(true);
