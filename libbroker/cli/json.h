/* json.h - short ways to the members of an answer, and what several commands print of one.
 * Thread   Any: no state. */
#ifndef BROKER_CLI_JSON_H
#define BROKER_CLI_JSON_H

#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

/* A member as a number, 0 if it is none; as a text, "" if it is none. */
uint64_t cli_json_number(const json_t *object, const char *key);
const char *cli_json_text(const json_t *object, const char *key);
/* A value that is a text; NULL if it is none. Of this and the above control characters are made
 * visible, in the value itself: they may be a stranger's, and this a terminal. */
const char *cli_json_shown(const json_t *value);

/* Print "REASON COUNT" of each member of `object`, "-" where there is none. */
void cli_json_reasons(FILE *f, const json_t *object);

/* Print counters of docs/admin-api.md, a line each, `indent` blanks in front. */
void cli_json_counters(FILE *f, const json_t *counters, int indent);

/* The name a queue is shown by: its name, else its client's with what it is bound to, into `buf`.
 * Returns `buf`. */
const char *cli_json_queue_name(const json_t *queue, char *buf, size_t size);

#endif
