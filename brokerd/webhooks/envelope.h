/* envelope.h - a message as a CloudEvent (1.0): its attributes, and the JSON object around it.
 *
 * Why      Whoever takes events from many sources wants them to look alike.
 * Shape    id, source, type (the topic) and time are ours to say, unless the message has them
 *          already as headers `ce-NAME`: then it was a CloudEvent before it came here, and stays
 * the same one. Owner    Everything borrows, but for what envelope_json() makes. Thread   Any;
 * pure. */
#ifndef BROKERD_WEBHOOKS_ENVELOPE_H
#define BROKERD_WEBHOOKS_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbroker/base/slice.h"

enum { ENVELOPE_VALUE_MAX = 1024 };

struct envelope {
    const char *id, *source;
    struct slice topic, type, headers, data;
    int64_t time_ms; /* wall clock */
};

/* The i-th attribute that is ours to say; NULL past the last. */
const char *envelope_attribute(const struct envelope *e, size_t i);

/* Does the message itself say it? */
bool envelope_is_given(const struct envelope *e, const char *attribute);

/* Its value as of a field `ce-NAME`: percent-encoded where CloudEvents want it so. Returns its
 * length; it never is cut. */
int envelope_field_value(const struct envelope *e, const char *attribute, char *buf, size_t size);

/* The event as one JSON object, in memory that is the caller's to free: data that is JSON as it is,
 * text as a string, the rest as base64. -ENOMEM. */
int envelope_json(const struct envelope *e, uint8_t **ret, size_t *ret_n);

#endif
