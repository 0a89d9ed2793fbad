/* mime.h - the MIME types that RSocket's metadata extensions know by a number.
 *
 * Shape    One table, looked up both ways. Names compare byte for byte.
 * Thread   Any; pure. */
#ifndef BROKER_WIRE_MIME_H
#define BROKER_WIRE_MIME_H

#include "libbroker/base/slice.h"

enum {
    MIME_UNKNOWN = -1, /* has a name only */
    MIME_JSON = 0x05,
    MIME_OCTET_STREAM = 0x06,
    MIME_TEXT_PLAIN = 0x21,
    MIME_DATA_TYPE = 0x7a, /* message/x.rsocket.mime-type.v0: the request's own data type */
    MIME_ACCEPT = 0x7b,
    MIME_AUTH = 0x7c,
    MIME_ZIPKIN = 0x7d,
    MIME_ROUTING = 0x7e,
    MIME_COMPOSITE = 0x7f,
};

/* A MIME type: by id, by name, or (for what is well known) both. */
struct mime {
    int id;            /* 0x00..0x7f, MIME_UNKNOWN if it has none */
    struct slice name; /* empty for an id nobody has assigned; static or borrowed */
};

/* The name of a well-known id; NULL for one nobody has assigned. Static. */
const char *mime_name(int id);

/* The id of `name`, or MIME_UNKNOWN. */
int mime_id(struct slice name);

/* Both at once. */
struct mime mime_of(struct slice name);

#endif
