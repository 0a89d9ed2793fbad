/* broker_rs.h - what brokerd itself puts into RSocket payloads: answers to a publish, confirms,
 * a consumer's verbs, and the RSocket code of each reason.
 *
 * Shape    Big-endian, fixed sizes:
 *              answer   u32 matched, u32 accepted
 *              confirm  u64 settled, then entries of u64 first, u32 count, u16 reason,
 *                       u32 matched, u32 accepted
 *              verb     u8 verb, u64 first, u32 count, u32 argument
 * Errors   Iterators: 1 there is one, 0 the end, -EPROTO broken: ERROR[INVALID] to the peer.
 * Thread   Any; pure. */
#ifndef BROKER_WIRE_BROKER_RS_H
#define BROKER_WIRE_BROKER_RS_H

#include "libbroker/base/reason.h"
#include "libbroker/base/slice.h"

enum {
    PUBLISH_ANSWER_SIZE = 8,
    CONFIRM_HEAD_SIZE = 8,
    CONFIRM_ENTRY_SIZE = 22,
    CONSUMER_VERB_SIZE = 17,
};

/* What a request-response publish is answered with: in how many queues it is. */
struct publish_answer {
    uint32_t matched, accepted; /* queues */
};

/* Write PUBLISH_ANSWER_SIZE bytes. */
uint8_t *publish_answer_put(uint8_t *p, struct publish_answer a);

/* Read exactly that many; accepted is at most matched. 0 or -EPROTO. */
int publish_answer_decode(struct slice data, struct publish_answer *ret);

/* Messages first .. first + count - 1 of a publish channel had this one outcome. */
struct confirm_entry {
    uint64_t first;  /* messages count from 1 */
    uint32_t count;  /* at least 1 */
    uint16_t reason; /* enum reason; one that this version does not know is passed on */
    uint32_t matched, accepted;
};

/* Write the head of a confirm frame: CONFIRM_HEAD_SIZE bytes. Messages 1..settled are settled. */
uint8_t *confirm_put_head(uint8_t *p, uint64_t settled);

/* Write one entry: CONFIRM_ENTRY_SIZE bytes. Entries go in order of `first`, none overlaps. */
uint8_t *confirm_put_entry(uint8_t *p, const struct confirm_entry *e);

struct confirm_reader {
    uint64_t settled; /* messages 1..settled are settled */
    uint64_t last;    /* last message an entry has named */
    struct slice rest;
};

/* Start on a confirm frame. 0 with *ret ready, or -EPROTO: shorter than its head, or not a whole
 * number of entries. */
int confirm_decode(struct slice data, struct confirm_reader *ret);

/* The next entry. -EPROTO: empty range, out of order, beyond `settled`, accepted > matched. */
int confirm_next(struct confirm_reader *r, struct confirm_entry *ret);

enum consumer_verb_kind {
    VERB_ACK = 1,
    VERB_NACK = 2, /* argument: delay in ms */
    VERB_REJECT = 3,
    VERB_EXTEND = 4, /* argument: ms from now, 0: the queue's ack-timeout */
};

/* A consumer settles deliveries first .. first + count - 1. */
struct consumer_verb {
    enum consumer_verb_kind kind;
    uint64_t first;    /* deliveries count from 1 */
    uint32_t count;    /* at least 1 */
    uint32_t argument; /* see the verb; 0 otherwise */
};

/* Write CONSUMER_VERB_SIZE bytes. */
uint8_t *consumer_verb_put(uint8_t *p, const struct consumer_verb *v);

/* Take the next verb off the front of `*rest`. -EPROTO: cut short, an unknown verb, first or
 * count 0, or a range that runs over 64 bits; *reterr_why is a static text. Whether the numbers
 * have been delivered is the caller's to check. */
int consumer_verb_next(struct slice *rest, struct consumer_verb *ret, const char **reterr_why);

/* The code of an ERROR frame for `r`: RS_REJECTED (nobody has the message), RS_INVALID, or
 * RS_CANCELED for losses, and for any refusal where `partly` says that some queues accepted.
 * RS_APPLICATION_ERROR for what is not in the list. */
uint32_t reason_rs_code(enum reason r, bool partly);

#endif
