/* reason.c - why a message was refused or lost. */
#include "libbroker/base/reason.h"

static const struct {
    const char *word, *text;
} rows[REASON_TABLE_SIZE] = {
#define X(name, number, word, meaning) [number] = {word, meaning},
    REASON_LIST(X)
#undef X
};

bool reason_known(unsigned int number)
{
    return number < REASON_TABLE_SIZE && rows[number].word;
}

bool reason_is_refusal(enum reason r)
{
    return reason_known(r) && r <= REASON_TOO_LARGE;
}

const char *reason_name(enum reason r)
{
    if (r == REASON_NONE)
        return "none";
    return reason_known(r) ? rows[r].word : "unknown";
}

const char *reason_text(enum reason r)
{
    if (r == REASON_NONE)
        return "none";
    return reason_known(r) ? rows[r].text : "unknown";
}

enum reason reason_from_name(struct slice word)
{
    for (unsigned int i = 0; i < REASON_TABLE_SIZE; i++) {
        if (rows[i].word && slice_eq(slice_str(rows[i].word), word))
            return (enum reason)i;
    }
    return REASON_NONE;
}

enum reason reason_from_text(struct slice text)
{
    const uint8_t *colon = text.n ? memchr(text.p, ':', text.n) : NULL;

    return reason_from_name(colon ? slice_of(text.p, (size_t)(colon - text.p)) : text);
}
