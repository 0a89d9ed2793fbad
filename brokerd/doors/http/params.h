/* params.h - what a request asks for: the query's parameters, and the members of a JSON body.
 *
 * Why      Both say the same, and whoever types prefers the one, whoever programs the other.
 * Shape    A list of names with values. A reader takes those it knows; what is left are settings of
 *          a queue or subscription, as on the other doors, or mistakes.
 * Owner    struct params holds all of it, from params_read() to params_free(); slices borrow.
 * Errors   0, or -EINVAL (-ENOMEM) with *ret_why.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_HTTP_PARAMS_H
#define BROKERD_DOORS_HTTP_PARAMS_H

#include "brokerd/core/core.h"

#include <jansson.h>

enum { PARAMS_BODY_MAX = 65536 };

struct param {
    struct slice name, value;
    bool taken;
};

struct params {
    struct param *all;
    size_t n;
    uint8_t *text;    /* what was decoded */
    uint8_t *headers; /* what params_settings() wrote */
    json_t *body;     /* NULL: none */
};

/* Read both; an empty body is none. To be freed in any case. */
int params_read(struct params *p, struct slice query, struct slice body, struct refusal *ret_why);
void params_free(struct params *p);

/* Take the first of that name; false: there is none. */
bool params_take(struct params *p, const char *name, struct slice *ret);
/* A number from 1 to `most`, a time in ms from 0 to `most_ms` (with a unit, or plain ms): *ret
 * stays as it is where none is said. */
int params_count(struct params *p, const char *name, uint64_t most, uint64_t *ret,
                 struct refusal *ret_why);
int params_time(struct params *p, const char *name, int64_t most_ms, int64_t *ret,
                struct refusal *ret_why);
/* One of two words: *ret whether it is the second. */
int params_word(struct params *p, const char *name, const char *no, const char *yes, bool *ret,
                struct refusal *ret_why);

/* All that are called `filter`, appended to *ret_n of at most `most`. */
int params_filters(struct params *p, struct slice *ret, unsigned most, unsigned *ret_n,
                   struct refusal *ret_why);
/* All that is left is settings of a queue or subscription, facts and from: as headers with `$`, in
 * neutral form; *ret_facts: whether facts are wanted. Others are refused. */
int params_settings(struct params *p, enum policy_kind kind, struct slice *ret, bool *ret_facts,
                    struct refusal *ret_why);
/* Nothing must be left. */
int params_done(const struct params *p, struct refusal *ret_why);

#endif
