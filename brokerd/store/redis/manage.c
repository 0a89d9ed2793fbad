/* A queue is opened, changed, looked at, and let go of. */
#include "brokerd/store/redis/parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct stored about(const struct store_queue *q, enum stored_kind kind)
{
    return (struct stored){.kind = kind, .queue = q->handle};
}

/* ------------------------------------------------------------------------------------- open */

static void fail_open(struct store_queue *q, const char *text)
{
    struct stored a = about(q, STORED_OPEN);

    if (q->closed || q->open)
        return;
    a.reason = REASON_STORE;
    a.text = text;
    q->closed = true; /* as the core takes it; what was made in Redis stays */
    store_answer(q->store, &a);
}

/* seq; messages, bytes; those that wait; how many came back; the largest; memory; first id, m; may
 * some have a time of their own. */
static struct store_facts facts_of(const struct redisReply *reply)
{
    struct store_facts f = {
        .next = (uint64_t)reply_number(reply, 0) + 1,
        .messages = (uint64_t)reply_number(reply, 1),
        .bytes = (uint64_t)reply_number(reply, 2),
        .returned = (uint64_t)reply_number(reply, 5),
        .disk = (uint64_t)reply_number(reply, 7),
    };
    struct entry_facts first;
    uint64_t seq, cum;

    f.first = f.next;
    if (reply->elements >= 10 && entry_read_id(reply_slice(reply->element[8]), &seq, &cum) == 0) {
        f.first = seq;
        if (entry_read(reply_slice(reply->element[9]), &first) == 0)
            f.oldest_ms = first.time_ms;
    }
    return f;
}

static const char *text_of(const struct request *req, const struct link_answer *a)
{
    return a->outcome == LINK_REPLIED ? a->reply->str : link_text(req->store->link);
}

/* The last of what opening asks for. */
static void on_open_facts(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    struct stored s = about(q, STORED_OPEN);
    int64_t n;

    if (call_verdict(req, a) != CALL_OK) {
        fail_open(q, text_of(req, a));
        return;
    }
    if (q->closed)
        return;
    n = reply_number(a->reply, 3);
    q->mean = n > 0 ? (uint64_t)(reply_number(a->reply, 4) / n) : 0;
    q->max = (uint64_t)reply_number(a->reply, 6);
    q->open = true;
    q->back = reply_number(a->reply, 5) > 0;
    q->expiring = reply_number(a->reply, 10) > 0;
    q->store->facts.queues++;
    s.facts = facts_of(a->reply);
    store_answer(q->store, &s);
}

static void on_opened(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;

    if (call_verdict(req, a) != CALL_OK)
        fail_open(q, text_of(req, a));
    else if (a->reply->type == REDIS_REPLY_INTEGER && a->reply->integer)
        store_event(
            q->store, REDIS_LOST,
            "queue %s: Redis has lost a part of it; it is made again, and all it held is lost",
            q->name);
}

static void on_defined(struct request *req, const struct link_answer *a)
{
    if (call_verdict(req, a) != CALL_OK)
        fail_open(req->queue, text_of(req, a));
}

static void names_args(struct redis_store *r, const char *function, const struct store_queue *q)
{
    const char *words[] = {"FCALL", function, "1"};

    args_begin_words(r, words, 3);
    args_add(r, r->names.base);
    args_text(r, r->node);
    args_text(r, r->names_channel);
    args_add(r, slice_of(q->name, q->name_n));
}

int manage_tell(struct store_queue *q, request_fn *defined)
{
    names_args(q->store, "brokerd_1_define", q);
    args_add(q->store, slice_of(q->definition, q->definition_n));
    args_text(q->store, "new");
    return call_send(q->store, q, q->store->names.slot, defined, NULL, 0);
}

int manage_make(struct store_queue *q, uint64_t label, request_fn *defined, request_fn *made)
{
    struct redis_store *r = q->store;
    int e = manage_tell(q, defined);

    if (e < 0)
        return e;
    args_begin(r, "brokerd_1_open", q);
    args_text(r, q->consumer);
    args_number(r, label);
    return call_send(r, q, q->keys.slot, made, NULL, 0);
}

static int send_open(struct store_queue *q)
{
    struct redis_store *r = q->store;
    int e = manage_make(q, q->label, on_defined, on_opened);

    if (e < 0)
        return e;
    args_begin(r, "brokerd_1_facts", q);
    return call_send(r, q, q->keys.slot, on_open_facts, NULL, 0);
}

static int set_definition(struct store_queue *q, const struct store_open *o)
{
    size_t n;
    uint8_t *d = names_encode(&o->def, &n);

    if (!d)
        return -ENOMEM;
    free(q->definition);
    q->definition = d;
    q->definition_n = n;
    q->policy = *o->policy;
    return 0;
}

static struct store_queue *queue_new(struct redis_store *r, const struct store_open *o)
{
    struct store_queue *q = calloc(1, sizeof *q);

    if (!q)
        return NULL;
    q->store = r;
    q->due_ms = q->over_ms = INT64_MAX;
    list_init(&q->parcels);
    list_init(&q->chunks);
    q->name = malloc(o->def.name.n + 1);
    if (!q->name || set_definition(q, o) < 0 ||
        keys_init(&q->keys, slice_str(r->prefix), o->def.name) < 0)
        goto fail;
    memcpy(q->name, o->def.name.p, o->def.name.n);
    q->name[o->def.name.n] = '\0';
    q->name_n = o->def.name.n;
    (void)snprintf(q->consumer, sizeof q->consumer, "%.70s/%u", r->node, r->opened++);
    q->label = 1; /* the consumer's name is of this life and opening only */
    if (map_put(&r->by_base, q->keys.base, q) < 0)
        goto fail;
    list_push_back(&r->queues, &q->link);
    return q;

fail:
    keys_fini(&q->keys);
    free(q->definition);
    free(q->name);
    free(q);
    return NULL;
}

struct store_queue *manage_open(struct store *s, const struct store_open *o, handle_t queue)
{
    struct redis_store *r = store_of(s);
    struct store_queue *q = queue_new(r, o);

    if (!q)
        return NULL;
    q->handle = queue;
    if (send_open(q) < 0) {
        q->closed = true;
        queue_touch(q);
        return NULL;
    }
    return q;
}

static void on_redefined(struct request *req, const struct link_answer *a)
{
    (void)call_verdict(req, a); /* trouble was told; the next opening tells it again */
}

void manage_define(struct store_queue *q, const struct store_open *o)
{
    size_t n;
    uint8_t *d = names_encode(&o->def, &n);
    bool same;

    q->policy = *o->policy;
    if (!d)
        return;
    same = n == q->definition_n && memcmp(d, q->definition, n) == 0;
    free(q->definition);
    q->definition = d;
    q->definition_n = n;
    if (same)
        return;
    names_args(q->store, "brokerd_1_define", q);
    args_add(q->store, slice_of(d, n));
    (void)call_send(q->store, q, q->store->names.slot, on_redefined, NULL, 0);
}

/* ------------------------------------------------------------------------------- for people */

/* What one of them has asked for. */
struct asked {
    uint64_t token;
    uint64_t count, upto; /* purge: so far, and to where */
    uint32_t n;           /* peek: at most */
};

static struct asked *asked_new(uint64_t token)
{
    struct asked *asked = calloc(1, sizeof *asked);

    if (asked)
        asked->token = token;
    return asked;
}

/* Send what was begun. -ENOMEM. */
static int ask(struct store_queue *q, request_fn *done, struct asked *asked)
{
    if (call_send_owned(q->store, q, q->keys.slot, done, asked) == 0)
        return 0;
    free(asked);
    return -ENOMEM;
}

static void answer_failed(struct store_queue *q, enum stored_kind kind, const struct request *req,
                          const struct link_answer *a)
{
    struct stored s = about(q, kind);
    struct asked *asked = req->item;

    s.token = asked->token;
    s.count = asked->count;
    s.reason = REASON_STORE;
    s.text = text_of(req, a);
    if (!q->closed)
        store_answer(q->store, &s);
}

static void on_peeked(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    struct asked *asked = req->item;
    struct stored s = about(q, STORED_PEEKED);
    struct redis_store *r = q->store;
    uint64_t cum;

    if (call_verdict(req, a) != CALL_OK) {
        answer_failed(q, STORED_PEEKED, req, a);
        return;
    }
    for (size_t i = 1; i + 5 <= a->reply->elements && s.n < asked->n; i += 5) {
        struct stored_message *m = &r->messages[s.n];
        int64_t due_in = reply_number(a->reply, i + 2);

        if (!take_message(reply_slice(a->reply->element[i]), reply_slice(a->reply->element[i + 3]),
                          reply_slice(a->reply->element[i + 4]), m, &cum))
            continue;
        m->attempts = (uint32_t)reply_number(a->reply, i + 1);
        m->due_ms = due_in ? r->wall_ms + due_in : 0;
        s.n++;
    }
    s.token = asked->token;
    s.messages = r->messages;
    if (!q->closed)
        store_answer(r, &s);
}

static void on_purged(struct request *req, const struct link_answer *a);

/* A piece; `asked` is copied. */
static int send_purge(struct store_queue *q, const struct asked *so_far)
{
    struct asked *asked = malloc(sizeof *asked);

    if (!asked)
        return -ENOMEM;
    *asked = *so_far;
    settle_hurry(q);
    args_begin(q->store, "brokerd_1_purge", q);
    args_number(q->store, asked->upto);
    return ask(q, on_purged, asked);
}

/* {how many, is that all, up to which number}. */
static void on_purged(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    struct asked *asked = req->item;
    struct stored s = about(q, STORED_PURGED);

    if (call_verdict(req, a) != CALL_OK) {
        answer_failed(q, STORED_PURGED, req, a);
        return;
    }
    asked->count += (uint64_t)reply_number(a->reply, 0);
    asked->upto = (uint64_t)reply_number(a->reply, 2);
    if (!reply_number(a->reply, 1) && asked->upto && !q->closed && send_purge(q, asked) == 0)
        return;
    s.token = asked->token;
    s.count = asked->count;
    if (!q->closed)
        store_answer(q->store, &s);
}

static void on_facts(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    struct asked *asked = req->item;
    struct stored s = about(q, STORED_FACTS);

    if (!asked->token)
        q->store->facts_asked--;
    if (call_verdict(req, a) != CALL_OK) {
        answer_failed(q, STORED_FACTS, req, a);
        return;
    }
    q->expiring = q->expiring || reply_number(a->reply, 10) > 0;
    s.token = asked->token;
    s.facts = facts_of(a->reply);
    if (!q->closed)
        store_answer(q->store, &s);
}

int manage_peek(struct store_queue *q, uint64_t from, uint32_t n, uint64_t token)
{
    struct redis_store *r = q->store;
    struct asked *asked = asked_new(token);

    if (!asked)
        return -ENOMEM;
    settle_hurry(q);
    asked->n = n < FETCH_MESSAGES ? n : FETCH_MESSAGES;
    args_begin(r, "brokerd_1_peek", q);
    args_number(r, from);
    args_number(r, asked->n);
    args_number(r, STORE_FETCH_BYTES);
    return ask(q, on_peeked, asked);
}

int manage_purge(struct store_queue *q, uint64_t upto, const struct store_settlement *but, size_t n,
                 uint64_t token)
{
    (void)upto; /* a number of the core's, which are not these: all that wait now are meant */
    (void)but;  /* what is in consumers' hands does not wait */
    (void)n;
    return send_purge(q, &(struct asked){.token = token});
}

int manage_ask(struct store_queue *q, uint64_t token)
{
    struct asked *asked = asked_new(token);

    if (!asked)
        return -ENOMEM;
    settle_hurry(q);
    args_begin(q->store, "brokerd_1_facts", q);
    return ask(q, on_facts, asked);
}

void manage_tick(struct store_queue *q)
{
    struct redis_store *r = q->store;

    if (r->now_ms < q->facts_ms || r->facts_asked >= FACTS_AT_ONCE)
        return;
    q->facts_ms = r->now_ms + FACTS_MS;
    if (manage_ask(q, 0) == 0)
        r->facts_asked++;
}

/* ------------------------------------------------------------------------------------ close */

void manage_free(struct store_queue *q)
{
    struct redis_store *r = q->store;

    if (q->calls)
        return;
    put_fini(q);
    settle_fini(q);
    r->facts.held -= q->held.n;
    held_fini(&q->held);
    if (map_get(&r->by_base, q->keys.base) == q)
        map_del(&r->by_base, q->keys.base);
    list_remove(&q->link);
    list_remove(&q->touched);
    keys_fini(&q->keys);
    free(q->definition);
    free(q->name);
    free(q);
}

static void tell_not_removed(const struct store_queue *q)
{
    store_event(q->store, REDIS_TROUBLE,
                "queue %s: it may not be deleted, for Redis does not answer; look again", q->name);
}

/* Not said again: by then there may be another of that name. */
static void on_removed(struct request *req, const struct link_answer *a)
{
    enum verdict v = call_verdict(req, a);

    if (v == CALL_LOST || v == CALL_LATER)
        tell_not_removed(req->queue);
}

/* Its name first: a node that starts meanwhile must not find it. */
static void remove_all(struct store_queue *q)
{
    struct redis_store *r = q->store;
    bool sent;

    names_args(r, "brokerd_1_undefine", q);
    sent = call_send(r, q, r->names.slot, on_removed, NULL, 0) == 0;
    args_begin(r, "brokerd_1_remove", q);
    if (call_send(r, q, q->keys.slot, on_removed, NULL, 0) < 0 || !sent)
        tell_not_removed(q);
    q->left = true;
}

static void on_left(struct request *req, const struct link_answer *a)
{
    struct store_queue *q = req->queue;
    enum verdict v = call_verdict(req, a);

    q->leaving = false;
    /* If Redis cannot be asked now, others take over what this node had in REDIS_DEAD_MS. */
    q->left = v != CALL_OK || reply_number(a->reply, 1);
}

void manage_leave(struct store_queue *q)
{
    struct redis_store *r = q->store;

    if (q->left || q->lost || !q->open || r->down_ms != INT64_MAX) {
        q->left = true;
    } else if (!list_empty(&q->chunks)) {
        settle_pump(q);
        return;
    } else if (!q->leaving) {
        args_begin(r, "brokerd_1_reclaim", q);
        args_text(r, q->consumer);
        args_number(r, 1);
        q->leaving = call_send(r, q, q->keys.slot, on_left, NULL, 0) == 0;
        q->left = !q->leaving;
    }
    if (q->left && q->closed)
        manage_free(q);
}

void manage_close(struct store_queue *q, bool remove)
{
    struct redis_store *r = q->store;

    if (q->open)
        r->facts.queues--;
    q->closed = true;
    q->remove = remove;
    if (map_get(&r->by_base, q->keys.base) == q)
        map_del(&r->by_base, q->keys.base);
    put_drop(q);
    if (remove) {
        settle_drop(q);
        remove_all(q);
    }
    queue_touch(q); /* it is freed at the end of a turn, never under its caller */
}
