/* ACK and NACK: which deliveries they name, and that none is named twice. */
#include "brokerd/doors/stomp/subscribe.h"

#include "brokerd/doors/refuse.h"
#include "brokerd/doors/stomp/transact.h"

#include <errno.h>

/* ------------------------------------------------------------------------------- what is acked */

/* Words of 64 deliveries, that of number n is n / 64; those that are full at the front go. */
static uint64_t *word_of(struct stomp_sub *s, uint64_t number)
{
    return deque_at(&s->acked, number / 64);
}

/* As many words as deliveries. -ENOMEM. */
static int extend(struct stomp_sub *s)
{
    while (deque_end(&s->acked) <= s->delivered / 64) {
        uint64_t *w = deque_push(&s->acked);

        if (!w)
            return -ENOMEM;
        *w = deque_end(&s->acked) == 1; /* there is no delivery 0 */
    }
    return 0;
}

static void trim(struct stomp_sub *s)
{
    while (!s->peer->transactions_n && deque_len(&s->acked) > 1 &&
           *(uint64_t *)deque_slot(&s->acked, deque_first(&s->acked)) == UINT64_MAX)
        deque_pop(&s->acked);
}

/* Note delivery `number` as acknowledged; false: it was already. */
static bool note_one(struct stomp_sub *s, uint64_t number)
{
    uint64_t *w = word_of(s, number), bit = UINT64_C(1) << number % 64;

    if (!w || *w & bit)
        return false;
    *w |= bit;
    trim(s);
    return true;
}

void stomp_verb_forget(const struct stomp_verb *v)
{
    struct stomp_sub *s = v->sub;
    uint64_t *w;

    if (s->mode == STOMP_CLIENT) {
        if (v->first - 1 < s->upto)
            s->upto = v->first - 1;
        return;
    }
    w = word_of(s, v->first);
    if (w)
        *w &= ~(UINT64_C(1) << v->first % 64);
}

/* What an ACK for `number` means. False: there is nothing to be acknowledged by it. */
static bool note(struct stomp_sub *s, uint64_t number, struct stomp_verb *ret)
{
    if (number == 0 || number > s->delivered)
        return false;
    ret->sub = s;
    ret->first = number;
    ret->count = 1;
    if (s->mode == STOMP_INDIVIDUAL)
        return note_one(s, number);
    if (number <= s->upto || number - s->upto > UINT32_MAX)
        return false;
    ret->first = s->upto + 1;
    ret->count = (uint32_t)(number - s->upto);
    s->upto = number;
    return true;
}

void stomp_verb_do(struct stomp_peer *c, const struct stomp_verb *v)
{
    int r = core_ack(v->sub->k, v->first, v->count, v->verb, 0);

    if (r < 0)
        stomp_fail_memory(c);
    else if (v->sub->is_limited)
        core_grant(v->sub->k, v->count);
}

/* ------------------------------------------------------------------------------- the frame */

/* The number at the end of a message-id, and the rest. */
static bool read_number(struct slice id, struct slice *ret_prefix, uint64_t *ret)
{
    uint64_t n = 0;

    if (id.n <= STOMP_NUMBER_TEXT)
        return false;
    *ret_prefix = slice_of(id.p, id.n - STOMP_NUMBER_TEXT);
    for (size_t i = id.n - STOMP_NUMBER_TEXT; i < id.n; i++) {
        uint8_t ch = id.p[i];

        if (ch >= '0' && ch <= '9')
            n = n << 4 | (uint64_t)(ch - '0');
        else if (ch >= 'a' && ch <= 'f')
            n = n << 4 | (uint64_t)(ch - 'a' + 10);
        else
            return false;
    }
    *ret = n;
    return true;
}

/* The subscription whose message-ids begin so. Its name stands between "T_" and "@@session-". */
static struct stomp_sub *find_sub(const struct stomp_peer *c, struct slice prefix)
{
    size_t behind = 2 + 8 + STOMP_SESSION_TEXT + 2; /* "@@session-", the session, "@@" */
    struct stomp_sub *s;

    if (prefix.n <= 2 + behind)
        return NULL;
    s = map_get(&c->subscriptions, slice_of(prefix.p + 2, prefix.n - 2 - behind));
    return s && s->k && s->mode != STOMP_AUTO && slice_eq(stomp_sub_prefix(s), prefix) ? s : NULL;
}

/* The header that says which message, in this version. */
static struct slice id_name(const struct stomp_peer *c)
{
    return c->reader.version == STOMP_1_2 ? SLICE("id") : SLICE("message-id");
}

/* 1.1: the subscription must be the message's. */
static bool is_its_own(const struct stomp_peer *c, const struct stomp_frame *f,
                       const struct stomp_sub *s)
{
    struct slice id;

    return c->reader.version != STOMP_1_1 || !stomp_find(f, SLICE("subscription"), &id) ||
           slice_eq(id, stomp_sub_id(s));
}

static bool name_verb(struct stomp_peer *c, const struct stomp_frame *f, struct stomp_verb *v)
{
    struct slice name = id_name(c), id = stomp_get(f, name), prefix;
    struct stomp_sub *s;
    uint64_t number;

    if (!read_number(id, &prefix, &number)) {
        stomp_fail(c, f, "Invalid header", "\"%s\" must include a valid \"%.*s\" header\n",
                   stomp_word(f->command), (int)name.n, (const char *)name.p);
        return false;
    }
    s = find_sub(c, prefix);
    if (!s || !is_its_own(c, f, s)) {
        stomp_fail(c, f, "Subscription not found",
                   "the message is of no subscription of this connection that awaits it\n");
        return false;
    }
    if (s->mode == STOMP_INDIVIDUAL && extend(s) < 0) {
        stomp_fail_memory(c);
        return false;
    }
    if (!note(s, number, v)) {
        stomp_fail(c, f, "Message not found",
                   "the message was not delivered here, or is acknowledged already\n");
        return false;
    }
    v->verb = ACK_DONE;
    if (f->command == STOMP_NACK)
        v->verb = stomp_is(f, SLICE("requeue"), SLICE("false")) ? ACK_REJECT : ACK_NACK;
    return true;
}

bool stomp_ack(struct stomp_peer *c, const struct stomp_frame *f)
{
    struct slice transaction;
    struct stomp_verb v;

    if (stomp_find(f, SLICE("transaction"), &transaction)) {
        struct stomp_transaction *t = stomp_transaction_of(c, f, transaction);

        if (!t || !name_verb(c, f, &v))
            return true;
        stomp_transaction_ack(c, t, &v);
    } else {
        if (!name_verb(c, f, &v))
            return true;
        stomp_verb_do(c, &v);
    }
    stomp_receipt(c, f);
    return true;
}
