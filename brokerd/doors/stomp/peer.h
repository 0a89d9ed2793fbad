/* peer.h - one STOMP connection: what its parts share.
 *
 * Why      A SEND, a subscription, a transaction are each a file of their own; here is what they
 *          have in common: the connection, its end, and the receipts.
 * Shape    States: opened, established (CONNECT accepted), leaving (DISCONNECT was read: nothing
 *          more is), over (net was told to close; only freed after it).
 *          Answers are written in the order of what they answer. Those that must wait, for messages
 *          to settle or a subscription to be ready, stand in a queue with all that come after them.
 * Owner    net owns the connection; the connection all else.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_STOMP_PEER_H
#define BROKERD_DOORS_STOMP_PEER_H

#include "brokerd/doors/door.h"
#include "brokerd/doors/stomp/destination.h"
#include "brokerd/doors/window.h"
#include "libbroker/base/list.h"
#include "libbroker/base/map.h"
#include "libbroker/wire/stomp.h"

enum {
    STOMP_SUBSCRIPTIONS_MAX = 10000, /* of a connection, and what else its limits say of streams */
    STOMP_ANSWERS_BYTES = 16 << 20,  /* of receipts that wait */
    STOMP_ID_MAX = 255,              /* bytes of the id of a subscription or transaction */
    STOMP_SESSION_TEXT = 16
};

struct stomp_memo;
struct stomp_transaction;

struct stomp_peer {
    struct link *link; /* with the endpoint, from CONNECT on */
    struct stomp_reader reader;
    struct block *block; /* that holds the bytes at hand, within on_bytes() */
    struct window window;
    struct deque answers;     /* struct stomp_answer */
    uint64_t answers_bytes;   /* of them, with their receipts */
    struct stomp_memo *memo;  /* what the last SEND said; NULL: none */
    struct map subscriptions; /* by id: struct stomp_sub */
    struct list transactions; /* struct stomp_transaction */
    struct list replies;      /* struct stomp_sub: of reply queues, by name */
    struct list calls;        /* struct stomp_call */
    unsigned transactions_n;
    unsigned consumers;         /* in the core */
    uint64_t held;              /* bytes of open transactions */
    uint64_t made;              /* names made so far */
    int64_t heard_ms;           /* when the last bytes came */
    int64_t beat_ms;            /* when we look next whether to send a heart-beat */
    uint64_t beat_end;          /* position of the output when we looked last */
    uint32_t beat_out, beat_in; /* periods, ms; 0: none */
    bool established : 1;
    bool leaving : 1;
    bool eof : 1; /* the client has ended its direction */
    bool cut : 1; /* what was left is the beginning of a frame */
    bool over : 1;
    bool draining : 1;
    bool waiting : 1; /* not read until a reply queue is there, or a call was answered */
    char session[STOMP_SESSION_TEXT + 1];
};

/* ------------------------------------------------------------------------------------ the end */

/* Send ERROR with `message` and a body, and the receipt that `f` (or NULL) asked for, then close.
 */
void stomp_fail(struct stomp_peer *c, const struct stomp_frame *f, const char *message,
                const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The same with a receipt's text, which may be empty; and counted as `as`. */
void stomp_end(struct stomp_peer *c, enum link_end as, struct slice receipt, const char *message,
               struct slice body);
void stomp_fail_answer(struct stomp_peer *c, struct slice receipt, const char *message,
                       struct slice body);

/* The same, for what the core or the door's parts refused. */
void stomp_refuse(struct stomp_peer *c, const struct stomp_frame *f, const struct refusal *why);
void stomp_complain(struct stomp_peer *c, const struct stomp_frame *f,
                    const struct stomp_complaint *why);
void stomp_fail_memory(struct stomp_peer *c);

/* -ENOMEM, -EPIPE and what core_publish() and core_attach() answer without a text of their own. */
void stomp_explain(int error, struct refusal *why);

/* ------------------------------------------------------------------------------------ answers */

#define STOMP_NO_ANSWER UINT64_MAX

/* The frame was processed: if it asked for a receipt, send it, after all that was asked before. */
void stomp_receipt(struct stomp_peer *c, const struct stomp_frame *f);

/* The answer to who asked for `receipt`, sent when `left` things have been done and all answers
 * before it are sent. STOMP_NO_ANSWER: no memory, the connection is over. */
uint64_t stomp_answer_new(struct stomp_peer *c, struct slice receipt, uint32_t left);

/* The receipt asked for, borrowed; empty for STOMP_NO_ANSWER. */
struct slice stomp_answer_receipt(struct stomp_peer *c, uint64_t answer);

/* One of these things was done. STOMP_NO_ANSWER is fine. */
void stomp_answer_done(struct stomp_peer *c, uint64_t answer);

/* One thing more: that the last `n` messages published settle (0: all before); or the one of the
 * last run after which `after` came, which is one of those counted already. False: no memory, the
 * connection is over. */
bool stomp_answer_await(struct stomp_peer *c, uint64_t answer, uint32_t n);
bool stomp_answer_await_one(struct stomp_peer *c, uint64_t answer, uint32_t after);

/* What it stands for is refused if no queue matches. */
void stomp_answer_requires(struct stomp_peer *c, uint64_t answer);

/* What it stands for goes to a reply queue. If that is gone when it comes there, nobody waits for
 * it any more: that is no refusal. */
void stomp_answer_is_reply(struct stomp_peer *c, uint64_t answer);

/* Close when all that waits has been answered: DISCONNECT. */
void stomp_answer_leave(struct stomp_peer *c, const struct stomp_frame *f);

/* Does something wait? */
bool stomp_answers_wait(const struct stomp_peer *c);

void stomp_answers_init(struct stomp_peer *c);
void stomp_answers_fini(struct stomp_peer *c);

/* For the window: `token` is an answer. */
void stomp_answer_settled(void *ctx, uint64_t token, const struct outcome *o);

/* ------------------------------------------------------------------------------------ frames */

/* Its value, or an empty one. */
struct slice stomp_get(const struct stomp_frame *f, struct slice name);

static inline bool stomp_is(const struct stomp_frame *f, struct slice name, struct slice value)
{
    struct slice is;

    return stomp_find(f, name, &is) && slice_eq(is, value);
}

/* The destination of a frame; false: the peer was told. */
bool stomp_destination_of(struct stomp_peer *c, const struct stomp_frame *f,
                          struct stomp_destination *ret);

/* CONNECT or STOMP, the first frame. */
void stomp_connect(struct stomp_peer *c, const struct stomp_frame *f);

/* Heart-beats: look, and say when next. */
int64_t stomp_beat(struct stomp_peer *c, int64_t now_ms);

/* Not to be read while `waiting`, or while the window is used up. */
void stomp_wait(struct stomp_peer *c, bool waiting);

/* The net knows a connection by the name that all doors share. */
static inline struct stomp_peer *stomp_peer_of(struct door_conn *d)
{
    return (struct stomp_peer *)(void *)d;
}

#endif
