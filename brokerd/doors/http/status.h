/* status.h - the numbers of HTTP for what the broker says.
 *
 * Thread   Any; pure. */
#ifndef BROKERD_DOORS_HTTP_STATUS_H
#define BROKERD_DOORS_HTTP_STATUS_H

#include "libbroker/base/reason.h"

/* Of a refusal; 500 for what is none. */
int status_of(enum reason reason);

/* The reason to say with a status of the engine's own. */
enum reason status_reason(int status);

/* The reason phrase of a status; static. */
const char *status_phrase(int status);

/* Seconds after which it may be tried again; 0: trying again is of no use. */
int status_retry_after(enum reason reason);

#endif
