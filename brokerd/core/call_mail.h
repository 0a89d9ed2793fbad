/* call_mail.h - what calls say between cores: payloads and openings packed into entries.
 *
 * Owner    As mail.h says. Views unpacked point into the entry.
 * Errors   false: no memory, or no room on the way; nothing was posted.
 * Thread   Filled by the poster's thread, read by the taker's. */
#ifndef BROKERD_CORE_CALL_MAIL_H
#define BROKERD_CORE_CALL_MAIL_H

#include "brokerd/core/mail.h"
#include "brokerd/core/service.h"

/* An opening for `to`; MAIL_CALL_OPEN or MAIL_CALL_BACK. */
struct call_route {
    handle_t caller, server, place;
    uint8_t tries;
    bool more, gone;
};
bool call_mail_open(struct core *c, unsigned to, enum mail_kind kind, const struct call_route *at,
                    const struct call_request *r);
struct call_request call_mail_request(const struct mail_call_open *m);
struct call_payload call_mail_payload(const struct packed_payload *p, const uint8_t *bytes);

/* To the other side of `k`, which is known. */
bool call_mail_next(struct call *k, const struct call_payload *p, bool complete);
/* What it owes, as far as it goes, in order. */
bool call_mail_owed(struct call *k);
bool call_mail_error(struct core *c, handle_t to, const struct call_error *e);
/* n, taken, ended. */
bool call_mail_word(struct core *c, enum mail_kind kind, handle_t to, uint64_t n, handle_t other);

/* Drop what an entry of calls refers to; others are not looked at. */
void call_mail_release(struct entry *e);

#endif
