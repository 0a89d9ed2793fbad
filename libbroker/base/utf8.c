/* utf8.c - is this text? */
#include "libbroker/base/utf8.h"

/* The character at the front of `s` (not empty) in *ret, or 0 if there is none; else its bytes.
 * RFC 3629, "Syntax of UTF-8 Byte Sequences": what the lead byte promises must follow, in the
 * shortest form. */
static size_t character(struct slice s, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = s.p[0];
    size_t n = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t c = n == 1 ? lead : lead & (0x7fU >> n);

    if (n == 0 || lead > 0xf4 || s.n < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s.p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s.p[i] & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *ret = c;
    return n;
}

bool utf8_valid(struct slice s)
{
    uint32_t c;

    while (s.n) {
        size_t n = character(s, &c);

        if (n == 0)
            return false;
        s = slice_from(s, n);
    }
    return true;
}

/* The first byte of a character. */
static void begin(struct utf8 *u, uint8_t lead)
{
    u->n = lead < 0x80 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    u->is_bad = (lead >= 0x80 && lead < 0xc2) || lead > 0xf4;
    u->rune = lead & (0x7fU >> u->n);
    u->have = 1;
}

/* One that goes on with it. Whether its second byte leaves a character is seen at once. */
static void go_on(struct utf8 *u, uint8_t byte)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned left = u->n - ++u->have;
    uint32_t low, high;

    u->rune = u->rune << 6 | (byte & 0x3f);
    low = u->rune << 6 * left;
    high = low | ((1U << 6 * left) - 1);
    u->is_bad = (byte & 0xc0) != 0x80 || high < least[u->n] || low > 0x10ffff ||
                (low >= 0xd800 && high <= 0xdfff);
    if (left == 0)
        u->n = 0;
}

bool utf8_more(struct utf8 *u, struct slice s)
{
    for (size_t i = 0; i < s.n && !u->is_bad; i++) {
        if (u->n)
            go_on(u, s.p[i]);
        else if (s.p[i] >= 0x80)
            begin(u, s.p[i]);
    }
    return !u->is_bad;
}

bool utf8_printable(struct slice s)
{
    uint32_t c;

    while (s.n) {
        size_t n = character(s, &c);

        if (n == 0 || c < 0x20 || (c >= 0x7f && c <= 0x9f))
            return false;
        s = slice_from(s, n);
    }
    return true;
}
