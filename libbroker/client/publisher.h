/* publisher.h - a stream of messages up, seen from inside.
 *
 * Shape    Messages count from 1 for the life of the publisher:
 *
 *              1 ....... settled ....... sendable ....... published
 *              | forgotten | the broker has them | wait for credit |
 *                            or will, soon
 *
 *          All after `settled` are kept in `q`, encoded. On a connection the broker counts from
 *          1 again: its number k is ours base + k. A message without a topic goes where the one
 *          before it went; the first of each chunk of `q` always says its topic, so that writing
 *          can begin anew anywhere.
 * Thread   Under the handle's lock. */
#ifndef BROKER_CLIENT_PUBLISHER_H
#define BROKER_CLIENT_PUBLISHER_H

#include "libbroker/base/name.h"
#include "libbroker/client/client.h"

struct broker_publisher {
    struct cl_stream stream;
    broker *b;
    TAILQ_ENTRY(broker_publisher) link;
    TAILQ_ENTRY(broker_publisher) dirty_link;

    uint64_t fast; /* messages that may be taken without looking at anything else */
    uint64_t published, sendable, settled, base;
    uint64_t credit; /* what the broker takes beyond `sendable` */
    struct cl_outq q;

    bool dirty; /* in broker.dirty_publishers */
    bool to_queue;
    bool loss_only;    /* do not tell of messages that no queue matched */
    bool any_required; /* unless one of them had `require`: then that is a refusal */
    bool granted;      /* the broker has granted credit on this stream */
    bool stopped;      /* and has taken it back: it is about to stop */
    bool completing;   /* our COMPLETE is queued */
    bool ended;        /* failed for good */
    bool gone;         /* given back */
    int64_t reopen_at; /* CL_NEVER */
    size_t max_messages, max_bytes;
    broker_confirm_fn *on_confirm;
    broker_publisher_end_fn *on_end;
    void *user;
    struct broker_publisher_stats stats; /* all but published, settled, credit */
    struct cl_buf outcomes;              /* of one confirm */
    size_t topic_n;                      /* of the message before; 0: none yet */
    char topic[NAME_MAX_BYTES + 1];
    char default_topic[NAME_MAX_BYTES + 1]; /* "" for none */
};

/* Work out `fast` anew, after anything it depends on has changed. */
void cl_publisher_refresh(broker_publisher *p);

/* It has something to write. */
void cl_publisher_mark(broker_publisher *p);

/* Let what waits for credit go, as far as credit reaches. */
void cl_publisher_release(broker_publisher *p);

/* Say COMPLETE if it was given back and nothing waits any more. */
void cl_publisher_complete(broker_publisher *p);

/* Ask for a stream, and make ready to write again what has not settled (resend.c). */
void cl_publisher_open(broker_publisher *p);

/* It can publish no more: what has not settled is unknown. */
void cl_publisher_end(broker_publisher *p, int error, const char *text);

/* The broker has given up this stream, but not us: another in a while. */
void cl_publisher_reopen_later(broker_publisher *p, int64_t delay_ms);

/* Forget chunks whose messages have all settled. */
void cl_publisher_forget(broker_publisher *p);

#endif
