#include "brokerd/core/question.h"

#include "brokerd/core/durable.h"

#include <errno.h>
#include <stdlib.h>

struct question *question_new(struct queue *q)
{
    struct core *c = q->core;
    struct question *n = calloc(1, sizeof *n);

    if (!n)
        return NULL;
    n->core = c;
    n->queue = q->handle;
    n->token = ++c->asked;
    n->until_ms = c->now_ms + QUESTION_MS;
    list_init(&n->peeked);
    list_push_back(&c->questions, &n->link);
    return n;
}

static int ask_peek(const struct queue *q, uint64_t from, const struct question *n)
{
    const struct storage *d = q->backlog->stored;

    return d->store->ops->peek(d->at, from, n->wanted, n->token);
}

int question_peek(struct queue *q, uint64_t from, uint32_t n, struct question **ret)
{
    struct question *asked = question_new(q);
    int r;

    if (!asked)
        return -ENOMEM;
    asked->wanted = n;
    r = ask_peek(q, from, asked);
    if (r < 0)
        core_question_close(asked);
    else
        *ret = asked;
    return r;
}

/* ------------------------------------------------------------------------------- answers */

static size_t size_of(const struct stored_message *m)
{
    return m->topic.n + m->headers.n + m->data.n + m->type.name.n;
}

static uint8_t *copy(uint8_t *to, struct slice *s)
{
    if (s->n)
        memcpy(to, s->p, s->n);
    s->p = to;
    return to + s->n;
}

/* What was peeked is the store's only for the call. -ENOMEM. */
static int keep(struct question *n, const struct stored *a)
{
    size_t size = sizeof(struct peeked) + a->n * sizeof *a->messages;
    struct peeked *p;
    uint8_t *at;

    for (uint32_t i = 0; i < a->n; i++)
        size += size_of(&a->messages[i]);
    p = malloc(size);
    if (!p)
        return -ENOMEM;
    *p = (struct peeked){.n = a->n};
    at = (uint8_t *)(p->messages + a->n);
    for (uint32_t i = 0; i < a->n; i++) {
        struct stored_message *m = &p->messages[i];

        *m = a->messages[i];
        at = copy(copy(copy(copy(at, &m->topic), &m->headers), &m->data), &m->type.name);
    }
    list_push_back(&n->peeked, &p->link);
    n->charged += (int64_t)size;
    core_charge(n->core, (int64_t)size);
    return 0;
}

/* True: it is over. An answer may have fewer than there are. */
static bool take_peeked(struct question *n, const struct queue *q, const struct stored *a)
{
    if (!a->n || a->reason != REASON_NONE)
        return true;
    if (keep(n, a) < 0) {
        n->reason = REASON_MEMORY;
        return true;
    }
    n->wanted -= a->n < n->wanted ? a->n : n->wanted;
    n->cut = n->charged >= PEEKED_BYTES;
    if (!n->wanted || n->cut)
        return true;
    if (ask_peek(q, a->messages[a->n - 1].seq + 1, n) == 0)
        return false;
    n->reason = REASON_MEMORY;
    return true;
}

void questions_take(struct queue *q, const struct stored *a)
{
    struct core *c = q->core;

    if (a->kind == STORED_FACTS && a->reason == REASON_NONE)
        q->backlog->stored->known = a->facts;
    for (struct list_node *l = list_first(&c->questions); l; l = list_next(&c->questions, l)) {
        struct question *n = LIST_ITEM(l, struct question, link);

        if (n->token != a->token || n->queue != a->queue)
            continue;
        n->reason = a->reason;
        if (a->kind == STORED_PURGED && q->backlog->stored->shared)
            n->count = a->count;
        if (a->kind == STORED_FACTS) {
            n->facts = a->facts;
            n->has_facts = a->reason == REASON_NONE;
        }
        if (a->kind != STORED_PEEKED || take_peeked(n, q, a))
            list_remove(l);
        return;
    }
}

void questions_end(struct core *c, handle_t queue)
{
    struct list_node *next;

    for (struct list_node *l = list_first(&c->questions); l; l = next) {
        struct question *n = LIST_ITEM(l, struct question, link);

        next = list_next(&c->questions, l);
        if (n->queue != queue)
            continue;
        list_remove(l);
        n->reason = REASON_DELETED;
    }
}

/* ------------------------------------------------------------------------- for who asked */

bool core_question_over(struct question *n, uint64_t *ret_count, enum reason *ret_reason)
{
    if (list_linked(&n->link) && n->core->now_ms >= n->until_ms) {
        list_remove(&n->link);
        n->reason = REASON_STORE;
    }
    *ret_count = n->count;
    *ret_reason = n->reason;
    return !list_linked(&n->link);
}

const struct store_facts *core_question_facts(const struct question *n)
{
    return n->has_facts ? &n->facts : NULL;
}

void core_question_close(struct question *n)
{
    struct list_node *l;

    if (!n)
        return;
    list_remove(&n->link);
    core_charge(n->core, -n->charged);
    while ((l = list_pop(&n->peeked)) != NULL)
        free(LIST_ITEM(l, struct peeked, link));
    free(n);
}
