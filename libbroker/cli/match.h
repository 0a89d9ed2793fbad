/* match.h - does a filter match a topic? For `broker route`, which needs no broker for it.
 * Thread   Any: pure functions. */
#ifndef BROKER_CLI_MATCH_H
#define BROKER_CLI_MATCH_H

#include <stdbool.h>

/* What is wrong with a filter or topic, a static text; NULL for a valid one. */
const char *cli_filter_error(const char *filter);
const char *cli_topic_error(const char *topic);

/* Does a valid filter match a valid topic? `*` is one level, a final `#` zero or more; neither as
 * the first level matches what begins with `$`. */
bool cli_filter_matches(const char *filter, const char *topic);

#endif
