#include "tests/bench/load/measure.h"

#include "tests/bench/load/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double clock_seconds(clockid_t id)
{
    struct timespec t;

    if (clock_gettime(id, &t) < 0)
        die("cannot read a clock");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double seconds_now(void)
{
    return clock_seconds(CLOCK_MONOTONIC);
}

uint64_t ns_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* All that was not idle since the machine started. */
static double machine_busy(void)
{
    unsigned long long t[8] = {0}; /* user nice system idle iowait irq softirq steal */
    FILE *f = fopen("/proc/stat", "r");
    int n = 0;

    if (f) {
        n = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
                   &t[4], &t[5], &t[6], &t[7]);
        fclose(f);
    }
    if (n != 8)
        return 0;
    return (double)(t[0] + t[1] + t[2] + t[5] + t[6] + t[7]) / (double)sysconf(_SC_CLK_TCK);
}

/* A line of the process's status that begins with `name` and a colon, in KiB. */
static long status_kib(int pid, const char *name)
{
    size_t n = strlen(name);
    char path[64], line[256];
    long kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    f = fopen(path, "r");
    if (!f)
        die("there is no process %d any more", pid);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, n) == 0 && line[n] == ':')
            kib = strtol(line + n + 1, NULL, 10);
    fclose(f);
    return kib;
}

struct usage usage_now(int pid)
{
    clockid_t broker;

    if (clock_getcpuclockid(pid, &broker) != 0)
        die("there is no process %d", pid);
    return (struct usage){.at = seconds_now(),
                          .broker_s = clock_seconds(broker),
                          .own_s = clock_seconds(CLOCK_PROCESS_CPUTIME_ID),
                          .busy_s = machine_busy(),
                          .rss_kib = status_kib(pid, "VmRSS")};
}

long peak_kib(int pid)
{
    return status_kib(pid, "VmHWM");
}
