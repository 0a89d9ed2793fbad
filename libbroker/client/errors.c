/* Codes, reasons and their words. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libbroker/base/reason.h"
#include "libbroker/client/client.h"

/* The public list of reasons and the broker's own are two: the compiler compares them. */
#define SAME(name, number, word)                                                                   \
    _Static_assert((int)BROKER_REASON_##name == (int)REASON_##name, "reason " word);
BROKER_REASONS(SAME)
#undef SAME

static const struct {
    int code;
    const char *name, *text;
} errors[] = {
#define ROW(name, number, text) {number, #name, text},
    BROKER_ERRORS(ROW)
#undef ROW
};

/* Codes are 0, -1, -2.. without a hole, so the code is the index. */
static bool known(int code)
{
    return code <= 0 && -code < (int)(sizeof errors / sizeof errors[0]);
}

const char *broker_strerror(int code)
{
    return known(code) ? errors[-code].text : "unknown error";
}

const char *broker_errname(int code)
{
    return known(code) ? errors[-code].name : "UNKNOWN";
}

const char *broker_reason_word(int reason)
{
    return reason < 0 ? "unknown" : reason_name((enum reason)reason);
}

int broker_reason_of(const char *text)
{
    size_t n;

    if (!text)
        return BROKER_REASON_NONE;
    n = strcspn(text, ": ");
    return (int)reason_from_name(slice_of(text, n));
}

const char *broker_version(void)
{
    return BROKER_BUILD_VERSION;
}

int cl_fail(broker *b, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(b->text, sizeof b->text, format, args);
    va_end(args);
    return code;
}

const char *broker_errmsg(const broker *b)
{
    static _Thread_local char text[CL_TEXT_MAX];

    cl_lock(b);
    memcpy(text, b->text, sizeof text);
    cl_unlock(b);
    return text;
}
