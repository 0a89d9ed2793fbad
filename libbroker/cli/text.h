/* text.h - messages and numbers as people and programs read them.
 *
 * Errors   -ENOMEM where something is appended to an output; else none.
 * Thread   Any: no state. */
#ifndef BROKER_CLI_TEXT_H
#define BROKER_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "libbroker/cli/out.h"

/* Is this well-formed UTF-8? */
bool cli_is_utf8(const void *data, size_t len);

/* Append bytes for one line of a terminal: UTF-8 as it is, control characters and anything else
 * as \n, \t, \\ or \xNN. */
int cli_put_plain(struct cli_out *o, const void *data, size_t len);

/* The same as a copy, to be given back with free(). NULL: it can be shown as it is, or there is no
 * memory. */
char *cli_plain(const char *text, size_t len);

/* Append bytes as lower-case hex digits, as base64, as a JSON string (they must be UTF-8). */
int cli_put_hex(struct cli_out *o, const void *data, size_t len);
int cli_put_base64(struct cli_out *o, const void *data, size_t len);
int cli_put_json(struct cli_out *o, const void *data, size_t len);

/* The bytes that base64 with its padding stands for, into `to`, which has room for len / 4 * 3.
 * False: it is none. */
bool cli_take_base64(const char *text, size_t len, uint8_t *to, size_t *ret_len);

enum { CLI_NUMBER_MAX = 32 };

/* "1536" as "1.5 KiB"; 1234567 as "1,234,567"; milliseconds as "850 ms", "12.5 s", "3 h 20 min".
 * They write into `buf` of CLI_NUMBER_MAX bytes and return it. */
const char *cli_size_text(uint64_t bytes, char *buf);
const char *cli_count_text(uint64_t n, char *buf);
const char *cli_time_text(uint64_t ms, char *buf);
/* Nanoseconds as "850 ns", "12.5 us", "3.42 ms", "1.20 s". */
const char *cli_latency_text(uint64_t ns, char *buf);

/* A table: columns as wide as their widest cell. */
struct cli_table;

/* A table with the headings of `format`: separated by `|`, each with `>` in front if its column
 * leans right. NULL without memory; the functions below do nothing then. */
struct cli_table *cli_table_new(const char *headings);

/* The next cell, row by row. */
void cli_table_add(struct cli_table *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Print and free it. Blanks behind the last column are left out. */
void cli_table_print(struct cli_table *t, FILE *f);

#endif
