/* Receipts, in the order in which they were asked for. */
#include "brokerd/doors/stomp/peer.h"

#include "brokerd/doors/refuse.h"

#include <stdlib.h>

enum { SHORT = 40 };

struct stomp_answer {
    char *more;      /* the receipt's id where it is longer than `text`; ours */
    uint32_t n;      /* its bytes */
    uint32_t left;   /* things to be done before it may be sent */
    bool asked;      /* there is something to send */
    bool must_match; /* that no queue matches is a refusal */
    bool is_reply;   /* that its queue has just gone is none */
    bool leave;      /* then close */
    char text[SHORT];
};

static struct slice receipt_of(const struct stomp_answer *a)
{
    return slice_of(a->more ? a->more : a->text, a->n);
}

void stomp_answers_init(struct stomp_peer *c)
{
    deque_init(&c->answers, sizeof(struct stomp_answer));
}

static size_t size_of(uint32_t receipt_n)
{
    return sizeof(struct stomp_answer) + (receipt_n > SHORT ? receipt_n : 0);
}

static void account(struct stomp_peer *c, int64_t delta)
{
    c->answers_bytes += (uint64_t)delta;
    core_charge(c->link->host->core, delta);
}

static void drop_first(struct stomp_peer *c)
{
    struct stomp_answer *a = deque_slot(&c->answers, deque_first(&c->answers));

    account(c, -(int64_t)size_of(a->n));
    free(a->more);
    deque_pop(&c->answers);
}

void stomp_answers_fini(struct stomp_peer *c)
{
    while (deque_len(&c->answers))
        drop_first(c);
    deque_fini(&c->answers);
}

bool stomp_answers_wait(const struct stomp_peer *c)
{
    return deque_len(&c->answers) > 0;
}

static void write_receipt(struct stomp_peer *c, struct slice id)
{
    struct out *o = &c->link->out;
    uint8_t *to = out_reserve(o, 32 + stomp_escaped_max(id.n)), *p = to;

    if (!p)
        return; /* broken, net closes it */
    p = stomp_put(p, SLICE("RECEIPT\n"));
    p = stomp_put_header(p, c->reader.version, SLICE("receipt-id"), id);
    p = stomp_put(p, SLICE("\n\0"));
    out_commit(o, (size_t)(p - to));
    out_end(o);
}

/* Send those at the front that wait for nothing more. */
static void send_ready(struct stomp_peer *c)
{
    while (deque_len(&c->answers) && !c->over) {
        const struct stomp_answer *a = deque_slot(&c->answers, deque_first(&c->answers));

        if (a->left)
            break;
        if (a->asked)
            write_receipt(c, receipt_of(a));
        if (a->leave) {
            c->over = true;
            link_close(c->link, c->eof ? "its client has ended" : "DISCONNECT",
                       c->cut   ? LINK_CUT
                       : c->eof ? LINK_ENDED
                                : LINK_ASKED);
        }
        drop_first(c);
    }
}

uint64_t stomp_answer_new(struct stomp_peer *c, struct slice receipt, uint32_t left)
{
    struct stomp_answer *a;
    char *to;

    /* Messages have their window, but anything may ask for a receipt. */
    if (c->answers_bytes + receipt.n > STOMP_ANSWERS_BYTES) {
        stomp_fail(c, NULL, reason_name(REASON_LIMIT),
                   "the receipts a connection waits for may have %d bytes\n", STOMP_ANSWERS_BYTES);
        return STOMP_NO_ANSWER;
    }
    a = deque_push(&c->answers);
    if (!a) {
        stomp_fail_memory(c);
        return STOMP_NO_ANSWER;
    }
    a->more = NULL;
    a->n = (uint32_t)receipt.n;
    a->left = left;
    a->asked = true;
    a->must_match = a->is_reply = a->leave = false;
    to = a->text;
    if (receipt.n > SHORT)
        to = a->more = malloc(receipt.n);
    if (!to) {
        deque_unpush(&c->answers);
        stomp_fail_memory(c);
        return STOMP_NO_ANSWER;
    }
    if (receipt.n)
        memcpy(to, receipt.p, receipt.n);
    account(c, (int64_t)size_of(a->n));
    return deque_end(&c->answers) - 1;
}

struct slice stomp_answer_receipt(struct stomp_peer *c, uint64_t answer)
{
    const struct stomp_answer *a = deque_at(&c->answers, answer);

    return a ? receipt_of(a) : slice_of(NULL, 0);
}

void stomp_answer_done(struct stomp_peer *c, uint64_t answer)
{
    struct stomp_answer *a = deque_at(&c->answers, answer);

    if (!a)
        return;
    a->left--;
    if (answer == deque_first(&c->answers))
        send_ready(c);
}

bool stomp_answer_await_one(struct stomp_peer *c, uint64_t answer, uint32_t after)
{
    if (window_await_one(&c->window, after, answer) == 0)
        return true;
    stomp_fail_memory(c);
    return false;
}

bool stomp_answer_await(struct stomp_peer *c, uint64_t answer, uint32_t n)
{
    struct stomp_answer *a = deque_at(&c->answers, answer);

    if (!a)
        return false;
    a->left++;
    if (window_await(&c->window, n, answer) == 0)
        return true;
    stomp_fail_memory(c);
    return false;
}

void stomp_answer_requires(struct stomp_peer *c, uint64_t answer)
{
    struct stomp_answer *a = deque_at(&c->answers, answer);

    if (a)
        a->must_match = true;
}

void stomp_answer_is_reply(struct stomp_peer *c, uint64_t answer)
{
    struct stomp_answer *a = deque_at(&c->answers, answer);

    if (a)
        a->is_reply = true;
}

void stomp_receipt(struct stomp_peer *c, const struct stomp_frame *f)
{
    struct slice id;
    uint64_t a;

    if (c->over || !stomp_find(f, SLICE("receipt"), &id))
        return;
    if (!stomp_answers_wait(c) && window_idle(&c->window)) {
        write_receipt(c, id);
        return;
    }
    a = stomp_answer_new(c, id, 1);
    if (a != STOMP_NO_ANSWER && stomp_answer_await(c, a, 0))
        stomp_answer_done(c, a);
}

void stomp_answer_leave(struct stomp_peer *c, const struct stomp_frame *f)
{
    struct slice id = {NULL, 0};
    bool asked = stomp_find(f, SLICE("receipt"), &id);
    uint64_t n = stomp_answer_new(c, id, 1);
    struct stomp_answer *a;

    if (n == STOMP_NO_ANSWER)
        return;
    a = deque_at(&c->answers, n);
    a->asked = asked;
    a->leave = true;
    c->leaving = true;
    if (window_idle(&c->window) || stomp_answer_await(c, n, 0))
        stomp_answer_done(c, n);
}

void stomp_answer_settled(void *ctx, uint64_t token, const struct outcome *o)
{
    struct stomp_peer *c = ctx;
    const struct stomp_answer *a = deque_at(&c->answers, token);
    struct refusal why;

    if (!a || c->over)
        return;
    if (o->reason == REASON_NOT_FOUND && a->is_reply) {
        c->link->host->scratch->count[DOOR_COUNT_LATE_REPLIES] += o->count;
    } else if (o->count && reason_is_refusal(o->reason) &&
               (o->reason != REASON_NO_MATCH || a->must_match)) {
        refuse_outcome(&why, o);
        stomp_fail_answer(c, receipt_of(a), reason_name(why.reason), slice_str(why.text));
        return;
    }
    stomp_answer_done(c, token);
}
