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
