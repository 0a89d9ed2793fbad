/* refusal.h - how a refusal is worded.
 *
 * Why      Everybody says the same: the reason's word, then what a person can do something with.
 * Thread   Any; pure. */
#ifndef BROKERD_CORE_REFUSAL_H
#define BROKERD_CORE_REFUSAL_H

#include "brokerd/core/core.h"

/* Fill in a refusal: "WORD: TEXT", cut to what fits. */
void refuse(struct refusal *ret, enum reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* -ENOMEM as a refusal. */
void refuse_memory(struct refusal *ret);

#endif
