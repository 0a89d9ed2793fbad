/* Many connections on which nothing happens, each subscribed to a topic of its own: how fast they
 * come, what each costs, and what all of them cost while it is quiet. */
#include "tests/bench/load/workload.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/load/loop.h"

enum { AT_ONCE = 64 /* connections that are being greeted */ };

static const double settle_s = 0.5; /* after the last connection */

struct crowd {
    struct side *sides;
    const char **filters;
    char (*topics)[LOAD_NAME_MAX];
    unsigned n, opened, ready; /* ready: so many from the first on */
};

static void crowd_init(struct crowd *c, unsigned n)
{
    *c = (struct crowd){.n = n,
                        .sides = calloc(n, sizeof *c->sides),
                        .filters = calloc(n, sizeof *c->filters),
                        .topics = calloc(n, sizeof *c->topics)};
    if (!c->sides || !c->filters || !c->topics)
        die("out of memory");
    for (unsigned i = 0; i < n; i++) {
        snprintf(c->topics[i], sizeof c->topics[i], "idle.%u", i);
        c->filters[i] = c->topics[i];
    }
}

static void open_one(struct crowd *c, const struct task *t)
{
    struct side *s = &c->sides[c->opened];

    s->driver = t->driver;
    s->part.filters = &c->filters[c->opened];
    s->part.filters_n = 1;
    s->part.size = t->size;
    loop_open(s, t->port);
    c->opened++;
}

/* All of them, some at once. */
static void open_all(struct crowd *c, const struct task *t)
{
    double quiet = seconds_now() + ready_s;

    while (c->ready < c->n) {
        unsigned before = c->ready;

        while (c->opened < c->n && c->opened < c->ready + AT_ONCE)
            open_one(c, t);
        loop_turn(10);
        for (; c->ready < c->opened && c->sides[c->ready].ready; c->ready++)
            ;
        if (c->ready > before)
            quiet = seconds_now() + ready_s;
        else if (seconds_now() > quiet)
            die("%u connections are ready, the next is not after %g s", c->ready, ready_s);
        if (c->ready < c->opened && c->sides[c->ready].closed)
            die("the broker closed connection %u", c->ready);
    }
}

/* Let time pass, and answer whom the broker asks. */
static void rest_for(double seconds)
{
    double end = seconds_now() + seconds;

    while (seconds_now() < end)
        loop_turn(20);
}

void idle(const struct task *t, struct result *ret)
{
    struct usage before, after;
    struct crowd c;
    double idle_cores;

    crowd_init(&c, t->connections);
    before = usage_now(t->pid);
    open_all(&c, t);
    after = usage_now(t->pid);
    rest_for(settle_s);
    ret->before = usage_now(t->pid);
    rest_for(t->seconds);
    ret->after = usage_now(t->pid);
    idle_cores = (ret->after.broker_s - ret->before.broker_s) / (ret->after.at - ret->before.at);
    ret->subscribers = t->connections;
    result_add(ret, "connections", t->connections);
    result_add(ret, "connects_per_second", t->connections / (after.at - before.at));
    result_add(ret, "broker_us_per_connection",
               (after.broker_s - before.broker_s) * 1e6 / t->connections);
    result_add(ret, "rss_kib_per_connection",
               (double)(ret->after.rss_kib - before.rss_kib) / t->connections);
    result_add(ret, "idle_cores", idle_cores);
    for (unsigned i = 0; i < c.n; i++) {
        if (c.sides[i].closed)
            die("the broker closed connection %u", i);
        loop_close(&c.sides[i]);
    }
    free(c.sides);
    free(c.filters);
    free(c.topics);
}
