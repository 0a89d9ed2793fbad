/* outcome.h - what an attempt's end means: for its message, and for the endpoint.
 *
 * Thread   Any; pure. Time and chance are arguments. */
#ifndef BROKERD_WEBHOOKS_OUTCOME_H
#define BROKERD_WEBHOOKS_OUTCOME_H

#include "brokerd/webhooks/pace.h"
#include "brokerd/webhooks/spec.h"

/* How an attempt ended. */
enum attempt_end {
    ATTEMPT_ANSWERED, /* with a status */
    ATTEMPT_TIMED_OUT,
    ATTEMPT_FORBIDDEN, /* all its addresses are ones that it may not call */
    ATTEMPT_UNREACHED, /* no name, no route, refused, reset.. */
    ATTEMPT_TLS,       /* no trust in who answered */
    ATTEMPT_MALFORMED, /* what came is no answer, or one without end */
    ATTEMPT_NO_MEMORY, /* it could not even be made */
};

/* A word for people and counters: "answered", "timeout".. Static. */
const char *attempt_end_name(enum attempt_end end);

enum verdict {
    VERDICT_DELIVERED,
    VERDICT_RETRY, /* later, if the plan has another attempt */
    VERDICT_GONE,  /* it wants no more of anything */
};

struct outcome_judged {
    enum verdict verdict;
    enum pace_outcome pace;
};

/* `status` counts where it was answered. */
struct outcome_judged outcome_judge(enum attempt_end end, unsigned status);

enum { RETRY_AFTER_MAX_S = 24 * 3600 };

/* The value of Retry-After, seconds or a date, as ms from now, at most RETRY_AFTER_MAX_S; -1: it is
 * neither. */
int64_t retry_after_ms(struct slice value, int64_t wall_ms);

/* Is there another attempt after attempt number `attempt` (from 1)? */
bool retry_is_left(const struct webhook_spec *s, uint32_t attempt);

/* How long until it: as planned, more or less; not sooner than the endpoint asked for (ms, or
 * below 0). */
uint32_t retry_delay(const struct webhook_spec *s, uint32_t attempt, int64_t retry_after,
                     uint32_t random);

#endif
