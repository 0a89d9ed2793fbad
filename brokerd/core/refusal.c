#include "brokerd/core/refusal.h"

#include <stdarg.h>
#include <stdio.h>

void refuse(struct refusal *ret, enum reason reason, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(ret->text, sizeof ret->text, "%s: ", reason_name(reason));

    ret->reason = reason;
    va_start(ap, fmt);
    (void)vsnprintf(ret->text + n, sizeof ret->text - (size_t)n, fmt, ap);
    va_end(ap);
}

void refuse_memory(struct refusal *ret)
{
    refuse(ret, REASON_MEMORY, "the broker has no memory for this");
}
