/* subscription.h - one stream of messages down, seen from inside.
 *
 * Shape    Lives in broker.subscriptions from broker_subscribe() until the engine frees it; a lost
 *          connection takes its stream, not itself. Given back in the middle of a turn it stays
 *          in the list, marked `gone`, until the turn's end: so the engine's walks are safe.
 * Credit   `credit` is what the broker may still send; `taken` what the program has dealt with and
 *          the broker has not been told of. Together with what is under way they are the window.
 * Numbers  The k-th delivery of a connection is number base + k to the program. */
#ifndef BROKER_CLIENT_SUBSCRIPTION_H
#define BROKER_CLIENT_SUBSCRIPTION_H

#include "libbroker/client/client.h"
#include "libbroker/wire/broker_rs.h"

enum cl_subscription_kind {
    CL_FILTERS, /* subscribe/FILTER: what is missed while disconnected is a gap */
    CL_QUEUE,   /* consume/QUEUE */
    CL_REPORT,  /* any other stream: ends with its connection */
};

/* What waits for broker_next(): a message, or a gap. */
struct cl_item {
    STAILQ_ENTRY(cl_item) link;
    broker_message *m; /* NULL: a gap */
    struct broker_gap gap;
};

struct broker_subscription {
    struct cl_stream stream;
    broker *b;
    TAILQ_ENTRY(broker_subscription) link;
    TAILQ_ENTRY(broker_subscription) dirty_link;
    enum cl_subscription_kind kind;
    bool manual_ack, manual_credit;
    bool dirty;    /* in broker.dirty_subscriptions */
    bool was_open; /* on an earlier connection */
    bool missed;   /* a gap after a reconnect is still to be told */
    bool ended;    /* no more will come; then: */
    int end_error, end_reason;
    atomic_bool gone; /* given back; read without the lock in a run */
    uint32_t window;
    uint32_t taken;
    uint64_t credit;
    uint64_t debt; /* granted to the broker in advance: the next grants are smaller by it */
    atomic_uint_fast64_t number; /* of the last delivery; written by the driver only */
    uint64_t base;
    broker_message_fn *on_message;
    broker_gap_fn *on_gap;
    broker_end_fn *on_end;
    void *user;
    STAILQ_HEAD(, cl_item) items;
    size_t n_items;
    struct broker_gap last_gap;
    struct cl_buf verbs;       /* encoded, to be sent */
    struct consumer_verb last; /* the last of them; kind 0: none */
    char *topic;               /* what deliveries need not say; NULL */
    char end_text[CL_TEXT_MAX];
    size_t metadata_n, data_n; /* of the request, kept to ask again */
    uint8_t request[];
};

/* The program has dealt with `n` messages: let the broker send as many more, in due course. */
void cl_subscription_taken(broker_subscription *s, uint64_t n);

/* No more will come: tell the program, once. */
void cl_subscription_end(broker_subscription *s, int error, int reason, const char *text);

/* Tell of a gap. */
void cl_subscription_gap(broker_subscription *s, uint64_t count, int reason);

/* Drop verbs that were not sent. */
void cl_subscription_drop_verbs(broker_subscription *s);

/* Drop what waits for broker_next(). */
void cl_subscription_drop_items(broker_subscription *s);

#endif
