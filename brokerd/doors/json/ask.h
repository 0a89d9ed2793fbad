/* ask.h - what a control message, or an event's `meta`, says.
 *
 * Why      What is to be understood is small, and becomes jansson's objects; payloads do not.
 * Shape    The members of one JSON object: `data`, `base64` and `topic` as they came, the others
 *          loaded. A reader takes those it knows; what is left are options, or mistakes.
 * Owner    struct jask holds its objects, from jask_load() to jask_free(); what it returns borrows.
 * Errors   0, or -EINVAL (-ENOMEM) with *ret_why and, where one is known, the place.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_JSON_ASK_H
#define BROKERD_DOORS_JSON_ASK_H

#include "brokerd/doors/json/say.h"

#include <jansson.h>

struct jask {
    struct slice object; /* as it came */
    struct slice data;   /* a value as it came; empty: none */
    struct slice base64; /* between its quotes, as it came; p NULL: none */
    struct slice topic;  /* a value as it came; empty: none */
    json_t *members;     /* the others, and the topic again, as far as nobody has taken them */
    json_t *taken;       /* those somebody has */
    struct jabout about; /* as far as is known, for what may be wrong */
    uint8_t *own;        /* its headers, written */
};

/* Read `object`, which has been checked; it may be anything. */
int jask_load(struct jask *a, struct slice object, struct refusal *ret_why);
void jask_free(struct jask *a);

/* A member taken out of what is left. Absent: *ret_has is false, and 0 where it may be. */
int jask_text(struct jask *a, const char *name, bool needed, struct slice *ret,
              struct refusal *ret_why);
int jask_number(struct jask *a, const char *name, uint64_t max, bool *ret_has, uint64_t *ret,
                struct refusal *ret_why);

int jask_flag(struct jask *a, const char *name, bool *ret, struct refusal *ret_why);

/* `topic`: a text, or an array of at most `max`; *ret_n is 0 without one. They stay valid. */
int jask_topics(struct jask *a, struct slice *ret, unsigned max, unsigned *ret_n,
                struct refusal *ret_why);

/* The headers and what is left as options, in neutral form, options with `$`. `is_option` knows
 * which there are. Kept by `a`. */
int jask_headers(struct jask *a, bool (*is_option)(struct slice name), struct slice *ret,
                 struct refusal *ret_why);

/* Nothing must be left. */
int jask_done(struct jask *a, struct refusal *ret_why);

#endif
