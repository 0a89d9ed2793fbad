/* event.h - a message as a server-sent event (HTML, "Server-sent events").
 *
 * Shape    As data, for listeners of a topic:
 *              id: RECEIPT                   of a queue's message
 *              event: TOPIC                  or `TOPIC base64`, which no topic can be: the data is
 * not meta: {"type":..,"headers":..}   what browsers leave out and others may read data: a line of
 * the payload data: the next As JSON, for listeners of all: what the JSON door says, as data of an
 * event without name id: RECEIPT data: {"id":TOPIC,"data":..,"meta":{..}} Text goes as it is,
 * unless it has a carriage return: readers would take it for the end of a line. That, and what is
 * no UTF-8, is base64. Owner    Everything borrows. Thread   Any; pure. */
#ifndef BROKERD_DOORS_HTTP_EVENT_H
#define BROKERD_DOORS_HTTP_EVENT_H

#include "brokerd/core/core.h"
#include "brokerd/doors/body.h"
#include "brokerd/doors/facts.h"
#include "brokerd/doors/http/receipt.h"

/* What holds for all messages of a delivery. */
struct event_run {
    const struct delivery *d;
    bool is_queue, facts, as_json;
    struct jbody_type type;
    char time[FACT_TIME_MAX];
};

void event_run_init(struct event_run *r, const struct delivery *d, bool is_queue, bool facts,
                    bool as_json);

/* Message `i` of it, looked at. */
struct event {
    const struct event_run *run;
    uint32_t i;
    struct jbody body;
    bool is_base64;    /* as data */
    const uint8_t *id; /* RECEIPT_SIZE characters; NULL: none */
};

void event_init(struct event *e, const struct event_run *r, uint32_t i, const uint8_t *id);

/* Bytes it takes, at most, and writing it; returns the byte after. */
size_t event_room(const struct event *e);
uint8_t *event_put(const struct event *e, uint8_t *p);

/* The members that the broker adds: attempt, and the facts if they were asked for, each after a
 * comma unless a brace stands before `p`; EVENT_OWN_MAX bytes at most. `id` is what the message's
 * number is called: an answer to who polls has another id. */
enum { EVENT_OWN_MAX = 256 };
uint8_t *event_put_own(const struct event_run *r, uint32_t i, struct slice id, uint8_t *p);

#endif
