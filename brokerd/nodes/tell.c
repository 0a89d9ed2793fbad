/* What this node wants, told to the others: a set in Redis, and a version that rises with it.
 *
 *      changes --SADD, SREM--> answered --HSET version, PUBLISH changes--> others
 *
 * One round at a time, so that nobody hears of a version before the set has it. */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/nodes/internal.h"

enum { SAID_MAX = 32 * 1024 }; /* more is not said but read */

static void announce(struct nodes *n)
{
    char head[KEY_MAX];
    char *text;
    size_t head_n =
        (size_t)snprintf(head, sizeof head, "%s %llu\n", n->id, (unsigned long long)n->version);
    size_t said_n = n->said.n <= SAID_MAX ? n->said.n : 0;
    struct slice args[] = {SLICE("PUBLISH"), slice_str(n->channel), {0}};

    text = malloc(head_n + said_n);
    if (text) {
        memcpy(text, head, head_n);
        if (said_n)
            memcpy(text + head_n, n->said.bytes, said_n);
        args[2] = slice_of(text, head_n + said_n);
        (void)nodes_send(n, args, 3, NULL, NULL);
    }
    free(text);
}

static void round_over(struct nodes *n)
{
    if (n->failed) {
        tell_again(n);
        n->failed = false;
        n->tell_ms = n->now_ms + AGAIN_MS;
        return;
    }
    n->version++;
    n->told = true;
    announce(n);
    n->beat_ms = 0;
}

static void on_told(void *ctx, const struct link_answer *a)
{
    struct nodes *n = ctx;

    if (!answer_is_good(a)) {
        n->failed = true;
        nodes_trouble(n, "topics: others do not hear what this node wants", a);
    }
    if (--n->telling == 0)
        round_over(n);
}

/* A command of this round. */
static void say(struct nodes *n, const struct slice *args, unsigned args_n)
{
    if (nodes_send(n, args, args_n, on_told, n) == 0)
        n->telling++;
    else
        n->failed = true;
}

/* For who listens: +, or -, and the filter with its length. */
static void note(struct nodes *n, struct slice filter, bool on)
{
    struct pack *p = &n->said;
    uint8_t *bytes;

    if (p->n + 2 + filter.n > p->cap) {
        bytes = p->n > SAID_MAX ? NULL : realloc(p->bytes, SAID_MAX * 2);
        if (!bytes) {
            p->n = SAID_MAX + 1; /* to be read */
            return;
        }
        p->bytes = bytes;
        p->cap = (size_t)SAID_MAX * 2;
    }
    if (p->n > SAID_MAX)
        return;
    p->bytes[p->n++] = on ? '+' : '-';
    p->bytes[p->n++] = (uint8_t)filter.n;
    memcpy(p->bytes + p->n, filter.p, filter.n);
    p->n += filter.n;
}

/* Filters on their way into one command. */
struct gathered {
    struct slice args[2 + ARGS_MAX];
    char bytes[ARGS_MAX][NAME_MAX_BYTES];
    unsigned n;
};

static void gathered_say(struct nodes *n, struct gathered *g)
{
    if (g->n)
        say(n, g->args, 2 + g->n);
    g->n = 0;
}

static void tell_each(struct nodes *n)
{
    struct gathered *g = calloc(2, sizeof *g);
    char buf[NAME_MAX_BYTES];
    struct slice filter;
    bool on;

    if (!g) {
        n->failed = true;
        return;
    }
    g[0].args[0] = SLICE("SREM");
    g[1].args[0] = SLICE("SADD");
    g[0].args[1] = g[1].args[1] = slice_str(n->wants_key);
    while (interest_next(&n->interest, buf, &filter, &on)) {
        struct gathered *to = &g[on];

        memcpy(to->bytes[to->n], filter.p, filter.n);
        to->args[2 + to->n] = slice_of(to->bytes[to->n], filter.n);
        note(n, filter, on);
        if (++to->n == ARGS_MAX)
            gathered_say(n, to);
    }
    gathered_say(n, &g[0]);
    gathered_say(n, &g[1]);
    free(g);
}

/* There are so many that all of it costs less. */
static void tell_everything(struct nodes *n)
{
    struct slice args[] = {SLICE("SADD"), slice_str(n->wants_key), SLICE("#")};
    char buf[NAME_MAX_BYTES];
    struct slice filter;
    bool on;

    while (interest_next(&n->interest, buf, &filter, &on))
        continue;
    if (n->told)
        return;
    say(n, args, 3);
    n->said.n = SAID_MAX + 1;
}

/* Half of the limit lies between: it does not change with each that comes or goes. */
static bool wants_everything(const struct nodes *n)
{
    size_t count = interest_count(&n->interest);

    return n->interest.lost || count > (n->everything ? NODES_FILTERS_MAX / 2 : NODES_FILTERS_MAX);
}

void tell_again(struct nodes *n)
{
    n->told = false;
    interest_again(&n->interest);
}

void tell_changes(struct nodes *n)
{
    struct slice del[] = {SLICE("DEL"), slice_str(n->wants_key)};

    if (n->telling || n->stopping || !n->up || n->now_ms < n->tell_ms ||
        (n->told && !interest_has_news(&n->interest)))
        return;
    if (wants_everything(n) != n->everything) {
        n->everything = !n->everything;
        n->clear = true;
        tell_again(n);
    }
    n->said.n = 0;
    if (!n->told) {
        /* Not without need: who reads it behind that, and before the rest, would miss something. */
        if (n->clear || !interest_count(&n->interest))
            say(n, del, 2);
        n->clear = false;
        n->said.n = SAID_MAX + 1;
    }
    if (n->everything)
        tell_everything(n);
    else
        tell_each(n);
    if (!n->telling && n->failed)
        round_over(n);
}
