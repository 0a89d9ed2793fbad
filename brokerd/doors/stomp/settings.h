/* settings.h - what a SUBSCRIBE asks of its queue, as own settings of the core.
 *
 * Shape    RabbitMQ's x-arguments, auto-delete and exclusive, and the broker's own keys as
 *          `broker-KEY`.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_STOMP_SETTINGS_H
#define BROKERD_DOORS_STOMP_SETTINGS_H

#include "brokerd/doors/stomp/subscribe.h"

enum { STOMP_SETTINGS_MAX = 4096 };

/* Does it ask for what only a queue with a name can do? */
bool stomp_settings_need_queue(const struct stomp_frame *f);

/* The settings in neutral form, in `room` of STOMP_SETTINGS_MAX bytes. False: the peer was told
 * what is wrong. */
bool stomp_settings_read(struct stomp_sub *s, const struct stomp_frame *f, uint8_t *room,
                         struct slice *ret);

#endif
