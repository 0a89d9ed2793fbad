/* Puts: gathered in parcels, one call of a function each, answered in the order they came.
 *
 *      parcels   | sent, judged | sent | sent | waiting | being filled |
 *
 * A parcel is sent when it is full or none is on its way: so while one travels the next gathers by
 * itself. Its labels are given then, and it is said again with them until Redis has answered. What
 * is answered out of order waits for those before it. If something is to be put again, all that is
 * on its way behind it comes back first (the function refuses what does not join on). */
#include "brokerd/store/redis/parts.h"

#include <errno.h>
#include <stdlib.h>

static void parcel_free(struct parcel *p)
{
    if (!p)
        return;
    list_remove(&p->link);
    free(p->ends);
    free(p->buf);
    free(p);
}

static struct parcel *parcel_at(struct list_node *n)
{
    return n ? LIST_ITEM(n, struct parcel, link) : NULL;
}

static struct parcel *parcel_next(const struct store_queue *q, const struct parcel *p)
{
    return parcel_at(list_next(&q->parcels, &p->link));
}

/* ------------------------------------------------------------------------------- gathering */

static struct parcel *parcel_new(struct store_queue *q, uint64_t first)
{
    struct parcel *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->first = first;
    p->since_ms = q->store->now_ms;
    p->when_full = q->policy.overflow;
    list_push_back(&q->parcels, &p->link);
    return p;
}

static bool is_full(const struct parcel *p)
{
    return p->n >= PARCEL_MESSAGES || p->used >= PARCEL_BYTES;
}

/* Place for one message more. */
static bool parcel_reserve(struct parcel *p, size_t bytes)
{
    if (p->n == p->room) {
        uint32_t room = p->room ? 2 * p->room : 8;
        uint32_t *ends = realloc(p->ends, 2 * room * sizeof *ends);

        if (!ends)
            return false;
        p->ends = ends;
        p->room = room;
    }
    if (bytes > p->size - p->used) {
        size_t size = p->size ? 2 * p->size : 512;
        uint8_t *buf;

        while (size - p->used < bytes)
            size *= 2;
        buf = realloc(p->buf, size);
        if (!buf)
            return false;
        p->buf = buf;
        p->size = size;
    }
    return true;
}

static bool parcel_add(struct parcel *p, const struct entry_facts *f, const struct msg_view *v)
{
    uint8_t *end;

    if (!parcel_reserve(p, entry_size(f) + v->len))
        return false;
    end = entry_write(p->buf + p->used, f);
    p->ends[2 * p->n] = (uint32_t)(end - p->buf);
    if (v->len)
        memcpy(end, v->data, v->len);
    p->used = (size_t)(end - p->buf) + v->len;
    p->ends[2 * p->n + 1] = (uint32_t)p->used;
    p->bytes += v->len;
    p->n++;
    return true;
}

static struct entry_facts facts_of(const struct run *run, uint32_t i, const struct msg_origin *from)
{
    const struct msg_meta *meta = run->v[i].meta;
    struct entry_facts f = {
        .expires_ms = INT64_MAX,
        .time_ms = from->time_ms,
        .id = from->id + i,
        .topic = topic_slice(from->topic),
        .type = run->type,
    };

    if (meta) {
        f.headers = meta->headers;
        if (meta->type.id != CTYPE_NONE)
            f.type = meta->type;
        if (meta->ttl_ms > 0 && meta->ttl_ms < INT64_MAX - from->time_ms)
            f.expires_ms = from->time_ms + meta->ttl_ms;
    }
    return f;
}

/* Does message `number` go into the last parcel? */
static struct parcel *open_parcel(const struct store_queue *q, uint64_t number)
{
    struct parcel *p = parcel_at(list_last(&q->parcels));

    if (!p || p->label || is_full(p) || p->first + p->n != number ||
        p->when_full != q->policy.overflow || q->store->now_ms - p->since_ms >= PARCEL_AGE_MS)
        return NULL;
    return p;
}

/* Behind `last`, which had n messages, nothing was taken. */
static void undo(struct store_queue *q, struct parcel *last, const struct parcel *as_it_was)
{
    struct parcel *p;

    while ((p = parcel_at(list_last(&q->parcels))) != last)
        parcel_free(p);
    if (last) {
        last->n = as_it_was->n;
        last->used = as_it_was->used;
        last->bytes = as_it_was->bytes;
    }
}

static int gather(struct store_queue *q, uint64_t first, const struct run *run,
                  const struct msg_origin *from)
{
    struct parcel *last = parcel_at(list_last(&q->parcels)), before = {0};

    if (last)
        before = *last;
    for (uint32_t i = 0; i < run->n; i++) {
        struct entry_facts f = facts_of(run, i, from);
        struct parcel *p = open_parcel(q, first + i);

        if (!p)
            p = parcel_new(q, first + i);
        if (p && f.expires_ms != INT64_MAX)
            p->own = q->expiring = true;
        if (!p || !parcel_add(p, &f, &run->v[i])) {
            undo(q, last, &before);
            return -ENOMEM;
        }
    }
    return 0;
}

int put_messages(struct store_queue *q, uint64_t first, const struct run *run,
                 const struct msg_origin *from)
{
    struct redis_store *r = q->store;
    int e;

    if (!q->open || q->lost || r->stopping ||
        (r->down_ms != INT64_MAX && r->now_ms - r->down_ms > r->o.patience_ms)) {
        q->owes_room = true;
        return -EIO;
    }
    /* One after the other finds out if there are replicas again. */
    if (q->alone && q->unstored && r->now_ms - q->heard_ms > r->o.patience_ms) {
        q->owes_room = true;
        return -EIO;
    }
    if (q->unstored && (q->unstored + run->n > STORE_UNSTORED_MAX ||
                        q->unstored_bytes + run->bytes > STORE_UNSTORED_BYTES)) {
        q->owes_room = true;
        return -EAGAIN;
    }
    e = gather(q, first, run, from);
    if (e < 0)
        return e;
    q->unstored += run->n;
    q->unstored_bytes += run->bytes;
    r->facts.unstored += run->n;
    queue_touch(q);
    return 0;
}

/* ---------------------------------------------------------------------------------- answers */

static uint64_t parcel_bytes(const struct parcel *p, uint32_t from, uint32_t n)
{
    uint64_t bytes = 0;

    if (from == 0 && n == p->n)
        return p->bytes;
    for (uint32_t i = from; i < from + n; i++)
        bytes += p->ends[2 * i + 1] - p->ends[2 * i];
    return bytes;
}

/* The next n of a parcel, as the core knows them. */
static const struct stored_message *messages_of(const struct store_queue *q, const struct parcel *p,
                                                uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t *ends = p->ends + 2 * (p->done + i);
        uint32_t from = p->done + i ? ends[-1] : 0;
        struct entry_facts f = {0};

        (void)entry_read(slice_of(p->buf + from, ends[0] - from), &f); /* our own */
        q->store->messages[i] = (struct stored_message){
            .id = f.id,
            .time_ms = f.time_ms,
            .expires_ms = f.expires_ms,
            .topic = f.topic,
            .headers = f.headers,
            .type = f.type,
            .data = slice_of(p->buf + ends[0], ends[1] - ends[0]),
        };
    }
    return q->store->messages;
}

/* What became of the next n of a parcel. */
static void answer(struct store_queue *q, struct parcel *p, uint32_t n, enum reason reason,
                   const char *text)
{
    struct stored a = {
        .kind = STORED_PUT,
        .queue = q->handle,
        .reason = reason,
        .first = p->first + p->done,
        .count = n,
        .text = text,
    };

    if (n == 0)
        return;
    q->unstored -= n;
    q->unstored_bytes -= parcel_bytes(p, p->done, n);
    q->store->facts.unstored -= n;
    if (reason == REASON_NONE)
        q->store->facts.put += n;
    else
        q->store->facts.refused += n;
    if (reason == REASON_DROP_NEWEST && q->policy.dead_letter[0]) {
        a.messages = messages_of(q, p, n);
        a.n = n;
    }
    p->done += n;
    if (!q->closed)
        store_answer(q->store, &a);
}

static void answer_lost(struct store_queue *q, uint32_t n, enum reason reason)
{
    struct stored a = {
        .kind = STORED_LOST,
        .queue = q->handle,
        .reason = reason,
        .count = n,
    };

    if (n && !q->closed)
        store_answer(q->store, &a);
}

static void refuse(struct store_queue *q, struct parcel *p, enum reason reason, const char *text)
{
    answer(q, p, p->n - p->done, reason, text);
    parcel_free(p);
}

/* Nothing of what is behind was taken: it is said again, when all of it has come back. */
static void unsend(struct store_queue *q)
{
    struct list_node *n;

    for (n = list_first(&q->parcels); n; n = list_next(&q->parcels, n)) {
        struct parcel *p = parcel_at(n);

        if (p->sent && p->judged) {
            p->sent = false;
            p->judged = false;
        }
    }
}

/* The first parcel was answered in full. False: it is to be said again. */
static bool heed_reply(struct store_queue *q, struct parcel *p)
{
    struct redis_store *r = q->store;
    enum overflow how = p->when_full;
    bool again = p->again;

    p->tried_ms = 0;
    q->heard_ms = r->now_ms;
    q->alone = false;
    r->facts.dropped += p->dropped;
    r->facts.expired += p->expired;
    answer_lost(q, p->expired, REASON_EXPIRED);
    answer_lost(q, p->dropped, REASON_DROP_OLDEST);
    p->dropped = p->expired = 0;
    answer(q, p, p->taken < p->n - p->done ? p->taken : p->n - p->done, REASON_NONE, NULL);
    if (p->news)
        take_news(q, false);
    if (p->beyond)
        q->surplus = q->tidy_due = true;
    if (p->done < p->n && again && how == OVERFLOW_DROP_OLDEST &&
        r->now_ms - p->since_ms >= r->o.patience_ms) {
        refuse(q, p, REASON_STORE, "its oldest messages wait for their dead letters to be kept");
        return true;
    }
    if (p->done < p->n && again && !q->closed) {
        /* News of room come by another connection: they may be here before the answer is. */
        q->blocked = p->rooms == q->rooms;
        q->try_ms = q->blocked ? r->now_ms + TICK_MS : 0;
        store_wake(r, SOON_MS);
        return false;
    }
    refuse(q, p, how == OVERFLOW_DROP_NEWEST ? REASON_DROP_NEWEST : REASON_FULL, NULL);
    return true;
}

/* While this one waited, was anything heard lately of what this queue puts? A publisher that may be
 * held is, for as long. */
static bool is_patient(const struct store_queue *q, const struct parcel *p)
{
    int64_t since = p->since_ms > q->heard_ms ? p->since_ms : q->heard_ms;
    int64_t most = q->store->o.patience_ms;

    if (p->when_full == OVERFLOW_BLOCK && q->policy.block_timeout_ms > most)
        most = q->policy.block_timeout_ms;
    return q->store->now_ms - since < most;
}

static void give_up(struct store_queue *q, struct parcel *p)
{
    refuse(q, p, REASON_STORE,
           q->alone      ? "too few replicas have the message: it may be lost, or not"
           : p->doubtful ? "Redis did not answer: it may have the message, or not"
                         : link_text(q->store->link));
}

/* The first parcel's fate. False: it is to be said again. */
static bool heed(struct store_queue *q, struct parcel *p)
{
    struct redis_store *r = q->store;

    if (p->outcome == LINK_REPLIED && p->reason == REASON_NONE && !p->back_off)
        return heed_reply(q, p);
    if (p->reason != REASON_NONE) {
        refuse(q, p, p->reason, r->facts.text);
        return true;
    }
    if (q->lost) {
        refuse(q, p, REASON_NOT_FOUND, NULL);
        return true;
    }
    if (is_patient(q, p) && !q->closed) {
        r->facts.repeated++;
        q->try_ms = p->back_off ? r->now_ms + SOON_MS : 0;
        store_wake(r, SOON_MS);
        return false;
    }
    give_up(q, p);
    return true;
}

static void owe_no_room(struct store_queue *q)
{
    struct stored a = {.kind = STORED_ROOM, .queue = q->handle};

    if (!q->owes_room || q->closed || q->unstored > STORE_UNSTORED_MAX / 2 ||
        q->unstored_bytes > STORE_UNSTORED_BYTES / 2 || q->store->down_ms != INT64_MAX)
        return;
    q->owes_room = false;
    store_answer(q->store, &a);
}

/* Heed what was answered, as far as it is in order. */
static void settle_fates(struct store_queue *q)
{
    struct parcel *p;

    while ((p = parcel_at(list_first(&q->parcels))) && p->judged)
        if (!heed(q, p)) {
            unsend(q);
            break;
        }
    owe_no_room(q);
    queue_touch(q);
}

static void judge(struct request *req, const struct link_answer *a)
{
    struct parcel *p = req->item;

    p->outcome = a->outcome;
    p->doubtful = p->doubtful || a->outcome == LINK_UNKNOWN;
    p->reason = REASON_NONE;
    p->back_off = false;
    p->again = false;
    p->taken = 0;
    p->news = p->beyond = false;
    p->via = a->via;
    switch (call_verdict(req, a)) {
    case CALL_OK:
        p->taken = (uint32_t)reply_number(a->reply, 0);
        /* Of the first time, too, if nobody told then for want of replicas. */
        p->dropped += (uint32_t)reply_number(a->reply, 1);
        p->expired += (uint32_t)reply_number(a->reply, 2);
        p->news = reply_number(a->reply, 3) != 0;
        p->again = reply_number(a->reply, 4) != 0;
        p->beyond = reply_number(a->reply, 5) != 0;
        break;
    case CALL_LOST:
        break;
    case CALL_LATER:
        p->back_off = true;
        break;
    case CALL_GONE:
        p->back_off = true;
        gone_met(req->queue);
        break;
    case CALL_WRONG:
        p->reason = REASON_STORE;
        break;
    }
}

/* All that was said about it is answered. */
static void came_home(struct store_queue *q, struct parcel *p)
{
    q->parcels_on_way--;
    p->judged = true;
    settle_fates(q);
}

static void on_put(struct request *req, const struct link_answer *a)
{
    struct parcel *p = req->item;

    judge(req, a);
    p->asks = false;
    if (p->waits)
        return;
    if (req->queue->policy.replicas && p->taken) /* nobody has said that they have it */
        p->outcome = LINK_UNKNOWN;
    came_home(req->queue, p);
}

/* Told once, until there are enough again. */
static void note_replicas(struct store_queue *q, int64_t n)
{
    bool alone = n < (int64_t)q->policy.replicas;

    if (alone && !q->alone)
        store_event(q->store, REDIS_TROUBLE, "queue %s: only %lld of %u replicas have what was put",
                    q->name, (long long)n, q->policy.replicas);
    q->alone = alone;
}

/* How many replicas have it. It has no key: so where the put is turned away (TRYAGAIN, while its
 * slot moves) this is answered before it, and says nothing. */
static void on_wait(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    struct parcel *p = req->item;
    bool replied = a->outcome == LINK_REPLIED && a->reply->type == REDIS_REPLY_INTEGER;

    p->waits = false;
    if (p->asks)
        return;
    if (replied)
        note_replicas(q, a->reply->integer);
    if (p->outcome == LINK_REPLIED && p->reason == REASON_NONE && !p->back_off && p->taken) {
        if (!replied || a->via != p->via) {
            p->outcome = LINK_UNKNOWN; /* said again: it takes nothing twice */
            q->store->facts.repeated++;
        } else if (a->reply->integer < (int64_t)q->policy.replicas) {
            p->back_off = p->doubtful = true; /* one may be on its way back */
        }
    }
    came_home(q, p);
}

/* --------------------------------------------------------------------------------- sending */

static const char *word_for(const struct store_queue *q, enum overflow how)
{
    switch (how) {
    case OVERFLOW_BLOCK:
        return "block";
    case OVERFLOW_DROP_OLDEST:
        return q->policy.dead_letter[0] ? "beyond" : "oldest";
    case OVERFLOW_DROP_NEWEST:
    case OVERFLOW_REJECT:
    case OVERFLOW_DISCONNECT:
        break;
    }
    return "reject";
}

/* Lua counts in doubles: more than 2^53 is more than enough. */
static uint64_t bounded(uint64_t v)
{
    return v < UINT64_C(1) << 53 ? v : UINT64_C(1) << 53;
}

/* -1: what has expired is not to be dropped by a put, for dead letters are made of it (tidy.c). */
static int64_t ttl_of(const struct store_queue *q)
{
    if (q->policy.dead_letter[0])
        return -1;
    return q->policy.message_ttl_ms == POLICY_NEVER ? 0 : q->policy.message_ttl_ms;
}

static void parcel_args(struct store_queue *q, const struct parcel *p)
{
    struct redis_store *r = q->store;
    const struct parcel *first = parcel_at(list_first(&q->parcels));
    uint32_t from = p->done ? p->ends[2 * p->done - 1] : 0;

    args_begin(r, "brokerd_1_put", q);
    args_text(r, q->consumer);
    args_text(r, r->channel);
    args_number(r, p->label + p->done);
    args_number(r, first->label + first->done);
    args_number(r, bounded(q->policy.max_messages));
    args_number(r, bounded(q->policy.max_bytes));
    args_text(r, word_for(q, p->when_full));
    args_signed(r, ttl_of(q));
    args_number(r, p->own);
    for (uint32_t i = 2 * p->done; i < 2 * p->n; i++) {
        args_add(r, slice_of(p->buf + from, p->ends[i] - from));
        from = p->ends[i];
    }
}

static int64_t at_most(int64_t a, int64_t most)
{
    return a < most ? a : most;
}

/* Nothing else that this worker tells that Redis goes on meanwhile: so it waits for replicas that
 * were missing a moment ago for a moment only. */
static bool send_wait(struct store_queue *q, struct parcel *p)
{
    static const char *const words[] = {"WAIT"};
    struct redis_store *r = q->store;
    int64_t most = r->o.timeout_ms / 2;

    args_begin_words(r, words, 1);
    args_number(r, q->policy.replicas);
    args_number(r, (uint64_t)(q->alone ? at_most(ALONE_WAIT_MS, most) : most));
    return call_send(r, q, q->keys.slot, on_wait, p, 0) == 0;
}

static bool send_parcel(struct store_queue *q, struct parcel *p)
{
    struct redis_store *r = q->store;

    if (!p->label) {
        p->label = q->label;
        q->label += p->n;
    }
    parcel_args(q, p);
    if (call_send(r, q, q->keys.slot, on_put, p, 0) < 0)
        return false;
    p->sent = p->asks = true;
    p->rooms = q->rooms;
    if (!p->tried_ms)
        p->tried_ms = r->now_ms;
    q->parcels_on_way++;
    if (q->policy.replicas == 0)
        return true;
    p->waits = send_wait(q, p); /* if not, it is said again */
    return p->waits;
}

void put_pump(struct store_queue *q)
{
    struct list_node *n, *next;
    bool resend = false;

    if (!q->open || q->closed || q->gone || q->store->now_ms < q->try_ms)
        return;
    for (n = list_first(&q->parcels); n; n = next) {
        struct parcel *p = parcel_at(n);

        next = list_next(&q->parcels, n);
        if (p->sent)
            continue;
        /* Something before was to be put again, or this: first let come back what is under way. */
        resend = resend || p->tried_ms || (p->label && p->done);
        if (q->parcels_on_way >= PARCELS_ON_WAY || (q->parcels_on_way && (resend || p->label)) ||
            (q->parcels_on_way && !is_full(p)))
            return;
        if (!send_parcel(q, p))
            return;
        q->blocked = false;
    }
}

uint64_t put_label(const struct store_queue *q)
{
    const struct parcel *p = parcel_at(list_first(&q->parcels));

    return p && p->label ? p->label + p->done : q->label;
}

void put_lost(struct store_queue *q)
{
    struct parcel *p;

    while ((p = parcel_at(list_first(&q->parcels))) && !p->sent)
        refuse(q, p, REASON_NOT_FOUND, NULL);
}

/* ------------------------------------------------------------------------ waiting for room */

void put_room(struct store_queue *q)
{
    q->rooms++;
    q->blocked = false;
    q->try_ms = 0;
    queue_touch(q);
}

/* It has waited for room as long as its policy allows. */
static void fall_back(struct store_queue *q, struct parcel *p)
{
    switch (q->policy.block_fallback) {
    case OVERFLOW_DROP_OLDEST:
        p->when_full = OVERFLOW_DROP_OLDEST;
        put_room(q);
        return;
    case OVERFLOW_DROP_NEWEST:
        refuse(q, p, REASON_DROP_NEWEST, NULL);
        return;
    case OVERFLOW_BLOCK:
    case OVERFLOW_REJECT:
    case OVERFLOW_DISCONNECT:
        refuse(q, p, REASON_FULL, NULL);
        return;
    }
}

/* Whose time is over: at once if it is not on its way. */
static void end_waits(struct store_queue *q)
{
    int64_t most = q->policy.block_timeout_ms, now = q->store->now_ms;
    struct parcel *p = parcel_at(list_first(&q->parcels));

    while (p && q->blocked && most != POLICY_NEVER) {
        struct parcel *next = parcel_next(q, p);

        if (p->sent || p->when_full != OVERFLOW_BLOCK || now - p->since_ms < most)
            return;
        fall_back(q, p);
        p = next;
    }
}

/* Those that nobody has taken for so long; what is on its way is answered first. */
static void end_patience(struct store_queue *q)
{
    struct parcel *p;

    while ((p = parcel_at(list_first(&q->parcels))) && !p->sent && !is_patient(q, p))
        give_up(q, p);
}

void put_tick(struct store_queue *q)
{
    if (q->closed) { /* to be freed, if nothing is on its way */
        queue_touch(q);
        return;
    }
    end_waits(q);
    end_patience(q);
    owe_no_room(q);
    if (q->blocked || q->try_ms > q->store->now_ms)
        store_wake(q->store, SOON_MS);
    if (!list_empty(&q->parcels))
        queue_touch(q);
}

void put_drop(struct store_queue *q)
{
    struct list_node *n, *next;

    for (n = list_first(&q->parcels); n; n = next) {
        struct parcel *p = parcel_at(n);

        next = list_next(&q->parcels, n);
        if (p->sent && !p->judged)
            continue; /* its answer frees it */
        answer(q, p, p->n - p->done, REASON_STORE, NULL);
        parcel_free(p);
    }
}

void put_fini(struct store_queue *q)
{
    struct list_node *n;

    put_drop(q);
    while ((n = list_first(&q->parcels))) {
        struct parcel *p = parcel_at(n);

        answer(q, p, p->n - p->done, REASON_STORE, NULL);
        parcel_free(p);
    }
}
