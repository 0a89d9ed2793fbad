/* consume.h - what comes down: subscriptions, queues, and what is said about them.
 *
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_JSON_CONSUME_H
#define BROKERD_DOORS_JSON_CONSUME_H

#include "brokerd/doors/json/ask.h"

struct jsub {
    struct jpeer *peer;
    struct jsub *next;  /* in peer->ended */
    struct consumer *k; /* NULL: gone */
    uint64_t number;
    bool is_queue;
    bool facts; /* each delivery says its number, its time and its id */
    bool told;  /* $subscribed or $consumed has been said */
    bool gone;
    uint8_t queue_n;
    uint32_t topic_n; /* what was asked for, as it was written; several until it is told */
    uint8_t *asked;   /* queue and topic */
};

/* `$subscribe` and `$consume`, then what is done with the subscription. */
int jsub_subscribe(struct jpeer *c, struct jask *a, struct refusal *ret_why);
int jsub_consume(struct jpeer *c, struct jask *a, struct refusal *ret_why);
int jsub_unsubscribe(struct jpeer *c, struct jask *a, struct refusal *ret_why);
int jsub_credit(struct jpeer *c, struct jask *a, struct refusal *ret_why);
int jsub_settle(struct jpeer *c, struct jask *a, enum ack_verb verb, struct refusal *ret_why);

/* Say that it is ready, if that has not been said. */
void jsub_tell(struct jsub *s);

/* Take it out of the core and free it. Not from the core's callbacks. */
void jsub_free(struct jsub *s);

/* The core's callbacks; ctx is the struct jsub. */
uint64_t jsub_deliver(void *ctx, const struct delivery *d);
void jsub_ready(void *ctx);
void jsub_closed(void *ctx, const struct refusal *why, uint64_t lost);

#endif
