/* What is to wait no more though nobody has taken it: what has expired, and with a dead-letter
 * topic the oldest where there are too many (without, a put drops them at once). The function drops
 * them, or makes them this node's, as if fetched: then the core makes dead letters of them, and
 * settles them when those have arrived. So each is one node's; if that dies they wait again.
 *
 * Looked at are the first few hundred that wait, each second or when the next is over. */
#include "brokerd/store/redis/parts.h"

/* Between two looks, where each has a time of its own: one costs Redis up to 0.5 ms. */
enum { TIDY_LEAST_MS = 100 };

static bool has_letters(const struct store_queue *q)
{
    return q->policy.dead_letter[0] != '\0';
}

void tidy_settled(struct store_queue *q, uint32_t len)
{
    q->dead_n--;
    q->dead_bytes -= len;
    queue_touch(q);
}

/* ----------------------------------------------------------------------------------- the answer */

/* Those gathered in store->messages are the core's. */
static void hand_over(struct store_queue *q, uint32_t n, enum reason reason)
{
    struct redis_store *r = q->store;
    struct stored a = {
        .kind = STORED_DEAD, .queue = q->handle, .reason = reason, .messages = r->messages, .n = n};

    r->facts.held += n;
    if (reason == REASON_EXPIRED)
        r->facts.expired += n;
    else
        r->facts.dropped += n;
    if (n)
        store_answer(r, &a);
}

/* False: it is nobody's, or there is no memory; an audit gives it back then. */
static bool gather(struct store_queue *q, const struct redisReply *reply, size_t i, uint32_t n)
{
    struct stored_message *to = &q->store->messages[n];
    struct slice id = reply_slice(reply->element[i + 1]), d = reply_slice(reply->element[i + 4]);
    struct held_message held = {.len = (uint32_t)d.n, .dead = true};

    if (!take_message(id, reply_slice(reply->element[i + 3]), d, to, &held.cum)) {
        if (entry_read_id(id, &held.seq, &held.cum) == 0)
            take_cast_off(q, held.seq, held.cum, d.n);
        take_lost(q, 1, REASON_STORE);
        return false;
    }
    to->attempts = (uint32_t)reply_number(reply, i + 2);
    held.seq = to->seq;
    if (held_find(&q->held, held.seq))
        return false;
    if (held_add(&q->held, &held) < 0) {
        q->audit = true;
        return false;
    }
    q->dead_n++;
    q->dead_bytes += held.len;
    return true;
}

/* {why, id, deliveries, m, d ..}, those that have expired first. */
static void take_dead(struct store_queue *q, const struct redisReply *reply, size_t i)
{
    enum reason reason = REASON_EXPIRED;
    uint32_t n = 0;

    for (; i + 5 <= reply->elements && n < TIDY_MESSAGES; i += 5) {
        if (reason == REASON_EXPIRED && !reply_number(reply, i)) {
            hand_over(q, n, reason);
            reason = REASON_DROP_OLDEST;
            n = 0;
        }
        if (gather(q, reply, i, n))
            n++;
    }
    hand_over(q, n, reason);
}

/* {dropped, ms until the next is over, is there more, did some come back, ..}. */
static void on_tidied(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    struct redis_store *r = q->store;
    enum verdict v = call_verdict(req, a);
    int64_t next, dropped;

    q->tidying = false;
    if (v == CALL_LOST)
        q->audit = true; /* some may be this node's now */
    if (v == CALL_GONE)
        gone_met(q);
    if (v != CALL_OK || q->closed) /* what is this node's is given back with all else */
        return;
    dropped = reply_number(a->reply, 0);
    r->facts.expired += (uint64_t)dropped;
    take_lost(q, (uint64_t)dropped, REASON_EXPIRED);
    next = reply_number(a->reply, 1);
    if (next >= 0) {
        q->over_ms = r->now_ms + (next > TIDY_LEAST_MS ? next : TIDY_LEAST_MS);
        store_wake(r, q->over_ms - r->now_ms);
    }
    q->tidy_due = reply_number(a->reply, 2) != 0;
    if (req->number)
        q->surplus = q->surplus && q->tidy_due;
    else /* a put has told of one since this call was sent */
        q->tidy_due = q->tidy_due || q->surplus;
    if (reply_number(a->reply, 3))
        take_news(q, true);
    take_dead(q, a->reply, 4);
    queue_touch(q);
}

/* ------------------------------------------------------------------------------------- the call */

static uint64_t ttl_of(const struct store_queue *q)
{
    return q->policy.message_ttl_ms == POLICY_NEVER ? 0 : (uint64_t)q->policy.message_ttl_ms;
}

static uint64_t bounded(uint64_t v)
{
    return v < UINT64_C(1) << 53 ? v : UINT64_C(1) << 53;
}

void tidy_pump(struct store_queue *q)
{
    struct redis_store *r = q->store;
    uint32_t most = DEAD_MESSAGES - q->dead_n;

    if (!q->open || q->closed || q->gone || q->lost || q->tidying || !q->tidy_due || r->stopping)
        return;
    /* It goes on when letters have arrived. */
    if (has_letters(q) && (q->dead_n >= DEAD_MESSAGES || q->dead_bytes >= DEAD_BYTES))
        return;
    args_begin(r, "brokerd_1_tidy", q);
    args_text(r, q->consumer);
    args_number(r, ttl_of(q));
    args_number(r, q->surplus ? bounded(q->policy.max_messages) : 0);
    args_number(r, q->surplus ? bounded(q->policy.max_bytes) : 0);
    args_number(r, !has_letters(q) ? 0 : most < TIDY_MESSAGES ? most : TIDY_MESSAGES);
    args_number(r, STORE_FETCH_BYTES);
    q->tidying = call_send(r, q, q->keys.slot, on_tidied, NULL, q->surplus) == 0;
}

void tidy_tick(struct store_queue *q, bool second)
{
    bool over = q->over_ms <= q->store->now_ms;

    if (!over && !(second && (q->surplus || q->expiring || ttl_of(q))))
        return;
    if (over)
        q->over_ms = INT64_MAX;
    q->tidy_due = true;
    queue_touch(q);
}
