/* name.h - which topics, filters, queue names and service names are valid, and what matches what.
 *
 * Why      Every door, the settings, the client and the CLI must agree on names, and must say the
 *          same thing about a bad one.
 * Shape    A name is UTF-8, 1 to 240 bytes, without blanks and control characters. Topics and
 *          filters are 1 to 16 levels separated by dots, none of them empty. In a filter `*` is
 *          one level and `#`, only as the last, is zero or more. Neither character stands
 *          anywhere else in any name: what looks like a pattern is one, or is refused.
 *          Names that begin with `$` belong to the broker.
 * Owner    All names are borrowed for the call; the texts returned are static.
 * Errors   A check returns NULL for a valid name, else a text that says what is wrong, fit for a
 *          peer ("topic has an empty level").
 * Thread   Any: pure functions. */
#ifndef BROKER_BASE_NAME_H
#define BROKER_BASE_NAME_H

#include <stdbool.h>

#include "libbroker/base/slice.h"

enum {
    NAME_MAX_BYTES = 240, /* of any name */
    NAME_MAX_LEVELS = 16, /* of a topic or filter */
};

/* Who brings the name: only the broker itself may publish to, or make, what begins with `$`. */
enum name_owner { NAME_OF_CLIENT, NAME_OF_BROKER };

/* Check a topic a message is published to. */
const char *name_topic_error(struct slice topic, enum name_owner owner);

/* Check a filter; one that begins with `$` is valid for everybody, rights decide. */
const char *name_filter_error(struct slice filter);

/* Check the name of a queue. It need not be a valid topic: its levels may be empty or many. */
const char *name_queue_error(struct slice queue, enum name_owner owner);

/* Check the name of a service: as a queue's, and without `/`, which ends it in a route. */
const char *name_service_error(struct slice service, enum name_owner owner);

/* Does `filter`, a valid one, match `topic`? The topic may be any bytes (a queue's name, which
 * the rules of the settings match too). A wildcard in the first level does not match what begins
 * with `$`. */
bool name_filter_matches(struct slice filter, struct slice topic);

/* Does `outer` match every topic that `inner` matches? Both are valid filters. A filter covers
 * itself; `#` covers all that does not begin with `$`. */
bool name_filter_covers(struct slice outer, struct slice inner);

/* No wildcard in `filter`, a valid one: it matches exactly the topic of the same bytes. */
bool name_is_literal(struct slice filter);

#endif
