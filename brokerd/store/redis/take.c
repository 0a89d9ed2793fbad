/* Fetches. New messages are taken by a plain XREADGROUP, and `took` behind it tells what is left;
 * what came back is taken by a function, asked only if there may be some. An answer that is lost
 * may have been a fetch: then Redis has messages down as ours that we do not have. An *audit* goes
 * through its list and gives those back. */
#include "brokerd/store/redis/parts.h"

#include <stdlib.h>

/* Lua counts in doubles: there are no higher numbers of ours, and the core counts on from them. */
#define SEQ_MAX (UINT64_C(1) << 53)

bool take_message(struct slice id, struct slice m, struct slice d, struct stored_message *ret,
                  uint64_t *ret_cum)
{
    struct entry_facts f;
    uint64_t seq;

    if (entry_read_id(id, &seq, ret_cum) < 0 || entry_read(m, &f) < 0 || seq == 0 ||
        seq > SEQ_MAX || d.n > UINT32_MAX - 1)
        return false;
    *ret = (struct stored_message){
        .seq = seq,
        .id = f.id,
        .time_ms = f.time_ms,
        .expires_ms = f.expires_ms,
        .topic = f.topic,
        .headers = f.headers,
        .data = d,
        .type = f.type,
    };
    return true;
}

/* ------------------------------------------------------------------------------- what came */

/* What is gathered for one answer. */
struct haul {
    uint32_t n;    /* in store->messages */
    uint32_t came; /* messages in all */
    uint64_t expired, broken;
};

static bool is_over(const struct store_queue *q, const struct stored_message *m)
{
    int64_t now = q->store->wall_ms;

    /* Dead letters are the core's affair: it gets them as they are. */
    if (q->policy.dead_letter[0])
        return false;
    return m->expires_ms <= now || (q->policy.message_ttl_ms != POLICY_NEVER &&
                                    now - m->time_ms >= q->policy.message_ttl_ms);
}

void take_cast_off(struct store_queue *q, uint64_t seq, uint64_t cum, size_t len)
{
    struct settled one = {.seq = seq, .cum = cum, .len = (uint32_t)len};

    (void)settle_message(q, false, &one);
}

static void haul_add(struct store_queue *q, struct haul *h, struct slice id, struct slice m,
                     struct slice d, uint32_t attempts)
{
    struct stored_message *to = &q->store->messages[h->n];
    struct held_message held;
    uint64_t seq, cum;

    h->came++;
    if (!take_message(id, m, d, to, &cum)) {
        h->broken++;
        if (entry_read_id(id, &seq, &cum) == 0)
            take_cast_off(q, seq, cum, d.n);
        return;
    }
    if (is_over(q, to)) {
        h->expired++;
        take_cast_off(q, to->seq, cum, d.n);
        return;
    }
    to->attempts = attempts;
    held = (struct held_message){.seq = to->seq, .cum = cum, .len = (uint32_t)d.n};
    if (held_find(&q->held, to->seq))
        return;
    if (held_add(&q->held, &held) < 0) {
        q->audit = true; /* it is ours by Redis's books, and stays there until then */
        return;
    }
    h->n++;
}

void take_lost(struct store_queue *q, uint64_t n, enum reason reason)
{
    struct stored a = {.kind = STORED_LOST, .queue = q->handle, .reason = reason, .count = n};

    if (n && !q->closed)
        store_answer(q->store, &a);
}

/* The fetch has brought this. */
static void answer(struct store_queue *q, const struct haul *h)
{
    struct redis_store *r = q->store;
    struct stored a = {
        .kind = STORED_MESSAGES,
        .queue = q->handle,
        .messages = r->messages,
        .n = h->n,
    };

    r->facts.fetched += h->n;
    r->facts.held += h->n;
    r->facts.expired += h->expired;
    q->fetching = false;
    if (q->closed) /* it is given back with all else that this node has */
        return;
    q->short_of = h->n < q->want;
    q->want = 0;
    store_answer(r, &a);
    take_lost(q, h->expired, REASON_EXPIRED);
    take_lost(q, h->broken, REASON_STORE);
}

void take_news(struct store_queue *q, bool back)
{
    struct stored a = {.kind = STORED_NEWS, .queue = q->handle};

    q->back = q->back || back;
    if (q->closed || !q->open || !q->short_of)
        return;
    q->short_of = false;
    store_answer(q->store, &a);
}

/* The fetch has failed: it is tried again, for it has no answer but messages. */
static void try_again(struct store_queue *q, enum verdict v)
{
    q->fetching = false;
    store_wake(q->store, SOON_MS);
    if (v == CALL_GONE) {
        gone_met(q);
        return;
    }
    if (v == CALL_LOST)
        q->audit = true;
}

/* ------------------------------------------------------------------------------- the calls */

/* Messages and bytes: new ones, {{stream, {{id, {m, d}} ..}}}. */
static void on_read(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    enum verdict v = call_verdict(req, a);
    const struct redisReply *entries;
    struct haul h = {0};

    if (v != CALL_OK) {
        try_again(q, v);
        return;
    }
    if (a->reply->type == REDIS_REPLY_ARRAY && a->reply->elements == 1 &&
        a->reply->element[0]->elements == 2) {
        entries = a->reply->element[0]->element[1];
        for (size_t i = 0; i < entries->elements && h.came < FETCH_MESSAGES; i++) {
            const struct redisReply *e = entries->element[i];
            const struct redisReply *fields = e->elements == 2 ? e->element[1] : NULL;
            bool ours = fields && fields->elements == 2;

            if (fields)
                haul_add(q, &h, reply_slice(e->element[0]),
                         ours ? reply_slice(fields->element[0]) : slice_of(NULL, 0),
                         ours ? reply_slice(fields->element[1]) : slice_of(NULL, 0), 0);
        }
    }
    answer(q, &h);
}

/* What is left: {came back and due, ms until the next, new ones, messages, bytes, the largest}. */
static void on_took(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    enum verdict v = call_verdict(req, a);
    int64_t due_in, n;

    q->probing = false;
    if (v == CALL_GONE)
        gone_met(q);
    if (v != CALL_OK)
        return;
    q->told_ms = q->store->now_ms;
    due_in = reply_number(a->reply, 1);
    n = reply_number(a->reply, 3);
    q->due_ms = due_in > 0 ? q->store->now_ms + due_in : INT64_MAX;
    if (due_in > 0)
        store_wake(q->store, due_in);
    q->mean = n > 0 ? (uint64_t)(reply_number(a->reply, 4) / n) : q->mean;
    q->max = (uint64_t)reply_number(a->reply, 5);
    if (reply_number(a->reply, 0))
        take_news(q, true);
    else if (reply_number(a->reply, 2) > 0)
        take_news(q, false);
}

static bool send_took(struct store_queue *q)
{
    struct redis_store *r = q->store;

    args_begin(r, "brokerd_1_took", q);
    args_text(r, r->channel);
    q->probing = call_send(r, q, q->keys.slot, on_took, NULL, 0) == 0;
    return q->probing;
}

/* How many new ones make about so many bytes. */
static uint32_t count_for(const struct store_queue *q, uint32_t n, uint64_t bytes)
{
    uint64_t k = bytes / (q->mean + 1), most = FETCH_MOST_BYTES / (q->max + 1);

    if (k > most)
        k = most;
    if (k > FETCH_MESSAGES)
        k = FETCH_MESSAGES;
    if (k > n)
        k = n;
    return k > 0 ? (uint32_t)k : 1;
}

static void send_read(struct store_queue *q)
{
    static const char *const words[] = {"XREADGROUP", "GROUP", "w"};
    struct redis_store *r = q->store;

    args_begin_words(r, words, 3);
    args_text(r, q->consumer);
    args_text(r, "COUNT");
    args_number(r, count_for(q, q->want, q->want_bytes));
    args_text(r, "STREAMS");
    args_add(r, q->keys.key[KEY_STREAM]);
    args_text(r, ">");
    q->fetching = call_send(r, q, q->keys.slot, on_read, NULL, 0) == 0;
    if (q->fetching)
        (void)send_took(q); /* if not, the tick asks */
}

/* {id, deliveries, m, d ..}: what came back. */
static void on_take(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    enum verdict v = call_verdict(req, a);
    struct haul h = {0};

    if (v != CALL_OK) {
        try_again(q, v);
        return;
    }
    for (size_t i = 0; i + 4 <= a->reply->elements && h.came < FETCH_MESSAGES; i += 4)
        haul_add(q, &h, reply_slice(a->reply->element[i]), reply_slice(a->reply->element[i + 2]),
                 reply_slice(a->reply->element[i + 3]), (uint32_t)reply_number(a->reply, i + 1));
    q->told_ms = q->store->now_ms;
    if (h.came == 0) { /* none did: the same fetch goes on with new ones */
        q->back = false;
        q->fetching = false;
        queue_touch(q);
        return;
    }
    answer(q, &h);
    if (!q->closed && q->short_of && !q->probing)
        (void)send_took(q); /* there may be more, of either kind */
}

static void send_take(struct store_queue *q)
{
    struct redis_store *r = q->store;

    args_begin(r, "brokerd_1_take", q);
    args_text(r, q->consumer);
    args_number(r, q->want < FETCH_MESSAGES ? q->want : FETCH_MESSAGES);
    args_number(r, q->want_bytes);
    q->fetching = call_send(r, q, q->keys.slot, on_take, NULL, 0) == 0;
}

/* ----------------------------------------------------------------------------------- audit */

/* {{id, consumer, ms, deliveries} ..}: what Redis thinks this node has. */
static void on_audit(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    enum verdict v = call_verdict(req, a);
    struct slice id = slice_of(NULL, 0);
    size_t n;

    q->auditing = false;
    if (v == CALL_GONE)
        gone_met(q);
    if (v != CALL_OK)
        return;
    n = a->reply->elements;
    for (size_t i = 0; i < n; i++) {
        const struct redisReply *p = a->reply->element[i];
        struct settled one = {.len = UINT32_MAX};
        int64_t times = reply_number(p, 3);

        id = p->elements == 4 ? reply_slice(p->element[0]) : id;
        if (entry_read_id(id, &one.seq, &one.cum) < 0 || held_find(&q->held, one.seq))
            continue;
        one.attempts = times > 1 ? (uint32_t)times - 1 : 0;
        (void)settle_message(q, true, &one);
        q->back = true;
    }
    if (n < AUDIT_MESSAGES) {
        q->audit = false;
        q->audit_from[0] = '\0';
    } else if (id.n < sizeof q->audit_from - 1) {
        q->audit_from[0] = '('; /* behind that */
        memcpy(q->audit_from + 1, id.p, id.n);
        q->audit_from[1 + id.n] = '\0';
    }
    queue_touch(q);
}

/* Settlements first: what they are about is not held here any more, and still theirs there. */
static void audit(struct store_queue *q)
{
    static const char *const words[] = {"XPENDING"};
    struct redis_store *r = q->store;

    if (q->auditing || q->tidying || !list_empty(&q->chunks))
        return;
    args_begin_words(r, words, 1);
    args_add(r, q->keys.key[KEY_STREAM]);
    args_text(r, "w");
    args_text(r, q->audit_from[0] ? q->audit_from : "-");
    args_text(r, "+");
    args_number(r, AUDIT_MESSAGES);
    args_text(r, q->consumer);
    q->auditing = call_send(r, q, q->keys.slot, on_audit, NULL, 0) == 0;
}

/* ------------------------------------------------------------------------------------------ */

void take_pump(struct store_queue *q)
{
    if (!q->open || q->closed || q->lost || q->fetching || q->gone || q->store->stopping)
        return;
    if (q->tidying) /* new ones may come back by that: they would be overtaken */
        return;
    if (q->audit)
        audit(q);
    else if (q->want && (q->back || q->store->now_ms - q->told_ms > SOON_MS))
        send_take(q); /* others may have given some back since: those go first */
    else if (q->want)
        send_read(q);
}

void take_tick(struct store_queue *q)
{
    if (!q->open || q->closed || q->gone || q->lost)
        return;
    if (q->due_ms <= q->store->now_ms) {
        q->due_ms = INT64_MAX;
        take_news(q, true);
    }
    if (q->short_of && !q->probing && !q->fetching)
        (void)send_took(q);
    manage_tick(q);
    if (q->want || q->audit || !list_empty(&q->chunks))
        queue_touch(q);
}
