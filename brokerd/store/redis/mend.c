/* A stream that somebody else wrote to, with `redis-cli XADD KEY * ..` say: its ids are ahead of
 * ours then, and Redis takes no more puts. What is not ours is deleted, counted and told; the puts
 * are said again. (What is met by a fetch is skipped there: take.c.) */
#include "brokerd/store/redis/parts.h"

static void on_mended(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    int64_t n;

    q->mending = false;
    if (call_verdict(req, a) != CALL_OK)
        return;
    n = reply_number(a->reply, 0);
    if (n > 0) {
        store_event(q->store, REDIS_TROUBLE,
                    "queue %s: %lld entries of its stream that no brokerd wrote are deleted",
                    q->name, (long long)n);
        take_lost(q, (uint64_t)n, REASON_STORE);
    }
    if (!reply_number(a->reply, 1) && !q->closed)
        mend_queue(q);
    q->try_ms = 0;
    queue_touch(q);
}

void mend_queue(struct store_queue *q)
{
    if (q->mending)
        return;
    args_begin(q->store, "brokerd_1_mend", q);
    q->mending = call_send(q->store, q, q->keys.slot, on_mended, NULL, 0) == 0;
}
