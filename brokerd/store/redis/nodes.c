/* Nodes: each says once a second that it lives, and hears who does. What a node had that has not
 * said so for REDIS_DEAD_MS, others give back to all, queue by queue.
 *
 * A Redis that was away makes all nodes look dead. So nobody is believed dead before all has gone
 * well for that long: connected, and every beat answered within a tenth of it. */
#include "brokerd/store/redis/parts.h"

#include <stdio.h>
#include <stdlib.h>

enum { NODES_KEEP_MS = 3600 * 1000, NODES_LOOK_TICKS = 30 };

void nodes_unsteady(struct redis_store *r)
{
    r->steady_ms = r->now_ms;
}

static bool is_steady(const struct redis_store *r)
{
    return r->now_ms - r->steady_ms >= r->o.dead_ms && r->generation > 0;
}

/* ------------------------------------------------------------------------------------ beats */

/* {name, ms .., is this node new there}. Who was alive and is not any more begins a new
 * generation. */
static void on_beat(struct request *req, const struct link_answer *a)
{
    struct redis_store *r = req->store;
    struct map_entry *e, *next;
    bool died = r->generation == 0, late = r->now_ms - r->beat_ms > r->o.dead_ms / 10;
    bool well = call_verdict(req, a) == CALL_OK;

    r->beat_ms = 0;
    if (!well || late)
        nodes_unsteady(r);
    if (!well)
        return;
    /* A late one too: it may have waited for a Redis that came back with nothing, and is the only
     * one to say so. */
    gone_heard(r, r->generation && reply_number(a->reply, a->reply->elements - 1) == 1);
    if (late)
        return;
    for (e = map_next(&r->alive, NULL); e; e = map_next(&r->alive, e))
        e->value = r; /* not seen */
    for (size_t i = 0; i + 2 <= a->reply->elements; i += 2)
        if (reply_number(a->reply, i + 1) < r->o.dead_ms)
            (void)map_put(&r->alive, reply_slice(a->reply->element[i]), &r->alive);
    for (e = map_next(&r->alive, NULL); e; e = next) {
        next = map_next(&r->alive, e);
        if (e->value == r) {
            map_remove(&r->alive, e);
            died = true;
        }
    }
    if (died)
        r->generation++;
}

static void nodes_args(struct redis_store *r, const char *function)
{
    const char *words[] = {"FCALL", function, "2"};

    args_begin_words(r, words, 3);
    args_add(r, r->names.base);
    args_text(r, r->nodes_key);
    args_text(r, r->node);
    r->facts.calls++;
}

static void beat(struct redis_store *r)
{
    if (r->beat_ms)
        return;
    nodes_args(r, "brokerd_1_beat");
    args_number(r, NODES_KEEP_MS);
    if (call_send(r, NULL, r->names.slot, on_beat, NULL, 0) == 0)
        r->beat_ms = r->now_ms;
}

static void on_goodbye(struct request *req, const struct link_answer *a)
{
    (void)a;
    req->store->stopped = true;
}

void nodes_goodbye(struct redis_store *r)
{
    r->said_goodbye = true;
    nodes_args(r, "brokerd_1_leave");
    if (call_send(r, NULL, r->names.slot, on_goodbye, NULL, 0) < 0)
        r->stopped = true;
}

/* ----------------------------------------------------------------------------------- claims */

static void check_queue(struct store_queue *q);

/* The node of a consumer: what is before its `/`. */
static struct slice node_of(struct slice consumer)
{
    for (size_t i = consumer.n; i > 0; i--)
        if (consumer.p[i - 1] == '/')
            return slice_of(consumer.p, i - 1);
    return consumer;
}

static void end_check(struct store_queue *q)
{
    q->checking = false;
    q->store->checks--;
}

/* {messages, is that all}. */
static void on_claimed(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    int64_t n;

    if (call_verdict(req, a) != CALL_OK || q->closed) {
        end_check(q); /* the next tick looks again */
        return;
    }
    n = reply_number(a->reply, 0);
    if (n > 0) {
        q->store->facts.claimed += (uint64_t)n;
        store_event(q->store, REDIS_CLAIMED, "queue %s: %lld messages of a dead node wait again",
                    q->name, (long long)n);
        take_news(q, true);
    }
    check_queue(q);
}

static bool claim(struct store_queue *q, struct slice consumer)
{
    args_begin(q->store, "brokerd_1_reclaim", q);
    args_add(q->store, consumer);
    args_number(q->store, 0);
    return call_send(q->store, q, q->keys.slot, on_claimed, NULL, 0) == 0;
}

/* {{name, .., pending, .., ..} ..}: the first dead one is dealt with, then they are asked for
 * again. */
static void on_consumers(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    struct redis_store *r = q->store;

    if (call_verdict(req, a) != CALL_OK || q->closed || !is_steady(r)) {
        end_check(q);
        return;
    }
    for (size_t i = 0; i < a->reply->elements; i++) {
        const struct redisReply *c = a->reply->element[i];
        struct slice name = c->elements >= 2 ? reply_slice(c->element[1]) : slice_of(NULL, 0);
        struct slice node = node_of(name);

        if (name.n == 0 || slice_eq(node, slice_str(r->node)) || map_find(&r->alive, node))
            continue;
        if (!claim(q, name))
            end_check(q);
        return;
    }
    q->checked = req->number;
    end_check(q);
}

static void check_queue(struct store_queue *q)
{
    static const char *const words[] = {"XINFO", "CONSUMERS"};
    struct redis_store *r = q->store;

    args_begin_words(r, words, 2);
    args_add(r, q->keys.key[KEY_STREAM]);
    args_text(r, "w");
    if (call_send(r, q, q->keys.slot, on_consumers, NULL, r->generation) < 0)
        end_check(q);
}

void nodes_tick(struct redis_store *r)
{
    struct list_node *n;

    beat(r);
    /* Who died before anybody saw it is found by looking now and then. */
    if (++r->ticks % NODES_LOOK_TICKS == 0 && r->generation)
        r->generation++;
    if (!is_steady(r))
        return;
    for (n = list_first(&r->queues); n; n = list_next(&r->queues, n)) {
        struct store_queue *q = LIST_ITEM(n, struct store_queue, link);

        if (r->checks >= CLAIMS_AT_ONCE)
            return;
        if (!q->open || q->closed || q->gone || q->lost || q->checking ||
            q->checked == r->generation)
            continue;
        q->checking = true;
        r->checks++;
        check_queue(q);
    }
}

void nodes_fini(struct redis_store *r)
{
    map_fini(&r->alive);
}
