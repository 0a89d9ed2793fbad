/* ledger.h - what became of a publisher's messages.
 *
 * Why      A message settles when every queue it matched has an outcome: some at once, others
 *          after a hold, or when another worker or a store answers, in any order. The publisher
 *          is told in order, and gets credit back in whatever order.
 * Shape    Spans of consecutive messages with one state, oldest first; a span splits when part
 *          of it is answered, and joins its neighbour when their outcomes are equal. So a
 *          stream whose messages all settle at once is one span, however long.
 * Owner    Plain values; ledger_fini() frees the ring.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_LEDGER_H
#define BROKERD_CORE_LEDGER_H

#include "libbroker/base/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
    uint64_t first; /* message number */
    uint32_t count;
    uint32_t matched, accepted; /* queues, so far */
    uint32_t waiting;           /* answers still to come; 0: settled */
    uint16_t reason;            /* first refusal or else drop among the answers */
};

struct ledger {
    struct span *span; /* ring of cap (a power of two), n from head */
    uint32_t cap, head, n;
    uint64_t open; /* messages not settled */
};

/* What one answer says of each message in a range. */
struct answer {
    uint32_t matched, accepted;
    uint32_t done; /* answers this stands for */
    uint32_t more; /* answers that will come beside those foreseen */
    uint16_t reason;
};

void ledger_fini(struct ledger *l);

/* Messages s->first.. follow those added before. -ENOMEM: not added. */
int ledger_add(struct ledger *l, const struct span *s);

/* An answer for messages first..first+count-1, as far as they still wait. Returns how many
 * settled by it. Without memory to split a span the answer is lost: -ENOMEM. */
int64_t ledger_answer(struct ledger *l, uint64_t first, uint32_t count, const struct answer *a);

/* Take the oldest span out if it has settled. */
bool ledger_take(struct ledger *l, struct span *ret);

/* Whether ledger_take() would find one. */
static inline bool ledger_news(const struct ledger *l)
{
    return l->n && l->span[l->head].waiting == 0;
}

/* How many messages ledger_take() would report, if they are all that has settled and every queue
 * they matched accepted them; else 0. */
static inline uint32_t ledger_plain_news(const struct ledger *l)
{
    const struct span *s;

    if (!ledger_news(l))
        return 0;
    s = &l->span[l->head];
    if (s->reason != REASON_NONE || !s->matched || s->accepted < s->matched)
        return 0;
    return l->n == 1 || l->span[(l->head + 1) & (l->cap - 1)].waiting ? s->count : 0;
}

/* A refusal outranks a drop, the first of each kind counts. */
static inline uint16_t worse_reason(uint16_t a, uint16_t b)
{
    if (a == REASON_NONE)
        return b;
    return !reason_is_refusal((enum reason)a) && reason_is_refusal((enum reason)b) ? b : a;
}

#endif
