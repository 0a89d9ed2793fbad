/* receipt.h - what names a delivery to those who come by HTTP.
 *
 * Why      Whoever received a message settles it later, by any connection, and a browser says by
 * one how far it got (Last-Event-ID). Shape    32 characters that stand in a path as they are:
 * base64url of a check, the delivery's tap and its number. The check is keyed and has the queue's
 * name in it: a receipt of another queue, of an earlier start of the broker, or one that somebody
 * made up is none. Thread   Any; pure. */
#ifndef BROKERD_DOORS_HTTP_RECEIPT_H
#define BROKERD_DOORS_HTTP_RECEIPT_H

#include "brokerd/core/core.h"

enum { RECEIPT_SIZE = 32 };

/* Write the receipt of a delivery of `queue`; `seed` is the broker's. */
void receipt_put(uint64_t seed, struct slice queue, const struct delivery_ref *ref,
                 uint8_t to[RECEIPT_SIZE]);

/* Read one. -EPROTO: it is none of that queue. */
int receipt_read(uint64_t seed, struct slice queue, struct slice text, struct delivery_ref *ret);

#endif
