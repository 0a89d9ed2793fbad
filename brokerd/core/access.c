#include "brokerd/core/access.h"

#include <errno.h>
#include <stdio.h>

int access_denied(struct slice name, struct refusal *why)
{
    why->reason = REASON_DENIED;
    snprintf(why->text, sizeof why->text,
             "denied: \"%.*s\" belongs to the broker, as all that begins with $",
             (int)(name.n < 120 ? name.n : 120), (const char *)name.p);
    return -EACCES;
}

int access_not_managed(struct refusal *why)
{
    why->reason = REASON_DENIED;
    snprintf(why->text, sizeof why->text,
             "denied: the broker is not managed by way of this listener, or by this page; the "
             "listener's "
             "`manage` and `origins` may allow it");
    return -EACCES;
}
