#include "brokerd/worker/trim.h"

#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "brokerd/worker/worker.h"
#include "libbroker/base/log.h"

enum { TRIM_SECONDS = 5, TRIM_BYTES = 64 << 20 };

struct trim {
    const struct workers *workers;
    struct event *timer;
    int64_t unused_least; /* bytes held and not used, since the last trim */
};

/* Bytes that are resident, but for what the budget knows of. */
static int64_t memory_unused(const struct trim *t)
{
    int64_t used = (int64_t)workers_memory(t->workers) - workers_memory_left(t->workers);
    FILE *f = fopen("/proc/self/statm", "re");
    char line[128] = "", *second;
    long resident = 0;

    if (f) {
        if (fgets(line, sizeof line, f)) { /* pages: size, resident, .. */
            (void)strtol(line, &second, 10);
            resident = strtol(second, NULL, 10);
        }
        (void)fclose(f);
    }
    return resident * sysconf(_SC_PAGESIZE) - used;
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct trim *t = ctx;
    int64_t unused = memory_unused(t);

    (void)fd;
    (void)what;
    if (unused < t->unused_least)
        t->unused_least = unused;
    if (unused - t->unused_least < TRIM_BYTES)
        return;
    (void)malloc_trim(0);
    t->unused_least = memory_unused(t);
    log_info("memory: %lld MiB given back", (long long)((unused - t->unused_least) >> 20));
}

int trim_new(struct event_base *base, const struct workers *ws, struct trim **ret)
{
    const struct timeval tv = {TRIM_SECONDS, 0};
    struct trim *t = calloc(1, sizeof *t);

    if (!t)
        return -ENOMEM;
    t->workers = ws;
    t->unused_least = memory_unused(t);
    t->timer = event_new(base, -1, EV_PERSIST, on_timer, t);
    if (!t->timer || event_add(t->timer, &tv) < 0) {
        trim_free(t);
        return -ENOMEM;
    }
    *ret = t;
    return 0;
}

void trim_free(struct trim *t)
{
    if (!t)
        return;
    if (t->timer)
        event_free(t->timer);
    free(t);
}
