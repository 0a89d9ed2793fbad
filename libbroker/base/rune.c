#include "libbroker/base/rune.h"

/* How many bytes a character has whose first byte is `b`, and the bits that byte contributes;
 * 0 for a byte that begins none. */
static size_t lead(uint8_t b, uint32_t *ret_bits)
{
    if (b < 0x80) {
        *ret_bits = b;
        return 1;
    }
    if (b >= 0xC2 && b <= 0xDF) { /* C0 and C1 could only begin overlong forms */
        *ret_bits = b & 0x1F;
        return 2;
    }
    if (b >= 0xE0 && b <= 0xEF) {
        *ret_bits = b & 0x0F;
        return 3;
    }
    if (b >= 0xF0 && b <= 0xF4) {
        *ret_bits = b & 0x07;
        return 4;
    }
    return 0;
}

size_t rune_decode(const uint8_t *p, size_t n, uint32_t *ret_char)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t c = 0;
    size_t len;

    if (n == 0)
        return 0;
    len = lead(p[0], &c);
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3F);
    }
    if (c < smallest[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return 0;
    *ret_char = c;
    return len;
}

bool rune_is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x2028 || c == 0x2029;
}

bool rune_is_blank(uint32_t c)
{
    return c == ' ' || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200B) || c == 0x202F ||
           c == 0x205F || c == 0x3000 || c == 0xFEFF;
}
