/* request.h - one attempt as an HTTP request: its header fields and its body.
 *
 * Shape    Plain: the payload as it is, with its content type. CloudEvents, binary: the same, with
 *          the attributes as fields `ce-NAME`. CloudEvents, structured: one JSON object around it.
 *          In all of them webhook-id, webhook-timestamp and, with a secret, webhook-signature over
 *          the very bytes of the body; the id and the body are the same in every attempt.
 * Owner    A struct request keeps its memory to be built again; a body it points to may be the
 *          event's own payload.
 * Errors   0 or -errno.
 * Thread   One at a time; pure. */
#ifndef BROKERD_WEBHOOKS_REQUEST_H
#define BROKERD_WEBHOOKS_REQUEST_H

#include "brokerd/core/core.h"
#include "brokerd/webhooks/spec.h"

enum {
    REQUEST_HEAD_MAX = 16 * 1024, /* bytes of fields; a message's own that do not fit stay out */
    REQUEST_ID_MAX = 32,
};

/* What is to be told: a message. All borrowed. */
struct request_event {
    struct slice topic, data, headers;
    struct ctype type;
    uint64_t id;
    int64_t time_ms; /* wall clock, when it was published */
    uint32_t attempt;
    struct slice gaps; /* lost before it: "3 drop-oldest", or empty */
};

struct request {
    char *fields; /* `NAME: VALUE` one after the other, each terminated */
    size_t fields_n, fields_cap;
    unsigned fields_count;
    unsigned left_out; /* of the message's headers: too long, or none that HTTP can carry */
    struct slice body;
    uint8_t *own_body; /* body is here, or NULL */
    char id[REQUEST_ID_MAX];
};

/* Make it of an event, for an attempt at `wall_ms`. -ENOMEM. */
int request_build(struct request *r, const struct webhook_spec *s, const struct request_event *e,
                  int64_t wall_ms);

/* Release its memory; zeroed is fine. */
void request_fini(struct request *r);

#endif
