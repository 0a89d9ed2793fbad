/* Settlements: gathered in chunks, said again until Redis has answered. Saying one twice does no
 * harm: what is gone, or in other hands, is left alone. */
#include "brokerd/store/redis/parts.h"

#include <stdlib.h>

static struct chunk *chunk_at(struct list_node *n)
{
    return n ? LIST_ITEM(n, struct chunk, link) : NULL;
}

static void chunk_free(struct chunk *c)
{
    list_remove(&c->link);
    free(c->at);
    free(c);
}

/* The last chunk of that kind which is not on its way, or a new one. NULL without memory. */
static struct chunk *open_chunk(struct store_queue *q, bool back)
{
    struct chunk *c = chunk_at(list_last(&q->chunks));

    if (c && !c->sent && c->back == back && c->n < CHUNK_MESSAGES)
        return c;
    c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->back = back;
    list_push_back(&q->chunks, &c->link);
    return c;
}

bool settle_message(struct store_queue *q, bool back, const struct settled *one)
{
    struct chunk *c = open_chunk(q, back);

    if (!c)
        return false;
    if (c->n == c->size) {
        uint32_t size = c->size ? 2 * c->size : 16;
        struct settled *at = realloc(c->at, size * sizeof *at);

        if (!at) {
            if (c->n == 0)
                chunk_free(c);
            return false;
        }
        c->at = at;
        c->size = size;
    }
    c->at[c->n++] = *one;
    queue_touch(q);
    return true;
}

/* What is not held is none of our business: it was taken over, or settled before. */
static void settle_number(struct store_queue *q, const struct store_settlement *s, uint64_t seq)
{
    struct held_message m;
    struct settled one;

    if (!held_take(&q->held, seq, &m))
        return;
    q->store->facts.held--;
    if (m.dead)
        tidy_settled(q, m.len);
    one = (struct settled){m.seq, m.cum, m.len, s->attempts, s->due_ms};
    /* Without memory it stays this node's in Redis's books, until an audit gives it back: it is
     * delivered once more then. */
    if (!settle_message(q, s->verb == SETTLE_RETURNED, &one))
        q->audit = true;
}

void settle_ranges(struct store_queue *q, const struct store_settlement *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < s[i].count; k++)
            settle_number(q, &s[i], s[i].seq + k);
}

/* --------------------------------------------------------------------------------- sending */

static void on_settled(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    struct chunk *c = req->item;
    enum verdict v = call_verdict(req, a);

    q->chunks_on_way--;
    c->sent = false;
    if (v == CALL_OK || v == CALL_GONE) {
        if (c->back)
            q->store->facts.returned += c->n;
        else
            q->store->facts.settled += c->n;
        if (v == CALL_OK && c->back && reply_number(a->reply, 1))
            take_news(q, true);
        chunk_free(c);
        if (v == CALL_GONE)
            gone_met(q);
    } else {
        q->settle_ms = q->store->now_ms + (v == CALL_WRONG ? TICK_MS : SOON_MS);
        store_wake(q->store, SOON_MS);
    }
    queue_touch(q);
}

static void add_id(struct redis_store *r, const struct settled *one)
{
    uint8_t *start = args_text_room(r, ENTRY_ID_MAX);

    args_end_text(r, start, entry_write_id(start, one->seq, one->cum));
}

static void gone_args(struct store_queue *q, const struct chunk *c)
{
    uint64_t bytes = 0, last = 0;

    for (uint32_t i = 0; i < c->n; i++) {
        bytes += c->at[i].len;
        if (last < c->at[i].seq)
            last = c->at[i].seq;
    }
    args_begin(q->store, "brokerd_1_settle", q);
    args_number(q->store, bytes);
    args_number(q->store, last);
    for (uint32_t i = 0; i < c->n; i++)
        add_id(q->store, &c->at[i]);
}

static void back_args(struct store_queue *q, const struct chunk *c)
{
    struct redis_store *r = q->store;

    args_begin(r, "brokerd_1_give", q);
    args_text(r, r->channel);
    for (uint32_t i = 0; i < c->n; i++) {
        const struct settled *one = &c->at[i];
        int64_t delay;

        add_id(r, one);
        if (one->len == UINT32_MAX)
            args_text(r, "-");
        else
            args_number(r, one->len);
        args_number(r, one->attempts);
        delay = one->due_ms > r->wall_ms ? one->due_ms - r->wall_ms : 0;
        args_number(r, (uint64_t)delay);
        if (delay && q->due_ms > r->now_ms + delay)
            q->due_ms = r->now_ms + delay;
        if (delay)
            store_wake(r, delay);
    }
    q->back = true;
}

static void pump(struct store_queue *q, bool all)
{
    struct redis_store *r = q->store;
    struct list_node *n, *next;

    if (r->now_ms < q->settle_ms)
        return;
    for (n = list_first(&q->chunks); n; n = next) {
        struct chunk *c = chunk_at(n);

        next = list_next(&q->chunks, n);
        if (c->sent)
            continue;
        if (q->lost) {
            chunk_free(c);
            continue;
        }
        if ((q->chunks_on_way >= CHUNKS_ON_WAY && !all) ||
            (q->chunks_on_way && c->n < CHUNK_MESSAGES && !next && !all && !c->back))
            return;
        if (c->back)
            back_args(q, c);
        else
            gone_args(q, c);
        if (call_send(r, q, q->keys.slot, on_settled, c, 0) < 0)
            return;
        c->sent = true;
        q->chunks_on_way++;
    }
}

void settle_pump(struct store_queue *q)
{
    pump(q, false);
}

bool settle_is_behind(const struct store_queue *q)
{
    for (struct list_node *n = list_first(&q->chunks); n; n = list_next(&q->chunks, n))
        if (chunk_at(n)->back && !chunk_at(n)->sent)
            return true;
    return false;
}

void settle_hurry(struct store_queue *q)
{
    pump(q, true);
}

void settle_drop(struct store_queue *q)
{
    struct list_node *n, *next;

    for (n = list_first(&q->chunks); n; n = next) {
        next = list_next(&q->chunks, n);
        if (!chunk_at(n)->sent)
            chunk_free(chunk_at(n));
    }
}

void settle_fini(struct store_queue *q)
{
    struct list_node *n;

    while ((n = list_first(&q->chunks)))
        chunk_free(chunk_at(n));
}
