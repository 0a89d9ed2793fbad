/* field.h - header fields of a request: what may stand in one.
 *
 * Why      Names and values come from users and from publishers; one byte too many would be a
 * field, or a request, of their own. Thread   Any; pure. */
#ifndef BROKERD_WEBHOOKS_FIELD_H
#define BROKERD_WEBHOOKS_FIELD_H

#include <stdbool.h>

#include "libbroker/base/slice.h"

/* Is it a field's name (RFC 9110, 5.1: a token)? */
bool field_is_name(struct slice name);

/* May it be a field's value: no control characters but tabs, no blanks around it? */
bool field_is_value(struct slice value);

/* Do they name the same field, whatever the case? `lower` is in lower case. */
bool field_is(struct slice name, const char *lower);
/* Does the name begin so, whatever the case? */
bool field_starts(struct slice name, const char *lower);

/* Does the name belong to whoever makes the request: the connection's, the body's, the signature's
 * or the broker's own? */
bool field_is_ours(struct slice name);

/* Take `NAME: VALUE` apart. False: it is none. */
bool field_split(struct slice line, struct slice *name, struct slice *value);

/* May a user have every request bear this line? NULL, or static what is expected instead. */
const char *field_extra_error(struct slice line);

#endif
