/* failing_alloc.h - memory that runs out at the n-th request.
 *
 * Why      What a function does without memory must be tried, not believed.
 * Shape    A test includes this, and then the .c files to try: their malloc, calloc, realloc and
 *          mmap are these. Other objects keep the real ones. */
#ifndef TESTS_FAILING_ALLOC_H
#define TESTS_FAILING_ALLOC_H

#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

static unsigned fail_at; /* the request that fails, counting down from here; 0: none */
static bool failed;      /* one has */

static bool fails(void)
{
    if (fail_at == 0 || --fail_at > 0)
        return false;
    failed = true;
    return true;
}

static inline void *failing_malloc(size_t n)
{
    return fails() ? NULL : malloc(n);
}

static inline void *failing_calloc(size_t n, size_t size)
{
    return fails() ? NULL : calloc(n, size);
}

static inline void *failing_realloc(void *p, size_t n)
{
    return fails() ? NULL : realloc(p, n);
}

static inline void *failing_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : mmap(at, n, prot, flags, fd, offset);
}

#define malloc failing_malloc
#define calloc failing_calloc
#define realloc failing_realloc
#define mmap failing_mmap

#endif
