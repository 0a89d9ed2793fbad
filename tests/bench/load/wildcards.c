/* Very many subscriptions with wildcards, and messages to random topics; with `churn`, one more
 * connection subscribes and unsubscribes all the while.
 *
 * Topics have three levels, aX.bY.cZ, of 250, 1,000 and 400 words: 100 million. One sequence of
 * 131,072 of them, nearly all different and always the same, is published again and again. Of
 * 4,000 filters
 *
 *      3,599   are aX.*.cZ     each a different one of 100,000: 0.90 of 100,000 match a message
 *        400   are aX.bY.#                         250,000: 0.04
 *          1   is  aX.#                                250: 0.10
 *
 * so that a message is delivered 1.04 times. Connections have equal shares of them, so a message
 * hardly ever comes twice on one. What is to come is known, so what does not is counted.
 *
 * Of churn, CHURN_ALIVE filters aX.bY.# are there at any time: they match as little as the others
 * of that kind, but they stand in the same places of the broker's tree. */
#include "tests/bench/load/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/load/loop.h"

enum {
    A = 250,
    B = 1000,
    C = 400,
    SUBSCRIPTIONS_MAX = A * C,
    MESSAGES = 131072, /* of the sequence */
    WINDOW = 32768,    /* deliveries on their way */
    RUN_MAX = 8192,    /* messages written at once */
    CHURN_ALIVE = 100,
    CHURN_IDS = 2 * CHURN_ALIVE, /* so that one in use is not given again */
    TURNS = 4                    /* between two looks at the clock */
};

static const double setup_s = 60, silence_s = 2, drain_s = 30;

/* Who is subscribed to what: the connection's number + 1, or 0. */
struct known {
    uint16_t a_c[A][C], a_b[A][B], a[A];
};

struct wild {
    const struct task *t;
    struct side pub, churner, *subs;
    char (*names)[LOAD_NAME_MAX]; /* the filters */
    const char **filters;
    struct known *known;
    uint8_t *bytes;      /* the sequence's messages */
    size_t *end;         /* bytes up to the end of each */
    uint32_t *due;       /* deliveries due for the sequence, up to and with each */
    size_t at;           /* written of the sequence, bytes */
    unsigned begun;      /* messages of it begun */
    uint64_t sent;       /* messages begun, in all */
    uint64_t due_before; /* deliveries due for whole rounds of the sequence */
    uint64_t window;
    uint64_t churned;
    double churn_from; /* seconds, when churn began */
};

/* Always the same numbers (xorshift). */
static uint32_t random_below(uint64_t *state, uint32_t n)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((*state >> 32) * n >> 32);
}

/* Filter `i` of them all, which connection `owner` - 1 subscribes to. */
static void name_filter(struct wild *w, unsigned i, uint16_t owner)
{
    char *name = w->names[i];
    unsigned n;

    if (i % 4000 == 0) {
        n = i / 4000 % A;
        snprintf(name, LOAD_NAME_MAX, "a%u.#", n);
        w->known->a[n] = owner;
    } else if (i % 10 == 9) {
        n = i / 10;
        snprintf(name, LOAD_NAME_MAX, "a%u.b%u.#", n % A, n / A % B);
        w->known->a_b[n % A][n / A % B] = owner;
    } else {
        n = i - i / 10;
        snprintf(name, LOAD_NAME_MAX, "a%u.*.c%u", n % A, n / A % C);
        w->known->a_c[n % A][n / A % C] = owner;
    }
    w->filters[i] = name;
}

static unsigned deliveries_due(const struct wild *w, unsigned a, unsigned b, unsigned c)
{
    uint16_t x = w->known->a_c[a][c], y = w->known->a_b[a][b], z = w->known->a[a];
    unsigned n = (x != 0) + (y != 0) + (z != 0);

    if (!(w->t->driver->does & LOAD_MERGES))
        return n;
    /* Once for each connection. */
    return n - (x && x == y) - (z && (z == x || z == y));
}

static void open_subscribers(struct wild *w)
{
    unsigned n = w->t->connections, all = w->t->subscriptions;

    for (unsigned k = 0, at = 0; k < n; k++) {
        unsigned share = all / n + (k < all % n);
        struct side *s = &w->subs[k];

        for (unsigned i = at; i < at + share; i++)
            name_filter(w, i, (uint16_t)(k + 1));
        s->driver = w->t->driver;
        s->part.filters = w->filters + at;
        s->part.filters_n = share;
        s->part.size = w->t->size;
        loop_open(s, w->t->port);
        at += share;
    }
    for (unsigned k = 0; k < n; k++)
        loop_ready(&w->subs[k], setup_s);
}

static void build_sequence(struct wild *w)
{
    size_t room = (size_t)MESSAGES * (w->t->size + LOAD_MESSAGE_MAX - LOAD_PAYLOAD_MAX), n = 0;
    uint64_t seed = UINT64_C(88172645463325252);
    uint32_t due = 0;
    uint8_t *payload;
    char topic[LOAD_NAME_MAX];

    w->bytes = malloc(room);
    w->end = malloc(MESSAGES * sizeof *w->end);
    w->due = malloc(MESSAGES * sizeof *w->due);
    if (!w->bytes || !w->end || !w->due)
        die("out of memory");
    for (unsigned i = 0; i < MESSAGES; i++) {
        unsigned a = random_below(&seed, A), b = random_below(&seed, B), c = random_below(&seed, C);

        snprintf(topic, sizeof topic, "a%u.b%u.c%u", a, b, c);
        n += w->t->driver->message(&w->pub, w->bytes + n, topic, w->t->size, &payload);
        due += deliveries_due(w, a, b, c);
        w->end[i] = n;
        w->due[i] = due;
    }
}

static uint64_t delivered(const struct wild *w)
{
    uint64_t n = 0;

    for (unsigned k = 0; k < w->t->connections; k++) {
        if (w->subs[k].closed)
            die("the broker closed the connection of a subscriber");
        n += w->subs[k].got;
    }
    return n;
}

static uint64_t told(const struct wild *w)
{
    uint64_t n = 0;

    for (unsigned k = 0; k < w->t->connections; k++)
        n += w->subs[k].told_lost;
    return n;
}

/* Deliveries that have become due in all. */
static uint64_t due(const struct wild *w)
{
    return w->due_before + (w->begun ? w->due[w->begun - 1] : 0);
}

/* Messages of the sequence, from its first, that may be begun by now: within window and credit. */
static unsigned may_begin(const struct wild *w)
{
    uint64_t most = delivered(w) + told(w) + w->window, credit = w->pub.granted - w->sent;
    unsigned upto = w->begun, end = w->begun + RUN_MAX;

    if (end > MESSAGES)
        end = MESSAGES;
    if (credit < end - upto)
        end = upto + (unsigned)credit;
    while (upto < end && w->due_before + w->due[upto] <= most)
        upto++;
    return upto;
}

/* Count as begun what `w->at` says; start over at the end. */
static void count_begun(struct wild *w)
{
    unsigned before = w->begun;

    while (w->begun < MESSAGES && w->at > (w->begun ? w->end[w->begun - 1] : 0))
        w->begun++;
    w->sent += w->begun - before;
    w->pub.cut = w->begun && w->at < w->end[w->begun - 1];
    if (w->begun == MESSAGES && !w->pub.cut) {
        w->due_before += w->due[MESSAGES - 1];
        w->begun = 0;
        w->at = 0;
    }
}

/* Write up to the end of message `upto` of the sequence. Returns whether anything was. */
static bool write_upto(struct wild *w, unsigned upto)
{
    size_t n, wrote;

    if (w->pub.closed)
        die("the broker closed the connection of the publisher");
    if (!w->pub.cut)
        loop_flush(&w->pub);
    n = upto ? w->end[upto - 1] - w->at : 0;
    if (n == 0 || !loop_writable(&w->pub))
        return false;
    wrote = loop_write(&w->pub, w->bytes + w->at, n);
    w->at += wrote;
    count_begun(w);
    return wrote > 0;
}

/* The n-th filter of churn: all over the tree, no two alike among those that are there. */
static void name_churn(uint64_t n, char *name)
{
    n = n * 70657 % (A * B); /* a prime */
    snprintf(name, LOAD_NAME_MAX, "a%u.b%u.#", (unsigned)(n % A), (unsigned)(n / A));
}

/* Subscribe to what is due by now, and leave what is old. */
static void churn(struct wild *w)
{
    uint64_t want = (uint64_t)((seconds_now() - w->churn_from) * w->t->churn);
    const struct driver *d = w->t->driver;
    char name[LOAD_NAME_MAX];

    for (; w->churned < want; w->churned++) {
        uint64_t n = w->churned;

        name_churn(n, name);
        d->subscribe(&w->churner, (unsigned)(n % CHURN_IDS), name);
        if (n < CHURN_ALIVE)
            continue;
        n -= CHURN_ALIVE;
        name_churn(n, name);
        d->unsubscribe(&w->churner, (unsigned)(n % CHURN_IDS), name);
    }
    loop_flush(&w->churner);
    if (w->churner.closed)
        die("the broker closed the connection that subscribes and unsubscribes");
}

static void run_for(struct wild *w, double seconds)
{
    double end = seconds_now() + seconds;

    do {
        for (int i = 0; i < TURNS; i++)
            loop_turn(write_upto(w, may_begin(w)) ? 0 : 1);
        if (w->t->churn)
            churn(w);
    } while (seconds_now() < end);
}

static void drain(struct wild *w)
{
    double end = seconds_now() + drain_s, quiet = seconds_now() + silence_s;

    while (seconds_now() < end && seconds_now() < quiet && delivered(w) + told(w) < due(w)) {
        if (w->pub.cut)
            write_upto(w, w->begun);
        if (loop_turn(100))
            quiet = seconds_now() + silence_s;
    }
}

static void open_all(struct wild *w, const struct task *t, struct result *ret)
{
    struct usage before = usage_now(t->pid), after;

    w->t = t;
    w->window = t->window ? t->window : WINDOW;
    w->subs = calloc(t->connections, sizeof *w->subs);
    w->names = calloc(t->subscriptions, sizeof *w->names);
    w->filters = calloc(t->subscriptions, sizeof *w->filters);
    w->known = calloc(1, sizeof *w->known);
    if (!w->subs || !w->names || !w->filters || !w->known)
        die("out of memory");
    open_subscribers(w);
    after = usage_now(t->pid);
    result_add(ret, "subscribes_per_second", t->subscriptions / (after.at - before.at));
    result_add(ret, "rss_kib_per_subscription",
               (double)(after.rss_kib - before.rss_kib) / t->subscriptions);
    w->pub.driver = w->churner.driver = t->driver;
    w->pub.part.size = w->churner.part.size = t->size;
    w->pub.part.any_topic = true;
    loop_open(&w->pub, t->port);
    loop_ready(&w->pub, ready_s);
    w->sent = w->pub.greeted;
    build_sequence(w);
    if (t->churn) {
        loop_open(&w->churner, t->port);
        loop_ready(&w->churner, ready_s);
        w->churn_from = seconds_now();
    }
}

static void close_all(struct wild *w)
{
    loop_close(&w->pub);
    if (w->t->churn)
        loop_close(&w->churner);
    for (unsigned k = 0; k < w->t->connections; k++)
        loop_close(&w->subs[k]);
    free(w->subs);
    free(w->names);
    free(w->filters);
    free(w->known);
    free(w->bytes);
    free(w->end);
    free(w->due);
}

void wildcards(const struct task *t, struct result *ret)
{
    static struct wild w;
    uint64_t got, sent, churned;
    double seconds;

    if (t->subscriptions > SUBSCRIPTIONS_MAX || t->subscriptions < t->connections)
        die("subscriptions=%u: wanted 1 a connection to %d", t->subscriptions, SUBSCRIPTIONS_MAX);
    open_all(&w, t, ret);
    run_for(&w, warm_up_s);
    got = delivered(&w);
    sent = w.sent;
    churned = w.churned;
    ret->before = usage_now(t->pid);
    run_for(&w, t->seconds);
    ret->after = usage_now(t->pid);
    seconds = ret->after.at - ret->before.at;
    ret->delivered = delivered(&w) - got;
    ret->published = w.sent - sent;
    ret->publishers = 1;
    ret->subscribers = t->connections;
    result_add(ret, "window", (double)w.window);
    result_add(ret, "subscriptions", t->subscriptions);
    result_add(ret, "connections", t->connections);
    result_add(ret, "churn", t->churn);
    result_add(ret, "churned_per_second", (double)(w.churned - churned) / seconds);
    result_add(ret, "matches_per_message", (double)w.due[MESSAGES - 1] / MESSAGES);
    result_add(ret, "broker_ns_per_published",
               (ret->after.broker_s - ret->before.broker_s) * 1e9 /
                   (double)(ret->published ? ret->published : 1));
    drain(&w);
    ret->lost = (int64_t)(due(&w) - delivered(&w));
    ret->told_lost = told(&w);
    close_all(&w);
}
