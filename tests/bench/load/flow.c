/* Messages as fast as they go: publishers, each with a topic of its own, to subscribers of all of
 * these topics. One to one, fan-out and fan-in differ in numbers only; in `stalled` one of the
 * subscribers stops reading.
 *
 * Never more than a window of messages is on its way to the slowest subscriber, the same for every
 * broker. So one without credit cannot pile messages up, and a rate is one that lasts. */
#include "tests/bench/load/workload.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/load/batch.h"
#include "tests/bench/load/loop.h"

enum {
    WINDOW_MESSAGES = 32768,
    WINDOW_BYTES = 8 << 20,
    WINDOW_ALL_BYTES = 32 << 20, /* to all subscribers together */
    BATCHES_BYTES = LOAD_BUFFER / 2,
    BATCH_LEAST = 64 << 10,
    TURNS = 16,           /* between two looks at the clock */
    STALLED_CREDIT = 1024 /* messages granted by who will stall, and not taken */
};

/* When nothing comes for so long, nothing will. NATS gives a connection 10 s to take what is
 * written, and others wait for that. */
static const double silence_s = 2, stalled_silence_s = 11, drain_s = 30;

struct publisher {
    struct side side;
    struct batch batch;
    char topic[LOAD_NAME_MAX];
};

struct flow {
    const struct task *t;
    unsigned pubs_n, subs_n; /* subs_n: those that read, the stalled one comes after them */
    struct publisher *pubs;
    struct side *subs;
    const char **topics;
    uint64_t window;
    uint64_t sent;     /* messages begun, of all publishers */
    uint64_t slowest;  /* the slowest subscriber has had at least so many */
    bool watch;        /* measure the longest time without a delivery */
    double last, gap;  /* the last delivery, the longest such time; seconds */
    uint64_t last_got; /* what all had then */
};

static uint64_t window_of(const struct task *t, unsigned subscribers)
{
    uint64_t w = WINDOW_MESSAGES;

    if (t->window)
        return t->window;
    if (w > WINDOW_BYTES / t->size)
        w = WINDOW_BYTES / t->size;
    if (w > WINDOW_ALL_BYTES / (t->size * subscribers))
        w = WINDOW_ALL_BYTES / (t->size * subscribers);
    return w ? w : 1;
}

static uint64_t delivered(const struct flow *f)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < f->subs_n; i++)
        n += f->subs[i].got;
    return n;
}

static uint64_t told(const struct flow *f)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < f->subs_n; i++)
        n += f->subs[i].told_lost;
    return n;
}

/* What the slowest subscriber has had, or was told that it lost. */
static uint64_t slowest(const struct flow *f)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < f->subs_n; i++) {
        uint64_t n = f->subs[i].got + f->subs[i].told_lost;

        if (f->subs[i].closed)
            die("the broker closed the connection of a subscriber");
        if (n < least)
            least = n;
    }
    return least;
}

/* Messages that `p` may begin now: its share of the window, within its credit. */
static uint64_t may_send(struct flow *f, const struct publisher *p)
{
    uint64_t most = f->window / f->pubs_n, left;

    if (f->sent >= f->slowest + f->window)
        return 0;
    left = f->slowest + f->window - f->sent;
    if (most == 0)
        most = 1;
    if (most > left)
        most = left;
    left = p->side.granted - batch_sent(&p->batch);
    return most < left ? most : left;
}

/* Returns whether it wrote anything. */
static bool write_some(struct flow *f, struct publisher *p)
{
    uint64_t before = batch_sent(&p->batch);
    size_t n;

    if (p->side.closed)
        die("the broker closed the connection of a publisher");
    n = batch_write(&p->batch, &p->side, may_send(f, p));
    f->sent += batch_sent(&p->batch) - before;
    return n > 0;
}

static void note_gap(struct flow *f)
{
    uint64_t got = delivered(f);
    double now = seconds_now();

    if (now - f->last > f->gap)
        f->gap = now - f->last;
    if (got != f->last_got)
        f->last = now;
    f->last_got = got;
}

/* One turn; with `publish`, publishers write what they may. Returns whether anything happened. */
static bool turn(struct flow *f, bool publish)
{
    bool wrote = false;

    if (publish) {
        f->slowest = slowest(f);
        for (unsigned i = 0; i < f->pubs_n; i++)
            wrote |= write_some(f, &f->pubs[i]);
    }
    wrote |= loop_turn(wrote ? 0 : 10);
    if (f->watch)
        note_gap(f);
    return wrote;
}

static void run_for(struct flow *f, double seconds)
{
    double end = seconds_now() + seconds;

    do {
        for (int i = 0; i < TURNS; i++)
            turn(f, true);
    } while (seconds_now() < end);
}

/* Finish messages that are cut, and let what is on its way arrive: until all has, or nothing has
 * come for a while. */
static void drain(struct flow *f, double silence)
{
    double end = seconds_now() + drain_s, quiet = seconds_now() + silence;

    while (seconds_now() < end && seconds_now() < quiet && slowest(f) < f->sent) {
        for (unsigned i = 0; i < f->pubs_n; i++)
            batch_write(&f->pubs[i].batch, &f->pubs[i].side, 0);
        if (loop_turn(100))
            quiet = seconds_now() + silence;
    }
}

static void open_subscribers(struct flow *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct side *s = &f->subs[i];

        s->driver = f->t->driver;
        s->part.filters = f->topics;
        s->part.filters_n = f->pubs_n;
        s->part.size = f->t->size;
        if (i >= f->subs_n) /* the one that will stall */
            s->part.credit = STALLED_CREDIT;
        loop_open(s, f->t->port);
    }
    for (unsigned i = 0; i < n; i++)
        loop_ready(&f->subs[i], ready_s);
}

static void open_publishers(struct flow *f)
{
    size_t bytes = BATCHES_BYTES / f->pubs_n;

    for (unsigned i = 0; i < f->pubs_n; i++) {
        struct publisher *p = &f->pubs[i];

        p->side.driver = f->t->driver;
        p->side.part.topic = p->topic;
        p->side.part.size = f->t->size;
        loop_open(&p->side, f->t->port);
        loop_ready(&p->side, ready_s);
        batch_build(&p->batch, &p->side, bytes < BATCH_LEAST ? BATCH_LEAST : bytes);
        f->sent += batch_sent(&p->batch);
    }
}

/* `subs` subscribers that read, and `extra` that will stop. */
static void flow_open(struct flow *f, const struct task *t, unsigned pubs, unsigned subs,
                      unsigned extra)
{
    *f = (struct flow){.t = t, .pubs_n = pubs, .subs_n = subs};
    f->pubs = calloc(pubs, sizeof *f->pubs);
    f->subs = calloc(subs + extra, sizeof *f->subs);
    f->topics = calloc(pubs, sizeof *f->topics);
    if (!f->pubs || !f->subs || !f->topics)
        die("out of memory");
    for (unsigned i = 0; i < pubs; i++) {
        snprintf(f->pubs[i].topic, LOAD_NAME_MAX, "bench.%u", i);
        f->topics[i] = f->pubs[i].topic;
    }
    f->window = window_of(t, subs + extra);
    open_subscribers(f, subs + extra);
    open_publishers(f);
}

/* Measure for as long as the task says. */
static void flow_measure(struct flow *f, struct result *ret)
{
    uint64_t got = delivered(f), sent = f->sent;

    f->gap = 0;
    f->last = seconds_now();
    f->last_got = got;
    ret->before = usage_now(f->t->pid);
    run_for(f, f->t->seconds);
    ret->after = usage_now(f->t->pid);
    ret->delivered = delivered(f) - got;
    ret->published = f->sent - sent;
}

static void flow_result(struct flow *f, struct result *ret)
{
    ret->subscribers = f->subs_n;
    ret->publishers = f->pubs_n;
    ret->lost = (int64_t)(f->sent * f->subs_n - delivered(f));
    ret->told_lost = told(f);
    result_add(ret, "window", (double)f->window);
}

static void flow_close(struct flow *f, unsigned extra)
{
    for (unsigned i = 0; i < f->pubs_n; i++) {
        loop_close(&f->pubs[i].side);
        batch_free(&f->pubs[i].batch);
    }
    for (unsigned i = 0; i < f->subs_n + extra; i++)
        loop_close(&f->subs[i]);
    free(f->pubs);
    free(f->subs);
    free(f->topics);
}

static void flow(const struct task *t, unsigned pubs, unsigned subs, struct result *ret)
{
    struct flow f;

    flow_open(&f, t, pubs, subs, 0);
    run_for(&f, warm_up_s);
    flow_measure(&f, ret);
    drain(&f, silence_s);
    flow_result(&f, ret);
    flow_close(&f, 0);
}

void one_to_one(const struct task *t, struct result *ret)
{
    flow(t, 1, 1, ret);
}

void fan_out(const struct task *t, struct result *ret)
{
    flow(t, 1, t->subscribers, ret);
}

void fan_in(const struct task *t, struct result *ret)
{
    flow(t, t->publishers, 1, ret);
}

/* What is left for the one that stalled: until it has had or been told of all, or nothing comes any
 * more. */
static void read_again(struct flow *f, struct side *s)
{
    double end = seconds_now() + drain_s, quiet = seconds_now() + silence_s;

    if (!s->closed)
        loop_resume(s);
    while (!s->closed && s->got + s->told_lost < f->sent && seconds_now() < end &&
           seconds_now() < quiet) {
        if (loop_turn(100))
            quiet = seconds_now() + silence_s;
    }
}

/* The common fields are of the others: what they had, while one did not read. */
void stalled(const struct task *t, struct result *ret)
{
    struct task same = *t; /* the same window with and without the one that stalls */
    struct side *s;
    struct flow f;
    long rss_kib;

    if (t->subscribers < 2)
        die("subscribers=%u: one of them stalls, so at least 2", t->subscribers);
    same.window = (unsigned)window_of(t, t->subscribers);
    flow_open(&f, &same, 1, t->subscribers - 1, t->stalled);
    f.watch = true;
    s = &f.subs[f.subs_n];
    run_for(&f, warm_up_s);
    if (t->stalled)
        loop_pause(s);
    rss_kib = usage_now(t->pid).rss_kib;
    flow_measure(&f, ret);
    result_add(ret, "longest_gap_ms", f.gap * 1e3);
    drain(&f, stalled_silence_s);
    flow_result(&f, ret);
    result_add(ret, "stalled", t->stalled);
    result_add(ret, "rss_before_kib", (double)rss_kib);
    if (t->stalled) {
        read_again(&f, s);
        result_add(ret, "stalled_cut_off", s->closed);
        result_add(ret, "stalled_got", (double)s->got);
        result_add(ret, "stalled_told", (double)s->told_lost);
        result_add(ret, "stalled_unsaid", (double)f.sent - (double)(s->got + s->told_lost));
    }
    flow_close(&f, t->stalled);
}
