#include "brokerd/webhooks/outcome.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "libbroker/base/units.h"

const char *attempt_end_name(enum attempt_end end)
{
    static const char *const names[] = {
        [ATTEMPT_ANSWERED] = "answered",
        [ATTEMPT_TIMED_OUT] = "timeout",
        [ATTEMPT_FORBIDDEN] = "forbidden",
        [ATTEMPT_UNREACHED] = "unreachable",
        [ATTEMPT_TLS] = "tls",
        [ATTEMPT_MALFORMED] = "malformed",
        [ATTEMPT_NO_MEMORY] = "memory",
    };

    return names[end];
}

struct outcome_judged outcome_judge(enum attempt_end end, unsigned status)
{
    if (end != ATTEMPT_ANSWERED)
        return (struct outcome_judged){VERDICT_RETRY, PACE_TROUBLE};
    if (status >= 200 && status < 300)
        return (struct outcome_judged){VERDICT_DELIVERED, PACE_OK};
    if (status == 410)
        return (struct outcome_judged){VERDICT_GONE, PACE_FAILED};
    if (status == 408 || status == 425 || status == 429 || status >= 500)
        return (struct outcome_judged){VERDICT_RETRY, PACE_TROUBLE};
    return (struct outcome_judged){VERDICT_RETRY, PACE_FAILED}; /* redirects among them */
}

int64_t retry_after_ms(struct slice value, int64_t wall_ms)
{
    char text[64];
    uint64_t seconds = 0;
    time_t at;

    if (value.n == 0 || value.n >= sizeof text)
        return -1;
    memcpy(text, value.p, value.n);
    text[value.n] = '\0';
    if (strspn(text, "0123456789") == value.n) {
        if (units_parse_count(value, UNITS_ZERO, &seconds) < 0 || seconds > RETRY_AFTER_MAX_S)
            seconds = RETRY_AFTER_MAX_S;
        return (int64_t)seconds * 1000;
    }
    if (strlen(text) != value.n || !strchr(text, ':')) /* curl reads much as a date: this is none */
        return -1;
    at = curl_getdate(text, NULL);
    if (at == -1)
        return -1;
    if ((int64_t)at - wall_ms / 1000 >
        RETRY_AFTER_MAX_S) /* first: its ms may be too many to count */
        return (int64_t)RETRY_AFTER_MAX_S * 1000;
    if ((int64_t)at * 1000 <= wall_ms)
        return 0;
    return (int64_t)at * 1000 - wall_ms;
}

bool retry_is_left(const struct webhook_spec *s, uint32_t attempt)
{
    return attempt <= s->retries;
}

uint32_t retry_delay(const struct webhook_spec *s, uint32_t attempt, int64_t retry_after,
                     uint32_t random)
{
    int64_t ms = pace_jitter(s->retry_ms[attempt - 1], random);

    if (ms < retry_after)
        ms = retry_after;
    return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}
