/* rfc3339.h - a date and time as people and programs write it: "2026-11-23T11:20:32.813Z".
 *
 * Thread   Any: a pure function. */
#ifndef BROKER_BASE_RFC3339_H
#define BROKER_BASE_RFC3339_H

#include "libbroker/base/slice.h"

/* In ms since 1970, with an offset from UTC or `Z`; what is finer than ms is cut off. 0, or
 * -EINVAL: it is none, and *ret_ms untouched. */
int rfc3339_parse(struct slice text, int64_t *ret_ms);

#endif
