#include "brokerd/doors/refuse.h"

#include "libbroker/base/utf8.h"

#include <stdio.h>
#include <string.h>

void refuse_outcome(struct refusal *ret, const struct outcome *o)
{
    const char *word = reason_name(o->reason), *text = o->text ? o->text : reason_text(o->reason);
    struct slice rest = slice_str(text);
    char count[64] = "";

    if (slice_starts(rest, slice_str(word)) && text[strlen(word)] == ':') {
        text += strlen(word) + 1;
        text += *text == ' ';
    }
    if (o->matched > 0)
        (void)snprintf(count, sizeof count, "; %u of %u queues accepted", o->accepted, o->matched);
    refuse(ret, o->reason, "%.*s%s", (int)(sizeof ret->text - sizeof count - 16), text, count);
}

const char *shown(struct slice s, char *buf, size_t size)
{
    if (s.n >= size || !utf8_printable(s))
        return "?";
    if (s.n)
        memcpy(buf, s.p, s.n);
    buf[s.n] = '\0';
    return buf;
}

enum link_end refusal_end(const struct refusal *why)
{
    return why->reason == REASON_DRAINING ? LINK_DRAINED : LINK_WRONG;
}
