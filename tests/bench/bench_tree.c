/* What routing costs: walks among 100,000 filters, and a route that is asked whether it still
 * holds. One line a case, ns of CPU each. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "brokerd/core/route.h"

enum { FILTERS = 100000, WALKS = 1000000 };

static char queues[64]; /* addresses to bind */

static struct text {
    uint8_t len;
    char text[63];
} topics[FILTERS];

static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void say(const char *what, double ns)
{
    printf("%-44s %8.1f ns\n", what, ns);
}

static void need(bool ok)
{
    if (ok)
        return;
    fputs("bench_tree: out of memory\n", stderr);
    exit(1);
}

static struct slice topic(unsigned i)
{
    return slice_of(topics[i].text, topics[i].len);
}

/* 100 tenants with 1,000 devices each; every tenth filter has a wildcard. */
static void fill(struct tree *t)
{
    char name[64];

    for (unsigned i = 0; i < FILTERS; i++) {
        int n = sprintf(name, "tenant%u.device%u.%s", i % 100, i, i % 10 ? "temperature" : "*");

        need(tree_bind(t, slice_of(name, (size_t)n), &queues[i % 64]) >= 0);
        n = sprintf(topics[i].text, "tenant%u.device%u.temperature", i % 100, i);
        topics[i].len = (uint8_t)n;
    }
}

/* Walk to random ones of the first `n` topics; each matches one filter. */
static void walks(const struct tree *t, const char *what, unsigned n)
{
    struct tree_result result = {0};
    uint64_t random = 1;
    double start = now_ns();

    for (unsigned i = 0; i < WALKS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        need(tree_match(t, topic((unsigned)(random >> 33) % n), &result) == 0 && result.n == 1);
    }
    say(what, (now_ns() - start) / WALKS);
    tree_result_fini(&result);
}

/* The same, as many topics at once as may be. */
static void walks_together(const struct tree *t, const char *what)
{
    static struct tree_result results[TREE_AHEAD];
    struct slice some[TREE_AHEAD];
    uint64_t random = 1;
    double start = now_ns();

    for (unsigned i = 0; i < WALKS / TREE_AHEAD; i++) {
        for (unsigned k = 0; k < TREE_AHEAD; k++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            some[k] = topic((unsigned)(random >> 33) % FILTERS);
        }
        need(tree_match_all(t, some, TREE_AHEAD, results) == 0);
        for (unsigned k = 0; k < TREE_AHEAD; k++)
            need(results[k].n == 1);
    }
    say(what, (now_ns() - start) / WALKS);
    for (unsigned k = 0; k < TREE_AHEAD; k++)
        tree_result_fini(&results[k]);
}

static void lookups(struct routes *rs, const char *what, unsigned n)
{
    double start = now_ns();

    for (unsigned i = 0; i < WALKS; i++) {
        struct route *r = route_get(rs, topic(i % n));

        need(r != NULL);
        route_unref(r);
    }
    say(what, (now_ns() - start) / WALKS);
}

/* Ask a held route when `changes` to other filters have come since it was last asked. The
 * route is among those that the changes do not concern: it must stay. */
static void catching_up(struct tree *t, struct routes *rs, const char *what, unsigned changes)
{
    struct route *r = route_get(rs, topic(1));
    double asking = 0;

    need(r != NULL);
    for (unsigned i = 0; i < 1000; i++) {
        double start;

        for (unsigned c = 0; c < changes; c++)
            need((c % 2 ? tree_unbind : tree_bind)(t, SLICE("some.other"), queues) >= 0);
        start = now_ns();
        need(route_is_fresh(rs, r));
        asking += now_ns() - start;
    }
    say(what, asking / 1000);
    route_unref(r);
}

/* Look a route up again when `changes` to filters with its first level have come since. */
static void changed_nearby(struct tree *t, struct routes *rs, unsigned changes)
{
    double asking = 0;

    for (unsigned i = 0; i < 1000; i++) {
        double start;

        for (unsigned c = 0; c < changes; c++)
            need((c % 2 ? tree_unbind : tree_bind)(t, SLICE("tenant1.other"), queues) >= 0);
        start = now_ns();
        route_unref(route_get(rs, topic(1)));
        asking += now_ns() - start;
    }
    say("route looked up: 1,000 changes nearby", asking / 1000);
}

static void unchanged(struct routes *rs)
{
    struct route *r = route_get(rs, topic(1));
    double start = now_ns();

    need(r != NULL);
    for (unsigned i = 0; i < 100 * WALKS; i++) {
        need(route_is_fresh(rs, r));
        __asm__ volatile("" ::: "memory"); /* so that each time it is asked */
    }
    say("route asked: nothing has changed", (now_ns() - start) / (100.0 * WALKS));
    route_unref(r);
}

int main(void)
{
    struct tree *t = tree_new(1);
    struct routes *rs = t ? routes_new(t, 2) : NULL;
    double start = now_ns();

    need(rs != NULL);
    fill(t);
    say("bind: to 100,000 filters", (now_ns() - start) / FILTERS);
    walks(t, "walk, cold: any of 100,000 topics", FILTERS);
    walks_together(t, "walk, cold: any of 100,000 topics, 32 at once");
    walks(t, "walk, warm: any of 1,000 topics", 1000);
    walks(t, "walk, hot: one topic", 1);
    lookups(rs, "route looked up: 500 topics, cached", 500);
    lookups(rs, "route looked up: one topic, cached", 1);
    lookups(rs, "route looked up: 100,000 topics, not cached", FILTERS);
    unchanged(rs);
    catching_up(t, rs, "route asked: no change (and reading a clock)", 0);
    catching_up(t, rs, "route asked: 10 changes elsewhere", 10);
    catching_up(t, rs, "route asked: 1,000 changes elsewhere", 1000);
    changed_nearby(t, rs, 1000);
    routes_free(rs);
    tree_free(t);
    return 0;
}
