#include "brokerd/doors/stomp/transact.h"

#include "brokerd/doors/refuse.h"
#include "brokerd/doors/stomp/publish.h"

#include <stdlib.h>

/* A message or acks. */
struct step {
    struct list_node link;
    struct stomp_memo *memo; /* ours; NULL: acks */
    struct stomp_verb verb;
    size_t body_n;
    uint8_t body[];
};

struct stomp_transaction {
    struct list_node link;
    struct list steps;
    uint32_t steps_n;
    uint64_t bytes;  /* of all steps */
    uint64_t answer; /* while it is carried out: of the COMMIT, or STOMP_NO_ANSWER */
    bool committing;
    uint16_t id_n;
    char id[STOMP_ID_MAX];
};

/* ------------------------------------------------------------------------------- life */

static void account(struct stomp_peer *c, int64_t delta)
{
    c->held += (uint64_t)delta;
    core_charge(c->link->host->core, delta);
}

static size_t size_of(const struct step *s)
{
    return sizeof *s + s->body_n + (s->memo ? sizeof *s->memo + s->memo->size : 0);
}

static void drop_step(struct stomp_peer *c, struct stomp_transaction *t, struct step *s)
{
    account(c, -(int64_t)size_of(s));
    t->steps_n--;
    list_remove(&s->link);
    free(s->memo);
    free(s);
}

static void end(struct stomp_peer *c, struct stomp_transaction *t)
{
    struct list_node *n;

    while ((n = list_first(&t->steps)) != NULL)
        drop_step(c, t, LIST_ITEM(n, struct step, link));
    list_remove(&t->link);
    free(t);
    c->transactions_n--;
}

void stomp_transactions_fini(struct stomp_peer *c)
{
    struct list_node *n;

    while ((n = list_first(&c->transactions)) != NULL)
        end(c, LIST_ITEM(n, struct stomp_transaction, link));
}

void stomp_transactions_drop(struct stomp_peer *c, const struct stomp_sub *s)
{
    for (struct list_node *n = list_first(&c->transactions); n;
         n = list_next(&c->transactions, n)) {
        struct stomp_transaction *t = LIST_ITEM(n, struct stomp_transaction, link);
        struct list_node *k, *next;

        for (k = list_first(&t->steps); k; k = next) {
            struct step *step = LIST_ITEM(k, struct step, link);

            next = list_next(&t->steps, k);
            if (!step->memo && step->verb.sub == s)
                drop_step(c, t, step);
        }
    }
}

static struct stomp_transaction *find(const struct stomp_peer *c, struct slice id)
{
    for (struct list_node *n = list_first(&c->transactions); n;
         n = list_next(&c->transactions, n)) {
        struct stomp_transaction *t = LIST_ITEM(n, struct stomp_transaction, link);

        if (slice_eq(slice_of(t->id, t->id_n), id))
            return t;
    }
    return NULL;
}

static void bad_transaction(struct stomp_peer *c, const struct stomp_frame *f, struct slice id)
{
    char buf[STOMP_ID_MAX + 1];

    stomp_fail(c, f, "Bad transaction", "Invalid transaction identifier: \"%s\"\n",
               shown(id, buf, sizeof buf));
}

struct stomp_transaction *stomp_transaction_of(struct stomp_peer *c, const struct stomp_frame *f,
                                               struct slice id)
{
    struct stomp_transaction *t = find(c, id);

    if (!t)
        bad_transaction(c, f, id);
    return t;
}

/* ------------------------------------------------------------------------------- steps */

static bool may_add(struct stomp_peer *c, const struct stomp_frame *f,
                    const struct stomp_transaction *t, size_t bytes)
{
    const struct door_limits *l = &c->link->host->limits;

    if (t->steps_n >= STOMP_TRANSACTION_STEPS_MAX)
        stomp_fail(c, f, reason_name(REASON_LIMIT), "a transaction may have %d frames\n",
                   STOMP_TRANSACTION_STEPS_MAX);
    else if (c->held + bytes > l->reassembly_max)
        stomp_fail(c, f, reason_name(REASON_LIMIT),
                   "the open transactions of a connection may have %llu bytes\n",
                   (unsigned long long)l->reassembly_max);
    else if (core_short_of_memory(c->link->host->core))
        stomp_fail_memory(c);
    return !c->over;
}

static void add(struct stomp_peer *c, struct stomp_transaction *t, struct step *s)
{
    list_push_back(&t->steps, &s->link);
    t->steps_n++;
    account(c, (int64_t)size_of(s));
}

bool stomp_transaction_send(struct stomp_peer *c, const struct stomp_frame *f,
                            const struct stomp_destination *d, struct slice id)
{
    struct stomp_transaction *t = stomp_transaction_of(c, f, id);
    struct step *s;

    if (!t || !may_add(c, f, t, sizeof *s + f->body.n + f->head.n))
        return true;
    s = malloc(sizeof *s + f->body.n);
    if (!s) {
        stomp_fail_memory(c);
        return true;
    }
    *s = (struct step){.body_n = f->body.n};
    if (!stomp_memo_read(c, f, d, &s->memo)) {
        free(s->memo);
        free(s);
        return c->over;
    }
    if (f->body.n)
        memcpy(s->body, f->body.p, f->body.n);
    add(c, t, s);
    stomp_receipt(c, f);
    return true;
}

void stomp_transaction_ack(struct stomp_peer *c, struct stomp_transaction *t,
                           const struct stomp_verb *v)
{
    struct step *s = may_add(c, NULL, t, sizeof *s) ? malloc(sizeof *s) : NULL;

    if (!s) {
        stomp_fail_memory(c); /* unless it was told already */
        return;
    }
    *s = (struct step){.verb = *v};
    add(c, t, s);
}

/* ------------------------------------------------------------------------------- frames */

/* Empty: the peer was told. */
static struct slice need_id(struct stomp_peer *c, const struct stomp_frame *f)
{
    struct slice id = stomp_get(f, SLICE("transaction"));

    if (!id.n)
        stomp_fail(c, f, "Missing transaction", "\"%s\" must include a 'transaction' header\n",
                   stomp_word(f->command));
    return id;
}

bool stomp_begin(struct stomp_peer *c, const struct stomp_frame *f)
{
    struct slice id = need_id(c, f);
    struct stomp_transaction *t;

    if (!id.n)
        return true;
    if (id.n > STOMP_ID_MAX || find(c, id)) {
        bad_transaction(c, f, id);
        return true;
    }
    if (c->transactions_n >= STOMP_TRANSACTIONS_MAX) {
        stomp_fail(c, f, reason_name(REASON_LIMIT), "a connection has at most %d transactions\n",
                   STOMP_TRANSACTIONS_MAX);
        return true;
    }
    t = calloc(1, sizeof *t);
    if (!t) {
        stomp_fail_memory(c);
        return true;
    }
    t->id_n = (uint16_t)id.n;
    memcpy(t->id, id.p, id.n);
    list_init(&t->steps);
    list_push_back(&c->transactions, &t->link);
    c->transactions_n++;
    stomp_receipt(c, f);
    return true;
}

bool stomp_abort(struct stomp_peer *c, const struct stomp_frame *f)
{
    struct slice id = need_id(c, f);
    struct stomp_transaction *t = id.n ? stomp_transaction_of(c, f, id) : NULL;

    if (!t)
        return true;
    for (struct list_node *n = list_last(&t->steps); n;
         n = n->prev == &t->steps.head ? NULL : n->prev) {
        const struct step *s = LIST_ITEM(n, struct step, link);

        if (!s->memo)
            stomp_verb_forget(&s->verb);
    }
    end(c, t);
    stomp_receipt(c, f);
    return true;
}

/* What can be wrong is said before anything is done: what was published cannot be taken back. */
static bool check_sends(struct stomp_peer *c, const struct stomp_transaction *t)
{
    struct slice receipt = stomp_answer_receipt(c, t->answer);

    for (struct list_node *n = list_first(&t->steps); n; n = list_next(&t->steps, n)) {
        const struct step *s = LIST_ITEM(n, struct step, link);

        if (s->memo && !stomp_may_publish(c, s->memo, receipt))
            return false;
    }
    return true;
}

/* Publish a message. False: not now, or never. */
static bool do_send(struct stomp_peer *c, const struct stomp_transaction *t, const struct step *s)
{
    struct msg_view v = stomp_view(s->memo, slice_of(s->body, s->body_n), NULL);
    struct slice receipt = stomp_answer_receipt(c, t->answer);

    if (stomp_is_late(c, s->memo, 1))
        return true;
    if (stomp_is_missing(c, s->memo, receipt) || !window_room(&c->window) ||
        !stomp_publish(c, s->memo, &v, 1, receipt))
        return false;
    if (s->memo->meta.require)
        stomp_answer_requires(c, t->answer);
    if (s->memo->place == PLACE_REPLY_QUEUE)
        stomp_answer_is_reply(c, t->answer);
    return t->answer == STOMP_NO_ANSWER || stomp_answer_await(c, t->answer, 1);
}

/* Carry out the first step. False: not now, or never. */
static bool do_step(struct stomp_peer *c, struct stomp_transaction *t)
{
    struct step *s = LIST_ITEM(list_first(&t->steps), struct step, link);

    if (!s->memo)
        stomp_verb_do(c, &s->verb);
    else if (!do_send(c, t, s))
        return false;
    drop_step(c, t, s);
    return !c->over;
}

bool stomp_commit(struct stomp_peer *c, const struct stomp_frame *f)
{
    struct slice id = need_id(c, f), receipt;
    struct stomp_transaction *t = id.n ? stomp_transaction_of(c, f, id) : NULL;
    uint64_t answer;

    if (!t)
        return true;
    if (!t->committing) {
        t->committing = true;
        t->answer = stomp_find(f, SLICE("receipt"), &receipt) ? stomp_answer_new(c, receipt, 1)
                                                              : STOMP_NO_ANSWER;
        if (c->over || !check_sends(c, t))
            return true;
    }
    while (!c->over && list_first(&t->steps))
        if (!do_step(c, t))
            return c->over;
    answer = t->answer;
    end(c, t);
    /* With messages of its own it waits for these; else for all before. */
    if (answer != STOMP_NO_ANSWER && !c->over &&
        (window_idle(&c->window) || stomp_answer_await(c, answer, 0)))
        stomp_answer_done(c, answer);
    return true;
}
