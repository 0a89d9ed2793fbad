/* destination.h - where a frame goes to or comes from: "/topic/orders.eu", as RabbitMQ's plugin has
 * it.
 *
 * Shape        /topic/KEY               topic KEY; subscribed to, KEY is a filter
 *              /queue/NAME              that queue, which is made if need be
 *              /amq/queue/NAME          that queue, which must be there
 *              /exchange/EX[/KEY]       the exchanges that are always there, as topics:
 *                  amq.topic            KEY
 *                  amq.direct           amq.direct.KEY
 *                  amq.fanout           amq.fanout, whatever the key
 *              /temp-queue/NAME         an own queue for answers, in `reply-to` only
 *              /reply-queue/NAME        what that becomes for who answers
 *              /service/NAME/METHOD     a call
 *          Between slashes what is not plain is written %XX.
 * Owner    Plain values.
 * Thread   Any; pure. */
#ifndef BROKERD_DOORS_STOMP_DESTINATION_H
#define BROKERD_DOORS_STOMP_DESTINATION_H

#include "brokerd/core/core.h"
#include "libbroker/base/name.h"

enum stomp_place {
    PLACE_TOPIC,
    PLACE_QUEUE,      /* made if need be */
    PLACE_KNOWN,      /* a queue that must be there */
    PLACE_TEMP_QUEUE, /* the name is the client's own */
    PLACE_REPLY_QUEUE,
    PLACE_SERVICE, /* name: "NAME/METHOD" */
};

struct stomp_destination {
    enum stomp_place place;
    uint16_t name_n;
    char name[NAME_MAX_BYTES * 2]; /* topic, filter or queue; not checked for being a good one */
};

enum { STOMP_DESTINATION_TEXT = 6 * NAME_MAX_BYTES + 32 }; /* of one written */

/* What is wrong with a destination: RabbitMQ's words for the `message` of an ERROR, and its body.
 */
struct stomp_complaint {
    const char *message;
    char body[512];
};

/* Read `text`. -EINVAL: *ret_why. */
int stomp_destination_read(struct slice text, struct stomp_destination *ret,
                           struct stomp_complaint *ret_why);

static inline struct slice stomp_destination_name(const struct stomp_destination *d)
{
    return slice_of(d->name, d->name_n);
}

/* Write the destination of a message to `topic`, or of one sent to `queue` itself, which has the
 * topic of that name. Not terminated; returns its bytes, STOMP_DESTINATION_TEXT at most. */
size_t stomp_destination_put(char *to, struct slice topic, bool is_queue);

#endif
