/* subscribe.h - messages down: SUBSCRIBE, UNSUBSCRIBE, ACK, NACK.
 *
 * Shape    One struct stomp_sub a subscription: a consumer of the core, and what its MESSAGE frames
 *          say. deliver.c writes them.
 *          /topic with automatic acks is a plain subscription. Where the client acknowledges, or
 * the subscription is durable, a queue of its own is bound to the topic; it goes with the
 *          subscription, unless that is durable.
 *          The numbers of deliveries are those of the core, and the end of each message-id. Which
 * of them are acknowledged is noted here, since another ACK for one is an error. Thread   The
 * connection's worker. */
#ifndef BROKERD_DOORS_STOMP_SUBSCRIBE_H
#define BROKERD_DOORS_STOMP_SUBSCRIBE_H

#include "brokerd/doors/stomp/peer.h"

enum stomp_ack_mode { STOMP_AUTO, STOMP_CLIENT, STOMP_INDIVIDUAL };

enum { STOMP_NUMBER_TEXT = 16 }; /* hex digits at the end of a message-id */

struct stomp_sub {
    struct stomp_peer *peer;
    struct consumer *k;      /* NULL: it is gone */
    struct map_entry *entry; /* in peer->subscriptions, by what its client calls it; NULL: a reply
                              * queue's */
    struct list_node link;   /* in peer->replies */
    uint64_t answer;         /* to be sent when it is ready, or STOMP_NO_ANSWER */
    uint64_t delivered;      /* deliveries so far */
    uint64_t upto;           /* STOMP_CLIENT: acknowledged up to here */
    struct deque acked;      /* STOMP_INDIVIDUAL: words of 64 deliveries, a bit for each */
    uint8_t mode;            /* enum stomp_ack_mode */
    bool is_limited;         /* by prefetch-count: acks give credit back */
    bool is_ready;
    bool has_id;     /* its MESSAGE frames name it */
    bool goes;       /* the queue is removed with it */
    bool is_durable; /* it is kept until UNSUBSCRIBE */
    uint8_t queue_n;
    uint16_t id_n, prefix_n;
    char queue[NAME_MAX_BYTES]; /* the queue consumed, queue_n bytes; 0: a plain subscription */
    char text[];                /* the id (id_n), the message-id without its number (prefix_n) */
};

static inline struct slice stomp_sub_id(const struct stomp_sub *s)
{
    return slice_of(s->text, s->id_n);
}

static inline struct slice stomp_sub_prefix(const struct stomp_sub *s)
{
    return slice_of(s->text + s->id_n, s->prefix_n);
}

/* Frames; they are always used. */
bool stomp_subscribe(struct stomp_peer *c, const struct stomp_frame *f);
bool stomp_unsubscribe(struct stomp_peer *c, const struct stomp_frame *f);
bool stomp_ack(struct stomp_peer *c, const struct stomp_frame *f); /* NACK, too */

/* What an ACK or NACK names: `count` deliveries from `first` on, noted as acknowledged. */
struct stomp_verb {
    struct stomp_sub *sub;
    uint64_t first;
    uint32_t count;
    enum ack_verb verb;
};

/* Tell the core. */
void stomp_verb_do(struct stomp_peer *c, const struct stomp_verb *v);
/* It was not meant: they are not acknowledged. */
void stomp_verb_forget(const struct stomp_verb *v);

/* A subscription's struct for `id` (may be empty) with the message-id's prefix made. NULL without
 * memory. Nothing refers to it. */
struct stomp_sub *stomp_sub_new(struct stomp_peer *c, struct slice id, struct slice name,
                                enum stomp_ack_mode mode);
/* The core has a consumer more (or one less) of this connection's. False: the peer was told. */
bool stomp_consumes(struct stomp_peer *c, int more);

/* End it: what is unacknowledged goes back. */
void stomp_sub_end(struct stomp_sub *s);
void stomp_subs_fini(struct stomp_peer *c);

/* Headers in neutral form as the protocol's, but those that MESSAGE has for itself. Four times
 * their bytes are enough. */
uint8_t *stomp_put_headers(uint8_t *p, enum stomp_version v, struct slice headers);

/* The core's callbacks; ctx is the struct stomp_sub. */
uint64_t stomp_deliver(void *ctx, const struct delivery *d);
void stomp_sub_ready(void *ctx);
void stomp_sub_closed(void *ctx, const struct refusal *why, uint64_t lost);

#endif
