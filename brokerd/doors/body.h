/* body.h - a message as members of a JSON object: its payload's shape, and what is said besides.
 *
 * Why      The JSON door writes it so, and HTTP where it answers in JSON.
 * Shape    `data` is the payload, or null where it is base64; then come type, options, headers and
 *          base64, as far as there are any: in `meta` of an event, beside `data` in all else.
 * Owner    Everything borrows.
 * Thread   Any; pure. */
#ifndef BROKERD_DOORS_BODY_H
#define BROKERD_DOORS_BODY_H

#include "brokerd/core/message.h"
#include "libbroker/wire/json_line.h"

struct jbody {
    struct slice payload, headers;
    struct slice type; /* to be said; empty: not */
    enum jline_shape shape;
};

/* What is known of a content type; for many payloads of one type. */
struct jbody_type {
    struct slice name;
    bool is_json;
    bool is_plain; /* application/json: not said where the value shows it */
};

struct jbody_type jbody_type(struct ctype t);

/* How the payload stands in a line. */
struct jbody jbody_of(struct slice payload, struct slice headers, const struct jbody_type *t);

/* Is anything to be said beside the payload? */
static inline bool jbody_says_more(const struct jbody *b)
{
    return b->headers.n > 0 || b->type.n > 0 || b->shape == JLINE_BASE64;
}

/* Bytes, at most, that `data` takes, and what is said beside it. */
size_t jbody_data_room(const struct jbody *b);
size_t jbody_more_room(const struct jbody *b);

/* Write them; each returns the byte after. What is beside are members, the first after a comma
 * unless a brace stands before `p`. */
uint8_t *jbody_put_data(uint8_t *p, const struct jbody *b);
uint8_t *jbody_put_more(uint8_t *p, const struct jbody *b);

/* A member: its name, after a comma unless a brace stands before `p`. */
uint8_t *jput_name(uint8_t *p, struct slice name);

/* Bytes as they are, and a number; each returns the byte after. */
uint8_t *jput(uint8_t *p, struct slice s);
uint8_t *jput_number(uint8_t *p, uint64_t n);

#endif
