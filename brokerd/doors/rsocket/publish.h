/* publish.h - messages up: fire-and-forget, request-response, request-channel.
 *
 * Shape    Fire-and-forget of a connection share one publisher that is told nothing. A
 *          request-response has a publisher of its own for its one message. A channel is a
 *          publisher with credit: struct publish.
 *          Hot path: publish_scan() takes consecutive plain messages as one run.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_PUBLISH_H
#define BROKERD_DOORS_RSOCKET_PUBLISH_H

#include "brokerd/doors/rsocket/confirm.h"
#include "brokerd/doors/rsocket/memo.h"

/* A publish request-response, until it is settled. */
struct once {
    struct stream base;
    struct publisher *p;
    bool require; /* no-match is a refusal */
};

struct publish {
    struct stream base;
    struct publisher *p;
    struct memo *memo; /* metadata of the last message that had any, or NULL */
    struct confirms confirms;
    uint64_t sent;     /* messages taken */
    uint64_t withheld; /* granted by the core, not yet passed on */
    bool is_queue;     /* targets are queues */
    bool target_due;   /* the next run goes to another target than the last */
    bool up_done;      /* the peer sends no more, or we take no more */
    uint8_t target_n;  /* the one target of the channel; 0: messages name theirs */
    uint8_t target[];
};

/* A request as request.c hands it over: its route understood. */
struct publish_request {
    uint32_t id;
    bool is_queue;
    struct slice target; /* empty: each message names its own (channels only) */
    const struct rs_frame *frame;
    struct block *block; /* that holds its data, or NULL */
    const struct meta *meta;
};

void publish_forget(struct peer *c, const struct publish_request *r);
void publish_once(struct peer *c, const struct publish_request *r);
void publish_channel(struct peer *c, const struct publish_request *r);

/* A whole PAYLOAD on a channel: a message, or the end, or both. */
void publish_payload(struct publish *s, const struct rs_frame *f, struct block *block);

/* The peer's credit for confirms. */
void publish_credit(struct publish *s, uint32_t n);

/* The broker takes no more messages (drain): CANCEL, then confirms, then COMPLETE. */
void publish_drain(struct publish *s);

/* A message to a topic it names itself, on a channel without one. */
void publish_channel_to(struct publish *s, struct slice topic, const struct run *run);

/* A run in the same way as the messages before it. */
void publish_channel_run(struct publish *s, const struct run *run);
void publish_forget_run(struct peer *c, const struct run *run);

/* Give up what fire-and-forget of the connection needed; fine if there is nothing. */
void publish_forget_end(struct peer *c);

/* Publish the messages at the front of `in` that go on as the one before: plain payloads on the
 * channel c->hot, or with the metadata it knows; fire-and-forget with the metadata of the last.
 * Returns the bytes used, 0 if the first frame is none of these (or not all there). */
size_t publish_scan(struct peer *c, struct slice in, struct block *block);

/* The core's callbacks for publishers of this door; ctx is the struct stream. */
void publish_settled(void *ctx, uint64_t upto, const struct outcome *o, size_t n);
void publish_granted(void *ctx, uint32_t n);

#endif
