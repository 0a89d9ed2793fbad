/* consume.h - consumers' inner side: from being named to being attached, and credit lent to a
 * queue on another worker.
 *
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_CONSUME_H
#define BROKERD_CORE_CONSUME_H

#include "brokerd/core/state.h"

struct mail_ack;
struct mail_attach;
struct mail_closed;
struct mail_deliver;
struct mail_tap;
struct named;

/* The policy of a queue of that name, or of a subscription to that filter: the settings', with the
 * `$` headers of its maker applied as far as they allow. *facts: whether deliveries must carry
 * facts. -EINVAL, *why. */
int consume_policy(struct core *c, enum policy_kind kind, struct slice name, struct slice headers,
                   struct queue_policy *ret, bool *facts, struct refusal *why);

/* Keep those of the headers that are settings with the queue, in place of others. -ENOMEM. */
int consume_keep_wish(struct queue *q, struct slice headers);

/* The consumer's queue is known, or will not be: attach it there, or end it. */
void consumer_named(struct consumer *k, struct named *n);

/* Deliveries up to `number` are at the socket, `bytes` of payload since the last. */
void consumer_written(struct consumer *k, uint64_t number, uint64_t bytes);

/* Lend the queue's worker as much credit as it may have. */
void consumer_lend(struct consumer *k);

/* Something has changed that may let it go on: room, or credit. */
void consumer_look(struct consumer *k);

/* One more worker knows of the consumer's filters. */
void consumer_seen(struct consumer *k);

/* core_ack() of deliveries that have been made, here or by mail. *ret_vain: how many of them were
 * not settled by it, as far as is known here. -ENOMEM. */
int consumer_ack(struct consumer *k, const struct ack *a, uint32_t *ret_vain);

/* Tell doors of consumers that became ready. */
void consumer_tell_ready(struct core *c);

/* The queue has ended it: tell the door and free it. Its tap is the caller's to close. */
void consumer_closed(struct consumer *k, const struct refusal *why, uint64_t lost);

/* It goes: by its own wish, or with its connection (then what is unwritten is lost or goes
 * back, too). Frees it, and its queue if that is anonymous. */
void consumer_leave(struct consumer *k, bool with_connection);

/* From the queue's worker to the consumer's. */
void consumer_take_attached(struct core *c, const struct mail_tap *m);
void consumer_take_ready(struct core *c, const struct mail_tap *m);
void consumer_take_deliver(struct core *c, struct mail_deliver *m);
void consumer_take_closed(struct core *c, const struct mail_closed *m);

/* From the consumer's worker to the queue's. */
void tap_take_attach(struct core *c, const struct mail_attach *m);
void tap_take_credit(struct core *c, const struct mail_tap *m);
void tap_take_written(struct core *c, const struct mail_tap *m);
void tap_take_ack(struct core *c, const struct mail_ack *m);
void tap_take_detach(struct core *c, const struct mail_tap *m);
/* One more worker knows of the bindings that came with a remote consumer. */
void tap_seen(struct tap *t);

#endif
