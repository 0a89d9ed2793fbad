/* Looking at queues, emptying and deleting them. */
#include "brokerd/admin/listing.h"

#include <errno.h>
#include <stdlib.h>

enum { PEEK_COUNT = 10, PEEK_COUNT_MAX = 1000, PEEK_BYTES = 1024, PEEK_BYTES_MAX = 65536 };
enum { SHARED_MS = 1000 /* info waits so long for a store */ };
enum { PEEK_ANSWER_MAX = 4 << 20 }; /* bytes of payload and headers in one answer, about */

/* Every command about one queue begins so: find it, go to its home. */
static void visit_queue(struct ask *a, struct desk *d, ask_fn *visit, ask_fn *then)
{
    a->queue = request_queue(a, d, "queue");
    if (a->queue)
        ask_visit(a, d, inspect_home(a->queue), visit, then);
    else
        ask_refused(a, d);
}

static bool look(struct ask *a, struct desk *d, struct inspect_queue *q)
{
    if (inspect_queue(d->core, a->queue, q))
        return true;
    ask_refuse(a, REASON_NOT_FOUND, "no queue \"%s\"", request_text(a, "queue"));
    return false;
}

/* What most answers begin with. */
static void tell_name(struct ask *a)
{
    json_object_set_new(a->answer, "queue", json_text(request_text(a, "queue")));
}

/* ----------------------------------------------------------------------------------------- ls */

struct looking {
    const char *filter; /* NULL: all */
    bool anonymous;
    struct listing *to;
};

static bool list_one(void *ctx, const struct inspect_queue *q)
{
    const struct looking *l = ctx;

    if ((q->name || l->anonymous) &&
        (!l->filter || name_filter_matches(slice_str(l->filter), slice_str(q->label))) &&
        listing_wants(l->to, q->name, q->id))
        listing_add(l->to, json_queue(q), q->id);
    return true;
}

static void visit_list(struct ask *a, struct desk *d)
{
    struct looking l = {request_text(a, "filter"), request_flag(a, "all"), a->data};

    a->cursor = inspect_queues(d->core, a->cursor, WALK_STEPS, list_one, &l);
    a->again = a->cursor != 0;
}

static void then_list(struct ask *a, struct desk *d)
{
    listing_answer(a, d, "queues");
}

void cmd_queue_ls(struct ask *a, struct desk *d)
{
    if (request_filter(a, d, "filter") && listing_begin(a, d, 'q', true))
        ask_visit_all(a, d, visit_list, then_list);
}

/* ------------------------------------------------------------------- what a store is asked */

/* Its answer comes turns later. */
struct asking {
    struct job job;
    struct ask *ask;
    struct desk *desk;
    struct question *question;
    uint64_t count; /* messages: what is known already, and then what the store adds */
    bool may_fail;  /* then() comes also if the store does not answer */
    void (*then)(struct ask *a, struct desk *d, const struct asking *j);
};

static void free_asking(struct job *j)
{
    struct asking *k = LIST_ITEM(j, struct asking, job);

    core_question_close(k->question);
    free(k);
}

static enum job_state step_asking(struct job *j)
{
    struct asking *k = LIST_ITEM(j, struct asking, job);
    struct ask *a = k->ask;
    struct desk *d = k->desk;
    enum reason why;
    uint64_t more;

    if (!core_question_over(k->question, &more, &why) && !atomic_load(&a->gone))
        return JOB_WAITS;
    k->count += more;
    if (why == REASON_NONE || k->may_fail)
        k->then(a, d, k);
    else if (why == REASON_DELETED)
        ask_refuse(a, REASON_NOT_FOUND, "it has just been deleted");
    else
        ask_refuse(a, why, "the queue's store fails, or does not answer");
    free_asking(j);
    ask_leave(a, d);
    return JOB_OVER;
}

/* `n` is known already. NULL: it is refused. */
static struct asking *
wait_for_store(struct ask *a, struct desk *d, struct question *question, uint64_t n,
               void (*then)(struct ask *a, struct desk *d, const struct asking *j))
{
    struct asking *k = calloc(1, sizeof *k);

    if (!k) {
        core_question_close(question);
        ask_refuse(a, REASON_MEMORY, "no memory to wait for the queue's store");
        return NULL;
    }
    *k = (struct asking){.job = {.step = step_asking, .free = free_asking},
                         .ask = a,
                         .desk = d,
                         .question = question,
                         .count = n,
                         .then = then};
    a->stays = true;
    desk_add_job(d, &k->job);
    return k;
}

/* --------------------------------------------------------------------------------------- info */

json_t *json_tap(const struct inspect_tap *t)
{
    json_t *k = json_object(), *counters = json_object();

    json_object_set_new(k, "id", json_id('k', t->consumer));
    json_object_set_new(k, "worker", json_number(inspect_home(t->consumer)));
    json_object_set_new(k, "ack", json_string(t->manual_ack ? "manual" : "auto"));
    json_object_set_new(k, "unacked", json_number(t->unacked));
    if (t->stalled_ms >= 0 && !t->stopped)
        json_object_set_new(k, "stalled_ms", json_integer(t->stalled_ms));
    if (t->inflight_full)
        json_object_set_new(k, "stalled_by", json_string("inflight"));
    json_object_set_new(counters, "delivered", json_number(t->delivered));
    json_object_set_new(k, "counters", counters);
    return k;
}

static bool add_tap(void *ctx, const struct inspect_tap *t)
{
    json_array_append_new(ctx, json_tap(t));
    return true;
}

/* What all brokers have of a queue that they share. */
static void tell_shared(struct ask *a, struct desk *d, const struct asking *j)
{
    const struct store_facts *f = core_question_facts(j->question);
    json_t *o = f ? json_object() : json_null();

    (void)d;
    if (f) {
        json_object_set_new(o, "messages", json_number(f->messages));
        json_object_set_new(o, "bytes", json_number(f->bytes));
        json_object_set_new(o, "returned", json_number(f->returned));
    }
    json_object_set_new(a->answer, "shared", o);
}

static void ask_shared(struct ask *a, struct desk *d)
{
    struct question *question = NULL;
    struct asking *k;

    if (core_queue_ask(d->core, a->queue, SHARED_MS, &question) < 0 || !question)
        return;
    k = wait_for_store(a, d, question, 0, tell_shared);
    if (k)
        k->may_fail = true;
}

static void visit_home(struct ask *a, struct desk *d)
{
    struct inspect_queue q;
    json_t *list = json_array(), *info;

    if (look(a, d, &q)) {
        inspect_taps(d->core, q.id, add_tap, list);
        info = json_queue_info(d, &q);
        json_object_update(a->answer, info);
        json_object_set(a->answer, "consumer_list", list);
        json_decref(info);
        ask_shared(a, d);
    }
    json_decref(list);
}

/* The connection's side knows whose it is and what it has granted. */
static void complete(json_t *k, const struct inspect_consumer *c)
{
    json_t *credit = c->credit < CORE_UNLIMITED ? json_number(c->credit) : json_null();

    json_object_set_new(k, "client", json_text(c->client_name));
    json_object_set_new(k, "client_id", json_id('c', c->client));
    json_object_set_new(k, "door", json_text(c->door));
    json_object_set_new(k, "credit", credit);
    json_object_set_new(k, "since_ms", json_integer(c->since_ms));
    if (!json_object_get(k, "stalled_ms") || json_object_get(k, "stalled_by"))
        return;
    if (!c->has_room)
        json_object_set_new(k, "stalled_by", json_string("output"));
    else if (c->credit == 0)
        json_object_set_new(k, "stalled_by", json_string("credit"));
    else /* it has granted more meanwhile */
        json_object_del(k, "stalled_ms");
}

void json_tap_complete(json_t *tap, const struct desk *d)
{
    uint64_t id = id_parse('k', json_string_value(json_object_get(tap, "id")));
    struct inspect_consumer c;

    if (inspect_consumer(d->core, id, &c))
        complete(tap, &c);
}

static void visit_consumers(struct ask *a, struct desk *d)
{
    json_t *list = json_object_get(a->answer, "consumer_list"), *k;
    size_t i;

    json_array_foreach(list, i, k)
    {
        json_tap_complete(k, d);
    }
}

static void then_consumers(struct ask *a, struct desk *d)
{
    ask_visit_all(a, d, visit_consumers, a->after);
}

void queue_tell(struct ask *a, struct desk *d, ask_fn *then)
{
    a->after = then;
    ask_visit(a, d, inspect_home(a->queue), visit_home, then_consumers);
}

void cmd_queue_info(struct ask *a, struct desk *d)
{
    a->queue = request_queue(a, d, "queue");
    if (a->queue)
        queue_tell(a, d, ask_answer);
    else
        ask_refused(a, d);
}

/* --------------------------------------------------------------------------------------- peek */

struct peek {
    json_t *to;
    uint64_t bytes, room;
};

static bool add_message(void *ctx, const struct inspect_message *m)
{
    struct peek *p = ctx;
    uint64_t size = (m->data.n < p->bytes ? m->data.n : p->bytes) + m->headers.n;

    if (size > p->room && json_array_size(p->to))
        return false;
    p->room -= size < p->room ? size : p->room;
    json_array_append_new(p->to, json_message(m, p->bytes));
    return true;
}

/* `rest`: what the queue's store said, or NULL. */
static void tell_messages(struct ask *a, struct desk *d, const struct question *rest)
{
    struct peek p = {json_array(), request_count(a, "bytes", PEEK_BYTES, PEEK_BYTES_MAX),
                     PEEK_ANSWER_MAX};
    uint64_t count = request_count(a, "count", PEEK_COUNT, PEEK_COUNT_MAX);

    if (inspect_peek(d->core, a->queue, (uint32_t)count, rest, add_message, &p) < 0)
        ask_refuse(a, REASON_MEMORY, "no memory to sort the messages");
    tell_name(a);
    json_object_set_new(a->answer, "messages", p.to);
}

static void peeked(struct ask *a, struct desk *d, const struct asking *j)
{
    tell_messages(a, d, j->question);
}

static void visit_peek(struct ask *a, struct desk *d)
{
    uint64_t count = request_count(a, "count", PEEK_COUNT, PEEK_COUNT_MAX);
    struct question *rest = NULL;
    struct inspect_queue q;

    if (!look(a, d, &q))
        return;
    if (core_queue_look(d->core, q.id, (uint32_t)count, &rest) < 0)
        ask_refuse(a, REASON_MEMORY, "no memory to ask the queue's store");
    else if (rest)
        (void)wait_for_store(a, d, rest, 0, peeked);
    else
        tell_messages(a, d, NULL);
}

void cmd_queue_peek(struct ask *a, struct desk *d)
{
    visit_queue(a, d, visit_peek, ask_answer);
}

/* ---------------------------------------------------------------------------------- purge, rm */

static void tell_purged(struct ask *a, uint64_t n)
{
    tell_name(a);
    json_object_set_new(a->answer, "purged", json_number(n));
}

static void purged(struct ask *a, struct desk *d, const struct asking *j)
{
    (void)d;
    tell_purged(a, j->count);
}

#define UNOPENED "store \"%s\" has not opened it yet"

static void visit_purge(struct ask *a, struct desk *d)
{
    struct question *rest = NULL;
    struct inspect_queue q;
    uint64_t n = 0;
    int r;

    if (!look(a, d, &q))
        return;
    r = core_queue_purge(d->core, q.id, &n, &rest);
    if (r == -EAGAIN)
        ask_refuse(a, REASON_STORE, UNOPENED, q.store);
    else if (r < 0)
        ask_refuse(a, REASON_MEMORY, "no memory to purge the queue");
    else if (rest)
        (void)wait_for_store(a, d, rest, n, purged);
    else
        tell_purged(a, n);
}

void cmd_queue_purge(struct ask *a, struct desk *d)
{
    visit_queue(a, d, visit_purge, ask_answer);
}

static void visit_rm(struct ask *a, struct desk *d)
{
    struct inspect_queue q;
    uint64_t lost = 0;

    if (!look(a, d, &q))
        return;
    if (!q.name)
        ask_refuse(a, REASON_INVALID, "a subscription ends with its connection");
    else if (request_flag(a, "if_empty") && q.depth + q.unacked + q.held)
        ask_refuse(a, REASON_INVALID,
                   "it is not empty: %llu messages wait, %llu are held, %llu unacknowledged",
                   (unsigned long long)q.depth, (unsigned long long)q.held,
                   (unsigned long long)q.unacked);
    else if (request_flag(a, "if_unused") && q.consumers)
        ask_refuse(a, REASON_INVALID, "it has %u consumers", q.consumers);
    if (a->why.reason != REASON_NONE)
        return;
    if (core_queue_delete(d->core, q.id, &lost) == -EAGAIN) {
        ask_refuse(a, REASON_STORE, UNOPENED, q.store);
        return;
    }
    tell_name(a);
    json_object_set_new(a->answer, "lost", json_number(lost));
}

void cmd_queue_rm(struct ask *a, struct desk *d)
{
    visit_queue(a, d, visit_rm, ask_answer);
}
