/* Where a frame of ours ends, for transports that carry messages. */
#include "brokerd/doors/stomp/units.h"

#include "libbroker/wire/stomp.h"

static const char length_name[] = "content-length:";

enum { LENGTH_NAME = sizeof length_name - 1, OTHER = UINT32_MAX };

/* Of struct unit_scan: `at` is how much of the line's beginning is that name, OTHER if it is
 * another line; `left` what is left of a body whose length is known, with its NUL. */
enum { BEGIN, LINE, VALUE, MEASURED, TO_NUL };

static void head_byte(struct unit_scan *s, uint8_t c)
{
    if (c == '\n') {
        if (s->state == VALUE)
            s->left = s->number + 1;
        else if (s->at == 0)
            s->state = s->left ? MEASURED : TO_NUL;
        s->at = 0;
        if (s->state == VALUE)
            s->state = LINE;
    } else if (s->state == VALUE) {
        s->number = s->number * 10 + (uint64_t)(c - '0');
    } else if (s->at != OTHER) {
        s->at = (uint8_t)length_name[s->at] == c ? s->at + 1 : OTHER;
        if (s->at == LENGTH_NAME)
            s->state = VALUE;
    }
}

/* How many of `in` belong to the body. */
static size_t body_bytes(struct unit_scan *s, struct slice in, bool *ret_end)
{
    const uint8_t *nul;

    if (s->state == MEASURED) {
        size_t n = in.n < s->left ? in.n : (size_t)s->left;

        s->left -= n;
        *ret_end = s->left == 0;
        return n;
    }
    nul = in.n ? memchr(in.p, 0, in.n) : NULL;
    *ret_end = nul;
    return nul ? (size_t)(nul - in.p) + 1 : in.n;
}

static size_t scan(struct unit_scan *s, struct slice in, bool *ret_end)
{
    size_t i = 0;

    *ret_end = s->state == BEGIN && in.p[0] == '\n'; /* a heart-beat */
    if (*ret_end)
        return 1;
    if (s->state == BEGIN) {
        s->state = LINE;
        s->at = OTHER; /* the command */
    }
    while (i < in.n && s->state < MEASURED)
        head_byte(s, in.p[i++]);
    return s->state < MEASURED ? i : i + body_bytes(s, slice_from(in, i), ret_end);
}

/* Messages are a stream of bytes: a frame may be cut over several. */
static int make(uint8_t *p, size_t n)
{
    (void)p, (void)n;
    return 0;
}

const struct door_units stomp_units = {
    .text = true, .may_be_binary = true, .scan = scan, .make = make};

void stomp_turn_away(struct out *o, const char *text)
{
    static const struct slice head =
        SLICE("ERROR\nmessage:Not served here\ncontent-type:text/plain\n\n");

    if (out_copy(o, head.p, head.n) == 0 && out_copy(o, text, strlen(text)) == 0)
        (void)out_copy(o, "\n", 2); /* with its NUL */
}
