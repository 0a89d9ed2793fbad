/* transact.h - BEGIN, COMMIT, ABORT: what is held back until then.
 *
 * Shape    A list of messages and acks in their order. COMMIT carries them out; if the window is
 * used up meanwhile the connection is not read, and the COMMIT goes on when it is again. An ACK in
 * a transaction is noted at once, so that none is named twice, and forgotten with an ABORT. Thread
 * The connection's worker. */
#ifndef BROKERD_DOORS_STOMP_TRANSACT_H
#define BROKERD_DOORS_STOMP_TRANSACT_H

#include "brokerd/doors/stomp/subscribe.h"

enum {
    STOMP_TRANSACTIONS_MAX = 64,          /* open ones of a connection */
    STOMP_TRANSACTION_STEPS_MAX = 100000, /* messages and acks of one */
};

struct stomp_transaction;

/* Frames. False: not now. */
bool stomp_begin(struct stomp_peer *c, const struct stomp_frame *f);
bool stomp_commit(struct stomp_peer *c, const struct stomp_frame *f);
bool stomp_abort(struct stomp_peer *c, const struct stomp_frame *f);

/* A SEND in transaction `id`. False: not now. */
bool stomp_transaction_send(struct stomp_peer *c, const struct stomp_frame *f,
                            const struct stomp_destination *d, struct slice id);

/* The open transaction that a frame names. NULL: there is none, the peer was told. */
struct stomp_transaction *stomp_transaction_of(struct stomp_peer *c, const struct stomp_frame *f,
                                               struct slice id);

/* An ACK in it. */
void stomp_transaction_ack(struct stomp_peer *c, struct stomp_transaction *t,
                           const struct stomp_verb *v);

/* The subscription ends: its acks go out of all transactions. */
void stomp_transactions_drop(struct stomp_peer *c, const struct stomp_sub *s);
void stomp_transactions_fini(struct stomp_peer *c);

#endif
