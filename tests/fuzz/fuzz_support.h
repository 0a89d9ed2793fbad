/* fuzz_support.h - what fuzz targets check with.
 *
 * must() stays on whatever the compiler's options are: a fuzz target that asserts nothing finds
 * nothing. */
#ifndef BROKER_TESTS_FUZZ_SUPPORT_H
#define BROKER_TESTS_FUZZ_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>

#include "libbroker/base/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Is `part` empty or wholly inside `whole`? */
static inline bool inside(struct slice part, struct slice whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

#endif
