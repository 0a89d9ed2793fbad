/* facts.h - how doors word what the broker knows of a message.
 *
 * Thread   Any; pure. */
#ifndef BROKERD_DOORS_FACTS_H
#define BROKERD_DOORS_FACTS_H

#include <stdint.h>

enum { FACT_TIME_MAX = 48 };

/* When it was published: RFC 3339 in UTC, with milliseconds. */
void fact_time(int64_t wall_ms, char buf[FACT_TIME_MAX]);

#endif
