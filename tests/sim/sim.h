/* sim.h - what the simulation knows by itself of a world of cores: an independent model.
 *
 * Shape    Each payload (or, if it is too short for that, a header) carries a key: publisher and
 *          number. model.h holds the callbacks of the cores against what the simulation did;
 *          check.h looks at the cores from inside.
 * Thread   One. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "brokerd/core/manage.h"
#include "brokerd/core/names.h"

#include <stdarg.h>
#include <stdlib.h>

/* The cores' requests for memory may fail (sim_core.c); the simulation's own do not. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
#define malloc __real_malloc
#define calloc __real_calloc
#define realloc __real_realloc

#include "tests/unit/core/world.h"

enum {
    PARTIES = 8,
    CONSUMERS = 24,
    PUBLISHERS = 12,
    UIDS = 8192,
    FILTERS = 3,
    QUEUES = 4,
    LEFT = 64
};

/* A connection. */
struct party {
    struct endpoint *ep; /* NULL: not there */
    unsigned core;
    uint64_t out, written; /* of its output */
    uint64_t barrier_asked, barrier_told;
};

struct delivered {
    uint64_t key, at; /* position of the output after it */
    uint32_t attempt;
};

/* One consumer's stream. */
struct eater {
    struct party *party; /* NULL: free */
    struct consumer *k;  /* NULL: it has ended, or is about to be attached */
    bool is_queue, manual, unlimited, ready, loose;
    const char *filters[FILTERS];
    unsigned filters_n;
    handle_t queue; /* its queue, 0 as long as that is not known */
    uint64_t granted, got, gaps;
    uint64_t must, may; /* matching messages published since it was ready, and before */
    struct delivered *log;
    size_t log_cap;
    uint32_t last[UIDS]; /* subscriptions: number of the last message of each publisher */
};

struct source {
    struct party *party; /* NULL: free */
    struct publisher *p;
    enum publisher_kind kind;
    uint32_t uid;
    uint64_t sent, told, allowance;
    int32_t *expect; /* queues that message i + 1 must match; -1: not known */
    size_t expect_cap;
};

#define KEY_OF_ID (UINT64_C(1) << 63) /* no publisher's number has it */

/* What the model knows of a message in a named queue. */
struct record {
    uint64_t key;
    uint32_t low, high; /* attempts that counted so far, at least and at most */
    bool final;         /* acked or rejected while in flight */
    uint64_t first;     /* of an id (KEY_OF_ID and the id): the message that had it first */
};

struct told {
    handle_t queue; /* 0: free */
    bool disturbed; /* a consumer left: first deliveries may come out of order */
    struct record *record;
    size_t n, cap;
    uint32_t last[UIDS];
};

struct sim {
    struct world w;
    struct seeded {
        uint64_t seed, state;
    } random;
    uint64_t step;
    unsigned cores;
    struct policy_set *policies;
    int64_t budget;
    bool starving;   /* requests for memory fail now and then: all may be late, nothing wrong */
    bool failing;    /* they do, at the moment */
    bool configured; /* other settings since the start */
    bool tight_mail; /* runs that nobody pays for are refused now and then */
    bool lossless;   /* every loss is one that a gap tells of */
    bool remembers;  /* queues never forget the id of a message */
    uint32_t uids;
    struct party party[PARTIES];
    struct eater eater[CONSUMERS];
    struct source source[PUBLISHERS];
    struct told told[64];
    struct delivery_ref left[LEFT]; /* deliveries of consumers that parted */
    bool took_over;
    uint64_t asked, answered; /* of core_settle() */
    uint64_t deliveries, published, quiets, redeliveries, gaps, closings, ids;
};

extern struct sim sim;

__attribute__((noreturn, format(printf, 1, 2))) void sim_fail(const char *format, ...);
#define must(cond, ...)                                                                            \
    do {                                                                                           \
        if (!(cond))                                                                               \
            sim_fail(__VA_ARGS__);                                                                 \
    } while (0)

/* A random number below n. */
static inline uint64_t below(uint64_t n)
{
    uint64_t z = sim.random.state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % n;
}

static inline bool one_in(uint64_t n)
{
    return below(n) == 0;
}

/* Does the filter match the topic? Written apart from the tree's way of doing it. */
static inline bool sim_matches(const char *filter, const char *topic)
{
    size_t f = strcspn(filter, "."), t = strcspn(topic, ".");
    bool alike = (f == 1 && *filter == '*') || (f == t && memcmp(filter, topic, f) == 0);

    if (strcmp(filter, "#") == 0)
        return true;
    if (!alike)
        return false;
    if (!filter[f])
        return !topic[t];
    return topic[t] ? sim_matches(filter + f + 1, topic + t + 1) : strcmp(filter + f + 1, "#") == 0;
}

#endif
