/* replay.h - a consumer has its durable queue go on at another message: `$from`.
 *
 * Why      What has been consumed may be wanted again: from the beginning, from a time on.
 * Shape    The only consumer of a queue may ask for it when it attaches. Its tap is stopped, all
 *          that is in memory is let go of, and the store is asked (rewind); when it answers, the
 *          queue stands as it says, and the consumer gets what there is.
 * Thread   The queue's worker; replay_parse(): any. */
#ifndef BROKERD_CORE_REPLAY_H
#define BROKERD_CORE_REPLAY_H

#include "brokerd/core/state.h"

/* Read what `$from` says. -EINVAL: it is none of what it may be. */
int replay_parse(struct slice value, struct replay *ret);

/* May a consumer that comes now have it? -EINVAL, *why. */
int replay_check(const struct queue *q, const struct replay *r, struct refusal *why);

/* For a new tap, the only one, that replay_check() allowed. -ENOMEM. */
int replay_begin(struct tap *t, const struct replay *r);

/* STORED_REWOUND. */
void replay_take(struct queue *q, const struct stored *a);

#endif
