/* message.h - messages that arrived, seen from inside.
 *
 * Shape    A handle has one message that it lends to callbacks, filled anew for each; who wants to
 *          keep it gets a copy.
 * Thread   The one that drives the handle. */
#ifndef BROKER_CLIENT_MESSAGE_H
#define BROKER_CLIENT_MESSAGE_H

#include "libbroker/client/client.h"

/* The message to lend; NULL without memory. */
broker_message *cl_message_new_lent(broker *b);

/* NULL is fine. */
void cl_message_free_lent(broker_message *m);

/* Make `m` a message without metadata; all is borrowed. `topic` (may be NULL) is the one for which
 * metadata need not say it; `s` is NULL for an answer. */
void cl_message_lend(broker_message *m, broker_subscription *s, const char *topic, uint64_t number,
                     struct slice data);

/* Take the metadata in; false if they are broken. */
bool cl_message_parse(broker_message *m, struct slice metadata);

/* Its first routing tag: the route of a request, which is no topic and is none afterwards. */
struct slice cl_message_take_route(broker_message *m);

/* The block of headers as it came (base/headers.h). */
struct slice cl_message_headers(const broker_message *m);

#endif
