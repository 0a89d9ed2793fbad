/* resp.h - what the two drivers for Redis share: reading its protocol, RESP2 and RESP3.
 *
 * Shape    A reply is a line, "$7\r\n", whose first byte says what follows it: nothing, so many
 *          bytes, or so many replies. Nothing here copies.
 * Errors   An error reply, and bytes that are no reply, end the program. */
#ifndef TESTS_BENCH_LOAD_RESP_H
#define TESTS_BENCH_LOAD_RESP_H

#include <stddef.h>
#include <stdint.h>

/* Read the line of a number at p, after its first byte: "123\r\n" or "-1\r\n". Returns its bytes; 0
 * if it is not all there. */
size_t resp_number(const uint8_t *p, size_t n, int64_t *ret);

/* The bytes of one whole reply, with all that is in it; 0 if it is not all there. */
size_t resp_size(const uint8_t *p, size_t n);

#endif
