/* A queue that Redis does not have, though this node has it open: another node deleted it, or Redis
 * lost what it had (it was restarted without its files, or a replica without them is the master).
 *
 * Who deletes a queue deletes its definition first: if that is there, Redis lost the queue. If it
 * is not, the next beat tells: a Redis that does not know this node any more has lost all. What is
 * lost is made again, empty, so that what is published from now on is kept; and that is said. */
#include "brokerd/store/redis/parts.h"

static void on_defined(struct request *req, const struct link_answer *a)
{
    (void)call_verdict(req, a); /* said again, if it is not there */
}

static void on_made(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;

    q->asked = false;
    if (call_verdict(req, a) != CALL_OK) /* the next beat */
        return;
    q->gone = q->absent = false;
    q->try_ms = 0;
    store_event(q->store, REDIS_LOST,
                "queue %s: Redis has lost it and all that it held; it is made again", q->name);
    queue_touch(q);
}

static void make(struct store_queue *q)
{
    q->asked = manage_make(q, put_label(q), on_defined, on_made) == 0;
}

static void on_definition(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;

    q->asked = false;
    if (call_verdict(req, a) != CALL_OK || q->closed)
        return;
    if (a->reply->type == REDIS_REPLY_STRING) {
        make(q);
        return;
    }
    q->absent = true;
    q->absent_beat = q->store->beats;
}

static void ask(struct store_queue *q)
{
    static const char *const words[] = {"HGET"};
    struct redis_store *r = q->store;

    args_begin_words(r, words, 1);
    args_add(r, r->names.base);
    args_add(r, slice_of(q->name, q->name_n));
    q->asked = call_send(r, q, r->names.slot, on_definition, NULL, 0) == 0;
}

void gone_met(struct store_queue *q)
{
    if (!q->open || q->closed || q->gone || q->lost)
        return;
    q->gone = true;
    ask(q);
}

/* The definitions are: their queues may be there, in another part of a Cluster. */
static void define_again(struct redis_store *r)
{
    struct map_entry *e;
    struct list_node *n;

    store_event(r, REDIS_LOST, "Redis has lost what it knew of queues; it is told again");
    while ((e = map_next(&r->known, NULL)))
        map_remove(&r->known, e);
    for (n = list_first(&r->queues); n; n = list_next(&r->queues, n)) {
        struct store_queue *q = LIST_ITEM(n, struct store_queue, link);

        if (q->open && !q->closed && !q->lost)
            (void)manage_tell(q, on_defined);
        q->absent = false;
    }
}

void gone_heard(struct redis_store *r, bool wiped)
{
    struct list_node *n;

    r->beats++;
    if (wiped)
        define_again(r);
    for (n = list_first(&r->queues); n; n = list_next(&r->queues, n)) {
        struct store_queue *q = LIST_ITEM(n, struct store_queue, link);

        if (!q->gone || q->asked || q->closed || q->lost)
            continue;
        if (!q->absent) {
            ask(q);
        } else if (r->beats - q->absent_beat > 1) { /* the first may be older */
            q->lost = true;
            put_lost(q);
        }
    }
}
