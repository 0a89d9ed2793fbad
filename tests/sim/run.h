/* run.h - what main() of a simulation does: one seed that was asked for, or one after the other for
 *         a while.
 *
 * Usage    NAME [--seed N] [--steps N] [--cores N]; without a seed, SIM_SEED (1) and the ones after
 *          it for SIM_SECONDS.
 * Thread   One. */
#ifndef TESTS_SIM_RUN_H
#define TESTS_SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct sim_runs {
    const char *name;
    uint64_t steps, seconds; /* unless something else is asked for */
    uint64_t least;          /* seeds, however long they take */
    uint64_t cores_max;      /* 0: it has no cores to choose */
    void (*run)(uint64_t seed, uint64_t steps, unsigned cores, bool talk);
};

static inline double sim_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline uint64_t sim_number(const char *text, uint64_t otherwise)
{
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static inline int sim_main(int argc, char **argv, const struct sim_runs *r)
{
    uint64_t seed = 0, steps = r->steps, cores = 0, first = sim_number(getenv("SIM_SEED"), 1);
    double end = sim_seconds() + (double)sim_number(getenv("SIM_SECONDS"), r->seconds);

    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = sim_number(argv[i + 1], 0);

        if (strcmp(argv[i], "--seed") == 0)
            seed = value;
        else if (strcmp(argv[i], "--steps") == 0)
            steps = value;
        else if (strcmp(argv[i], "--cores") == 0 && value <= r->cores_max)
            cores = value;
        else
            return fprintf(stderr, "%s: what is %s %s?\n", r->name, argv[i], argv[i + 1]), 2;
    }
    if (seed) {
        r->run(seed, steps, (unsigned)cores, true);
        return 0;
    }
    for (seed = first; seed < first + r->least || sim_seconds() < end; seed++)
        r->run(seed, steps, (unsigned)cores, seed < first + 3);
    printf("%llu seeds of %llu steps\n", (unsigned long long)(seed - first),
           (unsigned long long)steps);
    return 0;
}

#endif
