/* address.h - which addresses a webhook may be sent to.
 *
 * Why      The URL comes from a user, and the broker stands inside of somebody's network: what it
 *          calls must not be what only the inside can reach (server-side request forgery).
 * Shape    One judgement, over a binary address, never over a text: made for the very address that
 *          is about to be connected to (post.c), so that what was checked is what is used. What is
 *          not public can be allowed, a range at a time.
 * Owner    Values; nothing is kept.
 * Thread   Any; pure. */
#ifndef BROKERD_WEBHOOKS_ADDRESS_H
#define BROKERD_WEBHOOKS_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "libbroker/base/slice.h"

/* Is it an address of the public internet? Not one that is loopback, private, link-local (where
 * clouds keep their metadata), shared, multicast, reserved or for documents only; nor an IPv6 one
 * that stands for such an IPv4 one. Any other family is not. */
bool address_is_public(const struct sockaddr *address);

/* A range of addresses: "10.0.0.0/8", "fd00::/8", "192.0.2.1". IPv4 is kept as mapped IPv6. */
struct cidr {
    uint8_t base[16];
    uint8_t bits; /* of base that count, 0 to 128 */
};

/* Read one. -EINVAL: it is none, or has bits set beyond its length. */
int cidr_parse(struct slice text, struct cidr *ret);

/* Is the address in it? An IPv4 address and the IPv6 one it is mapped to are the same. */
bool cidr_has(const struct cidr *range, const struct sockaddr *address);

enum { ADDRESS_TEXT_MAX = 64 };

/* For people: "192.0.2.1:80", "[::1]:80". Returns `buf`. */
const char *address_text(const struct sockaddr *address, char buf[ADDRESS_TEXT_MAX]);

#endif
