/* rune.h - one character of UTF-8 at a time.
 *
 * Why      Names and the log must know which characters they see, not only that all are valid
 *          (utf8.h).
 * Shape    RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
 * Thread   Any: pure functions. */
#ifndef BROKER_BASE_RUNE_H
#define BROKER_BASE_RUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decode the character that `p` begins with, `n` bytes at most. Returns its length (1 to 4), or 0
 * if there is none: broken, cut off, or n is 0; *ret_char is untouched then. */
size_t rune_decode(const uint8_t *p, size_t n, uint32_t *ret_char);

/* A control character: C0, DEL, C1, or a separator of lines or paragraphs. */
bool rune_is_control(uint32_t c);

/* A blank: space, or one of Unicode's other characters that show as nothing but room. */
bool rune_is_blank(uint32_t c);

#endif
