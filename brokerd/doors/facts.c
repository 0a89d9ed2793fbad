#include "brokerd/doors/facts.h"

#include <stdio.h>
#include <time.h>

void fact_time(int64_t wall_ms, char buf[FACT_TIME_MAX])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    size_t n;

    if (!gmtime_r(&seconds, &tm) ||
        (n = strftime(buf, FACT_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm)) == 0)
        buf[n = 0] = '\0';
    (void)snprintf(buf + n, FACT_TIME_MAX - n, ".%03dZ", (int)(wall_ms % 1000));
}
