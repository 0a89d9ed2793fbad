/* json_text.h - JSON as text: is it, what are its members, how is a value written.
 *
 * Why      A payload travels as its publisher wrote it: to check it and to find where it begins and
 *          ends takes no tree. What is small and to be understood, a door reads with jansson.
 * Shape    RFC 8259, strictly: UTF-8, no lone surrogates, no NUL (not even escaped), depth and
 *          members limited. One pass, no memory but the stack.
 * Owner    Everything borrows from the text.
 * Errors   0 or -EPROTO with a fault: what is wrong, in words for a person, and where.
 * Thread   Any; pure. */
#ifndef BROKER_WIRE_JSON_TEXT_H
#define BROKER_WIRE_JSON_TEXT_H

#include "libbroker/base/slice.h"

enum {
    JTEXT_DEPTH_MAX = 64,     /* objects and arrays within one another */
    JTEXT_MEMBERS_MAX = 4096, /* of an object and of those around it, together */
};

struct json_fault {
    const char *what;     /* static: "a name twice in one object" */
    const uint8_t *where; /* in the text, or just behind it */
};

struct json_member {
    struct slice name;  /* between its quotes, escapes as they came */
    struct slice value; /* without the blanks around it */
};

/* Check that `text` is one value with nothing but blanks around it. `unique`: no name twice in one
 * object. -EPROTO. */
int jtext_check(struct slice text, bool unique, struct json_fault *ret);

/* Check that `text` is an object, no name twice in any, and list its members in order. -EPROTO; it
 * is one too if there are more than `max`. */
int jtext_members(struct slice text, struct json_member *m, unsigned max, unsigned *ret_n,
                  struct json_fault *ret);

/* Line, from 1, and column, in characters from 1, of a place in `text`. */
void jtext_place(struct slice text, const uint8_t *where, unsigned *ret_line, unsigned *ret_column);

/* Is this value, one that has been checked, a string? */
static inline bool jtext_is_string(struct slice value)
{
    return value.n > 0 && value.p[0] == '"';
}

/* What stands between a string's quotes, which has been checked, without its escapes: into `to`,
 * which has room for `s.n` bytes. Returns how many there are. */
size_t jtext_unescape(struct slice s, uint8_t *to);

/* Bytes that `s` (UTF-8) takes as a string, quotes included. */
size_t jtext_string_size(struct slice s);

/* Write it as a string; returns the byte after. */
uint8_t *jtext_put_string(uint8_t *p, struct slice s);

/* Write a value that has been checked, s.n bytes, with line breaks as blanks; returns the byte
 * after. */
uint8_t *jtext_put_value(uint8_t *p, struct slice s);

/* Base64 (RFC 4648, with padding): the bytes `n` bytes take, and writing them. */
static inline size_t base64_size(size_t n)
{
    return (n + 2) / 3 * 4;
}
uint8_t *base64_put(uint8_t *p, struct slice s);

/* The inverse, into `to`, which has room for 3 bytes for each 4 begun. -EPROTO: it is none; 0,
 * *ret_n. */
int base64_decode(struct slice s, uint8_t *to, size_t *ret_n);

#endif
